/* jobs.c - read a job file: YAML, key by key, each error with its line.
 *
 * The document is loaded whole, so that `defaults` may stand anywhere.  What
 * is taken from it is counted: aliases cannot blow a small file up. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/batch/jobs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/error.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/rate.h"
#include "base/text.h"
#include "convert/batch/jobs_lists.h"
#include "convert/options.h"
#include "rehost/rehost.h"

enum { VALUES_MOST = 2000000 };

/* One key of `defaults` or of a VM. */
struct entry {
    const char *key;
    yaml_node_t *name, *value;
};
typedef RH_VEC(struct entry) entries;

struct reading {
    yaml_document_t *yaml;
    struct rh_jobs *jobs;
    entries defaults;
    yaml_node_t *vms;
    size_t values;
    rh_error **err;
};

static int bad(struct reading *r, const yaml_node_t *n, const char *fmt, ...)
    RH_PRINTF(3, 4);
static int bad(struct reading *r, const yaml_node_t *n, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    return rh_fail(r->err, RH_ERR_JOBS_FILE, "%s:%zu: %s", r->jobs->path,
                   n->start_mark.line + 1, text);
}

/* --- YAML
 * -------------------------------------------------------------------- */

/* A text without NUL bytes, or NULL. */
static const char *scalar(const yaml_node_t *n)
{
    const char *text =
        n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;

    return text && strlen(text) == n->data.scalar.length ? text : NULL;
}

static int text_of(struct reading *r, const yaml_node_t *n, const char **ret)
{
    const char *text = scalar(n);

    *ret = text ? text : "";
    if (++r->values > VALUES_MOST) {
        bad(r, n, N_("more than %d values"), VALUES_MOST);
        return -1;
    }
    if (!text)
        bad(r, n, N_("a text is expected here"));
    return text ? 0 : -1;
}

static int map_of(struct reading *r, const yaml_node_t *n, entries *ret)
{
    if (n->type != YAML_MAPPING_NODE)
        return bad(r, n, N_("keys with values are expected here"));
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start;
         p < n->data.mapping.pairs.top; p++) {
        yaml_node_t *name = yaml_document_get_node(r->yaml, p->key);
        const char *key;

        if (text_of(r, name, &key) < 0)
            return -1;
        for (size_t i = 0; i < ret->count && ret->count < 200; i++)
            if (!strcmp(ret->items[i].key, key))
                return bad(r, name, N_("\"%s\" stands twice"), key);
        *rh_vec_add(ret) = (struct entry){
            key, name, yaml_document_get_node(r->yaml, p->value)};
    }
    return 0;
}

/* A text, or a list of texts. */
static int texts_of(struct reading *r, yaml_node_t *n, rh_paths *ret)
{
    const char *text;

    if (n->type != YAML_SEQUENCE_NODE) {
        if (text_of(r, n, &text) < 0)
            return -1;
        *rh_vec_add(ret) = rh_strdup(text);
        return 0;
    }
    for (yaml_node_item_t *i = n->data.sequence.items.start;
         i < n->data.sequence.items.top; i++) {
        if (text_of(r, yaml_document_get_node(r->yaml, *i), &text) < 0)
            return -1;
        *rh_vec_add(ret) = rh_strdup(text);
    }
    return 0;
}

static int number_of(struct reading *r, const yaml_node_t *n, unsigned least,
                     unsigned most, unsigned *ret)
{
    const char *text = scalar(n);
    uint64_t value;

    if (!text || !rh_parse_u64(text, &value) || value < least || value > most)
        return bad(r, n, N_("a number from %u to %u is expected here"), least,
                   most);
    *ret = (unsigned)value;
    return 0;
}

static int size_of(struct reading *r, const yaml_node_t *n, uint64_t *ret)
{
    const char *text = scalar(n);

    if (!text || !rh_parse_size(text, ret) || *ret > INT64_MAX)
        return bad(r, n, N_("a size like 20GiB is expected here"));
    return 0;
}

static int rate_of(struct reading *r, const yaml_node_t *n, uint64_t *ret)
{
    if (size_of(r, n, ret) < 0)
        return -1;
    if (*ret < RH_RATE_LEAST)
        return bad(r, n, N_("at least 64K (bytes a second) is expected here"));
    return 0;
}

/* --- moments
 * ----------------------------------------------------------------- */

