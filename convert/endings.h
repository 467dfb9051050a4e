/* endings.h - what a file is by its name, where many lie in a folder.  What one
 * is, is found by its content. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_ENDINGS_H
#define RH_CONVERT_ENDINGS_H

/* Where the ending of a package's (".ova.gz") or of a disk's name (".vmdk")
 * starts; NULL: it has none. */
const char *rh_package_ending(const char *name);
const char *rh_disk_ending(const char *name);

#endif
