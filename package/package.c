/* package.c - opening a package: what it is, what vouches for it, its VMs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/package.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "package/container.h"
#include "package/view.h"

/* --- notes of the parsers ------------------------------------------------ */

void rh_package_note_file(struct rh_package *p, const struct rh_file_note *f)
{
    struct rh_container *c = rh_container_of(p);
    struct rh_file_note *to;

    if (!c || !f->href)
        return;
    to = rh_vec_add(&c->files);
    *to = *f;
    to->href = rh_arena_strdup(p->arena, f->href);
    to->compression = rh_arena_strdup(p->arena, f->compression);
}

void rh_package_note_disk(struct rh_package *p, const struct rh_disk_note *d)
{
    struct rh_container *c = rh_container_of(p);
    struct rh_disk_note *to;

    if (!c || !d->id)
        return;
    to = rh_vec_add(&c->disks);
    *to = *d;
    to->id = rh_arena_strdup(p->arena, d->id);
    to->href = rh_arena_strdup(p->arena, d->href);
    to->parent_id = rh_arena_strdup(p->arena, d->parent_id);
}

int rh_package_one_configuration(const char *asked, rh_error **err)
{
    return asked ? rh_fail(err, RH_ERR_OVF_CONFIGURATION,
                           "there is no configuration \"%s\"; the package has "
                           "none to choose from",
                           asked)
                 : 0;
}

size_t rh_package_add_vm(struct rh_package *p, struct rh_vm *vm)
{
    *rh_vec_add(&p->vms) = vm;
    rh_vec_add(&p->vm_findings);
    return p->vms.count - 1;
}

/* --- the whole ----------------------------------------------------------- */

static int take_descriptor(struct rh_package *p,
                           const struct rh_package_options *o, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep) char *text = NULL;
    size_t n;

    if (rh_io_slurp(c->io,
                    c->descriptor->limit ? c->descriptor->limit
                                         : RH_LIMIT_DESCRIPTOR,
                    &text, &n, err) < 0 ||
        rh_digests_open(p, text, n, err) < 0)
        return -1;
    if (c->descriptor->parse(p, c->name, text, n, o, err) < 0)
        return rh_error_subject(err, c->name);
    return 0;
}

static void tell_about_end(struct rh_package *p)
{
    if (rh_container_of(p)->about.trailing)
        rh_finding_add(
            &p->findings, RH_F_PACKAGE_TRAILING_DATA, "package",
            "something follows the end of the archive; it is not read");
}

/* Nothing of it is a file: no member, no manifest. */
static int open_live(struct rh_package *p, const struct rh_package_options *o,
                     rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    c->base = rh_place_nothing(p->path);
    c->folder = rh_strdup("");
    p->place = rh_view_new(c->base, "", NULL, NULL);
    if (p->lib->require_manifest || p->lib->trust)
        return rh_fail(err, RH_ERR_USAGE,
                       "a live source has neither a manifest nor a signature");
    return rh_option_at(o->all, "disk", 0)
               ? rh_fail(err, RH_ERR_USAGE,
                         "a live VM takes no disks of others")
               : 0;
}

static int open_contents(struct rh_package *p, const char *source,
                         const struct rh_package_options *o, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    if (rh_datastores_open(p, o, err) < 0 ||
        rh_source_open(p, source, o, err) < 0)
        return -1;
    if (c->opener)
        return open_live(p, o, err);
    c->folder = c->archive ? rh_folder_of(c->name) : rh_strdup("");
    p->place = rh_view_new(c->base, c->folder, NULL, NULL);
    tell_about_end(p);
    if (!c->descriptor)
        return rh_bare_open(p, o, err) < 0 ? -1 : rh_digests_check(p, err);
    if (rh_option_at(o->all, "disk", 0)) {
        rh_fail(err, RH_ERR_USAGE,
                "several sources are one VM when all of them are bare disks; "
                "this is none");
        return rh_hint(err, "convert one package after the other, or report "
                            "on all of them");
    }
    if (take_descriptor(p, o, err) < 0 || rh_files_list(p, err) < 0)
        return -1;
    return rh_digests_check(p, err);
}

static int check_format(const char *name, rh_error **err)
{
    const struct rh_format *f = name ? rh_format_named(name) : NULL;

    return !name || (f && f->open)
               ? 0
               : rh_fail(err, RH_ERR_USAGE,
                         "--source-format: \"%s\" is no format to read", name);
}

struct rh_package *rh_package_open(rh_lib *lib, const char *source,
                                   const struct rh_package_options *o,
                                   rh_error **err)
{
    RH_AUTO(rh_package_freep)
    struct rh_package *p = rh_new0(struct rh_package);
    static const struct rh_package_options none;
    struct rh_container *c = rh_new0(struct rh_container);

    c->package = p;
    p->state = c;
    p->lib = lib;
    p->arena = rh_arena_new();
    p->path = rh_source_shown(source);
    o = o ? o : &none;
    p->forward = o->forward;
    p->source_format = rh_arena_strdup(p->arena, o->source_format);
    if (check_format(p->source_format, err) == 0 &&
        open_contents(p, source, o, err) == 0)
        return RH_TAKE(p);
    rh_error_subject(err, p->path);
    return NULL;
}

void rh_container_free(struct rh_container *c)
{
    for (size_t i = 0; i < c->unpacked.count; i++) {
        free(c->unpacked.items[i].name);
        rh_io_unref(c->unpacked.items[i].io);
    }
    free(c->unpacked.items);
    for (size_t i = 0; i < c->trails.count; i++)
        free(c->trails.items[i].members.items);
    free(c->trails.items);
    for (size_t i = 0; i < c->views.count; i++)
        rh_place_close(c->views.items[i]);
    free(c->views.items);
    rh_datastores_close(c);
    rh_bare_close(c);
    for (size_t i = 0; i < c->witnesses.count; i++)
        rh_witness_free(c->witnesses.items[i].witness);
    free(c->witnesses.items);
    free(c->nears.items);
    if (c->opener)
        c->opener->ops->close(c->opener);
    rh_name_map_free(&c->near_lines);
    rh_name_map_free(&c->near_twice);
    if (c->manifest)
        rh_manifest_free(c->manifest);
    rh_io_unref(c->io);
    rh_place_close(c->base);
    free(c->files.items);
    free(c->disks.items);
    free(c->name);
    free(c->folder);
    free(c);
}

void rh_package_free(struct rh_package *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->vms.count; i++)
        rh_vm_free(p->vms.items[i]);
    free(p->vms.items);
    for (size_t i = 0; i < p->vm_findings.count; i++)
        rh_findings_free(&p->vm_findings.items[i]);
    free(p->vm_findings.items);
    rh_findings_free(&p->findings);
    rh_place_close(p->place);
    if (p->state)
        rh_container_free(p->state);
    free(p->members.items);
    free(p->signer);
    free(p->path);
    rh_arena_free(p->arena);
    free(p);
}
