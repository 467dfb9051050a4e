/* nbd.c - an NBD server's export: connections shared by all threads.
 *
 * A thread takes a connection for one operation and gives it back.  A further
 * one is made when all are taken and the server says that it allows it.  Who
 * reads goes on over a new connection when one breaks; who writes does not:
 * what the server had not flushed by then may be lost. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/nbd.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/nbd_link.h"
#include "base/wait.h"

enum {
    LINKS_MAX = 4,
    TRIES = 6,         /* of an operation over broken connections */
    TRIES_REFUSED = 3, /* of one that the server answers with an I/O error */
    WAIT_MS = 200,
    RUNS_MAX = 1000000, /* of the map that is kept, 16 bytes each */
    ASKS_MAX = 1000000, /* requests for the map */
};

/* Runs that are not told to be zero, in order, apart from each other; from
 * `known` on nothing is known yet. */
struct span {
    uint64_t start, end;
};
struct map {
    pthread_mutex_t lock;
    RH_VEC(struct span) data;
    uint64_t known;
    unsigned asks;
    bool given_up; /* the rest is taken for data */
};

struct rh_nbd {
    rh_lib *lib;
    char *uri, *shown, *ca_file;
    enum rh_nbd_use use;
    struct rh_nbd_facts facts;
    pthread_mutex_t lock; /* of the links */
    pthread_cond_t news;
    struct rh_nbd_link *idle[LINKS_MAX];
    size_t idle_count, made, most;
    pthread_mutex_t edges; /* of blocks that are written in part */
    struct map map;
};

/* --- addresses -------------------------------------------------------------
 */

bool rh_is_nbd(const char *name)
{
    static const char *const schemes[] = {"nbd://", "nbds://", "nbd+unix://",
                                          "nbds+unix://"};

    for (size_t i = 0; i < RH_COUNT(schemes); i++)
        if (!strncasecmp(name, schemes[i], strlen(schemes[i])))
            return true;
    return false;
}

static char *without_ending(const char *name, size_t n)
{
    char *copy = rh_strndup(name, n), *dot = strrchr(copy, '.');

    if (dot && dot > copy)
        *dot = '\0';
    return copy;
}

static char *socket_name(const char *query)
{
    const char *socket = query ? strstr(query, "socket=") : NULL, *slash;
    size_t n;

    if (!socket)
        return NULL;
    socket += strlen("socket=");
    n = strcspn(socket, "&");
    slash = memrchr(socket, '/', n);
    if (slash) {
        n -= (size_t)(slash + 1 - socket);
        socket = slash + 1;
    }
    return n ? without_ending(socket, n) : NULL;
}

char *rh_nbd_disk_name(const char *uri)
{
    const char *host = strstr(uri, "://"), *path, *at;
    char *name;

    host = host ? host + 3 : uri;
    path = host + strcspn(host, "/?");
    if (*path == '/' && strcspn(path + 1, "?"))
        return rh_strndup(path + 1, strcspn(path + 1, "?"));
    name = socket_name(strchr(path, '?'));
    if (name)
        return name;
    at = memrchr(host, '@', (size_t)(path - host));
    host = at ? at + 1 : host;
    return path > host ? rh_strndup(host, strcspn(host, ":/?"))
                       : rh_strdup("disk");
}

static void pass_on(rh_error **err, rh_error *why)
{
    if (err && !*err)
        *err = why;
    else
        rh_error_free(why);
}

/* --- connections -----------------------------------------------------------
 */

static struct rh_nbd_link *new_link(struct rh_nbd *n,
                                    enum rh_nbd_outcome *ret_outcome,
                                    rh_error **err)
{
    struct rh_nbd_facts facts;
    struct rh_nbd_link *l =
        rh_nbd_link_open(n->lib, n->uri, n->ca_file, &facts, ret_outcome, err);

    if (!l || (facts.size == n->facts.size && facts.block <= n->facts.block))
        return l;
    rh_nbd_link_close(l);
    *ret_outcome = RH_NBD_STOPPED; /* trying again is of no use */
    rh_fail(err, RH_ERR_NBD_ANSWER,
            "the export changed: it had %llu bytes, and now has %llu",
            (unsigned long long)n->facts.size, (unsigned long long)facts.size);
    return NULL;
}

