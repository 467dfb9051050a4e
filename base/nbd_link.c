/* nbd_link.c - one connection to an NBD server, by libnbd.
 *
 * libnbd's state machine is driven from here, a fifth of a second at a time,
 * so that a cancel is heard and silence has an end.  A long read or write goes
 * out as several requests, answered in any order.  Memory that a request still
 * points to is given back only when it was answered or its link is closed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/nbd_link.h"

#ifdef HAVE_LIBNBD
#include <errno.h>
#include <libnbd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/late.h"
#include "base/limits.h"

/* clang-format off */
#define NBD_CALLS(X, p) \
    X(p, add_meta_context) X(p, aio_block_status) X(p, aio_command_completed) \
    X(p, aio_connect_uri) X(p, aio_disconnect) X(p, aio_flush) \
    X(p, aio_is_closed) X(p, aio_is_dead) X(p, aio_is_ready) X(p, aio_pread) \
    X(p, aio_pwrite) X(p, aio_zero) X(p, can_fast_zero) X(p, can_flush) \
    X(p, can_meta_context) X(p, can_multi_conn) X(p, can_zero) X(p, close) \
    X(p, create) X(p, get_block_size) X(p, get_errno) X(p, get_error) \
    X(p, get_size) X(p, is_read_only) X(p, poll) \
    X(p, set_tls_certificates) X(p, set_uri_allow_local_file)
/* clang-format on */
RH_LATE_TABLE(nbd, NBD_CALLS);

enum {
    POLL_MS = 200,
    CONNECT_S = 30,
    SILENCE_S = 60, /* without an answer to any of the requests */
    FAREWELL_MS = 500,
    IN_FLIGHT = 8,
    REQUEST = 256 * 1024,             /* bytes of one read or write */
    REQUEST_ZERO = 128 * 1024 * 1024, /* of one that carries no data */
    REQUEST_STATUS = 1024 * 1024 * 1024,
    BLOCK_MAX = 64 * 1024,      /* the protocol's, for the smallest block */
    PAYLOAD = 32 * 1024 * 1024, /* what every server takes that says nothing */
};

struct rh_nbd_link {
    rh_lib *lib;
    struct nbd_handle *h;
    struct rh_nbd_facts facts;
};

