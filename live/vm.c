/* vm.c - one VM of a platform, as a package and by itself. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/fetched.h"
#include "live/live.h"

static struct rh_live_options options_of(const rh_options *o)
{
    bool guest =
        !rh_option_yes(o, "no-guest") && !rh_option_yes(o, "no-guest-fix");

    return (struct rh_live_options){
        .will_read = rh_option(o, "out") && !rh_option_yes(o, "warm"),
        .warm = rh_option_yes(o, "warm"),
        .keep_snapshot = rh_option_yes(o, "keep-snapshot"),
        .will_look = (guest && rh_option(o, "to")) || rh_option_yes(o, "guest"),
        .snapshot = rh_option_yes(o, "snapshot"),
        .quiesce = rh_option_yes(o, "quiesce"),
        .transport = rh_option(o, "transport"),
    };
}

static char *find_vm(struct rh_live *live, const char *url, rh_error **err)
{
    RH_AUTO(rh_remote_url_free) struct rh_remote_url at = {0};
    char *id = NULL;

    if (rh_remote_url_as(url, RH_ERR_LIVE_URL, &at, err) < 0 ||
        live->platform->find(live, &at, &id, err) < 0)
        return NULL;
    if (!id) {
        rh_fail(err, RH_ERR_USAGE, "the address names no VM");
        rh_hint(err, "`rehost inspect %s` lists the VMs below it", url);
    }
    return id;
}

/* Takes `id`. */
static struct rh_live_vm *open_vm(rh_lib *lib, struct rh_live *live, char *id,
                                  const struct rh_live_options *o,
                                  rh_error **err)
{
    struct rh_live_vm *vm = rh_new0(struct rh_live_vm);

    vm->live = live;
    vm->lib = lib;
    vm->id = id;
    vm->options = *o;
    if (live->platform->vm_open(vm, err) == 0)
        return vm;
    rh_live_vm_free(vm);
    return NULL;
}

struct rh_live_vm *rh_live_vm_open(rh_lib *lib, const char *url,
                                   const rh_options *options, rh_error **err)
{
    struct rh_live *live = rh_live_open(lib, url, options, err);
    struct rh_live_options o = options_of(options);
    char *id = live ? find_vm(live, url, err) : NULL;

    if (id && (o.will_read || o.warm))
        rh_live_tidy(live, lib);
    return id ? open_vm(lib, live, id, &o, err) : NULL;
}

struct rh_live_vm *rh_live_vm_of_id(rh_lib *lib, struct rh_live *live,
                                    const char *id, rh_error **err)
{
    struct rh_live_options o = {0};

    return open_vm(lib, live, rh_strdup(id), &o, err);
}

int rh_live_refuse_running(const struct rh_live_vm *vm,
                           enum rh_live_state state, rh_error **err)
{
    if (!vm->options.will_read || state == RH_LIVE_OFF)
        return 0;
    if (state == RH_LIVE_SUSPENDED) {
        rh_fail(err, RH_ERR_LIVE_RUNNING,
                "the VM is suspended: its disks miss what its memory holds");
        return rh_hint(err, "resume it, and shut it down");
    }
    return vm->options.snapshot
               ? 0
               : rh_fail(err, RH_ERR_LIVE_RUNNING, "the VM runs");
}

void rh_live_tell_state(const struct rh_live_vm *vm, enum rh_live_state state,
                        struct rh_findings *f)
{
    if (state == RH_LIVE_ON)
        rh_finding_add(f, RH_F_LIVE_RUNNING, "vm",
                       vm->options.snapshot
                           ? N_("the VM runs: what is copied is its state at a "
                                "snapshot, as after a power cut; what it "
                                "writes later is not in the result")
                           : N_("the VM runs, and its disks are in use"));
    if (state == RH_LIVE_SUSPENDED)
        rh_finding_add(f, RH_F_LIVE_RUNNING, "vm",
                       "the VM is suspended: its disks miss what its memory "
                       "holds");
}

char *rh_live_stamp(rh_lib *lib, const char *url, const rh_options *options,
                    bool *ret_sure, rh_error **err)
{
    rh_lib alone = {.of = lib}; /* it cannot ask a person */
    struct rh_live *live = rh_live_open(&alone, url, options, err);
    RH_AUTO(rh_freep) char *id = live ? find_vm(live, url, err) : NULL;
    char *stamp = NULL;

    return id && live->platform->stamp(live, id, &stamp, ret_sure, err) == 0
               ? stamp
               : NULL;
}

const char *rh_live_vm_told(struct rh_live_vm *vm)
{
    RH_AUTO(rh_freep) char *stamp = NULL;
    bool sure = false;

    if (vm->asked || !rh_fetched_wanted(vm->lib))
        return vm->told;
    vm->asked = true;
    if (vm->live->platform->stamp(vm->live, vm->id, &stamp, &sure, NULL) == 0 &&
        sure)
        vm->told = RH_TAKE(stamp);
    return vm->told;
}

void rh_live_vm_free(struct rh_live_vm *vm)
{
    vm->live->platform->vm_close(vm);
    for (size_t i = 0; i < vm->disk_ids.count; i++)
        free(vm->disk_ids.items[i]);
    free(vm->disk_ids.items);
    free(vm->id);
    free(vm->name);
    free(vm->told);
    free(vm);
}

