/* detect.c - which Windows it is, and which hardware it ran on, by its
 * registry. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/bcd.h"
#include "guestfix/windows/start.h"

static const char system_name[] = "HKLM\\SYSTEM";
static const char software_name[] = "HKLM\\SOFTWARE";

char *rh_win_hive_path(const struct rh_windows *w, const char *name)
{
    return rh_printf("%s/System32/config/%s", w->root, name);
}

struct rh_hive *rh_win_open(const struct rh_windows *w, const char *name,
                            size_t *ret_replayed, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_win_hive_path(w, name);

    return rh_hive_open(w->guest, path,
                        strcmp(name, "SYSTEM") ? software_name : system_name,
                        ret_replayed, err);
}

/* A text of the hive that lives as long as the facts. */
static const char *kept(struct rh_windows *w, struct rh_hive *h, rh_key k,
                        const char *value)
{
    RH_AUTO(rh_freep) char *text = rh_hive_text(h, k, value);

    return text && *text ? rh_arena_strdup(w->arena, text) : NULL;
}

static unsigned number(struct rh_hive *h, rh_key k, const char *value)
{
    uint64_t n = 0;

    return rh_hive_number(h, k, value, &n) ? (unsigned)n : 0;
}

/* --- SOFTWARE ----------------------------------------------------------------
 */
/* "6.1" where the numbers have no values of their own (before Windows 10). */
static void read_version(struct rh_windows *w, struct rh_hive *h, rh_key k)
{
    const char *text = kept(w, h, k, "CurrentVersion");
    const char *build = kept(w, h, k, "CurrentBuildNumber");
    char *end;

    w->major = number(h, k, "CurrentMajorVersionNumber");
    w->minor = number(h, k, "CurrentMinorVersionNumber");
    if (!w->major && text) {
        w->major = (unsigned)strtoul(text, &end, 10);
        w->minor = *end == '.' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
    }
    /* CurrentBuild says "Obsolete data" on NT 4 to 2003. */
    w->build = build ? (unsigned)strtoul(build, NULL, 10) : 0;
    w->ubr = number(h, k, "UBR");
    w->version =
        rh_arena_printf(w->arena, "%u.%u.%u", w->major, w->minor, w->build);
}

static void read_software(struct rh_windows *w, struct rh_hive *h)
{
    rh_key k = rh_hive_key(h, 0, "Microsoft\\Windows NT\\CurrentVersion");
    const char *type = kept(w, h, k, "InstallationType");

    read_version(w, h, k);
    w->product = kept(w, h, k, "ProductName");
    /* 11 still calls itself 10. */
    if (w->product && w->build >= 22000 &&
        !strncmp(w->product, "Windows 10", 10))
        w->product = rh_arena_printf(w->arena, "Windows 11%s", w->product + 10);
    w->edition = kept(w, h, k, "EditionID");
    if (type)
        w->kind = strncasecmp(type, "Server", 6) ? "client" : "server";
}

/* --- SYSTEM ------------------------------------------------------------------
 */
static void add_set(struct rh_windows *w, struct rh_hive *h, unsigned n)
{
    const char *name = rh_arena_printf(w->arena, "ControlSet%03u", n);

    if (!n || n > 999 || !rh_hive_key(h, 0, name))
        return;
    for (size_t i = 0; i < w->sets.count; i++)
        if (!strcmp(w->sets.items[i], name))
            return;
    *rh_vec_add(&w->sets) = name;
}

/* The sets that Windows may start with: the current one first. */
static void read_sets(struct rh_windows *w, struct rh_hive *h)
{
    rh_key select = rh_hive_key(h, 0, "Select");

    add_set(w, h, number(h, select, "Current"));
    add_set(w, h, number(h, select, "Default"));
    add_set(w, h, number(h, select, "LastKnownGood"));
    if (!w->sets.count)
        add_set(w, h, 1);
}

static rh_key in_set(struct rh_windows *w, struct rh_hive *h, const char *path)
{
    rh_key set = w->sets.count ? rh_hive_key(h, 0, w->sets.items[0]) : 0;

    return set ? rh_hive_key(h, set, path) : 0;
}

static const struct {
    const char *windows, *ours;
} architectures[] = {{"AMD64", "x86_64"}, {"x86", "x86"}, {"ARM64", "aarch64"}};

static const struct {
    const char *lcid, *tag;
} languages[] = {
    {"0409", "en-US"}, {"0809", "en-GB"}, {"0411", "ja-JP"}, {"0407", "de-DE"},
    {"040c", "fr-FR"}, {"0410", "it-IT"}, {"0c0a", "es-ES"}, {"0412", "ko-KR"},
    {"0804", "zh-CN"}, {"0404", "zh-TW"}, {"0416", "pt-BR"}, {"0419", "ru-RU"},
    {"0413", "nl-NL"}, {"0415", "pl-PL"}, {"041d", "sv-SE"}, {"0405", "cs-CZ"},
};

