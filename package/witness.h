/* witness.h - the digest of a remote file from the bytes that pass. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_WITNESS_H
#define RH_PACKAGE_WITNESS_H

#include "base/digest.h"
#include "base/io.h"

struct rh_witness;
/* NULL when such a digest cannot be computed here. */
struct rh_witness *rh_witness_new(struct rh_io *io, const char *algorithm);
void rh_witness_free(struct rh_witness *w);
/* The file again, seen by the witness, which must outlive it. */
struct rh_io *rh_witness_io(struct rh_witness *w);
/* Read what nobody has read; once. */
int rh_witness_hex(struct rh_witness *w, char ret_hex[RH_DIGEST_HEX],
                   rh_error **err);

#endif