static void forget_link(struct rh_nbd *n)
{
    pthread_mutex_lock(&n->lock);
    n->made--;
    pthread_cond_signal(&n->news);
    pthread_mutex_unlock(&n->lock);
}

static void drop_link(struct rh_nbd *n, struct rh_nbd_link *l)
{
    rh_nbd_link_close(l);
    forget_link(n);
}

static void put_link(struct rh_nbd *n, struct rh_nbd_link *l)
{
    pthread_mutex_lock(&n->lock);
    n->idle[n->idle_count++] = l;
    pthread_cond_signal(&n->news);
    pthread_mutex_unlock(&n->lock);
}

/* One that is idle, or the right to make one: then NULL is returned, and
 * `made` counts it. */
static struct rh_nbd_link *idle_link(struct rh_nbd *n,
                                     enum rh_nbd_outcome *ret_outcome,
                                     rh_error **err)
{
    struct rh_nbd_link *l = NULL;

    *ret_outcome = RH_NBD_DONE;
    pthread_mutex_lock(&n->lock);
    while (!n->idle_count && n->made >= n->most) {
        rh_wait_cond(&n->news, &n->lock, WAIT_MS);
        if (rh_go_on(n->lib, err) < 0) {
            pthread_mutex_unlock(&n->lock);
            *ret_outcome = RH_NBD_STOPPED;
            return NULL;
        }
    }
    if (n->idle_count)
        l = n->idle[--n->idle_count];
    else
        n->made++;
    pthread_mutex_unlock(&n->lock);
    return l;
}

/* A server may refuse one more: those that are there do, then. */
static bool do_with_fewer(struct rh_nbd *n)
{
    bool others;

    pthread_mutex_lock(&n->lock);
    others = n->made > 1;
    if (others)
        n->most = n->made - 1;
    pthread_mutex_unlock(&n->lock);
    return others;
}

static struct rh_nbd_link *take_link(struct rh_nbd *n,
                                     enum rh_nbd_outcome *ret_outcome,
                                     rh_error **err)
{
    for (;;) {
        struct rh_nbd_link *l = idle_link(n, ret_outcome, err);
        rh_error *why = NULL;
        bool fewer;

        if (l || *ret_outcome != RH_NBD_DONE)
            return l;
        l = new_link(n, ret_outcome, &why);
        if (l)
            return l;
        fewer = *ret_outcome == RH_NBD_BROKEN && do_with_fewer(n);
        forget_link(n);
        if (!fewer) {
            pass_on(err, why);
            return NULL;
        }
        rh_error_free(why);
    }
}

static int nap(struct rh_nbd *n, unsigned tries, rh_error **err)
{
    for (unsigned tenths = 2u << tries; tenths; tenths--)
        if (rh_wait_nap(n->lib, err) < 0)
            return -1;
    return 0;
}

/* --- operations ------------------------------------------------------------
 */

static int refused(const struct rh_nbd *n, const struct rh_nbd_op *op,
                   int number, rh_error **err)
{
    if (op->kind == RH_NBD_OP_READ)
        rh_fail_errno(err, RH_ERR_FILE_READ, number,
                      "the server cannot read at 0x%llx",
                      (unsigned long long)op->offset);
    else if (op->kind == RH_NBD_OP_STATUS)
        rh_fail_errno(err, RH_ERR_FILE_READ, number,
                      "the server cannot tell what is at 0x%llx",
                      (unsigned long long)op->offset);
    else if (op->kind == RH_NBD_OP_FLUSH)
        rh_fail_errno(err, RH_ERR_FILE_WRITE, number,
                      "the server cannot bring all to the medium");
    else
        rh_fail_errno(err, RH_ERR_FILE_WRITE, number,
                      "the server cannot write at 0x%llx",
                      (unsigned long long)op->offset);
    return rh_error_subject(err, n->shown);
}

struct tries {
    unsigned broken, refused;
};

