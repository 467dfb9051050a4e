/* disks.c - the bytes of a VM's disks: an image that Prism makes of a disk and
 * sends as a whole (no ranges, so it is stored here), or the disk's own file in
 * a container that is mounted here (--datastore-map CONTAINER=DIR).
 *
 * An image is ours: it is deleted as soon as it was fetched, also when that
 * fails.  One that came whole is kept for the next try where that was asked
 * for (base/fetched.h). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/fetched.h"
#include "base/limits.h"
#include "formats/format.h"
#include "live/prism/prism.h"

enum { TRIES = 3, REDIRECT = 64 * 1024 };

/* --- files of containers ------------------------------------------------- */

struct rh_io *rh_ntx_file(struct rh_live_vm *vm, const char *container,
                          const char *path)
{
    const struct rh_ntx_vm *v = rh_ntx_vm_of(vm);

    for (size_t i = 0; i < v->places.count; i++) {
        const struct rh_ntx_place *p = &v->places.items[i];
        struct rh_io *io;

        if (container && strcmp(container, p->container) != 0)
            continue;
        io = rh_place_open(p->folder, path, NULL);
        if (io)
            return io;
    }
    return NULL;
}

static bool allows(const struct rh_live_vm *vm, const char *way)
{
    const char *asked = vm->options.transport;

    return !asked || !strcmp(asked, "auto") || !strcmp(asked, way);
}

static struct rh_io *live_file(struct rh_live_vm *vm,
                               const struct rh_ntx_disk *d)
{
    RH_AUTO(rh_freep)
    char *path = d->vdisk && allows(vm, "nfs")
                     ? rh_printf(".acropolis/vmdisk/%s", d->vdisk)
                     : NULL;

    return path ? rh_ntx_file(vm, NULL, path) : NULL;
}

bool rh_ntx_looks(struct rh_live_vm *vm, size_t disk)
{
    const struct rh_ntx_vm *v = rh_ntx_vm_of(vm);
    struct rh_io *io = disk < v->disks.count && v->state == RH_LIVE_OFF
                           ? live_file(vm, &v->disks.items[disk])
                           : NULL;
    bool there = io != NULL;

    rh_io_unref(io);
    return there;
}

/* "/CONTAINER/.snapshot/..." */
static struct rh_io *snapshot_file(struct rh_live_vm *vm, size_t disk,
                                   const char *snapshot, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_ntx_snapshot_path(vm, disk, snapshot, err);
    RH_AUTO(rh_freep) char *container = NULL;
    struct rh_io *io;
    const char *rest;

    if (!path)
        return NULL;
    rest = strchr(path + 1, '/');
    container = rh_strndup(path + 1, rest ? (size_t)(rest - path - 1) : 0);
    io =
        rest && allows(vm, "nfs") ? rh_ntx_file(vm, container, rest + 1) : NULL;
    if (io)
        return io;
    rh_fail(err, RH_ERR_LIVE_TRANSPORT,
            "the bytes of a snapshot lie in the container %.200s, which is not "
            "mounted here",
            container);
    rh_hint(err,
            "mount it by NFS (this machine must be in the container's "
            "whitelist), and give --datastore-map %s=FOLDER",
            container);
    return NULL;
}

/* --- images -------------------------------------------------------------- */

struct image {
    bool v4;
    char *base; /* "/api/vmm/v4.1/content/images" */
    char *id;
    struct rh_live_left *left; /* its note */
};

static void image_free(struct image *i)
{
    free(i->base);
    free(i->id);
}

static char *images_of(struct rh_live *live, rh_error **err)
{
    RH_AUTO(rh_freep) char *base = NULL;

    if (rh_ntx_of(live)->version != RH_NTX_V4)
        return rh_printf("%s/images", rh_ntx_v3);
    base = rh_ntx_base(live, RH_NTX_VMM, "", err);
    return base ? rh_printf("%s/content/images", base) : NULL;
}

