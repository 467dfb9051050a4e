/* program.c - run one of the hypervisor's own programs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/wait.h"
#include "deliver/local/local.h"

extern char **environ;

enum { OUTPUT_MAX = 1024 * 1024, LAST = 600 };

bool rh_program_there(const char *name)
{
    const char *path = secure_getenv("PATH");

    for (const char *p = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        RH_AUTO(rh_freep) char *file = rh_printf("%.*s/%s", (int)n, p, name);

        if (n && access(file, X_OK) == 0)
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static int start(const char *const *argv, int *ret_fd, pid_t *ret_pid,
                 rh_error **err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    int pipes[2], why;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "no pipe");
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, pipes[1], 1);
    posix_spawn_file_actions_adddup2(&files, pipes[1], 2);
    /* Who serves has signals blocked (split.c), its programs do not. */
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    why = posix_spawnp(ret_pid, argv[0], &files, &attributes,
                       (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    close(pipes[1]);
    if (why == 0) {
        *ret_fd = pipes[0];
        return 0;
    }
    close(pipes[0]);
    return rh_fail_errno(err, RH_ERR_FILE_OPEN, why, "cannot run %s", argv[0]);
}

static int read_all(rh_lib *lib, int fd, struct rh_buf *b, rh_error **err)
{
    char part[4096];
    size_t n = 1;

    while (n) {
        if (rh_wait_read(lib, fd, part, sizeof part, &n, err) < 0)
            return -1;
        if (b->length < OUTPUT_MAX)
            rh_buf_add(b, part, n);
    }
    rh_buf_puts(b, "");
    return 0;
}

/* Its last words, in one line. */
static char *last_words(const struct rh_buf *b)
{
    size_t skip = b->length > LAST ? b->length - LAST : 0;
    char *text = rh_strdup(b->data + skip);
    size_t n = strlen(text);

    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        text[--n] = '\0';
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ' ';
    return text;
}

char *rh_program_run(rh_lib *lib, const char *const *argv, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    RH_AUTO(rh_closep) int fd = -1;
    RH_AUTO(rh_freep) char *words = NULL;
    pid_t pid = -1;
    int status = 0, failed;

    if (start(argv, &fd, &pid, err) < 0)
        return NULL;
    failed = read_all(lib, fd, &b, err);
    if (failed)
        kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (failed)
        return NULL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return rh_buf_take(&b);
    words = last_words(&b);
    rh_fail(err, RH_ERR_DELIVERY_FAILED, "%s %s failed: %s", argv[0],
            argv[1] ? argv[1] : "", words);
    return NULL;
}
