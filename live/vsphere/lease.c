/* lease.c - disks as a whole, by an export lease: a streamOptimized VMDK each,
 * sent once from front to back by the host that runs the VM.
 *
 * The lease ends by itself when nobody reports progress, so a beat of the
 * session does, also while nothing is read.  A stream of which only the head
 * was read is kept for who opens the disk next: looking at a disk to know it
 * does not make the host export it twice.  Who has to read anywhere gets a
 * spool, once. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/wait.h"
#include "formats/format.h"
#include "live/vsphere/machine.h"

enum {
    HEAD = 1024 * 1024, /* bytes of a stream that are kept for the next one */
    READY_MOST = 300,   /* seconds until a lease is ready */
    BEAT_MOST = 10,     /* seconds between reports of progress */
    TRIES = 3,          /* of a spool */
};

struct passing;
struct device {
    char *key, *url;
    struct rh_stream *parked; /* what stands behind `head`; or NULL */
    struct rh_buf head;
    struct rh_io *spool; /* all of it; or NULL */
    bool begun, done;    /* a stream of it was opened; read to its end */
};
struct rh_vs_lease {
    struct rh_live_vm *vm;
    char *id;
    char *snapshot; /* of which it is; NULL: of the VM */
    RH_VEC(struct device) devices;
    uint64_t capacity; /* bytes, of all disks */
    atomic_uint_least64_t passed;
    struct rh_vs_beat beat;
    bool beating;
    struct rh_http *host; /* that sends, where it is another */
    pthread_mutex_t lock; /* over the list, and who is busy in it */
    RH_VEC(struct passing *) streams;
};

/* --- the lease ---------------------------------------------------------------
 */

static struct rh_vs_call lease_call(const struct rh_vs_lease *l,
                                    const char *method)
{
    return (struct rh_vs_call){
        .method = method, .type = "HttpNfcLease", .id = l->id};
}

static int say_progress(void *user, struct rh_vs *s)
{
    struct rh_vs_lease *l = user;
    struct rh_vs_call c = lease_call(l, "HttpNfcLeaseProgress");
    uint64_t passed = atomic_load(&l->passed);
    unsigned percent =
        l->capacity ? (unsigned)RH_MIN(passed / (l->capacity / 100 + 1), 99u)
                    : 0;
    char body[48];

    snprintf(body, sizeof body, "<percent>%u</percent>", percent);
    c.body = body;
    return rh_vs_do(s, &c, NULL);
}

static void take_devices(struct rh_vs_lease *l, const xmlNode *info)
{
    for (xmlNode *u = rh_vs_child(info, "deviceUrl"); u; u = rh_vs_next(u)) {
        struct device *d;

        /* Newer hosts list the NVRAM and CD images, too. */
        if (rh_vs_child(u, "disk") && !rh_vs_true_at(u, "disk"))
            continue;
        if (l->devices.count == RH_LIMIT_VM_DISKS)
            return;
        d = rh_vec_add(&l->devices);
        d->key = rh_strdup(rh_vs_text_at(u, "key"));
        d->url = rh_strdup(rh_vs_text_at(u, "url"));
    }
}

/* The host by its name, "*" being the one that was asked. */
static int reach_host(struct rh_vs_lease *l, const xmlNode *info,
                      rh_error **err)
{
    struct rh_live *live = l->vm->live;
    const char *url = rh_vs_text_at(info, "deviceUrl/url");
    const char *thumb = rh_vs_text_at(info, "deviceUrl/sslThumbprint");
    const char *host = strncasecmp(url, "https://", 8) ? NULL : url + 8;
    RH_AUTO(rh_freep) char *name = NULL;

    if (!host)
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "the lease gives no address to read from");
    name = rh_strndup(host, strcspn(host, "/?#"));
    if (name[0] == '*' || !strcmp(name, live->remote.url.authority))
        return 0;
    l->host = rh_http_beside(live->remote.http, name, err);
    if (!l->host)
        return -1;
    if (thumb[0])
        rh_http_trust_ticket(l->host, thumb);
    rh_http_set_lib(l->host, l->vm->lib);
    return 0;
}

