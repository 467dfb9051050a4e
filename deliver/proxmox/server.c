/* server.c - a Proxmox VE node as a server that VMs are delivered to. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "deliver/proxmox/proxmox.h"

static int check(const char *url, rh_error **err)
{
    return rh_remote_check(url, 1, 2, "proxmox://HOST[:PORT]/NODE[/STORAGE]",
                           err);
}

static int log_in(struct rh_server *s, rh_error **err)
{
    s->state = rh_new0(struct rh_pve);
    return rh_pve_login(s->state, &s->remote, err);
}

static void log_out(struct rh_server *s)
{
    rh_pve_logout(s->state);
    free(s->state);
}

static int clean(struct rh_server *s, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    (void)j;
    return rh_pve_clean(s->state, kind, id, err);
}

static const char *const own_options[] = {
    "storage", "import-storage", "vmid",      "transfer",
    "serve",   "serve-cert",     "serve-key", NULL};

const struct rh_server_kind rh_server_proxmox = {
    .scheme = "proxmox",
    .port = 8006,
    .wants_token = true,
    .options = own_options,
    .check = check,
    .open = log_in,
    .close = log_out,
    .clean = clean,
    .start = rh_pve_start,
    .addresses = rh_pve_addresses,
    .undo = rh_pve_undo,
    .find = rh_pve_find,
};
