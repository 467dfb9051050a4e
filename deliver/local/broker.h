/* broker.h - two processes on a Proxmox VE node: one keeps root's rights and
 * runs the node's programs, the other reads what strangers made and has none.
 *
 * They talk over a socket: a call is one message of words, so is its answer,
 * and a volume comes as an open descriptor.  The broker believes nothing: it
 * takes a fixed few calls, checks each word, and touches no volumes and no VM
 * but those that it made for this caller.  A caller that ends, however it ends,
 * has what it did not keep taken away. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_LOCAL_BROKER_H
#define RH_DELIVER_LOCAL_BROKER_H

#include "deliver/local/node.h"
#include "deliver/local/staged.h"

/* --- messages
 * ------------------------------------------------------------------------ */
enum { RH_WIRE_BYTES = 128 * 1024, RH_WIRE_WORDS = 2200 };
struct rh_wire {
    char *bytes;
    const char **words; /* into bytes */
    size_t count;
    int fd; /* that came with it, or -1 */
};
int rh_wire_send(rh_lib *lib, int socket, const char *const *words,
                 size_t count, int fd, rh_error **err);
/* 1, or 0: the other side is gone. */
int rh_wire_receive(rh_lib *lib, int socket, struct rh_wire *ret,
                    rh_error **err);
/* The words of a message; false when it is none. */
bool rh_wire_split(char *bytes, size_t n, const char **words,
                   size_t *ret_count);
void rh_wire_free(struct rh_wire *w);

/* --- the side with the rights
 * ---------------------------------------------------- */
struct rh_broker {
    rh_lib *lib; /* of its journals and log */
    int socket;
    const char *storage; /* borrowed */
    const char *url;     /* likewise */
    bool keep_failed;
    struct rh_node_facts facts;
    struct rh_node_vm vm;
    struct rh_journal *journal; /* of the VM that is being made, or NULL */
    bool created;               /* it stands, and is this caller's */
    struct rh_staged staged;    /* of a warm migration, or nothing (mark "") */
    char *kept;                 /* number of the last VM that was delivered */
};
/* Until the other side is gone. */
void rh_broker_serve(struct rh_broker *b);

/* broker_staged.c: the calls that volumes have before their VM is made; each
 * adds its words.  `fd` is the volume, open for writing, or -1. */
struct rh_broker_staged {
    const char *vmid, *type; /* borrowed from the broker */
    bool thick, there;
    const char *id; /* likewise */
    int fd;
};
int rh_broker_stage_open(struct rh_broker *b, const char *mark,
                         const char *asked, struct rh_broker_staged *ret,
                         rh_error **err);
int rh_broker_stage_make(struct rh_broker *b, const char *disk,
                         const char *size, struct rh_broker_staged *ret,
                         rh_error **err);
int rh_broker_stage_use(struct rh_broker *b, const char *name, const char *size,
                        struct rh_broker_staged *ret, rh_error **err);
int rh_broker_stage_drop(struct rh_broker *b, const char *mark, rh_error **err);
/* The VM that begins has them. */
int rh_broker_stage_give(struct rh_broker *b, const char *mark, rh_error **err);
/* A VM with them stands: nothing is noted of them any more. */
void rh_broker_stage_forget(struct rh_broker *b, const char *mark);
/* "rehost warm 0123456789abcdef": its digits, borrowed; NULL: that is none. */
const char *rh_broker_mark(const char *mark);
/* A volume for writing; -1. */
int rh_broker_open_volume(const char *volume, const char *type, rh_error **err);
/* Facts anew, for that number ("": any). */
int rh_broker_look_at_node(struct rh_broker *b, const char *vmid,
                           rh_error **err);
/* May a VM be created so?  Its disks' volumes are in v->volumes; `params` are
 * `count` words, key and value in turn. */
int rh_broker_check_vm(const struct rh_node_vm *v, const char *const *params,
                       size_t count, rh_error **err);

/* --- the side without
 * ----------------------------------------------------------- */
/* Is there a broker for this library? */
bool rh_broker_is_there(const rh_lib *lib);
int rh_broker_look(rh_lib *lib, const char *vmid, struct rh_node_facts *ret,
                   rh_error **err);
/* A VM begins: what an earlier run has left of it is taken away.  The number
 * may be another one than before.  `mark` ("rehost warm 0123456789abcdef"): its
 * volumes are those that lie there; or NULL. */
int rh_broker_begin(rh_lib *lib, const char *name, const char *vmid,
                    const char *mark, char **ret_vmid, rh_error **err);
/* A new volume, open for writing. */
int rh_broker_alloc(rh_lib *lib, uint64_t size, char **ret_volume, int *ret_fd,
                    rh_error **err);
int rh_broker_create(rh_lib *lib, const char *note, const json_t *params,
                     rh_error **err);
int rh_broker_keep(rh_lib *lib, rh_error **err);
int rh_broker_drop(rh_lib *lib, rh_error **err); /* nobody can cancel it */
/* Of a job of that name an earlier run may have delivered a VM, whose
 * description has this mark ("rehost warm 0123456789abcdef"); what it left half
 * made is taken away.  *ret_vmid NULL: there is none. */
int rh_broker_find(rh_lib *lib, const char *name, const char *mark, bool start,
                   char **ret_vmid, rh_error **err);
/* Volumes of the job with that mark, whose VM comes later; of one that was
 * begun they are there. */
struct rh_staged_facts {
    char *vmid;
    bool thick, thin; /* a new one may hold what others left; so may blocks */
};
int rh_broker_stage(rh_lib *lib, const char *mark, const char *vmid,
                    struct rh_staged_facts *ret, rh_error **err);
/* Disk `i`, new, open for writing; *ret_name is what it is asked for by. */
int rh_broker_make(rh_lib *lib, size_t i, uint64_t size, char **ret_name,
                   int *ret_fd, rh_error **err);
/* As it was made; *ret_fd -1: it is gone.  *ret_id (or NULL): as the storage
 * calls it. */
int rh_broker_use(rh_lib *lib, const char *name, uint64_t size, char **ret_id,
                  int *ret_fd, rh_error **err);
int rh_broker_unstage(rh_lib *lib, const char *mark, rh_error **err);
/* Of the VM that was kept last. */
int rh_broker_start(rh_lib *lib, rh_error **err);
int rh_broker_addresses(rh_lib *lib, json_t *list, rh_error **err);

#endif
