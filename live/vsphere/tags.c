/* tags.c - which tags a VM has, and what those are called.
 *
 * Tags lie beside the inventory: an association of objects and ids, then a name
 * for each id, and one for its category.  The first VM is asked for by itself;
 * who asks for a second one wants many, and gets all in a few requests.  Each
 * name is asked for once in a session. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "live/vsphere/tags.h"

enum {
    AT_ONCE = 200,      /* VMs in one request */
    TAGS_MOST = 200,    /* of one VM */
    NAMES_MOST = 20000, /* tags, or categories, in a session */
    NAME_MOST = 256,    /* bytes that are shown of one */
};

struct tagged {
    char *vm;
    RH_VEC(char *) tags; /* ids */
};
/* A tag, or a category. */
struct named {
    char *id, *name; /* name: NULL where it may not be read */
    char *of;        /* a tag's category */
};
struct named_list {
    RH_VEC(struct named) list;
};
struct rh_vs_tags {
    pthread_mutex_t lock; /* around all of it */
    struct rh_vs_rest rest;
    unsigned asked; /* VMs */
    bool all;       /* of all VMs is known what tags they have */
    RH_VEC(struct tagged) vms;
    struct named_list tags, categories;
};

struct rh_vs_tags *rh_vs_tags_new(struct rh_vs *s)
{
    struct rh_vs_tags *t = rh_new0(struct rh_vs_tags);

    pthread_mutex_init(&t->lock, NULL);
    t->rest.s = s;
    return t;
}

static void free_names(struct named_list *n)
{
    for (size_t i = 0; i < n->list.count; i++) {
        free(n->list.items[i].id);
        free(n->list.items[i].name);
        free(n->list.items[i].of);
    }
    free(n->list.items);
}

