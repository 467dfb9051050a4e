/* settings.c - what was asked for, read and checked before anything is opened.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

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

static bool all_tag(const struct rh_job *job)
{
    for (size_t i = 0; i < job->target_count; i++)
        if (!(job->targets[i]->abilities & RH_TARGET_TAGS_VLANS))
            return false;
    return true;
}

/* FROM=TO[,tag=VLAN], as push has it: TO:VLAN for the target. */
static int read_network(struct rh_job *job, const char *map, rh_error **err)
{
    const char *tag = strstr(map, ",tag=");
    RH_AUTO(rh_freep)
    char *plain = rh_strndup(map, tag ? (size_t)(tag - map) : strlen(map));
    char *equals = strrchr(plain, '=');
    struct rh_network_map *m;
    uint64_t vlan = 1;

    if (tag && !all_tag(job)) {
        rh_fail(err, RH_ERR_PLAN_OPTION,
                "--network-map \"%s\": a VLAN is a matter of the network "
                "there: it takes no tag=",
                map);
        return rh_hint(err, "name the network that has the VLAN, or convert "
                            "for each target by itself");
    }
    if (!equals || equals == plain || !equals[1] ||
        (tag && (!rh_parse_u64(tag + 5, &vlan) || !vlan || vlan > 4094))) {
        rh_fail(err, RH_ERR_PLAN_OPTION, "--network-map cannot be \"%s\"", map);
        return rh_hint(err, "write FROM=TO, for example "
                            "--network-map \"VM Network=vmbr0\"");
    }
    *equals++ = '\0';
    job->networks = rh_realloc_array(job->networks, job->network_count + 1,
                                     sizeof *job->networks);
    m = &job->networks[job->network_count++];
    m->from = rh_arena_strdup(job->arena, plain);
    m->to = rh_arena_printf(job->arena, "%s%s%s", equals, tag ? ":" : "",
                            tag ? tag + 5 : "");
    return 0;
}

static int read_networks(struct rh_job *job, rh_error **err)
{
    const char *map;

    if (rh_options_check_maps(job->options, "network-map", RH_ERR_PLAN_OPTION,
                              err) < 0)
        return -1;
    for (size_t i = 0; (map = rh_option_at(job->options, "network-map", i));
         i++)
        if (read_network(job, map, err) < 0)
            return -1;
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

/* "8.2" and "8.2.1" are the version 8.2. */
static bool is_version(const char *given, const char *version)
{
    size_t n = strlen(version);

    return !strncmp(given, version, n) && (!given[n] || given[n] == '.');
}

/* One of several targets may have it. */
static int check_version(const struct rh_job *job, rh_error **err)
{
    const char *given = rh_option(job->options, "target-version");
    RH_AUTO(rh_buf_free) struct rh_buf all = {0};

    if (!given)
        return 0;
    for (size_t i = 0; i < job->target_count; i++) {
        const char *const *v = job->targets[i]->versions;

        for (; v && *v; v++) {
            if (is_version(given, *v))
                return 0;
            rh_buf_printf(&all, "%s%s (%s)", all.length ? ", " : "", *v,
                          job->targets[i]->name);
        }
    }
    rh_fail(err, RH_ERR_PLAN_OPTION, "--target-version cannot be \"%s\"",
            given);
    return rh_hint(err, "use one of: %s", all.data ? all.data : "");
}

/* An empty variable of a script makes no VM of a name that nobody knows. */
static int check_name(const struct rh_job *job, rh_error **err)
{
    const char *name = rh_option(job->options, "name");

    return name && !*name ? rh_fail(err, RH_ERR_PLAN_OPTION,
                                    "--name cannot be \"%s\"", name)
                          : 0;
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

/* What is kept packed is carried whole, unused blocks and all. */
static int check_keep(struct rh_job *job, rh_error **err)
{
    enum rh_compress compress;

    if (rh_option_compress(job->options, &compress, err) < 0)
        return -1;
    if (compress != RH_COMPRESS_KEEP ||
        !rh_option_yes(job->options, "skip-free"))
        return 0;
    rh_fail(err, RH_ERR_USAGE,
            "--compress keep carries clusters as they are: --skip-free cannot "
            "leave anything out of them");
    return rh_hint(err, "use one of the two, or --compress zlib or zstd");
}

int rh_job_read_options(struct rh_job *job, rh_error **err)
{
    return read_targets(job, err) ||
                   rh_options_check_targets(job->options, err) ||
                   check_words(job, err) || check_keep(job, err) ||
                   check_version(job, err) || check_name(job, err) ||
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
