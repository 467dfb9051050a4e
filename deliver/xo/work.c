/* work.c - look, send, mend the NICs, take away again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/random.h"
#include "deliver/xo/xo.h"

enum {
    FIRST_ANSWER = 1, /* seconds; a good one comes at the end only */
    SETTLING = 15,    /* seconds in which a broken upload may become a VM */
    POLL_FIRST = 100, /* milliseconds */
    POLL_MAX = 1000,
};
#define DISK_MAX (2040 * RH_GIB)

/* Of a mark, before 16 hex digits. */
static const char stem[] = "rehost push ";

int rh_xo_work_init(struct rh_xo_work *w, struct rh_xo *x, const rh_options *o,
                    rh_error **err)
{
    *w = (struct rh_xo_work){.xo = x, .options = rh_new0(rh_options)};
    memcpy(w->mark, stem, sizeof stem);
    if (rh_random_hex(w->mark + sizeof stem - 1, 8, err) < 0)
        return -1;
    for (size_t i = 0; o && i < o->list.count; i++)
        if (!strcmp(o->list.items[i].key, "network-map") ||
            !strcmp(o->list.items[i].key, "name"))
            rh_options_put(w->options, o->list.items[i].key,
                           o->list.items[i].value);
    rh_options_put(w->options, "note", w->mark);
    return 0;
}

void rh_xo_work_free(struct rh_xo_work *w)
{
    rh_http_upload_close(w->upload);
    for (size_t i = 0; w->options && i < w->options->list.count; i++) {
        free(w->options->list.items[i].key);
        free(w->options->list.items[i].value);
    }
    if (w->options)
        free(w->options->list.items);
    free(w->options);
    free(w->sr);
    free(w->pool);
    free(w->path);
    free(w->vm);
    json_decref(w->disks);
    json_decref(w->nics);
    *w = (struct rh_xo_work){0};
}

/* --- looking
 * ----------------------------------------------------------------------- */

static int default_sr(struct rh_xo_work *w, char **ret, rh_error **err)
{
    json_t *pools = rh_xo_call(
        w->xo, "GET", "/pools?fields=uuid,name_label,default_SR", NULL, err);
    size_t n = json_array_size(pools);
    const char *sr = rh_xapi_text(json_array_get(pools, 0), "default_SR");

    if (!pools)
        return -1;
    if (n == 1 && sr[0])
        *ret = rh_strdup(sr);
    else
        rh_fail(err, RH_ERR_DELIVERY_PLACE,
                n == 1 ? "the pool has no default storage"
                       : "there are %zu pools",
                n);
    json_decref(pools);
    return *ret ? 0 : rh_hint(err, "name a storage: xo://HOST/SR");
}

/* By its uuid or its name; several of one name are an error. */
static json_t *find_sr(struct rh_xo_work *w, const char *asked, rh_error **err)
{
    json_t *all = rh_xo_call(w->xo, "GET", "/srs?fields=*", NULL, err), *sr;
    json_t *found = NULL;
    RH_AUTO(rh_buf_free) struct rh_buf uuids = {0};
    size_t i, n = 0;

    if (!all)
        return NULL;
    json_array_foreach (all, i, sr) {
        const char *uuid = rh_xapi_text(sr, "uuid");

        if (strcmp(uuid, asked) &&
            strcmp(rh_xapi_text(sr, "name_label"), asked))
            continue;
        rh_buf_printf(&uuids, "%s%s", n++ ? ", " : "", uuid);
        found = sr;
    }
    json_incref(found);
    json_decref(all);
    if (n == 1)
        return found;
    json_decref(found);
    if (n == 0) {
        rh_fail(err, RH_ERR_DELIVERY_PLACE, "there is no storage \"%s\"",
                asked);
        return NULL;
    }
    rh_fail(err, RH_ERR_DELIVERY_PLACE, "there are %zu storages named \"%s\"",
            n, asked);
    rh_hint(err, "name one by its UUID: %s", uuids.data);
    return NULL;
}

