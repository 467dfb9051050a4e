/* stream.c - a streamOptimized disk read forward only, from marker to marker.
 *
 * The grains are handed out as they come; whether the tables say the same is
 * known at the end.  Then every table must name exactly the grains that were
 * met.  For that a keyed sum per table is enough (8 bytes for 32 MiB of disk):
 * met grains and table entries, each mixed with a secret, must add up to the
 * same. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

enum { BUFFER = 256 * 1024, ZEROS_SPARE = 64 * 1024 * 1024 };

struct met_table {
    uint64_t at, sum;
};
/* A directory that was met: which table does not fit what was met?  None:
 * `wrong` is the number of tables. */
struct met_directory {
    uint64_t at, wrong;
};

struct vmdk_stream {
    struct rh_stream *s;
    struct vmdk_header h;
    uint8_t *buf;
    size_t room, used, have; /* bytes [used, have) are ahead */
    uint64_t at;             /* where buf[used] stands in the stream */
    bool ended;              /* the stream gives no more */
    bool behind;             /* tables come behind their grains */
    uint64_t key;
    uint64_t *sums;        /* by table; see add() */
    struct vmdk_bits seen; /* grains */
    RH_VEC(struct met_table) tables;
    RH_VEC(struct met_directory) directories;
    bool footer, finished;
    uint64_t zeros;         /* bytes met where a marker could stand */
    struct rh_codec *codec; /* for the last grain */
    uint8_t *plain;
};

/* --- bytes --------------------------------------------------------------- */

/* Have `n` bytes ahead, fewer only at the stream's end. */
static int fill(struct vmdk_stream *st, size_t n, rh_error **err)
{
    size_t got;

    if (st->have - st->used >= n)
        return 0;
    memmove(st->buf, st->buf + st->used, st->have - st->used);
    st->have -= st->used;
    st->used = 0;
    while (st->have < n && !st->ended) {
        if (rh_stream_read(st->s, st->buf + st->have, st->room - st->have, &got,
                           err) < 0)
            return -1;
        st->have += got;
        st->ended = got == 0;
        if (st->seen.room)
            rh_vmdk_stored(st->seen.room, got);
    }
    return 0;
}

static size_t ahead(const struct vmdk_stream *st)
{
    return st->have - st->used;
}

static void pass(struct vmdk_stream *st, size_t n)
{
    st->used += n;
    st->at += n;
}

static int cut_short(const struct vmdk_stream *st, rh_error **err)
{
    return rh_fail(err, RH_ERR_VMDK_FOOTER,
                   "the stream is cut short (it ends at 0x%llx)",
                   VMDK_X(st->at + ahead(st)));
}

/* `n` bytes, all of them, passed over. */
static const uint8_t *take(struct vmdk_stream *st, size_t n, rh_error **err)
{
    if (fill(st, n, err) < 0)
        return NULL;
    if (ahead(st) < n) {
        cut_short(st, err);
        return NULL;
    }
    pass(st, n);
    return st->buf + st->used - n;
}

static int skip_to(struct vmdk_stream *st, uint64_t at, rh_error **err)
{
    while (st->at < at)
        if (!take(st, (size_t)RH_MIN(at - st->at, (uint64_t)VMDK_SECTOR), err))
            return -1;
    return 0;
}

/* --- sums ---------------------------------------------------------------- */

/* splitmix64's finisher over the entry, its index and the key. */
static uint64_t mix(const struct vmdk_stream *st, uint64_t index,
                    uint64_t sector)
{
    uint64_t x = (index << 40 | sector) + st->key;

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* What a stored table adds up to. */
static uint64_t sum_table(const struct vmdk_stream *st, const uint8_t *raw)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < st->h.entries; i++) {
        uint32_t sector = rh_le32(raw + (size_t)i * 4);

        if (sector > VMDK_ZEROS)
            sum += mix(st, i, sector);
    }
    return sum;
}

