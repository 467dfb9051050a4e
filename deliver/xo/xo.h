/* xo.h - Xen Orchestra's REST API (/rest/v0), as a delivery uses it.
 *
 * The whole VM goes as an XVA into POST /pools/ID/vms; the answer comes when it
 * stands.  XO gives NICs new MAC addresses, so they are made again with theirs
 * before the first start.  Source of these facts: @xen-orchestra/rest-api. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_XO_XO_H
#define RH_DELIVER_XO_XO_H

#include "deliver/xapi/xapi.h"

struct rh_xo {
    struct rh_remote *remote;
};
int rh_xo_login(struct rh_xo *x, struct rh_remote *r, rh_error **err);
/* The answer, whose reference is the caller's (null where it has none); `body`
 * is taken, or NULL. */
json_t *rh_xo_call(struct rh_xo *x, const char *method, const char *path,
                   json_t *body, rh_error **err);
/* An error of an answer that is one. */
int rh_xo_fail(struct rh_xo *x, const struct rh_http_request *r,
               const struct rh_http_answer *a, rh_error **err);

struct rh_xo_work {
    struct rh_xo *xo;
    const struct rh_ova *ova;
    struct rh_journal *journal;
    char *sr, *pool;     /* uuids */
    char mark[40];       /* in the VM's description, to know it by */
    rh_options *options; /* of the change of ova.xml: the caller's, and it */
    struct rh_http_upload *upload;
    char *path;           /* of the upload */
    char *vm;             /* its uuid there */
    json_t *disks, *nics; /* as they are there */
    uint64_t sent;
    bool begun;    /* bytes may have arrived */
    bool answered; /* the upload's outcome is known */
};
void rh_xo_work_free(struct rh_xo_work *w);
/* Sets the mark and the options. */
int rh_xo_work_init(struct rh_xo_work *w, struct rh_xo *x, const rh_options *o,
                    rh_error **err);
/* Storage, space, networks; sets sr and pool. */
int rh_xo_look(struct rh_xo_work *w, const char *sr, uint64_t data_bytes,
               struct rh_checks *checks, rh_error **err);
/* `size` of the XVA, or RH_HTTP_CHUNKS. */
int rh_xo_begin(struct rh_xo_work *w, int64_t size, rh_error **err);
int rh_xo_write(struct rh_xo_work *w, const void *bytes, size_t n,
                rh_error **err);
/* All is written: the VM stands, its NICs get their addresses, and it is
 * compared with what was sent. */
int rh_xo_end(struct rh_xo_work *w, rh_error **err);
/* For rh_server_xo's row: `work` is a struct rh_xo_work. */
int rh_xo_start(void *work, rh_error **err);
int rh_xo_addresses(void *work, json_t *list, rh_error **err);
void rh_xo_undo(void *work);
int rh_xo_find(struct rh_server *s, const char *mark, bool start,
               char **ret_where, rh_error **err);
/* Take away the VM and the disks with this mark, if there are any. */
int rh_xo_clean(struct rh_xo *x, const char *mark, rh_error **err);

#endif
