/* inventory.c - VMs of a Prism: by name or id, in lists, one by one. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "live/prism/prism.h"

enum { PAGE = 100, VMS_MAX = 1000000 };

/* --- reading answers ----------------------------------------------------- */

int rh_ntx_read(struct rh_live *live, json_t *doc, struct rh_fill *f,
                rh_error **err)
{
    static const char *const names[] = {
        [RH_NTX_V2] = "Prism Element v2",
        [RH_NTX_V3] = "Prism Central v3",
        [RH_NTX_V4] = "Prism Central v4",
    };

    f->name = names[rh_ntx_of(live)->version];
    f->from = RH_FROM_PRISM;
    f->arena = rh_arena_new();
    if (rh_fill_prism(f, doc, err) == 0 && f->vms.count)
        return 0;
    rh_fail(err, RH_ERR_LIVE_ANSWER, "the answer describes no VM");
    return rh_error_subject(err, live->remote.url.authority);
}

static const char *id_of(const json_t *vm)
{
    static const char *const paths[] = {"extId", "metadata/uuid", "uuid"};

    for (size_t i = 0; i < RH_COUNT(paths); i++)
        if (rh_ntx_text(vm, paths[i]))
            return rh_ntx_text(vm, paths[i]);
    return NULL;
}

static const char *name_of(const json_t *vm)
{
    const char *name = rh_ntx_text(vm, "name");

    name = name ? name : rh_ntx_text(vm, "spec/name");
    return name ? name : rh_ntx_text(vm, "status/name");
}

static const char *power_of(const json_t *vm)
{
    static const char *const paths[] = {"powerState", "power_state",
                                        "status/resources/power_state",
                                        "spec/resources/power_state"};
    const char *text = NULL;

    for (size_t i = 0; !text && i < RH_COUNT(paths); i++)
        text = rh_ntx_text(vm, paths[i]);
    return !text                       ? NULL
           : rh_same_word(text, "on")  ? "on"
           : rh_same_word(text, "off") ? "off"
                                       : "suspended";
}

/* --- names of networks --------------------------------------------------- */

static size_t keep_subnets(json_t *subnets, const json_t *page)
{
    const json_t *list = json_object_get(page, "data");

    list = list ? list : json_object_get(page, "entities");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *subnet = json_array_get(list, i);
        const char *id = id_of(subnet), *name = name_of(subnet);

        if (id && name)
            json_object_set_new(subnets, id, json_string(name));
    }
    return json_array_size(list);
}

static char *subnets_request(struct rh_live *live, size_t page,
                             json_t **ret_body, rh_error **err)
{
    RH_AUTO(rh_freep) char *base = NULL;

    if (rh_ntx_of(live)->version != RH_NTX_V4) {
        *ret_body = json_pack("{s:s, s:i, s:I}", "kind", "subnet", "length",
                              PAGE, "offset", (json_int_t)(page * PAGE));
        return rh_printf("%s/subnets/list", rh_ntx_v3);
    }
    base = rh_ntx_base(live, RH_NTX_NETWORKS, "config/subnets?$limit=1", err);
    return base ? rh_printf("%s/config/subnets?$limit=%d&$page=%zu", base, PAGE,
                            page)
                : NULL;
}

static int subnets_page(struct rh_live *live, json_t *subnets, size_t page,
                        size_t *ret_count, rh_error **err)
{
    RH_AUTO(rh_ntx_json_free) json_t *body = NULL;
    RH_AUTO(rh_freep) char *path = subnets_request(live, page, &body, err);
    RH_AUTO(rh_ntx_json_free) json_t *answer = NULL;
    struct rh_ntx_request r = {.path = path, .body = body, .again = true};

    if (!path || rh_ntx_ask(live, &r, &answer, NULL, NULL, err) < 0)
        return -1;
    *ret_count = keep_subnets(subnets, answer);
    return 0;
}

/* Versions 4 and 2 name networks by ids alone.  Who may not see them keeps
 * those. */
static void learn_subnets(struct rh_live *live)
{
    struct rh_ntx *s = rh_ntx_of(live);
    json_t *subnets = json_object();
    rh_error *why = NULL;
    size_t count = PAGE;

    for (size_t page = 0; count == PAGE && page * PAGE < RH_LIMIT_ITEMS; page++)
        if (subnets_page(live, subnets, page, &count, &why) < 0)
            break;
    if (why)
        rh_log(&live->lib, RH_LOG_WARN,
               "%s: the names of networks cannot be learned (%s)",
               live->remote.url.authority, rh_error_message(why));
    rh_error_free(why);
    pthread_mutex_lock(&live->lock);
    if (s->subnets)
        json_decref(subnets); /* another thread was faster */
    else
        s->subnets = subnets;
    pthread_mutex_unlock(&live->lock);
}

