/* family.c - FreeBSD, OpenBSD, NetBSD and Solaris as families of guests. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/bsd/bsd.h"

static const char *const freebsd_roots[] = {"ufs", "zfs_member", NULL};
static const char *const openbsd_roots[] = {"ufs", NULL};
static const char *const netbsd_roots[] = {"ufs", NULL};
static const char *const solaris_roots[] = {"ufs", "zfs_member", NULL};

static int rank_freebsd(struct rh_guest *g)
{
    bool kernel = rh_guest_exists(g, "/boot/kernel/kernel");

    if (!rh_guest_is_dir(g, "/etc") ||
        (!kernel && !rh_guest_exists(g, "/boot/loader.conf")))
        return 0;
    return 3 + kernel + rh_guest_exists(g, "/bin/freebsd-version") +
           rh_guest_exists(g, "/etc/rc.conf");
}

static int rank_openbsd(struct rh_guest *g)
{
    if (!rh_guest_is_dir(g, "/etc") || !rh_guest_exists(g, "/bsd"))
        return 0;
    return 5 + rh_guest_exists(g, "/etc/myname");
}

static int rank_netbsd(struct rh_guest *g)
{
    if (!rh_guest_is_dir(g, "/etc") || !rh_guest_exists(g, "/netbsd"))
        return 0;
    return 5 + rh_guest_exists(g, "/etc/rc.conf");
}

static int detect(struct rh_session *s, enum rh_bsd_system system,
                  void **ret_facts, struct rh_system *ret, rh_error **err)
{
    struct rh_bsd *b = rh_new0(struct rh_bsd);

    *ret_facts = b;
    b->system = system;
    b->arena = rh_arena_new();
    if ((system == RH_SOLARIS ? rh_solaris_detect : rh_bsd_detect)(b, s, err) <
        0)
        return -1;
    *ret =
        (struct rh_system){.id = b->illumos ? "illumos" : rh_bsd_names[system],
                           .version = b->version,
                           .name = b->pretty,
                           .hostname = b->hostname,
                           .clock = b->clock,
                           .clock_where = b->clock_where,
                           .timezone = b->timezone};
    return 0;
}

static int detect_freebsd(struct rh_session *s, void **facts,
                          struct rh_system *ret, rh_error **err)
{
    return detect(s, RH_FREEBSD, facts, ret, err);
}
static int detect_openbsd(struct rh_session *s, void **facts,
                          struct rh_system *ret, rh_error **err)
{
    return detect(s, RH_OPENBSD, facts, ret, err);
}
static int detect_netbsd(struct rh_session *s, void **facts,
                         struct rh_system *ret, rh_error **err)
{
    return detect(s, RH_NETBSD, facts, ret, err);
}

static int detect_solaris(struct rh_session *s, void **facts,
                          struct rh_system *ret, rh_error **err)
{
    return detect(s, RH_SOLARIS, facts, ret, err);
}

static void facts_free(void *facts)
{
    struct rh_bsd *b = facts;

    for (size_t i = 0; i < b->nics.count; i++)
        free(b->nics.items[i].addresses.items);
    free(b->nics.items);
    free(b->made.items);
    free(b->unmatched.items);
    free(b->gateways.items);
    free(b->dns.items);
    free(b->modules.items);
    free(b->loaders.items);
    free(b->drivers.items);
    rh_arena_free(b->arena);
    free(b);
}

static void advise_freebsd(struct rh_session *s)
{
    rh_bsd_advise(s, RH_FREEBSD);
}
static void advise_openbsd(struct rh_session *s)
{
    rh_bsd_advise(s, RH_OPENBSD);
}
static void advise_netbsd(struct rh_session *s)
{
    rh_bsd_advise(s, RH_NETBSD);
}
static void advise_solaris(struct rh_session *s)
{
    rh_bsd_advise(s, RH_SOLARIS);
}

static const struct rh_fix fixes[] = {
    {"bsd.disk-names", RH_STAKE_BOOT, rh_fix_bsd_disk_names},
    {"bsd.nic-names", RH_STAKE_NETWORK, rh_fix_bsd_nic_names},
    {NULL, RH_STAKE_COMFORT, NULL},
};
static const struct rh_fix no_fixes[] = {{NULL, RH_STAKE_COMFORT, NULL}};

#define BSD(system)                                 \
    const struct rh_family rh_##system##_family = { \
        .name = #system,                            \
        .root_types = system##_roots,               \
        .rank = rank_##system,                      \
        .detect = detect_##system,                  \
        .facts_json = rh_bsd_json,                  \
        .facts_free = facts_free,                   \
        .fixes = fixes,                             \
        .advise = advise_##system,                  \
    }
BSD(freebsd);
BSD(openbsd);
BSD(netbsd);

/* It has no fixes: its boot archive and its lists of devices are its own to
 * write. */
const struct rh_family rh_solaris_family = {
    .name = "solaris",
    .root_types = solaris_roots,
    .rank = rh_solaris_rank,
    .detect = detect_solaris,
    .facts_json = rh_bsd_json,
    .facts_free = facts_free,
    .fixes = no_fixes,
    .advise = advise_solaris,
};
