/* libvirt.c - the machine as a libvirt domain.
 *
 * Firmware is named by what it must have (<os firmware='efi'> with features),
 * so that libvirt finds the host's own files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libxml/xmlwriter.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/kvm/kvm.h"

#define X(text) ((const xmlChar *)(text))

static bool is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

/* --- elements: a failure shows at the end, when the buffer is asked
 * ------------------ */

static void begin(xmlTextWriter *w, const char *name)
{
    xmlTextWriterStartElement(w, X(name));
}

static void end(xmlTextWriter *w)
{
    xmlTextWriterEndElement(w);
}

static void set(xmlTextWriter *w, const char *name, const char *value)
{
    xmlTextWriterWriteAttribute(w, X(name), X(value));
}

static void set_number(xmlTextWriter *w, const char *name, uint64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    set(w, name, text);
}

static void text(xmlTextWriter *w, const char *name, const char *value)
{
    xmlTextWriterWriteElement(w, X(name), X(value));
}

/* <name a='x' b='y'/>: attributes in pairs, ended by NULL. */
static void empty(xmlTextWriter *w, const char *name, ...)
{
    va_list ap;
    const char *key;

    begin(w, name);
    va_start(ap, name);
    while ((key = va_arg(ap, const char *)))
        set(w, key, va_arg(ap, const char *));
    va_end(ap);
    end(w);
}

/* --- what it is
 * ---------------------------------------------------------------------------
 */

static void put_identity(xmlTextWriter *w, const struct rh_kvm *k)
{
    RH_AUTO(rh_freep) char *said = rh_target_about(k->job, k->job->name);
    RH_AUTO(rh_freep) char *about = rh_printable(said);
    const char *os = k->job->profile ? k->job->profile->libosinfo : NULL;

    text(w, "name", k->job->name);
    text(w, "uuid", k->uuid);
    if (*about)
        text(w, "description", about);
    if (!os)
        return;
    begin(w, "metadata");
    begin(w, "libosinfo:libosinfo");
    set(w, "xmlns:libosinfo", "http://libosinfo.org/xmlns/libvirt/domain/1.0");
    empty(w, "libosinfo:os", "id", os, NULL);
    end(w);
    end(w);
}

static void put_resources(xmlTextWriter *w, const struct rh_kvm *k)
{
    char memory[24], cpus[24];

    snprintf(memory, sizeof memory, "%llu", (unsigned long long)k->memory);
    snprintf(cpus, sizeof cpus, "%llu",
             (unsigned long long)(k->sockets * k->cores));
    begin(w, "memory");
    set(w, "unit", "MiB");
    xmlTextWriterWriteString(w, X(memory));
    end(w);
    begin(w, "vcpu");
    set(w, "placement", "static");
    xmlTextWriterWriteString(w, X(cpus));
    end(w);
}

/* A UEFI machine without Secure Boot is asked for by both words: a store that
 * holds keys would switch it on. */
static void put_os(xmlTextWriter *w, const struct rh_kvm *k)
{
    const char *yes = k->secure_boot ? "yes" : "no";

    begin(w, "os");
    if (k->uefi)
        set(w, "firmware", "efi");
    begin(w, "type");
    set(w, "arch", "x86_64");
    set(w, "machine", k->q35 ? "q35" : "pc");
    xmlTextWriterWriteString(w, X("hvm"));
    end(w);
    if (k->uefi) {
        begin(w, "firmware");
        empty(w, "feature", "enabled", yes, "name", "secure-boot", NULL);
        empty(w, "feature", "enabled", yes, "name", "enrolled-keys", NULL);
        end(w);
    }
    end(w);
}

