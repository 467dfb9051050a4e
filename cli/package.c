/* package.c - rehost inspect, report, convert, profiles. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Where something goes to a server, or is asked of one. */
#define SERVER_OPTIONS                                                    \
    {"login", 0, "FILE",                                                  \
     N_("who we are at a server: YAML, mode 0600 (see rehost push)"),     \
     TO_OPTIONS},                                                         \
        {"tls-ca", 0, "FILE",                                             \
         N_("the CA that signed the server's certificate"), TO_OPTIONS},  \
    {                                                                     \
        "pin", 0, "[HOST=]SHA256",                                        \
            N_("the server's certificate by its fingerprint"), TO_OPTIONS \
    }

/* Of convert and warm start: how disks come to a Proxmox VE node. */
#define UPLOAD_OPTIONS                                                            \
    {"import-storage", 0, "NAME",                                                 \
     N_("--out proxmox://: where files are uploaded to until the VM is made"),    \
     TO_OPTIONS},                                                                 \
        {"transfer", 0, "auto|upload|download",                                   \
         N_("--out proxmox://: send the disks, or have the node fetch them from " \
            "here (with --serve)"),                                               \
         TO_OPTIONS},                                                             \
        CLI_SERVE_OPTIONS

/* A VM of a platform that runs. */
#define LIVE_OPTIONS                                                      \
    {"source-tls-ca", 0, "FILE",                                          \
     N_("the CA that signed the source's certificate"), TO_OPTIONS},      \
        {"source-pin", 0, "[HOST=]SHA256",                                \
         N_("the source's certificate by its fingerprint"), TO_OPTIONS},  \
        {"transport", 0, "auto|folder|lease|image|nfs",                   \
         N_("how a live source's disks come"), TO_OPTIONS},               \
        {"snapshot", 0, NULL,                                             \
         N_("copy a running VM from a snapshot, which is removed again"), \
         TO_OPTIONS},                                                     \
    {                                                                     \
        "quiesce", 0, NULL,                                               \
            N_("with --snapshot: the guest flushes its disks first"),     \
            TO_OPTIONS                                                    \
    }

/* What inspect, report and convert all understand of a package. */
#define SOURCE_OPTIONS                                                          \
    {"fill", 0, "FILE",                                                         \
     N_("configuration the package lacks: Prism JSON, acli text, .vmx, .ovf, "  \
        "overlay (repeat, most trusted first)"),                                \
     TO_OPTIONS},                                                               \
        {"set", 0, "KEY=VALUE", N_("the last word on a field: cpus=4"),         \
         TO_OPTIONS},                                                           \
        {"strict", 0, NULL, N_("a guess is a blocker"), TO_OPTIONS},            \
        {"vm", 0, "ID-OR-NAME", N_("one VM of a collection"), TO_OPTIONS},      \
        {"configuration", 0, "ID", N_("one OVF deployment option"),             \
         TO_OPTIONS},                                                           \
        {"source-format", 0, "raw|vmdk|qcow2|vhd|vhdx|vdi",                     \
         N_("of disks whose content does not say"), TO_OPTIONS},                \
        {"drop", 0, "nicN|diskN|cdromN",                                        \
         N_("leave it out of the VM (repeat)"), TO_OPTIONS},                    \
        {"datastore-map", 0, "PREFIX=DIR",                                      \
         N_("files named by PREFIX (/vmfs/volumes/ds1) lie in DIR"),            \
         TO_OPTIONS},                                                           \
        {"require-manifest", 0, NULL,                                           \
         N_("refuse a package without a manifest"), TO_LIB},                    \
        {"trust", 0, "CA-FILE",                                                 \
         N_("refuse a package whose signature does not lead to this CA"),       \
         TO_LIB},                                                               \
    {                                                                           \
        "key", 0, "file:PATH|env:NAME",                                         \
            N_("of an encrypted volume in the guest: all of the file, with or " \
               "without a newline at its end (else a terminal is asked)"),      \
            TO_OPTIONS                                                          \
    }