/* --- tables in front ----------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct met_table *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/* The directory in front: where each table is (`sum` holds its number yet). */
static int front_directory(struct vmdk_stream *st, rh_error **err)
{
    for (uint64_t i = 0; i < st->h.tables; i++) {
        const uint8_t *p = take(st, 4, err);
        struct met_table *t;

        if (!p)
            return -1;
        if (!rh_le32(p))
            continue;
        t = rh_vec_add(&st->tables);
        t->at = (uint64_t)rh_le32(p) * VMDK_SECTOR;
        t->sum = i;
        if (t->at < st->at ||
            t->at + rh_vmdk_table_bytes(&st->h) > st->h.overhead)
            return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                           "grain table %llu (at 0x%llx) does not lie between "
                           "the directory at 0x%llx and the grains at 0x%llx",
                           VMDK_X(i), VMDK_X(t->at), VMDK_X(st->h.directory),
                           VMDK_X(st->h.overhead));
    }
    return 0;
}

static int read_front(struct vmdk_stream *st, rh_error **err)
{
    if (st->h.directory < st->at ||
        st->h.directory + st->h.tables * 4 > st->h.overhead ||
        st->h.tables * 4 > RH_LIMIT_TABLE_BYTES)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "the grain directory (at 0x%llx, %llu tables) does not "
                       "lie in front of the grains at 0x%llx",
                       VMDK_X(st->h.directory), VMDK_X(st->h.tables),
                       VMDK_X(st->h.overhead));
    if (skip_to(st, st->h.directory, err) < 0 || front_directory(st, err) < 0)
        return -1;
    if (st->tables.count)
        qsort(st->tables.items, st->tables.count, sizeof *st->tables.items,
              by_place);
    for (size_t i = 0; i < st->tables.count; i++) {
        const struct met_table *t = &st->tables.items[i];
        const uint8_t *raw;

        if (t->at < st->at)
            return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                           "grain table %llu overlaps other metadata (at "
                           "0x%llx)",
                           VMDK_X(t->sum), VMDK_X(t->at));
        if (skip_to(st, t->at, err) < 0)
            return -1;
        raw = take(st, rh_vmdk_table_bytes(&st->h), err);
        if (!raw)
            return -1;
        st->sums[t->sum] = sum_table(st, raw);
    }
    return 0;
}

/* --- opening ------------------------------------------------------------- */

static int read_header(struct vmdk_stream *st, uint64_t limit, rh_error **err)
{
    const uint8_t *raw;

    if (fill(st, VMDK_SECTOR, err) < 0)
        return -1;
    if (ahead(st) < 4 || memcmp(st->buf + st->used, "KDMV", 4) != 0)
        return rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                       "only a streamOptimized VMDK can be read from a pipe, "
                       "and this is none");
    raw = take(st, VMDK_SECTOR, err);
    if (!raw || rh_vmdk_header(raw, 0, limit, &st->h, err) < 0)
        return -1;
    if (!st->h.compressed)
        return rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                       "only a streamOptimized VMDK can be read from a pipe; "
                       "this is another kind");
    if (!st->h.descriptor)
        return rh_fail(err, RH_ERR_VMDK_PART,
                       "the file has no descriptor (0x0 at 0x1c): it is one "
                       "part of a disk");
    if (st->h.descriptor < VMDK_SECTOR ||
        st->h.descriptor + st->h.descriptor_size > st->h.overhead)
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "the descriptor (at 0x%llx) does not lie in front of "
                       "the grains at 0x%llx",
                       VMDK_X(st->h.descriptor), VMDK_X(st->h.overhead));
    return 0;
}

