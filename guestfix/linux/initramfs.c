/* initramfs.c - read an initramfs image: early archives, then one compressed.
 *
 * Every image is somebody else's: entries, names and unpacked bytes are
 * bounded.  A segment that we appended earlier is found by the name in its
 * gzip header (or in its plain text), so that running twice adds nothing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/limits.h"
#include "guestfix/linux/linux.h"
#include "guestfix/linux/segment.h"

enum {
    ENTRIES_MAX = 200000,
    NAME_MAX_BYTES = 4096,
    CONF_MAX = 512 * 1024, /* lvm.conf is 100 KiB of comments */
    FILES_MAX = 128,
    NEWC_HEADER = 110,
};
#define UNPACKED_MAX (1 * RH_GIB) /* of all parts together */

const char *rh_initramfs_kind_name(enum rh_initramfs_kind kind)
{
    static const char *const names[] = {"unknown",
                                        "initramfs-tools",
                                        "dracut",
                                        "mkinitcpio",
                                        "mkinitfs",
                                        "mkinitrd",
                                        "booster",
                                        "genkernel",
                                        "Slackware's mkinitrd",
                                        "make-initrd",
                                        "NixOS"};

    return names[kind];
}

void rh_initramfs_free(struct rh_initramfs *i)
{
    for (size_t k = 0; k < i->modules.count; k++)
        free(i->modules.items[k]);
    for (size_t k = 0; k < i->waits.count; k++)
        free(i->waits.items[k].path);
    free(i->modules.items);
    free(i->waits.items);
    for (size_t k = 0; k < i->files.count; k++) {
        free(i->files.items[k].path);
        free(i->files.items[k].text);
    }
    free(i->files.items);
    free(i->modules_at);
    memset(i, 0, sizeof *i);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A hostile image makes the list long: it is sorted once. */
static void sort(char **items, size_t n)
{
    if (n > 1)
        qsort(items, n, sizeof *items, by_text);
}

static bool is_among(char *const *items, size_t n, const char *text)
{
    return n && bsearch(&text, items, n, sizeof *items, by_text);
}

bool rh_initramfs_main_has(const struct rh_initramfs *i, const char *module)
{
    char name[64];

    rh_module_name(module, name);
    return is_among(i->modules.items, i->main_modules, name);
}

bool rh_initramfs_has(const struct rh_initramfs *i, const char *module)
{
    size_t n = i->main_modules;
    char name[64];

    rh_module_name(module, name);
    return is_among(i->modules.items, n, name) ||
           (i->modules.count > n &&
            is_among(i->modules.items + n, i->modules.count - n, name));
}

const char *rh_initramfs_text(const struct rh_initramfs *i, const char *path)
{
    for (size_t k = 0; k < i->files.count; k++)
        if (!strcmp(i->files.items[k].path, path))
            return i->files.items[k].text;
    return NULL;
}

/* --- one entry ---------------------------------------------------------------
 */
static bool ends(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);

    return n >= m && !strcmp(text + n - m, tail);
}

static bool is_module(const char *path)
{
    const char *ko = strstr(path, ".ko");

    return ko && (!ko[3] || !strcmp(ko + 3, ".gz") || !strcmp(ko + 3, ".xz") ||
                  !strcmp(ko + 3, ".zst") || !strcmp(ko + 3, ".bz2"));
}

static void note_module(struct rh_initramfs *i, const char *path)
{
    const char *at = strstr(path, "lib/modules/");
    char name[64];

    rh_module_name(path, name);
    *rh_vec_add(&i->modules) = rh_strdup(name);
    if (at && !i->modules_at)
        i->modules_at = rh_strndup(path, (size_t)(at - path) + 11);
}

/* Marks of each builder: an entry of that path, or of a path that begins so.
 * The first entry that is a mark decides.  dracut 004 of EL6 keeps its hooks at
 * the root, beside a file "dracut-004-411.el6"; mkinitcpio with systemd inside
 * has no init_functions, but always "buildconfig". */