static void put_name(json_t *object, const char *key, const json_t *subnets,
                     const char *id)
{
    json_t *name = id ? json_object_get(subnets, id) : NULL;

    if (name && !json_object_get(object, key))
        json_object_set_new(object, key, json_string(json_string_value(name)));
}

/* networkInfo in version 4.0, nicNetworkInfo later. */
static void name_network(const json_t *subnets, json_t *nic)
{
    static const char *const paths[] = {
        "networkInfo/subnet", "nicNetworkInfo/subnet",
        "nicNetworkInfo/virtualEthernetNicNetworkInfo/subnet"};

    put_name(nic, "network_name", subnets, rh_ntx_text(nic, "network_uuid"));
    for (size_t i = 0; i < RH_COUNT(paths); i++) {
        json_t *subnet = (json_t *)(uintptr_t)rh_ntx_at(nic, paths[i]);

        put_name(subnet, "name", subnets, rh_ntx_text(subnet, "extId"));
    }
}

static bool has_subnets(struct rh_live *live)
{
    bool there;

    pthread_mutex_lock(&live->lock);
    there = rh_ntx_of(live)->subnets != NULL;
    pthread_mutex_unlock(&live->lock);
    return there;
}

static void name_networks(struct rh_live *live, json_t *vm)
{
    const json_t *nics = json_object_get(vm, "nics");

    nics = nics ? nics : json_object_get(vm, "vm_nics");
    if (json_array_size(nics) && !has_subnets(live))
        learn_subnets(live);
    for (size_t i = 0; i < json_array_size(nics); i++)
        name_network(rh_ntx_of(live)->subnets, json_array_get(nics, i));
}

/* --- pages --------------------------------------------------------------- */

/* What to ask for; *ret_body where it is a POST. */
static char *page_request(struct rh_live *live, uint64_t page, uint64_t offset,
                          json_t **ret_body, rh_error **err)
{
    RH_AUTO(rh_freep) char *base = NULL;

    switch (rh_ntx_of(live)->version) {
    case RH_NTX_V4:
        base = rh_ntx_base(live, RH_NTX_VMM, "", err);
        return base ? rh_printf("%s/ahv/config/vms?$limit=%d&$page=%" PRIu64,
                                base, PAGE, page)
                    : NULL;
    case RH_NTX_V3:
        *ret_body = json_pack("{s:s, s:i, s:I}", "kind", "vm", "length", PAGE,
                              "offset", (json_int_t)offset);
        return rh_printf("%s/vms/list", rh_ntx_v3);
    default:
        return rh_printf("%s/vms/?include_vm_disk_config=true&"
                         "include_vm_nic_config=true&offset=%" PRIu64
                         "&length=%d",
                         rh_ntx_v2, offset, PAGE);
    }
}

/* How many there are in all; as many as came where nothing says it. */
static uint64_t total_of(const json_t *page, uint64_t seen)
{
    static const char *const paths[] = {"metadata/totalAvailableResults",
                                        "metadata/total_matches",
                                        "metadata/grand_total_entities"};
    uint64_t n;

    for (size_t i = 0; i < RH_COUNT(paths); i++)
        if (rh_ntx_number(page, paths[i], &n))
            return n;
    return seen;
}

/* Who comes by name later need not ask for all pages again. */
static void note_name(json_t *names, const json_t *vm)
{
    const char *name = name_of(vm), *id = id_of(vm);

    if (name && id)
        json_object_set_new(names, name,
                            json_object_get(names, name) ? json_null()
                                                         : json_string(id));
}

static void keep_names(struct rh_live *live, json_t *names)
{
    struct rh_ntx *s = rh_ntx_of(live);

    pthread_mutex_lock(&live->lock);
    json_decref(s->names);
    s->names = json_incref(names);
    pthread_mutex_unlock(&live->lock);
}

static char *known_id(struct rh_live *live, const char *name)
{
    const char *id;
    char *copy;

    pthread_mutex_lock(&live->lock);
    id = json_string_value(json_object_get(rh_ntx_of(live)->names, name));
    copy = id ? rh_strdup(id) : NULL;
    pthread_mutex_unlock(&live->lock);
    return copy;
}

typedef int vm_fn(struct rh_live *live, json_t *vm, void *user, rh_error **err);

static int each_of_page(struct rh_live *live, const json_t *list, vm_fn *fn,
                        void *user, json_t *names, rh_error **err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        note_name(names, json_array_get(list, i));
        if (rh_go_on(&live->lib, err) < 0 ||
            fn(live, json_array_get(list, i), user, err) < 0)
            return -1;
    }
    return 0;
}

