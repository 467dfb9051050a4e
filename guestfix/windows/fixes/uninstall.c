/* uninstall.c - VMware's tools are removed at the first start, where that was
 * asked for.
 *
 * Their own installer does it; off VMware it is known to end in error 1603 at
 * times, which is why nothing hangs on it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/fixes/firstboot.h"

static const char *const lists[] = {
    "Microsoft\\Windows\\CurrentVersion\\Uninstall",
    "Wow6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall"};

/* "{5F7B6C10-...}", and nothing else: it becomes part of a command. */
static bool is_guid(const char *name)
{
    return strlen(name) == 38 && name[0] == '{' && name[37] == '}' &&
           strspn(name + 1, "0123456789abcdefABCDEF-") == 36;
}

static bool is_tools(struct rh_hive *software, rh_key list, const char *name)
{
    RH_AUTO(rh_freep)
    char *title = rh_hive_text(software, rh_hive_key(software, list, name),
                               "DisplayName");

    return title && !strcmp(title, "VMware Tools") && is_guid(name);
}

int rh_win_stage_uninstall(struct rh_fix_job *j, struct rh_win_job *job,
                           rh_error **err)
{
    RH_AUTO(rh_hive_closep) struct rh_hive *software = NULL;
    size_t pages;

    if (!rh_option_yes(j->o->choices, "remove-vmware-tools"))
        return 0;
    software = rh_win_open(rh_win_of(j), "SOFTWARE", &pages, err);
    if (!software)
        return -1;
    for (size_t i = 0; i < RH_COUNT(lists); i++) {
        rh_key list = rh_hive_key(software, 0, lists[i]);
        RH_AUTO(rh_name_list_freep)
        char **names = rh_hive_children(software, list);

        for (size_t k = 0; names && names[k]; k++)
            if (is_tools(software, list, names[k]))
                rh_win_step(&job->after, NULL, RH_WIN_OPTIONAL,
                            "msiexec /x %s /qn /norestart", names[k]);
    }
    return 0;
}
