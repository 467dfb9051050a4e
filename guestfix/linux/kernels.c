/* kernels.c - the kernels that can be booted, and their initramfs images.
 *
 * A kernel is a folder of modules with an image in /boot.  Boot loader entries
 * say which initramfs belongs to it where they name both; else the names that
 * distributions use are tried. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "guestfix/linux/linux.h"

enum { KERNELS_MAX = 64 };
#define IMAGE_MAX (512 * RH_MIB)

/* %s: the kernel's version, or its flavour where the file has no version. */
static const char *const image_names[] = {
    "/boot/vmlinuz-%s", "/boot/vmlinux-%s",        "/boot/kernel-%s",
    "/boot/bzImage-%s", "/lib/modules/%s/vmlinuz", NULL};
static const char *const initramfs_names[] = {
    "/boot/initrd.img-%s", "/boot/initramfs-%s.img", "/boot/initrd-%s.img",
    "/boot/initrd-%s",     "/boot/initramfs-%s",     NULL};

static char *first_there(struct rh_linux *l, const char *const *patterns,
                         const char *word)
{
    for (; *patterns; patterns++) {
        const char *at = strstr(*patterns, "%s");
        RH_AUTO(rh_freep)
        char *path = rh_printf("%.*s%s%s", (int)(at - *patterns), *patterns,
                               word, at + 2);

        if (rh_guest_exists(l->guest, path))
            return rh_arena_strdup(l->arena, path);
    }
    return NULL;
}

/* Arch and Alpine name images by flavour: "linux-lts", "lts", "virt". */
static char *flavour(struct rh_linux *l, const char *version)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/lib/modules/%s/pkgbase", version);
    RH_AUTO(rh_freep) char *base = rh_guest_text(l->guest, path, NULL);
    const char *dash = strrchr(version, '-');

    if (base) {
        base[strcspn(base, "\n")] = '\0';
        return *base ? rh_arena_strdup(l->arena, base) : NULL;
    }
    return dash && dash[1] ? rh_arena_strdup(l->arena, dash + 1) : NULL;
}

static void find_images(struct rh_linux *l, struct rh_kernel *k)
{
    const char *word;

    k->image = first_there(l, image_names, k->version);
    k->initramfs = first_there(l, initramfs_names, k->version);
    if (k->image && k->initramfs)
        return;
    word = flavour(l, k->version);
    if (!word || strpbrk(word, "/%"))
        return;
    if (!k->image || !strncmp(k->image, "/lib/", 5)) {
        const char *image = first_there(l, image_names, word);

        k->image = image ? image : k->image;
    }
    if (!k->initramfs)
        k->initramfs = first_there(l, initramfs_names, word);
}

/* An image that cannot be understood is a fact, not a failure. */
static int read_initramfs(struct rh_linux *l, struct rh_kernel *k,
                          rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    RH_AUTO(rh_freep) void *bytes = NULL;
    size_t n;

    if (l->guest->ops->read(l->guest, k->initramfs, IMAGE_MAX, &bytes, &n,
                            err) < 0)
        return -1;
    if (rh_initramfs_read(bytes, n, l->lib, &k->content, &why) < 0)
        k->unknown = true;
    else
        k->read = true;
    return 0;
}

/* Takes the kernel; one that has the same initramfs is there already. */
static int add_kernel(struct rh_linux *l, struct rh_kernel *k, rh_error **err)
{
    if (k->initramfs) {
        RH_AUTO(rh_freep) char *real = rh_guest_real(l->guest, k->initramfs);

        k->initramfs = rh_arena_strdup(l->arena, real);
    }
    for (size_t i = 0; i < l->kernels.count; i++) {
        const struct rh_kernel *known = &l->kernels.items[i];

        if (known->initramfs && k->initramfs &&
            !strcmp(known->initramfs, k->initramfs))
            return 0;
        if (!k->initramfs && !strcmp(known->image, k->image))
            return 0;
    }
    if (l->kernels.count == KERNELS_MAX)
        return 0;
    if (k->initramfs && read_initramfs(l, k, err) < 0) {
        rh_initramfs_free(&k->content);
        return -1;
    }
    *rh_vec_add(&l->kernels) = *k;
    return 0;
}

