/* api.c - the public calls on packages, reports and build information. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/features.h"
#include "convert/documents.h"
#include "convert/job.h"
#include "config/describe.h"
#include "rehost/rehost.h"
#include "report/render.h"

/* --- packages
 * -------------------------------------------------------------------- */

static int fill_and_set(rh_package *p, const rh_options *o, rh_error **err)
{
    const char *value;

    for (size_t i = 0; (value = rh_option_at(o, "fill", i)); i++)
        if (rh_config_fill(p, value, err) < 0)
            return -1;
    for (size_t i = 0; (value = rh_option_at(o, "set", i)); i++)
        if (rh_config_set(p, value, err) < 0)
            return -1;
    if (rh_package_drop(p, o, err) < 0)
        return -1;
    p->strict = rh_option_yes(o, "strict");
    return rh_package_complete(p, p->strict, err);
}

/* `inspect --guest`: what the guest says joins the description. */
static int look_inside(rh_package *p, const rh_options *o, rh_error **err)
{
    const struct rh_profiles *profiles;
    int failed = 0;

    if (!rh_option_yes(o, "guest"))
        return 0;
    profiles = rh_profiles_of(p->lib, err);
    if (!profiles)
        return -1;
    for (size_t i = 0; i < p->vms.count && !failed; i++)
        failed = rh_job_inspect_vm(p, i, profiles, o, err);
    return failed;
}

/* A conversion that leaves the guests alone needs a disk's bytes once. */
static bool reads_once(const rh_options *o)
{
    return rh_option(o, "out") && !rh_option_yes(o, "guest") &&
           (rh_option_yes(o, "no-guest-fix") || rh_option_yes(o, "no-guest"));
}

rh_package *rh_package_load_for(rh_lib *lib, const char *source,
                                const rh_options *options, bool will_read,
                                rh_error **err)
{
    struct rh_package_options o = {
        .vm = rh_option(options, "vm"),
        .configuration = rh_option(options, "configuration"),
        .source_format = rh_option(options, "source-format"),
        .all = options,
        .will_read = will_read,
        .forward = reads_once(options),
    };
    rh_package *p;

    if (rh_options_without(options, rh_options_of_others, "rh_package_load",
                           err) < 0)
        return NULL;
    p = rh_package_open(lib, source, &o, err);
    if (!p)
        return NULL;
    if (fill_and_set(p, options, err) < 0 || look_inside(p, options, err) < 0) {
        rh_package_free(p);
        return NULL;
    }
    return p;
}

rh_package *rh_package_load(rh_lib *lib, const char *source,
                            const rh_options *options, rh_error **err)
{
    const struct rh_reach reach = {.sources = &source, .count = 1};

    if (rh_options_check_reach(options, &reach, err) < 0)
        return NULL;
    return rh_package_load_for(lib, source, options,
                               rh_option(options, "out") != NULL, err);
}

/* --- later words
 * -------------------------------------------------------------- */

struct snapshot {
    struct rh_vm **vms;
    struct rh_findings *findings;
};

static void take_snapshot(const rh_package *p, struct snapshot *ret)
{
    ret->vms = rh_calloc(p->vms.count, sizeof *ret->vms);
    ret->findings = rh_calloc(p->vms.count, sizeof *ret->findings);
    for (size_t i = 0; i < p->vms.count; i++) {
        ret->vms[i] = rh_vm_copy(p->vms.items[i]);
        rh_findings_copy(&ret->findings[i], &p->vm_findings.items[i]);
    }
}

/* What failed has not been said. */
static void end_snapshot(rh_package *p, struct snapshot *s, bool failed)
{
    for (size_t i = 0; i < p->vms.count; i++) {
        if (failed) {
            rh_vm_restore(p->vms.items[i], s->vms[i]);
            rh_findings_free(&p->vm_findings.items[i]);
            p->vm_findings.items[i] = s->findings[i];
        } else {
            rh_vm_free(s->vms[i]);
            rh_findings_free(&s->findings[i]);
        }
    }
    free(s->vms);
    free(s->findings);
}

static int say_later(rh_package *p, const char *what,
                     int (*say)(rh_package *, const char *, rh_error **),
                     rh_error **err)
{
    struct snapshot before;
    int failed;

    take_snapshot(p, &before);
    failed =
        say(p, what, err) < 0 || rh_package_complete(p, p->strict, err) < 0;
    end_snapshot(p, &before, failed);
    return failed ? -1 : 0;
}

int rh_package_set(rh_package *p, const char *assignment, rh_error **err)
{
    return say_later(p, assignment, rh_config_set, err);
}

int rh_package_fill(rh_package *p, const char *file, rh_error **err)
{
    return say_later(p, file, rh_config_fill, err);
}

void rh_package_unload(rh_package *p)
{
    rh_package_free(p);
}

size_t rh_package_vm_count(const rh_package *p)
{
    return p->vms.count;
}

const char *rh_package_vm_name(const rh_package *p, size_t vm)
{
    const struct rh_vm *v = vm < p->vms.count ? p->vms.items[vm] : NULL;

    if (!v)
        return NULL;
    return v->name.kind == RH_VALUE_TEXT ? v->name.text : v->id;
}

