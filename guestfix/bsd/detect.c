/* detect.c - which BSD it is, and what its configuration counts on. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/bsd/bsd.h"

enum { KERNEL_MAX = 96 * 1024 * 1024, CONFIG_MAX = 64 };

const char *rh_bsd_keep(struct rh_bsd *b, const char *text, size_t n)
{
    RH_AUTO(rh_freep) char *plain = rh_strndup(text, n);
    RH_AUTO(rh_freep) char *safe = rh_printable(plain);

    return rh_arena_strdup(b->arena, safe);
}

char *rh_bsd_read(struct rh_session *s, const char *path)
{
    return rh_guest_text(s->guest, path, NULL);
}

const char *rh_bsd_line(struct rh_bsd *b, struct rh_session *s,
                        const char *path)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, path);
    size_t n = text ? strcspn(text, "\r\n") : 0;

    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    return n && n < 256 ? rh_bsd_keep(b, text, n) : NULL;
}

/* --- version
 * ------------------------------------------------------------------ */
/* "OpenBSD 7.4 (GENERIC..." in a kernel or in motd. */
static const char *version_in(struct rh_bsd *b, const char *bytes, size_t n,
                              const char *system)
{
    size_t length = strlen(system);
    const char *p = bytes, *end = bytes + n;

    while ((p = memmem(p, (size_t)(end - p), system, length))) {
        const char *v = p + length;
        size_t k = 0;

        p = v;
        if (v == end || *v++ != ' ')
            continue;
        while (v + k < end && k < 32 &&
               (isalnum((unsigned char)v[k]) || strchr(".-_", v[k])))
            k++;
        if (k >= 3 && isdigit((unsigned char)*v) && memchr(v, '.', k))
            return rh_bsd_keep(b, v, k);
    }
    return NULL;
}

static const char *version_by_kernel(struct rh_bsd *b, struct rh_session *s,
                                     const char *path, const char *system)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    size_t n;

    if (s->guest->ops->read(s->guest, path, KERNEL_MAX, &bytes, &n, NULL) < 0)
        return NULL;
    return version_in(b, bytes, n, system);
}

static const char *version_by_text(struct rh_bsd *b, struct rh_session *s,
                                   const char *path, const char *system)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, path);

    return text ? version_in(b, text, strlen(text), system) : NULL;
}

static void find_version(struct rh_bsd *b, struct rh_session *s)
{
    static const char *const words[] = {"FreeBSD", "OpenBSD", "NetBSD"};
    static const char *const kernels[] = {"/boot/kernel/kernel", "/bsd",
                                          "/netbsd"};
    const char *word = words[b->system];
    RH_AUTO(rh_freep) char *script = NULL;

    if (b->system == RH_FREEBSD) {
        script = rh_bsd_read(s, "/bin/freebsd-version");
        b->release =
            script ? rh_bsd_value(b->arena, script, "USERLAND_VERSION") : NULL;
    }
    if (!b->release)
        b->release = version_by_kernel(b, s, kernels[b->system], word);
    if (!b->release)
        b->release = version_by_text(b, s, "/etc/release", word);
    if (!b->release)
        b->release = version_by_text(b, s, "/etc/motd", word);
    if (!b->release)
        b->release = version_by_text(b, s, "/var/run/motd", word);
    if (b->release)
        b->version =
            rh_bsd_keep(b, b->release, strspn(b->release, "0123456789."));
}

/* --- derivative, architecture
 * ------------------------------------------------- */
static void find_derivative(struct rh_bsd *b, struct rh_session *s)
{
    static const struct {
        const char *mark, *name, *version;
    } known[] = {
        {"/usr/local/opnsense", "OPNsense", "/usr/local/opnsense/version/core"},
        {"/etc/platform", "pfSense", "/etc/version"},
        {"/usr/local/www/freenasUI", "TrueNAS CORE", "/etc/version"},
    };
    const char *version = NULL;

    if (b->system != RH_FREEBSD)
        return;
    for (size_t i = 0; i < RH_COUNT(known) && !b->derivative; i++) {
        if (!rh_guest_exists(s->guest, known[i].mark))
            continue;
        b->derivative = known[i].name;
        version = rh_bsd_line(b, s, known[i].version);
    }
    if (b->derivative)
        b->pretty = rh_arena_printf(
            b->arena, "%s%s%s (FreeBSD%s%s)", b->derivative, version ? " " : "",
            version ? version : "", b->version ? " " : "",
            b->version ? b->version : "");
}

