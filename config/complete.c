/* complete.c - after all sources: what the disks say, what is guessed, what is
 * missing and where to find it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "volumes/diskfacts.h"
#include "package/forward.h"
#include "config/merge.h"

/* --- disks
 * ------------------------------------------------------------------------- */
/* A disk that is not there, or that no version of rehost reads, leaves the rest
 * of the package as it is; damage does not. */
static bool is_finding(const rh_error *e)
{
    switch (rh_error_number(e)) {
    case RH_ERR_FILE_NOT_FOUND:
    case RH_ERR_PACKAGE_FILE_MISSING:
    case RH_ERR_PACKAGE_HREF: /* hostile ones were refused at opening */
    case RH_ERR_NAME_UNSAFE:
    case RH_ERR_DISK_PARENT:
    case RH_ERR_DISK_FORMAT_UNKNOWN:
    case RH_ERR_VMDK_DEVICE:
        return true;
    default:
        return rh_error_class_of(rh_error_number(e)) == RH_CLASS_BLOCKED;
    }
}

static bool is_said(const struct rh_findings *list, const char *subject)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct rh_finding *f = &list->items[i];

        if (!strcmp(f->subject, subject) && (f->id == RH_F_DISK_FILE_MISSING ||
                                             f->id == RH_F_DISK_FILE_OUTSIDE))
            return true;
    }
    return false;
}

/* Without storing it where that is wanted and can be. */
static int look_into(struct rh_package *p, size_t vm, size_t disk,
                     struct rh_disk_facts *ret, rh_error **err)
{
    RH_AUTO(rh_reader_closep)
    struct rh_reader *r = p->forward ? rh_package_disk_peek(p, vm, disk) : NULL;
    rh_error *cause = NULL;

    if (r && !rh_disk_look(r, ret, &cause))
        return 0;
    if (r && rh_error_number(cause) != RH_ERR_DISK_NOT_SEEKABLE) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    rh_error_free(cause);
    rh_reader_close(r);
    r = rh_package_disk(p, vm, disk, err);
    return r ? rh_disk_look(r, ret, err) : -1;
}

/* 1: looked at; 0: could not be, which is a finding. */
static int look_at(struct rh_package *p, size_t vm, size_t disk,
                   struct rh_disk_facts *ret, rh_error **err)
{
    struct rh_findings *findings = &p->vm_findings.items[vm];
    rh_error *cause = NULL;
    char subject[32];

    snprintf(subject, sizeof subject, "disks/%zu", disk);
    if (is_said(findings, subject) || !rh_package_disk_looks(p, vm, disk))
        return 0;
    if (look_into(p, vm, disk, ret, &cause) == 0)
        return 1;
    if (!is_finding(cause)) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    rh_finding_add(
        findings,
        rh_error_number(cause) == RH_ERR_VMDK_DEVICE ? RH_F_DISK_RDM
                                                     : RH_F_DISK_NOT_READ,
        subject, "%s: %s", rh_error_where(cause), rh_error_message(cause));
    rh_error_drop(&cause);
    return 0;
}

static const char *disk_name(const struct rh_disk_config *d)
{
    return d->id.text ? d->id.text : d->file.text ? d->file.text : "disk";
}

static void say_facts(const struct rh_disk_facts *f, size_t disk,
                      struct rh_findings *findings)
{
    RH_AUTO(rh_freep) char *text = rh_disk_facts_text(f);
    char subject[32];

    snprintf(subject, sizeof subject, "disks/%zu", disk);
    rh_finding_add(findings, RH_F_DISK_CONTENT, subject, "%s", text);
    if (f->bitlocker)
        rh_finding_add(findings, RH_F_DISK_BITLOCKER, subject,
                       "a volume is encrypted by BitLocker");
    if (f->lacking)
        rh_finding_add(findings, RH_F_DISK_CUT, subject,
                       "its partitions reach %llu bytes behind its end",
                       (unsigned long long)f->lacking);
}

struct candidate {
    size_t disk;
    struct rh_boot_verdict verdict;
};

/* An order that the sources say beats the order of the controllers. */
static bool boots_before(const struct rh_disk_config *a,
                         const struct rh_disk_config *b)
{
    uint64_t x = a->boot_order.kind ? a->boot_order.number : UINT64_MAX;
    uint64_t y = b->boot_order.kind ? b->boot_order.number : UINT64_MAX;

    return x < y;
}

