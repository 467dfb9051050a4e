/* decide.c - one VM for one target: devices, disks, findings, edits.  Writes
 * nothing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/estimate.h"
#include "convert/job.h"

/* --- devices
 * ------------------------------------------------------------------ */

static const struct rh_profile_devices *devices_named(
    const struct rh_profile_target *p, const char *name)
{
    if (!strcmp(name, "vmware"))
        return &p->vmware;
    return !strcmp(name, "emulated") ? &p->emulated : &p->virtio;
}

/* The guest was seen, and would not start from such a disk. */
static void say_passed_over(const struct rh_job_vm *v, struct rh_job_target *t,
                            const struct rh_profile_devices *d)
{
    const char *why;

    if (!rh_guest_starts_on(&v->seen, d->disk, &why))
        rh_finding_add(&t->findings, RH_F_DEVICES_CHANGED, "vm",
                       _("the guest would not start from a disk on %s: %s; "
                         "other devices are taken"),
                       d->disk, why);
}

/* What was asked for when the profile has it, else the profile's own choice,
 * else whatever it has; of these the first that the guest is seen to start on,
 * and if it starts on none, the first: the fix says why it is blocked. */
static void choose_devices(const struct rh_job_vm *v, struct rh_job_target *t,
                           const struct rh_profile_target *p, const char *asked)
{
    const char *tries[] = {asked, p->devices_auto, "virtio", "emulated",
                           "vmware"};
    bool was_asked = asked && strcmp(asked, "auto");
    size_t first = SIZE_MAX, best = SIZE_MAX;
    const char *why;

    for (size_t i = was_asked ? 0 : 1; i < RH_COUNT(tries); i++) {
        if (!tries[i] || !devices_named(p, tries[i])->disk)
            continue;
        first = RH_MIN(first, i);
        if (best == SIZE_MAX &&
            ((was_asked && i == 0) ||
             rh_guest_starts_on(&v->seen, devices_named(p, tries[i])->disk,
                                &why)))
            best = i;
    }
    for (size_t i = first; best != SIZE_MAX && i < best; i++)
        if (tries[i] && devices_named(p, tries[i])->disk)
            say_passed_over(v, t, devices_named(p, tries[i]));
    best = best == SIZE_MAX ? first : best;
    t->options.devices = best == SIZE_MAX ? "emulated" : tries[best];
    t->devices = best == SIZE_MAX
                     ? (struct rh_profile_devices){"sata", "e1000", NULL}
                     : *devices_named(p, tries[best]);
    if (was_asked && best && best != SIZE_MAX)
        rh_finding_add(&t->findings, RH_F_DEVICES_CHANGED, "vm",
                       _("--devices %s is not offered for this system on %s; "
                         "%s is used"),
                       asked, t->target->name, tries[best]);
}

/* --- what the target is told
 * -------------------------------------------------- */

/* What was asked for; else where the VM goes may take another form only than
 * the target's usual one. */
static const char *format_for(const struct rh_job *job,
                              const struct rh_target *target)
{
    const char *asked = rh_option(job->options, "format");
    const char *out =
        rh_option(job->options, job->for_report ? "target" : "out");
    const struct rh_deliverer *kind =
        out && out[0] ? rh_deliverer_of(out) : NULL;
    bool archive =
        target->archive && !strcmp(target->format, target->archive->format);

    if (asked || !kind || !kind->formats || !kind->disks ||
        rh_deliverer_check(kind, target->format, archive, NULL) == 0)
        return asked;
    return kind->formats[0];
}

static void fill_options(const struct rh_job *job, struct rh_job_target *t)
{
    t->options.given = job->options;
    t->options.format = format_for(job, t->target);
    t->options.compress = rh_option(job->options, "compress");
    t->options.networks = job->networks;
    t->options.network_count = job->network_count;
}

static void fill_disks(const struct rh_job_vm *v, struct rh_target_job *to)
{
    to->disk_count = v->vm->disks.count;
    to->disks = rh_calloc(to->disk_count, sizeof *to->disks);
    for (size_t i = 0; i < to->disk_count; i++) {
        const struct rh_disk_config *d = &v->vm->disks.items[v->order[i]];

        to->disks[i].index = v->order[i];
        to->disks[i].virtual_size =
            v->disks[i] ? v->disks[i]->size : d->capacity_bytes.number;
    }
}

static void fill_job(const struct rh_job *job, const struct rh_job_vm *v,
                     struct rh_job_target *t)
{
    const struct rh_vm *vm = v->vm;
    struct rh_target_job *to = &t->job;

    to->vm = vm;
    to->profile = v->profile;
    to->devices = &t->devices;
    to->options = &t->options;
    to->name = v->name;
    to->firmware = vm->firmware.kind == RH_VALUE_TEXT ? vm->firmware.text
                   : v->profile->default_firmware ? v->profile->default_firmware
                                                  : "bios";
    to->lib = job->lib;
    fill_disks(v, to);
    t->machine = (struct rh_machine){
        .model = t->target->profile,
        .needs_pv_drivers = t->target->abilities & RH_TARGET_NEEDS_PV_DRIVERS,
        .devices = t->options.devices,
        .disk = t->devices.disk,
        .nic = t->devices.nic,
        .firmware = to->firmware,
        .secure_boot = vm->secure_boot.boolean,
    };
}