static const struct {
    const char *path;
    enum rh_initramfs_kind kind;
    bool begins;
} marks[] = {
    {"conf/initramfs.conf", RH_INITRAMFS_TOOLS, false},
    {"scripts/init-premount", RH_INITRAMFS_TOOLS, false},
    {"scripts/functions", RH_INITRAMFS_TOOLS, false},
    {"conf/arch.conf", RH_INITRAMFS_TOOLS, false},
    {"buildconfig", RH_INITRAMFS_MKINITCPIO, false},
    {"init_functions", RH_INITRAMFS_MKINITCPIO, false},
    {"etc/mkinitcpio.d", RH_INITRAMFS_MKINITCPIO, false},
    {"usr/lib/dracut", RH_INITRAMFS_DRACUT, false},
    {"lib/dracut", RH_INITRAMFS_DRACUT, false},
    {"usr/lib/initrd-release", RH_INITRAMFS_DRACUT, false},
    {"dracut-state.sh", RH_INITRAMFS_DRACUT, false},
    {"dracut-0", RH_INITRAMFS_DRACUT, true},
    {"lib/dracut-lib.sh", RH_INITRAMFS_DRACUT, false},
    {"initqueue-finished", RH_INITRAMFS_DRACUT, false},
    {"sbin/nlplug-findfs", RH_INITRAMFS_MKINITFS, false},
    {"usr/sbin/nlplug-findfs", RH_INITRAMFS_MKINITFS, false},
    {"bin/nash", RH_INITRAMFS_MKINITRD, false},
    {"sbin/nash", RH_INITRAMFS_MKINITRD, false},
    {"lib/mkinitrd", RH_INITRAMFS_MKINITRD, false},
    {"run_all.sh", RH_INITRAMFS_MKINITRD, false},
    {"etc/booster.init.yaml", RH_INITRAMFS_BOOSTER, false},
    {"etc/initrd.defaults", RH_INITRAMFS_GENKERNEL, false},
    {"load_kernel_modules", RH_INITRAMFS_SLACKWARE, false},
    {"wait-for-root", RH_INITRAMFS_SLACKWARE, false},
    {"etc/initrd/cmdline.d", RH_INITRAMFS_MAKE_INITRD, false},
    {"lib/uevent", RH_INITRAMFS_MAKE_INITRD, false},
    {"nix/store", RH_INITRAMFS_NIXOS, false},
    {"conf/modules", RH_INITRAMFS_TOOLS, false},
};

static bool is_mark(const char *path, size_t k)
{
    return marks[k].begins
               ? !strncmp(path, marks[k].path, strlen(marks[k].path)) &&
                     !strchr(path, '/')
               : !strcmp(path, marks[k].path);
}

/* The rules by which udev names NICs, now and in systemd's first years. */
static const char *const naming[] = {"/rules.d/80-net-setup-link.rules",
                                     "/rules.d/80-net-name-slot.rules"};

static void note_wait(struct rh_initramfs *i, const char *path, bool is_unit)
{
    *rh_vec_add(&i->waits) =
        (struct rh_initramfs_wait){rh_strdup(path), is_unit, i->in_ours};
}

/* In the escapes of systemd and of dracut's hooks. */
static bool names_old_device(const char *path)
{
    static const char *const words[] = {"dev\\x2fsd",  "dev\\x2fhd", "by-path",
                                        "by-id",       "/dev-sd",    "/dev-hd",
                                        "by\\x2dpath", "by\\x2did"};

    for (size_t k = 0; k < RH_COUNT(words); k++)
        if (strstr(path, words[k]))
            return true;
    return false;
}

