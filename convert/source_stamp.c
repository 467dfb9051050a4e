/* source_stamp.c - each kind of source is asked in its own way. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/source_stamp.h"

#include <string.h>

#include "base/error.h"
#include "base/io.h"
#include "base/stamp.h"
#include "base/text.h"
#include "live/live.h"

bool rh_source_is_remote(const char *source)
{
    return strstr(source, "://") != NULL;
}

static char *live_stamp(rh_lib *lib, const char *source,
                        const rh_options *options, bool *ret_sure,
                        bool *ret_refused)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    char *stamp = rh_live_stamp(lib, source, options, ret_sure, &why);

    if (!stamp)
        rh_log(lib, RH_LOG_DEBUG, "%s", rh_error_message(why));
    *ret_refused = rh_error_number(why) == RH_ERR_LOGIN_REFUSED;
    return stamp;
}

char *rh_source_stamp(rh_lib *lib, const char *source,
                      const rh_options *options, bool *ret_sure,
                      bool *ret_refused)
{
    char *stamp;

    *ret_sure = *ret_refused = false;
    if (rh_live_is(source))
        return live_stamp(lib, source, options, ret_sure, ret_refused);
    if (!rh_is_url(source))
        return rh_strdup("");
    stamp = rh_http_stamp(lib, source);
    *ret_sure = stamp != NULL;
    return stamp;
}
