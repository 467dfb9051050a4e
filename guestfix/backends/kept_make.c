/* kept_make.c - running the recipe of the kept appliance. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/kept_make.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "base/wait.h"

enum { TENTHS_MAX = 3000, SAID_MAX = 4096 };

char *rh_kept_text(int folder, const char *name, size_t max)
{
    int fd RH_AUTO(rh_closep) =
        openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    RH_AUTO(rh_buf_free) struct rh_buf all = {0};
    struct stat st;
    char piece[8192];
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return NULL;
    while ((n = read(fd, piece, sizeof piece)) > 0) {
        if (all.length + (size_t)n > max)
            return NULL;
        rh_buf_add(&all, piece, (size_t)n);
    }
    return n < 0 ? NULL : rh_buf_take(&all);
}

/* In a process group of its own, so that all of it can be ended. */
static int start(char *const *argv, int said, pid_t *ret)
{
    static char c[] = "LC_ALL=C";
    char *environment[] = {c, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, said, 1);
    posix_spawn_file_actions_adddup2(&files, said, 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    r = posix_spawn(ret, argv[0], &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return r;
}

/* -1: cancelled, or it takes too long; it is ended then. */
static int wait_for(rh_lib *lib, pid_t pid, int *ret_status, rh_error **err)
{
    for (unsigned i = 0; i < TENTHS_MAX; i++) {
        pid_t ended = waitpid(pid, ret_status, WNOHANG);

        if (ended == pid)
            return 0;
        if (ended < 0 && errno != EINTR)
            return rh_fail_errno(err, RH_ERR_SERVICE, errno, "/bin/sh");
        if (rh_wait_nap(lib, err) < 0)
            break;
    }
    kill(-pid, SIGKILL);
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        continue;
    if (err && *err)
        return -1;
    return rh_fail(err, RH_ERR_SERVICE, "making it took too long");
}

int rh_kept_make(rh_lib *lib, const char *recipe, const char *path,
                 const char *supermin, const char *init, bool emulated,
                 rh_error **err)
{
    const char *const argv[] = {"/bin/sh", recipe,
                                path,      supermin,
                                init,      emulated ? NULL : "--plain-kernel",
                                NULL};
    int said RH_AUTO(rh_closep) = memfd_create("rehost", MFD_CLOEXEC);
    char text[SAID_MAX + 1];
    int why, status = 0;
    ssize_t n;
    pid_t pid;

    if (said < 0)
        return rh_fail_errno(err, RH_ERR_MEMORY, errno, "%s", recipe);
    why = start((char *const *)(uintptr_t)argv, said, &pid);
    if (why)
        return rh_fail_errno(err, RH_ERR_SERVICE, why, "/bin/sh");
    if (wait_for(lib, pid, &status, err) < 0)
        return -1;
    n = pread(said, text, SAID_MAX, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return rh_fail(err, RH_ERR_SERVICE, "making another one: %s",
                       text[0] ? text : "failed");
    return 0;
}
