/* bits.c - a great many bits, of which few are ever set.
 *
 * Pages of 512 bytes come as they are met, so memory follows what the file
 * really holds and not what its header claims.  Pages are small because a
 * hostile file would scatter its grains. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "formats/vmdk/vmdk.h"

enum { WORD = 64, PAGE_WORDS = 64, PAGE = WORD * PAGE_WORDS };
typedef _Atomic uint64_t word;

int rh_vmdk_bits_init(struct vmdk_bits *b, uint64_t count, rh_error **err)
{
    uint64_t bytes = (rh_div_up(count, PAGE) + 1) * sizeof *b->pages;

    /* calloc: what is not touched costs address space only. */
    b->pages = calloc(1, bytes);
    if (!b->pages)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to keep track of grains");
    b->count = count;
    return 0;
}

static word *page_at(struct vmdk_bits *b, uint64_t i)
{
    void *page =
        atomic_load_explicit(&b->pages[i / PAGE], memory_order_acquire);
    void *none = NULL;

    if (page)
        return page;
    page = rh_calloc(PAGE_WORDS, sizeof(word));
    if (atomic_compare_exchange_strong(&b->pages[i / PAGE], &none, page))
        return page;
    free(page);
    return none;
}

bool rh_vmdk_bit_set(struct vmdk_bits *b, uint64_t i)
{
    word *w = page_at(b, i) + i % PAGE / WORD;
    uint64_t mask = UINT64_C(1) << i % WORD;

    return atomic_fetch_or_explicit(w, mask, memory_order_relaxed) & mask;
}

bool rh_vmdk_bit(const struct vmdk_bits *b, uint64_t i)
{
    const word *page =
        atomic_load_explicit(&b->pages[i / PAGE], memory_order_acquire);

    return page && page[i % PAGE / WORD] >> i % WORD & 1;
}

void rh_vmdk_bit_clear(struct vmdk_bits *b, uint64_t i)
{
    word *w = page_at(b, i) + i % PAGE / WORD;

    atomic_fetch_and(w, ~(UINT64_C(1) << i % WORD));
}

void rh_vmdk_bits_free(struct vmdk_bits *b)
{
    if (!b->pages)
        return;
    for (uint64_t i = 0; i < rh_div_up(b->count, PAGE); i++)
        free(b->pages[i]);
    free(b->pages);
    b->pages = NULL;
}
