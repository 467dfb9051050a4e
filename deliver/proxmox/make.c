/* make.c - upload, create, start, and take away again.
 *
 * An upload is a multipart form whose parts come in the one order that the
 * server reads, with an exact length, a checksum, and a boundary that no disk
 * holds: the server cuts at it without a word.  The file is read ahead of the
 * network, for a silence of five seconds ends the connection. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/random.h"
#include "deliver/proxmox/proxmox.h"

enum { PIECE = 1024 * 1024, TRIES = 5, CREATING = 60 /* seconds */ };

/* --- upload
 * ---------------------------------------------------------------------------
 */

static int digest_of(struct rh_pve_work *w, struct rh_io *file,
                     char ret_hex[RH_DIGEST_HEX], rh_error **err)
{
    RH_AUTO(rh_digest_freep) struct rh_digest *d = rh_digest_new("sha256");
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);

    for (uint64_t at = 0; at < file->size;) {
        size_t n = (size_t)RH_MIN((uint64_t)PIECE, file->size - at);

        if (rh_go_on(w->pve->remote->lib, err) < 0 ||
            rh_io_read(file, piece, n, at, err) < 0)
            return -1;
        rh_digest_add(d, piece, n);
        at += n;
    }
    rh_digest_hex(d, ret_hex);
    return 0;
}

static void add_field(struct rh_buf *b, const char *boundary, const char *name,
                      const char *value)
{
    rh_buf_printf(b,
                  "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n"
                  "%s\r\n",
                  boundary, name, value);
}

static int send_file(struct rh_pve_work *w, struct rh_http_upload *u,
                     struct rh_io *file, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);

    for (uint64_t at = 0; at < file->size;) {
        size_t n = (size_t)RH_MIN((uint64_t)PIECE, file->size - at);

        if (rh_io_read(file, piece, n, at, err) < 0 ||
            rh_http_upload_write(u, piece, n, err) < 0)
            return -1;
        at += n;
        w->sent += n;
        rh_progress(w->pve->remote->lib, "send", at, file->size);
    }
    return 0;
}

/* The server broke it off: with a reason, or (its /var/tmp is full) without. */
static int say_broken(struct rh_pve_work *w, struct rh_http_upload *u,
                      const struct rh_http_request *r, rh_error **err)
{
    const struct rh_http_answer *a = rh_http_upload_wait(u, 1, NULL);
    json_t *doc = a && a->body.data
                      ? json_loadb(a->body.data, a->body.length, 0, NULL)
                      : NULL;

    if (err && *err && rh_error_number(*err) != RH_ERR_HTTP_FAILED) {
        json_decref(doc);
        return -1; /* ours: a file, a cancel */
    }
    if (a && a->status >= 400) {
        rh_error_drop(err);
        rh_http_refuse(w->pve->remote->http, r, a, rh_pve_text(doc, "message"),
                       err);
    } else {
        rh_hint(err, "the node writes uploads to its /var/tmp first: probably "
                     "it is full, or the network broke");
    }
    json_decref(doc);
    return -1;
}

static int finish_upload(struct rh_pve_work *w, struct rh_http_upload *u,
                         const struct rh_http_request *r, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    RH_AUTO(rh_freep) char *upid = NULL;
    json_t *doc;

    if (rh_http_upload_finish(u, &a, err) < 0)
        return rh_hint(err, "the node writes uploads to its /var/tmp first: "
                            "probably it is full, or the network broke");
    doc = a.body.data ? json_loadb(a.body.data, a.body.length, 0, NULL) : NULL;
    if (a.status != 200)
        rh_http_refuse(w->pve->remote->http, r, &a, rh_pve_text(doc, "message"),
                       err);
    else
        upid = rh_strdup(rh_pve_text(doc, "data"));
    json_decref(doc);
    return upid ? rh_pve_wait(w->pve, w->place->node, upid, "import", err) : -1;
}

