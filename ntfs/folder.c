/* folder.c - names in folders, without regard to case. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/helper.h"

#include <string.h>

static int number(void)
{
    return errno ? errno : EIO;
}

static int wide(const char *name, ntfschar **ret, u8 *ret_n)
{
    int n;

    *ret = NULL;
    n = ntfs_mbstoucs(name, ret);
    if (n <= 0 || n > 255) {
        free(*ret);
        *ret = NULL;
        return n < 0 ? number() : EINVAL;
    }
    *ret_n = (u8)n;
    return 0;
}

int folder_find(uint64_t dir, const char *name, uint64_t *ret)
{
    ntfs_inode *ni = ntfs_inode_open(volume, dir);
    ntfschar *u = NULL;
    u64 found = (u64)-1;
    u8 n = 0;
    int e;

    if (!ni)
        return number();
    e = wide(name, &u, &n);
    if (!e) {
        errno = 0;
        found = ntfs_inode_lookup_by_name(ni, u, n);
        e = found == (u64)-1 ? number() : 0;
    }
    free(u);
    ntfs_inode_close(ni);
    *ret = MREF(found);
    return e;
}

/* --- listing -----------------------------------------------------------------
 */
struct names {
    char *p;
    size_t n, room;
};

static int add_name(void *user, const ntfschar *name, const int n,
                    const int name_type, const s64 pos, const MFT_REF mref,
                    const unsigned dt_type)
{
    struct names *all = user;
    char *text = NULL;
    int length;

    (void)pos;
    (void)mref;
    (void)dt_type;
    if (name_type == FILE_NAME_DOS)
        return 0;
    length = ntfs_ucstombs(name, n, &text, 0);
    if (length < 0) /* half a surrogate: nothing that we look for */
        return 0;
    if (strcmp(text, ".") && strcmp(text, "..")) {
        if (all->n + (size_t)length + 1 > all->room) {
            size_t room = (all->n + (size_t)length + 1) * 2;
            char *more = room > RH_NTFS_LIST_MAX ? NULL : realloc(all->p, room);

            if (!more) {
                free(text);
                errno = E2BIG;
                return -1;
            }
            all->p = more;
            all->room = room;
        }
        memcpy(all->p + all->n, text, (size_t)length + 1);
        all->n += (size_t)length + 1;
    }
    free(text);
    return 0;
}

int folder_list(uint64_t dir, char **ret, uint32_t *ret_n)
{
    ntfs_inode *ni = ntfs_inode_open(volume, dir);
    struct names all = {0};
    s64 pos = 0;
    int e = 0;

    if (!ni)
        return number();
    errno = 0;
    if (ntfs_readdir(ni, &pos, &all, add_name) < 0)
        e = number();
    ntfs_inode_close(ni);
    *ret = all.p;
    *ret_n = (uint32_t)all.n;
    return e;
}

/* --- changing ----------------------------------------------------------------
 */
int folder_add(uint64_t dir, const char *name, bool make_dir, uint64_t *ret)
{
    struct PERMISSIONS_CACHE *cache = NULL;
    struct SECURITY_CONTEXT scx = {.vol = volume, .pseccache = &cache};
    ntfs_inode *ni = ntfs_inode_open(volume, dir), *made = NULL;
    ntfschar *u = NULL;
    u8 n = 0;
    int e;

    if (!ni)
        return number();
    e = wide(name, &u, &n);
    if (!e) {
        le32 id = ntfs_inherited_id(&scx, ni, make_dir);

        made = ntfs_create(ni, id, u, n, make_dir ? S_IFDIR : S_IFREG);
        e = made ? 0 : number();
    }
    if (made) {
        *ret = made->mft_no;
        if (ntfs_inode_close_in_dir(made, ni) < 0)
            e = number();
    }
    free(u);
    if (ntfs_inode_close(ni) < 0 && !e)
        e = number();
    return e;
}

int folder_remove(uint64_t dir, const char *name)
{
    uint64_t node = 0;
    ntfs_inode *ni, *parent;
    ntfschar *u = NULL;
    u8 n = 0;
    int e = folder_find(dir, name, &node);

    if (e)
        return e;
    e = wide(name, &u, &n);
    if (e)
        return e;
    ni = ntfs_inode_open(volume, node);
    parent = ni ? ntfs_inode_open(volume, dir) : NULL;
    if (!parent) {
        e = number();
        if (ni)
            ntfs_inode_close(ni);
    } else if (ntfs_delete(volume, NULL, ni, parent, u, n)) {
        e = number(); /* it closed both */
    }
    free(u);
    return e;
}

int folder_rename(uint64_t dir, const char *name, uint64_t to, const char *as)
{
    uint64_t node = 0, there = 0;
    ntfs_inode *ni, *parent;
    ntfschar *u = NULL;
    u8 n = 0;
    int e = folder_find(dir, name, &node);

    if (!e && folder_find(to, as, &there) == 0)
        e = there == node ? EEXIST : folder_remove(to, as);
    if (!e)
        e = wide(as, &u, &n);
    if (e)
        return e;
    ni = ntfs_inode_open(volume, node);
    parent = ni ? ntfs_inode_open(volume, to) : NULL;
    if (!parent || ntfs_link(ni, parent, u, n))
        e = number();
    free(u);
    if (parent && ntfs_inode_close(parent) < 0 && !e)
        e = number();
    if (ni && ntfs_inode_close(ni) < 0 && !e)
        e = number();
    return e ? e : folder_remove(dir, name);
}