static bool parse_moment(const char *text, struct rh_moment *ret)
{
    struct tm day = {.tm_isdst = -1};
    const char *end = strptime(text, "%H:%M", &day);

    if (end && !*end) {
        ret->kind = RH_MOMENT_DAILY;
        ret->minutes = day.tm_hour * 60 + day.tm_min;
        return true;
    }
    day = (struct tm){.tm_isdst = -1};
    end = strptime(text, "%Y-%m-%d %H:%M", &day);
    if (!end || *end)
        return false;
    ret->kind = RH_MOMENT_ONCE;
    ret->at = mktime(&day);
    return ret->at != (time_t)-1;
}

static int moment_of(struct reading *r, const yaml_node_t *n,
                     struct rh_moment *ret)
{
    const char *text = scalar(n);

    free(ret->text);
    *ret = (struct rh_moment){0};
    /* Unquoted, YAML 1.1 readers elsewhere take 22:00 for a number; here it is
     * the text that was written. */
    if (!text || !parse_moment(text, ret))
        return bad(r, n,
                   N_("a time like 22:00 or 2026-12-01 22:00 is "
                      "expected here"));
    ret->text = rh_strdup(text);
    return 0;
}

/* --- options of convert
 * ------------------------------------------------------ */

static const char *const switches[] = {"keep-failed",
                                       "no-guest-fix",
                                       "overwrite",
                                       "quiesce",
                                       "remove-vmware-tools",
                                       "require-manifest",
                                       "skip-free",
                                       "snapshot",
                                       "start",
                                       "strict",
                                       NULL};
/* Set on the library (rh_set), not on the plan. */
static const char *const settings[] = {"max-disk-size", "require-manifest",
                                       "temp-dir", "trust", NULL};
/* The batch gives these itself, or they belong to other commands. */
static const char *const not_here[] = {
    "align",  "disk-by-disk", "done",    "dry-run",    "from-report",
    "guest",  "jobs",         "need",    "no-guest",   "on-event",
    "only",   "out",          "program", "redact",     "results-at",
    "engine", "partition",    "time",    "screenshot", "sector-size",
    "size",   "target",       "timeout", NULL};
/* Paths, relative to the job file. */
static const char *const paths[] = {"drivers",       "fill",     "login",
                                    "source-tls-ca", "temp-dir", "tls-ca",
                                    "trust",         NULL};

