/* xapi.h - XCP-ng's and XenServer's own API, as a delivery uses it.
 *
 * Calls are JSON-RPC 2.0 on POST /jsonrpc; a whole VM goes as an XVA into
 * PUT /import.  Its 200 comes before the first byte is read: whether it worked
 * is what the task says.  Sources of these facts: xen-api, ocaml/xapi
 * (importexport.ml, import.ml, xapi_http.ml, api_server.ml). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_XAPI_XAPI_H
#define RH_DELIVER_XAPI_XAPI_H

#include <jansson.h>

#include "deliver/server.h"
#include "deliver/stage.h"
#include "formats/format.h"

#define RH_XAPI_NULL "OpaqueRef:NULL"

/* --- calls
 * -------------------------------------------------------------------- */
struct rh_xapi {
    struct rh_remote *remote;
    struct rh_http *http; /* the pool's master; remote->http or `own` */
    struct rh_http *own;
    struct rh_secret *session;
    unsigned calls;
    json_t *kept; /* disks of an earlier run, by their UUIDs; or NULL */
};
/* Log in, following a slave's word to the master. */
int rh_xapi_login(struct rh_xapi *x, struct rh_remote *r, rh_error **err);
void rh_xapi_logout(struct rh_xapi *x); /* ends the session; frees */
/* `args` (an array, taken) without the session; NULL: none.  The caller has the
 * result's reference.  XAPI's own errors by rh_xapi_fail(). */
json_t *rh_xapi_call(struct rh_xapi *x, const char *method, json_t *args,
                     rh_error **err);
/* The same, but XAPI's own error {message, data} is no failure: *ret_error. */
json_t *rh_xapi_ask(struct rh_xapi *x, const char *method, json_t *args,
                    json_t **ret_error, rh_error **err);
/* The same where only whether it worked matters. */
int rh_xapi_do(struct rh_xapi *x, const char *method, json_t *args,
               rh_error **err);
/* An error of XAPI's code and parameters; `what` was tried. */
int rh_xapi_fail(const struct rh_xapi *x, const char *what, const char *code,
                 const json_t *params, rh_error **err);
/* What a code means: its error, its hint or NULL; NULL: not known. */
const char *rh_xapi_meaning(const char *code, enum rh_error_id *ret_id,
                            const char **ret_hint);
/* Fields of a record: "" and 0 where there is none; numbers may be texts. */
const char *rh_xapi_text(const json_t *record, const char *field);
uint64_t rh_xapi_number(const json_t *record, const char *field);

/* --- the VM, as its ova.xml says
 * -------------------------------------------------- */
struct rh_ova_network {
    char *name, *bridge;
};
struct rh_ova {
    char *name, *uuid;
    RH_VEC(struct rh_ova_network) networks;
    RH_VEC(char *) macs;    /* of the NICs, lower case */
    RH_VEC(uint64_t) disks; /* virtual sizes */
    RH_VEC(char *) disk_uuids;
    uint64_t virtual_bytes;
};
/* XVA_DAMAGED for what is none of ours. */
int rh_ova_parse(const char *xml, size_t n, struct rh_ova *ret, rh_error **err);
void rh_ova_free(struct rh_ova *o); /* also for RH_AUTO */
/* The document with other networks ("FROM=TO", repeated option "network-map"),
 * another name (option "name"), and a note behind its description and in its
 * disks' (option "note"); `xml` itself where none is given.  The caller frees.
 */
char *rh_ova_change(const char *xml, size_t n, const rh_options *o,
                    rh_error **err);
/* ova.xml as the first entry of an XVA: header and padding around it. */
void rh_ova_tar(const char *xml, struct rh_buf *ret);

/* PLAN_OPTION for one that is to be compressed while it is sent. */
int rh_xva_unpacked(bool compressed, rh_error **err);

/* A result's XVA, unpacked where it is packed; freed also when half open. */
struct rh_xva_in {
    struct rh_stream *rest; /* stands behind ova.xml */
    char *xml;              /* as it is to be sent */
    struct rh_ova ova;
    uint64_t file_bytes;
    bool packed;
};
int rh_xva_open(const char *dir, const char *vm, const rh_options *o,
                struct rh_xva_in *ret, rh_error **err);
