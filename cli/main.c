/* main.c - find the command, read its options, run it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct {
    const char *group; /* "disk", "batch", or NULL */
    const struct cli_command *command;
} commands[] = {
    {NULL, &cli_inspect},         {NULL, &cli_report},
    {NULL, &cli_convert},         {NULL, &cli_boot},
    {NULL, &cli_verify},          {NULL, &cli_push},
    {"disk", &cli_disk_info},     {"disk", &cli_disk_map},
    {"disk", &cli_disk_check},    {"disk", &cli_disk_convert},
    {"disk", &cli_disk_compare},  {NULL, &cli_profiles},
    {"batch", &cli_batch_init},   {"batch", &cli_batch_run},
    {"batch", &cli_batch_resume}, {"batch", &cli_batch_status},
    {"batch", &cli_batch_submit}, {"warm", &cli_warm_start},
    {"warm", &cli_warm_sync},     {"warm", &cli_warm_cutover},
    {"warm", &cli_warm_rehearse}, {"warm", &cli_warm_status},
    {"warm", &cli_warm_abort},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

const struct cli_option cli_common_options[] = {
    {"json", 0, NULL, N_("results and errors as JSON"), TO_COMMAND},
    {"lang", 0, "en|ja", N_("language of messages (else the locale's)"),
     TO_LIB},
    {"progress", 0, "auto|bar|json|none",
     N_("a bar on a terminal; JSON lines for services"), TO_COMMAND},
    {"threads", 0, "N", N_("worker threads (every core by default)"), TO_LIB},
    {"memory", 0, "SIZE", N_("bytes of buffers (32 MiB by default)"), TO_LIB},
    {"bandwidth", 0, "RATE",
     N_("bytes a second from and to servers at most, all in all: 100M"),
     TO_LIB},
    {"max-disk-size", 0, "SIZE", N_("largest virtual disk taken (64 TiB)"),
     TO_LIB},
    {"temp-dir", 0, "DIR", N_("where spools and guest edits are kept"), TO_LIB},
    {"verbose", 'v', NULL, N_("say what is being done"), TO_COMMAND},
    {"help", 'h', NULL, N_("this text"), TO_COMMAND},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

const char *cli_given(const struct cli *cli, const char *name)
{
    for (size_t i = cli->switch_count; i > 0; i--)
        if (!strcmp(cli->switches[2 * (i - 1)], name))
            return cli->switches[2 * (i - 1) + 1];
    return NULL;
}

/* --- help
 * ------------------------------------------------------------------------ */

static void help_options(const struct cli_option *o)
{
    for (; o && o->name; o++) {
        char left[64];

        snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : "",
                 o->letter ? o->letter : ' ', o->letter ? ", " : "   ", o->name,
                 o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-34s %s\n", left, _(o->about));
    }
}

static int help_command(const char *title, const struct cli_command *c)
{
    printf(_("usage: rehost %s %s\n\n%s\n"), title, c->usage, _(c->about));
    if (c->options && c->options[0].name) {
        printf("\n%s\n", _("Options:"));
        help_options(c->options);
    }
    printf("\n%s\n", _("Common options:"));
    help_options(cli_common_options);
    if (c->examples)
        printf("\n%s\n%s", _("Examples:"), c->examples);
    return 0;
}

static int help_all(void)
{
    puts(_(
        "usage: rehost COMMAND ...\n\n"
        "Turn VMware and Nutanix VMs, from exports or from a vCenter, an ESXi\n"
        "host or a Nutanix cluster, into VMs that boot on Xen\n"
        "(XCP-ng) or KVM (Proxmox VE, libvirt).\n\nCommands:"));
    for (size_t i = 0; i < COMMANDS; i++) {
        char title[32];

        snprintf(title, sizeof title, "%s%s%s",
                 commands[i].group ? commands[i].group : "",
                 commands[i].group ? " " : "", commands[i].command->name);
        printf("  %-14s %s\n", title, _(commands[i].command->about));
    }
    puts(_("\nExamples:\n"
           "  rehost inspect web01.ova\n"
           "  rehost report web01.ova --to all\n"
           "  rehost convert web01.ova --to kvm --out /srv/import\n"
           "\n`rehost COMMAND --help` explains each; `rehost --version` tells "
           "what is built in."));
    return 0;
}

/* --- options
 * ------------------------------------------------------------------------ */

static const struct cli_option *find_long(const struct cli_option *list,
                                          const char *name, size_t n)
{
    for (; list && list->name; list++)
        if (strlen(list->name) == n && !strncmp(list->name, name, n))
            return list;
    return NULL;
}

static const struct cli_option *find_short(const struct cli_option *list,
                                           char letter)
{
    for (; list && list->name; list++)
        if (list->letter && list->letter == letter)
            return list;
    return NULL;
}

static int take(struct cli *cli, const struct cli_option *o, const char *value)
{
    rh_error *e = NULL;

    if (o->whose == TO_LIB &&
        rh_lib_set(cli->lib, o->name, o->argument ? value : "yes", &e) < 0)
        return cli_fail(cli, e);
    if (o->whose == TO_OPTIONS &&
        rh_options_add(cli->options, o->name, value, &e) < 0)
        return cli_fail(cli, e);
    if (o->whose == TO_OPTIONS && strstr(value, "://"))
        cli_may_ask(cli); /* a server will want to know who we are */
    if (o->whose != TO_LIB) {
        cli->switches[2 * cli->switch_count] = o->name;
        cli->switches[2 * cli->switch_count + 1] = value;
        cli->switch_count++;
    }
    return 0;
}

/* One option at argv[*i]; moves *i over its argument. */
static int read_option(struct cli *cli, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *value = NULL;
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *o;

    if (is_long) {
        o = find_long(cli->command->options, name, n);
        if (!o)
            o = find_long(cli_common_options, name, n);
    } else {
        o = find_short(cli->command->options, name[0]);
        if (!o)
            o = find_short(cli_common_options, name[0]);
        if (o && name[1] && o->argument)
            equals = name; /* -Oraw */
        else if (name[1])
            o = NULL;
    }
    if (!o)
        return cli_usage(cli, _("there is no option %s"), word);
    if (equals)
        value = equals + 1;
    if (!o->argument && value)
        return cli_usage(cli, _("--%s takes no value"), o->name);
    if (o->argument && !value) {
        /* --json FILE of report: its argument may be left out. */
        bool optional = o->argument[0] == '[';

        if (*i + 1 < argc &&
            (!optional || (argv[*i + 1][0] != '-' || !argv[*i + 1][1])))
            value = argv[++*i];
        else if (!optional)
            return cli_usage(cli, _("--%s needs a value: %s"), o->name,
                             o->argument);
    }
    return take(cli, o, value ? value : "");
}

static void take_word(struct cli *cli, const char *word)
{
    cli->words[cli->word_count++] = word;
    if (strstr(word, "://") && strncmp(word, "http", 4))
        cli_may_ask(cli); /* a platform's server, as above */
}

static int read_arguments(struct cli *cli, int argc, char **argv)
{
    bool only_words = false;

    for (int i = 0; i < argc; i++) {
        int status = 0;

        if (!only_words && !strcmp(argv[i], "--"))
            only_words = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1])
            status = read_option(cli, argc, argv, &i);
        else
            take_word(cli, argv[i]);
        if (status)
            return status;
    }
    return 0;
}