/* What a plan understands beside. */
#define PLAN_OPTIONS                                                           \
    {"to", 0, "xen|kvm|all", N_("the model to convert for (repeat for both)"), \
     TO_OPTIONS},                                                              \
        {"devices", 0, "virtio|vmware|emulated|auto",                          \
         N_("which devices the guest will see"), TO_OPTIONS},                  \
        {"format", 0, "qcow2|raw|vhd|xva", N_("the disks' form"), TO_OPTIONS}, \
        {"compress", 0, "none|zlib|zstd|keep",                                 \
         N_("for formats that compress"), TO_OPTIONS},                         \
        {"no-guest-fix", 0, NULL, N_("leave the disks' contents as they are"), \
         TO_OPTIONS},                                                          \
        {"skip-free", 0, NULL,                                                 \
         N_("leave out blocks that the guest's file systems do not use"),      \
         TO_OPTIONS},                                                          \
        {"fix", 0, "ID", N_("a fix that is off by default (repeat)"),          \
         TO_OPTIONS},                                                          \
        {"no-fix", 0, "ID", N_("leave this fix out (repeat)"), TO_OPTIONS},    \
        {"drivers", 0, "DIR-OR-ISO", N_("virtio-win or Xen PV drivers"),       \
         TO_OPTIONS},                                                          \
        {"remove-vmware-tools", 0, NULL,                                       \
         N_("remove VMware's tools from Windows at its first start"),          \
         TO_OPTIONS},                                                          \
        {"network-map", 0, "FROM=TO[,tag=VLAN]",                               \
         N_("a network's name on the target"), TO_OPTIONS},                    \
        {"storage", 0, "NAME", N_("Proxmox storage"), TO_OPTIONS},             \
        {"vmid", 0, "N", N_("Proxmox VM id"), TO_OPTIONS},                     \
        {"sr", 0, "NAME", N_("Xen storage repository"), TO_OPTIONS},           \
    {                                                                          \
        "target-version", 0, "VERSION",                                        \
            N_("of the host: 8.2 or 8.3 (xen), 8 or 9 (kvm)"), TO_OPTIONS      \
    }

static const struct cli_option end = {NULL, 0, NULL, NULL, TO_COMMAND};

/* --- inspect
 * ------------------------------------------------------------------- */