void rh_xva_close(struct rh_xva_in *x);

/* --- the pool
 * ------------------------------------------------------------------- */
struct rh_xapi_place {
    char *sr;      /* its reference */
    char *address; /* of a host that sees it; NULL: the master */
    json_t *hosts; /* host.get_all_records */
    bool single;   /* it goes disk by disk */
    bool staged;   /* its disks lie there already */
};
void rh_xapi_place_free(struct rh_xapi_place *p);
/* Where a storage (NULL: the pool's default) is, and who sees it. */
int rh_xapi_place_of(struct rh_xapi *x, const char *sr,
                     struct rh_xapi_place *ret, rh_error **err);
/* Look at everything that could stand in the way; `data_bytes` of the stream, 0
 * when it is not known. */
int rh_xapi_look(struct rh_xapi *x, const char *sr, const struct rh_ova *ova,
                 uint64_t data_bytes, struct rh_xapi_place *ret,
                 struct rh_checks *checks, rh_error **err);
/* Let the host judge the metadata, without making anything. */
int rh_xapi_dry_run(struct rh_xapi *x, const struct rh_xapi_place *p,
                    const char *xml, struct rh_checks *checks, rh_error **err);

/* --- the import
 * -------------------------------------------------------------------- */
struct rh_xapi_import {
    struct rh_xapi *x;
    const struct rh_xapi_place *place;
    struct rh_journal *journal;
    const char *kind;     /* of the journal's line; NULL: "task" */
    struct rh_http *host; /* where it is sent; x->http or `own` */
    struct rh_http *own;
    struct rh_http_upload *upload;
    char *task, *vm;  /* references */
    bool begun;       /* the host has taken the request */
    rh_error *broken; /* why the upload ended early */
    uint64_t sent;
};
/* The task is made and the request is open: write the body.  `path` has a query
 * already; `size` of the body, or RH_HTTP_OPEN. */
int rh_xapi_import_open(struct rh_xapi_import *i, const char *name,
                        const char *path, int64_t size, rh_error **err);
/* The same for a whole VM: write the XVA. */
int rh_xapi_import_begin(struct rh_xapi_import *i, const char *name,
                         rh_error **err);
int rh_xapi_import_write(struct rh_xapi_import *i, const void *bytes, size_t n,
                         rh_error **err);
/* All is written: what does the task say?  Sets i->vm. */
int rh_xapi_import_end(struct rh_xapi_import *i, rh_error **err);
/* Break it off and wait until nothing of it is left. */
void rh_xapi_import_abort(struct rh_xapi_import *i);
void rh_xapi_import_free(struct rh_xapi_import *i);
/* A VM that stands there: its disks and NICs as a delivery names them.  They
 * are the caller's also when it failed. */
int rh_xapi_describe(struct rh_xapi *x, const char *vm_ref, json_t **ret_disks,
                     json_t **ret_nics, char **ret_uuid, rh_error **err);
/* What a journal names: a task that was left alone, with what it made ("j", or
 * NULL, notes the disks); a disk whose VM went without it. */
int rh_xapi_clean_task(struct rh_xapi *x, struct rh_journal *j,
                       const char *task, rh_error **err);
int rh_xapi_clean_disk(struct rh_xapi *x, const char *id, rh_error **err);
int rh_xapi_clean(struct rh_xapi *x, struct rh_journal *j, const char *kind,
                  const char *id, rh_error **err);

/* What a started VM's guest tells of itself. */
int rh_xapi_addresses(struct rh_xapi *x, const char *vm, json_t *list,
                      rh_error **err);

/* A host that sees a storage: address and hosts of `ret`. */
int rh_xapi_host_of(struct rh_xapi *x, const char *sr,
                    struct rh_xapi_place *ret, rh_error **err);
/* A disk's bytes, from its start to its end. */
int rh_xapi_read_disk(struct rh_xapi *x, const char *uuid, rh_http_sink *sink,
                      void *user, rh_error **err);

/* --- disk by disk
 * -------------------------------------------------------------------- */
