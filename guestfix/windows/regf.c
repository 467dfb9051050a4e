/* regf.c - is a registry hive sound?
 *
 * Bins tile the file, cells tile the bins, and every key, list and value that
 * can be reached from the root lies in an allocated cell that is large enough.
 * A cell that holds a key, a list or a value is met once, so the walk takes
 * time in proportion to the hive, whatever its links say. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/windows/regf.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { /* the base block */
       AT_SEQ1 = 4,
       AT_SEQ2 = 8,
       AT_MAJOR = 20,
       AT_MINOR = 24,
       AT_TYPE = 28,
       AT_ROOT = 36,
       AT_BINS = 40,
       AT_SUM = 508
};
enum { HBIN_HEAD = 32, NK_HEAD = 76, VK_HEAD = 20, SK_HEAD = 20 };
static const uint32_t none = 0xffffffff;

uint32_t rh_regf_checksum(const void *base)
{
    uint32_t x = 0;

    for (size_t i = 0; i < AT_SUM; i += 4)
        x ^= rh_le32((const char *)base + i);
    return x == 0 ? 1 : x == none ? none - 1 : x;
}

bool rh_regf_is_dirty(const void *bytes, size_t n)
{
    const char *p = bytes;

    return n < 512 || rh_regf_checksum(p) != rh_le32(p + AT_SUM) ||
           rh_le32(p + AT_SEQ1) != rh_le32(p + AT_SEQ2);
}

/* --- cells -------------------------------------------------------------------
 * Offsets count from the first bin, as in the file. */
struct walk {
    const char *bins;
    char *ours;                /* the same, to be changed; or NULL */
    uint32_t size;             /* of all bins */
    uint8_t *starts;           /* a bit for every 8 bytes: an allocated cell */
    uint8_t *seen;             /* likewise: its key, list or value was met */
    RH_VEC(uint32_t) todo;     /* keys still to visit */
    RH_VEC(uint32_t) security; /* each key's descriptor */
    struct rh_regf_facts facts;
    rh_error **err;
};

static int damaged(struct walk *w, uint32_t at, const char *what)
{
    return rh_fail(w->err, RH_ERR_HIVE_DAMAGED,
                   "the registry hive is damaged at 0x%llx: %s",
                   (unsigned long long)at + RH_REGF_BASE, what);
}
#ifdef __clang_analyzer__ /* it does not look in here */
#define damaged(...) (damaged(__VA_ARGS__), -1)
#endif

static bool bit(const uint8_t *map, uint32_t at)
{
    return map[at / 64] >> (at / 8 % 8) & 1;
}

static void set_bit(uint8_t *map, uint32_t at)
{
    map[at / 64] = (uint8_t)(map[at / 64] | 1 << (at / 8 % 8));
}

static int check_bin(struct walk *w, uint32_t at, uint32_t *ret_end)
{
    const char *p = w->bins + at;
    uint32_t size, end;

    if (memcmp(p, "hbin", 4) || rh_le32(p + 4) != at)
        return damaged(w, at, _("no bin where one must begin"));
    size = rh_le32(p + 8);
    if (!size || size % RH_REGF_BASE || size > w->size - at)
        return damaged(w, at, _("a bin of an impossible size"));
    end = at + size;
    for (uint32_t c = at + HBIN_HEAD; c < end;) {
        int64_t n = (int32_t)rh_le32(w->bins + c);
        uint64_t length = (uint64_t)(n < 0 ? -n : n);

        if (length < 8 || length % 8 || length > end - c)
            return damaged(w, c, _("a cell of an impossible size"));
        if (n < 0)
            set_bit(w->starts, c);
        c += (uint32_t)length;
    }
    *ret_end = end;
    return 0;
}

static int check_bins(struct walk *w)
{
    for (uint32_t at = 0; at < w->size;)
        if (check_bin(w, at, &at) < 0)
            return -1;
    return 0;
}

/* The bytes of an allocated cell that holds at least `least`; NULL: it is none.
 * Each offset in the tree comes this way. */
