/* xlsx.c - rows of a workbook: ECMA-376 part 1, 12.3 (parts) and 18
 * (SpreadsheetML).  A workbook is a zip; its parts are read as streams, one
 * pass for each, and only the shared strings are kept.  A DOCTYPE is refused
 * before anything of it can be expanded. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <libxml/xmlreader.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "descriptors/rvtools/tables.h"

enum { SHEETS = 256, PART_NAME = 256 };

struct sheet {
    char *name, *id, *part; /* part NULL: not known (yet) */
};
struct rh_xlsx {
    rh_lib *lib;
    const char *bytes;
    size_t n;
    struct rh_arena *arena; /* the shared strings */
    RH_VEC(const char *) strings;
    uint64_t text; /* bytes of them */
    struct sheet sheets[SHEETS];
    size_t sheet_count;
};

/* --- a part of the zip ------------------------------------------------------
 */

struct part {
    rh_lib *lib;
    const char *name;
    struct archive *archive;
    uint64_t passed;
    rh_error *error; /* why reading it ended */
};

static void part_free(struct part *p)
{
    if (p->archive)
        archive_read_free(p->archive);
    rh_error_free(p->error);
}

static int zip_failed(struct archive *a, rh_error **err)
{
    const char *why = a ? archive_error_string(a) : NULL;
    RH_AUTO(rh_freep) char *safe = rh_printable(why ? why : "damaged");

    return rh_fail(err, RH_ERR_RVTOOLS_FORMAT, "the workbook does not read: %s",
                   safe);
}

/* *ret_there is false when the workbook has no such part. */
static int part_open(const struct rh_xlsx *x, const char *name,
                     struct part *ret, bool *ret_there, rh_error **err)
{
    struct archive_entry *entry;
    int got;

    *ret_there = false;
    ret->lib = x->lib;
    ret->name = name;
    ret->archive = archive_read_new();
    if (!ret->archive)
        return rh_fail(err, RH_ERR_MEMORY, "no memory for an archive's reader");
    archive_read_support_format_zip_seekable(ret->archive);
    if (archive_read_open_memory(ret->archive, x->bytes, x->n) < ARCHIVE_WARN)
        return zip_failed(ret->archive, err);
    for (unsigned i = 0; i < RH_LIMIT_MEMBERS; i++) {
        const char *path;

        got = archive_read_next_header(ret->archive, &entry);
        if (got == ARCHIVE_EOF)
            return 0;
        if (got < ARCHIVE_WARN)
            return zip_failed(ret->archive, err);
        path = archive_entry_pathname(entry);
        if (path && !strcmp(path, name)) {
            *ret_there = true;
            return 0;
        }
    }
    return rh_fail(err, RH_ERR_RVTOOLS_LIMIT, "more than %d parts",
                   RH_LIMIT_MEMBERS);
}

static int part_read(void *user, char *buf, int n)
{
    struct part *p = user;
    la_ssize_t got;

    if (n <= 0 || p->error || rh_go_on(p->lib, &p->error) < 0)
        return -1;
    got = archive_read_data(p->archive, buf, (size_t)n);
    if (got < 0) {
        zip_failed(p->archive, &p->error);
        return -1;
    }
    p->passed += (uint64_t)got;
    if (p->passed > RH_TABLE_UNPACKED_MIB * RH_MIB) {
        rh_fail(&p->error, RH_ERR_RVTOOLS_LIMIT,
                "the part \"%s\" unpacks to more than %d MiB", p->name,
                RH_TABLE_UNPACKED_MIB);
        return -1;
    }
    return (int)got;
}

/* --- its XML ----------------------------------------------------------------
 */

static void reader_freep(xmlTextReader **r)
{
    if (*r)
        xmlFreeTextReader(*r);
}

/* What is wrong is told by who asked; a library prints nothing. */
static void keep_quiet(void *user, const char *message,
                       xmlParserSeverities severity,
                       xmlTextReaderLocatorPtr where)
{
    (void)user, (void)message, (void)severity, (void)where;
}

static xmlTextReader *reader_new(struct part *p, rh_error **err)
{
    xmlTextReader *r =
        xmlReaderForIO(part_read, NULL, p, NULL, NULL,
                       XML_PARSE_NONET | XML_PARSE_NOERROR |
                           XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);

    if (r)
        xmlTextReaderSetErrorHandler(r, keep_quiet, NULL);
    else
        rh_fail(err, RH_ERR_MEMORY, "no memory for an XML reader");
    return r;
}

