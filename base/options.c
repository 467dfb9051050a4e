/* options.c - a list of names and values. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/options.h"

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

void rh_options_put(rh_options *o, const char *key, const char *value)
{
    struct rh_option *item = rh_vec_add(&o->list);

    item->key = rh_strdup(key);
    item->value = rh_strdup(value ? value : "");
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

static int check_word(const rh_options *o, const struct rh_option_row *row,
                      enum rh_error_id id, rh_error **err)
{
    const char *value = rh_option(o, row->name);
    RH_AUTO(rh_buf_free) struct rh_buf all = {0};

    if (!value)
        return 0;
    for (size_t i = 0; row->words[i]; i++) {
        if (!strcmp(row->words[i], value))
            return 0;
        rh_buf_printf(&all, "%s%s", i ? ", " : "", row->words[i]);
    }
    rh_fail(err, id, "--%s cannot be \"%s\"", row->name, value);
    return rh_hint(err, "use one of: %s", all.data);
}

int rh_options_check_words(const rh_options *o,
                           const struct rh_option_row *table,
                           enum rh_error_id id, rh_error **err)
{
    for (; table && table->name; table++)
        if (table->words && check_word(o, table, id, err) < 0)
            return -1;
    return 0;
}

/* Up to the last "=" before a comma's "tag=". */
static size_t from_of(const char *map)
{
    const char *tag = strstr(map, ",tag="), *p = map;
    const char *end = tag ? tag : map + strlen(map);
    size_t n = 0;

    for (; p < end; p++)
        if (*p == '=')
            n = (size_t)(p - map);
    return n;
}

int rh_options_check_maps(const rh_options *o, const char *key,
                          enum rh_error_id id, rh_error **err)
{
    const char *one, *other;

    for (size_t i = 0; (one = rh_option_at(o, key, i)); i++)
        for (size_t k = 0; k < i && (other = rh_option_at(o, key, k)); k++) {
            size_t n = from_of(one);

            if (n != from_of(other) || strncmp(one, other, n) ||
                !strcmp(one, other))
                continue;
            rh_fail(err, id, "--%s says of \"%.*s\" both \"%s\" and \"%s\"",
                    key, (int)RH_MIN(n, (size_t)80), one, other + n + 1,
                    one + n + 1);
            return rh_hint(err, "name it once");
        }
    return 0;
}
