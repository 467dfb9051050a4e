/* qcow2.c - the driver's row: QEMU's disk format, read and written. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/qcow2/reader.h"

#include "base/bytes.h"

static bool probe(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size)
{
    (void)tail, (void)size;
    return n >= 8 && rh_be32(head) == Q_MAGIC;
}

/* --- writing: one of two layouts, by what the sink can do
 * --------------------- */

static const struct rh_writer_ops *ops_of(const struct rh_writer *w)
{
    return ((const struct rh_qcow2_writer_head *)w->state)->ops;
}

static int create(struct rh_writer *w, const struct rh_create_options *o,
                  rh_error **err)
{
    return o->may_seek ? rh_qcow2_seeking.create(w, o, err)
                       : rh_qcow2_piping.create(w, o, err);
}

static int encode(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    return ops_of(w)->encode ? ops_of(w)->encode(w, u, err) : 0;
}

static int place(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    return ops_of(w)->place(w, u, err);
}

static int finish(struct rh_writer *w, uint64_t *ret_size, rh_error **err)
{
    return ops_of(w)->finish(w, ret_size, err);
}

static void close_writer(struct rh_writer *w)
{
    if (w->state)
        ops_of(w)->close(w);
}

static const struct rh_writer_ops writer = {
    .create = create,
    .encode = encode,
    .place = place,
    .finish = finish,
    .close = close_writer,
};

const struct rh_format rh_format_qcow2 = {
    .name = "qcow2",
    .about = N_("QEMU's format, versions 2 and 3"),
    .probe = probe,
    .open = rh_qcow2_open,
    .extent = rh_qcow2_extent,
    .read = rh_qcow2_read,
    .lies = rh_qcow2_lies,
    .packed = rh_qcow2_packed,
    .check = rh_qcow2_check,
    .close = rh_qcow2_close,
    .writer = &writer,
    .patch = &rh_qcow2_patch,
};
