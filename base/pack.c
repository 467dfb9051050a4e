/* pack.c - a sink that compresses everything into another sink. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/out.h"

struct pack {
    struct rh_out *to;
    ZSTD_CCtx *zstd;
    void *room;
    size_t room_size;
    uint64_t written; /* packed bytes that went to `to` */
};

static int feed(struct rh_out *o, const void *buf, size_t n,
                ZSTD_EndDirective mode, rh_error **err)
{
    struct pack *p = o->state;
    ZSTD_inBuffer in = {buf, n, 0};
    size_t left;

    do {
        ZSTD_outBuffer out = {p->room, p->room_size, 0};

        left = ZSTD_compressStream2(p->zstd, &out, &in, mode);
        if (ZSTD_isError(left)) {
            rh_fail(err, RH_ERR_BUG, "zstd: %s", ZSTD_getErrorName(left));
            return rh_error_subject(err, o->name);
        }
        if (rh_out_write(p->to, p->room, out.pos, p->written, err) < 0)
            return -1;
        p->written += out.pos;
    } while (mode == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return 0;
}

static int pack_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    (void)offset; /* in order: rh_out_write() saw to it */
    return feed(o, buf, n, ZSTD_e_continue, err);
}

static int pack_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    struct pack *p = o->state;

    (void)size; /* the plain one */
    if (feed(o, "", 0, ZSTD_e_end, err) < 0)
        return -1;
    return rh_out_finish(p->to, p->written, err);
}

static void pack_close(struct rh_out *o)
{
    struct pack *p = o->state;

    rh_out_close(p->to);
    ZSTD_freeCCtx(p->zstd);
    free(p->room);
    free(p);
}

struct rh_out *rh_out_pack(struct rh_out *to, const char *codec, int level,
                           unsigned threads, rh_error **err)
{
    static const struct rh_out_ops ops = {
        .write = pack_write, .finish = pack_finish, .close = pack_close};
    struct pack *p;

    if (strcmp(codec, "zstd")) {
        rh_fail(err, RH_ERR_USAGE, "a whole file cannot be packed by %s",
                codec);
        rh_out_close(to);
        return NULL;
    }
    p = rh_new0(struct pack);
    p->to = to;
    p->zstd = ZSTD_createCCtx();
    p->room_size = ZSTD_CStreamOutSize();
    p->room = rh_malloc(p->room_size);
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1);
    /* A libzstd without threads refuses this, and works on one. */
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_nbWorkers, (int)threads);
    return rh_out_make(&ops, to->name, false, p);
}
