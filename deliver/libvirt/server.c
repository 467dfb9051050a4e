/* server.c - a host with libvirt as a server that VMs are delivered to. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/server.h"

static const char *const own_options[] = {"storage", NULL};

#ifdef HAVE_LIBVIRT
#include <stdlib.h>

#include "deliver/libvirt/virt.h"

static int check(const char *url, rh_error **err)
{
    struct rh_virt_host h = {0};
    int failed = rh_virt_url(url, &h, err);

    rh_virt_close(&h);
    return failed;
}

static int open_host(struct rh_server *s, rh_error **err)
{
    struct rh_virt_host *h = s->state = rh_new0(struct rh_virt_host);

    if (rh_virt_url(s->remote.text, h, err) < 0)
        return -1;
    return rh_virt_connect(h, s->lib, err);
}

static void close_host(struct rh_server *s)
{
    rh_virt_close(s->state);
    free(s->state);
}

static int clean(struct rh_server *s, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    (void)j;
    return rh_virt_clean(s->state, kind, id, err);
}

static int read_disk(struct rh_server *s, const json_t *delivery, size_t i,
                     rh_http_sink *sink, void *user, rh_error **err)
{
    const char *uuid = json_string_value(json_object_get(delivery, "uuid"));

    return rh_virt_read_disk(s->state, uuid ? uuid : "", i, sink, user, err);
}

const struct rh_server_kind rh_server_libvirt = {
    .scheme = "libvirt",
    .local = true,
    .options = own_options,
    .check = check,
    .open = open_host,
    .close = close_host,
    .clean = clean,
    .start = rh_virt_start,
    .addresses = rh_virt_addresses,
    .undo = rh_virt_undo,
    .find = rh_virt_find,
    .read_disk = read_disk,
};
#else

static int check(const char *url, rh_error **err)
{
    (void)url;
    rh_fail(err, RH_ERR_UNAVAILABLE, "this rehost was built without libvirt");
    return rh_hint(err, "convert into a folder and run its import.sh on the "
                        "host");
}

const struct rh_server_kind rh_server_libvirt = {
    .scheme = "libvirt",
    .local = true,
    .options = own_options,
    .check = check,
};
#endif
