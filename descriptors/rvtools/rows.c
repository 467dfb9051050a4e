/* rows.c - what a row of each tab says of its VM.
 *
 * Columns are found by their names without case, blanks and marks, since 3.x
 * and 4.x write them in different ways ("# CPUs", "Memory", "Capacity MB",
 * "Capacity MiB"; all of these count 1,048,576 bytes). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/limits.h"
#include "descriptors/rvtools/export.h"

enum {
    VMS = 20000,
    TAKEN_MIB = 256, /* of texts, all VMs together */
};

enum column {
    C_VM,
    C_POWER,
    C_TEMPLATE,
    C_STATE,
    C_CONSOLIDATE,
    C_DNS,
    C_CPUS,
    C_MEMORY,
    C_FIRMWARE,
    C_SECURE,
    C_HARDWARE,
    C_OS_CONFIG,
    C_OS_TOOLS,
    C_ANNOTATION,
    C_VM_ID,
    C_SMBIOS,
    C_UUID,
    C_SERVER,
    C_SERVER_TYPE,
    C_SERVER_UUID,
    C_CORES,
    C_HOT_ADD,
    C_DISK,
    C_CAPACITY,
    C_RAW,
    C_MODE,
    C_SHARING,
    C_BUS_SHARING,
    C_CONTROLLER,
    C_UNIT,
    C_ADAPTER,
    C_NETWORK,
    C_CONNECTED,
    C_STARTS,
    C_MAC,
    C_IP4,
    C_IP6,
    C_TOOLS,
    COLUMNS
};

/* Letters and digits of the header, in lower case. */
static const struct {
    const char *name;
    enum column column;
} headers[] = {
    {"vm", C_VM},
    {"powerstate", C_POWER},
    {"template", C_TEMPLATE},
    {"connectionstate", C_STATE},
    {"consolidationneeded", C_CONSOLIDATE},
    {"dnsname", C_DNS},
    {"cpus", C_CPUS},
    {"memory", C_MEMORY},
    {"memorymib", C_MEMORY},
    {"memorymb", C_MEMORY},
    {"firmware", C_FIRMWARE},
    {"efisecureboot", C_SECURE},
    {"hwversion", C_HARDWARE},
    {"osaccordingtotheconfigurationfile", C_OS_CONFIG},
    {"os", C_OS_CONFIG},
    {"osaccordingtothevmwaretools", C_OS_TOOLS},
    {"annotation", C_ANNOTATION},
    {"vmid", C_VM_ID},
    {"objectid", C_VM_ID},
    {"smbiosuuid", C_SMBIOS},
    {"vmuuid", C_UUID},
    {"visdkserver", C_SERVER},
    {"visdkservertype", C_SERVER_TYPE},
    {"visdkuuid", C_SERVER_UUID},
    {"coresps", C_CORES},
    {"corespersocket", C_CORES},
    {"hotadd", C_HOT_ADD},
    {"disk", C_DISK},
    {"capacitymib", C_CAPACITY},
    {"capacitymb", C_CAPACITY},
    {"raw", C_RAW},
    {"diskmode", C_MODE},
    {"sharingmode", C_SHARING},
    {"sharedbus", C_BUS_SHARING},
    {"controller", C_CONTROLLER},
    {"unit", C_UNIT},
    {"adapter", C_ADAPTER},
    {"network", C_NETWORK},
    {"connected", C_CONNECTED},
    {"startsconnected", C_STARTS},
    {"macaddress", C_MAC},
    {"ipv4address", C_IP4},
    {"ipaddress", C_IP4},
    {"ipv6address", C_IP6},
    {"tools", C_TOOLS},
};
_Static_assert((int)COLUMNS <= (int)RH_RVT_COLUMNS, "a place for each column");

/* --- cells ------------------------------------------------------------------
 */

static const char *cell(const struct rh_rvt_export *x, enum column c)
{
    return x->at[c] < x->count ? x->cells[x->at[c]] : "";
}

static bool is_true(const struct rh_rvt_export *x, enum column c)
{
    bool b = false;

    return rh_parse_bool(cell(x, c), &b) && b;
}

