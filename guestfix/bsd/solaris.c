/* solaris.c - Solaris and illumos: what their files say, and what is left to
 * people.
 *
 * Nothing is changed in them: paths of devices stand in /etc/path_to_inst and
 * in the boot archive, which the system itself writes anew (boot -r).  Sources:
 * path_to_inst(5), vfstab(5), dladm(8), ipadm(8), rtc(8) of illumos. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/bsd/bsd.h"

enum { NUMBERS_MAX = 1000, LISTS_MAX = 64 };

int rh_solaris_rank(struct rh_guest *g)
{
    if (!rh_guest_is_dir(g, "/etc") ||
        (!rh_guest_exists(g, "/etc/path_to_inst") &&
         !rh_guest_exists(g, "/etc/driver_aliases")))
        return 0;
    return 5 + rh_guest_exists(g, "/etc/release") +
           rh_guest_exists(g, "/etc/vfstab");
}

/* --- which one
 * ---------------------------------------------------------------- */
static const struct {
    const char *word;
    bool illumos;
} makes[] = {
    {"OmniOS", true},   {"OpenIndiana", true}, {"SmartOS", true},
    {"Tribblix", true}, {"illumos", true},     {"OpenSolaris", false},
    {"Solaris", false},
};

/* The number behind the name: "Oracle Solaris 10 1/13 s10x_u11" is 10,
 * "OmniOS v11 r151046" is r151046. */
static const char *version_of(struct rh_bsd *b, const char *line,
                              const char *word)
{
    const char *p = strstr(line, word) + strlen(word);
    const char *r = strstr(p, " r1");

    if (r)
        p = r;
    while (*p && !isdigit((unsigned char)*p) && *p != 'r')
        p++;
    return *p ? rh_bsd_keep(b, p, strcspn(p, " \t(")) : NULL;
}

/* The first line of /etc/release, in the middle of its line. */
static void find_release(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/release");
    const char *p = text ? text + strspn(text, " \t\r\n") : NULL;
    const char *line = p && *p ? rh_bsd_keep(b, p, strcspn(p, "\r\n")) : NULL;

    b->pretty = "Solaris";
    for (size_t i = 0; line && i < RH_COUNT(makes); i++) {
        if (!strstr(line, makes[i].word))
            continue;
        b->illumos = makes[i].illumos;
        b->version = version_of(b, line, makes[i].word);
        b->pretty = line;
        if (strcmp(makes[i].word, "Solaris"))
            b->derivative = makes[i].word;
        break;
    }
    b->release = line;
}

/* --- clock, mounts
 * ------------------------------------------------------------ */
/* rtc(8) keeps the zone that the hardware's clock runs in. */
static void find_clock(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *rtc = rh_bsd_read(s, "/etc/rtc_config");
    RH_AUTO(rh_freep) char *init = rh_bsd_read(s, "/etc/default/init");
    const char *zone = rtc ? rh_bsd_value(b->arena, rtc, "zone_info") : NULL;

    if (zone) {
        b->clock = !strcasecmp(zone, "UTC") || !strcasecmp(zone, "GMT")
                       ? "utc"
                       : "localtime";
        b->clock_where = "/etc/rtc_config";
    }
    if (init)
        b->timezone = rh_bsd_value(b->arena, init, "TZ");
}

/* vfstab(5): device, device to fsck, mount point, type. */
static void read_vfstab(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/vfstab");
    char *rest = text, *line;

    while (rest && (line = strsep(&rest, "\n"))) {
        char *fields[4] = {NULL}, *p = line, *word;
        size_t n = 0;

        while (n < 4 && (word = strsep(&p, " \t")))
            if (*word)
                fields[n++] = word;
        if (n < 4 || fields[0][0] == '#')
            continue;
        if (!b->root && !strcmp(fields[2], "/"))
            b->root = rh_bsd_keep(b, fields[0], strlen(fields[0]));
        if (!b->swap && !strcmp(fields[3], "swap"))
            b->swap = rh_bsd_keep(b, fields[0], strlen(fields[0]));
    }
}

