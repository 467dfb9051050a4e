/* push.c - results that stand in folders go to a hypervisor's API.
 *
 * One log-in for all of them.  Each is looked at wholly before its first byte;
 * what an interrupted push has left is taken away first.  Its receipt then says
 * where it went. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/limits.h"
#include "base/out.h"
#include "convert/documents.h"
#include "convert/options.h"
#include "deliver/result.h"
#include "deliver/push.h"
#include "rehost/rehost.h"

RH_FREEP(rh_push_closep, struct rh_push, rh_push_close)

/* "xapi://HOST" and "proxmox-local:STORAGE" */
static int open_kind(struct rh_push *p, const char *url, rh_error **err)
{
    p->kind = rh_pusher_of(url);
    return p->kind ? 0
                   : rh_fail(err, RH_ERR_DELIVERY_URL,
                             "\"%.*s:\" is no delivery that is known",
                             (int)RH_MIN(strcspn(url, ":"), (size_t)40), url);
}

/* Nothing is taken that would do nothing. */
static int check_options(const struct rh_pusher *kind, const rh_options *o,
                         rh_error **err)
{
    static const char *const some[] = {
        "sr",       "storage", "import-storage", "vmid",     "disk-by-disk",
        "transfer", "serve",   "serve-cert",     "serve-key"};
    static const char *const far[] = {"login", "tls-ca", "pin", NULL};

    for (size_t i = 0; i < RH_COUNT(some); i++)
        if (rh_option(o, some[i]) && !rh_server_takes(kind->server, some[i]))
            return rh_fail(err, RH_ERR_USAGE, "--%s is not for %s:", some[i],
                           kind->server->scheme);
    return kind->server->local
               ? rh_options_without(o, far, kind->server->scheme, err)
               : 0;
}

rh_push *rh_push_open(rh_lib *lib, const rh_options *options, rh_error **err)
{
    RH_AUTO(rh_push_closep) struct rh_push *p = rh_new0(struct rh_push);
    const char *url = rh_option(options, "to");
    unsigned seconds;
    static const char *const names[] = {"to",
                                        "login",
                                        "tls-ca",
                                        "pin",
                                        "network-map",
                                        "sr",
                                        "name",
                                        "vmid",
                                        "storage",
                                        "import-storage",
                                        "transfer",
                                        "serve",
                                        "serve-cert",
                                        "serve-key",
                                        "dry-run",
                                        "keep-failed",
                                        "start",
                                        "disk-by-disk",
                                        "wait-address",
                                        "source-pin",
                                        "source-tls-ca",
                                        "transport",
                                        NULL};

    if (rh_options_only(options, names, "rh_push_open", err) < 0)
        return NULL;
    if (!url) {
        rh_fail(err, RH_ERR_USAGE, "it was not said where to");
        rh_hint(err, "add --to URL");
        return NULL;
    }
    if (rh_address_seconds(options, &seconds, err) < 0 ||
        open_kind(p, url, err) < 0 ||
        check_options(p->kind, options, err) < 0 ||
        rh_server_open(&p->server, p->kind->server, lib, url, options, err) < 0)
        return NULL;
    return RH_TAKE(p);
}

void rh_push_close(rh_push *p)
{
    if (!p)
        return;
    rh_server_close(&p->server);
    free(p);
}

/* --- what an interrupted one has left
 * ------------------------------------------------ */

static int clean_result(struct rh_push *p, const char *dir, rh_error **err)
{
    size_t count = 0;
    RH_AUTO(rh_journal_closep)
    struct rh_journal *j =
        rh_server_journal(&p->server, dir, p->server.remote.text, &count, err);

    return j ? (int)count : -1;
}

int rh_push_clean(rh_push *p, const char *dir, rh_error **err)
{
    size_t count = 0;

    if (dir)
        return clean_result(p, dir, err);
    return rh_server_clean_all(&p->server, &count, err) < 0 ? -1 : (int)count;
}

/* --- the receipt
 * ---------------------------------------------------------------------- */

