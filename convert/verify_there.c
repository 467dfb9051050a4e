/* verify_there.c - is what stands in the pool still what the receipt says?
 *
 * The receipt's last delivery to that URL names the disks there; each is read
 * once, in order, and has the receipt's content digest or not.  With the source
 * each byte outside the guest's edits, which the receipt names, is compared
 * with it on the way. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/limits.h"
#include "convert/copy/copy.h"
#include "convert/documents.h"
#include "convert/job.h"
#include "convert/verify.h"
#include "deliver/push.h"
#include "deliver/result.h"
#include "rehost/rehost.h"

static const json_t *last_delivery(const json_t *receipt, const char *url)
{
    const json_t *list = json_object_get(receipt, "delivery");

    for (size_t i = json_array_size(list); i > 0; i--) {
        const json_t *one = json_array_get(list, i - 1);
        const char *there = json_string_value(json_object_get(one, "url"));

        if (there && !strcmp(there, url))
            return one;
    }
    return NULL;
}

/* One disk on its way here. */
struct coming {
    rh_lib *lib;
    struct rh_content *content;
    struct rh_reader *source; /* NULL: not compared */
    struct rh_codec *codec;
    uint8_t *expected; /* RH_MIB bytes of it */
    const json_t *changed;
    size_t run;    /* of the changed ones: those before it lie behind */
    uint64_t at;   /* bytes that came so far */
    uint64_t size; /* of the disk; what comes behind is padding there */
    uint64_t edited;
};

static void run_of(const struct coming *c, size_t i, uint64_t *ret_start,
                   uint64_t *ret_end)
{
    const json_t *run = json_array_get(c->changed, i);
    uint64_t start = (uint64_t)json_integer_value(json_array_get(run, 0));

    *ret_start = start;
    *ret_end = start + (uint64_t)json_integer_value(json_array_get(run, 1));
}

/* In ascending order, within the disk. */
static int check_runs(const struct coming *c, rh_error **err)
{
    uint64_t start, end, before = 0;

    for (size_t i = 0; i < json_array_size(c->changed); i++) {
        run_of(c, i, &start, &end);
        if (start < before || end < start || end > c->size)
            return rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                           "a changed run lies outside the disk");
        before = end;
    }
    return 0;
}

/* What was edited may be anything: it is in the content digest. */
static void leave_edits(struct coming *c, const uint8_t *bytes, size_t n)
{
    uint64_t start, end;

    for (; c->run < json_array_size(c->changed); c->run++) {
        run_of(c, c->run, &start, &end);
        if (start >= c->at + n)
            return;
        start = RH_MAX(start, c->at);
        if (start < RH_MIN(end, c->at + n)) {
            size_t length = (size_t)(RH_MIN(end, c->at + n) - start);

            memcpy(c->expected + (start - c->at), bytes + (start - c->at),
                   length);
            c->edited += length;
        }
        if (end > c->at + n)
            return;
    }
}

static int compare(struct coming *c, const uint8_t *bytes, size_t n,
                   rh_error **err)
{
    size_t within = c->at >= c->source->size
                        ? 0
                        : (size_t)RH_MIN((uint64_t)n, c->source->size - c->at);
    size_t i = 0;

    memset(c->expected, 0, n); /* what was added to round it up */
    if (within && rh_reader_read(c->source, c->codec, c->expected, within,
                                 c->at, err) < 0)
        return -1;
    leave_edits(c, bytes, n);
    if (memcmp(bytes, c->expected, n) == 0)
        return 0;
    while (bytes[i] == c->expected[i])
        i++;
    return rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                   "what stands there differs from the source at 0x%llx, where "
                   "nothing was to be changed",
                   (unsigned long long)(c->at + i));
}

static int take_bytes(void *user, const void *bytes, size_t n, rh_error **err)
{
    struct coming *c = user;
    const uint8_t *p = bytes;

    rh_content_add(c->content, bytes, n);
    while (n) {
        size_t piece = (size_t)RH_MIN((uint64_t)n, (uint64_t)RH_MIB);

        if (c->at < c->size)
            piece = (size_t)RH_MIN((uint64_t)piece, c->size - c->at);
        if (rh_go_on(c->lib, err) < 0 ||
            (c->source && c->at < c->size && compare(c, p, piece, err) < 0))
            return -1;
        c->at += piece;
        p += piece;
        n -= piece;
    }
    return 0;
}

static int read_disk(struct rh_server *s, const json_t *delivery, size_t i,
                     const json_t *disk, struct coming *c, rh_error **err)
{
    const char *digest =
        json_string_value(json_object_get(disk, "content_digest"));
    char hex[65];
    int failed;
    bool whole;

    c->content = rh_content_new(c->size);
    failed = s->kind->read_disk(s, delivery, i, take_bytes, c, err);
    whole = rh_content_end(c->content, hex);
    if (failed)
        return -1;
    return whole && strcmp(hex, digest) == 0
               ? 0
               : rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                         "disk %zu there is not what was sent", i);
}

