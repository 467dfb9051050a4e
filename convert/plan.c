/* plan.c - decide devices, disks, findings and edits; write nothing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/plan.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "convert/estimate.h"
#include "convert/fit.h"
#include "config/complete.h"
#include "rehost/rehost.h"
#include "targets/model.h"

static void plan_freep(rh_plan **plan)
{
    rh_plan_free(*plan);
}

/* --- options
 * ---------------------------------------------------------------------- */

static int add_target(const char **names, size_t *count, const char *name,
                      rh_error **err)
{
    if (!rh_target_named(name)) {
        rh_fail(err, RH_ERR_PLAN_OPTION, "there is no target \"%s\"", name);
        return rh_hint(err, "use --to kvm, --to xen, or for a report --to all");
    }
    for (size_t i = 0; i < *count; i++)
        if (!strcmp(names[i], name))
            return 0;
    names[(*count)++] = rh_target_named(name)->name;
    return 0;
}

enum { TARGETS_MAX = 8 };

static int read_targets(const rh_plan *plan, const char **names,
                        size_t *ret_count, rh_error **err)
{
    const char *to;
    size_t count = 0;

    for (size_t i = 0; (to = rh_option_at(plan->options, "to", i)); i++) {
        if (strcmp(to, "all")) {
            if (add_target(names, &count, to, err) < 0)
                return -1;
            continue;
        }
        for (size_t t = 0; rh_target_at(t) && t < TARGETS_MAX; t++)
            if (add_target(names, &count, rh_target_at(t)->name, err) < 0)
                return -1;
    }
    *ret_count = count;
    if (count)
        return 0;
    rh_fail(err, RH_ERR_PLAN_OPTION, "no target was named");
    return rh_hint(err, "add --to kvm or --to xen, or for a report --to all");
}

static int read_networks(rh_plan *plan, rh_error **err)
{
    const char *map;

    for (size_t i = 0; (map = rh_option_at(plan->options, "network-map", i));
         i++) {
        const char *equals = strrchr(map, '=');
        struct rh_network_map *m;

        if (!equals || equals == map || !equals[1]) {
            rh_fail(err, RH_ERR_PLAN_OPTION, "--network-map cannot be \"%s\"",
                    map);
            return rh_hint(err, "write FROM=TO, for example "
                                "--network-map \"VM Network=vmbr0\"");
        }
        plan->networks = rh_realloc_array(
            plan->networks, plan->network_count + 1, sizeof *plan->networks);
        m = &plan->networks[plan->network_count++];
        m->from =
            rh_arena_strndup(plan->package->arena, map, (size_t)(equals - map));
        m->to = rh_arena_strdup(plan->package->arena, equals + 1);
    }
    return 0;
}

