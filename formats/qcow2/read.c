/* read.c - what the guest would read from a qcow2 file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/reader.h"

enum { BATCH = 4096 }; /* bytes of a table looked at together */

/* --- entries
 * ------------------------------------------------------------------------- */

enum rh_qcow2_kind rh_qcow2_kind_of(const struct rh_qcow2 *q,
                                    const uint8_t *raw, unsigned sub)
{
    uint64_t word = rh_be64(raw), map;

    if (word & Q_COMPRESSED)
        return Q_IS_PACKED;
    if (!q->extended) {
        if (word & Q_ZERO)
            return Q_IS_ZERO;
        return word & Q_OFFSET ? Q_IS_DATA : Q_IS_HOLE;
    }
    map = rh_be64(raw + 8);
    if (map >> (32 + sub) & 1)
        return Q_IS_ZERO;
    return map >> sub & 1 ? Q_IS_DATA : Q_IS_HOLE;
}

void rh_qcow2_packed_at(const struct rh_qcow2 *q, uint64_t word,
                        uint64_t *ret_at, uint64_t *ret_size)
{
    unsigned shift = rh_qcow2_sector_shift(q->bits);
    uint64_t at = word & ((1ULL << shift) - 1);
    uint64_t sectors = (word & (Q_COMPRESSED - 1)) >> shift;

    *ret_at = at;
    *ret_size = (sectors + 1) * Q_SECTOR - at % Q_SECTOR;
}

/* --- looking up
 * ------------------------------------------------------------------------ */

/* A run of absent L2 tables, as far as one batch shows it. */
static int absent_tables(struct rh_qcow2 *q, struct rh_io *io, uint64_t index,
                         uint64_t *ret_count, rh_error **err)
{
    uint8_t buf[BATCH];
    uint64_t n = RH_MIN((q->l1_count - index) * 8, (uint64_t)BATCH), i = 0;

    if (rh_qcow2_tables_get(&q->tables, io, q->l1 + index * 8, buf, (size_t)n,
                            err) < 0)
        return -1;
    while (i < n && (rh_be64(buf + i) & Q_OFFSET) == 0)
        i += 8;
    *ret_count = i / 8;
    return 0;
}

/* Does subcluster `i` of the batch go on with what the spot holds?  `length`
 * is what the spot has so far, from its subcluster's start. */
static bool goes_on(const struct rh_qcow2 *q, const uint8_t *raw, unsigned sub,
                    const struct rh_qcow2_spot *spot, uint64_t at,
                    uint64_t length, bool side_by_side)
{
    enum rh_qcow2_kind kind = rh_qcow2_kind_of(q, raw, sub);

    if (!side_by_side) {
        bool stored = kind == Q_IS_DATA || kind == Q_IS_PACKED;
        bool was = spot->kind == Q_IS_DATA || spot->kind == Q_IS_PACKED;

        return stored ? was : kind == spot->kind;
    }
    if (kind != spot->kind)
        return false;
    return kind != Q_IS_PACKED &&
           (kind != Q_IS_DATA ||
            (rh_be64(raw) & Q_OFFSET) + sub * q->sub == at + length);
}

/* From the entries in `buf`, the first of which maps `offset`'s cluster. */
static void judge_run(const struct rh_qcow2 *q, const uint8_t *buf, size_t n,
                      uint64_t offset, bool side_by_side,
                      struct rh_qcow2_spot *ret)
{
    uint64_t within = offset % q->cluster;
    unsigned sub = (unsigned)(within / q->sub);
    uint64_t skew = within % q->sub, length = q->sub, at;
    size_t i = 0;

