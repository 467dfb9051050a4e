/* initramfs.c - read an initramfs image: early archives, then one compressed.
 *
 * Every image is somebody else's: entries, names and unpacked bytes are
 * bounded.  A segment that we appended earlier is found by the name in its
 * gzip header (or in its plain text), so that running twice adds nothing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
#define UNPACKED_MAX (2 * RH_GIB)

const char *rh_initramfs_kind_name(enum rh_initramfs_kind kind)
{
    static const char *const names[] = {"unknown",  "initramfs-tools",
                                        "dracut",   "mkinitcpio",
                                        "mkinitfs", "mkinitrd"};

    return names[kind];
}

void rh_initramfs_free(struct rh_initramfs *i)
{
    for (size_t k = 0; k < i->modules.count; k++)
        free(i->modules.items[k]);
    for (size_t k = 0; k < i->waits.count; k++)
        free(i->waits.items[k]);
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

static bool among_first(const struct rh_initramfs *i, const char *module,
                        size_t n)
{
    char name[64];

    rh_module_name(module, name);
    for (size_t k = 0; k < n; k++)
        if (!strcmp(i->modules.items[k], name))
            return true;
    return false;
}

bool rh_initramfs_has(const struct rh_initramfs *i, const char *module)
{
    return among_first(i, module, i->modules.count);
}

bool rh_initramfs_main_has(const struct rh_initramfs *i, const char *module)
{
    return among_first(i, module, i->main_modules);
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

/* Marks of each builder.  First row that fits decides. */
static const struct {
    const char *path;
    enum rh_initramfs_kind kind;
} marks[] = {
    {"conf/initramfs.conf", RH_INITRAMFS_TOOLS},
    {"scripts/init-premount", RH_INITRAMFS_TOOLS},
    {"conf/arch.conf", RH_INITRAMFS_TOOLS},
    {"usr/lib/dracut", RH_INITRAMFS_DRACUT},
    {"lib/dracut", RH_INITRAMFS_DRACUT},
    {"usr/lib/initrd-release", RH_INITRAMFS_DRACUT},
    {"dracut-state.sh", RH_INITRAMFS_DRACUT},
    {"init_functions", RH_INITRAMFS_MKINITCPIO},
    {"etc/mkinitcpio.d", RH_INITRAMFS_MKINITCPIO},
    {"sbin/nlplug-findfs", RH_INITRAMFS_MKINITFS},
    {"usr/sbin/nlplug-findfs", RH_INITRAMFS_MKINITFS},
    {"bin/nash", RH_INITRAMFS_MKINITRD},
    {"sbin/nash", RH_INITRAMFS_MKINITRD},
    {"lib/mkinitrd", RH_INITRAMFS_MKINITRD},
    {"run_all.sh", RH_INITRAMFS_MKINITRD},
    {"conf/modules", RH_INITRAMFS_TOOLS},
};

/* The rules by which udev names NICs, now and in systemd's first years. */
static const char *const naming[] = {"/rules.d/80-net-setup-link.rules",
                                     "/rules.d/80-net-name-slot.rules"};

/* One that a segment of ours replaces does not wait any more. */
static void note_wait(struct rh_initramfs *i, const char *path)
{
    for (size_t k = 0; k < i->waits.count; k++)
        if (!strcmp(i->waits.items[k], path)) {
            free(i->waits.items[k]);
            i->waits.items[k] = i->waits.items[--i->waits.count];
            return;
        }
    *rh_vec_add(&i->waits) = rh_strdup(path);
}

static void note(struct rh_initramfs *i, const char *path, unsigned mode)
{
    if (!strcmp(path, "lib") && S_ISLNK(mode))
        i->lib_is_link = true;
    if (is_module(path) && !S_ISDIR(mode))
        note_module(i, path);
    for (size_t k = 0; k < RH_COUNT(marks) && !i->kind; k++)
        if (!strcmp(path, marks[k].path))
            i->kind = marks[k].kind;
    for (size_t k = 0; k < RH_COUNT(naming); k++)
        i->names_nics |= ends(path, naming[k]);
    if (strstr(path, "hooks/initqueue/finished/devexists-") &&
        (strstr(path, "x2fdev\\x2fsd") || strstr(path, "x2fdev\\x2fhd") ||
         strstr(path, "by-path") || strstr(path, "by-id")))
        note_wait(i, path);
}

