/* init.c - write a job file to start from: of what lies in folders, or of what
 * a report said, sorted into waves: first what is ready. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <jansson.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>
#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/limits.h"
#include "base/names.h"
#include "base/text.h"
#include "convert/fleet.h"
#include "convert/options.h"
#include "rehost/rehost.h"

enum { WAVES = 3 }; /* ready, some care, much by hand; behind them: blocked */

struct row {
    const char *source;
    unsigned wave;    /* WAVES + 1: not to be run as it is */
    bool listed;      /* known from an inventory alone, which says no address */
    const char *name; /* of a VM that an inventory lists; or NULL */
    struct rh_buf why;
};
struct rows {
    RH_VEC(struct row) list;
    struct rh_arena *arena; /* of sources that are made up */
    struct rh_name_map names;
    struct rh_name_map networks; /* of the VMs, for the map */
};

/* A JSON text is a YAML text. */
static void put_quoted(struct rh_buf *t, const char *text)
{
    json_t *j = json_string(text);
    RH_AUTO(rh_freep) char *quoted = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;

    rh_buf_puts(t, quoted ? quoted : "\"\"");
    json_decref(j);
}

/* One line of comment. */
static void put_words(struct rh_buf *t, const char *text)
{
    RH_AUTO(rh_freep) char *safe = rh_printable(text);

    rh_buf_puts(t, safe);
}

/* How a live source was asked: the batch asks it in the same way. */
static void put_source_options(struct rh_buf *t, const rh_options *o)
{
    static const char *const paths[] = {"login", "source-tls-ca", "tls-ca"};
    static const char *const lists[] = {"source-pin", "pin"};
    const char *value;

    for (size_t i = 0; i < RH_COUNT(paths); i++)
        if ((value = rh_option(o, paths[i]))) {
            RH_AUTO(rh_freep) char *whole = realpath(value, NULL);

            rh_buf_printf(t, "  %s: ", paths[i]);
            put_quoted(t, whole ? whole : value);
            rh_buf_puts(t, "\n");
        }
    for (size_t i = 0; i < RH_COUNT(lists); i++) {
        for (size_t n = 0; (value = rh_option_at(o, lists[i], n)); n++) {
            if (n)
                rh_buf_puts(t, ", ");
            else
                rh_buf_printf(t, "  %s: [", lists[i]);
            put_quoted(t, value);
        }
        if (rh_option(o, lists[i]))
            rh_buf_puts(t, "]\n");
    }
}

static void put_head(struct rh_buf *t, const rh_options *o)
{
    const char *out = rh_option(o, "out"), *to;
    size_t n = 0;

    rh_buf_puts(t, "schema: rehost.jobs/1\nout: ");
    put_quoted(t, out ? out : "import");
    rh_buf_puts(t, "\njobs: 2\ndefaults:\n  to: [");
    for (; (to = rh_option_at(o, "to", n)); n++) {
        rh_buf_puts(t, n ? ", " : "");
        put_quoted(t, to);
    }
    rh_buf_printf(t, "%s]\n", n ? "" : rh_default_target());
    put_source_options(t, o);
}

/* --- from a report
 * ----------------------------------------------------------- */

static const char *word(const json_t *doc, const char *key)
{
    const char *text = json_string_value(json_object_get(doc, key));

    return text ? text : "";
}

static struct row *row_of(struct rows *rows, const char *source)
{
    size_t i = rh_name_map_find(&rows->names, source);
    struct row *r;

    if (rows->names.count && i != SIZE_MAX)
        return &rows->list.items[i];
    rh_name_map_add(&rows->names, source, rows->list.count);
    r = rh_vec_add(&rows->list);
    r->source = source;
    r->wave = 1;
    return r;
}

static unsigned wave_of(const json_t *target)
{
    if (!strcmp(word(target, "verdict"), "blocked"))
        return WAVES + 1;
    if (!strcmp(word(target, "effort"), "manual"))
        return 3;
    return !strcmp(word(target, "verdict"), "ready") ? 1 : 2;
}

/* What a person must look at. */
static void note_findings(struct row *r, const json_t *target)
{
    const json_t *list = json_object_get(target, "findings"), *f;
    size_t i;

    json_array_foreach (list, i, f) {
        if (!strcmp(word(f, "severity"), "info") ||
            (!strcmp(word(f, "severity"), "caution") &&
             json_is_true(json_object_get(f, "automatic"))))
            continue;
        rh_buf_printf(&r->why, "    # %s: ", word(target, "target"));
        put_words(&r->why, word(f, "message"));
        rh_buf_puts(&r->why, "\n");
    }
}

static bool is_asked(const rh_options *o, const char *target)
{
    const char *to;

    for (size_t i = 0; (to = rh_option_at(o, "to", i)); i++)
        if (!strcmp(to, target) || !strcmp(to, "all"))
            return true;
    return !rh_option(o, "to") && !strcmp(target, rh_default_target());
}

