/* fetched.c - a sparse file of bytes, and a journal of the ranges in it.
 *
 * A record of the journal: where the range begins, its length, the digest of
 * its bytes, and a check of the record that only this resource in this state
 * gives.  Records stand at multiples of their size: a torn one is one that
 * does not check.  Zeros are not written; the hole reads as them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fetched.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/out.h"
#include "base/text.h"

enum {
    RECORD = 40, /* offset 8, length 4, zeros 4, digest 16, check 8 */
    SUMMED = 32,
    SUM = 16,
    RECORDS_MOST = 2 * 1024 * 1024, /* 32 MiB of memory */
    LOAD = 4096,                    /* records at once */
    HEX = 16,                       /* of each half of a name */
};

struct range {
    uint64_t offset;
    uint32_t length, number; /* of its record */
};

struct rh_fetched {
    struct rh_fetched_store *store;
    unsigned refs;
    char *name; /* of its files, without their endings */
    uint64_t size, identity;
    int bytes, map;
    pthread_mutex_t lock;        /* over what follows */
    bool full;                   /* nothing more is kept */
    uint32_t records;            /* in the journal */
    RH_VEC(struct range) ranges; /* by offset */
};

struct rh_fetched_store {
    char *dir;
    uint64_t most;
    pthread_mutex_t lock; /* over what follows */
    uint64_t used;
    bool told; /* that nothing can be kept */
    RH_VEC(struct rh_fetched *) open;
    RH_VEC(char *) names; /* of all that were used */
};

/* --- the settings
 * ------------------------------------------------------------ */

static struct rh_fetched_store *store_of(rh_lib *lib)
{
    while (lib && !lib->fetched)
        lib = lib->of;
    return lib ? lib->fetched : NULL;
}

static struct rh_fetched_store *own_store(rh_lib *lib)
{
    if (!lib->fetched) {
        lib->fetched = rh_new0(struct rh_fetched_store);
        pthread_mutex_init(&lib->fetched->lock, NULL);
    }
    return lib->fetched;
}

void rh_fetched_set_dir(rh_lib *lib, const char *dir)
{
    struct rh_fetched_store *s = own_store(lib);

    free(s->dir);
    s->dir = rh_strdup(dir);
}

void rh_fetched_set_most(rh_lib *lib, uint64_t most)
{
    own_store(lib)->most = most;
}

bool rh_fetched_wanted(rh_lib *lib)
{
    const struct rh_fetched_store *s = store_of(lib);

    return s && s->dir;
}

void rh_fetched_drop(rh_lib *lib)
{
    struct rh_fetched_store *s = lib->fetched;

    if (!s)
        return;
    for (size_t i = 0; i < s->names.count; i++)
        free(s->names.items[i]);
    free(s->names.items);
    free(s->open.items);
    pthread_mutex_destroy(&s->lock);
    free(s->dir);
    free(s);
    lib->fetched = NULL;
}

static int open_dir(const struct rh_fetched_store *s)
{
    return open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void rh_fetched_done(rh_lib *lib)
{
    struct rh_fetched_store *s = store_of(lib);
    RH_AUTO(rh_closep) int dir = s && s->dir ? open_dir(s) : -1;

    if (dir < 0)
        return;
    for (size_t i = 0; i < s->names.count; i++) {
        RH_AUTO(rh_freep)
        char *bytes = rh_printf("%s.bytes", s->names.items[i]);
        RH_AUTO(rh_freep) char *map = rh_printf("%s.map", s->names.items[i]);

        unlinkat(dir, map, 0);
        unlinkat(dir, bytes, 0);
    }
    if (s->names.count)
        rmdir(s->dir); /* where nothing else is in it */
}

/* --- files
 * ------------------------------------------------------------------- */

static int open_file(int dir, const char *name, const char *ending)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s.%s", name, ending);
    int fd = openat(dir, path,
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
                        O_NOCTTY,
                    0600);
    struct stat st;

    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    close(fd);
    errno = EEXIST;
    return -1;
}

/* "WHAT.STATE.bytes" of another state. */
static bool is_stale(const char *entry, const char *name)
{
    return !strncmp(entry, name, HEX + 1) && strncmp(entry, name, 2 * HEX + 1);
}

/* Of what has changed since. */
static void remove_stale(int dir, const char *name)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        rh_closep(&fd);
        return;
    }
    while ((entry = readdir(d)))
        if (is_stale(entry->d_name, name))
            unlinkat(dir, entry->d_name, 0);
    closedir(d);
}

static int make_dir(const struct rh_fetched_store *s)
{
    if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
        return -1;
    return open_dir(s);
}