static void put_hyperv(xmlTextWriter *w)
{
    static const char *const on[] = {"vpindex", "runtime", "synic", "stimer",
                                     "frequencies"};

    begin(w, "hyperv");
    set(w, "mode", "custom");
    empty(w, "relaxed", "state", "on", NULL);
    empty(w, "vapic", "state", "on", NULL);
    empty(w, "spinlocks", "state", "on", "retries", "8191", NULL);
    for (size_t i = 0; i < RH_COUNT(on); i++)
        empty(w, on[i], "state", "on", NULL);
    end(w);
}

static void put_features(xmlTextWriter *w, const struct rh_kvm *k)
{
    begin(w, "features");
    empty(w, "acpi", NULL);
    empty(w, "apic", NULL);
    if (k->windows)
        put_hyperv(w);
    if (k->secure_boot)
        empty(w, "smm", "state", "on", NULL);
    end(w);
    begin(w, "cpu");
    set(w, "mode", k->nested ? "host-passthrough" : "host-model");
    begin(w, "topology");
    set_number(w, "sockets", k->sockets);
    set(w, "dies", "1");
    set_number(w, "cores", k->cores);
    set(w, "threads", "1");
    end(w);
    end(w);
}

static void put_clock(xmlTextWriter *w, const struct rh_kvm *k)
{
    begin(w, "clock");
    set(w, "offset", k->localtime ? "localtime" : "utc");
    empty(w, "timer", "name", "rtc", "tickpolicy", "catchup", NULL);
    empty(w, "timer", "name", "pit", "tickpolicy", "delay", NULL);
    empty(w, "timer", "name", "hpet", "present", "no", NULL);
    if (k->windows)
        empty(w, "timer", "name", "hypervclock", "present", "yes", NULL);
    end(w);
    text(w, "on_poweroff", "destroy");
    text(w, "on_reboot", "restart");
    text(w, "on_crash", "destroy");
}

/* --- disks
 * ------------------------------------------------------------------------------------
 */

/* The result's folder as it will be called, from the root; "" where the disks
 * lie in none. */
static char *result_folder(const struct rh_kvm *k)
{
    const char *path = k->job->out->folder;
    const char *slash = path ? strrchr(path, '/') : NULL;
    RH_AUTO(rh_freep) char *parent = NULL;
    char *full, *result;

    if (!path)
        return rh_strdup("");
    parent =
        slash ? rh_strndup(path, (size_t)(slash - path) + 1) : rh_strdup(".");
    full = realpath(parent, NULL);
    if (!full)
        return rh_strdup(path);
    result =
        rh_printf("%s/%s", is(full, "/") ? "" : full, slash ? slash + 1 : path);
    free(full);
    return result;
}

/* "sda": the letters of a bus's i-th disk. */
static void letters(const char *prefix, unsigned i, char ret[8])
{
    if (i < 26)
        snprintf(ret, 8, "%.2s%c", prefix, 'a' + (int)i);
    else
        snprintf(ret, 8, "%.2s%c%c", prefix, 'a' + (int)(i / 26 - 1) % 26,
                 'a' + (int)(i % 26));
}

struct drives {
    const struct rh_kvm *k;
    unsigned sd, vd, hd; /* letters used: SCSI and SATA share theirs */
};

static bool uses(const struct rh_kvm *k, const char *kind)
{
    char bus[8];
    unsigned n;

    for (size_t i = 0; i < k->job->disk_count; i++)
        if (rh_kvm_bus(k->job->disks[i].bus, bus, &n) && is(bus, kind))
            return true;
    return false;
}

/* Where a drive sits, as libvirt has it. */
struct place {
    char kind[8];
    unsigned controller, bus, target, unit;
};

/* PVSCSI counts targets, virtio-scsi units, IDE has two of two.  IDE on q35
 * does not exist for libvirt: SATA, and a controller of its own where the
 * first one is used. */
