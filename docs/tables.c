/* tables.c - writes docs/errors.md, findings.md and fixes.md from the tables
 * that the library itself uses.  `make docs` runs it; a test compares. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "report/findings.h"

static const char *const classes[] = {
    [RH_CLASS_USAGE] = "usage",       [RH_CLASS_INPUT] = "input refused",
    [RH_CLASS_BLOCKED] = "blocked",   [RH_CLASS_IO] = "I/O",
    [RH_CLASS_SERVICE] = "a service", [RH_CLASS_INTERNAL] = "internal",
    [RH_CLASS_MEMORY] = "memory",     [RH_CLASS_CANCELLED] = "cancelled",
};

static void errors(void)
{
    puts("# Errors\n\n"
         "The name in brackets at the end of an error's first line; it is "
         "stable. Made from\n`base/errors.def` by `make docs`.\n\n"
         "| code | exit | class | next step, when the place that fails gives "
         "no better one |\n|---|---|---|---|");
    for (int i = 1; i < RH_ERR_COUNT; i++) {
        enum rh_error_id id = (enum rh_error_id)i;
        const char *hint = rh_error_hint_of(id);

        printf("| `%s` | %d | %s | %s |\n", rh_error_name_of(id),
               rh_error_exit_of(id), classes[rh_error_class_of(id)],
               hint ? hint : "");
    }
}

static void findings(void)
{
    static const struct {
        const char *id, *severity, *about, *remedy;
        int automatic;
    } rows[] = {
#define FINDING(id, severity, automatic, about, remedy) \
    {#id, #severity, about, remedy, automatic},
#include "report/findings.def"
#undef FINDING
    };

    puts("# Findings\n\n"
         "What `rehost inspect`, `report` and `convert` may tell. Ids are "
         "stable. *By itself* means that\nrehost takes care of it. Made from "
         "`report/findings.def` by `make docs`.\n\n"
         "| id | usual severity | by itself | what it tells | remedy |\n"
         "|---|---|---|---|---|");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *s = rows[i].severity;

        printf("| `%s` | %s | %s | %s | %s |\n",
               rh_finding_name((enum rh_finding_id)(i + 1)),
               !strcmp(s, "INFO")      ? "info"
               : !strcmp(s, "CAUTION") ? "caution"
                                       : "blocker",
               rows[i].automatic ? "yes" : "", rows[i].about,
               rows[i].remedy ? rows[i].remedy : "");
    }
}

static void fixes(void)
{
    static const struct {
        const char *name, *about;
    } rows[] = {
#define FIX(name, about) {name, about},
#include "profiles/fixes.def"
#undef FIX
    };

    puts(
        "# Fixes\n\n"
        "What `rehost convert` may change inside a guest. `--no-fix ID` leaves "
        "one out, `--fix ID` adds\none that the guest's profile does not name. "
        "How each ended stands in `report.json` (`guest.fixes`):\n`done`, "
        "`nothing-to-do`, `not-possible` and `failed` (a finding says why; what "
        "a failed one had\nchanged is undone), `left-out`. Made from "
        "`profiles/fixes.def` by `make docs`.\n\n"
        "| id | what is done |\n|---|---|");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf("| `%s` | %s |\n", rows[i].name, rows[i].about);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "errors"))
        errors();
    else if (argc == 2 && !strcmp(argv[1], "findings"))
        findings();
    else if (argc == 2 && !strcmp(argv[1], "fixes"))
        fixes();
    else
        return 2;
    return 0;
}
