/* settings.c - what was asked for, read and checked before anything is opened.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "convert/fit.h"
#include "convert/job.h"

/* --- targets
 * ------------------------------------------------------------------ */

static int add_target(struct rh_job *job, const char *name, rh_error **err)
{
    const struct rh_target *t = rh_target_named(name);

    if (!t) {
        rh_fail(err, RH_ERR_PLAN_OPTION, "there is no target \"%s\"", name);
        return rh_hint(err, "use --to kvm, --to xen, or for a report --to all");
    }
    for (size_t i = 0; i < job->target_count; i++)
        if (job->targets[i] == t)
            return 0;
    if (job->target_count == RH_JOB_TARGETS_MAX)
        return rh_fail(err, RH_ERR_PLAN_OPTION, "too many targets");
    job->targets[job->target_count++] = t;
    return 0;
}

static int read_targets(struct rh_job *job, rh_error **err)
{
    const char *to;

    for (size_t i = 0; (to = rh_option_at(job->options, "to", i)); i++) {
        bool all = !strcmp(to, "all");

        if (!all && add_target(job, to, err) < 0)
            return -1;
        for (size_t t = 0; all && rh_target_at(t); t++)
            if (add_target(job, rh_target_at(t)->name, err) < 0)
                return -1;
    }
    if (job->target_count)
        return 0;
    rh_fail(err, RH_ERR_PLAN_OPTION, "no target was named");
    return rh_hint(err, "add --to kvm or --to xen, or for a report --to all");
}

/* --- options
 * ------------------------------------------------------------------ */

static int read_networks(struct rh_job *job, rh_error **err)
{
    const char *map;

    for (size_t i = 0; (map = rh_option_at(job->options, "network-map", i));
         i++) {
        const char *equals = strrchr(map, '=');
        struct rh_network_map *m;

        if (!equals || equals == map || !equals[1]) {
            rh_fail(err, RH_ERR_PLAN_OPTION, "--network-map cannot be \"%s\"",
                    map);
            return rh_hint(err, "write FROM=TO, for example "
                                "--network-map \"VM Network=vmbr0\"");
        }
        job->networks = rh_realloc_array(job->networks, job->network_count + 1,
                                         sizeof *job->networks);
        m = &job->networks[job->network_count++];
        m->from = rh_arena_strndup(job->arena, map, (size_t)(equals - map));
        m->to = rh_arena_strdup(job->arena, equals + 1);
    }
    return 0;
}

/* What each target takes is its own to say; here the word is known. */
static int check_format(const struct rh_job *job, rh_error **err)
{
    const char *words[3 + RH_JOB_TARGETS_MAX + 1] = {"qcow2", "raw", "vhd"};
    const struct rh_option_row rows[] = {{"format", words}, {NULL, NULL}};

    for (size_t i = 0, n = 3; i < RH_JOB_TARGETS_MAX && rh_target_at(i); i++)
        if (rh_target_at(i)->archive)
            words[n++] = rh_target_at(i)->archive->format;
    return rh_options_check_words(job->options, rows, RH_ERR_PLAN_OPTION, err);
}

static int check_words(const struct rh_job *job, rh_error **err)
{
    static const char *const devices[] = {"virtio", "vmware", "emulated",
                                          "auto", NULL};
    static const char *const compress[] = {"none", "zlib", "zstd", "keep",
                                           NULL};
    static const struct rh_option_row rows[] = {
        {"devices", devices}, {"compress", compress}, {NULL, NULL}};

    if (rh_options_check_words(job->options, rows, RH_ERR_PLAN_OPTION, err) < 0)
        return -1;
    for (size_t i = 0; i < job->target_count; i++)
        if (rh_options_check_words(job->options, job->targets[i]->options,
                                   RH_ERR_PLAN_OPTION, err) < 0)
            return -1;
    return check_format(job, err);
}

/* --fix and --no-fix, which may come again and again. */
static int check_fixes(const struct rh_job *job, const char *key,
                       rh_error **err)
{
    const char *given;

    for (size_t i = 0; (given = rh_option_at(job->options, key, i)); i++) {
        size_t n = 0;

        while (rh_fix_names[n] && strcmp(rh_fix_names[n], given))
            n++;
        if (rh_fix_names[n])
            continue;
        rh_fail(err, RH_ERR_PLAN_OPTION, "--%s: there is no fix \"%s\"", key,
                given);
        return rh_hint(err, "`rehost profiles --json` names the fixes of each "
                            "system; docs/fixes.md lists them all");
    }
    return 0;
}

int rh_job_read_options(struct rh_job *job, rh_error **err)
{
    return read_targets(job, err) || check_words(job, err) ||
                   check_fixes(job, "fix", err) ||
                   check_fixes(job, "no-fix", err) ||
                   rh_job_check_needs(job, err) || read_networks(job, err)
               ? -1
               : 0;
}

bool rh_job_leaves_guest(const rh_options *o)
{
    return rh_option_yes(o, "no-guest") || rh_option_yes(o, "no-guest-fix");
}

/* --- keys of encrypted volumes
 * ------------------------------------------------ */

void rh_job_keys_free(char **keys)
{
    for (size_t i = 0; keys && keys[i]; i++) {
        explicit_bzero(keys[i], strlen(keys[i]));
        free(keys[i]);
    }
    free(keys);
}

/* The newline that editors leave at a file's end is not part of it. */
static char *key_in_file(const char *path, rh_error **err)
{
    enum { KEY_MAX = 64 * 1024 };
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, err);
    char *key = NULL;
    size_t n;

    if (!io || rh_io_slurp(io, KEY_MAX, &key, &n, err) < 0)
        return NULL;
    key[strcspn(key, "\r\n")] = '\0';
    return key;
}

/* A key on the command line could be read by all who list processes; so it is
 * only ever named. */
static char *read_key(const char *given, rh_error **err)
{
    const char *value;

    if (!strncmp(given, "file:", 5))
        return key_in_file(given + 5, err);
    if (strncmp(given, "env:", 4)) {
        rh_fail(err, RH_ERR_KEY_LITERAL,
                "--key takes file:PATH or env:NAME, not the key itself");
        return NULL;
    }
    value = getenv(given + 4);
    if (value && value[0])
        return rh_strdup(value);
    rh_fail(err, RH_ERR_KEY_MISSING, "the variable %s holds no key", given + 4);
    return NULL;
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
    char **keys = rh_calloc(1, sizeof *keys);
    const char *given;

    if (job->asked_key && job->asked_key[0]) {
        keys = rh_realloc_array(keys, 2, sizeof *keys);
        keys[0] = rh_strdup(job->asked_key);
        keys[1] = NULL;
        return keys;
    }
    for (size_t n = 0; (given = rh_option_at(job->options, "key", n)); n++) {
        keys = rh_realloc_array(keys, n + 2, sizeof *keys);
        keys[n + 1] = NULL;
        keys[n] = read_key(given, err);
        if (!keys[n]) {
            rh_job_keys_free(keys);
            return NULL;
        }
    }
    return keys;
}