static int read_descriptor(struct rh_reader *r, struct vmdk_stream *st,
                           rh_error **err)
{
    size_t n = (size_t)st->h.descriptor_size;
    RH_AUTO(rh_freep) char *text = rh_malloc(n);

    if (skip_to(st, st->h.descriptor, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i += VMDK_SECTOR) {
        const uint8_t *p = take(st, VMDK_SECTOR, err);

        if (!p)
            return -1;
        memcpy(text + i, p, VMDK_SECTOR);
    }
    return rh_vmdk_embedded(r, &st->h, text, err);
}

/* Room for what is kept of each table and grain; touched only as they come. */
static int make_room(struct vmdk_stream *st, atomic_uint_least64_t *room,
                     rh_error **err)
{
    uint64_t grains = rh_div_up(st->h.capacity, st->h.grain);

    if (!rh_vmdk_reserve(room, st->h.tables * sizeof *st->sums))
        return rh_vmdk_scattered(0, err);
    st->sums = calloc(st->h.tables, sizeof *st->sums);
    if (!st->sums)
        return rh_fail(err, RH_ERR_MEMORY, "no memory for %llu table sums",
                       VMDK_X(st->h.tables));
    st->codec = rh_codec_new();
    st->plain = rh_alloc_big(st->h.grain, err);
    if (!st->plain)
        return -1;
    return rh_vmdk_bits_init(&st->seen, grains, room, err);
}

static int open_all(struct rh_reader *r, struct vmdk_stream *st, rh_error **err)
{
    if (read_header(st, rh_vmdk_limit(r), err) < 0 ||
        read_descriptor(r, st, err) < 0 ||
        make_room(st, ((struct vmdk *)r->state)->cache.room, err) < 0)
        return -1;
    st->behind = st->h.directory >= st->h.overhead;
    if (!st->behind && read_front(st, err) < 0)
        return -1;
    if (fill(st, VMDK_SECTOR, err) < 0)
        return -1;
    if (st->at == rh_vmdk_early_start(&st->h) && ahead(st) >= VMDK_SECTOR &&
        rh_vmdk_starts_early(&st->h, st->buf + st->used))
        return 0;
    return skip_to(st, st->h.overhead, err);
}

/* Pieces of a stream are its own; what a parent would show is not among them.
 */
static int no_parent(const struct vmdk *v, const struct rh_open_options *o,
                     rh_error **err)
{
    if (!v->text.has_parent || o->ignore_parent)
        return 0;
    rh_fail(err, RH_ERR_DISK_PARENT,
            "the disk is a snapshot (parentCID %08x): its parent cannot come "
            "through the same pipe",
            v->text.parent_cid);
    return rh_vmdk_in_parent_line(&v->text, err);
}

int rh_vmdk_open_stream(struct rh_reader *r, struct rh_stream *s,
                        const struct rh_open_options *o, rh_error **err)
{
    struct vmdk *v = rh_vmdk_new(r, o);
    struct vmdk_stream *st = rh_new0(struct vmdk_stream);

    v->stream = st;
    st->s = s;
    /* The largest thing looked at in one piece: a packed grain. */
    st->room = BUFFER + 2 * VMDK_GRAIN_MAX;
    st->buf = rh_malloc(st->room + VMDK_SECTOR);
    if (getrandom(&st->key, sizeof st->key, GRND_NONBLOCK) < 0)
        st->key = (uintptr_t)st;
    if (open_all(r, st, err) == 0 && no_parent(v, o, err) == 0) {
        rh_vmdk_describe(r);
        r->grain = st->h.grain;
        r->compressed = true;
        r->file_order = true;
        return 0;
    }
    rh_error_subject(err, r->name);
    rh_vmdk_close(r);
    return -1;
}

void rh_vmdk_stream_free(struct vmdk_stream *st)
{
    if (!st)
        return;
    rh_stream_close(st->s);
    free(st->buf);
    free(st->sums);
    rh_vmdk_bits_free(&st->seen);
    free(st->tables.items);
    free(st->directories.items);
    if (st->codec)
        rh_codec_free(st->codec);
    free(st->plain);
    free(st);
}

/* --- grains -------------------------------------------------------------- */

/* Behind: what was met so far.  In front: what the tables say and was not met
 * yet. */
static void add(struct vmdk_stream *st, uint64_t number, uint64_t at)
{
    uint64_t one = mix(st, number % st->h.entries, at / VMDK_SECTOR);
    uint64_t *sum = &st->sums[number / st->h.entries];

    *sum = st->behind ? *sum + one : *sum - one;
}

static int note_grain(struct vmdk_stream *st, uint64_t number, rh_error **err)
{
    if (st->footer || st->directories.count)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "a grain behind the grain directory, at 0x%llx",
                       VMDK_X(st->at));
    if (st->at / VMDK_SECTOR > UINT32_MAX)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx is out of a grain table's reach",
                       VMDK_X(st->at));
    switch (rh_vmdk_bit_set(&st->seen, number)) {
    case VMDK_BIT_WAS_CLEAR:
        break;
    case VMDK_BIT_NO_ROOM:
        return rh_vmdk_scattered(st->at, err);
    default:
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx is the second for 0x%llx of the "
                       "disk",
                       VMDK_X(st->at), VMDK_X(number * st->h.grain));
    }
    add(st, number, st->at);
    return 0;
}

