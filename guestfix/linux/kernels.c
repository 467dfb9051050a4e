/* kernels.c - the kernels that can be booted, and their initramfs images.
 *
 * A kernel is a folder of modules with an image in /boot.  Boot loader entries
 * say which initramfs belongs to it where they name both; else the names that
 * distributions use are tried. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

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
    if (rh_initramfs_read(bytes, n, &k->content, &why) < 0)
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
        const char *known = l->kernels.items[i].initramfs;

        if (known && k->initramfs && !strcmp(known, k->initramfs))
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

/* --- boot loader entries: images of any name, on the ESP as well
 * ------------------------------------------------------------------ */
static const struct {
    const char *folder, *top; /* paths in an entry count from `top` */
} entry_folders[] = {
    {"/boot/loader/entries", "/boot"},
    {"/boot/loader/entries", ""},
    {"/boot/efi/loader/entries", "/boot/efi"},
    {"/efi/loader/entries", "/efi"},
};

/* The last value of a key, up to a blank ("initrd" may stand twice: microcode
 * comes first); as a path below top. */
static char *entry_path(struct rh_linux *l, const char *text, const char *key,
                        const char *top)
{
    size_t n = strlen(key);
    char *found = NULL;

    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, key, n) || !strchr(" \t", p[n]))
            continue;
        p += n + strspn(p + n, " \t");
        if (*p == '/')
            found = rh_arena_printf(l->arena, "%s%.*s", top,
                                    (int)strcspn(p, " \t\r\n"), p);
    }
    return found && rh_guest_exists(l->guest, found) ? found : NULL;
}

/* The modules' folder whose name stands in the entry, longest first. */
static const char *version_in(char **versions, const char *text)
{
    const char *best = NULL;

    for (size_t i = 0; versions && versions[i]; i++)
        if (strstr(text, versions[i]) &&
            (!best || strlen(versions[i]) > strlen(best)))
            best = versions[i];
    return best;
}

static int by_entry(struct rh_linux *l, const char *path, const char *top,
                    char **versions, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, NULL);
    const char *version = text ? version_in(versions, text) : NULL;
    struct rh_kernel k = {0};

    if (!version)
        return 0;
    k.image = entry_path(l, text, "linux", top);
    k.initramfs = entry_path(l, text, "initrd", top);
    k.version = rh_arena_strdup(l->arena, version);
    return k.image && k.initramfs ? add_kernel(l, &k, err) : 0;
}

static int by_entries(struct rh_linux *l, char **versions, rh_error **err)
{
    for (size_t i = 0; i < RH_COUNT(entry_folders); i++) {
        const char *folder = entry_folders[i].folder;
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(l->guest, folder);

        for (size_t k = 0; names && names[k]; k++) {
            RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[k]);

            if (by_entry(l, path, entry_folders[i].top, versions, err) < 0)
                return -1;
        }
    }
    return 0;
}

int rh_linux_kernels(struct rh_linux *l, rh_error **err)
{
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(l->guest, "/lib/modules");

    for (size_t i = 0; names && names[i]; i++) {
        struct rh_kernel k = {0};

        k.version = rh_arena_strdup(l->arena, names[i]);
        find_images(l, &k);
        /* Modules without a kernel are what an uninstalled one left. */
        if (k.image && add_kernel(l, &k, err) < 0)
            return -1;
    }
    return by_entries(l, names, err);
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
    {"/etc/lilo.conf", "lilo"},
};

static void add_loader(struct rh_linux *l, const char *name)
{
    for (size_t i = 0; i < l->loaders.count; i++)
        if (!strcmp(l->loaders.items[i], name))
            return;
    *rh_vec_add(&l->loaders) = name;
}

/* A kernel, its initramfs and its command line in one signed file. */
static bool has_uki(struct rh_guest *g)
{
    static const char *const folders[] = {"/boot/efi/EFI/Linux",
                                          "/efi/EFI/Linux", "/boot/EFI/Linux"};

    for (size_t i = 0; i < RH_COUNT(folders); i++) {
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(g, folders[i]);

        for (size_t k = 0; names && names[k]; k++) {
            size_t n = strlen(names[k]);

            if (n > 4 && !strcasecmp(names[k] + n - 4, ".efi"))
                return true;
        }
    }
    return false;
}

/* A vendor's folder with GRUB in it. */
static bool has_efi_grub(struct rh_guest *g, const char *top)
{
    static const char *const files[] = {"grubx64.efi", "grubaa64.efi",
                                        "grubia32.efi", "grub.efi"};
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(g, top);

    for (size_t i = 0; names && names[i]; i++)
        for (size_t k = 0; k < RH_COUNT(files); k++) {
            RH_AUTO(rh_freep)
            char *path = rh_printf("%s/%s/%s", top, names[i], files[k]);

            if (rh_guest_exists(g, path))
                return true;
        }
    return false;
}

void rh_linux_loaders(struct rh_linux *l)
{
    bool efi = rh_guest_is_dir(l->guest, "/boot/efi/EFI") ||
               rh_guest_is_dir(l->guest, "/efi/EFI") ||
               rh_guest_is_dir(l->guest, "/boot/EFI");

    for (size_t i = 0; i < RH_COUNT(loaders); i++)
        if (rh_guest_exists(l->guest, loaders[i].path))
            add_loader(l, loaders[i].name);
    l->uki = has_uki(l->guest);
    if (l->uki)
        add_loader(l, "uki");
    if (has_efi_grub(l->guest, "/boot/efi/EFI") ||
        has_efi_grub(l->guest, "/efi/EFI"))
        add_loader(l, "grub2-efi");
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