static json_t *image_body(const struct image *i, const struct rh_ntx_disk *d)
{
    const char *name = rh_live_left_name(i->left);

    if (i->v4)
        return json_pack("{s:s, s:s, s:{s:s, s:s}}", "name", name, "type",
                         "DISK_IMAGE", "source", "$objectType",
                         "vmm.v4.content.VmDiskSource", "extId", d->source);
    return json_pack("{s:{s:s, s:{s:s, s:{s:s, s:s}}}, s:{s:s}}", "spec",
                     "name", name, "resources", "image_type", "DISK_IMAGE",
                     "data_source_reference", "kind", "vm_disk", "uuid",
                     d->source, "metadata", "kind", "image");
}

/* Its id shows in version 4 among what the task works on. */
static void learn_image(struct image *i, const json_t *task)
{
    const json_t *list = rh_ntx_at(task, "data/entitiesAffected");

    for (size_t k = 0; !i->id && k < json_array_size(list); k++) {
        const char *rel = rh_ntx_text(json_array_get(list, k), "rel");
        const char *id = rh_ntx_text(json_array_get(list, k), "extId");

        if (rel && id && strstr(rel, "image"))
            i->id = rh_strdup(id);
    }
}

static int make_image(struct rh_live_vm *vm, struct image *i,
                      const struct rh_ntx_disk *d, rh_error **err)
{
    RH_AUTO(rh_freep) char *head = rh_printf("rehost-%.80s-", vm->name);
    RH_AUTO(rh_ntx_json_free) json_t *body = NULL;
    RH_AUTO(rh_ntx_json_free) json_t *answer = NULL;
    RH_AUTO(rh_ntx_json_free) json_t *task = NULL;
    struct rh_ntx_request r = {.path = i->base};
    const char *text, *id;
    int failed;

    i->left = rh_live_left_note(vm, "image", head, err);
    if (!i->left)
        return -1;
    r.body = body = image_body(i, d);
    if (rh_ntx_ask(vm->live, &r, &answer, NULL, NULL, err) < 0)
        return -1;
    text = rh_ntx_text(answer, i->v4 ? "data/extId"
                                     : "status/execution_context/task_uuid");
    id = i->v4 ? NULL : rh_ntx_text(answer, "metadata/uuid");
    if (!text || (!i->v4 && !id))
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "no task makes the image that was asked for");
    i->id = id ? rh_strdup(id) : NULL;
    failed = rh_ntx_wait(vm->live, vm->lib, text, i->v4, &task, err);
    if (failed && rh_go_on(vm->lib, NULL) < 0) /* to be deleted, it must be */
        rh_ntx_wait(vm->live, NULL, text, i->v4, &task, NULL);
    learn_image(i, task);
    if (i->id)
        rh_live_left_made(i->left, i->id);
    if (!failed && !i->id)
        failed = rh_fail(err, RH_ERR_LIVE_ANSWER, "the image has no id");
    return failed;
}

static int delete_id(struct rh_live *live, const char *base, const char *id,
                     rh_error **err)
{
    RH_AUTO(rh_freep) char *part = rh_http_escape(id);
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", base, part);
    struct rh_ntx_request r = {
        .method = "DELETE", .path = path, .cleanup = true};
    bool missing;

    return rh_ntx_ask(live, &r, NULL, &missing, NULL, err);
}

/* Also after a cancel. */
static void delete_image(struct rh_live_vm *vm, struct image *i)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    bool gone = i->id && delete_id(vm->live, i->base, i->id, &why) == 0;

    if (i->left && !gone)
        rh_log(vm->lib, RH_LOG_WARN,
               _("%s: the image \"%s\" that was fetched could not be deleted "
                 "(%s): `rehost convert --clean`, or the next run, does it"),
               vm->name, rh_live_left_name(i->left),
               why ? rh_error_message(why) : _("Prism does not tell its id"));
    rh_live_left_end(RH_TAKE(i->left), gone);
}

/* --- images of a run that was killed -------------------------------------- */