static const struct cli_option inspect_options[] = {
    {"guest", 0, NULL, N_("also look inside the guest"), TO_OPTIONS},
    {"template", 0, NULL,
     N_("an overlay file with just what is missing, to fill in for --fill"),
     TO_COMMAND},
    SERVER_OPTIONS,
    LIVE_OPTIONS,
    SOURCE_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* Sources after the first: bare disks of the same VM. */
int cli_add_disks(struct cli *cli, rh_error **err)
{
    for (size_t i = 1; i < cli->word_count; i++)
        if (rh_options_add(cli->options, "disk", cli->words[i], err) < 0)
            return -1;
    return 0;
}

/* Open the one source, work, close.  The work gives an exit status, or -1 and
 * why. */
static int run_on(struct cli *cli,
                  int (*work)(struct cli *cli, rh_package *p, rh_error **err))
{
    rh_error *e = NULL;
    rh_package *p;
    int status;

    if (cli->word_count == 0)
        return cli_usage(cli, _("a source is needed"));
    if (cli_add_disks(cli, &e) < 0)
        return cli_fail(cli, e);
    cli_may_ask_key(cli);
    p = rh_package_load(cli->lib, cli->words[0], cli->options, &e);
    status = p ? work(cli, p, &e) : -1;
    rh_package_unload(p);
    return status < 0 ? cli_fail(cli, e) : status;
}

static int inspect(struct cli *cli, rh_package *p, rh_error **err)
{
    const char *as = cli->json                    ? "json"
                     : cli_given(cli, "template") ? "template"
                                                  : "text";
    char *text = rh_package_describe(p, as, err);

    cli_progress_end();
    return text ? cli_print(cli, text, NULL) : -1;
}

/* A list of VMs where the source names a place of a platform that runs. */
static int run_inspect(struct cli *cli)
{
    rh_error *e = NULL;
    char *list = NULL;

    if (cli->word_count == 1)
        list = rh_inventory(cli->lib, cli->words[0], cli->options,
                            cli->json ? "json" : "text", &e);
    if (e)
        return cli_fail(cli, e);
    return list ? cli_print(cli, list, NULL) : run_on(cli, inspect);
}

const struct cli_command cli_inspect = {
    "inspect",
    "SOURCE... [--json] [--guest] [--fill FILE] [--set KEY=VALUE]",
    N_("the VM as it is understood, each value with where it came from"),
    "  rehost inspect web01.ova\n"
    "  rehost inspect web01.ova --json --guest\n"
    "  rehost inspect vm.qcow2 --fill prism.json --set nic0.network=LAN\n"
    "  rehost inspect boot.qcow2 data.qcow2 --fill prism.json\n"
    "  rehost inspect RVTools_export.xlsx\n"
    "  rehost inspect vm.ova --template > vm.yaml\n",
    inspect_options,
    run_inspect};

/* --- report
 * ------------------------------------------------------------------------ */

static const struct cli_option report_options[] = {
    {"json", 0, "[FILE]", N_("the report as JSON (to FILE, else printed)"),
     TO_COMMAND},
    {"html", 0, "FILE", N_("one self-contained page"), TO_COMMAND},
    {"no-guest", 0, NULL, N_("do not look inside the guests"), TO_OPTIONS},
    {"one-vm", 0, NULL, N_("the sources are the disks of one VM"), TO_COMMAND},
    {"redact", 0, NULL,
     N_("names and addresses replaced, so that it may be shown to others"),
     TO_OPTIONS},
    {"need", 0, "NEED,...",
     N_("what the models are weighed by: isolation, delta-backup, "
        "file-restore, replication, replication-other-kind, hci, low-latency, "
        "overcommit, vmware-devices, solaris, or what a model.yaml names"),
     TO_OPTIONS},
    {"target", 0, "URL",
     N_("ask this server, too: room, networks, rights (as convert --out)"),
     TO_OPTIONS},
    {"run-as", 0, "USER",
     N_("--target proxmox-local: who reads the source, without root's rights "
        "(nobody)"),
     TO_OPTIONS},
    SERVER_OPTIONS,
    LIVE_OPTIONS,
    PLAN_OPTIONS,
    SOURCE_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* To standard output, which carries one thing. */
static bool is_printed(const char *path)
{
    return path && (!path[0] || !strcmp(path, "-"));
}

static int save_report(struct cli *cli, rh_report *r, const char *as,
                       const char *path)
{
    rh_error *e = NULL;
    char *text = rh_report_render(r, as, &e);
    int status;

    if (!text)
        return cli_fail(cli, e);
    if (is_printed(path))
        return cli_print(cli, text, NULL);
    status = cli_save(cli, path, text);
    free(text);
    return status;
}

/* A lone source that was refused is an error like any other; among others it
 * is a row. */
static int print_report(struct cli *cli, rh_report *r)
{
    rh_error *cause = rh_report_cause(r);
    const char *json = cli_given(cli, "json");
    const char *html = cli_given(cli, "html");
    bool text = !is_printed(json) && !is_printed(html);
    int status = 0;

    if (json)
        status = save_report(cli, r, "json", json);
    if (!status && html)
        status = save_report(cli, r, "html", html);
    if (!status && text && !cause)
        status = save_report(cli, r, "text", "");
    if (cause)
        cli_fail(cli, cause);
    return status ? status : rh_report_status(r);
}

static int run_report(struct cli *cli)
{
    rh_error *e = NULL;
    rh_report *r;
    int status;

    if (cli->word_count == 0)
        return cli_usage(cli, _("a source is needed"));
    if (is_printed(cli_given(cli, "json")) &&
        is_printed(cli_given(cli, "html")))
        return cli_usage(cli, _("one of --json and --html needs a file: both "
                                "would be printed"));
    if (cli_given(cli, "one-vm") && cli_add_disks(cli, &e) < 0)
        return cli_fail(cli, e);
    status = cli_split(cli);
    if (status >= 0)
        return status;
    r = rh_report_run(cli->lib, cli->words,
                      cli_given(cli, "one-vm") ? 1 : cli->word_count,
                      cli->options, &e);
    if (!r)
        return cli_fail(cli, e);
    cli_progress_end();
    status = print_report(cli, r);
    rh_report_free(r);
    return status;
}

const struct cli_command cli_report = {
    "report",
    "SOURCE... --to xen|kvm|all [--json [FILE]] [--html FILE]",
    N_("a dry run: what fits, what would change, what must be done by hand"),
    "  rehost report web01.ova --to all\n"
    "  rehost report /exports --to all --html fleet.html\n"
    "  rehost report RVTools_export.xlsx --to all --html plan.html\n"
    "  rehost report web01.ova --to xen --json | jq '.vms[].targets'\n",
    report_options,
    run_report};

/* --- convert
 * ------------------------------------------------------------------------- */

static const struct cli_option convert_options[] = {
    {"out", 'o', "DIR",
     N_("where the results appear, as DIR/NAME (- for an XVA: standard "
        "output; xapi://HOST[/SR], xo://HOST[/SR], "
        "proxmox://HOST/NODE[/STORAGE], libvirt:URI[#POOL], on a Proxmox node "
        "proxmox-local:STORAGE: there)"),
     TO_OPTIONS},
    {"name", 0, "NAME", N_("the result's name instead of the VM's"),
     TO_OPTIONS},
    {"overwrite", 0, NULL, N_("replace an earlier result"), TO_OPTIONS},
    {"clean", 0, NULL,
     N_("convert nothing: take away what interrupted copies of running VMs have "
        "left at the SOURCE's server (snapshots, images of ours)"),
     TO_COMMAND},
    {"results-at", 0, "DIR",
     N_("write DIR instead of --out where a result names its own place: it "
        "will be moved there"),
     TO_OPTIONS},
    {"fetched-dir", 0, "DIR",
     N_("keep there what comes from the source's server until the result is "
        "there: the same command, interrupted, goes on with it"),
     TO_LIB},
    {"fetched-most", 0, "SIZE", N_("of that at most (else all)"), TO_LIB},
    {"done", 0, "TARGET/NAME",
     N_("leave this one out: an earlier run has made it (repeat)"), TO_OPTIONS},
    {"cluster-size", 0, "SIZE", N_("of a qcow2"), TO_OPTIONS},
    {"xva-sum", 0, "sha1|xxhash", N_("checksums in an XVA"), TO_OPTIONS},
    {"start", 0, NULL, N_("--out URL: start the VM afterwards"), TO_OPTIONS},
    {"wait-address", 0, "SECONDS",
     N_("with --start: wait so long for the guest to tell its address"),
     TO_OPTIONS},
    UPLOAD_OPTIONS,
    {"keep-failed", 0, NULL, N_("--out URL: leave what a failure made"),
     TO_OPTIONS},
    {"receipt", 0, "FILE",
     N_("--out URL: keep a receipt here, for `rehost verify --receipt`"),
     TO_OPTIONS},
    {"run-as", 0, "USER",
     N_("--out proxmox-local: who reads the source, without root's rights "
        "(nobody)"),
     TO_OPTIONS},
    SERVER_OPTIONS,
    LIVE_OPTIONS,
    PLAN_OPTIONS,
    SOURCE_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* rehost warm start (warm.c) converts as well. */
const struct cli_option cli_warm_start_options[] = {
    {"out", 'o', "DIR",
     N_("where the result appears at the cutover, as DIR/NAME; or a server's "
        "URL, as convert has it"),
     TO_OPTIONS},
    {"job", 0, "NAME", N_("the job's name (else the VM's)"), TO_OPTIONS},
    {"run-as", 0, "USER",
     N_("--out proxmox-local: who reads the source and keeps the job, without "
        "root's rights"),
     TO_OPTIONS},
    {"quiesce", 0, NULL, N_("let the guest's tools flush before each snapshot"),
     TO_OPTIONS},
    {"enable-cbt", 0, NULL,
     N_("switch changed block tracking on, and off again at the end"),
     TO_OPTIONS},
    {"keep-snapshot", 0, NULL,
     N_("vSphere without tracking: keep the snapshot of a round until the next, "
        "whose delta files tell what changed"),
     TO_OPTIONS},
    {"min-free", 0, "SIZE",
     N_("no snapshot where the source's datastore has less (2GiB)"),
     TO_OPTIONS},
    {"name", 0, "NAME", N_("the result's name instead of the VM's"),
     TO_OPTIONS},
    {"overwrite", 0, NULL, N_("replace an earlier result"), TO_OPTIONS},
    {"cluster-size", 0, "SIZE", N_("of a qcow2"), TO_OPTIONS},
    UPLOAD_OPTIONS,
    {"source-tls-ca", 0, "FILE",
     N_("the CA that signed the source's certificate"), TO_OPTIONS},
    {"source-pin", 0, "[HOST=]SHA256",
     N_("the source's certificate by its fingerprint"), TO_OPTIONS},
    {"transport", 0, "auto|folder|lease|nfs",
     N_("how a live source's disks come"), TO_OPTIONS},
    SERVER_OPTIONS,
    PLAN_OPTIONS,
    SOURCE_OPTIONS,
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static void print_outcome(FILE *f, const rh_outcome *o)
{
    static const char *const states[] = {"pending", "done", "failed"};
    const rh_error *e = rh_outcome_error(o);

    fputs("{\"name\": ", f);
    cli_json_string(f, rh_outcome_name(o));
    fprintf(f, ", \"target\": \"%s\", \"state\": \"%s\"", rh_outcome_target(o),
            states[rh_outcome_state(o)]);
    if (rh_outcome_result(o)) {
        fputs(", \"result\": ", f);
        cli_json_string(f, rh_outcome_result(o));
    }
    if (e) {
        fprintf(f, ", \"code\": \"%s\", \"class\": \"%s\", \"message\": ",
                rh_error_id(e), rh_error_class(e));
        cli_json_string(f, rh_error_message(e));
    }
    fputc('}', f);
}

static char *results_json(const rh_job *job)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    const rh_outcome *o;
    const char *path;

    if (!f)
        return NULL;
    fputs("{\"results\": [", f);
    for (size_t i = 0; (path = rh_job_result(job, i)); i++) {
        fputs(i ? ", " : "", f);
        cli_json_string(f, path);
    }
    fputs("], \"vms\": [", f);
    for (size_t i = 0; (o = rh_job_outcome(job, i)); i++) {
        fputs(i ? ", " : "", f);
        print_outcome(f, o);
    }
    fputs("]}\n", f);
    fclose(f);
    return text;
}

static bool same_error(const rh_error *a, const rh_error *b)
{
    return !strcmp(rh_error_id(a), rh_error_id(b)) &&
           !strcmp(rh_error_where(a), rh_error_where(b)) &&
           !strcmp(rh_error_message(a), rh_error_message(b));
}

/* The error that decides the exit status is said last, by the caller; each
 * other VM's here. */
static void say_others(const struct cli *cli, const rh_job *job,
                       const rh_error *worst)
{
    const rh_error *last = NULL;
    const rh_outcome *o;

    for (size_t i = 0; (o = rh_job_outcome(job, i)); i++) {
        const rh_error *e = rh_outcome_error(o);

        if (!e || same_error(e, worst) || (last && same_error(e, last)))
            continue;
        cli_say_error(cli, e);
        last = e;
    }
}

/* Of several VMs some may be there when others failed: all are told. */
static int convert(struct cli *cli, rh_package *p, rh_error **err)
{
    rh_job *job = rh_job_new(p, cli->options, err);
    int failed = !job || rh_job_run(job, err) < 0;

    cli_progress_end();
    if (job && rh_job_result(job, 0))
        cli_print(cli, cli->json ? results_json(job) : rh_job_summary(job),
                  NULL);
    if (job && failed && !cli->json)
        say_others(cli, job, *err);
    rh_job_free(job);
    return failed ? -1 : 0;
}

/* Of the servers of these sources. */
static int clean(struct cli *cli)
{
    int status = 0;

    if (!cli->word_count)
        return cli_usage(cli, _("a source is needed"));
    for (size_t i = 0; i < cli->word_count; i++) {
        rh_error *e = NULL;
        int n = rh_source_clean(cli->lib, cli->words[i], cli->options, &e);

        if (n < 0)
            status = cli_fail(cli, e);
        else if (!cli->json)
            printf(_("cleaned: %s (%d things of an earlier run)\n"),
                   cli->words[i], n);
    }
    if (cli->json && !status)
        puts("{\"cleaned\": true}");
    return status;
}

static int run_convert(struct cli *cli)
{
    int status = cli_given(cli, "clean") ? clean(cli) : cli_split(cli);

    return status < 0 ? run_on(cli, convert) : status;
}

const struct cli_command cli_convert = {
    "convert",
    "SOURCE... --to xen|kvm --out DIR [options]",
    N_("a VM that boots on the target: disks, configuration, import script"),
    "  rehost convert web01.ova --to kvm --out /srv/import\n"
    "  rehost convert web01.ova --to xen --to kvm --out /srv/import\n"
    "  rehost convert web01.ova --to kvm --devices vmware --format raw --out .\n"
    "  rehost convert web01.ova --to xen --out - | ssh host xe vm-import "
    "filename=/dev/stdin\n",
    convert_options,
    run_convert};

/* --- profiles
 * ----------------------------------------------------------------------------
 */

/* The value of a line `      "key": "value",` of our own JSON; "" when it is
 * another. */
static int line_value(const char *line, const char *key, const char **ret)
{
    char pattern[32];
    int n = snprintf(pattern, sizeof pattern, "      \"%s\": \"", key);

    if (strncmp(line, pattern, (size_t)n))
        return 0;
    *ret = line + n;
    return (int)strcspn(*ret, "\"");
}

static void print_profiles(const char *json)
{
    const char *id = "", *about = "", *value;
    int id_length = 0, about_length = 0, n;

    for (const char *line = json; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if ((n = line_value(line, "profile", &value)))
            id = value, id_length = n;
        else if ((n = line_value(line, "about", &value)))
            about = value, about_length = n;
        else if (!strncmp(line, "    }", 5))
            printf("%-18.*s %.*s\n", id_length, id, about_length, about);
    }
}

static int run_profiles(struct cli *cli)
{
    rh_error *e = NULL;
    char *text;

    if (cli->word_count > 1)
        return cli_usage(cli, _("one profile at most"));
    text = rh_lib_profiles_json(cli->lib,
                                cli->word_count ? cli->words[0] : NULL, &e);
    if (!text)
        return cli_fail(cli, e);
    if (cli->json || cli->word_count)
        return cli_print(cli, text, NULL);
    print_profiles(text);
    free(text);
    return 0;
}

const struct cli_command cli_profiles = {
    "profiles",
    "[--json] [ID]",
    N_("the operating systems that are known, and what each needs"),
    "  rehost profiles\n  rehost profiles debian-12\n",
    &end,
    run_profiles};
