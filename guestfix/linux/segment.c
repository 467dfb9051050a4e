/* segment.c - write the segment that adds to an initramfs.
 *
 * newc cpio, gzip'ed, behind zeros up to the next multiple of 4 and 4 more: the
 * kernel skips zeros between archives.  An lz4 (legacy) image has no end mark,
 * and old kernels take zeros for a block size; there the segment is an lz4
 * legacy stream of its own, literals only, right behind the last byte.
 *
 * Our mark is a first entry of that name in the archive; in the gzip form it
 * is the header's file name, with the length of what came before: zeros cannot
 * tell where a gzip stream ends, because its own last bytes may be zeros.  The
 * name is the one optional field of that header that Linux skips
 * (lib/decompress_inflate.c); with a comment it gives the segment up. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "guestfix/linux/initramfs.h"

static const char mark[] = "rehost-drivers.cpio";

enum {
    GZIP_HEADER = 10,
    LZ4_BLOCK = 8 * 1024 * 1024,
    STAMP = 1735689600, /* 2025-01-01: no clock in the output */
};

static const char gzip_header[GZIP_HEADER] = "\x1f\x8b\x08\x08\0\0\0\0\0\x03";
static const char lz4_magic[4] = "\x02\x21\x4c\x18";

/* --- finding
 * ------------------------------------------------------------------ */
/* memrchr() with a bound on what is looked at even under AddressSanitizer,
 * which checks the whole range at each call. */
static const char *last_of(const char *p, char c, size_t n)
{
    while (n && p[n - 1] != c)
        n--;
    return n ? p + n - 1 : NULL;
}

/* The last lz4 magic that ends at or before `end`; SIZE_MAX: none. */
static size_t magic_before(const char *p, size_t end)
{
    while (end >= sizeof lz4_magic) {
        const char *hit = last_of(p, lz4_magic[0], end - sizeof lz4_magic + 1);

        if (!hit)
            break;
        if (!memcmp(hit, lz4_magic, sizeof lz4_magic))
            return (size_t)(hit - p);
        end = (size_t)(hit - p) + sizeof lz4_magic - 1;
    }
    return SIZE_MAX;
}

size_t rh_segment_find(const void *bytes, size_t n)
{
    /* lz4: magic, size, token and lengths, then the first entry's header. */
    enum { LEAST = 110, MOST = 40000 };
    const char *p = bytes, *hit;
    size_t magic = n, at = n;

    /* Behind everything else: look from the end.  Marks and magics are passed
     * once each, whatever the image is made of. */
    for (; at > 0 && (hit = last_of(p, 'r', at)); at = (size_t)(hit - p)) {
        size_t where = (size_t)(hit - p);

        if (n - where < sizeof mark || memcmp(hit, mark, sizeof mark - 1))
            continue;
        if (where >= GZIP_HEADER &&
            !memcmp(hit - GZIP_HEADER, gzip_header, GZIP_HEADER))
            return where - GZIP_HEADER;
        if (where < LEAST || magic == SIZE_MAX)
            continue;
        if (magic > where - LEAST)
            magic = magic_before(p, where - LEAST + sizeof lz4_magic);
        if (magic != SIZE_MAX && where - magic < LEAST + MOST)
            return magic;
    }
    return n;
}

/* The length of what was there before, as the gzip header's name says. */
size_t rh_segment_start(const void *bytes, size_t found, size_t n)
{
    const char *p = bytes;
    size_t at = found + GZIP_HEADER + sizeof mark, before = 0;

    if (found == n || !memcmp(p + found, lz4_magic, sizeof lz4_magic))
        return found;
    while (at < n && p[at] >= '0' && p[at] <= '9' && before <= found)
        before = before * 10 + (size_t)(p[at++] - '0');
    if (before > found || found - before > 7 ||
        !rh_all_zero(p + before, found - before))
        return found;
    return before;
}

/* --- writing
 * -------------------------------------------------------------------- */
static void pad(struct rh_buf *b, size_t unit)
{
    while (b->length % unit)
        rh_buf_putc(b, '\0');
}