static bool among(const char *const *words, const char *word)
{
    for (size_t i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return true;
    return false;
}

bool rh_job_is_switch(const char *option)
{
    return among(switches, option);
}

static bool is_option(const char *key)
{
    rh_options *o;
    bool known;

    if (among(not_here, key))
        return false;
    if (among(settings, key))
        return true;
    o = rh_options_new();
    known = rh_options_add(o, key, "", NULL) == 0;
    rh_options_free(o);
    return known;
}

static int put_option(struct reading *r, struct rh_job_vm *vm, const char *key,
                      const yaml_node_t *n, const char *prefix)
{
    RH_AUTO(rh_freep) char *value = NULL;
    const char *text;
    bool yes;

    if (text_of(r, n, &text) < 0)
        return -1;
    if (among(switches, key)) {
        if (!rh_parse_bool(text, &yes))
            return bad(r, n, N_("%s: true or false is expected here"), key);
        if (yes)
            rh_options_put(&vm->options, key, "");
        return 0;
    }
    value = among(paths, key) ? rh_jobs_path(r->jobs, text)
                              : rh_printf("%s%s", prefix, text);
    if (!strcmp(key, "fill") || !strcmp(key, "drivers"))
        *rh_vec_add(&vm->files) = rh_strdup(value);
    rh_options_put(&vm->options, key, value);
    return 0;
}

/* What the VM itself says goes before the default of the same key. */
static int put_map(struct reading *r, struct rh_job_vm *vm, const char *key,
                   const yaml_node_t *n, const entries *not_those)
{
    RH_AUTO(rh_freep) struct entry *items = NULL;
    entries map = {0};
    int failed = map_of(r, n, &map);

    items = map.items;
    for (size_t i = 0; i < map.count && !failed; i++) {
        RH_AUTO(rh_freep) char *prefix = rh_printf("%s=", map.items[i].key);
        bool there = false;

        for (size_t k = 0; not_those && k < not_those->count; k++)
            there |= !strcmp(not_those->items[k].key, map.items[i].key);
        if (!there)
            failed = put_option(r, vm, key, map.items[i].value, prefix);
    }
    return failed;
}

static int put_value(struct reading *r, struct rh_job_vm *vm, const char *key,
                     const yaml_node_t *n)
{
    if (n->type == YAML_MAPPING_NODE)
        return put_map(r, vm, key, n, NULL);
    if (n->type != YAML_SEQUENCE_NODE)
        return put_option(r, vm, key, n, "");
    for (yaml_node_item_t *i = n->data.sequence.items.start;
         i < n->data.sequence.items.top; i++)
        if (put_option(r, vm, key, yaml_document_get_node(r->yaml, *i), "") < 0)
            return -1;
    return 0;
}

/* --- keys of a VM
 * ------------------------------------------------------------ */

/* Where convert delivers it, instead of a folder below OUT. */
static int deliver_of(struct reading *r, const yaml_node_t *n, char **ret)
{
    const char *text;

    if (text_of(r, n, &text) < 0)
        return -1;
    if (!strchr(text, ':'))
        return bad(r, n,
                   N_("an address like xapi://HOST or proxmox://HOST/NODE "
                      "is expected here"));
    free(*ret);
    *ret = rh_strdup(text);
    return 0;
}

static int switch_of(struct reading *r, const struct entry *e, bool *ret)
{
    const char *text;

    if (text_of(r, e->value, &text) < 0)
        return -1;
    if (!rh_parse_bool(text, ret))
        return bad(r, e->value, N_("%s: true or false is expected here"),
                   e->key);
    return 0;
}

/* 1: it is one of the batch's own keys; 0: it is not. */
static int own_key(struct reading *r, struct rh_job_vm *vm,
                   const struct entry *e)
{
    int failed = 0;

    if (!strcmp(e->key, "wave"))
        failed = number_of(r, e->value, 1, 1000000, &vm->wave);
    else if (!strcmp(e->key, "retries"))
        failed = number_of(r, e->value, 0, 1000, &vm->retries);
    else if (!strcmp(e->key, "keep-fetched"))
        failed = switch_of(r, e, &vm->keep_fetched);
    else if (!strcmp(e->key, "deliver"))
        failed = deliver_of(r, e->value, &vm->deliver);
    else if (!strcmp(e->key, "not-before"))
        failed = moment_of(r, e->value, &vm->not_before);
    else if (!strcmp(e->key, "not-after"))
        failed = moment_of(r, e->value, &vm->not_after);
    else
        return 0;
    return failed ? -1 : 1;
}

static int no_such_key(struct reading *r, const struct entry *e)
{
    if (!strcmp(e->key, "threads") || !strcmp(e->key, "memory") ||
        !strcmp(e->key, "bandwidth"))
        return bad(r, e->name,
                   N_("\"%s\" is the whole batch's: it stands "
                      "beside \"vms\""),
                   e->key);
    return bad(r, e->name, N_("there is no key or option \"%s\""), e->key);
}

static int plain_key(struct reading *r, struct rh_job_vm *vm,
                     const struct entry *e)
{
    int own = own_key(r, vm, e);

    if (own)
        return own < 0 ? -1 : 0;
    if (!is_option(e->key) || !strcmp(e->key, "name"))
        return no_such_key(r, e);
    return put_value(r, vm, e->key, e->value);
}

static int vm_key(struct reading *r, struct rh_job_vm *vm,
                  const struct entry *e)
{
    const char *text;

    if (!strcmp(e->key, "source"))
        return 0; /* read before */
    if (!strcmp(e->key, "after"))
        return texts_of(r, e->value, &vm->after);
    if (!strcmp(e->key, "name")) {
        if (text_of(r, e->value, &text) < 0)
            return -1;
        if (!text[0])
            return bad(r, e->value, N_("a name is expected here"));
        free(vm->name);
        vm->name = rh_strdup(text);
        vm->named = true;
        return 0;
    }
    return plain_key(r, vm, e);
}

static const struct entry *entry_named(const entries *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->items[i].key, key))
            return &list->items[i];
    return NULL;
}

static bool is_for(const struct rh_job_vm *vm, const char *key)
{
    const struct rh_reach reach = {.sources =
                                       (const char *const *)vm->sources.items,
                                   .count = vm->sources.count,
                                   .out = vm->deliver};

    return rh_option_is_for(&vm->options, key) &&
           rh_option_reaches(&vm->options, key, &reach);
}

/* A default that the VM does not say itself; of two maps, the keys that its
 * own one lacks. */