char *rh_package_value(rh_package *p, size_t vm, const char *key,
                       char **ret_from)
{
    struct rh_value *v = vm < p->vms.count
                             ? rh_vm_value(p->vms.items[vm], key, false, NULL)
                             : NULL;
    char buf[64];

    if (!v || v->kind == RH_VALUE_UNSET)
        return NULL;
    if (ret_from)
        *ret_from = rh_from_text(v);
    return rh_strdup(rh_value_text(v, buf, sizeof buf));
}

static char *describe_json(rh_package *p, rh_error **err)
{
    json_t *doc = rh_package_json(p);
    char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;

    json_decref(doc);
    if (!text)
        rh_fail(err, RH_ERR_BUG, "the description cannot be written");
    return text;
}

static char *describe_template(rh_package *p)
{
    struct rh_buf b = {0};

    for (size_t i = 0; i < p->vms.count; i++) {
        RH_AUTO(rh_freep) char *one = rh_package_template(p, i);

        if (i)
            rh_buf_puts(&b, "---\n");
        rh_buf_puts(&b, one);
    }
    return rh_buf_take(&b);
}

char *rh_package_describe(rh_package *p, const char *as, rh_error **err)
{
    if (!strcmp(as, "json"))
        return describe_json(p, err);
    if (!strcmp(as, "text"))
        return rh_package_text(p);
    if (!strcmp(as, "template"))
        return describe_template(p);
    rh_fail(err, RH_ERR_USAGE, "a package is not described as \"%s\"", as);
    return NULL;
}

static const char *profile_name(rh_lib *lib, size_t i)
{
    const struct rh_profiles *all = rh_profiles_of(lib, NULL);
    const struct rh_profile *p = all ? rh_profile_at(all, i) : NULL;

    return p ? p->id : NULL;
}

const rh_finding *rh_package_finding(const rh_package *p, size_t vm, size_t i)
{
    const struct rh_findings *list =
        vm < p->vm_findings.count ? &p->vm_findings.items[vm] : &p->findings;

    return i < list->count ? &list->items[i] : NULL;
}

/* --- lists
 * ------------------------------------------------------------------------ */

const char *rh_lib_name(rh_lib *lib, const char *what, size_t i)
{
    if (!strcmp(what, "profiles"))
        return profile_name(lib, i);
    if (!strcmp(what, "formats"))
        return rh_format_at(i) ? rh_format_at(i)->name : NULL;
    if (!strcmp(what, "targets"))
        return rh_target_at(i) ? rh_target_at(i)->name : NULL;
    if (!strcmp(what, "fixes")) {
        for (size_t n = 0; rh_fix_names[n]; n++)
            if (n == i)
                return rh_fix_names[n];
        return NULL;
    }
    if (!strcmp(what, "findings"))
        return i + 1 < RH_F_COUNT ? rh_finding_name((enum rh_finding_id)(i + 1))
                                  : NULL;
    return NULL;
}

char *rh_lib_profiles_json(rh_lib *lib, const char *id, rh_error **err)
{
    const struct rh_profiles *all = rh_profiles_of(lib, err);
    const struct rh_profile *p;
    json_t *doc, *list;
    char *text;

    if (!all)
        return NULL;
    if (id && !rh_profile_named(all, id)) {
        rh_fail(err, RH_ERR_USAGE, "there is no profile \"%s\"", id);
        rh_hint(err, "`rehost profiles` lists them");
        return NULL;
    }
    list = json_array();
    for (size_t i = 0; (p = rh_profile_at(all, i)); i++)
        if (!id || !strcmp(p->id, id))
            json_array_append_new(list, rh_profile_json(p));
    doc = json_pack("{s:s, s:o}", "schema", "rehost.profiles/1", "profiles",
                    list);
    text = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    return text;
}

char *rh_build_info(void)
{
    struct rh_buf b = {0};

    rh_buf_printf(&b, "rehost %s\n", rh_version());
    rh_buf_printf(&b, "codecs:     %s\n", rh_codec_about());
    rh_buf_puts(&b, "formats:    ");
    for (size_t i = 0; rh_format_at(i); i++)
        rh_buf_printf(&b, "%s%s (%s%s%s)", i ? ", " : "", rh_format_at(i)->name,
                      rh_format_at(i)->open ? "read" : "",
                      rh_format_at(i)->open && rh_format_at(i)->writer ? ", "
                                                                       : "",
                      rh_format_at(i)->writer ? "write" : "");
    rh_buf_puts(&b, "\ntargets:    ");
    for (size_t i = 0; rh_target_at(i); i++)
        rh_buf_printf(&b, "%s%s", i ? ", " : "", rh_target_at(i)->name);
    rh_buf_printf(&b, "\nlibguestfs: %s\n", RH_WITH_LIBGUESTFS);
    rh_buf_printf(&b, "libcurl:    %s\n", RH_WITH_LIBCURL);
    rh_buf_printf(&b, "libnbd:     %s\n", RH_WITH_LIBNBD);
    rh_buf_printf(&b, "libvirt:    %s\n", RH_WITH_LIBVIRT);
    return rh_buf_take(&b);
}