/* The disk's last grain, of which only a part is on the disk. */
static int inflate_last(struct vmdk_stream *st, struct rh_piece *p, uint64_t at,
                        rh_error **err)
{
    size_t n = 0, least = (size_t)RH_MIN((uint64_t)st->h.grain,
                                         st->h.capacity - p->offset);

    if (rh_inflate_zlib(st->codec, p->packed, p->packed_size, st->plain,
                        st->h.grain, &n, NULL) != RH_UNPACK_OK ||
        n < least)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the last grain, at 0x%llx, is damaged", VMDK_X(at));
    p->plain = st->plain;
    p->packed = NULL;
    p->packed_size = 0;
    return 0;
}

static int take_grain(struct rh_reader *r, struct vmdk_stream *st,
                      const struct vmdk_mark *mark, struct rh_piece *ret,
                      rh_error **err)
{
    size_t n = VMDK_RECORD + mark->size;
    size_t padded = (size_t)rh_round_up(n, VMDK_SECTOR);
    uint64_t at = st->at;

    if (fill(st, padded, err) < 0)
        return -1;
    if (ahead(st) < n)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx is cut short (the stream ends at "
                       "0x%llx)",
                       VMDK_X(at), VMDK_X(st->at + ahead(st)));
    if (note_grain(st, mark->lba / st->h.grain, err) < 0)
        return -1;
    *ret = (struct rh_piece){
        .offset = mark->lba,
        .length = (uint32_t)RH_MIN((uint64_t)st->h.grain, r->size - mark->lba),
        .packed = st->buf + st->used + VMDK_RECORD,
        .packed_size = mark->size,
    };
    pass(st, RH_MIN(padded, ahead(st)));
    return ret->length < st->h.grain ? inflate_last(st, ret, at, err) : 0;
}

/* --- tables behind the grains -------------------------------------------- */

static int take_table(struct vmdk_stream *st, rh_error **err)
{
    struct met_table *t = rh_vec_add(&st->tables);
    const uint8_t *raw;

    t->at = st->at;
    raw = take(st, rh_vmdk_table_bytes(&st->h), err);
    if (!raw)
        return -1;
    t->sum = sum_table(st, raw);
    return 0;
}

static bool looks_like_marker(const uint8_t *p)
{
    return rh_all_zero(p, 12) && rh_le32(p + 12) >= VMDK_MARK_TABLE &&
           rh_le32(p + 12) <= VMDK_MARK_PROGRESS &&
           rh_all_zero(p + 16, VMDK_SECTOR - 16);
}

/* Behind a marker that does not say how much follows, all tables may stand
 * (Xen Orchestra): from the first on, as long as they fit what was met. */
static int take_tables(struct vmdk_stream *st, const struct vmdk_mark *mark,
                       rh_error **err)
{
    size_t bytes = rh_vmdk_table_bytes(&st->h);

    if (take_table(st, err) < 0)
        return -1;
    if (mark->counted ||
        st->tables.items[st->tables.count - 1].sum != st->sums[0])
        return 0;
    for (uint64_t i = 1; i < st->h.tables; i++) {
        if (fill(st, bytes, err) < 0)
            return -1;
        if (ahead(st) < bytes || looks_like_marker(st->buf + st->used) ||
            sum_table(st, st->buf + st->used) != st->sums[i])
            return 0;
        if (take_table(st, err) < 0)
            return -1;
    }
    return 0;
}

