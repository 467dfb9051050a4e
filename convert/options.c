/* options.c - a list of names and values, and the kinds of value in it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/options.h"

#include <stdlib.h>
#include <string.h>

#include "rehost/rehost.h"

rh_options *rh_options_new(void)
{
    return rh_new0(rh_options);
}

void rh_options_free(rh_options *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->list.count; i++) {
        free(o->list.items[i].key);
        free(o->list.items[i].value);
    }
    free(o->list.items);
    free(o);
}

/* Every name that some call understands. */
static const char *const known[] = {
    "cluster-size", "compress",       "configuration", "devices",  "drivers",
    "fill",         "format",         "guest",         "key",      "name",
    "need",         "network-map",    "no-guest-fix",  "no-guest", "out",
    "overwrite",    "screenshot",     "set",           "sr",       "storage",
    "strict",       "target-version", "timeout",       "to",       "vm",
    "vmid",         "xva-sum",
};

int rh_options_add(rh_options *o, const char *key, const char *value,
                   rh_error **err)
{
    for (size_t i = 0; i < RH_COUNT(known); i++) {
        if (strcmp(known[i], key))
            continue;
        struct rh_option *item = rh_vec_add(&o->list);

        item->key = rh_strdup(key);
        item->value = rh_strdup(value ? value : "");
        return 0;
    }
    return rh_fail(err, RH_ERR_USAGE, "there is no option \"%s\"", key);
}

const char *rh_option(const rh_options *o, const char *key)
{
    for (size_t i = o ? o->list.count : 0; i > 0; i--)
        if (!strcmp(o->list.items[i - 1].key, key))
            return o->list.items[i - 1].value;
    return NULL;
}

const char *rh_option_at(const rh_options *o, const char *key, size_t i)
{
    for (size_t n = 0; o && n < o->list.count; n++)
        if (!strcmp(o->list.items[n].key, key) && i-- == 0)
            return o->list.items[n].value;
    return NULL;
}

bool rh_option_yes(const rh_options *o, const char *key)
{
    const char *value = rh_option(o, key);
    bool yes = true;

    if (!value)
        return false;
    return !value[0] || !rh_parse_bool(value, &yes) || yes;
}

int rh_option_compress(const rh_options *o, enum rh_compress *ret,
                       rh_error **err)
{
    static const char *const words[] = {"none", "zlib", "zstd", "keep"};
    const char *value = rh_option(o, "compress");

    if (!value) {
        *ret = RH_COMPRESS_NONE;
        return 0;
    }
    for (size_t i = 0; i < RH_COUNT(words); i++)
        if (!strcmp(words[i], value)) {
            *ret = (enum rh_compress)i;
            return 0;
        }
    rh_fail(err, RH_ERR_USAGE, "--compress cannot be \"%s\"", value);
    return rh_hint(err, "use none, zlib, zstd or keep");
}

int rh_option_cluster(const rh_options *o, uint32_t *ret, rh_error **err)
{
    const char *value = rh_option(o, "cluster-size");
    uint64_t n;

    *ret = 0;
    if (!value)
        return 0;
    if (!rh_parse_size(value, &n) || n < 4096 || n > 2097152 ||
        !rh_power_of_two(n))
        return rh_fail(err, RH_ERR_DISK_CLUSTER_SIZE,
                       "--cluster-size cannot be \"%s\"", value);
    *ret = (uint32_t)n;
    return 0;
}
