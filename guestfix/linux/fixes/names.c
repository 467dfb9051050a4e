/* names.c - device names that change with the hardware become UUIDs.
 *
 * /dev/sda1 is /dev/vda1 or /dev/xvda1 on the new machine; UUID= is the same
 * everywhere.  Text is edited in place: every byte that need not change stays.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/fixes.h"
#include "guestfix/linux/fstab.h"

/* --- what is unstable, and its stable name
 * ---------------------------------------- */
static bool is_by_link(const char *spec)
{
    return !strncmp(spec, "/dev/disk/", 10);
}

static bool is_unstable(const char *spec)
{
    static const char *const stems[] = {"/dev/sd",
                                        "/dev/hd",
                                        "/dev/vd",
                                        "/dev/xvd",
                                        "/dev/nvme",
                                        "/dev/disk/by-path/",
                                        "/dev/disk/by-id/scsi-",
                                        "/dev/disk/by-id/ata-",
                                        "/dev/disk/by-id/wwn-",
                                        "/dev/disk/by-id/nvme-"};

    for (size_t i = 0; i < RH_COUNT(stems); i++)
        if (!strncmp(spec, stems[i], strlen(stems[i])))
            return true;
    return false;
}

/* A clone beside its original has both of them: which one would be found is
 * chance. */
static bool is_unique(const struct rh_session *s, const char *uuid)
{
    unsigned n = 0;

    for (size_t i = 0; i < s->volumes.all.count; i++)
        n += s->volumes.all.items[i].uuid &&
             !strcmp(s->volumes.all.items[i].uuid, uuid);
    return n == 1;
}

static bool is_unique_part(const struct rh_session *s, const char *part_uuid)
{
    unsigned n = 0;

    for (size_t i = 0; i < s->volumes.all.count; i++)
        n += s->volumes.all.items[i].part_uuid &&
             !strcasecmp(s->volumes.all.items[i].part_uuid, part_uuid);
    return n == 1;
}

/* Without an initramfs the kernel itself finds root: it knows PARTUUID only. */
static bool kernel_mounts_root(const struct rh_linux *l)
{
    for (size_t i = 0; i < l->kernels.count; i++)
        if (l->kernels.items[i].initramfs)
            return false;
    return l->kernels.count > 0;
}

/* fstab's own word for "/" is the root that was found. */
static const char *root_word(struct rh_fix_job *j)
{
    if (!rh_linux_of(j)->root_word) {
        RH_AUTO(rh_freep)
        char *text = rh_guest_text(j->guest, "/etc/fstab", NULL);
        RH_AUTO(rh_freep) char *word = rh_fstab_root(text);

        rh_linux_of(j)->root_word =
            rh_arena_strdup(rh_linux_of(j)->arena, word ? word : "");
    }
    return rh_linux_of(j)->root_word;
}

static const struct rh_volume *root_of(const struct rh_fix_job *j)
{
    return &j->s->volumes.all.items[j->guest->root_volume];
}

const struct rh_volume *rh_volume_of(struct rh_fix_job *j, const char *spec)
{
    return rh_device_find(j->s, root_word(j), root_of(j), spec);
}

/* The package does not settle the order of its disks: a person looks. */
static void say_guessed(struct rh_fix_job *j, const char *spec,
                        const struct rh_volume *v)
{
    RH_AUTO(rh_freep) char *subject = rh_printf("disks/%zu", v->disk);

    if (rh_device_guessed(j->s, root_word(j), root_of(j), spec))
        rh_finding_add(j->o->findings, RH_F_GUEST_DEVICE_GUESS, subject,
                       N_("%s was taken for a volume of this disk, in the "
                          "order of the package: it does not say on which "
                          "slots the disks are"),
                       spec);
}

char *rh_stable_name(struct rh_fix_job *j, const char *spec, bool *ret_lost)
{
    const struct rh_volume *v;

    *ret_lost = false;
    if (!is_unstable(spec))
        return NULL;
    v = rh_volume_of(j, spec);
    if (v)
        say_guessed(j, spec, v);
    if (v && v->uuid && is_unique(j->s, v->uuid))
        return rh_printf("UUID=%s", v->uuid);
    if (v && v->part_uuid && is_unique_part(j->s, v->part_uuid))
        return rh_printf("PARTUUID=%s", v->part_uuid);
    *ret_lost = true;
    return NULL;
}