/* --- NICs
 * --------------------------------------------------------------------- */
/* A driver numbers a device that it has not seen at this place with the number
 * behind those in path_to_inst: `"/pci@0,0/pci15ad,7b0@b" 0 "vmxnet3s"`. */
static unsigned next_instance(const char *text, const char *driver)
{
    RH_AUTO(rh_freep) char *mark = rh_printf("\"%s\"", driver);
    unsigned next = 0;

    for (const char *p = text; p && (p = strstr(p, mark)); p++) {
        const char *d = p;
        unsigned long n;

        while (d > text && d[-1] == ' ')
            d--;
        while (d > text && isdigit((unsigned char)d[-1]))
            d--;
        n = strtoul(d, NULL, 10);
        if (isdigit((unsigned char)*d) && n < NUMBERS_MAX && n >= next)
            next = (unsigned)n + 1;
    }
    return next;
}

static size_t stem_of(const char *name)
{
    size_t n = strlen(name);

    while (n && isdigit((unsigned char)name[n - 1]))
        n--;
    return n;
}

/* What the new NICs will be called, after those that were here before. */
static void number_nics(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/path_to_inst");

    for (size_t i = 0; text && i < b->nics.count; i++) {
        struct rh_bsd_nic *n = &b->nics.items[i];
        size_t stem = n->becomes ? stem_of(n->becomes) : 0;
        RH_AUTO(rh_freep) char *driver = NULL;

        if (!stem)
            continue;
        driver = rh_strndup(n->becomes, stem);
        n->becomes = rh_arena_printf(b->arena, "%s%lu", driver,
                                     strtoul(n->becomes + stem, NULL, 10) +
                                         next_instance(text, driver));
    }
}

/* "name=string,net0;...devname=string,vmxnet3s0;": the value of a key. */
static const char *attribute(struct rh_bsd *b, const char *line,
                             const char *key)
{
    size_t n = strlen(key);

    for (const char *p = line; (p = strstr(p, key)); p++)
        if (p == line || !isalpha((unsigned char)p[-1]))
            return rh_arena_strndup(b->arena, p + n,
                                    RH_MIN(strcspn(p + n, ";\t "), (size_t)31));
    return NULL;
}

/* What dladm(8) lets a link be called; commands name it. */
static bool is_link(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                            "XYZ0123456789_.");

    return n && !name[n];
}

/* Links have names of their own: net0 for vmxnet3s0.  What Solaris 11 does with
 * one stands in its service repository, which is not read. */
static void read_links(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/dladm/datalink.conf");
    char *rest = text, *line;

    while (rest && (line = strsep(&rest, "\n"))) {
        const char *link = attribute(b, line, "name=string,");
        const char *device = attribute(b, line, "devname=string,");

        for (size_t i = 0; link && device && i < b->nics.count; i++) {
            struct rh_bsd_nic *n = &b->nics.items[i];

            if (!n->name || strcmp(n->name, device) || !is_link(link))
                continue;
            n->used = true;
            if (strcmp(link, device))
                n->link = rh_bsd_keep(b, link, strlen(link));
        }
    }
}

/* A link's NIC, by either name. */
static struct rh_bsd_nic *use_link(struct rh_bsd *b, const char *name, size_t n)
{
    for (size_t i = 0; i < b->nics.count; i++) {
        struct rh_bsd_nic *nic = &b->nics.items[i];

        if (nic->link && strlen(nic->link) == n &&
            !memcmp(nic->link, name, n)) {
            nic->used = true;
            return nic;
        }
    }
    return rh_bsd_use(b, name, n);
}