static int default_key(struct reading *r, struct rh_job_vm *vm,
                       const struct entry *e, const entries *own)
{
    const struct entry *mine = entry_named(own, e->key);
    RH_AUTO(rh_freep) struct entry *items = NULL;
    entries keys = {0};

    /* What others of the batch need is not for each. */
    if (!mine && !is_for(vm, e->key))
        return 0;
    if (!mine)
        return plain_key(r, vm, e);
    if (mine->value->type != YAML_MAPPING_NODE ||
        e->value->type != YAML_MAPPING_NODE)
        return 0;
    if (map_of(r, mine->value, &keys) < 0) {
        free(keys.items);
        return -1;
    }
    items = keys.items;
    return put_map(r, vm, e->key, e->value, &keys);
}

static int read_vm_keys(struct reading *r, struct rh_job_vm *vm,
                        const entries *own)
{
    vm->wave = 1;
    vm->retries = 6;
    vm->keep_fetched = true;
    for (size_t i = 0; i < own->count; i++)
        if (vm_key(r, vm, &own->items[i]) < 0)
            return -1;
    /* Where it goes decides which others are for it. */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < r->defaults.count; i++) {
            const struct entry *e = &r->defaults.items[i];
            bool where = !strcmp(e->key, "to") || !strcmp(e->key, "deliver");
            int its = where ? 0 : 1;

            if (its == pass && default_key(r, vm, e, own) < 0)
                return -1;
        }
    return 0;
}

/* --- sources
 * ----------------------------------------------------------------- */

static int expand(struct reading *r, const yaml_node_t *n,
                  const rh_paths *patterns, rh_paths *ret, bool *ret_one_vm)
{
    *ret_one_vm = patterns->count > 1;
    for (size_t i = 0; i < patterns->count; i++) {
        if (!rh_jobs_expand(r->jobs, patterns->items[i], ret))
            return bad(r, n, N_("nothing matches \"%s\""), patterns->items[i]);
        if (ret->count > RH_LIMIT_MEMBERS)
            return bad(r, n, N_("more than %d sources"), RH_LIMIT_MEMBERS);
    }
    for (size_t i = 0; i < ret->count; i++)
        if (rh_job_is_package(ret->items[i]))
            *ret_one_vm = false;
    return ret->count ? 0 : bad(r, n, N_("a source is expected here"));
}

static int add_vm(struct reading *r, const yaml_node_t *n, const entries *own,
                  char **sources, size_t count)
{
    struct rh_job_vm *vm;

    if (r->jobs->vms.count >= RH_LIMIT_MEMBERS)
        return bad(r, n, N_("more than %d VMs"), RH_LIMIT_MEMBERS);
    vm = rh_vec_add(&r->jobs->vms);
    vm->line = (unsigned)n->start_mark.line + 1;
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(sources[i], "-"))
            return bad(r, n, N_("a batch does not read standard input"));
        *rh_vec_add(&vm->sources) = rh_strdup(sources[i]);
    }
    return read_vm_keys(r, vm, own);
}

static int read_vm(struct reading *r, const yaml_node_t *n, const entries *own)
{
    const struct entry *source = entry_named(own, "source");
    RH_AUTO(rh_paths_free) rh_paths patterns = {0};
    RH_AUTO(rh_paths_free) rh_paths files = {0};
    bool one_vm;

    if (!source)
        return bad(r, n, N_("this VM has no source"));
    if (texts_of(r, source->value, &patterns) < 0 ||
        expand(r, source->value, &patterns, &files, &one_vm) < 0)
        return -1;
    if (one_vm)
        return add_vm(r, n, own, files.items, files.count);
    if (files.count > 1 && entry_named(own, "name"))
        return bad(r, n,
                   N_("one name for %zu sources: leave it out, or give "
                      "each its own entry"),
                   files.count);
    for (size_t i = 0; i < files.count; i++)
        if (add_vm(r, n, own, &files.items[i], 1) < 0)
            return -1;
    return 0;
}

static int read_vms(struct reading *r)
{
    yaml_node_t *list = r->vms;

    if (list->type != YAML_SEQUENCE_NODE)
        return bad(r, list, N_("a list of VMs is expected here"));
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         i < list->data.sequence.items.top; i++) {
        yaml_node_t *n = yaml_document_get_node(r->yaml, *i);
        entries own = {0};
        int failed = map_of(r, n, &own);

        if (!failed)
            failed = read_vm(r, n, &own);
        free(own.items);
        if (failed)
            return -1;
    }
    return r->jobs->vms.count ? 0 : bad(r, list, N_("there is no VM in it"));
}

