/* push.c - rehost push. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"to", 0, "URL",
     N_("where to: xapi://HOST[:PORT][/SR], xo://HOST[:PORT][/SR], "
        "proxmox://HOST[:PORT]/NODE[/STORAGE], libvirt:URI[#POOL], or, on a "
        "Proxmox node, proxmox-local:STORAGE"),
     TO_OPTIONS},
    {"login", 0, "FILE",
     N_("YAML, mode 0600: HOST: {user, password or token, pin}; else "
        "REHOST_USER, REHOST_PASSWORD, REHOST_TOKEN, else a prompt"),
     TO_OPTIONS},
    {"tls-ca", 0, "FILE", N_("the CA that signed the servers' certificates"),
     TO_OPTIONS},
    {"pin", 0, "[HOST=]SHA256",
     N_("a server's certificate by its fingerprint, instead of a CA"),
     TO_OPTIONS},
    {"network-map", 0, "FROM=TO[,tag=VLAN]",
     N_("network of the result to one there (Proxmox: a bridge)"), TO_OPTIONS},
    {"sr", 0, "NAME", N_("XCP-ng: the storage, where the URL names none"),
     TO_OPTIONS},
    {"storage", 0, "NAME", N_("Proxmox, libvirt: likewise"), TO_OPTIONS},
    {"import-storage", 0, "NAME",
     N_("Proxmox: where files are uploaded to until the VM is made"),
     TO_OPTIONS},
    {"transfer", 0, "auto|upload|download",
     N_("proxmox://: send the disks, or have the node fetch them from here "
        "(with --serve; auto also where its /var/tmp has no room)"),
     TO_OPTIONS},
    CLI_SERVE_OPTIONS,
    {"vmid", 0, "N", N_("Proxmox: the VM's number"), TO_OPTIONS},
    {"name", 0, "NAME", N_("the VM's name there"), TO_OPTIONS},
    {"disk-by-disk", 0, NULL,
     N_("XCP-ng: disks one by one; a broken connection costs one piece of 8 "
        "GiB, not all"),
     TO_OPTIONS},
    {"dry-run", 0, NULL,
     N_("log in, check, say what would be done; change nothing"), TO_OPTIONS},
    {"start", 0, NULL, N_("start it afterwards"), TO_OPTIONS},
    {"wait-address", 0, "SECONDS",
     N_("wait so long for the started guest to tell its address"), TO_OPTIONS},
    {"keep-failed", 0, NULL, N_("leave what a failure made"), TO_OPTIONS},
    {"clean", 0, NULL,
     N_("take away what an interrupted push has left (without a RESULT-DIR: "
        "what conversions with --out URL have)"),
     TO_COMMAND},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* Taking away looks at the journal alone. */
static const char *const not_cleaning[] = {
    "network-map", "sr",           "storage",      "import-storage",
    "vmid",        "name",         "dry-run",      "keep-failed",
    "start",       "disk-by-disk", "wait-address", "transfer",
    "serve",       "serve-cert",   "serve-key",    NULL};

/* Of several outcomes: interrupted, else what may be tried again, else
 * refused, else blocked. */
static int worse(int a, int b)
{
    static const int order[] = {130, 1, 2, 3, 4};

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return 0;
}

static int clean_all(struct cli *cli, rh_push *push)
{
    int status = 0;
    size_t i = 0;

    do { /* without a result: what conversions straight to it have left */
        const char *dir = cli->words[i];
        rh_error *e = NULL;
        int n = rh_push_clean(push, dir, &e);

        if (n < 0)
            status = worse(status, cli_fail(cli, e));
        else if (!cli->json)
            printf(_("cleaned: %s (%d things of an earlier run)\n"),
                   dir ? dir : cli_given(cli, "to"), n);
    } while (++i < cli->word_count);
    if (cli->json && !status)
        puts("{\"cleaned\": true}");
    return status;
}

static int push_all(struct cli *cli, rh_push *push)
{
    int status = 0;
    size_t printed = 0;

    if (cli->json)
        fputs("{\n  \"schema\": \"rehost.delivery/1\",\n  \"vms\": [", stdout);
    for (size_t i = 0; i < cli->word_count && status != 130; i++) {
        rh_error *e = NULL;
        char *json, *text;

        if (rh_push_result(push, cli->words[i], &json, &text, &e) < 0)
            status = worse(status, cli_fail(cli, e));
        cli_progress_end();
        if (json && cli->json)
            printf("%s%s", printed++ ? ",\n" : "\n", json);
        else if (text)
            fputs(text, stdout);
        free(json);
        free(text);
    }
    if (cli->json)
        puts("\n  ]\n}");
    return status;
}

static int run(struct cli *cli)
{
    rh_error *e = NULL;
    rh_push *push;
    int status;

    if (!cli->word_count && !cli_given(cli, "clean"))
        return cli_usage(cli, _("a result folder is needed"));
    for (const char *const *name = not_cleaning;
         cli_given(cli, "clean") && *name; name++)
        if (cli_given(cli, *name))
            return cli_usage(cli, _("--clean takes no --%s"), *name);
    push = rh_push_open(cli->lib, cli->options, &e);
    if (!push)
        return cli_fail(cli, e);
    status =
        cli_given(cli, "clean") ? clean_all(cli, push) : push_all(cli, push);
    rh_push_close(push);
    return status;
}

const struct cli_command cli_push = {
    "push",
    "RESULT-DIR... --to URL",
    N_("deliver results to a hypervisor by its API"),
    "  rehost push out/web01 --to xapi://xen1.example.net/NFS --dry-run\n"
    "  rehost push out/web01 --to xapi://xen1.example.net/NFS --login "
    "~/.rehost.yaml --start\n"
    "  rehost push out/web01 --to proxmox://pve1.example.net/pve1/local-lvm "
    "--pin AB:CD:...\n"
    "  rehost push out/web01 --to proxmox://pve1.example.net/pve1/local-lvm "
    "--serve 192.0.2.10:8443\n"
    "  rehost push out/web01 --to libvirt:qemu+ssh://root@kvm1.example.net/"
    "system#default --network-map '*=br0'\n",
    options,
    run};
