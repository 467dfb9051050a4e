/* registry.c - the formats there are, in the order they are asked. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/format.h"

#include <string.h>

#define IN_TAIL UINT32_MAX

/* One line per driver; raw is last and never found by content. */
#define RH_FORMATS(X) \
    X(vmdk)           \
    X(qcow)           \
    X(qcow2)          \
    X(vdi)            \
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

/* --- formats that are known, and not read --------------------------------- */

static const struct foreign {
    uint32_t at; /* IN_TAIL: at the start of the last 512 bytes */
    const char *mark, *name;
} foreign[] = {
    {0, "QED", "QED of QEMU"},
    {0, "WithoutFreeSpace", "Parallels"},
    {0, "WithouFreSpacExt", "Parallels"},
    {0, "Bochs Virtual HD Image", "Bochs"},
    {0, "Dell Disk Image", "Dell"},
    {0, "MSWIM", "Windows imaging (WIM)"},
    {0, "EVF\x09\x0d\x0a\xff", "EnCase (E01)"},
    {0, "7z\xbc\xaf\x27\x1c", "7-Zip archive"},
    {0, "Rar!", "RAR archive"},
    {0, "PK\x03\x04", "zip archive"},
    {0, "<!DOCTYPE", "web page"},
    {0, "<html", "web page"},
    {257, "ustar", "tar archive"},
    {IN_TAIL, "koly", "DMG of Apple"},
};

const char *rh_format_foreign(struct rh_io *io)
{
    enum { HEAD = 512 };
    uint8_t head[HEAD] = {0}, tail[HEAD] = {0};
    size_t n = (size_t)RH_MIN(io->size, (uint64_t)HEAD);

    if (rh_io_read(io, head, n, 0, NULL) < 0 ||
        (io->size >= HEAD &&
         rh_io_read(io, tail, HEAD, io->size - HEAD, NULL) < 0))
        return NULL;
    for (size_t i = 0; i < RH_COUNT(foreign); i++) {
        const struct foreign *f = &foreign[i];
        const uint8_t *p = f->at == IN_TAIL ? tail : head + f->at;

        if (!memcmp(p, f->mark, strlen(f->mark)))
            return f->name;
    }
    return NULL;
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