/* By its name on this page of the list. */
static char *image_on(const json_t *page, const char *name)
{
    const json_t *list = rh_ntx_at(page, "data");

    list = list ? list : rh_ntx_at(page, "entities");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *image = json_array_get(list, i);
        const char *its = rh_ntx_text(image, "name");
        const char *id = rh_ntx_text(image, "extId");

        its = its ? its : rh_ntx_text(image, "spec/name");
        id = id ? id : rh_ntx_text(image, "metadata/uuid");
        if (its && id && !strcmp(its, name))
            return rh_strdup(id);
    }
    return NULL;
}

static int find_image(struct rh_live *live, const char *base, const char *name,
                      char **ret_id, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf filter = {0};
    RH_AUTO(rh_freep) char *path = NULL;
    RH_AUTO(rh_ntx_json_free) json_t *body = NULL;
    RH_AUTO(rh_ntx_json_free) json_t *page = NULL;
    struct rh_ntx_request r = {.again = true};

    if (rh_ntx_of(live)->version == RH_NTX_V4) {
        RH_AUTO(rh_freep) char *word = NULL;

        rh_buf_puts(&filter, "name eq '");
        for (const char *p = name; *p; p++) /* a quote is doubled */
            rh_buf_printf(&filter, *p == '\'' ? "''" : "%c", *p);
        rh_buf_puts(&filter, "'");
        word = rh_http_escape(filter.data);
        path = rh_printf("%s?$filter=%s", base, word);
    } else {
        rh_buf_printf(&filter, "name==%s", name);
        path = rh_printf("%s/list", base);
        body = json_pack("{s:s, s:i, s:s}", "kind", "image", "length", 500,
                         "filter", filter.data);
    }
    r.path = path;
    r.body = body;
    if (rh_ntx_ask(live, &r, &page, NULL, NULL, err) < 0)
        return -1;
    *ret_id = image_on(page, name);
    return 0;
}

int rh_ntx_unimage(struct rh_live *live, const char *name, const char *id,
                   bool *ret_there, rh_error **err)
{
    RH_AUTO(rh_freep) char *base = images_of(live, err);
    RH_AUTO(rh_freep) char *found = NULL;

    if (!base || find_image(live, base, name, &found, err) < 0)
        return -1;
    *ret_there = found && (!id || !strcmp(id, found));
    return *ret_there ? delete_id(live, base, found, err) : 0;
}

/* --- downloads ----------------------------------------------------------- */

/* "https://HOST:PORT/PATH": the cluster that holds it, with a token of its own
 * as a cookie. */
static struct rh_http *follow(struct rh_live *live,
                              const struct rh_http_answer *a, char **ret_path,
                              rh_error **err)
{
    RH_AUTO(rh_freep) char *location = rh_http_answer_header(a, "Location");
    RH_AUTO(rh_wipe_freep)
    char *token = rh_http_answer_header(a, "X-Redirect-Token");
    RH_AUTO(rh_freep) char *authority = NULL;
    struct rh_http *other;
    char *equals;
    size_t n;

    if (!location || strncmp(location, "https://", 8) != 0) {
        rh_fail(err, RH_ERR_LIVE_ANSWER, "the download leads nowhere");
        return NULL;
    }
    n = strcspn(location + 8, "/?#");
    authority = rh_strndup(location + 8, n);
    other = rh_http_beside(live->remote.http, authority, err);
    equals = token ? strchr(token, '=') : NULL;
    if (other && equals) {
        *equals = '\0';
        rh_http_set_cookie(other, token, equals + 1);
    }
    if (other)
        *ret_path = rh_strdup(location[8 + n] ? location + 8 + n : "/");
    return other;
}

