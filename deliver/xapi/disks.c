/* disks.c - a VM disk by disk: VDIs are made, written piece by piece, and the
 * VM is made around them by PUT /import_metadata.
 *
 * A piece that breaks off is sent again, and only that one: an XVA would have
 * to begin anew. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"
#include "deliver/xapi/xapi.h"
#include "formats/vhd/vhd.h"

#define PIECE (8 * RH_GIB) /* of the disk's addresses */

static const char key[] = "rehost-task", stem[] = "rehost-";

int rh_xapi_disks_init(struct rh_xapi_disks *d, const struct rh_xapi *x,
                       rh_error **err)
{
    const char *kept = rh_xapi_kept_mark(x);

    if (kept) {
        snprintf(d->mark, sizeof d->mark, "%s", kept);
        return 0;
    }
    memcpy(d->mark, stem, sizeof stem);
    return rh_random_hex(d->mark + sizeof stem - 1, 8, err);
}

void rh_xapi_disks_free(struct rh_xapi_disks *d)
{
    for (size_t i = 0; i < d->list.count; i++) {
        free(d->list.items[i].ref);
        free(d->list.items[i].uuid);
    }
    free(d->list.items);
    rh_xapi_import_free(&d->vm);
    *d = (struct rh_xapi_disks){0};
}

/* --- a disk
 * ------------------------------------------------------------------------------
 */

int rh_xapi_make_disk(struct rh_xapi *x, const char *sr, const char *mark,
                      const char *name, uint64_t size, struct rh_xapi_disk *ret,
                      rh_error **err)
{
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:s%, s:s, s:b, s:b, s:{s:s}, s:{}, s:{}}",
        "name_label", name, "name_description", "", "SR", sr, "virtual_size",
        "", 0, "type", "user", "sharable", 0, "read_only", 0, "other_config",
        key, mark, "sm_config", "xenstore_data");
    json_t *ref, *uuid;

    json_object_set_new(record, "virtual_size",
                        json_sprintf("%llu", (unsigned long long)size));
    if (size > VHD_MOST)
        json_object_set_new(json_object_get(record, "sm_config"),
                            "image-format", json_string("qcow2"));
    ref = rh_xapi_call(x, "VDI.create", json_pack("[o]", record), err);
    if (!ref)
        return -1;
    ret->ref = rh_strdup(json_string_value(ref));
    uuid = rh_xapi_call(x, "VDI.get_uuid", json_pack("[O]", ref), err);
    if (uuid)
        ret->uuid = rh_strdup(json_string_value(uuid));
    json_decref(ref);
    json_decref(uuid);
    return ret->uuid ? 0 : -1;
}

static int make_disk(struct rh_xapi_disks *d, const struct rh_ova *ova,
                     size_t i, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_printf("%s %zu", ova->name, i);

    return rh_xapi_make_disk(d->x, d->place->sr, d->mark, name,
                             ova->disks.items[i], rh_vec_add(&d->list), err);
}

const char *rh_xapi_disk_mark(const json_t *vdi)
{
    return rh_xapi_text(json_object_get(vdi, "other_config"), key);
}

struct ranges {
    RH_VEC(struct rh_range) list;
};

/* The data of the disk from `at` to `end`. */
static int find_data(struct rh_reader *r, uint64_t at, uint64_t end,
                     struct ranges *ret, rh_error **err)
{
    struct rh_extent e;

    for (; at < end; at += e.length) {
        if (rh_reader_extent(r, at, &e, err) < 0)
            return -1;
        if (e.kind == RH_EXTENT_DATA)
            *rh_vec_add(&ret->list) =
                (struct rh_range){at, RH_MIN(e.length, end - at)};
    }
    return 0;
}

/* An earlier run has sent it. */
static bool take_over(struct rh_xapi_disks *d, size_t i)
{
    const json_t *kept = rh_xapi_kept_disk(d->x, i);
    struct rh_xapi_disk *disk;

    if (!kept)
        return false;
    disk = rh_vec_add(&d->list);
    disk->ref = rh_strdup(rh_xapi_text(kept, "ref"));
    disk->uuid = rh_strdup(rh_xapi_text(kept, "uuid"));
    rh_log(d->x->remote->lib, RH_LOG_WARN,
           "disk %zu stands there whole since an earlier run: it is not sent "
           "again",
           i);
    return true;
}

/* So that a later run finds it. */
static int note_whole(const struct rh_xapi_disks *d, size_t i,
                      const char *digest, rh_error **err)
{
    RH_AUTO(rh_freep) char *id = NULL;

    if (!d->journal || !digest)
        return 0;
    id = rh_printf("%zu %s %s", i, d->list.items[i].uuid, digest);
    return rh_journal_add(d->journal, "disk", id, err);
}

