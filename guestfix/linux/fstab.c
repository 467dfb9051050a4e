/* fstab.c - the mounts that matter, by fstab and by the type of the ESP. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/fstab.h"

#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/linux.h"

static bool is_octal(const char *p)
{
    return p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
           p[2] <= '7' && p[3] >= '0' && p[3] <= '7';
}

/* A blank within a field is written \040, a tab \011 (fstab(5)). */
static void decode(char *field)
{
    char *to = field;

    for (const char *p = field; *p; to++) {
        bool octal = is_octal(p);

        *to = octal ? (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0')
                    : *p;
        p += octal ? 4 : 1;
    }
    *to = '\0';
}

/* "/boot/" and "//boot" are /boot. */
static void squeeze(char *path)
{
    char *to = path;

    for (const char *p = path; *p; p++)
        if (*p != '/' || (p[1] != '/' && (p[1] || to == path)))
            *to++ = *p;
    *to = '\0';
}

bool rh_fstab_parse(char *line, struct rh_fstab_entry *ret)
{
    char *save, *fields[4] = {NULL};
    char *p = line + strspn(line, " \t");

    if (*p == '#' || !*p)
        return false;
    for (size_t i = 0; i < 4; i++)
        fields[i] = strtok_r(i ? NULL : p, " \t\r\n", &save);
    if (!fields[1])
        return false;
    decode(fields[0]);
    decode(fields[1]);
    squeeze(fields[1]);
    ret->spec = fields[0];
    ret->path = fields[1];
    ret->type = fields[2] ? fields[2] : "auto";
    ret->options = fields[3] ? fields[3] : "defaults";
    return true;
}

char *rh_fstab_root(const char *fstab)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(fstab);
    char *rest = copy, *line;

    while ((line = strsep(&rest, "\n"))) {
        struct rh_fstab_entry e;

        if (rh_fstab_parse(line, &e) && !strcmp(e.path, "/"))
            return rh_strdup(e.spec);
    }
    return NULL;
}

static const struct {
    const char *path;
    bool needed;
} mounts_that_matter[] = {
    {"/boot", true}, {"/boot/efi", true}, {"/efi", true},
    {"/usr", true},  {"/etc", true},      {"/var", false},
};

static int ask_for(struct rh_mounting *m, const char *root_spec,
                   const struct rh_fstab_entry *e, rh_error **err)
{
    struct rh_mount_wish wish = {
        .path = e->path, .spec = e->spec, .options = e->options};

    for (size_t i = 0; i < RH_COUNT(mounts_that_matter); i++) {
        if (strcmp(mounts_that_matter[i].path, e->path))
            continue;
        wish.needed = mounts_that_matter[i].needed;
        wish.volume = rh_device_find(m->s, root_spec, m->root_volume, e->spec);
        return m->add(m, &wish, err);
    }
    return 0;
}

/* systemd mounts the one ESP by its type, without a line in fstab. */
static int mount_esp(struct rh_mounting *m, rh_error **err)
{
    static const char type[] = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
    static const char *const folders[] = {"/efi", "/boot/efi", "/boot"};
    const struct rh_volume *esp = NULL;

    for (size_t i = 0; i < m->s->volumes.all.count; i++) {
        const struct rh_volume *v = &m->s->volumes.all.items[i];

        if (!v->part_type || strcmp(v->part_type, type))
            continue;
        if (esp)
            return 0;
        esp = v;
    }
    if (!esp || m->has(m, esp))
        return 0;
    for (size_t i = 0; i < RH_COUNT(folders); i++) {
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(m->root, folders[i]);
        struct rh_mount_wish wish = {
            .path = folders[i], .volume = esp, .needed = true};

        if (names && !names[0])
            return m->add(m, &wish, err);
    }
    return 0;
}

/* The fstab of what boots, which may be a deployment below the root. */
static char *fstab_of(struct rh_guest *root)
{
    char *text = rh_guest_text(root, "/etc/fstab", NULL);
    RH_AUTO(rh_freep) char *top = text ? NULL : rh_ostree_newest(root);
    RH_AUTO(rh_freep) char *path = top ? rh_printf("%s/etc/fstab", top) : NULL;

    return path ? rh_guest_text(root, path, NULL) : text;
}

/* CoreOS has no fstab, and a /boot of that label. */
static int mount_boot(struct rh_mounting *m, rh_error **err)
{
    struct rh_mount_wish wish = {
        .path = "/boot", .spec = "LABEL=boot", .needed = true};

    wish.volume = rh_device_find(m->s, NULL, m->root_volume, wish.spec);
    if (!wish.volume || m->has(m, wish.volume) ||
        !rh_guest_is_dir(m->root, "/ostree/repo"))
        return 0;
    return m->add(m, &wish, err);
}

int rh_linux_mounts(struct rh_mounting *m, rh_error **err)
{
    RH_AUTO(rh_freep) char *fstab = fstab_of(m->root);
    RH_AUTO(rh_freep) char *root_spec = fstab ? rh_fstab_root(fstab) : NULL;
    char *rest = fstab, *line;

    while ((line = strsep(&rest, "\n"))) {
        struct rh_fstab_entry e;

        if (rh_fstab_parse(line, &e) && ask_for(m, root_spec, &e, err) < 0)
            return -1;
    }
    return mount_boot(m, err) < 0 ? -1 : mount_esp(m, err);
}

/* --- the root's subvolume
 * ------------------------------------------------------------------ */
static bool names_subvolume(const char *options)
{
    return strstr(options, "subvol=") || strstr(options, "subvolid=");
}

/* "root=UUID=... rootflags=subvol=@ quiet" */
static char *flags_of(const char *args)
{
    static const char word[] = "rootflags=";
    const char *p = strstr(args, word);

    if (!p)
        return NULL;
    p += sizeof word - 1;
    p += *p == '"';
    return rh_strndup(p, strcspn(p, " \t\""));
}

static char *of_loader(struct rh_guest *g)
{
    struct rh_linux l = {.guest = g, .arena = rh_arena_new()};
    RH_AUTO(rh_freep) char *options = NULL;

    rh_linux_entries(&l);
    for (size_t i = 0; i < l.entries.count && !options; i++)
        if (l.entries.items[i].args)
            options = flags_of(l.entries.items[i].args);
    rh_linux_free(&l);
    return options && names_subvolume(options) ? RH_TAKE(options) : NULL;
}

static char *of_fstab(struct rh_guest *g)
{
    RH_AUTO(rh_freep) char *fstab = rh_guest_text(g, "/etc/fstab", NULL);
    char *rest = fstab, *line;

    while ((line = strsep(&rest, "\n"))) {
        struct rh_fstab_entry e;

        if (rh_fstab_parse(line, &e) && !strcmp(e.path, "/") &&
            names_subvolume(e.options))
            return rh_strdup(e.options);
    }
    return NULL;
}

char *rh_linux_root_options(struct rh_guest *g, bool by_default)
{
    char *options = of_loader(g);

    return options || by_default ? options : of_fstab(g);
}