/* --- signals: the first asks to stop, the second ends at once
 * ----------------------- */

static rh_lib *volatile interrupted_lib;

static void on_signal(int number)
{
    rh_lib *lib = interrupted_lib;

    (void)number;
    if (!lib)
        _exit(130); /* interrupted, whatever the signal */
    rh_lib_cancel(lib);
    interrupted_lib = NULL;
}

static void catch_signals(rh_lib *lib)
{
    struct sigaction action = {.sa_handler = on_signal};

    interrupted_lib = lib;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void log_line(void *user, int level, const char *line)
{
    const bool *verbose = user;

    if (level < RH_LOG_WARN_LEVEL && !*verbose)
        return;
    cli_progress_end();
    fprintf(stderr, "rehost: %s%s\n",
            level == RH_LOG_WARN_LEVEL ? _("warning: ") : "", line);
}

static int run_command(struct cli *cli, int argc, char **argv)
{
    static bool verbose;
    int status = read_arguments(cli, argc, argv);

    if (status)
        return status;
    if (cli_given(cli, "help"))
        return help_command(cli->title, cli->command);
    verbose = cli_given(cli, "verbose") != NULL;
    rh_lib_on_log(cli->lib, log_line, &verbose);
    status = cli_progress_start(cli, cli_given(cli, "progress"));
    if (status)
        return status;
    catch_signals(cli->lib);
    status = cli->command->run(cli);
    interrupted_lib = NULL;
    cli_progress_end();
    return cli_flush(cli) && !status ? 1 : status;
}

/* Which command do the first words name?  *ret_words: how many it took. */
static int find_command(int argc, char **argv, int *ret_words)
{
    for (int i = 0; argc > 1 && i < COMMANDS; i++) {
        const char *group = commands[i].group;
        int at = group ? 2 : 1;

        if ((group && strcmp(argv[1], group)) || at >= argc)
            continue;
        if (!strcmp(argv[at], commands[i].command->name)) {
            *ret_words = at + 1;
            return i;
        }
    }
    return -1;
}

static int help_group(const char *group)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].group && !strcmp(commands[i].group, group))
            printf("rehost %s %s %s\n    %s\n", group,
                   commands[i].command->name, commands[i].command->usage,
                   _(commands[i].command->about));
    return 0;
}

