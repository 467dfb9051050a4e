/* soap.c - calls of the vSphere API: the session, what its faults mean.
 *
 * A log-in is tried once: ESXi locks a user out after a few wrong passwords.
 * A session that has ended on the server is begun anew once for a call, with
 * the same log-in.  A thread of the session calls now and then, so that it
 * outlives a long copy, and so that export leases do. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/wait.h"
#include "live/vsphere/tags.h"

enum {
    ANSWER_MOST = 256 * 1024 * 1024, /* bytes */
    ALIVE_EVERY = 300,               /* seconds; a session lives 1800 idle */
    BEAT_TICK_MS = 1000,
    DATA_MOST = 4, /* connections for disks: a host's web server has 128 for
                      all, vCenter, backups and replication among them */
};

struct rh_vs *rh_vs_of(const struct rh_live *live)
{
    return live->state;
}

/* --- faults -----------------------------------------------------------------
 */

static const struct {
    const char *type;
    enum rh_error_id id;
} faults[] = {
    {"FileLocked", RH_ERR_LIVE_BUSY},
    {"InvalidLogin", RH_ERR_LOGIN_REFUSED},
    {"InvalidPowerState", RH_ERR_LIVE_RUNNING},
    {"ManagedObjectNotFound", RH_ERR_LIVE_NOT_FOUND},
    {"NoPermission", RH_ERR_LIVE_RIGHTS},
    {"NotAuthenticated", RH_ERR_LOGIN_REFUSED},
    {"ResourceInUse", RH_ERR_LIVE_BUSY},
    {"RestrictedVersion", RH_ERR_LIVE_LICENCE},
    {"TaskInProgress", RH_ERR_LIVE_BUSY},
    {"ToolsUnavailable", RH_ERR_LIVE_NO_TOOLS},
};

static enum rh_error_id meaning_of(const char *type)
{
    for (size_t i = 0; i < RH_COUNT(faults); i++)
        if (!strcmp(faults[i].type, type))
            return faults[i].id;
    return RH_ERR_LIVE_FAULT;
}

static void hint_for(const struct rh_vs *s, const char *what, const char *type,
                     rh_error **err)
{
    bool refused = !strcmp(what, "Login") && !strcmp(type, "NoPermission");

    if (!strcmp(type, "InvalidLogin") && !s->vcenter)
        rh_hint(err, "check the user and the password before the next try: "
                     "ESXi locks a user out for 15 minutes after five wrong "
                     "ones");
    else if (refused && s->vcenter)
        rh_hint(err, "the password is right, but the user has no role there: "
                     "see docs/live.md for the privileges");
    else if (refused)
        rh_hint(err, "the password is right, but the user may not log in: "
                     "where the host is in lockdown mode, name its vCenter as "
                     "the source, or make the user an exception on the host");
    else if (!strcmp(type, "NotAuthenticated"))
        rh_hint(err, "the session has ended; run the command again");
}

/* `fault` is the element with the fault's type and fields. */
static int say_fault(struct rh_vs *s, struct rh_vs_call *c,
                     const xmlNode *fault, const char *text, rh_error **err)
{
    RH_AUTO(rh_freep) char *type = rh_vs_type(fault);
    const char *property = rh_vs_text_at(fault, "invalidProperty");

    snprintf(c->fault, sizeof c->fault, "%.63s", type[0] ? type : "?");
    snprintf(c->property, sizeof c->property, "%.63s", property);
    return rh_vs_fault(s, c->method, fault, text, err);
}

int rh_vs_fault(struct rh_vs *s, const char *what, const xmlNode *fault,
                const char *text, rh_error **err)
{
    RH_AUTO(rh_freep) char *type = rh_vs_type(fault);
    const char *privilege = rh_vs_text_at(fault, "privilegeId");

    if (!strcmp(type, "NoPermission") && privilege[0])
        rh_fail(err, RH_ERR_LIVE_RIGHTS,
                "%s: the user lacks the privilege %.100s", what, privilege);
    else
        rh_fail(err, meaning_of(type), "%s: %.300s (%.60s)", what,
                text[0] ? text : "?", type[0] ? type : "?");
    hint_for(s, what, type, err);
    return rh_error_subject(err, s->live->remote.text);
}

