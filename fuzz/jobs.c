/* jobs.c - Job files of batches.  Patterns with a slash are left out: they
 * would have the fuzzer walk through the machine's folders. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <string.h>

#include "convert/batch/jobs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rh_error *e = NULL;
    struct rh_jobs *jobs;

    if (size > 65536 || (memchr(data, '/', size) &&
                         (memchr(data, '*', size) || memchr(data, '?', size))))
        return 0;
    jobs =
        rh_jobs_parse((const char *)data, size, "/nonexistent/jobs.yaml", &e);
    if (jobs)
        rh_job_window_open(&jobs->vms.items[0], 1000000000, 999999000, NULL);
    rh_jobs_free(jobs);
    rh_error_free(e);
    return 0;
}
