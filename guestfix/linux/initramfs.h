/* initramfs.h - what an initramfs holds, and segments that add to it.
 *
 * An image is any number of cpio archives one after the other, each plain or
 * compressed; the kernel unpacks them in order and later files win.  So drivers
 * are added by appending a small archive, without running guest code. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_INITRAMFS_H
#define RH_GUESTFIX_LINUX_INITRAMFS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/lib.h"
#include "base/mem.h"

enum rh_initramfs_kind {
    RH_INITRAMFS_UNKNOWN,
    RH_INITRAMFS_TOOLS, /* Debian's initramfs-tools */
    RH_INITRAMFS_DRACUT,
    RH_INITRAMFS_MKINITCPIO,
    RH_INITRAMFS_MKINITFS, /* Alpine */
    RH_INITRAMFS_MKINITRD, /* old SUSE and Red Hat */
    RH_INITRAMFS_BOOSTER,
    RH_INITRAMFS_GENKERNEL,
    RH_INITRAMFS_SLACKWARE,
    RH_INITRAMFS_MAKE_INITRD, /* ALT */
    RH_INITRAMFS_NIXOS,
};

/* A small text file in the image that a fix may have to replace. */
struct rh_initramfs_file {
    char *path, *text;
};

/* Something that waits for a device by its old name: a hook of dracut, or a
 * unit that initrd.target wants. */
struct rh_initramfs_wait {
    char *path;
    bool is_unit, off; /* a segment of ours keeps it from waiting */
};

struct rh_initramfs {
    rh_lib *lib;       /* asked for cancel while it is read; may be NULL */
    uint64_t unpacked; /* bytes, of all parts */
    enum rh_initramfs_kind kind;
    const char *codec; /* of the main segment: "zstd", "none" ... static */
    bool lz4_legacy;
    bool early;       /* a plain microcode segment in front */
    bool ours;        /* a segment of ours is there */
    bool in_ours;     /* while it is read */
    size_t main_end;  /* bytes before our segment (all, when there is none) */
    bool lib_is_link; /* /lib is a symbolic link in the archive */
    char *modules_at; /* "usr/lib/modules" as the archive has it, or NULL */
    bool names_nics;  /* its udev gives NICs their names */
    RH_VEC(char *) modules; /* plain names, each of two parts sorted */
    size_t main_modules;    /* so many of them are not from a segment of ours */
    RH_VEC(struct rh_initramfs_file) files; /* the last of each path */
    RH_VEC(struct rh_initramfs_wait) waits; /* each once, by path */
};

/* Parse an image; `lib` (may be NULL) is asked for cancel.  -1 when it cannot
 * be understood (ret is freed then). */
int rh_initramfs_read(const void *bytes, size_t n, rh_lib *lib,
                      struct rh_initramfs *ret, rh_error **err);
void rh_initramfs_free(struct rh_initramfs *i);
bool rh_initramfs_has(const struct rh_initramfs *i, const char *module);
/* In its main part, without a segment of ours? */
bool rh_initramfs_main_has(const struct rh_initramfs *i, const char *module);
/* A configuration file of the image ("etc/lvm/lvm.conf"); NULL: none. */
const char *rh_initramfs_text(const struct rh_initramfs *i, const char *path);
const char *rh_initramfs_kind_name(enum rh_initramfs_kind kind);

/* --- a segment
 * ------------------------------------------------------------------ */
struct rh_segment {
    struct rh_buf cpio;
    unsigned inode;
    RH_VEC(char *) folders; /* written already */
};
/* Files with their parent folders ("lib", "usr", "usr/lib" are never made: one
 * of them may be a link that a folder would replace). */
void rh_segment_file(struct rh_segment *s, const char *path, const void *bytes,
                     size_t n, unsigned mode);
void rh_segment_link(struct rh_segment *s, const char *path,
                     const char *target);
/* Close it, and append it to `image` in the form that its codec allows. */
int rh_segment_finish(struct rh_segment *s, const struct rh_initramfs *to,
                      struct rh_buf *image, rh_error **err);
void rh_segment_free(struct rh_segment *s);

#endif
