/* deliver.c - `convert --out libvirt:URI#POOL`: each disk is written front to
 * back into its volume while it is made. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "deliver/deliver.h"
#include "deliver/server.h"

#ifdef HAVE_LIBVIRT
#include <stdlib.h>

#include "deliver/libvirt/virt.h"
#include "targets/kvm/kvm.h"

struct state {
    struct rh_to_server to;
    struct rh_virt_work work;
};

/* --- before
 * ------------------------------------------------------------------------------
 */

static int read_job(struct state *s, const struct rh_target_job *job,
                    uint64_t *ret_bytes, rh_error **err)
{
    static const rh_options none;
    RH_AUTO(rh_freep) char *text = NULL;
    struct rh_target_files files = {0}; /* no folder: the disks lie in none */
    struct rh_target_job copy = *job;
    struct rh_kvm k;

    copy.out = &files;
    rh_kvm_decide(&k, &copy);
    text = rh_kvm_libvirt_xml(&k, err);
    rh_kvm_free(&k);
    if (!text ||
        rh_virt_domain_parse(text, strlen(text), &s->work.domain, err) < 0 ||
        rh_virt_domain_map(&s->work.domain, NULL, &none, err) < 0)
        return -1;
    if (s->work.domain.disks.count != job->disk_count)
        return rh_fail(err, RH_ERR_BUG, "a disk is in no configuration");
    for (size_t i = 0; i < job->disk_count; i++)
        *ret_bytes += job->disks[i].virtual_size;
    return 0;
}

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    struct rh_virt_host *h = s->to.server.state;
    const char *pool =
        h->pool ? h->pool : rh_option(d->request.options, "storage");
    uint64_t bytes = 0;

    s->to.work = &s->work;
    if (rh_virt_work_init(&s->work, h, err) < 0 ||
        read_job(s, d->request.job, &bytes, err) < 0 ||
        rh_virt_look(&s->work, pool, d->request.data_bytes, bytes, checks,
                     err) < 0)
        return -1;
    if (!s->work.files && strcmp(d->request.format, "raw") != 0) {
        rh_check_bad(checks, RH_ERR_DELIVERY_PLACE,
                     "the storage pool \"%s\" has volumes, not files: they "
                     "take disks as raw only",
                     s->work.pool_name);
        rh_check_hint(checks, "add --format raw");
    }
    return 0;
}

static void begun(struct rh_delivery *d)
{
    struct state *s = d->state;

    s->work.journal = s->to.journal;
}

/* --- disks
 * ------------------------------------------------------------------------------
 */

static int sink_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    struct state *s = o->state;

    (void)offset;
    return rh_virt_write(&s->work, buf, n, err);
}

/* A file's length is not known before its end: it grows. */
static struct rh_out *disk(struct rh_delivery *d, size_t i, const char *name,
                           uint64_t size, rh_error **err)
{
    static const struct rh_out_ops ops = {.write = sink_write};
    struct state *s = d->state;

    if (rh_virt_disk_begin(&s->work, i, d->request.format,
                           s->work.files ? 0 : size, err) < 0)
        return NULL;
    return rh_out_make(&ops, name, false, s);
}

static int disk_done(struct rh_delivery *d, size_t i, uint64_t file_size,
                     rh_error **err)
{
    struct state *s = d->state;

    (void)file_size;
    return rh_virt_disk_end(&s->work, i, d->request.format, err);
}

static int finish(struct rh_delivery *d, const char **ret_id, rh_error **err)
{
    struct state *s = d->state;

    if (rh_virt_define(&s->work, &d->delivered, err) < 0)
        return rh_error_subject(err, d->request.out);
    rh_journal_done(s->to.journal);
    *ret_id = s->work.domain.uuid;
    return 0;
}

static void free_state(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_virt_work_free(&s->work);
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_to_server_steps steps = {
        .look = look, .begun = begun, .finish = finish, .free = free_state};
    static const struct rh_delivery_ops ops = {RH_TO_SERVER_OPS, .disk = disk,
                                               .disk_done = disk_done};

    if (d->request.compressed) {
        rh_fail(err, RH_ERR_PLAN_OPTION,
                "a compressed disk cannot be sent while it is made");
        return rh_hint(err, "leave out --compress, or convert into a folder "
                            "and `rehost push` that");
    }
    return rh_to_server_open(d, &rh_new0(struct state)->to, &steps, &ops, err);
}
#else
static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    return rh_server_libvirt.check(d->request.out, err);
}
#endif

static const char *const formats[] = {"qcow2", "raw", NULL};

const struct rh_deliverer rh_deliver_libvirt = {
    .name = "libvirt",
    .about = N_("a host with libvirt (--out libvirt:URI[#POOL])"),
    .server = &rh_server_libvirt,
    .formats = formats,
    .disks = true,
    .in_order = true,
    .open = open_delivery,
};