/* receipt.json with one more member, in place of the old one.  What nobody
 * vouched for before gets no seal by being delivered. */
static int note_delivery(const char *dir, bool sealed, json_t *receipt,
                         const json_t *vm, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/receipt.json", dir);

    return rh_receipt_write(path, true, sealed, receipt, vm, err);
}

/* --- one result
 * ------------------------------------------------------------------------ */

static void item_free(const struct rh_pusher *kind, struct rh_push_item *i)
{
    if (kind->item_free)
        kind->item_free(i);
    rh_checks_free(&i->checks);
    for (size_t n = 0; n < i->plan.count; n++)
        free(i->plan.items[n]);
    free(i->plan.items);
    rh_journal_close(i->journal);
    json_decref((json_t *)i->receipt);
    json_decref(i->delivered);
}

/* It is sealed anew with the delivery in it: what was changed by others must
 * not get a good seal by that. */
static int check_seal(struct rh_push_item *i, rh_error **err)
{
    RH_AUTO(rh_place_closep)
    struct rh_place *place = rh_place_folder(i->dir, err);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = place ? rh_place_open(place, "receipt.json", err) : NULL;
    RH_AUTO(rh_freep) char *text = NULL;
    size_t n;

    if (!io || rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return -1;
    if (!rh_receipt_sealed(text, n, &i->sealed))
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "receipt.json was changed since: its seal is broken");
    if (!i->sealed)
        rh_check_caution(&i->checks,
                         "receipt.json has no seal: whether it was changed "
                         "since cannot be told");
    return 0;
}

static int check_result(const struct rh_pusher *kind, struct rh_push_item *i,
                        rh_error **err)
{
    const char *target =
        json_string_value(json_object_get(i->receipt, "target"));

    i->name = json_string_value(json_object_get(i->receipt, "vm"));
    if (!i->name || !target || rh_check_name(i->name, NULL) < 0)
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "the receipt names no VM and target");
    if (!kind->target || !strcmp(target, kind->target))
        return 0;
    rh_fail(err, RH_ERR_DELIVERY_RESULT, "it is a result for %s, not for %s",
            target, kind->target);
    return rh_hint(err, "%s:// takes results of --to %s", kind->server->scheme,
                   kind->target);
}

static json_t *checks_json(const struct rh_push_item *i)
{
    json_t *list = json_array();

    for (size_t n = 0; n < i->checks.list.count; n++) {
        const struct rh_check *c = &i->checks.list.items[n];

        json_array_append_new(list, json_pack("{s:s, s:s}", "result",
                                              c->id != RH_ERR_NONE ? "failed"
                                              : c->caution         ? "caution"
                                                                   : "good",
                                              "text", c->text));
    }
    return list;
}

