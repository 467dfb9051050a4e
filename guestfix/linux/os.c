/* os.c - which Linux this is, what runs in it, and the facts as JSON. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "guestfix/linux/fixes/drivers.h"

/* --- os-release
 * ---------------------------------------------------------------- */
/* The value of KEY= in shell-like text, without its quotes; NULL: none. */
static char *assigned(struct rh_arena *a, const char *text, const char *key)
{
    size_t n = strlen(key);

    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        const char *end;

        p += *p == '\n';
        if (strncmp(p, key, n) || p[n] != '=')
            continue;
        p += n + 1;
        end = p + strcspn(p, "\n");
        while (end > p && isspace((unsigned char)end[-1]))
            end--;
        if (end - p >= 2 && (*p == '"' || *p == '\'') && end[-1] == *p) {
            p++;
            end--;
        }
        return end > p ? rh_arena_strndup(a, p, (size_t)(end - p)) : NULL;
    }
    return NULL;
}

static bool from_os_release(struct rh_linux *l, rh_error **err)
{
    static const char *const files[] = {"/etc/os-release",
                                        "/usr/lib/os-release"};
    RH_AUTO(rh_freep) char *text = NULL;

    for (size_t i = 0; i < RH_COUNT(files) && !text; i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s%s", l->top ? l->top : "", files[i]);

        text = rh_guest_text(l->guest, path, err);
    }
    if (!text)
        return false;
    l->id = assigned(l->arena, text, "ID");
    l->id_like = assigned(l->arena, text, "ID_LIKE");
    l->version = assigned(l->arena, text, "VERSION_ID");
    l->pretty = assigned(l->arena, text, "PRETTY_NAME");
    return l->id != NULL;
}

/* Releases before os-release say a sentence: "CentOS release 6.10 (Final)". */
static const struct {
    const char *path, *word, *id;
} sentences[] = {
    {"/etc/oracle-release", "Oracle", "ol"},
    {"/etc/redhat-release", "CentOS", "centos"},
    {"/etc/redhat-release", "Fedora", "fedora"},
    {"/etc/redhat-release", "Red Hat", "rhel"},
    {"/etc/SuSE-release", "Enterprise", "sles"},
    {"/etc/SuSE-release", "openSUSE", "opensuse"},
    {"/etc/system-release", "Amazon", "amzn"},
    {"/etc/alpine-release", "", "alpine"},
    {"/etc/debian_version", "", "debian"},
};

static void from_sentence(struct rh_linux *l, rh_error **err)
{
    for (size_t i = 0; i < RH_COUNT(sentences) && !l->id; i++) {
        RH_AUTO(rh_freep)
        char *text = rh_guest_text(l->guest, sentences[i].path, err);
        const char *digits;
        size_t n;

        if (!text || !strstr(text, sentences[i].word))
            continue;
        l->id = sentences[i].id;
        l->pretty = rh_arena_strndup(l->arena, text, strcspn(text, "\n"));
        digits = strpbrk(text, "0123456789");
        n = digits ? strspn(digits, "0123456789.") : 0;
        if (n)
            l->version = rh_arena_strndup(l->arena, digits, n);
    }
}

static const struct {
    const char *id, *family;
} families[] = {
    {"debian", "debian"}, {"ubuntu", "debian"},   {"rhel", "rhel"},
    {"fedora", "rhel"},   {"centos", "rhel"},     {"ol", "rhel"},
    {"rocky", "rhel"},    {"almalinux", "rhel"},  {"amzn", "rhel"},
    {"photon", "rhel"},   {"azurelinux", "rhel"}, {"mariner", "rhel"},
    {"sles", "suse"},     {"suse", "suse"},       {"opensuse", "suse"},
    {"sled", "suse"},     {"arch", "arch"},       {"alpine", "alpine"},
};

static const char *family_of(const char *ids)
{
    for (const char *p = ids; p && *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        for (size_t i = 0; i < RH_COUNT(families); i++)
            if (strlen(families[i].id) == n && !strncmp(p, families[i].id, n))
                return families[i].family;
        if (!strncmp(p, "opensuse", RH_MIN(n, (size_t)8)))
            return "suse";
        p += n;
    }
    return NULL;
}

/* --- what runs in it
 * --------------------------------------------------------------- */
static bool any_of(struct rh_guest *g, const char *const *paths)
{
    for (; *paths; paths++)
        if (rh_guest_exists(g, *paths))
            return true;
    return false;
}
#define PATHS(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

