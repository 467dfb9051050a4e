/* lvm.c - LVM2: physical volumes, their text metadata, linear logical volumes.
 *
 * Only what can be mapped byte for byte gets spans: "striped" segments with one
 * stripe (linear), over any number of physical volumes on any disks.  Others
 * (RAID, thin, cache, snapshots) are listed without spans; who needs them goes
 * by the appliance. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "volumes/volumes.h"

enum {
    SECTOR = 512,
    TEXT_MAX = 4 * 1024 * 1024,
    TEXTS_MAX = 16 * 1024 * 1024, /* of all physical volumes together */
    DEPTH_MAX = 8,
    ITEMS_MAX = 200000,
    PVS_MAX = 1024,
    LVS_MAX = 4096, /* of all groups; each is looked at */
};

/* --- the text form
 * ------------------------------------------------------------ */
struct text {
    const char *p, *end;
    unsigned depth;
    size_t items;
};

static void skip_blank(struct text *t)
{
    while (t->p < t->end) {
        if (*t->p == '#')
            while (t->p < t->end && *t->p != '\n')
                t->p++;
        else if (isspace((unsigned char)*t->p) || *t->p == ',')
            t->p++;
        else
            return;
    }
}

static json_t *quoted(struct text *t)
{
    struct rh_buf b = {0};
    json_t *j;

    for (t->p++; t->p < t->end && *t->p != '"'; t->p++) {
        if (*t->p == '\\' && t->p + 1 < t->end)
            t->p++;
        rh_buf_putc(&b, *t->p);
    }
    j = t->p < t->end ? json_stringn(b.data ? b.data : "", b.length) : NULL;
    t->p++;
    rh_buf_free(&b);
    return j;
}

static json_t *value(struct text *t);

static json_t *list(struct text *t)
{
    json_t *all = json_array();

    t->p++;
    for (;;) {
        json_t *item;

        skip_blank(t);
        if (t->p >= t->end)
            break;
        if (*t->p == ']') {
            t->p++;
            return all;
        }
        item = value(t);
        if (!item || json_array_append_new(all, item))
            break;
    }
    json_decref(all);
    return NULL;
}

static json_t *value(struct text *t)
{
    char digits[24];
    size_t n = 0;

    if (++t->items > ITEMS_MAX || t->p >= t->end)
        return NULL;
    if (*t->p == '"')
        return quoted(t);
    if (*t->p == '[') {
        json_t *j;

        if (t->depth++ >= DEPTH_MAX)
            return NULL;
        j = list(t);
        t->depth--;
        return j;
    }
    while (t->p < t->end && n < sizeof digits - 1 &&
           (isdigit((unsigned char)*t->p) || *t->p == '-' || *t->p == '.'))
        digits[n++] = *t->p++;
    digits[n] = '\0';
    return n ? json_integer(strtoll(digits, NULL, 10)) : NULL;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("_.+-/", c));
}

static json_t *section(struct text *t, bool top);

/* `name { ... }` or `name = value`. */
static int entry(struct text *t, json_t *into)
{
    char name[256];
    size_t n = 0;
    json_t *j;

    while (t->p < t->end && is_name_byte(*t->p) && n < sizeof name - 1)
        name[n++] = *t->p++;
    name[n] = '\0';
    skip_blank(t);
    if (!n || t->p >= t->end || ++t->items > ITEMS_MAX)
        return -1;
    if (*t->p == '{') {
        t->p++;
        if (t->depth++ >= DEPTH_MAX)
            return -1;
        j = section(t, false);
        t->depth--;
    } else if (*t->p == '=') {
        t->p++;
        skip_blank(t);
        j = value(t);
    } else {
        return -1;
    }
    return j ? json_object_set_new(into, name, j) : -1;
}

static json_t *section(struct text *t, bool top)
{
    json_t *j = json_object();

    for (;;) {
        skip_blank(t);
        if (t->p >= t->end) {
            if (top)
                return j;
            break;
        }
        if (*t->p == '}' && !top) {
            t->p++;
            return j;
        }
        if (entry(t, j) < 0)
            break;
    }
    json_decref(j);
    return NULL;
}

struct json_t *rh_lvm_parse(const char *bytes, size_t n)
{
    struct text t = {.p = bytes, .end = bytes + strnlen(bytes, n)};

    return section(&t, true);
}