/* --- the journal
 * ------------------------------------------------------------- */

static uint64_t check_of(const struct rh_fetched *f, const uint8_t *record)
{
    return XXH3_64bits_withSeed(record, SUMMED, f->identity);
}

static void sum_of(const void *bytes, size_t n, uint8_t ret[SUM])
{
    XXH128_canonical_t c;

    XXH128_canonicalFromHash(&c, XXH3_128bits(bytes, n));
    memcpy(ret, c.digest, SUM);
}

static bool is_good(const struct rh_fetched *f, const uint8_t *record)
{
    uint64_t offset = rh_le64(record);
    uint32_t n = rh_le32(record + 8);

    return rh_le64(record + SUMMED) == check_of(f, record) && n &&
           n <= RH_FETCHED_PIECE && offset <= f->size && n <= f->size - offset;
}

static int by_offset(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->length < y->length ? -1 : x->length > y->length;
}

/* Returns how many there were. */
static uint32_t load_some(struct rh_fetched *f, uint8_t *buffer)
{
    ssize_t n = pread(f->map, buffer, (size_t)LOAD * RECORD,
                      (off_t)f->records * RECORD);
    uint32_t count = n > 0 ? (uint32_t)n / RECORD : 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = buffer + (size_t)i * RECORD;

        if (is_good(f, record))
            *rh_vec_add(&f->ranges) = (struct range){
                rh_le64(record), rh_le32(record + 8), f->records + i};
    }
    f->records += count;
    return count;
}

static void load(struct rh_fetched *f)
{
    RH_AUTO(rh_freep) uint8_t *buffer = rh_malloc((size_t)LOAD * RECORD);

    while (f->records < RECORDS_MOST && load_some(f, buffer))
        continue;
    if (f->ranges.count)
        qsort(f->ranges.items, f->ranges.count, sizeof *f->ranges.items,
              by_offset);
}

/* --- one resource
 * ------------------------------------------------------------ */

static void name_it(struct rh_fetched *f, const char *what, const char *state)
{
    RH_AUTO(rh_freep)
    char *whole = rh_printf("%llu %s", (unsigned long long)f->size, state);
    char of_what[65], of_state[65];

    rh_sha256_hex(what, strlen(what), of_what);
    rh_sha256_hex(whole, strlen(whole), of_state);
    f->name = rh_printf("%.*s.%.*s", HEX, of_what, HEX, of_state);
    f->identity =
        XXH3_64bits(of_what, 64) ^ XXH3_64bits_withSeed(of_state, 64, 1);
}

static void destroy(struct rh_fetched *f)
{
    rh_closep(&f->bytes);
    rh_closep(&f->map);
    pthread_mutex_destroy(&f->lock);
    free(f->ranges.items);
    free(f->name);
    free(f);
}

static int open_files(struct rh_fetched *f)
{
    RH_AUTO(rh_closep) int dir = make_dir(f->store);
    struct stat st;

    if (dir < 0)
        return -1;
    remove_stale(dir, f->name);
    f->bytes = open_file(dir, f->name, "bytes");
    f->map = open_file(dir, f->name, "map");
    if (f->bytes < 0 || f->map < 0 || fstat(f->bytes, &st) < 0 ||
        rh_set_length(f->bytes, f->size) < 0)
        return -1;
    f->store->used += (uint64_t)st.st_blocks * 512;
    load(f);
    return 0;
}

static struct rh_fetched *already_open(struct rh_fetched_store *s,
                                       const char *name)
{
    for (size_t i = 0; i < s->open.count; i++)
        if (!strcmp(s->open.items[i]->name, name)) {
            s->open.items[i]->refs++;
            return s->open.items[i];
        }
    return NULL;
}

static void remember(struct rh_fetched_store *s, struct rh_fetched *f)
{
    bool known = false;

    for (size_t i = 0; i < s->names.count; i++)
        known |= !strcmp(s->names.items[i], f->name);
    if (!known)
        *rh_vec_add(&s->names) = rh_strdup(f->name);
    *rh_vec_add(&s->open) = f;
}

static void say_what_is_there(rh_lib *lib, const struct rh_fetched *f)
{
    RH_AUTO(rh_freep) char *size = NULL;
    uint64_t sum = 0;

    for (size_t i = 0; i < f->ranges.count; i++)
        sum += f->ranges.items[i].length;
    if (!sum)
        return;
    size = rh_human_size(sum);
    rh_log(lib, RH_LOG_INFO, "%s: %s are there of an earlier try",
           f->store->dir, size);
}

