/* warm.c - rehost warm: a VM moves while it runs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* What was done, or where the job stands. */
static int tell(struct cli *cli, rh_warm *w)
{
    rh_error *e = NULL;

    cli_progress_end();
    return cli_print(cli, rh_warm_render(w, cli->json ? "json" : "said", &e),
                     e);
}

/* Also of what failed in the end: the rounds that were done are told. */
static int end(struct cli *cli, rh_warm *w, int failed, rh_error *e)
{
    int status = 0;

    if (w && (!failed || !cli->json))
        status = tell(cli, w);
    rh_warm_close(w);
    return failed ? cli_fail(cli, e) : status;
}

static rh_warm *open_job(struct cli *cli, rh_error **err)
{
    return rh_warm_open(cli->lib, cli->words[0], err);
}

static int one_job(struct cli *cli)
{
    return cli->word_count == 1 ? 0
                                : cli_usage(cli, _("one job is needed: its "
                                                   "name or its folder"));
}

typedef int step(rh_warm *w, const rh_options *o, rh_error **err);

/* A job to this node is worked on by the user who began it. */
#define OWNER_OPTIONS                                                    \
    {"out", 0, "proxmox-local:STORAGE",                                  \
     N_("a job to this Proxmox node: said again, as root, for who runs " \
        "`pvesm` and `qm`"),                                             \
     TO_OPTIONS},                                                        \
    {                                                                    \
        "run-as", 0, "USER", N_("who began such a job"), TO_OPTIONS      \
    }

/* -1: go on. */
static int begin_step(struct cli *cli)
{
    return one_job(cli) ? CLI_USAGE : cli_split(cli);
}

static int run_step(struct cli *cli, step *what)
{
    rh_error *e = NULL;
    rh_warm *w;
    int failed, status = begin_step(cli);

    if (status >= 0)
        return status;
    cli_may_ask(cli);
    w = open_job(cli, &e);
    failed = !w || what(w, cli->options, &e) < 0;
    return end(cli, w, failed, e);
}

/* --- start
 * -------------------------------------------------------------------- */

static int run_start(struct cli *cli)
{
    rh_error *e = NULL;
    rh_options *none;
    rh_warm *w;
    int failed, status;

    if (cli->word_count == 0)
        return cli_usage(cli, _("a source is needed"));
    status = cli_split(cli);
    if (status >= 0)
        return status;
    none = rh_options_new();
    if (cli_add_disks(cli, &e) < 0) {
        rh_options_free(none);
        return cli_fail(cli, e);
    }
    if (strstr(cli->words[0], "://"))
        cli_may_ask(cli);
    cli_may_ask_key(cli);
    w = rh_warm_start(cli->lib, cli->words[0], cli->options, &e);
    failed = !w || rh_warm_sync(w, none, &e) < 0;
    rh_options_free(none);
    return end(cli, w, failed, e);
}

const struct cli_command cli_warm_start = {
    "start",
    "SOURCE... --to xen|kvm --out DIR-OR-URL [options]",
    N_("begin to move a VM that runs: the first full pass"),
    "  rehost warm start vcenter://vc1/DC1/vm/web01 --to kvm --out /srv/import\n"
    "  rehost warm sync web01\n"
    "  rehost warm cutover web01 --at \"Sun 02:00\"\n"
    "  rehost warm start /dev/vg/web01 --to kvm --out /srv/import --job web01\n",
    cli_warm_start_options,
    run_start};

/* --- sync
 * --------------------------------------------------------------------- */

static const struct cli_option sync_options[] = {
    {"every", 0, "TIME", N_("a round every 30m, 2h ..., until interrupted"),
     TO_OPTIONS},
    OWNER_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static int run_sync(struct cli *cli)
{
    return run_step(cli, rh_warm_sync);
}

const struct cli_command cli_warm_sync = {
    "sync",
    "JOB [--every TIME]",
    N_("one more round of what has changed, or rounds"),
    "  rehost warm sync web01\n"
    "  rehost warm sync web01 --every 30m\n",
    sync_options,
    run_sync};

/* --- cutover
 * ------------------------------------------------------------------ */

static const struct cli_option cutover_options[] = {
    {"at", 0, "TIME", N_("wait until 02:00, \"Sun 02:00\" or 2026-12-06T02:00"),
     TO_OPTIONS},
    {"window", 0, "A-B", N_("only then: 02:00-04:00, \"Sun 02:00-04:00\""),
     TO_OPTIONS},
    {"max-last-round", 0, "TIME",
     N_("only when the round before took no longer (2m)"), TO_OPTIONS},
    {"power-off", 0, NULL,
     N_("switch the source off where its guest does not shut down"),
     TO_OPTIONS},
    {"shutdown-timeout", 0, "TIME",
     N_("how long the guest may take to shut down (10m)"), TO_OPTIONS},
    {"start", 0, NULL, N_("--out URL: start the new VM"), TO_OPTIONS},
    OWNER_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static int run_cutover(struct cli *cli)
{
    return run_step(cli, rh_warm_cutover);
}

const struct cli_command cli_warm_cutover = {
    "cutover",
    "JOB [--at TIME] [--window A-B] [--max-last-round TIME] [--start]",
    N_("shut the source down, the last round, the guest's fix, the hand-over"),
    "  rehost warm cutover web01\n"
    "  rehost warm cutover web01 --window \"Sun 02:00-04:00\" "
    "--max-last-round 2m\n",
    cutover_options,
    run_cutover};

/* --- rehearse
 * ----------------------------------------------------------------- */

static const struct cli_option rehearse_options[] = {
    {"network", 0, "NAME",
     N_("the isolated network that its cards lead to (else they have no "
        "link)"),
     TO_OPTIONS},
    OWNER_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static int run_rehearse(struct cli *cli)
{
    return run_step(cli, rh_warm_rehearse);
}

const struct cli_command cli_warm_rehearse = {
    "rehearse",
    "JOB [--network NAME]",
    N_("a result of the last round beside the running source, to be tried"),
    "  rehost warm rehearse web01 --network isolated\n",
    rehearse_options,
    run_rehearse};

/* --- status and abort
 * --------------------------------------------------------- */

static const struct cli_option owner_options[] = {
    OWNER_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static int run_status(struct cli *cli)
{
    rh_error *e = NULL;
    rh_warm *w;
    char *text;
    int status = begin_step(cli);

    if (status >= 0)
        return status;
    w = open_job(cli, &e);
    if (!w)
        return cli_fail(cli, e);
    text = rh_warm_render(w, cli->json ? "json" : "text", &e);
    rh_warm_close(w);
    return cli_print(cli, text, e);
}

const struct cli_command cli_warm_status = {
    "status",
    "JOB [--json]",
    N_("how far a job is, what its rounds took, and the downtime to expect"),
    "  rehost warm status web01 --json | jq .downtime_estimate\n",
    owner_options,
    run_status};

static int run_abort(struct cli *cli)
{
    rh_error *e = NULL;
    rh_warm *w;
    int failed, status = begin_step(cli);

    if (status >= 0)
        return status;
    cli_may_ask(cli);
    w = open_job(cli, &e);
    failed = !w || rh_warm_abort(w, &e) < 0;
    if (!failed && cli->json) {
        rh_warm_close(w);
        return 0;
    }
    return end(cli, w, failed, e);
}

const struct cli_command cli_warm_abort = {
    "abort",
    "JOB",
    N_("take away all of ours, at the source as well; a result stays"),
    "  rehost warm abort web01\n",
    owner_options,
    run_abort};
