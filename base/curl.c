/* curl.c - libcurl, loaded when first needed, and TLS as we check it.
 *
 * A pin is the SHA-256 of a server's certificate, as Proxmox VE, browsers and
 * `openssl x509 -fingerprint` show it (libcurl's own pins are of the key).  So
 * OpenSSL's check is ours: it knows the certificate before a byte of the
 * request is sent. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/curl.h"

#ifdef HAVE_LIBCURL
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/digest.h"

enum {
    CONNECT_TIME = 30, /* seconds */
    WAIT_FIRST = 200,  /* milliseconds, doubled each time */
    WAIT_MAX = 5000,
    REFUSED = X509_V_ERR_CERT_REJECTED,
};

struct rh_curl_calls rh_curl;

/* libssl is libcurl's own, so it is loaded late as well. */
static const char *const ssl_names[] = {"SSL_CTX_set_cert_verify_callback"};
static struct {
    __typeof__(SSL_CTX_set_cert_verify_callback) *set_verify;
} ssl;

static void start_curl(void)
{
    rh_curl.global_init(CURL_GLOBAL_DEFAULT);
}

int rh_curl_load(rh_error **err)
{
    static const char *const names[] = {RH_CURL_CALLS(RH_LATE_NAME, curl)};
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (rh_late_load("libcurl.so.4", names, RH_COUNT(names), &rh_curl, err) < 0)
        return -1;
    rh_late_load("libssl.so.3", ssl_names, RH_COUNT(ssl_names), &ssl, NULL);
    pthread_once(&once, start_curl);
    return 0;
}

/* --- trust -------------------------------------------------------------------
 */

void rh_curl_trust_free(struct rh_curl_trust *t)
{
    for (char **p = t->pins; p && *p; p++)
        free(*p);
    free(t->pins);
    free(t->ca_file);
    free(t->host);
}

/* Pins of a host come before the one for all. */
const char *rh_curl_pin(const struct rh_curl_trust *t)
{
    const char *any = NULL;

    for (char **p = t->pins; p && *p; p++) {
        const char *equals = strrchr(*p, '=');
        size_t n = equals ? (size_t)(equals - *p) : 0;

        n -= n > 1 && (*p)[n - 1] == '.';
        if (!equals)
            any = *p;
        else if (t->host && strlen(t->host) == n &&
                 !strncasecmp(*p, t->host, strlen(t->host)))
            return equals + 1;
    }
    return any;
}

static bool fingerprint(X509 *certificate, char ret_hex[65], char ret_sha1[41])
{
    unsigned char *der = NULL;
    int n = certificate ? i2d_X509(certificate, &der) : -1;

    if (n <= 0)
        return false;
    rh_sha256_hex(der, (size_t)n, ret_hex);
    rh_sha1_hex(der, (size_t)n, ret_sha1);
    OPENSSL_free(der);
    return true;
}

static int check_certificate(X509_STORE_CTX *store, void *user)
{
    struct rh_curl_trust *t = user;
    const char *pin = rh_curl_pin(t);
    char hex[65], sha1[41];

    if (!fingerprint(X509_STORE_CTX_get0_cert(store), hex, sha1)) {
        X509_STORE_CTX_set_error(store, REFUSED);
        return 0;
    }
    if (t->ticket[0] ? !strcmp(t->ticket, sha1)
        : pin        ? !strcmp(pin, hex)
                     : X509_verify_cert(store) == 1)
        return 1;
    if (pin || t->ticket[0])
        X509_STORE_CTX_set_error(store, REFUSED);
    memcpy(t->seen, hex, sizeof hex);
    return 0;
}

static CURLcode on_context(CURL *c, void *context, void *user)
{
    (void)c;
    ssl.set_verify(context, check_certificate, user);
    return CURLE_OK;
}

/* As the curl program takes them. */
static const char *ca_file(const struct rh_curl_trust *t)
{
    const char *path = t->ca_file ? t->ca_file : NULL;

    if (!path)
        path = secure_getenv("CURL_CA_BUNDLE");
    return path ? path : secure_getenv("SSL_CERT_FILE");
}