/* Takes `f`, which has its name.  The store is locked. */
static struct rh_fetched *open_in(rh_lib *lib, struct rh_fetched *f)
{
    struct rh_fetched_store *s = f->store;
    struct rh_fetched *other = already_open(s, f->name);

    if (other) {
        destroy(f);
        return other;
    }
    if (open_files(f) == 0) {
        say_what_is_there(lib, f);
        remember(s, f);
        return f;
    }
    if (!s->told)
        rh_log(lib, RH_LOG_WARN,
               "%s: what comes from the server cannot be kept here (%s)",
               s->dir, strerror(errno));
    s->told = true;
    destroy(f);
    return NULL;
}

struct rh_fetched *rh_fetched_open(rh_lib *lib, const char *what,
                                   const char *state, uint64_t size)
{
    struct rh_fetched_store *s = store_of(lib);
    struct rh_fetched *f;

    if (!s || !s->dir || !size || size > INT64_MAX)
        return NULL;
    f = rh_new0(struct rh_fetched);
    f->store = s;
    f->refs = 1;
    f->size = size;
    f->bytes = f->map = -1;
    pthread_mutex_init(&f->lock, NULL);
    name_it(f, what, state);
    pthread_mutex_lock(&s->lock);
    f = open_in(lib, f);
    pthread_mutex_unlock(&s->lock);
    return f;
}

void rh_fetched_free(struct rh_fetched *f)
{
    struct rh_fetched_store *s = f->store;
    bool last;

    pthread_mutex_lock(&s->lock);
    last = --f->refs == 0;
    for (size_t i = 0; last && i < s->open.count; i++)
        if (s->open.items[i] == f) {
            s->open.items[i] = s->open.items[--s->open.count];
            break;
        }
    pthread_mutex_unlock(&s->lock);
    if (last)
        destroy(f);
}

/* --- ranges
 * ------------------------------------------------------------------ */
/* From here on the resource is locked. */