static void check_space(const struct rh_xo_work *w, const json_t *sr,
                        uint64_t data, struct rh_checks *checks)
{
    uint64_t size = rh_xapi_number(sr, "size");
    uint64_t used = RH_MAX(rh_xapi_number(sr, "physical_usage"),
                           rh_xapi_number(sr, "physical_utilisation"));
    const char *name = rh_xapi_text(sr, "name_label");
    const char *type = rh_xapi_text(sr, "SR_type");
    bool thick = !strncmp(type, "lvm", 3), known = thick || data;
    uint64_t need = known && !thick ? data : w->ova->virtual_bytes;
    uint64_t room = size > used ? size - used : 0;
    RH_AUTO(rh_freep) char *need_text = rh_human_size(need);
    RH_AUTO(rh_freep) char *room_text = rh_human_size(room);
    RH_AUTO(rh_freep)
    char *short_text = rh_human_size(need > room ? need - room : 0);

    if (!strcmp(rh_xapi_text(sr, "content_type"), "iso"))
        rh_check_bad(checks, RH_ERR_DELIVERY_PLACE,
                     "the storage \"%s\" is for ISO images, not for disks",
                     name);
    else if (need > room && known)
        rh_check_bad(checks, RH_ERR_DELIVERY_SPACE,
                     "the storage \"%s\" (%s) is %s short: %s are needed, %s "
                     "are free",
                     name, type, short_text, need_text, room_text);
    else if (need > room)
        rh_check_caution(checks,
                         "the storage \"%s\" (%s) has %s free, and the disks "
                         "may grow to %s",
                         name, type, room_text, need_text);
    else
        rh_check_good(checks, "storage \"%s\" (%s): %s needed, %s free", name,
                      type, need_text, room_text);
    for (size_t i = 0; i < w->ova->disks.count; i++)
        if (w->ova->disks.items[i] > DISK_MAX)
            rh_check_bad(checks, RH_ERR_DELIVERY_LIMIT,
                         "disk %zu is larger than 2040 GiB, which an import "
                         "by XVA does not take",
                         i);
}

static const json_t *network_of(const json_t *all,
                                const struct rh_ova_network *n,
                                const char *pool)
{
    size_t i;
    json_t *net;

    json_array_foreach (all, i, net)
        if (!strcmp(rh_xapi_text(net, "$pool"), pool) &&
            (!strcmp(rh_xapi_text(net, "name_label"), n->name) ||
             (n->bridge[0] && !strcmp(rh_xapi_text(net, "bridge"), n->bridge))))
            return net;
    return NULL;
}

static int check_networks(struct rh_xo_work *w, struct rh_checks *checks,
                          rh_error **err)
{
    json_t *all = rh_xo_call(w->xo, "GET", "/networks?fields=*", NULL, err),
           *net;
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};
    size_t i;

    if (!all)
        return -1;
    json_array_foreach (all, i, net)
        rh_buf_printf(&names, "%s\"%s\"", i ? ", " : "",
                      rh_xapi_text(net, "name_label"));
    for (i = 0; i < w->ova->networks.count; i++) {
        const struct rh_ova_network *n = &w->ova->networks.items[i];

        rh_check_network(checks, network_of(all, n, w->pool) != NULL, n->name,
                         names.data);
    }
    json_decref(all);
    return 0;
}

int rh_xo_look(struct rh_xo_work *w, const char *sr, uint64_t data_bytes,
               struct rh_checks *checks, rh_error **err)
{
    RH_AUTO(rh_freep) char *asked = rh_strdup(sr);
    json_t *record;