static void take_verdict(struct rh_vm *vm, const struct candidate *c,
                         struct rh_findings *findings)
{
    struct rh_disk_config *d = &vm->disks.items[c->disk];
    RH_AUTO(rh_freep)
    char *detail = rh_printf(_("%s on %s"), _(c->verdict.why), disk_name(d));
    struct rh_value offer = {.kind = RH_VALUE_TEXT,
                             .from = RH_FROM_DISK,
                             .text = c->verdict.firmware,
                             .detail = detail};
    const struct rh_field *field = NULL;
    struct rh_value *v = rh_vm_value(vm, "firmware", false, &field);

    d->boot = true;
    if (d->boot_order.kind == RH_VALUE_UNSET)
        rh_set_number(vm, &d->boot_order, 1, RH_FROM_DISK, detail);
    /* A weak sign fills a gap, and contradicts nobody. */
    if (c->verdict.strong || v->kind == RH_VALUE_UNSET)
        rh_merge_value(vm, "firmware", field, v, &offer, findings);
    if (c->verdict.strong && v->text && strcmp(v->text, c->verdict.firmware))
        rh_finding_add(findings, RH_F_FIRMWARE_CONFLICT, "vm",
                       N_("the package says %s firmware, the disks are set up "
                          "for %s"),
                       v->text, c->verdict.firmware);
}

static int disks(struct rh_package *p, size_t index, rh_error **err)
{
    struct rh_vm *vm = p->vms.items[index];
    struct rh_findings *findings = &p->vm_findings.items[index];
    struct candidate best = {SIZE_MAX, {NULL, NULL, false}};

    for (size_t i = 0; i < vm->disks.count; i++) {
        struct rh_disk_config *d = &vm->disks.items[i];
        struct rh_disk_facts facts;
        struct rh_boot_verdict verdict;
        int status;

        d->boot = false;
        if (d->empty)
            continue;
        status = look_at(p, index, i, &facts, err);
        if (status < 0)
            return -1;
        if (!status)
            continue;
        say_facts(&facts, i, findings);
        verdict = rh_boot_judge(&facts);
        if (verdict.firmware && (best.disk == SIZE_MAX ||
                                 boots_before(d, &vm->disks.items[best.disk])))
            best = (struct candidate){i, verdict};
    }
    rh_package_parts_shared(p, index);
    if (best.disk != SIZE_MAX) {
        take_verdict(vm, &best, findings);
        return 0;
    }
    /* Nothing shows: the first that is not new. */
    for (size_t i = 0; i < vm->disks.count; i++) {
        struct rh_disk_config *d = &vm->disks.items[i];

        if (!d->empty && (best.disk == SIZE_MAX ||
                          boots_before(d, &vm->disks.items[best.disk])))
            best.disk = i;
    }
    if (best.disk != SIZE_MAX)
        vm->disks.items[best.disk].boot = true;
    return 0;
}

/* --- profile
 * ------------------------------------------------------------------------- */
static void forget_default(struct rh_value *v)
{
    if (v->from == RH_FROM_DEFAULT)
        *v = (struct rh_value){0};
}

static void set_default(struct rh_vm *vm, struct rh_value *v, const char *text,
                        const struct rh_profile *profile)
{
    if (v->kind == RH_VALUE_UNSET && text)
        rh_set_text(vm, v, text, RH_FROM_DEFAULT, profile->id);
}

static const struct rh_profile *apply_profile(const struct rh_profiles *all,
                                              struct rh_vm *vm)
{
    const struct rh_profile *profile;

    forget_default(&vm->os_profile);
    forget_default(&vm->os_family);
    forget_default(&vm->clock);
    profile = rh_profile_match(all, vm);
    if (!profile || !strcmp(profile->id, "other"))
        return profile;
    set_default(vm, &vm->os_profile, profile->id, profile);
    set_default(vm, &vm->os_family, profile->family, profile);
    set_default(vm, &vm->clock, profile->clock, profile);
    return profile;
}

/* What somebody chose for the VM, against what its tools reported. */
static void tell_reported(const struct rh_profiles *all, struct rh_vm *vm,
                          struct rh_findings *findings)
{
    const struct rh_profile *real, *said;
    struct rh_vm words = *vm; /* borrowed */
    struct rh_finding *f;

