/* entries.c - what boot loaders start: the menus of GRUB (both), the Boot
 * Loader Specification, syslinux, LILO, ELILO, rEFInd and Limine.
 *
 * All of them are lines of a word and a value.  A menu tells which image, which
 * initramfs and which arguments belong together; names that distributions use
 * do not tell of images on the ESP, or of a kernel without a version in its
 * name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/linux.h"

enum { ENTRIES_MAX = 256, MENUS_MAX = 128 };

const char *const rh_esp_tops[] = {"/boot/efi", "/efi", "/boot", NULL};

/* --- words
 * ------------------------------------------------------------------ */
enum role { NEW, IMAGE, INITRD, ARGUMENTS };
static const struct {
    const char *word;
    enum role role;
} words[] = {
    {"menuentry", NEW},
    {"title", NEW},
    {"label", NEW},
    {"submenu", NEW},
    {"linux", IMAGE},
    {"linux16", IMAGE},
    {"linuxefi", IMAGE},
    {"kernel", IMAGE},
    {"image", IMAGE},
    {"loader", IMAGE},
    {"kernel_path", IMAGE},
    {"path", IMAGE},
    {"initrd", INITRD},
    {"initrd16", INITRD},
    {"initrdefi", INITRD},
    {"module_path", INITRD},
    {"options", ARGUMENTS},
    {"append", ARGUMENTS},
    {"cmdline", ARGUMENTS},
    {"kernel_cmdline", ARGUMENTS},
    {"add_options", ARGUMENTS},
};

struct reading {
    struct rh_linux *l;
    const char *path; /* of the menu */
    const char *top;  /* paths in it count from there first */
    struct rh_boot_entry *entry;
};

/* "(hd0,0)/x", "boot():/x", "boot:///x", "\\x" as "/x"; relative ones count
 * from the menu's folder. */
static char *plain_path(const struct reading *r, const char *word)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(word);
    const char *slash = strrchr(r->path, '/'), *p = copy;

    for (char *q = copy; *q; q++)
        if (*q == '\\')
            *q = '/';
    if (*p == '(' && strchr(p, ')'))
        p = strchr(p, ')') + 1;
    if (strstr(p, ":/") && strcspn(p, "/") > strcspn(p, ":"))
        p = strstr(p, ":/") + 1;
    while (p[0] == '/' && p[1] == '/')
        p++;
    if (*p == '/')
        return rh_strdup(p);
    return rh_printf("%.*s/%s", (int)(slash - r->path), r->path, p);
}

/* The file itself: below the menu's own top, below /boot, as it stands, or
 * below a subvolume's name ("/@/boot/vmlinuz"); NULL: nowhere. */
static const char *find_file(const struct reading *r, const char *word)
{
    RH_AUTO(rh_freep) char *path = plain_path(r, word);
    const char *inner = path[0] ? strchr(path + 1, '/') : NULL;
    const char *const tops[] = {r->top, "/boot", "", "/boot/efi"};

    if (strstr(path, "/../"))
        return NULL;
    for (size_t i = 0; i < RH_COUNT(tops); i++) {
        RH_AUTO(rh_freep) char *full = rh_printf("%s%s", tops[i], path);

        if (rh_guest_exists(r->l->guest, full) &&
            !rh_guest_is_dir(r->l->guest, full))
            return rh_arena_strdup(r->l->arena, full);
    }
    return inner && rh_guest_exists(r->l->guest, inner) &&
                   !rh_guest_is_dir(r->l->guest, inner)
               ? rh_arena_strdup(r->l->arena, inner)
               : NULL;
}

/* --- one entry
 * ------------------------------------------------------------------ */
static struct rh_boot_entry *entry_of(struct reading *r, bool anew)
{
    if (r->entry && !anew)
        return r->entry;
    if (r->l->entries.count == ENTRIES_MAX)
        return NULL;
    r->entry = rh_vec_add(&r->l->entries);
    r->entry->where = rh_arena_strdup(r->l->arena, r->path);
    return r->entry;
}

static void add_initrds(struct reading *r, struct rh_boot_entry *e,
                        const char *text, const char *separators)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(text);
    char *save;

    for (char *w = strtok_r(copy, separators, &save); w;
         w = strtok_r(NULL, separators, &save)) {
        const char *path = *w == '$' ? NULL : find_file(r, w);

        e->named_initrd = true;
        for (size_t i = 0; path && i < RH_ENTRY_INITRDS; i++)
            if (!e->initrds[i]) {
                e->initrds[i] = path;
                break;
            }
    }
}

/* syslinux, rEFInd and EFI stubs take it as an argument: initrd=\initrd.img */
static void add_arguments(struct reading *r, struct rh_boot_entry *e,
                          const char *text)
{
    const char *p = strstr(text, "initrd=");

    if (*text && !e->args)
        e->args = rh_arena_strdup(r->l->arena, text);
    for (; p; p = strstr(p + 7, "initrd=")) {
        RH_AUTO(rh_freep)
        char *word = rh_strndup(p + 7, strcspn(p + 7, " \t\"'"));

        add_initrds(r, e, word, ",");
    }
}

