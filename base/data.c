/* data.c - find the data files: environment, source tree, installation. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/data.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#ifndef RH_DATADIR
#define RH_DATADIR "/usr/local/share/rehost"
#endif
#ifndef RH_LIBEXECDIR
#define RH_LIBEXECDIR "/usr/local/libexec/rehost"
#endif

/* In the source tree some folders have another name than when installed. */
static const struct {
    const char *installed, *tree;
} places[] = {
    {"locale", "%B/locale"},
    {"schemas", "%T/docs/schemas"},
    {"profiles", "%T/profiles"},
    {"models", "%T/targets"},
};

static char *if_there(char *path)
{
    if (path && access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

/* The folder of the file that this code was loaded from. */
static char *own_folder(void)
{
    char path[PATH_MAX];
    Dl_info info;

    /* The address of a function as data: what dladdr() is made for. */
    union {
        char *(*function)(const char *);
        void *address;
    } self = {.function = rh_data_path};

    if (!dladdr(self.address, &info) || !info.dli_fname ||
        !realpath(info.dli_fname, path))
        if (!realpath("/proc/self/exe", path))
            return NULL;
    return rh_strdup(dirname(path));
}

/* The build folder is ours when the folder above it holds profiles/ and base/.
 */
static char *in_tree(const char *name)
{
    RH_AUTO(rh_freep) char *build = own_folder();
    RH_AUTO(rh_freep) char *mark = NULL;

    if (!build)
        return NULL;
    mark = if_there(rh_printf("%s/../base/errors.def", build));
    if (!mark)
        return NULL;
    for (size_t i = 0; i < RH_COUNT(places); i++) {
        size_t n = strlen(places[i].installed);
        const char *tree = places[i].tree;

        if (strncmp(name, places[i].installed, n) ||
            (name[n] && name[n] != '/'))
            continue;
        return if_there(rh_printf("%s%s%s%s", build,
                                  tree[1] == 'T' ? "/.." : "", tree + 2,
                                  name + n));
    }
    return if_there(rh_printf("%s/../%s", build, name));
}

/* PREFIX/share/rehost, from PREFIX/lib or PREFIX/lib/TRIPLET or PREFIX/bin: an
 * installation may be moved, or lie below a DESTDIR. */
static char *beside(const char *name)
{
    RH_AUTO(rh_freep) char *folder = own_folder();
    char *path = NULL;

    if (folder)
        path = if_there(rh_printf("%s/../share/rehost/%s", folder, name));
    if (folder && !path)
        path = if_there(rh_printf("%s/../../share/rehost/%s", folder, name));
    return path;
}

char *rh_data_path(const char *name)
{
    const char *root = secure_getenv("REHOST_DATA");
    char *path = NULL;

    if (root)
        path = if_there(rh_printf("%s/%s", root, name));
    if (!path)
        path = in_tree(name);
    if (!path)
        path = beside(name);
    if (!path)
        path = if_there(rh_printf("%s/%s", RH_DATADIR, name));
    return path;
}

/* PREFIX/libexec/rehost, from PREFIX/lib or PREFIX/lib/TRIPLET. */
char *rh_helper_path(const char *name)
{
    static const char *const ways[] = {"../libexec/rehost",
                                       "../../libexec/rehost"};
    const char *root = secure_getenv("REHOST_LIBEXEC");
    RH_AUTO(rh_freep) char *folder = NULL;
    RH_AUTO(rh_freep) char *mark = in_tree("base/errors.def");
    char *path = NULL;

    if (root)
        return if_there(rh_printf("%s/%s", root, name));
    folder = own_folder();
    if (folder && mark)
        return if_there(rh_printf("%s/%s", folder, name));
    for (size_t i = 0; folder && !path && i < RH_COUNT(ways); i++)
        path = if_there(rh_printf("%s/%s/%s", folder, ways[i], name));
    return path ? path : if_there(rh_printf("%s/%s", RH_LIBEXECDIR, name));
}
