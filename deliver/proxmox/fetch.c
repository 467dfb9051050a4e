/* fetch.c - a node that fetches its disks from us ("download-url").
 *
 * It writes them straight into the storage, without a copy in its /var/tmp and
 * without the five seconds of silence that end an upload.  The node tells its
 * wget not to look at certificates, unless we have one that it trusts; so what
 * it got is held against a SHA-256 there, always.  Its task's log shows the URL
 * to whoever may read that: the path is good for one file, once, and for the
 * node's own addresses. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "deliver/proxmox/proxmox.h"

enum { COMING = 15 /* seconds for the node to ask for the first byte */ };

/* --- which way
 * ------------------------------------------------------------------ */

struct way {
    struct rh_pve *pve;
    struct rh_pve_place *place;
    struct rh_checks *checks;
    const char *transfer, *serve, *cert, *key; /* options */
    bool must;                                 /* no upload instead */
};

static int read_options(struct way *w, rh_error **err)
{
    const rh_options *o = w->pve->remote->options;

    w->transfer = rh_option(o, "transfer");
    w->serve = rh_option(o, "serve");
    w->cert = rh_option(o, "serve-cert");
    w->key = rh_option(o, "serve-key");
    if (!w->transfer || !strcmp(w->transfer, "auto"))
        w->transfer = NULL;
    else if (strcmp(w->transfer, "upload") && strcmp(w->transfer, "download"))
        return rh_fail(err, RH_ERR_USAGE,
                       "--transfer is auto, upload or download");
    w->must = w->transfer && !strcmp(w->transfer, "download");
    if (!w->must && w->transfer && (w->serve || w->cert || w->key))
        return rh_fail(err, RH_ERR_USAGE,
                       "--serve is for --transfer download, not for an upload");
    if (!w->cert != !w->key || (w->cert && !w->serve))
        return rh_fail(err, RH_ERR_USAGE,
                       "--serve-cert, --serve-key and --serve belong together: "
                       "the certificate is for the name in --serve");
    return 0;
}

/* Is there room for the largest disk where uploads lie first?  Unknown is yes.
 */
static bool has_room(struct way *w, uint64_t largest)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/status", w->place->node);
    json_t *status = rh_pve_call(w->pve, "GET", path, NULL, NULL);
    const json_t *root = json_object_get(status, "rootfs");
    bool known = json_is_integer(json_object_get(root, "avail"));
    uint64_t room = rh_pve_number(root, "avail");
    RH_AUTO(rh_freep) char *room_text = rh_human_size(room);
    RH_AUTO(rh_freep) char *need_text = rh_human_size(largest);

    json_decref(status);
    if (!known || room >= largest)
        return true;
    rh_check_caution(w->checks,
                     "the node's root file system has %s free, and an upload "
                     "of %s lies down in its /var/tmp first",
                     room_text, need_text);
    return false;
}

/* The node has several; which of them comes depends on its routes. */
static void admit_node(struct way *w)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/network", w->place->node);
    json_t *all = rh_pve_call(w->pve, "GET", path, NULL, NULL), *card;
    size_t i;

    json_array_foreach (all, i, card) {
        rh_serve_admit(w->place->serve, rh_pve_text(card, "address"));
        rh_serve_admit(w->place->serve, rh_pve_text(card, "address6"));
    }
    json_decref(all);
}

static int open_server(struct way *w, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *host = rh_http_host_alone(rh_http_host(w->pve->remote->http));
    const struct rh_serve_site site = {.lib = w->pve->remote->lib,
                                       .address = w->serve,
                                       .toward = host,
                                       .cert = w->cert,
                                       .key = w->key};

    w->place->serve = rh_serve_open(&site, err);
    if (!w->place->serve)
        return -1;
    w->place->verified = w->cert != NULL;
    w->place->may_upload = !w->must;
    admit_node(w);
    rh_check_good(w->checks,
                  "the node fetches the disks from %s and checks their SHA-256",
                  rh_serve_name(w->place->serve));
    return 0;
}

/* Asked for: what is in the way is an error.  Else the disks are uploaded. */
static int say_no_right(struct way *w)
{
    if (!w->must) {
        rh_check_caution(w->checks,
                         "the disks are uploaded: there is no right to tell "
                         "the node to fetch them (Sys.AccessNetwork)");
        return 0;
    }
    rh_check_bad(w->checks, RH_ERR_DELIVERY_RIGHTS,
                 "the right Sys.AccessNetwork on /nodes/%s (or Sys.Audit and "
                 "Sys.Modify on /) is missing",
                 w->place->node);
    rh_check_hint(w->checks,
                  "give it to the user or the token, or send the disks: "
                  "--transfer upload");
    return 0;
}

