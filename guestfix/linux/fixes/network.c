/* network.c - interfaces keep their names: each is bound to its MAC address.
 *
 * The name comes from the PCI slot, which no other hypervisor numbers alike;
 * without this ens192 becomes ens18 and its addresses are lost. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/fixes.h"

static const char *mac_of(struct rh_fix_job *j, const struct rh_nic_name *n,
                          char ret[18])
{
    if (n->nic == SIZE_MAX || !j->o->vm)
        return NULL;
    rh_vm_nic_mac(j->o->vm, n->nic, ret);
    return ret;
}

/* eth0 of a single NIC is eth0 everywhere, where the kernel's own names are
 * kept (net.ifnames=0, old systems); on newer ones it would not be. */
static bool text_says(struct rh_guest *g, const char *path)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(g, path, NULL);

    return text && strstr(text, "net.ifnames=0");
}

/* Systems whose udev wrote such rules by itself keep the kernel's names, with
 * systemd, too (Debian 8), and read .link files only when asked to. */
static bool by_rules(struct rh_fix_job *j)
{
    static const char *const generators[] = {
        "/lib/udev/rules.d/75-persistent-net-generator.rules",
        "/usr/lib/udev/rules.d/75-persistent-net-generator.rules"};

    for (size_t i = 0; i < RH_COUNT(generators); i++)
        if (rh_guest_exists(j->guest, generators[i]))
            return true;
    return !rh_linux_of(j)->systemd;
}

static bool kernel_names(struct rh_fix_job *j)
{
    static const char *const files[] = {"/etc/default/grub",
                                        "/boot/grub/grub.cfg",
                                        "/boot/grub2/grub.cfg",
                                        "/boot/grub2/grubenv",
                                        "/etc/kernel/cmdline",
                                        "/boot/extlinux/extlinux.conf",
                                        "/boot/efi/EFI/redhat/grub.cfg"};
    static const char entries[] = "/boot/loader/entries";
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(j->guest, entries);

    if (by_rules(j) ||
        rh_guest_exists(j->guest, "/etc/udev/rules.d/80-net-setup-link.rules"))
        return true;
    for (size_t i = 0; i < RH_COUNT(files); i++)
        if (text_says(j->guest, files[i]))
            return true;
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", entries, names[i]);

        if (text_says(j->guest, path))
            return true;
    }
    return false;
}

static void say_renamed(struct rh_fix_job *j, const struct rh_nic_name *n,
                        const char *mac)
{
    RH_AUTO(rh_freep) char *subject = rh_printf("nics/%zu", n->nic);

    rh_finding_add(
        j->o->findings, RH_F_NIC_RENAME, subject,
        N_("%s would get another name on the new machine; it is bound to "
           "%s"),
        n->name, mac);
}

/* Does this name have to be bound, and to which address? */
static bool must_pin(struct rh_fix_job *j, const struct rh_nic_name *n,
                     bool plain, char mac[18])
{
    if (!mac_of(j, n, mac))
        return false;
    /* Bound already, to the MAC that the NIC keeps. */
    if (n->pinned && !strcmp(n->mac, mac) &&
        strncmp(n->where, "/etc/systemd/network/10-rehost-", 31))
        return false;
    return !(plain && !strcmp(n->name, "eth0") &&
             rh_linux_of(j)->nics.count == 1 && j->o->vm->nics.count == 1);
}

/* systemd's udev: a .link file by MAC.  Type= keeps bonds and VLANs, which
 * carry the same address, out of it; before systemd 245 it matched no Ethernet
 * at all (only what has a DEVTYPE), and 245 itself is passed over for safety.
 */
char *rh_nic_link(struct rh_fix_job *j, const struct rh_nic_name *n,
                  char **ret_path)
{
    enum { TYPE_ETHER = 246 };
    char mac[18];

    if (by_rules(j) || !must_pin(j, n, kernel_names(j), mac))
        return NULL;
    *ret_path = rh_printf("/etc/systemd/network/10-rehost-%s.link", n->name);
    return rh_printf(
        "# Keeps the name that this system's configuration uses.\n"
        "[Match]\nMACAddress=%s\n%s\n[Link]\nName=%s\n",
        mac,
        rh_linux_of(j)->systemd_version >= TYPE_ETHER ? "Type=ether\n" : "",
        n->name);
}