/* The release in the name of its shared library: the program's own name does
 * not tell.  Before 231 there was none. */
static unsigned systemd_release(struct rh_guest *g)
{
    static const char *const folders[] = {"/usr/lib/systemd",
                                          "/lib/systemd",
                                          "/usr/lib64/systemd",
                                          "/usr/lib/x86_64-linux-gnu/systemd",
                                          "/usr/lib/i386-linux-gnu/systemd",
                                          "/usr/lib/aarch64-linux-gnu/systemd",
                                          "/usr/lib/x86_64-linux-gnu",
                                          "/usr/lib64"};
    static const char stem[] = "libsystemd-shared-";

    for (size_t i = 0; i < RH_COUNT(folders); i++) {
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(g, folders[i]);

        for (size_t k = 0; names && names[k]; k++)
            if (!strncmp(names[k], stem, sizeof stem - 1))
                return (unsigned)strtoul(names[k] + sizeof stem - 1, NULL, 10);
    }
    return 0;
}

/* The zone that /etc/localtime links to, or NULL. */
static const char *time_zone(const struct rh_linux *l)
{
    struct rh_guest *g = l->guest;
    RH_AUTO(rh_freep) char *link = NULL;
    const char *zone;

    if (g->ops->read_link(g, "/etc/localtime", &link, NULL) < 0)
        return NULL;
    zone = strstr(link, "zoneinfo/");
    return zone && rh_valid_utf8(zone, strlen(zone))
               ? rh_arena_strdup(l->arena, zone + strlen("zoneinfo/"))
               : NULL;
}

/* Before /etc/adjtime held the word, scripts of the distribution did: UTC=. */
static bool local_by_script(const struct rh_linux *l, const char **ret_where)
{
    static const char *const files[] = {"/etc/sysconfig/clock",
                                        "/etc/default/rcS"};

    for (size_t i = 0; i < RH_COUNT(files); i++) {
        RH_AUTO(rh_freep)
        char *text = rh_guest_text(l->guest, files[i], NULL);
        const char *utc = text ? assigned(l->arena, text, "UTC") : NULL;

        if (!utc)
            continue;
        *ret_where = files[i];
        return !strcasecmp(utc, "no") || !strcasecmp(utc, "false");
    }
    return false;
}

/* hwclock(8) and systemd alike: the third line of /etc/adjtime is LOCAL where
 * the clock is in local time; without it, or without the file, it is in UTC. */
static void read_clock(struct rh_linux *l)
{
    RH_AUTO(rh_freep)
    char *text = rh_guest_text(l->guest, "/etc/adjtime", NULL);
    const char *line = text ? text : "";
    bool local;

    for (int i = 0; i < 2; i++)
        line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n');
    l->clock_where = text ? "/etc/adjtime" : "no /etc/adjtime";
    local = !strncmp(line, "LOCAL", 5) ||
            (!*line && local_by_script(l, &l->clock_where));
    l->clock = local ? "localtime" : "utc";
    l->timezone = local ? time_zone(l) : NULL;
}

static void look_around(struct rh_linux *l, rh_error **err)
{
    struct rh_guest *g = l->guest;
    RH_AUTO(rh_freep)
    char *selinux = rh_guest_text(g, "/etc/selinux/config", err);
    RH_AUTO(rh_freep) char *host = rh_guest_text(g, "/etc/hostname", err);
    const char *mode = selinux ? assigned(l->arena, selinux, "SELINUX") : NULL;

    l->systemd =
        any_of(g, PATHS("/usr/lib/systemd/systemd", "/lib/systemd/systemd"));
    l->systemd_version = l->systemd ? systemd_release(g) : 0;
    l->selinux = mode && strcmp(mode, "disabled");
    l->cloud_init = rh_guest_exists(g, "/etc/cloud/cloud.cfg") &&
                    !rh_guest_exists(g, "/etc/cloud/cloud-init.disabled");
    if (any_of(g, PATHS("/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd")))
        l->tools = "open-vm-tools";
    if (any_of(g, PATHS("/etc/vmware-tools/locations",
                        "/usr/bin/vmware-uninstall-tools.pl",
                        "/etc/init.d/vmware-tools")))
        l->tools = "vmware-tools";
    l->qemu_agent = any_of(g, PATHS("/usr/sbin/qemu-ga", "/usr/bin/qemu-ga"));
    l->xen_agent = any_of(
        g, PATHS("/usr/sbin/xe-daemon", "/usr/sbin/xe-linux-distribution",
                 "/usr/bin/xen-guest-agent", "/usr/sbin/xen-guest-agent"));
    if (host && host[strcspn(host, "\n")])
        host[strcspn(host, "\n")] = '\0';
    if (host && *host && rh_valid_utf8(host, strlen(host)))
        l->hostname = rh_arena_strdup(l->arena, host);
    read_clock(l);
}

