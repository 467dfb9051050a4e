/* ext_edit.c - ext file systems edited by programs.
 *
 * Byte 0: the kind of image (small ones are made here, once, with the features
 * that distributions use; or the input's own bytes, which nobody checks: there
 * an edit must end, and be undone byte for byte when it fails); byte 1: the
 * length of the program then. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/edit_fs.h"

#include <ext2fs/ext2fs.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"

enum { ROOM = 2 * 1024 * 1024 };

static const struct shape {
    uint32_t block, compat, incompat, ro_compat, inode_size, inodes;
} shapes[] = {
    {1024, 0, EXT2_FEATURE_INCOMPAT_FILETYPE, 0, 128, 128},
    {1024, EXT2_FEATURE_COMPAT_DIR_INDEX | EXT2_FEATURE_COMPAT_EXT_ATTR,
     EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS,
     EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE,
     256, 64},
    {4096, EXT2_FEATURE_COMPAT_DIR_INDEX | EXT2_FEATURE_COMPAT_EXT_ATTR,
     EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
         EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG,
     EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |
         EXT4_FEATURE_RO_COMPAT_METADATA_CSUM,
     256, 256},
};

struct image {
    uint8_t *bytes;
};
static struct image images[RH_COUNT(shapes)];

static errcode_t fill(ext2_filsys fs)
{
    errcode_t code = ext2fs_allocate_tables(fs);

    if (!code)
        code = ext2fs_mkdir(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, NULL);
    for (ext2_ino_t i = EXT2_ROOT_INO + 1;
         !code && i < EXT2_FIRST_INODE(fs->super); i++)
        ext2fs_inode_alloc_stats2(fs, i, 1, 0);
    ext2fs_mark_inode_bitmap2(fs->inode_map, EXT2_BAD_INO);
    ext2fs_inode_alloc_stats2(fs, EXT2_BAD_INO, 1, 0);
    return code;
}

static void make(const struct shape *s, struct image *ret)
{
    struct ext2_super_block p = {0};
    int fd = memfd_create("ext", MFD_CLOEXEC);
    RH_AUTO(rh_freep) char *name = rh_printf("/proc/self/fd/%d", fd);
    ext2_filsys fs;

    if (fd < 0 || ftruncate(fd, ROOM) < 0)
        abort();
    p.s_rev_level = 1;
    p.s_log_block_size = s->block == 1024 ? 0 : 2;
    p.s_log_cluster_size = p.s_log_block_size;
    p.s_blocks_count = ROOM / s->block;
    p.s_inodes_count = s->inodes;
    p.s_inode_size = (uint16_t)s->inode_size;
    p.s_feature_compat = s->compat;
    p.s_feature_incompat = s->incompat;
    p.s_feature_ro_compat = s->ro_compat;
    if (ext2fs_initialize(name, EXT2_FLAG_64BITS, &p, unix_io_manager, &fs))
        abort();
    fs->super->s_state = EXT2_VALID_FS;
    fs->super->s_checksum_type = EXT2_CRC32C_CHKSUM;
    memcpy(fs->super->s_uuid, "fuzzfuzzfuzzfuzz", 16);
    ext2fs_init_csum_seed(fs);
    if (fill(fs) || ext2fs_close(fs))
        abort();
    ret->bytes = rh_malloc(ROOM);
    if (pread(fd, ret->bytes, ROOM, 0) != ROOM)
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program p = {.bytes = data + 2};
    unsigned kind;

    if (size < 2)
        return 0;
    kind = data[0] % (RH_COUNT(shapes) + 1);
    if (kind == RH_COUNT(shapes)) {
        p.n = RH_MIN((size_t)data[1] * 2, size - 2);
        edit_image(data + 2 + p.n, size - 2 - p.n, &p, rh_ext_open, false);
        return 0;
    }
    p.n = size - 2;
    if (!images[kind].bytes)
        make(&shapes[kind], &images[kind]);
    edit_image(images[kind].bytes, ROOM, &p, rh_ext_open, true);
    return 0;
}
