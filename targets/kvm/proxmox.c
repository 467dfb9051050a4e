/* proxmox.c - the machine as Proxmox VE's settings: NAME.conf.
 *
 * The file's own parser is lax, the API is not: every value keeps to the API's
 * schema, so that the file and `qm create` say the same.  Volumes get the names
 * that a fresh VM's would have; import.sh lets the storage name them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "targets/kvm/kvm.h"

enum { DESCRIPTION_MOST = 8000, SERIAL_MOST = 60 };

static bool is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

/* --- encodings
 * ------------------------------------------------------------------ */

/* %XX for all but letters, digits and `plain`. */
static char *url_encoded(const char *text, const char *plain)
{
    struct rh_buf b = {0};

    for (const char *p = text; *p; p++) {
        if (isalnum((unsigned char)*p) || strchr(plain, *p))
            rh_buf_putc(&b, *p);
        else
            rh_buf_printf(&b, "%%%02X", (unsigned char)*p);
    }
    return rh_buf_take(&b);
}

static char *base64(const char *text)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct rh_buf b = {0};

    for (size_t i = 0, n = strlen(text); i < n; i += 3) {
        uint32_t v = (uint32_t)(uint8_t)text[i] << 16;

        if (i + 1 < n)
            v |= (uint32_t)(uint8_t)text[i + 1] << 8;
        if (i + 2 < n)
            v |= (uint8_t)text[i + 2];
        rh_buf_putc(&b, digits[v >> 18]);
        rh_buf_putc(&b, digits[v >> 12 & 63]);
        rh_buf_putc(&b, i + 1 < n ? digits[v >> 6 & 63] : '=');
        rh_buf_putc(&b, i + 2 < n ? digits[v & 63] : '=');
    }
    return rh_buf_take(&b);
}

/* Cut at a character, not within one. */
static void cut_utf8(char *text, size_t most)
{
    size_t n = strlen(text);

    if (n <= most)
        return;
    while (most && ((unsigned char)text[most] & 0xc0) == 0x80)
        most--;
    text[most] = '\0';
}

/* Fit to print, but its lines stay lines. */
static char *printable_lines(const char *text)
{
    struct rh_buf b = {0};

    for (;;) {
        size_t n = strcspn(text, "\n");
        size_t shown = n && text[n - 1] == '\r' ? n - 1 : n;
        RH_AUTO(rh_freep) char *line = rh_strndup(text, shown);
        RH_AUTO(rh_freep) char *clean = rh_printable(line);

        rh_buf_puts(&b, clean);
        if (!text[n])
            return rh_buf_take(&b);
        rh_buf_putc(&b, '\n');
        text += n + 1;
    }
}

/* "32G" where that is exact, else smaller units, at last bytes. */
static void put_size(struct rh_buf *b, uint64_t bytes)
{
    static const char units[] = {'T', 'G', 'M', 'K'};
    uint64_t unit = RH_TIB;

    for (size_t i = 0; i < sizeof units; i++, unit /= 1024)
        if (bytes >= unit && bytes % unit == 0) {
            rh_buf_printf(b, "%llu%c", (unsigned long long)(bytes / unit),
                          units[i]);
            return;
        }
    rh_buf_printf(b, "%llu", (unsigned long long)bytes);
}

/* --- a list of settings
 * ------------------------------------------------------------- */

static struct rh_kvm_setting *add(struct rh_kvm_settings *s, const char *key,
                                  const char *fmt, ...) RH_PRINTF(3, 4);
static struct rh_kvm_setting *add(struct rh_kvm_settings *s, const char *key,
                                  const char *fmt, ...)
{
    struct rh_kvm_setting *to = rh_vec_add(&s->list);
    va_list ap;

    va_start(ap, fmt);
    to->value = rh_vprintf(fmt, ap);
    va_end(ap);
    to->key = key;
    return to;
}

static const char *numbered(const struct rh_kvm *k, const char *kind, size_t i)
{
    return rh_arena_printf(k->job->vm->arena, "%s%zu", kind, i);
}

