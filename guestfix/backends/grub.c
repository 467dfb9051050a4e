/* grub.c - run grub-fstest on volumes that are served over a socket.
 *
 * The program asks for bytes, and they are read from the overlay here, in
 * whatever format the source is: nothing is copied and nothing mounted.  Each
 * command is a process of its own; all of one guest share what they may cost.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/grub.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/data.h"
#include "base/limits.h"
#include "guestfix/guest.h"
#include "zfs/protocol.h"

enum {
    ASK_MS = 200,     /* between two looks for a cancel */
    PATIENCE = 30,    /* seconds that the program may say nothing */
    RUNS_MAX = 4096,  /* commands for one guest */
    SECONDS_MAX = 60, /* of processor time for all of them */
    END_MS = 2,       /* between two looks whether it has ended ... */
    END_MAX = 2500,   /* ... so often */
    WORDS_MAX = 8
};
static const uint64_t served_max = 4 * RH_GIB;

struct rh_grub {
    struct rh_disks *disks;
    const struct rh_volume *const *volumes;
    size_t count;
    char *program, *window;
    uint64_t served, cpu_ms;
    unsigned runs;
    bool dead;
};

/* One command as it runs. */
struct run {
    struct rh_grub *g;
    pid_t pid;
    int socket, output;
    bool complaints, quiet; /* `quiet`: it asks no more */
    uint64_t limit;
    struct rh_buf text;
    rh_error *failure; /* of bytes that could not be served */
};

/* --- where they are
 * ----------------------------------------------------------- */
static char *on_path(const char *name)
{
    const char *path = getenv("PATH");
    RH_AUTO(rh_freep) char *all = rh_strdup(path ? path : "/usr/bin:/bin");
    char *rest = all, *folder;

    while ((folder = strsep(&rest, ":"))) {
        char *file = *folder == '/' ? rh_printf("%s/%s", folder, name) : NULL;

        if (file && access(file, X_OK) == 0)
            return file;
        free(file);
    }
    return NULL;
}

struct rh_grub *rh_grub_new(struct rh_disks *d,
                            const struct rh_volume *const *volumes,
                            size_t count, const char **ret_why)
{
    struct rh_grub *g = rh_new0(struct rh_grub);

    *g = (struct rh_grub){.disks = d,
                          .volumes = volumes,
                          .count = RH_MIN(count, (size_t)RH_ZFS_DISKS),
                          .program = on_path("grub-fstest"),
                          .window = rh_helper_path("rehost-zfs.so")};
    if (!g->program)
        g->program = on_path("grub2-fstest");
    if (!g->program)
        *ret_why = _("GRUB's reader is not installed (the program grub-fstest "
                     "of the package grub-common or grub2-tools-extra)");
    else if (!g->window)
        *ret_why = _("the file rehost-zfs.so, which holds GRUB's reader in its "
                     "sandbox, is not installed");
    else if (strpbrk(g->window, " :$"))
        *ret_why = _("the path of rehost-zfs.so has a blank, a colon or a "
                     "dollar sign, which the dynamic linker would misread");
    else
        return g;
    rh_grub_free(g);
    return NULL;
}

void rh_grub_free(struct rh_grub *g)
{
    free(g->program);
    free(g->window);
    free(g);
}

/* --- starting it
 * -------------------------------------------------------------- */
/* Socket, pipe or /dev/null as descriptors 0 to 2, and nothing else of ours
 * that is not closed on exec; the rest the window closes. */
