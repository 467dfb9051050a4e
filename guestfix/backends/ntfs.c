/* ntfs.c - NTFS through the helper program rehost-ntfs (ntfs/README.md).
 *
 * The helper asks for the volume's blocks over the same socket on which it
 * answers; they are read from, and written into, the overlay here.  So it
 * reaches nothing else, and when a hostile volume ends it the guest counts as
 * damaged. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/data.h"
#include "guestfix/backends/fs.h"
#include "guestfix/backends/ntfs_state.h"
#include "guestfix/backends/unused.h"

enum {
    ROOT = 5,         /* the root folder's record in every MFT */
    BITMAP = 6,       /* a bit for each cluster: in use */
    ASK_MS = 200,     /* between two looks for a cancel */
    SHADOWS = 0x1e00, /* where the volume says that it has shadow copies */
    PATIENCE = 90,    /* seconds that the helper may say nothing */
    ACL_MAX = 64 * 1024
};
static const char acl_name[] = "system.ntfs_acl";

enum mounted { NOT, FOR_READING, FOR_WRITING };

struct ntfs {
    int fd;
    pid_t pid;
    enum mounted mounted;
    uint64_t state;    /* enum rh_ntfs_state */
    rh_error *failure; /* of the last block that could not be served */
};

static struct ntfs *ntfs_of(struct rh_fs *fs)
{
    return fs->state;
}

/* --- the socket --------------------------------------------------------------
 */
static int gone(struct rh_fs *fs, rh_error **err)
{
    struct ntfs *n = ntfs_of(fs);

    if (n->failure) {
        if (err && !*err)
            *err = RH_TAKE(n->failure);
        return -1;
    }
    return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                   "the NTFS volume %s ended the program that reads it",
                   fs->volume->device);
}
#ifdef __clang_analyzer__ /* it does not look in here */
#define gone(...) (gone(__VA_ARGS__), -1)
#endif

static int wait_for(struct rh_fs *fs, short events, rh_error **err)
{
    struct pollfd p = {.fd = ntfs_of(fs)->fd, .events = events};
    rh_lib *lib = rh_disks_lib(fs->disks);

    for (int i = 0; i < PATIENCE * 1000 / ASK_MS; i++) {
        int got = poll(&p, 1, ASK_MS);

        if (got > 0)
            return 0;
        if (lib && rh_go_on(lib, err) < 0)
            return -1;
    }
    return gone(fs, err);
}

static int send_all(struct rh_fs *fs, const void *bytes, size_t count,
                    rh_error **err)
{
    const char *p = bytes;

    while (count) {
        ssize_t put =
            send(ntfs_of(fs)->fd, p, count, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put > 0) {
            p += put;
            count -= (size_t)put;
        } else if (put < 0 && errno == EAGAIN) {
            if (wait_for(fs, POLLOUT, err) < 0)
                return -1;
        } else if (put == 0 || errno != EINTR) {
            return gone(fs, err);
        }
    }
    return 0;
}

static int receive_all(struct rh_fs *fs, void *bytes, size_t count,
                       rh_error **err)
{
    char *p = bytes;

    while (count) {
        ssize_t got = recv(ntfs_of(fs)->fd, p, count, MSG_DONTWAIT);

        if (got > 0) {
            p += got;
            count -= (size_t)got;
        } else if (got < 0 && errno == EAGAIN) {
            if (wait_for(fs, POLLIN, err) < 0)
                return -1;
        } else if (got == 0 || errno != EINTR) {
            return gone(fs, err);
        }
    }
    return 0;
}

static int send_frame(struct rh_fs *fs, const struct rh_ntfs_frame *f,
                      const void *payload, rh_error **err)
{
    if (send_all(fs, f, sizeof *f, err) < 0)
        return -1;
    return send_all(fs, payload, f->length, err);
}

/* --- blocks ------------------------------------------------------------------
 */
