/* pool.c - everything that could stand in an import's way, looked at before its
 * first byte: storage, space, networks, the VM's own uuid, limits. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "deliver/xapi/xapi.h"

enum { NICS_MAX = 7 };
#define DISK_MAX (2040 * RH_GIB) /* of a VHD; larger ones are qcow2 */

void rh_xapi_place_free(struct rh_xapi_place *p)
{
    free(p->sr);
    free(p->address);
    json_decref(p->hosts);
    *p = (struct rh_xapi_place){0};
}

/* --- which storage
 * ------------------------------------------------------------------ */

static bool looks_like_uuid(const char *text)
{
    return strlen(text) == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36;
}

static int say_several(struct rh_xapi *x, const json_t *found, const char *name,
                       rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    size_t i;
    json_t *sr;

    json_array_foreach (found, i, sr) {
        json_t *uuid =
            rh_xapi_call(x, "SR.get_uuid", json_pack("[O]", sr), err);

        if (!uuid)
            return -1;
        rh_buf_printf(&b, "%s%s", i ? ", " : "", json_string_value(uuid));
        json_decref(uuid);
    }
    rh_fail(err, RH_ERR_DELIVERY_PLACE, "there are %zu storages named \"%s\"",
            json_array_size(found), name);
    return rh_hint(err, "name one by its UUID: %s", b.data);
}

static int sr_by_name(struct rh_xapi *x, const char *name, char **ret,
                      rh_error **err)
{
    json_t *found =
        rh_xapi_call(x, "SR.get_by_name_label", json_pack("[s]", name), err);
    size_t n = json_array_size(found);
    int failed = found ? 0 : -1;

    if (found && n == 0)
        failed = rh_fail(err, RH_ERR_DELIVERY_PLACE,
                         "there is no storage named \"%s\"", name);
    else if (n > 1)
        failed = say_several(x, found, name, err);
    else if (found)
        *ret = rh_strdup(json_string_value(json_array_get(found, 0)));
    json_decref(found);
    return failed;
}

static int default_sr(const json_t *pool, char **ret, rh_error **err)
{
    const char *sr = rh_xapi_text(pool, "default_SR");

    if (!sr[0] || !strcmp(sr, RH_XAPI_NULL)) {
        rh_fail(err, RH_ERR_DELIVERY_PLACE, "the pool has no default storage");
        return rh_hint(err, "name one: xapi://HOST/SR");
    }
    *ret = rh_strdup(sr);
    return 0;
}

static int find_sr(struct rh_xapi *x, const char *asked, const json_t *pool,
                   char **ret, rh_error **err)
{
    json_t *found, *error;

    if (!asked)
        return default_sr(pool, ret, err);
    if (!looks_like_uuid(asked))
        return sr_by_name(x, asked, ret, err);
    found =
        rh_xapi_ask(x, "SR.get_by_uuid", json_pack("[s]", asked), &error, err);
    if (error)
        rh_fail(err, RH_ERR_DELIVERY_PLACE, "there is no storage %s", asked);
    else if (found)
        *ret = rh_strdup(json_string_value(found));
    json_decref(error);
    json_decref(found);
    return *ret ? 0 : -1;
}

/* --- who sees it
 * ---------------------------------------------------------------------- */

/* The master where it can, for we talk to it anyway. */
static int find_host(struct rh_xapi *x, const json_t *sr, const char *master,
                     struct rh_xapi_place *p, rh_error **err)
{
    RH_AUTO(rh_freep) char *other = NULL;
    size_t i;
    json_t *ref;

    json_array_foreach (json_object_get(sr, "PBDs"), i, ref) {
        json_t *pbd =
            rh_xapi_call(x, "PBD.get_record", json_pack("[O]", ref), err);
        const char *host = rh_xapi_text(pbd, "host");
        bool attached =
            json_is_true(json_object_get(pbd, "currently_attached"));
        bool is_master = attached && !strcmp(host, master);

        if (attached && !other)
            other = rh_strdup(
                rh_xapi_text(json_object_get(p->hosts, host), "address"));
        json_decref(pbd);
        if (!pbd)
            return -1;
        if (is_master)
            return 0;
    }
    if (!other || !other[0])
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "the storage \"%s\" is plugged into no host",
                       rh_xapi_text(sr, "name_label"));
    p->address = RH_TAKE(other);
    return 0;
}

