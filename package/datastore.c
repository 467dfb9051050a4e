/* datastore.c - --datastore-map PREFIX=DIR: files that a descriptor names by
 * the place they had on the source's datastore.
 *
 * Such a name becomes the file's absolute path here, "/mnt/b/web01/web01.vmdk":
 * no other name of a package begins with a slash.  Below DIR no link is
 * followed and nothing outside can be named. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "package/container.h"

static int open_one(struct rh_package *p, const char *text, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    const char *equals = strrchr(text, '=');
    struct rh_datastore d = {.container = c};

    if (!equals || equals == text || !equals[1])
        return rh_fail(err, RH_ERR_USAGE,
                       "--datastore-map wants PREFIX=DIR, not \"%s\"", text);
    d.folder = realpath(equals + 1, NULL);
    if (!d.folder) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open the folder");
        return rh_error_subject(err, equals + 1);
    }
    d.place = rh_place_folder(d.folder, err);
    if (!d.place) {
        free(d.folder);
        return -1;
    }
    d.prefix = rh_strndup(text, (size_t)(equals - text));
    *rh_vec_add(&c->datastores) = d;
    return 0;
}

int rh_datastores_open(struct rh_package *p, const struct rh_package_options *o,
                       rh_error **err)
{
    const char *map;

    for (size_t i = 0; (map = rh_option_at(o->all, "datastore-map", i)); i++)
        if (open_one(p, map, err) < 0)
            return -1;
    return 0;
}

void rh_datastores_close(struct rh_container *c)
{
    for (size_t i = 0; i < c->datastores.count; i++) {
        free(c->datastores.items[i].prefix);
        free(c->datastores.items[i].folder);
        rh_place_close(c->datastores.items[i].place);
    }
    free(c->datastores.items);
}

/* What follows the prefix; NULL when it is not there or goes on in a word. */
static const char *behind(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    bool whole = strchr("/\\", prefix[n - 1]) != NULL;

    if (strncmp(name, prefix, n) || (!whole && !strchr("/\\ ", name[n])) ||
        !name[n])
        return NULL;
    name += n;
    return name + strspn(name, "/\\ ");
}

const char *rh_package_mapped(const struct rh_package *p, const char *name)
{
    struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; c && i < c->datastores.count; i++) {
        const struct rh_datastore *d = &c->datastores.items[i];
        const char *rest = behind(name, d->prefix);
        char *path;

        if (!rest || !*rest)
            continue;
        path = rh_arena_printf(p->arena, "%s/%s", d->folder, rest);
        for (char *at = path; (at = strchr(at, '\\'));)
            *at = '/';
        return path;
    }
    return NULL;
}

struct rh_datastore *rh_datastore_of(const struct rh_package *p,
                                     const char *name, const char **ret_rest)
{
    struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; i < c->datastores.count; i++) {
        struct rh_datastore *d = &c->datastores.items[i];
        size_t n = strlen(d->folder);

        if (strncmp(name, d->folder, n) || name[n] != '/')
            continue;
        *ret_rest = name + n + 1;
        return d;
    }
    return NULL;
}

struct rh_io *rh_file_open(struct rh_package *p, const char *name,
                           rh_error **err)
{
    const char *rest;
    const struct rh_datastore *d = rh_datastore_of(p, name, &rest);

    return d ? rh_place_open(d->place, rest, err)
             : rh_place_open(p->place, name, err);
}