static void add_image(struct reading *r, char *value)
{
    char *rest = value + strcspn(value, " \t");
    struct rh_boot_entry *e =
        entry_of(r, r->entry && (r->entry->image || r->entry->named_initrd));

    if (!e)
        return;
    if (*rest)
        *rest++ = '\0';
    e->image = *value == '$' ? NULL : find_file(r, value);
    add_arguments(r, e, rest + strspn(rest, " \t"));
}

/* What stands behind the word, without its quotes. */
static char *value_of(char *line)
{
    char *end;

    line += strcspn(line, " \t=:");
    line += strspn(line, " \t=:");
    line += *line == '"' || *line == '\'';
    end = line + strlen(line);
    while (end > line && strchr(" \t\r\"'", end[-1]))
        end--;
    *end = '\0';
    return line;
}

static void read_line(struct reading *r, char *line)
{
    size_t n;

    line += strspn(line, " \t");
    n = strcspn(line, " \t=:");
    for (size_t i = 0; i < RH_COUNT(words); i++) {
        struct rh_boot_entry *e;

        if (strlen(words[i].word) != n || strncasecmp(line, words[i].word, n))
            continue;
        switch (words[i].role) {
        case NEW:
            r->entry = NULL;
            break;
        case IMAGE:
            add_image(r, value_of(line));
            break;
        case INITRD:
            if ((e = entry_of(r, false)))
                add_initrds(r, e, value_of(line), " \t,");
            break;
        case ARGUMENTS:
            if ((e = entry_of(r, false)))
                add_arguments(r, e, value_of(line));
            break;
        }
    }
}

/* --- one menu
 * ------------------------------------------------------------------ */
static bool read_menu(struct rh_linux *l, const char *path, const char *top)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, NULL);
    struct reading r = {.l = l, .path = path, .top = top};
    char *rest = text, *line;

    if (!text || l->menus.count == MENUS_MAX)
        return false;
    for (size_t i = 0; i < l->menus.count; i++)
        if (!strcmp(l->menus.items[i], path))
            return true;
    *rh_vec_add(&l->menus) = rh_arena_strdup(l->arena, path);
    while ((line = strsep(&rest, "\n")))
        if (line[strspn(line, " \t")] != '#')
            read_line(&r, line);
    return true;
}

static const struct {
    const char *path, *top;
} menus[] = {
    {"/boot/grub/grub.cfg", ""},
    {"/boot/grub2/grub.cfg", ""},
    {"/boot/grub/custom.cfg", ""},
    {"/boot/grub2/custom.cfg", ""},
    {"/boot/grub/grub.conf", ""},
    {"/boot/grub/menu.lst", ""},
    {"/boot/extlinux/extlinux.conf", ""},
    {"/boot/extlinux.conf", ""},
    {"/boot/syslinux/syslinux.cfg", ""},
    {"/boot/photon.cfg", "/boot"},
    {"/etc/lilo.conf", ""},
    {"/boot/limine.conf", "/boot"},
    {"/boot/limine.cfg", "/boot"},
    {"/boot/limine/limine.conf", "/boot"},
    {"/boot/refind_linux.conf", "/boot"},
};
/* In the vendors' folders on the ESP, and at its top. */
static const char *const esp_menus[] = {
    "grub.cfg",    "grub.conf",  "elilo.conf",   "refind.conf",
    "limine.conf", "limine.cfg", "BOOTX64.conf", "syslinux.cfg"};

static void read_folder(struct rh_linux *l, const char *folder, const char *top)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);
        size_t n = strlen(names[i]);

        if (n > 5 && !strcmp(names[i] + n - 5, ".conf"))
            read_menu(l, path, top);
    }
}

static void read_esp(struct rh_linux *l, const char *top)
{
    RH_AUTO(rh_freep) char *entries = rh_printf("%s/loader/entries", top);
    RH_AUTO(rh_freep) char *efi = rh_printf("%s/EFI", top);
    RH_AUTO(rh_name_list_freep) char **vendors = rh_guest_names(l->guest, efi);

    read_folder(l, entries, top);
    for (size_t k = 0; k < RH_COUNT(esp_menus); k++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", top, esp_menus[k]);

        if (vendors && rh_guest_exists(l->guest, path))
            read_menu(l, path, top);
    }
    for (size_t i = 0; vendors && vendors[i]; i++)
        for (size_t k = 0; k < RH_COUNT(esp_menus); k++) {
            RH_AUTO(rh_freep)
            char *path = rh_printf("%s/%s/%s", efi, vendors[i], esp_menus[k]);

            if (rh_guest_exists(l->guest, path))
                read_menu(l, path, top);
        }
}

void rh_linux_entries(struct rh_linux *l)
{
    for (size_t i = 0; i < RH_COUNT(menus); i++)
        read_menu(l, menus[i].path, menus[i].top);
    for (size_t i = 0; rh_esp_tops[i]; i++)
        read_esp(l, rh_esp_tops[i]);
}