static void note(struct rh_initramfs *i, const char *path, unsigned mode)
{
    if (!strcmp(path, "lib") && S_ISLNK(mode))
        i->lib_is_link = true;
    if (is_module(path) && !S_ISDIR(mode))
        note_module(i, path);
    for (size_t k = 0; k < RH_COUNT(marks) && !i->kind; k++)
        if (is_mark(path, k))
            i->kind = marks[k].kind;
    for (size_t k = 0; k < RH_COUNT(naming); k++)
        i->names_nics |= ends(path, naming[k]);
    if (!names_old_device(path))
        return;
    /* dracut 004: "initqueue-finished/devexists-..." at the root. */
    if (strstr(path, "/devexists-"))
        note_wait(i, path, false);
    else if (strstr(path, ".wants/") && ends(path, ".device"))
        note_wait(i, path, true);
}

static int by_path(const void *a, const void *b)
{
    const struct rh_initramfs_wait *x = a, *y = b;

    return strcmp(x->path, y->path);
}

/* Each path once; off when a segment of ours has it as well. */
static void join_waits(struct rh_initramfs *i)
{
    size_t kept = 0;

    if (i->waits.count)
        qsort(i->waits.items, i->waits.count, sizeof *i->waits.items, by_path);
    for (size_t k = 0; k < i->waits.count; k++) {
        struct rh_initramfs_wait *last =
            kept ? &i->waits.items[kept - 1] : NULL;

        if (last && !strcmp(last->path, i->waits.items[k].path)) {
            last->off |= i->waits.items[k].off;
            free(i->waits.items[k].path);
        } else {
            i->waits.items[kept++] = i->waits.items[k];
        }
    }
    i->waits.count = kept;
}

/* --- archives --------------------------------------------------------------
 */
/* Bytes to read forward: of memory, or of a decompressor over it. */
struct source {
    struct rh_initramfs *into;
    const char *bytes; /* NULL: `unpacker` has them */
    size_t n, at;
    struct archive *unpacker;
    char held[4]; /* read already, to be read again */
    size_t held_count;
};

/* Exactly n bytes; `to` may be NULL: only pass them. */
static bool get(struct source *s, void *to, uint64_t n)
{
    char waste[16384], *p = to;

    if (s->bytes) {
        if (n > s->n - s->at)
            return false;
        if (to)
            memcpy(to, s->bytes + s->at, (size_t)n);
        s->at += (size_t)n;
        return true;
    }
    s->into->unpacked += n;
    if (s->into->unpacked > UNPACKED_MAX)
        return false;
    for (; n && s->held_count; n--) {
        if (to)
            *p++ = s->held[sizeof s->held - s->held_count];
        s->held_count--;
    }
    while (n) {
        size_t part = (size_t)RH_MIN(n, to ? n : (uint64_t)sizeof waste);
        la_ssize_t got = archive_read_data(s->unpacker, to ? p : waste, part);

        if (got <= 0 || (s->into->lib && rh_go_on(s->into->lib, NULL) < 0))
            return false;
        p = to ? p + got : p;
        n -= (uint64_t)got;
    }
    return true;
}

static bool hex8(const char *p, uint32_t *ret)
{
    *ret = 0;
    for (unsigned k = 0; k < 8; k++) {
        char c = p[k];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;

        if (digit > 15)
            return false;
        *ret = *ret << 4 | digit;
    }
    return true;
}

static bool is_kept(const char *path)
{
    static const char *const paths[] = {
        "conf/modules",
        "etc/lvm/lvm.conf",
        "etc/lvm/lvmlocal.conf",
        "etc/lvm/devices/system.devices",
        "etc/crypttab",
        "cryptroot/crypttab",
        "etc/fstab",
        "etc/mdadm.conf",
        "etc/mdadm/mdadm.conf",
        "etc/udev/rules.d/70-persistent-net.rules"};
    static const char links[] = "etc/systemd/network/";
    static const char arguments[] = "etc/cmdline.d/";

    for (size_t k = 0; k < RH_COUNT(paths); k++)
        if (!strcmp(path, paths[k]))
            return true;
    return (!strncmp(path, links, sizeof links - 1) && ends(path, ".link")) ||
           (!strncmp(path, arguments, sizeof arguments - 1) &&
            ends(path, ".conf"));
}

