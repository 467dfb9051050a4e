/* volume.c - mounting, and what is done with one file. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/helper.h"

#include <string.h>

ntfs_volume *volume;

static int number(void)
{
    return errno ? errno : EIO;
}

/* --- mounting ----------------------------------------------------------------
 */
/* As libntfs-3g itself decides before it mounts for writing; asked here of a
 * volume mounted for reading, so that it can be told apart and is not reset. */
static uint64_t log_state(void)
{
    ntfs_inode *ni = ntfs_inode_open(volume, FILE_LogFile);
    RESTART_PAGE_HEADER *rp = NULL;
    ntfs_attr *na;
    uint64_t state = 0;

    if (!ni)
        return RH_NTFS_UNCLEAN;
    na = ntfs_attr_open(ni, AT_DATA, AT_UNNAMED, 0);
    if (!na || !ntfs_check_logfile(na, &rp) || !ntfs_is_logfile_clean(na, rp))
        state = RH_NTFS_UNCLEAN;
    if (rp && le16_to_cpu(rp->major_ver) == 2)
        state = RH_NTFS_CACHED;
    free(rp);
    if (na)
        ntfs_attr_close(na);
    ntfs_inode_close(ni);
    return state;
}

static uint64_t state_of(void)
{
    uint64_t state = log_state();

    if (ntfs_volume_check_hiberfile(volume, 0) < 0 && errno == EPERM)
        state |= RH_NTFS_HIBERNATED;
    if (volume->flags & VOLUME_IS_DIRTY)
        state |= RH_NTFS_CHKDSK;
    return state;
}

/* The root folder's newest time stands for the present. */
static void take_clock(void)
{
    ntfs_inode *root = ntfs_inode_open(volume, FILE_root);

    if (!root)
        return;
    set_clock(ntfs2timespec(root->last_mft_change_time).tv_sec);
    ntfs_inode_close(root);
}

static int mount_it(unsigned long flags)
{
    struct ntfs_device *d =
        ntfs_device_alloc("volume", 0, &socket_device, NULL);
    int e;

    if (!d)
        return ENOMEM;
    errno = 0;
    volume = ntfs_device_mount(d, flags);
    if (!volume) {
        e = number();
        ntfs_device_free(d);
        return e;
    }
    ntfs_set_ignore_case(volume);
    return 0;
}

bool volume_is_open(void)
{
    return volume != NULL;
}

int volume_close(void)
{
    int r = 0;

    if (volume && ntfs_umount(volume, FALSE) < 0)
        r = number();
    volume = NULL;
    return r;
}

int volume_open(bool writing, uint64_t *ret_state)
{
    int r = volume_close();

    if (!r)
        r = mount_it(NTFS_MNT_RDONLY | NTFS_MNT_FORENSIC);
    if (r)
        return r;
    take_clock();
    *ret_state = state_of();
    if (!writing)
        return 0;
    if (*ret_state)
        return EROFS;
    r = volume_close();
    return r ? r : mount_it(NTFS_MNT_NONE);
}

int free_bytes(uint64_t *ret)
{
    if (ntfs_volume_get_free_space(volume) < 0)
        return number();
    *ret = (uint64_t)volume->free_clusters * volume->cluster_size;
    return 0;
}

/* --- files -------------------------------------------------------------------
 */
/* What a reparse point means for a reader; 0: none. */
static uint32_t reparse_tag(ntfs_inode *ni)
{
    s64 n = 0;
    REPARSE_POINT *p;
    uint32_t tag = 0;

    if (!(ni->flags & FILE_ATTR_REPARSE_POINT))
        return 0;
    p = ntfs_attr_readall(ni, AT_REPARSE_POINT, AT_UNNAMED, 0, &n);
    if (p && n >= (s64)sizeof *p)
        tag = le32_to_cpu(p->reparse_tag);
    free(p);
    return tag ? tag : 0xffffffff;
}

static bool is_packed(uint32_t tag)
{
    return tag == 0x80000017 || tag == 0x80000013; /* WOF, deduplication */
}

static bool is_dir(const ntfs_inode *ni)
{
    return ni->mrec->flags & MFT_RECORD_IS_DIRECTORY;
}

