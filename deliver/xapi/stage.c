/* stage.c - VDIs that later passes write into, before their VM is made.
 *
 * A pass sends a VHD of nothing but the blocks that changed: vhd-tool writes
 * what it marks, and leaves the rest (vdi.c). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/xapi/xapi.h"

struct state {
    struct rh_server server;
    struct rh_xapi_place place;
    char mark[24]; /* "rehost-0123456789abcdef" */
};

static struct rh_xapi *xapi_of(const struct state *s)
{
    return s->server.state;
}

static int open_stage(struct rh_stage *stage, rh_error **err)
{
    struct state *s = stage->state = rh_new0(struct state);
    const char *hex = strrchr(stage->mark, ' ');

    snprintf(s->mark, sizeof s->mark, "rehost-%s", hex ? hex + 1 : "");
    if (rh_server_open(&s->server, &rh_server_xapi, stage->lib, stage->out,
                       stage->options, err) < 0)
        return -1;
    return rh_xapi_place_of(xapi_of(s), rh_server_place(&s->server, "sr"),
                            &s->place, err);
}

static void close_stage(struct rh_stage *stage)
{
    struct state *s = stage->state;

    if (!s)
        return;
    rh_xapi_place_free(&s->place);
    rh_server_close(&s->server);
    free(s);
    stage->state = NULL;
}

static bool is_ours(const struct state *s, const json_t *vdi, uint64_t size)
{
    return !strcmp(rh_xapi_disk_mark(vdi), s->mark) &&
           rh_xapi_number(vdi, "virtual_size") == size;
}

/* One that was made, and not noted: nothing was written into it. */
static int find_made(const struct state *s, const char *name, uint64_t size,
                     char **ret_id, rh_error **err)
{
    json_t *all = rh_xapi_call(xapi_of(s), "VDI.get_all_records", NULL, err),
           *vdi;
    const char *ref;

    json_object_foreach (all, ref, vdi)
        if (!*ret_id && is_ours(s, vdi, size) &&
            !json_array_size(json_object_get(vdi, "VBDs")) &&
            !strcmp(rh_xapi_text(vdi, "name_label"), name))
            *ret_id = rh_strdup(rh_xapi_text(vdi, "uuid"));
    json_decref(all);
    return all ? 0 : -1;
}

static int make(struct rh_stage *stage, size_t i, const char *name,
                uint64_t size, char **ret_id, rh_error **err)
{
    struct state *s = stage->state;
    RH_AUTO(rh_freep) char *label = rh_printf("%s %zu", name, i);
    struct rh_xapi_disk disk = {0};
    int failed;

    if (find_made(s, label, size, ret_id, err) < 0)
        return -1;
    if (*ret_id)
        return 0;
    failed = rh_xapi_make_disk(xapi_of(s), s->place.sr, s->mark, label, size,
                               &disk, err);
    free(disk.ref);
    if (failed)
        free(disk.uuid);
    else
        *ret_id = disk.uuid;
    return failed;
}

/* *ret NULL: it is gone; else its record. */
static int record_of(struct rh_xapi *x, const char *id, json_t **ret,
                     json_t **ret_ref, rh_error **err)
{
    json_t *error = NULL;
    json_t *ref =
        rh_xapi_ask(x, "VDI.get_by_uuid", json_pack("[s]", id), &error, err);
    const char *code = rh_xapi_text(error, "message");
    int failed = ref || !strcmp(code, "UUID_INVALID") ? 0 : -1;

    *ret = *ret_ref = NULL;
    if (error && failed)
        rh_xapi_fail(x, "VDI.get_by_uuid", code, json_object_get(error, "data"),
                     err);
    json_decref(error);
    if (ref) {
        *ret = rh_xapi_call(x, "VDI.get_record", json_pack("[O]", ref), err);
        *ret_ref = ref;
        failed = *ret ? 0 : -1;
    }
    return failed;
}

/* The pool's own domain holds a disk while it is written, and a little longer
 * when that broke off. */
static int check_free(struct rh_xapi *x, const json_t *vdi, rh_error **err)
{
    json_t *ref;
    size_t i;

    json_array_foreach (json_object_get(vdi, "VBDs"), i, ref) {
        json_t *vm = rh_xapi_call(x, "VBD.get_VM", json_pack("[O]", ref), err);
        json_t *own = vm ? rh_xapi_call(x, "VM.get_is_control_domain",
                                        json_pack("[O]", vm), err)
                         : NULL;
        bool good = json_is_true(own);

        json_decref(vm);
        json_decref(own);
        if (!own)
            return -1;
        if (!good)
            return rh_fail(err, RH_ERR_DELIVERY_TAKEN,
                           "the disk %s belongs to a VM by now",
                           rh_xapi_text(vdi, "uuid"));
    }
    return 0;
}

static int look(struct rh_stage *stage, const char *id, uint64_t size,
                bool *ret, rh_error **err)
{
    struct state *s = stage->state;
    json_t *vdi, *ref;
    int failed = record_of(xapi_of(s), id, &vdi, &ref, err);

    *ret = vdi && is_ours(s, vdi, size);
    if (*ret)
        failed = check_free(xapi_of(s), vdi, err);
    json_decref(vdi);
    json_decref(ref);
    return failed;
}

static int write_ranges(struct rh_stage *stage, const char *id,
                        struct rh_reader *disk, const struct rh_range *ranges,
                        size_t count, uint64_t *ret_sent, rh_error **err)
{
    struct state *s = stage->state;
    json_t *ref =
        rh_xapi_call(xapi_of(s), "VDI.get_by_uuid", json_pack("[s]", id), err);
    int failed =
        ref ? rh_xapi_vdi_write(xapi_of(s), &s->place, json_string_value(ref),
                                disk, ranges, count, ret_sent, err)
            : -1;

    json_decref(ref);
    return failed;
}

static int clean(struct rh_stage *stage, rh_error **err)
{
    struct state *s = stage->state;
    json_t *all, *vdi;
    const char *ref;
    size_t left = 0;

    if (rh_xapi_clean_marked(xapi_of(s), s->mark, err) < 0)
        return -1;
    all = rh_xapi_call(xapi_of(s), "VDI.get_all_records", NULL, err);
    if (!all)
        return -1;
    json_object_foreach (all, ref, vdi)
        left += !strcmp(rh_xapi_disk_mark(vdi), s->mark);
    json_decref(all);
    if (!left)
        return 0;
    return rh_fail(err, RH_ERR_DELIVERY_LEFT,
                   "%zu disks with other_config:rehost-task=%s are in use",
                   left, s->mark);
}

const struct rh_stager rh_xapi_stager = {
    .target = "xen",
    .format = "vhd",
    .open = open_stage,
    .make = make,
    .look = look,
    .write = write_ranges,
    .clean = clean,
    .close = close_stage,
};