static bool place_of(const struct rh_kvm *k, const char *bus, struct place *ret)
{
    struct place p = {.controller = 0};
    unsigned n;

    if (!rh_kvm_bus(bus, p.kind, &n))
        return false;
    if (is(p.kind, "ide") && k->q35) {
        memcpy(p.kind, "sata", 5);
        p.controller = uses(k, "sata");
        p.unit = n;
    } else if (is(p.kind, "ide")) {
        p.bus = n / 2;
        p.unit = n % 2;
    } else if (is(p.kind, "scsi") && is(k->scsi_model, "vmpvscsi")) {
        p.target = n;
    } else {
        p.unit = n;
    }
    *ret = p;
    return true;
}

static void put_address(xmlTextWriter *w, const struct place *p)
{
    if (is(p->kind, "virtio")) /* a PCI device: libvirt finds a slot */
        return;
    begin(w, "address");
    set(w, "type", "drive");
    set_number(w, "controller", p->controller);
    set_number(w, "bus", p->bus);
    set_number(w, "target", p->target);
    set_number(w, "unit", p->unit);
    end(w);
}

static void target_name(struct drives *d, const char *kind, char ret[8])
{
    if (is(kind, "virtio"))
        letters("vd", d->vd++, ret);
    else if (is(kind, "ide"))
        letters("hd", d->hd++, ret);
    else
        letters("sd", d->sd++, ret);
}

static unsigned boot_place(const struct rh_kvm *k, const char *word)
{
    const char *p = rh_text_of(&k->job->vm->boot_order);
    unsigned n = 1;

    if (!*p)
        return is(word, "disk") ? 1 : 0;
    for (; *p; p += strcspn(p, ","), p += *p == ',', n++)
        if (!strncmp(p, word, strlen(word)))
            return n;
    return is(word, "disk") ? n : 0;
}

static void put_boot(xmlTextWriter *w, unsigned place)
{
    if (!place)
        return;
    begin(w, "boot");
    set_number(w, "order", place);
    end(w);
}

static const char *driver_type(const char *file)
{
    const char *dot = strrchr(file, '.');

    if (dot && is(dot, ".vhd"))
        return "vpc";
    return dot && is(dot, ".raw") ? "raw" : "qcow2";
}

static void put_disk(xmlTextWriter *w, struct drives *d, const char *folder,
                     size_t i)
{
    const struct rh_target_disk *disk = &d->k->job->disks[i];
    const char *serial =
        rh_text_of(&d->k->job->vm->disks.items[disk->index].serial);
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, disk->file);
    RH_AUTO(rh_freep) char *shown = rh_printable(serial);
    struct place at;
    char name[8];

    if (!place_of(d->k, disk->bus, &at))
        return;
    target_name(d, at.kind, name);
    begin(w, "disk");
    set(w, "type", "file");
    set(w, "device", "disk");
    empty(w, "driver", "name", "qemu", "type", driver_type(disk->file), "cache",
          "none", "discard", "unmap", NULL);
    empty(w, "source", "file", path, NULL);
    empty(w, "target", "dev", name, "bus", at.kind, NULL);
    put_boot(w, i ? 0 : boot_place(d->k, "disk"));
    if (*serial &&
        strspn(serial, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
                       "pqrstuvwxyz0123456789_.+-") == strlen(serial))
        text(w, "serial", shown);
    put_address(w, &at);
    end(w);
}

static void put_cdrom(xmlTextWriter *w, struct drives *d)
{
    struct place at;
    char name[8];

    if (!place_of(d->k, d->k->cdrom_bus, &at))
        return;
    target_name(d, at.kind, name);
    begin(w, "disk");
    set(w, "type", "file");
    set(w, "device", "cdrom");
    empty(w, "target", "dev", name, "bus", at.kind, NULL);
    empty(w, "readonly", NULL);
    put_boot(w, boot_place(d->k, "cdrom"));
    put_address(w, &at);
    end(w);
}

static void put_drives(xmlTextWriter *w, const struct rh_kvm *k)
{
    RH_AUTO(rh_freep) char *folder = result_folder(k);
    struct drives d = {.k = k};

    if (uses(k, "scsi"))
        empty(w, "controller", "type", "scsi", "index", "0", "model",
              k->scsi_model, NULL);
    for (size_t i = 0; i < k->job->disk_count; i++)
        put_disk(w, &d, folder, i);
    if (k->cdrom_bus)
        put_cdrom(w, &d);
}

