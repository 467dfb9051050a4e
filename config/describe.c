/* describe.c - a package for people (a table) and for programs (JSON). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/describe.h"

#include <stdio.h>
#include <string.h>

/* --- JSON
 * ------------------------------------------------------------------------- */
static const char *manifest_word(enum rh_manifest_state s)
{
    return s == RH_MANIFEST_VERIFIED     ? "verified"
           : s == RH_MANIFEST_UNVERIFIED ? "unverified"
                                         : "absent";
}

static const char *signature_word(enum rh_signature_state s)
{
    return s == RH_SIGNATURE_VERIFIED    ? "verified"
           : s == RH_SIGNATURE_UNTRUSTED ? "untrusted"
                                         : "absent";
}

static json_t *safe_string(const char *text)
{
    RH_AUTO(rh_freep) char *printable = NULL;

    if (!text)
        return json_null();
    if (rh_valid_utf8(text, strlen(text)))
        return json_string(text);
    printable = rh_printable(text);
    return json_string(printable);
}

json_t *rh_package_json(struct rh_package *p)
{
    json_t *o = json_object(), *vms = json_array(), *about = json_object();

    json_object_set_new(about, "path", safe_string(p->path));
    json_object_set_new(about, "kind", safe_string(p->kind));
    json_object_set_new(about, "manifest",
                        json_string(manifest_word(p->manifest)));
    json_object_set_new(about, "signature",
                        json_string(signature_word(p->signature)));
    json_object_set_new(about, "signer", safe_string(p->signer));
    json_object_set_new(about, "findings", rh_findings_json(&p->findings));
    for (size_t i = 0; i < p->vms.count; i++) {
        json_t *vm = rh_vm_json(p->vms.items[i]);

        json_object_set_new(vm, "findings",
                            rh_findings_json(&p->vm_findings.items[i]));
        json_array_append_new(vms, vm);
    }
    json_object_set_new(o, "schema", json_string("rehost.vm/1"));
    json_object_set_new(o, "package", about);
    json_object_set_new(o, "vms", vms);
    return o;
}

/* --- table
 * ------------------------------------------------------------------------- */
struct row {
    char *field, *value, *source;
};
struct table {
    RH_VEC(struct row) rows;
    struct rh_vm *vm;
    char group[32]; /* "disks/0", or "" */
};

