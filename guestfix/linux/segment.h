/* segment.h - our own segment behind an initramfs, found again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_SEGMENT_H
#define RH_GUESTFIX_LINUX_SEGMENT_H

#include <stddef.h>

/* Where our segment starts; n when there is none. */
size_t rh_segment_find(const void *bytes, size_t n);
/* How many bytes come before it, without the zeros we put between. */
size_t rh_segment_start(const void *bytes, size_t found, size_t n);

#endif
