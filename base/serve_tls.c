/* serve_tls.c - the server's side of TLS.
 *
 * libssl is loaded when somebody serves (base/late.h); libcrypto makes the
 * throw-away key and certificate. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/serve_tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/late.h"
#include "base/mem.h"

enum { DAY = 24 * 60 * 60, DAYS = 8, SERIAL_BITS = 120 };

/* clang-format off */
#define CALLS(X, p) \
    X(p, CTX_check_private_key) X(p, CTX_ctrl) X(p, CTX_free) X(p, CTX_new) \
    X(p, CTX_set_options) X(p, CTX_set_num_tickets) X(p, CTX_use_PrivateKey) \
    X(p, CTX_use_PrivateKey_file) X(p, CTX_use_certificate) \
    X(p, CTX_use_certificate_chain_file) X(p, accept) X(p, free) \
    X(p, CTX_set_default_passwd_cb) \
    X(p, get_error) X(p, new) X(p, read) X(p, set_fd) X(p, write)
/* clang-format on */
static const char *const names[] = {CALLS(RH_LATE_NAME, SSL)};
static struct {
    CALLS(RH_LATE_POINTER, SSL)
} ssl;
static const char *const method_names[] = {"TLS_server_method"};
static struct {
    __typeof__(TLS_server_method) *server;
} method;

struct rh_tls_site {
    SSL_CTX *ctx;
};
struct rh_tls {
    SSL *ssl;
};

/* --- a certificate for a few days
 * ------------------------------------------- */

static void x509_freep(X509 **x)
{
    X509_free(*x);
}
static void key_freep(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}
static void bn_freep(BIGNUM **b)
{
    BN_free(*b);
}

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool good = e && X509_add_ext(x, e, -1) == 1;

    X509_EXTENSION_free(e);
    return good;
}

static bool is_address(const char *host)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, host, bytes) == 1 ||
           inet_pton(AF_INET6, host, bytes) == 1;
}

