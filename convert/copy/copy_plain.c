/* copy_plain.c - the content digest of bytes that come in order. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/copy/copy_job.h"

struct rh_content {
    struct rh_digest *digest;
    uint8_t *data;
    uint64_t at, size; /* what comes behind `size` is not the disk's */
};

struct rh_content *rh_content_new(uint64_t size)
{
    struct rh_content *c = rh_new0(struct rh_content);

    c->digest = rh_digest_new("sha256");
    c->data = rh_malloc(RH_CONTENT_UNIT);
    c->size = size;
    return c;
}

static void close_unit(struct rh_content *c)
{
    uint8_t record[RH_CONTENT_RECORD];
    size_t n = (size_t)((c->at - 1) % RH_CONTENT_UNIT) + 1;

    if (rh_copy_record(c->data, n, c->at - n, record))
        rh_digest_add(c->digest, record, sizeof record);
}

void rh_content_add(struct rh_content *c, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    n = (size_t)RH_MIN((uint64_t)n, c->size - c->at);
    for (size_t part; n; n -= part, p += part) {
        size_t from = (size_t)(c->at % RH_CONTENT_UNIT);

        part = RH_MIN(n, (size_t)RH_CONTENT_UNIT - from);
        memcpy(c->data + from, p, part);
        c->at += part;
        if (c->at % RH_CONTENT_UNIT == 0 || c->at == c->size)
            close_unit(c);
    }
}

bool rh_content_end(struct rh_content *c, char ret_hex[65])
{
    bool whole = c->at == c->size;
    char hex[RH_DIGEST_HEX] = "";

    rh_digest_hex(c->digest, hex);
    memcpy(ret_hex, hex, 65);
    rh_digest_free(c->digest);
    free(c->data);
    free(c);
    return whole;
}
