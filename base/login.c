/* login.c - who we are at a server. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/http.h"
#include "base/limits.h"

enum { FILE_MAX = 1024 * 1024 };

void rh_login_free(struct rh_login *l)
{
    rh_secret_free(l->user);
    rh_secret_free(l->password);
    rh_secret_free(l->token);
    free(l->pin);
    *l = (struct rh_login){0};
}

/* --- the file
 * ------------------------------------------------------------------ */

static int check_mode(int fd, rh_error **err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot look at it");
    if (!S_ISREG(st.st_mode))
        return rh_fail(err, RH_ERR_LOGIN_FILE, "is no regular file");
    if (st.st_mode & 077)
        return rh_fail(err, RH_ERR_LOGIN_MODE,
                       "others may read or write it (mode %04o)",
                       (unsigned)(st.st_mode & 07777));
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return rh_fail(err, RH_ERR_LOGIN_MODE, "it belongs to somebody else");
    if (st.st_size > FILE_MAX)
        return rh_fail(err, RH_ERR_LOGIN_FILE, "is too large");
    return 0;
}

/* Where the parser stands: depth 1 are hosts, depth 2 an entry's keys. */
struct reading {
    const char *authority;
    unsigned port; /* where it has none */
    char *host;    /* of it, without the port */
    unsigned depth;
    char *entry, *key; /* the last host, the last key in it */
    int rank;      /* of the entry: 0 another host, 1 "*", 2 host, 3 + port */
    int best;      /* of what was taken */
    unsigned keys; /* that the entry had, a bit each */
    unsigned documents; /* in the file */
    struct rh_login found;
};

/* A host's name has no case, and may end with a dot. */
static bool same_host(const char *entry, const char *host)
{
    RH_AUTO(rh_freep)
    char *name = entry[0] == '[' ? rh_http_host_alone(entry) : rh_strdup(entry);
    size_t n = strlen(name), m = strlen(host);

    n -= n > 1 && name[n - 1] == '.';
    m -= m > 1 && host[m - 1] == '.';
    return n == m && !strncasecmp(name, host, n);
}

static bool same_server(const struct reading *r, const char *entry)
{
    RH_AUTO(rh_freep) char *a = rh_http_identity(entry, r->port);
    RH_AUTO(rh_freep) char *b = rh_http_identity(r->authority, r->port);

    return !strcmp(a, b);
}

static int rank_of(const struct reading *r, const char *entry)
{
    const char *end = strchr(entry, ']');

    if (!strcmp(entry, r->authority) ||
        (strchr(end ? end : entry, ':') && same_server(r, entry)))
        return 3;
    if (same_host(entry, r->host))
        return 2;
    return !strcmp(entry, "*") ? 1 : 0;
}

static void replace(struct rh_secret **slot, const char *text)
{
    rh_secret_free(*slot);
    *slot = rh_secret_new(text);
}

/* Of two, either could be meant. */
static int twice(const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_LOGIN_FILE, "\"%s\" stands in it twice", what);
}

static int take_value(struct reading *r, const char *value, rh_error **err)
{
    struct rh_login *l = &r->found;
    struct {
        const char *key;
        struct rh_secret **slot;
    } all[] = {{"user", &l->user},
               {"password", &l->password},
               {"token", &l->token},
               {"pin", NULL}};
    size_t i = 0;

    while (i < RH_COUNT(all) && strcmp(r->key, all[i].key))
        i++;
    if (i == RH_COUNT(all))
        return rh_fail(err, RH_ERR_LOGIN_FILE, "there is no key \"%s\"",
                       r->key);
    if (r->keys >> i & 1)
        return twice(r->key, err);
    r->keys |= 1U << i;
    if (!r->rank)
        return 0;
    if (all[i].slot)
        replace(all[i].slot, value);
    else
        l->pin = rh_strdup(value);
    return 0;
}

/* An entry that fits better replaces what an earlier one gave. */
static int begin_entry(struct reading *r, rh_error **err)
{
    r->keys = 0;
    r->rank = r->entry ? rank_of(r, r->entry) : 0;
    if (r->rank && r->rank == r->best)
        return twice(r->entry, err);
    if (r->rank < r->best)
        r->rank = 0;
    if (!r->rank)
        return 0;
    rh_login_free(&r->found);
    r->best = r->rank;
    return 0;
}

static int take_scalar(struct reading *r, const char *text, rh_error **err)
{
    char **name = r->depth == 1 ? &r->entry : &r->key;

    if (r->depth != 1 && r->depth != 2)
        return rh_fail(err, RH_ERR_LOGIN_FILE, "is no list of hosts");
    if (r->depth == 1 || !r->key) {
        free(*name);
        *name = rh_strdup(text);
        return 0;
    }
    if (take_value(r, text, err) < 0)
        return -1;
    free(r->key);
    r->key = NULL;
    return 0;
}