/* 1 while there is more, 0 at the end. */
static int next_node(xmlTextReader *r, struct part *p, rh_error **err)
{
    int got = xmlTextReaderRead(r);

    if (p->error) {
        if (err && !*err)
            *err = RH_TAKE(p->error);
        return -1;
    }
    if (got < 0)
        return rh_fail(err, RH_ERR_RVTOOLS_FORMAT,
                       "line %d of the part \"%s\" is no XML",
                       xmlTextReaderGetParserLineNumber(r), p->name);
    if (got && (xmlTextReaderNodeType(r) == XML_READER_TYPE_DOCUMENT_TYPE ||
                xmlTextReaderNodeType(r) == XML_READER_TYPE_ENTITY_REFERENCE))
        return rh_fail(err, RH_ERR_RVTOOLS_FORMAT,
                       "the part \"%s\" has a DOCTYPE; no workbook needs one",
                       p->name);
    return got;
}

static const char *local_of(xmlTextReader *r)
{
    const xmlChar *name = xmlTextReaderConstLocalName(r);

    return name ? (const char *)name : "";
}

static bool is_start(xmlTextReader *r)
{
    return xmlTextReaderNodeType(r) == XML_READER_TYPE_ELEMENT;
}

static bool is_end(xmlTextReader *r)
{
    return xmlTextReaderNodeType(r) == XML_READER_TYPE_END_ELEMENT;
}

/* An attribute by its local name, "" when absent, into `buf`. */
static const char *attribute(xmlTextReader *r, const char *name, char *buf,
                             size_t size)
{
    buf[0] = '\0';
    while (xmlTextReaderMoveToNextAttribute(r) == 1) {
        const xmlChar *value = xmlTextReaderConstValue(r);

        if (strcmp(local_of(r), name) || !value)
            continue;
        strncpy(buf, (const char *)value, size - 1);
        buf[size - 1] = '\0';
        break;
    }
    xmlTextReaderMoveToElement(r);
    return buf;
}

/* Text below <t> and <v>; how they sound in Japanese (<rPh>) is none. */
struct text {
    struct rh_buf b;
    bool in_value, in_sound;
};

static int follow_text(struct text *t, xmlTextReader *r, rh_error **err)
{
    const char *name = local_of(r);
    int type = xmlTextReaderNodeType(r);
    bool starts = is_start(r) && !xmlTextReaderIsEmptyElement(r);

    if (starts || is_end(r)) {
        if (!strcmp(name, "rPh"))
            t->in_sound = starts;
        else if (!strcmp(name, "t") || !strcmp(name, "v"))
            t->in_value = starts;
        return 0;
    }
    if (!t->in_value || t->in_sound ||
        (type != XML_READER_TYPE_TEXT &&
         type != XML_READER_TYPE_SIGNIFICANT_WHITESPACE &&
         type != XML_READER_TYPE_WHITESPACE && type != XML_READER_TYPE_CDATA))
        return 0;
    name = (const char *)xmlTextReaderConstValue(r);
    rh_buf_puts(&t->b, name ? name : "");
    return t->b.length <= RH_TABLE_CELL
               ? 0
               : rh_fail(err, RH_ERR_RVTOOLS_LIMIT,
                         "a cell has more than %d bytes", RH_TABLE_CELL);
}

static void clear_text(struct text *t)
{
    t->b.length = 0;
    if (t->b.data)
        t->b.data[0] = '\0';
    t->in_value = t->in_sound = false;
}

/* --- which sheets there are --------------------------------------------------
 */

static void note_sheet(struct rh_xlsx *x, xmlTextReader *r)
{
    char name[PART_NAME], id[PART_NAME];

    if (!is_start(r) || strcmp(local_of(r), "sheet") ||
        x->sheet_count == SHEETS)
        return;
    attribute(r, "name", name, sizeof name);
    attribute(r, "id", id, sizeof id);
    x->sheets[x->sheet_count++] =
        (struct sheet){.name = rh_strdup(name), .id = rh_strdup(id)};
}