static int take_info(struct rh_vs_lease *l, const xmlNode *info, rh_error **err)
{
    struct rh_vs *s = rh_vs_vm_session(l->vm);
    uint64_t kib = 0, timeout = 0;
    struct timespec now;

    take_devices(l, info);
    if (!l->devices.count)
        return rh_fail(err, RH_ERR_LIVE_ANSWER, "the lease exports no disk");
    if (rh_vs_number_at(info, "totalDiskCapacityInKB", &kib) &&
        kib < UINT64_MAX / RH_KIB)
        l->capacity = kib * RH_KIB;
    if (!rh_vs_number_at(info, "leaseTimeout", &timeout) || timeout > 3600)
        timeout = 300;
    clock_gettime(CLOCK_MONOTONIC, &now);
    l->beat = (struct rh_vs_beat){
        .beat = say_progress,
        .user = l,
        .seconds = (unsigned)RH_MIN(RH_MAX(timeout / 4, (uint64_t)1),
                                    (uint64_t)BEAT_MOST),
        .last = now.tv_sec};
    rh_vs_beat_add(s, &l->beat);
    l->beating = true;
    return reach_host(l, info, err);
}

/* 1: not ready yet. */
static int look_at_lease(struct rh_vs_lease *l, rh_error **err)
{
    static const char *const paths[] = {"state", "info", "error", NULL};
    struct rh_vs *s = rh_vs_vm_session(l->vm);
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    const xmlNode *o = rh_vs_object(s, "HttpNfcLease", l->id, paths, &doc, err);
    const char *state = rh_vs_text(rh_vs_property(o, "state"));
    const xmlNode *error = rh_vs_property(o, "error");

    if (!o)
        return -1;
    if (!strcmp(state, "ready"))
        return take_info(l, rh_vs_property(o, "info"), err);
    if (!strcmp(state, "initializing"))
        return 1;
    return rh_vs_fault(s, "the export lease", rh_vs_child(error, "fault"),
                       rh_vs_text_at(error, "localizedMessage"), err);
}

static int await_lease(struct rh_vs_lease *l, rh_error **err)
{
    time_t end = time(NULL) + READY_MOST;
    int state;

    while ((state = look_at_lease(l, err)) == 1) {
        if (time(NULL) > end)
            return rh_fail(err, RH_ERR_LIVE_BUSY,
                           "the export lease is not ready after %d seconds",
                           READY_MOST);
        for (int i = 0; i < 3; i++)
            if (rh_wait_nap(l->vm->lib, err) < 0)
                return -1;
    }
    return state;
}

static int begin(struct rh_live_vm *vm, const char *snapshot, rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    struct rh_vs_call c = {.method = snapshot ? "ExportSnapshot" : "ExportVm",
                           .type = snapshot ? "VirtualMachineSnapshot"
                                            : "VirtualMachine",
                           .id = snapshot ? snapshot : vm->id};
    RH_AUTO(rh_vs_doc_freep)
    xmlDoc *doc = rh_vs_call(rh_vs_vm_session(vm), &c, err);
    RH_AUTO(rh_vs_ref_free) struct rh_vs_ref ref = {0};
    struct rh_vs_lease *l;

    if (!doc)
        return -1;
    if (!rh_vs_ref_of(rh_vs_child(rh_vs_response(doc), "returnval"), &ref))
        return rh_fail(err, RH_ERR_LIVE_ANSWER, "the server gives no lease");
    l = v->lease = rh_new0(struct rh_vs_lease);
    pthread_mutex_init(&l->lock, NULL);
    l->vm = vm;
    l->id = RH_TAKE(ref.id);
    l->snapshot = rh_strdup(snapshot);
    if (await_lease(l, err) == 0)
        return 0;
    rh_vs_lease_end(vm);
    return -1;
}

static bool is_for(const struct rh_vs_lease *l, const char *snapshot)
{
    return l->snapshot && snapshot ? !strcmp(l->snapshot, snapshot)
                                   : !l->snapshot && !snapshot;
}

static struct rh_vs_lease *lease_for(struct rh_live_vm *vm,
                                     const char *snapshot, rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);

    if (v->lease && !is_for(v->lease, snapshot))
        rh_vs_lease_end(vm);
    if (!v->lease && begin(vm, snapshot, err) < 0)
        return NULL;
    return v->lease;
}

static bool all_done(const struct rh_vs_lease *l)
{
    bool any = false;

    for (size_t i = 0; i < l->devices.count; i++) {
        const struct device *d = &l->devices.items[i];

        any |= d->done;
        if (d->begun && !d->done)
            return false;
    }
    return any;
}

