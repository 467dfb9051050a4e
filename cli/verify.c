/* verify.c - rehost verify. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"at", 0, "URL",
     N_("also the VM that `rehost push --to URL` made of the result"),
     TO_COMMAND},
    {"receipt", 0, "FILE",
     N_("with --at, instead of a result: what `convert --out URL --receipt` "
        "kept, or a result's receipt.json"),
     TO_COMMAND},
    {"login", 0, "FILE", N_("as for push"), TO_OPTIONS},
    {"tls-ca", 0, "FILE", N_("as for push"), TO_OPTIONS},
    {"pin", 0, "[HOST=]SHA256", N_("as for push"), TO_OPTIONS},
    {"source-tls-ca", 0, "FILE",
     N_("the CA that signed the source's certificate"), TO_OPTIONS},
    {"source-pin", 0, "[HOST=]SHA256",
     N_("the source's certificate by its fingerprint"), TO_OPTIONS},
    {"transport", 0, "auto|folder|lease|image|nfs",
     N_("how a live source's disks come"), TO_OPTIONS},
    {"fill", 0, "FILE", N_("as it was converted with (repeat)"), TO_OPTIONS},
    {"drop", 0, "nicN|diskN|cdromN", N_("as it was converted with (repeat)"),
     TO_OPTIONS},
    {"vm", 0, "ID-OR-NAME", N_("one VM of a collection"), TO_OPTIONS},
    {"configuration", 0, "ID", N_("one OVF deployment option"), TO_OPTIONS},
    {"source-format", 0, "raw|vmdk|qcow2|vhd|vhdx|vdi",
     N_("of disks whose content does not say"), TO_OPTIONS},
    {"datastore-map", 0, "PREFIX=DIR",
     N_("files named by PREFIX (/vmfs/volumes/ds1) lie in DIR"), TO_OPTIONS},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* What a push understands; the rest is of the source. */
static int push_options(struct cli *cli, const char *url, rh_options *o,
                        rh_error **err)
{
    static const char *const names[] = {"login", "tls-ca", "pin"};

    if (rh_options_add(o, "to", url, err) < 0)
        return -1;
    for (size_t i = 0; i < cli->switch_count; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (!strcmp(cli->switches[2 * i], names[k]) &&
                rh_options_add(o, names[k], cli->switches[2 * i + 1], err) < 0)
                return -1;
    return 0;
}

static void say_verified(struct cli *cli, char *text)
{
    if (!cli->json && text)
        fputs(text, stdout);
    free(text);
}

/* What stands in the pool: when the result itself is right, or by the source
 * and a receipt alone. */
static int verify_there(struct cli *cli, const char *url, const char *receipt)
{
    rh_options *o = rh_options_new();
    rh_error *e = NULL;
    char *text = NULL;
    rh_push *push = NULL;
    int failed = push_options(cli, url, o, &e);

    cli_may_ask(cli);
    if (!failed)
        push = rh_push_open(cli->lib, o, &e);
    if (!push)
        failed = -1;
    else if (receipt)
        failed = rh_push_verify_source(push, cli->words[0], receipt,
                                       cli->options, &text, &e);
    else
        failed =
            rh_push_verify(push, cli->words[cli->word_count - 1], &text, &e);
    rh_push_close(push);
    rh_options_free(o);
    if (failed)
        return cli_fail(cli, e);
    cli_progress_end();
    say_verified(cli, text);
    return 0;
}

/* Sources between the first and the result (all, where there is none): bare
 * disks of the same VM. */
static int add_disks(struct cli *cli, size_t end, rh_error **err)
{
    for (size_t i = 1; i < end; i++)
        if (rh_options_add(cli->options, "disk", cli->words[i], err) < 0)
            return -1;
    return 0;
}

static int run_receipt(struct cli *cli)
{
    const char *url = cli_given(cli, "at");
    rh_error *e = NULL;
    int status;

    if (!cli->word_count || !url)
        return cli_usage(cli, _("--receipt needs a source, and --at URL"));
    if (add_disks(cli, cli->word_count, &e) < 0)
        return cli_fail(cli, e);
    status = verify_there(cli, url, cli_given(cli, "receipt"));
    if (!status && cli->json)
        puts("{\"verified\": true}");
    return status;
}

static int run(struct cli *cli)
{
    const char *url = cli_given(cli, "at");
    int status;

    rh_error *e = NULL;
    char *text = NULL;

    if (cli_given(cli, "receipt"))
        return run_receipt(cli);
    if (cli->word_count < 2)
        return cli_usage(cli, _("a source and a result folder are needed"));
    if (strstr(cli->words[cli->word_count - 1], "://"))
        return cli_usage_hint(
            cli,
            _("a result folder or a receipt is needed: without one nobody "
              "knows what was changed in the guest"),
            _("name the server beside it: rehost verify SOURCE RESULT-DIR "
              "--at URL, or SOURCE --receipt FILE --at URL"));
    if (add_disks(cli, cli->word_count - 1, &e) < 0 ||
        rh_result_verify_with(cli->lib, cli->words[0],
                              cli->words[cli->word_count - 1], cli->options,
                              &text, &e) < 0)
        return cli_fail(cli, e);
    cli_progress_end();
    status = url ? verify_there(cli, url, NULL) : 0;
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
    "SOURCE... RESULT-DIR|--receipt FILE [--fill FILE] [--at URL]",
    N_("is the result still what the source and its receipt say?"),
    "  rehost verify web01.ova out/web01\n"
    "  rehost verify boot.qcow2 data.qcow2 out/boot --fill vm.json\n"
    "  rehost verify web01.ova out/web01 --at xapi://xen1.example.net/NFS\n"
    "  rehost verify web01.ova --receipt web01.json --at "
    "xapi://xen1.example.net/NFS\n",
    options,
    run};
