/* unpack.c - a stream that decompresses what it reads, found by magic.
 *
 * gzip goes through zlib, which checks each member's CRC (libarchive's gzip
 * reader does not); xz, zstd and bzip2 go through libarchive's filters.  A
 * stream that expands beyond what deflate could is taken for a bomb, whatever
 * its codec: real disks and packages stay far below that. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/io.h"
#include "base/limits.h"

enum {
    HEAD = 6,           /* the longest magic */
    INPUT = 128 * 1024, /* of compressed bytes at once */
    /* Small things may expand more: an empty tar is all zeros. */
    FREE_EXPANSION = 16 * 1024 * 1024,
};

struct unpack {
    struct rh_stream *from;
    const char *codec; /* NULL: nothing to do but to give `head` back */
    uint8_t head[HEAD];
    size_t head_n, head_used;
    z_stream z;
    bool z_open, z_ended; /* between two gzip members */
    struct archive *archive;
    rh_error *error; /* the cause, when reading `from` failed */
    uint8_t input[INPUT];
};

static const char *codec_of(const uint8_t *p, size_t n)
{
    static const struct {
        const char *codec;
        uint8_t magic[HEAD];
        size_t length;
    } codecs[] = {
        {"gzip", {0x1f, 0x8b, 8}, 3},
        {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6},
        {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4},
        {"bzip2", {'B', 'Z', 'h'}, 3},
    };

    for (size_t i = 0; i < RH_COUNT(codecs); i++)
        if (n >= codecs[i].length &&
            !memcmp(p, codecs[i].magic, codecs[i].length))
            return codecs[i].codec;
    return NULL;
}

/* The head first, then what follows it. */
static int raw_read(struct unpack *u, void *buf, size_t n, size_t *ret_n,
                    rh_error **err)
{
    size_t left = u->head_n - u->head_used;

    if (!left)
        return rh_stream_read(u->from, buf, n, ret_n, err);
    n = RH_MIN(n, left);
    memcpy(buf, u->head + u->head_used, n);
    u->head_used += n;
    *ret_n = n;
    return 0;
}

/* --- gzip ---------------------------------------------------------------- */

static int damaged(const struct unpack *u, const char *why, rh_error **err)
{
    return rh_fail(err, RH_ERR_STREAM_DECODE, "the %s data is damaged: %s",
                   u->codec, why);
}

static int more_input(struct unpack *u, rh_error **err)
{
    size_t n;

    if (u->z.avail_in)
        return 0;
    if (raw_read(u, u->input, INPUT, &n, err) < 0)
        return -1;
    u->z.next_in = u->input;
    u->z.avail_in = (uInt)n;
    return 0;
}

/* Behind a member another may follow, or zeros that pad a block. */
static int next_member(struct unpack *u, bool *ret_end, rh_error **err)
{
    do {
        while (u->z.avail_in && *u->z.next_in == 0) {
            u->z.next_in++;
            u->z.avail_in--;
        }
        if (more_input(u, err) < 0)
            return -1;
    } while (u->z.avail_in && *u->z.next_in == 0);
    *ret_end = u->z.avail_in == 0;
    u->z_ended = false;
    if (!*ret_end && inflateReset(&u->z) != Z_OK)
        return damaged(u, "it cannot be started again", err);
    return 0;
}

static int gzip_read(struct unpack *u, void *buf, size_t n, size_t *ret_n,
                     rh_error **err)
{
    uInt room = (uInt)RH_MIN(n, (size_t)1 << 30);

    u->z.next_out = buf;
    u->z.avail_out = room;
    while (u->z.avail_out == room) {
        bool end = false;
        int got;

        if (u->z_ended && next_member(u, &end, err) < 0)
            return -1;
        if (end) {
            u->z_ended = true; /* so that it ends again when asked again */
            break;
        }
        if (more_input(u, err) < 0)
            return -1;
        if (!u->z.avail_in)
            return damaged(u, "it ends too early", err);
        got = inflate(&u->z, Z_NO_FLUSH);
        u->z_ended = got == Z_STREAM_END;
        if (got != Z_OK && got != Z_STREAM_END && got != Z_BUF_ERROR)
            return damaged(u, u->z.msg ? u->z.msg : "unknown", err);
    }
    *ret_n = room - u->z.avail_out;
    return 0;
}

static int gzip_start(struct unpack *u, rh_error **err)
{
    enum { GZIP_ONLY = 16 };

    if (inflateInit2(&u->z, MAX_WBITS + GZIP_ONLY) != Z_OK)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to decompress");
    u->z_open = true;
    return 0;
}