static int find_download(struct rh_live *live, const char *path,
                         struct rh_http **ret_other, char **ret_path,
                         rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    struct rh_http_request r = {.path = path, .limit = REDIRECT, .again = true};
    int failed;

    pthread_mutex_lock(&live->lock);
    failed = rh_http_do(live->remote.http, &r, &a, err);
    pthread_mutex_unlock(&live->lock);
    if (failed)
        return -1;
    if (a.status < 300 || a.status > 399)
        return rh_http_refuse(live->remote.http, &r, &a, NULL, err);
    *ret_other = follow(live, &a, ret_path, err);
    return *ret_other ? 0 : -1;
}

static struct rh_io *fetch_once(struct rh_live_vm *vm, const struct image *i,
                                uint64_t size, struct rh_fetched *kept,
                                rh_error **err)
{
    RH_AUTO(rh_freep) char *part = rh_http_escape(i->id);
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s/file", i->base, part);
    RH_AUTO(rh_http_freep) struct rh_http *other = NULL;
    RH_AUTO(rh_freep) char *there = NULL;
    RH_AUTO(rh_stream_closep) struct rh_stream *s = NULL;

    if (i->v4 && find_download(vm->live, path, &other, &there, err) < 0)
        return NULL;
    pthread_mutex_lock(&vm->live->lock); /* log-in and cookies are read */
    s = rh_http_stream(vm->lib, other ? other : vm->live->remote.http,
                       there ? there : path, vm->name, err);
    pthread_mutex_unlock(&vm->live->lock);
    if (s && kept)
        s = rh_fetched_stream(s, kept);
    return s ? rh_spool(vm->lib, s, size, err) : NULL;
}

static bool may_pass(const rh_error *e)
{
    enum rh_error_class c = rh_error_class_of(rh_error_number(e));

    return c == RH_CLASS_NETWORK || c == RH_CLASS_BUSY ||
           rh_error_number(e) == RH_ERR_FILE_SHORT;
}

/* What breaks off has to begin anew. */
static struct rh_io *fetch(struct rh_live_vm *vm, const struct image *i,
                           uint64_t size, struct rh_fetched *kept,
                           rh_error **err)
{
    for (unsigned tries = 1;; tries++) {
        rh_error *why = NULL;
        struct rh_io *io = fetch_once(vm, i, size, kept, &why);

        if (io && io->size == size)
            return io;
        if (io)
            rh_fail(&why, RH_ERR_FILE_SHORT,
                    "%llu bytes came of a disk of %llu",
                    (unsigned long long)io->size, (unsigned long long)size);
        rh_io_unref(io);
        if (tries == TRIES || !may_pass(why)) {
            if (err && !*err)
                *err = RH_TAKE(why);
            rh_error_free(why);
            return NULL;
        }
        rh_log(vm->lib, RH_LOG_WARN, "%s: %s; the download begins anew",
               vm->name, rh_error_message(why));
        rh_error_free(why);
    }
}

/* By the disk, not by the image: that is another one each time. */
static struct rh_fetched *kept_of(struct rh_live_vm *vm,
                                  const struct rh_ntx_disk *d)
{
    const char *told = rh_live_vm_told(vm);
    RH_AUTO(rh_freep)
    char *what = rh_printf("%s %s", vm->live->remote.url.authority, d->source);

    return told ? rh_fetched_open(vm->lib, what, told, d->size) : NULL;
}

static struct rh_io *read_image(struct rh_live_vm *vm, struct rh_ntx_disk *d,
                                rh_error **err)
{
    RH_AUTO(image_free)
    struct image i = {.v4 = rh_ntx_of(vm->live)->version == RH_NTX_V4};
    RH_AUTO(rh_fetched_freep) struct rh_fetched *kept = NULL;

    if (d->spool)
        return rh_io_ref(d->spool);
    if (!d->source || !d->size) {
        rh_fail(err, RH_ERR_LIVE_ANSWER, "Prism does not say which disk it is");
        return NULL;
    }
    kept = kept_of(vm, d);
    d->spool = kept ? rh_fetched_io(kept, vm->name) : NULL;
    if (d->spool) {
        kept = NULL; /* taken */
        return rh_io_ref(d->spool);
    }
    i.base = images_of(vm->live, err);
    if (!i.base)
        return NULL;
    if (make_image(vm, &i, d, err) == 0)
        d->spool = fetch(vm, &i, d->size, kept, err);
    delete_image(vm, &i);
    return rh_io_ref(d->spool);
}

