/* bits.c - a great many bits, of which few are ever set.
 *
 * A tree of three levels whose branches come as they are met, so memory follows
 * what the file really holds and not what its header claims.  Leaves are small
 * because a hostile file would scatter its grains: 4 bytes of it for each. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "formats/vmdk/vmdk.h"

enum {
    WORD = 64,
    LEAF_WORDS = 8,
    LEAF = WORD * LEAF_WORDS, /* bits */
    LEAVES = 64,              /* of a branch */
    BRANCH = LEAF * LEAVES,   /* bits */
};
typedef _Atomic uint64_t word;
typedef _Atomic(void *) slot;

int rh_vmdk_bits_init(struct vmdk_bits *b, uint64_t count, rh_error **err)
{
    uint64_t bytes = (rh_div_up(count, BRANCH) + 1) * sizeof *b->branches;

    /* calloc: what is not touched costs address space only. */
    b->branches = calloc(1, bytes);
    if (!b->branches)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to keep track of grains");
    b->count = count;
    return 0;
}

/* What the slot holds, made if need be. */
static void *grown(slot *s, size_t count, size_t size)
{
    void *there = atomic_load_explicit(s, memory_order_acquire), *none = NULL;

    if (there)
        return there;
    there = rh_calloc(count, size);
    if (atomic_compare_exchange_strong(s, &none, there))
        return there;
    free(there);
    return none;
}

static const word *leaf_at(const struct vmdk_bits *b, uint64_t i)
{
    slot *branch =
        atomic_load_explicit(&b->branches[i / BRANCH], memory_order_acquire);

    return branch ? atomic_load_explicit(&branch[i % BRANCH / LEAF],
                                         memory_order_acquire)
                  : NULL;
}

static word *leaf_grown(struct vmdk_bits *b, uint64_t i)
{
    slot *branch = grown(&b->branches[i / BRANCH], LEAVES, sizeof *branch);

    return grown(&branch[i % BRANCH / LEAF], LEAF_WORDS, sizeof(word));
}

bool rh_vmdk_bit_set(struct vmdk_bits *b, uint64_t i)
{
    word *w = leaf_grown(b, i) + i % LEAF / WORD;
    uint64_t mask = UINT64_C(1) << i % WORD;

    return atomic_fetch_or_explicit(w, mask, memory_order_relaxed) & mask;
}

bool rh_vmdk_bit(const struct vmdk_bits *b, uint64_t i)
{
    const word *leaf = leaf_at(b, i);

    return leaf && leaf[i % LEAF / WORD] >> i % WORD & 1;
}

void rh_vmdk_bit_clear(struct vmdk_bits *b, uint64_t i)
{
    word *w = leaf_grown(b, i) + i % LEAF / WORD;

    atomic_fetch_and(w, ~(UINT64_C(1) << i % WORD));
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
