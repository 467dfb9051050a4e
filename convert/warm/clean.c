/* clean.c - what runs that do not live any more have left at a source; and what
 * is there because a warm job needs it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/state.h"
#include "convert/options.h"
#include "convert/warm/journal.h"
#include "live/live.h"
#include "rehost/rehost.h"

/* A job's snapshots are between its rounds, whether anybody works on it or not:
 * they are its own to take away. */
static void say_job(struct rh_live *live, rh_lib *lib, const char *name)
{
    struct rh_warm_journal j = {.dir = -1};
    rh_error *ignored = NULL;

    if (rh_warm_journal_open(&j, name, &ignored) == 0 && j.source &&
        rh_live_is_at(live, j.source) &&
        (j.snapshot_name || j.snapshot || j.held.count))
        rh_log(lib, RH_LOG_WARN,
               _("%s: the warm job \"%s\" keeps a snapshot there: `rehost warm "
                 "sync %s` goes on with it, `rehost warm abort %s` takes all "
                 "of it away"),
               j.vm_name ? j.vm_name : "?", name, name, name);
    rh_warm_journal_close(&j);
    rh_error_free(ignored);
}

static void say_jobs(struct rh_live *live, rh_lib *lib)
{
    RH_AUTO(rh_freep) char *folder = rh_state_path("warm");
    DIR *d = opendir(folder);

    for (const struct dirent *e; d && (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        RH_AUTO(rh_freep) char *name = NULL;

        if (n <= 5 || strcmp(e->d_name + n - 5, ".json") != 0)
            continue;
        name = rh_strndup(e->d_name, n - 5);
        say_job(live, lib, name);
    }
    if (d)
        closedir(d);
}

int rh_source_clean(rh_lib *lib, const char *source, const rh_options *options,
                    rh_error **err)
{
    static const char *const ours[] = {"login",         "pin",    "source-pin",
                                       "source-tls-ca", "tls-ca", NULL};
    struct rh_live *live;
    size_t count = 0;

    if (rh_options_only(options, ours, "--clean", err) < 0)
        return -1;
    if (!rh_live_is(source)) {
        rh_fail(err, RH_ERR_USAGE, "\"%s\" is no live source", source);
        return rh_hint(err, "nothing is left at other sources");
    }
    live = rh_live_open(lib, source, options, err);
    if (!live)
        return -1;
    if (rh_live_take_left(live, lib, &count, err) < 0)
        return rh_error_subject(err, source);
    say_jobs(live, lib);
    return (int)RH_MIN(count, (size_t)INT_MAX);
}
