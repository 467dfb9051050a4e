/* rpc.c - values of XML-RPC, as ova.xml is made of. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets/xcp-ng/rpc.h"

#include <stdio.h>
#include <string.h>

void rh_rpc_ref(size_t id, char ret[RPC_REF])
{
    snprintf(ret, RPC_REF, "Ref:%03zu", id % 1000000);
}

/* U+FFFE and U+FFFF are no characters of XML. */
static bool no_character(const char *p)
{
    return !strncmp(p, "\xef\xbf\xbe", 3) || !strncmp(p, "\xef\xbf\xbf", 3);
}

static void add_escaped(struct rh_buf *b, const char *text)
{
    for (; *text; text++) {
        if (no_character(text)) {
            rh_buf_putc(b, '?');
            text += 2;
            continue;
        }
        switch (*text) {
        case '&':
            rh_buf_puts(b, "&amp;");
            break;
        case '<':
            rh_buf_puts(b, "&lt;");
            break;
        case '>':
            rh_buf_puts(b, "&gt;");
            break;
        default:
            rh_buf_putc(b, *text);
        }
    }
}

void rh_rpc_open_member(struct rh_buf *b, const char *name)
{
    rh_buf_puts(b, "<member><name>");
    add_escaped(b, name);
    rh_buf_puts(b, "</name><value>");
}

void rh_rpc_close_member(struct rh_buf *b)
{
    rh_buf_puts(b, "</value></member>");
}

void rh_rpc_text(struct rh_buf *b, const char *name, const char *value)
{
    rh_rpc_open_member(b, name);
    add_escaped(b, value);
    rh_rpc_close_member(b);
}

void rh_rpc_number(struct rh_buf *b, const char *name, uint64_t value)
{
    rh_rpc_open_member(b, name);
    rh_buf_printf(b, "%llu", (unsigned long long)value);
    rh_rpc_close_member(b);
}

void rh_rpc_boolean(struct rh_buf *b, const char *name, bool value)
{
    rh_rpc_open_member(b, name);
    rh_buf_printf(b, "<boolean>%d</boolean>", value);
    rh_rpc_close_member(b);
}

void rh_rpc_date(struct rh_buf *b, const char *name)
{
    rh_rpc_open_member(b, name);
    rh_buf_puts(b, "<dateTime.iso8601>19700101T00:00:00Z</dateTime.iso8601>");
    rh_rpc_close_member(b);
}

void rh_rpc_open_map(struct rh_buf *b, const char *name)
{
    rh_rpc_open_member(b, name);
    rh_buf_puts(b, "<struct>");
}

void rh_rpc_close_map(struct rh_buf *b)
{
    rh_buf_puts(b, "</struct>");
    rh_rpc_close_member(b);
}

void rh_rpc_open_set(struct rh_buf *b, const char *name)
{
    rh_rpc_open_member(b, name);
    rh_buf_puts(b, "<array><data>");
}

void rh_rpc_set_text(struct rh_buf *b, const char *value)
{
    rh_buf_puts(b, "<value>");
    add_escaped(b, value);
    rh_buf_puts(b, "</value>");
}

void rh_rpc_close_set(struct rh_buf *b)
{
    rh_buf_puts(b, "</data></array>");
    rh_rpc_close_member(b);
}

void rh_rpc_set(struct rh_buf *b, const char *name, size_t first, size_t end)
{
    char id[RPC_REF];

    rh_rpc_open_set(b, name);
    for (; first < end; first++) {
        rh_rpc_ref(first, id);
        rh_rpc_set_text(b, id);
    }
    rh_rpc_close_set(b);
}

void rh_rpc_empties(struct rh_buf *b, enum rh_rpc_empty kind, const char *names)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(names);
    char *at = NULL;

    for (char *name = strtok_r(copy, " ", &at); name;
         name = strtok_r(NULL, " ", &at)) {
        switch (kind) {
        case RPC_TEXT:
            rh_rpc_text(b, name, "");
            break;
        case RPC_MAP:
            rh_rpc_open_map(b, name);
            rh_rpc_close_map(b);
            break;
        case RPC_SET:
            rh_rpc_set(b, name, 0, 0);
            break;
        case RPC_NULL_REF:
            rh_rpc_text(b, name, RH_RPC_NOTHING);
            break;
        case RPC_NO:
            rh_rpc_boolean(b, name, false);
            break;
        case RPC_ZERO:
            rh_rpc_number(b, name, 0);
            break;
        }
    }
}
