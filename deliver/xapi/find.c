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

/* From its first object to its last byte XAPI has the VM marked so
 * (xapi/import.ml). */
static bool is_being_made(const json_t *vm)
{
    const json_t *operations = json_object_get(vm, "current_operations");
    json_t *operation;
    const char *task;

    json_object_foreach ((json_t *)(uintptr_t)operations, task, operation)
        if (rh_same_word(json_string_value(operation), "import"))
            return true;
    return false;
}

/* A master that is started anew knows no tasks and no operations any more
 * (xapi/cancel_tasks.ml); import_task stays, until we have seen the import's
 * end (rh_xapi_settle). */
static bool has_come_to_its_end(struct rh_xapi *x, const json_t *vm)
{
    const char *task =
        rh_xapi_text(json_object_get(vm, "other_config"), RH_XAPI_IMPORT_TASK);
    json_t *error = NULL, *record;
    bool done;

    if (!task[0])
        return true;
    record =
        rh_xapi_ask(x, "task.get_record", json_pack("[s]", task), &error, NULL);
    done = !strcmp(rh_xapi_text(record, "status"), "success");
    json_decref(record);
    json_decref(error);
    return done;
}

static int say_half_made(const json_t *vm, rh_error **err)
{
    rh_fail(err, RH_ERR_DELIVERY_LEFT,
            "the VM %s there may not be complete: no end of its import is "
            "known",
            rh_xapi_text(vm, "uuid"));
    return rh_hint(err, "wait for its task to end, or delete the VM there; "
                        "then run the command again");
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
        if (is_being_made(vm) || !has_come_to_its_end(x, vm)) {
            failed = say_half_made(vm, err);
            break;
        }
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
