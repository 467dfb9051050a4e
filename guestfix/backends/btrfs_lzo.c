/* btrfs_lzo.c - lzo1x, as Linux compresses with it
 * (Documentation/staging/lzo.rst of the kernel tells the format).
 *
 * Every instruction copies bytes that came out before, then up to three bytes
 * that stand behind it; its meaning depends on how many stood behind the one
 * before. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/btrfs.h"

enum { MANY = 4, MARK = 16384 };

struct lzo {
    const uint8_t *in, *end;
    uint8_t *out;
    size_t n, room;
    unsigned literals; /* behind the last instruction; MANY: a run of its own */
};

static bool literals(struct lzo *l, size_t n)
{
    if (n > (size_t)(l->end - l->in) || n > l->room - l->n)
        return false;
    memcpy(l->out + l->n, l->in, n);
    l->in += n;
    l->n += n;
    return true;
}

/* They may overlap: what was just written is copied again. */
static bool match(struct lzo *l, size_t distance, size_t n, unsigned behind)
{
    if (distance > l->n || n > l->room - l->n)
        return false;
    for (; n; n--, l->n++)
        l->out[l->n] = l->out[l->n - distance];
    l->literals = behind;
    return literals(l, behind);
}

/* A length that does not fit its bits: zeros of 255 each, then the rest. */
static bool length(struct lzo *l, size_t base, size_t *n)
{
    if (*n)
        return true;
    *n = base;
    while (l->in < l->end && !*l->in && *n < l->room) {
        *n += 255;
        l->in++;
    }
    if (l->in == l->end)
        return false;
    *n += *l->in++;
    return true;
}

static bool near_match(struct lzo *l, unsigned code)
{
    size_t distance;

    if (l->in == l->end)
        return false;
    if (code >= 64) {
        distance = 1 + (code >> 2 & 7) + ((size_t)*l->in++ << 3);
        return match(l, distance, (code >> 5) + 1, code & 3);
    }
    distance = 1 + (code >> 2) + ((size_t)*l->in++ << 2);
    return l->literals == MANY ? match(l, distance + 2048, 3, code & 3)
                               : match(l, distance, 2, code & 3);
}

/* *ret_ended: it was the mark of the end. */
static bool far_match(struct lzo *l, unsigned code, bool *ret_ended)
{
    bool nearer = code >= 32;
    size_t n = nearer ? code & 31 : code & 7, distance;
    unsigned word;

    if (!length(l, nearer ? 31 : 7, &n) || l->end - l->in < 2)
        return false;
    word = rh_le16(l->in);
    l->in += 2;
    distance =
        nearer ? 1 + (word >> 2) : MARK + ((code & 8) << 11) + (word >> 2);
    *ret_ended = !nearer && distance == MARK;
    return *ret_ended || match(l, distance, n + 2, word & 3);
}

static bool run_of_literals(struct lzo *l, size_t n)
{
    l->literals = MANY;
    return length(l, 15, &n) && literals(l, n + 3);
}

bool rh_btrfs_unlzo(const uint8_t *in, size_t n, uint8_t *out, size_t room,
                    size_t *ret_n)
{
    struct lzo l = {.in = in, .end = in + n, .out = out, .room = room};
    bool fine = true, ended = false;

    if (n && *in > 17) {
        size_t first = *l.in++ - 17U;

        l.literals = (unsigned)RH_MIN(first, (size_t)MANY);
        fine = literals(&l, first);
    }
    while (fine && !ended) {
        unsigned code;

        if (l.in == l.end)
            return false;
        code = *l.in++;
        if (code < 16 && !l.literals)
            fine = run_of_literals(&l, code);
        else if (code < 16 || code >= 64)
            fine = near_match(&l, code);
        else
            fine = far_match(&l, code, &ended);
    }
    *ret_n = l.n;
    return fine;
}
