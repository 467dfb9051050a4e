/* vhd.h - what the reader and the writers of VHD share: the footer. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_VHD_VHD_H
#define RH_FORMATS_VHD_VHD_H

#include "base/limits.h"
#include "formats/format.h"

enum {
    VHD_SECTOR = 512,
    VHD_FOOTER = 512,
    VHD_HEADER = 1024,
    VHD_NO_BLOCK = 0xffffffff, /* table entry of a block that is not there */
};
enum vhd_type { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

/* The most a VHD holds: MAX_VHD_SIZE of XCP-ng's storage manager, and QEMU's
 * 0xff000000 sectors. */
#define VHD_MOST (2040 * RH_GIB)

struct vhd_geometry {
    uint64_t cylinders;
    unsigned heads, sectors;
};

/* The footer, decoded. */
struct vhd_footer {
    uint32_t features, version, type;
    uint64_t header; /* offset of the dynamic header */
    char creator[4];
    uint64_t size; /* "current size", bytes */
    struct vhd_geometry geometry;
    uint8_t uuid[16];
    bool saved_state;
};

/* What opening leaves. */
struct vhd {
    struct vhd_footer footer;
    uint64_t end;      /* of what the footer closes: data lies before */
    uint64_t table_at; /* in the file */
    uint32_t *table;   /* sector of each block, or VHD_NO_BLOCK */
    uint64_t said;     /* entries that there are */
    uint64_t entries;  /* of them, those that the disk's size needs */
    uint64_t block;    /* bytes of data in a block */
    uint64_t bitmap;   /* bytes of bitmap in front of them */
};

/* Fills r->state; the table is all that is kept: 4 bytes per block, bounded. */
int rh_vhd_open(struct rh_reader *r, const struct rh_open_options *o,
                rh_error **err);
void rh_vhd_free(struct vhd *v);
/* The sectors of all blocks in ascending order; the caller frees. */
int rh_vhd_sorted(const struct rh_reader *r, const struct vhd *v,
                  uint32_t **ret, uint64_t *ret_count, rh_error **err);
/* What does not keep a disk from being read (check.c), as problems. */
int rh_vhd_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err);

/* Ones' complement of the sum of n bytes, the four at `field` left out. */
uint32_t rh_vhd_sum(const uint8_t *p, size_t n, size_t field);
/* Cylinders, heads, sectors of a disk, by the specification's rule. */
struct vhd_geometry rh_vhd_geometry(uint64_t size);
uint64_t rh_vhd_geometry_size(const struct vhd_geometry *g);

/* Has it the mark and a right sum? */
bool rh_vhd_footer_good(const uint8_t p[VHD_FOOTER]);
void rh_vhd_footer_decode(const uint8_t p[VHD_FOOTER], struct vhd_footer *ret);
void rh_vhd_footer_encode(const struct vhd_footer *f, uint8_t p[VHD_FOOTER]);

/* What the identity of a disk to be written is made from: its size and first
 * 64 KiB, which hold the partition table with the disk's own id.  A forward
 * source gives them only while it is copied: note() what passes (under the
 * copy's lock), then make the identity anew. */
struct vhd_seed {
    uint64_t size;
    uint8_t head[64 * 1024];
};
void rh_vhd_seed_note(struct vhd_seed *s, const struct rh_unit *u);
void rh_vhd_seed_uuid(const struct vhd_seed *s, uint8_t ret[16]);
/* Fill what both writers do alike; fails beyond VHD_MOST.  *ret_seed (to be
 * freed) is NULL when the source told all already. */
int rh_vhd_new_footer(const struct rh_create_options *o, enum vhd_type type,
                      struct vhd_footer *ret, struct vhd_seed **ret_seed,
                      rh_error **err);

extern const struct rh_writer_ops rh_vhd_dynamic_writer, rh_vhd_fixed_writer;
/* patch.c: a later pass over a dynamic VHD of ours. */
extern const struct rh_patch_ops rh_vhd_patch;

#endif