int rh_linux_detect(struct rh_linux *l, const struct rh_guest_options *o,
                    rh_error **err)
{
    rh_error *why = NULL;

    (void)o;
    l->arena = rh_arena_new();
    rh_linux_deployment(l);
    if (!from_os_release(l, &why))
        from_sentence(l, &why);
    rh_linux_immutable(l);
    l->family = family_of(l->id);
    if (!l->family)
        l->family = family_of(l->id_like);
    if (!l->family)
        l->family = "other";
    look_around(l, &why);
    if (why) {
        if (err && !*err)
            *err = why;
        else
            rh_error_free(why);
        return -1;
    }
    rh_linux_entries(l);
    if (rh_linux_kernels(l, err) < 0)
        return -1;
    rh_linux_loaders(l);
    rh_linux_naming(l);
    return rh_linux_network(l, err);
}

void rh_linux_free(struct rh_linux *l)
{
    for (size_t i = 0; i < l->kernels.count; i++)
        rh_initramfs_free(&l->kernels.items[i].content);
    free(l->kernels.items);
    free(l->loaders.items);
    free(l->entries.items);
    free(l->menus.items);
    free(l->networks.items);
    free(l->nics.items);
    free(l->macs.items);
    free(l->soft.items);
    free(l->paths.items);
    rh_arena_free(l->arena);
    memset(l, 0, sizeof *l);
}

/* --- JSON
 * ------------------------------------------------------------------------------
 */
static json_t *text(const char *s)
{
    RH_AUTO(rh_freep) char *safe = s ? rh_printable(s) : NULL;

    return safe ? json_string(safe) : json_null();
}

static const char *const asked[] = {
    "virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net",   "vmw_pvscsi",
    "vmxnet3",    "mptspi",     "mptsas",      "xen_blkfront", "xen_netfront",
    "ahci",       "ata_piix",   "nvme",        "e1000",        "e1000e"};

/* The drivers that matter among what the kernel has built in. */
static json_t *builtin_json(const struct rh_linux *l, const struct rh_kernel *k)
{
    json_t *drivers = json_array();
    RH_AUTO(rh_modules_free) struct rh_modules m = {0};

    rh_modules_open(l, k->version, &m);
    for (size_t i = 0; i < RH_COUNT(asked); i++)
        if (rh_module_builtin(&m, asked[i]))
            json_array_append_new(drivers, json_string(asked[i]));
    return drivers;
}

static json_t *kernel_json(const struct rh_linux *l, const struct rh_kernel *k)
{
    json_t *drivers = json_array();

    for (size_t i = 0; i < RH_COUNT(asked); i++)
        if (rh_initramfs_has(&k->content, asked[i]))
            json_array_append_new(drivers, json_string(asked[i]));
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "version",
                     text(k->version), "image", text(k->image), "initramfs",
                     text(k->initramfs), "builder",
                     rh_initramfs_kind_name(k->content.kind), "compression",
                     text(k->content.codec), "drivers", drivers, "built_in",
                     builtin_json(l, k));
}

/* Bytes that are free where fixes write. */
static json_t *free_json(struct rh_guest *g)
{
    static const char *const folders[] = {"/", "/boot", "/boot/efi"};
    json_t *all = json_object();

    for (size_t i = 0; i < RH_COUNT(folders); i++) {
        uint64_t room;

        if (rh_guest_is_dir(g, folders[i]) &&
            g->ops->free_space(g, folders[i], &room, NULL) == 0)
            json_object_set_new(all, folders[i],
                                json_integer((json_int_t)room));
    }
    return all;
}

static bool hides_disks(struct rh_guest *g)
{
    RH_AUTO(rh_freep) char *conf = rh_guest_text(g, "/etc/lvm/lvm.conf", NULL);
    RH_AUTO(rh_freep)
    char *open = conf ? rh_without_lvm_filters(NULL, conf) : NULL;

    return open || rh_guest_exists(g, "/etc/lvm/devices/system.devices");
}

