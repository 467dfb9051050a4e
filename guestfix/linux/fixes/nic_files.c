/* nic_files.c - files that find a NIC by what the new machine changes: its MAC
 * address, its place on the bus, its driver. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/fixes.h"
#include "guestfix/linux/network.h"

/* --- every file that configures the network
 * ------------------------------------------------------------------ */
static const char *const folders[] = {"/etc/network",
                                      "/etc/network/interfaces.d",
                                      "/etc/netplan",
                                      "/etc/sysconfig/network-scripts",
                                      "/etc/sysconfig/network",
                                      "/etc/NetworkManager/system-connections",
                                      "/etc/systemd/network",
                                      "/etc/udev/rules.d",
                                      "/etc/wicked",
                                      "/etc/netctl",
                                      "/etc/conf.d",
                                      "/etc/cmdline.d",
                                      "/etc/modprobe.d",
                                      "/etc/NetworkManager/conf.d"};
static const char *const files[] = {"/etc/iftab",
                                    "/etc/mactab",
                                    "/etc/dhcpcd.conf",
                                    "/etc/rc.local",
                                    "/etc/default/grub",
                                    "/etc/kernel/cmdline",
                                    "/etc/NetworkManager/NetworkManager.conf"};

typedef int file_fn(struct rh_fix_job *j, const char *path, void *user,
                    rh_error **err);

static bool is_ours(const char *name)
{
    return !strncmp(name, "10-rehost-", 10);
}

static int each_file(struct rh_fix_job *j, file_fn *fn, void *user,
                     rh_error **err)
{
    for (size_t f = 0; f < RH_COUNT(folders); f++) {
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(j->guest, folders[f]);

        for (size_t i = 0; names && names[i]; i++) {
            RH_AUTO(rh_freep)
            char *path = rh_printf("%s/%s", folders[f], names[i]);

            if (is_ours(names[i]) || rh_guest_is_dir(j->guest, path))
                continue;
            if (fn(j, path, user, err) < 0)
                return -1;
        }
    }
    /* ifname=ens192:MAC among the kernel's arguments. */
    for (size_t i = 0; i < rh_linux_of(j)->menus.count; i++)
        if (fn(j, rh_linux_of(j)->menus.items[i], user, err) < 0)
            return -1;
    for (size_t i = 0; i < RH_COUNT(files); i++)
        if (rh_guest_exists(j->guest, files[i]) &&
            fn(j, files[i], user, err) < 0)
            return -1;
    return 0;
}

/* --- MAC addresses that our NICs do not have any more
 * ---------------------------------------------------- */
struct exchange {
    char old[18], now[18];
};
struct exchanges {
    RH_VEC(struct exchange) all;
};

static void add_exchange(struct exchanges *x, const char *old, const char *now)
{
    struct exchange *e;

    for (size_t i = 0; i < x->all.count; i++)
        if (!strcmp(x->all.items[i].old, old))
            return;
    e = rh_vec_add(&x->all);
    memcpy(e->old, old, sizeof e->old);
    memcpy(e->now, now, sizeof e->now);
}

/* The address at `at`, with colons or dashes, as one of the old ones; NULL:
 * another, or a part of something longer. */
static const struct exchange *exchange_at(const struct exchanges *x,
                                          const char *text, const char *at)
{
    char mac[18];

    for (size_t i = 0; i < 17; i++) {
        char c = at[i];

        if (i % 3 == 2 ? c != ':' && c != '-' : !isxdigit((unsigned char)c))
            return NULL;
        mac[i] = i % 3 == 2 ? ':' : (char)tolower((unsigned char)c);
    }
    mac[17] = '\0';
    if (isxdigit((unsigned char)at[17]) ||
        (at[17] == at[2] && isxdigit((unsigned char)at[18])) ||
        (at > text && (isxdigit((unsigned char)at[-1]) || at[-1] == at[2])))
        return NULL;
    for (size_t i = 0; i < x->all.count; i++)
        if (!strcmp(x->all.items[i].old, mac))
            return &x->all.items[i];
    return NULL;
}

