/* writer.c - opening a disk for writing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "formats/format.h"

struct rh_writer *rh_writer_open(const char *format, struct rh_out *out,
                                 const struct rh_create_options *o,
                                 rh_error **err)
{
    const struct rh_format *f = rh_format_named(format);
    struct rh_writer *w;

    if (!f || !f->writer) {
        rh_fail(err, RH_ERR_USAGE, "\"%s\" is no format to write", format);
        rh_hint(err, "use qcow2, raw or vhd");
        return NULL;
    }
    w = rh_new0(struct rh_writer);
    w->format = f;
    w->lib = o->lib;
    w->out = out;
    w->size = o->size;
    if (f->writer->create(w, o, err) == 0)
        return w;
    rh_error_subject(err, out->name);
    free(w);
    return NULL;
}

void rh_writer_close(struct rh_writer *w)
{
    if (!w)
        return;
    if (w->format->writer->close)
        w->format->writer->close(w);
    free(w);
}