int rh_xapi_host_of(struct rh_xapi *x, const char *sr,
                    struct rh_xapi_place *ret, rh_error **err)
{
    json_t *pools = rh_xapi_call(x, "pool.get_all_records", NULL, err);
    void *first = json_object_iter(pools);
    json_t *record = NULL;
    int failed = -1;

    ret->hosts =
        pools ? rh_xapi_call(x, "host.get_all_records", NULL, err) : NULL;
    if (ret->hosts)
        record = rh_xapi_call(x, "SR.get_record", json_pack("[s]", sr), err);
    if (record)
        failed =
            find_host(x, record,
                      rh_xapi_text(first ? json_object_iter_value(first) : NULL,
                                   "master"),
                      ret, err);
    json_decref(record);
    json_decref(pools);
    return failed;
}

/* --- is there room
 * ----------------------------------------------------------------------- */

static void check_space(const json_t *sr, const struct rh_ova *ova,
                        uint64_t data, struct rh_checks *checks)
{
    uint64_t size = rh_xapi_number(sr, "physical_size");
    uint64_t used = rh_xapi_number(sr, "physical_utilisation");
    const char *type = rh_xapi_text(sr, "type");
    bool thick = !strncmp(type, "lvm", 3);
    bool known = thick || data; /* how much it will be */
    uint64_t need = known && !thick ? data : ova->virtual_bytes;
    uint64_t room = size > used ? size - used : 0;
    RH_AUTO(rh_freep) char *need_text = rh_human_size(need);
    RH_AUTO(rh_freep) char *room_text = rh_human_size(room);
    RH_AUTO(rh_freep)
    char *short_text = rh_human_size(need > room ? need - room : 0);

    if (!strcmp(rh_xapi_text(sr, "content_type"), "iso")) {
        rh_check_bad(checks, RH_ERR_DELIVERY_PLACE,
                     "the storage \"%s\" is for ISO images, not for disks",
                     rh_xapi_text(sr, "name_label"));
    } else if (need > room && !known) {
        rh_check_caution(checks,
                         "the storage \"%s\" (%s) has %s free, and the disks "
                         "may grow to %s",
                         rh_xapi_text(sr, "name_label"), type, room_text,
                         need_text);
    } else if (need > room) {
        rh_check_bad(checks, RH_ERR_DELIVERY_SPACE,
                     "the storage \"%s\" (%s) is %s short: %s are needed, %s "
                     "are free",
                     rh_xapi_text(sr, "name_label"), type, short_text,
                     need_text, room_text);
    } else {
        rh_check_good(checks, "storage \"%s\" (%s): %s needed, %s free",
                      rh_xapi_text(sr, "name_label"), type, need_text,
                      room_text);
    }
}

/* --- networks
 * -----------------------------------------------------------------------------
 */

static bool has_network(const json_t *all, const struct rh_ova_network *n)
{
    const char *key;
    json_t *record;

    json_object_foreach ((json_t *)all, key, record)
        if (!strcmp(rh_xapi_text(record, "name_label"), n->name) ||
            (n->bridge[0] &&
             !strcmp(rh_xapi_text(record, "bridge"), n->bridge)))
            return true;
    return false;
}

static void add_names(const json_t *all, struct rh_buf *b)
{
    enum { MOST = 20 };
    const char *key;
    json_t *record;
    size_t n = 0;

    json_object_foreach ((json_t *)all, key, record)
        if (n++ < MOST)
            rh_buf_printf(b, "%s\"%s\" (%s)", b->length ? ", " : "",
                          rh_xapi_text(record, "name_label"),
                          rh_xapi_text(record, "bridge"));
}

