/* unified.c - the sections of a unified kernel image: a PE program that holds a
 * kernel (.linux), its initramfs (.initrd), its version (.uname) and its
 * arguments (.cmdline).  (The UAPI group's UKI specification; PE/COFF of
 * Microsoft.) */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "guestfix/linux/linux.h"

bool rh_is_efi_program(const char *path)
{
    size_t n = strlen(path);

    return n > 4 && !strcasecmp(path + n - 4, ".efi");
}

const void *rh_pe_section(const void *bytes, size_t n, const char *name,
                          size_t *ret_size)
{
    enum {
        PE_AT = 0x3c,
        SECTIONS = 2, /* in the COFF header, of 20 bytes */
        OPTIONAL = 16,
        COFF = 20,
        ROW = 40,
        SECTIONS_MAX = 96,
    };
    const uint8_t *p = bytes;
    size_t at, rows, count;
    char want[9] = "";

    memcpy(want, name, RH_MIN(strlen(name), (size_t)8));
    if (n < PE_AT + 4 || memcmp(p, "MZ", 2))
        return NULL;
    at = rh_le32(p + PE_AT);
    if (at > n || n - at < 4 + COFF || memcmp(p + at, "PE\0\0", 4))
        return NULL;
    count = RH_MIN(rh_le16(p + at + 4 + SECTIONS), (unsigned)SECTIONS_MAX);
    rows = at + 4 + COFF + rh_le16(p + at + 4 + OPTIONAL);
    for (size_t i = 0; i < count; i++) {
        size_t row = rows + i * ROW;
        uint32_t size, offset, used;

        if (row > n || n - row < ROW)
            return NULL;
        used = rh_le32(p + row + 8);
        size = rh_le32(p + row + 16);
        offset = rh_le32(p + row + 20);
        if (memcmp(p + row, want, 8))
            continue;
        size = RH_MIN(size, used);
        if (offset > n || size > n - offset)
            return NULL;
        *ret_size = size;
        return p + offset;
    }
    return NULL;
}