static int set_tls(CURL *c, struct rh_curl_trust *t, rh_error **err)
{
    const char *ca = ca_file(t);
    bool ours = ssl.set_verify &&
                rh_curl.easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_context) ==
                    CURLE_OK;

    rh_curl.easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    rh_curl.easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (ca)
        rh_curl.easy_setopt(c, CURLOPT_CAINFO, ca);
    if (ours)
        rh_curl.easy_setopt(c, CURLOPT_SSL_CTX_DATA, t);
    if (!rh_curl_pin(t) && !t->ticket[0])
        return 0;
    if (!ours)
        return rh_fail(err, RH_ERR_UNAVAILABLE,
                       "this libcurl cannot compare a certificate's "
                       "fingerprint; use --tls-ca");
    /* The certificate itself is known: its names say no more. */
    rh_curl.easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    return 0;
}

CURL *rh_curl_new(struct rh_curl_trust *trust, rh_error **err)
{
    CURL *c = rh_curl.easy_init();

    if (!c) {
        rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
        return NULL;
    }
    rh_curl.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    rh_curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    rh_curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    rh_curl.easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIME);
    rh_curl.easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    rh_curl.easy_setopt(c, CURLOPT_USERAGENT, "rehost/" RH_VERSION);
    rh_curl.easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    if (set_tls(c, trust, err) == 0)
        return c;
    rh_curl.easy_cleanup(c);
    return NULL;
}

/* --- what a failure means ----------------------------------------------------
 */

/* A handshake that broke may do so because the server is just ending; one that
 * can't be done at all is tried twice then. */
bool rh_curl_not_sent(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_COULDNT_RESOLVE_HOST ||
           code == CURLE_COULDNT_RESOLVE_PROXY;
}

bool rh_curl_may_pass(CURL *c, CURLcode code)
{
    long status = 0;

    switch (code) {
    case CURLE_HTTP_RETURNED_ERROR:
        rh_curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        return status >= 500 || status == 408 || status == 429;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static bool is_trust(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION;
}

enum rh_error_id rh_curl_error(CURLcode code)
{
    if (code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_UNSUPPORTED_PROTOCOL)
        return RH_ERR_HTTP_REDIRECT;
    if (is_trust(code) || code == CURLE_SSL_CONNECT_ERROR ||
        code == CURLE_SSL_CACERT_BADFILE)
        return RH_ERR_HTTP_TLS;
    return RH_ERR_HTTP_FAILED;
}

static void print_pin(const char *hex, char ret[96])
{
    size_t n = 0;

    for (size_t i = 0; hex[i]; i++) {
        ret[n++] = hex[i];
        if (i % 2 && hex[i + 1])
            ret[n++] = ':';
    }
    ret[n] = '\0';
}

void rh_curl_hint(const struct rh_curl_trust *t, CURLcode code, rh_error **err)
{
    char text[96];

    if (!is_trust(code) || !t->seen[0])
        return;
    print_pin(t->seen, text);
    if (rh_curl_pin(t))
        rh_hint(err,
                "the server shows the certificate %s, not the pinned one: "
                "somebody may stand in between; compare it on the server",
                text);
    else
        rh_hint(err,
                "compare the certificate's SHA-256 fingerprint on the server, "
                "and if it is the same add --pin %s=%s (or --tls-ca with the "
                "CA that signed it)",
                t->host ? t->host : "HOST", text);
}

int rh_curl_wait(rh_lib *lib, unsigned tries, rh_error **err)
{
    enum { SLICE = 50 };
    unsigned wait = (unsigned)WAIT_FIRST << RH_MIN(tries, 10u);

    for (unsigned ms = 0; ms < RH_MIN(wait, (unsigned)WAIT_MAX); ms += SLICE) {
        struct timespec pause = {.tv_nsec = SLICE * 1000000L};

        if (rh_go_on(lib, err) < 0)
            return -1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

#else
typedef int rh_curl_is_not_built; /* ISO C: no empty file */
#endif