static const struct met_table *table_met(const struct vmdk_stream *st,
                                         uint64_t at)
{
    struct met_table key = {.at = at};

    /* In ascending order: they were met so. */
    return st->tables.count ? bsearch(&key, st->tables.items, st->tables.count,
                                      sizeof *st->tables.items, by_place)
                            : NULL;
}

static int take_directory(struct vmdk_stream *st, rh_error **err)
{
    uint64_t tables = st->h.tables, at = st->at, wrong = tables;
    uint64_t end = st->at + rh_round_up(tables * 4, VMDK_SECTOR);
    struct met_directory *d;

    for (uint64_t i = 0; i < tables; i++) {
        const uint8_t *p = take(st, 4, err);
        const struct met_table *t;
        uint32_t sector;

        if (!p)
            return -1;
        sector = rh_le32(p);
        t = table_met(st, (uint64_t)sector * VMDK_SECTOR);
        if (wrong == tables &&
            (sector ? !t || t->sum != st->sums[i] : st->sums[i] != 0))
            wrong = i;
    }
    d = rh_vec_add(&st->directories);
    d->at = at;
    d->wrong = wrong;
    return skip_to(st, end, err);
}

/* Was the directory at `at` met, and is it right? */
static int check_directory(const struct vmdk_stream *st, uint64_t at,
                           rh_error **err)
{
    for (size_t i = 0; i < st->directories.count; i++) {
        const struct met_directory *d = &st->directories.items[i];

        if (d->at != at)
            continue;
        if (d->wrong == st->h.tables)
            return 0;
        return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                       "grain table %llu (of the directory at 0x%llx) does not "
                       "name the grains that stand in the stream",
                       VMDK_X(d->wrong), VMDK_X(at));
    }
    return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                   "no grain directory stands at 0x%llx, where it is said to "
                   "be",
                   VMDK_X(at));
}

static int take_footer(struct rh_reader *r, struct vmdk_stream *st,
                       rh_error **err)
{
    struct vmdk_header footer;
    uint64_t at = st->at;
    const uint8_t *raw = take(st, VMDK_SECTOR, err);

    if (!raw || rh_vmdk_header(raw, at, rh_vmdk_limit(r), &footer, err) < 0 ||
        rh_vmdk_header_agrees(&st->h, &footer, at, err) < 0 ||
        check_directory(st, footer.directory, err) < 0)
        return -1;
    st->footer = true;
    return 0;
}

/* --- the end ------------------------------------------------------------- */

/* Writers reserve as much as the disk could need; more is no stream of ours. */
static int note_zeros(struct vmdk_stream *st, size_t n, rh_error **err)
{
    st->zeros += n;
    if (st->zeros <= st->h.capacity + ZEROS_SPARE)
        return 0;
    return rh_fail(err, RH_ERR_VMDK_MARKER,
                   "more zeros follow the grains (up to 0x%llx) than the disk "
                   "has bytes",
                   VMDK_X(st->at));
}

/* Nothing but zeros may follow. */
static int check_rest(struct rh_reader *r, struct vmdk_stream *st,
                      rh_error **err)
{
    uint64_t from = st->at;

    for (;;) {
        size_t n;

        if (fill(st, VMDK_SECTOR, err) < 0)
            return -1;
        n = RH_MIN(ahead(st), (size_t)VMDK_SECTOR);
        if (!n)
            break;
        if (!rh_all_zero(st->buf + st->used, n))
            return rh_fail(err, RH_ERR_VMDK_MARKER,
                           "data behind the end of the stream, at 0x%llx",
                           VMDK_X(st->at));
        pass(st, n);
        if (note_zeros(st, n, err) < 0)
            return -1;
    }
    if (st->behind && st->at > from)
        rh_problem_add(r, "VMDK-TRAILING-ZEROS",
                       "%llu bytes of zeros follow the end of the stream",
                       VMDK_X(st->at - from));
    return 0;
}

