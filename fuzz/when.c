/* when.c - times as people write them, at any hour of any year. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "convert/warm/when.h"

/* The text, behind four bytes of the time that it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RH_AUTO(rh_freep) char *text = NULL;
    time_t now, at = 0, to = 0;
    double seconds = 0;

    if (size < 4 || size > 256)
        return 0;
    now = (time_t)rh_le32(data);
    text = rh_strndup((const char *)data + 4, size - 4);
    if (rh_parse_duration(text, &seconds) && !(seconds > 0))
        abort();
    if (rh_parse_time(text, now, &at) && at <= now)
        abort();
    if (rh_parse_window(text, now, &at, &to) && (to <= at || to <= now))
        abort();
    return 0;
}
