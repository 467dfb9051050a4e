/* copy_job.h - what the parts of the copy share while it runs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_COPY_COPY_JOB_H
#define RH_CONVERT_COPY_COPY_JOB_H

#include <pthread.h>

#include "convert/copy/copy.h"

enum {
    RH_CONTENT_UNIT = 1024 * 1024,
    RH_CONTENT_RECORD = 8 + 16,
    RH_COPY_CLONES = 16, /* files of a chain */
    RH_COPY_SPANS = 6, /* few: a reader keeps some tables in memory, not many */
};

/* The unit of the content digest that a forward source is in. */
struct rh_copy_gather {
    uint8_t *data;     /* RH_CONTENT_UNIT bytes; NULL: no digest is wanted */
    uint64_t unit, at; /* where it starts, and how far it has come */
    bool broken;       /* the source went back: there is no digest */
};

/* The files of which a sink can share blocks of `block` bytes. */
struct rh_copy_clones {
    int fds[RH_COPY_CLONES];
    size_t count;
    uint64_t block;
};

struct rh_copy_job {
    struct rh_copy *copy;
    struct rh_reader *source;
    uint64_t unit; /* bytes a worker takes at once */
    pthread_mutex_t lock;
    pthread_cond_t turn; /* serving or failed moved */
    pthread_cond_t idle; /* a worker or the hasher ended */
    unsigned running;
    uint64_t position; /* of the disk: what was handed out so far */
    uint64_t next_ticket, serving;
    uint64_t failed; /* lowest ticket that failed, else UINT64_MAX */
    rh_error *error; /* of that ticket */
    uint64_t done;   /* bytes of units finished */
    uint64_t own;    /* data bytes of this disk; UINT64_MAX: unknown */
    struct rh_digest **content; /* one per sink, or NULL */
    struct rh_digest *source_content;
    bool every_unit; /* a writer wants the empty ones, too */
    bool forward;    /* the source is read by next() */
    bool scattered;  /* shares hold data alone, of several places */
    bool unseen;     /* what can be cloned is not read */
    struct rh_copy_clones *clones; /* per sink, fixed before the workers */
    bool have_piece, at_end;
    struct rh_piece piece; /* read ahead: belongs to the next unit */
    struct rh_copy_gather gather;
};

/* A grain of a forward source that waits to be inflated. */
struct rh_copy_pending {
    uint64_t offset;
    uint32_t length;
    size_t at, size; /* in worker->packed; size 0: plain bytes of `length` */
};

/* Data of a scattered share: within one unit of the disk. */
struct rh_copy_span {
    uint64_t offset;
    size_t length, at; /* in worker->data */
    bool unseen;       /* to be cloned: it was not read */
};

/* A worker's memory for one sink: the units that its share is cut into. */
struct rh_copy_lane {
    struct rh_copy_sink *sink;
    struct rh_unit *units; /* unit/writer->unit of them, or one for each span */
    size_t unit_count, used;
    uint8_t *patched;           /* the bytes with this sink's edits, or NULL */
    struct rh_packed *clusters; /* with keep, else NULL */
    struct rh_buf packed;       /* their bytes */
    uint8_t *records;           /* content records of this share */
    size_t record_count;
    uint64_t cloned; /* bytes of this share */
    bool skipped;    /* its sink has failed: of this share it gets nothing */
};

struct rh_copy_worker {
    struct rh_copy_job *job;
    pthread_t thread;
    uint64_t ticket;
    uint64_t offset;                          /* of the share */
    size_t length;                            /* of its bytes */
    struct rh_copy_span spans[RH_COPY_SPANS]; /* of a scattered one */
    size_t span_count;
    uint8_t *data; /* its plain bytes */
    struct rh_codec *codec;
    struct rh_buf packed; /* a forward source's waiting bytes */
    RH_VEC(struct rh_copy_pending) pending;
    struct rh_copy_lane *lanes; /* per sink */
    bool edited;                /* the share, for the first sink: then */
    uint8_t *base;              /* its bytes without the edits */
    uint8_t *base_records;      /* and their records */
    size_t base_count;
    rh_error *error;
};

/* copy.c: a worker or the hasher has done its part. */
void rh_copy_ended(struct rh_copy_job *j);
/* One unit's record of the content digest; `data` has room for a whole unit.
 * False: all zero. */
bool rh_copy_record(uint8_t *data, size_t n, uint64_t offset, uint8_t *record);

/* copy_share.c: what to do next, and a share's bytes. */
int rh_copy_claim(struct rh_copy_worker *w, bool *ret_more, rh_error **err);
int rh_copy_fill(struct rh_copy_worker *w, rh_error **err);
/* Cut the share into the sink's units, with its edits, ready to be encoded. */
int rh_copy_cut(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                rh_error **err);

/* copy_write.c: what was given its places. */
int rh_copy_write(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                  rh_error **err);

/* copy_clone.c: what the file system shares instead. */
void rh_copy_clones(struct rh_copy_job *j);
/* Need nobody see the bytes that are cloned? */
bool rh_copy_can_go_unseen(const struct rh_copy_job *j);
/* The worker's spans of which no byte need be read. */
int rh_copy_unseen(struct rh_copy_worker *w, rh_error **err);
/* How many of the n bytes of the disk from `offset` on, which are to lie at
 * `place` of the sink, are there by that; else *ret_write of them are to be
 * written. */
int rh_copy_clone(const struct rh_copy_worker *w,
                  const struct rh_copy_lane *lane, uint64_t offset, uint64_t n,
                  uint64_t place, uint64_t *ret_cloned, uint64_t *ret_write,
                  rh_error **err);

/* copy_gather.c: a forward source's bytes, in its order (under the lock). */
void rh_copy_gather(struct rh_copy_job *j, const uint8_t *data, size_t n,
                    uint64_t offset);
/* At the end: the digest, or "". */
void rh_copy_gathered(struct rh_copy_job *j, char ret_hex[65]);

/* copy_hash.c: the thread that takes the files' digests. */
struct rh_copy_hasher {
    struct rh_copy_job *job;
    pthread_t thread;
    bool started;
    rh_error *error;
};
void *rh_copy_hash(void *argument); /* a hasher */

#endif
