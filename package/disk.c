/* disk.c - the disks of a package, opened: chunks joined, compressed files
 * unpacked, deltas laid over their parents. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "package/container.h"
#include "package/join.h"
#include "package/view.h"

/* What is being opened. */
struct opening {
    struct rh_package *p;
    bool raw;       /* the descriptor says plain bytes */
    unsigned depth; /* of the chain of deltas */
};

/* --- the file's bytes ---------------------------------------------------- */

static void watch(struct rh_package *p, const char *name, uint64_t size)
{
    struct rh_container *c = rh_container_of(p);
    struct rh_trail *trail = &c->trails.items[c->watched];
    size_t member = rh_member_of(p, name, size);

    for (size_t i = 0; i < trail->members.count; i++)
        if (trail->members.items[i] == member)
            return;
    *rh_vec_add(&trail->members) = member;
}

/* By the name in the archive; members go by their name beside the descriptor.
 */
static void watch_opened(void *user, const char *name, uint64_t size)
{
    struct rh_container *c = user;
    size_t n = strlen(c->folder);

    if (n && !strncmp(name, c->folder, n) && name[n] == '/')
        name += n + 1;
    watch(c->package, name, size);
}

/* A remote file with a digest to be checked: it is computed from what passes.
 * Takes `io`. */
static struct rh_io *witnessed(struct rh_package *p, struct rh_io *io,
                               const struct rh_part *part)
{
    struct rh_container *c = rh_container_of(p);
    size_t member = rh_member_of(p, part->name, part->size), i = 0;
    const struct rh_member *m = &p->members.items[member];
    struct rh_witness *w;
    struct rh_io *seen;

    if (!io || io->fd >= 0 || !m->digest || m->verified)
        return io;
    while (i < c->witnesses.count && c->witnesses.items[i].member != member)
        i++;
    if (i == c->witnesses.count) {
        w = rh_witness_new(io, m->algorithm);
        if (!w)
            return io;
        *rh_vec_add(&c->witnesses) = (struct rh_watched){member, w};
    }
    seen = rh_witness_io(c->witnesses.items[i].witness);
    rh_io_unref(io);
    return seen;
}

static struct rh_witness *witness_of(const struct rh_package *p,
                                     const struct rh_member *m)
{
    const struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; i < c->witnesses.count; i++)
        if (&p->members.items[c->witnesses.items[i].member] == m)
            return c->witnesses.items[i].witness;
    return NULL;
}

bool rh_package_witnesses(const struct rh_package *p, const struct rh_member *m)
{
    return witness_of(p, m) != NULL;
}

int rh_package_witness(struct rh_package *p, struct rh_member *m,
                       rh_error **err)
{
    struct rh_witness *w = witness_of(p, m);
    char hex[RH_DIGEST_HEX];

    if (!w || m->verified)
        return 0;
    return rh_witness_hex(w, hex, err) < 0
               ? -1
               : rh_package_check_digest(p, m, hex, err);
}

static struct rh_io *join_parts(struct rh_package *p,
                                const struct rh_parts *parts, const char *name,
                                bool watched, rh_error **err)
{
    size_t count = 0;
    RH_AUTO(rh_freep)
    struct rh_io **ios = rh_calloc(parts->list.count, sizeof *ios);

    for (; count < parts->list.count; count++) {
        ios[count] = rh_file_open(p, parts->list.items[count].name, err);
        if (!ios[count])
            break;
        if (watched)
            ios[count] = witnessed(p, ios[count], &parts->list.items[count]);
    }
    if (count == parts->list.count)
        return count == 1 ? ios[0] : rh_io_join(ios, count, name, err);
    while (count)
        rh_io_unref(ios[--count]);
    return NULL;
}

/* A file whose bytes are a compressed stream, by its magic, is unpacked into a
 * spool once and kept. */
static struct rh_io *unpack(struct rh_package *p, struct rh_io *io,
                            const char *href, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_stream_closep) struct rh_stream *s = NULL;
    struct rh_unpacked *kept;
    const char *codec;
    uint64_t limit = p->lib && p->lib->max_disk_size ? p->lib->max_disk_size
                                                     : RH_LIMIT_DISK_SIZE;
    struct rh_io *spool;

    s = rh_stream_unpack(rh_stream_io(io), &codec, err);
    if (!s)
        return NULL;
    if (!codec)
        return rh_io_ref(io);
    spool = rh_spool(p->lib, s, limit, err);
    if (!spool)
        return NULL;
    kept = rh_vec_add(&c->unpacked);
    kept->name = rh_strdup(href);
    kept->io = spool;
    return rh_io_ref(spool);
}