static xmlNode *first_element(const xmlNode *node)
{
    xmlNode *child = node ? node->children : NULL;

    while (child && child->type != XML_ELEMENT_NODE)
        child = child->next;
    return child;
}

xmlNode *rh_vs_response(const xmlDoc *doc)
{
    xmlNode *root = doc ? xmlDocGetRootElement((xmlDoc *)(uintptr_t)doc) : NULL;

    return first_element(rh_vs_child(root, "Body"));
}

/* --- one call ---------------------------------------------------------------
 */

static struct rh_secret *envelope(const struct rh_vs_call *c)
{
    RH_AUTO(rh_buf_free) struct rh_buf head = {0};
    RH_AUTO(rh_freep)
    char *tail = rh_printf("</%s></s:Body></s:Envelope>", c->method);
    const char *body = c->words ? rh_secret_text(c->words) : c->body;

    rh_buf_printf(&head,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
                  "<s:Envelope "
                  "xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
                  "xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" "
                  "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">"
                  "<s:Body><%s xmlns=\"urn:vim25\"><_this type=\"%s\">",
                  c->method, c->type);
    rh_vs_escape(&head, c->id);
    rh_buf_puts(&head, "</_this>");
    return rh_secret_join(head.data, body ? body : "", tail, NULL);
}

static int send_call(struct rh_vs *s, struct rh_vs_call *c,
                     struct rh_http_answer *ret, rh_error **err)
{
    /* At least 6.0, or leases come in an old shape. */
    RH_AUTO(rh_freep)
    char *action = rh_printf("SOAPAction: \"urn:vim25/%s\"",
                             s->speaks ? s->speaks : "6.0");
    const char *const headers[] = {action, NULL};
    RH_AUTO(rh_secret_freep) struct rh_secret *whole = NULL;
    struct rh_http_request r = {.method = "POST",
                                .path = "/sdk",
                                .type = "text/xml; charset=utf-8",
                                .headers = headers,
                                .limit = ANSWER_MOST,
                                .silence = 300,
                                .again = c->again};
    struct rh_live *live = s->live;
    int failed;

    whole = envelope(c);
    r.body = rh_secret_text(whole);
    if (!r.body)
        return rh_fail(err, RH_ERR_BUG, "a request is too long");
    r.size = strlen(r.body);
    pthread_mutex_lock(&live->lock);
    rh_http_set_lib(live->remote.http, c->cleanup ? NULL : &live->lib);
    failed = rh_http_do(live->remote.http, &r, ret, err);
    if (!failed && ret->status != 200 && ret->status != 500)
        failed = rh_http_refuse(live->remote.http, &r, ret, NULL, err);
    pthread_mutex_unlock(&live->lock);
    return failed;
}

static xmlDoc *call_once(struct rh_vs *s, struct rh_vs_call *c, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    xmlNode *body;

    c->fault[0] = c->property[0] = '\0';
    if (send_call(s, c, &a, err) < 0)
        return NULL;
    doc = rh_vs_xml(a.body.data ? a.body.data : "", a.body.length, err);
    body = rh_vs_response(doc);
    if (rh_vs_is(body, "Fault")) {
        say_fault(s, c, first_element(rh_vs_child(body, "detail")),
                  rh_vs_text_at(body, "faultstring"), err);
        return NULL;
    }
    if (doc && (a.status != 200 || !body))
        rh_fail(err, RH_ERR_LIVE_ANSWER, "%s: the server's answer is no answer",
                c->method);
    if (!doc || a.status != 200 || !body) {
        rh_error_subject(err, s->live->remote.text);
        return NULL;
    }
    return RH_TAKE(doc);
}

static int log_in(struct rh_vs *s, bool cleanup, rh_error **err);
static void say_logout(struct rh_vs *s);

