/* initramfs.c - the drivers the new machine boots with, in every kernel's
 * initramfs.
 *
 * Nothing of the guest is run.  A small archive with the guest's own modules is
 * appended, only where one is missing; the image as it was stays beside it
 * when there is room.  The module path is the archive's own, and the guest's
 * whole indexes go along: modprobe and udev inside read those. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "guestfix/linux/fixes/drivers.h"

#define MODULE_MAX (64 * RH_MIB)
#define IMAGE_MAX  (512 * RH_MIB)
#define SPARE      (2 * RH_MIB) /* left free in /boot */

/* --- the segment
 * ------------------------------------------------------------------- */
static bool is_index(const char *name)
{
    return !strncmp(name, "modules.", 8) &&
           strncmp(name, "modules.symbols", 15);
}

static int put_file(struct rh_guest *g, struct rh_segment *s, const char *from,
                    const char *to, rh_error **err)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    size_t n;

    if (g->ops->read(g, from, MODULE_MAX, &bytes, &n, err) < 0)
        return -1;
    rh_segment_file(s, to, bytes, n, 0644);
    return 0;
}

static int put_modules(struct rh_fix_job *j, const struct rh_kernel *k,
                       const struct rh_modules *m, const struct rh_addition *a,
                       struct rh_segment *s, rh_error **err)
{
    const char *at = k->content.modules_at    ? k->content.modules_at
                     : k->content.lib_is_link ? "usr/lib/modules"
                                              : "lib/modules";
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(j->guest, m->folder);

    for (size_t i = 0; i < a->files.count; i++) {
        RH_AUTO(rh_freep)
        char *from = rh_printf("%s/%s", m->folder, a->files.items[i]);
        RH_AUTO(rh_freep)
        char *to = rh_printf("%s/%s/%s", at, k->version, a->files.items[i]);

        if (put_file(j->guest, s, from, to, err) < 0)
            return -1;
    }
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *from = rh_printf("%s/%s", m->folder, names[i]);
        RH_AUTO(rh_freep)
        char *to = rh_printf("%s/%s/%s", at, k->version, names[i]);
        struct rh_guest_stat st;

        if (!is_index(names[i]) ||
            j->guest->ops->stat(j->guest, from, true, &st, NULL) < 0 ||
            st.type != 'f')
            continue;
        if (put_file(j->guest, s, from, to, err) < 0)
            return -1;
    }
    return 0;
}

/* --- small files that are replaced in the image
 * ------------------------------------------------------------------- */
/* What the image lacks besides drivers. */
struct extras {
    struct rh_segment *s;
    bool needed; /* it would not boot, or not find its network, without */
};

static void add_text(struct extras *x, const char *path, const char *text,
                     unsigned mode)
{
    rh_segment_file(x->s, path, text, strlen(text), mode);
}

/* The whole old list and the new names, each once. */
static void add_conf_modules(const struct rh_kernel *k,
                             const struct rh_addition *a, struct extras *x)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    const char *old = rh_initramfs_text(&k->content, "conf/modules");

    rh_buf_puts(&b, old ? old : "");
    if (b.length && b.data[b.length - 1] != '\n')
        rh_buf_putc(&b, '\n');
    for (size_t i = 0; i < a->names.count; i++)
        rh_buf_printf(&b, "%s\n", a->names.items[i]);
    add_text(x, "conf/modules", b.data ? b.data : "", 0644);
}

static void add_resume(struct rh_fix_job *j, const struct rh_kernel *k,
                       struct extras *x)
{
    RH_AUTO(rh_freep)
    char *resume =
        rh_guest_text(j->guest, "/etc/initramfs-tools/conf.d/resume", NULL);

    if (resume && k->content.kind == RH_INITRAMFS_TOOLS)
        add_text(x, "conf/conf.d/resume", resume, 0644);
}

bool rh_disk_names_change(const struct rh_fix_job *j)
{
    static const char *const kinds[] = {"xen", "virtio-blk", "nvme"};
    const char *disk = j->o->machine->disk;

    for (size_t i = 0; disk && i < RH_COUNT(kinds); i++)
        if (!strcmp(disk, kinds[i]))
            return true;
    return false;
}

/* initrd.target wants a device: the wish is taken back by a link to /dev/null
 * of its name, and where systemd does not look at that (before 233) the unit
 * itself is masked. */