void rh_vs_lease_end(struct rh_live_vm *vm)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    struct rh_vs_lease *l = v->lease;
    struct rh_vs_call c;

    if (!l)
        return;
    v->lease = NULL;
    if (l->beating)
        rh_vs_beat_remove(rh_vs_vm_session(vm), &l->beat);
    for (size_t i = 0; i < l->devices.count; i++)
        rh_stream_close(RH_TAKE(l->devices.items[i].parked));
    c = lease_call(l,
                   all_done(l) ? "HttpNfcLeaseComplete" : "HttpNfcLeaseAbort");
    c.cleanup = true;
    rh_vs_do(rh_vs_vm_session(vm), &c, NULL);
    for (size_t i = 0; i < l->devices.count; i++) {
        struct device *d = &l->devices.items[i];

        rh_buf_free(&d->head);
        rh_io_unref(d->spool);
        free(d->key);
        free(d->url);
    }
    free(l->devices.items);
    free(l->streams.items);
    pthread_mutex_destroy(&l->lock);
    rh_http_free(l->host);
    free(l->id);
    free(l->snapshot);
    free(l);
}

/* --- which stream is which disk
 * ----------------------------------------------- */

/* Does "/vm-9/ParaVirtualSCSIController0:1" tell that place? */
static bool tells(const char *key, const struct rh_vs_disk *d)
{
    RH_AUTO(rh_freep)
    char *place =
        rh_printf("%llu:%llu", (unsigned long long)d->controller_number,
                  (unsigned long long)d->unit);
    const char *type = rh_vs_controller_type(d->controller);
    size_t n = strlen(place), m = strlen(key);

    return m > n && !strcmp(key + m - n, place) &&
           !(key[m - n - 1] >= '0' && key[m - n - 1] <= '9') &&
           (strcasestr(key, d->bus) || (type && strcasestr(key, type)));
}

/* The only stream that tells a disk's place; SIZE_MAX: none, or several do. */
static size_t told(const struct rh_vs_lease *l, size_t disk)
{
    const struct rh_vs_vm *v = rh_vs_vm_of(l->vm);
    size_t found = SIZE_MAX;

    for (size_t i = 0; i < l->devices.count; i++)
        if (tells(l->devices.items[i].key, &v->disks.list.items[disk])) {
            if (found != SIZE_MAX)
                return SIZE_MAX;
            found = i;
        }
    return found;
}

static bool is_told(const struct rh_vs_lease *l, size_t device)
{
    size_t disks = rh_vs_vm_of(l->vm)->disks.list.count;

    for (size_t i = 0; i < disks; i++)
        if (told(l, i) == device)
            return true;
    return false;
}

/* The n-th stream that tells no disk's place. */
static struct device *rest(struct rh_vs_lease *l, size_t n)
{
    for (size_t i = 0; i < l->devices.count; i++)
        if (!is_told(l, i) && n-- == 0)
            return &l->devices.items[i];
    return NULL;
}

/* A stream is called by the place that its disk is plugged into; for those
 * where that tells nothing, their order does.  The size of what comes is
 * compared in any case. */
static struct device *device_of(struct rh_vs_lease *l, size_t disk)
{
    const struct rh_vs_vm *v = rh_vs_vm_of(l->vm);
    size_t found = told(l, disk), before = 0, others = 0;

    if (found != SIZE_MAX)
        return &l->devices.items[found];
    if (l->devices.count != v->disks.list.count)
        return NULL;
    for (size_t i = 0; i < v->disks.list.count; i++)
        if (i != disk && told(l, i) == SIZE_MAX) {
            others++;
            before += i < disk;
        }
    if (others)
        rh_log(l->vm->lib, RH_LOG_WARN,
               "%s: the host's names do not tell which disk is which; their "
               "order does",
               l->vm->name);
    return rest(l, before);
}

/* --- the manifest
 * -------------------------------------------------------------- */

static int compare(const xmlNode *entry, const char *sha1, uint64_t size,
                   rh_error **err)
{
    const char *want = rh_vs_text_at(entry, "sha1");
    uint64_t bytes = 0;

    if (rh_vs_number_at(entry, "size", &bytes) && bytes && bytes != size)
        return rh_fail(err, RH_ERR_HTTP_FAILED,
                       "%llu bytes came, the server sent %llu",
                       (unsigned long long)size, (unsigned long long)bytes);
    if (want[0] && strcasecmp(want, sha1))
        return rh_fail(err, RH_ERR_MANIFEST_MISMATCH,
                       "its sha1 is %s, but the server's manifest says %.64s",
                       sha1, want);
    return 0;
}