/* --- archives --------------------------------------------------------------
 */
/* Bytes to read forward: of memory, or of a decompressor over it. */
struct source {
    const char *bytes; /* NULL: `unpacker` has them */
    size_t n, at;
    struct archive *unpacker;
    uint64_t unpacked;
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
    s->unpacked += n;
    while (n) {
        size_t part = (size_t)RH_MIN(n, to ? n : (uint64_t)sizeof waste);
        la_ssize_t got = archive_read_data(s->unpacker, to ? p : waste, part);

        if (got <= 0)
            return false;
        p = to ? p + got : p;
        n -= (uint64_t)got;
    }
    return s->unpacked <= UNPACKED_MAX;
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
    static const char *const paths[] = {"conf/modules", "etc/lvm/lvm.conf",
                                        "etc/lvm/lvmlocal.conf",
                                        "etc/lvm/devices/system.devices"};
    static const char links[] = "etc/systemd/network/";

    for (size_t k = 0; k < RH_COUNT(paths); k++)
        if (!strcmp(path, paths[k]))
            return true;
    return !strncmp(path, links, sizeof links - 1) && ends(path, ".link");
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

static int unpack(struct archive *a, struct rh_initramfs *i, rh_error **err)
{
    struct source s = {.unpacker = a};
    struct archive_entry *e;
    const char *why;

    if (archive_read_next_header(a, &e) == ARCHIVE_OK && read_newc(&s, i))
        return 0;
    why = archive_error_string(a);
    return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                   "the initramfs cannot be unpacked: %s",
                   why ? why : "it is no cpio archive");
}

/* libarchive only decompresses: its cpio reader takes names of any length. */
static int read_packed(const char *bytes, size_t n, struct rh_initramfs *i,
                       rh_error **err)
{
    struct archive *a = archive_read_new();
    int r = -1;

    archive_read_support_filter_all(a);
    archive_read_support_format_raw(a);
    if (archive_read_open_memory(a, bytes, n) == ARCHIVE_OK)
        r = unpack(a, i, err);
    else
        rh_fail(err, RH_ERR_GUEST_DAMAGED, "the initramfs cannot be unpacked");
    archive_read_free(a);
    return r;
}

/* --- the whole image
 * ---------------------------------------------------------------------- */
static int read_part(const char *bytes, size_t n, bool is_main,
                     struct rh_initramfs *i, rh_error **err)
{
    struct source plain = {.bytes = bytes, .n = n};
    size_t at = 0;
    const char *codec;

    while (at < n) {
        while (at < n && !bytes[at])
            at++;
        if (at == n)
            break;
        codec = codec_of(bytes + at, n - at);
        if (codec) {
            if (is_main) {
                i->codec = codec;
                i->lz4_legacy = !strcmp(codec, "lz4");
            }
            return read_packed(bytes + at, n - at, i, err);
        }
        plain.at = at;
        if (!read_newc(&plain, i))
            return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                           "the initramfs is no archive that is known");
        at = plain.at;
        if (is_main)
            i->codec = "none";
        i->early = is_main && at < n;
    }
    return 0;
}

int rh_initramfs_read(const void *bytes, size_t n, struct rh_initramfs *ret,
                      rh_error **err)
{
    size_t ours = rh_segment_find(bytes, n);
    struct rh_initramfs i = {0};
    int r;

    i.ours = ours < n;
    i.main_end = rh_segment_start(bytes, ours, n);
    r = read_part(bytes, i.main_end, true, &i, err);
    i.main_modules = i.modules.count;
    if (r == 0 && i.ours) {
        const char *p = bytes;

        r = read_part(p + ours, n - ours, false, &i, err);
    }
    if (r < 0 || !i.codec) {
        rh_initramfs_free(&i);
        return r < 0 ? -1
                     : rh_fail(err, RH_ERR_GUEST_DAMAGED,
                               "the initramfs is empty");
    }
    *ret = i;
    return 0;
}