static void note_target(struct rh_xlsx *x, xmlTextReader *r)
{
    char id[PART_NAME], target[PART_NAME];

    if (!is_start(r) || strcmp(local_of(r), "Relationship"))
        return;
    attribute(r, "Id", id, sizeof id);
    attribute(r, "Target", target, sizeof target);
    for (size_t i = 0; target[0] && i < x->sheet_count; i++)
        if (!x->sheets[i].part && !strcmp(x->sheets[i].id, id))
            x->sheets[i].part = target[0] == '/' ? rh_strdup(target + 1)
                                                 : rh_printf("xl/%s", target);
}

static int each_node(struct rh_xlsx *x, const char *name,
                     void (*note)(struct rh_xlsx *x, xmlTextReader *r),
                     rh_error **err)
{
    RH_AUTO(part_free) struct part p = {0};
    RH_AUTO(reader_freep) xmlTextReader *r = NULL;
    bool there;
    int got;

    if (part_open(x, name, &p, &there, err) < 0)
        return -1;
    if (!there)
        return rh_fail(err, RH_ERR_RVTOOLS_FORMAT,
                       "the workbook has no part \"%s\"", name);
    r = reader_new(&p, err);
    if (!r)
        return -1;
    while ((got = next_node(r, &p, err)) > 0)
        note(x, r);
    return got;
}

/* --- shared strings
 * ----------------------------------------------------------- */

static int add_string(struct rh_xlsx *x, const struct text *t, rh_error **err)
{
    x->text += t->b.length;
    if (x->strings.count == RH_TABLE_STRINGS ||
        x->text > RH_TABLE_TEXT_MIB * RH_MIB)
        return rh_fail(err, RH_ERR_RVTOOLS_LIMIT,
                       "more than %d strings, or %d MiB of them",
                       RH_TABLE_STRINGS, RH_TABLE_TEXT_MIB);
    *rh_vec_add(&x->strings) =
        t->b.length ? rh_arena_strdup(x->arena, t->b.data) : "";
    return 0;
}

static int read_strings(struct rh_xlsx *x, rh_error **err)
{
    RH_AUTO(part_free) struct part p = {0};
    RH_AUTO(reader_freep) xmlTextReader *r = NULL;
    struct text t = {0};
    bool there;
    int got = part_open(x, "xl/sharedStrings.xml", &p, &there, err);

    if (got < 0 || !there)
        return got;
    r = reader_new(&p, err);
    if (!r)
        return -1;
    while ((got = next_node(r, &p, err)) > 0) {
        bool si = !strcmp(local_of(r), "si");

        if (si && is_start(r))
            clear_text(&t);
        if (si && (is_end(r) || (is_start(r) && xmlTextReaderIsEmptyElement(r)))
                ? add_string(x, &t, err) < 0
                : follow_text(&t, r, err) < 0) {
            got = -1;
            break;
        }
    }
    rh_buf_free(&t.b);
    return got;
}

/* --- a sheet's rows
 * ------------------------------------------------------------ */

struct walk {
    struct rh_xlsx *x;
    rh_table_row *row;
    void *user;
    struct text t;
    char type[16];
    size_t rows, column, count;      /* column: of the cell that is read */
    size_t starts[RH_TABLE_COLUMNS]; /* in `held` */
    bool there[RH_TABLE_COLUMNS];
    const char *cells[RH_TABLE_COLUMNS]; /* shared ones, or NULL: held */
    struct rh_buf held;                  /* of the row */
};

/* "AB12" is column 27; what says nothing stands behind the last one. */
static size_t column_of(const char *reference, size_t next)
{
    size_t column = 0;

    if (!isupper((unsigned char)*reference))
        return next;
    for (; isupper((unsigned char)*reference); reference++)
        if (column < 100000)
            column = column * 26 + (size_t)(*reference - 'A') + 1;
    return column - 1;
}

static void start_cell(struct walk *w, xmlTextReader *r)
{
    char reference[24];

    attribute(r, "r", reference, sizeof reference);
    attribute(r, "t", w->type, sizeof w->type);
    w->column = column_of(reference, w->column);
    clear_text(&w->t);
}

static void end_cell(struct walk *w)
{
    size_t at = w->column++;
    const char *text = w->t.b.length ? w->t.b.data : "";
    uint64_t n;

    if (at >= RH_TABLE_COLUMNS || !*text || w->there[at])
        return;
    w->there[at] = true;
    w->count = RH_MAX(w->count, at + 1);
    if (!strcmp(w->type, "s")) {
        w->cells[at] = rh_parse_u64(text, &n) && n < w->x->strings.count
                           ? w->x->strings.items[n]
                           : "";
        return;
    }
    w->starts[at] = w->held.length;
    rh_buf_add(&w->held, text, strlen(text) + 1);
}