/* A server without a manifest vouches for nothing: TLS did. */
static int check_manifest(struct rh_vs_lease *l, const struct device *d,
                          const char *sha1, uint64_t size, rh_error **err)
{
    struct rh_vs_call c = lease_call(l, "HttpNfcLeaseGetManifest");
    RH_AUTO(rh_vs_doc_freep)
    xmlDoc *doc = rh_vs_call(rh_vs_vm_session(l->vm), &c, NULL);
    rh_error *why = NULL;
    int failed = 0;

    /* One line for each time that it was sent. */
    for (xmlNode *e = rh_vs_child(rh_vs_response(doc), "returnval"); e;
         e = rh_vs_next(e)) {
        if (strcmp(rh_vs_text_at(e, "key"), d->key))
            continue;
        rh_error_drop(&why);
        failed = compare(e, sha1, size, &why);
        if (!failed)
            break;
    }
    if (failed && err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    return failed;
}

/* --- a stream
 * ------------------------------------------------------------------ */

struct passing {
    struct rh_vs_lease *lease;
    struct device *device;
    struct rh_stream *from; /* NULL: it gave way to another one */
    struct rh_digest *sha1;
    struct rh_buf head; /* as long as it is all that passed */
    bool only_head, busy, ended;
};

/* A disk of which no more than the head was read begins anew later on, when
 * another one needs its connection: nobody waits for one while he keeps some
 * from being used. */
static bool give_way(struct rh_vs_lease *l)
{
    struct rh_stream *from = NULL;

    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->devices.count && !from; i++)
        from = RH_TAKE(l->devices.items[i].parked);
    for (size_t i = 0; i < l->streams.count && !from; i++)
        if (l->streams.items[i]->only_head && !l->streams.items[i]->busy)
            from = RH_TAKE(l->streams.items[i]->from);
    pthread_mutex_unlock(&l->lock);
    rh_stream_close(from);
    return from != NULL;
}

static struct rh_stream *connect_to(struct rh_vs_lease *l,
                                    const struct device *d, rh_error **err)
{
    const char *path = strchr(d->url + 8, '/');
    struct rh_http *server = l->host ? l->host : l->vm->live->remote.http;

    while (!rh_http_has_room(l->vm->lib, server) && give_way(l))
        ;
    return rh_http_stream(l->vm->lib, server, path ? path : "/", d->key, err);
}

/* Past the head, which is what it was. */
static int skip_head(struct passing *p, rh_error **err)
{
    RH_AUTO(rh_freep) char *again = rh_malloc(p->head.length + 1);
    size_t got = 0, n = 1;

    while (got < p->head.length && n) {
        if (rh_stream_read(p->from, again + got, p->head.length - got, &n,
                           err) < 0)
            return -1;
        got += n;
    }
    if (got == p->head.length && (!got || !memcmp(again, p->head.data, got)))
        return 0;
    return rh_fail(err, RH_ERR_HTTP_CHANGED,
                   "the disk begins with other bytes when it is sent again");
}

static int go_on(struct passing *p, rh_error **err)
{
    if (p->from)
        return 0;
    p->from = connect_to(p->lease, p->device, err);
    return p->from ? skip_head(p, err) : -1;
}

static int passing_end(struct passing *p, uint64_t size, rh_error **err)
{
    char hex[RH_DIGEST_HEX];

    p->ended = true;
    if (p->device->done)
        return 0;
    rh_digest_hex(p->sha1, hex);
    if (check_manifest(p->lease, p->device, hex, size, err) < 0)
        return -1;
    p->device->done = true;
    return 0;
}

static int read_on(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                   rh_error **err)
{
    struct passing *p = s->state;

    *ret_n = 0;
    if (p->ended)
        return 0;
    if (go_on(p, err) < 0 || rh_stream_read(p->from, buf, n, ret_n, err) < 0)
        return -1;
    if (!*ret_n)
        return passing_end(p, s->position, err);
    rh_digest_add(p->sha1, buf, *ret_n);
    atomic_fetch_add(&p->lease->passed, *ret_n);
    p->only_head &= p->head.length + *ret_n <= HEAD;
    if (p->only_head)
        rh_buf_add(&p->head, buf, *ret_n);
    return 0;
}

static void set_busy(struct passing *p, bool busy)
{
    pthread_mutex_lock(&p->lease->lock);
    p->busy = busy;
    pthread_mutex_unlock(&p->lease->lock);
}

static int passing_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                        rh_error **err)
{
    struct passing *p = s->state;
    int failed;

    set_busy(p, true);
    failed = read_on(s, buf, n, ret_n, err);
    set_busy(p, false);
    return failed;
}

static void forget(struct passing *p)
{
    struct rh_vs_lease *l = p->lease;

    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->streams.count; i++)
        if (l->streams.items[i] == p)
            l->streams.items[i--] = l->streams.items[--l->streams.count];
    pthread_mutex_unlock(&l->lock);
}

