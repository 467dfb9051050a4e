/* backends.c - the table of ways to a guest's files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/backends.h"

#include <string.h>

static bool is_btrfs(const struct rh_session *s, const struct rh_volume *v)
{
    (void)s;
    return v->span_count && v->fstype && !strcmp(v->fstype, "btrfs");
}

static bool is_ext(const struct rh_session *s, const struct rh_volume *v)
{
    (void)s;
    return v->span_count && v->fstype && !strncmp(v->fstype, "ext", 3);
}

static bool is_fat(const struct rh_session *s, const struct rh_volume *v)
{
    (void)s;
    return v->span_count && v->fstype && !strcmp(v->fstype, "vfat");
}

static bool is_ntfs(const struct rh_session *s, const struct rh_volume *v)
{
    (void)s;
    return v->span_count && v->fstype && !strcmp(v->fstype, "ntfs");
}

static bool is_ntfs_left(const struct rh_session *s, const struct rh_volume *v)
{
    return s->by_appliance && rh_left_to_appliance(s, v);
}

static bool is_ufs(const struct rh_session *s, const struct rh_volume *v)
{
    (void)s;
    return v->span_count && v->fstype && !strcmp(v->fstype, "ufs");
}

static bool is_xfs(const struct rh_session *s, const struct rh_volume *v)
{
    (void)s;
    return v->span_count && v->fstype && !strcmp(v->fstype, "xfs");
}

static bool is_zfs(const struct rh_session *s, const struct rh_volume *v)
{
    (void)s;
    return v->span_count && v->zfs && v->zfs->here_count;
}

/* A kernel reads them; LUKS with a key only. */
static bool is_for_a_kernel(const struct rh_session *s,
                            const struct rh_volume *v)
{
    static const char *const kinds[] = {
        "xfs",      "btrfs", "ext4",
        "ext3",     "ext2",  "f2fs",
        "reiserfs", "jfs",   "linux_raid_member"};

    if (v->lv && !v->span_count && !v->broken)
        return true;
    for (size_t i = 0; v->fstype && i < RH_COUNT(kinds); i++)
        if (!strcmp(v->fstype, kinds[i]))
            return true;
    return v->fstype && !strcmp(v->fstype, "crypto_LUKS") && s->o->keys &&
           s->o->keys[0];
}

enum { EDITS = RH_CAN_READ | RH_CAN_WRITE };

const struct rh_backend rh_backends[] = {
    {"btrfs", RH_CAN_READ, is_btrfs, rh_btrfs_open, NULL, NULL},
    {"ext", EDITS, is_ext, rh_ext_open, NULL, NULL},
    {"fat", EDITS, is_fat, rh_fat_open, NULL, NULL},
    {"ntfs-3g", EDITS, is_ntfs_left, NULL, rh_ntfs_in_appliance, NULL},
    {"ntfs", EDITS, is_ntfs, rh_ntfs_open, NULL, NULL},
    {"ufs", EDITS, is_ufs, rh_ufs_open, NULL, NULL},
    {"xfs", RH_CAN_READ, is_xfs, rh_xfs_open, NULL, NULL},
    {"zfs", RH_CAN_READ | RH_CAN_REFUSE, is_zfs, rh_zfs_open, NULL, NULL},
    {"appliance", EDITS, is_for_a_kernel, NULL, NULL, rh_open_appliance},
    {NULL, 0, NULL, NULL, NULL, NULL},
};

bool rh_left_to_appliance(const struct rh_session *s, const struct rh_volume *v)
{
    return is_ntfs(s, v) && !s->o->no_appliance && !rh_ntfs_is_here() &&
           rh_appliance_is_here();
}

struct rh_fs *rh_backend_open(const struct rh_backend *b, struct rh_disks *d,
                              const struct rh_volume *v, const char **ret_why,
                              rh_error **err)
{
    struct rh_fs *fs = b->open(d, v, ret_why, err);

    if (fs)
        fs->backend = b;
    return fs;
}

/* Where edits follow, what can only be read is left to the appliance, but for a
 * dry run: its edits stay in memory. */
static bool serves(const struct rh_session *s, const struct rh_backend *b)
{
    return (b->open || b->open_by) &&
           (b->abilities & (RH_CAN_WRITE | RH_CAN_REFUSE) || !s->writing ||
            s->o->dry_run);
}

struct rh_fs *rh_volume_open(struct rh_session *s, const struct rh_volume *v,
                             const char **ret_why, rh_error **err)
{
    for (const struct rh_backend *b = rh_backends; b->name; b++) {
        struct rh_fs *fs;

        if (!serves(s, b) || !b->probe(s, v))
            continue;
        fs = b->open ? rh_backend_open(b, s->disks, v, ret_why, err)
                     : b->open_by(s, v, ret_why, err);
        if (fs)
            fs->backend = b;
        return fs && s->writing &&
                       !(b->abilities & (RH_CAN_WRITE | RH_CAN_REFUSE))
                   ? rh_scratch_new(fs)
                   : fs;
    }
    *ret_why = _("its file system is read by the appliance only");
    return NULL;
}