void rh_bsd_find_arch(struct rh_bsd *b, struct rh_session *s, const char *path)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    size_t n;

    if (s->guest->ops->read(s->guest, path, KERNEL_MAX, &bytes, &n, NULL) < 0 ||
        n < 20 ||
        memcmp(bytes,
               "\x7f"
               "ELF",
               4))
        return;
    switch (rh_le16((const uint8_t *)bytes + 18)) { /* e_machine */
    case 3:
        b->arch = "i386";
        break;
    case 62:
        b->arch = "x86_64";
        break;
    case 183:
        b->arch = "arm64";
        break;
    }
}

/* --- mounts
 * ------------------------------------------------------------------- */
static void read_fstab(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/fstab");
    char *rest = text, *line;

    while (rest && (line = strsep(&rest, "\n"))) {
        char *fields[3] = {NULL}, *p = line, *word;
        size_t n = 0;

        while (n < 3 && (word = strsep(&p, " \t")))
            if (*word)
                fields[n++] = word;
        if (n < 3 || fields[0][0] == '#')
            continue;
        if (!b->root && !strcmp(fields[1], "/"))
            b->root = rh_bsd_keep(b, fields[0], strlen(fields[0]));
        if (!b->swap && !strcmp(fields[2], "swap"))
            b->swap = rh_bsd_keep(b, fields[0], strlen(fields[0]));
    }
}

/* --- interfaces
 * --------------------------------------------------------------- */
static bool is_interface(const char *name, size_t n)
{
    return n >= 2 && n < 16 && islower((unsigned char)name[0]) &&
           isdigit((unsigned char)name[n - 1]);
}

static struct rh_bsd_nic *nic_named(struct rh_bsd *b, const char *name)
{
    for (size_t i = 0; i < b->nics.count; i++)
        if (b->nics.items[i].name && !strcmp(b->nics.items[i].name, name))
            return &b->nics.items[i];
    return NULL;
}

/* Interfaces that the system makes itself: no NIC is behind them. */
static bool is_made(const char *name)
{
    static const char *const stems[] = {
        "lo",     "vlan",  "lagg",   "bridge", "tap",   "tun",
        "carp",   "gif",   "gre",    "wg",     "enc",   "pflog",
        "pfsync", "epair", "vether", "trunk",  "aggr",  "svlan",
        "agr",    "ppp",   "pppoe",  "ovpnc",  "ovpns", "vmnet",
        "faith",  "stf",   "mpe",    "veb",    "vport", "ipsec"};
    size_t n = strcspn(name, "0123456789");

    for (size_t i = 0; i < RH_COUNT(stems); i++)
        if (strlen(stems[i]) == n && !strncmp(name, stems[i], n))
            return true;
    return false;
}

struct rh_bsd_nic *rh_bsd_use(struct rh_bsd *b, const char *name, size_t n)
{
    RH_AUTO(rh_freep) char *plain = rh_strndup(name, n);
    struct rh_bsd_nic *nic;

    if (!is_interface(plain, n) || is_made(plain))
        return NULL;
    for (size_t i = 0; i < b->made.count; i++)
        if (!strcmp(b->made.items[i], plain))
            return NULL;
    nic = nic_named(b, plain);
    if (nic) {
        nic->used = true;
        return nic;
    }
    for (size_t i = 0; i < b->unmatched.count; i++)
        if (!strcmp(b->unmatched.items[i], plain))
            return NULL;
    if (b->unmatched.count < CONFIG_MAX)
        *rh_vec_add(&b->unmatched) = rh_arena_strdup(b->arena, plain);
    return NULL;
}

static unsigned prefix_of(const char *mask)
{
    unsigned a, b, c, d, bits = 0;
    unsigned long number;

    if (!strncmp(mask, "0x", 2))
        number = strtoul(mask, NULL, 16);
    /* The widths bound the numbers.  NOLINTNEXTLINE(cert-err34-c) */
    else if (sscanf(mask, "%3u.%3u.%3u.%3u", &a, &b, &c, &d) == 4)
        number = (a & 255) << 24 | (b & 255) << 16 | (c & 255) << 8 | (d & 255);
    else
        return 0;
    for (; number; number >>= 1)
        bits += number & 1;
    return bits;
}

