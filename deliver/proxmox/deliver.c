/* deliver.c - `convert --out proxmox://HOST/NODE/STORAGE`.
 *
 * The API takes a disk as a whole file of a known length only, so each disk is
 * written to a temporary file, uploaded, and gone before the next one begins;
 * the VM is made of them when all are there. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/io.h"
#include "deliver/deliver.h"
#include "deliver/proxmox/proxmox.h"

struct state {
    struct rh_remote remote;
    struct rh_pve pve;
    struct rh_pve_conf conf;
    struct rh_pve_place place;
    struct rh_journal *journal;
    struct rh_pve_work work;
    int fd; /* of the disk that is being written, or -1 */
};

static bool claims(const char *out)
{
    return !strncmp(out, "proxmox://", 10);
}

/* --- before
 * ----------------------------------------------------------------------------
 */

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    struct rh_pve_wish wish = {.conf = &s->conf,
                               .file_bytes = d->request.data_bytes};

    if (rh_pve_conf_of_job(d->request.job, &s->conf, &wish.virtual_bytes, err) <
        0)
        return -1;
    return rh_pve_look(&s->pve, &wish, &s->place, checks, err);
}

static int preflight(struct rh_delivery *d, struct rh_findings *findings,
                     rh_error **err)
{
    struct state *s = d->state;
    struct rh_checks checks = {0};
    int failed = rh_remote_open(&s->remote, d->request.lib, d->request.out,
                                8006, true, d->request.options, err);

    if (!failed)
        failed = rh_pve_login(&s->pve, &s->remote, err);
    if (!failed)
        failed = look(d, &checks, err);
    rh_checks_find(&checks, findings);
    rh_checks_free(&checks);
    return failed;
}

static int clean(void *state, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    struct state *s = state;

    (void)j;
    return rh_pve_clean(&s->pve, kind, id, err);
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    RH_AUTO(rh_freep)
    char *key = rh_printf("%s %s", s->remote.text, d->request.job->name);

    s->journal =
        rh_journal_begin(d->request.lib, NULL, key, clean, s, NULL, err);
    s->work = (struct rh_pve_work){
        .pve = &s->pve, .place = &s->place, .journal = s->journal};
    return s->journal ? 0 : -1;
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
    char hex[65];

    (void)executable;
    (void)err;
    if (strcmp(name, "receipt.json") != 0)
        return 0;
    rh_sha256_hex(bytes, n, hex);
    free(s->work.note);
    s->work.note = rh_printf("rehost receipt sha256:%s", hex);
    return 0;
}

/* --- the end
 * -----------------------------------------------------------------------------
 */

static int commit(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    json_t *there = NULL;

    if (rh_pve_create(&s->work, &s->conf, err) < 0)
        return -1;
    there = rh_pve_describe(&s->work, &s->conf, err);
    json_decref(there);
    if (!there)
        return -1;
    rh_pve_settle(&s->work);
    d->where = rh_printf(_("%s at %s"), s->place.vmid, s->remote.text);
    return 0;
}

static int start(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    return rh_pve_start(&s->work, err);
}

static int addresses(struct rh_delivery *d, json_t *list, rh_error **err)
{
    struct state *s = d->state;

    return rh_pve_addresses(&s->work, list, err);
}

static void abort_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    if (!rh_option_yes(d->request.options, "keep-failed") &&
        rh_pve_take_away(&s->work, true, NULL) == 0)
        rh_journal_done(s->journal);
}

static void close_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_closep(&s->fd);
    rh_journal_close(s->journal);
    rh_pve_work_free(&s->work);
    rh_pve_place_free(&s->place);
    rh_pve_conf_free(&s->conf);
    rh_pve_logout(&s->pve);
    rh_remote_close(&s->remote);
    free(s);
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.preflight = preflight,
                                               .begin = begin,
                                               .disk = disk,
                                               .disk_done = disk_done,
                                               .put = put,
                                               .commit = commit,
                                               .start = start,
                                               .addresses = addresses,
                                               .abort = abort_delivery,
                                               .close = close_delivery};
    struct state *s = rh_new0(struct state);

    s->fd = -1;
    d->ops = &ops;
    d->state = s;
    return rh_remote_check(d->request.out, 1, 2,
                           "proxmox://HOST[:PORT]/NODE[/STORAGE]", err);
}

static int find(const struct rh_find *f, char **ret_where, rh_error **err)
{
    struct state s = {.fd = -1};
    int failed = rh_remote_open(&s.remote, f->lib, f->out, 8006, true,
                                f->options, err) < 0 ||
                 rh_pve_login(&s.pve, &s.remote, err) < 0;
    RH_AUTO(rh_freep) char *key = rh_printf("%s %s", s.remote.text, f->name);

    if (!failed) {
        s.journal = rh_journal_begin(f->lib, NULL, key, clean, &s, NULL, err);
        failed = !s.journal ||
                 rh_pve_find(&s.pve, f->mark, f->start, ret_where, err) < 0;
    }
    rh_journal_close(s.journal);
    rh_pve_logout(&s.pve);
    rh_remote_close(&s.remote);
    return failed ? -1 : 0;
}

static const char *const formats[] = {"qcow2", "raw", NULL};

const struct rh_deliverer rh_deliver_proxmox = {
    .name = "proxmox",
    .about = N_("a Proxmox VE node, by its API (--out "
                "proxmox://HOST/NODE[/STORAGE])"),
    .claims = claims,
    .formats = formats,
    .disks = true,
    .open = open_delivery,
    .find = find,
};
