/* hive.h - one registry hive of the guest, to read and to edit.
 *
 * Opened through regf.h (logs replayed, every cell checked), edited by libhivex
 * in memory, checked once more, and written over the guest's file, which keeps
 * its name and its ACL.  Names compare without regard to case, as Windows does.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_HIVE_H
#define RH_GUESTFIX_WINDOWS_HIVE_H

#include <hivex.h>

#include "guestfix/family.h"

struct rh_hive;
typedef hive_node_h rh_key; /* 0: there is no such key */

/* `path` is the guest's ("/Windows/System32/config/SYSTEM"), `name` what edits
 * call its root ("HKLM\\SYSTEM").  *ret_replayed: pages that its logs held.
 * HIVE_DIRTY, HIVE_DAMAGED or HIVE_KIND say why it is left alone. */
struct rh_hive *rh_hive_open(struct rh_guest *g, const char *path,
                             const char *name, size_t *ret_replayed,
                             rh_error **err);
/* From bytes (taken over), for hives that are no file of the guest. */
struct rh_hive *rh_hive_of(void *bytes, size_t n, const char *path,
                           const char *name, rh_error **err);
void rh_hive_close(struct rh_hive *h); /* NULL is fine; drops edits */

/* --- reading -----------------------------------------------------------------
 */
rh_key rh_hive_root(const struct rh_hive *h);
/* By a path with backslashes below `from` (0: the root). */
rh_key rh_hive_key(struct rh_hive *h, rh_key from, const char *path);
/* Names of its subkeys, NULL-ended, sorted as stored; NULL for no key.  Free
 * with rh_name_list_free(). */
char **rh_hive_children(struct rh_hive *h, rh_key k);
char **rh_hive_values(struct rh_hive *h, rh_key k); /* names of its values */
/* NULL, or false, where there is none of that name and kind.  Strings end at
 * their first NUL: Windows leaves garbage behind it. */
char *rh_hive_text(struct rh_hive *h, rh_key k, const char *value);
char **rh_hive_list(struct rh_hive *h, rh_key k, const char *value);
bool rh_hive_number(struct rh_hive *h, rh_key k, const char *value,
                    uint64_t *ret);
void *rh_hive_bytes(struct rh_hive *h, rh_key k, const char *value,
                    size_t *ret_n);

/* --- editing -----------------------------------------------------------------
 * Each records an edit (where: the value's full name; before and after) if
 * something changes, and does nothing if it is so already. */
struct rh_hive_edit {
    struct rh_fix_job *j;
    struct rh_hive *h;
    const char *what; /* translated: why */
};
/* The key, made with all its parents if need be; 0 on failure. */
rh_key rh_hive_make(struct rh_hive_edit *e, const char *path, rh_error **err);
int rh_hive_set_number(struct rh_hive_edit *e, const char *path,
                       const char *value, uint32_t number, rh_error **err);
/* `type` is hive_t_REG_SZ or hive_t_REG_EXPAND_SZ. */
int rh_hive_set_text(struct rh_hive_edit *e, const char *path,
                     const char *value, hive_type type, const char *text,
                     rh_error **err);
int rh_hive_set_list(struct rh_hive_edit *e, const char *path,
                     const char *value, const char *const *list,
                     rh_error **err);
int rh_hive_set_bytes(struct rh_hive_edit *e, const char *path,
                      const char *value, const void *bytes, size_t n,
                      rh_error **err);
int rh_hive_drop_value(struct rh_hive_edit *e, const char *path,
                       const char *value, rh_error **err);
int rh_hive_drop_key(struct rh_hive_edit *e, const char *path, rh_error **err);
/* Write it over the guest's file, if anything changed (a replay counts). */
int rh_hive_commit(struct rh_hive_edit *e, rh_error **err);

/* UTF-16LE without an end mark, `n` bytes, to UTF-8 up to the first NUL; what
 * is no character becomes U+FFFD.  The caller frees. */
char *rh_utf16_text(const void *bytes, size_t n);
/* UTF-8 to UTF-16LE with an end mark, appended. */
void rh_utf16_add(struct rh_buf *b, const char *text);

#endif
