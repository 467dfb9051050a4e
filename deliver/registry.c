/* registry.c - the deliveries there are; who claims an --out first has it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/deliver.h"
#include "deliver/server.h"

/* One line per delivery; the folder comes last, for it takes any name. */
#define RH_DELIVERERS(X) \
    X(pipe)              \
    X(custom)            \
    X(app)               \
    X(libvirt)           \
    X(local)             \
    X(proxmox)           \
    X(xapi)              \
    X(xo)                \
    X(folder)

#define DECLARE(name) extern const struct rh_deliverer rh_deliver_##name;
RH_DELIVERERS(DECLARE)
#undef DECLARE

#define ROW(name) &rh_deliver_##name,
static const struct rh_deliverer *const kinds[] = {RH_DELIVERERS(ROW) NULL};
#undef ROW

const struct rh_deliverer *rh_deliverer_at(size_t i)
{
    return kinds[i];
}

static bool is_its(const struct rh_deliverer *kind, const char *out)
{
    return kind->server ? rh_server_claims(kind->server, out)
                        : kind->claims(out);
}

const struct rh_deliverer *rh_deliverer_of(const char *out)
{
    for (size_t i = 0;; i++)
        if (!kinds[i + 1] || is_its(kinds[i], out))
            return kinds[i];
}
