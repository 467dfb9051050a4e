/* clock.c - how far a guest's hardware clock is from UTC.
 *
 * A time zone's name is looked up in the system's zone database; the last line
 * of a file there is the zone's rule as POSIX writes it ("JST-9",
 * "CET-1CEST,M3.5.0,M10.5.0/3"), of which the standard offset is taken. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "targets/xcp-ng/xen.h"

enum { ZONE_MOST = 64 * 1024, NAME_MOST = 64 };

/* Europe/Berlin, Etc/GMT+3: nothing that leads elsewhere. */
static bool zone_name(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
                            "wxyz0123456789_+-/");

    return n && n <= NAME_MOST && !name[n] && name[0] != '/' && name[0] != '-';
}

static bool digits(const char **p, int most, int *ret)
{
    int n = 0, count = 0;

    for (; isdigit((unsigned char)**p) && count < 2; count++)
        n = n * 10 + *(*p)++ - '0';
    *ret = n;
    return count && n <= most;
}

/* "JST-9", "<+0545>-5:45": seconds east of UTC. POSIX counts westwards. */
static bool parse_rule(const char *p, long *ret)
{
    int hours, minutes = 0, sign = -1;

    if (*p == '<')
        p += strcspn(p, ">") + (strchr(p, '>') != NULL);
    else
        while (isalpha((unsigned char)*p))
            p++;
    if (*p == '-' || *p == '+')
        sign = *p++ == '-' ? 1 : -1;
    if (!digits(&p, 24, &hours))
        return false;
    if (*p == ':') {
        p++;
        if (!digits(&p, 59, &minutes))
            return false;
    }
    *ret = sign * (hours * 3600L + minutes * 60L);
    return true;
}

static bool read_zone(const char *name, long *ret)
{
    RH_AUTO(rh_freep) char *path = rh_printf("/usr/share/zoneinfo/%s", name);
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    RH_AUTO(rh_freep) char *data = NULL;
    size_t n, start;

    io = rh_io_file_at(AT_FDCWD, path, 0, NULL);
    if (!io || rh_io_slurp(io, ZONE_MOST, &data, &n, NULL) < 0 || n < 48 ||
        memcmp(data, "TZif", 4) != 0 || data[n - 1] != '\n')
        return false;
    data[n - 1] = '\0';
    for (start = n - 1; start && data[start - 1] != '\n';)
        start--;
    return start && parse_rule(data + start, ret);
}

bool rh_xen_time_offset(const struct rh_target_job *job, long *ret_seconds)
{
    const struct rh_value *clock = &job->vm->clock;
    const struct rh_value *zone = &job->vm->timezone;
    const char *word = clock->kind == RH_VALUE_TEXT ? clock->text
                       : job->profile               ? job->profile->clock
                                                    : NULL;

    *ret_seconds = 0;
    if (zone->kind == RH_VALUE_TEXT && zone->text &&
        (clock->kind != RH_VALUE_TEXT || !strcmp(clock->text, "localtime")))
        return zone_name(zone->text) && read_zone(zone->text, ret_seconds);
    return !word || strcmp(word, "localtime") != 0;
}
