/* server.c - a session with a server, and what is the same of every VM there.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/server.h"

#include <string.h>

bool rh_server_claims(const struct rh_server_kind *kind, const char *url)
{
    size_t n = strlen(kind->scheme);

    return !strncmp(url, kind->scheme, n) &&
           !strncmp(url + n, "://", kind->local ? 1 : 3);
}

bool rh_server_takes(const struct rh_server_kind *kind, const char *option)
{
    const char *const *own = kind->options;

    while (own && *own && strcmp(*own, option))
        own++;
    return own && *own;
}

/* Log in, where there is somebody to log in to. */
int rh_server_open(struct rh_server *s, const struct rh_server_kind *kind,
                   rh_lib *lib, const char *url, const rh_options *options,
                   rh_error **err)
{
    *s = (struct rh_server){.kind = kind, .lib = lib, .options = options};
    if (kind->check(url, err) < 0 ||
        rh_options_check_maps(options, "network-map", RH_ERR_USAGE, err) < 0)
        return -1;
    if (kind->local) {
        s->remote = (struct rh_remote){.lib = lib, .options = options};
        s->remote.text = rh_strdup(url);
    } else if (rh_remote_open(&s->remote, lib, url, kind->port,
                              kind->wants_token, options, err) < 0) {
        return -1;
    }
    return kind->open ? kind->open(s, err) : 0;
}

void rh_server_close(struct rh_server *s)
{
    if (s->state)
        s->kind->close(s);
    rh_remote_close(&s->remote);
    *s = (struct rh_server){0};
}

const char *rh_server_place(const struct rh_server *s, const char *option)
{
    return s->remote.url.count ? s->remote.url.parts[0]
                               : rh_option(s->options, option);
}

static int clean(void *state, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    struct rh_server *s = state;

    return s->kind->clean(s, j, kind, id, err);
}

struct rh_journal *rh_server_journal(struct rh_server *s, const char *dir,
                                     const char *key, size_t *ret_count,
                                     rh_error **err)
{
    return rh_journal_begin(s->lib, dir, key, clean, s, ret_count, err);
}

/* A push that begins, perhaps once more. */
struct resume {
    struct rh_server *server;
    const json_t *receipt;
};

static bool keep_left(void *state, const json_t *left)
{
    const struct resume *r = state;

    return r->server->kind->keep &&
           r->server->kind->keep(r->server, left, r->receipt);
}

static int clean_left(void *state, struct rh_journal *j, const char *kind,
                      const char *id, rh_error **err)
{
    const struct resume *r = state;

    return clean(r->server, j, kind, id, err);
}

struct rh_journal *rh_server_resume(struct rh_server *s, const char *dir,
                                    const json_t *receipt, rh_error **err)
{
    struct resume r = {s, receipt};

    return rh_journal_resume(s->lib, dir, s->remote.text, keep_left, clean_left,
                             &r, NULL, err);
}

int rh_server_clean_all(struct rh_server *s, size_t *ret_count, rh_error **err)
{
    return rh_journal_clean_all(s->lib, s->remote.text, clean, s, ret_count,
                                err);
}

int rh_server_start(struct rh_server *s, void *work, json_t **ret_addresses,
                    rh_error **err)
{
    unsigned seconds;

    if (!rh_option_yes(s->options, "start"))
        return 0;
    if (rh_address_seconds(s->options, &seconds, err) < 0 ||
        s->kind->start(work, err) < 0)
        return rh_hint(err, "%s",
                       _("the VM stays as it was delivered: look there why it "
                         "does not start"));
    if (seconds && s->kind->addresses)
        *ret_addresses =
            rh_address_wait(s->lib, seconds, s->kind->addresses, work);
    return 0;
}

const char *rh_server_disk_id(const json_t *delivery, size_t i, rh_error **err)
{
    const char *id = json_string_value(json_object_get(
        json_array_get(json_object_get(delivery, "disks"), i), "id"));

    if (!id)
        rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                "the receipt does not say what disk %zu is called there", i);
    return id;
}