void rh_bsd_addresses(struct rh_bsd *b, struct rh_bsd_nic *nic,
                      const char *text)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(text);
    char *rest = copy, *words[32];
    size_t n = 0;

    while (n < RH_COUNT(words) && (words[n] = strsep(&rest, " \t")))
        n += *words[n] != '\0';
    for (size_t i = 0; i < n; i++) {
        const char *w = words[i], *next = i + 1 < n ? words[i + 1] : "";
        const char *third = i + 2 < n ? words[i + 2] : "";
        const char *fourth = i + 3 < n ? words[i + 3] : "";
        unsigned bits;

        if (!strcasecmp(w, "DHCP") || !strcasecmp(w, "SYNCDHCP") ||
            (!strcmp(w, "inet") && !strcmp(next, "autoconf")))
            nic->dhcp = true;
        if (strcmp(w, "inet") || !isdigit((unsigned char)*next) ||
            nic->addresses.count == CONFIG_MAX)
            continue;
        bits = prefix_of(!strcmp(third, "netmask") ? fourth : third);
        *rh_vec_add(&nic->addresses) =
            strchr(next, '/') || !bits
                ? rh_arena_strdup(b->arena, next)
                : rh_arena_printf(b->arena, "%s/%u", next, bits);
    }
}

/* ifconfig_vmx0_name="wan0": what else is said of wan0 is said of vmx0. */
static void find_made_names(struct rh_bsd *b, const char *text)
{
    static const char mark[] = "_name=";

    for (const char *p = text; (p = strstr(p, mark));) {
        size_t n;

        p += sizeof mark - 1;
        p += *p == '"';
        n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");
        if (n && n < 16 && b->made.count < CONFIG_MAX)
            *rh_vec_add(&b->made) = rh_arena_strndup(b->arena, p, n);
    }
}

/* kld_list="if_vtnet fusefs": modules that rc(8) loads. */
static void read_kld_list(struct rh_bsd *b, const char *text)
{
    const char *p = text ? rh_bsd_value(b->arena, text, "kld_list") : NULL;

    while (p && *(p += strspn(p, " \t")) && b->modules.count < CONFIG_MAX) {
        size_t n = strcspn(p, " \t");

        *rh_vec_add(&b->modules) = rh_bsd_keep(b, p, n);
        p += n;
    }
}

/* rc.conf: ifconfig_vmx0="...", ifconfig_vmx0_alias0, ifconfig_vmx0_ipv6. */
static void read_rc_conf(struct rh_bsd *b, struct rh_session *s,
                         const char *path)
{
    static const char key[] = "ifconfig_";
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, path);
    const char *route =
        text ? rh_bsd_value(b->arena, text, "defaultrouter") : NULL;
    const char *name = text ? rh_bsd_value(b->arena, text, "hostname") : NULL;
    const char *tools =
        text ? rh_bsd_value(b->arena, text, "vmware_guestd_enable") : NULL;
    char *rest = text, *line;

    if (route && strcasecmp(route, "NO") && b->gateways.count < CONFIG_MAX)
        *rh_vec_add(&b->gateways) = route;
    if (name && *name)
        b->hostname = rh_bsd_keep(b, name, strlen(name));
    if (text)
        find_made_names(b, text);
    b->tools |= tools && !strcasecmp(tools, "YES");
    read_kld_list(b, text);
    while (rest && (line = strsep(&rest, "\n"))) {
        const char *p = line + strspn(line, " \t");
        RH_AUTO(rh_freep) char *word = NULL;
        struct rh_bsd_nic *nic;
        const char *value;

        if (strncmp(p, key, sizeof key - 1))
            continue;
        p += sizeof key - 1;
        nic = rh_bsd_use(b, p, strcspn(p, "_="));
        word =
            rh_strndup(p - (sizeof key - 1), sizeof key - 1 + strcspn(p, "="));
        value = rh_bsd_value(b->arena, line, word);
        if (nic && value)
            rh_bsd_addresses(b, nic, value);
    }
}

