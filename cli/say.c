/* say.c - errors and results: one form for all, as text or as JSON. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

/* --- errors
 * ------------------------------------------------------------------------ */

static void say_text(const char *id, const char *subject, const char *message,
                     const char *hint)
{
    fprintf(stderr, _("rehost: error: %s%s%s [%s]\n"), subject,
            subject[0] ? ": " : "", message, id);
    if (hint[0])
        fprintf(stderr, _("  hint: %s\n"), hint);
}

void cli_say_error(const struct cli *cli, const rh_error *e)
{
    cli_progress_end();
    fflush(stdout);
    if (cli && cli->json) {
        char *text = rh_error_json(e);

        fprintf(stderr, "%s\n", text);
        free(text);
    } else {
        say_text(rh_error_id(e), rh_error_where(e), rh_error_message(e),
                 rh_error_hint(e));
    }
}

int cli_fail(const struct cli *cli, rh_error *e)
{
    int status = rh_error_status(e);

    cli_say_error(cli, e);
    rh_error_free(e);
    return status ? status : 1;
}

void cli_json_string(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

/* The same as rh_error_json() for what the library has no part in. */
static void say_json(const char *id, const char *subject, const char *message,
                     const char *hint)
{
    const char *const pairs[][2] = {
        {"code", id},
        {"class", strcmp(id, "USAGE") ? "io" : "usage"},
        {"message", message},
        {"hint", hint},
        {"subject", subject}};

    fputs("{\n  \"error\": {", stderr);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        fprintf(stderr, "%s\n    \"%s\": ", i ? "," : "", pairs[i][0]);
        cli_json_string(stderr, pairs[i][1]);
    }
    fputs("\n  }\n}\n", stderr);
}

static void say(const struct cli *cli, const char *id, const char *subject,
                const char *message, const char *hint)
{
    cli_progress_end();
    if (cli->json)
        say_json(id, subject, message, hint);
    else
        say_text(id, subject, message, hint);
}

/* How long the UTF-8 sequence at `p` is; 0: none that may be shown. */
static size_t sequence(const unsigned char *p)
{
    size_t n = *p < 0x80                  ? 1
               : *p >= 0xc2 && *p <= 0xdf ? 2
               : *p >= 0xe0 && *p <= 0xef ? 3
               : *p >= 0xf0 && *p <= 0xf4 ? 4
                                          : 0;

    if (*p < 0x20 || *p == 0x7f)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Words of the command line may hold any bytes; a terminal and JSON may not. */
static void make_printable(char *text)
{
    size_t n;

    for (; *text; text += n ? n : 1) {
        n = sequence((unsigned char *)text);
        if (!n)
            *text = '?';
    }
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    char message[512], hint[128];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    make_printable(message);
    snprintf(hint, sizeof hint, _("see `rehost %s%s--help`"),
             cli->title ? cli->title : "", cli->title ? " " : "");
    say(cli, "USAGE", "", message, hint);
    return CLI_USAGE;
}

int cli_usage_hint(const struct cli *cli, const char *message, const char *hint)
{
    say(cli, "USAGE", "", message, hint);
    return CLI_USAGE;
}

/* --- results
 * ------------------------------------------------------------------------ */

int cli_flush(const struct cli *cli)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    say(cli, "FILE_WRITE", _("standard output"), strerror(errno),
        _("what was printed is not complete; look at where it goes"));
    return 1;
}

int cli_print(const struct cli *cli, char *text, rh_error *e)
{
    size_t n;

    if (!text)
        return cli_fail(cli, e);
    n = strlen(text);
    fputs(text, stdout);
    if (n && text[n - 1] != '\n')
        putchar('\n');
    free(text);
    return 0;
}

/* `--json a.ova` where a report's name was meant would destroy a.ova: only
 * what looks like an earlier report is written over. */
static bool may_replace(const char *path)
{
    FILE *f = fopen(path, "r");
    int first = f ? fgetc(f) : EOF;

    if (f)
        fclose(f);
    return first == EOF || first == '{' || first == '<' || first == '[';
}

static bool save_at(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    bool good = f && fputs(text, f) >= 0;

    return f && fclose(f) == 0 && good;
}

/* An earlier report stays until the new one is whole; what is no regular file
 * (/dev/null, a pipe) cannot be replaced. */
static bool save_whole(const char *path, const char *text)
{
    char part[4096];
    struct stat st;
    bool there = lstat(path, &st) == 0;
    int why;

    if ((there && !S_ISREG(st.st_mode)) ||
        snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid()) >=
            (int)sizeof part)
        return save_at(path, text);
    if (save_at(part, text) && rename(part, path) == 0)
        return true;
    why = errno;
    unlink(part);
    errno = why;
    return false;
}

int cli_save(const struct cli *cli, const char *path, const char *text)
{
    if (!strcmp(path, "-"))
        return fputs(text, stdout) < 0;
    if (!may_replace(path)) {
        say(cli, "FILE_EXISTS", path, _("is there already, and is no report"),
            _("give the report another name"));
        return 1;
    }
    if (save_whole(path, text))
        return 0;
    say(cli, "FILE_WRITE", path, strerror(errno),
        _("check the folder, its permissions and the space that is left"));
    return 1;
}