/* The first range that begins behind `offset`. */
static size_t behind(const struct rh_fetched *f, uint64_t offset)
{
    size_t low = 0, high = f->ranges.count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (f->ranges.items[mid].offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* SIZE_MAX: none has that byte. */
static size_t range_with(const struct rh_fetched *f, uint64_t offset)
{
    size_t i = behind(f, offset);
    const struct range *r = i ? &f->ranges.items[i - 1] : NULL;

    return r && offset - r->offset < r->length ? i - 1 : SIZE_MAX;
}

static void insert(struct rh_fetched *f, const struct range *new)
{
    size_t i = behind(f, new->offset), after = f->ranges.count - i;

    rh_vec_add(&f->ranges);
    memmove(&f->ranges.items[i + 1], &f->ranges.items[i],
            after * sizeof *f->ranges.items);
    f->ranges.items[i] = *new;
}

static void forget(struct rh_fetched *f, size_t i)
{
    memmove(&f->ranges.items[i], &f->ranges.items[i + 1],
            (f->ranges.count - i - 1) * sizeof *f->ranges.items);
    f->ranges.count--;
}

static bool write_all(int fd, const void *bytes, size_t n, uint64_t offset)
{
    return rh_pwrite_all(fd, bytes, n, offset, "", NULL) == 0;
}

/* Is there as much space as it may take? */
static bool book(struct rh_fetched_store *s, size_t n)
{
    bool fits;

    pthread_mutex_lock(&s->lock);
    fits = !s->most || (s->used <= s->most && n <= s->most - s->used);
    if (fits)
        s->used += n;
    pthread_mutex_unlock(&s->lock);
    return fits;
}

static bool keep(struct rh_fetched *f, const uint8_t *bytes, size_t n,
                 uint64_t offset)
{
    struct range r = {offset, (uint32_t)n, f->records};
    uint8_t record[RECORD] = {0};

    if (f->records == RECORDS_MOST)
        return false;
    if (!rh_all_zero(bytes, n) &&
        (!book(f->store, n) || !write_all(f->bytes, bytes, n, offset)))
        return false;
    rh_put_le64(record, offset);
    rh_put_le32(record + 8, (uint32_t)n);
    sum_of(bytes, n, record + SUMMED - SUM);
    rh_put_le64(record + SUMMED, check_of(f, record));
    if (!write_all(f->map, record, RECORD, (uint64_t)f->records * RECORD))
        return false;
    f->records++;
    insert(f, &r);
    return true;
}

static bool read_range(const struct rh_fetched *f, const struct range *r,
                       void *ret)
{
    uint8_t record[RECORD], sum[SUM];

    if (pread(f->map, record, RECORD, (off_t)r->number * RECORD) != RECORD ||
        !is_good(f, record) || rh_le64(record) != r->offset ||
        rh_le32(record + 8) != r->length ||
        pread(f->bytes, ret, r->length, (off_t)r->offset) != (ssize_t)r->length)
        return false;
    sum_of(ret, r->length, sum);
    return !memcmp(sum, record + SUMMED - SUM, SUM);
}

/* --- for those who fetch
 * ----------------------------------------------------- */

void rh_fetched_put(struct rh_fetched *f, const void *bytes, size_t n,
                    uint64_t offset)
{
    size_t i;

    if (!n || n > RH_FETCHED_PIECE || offset > f->size || n > f->size - offset)
        return;
    pthread_mutex_lock(&f->lock);
    i = range_with(f, offset);
    if (!f->full &&
        (i == SIZE_MAX ||
         n > f->ranges.items[i].length - (offset - f->ranges.items[i].offset)))
        f->full = !keep(f, bytes, n, offset);
    pthread_mutex_unlock(&f->lock);
}

bool rh_fetched_find(struct rh_fetched *f, uint64_t offset, uint64_t *ret_start,
                     size_t *ret_length)
{
    size_t i;

    pthread_mutex_lock(&f->lock);
    i = range_with(f, offset);
    if (i != SIZE_MAX) {
        *ret_start = f->ranges.items[i].offset;
        *ret_length = f->ranges.items[i].length;
    }
    pthread_mutex_unlock(&f->lock);
    return i != SIZE_MAX;
}

bool rh_fetched_get(struct rh_fetched *f, uint64_t offset, void *ret,
                    uint64_t *ret_start, size_t *ret_length)
{
    bool good = false;
    size_t i;

    pthread_mutex_lock(&f->lock);
    i = range_with(f, offset);
    if (i != SIZE_MAX) {
        *ret_start = f->ranges.items[i].offset;
        *ret_length = f->ranges.items[i].length;
        good = read_range(f, &f->ranges.items[i], ret);
        if (!good)
            forget(f, i);
    }
    pthread_mutex_unlock(&f->lock);
    return good;
}

uint64_t rh_fetched_next(struct rh_fetched *f, uint64_t offset)
{
    uint64_t next;
    size_t i;

    pthread_mutex_lock(&f->lock);
    i = behind(f, offset);
    next = i < f->ranges.count ? f->ranges.items[i].offset : f->size;
    pthread_mutex_unlock(&f->lock);
    return next;
}

struct rh_io *rh_fetched_io(struct rh_fetched *f, const char *name)
{
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(RH_FETCHED_PIECE);
    struct rh_io *io = NULL;
    uint64_t at = 0, start;
    size_t n;
    int fd;

    while (at < f->size && rh_fetched_get(f, at, piece, &start, &n))
        at = start + n;
    fd = at >= f->size ? fcntl(f->bytes, F_DUPFD_CLOEXEC, 3) : -1;
    if (fd >= 0)
        io = rh_io_fd(fd, name, NULL);
    if (io)
        rh_fetched_free(f);
    return io;
}

/* --- a stream
 * ---------------------------------------------------------------- */

struct passing {
    struct rh_stream *from;
    struct rh_fetched *to;
    uint8_t *piece;
    size_t n; /* in it */
    uint64_t offset;
};

static void put_piece(struct passing *p)
{
    rh_fetched_put(p->to, p->piece, p->n, p->offset);
    p->offset += p->n;
    p->n = 0;
}

static void take_passing(struct passing *p, const uint8_t *bytes, size_t n)
{
    while (n) {
        size_t part = RH_MIN(n, RH_FETCHED_PIECE - p->n);

        memcpy(p->piece + p->n, bytes, part);
        p->n += part;
        bytes += part;
        n -= part;
        if (p->n == RH_FETCHED_PIECE)
            put_piece(p);
    }
}

static int passing_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                        rh_error **err)
{
    struct passing *p = s->state;

    if (rh_stream_read(p->from, buf, n, ret_n, err) < 0)
        return -1;
    take_passing(p, buf, *ret_n);
    if (*ret_n == 0 && p->n)
        put_piece(p);
    return 0;
}

static void passing_close(struct rh_stream *s)
{
    struct passing *p = s->state;

    rh_stream_close(p->from);
    free(p->piece);
    free(p);
}

struct rh_stream *rh_fetched_stream(struct rh_stream *from,
                                    struct rh_fetched *f)
{
    static const struct rh_stream_ops ops = {passing_read, passing_close};
    struct passing *p = rh_new0(struct passing);

    p->from = from;
    p->to = f;
    p->piece = rh_malloc(RH_FETCHED_PIECE);
    return rh_stream_over(&ops, from, p);
}
