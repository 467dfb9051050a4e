/* push.c - which servers results can be pushed to. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/push.h"

/* One line per server. */
#define RH_PUSHERS(X) \
    X(app) X(libvirt) X(proxmox) X(proxmox_local) X(xapi) X(xo)

#define DECLARE(name) extern const struct rh_pusher rh_push_##name;
RH_PUSHERS(DECLARE)
#undef DECLARE

const struct rh_pusher *rh_pusher_of(const char *url)
{
#define ROW(name) &rh_push_##name,
    static const struct rh_pusher *const kinds[] = {RH_PUSHERS(ROW)};
#undef ROW

    for (size_t i = 0; i < RH_COUNT(kinds); i++)
        if (rh_server_claims(kinds[i]->server, url))
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