static int take_event(struct reading *r, const yaml_event_t *e, rh_error **err)
{
    switch (e->type) {
    case YAML_MAPPING_START_EVENT:
        if (++r->depth > 2)
            return rh_fail(err, RH_ERR_LOGIN_FILE,
                           "an entry holds keys and texts only");
        return r->depth == 2 ? begin_entry(r, err) : 0;
    case YAML_DOCUMENT_START_EVENT:
        return r->documents++ ? rh_fail(err, RH_ERR_LOGIN_FILE,
                                        "it holds several documents")
                              : 0;
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return 0;
    case YAML_SCALAR_EVENT:
        return take_scalar(r, (const char *)e->data.scalar.value, err);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_ALIAS_EVENT:
        return rh_fail(err, RH_ERR_LOGIN_FILE,
                       "an entry holds keys and texts only");
    default:
        return 0;
    }
}

static int read_events(FILE *f, struct reading *r, rh_error **err)
{
    yaml_parser_t parser;
    bool end = false;
    int failed = 0;

    if (!yaml_parser_initialize(&parser))
        return rh_fail(err, RH_ERR_MEMORY, "no memory for a parser");
    yaml_parser_set_input_file(&parser, f);
    while (!failed && !end) {
        yaml_event_t e;

        if (!yaml_parser_parse(&parser, &e)) {
            failed = rh_fail(err, RH_ERR_LOGIN_FILE, "line %zu is no YAML",
                             parser.problem_mark.line + 1);
            break;
        }
        end = e.type == YAML_STREAM_END_EVENT;
        failed = take_event(r, &e, err);
        if (e.type == YAML_SCALAR_EVENT)
            rh_wipe(e.data.scalar.value, e.data.scalar.length);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return failed;
}

static int read_file(const struct rh_login_source *s, const char *authority,
                     struct rh_login *ret, rh_error **err)
{
    const char *path = s->file;
    struct reading r = {.authority = authority,
                        .port = s->port,
                        .host = rh_http_host_alone(authority)};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    FILE *f = NULL;
    int failed = -1;

    if (fd < 0)
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open it");
    else if (check_mode(fd, err) == 0 && (f = fdopen(fd, "r")))
        failed = read_events(f, &r, err);
    if (f)
        fclose(f);
    else if (fd >= 0)
        close(fd);
    free(r.host);
    free(r.entry);
    free(r.key);
    if (failed) {
        rh_login_free(&r.found);
        return rh_error_subject(err, path);
    }
    *ret = r.found;
    return 0;
}

/* --- the environment, a prompt
 * --------------------------------------------------- */

/* An empty variable counts as unset. */
static struct rh_secret *from_environment(const char *prefix, const char *name)
{
    RH_AUTO(rh_freep) char *variable = rh_printf("%s%s", prefix, name);
    const char *value = secure_getenv(variable);

    return value && value[0] ? rh_secret_new(value) : NULL;
}

static void ask(rh_lib *lib, const char *question, const char *authority,
                bool hidden, struct rh_secret **ret)
{
    RH_AUTO(rh_freep) char *text = rh_printf(_(question), authority);
    RH_AUTO(rh_wipe_freep) char *answer = NULL;

    if (!lib || !lib->ask)
        return;
    answer = lib->ask(lib->ask_user, text, hidden);
    if (answer && answer[0])
        replace(ret, answer);
}

static void ask_all(const struct rh_login_source *s, const char *authority,
                    struct rh_login *l)
{
    if (s->wants_token) {
        ask(s->lib, N_("Token for %s: "), authority, true, &l->token);
        return;
    }
    if (!l->user)
        ask(s->lib, N_("User at %s: "), authority, false, &l->user);
    if (l->user)
        ask(s->lib, N_("Password at %s: "), authority, true, &l->password);
}

int rh_login_find(const struct rh_login_source *s, const char *authority,
                  struct rh_login *ret, rh_error **err)
{
    struct rh_login l = {0};

    if (s->file && read_file(s, authority, &l, err) < 0)
        return -1;
    if (!l.token && !l.password) {
        if (!l.user)
            l.user = from_environment(s->prefix, "USER");
        l.password = from_environment(s->prefix, "PASSWORD");
        l.token = from_environment(s->prefix, "TOKEN");
    }
    if (!l.token && !l.password)
        ask_all(s, authority, &l);
    *ret = l;
    if (l.token || (l.password && l.user))
        return 0;
    rh_login_free(ret);
    rh_fail(err, RH_ERR_LOGIN_MISSING, "no log-in is known for %s", authority);
    return rh_hint(err,
                   "give --login FILE, or %sUSER and %sPASSWORD, or "
                   "%sTOKEN",
                   s->prefix, s->prefix, s->prefix);
}
