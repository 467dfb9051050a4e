/* manifest.c - .mf and .cert on any bytes: what is taken is well formed, and
 * each name is found again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/sign.h"
#include "package/manifest.h"

static void check_line(const struct rh_manifest *m,
                       const struct rh_manifest_line *line)
{
    struct rh_digest *d = rh_digest_new(line->algorithm);
    char hex[RH_DIGEST_HEX];

    if (!d)
        abort();
    rh_digest_hex(d, hex);
    rh_digest_free(d);
    if (strlen(line->digest) != strlen(hex) ||
        strspn(line->digest, "0123456789abcdef+") != strlen(hex) ||
        rh_manifest_find(m, line->name) != line)
        abort();
}

static void check_cert(const char *text, size_t n)
{
    struct rh_cert_text cert = {0};
    struct rh_signer signer = {0};
    struct rh_signed s;

    if (rh_cert_parse(text, n, &cert, NULL) < 0)
        return;
    s = (struct rh_signed){.algorithm = cert.algorithm,
                           .signature = cert.signature,
                           .signature_size = cert.signature_size,
                           .text = text,
                           .text_size = n,
                           .pem = cert.pem,
                           .pem_size = n - (size_t)(cert.pem - text)};
    if (rh_sign_check(&s, NULL, &signer, NULL) == 0)
        abort(); /* nothing can hold a signature of itself */
    free(cert.signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct rh_manifest *m = rh_manifest_parse(text, size, NULL);

    for (size_t i = 0; m && i < m->lines.count; i++)
        check_line(m, &m->lines.items[i]);
    if (m)
        rh_manifest_free(m);
    check_cert(text, size);
    return 0;
}
