/* settings.c - settings of VMware that mean something to people: serials,
 * placement, reservations, NUMA, latency, time, sharing, protected memory. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors/settings.h"

#include <string.h>
#include <strings.h>

enum means {
    ON,     /* yes or true */
    AMOUNT, /* a number above zero */
    WORD    /* anything but the usual words for nothing */
};

/* A key that starts with '*' is an ending, one that ends in '*' a start. */
static const struct {
    const char *key;
    enum means means;
    enum rh_finding_id id;
} settings[] = {
    {"disk.EnableUUID", ON, RH_F_VMWARE_DISK_UUID},
    {"ctkEnabled", ON, RH_F_VMWARE_CBT},
    {"*.ctkEnabled", ON, RH_F_VMWARE_CBT},
    {"changeTrackingEnabled", ON, RH_F_VMWARE_CBT},
    {"SMBIOS.reflectHost", ON, RH_F_VMWARE_HOST_IDENTITY},
    {"serialNumber.reflectHost", ON, RH_F_VMWARE_HOST_IDENTITY},
    {"sev.enable", ON, RH_F_VMWARE_CONFIDENTIAL},
    {"sevEnabled", ON, RH_F_VMWARE_CONFIDENTIAL},
    {"sgx.present", ON, RH_F_VMWARE_CONFIDENTIAL},
    {"sgxInfo.epcSize", AMOUNT, RH_F_VMWARE_CONFIDENTIAL},
    {"numa.autosize*", AMOUNT, RH_F_NONE}, /* ESXi's own notes */
    {"numa.nodeAffinity", WORD, RH_F_VMWARE_PLACEMENT},
    {"numa.*", WORD, RH_F_VMWARE_NUMA},
    {"sched.cpu.affinity", WORD, RH_F_VMWARE_PLACEMENT},
    {"sched.mem.affinity", WORD, RH_F_VMWARE_PLACEMENT},
    {"sched.cpu.latencySensitivity", WORD, RH_F_VMWARE_LATENCY},
    {"latencySensitivity*", WORD, RH_F_VMWARE_LATENCY},
    {"*.coresPerNumaNode", AMOUNT, RH_F_VMWARE_NUMA},
    {"cpuAffinity*", WORD, RH_F_VMWARE_PLACEMENT},
    {"memoryAffinity*", WORD, RH_F_VMWARE_PLACEMENT},
    {"rasd:Reservation*", WORD, RH_F_VMWARE_RESERVATION},
    {"rasd:Limit*", WORD, RH_F_VMWARE_RESERVATION},
    {"rasd:Weight*", WORD, RH_F_VMWARE_SHARES},
    {"*.shares", WORD, RH_F_VMWARE_SHARES},
    {"*.throughputCap", WORD, RH_F_VMWARE_SHARES},
    {"sched.cpu.min", AMOUNT, RH_F_VMWARE_RESERVATION},
    {"sched.cpu.max", AMOUNT, RH_F_VMWARE_RESERVATION},
    {"sched.mem.min", AMOUNT, RH_F_VMWARE_RESERVATION},
    {"sched.mem.max", AMOUNT, RH_F_VMWARE_RESERVATION},
    {"sched.mem.pin", ON, RH_F_VMWARE_RESERVATION},
    {"memoryReservationLockedToMax", ON, RH_F_VMWARE_RESERVATION},
    {"tools.syncTime", ON, RH_F_VMWARE_TIME_SYNC},
    {"tools.syncTimeWithHost", ON, RH_F_VMWARE_TIME_SYNC},
    {"*.sharedBus", WORD, RH_F_VMWARE_SHARED_DISK},
    {"*.sharing", WORD, RH_F_VMWARE_SHARED_DISK},
};

static const struct {
    enum rh_finding_id id;
    const char *text;
} meanings[] = {
    {RH_F_VMWARE_CBT, N_("changed block tracking is on")},
    {RH_F_VMWARE_CONFIDENTIAL,
     N_("the guest's memory is protected from its host")},
    {RH_F_VMWARE_DISK_UUID, N_("the guest sees its disks' serial numbers")},
    {RH_F_VMWARE_HOST_IDENTITY,
     N_("the guest sees its host's own maker and serial number")},
    {RH_F_VMWARE_LATENCY, N_("the VM is tuned for low latency")},
    {RH_F_VMWARE_NUMA, N_("the VM has a NUMA layout of its own")},
    {RH_F_VMWARE_PLACEMENT,
     N_("the VM is bound to processors or nodes of its host")},
    {RH_F_VMWARE_RESERVATION,
     N_("the VM has a reservation or a limit of CPU or memory")},
    {RH_F_VMWARE_SHARED_DISK, N_("the VM shares disks with other VMs")},
    {RH_F_VMWARE_SHARES, N_("the VM has another priority than its neighbours")},
    {RH_F_VMWARE_TIME_SYNC, N_("VMware's tools keep the guest's time")},
};

static bool key_fits(const char *pattern, const char *key)
{
    size_t n = strlen(pattern), m = strlen(key);

    if (pattern[0] == '*')
        return m >= n && !strcasecmp(key + m - (n - 1), pattern + 1);
    if (n && pattern[n - 1] == '*')
        return !strncasecmp(key, pattern, n - 1);
    return rh_same_word(key, pattern);
}

static bool says_something(enum means means, const char *value)
{
    static const char *const nothing[] = {
        "",   "all",       "none",      "normal",      "false",
        "-1", "unlimited", "nosharing", "sharingNone", "off"};
    uint64_t n = 0;
    bool on = false;

    if (means == ON)
        return rh_parse_bool(value, &on) && on;
    if (means == AMOUNT)
        return rh_parse_u64(value, &n) && n > 0;
    for (size_t i = 0; i < RH_COUNT(nothing); i++)
        if (rh_same_word(value, nothing[i]))
            return false;
    return true;
}

static void tell(enum rh_finding_id id, const char *key, const char *value,
                 struct rh_findings *findings)
{
    for (size_t i = 0; i < RH_COUNT(meanings); i++)
        if (meanings[i].id == id)
            rh_finding_add(findings, id, "vm", "%s (%s = \"%s\")",
                           _(meanings[i].text), key, value);
}

bool rh_vmware_setting(const char *key, const char *value,
                       struct rh_findings *findings)
{
    for (size_t i = 0; i < RH_COUNT(settings); i++) {
        if (!key_fits(settings[i].key, key))
            continue;
        if (settings[i].id != RH_F_NONE &&
            says_something(settings[i].means, value))
            tell(settings[i].id, key, value, findings);
        return true;
    }
    return false;
}