static void add_unit_off(struct extras *x, const char *path)
{
    const char *wants = strstr(path, ".wants/");
    const char *folder = wants;
    RH_AUTO(rh_freep) char *unit = NULL;

    while (folder > path && folder[-1] != '/')
        folder--;
    unit =
        rh_printf("%.*s%s", (int)(folder - path), path, strrchr(path, '/') + 1);
    rh_segment_link(x->s, path, "/dev/null");
    rh_segment_link(x->s, unit, "/dev/null");
}

/* dracut waits for the device that root was on, and gives up without it. */
static void add_waits(struct rh_fix_job *j, const struct rh_kernel *k,
                      struct extras *x)
{
    static const char gone[] =
        "# The device of the old machine is not waited for.\ntrue\n";

    for (size_t i = 0; i < k->content.waits.count; i++) {
        const struct rh_initramfs_wait *w = &k->content.waits.items[i];

        if (w->is_unit)
            add_unit_off(x, w->path);
        else
            add_text(x, w->path, gone, 0755);
        x->needed |=
            !w->off && (rh_disk_names_change(j) || strstr(w->path, "by-") ||
                        strstr(w->path, "by\\x2d"));
    }
}

/* --- second copies of the guest's configuration
 * ------------------------------------------------------------------- */
static char *edit_crypttab(struct rh_fix_job *j, const char *path,
                           const char *text)
{
    return rh_edit_table(j, path, text, 1);
}

static char *edit_fstab(struct rh_fix_job *j, const char *path,
                        const char *text)
{
    return rh_edit_table(j, path, text, 0);
}

static char *edit_mdadm(struct rh_fix_job *j, const char *path,
                        const char *text)
{
    (void)path;
    return rh_without_md_devices(j, text);
}

static char *edit_cmdline(struct rh_fix_job *j, const char *path,
                          const char *text)
{
    return rh_edit_arguments(j, path, text, false);
}

static const struct {
    const char *path; /* begins so */
    char *(*edit)(struct rh_fix_job *j, const char *path, const char *text);
} copies[] = {
    {"etc/crypttab", edit_crypttab},
    {"cryptroot/crypttab", edit_crypttab},
    {"etc/fstab", edit_fstab},
    {"etc/mdadm.conf", edit_mdadm},
    {"etc/mdadm/mdadm.conf", edit_mdadm},
    {"etc/cmdline.d/", edit_cmdline},
};

/* What a segment of ours holds already goes into the one that replaces it. */
static void add_copies(struct rh_fix_job *j, const struct rh_kernel *k,
                       struct extras *x)
{
    for (size_t i = 0; i < k->content.files.count; i++) {
        const struct rh_initramfs_file *f = &k->content.files.items[i];

        for (size_t c = 0; c < RH_COUNT(copies); c++) {
            RH_AUTO(rh_freep) char *where = NULL;
            RH_AUTO(rh_freep) char *after = NULL;

            if (strncmp(f->path, copies[c].path, strlen(copies[c].path)))
                continue;
            where = rh_printf("%s:%s", k->initramfs, f->path);
            after = copies[c].edit(j, where, f->text);
            if (after || k->content.ours)
                add_text(x, f->path, after ? after : f->text, 0644);
            x->needed |= after != NULL;
        }
    }
}

/* Does the initramfs itself bring a NIC up by its name? */
static bool says_network(const char *args)
{
    return args && (strstr(args, "ip=") || strstr(args, "rd.neednet=1") ||
                    strstr(args, "netroot=") || strstr(args, "ifname="));
}

static bool early_network(const struct rh_linux *l, const struct rh_kernel *k)
{
    for (size_t i = 0; i < l->entries.count; i++)
        if (says_network(l->entries.items[i].args))
            return true;
    for (size_t i = 0; i < k->content.files.count; i++)
        if (!strncmp(k->content.files.items[i].path, "etc/cmdline.d/", 14) &&
            says_network(k->content.files.items[i].text))
            return true;
    return false;
}

/* An interface that udev in the initramfs has named is not named again after
 * the switch to the root file system, before systemd 240: there the .link files
 * must be in the image, as update-initramfs and dracut put them there. */
static void add_links(struct rh_fix_job *j, const struct rh_kernel *k,
                      const struct rh_modules *m, struct extras *x)
{
    enum { RENAMES_AGAIN = 240 };
    static const char folder[] = "/etc/systemd/network";
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(j->guest, folder);
    bool named_there = early_network(rh_linux_of(j), k) ||
                       (rh_linux_of(j)->systemd_version < RENAMES_AGAIN &&
                        k->content.names_nics && rh_nic_driver_in(j, k, m));

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);
        RH_AUTO(rh_freep) char *text = NULL;
        const char *there = rh_initramfs_text(&k->content, path + 1);
        size_t n = strlen(names[i]);

        if (n < 5 || strcmp(names[i] + n - 5, ".link"))
            continue;
        text = rh_guest_text(j->guest, path, NULL);
        if (!text)
            continue;
        add_text(x, path + 1, text, 0644);
        x->needed |= named_there && (!there || strcmp(there, text));
    }
}