    if (!asked && default_sr(w, &asked, err) < 0)
        return rh_error_subject(err, rh_http_name(w->xo->remote->http));
    record = find_sr(w, asked, err);
    if (!record)
        return rh_error_subject(err, rh_http_name(w->xo->remote->http));
    rh_check_good(checks, "logged in");
    w->sr = rh_strdup(rh_xapi_text(record, "uuid"));
    w->pool = rh_strdup(rh_xapi_text(record, "$pool"));
    check_space(w, record, data_bytes, checks);
    json_decref(record);
    return check_networks(w, checks, err);
}

/* --- sending
 * ------------------------------------------------------------------------ */

int rh_xo_begin(struct rh_xo_work *w, int64_t size, rh_error **err)
{
    struct rh_http_request r = {.method = "POST"};
    const struct rh_http_answer *a;

    w->path = rh_printf("/rest/v0/pools/%s/vms?sr=%s", w->pool, w->sr);
    r.path = w->path;
    if (w->journal && rh_journal_add(w->journal, "mark", w->mark, err) < 0)
        return -1;
    w->upload = rh_http_upload_start(w->xo->remote->http, &r, size, err);
    a = w->upload ? rh_http_upload_wait(w->upload, FIRST_ANSWER, err) : NULL;
    if (!a)
        return -1;
    w->begun = true;
    w->answered = a->status >= 300;
    return w->answered ? rh_xo_fail(w->xo, &r, a, err) : 0;
}

int rh_xo_write(struct rh_xo_work *w, const void *bytes, size_t n,
                rh_error **err)
{
    struct rh_http_request r = {.method = "POST", .path = w->path};
    rh_error *e = NULL;
    const struct rh_http_answer *a;

    if (rh_http_upload_write(w->upload, bytes, n, &e) == 0) {
        w->sent += n;
        return 0;
    }
    /* The server's own reason, when it gave one before it went. */
    a = rh_error_number(e) == RH_ERR_CANCELLED
            ? NULL
            : rh_http_upload_wait(w->upload, FIRST_ANSWER, NULL);
    w->answered = a && a->status >= 300;
    if (w->answered)
        rh_xo_fail(w->xo, &r, a, err);
    else if (err && !*err)
        *err = RH_TAKE(e);
    rh_error_free(e);
    return -1;
}

static int take_vm(struct rh_xo_work *w, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    struct rh_http_request r = {.method = "POST", .path = w->path};
    json_t *doc;

    if (rh_http_upload_finish(w->upload, &a, err) < 0)
        return -1;
    w->answered = true;
    if (a.status < 200 || a.status > 299)
        return rh_xo_fail(w->xo, &r, &a, err);
    doc = a.body.data ? json_loadb(a.body.data, a.body.length, 0, NULL) : NULL;
    w->vm = rh_strdup(rh_xapi_text(doc, "id"));
    json_decref(doc);
    return w->vm[0] ? 0
                    : rh_fail(err, RH_ERR_DELIVERY_FAILED,
                              "the server names no VM that it made");
}

/* --- NICs
 * ----------------------------------------------------------------------------
 */

static int make_nic(struct rh_xo_work *w, const json_t *vif, const char *mac,
                    rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/vifs/%s", rh_xapi_text(vif, "uuid"));
    json_t *done = rh_xo_call(w->xo, "DELETE", path, NULL, err);

    json_decref(done);
    if (!done)
        return -1;
    done =
        rh_xo_call(w->xo, "POST", "/vifs",
                   json_pack("{s:s, s:s, s:s, s:s}", "vmId", w->vm, "networkId",
                             rh_xapi_text(vif, "$network"), "MAC", mac,
                             "device", rh_xapi_text(vif, "device")),
                   err);
    json_decref(done);
    return done ? 0 : -1;
}

static json_t *vm_record(struct rh_xo_work *w, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("/vms/%s", w->vm);

    return rh_xo_call(w->xo, "GET", path, NULL, err);
}

