/* deliver.c - `convert --out proxmox-local:STORAGE`, on a Proxmox VE node: each
 * disk goes straight into its volume while it is made.  One copy, no temporary
 * file, and nothing that reads the source has root's rights (split.c). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/deliver.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/local/fill.h"
#include "deliver/server.h"

struct state {
    const char *storage;
    struct rh_node_facts facts;
    struct rh_pve_conf conf;
    char *vmid, *note;
    const char *mark; /* of the job whose volumes lie there; or NULL */
};

static bool claims(const char *out)
{
    return !strncmp(out, "proxmox-local:", 14);
}

/* --- before
 * ----------------------------------------------------------------------------
 */

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    const char *vmid = rh_option(d->request.options, "vmid");
    struct rh_staged_facts staged = {0};
    RH_AUTO(rh_freep) char *number = NULL;
    uint64_t bytes = 0;

    if (s->mark &&
        rh_broker_stage(d->request.lib, s->mark, vmid, &staged, err) < 0)
        return -1;
    number = staged.vmid;
    if (s->mark)
        vmid = number;
    if (rh_broker_look(d->request.lib, vmid, &s->facts, err) < 0 ||
        rh_pve_conf_of_job(d->request.job, &s->conf, &bytes, err) < 0)
        return -1;
    rh_node_judge(&s->facts, s->storage,
                  s->mark          ? 0
                  : s->facts.thick ? bytes
                                   : d->request.data_bytes,
                  &s->conf, checks);
    return 0;
}

int rh_local_need_broker(const rh_lib *lib, rh_error **err)
{
    if (rh_broker_is_there(lib))
        return 0;
    rh_fail(err, RH_ERR_UNAVAILABLE,
            "proxmox-local: is for a process that has given up root's "
            "rights before it read anything");
    return rh_hint(err, "give --out proxmox-local:STORAGE to each step of "
                        "`rehost warm`; a program calls rh_lib_split() first; "
                        "a result in a folder can be pushed");
}

static int preflight(struct rh_delivery *d, struct rh_findings *findings,
                     rh_error **err)
{
    struct rh_checks checks = {0};
    int failed;

    if (rh_local_need_broker(d->request.lib, err) < 0)
        return -1;
    failed = look(d, &checks, err);
    rh_checks_find(&checks, findings);
    rh_checks_free(&checks);
    return failed;
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    return rh_broker_begin(d->request.lib, d->request.job->name,
                           s->mark ? s->facts.vmid
                                   : rh_option(d->request.options, "vmid"),
                           s->mark, &s->vmid, err);
}

/* --- disks
 * ------------------------------------------------------------------------------
 */

/* The sink of one volume. */
struct sink {
    int fd;
    uint64_t block, size; /* of a thin volume; block 0: any other */
    uint8_t *touched;     /* a bit for each block */
    pthread_mutex_t lock;
};

static int fd_of(const struct rh_out *o)
{
    const struct sink *s = o->state;

    return s->fd;
}

/* A thin pool may give out blocks with what others have left in them (lvcreate
 * -Zn): one that gets some data is emptied first. */
static int touch(struct sink *s, uint64_t block, rh_error **err)
{
    uint64_t at = block * s->block;
    uint64_t range[2] = {at, RH_MIN(s->block, s->size - at)};
    uint8_t bit = (uint8_t)(1 << block % 8);

    if (s->touched[block / 8] & bit)
        return 0;
    if (ioctl(s->fd, BLKZEROOUT, range) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "the volume cannot be emptied");
    s->touched[block / 8] |= bit;
    return 0;
}

static int touch_all(struct sink *s, size_t n, uint64_t offset, rh_error **err)
{
    int failed = 0;

    if (!s->block || !n)
        return 0;
    pthread_mutex_lock(&s->lock);
    for (uint64_t b = offset / s->block;
         b <= (offset + n - 1) / s->block && b * s->block < s->size && !failed;
         b++)
        failed = touch(s, b, err);
    pthread_mutex_unlock(&s->lock);
    return failed;
}

static int volume_write(struct rh_out *o, const void *buf, size_t n,
                        uint64_t offset, rh_error **err)
{
    if (touch_all(o->state, n, offset, err) < 0)
        return rh_error_subject(err, o->name);
    return rh_pwrite_all(fd_of(o), buf, n, offset, o->name, err);
}

static int volume_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    (void)size;
    if (fsync(fd_of(o)) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                  "the volume could not be written");
    return rh_error_subject(err, o->name);
}

static void volume_close(struct rh_out *o)
{
    struct sink *s = o->state;

    close(s->fd);
    free(s->touched);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct sink *sink_of(int fd, bool thin, rh_error **err)
{
    struct sink *s = rh_new0(struct sink);
    struct stat st;

    s->fd = fd;
    pthread_mutex_init(&s->lock, NULL);
    if (!thin || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) ||
        ioctl(fd, BLKGETSIZE64, &s->size) < 0)
        return s;
    s->block = rh_local_block(&st);
    if (!s->block)
        return s;
    s->touched = rh_alloc_big((size_t)(s->size / s->block / 8 + 1), err);
    if (s->touched) {
        memset(s->touched, 0, (size_t)(s->size / s->block / 8 + 1));
        return s;
    }
    close(fd);
    free(s);
    return NULL;
}

