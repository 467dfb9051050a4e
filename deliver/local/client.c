/* client.c - calls of the process that has no rights. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/local/broker.h"

static rh_lib *with_broker(rh_lib *lib)
{
    while (lib && !lib->broker)
        lib = lib->of;
    return lib;
}

bool rh_broker_is_there(const rh_lib *lib)
{
    return with_broker((rh_lib *)(uintptr_t)lib) != NULL;
}

/* What it says of an error is its own text. */
static int refused(const struct rh_wire *m, rh_error **err)
{
    uint64_t id;

    if (m->count != 4 || !rh_parse_u64(m->words[1], &id) || id == 0 ||
        id >= RH_ERR_COUNT)
        return rh_fail(err, RH_ERR_BUG, "the answer is none");
    rh_fail(err, (enum rh_error_id)id, "%s", m->words[2]);
    return m->words[3][0] ? rh_hint(err, "%s", m->words[3]) : -1;
}

/* An answer that nobody waited for (a cancel) may come before ours. */
static int hear(rh_lib *lib, int socket, const char *number,
                struct rh_wire *ret, rh_error **err)
{
    int got;

    while ((got = rh_wire_receive(lib, socket, ret, err)) == 1) {
        if (ret->count >= 2 && !strcmp(ret->words[0], number))
            return 0;
        rh_wire_free(ret);
    }
    return got < 0 ? -1
                   : rh_fail(err, RH_ERR_DELIVERY_FAILED,
                             "the process that runs the node's programs is "
                             "gone");
}

/* `words` begin with two free places.  The answer's words from the third on are
 * the call's, `count` of them. */
static int ask(rh_lib *lib, bool cancellable, const char **words, size_t n,
               size_t count, struct rh_wire *ret, rh_error **err)
{
    rh_lib *at = with_broker(lib);
    RH_AUTO(rh_freep)
    char *number = rh_printf("%u", at ? ++at->broker_calls : 0);

    *ret = (struct rh_wire){.fd = -1};
    if (!at)
        return rh_fail(err, RH_ERR_BUG, "there is no broker");
    words[0] = number;
    if (rh_wire_send(cancellable ? lib : NULL, at->broker, words, n, -1, err) <
            0 ||
        hear(cancellable ? lib : NULL, at->broker, number, ret, err) < 0)
        return -1;
    if (strcmp(ret->words[1], "ok"))
        return refused(ret, err);
    return ret->count == count + 2
               ? 0
               : rh_fail(err, RH_ERR_BUG, "the answer is none");
}

#define RH_AUTO_WIRE RH_AUTO(rh_wire_free) struct rh_wire

int rh_broker_look(rh_lib *lib, const char *vmid, struct rh_node_facts *ret,
                   rh_error **err)
{
    const char *words[] = {NULL, "look", vmid ? vmid : ""};
    RH_AUTO_WIRE m = {.fd = -1};

    if (ask(lib, true, words, RH_COUNT(words), 7, &m, err) < 0)
        return -1;
    *ret = (struct rh_node_facts){.type = rh_strdup(m.words[2]),
                                  .thick = m.words[3][0] == '1',
                                  .files = m.words[4][0] == '1',
                                  .vmid = rh_strdup(m.words[6]),
                                  .taken = m.words[7][0] == '1',
                                  .lvm = rh_strdup(m.words[8])};
    rh_parse_u64(m.words[5], &ret->room);
    return 0;
}

int rh_broker_begin(rh_lib *lib, const char *name, const char *vmid,
                    const char *mark, char **ret_vmid, rh_error **err)
{
    const char *words[] = {NULL, "begin", name, vmid ? vmid : "",
                           mark ? mark : ""};
    RH_AUTO_WIRE m = {.fd = -1};

    if (ask(lib, true, words, RH_COUNT(words), 1, &m, err) < 0)
        return -1;
    *ret_vmid = rh_strdup(m.words[2]);
    return 0;
}

int rh_broker_alloc(rh_lib *lib, uint64_t size, char **ret_volume, int *ret_fd,
                    rh_error **err)
{
    RH_AUTO(rh_freep) char *bytes = rh_printf("%llu", (unsigned long long)size);
    const char *words[] = {NULL, "alloc", bytes};
    RH_AUTO_WIRE m = {.fd = -1};

    if (ask(lib, true, words, RH_COUNT(words), 1, &m, err) < 0)
        return -1;
    if (m.fd < 0)
        return rh_fail(err, RH_ERR_BUG, "no volume came");
    *ret_volume = rh_strdup(m.words[2]);
    *ret_fd = m.fd;
    m.fd = -1;
    return 0;
}

