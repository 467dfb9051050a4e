/* digest.c - digests by OpenSSL's EVP. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/digest.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS_MAX = 6 };

struct rh_digest {
    size_t count;
    EVP_MD_CTX *context[KINDS_MAX];
    const EVP_MD *kind[KINDS_MAX];
};

static const EVP_MD *kind_named(const char *algorithm, size_t length)
{
    static const struct {
        const char *name;
        const EVP_MD *(*kind)(void);
    } kinds[] = {
        {"sha1", EVP_sha1},     {"sha256", EVP_sha256}, {"sha512", EVP_sha512},
        {"sha224", EVP_sha224}, {"sha384", EVP_sha384}, {"md5", EVP_md5},
    };
    char plain[16];
    size_t n = 0;

    for (size_t i = 0; i < length && n + 1 < sizeof plain; i++)
        if (algorithm[i] != '-')
            plain[n++] = (char)tolower((unsigned char)algorithm[i]);
    plain[n] = '\0';
    for (size_t i = 0; i < RH_COUNT(kinds); i++)
        if (!strcmp(plain, kinds[i].name))
            return kinds[i].kind();
    return NULL;
}

/* A FIPS build may lack an algorithm. */
static bool add_kind(struct rh_digest *d, const EVP_MD *kind)
{
    EVP_MD_CTX *context;

    if (!kind || d->count == KINDS_MAX)
        return false;
    context = EVP_MD_CTX_new();
    d->context[d->count] = context;
    d->kind[d->count++] = kind;
    return context && EVP_DigestInit_ex(context, kind, NULL);
}

struct rh_digest *rh_digest_new(const char *algorithms)
{
    struct rh_digest *d = rh_new0(struct rh_digest);

    for (const char *p = algorithms;; p++) {
        size_t n = strcspn(p, "+");

        if (!add_kind(d, kind_named(p, n))) {
            rh_digest_free(d);
            return NULL;
        }
        p += n;
        if (!*p)
            return d;
    }
}

void rh_digest_add(struct rh_digest *d, const void *bytes, size_t n)
{
    for (size_t i = 0; i < d->count; i++)
        EVP_DigestUpdate(d->context[i], bytes, n);
}

static void to_hex(const unsigned char *bytes, size_t n, char *hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * n] = '\0';
}

void rh_digest_hex(struct rh_digest *d, char ret_hex[RH_DIGEST_HEX])
{
    unsigned char sum[EVP_MAX_MD_SIZE];

    for (size_t i = 0; i < d->count; i++) {
        unsigned n = 0;

        if (i)
            *ret_hex++ = '+';
        EVP_DigestFinal_ex(d->context[i], sum, &n);
        to_hex(sum, n, ret_hex);
        ret_hex += 2 * n;
    }
}

void rh_digest_reset(struct rh_digest *d)
{
    for (size_t i = 0; i < d->count; i++)
        EVP_DigestInit_ex(d->context[i], d->kind[i], NULL);
}

void rh_digest_free(struct rh_digest *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++)
        EVP_MD_CTX_free(d->context[i]);
    free(d);
}

static void one_shot(const EVP_MD *kind, const void *bytes, size_t n, char *hex)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    EVP_Digest(bytes, n, sum, &length, kind, NULL);
    to_hex(sum, length, hex);
}

void rh_sha1_hex(const void *bytes, size_t n, char ret_hex[41])
{
    one_shot(EVP_sha1(), bytes, n, ret_hex);
}

void rh_sha256_hex(const void *bytes, size_t n, char ret_hex[65])
{
    one_shot(EVP_sha256(), bytes, n, ret_hex);
}
