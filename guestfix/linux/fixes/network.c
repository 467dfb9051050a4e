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

/* Does this name have to be bound, and to which address?  eth0 of a single NIC
 * is eth0 everywhere, where the kernel's own names are kept (net.ifnames=0, old
 * systems); on newer ones it would not be. */
static bool must_pin(struct rh_fix_job *j, const struct rh_nic_name *n,
                     char mac[18])
{
    if (n->alternative || !mac_of(j, n, mac))
        return false;
    /* Bound already, to the MAC that the NIC keeps. */
    if (n->pinned && !strcmp(n->mac, mac) &&
        strncmp(n->where, "/etc/systemd/network/10-rehost-", 31))
        return false;
    return !(rh_linux_of(j)->kernel_names && !strcmp(n->name, "eth0") &&
             rh_linux_of(j)->nics.count == 1 && j->o->vm->nics.count == 1);
}

/* A NIC that files know by two names keeps both, from systemd 245 on. */
static void other_names(struct rh_fix_job *j, const struct rh_nic_name *n,
                        struct rh_buf *b)
{
    enum { HAS_ALTERNATIVES = 245 };

    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *other = &rh_linux_of(j)->nics.items[i];

        if (!other->alternative || other->nic != n->nic)
            continue;
        if (rh_linux_of(j)->systemd_version >= HAS_ALTERNATIVES)
            rh_buf_printf(b, "AlternativeName=%s\n", other->name);
        else
            rh_finding_add(
                j->o->findings, RH_F_NIC_UNMATCHED, "os",
                N_("%s and %s are names of one NIC; only %s is kept"), n->name,
                other->name, n->name);
    }
}

/* systemd's udev: a .link file by MAC.  Type= keeps bonds and VLANs, which
 * carry the same address, out of it; before systemd 245 it matched no Ethernet
 * at all (only what has a DEVTYPE), and 245 itself is passed over for safety.
 */
char *rh_nic_link(struct rh_fix_job *j, const struct rh_nic_name *n,
                  char **ret_path)
{
    enum { TYPE_ETHER = 246 };
    struct rh_buf b = {0};
    char mac[18];

    if (rh_linux_of(j)->named_by_rules || !must_pin(j, n, mac))
        return NULL;
    *ret_path = rh_printf("/etc/systemd/network/10-rehost-%s.link", n->name);
    rh_buf_printf(&b,
                  "# Keeps the name that this system's configuration uses.\n"
                  "[Match]\nMACAddress=%s\n%s\n[Link]\nName=%s\n",
                  mac,
                  rh_linux_of(j)->systemd_version >= TYPE_ETHER ? "Type=ether\n"
                                                                : "",
                  n->name);
    other_names(j, n, &b);
    return rh_buf_take(&b);
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
static void other_rules(struct rh_fix_job *j, const char *text,
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
            ours |= must_pin(j, &rh_linux_of(j)->nics.items[i], mac) &&
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

    other_rules(j, old, &b);
    if (b.length && b.data[b.length - 1] != '\n')
        rh_buf_putc(&b, '\n');
    if (!old || !strstr(old, head))
        rh_buf_printf(&b, "%s\n", head);
    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];

        if (must_pin(j, n, mac))
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

/* Does a file that goes by this NIC's address alone tell the address? */
static bool is_mac_of_file(struct rh_fix_job *j, size_t nic)
{
    const struct rh_value *v = &j->o->vm->nics.items[nic].mac;

    if (v->kind != RH_VALUE_TEXT || v->from != RH_FROM_GUEST)
        return false;
    for (size_t i = 0; i < rh_linux_of(j)->macs.count; i++)
        if (!strcasecmp(rh_linux_of(j)->macs.items[i].mac, v->text))
            return true;
    return false;
}

/* Addresses that went so, where there was a choice. */
static void add_guessed_macs(struct rh_fix_job *j, struct rh_buf *b)
{
    const struct rh_vm *vm = j->o->vm;
    size_t choices = 0;

    for (size_t k = 0; k < vm->nics.count; k++)
        choices += vm->nics.items[k].mac.kind == RH_VALUE_UNSET ||
                   is_mac_of_file(j, k);
    for (size_t k = 0; choices > 1 && k < vm->nics.count; k++)
        if (is_mac_of_file(j, k))
            rh_buf_printf(b, "%s%s = nic%zu", b->length ? ", " : "",
                          vm->nics.items[k].mac.text, k);
}

/* Names that went to NICs in order, each with its NIC. */
static void say_guessed(struct rh_fix_job *j)
{
    struct rh_buf names = {0};

    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];

        if (n->how == RH_NIC_GUESSED)
            rh_buf_printf(&names, "%s%s = nic%zu", names.length ? ", " : "",
                          n->name, n->nic);
    }
    add_guessed_macs(j, &names);
    if (names.length)
        rh_finding_add(
            j->o->findings, RH_F_NIC_GUESSED, "os",
            N_("neither MAC addresses nor slots tell which interface is which "
               "NIC; they are taken in order: %s"),
            names.data);
    rh_buf_free(&names);
}

/* The kernel counts NICs in the order of the new machine; udev with systemd
 * cannot give one the name that another has at that moment, and mdev none. */
static void say_swapped(struct rh_fix_job *j)
{
    bool fixed = rh_linux_of(j)->systemd || rh_linux_of(j)->mdev;

    for (size_t i = 0; fixed && i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];
        size_t number = rh_nic_eth_number(n->name);

        if (n->nic == SIZE_MAX || number == SIZE_MAX || n->nic == number ||
            number >= j->o->vm->nics.count)
            continue;
        rh_finding_add(
            j->o->findings, RH_F_NIC_GUESSED, "os",
            N_("%s is nic%zu, which the kernel of the new machine may call "
               "eth%zu first; the two names cannot be exchanged there"),
            n->name, n->nic, n->nic);
        return;
    }
}

static void say_no_network(struct rh_fix_job *j)
{
    const struct rh_linux *l = rh_linux_of(j);

    if (!j->o->vm || !j->o->vm->nics.count || l->networks.count || l->any_name)
        return;
    for (size_t i = 0; i < l->nics.count; i++)
        if (l->nics.items[i].how != RH_NIC_DERIVED)
            return;
    rh_finding_add(
        j->o->findings, RH_F_GUEST_NO_NETWORK, "os",
        N_("no network configuration of a kind that is known was found; "
           "whether the guest gets its addresses cannot be told"));
}

int rh_fix_nic_names(struct rh_fix_job *j, rh_error **err)
{
    bool any = false, rules = rh_linux_of(j)->named_by_rules;
    bool mdev = rh_linux_of(j)->mdev;
    char mac[18];

    say_no_network(j);
    say_unmatched(j);
    if (j->o->vm) {
        say_guessed(j);
        say_swapped(j);
    }
    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];

        if (!rules && pin_by_link(j, n, err) < 0)
            return -1;
        any |= rules && !mdev && must_pin(j, n, mac);
    }
    return drop_stale_rules(j, any, err);
}
