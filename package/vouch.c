/* vouch.c - the manifest's line for a file of the package, also where one of
 * them is written otherwise: a digest that would not fit must not stay
 * unasked because of a letter's case. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/alike.h"
#include "base/fold.h"
#include "package/container.h"

static char *folded(const char *name)
{
    RH_AUTO(rh_freep) char *text = rh_utf8_name(name);

    return rh_name_folded(text);
}

/* Lines by their folded names; of two that are alike neither counts. */
static void fold_lines(struct rh_container *c)
{
    const struct rh_manifest *m = c->manifest;

    c->folded = true;
    for (size_t i = 0; i < m->lines.count; i++) {
        RH_AUTO(rh_freep) char *key = folded(m->lines.items[i].name);
        const char *kept = rh_arena_strdup(m->arena, key);

        if (!rh_name_map_add(&c->near_lines, kept, i))
            rh_name_map_add(&c->near_twice, kept, i);
    }
}

static bool is_there_exactly(struct rh_package *p, const char *name)
{
    RH_AUTO(rh_error_freep) rh_error *ignored = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = rh_file_open(p, name, &ignored);
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    size_t n = strlen(last), m = io ? strlen(io->name) : 0;

    return io && m >= n && !strcmp(io->name + m - n, last);
}

const struct rh_manifest_line *rh_vouched_by(struct rh_package *p,
                                             const char *name)
{
    struct rh_container *c = rh_container_of(p);
    const struct rh_manifest_line *line =
        c->manifest ? rh_manifest_find(c->manifest, name) : NULL;
    RH_AUTO(rh_freep) char *key = NULL;
    size_t i;

    if (line || !c->manifest)
        return line;
    if (!c->folded)
        fold_lines(c);
    key = folded(name);
    i = rh_name_map_find(&c->near_lines, key);
    if (i == SIZE_MAX || rh_name_map_find(&c->near_twice, key) != SIZE_MAX)
        return NULL;
    line = &c->manifest->lines.items[i];
    return is_there_exactly(p, line->name) ? NULL : line;
}