static void passing_close(struct rh_stream *s)
{
    struct passing *p = s->state;

    forget(p);
    if (p->only_head && p->from && !p->device->done && !p->device->parked) {
        rh_buf_free(&p->device->head);
        p->device->head = p->head;
        p->device->parked = p->from;
        p->device->begun = false;
    } else {
        p->device->begun &= p->from != NULL;
        rh_buf_free(&p->head);
        rh_stream_close(p->from);
    }
    rh_digest_free(p->sha1);
    free(p);
}

static struct rh_stream *open_stream(struct rh_vs_lease *l, struct device *d,
                                     rh_error **err)
{
    static const struct rh_stream_ops ops = {passing_read, passing_close};
    struct passing *p;
    struct rh_stream *from, *s;

    from = d->parked ? rh_stream_prefix(d->head.data, d->head.length,
                                        RH_TAKE(d->parked))
                     : connect_to(l, d, err);
    if (!from)
        return NULL;
    rh_buf_free(&d->head);
    d->head = (struct rh_buf){0};
    d->begun = true;
    d->done = false;
    p = rh_new0(struct passing);
    p->lease = l;
    p->device = d;
    p->from = from;
    p->sha1 = rh_digest_new("sha1");
    p->only_head = true;
    pthread_mutex_lock(&l->lock);
    *rh_vec_add(&l->streams) = p;
    pthread_mutex_unlock(&l->lock);
    s = rh_stream_make(&ops, d->key, p);
    s->lib = l->vm->lib;
    return s;
}

/* --- the disk
 * ------------------------------------------------------------------- */

static struct device *find_device(struct rh_live_vm *vm, size_t disk,
                                  const char *snapshot,
                                  struct rh_vs_lease **ret_lease,
                                  rh_error **err)
{
    struct rh_vs_lease *l = lease_for(vm, snapshot, err);
    struct device *d = l ? device_of(l, disk) : NULL;

    *ret_lease = l;
    if (l && !d)
        rh_fail(err, RH_ERR_LIVE_ANSWER,
                "the lease exports other disks than the VM has");
    return d;
}

static struct rh_reader *check_size(struct rh_live_vm *vm, size_t disk,
                                    struct rh_reader *r, rh_error **err)
{
    uint64_t want = rh_vs_vm_of(vm)->disks.list.items[disk].capacity;

    if (!r || !want || r->size == want)
        return r;
    rh_fail(err, RH_ERR_LIVE_ANSWER,
            "what comes is a disk of %llu bytes, the server says %llu",
            (unsigned long long)r->size, (unsigned long long)want);
    rh_reader_close(r);
    return NULL;
}

struct rh_reader *rh_vs_lease_forward(struct rh_live_vm *vm, size_t disk,
                                      const char *snapshot, rh_error **err)
{
    struct rh_open_options o = {.lib = vm->lib};
    struct rh_vs_lease *l;
    struct device *d = find_device(vm, disk, snapshot, &l, err);
    struct rh_stream *s = d ? open_stream(l, d, err) : NULL;

    return s ? check_size(vm, disk, rh_reader_open_stream(s, &o, err), err)
             : NULL;
}

/* A lease's stream can't be taken up where it broke. */
static struct rh_io *spool(struct rh_vs_lease *l, struct device *d,
                           rh_error **err)
{
    rh_lib *lib = l->vm->lib;
    uint64_t limit = lib->max_disk_size;

    for (unsigned tries = 1;; tries++) {
        rh_error *why = NULL;
        RH_AUTO(rh_stream_closep)
        struct rh_stream *s = open_stream(l, d, &why);
        struct rh_io *io = s ? rh_spool(lib, s, limit, &why) : NULL;
        bool again =
            tries < TRIES && rh_error_number(why) == RH_ERR_HTTP_FAILED;

        if (!io && again)
            rh_log(lib, RH_LOG_WARN, "%s: %s; from its start once more",
                   l->vm->name, rh_error_message(why));
        else if (!io && err && !*err)
            *err = RH_TAKE(why);
        rh_error_free(why);
        if (io || !again)
            return io;
    }
}

struct rh_reader *rh_vs_lease_disk(struct rh_live_vm *vm, size_t disk,
                                   const char *snapshot, rh_error **err)
{
    struct rh_open_options o = {.lib = vm->lib};
    struct rh_vs_lease *l;
    struct device *d = find_device(vm, disk, snapshot, &l, err);

    if (!d)
        return NULL;
    if (!d->spool)
        d->spool = spool(l, d, err);
    return d->spool ? check_size(vm, disk,
                                 rh_reader_open(d->spool, NULL, &o, err), err)
                    : NULL;
}
