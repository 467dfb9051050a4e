/* inventory.c - the VMs of a platform that runs, as a document or a table. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "convert/options.h"
#include "live/live.h"
#include "rehost/rehost.h"
#include "report/width.h"
#include "vm/vm.h"

struct inventory {
    json_t *vms;
};

static json_t *texts(const char *const *list)
{
    json_t *array = json_array();

    for (size_t i = 0; list && list[i]; i++)
        json_array_append_new(array, rh_json_text(list[i]));
    return array;
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)RH_MIN(n, (uint64_t)INT64_MAX));
}

static int take_row(void *user, const struct rh_live_row *row, rh_error **err)
{
    struct inventory *v = user;
    json_t *vm = json_object();

    (void)err;
    json_object_set_new(vm, "name", rh_json_text(row->name));
    json_object_set_new(vm, "path", rh_json_text(row->path));
    json_object_set_new(vm, "moref", rh_json_text(row->id));
    json_object_set_new(vm, "uuid", rh_json_text(row->uuid));
    json_object_set_new(vm, "power", rh_json_text(row->power));
    json_object_set_new(vm, "cpus", number(row->cpus));
    json_object_set_new(vm, "memory_bytes", number(row->memory_bytes));
    json_object_set_new(vm, "disk_bytes", number(row->disk_bytes));
    json_object_set_new(vm, "guest", rh_json_text(row->guest));
    json_object_set_new(vm, "networks", texts(row->networks));
    json_object_set_new(vm, "snapshots", number(row->snapshots));
    json_array_append_new(v->vms, vm);
    return 0;
}

/* --- in the order of the paths
 * ------------------------------------------------ */

static const char *word(const json_t *vm, const char *key)
{
    const char *text = json_string_value(json_object_get(vm, key));

    return text ? text : "";
}

static int by_path(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    int order = strcmp(word(x, "path"), word(y, "path"));

    return order ? order : strcmp(word(x, "moref"), word(y, "moref"));
}

static json_t *sorted(json_t *vms)
{
    size_t count = json_array_size(vms), i;
    RH_AUTO(rh_freep) json_t **list = rh_calloc(count + 1, sizeof *list);
    json_t *array = json_array(), *vm;

    json_array_foreach (vms, i, vm)
        list[i] = vm;
    qsort(list, count, sizeof *list, by_path);
    for (i = 0; i < count; i++)
        json_array_append(array, list[i]);
    json_decref(vms);
    return array;
}

/* --- as a table
 * --------------------------------------------------------------- */

enum { COLUMNS = 7, GAP = 2, PATH_MOST = 60, CELL_MOST = 32 };

static char *size_cell(const json_t *vm, const char *key)
{
    return rh_human_size(
        (uint64_t)json_integer_value(json_object_get(vm, key)));
}

static char *count_cell(const json_t *vm, const char *key)
{
    return rh_printf("%lld",
                     (long long)json_integer_value(json_object_get(vm, key)));
}

static char *text_cell(const char *text, size_t most)
{
    RH_AUTO(rh_freep) char *safe = rh_printable(text);

    return rh_clip(safe, most);
}

static void cells_of(const json_t *vm, char *ret[COLUMNS])
{
    ret[0] = text_cell(word(vm, "path"), PATH_MOST);
    ret[1] = text_cell(word(vm, "power"), CELL_MOST);
    ret[2] = count_cell(vm, "cpus");
    ret[3] = size_cell(vm, "memory_bytes");
    ret[4] = size_cell(vm, "disk_bytes");
    ret[5] = count_cell(vm, "snapshots");
    ret[6] = text_cell(word(vm, "guest"), CELL_MOST);
}

static void put_line(struct rh_buf *b, char *cells[COLUMNS],
                     const size_t widths[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if (i + 1 < COLUMNS)
            rh_pad(b, cells[i], widths[i] + GAP);
        else
            rh_buf_puts(b, cells[i]);
        free(cells[i]);
    }
    while (b->length && b->data[b->length - 1] == ' ')
        b->data[--b->length] = '\0';
    rh_buf_putc(b, '\n');
}

static void heads(char *ret[COLUMNS])
{
    const char *const words[COLUMNS] = {_("VM"),     _("POWER"), _("CPUS"),
                                        _("MEMORY"), _("DISKS"), _("SNAPSHOTS"),
                                        _("GUEST")};

    for (size_t i = 0; i < COLUMNS; i++)
        ret[i] = rh_strdup(words[i]);
}

static void widen(size_t widths[COLUMNS], char *cells[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        widths[i] = RH_MAX(widths[i], rh_columns(cells[i]));
        free(cells[i]);
    }
}

static char *table(const json_t *vms)
{
    struct rh_buf b = {0};
    size_t widths[COLUMNS] = {0}, i;
    char *cells[COLUMNS];
    json_t *vm;

    heads(cells);
    widen(widths, cells);
    json_array_foreach (vms, i, vm) {
        cells_of(vm, cells);
        widen(widths, cells);
    }
    heads(cells);
    put_line(&b, cells, widths);
    json_array_foreach (vms, i, vm) {
        cells_of(vm, cells);
        put_line(&b, cells, widths);
    }
    return rh_buf_take(&b);
}

/* --- the call
 * ----------------------------------------------------------------- */

static char *render(const json_t *vms, const char *as, rh_error **err)
{
    json_t *doc;
    char *text;

    if (!strcmp(as, "text"))
        return table(vms);
    if (strcmp(as, "json")) {
        rh_fail(err, RH_ERR_USAGE, "an inventory is not rendered as \"%s\"",
                as);
        return NULL;
    }
    doc = json_pack("{s:s, s:O}", "schema", "rehost.inventory/1", "vms", vms);
    text = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    return text;
}

char *rh_inventory(rh_lib *lib, const char *source, const rh_options *options,
                   const char *as, rh_error **err)
{
    struct inventory v = {0};
    char *text = NULL;
    int got;

    if (!rh_live_is(source))
        return NULL;
    v.vms = json_array();
    got = rh_live_inventory(lib, source, options, take_row, &v, err);
    if (got == 0) {
        v.vms = sorted(v.vms);
        text = render(v.vms, as, err);
    } else if (got < 0) {
        rh_error_subject(err, source);
    }
    json_decref(v.vms);
    return text;
}
