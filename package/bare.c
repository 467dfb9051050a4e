/* bare.c - disks without a descriptor: one, or several that are one VM. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "package/container.h"
#include "package/view.h"

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

const struct rh_bare *rh_bare_named(const struct rh_package *p,
                                    const char *name)
{
    const struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; i < c->bares.count; i++)
        if (!strcmp(c->bares.items[i].name, name))
            return &c->bares.items[i];
    return NULL;
}

static bool same_file(const struct rh_io *a, const struct rh_io *b)
{
    struct stat x, y;

    return a->fd >= 0 && b->fd >= 0 && a->fd_offset == b->fd_offset &&
           fstat(a->fd, &x) == 0 && fstat(b->fd, &y) == 0 &&
           x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The file's; where another disk has that, its address, which may be that of
 * others, too: what follows a '?' is not shown. */
static char *name_of(const struct rh_package *p, const char *source,
                     const char *file)
{
    RH_AUTO(rh_freep) char *shown = rh_source_shown(source);
    char *name = rh_strdup(file);

    for (unsigned n = 1; rh_bare_named(p, name); n++) {
        free(name);
        name = n == 1 ? rh_strdup(shown) : rh_printf("%s (%u)", shown, n);
    }
    return name;
}

static int add_bare(struct rh_package *p, const char *source,
                    struct rh_container *from, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    char *name;

    for (size_t i = 0; i < c->bares.count; i++)
        if (same_file(c->bares.items[i].io, from->io)) {
            rh_fail(err, RH_ERR_USAGE, "the same disk was given twice");
            return rh_error_subject(err, source);
        }
    name = name_of(p, source, from->name);
    *rh_vec_add(&c->bares) =
        (struct rh_bare){name, from->io, from->base, from->format, NULL};
    return 0;
}

/* Opened as a package of its own would be; its container is kept for its io and
 * the files beside it. */
static int add_other(struct rh_package *p, const char *source,
                     const struct rh_package_options *o, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    struct rh_container *other = rh_new0(struct rh_container);
    struct rh_package scratch = {.lib = p->lib,
                                 .state = other,
                                 .arena = p->arena,
                                 .source_format = p->source_format};
    int failed;

    other->package = p;
    failed = rh_source_open(&scratch, source, o, err) < 0;
    if (!failed && (other->descriptor || other->archive || other->opener)) {
        failed = true;
        rh_fail(err, RH_ERR_USAGE,
                "several sources are one VM when all of them are bare disks; "
                "this is none");
    }
    if (failed || add_bare(p, source, other, err) < 0) {
        rh_container_free(other);
        return rh_error_subject(err, source);
    }
    c->bares.items[c->bares.count - 1].owned = other;
    return 0;
}

void rh_bare_close(struct rh_container *c)
{
    for (size_t i = 0; i < c->bares.count; i++) {
        if (c->bares.items[i].owned)
            rh_container_free(c->bares.items[i].owned);
        free(c->bares.items[i].name);
    }
    free(c->bares.items);
}

static int add_disk(struct rh_package *p, struct rh_vm *vm, size_t i,
                    rh_error **err)
{
    const struct rh_bare *b = &rh_container_of(p)->bares.items[i];
    struct rh_disk_config *d = rh_vec_add(&vm->disks);
    struct rh_reader *r;

    rh_set_text(vm, &d->id, rh_arena_printf(vm->arena, "disk%zu", i),
                RH_FROM_DISK, NULL);
    rh_set_text(vm, &d->file, b->name, RH_FROM_DISK, NULL);
    r = rh_package_disk(p, 0, i, err); /* learns its format and size */
    rh_reader_close(r);
    return r ? 0 : -1;
}

/* A VM of the first disk's name; all else is open. */
int rh_bare_open(struct rh_package *p, const struct rh_package_options *o,
                 rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep) char *stem = stem_of(c->name);
    struct rh_vm *vm = rh_vm_new(strcmp(stem, "-") ? stem : "vm");
    const char *more;

    rh_set_text(vm, &vm->name, vm->id, RH_FROM_DISK, "the file's name");
    rh_package_add_vm(p, vm);
    if (add_bare(p, p->path, c, err) < 0)
        return -1;
    for (size_t i = 0; (more = rh_option_at(o->all, "disk", i)); i++) {
        if (i + 1 >= RH_LIMIT_VM_DISKS)
            return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d disks",
                           RH_LIMIT_VM_DISKS);
        if (add_other(p, more, o, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < c->bares.count; i++)
        if (add_disk(p, vm, i, err) < 0)
            return -1;
    return 0;
}
