/* parent.c - the disk that another one was made over.
 *
 * A file may name anything; what is opened is a file of that name in the same
 * folder, which must be the right one where the child says how to know it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/format.h"

/* --- names --------------------------------------------------------------- */

static void add_utf8(struct rh_buf *b, uint32_t c)
{
    const char bytes[4] = {
        (char)(c < 0x80      ? c
               : c < 0x800   ? 0xc0 | c >> 6
               : c < 0x10000 ? 0xe0 | c >> 12
                             : 0xf0 | c >> 18),
        (char)(0x80 | (c < 0x800     ? c & 0x3f
                       : c < 0x10000 ? c >> 6 & 0x3f
                                     : c >> 12 & 0x3f)),
        (char)(0x80 | (c < 0x10000 ? c & 0x3f : c >> 6 & 0x3f)),
        (char)(0x80 | (c & 0x3f)),
    };

    rh_buf_add(b, bytes, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
}

char *rh_utf16_name(const uint8_t *p, size_t n, bool big_endian)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (; n >= 2; p += 2, n -= 2) {
        uint32_t c = big_endian ? rh_be16(p) : rh_le16(p), low = 0;

        if (c == 0)
            break;
        if (c >= 0xd800 && c < 0xdc00 && n >= 4)
            low = big_endian ? rh_be16(p + 2) : rh_le16(p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            p += 2;
            n -= 2;
        } else if (c >= 0xd800 && c < 0xe000) {
            return NULL; /* half of a pair */
        }
        add_utf8(&b, c);
    }
    return b.length ? rh_buf_take(&b) : NULL;
}

const char *rh_last_part(const char *path)
{
    const char *last = path;

    for (const char *p = path; *p; p++)
        if (*p == '/' || *p == '\\' || *p == ':')
            last = p + 1;
    return last;
}

/* --- opening ------------------------------------------------------------- */

struct rh_io *rh_reader_neighbour(struct rh_reader *r,
                                  const struct rh_open_options *o,
                                  const char *name, rh_error **err)
{
    struct rh_io *io = rh_place_open(o->place, name, err);

    if (io && io->alike)
        rh_problem_add(r, "PACKAGE-FILE-NAME",
                       N_("it names \"%s\"; the file \"%s\" was taken, whose "
                          "name is written otherwise"),
                       name, rh_last_part(io->name));
    return io;
}

static int check_id(const struct rh_reader *parent, const uint8_t *id,
                    const char *name, rh_error **err)
{
    if (!id || !memcmp(parent->id, id, sizeof parent->id))
        return 0;
    rh_fail(err, RH_ERR_DISK_PARENT,
            "\"%s\" is not the disk it was made over, or was changed since",
            name);
    return rh_hint(err, "take the parent as it was when this disk was made");
}

int rh_reader_open_parent(struct rh_reader *r, const struct rh_open_options *o,
                          const char *name, const char *format,
                          const uint8_t id[16], rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    RH_AUTO(rh_reader_closep) struct rh_reader *parent = NULL;
    struct rh_open_options deeper = *o;
    const char *last = rh_last_part(name);
    rh_error *cause = NULL;

    if (deeper.depth++ >= RH_LIMIT_CHAIN)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "the chain of its parents is longer than %u",
                       (unsigned)RH_LIMIT_CHAIN);
    if (!o->place)
        return rh_fail(err, RH_ERR_DISK_PARENT, "it needs its parent \"%s\"",
                       last);
    io = rh_reader_neighbour(r, o, last, &cause);
    if (!io && rh_error_number(cause) == RH_ERR_FILE_NOT_FOUND) {
        rh_error_drop(&cause);
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "its parent \"%s\" is not there", last);
    }
    if (io)
        parent = rh_reader_open(io, format, &deeper, &cause);
    if (!parent) {
        if (o->depth == 0) /* once is enough for a long chain */
            rh_error_context(&cause, "parent \"%s\"", last);
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    if (check_id(parent, id, last, err) < 0)
        return -1;
    r->parent = RH_TAKE(parent);
    return 0;
}
