/* deliver.h - the contract of a delivery: where a converted VM goes.
 *
 * A folder, a pipe, a hypervisor's API: each is one kind, one const struct
 * rh_deliverer and one line in deliver/registry.c.  The copy knows only the
 * rh_out that disk() or archive() gave; a target writes its small files through
 * put().  One delivery is one VM for one target.  Its calls come in this order:
 *
 *   open        cheap, while the plan is made: nothing is written or asked
 *   preflight   once the VM is decided, before the first byte: log in, look,
 *               and say as findings what will not go
 *   begin       the work starts
 *   disk, disk_done  one after the other, in the job's order; or archive
 *   put         small files, once the disks are there
 *   commit      all is there: make it appear under its name; then start, if
 * asked abort       instead of commit: nothing of it is left close always,
 * last; aborts what was not committed
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_DELIVER_H
#define RH_DELIVER_DELIVER_H

#include <jansson.h>

#include "base/options.h"
#include "base/out.h"
#include "deliver/stage.h"
#include "report/findings.h"
#include "targets/target.h"

/* What is to be delivered: borrowed, and alive as long as the delivery. */
struct rh_delivery_request {
    rh_lib *lib;
    const char *out;           /* --out as it was given: DIR, "-", URL */
    const rh_options *options; /* all of the caller's */
    const struct rh_target *target;
    struct rh_target_job *job; /* the VM as decided: devices, disks, names */
    const char *format;        /* of the disks, or the archive's */
    bool archive;              /* the whole VM is one archive */
    bool compressed;           /* so sizes are not known beforehand */
    uint64_t data_bytes;       /* allocated in its disks; 0: not known */
    size_t target_count;       /* of this VM: more than one need folders */
    size_t vm_count;           /* of the package */
};

struct rh_delivery;
struct rh_delivery_ops {
    /* Optional.  What the other side can't take is a finding (a blocker ends
     * the conversion with status 4); that it can't be reached is an error. */
    int (*preflight)(struct rh_delivery *d, struct rh_findings *findings,
                     rh_error **err);
    int (*begin)(struct rh_delivery *d, rh_error **err);
    /* Optional: free bytes where the disks will lie; -1: not known. */
    int (*space)(struct rh_delivery *d, uint64_t *ret_bytes);
    /* Optional: may disks share blocks with this file, so that they need less
     * room than they have bytes? */
    bool (*may_share)(struct rh_delivery *d, int fd);
    /* A sink for disk i of the job, `size` bytes of virtual disk, in
     * request.format; `name` is the file's name.  The caller finishes and
     * closes it, then calls disk_done (optional) with the bytes it took. */
    struct rh_out *(*disk)(struct rh_delivery *d, size_t i, const char *name,
                           uint64_t size, rh_error **err);
    int (*disk_done)(struct rh_delivery *d, size_t i, uint64_t file_size,
                     rh_error **err);
    /* Optional, instead of disk() and disk_done(): the file `file` of the
     * folder `dir` becomes disk i, without a copy.  It keeps its name there. */
    int (*adopt)(struct rh_delivery *d, size_t i, const char *name, int dir,
                 const char *file, rh_error **err);
    /* Only of a delivery with option "staged": disk i lies there by this id
     * (struct rh_stager), but for these ranges of `disk`, which are written. */
    int (*there)(struct rh_delivery *d, size_t i, const char *id,
                 struct rh_reader *disk, const struct rh_range *changed,
                 size_t count, rh_error **err);
    /* The same for a whole VM; NULL: takes none. */
    struct rh_out *(*archive)(struct rh_delivery *d, const char *name,
                              rh_error **err);
    /* A small file that belongs to the result; NULL: none are kept. */
    int (*put)(struct rh_delivery *d, const char *name, const void *bytes,
               size_t n, bool executable, rh_error **err);
    int (*commit)(struct rh_delivery *d, rh_error **err);
    /* Start the VM that stands, where option "start" says so; NULL: can't.  A
     * failure takes nothing away. */
    int (*start)(struct rh_delivery *d, rh_error **err);
    void (*abort)(struct rh_delivery *d); /* optional; close comes after it */
    void (*close)(struct rh_delivery *d); /* frees d->state */
};