int rh_xapi_disks_send(struct rh_xapi_disks *d, const struct rh_ova *ova,
                       size_t i, struct rh_reader *disk, const char *digest,
                       rh_error **err)
{
    if (disk->size > ova->disks.items[i])
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "disk %zu is larger than ova.xml says", i);
    if (!i && rh_xapi_forget_elsewhere(d->x, d->place->sr) &&
        rh_xapi_clean_marked(d->x, d->mark, err) < 0)
        return -1;
    if (take_over(d, i))
        return 0;
    if (!i && d->journal && !rh_xapi_kept_mark(d->x) &&
        rh_journal_add(d->journal, "vdis", d->mark, err) < 0)
        return -1;
    if (make_disk(d, ova, i, err) < 0)
        return -1;
    for (uint64_t at = 0; at < disk->size; at += PIECE) {
        struct ranges ranges = {0};
        uint64_t end = RH_MIN(disk->size, at + PIECE);
        int failed = find_data(disk, at, end, &ranges, err);

        if (!failed)
            failed = rh_xapi_vdi_write(d->x, d->place, d->list.items[i].ref,
                                       disk, ranges.list.items,
                                       ranges.list.count, &d->sent, err);
        free(ranges.list.items);
        if (failed)
            return -1;
        rh_progress(d->x->remote->lib, "send", end, disk->size);
    }
    return note_whole(d, i, digest, err);
}

/* --- the VM
 * ------------------------------------------------------------------------------
 */

int rh_xapi_disks_vm(struct rh_xapi_disks *d, const struct rh_ova *ova,
                     const char *xml, rh_error **err)
{
    static const char end[1024];
    RH_AUTO(rh_buf_free) struct rh_buf tar = {0}, path = {0};

    rh_buf_puts(&path, "/import_metadata?restore=true");
    for (size_t i = 0; i < d->list.count; i++)
        rh_buf_printf(&path, "&vdi:%s=%s", ova->disk_uuids.items[i],
                      d->list.items[i].uuid);
    rh_ova_tar(xml, &tar);
    rh_buf_add(&tar, end, sizeof end);
    d->vm =
        (struct rh_xapi_import){.x = d->x,
                                .place = d->place,
                                .journal = d->journal,
                                .kind = d->place->staged ? "metadata" : NULL};
    if (rh_xapi_import_open(&d->vm, ova->name, path.data, (int64_t)tar.length,
                            err) < 0 ||
        rh_xapi_import_write(&d->vm, tar.data, tar.length, err) < 0)
        return -1;
    return rh_xapi_import_end(&d->vm, err);
}

/* --- taking away
 * -------------------------------------------------------------------------------
 */

static bool is_mark(const char *mark)
{
    size_t n = sizeof stem - 1;

    return !strncmp(mark, stem, n) && strlen(mark) == n + 16 &&
           strspn(mark + n, "0123456789abcdef") == 16;
}

/* Disks with this mark that no VM has. */
int rh_xapi_clean_marked(struct rh_xapi *x, const char *mark, rh_error **err)
{
    json_t *all = is_mark(mark)
                      ? rh_xapi_call(x, "VDI.get_all_records", NULL, err)
                      : json_object();
    int failed = all ? 0 : -1;
    const char *ref;
    json_t *vdi;

    json_object_foreach (all, ref, vdi) {
        if (!strcmp(rh_xapi_disk_mark(vdi), mark) &&
            !json_object_get(x->kept, rh_xapi_text(vdi, "uuid")) &&
            !json_array_size(json_object_get(vdi, "VBDs")))
            failed |= rh_xapi_do(x, "VDI.destroy", json_pack("[s]", ref),
                                 failed ? NULL : err);
    }
    json_decref(all);
    return failed;
}

void rh_xapi_disks_abort(struct rh_xapi_disks *d)
{
    int failed = 0;

    rh_xapi_forget(d->x);
    rh_http_set_lib(d->x->http, NULL); /* also after a cancel */
    if (d->vm.task)
        failed = rh_xapi_clean_task(d->x, d->journal, d->vm.task, NULL);
    failed |= rh_xapi_clean_marked(d->x, d->mark, NULL);
    rh_http_set_lib(d->x->http, d->x->remote->lib);
    if (!failed)
        rh_journal_done(d->journal);
}

void rh_xapi_disks_leave(struct rh_xapi_disks *d)
{
    if (!d->vm.task)
        return;
    rh_http_set_lib(d->x->http, NULL); /* also after a cancel */
    if (rh_xapi_clean(d->x, d->journal, "metadata", d->vm.task, NULL) == 0)
        rh_journal_done(d->journal);
    rh_http_set_lib(d->x->http, d->x->remote->lib);
}
