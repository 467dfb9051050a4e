/* xva_in.c - NAME.xva of a result, read forward to be sent: its first entry,
 * ova.xml, may be written anew, the rest goes as it is. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "deliver/xapi/xapi.h"

enum { TAR = 512 };

static int octal_size(const uint8_t *header, uint64_t *ret)
{
    uint64_t n = 0;

    for (size_t i = 124; i < 135; i++) {
        if (header[i] < '0' || header[i] > '7')
            return -1;
        n = n << 3 | (uint64_t)(header[i] - '0');
    }
    *ret = n;
    return 0;
}

/* ova.xml, the first entry; what follows is the disks. */
static int read_ova(struct rh_xva_in *x, const rh_options *o, rh_error **err)
{
    uint8_t header[TAR];
    uint64_t n;
    RH_AUTO(rh_freep) char *xml = NULL;

    if (rh_stream_fill(x->rest, header, TAR, err) < 0)
        return -1;
    if (strncmp((const char *)header, "ova.xml", 8) ||
        octal_size(header, &n) < 0 || n > RH_LIMIT_DESCRIPTOR) {
        rh_fail(err, RH_ERR_XVA_DAMAGED, "the first file is not ova.xml");
        return rh_error_subject(err, x->rest->name);
    }
    xml = rh_malloc((size_t)n + 1);
    if (rh_stream_fill(x->rest, xml, (size_t)n, err) < 0 ||
        rh_stream_skip(x->rest, rh_round_up(n, TAR) - n, err) < 0)
        return -1;
    x->xml = rh_ova_change(xml, (size_t)n, o, err);
    return x->xml ? rh_ova_parse(x->xml, strlen(x->xml), &x->ova, err) : -1;
}

int rh_xva_open(const char *dir, const char *vm, const rh_options *o,
                struct rh_xva_in *ret, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_printf("%s.xva", vm);
    RH_AUTO(rh_place_closep) struct rh_place *place = rh_place_folder(dir, err);
    struct rh_io *io = place ? rh_place_open(place, name, err) : NULL;
    const char *codec = NULL;

    if (!io)
        return rh_hint(err, "give a result of --to xen with --format xva");
    ret->file_bytes = io->size;
    ret->rest = rh_stream_unpack(rh_stream_io(io), &codec, err);
    rh_io_unref(io);
    ret->packed = codec != NULL;
    return ret->rest ? read_ova(ret, o, err) : -1;
}

void rh_xva_close(struct rh_xva_in *x)
{
    rh_ova_free(&x->ova);
    rh_stream_close(x->rest);
    free(x->xml);
    *x = (struct rh_xva_in){0};
}

int rh_xva_unpacked(bool compressed, rh_error **err)
{
    if (!compressed)
        return 0;
    rh_fail(err, RH_ERR_PLAN_OPTION,
            "a compressed XVA cannot be sent while it is made");
    return rh_hint(err, "leave out --compress: zeros are not sent anyway");
}
