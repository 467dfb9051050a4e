/* delta.c - what changed where nothing tracks it: while a snapshot of ours
 * stands, the VM writes into a new file over the snapshot's, and what that file
 * has allocated is what changed.
 *
 *     delta:SNAPSHOT:[datastore] folder/file.vmdk
 *
 * is the mark of a snapshot: the file is the one written from then on.  It is
 * in the chain of any later snapshot below that one, whatever was merged into
 * the files under it; all of the chain down to it is what changed since. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "live/vsphere/machine.h"

static const char head[] = "delta:";

bool rh_vs_marks_hold(const char *mark)
{
    return mark && !strncmp(mark, head, sizeof head - 1);
}

static int untracked(const char *why, rh_error **err)
{
    return rh_fail(err, RH_ERR_LIVE_UNTRACKED,
                   "what changed can't be told by the delta files: %s", why);
}

/* --- files
 * ------------------------------------------------------------------------- */

static bool is_same(const struct rh_vs_file *a, const struct rh_vs_file *b)
{
    return !strcmp(a->datastore, b->datastore) &&
           !strcmp(a->folder, b->folder) && !strcmp(a->name, b->name);
}

static char *text_of(const struct rh_vs_file *f)
{
    return rh_printf("[%s] %s/%s", f->datastore, f->folder, f->name);
}

/* Its place in the chain; the chain's length: it is not there. */
static size_t find_text(const struct rh_vs_disk *d, const char *text)
{
    size_t i;

    for (i = 0; i < d->chain.count; i++) {
        RH_AUTO(rh_freep) char *its = text_of(&d->chain.items[i]);

        if (!strcmp(its, text))
            break;
    }
    return i;
}

/* --- the tree of snapshots
 * ----------------------------------------------------------- */

enum { DEPTH_MOST = 64 };

/* The node of that id in a list and below it. */
static const xmlNode *node_of(const xmlNode *list, const char *kind,
                              const char *id, unsigned depth)
{
    const xmlNode *found = NULL;

    for (const xmlNode *t = depth < DEPTH_MOST ? rh_vs_child(list, kind) : NULL;
         t && !found; t = rh_vs_next(t))
        found = !strcmp(rh_vs_text_at(t, "snapshot"), id)
                    ? t
                    : node_of(t, "childSnapshotList", id, depth + 1);
    return found;
}

/* Was `id` (NULL: the VM as it is) made after `mark`, on top of it? */
static bool follows(const struct rh_vs_vm *v, const char *mark, const char *id)
{
    const xmlNode *all = rh_vs_property(v->object, "snapshot");
    const xmlNode *node = node_of(all, "rootSnapshotList", mark, 0);
    const char *now = rh_vs_text_at(all, "currentSnapshot");

    if (!node)
        return false;
    if (!id && !strcmp(now, mark))
        return true;
    return node_of(node, "childSnapshotList", id ? id : now, 0) != NULL;
}

/* --- marks
 * ------------------------------------------------------------------------- */

bool rh_vs_follows(struct rh_live_vm *vm)
{
    return rh_vs_vm_of(vm)->way == RH_VS_FOLDER;
}

/* The VM's own chain, as it is since the snapshot. */
static int see_chain(struct rh_live_vm *vm, const char *snapshot,
                     rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);

    if (v->marked && !strcmp(v->marked, snapshot))
        return 0;
    if (rh_vs_refresh(vm, err) < 0)
        return -1;
    free(v->marked);
    v->marked = rh_strdup(snapshot);
    return 0;
}

int rh_vs_delta_mark(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                     char **ret_mark, rh_error **err)
{
    const struct rh_vs_disk *at, *now;
    RH_AUTO(rh_freep) char *text = NULL;
    size_t i = 1;

    *ret_mark = NULL;
    if (!vm->options.keep_snapshot || !rh_vs_follows(vm) ||
        strchr(snapshot, ':'))
        return 0;
    if (see_chain(vm, snapshot, err) < 0)
        return -1;
    at = rh_vs_disk_at(vm, disk, snapshot, err);
    now = at ? rh_vs_disk_at(vm, disk, NULL, err) : NULL;
    if (!now)
        return -1;
    while (at->chain.count && i < now->chain.count &&
           !is_same(&now->chain.items[i], &at->chain.items[0]))
        i++;
    if (!at->chain.count || i >= now->chain.count)
        return 0;
    text = text_of(&now->chain.items[i - 1]);
    *ret_mark = rh_printf("%s%s:%s", head, snapshot, text);
    return 0;
}

/* --- changes
 * ----------------------------------------------------------------------- */

/* A file that is locked, or gone, or none that we read: all is compared. */
static bool is_about_the_file(const rh_error *why)
{
    return rh_error_number(why) == RH_ERR_HTTP_STATUS ||
           rh_error_status(why) == 3;
}

static int tell(struct rh_reader *r, rh_lib *lib, rh_live_area_fn *area,
                void *user, rh_error **err)
{
    struct rh_live_area run = {0};

    for (uint64_t at = 0; at < r->size;) {
        struct rh_extent e;
        bool zero, joins;

        if (rh_go_on(lib, err) < 0 || rh_reader_extent(r, at, &e, err) < 0)
            return -1;
        zero = e.kind == RH_EXTENT_ZERO;
        joins = e.kind != RH_EXTENT_HOLE && run.length &&
                run.start + run.length == at && run.zero == zero;
        if (!joins && run.length && area(user, &run, err) < 0)
            return -1;
        if (joins)
            run.length += e.length;
        else
            run = (struct rh_live_area){
                at, e.kind == RH_EXTENT_HOLE ? 0 : e.length, zero};
        at += e.length;
    }
    return run.length ? area(user, &run, err) : 0;
}

static int changed(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                   const char *file, rh_live_area_fn *area, void *user,
                   rh_error **err)
{
    const struct rh_vs_disk *d = rh_vs_disk_at(vm, disk, snapshot, err);
    size_t i = d ? find_text(d, file) : 0;
    RH_AUTO(rh_reader_closep) struct rh_reader *r = NULL;
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    bool told;

    if (!d)
        return -1;
    if (i + 1 >= d->chain.count) /* not there; or all there is */
        return untracked("another file took its place", err);
    r = rh_vs_folder_layers(vm, d, i + 1, &why);
    rh_vs_folder_exact(vm, true);
    told = r && tell(r, vm->lib, area, user, &why) == 0;
    rh_vs_folder_exact(vm, false);
    if (told)
        return 0;
    return is_about_the_file(why) ? untracked(rh_error_message(why), err)
                                  : rh_error_again(err, why);
}

int rh_vs_delta_changed(struct rh_live_vm *vm, size_t disk,
                        const char *snapshot, const char *since,
                        rh_live_area_fn *area, void *user, rh_error **err)
{
    const char *id = since + sizeof head - 1, *colon = strchr(id, ':');
    RH_AUTO(rh_freep)
    char *mark = rh_strndup(id, colon ? (size_t)(colon - id) : 0);

    if (!rh_vs_follows(vm))
        return untracked("the disks are not read by their files", err);
    if (!colon || (!follows(rh_vs_vm_of(vm), mark, snapshot) &&
                   (rh_vs_refresh(vm, err) < 0 ||
                    !follows(rh_vs_vm_of(vm), mark, snapshot)))) {
        if (err && *err)
            return -1;
        return untracked("the snapshot of that moment is gone, or the VM was "
                         "set back behind it",
                         err);
    }
    return changed(vm, disk, snapshot, colon + 1, area, user, err);
}