static void entry(struct rh_segment *s, const char *name, unsigned mode,
                  const void *bytes, size_t n)
{
    rh_buf_printf(
        &s->cpio, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
        ++s->inode, mode, 0u, 0u, mode & 040000 ? 2u : 1u, (unsigned)STAMP,
        (unsigned)n, 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
    rh_buf_add(&s->cpio, name, strlen(name) + 1);
    pad(&s->cpio, 4);
    rh_buf_add(&s->cpio, bytes, n);
    pad(&s->cpio, 4);
}

static bool written(struct rh_segment *s, const char *folder)
{
    static const char *const never[] = {"lib", "usr", "usr/lib"};

    for (size_t i = 0; i < RH_COUNT(never); i++)
        if (!strcmp(folder, never[i]))
            return true;
    for (size_t i = 0; i < s->folders.count; i++)
        if (!strcmp(folder, s->folders.items[i]))
            return true;
    return false;
}

static void parents(struct rh_segment *s, const char *path)
{
    for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
        char *folder = rh_strndup(path, (size_t)(p - path));

        if (written(s, folder)) {
            free(folder);
            continue;
        }
        entry(s, folder, 040755, "", 0);
        *rh_vec_add(&s->folders) = folder;
    }
}

void rh_segment_link(struct rh_segment *s, const char *path, const char *target)
{
    if (!s->inode)
        entry(s, mark, 0100644, "", 0);
    parents(s, path);
    entry(s, path, 0120777, target, strlen(target));
}

void rh_segment_file(struct rh_segment *s, const char *path, const void *bytes,
                     size_t n, unsigned mode)
{
    if (!s->inode)
        entry(s, mark, 0100644, "", 0);
    parents(s, path);
    entry(s, path, 0100000 | mode, bytes, n);
}

static int add_gzip(const struct rh_buf *cpio, size_t before,
                    struct rh_buf *image, rh_error **err)
{
    gz_header head = {.os = 3};
    z_stream z = {0};
    char name[sizeof mark + 24];
    size_t room;
    int r;

    snprintf(name, sizeof name, "%s.%zu", mark, before);
    head.name = (Bytef *)name;
    if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to compress");
    deflateSetHeader(&z, &head);
    room = deflateBound(&z, (uLong)cpio->length) + sizeof name;
    RH_AUTO(rh_freep) char *out = rh_malloc(room);
    z.next_in = (Bytef *)cpio->data;
    z.avail_in = (uInt)cpio->length;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    r = deflate(&z, Z_FINISH);
    rh_buf_add(image, out, room - z.avail_out);
    deflateEnd(&z);
    return r == Z_STREAM_END
               ? 0
               : rh_fail(err, RH_ERR_BUG, "compressing a segment failed");
}

/* One legacy block of literals: token 0xF0, the length in 255s, the bytes. */
static void add_lz4_block(const char *bytes, size_t n, struct rh_buf *image)
{
    struct rh_buf block = {0};
    uint8_t size[4];

    if (n < 15) {
        rh_buf_putc(&block, (char)(n << 4));
    } else {
        size_t rest = n - 15;

        rh_buf_putc(&block, (char)0xf0);
        for (; rest >= 255; rest -= 255)
            rh_buf_putc(&block, (char)255);
        rh_buf_putc(&block, (char)rest);
    }
    rh_buf_add(&block, bytes, n);
    rh_put_le32(size, (uint32_t)block.length);
    rh_buf_add(image, size, 4);
    rh_buf_add(image, block.data, block.length);
    rh_buf_free(&block);
}

static void add_lz4(const struct rh_buf *cpio, struct rh_buf *image)
{
    rh_buf_add(image, lz4_magic, sizeof lz4_magic);
    for (size_t at = 0; at < cpio->length; at += LZ4_BLOCK)
        add_lz4_block(cpio->data + at,
                      RH_MIN((size_t)LZ4_BLOCK, cpio->length - at), image);
}

int rh_segment_finish(struct rh_segment *s, const struct rh_initramfs *to,
                      struct rh_buf *image, rh_error **err)
{
    size_t before;

    entry(s, "TRAILER!!!", 0, "", 0);
    pad(&s->cpio, 512);
    if (to->lz4_legacy) {
        add_lz4(&s->cpio, image);
        return 0;
    }
    before = image->length;
    pad(image, 4);
    rh_buf_add(image, "\0\0\0", 4);
    return add_gzip(&s->cpio, before, image, err);
}

void rh_segment_free(struct rh_segment *s)
{
    for (size_t i = 0; i < s->folders.count; i++)
        free(s->folders.items[i]);
    free(s->folders.items);
    rh_buf_free(&s->cpio);
    memset(s, 0, sizeof *s);
}