static bool is_group(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].group && !strcmp(commands[i].group, name))
            return true;
    return false;
}

static int no_command(struct cli *cli, int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : NULL;
    const char *second = argc > 2 ? argv[2] : NULL;

    if (!first) {
        help_all();
        return CLI_USAGE;
    }
    if (!strcmp(first, "--help") || !strcmp(first, "-h") ||
        !strcmp(first, "help"))
        return help_all();
    if (!strcmp(first, "--version") || !strcmp(first, "-V")) {
        char *info = rh_build_info();

        fputs(info, stdout);
        free(info);
        return 0;
    }
    if (!is_group(first))
        return cli_usage(cli, _("there is no command \"%s\""), first);
    if (second && (!strcmp(second, "--help") || !strcmp(second, "-h")))
        return help_group(first);
    cli->title = first;
    if (!second || second[0] == '-')
        return cli_usage(cli, _("which of the %s commands?"), first);
    return cli_usage(cli, _("there is no command \"%s %s\""), first, second);
}

/* Also errors in the arguments before it are said as JSON. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--json") || !strncmp(argv[i], "--json=", 7))
            return true;
    return false;
}

/* A split disk of 2 TiB has 1024 files, each open at once: as many as the
 * system lets us without asking. */
static void allow_many_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    int words = 0, i, status;
    char title[32];
    rh_error *e = NULL;
    struct cli cli = {0};

    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    allow_many_files();
    cli.json = wants_json(argc, argv);
    cli.lib = rh_lib_new(&e);
    if (!cli.lib)
        return cli_fail(&cli, e);
    rh_lib_set(cli.lib, "lang", "auto", NULL);
    i = find_command(argc, argv, &words);
    if (i < 0) {
        status = no_command(&cli, argc, argv);
        if (cli_flush(&cli) && !status)
            status = 1;
        rh_lib_free(cli.lib);
        return status;
    }
    snprintf(title, sizeof title, "%s%s%s",
             commands[i].group ? commands[i].group : "",
             commands[i].group ? " " : "", commands[i].command->name);
    cli.command = commands[i].command;
    cli.title = title;
    cli.options = rh_options_new();
    cli.switches = calloc((size_t)argc * 2, sizeof *cli.switches);
    cli.words = calloc((size_t)argc + 1, sizeof *cli.words);
    status = cli.switches && cli.words
                 ? run_command(&cli, argc - words, argv + words)
                 : 1;
    free(cli.switches);
    free(cli.words);
    rh_options_free(cli.options);
    rh_lib_free(cli.lib);
    return status;
}