/* Is there to be one more try?  *err is why not, or is left alone. */
static bool go_on(struct rh_nbd *n, struct tries *t, rh_error *why,
                  rh_error **err)
{
    bool more = n->use == RH_NBD_READ && ++t->broken < TRIES;

    if (!more) {
        pass_on(err, why);
        return false;
    }
    rh_log(n->lib, RH_LOG_WARN, "%s: %s; connecting again", n->shown,
           rh_error_message(why));
    rh_error_free(why);
    return nap(n, t->broken, err) == 0;
}

/* The server's EIO may pass, too. */
static bool ask_again(struct rh_nbd *n, const struct rh_nbd_op *op,
                      struct tries *t, int number, rh_error **err)
{
    if (number != EIO || n->use != RH_NBD_READ || op->kind != RH_NBD_OP_READ ||
        ++t->refused >= TRIES_REFUSED)
        return false;
    return nap(n, t->refused, err) == 0;
}

/* 0, -1, or 1 when the server refuses and *ret_errno (may be NULL) takes it. */
static int perform(struct rh_nbd *n, const struct rh_nbd_op *op, int *ret_errno,
                   rh_error **err)
{
    struct tries tries = {0};

    for (;;) {
        enum rh_nbd_outcome outcome;
        rh_error *why = NULL;
        int number = 0;
        struct rh_nbd_link *l = take_link(n, &outcome, &why);

        if (l)
            outcome = rh_nbd_link_do(l, op, &number, &why);
        if (outcome == RH_NBD_DONE || outcome == RH_NBD_REFUSED)
            put_link(n, l);
        else if (l)
            drop_link(n, l);
        if (outcome == RH_NBD_DONE)
            return 0;
        if (outcome == RH_NBD_REFUSED) {
            if (ask_again(n, op, &tries, number, err))
                continue;
            if (!ret_errno)
                return refused(n, op, number, err);
            *ret_errno = number;
            return 1;
        }
        if (outcome == RH_NBD_STOPPED)
            pass_on(err, why);
        else if (go_on(n, &tries, why, err))
            continue;
        return rh_error_subject(err, n->shown);
    }
}

static bool is_aligned(const struct rh_nbd *n, uint64_t size, uint64_t offset)
{
    return offset % n->facts.block == 0 && size % n->facts.block == 0;
}

/* Whole blocks around a range; the last one may be cut by the export's end. */
struct around {
    uint64_t offset;
    size_t size, before;
    uint8_t *buf;
};

static struct around blocks_around(const struct rh_nbd *n, size_t size,
                                   uint64_t offset)
{
    uint32_t block = n->facts.block;
    uint64_t start = offset / block * block;
    uint64_t end =
        RH_MIN(rh_div_up(offset + size, block) * block, n->facts.size);

    return (struct around){start, (size_t)(end - start),
                           (size_t)(offset - start),
                           rh_malloc((size_t)(end - start))};
}

static int read_blocks(struct rh_nbd *n, void *buf, size_t size,
                       uint64_t offset, rh_error **err)
{
    struct rh_nbd_op op = {
        .kind = RH_NBD_OP_READ, .buf = buf, .size = size, .offset = offset};

    return perform(n, &op, NULL, err);
}

int rh_nbd_read(struct rh_nbd *n, void *buf, size_t size, uint64_t offset,
                rh_error **err)
{
    struct around a;
    int failed;

    if (is_aligned(n, size, offset))
        return read_blocks(n, buf, size, offset, err);
    a = blocks_around(n, size, offset);
    failed = read_blocks(n, a.buf, a.size, a.offset, err);
    if (!failed)
        memcpy(buf, a.buf + a.before, size);
    free(a.buf);
    return failed;
}

static int write_blocks(struct rh_nbd *n, const void *buf, size_t size,
                        uint64_t offset, rh_error **err)
{
    struct rh_nbd_op op = {.kind = RH_NBD_OP_WRITE,
                           .buf = (void *)(uintptr_t)buf,
                           .size = size,
                           .offset = offset};

    return perform(n, &op, NULL, err);
}