static int end_row(struct walk *w, rh_error **err)
{
    if (++w->rows > RH_TABLE_ROWS)
        return rh_fail(err, RH_ERR_RVTOOLS_LIMIT, "more than %d rows",
                       RH_TABLE_ROWS);
    for (size_t i = 0; i < w->count; i++)
        if (!w->there[i])
            w->cells[i] = "";
        else if (!w->cells[i])
            w->cells[i] = w->held.data + w->starts[i];
    if (w->row(w->user, w->cells, w->count, err) < 0)
        return -1;
    for (size_t i = 0; i < w->count; i++) {
        w->there[i] = false;
        w->cells[i] = NULL;
    }
    w->count = w->column = w->held.length = 0;
    return 0;
}

static int walk_node(struct walk *w, xmlTextReader *r, rh_error **err)
{
    bool empty = is_start(r) && xmlTextReaderIsEmptyElement(r);
    const char *name = local_of(r);

    if (!strcmp(name, "c") && (is_start(r) || is_end(r))) {
        if (is_start(r))
            start_cell(w, r);
        if (empty || is_end(r))
            end_cell(w);
        return 0;
    }
    if (!strcmp(name, "row") && (empty || is_end(r)))
        return end_row(w, err);
    if (!strcmp(name, "f")) { /* a formula's text is no value */
        w->t.in_value = false;
        return 0;
    }
    return follow_text(&w->t, r, err);
}

static int walk_sheet(struct rh_xlsx *x, const char *name, struct walk *w,
                      bool *ret_there, rh_error **err)
{
    RH_AUTO(part_free) struct part p = {0};
    RH_AUTO(reader_freep) xmlTextReader *r = NULL;
    int got = part_open(x, name, &p, ret_there, err);

    if (got < 0 || !*ret_there)
        return got;
    r = reader_new(&p, err);
    if (!r)
        return -1;
    while ((got = next_node(r, &p, err)) > 0)
        if (walk_node(w, r, err) < 0)
            return -1;
    return got;
}

static bool is_tab(const char *sheet, const char *tab)
{
    if (!strncasecmp(sheet, "RVTools_", 8))
        sheet += 8;
    if (!strncasecmp(sheet, "tab", 3))
        sheet += 3;
    return rh_same_word(sheet, tab);
}

int rh_xlsx_rows(struct rh_xlsx *x, const char *tab, rh_table_row *row,
                 void *user, bool *ret_there, rh_error **err)
{
    struct walk *w;
    size_t i = 0;
    int got;

    *ret_there = false;
    while (i < x->sheet_count &&
           (!x->sheets[i].part || !is_tab(x->sheets[i].name, tab)))
        i++;
    if (i == x->sheet_count)
        return 0;
    w = rh_new0(struct walk);
    w->x = x;
    w->row = row;
    w->user = user;
    got = walk_sheet(x, x->sheets[i].part, w, ret_there, err);
    rh_buf_free(&w->held);
    rh_buf_free(&w->t.b);
    free(w);
    return got;
}

/* --- the workbook
 * ---------------------------------------------------------------- */

struct rh_xlsx *rh_xlsx_open(rh_lib *lib, const char *bytes, size_t n,
                             rh_error **err)
{
    RH_AUTO(rh_xlsx_freep) struct rh_xlsx *x = rh_new0(struct rh_xlsx);

    x->lib = lib;
    x->bytes = bytes;
    x->n = n;
    x->arena = rh_arena_new();
    if (each_node(x, "xl/workbook.xml", note_sheet, err) < 0 ||
        each_node(x, "xl/_rels/workbook.xml.rels", note_target, err) < 0 ||
        read_strings(x, err) < 0)
        return NULL;
    return RH_TAKE(x);
}

void rh_xlsx_free(struct rh_xlsx *x)
{
    for (size_t i = 0; i < x->sheet_count; i++) {
        free(x->sheets[i].name);
        free(x->sheets[i].id);
        free(x->sheets[i].part);
    }
    free(x->strings.items);
    rh_arena_free(x->arena);
    free(x);
}
