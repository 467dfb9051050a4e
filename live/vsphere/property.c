/* property.c - properties of managed objects, in pages; tasks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/wait.h"
#include "live/vsphere/vsphere.h"

enum {
    PAGE = 100,         /* objects */
    PAGES_MOST = 10000, /* of one query: a server that never ends */
    POLL_MS = 200,      /* of a task, at first; */
    POLL_MOST_MS = 2000,
    SETTLE = 120, /* seconds that a task is waited for after a cancel */
};

/* --- pages ------------------------------------------------------------------
 */

static void add_paths(struct rh_buf *b, const struct rh_vs_query *q)
{
    rh_buf_printf(b, "<propSet><type>%s</type><all>false</all>", q->type);
    for (size_t i = 0; q->paths[i]; i++)
        rh_buf_printf(b, "<pathSet>%s</pathSet>", q->paths[i]);
    rh_buf_puts(b, "</propSet>");
}

static void add_object(struct rh_buf *b, const char *type, const char *id)
{
    rh_buf_printf(b, "<objectSet><obj type=\"%s\">", type);
    rh_vs_escape(b, id);
    rh_buf_puts(b, "</obj><skip>false</skip></objectSet>");
}

static void add_view(struct rh_buf *b, const char *view)
{
    rh_buf_puts(b, "<objectSet><obj type=\"ContainerView\">");
    rh_vs_escape(b, view);
    rh_buf_puts(b, "</obj><skip>true</skip>"
                   "<selectSet xsi:type=\"TraversalSpec\">"
                   "<type>ContainerView</type><path>view</path>"
                   "<skip>false</skip></selectSet></objectSet>");
}

static int each_object(const xmlNode *list, rh_vs_object_fn *fn, void *user,
                       rh_error **err)
{
    for (xmlNode *o = rh_vs_child(list, "objects"); o; o = rh_vs_next(o))
        if (fn(user, o, err) < 0)
            return -1;
    return 0;
}

/* The pages after the first. */
static int retrieve_rest(struct rh_vs *s, const char *first,
                         rh_vs_object_fn *fn, void *user, rh_error **err)
{
    RH_AUTO(rh_freep) char *token = rh_strdup(first);

    for (unsigned n = 0; token[0]; n++) {
        RH_AUTO(rh_buf_free) struct rh_buf body = {0};
        RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
        struct rh_vs_call c = {.method = "ContinueRetrievePropertiesEx",
                               .type = s->collector.type,
                               .id = s->collector.id};
        const xmlNode *list;

        if (n == PAGES_MOST)
            return rh_fail(err, RH_ERR_LIVE_ANSWER,
                           "the server's list does not end");
        rh_buf_puts(&body, "<token>");
        rh_vs_escape(&body, token);
        rh_buf_puts(&body, "</token>");
        c.body = body.data;
        doc = rh_vs_call(s, &c, err);
        list = rh_vs_child(rh_vs_response(doc), "returnval");
        if (!doc || each_object(list, fn, user, err) < 0)
            return -1;
        free(token);
        token = rh_strdup(rh_vs_text_at(list, "token"));
    }
    return 0;
}

static int retrieve(struct rh_vs *s, const struct rh_vs_query *q, size_t from,
                    size_t count, rh_vs_object_fn *fn, void *user,
                    rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    struct rh_vs_call c = {.method = "RetrievePropertiesEx",
                           .type = s->collector.type,
                           .id = s->collector.id,
                           .again = true};
    RH_AUTO(rh_freep) char *token = NULL;
    const xmlNode *list;
    int failed;

    rh_buf_puts(&body, "<specSet>");
    add_paths(&body, q);
    for (size_t i = from; i < from + count; i++)
        add_object(&body, q->type, q->ids[i]);
    if (q->view)
        add_view(&body, q->view);
    rh_buf_printf(&body,
                  "</specSet><options><maxObjects>%d</maxObjects></options>",
                  PAGE);
    c.body = body.data;
    doc = rh_vs_call(s, &c, err);
    if (!doc)
        return -1;
    list = rh_vs_child(rh_vs_response(doc), "returnval");
    token = rh_strdup(rh_vs_text_at(list, "token"));
    failed = each_object(list, fn, user, err);
    rh_vs_doc_freep(&doc); /* before the next page is here */
    doc = NULL;
    return failed ? failed : retrieve_rest(s, token, fn, user, err);
}

