/* manifest.h - the .mf and .cert files of a package, as text. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_MANIFEST_H
#define RH_PACKAGE_MANIFEST_H

#include <stddef.h>

#include "base/error.h"

struct rh_manifest_line {
    const char *name;      /* as written, without a leading "./" */
    const char *algorithm; /* "sha256", or of several "sha256+sha1" */
    const char *digest;    /* lower-case hex, likewise */
};
struct rh_manifest {
    struct rh_arena *arena;
    RH_VEC(struct rh_manifest_line) lines; /* one per name */
    RH_VEC(unsigned) odd; /* numbers of the lines that make no sense */
};

void rh_manifest_free(struct rh_manifest *m);
RH_FREEP(rh_manifest_freep, struct rh_manifest, rh_manifest_free)
/* MANIFEST_CONFLICT when it says two things about one file. */
struct rh_manifest *rh_manifest_parse(const char *text, size_t n,
                                      rh_error **err);
const struct rh_manifest_line *rh_manifest_find(const struct rh_manifest *m,
                                                const char *name);

/* The signature line of a .cert: "SHA256(web01.mf)= 8a3f...", and where its
 * certificates (PEM) start.  CERT_INVALID when there is none. */
struct rh_cert_text {
    const char *algorithm;    /* static */
    unsigned char *signature; /* the caller frees */
    size_t signature_size;
    const char *pem; /* in the text */
};
int rh_cert_parse(const char *text, size_t n, struct rh_cert_text *ret,
                  rh_error **err);

#endif