static int pin_by_link(struct rh_fix_job *j, const struct rh_nic_name *n,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *path = NULL;
    RH_AUTO(rh_freep) char *text = rh_nic_link(j, n, &path);
    RH_AUTO(rh_freep) char *what = NULL;
    char mac[18];

    if (!text)
        return 0;
    mac_of(j, n, mac);
    what = rh_printf(_("%s keeps its name: bound to %s"), n->name, mac);
    if (j->guest->ops->make_dir(j->guest, "/etc/systemd/network", 0755, err) <
            0 ||
        rh_fix_put(j, path, text, strlen(text), 0644, what, err) < 0)
        return -1;
    say_renamed(j, n, mac);
    return 0;
}

/* --- older systems: 70-persistent-net.rules
 * -------------------------------------------- */
static const char rules_path[] = "/etc/udev/rules.d/70-persistent-net.rules";

/* Does the line give this name? */
static bool gives_name(const char *line, const char *name)
{
    RH_AUTO(rh_freep) char *word = rh_printf("NAME=\"%s\"", name);

    return strstr(line, word) != NULL;
}

/* What is there, without rules of the names that are bound here. */
static void other_rules(struct rh_fix_job *j, const char *text, bool plain,
                        struct rh_buf *b)
{
    char mac[18];

    for (const char *p = text; p && *p;) {
        size_t n = strcspn(p, "\n");
        RH_AUTO(rh_freep) char *line = rh_strndup(p, n);
        bool ours = false;

        n += p[n] == '\n';
        for (size_t i = 0; line[0] != '#' && i < rh_linux_of(j)->nics.count;
             i++)
            ours |= must_pin(j, &rh_linux_of(j)->nics.items[i], plain, mac) &&
                    gives_name(line, rh_linux_of(j)->nics.items[i].name);
        if (!ours)
            rh_buf_add(b, p, n);
        p += n;
    }
}

static int pin_by_rules(struct rh_fix_job *j, const char *old, rh_error **err)
{
    static const char head[] = "# Names that this system's configuration uses.";
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    char mac[18];

    other_rules(j, old, true, &b);
    if (b.length && b.data[b.length - 1] != '\n')
        rh_buf_putc(&b, '\n');
    if (!old || !strstr(old, head))
        rh_buf_printf(&b, "%s\n", head);
    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];

        if (must_pin(j, n, true, mac))
            rh_buf_printf(&b,
                          "SUBSYSTEM==\"net\", ACTION==\"add\", "
                          "DRIVERS==\"?*\", ATTR{address}==\"%s\", "
                          "ATTR{type}==\"1\", NAME=\"%s\"\n",
                          mac, n->name);
    }
    if (j->guest->ops->make_dir(j->guest, "/etc/udev/rules.d", 0755, err) < 0)
        return -1;
    return rh_fix_put(j, rules_path, b.data, b.length, 0644,
                      _("interfaces keep their names: bound to the MAC "
                        "addresses of this VM"),
                      err);
}

/* Rules that bind a name to a MAC that no NIC has would push eth0 to eth1. */
static char *without_stale(struct rh_fix_job *j, const char *text)
{
    struct rh_buf out = {0};
    bool changed = false;

    while (*text) {
        size_t n = strcspn(text, "\n");
        RH_AUTO(rh_freep) char *line = NULL;
        bool known = true;

        n += text[n] == '\n';
        line = rh_strndup(text, n);
        if (line[0] != '#' && strstr(line, "ATTR{address}")) {
            known = false;
            for (size_t i = 0; j->o->vm && i < j->o->vm->nics.count; i++) {
                char mac[18];

                rh_vm_nic_mac(j->o->vm, i, mac);
                known |= strcasestr(line, mac) != NULL;
            }
        }
        if (known)
            rh_buf_add(&out, text, n);
        changed |= !known;
        text += n;
    }
    if (changed)
        return rh_buf_take(&out);
    rh_buf_free(&out);
    return NULL;
}

static int drop_stale_rules(struct rh_fix_job *j, bool pin, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, rules_path, err);
    RH_AUTO(rh_freep) char *after = text ? without_stale(j, text) : NULL;

    if (pin)
        return pin_by_rules(j, after ? after : text, err);
    if (!after)
        return 0;
    return rh_fix_put(j, rules_path, after, strlen(after), 0644,
                      _("remove names bound to MAC addresses that no NIC of "
                        "this VM has"),
                      err);
}

