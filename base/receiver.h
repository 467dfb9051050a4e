/* receiver.h - places where whole VMs go, which the caller of the library made
 * itself.
 *
 * They are known by "app-vm:NAME" wherever the URL of a server is taken. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_RECEIVER_H
#define RH_BASE_RECEIVER_H

#include "base/lib.h"

/* One VM that goes there; its calls may come from any thread. */
struct rh_receiving;
/* `vm`: rehost.receive/1. */
struct rh_receiving *rh_receiving_begin(rh_lib *lib, const char *url,
                                        const char *vm, rh_error **err);
int rh_receiving_write(struct rh_receiving *r, size_t disk, const void *buf,
                       size_t n, uint64_t offset, rh_error **err);
/* A disk begins: all of it reads as zeros. */
int rh_receiving_disk(struct rh_receiving *r, size_t disk, uint64_t size,
                      rh_error **err);
int rh_receiving_flush(struct rh_receiving *r, size_t disk, rh_error **err);
/* The VM is complete; it is freed when that was taken. */
int rh_receiving_finish(struct rh_receiving *r, const char *receipt,
                        rh_error **err);
void rh_receiving_abort(struct rh_receiving *r); /* frees it */
/* FILE_NOT_FOUND where the program has added none of that name. */
int rh_receiver_check(rh_lib *lib, const char *url, rh_error **err);
/* With the library object. */
void rh_receiver_drop(rh_lib *lib);

#endif
