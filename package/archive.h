/* archive.h - archives as places: what tar and zip have in common, and the
 * members that only libarchive can unpack (zip, sparse members of a tar). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_ARCHIVE_H
#define RH_PACKAGE_ARCHIVE_H

#include "base/io.h"
#include "package/index.h"

/* What an archive's end says about how whole it is. */
struct rh_archive_about {
    bool ended;    /* its end mark was met */
    bool trailing; /* something other than zeros follows it */
};

struct rh_archive {
    rh_lib *lib;
    struct rh_io *io;
    struct rh_index index;
    bool zip;
};

struct rh_archive *rh_archive_new(rh_lib *lib, struct rh_io *io);
void rh_archive_free(struct rh_archive *a);
RH_FREEP(rh_archive_freep, struct rh_archive, rh_archive_free)
/* The finished index as a place; takes `a`. */
struct rh_place *rh_archive_place(struct rh_archive *a);
/* Of a place that was made so. */
struct rh_index *rh_archive_index(const struct rh_place *p);

bool rh_zip_probe(const void *head, size_t n);
struct rh_place *rh_zip_open(rh_lib *lib, struct rh_io *io,
                             struct rh_archive_about *ret_about,
                             rh_error **err);

#endif
