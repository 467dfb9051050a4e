/* server.c - the pool as a server that VMs are delivered to. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "deliver/xapi/xapi.h"

static int check(const char *url, rh_error **err)
{
    return rh_remote_check(url, 0, 1, "xapi://HOST[:PORT][/SR]", err);
}

static int log_in(struct rh_server *s, rh_error **err)
{
    s->state = rh_new0(struct rh_xapi);
    return rh_xapi_login(s->state, &s->remote, err);
}

static void log_out(struct rh_server *s)
{
    rh_xapi_forget(s->state);
    rh_xapi_logout(s->state);
    free(s->state);
}

static int clean(struct rh_server *s, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    return rh_xapi_clean(s->state, j, kind, id, err);
}

static int read_disk(struct rh_server *s, const json_t *delivery, size_t i,
                     rh_http_sink *sink, void *user, rh_error **err)
{
    const char *uuid = rh_server_disk_id(delivery, i, err);

    return uuid ? rh_xapi_read_disk(s->state, uuid, sink, user, err) : -1;
}

/* --- the VM
 * ------------------------------------------------------------------------- */

const struct rh_xapi_import *rh_xapi_made(const struct rh_xapi_work *w)
{
    return w->single ? &w->disks.vm : &w->import;
}

void rh_xapi_import_seen(struct rh_xapi *x, const char *vm)
{
    rh_xapi_do(x, "VM.remove_from_other_config",
               json_pack("[ss]", vm, RH_XAPI_IMPORT_TASK), NULL);
}

void rh_xapi_settle(struct rh_xapi_work *w)
{
    const struct rh_xapi_import *i = rh_xapi_made(w);

    rh_xapi_import_seen(i->x, i->vm);
    rh_xapi_do(i->x, "task.destroy", json_pack("[s]", i->task), NULL);
    rh_journal_done(i->journal);
}

void rh_xapi_work_free(struct rh_xapi_work *w)
{
    rh_xapi_import_free(&w->import);
    rh_xapi_disks_free(&w->disks);
}

static int start(void *work, rh_error **err)
{
    const struct rh_xapi_import *i = rh_xapi_made(work);

    return rh_xapi_do(i->x, "VM.start", json_pack("[sbb]", i->vm, 0, 0), err);
}

static int addresses(void *work, json_t *list, rh_error **err)
{
    const struct rh_xapi_import *i = rh_xapi_made(work);

    return rh_xapi_addresses(i->x, i->vm, list, err);
}

static void undo(void *work)
{
    struct rh_xapi_work *w = work;

    if (w->disks.place && w->disks.place->staged)
        rh_xapi_disks_leave(&w->disks);
    else if (w->single && w->disks.x)
        rh_xapi_disks_abort(&w->disks);
    else
        rh_xapi_import_abort(&w->import);
}

static const char *const own_options[] = {"sr", "disk-by-disk", NULL};

const struct rh_server_kind rh_server_xapi = {
    .scheme = "xapi",
    .port = 443,
    .options = own_options,
    .check = check,
    .open = log_in,
    .close = log_out,
    .clean = clean,
    .keep = rh_xapi_keep,
    .start = start,
    .addresses = addresses,
    .undo = undo,
    .find = rh_xapi_find,
    .read_disk = read_disk,
};