static int check_sums(const struct vmdk_stream *st, rh_error **err)
{
    for (uint64_t i = 0; i < st->h.tables; i++)
        if (st->sums[i])
            return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                           "grain table %llu (of the directory at 0x%llx) does "
                           "not name the grains that stand in the stream",
                           VMDK_X(i), VMDK_X(st->h.directory));
    return 0;
}

static int finish(struct rh_reader *r, struct vmdk_stream *st, rh_error **err)
{
    if (check_rest(r, st, err) < 0)
        return -1;
    if (!st->behind && check_sums(st, err) < 0)
        return -1;
    if (st->behind && !st->footer &&
        (st->h.directory == VMDK_AT_END
             ? cut_short(st, err)
             : check_directory(st, st->h.directory, err)) < 0)
        return -1;
    st->finished = true;
    return 0;
}

/* --- the walk ------------------------------------------------------------ */

static int misplaced(const struct vmdk_stream *st, enum vmdk_marker kind,
                     rh_error **err)
{
    return rh_fail(err, RH_ERR_VMDK_MARKER,
                   "a marker of type %u where none belongs, at 0x%llx", kind,
                   VMDK_X(st->at - VMDK_SECTOR));
}

/* Past a marker that is no grain; the cursor stands behind it. */
static int step(struct rh_reader *r, struct vmdk_stream *st,
                const struct vmdk_mark *mark, rh_error **err)
{
    if (st->footer && mark->kind != VMDK_MARK_END)
        return misplaced(st, mark->kind, err);
    switch (mark->kind) {
    case VMDK_MARK_END: /* or zeros in front of the tables */
        return st->behind && !st->footer ? note_zeros(st, VMDK_SECTOR, err)
                                         : finish(r, st, err);
    case VMDK_MARK_PROGRESS:
        return 0;
    case VMDK_MARK_TABLE:
        if (st->behind)
            return take_tables(st, mark, err);
        break;
    case VMDK_MARK_DIRECTORY:
        if (st->behind)
            return take_directory(st, err);
        break;
    case VMDK_MARK_FOOTER:
        if (st->behind)
            return take_footer(r, st, err);
        break;
    default:
        break;
    }
    return misplaced(st, mark->kind, err);
}

/* The stream's end where a marker could stand. */
static int at_end(struct rh_reader *r, struct vmdk_stream *st, rh_error **err)
{
    if (st->footer)
        return rh_fail(err, RH_ERR_VMDK_FOOTER,
                       "the end-of-stream marker is missing behind the footer "
                       "(the stream ends at 0x%llx)",
                       VMDK_X(st->at));
    return finish(r, st, err);
}

int rh_vmdk_next(struct rh_reader *r, struct rh_piece *ret, rh_error **err)
{
    struct vmdk_stream *st = ((struct vmdk *)r->state)->stream;
    struct vmdk_mark mark;

    while (!st->finished) {
        if (rh_go_on(r->lib, err) < 0 || fill(st, VMDK_SECTOR, err) < 0)
            return -1;
        if (ahead(st) <= VMDK_RECORD) {
            if (at_end(r, st, err) < 0)
                return -1;
            continue;
        }
        if (ahead(st) < VMDK_SECTOR) /* an unpadded last grain */
            memset(st->buf + st->have, 0, VMDK_SECTOR);
        if (rh_vmdk_mark(&st->h, st->buf + st->used, st->at, &mark, err) < 0)
            return -1;
        if (mark.kind == VMDK_MARK_GRAIN)
            return take_grain(r, st, &mark, ret, err);
        pass(st, RH_MIN(ahead(st), (size_t)VMDK_SECTOR));
        if (step(r, st, &mark, err) < 0)
            return -1;
    }
    return 1;
}