/* Does all that the report says of it come from a list of VMs? */
static bool is_listed(const json_t *entry)
{
    const json_t *target, *f;
    size_t i, n;

    json_array_foreach (json_object_get(entry, "targets"), i, target)
        json_array_foreach (json_object_get(target, "findings"), n, f)
            if (!strcmp(word(f, "id"), "RVTOOLS-ONLY"))
                return true;
    return false;
}

/* A list is no source, but the VM is, where the list says where it is; else a
 * person fills it in, beginning with a file of the VM's name. */
static struct row *row_of_listed(struct rows *rows, const json_t *entry)
{
    const json_t *vm = json_object_get(entry, "vm");
    const char *address = word(vm, "address");
    struct row *r;

    if (address[0])
        r = row_of(rows, address);
    else
        r = row_of(rows,
                   rh_arena_printf(rows->arena, "%s.ova", word(vm, "id")));
    r->listed = !address[0];
    r->name = word(vm, "name");
    return r;
}

static void note_vm(struct rows *rows, const json_t *entry, const rh_options *o)
{
    struct row *r = is_listed(entry) ? row_of_listed(rows, entry)
                                     : row_of(rows, word(entry, "source"));
    const json_t *target, *nic;
    size_t i;

    json_array_foreach (json_object_get(entry, "targets"), i, target) {
        if (!is_asked(o, word(target, "target")))
            continue;
        r->wave = RH_MAX(r->wave, wave_of(target));
        note_findings(r, target);
    }
    json_array_foreach (json_object_get(json_object_get(entry, "vm"), "nics"),
                        i, nic)
        if (word(nic, "network")[0])
            rh_name_map_add(&rows->networks, word(nic, "network"), 0);
}

static void note_failed(struct rows *rows, const json_t *entry)
{
    struct row *r = row_of(rows, word(entry, "source"));

    r->wave = WAVES + 1;
    rh_buf_puts(&r->why, "    # ");
    put_words(&r->why, word(json_object_get(entry, "error"), "message"));
    rh_buf_puts(&r->why, "\n");
}

static void put_row(struct rh_buf *t, const struct row *r)
{
    const char *off = r->wave > WAVES || r->listed ? "#" : " ";

    rh_buf_printf(t, "%s - source: ", off);
    put_quoted(t, r->source);
    rh_buf_puts(t, "\n");
    if (r->name) {
        rh_buf_puts(t, "    # ");
        put_words(t, r->name);
        rh_buf_puts(t, "\n");
    }
    if (r->wave > WAVES)
        rh_buf_printf(t, "    # %s\n", _("a person must see to this one:"));
    else
        rh_buf_printf(t, "%s   wave: %u\n", r->listed ? "#" : " ", r->wave);
    if (r->listed)
        rh_buf_printf(t, "    # %s\n",
                      _("fill in where its export lies, or its address "
                        "(vcenter://HOST/VM), and take away the # marks"));
    if (r->why.length)
        rh_buf_add(t, r->why.data, r->why.length);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Who maps them knows their names; who forgets one is told by the report. */
static void put_networks(struct rh_buf *t, const struct rh_name_map *networks)
{
    RH_AUTO(rh_freep)
    const char **names = rh_calloc(networks->count + 1, sizeof *names);
    size_t n = 0;

    for (size_t i = 0; i < networks->room; i++)
        if (networks->slots[i].name)
            names[n++] = networks->slots[i].name;
    qsort(names, n, sizeof *names, by_name);
    if (n)
        rh_buf_printf(t, "  # %s\n  # network-map:\n",
                      _("names of the source's networks on the target:"));
    for (size_t i = 0; i < n; i++) {
        rh_buf_puts(t, "  #   ");
        put_quoted(t, names[i]);
        rh_buf_puts(t, ": vmbr0\n");
    }
}

static void put_rows(struct rh_buf *t, const struct rows *rows)
{
    rh_buf_puts(t, "vms:\n");
    for (unsigned wave = 1; wave <= WAVES + 1; wave++)
        for (size_t i = 0; i < rows->list.count; i++)
            if (rows->list.items[i].wave == wave)
                put_row(t, &rows->list.items[i]);
}

static void free_rows(struct rows *rows)
{
    for (size_t i = 0; i < rows->list.count; i++)
        rh_buf_free(&rows->list.items[i].why);
    free(rows->list.items);
    rh_name_map_free(&rows->names);
    rh_name_map_free(&rows->networks);
    if (rows->arena)
        rh_arena_free(rows->arena);
}

static json_t *load_report(const char *path, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, err);
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *doc;
    size_t n;

    if (!io || rh_io_slurp(io, 256 * RH_MIB, &text, &n, err) < 0)
        return NULL;
    doc = json_loadb(text, n, 0, NULL);
    if (doc && !strcmp(word(doc, "schema"), "rehost.report/1"))
        return doc;
    json_decref(doc);
    rh_fail(err, RH_ERR_USAGE, "%s: this is no rehost.report/1", path);
    rh_hint(err, "`rehost report SOURCE... --to all --json FILE` writes one");
    return NULL;
}