static void read_names(struct rh_windows *w, struct rh_hive *h)
{
    rh_key tcp = in_set(w, h, "Services\\Tcpip\\Parameters");
    const char *arch =
        kept(w, h, in_set(w, h, "Control\\Session Manager\\Environment"),
             "PROCESSOR_ARCHITECTURE");
    const char *type =
        kept(w, h, in_set(w, h, "Control\\ProductOptions"), "ProductType");
    const char *lcid =
        kept(w, h, in_set(w, h, "Control\\Nls\\Language"), "Default");

    for (size_t i = 0; arch && i < RH_COUNT(architectures); i++)
        if (!strcasecmp(arch, architectures[i].windows))
            w->architecture = architectures[i].ours;
    for (size_t i = 0; lcid && i < RH_COUNT(languages); i++)
        if (!strcasecmp(lcid, languages[i].lcid))
            w->language = languages[i].tag;
    if (!w->language)
        w->language = lcid;
    w->controller = type && !strcasecmp(type, "LanmanNT");
    if (type)
        w->kind = strcasecmp(type, "WinNT") ? "server" : "client";
    w->hostname = kept(w, h, tcp, "Hostname");
    if (!w->hostname)
        w->hostname =
            kept(w, h, in_set(w, h, "Control\\ComputerName\\ComputerName"),
                 "ComputerName");
    w->domain = kept(w, h, tcp, "Domain");
    if (!w->domain)
        w->domain = kept(w, h, tcp, "NV Domain");
}

static void read_clock(struct rh_windows *w, struct rh_hive *h)
{
    rh_key zone = in_set(w, h, "Control\\TimeZoneInformation");
    uint64_t utc = 0;

    w->timezone = kept(w, h, zone, "TimeZoneKeyName");
    if (!w->timezone)
        w->timezone = kept(w, h, zone, "StandardName");
    w->utc = rh_hive_number(h, zone, "RealTimeIsUniversal", &utc) && utc;
}

/* "{67314D56-E237-...}": the UUID of the firmware as Windows read it. */
static void read_identity(struct rh_windows *w, struct rh_hive *h)
{
    const char *last =
        kept(w, h, rh_hive_key(h, 0, "HardwareConfig"), "LastConfig");
    unsigned firmware = number(h, in_set(w, h, "Control"), "PEFirmwareType");

    if (last && strlen(last) == 38 && *last == '{')
        w->smbios_uuid = rh_arena_strndup(w->arena, last + 1, 36);
    w->firmware = firmware == 1 ? "bios" : firmware == 2 ? "uefi" : NULL;
}

/* --- devices -----------------------------------------------------------------
 */
/* Seen by Windows 8 and later: when it came last, and when it went. */
static uint64_t moment(struct rh_hive *h, rh_key instance, const char *number)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf(
        "Properties\\{83da6326-97a6-4088-9453-a1923f573b29}\\%s", number);
    rh_key k = rh_hive_key(h, instance, path);
    RH_AUTO(rh_freep) unsigned char *p = NULL;
    uint64_t at = 0;
    size_t n = 0;

    if (k)
        p = rh_hive_bytes(h, k, "", &n);
    for (size_t i = 8; p && n == 8 && i-- > 0;)
        at = at << 8 | p[i];
    return at;
}

enum { DEVICES_MAX = 4096 };

static void add_device(struct rh_windows *w, struct rh_hive *h, rh_key id,
                       const char *id_name, const char *instance)
{
    rh_key k = rh_hive_key(h, id, instance);
    struct rh_win_device *d;
    uint64_t slot, went;

    if (!k || w->devices.count >= DEVICES_MAX)
        return;
    d = rh_vec_add(&w->devices);
    d->id = rh_arena_strdup(w->arena, id_name);
    d->instance = rh_arena_strdup(w->arena, instance);
    d->service = kept(w, h, k, "Service");
    d->driver = kept(w, h, k, "Driver");
    d->slot = rh_hive_number(h, k, "UINumber", &slot) ? (int64_t)slot : -1;
    went = moment(h, k, "0067");
    d->gone = went && went > moment(h, k, "0066");
}

static void read_devices(struct rh_windows *w, struct rh_hive *h)
{
    rh_key pci = in_set(w, h, "Enum\\PCI");
    RH_AUTO(rh_name_list_freep) char **ids = rh_hive_children(h, pci);

    for (size_t i = 0; ids && ids[i]; i++) {
        rh_key id = rh_hive_key(h, pci, ids[i]);
        RH_AUTO(rh_name_list_freep) char **all = rh_hive_children(h, id);

        for (size_t k = 0; all && all[k]; k++)
            add_device(w, h, id, ids[i], all[k]);
    }
}