static struct rh_io *find_unpacked(struct rh_package *p, const char *name)
{
    struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; i < c->unpacked.count; i++)
        if (!strcmp(c->unpacked.items[i].name, name))
            return rh_io_ref(c->unpacked.items[i].io);
    return NULL;
}

static int check_whole(const struct rh_file_note *note,
                       const struct rh_parts *parts, const char *href,
                       rh_error **err)
{
    if (!note || !note->chunk_size || !note->size || parts->size == note->size)
        return 0;
    rh_fail(err, RH_ERR_PACKAGE_CHUNK,
            "its %zu parts have %llu bytes, where the descriptor says %llu",
            parts->list.count, (unsigned long long)parts->size,
            (unsigned long long)note->size);
    return rh_error_subject(err, href);
}

/* The file of a disk as it is stored, its chunks joined; *ret_folder is where
 * the files beside it are. */
static struct rh_io *open_stored(struct rh_package *p, const char *href,
                                 char **ret_folder, rh_error **err)
{
    const struct rh_file_note *note = rh_file_note_of(p, href);
    RH_AUTO(rh_parts_free) struct rh_parts parts = {0};

    if (rh_parts_find(p, href, note ? note->chunk_size : 0, &parts, err) < 0) {
        rh_error_subject(err, href);
        return NULL;
    }
    if (!parts.list.count) {
        rh_file_missing(p, href, err);
        return NULL;
    }
    if (check_whole(note, &parts, href, err) < 0)
        return NULL;
    for (size_t i = 0; i < parts.list.count; i++)
        watch(p, parts.list.items[i].name, parts.list.items[i].size);
    *ret_folder = rh_folder_of(parts.list.items[0].name);
    return join_parts(p, &parts, href, true, err);
}

/* The same as a disk format wants it. */
static struct rh_io *open_file(struct rh_package *p, const char *href,
                               char **ret_folder, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = open_stored(p, href, ret_folder, err);
    struct rh_io *done;

    if (!io)
        return NULL;
    done = find_unpacked(p, href);
    return done ? done : unpack(p, io, href, err);
}

/* --- the disk in it ------------------------------------------------------ */

static void watch_elsewhere(void *user, const char *name, uint64_t size)
{
    const struct rh_datastore *d = user;
    RH_AUTO(rh_freep) char *full = rh_printf("%s/%s", d->folder, name);

    watch(d->container->package, full, size);
}

/* The files beside a disk. */
static struct rh_place *place_beside(struct rh_package *p, const char *folder)
{
    struct rh_container *c = rh_container_of(p);
    struct rh_place **view = rh_vec_add(&c->views);
    RH_AUTO(rh_freep) char *whole = rh_printf("%s/", folder);
    RH_AUTO(rh_freep) char *below = NULL;
    const char *rest;
    struct rh_datastore *d = rh_datastore_of(p, whole, &rest);

    if (d) {
        below = rh_strndup(rest, rest[0] ? strlen(rest) - 1 : 0);
        return *view = rh_view_new(d->place, below, watch_elsewhere, d);
    }
    below = c->folder[0] && folder[0]
                ? rh_printf("%s/%s", c->folder, folder)
                : rh_strdup(c->folder[0] ? c->folder : folder);
    return *view = rh_view_new(c->base, below, watch_opened, c);
}

/* What an option, the descriptor or a name says of bytes without a mark. */
static const char *said_format(const struct opening *o, struct rh_io *io,
                               const char *href)
{
    if (o->p->source_format)
        return o->p->source_format;
    if (o->raw)
        return "raw";
    return rh_format_raw_name(href) && !rh_format_foreign(io) ? "raw" : NULL;
}

/* Content decides.  Plain bytes have no mark: they need the descriptor's word,
 * or a name that says so. */
