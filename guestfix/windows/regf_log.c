/* regf_log.c - replay of a hive's transaction logs, old format and new.
 *
 * The old one ("DIRT", until Windows 8) is a bitmap of 512-byte pages; the new
 * one ("HvLE", 8.1 and later) is a run of entries, each with two Marvin32
 * hashes and a sequence number.  What comes out is what Windows itself makes
 * (proven by hives that Windows recovered). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/windows/regf.h"

enum { /* base block of a hive and of a log */
       AT_SEQ1 = 4,
       AT_SEQ2 = 8,
       AT_TIME = 12,
       AT_TYPE = 28,
       AT_BINS = 40,
       AT_FLAGS = 144,
       AT_SUM = 508,
       HEAD = 512 /* of a log; entries or the bitmap follow */
};
enum { /* an entry */
       AT_SIZE = 4,
       AT_ENTRY_FLAGS = 8,
       AT_SEQ = 12,
       AT_ENTRY_BINS = 16,
       AT_PAGES = 20,
       AT_HASH1 = 24,
       AT_HASH2 = 32,
       ENTRY_HEAD = 40
};
enum {
    TYPE_NEW = 6,
    LOGS_MAX = 4,
    PAGE = 512,
    GROWTH_MAX = 64 * 1024 * 1024 /* bytes that logs may add to a hive */
};

/* --- Marvin32 ----------------------------------------------------------------
 */