static void say_unmatched(struct rh_fix_job *j)
{
    struct rh_buf names = {0};

    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++)
        if (rh_linux_of(j)->nics.items[i].nic == SIZE_MAX)
            rh_buf_printf(&names, "%s%s", names.length ? ", " : "",
                          rh_linux_of(j)->nics.items[i].name);
    if (names.length && j->o->vm && j->o->vm->nics.count)
        rh_finding_add(
            j->o->findings, RH_F_NIC_UNMATCHED, "os",
            N_("the guest configures %s; which of the VM's %zu NICs that "
               "is cannot be told"),
            names.data, j->o->vm->nics.count);
    rh_buf_free(&names);
}

/* netplan and networkd may go by the driver, which is another one now. */
static void say_by_driver(struct rh_fix_job *j)
{
    const char *nic = j->o->machine->nic;

    if (rh_linux_of(j)->by_driver && nic && strcmp(nic, "vmxnet3"))
        rh_finding_add(
            j->o->findings, RH_F_NIC_UNMATCHED, "os",
            N_("%s finds its NIC by the driver's name, which is another "
               "one on the new machine"),
            rh_linux_of(j)->by_driver);
}

int rh_fix_nic_names(struct rh_fix_job *j, rh_error **err)
{
    bool any = false, rules = by_rules(j);
    char mac[18];

    say_unmatched(j);
    say_by_driver(j);
    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];

        if (!rules && pin_by_link(j, n, err) < 0)
            return -1;
        any |= rules && must_pin(j, n, true, mac);
    }
    return drop_stale_rules(j, any, err);
}

/* --- configuration that names a MAC
 * ---------------------------------------------------- */
static int replace_mac(struct rh_fix_job *j, const char *path, const char *old,
                       const char *mac, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_freep) char *after = NULL;
    char *at = text ? strcasestr(text, old) : NULL;

    if (!at)
        return 0;
    after = rh_printf("%.*s%s%s", (int)(at - text), text, mac, at + 17);
    return rh_fix_put(j, path, after, strlen(after), 0644,
                      _("the MAC address that the NIC has now"), err);
}

/* Configuration by MAC alone, of a MAC that no NIC has any more. */
static int fix_mac_uses(struct rh_fix_job *j, rh_error **err)
{
    struct rh_vm *vm = j->o->vm;
    char mac[18];

    for (size_t i = 0; vm && i < rh_linux_of(j)->macs.count; i++) {
        const struct rh_mac_use *m = &rh_linux_of(j)->macs.items[i];
        bool known = false;

        for (size_t k = 0; k < vm->nics.count; k++) {
            rh_vm_nic_mac(vm, k, mac);
            known |= !strcmp(mac, m->mac);
        }
        if (known || !vm->nics.count)
            continue;
        if (vm->nics.count > 1 || rh_linux_of(j)->macs.count > 1) {
            rh_finding_add(
                j->o->findings, RH_F_NIC_UNMATCHED, "os",
                N_("%s configures the NIC with the address %s, which none "
                   "of this VM has"),
                m->where, m->mac);
            continue;
        }
        rh_vm_nic_mac(vm, 0, mac);
        if (replace_mac(j, m->where, m->mac, mac, err) < 0)
            return -1;
    }
    return 0;
}

/* Only the MAC of that file's interface, and only when the NIC has another. */
int rh_fix_nic_macs(struct rh_fix_job *j, rh_error **err)
{
    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];
        char mac[18];

        if (!n->mac[0] || !mac_of(j, n, mac) || !strcmp(n->mac, mac) ||
            n->pinned)
            continue;
        if (replace_mac(j, n->where, n->mac, mac, err) < 0)
            return -1;
    }
    return fix_mac_uses(j, err);
}

/* --- cloud-init
 * -------------------------------------------------------------------------- */
int rh_fix_cloud_init(struct rh_fix_job *j, rh_error **err)
{
    static const char path[] = "/etc/cloud/cloud.cfg.d/99-rehost.cfg";
    static const char text[] =
        "# This system was moved: keep its network configuration and its\n"
        "# identity instead of taking them from the new platform.\n"
        "network: {config: disabled}\n"
        "manual_cache_clean: true\n";

    if (!rh_linux_of(j)->cloud_init)
        return 0;
    rh_finding_add(j->o->findings, RH_F_GUEST_CLOUD_INIT, "os",
                   N_("cloud-init would configure the network anew on the new "
                      "platform; it is told not to"));
    if (j->guest->ops->make_dir(j->guest, "/etc/cloud/cloud.cfg.d", 0755, err) <
        0)
        return -1;
    return rh_fix_put(j, path, text, sizeof text - 1, 0644,
                      _("cloud-init keeps network and identity as they are"),
                      err);
}
