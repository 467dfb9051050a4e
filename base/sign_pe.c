/* sign_pe.c - who signed a PE file (a driver), or the catalog of a driver's
 * package, and does the signature fit what it signs?
 *
 * Digest and signature are verified, and each certificate by the next one in
 * the file; the root itself is in no such file and known here by its name only:
 * that it really is Microsoft's, Windows checks.  Formats: Microsoft's PE
 * specification (attribute certificate table), "Windows Authenticode Portable
 * Executable Signature Format". */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
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
static void md_ctx_freep(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}
static void algor_freep(X509_ALGOR **a)
{
    X509_ALGOR_free(*a);
}

/* --- the file ----------------------------------------------------------------
 */
/* What an image's digest leaves out, as byte offsets. */
struct image {
    const unsigned char *p;
    size_t n;
    size_t checksum, entry;  /* 4 and 8 bytes in the headers */
    size_t table, table_end; /* the signatures; both 0: none */
};

/* False: no PE file, or its signatures lie outside of it. */
static bool image_of(const unsigned char *p, size_t n, struct image *ret)
{
    uint64_t at = n >= 64 && !memcmp(p, "MZ", 2) ? rh_le32(p + 60) : 0;
    uint64_t entry, where, size;

    if (!at || at + 24 + 2 > n || memcmp(p + at, "PE\0", 4))
        return false;
    entry = at + 24 + (rh_le16(p + at + 24) == PE32_PLUS ? 112 : 96) +
            CERTIFICATE_TABLE * 8;
    if (entry + 8 > n)
        return false;
    where = rh_le32(p + entry);
    size = rh_le32(p + entry + 4);
    if (!size)
        where = 0;
    if (where + size > n || (size && where < entry + 8))
        return false;
    *ret = (struct image){p,
                          n,
                          (size_t)at + 24 + 64,
                          (size_t)entry,
                          (size_t)where,
                          (size_t)(where + size)};
    return true;
}

/* The PKCS#7 structure among its signatures; *ret_n 0: there is none. */
static const unsigned char *certificate(const struct image *i, size_t *ret_n)
{
    const unsigned char *p = i->p + i->table;
    size_t size = i->table_end - i->table;

    *ret_n = 0;
    if (size <= 8 || rh_le32(p) > size || rh_le32(p) <= 8)
        return NULL;
    *ret_n = rh_le32(p) - 8;
    return p + 8;
}

/* Returns its length; 0: it failed. */
static unsigned image_digest(const struct image *i, const EVP_MD *md,
                             unsigned char ret[EVP_MAX_MD_SIZE])
{
    RH_AUTO(md_ctx_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t end = i->table_end ? i->table : i->n;
    unsigned n = 0;

    return c && EVP_DigestInit_ex(c, md, NULL) &&
                   EVP_DigestUpdate(c, i->p, i->checksum) &&
                   EVP_DigestUpdate(c, i->p + i->checksum + 4,
                                    i->entry - i->checksum - 4) &&
                   EVP_DigestUpdate(c, i->p + i->entry + 8,
                                    end - i->entry - 8) &&
                   (!i->table_end || EVP_DigestUpdate(c, i->p + i->table_end,
                                                      i->n - i->table_end)) &&
                   EVP_DigestFinal_ex(c, ret, &n)
               ? n
               : 0;
}

/* --- whom it leads to --------------------------------------------------------
 */
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
            !X509_NAME_cmp(X509_get_subject_name(one),
                           X509_get_issuer_name(x)) &&
            X509_verify(x, X509_get0_pubkey(one)) == 1)
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

/* --- what is signed ----------------------------------------------------------
 */
/* The next DER element at *p, which must have that tag: its contents in *ret,
 * and *p behind it. */
static bool take(const unsigned char **p, const unsigned char *end, int tag,
                 const unsigned char **ret, size_t *ret_n)
{
    const unsigned char *q = *p;
    int found, class;
    long n;

    if (q >= end || ASN1_get_object(&q, &n, &found, &class, end - q) & 0x80 ||
        found != tag || class != V_ASN1_UNIVERSAL || n < 0 || n > end - q)
        return false;
    *ret = q;
    *ret_n = (size_t)n;
    *p = q + n;
    return true;
}

/* The signed contents, without their own tag: that is what is signed. */
static bool contents_of(const PKCS7 *p, const unsigned char **ret,
                        size_t *ret_n)
{
    const PKCS7 *inner = p->d.sign->contents;
    const ASN1_TYPE *t = inner && inner->type ? inner->d.other : NULL;
    const unsigned char *der;

    if (!t || OBJ_obj2nid(inner->type) == NID_pkcs7_data ||
        t->type != V_ASN1_SEQUENCE || !t->value.sequence)
        return false;
    der = t->value.sequence->data;
    return take(&der, der + t->value.sequence->length, V_ASN1_SEQUENCE, ret,
                ret_n);
}

/* SpcIndirectDataContent: what kind of file, then algorithm and digest of it.
 */
