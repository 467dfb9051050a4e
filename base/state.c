/* state.c - the user's own folder for what has to outlive a run. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"

char *rh_state_path(const char *below)
{
    const char *state = secure_getenv("XDG_STATE_HOME");
    const char *home = secure_getenv("HOME");
    bool given = state && state[0] == '/';

    if (!given)
        state = home && home[0] == '/' ? home : "/var/tmp";
    return rh_printf("%s%s/rehost%s%s", state, given ? "" : "/.local/state",
                     below ? "/" : "", below ? below : "");
}

int rh_make_folders(const char *path, unsigned mode)
{
    RH_AUTO(rh_freep) char *part = rh_strdup(path);

    for (char *p = part[0] ? part + 1 : part; *p; p++)
        if (*p == '/') {
            *p = '\0';
            if (mkdir(part, mode) < 0 && errno != EEXIST && errno != EROFS)
                return -1;
            *p = '/';
        }
    return mkdir(part, mode) < 0 && errno != EEXIST ? -1 : 0;
}