static int serve_get(struct rh_fs *fs, const struct rh_ntfs_frame *f,
                     rh_error **err)
{
    struct rh_ntfs_frame answer = {.op = RH_NTFS_NO_BLOCKS};
    RH_AUTO(rh_freep) char *bytes = NULL;

    if (f->b > RH_NTFS_PART)
        return gone(fs, err);
    bytes = rh_malloc((size_t)f->b + 1);
    rh_error_drop(&ntfs_of(fs)->failure);
    if (rh_volume_read(fs->disks, fs->volume, bytes, (size_t)f->b, f->a,
                       &ntfs_of(fs)->failure) == 0) {
        answer.op = RH_NTFS_BLOCKS;
        answer.length = (uint32_t)f->b;
    }
    return send_frame(fs, &answer, bytes, err);
}

static int serve_put(struct rh_fs *fs, const struct rh_ntfs_frame *f,
                     const char *bytes, rh_error **err)
{
    struct rh_ntfs_frame answer = {.op = RH_NTFS_NO_BLOCKS};

    rh_error_drop(&ntfs_of(fs)->failure);
    if (ntfs_of(fs)->mounted == FOR_WRITING &&
        rh_volume_write(fs->disks, fs->volume, bytes, f->length, f->a,
                        &ntfs_of(fs)->failure) == 0)
        answer.op = RH_NTFS_BLOCKS;
    return send_frame(fs, &answer, "", err);
}

/* The answer to a request; blocks that are asked for on the way are served.
 * *ret_payload is the caller's, with a NUL behind it. */
static int receive_answer(struct rh_fs *fs, struct rh_ntfs_frame *ret,
                          char **ret_payload, rh_error **err)
{
    for (;;) {
        RH_AUTO(rh_freep) char *payload = NULL;
        int r;

        if (receive_all(fs, ret, sizeof *ret, err) < 0)
            return -1;
        if (ret->length > RH_NTFS_LIST_MAX)
            return gone(fs, err);
        payload = rh_malloc((size_t)ret->length + 1);
        if (receive_all(fs, payload, ret->length, err) < 0)
            return -1;
        payload[ret->length] = '\0';
        if (ret->op == RH_NTFS_ANSWER) {
            *ret_payload = RH_TAKE(payload);
            return 0;
        }
        r = ret->op == RH_NTFS_GET_BLOCKS   ? serve_get(fs, ret, err)
            : ret->op == RH_NTFS_PUT_BLOCKS ? serve_put(fs, ret, payload, err)
                                            : gone(fs, err);
        if (r < 0)
            return -1;
    }
}

/* --- requests ----------------------------------------------------------------
 */
static int refused(struct rh_fs *fs, uint64_t number, const char *doing,
                   rh_error **err)
{
    const char *device = fs->volume->device;

    if (ntfs_of(fs)->failure)
        return gone(fs, err);
    switch (number) {
    case ENOENT:
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s on %s: not there", doing,
                       device);
    case ENOSPC:
        return rh_fail(err, RH_ERR_GUEST_FULL, "%s on %s: no space left", doing,
                       device);
    case EROFS:
        return rh_fail(err, RH_ERR_GUEST_WRITE,
                       "the NTFS volume %s was not left clean by Windows; "
                       "nothing is written to it",
                       device);
    case EOPNOTSUPP:
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "%s on %s: the file is packed (CompactOS, "
                       "deduplication) and cannot be read from outside",
                       doing, device);
    default:
        return rh_fail_errno(err, RH_ERR_GUEST_DAMAGED, (int)(number & 0xfff),
                             "%s on %s", doing, device);
    }
}
#ifdef __clang_analyzer__ /* it does not look in here */
#define refused(...) (refused(__VA_ARGS__), -1)
#endif

/* One request and its answer; *ret (may be NULL) and *ret_payload (may be NULL)
 * are set if it was granted. */
static int ask(struct rh_fs *fs, const struct rh_ntfs_frame *f,
               const void *payload, const char *doing,
               struct rh_ntfs_frame *ret, char **ret_payload, rh_error **err)
{
    RH_AUTO(rh_freep) char *back = NULL;
    struct rh_ntfs_frame answer;

    if (send_frame(fs, f, payload, err) < 0 ||
        receive_answer(fs, &answer, &back, err) < 0)
        return -1;
    if (answer.a)
        return refused(fs, answer.a, doing, err);
    if (ret)
        *ret = answer;
    if (ret_payload)
        *ret_payload = RH_TAKE(back);
    return 0;
}

