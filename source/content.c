/* content.c - what bytes are, by the first of them and never by a name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "package/archive.h"
#include "package/tar.h"
#include "source/source.h"

/* By the head alone, as long as the rest has not come. */
static bool is_disk(const struct rh_head *h)
{
    for (size_t i = 0; rh_format_at(i); i++)
        if (rh_format_at(i)->probe &&
            rh_format_at(i)->probe(h->bytes, h->n, NULL, INT64_MAX))
            return true;
    return false;
}

enum rh_content rh_content_of(const struct rh_head *h,
                              const struct rh_descriptor **ret_descriptor)
{
    const struct rh_descriptor *d;

    if (h->n >= RH_TAR_BLOCK && rh_tar_probe(h->bytes))
        return RH_CONTENT_TAR; /* one of any use starts with a header */
    if (rh_zip_probe(h->bytes, h->n))
        return RH_CONTENT_ZIP;
    if (is_disk(h))
        return RH_CONTENT_DISK;
    d = rh_descriptor_of((const char *)h->bytes, h->n);
    if (ret_descriptor)
        *ret_descriptor = d;
    return d ? RH_CONTENT_DESCRIPTOR : RH_CONTENT_UNKNOWN;
}

int rh_head_read(struct rh_io *io, struct rh_head *ret, rh_error **err)
{
    ret->n = (size_t)RH_MIN(io->size, (uint64_t)RH_HEAD);
    ret->bytes[ret->n] = 0;
    return rh_io_read(io, ret->bytes, ret->n, 0, err);
}

struct rh_stream *rh_head_peek(struct rh_stream *s, struct rh_head *ret,
                               rh_error **err)
{
    size_t got = 1;

    for (ret->n = 0; got && ret->n < RH_HEAD; ret->n += got)
        if (rh_stream_read(s, ret->bytes + ret->n, RH_HEAD - ret->n, &got,
                           err) < 0) {
            rh_stream_close(s);
            return NULL;
        }
    ret->bytes[ret->n] = 0;
    return rh_stream_prefix(ret->bytes, ret->n, s);
}

static bool is_web_page(const struct rh_head *h)
{
    const char *text = (const char *)h->bytes;

    return strcasestr(text, "<!doctype html") || strcasestr(text, "<html");
}

int rh_content_refuse(const char *name, const struct rh_head *h, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *head = rh_io_memory(h->bytes, h->n, name);
    const char *foreign = rh_format_foreign(head);

    if (is_web_page(h)) {
        rh_fail(err, RH_ERR_PACKAGE_UNKNOWN, "it is a web page, not a package");
        rh_hint(err, "log in, and download the file again");
    } else if (foreign) {
        rh_fail(err, RH_ERR_DISK_UNSUPPORTED,
                "this is %s, no disk that is read", foreign);
        rh_hint(err, "make a disk of it first (qemu-img convert -O qcow2 for "
                     "disk images), then give that");
    } else {
        rh_fail(err, RH_ERR_PACKAGE_UNKNOWN,
                !h->n ? N_("it is empty")
                : rh_all_zero(h->bytes, h->n)
                    ? N_("it starts with nothing but zeros")
                    : N_("its first bytes are no package and no disk that is "
                         "known"));
    }
    return rh_error_subject(err, name);
}