/* For each NIC of the VM as it is there; 0 goes on. */
static int each_nic(struct rh_xo_work *w,
                    int (*call)(struct rh_xo_work *w, const json_t *vif,
                                const char *mac, rh_error **err),
                    rh_error **err)
{
    json_t *vm = vm_record(w, err), *uuid;
    int failed = vm ? 0 : -1;
    size_t i;

    json_array_foreach (json_object_get(vm, "VIFs"), i, uuid) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("/vifs/%s", json_string_value(uuid));
        json_t *vif = failed ? NULL : rh_xo_call(w->xo, "GET", path, NULL, err);
        uint64_t device = rh_xapi_number(vif, "device");

        if (!failed)
            failed = vif ? 0 : -1;
        if (!failed && device < w->ova->macs.count)
            failed = call(w, vif, w->ova->macs.items[device], err);
        json_decref(vif);
    }
    json_decref(vm);
    return failed;
}

static int note_nic(struct rh_xo_work *w, const json_t *vif, const char *mac,
                    rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/networks/%s", rh_xapi_text(vif, "$network"));
    json_t *network;

    if (!rh_same_word(rh_xapi_text(vif, "MAC"), mac))
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "a NIC there has the MAC address \"%s\", not %s",
                       rh_xapi_text(vif, "MAC"), mac);
    network = rh_xo_call(w->xo, "GET", path, NULL, err);
    if (!network)
        return -1;
    json_array_append_new(w->nics,
                          json_pack("{s:s, s:s}", "mac", mac, "network",
                                    rh_xapi_text(network, "name_label")));
    json_decref(network);
    return 0;
}

/* --- disks
 * ---------------------------------------------------------------------------
 */

static json_t *get(struct rh_xo_work *w, const char *kind, const char *uuid,
                   rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("/%s/%s", kind, uuid);

    return rh_xo_call(w->xo, "GET", path, NULL, err);
}

static int note_disk(struct rh_xo_work *w, const char *vbd_uuid, rh_error **err)
{
    json_t *vbd = get(w, "vbds", vbd_uuid, err), *vdi = NULL;
    const char *uuid = rh_xapi_text(vbd, "$VDI");
    int failed = vbd ? 0 : -1;

    if (!uuid[0])
        uuid = rh_xapi_text(vbd, "VDI");
    if (vbd && strcmp(rh_xapi_text(vbd, "type"), "CD") && uuid[0]) {
        vdi = get(w, "vdis", uuid, err);
        failed = vdi ? 0 : -1;
    }
    if (vdi) {
        uint64_t size = RH_MAX(rh_xapi_number(vdi, "virtual_size"),
                               rh_xapi_number(vdi, "size"));

        json_array_append_new(
            w->disks, json_pack("{s:s, s:s, s:I}", "id", uuid, "position",
                                rh_xapi_text(vbd, "userdevice"), "bytes",
                                (json_int_t)size));
    }
    json_decref(vbd);
    json_decref(vdi);
    return failed;
}

static int note_disks(struct rh_xo_work *w, rh_error **err)
{
    json_t *vm = vm_record(w, err), *vbd;
    int failed = vm ? 0 : -1;
    size_t i;

    json_array_foreach (json_object_get(vm, "$VBDs"), i, vbd)
        if (!failed)
            failed = note_disk(w, json_string_value(vbd), err);
    json_decref(vm);
    if (failed || json_array_size(w->disks) == w->ova->disks.count)
        return failed;
    return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                   "the VM there has %zu disks, not %zu",
                   json_array_size(w->disks), w->ova->disks.count);
}

int rh_xo_end(struct rh_xo_work *w, rh_error **err)
{
    w->disks = json_array();
    w->nics = json_array();
    if (take_vm(w, err) < 0 || each_nic(w, make_nic, err) < 0 ||
        each_nic(w, note_nic, err) < 0 || note_disks(w, err) < 0)
        return -1;
    if (json_array_size(w->nics) == w->ova->macs.count)
        return 0;
    return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                   "the VM there has %zu NICs, not %zu",
                   json_array_size(w->nics), w->ova->macs.count);
}