/* --- the guest
 * ---------------------------------------------------------------- */

/* To mount a file system is to write into it (its journal, when and how often
 * it was mounted): where nothing was edited, nothing of that stays. */
static int forget_mounting(const struct rh_job *job, struct rh_job_vm *v,
                           struct rh_job_target *t, rh_error **err)
{
    if (t->edits.count)
        return 0;
    rh_job_free_overlays(RH_TAKE(t->overlays), t->job.disk_count);
    return rh_job_make_overlays(v, &t->overlays, t->job.disk_count, job->lib,
                                err);
}

static int fix(struct rh_job *job, struct rh_job_vm *v, struct rh_job_target *t,
               rh_error **err)
{
    struct rh_guest_options o = rh_job_guest_options(job, v);
    char **keys = rh_job_keys(job, err);
    int failed;

    if (!keys)
        return -1;
    o.machine = &t->machine;
    o.keys = (const char *const *)keys;
    o.findings = &t->findings;
    o.edits = &t->edits;
    o.appliance = &v->appliance;
    failed = rh_guest_fix(t->overlays, t->job.disk_count, &o, &t->guest, err);
    rh_appliance_free(RH_TAKE(v->appliance));
    rh_job_keys_free(keys);
    return failed ? failed : forget_mounting(job, v, t, err);
}

/* A keeper takes the disks as views, also where they show no edits. */
static int keep_views(const struct rh_job *job, struct rh_job_vm *v,
                      struct rh_job_target *t, rh_error **err)
{
    if (!job->keeper || v->disks_missing || !t->job.disk_count)
        return 0;
    return rh_job_make_overlays(v, &t->overlays, t->job.disk_count, job->lib,
                                err);
}

static int fix_guest(struct rh_job *job, struct rh_job_vm *v,
                     struct rh_job_target *t, rh_error **err)
{
    if (rh_job_leaves_guest(job->options)) {
        rh_finding_add(&t->findings, RH_F_GUEST_NOT_FIXED, "os",
                       _("what is inside the disks stays as it is"));
        return keep_views(job, v, t, err);
    }
    if (v->disks_missing) {
        rh_finding_add(
            &t->findings, RH_F_GUEST_NOT_SEEN, "os",
            rh_package_is_live(job->package)
                ? _("the guest was not looked at: its disks were not read")
                : _("the guest could not be looked at: a disk's file is not "
                    "there"));
        return 0;
    }
    if (t->job.disk_count == 0)
        return 0;
    t->overlays = RH_TAKE(v->looked_at);
    if (!t->overlays && rh_job_make_overlays(v, &t->overlays, t->job.disk_count,
                                             job->lib, err) < 0)
        return -1;
    return fix(job, v, t, err);
}

/* --- findings
 * ----------------------------------------------------------------- */

/* A report on a descriptor alone says what could be done once the disks are
 * there; where some of them are, the others are really missing. */
static void insist_on_disks(const struct rh_job_vm *v,
                            struct rh_findings *findings)
{
    bool some = false;

    for (size_t i = 0; v->disks_missing && i < v->disk_count; i++)
        some |= v->disks[i] && !v->vm->disks.items[v->order[i]].empty;
    for (size_t i = 0; some && i < findings->count; i++)
        if (findings->items[i].id == RH_F_DISK_FILE_MISSING)
            findings->items[i].severity = RH_SEVERITY_BLOCKER;
}

/* What licences and people go by, on every target. */
static void note_identity(const struct rh_job_vm *v, struct rh_job_target *t)
{
    const char *name = rh_text_of(&t->job.vm->name);

    if (*name && strcmp(name, v->name))
        rh_finding_add(&t->findings, RH_F_RESULT_NAME, "name",
                       _("the result of \"%s\" is kept as %s"), name, v->name);
    if (v->profile->family && !strcmp(v->profile->family, "windows"))
        rh_finding_add(
            &t->findings, RH_F_WINDOWS_ACTIVATION, "os",
            _("Windows sees another mainboard, other disks and network "
              "cards: it may have to be activated again"));
}

/* --- where it goes
 * ------------------------------------------------------------ */

const char *rh_job_format(const struct rh_job_target *t)
{
    return t->options.format ? t->options.format : t->target->format;
}

bool rh_job_is_archive(const struct rh_job_target *t)
{
    const struct rh_archive_ops *archive = t->target->archive;

    return archive && !strcmp(rh_job_format(t), archive->format);
}

