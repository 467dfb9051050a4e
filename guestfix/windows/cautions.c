/* cautions.c - what an administrator should know before a Windows guest moves:
 * on its volumes, whether or not one could be opened, and in its registry. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/drivers.h"
#include "guestfix/windows/start.h"

/* --- volumes -----------------------------------------------------------------
 */
static bool is_dynamic(const struct rh_volume *v)
{
    static const char *const types[] = {"0x42",
                                        "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3",
                                        "af9b60a0-1431-4f62-bc68-3311714a69ad"};

    for (size_t i = 0; v->part_type && i < RH_COUNT(types); i++)
        if (!strcmp(v->part_type, types[i]))
            return true;
    return false;
}

static bool is(const struct rh_volume *v, const char *fstype)
{
    return v->fstype && !strcmp(v->fstype, fstype);
}

/* Where no Windows was found, it lies on such a volume itself. */
static void harden(const struct rh_session *s, struct rh_finding *f)
{
    if (f && !s->guest)
        f->severity = RH_SEVERITY_BLOCKER;
}

void rh_win_say_volumes(struct rh_session *s)
{
    struct rh_findings *to = s->o->findings;

    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        if (is(v, "BitLocker"))
            harden(s, rh_finding_add(
                          to, RH_F_WINDOWS_BITLOCKER, "os",
                          N_("the volume %s is locked by BitLocker; what is "
                             "in it can be neither checked nor changed"),
                          v->device));
        else if (is_dynamic(v))
            harden(s, rh_finding_add(
                          to, RH_F_WINDOWS_DYNAMIC_DISK, "os",
                          N_("%s belongs to a dynamic disk (LDM), which is not "
                             "looked into"),
                          v->device));
        else if (is(v, "storage_spaces"))
            rh_finding_add(to, RH_F_WINDOWS_STORAGE_SPACES, "os",
                           N_("%s is part of a storage pool (Storage Spaces), "
                              "which is not looked into"),
                           v->device);
        else if (is(v, "ReFS"))
            harden(s, rh_finding_add(to, RH_F_WINDOWS_REFS, "os",
                                     N_("%s is a ReFS volume, which is not "
                                        "looked into"),
                                     v->device));
    }
}

/* --- the registry ------------------------------------------------------------
 */
struct look {
    const struct rh_windows *w;
    struct rh_session *s;
    struct rh_hive *system, *software;
};

static rh_key in_set(const struct look *l, const char *path)
{
    rh_key set =
        l->w->sets.count ? rh_hive_key(l->system, 0, l->w->sets.items[0]) : 0;

    return set ? rh_hive_key(l->system, set, path) : 0;
}

static uint64_t number_in(const struct look *l, const char *path,
                          const char *value)
{
    uint64_t n = 0;

    rh_hive_number(l->system, in_set(l, path), value, &n);
    return n;
}

/* Does the service start by itself? */
static bool runs(const struct look *l, const char *service)
{
    RH_AUTO(rh_freep) char *path = rh_printf("Services\\%s", service);
    uint64_t start;

    return rh_hive_number(l->system, in_set(l, path), "Start", &start) &&
           start <= 2;
}

static void say_pending(const struct look *l)
{
    RH_AUTO(rh_freep)
    char *xml = rh_printf("%s/WinSxS/pending.xml", l->w->root);
    RH_AUTO(rh_name_list_freep)
    char **execute = rh_hive_list(
        l->system, in_set(l, "Control\\Session Manager"), "SetupExecute");

    if (rh_guest_exists(l->w->guest, xml) || (execute && execute[0]))
        rh_finding_add(l->s->o->findings, RH_F_WINDOWS_UPDATES_PENDING, "os",
                       N_("Windows has updates that it finishes at its next "
                          "start"));
}

static void say_setup(const struct look *l)
{
    static const char *const values[] = {"SystemSetupInProgress",
                                         "OOBEInProgress", "SetupType"};
    rh_key setup = rh_hive_key(l->system, 0, "Setup");

    for (size_t i = 0; i < RH_COUNT(values); i++) {
        uint64_t n;

        if (rh_hive_number(l->system, setup, values[i], &n) && n) {
            rh_finding_add(l->s->o->findings, RH_F_WINDOWS_SETUP, "os",
                           N_("the setup of Windows is not finished (%s); it "
                              "goes on at the first start"),
                           values[i]);
            return;
        }
    }
}