/* Two threads may each have a part of one block. */
static int write_edges(struct rh_nbd *n, const void *buf, size_t size,
                       uint64_t offset, rh_error **err)
{
    struct around a = blocks_around(n, size, offset);
    int failed;

    pthread_mutex_lock(&n->edges);
    failed = read_blocks(n, a.buf, a.size, a.offset, err);
    if (!failed) {
        memcpy(a.buf + a.before, buf, size);
        failed = write_blocks(n, a.buf, a.size, a.offset, err);
    }
    pthread_mutex_unlock(&n->edges);
    free(a.buf);
    return failed;
}

int rh_nbd_write(struct rh_nbd *n, const void *buf, size_t size,
                 uint64_t offset, rh_error **err)
{
    return is_aligned(n, size, offset) ? write_blocks(n, buf, size, offset, err)
                                       : write_edges(n, buf, size, offset, err);
}

int rh_nbd_zero(struct rh_nbd *n, uint64_t size, uint64_t offset, bool fast,
                bool *ret_slow, rh_error **err)
{
    struct rh_nbd_op op = {.kind = fast ? RH_NBD_OP_FAST_ZERO : RH_NBD_OP_ZERO,
                           .size = size,
                           .offset = offset};
    int number = 0, got;

    *ret_slow = fast ? !n->facts.fast_zero : !n->facts.zero;
    if (*ret_slow || !is_aligned(n, size, offset)) {
        *ret_slow = true;
        return 0;
    }
    got = perform(n, &op, &number, err);
    *ret_slow = got == 1 && (number == ENOTSUP || number == EOPNOTSUPP);
    if (got <= 0 || *ret_slow)
        return RH_MIN(got, 0);
    return refused(n, &op, number, err);
}

int rh_nbd_flush(struct rh_nbd *n, rh_error **err)
{
    struct rh_nbd_op op = {.kind = RH_NBD_OP_FLUSH};

    if (n->facts.flush)
        return perform(n, &op, NULL, err);
    rh_log(n->lib, RH_LOG_WARN,
           "%s: the server cannot tell when all is on the medium", n->shown);
    return 0;
}

/* --- the map ---------------------------------------------------------------
 */

struct learning {
    struct map *map;
    uint64_t end; /* what was asked for */
};

static void add_data(struct map *m, uint64_t start, uint64_t end)
{
    size_t n = m->data.count;

    if (n && (m->data.items[n - 1].end == start || n == RUNS_MAX)) {
        m->data.items[n - 1].end = end; /* RUNS_MAX: with what lies between */
    } else {
        struct span *more = rh_vec_add(&m->data);

        more->start = start;
        more->end = end;
    }
}

/* What is known already may be told again: the request that told it broke
 * before its end, and is made once more. */
static void take_run(void *user, uint64_t start, uint64_t length, bool zero)
{
    struct learning *l = user;
    uint64_t known = l->map->known, end;

    if (start >= l->end || start > known)
        return;
    end = start + RH_MIN(length, l->end - start);
    if (end <= known)
        return;
    if (!zero)
        add_data(l->map, known, end);
    l->map->known = end;
}

static void give_up(struct rh_nbd *n, const char *why)
{
    struct map *m = &n->map;

    m->given_up = true;
    if (why)
        rh_log(n->lib, RH_LOG_WARN, "%s: %s; the rest is read whole", n->shown,
               why);
    if (m->known < n->facts.size)
        add_data(m, m->known, n->facts.size);
    m->known = n->facts.size;
}

static int learn_more(struct rh_nbd *n, rh_error **err)
{
    struct map *m = &n->map;
    struct learning l = {m, n->facts.size};
    uint64_t before = m->known, ask = RH_MIN(l.end - before, RH_GIB);
    struct rh_nbd_op op = {.kind = RH_NBD_OP_STATUS,
                           .size = ask,
                           .offset = before,
                           .run = take_run,
                           .user = &l};
    int number = 0, got;

    if (!n->facts.extents || ++m->asks > ASKS_MAX) {
        give_up(n, n->facts.extents
                       ? N_("the server tells what is zero in crumbs")
                       : NULL);
        return 0;
    }
    l.end = before + ask;
    got = perform(n, &op, &number, err);
    if (got < 0)
        return -1;
    if (got == 1 || m->known == before)
        give_up(n, N_("the server does not tell what is zero"));
    return 0;
}