static void add_address(struct rh_bsd *b, struct rh_bsd_nic *nic,
                        const char *line)
{
    const char *p = strstr(line, "_ipv4addr=");
    const char *prefix = attribute(b, line, "prefixlen=");
    size_t n;

    if (!p || nic->addresses.count == LISTS_MAX)
        return;
    p += strlen("_ipv4addr=");
    p += strcspn(p, "0123456789;");
    n = strspn(p, "0123456789./");
    if (!n || n > 31)
        return;
    *rh_vec_add(&nic->addresses) =
        prefix && !memchr(p, '/', n)
            ? rh_arena_printf(b->arena, "%.*s/%s", (int)n, p, prefix)
            : rh_arena_strndup(b->arena, p, n);
}

/* illumos: "_ifname=vioif0;_aobjname=vioif0/v4;_dhcp=-1,no;". */
static void read_ipadm(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/ipadm/ipadm.conf");
    char *rest = text, *line;

    while (rest && (line = strsep(&rest, "\n"))) {
        const char *link = attribute(b, line, "_ifname=");
        struct rh_bsd_nic *nic = link ? use_link(b, link, strlen(link)) : NULL;

        if (!nic)
            continue;
        nic->dhcp |= strstr(line, "_dhcp=") != NULL;
        add_address(b, nic, line);
    }
}

/* Solaris 10: /etc/hostname.e1000g0 and /etc/dhcp.e1000g0. */
static void read_interface_files(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(s->guest, "/etc");

    for (size_t i = 0; names && names[i]; i++) {
        bool dhcp = !strncmp(names[i], "dhcp.", 5);
        const char *name = names[i] + (dhcp ? 5 : 9);
        RH_AUTO(rh_freep) char *path = rh_printf("/etc/%s", names[i]);
        RH_AUTO(rh_freep) char *text = NULL;
        RH_AUTO(rh_freep) char *inet = NULL;
        struct rh_bsd_nic *nic;

        if (!dhcp && strncmp(names[i], "hostname.", 9))
            continue;
        nic = use_link(b, name, strlen(name));
        if (!nic)
            continue;
        nic->dhcp |= dhcp;
        text = rh_bsd_read(s, path);
        if (text)
            text[strcspn(text, "\r\n")] = '\0';
        inet = text ? rh_printf("inet %s", text) : NULL;
        if (inet && isdigit((unsigned char)*text))
            rh_bsd_addresses(b, nic, inet);
    }
}

static void read_network(struct rh_bsd *b, struct rh_session *s)
{
    const char *gate = rh_bsd_line(b, s, "/etc/defaultrouter");
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/resolv.conf");
    char *rest = text, *line;

    read_links(b, s);
    read_ipadm(b, s);
    read_interface_files(b, s);
    number_nics(b, s);
    if (gate)
        *rh_vec_add(&b->gateways) = gate;
    while (rest && (line = strsep(&rest, "\n"))) {
        char address[64];

        if (sscanf(line, "nameserver %63s", address) == 1 &&
            b->dns.count < LISTS_MAX)
            *rh_vec_add(&b->dns) = rh_bsd_keep(b, address, strlen(address));
    }
}

int rh_solaris_detect(struct rh_bsd *b, struct rh_session *s, rh_error **err)
{
    if (rh_go_on(s->o->lib, err) < 0)
        return -1;
    find_release(b, s);
    rh_bsd_find_arch(b, s, "/usr/bin/ls");
    if (!b->arch)
        rh_bsd_find_arch(b, s, "/sbin/sh");
    find_clock(b, s);
    read_vfstab(b, s);
    rh_bsd_find_dataset(b, s);
    rh_bsd_find_loaders(b, s);
    b->hostname = rh_bsd_line(b, s, "/etc/nodename");
    if (s->o->vm)
        rh_bsd_name_nics(b, s->o->vm, s->o->machine);
    b->disk_count = s->count;
    b->disks = rh_bsd_disks(b->arena, b->system, b->version, s);
    read_network(b, s);
    if (s->o->vm && s->o->machine)
        rh_solaris_advise(s, b, true);
    return 0;
}

/* --- what is left to people
 * ---------------------------------------------------- */
static bool any_used(const struct rh_bsd *b)
{
    for (size_t i = 0; i < b->nics.count; i++)
        if (b->nics.items[i].used)
            return true;
    return false;
}