/* `source` NULL: its content digest alone. */
static int verify_disk(struct rh_server *s, const json_t *delivery, size_t i,
                       const json_t *disk, struct rh_reader *source,
                       struct rh_buf *text, rh_error **err)
{
    json_int_t size = json_integer_value(json_object_get(disk, "virtual_size"));
    struct coming c = {.lib = s->lib,
                       .source = source,
                       .changed = json_object_get(disk, "changed"),
                       .size = (uint64_t)RH_MAX(size, 0)};
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) uint8_t *expected = source ? rh_malloc(RH_MIB) : NULL;

    if (!json_is_string(json_object_get(disk, "content_digest")) || size <= 0)
        return rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                       "the receipt has no content digest of disk %zu", i);
    if (source && source->size > c.size)
        return rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                       "disk %zu of the source is larger than what was sent",
                       i);
    c.codec = codec;
    c.expected = expected;
    if (check_runs(&c, err) < 0 || read_disk(s, delivery, i, disk, &c, err) < 0)
        return -1;
    if (source)
        rh_buf_printf(text,
                      _("disk %zu there: as the source, but for %llu bytes of "
                        "the guest's edits; content digest as in the "
                        "receipt\n"),
                      i, (unsigned long long)c.edited);
    else
        rh_buf_printf(
            text, _("disk %zu there: content digest as in the receipt\n"), i);
    return 0;
}

static int verify_all(struct rh_server *s, const json_t *receipt,
                      const struct rh_verify_sources *sources,
                      struct rh_buf *text, rh_error **err)
{
    const json_t *delivery = last_delivery(receipt, s->remote.text);
    const json_t *disk;
    size_t i;

    if (!s->kind->read_disk) {
        rh_fail(err, RH_ERR_UNAVAILABLE,
                "%s: gives nobody a disk to read, so that what stands there "
                "cannot be verified",
                s->kind->scheme);
        return rh_hint(err, "what was sent was checked by the server with its "
                            "SHA-256, and the VM's description holds the "
                            "receipt's digest");
    }
    if (!delivery) {
        rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                "the receipt tells of no delivery to %s", s->remote.text);
        return rh_hint(
            err, "give the URL as it was given to `rehost push`, or to --out");
    }
    json_array_foreach (json_object_get(receipt, "disks"), i, disk)
        if (verify_disk(s, delivery, i, disk,
                        sources ? sources->disks[i] : NULL, text, err) < 0)
            return -1;
    return 0;
}

int rh_push_verify(rh_push *p, const char *dir, char **ret_text, rh_error **err)
{
    json_t *receipt = rh_result_json(dir, "receipt.json", err);
    struct rh_buf text = {0};
    int failed =
        receipt ? verify_all(&p->server, receipt, NULL, &text, err) : -1;

    *ret_text = NULL;
    json_decref(receipt);
    if (!failed)
        *ret_text = rh_buf_take(&text);
    else
        rh_buf_free(&text);
    return failed ? rh_error_subject(err, dir) : 0;
}

/* --- by the source and a receipt alone
 * ------------------------------------------------- */

static json_t *read_receipt(const char *path, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, err);
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *doc;
    bool has_seal;
    size_t n;

    if (!io || rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return NULL;
    doc = rh_receipt_sealed(text, n, &has_seal) ? json_loadb(text, n, 0, NULL)
                                                : NULL;
    if (!doc) {
        rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                "it is no receipt, or its seal is broken");
        rh_error_subject(err, path);
    }
    return doc;
}

static int verify_source(struct rh_push *p, struct rh_package *package,
                         const json_t *receipt, struct rh_buf *text,
                         rh_error **err)
{
    struct rh_verify_sources sources = {0};
    int failed = rh_verify_sources(package, receipt, &sources, err);

    if (!failed)
        failed = verify_all(&p->server, receipt, &sources, text, err);
    if (!failed)
        failed = rh_package_verify(package, err);
    rh_verify_sources_free(&sources);
    if (!failed)
        rh_buf_puts(text, _("verified; the VM's configuration there was not "
                            "compared\n"));
    return failed;
}

int rh_push_verify_source(rh_push *p, const char *source, const char *receipt,
                          const rh_options *options, char **ret_text,
                          rh_error **err)
{
    json_t *doc = read_receipt(receipt, err);
    struct rh_package *package =
        doc ? rh_package_load_for(p->server.lib, source, options, true, err)
            : NULL;
    struct rh_buf text = {0};
    int failed = package ? verify_source(p, package, doc, &text, err) : -1;

    *ret_text = NULL;
    if (!failed)
        *ret_text = rh_buf_take(&text);
    rh_buf_free(&text);
    rh_package_free(package);
    json_decref(doc);
    return failed;
}
