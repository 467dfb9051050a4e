/* look.c - what could stand in the way: the pool and its space, networks,
 * names, whether the host can run such a machine. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_LIBVIRT
#include <stdlib.h>
#include <string.h>

#include "deliver/libvirt/virt.h"

/* --- the pool
 * ------------------------------------------------------------------------------
 */

static void free_pools(virStoragePoolPtr *list, int count)
{
    for (int i = 0; i < count; i++)
        rh_virt.StoragePoolFree(list[i]);
    free(list);
}

static int say_pools(struct rh_virt_host *h, const char *asked, rh_error **err)
{
    virStoragePoolPtr *list = NULL;
    int count = rh_virt.ConnectListAllStoragePools(h->conn, &list, 0);
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};

    for (int i = 0; i < count; i++)
        rh_buf_printf(&names, "%s%s", i ? ", " : "",
                      rh_virt.StoragePoolGetName(list[i]));
    if (asked)
        rh_fail(err, RH_ERR_DELIVERY_PLACE, "there is no storage pool \"%s\"",
                asked);
    else
        rh_fail(err, RH_ERR_DELIVERY_PLACE,
                "it was not said which of %d storage pools takes the disks",
                count < 0 ? 0 : count);
    free_pools(list, count);
    return rh_hint(err, "name one: libvirt:URI#POOL; there are: %s",
                   names.data ? names.data : "-");
}

/* The one that was named, else "default", else the only one. */
static int find_pool(struct rh_virt_work *w, const char *asked, rh_error **err)
{
    struct rh_virt_host *h = w->host;
    virStoragePoolPtr *list = NULL;
    int count;

    w->pool =
        rh_virt.StoragePoolLookupByName(h->conn, asked ? asked : "default");
    if (w->pool || asked)
        return w->pool ? 0 : say_pools(h, asked, err);
    count = rh_virt.ConnectListAllStoragePools(
        h->conn, &list, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    if (count == 1) {
        w->pool = list[0];
        free(list);
        return 0;
    }
    free_pools(list, count);
    return say_pools(h, NULL, err);
}

static const char *const kinds_of_files[] = {"dir", "fs", "netfs", "vstorage"};
static const char *const kinds_of_blocks[] = {"logical", "zfs", "disk"};

static bool is_among(const char *const *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], text))
            return true;
    return false;
}

static int look_at_pool(struct rh_virt_work *w, rh_error **err)
{
    RH_AUTO(rh_freep) char *xml = rh_virt.StoragePoolGetXMLDesc(w->pool, 0);
    RH_AUTO(rh_freep) char *kind = xml ? rh_virt_pool_kind(xml) : NULL;

    w->pool_name = rh_strdup(rh_virt.StoragePoolGetName(w->pool));
    if (!kind)
        return rh_virt_fail(_("the storage pool"), err);
    if (rh_virt.StoragePoolIsActive(w->pool) != 1) {
        rh_fail(err, RH_ERR_DELIVERY_PLACE, "the storage pool \"%s\" is off",
                w->pool_name);
        return rh_hint(err, "virsh pool-start %s", w->pool_name);
    }
    w->files = is_among(kinds_of_files, RH_COUNT(kinds_of_files), kind);
    w->thick = !w->files;
    if (w->files || is_among(kinds_of_blocks, RH_COUNT(kinds_of_blocks), kind))
        return 0;
    rh_fail(err, RH_ERR_DELIVERY_PLACE,
            "libvirt takes no uploads into a storage pool of the kind \"%s\"",
            kind);
    return rh_hint(err, "name a pool of files (dir, fs, netfs) or of volumes "
                        "(logical, zfs)");
}

static int check_space(struct rh_virt_work *w, uint64_t data,
                       uint64_t virtual_bytes, struct rh_checks *checks,
                       rh_error **err)
{
    bool known = w->thick || data;
    uint64_t need = known && !w->thick ? data : virtual_bytes;
    virStoragePoolInfo info = {0};
    RH_AUTO(rh_freep) char *need_text = rh_human_size(need);
    RH_AUTO(rh_freep) char *room_text = NULL;

    if (rh_virt.StoragePoolGetInfo(w->pool, &info) < 0)
        return rh_virt_fail(_("the storage pool"), err);
    room_text = rh_human_size(info.available);
    if (need <= info.available) {
        rh_check_good(checks, "storage pool \"%s\": %s needed, %s free",
                      w->pool_name, need_text, room_text);
    } else if (known) {
        RH_AUTO(rh_freep) char *text = rh_human_size(need - info.available);

        rh_check_bad(checks, RH_ERR_DELIVERY_SPACE,
                     "the storage pool \"%s\" is %s short: %s are needed, %s "
                     "are free",
                     w->pool_name, text, need_text, room_text);
    } else {
        rh_check_caution(checks,
                         "the storage pool \"%s\" has %s free, and the disks "
                         "may grow to %s",
                         w->pool_name, room_text, need_text);
    }
    return 0;
}

/* --- networks
 * ------------------------------------------------------------------------------
 */

static void add_networks(struct rh_virt_host *h, struct rh_buf *b)
{
    enum { MOST = 20 };
    virNetworkPtr *list = NULL;
    int count = rh_virt.ConnectListAllNetworks(h->conn, &list, 0);

    for (int i = 0; i < count; i++) {
        if (i < MOST)
            rh_buf_printf(b, "%s%s", b->length ? ", " : "",
                          rh_virt.NetworkGetName(list[i]));
        rh_virt.NetworkFree(list[i]);
    }
    free(list);
}

