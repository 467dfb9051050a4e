/* copy_gather.c - the content digest of a disk that is read forward.
 *
 * Its shares end at every gap, a record covers a whole unit: the shares of one
 * unit are gathered, as they get their places, in the order of the source.
 * Who comes back to what has passed has no digest: its unit is hashed already.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "convert/copy/copy_job.h"

/* What is missing of the unit is zeros. */
static void close_unit(struct rh_copy_gather *g, struct rh_digest *digest)
{
    uint8_t record[RH_CONTENT_RECORD];

    if (g->at > g->unit &&
        rh_copy_record(g->data, RH_CONTENT_UNIT, g->unit, record))
        rh_digest_add(digest, record, sizeof record);
}

static void open_unit(struct rh_copy_gather *g, uint64_t unit)
{
    g->unit = g->at = unit;
    memset(g->data, 0, RH_CONTENT_UNIT);
}

void rh_copy_gather(struct rh_copy_job *j, const uint8_t *data, size_t n,
                    uint64_t offset)
{
    struct rh_copy_gather *g = &j->gather;

    g->broken |= offset < g->at;
    for (size_t part; n && !g->broken; n -= part) {
        size_t from = (size_t)(offset % RH_CONTENT_UNIT);

        part = RH_MIN(n, (size_t)RH_CONTENT_UNIT - from);
        if (offset - from != g->unit) {
            close_unit(g, j->source_content);
            open_unit(g, offset - from);
        }
        memcpy(g->data + from, data, part);
        data += part;
        offset += part;
        g->at = offset;
    }
}

void rh_copy_gathered(struct rh_copy_job *j, char ret_hex[65])
{
    char hex[RH_DIGEST_HEX] = "";

    ret_hex[0] = '\0';
    if (!j->gather.data || j->gather.broken)
        return;
    close_unit(&j->gather, j->source_content);
    rh_digest_hex(j->source_content, hex);
    memcpy(ret_hex, hex, 65);
}