static void say_lost(struct rh_fix_job *j, const char *path, const char *spec)
{
    if (rh_volume_of(j, spec))
        rh_finding_add(j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
                       N_("%s names %s, and no lasting name is this volume's "
                          "alone: a copy of it is among the disks; the name "
                          "is left as it is"),
                       path, spec);
    else
        rh_finding_add(j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
                       N_("%s names %s, which no volume found here answers to"),
                       path, spec);
}

/* Behind the field that is edited: options like logdev=/dev/sdb1, which take
 * nothing but a path, and keys on other disks. */
static void say_rest(struct rh_fix_job *j, const char *path, const char *rest,
                     size_t n)
{
    for (size_t i = 1; i < n; i++) {
        RH_AUTO(rh_freep) char *word = NULL;

        if (!strchr(" \t,=", rest[i - 1]) || rest[i] != '/')
            continue;
        word = rh_strndup(rest + i, strcspn(rest + i, " \t\r\n,"));
        if (is_unstable(word) && (rh_scan_plain(j) || is_by_link(word)))
            rh_finding_add(j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
                           N_("%s names %s, which may be another disk on the "
                              "new machine; it is left as it is"),
                           path, word);
    }
}

/* A drive for CDs: it is no volume, and nobody waits for it. */
static bool is_optical(const char *text, size_t n)
{
    RH_AUTO(rh_freep) char *line = rh_strndup(text, n);
    struct rh_fstab_entry e;

    return rh_fstab_parse(line, &e) &&
           (strstr(e.type, "iso9660") || strstr(e.type, "udf"));
}

/* --- tables with blank-separated fields
 * ---------------------------------------------- */
/* Replace field `n` (from 0) of every line where it is unstable.  Returns NULL
 * when nothing changes. */
char *rh_edit_table(struct rh_fix_job *j, const char *path, const char *text,
                    unsigned n)
{
    struct rh_buf out = {0};
    bool changed = false;

    while (*text) {
        size_t length = strcspn(text, "\n"), at = strspn(text, " \t"), size;
        RH_AUTO(rh_freep) char *spec = NULL;
        RH_AUTO(rh_freep) char *stable = NULL;
        bool lost = false;

        for (unsigned i = 0; i < n && text[at] != '#'; i++) {
            at += strcspn(text + at, " \t\n");
            at += strspn(text + at, " \t");
        }
        size = strcspn(text + at, " \t\r\n");
        if (at < length && text[strspn(text, " \t")] != '#') {
            spec = rh_strndup(text + at, size);
            stable = rh_stable_name(j, spec, &lost);
        }
        if (lost && !is_optical(text, length))
            say_lost(j, path, spec);
        if (spec)
            say_rest(j, path, text + at + size, length - at - size);
        if (stable) {
            rh_buf_add(&out, text, at);
            rh_buf_puts(&out, stable);
            rh_buf_add(&out, text + at + size, length - at - size);
            changed = true;
        } else {
            rh_buf_add(&out, text, length);
        }
        if (text[length] == '\n')
            rh_buf_putc(&out, text[length++]);
        text += length;
    }
    if (changed)
        return rh_buf_take(&out);
    rh_buf_free(&out);
    return NULL;
}

/* The text of a file that may not be there; -1: it cannot be read. */
static int text_of(struct rh_fix_job *j, const char *path, char **ret,
                   rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;

    *ret = rh_guest_text(j->guest, path, &fault);
    return fault ? rh_error_again(err, fault) : 0;
}

/* Nothing to do where `after` is NULL. */
static int put_after(struct rh_fix_job *j, const char *path, const char *after,
                     const char *what, rh_error **err)
{
    return after ? rh_fix_put(j, path, after, strlen(after), 0644, what, err)
                 : 0;
}

static int fix_table(struct rh_fix_job *j, const char *path, unsigned field,
                     const char *what, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *after = NULL;

    if (text_of(j, path, &text, err) < 0)
        return -1;
    after = text ? rh_edit_table(j, path, text, field) : NULL;
    return put_after(j, path, after, what, err);
}

static int fix_file(struct rh_fix_job *j, const char *path, bool consoles,
                    const char *what, rh_error **err);

/* Mounts that are units of systemd; a swap unit is named after its device. */
static int fix_units(struct rh_fix_job *j, const char *what, rh_error **err)
{
    static const char folder[] = "/etc/systemd/system";
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(j->guest, folder);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);
        size_t n = strlen(names[i]);

        if (n > 6 && !strcmp(names[i] + n - 6, ".mount") &&
            fix_file(j, path, false, what, err) < 0)
            return -1;
    }
    return 0;
}

