/* xen.c - the Xen model: XCP-ng 8.2 and 8.3 with Xen Orchestra.
 *
 * By default the whole VM is one XVA (xva.c, metadata.c) and a script that
 * imports it; with --format vhd, qcow2 or raw the disks are files and the
 * script makes the VM around them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "targets/xcp-ng/xen.h"

enum { DISK_UNIT = 2 * 1024 * 1024 }; /* the storage manager rounds to it */

/* /dev/xvda, b, c, e ... as PV drivers of the guest name the position; beyond
 * z come aa, ab. */
static const char *bus_name(const struct rh_vm *vm, size_t disk)
{
    unsigned n = rh_xen_position(disk);

    if (n < 26)
        return rh_arena_printf(vm->arena, "xvd%c", 'a' + n);
    return rh_arena_printf(vm->arena, "xvd%c%c", 'a' + n / 26 - 1,
                           'a' + n % 26);
}

static int assign(struct rh_target_job *job, struct rh_findings *findings,
                  rh_error **err)
{
    (void)findings;
    (void)err;
    job->machine = "pc"; /* Xen's device model has no other */
    for (size_t i = 0; i < job->disk_count; i++) {
        struct rh_target_disk *d = &job->disks[i];

        d->bus = bus_name(job->vm, i);
        d->file = rh_xen_is_xva(job)
                      ? NULL
                      : rh_arena_printf(job->vm->arena, "disk%zu.%s", i,
                                        job->options->format);
        d->virtual_size = rh_round_up(d->virtual_size, DISK_UNIT);
    }
    return 0;
}

/* A tar with ova.xml alone: what import_metadata?dry_run=true takes. */
static int put_metadata(const struct rh_target_job *job, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_printf("%s-metadata.xva", job->name);
    RH_AUTO(rh_freep) char *xml = rh_xen_metadata(job, err);
    RH_AUTO(rh_buf_free) struct rh_buf tar = {0};
    static const char zeros[1024];
    uint8_t header[512];
    size_t n;

    if (!xml)
        return -1;
    n = strlen(xml);
    rh_xen_tar_header(header, "ova.xml", n);
    rh_buf_add(&tar, header, sizeof header);
    rh_buf_add(&tar, xml, n);
    rh_buf_add(&tar, zeros, (size_t)(rh_round_up(n, 512) - n));
    rh_buf_add(&tar, zeros, sizeof zeros);
    return rh_target_put_bytes(job, name, tar.data, tar.length, false, err);
}

static int emit(const struct rh_target_job *job, rh_error **err)
{
    RH_AUTO(rh_freep) char *words = rh_xen_import_words(job);
    RH_AUTO(rh_freep) char *script = NULL;

    if (put_metadata(job, err) < 0 ||
        rh_target_put(job, "import.txt", words, false, err) < 0)
        return -1;
    if (rh_xen_is_xva(job)) {
        script = rh_xen_import_xva(job);
        return rh_target_put(job, "import.sh", script, true, err);
    }
    script = rh_xen_import_disks(job, err);
    if (!script || rh_target_put(job, "xe-import.sh", script, true, err) < 0)
        return -1;
    return rh_target_put(job, "import.sh",
                         "#!/bin/sh\n"
                         "# Imports the VM of this folder: import.sh --help\n"
                         "exec \"$(dirname \"$0\")/xe-import.sh\" \"$@\"\n",
                         true, err);
}

static const char *const sums[] = {"sha1", "xxhash", NULL};
static const struct rh_option_row options[] = {
    {"sr", NULL},
    {"target-version", NULL},
    {"xva-sum", sums},
    {NULL, NULL},
};

static const char *const versions[] = {"8.2", "8.3", NULL};

const struct rh_target rh_target_xen = {
    .name = "xen",
    .about = N_("XCP-ng 8.2 and 8.3, with Xen Orchestra"),
    .folder = "xcp-ng",
    .profile = "xen",
    .disk_unit = DISK_UNIT,
    .format = "xva",
    .abilities = RH_TARGET_NEEDS_PV_DRIVERS,
    .options = options,
    .versions = versions,
    .check = rh_xen_check,
    .assign = assign,
    .emit = emit,
    .archive = &rh_xen_archive,
};