/* --- what a kernel's file says of itself
 * ------------------------------------------------------------------ */
/* Linux, Documentation/arch/x86/boot.rst: "HdrS" at 0x202, and at 0x20e where
 * the version's text lies, less 0x200. */
char *rh_kernel_version(const void *bytes, size_t n)
{
    enum { MAGIC_AT = 0x202, VERSION_AT = 0x20e, SECTOR = 0x200 };
    const uint8_t *p = bytes;
    size_t at, length;

    if (n < VERSION_AT + 2 || memcmp(p + MAGIC_AT, "HdrS", 4))
        return NULL;
    at = (size_t)rh_le16(p + VERSION_AT) + SECTOR;
    for (length = 0; at + length < n && length < 128; length++)
        if (p[at + length] <= ' ' || p[at + length] > '~')
            break;
    return length && at + length < n && !memchr(p + at, '/', length)
               ? rh_strndup((const char *)p + at, length)
               : NULL;
}

/* The modules' folder whose name stands in the text, longest first. */
static const char *version_in(char **versions, const char *text)
{
    const char *best = NULL;

    for (size_t i = 0; text && versions && versions[i]; i++)
        if (strstr(text, versions[i]) &&
            (!best || strlen(versions[i]) > strlen(best)))
            best = versions[i];
    return best;
}