/* The session that `was` there has ended.  Of several threads that see it one
 * begins a new one; what was refused once is not tried again. */
static bool log_in_again(struct rh_vs *s, unsigned was, bool cleanup,
                         bool may_live)
{
    rh_error *why = NULL;
    bool good;

    pthread_mutex_lock(&s->login_lock);
    if (may_live && !s->refused && s->logins == was)
        say_logout(s); /* a 401 may be about a right: none is left there */
    if (!s->refused && s->logins == was && log_in(s, cleanup, &why) == 0)
        s->logins++;
    s->refused |= rh_error_number(why) == RH_ERR_LOGIN_REFUSED;
    good = s->logins != was;
    pthread_mutex_unlock(&s->login_lock);
    rh_error_free(why);
    return good;
}

static unsigned logins_of(struct rh_vs *s)
{
    return atomic_load(&s->logins);
}

/* For files that are read while the session ends: rh_http_on_ended(). */
static bool renew(void *user, unsigned *login, void (*read)(void *), void *arg)
{
    struct rh_vs *s = user;
    unsigned now = logins_of(s);

    if (now == *login && !log_in_again(s, now, false, true))
        return false;
    pthread_mutex_lock(&s->live->lock);
    *login = logins_of(s);
    read(arg);
    pthread_mutex_unlock(&s->live->lock);
    return true;
}

xmlDoc *rh_vs_call(struct rh_vs *s, struct rh_vs_call *c, rh_error **err)
{
    unsigned logins = logins_of(s);
    rh_error *first = NULL;
    xmlDoc *doc = call_once(s, c, &first);

    if (!doc && s->live->is_open && !strcmp(c->fault, "NotAuthenticated") &&
        log_in_again(s, logins, c->cleanup, false)) {
        rh_error_drop(&first);
        doc = call_once(s, c, &first);
    }
    if (!doc && err && !*err)
        *err = RH_TAKE(first);
    rh_error_free(first);
    return doc;
}

int rh_vs_do(struct rh_vs *s, struct rh_vs_call *c, rh_error **err)
{
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = rh_vs_call(s, c, err);

    return doc ? 0 : -1;
}

/* --- the session ------------------------------------------------------------
 */

static int take_refs(struct rh_vs *s, const xmlNode *content, rh_error **err)
{
    if (rh_vs_ref_of(rh_vs_child(content, "rootFolder"), &s->root) &&
        rh_vs_ref_of(rh_vs_child(content, "propertyCollector"),
                     &s->collector) &&
        rh_vs_ref_of(rh_vs_child(content, "sessionManager"), &s->sessions) &&
        rh_vs_ref_of(rh_vs_child(content, "viewManager"), &s->views) &&
        rh_vs_ref_of(rh_vs_child(content, "searchIndex"), &s->search)) {
        rh_vs_ref_of(rh_vs_child(content, "authorizationManager"), &s->rights);
        return 0;
    }
    rh_fail(err, RH_ERR_LIVE_ANSWER,
            "the server does not tell what a vSphere tells");
    return rh_error_subject(err, s->live->remote.text);
}

/* An old version hides what came later (Secure Boot 6.5, vTPM 6.7, SEV 7.0), a
 * new one is not understood by an old server. */
static char *version_to_speak(const char *api)
{
    static const char *const known[] = {"6.7", "6.5"};
    RH_AUTO(rh_freep) char *major = rh_strndup(api, strcspn(api, "."));
    uint64_t n = 0;

    if (rh_parse_u64(major, &n) && n >= 7)
        return rh_strdup(
            n > 8 && strspn(api, "0123456789.") == strlen(api) ? api : "7.0");
    for (size_t i = 0; i < RH_COUNT(known); i++)
        if (!strncmp(api, known[i], 3))
            return rh_strdup(known[i]);
    return NULL;
}