/* --- the rest
 * ----------------------------------------------------------------------------------
 */

/* A bridge that the user named; else QEMU's own NAT, which every host has: the
 * guest reaches the network, and a finding asks for the bridge. */
static void put_nic(xmlTextWriter *w, const struct rh_kvm *k, size_t i)
{
    const struct rh_kvm_nic *n = &k->nics[i];

    begin(w, "interface");
    set(w, "type", n->mapped ? "bridge" : "user");
    empty(w, "mac", "address", n->mac, NULL);
    if (n->mapped)
        empty(w, "source", "bridge", n->bridge, NULL);
    empty(w, "model", "type", n->model, NULL);
    if (!n->connected)
        empty(w, "link", "state", "down", NULL);
    put_boot(w, i ? 0 : boot_place(k, "network"));
    end(w);
}

static void put_console(xmlTextWriter *w, const struct rh_kvm *k)
{
    for (size_t i = 0; i < k->serial_ports; i++) {
        char port[24];

        snprintf(port, sizeof port, "%zu", i);
        begin(w, "serial");
        set(w, "type", "pty");
        empty(w, "target", "port", port, NULL);
        end(w);
    }
    empty(w, "input", "type", "tablet", "bus", "usb", NULL);
    empty(w, "graphics", "type", "vnc", "port", "-1", "autoport", "yes",
          "listen", "127.0.0.1", NULL);
    begin(w, "video");
    empty(w, "model", "type", "vga", NULL);
    end(w);
}

static void put_tpm(xmlTextWriter *w)
{
    begin(w, "tpm");
    set(w, "model", "tpm-crb");
    empty(w, "backend", "type", "emulator", "version", "2.0", NULL);
    end(w);
}

static void put_devices(xmlTextWriter *w, const struct rh_kvm *k)
{
    bool virtio = is(k->job->options->devices, "virtio");

    begin(w, "devices");
    put_drives(w, k);
    for (size_t i = 0; i < k->nic_count; i++)
        put_nic(w, k, i);
    put_console(w, k);
    if (k->tpm)
        put_tpm(w);
    if (virtio && k->linux_guest) {
        begin(w, "rng");
        set(w, "model", "virtio");
        begin(w, "backend");
        set(w, "model", "random");
        xmlTextWriterWriteString(w, X("/dev/urandom"));
        end(w);
        end(w);
    }
    empty(w, "memballoon", "model", virtio ? "virtio" : "none", NULL);
    end(w);
}

static void put_domain(xmlTextWriter *w, const struct rh_kvm *k)
{
    xmlTextWriterSetIndent(w, 1);
    xmlTextWriterSetIndentString(w, X("  "));
    xmlTextWriterStartDocument(w, NULL, "UTF-8", NULL);
    begin(w, "domain");
    set(w, "type", "kvm");
    put_identity(w, k);
    put_resources(w, k);
    put_os(w, k);
    put_features(w, k);
    put_clock(w, k);
    put_devices(w, k);
    end(w);
    xmlTextWriterEndDocument(w);
}

char *rh_kvm_libvirt_xml(const struct rh_kvm *k, rh_error **err)
{
    xmlBuffer *buffer = xmlBufferCreate();
    xmlTextWriter *w = buffer ? xmlNewTextWriterMemory(buffer, 0) : NULL;
    char *result = NULL;

    if (w) {
        put_domain(w, k);
        xmlFreeTextWriter(w);
        result = rh_strdup((const char *)xmlBufferContent(buffer));
    }
    if (buffer)
        xmlBufferFree(buffer);
    if (!result)
        rh_fail(err, RH_ERR_MEMORY, "no memory for libvirt.xml");
    return result;
}