int rh_vs_retrieve(struct rh_vs *s, const struct rh_vs_query *q,
                   rh_vs_object_fn *fn, void *user, rh_error **err)
{
    if (q->view)
        return retrieve(s, q, 0, 0, fn, user, err);
    for (size_t from = 0; from < q->count; from += PAGE)
        if (retrieve(s, q, from, RH_MIN(q->count - from, (size_t)PAGE), fn,
                     user, err) < 0)
            return -1;
    return 0;
}

/* --- one object -------------------------------------------------------------
 */

xmlNode *rh_vs_object(struct rh_vs *s, const char *type, const char *id,
                      const char *const *paths, xmlDoc **ret_doc,
                      rh_error **err)
{
    struct rh_vs_query q = {.type = type, .paths = paths};
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    struct rh_vs_call c = {.method = "RetrievePropertiesEx",
                           .type = s->collector.type,
                           .id = s->collector.id,
                           .again = true};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    xmlNode *object;

    rh_buf_puts(&body, "<specSet>");
    add_paths(&body, &q);
    add_object(&body, type, id);
    rh_buf_puts(&body, "</specSet><options/>");
    c.body = body.data;
    doc = rh_vs_call(s, &c, err);
    if (!doc)
        return NULL;
    object = rh_vs_at(rh_vs_response(doc), "returnval/objects");
    if (!object) {
        rh_fail(err, RH_ERR_LIVE_NOT_FOUND, "there is no object \"%.200s\"",
                id);
        rh_error_subject(err, s->live->remote.text);
        return NULL;
    }
    *ret_doc = RH_TAKE(doc);
    return object;
}

xmlNode *rh_vs_property(const xmlNode *object, const char *name)
{
    for (xmlNode *p = rh_vs_child(object, "propSet"); p; p = rh_vs_next(p))
        if (!strcmp(rh_vs_text_at(p, "name"), name))
            return rh_vs_child(p, "val");
    return NULL;
}

/* --- views ------------------------------------------------------------------
 */

int rh_vs_view(struct rh_vs *s, const char *container_type,
               const char *container, const char *types, char **ret_id,
               rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    RH_AUTO(rh_vs_ref_free) struct rh_vs_ref view = {0};
    struct rh_vs_call c = {.method = "CreateContainerView",
                           .type = s->views.type,
                           .id = s->views.id,
                           .again = true};

    rh_buf_printf(&body, "<container type=\"%s\">", container_type);
    rh_vs_escape(&body, container);
    rh_buf_puts(&body, "</container>");
    for (const char *p = types; *p;) {
        size_t n = strcspn(p, " ");

        rh_buf_printf(&body, "<type>%.*s</type>", (int)n, p);
        p += n + (p[n] == ' ');
    }
    rh_buf_puts(&body, "<recursive>true</recursive>");
    c.body = body.data;
    doc = rh_vs_call(s, &c, err);
    if (!doc)
        return -1;
    if (!rh_vs_ref_of(rh_vs_child(rh_vs_response(doc), "returnval"), &view))
        return rh_fail(err, RH_ERR_LIVE_ANSWER, "the server makes no view");
    *ret_id = RH_TAKE(view.id);
    return 0;
}

void rh_vs_view_end(struct rh_vs *s, const char *id)
{
    struct rh_vs_call c = {.method = "DestroyView",
                           .type = "ContainerView",
                           .id = id,
                           .cleanup = true};

    rh_vs_do(s, &c, NULL);
}

/* --- tasks ------------------------------------------------------------------
 */

