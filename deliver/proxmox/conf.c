/* conf.c - proxmox.conf of a result as parameters of the API's create call. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "deliver/proxmox/proxmox.h"

enum { SETTINGS_MAX = 1024 };

void rh_pve_conf_free(struct rh_pve_conf *c)
{
    for (size_t i = 0; i < c->list.count; i++) {
        struct rh_pve_setting *s = &c->list.items[i];

        free(s->key);
        free(s->value);
        free(s->file);
        free(s->volume);
    }
    free(c->list.items);
    *c = (struct rh_pve_conf){0};
}

struct rh_pve_setting *rh_pve_conf_find(struct rh_pve_conf *c, const char *key)
{
    for (size_t i = 0; i < c->list.count; i++)
        if (!strcmp(c->list.items[i].key, key))
            return &c->list.items[i];
    return NULL;
}

void rh_pve_conf_set(struct rh_pve_conf *c, const char *key, const char *value)
{
    struct rh_pve_setting *s = rh_pve_conf_find(c, key);

    if (!s) {
        s = rh_vec_add(&c->list);
        s->key = rh_strdup(key);
    }
    free(s->value);
    s->value = rh_strdup(value);
}

/* "scsi0", "net12": the word, then a number. */
static bool numbered(const char *key, const char *word)
{
    size_t n = strlen(word);

    return !strncmp(key, word, n) && key[n] &&
           strspn(key + n, "0123456789") == strlen(key + n);
}

bool rh_pve_conf_is_disk(const char *key)
{
    return (numbered(key, "scsi") || numbered(key, "virtio") ||
            numbered(key, "sata") || numbered(key, "ide") ||
            !strcmp(key, "efidisk0") || !strcmp(key, "tpmstate0"));
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *p = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return p ? (int)(p - digits) : -1;
}

/* The file has a description's line ends as %0A. */
static char *unescape(const char *text)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (; *text; text++) {
        int high = *text == '%' ? hex(text[1]) : -1;
        int low = high >= 0 ? hex(text[2]) : -1;

        if (low >= 0 && high * 16 + low) {
            rh_buf_putc(&b, (char)(high * 16 + low));
            text += 2;
        } else {
            rh_buf_putc(&b, *text);
        }
    }
    return rh_buf_take(&b);
}

static bool good_key(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)line[i]) && !strchr("-_", line[i]))
            return false;
    return n > 0;
}

/* What rehost writes, and what people add that touches the VM alone.  The rest
 * reaches into the host (args, hookscript, hostpci0, serial0: /dev/...): a
 * result from elsewhere must not. */
bool rh_pve_conf_allows(const char *key, const char *value)
{
    static const char *const plain[] = {
        "acpi",    "agent",   "balloon",   "bios",     "boot",
        "cores",   "cpu",     "cpulimit",  "cpuunits", "description",
        "hotplug", "kvm",     "localtime", "machine",  "memory",
        "name",    "numa",    "onboot",    "ostype",   "protection",
        "rng0",    "scsihw",  "shares",    "smbios1",  "sockets",
        "startup", "tablet",  "tags",      "vcpus",    "vga",
        "vmgenid", "watchdog"};

    /* `qm` takes the word behind a switch (--onboot) for another option. */
    if (value[0] == '-' && strcmp(key, "description"))
        return false;
    for (size_t i = 0; i < RH_COUNT(plain); i++)
        if (!strcmp(key, plain[i]))
            return true;
    if (numbered(key, "serial"))
        return !strcmp(value, "socket");
    return numbered(key, "net") || rh_pve_conf_is_disk(key);
}

static void take_setting(struct rh_pve_conf *c, const char *key,
                         const char *value)
{
    struct rh_pve_setting *s = rh_vec_add(&c->list);

    s->key = rh_strdup(key);
    s->value = strcmp(key, "description") ? rh_strdup(value) : unescape(value);
    s->is_volume = rh_pve_conf_is_disk(key) && strncmp(value, "none", 4) != 0;
}

int rh_pve_conf_parse(const char *text, struct rh_pve_conf *ret, rh_error **err)
{
    struct rh_pve_conf c = {0};

    for (const char *p = text; *p && *p != '[';) {
        size_t n = strcspn(p, "\n"), colon = strcspn(p, ":");
        RH_AUTO(rh_freep) char *key = NULL, *value = NULL;

        if (n && *p != '#') {
            if (colon + 1 >= n || !good_key(p, colon) ||
                c.list.count == SETTINGS_MAX) {
                rh_pve_conf_free(&c);
                return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                               "proxmox.conf: \"%.60s\" is no setting", p);
            }
            key = rh_strndup(p, colon);
            value = rh_strndup(p + colon + 1 + (p[colon + 1] == ' '),
                               n - colon - 1 - (p[colon + 1] == ' '));
            if (!rh_pve_conf_allows(key, value)) {
                rh_pve_conf_free(&c);
                rh_fail(err, RH_ERR_DELIVERY_RESULT,
                        "proxmox.conf: the setting \"%s: %.60s\" reaches "
                        "into the host",
                        key, value);
                return rh_hint(err, "take the line away, and set it on the "
                                    "host where it is wanted");
            }
            take_setting(&c, key, value);
        }
        p += n + (p[n] == '\n');
    }
    *ret = c;
    return 0;
}

/* --- parts of a value
 * --------------------------------------------------------------- */

