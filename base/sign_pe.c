/* sign_pe.c - who signed a PE file (a driver), by the signature in it.
 *
 * Windows itself checks that the signature fits the file; what must be known
 * beforehand is whether it would be believed at all: the chain of certificates
 * tells.  Format: Microsoft's PE specification, attribute certificate table. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sign.h"

enum { CERTIFICATE_TABLE = 4, CHAIN_MAX = 16, PE32_PLUS = 0x20b };

static void pkcs7_freep(PKCS7 **p)
{
    PKCS7_free(*p);
}

/* The PKCS#7 structure in the file: *ret_n 0: there is none. */
static const unsigned char *certificate(const unsigned char *p, size_t n,
                                        size_t *ret_n)
{
    uint64_t at = n >= 64 && !memcmp(p, "MZ", 2) ? rh_le32(p + 60) : 0;
    uint64_t entry, where, size;

    *ret_n = 0;
    if (!at || at + 24 + 2 > n || memcmp(p + at, "PE\0", 4))
        return NULL;
    entry = at + 24 + (rh_le16(p + at + 24) == PE32_PLUS ? 112 : 96) +
            CERTIFICATE_TABLE * 8;
    if (entry + 8 > n)
        return NULL;
    where = rh_le32(p + entry);
    size = rh_le32(p + entry + 4);
    if (size <= 8 || where + size > n || rh_le32(p + where) > size ||
        rh_le32(p + where) <= 8)
        return NULL;
    *ret_n = rh_le32(p + where) - 8;
    return p + where + 8;
}

static bool says(X509_NAME *name, const char *what)
{
    char text[256] = "";

    return X509_NAME_get_text_by_NID(name, NID_commonName, text, sizeof text) >
               0 &&
           strstr(text, what);
}

static X509 *issuer_among(STACK_OF(X509) * all, X509 *x)
{
    for (int i = 0; i < sk_X509_num(all); i++) {
        X509 *one = sk_X509_value(all, i);

        if (one != x &&
            !X509_NAME_cmp(X509_get_subject_name(one), X509_get_issuer_name(x)))
            return one;
    }
    return NULL;
}

static enum rh_pe_trust trust_of(STACK_OF(X509) * all, X509 *signer)
{
    X509 *x = signer;

    if (!X509_NAME_cmp(X509_get_subject_name(signer),
                       X509_get_issuer_name(signer)))
        return RH_PE_TEST;
    for (int i = 0; x && i < CHAIN_MAX; i++) {
        if (says(X509_get_issuer_name(x), "Microsoft Code Verification Root"))
            return RH_PE_CROSS;
        if (says(X509_get_issuer_name(x), "Microsoft Root"))
            return RH_PE_MICROSOFT;
        x = issuer_among(all, x);
    }
    return RH_PE_UNKNOWN;
}

enum rh_pe_trust rh_sign_pe(const void *bytes, size_t n)
{
    size_t size;
    const unsigned char *der = certificate(bytes, n, &size);
    RH_AUTO(pkcs7_freep) PKCS7 *p = NULL;
    STACK_OF(X509) * signers, *all;
    enum rh_pe_trust trust = RH_PE_UNKNOWN;

    if (!der)
        return RH_PE_UNSIGNED;
    p = d2i_PKCS7(NULL, &der, (long)size);
    if (!p || !PKCS7_type_is_signed(p) || !p->d.sign) {
        ERR_clear_error();
        return RH_PE_UNKNOWN;
    }
    all = p->d.sign->cert;
    signers = PKCS7_get0_signers(p, NULL, 0);
    if (signers && sk_X509_num(signers) > 0)
        trust = trust_of(all, sk_X509_value(signers, 0));
    sk_X509_free(signers);
    ERR_clear_error();
    return trust;
}
