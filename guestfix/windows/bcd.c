/* bcd.c - read the boot configuration data (BCD) of Windows.
 *
 * A registry hive: Objects\{id}\Elements\XXXXXXXX, value "Element".  The boot
 * manager's object names the default entry, that one names the partition of
 * Windows: by the disk's signature and an offset, or by GUIDs.  Nothing is
 * edited: neither changes with the machine.  Element numbers: Microsoft's
 * BcdBootMgrElementTypes, BcdLibraryElementTypes and BcdOSLoaderElementTypes;
 * the layout of devices from real stores. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/windows/bcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const char manager_id[] = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";

/* --- devices -----------------------------------------------------------------
 */
enum {
    AT_TYPE = 16,      /* after the GUID of further options */
    AT_PARTITION = 32, /* GUID, or byte offset */
    AT_STYLE = 52,     /* 0: GPT, 1: MBR */
    AT_DISK = 56,      /* GUID, or signature */
    DEVICE_SIZE = 72
};
enum { TYPE_FILE = 0, TYPE_BOOT = 5, TYPE_PARTITION = 6 };

static void guid_text(const unsigned char *p, char ret[37])
{
    snprintf(ret, 37, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             rh_le32(p), rh_le16(p + 4), rh_le16(p + 6), p[8], p[9], p[10],
             p[11], p[12], p[13], p[14], p[15]);
}

/* ".vhd" or ".vhdx" somewhere in its path, which is UTF-16. */
static bool names_virtual_disk(const unsigned char *p, size_t n)
{
    static const unsigned char end[] = ".vhd";

    for (size_t at = AT_TYPE; at + 8 <= n; at += 2) {
        size_t k = 0;

        while (k < 4 && !p[at + 2 * k + 1] &&
               (p[at + 2 * k] == end[k] ||
                (k && p[at + 2 * k] + 'a' - 'A' == end[k])))
            k++;
        if (k == 4)
            return true;
    }
    return false;
}

static void partition_of(const unsigned char *p, struct rh_bcd_device *d)
{
    uint32_t style = rh_le32(p + AT_STYLE);

    if (style > 1)
        return;
    d->kind = RH_BCD_PARTITION;
    d->gpt = !style;
    if (d->gpt) {
        guid_text(p + AT_PARTITION, d->partition);
    } else {
        d->offset = rh_le64(p + AT_PARTITION);
        d->signature = rh_le32(p + AT_DISK);
    }
}

void rh_bcd_device_of(const void *bytes, size_t n, struct rh_bcd_device *ret)
{
    const unsigned char *p = bytes;
    struct rh_bcd_device d = {.kind = RH_BCD_NOWHERE};

    if (p && n >= AT_PARTITION)
        switch (rh_le32(p + AT_TYPE)) {
        case TYPE_BOOT:
            d.kind = RH_BCD_BOOT;
            break;
        case TYPE_FILE:
            d.kind = RH_BCD_FILE;
            d.virtual_disk = names_virtual_disk(p, n);
            break;
        case TYPE_PARTITION:
            if (n >= DEVICE_SIZE)
                partition_of(p, &d);
            break;
        default:
            d.kind = RH_BCD_OTHER;
        }
    *ret = d;
}

const struct rh_volume *rh_bcd_volume(const struct rh_bcd_device *d,
                                      const struct rh_volumes *v)
{
    char signature[10];

    snprintf(signature, sizeof signature, "%08x-", d->signature);
    for (size_t i = 0; d->kind == RH_BCD_PARTITION && i < v->all.count; i++) {
        const struct rh_volume *one = &v->all.items[i];

        if (!one->part_uuid)
            continue;
        if (d->gpt ? !strcmp(one->part_uuid, d->partition)
                   : one->offset == d->offset &&
                         !strncmp(one->part_uuid, signature, 9))
            return one;
    }
    return NULL;
}

/* --- elements ----------------------------------------------------------------
 */
struct object {
    struct rh_hive *h;
    rh_key elements; /* 0: there is no such object */
};

static struct object object_of(struct rh_hive *h, const char *id)
{
    RH_AUTO(rh_freep) char *path = rh_printf("Objects\\%s\\Elements", id);

    return (struct object){h, rh_hive_key(h, 0, path)};
}

static rh_key element(const struct object *o, const char *number)
{
    return o->elements ? rh_hive_key(o->h, o->elements, number) : 0;
}

static char *text_of(const struct object *o, const char *number)
{
    return rh_hive_text(o->h, element(o, number), "Element");
}

static void device_of(const struct object *o, const char *number,
                      struct rh_bcd_device *ret)
{
    size_t n = 0;
    RH_AUTO(rh_freep)
    void *p = rh_hive_bytes(o->h, element(o, number), "Element", &n);

    rh_bcd_device_of(p, n, ret);
}

/* An integer of eight bytes, or a switch of one; 0: it is not there. */
static uint64_t number_of(const struct object *o, const char *number)
{
    size_t n = 0;
    RH_AUTO(rh_freep)
    unsigned char *p = rh_hive_bytes(o->h, element(o, number), "Element", &n);

    return !p ? 0 : n >= 8 ? rh_le64(p) : n ? p[0] : 0;
}