/* --- physical volumes
 * ------------------------------------------------------------ */
struct pv {
    char uuid[33];
    struct rh_volume on;
    json_t *meta; /* of its group, NULL: none readable */
    uint32_t crc; /* of its text, which others may have as well */
    uint64_t size;
};

/* Every one that was met. */
struct pvs {
    struct pv *items;
    size_t count;
    uint64_t texts; /* bytes that were read */
};

/* LVM's checksum: the reflected CRC-32 with a seed of its own. */
static uint32_t lvm_crc(const uint8_t *p, size_t n)
{
    return (uint32_t)(crc32(0xf597a6cfu ^ 0xffffffffu, p, (uInt)n) ^
                      0xffffffffu);
}

/* The members of a group have copies of one text: it is read once. */
static bool same_text(const struct pvs *all, struct pv *pv)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct pv *old = &all->items[i];

        if (old != pv && old->meta && old->crc == pv->crc &&
            old->size == pv->size) {
            pv->meta = json_incref(old->meta);
            return true;
        }
    }
    return false;
}

static int read_text(struct rh_disks *d, struct pvs *all, struct pv *pv,
                     uint64_t area, uint64_t area_size, rh_error **err)
{
    const struct rh_volume *v = &pv->on;
    uint8_t head[SECTOR];
    RH_AUTO(rh_freep) uint8_t *text = NULL;
    uint64_t offset, size, first;

    if (rh_volume_read(d, v, head, sizeof head, area, err) < 0)
        return -1;
    if (memcmp(head + 4, " LVM2 x[5A%r0N*>", 16) ||
        rh_le32(head) != lvm_crc(head + 4, SECTOR - 4))
        return 0;
    offset = rh_le64(head + 40);
    size = rh_le64(head + 48);
    pv->crc = rh_le32(head + 56);
    pv->size = size;
    if (!size || size > TEXT_MAX || offset >= area_size || size > area_size ||
        same_text(all, pv) || size > TEXTS_MAX - all->texts)
        return 0;
    all->texts += size;
    text = rh_alloc_big((size_t)size + 1, err);
    if (!text)
        return -1;
    /* The area is a ring, behind its header. */
    first = RH_MIN(size, area_size - offset);
    if (rh_volume_read(d, v, text, (size_t)first, area + offset, err) < 0 ||
        (first < size &&
         rh_volume_read(d, v, text + first, (size_t)(size - first),
                        area + SECTOR, err) < 0))
        return -1;
    if (lvm_crc(text, (size_t)size) == pv->crc)
        pv->meta = rh_lvm_parse((const char *)text, (size_t)size);
    return 0;
}

/* Data areas, a zero pair, metadata areas: offset and size, 16 bytes each. */
static int read_areas(struct rh_disks *d, struct pvs *all, struct pv *pv,
                      const uint8_t *label, uint32_t header, rh_error **err)
{
    const uint8_t *p = label + header + 40, *end = label + SECTOR - 16;

    while (p <= end && !rh_all_zero(p, 16))
        p += 16;
    for (p += 16; p <= end && !rh_all_zero(p, 16) && !pv->meta; p += 16)
        if (read_text(d, all, pv, rh_le64(p), rh_le64(p + 8), err) < 0)
            return -1;
    return 0;
}

static int read_pv(struct rh_disks *d, struct pvs *all, struct pv *pv,
                   rh_error **err)
{
    uint8_t label[SECTOR];
    uint32_t header;

    for (uint64_t at = 0; at < 4 * SECTOR; at += SECTOR) {
        if (rh_volume_read(d, &pv->on, label, SECTOR, at, err) < 0)
            return -1;
        header = rh_le32(label + 20);
        if (memcmp(label, "LABELONE", 8) || memcmp(label + 24, "LVM2 001", 8) ||
            header < 32 || header > SECTOR - 72)
            continue;
        memcpy(pv->uuid, label + header, 32);
        pv->uuid[32] = '\0';
        return read_areas(d, all, pv, label, header, err);
    }
    return 0;
}

/* --- groups
 * -------------------------------------------------------------------------- */
struct group {
    const char *name;
    json_t *body;
    const struct pvs *pvs; /* by UUID */
    uint64_t extent;
};

static uint64_t number_of(const json_t *j, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(j, key));

    return n < 0 ? 0 : (uint64_t)n;
}

