/* judge.c - what the node's facts mean for a VM, before the first byte. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "deliver/local/node.h"

/* --- does LVM leave the guests alone?
 * ---------------------------------------------------- */

/* Where a storage's volumes appear on the node, beside LVM's own, which
 * devices/scan_lvs is about. */
static const char *device_of(const char *type)
{
    static const struct {
        const char *type, *device;
    } rows[] = {{"zfspool", "/dev/zd0"},
                {"rbd", "/dev/rbd0"},
                {"drbd", "/dev/drbd1000"},
                {"linstor", "/dev/drbd1000"}};

    for (size_t i = 0; i < RH_COUNT(rows); i++)
        if (!strcmp(rows[i].type, type))
            return rows[i].device;
    return NULL;
}

/* One pattern, "r|/dev/zd.*|": 1 it takes the device, -1 it refuses it, 0 it is
 * about others.  One that is not understood may take it. */
static int match(const char *pattern, const char *device)
{
    RH_AUTO(rh_freep) char *text = NULL;
    size_t n = strlen(pattern);
    regex_t regex;
    bool fits;

    if (n < 3 || pattern[n - 1] != pattern[1])
        return 0;
    text = rh_strndup(pattern + 2, n - 3);
    if (!rh_regex_is_cheap(text) ||
        regcomp(&regex, text, REG_EXTENDED | REG_NOSUB))
        return 1;
    fits = regexec(&regex, device, 0, NULL, 0) == 0;
    regfree(&regex);
    return !fits ? 0 : pattern[0] == 'r' ? -1 : 1;
}

/* global_filter=["r|/dev/zd.*|","r|/dev/rbd.*|"]: the first that fits counts,
 * and what none is about is taken (lvm.conf(5)). */
static bool filter_refuses(const char *lvm, const char *device)
{
    const char *p = strstr(lvm, "global_filter=");

    for (p = p ? p + strcspn(p, "[\"\n") : ""; *p && *p != ']' && *p != '\n';) {
        size_t n;
        int found;

        if (*p++ != '"')
            continue;
        n = strcspn(p, "\"\n");
        {
            RH_AUTO(rh_freep) char *pattern = rh_strndup(p, n);

            found = match(pattern, device);
        }
        if (found)
            return found < 0;
        p += n + (p[n] == '"');
    }
    return false;
}

char *rh_node_lvm_lacks(const char *type, const char *lvm)
{
    const char *device = device_of(type);

    if (!lvm[0]) /* there is no LVM here */
        return NULL;
    if (!strncmp(type, "lvm", 3) && strstr(lvm, "scan_lvs=1"))
        return rh_strdup("scan_lvs=0");
    if (!device || filter_refuses(lvm, device))
        return NULL;
    return rh_printf("global_filter=[\"r|%.*s.*|\"]",
                     (int)strcspn(device, "0123456789"), device);
}

/* The host must not take a guest's volume groups for its own: it would activate
 * them, and hold the guest's disk. */
static void judge_lvm(const struct rh_node_facts *f, struct rh_checks *checks)
{
    RH_AUTO(rh_freep) char *lacks = rh_node_lvm_lacks(f->type, f->lvm);

    if (!lacks) {
        if (f->lvm[0] && (device_of(f->type) || !strncmp(f->type, "lvm", 3)))
            rh_check_good(checks, "LVM does not look into guests' disks");
        return;
    }
    rh_check_caution(checks,
                     "LVM on this node looks into guests' disks: it may take "
                     "a guest's volume groups for the host's; put %s into the "
                     "devices section of /etc/lvm/lvm.conf",
                     lacks);
}

/* --- the rest
 * ------------------------------------------------------------------------ */

static void judge_bridges(const struct rh_pve_conf *conf,
                          struct rh_checks *checks)
{
    for (size_t n = 0; n < conf->list.count; n++) {
        const struct rh_pve_setting *s = &conf->list.items[n];
        RH_AUTO(rh_freep) char *bridge = rh_pve_part(s->value, "bridge");
        RH_AUTO(rh_freep) char *path = NULL;

        if (strncmp(s->key, "net", 3) || !bridge[0])
            continue;
        path = rh_printf("/sys/class/net/%s", bridge);
        if (!strchr(bridge, '/') && access(path, F_OK) == 0)
            rh_check_good(checks, "bridge \"%s\" is there", bridge);
        else
            rh_check_bad(checks, RH_ERR_DELIVERY_NETWORK,
                         "the node has no bridge \"%s\"", bridge);
    }
}

void rh_node_judge(const struct rh_node_facts *f, const char *storage,
                   uint64_t need, const struct rh_pve_conf *conf,
                   struct rh_checks *checks)
{
    if (need > f->room)
        rh_check_bad(checks, RH_ERR_DELIVERY_SPACE,
                     "the storage \"%s\" (%s) is %llu bytes short", storage,
                     f->type, (unsigned long long)(need - f->room));
    else
        rh_check_good(checks, "storage \"%s\" (%s) has room", storage, f->type);
    if (f->taken)
        rh_check_bad(checks, RH_ERR_DELIVERY_TAKEN, "a VM %s is there already",
                     f->vmid);
    else
        rh_check_good(checks, "the number %s is free", f->vmid);
    judge_bridges(conf, checks);
    judge_lvm(f, checks);
}