static struct rh_reader *open_reader(const struct opening *o, struct rh_io *io,
                                     const char *href, const char *folder,
                                     bool is_delta, rh_error **err)
{
    struct rh_open_options options = {.lib = o->p->lib,
                                      .place = place_beside(o->p, folder),
                                      .depth = o->depth,
                                      .ignore_parent = is_delta};
    rh_error *cause = NULL;
    struct rh_reader *r;

    r = rh_reader_open(io, NULL, &options, &cause);
    if (!r && rh_error_number(cause) == RH_ERR_DISK_FORMAT_UNKNOWN &&
        said_format(o, io, href)) {
        rh_error_drop(&cause);
        r = rh_reader_open(io, said_format(o, io, href), &options, &cause);
    }
    if (cause && err && !*err)
        *err = RH_TAKE(cause);
    rh_error_free(cause);
    return r;
}

static const struct rh_disk_note *note_of(const struct rh_package *p,
                                          const char *id)
{
    const struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; id && i < c->disks.count; i++)
        if (!strcmp(c->disks.items[i].id, id))
            return &c->disks.items[i];
    return NULL;
}

static struct rh_reader *open_disk(const struct opening *o, const char *href,
                                   const char *parent_id, rh_error **err);

/* A disk that others are laid over: by its id in the descriptor. */
static struct rh_reader *open_parent(const struct opening *child,
                                     const char *id, rh_error **err)
{
    struct opening o = {.p = child->p, .depth = child->depth + 1};
    const struct rh_disk_note *note = note_of(o.p, id);

    if (o.depth > RH_LIMIT_CHAIN) {
        rh_fail(err, RH_ERR_PACKAGE_LIMIT,
                "the chain of its parents has more than %d disks, or runs in "
                "a circle",
                RH_LIMIT_CHAIN);
        return NULL;
    }
    if (!note || !note->href) {
        rh_fail(err, RH_ERR_DISK_PARENT,
                "its parent \"%s\" is no disk of the descriptor%s", id,
                note ? " that has a file" : "");
        return NULL;
    }
    return open_disk(&o, note->href, note->parent_id, err);
}

static struct rh_reader *open_disk(const struct opening *o, const char *href,
                                   const char *parent_id, rh_error **err)
{
    RH_AUTO(rh_reader_closep) struct rh_reader *r = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    RH_AUTO(rh_freep) char *folder = NULL;

    io = open_file(o->p, href, &folder, err);
    if (io)
        r = open_reader(o, io, href, folder, parent_id != NULL, err);
    if (!r) {
        rh_error_subject(err, href);
        return NULL;
    }
    if (parent_id) {
        r->parent = open_parent(o, parent_id, err);
        if (!r->parent) {
            rh_error_subject(err, href);
            return NULL;
        }
    }
    return RH_TAKE(r);
}

static struct rh_reader *open_bare(const struct opening *o, const char *name,
                                   rh_error **err)
{
    struct rh_container *c = rh_container_of(o->p);
    const struct rh_bare *b = rh_bare_named(o->p, name);
    struct rh_place **view = rh_vec_add(&c->views);
    struct rh_open_options options = {.lib = o->p->lib};

    *view = rh_view_new(b->base, "", watch_opened, c);
    options.place = *view;
    watch(o->p, b->name, b->io->size);
    return rh_reader_open(b->io, b->format, &options, err);
}

static struct rh_reader *open_empty(const struct opening *o,
                                    const struct rh_disk_config *d,
                                    rh_error **err)
{
    struct rh_open_options options = {.lib = o->p->lib};
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

    if (d->capacity_bytes.kind != RH_VALUE_NUMBER ||
        !d->capacity_bytes.number) {
        rh_fail(err, RH_ERR_PACKAGE_FILE_MISSING,
                "a new disk has neither a file nor a size");
        rh_hint(err, "give its size: --set disk0.capacity_bytes=16GiB");
        return NULL;
    }
    io = rh_io_zeros(d->capacity_bytes.number, "a new disk");
    return rh_reader_open(io, "raw", &options, err);
}

/* --- what only the file can say ------------------------------------------ */

static void learn_text(struct rh_vm *vm, struct rh_value *v, const char *text)
{
    if (!text || v->from == RH_FROM_SET)
        return;
    if (v->kind != RH_VALUE_TEXT || strcmp(v->text, text))
        rh_set_text(vm, v, text, RH_FROM_DISK, NULL);
}

