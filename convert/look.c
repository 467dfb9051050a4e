/* look.c - what a VM is: all that does not depend on a target.
 *
 * The VM is a copy of the package's: what its guest says goes into the copy,
 * and the package stays as it was for the next job. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "config/complete.h"
#include "convert/job.h"
#include "volumes/names.h"

/* --- order and name
 * ----------------------------------------------------------- */

/* The boot disk first, then as firmware counts them: GRUB's (hd1) stays what it
 * was. */
static void order_disks(const struct rh_vm *vm, struct rh_job_vm *v)
{
    size_t count = vm->disks.count, first = 0;

    v->order = rh_calloc(count + 1, sizeof *v->order);
    rh_disk_order(vm, count, v->order);
    while (first < count && !vm->disks.items[v->order[first]].boot)
        first++;
    if (first < count) {
        size_t boot = v->order[first];

        memmove(v->order + 1, v->order, first * sizeof *v->order);
        v->order[0] = boot;
    }
}

static bool name_taken(const struct rh_job *job, const struct rh_job_vm *v,
                       const char *name)
{
    for (size_t i = 0; i < job->vms.count; i++)
        if (&job->vms.items[i] != v && job->vms.items[i].name &&
            !strcmp(job->vms.items[i].name, name))
            return true;
    return false;
}

static void name_vm(struct rh_job *job, struct rh_job_vm *v)
{
    const struct rh_vm *vm = job->package->vms.items[v->index];
    const char *given = rh_option(job->options, "name");
    RH_AUTO(rh_freep)
    char *base = rh_safe_name(given && job->package->vms.count == 1 ? given
                              : vm->name.kind == RH_VALUE_TEXT ? vm->name.text
                              : vm->id                         ? vm->id
                                                               : "vm");
    char *name = rh_strdup(base);

    for (unsigned i = 2; name_taken(job, v, name); i++) {
        free(name);
        name = rh_printf("%s-%u", base, i);
    }
    v->name = name;
}

/* --- overlays
 * ----------------------------------------------------------------- */

int rh_job_make_overlays(struct rh_job_vm *v, struct rh_reader ***ret,
                         size_t count, rh_lib *lib, rh_error **err)
{
    struct rh_reader **list = rh_calloc(count, sizeof *list);

    *ret = list;
    for (size_t i = 0; i < count; i++) {
        list[i] = rh_overlay_new(v->disks[i], lib, err);
        if (!list[i])
            return -1;
    }
    return 0;
}

void rh_job_free_overlays(struct rh_reader **list, size_t count)
{
    for (size_t i = 0; list && i < count; i++)
        rh_reader_close(list[i]);
    free(list);
}

/* --- without what its file systems do not use
 * ----------------------------- */

int rh_job_skip_free(struct rh_reader **disks, size_t count,
                     const struct rh_vm *vm, const size_t *order, rh_lib *lib,
                     struct rh_findings *findings, rh_error **err)
{
    struct rh_gaps *gaps = rh_calloc(count + 1, sizeof *gaps);
    int failed =
        rh_guest_unused(disks, count, vm, order, lib, gaps, findings, err);

    for (size_t i = 0; i < count; i++) {
        if (!failed && gaps[i].list.count)
            disks[i] = rh_reader_without(disks[i], &gaps[i]);
        rh_gaps_free(&gaps[i]);
    }
    free(gaps);
    return failed;
}

/* The disks are smaller from here on. */
static int skip_free(struct rh_job *job, struct rh_job_vm *v, rh_error **err)
{
    if (v->disks_missing || !rh_option_yes(job->options, "skip-free"))
        return 0;
    if (rh_job_skip_free(v->disks, v->disk_count, v->vm, v->order, job->lib,
                         &v->found, err) < 0)
        return -1;
    v->data_bytes = 0;
    for (size_t i = 0; i < v->disk_count; i++) {
        uint64_t data = 0;

        if (rh_reader_allocated(v->disks[i], &data, err) < 0)
            return -1;
        v->data_bytes += data;
    }
    return 0;
}

/* --- the guest
 * ---------------------------------------------------------------- */

struct rh_guest_options rh_job_guest_options(const struct rh_job *job,
                                             struct rh_job_vm *v)
{
    return (struct rh_guest_options){
        .lib = job->lib,
        .profiles = job->profiles,
        .vm = v->vm,
        .drivers = rh_option(job->options, "drivers"),
        .choices = job->options,
        .order = v->order,
        .dry_run = job->for_report,
    };
}

static int inspect(struct rh_job *job, struct rh_job_vm *v, char **keys,
                   bool *ret_encrypted, rh_error **err)
{
    /* Of several VMs none keeps its appliance: each takes a GiB of memory. */
    bool keep = job->package->vms.count == 1;
    struct rh_guest_options o = rh_job_guest_options(job, v);
    size_t count = v->vm->disks.count;
    struct rh_guest_facts facts = {0};
    struct rh_findings ignored = {0}; /* the fix will say them again */
    struct rh_edits none = {0};
    struct rh_reader **overlays = NULL;
    int failed;

    o.keys = (const char *const *)keys;
    o.findings = &ignored;
    o.edits = &none;
    o.appliance = keep ? &v->appliance : NULL;
    failed = rh_job_make_overlays(v, &overlays, count, job->lib, err);
    if (!failed)
        failed = rh_guest_inspect(overlays, count, &o, &facts, err);
    if (v->appliance)
        v->looked_at = RH_TAKE(overlays);
    rh_job_free_overlays(overlays, count);
    v->seen = facts;
    *ret_encrypted = rh_findings_has(&ignored, RH_F_GUEST_ENCRYPTED);
    rh_findings_free(&ignored);
    rh_edits_free(&none);
    return failed;
}