static void normalise(const char *text, char *ret, size_t size)
{
    size_t n = 0;

    for (; *text && n + 1 < size; text++)
        if (isalnum((unsigned char)*text))
            ret[n++] = (char)tolower((unsigned char)*text);
    ret[n] = '\0';
}

static void read_header(struct rh_rvt_export *x)
{
    char name[64];

    for (size_t c = 0; c < COLUMNS; c++)
        x->at[c] = SIZE_MAX;
    for (size_t i = 0; i < x->count; i++) {
        normalise(x->cells[i], name, sizeof name);
        for (size_t h = 0; h < RH_COUNT(headers); h++)
            if (!strcmp(headers[h].name, name) &&
                x->at[headers[h].column] == SIZE_MAX)
                x->at[headers[h].column] = i;
    }
}

/* "8192", "8,192", "8.192", "8 192"; a fraction is left out: "8192.0". */
static bool parse_mib(const char *text, uint64_t *ret_bytes)
{
    char digits[24];
    uint64_t mib;
    size_t n = 0;

    for (const char *p = text; *p; p++) {
        if (isdigit((unsigned char)*p) && n + 1 < sizeof digits)
            digits[n++] = *p;
        else if (n && strspn(p + 1, "0123456789") == 3)
            continue; /* between thousands */
        else if (n && strchr(".,", *p))
            break;
        else
            return false;
    }
    digits[n] = '\0';
    if (!n || !rh_parse_u64(digits, &mib) || mib > UINT64_MAX / 2 / RH_MIB)
        return false;
    *ret_bytes = mib * RH_MIB;
    return true;
}

/* --- values
 * ------------------------------------------------------------------- */

static struct rh_vm *vm_at(const struct rh_rvt_export *x, size_t i)
{
    return x->p->vms.items[x->first + i];
}

static struct rh_findings *findings_at(const struct rh_rvt_export *x, size_t i)
{
    return &x->p->vm_findings.items[x->first + i];
}

/* As long as a text may be that many VMs share. */
static const char *bounded(struct rh_rvt_export *x, const char *text)
{
    size_t n = strlen(text);

    x->taken += RH_MIN(n, (size_t)RH_LIMIT_NAME);
    return n <= RH_LIMIT_NAME ? text
                              : rh_arena_strndup(x->arena, text, RH_LIMIT_NAME);
}

static void put_text(struct rh_rvt_export *x, struct rh_vm *vm,
                     struct rh_value *v, const char *text, const char *detail)
{
    if (text[0])
        rh_set_text(vm, v, bounded(x, text), RH_FROM_RVTOOLS, detail);
}

static void put(struct rh_rvt_export *x, size_t vm, const char *key,
                const char *text)
{
    rh_error *e = NULL;

    if (!text[0] || !rh_vm_set(vm_at(x, vm), key, bounded(x, text),
                               RH_FROM_RVTOOLS, NULL, &e))
        return;
    rh_finding_add(findings_at(x, vm), RH_F_OVF_VALUE, key, "%s (left out)",
                   rh_error_message(e));
    rh_error_drop(&e);
}

static void put_bool(struct rh_rvt_export *x, size_t vm, struct rh_value *v,
                     enum column c)
{
    bool b;

    if (rh_parse_bool(cell(x, c), &b))
        rh_set_bool(vm_at(x, vm), v, b, RH_FROM_RVTOOLS, NULL);
}

/* --- which VM a row is of
 * -------------------------------------------------------- */

static const char *key_of(struct rh_rvt_export *x, const char *kind,
                          const char *a, const char *b)
{
    return a[0] ? rh_arena_printf(x->arena, "%s:%.200s/%.400s", kind, b, a)
                : NULL;
}

static const char *server_of(const struct rh_rvt_export *x)
{
    const char *uuid = cell(x, C_SERVER_UUID);

    return uuid[0] ? uuid : cell(x, C_SERVER);
}

static void add_key(struct rh_rvt_export *x, const char *key, size_t vm)
{
    if (key && !rh_name_map_add(&x->keys, key, vm) && !strncmp(key, "name", 4))
        x->vms.items[rh_name_map_find(&x->keys, key)].name_twice = true;
}