/* --- xz, zstd, bzip2 ----------------------------------------------------- */

static la_ssize_t archive_input(struct archive *a, void *user, const void **ret)
{
    struct unpack *u = user;
    size_t n;

    if (raw_read(u, u->input, INPUT, &n, &u->error) < 0) {
        archive_set_error(a, EIO, "reading failed");
        return -1;
    }
    *ret = u->input;
    return (la_ssize_t)n;
}

static int archive_failed(struct unpack *u, rh_error **err)
{
    const char *why = archive_error_string(u->archive);

    if (!u->error)
        return damaged(u, why ? why : "unknown", err);
    if (err && !*err)
        *err = RH_TAKE(u->error);
    return -1;
}

static int archive_start(struct unpack *u, rh_error **err)
{
    struct archive_entry *entry;

    u->archive = archive_read_new();
    if (!u->archive)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to decompress");
    archive_read_support_filter_xz(u->archive);
    archive_read_support_filter_zstd(u->archive);
    archive_read_support_filter_bzip2(u->archive);
    archive_read_support_format_raw(u->archive);
    archive_read_support_format_empty(u->archive);
    if (archive_read_open(u->archive, u, NULL, archive_input, NULL) !=
        ARCHIVE_OK)
        return archive_failed(u, err);
    if (archive_filter_code(u->archive, 0) == ARCHIVE_FILTER_NONE)
        return damaged(u, "its header does not read", err);
    switch (archive_read_next_header(u->archive, &entry)) {
    case ARCHIVE_OK:
        return 0;
    case ARCHIVE_EOF: /* a sound stream of nothing */
        archive_read_free(u->archive);
        u->archive = NULL;
        return 0;
    default:
        return archive_failed(u, err);
    }
}

static int archive_read(struct unpack *u, void *buf, size_t n, size_t *ret_n,
                        rh_error **err)
{
    la_ssize_t got = u->archive ? archive_read_data(u->archive, buf, n) : 0;

    if (got < 0)
        return archive_failed(u, err);
    *ret_n = (size_t)got;
    return 0;
}

/* --- the stream ---------------------------------------------------------- */

static int unpack_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                       rh_error **err)
{
    struct unpack *u = s->state;
    uint64_t plausible;

    if (!u->codec)
        return raw_read(u, buf, n, ret_n, err);
    if ((u->z_open ? gzip_read : archive_read)(u, buf, n, ret_n, err) < 0)
        return -1;
    plausible = u->from->position > UINT64_MAX / RH_LIMIT_EXPANSION / 2
                    ? UINT64_MAX
                    : u->from->position * RH_LIMIT_EXPANSION + FREE_EXPANSION;
    if (s->position + *ret_n > plausible)
        return rh_fail(err, RH_ERR_STREAM_LIMIT,
                       "%llu compressed bytes expand to more than %llu",
                       (unsigned long long)u->from->position,
                       (unsigned long long)plausible);
    return 0;
}

static void unpack_free(struct unpack *u)
{
    if (u->z_open)
        inflateEnd(&u->z);
    if (u->archive)
        archive_read_free(u->archive);
    rh_error_free(u->error);
    rh_stream_close(u->from);
    free(u);
}
RH_FREEP(unpack_freep, struct unpack, unpack_free)

static void unpack_close(struct rh_stream *s)
{
    unpack_free(s->state);
}

static int read_head(struct unpack *u, rh_error **err)
{
    while (u->head_n < HEAD) {
        size_t n;

        if (rh_stream_read(u->from, u->head + u->head_n, HEAD - u->head_n, &n,
                           err) < 0)
            return -1;
        if (n == 0)
            break;
        u->head_n += n;
    }
    u->codec = codec_of(u->head, u->head_n);
    return 0;
}

static int begin(struct unpack *u, rh_error **err)
{
    if (read_head(u, err) < 0)
        return -1;
    if (!u->codec)
        return 0;
    return strcmp(u->codec, "gzip") ? archive_start(u, err)
                                    : gzip_start(u, err);
}

struct rh_stream *rh_stream_unpack(struct rh_stream *from,
                                   const char **ret_codec, rh_error **err)
{
    static const struct rh_stream_ops ops = {unpack_read, unpack_close};
    RH_AUTO(unpack_freep) struct unpack *u = rh_new0(struct unpack);

    u->from = from;
    if (begin(u, err) < 0) {
        rh_error_subject(err, from->name);
        return NULL;
    }
    if (ret_codec)
        *ret_codec = u->codec;
    return rh_stream_over(&ops, from, RH_TAKE(u));
}
