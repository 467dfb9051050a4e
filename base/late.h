/* late.h - libraries that most runs do without, loaded when first needed.
 *
 * libguestfs and libcurl bring fifty other libraries along (libvirt, glib,
 * Kerberos, LDAP): linked, they would cost each start two thirds of its time
 * and half of the program's memory.
 *
 *     #define CALLS(X, p) X(p, create) X(p, launch)
 *     RH_LATE_TABLE(guestfs, CALLS);
 *     if (RH_LATE_LOAD("libguestfs.so.0", guestfs, err) == 0)
 *         g = guestfs.create(); */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_LATE_H
#define RH_BASE_LATE_H

#include <stddef.h>

#include "base/error.h"

#define RH_LATE_POINTER(prefix, name) __typeof__(prefix##_##name) *name;
#define RH_LATE_NAME(prefix, name)    #prefix "_" #name,

/* A table `prefix` of pointers to the library's functions prefix_NAME. */
#define RH_LATE_TABLE(prefix, CALLS)                                           \
    static const char *const prefix##_names[] = {CALLS(RH_LATE_NAME, prefix)}; \
    static struct {                                                            \
        CALLS(RH_LATE_POINTER, prefix)                                         \
    } prefix

#define RH_LATE_LOAD(file, prefix, err) \
    rh_late_load(file, prefix##_names, RH_COUNT(prefix##_names), &prefix, err)

/* Fill the table with the functions of these names.  Any thread; the library
 * stays for good. */
int rh_late_load(const char *file, const char *const *names, size_t count,
                 void *ret_table, rh_error **err);

#endif