struct waiting {
    struct rh_vs *s;
    const char *task;
    bool cleanup;
};

/* 1: it runs; 0: it is done. */
static int look_at_task(const struct waiting *w, char **ret_result,
                        rh_error **err)
{
    static const char *const paths[] = {"info.state", "info.error",
                                        "info.result", NULL};
    struct rh_vs_query q = {.type = "Task", .paths = paths};
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    struct rh_vs_call c = {.method = "RetrievePropertiesEx",
                           .type = w->s->collector.type,
                           .id = w->s->collector.id,
                           .again = true,
                           .cleanup = w->cleanup};
    const xmlNode *object, *error;
    const char *state;

    rh_buf_puts(&body, "<specSet>");
    add_paths(&body, &q);
    add_object(&body, "Task", w->task);
    rh_buf_puts(&body, "</specSet><options/>");
    c.body = body.data;
    doc = rh_vs_call(w->s, &c, err);
    if (!doc)
        return -1;
    object = rh_vs_at(rh_vs_response(doc), "returnval/objects");
    state = rh_vs_text(rh_vs_property(object, "info.state"));
    if (!strcmp(state, "success")) {
        if (ret_result)
            *ret_result =
                rh_strdup(rh_vs_text(rh_vs_property(object, "info.result")));
        return 0;
    }
    if (!strcmp(state, "queued") || !strcmp(state, "running"))
        return 1;
    error = rh_vs_property(object, "info.error");
    return rh_vs_fault(w->s, "the task", rh_vs_child(error, "fault"),
                       rh_vs_text_at(error, "localizedMessage"), err);
}

static int nap(const struct waiting *w, unsigned ms, rh_error **err)
{
    rh_lib *lib = w->cleanup ? NULL : &w->s->live->lib;

    for (unsigned slept = 0; slept < ms; slept += 100)
        if (rh_wait_nap(lib, err) < 0)
            return -1;
    return 0;
}

/* With a limit in seconds; 0: none. */
static int wait_for(const struct waiting *w, time_t limit, char **ret_result,
                    rh_error **err)
{
    unsigned ms = POLL_MS;
    time_t end = time(NULL) + limit;

    for (;;) {
        int state = look_at_task(w, ret_result, err);

        if (state <= 0)
            return state;
        if (limit && time(NULL) > end)
            return rh_fail(err, RH_ERR_LIVE_BUSY, "the task does not end");
        if (nap(w, ms, err) < 0)
            return -1;
        ms = RH_MIN(ms * 2, (unsigned)POLL_MOST_MS);
    }
}

int rh_vs_task(struct rh_vs *s, struct rh_vs_call *c, bool settle,
               char **ret_result, rh_error **err)
{
    struct waiting w = {.s = s, .cleanup = c->cleanup};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    RH_AUTO(rh_vs_ref_free) struct rh_vs_ref task = {0};
    rh_error *why = NULL;
    int failed;

    if (!c->cleanup && rh_go_on(&s->live->lib, err) < 0)
        return -1;
    /* It answers at once.  Cut off in the middle it would have begun all the
     * same, and nobody knew what. */
    c->cleanup |= settle;
    doc = rh_vs_call(s, c, err);
    c->cleanup = w.cleanup;
    if (!doc)
        return -1;
    if (!rh_vs_ref_of(rh_vs_child(rh_vs_response(doc), "returnval"), &task))
        return rh_fail(err, RH_ERR_LIVE_ANSWER, "%s starts no task", c->method);
    w.task = task.id;
    failed = wait_for(&w, c->cleanup ? SETTLE : 0, ret_result, &why);
    if (failed && settle && rh_error_number(why) == RH_ERR_CANCELLED) {
        w.cleanup = true;
        wait_for(&w, SETTLE, ret_result, NULL);
    }
    if (failed && err && !*err) {
        *err = RH_TAKE(why);
        rh_error_context(err, "%s", c->method);
    }
    rh_error_free(why);
    return failed;
}