static void add_machine(const struct rh_kvm *k, struct rh_kvm_settings *s)
{
    const char *ostype = k->job->profile ? k->job->profile->pve_ostype : NULL;
    bool far = k->memory > 512 * 1024; /* MiB: beyond 40 address bits */

    add(s, "bios", "%s", k->uefi ? "ovmf" : "seabios");
    add(s, "cores", "%llu", (unsigned long long)k->cores);
    add(s, "sockets", "%llu", (unsigned long long)k->sockets);
    add(s, "cpu", "%s", k->nested || far ? "host" : "x86-64-v2-AES");
    add(s, "memory", "%llu", (unsigned long long)k->memory);
    add(s, "ostype", "%s", ostype ? ostype : "other");
    add(s, "localtime", "%d", k->localtime);
    add(s, "scsihw", "%s", k->scsihw);
    /* Windows takes a new chipset version for new hardware: pin one that both
     * Proxmox VE 8 and 9 have. */
    if (k->windows)
        add(s, "machine", "%s", k->q35 ? "pc-q35-8.0" : "pc-i440fx-8.0");
    else
        add(s, "machine", "%s", k->q35 ? "q35" : "pc");
    /* A balloon is a device without a driver in a guest that knows VMware's
     * hardware only. */
    if (!is(k->job->options->devices, "virtio"))
        add(s, "balloon", "0");
}

static void add_identity(const struct rh_kvm *k, struct rh_kvm_settings *s)
{
    const char *source = k->job->vm->source_kind;
    RH_AUTO(rh_buf_free) struct rh_buf smbios = {0};
    RH_AUTO(rh_freep) char *text = NULL, *tags = NULL;
    size_t changed, lost;
    RH_AUTO(rh_freep) char *about = rh_target_about(k->job, k->dns_name);
    RH_AUTO(rh_freep) char *plain = printable_lines(about);

    add(s, "name", "%s", k->dns_name);
    rh_buf_printf(&smbios, "uuid=%s", k->uuid);
    if (is(source, "vmware") && !k->own_uuid) {
        /* What licences of the guest may be bound to. */
        RH_AUTO(rh_buf_free) struct rh_buf serial = {0};
        char plain_uuid[37];

        rh_vm_smbios_uuid(k->job->vm, RH_UUID_PLAIN, plain_uuid);
        rh_buf_puts(&serial, "VMware-");
        for (size_t i = 0, n = 0; plain_uuid[i]; i++) {
            if (plain_uuid[i] == '-')
                continue;
            rh_buf_putc(&serial, plain_uuid[i]);
            n++;
            if (n % 2 == 0 && n < 32)
                rh_buf_putc(&serial, n == 16 ? '-' : ' ');
        }
        text = base64(serial.data);
        rh_buf_printf(&smbios, ",serial=%s,base64=1", text);
    }
    add(s, "smbios1", "%s", smbios.data);
    add(s, "vmgenid", "%s", k->genid)->api = rh_strdup("1");
    tags = rh_kvm_tags(k->job, &changed, &lost);
    add(s, "tags", "rehost%s%s%s", source ? ";" : "", source ? source : "",
        tags);
    cut_utf8(plain, DESCRIPTION_MOST);
    if (*plain) {
        struct rh_kvm_setting *d = add(s, "description", "%s", "");

        free(d->value);
        d->value = url_encoded(plain, "-_.~ ");
        d->api = rh_strdup(plain);
    }
}

static void add_start(const struct rh_kvm *k, struct rh_kvm_settings *s)
{
    const struct rh_value *order = &k->job->vm->start_order;
    const struct rh_value *delay = &k->job->vm->start_delay;

    if (order->kind == RH_VALUE_NUMBER && delay->kind == RH_VALUE_NUMBER)
        add(s, "startup", "order=%llu,up=%llu",
            (unsigned long long)order->number,
            (unsigned long long)delay->number);
    else if (order->kind == RH_VALUE_NUMBER)
        add(s, "startup", "order=%llu", (unsigned long long)order->number);
}

/* --- volumes
 * -------------------------------------------------------------------------- */

static void add_disk(const struct rh_kvm *k, struct rh_kvm_settings *s,
                     size_t i)
{
    const struct rh_target_disk *d = &k->job->disks[i];
    const char *serial = rh_text_of(&k->job->vm->disks.items[d->index].serial);
    RH_AUTO(rh_freep) char *encoded = url_encoded(serial, "-_.");
    struct rh_kvm_setting *to;
    char kind[8];
    unsigned n;
    bool thread;

    if (!rh_kvm_bus(d->bus, kind, &n))
        return;
    thread = is(kind, "virtio") ||
             (is(kind, "scsi") && is(k->scsihw, "virtio-scsi-single"));
    to = add(s, d->bus, "discard=on%s%s%s", thread ? ",iothread=1" : "",
             *serial && strlen(encoded) <= SERIAL_MOST ? ",serial=" : "",
             strlen(encoded) <= SERIAL_MOST ? encoded : "");
    to->volume = true;
    to->file = d->file;
    to->size = d->virtual_size;
}

