/* features.h - what this build was made with, for --version. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_FEATURES_H
#define RH_BASE_FEATURES_H

#ifdef HAVE_LIBGUESTFS
#define RH_WITH_LIBGUESTFS "yes"
#else
#define RH_WITH_LIBGUESTFS "no (XFS, btrfs are only looked at; LUKS stays shut)"
#endif

#ifdef HAVE_LIBVIRT
#define RH_WITH_LIBVIRT "yes"
#else
#define RH_WITH_LIBVIRT "no"
#endif

#ifdef HAVE_LIBCURL
#define RH_WITH_LIBCURL "yes"
#else
#define RH_WITH_LIBCURL "no (packages at http(s) addresses are not read)"
#endif

#ifdef HAVE_LIBNBD
#define RH_WITH_LIBNBD "yes"
#else
#define RH_WITH_LIBNBD "no (NBD servers are not read from or written to)"
#endif

#endif
