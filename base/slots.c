/* slots.c - connections to a server as locked bytes of a file.
 *
 * Each slot that is held has a descriptor of its own: locks of open file
 * descriptions exclude each other also within a process, and go with it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/state.h"
#include "base/wait.h"

enum {
    WAITING = 1 << 20, /* the byte that who waits locks */
    SHARE = 5000,      /* ms that one slot is kept while others wait */
    LOOK = 250,        /* ms between two looks for such */
    ACTIVE = 2000,     /* ms: who has read since shares the slots out */
    IDLE = 1000,       /* ms without a read: given back to who waits, */
    LONG = 30000,      /* or to nobody */
    KEEP = 500,        /* ms between two looks for idle ones */
    SAY = 3000,        /* ms of waiting that are told */
};

struct rh_slots {
    rh_lib *lib;
    char *server, *path;
    unsigned count;
    pthread_mutex_t lock;
    pthread_cond_t news;
    RH_VEC(struct rh_slots_user *) users;
    pthread_t thread;
    bool keeping, ending;
    bool alone;             /* no file: this process's count alone */
    unsigned used, waiting; /* where it is alone */
    bool told_alone, told_wait;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- locks ------------------------------------------------------------------
 */

static int lock_byte(int fd, int command, short kind, off_t at)
{
    struct flock l = {
        .l_type = kind, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    if (fcntl(fd, command, &l) < 0)
        return -1;
    return command == F_OFD_GETLK && l.l_type == F_UNLCK;
}

static int open_file(const struct rh_slots *s)
{
    return open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* The lock is held. */
static void be_alone(struct rh_slots *s)
{
    int why = errno;

    s->alone = true;
    if (s->told_alone)
        return;
    s->told_alone = true;
    rh_log(s->lib, RH_LOG_WARN,
           _("%s: how many connections other runs have there is not known (%s: "
             "%s); this one opens at most %u"),
           s->server, s->path, strerror(why), s->count);
}

static bool is_taken(int why)
{
    return why == EAGAIN || why == EACCES;
}

/* A descriptor that holds one, -1: none is free; or it is alone now. */
static int take_byte(struct rh_slots *s)
{
    int fd = open_file(s);
    int why = EAGAIN;

    if (fd < 0) {
        be_alone(s);
        return -1;
    }
    for (unsigned i = 0; i < s->count && is_taken(why); i++) {
        if (lock_byte(fd, F_OFD_SETLK, F_WRLCK, (off_t)i) == 0)
            return fd;
        why = errno;
    }
    close(fd);
    errno = why;
    if (!is_taken(why))
        be_alone(s);
    return -1;
}

/* The lock is held. */
static bool take(struct rh_slots *s, struct rh_slots_user *u)
{
    int fd = s->alone ? -1 : take_byte(s);

    if (fd < 0 && !(s->alone && s->used < s->count))
        return false;
    s->used += fd < 0;
    if (!u->count)
        u->since = now_ms();
    u->fds[u->count++] = fd;
    return true;
}

/* The lock is held. */
static void give(struct rh_slots_user *u)
{
    while (u->count) {
        int fd = u->fds[--u->count];

        if (fd >= 0)
            close(fd);
        else
            u->slots->used--;
    }
}

/* The lock is held. */
static bool is_wanted(struct rh_slots *s)
{
    int fd, none;

    if (s->alone)
        return s->waiting > 0;
    fd = open_file(s);
    if (fd < 0)
        return false;
    none = lock_byte(fd, F_OFD_GETLK, F_WRLCK, WAITING);
    close(fd);
    return none == 0;
}

/* --- readers that nobody reads from -----------------------------------------
 */

/* Of those that have been idle for that long, the one that was so first gives
 * way.  The lock is held. */
static bool take_from_idle(struct rh_slots *s, const struct rh_slots_user *but,
                           uint64_t idle)
{
    uint64_t now = now_ms(), after = 0;

    for (;;) {
        struct rh_slots_user *oldest = NULL;

        for (size_t i = 0; i < s->users.count; i++) {
            struct rh_slots_user *u = s->users.items[i];

            if (u != but && u->count && u->let_go && u->touched >= after &&
                now - u->touched >= idle &&
                (!oldest || u->touched < oldest->touched))
                oldest = u;
        }
        if (!oldest)
            return false;
        if (oldest->let_go(oldest->user))
            return true;
        after = oldest->touched + 1;
    }
}

/* A process may sleep on what it has opened: a plugin of nbdkit for days. */
static void *keep(void *user)
{
    struct rh_slots *s = user;

    pthread_mutex_lock(&s->lock);
    while (!s->ending) {
        rh_wait_cond(&s->news, &s->lock, KEEP);
        while (!s->ending && (take_from_idle(s, NULL, LONG) ||
                              (is_wanted(s) && take_from_idle(s, NULL, IDLE))))
            ;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* The lock is held.  Signals are for the process's own threads. */
static void start_keeping(struct rh_slots *s)
{
    sigset_t all, before;

    if (s->keeping)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->keeping = pthread_create(&s->thread, NULL, keep, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- a user -----------------------------------------------------------------
 */

void rh_slots_join(struct rh_slots *s, struct rh_slots_user *u)
{
    u->slots = s;
    u->count = 0;
    u->touched = now_ms();
    pthread_mutex_lock(&s->lock);
    *rh_vec_add(&s->users) = u;
    start_keeping(s);
    pthread_mutex_unlock(&s->lock);
}

void rh_slots_leave(struct rh_slots_user *u)
{
    struct rh_slots *s = u->slots;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    give(u);
    for (size_t i = 0; i < s->users.count; i++)
        if (s->users.items[i] == u)
            s->users.items[i--] = s->users.items[--s->users.count];
    pthread_mutex_unlock(&s->lock);
    u->slots = NULL;
}

void rh_slots_give(struct rh_slots_user *u)
{
    pthread_mutex_lock(&u->slots->lock);
    give(u);
    pthread_mutex_unlock(&u->slots->lock);
}

void rh_slots_gone(struct rh_slots_user *u)
{
    give(u);
}

/* Said to all processes; -1: to this one. */
static int say_waiting(struct rh_slots *s)
{
    int fd = s->alone ? -1 : open_file(s);

    if (fd >= 0 && lock_byte(fd, F_OFD_SETLK, F_RDLCK, WAITING) < 0) {
        close(fd);
        fd = -1;
    }
    s->waiting++;
    return fd;
}

static void say_long(struct rh_slots *s, uint64_t began)
{
    bool told = s->told_wait;

    if (told || now_ms() - began < SAY)
        return;
    s->told_wait = true;
    rh_log(s->lib, RH_LOG_WARN,
           _("%s: waiting for a connection: %u are open, by other runs, too, "
             "and it gets no more"),
           s->server, s->count);
}

/* The lock is held, but for naps. */
static int wait_for_one(struct rh_slots_user *u, rh_lib *lib, rh_error **err)
{
    struct rh_slots *s = u->slots;
    uint64_t began = now_ms();
    int failed = 0;

    while (!failed && !take(s, u)) {
        if (take_from_idle(s, u, 0))
            continue;
        say_long(s, began);
        pthread_mutex_unlock(&s->lock);
        failed = rh_wait_nap(lib, err);
        pthread_mutex_lock(&s->lock);
    }
    return failed;
}

int rh_slots_wait(struct rh_slots_user *u, rh_lib *lib, rh_error **err)
{
    struct rh_slots *s = u->slots;
    int failed = 0, fd;

    pthread_mutex_lock(&s->lock);
    u->touched = now_ms();
    if (is_wanted(s) || !take(s, u)) {
        bool behind = is_wanted(s); /* others: they come first */

        fd = say_waiting(s);
        if (behind) {
            pthread_mutex_unlock(&s->lock);
            failed = rh_wait_nap(lib, err);
            pthread_mutex_lock(&s->lock);
        }
        if (!failed)
            failed = wait_for_one(u, lib, err);
        s->waiting--;
        rh_closep(&fd);
    }
    u->touched = now_ms();
    pthread_mutex_unlock(&s->lock);
    return failed;
}

/* Several readers at once share them.  The lock is held. */
static unsigned share_of(const struct rh_slots *s, uint64_t now)
{
    unsigned active = 0;

    for (size_t i = 0; i < s->users.count; i++)
        active += now - s->users.items[i]->touched < ACTIVE;
    return active ? RH_MAX(s->count / active, 1u) : s->count;
}

bool rh_slots_more(struct rh_slots_user *u)
{
    struct rh_slots *s = u->slots;
    bool got = false;

    pthread_mutex_lock(&s->lock);
    if (u->count && u->count < share_of(s, now_ms()) && !is_wanted(s))
        got = take(s, u);
    pthread_mutex_unlock(&s->lock);
    return got;
}

bool rh_slots_due(struct rh_slots_user *u)
{
    struct rh_slots *s = u->slots;
    uint64_t now = now_ms();
    bool due = false;

    pthread_mutex_lock(&s->lock);
    u->touched = now;
    if (u->count && now - u->looked >= LOOK) {
        u->looked = now;
        due = (u->count > 1 || now - u->since >= SHARE) && is_wanted(s);
    }
    pthread_mutex_unlock(&s->lock);
    return due;
}

bool rh_slots_free(struct rh_slots *s)
{
    struct rh_slots_user u = {.slots = s};
    bool got;

    pthread_mutex_lock(&s->lock);
    got = take(s, &u);
    give(&u);
    pthread_mutex_unlock(&s->lock);
    return got;
}

/* --- all of a library -------------------------------------------------------
 */

struct pool {
    pthread_mutex_t lock;
    RH_VEC(struct rh_slots *) all;
};

static void *pool_make(rh_error **err)
{
    struct pool *p = rh_new0(struct pool);

    (void)err;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void slots_free(struct rh_slots *s)
{
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_broadcast(&s->news);
    pthread_mutex_unlock(&s->lock);
    if (s->keeping)
        pthread_join(s->thread, NULL);
    free(s->users.items);
    free(s->server);
    free(s->path);
    pthread_cond_destroy(&s->news);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void pool_free(void *thing)
{
    struct pool *p = thing;

    for (size_t i = 0; i < p->all.count; i++)
        slots_free(p->all.items[i]);
    free(p->all.items);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static struct rh_slots *slots_new(rh_lib *lib, const char *server,
                                  unsigned count)
{
    struct rh_slots *s = rh_new0(struct rh_slots);
    RH_AUTO(rh_freep) char *folder = rh_state_path("slots");
    RH_AUTO(rh_freep) char *name = rh_strdup(server);

    for (char *p = name; *p; p++)
        if (*p == ':' || *p == '[' || *p == ']' || *p == '/')
            *p = '_';
    while (lib->of)
        lib = lib->of;
    s->lib = lib;
    s->server = rh_strdup(server);
    s->path = rh_printf("%s/%s", folder, name);
    s->count = RH_MIN(RH_MAX(count, 1u), (unsigned)RH_SLOTS_MOST);
    pthread_mutex_init(&s->lock, NULL);
    rh_wait_cond_init(&s->news);
    if (rh_make_folders(folder, 0700) < 0)
        be_alone(s);
    return s;
}

struct rh_slots *rh_slots_of(rh_lib *lib, const char *server, unsigned count)
{
    static const struct rh_keep kept = {pool_make, pool_free};
    struct pool *p = rh_lib_keep(lib, &kept, NULL);
    struct rh_slots *s = NULL;

    if (!p)
        return NULL;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->all.count && !s; i++)
        if (!strcmp(p->all.items[i]->server, server))
            s = p->all.items[i];
    if (!s)
        s = *rh_vec_add(&p->all) = slots_new(lib, server, count);
    pthread_mutex_unlock(&p->lock);
    return s;
}
