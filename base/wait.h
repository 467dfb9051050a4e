/* wait.h - the one place where we wait for somebody else.
 *
 * A pipe may stay silent and a reader may never come.  Every call that could
 * wait for them goes through here: it asks rh_go_on() five times a second, so
 * that a cancel is answered whoever received the signal. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_WAIT_H
#define RH_BASE_WAIT_H

#include <pthread.h>
#include <stddef.h>

#include "base/error.h"
#include "base/lib.h"

/* Until one of the poll() `events` is there on fd, or its other end is gone.
 * `lib` may be NULL: then nobody can cancel. */
int rh_wait_ready(rh_lib *lib, int fd, short events, rh_error **err);
/* Sleep for a tenth of a second. */
int rh_wait_nap(rh_lib *lib, rh_error **err);
/* Up to n bytes that are there; *ret_n == 0 is the end.  FILE_READ. */
int rh_wait_read(rh_lib *lib, int fd, void *buf, size_t n, size_t *ret_n,
                 rh_error **err);
/* All n bytes.  FILE_WRITE. */
int rh_wait_write(rh_lib *lib, int fd, const void *buf, size_t n,
                  rh_error **err);
/* A descriptor for rh_wait_write() instead of `fd` (takes it): one of the same
 * pipe that never blocks, where that can be had.  The flags of `fd` itself are
 * not ours to change: other processes share them. */
int rh_wait_writer(int fd);
/* open() of a FIFO with O_RDONLY or O_WRONLY: waits for who writes or reads.
 * -1 with FILE_OPEN. */
int rh_wait_open(rh_lib *lib, const char *path, int flags, rh_error **err);

/* Conditions whose waits end after `ms` at the latest, by the monotonic clock:
 * whoever sets the wall clock changes nothing. */
void rh_wait_cond_init(pthread_cond_t *cond);
void rh_wait_cond(pthread_cond_t *cond, pthread_mutex_t *lock, unsigned ms);

#endif
