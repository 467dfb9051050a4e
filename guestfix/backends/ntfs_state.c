/* ntfs_state.c - was an NTFS volume left clean: its log, its flags,
 * hiberfil.sys.
 *
 * The same questions that libntfs-3g asks before it mounts for writing.  The
 * log begins with one or two restart pages; the newer one says whether Windows
 * had it open.  Layout: "NTFS Documentation" of the Linux-NTFS project,
 * $LogFile, $Volume, and the file record. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/ntfs_state.h"

#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    BLOCK = 512,      /* what the numbers of a fixup guard */
    PAGE_MAX = 65536, /* of a restart page, of a record */
    NO_CLIENT = 0xffff,
    IS_CLEAN = 2,      /* flag of a restart area */
    AREA_HEAD = 16,    /* bytes of it that are looked at */
    VOLUME_RECORD = 3, /* $Volume in every MFT */
    INFORMATION = 0x70,
    END_OF_RECORD = -1,
    IS_DIRTY = 1
};

static bool is_power(uint64_t n)
{
    return n && !(n & (n - 1));
}

/* Each block ends with a number that shows a torn write; what belongs there
 * stands in a list at the start. */
static bool mend(uint8_t *p, size_t n)
{
    size_t list = rh_le16(p + 4), count = rh_le16(p + 6);

    if (count != n / BLOCK + 1 || list + 2 * count > n)
        return false;
    for (size_t i = 1; i < count; i++) {
        uint8_t *end = p + i * BLOCK - 2;

        if (memcmp(end, p + list, 2))
            return false;
        memcpy(end, p + list + 2 * i, 2);
    }
    return true;
}

/* --- $LogFile ----------------------------------------------------------------
 */
struct restart {
    bool there;
    uint64_t number; /* the newer one has the greater */
    unsigned major, in_use, flags;
};

static bool is_empty(const uint8_t *p)
{
    return rh_le32(p) == 0xffffffff;
}

/* The page that begins so; one that makes no sense is not there. */
static int load_page(const struct rh_ntfs_log *log, uint64_t at,
                     const uint8_t head[BLOCK], struct restart *ret,
                     rh_error **err)
{
    uint64_t size = rh_le32(head + 16), page = rh_le32(head + 20);
    unsigned minor = rh_le16(head + 26), major = rh_le16(head + 28);
    size_t area = rh_le16(head + 24);
    RH_AUTO(rh_freep) uint8_t *all = NULL;

    if (!is_power(size) || size < BLOCK || size > PAGE_MAX || !is_power(page) ||
        page < BLOCK || (at && at != size) || size > log->size - at ||
        area % 8 || area < 30 || area + AREA_HEAD > size ||
        !((major == 1 && minor == 1) || (major == 2 && minor == 0)))
        return 0;
    all = rh_malloc((size_t)size);
    if (log->read(log->user, at, all, (size_t)size, err) < 0)
        return -1;
    /* A torn page counts as long as what is looked at is not in it. */
    if (!mend(all, (size_t)size) && area + AREA_HEAD > BLOCK - 2)
        return 0;
    *ret = (struct restart){.there = true,
                            .number = rh_le64(all + area),
                            .major = major,
                            .in_use = rh_le16(all + area + 12),
                            .flags = rh_le16(all + area + 14)};
    return 0;
}

/* Pages lie at the beginning and at a power of two behind it; *ret_empty: there
 * is nothing at all. */
static int find_pages(const struct rh_ntfs_log *log, struct restart ret[2],
                      bool *ret_empty, rh_error **err)
{
    uint8_t head[BLOCK];
    size_t found = 0;

    *ret_empty = true;
    for (uint64_t at = 0; at < log->size && log->size - at >= BLOCK;
         at = at ? at * 2 : BLOCK) {
        if (log->read(log->user, at, head, sizeof head, err) < 0)
            return -1;
        if (!is_empty(head))
            *ret_empty = false;
        else if (!*ret_empty)
            break;
        if (!memcmp(head, "RCRD", 4))
            break;
        if (memcmp(head, "RSTR", 4) && memcmp(head, "CHKD", 4))
            continue;
        if (load_page(log, at, head, &ret[found], err) < 0)
            return -1;
        if (ret[found].there && ++found && at)
            break;
    }
    return 0;
}