/* Takes the text. */
static void keep_file(struct rh_initramfs *i, const char *path, char *text)
{
    struct rh_initramfs_file *f;

    for (size_t k = 0; k < i->files.count; k++)
        if (!strcmp(i->files.items[k].path, path)) {
            free(i->files.items[k].text);
            i->files.items[k].text = text;
            return;
        }
    f = rh_vec_add(&i->files);
    f->path = rh_strdup(path);
    f->text = text;
}

/* Files that fixes replace are kept; others are passed over. */
static bool take_data(struct source *s, struct rh_initramfs *i,
                      const char *path, unsigned mode, uint32_t size)
{
    RH_AUTO(rh_freep) char *text = NULL;

    if (!S_ISREG(mode) || !is_kept(path) || size > CONF_MAX ||
        i->files.count >= FILES_MAX)
        return get(s, NULL, size);
    text = rh_calloc(1, (size_t)size + 1);
    if (!get(s, text, size))
        return false;
    keep_file(i, path, RH_TAKE(text));
    return true;
}

static const char *relative(const char *path)
{
    while (!strncmp(path, "./", 2) || *path == '/')
        path += *path == '/' ? 1 : 2;
    return path;
}

/* One newc archive up to its TRAILER.  false: broken. */
static bool read_newc(struct source *s, struct rh_initramfs *i)
{
    char head[NEWC_HEADER], name[NAME_MAX_BYTES + 4];

    for (unsigned count = 0; count < ENTRIES_MAX; count++) {
        uint32_t mode, size, n;

        if (!get(s, head, sizeof head) || memcmp(head, "07070", 5) ||
            !hex8(head + 14, &mode) || !hex8(head + 54, &size) ||
            !hex8(head + 94, &n) || !n || n > NAME_MAX_BYTES ||
            !get(s, name,
                 rh_round_up((uint64_t)NEWC_HEADER + n, 4) - NEWC_HEADER) ||
            name[n - 1])
            return false;
        if (!strcmp(name, "TRAILER!!!"))
            return true;
        note(i, relative(name), mode);
        if (!take_data(s, i, relative(name), mode, size) ||
            !get(s, NULL, rh_round_up(size, 4) - size))
            return false;
    }
    return false;
}

/* --- compressed archives
 * -------------------------------------------------------------- */
static const struct {
    const char *magic;
    size_t size;
    const char *name;
} codecs[] = {
    {"\x1f\x8b", 2, "gzip"},
    {"\x1f\x9e", 2, "gzip"},
    {"\xfd"
     "7zXZ",
     6, "xz"},
    {"\x28\xb5\x2f\xfd", 4, "zstd"},
    {"\x02\x21\x4c\x18", 4, "lz4"},
    {"\x04\x22\x4d\x18", 4, "lz4-frame"},
    {"\x5d\x00\x00", 3, "lzma"},
    {"BZh", 3, "bzip2"},
    {"\x89LZO", 4, "lzop"},
};

static const char *codec_of(const char *p, size_t n)
{
    for (size_t k = 0; k < RH_COUNT(codecs); k++)
        if (n >= codecs[k].size && !memcmp(p, codecs[k].magic, codecs[k].size))
            return codecs[k].name;
    return NULL;
}

/* Behind the end of an archive: another one, after any number of zeros? */
static bool has_more(struct source *s)
{
    do {
        if (!get(s, s->held, sizeof s->held))
            return false;
    } while (rh_all_zero(s->held, sizeof s->held));
    s->held_count = sizeof s->held;
    return true;
}

