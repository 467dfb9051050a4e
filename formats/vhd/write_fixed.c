/* write_fixed.c - writing fixed VHDs: the disk's bytes, then the footer. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhd/vhd.h"

enum { UNIT = 1024 * 1024 };

struct fixed {
    struct vhd_footer footer;
    uint64_t end;   /* of the bytes so far; into a pipe, gaps are filled */
    uint8_t *zeros; /* UNIT bytes, for a pipe */
    struct vhd_seed *seed; /* with a forward source, else NULL */
};

static int fixed_create(struct rh_writer *w, const struct rh_create_options *o,
                        rh_error **err)
{
    struct vhd_footer footer;
    struct vhd_seed *seed = NULL;
    struct fixed *v;

    if (o->compress != RH_COMPRESS_NONE)
        return rh_fail(err, RH_ERR_DISK_COMPRESS,
                       "a VHD holds no compressed blocks");
    if (rh_vhd_new_footer(o, VHD_FIXED, &footer, &seed, err) < 0)
        return -1;
    v = rh_new0(struct fixed);
    v->footer = footer;
    v->seed = seed;
    if (!o->may_seek)
        v->zeros = rh_calloc(1, UNIT);
    w->unit = UNIT;
    w->room = 1;
    w->iov_max = 1;
    w->any_order = o->may_seek;
    w->piece = 1;
    w->state = v;
    rh_out_expect(w->out, w->base + o->size + VHD_FOOTER);
    return 0;
}

static int fill_until(struct rh_writer *w, uint64_t offset, rh_error **err)
{
    struct fixed *v = w->state;

    while (v->zeros && v->end < offset) {
        size_t n = (size_t)RH_MIN((uint64_t)UNIT, offset - v->end);

        if (rh_go_on(w->lib, err) < 0 ||
            rh_out_write(w->out, v->zeros, n, w->base + v->end, err) < 0)
            return -1;
        v->end += n;
    }
    return 0;
}

/* In a file, zeros may stay a hole: room[0] says so. */
static int fixed_encode(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    (void)err;
    u->room[0] = w->out->seekable && rh_all_zero(u->data, u->length);
    return 0;
}

static int fixed_place(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct fixed *v = w->state;

    rh_vhd_seed_note(v->seed, u);
    if (u->room[0])
        return 0;
    if (fill_until(w, u->offset, err) < 0)
        return -1;
    u->iov[0] = (struct rh_iov){w->base + u->offset, u->data, u->length};
    u->iov_count = 1;
    v->end = u->offset + u->length;
    return 0;
}

static int fixed_finish(struct rh_writer *w, uint64_t *ret_size, rh_error **err)
{
    struct fixed *v = w->state;
    uint8_t footer[VHD_FOOTER];

    if (fill_until(w, v->footer.size, err) < 0)
        return -1;
    if (v->seed)
        rh_vhd_seed_uuid(v->seed, v->footer.uuid);
    rh_vhd_footer_encode(&v->footer, footer);
    if (rh_out_write(w->out, footer, VHD_FOOTER, w->base + v->footer.size,
                     err) < 0)
        return -1;
    *ret_size = v->footer.size + VHD_FOOTER;
    return 0;
}

static void fixed_close(struct rh_writer *w)
{
    struct fixed *v = w->state;

    if (!v)
        return;
    free(v->zeros);
    free(v->seed);
    free(v);
}

const struct rh_writer_ops rh_vhd_fixed_writer = {
    .create = fixed_create,
    .encode = fixed_encode,
    .place = fixed_place,
    .finish = fixed_finish,
    .close = fixed_close,
};
