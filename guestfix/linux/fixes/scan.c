/* scan.c - one look through /etc for names of disks that the new machine
 * changes, in files that no fix edits: udev's rules, units, DRBD, ASM, SBD,
 * multipath, docker, and what GRUB's package remembers.
 *
 * They are the administrator's own matter, and are told: one finding a file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "guestfix/linux/fixes/fixes.h"

enum {
    FILE_MAX = 256 * 1024,
    DEPTH_MAX = 5,
    FILES_DIRECT = 6000,   /* read in-process: milliseconds */
    FILES_APPLIANCE = 600, /* each is an answer to wait for */
    SAID_MAX = 24,
};
#define BYTES_MAX (32 * RH_MIB)

struct scan {
    struct rh_fix_job *j;
    bool plain; /* do /dev/sda and the like change as well? */
    size_t files, files_max, said, more;
    uint64_t bytes;
    bool cut;
};

/* What other fixes edit, or what names no disk of this machine. */
static const char *const skipped[] = {"/etc/fstab",
                                      "/etc/crypttab",
                                      "/etc/mtab",
                                      "/etc/mdadm",
                                      "/etc/mdadm.conf",
                                      "/etc/lvm",
                                      "/etc/default/grub",
                                      "/etc/default/grub.d",
                                      "/etc/kernel",
                                      "/etc/lilo.conf",
                                      "/etc/grub.d",
                                      "/etc/grub.conf",
                                      "/etc/sysconfig/grub",
                                      "/etc/sysconfig/bootloader",
                                      "/etc/update-extlinux.conf",
                                      "/etc/default/extlinux",
                                      "/etc/initramfs-tools",
                                      "/etc/dracut.conf.d",
                                      "/etc/blkid",
                                      "/etc/blkid.tab",
                                      "/etc/grub2.cfg",
                                      "/etc/grub2-efi.cfg",
                                      "/etc/ssl",
                                      "/etc/pki",
                                      "/etc/ca-certificates",
                                      "/etc/alternatives",
                                      "/etc/fonts",
                                      "/etc/selinux",
                                      "/etc/X11",
                                      "/etc/terminfo",
                                      "/etc/bash_completion.d",
                                      "/etc/apparmor.d",
                                      "/etc/apparmor",
                                      "/etc/init.d",
                                      "/etc/rc.d",
                                      "/etc/udev/hwdb.d",
                                      "/etc/shadow",
                                      "/etc/gshadow",
                                      "/etc/ssh",
                                      "/etc/vmware-tools",
                                      "/etc/machine-id",
                                      "/etc/services",
                                      "/etc/mime.types"};
/* Outside of /etc: where grub-pc is put at its next update. */
static const char debconf[] = "/var/cache/debconf/config.dat";

static bool is_skipped(const char *path)
{
    for (size_t i = 0; i < RH_COUNT(skipped); i++)
        if (!strcmp(path, skipped[i]))
            return true;
    return false;
}

/* --- names that change
 * ------------------------------------------------------------------ */
static const struct {
    const char *stem;
    bool letter; /* a disk's letter follows: /dev/sda, not /dev/sd */
    bool plain;  /* changes only where disks are called otherwise */
} names[] = {
    {"/dev/disk/by-path/", false, false},
    {"/dev/disk/by-id/scsi-", false, false},
    {"/dev/disk/by-id/ata-", false, false},
    {"/dev/disk/by-id/wwn-", false, false},
    {"/dev/disk/by-id/nvme-", false, false},
    {"36000c29", false, false}, /* the WWID of VMware's disks */
    {"/dev/sd", true, true},
    {"/dev/hd", true, true},
    {"dev-sd", true, true}, /* in the name of a unit */
    {"KERNEL==\"sd", false, true},
    {"ORACLEASM_SCANORDER=\"sd", false, true},
};

/* Or a pattern of letters: /dev/sd*, /dev/sd[b-z]. */
static bool is_letter(char c)
{
    return islower((unsigned char)c) || (c && strchr("*?[", c));
}