int rh_broker_create(rh_lib *lib, const char *note, const json_t *params,
                     rh_error **err)
{
    RH_AUTO(rh_freep)
    const char **words =
        rh_calloc(2 * json_object_size(params) + 3, sizeof *words);
    RH_AUTO_WIRE m = {.fd = -1};
    size_t n = 3;
    const char *key;
    json_t *value;

    words[1] = "create";
    words[2] = note;
    json_object_foreach ((json_t *)(uintptr_t)params, key, value) {
        words[n++] = key;
        words[n++] = json_string_value(value);
    }
    return ask(lib, true, words, n, 0, &m, err);
}

static int ask_plainly(rh_lib *lib, bool cancellable, const char *what,
                       rh_error **err)
{
    const char *words[] = {NULL, what};
    RH_AUTO_WIRE m = {.fd = -1};

    return ask(lib, cancellable, words, RH_COUNT(words), 0, &m, err);
}

int rh_broker_keep(rh_lib *lib, rh_error **err)
{
    return ask_plainly(lib, false, "keep", err);
}

int rh_broker_drop(rh_lib *lib, rh_error **err)
{
    return ask_plainly(lib, false, "drop", err);
}

int rh_broker_find(rh_lib *lib, const char *name, const char *mark, bool start,
                   char **ret_vmid, rh_error **err)
{
    const char *words[] = {NULL, "find", name, mark, start ? "1" : "0"};
    RH_AUTO_WIRE m = {.fd = -1};

    if (ask(lib, true, words, RH_COUNT(words), 1, &m, err) < 0)
        return -1;
    *ret_vmid = m.words[2][0] ? rh_strdup(m.words[2]) : NULL;
    return 0;
}

int rh_broker_stage(rh_lib *lib, const char *mark, const char *vmid,
                    struct rh_staged_facts *ret, rh_error **err)
{
    const char *words[] = {NULL, "stage-open", mark, vmid ? vmid : ""};
    RH_AUTO_WIRE m = {.fd = -1};

    if (ask(lib, true, words, RH_COUNT(words), 3, &m, err) < 0)
        return -1;
    *ret = (struct rh_staged_facts){.vmid = rh_strdup(m.words[2]),
                                    .thin = !strcmp(m.words[3], "lvmthin"),
                                    .thick = m.words[4][0] == '1'};
    return 0;
}

/* *ret_fd -1: there is none. */
static int ask_volume(rh_lib *lib, const char **words, char **ret_word,
                      int *ret_fd, rh_error **err)
{
    RH_AUTO_WIRE m = {.fd = -1};
    bool there;

    if (ask(lib, true, words, 4, 3, &m, err) < 0)
        return -1;
    there = m.words[2][0] == '1';
    if (there != (m.fd >= 0))
        return rh_fail(err, RH_ERR_BUG, "no volume came");
    if (ret_word)
        *ret_word = there ? rh_strdup(m.words[3]) : NULL;
    *ret_fd = m.fd;
    m.fd = -1;
    return 0;
}

int rh_broker_make(rh_lib *lib, size_t i, uint64_t size, char **ret_name,
                   int *ret_fd, rh_error **err)
{
    RH_AUTO(rh_freep) char *disk = rh_printf("%zu", i);
    RH_AUTO(rh_freep) char *bytes = rh_printf("%llu", (unsigned long long)size);
    const char *words[] = {NULL, "stage-make", disk, bytes};

    return ask_volume(lib, words, ret_name, ret_fd, err);
}

int rh_broker_use(rh_lib *lib, const char *name, uint64_t size, char **ret_id,
                  int *ret_fd, rh_error **err)
{
    RH_AUTO(rh_freep) char *bytes = rh_printf("%llu", (unsigned long long)size);
    const char *words[] = {NULL, "stage-use", name, bytes};

    return ask_volume(lib, words, ret_id, ret_fd, err);
}

int rh_broker_unstage(rh_lib *lib, const char *mark, rh_error **err)
{
    const char *words[] = {NULL, "stage-drop", mark};
    RH_AUTO_WIRE m = {.fd = -1};

    return ask(lib, true, words, RH_COUNT(words), 0, &m, err);
}

int rh_broker_start(rh_lib *lib, rh_error **err)
{
    return ask_plainly(lib, true, "start", err);
}

int rh_broker_addresses(rh_lib *lib, json_t *list, rh_error **err)
{
    const char *words[] = {NULL, "addresses"};
    RH_AUTO_WIRE m = {.fd = -1};
    json_t *found, *one;
    size_t i;

    if (ask(lib, true, words, RH_COUNT(words), 1, &m, err) < 0)
        return -1;
    found = json_loads(m.words[2], 0, NULL);
    json_array_foreach (found, i, one)
        rh_address_add(list,
                       json_string_value(one) ? json_string_value(one) : "");
    json_decref(found);
    return 0;
}