    *ret = (struct rh_qcow2_spot){.kind = rh_qcow2_kind_of(q, buf, sub)};
    at = (rh_be64(buf) & Q_OFFSET) + sub * q->sub;
    ret->at = at + skew;
    if (ret->kind == Q_IS_PACKED)
        rh_qcow2_packed_at(q, rh_be64(buf), &ret->at, &ret->size);
    if (ret->kind == Q_IS_PACKED && side_by_side) {
        ret->length = q->cluster - within;
        return;
    }
    for (;;) {
        if (++sub == q->subs) {
            sub = 0;
            i += q->entry;
        }
        if (i >= n || !goes_on(q, buf + i, sub, ret, at, length, side_by_side))
            break;
        length += q->sub;
    }
    ret->length = length - skew;
}

static int look_up(struct rh_reader *r, uint64_t offset, bool side_by_side,
                   struct rh_qcow2_spot *ret, rh_error **err)
{
    struct rh_qcow2 *q = r->state;
    uint64_t reach = q->cluster * q->per_l2, index = offset / reach;
    uint64_t entry = offset % reach / q->cluster, at, n, absent;
    uint8_t buf[BATCH], l1[8];

    if (rh_qcow2_tables_get(&q->tables, r->io, q->l1 + index * 8, l1, sizeof l1,
                            err) < 0)
        return -1;
    at = rh_be64(l1) & Q_OFFSET;
    if (!at) {
        if (absent_tables(q, r->io, index, &absent, err) < 0)
            return -1;
        *ret = (struct rh_qcow2_spot){
            .kind = Q_IS_HOLE,
            .length = RH_MAX(absent, (uint64_t)1) * reach - offset % reach};
    } else {
        n = RH_MIN((q->per_l2 - entry) * q->entry, (uint64_t)BATCH);
        if (rh_qcow2_tables_get(&q->tables, r->io, at + entry * q->entry, buf,
                                (size_t)n, err) < 0)
            return -1;
        judge_run(q, buf, (size_t)n, offset, side_by_side, ret);
    }
    ret->length = RH_MIN(ret->length, r->size - offset);
    return 0;
}

int rh_qcow2_extent(struct rh_reader *r, uint64_t offset, struct rh_extent *ret,
                    rh_error **err)
{
    static const enum rh_extent_kind kinds[] = {
        [Q_IS_HOLE] = RH_EXTENT_HOLE,
        [Q_IS_ZERO] = RH_EXTENT_ZERO,
        [Q_IS_DATA] = RH_EXTENT_DATA,
        [Q_IS_PACKED] = RH_EXTENT_DATA,
    };
    struct rh_qcow2_spot spot;

    if (look_up(r, offset, false, &spot, err) < 0)
        return -1;
    *ret = (struct rh_extent){spot.length, kinds[spot.kind]};
    return 0;
}

int rh_qcow2_lies(struct rh_reader *r, uint64_t offset,
                  struct rh_place_of_bytes *ret, rh_error **err)
{
    struct rh_qcow2_spot spot;

    if (look_up(r, offset, true, &spot, err) < 0)
        return -1;
    *ret = (struct rh_place_of_bytes){spot.kind == Q_IS_DATA, spot.at,
                                      spot.length};
    return 0;
}

/* --- reading
 * ------------------------------------------------------------------------------
 */

static int get_packed(struct rh_reader *r, struct rh_codec *codec,
                      const struct rh_qcow2_spot *spot, uint8_t **ret,
                      size_t *ret_n, rh_error **err)
{
    /* The stream's last sector may be the file's last, and short. */
    size_t n = (size_t)RH_MIN(spot->size, r->io->size - spot->at);
    uint8_t *bytes = rh_codec_scratch(codec, 0, n, err);

    if (!bytes || rh_io_read(r->io, bytes, n, spot->at, err) < 0)
        return -1;
    *ret = bytes;
    *ret_n = n;
    return 0;
}

