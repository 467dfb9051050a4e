/* render.c - a report document as text on a terminal. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/render.h"

#include <string.h>

#include "base/text.h"

static const char *word(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

static void finding_text(struct rh_buf *b, const json_t *f)
{
    const char *remedy = word(f, "remedy");

    rh_buf_printf(b, "    %-8s %-28s %s: %s\n", word(f, "severity"),
                  word(f, "id"), word(f, "subject"), word(f, "message"));
    if (remedy[0])
        rh_buf_printf(b, "             -> %s\n", remedy);
}

static void target_text(struct rh_buf *b, const json_t *t)
{
    RH_AUTO(rh_freep)
    char *size = rh_human_size(
        (uint64_t)json_integer_value(json_object_get(t, "output_bytes")));
    const json_t *item;
    size_t i;

    rh_buf_printf(b, _("  to %s: %s (%s); about %s, %lld s\n"),
                  word(t, "target"), word(t, "verdict"), word(t, "effort"),
                  size,
                  (long long)json_integer_value(json_object_get(t, "seconds")));
    json_array_foreach (json_object_get(t, "findings"), i, item)
        finding_text(b, item);
    json_array_foreach (json_object_get(t, "edits"), i, item)
        rh_buf_printf(b, _("    edit     %s: %s\n"), word(item, "where"),
                      word(item, "what"));
}

char *rh_render_text(const json_t *report, rh_error **err)
{
    struct rh_buf b = {0};
    const json_t *vm, *t;
    size_t i, n;

    (void)err;
    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        rh_buf_printf(&b, "%s (%s)\n", word(json_object_get(vm, "vm"), "name"),
                      word(vm, "source"));
        json_array_foreach (json_object_get(vm, "targets"), n, t)
            target_text(&b, t);
    }
    json_array_foreach (json_object_get(report, "failed"), i, vm) {
        const json_t *e = json_object_get(vm, "error");

        rh_buf_printf(&b, _("%s: refused: %s [%s]\n"), word(vm, "source"),
                      word(e, "message"), word(e, "code"));
    }
    return rh_buf_take(&b);
}