static bool is_version(char **versions, const char *text)
{
    for (size_t i = 0; text && versions && versions[i]; i++)
        if (!strcmp(text, versions[i]))
            return true;
    return false;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* memtest and the like are started by the same word. */
static bool is_kernel_name(const char *name)
{
    static const char *const stems[] = {"vmlinu", "bzimage", "kernel",
                                        "linux",  "huge",    "generic"};

    for (size_t i = 0; i < RH_COUNT(stems); i++)
        if (!strncasecmp(name, stems[i], strlen(stems[i])))
            return true;
    return strstr(name, "vmlinuz") || strstr(name, "bzImage");
}

/* A kernel that no folder of modules belongs to is called by its file. */
static const char *version_of(struct rh_linux *l, const char *image,
                              char **versions)
{
    const char *known = version_in(versions, base_of(image));
    RH_AUTO(rh_freep) void *bytes = NULL;
    RH_AUTO(rh_freep) char *own = NULL;
    size_t n;

    if (known)
        return rh_arena_strdup(l->arena, known);
    if (l->guest->ops->read(l->guest, image, IMAGE_MAX, &bytes, &n, NULL) == 0)
        own = rh_kernel_version(bytes, n);
    if (own && (is_version(versions, own) || !versions || !versions[0]))
        return rh_arena_strdup(l->arena, own);
    if (versions && versions[0] && !versions[1] && !own &&
        is_kernel_name(base_of(image)))
        return rh_arena_strdup(l->arena, versions[0]);
    return rh_arena_strdup(l->arena, own ? own : base_of(image));
}

/* --- by the boot loader's menu
 * ------------------------------------------------------------------ */
/* The last one: microcode comes first. */
static const char *initramfs_of(const struct rh_boot_entry *e)
{
    const char *last = NULL;

    for (size_t i = 0; i < RH_ENTRY_INITRDS && e->initrds[i]; i++)
        if (!strstr(base_of(e->initrds[i]), "ucode"))
            last = e->initrds[i];
    return last;
}

static int by_entry(struct rh_linux *l, const struct rh_boot_entry *e,
                    char **versions, rh_error **err)
{
    struct rh_kernel k = {.image = e->image};
    const char *known;

    if (!e->image || rh_is_efi_program(e->image))
        return 0;
    k.initramfs = initramfs_of(e);
    known = version_in(versions, k.initramfs ? k.initramfs : e->image);
    if (!known)
        known = version_in(versions, e->image);
    k.version = known ? rh_arena_strdup(l->arena, known)
                      : version_of(l, e->image, versions);
    if (!is_kernel_name(base_of(e->image)) && !is_version(versions, k.version))
        return 0;
    return add_kernel(l, &k, err);
}

/* --- unified images
 * ------------------------------------------------------------------ */
static int by_unified(struct rh_linux *l, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    struct rh_kernel k = {.unified = true};
    const void *initrd, *uname, *arguments;
    size_t n, size;

    if (l->kernels.count == KERNELS_MAX ||
        l->guest->ops->read(l->guest, path, IMAGE_MAX, &bytes, &n, NULL) < 0 ||
        !rh_pe_section(bytes, n, ".linux", &size))
        return 0;
    k.image = k.initramfs = rh_arena_strdup(l->arena, path);
    uname = rh_pe_section(bytes, n, ".uname", &size);
    k.version = uname ? rh_arena_strndup(l->arena, uname,
                                         strnlen(uname, RH_MIN(size, 128ul)))
                      : rh_arena_strdup(l->arena, base_of(path));
    arguments = rh_pe_section(bytes, n, ".cmdline", &size);
    if (arguments)
        k.arguments = rh_arena_strndup(
            l->arena, arguments, strnlen(arguments, RH_MIN(size, 4096ul)));
    initrd = rh_pe_section(bytes, n, ".initrd", &size);
    if (!initrd)
        k.initramfs = NULL;
    else if (rh_initramfs_read(initrd, size, l->lib, &k.content, &why) < 0)
        k.unknown = true;
    else
        k.read = true;
    (void)err;
    l->uki = true;
    *rh_vec_add(&l->kernels) = k;
    return 0;
}

static int by_unified_all(struct rh_linux *l, rh_error **err)
{
    for (size_t t = 0; rh_esp_tops[t]; t++) {
        RH_AUTO(rh_freep)
        char *folder = rh_printf("%s/EFI/Linux", rh_esp_tops[t]);
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(l->guest, folder);

        for (size_t i = 0; names && names[i]; i++) {
            RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);

            if (rh_is_efi_program(names[i]) && by_unified(l, path, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* --- by names
 * ------------------------------------------------------------------ */
/* Files in /boot that carry no version: Slackware's, those of appliances. */
static int by_files(struct rh_linux *l, char **versions, rh_error **err)
{
    static const char *const initrds[] = {
        "/boot/initrd.img", "/boot/initramfs.img", "/boot/initrd.gz",
        "/boot/initrd",     "/boot/initramfs",     "/boot/initrd.lz"};
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(l->guest, "/boot");

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("/boot/%s", names[i]);
        struct rh_kernel k = {0};

        if (!is_kernel_name(names[i]) || rh_guest_is_dir(l->guest, path))
            continue;
        k.image = rh_arena_strdup(l->arena, path);
        k.version = version_of(l, path, versions);
        for (size_t n = 0; n < RH_COUNT(initrds) && !k.initramfs; n++)
            if (rh_guest_exists(l->guest, initrds[n]))
                k.initramfs = initrds[n];
        if (add_kernel(l, &k, err) < 0)
            return -1;
    }
    return 0;
}

/* One with an initramfs was found in a menu already. */
static bool is_known(const struct rh_linux *l, const struct rh_kernel *k)
{
    for (size_t i = 0; i < l->kernels.count; i++)
        if (!k->initramfs && !strcmp(l->kernels.items[i].version, k->version))
            return true;
    return false;
}

static int by_versions(struct rh_linux *l, char **versions, rh_error **err)
{
    for (size_t i = 0; versions && versions[i]; i++) {
        struct rh_kernel k = {0};

        k.version = rh_arena_strdup(l->arena, versions[i]);
        find_images(l, &k);
        /* Modules without a kernel are what an uninstalled one left. */
        if (k.image && !is_known(l, &k) && add_kernel(l, &k, err) < 0)
            return -1;
    }
    return 0;
}

int rh_linux_kernels(struct rh_linux *l, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *folder = rh_printf("%s/lib/modules", l->modules_top);
    RH_AUTO(rh_name_list_freep)
    char **versions = rh_guest_names(l->guest, folder);

    for (size_t i = 0; i < l->entries.count; i++)
        if (by_entry(l, &l->entries.items[i], versions, err) < 0)
            return -1;
    if (by_versions(l, versions, err) < 0 || by_unified_all(l, err) < 0)
        return -1;
    return l->kernels.count ? 0 : by_files(l, versions, err);
}

/* --- boot loaders
 * ------------------------------------------------------------------ */
static const struct {
    const char *path, *name;
} loaders[] = {
    {"/boot/grub/grub.cfg", "grub2"},
    {"/boot/grub2/grub.cfg", "grub2"},
    {"/boot/grub/i386-pc", "grub2-bios"},
    {"/boot/grub2/i386-pc", "grub2-bios"},
    {"/boot/grub/x86_64-efi", "grub2-efi"},
    {"/boot/grub2/x86_64-efi", "grub2-efi"},
    {"/boot/grub/grub.conf", "grub-legacy"},
    {"/boot/grub/menu.lst", "grub-legacy"},
    {"/boot/loader/entries", "bls"},
    {"/boot/efi/loader/entries", "systemd-boot"},
    {"/efi/loader/entries", "systemd-boot"},
    {"/boot/efi/EFI/systemd", "systemd-boot"},
    {"/efi/EFI/systemd", "systemd-boot"},
    {"/boot/EFI/systemd", "systemd-boot"},
    {"/boot/extlinux/extlinux.conf", "extlinux"},
    {"/boot/extlinux.conf", "extlinux"},
    {"/boot/syslinux/syslinux.cfg", "syslinux"},
    {"/boot/limine.conf", "limine"},
    {"/boot/limine/limine.conf", "limine"},
    {"/boot/limine.cfg", "limine"},
    {"/etc/lilo.conf", "lilo"},
};

static void add_loader(struct rh_linux *l, const char *name)
{
    for (size_t i = 0; i < l->loaders.count; i++)
        if (!strcmp(l->loaders.items[i], name))
            return;
    *rh_vec_add(&l->loaders) = name;
}

/* In a vendor's folder on the ESP. */
static const struct {
    const char *file, *name;
} efi_loaders[] = {
    {"grubx64.efi", "grub2-efi"},
    {"grubaa64.efi", "grub2-efi"},
    {"grubia32.efi", "grub2-efi"},
    {"grub.efi", "grub-legacy-efi"},
    {"refind_x64.efi", "refind"},
    {"elilo.efi", "elilo"},
    {"limine_x64.efi", "limine"},
    {"limine.conf", "limine"},
    {"systemd-bootx64.efi", "systemd-boot"},
};

static void efi_loaders_in(struct rh_linux *l, const char *top)
{
    RH_AUTO(rh_freep) char *efi = rh_printf("%s/EFI", top);
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, efi);

    for (size_t i = 0; names && names[i]; i++)
        for (size_t k = 0; k < RH_COUNT(efi_loaders); k++) {
            RH_AUTO(rh_freep)
            char *path =
                rh_printf("%s/%s/%s", efi, names[i], efi_loaders[k].file);

            if (rh_guest_exists(l->guest, path))
                add_loader(l, efi_loaders[k].name);
        }
}

void rh_linux_loaders(struct rh_linux *l)
{
    bool efi = rh_guest_is_dir(l->guest, "/boot/efi/EFI") ||
               rh_guest_is_dir(l->guest, "/efi/EFI") ||
               rh_guest_is_dir(l->guest, "/boot/EFI");

    for (size_t i = 0; i < RH_COUNT(loaders); i++)
        if (rh_guest_exists(l->guest, loaders[i].path))
            add_loader(l, loaders[i].name);
    if (l->uki)
        add_loader(l, "uki");
    for (size_t i = 0; rh_esp_tops[i]; i++)
        efi_loaders_in(l, rh_esp_tops[i]);
    if (efi)
        add_loader(l, "efi");
}

void rh_module_name(const char *path, char ret[64])
{
    const char *slash = strrchr(path, '/');
    size_t n = 0;

    for (path = slash ? slash + 1 : path; *path && n < 63; path++) {
        if (!strncmp(path, ".ko", 3))
            break;
        ret[n++] = *path == '-' ? '_' : *path;
    }
    ret[n] = '\0';
}