static bool set_serial(X509 *x)
{
    RH_AUTO(bn_freep) BIGNUM *b = BN_new();

    return b && BN_rand(b, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
           BN_to_ASN1_INTEGER(b, X509_get_serialNumber(x));
}

/* From a day ago: the other side's clock may be behind ours. */
static bool set_times(X509 *x)
{
    return X509_gmtime_adj(X509_getm_notBefore(x), -(long)DAY) &&
           X509_gmtime_adj(X509_getm_notAfter(x), (long)DAYS * DAY);
}

static bool fill(X509 *x, EVP_PKEY *key, const char *host)
{
    static const unsigned char name[] = "rehost";
    X509_NAME *subject = X509_get_subject_name(x);
    RH_AUTO(rh_freep)
    char *alt = rh_printf("%s:%s", is_address(host) ? "IP" : "DNS", host);

    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
           set_times(x) && X509_set_pubkey(x, key) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(x, subject) == 1 &&
           add_extension(x, NID_subject_alt_name, alt) &&
           add_extension(x, NID_ext_key_usage, "serverAuth") &&
           X509_sign(x, key, EVP_sha256()) > 0;
}

static int use_new(SSL_CTX *ctx, const char *host, rh_error **err)
{
    RH_AUTO(key_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    RH_AUTO(x509_freep) X509 *x = X509_new();

    if (key && x && fill(x, key, host) &&
        ssl.CTX_use_certificate(ctx, x) == 1 &&
        ssl.CTX_use_PrivateKey(ctx, key) == 1)
        return 0;
    return rh_fail(err, RH_ERR_SERVE_CERT,
                   "no certificate could be made for \"%.100s\"", host);
}

/* --- one that was given
 * ------------------------------------------------------ */

/* OpenSSL would ask at the terminal. */
static int no_password(char *buf, int n, int writing, void *user)
{
    (void)buf, (void)n, (void)writing, (void)user;
    return -1;
}

static int use_files(SSL_CTX *ctx, const char *cert, const char *key,
                     rh_error **err)
{
    ssl.CTX_set_default_passwd_cb(ctx, no_password);
    if (ssl.CTX_use_certificate_chain_file(ctx, cert) != 1) {
        rh_fail(err, RH_ERR_SERVE_CERT, "no certificate can be read from it");
        return rh_error_subject(err, cert);
    }
    if (ssl.CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 &&
        ssl.CTX_check_private_key(ctx) == 1)
        return 0;
    rh_fail(err, RH_ERR_SERVE_CERT,
            "no key of that certificate can be read from it");
    return rh_error_subject(err, key);
}

/* --- the site
 * ---------------------------------------------------------------- */

static int load(rh_error **err)
{
    return rh_late_load("libssl.so.3", names, RH_COUNT(names), &ssl, err) < 0 ||
                   rh_late_load("libssl.so.3", method_names,
                                RH_COUNT(method_names), &method, err) < 0
               ? -1
               : 0;
}

/* No sessions are kept, and nothing is sent that nobody asked for: whoever
 * closes with bytes unread ends a connection as if it had broken. */
static bool set_up(SSL_CTX *c)
{
    ssl.CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                               SSL_OP_NO_COMPRESSION |
                               SSL_OP_IGNORE_UNEXPECTED_EOF);
    ssl.CTX_ctrl(c, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    ssl.CTX_ctrl(c, SSL_CTRL_MODE,
                 SSL_MODE_ENABLE_PARTIAL_WRITE |
                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                     SSL_MODE_RELEASE_BUFFERS,
                 NULL);
    return ssl.CTX_set_num_tickets(c, 0) == 1 &&
           ssl.CTX_ctrl(c, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION,
                        NULL) == 1;
}

struct rh_tls_site *rh_tls_site_new(const char *cert, const char *key,
                                    const char *host, rh_error **err)
{
    RH_AUTO(rh_tls_site_freep)
    struct rh_tls_site *s = rh_new0(struct rh_tls_site);
    int failed;

    if (load(err) < 0)
        return NULL;
    s->ctx = ssl.CTX_new(method.server());
    if (!s->ctx || !set_up(s->ctx)) {
        rh_fail(err, RH_ERR_MEMORY, "no memory for TLS");
        return NULL;
    }
    failed =
        cert ? use_files(s->ctx, cert, key, err) : use_new(s->ctx, host, err);
    ERR_clear_error(); /* its queue is the thread's, not ours to fill */
    return failed ? NULL : RH_TAKE(s);
}

void rh_tls_site_free(struct rh_tls_site *s)
{
    if (!s)
        return;
    if (s->ctx)
        ssl.CTX_free(s->ctx);
    free(s);
}

/* --- one connection
 * ---------------------------------------------------------- */

struct rh_tls *rh_tls_new(struct rh_tls_site *s, int fd)
{
    struct rh_tls *t = rh_new0(struct rh_tls);

    t->ssl = ssl.new(s->ctx);
    if (t->ssl && ssl.set_fd(t->ssl, fd) == 1)
        return t;
    rh_tls_free(t);
    return NULL;
}

void rh_tls_free(struct rh_tls *t)
{
    if (!t)
        return;
    if (t->ssl)
        ssl.free(t->ssl);
    free(t);
}

static int judge(struct rh_tls *t, int result, short *ret_events)
{
    int why;

    if (result > 0)
        return result;
    why = ssl.get_error(t->ssl, result);
    ERR_clear_error();
    *ret_events = why == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return RH_TLS_WAIT;
    return why == SSL_ERROR_ZERO_RETURN ? RH_TLS_END : RH_TLS_BROKEN;
}

int rh_tls_handshake(struct rh_tls *t, short *ret_events)
{
    ERR_clear_error();
    return judge(t, ssl.accept(t->ssl), ret_events);
}

int rh_tls_read(struct rh_tls *t, void *buf, size_t n, short *ret_events)
{
    ERR_clear_error();
    return judge(t, ssl.read(t->ssl, buf, (int)RH_MIN(n, (size_t)INT_MAX)),
                 ret_events);
}

int rh_tls_write(struct rh_tls *t, const void *buf, size_t n, short *ret_events)
{
    ERR_clear_error();
    return judge(t, ssl.write(t->ssl, buf, (int)RH_MIN(n, (size_t)INT_MAX)),
                 ret_events);
}
