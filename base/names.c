/* names.c - a hash table of borrowed names, open addressing, half full. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/names.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a. */
static size_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325ULL;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3ULL;
    return (size_t)(h ^ h >> 32);
}

static struct rh_name_slot *slot_of(const struct rh_name_map *n,
                                    const char *name)
{
    size_t i = hash(name);

    for (;; i++) {
        struct rh_name_slot *s = &n->slots[i & (n->room - 1)];

        if (!s->name || !strcmp(s->name, name))
            return s;
    }
}

static void grow(struct rh_name_map *n)
{
    struct rh_name_map bigger = {.room = n->room ? n->room * 2 : 64};

    bigger.slots = rh_calloc(bigger.room, sizeof *bigger.slots);
    bigger.count = n->count;
    for (size_t i = 0; i < n->room; i++) {
        if (n->slots[i].name)
            *slot_of(&bigger, n->slots[i].name) = n->slots[i];
    }
    free(n->slots);
    *n = bigger;
}

bool rh_name_map_add(struct rh_name_map *n, const char *name, size_t index)
{
    struct rh_name_slot *s;

    if (n->count * 2 >= n->room)
        grow(n);
    s = slot_of(n, name);
    if (s->name)
        return false;
    *s = (struct rh_name_slot){name, index};
    n->count++;
    return true;
}

size_t rh_name_map_find(const struct rh_name_map *n, const char *name)
{
    const struct rh_name_slot *s = n->room ? slot_of(n, name) : NULL;

    return s && s->name ? s->index : SIZE_MAX;
}

void rh_name_map_free(struct rh_name_map *n)
{
    free(n->slots);
    *n = (struct rh_name_map){0};
}
