/* inventory.c - what a URL's path names, and lists of VMs.
 *
 * vCenter: /DC/vm/FOLDER/NAME is an inventory path, its parts as the API has
 * them (a slash in a name is %2f there).  ESXi: the path is the VM alone.  A VM
 * may also be named by its id (vm-123) or one of its UUIDs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "live/vsphere/machine.h"

enum { DEPTH_MOST = 64 }; /* of folders */

/* --- places -----------------------------------------------------------------
 */

static int take_place(void *user, const xmlNode *object, rh_error **err)
{
    struct rh_vs *s = user;
    RH_AUTO(rh_vs_ref_free) struct rh_vs_ref self = {0};
    struct rh_vs_place *p;

    (void)err;
    if (!rh_vs_ref_of(rh_vs_child(object, "obj"), &self))
        return 0;
    p = rh_vec_add(&s->places);
    p->type = RH_TAKE(self.type);
    p->id = RH_TAKE(self.id);
    p->name = rh_strdup(rh_vs_text(rh_vs_property(object, "name")));
    p->parent = rh_strdup(rh_vs_text(rh_vs_property(object, "parent")));
    p->terms = rh_vs_pool_terms(rh_vs_property(object, "config"));
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const struct rh_vs_place *x = a, *y = b;

    return strcmp(x->id, y->id);
}

static int take_places_of(struct rh_vs *s, const char *type, rh_error **err)
{
    static const char *const paths[] = {"name", "parent", NULL};
    static const char *const of_pools[] = {"name", "parent", "config", NULL};
    RH_AUTO(rh_freep) char *view = NULL;
    struct rh_vs_query q = {
        .type = type, .paths = strcmp(type, "ResourcePool") ? paths : of_pools};
    int failed;

    if (rh_vs_view(s, s->root.type, s->root.id, type, &view, err) < 0)
        return -1;
    q.view = view;
    failed = rh_vs_retrieve(s, &q, take_place, s, err);
    rh_vs_view_end(s, view);
    return failed;
}

/* Under the places' lock. */
static int load_places(struct rh_vs *s, rh_error **err)
{
    static const char *const types[] = {"Folder",          "Datacenter",
                                        "Network",         "Datastore",
                                        "ComputeResource", "ResourcePool"};

    for (size_t i = 0; i < RH_COUNT(types); i++)
        if (take_places_of(s, types[i], err) < 0)
            return -1;
    if (s->places.count)
        qsort(s->places.items, s->places.count, sizeof *s->places.items, by_id);
    s->places_known = true;
    return 0;
}

int rh_vs_places(struct rh_vs *s, rh_error **err)
{
    int failed = 0;

    pthread_mutex_lock(&s->cache_lock);
    if (!s->places_known)
        failed = load_places(s, err);
    pthread_mutex_unlock(&s->cache_lock);
    return failed;
}

const struct rh_vs_place *rh_vs_place(const struct rh_vs *s, const char *id)
{
    struct rh_vs_place key = {.id = (char *)(uintptr_t)id};

    return s->places.count ? bsearch(&key, s->places.items, s->places.count,
                                     sizeof key, by_id)
                           : NULL;
}

/* The path of what lies in the place `id` and is called `name`. */
static char *path_in(const struct rh_vs *s, const char *id, const char *name)
{
    char *path = rh_strdup(name);

    for (int depth = 0; depth < DEPTH_MOST; depth++) {
        const struct rh_vs_place *p = rh_vs_place(s, id);
        char *longer;

        if (!strcmp(id, s->root.id))
            return path;
        if (!p)
            break;
        longer = rh_printf("%s/%s", p->name, path);
        free(path);
        path = longer;
        id = p->parent;
    }
    free(path);
    return NULL;
}

char *rh_vs_path(const struct rh_vs *s, const char *id)
{
    const struct rh_vs_place *p = rh_vs_place(s, id);

    return p ? path_in(s, p->parent, p->name) : NULL;
}

char *rh_vs_datacenter_path(const struct rh_vs *s, const char *id)
{
    const struct rh_vs_place *p = rh_vs_place(s, id);

    for (int depth = 0; p && depth < DEPTH_MOST; depth++) {
        if (!strcmp(p->type, "Datacenter"))
            return path_in(s, p->parent, p->name);
        p = rh_vs_place(s, p->parent);
    }
    return NULL;
}

/* --- VMs by name ------------------------------------------------------------
 */

