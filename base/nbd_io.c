/* nbd_io.c - an NBD export as bytes to read, and as a sink. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/nbd.h"

/* --- reading ---------------------------------------------------------------
 */

static int io_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                   rh_error **err)
{
    return rh_nbd_read(io->state, buf, n, offset, err);
}

static int io_data_after(struct rh_io *io, uint64_t offset, uint64_t *ret_start,
                         uint64_t *ret_end, rh_error **err)
{
    return rh_nbd_data_after(io->state, offset, ret_start, ret_end, err);
}

static void io_close(struct rh_io *io)
{
    rh_nbd_close(io->state);
}

struct rh_io *rh_nbd_io(rh_lib *lib, const char *uri, const char *ca_file,
                        rh_error **err)
{
    static const struct rh_io_ops ops = {io_read, io_data_after, io_close};
    struct rh_nbd *n = rh_nbd_open(lib, uri, ca_file, RH_NBD_READ, err);

    return n ? rh_io_make(&ops, rh_nbd_name(n), rh_nbd_size(n), n) : NULL;
}

/* --- writing ---------------------------------------------------------------
 */

struct sink {
    struct rh_nbd *n;
    rh_lib *lib;
    uint64_t zeros, zeros_end; /* of a sink in order: not written yet */
};

static int write_zeros(const struct sink *s, uint64_t from, uint64_t to,
                       rh_error **err)
{
    static const uint8_t zeros[64 * RH_KIB];
    bool slow = true;

    if (rh_nbd_can_zero(s->n) && from < to &&
        rh_nbd_zero(s->n, to - from, from, false, &slow, err) < 0)
        return -1;
    for (uint64_t n; slow && from < to; from += n) {
        n = RH_MIN((uint64_t)sizeof zeros, to - from);
        if (rh_go_on(s->lib, err) < 0 ||
            rh_nbd_write(s->n, zeros, (size_t)n, from, err) < 0)
            return -1;
    }
    return 0;
}

/* In order: runs of zeros are gathered, so that each is one request. */
static int write_in_order(struct sink *s, const void *buf, size_t n,
                          uint64_t offset, rh_error **err)
{
    if (rh_all_zero(buf, n)) {
        s->zeros_end = offset + n;
        return 0;
    }
    if (write_zeros(s, s->zeros, s->zeros_end, err) < 0)
        return -1;
    s->zeros = s->zeros_end = offset + n;
    return rh_nbd_write(s->n, buf, n, offset, err);
}

static int out_write(struct rh_out *o, const void *buf, size_t n,
                     uint64_t offset, rh_error **err)
{
    struct sink *s = o->state;

    return o->seekable ? rh_nbd_write(s->n, buf, n, offset, err)
                       : write_in_order(s, buf, n, offset, err);
}

static int out_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    struct sink *s = o->state;

    (void)size;
    if (!o->seekable && write_zeros(s, s->zeros, rh_nbd_size(s->n), err) < 0)
        return -1;
    return rh_nbd_flush(s->n, err);
}

static void out_close(struct rh_out *o)
{
    struct sink *s = o->state;

    rh_nbd_close(s->n);
    free(s);
}

/* Whatever is worth keeping has something in its first MiB: a partition table,
 * a boot sector, a file system's mark. */
static int check_empty(struct rh_nbd *n, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *head = rh_malloc(RH_MIB);
    size_t size = (size_t)RH_MIN(rh_nbd_size(n), RH_MIB);
    uint64_t start, end;

    if (rh_nbd_data_after(n, 0, &start, &end, err) < 0)
        return -1;
    if (start >= size)
        return 0;
    if (rh_nbd_read(n, head, size, 0, err) < 0)
        return -1;
    if (rh_all_zero(head, size))
        return 0;
    rh_fail(err, RH_ERR_FILE_EXISTS,
            "the export holds something: it would be replaced");
    rh_hint(err, "give another export, or add --overwrite to replace it");
    return rh_error_subject(err, rh_nbd_name(n));
}

/* What is not zero already becomes so, where that costs nothing.  *ret_done is
 * false when the server would have to write it all. */
static int clear(struct rh_nbd *n, bool *ret_done, rh_error **err)
{
    uint64_t at = 0, size = rh_nbd_size(n);
    bool slow = false;

    while (at < size && !slow) {
        uint64_t start, end;

        if (rh_nbd_data_after(n, at, &start, &end, err) < 0)
            return -1;
        if (start < end &&
            rh_nbd_zero(n, end - start, start, true, &slow, err) < 0)
            return -1;
        at = end;
    }
    *ret_done = !slow;
    return 0;
}

struct rh_out *rh_nbd_out(rh_lib *lib, const char *uri, const char *ca_file,
                          uint64_t size, bool replace, rh_error **err)
{
    static const struct rh_out_ops ops = {
        .write = out_write, .finish = out_finish, .close = out_close};
    RH_AUTO(rh_nbd_closep)
    struct rh_nbd *n = rh_nbd_open(lib, uri, ca_file, RH_NBD_WRITE, err);
    bool cleared = false;
    struct sink *s;

    if (!n)
        return NULL;
    if (rh_nbd_size(n) < size) {
        rh_fail(err, RH_ERR_NO_SPACE,
                "the export has %llu bytes, the disk %llu",
                (unsigned long long)rh_nbd_size(n), (unsigned long long)size);
        rh_hint(err, "serve one that is as long as the disk");
        rh_error_subject(err, rh_nbd_name(n));
        return NULL;
    }
    if ((!replace && check_empty(n, err) < 0) || clear(n, &cleared, err) < 0)
        return NULL;
    s = rh_new0(struct sink);
    s->lib = lib;
    s->n = RH_TAKE(n);
    return rh_out_make(&ops, rh_nbd_name(s->n), cleared, s);
}