/* Takes the document; NULL: why there is none was told. */
static char *from_document(json_t *doc, const rh_options *o)
{
    struct rows rows = {.arena = rh_arena_new()};
    struct rh_buf t = {0};
    json_t *entry;
    size_t i;

    if (!doc) {
        free_rows(&rows);
        return NULL;
    }
    json_array_foreach (json_object_get(doc, "vms"), i, entry)
        note_vm(&rows, entry, o);
    json_array_foreach (json_object_get(doc, "failed"), i, entry)
        note_failed(&rows, entry);
    put_head(&t, o);
    put_networks(&t, &rows.networks);
    put_rows(&t, &rows);
    free_rows(&rows);
    json_decref(doc);
    return rh_buf_take(&t);
}

/* --- from folders
 * ------------------------------------------------------------ */

/* The first that could not be asked for its VMs. */
static int first_error(rh_fleet *fleet, rh_error **err)
{
    for (size_t i = 0; i < fleet->count; i++)
        if (fleet->items[i].error) {
            if (err && !*err)
                *err = RH_TAKE(fleet->items[i].error);
            return -1;
        }
    return 0;
}

/* A path that is not there would be found missing by the run alone.  Patterns
 * are the job file's own. */
static int check_there(const char *const *sources, size_t count, rh_error **err)
{
    for (size_t i = 0; i < count; i++)
        if (!strpbrk(sources[i], "*?[") && !strstr(sources[i], "://") &&
            access(sources[i], F_OK) < 0) {
            rh_fail_errno(
                err, errno == ENOENT ? RH_ERR_FILE_NOT_FOUND : RH_ERR_FILE_OPEN,
                errno, "cannot open it");
            return rh_error_subject(err, sources[i]);
        }
    return 0;
}

static char *from_sources(rh_lib *lib, const char *const *sources, size_t count,
                          const rh_options *o, rh_error **err)
{
    rh_fleet fleet = {0};
    struct rows rows = {0};
    struct rh_buf t = {0};

    if (check_there(sources, count, err) < 0)
        return NULL;
    rh_fleet_list(lib, sources, count, o, &fleet);
    if (first_error(&fleet, err) < 0) {
        rh_fleet_free(&fleet);
        return NULL;
    }
    for (size_t i = 0; i < fleet.count; i++)
        row_of(&rows, fleet.items[i].source);
    put_head(&t, o);
    put_rows(&t, &rows);
    free_rows(&rows);
    rh_fleet_free(&fleet);
    return rh_buf_take(&t);
}

/* --- from a list of VMs ------------------------------------------------------
 */

/* No package is named so. */
static bool is_list(const char *source)
{
    const char *dot = strrchr(source, '.');

    return dot && !strstr(source, "://") &&
           (rh_same_word(dot, ".xlsx") || rh_same_word(dot, ".csv"));
}

/* RVTools' CSV files: that of the tab vInfo is among them. */
static bool holds_list(const char *source)
{
    DIR *d = strstr(source, "://") ? NULL : opendir(source);
    struct dirent *entry;
    bool any = false;

    while (d && !any && (entry = readdir(d)))
        any = entry->d_name[0] != '.' && is_list(entry->d_name) &&
              strcasestr(entry->d_name, "vInfo");
    if (d)
        closedir(d);
    return any;
}

/* All of them are looked at: a list names VMs, and its waves go by what can be
 * said of them. */
static char *from_lists(rh_lib *lib, const char *const *sources, size_t count,
                        const rh_options *o, rh_error **err)
{
    rh_report *report = rh_report_run(lib, sources, count, o, err);
    rh_error *cause = report ? rh_report_cause(report) : NULL;
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *doc = NULL;

    if (cause) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
    } else if (report) {
        text = rh_report_render(report, "json", err);
        doc = text ? json_loads(text, 0, NULL) : NULL;
        if (text && !doc)
            rh_fail(err, RH_ERR_BUG, "the report is no JSON");
    }
    rh_report_free(report);
    return from_document(doc, o);
}

char *rh_batch_init(rh_lib *lib, const char *const *sources, size_t count,
                    const rh_options *options, rh_error **err)
{
    const char *report = rh_option(options, "from-report");

    if (report && count) {
        rh_fail(err, RH_ERR_USAGE, "sources, or a report of them: not both");
        return NULL;
    }
    if (!report && !count) {
        rh_fail(err, RH_ERR_USAGE, "a source or --from-report is needed");
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (is_list(sources[i]) || holds_list(sources[i]))
            return from_lists(lib, sources, count, options, err);
    return report ? from_document(load_report(report, err), options)
                  : from_sources(lib, sources, count, options, err);
}
