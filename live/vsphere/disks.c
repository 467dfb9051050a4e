/* disks.c - a VM's disks as the API has them: where they are plugged in, their
 * files and the files below those.
 *
 * A chain goes by backing.parent, never by the content ids in the files: a
 * fresh delta has its parent's id until it is closed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "live/vsphere/machine.h"

/* --- controllers ------------------------------------------------------------
 */

static const char *const rows[][3] = {
    {"ParaVirtualSCSIController", "scsi", "pvscsi"},
    {"VirtualLsiLogicController", "scsi", "lsilogic"},
    {"VirtualLsiLogicSASController", "scsi", "lsisas"},
    {"VirtualBusLogicController", "scsi", "buslogic"},
    {"VirtualAHCIController", "sata", "sata"},
    {"VirtualNVMEController", "nvme", "nvme"},
    {"VirtualIDEController", "ide", "ide"},
};

const char *rh_vs_controller_type(const char *model)
{
    for (size_t i = 0; i < RH_COUNT(rows); i++)
        if (!strcmp(rows[i][2], model))
            return rows[i][0];
    return NULL;
}

bool rh_vs_controller(const xmlNode *device, const char **ret_bus,
                      const char **ret_model)
{
    RH_AUTO(rh_freep) char *type = rh_vs_type(device);

    for (size_t i = 0; i < RH_COUNT(rows); i++)
        if (!strcmp(rows[i][0], type)) {
            *ret_bus = rows[i][1];
            *ret_model = rows[i][2];
            return true;
        }
    return false;
}

xmlNode *rh_vs_device(const xmlNode *hardware, const char *key)
{
    for (xmlNode *d = rh_vs_child(hardware, "device"); d; d = rh_vs_next(d))
        if (!strcmp(rh_vs_text_at(d, "key"), key))
            return d;
    return NULL;
}

/* --- files ------------------------------------------------------------------
 */

static void file_free(struct rh_vs_file *f)
{
    free(f->datastore);
    free(f->folder);
    free(f->name);
}

/* "[ds] a/b/x.vmdk"; nothing of it may climb out of its folder. */
static bool parse_file(const char *text, struct rh_vs_file *ret)
{
    const char *close = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *path, *slash;

    if (!close)
        return false;
    path = close + 1 + strspn(close + 1, " ");
    slash = strrchr(path, '/');
    if (rh_check_name(path, NULL) < 0)
        return false;
    ret->datastore = rh_strndup(text + 1, (size_t)(close - text - 1));
    ret->folder = rh_strndup(path, slash ? (size_t)(slash - path) : 0);
    ret->name = rh_strdup(slash ? slash + 1 : path);
    return true;
}

static int take_chain(const xmlNode *backing, struct rh_vs_disk *d,
                      rh_error **err)
{
    for (; backing; backing = rh_vs_child(backing, "parent")) {
        struct rh_vs_file f = {0};

        if (d->chain.count > RH_LIMIT_CHAIN)
            return rh_fail(err, RH_ERR_LIVE_ANSWER,
                           "the chain of a disk's files has more than %d",
                           RH_LIMIT_CHAIN);
        if (!parse_file(rh_vs_text_at(backing, "fileName"), &f))
            return rh_fail(err, RH_ERR_LIVE_ANSWER,
                           "\"%.300s\" is no file on a datastore",
                           rh_vs_text_at(backing, "fileName"));
        *rh_vec_add(&d->chain) = f;
    }
    return 0;
}

/* --- one disk ---------------------------------------------------------------
 */

static void disk_free(struct rh_vs_disk *d)
{
    for (size_t i = 0; i < d->chain.count; i++)
        file_free(&d->chain.items[i]);
    free(d->chain.items);
    free(d->where);
    free(d->file);
    free(d->mode);
    free(d->uuid);
    free(d->change_id);
    free(d->datastore_id);
}

void rh_vs_disks_free(struct rh_vs_disks *d)
{
    for (size_t i = 0; i < d->list.count; i++)
        disk_free(&d->list.items[i]);
    free(d->list.items);
    *d = (struct rh_vs_disks){0};
}