static uint32_t rotl(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void mix(uint32_t *a, uint32_t *b, uint32_t word)
{
    *a += word;
    *b ^= *a;
    *a = rotl(*a, 20) + *b;
    *b = rotl(*b, 9) ^ *a;
    *a = rotl(*a, 27) + *b;
    *b = rotl(*b, 19);
}

static uint64_t marvin32(const char *p, size_t n)
{
    uint32_t a = 0x7a4e55c5, b = 0x82ef4d88; /* the registry's seed */
    char tail[4] = {0};

    for (; n >= 4; p += 4, n -= 4)
        mix(&a, &b, rh_le32(p));
    memcpy(tail, p, n);
    tail[n] = (char)0x80;
    mix(&a, &b, rh_le32(tail));
    mix(&a, &b, 0);
    return a | (uint64_t)b << 32;
}

/* --- one log -----------------------------------------------------------------
 */
struct log {
    const char *p;
    size_t n;
    bool new_form;
    size_t end;           /* behind the last good entry */
    uint32_t first, last; /* sequence numbers of its good entries */
};

/* Is there a good entry at `at`?  Its size, 0: no. */
static size_t entry_at(const struct log *l, size_t at)
{
    const char *e = l->p + at;
    uint32_t size, count, bins;
    uint64_t end = ENTRY_HEAD;

    if (l->n - at < ENTRY_HEAD || memcmp(e, "HvLE", 4))
        return 0;
    size = rh_le32(e + AT_SIZE);
    count = rh_le32(e + AT_PAGES);
    bins = rh_le32(e + AT_ENTRY_BINS);
    if (size < ENTRY_HEAD || size % PAGE || size > l->n - at ||
        bins % RH_REGF_BASE || bins > RH_LIMIT_HIVE ||
        count > (size - ENTRY_HEAD) / 8)
        return 0;
    if (marvin32(e + ENTRY_HEAD, size - ENTRY_HEAD) != rh_le64(e + AT_HASH1) ||
        marvin32(e, AT_HASH2) != rh_le64(e + AT_HASH2))
        return 0;
    end += (uint64_t)count * 8;
    for (uint32_t i = 0; i < count; i++) {
        const char *ref = e + ENTRY_HEAD + (size_t)i * 8;

        end += rh_le32(ref + 4);
        if (end > size || (uint64_t)rh_le32(ref) + rh_le32(ref + 4) > bins)
            return 0;
    }
    return size;
}

static void find_entries(struct log *l)
{
    size_t size;

    l->end = HEAD;
    while (l->n - l->end >= ENTRY_HEAD && (size = entry_at(l, l->end))) {
        uint32_t seq = rh_le32(l->p + l->end + AT_SEQ);

        if (l->end == HEAD)
            l->first = seq;
        else if (seq != l->last + 1)
            return;
        l->last = seq;
        l->end += size;
    }
}

/* Can it be used at all? */
static bool open_log(const struct rh_regf_log *from, struct log *l)
{
    l->p = from->bytes;
    l->n = from->size;
    if (l->n < HEAD + 4 || l->n > RH_LIMIT_HIVE || memcmp(l->p, "regf", 4) ||
        rh_regf_is_dirty(l->p, l->n))
        return false;
    l->new_form = rh_le32(l->p + AT_TYPE) == TYPE_NEW;
    if (!l->new_form)
        return !memcmp(l->p + HEAD, "DIRT", 4);
    find_entries(l);
    return l->end > HEAD;
}

/* --- what is written ---------------------------------------------------------
 */
struct replay {
    const char *hive;
    size_t hive_n;
    bool base_ok; /* the hive's own base block can be believed */
    char *out;
    size_t out_n;
    size_t pages;
    uint32_t last;        /* sequence number of the last one applied */
    uint32_t bins, flags; /* as of the last entry */
};

static int grow(struct replay *r, uint64_t bins, rh_error **err)
{
    uint64_t n = RH_REGF_BASE + bins;
    char *bigger;

    if (n <= r->out_n)
        return 0;
    if (n > r->hive_n + GROWTH_MAX)
        return rh_fail(err, RH_ERR_HIVE_DAMAGED,
                       "a log wants to make the registry hive %llu bytes large",
                       (unsigned long long)n);
    bigger = rh_alloc_big((size_t)n, err);
    if (!bigger)
        return -1;
    memset(bigger, 0, (size_t)n);
    if (r->out)
        memcpy(bigger, r->out, r->out_n);
    free(r->out);
    r->out = bigger;
    r->out_n = (size_t)n;
    return 0;
}

/* A copy of the hive to write into; with the log's base block if its own is
 * broken. */
static int begin(struct replay *r, const char *base, uint64_t bins,
                 rh_error **err)
{
    r->out = rh_alloc_big(RH_MAX(r->hive_n, (size_t)RH_REGF_BASE), err);
    if (!r->out)
        return -1;
    r->out_n = RH_MAX(r->hive_n, (size_t)RH_REGF_BASE);
    memset(r->out, 0, r->out_n);
    memcpy(r->out, r->hive, r->hive_n);
    if (base) {
        memcpy(r->out, base, HEAD);
        rh_put_le32(r->out + AT_TYPE, 0);
    }
    return grow(r, bins, err);
}

static void finish(struct replay *r, bool with_flags)
{
    uint32_t flags = rh_le32(r->out + AT_FLAGS);

    rh_put_le32(r->out + AT_SEQ1, r->last + 1);
    rh_put_le32(r->out + AT_SEQ2, r->last + 1);
    rh_put_le32(r->out + AT_BINS, r->bins);
    if (with_flags)
        rh_put_le32(r->out + AT_FLAGS, (flags & ~1U) | (r->flags & 1));
    rh_put_le32(r->out + AT_SUM, rh_regf_checksum(r->out));
}

static int apply_entry(struct replay *r, const char *e, rh_error **err)
{
    uint32_t count = rh_le32(e + AT_PAGES);
    const char *data = e + ENTRY_HEAD + (size_t)count * 8;

    r->bins = rh_le32(e + AT_ENTRY_BINS);
    r->flags = rh_le32(e + AT_ENTRY_FLAGS);
    r->last = rh_le32(e + AT_SEQ);
    if (grow(r, r->bins, err) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const char *ref = e + ENTRY_HEAD + (size_t)i * 8;
        uint32_t n = rh_le32(ref + 4);

        memcpy(r->out + RH_REGF_BASE + rh_le32(ref), data, n);
        data += n;
        r->pages++;
    }
    return 0;
}

/* Entries that the hive holds already are passed over; from the first that is
 * applied on, the numbers go on by one, across logs too. */
static int apply_new(struct replay *r, const struct log *l, bool *begun,
                     rh_error **err)
{
    uint32_t own = rh_le32(l->p + AT_SEQ1);
    uint32_t written = r->base_ok ? rh_le32(r->hive + AT_SEQ2) : 0;

    for (size_t at = HEAD; at < l->end; at += rh_le32(l->p + at + AT_SIZE)) {
        uint32_t seq = rh_le32(l->p + at + AT_SEQ);

        if (!*begun && (seq < own || seq < written))
            continue;
        if (*begun && seq != r->last + 1)
            return 0;
        if (!*begun && begin(r, r->base_ok ? NULL : l->p, 0, err) < 0)
            return -1;
        *begun = true;
        if (apply_entry(r, l->p + at, err) < 0)
            return -1;
    }
    return 0;
}

static int by_first(const void *a, const void *b)
{
    uint32_t x = ((const struct log *)a)->first;
    uint32_t y = ((const struct log *)b)->first;

    return x < y ? -1 : x > y;
}

/* 1: done; 0: no entry fits. */
static int replay_new(struct replay *r, struct log *logs, size_t count,
                      rh_error **err)
{
    bool begun = false;

    qsort(logs, count, sizeof *logs, by_first);
    /* Without a base block only the newest log can be trusted to go on from
     * what is there. */
    for (size_t i = r->base_ok ? 0 : count - 1; i < count; i++)
        if (apply_new(r, &logs[i], &begun, err) < 0)
            return -1;
    if (!begun)
        return 0;
    finish(r, true);
    return 1;
}

/* --- the old form ------------------------------------------------------------
 */
static bool same_time(const struct replay *r, const struct log *l)
{
    if (r->base_ok)
        return rh_le64(l->p + AT_TIME) == rh_le64(r->hive + AT_TIME);
    return r->hive_n >= RH_REGF_BASE + 28 &&
           rh_le64(l->p + AT_TIME) == rh_le64(r->hive + RH_REGF_BASE + 20);
}

/* Where its pages begin; 0: the log is cut short or no such thing. */
static size_t old_pages(const struct log *l, uint32_t bins)
{
    size_t bits = bins / PAGE, map = (bits + 7) / 8, set = 0, start;

    if (!bins || bins % RH_REGF_BASE || bins > RH_LIMIT_HIVE ||
        l->n - HEAD - 4 < map)
        return 0;
    for (size_t i = 0; i < bits; i++)
        set += (size_t)(l->p[HEAD + 4 + i / 8] >> (i % 8) & 1);
    start = HEAD + (size_t)rh_round_up(4 + map, PAGE);
    return start <= l->n && (l->n - start) / PAGE >= set ? start : 0;
}

/* 1: done; 0: it does not fit. */
static int replay_old(struct replay *r, const struct log *l, rh_error **err)
{
    uint32_t bins = rh_le32(l->p + AT_BINS);
    size_t from = old_pages(l, bins);

    if (!from || !same_time(r, l))
        return 0;
    if (begin(r, r->base_ok ? NULL : l->p, bins, err) < 0)
        return -1;
    for (size_t i = 0; i < bins / PAGE; i++) {
        if (!(l->p[HEAD + 4 + i / 8] >> (i % 8) & 1))
            continue;
        memcpy(r->out + RH_REGF_BASE + i * PAGE, l->p + from, PAGE);
        from += PAGE;
        r->pages++;
    }
    r->bins = bins;
    r->last = rh_le32(l->p + AT_SEQ1);
    finish(r, false);
    return 1;
}

static int replay(struct replay *r, const struct rh_regf_log *from,
                  size_t count, rh_error **err)
{
    struct log fresh[LOGS_MAX] = {0}, old[LOGS_MAX] = {0}, one;
    size_t fresh_count = 0, old_count = 0;
    int done = 0;

    for (size_t i = 0; i < RH_MIN(count, (size_t)LOGS_MAX); i++) {
        memset(&one, 0, sizeof one);
        if (!open_log(&from[i], &one))
            continue;
        if (one.new_form)
            fresh[fresh_count++] = one;
        else
            old[old_count++] = one;
    }
    if (fresh_count)
        return replay_new(r, fresh, fresh_count, err);
    for (size_t i = 0; i < old_count && !done; i++)
        done = replay_old(r, &old[i], err);
    return done;
}

/* By its first block or, where a write tore that, by its first bin. */
static bool is_one(const char *p, size_t n)
{
    return !memcmp(p, "regf", 4) ||
           (n > RH_REGF_BASE + 4 && !memcmp(p + RH_REGF_BASE, "hbin", 4));
}

int rh_regf_replay(const void *bytes, size_t n, const struct rh_regf_log *logs,
                   size_t count, void **ret, size_t *ret_n, size_t *ret_pages,
                   rh_error **err)
{
    struct replay r = {.hive = bytes, .hive_n = n};
    int done;

    if (n < HEAD || n > RH_LIMIT_HIVE)
        return rh_fail(err, RH_ERR_HIVE_KIND, "this is no registry hive");
    if (!rh_regf_is_dirty(bytes, n))
        return 0;
    r.base_ok = !memcmp(r.hive, "regf", 4) &&
                rh_regf_checksum(r.hive) == rh_le32(r.hive + AT_SUM);
    done = replay(&r, logs, count, err);
    if (done <= 0) {
        free(r.out);
        if (done < 0)
            return -1;
        return is_one(bytes, n)
                   ? rh_fail(err, RH_ERR_HIVE_DIRTY,
                             "the registry hive was not written to its end, "
                             "and no log beside it fits")
                   : rh_fail(err, RH_ERR_HIVE_KIND, "this is no registry hive");
    }
    *ret = r.out;
    *ret_n = r.out_n;
    *ret_pages = r.pages;
    return 1;
}