/* --- the file
 * ---------------------------------------------------------------- */

static int schema_key(struct reading *r, const struct entry *e)
{
    const char *text = scalar(e->value);

    if (text && !strcmp(text, "rehost.jobs/1"))
        return 0;
    return bad(r, e->value, N_("the schema known here is rehost.jobs/1"));
}

static int out_key(struct reading *r, const struct entry *e)
{
    const char *text;

    if (text_of(r, e->value, &text) < 0)
        return -1;
    if (!text[0] || !strcmp(text, "-") || strstr(text, "://"))
        return bad(r, e->value, N_("\"out\" is a folder"));
    r->jobs->out = rh_jobs_path(r->jobs, text);
    return 0;
}

static int top_key(struct reading *r, const struct entry *e)
{
    struct rh_jobs *jobs = r->jobs;

    if (!strcmp(e->key, "schema"))
        return schema_key(r, e);
    if (!strcmp(e->key, "out"))
        return out_key(r, e);
    if (!strcmp(e->key, "jobs"))
        return number_of(r, e->value, 1, 1024, &jobs->jobs);
    if (!strcmp(e->key, "threads"))
        return number_of(r, e->value, 1, 1024, &jobs->threads);
    if (!strcmp(e->key, "memory"))
        return size_of(r, e->value, &jobs->memory);
    if (!strcmp(e->key, "bandwidth"))
        return rate_of(r, e->value, &jobs->bandwidth);
    if (!strcmp(e->key, "keep-free"))
        return size_of(r, e->value, &jobs->keep_free);
    if (!strcmp(e->key, "retry-delay"))
        return number_of(r, e->value, 0, 86400, &jobs->retry_delay);
    if (!strcmp(e->key, "lease-seconds"))
        return number_of(r, e->value, 2, 86400, &jobs->lease_seconds);
    if (!strcmp(e->key, "defaults"))
        return map_of(r, e->value, &r->defaults);
    if (strcmp(e->key, "vms"))
        return bad(r, e->name, N_("there is no key \"%s\""), e->key);
    r->vms = e->value;
    return 0;
}

static int read_root(struct reading *r, const yaml_node_t *root)
{
    static const char *const needed[] = {"schema", "out", "vms"};
    RH_AUTO(rh_freep) struct entry *items = NULL;
    entries top = {0};
    int failed = map_of(r, root, &top);

    items = top.items;
    for (size_t i = 0; i < top.count && !failed; i++)
        failed = top_key(r, &top.items[i]);
    for (size_t i = 0; i < RH_COUNT(needed) && !failed; i++)
        if (!entry_named(&top, needed[i]))
            failed = bad(r, root, N_("\"%s\" is missing"), needed[i]);
    if (failed || read_vms(r) < 0 || rh_jobs_name_all(r->jobs, r->err) < 0)
        return -1;
    return rh_jobs_order(r->jobs, r->err);
}

/* VMs behind a "---" would never be moved, without a word. */
static int check_alone(const struct rh_jobs *jobs, yaml_parser_t *parser,
                       rh_error **err)
{
    yaml_document_t more;
    const yaml_node_t *root;
    int failed = 0;

    if (!yaml_parser_load(parser, &more))
        return rh_fail(err, RH_ERR_JOBS_FILE, "%s:%zu: %s", jobs->path,
                       parser->problem_mark.line + 1,
                       parser->problem ? parser->problem : "not YAML");
    root = yaml_document_get_root_node(&more);
    if (root && (root->type != YAML_SCALAR_NODE || root->data.scalar.length))
        failed = rh_fail(err, RH_ERR_JOBS_FILE,
                         "%s:%zu: a second document begins here; one is read",
                         jobs->path, root->start_mark.line + 1);
    yaml_document_delete(&more);
    return failed;
}

static int read_document(struct rh_jobs *jobs, yaml_parser_t *parser,
                         rh_error **err)
{
    yaml_document_t document;
    struct reading r = {.yaml = &document, .jobs = jobs, .err = err};
    const yaml_node_t *root;
    int failed;

    if (!yaml_parser_load(parser, &document))
        return rh_fail(err, RH_ERR_JOBS_FILE, "%s:%zu: %s", jobs->path,
                       parser->problem_mark.line + 1,
                       parser->problem ? parser->problem : "not YAML");
    root = yaml_document_get_root_node(&document);
    failed = root ? read_root(&r, root)
                  : rh_fail(err, RH_ERR_JOBS_FILE, "%s: the file is empty",
                            jobs->path);
    if (!failed)
        failed = check_alone(jobs, parser, err);
    free(r.defaults.items);
    yaml_document_delete(&document);
    return failed;
}

