/* nutanix.c - what Prism Central's OVA says in its own elements.
 *
 * NtnxConfig (namespace http://www.nutanix.com/ova) stands in the CPU item, in
 * the hardware section and in sections of the virtual system: taken at any
 * depth, with or without prefixes.  Keys that nobody knows yet are reported. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"

struct ntnx {
    struct rh_ovf *o;
    struct rh_vm *vm;
    struct rh_findings *findings;
    uint64_t sockets, cores, threads;
    bool seen, secure, uefi_known, uefi;
    struct rh_buf unknown;
};

static void boot_order(struct ntnx *n, const char *value)
{
    RH_AUTO(rh_buf_free) struct rh_buf order = {0};
    const char *word;

    for (size_t i = 0; (word = rh_ovf_word(n->o, value, i)); i++) {
        const char *kept = rh_same_word(word, "DISK")      ? "disk"
                           : rh_same_word(word, "CDROM")   ? "cdrom"
                           : rh_same_word(word, "NETWORK") ? "network"
                           : rh_same_word(word, "NIC")     ? "network"
                                                           : NULL;
        if (kept)
            rh_buf_printf(&order, "%s%s", order.length ? "," : "", kept);
    }
    if (order.length)
        rh_set_text(n->vm, &n->vm->boot_order, order.data, RH_FROM_OVF, NULL);
}

static bool number(struct ntnx *n, const char *key, const char *value)
{
    uint64_t *to = !strcmp(key, "num_sockets")            ? &n->sockets
                   : !strcmp(key, "num_vcpus_per_socket") ? &n->cores
                   : !strcmp(key, "num_threads_per_core") ? &n->threads
                                                          : NULL;
    uint64_t v;

    if (!to)
        return false;
    if (rh_parse_u64(value, &v) && v && v <= 4096)
        *to = v;
    return true;
}

static bool flag(struct ntnx *n, const char *key, const char *value)
{
    struct rh_vm *vm = n->vm;
    bool b = false, ok = rh_parse_bool(value, &b);

    if (!strcmp(key, "uefi_boot")) {
        n->uefi_known = ok;
        n->uefi = b;
    } else if (!strcmp(key, "secure_boot")) {
        n->secure = b;
        if (ok)
            rh_set_bool(vm, &vm->secure_boot, b, RH_FROM_OVF, NULL);
    } else if (!strcmp(key, "vtpmEnabled")) {
        if (ok)
            rh_set_bool(vm, &vm->tpm, b, RH_FROM_OVF, NULL);
        if (b)
            rh_vm_add_device(vm, n->findings, "tpm", "vTPM", NULL, true);
    } else if (!strcmp(key, "hardware_virtualization") ||
               !strcmp(key, "cpuPassthroughEnabled")) {
        if (ok && (b || vm->nested_virtualization.kind == RH_VALUE_UNSET))
            rh_set_bool(vm, &vm->nested_virtualization, b, RH_FROM_OVF, NULL);
    } else if (!strcmp(key, "isAgentVm")) {
        if (b)
            rh_finding_add(
                n->findings, RH_F_NUTANIX_AGENT_VM, "vm",
                "this is a Nutanix agent VM, which belongs to its host");
    } else {
        return false;
    }
    return true;
}

static void machine(struct ntnx *n, const char *value)
{
    if (rh_same_word(value, "pc") || rh_same_word(value, "q35"))
        rh_set_text(n->vm, &n->vm->machine,
                    rh_same_word(value, "pc") ? "pc" : "q35", RH_FROM_OVF,
                    NULL);
    else
        rh_finding_add(
            n->findings, RH_F_OVF_VALUE, "machine",
            "the machine type \"%s\" is neither pc nor q35; it was left "
            "out",
            value);
}

/* A zone as Olson names it; "UTC" says more: the clock itself runs in it. */
static void zone(struct ntnx *n, const char *value)
{
    if (!value[0])
        return;
    rh_set_text(n->vm, &n->vm->timezone, value, RH_FROM_OVF, NULL);
    rh_set_text(n->vm, &n->vm->clock,
                rh_same_word(value, "UTC") ? "utc" : "localtime", RH_FROM_OVF,
                rh_same_word(value, "UTC") ? NULL : value);
}

static void take(struct ntnx *n, const char *key, const char *value)
{
    n->seen = true;
    if (number(n, key, value) || flag(n, key, value))
        return;
    if (!strcmp(key, "boot_device_order"))
        boot_order(n, value);
    else if (!strcmp(key, "machineType"))
        machine(n, value);
    else if (!strcmp(key, "hardwareClockTimeZone"))
        zone(n, value);
    else if (n->unknown.length < RH_LIMIT_NAME)
        rh_buf_printf(&n->unknown, "%s%s=%s", n->unknown.length ? ", " : "",
                      key, value);
}

static void walk(struct ntnx *n, const xmlNode *node)
{
    RH_EACH_CHILD(child, node)
    {
        const char *key, *value;

        if (!rh_xml_is(child, "NtnxConfig") ||
            strcmp(rh_xml_ns(child), RH_NUTANIX_NS)) {
            walk(n, child); /* as deep as libxml2 let the tree be: 256 */
            continue;
        }
        key = rh_ovf_attr(n->o, child, "key");
        value = rh_ovf_attr(n->o, child, "value");
        if (key)
            take(n, key, value ? value : rh_ovf_text(n->o, child));
    }
}

static void topology(struct ntnx *n)
{
    struct rh_vm *vm = n->vm;
    uint64_t product;

    if (!n->sockets && !n->cores && !n->threads)
        return;
    product = (n->sockets ? n->sockets : 1) * (n->cores ? n->cores : 1) *
              (n->threads ? n->threads : 1);
    if (n->cores)
        rh_set_number(vm, &vm->cores_per_socket, n->cores, RH_FROM_OVF, NULL);
    if (n->threads)
        rh_set_number(vm, &vm->threads_per_core, n->threads, RH_FROM_OVF, NULL);
    if (!n->sockets)
        return;
    if (vm->cpus.kind != RH_VALUE_UNSET && vm->cpus.number != product)
        rh_finding_add(n->findings, RH_F_CONFIG_CONFLICT, "cpus",
                       "the CPU item says %" PRIu64
                       ", Nutanix's own elements %" PRIu64 " sockets x %" PRIu64
                       " cores x %" PRIu64 " threads = %" PRIu64
                       "; the product counts",
                       vm->cpus.number, n->sockets, n->cores ? n->cores : 1,
                       n->threads ? n->threads : 1, product);
    rh_set_number(vm, &vm->cpus, product, RH_FROM_OVF, NULL);
}

void rh_ovf_nutanix(struct rh_ovf *o, xmlNode *system, struct rh_vm *vm,
                    struct rh_findings *findings)
{
    struct ntnx n = {.o = o, .vm = vm, .findings = findings};

    walk(&n, system);
    if (n.seen || o->nutanix)
        vm->source_kind = "nutanix";
    topology(&n);
    if (n.uefi_known || n.secure)
        rh_set_text(vm, &vm->firmware, n.uefi || n.secure ? "uefi" : "bios",
                    RH_FROM_OVF, NULL);
    if (n.unknown.length)
        rh_finding_add(findings, RH_F_NUTANIX_UNKNOWN, "vm",
                       "settings of Nutanix that rehost does not know: %s",
                       n.unknown.data);
    rh_buf_free(&n.unknown);
}