/* The same form: dashes stay dashes. */
static void put_mac(struct rh_buf *b, const char *now, char separator)
{
    for (size_t i = 0; i < 17; i++)
        rh_buf_putc(b, i % 3 == 2 ? separator : now[i]);
}

static int exchange_in(struct rh_fix_job *j, const char *path, void *user,
                       rh_error **err)
{
    const struct exchanges *x = user;
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, NULL);
    RH_AUTO(rh_buf_free) struct rh_buf out = {0};
    bool changed = false;

    for (const char *p = text; p && *p;) {
        const struct exchange *e = exchange_at(x, text, p);

        if (e) {
            put_mac(&out, e->now, p[2]);
            changed = true;
            p += 17;
        } else {
            rh_buf_putc(&out, *p++);
        }
    }
    if (!changed)
        return 0;
    return rh_fix_put(j, path, out.data, out.length, 0644,
                      _("the MAC address that the NIC has now"), err);
}

/* Does some NIC of the VM have it? */
static bool is_ours_now(const struct rh_vm *vm, const char *mac)
{
    char own[18];

    for (size_t k = 0; k < vm->nics.count; k++) {
        rh_vm_nic_mac(vm, k, own);
        if (!strcmp(own, mac))
            return true;
    }
    return false;
}

static void by_names(struct rh_fix_job *j, struct exchanges *x)
{
    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++) {
        const struct rh_nic_name *n = &rh_linux_of(j)->nics.items[i];
        char mac[18];

        if (n->nic == SIZE_MAX || !n->mac[0] || is_ours_now(j->o->vm, n->mac))
            continue;
        rh_vm_nic_mac(j->o->vm, n->nic, mac);
        add_exchange(x, n->mac, mac);
    }
}

/* Configuration by MAC alone, of a MAC that no NIC has any more. */
static void by_macs(struct rh_fix_job *j, struct exchanges *x)
{
    struct rh_vm *vm = j->o->vm;
    const char *only = NULL;
    unsigned lost = 0;
    char mac[18];

    for (size_t i = 0; i < rh_linux_of(j)->macs.count; i++) {
        const struct rh_mac_use *m = &rh_linux_of(j)->macs.items[i];

        if (is_ours_now(vm, m->mac) || (only && !strcmp(only, m->mac)))
            continue;
        only = m->mac;
        lost++;
    }
    if (lost == 1 && vm->nics.count == 1) {
        rh_vm_nic_mac(vm, 0, mac);
        add_exchange(x, only, mac);
        return;
    }
    for (size_t i = 0; i < rh_linux_of(j)->macs.count; i++) {
        const struct rh_mac_use *m = &rh_linux_of(j)->macs.items[i];

        if (!is_ours_now(vm, m->mac))
            rh_finding_add(
                j->o->findings, RH_F_NIC_UNMATCHED, "os",
                N_("%s configures the NIC with the address %s, which none "
                   "of this VM has"),
                m->where, m->mac);
    }
}

/* --- sections that match by place or by driver
 * ------------------------------------------------------------------ */
/* The name that is bound to the NIC; NULL: none. */
static const char *name_of(struct rh_fix_job *j, size_t nic)
{
    for (size_t i = 0; i < rh_linux_of(j)->nics.count; i++)
        if (rh_linux_of(j)->nics.items[i].nic == nic &&
            !rh_linux_of(j)->nics.items[i].alternative)
            return rh_linux_of(j)->nics.items[i].name;
    return NULL;
}

static const char *name_at(struct rh_fix_job *j, uint32_t place)
{
    for (size_t k = 0; k < j->o->vm->nics.count; k++)
        if (place && rh_nic_place(&j->o->vm->nics.items[k]) == place)
            return name_of(j, k);
    return NULL;
}

/* What the new NIC's driver is called in the guest. */
static const char *new_driver(struct rh_fix_job *j)
{
    const char *nic = j->o->machine->nic;

    if (!nic)
        return "";
    return !strcmp(nic, "virtio") ? "virtio_net"
           : !strcmp(nic, "xen")  ? "vif"
                                  : nic;
}

