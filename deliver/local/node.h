/* node.h - what is done on a Proxmox VE node with root's rights: `pvesm` makes
 * and frees volumes, `qm` makes and destroys the VM.
 *
 * A push does it itself; a conversion, which reads what strangers made, asks
 * for it (broker.h). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_LOCAL_NODE_H
#define RH_DELIVER_LOCAL_NODE_H

#include "deliver/local/local.h"
#include "deliver/proxmox/proxmox.h"

/* A name of Proxmox: it stands in arguments of programs. */
bool rh_node_is_name(const char *name);
bool rh_node_is_number(const char *text); /* of a VM */
/* "proxmox-local:STORAGE": its storage, borrowed; NULL with DELIVERY_URL, or
 * DELIVERY_PLACE where this is no node. */
const char *rh_node_storage_in(const char *url, rh_error **err);

/* --- looking: changes nothing
 * -------------------------------------------------------- */
struct rh_node_facts {
    char *type;    /* of the storage: "lvmthin" */
    bool thick;    /* a new volume may hold what others have left */
    bool files;    /* volumes are files with an extension */
    uint64_t room; /* bytes free in it */
    char *vmid;
    bool reserved; /* other runs on this node take another one: */
    int lock;
    bool taken; /* a VM of that number is there */
    char *lvm;  /* what lvmconfig says of scan_lvs and global_filter; "" */
};
/* `vmid`: the one that was asked for; NULL: the next that is free, which other
 * runs on this node leave alone until the facts are freed.  `mark`: of the job
 * whose volumes lie there (staged.h), or NULL. */
int rh_node_look(rh_lib *lib, const char *storage, const char *vmid,
                 const char *mark, struct rh_node_facts *ret, rh_error **err);
void rh_node_facts_free(struct rh_node_facts *f);
/* Parts of the two: `vmid` and `taken`, and a lock on the number. */
int rh_node_choose_number(rh_lib *lib, const char *asked, const char *mark,
                          struct rh_node_facts *f, rh_error **err);
/* In the whole cluster. */
int rh_node_number_is_free(rh_lib *lib, const char *vmid, bool *ret,
                           rh_error **err);
void rh_node_leave_number(struct rh_node_facts *f);
/* A folder into which nobody else writes, open: for locks, or for what outlives
 * the machine. */
int rh_node_folder(bool lasting, bool make, rh_error **err);
/* What that means for this VM; `need` are bytes, 0: not known. */
void rh_node_judge(const struct rh_node_facts *f, const char *storage,
                   uint64_t need, const struct rh_pve_conf *conf,
                   struct rh_checks *checks);
/* Would LVM look into a guest's disk on such a storage?  The setting that is
 * missing ("devices/global_filter ... "), for people, or NULL. */
char *rh_node_lvm_lacks(const char *type, const char *lvm);

/* --- doing
 * ---------------------------------------------------------------------------
 */
/* One VM that is being made. */
struct rh_node_vm {
    rh_lib *lib;
    const char *storage; /* borrowed */
    char *vmid;
    bool files;
    char mark[9];               /* of this run, in its volumes' names */
    struct rh_journal *journal; /* borrowed */
    RH_VEC(char *) volumes;     /* as the journal names them */
    RH_VEC(char *) ids;         /* the same, as the storage calls them */
    char *note;                 /* of its description, to know it by */
    bool made;                  /* the VM stands, as far as we know */
    bool staged; /* its volumes were there before: they are not taken away */
};
int rh_node_vm_init(struct rh_node_vm *v, rh_lib *lib, const char *storage,
                    const struct rh_node_facts *f, rh_error **err);
void rh_node_vm_free(struct rh_node_vm *v);
/* A new raw volume; noted in the journal before it is made. *ret_volume is
 * borrowed. */
int rh_node_alloc(struct rh_node_vm *v, uint64_t size, const char **ret_volume,
                  rh_error **err);
/* A volume of that name, which is free: nobody else's, and noted by now.
 * *ret_id: as the storage calls it. */
int rh_node_alloc_named(rh_lib *lib, const char *storage, const char *vmid,
                        const char *name, uint64_t size, char **ret_id,
                        rh_error **err);
/* The volume "STORAGE:NAME" of a journal, as the storage calls it; NULL: it is
 * gone.  *ret_used: a guest has it. */
int rh_node_volume(const char *name, char **ret_id, bool *ret_used,
                   rh_error **err);
/* Where it is none a logical volume is switched on: it was off since the
 * machine started. */
int rh_node_activate(const char *path, const char *type, rh_error **err);
/* Where the node has it: an absolute path. */
char *rh_node_path(rh_lib *lib, const char *volume, rh_error **err);
/* `params`: rh_pve_conf_params(), taken. */
int rh_node_create(struct rh_node_vm *v, json_t *params, rh_error **err);
/* What stands there, as a delivery names it. */
json_t *rh_node_describe(const struct rh_pve_conf *conf, const char *vmid);
int rh_node_start(rh_lib *lib, const char *vmid, rh_error **err);
int rh_node_addresses(rh_lib *lib, const char *vmid, json_t *list,
                      rh_error **err);
/* The VM whose configuration holds `sign`, to be freed; NULL: there is none.
 * With `start` it is started, unless it runs. */
int rh_node_find(rh_lib *lib, const char *sign, bool start, char **ret_vmid,
                 rh_error **err);
/* All that was made; nobody can cancel it. */
int rh_node_take_away(struct rh_node_vm *v, rh_error **err);
/* One thing of a journal, only if it is ours and unused. */
int rh_node_clean(const char *kind, const char *id, rh_error **err);

#endif
