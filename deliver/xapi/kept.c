/* kept.c - whole disks that an earlier run of the same push has left: they are
 * not sent again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/limits.h"
#include "deliver/xapi/xapi.h"

void rh_xapi_forget(struct rh_xapi *x)
{
    json_decref(x->kept);
    x->kept = NULL;
}

const char *rh_xapi_kept_mark(const struct rh_xapi *x)
{
    json_t *disk;
    const char *uuid;

    json_object_foreach (x->kept, uuid, disk)
        return rh_xapi_text(disk, "mark");
    return NULL;
}

const json_t *rh_xapi_kept_disk(const struct rh_xapi *x, size_t i)
{
    json_t *disk;
    const char *uuid;

    json_object_foreach (x->kept, uuid, disk)
        if (rh_xapi_number(disk, "index") == i)
            return disk;
    return NULL;
}

bool rh_xapi_forget_elsewhere(struct rh_xapi *x, const char *sr)
{
    json_t *disk;
    const char *uuid;
    void *next;
    bool some = false;

    json_object_foreach_safe(x->kept, next, uuid,
                             disk) if (strcmp(rh_xapi_text(disk, "SR"), sr))
    {
        json_object_del(x->kept, uuid);
        some = true;
    }
    return some;
}

/* Does the pool still have it as it was sent?  No VM has had it, and nobody
 * else knows its mark. */
static bool stands(const json_t *vdi, const char *mark, const json_t *disk)
{
    uint64_t size = rh_xapi_number(vdi, "virtual_size");
    uint64_t sent = rh_xapi_number(disk, "virtual_size");

    return !strcmp(rh_xapi_disk_mark(vdi), mark) &&
           !json_array_size(json_object_get(vdi, "VBDs")) && sent &&
           size >= sent && size - sent <= 4 * RH_MIB;
}

static void keep_disk(struct rh_xapi *x, size_t index, const char *uuid,
                      const char *mark, const json_t *disk)
{
    json_t *ref =
        rh_xapi_call(x, "VDI.get_by_uuid", json_pack("[s]", uuid), NULL);
    json_t *vdi =
        ref ? rh_xapi_call(x, "VDI.get_record", json_pack("[O]", ref), NULL)
            : NULL;

    if (vdi && stands(vdi, mark, disk))
        json_object_set_new(x->kept, uuid,
                            json_pack("{s:I, s:s, s:s, s:O, s:s}", "index",
                                      (json_int_t)index, "uuid", uuid, "mark",
                                      mark, "ref", ref, "SR",
                                      rh_xapi_text(vdi, "SR")));
    json_decref(vdi);
    json_decref(ref);
}

/* "INDEX UUID DIGEST" of a journal, which may come from anywhere. */
static void look_at(struct rh_xapi *x, const char *id, const char *mark,
                    const json_t *receipt)
{
    size_t n = strcspn(id, " "), m = id[n] ? strcspn(id + n + 1, " ") : 0;
    RH_AUTO(rh_freep) char *number = rh_strndup(id, n);
    RH_AUTO(rh_freep) char *uuid = m ? rh_strndup(id + n + 1, m) : NULL;
    const json_t *disks = json_object_get(receipt, "disks"), *disk;
    uint64_t index;

    if (!uuid || id[n + 1 + m] != ' ' || !rh_parse_u64(number, &index) ||
        index >= json_array_size(disks))
        return;
    disk = json_array_get(disks, (size_t)index);
    if (!strcmp(rh_xapi_text(disk, "content_digest"), id + n + m + 2) &&
        !rh_xapi_kept_disk(x, (size_t)index))
        keep_disk(x, (size_t)index, uuid, mark, disk);
}

/* Is this push one of disks at all? */
static bool goes_by_disks(const struct rh_server *s, const json_t *receipt)
{
    const char *file = rh_xapi_text(
        json_array_get(json_object_get(receipt, "disks"), 0), "file");
    const char *dot = strrchr(file, '.');

    return rh_option_yes(s->options, "disk-by-disk") ||
           (dot && !strcmp(dot, ".vhd"));
}

bool rh_xapi_keep(struct rh_server *s, const json_t *left,
                  const json_t *receipt)
{
    struct rh_xapi *x = s->state;
    const char *mark = NULL;
    const json_t *line;
    size_t i;

    rh_xapi_forget(x);
    if (!goes_by_disks(s, receipt))
        return false;
    x->kept = json_object();
    json_array_foreach (left, i, line) {
        const char *kind = rh_xapi_text(line, "kind");

        /* The VM was being made of them: all of it goes. */
        if (!strcmp(kind, "task")) {
            rh_xapi_forget(x);
            return false;
        }
        if (!strcmp(kind, "vdis"))
            mark = rh_xapi_text(line, "id");
        else if (mark && !strcmp(kind, "disk"))
            look_at(x, rh_xapi_text(line, "id"), mark, receipt);
    }
    if (json_object_size(x->kept))
        return true;
    rh_xapi_forget(x);
    return false;
}