static int check_word(const rh_plan *plan, const char *key,
                      const char *const *words, rh_error **err)
{
    const char *value = rh_option(plan->options, key);
    RH_AUTO(rh_buf_free) struct rh_buf all = {0};

    if (!value)
        return 0;
    for (size_t i = 0; words[i]; i++) {
        if (!strcmp(words[i], value))
            return 0;
        rh_buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    rh_fail(err, RH_ERR_PLAN_OPTION, "--%s cannot be \"%s\"", key, value);
    return rh_hint(err, "use one of: %s", all.data);
}

/* What each target takes is its own to say; here the word is known. */
static int check_format(const rh_plan *plan, rh_error **err)
{
    const char *formats[3 + TARGETS_MAX + 1] = {"qcow2", "raw", "vhd"};

    for (size_t i = 0, n = 3; i < TARGETS_MAX && rh_target_at(i); i++)
        if (rh_target_at(i)->archive)
            formats[n++] = rh_target_at(i)->archive->format;
    return check_word(plan, "format", formats, err);
}

/* --fix and --no-fix, which may come again and again. */
static int check_fixes(const rh_plan *plan, const char *key, rh_error **err)
{
    const char *given;

    for (size_t i = 0; (given = rh_option_at(plan->options, key, i)); i++) {
        size_t n = 0;

        while (rh_fix_names[n] && strcmp(rh_fix_names[n], given))
            n++;
        if (rh_fix_names[n])
            continue;
        rh_fail(err, RH_ERR_PLAN_OPTION, "--%s: there is no fix \"%s\"", key,
                given);
        return rh_hint(err, "`rehost profiles --json` names the fixes of each "
                            "system; docs/fixes.md lists them all");
    }
    return 0;
}

static int check_options(const rh_plan *plan, rh_error **err)
{
    static const char *const devices[] = {"virtio", "vmware", "emulated",
                                          "auto", NULL};
    static const char *const compress[] = {"none", "zlib", "zstd", "keep",
                                           NULL};
    static const char *const sums[] = {"sha1", "xxhash", NULL};

    return check_word(plan, "devices", devices, err) ||
                   check_format(plan, err) ||
                   check_word(plan, "compress", compress, err) ||
                   check_word(plan, "xva-sum", sums, err) ||
                   check_fixes(plan, "fix", err) ||
                   check_fixes(plan, "no-fix", err) ||
                   rh_plan_check_needs(plan, err)
               ? -1
               : 0;
}

/* --- one VM for one target
 * ------------------------------------------------------------ */

enum rh_verdict rh_plan_verdict(const struct rh_findings *findings)
{
    enum rh_verdict verdict = RH_READY;

    for (size_t i = 0; i < findings->count; i++) {
        const struct rh_finding *f = &findings->items[i];

        if (f->severity == RH_SEVERITY_BLOCKER)
            return RH_BLOCKED;
        if (f->severity == RH_SEVERITY_CAUTION && !f->automatic)
            verdict = RH_CAUTION;
    }
    return verdict;
}

const char *rh_verdict_name(enum rh_verdict v)
{
    static const char *const names[] = {"ready", "caution", "blocked"};

    return names[v];
}

static const struct rh_profile_devices *devices_named(
    const struct rh_profile_target *p, const char *name)
{
    if (!strcmp(name, "vmware"))
        return &p->vmware;
    return !strcmp(name, "emulated") ? &p->emulated : &p->virtio;
}

/* What was asked for when the profile has it, else the profile's own choice,
 * else whatever it has. */
static void choose_devices(struct rh_plan_target *t,
                           const struct rh_profile_target *p, const char *asked)
{
    const char *tries[] = {asked, p->devices_auto, "virtio", "emulated",
                           "vmware"};
    bool was_asked = asked && strcmp(asked, "auto");

    for (size_t i = was_asked ? 0 : 1; i < RH_COUNT(tries); i++) {
        const struct rh_profile_devices *d;

        if (!tries[i])
            continue;
        d = devices_named(p, tries[i]);
        if (!d->disk)
            continue;
        t->options.devices = tries[i];
        t->devices = *d;
        if (was_asked && i)
            rh_finding_add(
                &t->findings, RH_F_DEVICES_CHANGED, "vm",
                _("--devices %s is not offered for this system on %s; "
                  "%s is used"),
                asked, t->target->name, tries[i]);
        return;
    }
    t->options.devices = "emulated";
    t->devices = (struct rh_profile_devices){"sata", "e1000", NULL};
}

static void fill_options(const rh_plan *plan, struct rh_plan_target *t)
{
    const rh_options *o = plan->options;

    t->options.format = rh_option(o, "format");
    t->options.networks = plan->networks;
    t->options.network_count = plan->network_count;
    t->options.storage = rh_option(o, "storage");
    t->options.vmid = rh_option(o, "vmid");
    t->options.sr = rh_option(o, "sr");
    t->options.xva_sum = rh_option(o, "xva-sum");
    t->options.compress = rh_option(o, "compress");
    t->options.host_version = rh_option(o, "target-version");
}

static void fill_job(const rh_plan *plan, const struct rh_plan_vm *v,
                     struct rh_plan_target *t)
{
    const struct rh_vm *vm = plan->package->vms.items[v->index];
    struct rh_target_job *job = &t->job;

    job->vm = vm;
    job->profile = v->profile;
    job->devices = &t->devices;
    job->options = &t->options;
    job->name = v->name;
    job->firmware = vm->firmware.kind == RH_VALUE_TEXT ? vm->firmware.text
                    : v->profile->default_firmware
                        ? v->profile->default_firmware
                        : "bios";
    job->lib = plan->lib;
    job->disk_count = vm->disks.count;
    job->disks = rh_calloc(vm->disks.count, sizeof *job->disks);
    for (size_t i = 0; i < vm->disks.count; i++) {
        const struct rh_disk_config *d = &vm->disks.items[v->order[i]];

        job->disks[i].index = v->order[i];
        job->disks[i].virtual_size =
            v->disks[i] ? v->disks[i]->size : d->capacity_bytes.number;
    }
    t->machine = (struct rh_machine){
        .model = t->target->profile,
        .devices = t->options.devices,
        .disk = t->devices.disk,
        .nic = t->devices.nic,
        .firmware = job->firmware,
        .secure_boot = vm->secure_boot.boolean,
    };
}

static int make_overlays(struct rh_plan_vm *v, struct rh_reader ***ret,
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

static void free_overlays(struct rh_reader **list, size_t count)
{
    for (size_t i = 0; list && i < count; i++)
        rh_reader_close(list[i]);
    free(list);
}

static struct rh_guest_options guest_options(rh_plan *plan,
                                             struct rh_plan_vm *v)
{
    return (struct rh_guest_options){
        .lib = plan->lib,
        .profiles = plan->profiles,
        .vm = plan->package->vms.items[v->index],
        .drivers = rh_option(plan->options, "drivers"),
        .choices = plan->options,
    };
}

static void free_keys(char **keys)
{
    for (size_t i = 0; keys && keys[i]; i++)
        free(keys[i]);
    free(keys);
}

/* "file:PATH" keeps a key out of the command line, which others can read; the
 * newline that editors leave at a file's end is not part of it. */
static char *read_key(const char *given, rh_error **err)
{
    enum { KEY_MAX = 64 * 1024 };
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    char *key = NULL;
    size_t n;

    if (strncmp(given, "file:", 5))
        return rh_strdup(given);
    io = rh_io_file_at(AT_FDCWD, given + 5, 0, err);
    if (!io || rh_io_slurp(io, KEY_MAX, &key, &n, err) < 0)
        return NULL;
    key[strcspn(key, "\r\n")] = '\0';
    return key;
}

/* --key may come again and again.  NULL-ended. */
static char **guest_keys(const rh_plan *plan, rh_error **err)
{
    char **keys = rh_calloc(1, sizeof *keys);
    const char *given;

    for (size_t n = 0; (given = rh_option_at(plan->options, "key", n)); n++) {
        keys = rh_realloc_array(keys, n + 2, sizeof *keys);
        keys[n + 1] = NULL;
        keys[n] = read_key(given, err);
        if (!keys[n]) {
            free_keys(keys);
            return NULL;
        }
    }
    return keys;
}

static int fix_guest(rh_plan *plan, struct rh_plan_vm *v,
                     struct rh_plan_target *t, rh_error **err)
{
    struct rh_guest_options o = guest_options(plan, v);
    char **keys;
    int failed;

    if (rh_option_yes(plan->options, "no-guest-fix") ||
        rh_option_yes(plan->options, "no-guest")) {
        rh_finding_add(&t->findings, RH_F_GUEST_NOT_FIXED, "os",
                       _("what is inside the disks stays as it is"));
        return 0;
    }
    if (v->disks_missing) {
        rh_finding_add(
            &t->findings, RH_F_GUEST_NOT_SEEN, "os",
            _("the guest could not be looked at: a disk's file is not "
              "there"));
        return 0;
    }
    if (t->job.disk_count == 0)
        return 0;
    t->overlays = RH_TAKE(v->looked_at);
    if (!t->overlays &&
        make_overlays(v, &t->overlays, t->job.disk_count, plan->lib, err) < 0)
        return -1;
    keys = guest_keys(plan, err);
    if (!keys)
        return -1;
    o.machine = &t->machine;
    o.keys = (const char *const *)keys;
    o.findings = &t->findings;
    o.edits = &t->edits;
    o.appliance = &v->appliance;
    failed = rh_guest_fix(t->overlays, t->job.disk_count, &o, &t->guest, err);
    rh_appliance_free(RH_TAKE(v->appliance));
    free_keys(keys);
    return failed;
}

/* A report on a descriptor alone says what could be done once the disks are
 * there; where some of them are, the others are really missing. */
static void insist_on_disks(const struct rh_plan *plan,
                            const struct rh_plan_vm *v,
                            struct rh_findings *findings)
{
    const struct rh_vm *vm = plan->package->vms.items[v->index];
    bool some = false;

    for (size_t i = 0; v->disks_missing && i < v->disk_count; i++)
        some |= v->disks[i] && !vm->disks.items[v->order[i]].empty;
    for (size_t i = 0; some && i < findings->count; i++)
        if (findings->items[i].id == RH_F_DISK_FILE_MISSING)
            findings->items[i].severity = RH_SEVERITY_BLOCKER;
}

/* What licences and people go by, on every target. */
static void note_identity(const struct rh_plan_vm *v, struct rh_plan_target *t)
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

const char *rh_plan_format(const struct rh_plan_target *t)
{
    return t->options.format ? t->options.format : t->target->format;
}

bool rh_plan_is_archive(const struct rh_plan_target *t)
{
    const struct rh_archive_ops *archive = t->target->archive;

    return archive && !strcmp(rh_plan_format(t), archive->format);
}

/* Where it is to go may have something to say, too. */
static int ask_delivery(rh_plan *plan, struct rh_plan_vm *v,
                        struct rh_plan_target *t, rh_error **err)
{
    const char *compress = rh_option(plan->options, "compress");
    struct rh_delivery_request request = {
        .lib = plan->lib,
        .out = rh_option(plan->options, "out"),
        .options = plan->options,
        .target = t->target,
        .job = &t->job,
        .format = rh_plan_format(t),
        .archive = rh_plan_is_archive(t),
        .compressed = compress && strcmp(compress, "none"),
        .target_count = v->targets.count,
        .vm_count = plan->package->vms.count,
    };

    if (!request.out || !request.out[0])
        return 0;
    t->delivery = rh_delivery_open(&request, err);
    return t->delivery ? rh_delivery_preflight(t->delivery, &t->findings, err)
                       : -1;
}

static int plan_target(rh_plan *plan, struct rh_plan_vm *v,
                       struct rh_plan_target *t, rh_error **err)
{
    const struct rh_profile_target *p =
        rh_profile_on(v->profile, t->target->profile);
    struct rh_package *package = plan->package;

    rh_findings_copy(&t->findings, &package->findings);
    rh_findings_copy(&t->findings, &package->vm_findings.items[v->index]);
    insist_on_disks(plan, v, &t->findings);
    fill_options(plan, t);
    choose_devices(t, p, rh_option(plan->options, "devices"));
    fill_job(plan, v, t);
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
        fix_guest(plan, v, t, err) < 0 || ask_delivery(plan, v, t, err) < 0)
        return -1;
    rh_findings_sort(&t->findings);
    t->verdict = rh_plan_verdict(&t->findings);
    rh_estimate(plan->lib, v, t);
    return 0;
}

/* --- one VM
 * -------------------------------------------------------------------------------
 */

/* The boot disk first, then as the controllers have them. */
static void order_disks(const struct rh_vm *vm, struct rh_plan_vm *v)
{
    size_t n = 0;

    v->order = rh_calloc(vm->disks.count, sizeof *v->order);
    for (size_t i = 0; i < vm->disks.count; i++)
        if (vm->disks.items[i].boot && n == 0)
            v->order[n++] = i;
    for (size_t i = 0; i < vm->disks.count; i++)
        if (n == 0 || i != v->order[0] || !vm->disks.items[v->order[0]].boot)
            v->order[n++] = i;
}

static bool name_taken(const rh_plan *plan, const char *name)
{
    for (size_t i = 0; i + 1 < plan->vms.count; i++)
        if (plan->vms.items[i].name && !strcmp(plan->vms.items[i].name, name))
            return true;
    return false;
}

static void name_vm(rh_plan *plan, struct rh_plan_vm *v)
{
    const struct rh_vm *vm = plan->package->vms.items[v->index];
    const char *given = rh_option(plan->options, "name");
    RH_AUTO(rh_freep)
    char *base = rh_safe_name(given && plan->package->vms.count == 1 ? given
                              : vm->name.kind == RH_VALUE_TEXT ? vm->name.text
                              : vm->id                         ? vm->id
                                                               : "vm");
    char *name = rh_strdup(base);

    for (unsigned i = 2; name_taken(plan, name); i++) {
        free(name);
        name = rh_printf("%s-%u", base, i);
    }
    v->name = name;
}

/* Look once, before devices are chosen: the OS decides the profile. */
static int look_at_guest(rh_plan *plan, struct rh_plan_vm *v, rh_error **err)
{
    /* Of several VMs none keeps its appliance: each takes a GiB of memory. */
    bool keep = plan->package->vms.count == 1;
    struct rh_guest_options o = guest_options(plan, v);
    size_t count = plan->package->vms.items[v->index]->disks.count;
    struct rh_guest_facts facts = {0};
    struct rh_findings ignored = {0}; /* the fix will say them again */
    struct rh_edits none = {0};
    struct rh_reader **overlays = NULL;
    char **keys;
    int failed;

    if (v->disks_missing || count == 0 ||
        rh_option_yes(plan->options, "no-guest") ||
        rh_option_yes(plan->options, "no-guest-fix"))
        return 0;
    keys = guest_keys(plan, err);
    if (!keys)
        return -1;
    o.keys = (const char *const *)keys;
    o.findings = &ignored;
    o.edits = &none;
    o.appliance = keep ? &v->appliance : NULL;
    failed = make_overlays(v, &overlays, count, plan->lib, err);
    if (!failed)
        failed = rh_guest_inspect(overlays, count, &o, &facts, err);
    if (v->appliance)
        v->looked_at = RH_TAKE(overlays);
    free_overlays(overlays, count);
    free_keys(keys);
    rh_guest_facts_free(&facts);
    rh_findings_free(&ignored);
    rh_edits_free(&none);
    return failed;
}

int rh_plan_inspect_vm(struct rh_package *p, size_t vm,
                       const struct rh_profiles *profiles,
                       const rh_options *options, rh_error **err)
{
    rh_plan plan = {.lib = p->lib,
                    .package = p,
                    .options = options,
                    .profiles = profiles,
                    .for_report = true};
    struct rh_plan_vm v = {.index = vm};
    int failed;

    order_disks(p->vms.items[vm], &v);
    failed = rh_plan_open_disks(&plan, &v, err) < 0 ||
             look_at_guest(&plan, &v, err) < 0;
    if (!failed)
        rh_package_review(p, vm, profiles, rh_option_yes(options, "strict"));
    rh_plan_vm_free(&v);
    return failed ? -1 : 0;
}

/* Every NIC has its MAC before the guest is fixed: names are bound to it, and
 * all targets use the same. */
static void settle_macs(rh_plan *plan, struct rh_plan_vm *v)
{
    struct rh_vm *vm = plan->package->vms.items[v->index];
    struct rh_findings *findings = &plan->package->vm_findings.items[v->index];

    for (size_t i = 0; i < vm->nics.count; i++) {
        struct rh_value *mac = &vm->nics.items[i].mac;
        RH_AUTO(rh_freep) char *subject = rh_printf("nics/%zu", i);
        char made[18];

        if (!rh_vm_nic_mac(vm, i, made))
            continue;
        rh_set_text(vm, mac, made, RH_FROM_DEFAULT, v->profile->id);
        rh_finding_add(
            findings, RH_F_MAC_MADE_UP, subject,
            _("the package does not say the MAC address of NIC %zu; it "
              "gets %s"),
            i, made);
    }
}

/* What the VM is: all that does not depend on a target. */
static int know_vm(rh_plan *plan, struct rh_plan_vm *v, rh_error **err)
{
    struct rh_vm *vm = plan->package->vms.items[v->index];

    name_vm(plan, v);
    order_disks(vm, v);
    if (rh_plan_open_disks(plan, v, err) < 0 || look_at_guest(plan, v, err) < 0)
        return -1;
    rh_package_review(plan->package, v->index, plan->profiles,
                      rh_option_yes(plan->options, "strict"));
    v->profile = rh_profile_match(plan->profiles, vm);
    settle_macs(plan, v);
    return 0;
}

static int plan_vm(rh_plan *plan, struct rh_plan_vm *v, const char **targets,
                   size_t target_count, rh_error **err)
{
    /* The list must not move while jobs point into it. */
    for (size_t i = 0; i < target_count; i++)
        rh_vec_add(&v->targets)->target = rh_target_named(targets[i]);
    for (size_t i = 0; i < target_count; i++)
        if (plan_target(plan, v, &v->targets.items[i], err) < 0)
            return -1;
    rh_plan_recommend(plan, v);
    return 0;
}

/* An archive takes a disk in its own order, a file in any; what is kept packed
 * is looked up. */
static bool takes_forward(const rh_plan *plan, const char *const *targets,
                          size_t count)
{
    const char *given = rh_option(plan->options, "format");
    const char *compress = rh_option(plan->options, "compress");

    for (size_t i = 0; i < count; i++) {
        const struct rh_target *t = rh_target_named(targets[i]);

        if (t->archive &&
            !strcmp(given ? given : t->format, t->archive->format))
            return false;
    }
    return plan->package->forward && !plan->for_report &&
           !(compress && !strcmp(compress, "keep"));
}

int rh_plan_prepare(rh_plan *plan, rh_error **err)
{
    const char *targets[TARGETS_MAX];
    size_t count = 0;

    if (plan->vms.count)
        return 0;
    if (plan->package->vms.count == 0)
        return rh_fail(err, RH_ERR_PLAN_NO_VM, "no VM was found in it");
    if (read_targets(plan, targets, &count, err) < 0)
        return -1;
    plan->forward = takes_forward(plan, targets, count);
    for (size_t i = 0; i < plan->package->vms.count; i++) {
        struct rh_plan_vm *v = rh_vec_add(&plan->vms);

        v->index = i;
        if (know_vm(plan, v, err) < 0)
            return rh_error_subject(err, plan->package->path);
    }
    rh_plan_duplicates(plan);
    for (size_t i = 0; i < plan->vms.count; i++)
        if (plan_vm(plan, &plan->vms.items[i], targets, count, err) < 0)
            return rh_error_subject(err, plan->package->path);
    return 0;
}

/* --- making and freeing
 * --------------------------------------------------------------------- */

static rh_options *copy_options(const rh_options *from)
{
    rh_options *to = rh_options_new();

    for (size_t i = 0; from && i < from->list.count; i++)
        rh_options_add(to, from->list.items[i].key, from->list.items[i].value,
                       NULL);
    return to;
}

rh_plan *rh_plan_new(rh_package *package, const rh_options *options,
                     rh_error **err)
{
    RH_AUTO(plan_freep) rh_plan *plan = rh_new0(rh_plan);

    plan->lib = package->lib;
    plan->package = package;
    plan->own_options = copy_options(options);
    plan->options = plan->own_options;
    plan->models = rh_models_of(plan->lib, err);
    if (!plan->models)
        return NULL;
    if (check_options(plan, err) < 0 || read_networks(plan, err) < 0)
        return NULL;
    plan->profiles = rh_profiles_of(plan->lib, err);
    if (!plan->profiles)
        return NULL;
    return RH_TAKE(plan);
}

static void target_free(struct rh_plan_target *t)
{
    rh_delivery_close(t->delivery);
    free_overlays(t->overlays, t->job.disk_count);
    free(t->job.disks);
    rh_findings_free(&t->findings);
    rh_edits_free(&t->edits);
    rh_guest_facts_free(&t->guest);
}

void rh_plan_vm_free(struct rh_plan_vm *v)
{
    rh_appliance_free(v->appliance);
    free_overlays(v->looked_at, v->disk_count);
    for (size_t i = 0; i < v->targets.count; i++)
        target_free(&v->targets.items[i]);
    free(v->targets.items);
    for (size_t i = 0; v->disks && i < v->disk_count; i++)
        rh_reader_close(v->disks[i]);
    free(v->disks);
    free(v->order);
    free(v->name);
    json_decref(v->recommendation);
}

void rh_plan_free(rh_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->vms.count; i++)
        rh_plan_vm_free(&plan->vms.items[i]);
    free(plan->vms.items);
    for (size_t i = 0; i < plan->results.count; i++)
        free(plan->results.items[i]);
    free(plan->results.items);
    rh_buf_free(&plan->summary);
    free(plan->networks);
    rh_options_free(plan->own_options);
    free(plan);
}

const char *rh_plan_result(const rh_plan *plan, size_t i)
{
    return i < plan->results.count ? plan->results.items[i] : NULL;
}

char *rh_plan_summary(rh_plan *plan)
{
    return rh_strdup(plan->summary.data ? plan->summary.data : "");
}
