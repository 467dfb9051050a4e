/* result.h - read back what convert left in a folder. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_RESULT_H
#define RH_DELIVER_RESULT_H

#include <jansson.h>

#include "base/lib.h"
#include "formats/format.h"

/* A document of the folder ("receipt.json"); the caller has the reference.
 * `read`: that of a struct rh_server_kind, or NULL. */
json_t *rh_result_json_by(json_t *(*read)(rh_lib *lib, struct rh_io *io,
                                          rh_error **err),
                          rh_lib *lib, const char *dir, const char *name,
                          rh_error **err);
json_t *rh_result_json(const char *dir, const char *name, rh_error **err);
/* The file of all disks, as it lies there. */
struct rh_io *rh_result_archive(const char *dir, const json_t *receipt,
                                rh_error **err);
/* Disk i of the receipt: a file of its own, or inside the archive. */
struct rh_reader *rh_result_disk(rh_lib *lib, const char *dir,
                                 const json_t *receipt, size_t i,
                                 rh_error **err);

#endif