static const char *cell(struct walk *w, uint32_t at, size_t least,
                        uint32_t *ret_size)
{
    uint32_t size;

    if (at >= w->size || at % 8 || !bit(w->starts, at)) {
        damaged(w, at, _("a link that leads to no cell"));
        return NULL;
    }
    size = (uint32_t) - (int32_t)rh_le32(w->bins + at) - 4;
    if (size < least) {
        damaged(w, at, _("a cell is too small for what it holds"));
        return NULL;
    }
    if (ret_size)
        *ret_size = size;
    return w->bins + at + 4;
}

/* Likewise, and met for the first time. */
static const char *fresh(struct walk *w, uint32_t at, size_t least,
                         uint32_t *ret_size)
{
    const char *p = cell(w, at, least, ret_size);

    if (p && bit(w->seen, at)) {
        damaged(w, at, _("two links lead to one cell"));
        return NULL;
    }
    if (p)
        set_bit(w->seen, at);
    return p;
}

/* A name of one byte a character, or UTF-16: where libhivex cannot read one, it
 * finds none of its neighbours either. */
static bool is_name(const char *p, size_t n, bool narrow)
{
    if (narrow)
        return true;
    for (size_t i = 0; i + 1 < n; i += 2) {
        uint16_t u = rh_le16(p + i);

        if (u < 0xd800 || u > 0xdfff)
            continue;
        if (u > 0xdbff || i + 3 >= n || (rh_le16(p + i + 2) & 0xfc00) != 0xdc00)
            return false;
        i += 2;
    }
    return n % 2 == 0;
}

/* --- values ------------------------------------------------------------------
 */
/* Windows writes one of no bytes with any offset, or with none: libhivex frees
 * what lies there.  The form without an offset says the same. */
static int check_empty(struct walk *w, const char *value)
{
    if (w->ours)
        rh_put_le32(w->ours + (value - w->bins) + 4, 0x80000000);
    return 0;
}

/* "db": a list of parts of 16,344 bytes, the last one shorter. */
static int check_big(struct walk *w, uint32_t at, uint32_t length)
{
    const char *p = fresh(w, at, 8, NULL);
    uint32_t parts = (uint32_t)rh_div_up(length, RH_REGF_BIG_VALUE);
    const char *list;

    if (!p)
        return -1;
    if (memcmp(p, "db", 2) || rh_le16(p + 2) != parts)
        return damaged(w, at, _("the parts of a value do not fit its length"));
    list = fresh(w, rh_le32(p + 4), (size_t)parts * 4, NULL);
    if (!list)
        return -1;
    for (uint32_t i = 0; i < parts; i++) {
        uint32_t part =
            i + 1 < parts ? RH_REGF_BIG_VALUE : length - i * RH_REGF_BIG_VALUE;

        if (!fresh(w, rh_le32(list + (size_t)i * 4), part, NULL))
            return -1;
    }
    return 0;
}

static int check_value(struct walk *w, uint32_t at)
{
    uint32_t size, length;
    const char *p = fresh(w, at, VK_HEAD, &size);

    if (!p)
        return -1;
    if (memcmp(p, "vk", 2) || rh_le16(p + 2) > size - VK_HEAD ||
        !is_name(p + VK_HEAD, rh_le16(p + 2), rh_le16(p + 16) & 1))
        return damaged(w, at, _("no value where one must be"));
    w->facts.values++;
    length = rh_le32(p + 4);
    if (length & 0x80000000) /* up to 4 bytes lie in the link itself */
        return (length & 0x7fffffff) <= 4
                   ? 0
                   : damaged(w, at, _("a value of an impossible length"));
    if (!length)
        return check_empty(w, p);
    if (length > w->size)
        return damaged(w, at, _("a value of an impossible length"));
    if (length > RH_REGF_BIG_VALUE && w->facts.minor > 3) {
        const char *data = cell(w, rh_le32(p + 8), 4, NULL);

        if (!data)
            return -1;
        if (!memcmp(data, "db", 2))
            return check_big(w, rh_le32(p + 8), length);
    }
    /* libhivex frees it with its value: not twice. */
    return fresh(w, rh_le32(p + 8), length, NULL) ? 0 : -1;
}