int file_stat(uint64_t node, struct rh_ntfs_stat *ret)
{
    ntfs_inode *ni = ntfs_inode_open(volume, node);
    uint32_t tag;

    if (!ni)
        return number();
    memset(ret, 0, sizeof *ret);
    tag = reparse_tag(ni);
    ret->type = tag && !is_packed(tag) ? 'l' : is_dir(ni) ? 'd' : 'f';
    ret->size = ret->type == 'f' ? (uint64_t)ni->data_size : 0;
    ret->mtime = ntfs2timespec(ni->last_data_change_time).tv_sec;
    ret->flags =
        (ni->flags & FILE_ATTR_COMPRESSED ? (uint32_t)RH_NTFS_COMPRESSED : 0) |
        (ni->flags & FILE_ATTR_ENCRYPTED ? (uint32_t)RH_NTFS_ENCRYPTED : 0) |
        (is_packed(tag) ? (uint32_t)RH_NTFS_PACKED : 0);
    ntfs_inode_close(ni);
    return 0;
}

/* The unnamed data of a plain file. */
static int open_data(uint64_t node, ntfs_inode **ret_ni, ntfs_attr **ret_na)
{
    ntfs_inode *ni = ntfs_inode_open(volume, node);
    int e = 0;

    if (!ni)
        return number();
    if (is_dir(ni))
        e = EISDIR;
    else if (ni->flags & FILE_ATTR_ENCRYPTED)
        e = EACCES;
    else if (reparse_tag(ni))
        e = EOPNOTSUPP;
    if (!e) {
        *ret_na = ntfs_attr_open(ni, AT_DATA, AT_UNNAMED, 0);
        e = *ret_na ? 0 : number();
    }
    if (e)
        ntfs_inode_close(ni);
    *ret_ni = ni;
    return e;
}

static int close_data(ntfs_inode *ni, ntfs_attr *na, int e)
{
    if (!e && NAttrNonResident(na) && NAttrCompressed(na) &&
        ntfs_attr_pclose(na) < 0)
        e = number();
    ntfs_attr_close(na);
    if (ntfs_inode_close(ni) < 0 && !e)
        e = number();
    return e;
}

int file_read(uint64_t node, uint64_t at, uint64_t n, char *to, uint64_t *ret)
{
    ntfs_inode *ni = NULL;
    ntfs_attr *na = NULL;
    uint64_t done = 0;
    int e = open_data(node, &ni, &na);

    if (e || !na)
        return e ? e : EIO;
    while (done < n) {
        s64 got =
            ntfs_attr_pread(na, (s64)(at + done), (s64)(n - done), to + done);

        if (got < 0)
            e = number();
        if (got <= 0)
            break;
        done += (uint64_t)got;
    }
    *ret = done;
    ntfs_attr_close(na);
    ntfs_inode_close(ni);
    return e;
}

int file_write(uint64_t node, uint64_t at, const char *from, uint64_t n)
{
    ntfs_inode *ni = NULL;
    ntfs_attr *na = NULL;
    uint64_t done = 0;
    int e = open_data(node, &ni, &na);

    if (e || !na)
        return e ? e : EIO;
    while (done < n && !e) {
        s64 put = ntfs_attr_pwrite(na, (s64)(at + done), (s64)(n - done),
                                   from + done);

        if (put <= 0)
            e = number();
        else
            done += (uint64_t)put;
    }
    ntfs_inode_update_times(ni, NTFS_UPDATE_MCTIME);
    return close_data(ni, na, e);
}

int file_truncate(uint64_t node, uint64_t bytes)
{
    ntfs_inode *ni = NULL;
    ntfs_attr *na = NULL;
    int e = open_data(node, &ni, &na);

    if (e || !na)
        return e ? e : EIO;
    if (ntfs_attr_truncate(na, (s64)bytes))
        e = number();
    ntfs_inode_update_times(ni, NTFS_UPDATE_MCTIME);
    return close_data(ni, na, e);
}

/* --- access control ----------------------------------------------------------
 */
int acl_get(uint64_t node, char **ret, uint32_t *ret_n)
{
    struct SECURITY_CONTEXT scx = {.vol = volume};
    ntfs_inode *ni = ntfs_inode_open(volume, node);
    int n, e = 0;

    if (!ni)
        return number();
    n = ntfs_get_ntfs_acl(&scx, ni, NULL, 0);
    *ret = n > 0 && n <= 65536 ? calloc(1, (size_t)n) : NULL;
    if (!*ret || ntfs_get_ntfs_acl(&scx, ni, *ret, (size_t)n) != n)
        e = number();
    *ret_n = e ? 0 : (uint32_t)n;
    ntfs_inode_close(ni);
    return e;
}

int acl_set(uint64_t node, const char *acl, uint32_t n)
{
    struct SECURITY_CONTEXT scx = {.vol = volume};
    ntfs_inode *ni = ntfs_inode_open(volume, node);
    int e = 0;

    if (!ni)
        return number();
    if (ntfs_set_ntfs_acl(&scx, ni, acl, n, 0) < 0)
        e = number();
    if (ntfs_inode_close(ni) < 0 && !e)
        e = number();
    return e;
}
