/* sign.h - was this text signed by the holder of that certificate? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_SIGN_H
#define RH_BASE_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct rh_signed {
    const char *algorithm; /* of the digest that was signed: "sha256" */
    const unsigned char *signature;
    size_t signature_size;
    const void *text; /* what was signed */
    size_t text_size;
    const char *pem; /* the signer's certificate, then its chain */
    size_t pem_size;
};
struct rh_signer {
    char *subject; /* one line, RFC 2253, UTF-8; the caller frees */
    bool trusted;  /* a chain leads to a certificate of the CA file */
    bool expired;  /* the certificate is no longer, or not yet, valid */
    char *reason;  /* why not trusted, or NULL; the caller frees */
};
/* CERT_INVALID when the certificate doesn't read, CERT_MISMATCH when the
 * signature is not over that text, FILE_OPEN... when the CA file is bad.
 * `ca_file` NULL: nobody is trusted. */
int rh_sign_check(const struct rh_signed *s, const char *ca_file,
                  struct rh_signer *ret, rh_error **err);

/* Whom a driver's signature leads to. */
enum rh_pe_trust {
    RH_PE_UNSIGNED,
    RH_PE_TEST,      /* signed by itself: Windows wants test mode */
    RH_PE_CROSS,     /* "Microsoft Code Verification Root": Vista to 8.1, and 10
                        without Secure Boot */
    RH_PE_MICROSOFT, /* Microsoft's own root: everywhere */
    RH_PE_UNKNOWN,   /* to somebody else, or it does not read */
    RH_PE_CHANGED    /* the signature is not one of this file */
};
enum rh_pe_trust rh_sign_pe(const void *bytes, size_t n);
/* The same for the catalog (.cat) of a driver's package, which must list
 * `file`: an image by its own digest, any other by that of its bytes. */
enum rh_pe_trust rh_sign_catalog(const void *catalog, size_t n,
                                 const void *file, size_t file_n);
/* The processor that a PE file is made for, as its header has it (0x8664:
 * x86-64); 0: it is none. */
uint16_t rh_sign_pe_machine(const void *bytes, size_t n);

#endif
