/* vsphere.h - ESXi and vCenter by their SOAP API (https://HOST/sdk).
 *
 *   soap.c       calls, faults, log-in and log-out, the session kept alive
 *   xml.c        reading answers
 *   property.c   properties of objects, in pages; tasks
 *   inventory.c  what the URL names, and lists of VMs
 *   config.c     a VM's configuration, as values and findings
 *   devices.c    its disks, network cards and other hardware
 *   guest.c      what its tools say
 *   place.c      the folder and the resource pool it lies in
 *   tags.c       its tags, by the REST API (rest.c) that vCenter has beside
 *   checks.c     what stands in the way: rights, snapshots, space, clocks
 *   vm.c         a VM's state here, snapshots, power, change tracking
 *   warm.c       changed areas by tracking, power
 *   delta.c      changed areas by the files over a snapshot's
 *   folder.c     its disks' files by /folder, with ranges
 *   lease.c      its disks as a whole by an export lease
 *   platform.c   the rows
 *
 * Facts: VMware's Web Services API reference (vim25), govmomi and pyVmomi as
 * readers of it.  Names in the code are the API's own. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_LIVE_VSPHERE_VSPHERE_H
#define RH_LIVE_VSPHERE_VSPHERE_H

#include <libxml/tree.h>
#include <stdatomic.h>

#include "live/live.h"

/* --- answers (xml.c) --------------------------------------------------------
 */
typedef xmlDoc rh_vs_doc;
void rh_vs_doc_freep(xmlDoc **doc);
/* No DTD, no network, bounded in depth.  LIVE_ANSWER. */
xmlDoc *rh_vs_xml(const char *text, size_t n, rh_error **err);
/* The first child element of that name; NULL for NULL. */
xmlNode *rh_vs_child(const xmlNode *node, const char *name);
/* The next element of the same name. */
xmlNode *rh_vs_next(const xmlNode *node);
/* "config/hardware/numCPU" */
xmlNode *rh_vs_at(const xmlNode *node, const char *path);
bool rh_vs_is(const xmlNode *node, const char *name);
/* The element's own text; "" for NULL and for none.  Borrowed: as long as the
 * document. */
const char *rh_vs_text(const xmlNode *node);
const char *rh_vs_text_at(const xmlNode *node, const char *path);
/* false where it is no number (of at most 2^63 - 1). */
bool rh_vs_number_at(const xmlNode *node, const char *path, uint64_t *ret);
bool rh_vs_true_at(const xmlNode *node, const char *path);
/* xsi:type without its prefix, whatever the namespace is called; "" */
char *rh_vs_type(const xmlNode *node);
bool rh_vs_is_type(const xmlNode *node, const char *type);
/* "<" and "&" as entities, added to b. */
void rh_vs_escape(struct rh_buf *b, const char *text);

/* --- a managed object -------------------------------------------------------
 */
struct rh_vs_ref {
    char *type, *id; /* "VirtualMachine", "vm-27" */
};
void rh_vs_ref_free(struct rh_vs_ref *r); /* also for RH_AUTO */
/* Of an element that is a ManagedObjectReference (type as an attribute). */
bool rh_vs_ref_of(const xmlNode *node, struct rh_vs_ref *ret);

/* Folders, datacenters, networks, datastores (inventory.c). */
struct rh_vs_place {
    char *type, *id, *name, *parent;
    char *terms; /* of a resource pool: how it divides; or NULL */
};
struct rh_vs_name {
    char *id, *name, *uuid, *instance;
};

/* --- a session (soap.c) -----------------------------------------------------
 */
struct rh_vs;
/* Something that is to be called now and then as long as it is there. */
struct rh_vs_beat {
    int (*beat)(void *user, struct rh_vs *s); /* on the session's own thread */
    void *user;
    unsigned seconds;
    time_t last;
};
struct rh_vs {
    struct rh_live *live;
    bool vcenter; /* what the server is, not what the URL says */
    char *version, *name, *api;
    char *speaks; /* the API's version in our calls; NULL: 6.0 */
    struct rh_vs_ref root, collector, sessions, views, search, rights;
    pthread_mutex_t login_lock;
    atomic_uint logins; /* again, after sessions that had ended */
    bool refused;       /* the last of them: asking again might lock the user */
    pthread_t thread;   /* keeps the session and leases alive */
    pthread_mutex_t beats_lock;
    pthread_cond_t beats_news;
    bool beating, ending;
    RH_VEC(struct rh_vs_beat *) beats;
    pthread_mutex_t cache_lock;        /* while these are read, once */
    RH_VEC(struct rh_vs_place) places; /* of the inventory, by id */
    RH_VEC(struct rh_vs_name) names;   /* of all VMs */
    bool places_known, names_known, clock_known;
    long clock_off; /* seconds that the server is ahead */
    struct rh_vs_tags *tags;
};
struct rh_vs *rh_vs_of(const struct rh_live *live);
int rh_vs_open(struct rh_live *live, rh_error **err);
void rh_vs_close(struct rh_live *live);
void rh_vs_beat_add(struct rh_vs *s, struct rh_vs_beat *b);
void rh_vs_beat_remove(struct rh_vs *s, struct rh_vs_beat *b); /* has ended */

