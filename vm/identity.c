/* identity.c - addresses and ids: the VM's own, or made of what tells it from
 * others, so that the same input gives the same ones on every target. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "vm/vm.h"

/* What tells this VM from others, and stays the same from run to run. */
static char *identity(const struct rh_vm *vm)
{
    const struct rh_value *texts[] = {&vm->name, &vm->uuid};
    struct rh_buf b = {0};

    rh_buf_printf(&b, "%s\n", vm->id ? vm->id : "");
    for (size_t i = 0; i < RH_COUNT(texts); i++)
        if (texts[i]->kind == RH_VALUE_TEXT)
            rh_buf_printf(&b, "%s\n", texts[i]->text);
    for (size_t i = 0; i < vm->disks.count; i++)
        rh_buf_printf(&b, "%" PRIu64 "\n",
                      vm->disks.items[i].capacity_bytes.number);
    return rh_buf_take(&b);
}

/* --- MAC addresses -------------------------------------------------------- */
static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c);

    return c && at ? (int)(at - digits) : -1;
}

bool rh_valid_mac(const char *mac)
{
    bool zero = true;

    if (!mac || strlen(mac) != 17)
        return false;
    for (size_t i = 0; i < 17; i++) {
        if (i % 3 == 2 ? mac[i] != ':' : hex_digit(mac[i]) < 0)
            return false;
        zero = zero && (mac[i] == '0' || mac[i] == ':');
    }
    return !zero && !(hex_digit(mac[1]) & 1); /* odd: a group's address */
}

bool rh_mac_of(const char *text, char ret_mac[18])
{
    char hex[12], mac[18];
    size_t n = 0, length = text ? strlen(text) : 0;
    /* aa:bb:..., aa-bb-..., aabb.ccdd.eeff, aabbccddeeff */
    char mark = length == 17 ? text[2] : length == 14 ? '.' : '\0';
    size_t group = length == 17 ? 3 : 5;

    if (length != 12 && length != 14 && (length != 17 || !strchr(":-", mark)))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (mark && i % group == group - 1) {
            if (text[i] != mark)
                return false;
            continue;
        }
        if (n == sizeof hex || hex_digit(text[i]) < 0)
            return false;
        hex[n++] = (char)tolower((unsigned char)text[i]);
    }
    if (n != sizeof hex)
        return false;
    snprintf(mac, sizeof mac, "%.2s:%.2s:%.2s:%.2s:%.2s:%.2s", hex, hex + 2,
             hex + 4, hex + 6, hex + 8, hex + 10);
    if (!rh_valid_mac(mac))
        return false;
    memcpy(ret_mac, mac, sizeof mac);
    return true;
}

static void made_up_mac(const char *seed, unsigned index, char ret_mac[18])
{
    RH_AUTO(rh_freep) char *text = rh_printf("%s/nic/%u", seed, index);
    char hex[65];

    rh_sha256_hex(text, strlen(text), hex);
    /* 02: locally administered, unicast; 40 bits against collisions. */
    snprintf(ret_mac, 18, "02:%.2s:%.2s:%.2s:%.2s:%.2s", hex, hex + 2, hex + 4,
             hex + 6, hex + 8);
}

bool rh_vm_nic_mac(const struct rh_vm *vm, size_t nic, char ret_mac[18])
{
    const struct rh_value *v = &vm->nics.items[nic].mac;
    RH_AUTO(rh_freep) char *seed = NULL;

    if (v->kind == RH_VALUE_TEXT && rh_valid_mac(v->text)) {
        for (size_t i = 0; i < 18; i++)
            ret_mac[i] = (char)tolower((unsigned char)v->text[i]);
        return false;
    }
    seed = identity(vm);
    made_up_mac(seed, (unsigned)nic, ret_mac);
    return true;
}

/* --- UUIDs ---------------------------------------------------------------- */
void rh_vm_made_up_uuid(const struct rh_vm *vm, const char *role, size_t i,
                        char ret_uuid[37])
{
    RH_AUTO(rh_freep) char *seed = identity(vm);
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    char hex[65];

    rh_buf_puts(&b, seed);
    for (size_t n = 0; n < vm->nics.count; n++)
        rh_buf_printf(&b, "%s\n", rh_text_of(&vm->nics.items[n].mac));
    rh_buf_printf(&b, "%s %zu", role, i);
    rh_sha256_hex(b.data, b.length, hex);
    hex[12] = '8'; /* version 8: made by a rule of our own */
    hex[16] = "89ab"[strtoul((char[2]){hex[16], 0}, NULL, 16) & 3];
    snprintf(ret_uuid, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
             hex + 16, hex + 20);
}

static bool valid_uuid(const char *text)
{
    bool zero = true;

    if (strlen(text) != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
        zero = zero && (dash || text[i] == '0');
    }
    return !zero;
}

bool rh_vm_uuid(const struct rh_vm *vm, char ret_uuid[37])
{
    const char *text = rh_text_of(&vm->uuid);

    if (!valid_uuid(text)) {
        rh_vm_made_up_uuid(vm, "VM", 0, ret_uuid);
        return true;
    }
    for (size_t i = 0; i < 37; i++)
        ret_uuid[i] = (char)tolower((unsigned char)text[i]);
    return false;
}

void rh_uuid_swap(const char *uuid, char ret_uuid[37])
{
    static const unsigned char from[] = {6,  7, 4,  5,  2,  3,  0,  1,  8, 11,
                                         12, 9, 10, 13, 16, 17, 14, 15, 18};

    for (size_t i = 0; i < 37; i++)
        ret_uuid[i] = uuid[i < sizeof from ? from[i] : i];
}

enum rh_uuid_seen rh_vm_uuid_seen(const struct rh_vm *vm)
{
    char own[37], swapped[37];

    if (!vm->seen_uuid || !valid_uuid(vm->seen_uuid))
        return RH_UUID_UNSEEN;
    if (rh_vm_uuid(vm, own) || !strcasecmp(own, vm->seen_uuid))
        return RH_UUID_SAME;
    rh_uuid_swap(vm->seen_uuid, swapped);
    return strcasecmp(own, swapped) ? RH_UUID_OTHER : RH_UUID_FITS;
}

bool rh_vm_smbios_uuid(const struct rh_vm *vm, enum rh_uuid_order order,
                       char ret_uuid[37])
{
    enum rh_uuid_seen seen = rh_vm_uuid_seen(vm);

    if (vm->uuid.from == RH_FROM_SET || seen == RH_UUID_UNSEEN ||
        seen == RH_UUID_OTHER)
        return rh_vm_uuid(vm, ret_uuid);
    if (order == RH_UUID_SWAPPED)
        snprintf(ret_uuid, 37, "%s", vm->seen_uuid);
    else
        rh_uuid_swap(vm->seen_uuid, ret_uuid);
    return false;
}
