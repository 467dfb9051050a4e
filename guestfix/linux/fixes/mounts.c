/* mounts.c - lines of fstab that cannot succeed on the new machine: folders of
 * VMware's host, discs in its drives, and file systems that are on none of
 * these disks.
 *
 * Without nofail systemd waits a minute and a half for such a device, and then
 * stops in its emergency mode. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/fixes.h"
#include "guestfix/linux/fstab.h"

static const char fstab[] = "/etc/fstab";

static bool has_option(const char *options, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = options; p && *p; p += *p == ',') {
        size_t length = strcspn(p, ",");

        if (length == n && !strncmp(p, word, n))
            return true;
        p += length;
    }
    return false;
}

/* Inside of what was not opened anything may lie. */
static bool all_is_seen(const struct rh_fix_job *j)
{
    static const char *const closed[] = {"crypto_LUKS", "linux_raid_member",
                                         "zfs_member", "BitLocker", "bcache"};

    for (size_t i = 0; i < RH_COUNT(closed); i++)
        if (rh_volumes_have(&j->s->volumes, closed[i]))
            return false;
    return true;
}

static bool is_of_host(const struct rh_fstab_entry *e)
{
    return !strcmp(e->type, "vmhgfs") || !strcmp(e->type, "prl_fs") ||
           !strcmp(e->type, "vboxsf") || strstr(e->type, "vmhgfs-fuse") ||
           !strncmp(e->spec, ".host:", 6);
}

/* What lay in a drive of the old machine; the new one's is empty. */
static bool is_of_drive(const struct rh_fstab_entry *e)
{
    static const char *const stems[] = {"/dev/sr", "/dev/scd", "/dev/cdrom",
                                        "/dev/dvd", "/dev/fd"};

    for (size_t i = 0; i < RH_COUNT(stems); i++)
        if (!strncmp(e->spec, stems[i], strlen(stems[i])))
            return true;
    return false;
}

/* A device that is named by what it holds, or by its volume group. */
static bool names_content(const char *spec)
{
    static const char *const stems[] = {"UUID=",
                                        "LABEL=",
                                        "PARTUUID=",
                                        "PARTLABEL=",
                                        "/dev/disk/by-uuid/",
                                        "/dev/disk/by-label/",
                                        "/dev/disk/by-partuuid/",
                                        "/dev/disk/by-partlabel/",
                                        "/dev/sd",
                                        "/dev/hd",
                                        "/dev/vd",
                                        "/dev/xvd",
                                        "/dev/nvme"};

    for (size_t i = 0; i < RH_COUNT(stems); i++)
        if (!strncmp(spec, stems[i], strlen(stems[i])))
            return true;
    return false;
}

/* /dev/VG/LV, where no such group is on the disks. */
static bool is_lost_group(const struct rh_fix_job *j, const char *spec)
{
    const char *vg = spec + 5, *slash;
    static const char *const others[] = {"mapper/", "disk/", "md/", "zvol/",
                                         "drbd/",   "rbd/",  "loop"};

    if (strncmp(spec, "/dev/", 5) || !(slash = strchr(vg, '/')))
        return false;
    for (size_t i = 0; i < RH_COUNT(others); i++)
        if (!strncmp(vg, others[i], strlen(others[i])))
            return false;
    for (size_t i = 0; i < j->s->volumes.all.count; i++) {
        const struct rh_volume *v = &j->s->volumes.all.items[i];

        if (v->vg && strlen(v->vg) == (size_t)(slash - vg) &&
            !strncmp(v->vg, vg, (size_t)(slash - vg)))
            return false;
    }
    return true;
}

/* /dev/mapper/VG-LV of a group that is not here ("--" is a dash in a name), and
 * the maps of multipath, which the new machine's disks do not become. */
static bool is_lost_map(struct rh_fix_job *j, const char *spec)
{
    static const char mapper[] = "/dev/mapper/";
    const char *name = spec + sizeof mapper - 1;

    if (strncmp(spec, mapper, sizeof mapper - 1) || rh_volume_of(j, spec))
        return false;
    if (!strncmp(name, "mpath", 5))
        return true;
    if (!strncmp(name, "luks-", 5) || !strncmp(name, "crypt", 5))
        return false; /* crypttab's names are its own */
    for (const char *p = name + 1; name[0] && *p; p++)
        if (p[0] == '-' && p[-1] != '-' && p[1] && p[1] != '-')
            return true;
    return false;
}

/* Would the system wait for it, in vain? */
static bool is_lost(struct rh_fix_job *j, const struct rh_fstab_entry *e)
{
    if (has_option(e->options, "nofail") || has_option(e->options, "noauto") ||
        !strcmp(e->path, "/"))
        return false;
    if (is_of_host(e) || is_of_drive(e))
        return true;
    if (!all_is_seen(j))
        return false;
    return (names_content(e->spec) && !rh_volume_of(j, e->spec)) ||
           is_lost_group(j, e->spec) || is_lost_map(j, e->spec);
}

static bool is_asked_for(const struct rh_fix_job *j)
{
    const char *given;

    for (size_t i = 0; (given = rh_option_at(j->o->choices, "fix", i)); i++)
        if (!strcmp(given, "linux.fstab-nofail"))
            return true;
    return false;
}

void rh_say_lost_mounts(struct rh_fix_job *j)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, fstab, NULL);
    char *rest = text, *line;

    while (text && !is_asked_for(j) && (line = strsep(&rest, "\n"))) {
        struct rh_fstab_entry e;

        if (rh_fstab_parse(line, &e) && is_lost(j, &e))
            rh_finding_add(
                j->o->findings, RH_F_GUEST_MOUNT_LOST, "os",
                N_("%s mounts %s on %s, which is on none of these disks, and "
                   "has no nofail: the start waits for it and may stop"),
                fstab, e.spec, e.path);
    }
}

/* The line with "nofail" among its options, the fourth field; a line that ends
 * before gets what is missing. */
static void add_nofail(const char *line, struct rh_buf *out)
{
    const char *p = line + strspn(line, " \t"), *end = p;
    unsigned fields = 0;

    for (; fields < 4 && *p && !strchr("\r#", *p); fields++) {
        end = p + strcspn(p, " \t\r");
        p = end + strspn(end, " \t");
    }
    rh_buf_add(out, line, (size_t)(end - line));
    rh_buf_puts(out, fields == 4   ? ",nofail"
                     : fields == 3 ? "\tnofail"
                                   : "\tauto\tnofail");
    rh_buf_puts(out, end);
}

/* Only when it is asked for: whoever mounts a disk later should hear of it. */
int rh_fix_fstab_nofail(struct rh_fix_job *j, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, fstab, err);
    RH_AUTO(rh_buf_free) struct rh_buf out = {0};
    const char *p = text;
    bool changed = false;

    while (p && *p) {
        size_t n = strcspn(p, "\n");
        RH_AUTO(rh_freep) char *line = rh_strndup(p, n);
        RH_AUTO(rh_freep) char *fields = rh_strdup(line);
        struct rh_fstab_entry e;

        if (rh_fstab_parse(fields, &e) && is_lost(j, &e)) {
            add_nofail(line, &out);
            changed = true;
        } else {
            rh_buf_puts(&out, line);
        }
        if (p[n] == '\n')
            rh_buf_putc(&out, p[n++]);
        p += n;
    }
    if (!changed)
        return RH_FIX_OK;
    return rh_fix_put(j, fstab, out.data, out.length, 0644,
                      _("mounts that cannot succeed here do not stop the "
                        "start"),
                      err);
}
