/* verify.c - is a result still what the source and the receipt say?
 *
 * Outside the runs that the receipt names as changed, every byte of a disk must
 * be the source's; the whole must have the receipt's content digest, and what
 * else is in the disks' files its frame digest (frame.h); the other files must
 * have their SHA-256.  The receipt itself is sealed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "convert/copy/copy.h"
#include "convert/documents.h"
#include "convert/frame.h"
#include "convert/job.h"
#include "convert/verify.h"
#include "deliver/result.h"
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

static int differs(rh_error **err, const char *file, const char *what)
{
    rh_fail(err, RH_ERR_VERIFY_DIFFERS, "%s", _(what));
    return file ? rh_error_subject(err, file) : -1;
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
    struct rh_comparison c;

    if (!expected || rh_copy_compare(lib, expected, result, &c, err) < 0)
        return -1;
    if (!c.same) {
        rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                "the result differs from the source at 0x%llx, where nothing "
                "was to be changed",
                (unsigned long long)c.offset);
        return rh_error_subject(err, result->name);
    }
    if (digest && strcmp(digest, c.content))
        return differs(err, result->name,
                       N_("the result's content digest is not the receipt's"));
    rh_buf_printf(text,
                  _("disk %lld: as the source, but for %llu bytes of the "
                    "guest's edits%s\n"),
                  json_integer_value(json_object_get(disk, "disk")),
                  (unsigned long long)changed_bytes(changed),
                  digest ? _("; content digest as in the receipt") : "");
    return 0;
}

/* --- the files that hold disks
 * ---------------------------------------------------------------------- */

/* `about` holds the size under `key`, and the frame's digest. */
static int check_frame(rh_lib *lib, struct rh_io *file, const json_t *about,
                       const char *key, const struct rh_frame_disk *disks,
                       size_t count, rh_error **err)
{
    const char *digest =
        json_string_value(json_object_get(about, "frame_digest"));
    const json_t *size = json_object_get(about, key);
    bool same;

    if (!digest) /* a receipt of an older version */
        return 0;
    if (json_is_integer(size) &&
        (uint64_t)json_integer_value(size) != file->size)
        return differs(err, file->name,
                       N_("the file's size is not the receipt's"));
    if (rh_frame_check(lib, file, disks, count, digest, &same, err) < 0)
        return -1;
    return same ? 0
                : differs(err, file->name,
                          N_("headers, tables or padding of the file were "
                             "changed"));
}

static int check_disk_file(rh_lib *lib, struct rh_reader *result,
                           const json_t *disk, uint64_t size, rh_error **err)
{
    const struct rh_frame_disk d = {result, size};
    bool plain = json_is_string(json_object_get(disk, "content_digest"));

    if (!json_is_string(json_object_get(disk, "file")))
        return 0;
    return check_frame(lib, result->io, disk, "file_bytes", &d, plain ? 1 : 0,
                       err);
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

void rh_verify_sources_free(struct rh_verify_sources *s)
{
    rh_job_free_overlays(s->disks, s->count);
}

static struct rh_reader *open_source(struct rh_package *p, size_t vm,
                                     const json_t *disk, rh_error **err)
{
    json_int_t index = json_integer_value(json_object_get(disk, "disk"));

    if (index >= 0 && (size_t)index < p->vms.items[vm]->disks.count)
        return rh_package_disk(p, vm, (size_t)index, err);
    rh_fail(err, RH_ERR_VERIFY_RECEIPT, "the package has no disk %lld", index);
    rh_hint(err, "give the sources that were converted, all of them and in "
                 "that order, with the same --fill and --drop");
    return NULL;
}

int rh_verify_sources(struct rh_package *p, const json_t *receipt,
                      struct rh_verify_sources *ret, rh_error **err)
{
    const json_t *disks = json_object_get(receipt, "disks");
    struct rh_findings told = {0};
    size_t vm = vm_of(p, receipt);
    int failed = 0;

    *ret = (struct rh_verify_sources){0};
    if (p->vms.count == 0)
        return rh_fail(err, RH_ERR_PLAN_NO_VM, "no VM was found in it");
    ret->count = json_array_size(disks);
    ret->disks = rh_calloc(ret->count + 1, sizeof(void *));
    for (size_t i = 0; i < ret->count; i++) {
        ret->disks[i] = open_source(p, vm, json_array_get(disks, i), err);
        if (!ret->disks[i])
            return -1;
    }
    /* What was left out then is what the same maps leave out now. */
    if (json_is_true(json_object_get(receipt, "skip_free")))
        failed = rh_job_skip_free(ret->disks, ret->count, NULL, NULL, p->lib,
                                  &told, err);
    rh_findings_free(&told);
    return failed;
}

/* A result that is being verified. */
struct verification {
    struct rh_package *package;
    size_t vm;
    const char *dir;
    const json_t *receipt;
    struct rh_verify_sources sources;
    struct rh_frame_disk *disks; /* those of the archive, kept open */
    size_t disk_count;
    struct rh_buf *text;
};

static int verify_disk(struct verification *v, size_t i, rh_error **err)
{
    struct rh_package *p = v->package;
    const json_t *disk =
        json_array_get(json_object_get(v->receipt, "disks"), i);
    struct rh_reader *source = v->sources.disks[i];
    RH_AUTO(rh_reader_closep)
    struct rh_reader *result =
        rh_result_disk(p->lib, v->dir, v->receipt, i, err);

    if (!result ||
        check_disk_file(p->lib, result, disk, source->size, err) < 0 ||
        compare_disk(p->lib, source, result, disk, v->text, err) < 0)
        return -1;
    v->disks[i].size = json_is_string(json_object_get(disk, "content_digest"))
                           ? source->size
                           : 0;
    v->disks[i].reader = RH_TAKE(result);
    return 0;
}

/* All disks in one file: a packed one is read back from a copy, and its own
 * bytes are all frame. */
static int verify_archive(const struct verification *v, rh_error **err)
{
    const json_t *about = json_object_get(v->receipt, "archive");
    RH_AUTO(rh_io_unrefp) struct rh_io *file = NULL;
    uint64_t inside = v->disk_count ? v->disks[0].reader->io->size : 0;

    if (!json_is_object(about))
        return 0;
    file = rh_result_archive(v->dir, v->receipt, err);
    if (!file)
        return -1;
    return check_frame(v->package->lib, file, about, "bytes", v->disks,
                       file->size == inside ? v->disk_count : 0, err);
}

/* The files beside the disks. */
static int verify_file(const char *dir, const json_t *about, rh_error **err)
{
    const char *name = json_string_value(json_object_get(about, "name"));
    const char *digest = json_string_value(json_object_get(about, "sha256"));
    RH_AUTO(rh_place_closep) struct rh_place *place = rh_place_folder(dir, err);
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    RH_AUTO(rh_freep) char *bytes = NULL;
    char hex[RH_DIGEST_HEX];
    size_t n;

    if (!name || !digest)
        return rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                       "the receipt does not say what its files are");
    io = place ? rh_place_open(place, name, err) : NULL;
    if (!io || rh_io_slurp(io, RH_LIMIT_RESULT_FILE, &bytes, &n, err) < 0)
        return -1;
    rh_sha256_hex(bytes, n, hex);
    return strcmp(hex, digest) == 0
               ? 0
               : differs(err, name, N_("the file was changed"));
}

