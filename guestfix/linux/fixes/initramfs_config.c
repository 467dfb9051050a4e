/* initramfs_config.c - the guest's own next rebuild of its initramfs keeps what
 * the new machine needs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/drivers.h"

/* Names that every kernel with something missing has as a module. */
static void collect(struct rh_fix_job *j, struct rh_addition *ret)
{
    for (size_t i = 0; i < rh_linux_of(j)->kernels.count; i++) {
        const struct rh_kernel *k = &rh_linux_of(j)->kernels.items[i];
        RH_AUTO(rh_modules_free) struct rh_modules m = {0};
        RH_AUTO(rh_addition_free) struct rh_addition a = {0};

        rh_modules_open(rh_linux_of(j), k->version, &m);
        rh_addition_plan(j, k, &m, &a);
        if (!a.needed)
            continue;
        for (size_t n = 0; n < a.names.count; n++) {
            bool known = false;

            for (size_t x = 0; x < ret->names.count; x++)
                known |= !strcmp(ret->names.items[x], a.names.items[n]);
            if (!known)
                *rh_vec_add(&ret->names) = a.names.items[n];
        }
    }
}

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);

    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (!strncmp(p, line, n) && (!p[n] || strchr("\n \t", p[n])))
            return true;
    }
    return false;
}

static int config_tools(struct rh_fix_job *j, const struct rh_addition *a,
                        rh_error **err)
{
    static const char path[] = "/etc/initramfs-tools/modules";
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    if (text)
        rh_buf_puts(&b, text);
    if (b.length && b.data[b.length - 1] != '\n')
        rh_buf_putc(&b, '\n');
    for (size_t i = 0; i < a->names.count; i++)
        if (!has_line(text, a->names.items[i]))
            rh_buf_printf(&b, "%s\n", a->names.items[i]);
    return rh_fix_put(j, path, b.data, b.length, 0644,
                      _("keep the new machine's drivers when update-initramfs "
                        "runs"),
                      err);
}

static bool has_dracut(struct rh_guest *g)
{
    return rh_guest_is_dir(g, "/etc/dracut.conf.d") ||
           rh_guest_is_dir(g, "/usr/lib/dracut") ||
           rh_guest_is_dir(g, "/usr/share/dracut");
}

static int config_dracut(struct rh_fix_job *j, const struct rh_addition *a,
                         rh_error **err)
{
    RH_AUTO(rh_freep)
    char *names = rh_addition_joined(a->names.items, a->names.count);
    RH_AUTO(rh_freep)
    char *text =
        rh_printf("# Drivers of the machine this system was moved to.\n"
                  "add_drivers+=\" %s \"\n",
                  names);

    if (j->guest->ops->make_dir(j->guest, "/etc/dracut.conf.d", 0755, err) < 0)
        return -1;
    return rh_fix_put(
        j, "/etc/dracut.conf.d/50-rehost.conf", text, strlen(text), 0644,
        _("keep the new machine's drivers when dracut runs"), err);
}

/* What a list in shell holds already. */
static bool list_has(const char *list, size_t n, const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; i + length <= n; i++)
        if (!strncmp(list + i, word, length) &&
            (!i || strchr(" \t\n", list[i - 1])) &&
            (i + length == n || strchr(" \t\n", list[i + length])))
            return true;
    return false;
}

/* The last `LIST=(`, which is the one that counts; NULL: none. */
static const char *last_list(const char *text, const char *head)
{
    const char *last = NULL;
    size_t n = strlen(head);

    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (!strncmp(p, head, n))
            last = p + n;
    }
    return last;
}

/* `LIST=(a b)` or `LIST="a b"`, over one line or several: put what is missing
 * before the end. */
static char *extend_list(const char *text, const char *name, char end,
                         const struct rh_addition *a)
{
    RH_AUTO(rh_freep)
    char *head = rh_printf("%s=%c", name, end == ')' ? '(' : end);
    RH_AUTO(rh_buf_free) struct rh_buf out = {0};
    const char *list = last_list(text, head);
    const char *stop = list ? strchr(list, end) : NULL;
    bool changed = false;

    if (!stop)
        return NULL;
    rh_buf_add(&out, text, (size_t)(stop - text));
    for (size_t i = 0; i < a->names.count; i++) {
        if (list_has(list, (size_t)(stop - list), a->names.items[i]))
            continue;
        rh_buf_printf(&out, "%s%s",
                      out.data[out.length - 1] == head[strlen(head) - 1] ||
                              out.data[out.length - 1] == '\n'
                          ? ""
                          : " ",
                      a->names.items[i]);
        changed = true;
    }
    rh_buf_puts(&out, stop);
    return changed ? rh_buf_take(&out) : NULL;
}

static int config_list(struct rh_fix_job *j, const char *path, const char *name,
                       char end, const struct rh_addition *a, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_freep)
    char *after = text ? extend_list(text, name, end, a) : NULL;

    if (!after)
        return 0;
    return rh_fix_put(j, path, after, strlen(after), 0644,
                      _("keep the new machine's drivers when the initramfs is "
                        "rebuilt"),
                      err);
}

/* Alpine: a feature is a list of paths below the modules' folder. */
static int config_mkinitfs(struct rh_fix_job *j, const struct rh_addition *a,
                           rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    struct rh_addition feature = {0};
    int r;

    for (size_t i = 0; i < a->names.count; i++) {
        char name[64];

        rh_module_name(a->names.items[i], name);
        for (char *p = name; *p; p++)
            if (*p == '_')
                *p = '?';
        rh_buf_printf(&b, "kernel/**/%s.ko*\n", name);
    }
    if (j->guest->ops->make_dir(j->guest, "/etc/mkinitfs/features.d", 0755,
                                err) < 0)
        return -1;
    *rh_vec_add(&feature.names) = "rehost";
    r = rh_fix_put(j, "/etc/mkinitfs/features.d/rehost.modules", b.data,
                   b.length, 0644,
                   _("keep the new machine's drivers when mkinitfs runs"), err);
    if (r == 0)
        r = config_list(j, "/etc/mkinitfs/mkinitfs.conf", "features", '"',
                        &feature, err);
    free(feature.names.items);
    return r;
}

int rh_fix_initramfs_config(struct rh_fix_job *j, rh_error **err)
{
    RH_AUTO(rh_addition_free) struct rh_addition a = {0};
    struct rh_guest *g = j->guest;

    collect(j, &a);
    if (!a.names.count)
        return 0;
    if (rh_guest_is_dir(g, "/etc/initramfs-tools") &&
        config_tools(j, &a, err) < 0)
        return -1;
    if (has_dracut(g) && config_dracut(j, &a, err) < 0)
        return -1;
    if (config_list(j, "/etc/mkinitcpio.conf", "MODULES", ')', &a, err) < 0 ||
        config_list(j, "/etc/mkinitcpio.conf", "MODULES", '"', &a, err) < 0 ||
        config_list(j, "/etc/sysconfig/kernel", "INITRD_MODULES", '"', &a,
                    err) < 0)
        return -1;
    if (rh_guest_exists(g, "/etc/mkinitfs/mkinitfs.conf"))
        return config_mkinitfs(j, &a, err);
    return 0;
}
