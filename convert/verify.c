/* verify.c - is a result still what the source and the receipt say?
 *
 * Outside the runs that the receipt names as changed, every byte must be the
 * source's; and the whole must have the receipt's content digest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "convert/copy/copy.h"
#include "convert/job.h"
#include "convert/result.h"
#include "rehost/rehost.h"

/* --- one disk
 * ---------------------------------------------------------------------- */

/* A reader that shows `over` in the named runs and `base` elsewhere: what
 * remains different from `over` is then a difference that nobody planned. */
static struct rh_reader *expected_disk(rh_lib *lib, struct rh_reader *source,
                                       struct rh_reader *result,
                                       const json_t *changed, rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) char *buf = rh_malloc(RH_MIB);
    RH_AUTO(rh_reader_closep)
    struct rh_reader *overlay = rh_overlay_new(source, lib, err);
    const json_t *run;
    size_t i;

    if (!overlay)
        return NULL;
    json_array_foreach (changed, i, run) {
        uint64_t at = (uint64_t)json_integer_value(json_array_get(run, 0));
        uint64_t left = (uint64_t)json_integer_value(json_array_get(run, 1));

        if (at > source->size || left > source->size - at) {
            rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                    "a changed run lies outside the disk");
            return NULL;
        }
        while (left) {
            size_t n = (size_t)RH_MIN(left, RH_MIB);

            if (rh_reader_read(result, codec, buf, n, at, err) < 0 ||
                rh_overlay_write(overlay, buf, n, at, err) < 0)
                return NULL;
            at += n;
            left -= n;
        }
    }
    return RH_TAKE(overlay);
}

static uint64_t changed_bytes(const json_t *changed)
{
    const json_t *run;
    uint64_t sum = 0;
    size_t i;

    json_array_foreach (changed, i, run)
        sum += (uint64_t)json_integer_value(json_array_get(run, 1));
    return sum;
}

static int compare_disk(rh_lib *lib, struct rh_reader *source,
                        struct rh_reader *result, const json_t *disk,
                        struct rh_buf *text, rh_error **err)
{
    const json_t *changed = json_object_get(disk, "changed");
    RH_AUTO(rh_reader_closep)
    struct rh_reader *expected =
        expected_disk(lib, source, result, changed, err);
    const char *digest =
        json_string_value(json_object_get(disk, "content_digest"));
    char content[65] = "";
    uint64_t offset = 0;
    bool same = false;

    if (!expected ||
        rh_copy_compare(lib, expected, result, &same, &offset, err) < 0)
        return -1;
    if (!same)
        return rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                       "the result differs from the source at 0x%llx, where "
                       "nothing was to be changed",
                       (unsigned long long)offset);
    if (digest && rh_copy_content(lib, result, source->size, content, err) < 0)
        return -1;
    if (digest && strcmp(digest, content))
        return rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                       "the result's content digest is not the receipt's");
    rh_buf_printf(text,
                  _("disk %lld: as the source, but for %llu bytes of the "
                    "guest's edits%s\n"),
                  json_integer_value(json_object_get(disk, "disk")),
                  (unsigned long long)changed_bytes(changed),
                  digest ? _("; content digest as in the receipt") : "");
    return 0;
}

/* --- all of them
 * --------------------------------------------------------------------- */

/* The VM of the package that this result was made from.  Names are made unique
 * among those that were converted together, ids are it in the package. */
static size_t vm_of(const struct rh_package *p, const json_t *receipt)
{
    const char *name = json_string_value(json_object_get(receipt, "vm"));
    const char *id = json_string_value(json_object_get(receipt, "vm_id"));

    for (size_t i = 0; id && i < p->vms.count; i++)
        if (p->vms.items[i]->id && !strcmp(p->vms.items[i]->id, id))
            return i;
    for (size_t i = 0; name && i < p->vms.count; i++) {
        RH_AUTO(rh_freep)
        char *safe = rh_safe_name(
            rh_package_vm_name(p, i) ? rh_package_vm_name(p, i) : "vm");

        if (!strcmp(safe, name))
            return i;
    }
    return 0;
}

static int verify_disk(struct rh_package *p, size_t vm, const char *dir,
                       const json_t *receipt, size_t i, struct rh_buf *text,
                       rh_error **err)
{
    const json_t *disk = json_array_get(json_object_get(receipt, "disks"), i);
    json_int_t index = json_integer_value(json_object_get(disk, "disk"));
    RH_AUTO(rh_reader_closep) struct rh_reader *source = NULL;
    RH_AUTO(rh_reader_closep) struct rh_reader *result = NULL;

    if (index < 0 || (size_t)index >= p->vms.items[vm]->disks.count)
        return rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                       "the package has no disk %lld", index);
    source = rh_package_disk(p, vm, (size_t)index, err);
    if (source)
        result = rh_result_disk(p->lib, dir, receipt, i, err);
    if (!result)
        return -1;
    return compare_disk(p->lib, source, result, disk, text, err);
}

static int verify_all(struct rh_package *p, const char *dir,
                      const json_t *receipt, struct rh_buf *text,
                      rh_error **err)
{
    size_t vm = vm_of(p, receipt);
    size_t count = json_array_size(json_object_get(receipt, "disks"));

    if (p->vms.count == 0)
        return rh_fail(err, RH_ERR_PLAN_NO_VM, "no VM was found in it");
    for (size_t i = 0; i < count; i++)
        if (verify_disk(p, vm, dir, receipt, i, text, err) < 0)
            return -1;
    if (rh_package_verify(p, err) < 0)
        return -1;
    rh_buf_puts(text, _("verified\n"));
    return 0;
}

int rh_result_verify(rh_lib *lib, const char *source, const char *result_dir,
                     char **ret_text, rh_error **err)
{
    json_t *receipt = rh_result_json(result_dir, "receipt.json", err);
    struct rh_package_options o = {.will_read = true};
    struct rh_package *p =
        receipt ? rh_package_open(lib, source, &o, err) : NULL;
    struct rh_buf text = {0};
    int failed = -1;

    *ret_text = NULL;
    if (p)
        failed = verify_all(p, result_dir, receipt, &text, err);
    if (!failed)
        *ret_text = rh_buf_take(&text);
    rh_buf_free(&text);
    rh_package_free(p);
    json_decref(receipt);
    return failed;
}