static size_t find_key(const struct rh_rvt_export *x, const char *key)
{
    return key && x->keys.count ? rh_name_map_find(&x->keys, key) : SIZE_MAX;
}

/* SIZE_MAX: of none that is known, or of one of several. */
static size_t vm_of_row(struct rh_rvt_export *x)
{
    struct rh_arena *kept = x->arena, *scratch = rh_arena_new();
    size_t vm;

    x->arena = scratch; /* keys to look for do not stay */
    vm = find_key(x, key_of(x, "id", cell(x, C_VM_ID), server_of(x)));
    if (vm == SIZE_MAX)
        vm = find_key(x, key_of(x, "uuid", cell(x, C_UUID), server_of(x)));
    if (vm == SIZE_MAX && !cell(x, C_VM_ID)[0]) {
        vm = find_key(x, key_of(x, "name", cell(x, C_VM), ""));
        if (vm != SIZE_MAX && x->vms.items[vm].name_twice)
            vm = SIZE_MAX;
    }
    x->arena = kept;
    rh_arena_free(scratch);
    return vm;
}

/* --- vInfo
 * ------------------------------------------------------------------------ */

static bool is_on(const char *power)
{
    char word[16];

    normalise(power, word, sizeof word);
    return !strcmp(word, "poweredon") || !strcmp(word, "on");
}

static void firmware(struct rh_rvt_export *x, size_t vm)
{
    const char *text = cell(x, C_FIRMWARE);
    bool efi = !strncasecmp(text, "efi", 3) || !strncasecmp(text, "uefi", 4);

    put(x, vm, "firmware", efi ? "uefi" : text);
    put_bool(x, vm, &vm_at(x, vm)->secure_boot, C_SECURE);
}

static void system_of(struct rh_rvt_export *x, struct rh_vm *vm)
{
    const char *seen = cell(x, C_OS_TOOLS);

    if (seen[0])
        put_text(x, vm, &vm->os_name, seen, "VMware Tools");
    else
        put_text(x, vm, &vm->os_name, cell(x, C_OS_CONFIG), NULL);
}

static void say_state(struct rh_rvt_export *x, size_t vm)
{
    struct rh_findings *f = findings_at(x, vm);
    const char *state = cell(x, C_STATE);

    rh_finding_add(f, RH_F_RVTOOLS_ONLY, "vm",
                   "only an export of RVTools tells of the VM: neither its "
                   "disks nor its guest were seen (power state: %.40s, "
                   "hardware version: %.40s)",
                   cell(x, C_POWER)[0] ? cell(x, C_POWER) : "?",
                   cell(x, C_HARDWARE)[0] ? cell(x, C_HARDWARE) : "?");
    if (is_true(x, C_TEMPLATE))
        rh_finding_add(f, RH_F_LIVE_TEMPLATE, "vm", "the VM is a template");
    if (is_true(x, C_CONSOLIDATE))
        rh_finding_add(f, RH_F_LIVE_CONSOLIDATE, "vm",
                       "the VM's disks need to be consolidated");
    if (state[0] && !rh_same_word(state, "connected"))
        rh_finding_add(f, RH_F_LIVE_STATE, "vm",
                       "the VM's connection state is \"%.40s\"", state);
}

static void remember(struct rh_rvt_export *x, size_t vm)
{
    struct rh_rvt_vm *k = &x->vms.items[vm];

    k->on = is_on(cell(x, C_POWER));
    k->server = rh_arena_strndup(x->arena, cell(x, C_SERVER), 256);
    k->server_type = rh_arena_strndup(x->arena, cell(x, C_SERVER_TYPE), 256);
    k->moref = rh_arena_strndup(x->arena, cell(x, C_VM_ID), 256);
    k->uuid = rh_arena_strndup(x->arena, cell(x, C_UUID), 256);
    add_key(x, key_of(x, "id", cell(x, C_VM_ID), server_of(x)), vm);
    add_key(x, key_of(x, "uuid", cell(x, C_UUID), server_of(x)), vm);
    add_key(x, key_of(x, "name", cell(x, C_VM), ""), vm);
}

