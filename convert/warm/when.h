/* when.h - times as people write them: "30m", "02:00", "Sun 02:00-04:00". */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_WARM_WHEN_H
#define RH_CONVERT_WARM_WHEN_H

#include <stdbool.h>
#include <time.h>

#include "base/error.h"

/* "90s", "30m", "2h", "1d", or seconds; > 0. */
bool rh_parse_duration(const char *text, double *ret_seconds);
/* The next time after `now` that is "02:00", "Sun 02:00" or
 * "2026-12-06T02:00" (a blank does as well as the T), in local time. */
bool rh_parse_time(const char *text, time_t now, time_t *ret);
/* "02:00-04:00", "Sun 02:00-04:00": the window that is open, or opens next. */
bool rh_parse_window(const char *text, time_t now, time_t *ret_from,
                     time_t *ret_to);

#endif
