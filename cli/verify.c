/* verify.c - rehost verify. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static int run(struct cli *cli)
{
    rh_error *e = NULL;
    char *text = NULL;

    if (cli->word_count != 2)
        return cli_usage(cli, _("a source and a result folder are needed"));
    if (rh_result_verify(cli->lib, cli->words[0], cli->words[1], &text, &e) < 0)
        return cli_fail(cli, e);
    cli_progress_end();
    if (cli->json) {
        free(text);
        puts("{\"verified\": true}");
        return 0;
    }
    return cli_print(cli, text, NULL);
}

const struct cli_command cli_verify = {
    "verify",
    "SOURCE RESULT-DIR",
    N_("is the result still what the source and its receipt say?"),
    "  rehost verify web01.ova out/web01\n",
    options,
    run};