static int unpack(struct archive *a, struct rh_initramfs *i, rh_error **err)
{
    struct source s = {.into = i, .unpacker = a};
    struct archive_entry *e;
    const char *why;

    if (archive_read_next_header(a, &e) == ARCHIVE_OK && read_newc(&s, i)) {
        while (has_more(&s) && read_newc(&s, i))
            ;
        return 0;
    }
    why = archive_error_string(a);
    return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                   "the initramfs cannot be unpacked: %s",
                   why ? why : "it is no cpio archive");
}

/* Bytes in small blocks, so that what was not asked for stays to be seen. */
struct feed {
    const char *bytes;
    size_t n, at;
};

static la_ssize_t feed_block(struct archive *a, void *user, const void **ret)
{
    enum { BLOCK = 4096 };
    struct feed *f = user;
    size_t n = RH_MIN((size_t)BLOCK, f->n - f->at);

    (void)a;
    *ret = f->bytes + f->at;
    f->at += n;
    return (la_ssize_t)n;
}

/* libarchive only decompresses: its cpio reader takes names of any length.
 * *ret_read: so many bytes it has looked at. */
static int read_packed(const char *bytes, size_t n, struct rh_initramfs *i,
                       size_t *ret_read, rh_error **err)
{
    struct archive *a = archive_read_new();
    struct feed f = {bytes, n, 0};
    int r = -1;

    archive_read_support_filter_all(a);
    archive_read_support_format_raw(a);
    if (archive_read_open(a, &f, NULL, feed_block, NULL) == ARCHIVE_OK)
        r = unpack(a, i, err);
    else
        rh_fail(err, RH_ERR_GUEST_DAMAGED, "the initramfs cannot be unpacked");
    archive_read_free(a);
    *ret_read = f.at;
    return r;
}

/* --- where a compressed part ends
 * ------------------------------------------------------------------ */
static size_t gzip_size(const char *bytes, size_t n)
{
    z_stream z = {0};
    char waste[16384];
    size_t size = 0;
    int r;

    if (n > UINT_MAX || inflateInit2(&z, 15 + 16) != Z_OK)
        return 0;
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    do {
        z.next_out = (Bytef *)waste;
        z.avail_out = sizeof waste;
        r = inflate(&z, Z_NO_FLUSH);
    } while (r == Z_OK && z.total_out < UNPACKED_MAX);
    if (r == Z_STREAM_END)
        size = n - z.avail_in;
    inflateEnd(&z);
    return size;
}

/* Legacy frames: blocks with their sizes, up to what is none. */
static size_t lz4_size(const char *bytes, size_t n)
{
    enum { BLOCK_MAX = 8421504 }; /* 8 MiB that do not get smaller */
    const uint8_t *p = (const uint8_t *)bytes;
    size_t at = 4;

    while (n - at >= 4) {
        size_t size = rh_le32(p + at);

        if (!size || size > BLOCK_MAX || size > n - at - 4)
            break;
        at += 4 + size;
    }
    return at;
}

/* A stream of xz ends with CRC32, the index's size, its header's flags and
 * "YZ" (The .xz File Format 1.1.0, 2.1.2). */
static size_t xz_size(const char *bytes, size_t n)
{
    enum { HEADER = 12, FOOTER = 12, FLAGS_AT = 6 };
    const uint8_t *p = (const uint8_t *)bytes;

    for (size_t at = HEADER; at + 2 <= n; at++) {
        const char *hit = memmem(bytes + at, n - at, "YZ", 2);
        size_t end;

        if (!hit)
            return 0;
        at = (size_t)(hit - bytes);
        end = at + 2;
        if (end >= HEADER + FOOTER && !memcmp(p + end - 4, p + FLAGS_AT, 2) &&
            crc32(0, p + end - 8, 6) == rh_le32(p + end - FOOTER))
            return end;
    }
    return 0;
}