static int verify_files(const struct verification *v, rh_error **err)
{
    const json_t *files = json_object_get(v->receipt, "files"), *f;
    size_t i;

    json_array_foreach (files, i, f)
        if (rh_go_on(v->package->lib, err) < 0 ||
            verify_file(v->dir, f, err) < 0)
            return -1;
    if (i)
        rh_buf_printf(v->text, _("files: %zu as in the receipt\n"), i);
    return 0;
}

static int verify_parts(struct verification *v, rh_error **err)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (verify_disk(v, i, err) < 0)
            return -1;
    if (verify_archive(v, err) < 0)
        return -1;
    return rh_package_verify(v->package, err);
}

static int verify_all(struct rh_package *p, const char *dir,
                      const json_t *receipt, struct rh_buf *text,
                      rh_error **err)
{
    struct verification v = {
        .package = p,
        .vm = vm_of(p, receipt),
        .dir = dir,
        .receipt = receipt,
        .disk_count = json_array_size(json_object_get(receipt, "disks")),
        .text = text};
    int failed;

    if (p->vms.count == 0)
        return rh_fail(err, RH_ERR_PLAN_NO_VM, "no VM was found in it");
    if (verify_files(&v, err) < 0) /* they are small */
        return -1;
    if (rh_verify_sources(p, receipt, &v.sources, err) < 0) {
        rh_verify_sources_free(&v.sources);
        return -1;
    }
    v.disks = rh_calloc(v.disk_count + 1, sizeof *v.disks);
    failed = verify_parts(&v, err);
    for (size_t i = 0; i < v.disk_count; i++)
        rh_reader_close(v.disks[i].reader);
    free(v.disks);
    rh_verify_sources_free(&v.sources);
    if (!failed)
        rh_buf_puts(text, _("verified\n"));
    return failed;
}

/* The receipt, when its seal is unbroken. */
static json_t *sealed_receipt(const char *dir, rh_error **err)
{
    RH_AUTO(rh_place_closep) struct rh_place *place = rh_place_folder(dir, err);
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    RH_AUTO(rh_freep) char *text = NULL;
    bool has_seal;
    size_t n;

    io = place ? rh_place_open(place, "receipt.json", err) : NULL;
    if (!io || rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return NULL;
    if (rh_receipt_sealed(text, n, &has_seal))
        return rh_result_json(dir, "receipt.json", err);
    differs(err, "receipt.json", N_("its seal is broken"));
    return NULL;
}

int rh_result_verify_with(rh_lib *lib, const char *source,
                          const char *result_dir, const rh_options *options,
                          char **ret_text, rh_error **err)
{
    json_t *receipt = sealed_receipt(result_dir, err);
    struct rh_package_options o = {.will_read = true};
    struct rh_package *p =
        !receipt  ? NULL
        : options ? rh_package_load_for(lib, source, options, true, err)
                  : rh_package_open(lib, source, &o, err);
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

int rh_result_verify(rh_lib *lib, const char *source, const char *result_dir,
                     char **ret_text, rh_error **err)
{
    return rh_result_verify_with(lib, source, result_dir, NULL, ret_text, err);
}