static const char *const vmware_services[] = {
    "VMTools",  "VGAuthService", "vm3dservice", "vmvss",   "GISvc",
    "vmmemctl", "vmhgfs",        "vmrawdsk",    "vmdebug", "VMUpgradeHelper",
};

static void read_tools(struct rh_windows *w, struct rh_hive *h)
{
    rh_key services = in_set(w, h, "Services");

    for (size_t i = 0; services && i < RH_COUNT(vmware_services); i++)
        if (rh_hive_key(h, services, vmware_services[i]))
            *rh_vec_add(&w->vmware_services) = vmware_services[i];
}

static void read_system(struct rh_windows *w, struct rh_hive *h)
{
    read_sets(w, h);
    read_names(w, h);
    read_clock(w, h);
    read_identity(w, h);
    read_devices(w, h);
    read_tools(w, h);
    rh_win_network(w, h);
}

/* --- all of it ---------------------------------------------------------------
 */
static const char *const roots[] = {"/Windows", "/WINNT"};

static const char *find_root(struct rh_guest *g)
{
    for (size_t i = 0; i < RH_COUNT(roots); i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s/System32/config/SYSTEM", roots[i]);

        if (rh_guest_exists(g, path))
            return roots[i];
    }
    return NULL;
}

bool rh_win_is_hives_fault(const rh_error *e)
{
    switch (rh_error_number(e)) {
    case RH_ERR_HIVE_DIRTY:
    case RH_ERR_HIVE_DAMAGED:
    case RH_ERR_HIVE_KIND:
    case RH_ERR_GUEST_DAMAGED:
    case RH_ERR_FILE_NOT_FOUND:
    case RH_ERR_FILE_TYPE:
        return true;
    default:
        return false;
    }
}

/* Is it the hive's fault?  Then that is told, and the hive left as it is. */
static int say_hive(struct rh_session *s, const char *name, rh_error *e)
{
    if (!rh_win_is_hives_fault(e))
        return -1;
    rh_finding_add(s->o->findings,
                   rh_error_number(e) == RH_ERR_HIVE_DIRTY
                       ? RH_F_WINDOWS_HIVE_DIRTY
                       : RH_F_WINDOWS_HIVE_DAMAGED,
                   "os", N_("the registry hive %s is left as it is: %s"), name,
                   rh_error_message(e));
    return 0;
}

static int open_or_say(struct rh_windows *w, struct rh_session *s,
                       const char *name, struct rh_hive **ret, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    size_t pages = 0;

    *ret = rh_win_open(w, name, &pages, &why);
    if (*ret) {
        w->replayed += pages;
        if (pages)
            rh_finding_add(
                s->o->findings, RH_F_WINDOWS_HIVE_REPLAYED, "os",
                N_("the registry hive %s was behind its logs; %zu pages are "
                   "taken over from them, as Windows would have done"),
                name, pages);
        return 0;
    }
    if (say_hive(s, name, why) == 0)
        return 0;
    if (err && !*err)
        *err = RH_TAKE(why);
    return -1;
}

int rh_win_detect(struct rh_windows *w, struct rh_session *s, rh_error **err)
{
    RH_AUTO(rh_hive_closep) struct rh_hive *software = NULL;
    RH_AUTO(rh_hive_closep) struct rh_hive *system = NULL;

    w->arena = rh_arena_new();
    w->guest = s->guest;
    w->root = find_root(s->guest);
    if (!w->root)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "the registry of Windows is not there");
    if (open_or_say(w, s, "SOFTWARE", &software, err) < 0 ||
        open_or_say(w, s, "SYSTEM", &system, err) < 0)
        return -1;
    if (software)
        read_software(w, software);
    if (system)
        read_system(w, system);
    if (system && software && rh_win_boot(w, s, err) < 0)
        return -1;
    if (system && software)
        rh_win_starts(w, system, s->o->drivers);
    w->readable = software && system;
    if (w->readable)
        rh_win_say_cautions(w, s, system, software);
    return 0;
}

void rh_win_free(struct rh_windows *w)
{
    for (size_t i = 0; i < w->nics.count; i++) {
        free(w->nics.items[i].addresses.items);
        free(w->nics.items[i].gateways.items);
        free(w->nics.items[i].routes.items);
        free(w->nics.items[i].dns.items);
        free(w->nics.items[i].wins.items);
    }
    free(w->nics.items);
    free(w->devices.items);
    free(w->sets.items);
    free(w->teams.items);
    free(w->vmware_services.items);
    if (w->arena)
        rh_arena_free(w->arena);
}