    if (!vm->os_kernel.detail || strcmp(vm->os_kernel.detail, RH_REPORTED) ||
        (vm->os_profile.kind && vm->os_profile.from != RH_FROM_DEFAULT))
        return;
    words.os_profile = (struct rh_value){0};
    real = rh_profile_match(all, &words);
    words.os_name = words.os_kernel = words.os_version = words.os_family =
        (struct rh_value){0};
    said = rh_profile_match(all, &words);
    if (!strcmp(said->id, "other") || !strcmp(real->id, "other") ||
        rh_profile_refines(all, said, real) ||
        rh_profile_refines(all, real, said))
        return;
    f = rh_finding_add(findings, RH_F_GUEST_OS_CONFLICT, "os",
                       N_("the VM's settings say that this is %s, its tools "
                          "reported %s; what they reported counts"),
                       said->id, real->id);
    if (!strcmp(said->family, real->family))
        f->severity = RH_SEVERITY_INFO;
}

/* --- what is guessed, what is missing
 * ----------------------------------------------------- */
struct review {
    const struct rh_package *p;
    struct rh_vm *vm;
    struct rh_findings *findings;
    bool strict;
};

static int is_of_vmx(void *user, const char *key, const struct rh_field *field,
                     struct rh_value *v)
{
    size_t n = v->detail ? strlen(v->detail) : 0;

    (void)user, (void)key, (void)field;
    return v->from == RH_FROM_FILL && n > 4 &&
           !strcasecmp(v->detail + n - 4, ".vmx");
}

/* The .vmx has been read: what it does not say is not in it. */
static bool has_vmx(const struct review *r)
{
    return (r->p->kind && !strcmp(r->p->kind, "vmx")) ||
           rh_vm_each(r->vm, is_of_vmx, NULL);
}

/* Where this kind of source keeps it. */
static const char *where_to_look(const struct review *r)
{
    bool bare = r->p->kind && !strcmp(r->p->kind, "disk");

    if (!strcmp(r->vm->source_kind, "nutanix"))
        return _("save the VM's answer while it still exists and pass it by "
                 "--fill: GET /api/vmm/v4.0/ahv/config/vms/{extId} or "
                 "/api/nutanix/v3/vms/{uuid} (Prism Central), GET "
                 "/PrismGateway/services/rest/v2.0/vms/{uuid}"
                 "?include_vm_disk_config=true&include_vm_nic_config=true "
                 "(Prism Element), or `acli vm.get NAME` (a CVM)");
    if (has_vmx(r))
        return _("the VM's .vmx does not say it: say it with --set");
    if (!strcmp(r->vm->source_kind, "vmware"))
        return _("pass the VM's .vmx by --fill (it lies in the VM's folder on "
                 "the datastore), or say it with --set");
    if (bare)
        return _("pass what describes the VM by --fill: Prism's JSON (GET "
                 "/api/vmm/v4.0/ahv/config/vms/{extId}), the text of `acli "
                 "vm.get NAME`, its .vmx or .ovf; or say it with --set; "
                 "`rehost inspect --template` writes the list");
    return _("say it with --set, or fill in what `rehost inspect --template` "
             "writes");
}

static void set_remedy(const struct review *r, struct rh_finding *f)
{
    free(f->remedy);
    f->remedy = rh_strdup(where_to_look(r));
}

static struct rh_finding *guess(const struct review *r, const char *key,
                                const char *text)
{
    struct rh_finding *f =
        rh_finding_add(r->findings, RH_F_CONFIG_GUESS, key, "%s", text);

    if (r->strict)
        f->severity = RH_SEVERITY_BLOCKER;
    set_remedy(r, f);
    return f;
}

static struct rh_finding *missing(const struct review *r, const char *key,
                                  const char *text)
{
    struct rh_finding *f =
        rh_finding_add(r->findings, RH_F_CONFIG_MISSING, key, "%s", text);

    set_remedy(r, f);
    return f;
}

/* Descriptors seldom say it: the guest itself is the one to ask. */
static void guess_clock(const struct review *r)
{
    const struct rh_value *clock = &r->vm->clock;
    RH_AUTO(rh_freep)
    char *text = rh_printf(_("nothing says whether the hardware clock runs in "
                             "UTC; %s is what %s uses"),
                           clock->text, clock->detail);
    struct rh_finding *f = guess(r, "clock", text);

    if (!has_vmx(r))
        return;
    free(f->remedy);
    f->remedy = rh_strdup(
        _("the VM's .vmx does not say it; ask the guest (`timedatectl` or "
          "/etc/adjtime in Linux, RealTimeIsUniversal in Windows' registry), "
          "then say --set clock=utc or --set clock=localtime"));
}

