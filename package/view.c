/* view.c - a place seen from one of its folders; see view.h. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/view.h"

#include <stdlib.h>
#include <string.h>

struct view {
    struct rh_place *base;
    char *prefix; /* "", or "folder/" */
    rh_view_opened *opened;
    void *user;
};

static struct rh_io *view_open(struct rh_place *p, const char *name,
                               rh_error **err)
{
    struct view *v = p->state;
    RH_AUTO(rh_freep) char *full = rh_printf("%s%s", v->prefix, name);
    struct rh_io *io = rh_place_open(v->base, full, err);

    if (io && v->opened)
        v->opened(v->user, full, io->size);
    return io;
}

/* The i-th of those below the folder.  Walked from the start each time only
 * when there is a folder to leave out others by, which is rare. */
static const char *view_name(struct rh_place *p, size_t i)
{
    struct view *v = p->state;
    size_t skip = strlen(v->prefix);
    const char *name;

    if (!skip)
        return rh_place_name(v->base, i);
    for (size_t at = 0; (name = rh_place_name(v->base, at)); at++)
        if (!strncmp(name, v->prefix, skip) && i-- == 0)
            return name + skip;
    return NULL;
}

static void view_close(struct rh_place *p)
{
    struct view *v = p->state;

    free(v->prefix);
    free(v);
}

struct rh_place *rh_view_new(struct rh_place *base, const char *folder,
                             rh_view_opened *opened, void *user)
{
    static const struct rh_place_ops ops = {view_open, view_name, view_close};
    struct rh_place *p = rh_new0(struct rh_place);
    struct view *v = rh_new0(struct view);

    v->base = base;
    v->prefix = folder[0] ? rh_printf("%s/", folder) : rh_strdup("");
    v->opened = opened;
    v->user = user;
    p->ops = &ops;
    p->name = rh_strdup(base->name);
    p->state = v;
    return p;
}

static struct rh_io *nothing_open(struct rh_place *p, const char *name,
                                  rh_error **err)
{
    rh_fail(err, RH_ERR_FILE_NOT_FOUND, "there are no files beside %s",
            p->name);
    rh_error_subject(err, name);
    return NULL;
}

struct rh_place *rh_place_nothing(const char *name)
{
    static const struct rh_place_ops ops = {nothing_open, NULL, NULL};
    struct rh_place *p = rh_new0(struct rh_place);

    p->ops = &ops;
    p->name = rh_strdup(name);
    return p;
}

char *rh_folder_of(const char *name)
{
    const char *slash = strrchr(name, '/');

    return rh_strndup(name, slash ? (size_t)(slash - name) : 0);
}
