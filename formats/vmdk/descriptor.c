/* descriptor.c - the text that says how a VMDK is laid out.
 *
 * Strict where a looser reading could differ from another program's: a line is
 * a comment, key=value, or an extent; keys count at the start of a line only
 * (qemu-img finds createType inside a comment).  Names are taken as bytes and
 * judged where they are opened. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "formats/vmdk/vmdk.h"

static const struct {
    const char *name;
    bool device; /* the data is on a device, not in a file */
} types[] = {
    {"monolithicSparse", false},
    {"monolithicFlat", false},
    {"twoGbMaxExtentSparse", false},
    {"twoGbMaxExtentFlat", false},
    {"2GbMaxExtentSparse", false}, /* the technote's spelling */
    {"2GbMaxExtentFlat", false},
    {"streamOptimized", false},
    {"vmfs", false},
    {"vmfsThin", false},
    {"vmfsPreallocated", false},
    {"vmfsEagerZeroedThick", false},
    {"vmfsThick", false},
    {"vmfsSparse", false},
    {"seSparse", false},
    {"vmfsSeSparse", false},
    {"custom", false},
    {"fullDevice", true},
    {"partitionedDevice", true},
    {"vmfsRDM", true},
    {"vmfsRDMP", true},
    {"vmfsRaw", true},
    {"vmfsRawDeviceMap", true},
    {"vmfsPassthroughRawDeviceMap", true},
};

static const struct {
    const char *name;
    enum vmdk_line_type type;
} line_types[] = {
    {"FLAT", VMDK_FLAT},         {"SPARSE", VMDK_SPARSE},
    {"ZERO", VMDK_ZERO},         {"VMFS", VMDK_VMFS},
    {"SESPARSE", VMDK_SESPARSE}, {"VMFSSPARSE", VMDK_VMFSSPARSE},
};

/* Sectors; larger ones would not fit into 63 bits of bytes. */
#define SECTORS_MAX (UINT64_C(1) << 53)

struct parser {
    struct vmdk_text *text;
    uint64_t start;    /* of the text in its file */
    uint64_t at;       /* of the line in the file */
    unsigned number;   /* of the line */
    bool version, cid; /* met */
    rh_error **err;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static char *skip(char *s)
{
    while (blank(*s))
        s++;
    return s;
}

/* Cut the blanks off the end. */
static char *trim(char *s)
{
    size_t n = strlen(s);

    while (n && blank(s[n - 1]))
        n--;
    s[n] = '\0';
    return skip(s);
}

static int bad(struct parser *p, const char *what, const char *text)
{
    return rh_fail(p->err, RH_ERR_VMDK_DESCRIPTOR, "%s: %.200s", _(what), text);
}

/* --- key = value --------------------------------------------------------- */

/* A value without its quotes. */
static char *unquote(char *value)
{
    size_t n = strlen(value);

    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value[n - 1] = '\0';
        value++;
    }
    return value;
}

static int set_version(struct parser *p, char *value)
{
    if (strcmp(value, "1") && strcmp(value, "2") && strcmp(value, "3"))
        return bad(p, N_("unknown version"), value);
    p->version = true;
    return 0;
}

static int set_type(struct parser *p, char *value)
{
    const char *before = p->text->create_type;

    for (size_t i = 0; i < RH_COUNT(types); i++) {
        if (strcasecmp(types[i].name, value) != 0)
            continue;
        if (types[i].device)
            return rh_fail(p->err, RH_ERR_VMDK_DEVICE,
                           "createType %s: the data is on a device, not in a "
                           "file",
                           value);
        if (before && before != types[i].name)
            return bad(p, N_("a second, different createType"), value);
        p->text->create_type = types[i].name;
        return 0;
    }
    return bad(p, N_("unknown createType"), value);
}

/* Xen Orchestra writes its CID in decimal: any number will do as long as
 * nothing is compared with it. */
static int parse_cid(struct parser *p, char *value, uint32_t *ret, bool *known)
{
    size_t n = strspn(value, "0123456789abcdefABCDEF");

    if (n == 0 || value[n] || n > 20)
        return bad(p, N_("no content id"), value);
    *known = n <= 8;
    if (*known)
        *ret = (uint32_t)strtoul(value, NULL, 16);
    return 0;
}

static int set_cid(struct parser *p, char *value)
{
    p->cid = true;
    return parse_cid(p, value, &p->text->cid, &p->text->cid_known);
}

static struct vmdk_spot spot(const struct parser *p)
{
    return (struct vmdk_spot){p->number, p->at};
}

static int set_parent_cid(struct parser *p, char *value)
{
    bool known = false;

    p->text->parent_cid_spot = spot(p);
    if (parse_cid(p, value, &p->text->parent_cid, &known) < 0)
        return -1;
    if (!known)
        return bad(p, N_("no content id"), value);
    p->text->has_parent |= p->text->parent_cid != VMDK_NO_PARENT;
    return 0;
}

