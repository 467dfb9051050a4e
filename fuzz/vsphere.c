/* vsphere.c - what a vSphere answers about a VM: its configuration, its disks
 * and their chains, its guest, its snapshots. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "live/vsphere/machine.h"

static void look(const xmlNode *object)
{
    RH_AUTO(rh_findings_free) struct rh_findings findings = {0};
    RH_AUTO(rh_vs_disks_free) struct rh_vs_disks disks = {0};
    RH_AUTO(rh_vm_freep) struct rh_vm *vm = rh_vm_new("fuzz");
    const xmlNode *config = rh_vs_property(object, "config");
    rh_error *e = NULL;

    rh_vs_config(object, vm, &findings);
    if (rh_vs_disks(rh_vs_child(config, "hardware"), &disks, &e) == 0)
        rh_vs_devices(NULL, object, &disks, vm, &findings, &e);
    rh_vs_guest(object, vm, &findings);
    rh_vs_snapshots(rh_vs_property(object, "snapshot"), "rootSnapshotList");
    rh_error_free(e);
    json_decref(rh_vm_json(vm));
    json_decref(rh_findings_json(&findings));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RH_AUTO(rh_vs_doc_freep)
    xmlDoc *doc = rh_vs_xml((const char *)data, size, NULL);
    xmlNode *list = rh_vs_child(rh_vs_response(doc), "returnval");

    for (xmlNode *o = rh_vs_child(list, "objects"); o; o = rh_vs_next(o))
        look(o);
    return 0;
}
