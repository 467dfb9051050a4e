/* keys.c - keys of encrypted volumes: from files, variables, or a person.
 *
 * A key is whatever bytes its file holds, as for `cryptsetup --key-file`.  A
 * newline at the end may be an editor's, or one that cryptsetup was given as
 * well: such a file is tried without it first, then as it is.  libguestfs takes
 * keys as texts, so a NUL byte cannot be passed on. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "convert/job.h"

enum { KEY_MAX = 64 * 1024 };

void rh_job_keys_free(char **keys)
{
    for (size_t i = 0; keys && keys[i]; i++) {
        explicit_bzero(keys[i], strlen(keys[i]));
        free(keys[i]);
    }
    free(keys);
}

struct keys {
    RH_VEC(char *) list;
};

static void keys_free(struct keys *k)
{
    *rh_vec_add(&k->list) = NULL;
    rh_job_keys_free(k->list.items);
}

/* Takes `bytes`, of n bytes with a NUL behind them. */
static int add_bytes(struct keys *k, char *bytes, size_t n, const char *path,
                     rh_error **err)
{
    size_t plain = n;

    *rh_vec_add(&k->list) = bytes;
    if (!n)
        return rh_fail(err, RH_ERR_KEY_MISSING, "the file %s is empty", path);
    if (strlen(bytes) != n) {
        explicit_bzero(bytes, n);
        return rh_fail(err, RH_ERR_KEY_BINARY, "the key in %s has a NUL byte",
                       path);
    }
    plain -= bytes[plain - 1] == '\n';
    plain -= plain && plain < n && bytes[plain - 1] == '\r';
    if (plain == n || !plain)
        return 0;
    k->list.items[k->list.count - 1] = rh_strndup(bytes, plain);
    *rh_vec_add(&k->list) = bytes;
    return 0;
}

static int add_file(struct keys *k, const char *path, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, err);
    char *bytes;
    size_t n;

    if (!io || rh_io_slurp(io, KEY_MAX, &bytes, &n, err) < 0)
        return -1;
    return add_bytes(k, bytes, n, path, err);
}

/* A key on the command line could be read by all who list processes; so it is
 * only ever named. */
static int add_named(struct keys *k, const char *given, rh_error **err)
{
    const char *value;

    if (!strncmp(given, "file:", 5))
        return add_file(k, given + 5, err);
    if (strncmp(given, "env:", 4))
        return rh_fail(err, RH_ERR_KEY_LITERAL,
                       "--key takes file:PATH or env:NAME, not the key itself");
    value = getenv(given + 4);
    if (!value || !value[0])
        return rh_fail(err, RH_ERR_KEY_MISSING, "the variable %s holds no key",
                       given + 4);
    *rh_vec_add(&k->list) = rh_strdup(value);
    return 0;
}

bool rh_job_ask_key(struct rh_job *job, const char *vm)
{
    RH_AUTO(rh_freep) char *question = NULL;

    if (!job->lib->ask || job->asked_key || rh_option(job->options, "key"))
        return false;
    question = rh_printf(_("Key of the encrypted volume of %s: "), vm);
    job->asked_key = job->lib->ask(job->lib->ask_user, question, 1);
    return job->asked_key && job->asked_key[0];
}

char **rh_job_keys(const struct rh_job *job, rh_error **err)
{
    RH_AUTO(keys_free) struct keys k = {0};
    char **ret;
    const char *given;

    if (job->asked_key && job->asked_key[0])
        *rh_vec_add(&k.list) = rh_strdup(job->asked_key);
    else
        for (size_t n = 0; (given = rh_option_at(job->options, "key", n)); n++)
            if (add_named(&k, given, err) < 0)
                return NULL;
    *rh_vec_add(&k.list) = NULL;
    ret = k.list.items;
    k = (struct keys){0};
    return ret;
}