/* The rules that name NICs, where the image has a copy of its own. */
static void add_rules(struct rh_fix_job *j, const struct rh_kernel *k,
                      struct extras *x)
{
    static const char path[] = "/etc/udev/rules.d/70-persistent-net.rules";
    const char *there = rh_initramfs_text(&k->content, path + 1);
    RH_AUTO(rh_freep)
    char *text = there ? rh_guest_text(j->guest, path, NULL) : NULL;

    if (!text)
        return;
    add_text(x, path + 1, text, 0644);
    x->needed |= early_network(rh_linux_of(j), k) && strcmp(there, text) != 0;
}

/* LVM in the image has its own copy of what hides disks by the old machine's
 * names: its filter, and from RHEL 9 on a list of devices, which a later
 * archive cannot remove, but lvmlocal.conf can make unread. */
static void add_lvm(struct rh_fix_job *j, const struct rh_kernel *k,
                    struct extras *x)
{
    static const char local[] = "etc/lvm/lvmlocal.conf";
    static const char conf[] = "etc/lvm/lvm.conf";
    static const char off[] = "devices {\n\tuse_devicesfile = 0\n}\n";
    const char *old = rh_initramfs_text(&k->content, local);
    const char *filters = rh_initramfs_text(&k->content, conf);
    RH_AUTO(rh_freep)
    char *open = filters ? rh_without_lvm_filters(j, filters) : NULL;
    RH_AUTO(rh_freep) char *text = NULL;

    if (open || (filters && k->content.ours))
        add_text(x, conf, open ? open : filters, 0644);
    x->needed |= open != NULL;
    if (!rh_initramfs_text(&k->content, "etc/lvm/devices/system.devices"))
        return;
    if (old && strstr(old, off)) {
        add_text(x, local, old, 0644);
        return;
    }
    text = rh_printf("%s%s", old ? old : "", off);
    add_text(x, local, text, 0644);
    x->needed = true;
}

static void add_extras(struct rh_fix_job *j, const struct rh_kernel *k,
                       const struct rh_modules *m, const struct rh_addition *a,
                       struct extras *x)
{
    if (k->content.kind == RH_INITRAMFS_TOOLS)
        add_conf_modules(k, a, x);
    add_resume(j, k, x);
    add_waits(j, k, x);
    add_links(j, k, m, x);
    add_rules(j, k, x);
    add_copies(j, k, x);
    add_lvm(j, k, x);
}

/* --- into the image
 * ------------------------------------------------------------------- */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash > path ? rh_strndup(path, (size_t)(slash - path))
                        : rh_strdup("/");
}

/* The file itself, where the name is a link (Arch, "initrd.img -> ..."). */
static char *kept_name(const char *path)
{
    return rh_printf("%s.pre-rehost", path);
}

static void say_full(struct rh_fix_job *j, const struct rh_kernel *k,
                     uint64_t need)
{
    RH_AUTO(rh_freep) char *size = rh_human_size(need);
    RH_AUTO(rh_freep) char *folder = folder_of(k->initramfs);

    rh_finding_add(j->o->findings, RH_F_GUEST_BOOT_FULL, "os",
                   N_("%s needs %s more to hold the drivers of kernel %s"),
                   folder, size, k->version);
}

/* Keep the old one beside it when both fit; put the new one in its place. */
static int replace_image(struct rh_fix_job *j, const struct rh_kernel *k,
                         const struct rh_guest_stat *old,
                         const struct rh_buf *image, const char *old_sum,
                         rh_error **err)
{
    RH_AUTO(rh_freep) char *kept = kept_name(k->initramfs);
    RH_AUTO(rh_freep) char *folder = folder_of(k->initramfs);
    RH_AUTO(rh_freep) void *label = NULL;
    struct rh_guest *g = j->guest;
    uint64_t room;
    size_t n = 0;

    if (g->ops->free_space(g, folder, &room, err) < 0)
        return -1;
    if (g->ops->get_xattr(g, k->initramfs, "security.selinux", &label, &n,
                          NULL) < 0)
        label = NULL;
    if (room >= image->length + SPARE && !rh_guest_exists(g, kept)) {
        if (g->ops->rename(g, k->initramfs, kept, err) < 0)
            return -1;
        rh_fix_note(j, kept, _("the initramfs as it was"), NULL,
                    rh_printf("sha256:%s", old_sum));
    } else if (room + old->size >= image->length + SPARE) {
        if (g->ops->remove(g, k->initramfs, err) < 0)
            return -1;
    } else {
        say_full(j, k, image->length - old->size + SPARE - room);
        return 1;
    }
    if (g->ops->write(g, k->initramfs, image->data, image->length, old->mode,
                      err) < 0)
        return -1;
    return label ? g->ops->set_xattr(g, k->initramfs, "security.selinux", label,
                                     n, err)
                 : 0;
}

