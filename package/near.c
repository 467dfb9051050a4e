/* near.c - a file whose name is written otherwise than the descriptor does:
 * Server-Disk.VMDK for server-disk.vmdk, marks apart from letters, Windows'
 * code page. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/alike.h"
#include "base/fold.h"
#include "base/limits.h"
#include "package/container.h"

static void dir_freep(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* What `name` may be meant by; counted, since one alone is taken. */
struct search {
    const char *name;
    char *found;
    size_t count;
};

static void look_at(struct search *s, const char *candidate)
{
    RH_AUTO(rh_freep) char *text = rh_utf8_name(candidate);

    if (!rh_names_alike(text, s->name) || s->count++)
        return;
    s->found = rh_strdup(candidate);
}

/* Those beside the descriptor: what is below is named with its folder. */
static void look_in_folder(struct search *s, const char *path)
{
    RH_AUTO(dir_freep) DIR *d = opendir(path);
    struct dirent *entry;

    for (size_t n = 0; d && n < RH_LIMIT_MEMBERS && (entry = readdir(d)); n++)
        if (entry->d_name[0] != '.')
            look_at(s, entry->d_name);
}

static const char *look(struct rh_package *p, const char *name)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep) char *plain = rh_utf8_name(name);
    struct search s = {.name = plain};
    const char *candidate, *ret = NULL;

    for (size_t i = 0; c->archive && (candidate = rh_place_name(p->place, i));
         i++)
        look_at(&s, candidate);
    if (!c->archive)
        look_in_folder(&s, c->base->name);
    if (s.count == 1) {
        RH_AUTO(rh_freep) char *text = rh_utf8_name(s.found);

        ret = rh_arena_strdup(p->arena, text);
    }
    free(s.found);
    return ret;
}

/* A file is asked for again and again: what was found stays. */
const char *rh_near_name(struct rh_package *p, const char *name)
{
    enum { LOOKUPS_MAX = 256 }; /* each is a walk over all names */
    struct rh_container *c = rh_container_of(p);
    const char *found;

    for (size_t i = 0; i < c->nears.count; i++)
        if (!strcmp(c->nears.items[i].name, name))
            return c->nears.items[i].found;
    if (c->nears.count == LOOKUPS_MAX)
        return NULL;
    found = look(p, name);
    *rh_vec_add(&c->nears) =
        (struct rh_near){rh_arena_strdup(p->arena, name), found};
    return found;
}