static bool fits_image(const unsigned char *p, size_t n, const struct image *i)
{
    const unsigned char *end = p + n, *info, *kind, *digest, *algorithm;
    unsigned char own[EVP_MAX_MD_SIZE];
    RH_AUTO(algor_freep) X509_ALGOR *a = NULL;
    size_t info_n, kind_n, digest_n;
    const ASN1_OBJECT *name = NULL;
    const EVP_MD *md;

    if (!take(&p, end, V_ASN1_SEQUENCE, &kind, &kind_n) ||
        !take(&p, end, V_ASN1_SEQUENCE, &info, &info_n))
        return false;
    algorithm = info;
    a = d2i_X509_ALGOR(NULL, &algorithm, (long)info_n);
    if (!a || !take(&algorithm, info + info_n, V_ASN1_OCTET_STRING, &digest,
                    &digest_n))
        return false;
    X509_ALGOR_get0(&name, NULL, NULL, a);
    md = EVP_get_digestbyobj(name);
    return md && digest_n == (size_t)EVP_MD_get_size(md) &&
           image_digest(i, md, own) == digest_n &&
           !memcmp(own, digest, digest_n);
}

/* Is its digest, as an OCTET STRING, in the list of a catalog? */
static bool is_listed(const unsigned char *p, size_t n, const void *file,
                      size_t file_n)
{
    const EVP_MD *const all[] = {EVP_sha256(), EVP_sha1()};
    struct image i;
    bool image = image_of(file, file_n, &i);

    for (size_t k = 0; k < RH_COUNT(all); k++) {
        unsigned char wanted[2 + EVP_MAX_MD_SIZE] = {V_ASN1_OCTET_STRING};
        unsigned length = 0;

        if (image)
            length = image_digest(&i, all[k], wanted + 2);
        else if (!EVP_Digest(file, file_n, wanted + 2, &length, all[k], NULL))
            length = 0;
        wanted[1] = (unsigned char)length;
        if (length && memmem(p, n, wanted, length + 2))
            return true;
    }
    return false;
}

/* --- all of it ---------------------------------------------------------------
 */
static PKCS7 *signature_of(const unsigned char *der, size_t n)
{
    PKCS7 *p = d2i_PKCS7(NULL, &der, (long)n);

    if (p && PKCS7_type_is_signed(p) && p->d.sign)
        return p;
    PKCS7_free(p);
    return NULL;
}

/* Was this signed by the certificate that the first signature names?
 * PKCS7_verify() would do, but leaks where it meets an unknown digest. */
static bool is_signed(PKCS7 *p, const unsigned char *contents, size_t n)
{
    STACK_OF(X509) *signers = PKCS7_get0_signers(p, NULL, 0);
    STACK_OF(PKCS7_SIGNER_INFO) *all = PKCS7_get_signer_info(p);
    BIO *in = BIO_new_mem_buf(contents, (int)n);
    BIO *chain = in ? PKCS7_dataInit(p, in) : NULL;
    bool good = false;
    char buffer[4096];

    if (!chain)
        BIO_free(in);
    while (chain && BIO_read(chain, buffer, sizeof buffer) > 0)
        ;
    if (chain && sk_X509_num(signers) > 0)
        good =
            PKCS7_signatureVerify(chain, p, sk_PKCS7_SIGNER_INFO_value(all, 0),
                                  sk_X509_value(signers, 0)) == 1;
    BIO_free_all(chain);
    sk_X509_free(signers);
    return good;
}

static enum rh_pe_trust leads_to(PKCS7 *p)
{
    STACK_OF(X509) *signers = PKCS7_get0_signers(p, NULL, 0);
    enum rh_pe_trust trust = RH_PE_UNKNOWN;

    if (signers && sk_X509_num(signers) > 0)
        trust = trust_of(p->d.sign->cert, sk_X509_value(signers, 0));
    sk_X509_free(signers);
    return trust;
}

enum rh_pe_trust rh_sign_pe(const void *bytes, size_t n)
{
    RH_AUTO(pkcs7_freep) PKCS7 *p = NULL;
    enum rh_pe_trust trust = RH_PE_UNKNOWN;
    const unsigned char *der = NULL, *contents;
    size_t size = 0;
    struct image i;

    if (image_of(bytes, n, &i))
        der = certificate(&i, &size);
    if (!der)
        return RH_PE_UNSIGNED;
    p = signature_of(der, size);
    if (p && contents_of(p, &contents, &size))
        trust = fits_image(contents, size, &i) && is_signed(p, contents, size)
                    ? leads_to(p)
                    : RH_PE_CHANGED;
    ERR_clear_error();
    return trust;
}

enum rh_pe_trust rh_sign_catalog(const void *catalog, size_t n,
                                 const void *file, size_t file_n)
{
    RH_AUTO(pkcs7_freep) PKCS7 *p = signature_of(catalog, n);
    enum rh_pe_trust trust = RH_PE_UNKNOWN;
    const unsigned char *contents;
    size_t size;

    if (p && contents_of(p, &contents, &size))
        trust = is_listed(contents, size, file, file_n) &&
                        is_signed(p, contents, size)
                    ? leads_to(p)
                    : RH_PE_CHANGED;
    ERR_clear_error();
    return trust;
}

uint16_t rh_sign_pe_machine(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    struct image i;

    return image_of(bytes, n, &i) ? rh_le16(p + rh_le32(p + 60) + 4) : 0;
}
