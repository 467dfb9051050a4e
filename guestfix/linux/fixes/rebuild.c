/* rebuild.c - the commands by which a system itself puts drivers into an
 * initramfs that nothing can be added to from outside.
 *
 * Each as the builder's own manual page has it: mkinitrd(8) of Red Hat 4 and 5,
 * of SUSE 10 and 11 and of Slackware, make-initrd(1), genkernel(8), booster(1),
 * update-initramfs(8), dracut(8), mkinitcpio(8). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/fixes.h"

/* "a b", "a:b", "--with=a --with=b" */
static char *joined(const char *const *names, size_t n, const char *before,
                    const char *between)
{
    struct rh_buf b = {0};

    for (size_t i = 0; i < n; i++)
        rh_buf_printf(&b, "%s%s%s", i ? between : "", before, names[i]);
    return rh_buf_take(&b);
}

static bool is_suse(const struct rh_linux *l)
{
    return l->id && (!strncmp(l->id, "sle", 3) || !strcmp(l->id, "suse") ||
                     !strncmp(l->id, "opensuse", 8));
}

static char *of_mkinitrd(const struct rh_linux *l, const struct rh_kernel *k,
                         const char *const *names, size_t n)
{
    RH_AUTO(rh_freep) char *plain = joined(names, n, "", " ");
    RH_AUTO(rh_freep) char *with = joined(names, n, "--with=", " ");

    if (is_suse(l))
        return rh_printf("sed -i 's/^INITRD_MODULES=\"/&%s /' "
                         "/etc/sysconfig/kernel && mkinitrd -k %s -i %s",
                         plain, k->image, k->initramfs);
    return rh_printf("mkinitrd -f %s %s %s", with, k->initramfs, k->version);
}

char *rh_rebuild_command(const struct rh_linux *l, const struct rh_kernel *k,
                         const char *const *names, size_t n)
{
    RH_AUTO(rh_freep) char *plain = joined(names, n, "", " ");
    RH_AUTO(rh_freep) char *colons = joined(names, n, "", ":");
    RH_AUTO(rh_freep) char *commas = joined(names, n, "", ",");
    const char *to = k->initramfs, *version = k->version;

    switch (k->content.kind) {
    case RH_INITRAMFS_MKINITRD:
        return of_mkinitrd(l, k, names, n);
    case RH_INITRAMFS_SLACKWARE: /* without -c: what is there stays */
        return rh_printf("mkinitrd -k %s -m %s -o %s", version, colons, to);
    case RH_INITRAMFS_MAKE_INITRD:
        return rh_printf("echo 'MODULES_ADD += %s' >>/etc/initrd.mk && "
                         "make-initrd -k %s",
                         plain, version);
    case RH_INITRAMFS_GENKERNEL:
        return rh_strdup("genkernel --all-ramdisk-modules initramfs");
    case RH_INITRAMFS_BOOSTER:
        return rh_printf("echo 'modules: %s' >>/etc/booster.yaml && booster "
                         "build --force --kernel-version %s %s",
                         commas, version, to);
    case RH_INITRAMFS_TOOLS:
        return rh_printf("printf '%%s\\n' %s >>/etc/initramfs-tools/modules && "
                         "update-initramfs -u -k %s",
                         plain, version);
    case RH_INITRAMFS_DRACUT:
        return rh_printf("dracut -f --add-drivers \"%s\" %s %s", plain, to,
                         version);
    case RH_INITRAMFS_MKINITCPIO:
        return rh_printf("sed -i 's/^MODULES=(/&%s /' /etc/mkinitcpio.conf && "
                         "mkinitcpio -P",
                         plain);
    default:
        return NULL;
    }
}