/* Write these ranges of `disk` (ascending, not overlapping, inside it) into a
 * VDI that is there and plugged nowhere; the rest of it stays as it is, but for
 * the sectors of 512 bytes at a range's ends.  Only they travel, in blocks of
 * 2 MiB.  A connection that breaks is tried again: nothing is lost by that.
 * What was sent is added to *ret_sent.  So a disk goes piece by piece, and
 * changed blocks over an earlier pass. */
int rh_xapi_vdi_write(struct rh_xapi *x, const struct rh_xapi_place *place,
                      const char *vdi, struct rh_reader *disk,
                      const struct rh_range *ranges, size_t count,
                      uint64_t *ret_sent, rh_error **err);

struct rh_xapi_disk {
    char *ref, *uuid;
};
/* A VDI of zeros with our mark ("rehost-0123456789abcdef"). */
int rh_xapi_make_disk(struct rh_xapi *x, const char *sr, const char *mark,
                      const char *name, uint64_t size, struct rh_xapi_disk *ret,
                      rh_error **err);
const char *rh_xapi_disk_mark(const json_t *vdi); /* "" where it has none */
struct rh_xapi_disks {
    struct rh_xapi *x;
    const struct rh_xapi_place *place;
    struct rh_journal *journal;
    char mark[24]; /* in the VDIs' other_config */
    RH_VEC(struct rh_xapi_disk) list;
    struct rh_xapi_import vm; /* of the metadata */
    uint64_t sent;
};
/* Sets the mark: a new one, or that of the disks which are kept. */
int rh_xapi_disks_init(struct rh_xapi_disks *d, const struct rh_xapi *x,
                       rh_error **err);
/* Make VDI i (they come in ova's order) and fill it, unless an earlier run has
 * left it whole.  `digest` of its content is noted, or NULL. */
int rh_xapi_disks_send(struct rh_xapi_disks *d, const struct rh_ova *ova,
                       size_t i, struct rh_reader *disk, const char *digest,
                       rh_error **err);
/* Whole disks that an earlier run of this push has left: rh_server_kind.keep.
 * They are told by the journal, by the receipt's content digest, and by what
 * the pool says of them. */
bool rh_xapi_keep(struct rh_server *s, const json_t *left,
                  const json_t *receipt);
void rh_xapi_forget(struct rh_xapi *x); /* that any are kept */
/* NULL: none is. */
const char *rh_xapi_kept_mark(const struct rh_xapi *x);
const json_t *rh_xapi_kept_disk(const struct rh_xapi *x, size_t i);
/* Those outside of that storage are of no use.  True: there were some. */
bool rh_xapi_forget_elsewhere(struct rh_xapi *x, const char *sr);
/* The VM around them; d->vm.vm is its reference. */
int rh_xapi_disks_vm(struct rh_xapi_disks *d, const struct rh_ova *ova,
                     const char *xml, rh_error **err);
void rh_xapi_disks_abort(struct rh_xapi_disks *d); /* nothing is left */
/* No VM is left half made; the disks stay. */
void rh_xapi_disks_leave(struct rh_xapi_disks *d);
void rh_xapi_disks_free(struct rh_xapi_disks *d);
int rh_xapi_clean_marked(struct rh_xapi *x, const char *mark, rh_error **err);

/* --- one VM, either way
 * -------------------------------------------------------------------- */
struct rh_xapi_work {
    bool single; /* disk by disk */
    struct rh_xapi_import import;
    struct rh_xapi_disks disks;
};
/* The import that made the VM. */
const struct rh_xapi_import *rh_xapi_made(const struct rh_xapi_work *w);
/* In a VM's other_config: the task that imported it. */
#define RH_XAPI_IMPORT_TASK "import_task"
/* It is known to have come to its end. */
void rh_xapi_import_seen(struct rh_xapi *x, const char *vm);
/* It stands, and nobody asks its task any more. */
void rh_xapi_settle(struct rh_xapi_work *w);
void rh_xapi_work_free(struct rh_xapi_work *w);
/* For rh_server_xapi's row. */
int rh_xapi_find(struct rh_server *s, const char *mark, bool start,
                 char **ret_where, rh_error **err);

extern const struct rh_stager rh_xapi_stager; /* stage.c */

#endif
