/* zfs_ls.c - any text as what GRUB lists of a folder. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/backends/zfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_arena *arena = rh_arena_new();
    char *text = rh_strndup((const char *)data, size);
    struct rh_zfs_entries all = {0};

    rh_zfs_listing(arena, text, &all);
    for (size_t i = 0; i < all.count; i++) {
        const char *name = all.items[i].name;

        if (!*name || strchr(name, '/') || strlen(name) > 255 ||
            !strcmp(name, "..") ||
            (all.items[i].type != 'd' && all.items[i].type != 'f'))
            abort();
    }
    free(all.items);
    free(text);
    rh_arena_free(arena);
    return 0;
}
