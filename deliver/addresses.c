/* addresses.c - wait for the address of a guest that was started: its agent
 * tells the hypervisor, some time after the boot, or never. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deliver/remote.h"

enum { WAIT_MOST = 3600 /* seconds */, LOOK_FIRST = 250, LOOK_MOST = 2000 };

int rh_address_seconds(const rh_options *o, unsigned *ret, rh_error **err)
{
    const char *value = rh_option(o, "wait-address");
    uint64_t n = 0;

    *ret = 0;
    if (!value)
        return 0;
    if (!rh_parse_u64(value, &n) || !n || n > WAIT_MOST)
        return rh_fail(err, RH_ERR_USAGE,
                       "--wait-address is a number of seconds, up to %d",
                       WAIT_MOST);
    if (!rh_option_yes(o, "start"))
        return rh_fail(err, RH_ERR_USAGE, "--wait-address is for --start");
    *ret = (unsigned)n;
    return 0;
}

/* What only the guest itself, or its cable, knows is no address. */
static bool is_local(const char *text)
{
    static const char *const stems[] = {"127.", "169.254.", "fe80:", "FE80:"};

    for (size_t i = 0; i < RH_COUNT(stems); i++)
        if (!strncmp(text, stems[i], strlen(stems[i])))
            return true;
    return !strcmp(text, "::1") || !strcmp(text, "0.0.0.0");
}

void rh_address_add(json_t *list, const char *text)
{
    size_t i;
    json_t *known;

    if (!text || !text[0] || is_local(text) ||
        strspn(text, "0123456789abcdefABCDEF.:") != strlen(text))
        return;
    json_array_foreach (list, i, known)
        if (!strcmp(json_string_value(known), text))
            return;
    json_array_append_new(list, json_string(text));
}

json_t *rh_address_wait(rh_lib *lib, unsigned seconds, rh_address_look *look,
                        void *state)
{
    time_t end = time(NULL) + (time_t)seconds;
    unsigned ms = LOOK_FIRST;
    json_t *list = json_array();

    while (look(state, list, NULL) < 0 || !json_array_size(list)) {
        if (time(NULL) >= end || rh_go_on(lib, NULL) < 0) {
            rh_log(lib, RH_LOG_WARN,
                   "the guest told no address within %u seconds: does its "
                   "agent run?",
                   seconds);
            break;
        }
        rh_remote_pause(lib, &ms, LOOK_MOST);
    }
    return list;
}

char *rh_address_text(const json_t *list)
{
    struct rh_buf b = {0};
    size_t i;
    json_t *a;

    json_array_foreach (list, i, a)
        rh_buf_printf(&b, "%s%s", i ? ", " : "", json_string_value(a));
    return rh_buf_take(&b);
}