void rh_bcd_read(struct rh_hive *h, struct rh_bcd *ret)
{
    struct object manager = object_of(h, manager_id), entry = {h, 0};
    RH_AUTO(rh_freep) char *id = text_of(&manager, "23000003");
    struct rh_bcd b = {.has_manager = manager.elements != 0};

    if (id && strlen(id) == 38)
        entry = object_of(h, id);
    b.has_default = entry.elements != 0;
    device_of(&manager, "11000001", &b.manager);
    device_of(&entry, "21000001", &b.system);
    b.path = text_of(&entry, "12000002");
    b.title = text_of(&entry, "12000004");
    b.once = element(&manager, "24000002") != 0;
    b.safe_mode = element(&entry, "25000080") != 0;
    b.testsigning = number_of(&entry, "16000049") != 0;
    b.hypervisor = number_of(&entry, "250000f0") != 0;
    *ret = b;
}

void rh_bcd_free(struct rh_bcd *b)
{
    free(b->path);
    free(b->title);
}

/* --- the guest's -------------------------------------------------------------
 */
static const char *const stores[] = {RH_WIN_ESP "/EFI/Microsoft/Boot/BCD",
                                     RH_WIN_LOADER "/Boot/BCD", "/Boot/BCD"};

static const char *device_name(const struct rh_volume *v)
{
    return v ? v->device : NULL;
}

static void say(struct rh_session *s, enum rh_finding_id id, const char *text,
                const char *what)
{
    rh_finding_add(s->o->findings, id, "os", text, what);
}

/* Where the default entry's Windows lies, and is that the one looked into? */
static void say_system(const struct rh_windows *w, struct rh_session *s,
                       const struct rh_bcd *b)
{
    const struct rh_volume *v = rh_bcd_volume(&b->system, &s->volumes);
    const struct rh_volume *root =
        s->guest->root_volume < s->volumes.all.count
            ? &s->volumes.all.items[s->guest->root_volume]
            : NULL;

    if (b->system.kind == RH_BCD_FILE && b->system.virtual_disk)
        say(s, RH_F_WINDOWS_VHD_BOOT,
            N_("the boot manager starts a Windows out of a virtual disk file "
               "(%s), which is not looked into"),
            b->title ? b->title : "-");
    else if (!b->has_default)
        say(s, RH_F_WINDOWS_BOOT_ENTRY,
            N_("the boot configuration %s has no default entry"), w->bcd);
    else if (b->system.kind == RH_BCD_PARTITION && !v)
        say(s, RH_F_WINDOWS_BOOT_PARTITION,
            N_("the boot manager looks for Windows (%s) on a partition that "
               "none of the disks has"),
            b->title ? b->title : "-");
    else if (v && root && v != root)
        rh_finding_add(s->o->findings, RH_F_WINDOWS_BOOT_ENTRY, "os",
                       N_("the boot manager starts what lies on %s, the "
                          "Windows on %s is the one that was looked into"),
                       v->device, root->device);
}

static void say_boot(const struct rh_windows *w, struct rh_session *s,
                     const struct rh_bcd *b)
{
    say_system(w, s, b);
    if (b->manager.kind == RH_BCD_PARTITION &&
        !rh_bcd_volume(&b->manager, &s->volumes))
        say(s, RH_F_WINDOWS_BOOT_PARTITION,
            N_("the boot configuration %s names a partition of the boot "
               "manager that none of the disks has"),
            w->bcd);
    if (b->once)
        say(s, RH_F_WINDOWS_BOOT_ENTRY,
            N_("the next start goes into another entry of %s, once: a repair, "
               "a reset or an update is under way"),
            w->bcd);
    if (b->safe_mode)
        say(s, RH_F_WINDOWS_SAFE_MODE,
            N_("%s starts in safe mode: services do not run, and what is done "
               "at the first start has to wait"),
            b->title ? b->title : "Windows");
    if (b->hypervisor)
        say(s, RH_F_WINDOWS_HYPERVISOR,
            N_("Hyper-V's hypervisor starts with %s: it wants nested "
               "virtualisation on the new machine, too"),
            b->title ? b->title : "Windows");
}

int rh_win_boot(struct rh_windows *w, struct rh_session *s, rh_error **err)
{
    RH_AUTO(rh_hive_closep) struct rh_hive *h = NULL;
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    struct rh_bcd b;
    size_t pages;

    for (size_t i = 0; !w->bcd && i < RH_COUNT(stores); i++)
        if (rh_guest_exists(s->guest, stores[i]))
            w->bcd = stores[i];
    if (w->major < 6)
        return 0; /* boot.ini: nothing in it goes by the hardware */
    if (!w->bcd) {
        say(s, RH_F_WINDOWS_BOOT_ENTRY,
            N_("no boot configuration (%s) is found on the disks"), "BCD");
        return 0;
    }
    h = rh_hive_open(s->guest, w->bcd, "BCD", &pages, &why);
    if (!h && rh_win_is_hives_fault(why)) {
        rh_finding_add(s->o->findings, RH_F_WINDOWS_BOOT_ENTRY, "os",
                       N_("the boot configuration %s cannot be read: %s"),
                       w->bcd, rh_error_message(why));
        return 0;
    }
    if (!h) {
        if (err && !*err)
            *err = RH_TAKE(why);
        return -1;
    }
    rh_bcd_read(h, &b);
    w->testsigning = b.testsigning;
    w->boot_volume = device_name(rh_bcd_volume(&b.manager, &s->volumes));
    w->system_volume = device_name(rh_bcd_volume(&b.system, &s->volumes));
    say_boot(w, s, &b);
    rh_bcd_free(&b);
    return 0;
}
