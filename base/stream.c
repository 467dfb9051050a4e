/* stream.c - bytes read forward only, and the spool that makes them seekable.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/out.h"
#include "base/wait.h"

struct rh_stream *rh_stream_make(const struct rh_stream_ops *ops,
                                 const char *name, void *state)
{
    struct rh_stream *s = rh_new0(struct rh_stream);

    s->ops = ops;
    s->name = rh_strdup(name);
    s->state = state;
    return s;
}

struct rh_stream *rh_stream_over(const struct rh_stream_ops *ops,
                                 const struct rh_stream *from, void *state)
{
    struct rh_stream *s = rh_stream_make(ops, from->name, state);

    s->lib = from->lib;
    return s;
}

int rh_stream_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                   rh_error **err)
{
    if (rh_go_on(s->lib, err) < 0)
        return -1;
    if (s->ops->read(s, buf, n, ret_n, err) < 0)
        return rh_error_subject(err, s->name);
    s->position += *ret_n;
    return 0;
}

int rh_stream_fill(struct rh_stream *s, void *buf, size_t n, rh_error **err)
{
    char *p = buf;

    while (n) {
        size_t got = 0;

        if (rh_stream_read(s, p, n, &got, err) < 0)
            return -1;
        if (got == 0) {
            rh_fail(err, RH_ERR_FILE_SHORT, "the data ends early, at 0x%llx",
                    (unsigned long long)s->position);
            return rh_error_subject(err, s->name);
        }
        p += got;
        n -= got;
    }
    return 0;
}

int rh_stream_skip(struct rh_stream *s, uint64_t n, rh_error **err)
{
    char waste[16384];

    while (n) {
        size_t part = (size_t)RH_MIN(n, (uint64_t)sizeof waste);

        if (rh_stream_fill(s, waste, part, err) < 0)
            return -1;
        n -= part;
    }
    return 0;
}

void rh_stream_close(struct rh_stream *s)
{
    if (!s)
        return;
    if (s->ops->close)
        s->ops->close(s);
    free(s->name);
    free(s);
}

static int fd_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                   rh_error **err)
{
    return rh_wait_read(s->lib, (int)(intptr_t)s->state, buf, n, ret_n, err);
}

static void fd_close(struct rh_stream *s)
{
    close((int)(intptr_t)s->state);
}

struct rh_stream *rh_stream_fd(rh_lib *lib, int fd, const char *name)
{
    static const struct rh_stream_ops ops = {fd_read, fd_close};
    struct rh_stream *s = rh_stream_make(&ops, name, (void *)(intptr_t)fd);

    s->lib = lib;
    return s;
}

static int io_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                   rh_error **err)
{
    struct rh_io *io = s->state;
    size_t part = (size_t)RH_MIN((uint64_t)n, io->size - s->position);

    if (rh_io_read(io, buf, part, s->position, err) < 0)
        return -1;
    *ret_n = part;
    return 0;
}

static void io_close(struct rh_stream *s)
{
    rh_io_unref(s->state);
}

struct rh_stream *rh_stream_io(struct rh_io *io)
{
    static const struct rh_stream_ops ops = {io_read, io_close};

    return rh_stream_make(&ops, io->name, rh_io_ref(io));
}

struct prefix {
    char *bytes;
    size_t size, at;
    struct rh_stream *rest;
};

static int prefix_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                       rh_error **err)
{
    struct prefix *p = s->state;
    size_t part = RH_MIN(n, p->size - p->at);

    if (part == 0)
        return rh_stream_read(p->rest, buf, n, ret_n, err);
    memcpy(buf, p->bytes + p->at, part);
    p->at += part;
    *ret_n = part;
    return 0;
}

static void prefix_close(struct rh_stream *s)
{
    struct prefix *p = s->state;

    rh_stream_close(p->rest);
    free(p->bytes);
    free(p);
}

struct rh_stream *rh_stream_prefix(const void *bytes, size_t n,
                                   struct rh_stream *rest)
{
    static const struct rh_stream_ops ops = {prefix_read, prefix_close};
    struct prefix *p = rh_new0(struct prefix);

    p->bytes = rh_memdup0(bytes, n);
    p->size = n;
    p->rest = rest;
    return rh_stream_over(&ops, rest, p);
}

/* One buffer of the stream into the spool file; zeros stay a hole. */
static int spool_part(const rh_lib *lib, int fd, const char *buf, size_t n,
                      uint64_t at, const char *name, rh_error **err)
{
    if (rh_all_zero(buf, n))
        return 0;
    return rh_temp_write(lib, fd, buf, n, at, name, err);
}

struct rh_io *rh_spool(rh_lib *lib, struct rh_stream *s, uint64_t limit,
                       rh_error **err)
{
    enum { PART = 256 * 1024 };
    RH_AUTO(rh_freep) char *buf = rh_malloc(PART);
    RH_AUTO(rh_closep) int fd = rh_temp_file(lib, err);
    uint64_t size = 0;
    size_t n;

    if (fd < 0)
        return NULL;
    do {
        if (rh_go_on(lib, err) < 0 || rh_stream_read(s, buf, PART, &n, err) < 0)
            return NULL;
        if (n > limit || size > limit - n) {
            rh_fail(err, RH_ERR_STREAM_LIMIT,
                    "more than %llu bytes come out of it",
                    (unsigned long long)limit);
            rh_error_subject(err, s->name);
            return NULL;
        }
        if (spool_part(lib, fd, buf, n, size, s->name, err) < 0)
            return NULL;
        size += n;
        rh_progress(lib, "spool", size, 0);
    } while (n);
    if (rh_set_length(fd, size) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "spooling failed");
        return NULL;
    }
    n = (size_t)fd;
    fd = -1;
    return rh_io_fd((int)n, s->name, err);
}
