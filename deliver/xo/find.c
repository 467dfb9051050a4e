/* find.c - a VM that an earlier run has delivered. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "deliver/xo/xo.h"

static int start_it(struct rh_xo *x, const json_t *vm, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path =
        rh_printf("/vms/%s/actions/start?sync=true", rh_xapi_text(vm, "uuid"));
    json_t *done;

    if (strcmp(rh_xapi_text(vm, "power_state"), "Halted"))
        return 0;
    done = rh_xo_call(x, "POST", path, json_object(), err);
    json_decref(done);
    return done ? 0 : -1;
}

int rh_xo_find(struct rh_server *s, const char *mark, bool start,
               char **ret_where, rh_error **err)
{
    struct rh_xo *x = s->state;
    json_t *all = rh_xo_call(x, "GET",
                             "/vms?fields=uuid,name_description,power_state",
                             NULL, err),
           *vm;
    int failed = all ? 0 : -1;
    size_t i;

    json_array_foreach (all, i, vm) {
        if (!strstr(rh_xapi_text(vm, "name_description"), mark))
            continue;
        *ret_where =
            rh_printf(_("%s at %s"), rh_xapi_text(vm, "uuid"), s->remote.text);
        failed = start ? start_it(x, vm, err) : 0;
        break;
    }
    json_decref(all);
    return failed;
}
