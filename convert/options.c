/* options.c - which options there are, and the kinds of value in them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/options.h"

#include <string.h>

#include "convert/source_stamp.h"
#include "deliver/deliver.h"
#include "live/live.h"
#include "rehost/rehost.h"
#include "targets/target.h"

/* Every name that some call understands. */
static const char *const known[] = {
    "align",
    "cluster-size",
    "compress",
    "configuration",
    "datastore-map",
    "disk",
    "drop",
    "source-format",
    "devices",
    "drivers",
    "disk-by-disk",
    "done",
    "dry-run",
    "fill",
    "fix",
    "format",
    "guest",
    "import-storage",
    "keep-failed",
    "key",
    "login",
    "name",
    "need",
    "network-map",
    "no-fix",
    "no-guest",
    "no-guest-fix",
    "out",
    "overwrite",
    "pin",
    "quiesce",
    "receipt",
    "redact",
    "results-at",
    "run-as",
    "remove-vmware-tools",
    "screenshot",
    "sector-size",
    "serve",
    "serve-cert",
    "serve-key",
    "set",
    "size",
    "skip-free",
    "sr",
    "snapshot",
    "source-pin",
    "source-tls-ca",
    "start",
    "storage",
    "strict",
    "target",
    "target-version",
    "timeout",
    "tls-ca",
    "to",
    "transfer",
    "transport",
    "vm",
    "vmid",
    "wait-address",
    "xva-sum",
};

/* What is said of a warm migration alone. */
static const char *const of_warm[] = {
    "at",       "enable-cbt",       "every",
    "job",      "keep-snapshot",    "max-last-round",
    "min-free", "network",          "power-off",
    "quiesce",  "shutdown-timeout", "window",
};

/* What is said of a whole batch. */
static const char *const of_batches[] = {
    "dry-run", "engine",    "from-report", "jobs", "on-event",
    "only",    "partition", "program",     "time", "wave"};

static bool is_among(const char *const *names, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], key))
            return true;
    return false;
}

bool rh_option_is_warm(const char *key)
{
    return is_among(of_warm, RH_COUNT(of_warm), key);
}

int rh_options_add(rh_options *o, const char *key, const char *value,
                   rh_error **err)
{
    if (is_among(known, RH_COUNT(known), key) ||
        is_among(of_batches, RH_COUNT(of_batches), key) ||
        rh_option_is_warm(key)) {
        rh_options_put(o, key, value);
        return 0;
    }
    return rh_fail(err, RH_ERR_USAGE, "there is no option \"%s\"", key);
}

int rh_option_compress(const rh_options *o, enum rh_compress *ret,
                       rh_error **err)
{
    static const char *const words[] = {"none", "zlib", "zstd", "keep"};
    const char *value = rh_option(o, "compress");

    if (!value) {
        *ret = RH_COMPRESS_NONE;
        return 0;
    }
    for (size_t i = 0; i < RH_COUNT(words); i++)
        if (!strcmp(words[i], value)) {
            *ret = (enum rh_compress)i;
            return 0;
        }
    rh_fail(err, RH_ERR_USAGE, "--compress cannot be \"%s\"", value);
    return rh_hint(err, "use none, zlib, zstd or keep");
}

int rh_option_cluster(const rh_options *o, uint32_t *ret, rh_error **err)
{
    const char *value = rh_option(o, "cluster-size");
    uint64_t n;

    *ret = 0;
    if (!value)
        return 0;
    if (!rh_parse_size(value, &n) || n < 4096 || n > 2097152 ||
        !rh_power_of_two(n))
        return rh_fail(err, RH_ERR_DISK_CLUSTER_SIZE,
                       "--cluster-size cannot be \"%s\"", value);
    *ret = (uint32_t)n;
    return 0;
}

/* --- what is not for a call
 * --------------------------------------------------- */

int rh_options_only(const rh_options *o, const char *const *names,
                    const char *call, rh_error **err)
{
    for (size_t i = 0; o && i < o->list.count; i++) {
        const char *key = o->list.items[i].key;
        size_t n = 0;

        while (names[n] && strcmp(names[n], key))
            n++;
        if (!names[n])
            return rh_fail(err, RH_ERR_USAGE, "\"%s\" is no option of %s", key,
                           call);
    }
    return 0;
}

const char *const rh_options_of_others[] = {
    "align", "screenshot", "sector-size", "size", "timeout", NULL};