static int set_once(struct parser *p, char **slot, char *value)
{
    if (*slot && strcmp(*slot, value) != 0)
        return bad(p, N_("said twice, differently"), value);
    free(*slot);
    *slot = rh_strdup(value);
    return 0;
}

static int set_parent_hint(struct parser *p, char *value)
{
    p->text->has_parent = true;
    p->text->parent_hint_spot = spot(p);
    return set_once(p, &p->text->parent_hint, value);
}

static int set_encoding(struct parser *p, char *value)
{
    return set_once(p, &p->text->encoding, value);
}

static int set_adapter(struct parser *p, char *value)
{
    free(p->text->adapter);
    p->text->adapter = rh_strdup(value);
    return 0;
}

static int set_sector(struct parser *p, char *value)
{
    if (!rh_parse_u64(value, &p->text->logical_sector))
        return bad(p, N_("no number"), value);
    return 0;
}

static int set_encryption(struct parser *p, char *value)
{
    (void)value;
    return rh_fail(p->err, RH_ERR_VMDK_ENCRYPTED, "the disk is encrypted");
}

static const struct {
    const char *key;
    int (*set)(struct parser *p, char *value);
} keys[] = {
    {"version", set_version},
    {"createType", set_type},
    {"CID", set_cid},
    {"parentCID", set_parent_cid},
    {"parentFileNameHint", set_parent_hint},
    {"encoding", set_encoding},
    {"encryptionKeys", set_encryption},
    {"ddb.adapterType", set_adapter},
    {"ddb.logicalSectorSize", set_sector},
};

static int parse_pair(struct parser *p, char *line, char *equals)
{
    char *value = unquote(trim(equals + 1));
    char *key;

    *equals = '\0';
    key = trim(line);
    if (!*key || key[strspn(key, "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-")])
        return bad(p, N_("neither key=value nor an extent"), key);
    for (size_t i = 0; i < RH_COUNT(keys); i++)
        if (strcasecmp(key, keys[i].key) == 0)
            return keys[i].set(p, value);
    return 0; /* says nothing about the content */
}

/* --- extents ------------------------------------------------------------- */

/* The next word, ended by a NUL; *s moves behind it. */
static char *word(char **s)
{
    char *start = skip(*s), *end = start;

    while (*end && !blank(*end))
        end++;
    *s = end + (*end != '\0');
    *end = '\0';
    return start;
}

static bool parse_sectors(const char *text, uint64_t *ret_bytes)
{
    uint64_t n;

    if (!rh_parse_u64(text, &n) || n >= SECTORS_MAX)
        return false;
    *ret_bytes = n * VMDK_SECTOR;
    return true;
}

static int line_type(struct parser *p, const char *name,
                     enum vmdk_line_type *ret)
{
    for (size_t i = 0; i < RH_COUNT(line_types); i++)
        if (strcasecmp(line_types[i].name, name) == 0) {
            *ret = line_types[i].type;
            return 0;
        }
    if (strcasecmp(name, "VMFSRDM") == 0 || strcasecmp(name, "VMFSRAW") == 0)
        return rh_fail(p->err, RH_ERR_VMDK_DEVICE,
                       "extent type %s: the data is on a device, not in a file",
                       name);
    return bad(p, N_("unknown extent type"), name);
}

/* "NAME" [OFFSET [PARTITION-UUID [DEVICE-ID]]] */
static int parse_name(struct parser *p, char *s, struct vmdk_line *line)
{
    char *end, *offset;

    s = skip(s);
    end = *s == '"' ? strchr(s + 1, '"') : NULL;
    if (!end)
        return bad(p, N_("the extent's name is not in quotes"), s);
    *end = '\0';
    if (end == s + 1)
        return bad(p, N_("the extent has no name"), "\"\"");
    line->name = rh_strdup(s + 1);
    s = end + 1;
    offset = word(&s);
    if (*offset && !parse_sectors(offset, &line->offset))
        return bad(p,
                   N_("the extent's offset is no number of sectors below "
                      "2^53"),
                   offset);
    if (strlen(s) > 256)
        return bad(p, N_("too much behind the extent"), s);
    return 0;
}