struct rh_vs_call {
    const char *method;      /* "CreateContainerView" */
    const char *type, *id;   /* _this */
    const char *body;        /* what follows _this; NULL: nothing */
    struct rh_secret *words; /* likewise, a secret, instead */
    bool again;              /* reads only: may be sent twice */
    bool cleanup;            /* goes on after a cancel */
    char fault[64];          /* the fault's type when one came, else "" */
    char property[64];       /* InvalidArgument: which */
};
/* The answer's document, or NULL.  A session that has ended is begun anew
 * once.  Faults by their type; the server's own words are in the message. */
xmlDoc *rh_vs_call(struct rh_vs *s, struct rh_vs_call *c, rh_error **err);
/* Where only whether it worked matters. */
int rh_vs_do(struct rh_vs *s, struct rh_vs_call *c, rh_error **err);
/* An error by the fault's type; `text` is the server's. */
int rh_vs_fault(struct rh_vs *s, const char *what, const xmlNode *fault,
                const char *text, rh_error **err);
/* <METHODResponse>; NULL for NULL. */
xmlNode *rh_vs_response(const xmlDoc *doc);

/* --- properties and tasks (property.c) --------------------------------------
 */
/* Called for each object: <obj>, <propSet>... */
typedef int rh_vs_object_fn(void *user, const xmlNode *object, rh_error **err);
/* Names of a type's properties, ended by NULL, of these objects. */
struct rh_vs_query {
    const char *type;
    const char *const *paths;
    const char *const *ids; /* objects */
    size_t count;
    const char *view; /* or all that a container view shows */
};
/* In pages of 100 objects. */
int rh_vs_retrieve(struct rh_vs *s, const struct rh_vs_query *q,
                   rh_vs_object_fn *fn, void *user, rh_error **err);
/* One object's properties: <objects> within *ret_doc; NULL with LIVE_NOT_FOUND
 * when there is no such object. */
xmlNode *rh_vs_object(struct rh_vs *s, const char *type, const char *id,
                      const char *const *paths, xmlDoc **ret_doc,
                      rh_error **err);
/* The <val> of a property; NULL: it has none. */
xmlNode *rh_vs_property(const xmlNode *object, const char *name);
/* A view of everything of the types below a container; *ret_id to be freed. */
int rh_vs_view(struct rh_vs *s, const char *container_type,
               const char *container, const char *types, char **ret_id,
               rh_error **err);
void rh_vs_view_end(struct rh_vs *s, const char *id);
/* Start a ..._Task call and wait for its end; *ret_result (may be NULL): the
 * id of the object that it gives, to be freed.  A cancel leaves the task alone
 * and is told; with `settle` it is waited for all the same. */
int rh_vs_task(struct rh_vs *s, struct rh_vs_call *c, bool settle,
               char **ret_result, rh_error **err);

/* --- places (inventory.c) ---------------------------------------------------
 */
/* Know them; once for a session. */
int rh_vs_places(struct rh_vs *s, rh_error **err);
const struct rh_vs_place *rh_vs_place(const struct rh_vs *s, const char *id);
/* "DC0/vm/Folder" of an object's id, without the root folder; NULL: its
 * parents are not all seen.  The caller frees. */
char *rh_vs_path(const struct rh_vs *s, const char *id);
/* The datacenter's path above an object, for dcPath. */
char *rh_vs_datacenter_path(const struct rh_vs *s, const char *id);

/* Of all VMs that the user sees. */
struct rh_vs_ids {
    RH_VEC(char *) list;
};
void rh_vs_ids_free(struct rh_vs_ids *ids); /* also for RH_AUTO */
int rh_vs_all_vms(struct rh_vs *s, struct rh_vs_ids *ret, rh_error **err);
int rh_vs_find(struct rh_live *live, const struct rh_remote_url *at,
               char **ret_id, rh_error **err);
/* Snapshots in the list "rootSnapshotList" and below it. */
unsigned rh_vs_snapshots(const xmlNode *list, const char *name);
int rh_vs_list(struct rh_live *live, const struct rh_remote_url *at,
               rh_live_row_fn *row, void *user, rh_error **err);

#endif
