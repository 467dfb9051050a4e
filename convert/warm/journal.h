/* journal.h - what is known of a warm migration, in a folder of its own.
 *
 *   job.json    the state, written anew by rename before and after each step
 *               that cannot be taken back
 *   lease       who works on it
 *   diskN.FMT   the copy of disk N, written again by each round; from the
 *               cutover on the result's own file (the same one, by its link)
 *   diskN.sums  what is known of each MiB of it (sums.h)
 *
 * The folder is OUT/.rehost-warm/NAME, on the file system of the result, or
 * $XDG_STATE_HOME/rehost/warm/NAME where the result goes to a server.  Under
 * the latter NAME.json names the folder of every job, so that it is found by
 * its name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_WARM_JOURNAL_H
#define RH_CONVERT_WARM_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/lease.h"
#include "base/lib.h"
#include "base/mem.h"
#include "base/options.h"

enum rh_warm_state {
    RH_WARM_NEW,     /* the first pass is not complete */
    RH_WARM_SYNCED,  /* the copy is the disk of the last round */
    RH_WARM_CUTOVER, /* the source is (being) switched off */
    RH_WARM_HANDED,  /* the result stands; the source keeps its name */
    RH_WARM_DONE,
    RH_WARM_STATES
};
const char *rh_warm_state_name(enum rh_warm_state state);

struct rh_warm_run {
    uint64_t start, length; /* bytes of the disk */
};
struct rh_warm_disk {
    char *file;      /* "disk0.qcow2" */
    uint64_t size;   /* of the source's disk */
    char *mark;      /* live: of the last complete round; or NULL */
    char *next_mark; /* live: of the round that is on */
    char *part_mark; /* live: of its first try; see round.c */
    char *there;     /* its id at the target; see stage.c */
    RH_VEC(struct rh_warm_run)
    fixed; /* ranges with the guest's edits, which
              the next round takes back */
};
struct rh_warm_snapshot {
    char *name, *id;
};
struct rh_warm_round {
    char *how; /* "full", "changes", "compare" */
    uint64_t changed, sent;
    uint64_t delivered; /* bytes that went to the target */
    double seconds;
    time_t started;
    bool last; /* the source was off */
};

struct rh_warm_journal {
    char *name, *path; /* of the job; its folder */
    int dir;           /* the folder, or -1 */
    /* Who works on it, borrowed: one who lost it writes nothing.  Or NULL. */
    struct rh_lease *lease;
    bool named; /* the name leads to it */
    enum rh_warm_state state;
    char *source, *vm_name;
    char *vm_id;              /* live: the platform's */
    rh_options *options;      /* as `start` was given them */
    char *format;             /* of the copies */
    bool direct;              /* the copies become the result */
    bool staged;              /* the disks lie at the target, too */
    uint64_t delivered_bytes; /* of this process */
    RH_VEC(struct rh_warm_disk) disks;
    RH_VEC(struct rh_warm_round) rounds;
    uint64_t rounds_forgotten; /* between the first and the second of them */
    /* The round that is on. */
    bool in_round;
    size_t at_disk;
    uint64_t at; /* bytes of at_disk that are done */
    uint64_t round_changed, round_sent;
    double round_seconds;
    /* On the platform: ours, to be taken away. */
    char *snapshot_name; /* being made, or made */
    char *snapshot;      /* its id, once it is known */
    bool snapshot_ended; /* the marks of the last round are its */
    /* Of earlier rounds, where their marks hold no longer than they do. */
    RH_VEC(struct rh_warm_snapshot) held;
    bool tracking_by_us, renamed, shut_down;
    double fix_seconds; /* what looking and fixing took when it was tried */
    char *result;       /* where it stands, once it is handed over */
    /* What is delivered is known again by it: "rehost warm 0123456789abcdef".
     * NULL of jobs that an older version began. */
    char *mark;
    char *delivered_as; /* the name that the delivery goes by */
    bool started;       /* what was handed over was started, if it was to be */
};

/* A folder for a new job; FILE_EXISTS when the name is taken. */
int rh_warm_journal_create(struct rh_warm_journal *j, const char *name,
                           const char *out_folder, rh_error **err);
/* A mark of its own. */
int rh_warm_journal_mark(struct rh_warm_journal *j, rh_error **err);
/* Did another write its state meanwhile?  WARM_EXISTS. */
int rh_warm_journal_fresh(struct rh_warm_journal *j, rh_error **err);
/* The folder goes again when nothing is in it. */
void rh_warm_journal_leave(const struct rh_warm_journal *j);
/* `job`: a name, or the folder's path.  WARM_JOB when there is none. */
int rh_warm_journal_open(struct rh_warm_journal *j, const char *job,
                         rh_error **err);
/* job.json: a state that another version wrote, or somebody else, is refused.
 */
int rh_warm_journal_read(struct rh_warm_journal *j, const char *text, size_t n,
                         rh_error **err);
/* On the medium when it returns.  WARM_BUSY when another has taken it over. */
int rh_warm_journal_save(struct rh_warm_journal *j, rh_error **err);
/* Its rounds, as job.json and rehost.warm/1 have them. */
json_t *rh_warm_rounds_json(const struct rh_warm_journal *j);
/* The folder and all in it, and the name; WARM_JOURNAL when some of it stays.
 */
int rh_warm_journal_remove(struct rh_warm_journal *j, rh_error **err);
/* Free; nothing is written. */
void rh_warm_journal_close(struct rh_warm_journal *j);

#endif