/* --- the disk ------------------------------------------------------------ */

static int refuse_way(const struct rh_live_vm *vm, rh_error **err)
{
    if (allows(vm, "nfs") || allows(vm, "image"))
        return 0;
    rh_fail(err, RH_ERR_LIVE_TRANSPORT,
            "--transport: a disk of Prism comes by \"image\" or \"nfs\", not "
            "\"%s\"",
            vm->options.transport);
    return -1;
}

/* An image is of one moment; those of several disks are of several. */
static int refuse_moments(const struct rh_ntx_vm *v, rh_error **err)
{
    if (v->state == RH_LIVE_OFF || v->disks.count < 2)
        return 0;
    rh_fail(err, RH_ERR_LIVE_RUNNING,
            "the VM runs, and images of its %zu disks would be of several "
            "moments",
            v->disks.count);
    return rh_hint(err, "shut the VM down; or read a snapshot of Prism "
                        "Element from its container (--datastore-map)");
}

static struct rh_io *open_now(struct rh_live_vm *vm, size_t disk,
                              rh_error **err)
{
    struct rh_ntx_vm *v = rh_ntx_vm_of(vm);
    struct rh_io *io;

    if (v->state != RH_LIVE_OFF && !vm->options.snapshot) {
        rh_fail(err, RH_ERR_LIVE_RUNNING, "the VM runs");
        return NULL;
    }
    if (v->state != RH_LIVE_OFF && rh_ntx_of(vm->live)->element &&
        v->places.count && allows(vm, "nfs")) {
        if (!v->ours && rh_ntx_snapshot_noted(vm, vm->options.quiesce, &v->ours,
                                              &v->left, err) < 0)
            return NULL;
        return snapshot_file(vm, disk, v->ours, err);
    }
    io = v->state == RH_LIVE_OFF ? live_file(vm, &v->disks.items[disk]) : NULL;
    if (io)
        return io;
    if (!allows(vm, "image")) {
        rh_fail(err, RH_ERR_LIVE_TRANSPORT,
                "no mounted container holds the disk");
        rh_hint(err, "mount it by NFS, and give --datastore-map "
                     "CONTAINER=FOLDER");
        return NULL;
    }
    return refuse_moments(v, err) < 0
               ? NULL
               : read_image(vm, &v->disks.items[disk], err);
}

static int check_size(const struct rh_ntx_disk *d, const struct rh_io *io,
                      rh_error **err)
{
    if (io->size >= d->size)
        return 0;
    return rh_fail(err, RH_ERR_FILE_SHORT,
                   "%llu bytes are there of a disk of %llu",
                   (unsigned long long)io->size, (unsigned long long)d->size);
}

struct rh_reader *rh_ntx_disk(struct rh_live_vm *vm, size_t disk,
                              const char *snapshot, rh_error **err)
{
    struct rh_open_options o = {.lib = vm->lib};
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

    if (disk >= rh_ntx_vm_of(vm)->disks.count) {
        rh_fail(err, RH_ERR_BUG, "there is no disk %zu", disk);
        return NULL;
    }
    if (refuse_way(vm, err) == 0)
        io = snapshot ? snapshot_file(vm, disk, snapshot, err)
                      : open_now(vm, disk, err);
    if (io && check_size(&rh_ntx_vm_of(vm)->disks.items[disk], io, err) == 0)
        return rh_reader_open(io, "raw", &o, err);
    rh_error_subject(err, vm->name);
    return NULL;
}

/* Nothing comes in a form that is read forward. */
struct rh_reader *rh_ntx_forward(struct rh_live_vm *vm, size_t disk,
                                 const char *snapshot, rh_error **err)
{
    (void)vm, (void)disk, (void)snapshot, (void)err;
    return NULL;
}
