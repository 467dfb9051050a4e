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

size_t rh_package_add_vm(struct rh_package *p, struct rh_vm *vm)
{
    *rh_vec_add(&p->vms) = vm;
    rh_vec_add(&p->vm_findings);
    return p->vms.count - 1;
}

/* --- a bare disk --------------------------------------------------------- */

/* "web01" of "web01.vmdk" and of "web01.vmdk.gz". */
static char *stem_of(const char *name)
{
    static const char *const packed[] = {".gz", ".xz", ".zst", ".bz2"};
    char *stem = rh_strdup(name), *dot = strrchr(stem, '.');

    for (size_t i = 0; dot && i < RH_COUNT(packed); i++)
        if (rh_same_word(dot, packed[i])) {
            *dot = '\0';
            dot = strrchr(stem, '.');
        }
    if (dot && dot > stem)
        *dot = '\0';
    return stem;
}

/* A VM of that disk's name with that one disk; all else is open. */
static int bare_disk(struct rh_package *p, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep) char *stem = stem_of(c->name);
    struct rh_vm *vm = rh_vm_new(strcmp(stem, "-") ? stem : "vm");
    struct rh_disk_config *d = rh_vec_add(&vm->disks);
    struct rh_reader *r;

    rh_set_text(vm, &vm->name, vm->id, RH_FROM_DISK, "the file's name");
    rh_set_text(vm, &d->id, "disk0", RH_FROM_DISK, NULL);
    rh_set_text(vm, &d->file, c->name, RH_FROM_DISK, NULL);
    rh_package_add_vm(p, vm);
    r = rh_package_disk(p, 0, 0, err); /* learns its format and size */
    rh_reader_close(r);
    return r ? 0 : -1;
}

/* --- the whole ----------------------------------------------------------- */

static int take_descriptor(struct rh_package *p,
                           const struct rh_package_options *o, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep) char *text = NULL;
    static const struct rh_package_options none;
    size_t n;

    if (rh_io_slurp(c->io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0 ||
        rh_digests_open(p, text, n, err) < 0)
        return -1;
    if (!o)
        o = &none;
    if ((c->kind == RH_SOURCE_VMX ? rh_vmx_parse : rh_ovf_parse)(
            p, c->name, text, n, o, err) < 0)
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

static int open_contents(struct rh_package *p, const char *source,
                         const struct rh_package_options *o, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    if (rh_datastores_open(p, o, err) < 0 || rh_source_open(p, source, err) < 0)
        return -1;
    c->folder = c->archive ? rh_folder_of(c->name) : rh_strdup("");
    p->place = rh_view_new(c->base, c->folder, NULL, NULL);
    tell_about_end(p);
    if (c->kind == RH_SOURCE_DISK)
        return bare_disk(p, err) < 0 ? -1 : rh_digests_check(p, err);
    if (take_descriptor(p, o, err) < 0 || rh_files_list(p, err) < 0)
        return -1;
    return rh_digests_check(p, err);
}

struct rh_package *rh_package_open(rh_lib *lib, const char *source,
                                   const struct rh_package_options *o,
                                   rh_error **err)
{
    RH_AUTO(rh_package_freep)
    struct rh_package *p = rh_new0(struct rh_package);
    struct rh_container *c = rh_new0(struct rh_container);

    c->package = p;
    p->state = c;
    p->lib = lib;
    p->arena = rh_arena_new();
    p->path = rh_source_shown(source);
    p->forward = o && o->forward;
    if (open_contents(p, source, o, err) == 0)
        return RH_TAKE(p);
    rh_error_subject(err, p->path);
    return NULL;
}

static void container_free(struct rh_container *c)
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
    for (size_t i = 0; i < c->witnesses.count; i++)
        rh_witness_free(c->witnesses.items[i].witness);
    free(c->witnesses.items);
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
        container_free(p->state);
    free(p->members.items);
    free(p->signer);
    free(p->path);
    rh_arena_free(p->arena);
    free(p);
}
