/* fill.c - --fill: which kind of file it is, and whose VM it describes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors/fill.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "package/descriptor.h"
#include "config/merge.h"

struct rh_fill_vm *rh_fill_add(struct rh_fill *f, const char *id)
{
    struct rh_fill_vm *v = rh_vec_add(&f->vms);

    v->vm = rh_vm_new(id);
    return v;
}

void rh_fill_free(struct rh_fill *f)
{
    for (size_t i = 0; i < f->vms.count; i++) {
        rh_vm_free(f->vms.items[i].vm);
        rh_findings_free(&f->vms.items[i].findings);
    }
    free(f->vms.items);
    rh_arena_free(f->arena);
    *f = (struct rh_fill){0};
}

/* --- kinds
 * ------------------------------------------------------------------------- */
static void free_json(json_t **j)
{
    json_decref(*j);
}

static int check_size(const char *text, size_t n, rh_error **err)
{
    size_t parts = 0;

    for (size_t i = 0; i < n; i++)
        parts += text[i] == ',' || text[i] == '{' || text[i] == '[';
    if (parts > 20ULL * RH_LIMIT_ITEMS)
        return rh_fail(err, RH_ERR_FILL_LIMIT,
                       "%zu values; at most %d are read", parts,
                       20 * RH_LIMIT_ITEMS);
    return 0;
}

/* JSON; with `flags`, a prompt may follow it. */
static int read_json(struct rh_fill *f, const char *text, size_t n,
                     size_t flags, rh_error **err)
{
    RH_AUTO(free_json) json_t *doc = NULL;
    json_error_t e;

    if (check_size(text, n, err))
        return -1;
    doc = json_loadb(text, n, flags | JSON_REJECT_DUPLICATES, &e);
    if (!doc)
        return rh_fail(err, RH_ERR_FILL_SYNTAX, "line %d, column %d: %s",
                       e.line, e.column, e.text);
    if (rh_fill_is_prism(doc))
        return rh_fill_prism(f, doc, err);
    if (rh_fill_refusal(doc, err) < 0)
        return -1;
    return rh_fill_overlay(f, doc, err);
}

/* --- what was saved with more around it ----------------------------------- */

static bool is_web_page(const char *text)
{
    char head[1024];

    snprintf(head, sizeof head, "%s", text);
    return strcasestr(head, "<!doctype html") || strcasestr(head, "<html") ||
           strcasestr(head, "<head>");
}

/* HTTP/1.1 401 Unauthorized, as curl -i shows it. */
static bool has_http_head(const char *text)
{
    return !strncmp(text, "HTTP/", 5);
}

/* "memory: 2GiB", a line of an overlay. */
static bool is_yaml_key(const char *line)
{
    size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return n && line[n] == ':' &&
           (!line[n + 1] || isspace((unsigned char)line[n + 1]));
}

/* A shell's or acli's prompt stands in its first line. */
static bool is_session(const char *text)
{
    size_t n = strcspn(text, "\r\n");

    if (is_yaml_key(text))
        return false;
    if (!strncmp(text, "<acropolis>", 11))
        return true;
    for (size_t i = 0; i + 1 < n; i++)
        if (strchr("$#>%", text[i]) && text[i + 1] == ' ' &&
            memchr(text, ':', i) && !memchr(text, '"', i))
            return true;
    return has_http_head(text);
}

/* Where JSON or acli's text begins below the prompt; NULL: nowhere. */
static const char *begin_below(const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\r\n");

        if (p[0] == '{' || p[0] == '[' || rh_fill_is_acli(p))
            return p;
        p += n;
        p += strspn(p, "\r\n");
    }
    return NULL;
}

static int refuse_http_error(const char *text, rh_error **err)
{
    const char *status = strchr(text, ' ');
    int n = (int)strcspn(text, "\r\n");

    if (!status || strtol(status, NULL, 10) < 400)
        return 0;
    rh_fail(err, RH_ERR_FILL_KIND,
            "this is an error that a service answered: \"%.*s\", no VM",
            RH_MIN(n, 80), text);
    return rh_hint(err, "log in and save the answer again");
}

static int read_session(struct rh_fill *f, const char *text, size_t n,
                        rh_error **err)
{
    const char *from = begin_below(text);
    size_t left = n - (size_t)(from - text);

    return from[0] == '{' || from[0] == '['
               ? read_json(f, from, left, JSON_DISABLE_EOF_CHECK, err)
               : rh_fill_acli(f, from, left, err);
}

static int read_yaml(struct rh_fill *f, const char *text, size_t n,
                     rh_error **err)
{
    RH_AUTO(free_json) json_t *doc = rh_fill_yaml(text, n, err);

    return doc ? rh_fill_overlay(f, doc, err) : -1;
}

/* A VMX is lines of `key = "value"`. */
static bool is_vmx(const char *text)
{
    for (int line = 0; line < 20 && *text; line++) {
        size_t n = strcspn(text, "\r\n");
        const char *equal = memchr(text, '=', n);

        if (is_yaml_key(text))
            return false;
        if (equal && memchr(equal, '"', n - (size_t)(equal - text)) &&
            !memchr(text, ':', (size_t)(equal - text)))
            return true;
        text += n;
        text += strspn(text, "\r\n");
    }
    return false;
}