/* A small file that was put, for the receipt. */
struct rh_delivery_file {
    char *name;
    uint64_t size;
    char sha256[65];
};

struct rh_find; /* server.h */
struct rh_deliverer {
    const char *name;  /* "folder", "pipe", "xapi" */
    const char *about; /* one line, N_() */
    /* Is --out mine?  The first of the registry that says so has it.  A
     * delivery to a server (server.h) has that instead: its URLs are its. */
    bool (*claims)(const char *out);
    const struct rh_server_kind *server;
    /* Forms of disks that it takes, best first, NULL-ended; NULL: any. */
    const char *const *formats;
    bool disks;    /* takes disks as sinks of their own */
    bool archive;  /* takes an archive of the whole VM */
    bool in_order; /* its disks go front to back */
    bool hosted; /* without `server`: the VM stands there in the end, and can be
                    started */
    bool parted; /* who runs it has rights that no reader of a source may have
                    (rh_lib_split) */
    /* Options of its own (beside the target's); NULL-ended or NULL. */
    const struct rh_option_row *options;
    /* Fill d->ops, d->state, and d->where when it is known by now. */
    int (*open)(struct rh_delivery *d, rh_error **err);
    const struct rh_stager *stager; /* optional */
    /* Optional, without `server`: a VM that an earlier run has delivered. */
    int (*find)(const struct rh_find *f, char **ret_where, rh_error **err);
};

struct rh_delivery {
    const struct rh_deliverer *kind;
    const struct rh_delivery_ops *ops;
    struct rh_delivery_request request;
    /* For people, and rh_job_result(): "out/web01", "vm 101 at ...".  Owned;
     * may be set as late as commit(). */
    char *where;
    struct rh_target_files files; /* job->out while the job runs */
    RH_VEC(struct rh_delivery_file) put;
    /* What stands there since commit(), as push has it: "id", "uuid", "disks",
     * "nics"; NULL where nobody asked, or it could not be learnt. */
    json_t *delivered;
    enum { RH_DELIVERY_NEW, RH_DELIVERY_BEGUN, RH_DELIVERY_DONE } stage;
    void *state;
};

/* --- for convert -----------------------------------------------------------
 */
/* The kind that has `out`; never NULL, for a folder's name can be anything. */
const struct rh_deliverer *rh_deliverer_of(const char *out);
const struct rh_deliverer *rh_deliverer_at(size_t i); /* NULL at the end */
/* Does it take the VM in this form?  The error says which it takes. */
int rh_deliverer_check(const struct rh_deliverer *kind, const char *format,
                       bool archive, rh_error **err);

/* Is that option of a delivery ("start", "transfer") for it at all? */
bool rh_deliverer_takes(const struct rh_deliverer *kind, const char *option);

struct rh_delivery *rh_delivery_open(const struct rh_delivery_request *request,
                                     rh_error **err);
int rh_delivery_preflight(struct rh_delivery *d, struct rh_findings *findings,
                          rh_error **err);
/* Sets request.job->out, which rh_delivery_close() takes back. */
int rh_delivery_begin(struct rh_delivery *d, rh_error **err);
struct rh_out *rh_delivery_disk(struct rh_delivery *d, size_t i,
                                const char *name, uint64_t size,
                                rh_error **err);
int rh_delivery_disk_done(struct rh_delivery *d, size_t i, uint64_t file_size,
                          rh_error **err);
/* Only where d->ops->adopt is there. */
int rh_delivery_adopt(struct rh_delivery *d, size_t i, const char *name,
                      int dir, const char *file, rh_error **err);
struct rh_out *rh_delivery_archive(struct rh_delivery *d, const char *name,
                                   rh_error **err);
int rh_delivery_put(struct rh_delivery *d, const char *name, const void *bytes,
                    size_t n, bool executable, rh_error **err);
int rh_delivery_commit(struct rh_delivery *d, rh_error **err);
void rh_delivery_close(struct rh_delivery *d);
RH_FREEP(rh_delivery_closep, struct rh_delivery, rh_delivery_close)

#endif
