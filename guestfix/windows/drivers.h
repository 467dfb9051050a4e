/* drivers.h - drivers for Windows guests, as --drivers gives them: the folder
 * or ISO image of virtio-win, or a plain folder of .inf files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_DRIVERS_H
#define RH_GUESTFIX_WINDOWS_DRIVERS_H

#include "guestfix/windows/windows.h"

struct rh_win_file {
    char *name; /* without its folder */
    void *bytes;
    size_t n;
};
struct rh_win_files {
    struct rh_win_file *items;
    size_t count, room;
};
void rh_win_files_free(struct rh_win_files *f);
/* "viostor.sys", without regard to case; NULL: not there. */
const struct rh_win_file *rh_win_file_named(const struct rh_win_files *f,
                                            const char *name);

/* The files of one driver for this Windows, by the name of its folder
 * ("vioserial") and of its .inf ("vioser").  None: *ret is empty.
 * FILE_OPEN and the like when `where` cannot be read. */
int rh_win_drivers_find(const struct rh_windows *w, const char *where,
                        const char *driver, const char *inf,
                        struct rh_win_files *ret, rh_error **err);

/* The first file of that name in whatever folder; none: *ret is empty. */
int rh_win_drivers_file(const char *where, const char *name,
                        struct rh_win_files *ret, rh_error **err);

/* Why a boot driver would not be loaded; NULL: it would.  Translated. */
const char *rh_win_driver_refusal(const struct rh_windows *w,
                                  const struct rh_win_file *sys);
/* Why its .inf ("vioscsi") is not for this Windows; NULL: it is. */
const char *rh_win_inf_refusal(const struct rh_windows *w,
                               const struct rh_win_files *f, const char *inf);
/* Why a package would not be installed ("netkvm.inf" among its files): Windows
 * wants a catalog that lists the .inf.  NULL: it would.  Translated. */
const char *rh_win_package_refusal(const struct rh_windows *w,
                                   const struct rh_win_files *f,
                                   const char *inf);

#endif