int rh_fix_fstab(struct rh_fix_job *j, rh_error **err)
{
    const char *what = _("mount by UUID instead of by device name");

    if (rh_scan_etc(j, err) < 0)
        return -1;
    rh_say_lost_mounts(j);
    if (fix_table(j, "/etc/fstab", 0, what, err) < 0)
        return -1;
    return fix_units(j, what, err);
}

int rh_fix_crypttab(struct rh_fix_job *j, rh_error **err)
{
    return fix_table(j, "/etc/crypttab", 1,
                     _("open encrypted volumes by UUID instead of by device "
                       "name"),
                     err);
}

/* --- arguments: root=, resume= anywhere in a text
 * -------------------------------------- */
static const char *const words[] = {
    "root=", "ROOT=", "resume=", "RESUME=", "real_root=", "real_resume=",
    "mount.usr=", "What=",
    /* RHEL's FIPS check; Arch's and Alpine's LUKS. */
    "boot=", "cryptdevice=", "cryptroot=",
    /* Gentoo's. */
    "crypt_root=", "crypt_swap="};

static bool ends_value(char c)
{
    return !c || strchr(" \t\r\n\"'\\;", c);
}

/* Which of the words starts at text + at, as a word of its own? */
static size_t word_at(const char *text, size_t at)
{
    char before = at ? text[at - 1] : ' ';

    if (!strchr(" \t\n\"'=", before))
        return 0;
    for (size_t i = 0; i < RH_COUNT(words); i++)
        if (!strncmp(text + at, words[i], strlen(words[i])))
            return strlen(words[i]);
    return 0;
}

/* console=hvc0 is Xen's; a console that is not there blocks the login. */
static size_t console_at(const char *text, size_t at)
{
    if ((at && !strchr(" \t\n\"'=", text[at - 1])) ||
        (strncmp(text + at, "console=hvc0", 12) &&
         strncmp(text + at, "console=xvc0", 12)))
        return 0;
    return 12;
}

/* A comment, which nobody reads: but update-grub of GRUB Legacy takes the
 * arguments of new entries from "# kopt=". */
static bool is_comment(const char *line)
{
    line += strspn(line, " \t");
    return *line == '#' && strncmp(line, "# kopt", 6);
}

static void add_for_kernel(struct rh_fix_job *j, const char *spec,
                           const char *stable, struct rh_buf *out)
{
    const struct rh_volume *v = rh_volume_of(j, spec);

    if (v && v->part_uuid && is_unique_part(j->s, v->part_uuid))
        rh_buf_printf(out, "PARTUUID=%s", v->part_uuid);
    else
        rh_buf_puts(out, stable);
}

char *rh_edit_arguments(struct rh_fix_job *j, const char *path,
                        const char *text, bool consoles)
{
    struct rh_buf out = {0};
    bool changed = false;
    size_t at = 0, n;

    while (text[at]) {
        RH_AUTO(rh_freep) char *spec = NULL;
        RH_AUTO(rh_freep) char *stable = NULL;
        bool lost = false, colon;
        size_t end;

        if ((!at || text[at - 1] == '\n') && is_comment(text + at)) {
            n = strcspn(text + at, "\n");
            rh_buf_add(&out, text + at, n);
            at += n;
            continue;
        }
        if (consoles && (n = console_at(text, at))) {
            rh_buf_puts(&out, "console=tty0");
            at += n;
            changed = true;
            continue;
        }
        n = consoles ? 0 : word_at(text, at);
        if (!n) {
            rh_buf_putc(&out, text[at++]);
            continue;
        }
        n += text[at + n] == '"' || text[at + n] == '\''; /* root="/dev/sda1" */
        /* cryptdevice=/dev/sda2:name; names by path have colons as well. */
        colon = !strncmp(text + at, "cryptdevice=", 12);
        for (end = at + n; !ends_value(text[end]); end++)
            if (colon && text[end] == ':')
                break;
        spec = rh_strndup(text + at + n, end - at - n);
        stable = rh_stable_name(j, spec, &lost);
        if (lost)
            say_lost(j, path, spec);
        rh_buf_add(&out, text + at, n);
        if (stable && kernel_mounts_root(rh_linux_of(j)))
            add_for_kernel(j, spec, stable, &out);
        else
            rh_buf_puts(&out, stable ? stable : spec);
        changed |= stable != NULL;
        at = end;
    }
    if (changed)
        return rh_buf_take(&out);
    rh_buf_free(&out);
    return NULL;
}

