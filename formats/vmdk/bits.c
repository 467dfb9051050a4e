/* bits.c - a great many bits, of which few are ever set.
 *
 * A tree of three levels whose branches come as they are met, so memory follows
 * what the file really holds and not what its header claims.  A hostile file
 * would scatter its grains to make it grow: all trees of a chain of disks share
 * one budget, and what it cannot pay for is refused.  Data that is really
 * stored adds to it: real files fill leaves (32 MiB of a disk in grains of
 * 64 KiB, 2 bits each), and no disk is too large. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <sys/stat.h>

#include "formats/vmdk/vmdk.h"

enum {
    WORD = 64,
    LEAF_WORDS = 16,
    LEAF = WORD * LEAF_WORDS, /* bits */
    LEAVES = 64,              /* of a branch */
    BRANCH = LEAF * LEAVES,   /* bits */

    /* A grain takes 2 bits at most and 512 bytes of a file at least: twice what
     * a disk whose grains lie side by side can need. */
    STORED_PER_ROOM = 1024,
};
typedef _Atomic uint64_t word;
typedef _Atomic(void *) slot;

bool rh_vmdk_reserve(atomic_uint_least64_t *room, uint64_t bytes)
{
    uint_least64_t left = atomic_load(room);

    while (left >= bytes)
        if (atomic_compare_exchange_weak(room, &left, left - bytes))
            return true;
    return false;
}

void rh_vmdk_stored(atomic_uint_least64_t *room, uint64_t bytes)
{
    atomic_fetch_add(room, bytes / STORED_PER_ROOM);
}

void rh_vmdk_stored_file(atomic_uint_least64_t *room, const struct rh_io *io)
{
    struct stat st;

    if (io->fd >= 0 && fstat(io->fd, &st) == 0 && S_ISREG(st.st_mode))
        rh_vmdk_stored(room,
                       RH_MIN(io->size, (uint64_t)st.st_blocks * VMDK_SECTOR));
}

int rh_vmdk_bits_init(struct vmdk_bits *b, uint64_t count,
                      atomic_uint_least64_t *room, rh_error **err)
{
    uint64_t bytes = (rh_div_up(count, BRANCH) + 1) * sizeof *b->branches;

    if (!rh_vmdk_reserve(room, bytes))
        return rh_vmdk_scattered(0, err);
    /* calloc: what is not touched costs address space only. */
    b->branches = calloc(1, bytes);
    if (!b->branches)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to keep track of grains");
    b->count = count;
    b->room = room;
    return 0;
}

/* What the slot holds, made if need be; NULL: the budget is used up. */
static void *grown(const struct vmdk_bits *b, slot *s, size_t count,
                   size_t size)
{
    void *there = atomic_load_explicit(s, memory_order_acquire), *none = NULL;

    if (there)
        return there;
    if (!rh_vmdk_reserve(b->room, count * size))
        return NULL;
    there = rh_calloc(count, size);
    if (atomic_compare_exchange_strong(s, &none, there))
        return there;
    free(there); /* another thread was faster */
    atomic_fetch_add(b->room, count * size);
    return none;
}

static word *leaf_at(const struct vmdk_bits *b, uint64_t i)
{
    slot *branch =
        atomic_load_explicit(&b->branches[i / BRANCH], memory_order_acquire);

    return branch ? atomic_load_explicit(&branch[i % BRANCH / LEAF],
                                         memory_order_acquire)
                  : NULL;
}

static word *leaf_grown(struct vmdk_bits *b, uint64_t i)
{
    slot *branch = grown(b, &b->branches[i / BRANCH], LEAVES, sizeof *branch);

    return branch
               ? grown(b, &branch[i % BRANCH / LEAF], LEAF_WORDS, sizeof(word))
               : NULL;
}

enum vmdk_bit rh_vmdk_bit_set(struct vmdk_bits *b, uint64_t i)
{
    word *leaf = leaf_grown(b, i);
    uint64_t mask = UINT64_C(1) << i % WORD;

    if (!leaf)
        return VMDK_BIT_NO_ROOM;
    return atomic_fetch_or_explicit(leaf + i % LEAF / WORD, mask,
                                    memory_order_relaxed) &
                   mask
               ? VMDK_BIT_WAS_SET
               : VMDK_BIT_WAS_CLEAR;
}

bool rh_vmdk_bit(const struct vmdk_bits *b, uint64_t i)
{
    const word *leaf = leaf_at(b, i);

    return leaf && leaf[i % LEAF / WORD] >> i % WORD & 1;
}

void rh_vmdk_bit_clear(struct vmdk_bits *b, uint64_t i)
{
    word *leaf = leaf_at(b, i);

    if (leaf)
        atomic_fetch_and(leaf + i % LEAF / WORD, ~(UINT64_C(1) << i % WORD));
}

int rh_vmdk_scattered(uint64_t at, rh_error **err)
{
    rh_fail(err, RH_ERR_DISK_TOO_BIG,
            "grains or tables are too many, or lie too far from each other, to "
            "keep track of them in %llu MiB of memory (at 0x%llx)",
            RH_LIMIT_TRACK_BYTES / RH_MIB, VMDK_X(at));
    return rh_hint(err, "no such disk comes out of an export; export it again");
}

void rh_vmdk_bits_free(struct vmdk_bits *b)
{
    if (!b->branches)
        return;
    for (uint64_t i = 0; i < rh_div_up(b->count, BRANCH); i++) {
        slot *branch = b->branches[i];

        for (unsigned k = 0; branch && k < LEAVES; k++)
            free(branch[k]);
        free(branch);
    }
    free(b->branches);
    b->branches = NULL;
}
