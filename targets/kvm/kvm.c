/* kvm.c - the KVM model: Proxmox VE 8 and 9, and libvirt. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "targets/kvm/kvm.h"

static int emit_all(const struct rh_kvm *k, rh_error **err)
{
    RH_AUTO(rh_freep) char *conf = rh_kvm_proxmox_conf(k);
    RH_AUTO(rh_freep) char *script = rh_kvm_import_script(k);
    RH_AUTO(rh_freep) char *words = rh_kvm_import_words(k);
    RH_AUTO(rh_freep) char *xml = rh_kvm_libvirt_xml(k, err);

    if (!xml || rh_target_put(k->job, "proxmox.conf", conf, false, err) < 0 ||
        rh_target_put(k->job, "import.sh", script, true, err) < 0 ||
        rh_target_put(k->job, "import.txt", words, false, err) < 0)
        return -1;
    return rh_target_put(k->job, "libvirt.xml", xml, false, err);
}

static int emit(const struct rh_target_job *job, rh_error **err)
{
    struct rh_kvm k;
    int failed;

    rh_kvm_decide(&k, job);
    failed = emit_all(&k, err);
    rh_kvm_free(&k);
    return failed;
}

static const struct rh_option_row options[] = {
    {"storage", NULL},
    {"target-version", NULL},
    {"vmid", NULL},
    {NULL, NULL},
};

static const char *const versions[] = {"8", "9", NULL};

const struct rh_target rh_target_kvm = {
    .name = "kvm",
    .about = N_("Proxmox VE 8 and 9, libvirt"),
    .folder = "kvm",
    .profile = "kvm",
    .format = "qcow2",
    .abilities = RH_TARGET_TAGS_VLANS,
    .options = options,
    .versions = versions,
    .check = rh_kvm_check,
    .assign = rh_kvm_assign,
    .emit = emit,
};
