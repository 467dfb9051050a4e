/* result.c - a result folder's documents and disks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/result.h"

#include <string.h>

#include "base/limits.h"
#include "targets/target.h"

static json_t *parse(rh_lib *lib, struct rh_io *io, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *doc;
    size_t n;

    (void)lib;
    if (rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return NULL;
    doc = json_loadb(text, n, 0, NULL);
    if (!doc)
        rh_fail(err, RH_ERR_BOOT_RESULT, "it is no JSON");
    return doc;
}

json_t *rh_result_json_by(json_t *(*read)(rh_lib *lib, struct rh_io *io,
                                          rh_error **err),
                          rh_lib *lib, const char *dir, const char *name,
                          rh_error **err)
{
    RH_AUTO(rh_place_closep) struct rh_place *place = rh_place_folder(dir, err);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = place ? rh_place_open(place, name, err) : NULL;
    json_t *doc = io ? (read ? read : parse)(lib, io, err) : NULL;

    if (io && !doc) {
        rh_error_context(err, "%s", name);
        rh_error_subject(err, dir);
    }
    return doc;
}

json_t *rh_result_json(const char *dir, const char *name, rh_error **err)
{
    return rh_result_json_by(NULL, NULL, dir, name, err);
}

static const char *word(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* The kind of archive that the receipt's target makes. */
static const struct rh_archive_ops *archive_of(const json_t *receipt,
                                               rh_error **err)
{
    const char *name = word(receipt, "target");
    const struct rh_target *target = name ? rh_target_named(name) : NULL;

    if (target && target->archive && word(receipt, "vm"))
        return target->archive;
    rh_fail(err, RH_ERR_VERIFY_RECEIPT,
            "the receipt does not say where its disks lie");
    return NULL;
}

static struct rh_io *open_archive(struct rh_place *place, const json_t *receipt,
                                  rh_error **err)
{
    const struct rh_archive_ops *archive = archive_of(receipt, err);
    RH_AUTO(rh_freep) char *file = NULL;

    if (!archive)
        return NULL;
    file = rh_printf("%s.%s", word(receipt, "vm"), archive->format);
    return rh_place_open(place, file, err);
}

struct rh_io *rh_result_archive(const char *dir, const json_t *receipt,
                                rh_error **err)
{
    RH_AUTO(rh_place_closep) struct rh_place *place = rh_place_folder(dir, err);

    return place ? open_archive(place, receipt, err) : NULL;
}

static struct rh_reader *archive_disk(rh_lib *lib, struct rh_place *place,
                                      const json_t *receipt, size_t i,
                                      rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = open_archive(place, receipt, err);

    return io ? archive_of(receipt, err)->read(lib, io, i, err) : NULL;
}

struct rh_reader *rh_result_disk(rh_lib *lib, const char *dir,
                                 const json_t *receipt, size_t i,
                                 rh_error **err)
{
    RH_AUTO(rh_place_closep) struct rh_place *place = rh_place_folder(dir, err);
    const char *file =
        word(json_array_get(json_object_get(receipt, "disks"), i), "file");
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    struct rh_open_options o = {.lib = lib};
    size_t n = file ? strlen(file) : 0;

    if (!place)
        return NULL;
    if (!file)
        return archive_disk(lib, place, receipt, i, err);
    io = rh_place_open(place, file, err);
    if (!io)
        return NULL;
    return rh_reader_open(
        io, n > 4 && !strcmp(file + n - 4, ".raw") ? "raw" : NULL, &o, err);
}