static int unpack(struct rh_reader *r, struct rh_codec *codec,
                  const struct rh_qcow2_spot *spot, uint64_t offset,
                  uint8_t *out, rh_error **err)
{
    struct rh_qcow2 *q = r->state;
    enum rh_unpack_result result;
    uint8_t *in;
    size_t n, got = 0;

    if (get_packed(r, codec, spot, &in, &n, err) < 0)
        return -1;
    result = q->compression == Q_COMPRESSION_ZSTD
                 ? rh_unzstd(codec, in, n, out, q->cluster, &got)
                 : rh_inflate_raw(codec, in, n, out, q->cluster, &got, NULL);
    if (result == RH_UNPACK_OK && got == q->cluster)
        return 0;
    return rh_fail(err, RH_ERR_QCOW2_CLUSTER,
                   "the compressed cluster at 0x%llx (disk offset 0x%llx) "
                   "does not expand to %llu bytes",
                   (unsigned long long)spot->at, (unsigned long long)offset,
                   (unsigned long long)q->cluster);
}

static int read_packed(struct rh_reader *r, struct rh_codec *codec,
                       const struct rh_qcow2_spot *spot, uint64_t offset,
                       uint8_t *buf, size_t n, rh_error **err)
{
    struct rh_qcow2 *q = r->state;
    uint8_t *plain;

    if (n == q->cluster)
        return unpack(r, codec, spot, offset, buf, err);
    plain = rh_codec_scratch(codec, 1, q->cluster, err);
    if (!plain || unpack(r, codec, spot, offset, plain, err) < 0)
        return -1;
    memcpy(buf, plain + offset % q->cluster, n);
    return 0;
}

int rh_qcow2_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                  size_t n, uint64_t offset, rh_error **err)
{
    uint8_t *to = buf;

    while (n) {
        struct rh_qcow2_spot spot;
        size_t part;
        int failed = 0;

        if (look_up(r, offset, true, &spot, err) < 0)
            return -1;
        part = (size_t)RH_MIN((uint64_t)n, spot.length);
        if (spot.kind == Q_IS_DATA)
            failed = rh_io_read(r->io, to, part, spot.at, err);
        else if (spot.kind == Q_IS_PACKED)
            failed = read_packed(r, codec, &spot, offset, to, part, err);
        else
            memset(to, 0, part);
        if (failed)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

static int add_packed(struct rh_reader *r, struct rh_codec *codec,
                      uint64_t offset, struct rh_buf *memory,
                      struct rh_packed *ret, rh_error **err)
{
    struct rh_qcow2 *q = r->state;
    struct rh_qcow2_spot spot;
    uint8_t *bytes;
    size_t n;

    *ret = (struct rh_packed){0};
    if (look_up(r, offset, true, &spot, err) < 0)
        return -1;
    if (spot.kind != Q_IS_PACKED || offset % q->cluster)
        return 0;
    if (get_packed(r, codec, &spot, &bytes, &n, err) < 0)
        return -1;
    ret->at = memory->length;
    ret->size = n;
    ret->codec = q->compression == Q_COMPRESSION_ZSTD ? RH_PACKED_ZSTD
                                                      : RH_PACKED_RAW_DEFLATE;
    ret->plain_size = (uint32_t)q->cluster;
    rh_buf_add(memory, bytes, n);
    return 0;
}

int rh_qcow2_packed(struct rh_reader *r, struct rh_codec *codec,
                    uint64_t offset, size_t count, struct rh_buf *memory,
                    struct rh_packed *ret, rh_error **err)
{
    for (size_t i = 0; i < count; i++)
        if (add_packed(r, codec, offset + i * r->grain, memory, &ret[i], err) <
            0)
            return -1;
    return 0;
}

/* open() judged the tables; what is left is to expand what is packed, and to
 * compare the refcounts. */
int rh_qcow2_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err)
{
    struct rh_qcow2 *q = r->state;
    uint8_t *plain = rh_codec_scratch(codec, 1, q->cluster, err);
    struct rh_qcow2_spot spot;

    if (!plain)
        return -1;
    for (uint64_t at = 0; at < r->size; at += spot.length) {
        if (rh_go_on(r->lib, err) < 0 || look_up(r, at, true, &spot, err) < 0)
            return -1;
        if (spot.kind == Q_IS_PACKED &&
            unpack(r, codec, &spot, at, plain, err) < 0)
            return -1;
        rh_progress(r->lib, "check", at, r->size);
    }
    return rh_qcow2_check_refcounts(r, err);
}

/* --- opening
 * ---------------------------------------------------------------------------------
 */

static void report_header(struct rh_reader *r, const struct rh_qcow2 *q)
{
    if (q->incompatible & Q_DIRTY)
        rh_problem_add(r, "QCOW2-DIRTY",
                       "the file was not closed properly; its data reads, the "
                       "last writes may be missing");
    if (q->snapshots)
        rh_problem_add(r, "QCOW2-SNAPSHOTS",
                       "the file holds %u internal snapshots; only the present "
                       "state is read",
                       q->snapshots);
}

/* A name that the file holds is looked up in the package's folder only. */
static int open_backing(struct rh_reader *r, const struct rh_qcow2 *q,
                        const struct rh_open_options *o, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    struct rh_open_options deeper = *o;
    rh_error *cause = NULL;

    if (deeper.depth++ >= RH_LIMIT_CHAIN)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "the chain of backing files is longer than %u",
                       (unsigned)RH_LIMIT_CHAIN);
    if (!o->place)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "it needs its backing file \"%s\" (named at 0x%llx)",
                       q->backing_name, (unsigned long long)q->backing_at);
    io = rh_reader_neighbour(r, o, q->backing_name, &cause);
    if (!io && rh_error_number(cause) == RH_ERR_FILE_NOT_FOUND) {
        rh_error_drop(&cause);
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "its backing file \"%s\" (named at 0x%llx) is not there",
                       q->backing_name, (unsigned long long)q->backing_at);
    }
    if (io)
        r->parent = rh_reader_open(io, q->backing_format, &deeper, &cause);
    if (r->parent)
        return 0;
    if (rh_error_number(cause) == RH_ERR_NAME_UNSAFE)
        rh_hint(&cause,
                "if it is your own: put the backing file into the same folder "
                "and name it so (qemu-img rebase -u -b NAME FILE), or make the "
                "disk whole where it is (qemu-img convert)");
    /* Once is enough for a long chain. */
    if (o->depth == 0)
        rh_error_context(&cause, "backing file \"%s\" (named at 0x%llx)",
                         q->backing_name, (unsigned long long)q->backing_at);
    if (err && !*err)
        *err = RH_TAKE(cause);
    rh_error_free(cause);
    return -1;
}

