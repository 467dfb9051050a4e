/* deliver.c - what a push reads of a result and a URL: ova.xml, proxmox.conf,
 * libvirt.xml, URLs.  The first byte says which; what is read again after a
 * change must be the same VM. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "deliver/proxmox/proxmox.h"
#ifdef HAVE_LIBVIRT
#include "deliver/libvirt/virt.h"
#endif
#include "deliver/xapi/xapi.h"

static rh_options *some_options(void)
{
    static rh_options o;

    if (!o.list.count) {
        rh_options_put(&o, "network-map", "VM Network=xenbr0");
        rh_options_put(&o, "network-map", "*=vmbr1,tag=7");
        rh_options_put(&o, "name", "a <b> & c");
        rh_options_put(&o, "note", "mark");
    }
    return &o;
}

static void try_ova(const char *text, size_t n)
{
    struct rh_ova o = {0}, again = {0};
    RH_AUTO(rh_freep) char *changed = NULL;

    if (rh_ova_parse(text, n, &o, NULL) < 0)
        return;
    changed = rh_ova_change(text, n, some_options(), NULL);
    if (!changed || rh_ova_parse(changed, strlen(changed), &again, NULL) < 0 ||
        again.disks.count != o.disks.count ||
        again.macs.count != o.macs.count ||
        again.virtual_bytes != o.virtual_bytes)
        abort();
    rh_ova_free(&again);
    rh_ova_free(&o);
}

static void try_conf(const char *text)
{
    struct rh_pve_conf c = {0};
    json_t *params;

    if (rh_pve_conf_parse(text, &c, NULL) < 0)
        return;
    rh_pve_conf_map(&c, NULL, some_options());
    params = rh_pve_conf_params(&c, "local", "note", RH_PVE_IMPORT);
    if (!json_object_get(params, "description"))
        abort();
    json_decref(params);
    rh_pve_conf_free(&c);
}

#ifdef HAVE_LIBVIRT
/* What was changed must pass again, but for its disks' new places. */
static void try_domain(const char *text, size_t n)
{
    RH_AUTO(rh_virt_domain_free) struct rh_virt_domain d = {0}, again = {0};
    RH_AUTO(rh_freep) char *changed = NULL;

    if (rh_virt_domain_parse(text, n, &d, NULL) < 0)
        return;
    rh_virt_domain_map(&d, NULL, some_options(), NULL);
    for (size_t i = 0; i < d.disks.count; i++)
        rh_virt_domain_disk(&d, i, "/pool/a&b", false, "qcow2");
    for (size_t i = 0; i < d.nics.count; i++)
        if (d.nics.items[i].bridge)
            rh_virt_domain_network(&d, i);
    rh_virt_domain_emulate(&d);
    changed = rh_virt_domain_text(&d);
    if (!changed ||
        rh_virt_domain_parse(changed, strlen(changed), &again, NULL) < 0 ||
        again.disks.count != d.disks.count || again.nics.count != d.nics.count)
        abort();
}
#endif

static void try_url(const char *text)
{
    struct rh_remote_url u = {0};

    if (rh_remote_url(text, &u, NULL) < 0)
        return;
    if (strchr(u.authority, '@') || !u.authority[0])
        abort();
    rh_remote_url_free(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RH_AUTO(rh_freep) char *text = NULL;

    if (!size)
        return 0;
    text = rh_memdup0(data + 1, size - 1);
    if (*data == 'o')
        try_ova(text, size - 1);
    else if (*data == 'p')
        try_conf(text);
#ifdef HAVE_LIBVIRT
    else if (*data == 'v')
        try_domain(text, size - 1);
#endif
    else
        try_url(text);
    return 0;
}