static bool is_shared_bus(const xmlNode *controller)
{
    const char *bus = rh_vs_text_at(controller, "sharedBus");

    return bus[0] && strcmp(bus, "noSharing");
}

static void take_backing(const xmlNode *backing, struct rh_vs_disk *d)
{
    const char *mode = rh_vs_text_at(backing, "diskMode");
    const char *sharing = rh_vs_text_at(backing, "sharing");
    const char *change = rh_vs_text_at(backing, "changeId");
    const char *rdm = rh_vs_text_at(backing, "compatibilityMode");

    d->file = rh_strdup(rh_vs_text_at(backing, "fileName"));
    d->mode = rh_strdup(mode);
    d->uuid = rh_strdup(rh_vs_text_at(backing, "uuid"));
    d->change_id = change[0] ? rh_strdup(change) : NULL;
    d->datastore_id = rh_strdup(rh_vs_text_at(backing, "datastore"));
    d->independent = !strncmp(mode, "independent", 11);
    d->encrypted = rh_vs_child(backing, "keyId") != NULL;
    d->thin = rh_vs_true_at(backing, "thinProvisioned");
    d->shared |= sharing[0] && strcmp(sharing, "sharingNone");
    d->rdm_physical = !strcmp(rdm, "physicalMode");
    d->rdm_virtual = !strcmp(rdm, "virtualMode");
}

static uint64_t capacity_of(const xmlNode *device)
{
    uint64_t n = 0;

    if (!rh_vs_number_at(device, "capacityInBytes", &n) &&
        rh_vs_number_at(device, "capacityInKB", &n))
        n = n < UINT64_MAX / RH_KIB ? n * RH_KIB : 0;
    return n;
}

static int take_disk(const xmlNode *hardware, const xmlNode *device,
                     struct rh_vs_disk *d, rh_error **err)
{
    const xmlNode *controller =
        rh_vs_device(hardware, rh_vs_text_at(device, "controllerKey"));
    const xmlNode *backing = rh_vs_child(device, "backing");

    if (!controller || !rh_vs_controller(controller, &d->bus, &d->controller))
        d->bus = d->controller = "scsi";
    rh_vs_number_at(controller, "busNumber", &d->controller_number);
    rh_vs_number_at(device, "unitNumber", &d->unit);
    rh_vs_number_at(device, "key", &d->key);
    d->capacity = capacity_of(device);
    d->where = rh_printf("%s%llu:%llu", d->bus,
                         (unsigned long long)d->controller_number,
                         (unsigned long long)d->unit);
    d->shared = is_shared_bus(controller);
    take_backing(backing, d);
    return take_chain(backing, d, err) < 0 ? rh_error_subject(err, d->where)
                                           : 0;
}

static int by_place(const void *a, const void *b)
{
    static const char *const order[] = {"ide", "scsi", "sata", "nvme"};
    const struct rh_vs_disk *x = a, *y = b;
    unsigned i = 0, j = 0;

    while (i + 1 < RH_COUNT(order) && strcmp(order[i], x->bus))
        i++;
    while (j + 1 < RH_COUNT(order) && strcmp(order[j], y->bus))
        j++;
    if (i != j)
        return i < j ? -1 : 1;
    if (x->controller_number != y->controller_number)
        return x->controller_number < y->controller_number ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

int rh_vs_disks(const xmlNode *hardware, struct rh_vs_disks *ret,
                rh_error **err)
{
    RH_AUTO(rh_vs_disks_free) struct rh_vs_disks all = {0};

    for (xmlNode *d = rh_vs_child(hardware, "device"); d; d = rh_vs_next(d)) {
        if (!rh_vs_is_type(d, "VirtualDisk"))
            continue;
        if (all.list.count == RH_LIMIT_VM_DISKS)
            return rh_fail(err, RH_ERR_LIVE_ANSWER, "more than %d disks",
                           RH_LIMIT_VM_DISKS);
        if (take_disk(hardware, d, rh_vec_add(&all.list), err) < 0)
            return -1;
    }
    if (all.list.count)
        qsort(all.list.items, all.list.count, sizeof *all.list.items, by_place);
    *ret = all;
    all = (struct rh_vs_disks){0};
    return 0;
}