/* In the line; NULL: none.  *ret_length is the word's. */
static const char *changing_name(const struct scan *s, const char *line,
                                 size_t *ret_length)
{
    for (size_t i = 0; i < RH_COUNT(names); i++) {
        size_t n = strlen(names[i].stem);
        const char *at =
            names[i].plain && !s->plain ? NULL : strstr(line, names[i].stem);

        if (!at || (names[i].letter && !is_letter(at[n])) ||
            (at > line && isalnum((unsigned char)at[-1])))
            continue;
        *ret_length = n + strcspn(at + n, " \t\r,;\"'()[]{}<>=");
        return at;
    }
    return NULL;
}

static void say(struct scan *s, const char *path, const char *name, size_t n)
{
    RH_AUTO(rh_freep) char *word = rh_strndup(name, n);

    if (s->said == SAID_MAX) {
        s->more++;
        return;
    }
    s->said++;
    rh_finding_add(s->j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
                   N_("%s names %s, which may be another disk on the new "
                      "machine; it is left as it is"),
                   path, word);
}

static bool is_comment(const char *line)
{
    line += strspn(line, " \t");
    return *line == '#' || *line == ';' || !strncmp(line, "//", 2);
}

/* debconf's answers are blocks; only GRUB's tells where it is put. */
static bool concerns(const char *path, const char *line, bool *in_grub)
{
    if (strcmp(path, debconf))
        return true;
    if (!strncmp(line, "Name: ", 6))
        *in_grub = strstr(line, "grub-pc/install_devices") != NULL;
    return *in_grub && !strncmp(line, "Value:", 6);
}

static void look_into(struct scan *s, const char *path)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    char *rest, *line;
    bool in_grub = false;
    size_t n;

    if (s->files++ >= s->files_max || s->bytes > BYTES_MAX) {
        s->cut = true;
        return;
    }
    if (s->j->guest->ops->read(s->j->guest, path,
                               strcmp(path, debconf) ? FILE_MAX
                                                     : RH_TEXT_FILE_MAX,
                               &bytes, &n, NULL) < 0)
        return;
    s->bytes += n;
    if (memchr(bytes, 0, n))
        return;
    rest = bytes;
    while ((line = strsep(&rest, "\n"))) {
        size_t length;
        const char *name;

        if (is_comment(line) || !concerns(path, line, &in_grub))
            continue;
        name = changing_name(s, line, &length);
        if (!name)
            continue;
        say(s, path, name, length);
        return;
    }
}

static int walk(struct scan *s, const char *folder, unsigned depth,
                rh_error **err)
{
    RH_AUTO(rh_name_list_freep)
    char **list = rh_guest_names(s->j->guest, folder);

    for (size_t i = 0; list && list[i] && !s->cut; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, list[i]);
        struct rh_guest_stat st;

        if (rh_go_on(s->j->o->lib, err) < 0)
            return -1;
        if (is_skipped(path) ||
            s->j->guest->ops->stat(s->j->guest, path, false, &st, NULL) < 0)
            continue;
        if (st.type == 'f' && st.size && st.size <= FILE_MAX)
            look_into(s, path);
        else if (st.type == 'd' && depth < DEPTH_MAX &&
                 walk(s, path, depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

bool rh_scan_plain(const struct rh_fix_job *j)
{
    return rh_disk_names_change(j) || j->s->count > 1;
}

int rh_scan_etc(struct rh_fix_job *j, rh_error **err)
{
    bool direct = !strcmp(j->guest->ops->backend, "direct");
    struct scan s = {.j = j,
                     .plain = rh_scan_plain(j),
                     .files_max = direct ? FILES_DIRECT : FILES_APPLIANCE};

    if (rh_guest_exists(j->guest, debconf))
        look_into(&s, debconf);
    if (walk(&s, "/etc", 0, err) < 0)
        return -1;
    if (s.more)
        rh_finding_add(j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
                       N_("%zu more files below /etc name disks by what may "
                          "change"),
                       s.more);
    if (s.cut) {
        struct rh_finding *f = rh_finding_add(
            j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
            N_("not all of /etc was looked through for names of disks: there "
               "are more than %zu files"),
            s.files_max);

        if (f)
            f->severity = RH_SEVERITY_INFO;
    }
    return 0;
}
