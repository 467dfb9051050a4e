/* cores.c - processors, as the scheduler and the control groups allow. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cores.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/mem.h"

/* A mask of a fixed size is too small for the largest machines. */
static unsigned allowed(void)
{
    enum { LEAST = 1024, MOST = 1 << 16 };
    int count = get_nprocs();

    for (size_t n = LEAST; n <= MOST; n *= 2) {
        cpu_set_t *set = CPU_ALLOC(n);
        size_t size = CPU_ALLOC_SIZE(n);
        int found = 0;

        if (set && sched_getaffinity(0, size, set) == 0)
            found = CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (found > 0)
            return (unsigned)found;
    }
    return count > 0 ? (unsigned)count : 1;
}

/* --- control groups (cgroups(7)) -------------------------------------------
 */

static bool read_line(const char *folder, const char *group, const char *name,
                      char line[128])
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s%s/%s", folder, group, name);
    FILE *f = fopen(path, "re");
    bool good = f && fgets(line, 128, f);

    if (f)
        fclose(f);
    return good;
}

/* Processors' worth of time, rounded up; 0: no limit. */
static unsigned quota(const char *time, const char *period)
{
    long long t = strtoll(time, NULL, 10), p = strtoll(period, NULL, 10);

    return t > 0 && p > 0 && t / p < 65536 ? (unsigned)((t + p - 1) / p) : 0;
}

/* Version 2 has both in one file ("max": no limit), version 1 in two. */
static unsigned group_quota(const char *folder, const char *group)
{
    char time[128], period[128], *blank;

    if (read_line(folder, group, "cpu.max", time) &&
        (blank = strchr(time, ' ')))
        return quota(time, blank + 1);
    if (read_line(folder, group, "cpu.cfs_quota_us", time) &&
        read_line(folder, group, "cpu.cfs_period_us", period))
        return quota(time, period);
    return 0;
}

/* The group's limit and those of the groups above it. */
static unsigned limit_by(const char *folder, char *group, unsigned most)
{
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        unsigned n;

        *end = '\0';
        n = group_quota(folder, group);
        if (n)
            most = RH_MIN(most, n);
    }
    return most;
}

/* "NUMBER:CONTROLLERS:/group": ours by the kernel. */
static unsigned limit_of_line(char *line, unsigned most)
{
    char *controllers = strchr(line, ':'), *group;

    if (!controllers || !(group = strchr(controllers + 1, ':')))
        return most;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (controllers[1] == '\0')
        return limit_by("/sys/fs/cgroup", group, most);
    if (strstr(controllers + 1, "cpu") && !strstr(controllers + 1, "cpuset"))
        return limit_by("/sys/fs/cgroup/cpu", group, most);
    return most;
}

unsigned rh_cores(void)
{
    unsigned most = allowed();
    FILE *f = fopen("/proc/self/cgroup", "re");
    char *line = NULL;
    size_t room = 0;

    while (f && getline(&line, &room, f) > 0)
        most = limit_of_line(line, most);
    free(line);
    if (f)
        fclose(f);
    return most;
}