int rh_xo_start(void *work, rh_error **err)
{
    const struct rh_xo_work *w = work;
    RH_AUTO(rh_freep)
    char *path = rh_printf("/vms/%s/actions/start?sync=true", w->vm);
    json_t *done = rh_xo_call(w->xo, "POST", path, json_object(), err);

    json_decref(done);
    return done ? 0 : -1;
}

int rh_xo_addresses(void *work, json_t *list, rh_error **err)
{
    struct rh_xo_work *w = work;
    json_t *vm = vm_record(w, err), *address;
    const char *key;

    json_object_foreach (json_object_get(vm, "addresses"), key, address)
        rh_address_add(list, json_string_value(address));
    json_decref(vm);
    return vm ? 0 : -1;
}

/* --- taking away
 * ------------------------------------------------------------------------ */

/* A journal lies beside a result, which may come from anywhere: a short mark
 * would stand in the description of many VMs. */
static bool is_mark(const char *mark)
{
    size_t n = sizeof stem - 1;

    return !strncmp(mark, stem, n) && strlen(mark) == n + 16 &&
           strspn(mark + n, "0123456789abcdef") == 16;
}

/* One look: the VMs or the disks that have the mark go.  Disks go with their
 * VM, but one whose end failed may be left over. */
static int take_marked(struct rh_xo *x, const char *kind, const char *mark,
                       size_t *ret_seen, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *list = rh_printf("/%s?fields=uuid,name_description", kind);
    json_t *all = rh_xo_call(x, "GET", list, NULL, err), *record;
    int failed = all ? 0 : -1;
    size_t i;

    json_array_foreach (all, i, record) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("/%s/%s", kind, rh_xapi_text(record, "uuid"));
        json_t *done;

        if (failed || !strstr(rh_xapi_text(record, "name_description"), mark))
            continue;
        *ret_seen += 1;
        done = rh_xo_call(x, "DELETE", path, NULL, err);
        failed = done ? 0 : -1;
        json_decref(done);
    }
    json_decref(all);
    return failed;
}

static int take_all(struct rh_xo *x, const char *mark, size_t *ret_seen,
                    rh_error **err)
{
    if (take_marked(x, "vms", mark, ret_seen, err) < 0)
        return -1;
    return take_marked(x, "vdis", mark, ret_seen, err);
}

int rh_xo_clean(struct rh_xo *x, const char *mark, rh_error **err)
{
    size_t seen = 0;

    return is_mark(mark) ? take_all(x, mark, &seen, err) : 0;
}

/* An upload that was broken off has no task to ask: what the server has got by
 * then may become a VM a little later, or the server takes it away itself. */
static int take_late(struct rh_xo_work *w)
{
    time_t end = time(NULL) + SETTLING;
    bool settled = w->answered || !w->begun;
    unsigned ms = POLL_FIRST;

    if (!settled)
        rh_log(w->xo->remote->lib, RH_LOG_WARN,
               "the upload broke off: for up to %d seconds it is watched "
               "whether the server makes a VM of it",
               SETTLING);
    for (;;) {
        size_t seen = 0;
        int failed = take_all(w->xo, w->mark, &seen, NULL);

        if (!failed && !seen && settled)
            return 0;
        settled |= seen > 0;
        if (time(NULL) > end)
            return -1;
        rh_remote_pause(NULL, &ms, POLL_MAX);
    }
}

void rh_xo_undo(void *work)
{
    struct rh_xo_work *w = work;
    struct rh_http *http = w->xo->remote->http;

    rh_http_upload_close(RH_TAKE(w->upload));
    rh_http_set_lib(http, NULL); /* also after a cancel */
    if (take_late(w) == 0)
        rh_journal_done(w->journal);
    else
        rh_log(w->xo->remote->lib, RH_LOG_WARN,
               "the server has not said what became of the VM: look for "
               "\"%s\" there, or run the command again",
               w->mark);
    rh_http_set_lib(http, w->xo->remote->lib);
}