static int meet(struct rh_vs *s, rh_error **err)
{
    struct rh_vs_call c = {.method = "RetrieveServiceContent",
                           .type = "ServiceInstance",
                           .id = "ServiceInstance",
                           .again = true};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = rh_vs_call(s, &c, err);
    const xmlNode *content = rh_vs_child(rh_vs_response(doc), "returnval");

    if (!doc || take_refs(s, content, err) < 0)
        return -1;
    s->vcenter =
        !strcmp(rh_vs_text_at(content, "about/apiType"), "VirtualCenter");
    s->api = rh_strdup(rh_vs_text_at(content, "about/apiVersion"));
    s->speaks = version_to_speak(s->api);
    s->version = rh_strdup(rh_vs_text_at(content, "about/version"));
    s->name = rh_printable(rh_vs_text_at(content, "about/fullName"));
    return 0;
}

/* Older ones speak TLS 1.0 at most, and other words. */
static int check_version(const struct rh_vs *s, rh_error **err)
{
    uint64_t major = 0;
    RH_AUTO(rh_freep)
    char *text = rh_strndup(s->version, strcspn(s->version, "."));

    if (rh_parse_u64(text, &major) && major >= 6)
        return 0;
    rh_fail(err, RH_ERR_LIVE_ANSWER, "%s is too old: 6.0 and later are read",
            s->name);
    rh_hint(err, "export the VM there as an OVF, and convert that");
    return rh_error_subject(err, s->live->remote.text);
}

static void add_escaped(struct rh_buf *b, const char *tag,
                        const struct rh_secret *text)
{
    rh_buf_printf(b, "<%s>", tag);
    rh_vs_escape(b, rh_secret_text(text) ? rh_secret_text(text) : "");
    rh_buf_printf(b, "</%s>", tag);
}

static int log_in(struct rh_vs *s, bool cleanup, rh_error **err)
{
    const struct rh_login *l = &s->live->remote.login;
    struct rh_vs_call c = {.method = "Login",
                           .type = s->sessions.type,
                           .id = s->sessions.id,
                           .cleanup = cleanup};
    RH_AUTO(rh_secret_freep) struct rh_secret *words = NULL;
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    struct rh_buf b = {0};

    /* At its final length from the start: nothing is left where it grew. */
    rh_buf_more(&b, 8 * RH_SECRET_MAX);
    b.length = 0;
    add_escaped(&b, "userName", l->user);
    add_escaped(&b, "password", l->password);
    words = rh_secret_new(b.data);
    rh_wipe(b.data, b.length);
    rh_buf_free(&b);
    c.words = words;
    doc = call_once(s, &c, err);
    return doc ? 0 : -1;
}

static int check_login(const struct rh_live *live, rh_error **err)
{
    if (live->remote.login.user && live->remote.login.password)
        return 0;
    rh_fail(err, RH_ERR_LOGIN_MISSING,
            "vSphere takes a user and a password, no token");
    return rh_error_subject(err, live->remote.text);
}

static void say_logout(struct rh_vs *s)
{
    struct rh_vs_call c = {.method = "Logout",
                           .type = s->sessions.type,
                           .id = s->sessions.id,
                           .cleanup = true};
    xmlDoc *doc = call_once(s, &c, NULL);

    rh_vs_doc_freep(&doc);
}

/* --- the thread that keeps it alive ------------------------------------------
 */

static int say_alive(void *user, struct rh_vs *s)
{
    struct rh_vs_call c = {.method = "CurrentTime",
                           .type = "ServiceInstance",
                           .id = "ServiceInstance"};

    (void)user;
    return rh_vs_do(s, &c, NULL);
}

/* The list is locked: who takes a beat away waits until it has ended. */
static void beat_all(struct rh_vs *s)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    for (size_t i = 0; i < s->beats.count; i++) {
        struct rh_vs_beat *b = s->beats.items[i];

        if (now.tv_sec - b->last < (time_t)b->seconds)
            continue;
        b->last = now.tv_sec;
        b->beat(b->user, s);
    }
}