struct rh_jobs *rh_jobs_parse(const char *text, size_t n, const char *path,
                              rh_error **err)
{
    struct rh_jobs *jobs = rh_new0(struct rh_jobs);
    const char *slash = strrchr(path, '/');
    yaml_parser_t parser;
    int failed;

    jobs->path = rh_strdup(path);
    jobs->folder = !slash          ? rh_strdup(".")
                   : slash == path ? rh_strdup("/")
                                   : rh_strndup(path, (size_t)(slash - path));
    jobs->retry_delay = 5;
    jobs->lease_seconds = 60;
    if (!yaml_parser_initialize(&parser))
        abort(); /* out of memory */
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    failed = read_document(jobs, &parser, err);
    yaml_parser_delete(&parser);
    if (!failed)
        return jobs;
    rh_jobs_free(jobs);
    return NULL;
}

struct rh_jobs *rh_jobs_read(const char *path, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, err);
    RH_AUTO(rh_freep) char *text = NULL;
    size_t n;

    if (!io || rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return NULL;
    return rh_jobs_parse(text, n, path, err);
}

static void free_vm(struct rh_job_vm *vm)
{
    rh_paths_free(&vm->sources);
    rh_paths_free(&vm->after);
    rh_paths_free(&vm->files);
    for (size_t i = 0; i < vm->options.list.count; i++) {
        free(vm->options.list.items[i].key);
        free(vm->options.list.items[i].value);
    }
    free(vm->options.list.items);
    free(vm->needs.items);
    free(vm->deliver);
    free(vm->not_before.text);
    free(vm->not_after.text);
    free(vm->folder);
    free(vm->name);
}

void rh_jobs_free(struct rh_jobs *jobs)
{
    if (!jobs)
        return;
    for (size_t i = 0; i < jobs->vms.count; i++)
        free_vm(&jobs->vms.items[i]);
    free(jobs->vms.items);
    rh_name_map_free(&jobs->names);
    free(jobs->folder);
    free(jobs->path);
    free(jobs->out);
    free(jobs);
}

/* --- may it start?
 * ----------------------------------------------------------- */

static int minutes_of(time_t at)
{
    struct tm t;

    localtime_r(&at, &t);
    return t.tm_hour * 60 + t.tm_min;
}

/* The first time at or after `from` that the clock shows `minutes`. */
static time_t next_daily(time_t from, int minutes)
{
    struct tm t;

    localtime_r(&from, &t);
    if (t.tm_hour * 60 + t.tm_min < minutes ||
        (t.tm_hour * 60 + t.tm_min == minutes && t.tm_sec == 0)) {
        t.tm_hour = minutes / 60;
        t.tm_min = minutes % 60;
        t.tm_sec = 0;
        t.tm_isdst = -1;
        return mktime(&t);
    }
    return from; /* it has struck today already */
}

static bool opened(const struct rh_moment *m, time_t now, time_t began)
{
    return m->kind == RH_MOMENT_ONCE ? now >= m->at
                                     : now >= next_daily(began, m->minutes);
}

bool rh_job_window_open(const struct rh_job_vm *vm, time_t now, time_t began,
                        char **ret_reason)
{
    const struct rh_moment *from = &vm->not_before, *to = &vm->not_after;
    bool open = true;

    if (from->kind == RH_MOMENT_DAILY && to->kind == RH_MOMENT_DAILY) {
        int at = minutes_of(now);

        /* A night's window ends on the next day. */
        open = from->minutes <= to->minutes
                   ? at >= from->minutes && at < to->minutes
                   : at >= from->minutes || at < to->minutes;
    } else {
        if (from->kind != RH_MOMENT_NONE)
            open = opened(from, now, began);
        if (to->kind == RH_MOMENT_ONCE)
            open = open && now < to->at;
        else if (to->kind == RH_MOMENT_DAILY)
            open = open && minutes_of(now) < to->minutes;
    }
    if (open)
        return true;
    if (ret_reason)
        *ret_reason =
            from->kind && to->kind
                ? rh_printf(_("only between %s and %s"), from->text, to->text)
            : from->kind ? rh_printf(_("not before %s"), from->text)
                         : rh_printf(_("not after %s"), to->text);
    return false;
}
