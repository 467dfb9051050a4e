/* net_ifupdown.c - /etc/network/interfaces of Debian and Alpine, with every
 * file that it sources (interfaces(5)). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/network.h"

enum { FILES_MAX = 64, DEPTH_MAX = 4 };

/* Options that say what is below an interface made in software. */
static const char *const below[] = {
    "bridge_ports", "bridge-ports",    "bond-slaves",     "bond_slaves",
    "slaves",       "vlan-raw-device", "vlan_raw_device", "bond-ports",
    "ovs_ports",    "ovs_bonds"};
static const char *const above[] = {"bond-mode",  "bond_mode", "bridge_stp",
                                    "bridge-stp", "ovs_type",  "ovs_bridge"};

/* One reading, over all files: a stanza ends where the next begins. */
struct reading {
    struct rh_linux *l;
    const char *path;
    char iface[64];
    struct rh_said said;
    unsigned files, depth;
    rh_error **err;
};

static void read_file(struct reading *r, const char *path);

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(word, words[i]))
            return true;
    return false;
}

/* The addresses of a stanza go to the interface; eth0.7 is not eth0. */
static void end_stanza(struct reading *r)
{
    struct rh_nic_name *n;

    if (!r->iface[0])
        return;
    for (size_t i = 0; i < RH_NET_MAX; i++)
        rh_net_address(r->l, &r->said.net, r->said.address[i], r->said.mask[i]);
    n = strchr(r->iface, '.') ? NULL : rh_nic_add_base(r->l, r->iface, r->path);
    if (n)
        rh_net_merge(&n->net, &r->said.net);
    else if (strcmp(r->iface, "lo"))
        rh_nic_add_soft(r->l, r->iface, r->path, &r->said.net);
    r->iface[0] = '\0';
    r->said = (struct rh_said){0};
}

static void iface_words(struct reading *r, char **save, bool brought_up)
{
    char *word;

    while ((word = strtok_r(NULL, " \t\r", save))) {
        size_t before = r->l->nics.count;
        struct rh_nic_name *n = rh_nic_add_base(r->l, word, r->path);

        if (n && brought_up)
            n->idle = false;
        else if (n && r->l->nics.count > before)
            n->idle = true;
        if (!brought_up)
            break;
    }
}

static void begin_stanza(struct reading *r, char **save)
{
    char *rest;

    end_stanza(r);
    *save += strspn(*save, " \t");
    snprintf(r->iface, sizeof r->iface, "%.*s", (int)strcspn(*save, " \t\r"),
             *save);
    iface_words(r, save, false);
    rest = *save;
    r->said.net.dhcp = rest && strstr(rest, "dhcp") != NULL;
}

static void lower_words(struct reading *r, const char *option, char **save)
{
    bool lower = is_one_of(option, below, RH_COUNT(below));
    char *word;

    if (lower || is_one_of(option, above, RH_COUNT(above)))
        rh_nic_add_soft(r->l, r->iface, r->path, NULL);
    while (lower && (word = strtok_r(NULL, " \t\r", save)))
        if (strcmp(word, "none") && strcmp(word, "all") &&
            strcmp(word, "regex")) {
            struct rh_nic_name *n = rh_nic_add_base(r->l, word, r->path);

            if (n)
                n->idle = false;
        }
}

static void option(struct reading *r, const char *word, char **save)
{
    struct rh_said *s = &r->said;
    char *rest = *save ? *save : (char *)"";

    if (!strcmp(word, "address"))
        s->address[0] = rh_arena_strdup(r->l->arena, rh_trimmed(rest, ""));
    else if (!strcmp(word, "netmask"))
        s->mask[0] = rh_arena_strdup(r->l->arena, rh_trimmed(rest, ""));
    else if (!strcmp(word, "gateway"))
        rh_net_gateways(r->l, &s->net, rest);
    else if (!strcmp(word, "dns-nameservers") ||
             !strcmp(word, "dns-nameserver"))
        rh_net_dns(r->l, &s->net, rest);
    else
        lower_words(r, word, save);
}

/* source PATTERN, source-directory FOLDER: the last part may be a pattern. */
static void source(struct reading *r, const char *what, bool folder)
{
    RH_AUTO(rh_freep)
    char *path =
        *what == '/' ? rh_strdup(what) : rh_printf("/etc/network/%s", what);
    char *slash = strrchr(path, '/');
    RH_AUTO(rh_name_list_freep) char **names = NULL;
    const char *pattern = folder ? "*" : slash + 1;

    if (r->depth >= DEPTH_MAX || !*what)
        return;
    if (!folder)
        *slash = '\0';
    names = rh_guest_names(r->l->guest, *path ? path : "/");
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *full = rh_printf("%s/%s", path, names[i]);

        if (fnmatch(pattern, names[i], FNM_PERIOD) == 0 &&
            !rh_guest_is_dir(r->l->guest, full))
            read_file(r, full);
    }
}

static void read_line(struct reading *r, char *line)
{
    char *save, *word = strtok_r(line, " \t\r", &save);

    if (!word || *word == '#')
        return;
    if (!strcmp(word, "iface")) {
        begin_stanza(r, &save);
    } else if (!strcmp(word, "auto") || !strncmp(word, "allow-", 6)) {
        end_stanza(r);
        iface_words(r, &save, true);
    } else if (!strcmp(word, "source") || !strcmp(word, "source-directory")) {
        end_stanza(r);
        source(r, save ? rh_trimmed(save, "") : "", word[6] != '\0');
    } else if (!strcmp(word, "mapping") || !strcmp(word, "rename")) {
        end_stanza(r);
    } else {
        option(r, word, &save);
    }
}

/* A backslash at a line's end joins the next one to it, but in comments. */
static char *next_line(char **rest)
{
    char *line = *rest, *end = line;

    if (!line)
        return NULL;
    do {
        end += strcspn(end, "\n");
        if (!*end || line[strspn(line, " \t")] == '#' || end == line ||
            end[-1] != '\\')
            break;
        end[-1] = *end = ' ';
    } while (true);
    *rest = *end ? end + 1 : NULL;
    *end = '\0';
    return line;
}

static void read_file(struct reading *r, const char *path)
{
    RH_AUTO(rh_freep) char *text = NULL;
    const char *before = r->path;
    char *rest, *line;

    if (r->files++ >= FILES_MAX)
        return;
    text = rh_guest_text(r->l->guest, path, r->err);
    rest = text;
    if (!text)
        return;
    r->path = path;
    r->depth++;
    while ((line = next_line(&rest)))
        read_line(r, line);
    end_stanza(r);
    r->depth--;
    r->path = before;
}

void rh_net_ifupdown(struct rh_linux *l, rh_error **err)
{
    static const char main_file[] = "/etc/network/interfaces";
    struct reading r = {.l = l, .path = main_file, .err = err};

    if (rh_guest_exists(l->guest, main_file))
        rh_network_uses(l, "ifupdown");
    read_file(&r, main_file);
    source(&r, "interfaces.d", true);
}
