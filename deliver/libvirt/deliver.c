/* deliver.c - `convert --out libvirt:URI#POOL`: each disk is written front to
 * back into its volume while it is made. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "deliver/deliver.h"

static bool claims(const char *out)
{
    return !strncmp(out, "libvirt:", 8);
}

#ifdef HAVE_LIBVIRT
#include <stdlib.h>

#include "deliver/libvirt/virt.h"
#include "targets/kvm/kvm.h"

struct state {
    struct rh_virt_host host;
    struct rh_virt_work work;
    struct rh_journal *journal;
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
    const char *pool =
        s->host.pool ? s->host.pool : rh_option(d->request.options, "storage");
    uint64_t bytes = 0;

    rh_virt_work_init(&s->work, &s->host);
    if (read_job(s, d->request.job, &bytes, err) < 0 ||
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

static int preflight(struct rh_delivery *d, struct rh_findings *findings,
                     rh_error **err)
{
    struct state *s = d->state;
    struct rh_checks checks = {0};
    int failed = rh_virt_connect(&s->host, d->request.lib, err);

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
    return rh_virt_clean(&s->host, kind, id, err);
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    RH_AUTO(rh_freep)
    char *key = rh_printf("%s %s", s->host.text, d->request.job->name);

    s->journal =
        rh_journal_begin(d->request.lib, NULL, key, clean, s, NULL, err);
    s->work.journal = s->journal;
    return s->journal ? 0 : -1;
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

static int commit(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    json_t *there = NULL;

    if (rh_virt_define(&s->work, &there, err) < 0)
        return rh_error_subject(err, s->host.text);
    json_decref(there);
    rh_journal_done(s->journal);
    d->where = rh_printf(_("%s at %s"), s->work.domain.uuid, s->host.text);
    return 0;
}

static int start(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    return rh_virt_start(&s->work, err);
}

static int addresses(struct rh_delivery *d, json_t *list, rh_error **err)
{
    struct state *s = d->state;

    return rh_virt_addresses(&s->work, list, err);
}

static void abort_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    if (!rh_option_yes(d->request.options, "keep-failed") &&
        rh_virt_take_away(&s->work) == 0)
        rh_journal_done(s->journal);
}

static void close_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_virt_work_free(&s->work);
    rh_journal_close(s->journal);
    rh_virt_close(&s->host);
    free(s);
}

static int find(const struct rh_find *f, char **ret_where, rh_error **err)
{
    struct state s = {0};
    int failed = rh_virt_url(f->out, &s.host, err) < 0 ||
                 rh_virt_connect(&s.host, f->lib, err) < 0;
    RH_AUTO(rh_freep)
    char *key = rh_printf("%s %s", s.host.text ? s.host.text : "", f->name);

    if (!failed) {
        s.journal = rh_journal_begin(f->lib, NULL, key, clean, &s, NULL, err);
        failed = !s.journal ||
                 rh_virt_find(&s.host, f->mark, f->start, ret_where, err) < 0;
    }
    rh_journal_close(s.journal);
    rh_virt_close(&s.host);
    return failed ? -1 : 0;
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.preflight = preflight,
                                               .begin = begin,
                                               .disk = disk,
                                               .disk_done = disk_done,
                                               .commit = commit,
                                               .start = start,
                                               .addresses = addresses,
                                               .abort = abort_delivery,
                                               .close = close_delivery};
    struct state *s = rh_new0(struct state);

    d->ops = &ops;
    d->state = s;
    if (d->request.compressed) {
        rh_fail(err, RH_ERR_PLAN_OPTION,
                "a compressed disk cannot be sent while it is made");
        return rh_hint(err, "leave out --compress, or convert into a folder "
                            "and `rehost push` that");
    }
    return rh_virt_url(d->request.out, &s->host, err);
}
#else
#include "deliver/push.h"

static int none(rh_error **err)
{
    rh_fail(err, RH_ERR_UNAVAILABLE, "this rehost was built without libvirt");
    return rh_hint(err, "convert into a folder and run its import.sh on the "
                        "host");
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    (void)d;
    return none(err);
}

static int find(const struct rh_find *f, char **ret_where, rh_error **err)
{
    (void)f;
    (void)ret_where;
    return none(err);
}

static int open_host(struct rh_push *p, rh_error **err)
{
    (void)p;
    return none(err);
}

static void close_host(struct rh_push *p)
{
    (void)p;
}

static const char *const own_options[] = {"storage", NULL};

const struct rh_pusher rh_push_libvirt = {
    .scheme = "libvirt",
    .target = "kvm",
    .local = true,
    .options = own_options,
    .open = open_host,
    .close = close_host,
};
#endif

static const char *const formats[] = {"qcow2", "raw", NULL};

const struct rh_deliverer rh_deliver_libvirt = {
    .name = "libvirt",
    .about = N_("a host with libvirt (--out libvirt:URI[#POOL])"),
    .claims = claims,
    .formats = formats,
    .disks = true,
    .in_order = true,
    .open = open_delivery,
    .find = find,
};
