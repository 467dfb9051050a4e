/* registry.c - the formats there are, in the order they are asked. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/format.h"

#include <string.h>

/* One line per driver; raw is last and never found by content. */
#define RH_FORMATS(X) \
    X(vmdk)           \
    X(qcow2)          \
    X(vhdx)           \
    X(vhd)            \
    X(vhd_fixed)      \
    X(raw)

#define DECLARE(name) extern const struct rh_format rh_format_##name;
RH_FORMATS(DECLARE)
#undef DECLARE

#define ROW(name) &rh_format_##name,
static const struct rh_format *const formats[] = {RH_FORMATS(ROW) NULL};
#undef ROW

const struct rh_format *rh_format_at(size_t i)
{
    return formats[i];
}

const struct rh_format *rh_format_named(const char *name)
{
    for (size_t i = 0; formats[i]; i++)
        if (!strcmp(formats[i]->name, name))
            return formats[i];
    return NULL;
}

bool rh_format_streams(const uint8_t *head, size_t n)
{
    for (size_t i = 0; formats[i]; i++)
        if (formats[i]->streams && formats[i]->streams(head, n))
            return true;
    return false;
}

const struct rh_format *rh_format_probe(struct rh_io *io, rh_error **err)
{
    enum { HEAD = 4096, TAIL = 512 };
    uint8_t head[HEAD], tail[TAIL];
    size_t n = (size_t)RH_MIN(io->size, (uint64_t)HEAD);
    bool has_tail = io->size >= TAIL;

    if (rh_io_read(io, head, n, 0, err) < 0)
        return NULL;
    if (has_tail && rh_io_read(io, tail, TAIL, io->size - TAIL, err) < 0)
        return NULL;
    for (size_t i = 0; formats[i]; i++)
        if (formats[i]->probe &&
            formats[i]->probe(head, n, has_tail ? tail : NULL, io->size))
            return formats[i];
    return NULL;
}