static int take_name(void *user, const xmlNode *object, rh_error **err)
{
    struct rh_vs *s = user;
    struct rh_vs_name *n = rh_vec_add(&s->names);

    (void)err;
    n->id = rh_strdup(rh_vs_text_at(object, "obj"));
    n->name = rh_strdup(rh_vs_text(rh_vs_property(object, "name")));
    n->uuid = rh_strdup(rh_vs_text(rh_vs_property(object, "config.uuid")));
    n->instance =
        rh_strdup(rh_vs_text(rh_vs_property(object, "config.instanceUuid")));
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct rh_vs_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->id, y->id);
}

static int load_names(struct rh_vs *s, rh_error **err)
{
    static const char *const paths[] = {"name", "config.uuid",
                                        "config.instanceUuid", NULL};
    RH_AUTO(rh_freep) char *view = NULL;
    struct rh_vs_query q = {.type = "VirtualMachine", .paths = paths};
    int failed;

    if (rh_vs_view(s, s->root.type, s->root.id, "VirtualMachine", &view, err) <
        0)
        return -1;
    q.view = view;
    failed = rh_vs_retrieve(s, &q, take_name, s, err);
    rh_vs_view_end(s, view);
    if (s->names.count)
        qsort(s->names.items, s->names.count, sizeof *s->names.items, by_name);
    s->names_known = !failed;
    return failed;
}

static int know_names(struct rh_vs *s, rh_error **err)
{
    int failed = 0;

    pthread_mutex_lock(&s->cache_lock);
    if (!s->names_known)
        failed = load_names(s, err);
    pthread_mutex_unlock(&s->cache_lock);
    return failed;
}

/* The API escapes three characters in names. */
static char *plain_name(const char *name)
{
    struct rh_buf b = {0};

    for (; *name; name++) {
        if (!strncasecmp(name, "%2f", 3) || !strncasecmp(name, "%5c", 3) ||
            !strncmp(name, "%25", 3)) {
            rh_buf_putc(&b, name[2] == '5' ? '%' : name[1] == '2' ? '/' : '\\');
            name += 2;
        } else {
            rh_buf_putc(&b, *name);
        }
    }
    return rh_buf_take(&b);
}

enum match { BY_ID, BY_INSTANCE, BY_UUID, BY_NAME, MATCHES };

static bool matches(const struct rh_vs_name *n, const char *word,
                    enum match how)
{
    RH_AUTO(rh_freep) char *plain = NULL;

    switch (how) {
    case BY_ID:
        return !strcmp(n->id, word);
    case BY_INSTANCE:
        return rh_same_word(n->instance, word);
    case BY_UUID:
        return rh_same_word(n->uuid, word);
    default:
        plain = plain_name(n->name);
        return !strcmp(n->name, word) || !strcmp(plain, word);
    }
}

static int say_several(const struct rh_vs *s, const char *word, enum match how,
                       size_t count, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf ids = {0};
    size_t shown = 0;

    for (size_t i = 0; i < s->names.count && shown < 5; i++)
        if (matches(&s->names.items[i], word, how))
            rh_buf_printf(&ids, "%s%s", shown++ ? ", " : "",
                          s->names.items[i].id);
    return rh_fail(err, RH_ERR_LIVE_SEVERAL,
                   "%zu VMs are called \"%.200s\" (%s%s)", count, word,
                   ids.data, shown < count ? ", ..." : "");
}

/* By what a person calls it; *ret_id stays NULL where nothing is called so. */
static int find_called(struct rh_vs *s, const char *word, bool by_name,
                       char **ret_id, rh_error **err)
{
    if (know_names(s, err) < 0)
        return -1;
    for (enum match how = BY_ID; how < (by_name ? MATCHES : BY_NAME); how++) {
        const struct rh_vs_name *found = NULL;
        size_t count = 0;

        for (size_t i = 0; i < s->names.count; i++)
            if (word[0] && matches(&s->names.items[i], word, how)) {
                found = &s->names.items[i];
                count++;
            }
        if (count > 1)
            return say_several(s, word, how, count, err);
        if (found) {
            *ret_id = rh_strdup(found->id);
            return 0;
        }
    }
    return 0;
}

/* --- by the inventory's path -------------------------------------------------
 */

static char *join_path(const struct rh_remote_url *at)
{
    struct rh_buf b = {0};

    for (size_t i = 0; i < at->count; i++) {
        if (i)
            rh_buf_putc(&b, '/');
        for (const char *p = at->parts[i]; *p; p++)
            if (*p == '/')
                rh_buf_puts(&b, "%2f");
            else
                rh_buf_putc(&b, *p);
    }
    return rh_buf_take(&b);
}

