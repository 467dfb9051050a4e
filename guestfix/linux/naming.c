/* naming.c - who gives this guest's NICs their names: udev by the slot, udev's
 * rules by MAC address, or the kernel in the order it finds them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/linux.h"

/* A rule of the distribution that /etc makes void: a link to /dev/null, or an
 * empty file. */
static bool is_masked(struct rh_guest *g, const char *path)
{
    RH_AUTO(rh_freep) char *target = NULL;
    struct rh_guest_stat st;

    if (g->ops->stat(g, path, false, &st, NULL) < 0)
        return false;
    if (st.type == 'l')
        return g->ops->read_link(g, path, &target, NULL) == 0 &&
               !strcmp(target, "/dev/null");
    return st.size == 0;
}

/* Systems whose udev wrote such rules by itself keep the kernel's names, with
 * systemd, too (Debian 8), and read .link files only when asked to. */
static bool has_generator(struct rh_guest *g)
{
    static const char *const generators[] = {
        "/lib/udev/rules.d/75-persistent-net-generator.rules",
        "/usr/lib/udev/rules.d/75-persistent-net-generator.rules"};

    for (size_t i = 0; i < RH_COUNT(generators); i++)
        if (rh_guest_exists(g, generators[i]))
            return true;
    return false;
}

static bool text_says(struct rh_guest *g, const char *path)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(g, path, NULL);
    char *rest = text, *line;

    while ((line = strsep(&rest, "\n")))
        if (line[strspn(line, " \t")] != '#' && strstr(line, "net.ifnames=0"))
            return true;
    return false;
}

static bool told_by_arguments(struct rh_guest *g)
{
    static const char *const files[] = {"/etc/default/grub",
                                        "/boot/grub/grub.cfg",
                                        "/boot/grub2/grub.cfg",
                                        "/boot/grub2/grubenv",
                                        "/etc/kernel/cmdline",
                                        "/boot/extlinux/extlinux.conf",
                                        "/boot/efi/EFI/redhat/grub.cfg"};
    static const char *const folders[] = {"/boot/loader/entries",
                                          "/boot/efi/loader/entries",
                                          "/efi/loader/entries"};

    for (size_t i = 0; i < RH_COUNT(files); i++)
        if (text_says(g, files[i]))
            return true;
    for (size_t f = 0; f < RH_COUNT(folders); f++) {
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(g, folders[f]);

        for (size_t i = 0; names && names[i]; i++) {
            RH_AUTO(rh_freep)
            char *path = rh_printf("%s/%s", folders[f], names[i]);

            if (text_says(g, path))
                return true;
        }
    }
    return false;
}

/* Without the default policy the kernel's names stay; .link files still count.
 */
static bool default_link_masked(struct rh_guest *g)
{
    return is_masked(g, "/etc/systemd/network/99-default.link");
}

/* Alpine: names stay as the kernel gave them. */
static bool has_mdev(struct rh_guest *g)
{
    static const char *const udevs[] = {
        "/sbin/udevd", "/usr/sbin/udevd", "/lib/systemd/systemd-udevd",
        "/usr/lib/systemd/systemd-udevd", "/lib/udev/udevd"};

    for (size_t i = 0; i < RH_COUNT(udevs); i++)
        if (rh_guest_exists(g, udevs[i]))
            return false;
    return rh_guest_exists(g, "/etc/mdev.conf");
}

void rh_linux_naming(struct rh_linux *l)
{
    static const char setup[] = "/etc/udev/rules.d/80-net-setup-link.rules";

    l->named_by_rules =
        !l->systemd || has_generator(l->guest) || is_masked(l->guest, setup);
    l->mdev = !l->systemd && has_mdev(l->guest);
    l->kernel_names = l->named_by_rules || rh_guest_exists(l->guest, setup) ||
                      default_link_masked(l->guest) ||
                      told_by_arguments(l->guest);
    l->predictable = l->systemd && !l->kernel_names;
}
