/* markup.c - tags, attributes, escaped text. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/markup.h"

#include <string.h>

#include "base/text.h"

static void escaped(struct rh_buf *b, const char *text)
{
    RH_AUTO(rh_freep) char *printable = rh_printable(text);

    for (const char *p = printable; *p; p++) {
        const char *entity = *p == '<'    ? "&lt;"
                             : *p == '>'  ? "&gt;"
                             : *p == '&'  ? "&amp;"
                             : *p == '"'  ? "&quot;"
                             : *p == '\'' ? "&#39;"
                                          : NULL;

        if (entity)
            rh_buf_puts(b, entity);
        else
            rh_buf_putc(b, *p);
    }
}

void rh_tag(struct rh_buf *b, const char *name, ...)
{
    const char *attribute;
    va_list ap;

    rh_buf_printf(b, "<%s", name);
    va_start(ap, name);
    while ((attribute = va_arg(ap, const char *))) {
        const char *value = va_arg(ap, const char *);

        if (!value)
            continue;
        rh_buf_printf(b, " %s=\"", attribute);
        escaped(b, value);
        rh_buf_putc(b, '"');
    }
    va_end(ap);
    rh_buf_putc(b, '>');
}

void rh_end(struct rh_buf *b, const char *name)
{
    rh_buf_printf(b, "</%s>\n", name);
}

void rh_text(struct rh_buf *b, const char *text)
{
    if (text)
        escaped(b, text);
}

void rh_textf(struct rh_buf *b, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    escaped(b, text);
}

void rh_leaf(struct rh_buf *b, const char *name, const char *class_,
             const char *text)
{
    rh_tag(b, name, "class", class_, NULL);
    rh_text(b, text);
    rh_end(b, name);
}

void rh_leaff(struct rh_buf *b, const char *name, const char *class_,
              const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    rh_leaf(b, name, class_, text);
}