/* OpenBSD's /etc/hostname.IF and NetBSD's /etc/ifconfig.IF. */
static void read_interface_files(struct rh_bsd *b, struct rh_session *s)
{
    const char *stem = b->system == RH_OPENBSD ? "hostname." : "ifconfig.";
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(s->guest, "/etc");

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("/etc/%s", names[i]);
        RH_AUTO(rh_freep) char *text = NULL;
        struct rh_bsd_nic *nic;
        char *rest, *line;

        if (strncmp(names[i], stem, strlen(stem)))
            continue;
        nic = rh_bsd_use(b, names[i] + strlen(stem),
                         strlen(names[i] + strlen(stem)));
        text = nic ? rh_bsd_read(s, path) : NULL;
        rest = text;
        while (rest && (line = strsep(&rest, "\n")))
            rh_bsd_addresses(b, nic, line);
    }
}

/* pfSense and OPNsense: <if>vmx0</if> and <if>vmx0.10</if>. */
static void read_config_xml(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/conf/config.xml");
    const char *p;

    if (!text)
        text = rh_bsd_read(s, "/cf/conf/config.xml");
    for (p = text; p && (p = strstr(p, "<if>"));) {
        p += 4;
        rh_bsd_use(b, p, strcspn(p, "<."));
    }
}

static void read_resolver(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/etc/resolv.conf");
    const char *gate = rh_bsd_line(b, s, "/etc/mygate");
    char *rest = text, *line;

    if (gate && b->gateways.count < CONFIG_MAX)
        *rh_vec_add(&b->gateways) = gate;
    while (rest && (line = strsep(&rest, "\n"))) {
        char address[64];

        if (sscanf(line, "nameserver %63s", address) == 1 &&
            b->dns.count < CONFIG_MAX)
            *rh_vec_add(&b->dns) = rh_bsd_keep(b, address, strlen(address));
    }
}

static void find_clock(struct rh_bsd *b, struct rh_session *s)
{
    const char *zone = rh_bsd_line(b, s, "/var/db/zoneinfo");
    RH_AUTO(rh_freep) char *link = NULL;
    const char *at;

    b->clock = "utc";
    if (b->system == RH_FREEBSD &&
        rh_guest_exists(s->guest, "/etc/wall_cmos_clock")) {
        b->clock = "localtime";
        b->clock_where = "/etc/wall_cmos_clock";
    }
    b->timezone = zone;
    if (!zone &&
        s->guest->ops->read_link(s->guest, "/etc/localtime", &link, NULL) ==
            0 &&
        (at = strstr(link, "zoneinfo/")))
        b->timezone = rh_bsd_keep(b, at + 9, strlen(at + 9));
}

static void find_modules(struct rh_bsd *b, struct rh_session *s)
{
    RH_AUTO(rh_freep) char *text = rh_bsd_read(s, "/boot/loader.conf");
    char *rest = text, *line;

    while (rest && (line = strsep(&rest, "\n"))) {
        size_t n = strcspn(line, "=");

        if (n > 5 && n < 64 && !strncmp(line + n - 5, "_load", 5) &&
            strcasestr(line + n, "yes") && b->modules.count < CONFIG_MAX)
            *rh_vec_add(&b->modules) = rh_bsd_keep(b, line, n - 5);
    }
}

/* FreeBSD: console="comconsole" in loader.conf; OpenBSD and NetBSD: "set tty
 * com0", "consdev=com0" in boot.conf, boot.cfg. */
static void find_console(struct rh_bsd *b, struct rh_session *s)
{
    static const struct {
        const char *path, *key;
    } places[] = {{"/boot/loader.conf", "console="},
                  {"/boot/loader.conf.local", "console="},
                  {"/etc/boot.conf", "set tty "},
                  {"/boot.cfg", "consdev="}};

    for (size_t i = 0; i < RH_COUNT(places); i++) {
        RH_AUTO(rh_freep) char *text = rh_bsd_read(s, places[i].path);
        char *rest = text, *line;

        while (rest && (line = strsep(&rest, "\n"))) {
            const char *p = line + strspn(line, " \t");
            size_t n = strlen(places[i].key);

            if (strncmp(p, places[i].key, n))
                continue;
            p += n + strspn(p + n, "\"' \t");
            n = strcspn(p, "\"' \t\r;");
            if (n && n < 64)
                b->console = rh_bsd_keep(b, p, n);
        }
    }
}

void rh_bsd_find_dataset(struct rh_bsd *b, const struct rh_session *s)
{
    const struct rh_zfs_label *l =
        s->guest && s->guest->root_volume < s->volumes.all.count
            ? s->volumes.all.items[s->guest->root_volume].zfs
            : NULL;

    if (!b->root && l && l->root)
        b->root = rh_bsd_keep(b, l->root, strlen(l->root));
}