/* Element may send all at once, whatever was asked for. */
static int each_vm(struct rh_live *live, vm_fn *fn, void *user, rh_error **err)
{
    RH_AUTO(rh_ntx_json_free) json_t *names = json_object();
    uint64_t seen = 0, total = 1;

    for (uint64_t n = 0; seen < total; n++) {
        RH_AUTO(rh_ntx_json_free) json_t *body = NULL;
        RH_AUTO(rh_ntx_json_free) json_t *page = NULL;
        RH_AUTO(rh_freep) char *path = page_request(live, n, seen, &body, err);
        struct rh_ntx_request r = {.path = path, .body = body, .again = true};
        const json_t *list;

        if (!path || rh_ntx_ask(live, &r, &page, NULL, NULL, err) < 0)
            return -1;
        list = json_object_get(page, "data");
        list = list ? list : json_object_get(page, "entities");
        if (!json_array_size(list))
            break;
        if (each_of_page(live, list, fn, user, names, err) < 0)
            return -1;
        seen += json_array_size(list);
        total = total_of(page, seen);
        if (seen > VMS_MAX) /* a list without an end, or cut short by us */
            return rh_fail(err, RH_ERR_LIVE_ANSWER,
                           "Prism lists more than %d VMs", VMS_MAX);
    }
    keep_names(live, names);
    return 0;
}

/* --- rows ---------------------------------------------------------------- */

struct listing {
    rh_live_row_fn *row;
    void *user;
};

/* Every network once. */
static const char **networks_of(const struct rh_vm *vm)
{
    const char **list = rh_calloc(vm->nics.count + 1, sizeof *list);
    size_t n = 0;

    for (size_t i = 0; i < vm->nics.count; i++) {
        const char *name = vm->nics.items[i].network.text;
        bool known = !name;

        for (size_t k = 0; k < n && !known; k++)
            known = !strcmp(list[k], name);
        if (!known)
            list[n++] = name;
    }
    return list;
}

static uint64_t bytes_of(const struct rh_vm *vm)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < vm->disks.count; i++) {
        uint64_t n = vm->disks.items[i].capacity_bytes.number;

        sum += n <= UINT64_MAX - sum ? n : UINT64_MAX - sum;
    }
    return sum;
}

static int give_row(struct rh_live *live, json_t *vm, void *user,
                    rh_error **err)
{
    const struct listing *l = user;
    RH_AUTO(rh_fill_free) struct rh_fill f = {0};
    const char **networks;
    struct rh_live_row row;
    const struct rh_vm *v;
    int failed;

    name_networks(live, vm);
    if (!id_of(vm) || rh_ntx_read(live, vm, &f, NULL) < 0)
        return 0; /* of no kind that is known */
    v = f.vms.items[0].vm;
    networks = networks_of(v);
    row = (struct rh_live_row){.name = name_of(vm) ? name_of(vm) : id_of(vm),
                               .path = name_of(vm) ? name_of(vm) : id_of(vm),
                               .id = id_of(vm),
                               .uuid = v->uuid.text ? v->uuid.text : id_of(vm),
                               .guest = v->os_name.text,
                               .power = power_of(vm),
                               .cpus = v->cpus.number,
                               .memory_bytes = v->memory_bytes.number,
                               .disk_bytes = bytes_of(v),
                               .networks = networks};
    failed = l->row(l->user, &row, err);
    free(networks);
    return failed;
}

int rh_ntx_list(struct rh_live *live, const struct rh_remote_url *at,
                rh_live_row_fn *row, void *user, rh_error **err)
{
    struct listing l = {row, user};

    (void)at;
    return each_vm(live, give_row, &l, err);
}

/* --- what a URL names ---------------------------------------------------- */

static bool is_uuid(const char *text)
{
    size_t n = 0;

    for (; text[n]; n++) {
        bool dash = n == 8 || n == 13 || n == 18 || n == 23;

        if (dash ? text[n] != '-' : !isxdigit((unsigned char)text[n]))
            return false;
    }
    return n == 36;
}

static char *vm_path(struct rh_live *live, const char *id, rh_error **err)
{
    RH_AUTO(rh_freep) char *part = rh_http_escape(id);
    RH_AUTO(rh_freep) char *base = NULL;

    switch (rh_ntx_of(live)->version) {
    case RH_NTX_V4:
        base = rh_ntx_base(live, RH_NTX_VMM, "", err);
        return base ? rh_printf("%s/ahv/config/vms/%s", base, part) : NULL;
    case RH_NTX_V3:
        return rh_printf("%s/vms/%s", rh_ntx_v3, part);
    default:
        return rh_printf("%s/vms/%s?include_vm_disk_config=true&"
                         "include_vm_nic_config=true",
                         rh_ntx_v2, part);
    }
}