static int mount_for(struct rh_fs *fs, enum mounted how, rh_error **err)
{
    struct ntfs *n = ntfs_of(fs);
    struct rh_ntfs_frame f = {.op = RH_NTFS_OPEN,
                              .a = rh_volume_bytes(fs->volume)};
    struct rh_ntfs_frame answer;

    if (n->mounted >= how)
        return 0;
    if (n->mounted == NOT &&
        ask(fs, &f, "", _("opening it"), &answer, NULL, err) < 0)
        return -1;
    if (n->mounted == NOT) {
        n->state = answer.b;
        n->mounted = FOR_READING;
    }
    if (how == FOR_READING)
        return 0;
    f.op = RH_NTFS_OPEN_WRITE;
    n->mounted = FOR_WRITING;
    if (ask(fs, &f, "", _("opening it for writing"), NULL, NULL, err) == 0)
        return 0;
    n->mounted = NOT;
    return -1;
}

/* With the volume mounted so that it can be granted. */
static int request(struct rh_fs *fs, enum mounted how,
                   const struct rh_ntfs_frame *f, const void *payload,
                   const char *doing, struct rh_ntfs_frame *ret,
                   char **ret_payload, rh_error **err)
{
    if (mount_for(fs, how, err) < 0)
        return -1;
    return ask(fs, f, payload, doing, ret, ret_payload, err);
}

/* --- looking -----------------------------------------------------------------
 */
static int ntfs_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                     rh_error **err)
{
    struct rh_ntfs_frame f = {.op = RH_NTFS_STAT, .a = node}, answer;
    RH_AUTO(rh_freep) char *payload = NULL;
    struct rh_ntfs_stat st;

    if (request(fs, FOR_READING, &f, "", _("reading a record"), &answer,
                &payload, err) < 0)
        return -1;
    if (answer.length != sizeof st)
        return gone(fs, err);
    memcpy(&st, payload, sizeof st);
    /* Junctions lead to other drives, too: nothing follows them. */
    ret->type = st.type == 'l' ? '?' : st.type;
    ret->size = st.size;
    ret->mode = st.type == 'd' ? 0755 : 0644;
    ret->uid = ret->gid = 0;
    ret->mtime = st.mtime;
    ret->inode = node;
    return 0;
}

static int ntfs_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                       uint64_t *ret, rh_error **err)
{
    struct rh_ntfs_frame f = {
        .op = RH_NTFS_LOOKUP, .a = dir, .length = (uint32_t)strlen(name)};
    struct rh_ntfs_frame answer;

    if (request(fs, FOR_READING, &f, name, name, &answer, NULL, err) < 0)
        return -1;
    *ret = answer.b;
    return 0;
}

static int ntfs_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                     rh_error **err)
{
    struct rh_ntfs_frame f = {.op = RH_NTFS_LIST, .a = dir}, answer;
    RH_AUTO(rh_freep) char *names = NULL;

    if (request(fs, FOR_READING, &f, "", _("listing a folder"), &answer, &names,
                err) < 0)
        return -1;
    for (size_t at = 0; at < answer.length; at += strlen(names + at) + 1)
        *rh_vec_add(ret) = rh_strdup(names + at);
    return 0;
}

/* The bytes from `at` on; *ret_n 0: the end. */
static int read_part(struct rh_fs *fs, uint64_t node, uint64_t at, char *to,
                     size_t n, size_t *ret_n, rh_error **err)
{
    struct rh_ntfs_frame f = {
        .op = RH_NTFS_READ, .a = node, .b = at, .c = RH_MIN(n, RH_NTFS_PART)};
    struct rh_ntfs_frame answer;
    RH_AUTO(rh_freep) char *payload = NULL;

    if (request(fs, FOR_READING, &f, "", _("reading a file"), &answer, &payload,
                err) < 0)
        return -1;
    if (answer.length > f.c)
        return gone(fs, err);
    memcpy(to, payload, answer.length);
    *ret_n = answer.length;
    return 0;
}

