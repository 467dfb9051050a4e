/* forward.c - a package's compressed disk, read forward; see forward.h. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/forward.h"

#include <stdlib.h>

#include "package/container.h"

/* --- the digest of what passes ------------------------------------------- */

struct rh_tee {
    struct rh_stream *from;
    struct rh_digest *digest;
    size_t vm, disk;
};

static int tee_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                    rh_error **err)
{
    struct rh_tee *t = s->state;

    if (rh_stream_read(t->from, buf, n, ret_n, err) < 0)
        return -1;
    rh_digest_add(t->digest, buf, *ret_n);
    return 0;
}

/* The tee outlives the stream: it is the caller's. */
static struct rh_stream *tee_stream(struct rh_tee *t)
{
    static const struct rh_stream_ops ops = {tee_read, NULL};

    return rh_stream_over(&ops, t->from, t);
}

void rh_tee_free(struct rh_tee *t)
{
    if (!t)
        return;
    rh_stream_close(t->from);
    rh_digest_free(t->digest);
    free(t);
}

/* A file in chunks has a digest for each: they are read beside the copy. */
static struct rh_member *lone_member(struct rh_package *p, size_t vm,
                                     size_t disk)
{
    struct rh_member *m = rh_package_disk_member(p, vm, disk, 0);

    return rh_package_disk_member(p, vm, disk, 1) ? NULL : m;
}

static struct rh_tee *tee_new(struct rh_package *p, size_t vm, size_t disk,
                              struct rh_io *io)
{
    const struct rh_member *m = lone_member(p, vm, disk);
    struct rh_digest *digest =
        m && m->digest && !m->verified ? rh_digest_new(m->algorithm) : NULL;
    struct rh_tee *t;

    if (!digest)
        return NULL;
    t = rh_new0(struct rh_tee);
    t->from = rh_stream_io(io);
    t->digest = digest;
    t->vm = vm;
    t->disk = disk;
    return t;
}

int rh_tee_check(struct rh_tee *t, struct rh_package *p, rh_error **err)
{
    enum { PART = 256 * 1024 };
    struct rh_member *m = lone_member(p, t->vm, t->disk);
    RH_AUTO(rh_freep) char *buf = rh_malloc(PART);
    char hex[RH_DIGEST_HEX];
    size_t n;

    do {
        if (rh_go_on(p->lib, err) < 0 ||
            rh_stream_read(t->from, buf, PART, &n, err) < 0)
            return -1;
        rh_digest_add(t->digest, buf, n);
    } while (n);
    rh_digest_hex(t->digest, hex);
    return m ? rh_package_check_digest(p, m, hex, err) : 0;
}

/* --- opening ------------------------------------------------------------- */

static struct rh_reader *live_forward(struct rh_package *p, struct rh_opener *o,
                                      size_t vm, size_t disk,
                                      struct rh_tee **ret_tee)
{
    struct rh_reader *r = o->ops->forward(o, vm, disk, NULL);

    if (r) {
        rh_disk_watch(p, vm, disk);
        rh_disk_learn(p, vm, disk, r);
    }
    if (ret_tee)
        *ret_tee = NULL;
    return r;
}

struct rh_reader *rh_package_disk_forward(struct rh_package *p, size_t vm,
                                          size_t disk, struct rh_tee **ret_tee)
{
    struct rh_opener *opener = rh_container_of(p)->opener;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = rh_disk_packed(p, vm, disk);
    RH_AUTO(rh_tee_freep) struct rh_tee *tee = NULL;
    struct rh_reader *r;

    if (opener)
        return live_forward(p, opener, vm, disk, ret_tee);
    if (!io)
        return NULL;
    if (ret_tee)
        tee = tee_new(p, vm, disk, io);
    r = rh_forward_open(p->lib, tee ? tee_stream(tee) : rh_stream_io(io), NULL);
    if (!r)
        return NULL;
    rh_disk_learn(p, vm, disk, r);
    if (ret_tee)
        *ret_tee = RH_TAKE(tee);
    return r;
}

struct rh_reader *rh_package_disk_peek(struct rh_package *p, size_t vm,
                                       size_t disk)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = rh_disk_packed(p, vm, disk);
    struct rh_reader *walk =
        io ? rh_forward_open(p->lib, rh_stream_io(io), NULL) : NULL;

    if (!walk)
        return NULL;
    rh_disk_learn(p, vm, disk, walk);
    return rh_peek_open(io, walk);
}
