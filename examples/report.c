/* report.c - print the dry-run report of one or more packages as JSON.
 *
 * usage: report SOURCE... */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include <rehost/rehost.h>

static int print_report(rh_lib *lib, const char *const *sources, size_t count,
                        rh_error **e)
{
    rh_options *options = rh_options_new();
    rh_report *report = NULL;
    char *json = NULL;
    int status = 1;

    if (rh_options_add(options, "to", "all", e) == 0)
        report = rh_report_run(lib, sources, count, options, e);
    if (report)
        json = rh_report_render(report, "json", e);
    if (json) {
        puts(json);
        status = rh_report_status(report);
    }
    free(json);
    rh_report_free(report);
    rh_options_free(options);
    return status;
}

int main(int argc, char **argv)
{
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);
    int status = 2;

    if (argc > 1 && lib) {
        status = print_report(lib, (const char *const *)argv + 1,
                              (size_t)argc - 1, &e);
        if (e) {
            fprintf(stderr, "%s [%s]\n", rh_error_message(e), rh_error_id(e));
            status = rh_error_status(e);
        }
    }
    rh_error_free(e);
    rh_lib_free(lib);
    return status;
}