static int check_values(struct walk *w, uint32_t list_at, uint32_t count)
{
    const char *list;

    if (!count)
        return 0;
    if (count > w->size / 4)
        return damaged(w, list_at, _("more values than there is space for"));
    list = fresh(w, list_at, (size_t)count * 4, NULL);
    if (!list)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        if (check_value(w, rh_le32(list + (size_t)i * 4)) < 0)
            return -1;
    return 0;
}

/* --- keys --------------------------------------------------------------------
 */
/* One list of subkeys; an index of lists only where `may_nest`. */
static int check_subkeys(struct walk *w, uint32_t at, bool may_nest,
                         uint32_t *count)
{
    uint32_t size, n, step;
    const char *p = fresh(w, at, 4, &size);

    if (!p)
        return -1;
    n = rh_le16(p + 2);
    step = !memcmp(p, "lf", 2) || !memcmp(p, "lh", 2)   ? 8
           : !memcmp(p, "li", 2) || !memcmp(p, "ri", 2) ? 4
                                                        : 0;
    if (!step || (size - 4) / step < n || (!may_nest && p[0] == 'r'))
        return damaged(w, at, _("a list of subkeys that cannot be read"));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t to = rh_le32(p + 4 + (size_t)i * step);

        if (p[0] == 'r') {
            if (check_subkeys(w, to, false, count) < 0)
                return -1;
            continue;
        }
        *rh_vec_add(&w->todo) = to;
        ++*count;
    }
    return 0;
}

static const char *descriptor(struct walk *w, uint32_t at)
{
    uint32_t size;
    const char *sk = cell(w, at, SK_HEAD, &size);

    if (!sk)
        return NULL;
    if (memcmp(sk, "sk", 2) || rh_le32(sk + 16) > size - SK_HEAD ||
        bit(w->seen, at)) {
        damaged(w, at, _("no security descriptor"));
        return NULL;
    }
    return sk;
}

/* `users` keys have it.  libhivex writes into its neighbours in the list of
 * them, without a look, when its last key goes, which it knows by the count;
 * Windows itself does not look at the count, and other programs forget it. */
