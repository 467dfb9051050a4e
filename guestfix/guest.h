/* guest.h - a guest's files, however they are reached.
 *
 * Detection and fixes are written once against this; they never know whether
 * the file system is read in-process (libext2fs, FAT) or in an appliance
 * (libguestfs).  Paths are absolute in the guest ("/etc/fstab"), symbolic
 * links are followed inside the guest's root, mounts of /boot, /boot/efi, /usr,
 * /var are resolved by the implementation. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_GUEST_H
#define RH_GUESTFIX_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "volumes/volume.h"

struct rh_guest;

struct rh_guest_stat {
    char type; /* 'f', 'd', 'l', or '?' */
    uint64_t size;
    uint32_t mode; /* permission bits */
    uint32_t uid, gid;
    int64_t mtime;
    uint64_t inode;
};

struct rh_guest_ops {
    const char *backend; /* "direct" or "libguestfs" */
    /* Each returns 0, or -1 with err.  A missing file is FILE_NOT_FOUND. */
    int (*stat)(struct rh_guest *g, const char *path, bool follow,
                struct rh_guest_stat *ret, rh_error **err);
    int (*list)(struct rh_guest *g, const char *path, char ***ret_names,
                rh_error **err); /* NULL-ended, sorted; both levels are yours */
    int (*read)(struct rh_guest *g, const char *path, uint64_t limit,
                void **ret_bytes, size_t *ret_size, rh_error **err);
    /* Replace or create, atomically for readers of the result; keeps owner,
     * mode and extended attributes of a file that is replaced; a new one gets
     * `mode`, root's ownership, and its folder's SELinux label. */
    int (*write)(struct rh_guest *g, const char *path, const void *bytes,
                 size_t n, uint32_t mode, rh_error **err);
    int (*rename)(struct rh_guest *g, const char *from, const char *to,
                  rh_error **err);
    int (*copy)(struct rh_guest *g, const char *from, const char *to,
                rh_error **err); /* with owner, mode, attributes */
    int (*remove)(struct rh_guest *g, const char *path, rh_error **err);
    int (*make_dir)(struct rh_guest *g, const char *path, uint32_t mode,
                    rh_error **err); /* parents too; exists is fine */
    int (*symlink)(struct rh_guest *g, const char *target, const char *path,
                   rh_error **err);
    int (*read_link)(struct rh_guest *g, const char *path, char **ret,
                     rh_error **err);
    int (*get_xattr)(struct rh_guest *g, const char *path, const char *name,
                     void **ret_bytes, size_t *ret_size, rh_error **err);
    int (*set_xattr)(struct rh_guest *g, const char *path, const char *name,
                     const void *bytes, size_t n, rh_error **err);
    int (*free_space)(struct rh_guest *g, const char *path, uint64_t *ret_bytes,
                      rh_error **err);
    /* Write back what is held in memory, and go on. */
    int (*flush)(struct rh_guest *g, rh_error **err);
    /* Write everything back; only after this do the overlays hold it, and
     * nothing comes after it. */
    int (*sync)(struct rh_guest *g, rh_error **err);
    /* The overlays are put back to what they were at the last flush: hold
     * nothing of them before that, look at them anew after it.  When one of
     * the two fails only close() may follow. */
    int (*let_go)(struct rh_guest *g, rh_error **err);
    int (*take_up)(struct rh_guest *g, rh_error **err);
    void (*close)(struct rh_guest *g);
};

struct rh_guest {
    const struct rh_guest_ops *ops;
    size_t root_volume; /* index, SIZE_MAX: none found */
    bool read_only;     /* a file system of it can be read only */
    /* Folders whose files belong to an image or a store: what is changed there
     * is lost, or makes it invalid.  NULL-ended; NULL: none.  A family says
     * it, rh_fix_put() and rh_fix_drop() keep to it. */
    const char *const *frozen;
    uint64_t changes; /* how often something was written; ops count it */
    void *state;
};

/* --- reading, on top of that (files.c)
 * ----------------------------------- */
/* 'f', 'd', 'l', or '?', by the bits that every Unix has for them. */
char rh_guest_type(uint32_t mode);
/* Type and mode of what has these bits. */
void rh_guest_mode(struct rh_guest_stat *s, uint32_t bits);
enum { RH_TEXT_FILE_MAX = 1024 * 1024 };
/* The text of a file, NUL-terminated; NULL when it is not there (err stays
 * clear) or cannot be read (err is set).  The caller frees. */
char *rh_guest_text(struct rh_guest *g, const char *path, rh_error **err);
bool rh_guest_exists(struct rh_guest *g, const char *path);
/* The path of the file itself, where links lead to it. */
char *rh_guest_real(struct rh_guest *g, const char *path);
bool rh_guest_is_dir(struct rh_guest *g, const char *path);
/* Names in a folder, NULL-ended; NULL when it is not there. */
char **rh_guest_names(struct rh_guest *g, const char *path);
void rh_name_list_free(char **names);
void rh_name_list_freep(char ***names);

#endif