/* 1: there is nothing at that path. */
static int find_path(struct rh_vs *s, const char *path, struct rh_vs_ref *ret,
                     rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    struct rh_vs_call c = {.method = "FindByInventoryPath",
                           .type = s->search.type,
                           .id = s->search.id,
                           .again = true};

    rh_buf_puts(&body, "<inventoryPath>");
    rh_vs_escape(&body, path);
    rh_buf_puts(&body, "</inventoryPath>");
    c.body = body.data;
    doc = rh_vs_call(s, &c, err);
    if (!doc)
        return -1;
    return rh_vs_ref_of(rh_vs_child(rh_vs_response(doc), "returnval"), ret) ? 0
                                                                            : 1;
}

static int not_found(struct rh_vs *s, const char *path, rh_error **err)
{
    rh_fail(err, RH_ERR_LIVE_NOT_FOUND, "nothing is called \"%.300s\"", path);
    return rh_error_subject(err, s->live->remote.text);
}

/* *ret_id for a VM, else *ret_place. */
static int resolve(struct rh_vs *s, const struct rh_remote_url *at,
                   char **ret_id, struct rh_vs_ref *ret_place, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = join_path(at);
    const char *last = at->count ? at->parts[at->count - 1] : NULL;
    int got = 1;

    if (!last) {
        ret_place->type = rh_strdup(s->root.type);
        ret_place->id = rh_strdup(s->root.id);
        return 0;
    }
    if (s->vcenter || at->count > 1)
        got = find_path(s, path, ret_place, err);
    if (got < 0)
        return -1;
    if (got == 0 && strcmp(ret_place->type, "VirtualMachine"))
        return 0;
    if (got == 0)
        *ret_id = RH_TAKE(ret_place->id);
    else if (find_called(s, last, at->count == 1, ret_id, err) < 0)
        return -1;
    return *ret_id ? 0 : not_found(s, path, err);
}

int rh_vs_find(struct rh_live *live, const struct rh_remote_url *at,
               char **ret_id, rh_error **err)
{
    RH_AUTO(rh_vs_ref_free) struct rh_vs_ref place = {0};

    *ret_id = NULL;
    return resolve(rh_vs_of(live), at, ret_id, &place, err);
}

/* --- lists ------------------------------------------------------------------
 */

struct listing {
    struct rh_vs *s;
    rh_live_row_fn *row;
    void *user;
};

static uint64_t disk_bytes(const xmlNode *hardware)
{
    uint64_t sum = 0;

    for (xmlNode *d = rh_vs_child(hardware, "device"); d; d = rh_vs_next(d)) {
        uint64_t n = 0;

        if (!rh_vs_is_type(d, "VirtualDisk"))
            continue;
        if (!rh_vs_number_at(d, "capacityInBytes", &n) &&
            rh_vs_number_at(d, "capacityInKB", &n))
            n = RH_MIN(n, UINT64_MAX / 1024) * 1024;
        if (rh_add_overflows(sum, n, &sum))
            return UINT64_MAX;
    }
    return sum;
}

unsigned rh_vs_snapshots(const xmlNode *list, const char *name)
{
    unsigned n = 0;

    for (xmlNode *t = rh_vs_child(list, name); t; t = rh_vs_next(t))
        n += 1 + rh_vs_snapshots(t, "childSnapshotList");
    return n;
}

static const char *power_word(const char *state)
{
    if (!strcmp(state, "poweredOn"))
        return "on";
    if (!strcmp(state, "poweredOff"))
        return "off";
    return !strcmp(state, "suspended") ? "suspended" : NULL;
}

static const char **network_names(const struct rh_vs *s, const xmlNode *list)
{
    size_t n = 0;
    const char **names;

    for (xmlNode *r = rh_vs_child(list, "ManagedObjectReference"); r;
         r = rh_vs_next(r))
        n++;
    names = rh_calloc(n + 1, sizeof *names);
    n = 0;
    for (xmlNode *r = rh_vs_child(list, "ManagedObjectReference"); r;
         r = rh_vs_next(r)) {
        const struct rh_vs_place *p = rh_vs_place(s, rh_vs_text(r));

        names[n++] = p ? p->name : rh_vs_text(r);
    }
    return names;
}