/* How many columns a text takes, near enough: one for each character. */
static int columns(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void add_row(struct table *t, char *field, char *value, char *source)
{
    struct row *r = rh_vec_add(&t->rows);

    r->field = field;
    r->value = value;
    r->source = source;
}

char *rh_source_for_people(const struct rh_value *v)
{
    static const char *const names[] = {[RH_FROM_NOBODY] = "",
                                        [RH_FROM_DEFAULT] = N_("guess"),
                                        [RH_FROM_DISK] = N_("disk"),
                                        [RH_FROM_FILL] = N_("fill file"),
                                        [RH_FROM_GUEST] = N_("guest"),
                                        [RH_FROM_OVF] = N_("OVF descriptor"),
                                        [RH_FROM_VMX] = N_("VMX file"),
                                        [RH_FROM_LIBVIRT] = N_("libvirt XML"),
                                        [RH_FROM_VBOX] =
                                            N_("VirtualBox settings"),
                                        [RH_FROM_RVTOOLS] = N_("RVTools"),
                                        [RH_FROM_VSPHERE] = N_("vSphere"),
                                        [RH_FROM_PRISM] = N_("Prism"),
                                        [RH_FROM_SET] = N_("--set")};

    if (v->kind == RH_VALUE_UNSET)
        return rh_strdup("");
    if (v->detail)
        return rh_printf("%s: %s", _(names[v->from]), v->detail);
    return rh_strdup(_(names[v->from]));
}

/* One line, at most 60 characters. */
static char *shortened(const char *text)
{
    RH_AUTO(rh_freep) char *line = rh_strndup(text, strcspn(text, "\r\n"));
    bool cut = line[0] && strlen(line) < strlen(text);
    size_t n = 0, at = 0;

    for (; line[at] && n < 60; at++)
        n += ((unsigned char)line[at + 1] & 0xc0) != 0x80;
    cut = cut || line[at];
    return rh_printf("%.*s%s", (int)at, line, cut ? " ..." : "");
}

char *rh_value_for_people(const struct rh_field *field,
                          const struct rh_value *v)
{
    char number[32];
    RH_AUTO(rh_freep) char *text = NULL;

    if (v->kind == RH_VALUE_UNSET)
        return rh_strdup(_("not known"));
    if (v->kind == RH_VALUE_BOOL)
        return rh_strdup(v->boolean ? _("yes") : _("no"));
    if (strstr(field->key, "_bytes"))
        return rh_human_size(v->number);
    text = shortened(rh_value_text(v, number, sizeof number));
    return rh_printable(text);
}

/* Unset fields are shown only where somebody has to say them. */
static bool worth_showing(const char *key, const struct rh_value *v)
{
    static const char *const wanted[] = {
        "cpus",       "memory_bytes", "firmware",        "uuid",
        "os/profile", "/file",        "/capacity_bytes", "/controller",
        "/mac",       "/network",     "/model"};
    size_t n = strlen(key);

    if (v->kind != RH_VALUE_UNSET)
        return true;
    if (!strncmp(key, "cdroms/", 7))
        return false;
    for (size_t i = 0; i < RH_COUNT(wanted); i++) {
        size_t w = strlen(wanted[i]);

        if (n >= w && !strcmp(key + n - w, wanted[i]) &&
            (wanted[i][0] == '/' || n == w))
            return true;
    }
    return false;
}

static void heading(struct table *t, const char *group)
{
    static const struct {
        const char *list, *about;
    } names[] = {{"disks/", N_("disk")},
                 {"nics/", N_("network card")},
                 {"cdroms/", N_("CD drive")}};
    const char *slash = strchr(group, '/');

    snprintf(t->group, sizeof t->group, "%s", group);
    for (size_t i = 0; slash && i < RH_COUNT(names); i++) {
        if (!strncmp(group, names[i].list, strlen(names[i].list)))
            add_row(t, rh_printf("%s %s", _(names[i].about), slash + 1),
                    rh_strdup(""), rh_strdup(""));
    }
}

static int field_row(void *user, const char *key, const struct rh_field *field,
                     struct rh_value *v)
{
    struct table *t = user;
    const char *slash = strrchr(key, '/');
    bool item = slash && strncmp(key, "os/", 3);
    char group[32] = "";

    if (item)
        snprintf(group, sizeof group, "%.*s", (int)(slash - key), key);
    if (strcmp(group, t->group))
        heading(t, group);
    if (!worth_showing(key, v))
        return 0;
    add_row(t, rh_printf("%s%s", item ? "  " : "", _(field->about)),
            rh_value_for_people(field, v), rh_source_for_people(v));
    return 0;
}

static void print_row(struct rh_buf *out, const struct row *r, int field,
                      int value)
{
    rh_buf_printf(out, "  %s%*s  %s%*s  %s", r->field,
                  field - columns(r->field), "", r->value,
                  value - columns(r->value), "", r->source);
    while (out->length && out->data[out->length - 1] == ' ')
        out->data[--out->length] = '\0';
    rh_buf_putc(out, '\n');
}

static void print_table(struct rh_buf *out, struct table *t)
{
    int field = 0, value = 0;

    for (size_t i = 0; i < t->rows.count; i++) {
        field = RH_MAX(field, columns(t->rows.items[i].field));
        value = RH_MAX(value, columns(t->rows.items[i].value));
    }
    for (size_t i = 0; i < t->rows.count; i++)
        print_row(out, &t->rows.items[i], field, value);
}

static void free_table(struct table *t)
{
    for (size_t i = 0; i < t->rows.count; i++) {
        rh_freep(&t->rows.items[i].field);
        rh_freep(&t->rows.items[i].value);
        rh_freep(&t->rows.items[i].source);
    }
    rh_freep(&t->rows.items);
}

static void print_findings(struct rh_buf *out, const struct rh_findings *from)
{
    static const char *const words[] = {N_("info"), N_("caution"),
                                        N_("blocker")};
    struct rh_findings list = {0};

    rh_findings_copy(&list, from);
    rh_findings_sort(&list);
    for (size_t i = 0; i < list.count; i++) {
        const struct rh_finding *f = &list.items[i];

        rh_buf_printf(out, "  %s: %s: %s [%s]\n", _(words[f->severity]),
                      f->subject, f->message, rh_finding_name(f->id));
        /* One remedy of several findings in a row is said once. */
        if (f->remedy && f->severity != RH_SEVERITY_INFO &&
            !(i + 1 < list.count && list.items[i + 1].remedy &&
              list.items[i + 1].severity == f->severity &&
              !strcmp(list.items[i + 1].remedy, f->remedy)))
            rh_buf_printf(out, "    -> %s\n", f->remedy);
    }
    rh_findings_free(&list);
}

static void print_vm(struct rh_buf *out, struct rh_vm *vm,
                     const struct rh_findings *findings)
{
    struct table t = {.vm = vm};
    RH_AUTO(rh_freep)
    char *title = rh_printable(vm->name.text ? vm->name.text : vm->id);

    rh_buf_printf(out, "\n%s\n", title);
    add_row(&t, rh_strdup(_("FIELD")), rh_strdup(_("VALUE")),
            rh_strdup(_("SOURCE")));
    rh_vm_each(vm, field_row, &t);
    for (size_t i = 0; i < t.rows.count; i++) {
        char *safe = rh_printable(t.rows.items[i].source);

        rh_freep(&t.rows.items[i].source);
        t.rows.items[i].source = safe;
    }
    print_table(out, &t);
    free_table(&t);
    if (findings->count)
        rh_buf_puts(out, "\n");
    print_findings(out, findings);
}

char *rh_package_text(struct rh_package *p)
{
    RH_AUTO(rh_freep) char *path = rh_printable(p->path ? p->path : "");
    struct rh_buf out = {0};

    rh_buf_printf(&out, _("%s: %s, manifest %s, signature %s\n"), path,
                  p->kind ? p->kind : "", manifest_word(p->manifest),
                  signature_word(p->signature));
    print_findings(&out, &p->findings);
    for (size_t i = 0; i < p->vms.count; i++)
        print_vm(&out, p->vms.items[i], &p->vm_findings.items[i]);
    return rh_buf_take(&out);
}
