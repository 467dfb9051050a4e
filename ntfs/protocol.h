/* protocol.h - what rehost and its NTFS helper say to each other.
 *
 * One stream socket, frames of a header and `length` bytes behind it, numbers
 * in the machine's own order (both run on it).  rehost asks, the helper
 * answers with ANSWER; before it does, it may ask for blocks of the volume as
 * often as it likes: rehost serves them and waits on.  So the volume's bytes
 * never leave rehost's overlay, and the helper needs nothing but the socket. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_NTFS_PROTOCOL_H
#define RH_NTFS_PROTOCOL_H

#include <stdint.h>

enum rh_ntfs_op {
    /* helper to rehost */
    RH_NTFS_ANSWER = 1, /* a: 0 or an errno; b, c: by request */
    RH_NTFS_GET_BLOCKS, /* a: offset, b: bytes; BLOCKS or NO_BLOCKS comes */
    RH_NTFS_PUT_BLOCKS, /* a: offset, payload; BLOCKS (empty) or NO_BLOCKS */
    /* rehost to helper: as an answer to the two above */
    RH_NTFS_BLOCKS = 16,
    RH_NTFS_NO_BLOCKS,
    /* rehost to helper: requests.  A node is a reference in the MFT. */
    RH_NTFS_OPEN = 32,  /* a: bytes of the volume; b: enum rh_ntfs_state */
    RH_NTFS_OPEN_WRITE, /* mount again, for writing */
    RH_NTFS_STAT,       /* a: node; payload: struct rh_ntfs_stat */
    RH_NTFS_LOOKUP,     /* a: folder, payload: name; b: node */
    RH_NTFS_LIST,       /* a: folder; payload: names, each ended by NUL */
    RH_NTFS_READ,       /* a: node, b: offset, c: bytes; payload */
    RH_NTFS_CREATE,     /* a: folder, payload: name; b: node */
    RH_NTFS_MAKE_DIR,   /* likewise */
    RH_NTFS_WRITE,      /* a: node, b: offset, payload */
    RH_NTFS_TRUNCATE,   /* a: node, b: bytes */
    RH_NTFS_REMOVE,     /* a: folder, payload: name */
    RH_NTFS_RENAME,     /* a, b: folders, payload: two names, NUL between */
    RH_NTFS_GET_ACL,    /* a: node; payload: a self-relative descriptor */
    RH_NTFS_SET_ACL,    /* a: node, payload: likewise */
    RH_NTFS_FREE,       /* b: free bytes */
    RH_NTFS_SYNC        /* all is written, and the volume unmounted clean */
};

struct rh_ntfs_frame {
    uint32_t op, length;
    uint64_t a, b, c;
};

enum { RH_NTFS_PART = 1024 * 1024, RH_NTFS_LIST_MAX = 16 * 1024 * 1024 };

/* Why a volume is not written. */
enum rh_ntfs_state {
    RH_NTFS_UNCLEAN = 1,    /* $LogFile holds what is not done yet */
    RH_NTFS_CACHED = 2,     /* $LogFile 2.0: Windows keeps metadata in cache */
    RH_NTFS_HIBERNATED = 4, /* hiberfil.sys holds a live system */
    RH_NTFS_CHKDSK = 8      /* the dirty flag: Windows wants to check it */
};

enum rh_ntfs_flag {
    RH_NTFS_COMPRESSED = 1,
    RH_NTFS_ENCRYPTED = 2,
    RH_NTFS_PACKED = 4 /* CompactOS or deduplicated: not there as it reads */
};

struct rh_ntfs_stat {
    uint64_t size;
    int64_t mtime; /* seconds since 1970 */
    uint32_t flags;
    char type; /* 'f', 'd', 'l' (junction or link), '?' */
    char pad[3];
};

#endif