static int check_networks(struct rh_xapi *x, const struct rh_ova *ova,
                          struct rh_checks *checks, rh_error **err)
{
    json_t *all = rh_xapi_call(x, "network.get_all_records", NULL, err);
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};

    if (!all)
        return -1;
    add_names(all, &names);
    for (size_t i = 0; i < ova->networks.count; i++) {
        const struct rh_ova_network *n = &ova->networks.items[i];

        rh_check_network(checks, has_network(all, n), n->name, names.data);
    }
    json_decref(all);
    return 0;
}

/* --- the VM
 * -------------------------------------------------------------------------------
 */

static int check_uuid(struct rh_xapi *x, const struct rh_ova *ova,
                      struct rh_checks *checks, rh_error **err)
{
    json_t *error,
        *found = rh_xapi_ask(x, "VM.get_by_uuid", json_pack("[s]", ova->uuid),
                             &error, err);
    int failed = found || error ? 0 : -1;

    if (found)
        rh_check_bad(checks, RH_ERR_DELIVERY_TAKEN,
                     "a VM with the UUID %s is there already", ova->uuid);
    json_decref(found);
    json_decref(error);
    return failed;
}

static int check_name(struct rh_xapi *x, const struct rh_ova *ova,
                      struct rh_checks *checks, rh_error **err)
{
    json_t *found = rh_xapi_call(x, "VM.get_by_name_label",
                                 json_pack("[s]", ova->name), err);

    if (!found)
        return -1;
    if (json_array_size(found))
        rh_check_caution(checks,
                         "%zu other VM of the pool has the name \"%s\", too",
                         json_array_size(found), ova->name);
    else
        rh_check_good(checks, "the name \"%s\" is free", ova->name);
    json_decref(found);
    return 0;
}

/* "8.3.0" -> 803 */
static unsigned long version_of(const struct rh_xapi_place *p)
{
    void *first = json_object_iter(p->hosts);
    const char *text = rh_xapi_text(
        json_object_get(first ? json_object_iter_value(first) : NULL,
                        "software_version"),
        "product_version");
    char *end;
    unsigned long major = strtoul(text, &end, 10);

    return major * 100 + (*end == '.' ? strtoul(end + 1, NULL, 10) : 0);
}

/* Beyond a VHD the pool keeps a disk as qcow2: 8.3 does. */
static void check_limits(const struct rh_ova *ova,
                         const struct rh_xapi_place *p,
                         struct rh_checks *checks)
{
    bool large = p->single && version_of(p) >= 803;

    for (size_t i = 0; i < ova->disks.count; i++) {
        if (ova->disks.items[i] <= DISK_MAX || large)
            continue;
        rh_check_bad(checks, RH_ERR_DELIVERY_LIMIT,
                     "disk %zu is larger than 2040 GiB, which an import "
                     "by XVA does not take",
                     i);
        rh_check_hint(checks, "XCP-ng 8.3 takes it with --disk-by-disk");
    }
    if (ova->macs.count > NICS_MAX)
        rh_check_bad(checks, RH_ERR_DELIVERY_LIMIT,
                     "the VM has %zu NICs, XAPI takes %d", ova->macs.count,
                     NICS_MAX);
}

static int check_vm(struct rh_xapi *x, const struct rh_ova *ova,
                    const struct rh_xapi_place *p, struct rh_checks *checks,
                    rh_error **err)
{
    check_limits(ova, p, checks);
    if (check_networks(x, ova, checks, err) < 0 ||
        check_uuid(x, ova, checks, err) < 0)
        return -1;
    return check_name(x, ova, checks, err);
}

/* --- all of it
 * ------------------------------------------------------------------------------
 */

static int check_storage(struct rh_xapi *x, const char *asked,
                         const json_t *pool, const struct rh_ova *ova,
                         uint64_t data, struct rh_xapi_place *p,
                         struct rh_checks *checks, rh_error **err)
{
    json_t *sr;
    int failed;

    if (find_sr(x, asked, pool, &p->sr, err) < 0)
        return -1;
    sr = rh_xapi_call(x, "SR.get_record", json_pack("[s]", p->sr), err);
    if (!sr)
        return -1;
    if (!p->staged)
        check_space(sr, ova, data, checks);
    failed = find_host(x, sr, rh_xapi_text(pool, "master"), p, err);
    json_decref(sr);
    return failed;
}