/* A network of libvirt's first, then an interface of the host. */
static void check_nic(struct rh_virt_work *w, size_t i,
                      struct rh_checks *checks)
{
    const struct rh_virt_nic *nic = &w->domain.nics.items[i];
    virConnectPtr conn = w->host->conn;
    virNetworkPtr network = rh_virt.NetworkLookupByName(conn, nic->bridge);
    virInterfacePtr interface = NULL;
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};

    if (network) {
        bool on = rh_virt.NetworkIsActive(network) == 1;

        rh_virt_domain_network(&w->domain, i);
        rh_virt.NetworkFree(network);
        if (on)
            rh_check_good(checks, "network \"%s\" is there", nic->bridge);
        else
            rh_check_caution(checks,
                             "the network \"%s\" is off: virsh net-start %s",
                             nic->bridge, nic->bridge);
        return;
    }
    interface =
        nic->network ? NULL : rh_virt.InterfaceLookupByName(conn, nic->bridge);
    if (interface) {
        rh_virt.InterfaceFree(interface);
        rh_check_good(checks, "bridge \"%s\" is there", nic->bridge);
        return;
    }
    if (!nic->network &&
        (rh_virt_was(VIR_ERR_NO_SUPPORT) || rh_virt_was(VIR_ERR_NO_CONNECT))) {
        rh_check_caution(checks,
                         "libvirt there cannot say whether there is a bridge "
                         "\"%s\"",
                         nic->bridge);
        return;
    }
    add_networks(w->host, &names);
    rh_check_bad(checks, RH_ERR_DELIVERY_NETWORK,
                 "the host has no network or bridge \"%s\"", nic->bridge);
    rh_check_hint(checks,
                  "name one with --network-map 'FROM=NAME'; networks there: %s",
                  names.data ? names.data : "-");
}

static void check_networks(struct rh_virt_work *w, struct rh_checks *checks)
{
    for (size_t i = 0; i < w->domain.nics.count; i++) {
        const struct rh_virt_nic *nic = &w->domain.nics.items[i];

        if (nic->bridge)
            check_nic(w, i, checks);
        else
            rh_check_caution(checks,
                             "NIC %zu (%s) gets QEMU's own NAT: name a "
                             "network with --network-map",
                             i, nic->mac);
    }
}

/* --- the machine
 * -------------------------------------------------------------------------------
 */

static int check_machine(struct rh_virt_work *w, struct rh_checks *checks,
                         rh_error **err)
{
    const char *machine = w->domain.machine[0] ? w->domain.machine : NULL;
    RH_AUTO(rh_freep)
    char *kvm = rh_virt.ConnectGetDomainCapabilities(
        w->host->conn, NULL, "x86_64", machine, "kvm", 0);
    RH_AUTO(rh_freep)
    char *qemu = kvm ? NULL
                     : rh_virt.ConnectGetDomainCapabilities(
                           w->host->conn, NULL, "x86_64", machine, "qemu", 0);

    if (kvm)
        return 0;
    if (!qemu)
        return rh_virt_fail(_("the host runs no such machine"), err);
    rh_virt_domain_emulate(&w->domain);
    rh_check_caution(checks,
                     "the host has no KVM: the VM is defined for software "
                     "emulation, which is slow");
    return 0;
}

/* 1: such a VM is there; 0: none; -1: it is not known. */
static int is_there(virDomainPtr vm, rh_error **err)
{
    if (!vm)
        return rh_virt_was(VIR_ERR_NO_DOMAIN) ? 0
                                              : rh_virt_fail(_("the VM"), err);
    rh_virt.DomainFree(vm);
    return 1;
}

int rh_virt_has_uuid(struct rh_virt_work *w, rh_error **err)
{
    return is_there(
        rh_virt.DomainLookupByUUIDString(w->host->conn, w->domain.uuid), err);
}

static int check_free(struct rh_virt_work *w, struct rh_checks *checks,
                      rh_error **err)
{
    int named = is_there(
        rh_virt.DomainLookupByName(w->host->conn, w->domain.name), err);
    int same = named < 0 ? -1 : rh_virt_has_uuid(w, err);

    if (same < 0)
        return -1;
    if (named)
        rh_check_bad(checks, RH_ERR_DELIVERY_TAKEN,
                     "a VM with the name \"%s\" is there already",
                     w->domain.name);
    else
        rh_check_good(checks, "the name \"%s\" is free", w->domain.name);
    if (same)
        rh_check_bad(checks, RH_ERR_DELIVERY_TAKEN,
                     "a VM with the UUID %s is there already", w->domain.uuid);
    return 0;
}

int rh_virt_look(struct rh_virt_work *w, const char *pool, uint64_t data_bytes,
                 uint64_t virtual_bytes, struct rh_checks *checks,
                 rh_error **err)
{
    if (find_pool(w, pool, err) < 0 || look_at_pool(w, err) < 0)
        return rh_error_subject(err, w->host->text);
    rh_check_good(checks, "connected");
    if (check_space(w, data_bytes, virtual_bytes, checks, err) < 0 ||
        check_machine(w, checks, err) < 0)
        return rh_error_subject(err, w->host->text);
    check_networks(w, checks);
    return check_free(w, checks, err) < 0 ? rh_error_subject(err, w->host->text)
                                          : 0;
}
#endif
