/* stamp.c - has a VM changed since?
 *
 * One that is off is written by whoever starts it or changes its devices: both
 * change its configuration, of which the server tells version and time.  One
 * that runs changes its disks all the time, and our own snapshots change that
 * version: there, count what it is made of, when it was started, and the
 * snapshots that are not ours. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "live/vsphere/machine.h"

/* Neither where a disk's file is nor what is below it: snapshots change both.
 */
static void add_hardware(struct rh_buf *b, const xmlNode *hardware)
{
    rh_buf_printf(b, "%s %s", rh_vs_text_at(hardware, "numCPU"),
                  rh_vs_text_at(hardware, "memoryMB"));
    for (xmlNode *d = rh_vs_child(hardware, "device"); d; d = rh_vs_next(d)) {
        const char *size = rh_vs_text_at(d, "capacityInKB");
        const char *mac = rh_vs_text_at(d, "macAddress");

        if (size[0] || mac[0])
            rh_buf_printf(b, "\n%s %s %s %s", rh_vs_text_at(d, "key"), size,
                          mac, rh_vs_text_at(d, "backing/uuid"));
    }
}

static void add_snapshots(struct rh_buf *b, const xmlNode *list,
                          const char *name, unsigned depth)
{
    for (xmlNode *t = rh_vs_child(list, name); t; t = rh_vs_next(t)) {
        if (strncmp(rh_vs_text_at(t, "name"), "rehost-", 7))
            rh_buf_printf(b, "\n%s %s", rh_vs_text_at(t, "snapshot"),
                          rh_vs_text_at(t, "createTime"));
        if (depth < RH_LIMIT_CHAIN)
            add_snapshots(b, t, "childSnapshotList", depth + 1);
    }
}

static void add_running(struct rh_buf *ret, const xmlNode *object)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    char hex[65];

    rh_buf_printf(&b, "%s\n%s\n",
                  rh_vs_text(rh_vs_property(object, "runtime.powerState")),
                  rh_vs_text(rh_vs_property(object, "runtime.bootTime")));
    add_hardware(&b, rh_vs_property(object, "config.hardware"));
    add_snapshots(&b, rh_vs_property(object, "snapshot"), "rootSnapshotList",
                  0);
    rh_sha256_hex(b.data, b.length, hex);
    rh_buf_printf(ret, " runs %s", hex);
}

/* True: the server tells. */
static bool add_off(struct rh_buf *ret, const xmlNode *object)
{
    static const char *const state[] = {"config.changeVersion",
                                        "config.modified"};
    bool told = false;

    rh_buf_puts(ret, " off");
    for (size_t i = 0; i < RH_COUNT(state); i++) {
        const char *text = rh_vs_text(rh_vs_property(object, state[i]));

        rh_buf_printf(ret, " %s", text);
        told |= text[0] != '\0';
    }
    return told;
}

int rh_vs_stamp(struct rh_live *live, const char *id, char **ret,
                bool *ret_sure, rh_error **err)
{
    static const char *const paths[] = {"config.uuid",
                                        "config.instanceUuid",
                                        "config.changeVersion",
                                        "config.modified",
                                        "config.hardware",
                                        "runtime.powerState",
                                        "runtime.bootTime",
                                        "snapshot",
                                        NULL};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    const xmlNode *object =
        rh_vs_object(live->state, "VirtualMachine", id, paths, &doc, err);
    struct rh_buf b = {0};

    if (!object)
        return -1;
    rh_buf_puts(&b, id);
    for (size_t i = 0; i < 2; i++)
        rh_buf_printf(&b, " %s", rh_vs_text(rh_vs_property(object, paths[i])));
    *ret_sure = false;
    if (!strcmp(rh_vs_text(rh_vs_property(object, "runtime.powerState")),
                "poweredOff"))
        *ret_sure = add_off(&b, object);
    else
        add_running(&b, object);
    *ret = rh_buf_take(&b);
    return 0;
}