static const char *id_of(struct rh_rvt_export *x)
{
    const char *name = bounded(x, cell(x, C_VM)), *moref = cell(x, C_VM_ID);

    if (find_key(x, key_of(x, "name", cell(x, C_VM), "")) == SIZE_MAX)
        return name;
    return rh_arena_printf(x->arena, "%s (%.80s%zu)", name,
                           moref[0] ? moref : "#", x->vms.count + 1);
}

static int info_row(struct rh_rvt_export *x, rh_error **err)
{
    struct rh_vm *vm;
    uint64_t bytes;
    size_t i;

    if (x->vms.count == VMS)
        return rh_fail(err, RH_ERR_RVTOOLS_LIMIT, "more than %d VMs", VMS);
    vm = rh_vm_new(id_of(x));
    vm->source_kind = "vmware";
    i = rh_package_add_vm(x->p, vm) - x->first;
    rh_vec_add(&x->vms);
    put_text(x, vm, &vm->name, cell(x, C_VM), NULL);
    put(x, i, "cpus", cell(x, C_CPUS));
    if (parse_mib(cell(x, C_MEMORY), &bytes) && bytes)
        rh_set_number(vm, &vm->memory_bytes, bytes, RH_FROM_RVTOOLS, NULL);
    firmware(x, i);
    put(x, i, "uuid", cell(x, cell(x, C_SMBIOS)[0] ? C_SMBIOS : C_UUID));
    system_of(x, vm);
    put_text(x, vm, &vm->hostname, cell(x, C_DNS), NULL);
    put_text(x, vm, &vm->annotation, cell(x, C_ANNOTATION), NULL);
    say_state(x, i);
    remember(x, i);
    return 0;
}

/* --- vDisk
 * ------------------------------------------------------------------------- */

static const char *controller_of(const char *text)
{
    static const char *const models[][2] = {
        {"nvme", "nvme"},          {"ahci", "sata"},
        {"sata", "sata"},          {"ide", "ide"},
        {"paravirtual", "pvscsi"}, {"pvscsi", "pvscsi"},
        {"logic sas", "lsisas"},   {"lsilogicsas", "lsisas"},
        {"lsi logic", "lsilogic"}, {"lsilogic", "lsilogic"},
        {"buslogic", "buslogic"}};

    for (size_t i = 0; i < RH_COUNT(models); i++)
        if (strcasestr(text, models[i][0]))
            return models[i][1];
    return "";
}

/* 1 of "SCSI controller 1". */
static bool last_number(const char *text, uint64_t *ret)
{
    const char *end = text + strlen(text), *p = end;

    while (p > text && isdigit((unsigned char)p[-1]))
        p--;
    return p < end && rh_parse_u64(p, ret) && *ret < 256;
}

static bool is_shared(const char *text)
{
    return text[0] && !strcasestr(text, "none") && !strcasestr(text, "no") &&
           !rh_same_word(text, "false");
}

static void say_disk(struct rh_rvt_export *x, size_t vm,
                     struct rh_disk_config *d, const char *subject)
{
    struct rh_findings *f = findings_at(x, vm);
    RH_AUTO(rh_freep)
    char *size = d->capacity_bytes.kind == RH_VALUE_NUMBER
                     ? rh_human_size(d->capacity_bytes.number)
                     : rh_strdup("?");

    rh_finding_add(f, RH_F_DISK_FILE_MISSING, subject,
                   "an export of RVTools holds no disks: nothing was read of "
                   "this one (%s)",
                   size)
        ->severity = RH_SEVERITY_INFO;
    if (is_true(x, C_RAW))
        rh_finding_add(f, RH_F_DISK_RDM, subject,
                       "the disk is a raw device mapping");
    if (is_shared(cell(x, C_SHARING)) || is_shared(cell(x, C_BUS_SHARING)))
        rh_finding_add(f, RH_F_VMWARE_SHARED_DISK, subject,
                       "the disk may be shared with other VMs (%.40s %.40s)",
                       cell(x, C_SHARING), cell(x, C_BUS_SHARING));
}