static void say_added(struct rh_fix_job *j, const struct rh_kernel *k,
                      const struct rh_addition *a)
{
    RH_AUTO(rh_freep)
    char *names = rh_addition_joined(a->names.items, a->names.count);

    if (a->needed)
        rh_finding_add(j->o->findings, RH_F_BOOT_DRIVER_MISSING, "os",
                       N_("the initramfs of kernel %s lacks %s; added from the "
                          "guest's own modules"),
                       k->version, names);
}

static char *what_is_added(const struct rh_kernel *k,
                           const struct rh_addition *a)
{
    RH_AUTO(rh_freep)
    char *names = rh_addition_joined(a->names.items, a->names.count);

    return a->names.count
               ? rh_printf(_("add %s to the initramfs of kernel %s"), names,
                           k->version)
               : rh_printf(_("the initramfs of kernel %s finds disks and NICs "
                             "by what stays the same"),
                           k->version);
}

static int append(struct rh_fix_job *j, const struct rh_kernel *k,
                  struct rh_segment *s, const struct rh_addition *a,
                  rh_error **err)
{
    struct rh_guest *g = j->guest;
    RH_AUTO(rh_buf_free) struct rh_buf image = {0};
    RH_AUTO(rh_freep) void *old = NULL;
    RH_AUTO(rh_freep) char *what = NULL;
    struct rh_guest_stat st;
    char before[65], after[65];
    size_t n;
    int r;

    if (g->ops->stat(g, k->initramfs, true, &st, err) < 0 ||
        g->ops->read(g, k->initramfs, IMAGE_MAX, &old, &n, err) < 0)
        return -1;
    /* A segment of an earlier run is replaced by one that holds more. */
    rh_buf_add(&image, old, RH_MIN(n, k->content.main_end));
    if (rh_segment_finish(s, &k->content, &image, err) < 0)
        return -1;
    rh_sha256_hex(old, n, before);
    r = replace_image(j, k, &st, &image, before, err);
    if (r)
        return r < 0 ? -1 : 0;
    rh_sha256_hex(image.data, image.length, after);
    what = what_is_added(k, a);
    rh_fix_note(j, k->initramfs, what, rh_printf("sha256:%s", before),
                rh_printf("sha256:%s", after));
    say_added(j, k, a);
    return 0;
}

/* --- what cannot be done
 * --------------------------------------------------------------- */
static struct rh_finding *say_missing(struct rh_fix_job *j,
                                      const struct rh_kernel *k,
                                      const char *names, const char *why)
{
    struct rh_finding *f =
        rh_finding_add(j->o->findings, RH_F_BOOT_DRIVER_MISSING, "os",
                       N_("kernel %s lacks %s: %s"), k->version, names, why);

    if (f) {
        f->automatic = false;
        free(f->remedy);
        f->remedy = rh_strdup(_("choose other --devices, or install the "
                                "driver in the running VM and export again"));
    }
    return f;
}

/* What to type in the guest; `more`: what has to follow, or "". */
static void say_rebuild(struct rh_fix_job *j, const struct rh_kernel *k,
                        const struct rh_addition *a, const char *more,
                        struct rh_finding *f)
{
    RH_AUTO(rh_freep)
    char *command = rh_rebuild_command(
        rh_linux_of(j), k, (const char *const *)a->names.items, a->names.count);

    if (!f || !command)
        return;
    free(f->remedy);
    f->remedy = rh_printf(_("in the running VM, before the export: `%s%s`; or "
                            "choose --devices emulated where its initramfs has "
                            "the drivers for that"),
                          command, more);
}

static bool extendable(const struct rh_kernel *k)
{
    switch (k->content.kind) {
    case RH_INITRAMFS_TOOLS:
    case RH_INITRAMFS_DRACUT:
    case RH_INITRAMFS_MKINITCPIO:
    case RH_INITRAMFS_MKINITFS:
        return true;
    default:
        return false;
    }
}

