/* verify_there.c - is what stands in the pool still what the receipt says?
 *
 * The receipt's last delivery to that URL names the disks there; each is read
 * once, in order, and has the receipt's content digest or not. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "convert/copy/copy.h"
#include "deliver/result.h"
#include "deliver/push.h"
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

static int take_bytes(void *user, const void *bytes, size_t n, rh_error **err)
{
    (void)err;
    rh_content_add(user, bytes, n);
    return 0;
}

static int verify_disk(struct rh_server *s, const json_t *delivery, size_t i,
                       const json_t *disk, struct rh_buf *text, rh_error **err)
{
    const char *digest =
        json_string_value(json_object_get(disk, "content_digest"));
    json_int_t size = json_integer_value(json_object_get(disk, "virtual_size"));
    struct rh_content *content;
    char hex[65];
    int failed;
    bool whole;

    if (!digest || size <= 0)
        return rh_fail(err, RH_ERR_VERIFY_RECEIPT,
                       "the receipt has no content digest of disk %zu", i);
    content = rh_content_new((uint64_t)size);
    failed = s->kind->read_disk(s, delivery, i, take_bytes, content, err);
    whole = rh_content_end(content, hex);
    if (failed)
        return -1;
    if (!whole || strcmp(hex, digest) != 0)
        return rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                       "disk %zu there is not what was sent", i);
    rh_buf_printf(text, _("disk %zu there: content digest as in the receipt\n"),
                  i);
    return 0;
}

static int verify_all(struct rh_server *s, const json_t *receipt,
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
        return rh_hint(err, "give the URL as it was given to `rehost push`");
    }
    json_array_foreach (json_object_get(receipt, "disks"), i, disk)
        if (verify_disk(s, delivery, i, disk, text, err) < 0)
            return -1;
    return 0;
}

int rh_push_verify(rh_push *p, const char *dir, char **ret_text, rh_error **err)
{
    json_t *receipt = rh_result_json(dir, "receipt.json", err);
    struct rh_buf text = {0};
    int failed = receipt ? verify_all(&p->server, receipt, &text, err) : -1;

    *ret_text = NULL;
    json_decref(receipt);
    if (!failed)
        *ret_text = rh_buf_take(&text);
    else
        rh_buf_free(&text);
    return failed ? rh_error_subject(err, dir) : 0;
}
