/* find.c - a VM that an earlier run has delivered. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "deliver/xapi/xapi.h"

static bool is_it(const json_t *vm, const char *mark)
{
    return strstr(rh_xapi_text(vm, "name_description"), mark) &&
           !json_is_true(json_object_get(vm, "is_a_template")) &&
           !json_is_true(json_object_get(vm, "is_a_snapshot"));
}

int rh_xapi_find(struct rh_server *s, const char *mark, bool start,
                 char **ret_where, rh_error **err)
{
    struct rh_xapi *x = s->state;
    json_t *all = rh_xapi_call(x, "VM.get_all_records", NULL, err), *vm;
    int failed = all ? 0 : -1;
    const char *ref;

    json_object_foreach (all, ref, vm) {
        if (!is_it(vm, mark))
            continue;
        *ret_where =
            rh_printf(_("%s at %s"), rh_xapi_text(vm, "uuid"), s->remote.text);
        if (start && !strcmp(rh_xapi_text(vm, "power_state"), "Halted"))
            failed =
                rh_xapi_do(x, "VM.start", json_pack("[sbb]", ref, 0, 0), err);
        break;
    }
    json_decref(all);
    return failed;
}
