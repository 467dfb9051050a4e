/* tables.c - pieces of L1 and L2, read when needed and kept for a while. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "formats/qcow2/reader.h"

void rh_qcow2_tables_init(struct rh_qcow2_tables *t)
{
    pthread_mutex_init(&t->lock, NULL);
}

void rh_qcow2_tables_free(struct rh_qcow2_tables *t)
{
    for (size_t i = 0; i < Q_PIECES; i++)
        free(t->pieces[i].bytes);
    pthread_mutex_destroy(&t->lock);
}

/* The slot that holds the piece at `offset`, filled if it did not. */
static int piece_at(struct rh_qcow2_tables *t, struct rh_io *io,
                    uint64_t offset, size_t *ret_slot, rh_error **err)
{
    size_t slot = 0;

    for (size_t i = 0; i < Q_PIECES; i++) {
        if (t->pieces[i].size && t->pieces[i].offset == offset) {
            t->pieces[i].used = ++t->clock;
            *ret_slot = i;
            return 0;
        }
        if (t->pieces[i].used < t->pieces[slot].used)
            slot = i;
    }
    if (!t->pieces[slot].bytes)
        t->pieces[slot].bytes = rh_malloc(Q_PIECE);
    t->pieces[slot].size = 0;
    if (rh_io_read(io, t->pieces[slot].bytes,
                   (size_t)RH_MIN((uint64_t)Q_PIECE, io->size - offset), offset,
                   err) < 0)
        return -1;
    t->pieces[slot].size = (size_t)RH_MIN((uint64_t)Q_PIECE, io->size - offset);
    t->pieces[slot].offset = offset;
    t->pieces[slot].used = ++t->clock;
    *ret_slot = slot;
    return 0;
}

static int get_locked(struct rh_qcow2_tables *t, struct rh_io *io,
                      uint64_t offset, uint8_t *buf, size_t n, rh_error **err)
{
    while (n) {
        uint64_t start = offset / Q_PIECE * Q_PIECE;
        size_t slot, from = (size_t)(offset - start), part;

        if (piece_at(t, io, start, &slot, err) < 0)
            return -1;
        part = RH_MIN(n, t->pieces[slot].size - from);
        memcpy(buf, t->pieces[slot].bytes + from, part);
        buf += part;
        offset += part;
        n -= part;
    }
    return 0;
}

int rh_qcow2_tables_get(struct rh_qcow2_tables *t, struct rh_io *io,
                        uint64_t offset, void *buf, size_t n, rh_error **err)
{
    int failed;

    if (offset > io->size || n > io->size - offset)
        return rh_fail(err, RH_ERR_FILE_SHORT,
                       "a table at 0x%llx lies past the end of the file",
                       (unsigned long long)offset);
    pthread_mutex_lock(&t->lock);
    failed = get_locked(t, io, offset, buf, n, err);
    pthread_mutex_unlock(&t->lock);
    return failed;
}