static int upload(struct rh_pve_work *w, struct rh_io *file, const char *name,
                  const char *digest, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf head = {0};
    char boundary[33];
    RH_AUTO(rh_freep) char *tail = NULL, *type = NULL;
    RH_AUTO(rh_freep)
    char *path = rh_printf("/api2/json/nodes/%s/storage/%s/upload",
                           w->place->node, w->place->import);
    RH_AUTO(rh_http_upload_closep) struct rh_http_upload *u = NULL;
    struct rh_http_request r = {.method = "POST", .path = path};

    if (rh_random_hex(boundary, 16, err) < 0)
        return -1;
    add_field(&head, boundary, "content", "import");
    add_field(&head, boundary, "checksum-algorithm", "sha256");
    add_field(&head, boundary, "checksum", digest);
    rh_buf_printf(&head,
                  "--%s\r\nContent-Disposition: form-data; name=\"filename\"; "
                  "filename=\"%s\"\r\nContent-Type: application/octet-stream"
                  "\r\n\r\n",
                  boundary, name);
    tail = rh_printf("\r\n--%s--\r\n", boundary);
    type = rh_printf("multipart/form-data; boundary=%s", boundary);
    r.type = type;
    u = rh_http_upload_start(w->pve->remote->http, &r,
                             (int64_t)(head.length + file->size + strlen(tail)),
                             err);
    if (!u)
        return -1;
    if (rh_http_upload_write(u, head.data, head.length, err) < 0 ||
        send_file(w, u, file, err) < 0 ||
        rh_http_upload_write(u, tail, strlen(tail), err) < 0)
        return say_broken(w, u, &r, err);
    return finish_upload(w, u, &r, err);
}

/* A node that does not come for it is sent it. */
static int bring(struct rh_pve_work *w, struct rh_io *file, const char *name,
                 const char *digest, rh_error **err)
{
    rh_error *e = NULL;

    if (!w->place->serve)
        return upload(w, file, name, digest, err);
    if (rh_pve_fetch(w, file, name, digest, &e) == 0)
        return 0;
    if (rh_error_number(e) != RH_ERR_DELIVERY_UNREACHED ||
        !w->place->may_upload) {
        if (err && !*err)
            *err = RH_TAKE(e);
        rh_error_free(e);
        return -1;
    }
    rh_log(w->pve->remote->lib, RH_LOG_WARN,
           "%s: the disks are uploaded instead", rh_error_message(e));
    rh_error_free(e);
    rh_serve_close(w->place->serve);
    w->place->serve = NULL;
    return upload(w, file, name, digest, err);
}

/* An upload overwrites: the name is one that nobody else has. */
int rh_pve_upload(struct rh_pve_work *w, struct rh_io *file, const char *name,
                  char **ret_volume, rh_error **err)
{
    char mark[17], digest[RH_DIGEST_HEX];
    RH_AUTO(rh_freep) char *unique = NULL;
    RH_AUTO(rh_freep) char *volume = NULL;

    if (digest_of(w, file, digest, err) < 0 || rh_random_hex(mark, 8, err) < 0)
        return -1;
    unique = rh_printf("rehost-%s-%s", mark, name);
    volume = rh_printf("%s:import/%s", w->place->import, unique);
    if (w->journal && rh_journal_add(w->journal, "file", volume, err) < 0)
        return -1;
    *rh_vec_add(&w->files) = rh_strdup(volume);
    if (bring(w, file, unique, digest, err) < 0)
        return rh_error_context(err, _("uploading %s"), name);
    *ret_volume = RH_TAKE(volume);
    return 0;
}

/* --- the VM
 * ----------------------------------------------------------------------------
 */

static int next_number(struct rh_pve_work *w, rh_error **err)
{
    json_t *id = rh_pve_call(w->pve, "GET", "/cluster/nextid", NULL, err);

    if (!id)
        return -1;
    free(w->place->vmid);
    w->place->vmid =
        json_is_integer(id)
            ? rh_printf("%lld", (long long)json_integer_value(id))
            : rh_strdup(json_string_value(id) ? json_string_value(id) : "");
    json_decref(id);
    return 0;
}

