/* when.c - times as people write them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/warm/when.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { DAY = 24 * 60 * 60, ANY_DAY = -1 };

bool rh_parse_duration(const char *text, double *ret_seconds)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1},     {"s", 1},    {"sec", 1},  {"m", 60},
                 {"min", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    double n;

    if (text[0] < '0' || text[0] > '9')
        return false;
    n = strtod(text, &end);
    for (size_t i = 0; i < RH_COUNT(units); i++)
        if (!strcmp(end, units[i].unit) && n > 0 && n < 1e8) {
            *ret_seconds = n * units[i].seconds;
            return true;
        }
    return false;
}

/* "Sun ", "sunday "; ANY_DAY without one.  Moves *text behind it. */
static int day_of(const char **text)
{
    static const char *const days[] = {"sunday",    "monday",   "tuesday",
                                       "wednesday", "thursday", "friday",
                                       "saturday"};
    size_t n = strcspn(*text, " ");

    for (int i = 0; i < 7 && (*text)[n] == ' ' && n >= 3; i++)
        if (n <= strlen(days[i]) && !strncasecmp(*text, days[i], n)) {
            *text += n + 1;
            return i;
        }
    return ANY_DAY;
}

/* At most `digits` of them, a number from `least` to `most`. */
static bool number_of(const char **text, int digits, int least, int most,
                      int *ret)
{
    int n = 0, taken = 0;

    for (; taken < digits && **text >= '0' && **text <= '9'; taken++)
        n = n * 10 + (*(*text)++ - '0');
    *ret = n;
    return taken && n >= least && n <= most;
}

/* "02:00"; moves *text behind it. */
static bool clock_of(const char **text, int *ret_minutes)
{
    int hour, minute;

    if (!number_of(text, 2, 0, 23, &hour) || *(*text)++ != ':' ||
        !number_of(text, 2, 0, 59, &minute))
        return false;
    *ret_minutes = hour * 60 + minute;
    return true;
}

static time_t on_day(time_t now, int days, int minutes, int *ret_weekday)
{
    struct tm t;
    time_t when;

    localtime_r(&now, &t);
    t.tm_mday += days;
    t.tm_hour = minutes / 60;
    t.tm_min = minutes % 60;
    t.tm_sec = 0;
    t.tm_isdst = -1;
    when = mktime(&t);
    *ret_weekday = t.tm_wday;
    return when;
}

static bool next_time(int day, int minutes, time_t now, time_t *ret)
{
    for (int i = 0; i <= 7; i++) {
        int weekday;
        time_t when = on_day(now, i, minutes, &weekday);

        if (when <= now || (day != ANY_DAY && weekday != day))
            continue;
        *ret = when;
        return true;
    }
    return false;
}

static bool date_of(const char *text, time_t *ret)
{
    struct tm t = {.tm_isdst = -1};
    int minutes;

    if (!number_of(&text, 4, 2000, 9999, &t.tm_year) || *text++ != '-' ||
        !number_of(&text, 2, 1, 12, &t.tm_mon) || *text++ != '-' ||
        !number_of(&text, 2, 1, 31, &t.tm_mday) ||
        (*text != 'T' && *text != ' '))
        return false;
    text++;
    if (!clock_of(&text, &minutes) || *text)
        return false;
    t.tm_year -= 1900;
    t.tm_mon--;
    t.tm_hour = minutes / 60;
    t.tm_min = minutes % 60;
    *ret = mktime(&t);
    return *ret != (time_t)-1;
}

bool rh_parse_time(const char *text, time_t now, time_t *ret)
{
    int minutes, day;

    if (date_of(text, ret))
        return *ret > now;
    day = day_of(&text);
    return clock_of(&text, &minutes) && !*text &&
           next_time(day, minutes, now, ret);
}

bool rh_parse_window(const char *text, time_t now, time_t *ret_from,
                     time_t *ret_to)
{
    int from, to, day = day_of(&text), weekday;
    time_t length;

    if (!clock_of(&text, &from) || *text++ != '-' || !clock_of(&text, &to) ||
        *text || from == to)
        return false;
    length = (time_t)((to - from + 24 * 60) % (24 * 60)) * 60;
    /* One that has opened, since yesterday, is open still? */
    for (int i = -1; i <= 0; i++) {
        *ret_from = on_day(now, i, from, &weekday);
        *ret_to = *ret_from + length;
        if (*ret_from <= now && now < *ret_to &&
            (day == ANY_DAY || weekday == day))
            return true;
    }
    if (!next_time(day, from, now, ret_from))
        return false;
    *ret_to = *ret_from + length;
    return true;
}