static int load(rh_error **err)
{
    static atomic_bool loaded;

    if (!atomic_load(&loaded) && RH_LATE_LOAD("libnbd.so.0", nbd, err) < 0)
        return -1;
    atomic_store(&loaded, true);
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* libnbd's words, without the name of its function. */
static const char *reason(void)
{
    const char *text = nbd.get_error(), *colon;

    if (!text)
        return "no reason was given";
    colon = strstr(text, ": ");
    return !strncmp(text, "nbd_", 4) && colon ? colon + 2 : text;
}

/* --- waiting --------------------------------------------------------------
 */

static enum rh_nbd_outcome wait_some(struct rh_nbd_link *l, uint64_t until,
                                     rh_error **err)
{
    int got;

    if (rh_go_on(l->lib, err) < 0)
        return RH_NBD_STOPPED;
    got = nbd.poll(l->h, POLL_MS);
    if (got < 0 && nbd.get_errno() != EINTR) {
        rh_fail(err, RH_ERR_NBD_FAILED, "the connection broke: %s", reason());
        return RH_NBD_BROKEN;
    }
    if (now_ms() < until)
        return RH_NBD_DONE;
    rh_fail(err, RH_ERR_NBD_FAILED, "the server does not answer");
    return RH_NBD_BROKEN;
}

/* --- meeting the server ----------------------------------------------------
 */

static uint32_t block_size(struct rh_nbd_link *l, int which)
{
    int64_t got = nbd.get_block_size(l->h, which);

    return got > 0 && got <= UINT32_MAX ? (uint32_t)got : 0;
}

static int read_facts(struct rh_nbd_link *l, rh_error **err)
{
    int64_t size = nbd.get_size(l->h);
    uint32_t block = block_size(l, LIBNBD_SIZE_MINIMUM);
    uint32_t most = block_size(l, LIBNBD_SIZE_MAXIMUM);

    if (size < 0)
        return rh_fail(err, RH_ERR_NBD_ANSWER,
                       "the size of the export cannot be used: %s", reason());
    block = block ? block : 1;
    most = RH_MIN(most ? most : PAYLOAD, (uint32_t)REQUEST);
    if (block > BLOCK_MAX || (block & (block - 1)) || most < block)
        return rh_fail(err, RH_ERR_NBD_ANSWER,
                       "requests of %u to %u bytes make no sense", block, most);
    l->facts = (struct rh_nbd_facts){
        .size = (uint64_t)size,
        .block = block,
        .most = most / block * block,
        .read_only = nbd.is_read_only(l->h) > 0,
        .multi = nbd.can_multi_conn(l->h) > 0,
        .extents =
            nbd.can_meta_context(l->h, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0,
        .flush = nbd.can_flush(l->h) > 0,
        .zero = nbd.can_zero(l->h) > 0,
        .fast_zero = nbd.can_fast_zero(l->h) > 0};
    return 0;
}

static int not_connected(const char *uri, rh_error **err)
{
    rh_fail(err, RH_ERR_NBD_FAILED, "cannot connect: %s", reason());
    return strncasecmp(uri, "nbds", 4)
               ? -1
               : rh_hint(err,
                         "for TLS, name the CA (--source-tls-ca FILE, for an "
                         "output --tls-ca FILE, or "
                         "?tls-certificates=FOLDER with its ca-cert.pem) or a "
                         "file with the shared key "
                         "(?tls-psk-file=FILE) in the address");
}

/* --- whom to believe --------------------------------------------------------
 */

/* libnbd checks a certificate only against a folder that it is given, and only
 * for a host: without one it takes any.  So it is always given one, or a key
 * that both sides share. */
enum trust { NO_TLS, BY_ADDRESS, BY_CA };

static int which_trust(const char *uri, enum trust *ret, rh_error **err)
{
    const char *query = strchr(uri, '?');
    bool shared_key = query && strstr(query, "tls-psk-file=");

    *ret = strncasecmp(uri, "nbds", 4)                         ? NO_TLS
           : shared_key || (query && strstr(query, "tls-cer")) ? BY_ADDRESS
                                                               : BY_CA;
    if (*ret == NO_TLS || shared_key || !strncasecmp(uri, "nbds://", 7))
        return 0;
    rh_fail(err, RH_ERR_NBD_ADDRESS,
            "behind a socket, who shows a certificate cannot be checked");
    return rh_hint(err, "use a key that both sides share "
                        "(?tls-psk-file=FILE), or nbd+unix:// without TLS");
}

static char *system_ca(void)
{
    const char *file = getenv("SSL_CERT_FILE");

    return realpath(file && *file ? file : "/etc/ssl/certs/ca-certificates.crt",
                    NULL);
}

static void remove_folder(char **folder)
{
    RH_AUTO(rh_freep) char *file = NULL;

    if (!*folder)
        return;
    file = rh_printf("%s/ca-cert.pem", *folder);
    unlink(file);
    rmdir(*folder);
    free(*folder);
}

/* A folder as libnbd wants it, with the file of CAs (NULL: the system's). */
static int make_folder(const rh_lib *lib, const char *ca_file, char **ret,
                       rh_error **err)
{
    RH_AUTO(remove_folder)
    char *folder = rh_printf("%s/rehost-nbd.XXXXXX", rh_temp_dir(lib));
    RH_AUTO(rh_freep)
    char *ca = ca_file ? realpath(ca_file, NULL) : system_ca();
    RH_AUTO(rh_freep) char *file = NULL;

    if (!ca)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "the CA certificates cannot be found");
    if (!mkdtemp(folder))
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot make a folder under %s", rh_temp_dir(lib));
    file = rh_printf("%s/ca-cert.pem", folder);
    if (symlink(ca, file) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot write under %s", rh_temp_dir(lib));
    *ret = RH_TAKE(folder);
    return 0;
}

/* --- connecting -------------------------------------------------------------
 */

/* Files that the address names (keys, certificates) are the user's own. */
static int start(struct rh_nbd_link *l, const char *uri, const char *folder,
                 rh_error **err)
{
    l->h = nbd.create();
    if (!l->h)
        return rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
    if (folder && nbd.set_tls_certificates(l->h, folder) < 0)
        return not_connected(uri, err);
    if (nbd.set_uri_allow_local_file(l->h, true) < 0 ||
        nbd.add_meta_context(l->h, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        nbd.aio_connect_uri(l->h, uri) < 0)
        return not_connected(uri, err);
    return 0;
}

static enum rh_nbd_outcome negotiate(struct rh_nbd_link *l, const char *uri,
                                     rh_error **err)
{
    uint64_t until = now_ms() + CONNECT_S * 1000;

    while (!nbd.aio_is_ready(l->h)) {
        int got;

        if (rh_go_on(l->lib, err) < 0)
            return RH_NBD_STOPPED;
        got = nbd.poll(l->h, POLL_MS);
        if ((got < 0 && nbd.get_errno() != EINTR) || nbd.aio_is_dead(l->h) ||
            nbd.aio_is_closed(l->h)) {
            not_connected(uri, err);
            return RH_NBD_BROKEN;
        }
        if (now_ms() < until)
            continue;
        rh_fail(err, RH_ERR_NBD_FAILED,
                "cannot connect: no answer within %d seconds", CONNECT_S);
        return RH_NBD_BROKEN;
    }
    return read_facts(l, err) < 0 ? RH_NBD_BROKEN : RH_NBD_DONE;
}

struct rh_nbd_link *rh_nbd_link_open(rh_lib *lib, const char *uri,
                                     const char *ca_file,
                                     struct rh_nbd_facts *ret,
                                     enum rh_nbd_outcome *ret_outcome,
                                     rh_error **err)
{
    RH_AUTO(remove_folder) char *folder = NULL;
    struct rh_nbd_link *l;
    enum trust trust;

    *ret_outcome = RH_NBD_BROKEN;
    if (load(err) < 0 || which_trust(uri, &trust, err) < 0 ||
        (trust == BY_CA && make_folder(lib, ca_file, &folder, err) < 0))
        return NULL;
    l = rh_new0(struct rh_nbd_link);
    l->lib = lib;
    if (start(l, uri, folder, err) == 0)
        *ret_outcome = negotiate(l, uri, err);
    if (*ret_outcome == RH_NBD_DONE) {
        *ret = l->facts;
        return l;
    }
    nbd.close(l->h);
    free(l);
    return NULL;
}

/* The server is told that we go, if it listens. */
void rh_nbd_link_close(struct rh_nbd_link *l)
{
    uint64_t until = now_ms() + FAREWELL_MS;

    if (!l)
        return;
    if (nbd.aio_is_ready(l->h) > 0 && nbd.aio_disconnect(l->h, 0) == 0)
        while (!nbd.aio_is_closed(l->h) && !nbd.aio_is_dead(l->h) &&
               now_ms() < until)
            if (nbd.poll(l->h, POLL_MS) < 0)
                break;
    nbd.close(l->h);
    free(l);
}

/* --- requests -------------------------------------------------------------
 */

/* Those of one operation that were sent and not answered. */
struct flight {
    struct rh_nbd_link *link;
    const struct rh_nbd_op *op;
    uint64_t sent; /* bytes of the operation that were asked for */
    int64_t cookies[IN_FLIGHT];
    size_t count;
    int refused; /* errno of the first answer that was an error */
    bool all_sent;
};

/* The context is checked: others were not asked for. */
static int take_extents(void *user, const char *context, uint64_t offset,
                        uint32_t *entries, size_t count, int *error)
{
    const struct rh_nbd_op *op = user;

    (void)error;
    if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
        return 0;
    for (size_t i = 0; i + 1 < count && entries[i]; i += 2) {
        op->run(op->user, offset, entries[i],
                entries[i + 1] & LIBNBD_STATE_ZERO);
        offset += entries[i];
    }
    return 0;
}

static int64_t ask(struct nbd_handle *h, const struct rh_nbd_op *op,
                   uint64_t at, uint64_t n)
{
    nbd_completion_callback nothing = {0};
    nbd_extent_callback extents = {.callback = take_extents,
                                   .user_data = (void *)(uintptr_t)op};
    uint8_t *buf = op->buf ? (uint8_t *)op->buf + at : NULL;
    uint64_t offset = op->offset + at;

    switch (op->kind) {
    case RH_NBD_OP_READ:
        return nbd.aio_pread(h, buf, (size_t)n, offset, nothing, 0);
    case RH_NBD_OP_WRITE:
        return nbd.aio_pwrite(h, buf, (size_t)n, offset, nothing, 0);
    case RH_NBD_OP_ZERO:
        return nbd.aio_zero(h, n, offset, nothing, 0);
    case RH_NBD_OP_FAST_ZERO:
        return nbd.aio_zero(h, n, offset, nothing, LIBNBD_CMD_FLAG_FAST_ZERO);
    case RH_NBD_OP_FLUSH:
        return nbd.aio_flush(h, nothing, 0);
    case RH_NBD_OP_STATUS:
        return nbd.aio_block_status(h, n, offset, extents, nothing, 0);
    }
    return -1;
}

static uint64_t request_size(const struct flight *f)
{
    uint64_t left = f->op->size - f->sent;

    switch (f->op->kind) {
    case RH_NBD_OP_READ:
    case RH_NBD_OP_WRITE:
        return RH_MIN(left, (uint64_t)f->link->facts.most);
    case RH_NBD_OP_STATUS:
        return RH_MIN(left, (uint64_t)REQUEST_STATUS);
    default:
        return RH_MIN(left, (uint64_t)REQUEST_ZERO);
    }
}

/* STATUS is one request: what it answers decides on the next. */
static int send_some(struct flight *f)
{
    while (!f->all_sent && !f->refused && f->count < IN_FLIGHT) {
        uint64_t n = request_size(f);
        int64_t cookie = ask(f->link->h, f->op, f->sent, n);

        if (cookie < 0)
            return -1;
        f->cookies[f->count++] = cookie;
        f->sent += n;
        f->all_sent = f->sent == f->op->size || f->op->kind == RH_NBD_OP_STATUS;
    }
    return 0;
}

/* How many were answered. */
static size_t collect(struct flight *f)
{
    size_t kept = 0, all = f->count;

    for (size_t i = 0; i < all; i++) {
        int got =
            nbd.aio_command_completed(f->link->h, (uint64_t)f->cookies[i]);

        if (got == 0)
            f->cookies[kept++] = f->cookies[i];
        else if (got < 0 && !f->refused)
            f->refused = nbd.get_errno() ? nbd.get_errno() : EIO;
    }
    f->count = kept;
    return all - kept;
}

static bool is_lost(const struct rh_nbd_link *l)
{
    return nbd.aio_is_dead(l->h) || nbd.aio_is_closed(l->h);
}

static enum rh_nbd_outcome lost(rh_error **err)
{
    rh_fail(err, RH_ERR_NBD_FAILED, "the connection broke: %s", reason());
    return RH_NBD_BROKEN;
}

enum rh_nbd_outcome rh_nbd_link_do(struct rh_nbd_link *l,
                                   const struct rh_nbd_op *op, int *ret_errno,
                                   rh_error **err)
{
    struct flight f = {.link = l, .op = op};
    uint64_t until = now_ms() + SILENCE_S * 1000;

    while (f.count || (!f.all_sent && !f.refused)) {
        enum rh_nbd_outcome got = RH_NBD_DONE;

        if (send_some(&f) < 0)
            return lost(err);
        if (collect(&f))
            until = now_ms() + SILENCE_S * 1000;
        else
            got = wait_some(l, until, err);
        if (got != RH_NBD_DONE)
            return got;
        if (is_lost(l))
            return lost(err);
    }
    *ret_errno = f.refused;
    if (f.refused != ESHUTDOWN)
        return f.refused ? RH_NBD_REFUSED : RH_NBD_DONE;
    rh_fail(err, RH_ERR_NBD_FAILED, "the server is being shut down");
    return RH_NBD_BROKEN;
}

#else

struct rh_nbd_link *rh_nbd_link_open(rh_lib *lib, const char *uri,
                                     const char *ca_file,
                                     struct rh_nbd_facts *ret,
                                     enum rh_nbd_outcome *ret_outcome,
                                     rh_error **err)
{
    (void)lib, (void)uri, (void)ca_file, (void)ret;
    *ret_outcome = RH_NBD_BROKEN;
    rh_fail(err, RH_ERR_UNAVAILABLE,
            "NBD servers cannot be talked to: libnbd was not there when this "
            "was built");
    return NULL;
}

enum rh_nbd_outcome rh_nbd_link_do(struct rh_nbd_link *l,
                                   const struct rh_nbd_op *op, int *ret_errno,
                                   rh_error **err)
{
    (void)l, (void)op, (void)ret_errno;
    rh_fail(err, RH_ERR_UNAVAILABLE, "libnbd is not built in");
    return RH_NBD_BROKEN;
}

void rh_nbd_link_close(struct rh_nbd_link *l)
{
    (void)l;
}

#endif