static void disk_row(struct rh_rvt_export *x, size_t i)
{
    struct rh_vm *vm = vm_at(x, i);
    struct rh_disk_config *d;
    uint64_t n;
    char subject[32];

    if (vm->disks.count == RH_LIMIT_VM_DISKS) {
        x->lost++;
        return;
    }
    snprintf(subject, sizeof subject, "disks/%zu", vm->disks.count);
    d = rh_vec_add(&vm->disks);
    put_text(x, vm, &d->id, cell(x, C_DISK)[0] ? cell(x, C_DISK) : subject,
             NULL);
    if (parse_mib(cell(x, C_CAPACITY), &n))
        rh_set_number(vm, &d->capacity_bytes, n, RH_FROM_RVTOOLS, NULL);
    put_text(x, vm, &d->controller, controller_of(cell(x, C_CONTROLLER)), NULL);
    if (last_number(cell(x, C_CONTROLLER), &n))
        rh_set_number(vm, &d->bus, n, RH_FROM_RVTOOLS, NULL);
    if (rh_parse_u64(cell(x, C_UNIT), &n) && n < 256)
        rh_set_number(vm, &d->unit, n, RH_FROM_RVTOOLS, NULL);
    if (cell(x, C_MODE)[0])
        rh_vm_disk_mode(vm, d, bounded(x, cell(x, C_MODE)), RH_FROM_RVTOOLS,
                        subject, findings_at(x, i));
    say_disk(x, i, d, subject);
}

/* --- vNetwork, vCD
 * ------------------------------------------------------------------- */

static void model_of(const char *text, char *ret, size_t size)
{
    if (!strncasecmp(text, "virtual", 7))
        text += 7;
    normalise(text, ret, size);
    if (!strncmp(ret, "sriov", 5))
        ret[5] = '\0';
}

/* A VM that is off has nothing connected, whatever it starts with. */
static void connection(struct rh_rvt_export *x, size_t vm, struct rh_value *v)
{
    if (cell(x, C_STARTS)[0])
        put_bool(x, vm, v, C_STARTS);
    else if (x->vms.items[vm].on)
        put_bool(x, vm, v, C_CONNECTED);
}

static void nic_row(struct rh_rvt_export *x, size_t i)
{
    struct rh_vm *vm = vm_at(x, i);
    struct rh_nic_config *nic;
    char key[32], model[24];

    if (vm->nics.count == RH_LIMIT_VM_NICS) {
        x->lost++;
        return;
    }
    snprintf(key, sizeof key, "nics/%zu/mac", vm->nics.count);
    nic = rh_vec_add(&vm->nics);
    put(x, i, key, cell(x, C_MAC));
    model_of(cell(x, C_ADAPTER), model, sizeof model);
    put_text(x, vm, &nic->model, model, NULL);
    put_text(x, vm, &nic->network, cell(x, C_NETWORK), NULL);
    connection(x, i, &nic->connected);
    key[strlen(key) - strlen("/mac")] = '\0';
    if (cell(x, C_IP4)[0] || cell(x, C_IP6)[0])
        rh_finding_add(findings_at(x, i), RH_F_LIVE_ADDRESS, key,
                       "the guest's addresses: %.200s %.200s", cell(x, C_IP4),
                       cell(x, C_IP6));
}

static void cd_row(struct rh_rvt_export *x, size_t i)
{
    struct rh_vm *vm = vm_at(x, i);
    struct rh_cdrom_config *cd;

    if (vm->cdroms.count == RH_LIMIT_VM_DISKS) {
        x->lost++;
        return;
    }
    cd = rh_vec_add(&vm->cdroms);
    connection(x, i, &cd->connected);
}

/* --- the other tabs
 * -------------------------------------------------------------------- */

static void tools_row(struct rh_rvt_export *x, size_t i)
{
    const char *state = cell(x, C_TOOLS);

    if (x->vms.items[i].on &&
        (strcasestr(state, "NotRunning") || strcasestr(state, "NotInstalled")))
        rh_finding_add(findings_at(x, i), RH_F_LIVE_TOOLS, "vm",
                       "VMware's tools in the guest: %.60s", state);
}

