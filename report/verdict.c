/* verdict.c - one verdict from all findings. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/verdict.h"

/* Cautions that decide whether the VM starts, or whether all its data comes
 * along: until a person has settled one, "some caution" would promise too
 * much. */
static const enum rh_finding_id at_stake[] = {
    /* it may not start */
    RH_F_BSD_DISK_NAMES,
    RH_F_BOOT_DRIVER_MISSING,
    RH_F_FIRMWARE_CONFLICT,
    RH_F_GUEST_BOOT_FULL,
    RH_F_GUEST_DEVICE_GUESS,
    RH_F_GUEST_ENCRYPTED,
    RH_F_GUEST_HIBERNATED,
    RH_F_GUEST_IMMUTABLE,
    RH_F_GUEST_INITRAMFS_UNKNOWN,
    RH_F_GUEST_NO_APPLIANCE,
    RH_F_GUEST_NO_KERNEL,
    RH_F_GUEST_NO_LOADER,
    RH_F_GUEST_OS_LEFT,
    RH_F_GUEST_READ_ONLY,
    RH_F_GUEST_UKI,
    RH_F_GUEST_UNREADABLE,
    RH_F_KVM_UEFI_PVSCSI,
    RH_F_SOLARIS_STEPS,
    /* not all data may be there */
    RH_F_DISK_NOT_READ,
    RH_F_DISK_UNUSED,
    RH_F_FILL_DISK,
};

static bool is_at_stake(enum rh_finding_id id)
{
    for (size_t i = 0; i < RH_COUNT(at_stake); i++)
        if (at_stake[i] == id)
            return true;
    return false;
}

static enum rh_effort effort_for(const struct rh_finding *f)
{
    if (f->severity == RH_SEVERITY_INFO)
        return RH_EASY;
    return f->severity == RH_SEVERITY_BLOCKER || is_at_stake(f->id)
               ? RH_MANUAL
               : RH_SOME_CAUTION;
}

static enum rh_verdict verdict_for(const struct rh_finding *f)
{
    return f->severity == RH_SEVERITY_BLOCKER   ? RH_BLOCKED
           : f->severity == RH_SEVERITY_CAUTION ? RH_CAUTION
                                                : RH_READY;
}

struct rh_judgement rh_judge(const struct rh_findings *findings, size_t edits)
{
    struct rh_judgement j = {RH_READY, RH_EASY, RH_EASY};
    bool handled = edits > 0;

    for (size_t i = 0; i < findings->count; i++) {
        const struct rh_finding *f = &findings->items[i];

        if (f->automatic && f->severity != RH_SEVERITY_BLOCKER) {
            handled |= f->severity == RH_SEVERITY_CAUTION;
            continue;
        }
        j.verdict = RH_MAX(j.verdict, verdict_for(f));
        j.effort = RH_MAX(j.effort, effort_for(f));
    }
    j.effort_by_hand = handled ? RH_MAX(j.effort, RH_SOME_CAUTION) : j.effort;
    return j;
}

const char *rh_verdict_name(enum rh_verdict v)
{
    static const char *const names[] = {"ready", "caution", "blocked"};

    return names[v];
}

const char *rh_effort_name(enum rh_effort e)
{
    static const char *const names[] = {"easy", "some-caution", "manual"};

    return names[e];
}