/* --- as a package -----------------------------------------------------------
 */

struct live_opener {
    struct rh_opener opener;
    struct rh_live_vm *vm;
    struct rh_package *package;
};

static struct rh_live_vm *vm_of(struct rh_opener *o)
{
    return ((struct live_opener *)o)->vm;
}

static size_t number_of(const struct rh_live_vm *vm, const struct rh_vm *config,
                        size_t disk)
{
    const char *id = disk < config->disks.count
                         ? rh_text_of(&config->disks.items[disk].id)
                         : "";

    for (size_t i = 0; i < vm->disk_ids.count; i++)
        if (!strcmp(vm->disk_ids.items[i], id))
            return i;
    return SIZE_MAX;
}

static size_t number_in(struct rh_opener *o, size_t vm, size_t disk)
{
    const struct live_opener *l = (struct live_opener *)o;

    return number_of(l->vm, l->package->vms.items[vm], disk);
}

static struct rh_reader *read_disk(struct rh_opener *o, size_t vm, size_t disk,
                                   rh_error **err)
{
    struct rh_live_vm *v = vm_of(o);

    return v->live->platform->disk(v, number_in(o, vm, disk), NULL, err);
}

static struct rh_reader *forward_disk(struct rh_opener *o, size_t vm,
                                      size_t disk, rh_error **err)
{
    struct rh_live_vm *v = vm_of(o);

    return v->live->platform->forward(v, number_in(o, vm, disk), NULL, err);
}

static bool looks(struct rh_opener *o, size_t vm, size_t disk)
{
    struct rh_live_vm *v = vm_of(o);

    return v->live->platform->looks(v, number_in(o, vm, disk));
}

static void close_opener(struct rh_opener *o)
{
    rh_live_vm_free(vm_of(o));
    free(o);
}

static const struct rh_opener_ops opener_ops = {read_disk, forward_disk, looks,
                                                close_opener};

struct rh_live_vm *rh_live_vm_of(const struct rh_package *p)
{
    struct rh_opener *o = rh_container_of(p)->opener;

    return o && o->ops == &opener_ops ? vm_of(o) : NULL;
}

size_t rh_live_disk_number(const struct rh_package *p, size_t disk)
{
    const struct rh_live_vm *vm = rh_live_vm_of(p);

    return vm && p->vms.count ? number_of(vm, p->vms.items[0], disk) : SIZE_MAX;
}

/* Disks are asked for by these: no two may be the same. */
static int remember_disks(struct rh_live_vm *vm, const struct rh_package *p,
                          rh_error **err)
{
    const struct rh_vm *config = p->vms.count ? p->vms.items[0] : NULL;

    for (size_t i = 0; config && i < config->disks.count; i++) {
        const char *id = rh_text_of(&config->disks.items[i].id);

        if (number_of(vm, config, i) != SIZE_MAX)
            return rh_fail(err, RH_ERR_LIVE_ANSWER,
                           "two disks of the VM are called \"%.100s\"", id);
        *rh_vec_add(&vm->disk_ids) = rh_strdup(id);
    }
    return 0;
}

int rh_live_package(struct rh_package *p, const char *url,
                    const struct rh_package_options *o, rh_error **err)
{
    struct rh_live_vm *vm = rh_live_vm_open(p->lib, url, o->all, err);
    struct live_opener *opener;

    if (!vm)
        return -1;
    opener = rh_new0(struct live_opener);
    opener->opener.ops = &opener_ops;
    opener->vm = vm;
    opener->package = p;
    rh_container_of(p)->opener = &opener->opener;
    p->kind = vm->live->platform->kind;
    if (vm->live->platform->describe(vm, p, err) < 0)
        return -1;
    return remember_disks(vm, p, err) < 0 ? rh_error_subject(err, vm->name) : 0;
}

/* --- inventories ------------------------------------------------------------
 */

int rh_live_inventory(rh_lib *lib, const char *url, const rh_options *options,
                      rh_live_row_fn *row, void *user, rh_error **err)
{
    struct rh_live *live = rh_live_open(lib, url, options, err);
    RH_AUTO(rh_remote_url_free) struct rh_remote_url at = {0};
    RH_AUTO(rh_freep) char *id = NULL;

    if (!live || rh_remote_url_as(url, RH_ERR_LIVE_URL, &at, err) < 0 ||
        live->platform->find(live, &at, &id, err) < 0)
        return -1;
    return id ? 1 : live->platform->list(live, &at, row, user, err);
}

char *rh_live_row_url(const char *url, const struct rh_live_row *row)
{
    const char *host = strstr(url, "://") + 3;
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    rh_buf_add(&b, url, (size_t)(host - url) + strcspn(host, "/?#"));
    for (const char *p = row->path; *p;) {
        size_t n = strcspn(p, "/");
        RH_AUTO(rh_freep) char *part = rh_strndup(p, n);
        RH_AUTO(rh_freep) char *escaped = rh_http_escape(part);

        rh_buf_printf(&b, "/%s", escaped);
        p += n + (p[n] == '/');
    }
    return rh_buf_take(&b);
}