static void review_machine(const struct review *r,
                           const struct rh_profile *profile)
{
    struct rh_vm *vm = r->vm;
    const char *firmware = profile && profile->default_firmware
                               ? profile->default_firmware
                               : "bios";

    if (vm->memory_bytes.kind == RH_VALUE_UNSET)
        missing(r, "memory_bytes",
                _("nothing says how much memory the VM has; there is no "
                  "default"))
            ->severity = RH_SEVERITY_BLOCKER;
    if (vm->cpus.kind == RH_VALUE_UNSET)
        guess(r, "cpus", _("nothing says how many CPUs the VM has; it gets 1"));
    if (vm->firmware.kind == RH_VALUE_UNSET) {
        RH_AUTO(rh_freep)
        char *text = rh_printf(
            _("nothing says which firmware the VM starts by; it gets %s"),
            firmware);

        guess(r, "firmware", text);
    }
    if (vm->clock.from == RH_FROM_DEFAULT)
        guess_clock(r);
    if (vm->os_profile.kind == RH_VALUE_UNSET)
        guess(r, "os/profile",
              _("nothing says which operating system this is; it is treated "
                "as any"));
    if (vm->firmware.text && !strcmp(vm->firmware.text, "uefi") &&
        vm->secure_boot.kind == RH_VALUE_UNSET)
        missing(r, "secure_boot",
                _("nothing says whether Secure Boot is on; it will be off"))
            ->severity = RH_SEVERITY_INFO;
    if (vm->uuid.kind == RH_VALUE_UNSET)
        missing(r, "uuid",
                _("the BIOS UUID is not known; the VM gets a new one, which "
                  "licences may notice"))
            ->severity = RH_SEVERITY_INFO;
}

static void review_nics(const struct review *r)
{
    struct rh_vm *vm = r->vm;
    bool bare = r->p->kind && !strcmp(r->p->kind, "disk");
    char key[48];

    if (!vm->nics.count && (bare || !strcmp(vm->source_kind, "nutanix")))
        missing(r, "nics",
                _("nothing says which network cards the VM has; it gets "
                  "none"));
    for (size_t i = 0; i < vm->nics.count; i++) {
        const struct rh_nic_config *nic = &vm->nics.items[i];

        snprintf(key, sizeof key, "nics/%zu/mac", i);
        if (nic->mac.kind == RH_VALUE_UNSET)
            missing(r, key,
                    _("the MAC address is not known; a new one is made, which "
                      "DHCP reservations and licences may notice"))
                ->severity = RH_SEVERITY_INFO;
        snprintf(key, sizeof key, "nics/%zu/network", i);
        if (nic->network.kind == RH_VALUE_UNSET)
            missing(r, key,
                    _("the network is not known; the target's default one is "
                      "used"));
    }
}

void rh_package_review(const struct rh_package *p, struct rh_vm *vm,
                       struct rh_findings *findings,
                       const struct rh_profiles *profiles, bool strict)
{
    struct review r = {p, vm, findings, strict};
    const struct rh_profile *profile = apply_profile(profiles, r.vm);

    /* What an earlier look said, before more was known. */
    rh_findings_drop(r.findings, RH_F_CONFIG_GUESS);
    rh_findings_drop(r.findings, RH_F_CONFIG_MISSING);
    rh_findings_drop(r.findings, RH_F_GUEST_OS_CONFLICT);
    tell_reported(profiles, vm, findings);
    review_machine(&r, profile);
    review_nics(&r);
}

/* A fill file may name a profile that is not there. */
static int check_profile(const struct rh_vm *vm,
                         const struct rh_profiles *profiles, rh_error **err)
{
    const struct rh_value *v = &vm->os_profile;

    if (v->kind != RH_VALUE_TEXT || rh_profile_named(profiles, v->text))
        return 0;
    rh_fail(err, RH_ERR_CONFIG_PROFILE,
            "os/profile: there is no profile \"%s\"", v->text);
    return rh_error_subject(err, v->detail);
}

int rh_package_complete(struct rh_package *p, bool strict, rh_error **err)
{
    const struct rh_profiles *profiles = rh_profiles_of(p->lib, err);

    if (!profiles)
        return -1;
    for (size_t i = 0; i < p->vms.count; i++) {
        if (check_profile(p->vms.items[i], profiles, err) || disks(p, i, err))
            return -1;
        rh_package_review(p, p->vms.items[i], &p->vm_findings.items[i],
                          profiles, strict);
    }
    return 0;
}
