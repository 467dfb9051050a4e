/* push.c - a result for KVM into a host with libvirt. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/push.h"

#ifdef HAVE_LIBVIRT
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/limits.h"
#include "deliver/libvirt/virt.h"
#include "formats/format.h"

enum { PIECE = 1024 * 1024 };

struct item {
    struct rh_place *place;
    struct rh_virt_work work;
    uint64_t file_bytes, virtual_bytes;
};

/* --- before
 * ------------------------------------------------------------------------------
 */

static int read_text(struct item *i, const char *name, char **ret_text,
                     size_t *ret_n, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_place_open(i->place, name, err);

    return io ? rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, ret_text, ret_n, err) : -1;
}

static int read_domain(struct rh_push_item *p, struct item *i, rh_error **err)
{
    RH_AUTO(rh_freep) char *xml = NULL, *vm = NULL;
    size_t n, m;
    json_t *doc;
    int failed;

    if (read_text(i, "libvirt.xml", &xml, &n, err) < 0 ||
        read_text(i, "vm.json", &vm, &m, err) < 0 ||
        rh_virt_domain_parse(xml, n, &i->work.domain, err) < 0)
        return -1;
    doc = json_loadb(vm, m, 0, NULL);
    failed = rh_virt_domain_map(
        &i->work.domain,
        json_object_get(json_array_get(json_object_get(doc, "vms"), 0), "nics"),
        p->server->options, err);
    json_decref(doc);
    return failed;
}

/* The host would open whatever a disk names as its parent. */
static struct rh_reader *open_disk(struct item *i, size_t n, rh_error **err)
{
    const char *file = i->work.domain.disks.items[n].file;
    size_t length = strlen(file);
    const char *format =
        length > 4 && !strcmp(file + length - 4, ".raw") ? "raw" : "qcow2";
    struct rh_open_options o = {.lib = i->work.host->lib};
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_place_open(i->place, file, err);
    RH_AUTO(rh_reader_closep)
    struct rh_reader *r = io ? rh_reader_open(io, format, &o, err) : NULL;

    if (!r)
        return NULL;
    if (!r->backing_file)
        return RH_TAKE(r);
    rh_fail(err, RH_ERR_DELIVERY_RESULT, "%s is an overlay of another file",
            file);
    return NULL;
}

static int look_at_disks(struct rh_push_item *p, struct item *i, rh_error **err)
{
    const struct rh_virt_domain *d = &i->work.domain;

    if (json_array_size(json_object_get(p->receipt, "disks")) != d->disks.count)
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "libvirt.xml and the receipt disagree on the disks");
    for (size_t n = 0; n < d->disks.count; n++) {
        RH_AUTO(rh_reader_closep) struct rh_reader *r = open_disk(i, n, err);

        if (!r)
            return -1;
        i->file_bytes += r->io->size;
        i->virtual_bytes += r->size;
    }
    return 0;
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);
    struct rh_virt_host *h = p->server->state;

    p->work = &i->work;
    if (rh_virt_work_init(&i->work, h, err) < 0)
        return -1;
    i->work.journal = p->journal;
    i->place = rh_place_folder(p->dir, err);
    if (!i->place || read_domain(p, i, err) < 0 || look_at_disks(p, i, err) < 0)
        return -1;
    p->bytes = i->file_bytes;
    if (rh_virt_look(&i->work,
                     h->pool ? h->pool
                             : rh_option(p->server->options, "storage"),
                     i->file_bytes, i->virtual_bytes, &p->checks, err) < 0)
        return -1;
    for (size_t n = 0; n < i->work.domain.disks.count; n++)
        rh_push_plan(p, "virsh vol-create and vol-upload into %s: %s",
                     i->work.pool_name, i->work.domain.disks.items[n].file);
    rh_push_plan(p, "virsh define %s", i->work.domain.name);
    if (rh_option_yes(p->server->options, "start"))
        rh_push_plan(p, "virsh start %s", i->work.domain.name);
    return 0;
}

/* --- sending
 * ------------------------------------------------------------------------------
 */

/* The file as it is: a qcow2 in a pool of files. */
static int send_file(struct rh_push_item *p, struct item *i, struct rh_io *io,
                     rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);

    for (uint64_t at = 0; at < io->size;) {
        size_t n = (size_t)RH_MIN((uint64_t)PIECE, io->size - at);

        if (rh_io_read(io, piece, n, at, err) < 0 ||
            rh_virt_write(&i->work, piece, n, err) < 0)
            return -1;
        at += n;
        rh_progress(p->server->lib, "send", at, io->size);
    }
    return 0;
}

/* What the guest sees: a volume, or a raw file. */
static int send_disk(struct rh_push_item *p, struct item *i,
                     struct rh_reader *r, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();

    for (uint64_t at = 0; at < r->size;) {
        struct rh_extent e;
        size_t n;

        if (rh_reader_extent(r, at, &e, err) < 0)
            return -1;
        if (e.kind != RH_EXTENT_DATA) {
            if (rh_virt_hole(&i->work, e.length, err) < 0)
                return -1;
            at += e.length;
            continue;
        }
        n = (size_t)RH_MIN((uint64_t)PIECE, e.length);
        if (rh_reader_read(r, codec, piece, n, at, err) < 0 ||
            rh_virt_write(&i->work, piece, n, err) < 0)
            return -1;
        at += n;
        rh_progress(p->server->lib, "send", at, r->size);
    }
    return 0;
}

static int send_one(struct rh_push_item *p, struct item *i, size_t n,
                    rh_error **err)
{
    RH_AUTO(rh_reader_closep) struct rh_reader *r = open_disk(i, n, err);
    bool whole = r && i->work.files && strcmp(r->format->name, "raw") != 0;
    const char *format = whole ? "qcow2" : "raw";

    if (!r || rh_virt_disk_begin(&i->work, n, format,
                                 whole ? r->io->size : r->size, err) < 0)
        return -1;
    if (whole ? send_file(p, i, r->io, err) < 0 : send_disk(p, i, r, err) < 0)
        return -1;
    return rh_virt_disk_end(&i->work, n, format, err);
}

static int send(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;
    int failed = 0;

    for (size_t n = 0; n < i->work.domain.disks.count && !failed; n++)
        failed = send_one(p, i, n, err);
    if (!failed)
        failed = rh_virt_define(&i->work, &p->delivered, err);
    p->sent = i->work.sent;
    if (failed)
        return rh_error_subject(err, i->work.host->text);
    rh_journal_done(p->journal);
    return 0;
}

static void item_free(struct rh_push_item *p)
{
    struct item *i = p->state;

    if (!i)
        return;
    rh_virt_work_free(&i->work);
    rh_place_close(i->place);
    free(i);
}
#endif

const struct rh_pusher rh_push_libvirt = {
    .server = &rh_server_libvirt,
    .target = "kvm",
#ifdef HAVE_LIBVIRT
    .look = look,
    .send = send,
    .item_free = item_free,
#endif
};
