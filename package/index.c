/* index.c - the members of an archive by name; see index.h. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alike.h"
#include "base/fold.h"
#include "base/limits.h"
#include "base/text.h"

/* All names of one archive together. */
enum { NAME_BYTES = 16 * 1024 * 1024 };

void rh_index_init(struct rh_index *x)
{
    *x = (struct rh_index){.arena = rh_arena_new()};
}

void rh_index_free(struct rh_index *x)
{
    for (size_t i = 0; i < x->entries.count; i++)
        if (x->entries.items[i].spool)
            rh_io_unref(x->entries.items[i].spool);
    free(x->entries.items);
    free(x->sorted);
    rh_name_map_free(&x->near);
    rh_name_map_free(&x->twice);
    rh_arena_free(x->arena);
    *x = (struct rh_index){0};
}

/* "./a//b" becomes "a/b", in place.  An absolute name stays one. */
static void tidy(char *name)
{
    char *to = name, *from = name;

    if (*from == '/')
        return;
    while (*from) {
        size_t n = strcspn(from, "/");

        if (n && !(n == 1 && from[0] == '.')) {
            if (to != name)
                *to++ = '/';
            memmove(to, from, n);
            to += n;
        }
        from += n;
        from += *from == '/';
    }
    *to = '\0';
}

/* macOS's tar leaves "._name" forks, some writers leave pax headers as files.
 */
static bool is_litter(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;

    return !name[0] || !strncmp(last, "._", 2) ||
           !strncmp(name, "PaxHeader/", 10) || strstr(name, "/PaxHeader/") ||
           !strncmp(name, "PaxHeaders.", 11) || strstr(name, "/PaxHeaders.");
}

static int check_name(const char *name, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;

    if (rh_check_name(name, &why) == 0)
        return 0;
    return rh_fail(err, RH_ERR_PACKAGE_MEMBER_NAME,
                   "a member of the archive has an unsafe name: %s",
                   rh_error_message(why));
}

int rh_index_count(struct rh_index *x, rh_error **err)
{
    if (++x->seen > RH_LIMIT_MEMBERS)
        return rh_fail(err, RH_ERR_PACKAGE_LIMIT,
                       "the archive has more than %d members",
                       RH_LIMIT_MEMBERS);
    return 0;
}

int rh_index_add(struct rh_index *x, const char *name, size_t n,
                 struct rh_entry **ret_entry, rh_error **err)
{
    RH_AUTO(rh_freep) char *clean = rh_memdup0(name, n);
    /* In Windows' Japanese code page the second byte of a letter may be a
     * backslash: what a name holds is seen in its letters only. */
    RH_AUTO(rh_freep) char *text = NULL;
    struct rh_entry *e;

    if (rh_index_count(x, err) < 0)
        return -1;
    if (n > RH_LIMIT_NAME || x->name_bytes + n > NAME_BYTES)
        return rh_fail(err, RH_ERR_PACKAGE_LIMIT,
                       "the names of the archive's members are too long "
                       "(\"%.40s...\", %zu bytes)",
                       clean, n);
    if (memchr(name, '\0', n))
        return rh_fail(err, RH_ERR_PACKAGE_MEMBER_NAME,
                       "the member name \"%s\" goes on after a NUL byte",
                       clean);
    x->name_bytes += n;
    text = rh_utf8_name(clean);
    tidy(text);
    *ret_entry = NULL;
    if (is_litter(text))
        return 0;
    if (check_name(text, err) < 0)
        return -1;
    e = rh_vec_add(&x->entries);
    e->name = rh_arena_strdup(x->arena, text);
    e->raw = rh_valid_utf8(clean, n) ? NULL : rh_arena_strdup(x->arena, clean);
    *ret_entry = e;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct rh_entry *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

int rh_index_finish(struct rh_index *x, rh_error **err)
{
    size_t n = x->entries.count;

    x->sorted = rh_calloc(n, sizeof(struct rh_entry *));
    for (size_t i = 0; i < n; i++)
        x->sorted[i] = &x->entries.items[i];
    if (n)
        qsort(x->sorted, n, sizeof(struct rh_entry *), by_name);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(x->sorted[i - 1]->name, x->sorted[i]->name))
            return rh_fail(err, RH_ERR_PACKAGE_DUPLICATE,
                           "two members of the archive are named \"%s\"",
                           x->sorted[i]->name);
    return 0;
}

struct rh_entry *rh_index_find(const struct rh_index *x, const char *name)
{
    struct rh_entry key = {.name = name}, *pkey = &key;
    struct rh_entry **found;

    if (!x->entries.count)
        return NULL;
    found = bsearch(&pkey, x->sorted, x->entries.count,
                    sizeof(struct rh_entry *), by_name);
    return found ? *found : NULL;
}

static char *folded(const char *name)
{
    RH_AUTO(rh_freep) char *text = rh_utf8_name(name);

    return rh_name_folded(text);
}

static void fold_entries(struct rh_index *x)
{
    x->folded = true;
    for (size_t i = 0; i < x->entries.count; i++) {
        RH_AUTO(rh_freep) char *key = folded(x->entries.items[i].name);
        const char *kept = rh_arena_strdup(x->arena, key);

        if (!rh_name_map_add(&x->near, kept, i))
            rh_name_map_add(&x->twice, kept, i);
    }
}

struct rh_entry *rh_index_near(struct rh_index *x, const char *name)
{
    RH_AUTO(rh_freep) char *key = folded(name);
    size_t i;

    if (!x->folded)
        fold_entries(x);
    i = rh_name_map_find(&x->near, key);
    if (i == SIZE_MAX || rh_name_map_find(&x->twice, key) != SIZE_MAX)
        return NULL;
    return &x->entries.items[i];
}
