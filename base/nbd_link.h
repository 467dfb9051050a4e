/* nbd_link.h - one connection to an NBD server, by libnbd.  For nbd.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_NBD_LINK_H
#define RH_BASE_NBD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lib.h"

/* What the server says of its export, checked. */
struct rh_nbd_facts {
    uint64_t size;  /* bytes */
    uint32_t block; /* every offset and size is a multiple of it: at least 1 */
    uint32_t most;  /* bytes of one request with data, a multiple of block */
    bool read_only;
    bool multi;   /* several connections see each other's writes */
    bool extents; /* it tells which parts are zero */
    bool flush, zero, fast_zero;
};

enum rh_nbd_kind {
    RH_NBD_OP_READ,
    RH_NBD_OP_WRITE,
    RH_NBD_OP_ZERO,
    RH_NBD_OP_FAST_ZERO, /* or an error (ENOTSUP) at once */
    RH_NBD_OP_FLUSH,
    RH_NBD_OP_STATUS,
};
/* One run of what STATUS asked for, in order from its offset on, > 0 bytes;
 * the runs need not cover all that was asked, and may reach beyond it.  They
 * come before it is known that the request went well: of one that is made again
 * they may come again. */
typedef void rh_nbd_run_fn(void *user, uint64_t start, uint64_t length,
                           bool zero);
struct rh_nbd_op {
    enum rh_nbd_kind kind;
    void *buf; /* READ, WRITE: it is only read then */
    uint64_t size, offset;
    rh_nbd_run_fn *run;
    void *user;
};

enum rh_nbd_outcome {
    RH_NBD_DONE,
    RH_NBD_REFUSED, /* the server's answer is an error; the link is fine */
    RH_NBD_BROKEN,  /* the link is of no use any more */
    RH_NBD_STOPPED, /* by the user's cancel; likewise */
};

struct rh_nbd_link;
/* Connect and negotiate, at most half a minute.  With TLS, and where the
 * address names nothing else, a CA of `ca_file` must vouch (NULL: the
 * system's).  NULL: *ret_outcome is BROKEN or STOPPED. */
struct rh_nbd_link *rh_nbd_link_open(rh_lib *lib, const char *uri,
                                     const char *ca_file,
                                     struct rh_nbd_facts *ret,
                                     enum rh_nbd_outcome *ret_outcome,
                                     rh_error **err);
/* All of it, in several requests at once where it is long; each that is not
 * answered within a minute breaks the link.  *ret_errno is set when REFUSED,
 * *err when BROKEN or STOPPED.  By one thread at a time. */
enum rh_nbd_outcome rh_nbd_link_do(struct rh_nbd_link *l,
                                   const struct rh_nbd_op *op, int *ret_errno,
                                   rh_error **err);
void rh_nbd_link_close(struct rh_nbd_link *l); /* with a word of farewell */

#endif
