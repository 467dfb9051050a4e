/* push.c - which schemes there are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/push.h"

#include <string.h>

/* One line per scheme. */
#define RH_PUSHERS(X) X(libvirt) X(proxmox) X(proxmox_local) X(xapi) X(xo)

#define DECLARE(name) extern const struct rh_pusher rh_push_##name;
RH_PUSHERS(DECLARE)
#undef DECLARE

const struct rh_pusher *rh_pusher_of(const char *scheme)
{
#define ROW(name) &rh_push_##name,
    static const struct rh_pusher *const kinds[] = {RH_PUSHERS(ROW)};
#undef ROW

    for (size_t i = 0; i < RH_COUNT(kinds); i++)
        if (!strcmp(kinds[i]->scheme, scheme))
            return kinds[i];
    return NULL;
}

void rh_push_plan(struct rh_push_item *i, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    *rh_vec_add(&i->plan) = rh_printable(text);
}

const char *rh_push_disk_id(const json_t *delivery, size_t i, rh_error **err)
{
    const char *id = json_string_value(json_object_get(
        json_array_get(json_object_get(delivery, "disks"), i), "id"));

    if (!id)
        rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                "the receipt does not say what disk %zu is called there", i);
    return id;
}
