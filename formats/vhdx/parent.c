/* parent.c - the disk that a differencing VHDX was made over.
 *
 * The parent locator ([MS-VHDX] 2.6.2.6) is a list of keys and values in
 * UTF-16: paths, and the id that the parent's header had ("parent_linkage"). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhdx/vhdx.h"

enum { LOCATOR_MOST = 64 * 1024, LOCATOR = 20, ENTRY = 12 };

struct locator {
    uint8_t *bytes;
    size_t size;
    char *paths[3]; /* relative, then absolute ones, each may be NULL */
    char *linkage[2];
};

static void locator_free(struct locator *l)
{
    free(l->bytes);
    for (size_t i = 0; i < RH_COUNT(l->paths); i++)
        free(l->paths[i]);
    for (size_t i = 0; i < RH_COUNT(l->linkage); i++)
        free(l->linkage[i]);
}

static char *text_at(const struct locator *l, uint32_t at, uint16_t n)
{
    if (at > l->size || n > l->size - at)
        return NULL;
    return rh_utf16_name(l->bytes + at, n, false);
}

static void take_pair(struct locator *l, const uint8_t *entry)
{
    static const char *const paths[] = {"relative_path", "absolute_win32_path",
                                        "volume_path"};
    static const char *const linkage[] = {"parent_linkage", "parent_linkage2"};
    RH_AUTO(rh_freep)
    char *key = text_at(l, rh_le32(entry), rh_le16(entry + 8));
    char **to = NULL;

    for (size_t i = 0; key && i < RH_COUNT(paths); i++)
        if (!strcmp(key, paths[i]))
            to = &l->paths[i];
    for (size_t i = 0; key && i < RH_COUNT(linkage); i++)
        if (!strcmp(key, linkage[i]))
            to = &l->linkage[i];
    if (to && !*to)
        *to = text_at(l, rh_le32(entry + 4), rh_le16(entry + 10));
}

static int read_locator(struct rh_reader *r, const struct vhdx *v,
                        struct locator *l, rh_error **err)
{
    const struct vhdx_region *at = &v->items[VHDX_PARENT_LOCATOR];
    unsigned count;

    if (at->size < LOCATOR || at->size > LOCATOR_MOST)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "it holds what changed since its parent disk, but has "
                       "no parent locator that makes sense");
    l->size = (size_t)at->size;
    l->bytes = rh_malloc(l->size);
    if (rh_io_read(r->io, l->bytes, l->size, v->metadata.offset + at->offset,
                   err) < 0)
        return -1;
    count = rh_le16(l->bytes + 18);
    for (unsigned i = 0; i < count && LOCATOR + (i + 1) * ENTRY <= l->size; i++)
        take_pair(l, l->bytes + LOCATOR + (size_t)i * ENTRY);
    return 0;
}

/* "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}", as it is stored. */
static bool guid_of(const char *text, uint8_t ret[16])
{
    static const uint8_t order[16] = {3, 2, 1,  0,  5,  4,  7,  6,
                                      8, 9, 10, 11, 12, 13, 14, 15};
    size_t digits = 0;
    uint8_t byte = 0;

    for (; text && *text && digits < 32; text++) {
        const char *hex = "0123456789abcdef", *at;
        char c = *text >= 'A' && *text <= 'F' ? (char)(*text + 32) : *text;

        if (c == '{' || c == '}' || c == '-')
            continue;
        at = strchr(hex, c);
        if (!at)
            return false;
        byte = (uint8_t)(byte << 4 | (at - hex));
        if (digits++ % 2)
            ret[order[digits / 2 - 1]] = byte;
    }
    return digits == 32;
}

static bool is_there(const struct rh_open_options *o, const char *name)
{
    struct rh_io *io =
        o->place ? rh_place_open(o->place, rh_last_part(name), NULL) : NULL;

    rh_io_unref(io);
    return io != NULL;
}

/* The first that there is, else the first that is named. */
static const char *choose_path(const struct locator *l,
                               const struct rh_open_options *o)
{
    const char *first = NULL;

    for (size_t i = 0; i < RH_COUNT(l->paths); i++) {
        if (l->paths[i] && is_there(o, l->paths[i]))
            return l->paths[i];
        first = first ? first : l->paths[i];
    }
    return first;
}

static int check_linkage(const struct rh_reader *r, const struct locator *l,
                         rh_error **err)
{
    uint8_t id[16];

    for (size_t i = 0; i < RH_COUNT(l->linkage); i++)
        if (guid_of(l->linkage[i], id) && !memcmp(id, r->parent->id, sizeof id))
            return 0;
    rh_fail(err, RH_ERR_DISK_PARENT,
            "\"%s\" is not the disk it was made over, or was changed since",
            rh_last_part(r->backing_file));
    return rh_hint(err, "take the parent as it was when this disk was made");
}

static int open_named(struct rh_reader *r, const struct locator *l,
                      const struct rh_open_options *o, rh_error **err)
{
    r->backing_file = rh_strdup(choose_path(l, o));
    if (o->ignore_parent)
        return 0;
    if (!r->backing_file)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "it holds what changed since its parent disk, but does "
                       "not name that");
    if (rh_reader_open_parent(r, o, r->backing_file, "vhdx", NULL, err) < 0)
        return -1;
    return check_linkage(r, l, err);
}

int rh_vhdx_open_parent(struct rh_reader *r, const struct vhdx *v,
                        const struct rh_open_options *o, rh_error **err)
{
    struct locator l = {.bytes = NULL};
    int failed = read_locator(r, v, &l, err);

    if (!failed)
        failed = open_named(r, &l, o, err);
    locator_free(&l);
    return failed;
}