/* LILO starts the blocks that it found once; it notices no other file. */
static bool starts_by_blocks(const struct rh_linux *l,
                             const struct rh_kernel *k)
{
    bool lilo = false;

    for (size_t i = 0; i < l->entries.count; i++) {
        const struct rh_boot_entry *e = &l->entries.items[i];

        if (!e->image || strcmp(e->image, k->image))
            continue;
        if (strcmp(e->where, "/etc/lilo.conf"))
            return false;
        lilo = true;
    }
    return lilo;
}

/* True when there is nothing to append, having said why. */
static bool hopeless(struct rh_fix_job *j, const struct rh_kernel *k,
                     const struct rh_addition *a)
{
    RH_AUTO(rh_freep)
    char *lost = rh_addition_joined(a->unavailable.items, a->unavailable.count);
    RH_AUTO(rh_freep)
    char *names = rh_addition_joined(a->names.items, a->names.count);

    if (a->unavailable.count)
        say_missing(j, k, lost, _("the guest has no such module"));
    if (k->unified) {
        if (a->needed || k->unknown)
            rh_finding_add(
                j->o->findings, RH_F_GUEST_UKI, "os",
                N_("%s is a unified kernel image, which cannot be added to; it "
                   "lacks %s"),
                k->image, k->unknown ? _("what cannot be told") : names);
        return true;
    }
    if (!k->initramfs) {
        if (a->needed)
            say_missing(j, k, names, _("it starts without an initramfs"));
        return true;
    }
    if (a->needed && starts_by_blocks(rh_linux_of(j), k)) {
        say_rebuild(
            j, k, a, " && lilo",
            say_missing(j, k, names,
                        _("LILO starts the initramfs that it knows by its "
                          "blocks; only lilo itself, in the guest, can give it "
                          "another")));
        return true;
    }
    if (a->needed && rh_fix_frozen(j, k->initramfs)) {
        say_missing(j, k, names, _("its initramfs is built by the system"));
        return true;
    }
    if (k->unknown || !extendable(k)) {
        if (!a->needed)
            return true;
        say_rebuild(
            j, k, a, starts_by_blocks(rh_linux_of(j), k) ? " && lilo" : "",
            rh_finding_add(
                j->o->findings, RH_F_GUEST_INITRAMFS_UNKNOWN, "os",
                N_("%s is of a kind that cannot be added to (%s); it lacks %s"),
                k->initramfs, rh_initramfs_kind_name(k->content.kind), names));
        return true;
    }
    return false;
}

/* Drivers that are good to have alone are no reason to touch an image. */
static int extend_image(struct rh_fix_job *j, const struct rh_kernel *k,
                        const struct rh_modules *m, struct rh_addition *a,
                        rh_error **err)
{
    struct rh_segment s = {0};
    struct extras x = {.s = &s};
    int r = 0;

    add_extras(j, k, m, a, &x);
    if (a->needed || x.needed) {
        rh_addition_files(a, k, m);
        r = a->files.count ? put_modules(j, k, m, a, &s, err) : 0;
        if (r == 0)
            r = append(j, k, &s, a, err);
    }
    rh_segment_free(&s);
    return r;
}

static int fix_kernel(struct rh_fix_job *j, const struct rh_kernel *k,
                      rh_error **err)
{
    RH_AUTO(rh_modules_free) struct rh_modules m = {0};
    RH_AUTO(rh_addition_free) struct rh_addition a = {0};

    rh_modules_open(rh_linux_of(j), k->version, &m);
    rh_addition_plan(j, k, &m, &a);
    return hopeless(j, k, &a) ? 0 : extend_image(j, k, &m, &a, err);
}

int rh_fix_initramfs_drivers(struct rh_fix_job *j, rh_error **err)
{
    const struct rh_linux *l = rh_linux_of(j);

    if (!l->kernels.count) {
        rh_finding_add(
            j->o->findings, RH_F_GUEST_NO_KERNEL, "os",
            N_("no kernel was found: neither a boot loader's menu nor the "
               "names in /boot tell one; whether the guest has the new "
               "machine's drivers is not known"));
        return RH_FIX_NOT_POSSIBLE;
    }
    for (size_t i = 0; i < l->kernels.count; i++) {
        if (rh_go_on(j->o->lib, err) < 0 ||
            fix_kernel(j, &l->kernels.items[i], err) < 0)
            return -1;
    }
    return 0;
}