/* Is this the line `key=...`? */
static bool is_line(const char *line, const char *key)
{
    size_t n = strlen(key);

    line += strspn(line, " \t");
    return !strncasecmp(line, key, n) &&
           line[n + strspn(line + n, " \t")] == '=';
}

struct section_form {
    const char *folder, *suffix, *name_key; /* keys are alike but for case */
};
static const struct section_form section_forms[] = {
    {"/etc/systemd/network/", ".network", "Name"},
    {"/etc/NetworkManager/system-connections/", "", "interface-name"},
};

static const struct section_form *form_of(const char *path)
{
    for (size_t i = 0; i < RH_COUNT(section_forms); i++) {
        const struct section_form *f = &section_forms[i];
        size_t n = strlen(path), m = strlen(f->suffix);

        if (!strncmp(path, f->folder, strlen(f->folder)) && n >= m &&
            !strcmp(path + n - m, f->suffix))
            return f;
    }
    return NULL;
}

/* Does the file match by the name or the MAC address as well? */
static bool has_other_match(const char *text, const struct section_form *f)
{
    static const char *const keys[] = {"MACAddress", "PermanentMACAddress",
                                       "mac-address"};
    bool in_match = false;

    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        RH_AUTO(rh_freep) char *line = rh_strndup(p, n);

        if (*line == '[')
            in_match =
                !strncasecmp(line, "[match]", 7) || strstr(line, "ethernet]");
        if (in_match && is_line(line, f->name_key))
            return true;
        for (size_t i = 0; in_match && i < RH_COUNT(keys); i++)
            if (is_line(line, keys[i]))
                return true;
        p += n + (p[n] == '\n');
    }
    return !strncmp(f->suffix, "", 1) && strstr(text, "\ninterface-name=");
}

/* The name that stands for what a line of [Match] says; *ret_off: the line has
 * to go, for the new NIC never matches it. */
static const char *stands_for(struct rh_fix_job *j, const char *line,
                              bool *ret_off)
{
    bool by_path = is_line(line, "Path");

    *ret_off =
        by_path || (is_line(line, "Driver") && !strstr(line, new_driver(j)));
    if (by_path)
        return name_at(j, rh_pci_in(line));
    return *ret_off && j->o->vm->nics.count == 1 ? name_of(j, 0) : NULL;
}

/* NULL: nothing changes.  *ret_lost: a match that nothing can stand for. */
static char *by_name(struct rh_fix_job *j, const char *text,
                     const struct section_form *f, bool *ret_lost)
{
    struct rh_buf out = {0};
    bool in_match = false, changed = false, enough = has_other_match(text, f);

    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        RH_AUTO(rh_freep) char *line = rh_strndup(p, n);
        const char *name;
        bool off = false;

        if (*line == '[')
            in_match = !strncasecmp(line, "[match]", 7);
        name = in_match ? stands_for(j, line, &off) : NULL;
        *ret_lost |= off && !name && !enough;
        n += p[n] == '\n';
        if (off && (name || enough)) {
            rh_buf_printf(&out, "# rehost: %s\n", line);
            if (!enough)
                rh_buf_printf(&out, "%s=%s\n", f->name_key, name);
            enough = changed = true;
        } else {
            rh_buf_add(&out, p, n);
        }
        p += n;
    }
    if (changed)
        return rh_buf_take(&out);
    rh_buf_free(&out);
    return NULL;
}

static void say_no_match(struct rh_fix_job *j, const char *path)
{
    rh_finding_add(
        j->o->findings, RH_F_NIC_UNMATCHED, "os",
        N_("%s finds its NIC by the driver or by the place on the bus, which "
           "are others on the new machine"),
        path);
}

/* --- netplan's `match: {driver: ...}`
 * ------------------------------------------------------------------ */