static int create_once(struct rh_pve_work *w, const struct rh_pve_conf *conf,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("/nodes/%s/qemu", w->place->node);
    RH_AUTO(rh_freep)
    char *id = rh_printf("%s/%s/%s", w->place->node, w->place->vmid, w->note);
    json_t *params = rh_pve_conf_params(conf, w->place->storage, w->note,
                                        RH_PVE_IMPORT),
           *upid;
    int failed;

    json_object_set_new(params, "vmid", json_string(w->place->vmid));
    if (w->place->drop_startup)
        json_object_del(params, "startup");
    if (w->journal && rh_journal_add(w->journal, "vm", id, err) < 0) {
        json_decref(params);
        return -1;
    }
    /* Not broken off by a cancel: its task must be known to be ended. */
    w->made = true; /* as far as we know */
    rh_http_set_lib(w->pve->remote->http, NULL);
    upid = rh_pve_call(w->pve, "POST", path, params, err);
    rh_http_set_lib(w->pve->remote->http, w->pve->remote->lib);
    if (!upid)
        return -1;
    failed = rh_pve_wait(w->pve, w->place->node, json_string_value(upid),
                         "import", err);
    json_decref(upid);
    return failed;
}

/* A number that was free may be taken by now. */
int rh_pve_create(struct rh_pve_work *w, const struct rh_pve_conf *conf,
                  rh_error **err)
{
    for (unsigned tries = 1;; tries++) {
        rh_error *e = NULL;

        if (create_once(w, conf, &e) == 0)
            return 0;
        if (rh_error_number(e) == RH_ERR_DELIVERY_TAKEN &&
            !w->place->vmid_asked && tries < TRIES) {
            rh_error_free(e);
            if (next_number(w, err) < 0)
                return -1;
            continue;
        }
        if (err && !*err)
            *err = RH_TAKE(e);
        rh_error_free(e);
        return -1;
    }
}

/* --- what stands there
 * ---------------------------------------------------------------- */

static bool is_nic(const char *key)
{
    return !strncmp(key, "net", 3) && key[3] >= '0' && key[3] <= '9';
}

/* "virtio=00:50:..,bridge=" -> "00:50:.." */
static char *mac_of(const char *value)
{
    const char *equals = strchr(value, '=');

    return equals ? rh_strndup(equals + 1, strcspn(equals + 1, ","))
                  : rh_strdup("");
}

static int add_nic(const char *key, const char *sent, const char *there,
                   json_t *nics, rh_error **err)
{
    RH_AUTO(rh_freep) char *mac = mac_of(there), *wanted = mac_of(sent);
    RH_AUTO(rh_freep) char *bridge = rh_pve_part(there, "bridge");

    if (!rh_same_word(mac, wanted))
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "%s there has the MAC address \"%s\", not %s", key, mac,
                       wanted);
    json_array_append_new(
        nics, json_pack("{s:s, s:s}", "mac", mac, "network", bridge));
    return 0;
}

static int add_volume(const char *key, const char *there, json_t *disks,
                      rh_error **err)
{
    RH_AUTO(rh_freep) char *volume = rh_strndup(there, strcspn(there, ","));

    if (!volume[0])
        return rh_fail(err, RH_ERR_DELIVERY_FAILED, "the VM there has no %s",
                       key);
    json_array_append_new(
        disks, json_pack("{s:s, s:s}", "id", volume, "position", key));
    return 0;
}

json_t *rh_pve_describe(struct rh_pve_work *w, const struct rh_pve_conf *conf,
                        rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path =
        rh_printf("/nodes/%s/qemu/%s/config", w->place->node, w->place->vmid);
    json_t *there = rh_pve_call(w->pve, "GET", path, NULL, err);
    json_t *disks = json_array(), *nics = json_array();
    RH_AUTO(rh_freep)
    char *uuid = rh_pve_part(rh_pve_text(there, "smbios1"), "uuid");
    int failed = there ? 0 : -1;

    for (size_t i = 0; i < conf->list.count && !failed; i++) {
        const struct rh_pve_setting *s = &conf->list.items[i];
        const char *value = rh_pve_text(there, s->key);

        if (is_nic(s->key))
            failed = add_nic(s->key, s->value, value, nics, err);
        else if (s->is_volume)
            failed = add_volume(s->key, value, disks, err);
    }
    json_decref(there);
    if (!failed)
        return json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", w->place->vmid,
                         "uuid", uuid, "node", w->place->node, "disks", disks,
                         "nics", nics);
    json_decref(disks);
    json_decref(nics);
    return NULL;
}