/* --- every file a boot loader reads
 * ------------------------------------------------------ */
static const char *const boot_files[] = {
    "/boot/grub/grub.cfg",       "/boot/grub2/grub.cfg",
    "/boot/grub/grub.conf",      "/boot/grub/menu.lst",
    "/boot/grub2/user.cfg",      "/boot/grub/custom.cfg",
    "/boot/grub2/custom.cfg",    "/boot/extlinux/extlinux.conf",
    "/boot/extlinux.conf",       "/boot/syslinux/syslinux.cfg",
    "/boot/photon.cfg",          "/boot/systemd.cfg",
    "/etc/default/grub",         "/etc/sysconfig/grub",
    "/etc/sysconfig/bootloader", "/etc/kernel/cmdline",
    "/etc/default/extlinux",     "/etc/default/u-boot",
    "/etc/update-extlinux.conf",
};
static const char *const boot_folders[] = {
    "/boot/loader/entries", "/boot/efi/loader/entries",
    "/efi/loader/entries",  "/etc/default/grub.d",
    "/etc/grub.d",
};
static const char *const grubenvs[] = {"/boot/grub2/grubenv",
                                       "/boot/grub/grubenv"};

static int fix_file(struct rh_fix_job *j, const char *path, bool consoles,
                    const char *what, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *after = NULL;

    if (text_of(j, path, &text, err) < 0)
        return -1;
    after = text ? rh_edit_arguments(j, path, text, consoles) : NULL;
    return put_after(j, path, after, what, err);
}

/* A block of exactly 1024 bytes, filled up with '#'. */
static int fix_grubenv(struct rh_fix_job *j, const char *path, bool consoles,
                       const char *what, rh_error **err)
{
    enum { SIZE = 1024 };
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, NULL);
    RH_AUTO(rh_freep) char *after = NULL;
    char block[SIZE];
    size_t n = text ? strlen(text) : 0;

    if (n != SIZE || strncmp(text, "# GRUB Environment Block\n", 25))
        return 0;
    while (n && text[n - 1] == '#')
        n--;
    text[n] = '\0';
    after = rh_edit_arguments(j, path, text, consoles);
    if (!after)
        return 0;
    if (strlen(after) > SIZE) {
        rh_finding_add(j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
                       N_("%s is full: the longer, lasting name of the root "
                          "device does not fit into it"),
                       path);
        return 0;
    }
    memset(block, '#', SIZE);
    memcpy(block, after, strlen(after));
    return rh_fix_put(j, path, block, SIZE, 0644, what, err);
}

static int fix_folder(struct rh_fix_job *j, const char *folder, bool consoles,
                      const char *what, rh_error **err)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(j->guest, folder);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);

        if (fix_file(j, path, consoles, what, err) < 0)
            return -1;
    }
    return 0;
}

