/* edits.c - what fixes write by: every edit is recorded, with before and after.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "guestfix/engine.h"

enum { SHOWN_MAX = 64 * 1024, FILE_MAX = 512 * 1024 * 1024 };

static char *digest_of(const void *bytes, size_t n)
{
    char hex[65];

    rh_sha256_hex(bytes, n, hex);
    return rh_printf("sha256:%s", hex);
}

char *rh_fix_shown(const void *bytes, size_t n)
{
    if (n <= SHOWN_MAX && !memchr(bytes, 0, n) && rh_valid_utf8(bytes, n))
        return rh_memdup0(bytes, n);
    return digest_of(bytes, n);
}

/* What not everybody may read in the guest (keys of wireless networks, hashes
 * of a boot loader's passwords) is not for every reader of a receipt. */
static bool is_private(struct rh_fix_job *j, const char *path)
{
    struct rh_guest_stat st;

    return j->guest->ops->stat(j->guest, path, true, &st, NULL) == 0 &&
           !(st.mode & 0004);
}

void rh_fix_note(struct rh_fix_job *j, const char *path, const char *what,
                 char *before, char *after)
{
    struct rh_edit *e;

    if (!j->o->edits) {
        free(before);
        free(after);
        return;
    }
    e = rh_vec_add(j->o->edits);
    e->where = rh_guest_real(j->guest, path);
    e->what = rh_strdup(what);
    e->before = before;
    e->after = after;
    e->fix = rh_strdup(j->name);
}

bool rh_fix_frozen(struct rh_fix_job *j, const char *path)
{
    const char *const *frozen = j->guest->frozen;
    RH_AUTO(rh_freep)
    char *real = frozen ? rh_guest_real(j->guest, path) : NULL;

    for (; frozen && *frozen; frozen++)
        if (!strncmp(real, *frozen, strlen(*frozen))) {
            if (!rh_findings_has(j->o->findings, RH_F_GUEST_IMMUTABLE))
                rh_finding_add(
                    j->o->findings, RH_F_GUEST_IMMUTABLE, "os",
                    N_("files that the system builds by itself are left as "
                       "they are; the first that would change is %s (%s)"),
                    path, j->name);
            return true;
        }
    return false;
}

int rh_fix_put(struct rh_fix_job *j, const char *path, const void *bytes,
               size_t n, uint32_t mode, const char *what, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    RH_AUTO(rh_freep) void *old = NULL;
    size_t old_n = 0;
    bool private;

    if (j->guest->ops->read(j->guest, path, FILE_MAX, &old, &old_n, &why) < 0 &&
        rh_error_number(why) != RH_ERR_FILE_NOT_FOUND) {
        if (err && !*err)
            *err = RH_TAKE(why);
        return -1;
    }
    if (old && old_n == n && !memcmp(old, bytes, n))
        return 0;
    if (rh_fix_frozen(j, path))
        return 0;
    private = old && is_private(j, path);
    if (j->guest->ops->write(j->guest, path, bytes, n, mode, err) < 0)
        return -1;
    if (private)
        rh_fix_note(j, path, what, digest_of(old, old_n), digest_of(bytes, n));
    else
        rh_fix_note(j, path, what, old ? rh_fix_shown(old, old_n) : NULL,
                    rh_fix_shown(bytes, n));
    return 0;
}

int rh_fix_drop(struct rh_fix_job *j, const char *path, const char *what,
                rh_error **err)
{
    RH_AUTO(rh_freep) void *old = NULL;
    bool private;
    size_t n;

    if (!rh_guest_exists(j->guest, path) || rh_fix_frozen(j, path))
        return 0;
    private = is_private(j, path);
    if (j->guest->ops->read(j->guest, path, FILE_MAX, &old, &n, err) < 0 ||
        j->guest->ops->remove(j->guest, path, err) < 0)
        return -1;
    rh_fix_note(j, path, what,
                private ? digest_of(old, n) : rh_fix_shown(old, n), NULL);
    return 0;
}
