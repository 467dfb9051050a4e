/* broker.c - What a process without rights may say to the one that has them: a
 * message's words, the settings of a VM, LVM's settings, a document's tree;
 * what is noted of volumes.
 *
 * What passes must not reach beyond the VM: no setting that the host obeys, no
 * volume of others. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/local/broker.h"

static char own[] = "tank:vm-100-disk-0-0a1b2c3d";

static void check(const char *key, const char *value)
{
    if (!rh_pve_conf_allows(key, value))
        abort();
    if (strncmp(key, "description", 11) != 0 && value[0] == '-')
        abort();
    if (strncmp(key, "description", 11) != 0 && strchr(value, '\n'))
        abort();
    if (rh_pve_conf_is_disk(key) && strncmp(value, own, strlen(own)) != 0 &&
        strncmp(value, "tank:1", 6) != 0 && strncmp(value, "none,", 5) != 0)
        abort();
}

static void ask(char *bytes, size_t n)
{
    RH_AUTO(rh_freep)
    const char **words = rh_calloc(RH_WIRE_WORDS, sizeof *words);
    struct rh_node_vm v = {.storage = "tank"};
    size_t count;

    if (!rh_wire_split(bytes, n, words, &count) || count < 2)
        return;
    *rh_vec_add(&v.ids) = own;
    v.note = (char *)(uintptr_t)words[0];
    if (rh_broker_check_vm(&v, words + 1, count - 1, NULL) == 0)
        for (size_t i = 1; i + 1 < count; i += 2)
            check(words[i], words[i + 1]);
    free(v.ids.items);
    free(rh_node_lvm_lacks("zfspool", words[1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RH_AUTO(rh_freep) char *bytes = rh_memdup0(data, size);

    struct rh_staged staged = {.fd = -1, .folder = -1};
    RH_AUTO(rh_freep) char *text = rh_memdup0(data, size);

    ask(bytes, size);
    if (rh_staged_parse(&staged, "tank", text))
        for (size_t i = 0; i < staged.volumes.count; i++)
            if (staged.volumes.items[i].name &&
                strncmp(staged.volumes.items[i].name, "tank:vm-", 8) != 0)
                abort();
    rh_staged_close(&staged);
    json_decref(rh_local_json_tree(data, size));
    return 0;
}
