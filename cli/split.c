/* split.c - whoever reads what strangers made is not root, where that matters.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* -1: the sources can be read. */
static int check_readable(struct cli *cli)
{
    for (size_t i = 0; i < cli->word_count; i++)
        if (!strchr(cli->words[i], ':') && access(cli->words[i], R_OK) < 0 &&
            errno == EACCES) {
            char text[300];

            snprintf(text, sizeof text,
                     _("%.200s cannot be read without root's rights"),
                     cli->words[i]);
            return cli_usage_hint(
                cli, text,
                _("let all read it and its folders, put it elsewhere "
                  "(/var/tmp), or name a user who may: --run-as USER"));
        }
    return -1;
}

int cli_split(struct cli *cli)
{
    uid_t before = geteuid();
    rh_error *e = NULL;
    int status = 0;

    switch (rh_lib_split(cli->lib, cli->options, &status, &e)) {
    case 0:
        return before != geteuid() ? check_readable(cli) : -1;
    case 1:
        return status;
    default:
        return cli_fail(cli, e);
    }
}
