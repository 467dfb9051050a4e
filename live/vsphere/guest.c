/* guest.c - what VMware's tools say of the guest: its system, its name, the
 * addresses of its network cards. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "live/vsphere/machine.h"

static const enum rh_from FROM = RH_FROM_VSPHERE;
enum { ADDRESSES = 16 };

/* prettyName='Debian GNU/Linux 12 (bookworm)' among others. */
static bool pretty_name(const char *detailed, struct rh_vm *vm)
{
    const char *at = strstr(detailed, "prettyName='");
    size_t n;

    if (!at)
        return false;
    at += strlen("prettyName='");
    n = strcspn(at, "'");
    if (!n || n > 200)
        return false;
    rh_set_text(vm, &vm->os_name, rh_arena_strndup(vm->arena, at, n), FROM,
                "guestInfo.detailed.data");
    return true;
}

static const char *extra(const xmlNode *config, const char *key)
{
    for (xmlNode *o = rh_vs_child(config, "extraConfig"); o; o = rh_vs_next(o))
        if (rh_same_word(rh_vs_text_at(o, "key"), key))
            return rh_vs_text_at(o, "value");
    return "";
}

static void system_of(const xmlNode *object, struct rh_vm *vm)
{
    const xmlNode *config = rh_vs_property(object, "config");
    const xmlNode *guest = rh_vs_property(object, "guest");
    const char *seen = rh_vs_text_at(guest, "guestFullName");
    const char *said = rh_vs_text_at(config, "guestFullName");

    if (pretty_name(extra(config, "guestInfo.detailed.data"), vm))
        return;
    if (seen[0])
        rh_set_text(vm, &vm->os_name, seen, FROM, "VMware Tools");
    /* The simulator and old hosts repeat the id. */
    else if (said[0] && strcmp(said, rh_text_of(&vm->os_vmware_id)))
        rh_set_text(vm, &vm->os_name, said, FROM, NULL);
}

static void say_addresses(const xmlNode *net, const struct rh_vm *vm,
                          struct rh_findings *findings)
{
    RH_AUTO(rh_buf_free) struct rh_buf list = {0};
    const char *mac = rh_vs_text_at(net, "macAddress");
    char subject[32] = "vm";
    unsigned n = 0;

    for (xmlNode *a = rh_vs_child(net, "ipAddress"); a && n < ADDRESSES;
         a = rh_vs_next(a))
        rh_buf_printf(&list, "%s%.64s", n++ ? ", " : "", rh_vs_text(a));
    if (!n)
        return;
    for (size_t i = 0; i < vm->nics.count; i++)
        if (rh_same_word(rh_text_of(&vm->nics.items[i].mac), mac))
            snprintf(subject, sizeof subject, "nics/%zu", i);
    rh_finding_add(findings, RH_F_LIVE_ADDRESS, subject,
                   "the guest has the addresses %s there (%s, by VMware Tools)",
                   list.data, mac);
}

void rh_vs_guest(const xmlNode *object, struct rh_vm *vm,
                 struct rh_findings *findings)
{
    const xmlNode *guest = rh_vs_property(object, "guest");
    const char *host = rh_vs_text_at(guest, "hostName");

    system_of(object, vm);
    if (host[0])
        rh_set_text(vm, &vm->hostname, host, FROM, "VMware Tools");
    for (xmlNode *net = rh_vs_child(guest, "net"); net; net = rh_vs_next(net))
        say_addresses(net, vm, findings);
}
