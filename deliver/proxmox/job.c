/* job.c - a VM that is being converted, as Proxmox VE's settings. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/proxmox/proxmox.h"
#include "targets/kvm/kvm.h"

int rh_pve_conf_of_job(const struct rh_target_job *job, struct rh_pve_conf *ret,
                       uint64_t *ret_bytes, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    struct rh_kvm k;

    rh_kvm_decide(&k, job);
    text = rh_kvm_proxmox_conf(&k);
    rh_kvm_free(&k);
    if (rh_pve_conf_parse(text, ret, err) < 0)
        return -1;
    for (size_t i = 0; i < job->disk_count; i++) {
        if (!rh_pve_conf_find(ret, job->disks[i].bus))
            return rh_fail(err, RH_ERR_BUG, "disk %zu is in no configuration",
                           i);
        *ret_bytes += job->disks[i].virtual_size;
    }
    return 0;
}