static int check_security(struct walk *w, uint32_t at, uint32_t users)
{
    const char *sk = descriptor(w, at);
    const char *next = sk ? descriptor(w, rh_le32(sk + 4)) : NULL;
    const char *before = next ? descriptor(w, rh_le32(sk + 8)) : NULL;

    if (!before)
        return -1;
    if (rh_le32(next + 8) != at || rh_le32(before + 4) != at ||
        (!w->ours && rh_le32(sk + 12) < users))
        return damaged(w, at,
                       _("a security descriptor is not linked or "
                         "counted as its keys have it"));
    if (w->ours && rh_le32(sk + 12) < users)
        rh_put_le32(w->ours + (sk - w->bins) + 12, users);
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int check_all_security(struct walk *w)
{
    size_t n = w->security.count;
    uint32_t *all = w->security.items;

    if (n)
        qsort(all, n, sizeof *all, by_number);
    for (size_t i = 0, users; i < n; i += users) {
        for (users = 1; i + users < n && all[i + users] == all[i]; users++)
            ;
        if (check_security(w, all[i], (uint32_t)users) < 0)
            return -1;
    }
    return 0;
}

static int check_key(struct walk *w, uint32_t at)
{
    uint32_t size, subkeys, found = 0, class_at;
    const char *p = fresh(w, at, NK_HEAD, &size);

    if (!p)
        return -1;
    if (memcmp(p, "nk", 2) || rh_le16(p + 72) > size - NK_HEAD ||
        !is_name(p + NK_HEAD, rh_le16(p + 72), rh_le16(p + 2) & 0x20))
        return damaged(w, at, _("no key where one must be"));
    w->facts.keys++;
    subkeys = rh_le32(p + 20);
    if (subkeys && check_subkeys(w, rh_le32(p + 28), true, &found) < 0)
        return -1;
    if (found != subkeys)
        return damaged(w, at, _("the number of subkeys is wrong"));
    if (check_values(w, rh_le32(p + 40), rh_le32(p + 36)) < 0)
        return -1;
    class_at = rh_le32(p + 48);
    if (class_at != none && !rh_le16(p + 74)) {
        if (w->ours) /* as of an empty value, no matter what is named */
            rh_put_le32(w->ours + (p - w->bins) + 48, none);
    } else if (class_at != none && !fresh(w, class_at, rh_le16(p + 74), NULL)) {
        return -1;
    }
    if (rh_le32(p + 44) != none)
        *rh_vec_add(&w->security) = rh_le32(p + 44);
    return 0;
}

static int check_tree(struct walk *w, uint32_t root)
{
    if (check_key(w, root) < 0)
        return -1;
    w->facts.keys--; /* the root has no name that counts */
    while (w->todo.count)
        if (check_key(w, w->todo.items[--w->todo.count]) < 0)
            return -1;
    return check_all_security(w);
}

/* --- the base block ----------------------------------------------------------
 */
static int check_base(const char *p, size_t n, rh_error **err)
{
    uint64_t bins;

    if (n < 2 * RH_REGF_BASE || memcmp(p, "regf", 4))
        return rh_fail(err, RH_ERR_HIVE_KIND, "this is no registry hive");
    if (n > RH_LIMIT_HIVE)
        return rh_fail(err, RH_ERR_HIVE_KIND,
                       "a registry hive of %zu bytes is larger than Windows "
                       "makes them",
                       n);
    if (rh_regf_is_dirty(p, n))
        return rh_fail(err, RH_ERR_HIVE_DIRTY,
                       "the registry hive was not written to its end "
                       "(sequence numbers %u and %u)",
                       rh_le32(p + AT_SEQ1), rh_le32(p + AT_SEQ2));
    if (rh_le32(p + AT_MAJOR) != 1 || rh_le32(p + AT_MINOR) < 3 ||
        rh_le32(p + AT_MINOR) > 5 || rh_le32(p + AT_TYPE))
        return rh_fail(err, RH_ERR_HIVE_KIND,
                       "a registry hive of version %u.%u, type %u is not one "
                       "that an installed Windows uses",
                       rh_le32(p + AT_MAJOR), rh_le32(p + AT_MINOR),
                       rh_le32(p + AT_TYPE));
    bins = rh_le32(p + AT_BINS);
    if (!bins || bins % RH_REGF_BASE || bins > n - RH_REGF_BASE)
        return rh_fail(err, RH_ERR_HIVE_DAMAGED,
                       "the registry hive is cut short: its header names %llu "
                       "bytes of bins, %zu are there",
                       (unsigned long long)bins, n - RH_REGF_BASE);
    return 0;
}

/* `ours`: the same bytes, or NULL. */
static int check(const char *p, size_t n, char *ours, struct rh_regf_facts *ret,
                 rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *starts = NULL;
    RH_AUTO(rh_freep) uint8_t *seen = NULL;
    struct walk w = {.err = err};
    int r;

    if (check_base(p, n, err) < 0)
        return -1;
    w.bins = p + RH_REGF_BASE;
    w.ours = ours ? ours + RH_REGF_BASE : NULL;
    w.size = rh_le32(p + AT_BINS);
    w.facts.minor = rh_le32(p + AT_MINOR);
    w.starts = starts = rh_calloc(w.size / 64, 1);
    w.seen = seen = rh_calloc(w.size / 64, 1);
    r = check_bins(&w);
    if (r == 0)
        r = check_tree(&w, rh_le32(p + AT_ROOT));
    free(w.security.items);
    free(w.todo.items);
    if (r == 0 && ret)
        *ret = w.facts;
    return r;
}

int rh_regf_check(const void *bytes, size_t n, struct rh_regf_facts *ret,
                  rh_error **err)
{
    return check(bytes, n, NULL, ret, err);
}

int rh_regf_prepare(void *bytes, size_t n, rh_error **err)
{
    return check(bytes, n, bytes, NULL, err);
}
