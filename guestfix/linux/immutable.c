/* immutable.c - systems that are built or shipped as a whole: editing their
 * files from outside is lost at the next start, or makes them invalid.
 *
 * NixOS and Guix keep everything in a store, named by its hash, and the rest of
 * the disk is theirs to write.  Of an ostree system the deployments are what
 * boots; of the others a read-only image. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/linux.h"

static const char *const stores[] = {"/nix/store/", "/gnu/store/", NULL};
static const char *const everything[] = {"/", NULL};

static const struct {
    const char *id, *name;
    bool whole;
} by_id[] = {
    {"nixos", "NixOS", false},
    {"guix", "Guix System", false},
    {"flatcar", "Flatcar", true},
    {"coreos", "CoreOS", true},
    {"talos", "Talos", true},
    {"bottlerocket", "Bottlerocket", true},
    {"cos", "Container-Optimized OS", true},
    {"ubuntu-core", "Ubuntu Core", true},
    {"opensuse-microos", "openSUSE MicroOS", false},
    {"opensuse-aeon", "openSUSE Aeon", false},
    {"sle-micro", "SUSE Linux Enterprise Micro", false},
    {"sl-micro", "SUSE Linux Micro", false},
    {"elemental", "Elemental", true},
    {"kairos", "Kairos", true},
    {"vyos", "VyOS", true},
};

char *rh_ostree_newest(struct rh_guest *g)
{
    static const char top[] = "/ostree/deploy";
    RH_AUTO(rh_name_list_freep) char **systems = rh_guest_names(g, top);
    char *best = NULL;
    int64_t when = 0;

    for (size_t i = 0; systems && systems[i]; i++) {
        RH_AUTO(rh_freep)
        char *folder = rh_printf("%s/%s/deploy", top, systems[i]);
        RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(g, folder);

        for (size_t k = 0; names && names[k]; k++) {
            RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[k]);
            struct rh_guest_stat st;

            if (g->ops->stat(g, path, true, &st, NULL) < 0 || st.type != 'd' ||
                (best && st.mtime < when))
                continue;
            when = st.mtime;
            free(best);
            best = RH_TAKE(path);
        }
    }
    return best;
}

void rh_linux_deployment(struct rh_linux *l)
{
    static const char profile[] = "/nix/var/nix/profiles/system/kernel-modules";

    RH_AUTO(rh_freep) char *newest = rh_ostree_newest(l->guest);

    l->top = newest ? rh_arena_strdup(l->arena, newest) : NULL;
    if (!l->top && !rh_guest_is_dir(l->guest, "/lib/modules") &&
        rh_guest_is_dir(l->guest, profile))
        l->modules_top = profile;
    if (!l->modules_top)
        l->modules_top = l->top ? l->top : "";
}

void rh_linux_immutable(struct rh_linux *l)
{
    for (size_t i = 0; l->id && i < RH_COUNT(by_id); i++)
        if (!strcmp(l->id, by_id[i].id)) {
            l->immutable = by_id[i].name;
            l->guest->frozen = by_id[i].whole ? everything : stores;
        }
    if (rh_guest_is_dir(l->guest, "/nix/store") ||
        rh_guest_is_dir(l->guest, "/gnu/store"))
        l->guest->frozen = stores;
    if (l->top) {
        l->immutable = "ostree";
        l->guest->frozen = everything;
    }
}