static json_t *plan_json(const struct rh_push_item *i)
{
    json_t *list = json_array();

    for (size_t n = 0; n < i->plan.count; n++)
        json_array_append_new(list, json_string(i->plan.items[n]));
    return list;
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) +
           (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* rehost.delivery/1's entry of this VM. */
static json_t *entry_json(const struct rh_push_item *i,
                          const struct timespec *start)
{
    json_t *vm =
        json_pack("{s:s, s:s}", "name", i->name, "url", i->server->remote.text);

    if (i->delivered)
        json_object_update(vm, i->delivered);
    json_object_set_new(vm, "bytes_sent", json_integer((json_int_t)i->sent));
    json_object_set_new(vm, "seconds", json_real(seconds_since(start)));
    return vm;
}

static json_t *dry_json(const struct rh_push_item *i)
{
    return json_pack("{s:s, s:s, s:b, s:o, s:o}", "name", i->name, "url",
                     i->server->remote.text, "dry_run", 1, "checks",
                     checks_json(i), "requests", plan_json(i));
}

static char *dry_text(const struct rh_push_item *i)
{
    struct rh_buf b = {0};

    rh_buf_printf(&b, _("%s to %s (dry run: nothing was changed)\n"), i->name,
                  i->server->remote.text);
    for (size_t n = 0; n < i->checks.list.count; n++) {
        const struct rh_check *c = &i->checks.list.items[n];

        rh_buf_printf(&b, "  %s %s\n",
                      c->id != RH_ERR_NONE ? _("failed: ")
                      : c->caution         ? _("caution:")
                                           : _("good:   "),
                      c->text);
    }
    for (size_t n = 0; n < i->plan.count; n++)
        rh_buf_printf(&b, _("  would:   %s\n"), i->plan.items[n]);
    return rh_buf_take(&b);
}

static int look_only(const struct rh_pusher *kind, struct rh_push_item *i,
                     char **ret_json, char **ret_text, rh_error **err)
{
    json_t *doc;

    if (kind->look(i, err) < 0)
        return -1;
    doc = dry_json(i);
    *ret_json = json_dumps(doc, JSON_INDENT(2));
    *ret_text = dry_text(i);
    json_decref(doc);
    return rh_checks_verdict(&i->checks, NULL, err);
}

static int send(const struct rh_pusher *kind, struct rh_push_item *i,
                rh_error **err)
{
    if (kind->send(i, err) == 0)
        return 0;
    if (!rh_option_yes(i->server->options, "keep-failed"))
        kind->server->undo(i->work);
    return -1;
}

static int start(struct rh_push_item *i, json_t *vm, rh_error **err)
{
    json_t *addresses = NULL;

    if (rh_server_start(i->server, i->work, &addresses, err) < 0)
        return -1;
    if (addresses)
        json_object_set_new(vm, "addresses", addresses);
    return 0;
}

static int deliver(const struct rh_pusher *kind, struct rh_push_item *i,
                   json_t **ret_vm, rh_error **err)
{
    struct timespec begun;

    clock_gettime(CLOCK_MONOTONIC, &begun);
    i->journal = rh_server_resume(i->server, i->dir, i->receipt, err);
    if (!i->journal || kind->look(i, err) < 0 ||
        rh_checks_verdict(&i->checks, i->server->lib, err) < 0 ||
        send(kind, i, err) < 0)
        return -1;
    *ret_vm = entry_json(i, &begun);
    if (note_delivery(i->dir, i->sealed, (json_t *)i->receipt, *ret_vm, err) ==
            0 &&
        start(i, *ret_vm, err) == 0)
        return 0;
    return rh_error_context(err, _("the VM was delivered as %s, but"),
                            json_string_value(json_object_get(*ret_vm, "id")));
}

static char *delivered_text(const struct rh_push_item *i, const json_t *vm)
{
    const json_t *list = json_object_get(vm, "addresses");
    RH_AUTO(rh_freep) char *addresses = rh_address_text(list);

    return rh_printf(_("delivered: %s as %s at %s%s%s\n"), i->name,
                     json_string_value(json_object_get(vm, "id")),
                     i->server->remote.text,
                     addresses[0] ? _(", address ") : "", addresses);
}

static int push(const struct rh_pusher *kind, struct rh_push_item *i,
                char **ret_json, char **ret_text, rh_error **err)
{
    json_t *vm = NULL;
    int failed;

    i->receipt = rh_result_json_by(kind->server->read_json, i->server->lib,
                                   i->dir, "receipt.json", err);
    if (!i->receipt || check_seal(i, err) < 0 || check_result(kind, i, err) < 0)
        return -1;
    if (rh_option_yes(i->server->options, "dry-run"))
        return look_only(kind, i, ret_json, ret_text, err);
    failed = deliver(kind, i, &vm, err);
    if (!failed) {
        *ret_json = json_dumps(vm, JSON_INDENT(2));
        *ret_text = delivered_text(i, vm);
    }
    json_decref(vm);
    return failed;
}

int rh_push_result(rh_push *p, const char *dir, char **ret_json,
                   char **ret_text, rh_error **err)
{
    struct rh_push_item i = {.server = &p->server, .dir = dir};
    int failed;

    *ret_json = *ret_text = NULL;
    failed = push(p->kind, &i, ret_json, ret_text, err);
    item_free(p->kind, &i);
    return failed ? rh_error_subject(err, dir) : 0;
}
