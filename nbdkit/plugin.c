/* plugin.c - nbdkit serves any disk of any package, read-only, with extents:
 *
 *   nbdkit rehost web01.ova vm=0 disk=0
 *   nbdkit rehost web01.ova fixed=1 to=kvm     with the guest's edits
 *
 * It lives on the public header alone.  Other parameters are the long options
 * of `rehost convert` (fill=, set=, key= ...), given as often as there. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "rehost/rehost.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* Extents kept: of a disk with more pieces, what follows counts as data. */
enum { EXTENTS_MOST = 4 * 1024 * 1024 };

struct extent {
    uint64_t offset, length;
    uint32_t kind;
};

static struct {
    char *source;
    rh_options *options;
    uint64_t vm, number;
    int fixed;
    bool has_target;
    rh_lib *lib;
    rh_package *package;
    rh_job *job;
    rh_disk *disk;
    struct extent *extents;
    size_t count, room;
} self;

/* Takes the error. */
static int failed(rh_error *e)
{
    const char *where = rh_error_where(e);

    nbdkit_error("%s%s%s [%s]", where, where[0] ? ": " : "",
                 rh_error_message(e), rh_error_id(e));
    if (rh_error_hint(e)[0])
        nbdkit_error("hint: %s", rh_error_hint(e));
    rh_error_free(e);
    return -1;
}

static void plugin_load(void)
{
    self.options = rh_options_new();
}

static void plugin_unload(void)
{
    rh_disk_free(self.disk);
    rh_job_free(self.job);
    rh_package_unload(self.package);
    rh_lib_free(self.lib);
    rh_options_free(self.options);
    free(self.extents);
    free(self.source);
}

static int number_of(const char *key, const char *value, uint64_t *ret)
{
    return nbdkit_parse_uint64_t(key, value, ret);
}

static int plugin_config(const char *key, const char *value)
{
    rh_error *e = NULL;

    if (!strcmp(key, "file")) {
        free(self.source);
        /* nbdkit leaves its folder when it goes to the background. */
        self.source =
            strstr(value, "://") ? strdup(value) : nbdkit_realpath(value);
        return self.source ? 0 : -1;
    }
    if (!strcmp(key, "vm"))
        return number_of(key, value, &self.vm);
    if (!strcmp(key, "disk"))
        return number_of(key, value, &self.number);
    if (!strcmp(key, "fixed")) {
        self.fixed = nbdkit_parse_bool(value);
        return self.fixed < 0 ? -1 : 0;
    }
    self.has_target |= !strcmp(key, "to");
    return rh_options_add(self.options, key, value, &e) < 0 ? failed(e) : 0;
}

static int plugin_config_complete(void)
{
    if (self.source)
        return 0;
    nbdkit_error("a source is needed: nbdkit rehost web01.ova");
    return -1;
}

/* --- opening: once, behind nbdkit's fork
 * --------------------------------------- */

static int keep_extent(void *user, uint64_t offset, uint64_t length, int kind)
{
    struct extent *more;

    (void)user;
    if (self.count == EXTENTS_MOST)
        return 1;
    if (self.count == self.room) {
        self.room = self.room ? self.room * 2 : 1024;
        more = realloc(self.extents, self.room * sizeof *more);
        if (!more)
            return 1;
        self.extents = more;
    }
    self.extents[self.count++] = (struct extent){
        offset, length,
        kind == RH_EXTENT_IS_DATA   ? 0
        : kind == RH_EXTENT_IS_ZERO ? NBDKIT_EXTENT_ZERO
                                    : NBDKIT_EXTENT_ZERO | NBDKIT_EXTENT_HOLE};
    return 0;
}

static int open_disk(rh_error **err)
{
    self.lib = rh_lib_new(err);
    if (!self.lib)
        return -1;
    self.package = rh_package_load(self.lib, self.source, self.options, err);
    if (!self.package)
        return -1;
    if (self.fixed) {
        if (!self.has_target &&
            rh_options_add(self.options, "to", "kvm", err) < 0)
            return -1;
        self.job = rh_job_new(self.package, self.options, err);
        self.disk = self.job
                        ? rh_disk_of_job(self.job, self.vm, self.number, err)
                        : NULL;
    } else {
        self.disk = rh_disk_of_package(self.package, self.vm, self.number, err);
    }
    if (!self.disk)
        return -1;
    return rh_disk_map(self.disk, keep_extent, NULL, err);
}

static int plugin_after_fork(void)
{
    rh_error *e = NULL;

    return open_disk(&e) < 0 ? failed(e) : 0;
}

/* --- serving
 * ----------------------------------------------------------------- */

static void *plugin_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t plugin_size(void *handle)
{
    (void)handle;
    return (int64_t)rh_disk_size(self.disk);
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

static int no(void *handle)
{
    (void)handle;
    return 0;
}

static int plugin_pread(void *handle, void *buffer, uint32_t n, uint64_t offset,
                        uint32_t flags)
{
    rh_error *e = NULL;

    (void)handle;
    (void)flags;
    if (rh_disk_read(self.disk, buffer, n, offset, &e) == 0)
        return 0;
    nbdkit_set_error(EIO);
    return failed(e);
}

/* The first extent that does not end before `offset`. */
static size_t first_at(uint64_t offset)
{
    size_t low = 0, high = self.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (self.extents[middle].offset + self.extents[middle].length <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int plugin_extents(void *handle, uint32_t n, uint64_t offset,
                          uint32_t flags, struct nbdkit_extents *ret)
{
    uint64_t end = offset + n;

    (void)handle;
    (void)flags;
    for (size_t i = first_at(offset);
         i < self.count && self.extents[i].offset < end; i++) {
        const struct extent *e = &self.extents[i];

        if (nbdkit_add_extent(ret, e->offset, e->length, e->kind) < 0)
            return -1;
    }
    if (self.count == 0 || self.extents[self.count - 1].offset +
                                   self.extents[self.count - 1].length <
                               end)
        return nbdkit_add_extent(ret, offset, n, 0);
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "rehost",
    .version = RH_VERSION,
    .longname = "rehost: disks of VMware and Nutanix exports",
    .description = "Serves any disk of an OVA, OVF, VMX, or a bare disk; "
                   "with fixed=1 as rehost convert would write it.",
    .load = plugin_load,
    .unload = plugin_unload,
    .config = plugin_config,
    .config_complete = plugin_config_complete,
    .config_help = "[file=]SOURCE     (required) as for rehost convert\n"
                   "vm=N              which VM of the package, from 0\n"
                   "disk=N            which of its disks, from 0\n"
                   "fixed=1           with the edits that convert would make\n"
                   "OPTION=VALUE      long options of rehost convert",
    .magic_config_key = "file",
    .after_fork = plugin_after_fork,
    .open = plugin_open,
    .get_size = plugin_size,
    .can_write = no,
    .can_multi_conn = yes,
    .can_extents = yes,
    .pread = plugin_pread,
    .extents = plugin_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