void rh_disk_learn(struct rh_package *p, size_t vm, size_t disk,
                   const struct rh_reader *r)
{
    struct rh_vm *v = p->vms.items[vm];
    struct rh_disk_config *d = &v->disks.items[disk];
    struct rh_value *capacity = &d->capacity_bytes;
    char subject[32];

    learn_text(v, &d->format, r->format->name);
    learn_text(v, &d->variant, r->variant);
    if (capacity->kind == RH_VALUE_NUMBER && capacity->number == r->size)
        return;
    if (capacity->kind == RH_VALUE_NUMBER) {
        snprintf(subject, sizeof subject, "disks/%zu", disk);
        rh_finding_add(
            &p->vm_findings.items[vm], RH_F_DISK_CAPACITY, subject,
            "the descriptor says %llu bytes, the disk itself %llu; the "
            "disk is right",
            (unsigned long long)capacity->number, (unsigned long long)r->size);
    }
    rh_set_number(v, capacity, r->size, RH_FROM_DISK, NULL);
}

static size_t trail_of(struct rh_container *c, size_t vm, size_t disk,
                       bool create)
{
    struct rh_trail *trail;
    size_t i = 0;

    while (i < c->trails.count &&
           (c->trails.items[i].vm != vm || c->trails.items[i].disk != disk))
        i++;
    if (i == c->trails.count && create) {
        trail = rh_vec_add(&c->trails);
        trail->vm = vm;
        trail->disk = disk;
    }
    return i;
}

void rh_disk_watch(struct rh_package *p, size_t vm, size_t disk)
{
    struct rh_container *c = rh_container_of(p);

    c->watched = trail_of(c, vm, disk, true);
}

void rh_package_disks_moved(struct rh_package *p)
{
    struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; c && i < c->trails.count; i++)
        free(c->trails.items[i].members.items);
    if (c)
        c->trails.count = 0;
}

static struct rh_disk_config *disk_at(struct rh_package *p, size_t vm,
                                      size_t disk)
{
    if (vm >= p->vms.count || disk >= p->vms.items[vm]->disks.count)
        return NULL;
    return &p->vms.items[vm]->disks.items[disk];
}

/* The id of the disk that it is laid over, or NULL. */
static const char *parent_of(const struct rh_package *p,
                             const struct rh_disk_config *d)
{
    const struct rh_disk_note *note =
        note_of(p, d->id.kind == RH_VALUE_TEXT ? d->id.text : NULL);

    return d->parent_id || !note ? d->parent_id : note->parent_id;
}

static struct rh_reader *open_configured(struct rh_package *p,
                                         const struct rh_disk_config *d,
                                         rh_error **err)
{
    struct opening o = {.p = p};

    o.raw = d->format.kind == RH_VALUE_TEXT && !strcmp(d->format.text, "raw");
    if (d->empty)
        return open_empty(&o, d, err);
    if (!rh_container_of(p)->descriptor && d->file.kind == RH_VALUE_TEXT &&
        rh_bare_named(p, d->file.text))
        return open_bare(&o, d->file.text, err);
    if (d->file.kind != RH_VALUE_TEXT) {
        rh_fail(err, RH_ERR_PACKAGE_FILE_MISSING,
                "the descriptor names no file for a disk");
        return NULL;
    }
    return open_disk(&o, d->file.text, parent_of(p, d), err);
}

bool rh_package_is_live(const struct rh_package *p)
{
    const struct rh_container *c = rh_container_of(p);

    return c && c->opener;
}

bool rh_package_disk_looks(struct rh_package *p, size_t vm, size_t disk)
{
    const struct rh_container *c = rh_container_of(p);

    return !c->opener || c->opener->ops->looks(c->opener, vm, disk);
}

struct rh_io *rh_disk_packed(struct rh_package *p, size_t vm, size_t disk)
{
    struct rh_container *c = rh_container_of(p);
    const struct rh_disk_config *d = disk_at(p, vm, disk);
    RH_AUTO(rh_io_unrefp) struct rh_io *unpacked = NULL;
    RH_AUTO(rh_freep) char *folder = NULL;

    if (!d || d->empty || !c->descriptor || d->file.kind != RH_VALUE_TEXT ||
        parent_of(p, d))
        return NULL;
    unpacked = find_unpacked(p, d->file.text);
    if (unpacked)
        return NULL;
    c->watched = trail_of(c, vm, disk, true);
    return open_stored(p, d->file.text, &folder, NULL);
}