static void *keep_alive(void *user)
{
    struct rh_vs *s = user;
    struct rh_vs_beat alive = {.beat = say_alive, .seconds = ALIVE_EVERY};
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    alive.last = now.tv_sec;
    pthread_mutex_lock(&s->beats_lock);
    *rh_vec_add(&s->beats) = &alive;
    while (!s->ending) {
        rh_wait_cond(&s->beats_news, &s->beats_lock, BEAT_TICK_MS);
        if (!s->ending)
            beat_all(s);
    }
    pthread_mutex_unlock(&s->beats_lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static void start_beating(struct rh_vs *s)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->beating = pthread_create(&s->thread, NULL, keep_alive, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_beating(struct rh_vs *s)
{
    if (!s->beating)
        return;
    pthread_mutex_lock(&s->beats_lock);
    s->ending = true;
    pthread_cond_broadcast(&s->beats_news);
    pthread_mutex_unlock(&s->beats_lock);
    pthread_join(s->thread, NULL);
}

void rh_vs_beat_add(struct rh_vs *s, struct rh_vs_beat *b)
{
    pthread_mutex_lock(&s->beats_lock);
    *rh_vec_add(&s->beats) = b;
    pthread_mutex_unlock(&s->beats_lock);
}

void rh_vs_beat_remove(struct rh_vs *s, struct rh_vs_beat *b)
{
    pthread_mutex_lock(&s->beats_lock);
    for (size_t i = 0; i < s->beats.count; i++)
        if (s->beats.items[i] == b)
            s->beats.items[i--] = s->beats.items[--s->beats.count];
    pthread_mutex_unlock(&s->beats_lock);
}

/* --- opening and closing -----------------------------------------------------
 */

int rh_vs_open(struct rh_live *live, rh_error **err)
{
    struct rh_vs *s = rh_new0(struct rh_vs);

    live->state = s;
    s->live = live;
    pthread_mutex_init(&s->beats_lock, NULL);
    pthread_mutex_init(&s->cache_lock, NULL);
    pthread_mutex_init(&s->login_lock, NULL);
    rh_wait_cond_init(&s->beats_news);
    s->tags = rh_vs_tags_new(s);
    if (check_login(live, err) < 0 || meet(s, err) < 0 ||
        check_version(s, err) < 0 || log_in(s, false, err) < 0)
        return -1;
    rh_http_on_ended(live->remote.http, renew, s);
    rh_http_set_most(live->remote.http, DATA_MOST);
    start_beating(s);
    return 0;
}

static void free_places(struct rh_vs *s)
{
    for (size_t i = 0; i < s->places.count; i++) {
        free(s->places.items[i].type);
        free(s->places.items[i].id);
        free(s->places.items[i].name);
        free(s->places.items[i].parent);
        free(s->places.items[i].terms);
    }
    free(s->places.items);
    for (size_t i = 0; i < s->names.count; i++) {
        free(s->names.items[i].id);
        free(s->names.items[i].name);
        free(s->names.items[i].uuid);
        free(s->names.items[i].instance);
    }
    free(s->names.items);
    pthread_mutex_destroy(&s->cache_lock);
}

void rh_vs_close(struct rh_live *live)
{
    struct rh_vs *s = live->state;

    if (!s)
        return;
    stop_beating(s);
    rh_vs_tags_free(s->tags);
    if (live->is_open)
        say_logout(s);
    rh_vs_ref_free(&s->root);
    rh_vs_ref_free(&s->collector);
    rh_vs_ref_free(&s->sessions);
    rh_vs_ref_free(&s->views);
    rh_vs_ref_free(&s->search);
    rh_vs_ref_free(&s->rights);
    free_places(s);
    free(s->beats.items);
    pthread_cond_destroy(&s->beats_news);
    pthread_mutex_destroy(&s->beats_lock);
    pthread_mutex_destroy(&s->login_lock);
    free(s->speaks);
    free(s->version);
    free(s->api);
    free(s->name);
    free(s);
    live->state = NULL;
}