static int spawn(struct run *r, char *const *argv, int socket, int output)
{
    struct rh_grub *g = r->g;
    RH_AUTO(rh_freep) char *preload = rh_printf("LD_PRELOAD=%s", g->window);
    char *const environment[] = {preload, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int e;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, socket, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (r->complaints)
        posix_spawn_file_actions_adddup2(&actions, output, 2);
    else
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    e = posix_spawn(&r->pid, g->program, &actions, &attributes, argv,
                    environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return e;
}

/* grub-fstest -c N /0 /1 ... WORDS */
static int start(struct run *r, const char *const *words, rh_error **err)
{
    struct rh_grub *g = r->g;
    char number[16], names[RH_ZFS_DISKS][16];
    char *argv[4 + RH_ZFS_DISKS + WORDS_MAX] = {g->program, (char *)"-c",
                                                number};
    size_t n = 3;
    int pair[2], ends[2], e;

    snprintf(number, sizeof number, "%zu", g->count);
    for (size_t i = 0; i < g->count; i++) {
        snprintf(names[i], sizeof names[i], "/%zu", i);
        argv[n++] = names[i];
    }
    for (size_t i = 0; words[i] && i < WORDS_MAX; i++)
        argv[n++] = (char *)words[i];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return rh_fail_errno(err, RH_ERR_SERVICE, errno, "no socket");
    if (pipe2(ends, O_CLOEXEC) < 0) {
        e = errno;
        close(pair[0]);
        close(pair[1]);
        return rh_fail_errno(err, RH_ERR_SERVICE, e, "no pipe");
    }
    r->socket = pair[0];
    r->output = ends[0];
    e = spawn(r, argv, pair[1], ends[1]);
    close(pair[1]);
    close(ends[1]);
    return e ? rh_fail_errno(err, RH_ERR_SERVICE, e, "%s", g->program) : 0;
}

/* --- serving it
 * --------------------------------------------------------------- */
static int damaged(const struct rh_grub *g, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                   "the ZFS pool on %s ended the program that reads it",
                   g->volumes[0]->device);
}
#ifdef __clang_analyzer__ /* it does not look in here */
#define damaged(...) (damaged(__VA_ARGS__), -1)
#endif

/* The bytes that are there, 0 past the end. */
static int serve_bytes(struct run *r, const struct rh_zfs_ask *q, uint8_t *to,
                       uint64_t *ret)
{
    const struct rh_volume *v = r->g->volumes[q->disk];
    uint64_t size = rh_volume_bytes(v);
    uint64_t n = q->at < size ? RH_MIN((uint64_t)q->length, size - q->at) : 0;

    rh_error_drop(&r->failure);
    if (n &&
        rh_volume_read(r->g->disks, v, to, (size_t)n, q->at, &r->failure) < 0)
        return -1;
    r->g->served += n;
    *ret = n;
    return 0;
}

/* One request, one answer; false: the program is not what it was. */
static bool serve(struct run *r)
{
    static const struct rh_zfs_answer refused = {UINT64_MAX};
    uint8_t answer[sizeof(struct rh_zfs_answer) + RH_ZFS_PART];
    size_t size = sizeof(struct rh_zfs_answer);
    struct rh_zfs_answer head = refused;
    struct rh_zfs_ask q;
    ssize_t got = recv(r->socket, &q, sizeof q, MSG_DONTWAIT | MSG_TRUNC);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0) { /* it ends: what it printed is left */
        r->quiet = true;
        return true;
    }
    if (got != (ssize_t)sizeof q || q.disk >= r->g->count ||
        q.length > RH_ZFS_PART || r->g->served > served_max)
        return false;
    if (!q.length)
        head.value = rh_volume_bytes(r->g->volumes[q.disk]);
    else if (serve_bytes(r, &q, answer + size, &head.value) == 0)
        size += (size_t)head.value;
    memcpy(answer, &head, sizeof head);
    /* One request is under way at most: there is room for its answer. */
    return send(r->socket, answer, size, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           (ssize_t)size;
}

/* 1: more may come; 0: the end; -1: too much. */
static int take_output(struct run *r)
{
    char part[16 * 1024];
    ssize_t got = read(r->output, part, sizeof part);

    if (got < 0)
        return errno == EINTR ? 1 : 0;
    if (got == 0)
        return 0;
    if ((uint64_t)got > r->limit - r->text.length)
        return -1;
    rh_buf_add(&r->text, part, (size_t)got);
    return 1;
}

enum ended { BY_ITSELF, TOO_MUCH, SILENT, BROKEN, CANCELLED };

/* Until its output ends. */
static enum ended attend(struct run *r, rh_error **err)
{
    struct pollfd p[] = {{.fd = r->socket, .events = POLLIN},
                         {.fd = r->output, .events = POLLIN}};
    rh_lib *lib = rh_disks_lib(r->g->disks);
    unsigned idle = 0;

    while (idle < PATIENCE * 1000 / ASK_MS) {
        int n = poll(p, RH_COUNT(p), ASK_MS);

        if (lib && rh_go_on(lib, err) < 0)
            return CANCELLED;
        if (n == 0) {
            idle++;
            continue;
        }
        idle = 0;
        if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && !serve(r))
            return BROKEN;
        if (r->quiet)
            p[0].fd = -1;
        if (p[1].revents & (POLLIN | POLLHUP | POLLERR)) {
            int more = take_output(r);

            if (more <= 0)
                return more ? TOO_MUCH : BY_ITSELF;
        }
    }
    return SILENT;
}