static void other_row(struct rh_rvt_export *x, size_t i)
{
    struct rh_vm *vm = vm_at(x, i);

    switch (x->tab) {
    case RH_RVT_CPU:
        put(x, i, "cores_per_socket", cell(x, C_CORES));
        put_bool(x, i, &vm->cpu_hot_add, C_HOT_ADD);
        break;
    case RH_RVT_MEMORY:
        put_bool(x, i, &vm->memory_hot_add, C_HOT_ADD);
        break;
    case RH_RVT_DISK:
        disk_row(x, i);
        break;
    case RH_RVT_NETWORK:
        nic_row(x, i);
        break;
    case RH_RVT_CD:
        cd_row(x, i);
        break;
    case RH_RVT_SNAPSHOT:
        x->vms.items[i].snapshots++;
        break;
    default:
        tools_row(x, i);
    }
}

static int check_header(const struct rh_rvt_export *x, rh_error **err)
{
    if (x->at[C_VM] != SIZE_MAX &&
        (x->tab != RH_RVT_INFO ||
         (x->at[C_CPUS] != SIZE_MAX && x->at[C_MEMORY] != SIZE_MAX)))
        return 0;
    rh_fail(err, RH_ERR_RVTOOLS_FORMAT,
            "the first row of the tab %s does not name the columns VM, CPUs "
            "and Memory",
            rh_rvt_tabs[x->tab]);
    return x->tab == RH_RVT_INFO
               ? rh_hint(err, "give RVTools' tab vInfo; the other "
                              "tabs' files are found beside it")
               : -1;
}

int rh_rvt_row(void *user, const char *const *cells, size_t count,
               rh_error **err)
{
    struct rh_rvt_export *x = user;
    size_t vm;

    x->cells = cells;
    x->count = count;
    x->row++;
    if (!x->begun) {
        x->begun = true;
        read_header(x);
        return check_header(x, err);
    }
    if (!cell(x, C_VM)[0]) {
        for (size_t i = 0; i < count; i++)
            if (cells[i][0]) {
                x->lost++;
                break;
            }
        return 0;
    }
    if (x->taken > TAKEN_MIB * RH_MIB)
        return rh_fail(err, RH_ERR_RVTOOLS_LIMIT, "more than %d MiB of texts",
                       TAKEN_MIB);
    if (x->tab == RH_RVT_INFO)
        return info_row(x, err);
    vm = vm_of_row(x);
    if (vm == SIZE_MAX)
        x->lost++;
    else
        other_row(x, vm);
    return 0;
}

/* --- when all tabs are read
 * ------------------------------------------------------------------ */

static bool is_host(const char *text)
{
    return text[0] && text[0] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789.-:[]") == strlen(text);
}

/* Where the VM is to be had: by its name, or by its id where several have
 * that. */
static void set_address(const struct rh_rvt_vm *k, struct rh_vm *vm)
{
    const char *word = k->name_twice ? k->moref : rh_text_of(&vm->name);
    RH_AUTO(rh_freep) char *part = NULL;

    if (k->name_twice && !word[0])
        word = k->uuid;
    if (!is_host(k->server) || !word[0])
        return;
    part = rh_http_escape(word);
    vm->address =
        rh_arena_printf(vm->arena, "%s://%s/%s",
                        strcasestr(k->server_type, "ESX") ? "esxi" : "vcenter",
                        k->server, part);
}

void rh_rvt_finish(struct rh_rvt_export *x)
{
    /* The second of a name marked the first alone. */
    for (size_t i = 0; i < x->vms.count; i++) {
        struct rh_rvt_vm *k = &x->vms.items[i];
        const char *key = key_of(x, "name", rh_text_of(&vm_at(x, i)->name), "");
        size_t first = find_key(x, key);

        if (first != SIZE_MAX)
            k->name_twice = x->vms.items[first].name_twice;
        set_address(k, vm_at(x, i));
        if (k->snapshots)
            rh_finding_add(findings_at(x, i), RH_F_LIVE_SNAPSHOTS, "vm",
                           "the VM has %u snapshots in the source",
                           k->snapshots);
    }
}
