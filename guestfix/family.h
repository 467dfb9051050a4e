/* family.h - what one family of guests (Linux, Windows, a BSD) brings along.
 *
 * The engine opens disks, keeps what can be undone, runs fixes and tells how
 * each ended.  A family knows what its root looks like, what is mounted over
 * it, what there is to find out, and which fixes there are.  What it found out
 * is its own: the engine hands the facts around and never looks into them.  A
 * new family is a folder and a row in families.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_FAMILY_H
#define RH_GUESTFIX_FAMILY_H

#include <jansson.h>

#include "guestfix/guest.h"
#include "guestfix/guestfix.h"

struct rh_session;
struct rh_volumes;

/* --- fixes ----------------------------------------------------------------
 */
/* What a guest loses when the fix fails: it decides how bad that is. */
enum rh_stake {
    RH_STAKE_COMFORT, /* it starts and is reached all the same */
    RH_STAKE_NETWORK, /* it may not be reached */
    RH_STAKE_BOOT,    /* it may not start */
};

/* What run() returns besides -1, which is a failure: the engine undoes what the
 * fix has changed in the guest, and says so. */
enum {
    RH_FIX_OK = 0,           /* done; or nothing to do, if nothing changed */
    RH_FIX_NOT_POSSIBLE = 1, /* a finding of the fix says why */
};

/* One fix as it runs. */
struct rh_fix_job {
    struct rh_session *s;
    void *facts; /* of the family */
    struct rh_guest *guest;
    const struct rh_guest_options *o;
    const char *name;
    json_t *arguments; /* of the profile, may be NULL */
};

struct rh_fix {
    const char *name; /* a row of profiles/fixes.def */
    enum rh_stake stake;
    int (*run)(struct rh_fix_job *j, rh_error **err);
};

/* --- opening ----------------------------------------------------------------
 */
/* Something to mount over the root. */
struct rh_mount_wish {
    const char *path;               /* "/boot" */
    const struct rh_volume *volume; /* NULL: only `spec` is known */
    const char *spec;               /* "UUID=...", or NULL */
    const char *options;            /* of fstab, or NULL */
    bool needed;                    /* nothing can be fixed without it */
};

/* The root is open; the rest is asked for one by one.  Each way of opening a
 * guest has a mounting of its own. */
struct rh_mounting {
    struct rh_session *s;
    struct rh_guest *root; /* of the root alone */
    const struct rh_volume *root_volume;
    int (*add)(struct rh_mounting *m, const struct rh_mount_wish *wish,
               rh_error **err);
    /* Was it asked for, or is it the root? */
    bool (*has)(const struct rh_mounting *m, const struct rh_volume *v);
};

/* --- the family -------------------------------------------------------------
 */
/* What is asked of every system; a NULL is not known.  Strings live as long as
 * the facts. */
struct rh_system {
    const char *id, *version; /* profiles are found by: "debian", "12.5" */
    const char *name, *hostname;
    /* The hardware clock: "utc" or "localtime", what says so, and its zone
     * ("Asia/Tokyo"). */
    const char *clock, *clock_where, *timezone;
};

struct rh_family {
    const char *name; /* as profiles have it: "linux" */
    /* Content of volumes that may hold a root ("ext4"), NULL-ended. */
    const char *const *root_types;
    /* A system that is shipped as a whole and known by its volumes alone: its
     * name, NULL: none.  *ret_certain: it is not looked into.  NULL: the
     * family has none. */
    const char *(*shipped)(const struct rh_volumes *all, bool *ret_certain);
    /* What the volumes alone tell, whether or not a root was found (s->guest).
     * NULL: nothing. */
    void (*volumes)(struct rh_session *s);
    /* How much does this volume, open alone, look like a root of the family?
     * 0: not at all; 9: certainly. */
    int (*rank)(struct rh_guest *g);
    /* Ask for what is mounted over the root.  NULL: nothing is. */
    int (*mounts)(struct rh_mounting *m, rh_error **err);
    /* The options by which the guest has its root mounted, where they name a
     * subvolume: what its boot loader tells the kernel, and where that says
     * nothing and the default one is not a root (`by_default`), what else it
     * says of it.  NULL: nothing; or the function. */
    char *(*root_options)(struct rh_guest *g, bool by_default);
    /* Look around in s->guest.  *ret_facts is freed by facts_free() whatever
     * is returned; NULL: nothing to free. */
    int (*detect)(struct rh_session *s, void **ret_facts, struct rh_system *ret,
                  rh_error **err);
    json_t *(*facts_json)(const void *facts); /* report.json's "guest" */
    void (*facts_free)(void *facts);
    const struct rh_fix *fixes; /* ended by name == NULL */
    /* The disks are of this family, but no root of it can be opened: findings
     * that say what is left to people.  NULL: one finding says that. */
    void (*advise)(struct rh_session *s);
};

/* families.c: all of them, NULL-ended. */
extern const struct rh_family *const rh_families[];
/* What the disks' tables and signatures alone let expect: "freebsd", "windows";
 * also families that have no row.  NULL: nothing. */
const char *rh_family_hint(const struct rh_session *s);

/* --- edits: what fixes write by ---------------------------------------------
 */
/* Write a file if it differs from what is there, and record the edit. */
int rh_fix_put(struct rh_fix_job *j, const char *path, const void *bytes,
               size_t n, uint32_t mode, const char *what, rh_error **err);
int rh_fix_drop(struct rh_fix_job *j, const char *path, const char *what,
                rh_error **err);
/* Must the file stay as it is?  That is said, once. */
bool rh_fix_frozen(struct rh_fix_job *j, const char *path);
/* Record only. `before`, `after` are taken. */
void rh_fix_note(struct rh_fix_job *j, const char *path, const char *what,
                 char *before, char *after);
/* Contents as an edit shows them: text, or "sha256:...". */
char *rh_fix_shown(const void *bytes, size_t n);

#endif