int rh_pve_start(void *work, rh_error **err)
{
    const struct rh_pve_work *w = work;
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/qemu/%s/status/start", w->place->node,
                           w->place->vmid);
    json_t *upid = rh_pve_call(w->pve, "POST", path, json_object(), err);
    int failed = !upid ? -1
                       : rh_pve_wait(w->pve, w->place->node,
                                     json_string_value(upid), "start", err);

    json_decref(upid);
    return failed;
}

void rh_pve_add_addresses(const json_t *interfaces, json_t *list)
{
    size_t i, n;
    json_t *card, *address;

    json_array_foreach (interfaces, i, card)
        json_array_foreach (json_object_get(card, "ip-addresses"), n, address)
            rh_address_add(list, rh_pve_text(address, "ip-address"));
}

int rh_pve_addresses(void *work, json_t *list, rh_error **err)
{
    const struct rh_pve_work *w = work;
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/qemu/%s/agent/network-get-interfaces",
                           w->place->node, w->place->vmid);
    json_t *answer = rh_pve_call(w->pve, "GET", path, NULL, err);

    rh_pve_add_addresses(json_object_get(answer, "result"), list);
    json_decref(answer);
    return answer ? 0 : -1;
}

/* --- taking away
 * -------------------------------------------------------------------------- */

static int delete_and_wait(struct rh_pve *p, const char *node, const char *path,
                           rh_error **err)
{
    json_t *upid = rh_pve_call(p, "DELETE", path, NULL, err);
    int failed = upid ? 0 : -1;

    if (json_is_string(upid))
        failed = rh_pve_wait(p, node, json_string_value(upid), "clean", err);
    json_decref(upid);
    return failed;
}

static json_t *content_of(struct rh_pve *p, const char *node,
                          const char *volume, rh_error **err)
{
    RH_AUTO(rh_freep) char *storage = rh_strndup(volume, strcspn(volume, ":"));
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/storage/%s/content", node, storage);

    return rh_pve_call(p, "GET", path, json_pack("{s:s}", "content", "import"),
                       err);
}

/* Only what is there, so that nothing is asked for twice. */
static int delete_file(struct rh_pve *p, const char *node, const char *volume,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *storage = rh_strndup(volume, strcspn(volume, ":"));
    RH_AUTO(rh_freep) char *escaped = rh_http_escape(volume);
    RH_AUTO(rh_freep)
    char *path =
        rh_printf("/nodes/%s/storage/%s/content/%s", node, storage, escaped);
    json_t *content = content_of(p, node, volume, err), *row;
    bool there = false;
    size_t i;

    if (!content)
        return -1;
    json_array_foreach (content, i, row)
        there |= !strcmp(rh_pve_text(row, "volid"), volume);
    json_decref(content);
    return there ? delete_and_wait(p, node, path, err) : 0;
}

/* No word at all came from the server. */
static bool is_silent(const rh_error *e)
{
    enum rh_error_class c = rh_error_class_of(rh_error_number(e));

    return e && (c == RH_CLASS_NETWORK || c == RH_CLASS_BUSY);
}

/* Is the VM of that number the one whose description has our note?  While it is
 * being made it says nothing yet.  -1: that could not be learnt. */