struct rh_reader *rh_package_disk(struct rh_package *p, size_t vm, size_t disk,
                                  rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    const struct rh_disk_config *d = disk_at(p, vm, disk);
    struct rh_reader *r;

    if (!d) {
        rh_fail(err, RH_ERR_BUG, "there is no disk %zu of VM %zu", disk, vm);
        return NULL;
    }
    c->watched = trail_of(c, vm, disk, true);
    r = c->opener && !d->empty ? c->opener->ops->read(c->opener, vm, disk, err)
                               : open_configured(p, d, err);
    if (r && !d->empty)
        rh_disk_learn(p, vm, disk, r);
    if (r && c->watched < c->trails.count)
        c->trails.items[c->watched].chained = r->parent != NULL;
    rh_digests_count(p); /* what it takes may not be listed */
    return r;
}

/* --- two disks, one part ----------------------------------------------------
 */

struct part_use {
    size_t member, disk;
};

static int by_member(const void *a, const void *b)
{
    const struct part_use *x = a, *y = b;

    if (x->member != y->member)
        return x->member < y->member ? -1 : 1;
    return x->disk < y->disk ? -1 : x->disk > y->disk;
}

/* Two disks that are one file were told by their names. */
static bool is_told(const struct rh_findings *list, size_t disk)
{
    char subject[32];

    snprintf(subject, sizeof subject, "disks/%zu", disk);
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].id == RH_F_DISK_SAME_FILE &&
            !strcmp(list->items[i].subject, subject))
            return true;
    return false;
}

static void tell_part(struct rh_package *p, size_t vm, const struct part_use *a,
                      const struct part_use *b)
{
    const struct rh_vm *v = p->vms.items[vm];
    char subject[32];

    if (is_told(&p->vm_findings.items[vm], b->disk))
        return;
    snprintf(subject, sizeof subject, "disks/%zu", b->disk);
    rh_finding_add(&p->vm_findings.items[vm], RH_F_DISK_SAME_FILE, subject,
                   "the disks \"%s\" and \"%s\" are both read from \"%s\": "
                   "the result would hold it twice",
                   rh_text_of(&v->disks.items[a->disk].file),
                   rh_text_of(&v->disks.items[b->disk].file),
                   p->members.items[a->member].name);
}

void rh_package_parts_shared(struct rh_package *p, size_t vm)
{
    const struct rh_container *c = rh_container_of(p);
    RH_VEC(struct part_use) uses = {0};

    for (size_t i = 0; c && i < c->trails.count; i++) {
        const struct rh_trail *t = &c->trails.items[i];

        for (size_t k = 0; t->vm == vm && !t->chained && k < t->members.count;
             k++)
            *rh_vec_add(&uses) =
                (struct part_use){t->members.items[k], t->disk};
    }
    if (uses.count)
        qsort(uses.items, uses.count, sizeof *uses.items, by_member);
    for (size_t i = 1; i < uses.count; i++)
        if (uses.items[i - 1].member == uses.items[i].member &&
            uses.items[i - 1].disk != uses.items[i].disk)
            tell_part(p, vm, &uses.items[i - 1], &uses.items[i]);
    free(uses.items);
}

struct rh_member *rh_package_disk_member(struct rh_package *p, size_t vm,
                                         size_t disk, size_t i)
{
    struct rh_container *c = rh_container_of(p);
    size_t at = trail_of(c, vm, disk, false);

    if (at == c->trails.count) {
        if (!disk_at(p, vm, disk))
            return NULL;
        rh_reader_close(rh_package_disk(p, vm, disk, NULL));
    }
    if (i >= c->trails.items[at].members.count)
        return NULL;
    return &p->members.items[c->trails.items[at].members.items[i]];
}

struct rh_io *rh_package_file(struct rh_package *p, const char *name,
                              struct rh_member **ret_member, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    struct rh_parts parts = {0};
    struct rh_io *io = NULL;

    if (ret_member)
        *ret_member = NULL;
    if (!c->descriptor && rh_bare_named(p, name)) {
        if (ret_member)
            *ret_member = rh_member_find(p, name);
        return rh_io_ref(rh_bare_named(p, name)->io);
    }
    if (rh_parts_find(p, name, 0, &parts, err) == 0) {
        if (!parts.list.count)
            rh_file_missing(p, name, err);
        else
            io = join_parts(p, &parts, name, false, err);
        if (io && ret_member && parts.list.count == 1)
            *ret_member = rh_member_find(p, parts.list.items[0].name);
    }
    rh_parts_free(&parts);
    return io;
}