/* --- its NICs
 * ------------------------------------------------------------------ */
static json_t *texts(const char *const *list)
{
    json_t *all = json_array();

    for (size_t i = 0; i < RH_NET_MAX && list[i]; i++)
        json_array_append_new(all, text(list[i]));
    return all;
}

static json_t *nic_json(const char *name, const char *mac, json_t *slot,
                        const struct rh_net *net)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "name", text(name),
                     "mac", text(mac && *mac ? mac : NULL), "slot",
                     slot ? slot : json_null(), "addresses",
                     texts(net->addresses), "gateways", texts(net->gateways),
                     "dns", texts(net->dns), "dhcp", net->dhcp);
}

static json_t *slot_json(const struct rh_nic_config *c)
{
    return c->slot.kind == RH_VALUE_NUMBER
               ? json_integer((json_int_t)c->slot.number)
               : NULL;
}

static json_t *named_json(const struct rh_nic_name *n, const struct rh_vm *vm)
{
    const struct rh_nic_config *c =
        vm && n->nic < vm->nics.count ? &vm->nics.items[n->nic] : NULL;

    return nic_json(n->name,
                    c && c->mac.kind == RH_VALUE_TEXT ? c->mac.text : n->mac,
                    c ? slot_json(c) : NULL, &n->net);
}

static json_t *by_mac_json(const struct rh_mac_use *m, const struct rh_vm *vm)
{
    for (size_t k = 0; vm && k < vm->nics.count; k++) {
        const struct rh_nic_config *c = &vm->nics.items[k];

        if (c->mac.kind == RH_VALUE_TEXT && !strcasecmp(c->mac.text, m->mac))
            return nic_json(
                c->guest_name.kind == RH_VALUE_TEXT ? c->guest_name.text : NULL,
                m->mac, slot_json(c), &m->net);
    }
    return nic_json(NULL, m->mac, NULL, &m->net);
}

/* Addresses may stand on what is made above the NICs: those come last. */
static json_t *nics_json(const struct rh_linux *l, const struct rh_vm *vm)
{
    json_t *all = json_array();

    for (size_t i = 0; i < l->nics.count; i++)
        json_array_append_new(all, named_json(&l->nics.items[i], vm));
    for (size_t i = 0; i < l->macs.count; i++)
        if (!l->macs.items[i].named)
            json_array_append_new(all, by_mac_json(&l->macs.items[i], vm));
    for (size_t i = 0; i < l->soft.count; i++)
        if (l->soft.items[i].net.addresses[0] || l->soft.items[i].net.dhcp)
            json_array_append_new(all, nic_json(l->soft.items[i].name, NULL,
                                                NULL, &l->soft.items[i].net));
    return all;
}

json_t *rh_linux_json(const struct rh_linux *l)
{
    json_t *kernels = json_array(), *loaders = json_array();
    json_t *networks = json_array(), *nics = json_array(), *all;

    for (size_t i = 0; i < l->kernels.count; i++)
        json_array_append_new(kernels, kernel_json(l, &l->kernels.items[i]));
    for (size_t i = 0; i < l->loaders.count; i++)
        json_array_append_new(loaders, text(l->loaders.items[i]));
    for (size_t i = 0; i < l->networks.count; i++)
        json_array_append_new(networks, text(l->networks.items[i]));
    for (size_t i = 0; i < l->nics.count; i++)
        json_array_append_new(
            nics, json_pack("{s:o, s:o}", "name", text(l->nics.items[i].name),
                            "configured_in", text(l->nics.items[i].where)));
    all = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:b, s:b, s:b, s:b, "
        "s:o, s:o, s:o, s:o, s:o}",
        "family", "linux", "distribution", text(l->id), "version",
        text(l->version), "name", text(l->pretty), "hostname",
        text(l->hostname), "systemd", l->systemd, "selinux", l->selinux,
        "cloud_init", l->cloud_init, "vmware_tools", text(l->tools),
        "qemu_guest_agent", l->qemu_agent, "xen_guest_agent", l->xen_agent,
        "persistent_net_rules", l->persistent_rules, "lvm_device_filter",
        hides_disks(l->guest), "free_bytes", free_json(l->guest),
        "boot_loaders", loaders, "kernels", kernels, "network_configuration",
        networks, "interfaces", nics);
    json_object_set_new(all, "nics", nics_json(l, l->vm));
    json_object_set_new(all, "immutable", text(l->immutable));
    return all;
}