int rh_pve_choose_way(struct rh_pve *p, const struct rh_pve_wish *wish,
                      bool may_fetch, struct rh_pve_place *place,
                      struct rh_checks *checks, rh_error **err)
{
    struct way w = {.pve = p, .place = place, .checks = checks};
    RH_AUTO(rh_error_freep) rh_error *e = NULL;

    if (read_options(&w, err) < 0)
        return -1;
    if ((w.transfer && !w.must) ||
        (!w.must && !w.serve && has_room(&w, wish->largest_file)))
        return 0;
    if (!may_fetch)
        return say_no_right(&w);
    if (w.must || w.serve)
        return open_server(&w, err);
    if (open_server(&w, &e) < 0)
        rh_check_caution(checks, "the disks are uploaded: %s",
                         rh_error_message(e));
    return 0;
}

/* --- fetching
 * ------------------------------------------------------------------- */

struct fetch {
    struct rh_pve_work *work;
    struct rh_serve *serve;
    uint64_t size;
    struct timespec begun;
    struct rh_serve_seen seen;
};

static time_t seconds_of(const struct fetch *f)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - f->begun.tv_sec;
}

static int watch(void *user, rh_error **err)
{
    struct fetch *f = user;

    if (rh_serve_look(f->serve, &f->seen, err) < 0)
        return -1;
    if (f->seen.answered)
        rh_progress(f->work->pve->remote->lib, "send", f->seen.sent, f->size);
    if (f->seen.answered || seconds_of(f) <= COMING)
        return 0;
    if (f->seen.stranger[0])
        return rh_fail(err, RH_ERR_DELIVERY_UNREACHED,
                       "not the node came to %s, but %s, which is no address "
                       "of it that is known",
                       rh_serve_name(f->serve), f->seen.stranger);
    return rh_fail(err, RH_ERR_DELIVERY_UNREACHED,
                   "the node did not come to %s within %d seconds",
                   rh_serve_name(f->serve), COMING);
}

static json_t *params_of(const struct rh_pve_work *w, const char *url,
                         const char *name, const char *digest)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "content", "import",
                     "filename", name, "url", url, "checksum-algorithm",
                     "sha256", "checksum", digest, "verify-certificates",
                     w->place->verified ? "1" : "0");
}

static int run_task(struct fetch *f, const char *url, const char *name,
                    const char *digest, rh_error **err)
{
    struct rh_pve_work *w = f->work;
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/storage/%s/download-url", w->place->node,
                           w->place->import);
    json_t *upid;
    int failed;

    /* Not broken off by a cancel: its task must be known to be ended. */
    rh_http_set_lib(w->pve->remote->http, NULL);
    upid =
        rh_pve_call(w->pve, "POST", path, params_of(w, url, name, digest), err);
    rh_http_set_lib(w->pve->remote->http, w->pve->remote->lib);
    if (!upid)
        return -1;
    failed = rh_pve_wait_with(w->pve, w->place->node, json_string_value(upid),
                              "import", watch, f, err);
    json_decref(upid);
    return failed;
}

/* A task that failed without having asked for a byte never came to us. */
static int say_why(struct fetch *f, rh_error *e, rh_error **err)
{
    rh_error *broken = NULL;

    if (rh_serve_look(f->serve, &f->seen, &broken) < 0) {
        rh_error_free(e);
        e = broken; /* ours: the file, not the node */
    } else if (rh_error_number(e) == RH_ERR_DELIVERY_FAILED &&
               !f->seen.answered) {
        rh_fail(err, RH_ERR_DELIVERY_UNREACHED,
                "the node could not fetch from %s: %s", rh_serve_name(f->serve),
                rh_error_message(e));
    }
    if (err && !*err)
        *err = RH_TAKE(e);
    rh_error_free(e);
    return -1;
}

int rh_pve_fetch(struct rh_pve_work *w, struct rh_io *file, const char *name,
                 const char digest[RH_DIGEST_HEX], rh_error **err)
{
    struct fetch f = {.work = w, .serve = w->place->serve, .size = file->size};
    RH_AUTO(rh_secret_freep)
    struct rh_secret *url = rh_serve_file(f.serve, file, err);
    rh_error *e = NULL;
    int failed;

    if (!url)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &f.begun);
    w->pve->hidden = strchr(rh_secret_text(url) + strlen("https://"), '/');
    failed = run_task(&f, rh_secret_text(url), name, digest, &e);
    if (failed)
        say_why(&f, e, err);
    w->pve->hidden = NULL;
    rh_serve_withdraw(f.serve);
    if (!failed)
        w->sent += file->size;
    return failed;
}
