/* library.c - the public rh_lib and what it can tell of itself. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <jansson.h>
#include <libxml/parser.h>
#include <libxml/xmlversion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cores.h"
#include "base/codec.h"
#include "base/custom.h"
#include "base/fetched.h"
#include "base/lib.h"
#include "base/limits.h"
#include "base/rate.h"
#include "base/receiver.h"
#include "convert/documents.h"
#include "formats/format.h"
#include "profiles/profile.h"
#include "report/findings.h"
#include "rehost/rehost.h"

const char *rh_version(void)
{
    return RH_VERSION;
}

/* libxml2 sets its globals up on first use, without a lock that holds for
 * several threads: its documentation asks for this call before there are any.
 */
static void set_up_once(void)
{
    xmlInitParser();
}

rh_lib *rh_lib_new(rh_error **err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    rh_lib *lib = rh_new0(rh_lib);

    (void)err;
    pthread_once(&once, set_up_once);
    lib->threads = rh_cores();
    lib->memory = 32 * RH_MIB;
    lib->max_disk_size = RH_LIMIT_DISK_SIZE;
    return lib;
}

void rh_lib_free(rh_lib *lib)
{
    if (!lib)
        return;
    free(lib->trust);
    free(lib->temp_dir);
    rh_lib_drop(lib);
    rh_fetched_drop(lib);
    rh_custom_drop(lib);
    rh_receiver_drop(lib);
    rh_rate_free(lib->rate);
    if (lib->broker > 0)
        close(lib->broker);
    free(lib);
}

static int bad_value(const char *key, const char *value, rh_error **err)
{
    return rh_fail(err, RH_ERR_USAGE, "--%s cannot be \"%s\"", key, value);
}

static int set_size(uint64_t *slot, const char *key, const char *value,
                    rh_error **err)
{
    uint64_t n;

    if (!rh_parse_size(value, &n) || n == 0)
        return bad_value(key, value, err);
    *slot = n;
    return 0;
}

static int set_threads(rh_lib *lib, const char *value, rh_error **err)
{
    uint64_t n;

    if (!rh_parse_u64(value, &n) || n == 0 || n > 1024)
        return bad_value("threads", value, err);
    lib->threads = (unsigned)n;
    return 0;
}

static int set_bandwidth(rh_lib *lib, const char *value, rh_error **err)
{
    struct rh_rate *rate = rh_rate_new(value, err);

    if (!rate)
        return -1;
    rh_rate_free(lib->rate);
    lib->rate = rate;
    return 0;
}

static int set_fetched_most(rh_lib *lib, const char *value, rh_error **err)
{
    uint64_t n = 0;

    if (set_size(&n, "fetched-most", value, err) < 0)
        return -1;
    rh_fetched_set_most(lib, n);
    return 0;
}

static int set_fetched_dir(rh_lib *lib, const char *value, rh_error **err)
{
    if (!value[0])
        return bad_value("fetched-dir", value, err);
    rh_fetched_set_dir(lib, value);
    return 0;
}

static int set_text(char **slot, const char *value)
{
    free(*slot);
    *slot = rh_strdup(value);
    return 0;
}

static int set_language(const char *value, rh_error **err)
{
    if (!strcmp(value, "auto")) {
        rh_text_language(NULL);
        return 0;
    }
    if (strcmp(value, "en") && strcmp(value, "ja"))
        return bad_value("lang", value, err);
    rh_text_language(value);
    return 0;
}

static int set_manifest(rh_lib *lib, const char *value, rh_error **err)
{
    if (!rh_parse_bool(value, &lib->require_manifest))
        return bad_value("require-manifest", value, err);
    return 0;
}

int rh_lib_set(rh_lib *lib, const char *key, const char *value, rh_error **err)
{
    if (!strcmp(key, "threads"))
        return set_threads(lib, value, err);
    if (!strcmp(key, "memory"))
        return set_size(&lib->memory, key, value, err);
    if (!strcmp(key, "max-disk-size"))
        return set_size(&lib->max_disk_size, key, value, err);
    if (!strcmp(key, "bandwidth"))
        return set_bandwidth(lib, value, err);
    if (!strcmp(key, "trust"))
        return set_text(&lib->trust, value);
    if (!strcmp(key, "temp-dir"))
        return set_text(&lib->temp_dir, value);
    if (!strcmp(key, "fetched-dir"))
        return set_fetched_dir(lib, value, err);
    if (!strcmp(key, "fetched-most"))
        return set_fetched_most(lib, value, err);
    if (!strcmp(key, "require-manifest"))
        return set_manifest(lib, value, err);
    if (!strcmp(key, "lang"))
        return set_language(value, err);
    return rh_fail(err, RH_ERR_USAGE, "there is no setting \"%s\"", key);
}

void rh_lib_on_log(rh_lib *lib, rh_log_fn *fn, void *user)
{
    lib->log = fn;
    lib->log_user = user;
}

void rh_lib_on_progress(rh_lib *lib, rh_progress_fn *fn, void *user)
{
    lib->progress = fn;
    lib->progress_user = user;
}

void rh_lib_cancel(rh_lib *lib)
{
    atomic_store(&lib->cancelled, true);
}

void rh_lib_on_ask(rh_lib *lib, rh_ask_fn *ask, void *user)
{
    lib->ask = ask;
    lib->ask_user = user;
}

const char *rh_error_list(size_t i, int *ret_status, const char **ret_hint)
{
    if (i + 1 >= RH_ERR_COUNT)
        return NULL;
    if (ret_status)
        *ret_status = rh_error_exit_of((enum rh_error_id)(i + 1));
    if (ret_hint)
        *ret_hint = rh_error_hint_of((enum rh_error_id)(i + 1));
    return rh_error_name_of((enum rh_error_id)(i + 1));
}

json_t *rh_error_object(const rh_error *e)
{
    return json_pack("{s:{s:s, s:s, s:s, s:s, s:s}}", "error", "code",
                     rh_error_id(e), "class",
                     rh_error_class_name(rh_error_number(e)), "message",
                     rh_error_message(e), "hint", rh_error_hint(e), "subject",
                     rh_error_where(e));
}

char *rh_error_json(const rh_error *e)
{
    json_t *doc = rh_error_object(e);
    char *text = json_dumps(doc, JSON_INDENT(2));

    json_decref(doc);
    return text;
}
