/* facts.c - what is known of a Windows guest, for report.json. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "guestfix/windows/windows.h"

static json_t *text(const char *t)
{
    RH_AUTO(rh_freep) char *safe = t ? rh_printable(t) : NULL;

    return safe ? json_string(safe) : json_null();
}

static json_t *words(const rh_words *list)
{
    json_t *all = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(all, text(list->items[i]));
    return all;
}

static json_t *nic_json(const struct rh_win_nic *n)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:b, s:o, s:o}", "name",
        text(n->name), "mac", n->mac[0] ? text(n->mac) : json_null(), "slot",
        n->device->slot < 0 ? json_null() : json_integer(n->device->slot),
        "addresses", words(&n->addresses), "gateways", words(&n->gateways),
        "routes", words(&n->routes), "dns", words(&n->dns), "dhcp", n->dhcp,
        "nic",
        n->nic == SIZE_MAX ? json_null() : json_integer((json_int_t)n->nic),
        "ghost", n->ghost, "suffix", text(n->suffix), "device",
        text(n->device->id));
}

static json_t *starts_json(const struct rh_windows *w)
{
    static const char *const words_of[] = {"starts", "off", "staged", "no-file",
                                           "no-driver"};
    json_t *o = json_object();

    for (size_t i = 0; w->readable && i < RH_WIN_DISKS; i++)
        json_object_set_new(o, w->starts[i].disk,
                            json_string(words_of[w->starts[i].start]));
    return o;
}

static json_t *devices_json(const struct rh_windows *w)
{
    json_t *all = json_array();

    for (size_t i = 0; i < w->devices.count; i++) {
        const struct rh_win_device *d = &w->devices.items[i];

        json_array_append_new(
            all, json_pack("{s:o, s:o, s:o, s:b}", "id", text(d->id),
                           "instance", text(d->instance), "service",
                           text(d->service), "gone", d->gone));
    }
    return all;
}

static json_t *boot_json(const struct rh_windows *w)
{
    return json_pack("{s:o, s:o, s:o, s:b}", "store", text(w->bcd),
                     "boot_partition", text(w->boot_volume),
                     "windows_partition", text(w->system_volume), "testsigning",
                     w->testsigning);
}

json_t *rh_win_json(const struct rh_windows *w)
{
    json_t *nics = json_array();
    json_t *o = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:s, s:o, "
        "s:o}",
        "family", "windows", "name", text(w->product), "edition",
        text(w->edition), "kind", text(w->kind), "version", text(w->version),
        "architecture", text(w->architecture), "language", text(w->language),
        "hostname", text(w->hostname), "domain", text(w->domain),
        "domain_controller", w->controller, "time_zone", text(w->timezone),
        "clock", w->utc ? "utc" : "localtime", "smbios_uuid",
        text(w->smbios_uuid), "firmware", text(w->firmware));

    for (size_t i = 0; i < w->nics.count; i++)
        json_array_append_new(nics, nic_json(&w->nics.items[i]));
    json_object_set_new(o, "build", json_integer(w->build));
    json_object_set_new(o, "revision", json_integer(w->ubr));
    json_object_set_new(o, "control_sets", words(&w->sets));
    json_object_set_new(o, "registry_readable", json_boolean(w->readable));
    json_object_set_new(o, "log_pages_replayed",
                        json_integer((json_int_t)w->replayed));
    json_object_set_new(o, "nics", nics);
    json_object_set_new(o, "boot", boot_json(w));
    json_object_set_new(o, "starts_on", starts_json(w));
    json_object_set_new(o, "network_teams", words(&w->teams));
    json_object_set_new(o, "vmware_services", words(&w->vmware_services));
    json_object_set_new(o, "pci_devices", devices_json(w));
    return o;
}
