/* cli.h - what the commands share.  This folder lives on the public header
 * alone: it is the library's first customer. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CLI_H
#define RH_CLI_H

#include <libintl.h>
#include <stdbool.h>
#include <stdio.h>

#include "rehost/rehost.h"

#define _(text)  dgettext("rehost", (text))
#define N_(text) (text)

enum { CLI_USAGE = 2 };

struct cli;

/* One long option of a command. */
struct cli_option {
    const char *name;     /* without dashes */
    char letter;          /* short form, or 0 */
    const char *argument; /* NULL: a switch */
    const char *about;    /* N_() */
    enum { TO_COMMAND, TO_LIB, TO_OPTIONS } whose;
};

struct cli_command {
    const char *name;
    const char *usage;    /* "SOURCE [--json]" */
    const char *about;    /* one line, N_() */
    const char *examples; /* lines, as they are typed; may be NULL */
    const struct cli_option *options; /* ended by name == NULL */
    int (*run)(struct cli *cli);
};

struct cli {
    const struct cli_command *command;
    const char *title; /* "disk convert" */
    rh_lib *lib;
    rh_options *options;   /* TO_OPTIONS, as given */
    const char **switches; /* TO_COMMAND and TO_OPTIONS: name, value pairs */
    size_t switch_count;
    const char **words; /* what is left: sources, files */
    size_t word_count;
    bool json;
};

extern const struct cli_option cli_common_options[];

/* The value of a TO_COMMAND or TO_OPTIONS option, "" for a switch, NULL when
 * not given. */
const char *cli_given(const struct cli *cli, const char *name);
/* Print the error (two lines, or JSON), free it, return its exit status. */
int cli_fail(const struct cli *cli, rh_error *e);
void cli_say_error(const struct cli *cli, const rh_error *e); /* print only */
int cli_usage(const struct cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* With a hint of its own instead of "see --help". */
int cli_usage_hint(const struct cli *cli, const char *message,
                   const char *hint);
/* Was all of standard output written?  Said, and 1, when not. */
int cli_flush(const struct cli *cli);
void cli_json_string(FILE *f, const char *text); /* quoted */
/* Print a result to standard output, or fail; frees text. */
int cli_print(const struct cli *cli, char *text, rh_error *e);
/* Write text to a file ("-": standard output). */
int cli_save(const struct cli *cli, const char *path, const char *text);

/* The node fetches its disks from us: of push, convert and warm start. */
#define CLI_SERVE_OPTIONS                                                           \
    {"serve", 0, "ADDRESS[:PORT]",                                                  \
     N_("where the node fetches them: an address of this machine (else the "        \
        "one on the way to the node)"),                                             \
     TO_OPTIONS},                                                                   \
        {"serve-cert", 0, "FILE",                                                   \
         N_("with --serve NAME: a certificate that the node trusts, which it then " \
            "checks"),                                                              \
         TO_OPTIONS},                                                               \
    {                                                                               \
        "serve-key", 0, "FILE", N_("its key"), TO_OPTIONS                           \
    }

/* package.c: the sources after the first are more disks of the same VM. */
int cli_add_disks(struct cli *cli, rh_error **err);
extern const struct cli_option cli_warm_start_options[];

/* split.c: before anything is read.  -1: go on; else all is done, with this
 * exit status. */
int cli_split(struct cli *cli);

/* progress.c */
int cli_progress_start(struct cli *cli, const char *mode);
void cli_progress_end(void);

/* prompt.c: a person's answers, and secrets kept out of core dumps. */
void cli_may_ask(struct cli *cli);
/* The same, where only an encrypted volume may want a key. */
void cli_may_ask_key(struct cli *cli);

int cli_main(int argc, char **argv);

extern const struct cli_command cli_inspect, cli_report, cli_convert,
    cli_profiles, cli_boot, cli_verify, cli_push, cli_disk_info, cli_disk_map,
    cli_disk_check, cli_disk_convert, cli_disk_compare, cli_batch_init,
    cli_batch_run, cli_batch_resume, cli_batch_status, cli_batch_submit,
    cli_warm_start, cli_warm_sync, cli_warm_cutover, cli_warm_rehearse,
    cli_warm_status, cli_warm_abort;

#endif