static int retag(void *user, const char *key, const struct rh_field *field,
                 struct rh_value *v)
{
    (void)key;
    (void)field;
    if (v->kind != RH_VALUE_UNSET) {
        v->from = RH_FROM_FILL;
        v->detail = user;
    }
    return 0;
}

static void free_scratch(struct rh_package *p)
{
    for (size_t i = 0; i < p->vms.count; i++) {
        rh_vm_free(p->vms.items[i]);
        rh_findings_free(&p->vm_findings.items[i]);
    }
    free(p->vms.items);
    free(p->vm_findings.items);
    rh_findings_free(&p->findings);
    rh_arena_free(p->arena);
}

/* A zip: of its kinds RVTools' workbook alone describes VMs. */
static bool is_workbook(const char *text, size_t n)
{
    return n >= 4 && !memcmp(text, "PK\3\4", 4);
}

/* Of many VMs, in a form of its own. */
static bool is_list(const char *text, size_t n)
{
    const struct rh_descriptor *d = rh_descriptor_of(text, n);

    return is_workbook(text, n) || (d && d->limit);
}

/* Another package's descriptor: its VMs, without its files. */
static int read_descriptor(struct rh_fill *f, const char *text, size_t n,
                           rh_error **err)
{
    RH_AUTO(free_scratch)
    struct rh_package p = {
        .arena = rh_arena_new(), .lib = f->lib, .place = f->place};
    const struct rh_descriptor *d = is_workbook(text, n)
                                        ? rh_descriptor_named("rvtools")
                                        : rh_descriptor_of(text, n);

    d = d ? d
          : rh_descriptor_at(1); /* lines of a VMX, without the usual ones */
    f->kind = d->label;
    if (d->parse(&p, f->name, text, n, NULL, err))
        return -1;
    for (size_t i = 0; i < p.vms.count; i++) {
        struct rh_vm *vm = RH_TAKE(p.vms.items[i]);

        *rh_vec_add(&f->vms) = (struct rh_fill_vm){.vm = vm};
        rh_vm_each(vm, retag, rh_arena_strdup(vm->arena, f->name));
    }
    return 0;
}

int rh_fill_read(struct rh_fill *f, const char *text, size_t n, rh_error **err)
{
    size_t blank;
    char first;

    if (is_list(text, n)) /* it may be UTF-16, or a workbook */
        return read_descriptor(f, text, n, err);
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3;
        n -= 3;
    }
    blank = strspn(text, " \t\r\n");
    first = blank < n ? text[blank] : '\0';
    if (!first)
        return rh_fail(err, RH_ERR_FILL_KIND, "the file is empty");
    if (is_web_page(text + blank)) {
        rh_fail(err, RH_ERR_FILL_KIND, "this is a web page, not an answer");
        return rh_hint(err, "log in and save again");
    }
    if (has_http_head(text + blank) && refuse_http_error(text + blank, err) < 0)
        return -1;
    if (is_session(text + blank) && begin_below(text + blank))
        return read_session(f, text + blank, n - blank, err);
    if (first == '<')
        return read_descriptor(f, text, n, err);
    if (first == '{' || first == '[')
        return read_json(f, text, n, 0, err);
    if (rh_fill_is_acli(text))
        return rh_fill_acli(f, text, n, err);
    if (is_vmx(text))
        return read_descriptor(f, text, n, err);
    return read_yaml(f, text, n, err);
}

/* --- whose VM
 * ------------------------------------------------------------------------------
 */
static bool is_called(const struct rh_vm *vm, const char *name)
{
    return name && ((vm->name.text && !strcmp(vm->name.text, name)) ||
                    !strcmp(vm->id, name) ||
                    (vm->uuid.text && rh_same_word(vm->uuid.text, name)));
}

/* AHV names a disk's file by the disk's UUID. */
static bool owns_file(const struct rh_vm *vm, const struct rh_vm *of)
{
    for (size_t i = 0; i < of->disks.count; i++) {
        const char *file = of->disks.items[i].file.text;

        for (size_t j = 0; file && j < vm->disks.count; j++) {
            const char *id = vm->disks.items[j].id.text;

            if (id && strlen(id) >= 32 && strcasestr(file, id))
                return true;
        }
    }
    return false;
}

/* By its UUID, which is one VM's alone; else by its name.  *ret_count: how many
 * are called so. */
static struct rh_fill_vm *describer(struct rh_fill *f, const struct rh_vm *vm,
                                    size_t *ret_count)
{
    struct rh_fill_vm *found = NULL;

    *ret_count = 0;
    for (size_t i = 0; vm->uuid.text && i < f->vms.count; i++)
        if (is_called(f->vms.items[i].vm, vm->uuid.text))
            return &f->vms.items[i];
    for (size_t i = 0; i < f->vms.count; i++) {
        const struct rh_vm *other = f->vms.items[i].vm;

        if (!is_called(other, vm->name.text) && !is_called(other, vm->id))
            continue;
        found = found ? found : &f->vms.items[i];
        ++*ret_count;
    }
    if (found)
        return found;
    for (size_t i = 0; i < f->vms.count; i++) {
        if (owns_file(f->vms.items[i].vm, vm))
            return &f->vms.items[i];
    }
    return NULL;
}