static int ntfs_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                     void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(rh_freep) char *bytes = NULL;
    struct rh_guest_stat st;
    size_t done = 0, n = 1;

    if (ntfs_stat(fs, node, &st, err) < 0)
        return -1;
    if (st.type != 'f')
        return rh_fail(err, RH_ERR_FILE_TYPE, "this is no file");
    if (st.size > limit)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "a file of %llu bytes on %s is larger than expected",
                       (unsigned long long)st.size, fs->volume->device);
    bytes = rh_alloc_big((size_t)st.size + 1, err);
    if (!bytes)
        return -1;
    while (done < st.size && n) {
        if (read_part(fs, node, done, bytes + done, (size_t)st.size - done, &n,
                      err) < 0)
            return -1;
        done += n;
    }
    if (done < st.size)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "a file on %s ends before its size", fs->volume->device);
    bytes[done] = '\0';
    *ret_bytes = RH_TAKE(bytes);
    *ret_size = done;
    return 0;
}

static int ntfs_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                          rh_error **err)
{
    (void)node;
    (void)ret;
    return rh_fail(err, RH_ERR_FILE_TYPE, "links on %s are not followed",
                   fs->volume->device);
}

/* --- changing ----------------------------------------------------------------
 */
static int ntfs_rewrite(struct rh_fs *fs, uint64_t node, const void *bytes,
                        size_t n, rh_error **err)
{
    struct rh_ntfs_frame f = {.op = RH_NTFS_TRUNCATE, .a = node, .b = n};
    size_t part;

    if (request(fs, FOR_WRITING, &f, "", _("setting a file's size"), NULL, NULL,
                err) < 0)
        return -1;
    for (size_t at = 0; at < n; at += part) {
        part = RH_MIN(n - at, (size_t)RH_NTFS_PART);
        f = (struct rh_ntfs_frame){
            .op = RH_NTFS_WRITE, .a = node, .b = at, .length = (uint32_t)part};
        if (request(fs, FOR_WRITING, &f, (const char *)bytes + at,
                    _("writing a file"), NULL, NULL, err) < 0)
            return -1;
    }
    return 0;
}

static int add_name(struct rh_fs *fs, uint32_t op, uint64_t dir,
                    const char *name, uint64_t *ret, rh_error **err)
{
    struct rh_ntfs_frame f = {
        .op = op, .a = dir, .length = (uint32_t)strlen(name)};
    struct rh_ntfs_frame answer;

    if (request(fs, FOR_WRITING, &f, name, name, &answer, NULL, err) < 0)
        return -1;
    *ret = answer.b;
    return 0;
}

static int ntfs_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                          void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct rh_ntfs_frame f = {.op = RH_NTFS_GET_ACL, .a = node}, answer;
    char *payload;

    if (strcmp(name, acl_name))
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND,
                       "NTFS keeps no attribute \"%s\"", name);
    if (request(fs, FOR_READING, &f, "", _("reading who may use a file"),
                &answer, &payload, err) < 0)
        return -1;
    *ret_bytes = payload;
    *ret_size = answer.length;
    return 0;
}

static int ntfs_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                          const void *bytes, size_t n, rh_error **err)
{
    struct rh_ntfs_frame f = {
        .op = RH_NTFS_SET_ACL, .a = node, .length = (uint32_t)n};

    if (strcmp(name, acl_name) || n > ACL_MAX)
        return rh_fail(err, RH_ERR_BUG, "NTFS keeps no attribute \"%s\"", name);
    return request(fs, FOR_WRITING, &f, bytes, _("setting who may use a file"),
                   NULL, NULL, err);
}

static int ntfs_create(struct rh_fs *fs, uint64_t dir, const char *name,
                       const void *bytes, size_t n, uint32_t mode,
                       uint64_t like, rh_error **err)
{
    RH_AUTO(rh_freep) void *acl = NULL;
    uint64_t node;
    size_t acl_n;

    (void)mode; /* the folder's own rules are inherited */
    if (add_name(fs, RH_NTFS_CREATE, dir, name, &node, err) < 0 ||
        ntfs_rewrite(fs, node, bytes, n, err) < 0)
        return -1;
    if (!like)
        return 0;
    if (ntfs_get_xattr(fs, like, acl_name, &acl, &acl_n, err) < 0)
        return -1;
    return ntfs_set_xattr(fs, node, acl_name, acl, acl_n, err);
}