/* Its exit status; -1: a signal ended it.  When nobody reads or answers any
 * more it has no reason to go on. */
static int reap(struct run *r, bool by_force)
{
    struct rusage used;
    int status, waited = 0;
    pid_t got;

    if (r->socket >= 0)
        close(r->socket);
    r->socket = -1;
    for (;;) {
        if (by_force)
            kill(r->pid, SIGKILL);
        got = wait4(r->pid, &status, by_force ? 0 : WNOHANG, &used);
        if (got == r->pid)
            break;
        if (got < 0 && errno != EINTR)
            return -1;
        if (got == 0)
            poll(NULL, 0, END_MS);
        by_force |= ++waited == END_MAX;
    }
    r->g->cpu_ms +=
        (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
        (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void run_close(struct run *r)
{
    if (r->socket >= 0)
        close(r->socket);
    if (r->output >= 0)
        close(r->output);
    rh_buf_free(&r->text);
    rh_error_free(r->failure);
}

/* How it ended, as the caller is told. */
static int judge(struct run *r, enum ended how, int status,
                 struct rh_grub_output *ret, rh_error **err)
{
    struct rh_grub *g = r->g;

    if (how == CANCELLED)
        return -1;
    if (r->failure) { /* the disk's fault, not the pool's */
        if (err && !*err)
            *err = RH_TAKE(r->failure);
        return -1;
    }
    if (how == TOO_MUCH)
        return rh_fail(err, RH_ERR_FILE_TYPE, "a file in the guest is too big");
    if (how != BY_ITSELF || status < 0 || status == RH_ZFS_NO_WALLS) {
        g->dead = true;
        if (status == RH_ZFS_NO_WALLS)
            return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                           "the kernel gives no sandbox (seccomp) for the "
                           "program that reads ZFS");
        return damaged(g, err);
    }
    ret->failed = status != 0;
    ret->size = r->text.length;
    ret->bytes = rh_buf_take(&r->text);
    return 0;
}

int rh_grub_run(struct rh_grub *g, const char *const *words, bool complaints,
                uint64_t limit, struct rh_grub_output *ret, rh_error **err)
{
    RH_AUTO(run_close)
    struct run r = {.g = g,
                    .socket = -1,
                    .output = -1,
                    .complaints = complaints,
                    .limit = limit};
    enum ended how;
    int status;

    if (g->dead || g->runs++ == RUNS_MAX || g->cpu_ms > SECONDS_MAX * 1000) {
        g->dead = true;
        return damaged(g, err);
    }
    rh_buf_puts(&r.text, "");
    if (start(&r, words, err) < 0)
        return -1;
    how = attend(&r, err);
    status = reap(&r, how != BY_ITSELF);
    return judge(&r, how, status, ret, err);
}