static int parse_extent(struct parser *p, char *access, char *s)
{
    struct vmdk_text *t = p->text;
    char *size = word(&s), *type = word(&s);
    struct vmdk_line *line;

    if (strcasecmp(access, "NOACCESS") == 0)
        return bad(p, N_("an extent that may not be accessed"), access);
    if (t->lines.count == RH_LIMIT_EXTENTS)
        return rh_fail(p->err, RH_ERR_VMDK_DESCRIPTOR, "more than %d extents",
                       RH_LIMIT_EXTENTS);
    line = rh_vec_add(&t->lines);
    line->number = p->number;
    line->at = p->at;
    if (!parse_sectors(size, &line->size) || line->size == 0)
        return bad(p,
                   N_("the extent's size is no number of sectors from 1 to "
                      "2^53"),
                   size);
    if (rh_add_overflows(t->size, line->size, &t->size) || t->size >> 62)
        return bad(p, N_("the extents' sizes add up to an impossible disk"),
                   size);
    if (line_type(p, type, &line->type) < 0)
        return -1;
    if (line->type == VMDK_ZERO)
        return *skip(s) ? bad(p, N_("a ZERO extent with a name"), s) : 0;
    return parse_name(p, s, line);
}

static bool is_access(const char *w)
{
    return !strcasecmp(w, "RW") || !strcasecmp(w, "RDONLY") ||
           !strcasecmp(w, "NOACCESS");
}

static int parse_line(struct parser *p, char *line)
{
    char *s = trim(line), *equals = strchr(s, '='), *rest, *first;
    size_t n = strcspn(s, " \t");
    char access[16] = "";

    if (!*s || *s == '#')
        return 0;
    if (n < sizeof access)
        memcpy(access, s, n);
    if (is_access(access)) {
        rest = s;
        first = word(&rest);
        return parse_extent(p, first, rest);
    }
    if (!equals)
        return bad(p, N_("neither key=value nor an extent"), s);
    return parse_pair(p, s, equals);
}

/* --- the whole ----------------------------------------------------------- */

static int check_whole(struct parser *p)
{
    const char *missing = !p->text->create_type ? "createType"
                          : !p->cid             ? "CID"
                          : !p->version         ? "version"
                                                : NULL;

    if (missing)
        return rh_fail(p->err, RH_ERR_VMDK_DESCRIPTOR,
                       "the descriptor at 0x%llx does not say its %s",
                       VMDK_X(p->start), missing);
    if (p->text->lines.count == 0)
        return rh_fail(p->err, RH_ERR_VMDK_DESCRIPTOR,
                       "the descriptor at 0x%llx names no extent",
                       VMDK_X(p->start));
    return 0;
}

static int parse_all(struct parser *p, char *copy)
{
    for (char *line = copy, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        p->number++;
        p->at = p->start + (uint64_t)(line - copy);
        if (parse_line(p, line) < 0)
            return rh_vmdk_in_line(p->number, p->at, p->err);
    }
    return check_whole(p);
}

int rh_vmdk_in_line(unsigned number, uint64_t at, rh_error **err)
{
    return rh_error_context(err, "descriptor line %u (at 0x%llx)", number,
                            VMDK_X(at));
}

int rh_vmdk_in_parent_line(const struct vmdk_text *t, rh_error **err)
{
    const struct vmdk_spot *s =
        t->parent_hint ? &t->parent_hint_spot : &t->parent_cid_spot;

    return rh_vmdk_in_line(s->number, s->at, err);
}

int rh_vmdk_text_parse(const char *text, size_t n, uint64_t start,
                       struct vmdk_text *ret, rh_error **err)
{
    struct vmdk_text t = {.parent_cid = VMDK_NO_PARENT};
    struct parser p = {.text = &t, .start = start, .err = err};
    size_t mark = n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    RH_AUTO(rh_freep)
    char *copy = rh_memdup0(text + mark, strnlen(text + mark, n - mark));

    p.start += mark; /* an editor's: UTF-8 */
    if (parse_all(&p, copy) < 0) {
        rh_vmdk_text_free(&t);
        return -1;
    }
    *ret = t;
    return 0;
}

void rh_vmdk_text_free(struct vmdk_text *t)
{
    for (size_t i = 0; i < t->lines.count; i++)
        free(t->lines.items[i].name);
    free(t->lines.items);
    free(t->parent_hint);
    free(t->adapter);
    free(t->encoding);
    *t = (struct vmdk_text){0};
}

bool rh_vmdk_text_probe(const uint8_t *head, size_t n)
{
    static const char title[] = "# Disk DescriptorFile";
    size_t i = 0;

    if (n >= 3 && !memcmp(head, "\xef\xbb\xbf", 3)) {
        head += 3;
        n -= 3;
    }
    if (n >= sizeof title - 1 &&
        !strncasecmp((const char *)head, title, sizeof title - 1))
        return true;
    while (i < n) {
        while (i < n && (head[i] == '\n' || blank((char)head[i])))
            i++;
        if (i < n && head[i] == '#')
            while (i < n && head[i] != '\n')
                i++;
        else
            break;
    }
    if (n - i < 8 || strncasecmp((const char *)head + i, "version", 7) != 0)
        return false;
    for (i += 7; i < n && blank((char)head[i]); i++)
        ;
    return i < n && head[i] == '=';
}
