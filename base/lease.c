/* lease.c - leases as small files, taken by link() and kept alive by a thread.
 *
 * Sources of the facts: link(2) is atomic on NFS and its reply may be lost, so
 * the number of links of our own file tells whether it worked (open(2), on
 * O_EXCL); futimens(fd, NULL) sets the server's time on NFS (RFC 1813, SETATTR
 * with SET_TO_SERVER_TIME). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/out.h"
#include "base/random.h"

enum { TEXT_MOST = 4096, TRIES = 5 };

struct rh_lease {
    int dir;
    char *name;
    char token[33];
    unsigned every; /* seconds between two touches */
    atomic_bool lost;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, beating;
    pthread_t thread;
};

/* What a lease file says. */
struct holder {
    char token[33], host[80], machine[64], boot[64], pidns[32], start[32];
    long pid;
    struct stat st;
};

/* --- this process
 * ------------------------------------------------------------ */

/* The first line of a small file of the system; "" when it is not there. */
static void first_line(const char *path, char *ret, size_t room)
{
    FILE *f = fopen(path, "re");

    ret[0] = '\0';
    if (!f)
        return;
    if (!fgets(ret, (int)room, f))
        ret[0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    fclose(f);
}

/* Field 22 of /proc/PID/stat: when it started, in ticks since boot.  The
 * second field, the name, may hold anything up to the last ')'. */
static void start_of(long pid, char *ret, size_t room)
{
    char path[64], line[1024], *p;
    int field = 2;

    ret[0] = '\0';
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    first_line(path, line, sizeof line);
    p = strrchr(line, ')');
    for (; p && *p && field < 22; p++)
        field += *p == ' ';
    if (p && *p)
        snprintf(ret, room, "%.*s", (int)strcspn(p, " "), p);
}

static void this_process(struct holder *h)
{
    ssize_t n = readlink("/proc/self/ns/pid", h->pidns, sizeof h->pidns - 1);

    h->pidns[n > 0 ? n : 0] = '\0';
    h->pid = (long)getpid();
    start_of(h->pid, h->start, sizeof h->start);
    first_line("/etc/machine-id", h->machine, sizeof h->machine);
    first_line("/proc/sys/kernel/random/boot_id", h->boot, sizeof h->boot);
    if (gethostname(h->host, sizeof h->host) < 0)
        h->host[0] = '\0';
    h->host[sizeof h->host - 1] = '\0';
}

static char *holder_json(const struct holder *h)
{
    json_t *doc = json_pack("{s:s, s:s, s:s+, s:s+, s:s+, s:s+, s:I, s:s+}",
                            "schema", "rehost.lease/1", "token", h->token,
                            "host", h->host, "", "machine", h->machine, "",
                            "boot", h->boot, "", "pidns", h->pidns, "", "pid",
                            (json_int_t)h->pid, "start", h->start, "");
    char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

    json_decref(doc);
    return text;
}

/* --- the other's file
 * -------------------------------------------------------- */

static void copy_text(const json_t *doc, const char *key, char *ret,
                      size_t room)
{
    const char *text = json_string_value(json_object_get(doc, key));

    snprintf(ret, room, "%s", text ? text : "");
}

/* -1 with errno when there is none.  One that says nothing (torn, or not ours)
 * has an empty token, and only its age counts.  Opening it makes an NFS client
 * ask the server again. */
static int read_holder(int dir, const char *name, struct holder *ret)
{
    char text[TEXT_MOST];
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    ssize_t n;
    json_t *doc;

    *ret = (struct holder){0};
    if (fd < 0)
        return -1;
    n = fstat(fd, &ret->st) == 0 ? read(fd, text, sizeof text) : -1;
    close(fd);
    if (n < 0)
        return -1;
    doc = json_loadb(text, (size_t)n, 0, NULL);
    copy_text(doc, "token", ret->token, sizeof ret->token);
    copy_text(doc, "host", ret->host, sizeof ret->host);
    copy_text(doc, "machine", ret->machine, sizeof ret->machine);
    copy_text(doc, "boot", ret->boot, sizeof ret->boot);
    copy_text(doc, "pidns", ret->pidns, sizeof ret->pidns);
    copy_text(doc, "start", ret->start, sizeof ret->start);
    ret->pid = (long)json_integer_value(json_object_get(doc, "pid"));
    json_decref(doc);
    return 0;
}

static bool same_system(const struct holder *a, const struct holder *b)
{
    return a->boot[0] && !strcmp(a->boot, b->boot) &&
           !strcmp(a->machine, b->machine) && a->pidns[0] &&
           !strcmp(a->pidns, b->pidns);
}

/* `now`: the file server's clock, as a fresh file shows it. */
static bool lives(const struct holder *h, time_t now, unsigned stale_seconds)
{
    struct holder me = {0};
    char start[32];

    this_process(&me);
    if (h->token[0] && h->pid > 0 && same_system(h, &me)) {
        if (kill((pid_t)h->pid, 0) < 0 && errno == ESRCH)
            return false;
        start_of(h->pid, start, sizeof start);
        return !start[0] || !strcmp(start, h->start);
    }
    return now - h->st.st_mtime <= (time_t)stale_seconds;
}

static char *holder_text(const struct holder *h)
{
    RH_AUTO(rh_freep) char *host = rh_printable(h->host);

    if (!h->token[0])
        return rh_strdup("?");
    return rh_printf(_("pid %ld on %s"), h->pid, host);
}

/* --- keeping it
 * -------------------------------------------------------------- */

/* 1: it is ours, 0: it is not any more, -1: a server that is away for a while.
 */
static int look_again(struct rh_lease *l)
{
    struct holder h;

    if (read_holder(l->dir, l->name, &h) < 0) {
        if (errno != ENOENT && errno != ESTALE)
            return -1;
        atomic_store(&l->lost, true);
    } else if (strcmp(h.token, l->token) != 0) {
        atomic_store(&l->lost, true);
    }
    return !atomic_load(&l->lost);
}

static void beat(struct rh_lease *l)
{
    int fd;

    if (look_again(l) != 1)
        return;
    fd = openat(l->dir, l->name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    futimens(fd, NULL);
    close(fd);
}

static void *keep(void *argument)
{
    struct rh_lease *l = argument;

    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += l->every;
        if (pthread_cond_timedwait(&l->wake, &l->lock, &until) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&l->lock);
        beat(l);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void free_lease(struct rh_lease *l)
{
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    if (l->dir >= 0)
        close(l->dir);
    free(l->name);
    free(l);
}

static struct rh_lease *new_lease(int dir, const char *name,
                                  unsigned stale_seconds)
{
    struct rh_lease *l = rh_new0(struct rh_lease);
    pthread_condattr_t clock;

    l->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    l->name = rh_strdup(name);
    l->every = RH_MAX(stale_seconds / 6, 1);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &clock);
    pthread_condattr_destroy(&clock);
    return l;
}

/* Signals are for the process's own threads. */
static int start_keeping(struct rh_lease *l, rh_error **err)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    failed = pthread_create(&l->thread, NULL, keep, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return rh_fail_errno(err, RH_ERR_MEMORY, failed,
                             "cannot start a thread");
    l->beating = true;
    return 0;
}

bool rh_lease_lost(struct rh_lease *l)
{
    return atomic_load(&l->lost);
}

bool rh_lease_still(struct rh_lease *l)
{
    return look_again(l) != 0;
}

void rh_lease_release(struct rh_lease *l)
{
    struct holder h;

    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    if (l->beating)
        pthread_join(l->thread, NULL);
    if (read_holder(l->dir, l->name, &h) == 0 && !strcmp(h.token, l->token))
        unlinkat(l->dir, l->name, 0);
    free_lease(l);
}

/* --- taking it
 * --------------------------------------------------------------- */

/* Our own file, which is to become the lease: without a name where the file
 * system can (nothing of it is left by a crash), else beside the lease. */
struct own {
    int fd;
    char *name; /* NULL: it has none yet */
};

static void drop_own(struct rh_lease *l, struct own *o)
{
    if (o->name)
        unlinkat(l->dir, o->name, 0);
    free(o->name);
    rh_closep(&o->fd);
    *o = (struct own){.fd = -1};
}

static void open_own(struct rh_lease *l, struct own *o, bool named)
{
    if (!named)
        o->fd = openat(l->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (o->fd >= 0)
        return;
    o->name = rh_printf(".%s.%s", l->name, l->token);
    o->fd = openat(l->dir, o->name,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (o->fd >= 0)
        return;
    free(o->name);
    o->name = NULL;
}

static int write_own(struct rh_lease *l, struct own *o, bool named,
                     rh_error **err)
{
    struct holder me = {0};
    RH_AUTO(rh_freep) char *text = NULL;

    open_own(l, o, named);
    if (o->fd < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot create the lease \"%s\"", l->name);
    this_process(&me);
    memcpy(me.token, l->token, sizeof me.token);
    text = holder_json(&me);
    if (!text)
        return rh_fail(err, RH_ERR_BUG, "a lease cannot be written");
    return rh_pwrite_all(o->fd, text, strlen(text), 0, l->name, err);
}

static int link_own(int dir, const struct own *o, const char *name)
{
    char path[64];

    if (o->name)
        return linkat(dir, o->name, dir, name, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", o->fd);
    return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW);
}

/* 1: it bears that name now, 0: the name is taken, -1: errno. */
static int give_name(int dir, const struct own *o, const char *name)
{
    nlink_t linked = o->name ? 2 : 1;
    struct stat st;
    int why;

    if (link_own(dir, o, name) == 0)
        return 1;
    why = errno;
    if (fstat(o->fd, &st) == 0 && st.st_nlink == linked)
        return 1; /* it was done, only the answer was lost */
    if (o->name && (why == EPERM || why == EOPNOTSUPP || why == ENOSYS)) {
        /* No hard links here (FAT, some FUSE): by a rename, then. */
        if (renameat2(dir, o->name, dir, name, RENAME_NOREPLACE) == 0)
            return 1;
        why = errno;
    }
    errno = why;
    return why == EEXIST ? 0 : -1;
}

/* Put our own in the place of a dead holder's lease.  Of several who would, one
 * bears the name NAME.take meanwhile.  0: another was faster. */
static int take_over(struct rh_lease *l, const struct own *own,
                     const struct holder *dead, time_t now, unsigned stale)
{
    RH_AUTO(rh_freep) char *take = rh_printf("%s.take", l->name);
    struct holder h;
    int got = give_name(l->dir, own, take);

    if (got == 0 && read_holder(l->dir, take, &h) == 0 &&
        !lives(&h, now, stale))
        unlinkat(l->dir, take, 0); /* its maker died in this very step */
    if (got != 1)
        return got;
    got = read_holder(l->dir, l->name, &h) == 0 &&
          !strcmp(h.token, dead->token) && h.st.st_ino == dead->st.st_ino;
    if (got && renameat(l->dir, take, l->dir, l->name) == 0)
        return 1;
    got = got ? -1 : 0;
    unlinkat(l->dir, take, 0);
    return got;
}

/* Once: 1 ours, 0 another's that lives (*ret), 2 try again, -1 errno. */
static int try_once(struct rh_lease *l, const struct own *own, unsigned stale,
                    struct holder *ret)
{
    struct stat fresh;
    int got;

    if (fstat(own->fd, &fresh) < 0)
        return -1;
    got = give_name(l->dir, own, l->name);
    if (got)
        return got;
    if (read_holder(l->dir, l->name, ret) < 0)
        return errno == ENOENT ? 2 : -1; /* given back a moment ago */
    if (lives(ret, fresh.st_mtime, stale))
        return 0;
    got = take_over(l, own, ret, fresh.st_mtime, stale);
    return got ? got : 2;
}

/* A file without a name can't get one everywhere, nor twice: then one that has
 * a name is taken. */
static int take(struct rh_lease *l, unsigned stale, char **ret_holder,
                rh_error **err)
{
    struct own own = {.fd = -1};
    struct holder h = {0};
    int got = 2;

    for (int i = 0; i < TRIES && got == 2; i++) {
        bool named = i > 0;

        if (named && !own.name)
            drop_own(l, &own);
        if (own.fd < 0 && write_own(l, &own, named, err) < 0) {
            drop_own(l, &own);
            return -1;
        }
        got = try_once(l, &own, stale, &h);
        if (got < 0 && !own.name && i + 1 < TRIES)
            got = 2;
    }
    if (got < 0)
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot take the lease \"%s\"", l->name);
    if (got == 2)
        got = 0;
    if (got == 0 && ret_holder)
        *ret_holder = holder_text(&h);
    drop_own(l, &own);
    return got;
}

int rh_lease_take(int dir, const char *name, unsigned stale_seconds,
                  struct rh_lease **ret, char **ret_holder, rh_error **err)
{
    struct rh_lease *l = new_lease(dir, name, stale_seconds);
    int got = rh_random_hex(l->token, 16, err) < 0
                  ? -1
                  : take(l, stale_seconds, ret_holder, err);

    if (got == 1 && start_keeping(l, err) < 0) {
        rh_lease_release(l);
        return -1;
    }
    if (got == 1)
        *ret = l;
    else
        free_lease(l);
    return got;
}

bool rh_lease_is_one(int dir, const char *name)
{
    struct holder h;

    return read_holder(dir, name, &h) == 0 && S_ISREG(h.st.st_mode) &&
           h.token[0];
}

/* This machine's clock may be another than the server's, and may jump. */
static time_t server_time(int dir)
{
    RH_AUTO(rh_closep)
    int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 ? st.st_mtime : time(NULL);
}

bool rh_lease_held(int dir, const char *name, unsigned stale_seconds,
                   char **ret_holder)
{
    struct holder h;

    if (read_holder(dir, name, &h) < 0 ||
        !lives(&h, server_time(dir), stale_seconds))
        return false;
    if (ret_holder)
        *ret_holder = holder_text(&h);
    return true;
}