int rh_bsd_detect(struct rh_bsd *b, struct rh_session *s, rh_error **err)
{
    static const char *const words[] = {"FreeBSD", "OpenBSD", "NetBSD"};
    const char *myname;

    if (rh_go_on(s->o->lib, err) < 0)
        return -1;
    find_version(b, s);
    find_derivative(b, s);
    rh_bsd_find_arch(b, s, "/bin/sh");
    find_clock(b, s);
    read_fstab(b, s);
    rh_bsd_find_dataset(b, s);
    find_console(b, s);
    if (!b->pretty)
        b->pretty = rh_arena_printf(b->arena, "%s%s%s", words[b->system],
                                    b->version ? " " : "",
                                    b->version ? b->version : "");
    if (s->o->vm)
        rh_bsd_name_nics(b, s->o->vm, s->o->machine);
    b->disk_count = s->count;
    b->disks = rh_bsd_disks(b->arena, b->system, b->version, s);
    read_rc_conf(b, s, "/etc/rc.conf");
    read_rc_conf(b, s, "/etc/rc.conf.local");
    if (b->system != RH_FREEBSD)
        read_interface_files(b, s);
    else if (b->derivative)
        read_config_xml(b, s);
    myname = rh_bsd_line(b, s, "/etc/myname");
    if (myname)
        b->hostname = myname;
    read_resolver(b, s);
    find_modules(b, s);
    rh_bsd_find_loaders(b, s);
    if (b->system == RH_FREEBSD)
        rh_bsd_find_drivers(b, s);
    return 0;
}

/* --- as JSON
 * ------------------------------------------------------------------ */
static json_t *list_json(const char *const *items, size_t count)
{
    json_t *all = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(all, rh_json_text(items[i]));
    return all;
}

static json_t *nics_json(const struct rh_bsd *b)
{
    json_t *all = json_array();

    for (size_t i = 0; i < b->nics.count; i++) {
        const struct rh_bsd_nic *n = &b->nics.items[i];

        if (!n->used)
            continue;
        json_array_append_new(
            all,
            json_pack(
                "{s:o, s:o, s:I, s:o, s:o, s:o, s:b}", "name",
                rh_json_text(n->name), "becomes", rh_json_text(n->becomes),
                "nic", (json_int_t)n->index, "addresses",
                list_json(n->addresses.items, n->addresses.count), "gateways",
                list_json(b->gateways.items, b->gateways.count), "dns",
                list_json(b->dns.items, b->dns.count), "dhcp", n->dhcp));
    }
    return all;
}

static json_t *disks_json(const struct rh_bsd *b)
{
    json_t *all = json_array();

    for (size_t i = 0; i < b->disk_count; i++)
        json_array_append_new(all, json_pack("{s:o, s:o}", "name",
                                             rh_json_text(b->disks[i].before),
                                             "becomes",
                                             rh_json_text(b->disks[i].after)));
    return all;
}

static json_t *drivers_json(const struct rh_bsd *b)
{
    json_t *all = json_array();

    for (size_t i = 0; i < b->drivers.count; i++) {
        const struct rh_bsd_driver *d = &b->drivers.items[i];

        json_array_append_new(
            all, json_pack("{s:s, s:o, s:b, s:b}", "name", d->name, "built_in",
                           d->built_in == RH_NOT_SEEN
                               ? json_null()
                               : json_boolean(d->built_in == RH_BUILT_IN),
                           "file", d->file, "loaded", d->loaded));
    }
    return all;
}

json_t *rh_bsd_json(const void *facts)
{
    const struct rh_bsd *b = facts;

    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, "
        "s:o, s:o}",
        "family", rh_bsd_names[b->system], "version", rh_json_text(b->version),
        "name", rh_json_text(b->pretty), "derivative",
        rh_json_text(b->derivative), "arch", rh_json_text(b->arch), "hostname",
        rh_json_text(b->hostname), "root", rh_json_text(b->root), "swap",
        rh_json_text(b->swap), "console", rh_json_text(b->console), "modules",
        list_json(b->modules.items, b->modules.count), "nics", nics_json(b),
        "disks", disks_json(b), "tools", b->tools, "boot_loaders",
        list_json(b->loaders.items, b->loaders.count), "drivers",
        drivers_json(b));
}