int rh_ntfs_log_state(const struct rh_ntfs_log *log, uint64_t *ret,
                      rh_error **err)
{
    struct restart pages[2] = {{0}}, *newer = &pages[0];
    bool empty;

    *ret = RH_NTFS_UNCLEAN;
    if (log->size < 2 * BLOCK)
        return 0;
    if (find_pages(log, pages, &empty, err) < 0)
        return -1;
    if (pages[1].there && (int64_t)pages[1].number > (int64_t)pages[0].number)
        newer = &pages[1];
    if (newer->there && newer->major == 2)
        *ret = RH_NTFS_CACHED;
    else if (empty || (newer->there &&
                       (newer->in_use == NO_CLIENT || newer->flags & IS_CLEAN)))
        *ret = 0;
    return 0;
}

/* --- $Volume -----------------------------------------------------------------
 */
/* Where its record lies, by the boot sector; false: that makes no sense. */
static bool record_place(const uint8_t boot[BLOCK], uint64_t volume,
                         uint64_t *ret_at, uint64_t *ret_size)
{
    uint64_t sector = rh_le16(boot + 11), per = boot[13], mft;
    uint64_t cluster = sector * (per > 128 ? 1ULL << (256 - per) % 32 : per);
    int8_t size = (int8_t)boot[64];

    if (!is_power(sector) || sector < 256 || sector > 4096 ||
        !is_power(cluster) || cluster > 2 * RH_MIB || size < -16)
        return false;
    *ret_size = size > 0 ? (uint64_t)size * cluster : 1ULL << -size;
    if (!is_power(*ret_size) || *ret_size < BLOCK || *ret_size > PAGE_MAX ||
        rh_mul_overflows(rh_le64(boot + 48), cluster, &mft) || mft >= volume)
        return false;
    *ret_at = mft + VOLUME_RECORD * *ret_size;
    return *ret_at < volume && *ret_size <= volume - *ret_at;
}

/* The flags in its record; -1: they are not there. */
static int flags_in(const uint8_t *record, size_t n)
{
    size_t at = rh_le16(record + 20);

    while (at % 8 == 0 && at + 24 <= n &&
           rh_le32(record + at) != (uint32_t)END_OF_RECORD) {
        const uint8_t *a = record + at;
        size_t length = rh_le32(a + 4), value = rh_le16(a + 20);

        if (length < 24 || length > n - at)
            return -1;
        if (rh_le32(a) == INFORMATION)
            return a[8] == 0 && value + 12 <= length ? rh_le16(a + value + 10)
                                                     : -1;
        at += length;
    }
    return -1;
}

int rh_ntfs_volume_state(struct rh_disks *d, const struct rh_volume *v,
                         uint64_t *ret, rh_error **err)
{
    uint8_t boot[BLOCK], record[PAGE_MAX];
    uint64_t at, size;
    int flags;

    *ret = RH_NTFS_CHKDSK;
    if (rh_volume_bytes(v) < BLOCK)
        return 0;
    if (rh_volume_read(d, v, boot, sizeof boot, 0, err) < 0)
        return -1;
    if (!record_place(boot, rh_volume_bytes(v), &at, &size))
        return 0;
    if (rh_volume_read(d, v, record, (size_t)size, at, err) < 0)
        return -1;
    if (memcmp(record, "FILE", 4) || !mend(record, (size_t)size))
        return 0;
    flags = flags_in(record, (size_t)size);
    if (flags >= 0 && !(flags & IS_DIRTY))
        *ret = 0;
    return 0;
}

/* --- hiberfil.sys ------------------------------------------------------------
 */
uint64_t rh_ntfs_hiberfil_state(const void *head, size_t n)
{
    return n < RH_NTFS_HIBERFIL_HEAD || !memcmp(head, "hibr", 4) ||
                   !memcmp(head, "HIBR", 4)
               ? (uint64_t)RH_NTFS_HIBERNATED
               : 0;
}

/* --- telling -----------------------------------------------------------------
 */
/* Most telling first. */
void rh_ntfs_tell_state(struct rh_fs *fs, uint64_t state)
{
    fs->read_only = state != 0;
    if (state & RH_NTFS_HIBERNATED) {
        fs->trouble_id = RH_F_GUEST_HIBERNATED;
        fs->trouble = _("Windows is hibernated on it; nothing is written");
    } else if (state & RH_NTFS_CACHED) {
        fs->trouble_id = RH_F_WINDOWS_FAST_STARTUP;
        fs->trouble = _("Windows kept metadata in its cache when it stopped "
                        "(fast startup, or it was switched off); nothing is "
                        "written");
    } else if (state & RH_NTFS_UNCLEAN) {
        fs->trouble = _("its log holds changes that are not done yet; nothing "
                        "is written");
    } else if (state & RH_NTFS_CHKDSK) {
        fs->trouble = _("Windows wants to check it (chkdsk); nothing is "
                        "written");
    }
}