/* grubenv of the vendors' folders on the EFI system partition. */
static int fix_vendors(struct rh_fix_job *j, bool consoles, const char *what,
                       rh_error **err)
{
    for (size_t i = 0; rh_esp_tops[i]; i++) {
        RH_AUTO(rh_freep) char *efi = rh_printf("%s/EFI", rh_esp_tops[i]);
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(j->guest, efi);

        for (size_t k = 0; names && names[k]; k++) {
            RH_AUTO(rh_freep)
            char *path = rh_printf("%s/%s/grubenv", efi, names[k]);

            if (fix_grubenv(j, path, consoles, what, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* Every menu that was found, on the ESP as well.  LILO reads none: what its
 * file says counts when lilo runs the next time, with names of that machine. */
static int fix_menus(struct rh_fix_job *j, bool consoles, const char *what,
                     rh_error **err)
{
    const struct rh_linux *l = rh_linux_of(j);

    for (size_t i = 0; i < l->menus.count; i++)
        if (strcmp(l->menus.items[i], "/etc/lilo.conf") &&
            fix_file(j, l->menus.items[i], consoles, what, err) < 0)
            return -1;
    return 0;
}

static int fix_boot_files(struct rh_fix_job *j, bool consoles, const char *what,
                          rh_error **err)
{
    for (size_t i = 0; i < RH_COUNT(boot_files); i++)
        if (fix_file(j, boot_files[i], consoles, what, err) < 0)
            return -1;
    for (size_t i = 0; i < RH_COUNT(boot_folders); i++)
        if (fix_folder(j, boot_folders[i], consoles, what, err) < 0)
            return -1;
    for (size_t i = 0; i < RH_COUNT(grubenvs); i++)
        if (fix_grubenv(j, grubenvs[i], consoles, what, err) < 0)
            return -1;
    return fix_vendors(j, consoles, what, err) < 0
               ? -1
               : fix_menus(j, consoles, what, err);
}

/* Arguments inside of a unified image. */
static void say_sealed(struct rh_fix_job *j, const struct rh_kernel *k)
{
    const char *text = k->arguments;

    for (size_t at = 0, n; text && text[at]; at++) {
        RH_AUTO(rh_freep) char *spec = NULL;
        size_t end = at + (n = word_at(text, at));

        if (!n)
            continue;
        while (!ends_value(text[end]))
            end++;
        spec = rh_strndup(text + at + n, end - at - n);
        if (is_unstable(spec) && (rh_scan_plain(j) || is_by_link(spec)))
            rh_finding_add(
                j->o->findings, RH_F_GUEST_DEVICE_NAME, "os",
                N_("the arguments in the unified kernel image %s name %s, which "
                   "may be another disk on the new machine; they cannot be "
                   "changed"),
                k->image, spec);
    }
}

int rh_fix_boot_arguments(struct rh_fix_job *j, rh_error **err)
{
    for (size_t i = 0; i < rh_linux_of(j)->kernels.count; i++)
        say_sealed(j, &rh_linux_of(j)->kernels.items[i]);
    return fix_boot_files(j, false,
                          _("root and resume by UUID instead of by device "
                            "name"),
                          err);
}

int rh_fix_console(struct rh_fix_job *j, rh_error **err)
{
    return fix_boot_files(
        j, true, _("the console of a Xen PV guest becomes the screen"), err);
}

int rh_fix_resume(struct rh_fix_job *j, rh_error **err)
{
    if (fix_file(j, "/etc/initramfs-tools/initramfs.conf", false,
                 _("root and resume by UUID instead of by device name"),
                 err) < 0)
        return -1;
    return fix_file(j, "/etc/initramfs-tools/conf.d/resume", false,
                    _("resume by UUID instead of by device name"), err);
}

/* --- lists that hide disks on other hardware
 * ----------------------------------------------- */
static int drop_all(struct rh_fix_job *j, const char *const *paths,
                    const char *what, rh_error **err)
{
    for (; *paths; paths++)
        if (rh_fix_drop(j, *paths, what, err) < 0)
            return -1;
    return 0;
}

int rh_fix_device_map(struct rh_fix_job *j, rh_error **err)
{
    static const char *const paths[] = {
        "/boot/grub/device.map", "/boot/grub2/device.map",
        "/etc/blkid/blkid.tab", "/etc/blkid.tab", NULL};

    return drop_all(j, paths,
                    _("remove the list of the old machine's disks; it is made "
                      "anew when needed"),
                    err);
}

/* Those of the files (NULL-ended) that are there, as `edit` has them; where it
 * gives NULL they stay. */
static int edit_each(struct rh_fix_job *j, const char *const *paths,
                     char *(*edit)(struct rh_fix_job *j, const char *text),
                     const char *what, rh_error **err)
{
    for (size_t i = 0; paths[i]; i++) {
        RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, paths[i], NULL);
        RH_AUTO(rh_freep) char *after = text ? edit(j, text) : NULL;

        if (put_after(j, paths[i], after, what, err) < 0)
            return -1;
    }
    return 0;
}

int rh_fix_lvm_filter(struct rh_fix_job *j, rh_error **err)
{
    static const char *const paths[] = {"/etc/lvm/devices/system.devices",
                                        "/etc/lvm/cache/.cache", NULL};
    static const char *const confs[] = {"/etc/lvm/lvm.conf",
                                        "/etc/lvm/lvmlocal.conf", NULL};
    static const char *const arrays[] = {"/etc/mdadm.conf",
                                         "/etc/mdadm/mdadm.conf", NULL};

    if (edit_each(j, confs, rh_without_lvm_filters,
                  _("LVM looks at every disk, not at the old machine's names "
                    "only"),
                  err) < 0 ||
        edit_each(j, arrays, rh_without_md_devices,
                  _("arrays are looked for on every disk, not on the old "
                    "machine's names only"),
                  err) < 0)
        return -1;
    return drop_all(j, paths, _("remove LVM's list of the old machine's disks"),
                    err);
}