int rh_options_without(const rh_options *o, const char *const *names,
                       const char *call, rh_error **err)
{
    for (size_t n = 0; names[n]; n++)
        if (rh_option(o, names[n]))
            return rh_fail(err, RH_ERR_USAGE, "\"%s\" is no option of %s",
                           names[n], call);
    return 0;
}

static bool takes(const struct rh_target *t, const char *key)
{
    for (const struct rh_option_row *row = t->options; row && row->name; row++)
        if (!strcmp(row->name, key))
            return true;
    return false;
}

static bool is_asked(const rh_options *o, const struct rh_target *t)
{
    const char *to;

    for (size_t i = 0; (to = rh_option_at(o, "to", i)); i++)
        if (!strcmp(to, t->name) || !strcmp(to, "all"))
            return true;
    return false;
}

/* *ret_whose: a target that takes it, NULL when it is no target's alone. */
static bool is_for(const rh_options *o, const char *key,
                   const struct rh_target **ret_whose)
{
    const struct rh_target *t;

    *ret_whose = NULL;
    for (size_t i = 0; (t = rh_target_at(i)); i++) {
        if (!takes(t, key))
            continue;
        *ret_whose = t;
        if (is_asked(o, t))
            return true;
    }
    return !*ret_whose;
}

bool rh_option_is_for(const rh_options *o, const char *key)
{
    const struct rh_target *whose;

    return is_for(o, key, &whose);
}

int rh_options_check_targets(const rh_options *o, rh_error **err)
{
    const struct rh_target *whose;

    for (size_t i = 0; i < o->list.count; i++) {
        const char *key = o->list.items[i].key;

        if (is_for(o, key, &whose))
            continue;
        rh_fail(err, RH_ERR_PLAN_OPTION,
                "--%s would do nothing: it is for --to %s", key, whose->name);
        return rh_hint(err, "leave it out, or add --to %s", whose->name);
    }
    return 0;
}

/* --- what reaches no server
 * ---------------------------------------------------- */

enum reach { ANYWHERE, TO_SERVER, FROM_SERVER, FROM_PLATFORM };

static enum reach reach_of(const char *key)
{
    static const struct {
        const char *key;
        enum reach reach;
    } all[] = {
        {"login", TO_SERVER},           {"pin", TO_SERVER},
        {"tls-ca", TO_SERVER},          {"source-pin", FROM_SERVER},
        {"source-tls-ca", FROM_SERVER}, {"quiesce", FROM_PLATFORM},
        {"snapshot", FROM_PLATFORM},    {"transport", FROM_PLATFORM},
        {"enable-cbt", FROM_PLATFORM},  {"min-free", FROM_PLATFORM},
    };

    for (size_t i = 0; i < RH_COUNT(all); i++)
        if (!strcmp(all[i].key, key))
            return all[i].reach;
    return ANYWHERE;
}

/* OUT, a target to ask, one more disk: an option's value can be an address. */
static bool names_server(const rh_options *o)
{
    for (size_t i = 0; i < o->list.count; i++)
        if (rh_source_is_remote(o->list.items[i].value))
            return true;
    return false;
}

bool rh_option_reaches(const rh_options *o, const char *key,
                       const struct rh_reach *reach)
{
    enum reach need = reach_of(key);
    bool server = names_server(o), live = false;

    for (size_t i = 0; i < reach->count; i++) {
        server |= rh_source_is_remote(reach->sources[i]);
        live |= rh_live_is(reach->sources[i]);
    }
    if (need == FROM_PLATFORM)
        return live;
    if (need == TO_SERVER && reach->out && rh_source_is_remote(reach->out))
        return true;
    return need == ANYWHERE || server;
}

int rh_options_check_reach(const rh_options *o, const struct rh_reach *reach,
                           rh_error **err)
{
    for (size_t i = 0; o && i < o->list.count; i++) {
        const char *key = o->list.items[i].key;

        if (rh_option_reaches(o, key, reach))
            continue;
        rh_fail(err, RH_ERR_PLAN_OPTION,
                reach_of(key) == FROM_PLATFORM
                    ? N_("--%s would do nothing: the source is no VM of a "
                         "platform that runs")
                    : N_("--%s would do nothing: no server is asked"),
                key);
        return rh_hint(err, "leave it out");
    }
    return 0;
}

const char *rh_default_target(void)
{
    return rh_target_at(0)->name;
}

bool rh_out_is_parted(const char *out)
{
    return rh_deliverer_of(out)->parted;
}