/* 0: it cannot be told; what follows stays unread. */
static size_t packed_size(const char *codec, const char *bytes, size_t n)
{
    if (!strcmp(codec, "gzip"))
        return gzip_size(bytes, n);
    if (!strcmp(codec, "lz4"))
        return lz4_size(bytes, n);
    if (!strcmp(codec, "xz"))
        return xz_size(bytes, n);
    return !strcmp(codec, "zstd") ? rh_zstd_frame_size(bytes, n) : 0;
}

/* --- the whole image
 * ---------------------------------------------------------------------- */
/* Does anything that could be an archive stand from about there on? */
static bool may_follow(const char *bytes, size_t from, size_t n)
{
    enum { BACK = 8192 };

    for (size_t at = from > BACK ? from - BACK : 1; at < n; at++)
        if (codec_of(bytes + at, n - at) ||
            (n - at >= 6 && !memcmp(bytes + at, "07070", 5)))
            return true;
    return false;
}

/* One compressed part at `at`; *ret_end is where it ends. */
static int read_one_packed(const char *bytes, size_t at, size_t n,
                           const char *codec, struct rh_initramfs *i,
                           size_t *ret_end, rh_error **err)
{
    size_t size = 0, looked_at;

    if (read_packed(bytes + at, n - at, i, &looked_at, err) < 0)
        return -1;
    if (may_follow(bytes + at, looked_at, n - at))
        size = packed_size(codec, bytes + at, n - at);
    *ret_end = size ? at + size : n;
    return 0;
}

/* Behind a compressed part the kernel takes what it can: so do we. */
static int read_part(const char *bytes, size_t n, bool is_main,
                     struct rh_initramfs *i, rh_error **err)
{
    enum { PARTS_MAX = 64 };
    struct source plain = {.into = i, .bytes = bytes, .n = n};
    bool packed = false;
    size_t at = 0;

    for (unsigned part = 0; part < PARTS_MAX; part++) {
        const char *codec;

        if (i->lib && rh_go_on(i->lib, err) < 0)
            return -1;
        while (at < n && !bytes[at])
            at++;
        if (at == n)
            break;
        codec = codec_of(bytes + at, n - at);
        plain.at = at;
        if (codec ? read_one_packed(bytes, at, n, codec, i, &at,
                                    packed ? NULL : err) < 0
                  : !read_newc(&plain, i))
            return packed  ? 0
                   : codec ? -1
                           : rh_fail(err, RH_ERR_GUEST_DAMAGED,
                                     "the initramfs is no archive that is "
                                     "known");
        /* What stands last decides in which form a segment can follow. */
        if (is_main && (codec || !packed)) {
            i->codec = codec ? codec : "none";
            i->lz4_legacy = codec && !strcmp(codec, "lz4");
        }
        packed |= codec != NULL;
        if (!codec) {
            at = plain.at;
            i->early |= is_main && !packed && at < n;
        }
    }
    return 0;
}

int rh_initramfs_read(const void *bytes, size_t n, rh_lib *lib,
                      struct rh_initramfs *ret, rh_error **err)
{
    size_t ours = rh_segment_find(bytes, n);
    struct rh_initramfs i = {.lib = lib};
    int r;

    i.ours = ours < n;
    i.main_end = rh_segment_start(bytes, ours, n);
    r = read_part(bytes, i.main_end, true, &i, err);
    i.main_modules = i.modules.count;
    if (r == 0 && i.ours) {
        const char *p = bytes;

        i.in_ours = true;
        r = read_part(p + ours, n - ours, false, &i, err);
    }
    sort(i.modules.items, i.main_modules);
    if (i.modules.count > i.main_modules)
        sort(i.modules.items + i.main_modules,
             i.modules.count - i.main_modules);
    join_waits(&i);
    if (r < 0 || !i.codec) {
        rh_initramfs_free(&i);
        return r < 0 ? -1
                     : rh_fail(err, RH_ERR_GUEST_DAMAGED,
                               "the initramfs is empty");
    }
    *ret = i;
    return 0;
}