static int is_ours(struct rh_pve *p, const char *node, const char *vmid,
                   const char *note, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/qemu/%s/config", node, vmid);
    bool ours = false, waiting = rh_pve_is_note(note);

    for (unsigned n = 0; waiting && n < CREATING; n++) {
        RH_AUTO(rh_error_freep) rh_error *e = NULL;
        json_t *conf = rh_pve_call(p, "GET", path, NULL, &e);

        waiting = !strcmp(rh_pve_text(conf, "lock"), "create");
        ours = strstr(rh_pve_text(conf, "description"), note);
        json_decref(conf);
        if (is_silent(e)) {
            if (err && !*err)
                *err = RH_TAKE(e);
            return -1;
        }
        if (waiting)
            sleep(1);
    }
    return waiting && !ours ? rh_fail(err, RH_ERR_DELIVERY_LEFT,
                                      "the server's task does not end")
                            : ours;
}

static int destroy_vm(struct rh_pve *p, const char *node, const char *vmid,
                      const char *note, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("/nodes/%s/qemu/%s", node, vmid);

    int ours = is_ours(p, node, vmid, note, err);

    return ours > 0 ? delete_and_wait(p, node, path, err) : ours;
}

static int take_away(struct rh_pve_work *w, bool all, rh_error **err)
{
    rh_lib *lib = w->pve->remote->lib;
    int failed = 0;

    /* Also after a cancel. */
    rh_http_set_lib(w->pve->remote->http, NULL);
    w->pve->remote->lib = NULL;
    if (all && w->made)
        failed |=
            destroy_vm(w->pve, w->place->node, w->place->vmid, w->note, err);
    for (size_t i = 0; i < w->files.count; i++)
        failed |= delete_file(w->pve, w->place->node, w->files.items[i], err);
    w->pve->remote->lib = lib;
    rh_http_set_lib(w->pve->remote->http, lib);
    return failed;
}

static void say_left(const struct rh_pve_work *w, const rh_error *left)
{
    rh_log(w->pve->remote->lib, RH_LOG_WARN, "not all was taken away: %s",
           rh_error_message(left));
}

void rh_pve_undo(void *work)
{
    struct rh_pve_work *w = work;
    RH_AUTO(rh_error_freep) rh_error *left = NULL;

    if (take_away(w, true, &left) == 0)
        rh_journal_done(w->journal);
    else
        say_left(w, left);
}

/* The journal forgets the VM first: who comes later must not take it away. */
void rh_pve_settle(struct rh_pve_work *w)
{
    RH_AUTO(rh_error_freep) rh_error *left = NULL;
    int failed = take_away(w, false, &left);

    if (w->journal)
        rh_journal_done(w->journal);
    for (size_t i = 0; failed && w->journal && i < w->files.count; i++)
        rh_journal_add(w->journal, "file", w->files.items[i], NULL);
    if (failed)
        say_left(w, left);
}

void rh_pve_work_free(struct rh_pve_work *w)
{
    for (size_t i = 0; i < w->files.count; i++)
        free(w->files.items[i]);
    free(w->files.items);
    free(w->note);
    *w = (struct rh_pve_work){0};
}

/* "STORAGE:import/rehost-...", as rh_pve_upload() names it. */
static bool is_upload(const char *volume)
{
    const char *path = strstr(volume, ":import/rehost-");

    return path && strcspn(volume, ":/?#%") == (size_t)(path - volume);
}

/* "NODE/VMID/NOTE"; a file's volume on the URL's node.  What has not the form
 * that we write is not ours. */
int rh_pve_clean(struct rh_pve *p, const char *kind, const char *id,
                 rh_error **err)
{
    const char *slash = strchr(id, '/');
    const char *second = slash ? strchr(slash + 1, '/') : NULL;
    RH_AUTO(rh_freep) char *node = NULL, *vmid = NULL;

    if (!strcmp(kind, "file") && !is_upload(id))
        return 0;
    if (!strcmp(kind, "file"))
        return delete_file(p, p->remote->url.parts[0], id, err);
    if (strcmp(kind, "vm") || !second)
        return 0;
    node = rh_strndup(id, (size_t)(slash - id));
    vmid = rh_strndup(slash + 1, (size_t)(second - slash - 1));
    if (strpbrk(node, "?#%") || node[0] == '.' ||
        vmid[strspn(vmid, "0123456789")])
        return 0;
    return destroy_vm(p, node, vmid, second + 1, err);
}
