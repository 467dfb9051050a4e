/* convert.c - the smallest program that converts a VM with librehost.
 *
 * usage: convert SOURCE kvm|xen DIR */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include <rehost/rehost.h>

static void show(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user;
    fprintf(stderr, "%s: %llu of %llu bytes\n", stage, (unsigned long long)done,
            (unsigned long long)total);
}

static int convert(rh_lib *lib, const char *source, const char *target,
                   const char *out, rh_error **e)
{
    rh_options *options = rh_options_new();
    rh_package *package = NULL;
    rh_job *job = NULL;
    int failed = -1;

    if (rh_options_add(options, "to", target, e) == 0 &&
        rh_options_add(options, "out", out, e) == 0)
        package = rh_package_load(lib, source, options, e);
    if (package)
        job = rh_job_new(package, options, e);
    if (job)
        failed = rh_job_run(job, e);
    if (!failed)
        printf("%s\n", rh_job_result(job, 0));
    rh_job_free(job);
    rh_package_unload(package);
    rh_options_free(options);
    return failed;
}

int main(int argc, char **argv)
{
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);
    int status = 2;

    if (argc == 4 && lib) {
        rh_lib_on_progress(lib, show, NULL);
        convert(lib, argv[1], argv[2], argv[3], &e);
        status = rh_error_status(e);
        if (e)
            fprintf(stderr, "%s: %s\n%s\n", rh_error_where(e),
                    rh_error_message(e), rh_error_hint(e));
    }
    rh_error_free(e);
    rh_lib_free(lib);
    return status;
}