/* The first run that ends after `offset`; the count when there is none. */
static size_t run_after(const struct map *m, uint64_t offset)
{
    size_t low = 0, high = m->data.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (m->data.items[middle].end > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int find_data(struct rh_nbd *n, uint64_t offset, uint64_t *ret_start,
                     uint64_t *ret_end, rh_error **err)
{
    struct map *m = &n->map;

    for (;;) {
        size_t i = run_after(m, offset);

        if (i < m->data.count) {
            *ret_start = RH_MAX(m->data.items[i].start, offset);
            *ret_end = m->data.items[i].end;
            return 0;
        }
        if (m->known == n->facts.size)
            break;
        if (learn_more(n, err) < 0)
            return -1;
    }
    *ret_start = *ret_end = n->facts.size;
    return 0;
}

int rh_nbd_data_after(struct rh_nbd *n, uint64_t offset, uint64_t *ret_start,
                      uint64_t *ret_end, rh_error **err)
{
    int failed;

    pthread_mutex_lock(&n->map.lock);
    failed = find_data(n, offset, ret_start, ret_end, err);
    pthread_mutex_unlock(&n->map.lock);
    return failed;
}

/* --- opening ---------------------------------------------------------------
 */

const char *rh_nbd_name(const struct rh_nbd *n)
{
    return n->shown;
}

uint64_t rh_nbd_size(const struct rh_nbd *n)
{
    return n->facts.size;
}

bool rh_nbd_can_zero(const struct rh_nbd *n)
{
    return n->facts.zero;
}

void rh_nbd_close(struct rh_nbd *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->idle_count; i++)
        rh_nbd_link_close(n->idle[i]);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->news);
    pthread_mutex_destroy(&n->edges);
    pthread_mutex_destroy(&n->map.lock);
    free(n->map.data.items);
    free(n->shown);
    free(n->uri);
    free(n->ca_file);
    free(n);
}

static int check_export(struct rh_nbd *n, rh_error **err)
{
    uint64_t limit =
        n->lib->max_disk_size ? n->lib->max_disk_size : RH_LIMIT_DISK_SIZE;

    if (!n->facts.size)
        return rh_fail(err, RH_ERR_NBD_ANSWER, "the export has no bytes");
    if (n->facts.size > limit)
        return rh_fail(err, RH_ERR_DISK_TOO_BIG,
                       "the export has %llu bytes, more than the limit of %llu",
                       (unsigned long long)n->facts.size,
                       (unsigned long long)limit);
    if (n->use == RH_NBD_WRITE && n->facts.read_only)
        return rh_fail(err, RH_ERR_NBD_READ_ONLY, "the export is read-only");
    return 0;
}

/* Without the server's word for it, one connection is all that is safe. */
static int meet(struct rh_nbd *n, rh_error **err)
{
    enum rh_nbd_outcome outcome;
    struct rh_nbd_link *l =
        rh_nbd_link_open(n->lib, n->uri, n->ca_file, &n->facts, &outcome, err);

    if (!l)
        return -1;
    n->made = 1;
    n->most = n->facts.multi ? RH_MIN((size_t)RH_MAX(n->lib->threads, 1u),
                                      (size_t)LINKS_MAX)
                             : 1;
    put_link(n, l);
    return check_export(n, err);
}

struct rh_nbd *rh_nbd_open(rh_lib *lib, const char *uri, const char *ca_file,
                           enum rh_nbd_use use, rh_error **err)
{
    RH_AUTO(rh_nbd_closep) struct rh_nbd *n = rh_new0(struct rh_nbd);

    n->lib = lib;
    n->uri = rh_strdup(uri);
    n->ca_file = ca_file ? rh_strdup(ca_file) : NULL;
    n->shown = rh_source_shown(uri);
    n->use = use;
    pthread_mutex_init(&n->lock, NULL);
    rh_wait_cond_init(&n->news);
    pthread_mutex_init(&n->edges, NULL);
    pthread_mutex_init(&n->map.lock, NULL);
    if (meet(n, err) < 0) {
        rh_error_subject(err, n->shown);
        return NULL;
    }
    return RH_TAKE(n);
}
