/* endings.c - names of packages and of disks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/endings.h"

#include <string.h>

#include "base/text.h"

/* Longer endings first. */
static const char *const packages[] = {
    ".ova.gz", ".ova.xz", ".ova.zst", ".ova.bz2", ".ova.zip",
    ".ova",    ".ovf",    ".vmx",     ".vbox",    NULL};
static const char *const disks[] = {".vmdk", ".qcow2", ".vhdx", ".vhd", ".img",
                                    ".raw",  ".dd",    ".vdi",  NULL};

static const char *ending(const char *name, const char *const *endings)
{
    size_t n = strlen(name);

    for (size_t i = 0; endings[i]; i++) {
        size_t m = strlen(endings[i]);

        if (n > m && rh_same_word(name + n - m, endings[i]))
            return name + n - m;
    }
    return NULL;
}

const char *rh_package_ending(const char *name)
{
    return ending(name, packages);
}

const char *rh_disk_ending(const char *name)
{
    return ending(name, disks);
}
