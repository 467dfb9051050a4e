/* boot.c - start a result on the hardware that its target would give it, on a
 * throw-away overlay, and say how far it got. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/boot/boot.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/kvm.h"
#include "base/limits.h"
#include "convert/documents.h"
#include "deliver/result.h"
#include "rehost/rehost.h"

/* --- what the folder holds
 * ------------------------------------------------------------ */

static const char *word(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static const char *format_of(const char *file)
{
    const char *dot = strrchr(file, '.');

    if (dot && !strcmp(dot, ".qcow2"))
        return "qcow2";
    return dot && !strcmp(dot, ".vhd") ? "vpc" : "raw";
}

static int take_disks(struct rh_boot_vm *vm, const json_t *receipt,
                      rh_error **err)
{
    const json_t *d;
    size_t i;

    json_array_foreach (json_object_get(receipt, "disks"), i, d) {
        const char *file = word(d, "file");
        struct rh_boot_disk *disk;

        if (!file) {
            rh_fail(err, RH_ERR_BOOT_RESULT,
                    "its disks lie inside an XVA, which QEMU cannot start");
            return rh_hint(err, "convert with --format vhd to try it here, or "
                                "import the XVA");
        }
        if (rh_check_name(file, err) < 0)
            return -1;
        disk = rh_vec_add(&vm->disks);
        disk->path = rh_printf("%s/%s", vm->dir, file);
        disk->format = rh_strdup(format_of(file));
    }
    if (vm->disks.count == 0)
        return rh_fail(err, RH_ERR_BOOT_RESULT, "it has no disk to start from");
    return 0;
}

static const char *qemu_nic(const char *model)
{
    static const struct {
        const char *model, *device;
    } table[] = {
        {"virtio", "virtio-net-pci"}, {"vmxnet3", "vmxnet3"},
        {"e1000", "e1000"},           {"e1000e", "e1000e"},
        {"rtl8139", "rtl8139"},       {"pcnet32", "pcnet"},
        {"pcnet", "pcnet"},           {"xen", "rtl8139"},
    };

    for (size_t i = 0; model && i < RH_COUNT(table); i++)
        if (!strcmp(table[i].model, model))
            return table[i].device;
    return "e1000";
}

/* The MACs that the target's configuration carries stand in vm.json; a NIC
 * whose MAC was made up for the target is in the report's "nics". */
static void take_nics(struct rh_boot_vm *vm, const json_t *one,
                      const char *model)
{
    const json_t *nic;
    size_t i;

    json_array_foreach (json_object_get(one, "nics"), i, nic) {
        struct rh_boot_nic *n = rh_vec_add(&vm->nics);

        n->model = rh_strdup(qemu_nic(model));
        n->mac = rh_strdup(word(nic, "mac"));
    }
}

static void take_machine(struct rh_boot_vm *vm, const json_t *report,
                         const json_t *vm_json, const char *devices)
{
    const json_t *one = json_array_get(json_object_get(vm_json, "vms"), 0);
    const json_t *target = json_array_get(
        json_object_get(json_array_get(json_object_get(report, "vms"), 0),
                        "targets"),
        0);
    const json_t *chosen = json_object_get(target, "devices");
    const char *disk = word(chosen, "disk"), *nic = word(chosen, "nic");
    const char *firmware = word(chosen, "firmware");
    const char *machine = word(chosen, "machine");

    if (devices && !strcmp(devices, "virtio"))
        disk = "virtio-scsi", nic = "virtio";
    else if (devices && !strcmp(devices, "virtio-blk"))
        disk = "virtio-blk", nic = "virtio";
    else if (devices && !strcmp(devices, "vmware"))
        disk = "pvscsi", nic = "vmxnet3";
    else if (devices && !strcmp(devices, "emulated"))
        disk = "sata", nic = "e1000";
    vm->disk_bus = rh_strdup(disk ? disk : "sata");
    vm->firmware = rh_strdup(firmware ? firmware : "bios");
    vm->machine = rh_strdup(machine ? machine : "q35");
    vm->name = rh_strdup(word(one, "name") ? word(one, "name") : "");
    vm->secure_boot = json_is_true(json_object_get(one, "secure_boot"));
    vm->tpm = json_is_true(json_object_get(one, "tpm"));
    vm->memory =
        (uint64_t)json_integer_value(json_object_get(one, "memory_bytes"));
    vm->cpus = (unsigned)json_integer_value(json_object_get(one, "cpus"));
    take_nics(vm, one, nic);
}

int rh_boot_read(struct rh_boot_vm *vm, const char *dir,
                 const rh_options *options, rh_error **err)
{
    json_t *receipt = rh_result_json(dir, "receipt.json", err);
    json_t *report = receipt ? rh_result_json(dir, "report.json", err) : NULL;
    json_t *one = report ? rh_result_json(dir, "vm.json", err) : NULL;
    int failed = -1;

    vm->dir = realpath(dir, NULL);
    if (one && vm->dir) {
        take_machine(vm, report, one, rh_option(options, "devices"));
        failed = take_disks(vm, receipt, err);
    }
    json_decref(receipt);
    json_decref(report);
    json_decref(one);
    if (failed && err && *err && rh_error_number(*err) == RH_ERR_FILE_NOT_FOUND)
        rh_hint(err, "give the folder that `rehost convert` made");
    return failed ? rh_error_subject(err, dir) : 0;
}

void rh_boot_vm_free(struct rh_boot_vm *vm)
{
    for (size_t i = 0; i < vm->disks.count; i++) {
        free(vm->disks.items[i].path);
        free(vm->disks.items[i].format);
    }
    for (size_t i = 0; i < vm->nics.count; i++) {
        free(vm->nics.items[i].model);
        free(vm->nics.items[i].mac);
    }
    free(vm->disks.items);
    free(vm->nics.items);
    free(vm->dir);
    free(vm->name);
    free(vm->disk_bus);
    free(vm->firmware);
    free(vm->machine);
}

/* --- what was seen
 * ---------------------------------------------------------------------- */

static const char *reached(const struct rh_boot_seen *s)
{
    return s->login        ? "login"
           : s->graphical  ? "graphical"
           : s->init       ? "init"
           : s->kernel     ? "kernel"
           : s->bootloader ? "bootloader"
                           : "nothing";
}

/* The console's last lines, for people who have to find out why. */
static const char *tail_of(const char *text)
{
    const char *at = text + strlen(text);

    for (int lines = 0; at > text && lines < 15; at--)
        if (at[-1] == '\n')
            lines++;
    return at;
}

static json_t *lines_json(const struct rh_buf *text)
{
    RH_AUTO(rh_freep)
    char *tail = rh_printf("%s", text->length ? tail_of(text->data) : "");
    json_t *lines = json_array();
    char *save = NULL;

    for (char *line = strtok_r(tail, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        RH_AUTO(rh_freep) char *printable = rh_printable(line);

        json_array_append_new(lines, json_string(printable));
    }
    return lines;
}

/* IPv4 is what the guest had; IPv6 says that it brought the interface up. */
static const char *address_of(const struct rh_boot_seen *s)
{
    return s->address[0] ? s->address : s->address6[0] ? s->address6 : NULL;
}

static char *seen_json(const struct rh_boot_vm *vm,
                       const struct rh_boot_qemu *q,
                       const struct rh_boot_seen *s, bool good)
{
    json_t *doc = json_pack(
        "{s:s, s:o, s:b, s:s, s:s?, s:b, s:{s:b, s:b, s:s?, s:s?, s:i}, "
        "s:{s:s, s:s, s:s?, s:b}, s:o, s:{s:s?, s:o}}",
        "schema", "rehost.boot/1", "vm", rh_json_text(vm->name), "ok", good,
        "reached", reached(s), "failure", s->failure, "login", s->login,
        "network", "up", address_of(s) != NULL, "dhcp", s->dhcp, "address",
        address_of(s), "mac", s->mac[0] ? s->mac : NULL, "frames",
        (int)s->frames, "hardware", "disk", vm->disk_bus, "firmware",
        vm->firmware, "nic", vm->nics.count ? vm->nics.items[0].model : NULL,
        "kvm", q->accelerated, "console", lines_json(&s->text), "screen",
        "mode",
        s->still_since == 0 ? NULL
        : s->graphics       ? "graphics"
                            : "text",
        "lines", lines_json(&s->screen));
    char *out = json_dumps(doc, JSON_INDENT(2));

    json_decref(doc);
    return out;
}

static void say_slow(rh_lib *lib, const char *why)
{
    rh_log(lib, RH_LOG_WARN,
           _("%s: the guest runs in software emulation, many times slower"),
           why);
}

/* QEMU ended or gave up before the guest said a word: its own fault. */
static bool is_qemus_fault(const struct rh_boot_seen *s)
{
    return s->failure && !strcmp(s->failure, "qemu-ended") && !s->kernel;
}

/* Start and watch; a KVM that breaks under the guest is done without. */
static int start_and_watch(rh_lib *lib, const struct rh_boot_vm *vm,
                           struct rh_boot_qemu *q, unsigned seconds,
                           struct rh_boot_seen *seen, rh_error **err)
{
    const char *why;
    bool kvm = rh_kvm_works(&why);

    if (!kvm)
        say_slow(lib, why);
    for (;;) {
        unsigned limit = seconds ? seconds : kvm ? 120 : 600;

        if (rh_boot_start(lib, vm, kvm, q, err) < 0 ||
            rh_boot_watch(lib, q, limit, seen, err) < 0)
            return -1;
        if (!kvm || !is_qemus_fault(seen))
            return 0;
        say_slow(lib, _("the guest did not run with KVM"));
        kvm = false;
        rh_boot_stop(q);
        rh_boot_seen_free(seen);
    }
}

/* On some machines the guest has drivers that cannot be tried here. */
static int hint_at_hardware(const struct rh_boot_vm *vm, rh_error **err)
{
    bool uefi = !strcmp(vm->firmware, "uefi");

    if (!strcmp(vm->disk_bus, "xen"))
        return rh_hint(err, "here the guest sees the disk that Xen emulates, "
                            "not Xen's own one: it needs a driver for IDE, "
                            "which it does not need on Xen");
    if (uefi && !strcmp(vm->disk_bus, "pvscsi"))
        return rh_hint(err, "not every UEFI firmware can start from PVSCSI: "
                            "Proxmox's can, Debian's OVMF cannot");
    return -1;
}

static int fail_boot(const struct rh_boot_vm *vm, const struct rh_boot_seen *s,
                     rh_error **err)
{
    if (s->login || s->graphical)
        rh_fail(err, RH_ERR_BOOT_FAILED,
                "the guest reached its login, but nothing was heard from its "
                "network card");
    else if (s->failure && !strcmp(s->failure, "timeout"))
        rh_fail(err, RH_ERR_BOOT_FAILED,
                "in the time given the guest did not reach its login; it got "
                "as far as: %s",
                reached(s));
    else
        rh_fail(err, RH_ERR_BOOT_FAILED,
                "the guest did not reach its login (%s)",
                s->failure ? s->failure : reached(s));
    if (!s->login && !s->graphical)
        hint_at_hardware(vm, err);
    return rh_error_subject(err, vm->name);
}

static int read_timeout(const rh_options *options, uint64_t *ret,
                        rh_error **err)
{
    const char *text = rh_option(options, "timeout");

    *ret = 0;
    if (text && (!rh_parse_u64(text, ret) || *ret == 0 || *ret > 86400))
        return rh_fail(err, RH_ERR_USAGE, "--timeout cannot be \"%s\"", text);
    return 0;
}

/* The verdict counts more than a picture of it. */
static void take_screenshot(rh_lib *lib, struct rh_boot_qemu *q,
                            const char *path)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;

    if (path && rh_boot_screenshot(q, path, &why) < 0)
        rh_log(lib, RH_LOG_WARN, _("no screenshot: %s"), rh_error_message(why));
}

static int boot(rh_lib *lib, const struct rh_boot_vm *vm,
                struct rh_boot_qemu *q, const rh_options *options,
                struct rh_boot_seen *seen, char **ret_json, rh_error **err)
{
    uint64_t seconds;
    bool good;

    if (read_timeout(options, &seconds, err) < 0 ||
        start_and_watch(lib, vm, q, (unsigned)seconds, seen, err) < 0)
        return -1;
    if (is_qemus_fault(seen)) {
        RH_AUTO(rh_freep) char *words = rh_boot_last_words(q);

        return rh_fail(err, RH_ERR_BOOT_QEMU, "QEMU ended at once: %s",
                       *words ? words : _("it said nothing"));
    }
    take_screenshot(lib, q, rh_option(options, "screenshot"));
    good = (seen->login || seen->graphical) && !seen->failure &&
           (address_of(seen) || !vm->nics.count);
    *ret_json = seen_json(vm, q, seen, good);
    return good ? 0 : fail_boot(vm, seen, err);
}

int rh_result_boot(rh_lib *lib, const char *result_dir,
                   const rh_options *options, char **ret_json, rh_error **err)
{
    static const char *const names[] = {"devices", "screenshot", "timeout",
                                        NULL};
    struct rh_boot_vm vm = {0};
    struct rh_boot_qemu q = {.console = -1, .control = -1};
    struct rh_boot_seen seen = {0};
    int failed;

    *ret_json = NULL;
    if (rh_options_only(options, names, "rh_result_boot", err) < 0)
        return -1;
    failed = rh_boot_read(&vm, result_dir, options, err);
    if (!failed)
        failed = boot(lib, &vm, &q, options, &seen, ret_json, err);
    rh_boot_seen_free(&seen);
    rh_boot_stop(&q);
    rh_boot_vm_free(&vm);
    return failed;
}
