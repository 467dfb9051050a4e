/* acli.c - the text of `acli vm.get NAME`: nested blocks, `key: value`, a
 * repeated block is a list. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/fill.h"

enum { DEPTH = 32 };

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && isspace((unsigned char)*p))
        p++;
    return p;
}

bool rh_fill_is_acli(const char *text)
{
    size_t n;

    text += strspn(text, " \t\r\n");
    n = strcspn(text, "\r\n");
    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    return n > 2 && text[n - 1] == '{' && text[0] != '{' && text[0] != '[';
}

/* A second value under one key makes a list of both. */
static void add(json_t *o, const char *key, json_t *value)
{
    json_t *old = json_object_get(o, key);

    if (!old) {
        json_object_set_new(o, key, value);
    } else if (json_is_array(old)) {
        json_array_append_new(old, value);
    } else {
        json_t *list = json_pack("[O]", old);

        json_array_append_new(list, value);
        json_object_set_new(o, key, list);
    }
}

/* The value of `key: value`: text in quotes, True, False, or a bare word. */
static json_t *value_of(const char *p, size_t n)
{
    RH_AUTO(rh_freep) char *text = NULL;
    uint64_t number;

    while (n && isspace((unsigned char)p[n - 1]))
        n--;
    if (n >= 2 && p[0] == '"' && p[n - 1] == '"') {
        text = rh_strndup(p + 1, n - 2);
        return json_string(rh_valid_utf8(text, strlen(text)) ? text : "?");
    }
    text = rh_strndup(p, n);
    if (rh_same_word(text, "True") || rh_same_word(text, "False"))
        return json_boolean(rh_same_word(text, "True"));
    if (rh_parse_u64(text, &number) && number <= INT64_MAX)
        return json_integer((json_int_t)number);
    return json_string(rh_valid_utf8(text, strlen(text)) ? text : "?");
}

struct acli {
    json_t *stack[DEPTH];
    unsigned depth;
    size_t line;
};

static int open_block(struct acli *a, const char *p, size_t n, rh_error **err)
{
    RH_AUTO(rh_freep) char *key = NULL;
    json_t *block = json_object();

    while (n && (isspace((unsigned char)p[n - 1]) || p[n - 1] == ':'))
        n--;
    key = rh_strndup(p, n);
    if (!rh_valid_utf8(key, strlen(key)) || a->depth + 1 >= DEPTH) {
        json_decref(block);
        return rh_fail(err, RH_ERR_FILL_SYNTAX,
                       "line %zu: blocks nest too deeply, or bytes that are "
                       "not UTF-8",
                       a->line);
    }
    add(a->stack[a->depth], key, block);
    a->stack[++a->depth] = block;
    return 0;
}

static int read_line(struct acli *a, const char *p, size_t n, rh_error **err)
{
    const char *colon;

    while (n && isspace((unsigned char)p[n - 1]))
        n--;
    if (!n)
        return 0;
    if (n == 1 && p[0] == '}') {
        if (!a->depth)
            return rh_fail(err, RH_ERR_FILL_SYNTAX,
                           "line %zu: a block ends that never began", a->line);
        a->depth--;
        return 0;
    }
    if (p[n - 1] == '{')
        return open_block(a, p, n - 1, err);
    if (!a->depth)
        return 0; /* a prompt, or a command that was typed */
    colon = memchr(p, ':', n);
    if (!colon || colon == p)
        return rh_fail(err, RH_ERR_FILL_SYNTAX,
                       "line %zu: neither \"key: value\" nor a block", a->line);
    RH_AUTO(rh_freep) char *key = rh_strndup(p, (size_t)(colon - p));
    const char *value = skip_space(colon + 1, p + n);

    if (rh_valid_utf8(key, strlen(key)))
        add(a->stack[a->depth], key, value_of(value, (size_t)(p + n - value)));
    return 0;
}

static int read_lines(struct acli *a, const char *text, size_t n,
                      rh_error **err)
{
    const char *end = text + n;

    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const char *from;

        stop = stop ? stop : end;
        from = skip_space(text, stop);
        if (++a->line > RH_LIMIT_ITEMS)
            return rh_fail(err, RH_ERR_FILL_LIMIT, "more than %d lines",
                           RH_LIMIT_ITEMS);
        if (read_line(a, from, (size_t)(stop - from), err))
            return -1;
        text = stop + 1;
    }
    if (a->depth)
        return rh_fail(err, RH_ERR_FILL_SYNTAX,
                       "the text ends within a block; it was cut short");
    return 0;
}

static void decref(json_t **j)
{
    json_decref(*j);
}

int rh_fill_acli(struct rh_fill *f, const char *text, size_t n, rh_error **err)
{
    RH_AUTO(decref) json_t *top = json_object();
    struct acli a = {.stack = {top}};
    const char *name;
    json_t *vm;

    if (read_lines(&a, text, n, err))
        return -1;
    f->kind = "acli";
    json_object_foreach (top, name, vm) {
        /* One name with several blocks: several VMs of one name. */
        size_t count = json_is_array(vm) ? json_array_size(vm) : 1;

        for (size_t i = 0; i < count; i++) {
            if (rh_fill_acli_vm(f, name,
                                json_is_array(vm) ? json_array_get(vm, i) : vm,
                                err))
                return -1;
        }
    }
    if (!f->vms.count)
        return rh_fail(err, RH_ERR_FILL_KIND, "no VM is described");
    return 0;
}
