/* fs.h - one file system, reached in-process: what ext and FAT both offer.
 *
 * A node is a number that the driver understands (an inode; the place of a
 * directory entry).  Names are single components; walking paths, symbolic
 * links and mounts is done above (vfs.c). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_FS_H
#define RH_GUESTFIX_BACKENDS_FS_H

#include "volumes/disks.h"
#include "guestfix/guest.h"
#include "report/findings.h"
#include "volumes/volumes.h"

struct rh_fs;
struct rh_backend;
struct rh_unused_out;

struct rh_names {
    char **items;
    size_t count, room;
};
void rh_names_free(struct rh_names *n);

/* A tree of its own within a file system. */
struct rh_subvolume {
    uint64_t root, id; /* the node of its "/"; "subvolid=" */
    bool read_only;
};

struct rh_fs_ops {
    uint64_t root; /* node of "/" */
    bool any_case; /* names without regard to case */
    int (*stat)(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                rh_error **err);
    /* FILE_NOT_FOUND when there is no such name. */
    int (*lookup)(struct rh_fs *fs, uint64_t dir, const char *name,
                  uint64_t *ret, rh_error **err);
    int (*list)(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                rh_error **err);
    /* At most `limit` bytes; more is an error. */
    int (*read)(struct rh_fs *fs, uint64_t node, uint64_t limit,
                void **ret_bytes, size_t *ret_size, rh_error **err);
    int (*read_link)(struct rh_fs *fs, uint64_t node, char **ret,
                     rh_error **err);
    /* A new file; `like` (a node, 0: none) gives owner, mode, attributes. */
    int (*create)(struct rh_fs *fs, uint64_t dir, const char *name,
                  const void *bytes, size_t n, uint32_t mode, uint64_t like,
                  rh_error **err);
    /* NULL, or new contents for a file that stays the same file: where more
     * than its bytes hangs on it (NTFS: its number, its ACL, its short name).
     */
    int (*rewrite)(struct rh_fs *fs, uint64_t node, const void *bytes, size_t n,
                   rh_error **err);
    int (*remove)(struct rh_fs *fs, uint64_t dir, const char *name,
                  rh_error **err);
    int (*rename)(struct rh_fs *fs, uint64_t from_dir, const char *from,
                  uint64_t to_dir, const char *to, rh_error **err);
    int (*make_dir)(struct rh_fs *fs, uint64_t dir, const char *name,
                    uint32_t mode, rh_error **err);
    int (*symlink)(struct rh_fs *fs, uint64_t dir, const char *name,
                   const char *target, rh_error **err);
    int (*get_xattr)(struct rh_fs *fs, uint64_t node, const char *name,
                     void **ret_bytes, size_t *ret_size, rh_error **err);
    int (*set_xattr)(struct rh_fs *fs, uint64_t node, const char *name,
                     const void *bytes, size_t n, rh_error **err);
    int (*free_space)(struct rh_fs *fs, uint64_t *ret, rh_error **err);
    /* NULL, or: the bytes of the volume that nothing uses.  1 when its maps
     * cannot be believed: then *ret_why says why (static, translated). */
    int (*unused)(struct rh_fs *fs, struct rh_unused_out *out,
                  const char **ret_why, rh_error **err);
    /* NULL, or: the subvolume that these options of a mount name
     * ("rw,subvol=@"); where they name none (may be NULL), the default one.
     * FILE_NOT_FOUND when it is not there. */
    int (*subvolume)(struct rh_fs *fs, const char *options,
                     struct rh_subvolume *ret, rh_error **err);
    int (*sync)(struct rh_fs *fs, rh_error **err);
    /* NULL, or: forget what was changed since the last sync(), instead of being
     * closed and opened anew over disks that went back.  When it fails the
     * disks must not go back. */
    int (*go_back)(struct rh_fs *fs, rh_error **err);
    void (*close)(struct rh_fs *fs); /* without writing; frees fs */
};

struct rh_fs {
    const struct rh_fs_ops *ops;
    const struct rh_backend *backend; /* set by who opens it */
    struct rh_disks *disks;
    const struct rh_volume *volume;
    void *state;
    /* What is wrong with it, though it can be used: "has errors"; NULL: none.
     * Translated. */
    const char *trouble;
    enum rh_finding_id trouble_id; /* NONE: GUEST_DIRTY_FS */
    bool read_only;                /* this one, whatever its back end can do */
};

/* Opens its kind or says by NULL and *ret_why (static, translated; may be NULL)
 * that this volume must go another way.  err is for failing reads. */
typedef struct rh_fs *rh_fs_opener(struct rh_disks *d,
                                   const struct rh_volume *v,
                                   const char **ret_why, rh_error **err);
rh_fs_opener rh_btrfs_open, rh_ext_open, rh_fat_open, rh_ntfs_open, rh_ufs_open,
    rh_xfs_open, rh_zfs_open;

bool rh_ntfs_is_here(void); /* the program that reads it */

/* Changes over a file system that is only read, in memory; it takes `below`. */
struct rh_fs *rh_scratch_new(struct rh_fs *below);

/* The guest over its mounted volumes: takes the file systems in *mounts*. */
struct rh_mount {
    char *path; /* "/", "/boot" */
    struct rh_fs *fs;
    uint64_t root; /* of a subvolume; 0: the file system's own */
    bool again;    /* the file system is an earlier mount's */
    size_t first;  /* that one, while `fs` is let go */
    struct rh_left {
        const struct rh_backend *backend;
        struct rh_disks *disks;
        const struct rh_volume *volume;
    } left; /* what to open again */
};
struct rh_guest *rh_direct_new(struct rh_mount *mounts, size_t count);
void rh_mounts_free(struct rh_mount *mounts, size_t count);

#endif