int rh_xapi_place_of(struct rh_xapi *x, const char *sr,
                     struct rh_xapi_place *ret, rh_error **err)
{
    json_t *pools = rh_xapi_call(x, "pool.get_all_records", NULL, err);
    void *first = json_object_iter(pools);
    int failed =
        !pools ? -1
               : find_sr(x, sr, first ? json_object_iter_value(first) : NULL,
                         &ret->sr, err);

    json_decref(pools);
    return failed ? -1 : rh_xapi_host_of(x, ret->sr, ret, err);
}

static void tell_host(const json_t *hosts, const char *master,
                      struct rh_checks *checks)
{
    const json_t *host = json_object_get(hosts, master);
    const json_t *version = json_object_get(host, "software_version");

    rh_check_good(checks, "logged in; master \"%s\" runs %s %s",
                  rh_xapi_text(host, "name_label"),
                  rh_xapi_text(version, "product_brand"),
                  rh_xapi_text(version, "product_version"));
}

int rh_xapi_look(struct rh_xapi *x, const char *sr, const struct rh_ova *ova,
                 uint64_t data_bytes, struct rh_xapi_place *ret,
                 struct rh_checks *checks, rh_error **err)
{
    json_t *pools = rh_xapi_call(x, "pool.get_all_records", NULL, err);
    void *first = json_object_iter(pools);
    const json_t *pool = first ? json_object_iter_value(first) : NULL;
    int failed = pools ? 0 : -1;

    if (pools && !pool)
        failed = rh_fail(err, RH_ERR_DELIVERY_FAILED, "there is no pool");
    if (!failed) {
        ret->hosts = rh_xapi_call(x, "host.get_all_records", NULL, err);
        failed = ret->hosts ? 0 : -1;
    }
    if (!failed) {
        tell_host(ret->hosts, rh_xapi_text(pool, "master"), checks);
        failed = check_storage(x, sr, pool, ova, data_bytes, ret, checks, err);
    }
    json_decref(pools);
    if (failed || check_vm(x, ova, ret, checks, err) < 0)
        return rh_error_subject(err, rh_http_name(x->http));
    return 0;
}

int rh_xapi_dry_run(struct rh_xapi *x, const struct rh_xapi_place *p,
                    const char *xml, struct rh_checks *checks, rh_error **err)
{
    static const char end[1024];
    RH_AUTO(rh_buf_free) struct rh_buf tar = {0};
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    struct rh_xapi_import i = {.x = x, .place = p};
    struct rh_http_request r = {.method = "PUT",
                                .type = "application/octet-stream"};
    RH_AUTO(rh_freep) char *path = NULL;
    json_t *task =
        rh_xapi_call(x, "task.create",
                     json_pack("[ss]", "rehost: check",
                               "looks at the metadata, makes nothing"),
                     err);
    int failed;

    if (!task)
        return -1;
    i.task = rh_strdup(json_string_value(task));
    json_decref(task);
    rh_ova_tar(xml, &tar);
    rh_buf_add(&tar, end, sizeof end);
    path = rh_printf("/import_metadata?dry_run=true&restore=true&task_id=%s",
                     i.task);
    r.path = path;
    r.body = tar.data;
    r.size = tar.length;
    failed = rh_http_do(x->http, &r, &a, err);
    if (!failed && a.status != 200 && a.status != 500)
        failed = rh_http_refuse(x->http, &r, &a, NULL, err);
    if (!failed)
        failed = rh_xapi_import_end(&i, err);
    if (!failed)
        rh_check_good(checks, "the host takes the VM's configuration");
    else
        rh_error_context(err, _("the host does not take the configuration"));
    if (failed)
        rh_http_set_lib(x->http, NULL); /* also after a cancel */
    rh_xapi_do(x, "task.destroy", json_pack("[s]", i.task), NULL);
    if (failed)
        rh_http_set_lib(x->http, x->remote->lib);
    rh_xapi_import_free(&i);
    return failed;
}
