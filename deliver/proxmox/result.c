/* result.c - a result for KVM, as the deliveries to Proxmox VE take it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/io.h"
#include "base/limits.h"
#include "deliver/proxmox/proxmox.h"
#include "deliver/result.h"

static char *read_text(struct rh_pve_result *r, const char *name,
                       rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_place_open(r->place, name, err);
    char *text;
    size_t n;

    if (!io || rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return NULL;
    return text;
}

/* Lines of "KEY: VALUE", of which each is looked at before it counts. */
static int read_conf(struct rh_pve_result *r, const struct rh_server *s,
                     const char *dir, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = read_text(r, "proxmox.conf", err);
    const rh_options *o = s->options;
    json_t *doc = text ? rh_result_json_by(s->kind->read_json, s->lib, dir,
                                           "vm.json", err)
                       : NULL;

    if (!doc)
        return -1;
    if (rh_pve_conf_parse(text, &r->conf, err) < 0) {
        json_decref(doc);
        return -1;
    }
    rh_pve_conf_map(
        &r->conf,
        json_object_get(json_array_get(json_object_get(doc, "vms"), 0), "nics"),
        o);
    json_decref(doc);
    if (rh_option(o, "name"))
        rh_pve_conf_set(&r->conf, "name", rh_option(o, "name"));
    return 0;
}

/* The receipt knows which file is on which bus. */
static int find_disks(struct rh_pve_result *r, const json_t *receipt,
                      rh_error **err)
{
    size_t n;
    json_t *disk;

    json_array_foreach (json_object_get(receipt, "disks"), n, disk) {
        const char *file = rh_pve_text(disk, "file");
        struct rh_pve_setting *s =
            rh_pve_conf_find(&r->conf, rh_pve_text(disk, "bus"));
        RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

        if (!s || !file[0] || s->file)
            return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                           "proxmox.conf and the receipt disagree on disk %zu",
                           n);
        io = rh_place_open(r->place, file, err);
        if (!io)
            return -1;
        s->file = rh_strdup(file);
        r->file_bytes += io->size;
        r->largest_file = RH_MAX(r->largest_file, io->size);
        r->virtual_bytes += rh_pve_number(disk, "virtual_size");
    }
    return 0;
}

static const char note_stem[] = "rehost receipt sha256:";

char *rh_pve_note(const void *receipt, size_t n)
{
    char hex[65];

    rh_sha256_hex(receipt, n, hex);
    return rh_printf("%s%s", note_stem, hex);
}

static char *note_of(const json_t *receipt)
{
    RH_AUTO(rh_freep) char *text = json_dumps(receipt, JSON_SORT_KEYS);

    return rh_pve_note(text, strlen(text));
}

bool rh_pve_is_note(const char *text)
{
    size_t n = sizeof note_stem - 1;

    return !strncmp(text, note_stem, n) && strlen(text) == n + 64 &&
           strspn(text + n, "0123456789abcdef") == 64;
}

int rh_pve_result_open(const struct rh_server *s, const char *dir,
                       const json_t *receipt, struct rh_pve_result *ret,
                       rh_error **err)
{
    ret->place = rh_place_folder(dir, err);
    ret->note = note_of(receipt);
    if (!ret->place || read_conf(ret, s, dir, err) < 0)
        return -1;
    return find_disks(ret, receipt, err);
}

void rh_pve_result_close(struct rh_pve_result *r)
{
    rh_pve_conf_free(&r->conf);
    rh_place_close(r->place);
    free(r->note);
    *r = (struct rh_pve_result){0};
}
