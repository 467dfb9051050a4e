/* verify.c - rehost verify. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"at", 0, "URL",
     N_("also the VM that `rehost push --to URL` made of the result"),
     TO_COMMAND},
    {"login", 0, "FILE", N_("as for push"), TO_OPTIONS},
    {"tls-ca", 0, "FILE", N_("as for push"), TO_OPTIONS},
    {"pin", 0, "[HOST=]SHA256", N_("as for push"), TO_OPTIONS},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* What stands in the pool, when the result itself is right. */
static int verify_there(struct cli *cli, const char *url)
{
    rh_error *e = NULL;
    char *text = NULL;
    rh_push *push = NULL;
    int failed = rh_options_add(cli->options, "to", url, &e);

    cli_may_ask(cli);
    if (!failed)
        push = rh_push_open(cli->lib, cli->options, &e);
    failed = push ? rh_push_verify(push, cli->words[1], &text, &e) : -1;
    rh_push_close(push);
    if (failed)
        return cli_fail(cli, e);
    if (!cli->json && text)
        fputs(text, stdout);
    free(text);
    return 0;
}

static int run(struct cli *cli)
{
    const char *url = cli_given(cli, "at");
    int status;

    rh_error *e = NULL;
    char *text = NULL;

    if (cli->word_count != 2)
        return cli_usage(cli, _("a source and a result folder are needed"));
    if (rh_result_verify(cli->lib, cli->words[0], cli->words[1], &text, &e) < 0)
        return cli_fail(cli, e);
    cli_progress_end();
    status = url ? verify_there(cli, url) : 0;
    if (status) {
        free(text);
        return status;
    }
    if (cli->json) {
        free(text);
        puts("{\"verified\": true}");
        return 0;
    }
    return cli_print(cli, text, NULL);
}

const struct cli_command cli_verify = {
    "verify",
    "SOURCE RESULT-DIR [--at URL]",
    N_("is the result still what the source and its receipt say?"),
    "  rehost verify web01.ova out/web01\n"
    "  rehost verify web01.ova out/web01 --at xapi://xen1.example.net/NFS\n",
    options,
    run};
