/* check.c - the deep check: every table, every grain, both directories. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "formats/vmdk/vmdk.h"

enum { STEP = 1024 * 1024 };

/* Reading a grain checks it: its place, its marker, its data, its successor. */
static int check_data(struct rh_reader *r, struct rh_codec *codec, void *buf,
                      uint64_t offset, uint64_t end, rh_error **err)
{
    for (uint64_t n; offset < end; offset += n) {
        n = RH_MIN((uint64_t)STEP, end - offset);
        if (rh_go_on(r->lib, err) < 0 ||
            r->format->read(r, codec, buf, (size_t)n, offset, err) < 0)
            return -1;
        if (r->lib)
            rh_progress(r->lib, "check", offset + n, r->size);
    }
    return 0;
}

static int check_copies(struct rh_reader *r, rh_error **err)
{
    struct vmdk *v = r->state;
    bool same = true, said = false;

    for (size_t i = 0; i < v->parts.count; i++) {
        if (v->parts.items[i].map &&
            rh_vmdk_map_compare(v->parts.items[i].map, &same, err) < 0)
            return -1;
        if (!same)
            rh_vmdk_problem(&v->cache, &said, "VMDK-REDUNDANT-DIFFERS",
                            N_("the redundant grain tables differ from the "
                               "first ones, which were used"));
    }
    return 0;
}

int rh_vmdk_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err)
{
    RH_AUTO(rh_freep) void *buf = rh_malloc(STEP);
    struct rh_extent e;

    for (uint64_t at = 0; at < r->size; at += e.length) {
        if (rh_go_on(r->lib, err) < 0 || r->format->extent(r, at, &e, err) < 0)
            return -1;
        if (e.kind == RH_EXTENT_DATA &&
            check_data(r, codec, buf, at, at + e.length, err) < 0)
            return -1;
    }
    return check_copies(r, err);
}
