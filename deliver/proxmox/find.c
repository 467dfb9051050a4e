/* find.c - a VM that an earlier run has delivered. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "deliver/proxmox/proxmox.h"

static char *path_of(struct rh_pve *p, const json_t *vm, const char *what)
{
    return rh_printf("/nodes/%s/qemu/%llu/%s", p->remote->url.parts[0],
                     (unsigned long long)rh_pve_number(vm, "vmid"), what);
}

/* The list has no descriptions, but tags: all of ours have one. */
static int is_it(struct rh_pve *p, const json_t *vm, const char *mark,
                 rh_error **err)
{
    const json_t *tags = json_object_get(vm, "tags");
    RH_AUTO(rh_freep) char *path = path_of(p, vm, "config");
    json_t *conf;
    int found;

    if (tags && !strstr(rh_pve_text(vm, "tags"), "rehost"))
        return 0;
    conf = rh_pve_call(p, "GET", path, NULL, err);
    found = strstr(rh_pve_text(conf, "description"), mark) != NULL;
    json_decref(conf);
    return conf ? found : -1;
}

static int start_it(struct rh_pve *p, const json_t *vm, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = path_of(p, vm, "status/start");
    json_t *upid;
    int failed;

    if (strcmp(rh_pve_text(vm, "status"), "stopped"))
        return 0;
    upid = rh_pve_call(p, "POST", path, json_object(), err);
    failed = upid ? rh_pve_wait(p, p->remote->url.parts[0],
                                json_string_value(upid), "start", err)
                  : -1;
    json_decref(upid);
    return failed;
}

static char *where_of(const struct rh_pve *p, const json_t *vm)
{
    RH_AUTO(rh_freep)
    char *id = rh_printf("%llu", (unsigned long long)rh_pve_number(vm, "vmid"));

    return rh_printf(_("%s at %s"), id, p->remote->text);
}

/* On the URL's node. */
int rh_pve_find(struct rh_server *s, const char *mark, bool start,
                char **ret_where, rh_error **err)
{
    struct rh_pve *p = s->state;
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s/qemu", p->remote->url.parts[0]);
    json_t *all = rh_pve_call(p, "GET", path, NULL, err), *vm;
    int failed = all ? 0 : -1;
    size_t i;

    json_array_foreach (all, i, vm) {
        int found = is_it(p, vm, mark, err);

        if (!found)
            continue;
        failed = found < 0 ? -1 : start ? start_it(p, vm, err) : 0;
        if (found > 0)
            *ret_where = where_of(p, vm);
        break;
    }
    json_decref(all);
    return failed;
}