static void say_roles(const struct look *l)
{
    struct rh_findings *to = l->s->o->findings;

    if (l->w->controller || runs(l, "NTDS"))
        rh_finding_add(to, RH_F_WINDOWS_DOMAIN_CONTROLLER, "os",
                       N_("this is a domain controller: its source must not "
                          "run again once the copy has started"));
    if (runs(l, "ClusSvc"))
        rh_finding_add(to, RH_F_WINDOWS_CLUSTER, "os",
                       N_("this is a node of a failover cluster: shared disks "
                          "and cluster networks are not carried over"));
    if (runs(l, "RemoteAccess"))
        rh_finding_add(to, RH_F_WINDOWS_REMOTE_ACCESS, "os",
                       N_("Routing and Remote Access (VPN, DirectAccess) is "
                          "bound to the old network cards"));
}

static void say_security(const struct look *l)
{
    struct rh_findings *to = l->s->o->findings;
    const struct rh_vm *vm = l->s->o->vm;

    if (number_in(l, "Control\\DeviceGuard",
                  "EnableVirtualizationBasedSecurity") ||
        number_in(l, "Control\\Lsa", "LsaCfgFlags"))
        rh_finding_add(to, RH_F_WINDOWS_VBS, "os",
                       N_("virtualisation-based security (Credential Guard) is "
                          "on: it wants UEFI, Secure Boot and nested "
                          "virtualisation on the new machine, too"));
    if (number_in(l, "Control\\SecureBoot\\State", "UEFISecureBootEnabled") &&
        vm && vm->secure_boot.kind != RH_VALUE_BOOL)
        rh_finding_add(to, RH_F_WINDOWS_SECURE_BOOT, "os",
                       N_("Windows last started with Secure Boot; the package "
                          "does not say that the VM has it"));
    if (vm && vm->tpm.kind == RH_VALUE_BOOL && vm->tpm.boolean)
        rh_finding_add(to, RH_F_WINDOWS_TPM, "os",
                       N_("the source has a virtual TPM; its keys do not move "
                          "along"));
    if (rh_hive_key(l->software, 0,
                    "Policies\\Microsoft\\Windows\\DeviceInstall\\"
                    "Restrictions"))
        rh_finding_add(to, RH_F_WINDOWS_DEVICE_POLICY, "os",
                       N_("a policy restricts which devices Windows installs; "
                          "it may keep the new machine's out"));
}

static void say_licence(const struct look *l)
{
    rh_key k =
        rh_hive_key(l->software, 0, "Microsoft\\Windows NT\\CurrentVersion");
    RH_AUTO(rh_freep) char *id = rh_hive_text(l->software, k, "ProductId");

    if (id && strstr(id, "OEM"))
        rh_finding_add(l->s->o->findings, RH_F_WINDOWS_OEM, "os",
                       N_("the licence is one of a computer's maker (OEM), "
                          "which is bound to that computer"));
}

/* The Xen PV drivers' installer stops at storage controllers, also absent ones,
 * that have a driver from elsewhere (XenCleanup.cs of win-pv-drivers). */
static void say_xen_tools(const struct look *l)
{
    static const char *const classes[] = {
        "{4d36e96a-e325-11ce-bfc1-08002be10318}",
        "{4d36e97b-e325-11ce-bfc1-08002be10318}"};

    for (size_t i = 0; i < l->w->devices.count; i++) {
        const struct rh_win_device *d = &l->w->devices.items[i];
        RH_AUTO(rh_freep)
        char *path =
            rh_printf("Control\\Class\\%s", d->driver ? d->driver : "-");
        RH_AUTO(rh_freep)
        char *inf = rh_hive_text(l->system, in_set(l, path), "InfPath");

        if (!inf || !d->driver || strncasecmp(inf, "oem", 3) ||
            (strncasecmp(d->driver, classes[0], 38) &&
             strncasecmp(d->driver, classes[1], 38)))
            continue;
        rh_finding_add(l->s->o->findings, RH_F_WINDOWS_XEN_TOOLS, "os",
                       N_("the installer of the Xen PV drivers will refuse: "
                          "the storage controller %s has a driver from "
                          "elsewhere (%s)"),
                       d->id, inf);
    }
}