/* The lines of the same mapping as the line at `at`: same indentation. */
static bool sibling_says(const char *text, const char *line, const char *key)
{
    size_t indent = strspn(line, " "), n = strlen(key);

    for (int back = 0; back < 2; back++)
        for (const char *p = line; p;) {
            size_t own;

            if (back) {
                if (p == text)
                    break;
                for (p--; p > text && p[-1] != '\n'; p--)
                    ;
            } else {
                p = strchr(p, '\n');
                p = p && p[1] ? p + 1 : NULL;
            }
            own = p ? strspn(p, " ") : 0;
            if (!p || own < indent)
                break;
            if (own == indent && !strncmp(p + own, key, n))
                return true;
        }
    return false;
}

/* One value, not a list: its length. */
static size_t driver_value(const char *p)
{
    p += strspn(p, " ");
    return *p == '[' || *p == '\n' || !*p ? 0 : strcspn(p, ",}\n#");
}

/* The next "driver:" that is a key; NULL: none. */
static const char *driver_key(const char *text, const char *from)
{
    for (const char *p = strstr(from, "driver:"); p;
         p = strstr(p + 1, "driver:"))
        if (p > text && strchr(" {,", p[-1]))
            return p;
    return NULL;
}

/* One `driver:` of the text. */
struct driver_match {
    const char *at, *end; /* the key, and behind the value */
    const char *value;    /* NULL: a list */
    bool block, beside;   /* a line of its own; another match beside it */
};

static bool next_driver(struct rh_fix_job *j, const char *text,
                        const char *from, struct driver_match *ret)
{
    for (const char *at; (at = driver_key(text, from)); from = at + 7) {
        size_t size = driver_value(at + 7);
        const char *line = at;

        while (line > text && line[-1] != '\n')
            line--;
        ret->at = at;
        ret->value = size ? at + 7 + strspn(at + 7, " ") : NULL;
        ret->end = ret->value ? ret->value + size : at;
        ret->block = line + strspn(line, " ") == at;
        ret->beside = ret->block ? sibling_says(text, line, "macaddress:") ||
                                       sibling_says(text, line, "name:")
                                 : memmem(line, strcspn(line, "\n"),
                                          "macaddress:", 11) != NULL;
        if (line[strspn(line, " ")] != '#' &&
            (!size || strncmp(ret->value, new_driver(j), size)))
            return true;
    }
    return false;
}

/* The first match by a driver that the new NIC does not have becomes one by
 * name, or a comment where another match stands beside it. */
static char *netplan_by_name(struct rh_fix_job *j, const char *text,
                             bool *ret_lost)
{
    const char *name = j->o->vm->nics.count == 1 ? name_of(j, 0) : NULL;
    struct driver_match m;

    for (const char *from = text; next_driver(j, text, from, &m);
         from = m.at + 7) {
        if (m.value && m.block && m.beside)
            return rh_printf("%.*s# rehost: %s", (int)(m.at - text), text,
                             m.at);
        if (m.value && name)
            return rh_printf("%.*sname: %s%s", (int)(m.at - text), text, name,
                             m.end);
        *ret_lost = true;
    }
    return NULL;
}

static char *netplan_all(struct rh_fix_job *j, const char *text, bool *ret_lost)
{
    /* Each `driver:` is looked at with all of the text around it. */
    enum { MATCHES_MAX = 64, TEXT_MAX = 32 * 1024 };
    char *now = NULL;

    if (strlen(text) > TEXT_MAX) {
        *ret_lost = driver_key(text, text) != NULL;
        return NULL;
    }
    for (unsigned i = 0; i < MATCHES_MAX; i++) {
        char *next = netplan_by_name(j, now ? now : text, ret_lost);

        if (!next)
            break;
        free(now);
        now = next;
    }
    return now;
}

static int match_in(struct rh_fix_job *j, const char *path, void *user,
                    rh_error **err)
{
    const struct section_form *f = form_of(path);
    bool netplan = !strncmp(path, "/etc/netplan/", 13), lost = false;
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *after = NULL;

    (void)user;
    if (!f && !netplan)
        return 0;
    text = rh_guest_text(j->guest, path, NULL);
    if (!text)
        return 0;
    after = f ? by_name(j, text, f, &lost) : netplan_all(j, text, &lost);
    if (lost)
        say_no_match(j, path);
    if (!after)
        return 0;
    return rh_fix_put(j, path, after, strlen(after), 0644,
                      _("the NIC is found by its name, not by its place or "
                        "driver"),
                      err);
}

