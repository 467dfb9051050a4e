/* fat_names.h - names of FAT entries: short, with case bits, and long. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_FAT_NAMES_H
#define RH_VOLUMES_FAT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { RH_FAT_ENTRIES_MAX = 21, RH_FAT_UNITS = 20 * 13 };

/* A name being collected from its long entries (which stand in front of the
 * short one, last part first). */
struct rh_fat_name {
    unsigned parts; /* long entries met; 0: none */
    unsigned expected;
    uint8_t checksum;
    bool broken;
    uint16_t units[RH_FAT_UNITS + 1];
    char text[4 * RH_FAT_UNITS + 1]; /* UTF-8, after rh_fat_name_done() */
};
void rh_fat_name_reset(struct rh_fat_name *n);
void rh_fat_name_part(struct rh_fat_name *n, const uint8_t *entry);
/* The short entry: fills n->text; true when the long entries were its. */
bool rh_fat_name_done(struct rh_fat_name *n, const uint8_t *entry);

/* Entries for a new name, the short one last; `tail` 0 tries the plain form,
 * 1.. the forms NAME~1.  0: not a name. */
uint32_t rh_fat_name_make(const char *name, unsigned tail,
                          uint8_t ret[RH_FAT_ENTRIES_MAX][32]);

#endif