static struct rh_out *disk(struct rh_delivery *d, size_t i, const char *name,
                           uint64_t size, rh_error **err)
{
    static const struct rh_out_ops ops = {
        .write = volume_write, .finish = volume_finish, .close = volume_close};
    struct state *s = d->state;
    struct rh_pve_setting *setting =
        rh_pve_conf_find(&s->conf, d->request.job->disks[i].bus);
    RH_AUTO(rh_closep) int fd = -1;
    struct sink *sink;
    int taken;

    (void)name;
    if (rh_broker_alloc(d->request.lib, size, &setting->volume, &fd, err) < 0 ||
        (s->facts.thick &&
         rh_local_empty(d->request.lib, fd, setting->volume, err) < 0))
        return NULL;
    taken = fd;
    fd = -1;
    sink = sink_of(taken, !strcmp(s->facts.type, "lvmthin"), err);
    return sink ? rh_out_make(&ops, setting->volume, true, sink) : NULL;
}

/* It lies there by this name, but for what the job that makes the VM writes. */
static int there(struct rh_delivery *d, size_t i, const char *id,
                 struct rh_reader *disk, const struct rh_range *changed,
                 size_t count, rh_error **err)
{
    struct state *s = d->state;
    uint64_t size = d->request.job->disks[i].virtual_size, sent = 0;
    struct rh_pve_setting *setting =
        rh_pve_conf_find(&s->conf, d->request.job->disks[i].bus);
    RH_AUTO(rh_closep) int fd = -1;

    if (rh_broker_use(d->request.lib, id, size, &setting->volume, &fd, err) < 0)
        return -1;
    if (fd < 0)
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "the volume %s of %llu bytes is gone", id,
                       (unsigned long long)size);
    return rh_local_put(d->request.lib, fd, setting->volume,
                        !strcmp(s->facts.type, "lvmthin"), disk, changed, count,
                        &sent, err);
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
    free(s->note);
    s->note = rh_pve_note(bytes, n);
    return 0;
}

/* --- the end
 * -----------------------------------------------------------------------------
 */

static int commit(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    json_t *params =
        rh_pve_conf_params(&s->conf, s->storage, s->note, RH_PVE_ATTACH);
    int failed = rh_broker_create(d->request.lib, s->note, params, err);

    json_decref(params);
    if (failed || rh_broker_keep(d->request.lib, err) < 0)
        return -1;
    d->where = rh_printf(_("%s at %s"), s->vmid, d->request.out);
    d->delivered = rh_node_describe(&s->conf, s->vmid);
    return 0;
}

static int look_for_addresses(void *state, json_t *list, rh_error **err)
{
    const struct rh_delivery *d = state;

    return rh_broker_addresses(d->request.lib, list, err);
}

static int start(struct rh_delivery *d, rh_error **err)
{
    const rh_options *o = d->request.options;
    RH_AUTO(rh_freep) char *text = NULL;
    unsigned seconds;
    json_t *list;

    if (!rh_option_yes(o, "start"))
        return 0;
    if (rh_address_seconds(o, &seconds, err) < 0 ||
        rh_broker_start(d->request.lib, err) < 0) {
        rh_hint(err, "the VM stays as it was delivered: look there why it does "
                     "not start");
        return rh_error_context(err, _("the VM was delivered as %s, but"),
                                d->where);
    }
    if (!seconds)
        return 0;
    list = rh_address_wait(d->request.lib, seconds, look_for_addresses, d);
    text = rh_address_text(list);
    json_decref(list);
    if (text[0]) {
        RH_AUTO(rh_freep) char *where = d->where;

        d->where = rh_printf(_("%s, address %s"), where, text);
    }
    return 0;
}

static int find(const struct rh_find *f, char **ret_where, rh_error **err)
{
    RH_AUTO(rh_freep) char *vmid = NULL;

    if (rh_local_need_broker(f->lib, err) < 0 ||
        rh_broker_find(f->lib, f->name, f->mark, f->start, &vmid, err) < 0)
        return -1;
    *ret_where = vmid ? rh_printf(_("%s at %s"), vmid, f->out) : NULL;
    return 0;
}

static void abort_delivery(struct rh_delivery *d)
{
    rh_broker_drop(d->request.lib, NULL);
}

static void close_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_pve_conf_free(&s->conf);
    rh_node_facts_free(&s->facts);
    free(s->vmid);
    free(s->note);
    free(s);
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.preflight = preflight,
                                               .begin = begin,
                                               .disk = disk,
                                               .there = there,
                                               .put = put,
                                               .commit = commit,
                                               .start = start,
                                               .abort = abort_delivery,
                                               .close = close_delivery};
    struct state *s = rh_new0(struct state);

    d->ops = &ops;
    d->state = s;
    if (rh_option_yes(d->request.options, "staged"))
        s->mark = rh_option(d->request.options, "mark");
    s->storage = rh_node_storage_in(d->request.out, err);
    return s->storage ? 0 : -1;
}

static const char *const formats[] = {"raw", NULL};

const struct rh_deliverer rh_deliver_local = {
    .name = "proxmox-local",
    .about = N_("volumes of the Proxmox VE node that it runs on (--out "
                "proxmox-local:STORAGE)"),
    .claims = claims,
    .formats = formats,
    .disks = true,
    .hosted = true,
    .parted = true,
    .open = open_delivery,
    .stager = &rh_local_stager,
    .find = find,
};