static int no_such_vm(const struct rh_fill *f, const char *name, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};

    for (size_t i = 0; i < f->vms.count && names.length < RH_LIMIT_NAME; i++)
        rh_buf_printf(&names, "%s%s", i ? ", " : "",
                      f->vms.items[i].vm->name.text
                          ? f->vms.items[i].vm->name.text
                          : f->vms.items[i].vm->id);
    rh_fail(err, RH_ERR_FILL_VM, "it describes no VM \"%s\"; it describes: %s",
            name, names.length ? names.data : _("none"));
    return rh_error_subject(err, f->name);
}

static int several_vms(const struct rh_fill *f, const char *name, size_t count,
                       rh_error **err)
{
    rh_fail(err, RH_ERR_FILL_VM, "it describes %zu VMs \"%s\"", count, name);
    rh_hint(err, "name one by its UUID or id: --fill FILE#UUID");
    return rh_error_subject(err, f->name);
}

static void note_other_name(const struct rh_package *p, const struct rh_fill *f,
                            const struct rh_fill_vm *from, struct rh_vm *vm,
                            struct rh_findings *findings)
{
    const char *name = from->vm->name.text;

    /* A bare disk's name is its file's: it says nothing about the VM. */
    if (!name || !vm->name.text || is_called(vm, name) ||
        (p->kind && !strcmp(p->kind, "disk")))
        return;
    rh_finding_add(findings, RH_F_FILL_NAME, "name",
                   "%s describes \"%s\", the package \"%s\"", f->name, name,
                   vm->name.text);
}

static int apply(struct rh_package *p, struct rh_fill *f, const char *asked,
                 rh_error **err)
{
    bool one = p->vms.count == 1;

    for (size_t i = 0; i < p->vms.count; i++) {
        struct rh_vm *vm = p->vms.items[i];
        struct rh_fill_vm *from = NULL;
        size_t count = 0;

        if (asked) {
            for (size_t j = 0; j < f->vms.count; j++) {
                if (!is_called(f->vms.items[j].vm, asked))
                    continue;
                from = from ? from : &f->vms.items[j];
                count++;
            }
            if (!from)
                return no_such_vm(f, asked, err);
            if (count > 1)
                return several_vms(f, asked, count, err);
        } else {
            from = describer(f, vm, &count);
            if (count > 1)
                return several_vms(f, vm->name.text ? vm->name.text : vm->id,
                                   count, err);
        }
        if (!from && one && f->vms.count == 1)
            from = &f->vms.items[0];
        if (!from && one)
            return no_such_vm(f, vm->name.text ? vm->name.text : vm->id, err);
        if (!from)
            continue;
        note_other_name(p, f, from, vm, &p->vm_findings.items[i]);
        rh_merge_vm(p, vm, from, f->name, &p->vm_findings.items[i]);
        rh_findings_copy(&p->vm_findings.items[i], &from->findings);
    }
    return 0;
}

/* "prism.json#web01": one VM of a list; a file of that very name is itself. */
static char *split_name(const char *file, const char **ret_asked)
{
    const char *hash = strrchr(file, '#');

    *ret_asked = NULL;
    if (!hash || access(file, F_OK) == 0)
        return rh_strdup(file);
    *ret_asked = hash + 1;
    return rh_strndup(file, (size_t)(hash - file));
}

/* A list of VMs may be larger than what describes one. */
static uint64_t limit_of(struct rh_io *io)
{
    enum { HEAD = 4096 };
    char head[HEAD + 1] = "";
    size_t n = (size_t)RH_MIN(io->size, (uint64_t)HEAD);

    return rh_io_read(io, head, n, 0, NULL) == 0 && is_list(head, n)
               ? RH_LIMIT_INVENTORY
               : RH_LIMIT_DESCRIPTOR;
}

int rh_config_fill(struct rh_package *p, const char *file, rh_error **err)
{
    RH_AUTO(rh_fill_free) struct rh_fill f = {.arena = rh_arena_new()};
    const char *asked, *slash;
    RH_AUTO(rh_freep) char *path = split_name(file, &asked);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, err);
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *folder = NULL;
    RH_AUTO(rh_place_closep) struct rh_place *place = NULL;
    size_t n;

    if (!io || rh_io_slurp(io, limit_of(io), &text, &n, err))
        return rh_error_subject(err, path);
    slash = strrchr(path, '/');
    folder =
        slash ? rh_strndup(path, (size_t)(slash - path + 1)) : rh_strdup(".");
    place = rh_place_folder(folder, NULL);
    f.lib = p->lib;
    f.place = place;
    f.name = rh_arena_strdup(f.arena, slash ? slash + 1 : path);
    if (rh_fill_read(&f, text, n, err))
        return rh_error_subject(err, path);
    return apply(p, &f, asked, err);
}
