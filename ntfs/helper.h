/* helper.h - the parts of rehost-ntfs. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef REHOST_NTFS_HELPER_H
#define REHOST_NTFS_HELPER_H

/* libntfs-3g's headers count on these. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <ntfs-3g/attrib.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/logfile.h>
#include <ntfs-3g/logging.h>
#include <ntfs-3g/ntfstime.h>
#include <ntfs-3g/security.h>
#include <ntfs-3g/unistr.h>
#include <ntfs-3g/volume.h>

#include "ntfs/protocol.h"

/* channel.c: the socket is descriptor 0.  When it breaks, the program ends:
 * nobody is there who would want an answer. */
void receive(struct rh_ntfs_frame *f, char **ret_payload); /* yours to free */
void send_frame(const struct rh_ntfs_frame *f, const void *payload);
extern struct ntfs_device_operations socket_device;
extern uint64_t volume_bytes; /* as rehost told */

/* sandbox.c: from here on only memory and the socket. */
void enter_sandbox(void);
/* What the library takes for the present, seconds since 1970. */
void set_clock(time_t now);

/* volume.c: each gives 0 or an errno. */
int volume_open(bool writing, uint64_t *ret_state);
int volume_close(void); /* all is written back */
bool volume_is_open(void);
int file_stat(uint64_t node, struct rh_ntfs_stat *ret);
int file_read(uint64_t node, uint64_t at, uint64_t n, char *to, uint64_t *ret);
int file_write(uint64_t node, uint64_t at, const char *from, uint64_t n);
int file_truncate(uint64_t node, uint64_t bytes);
int acl_get(uint64_t node, char **ret, uint32_t *ret_n);
int acl_set(uint64_t node, const char *acl, uint32_t n);
int free_bytes(uint64_t *ret);

/* folder.c */
int folder_find(uint64_t dir, const char *name, uint64_t *ret);
int folder_list(uint64_t dir, char **ret, uint32_t *ret_n);
int folder_add(uint64_t dir, const char *name, bool make_dir, uint64_t *ret);
int folder_remove(uint64_t dir, const char *name);
int folder_rename(uint64_t dir, const char *name, uint64_t to, const char *as);

extern ntfs_volume *volume; /* NULL: not mounted */

#endif