/* Look once, before devices are chosen: the OS decides the profile. */
static int look_once(struct rh_job *job, struct rh_job_vm *v,
                     bool *ret_encrypted, rh_error **err)
{
    char **keys = rh_job_keys(job, err);
    int failed = keys ? inspect(job, v, keys, ret_encrypted, err) : -1;

    rh_job_keys_free(keys);
    return failed;
}

/* What the first look left would hide what a key shows. */
static void forget_look(struct rh_job_vm *v)
{
    rh_appliance_free(RH_TAKE(v->appliance));
    rh_job_free_overlays(RH_TAKE(v->looked_at), v->disk_count);
    rh_guest_facts_free(&v->seen);
    v->seen = (struct rh_guest_facts){0};
}

static int look_at_guest(struct rh_job *job, struct rh_job_vm *v,
                         rh_error **err)
{
    bool encrypted = false;
    const char *name = v->vm->name.text ? v->vm->name.text : v->vm->id;

    if (v->disks_missing || v->vm->disks.count == 0 ||
        rh_job_leaves_guest(job->options))
        return 0;
    if (look_once(job, v, &encrypted, err) < 0)
        return -1;
    if (!encrypted || !rh_job_ask_key(job, name ? name : "?"))
        return 0;
    forget_look(v);
    return look_once(job, v, &encrypted, err);
}

int rh_job_inspect_vm(struct rh_package *p, size_t vm,
                      const struct rh_profiles *profiles,
                      const rh_options *options, rh_error **err)
{
    struct rh_job job = {.lib = p->lib,
                         .package = p,
                         .options = (rh_options *)(uintptr_t)options,
                         .profiles = profiles,
                         .for_report = true};
    struct rh_job_vm v = {.index = vm, .vm = p->vms.items[vm]};
    int failed;

    order_disks(v.vm, &v);
    failed = rh_job_open_disks(&job, &v, err) < 0 ||
             look_at_guest(&job, &v, err) < 0;
    rh_findings_copy(&p->vm_findings.items[vm], &v.found);
    if (!failed)
        rh_package_review(p, v.vm, &p->vm_findings.items[vm], profiles,
                          rh_option_yes(options, "strict"));
    v.vm = NULL;
    rh_job_vm_free(&v);
    if (job.asked_key)
        explicit_bzero(job.asked_key, strlen(job.asked_key));
    free(job.asked_key);
    return failed ? -1 : 0;
}

/* --- all of it
 * ---------------------------------------------------------------- */

/* Every NIC has its MAC before the guest is fixed: names are bound to it, and
 * all targets use the same. */
static void settle_macs(struct rh_job_vm *v)
{
    struct rh_vm *vm = v->vm;

    for (size_t i = 0; i < vm->nics.count; i++) {
        struct rh_value *mac = &vm->nics.items[i].mac;
        RH_AUTO(rh_freep) char *subject = rh_printf("nics/%zu", i);
        char made[18];

        if (!rh_vm_nic_mac(vm, i, made))
            continue;
        rh_set_text(vm, mac, made, RH_FROM_DEFAULT, v->profile->id);
        rh_finding_add(
            &v->found, RH_F_MAC_MADE_UP, subject,
            _("the package does not say the MAC address of NIC %zu; it "
              "gets %s"),
            i, made);
    }
}

int rh_job_look(struct rh_job *job, struct rh_job_vm *v, rh_error **err)
{
    const struct rh_package *p = job->package;

    name_vm(job, v);
    order_disks(p->vms.items[v->index], v);
    if (rh_job_open_disks(job, v, err) < 0)
        return -1;
    /* What the package itself learned by opening them is in the copy. */
    v->vm = rh_vm_copy(p->vms.items[v->index]);
    rh_findings_copy(&v->found, &p->vm_findings.items[v->index]);
    if (skip_free(job, v, err) < 0 || look_at_guest(job, v, err) < 0)
        return -1;
    rh_package_review(p, v->vm, &v->found, job->profiles,
                      rh_option_yes(job->options, "strict"));
    v->profile = rh_profile_match(job->profiles, v->vm);
    settle_macs(v);
    return 0;
}

static void target_free(struct rh_job_target *t)
{
    rh_delivery_close(t->delivery);
    json_decref(t->receipt);
    rh_job_free_overlays(t->overlays, t->job.disk_count);
    free(t->job.disks);
    rh_findings_free(&t->findings);
    rh_edits_free(&t->edits);
    rh_guest_facts_free(&t->guest);
    rh_error_free(t->error);
    free(t->result);
}

void rh_job_vm_free(struct rh_job_vm *v)
{
    rh_appliance_free(v->appliance);
    rh_job_free_overlays(v->looked_at, v->disk_count);
    for (size_t i = 0; i < v->target_count; i++)
        target_free(&v->targets[i]);
    free(v->targets);
    for (size_t i = 0; v->disks && i < v->disk_count; i++)
        rh_reader_close(v->disks[i]);
    free(v->disks);
    free(v->order);
    free(v->name);
    rh_findings_free(&v->found);
    rh_vm_free(v->vm);
    rh_error_free(v->error);
    rh_guest_facts_free(&v->seen);
    json_decref(v->recommendation);
}