static int open_checked(struct rh_reader *r, struct rh_qcow2 *q,
                        const struct rh_open_options *o, rh_error **err)
{
    struct rh_qcow2_survey survey;

    if (o->lib && q->size > o->lib->max_disk_size && o->lib->max_disk_size)
        return 0; /* the caller refuses it by its size */
    if (rh_qcow2_survey(q, o->lib, r->io, &survey, err) < 0)
        return -1;
    r->compressed = survey.packed;
    r->file_order = survey.file_order;
    if (q->backing_name && !o->ignore_parent)
        return open_backing(r, q, o, err);
    return 0;
}

int rh_qcow2_open(struct rh_reader *r, const struct rh_open_options *o,
                  rh_error **err)
{
    struct rh_qcow2 *q = rh_new0(struct rh_qcow2);

    r->state = q;
    if (rh_qcow2_read_header(r->io, q, err) < 0) {
        free(q);
        r->state = NULL;
        return -1;
    }
    rh_qcow2_tables_init(&q->tables);
    r->size = q->size;
    r->variant = q->version == 2 ? "v2" : "v3";
    r->grain = (uint32_t)q->cluster;
    r->backing_file = rh_strdup(q->backing_name);
    if (open_checked(r, q, o, err) < 0) {
        rh_qcow2_close(r);
        return -1;
    }
    report_header(r, q);
    return 0;
}

void rh_qcow2_close(struct rh_reader *r)
{
    struct rh_qcow2 *q = r->state;

    if (!q)
        return;
    rh_qcow2_tables_free(&q->tables);
    free(q->backing_name);
    free(q->backing_format);
    free(q);
    r->state = NULL;
}