/* Nothing is taken that would do nothing. */
static int check_server_options(const struct rh_job *job,
                                const struct rh_deliverer *kind, bool folder,
                                rh_error **err)
{
    static const char *const server[] = {
        "start",          "wait-address", "keep-failed",
        "import-storage", "transfer",     "serve",
        "serve-cert",     "serve-key",    NULL};

    for (size_t i = 0; server[i] && !job->for_report; i++) {
        if (!rh_option(job->options, server[i]) ||
            rh_deliverer_takes(kind, server[i]))
            continue;
        if (folder)
            return rh_fail(err, RH_ERR_PLAN_OPTION,
                           "--%s is for --out URL, not for a folder",
                           server[i]);
        return rh_fail(err, RH_ERR_PLAN_OPTION, "--%s is not for %s", server[i],
                       kind->name);
    }
    if (folder || !rh_option_yes(job->options, "overwrite") ||
        job->for_report || !strstr(rh_option(job->options, "out"), "://"))
        return 0;
    rh_fail(err, RH_ERR_PLAN_OPTION,
            "no VM of a server is replaced: --overwrite is for folders");
    return rh_hint(err, "take the old VM away there first");
}

/* One file, of one VM; what is there stays. */
static int check_receipt(const struct rh_job *job, bool folder, rh_error **err)
{
    const char *path = rh_option(job->options, "receipt");

    if (!path || job->for_report)
        return 0;
    if (folder)
        return rh_fail(err, RH_ERR_PLAN_OPTION,
                       "--receipt is for --out URL: a folder has its own");
    if (job->vms.count * job->target_count != 1)
        return rh_fail(err, RH_ERR_PLAN_OPTION,
                       "--receipt is for one VM and one --to");
    if (access(path, F_OK) < 0)
        return 0;
    rh_fail(err, RH_ERR_FILE_EXISTS, "it is there already");
    return rh_error_subject(err, path);
}

/* A folder could be named so, but is not meant. */
static int check_url(const struct rh_job *job, const char *out, rh_error **err)
{
    const struct rh_deliverer *kind = rh_deliverer_of(out);
    bool folder = !strcmp(kind->name, "folder");
    const char *rest = strstr(out, "://");

    if (check_server_options(job, kind, folder, err) < 0 ||
        check_receipt(job, folder, err) < 0)
        return -1;
    if (!folder || (!rest && !job->for_report))
        return 0;
    return rh_fail(err, RH_ERR_DELIVERY_URL,
                   "\"%.*s\" is no delivery that is known",
                   (int)(rest ? rest - out : 20), out);
}

/* A report asks a server about the models that it is for. */
static bool takes(const struct rh_delivery_request *r)
{
    return rh_deliverer_check(rh_deliverer_of(r->out), r->format, r->archive,
                              NULL) == 0;
}

/* The other side may have something to say, too. */
static int ask_delivery(struct rh_job *job, struct rh_job_vm *v,
                        struct rh_job_target *t, rh_error **err)
{
    const char *compress = t->options.compress;
    struct rh_delivery_request request = {
        .lib = job->lib,
        .out = rh_option(job->options, job->for_report ? "target" : "out"),
        .options = job->options,
        .target = t->target,
        .job = &t->job,
        .format = rh_job_format(t),
        .archive = rh_job_is_archive(t),
        .compressed = compress && strcmp(compress, "none"),
        .data_bytes = v->disks_forward ? 0 : v->data_bytes,
        .target_count = v->target_count,
        .vm_count = job->vms.count,
    };

    if (!request.out || !request.out[0])
        return 0;
    if (check_url(job, request.out, err) < 0)
        return -1;
    if (job->for_report && !takes(&request))
        return 0;
    t->delivery = rh_delivery_open(&request, err);
    return t->delivery ? rh_delivery_preflight(t->delivery, &t->findings, err)
                       : -1;
}

int rh_job_decide(struct rh_job *job, struct rh_job_vm *v,
                  struct rh_job_target *t, rh_error **err)
{
    const struct rh_profile_target *p =
        rh_profile_on(v->profile, t->target->profile);

    rh_findings_copy(&t->findings, &job->package->findings);
    rh_findings_copy(&t->findings, &v->found);
    insist_on_disks(v, &t->findings);
    fill_options(job, t);
    choose_devices(v, t, p, rh_option(job->options, "devices"));
    fill_job(job, v, t);
    note_identity(v, t);
    if (!p->supported)
        rh_finding_add(&t->findings, RH_F_OS_UNSUPPORTED, "os", "%s",
                       p->why ? _(p->why)
                              : _("this system does not run on this model"));
    if (t->target->assign(&t->job, &t->findings, err) < 0)
        return -1;
    /* The target may keep another controller than the profile's. */
    t->machine.disk = t->job.devices->disk;
    if (t->target->check(&t->job, &t->findings, err) < 0 ||
        fix_guest(job, v, t, err) < 0 || ask_delivery(job, v, t, err) < 0)
        return -1;
    rh_findings_sort(&t->findings);
    t->judgement = rh_judge(&t->findings, t->edits.count);
    rh_estimate(job->lib, v, t);
    return 0;
}
