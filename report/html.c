/* html.c - a report document as one self-contained page. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "report/render.h"

static void escape(struct rh_buf *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        const char *entity = *p == '<'   ? "&lt;"
                             : *p == '>' ? "&gt;"
                             : *p == '&' ? "&amp;"
                             : *p == '"' ? "&quot;"
                                         : NULL;

        if (entity)
            rh_buf_puts(b, entity);
        else
            rh_buf_putc(b, *p);
    }
}

char *rh_render_html(const json_t *report, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_render_text(report, err);
    struct rh_buf b = {0};

    if (!text)
        return NULL;
    rh_buf_printf(&b,
                  "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>"
                  "<meta charset=\"utf-8\"><title>%s</title></head>\n<body>"
                  "<h1>%s</h1>\n<pre>",
                  _("en"), _("rehost report"), _("rehost report"));
    escape(&b, text);
    rh_buf_puts(&b, "</pre>\n</body>\n</html>\n");
    return rh_buf_take(&b);
}