/* --- SLES 10: files that are named by MAC address or by place
 * ------------------------------------------------------------------ */
/* The name that the file has for the NIC as it is now; NULL: it keeps its own.
 */
static char *name_by_id(struct rh_fix_job *j, const struct exchanges *x,
                        const char *name)
{
    static const char by_id[] = "ifcfg-eth-id-",
                      by_bus[] = "ifcfg-eth-bus-pci-";
    const char *id = name + sizeof by_id - 1;
    uint32_t place;
    char mac[18];

    if (!strncmp(name, by_id, sizeof by_id - 1)) {
        for (size_t i = 0; i < x->all.count; i++)
            if (!strcasecmp(id, x->all.items[i].old))
                return rh_printf("%s%s", by_id, x->all.items[i].now);
        return NULL;
    }
    place = strncmp(name, by_bus, sizeof by_bus - 1) ? 0 : rh_pci_in(name);
    for (size_t k = 0; place && k < j->o->vm->nics.count; k++)
        if (rh_nic_place(&j->o->vm->nics.items[k]) == place) {
            rh_vm_nic_mac(j->o->vm, k, mac);
            return rh_printf("%s%s", by_id, mac);
        }
    return NULL;
}

static int rename_by_id(struct rh_fix_job *j, const struct exchanges *x,
                        rh_error **err)
{
    static const char folder[] = "/etc/sysconfig/network";
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(j->guest, folder);
    const char *what = _("the file of a NIC is named by the address that it "
                         "has now");

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *name = name_by_id(j, x, names[i]);
        RH_AUTO(rh_freep) char *from = rh_printf("%s/%s", folder, names[i]);
        RH_AUTO(rh_freep) char *to = NULL;
        RH_AUTO(rh_freep) char *text = NULL;
        RH_AUTO(rh_error_freep) rh_error *cause = NULL;
        struct rh_guest_stat st;

        if (!name)
            continue;
        to = rh_printf("%s/%s", folder, name);
        text = rh_guest_text(j->guest, from, &cause);
        if (cause)
            return rh_error_again(err, cause);
        if (!text || rh_guest_exists(j->guest, to))
            continue;
        /* A key of a wireless network is for root alone. */
        if (j->guest->ops->stat(j->guest, from, true, &st, err) < 0 ||
            rh_fix_put(j, to, text, strlen(text), st.mode & 07777, what, err) <
                0 ||
            rh_fix_drop(j, from, what, err) < 0)
            return -1;
    }
    return 0;
}

int rh_fix_nic_macs(struct rh_fix_job *j, rh_error **err)
{
    struct exchanges x = {0};
    int r = 0;

    if (!j->o->vm || !j->o->vm->nics.count)
        return 0;
    by_names(j, &x);
    by_macs(j, &x);
    if (x.all.count)
        r = each_file(j, exchange_in, &x, err);
    if (r == 0)
        r = rename_by_id(j, &x, err);
    free(x.all.items);
    return r < 0 ? -1 : each_file(j, match_in, NULL, err);
}

/* --- cloud-init
 * -------------------------------------------------------------------------- */
/* Has it made an instance of this system already? */
static bool has_instance(struct rh_guest *g)
{
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(g, "/var/lib/cloud/instances");

    return (names && names[0]) ||
           rh_guest_exists(g, "/var/lib/cloud/data/instance-id");
}

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
    /* A template: its first start is still to come, and must set it up. */
    if (!has_instance(j->guest)) {
        rh_finding_add(
            j->o->findings, RH_F_GUEST_CLOUD_INIT, "os",
            N_("cloud-init has never run here: it sets the system up at its "
               "first start, network and all, if the new platform gives it "
               "data"));
        return 0;
    }
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