static void add_new_volume(struct rh_kvm_settings *s, const char *key,
                           const char *options, uint64_t size)
{
    struct rh_kvm_setting *to = add(s, key, "%s", options);

    to->volume = true;
    to->size = size;
}

static void add_drives(const struct rh_kvm *k, struct rh_kvm_settings *s)
{
    for (size_t i = 0; i < k->job->disk_count; i++)
        add_disk(k, s, i);
    if (k->cdrom_bus)
        add(s, k->cdrom_bus, "none,media=cdrom");
    /* 528 KiB is what the 4m variable store has. */
    if (k->uefi)
        add_new_volume(s, "efidisk0",
                       k->secure_boot ? "efitype=4m,pre-enrolled-keys=1"
                                      : "efitype=4m,pre-enrolled-keys=0",
                       528 * RH_KIB);
    if (k->tpm)
        add_new_volume(s, "tpmstate0", "version=v2.0", 4 * RH_MIB);
}

/* --- network, boot order, ports
 * ------------------------------------------------------------ */

static void add_nic(const struct rh_kvm *k, struct rh_kvm_settings *s, size_t i)
{
    const struct rh_kvm_nic *n = &k->nics[i];
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    rh_buf_printf(&b, "%s=", n->model);
    for (const char *p = n->mac; *p; p++)
        rh_buf_putc(&b, (char)toupper((unsigned char)*p));
    rh_buf_printf(&b, ",bridge=%s,firewall=1", n->bridge);
    if (!n->connected)
        rh_buf_puts(&b, ",link_down=1");
    if (n->vlan)
        rh_buf_printf(&b, ",tag=%u", n->vlan);
    add(s, numbered(k, "net", i), "%s", b.data);
}

static void add_boot_device(struct rh_buf *b, const char *device)
{
    if (device)
        rh_buf_printf(b, "%s%s", b->length ? ";" : "", device);
}

/* "disk,cdrom,network" by its own order; the disk alone when nothing is said.
 */
static void add_boot(const struct rh_kvm *k, struct rh_kvm_settings *s)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    const char *p = rh_text_of(&k->job->vm->boot_order);
    bool disk = false;

    for (; *p; p += strcspn(p, ","), p += *p == ',') {
        if (!strncmp(p, "disk", 4) && !disk && k->job->disk_count) {
            add_boot_device(&b, k->job->disks[0].bus);
            disk = true;
        } else if (!strncmp(p, "cdrom", 5)) {
            add_boot_device(&b, k->cdrom_bus);
        } else if (!strncmp(p, "network", 7) && k->nic_count) {
            add_boot_device(&b, "net0");
        }
    }
    if (!disk && k->job->disk_count)
        add_boot_device(&b, k->job->disks[0].bus);
    if (b.length)
        add(s, "boot", "order=%s", b.data);
}

static int by_key(const void *a, const void *b)
{
    const struct rh_kvm_setting *x = a, *y = b;

    return strcmp(x->key, y->key);
}

void rh_kvm_settings(const struct rh_kvm *k, struct rh_kvm_settings *ret)
{
    *ret = (struct rh_kvm_settings){0};
    add_machine(k, ret);
    add_identity(k, ret);
    add_start(k, ret);
    add_drives(k, ret);
    for (size_t i = 0; i < k->nic_count; i++)
        add_nic(k, ret, i);
    for (size_t i = 0; i < k->serial_ports; i++)
        add(ret, numbered(k, "serial", i), "socket");
    add_boot(k, ret);
    qsort(ret->list.items, ret->list.count, sizeof *ret->list.items, by_key);
}

void rh_kvm_settings_free(struct rh_kvm_settings *s)
{
    for (size_t i = 0; i < s->list.count; i++) {
        free(s->list.items[i].value);
        free(s->list.items[i].api);
    }
    free(s->list.items);
    *s = (struct rh_kvm_settings){0};
}

char *rh_kvm_proxmox_conf(const struct rh_kvm *k)
{
    struct rh_kvm_settings s;
    struct rh_buf b = {0};
    unsigned volume = 0;

    rh_kvm_settings(k, &s);
    for (size_t i = 0; i < s.list.count; i++) {
        const struct rh_kvm_setting *v = &s.list.items[i];

        rh_buf_printf(&b, "%s: ", v->key);
        if (v->volume) {
            rh_buf_printf(&b, "%s:vm-%s-disk-%u,", k->storage, k->vmid,
                          volume++);
            rh_buf_printf(&b, "%s,size=", v->value);
            put_size(&b, v->size);
        } else {
            rh_buf_puts(&b, v->value);
        }
        rh_buf_putc(&b, '\n');
    }
    rh_kvm_settings_free(&s);
    return rh_buf_take(&b);
}