char *rh_pve_part(const char *value, const char *name)
{
    size_t m = strlen(name);

    for (const char *p = value; *p;) {
        size_t n = strcspn(p, ",");

        if (n > m && !strncmp(p, name, m) && p[m] == '=')
            return rh_strndup(p + m + 1, n - m - 1);
        p += n + (p[n] == ',');
    }
    return rh_strdup("");
}

/* All parts but those named, and but the first where `skip_first`. */
static char *without(const char *value, const char *const *names,
                     bool skip_first)
{
    struct rh_buf b = {0};
    bool first = true;

    for (const char *p = value; *p;) {
        size_t n = strcspn(p, ","), word = strcspn(p, ",=");
        bool drop = first && skip_first;

        for (size_t i = 0; names[i]; i++)
            drop |= strlen(names[i]) == word && !strncmp(p, names[i], word);
        if (!drop) {
            if (b.length)
                rh_buf_putc(&b, ',');
            rh_buf_add(&b, p, n);
        }
        first = false;
        p += n + (p[n] == ',');
    }
    return rh_buf_take(&b);
}

/* --- networks
 * ------------------------------------------------------------------------- */

static const char *mapped(const rh_options *o, const char *name,
                          const char *bridge)
{
    const char *map, *any = NULL;

    for (size_t i = 0; (map = rh_option_at(o, "network-map", i)); i++) {
        const char *equals = strchr(map, '=');
        size_t n = equals ? (size_t)(equals - map) : 0;

        /* "FROM=TO,tag=9": the FROM ends at the last "=" before a comma. */
        for (const char *p = map; *p && *p != ','; p++)
            if (*p == '=')
                equals = p;
        n = equals ? (size_t)(equals - map) : 0;
        if (n && ((strlen(name) == n && !strncmp(map, name, n)) ||
                  (strlen(bridge) == n && !strncmp(map, bridge, n))))
            return equals + 1;
        if (n == 1 && map[0] == '*')
            any = equals + 1;
    }
    return any;
}

/* "vmbr1:20", as convert takes it, too, is "vmbr1,tag=20". */
static char *with_tag(const char *to)
{
    const char *colon = strrchr(to, ':');
    uint64_t vlan;

    if (!colon || !rh_parse_u64(colon + 1, &vlan) || !vlan || vlan > 4094)
        return rh_strdup(to);
    return rh_printf("%.*s,tag=%s", (int)(colon - to), to, colon + 1);
}

static void map_nic(struct rh_pve_setting *s, const char *network,
                    const rh_options *o)
{
    static const char *const replaced[] = {"bridge", "tag", NULL};
    RH_AUTO(rh_freep) char *bridge = rh_pve_part(s->value, "bridge");
    const char *map = mapped(o, network, bridge);
    RH_AUTO(rh_freep) char *to = map ? with_tag(map) : NULL;
    RH_AUTO(rh_freep) char *rest = NULL;

    if (!to)
        return;
    rest = without(s->value, replaced, false);
    free(s->value);
    s->value = rh_printf("%s,bridge=%s", rest, to);
}

void rh_pve_conf_map(struct rh_pve_conf *c, const json_t *nics,
                     const rh_options *o)
{
    for (size_t i = 0; i < c->list.count; i++) {
        struct rh_pve_setting *s = &c->list.items[i];
        uint64_t number;

        if (numbered(s->key, "net") && rh_parse_u64(s->key + 3, &number))
            map_nic(
                s, rh_pve_text(json_array_get(nics, (size_t)number), "network"),
                o);
    }
}

/* --- parameters
 * ------------------------------------------------------------------------ */

/* "STORE:vm-1-disk-0,discard=on,size=8M" ->
 * "STORE:0,import-from=...,discard=on"; small volumes that are new (EFI, TPM)
 * are sized by the server. */
static char *volume_value(const struct rh_pve_setting *s, const char *storage,
                          enum rh_pve_disks disks)
{
    static const char *const dropped[] = {"size", NULL};
    RH_AUTO(rh_freep) char *rest = without(s->value, dropped, true);
    const char *comma = rest[0] ? "," : "";

    if (s->volume && disks == RH_PVE_ATTACH)
        return rh_printf("%s%s%s", s->volume, comma, rest);
    if (s->volume)
        return rh_printf("%s:0,import-from=%s%s%s", storage, s->volume, comma,
                         rest);
    return rh_printf("%s:1%s%s", storage, comma, rest);
}

json_t *rh_pve_conf_params(const struct rh_pve_conf *c, const char *storage,
                           const char *note, enum rh_pve_disks disks)
{
    json_t *params = json_object();

    for (size_t i = 0; i < c->list.count; i++) {
        const struct rh_pve_setting *s = &c->list.items[i];
        RH_AUTO(rh_freep)
        char *value = s->is_volume ? volume_value(s, storage, disks)
                                   : rh_strdup(s->value);

        if (!strcmp(s->key, "vmgenid"))
            json_object_set_new(params, s->key, json_string("1"));
        else if (strcmp(s->key, "description"))
            json_object_set_new(params, s->key, json_string(value));
        else
            json_object_set_new(params, s->key,
                                json_sprintf("%s (%s)", value, note));
    }
    if (!json_object_get(params, "description"))
        json_object_set_new(params, "description", json_string(note));
    return params;
}