struct search {
    const char *name;
    char *id;
    struct rh_buf several;
    size_t count;
};

/* By name in all pages: a filter would have to be escaped three ways. */
static int compare(struct rh_live *live, json_t *vm, void *user, rh_error **err)
{
    struct search *s = user;
    const char *name = name_of(vm), *id = id_of(vm);

    (void)live, (void)err;
    if (!name || !id || strcmp(name, s->name) != 0)
        return 0;
    if (s->count < 5)
        rh_buf_printf(&s->several, "%s%s", s->count ? ", " : "", id);
    if (!s->count++)
        s->id = rh_strdup(id);
    return 0;
}

static int find_named(struct rh_live *live, const char *name, char **ret_id,
                      rh_error **err)
{
    struct search s = {.name = name};
    int failed = each_vm(live, compare, &s, err);

    if (!failed && s.count == 1) {
        *ret_id = RH_TAKE(s.id);
    } else if (!failed && s.count) {
        failed =
            rh_fail(err, RH_ERR_LIVE_SEVERAL, "%zu VMs have that name: %s%s",
                    s.count, s.several.data, s.count > 5 ? ", ..." : "");
    } else if (!failed) {
        failed = rh_fail(err, RH_ERR_LIVE_NOT_FOUND, "there is no such VM");
    }
    if (failed)
        rh_error_subject(err, name);
    free(s.id);
    rh_buf_free(&s.several);
    return failed;
}

static int is_there(struct rh_live *live, const char *id, bool *ret,
                    rh_error **err)
{
    RH_AUTO(rh_freep) char *path = vm_path(live, id, err);
    struct rh_ntx_request r = {.path = path, .again = true};
    bool missing = false;

    if (!path || rh_ntx_ask(live, &r, NULL, &missing, NULL, err) < 0)
        return -1;
    *ret = !missing;
    return 0;
}

int rh_ntx_find(struct rh_live *live, const struct rh_remote_url *at,
                char **ret_id, rh_error **err)
{
    bool there = false;

    *ret_id = NULL;
    if (at->count == 0)
        return 0;
    if (at->count > 1) {
        rh_fail(err, RH_ERR_LIVE_URL, "Prism has no folders");
        return rh_hint(err, "write it as prism://HOST/VM; a '/' in its name "
                            "is %%2F");
    }
    if (is_uuid(at->parts[0]) && is_there(live, at->parts[0], &there, err) < 0)
        return -1;
    *ret_id = there ? rh_strdup(at->parts[0]) : known_id(live, at->parts[0]);
    return *ret_id ? 0 : find_named(live, at->parts[0], ret_id, err);
}

/* --- one VM -------------------------------------------------------------- */

/* What version 2 does not say, and version 3 of the same Element does. */
static void add_from_v3(struct rh_live *live, const char *id, json_t *vm)
{
    RH_AUTO(rh_freep) char *part = rh_http_escape(id);
    RH_AUTO(rh_freep) char *path = rh_printf("%s/vms/%s", rh_ntx_v3, part);
    RH_AUTO(rh_ntx_json_free) json_t *other = NULL;
    struct rh_ntx_request r = {.path = path, .again = true};
    const json_t *tpm;
    bool missing;

    if (rh_ntx_ask(live, &r, &other, &missing, NULL, NULL) < 0 || !other)
        return;
    tpm = rh_ntx_at(other, "spec/resources/vtpm_config/vtpm_enabled");
    if (tpm && !rh_ntx_at(vm, "vtpm_config"))
        json_object_set_new(vm, "vtpm_config",
                            json_pack("{s:O}", "is_vtpm_enabled", tpm));
}

int rh_ntx_get(struct rh_live *live, const char *id, json_t **ret,
               char **ret_etag, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = vm_path(live, id, err);
    RH_AUTO(rh_ntx_json_free) json_t *doc = NULL;
    struct rh_ntx_request r = {.path = path, .again = true};
    json_t *vm;
    bool missing = false;

    if (!path || rh_ntx_ask(live, &r, &doc, &missing, ret_etag, err) < 0)
        return -1;
    if (missing) {
        rh_fail(err, RH_ERR_LIVE_NOT_FOUND, "the VM is not there any more");
        return rh_error_subject(err, id);
    }
    vm = rh_ntx_of(live)->version == RH_NTX_V4 ? json_object_get(doc, "data")
                                               : doc;
    if (!json_is_object(vm))
        return rh_fail(err, RH_ERR_LIVE_ANSWER, "the answer describes no VM");
    name_networks(live, vm);
    if (rh_ntx_of(live)->version == RH_NTX_V2)
        add_from_v3(live, id, vm);
    *ret = json_incref(vm);
    return 0;
}