static void say_space(const struct look *l)
{
    enum { LEAST = 64 * 1024 * 1024 };
    uint64_t room;

    if (l->w->guest->ops->free_space(l->w->guest, "/", &room, NULL) == 0 &&
        room < LEAST)
        rh_finding_add(l->s->o->findings, RH_F_WINDOWS_DISK_FULL, "os",
                       N_("the system volume has %u MiB left; Windows wants "
                          "some for its first start"),
                       (unsigned)(room / (1024 * 1024)));
}

/* Is something of the card's driver there?  Plug and play installs it even
 * where it only lies ready; e1000 and rtl8139 are left to Windows' own. */
static bool has_nic_driver(const struct look *l, const char *nic)
{
    static const struct {
        const char *nic, *services[2], *id;
    } all[] = {{"vmxnet3", {"vmxnet3ndis6", "vmxnet3"}, "VEN_15AD&DEV_07B0"},
               {"virtio", {"netkvm", NULL}, "VEN_1AF4&DEV_1000"}};
    rh_key ids;

    for (size_t i = 0; i < RH_COUNT(all); i++) {
        if (strcmp(nic, all[i].nic))
            continue;
        for (size_t k = 0; k < 2 && all[i].services[k]; k++) {
            RH_AUTO(rh_freep)
            char *path = rh_printf("Services\\%s", all[i].services[k]);

            if (in_set(l, path))
                return true;
        }
        ids = rh_hive_key(l->system, 0, "DriverDatabase\\DeviceIds\\PCI");
        return ids && rh_hive_key(l->system, ids, all[i].id);
    }
    return true;
}

/* A card without a driver: no address, nobody reaches the machine. */
static void say_nic(const struct look *l)
{
    const struct rh_guest_options *o = l->s->o;
    const char *nic = o->machine->nic;
    RH_AUTO(rh_win_files_free) struct rh_win_files files = {0};

    if (!nic || (o->vm && !o->vm->nics.count) || has_nic_driver(l, nic))
        return;
    if (!strcmp(nic, "virtio") && o->drivers && l->w->major >= 6 &&
        rh_win_drivers_find(l->w, o->drivers, "NetKVM", "netkvm", &files,
                            NULL) == 0 &&
        files.count)
        return; /* what is wrong with that one is said where it is staged */
    rh_finding_add(o->findings, RH_F_WINDOWS_NIC_DRIVER, "os",
                   N_("Windows has no driver for the new network card (%s), as "
                      "far as is seen"),
                   nic);
}

/* Its boot disk's driver would have to be switched on, and nothing may be
 * written. */
static void say_not_written(const struct look *l)
{
    const struct rh_win_disk *d =
        rh_win_starts_on(l->w, l->s->o->machine->disk);

    if (l->s->guest->read_only && d && d->start != RH_WIN_STARTS)
        rh_finding_add(l->s->o->findings, RH_F_WINDOWS_NOT_WRITTEN, "os",
                       N_("Windows would not start from a disk on %s: its "
                          "driver would have to be switched on, and nothing "
                          "is written to a volume that was not left clean"),
                       d->disk);
}

void rh_win_say_cautions(const struct rh_windows *w, struct rh_session *s,
                         struct rh_hive *system, struct rh_hive *software)
{
    struct look l = {w, s, system, software};

    say_pending(&l);
    say_setup(&l);
    say_roles(&l);
    say_security(&l);
    say_licence(&l);
    say_space(&l);
    if (!s->writing || !s->o->machine)
        return;
    say_not_written(&l);
    say_nic(&l);
    if (s->o->machine->needs_pv_drivers)
        say_xen_tools(&l);
}