/* On an ESXi its name, where no other VM has it. */
static char *row_path(const struct rh_vs *s, const char *id, const char *name,
                      const char *parent)
{
    size_t low = 0, high = s->names.count;
    char *path;

    if (s->vcenter) {
        path = parent[0] ? path_in(s, parent, name) : NULL;
        return path ? path : rh_strdup(id);
    }
    while (low < high) { /* the first of that name */
        size_t middle = low + (high - low) / 2;

        if (strcmp(s->names.items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return rh_strdup(low + 1 >= s->names.count ||
                             strcmp(s->names.items[low + 1].name, name) != 0
                         ? name
                         : id);
}

static const char *first_of(const char *a, const char *b)
{
    return a[0] ? a : b[0] ? b : NULL;
}

static int take_row(void *user, const xmlNode *object, rh_error **err)
{
    struct listing *l = user;
    const xmlNode *hardware = rh_vs_property(object, "config.hardware");
    const char *id = rh_vs_text_at(object, "obj");
    const char *escaped = rh_vs_text(rh_vs_property(object, "name"));
    RH_AUTO(rh_freep) char *name = plain_name(escaped);
    RH_AUTO(rh_freep)
    char *path = row_path(l->s, id, escaped,
                          rh_vs_text(rh_vs_property(object, "parent")));
    RH_AUTO(rh_freep)
    const char **networks =
        network_names(l->s, rh_vs_property(object, "network"));
    uint64_t memory = 0;
    struct rh_live_row row = {
        .name = name,
        .path = path,
        .id = id,
        .uuid =
            first_of(rh_vs_text(rh_vs_property(object, "config.instanceUuid")),
                     rh_vs_text(rh_vs_property(object, "config.uuid"))),
        .guest = first_of(
            rh_vs_text(rh_vs_property(object, "guest.guestFullName")),
            rh_vs_text(rh_vs_property(object, "config.guestFullName"))),
        .power = power_word(
            rh_vs_text(rh_vs_property(object, "runtime.powerState"))),
        .disk_bytes = disk_bytes(hardware),
        .networks = networks,
        .snapshots = rh_vs_snapshots(rh_vs_property(object, "snapshot"),
                                     "rootSnapshotList"),
    };

    rh_vs_number_at(hardware, "numCPU", &row.cpus);
    if (rh_vs_number_at(hardware, "memoryMB", &memory) && memory < 1u << 30)
        row.memory_bytes = memory << 20;
    return l->row(l->user, &row, err);
}

/* The view's objects first, then their properties a page at a time, so that
 * no answer grows with the inventory, whatever the server thinks of pages. */
void rh_vs_ids_free(struct rh_vs_ids *ids)
{
    for (size_t i = 0; i < ids->list.count; i++)
        free(ids->list.items[i]);
    free(ids->list.items);
}

static int take_id(void *user, const xmlNode *object, rh_error **err)
{
    struct rh_vs_ids *ids = user;

    (void)err;
    *rh_vec_add(&ids->list) = rh_strdup(rh_vs_text_at(object, "obj"));
    return 0;
}

static int list_ids(struct rh_vs *s, const struct rh_vs_ref *place,
                    struct rh_vs_ids *ret, rh_error **err)
{
    static const char *const paths[] = {"name", NULL};
    RH_AUTO(rh_freep) char *view = NULL;
    struct rh_vs_query q = {.type = "VirtualMachine", .paths = paths};
    int failed;

    if (rh_vs_view(s, place->type, place->id, "VirtualMachine", &view, err) < 0)
        return -1;
    q.view = view;
    failed = rh_vs_retrieve(s, &q, take_id, ret, err);
    rh_vs_view_end(s, view);
    return failed;
}

int rh_vs_all_vms(struct rh_vs *s, struct rh_vs_ids *ret, rh_error **err)
{
    return list_ids(s, &s->root, ret, err);
}

int rh_vs_list(struct rh_live *live, const struct rh_remote_url *at,
               rh_live_row_fn *row, void *user, rh_error **err)
{
    static const char *const paths[] = {"name",
                                        "parent",
                                        "config.instanceUuid",
                                        "config.uuid",
                                        "config.guestFullName",
                                        "config.hardware",
                                        "guest.guestFullName",
                                        "runtime.powerState",
                                        "network",
                                        "snapshot",
                                        NULL};
    struct rh_vs *s = rh_vs_of(live);
    RH_AUTO(rh_vs_ref_free) struct rh_vs_ref place = {0};
    RH_AUTO(rh_freep) char *id = NULL;
    RH_AUTO(rh_vs_ids_free) struct rh_vs_ids ids = {0};
    struct listing l = {.s = s, .row = row, .user = user};
    struct rh_vs_query q = {.type = "VirtualMachine", .paths = paths};

    if (resolve(s, at, &id, &place, err) < 0)
        return -1;
    if (id || rh_vs_places(s, err) < 0 ||
        (!s->vcenter && know_names(s, err) < 0) ||
        list_ids(s, &place, &ids, err) < 0)
        return id ? rh_fail(err, RH_ERR_USAGE, "the address names a VM") : -1;
    q.ids = (const char *const *)ids.list.items;
    q.count = ids.list.count;
    return rh_vs_retrieve(s, &q, take_row, &l, err);
}
