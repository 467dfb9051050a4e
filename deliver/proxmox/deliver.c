/* deliver.c - `convert --out proxmox://HOST/NODE/STORAGE`.
 *
 * The API takes a disk as a whole file of a known length only, so each disk is
 * written to a temporary file, sent (or fetched by the node), and gone before
 * the next one begins; the VM is made of them when all are there. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "deliver/deliver.h"
#include "deliver/proxmox/proxmox.h"

struct state {
    struct rh_to_server to;
    struct rh_pve_conf conf;
    struct rh_pve_place place;
    struct rh_pve_work work;
    int fd; /* of the disk that is being written, or -1 */
};

/* --- before
 * ----------------------------------------------------------------------------
 */

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    struct rh_pve_wish wish = {.conf = &s->conf,
                               .file_bytes = d->request.data_bytes};

    s->to.work = &s->work;
    if (rh_pve_conf_of_job(d->request.job, &s->conf, &wish.virtual_bytes, err) <
        0)
        return -1;
    return rh_pve_look(s->to.server.state, &wish, &s->place, checks, err);
}

static void begun(struct rh_delivery *d)
{
    struct state *s = d->state;

    s->work = (struct rh_pve_work){.pve = s->to.server.state,
                                   .place = &s->place,
                                   .journal = s->to.journal};
}

/* --- disks
 * ------------------------------------------------------------------------------
 */

static int sink_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    const struct rh_delivery *d = o->state;
    const struct state *s = d->state;

    return rh_temp_write(d->request.lib, s->fd, buf, n, offset, o->name, err);
}

static int sink_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    const struct rh_delivery *d = o->state;
    const struct state *s = d->state;

    if (ftruncate(s->fd, (off_t)size) == 0)
        return 0;
    return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                         "cannot set the temporary file's size");
}

static struct rh_out *disk(struct rh_delivery *d, size_t i, const char *name,
                           uint64_t size, rh_error **err)
{
    static const struct rh_out_ops ops = {.write = sink_write,
                                          .finish = sink_finish};
    struct state *s = d->state;

    (void)i;
    (void)size;
    rh_closep(&s->fd);
    s->fd = rh_temp_file(d->request.lib, err);
    return s->fd < 0 ? NULL : rh_out_make(&ops, name, true, d);
}

static int disk_done(struct rh_delivery *d, size_t i, uint64_t file_size,
                     rh_error **err)
{
    struct state *s = d->state;
    const struct rh_target_disk *t = &d->request.job->disks[i];
    struct rh_pve_setting *setting = rh_pve_conf_find(&s->conf, t->bus);
    RH_AUTO(rh_io_unrefp) struct rh_io *io = rh_io_fd(s->fd, t->file, err);

    (void)file_size;
    s->fd = -1; /* the io has it */
    if (!io)
        return -1;
    return rh_pve_upload(&s->work, io, t->file, &setting->volume, err);
}

/* Nothing is kept but the receipt's digest, by which the VM is known. */
static int put(struct rh_delivery *d, const char *name, const void *bytes,
               size_t n, bool executable, rh_error **err)
{
    struct state *s = d->state;

    (void)executable;
    (void)err;
    if (strcmp(name, "receipt.json") != 0)
        return 0;
    free(s->work.note);
    s->work.note = rh_pve_note(bytes, n);
    return 0;
}

/* --- the end
 * -----------------------------------------------------------------------------
 */

static int finish(struct rh_delivery *d, const char **ret_id, rh_error **err)
{
    struct state *s = d->state;

    if (rh_pve_create(&s->work, &s->conf, err) < 0)
        return -1;
    d->delivered = rh_pve_describe(&s->work, &s->conf, err);
    if (!d->delivered)
        return -1;
    rh_pve_settle(&s->work);
    *ret_id = s->place.vmid;
    return 0;
}

static void free_state(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_closep(&s->fd);
    rh_pve_work_free(&s->work);
    rh_pve_place_free(&s->place);
    rh_pve_conf_free(&s->conf);
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_to_server_steps steps = {
        .look = look, .begun = begun, .finish = finish, .free = free_state};
    static const struct rh_delivery_ops ops = {
        RH_TO_SERVER_OPS, .disk = disk, .disk_done = disk_done, .put = put};
    struct state *s = rh_new0(struct state);

    s->fd = -1;
    return rh_to_server_open(d, &s->to, &steps, &ops, err);
}

static const char *const formats[] = {"qcow2", "raw", NULL};

const struct rh_deliverer rh_deliver_proxmox = {
    .name = "proxmox",
    .about = N_("a Proxmox VE node, by its API (--out "
                "proxmox://HOST/NODE[/STORAGE])"),
    .server = &rh_server_proxmox,
    .formats = formats,
    .disks = true,
    .open = open_delivery,
};
