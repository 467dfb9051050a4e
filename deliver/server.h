/* server.h - a server that VMs are delivered to, whether `convert --out` makes
 * them on their way or `push` takes them from a folder.
 *
 * What both ask of it is one row, a struct rh_server_kind: its session, what an
 * interrupted run has left there, and the VM once it stands. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_SERVER_H
#define RH_DELIVER_SERVER_H

#include "deliver/remote.h"

struct rh_server_kind;
struct rh_server {
    const struct rh_server_kind *kind;
    rh_lib *lib;
    const rh_options *options; /* borrowed */
    struct rh_remote remote;
    void *state; /* the kind's, of its session */
};

/* `work` is one VM on its way, or delivered: the kind's own struct. */
struct rh_server_kind {
    const char *scheme; /* "xapi" */
    unsigned port;
    bool wants_token; /* a prompt asks for one */
    bool local;       /* "SCHEME:WHAT": we do not log in; remote.text alone is
                         set */
    /* Of the options that not all servers take ("sr", "vmid"), those that it
     * does; NULL-ended, or NULL. */
    const char *const *options;
    /* DELIVERY_URL where the URL has not the form; nothing is asked. */
    int (*check)(const char *url, rh_error **err);
    /* Log in: sets state.  Both optional. */
    int (*open)(struct rh_server *s, rh_error **err);
    void (*close)(struct rh_server *s); /* frees state, also when half open */
    /* Take away one thing of a journal; it may be gone already.  What must be
     * noted on the way goes into `j`. */
    int (*clean)(struct rh_server *s, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err);
    /* Optional: can a push of the result with this receipt go on with what an
     * earlier run of it has left?  clean() then leaves that alone. */
    bool (*keep)(struct rh_server *s, const json_t *left,
                 const json_t *receipt);
    /* Optional: a document of a result, where what is parsed must not be
     * parsed with the rights that we have. */
    json_t *(*read_json)(rh_lib *lib, struct rh_io *io, rh_error **err);
    int (*start)(void *work, rh_error **err);
    rh_address_look *addresses; /* of `work`; or NULL: it can't tell */
    /* Take away what was made, also after a cancel; the journal is empty
     * afterwards, or says what is left. */
    void (*undo)(void *work);
    /* Optional: the VM whose description holds `mark`, as "ID at URL", to be
     * freed; NULL: there is none.  With `start` it is started, unless it runs.
     */
    int (*find)(struct rh_server *s, const char *mark, bool start,
                char **ret_where, rh_error **err);
    /* Optional: the bytes of disk i of a delivery (an entry of the receipt's),
     * in order, to `sink`. */
    int (*read_disk)(struct rh_server *s, const json_t *delivery, size_t i,
                     rh_http_sink *sink, void *user, rh_error **err);
};
extern const struct rh_server_kind rh_server_libvirt, rh_server_proxmox,
    rh_server_proxmox_local, rh_server_xapi, rh_server_xo;

/* Is it a URL of this kind's scheme? */
bool rh_server_claims(const struct rh_server_kind *kind, const char *url);
bool rh_server_takes(const struct rh_server_kind *kind, const char *option);
int rh_server_open(struct rh_server *s, const struct rh_server_kind *kind,
                   rh_lib *lib, const char *url, const rh_options *options,
                   rh_error **err);
void rh_server_close(struct rh_server *s); /* also when half open, or never */
/* What the URL's path names, else that option, else NULL. */
const char *rh_server_place(const struct rh_server *s, const char *option);
/* rh_journal_begin(), with what an earlier run has left there taken away. */
struct rh_journal *rh_server_journal(struct rh_server *s, const char *dir,
                                     const char *key, size_t *ret_count,
                                     rh_error **err);
/* The same for a push of the result `dir`, which may go on where that stopped.
 */
struct rh_journal *rh_server_resume(struct rh_server *s, const char *dir,
                                    const json_t *receipt, rh_error **err);
/* What deliveries to its URL that had no result have left, also under other
 * names. */
int rh_server_clean_all(struct rh_server *s, size_t *ret_count, rh_error **err);
/* Options "start" and "wait-address". *ret_addresses: an array, or NULL where
 * nobody waits for them. */
int rh_server_start(struct rh_server *s, void *work, json_t **ret_addresses,
                    rh_error **err);
/* What a delivery calls its disk i ("id"); NULL with VERIFY_RECEIPT. */
const char *rh_server_disk_id(const json_t *delivery, size_t i, rh_error **err);

/* --- a delivery of `convert --out` -------------------------------------------
 */
struct rh_delivery;
struct rh_delivery_ops;

/* Where one delivery is not as the others. */
struct rh_to_server_steps {
    /* What could stand in the way, as checks; sets `work`. */
    int (*look)(struct rh_delivery *d, struct rh_checks *checks,
                rh_error **err);
    void (*begun)(struct rh_delivery *d); /* optional: the journal is open */
    /* All was sent: make the VM of it.  The journal is done with; *ret_id
     * (borrowed) is what it is called there. */
    int (*finish)(struct rh_delivery *d, const char **ret_id, rh_error **err);
    void (*free)(struct rh_delivery *d); /* what the state holds */
};

/* The first member of such a delivery's state. */
struct rh_to_server {
    const struct rh_to_server_steps *steps;
    struct rh_server server;
    struct rh_journal *journal;
    void *work;
};

/* At the end of open(): `state` (taken) and ops of the delivery. */
int rh_to_server_open(struct rh_delivery *d, struct rh_to_server *state,
                      const struct rh_to_server_steps *steps,
                      const struct rh_delivery_ops *ops, rh_error **err);
int rh_to_server_preflight(struct rh_delivery *d, struct rh_findings *findings,
                           rh_error **err);
int rh_to_server_begin(struct rh_delivery *d, rh_error **err);
int rh_to_server_commit(struct rh_delivery *d, rh_error **err);
int rh_to_server_start(struct rh_delivery *d, rh_error **err);
void rh_to_server_abort(struct rh_delivery *d);
void rh_to_server_close(struct rh_delivery *d);

/* A VM that an earlier run has delivered, known by the line in its description
 * that the option "mark" puts there (rh_target_about). */
struct rh_find {
    rh_lib *lib;
    const char *out;
    const rh_options *options;
    const char *name; /* of the job that delivered it */
    const char *mark;
    bool start; /* start it, unless it runs */
};
/* Where it stands, to be freed; NULL: there is none.  What a run left half made
 * is taken away first, so that all of it is there. */
int rh_to_server_find(const struct rh_server_kind *kind,
                      const struct rh_find *f, char **ret_where,
                      rh_error **err);

/* In the ops of each of them. */
#define RH_TO_SERVER_OPS                                              \
    .preflight = rh_to_server_preflight, .begin = rh_to_server_begin, \
    .commit = rh_to_server_commit, .start = rh_to_server_start,       \
    .abort = rh_to_server_abort, .close = rh_to_server_close

#endif