/* The UUID is the first member: a key compares with a physical volume. */
static int by_uuid(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* "pv0" of the group: the volume with that UUID, and where extents start. */
static const struct rh_volume *pv_named(const struct group *g, const char *name,
                                        uint64_t *ret_start)
{
    json_t *j =
        json_object_get(json_object_get(g->body, "physical_volumes"), name);
    const char *id = json_string_value(json_object_get(j, "id"));
    const struct pv *found;
    char plain[33];
    size_t n = 0;

    for (; id && *id && n < 32; id++)
        if (*id != '-')
            plain[n++] = *id;
    plain[n] = '\0';
    found = n ? bsearch(plain, g->pvs->items, g->pvs->count,
                        sizeof *g->pvs->items, by_uuid)
              : NULL;
    if (!found ||
        rh_mul_overflows(number_of(j, "pe_start"), (uint64_t)SECTOR, ret_start))
        return NULL;
    return &found->on;
}

struct mapped {
    RH_VEC(struct rh_span) spans;
};

static void mapped_free(struct mapped *m)
{
    free(m->spans.items);
}

/* A kernel may map what we do not: stripes, mirrors, thin pools. */
static bool is_linear(const json_t *segment)
{
    const char *type = json_string_value(json_object_get(segment, "type"));

    return type && (!strcmp(type, "striped") || !strcmp(type, "linear")) &&
           json_array_size(json_object_get(segment, "stripes")) == 2;
}

/* One linear segment as a span on a disk; false: it leads nowhere. */
static bool map_segment(const struct group *g, const json_t *segment,
                        uint64_t volume_start, struct rh_span *ret)
{
    json_t *stripes = json_object_get(segment, "stripes");
    const char *pv = json_string_value(json_array_get(stripes, 0));
    json_int_t first = json_integer_value(json_array_get(stripes, 1));
    uint64_t start, at, length, end;
    const struct rh_volume *v;

    if (!pv || first < 0)
        return false;
    v = pv_named(g, pv, &start);
    if (!v || v->span_count != 1 ||
        rh_mul_overflows((uint64_t)first, g->extent, &at) ||
        rh_add_overflows(at, start, &at) ||
        rh_mul_overflows(number_of(segment, "extent_count"), g->extent,
                         &length) ||
        at > v->size || length > v->size - at || !length ||
        rh_add_overflows(volume_start, length, &end))
        return false;
    *ret = (struct rh_span){v->disk, v->offset + at, length, volume_start};
    return true;
}

/* As many spans as there are segments, however many the text claims. */
static bool map_volume(const struct group *g, const json_t *lv,
                       struct rh_arena *a, struct rh_volume *ret)
{
    RH_AUTO(mapped_free) struct mapped m = {0};
    uint64_t n = number_of(lv, "segment_count"), extents = 0, start = 0;
    struct rh_span *spans;

    for (uint64_t i = 1; i <= n; i++) {
        char name[32];
        json_t *segment;
        struct rh_span span;

        snprintf(name, sizeof name, "segment%llu", (unsigned long long)i);
        segment = json_object_get(lv, name);
        ret->broken = !segment || number_of(segment, "start_extent") != extents;
        if (ret->broken || !is_linear(segment))
            return false;
        ret->broken = !map_segment(g, segment, start, &span);
        if (ret->broken)
            return false;
        *rh_vec_add(&m.spans) = span;
        start += span.length;
        extents += number_of(segment, "extent_count");
    }
    if (!m.spans.count)
        return false;
    spans = rh_arena_zalloc(a, m.spans.count * sizeof *spans);
    memcpy(spans, m.spans.items, m.spans.count * sizeof *spans);
    ret->spans = spans;
    ret->span_count = m.spans.count;
    return true;
}

static bool has_word(const json_t *array, const char *word)
{
    json_t *item;
    size_t i;

    json_array_foreach (array, i, item)
        if (json_is_string(item) && !strcmp(json_string_value(item), word))
            return true;
    return false;
}

/* device-mapper's name for it: both ids, without their dashes. */
static const char *dm_uuid(struct rh_arena *a, const json_t *group,
                           const json_t *lv)
{
    const char *ids[] = {json_string_value(json_object_get(group, "id")),
                         json_string_value(json_object_get(lv, "id"))};
    char plain[65];
    size_t n = 0;

    for (size_t i = 0; i < 2; i++)
        for (const char *p = ids[i]; p && *p && n < 64; p++)
            if (*p != '-')
                plain[n++] = *p;
    plain[n] = '\0';
    return n == 64 ? rh_arena_printf(a, "LVM-%s", plain) : NULL;
}

static int add_group(struct rh_disks *d, struct rh_volumes *v,
                     const struct group *g, rh_error **err)
{
    const char *name;
    json_t *lv;

    json_object_foreach (json_object_get(g->body, "logical_volumes"), name,
                         lv) {
        struct rh_volume one = {0};

        if (v->lvs == LVS_MAX)
            return 0;
        if (!has_word(json_object_get(lv, "status"), "VISIBLE"))
            continue;
        v->lvs++;
        one.vg = rh_arena_strdup(v->arena, g->name);
        one.lv = rh_arena_strdup(v->arena, name);
        one.device = rh_arena_printf(v->arena, "/dev/%s/%s", g->name, name);
        one.dm_uuid = dm_uuid(v->arena, g->body, lv);
        if (map_volume(g, lv, v->arena, &one)) {
            one.disk = one.spans[0].disk;
            one.offset = one.spans[0].offset;
            one.size = rh_volume_bytes(&one);
            if (rh_signature_read(d, &one, v->arena, err) < 0)
                return -1;
        }
        *rh_vec_add(&v->all) = one;
    }
    return 0;
}

/* The group of a text: there is one in each. */
static json_t *group_of(const struct pv *pv, const char **ret_name)
{
    const char *name;
    json_t *body;

    json_object_foreach (pv->meta, name, body)
        if (json_is_object(body) && json_object_get(body, "physical_volumes")) {
            *ret_name = name;
            return body;
        }
    return NULL;
}

/* Two disks from two systems may have groups of one name: the id tells. */
static bool is_same_group(const json_t *a, const json_t *b)
{
    const char *one = json_string_value(json_object_get(a, "id"));
    const char *two = json_string_value(json_object_get(b, "id"));

    return one && two ? !strcmp(one, two) : one == two;
}

/* Every PV that carries metadata has a copy of its group's: the newest counts.
 */
static bool is_newest(const struct pvs *all, const struct pv *pv,
                      const struct group *g)
{
    uint64_t seqno = number_of(g->body, "seqno");

    for (size_t i = 0; i < all->count; i++) {
        json_t *body = json_object_get(all->items[i].meta, g->name);
        uint64_t other = number_of(body, "seqno");

        if (body && is_same_group(body, g->body) &&
            (other > seqno || (other == seqno && &all->items[i] < pv)))
            return false;
    }
    return true;
}

static int add_groups(struct rh_disks *d, struct rh_volumes *v,
                      const struct pvs *all, rh_error **err)
{
    for (size_t i = 0; i < all->count; i++) {
        struct group g = {.pvs = all};

        g.body = group_of(&all->items[i], &g.name);
        if (!g.body || !is_newest(all, &all->items[i], &g) ||
            rh_mul_overflows(number_of(g.body, "extent_size"), (uint64_t)SECTOR,
                             &g.extent) ||
            !g.extent)
            continue;
        if (add_group(d, v, &g, err) < 0)
            return -1;
    }
    return 0;
}

static int read_pvs(struct rh_disks *d, const struct rh_volumes *v,
                    struct pvs *all, rh_error **err)
{
    for (size_t i = 0; i < v->all.count && all->count < PVS_MAX; i++) {
        const struct rh_volume *one = &v->all.items[i];

        if (!one->fstype || strcmp(one->fstype, "LVM2_member"))
            continue;
        all->items[all->count].on = *one;
        if (read_pv(d, all, &all->items[all->count++], err) < 0)
            return -1;
    }
    if (all->count)
        qsort(all->items, all->count, sizeof *all->items, by_uuid);
    return 0;
}

int rh_lvm_find(struct rh_disks *d, struct rh_volumes *v, rh_error **err)
{
    struct pvs all = {.items = rh_calloc(PVS_MAX, sizeof *all.items)};
    int r = read_pvs(d, v, &all, err);

    if (r == 0)
        r = add_groups(d, v, &all, err);
    for (size_t i = 0; i < all.count; i++)
        json_decref(all.items[i].meta);
    free(all.items);
    return r;
}