void rh_vs_tags_free(struct rh_vs_tags *t)
{
    if (!t)
        return;
    rh_vs_rest_end(&t->rest);
    for (size_t i = 0; i < t->vms.count; i++) {
        struct tagged *v = &t->vms.items[i];

        for (size_t n = 0; n < v->tags.count; n++)
            free(v->tags.items[n]);
        free(v->tags.items);
        free(v->vm);
    }
    free(t->vms.items);
    free_names(&t->tags);
    free_names(&t->categories);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* --- which tags a VM has ----------------------------------------------------
 */

static const struct tagged *find_vm(const struct rh_vs_tags *t, const char *id)
{
    for (size_t i = 0; i < t->vms.count; i++)
        if (!strcmp(t->vms.items[i].vm, id))
            return &t->vms.items[i];
    return NULL;
}

static struct tagged *add_vm(struct rh_vs_tags *t, const char *id)
{
    struct tagged *v = rh_vec_add(&t->vms);

    v->vm = rh_strdup(id);
    return v;
}

void rh_vs_tags_take(struct rh_vs_tags *t, const json_t *list)
{
    const json_t *row, *id;
    size_t i, n;

    json_array_foreach (list, i, row) {
        const json_t *ids = json_object_get(row, "tag_ids");
        const char *vm = json_string_value(
            json_object_get(json_object_get(row, "object_id"), "id"));
        struct tagged *v;

        if (i == AT_ONCE) /* more than was asked for */
            return;
        if (!vm || !json_array_size(ids) || find_vm(t, vm))
            continue;
        v = add_vm(t, vm);
        json_array_foreach (ids, n, id)
            if (json_is_string(id) && v->tags.count <= TAGS_MOST)
                *rh_vec_add(&v->tags) = rh_strdup(json_string_value(id));
    }
}

static int ask_for(struct rh_vs_tags *t, const char *const *ids, size_t count,
                   rh_error **err)
{
    json_t *objects = json_array();
    RH_AUTO(rh_vs_json_freep) json_t *body = NULL;
    RH_AUTO(rh_vs_json_freep) json_t *list = NULL;
    struct rh_vs_rest_call c = {.what = "tagging/tag-association",
                                .action = "list-attached-tags-on-objects"};

    for (size_t i = 0; i < count; i++)
        json_array_append_new(objects, json_pack("{s:s, s:s}", "id", ids[i],
                                                 "type", "VirtualMachine"));
    c.body = body = json_pack("{s:o}", "object_ids", objects);
    if (rh_vs_rest_ask(&t->rest, &c, &list, err) < 0)
        return -1;
    rh_vs_tags_take(t, list);
    return 0;
}

/* Where one of them stands in the way of all, each is asked for by itself. */
static int ask_for_all(struct rh_vs_tags *t, rh_error **err)
{
    RH_AUTO(rh_vs_ids_free) struct rh_vs_ids ids = {0};

    if (rh_vs_all_vms(t->rest.s, &ids, err) < 0)
        return -1;
    for (size_t i = 0; i < ids.list.count; i += AT_ONCE)
        if (ask_for(t, (const char *const *)ids.list.items + i,
                    RH_MIN(ids.list.count - i, (size_t)AT_ONCE), err) < 0)
            return -1;
    t->all = true;
    return 0;
}

static const struct tagged *tags_of(struct rh_vs_tags *t, const char *id,
                                    rh_error **err)
{
    const struct tagged *v;
    rh_error *why = NULL;

    if (t->asked++ == 1 && !t->rest.why && ask_for_all(t, &why) < 0) {
        bool cancelled = rh_error_number(why) == RH_ERR_CANCELLED;

        if (cancelled && err && !*err)
            *err = RH_TAKE(why);
        rh_error_free(why);
        if (cancelled)
            return NULL;
    }
    v = find_vm(t, id);
    if (v || t->all)
        return v;
    if (ask_for(t, &id, 1, err) < 0)
        return NULL;
    v = find_vm(t, id);
    return v ? v : add_vm(t, id);
}

/* --- what they are called ---------------------------------------------------
 */

static struct named *find_name(struct named_list *n, const char *id)
{
    for (size_t i = 0; i < n->list.count; i++)
        if (!strcmp(n->list.items[i].id, id))
            return &n->list.items[i];
    return NULL;
}

/* What lies between tags in a list, and what is no text, is another sign. */
static char *name_in(const json_t *o)
{
    const char *text = json_string_value(json_object_get(o, "name"));
    RH_AUTO(rh_freep)
    char *part = text ? rh_strndup(text, strnlen(text, NAME_MOST)) : NULL;
    char *name = part ? rh_printable(part) : NULL;

    for (char *p = name; p && *p; p++)
        if (*p == ';')
            *p = ',';
    return name;
}

/* Asked for once; NULL fails (*err), and where it may not be read has no name.
 */
static struct named *know(struct rh_vs_tags *t, struct named_list *n,
                          const char *kind, const char *id, rh_error **err)
{
    struct named *known = find_name(n, id);
    RH_AUTO(rh_vs_json_freep) json_t *value = NULL;
    RH_AUTO(rh_freep) char *escaped = rh_http_escape(id);
    RH_AUTO(rh_freep) char *what = NULL;
    struct rh_vs_rest_call c = {0};
    rh_error *why = NULL;

    if (known)
        return known;
    if (n->list.count == NAMES_MOST) {
        rh_fail(err, RH_ERR_LIVE_ANSWER, "there are too many tags");
        return NULL;
    }
    c.what = what =
        rh_printf("tagging/%s/%s%s", kind, t->rest.newer ? "" : "id:", escaped);
    if (rh_vs_rest_ask(&t->rest, &c, &value, &why) < 0) {
        enum rh_error_id number = rh_error_number(why);

        if (number != RH_ERR_LIVE_RIGHTS && number != RH_ERR_LIVE_NOT_FOUND) {
            if (err && !*err)
                *err = RH_TAKE(why);
            rh_error_free(why);
            return NULL;
        }
        rh_error_free(why);
    }
    known = rh_vec_add(&n->list);
    known->id = rh_strdup(id);
    known->name = name_in(value);
    known->of =
        rh_strdup(json_string_value(json_object_get(value, "category_id")));
    return known;
}

/* "Env:Prod", to be freed; NULL without an error: it may not be read. */
static int spell(struct rh_vs_tags *t, const char *id, char **ret,
                 rh_error **err)
{
    const struct named *tag = know(t, &t->tags, "tag", id, err);
    const struct named *category = NULL;

    *ret = NULL;
    if (!tag)
        return -1;
    if (!tag->name || !tag->name[0])
        return 0;
    if (tag->of &&
        !(category = know(t, &t->categories, "category", tag->of, err)))
        return -1;
    *ret = category && category->name
               ? rh_printf("%s:%s", category->name, tag->name)
               : rh_strdup(tag->name);
    return 0;
}

/* --- a VM's
 * ------------------------------------------------------------------- */

struct spelled {
    RH_VEC(char *) list;
    size_t unread;
    bool more; /* than are looked at */
};

static void spelled_free(struct spelled *s)
{
    for (size_t i = 0; i < s->list.count; i++)
        free(s->list.items[i]);
    free(s->list.items);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In an order that does not change from one time to the next. */
static int spell_all(struct rh_vs_tags *t, const char *id, struct spelled *ret,
                     rh_error **err)
{
    rh_error *why = NULL;
    const struct tagged *v = tags_of(t, id, &why);

    if (why) {
        if (err && !*err)
            *err = RH_TAKE(why);
        rh_error_free(why);
        return -1;
    }
    for (size_t i = 0; v && i < v->tags.count && i < TAGS_MOST; i++) {
        char *text;

        if (spell(t, v->tags.items[i], &text, err) < 0)
            return -1;
        if (text)
            *rh_vec_add(&ret->list) = text;
        else
            ret->unread++;
    }
    ret->more = v && v->tags.count > TAGS_MOST;
    if (ret->list.count)
        qsort(ret->list.items, ret->list.count, sizeof *ret->list.items,
              by_text);
    return 0;
}

static void set_tags(const struct spelled *s, struct rh_vm *config,
                     struct rh_findings *findings)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (size_t i = 0; i < s->list.count; i++)
        rh_buf_printf(&b, "%s%s", i ? ";" : "", s->list.items[i]);
    if (b.length)
        rh_set_text(config, &config->tags, b.data, RH_FROM_VSPHERE, NULL);
    if (s->unread)
        rh_finding_add(findings, RH_F_LIVE_TAGS, "vm",
                       "tags that the user may not read: %zu", s->unread);
    if (s->more)
        rh_finding_add(findings, RH_F_LIVE_TAGS, "vm",
                       "the VM has more than %d tags: only the first were read",
                       TAGS_MOST);
}

int rh_vs_tags(struct rh_live_vm *vm, struct rh_vm *config,
               struct rh_findings *findings, rh_error **err)
{
    struct rh_vs *s = rh_vs_vm_session(vm);
    RH_AUTO(spelled_free) struct spelled spelled = {0};
    rh_error *why = NULL;
    int failed;

    if (!s->vcenter) {
        rh_finding_add(findings, RH_F_LIVE_TAGS, "vm",
                       "a host alone knows no tags: its vCenter, if it has "
                       "one, does");
        return 0;
    }
    pthread_mutex_lock(&s->tags->lock);
    failed = spell_all(s->tags, vm->id, &spelled, &why);
    pthread_mutex_unlock(&s->tags->lock);
    if (!failed) {
        set_tags(&spelled, config, findings);
        return 0;
    }
    failed = rh_error_number(why) == RH_ERR_CANCELLED ? -1 : 0;
    if (!failed)
        rh_finding_add(findings, RH_F_LIVE_TAGS, "vm",
                       "the tags could not be read: %s", rh_error_message(why));
    else if (err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    return failed;
}