static int ntfs_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                         uint32_t mode, rh_error **err)
{
    uint64_t node;

    (void)mode;
    return add_name(fs, RH_NTFS_MAKE_DIR, dir, name, &node, err);
}

static int ntfs_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                       rh_error **err)
{
    struct rh_ntfs_frame f = {
        .op = RH_NTFS_REMOVE, .a = dir, .length = (uint32_t)strlen(name)};

    return request(fs, FOR_WRITING, &f, name, name, NULL, NULL, err);
}

static int ntfs_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                       uint64_t to_dir, const char *to, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};
    struct rh_ntfs_frame f = {.op = RH_NTFS_RENAME, .a = from_dir, .b = to_dir};

    rh_buf_add(&names, from, strlen(from) + 1);
    rh_buf_puts(&names, to);
    f.length = (uint32_t)names.length;
    return request(fs, FOR_WRITING, &f, names.data, from, NULL, NULL, err);
}

static int ntfs_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                        const char *target, rh_error **err)
{
    (void)dir;
    (void)target;
    return rh_fail(err, RH_ERR_BUG, "%s: no links are made on %s", name,
                   fs->volume->device);
}

static int ntfs_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    struct rh_ntfs_frame f = {.op = RH_NTFS_FREE}, answer;

    if (request(fs, FOR_READING, &f, "", _("counting free space"), &answer,
                NULL, err) < 0)
        return -1;
    *ret = answer.b;
    return 0;
}

/* --- what is not used --------------------------------------------------------
 */
/* Of the boot sector: bytes of a cluster, how many there are, and the one that
 * holds the MFT. */
struct clusters {
    uint64_t size, count, mft;
};

static bool read_clusters(struct rh_fs *fs, struct clusters *ret,
                          rh_error **err)
{
    uint8_t b[512];
    uint64_t sector, per;

    if (rh_volume_read(fs->disks, fs->volume, b, sizeof b, 0, err) < 0)
        return false;
    sector = rh_le16(b + 11);
    per = b[13] > 128 ? 1ULL << (256 - b[13]) % 32 : b[13];
    ret->size = sector * per;
    ret->count = per ? rh_le64(b + 40) / per : 0;
    ret->mft = rh_le64(b + 48);
    return ret->size >= 512 && ret->size <= 2 * RH_NTFS_PART &&
           ret->count <= rh_volume_bytes(fs->volume) / ret->size &&
           ret->mft < ret->count;
}

/* The clusters from `first` on whose bits are in `map`. */
static bool take_clusters(const struct clusters *c, uint64_t first,
                          const uint8_t *map, size_t bytes,
                          struct rh_unused_out *out)
{
    uint64_t n = RH_MIN(c->count - first, (uint64_t)bytes * 8);

    for (uint64_t i = 0; i < n; i++) {
        if (map[i / 8] == 0xff)
            i |= 7;
        if (map[i / 8] >> (i % 8) & 1)
            continue;
        /* The boot sector and the MFT are there. */
        if (first + i == 0 || first + i == c->mft)
            return false;
        rh_unused_add(out, (first + i) * c->size, (first + i + 1) * c->size);
    }
    return true;
}

static int read_bitmap(struct rh_fs *fs, const struct clusters *c,
                       struct rh_unused_out *out, rh_error **err)
{
    RH_AUTO(rh_freep) char *map = rh_malloc(RH_NTFS_PART);
    uint64_t at = 0;
    size_t n;

    for (; at * 8 < c->count; at += n) {
        if (read_part(fs, BITMAP, at, map, RH_NTFS_PART, &n, err) < 0)
            return -1;
        if (!n || !take_clusters(c, at * 8, (const uint8_t *)map, n, out))
            return 1;
    }
    return 0;
}

/* Volume shadow copies read what is free today: a header in the boot sectors
 * leads to their catalog (Windows' volsnap; libvshadow's "Volume Shadow
 * Snapshot format", 2. Volume header).  True also where it cannot be read. */