static bool is_ten(const struct rh_bsd *b)
{
    return b->version && !strcmp(b->version, "10");
}

static void say_nic(struct rh_session *s, const struct rh_bsd *b,
                    const struct rh_bsd_nic *n, bool read)
{
    const char *link = n->link ? n->link : n->name;

    if (read && is_ten(b))
        rh_finding_add(s->o->findings, RH_F_BSD_NIC_NAMES, "os",
                       N_("the NIC %s is called %s on the new machine; at the "
                          "console: cd /etc && for f in hostname dhcp; do "
                          "[ -f $f.%s ] && mv $f.%s $f.%s; done; reboot"),
                       n->name, n->becomes, n->name, n->name, n->becomes);
    else if (read)
        rh_finding_add(
            s->o->findings, RH_F_BSD_NIC_NAMES, "os",
            N_("the NIC %s is called %s on the new machine; at the console: "
               "dladm show-phys (it names the link of %s), then dladm "
               "rename-link LINK %s, and reboot"),
            n->name, n->becomes, n->becomes, link);
    else
        rh_finding_add(
            s->o->findings, RH_F_BSD_NIC_NAMES, "os",
            N_("the NIC %s is called %s on the new machine; Solaris 11 and "
               "illumos: dladm rename-link %s %s; Solaris 10: mv "
               "/etc/hostname.%s /etc/hostname.%s"),
            n->name, n->becomes, n->becomes, n->name, n->name, n->becomes);
}

static const struct rh_volume *ufs_slice(const struct rh_session *s)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        if (v->fstype && !strcmp(v->fstype, "ufs") && v->label_of &&
            !strcmp(v->label_of, "solaris") && !v->has_label)
            return v;
    }
    return NULL;
}

/* Solaris 10's, in a slice of its label: its disks go by controller and
 * target. */
static void say_vfstab(struct rh_session *s, const struct rh_bsd *b, bool read)
{
    const struct rh_volume *v = ufs_slice(s);

    if (!v)
        return;
    if (read && b->root)
        rh_finding_add(
            s->o->findings, RH_F_SOLARIS_STEPS, "os",
            N_("/etc/vfstab names the root as %s and swap as %s: in failsafe "
               "mode mount the root at /a, put the new names (`format` lists "
               "them) into /a/etc/vfstab, then: touch /a/reconfigure && "
               "bootadm update-archive -R /a"),
            b->root, b->swap ? b->swap : "-");
    else
        rh_finding_add(
            s->o->findings, RH_F_SOLARIS_STEPS, "os",
            N_("Solaris' UFS on %s is not read (%s); its /etc/vfstab names "
               "disks by controller and target: in failsafe mode mount the "
               "root at /a, put the new names (`format` lists them) into "
               "/a/etc/vfstab, then: touch /a/reconfigure && bootadm "
               "update-archive -R /a"),
            v->device,
            s->closed_why ? s->closed_why : _("no system was found in it"));
}

void rh_solaris_advise(struct rh_session *s, const struct rh_bsd *b, bool read)
{
    bool some = read && any_used(b);

    rh_finding_add(
        s->o->findings, RH_F_SOLARIS_STEPS, "os",
        N_("Solaris keeps the paths of its devices in /etc/path_to_inst and in "
           "its boot archive; at the first start choose failsafe or boot -r, "
           "then: devfsadm -Cv && bootadm update-archive"));
    for (size_t i = 0; i < b->nics.count; i++) {
        const struct rh_bsd_nic *n = &b->nics.items[i];

        if (n->name && n->becomes && strcmp(n->name, n->becomes) &&
            (n->used || !some))
            say_nic(s, b, n, read);
    }
    say_vfstab(s, b, read);
    for (size_t i = 0; i < b->unmatched.count; i++)
        rh_finding_add(s->o->findings, RH_F_BSD_NIC_UNKNOWN, "os",
                       N_("the configuration names the interface %s, which no "
                          "NIC of the VM had"),
                       b->unmatched.items[i]);
}
