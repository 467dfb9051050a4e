/* sign.c - signatures and certificates by OpenSSL.
 *
 * Being out of date is told apart from being untrusted: packages are kept for
 * longer than certificates last, and carry no time stamp. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 16 };

static void x509_freep(X509 **x)
{
    X509_free(*x);
}
static void chain_freep(STACK_OF(X509) * *chain)
{
    sk_X509_pop_free(*chain, X509_free);
}
static void bio_freep(BIO **b)
{
    BIO_free(*b);
}
static void store_freep(X509_STORE **s)
{
    X509_STORE_free(*s);
}
static void store_ctx_freep(X509_STORE_CTX **c)
{
    X509_STORE_CTX_free(*c);
}
static void md_freep(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

/* OpenSSL would ask at the terminal. */
static int no_password(char *buf, int n, int writing, void *user)
{
    (void)buf, (void)n, (void)writing, (void)user;
    return -1;
}

static X509 *next_pem(BIO *b)
{
    return PEM_read_bio_X509(b, NULL, no_password, NULL);
}

/* The first certificate is the signer's, the others may lead to the CA. */
static X509 *read_pem(const struct rh_signed *s, STACK_OF(X509) * chain)
{
    RH_AUTO(bio_freep) BIO *b = BIO_new_mem_buf(s->pem, (int)s->pem_size);
    X509 *signer = b ? next_pem(b) : NULL;

    while (signer && sk_X509_num(chain) < CHAIN_MAX) {
        X509 *next = next_pem(b);

        if (!next)
            break;
        sk_X509_push(chain, next);
    }
    return signer;
}

static bool signature_fits(const struct rh_signed *s, X509 *signer)
{
    RH_AUTO(md_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
    const EVP_MD *kind = EVP_get_digestbyname(s->algorithm);
    EVP_PKEY *key = X509_get0_pubkey(signer);

    return c && kind && key &&
           EVP_DigestVerifyInit(c, NULL, kind, NULL, key) == 1 &&
           EVP_DigestVerify(c, s->signature, s->signature_size, s->text,
                            s->text_size) == 1;
}

static char *subject_of(X509 *x)
{
    RH_AUTO(bio_freep) BIO *b = BIO_new(BIO_s_mem());
    char *text = NULL;
    long n;

    if (!b || X509_NAME_print_ex(b, X509_get_subject_name(x), 0,
                                 XN_FLAG_RFC2253 &
                                     ~(unsigned)ASN1_STRFLGS_ESC_MSB) < 0)
        return rh_strdup("?");
    n = BIO_get_mem_data(b, &text);
    return n > 0 ? rh_strndup(text, (size_t)n) : rh_strdup("?");
}

static bool is_expired(const X509 *x)
{
    return X509_cmp_current_time(X509_get0_notAfter(x)) < 0 ||
           X509_cmp_current_time(X509_get0_notBefore(x)) > 0;
}

static int check_chain(X509 *signer, STACK_OF(X509) * chain,
                       const char *ca_file, struct rh_signer *ret,
                       rh_error **err)
{
    RH_AUTO(store_freep) X509_STORE *store = X509_STORE_new();
    RH_AUTO(store_ctx_freep) X509_STORE_CTX *c = X509_STORE_CTX_new();

    if (!store || !c)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to check a signature");
    if (X509_STORE_load_file(store, ca_file) != 1) {
        rh_fail(err, RH_ERR_FILE_OPEN, "no CA certificate can be read from it");
        return rh_error_subject(err, ca_file);
    }
    X509_STORE_set_flags(store,
                         X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
    if (X509_STORE_CTX_init(c, store, signer, chain) != 1)
        return rh_fail(err, RH_ERR_MEMORY, "no memory to check a signature");
    X509_STORE_CTX_set_purpose(c, X509_PURPOSE_ANY);
    ret->trusted = X509_verify_cert(c) == 1;
    if (!ret->trusted)
        ret->reason = rh_strdup(
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(c)));
    return 0;
}

static int check(const struct rh_signed *s, const char *ca_file,
                 struct rh_signer *ret, rh_error **err)
{
    RH_AUTO(chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();
    RH_AUTO(x509_freep) X509 *signer = chain ? read_pem(s, chain) : NULL;
    struct rh_signer found = {0};

    if (!signer)
        return rh_fail(err, RH_ERR_CERT_INVALID,
                       "its certificate cannot be read");
    if (!signature_fits(s, signer))
        return rh_fail(err, RH_ERR_CERT_MISMATCH,
                       "the signature does not fit the manifest");
    if (ca_file && check_chain(signer, chain, ca_file, &found, err) < 0)
        return -1;
    found.subject = subject_of(signer);
    found.expired = is_expired(signer);
    *ret = found;
    return 0;
}

int rh_sign_check(const struct rh_signed *s, const char *ca_file,
                  struct rh_signer *ret, rh_error **err)
{
    int result = check(s, ca_file, ret, err);

    ERR_clear_error(); /* its queue is the thread's, not ours to fill */
    return result;
}
