/* boot.c - rehost boot. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"timeout", 0, "S",
     N_("seconds to wait for the login (120; 600 without KVM)"), TO_OPTIONS},
    {"screenshot", 0, "FILE", N_("save the screen at the end as PNG"),
     TO_OPTIONS},
    {"devices", 0, "virtio|virtio-blk|vmware|emulated",
     N_("other hardware than the result was made for"), TO_OPTIONS},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* One value of our own JSON, whose lists come last; null is not shown. */
static void print_word(const char *json, const char *key, const char *label)
{
    char pattern[32];
    const char *at;
    int n;

    snprintf(pattern, sizeof pattern, "\"%s\": ", key);
    at = strstr(json, pattern);
    if (!at)
        return;
    at += strlen(pattern);
    at += *at == '"';
    n = (int)strcspn(at, "\",\n");
    if (strncmp(at, "null", 4))
        printf("%-12s %.*s\n", label, n, at);
}

/* The strings of a list, one a line, as they stand there. */
static void print_lines(const char *json, const char *key, const char *label)
{
    char pattern[32];
    const char *at;

    snprintf(pattern, sizeof pattern, "\"%s\": [\n", key);
    at = strstr(json, pattern);
    if (!at)
        return;
    puts(label);
    at += strlen(pattern);
    while (*(at += strspn(at, " ")) == '"') {
        int n = (int)strcspn(at, "\n");

        while (n && at[n - 1] != '"')
            n--;
        printf("  %.*s\n", n < 2 ? 0 : n - 2, at + 1);
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
}

static int run(struct cli *cli)
{
    rh_error *e = NULL;
    char *json = NULL;
    int status = 0;

    if (cli->word_count != 1)
        return cli_usage(cli, _("one result folder is needed"));
    if (rh_result_boot(cli->lib, cli->words[0], cli->options, &json, &e) < 0)
        status = -1;
    cli_progress_end();
    if (json && cli->json) {
        puts(json);
    } else if (json) {
        print_word(json, "reached", _("reached:"));
        print_word(json, "failure", _("failure:"));
        print_word(json, "address", _("network:"));
        print_word(json, "disk", _("disk:"));
        print_word(json, "nic", _("NIC:"));
        print_word(json, "firmware", _("firmware:"));
        print_word(json, "kvm", _("KVM:"));
        if (status) {
            print_lines(json, "console", _("the console's last lines:"));
            print_lines(json, "lines", _("the screen's last lines:"));
        }
    }
    free(json);
    return status ? cli_fail(cli, e) : 0;
}

const struct cli_command cli_boot = {
    "boot",
    "RESULT-DIR [--timeout S] [--screenshot FILE] [--json]",
    N_("start a result in QEMU on a throw-away overlay: does it reach its "
       "login, and is its network up?"),
    "  rehost boot out/web01\n"
    "  rehost boot out/web01 --screenshot web01.png --timeout 900\n",
    options,
    run};
