/* xen.c - the Xen PV drivers' own installer runs at the first start.
 *
 * Its drivers come in three layers that only work together; none of them is
 * put in from outside.  The guest starts on emulated devices, and the MSI
 * package that --drivers holds does the rest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guestfix/windows/fixes/firstboot.h"

enum { MSI_MAX = 256 * 1024 * 1024 };

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n > m && !strcasecmp(name + n - m, end);
}

/* "x64" and "x86" in the name say for which Windows a package is. */
static bool is_for(const struct rh_windows *w, const char *name)
{
    bool small = w->architecture && !strcmp(w->architecture, "x86");

    return ends_with(name, ".msi") && rh_win_is_plain(name) &&
           !strchr(name, ' ') && !strcasestr(name, small ? "x64" : "x86");
}

/* The first package by name in that folder; NULL: none. */
static char *find_package(const struct rh_windows *w, const char *folder)
{
    struct dirent **all = NULL;
    int n = scandir(folder, &all, NULL, alphasort);
    char *found = NULL;

    for (int i = 0; i < n; i++) {
        if (!found && is_for(w, all[i]->d_name))
            found = rh_strdup(all[i]->d_name);
        free(all[i]);
    }
    free(all);
    return found;
}

static int read_package(const char *folder, const char *name, void **ret,
                        size_t *ret_n, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);
    RH_AUTO(rh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    RH_AUTO(rh_freep) char *bytes = NULL;
    struct stat st;
    size_t done = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "%s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > MSI_MAX)
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is no installer package",
                       path);
    bytes = rh_alloc_big((size_t)st.st_size + 1, err);
    while (bytes && done < (size_t)st.st_size) {
        ssize_t got =
            pread(fd, bytes + done, (size_t)st.st_size - done, (off_t)done);

        if (got <= 0)
            return rh_fail_errno(err, RH_ERR_FILE_READ, errno, "%s", path);
        done += (size_t)got;
    }
    *ret = RH_TAKE(bytes);
    *ret_n = done;
    return *ret ? 0 : -1;
}

int rh_win_stage_xen_tools(struct rh_fix_job *j, struct rh_win_job *job,
                           rh_error **err)
{
    RH_AUTO(rh_freep) char *name = NULL;
    RH_AUTO(rh_freep) void *bytes = NULL;
    size_t n = 0;

    if (!j->o->machine->needs_pv_drivers || !j->o->drivers)
        return 0;
    name = find_package(rh_win_of(j), j->o->drivers);
    if (!name)
        return 0;
    if (read_package(j->o->drivers, name, &bytes, &n, err) < 0 ||
        rh_win_job_put(j, name, bytes, n, err) < 0)
        return -1;
    rh_win_step(&job->after, NULL, RH_WIN_NEEDED,
                "msiexec /i %s /qn /norestart", name);
    return 0;
}
