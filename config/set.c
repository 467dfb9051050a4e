/* set.c - --set KEY=VALUE: the last word. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "config/describe.h"
#include "package/package.h"
#include "profiles/profile.h"

/* What one VM alone can have. */
static bool of_one_vm(const char *key)
{
    size_t n = strlen(key);

    return !strcmp(key, "name") || !strcmp(key, "uuid") ||
           !strcmp(key, "hostname") || (n > 3 && !strcmp(key + n - 3, "mac"));
}

static int check_profile(rh_lib *lib, const char *key, const char *value,
                         rh_error **err)
{
    const struct rh_profiles *all;
    const struct rh_profile *p;
    RH_AUTO(rh_buf_free) struct rh_buf like = {0};

    if (strcmp(key, "os") && strcmp(key, "os/profile") &&
        strcmp(key, "os.profile"))
        return 0;
    all = rh_profiles_of(lib, err);
    if (!all)
        return -1;
    if (rh_profile_named(all, value))
        return 0;
    for (size_t i = 0; (p = rh_profile_at(all, i)); i++) {
        if (!strncmp(p->id, value, strcspn(value, "-0123456789")))
            rh_buf_printf(&like, "%s%s", like.length ? ", " : "", p->id);
    }
    return rh_fail(err, RH_ERR_CONFIG_PROFILE,
                   "%s=%s: there is no such profile%s%s%s", key, value,
                   like.length ? " (" : "", like.length ? like.data : "",
                   like.length ? ")" : "");
}

/* The old value is said, so that nothing is replaced in silence. */
static int set_one(struct rh_vm *vm, const char *key, const char *text,
                   struct rh_findings *findings, rh_error **err)
{
    const struct rh_field *field = NULL;
    struct rh_value *v = rh_vm_value(vm, key, false, &field);
    struct rh_value before = v ? *v : (struct rh_value){0};
    RH_AUTO(rh_freep) char *was = NULL;
    RH_AUTO(rh_freep) char *from = NULL;
    RH_AUTO(rh_freep) char *now = NULL;

    if (rh_vm_set(vm, key, text, RH_FROM_SET, NULL, err))
        return -1;
    v = rh_vm_value(vm, key, false, &field);
    if (before.kind == RH_VALUE_UNSET || before.from <= RH_FROM_DEFAULT ||
        before.from == RH_FROM_SET || !v)
        return 0;
    was = rh_value_for_people(field, &before);
    from = rh_source_for_people(&before);
    now = rh_value_for_people(field, v);
    if (strcmp(was, now))
        rh_finding_add(findings, RH_F_CONFIG_CONFLICT, key,
                       "%s: %s says %s, --set says %s; --set has the last word",
                       _(field->about), from, was, now)
            ->severity = RH_SEVERITY_INFO;
    return 0;
}

int rh_config_set(struct rh_package *p, const char *assignment, rh_error **err)
{
    const char *equal = strchr(assignment, '=');
    RH_AUTO(rh_freep) char *key = NULL;

    if (!equal || equal == assignment)
        return rh_fail(err, RH_ERR_CONFIG_KEY,
                       "\"%s\": KEY=VALUE is wanted, like memory=8GiB",
                       assignment);
    key = rh_strndup(assignment, (size_t)(equal - assignment));
    if (p->vms.count > 1 && of_one_vm(key))
        return rh_fail(err, RH_ERR_CONFIG_KEY,
                       "\"%s\": the package has %zu VMs; choose one with --vm",
                       key, p->vms.count);
    if (check_profile(p->lib, key, equal + 1, err))
        return -1;
    for (size_t i = 0; i < p->vms.count; i++) {
        if (set_one(p->vms.items[i], key, equal + 1, &p->vm_findings.items[i],
                    err))
            return -1;
    }
    return 0;
}