static bool has_shadows(struct rh_fs *fs)
{
    static const uint8_t vss[16] = {0x6b, 0x87, 0x08, 0x38, 0x76, 0xc1,
                                    0x48, 0x4e, 0xb7, 0xae, 0x04, 0x04,
                                    0x6e, 0x6c, 0xc7, 0x52};
    uint8_t b[512];

    if (rh_volume_read(fs->disks, fs->volume, b, sizeof b, SHADOWS, NULL) < 0)
        return true;
    return !memcmp(b, vss, sizeof vss) && rh_le64(b + 48) != 0;
}

static int ntfs_unused(struct rh_fs *fs, struct rh_unused_out *out,
                       const char **ret_why, rh_error **err)
{
    struct clusters c;

    *ret_why = fs->trouble;
    if (*ret_why)
        return 1;
    *ret_why = _("its maps of free blocks do not agree with themselves");
    if (!read_clusters(fs, &c, err))
        return err && *err ? -1 : 1;
    if (has_shadows(fs)) {
        *ret_why = _("its shadow copies may hold what is free today");
        return 1;
    }
    return read_bitmap(fs, &c, out, err);
}

static int ntfs_sync(struct rh_fs *fs, rh_error **err)
{
    struct rh_ntfs_frame f = {.op = RH_NTFS_SYNC};

    if (ntfs_of(fs)->mounted != FOR_WRITING)
        return 0;
    if (ask(fs, &f, "", _("closing it"), NULL, NULL, err) < 0)
        return -1;
    ntfs_of(fs)->mounted = NOT;
    return 0;
}

static void ntfs_close(struct rh_fs *fs)
{
    struct ntfs *n = ntfs_of(fs);

    if (n->fd >= 0)
        close(n->fd);
    if (n->pid > 0) {
        kill(n->pid, SIGKILL);
        waitpid(n->pid, NULL, 0);
    }
    rh_error_free(n->failure);
    free(n);
    free(fs);
}

static const struct rh_fs_ops ops = {
    .root = ROOT,
    .any_case = true,
    .stat = ntfs_stat,
    .lookup = ntfs_lookup,
    .list = ntfs_list,
    .read = ntfs_read,
    .read_link = ntfs_read_link,
    .create = ntfs_create,
    .rewrite = ntfs_rewrite,
    .remove = ntfs_remove,
    .rename = ntfs_rename,
    .make_dir = ntfs_make_dir,
    .symlink = ntfs_symlink,
    .get_xattr = ntfs_get_xattr,
    .set_xattr = ntfs_set_xattr,
    .free_space = ntfs_free_space,
    .unused = ntfs_unused,
    .sync = ntfs_sync,
    .close = ntfs_close,
};

/* --- starting it -------------------------------------------------------------
 */
/* With the socket as its descriptor 0, and nothing else of ours. */
static int spawn(const char *program, int socket, pid_t *ret)
{
    char *const argv[] = {(char *)program, NULL};
    char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, socket, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn(ret, program, &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

static int start(struct ntfs *n, const char *program, rh_error **err)
{
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return rh_fail_errno(err, RH_ERR_SERVICE, errno, "no socket");
    n->fd = pair[0];
    r = spawn(program, pair[1], &n->pid);
    close(pair[1]);
    return r ? rh_fail_errno(err, RH_ERR_SERVICE, r, "%s", program) : 0;
}

bool rh_ntfs_is_here(void)
{
    RH_AUTO(rh_freep) char *program = rh_helper_path("rehost-ntfs");

    return program != NULL;
}

struct rh_fs *rh_ntfs_open(struct rh_disks *d, const struct rh_volume *v,
                           const char **ret_why, rh_error **err)
{
    RH_AUTO(rh_freep) char *program = rh_helper_path("rehost-ntfs");
    struct rh_fs *fs;
    struct ntfs *n;

    if (!program) {
        *ret_why = _("the program rehost-ntfs, which reads NTFS, is not "
                     "installed");
        return NULL;
    }
    fs = rh_new0(struct rh_fs);
    n = rh_new0(struct ntfs);
    n->fd = -1;
    fs->ops = &ops;
    fs->disks = d;
    fs->volume = v;
    fs->state = n;
    if (start(n, program, err) < 0 || mount_for(fs, FOR_READING, err) < 0) {
        ntfs_close(fs);
        return NULL;
    }
    rh_ntfs_tell_state(fs, n->state);
    return fs;
}
