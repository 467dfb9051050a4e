/* virt.h - a host with libvirt, as a delivery uses it.
 *
 * Disks go by libvirt's own streams into a pool's volumes, and the domain is
 * defined around them: nothing is needed there but libvirt, whatever carries
 * the connection (a socket, ssh, TLS).  The log-in is libvirt's own matter:
 * keys of ssh, client certificates, polkit, its auth.conf.
 *
 * libvirt is LGPL, as we are; it is loaded when first needed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_LIBVIRT_VIRT_H
#define RH_DELIVER_LIBVIRT_VIRT_H

#include <jansson.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "base/late.h"
#include "deliver/server.h"

/* --- libvirt's calls
 * -------------------------------------------------------------------- */
#define RH_VIRT_CALLS(X)            \
    X(ConnectOpenAuth)              \
    X(ConnectClose)                 \
    X(ConnectGetHostname)           \
    X(ConnectGetDomainCapabilities) \
    X(ConnectListAllDomains)        \
    X(ConnectListAllNetworks)       \
    X(ConnectListAllStoragePools)   \
    X(DomainCreate)                 \
    X(DomainDefineXML)              \
    X(DomainFree)                   \
    X(DomainGetXMLDesc)             \
    X(DomainInterfaceAddresses)     \
    X(DomainInterfaceFree)          \
    X(DomainIsActive)               \
    X(DomainLookupByName)           \
    X(DomainLookupByUUIDString)     \
    X(DomainUndefineFlags)          \
    X(GetLastError)                 \
    X(InterfaceFree)                \
    X(InterfaceLookupByName)        \
    X(NetworkFree)                  \
    X(NetworkGetName)               \
    X(NetworkIsActive)              \
    X(NetworkLookupByName)          \
    X(SetErrorFunc)                 \
    X(StoragePoolFree)              \
    X(StoragePoolGetInfo)           \
    X(StoragePoolGetName)           \
    X(StoragePoolGetXMLDesc)        \
    X(StoragePoolIsActive)          \
    X(StoragePoolLookupByName)      \
    X(StoragePoolRefresh)           \
    X(StorageVolCreateXML)          \
    X(StorageVolDelete)             \
    X(StorageVolDownload)           \
    X(StorageVolFree)               \
    X(StorageVolGetInfo)            \
    X(StorageVolGetPath)            \
    X(StorageVolLookupByName)       \
    X(StorageVolLookupByPath)       \
    X(StorageVolUpload)             \
    X(StreamAbort)                  \
    X(StreamFinish)                 \
    X(StreamFree)                   \
    X(StreamNew)                    \
    X(StreamRecv)                   \
    X(StreamSend)                   \
    X(StreamSendHole)

#define RH_VIRT_POINTER(name) __typeof__(vir##name) *name;
struct rh_virt_calls {
    RH_VIRT_CALLS(RH_VIRT_POINTER)
};
extern struct rh_virt_calls rh_virt;

/* --- the connection
 * ---------------------------------------------------------------------- */
struct rh_virt_host {
    rh_lib *lib;
    char *text; /* the whole URL, for people */
    char *uri;  /* libvirt's own */
    char *pool; /* behind the "#"; NULL: none was named */
    virConnectPtr conn;
};
/* "libvirt:URI[#POOL]"; DELIVERY_URL.  Nothing is connected. */
int rh_virt_url(const char *text, struct rh_virt_host *ret, rh_error **err);
int rh_virt_connect(struct rh_virt_host *h, rh_lib *lib, rh_error **err);
void rh_virt_close(struct rh_virt_host *h); /* also when half open */
/* libvirt's last error as ours; `what` was tried. */
int rh_virt_fail(const char *what, rh_error **err);
bool rh_virt_was(int code); /* is it that one (VIR_ERR_...)? */

/* --- the domain, as libvirt.xml says
 * ------------------------------------------------------ */
struct rh_virt_nic {
    char *mac;
    char *bridge; /* or a network; NULL: QEMU's own NAT */
    bool network; /* `bridge` names one of libvirt's networks */
    void *node;
};
struct rh_virt_disk {
    char *file; /* its name in the result */
    char *path; /* as it stands there */
    char *target;
    void *node;
};
struct rh_virt_domain {
    void *doc;
    char *name, *uuid, *machine;
    RH_VEC(struct rh_virt_disk) disks;
    RH_VEC(struct rh_virt_nic) nics;
};
/* Only what touches the VM alone is taken: DELIVERY_RESULT names what else
 * would reach into the host. */
int rh_virt_domain_parse(const char *xml, size_t n, struct rh_virt_domain *ret,
                         rh_error **err);
/* The same of what libvirt itself gives. */
int rh_virt_domain_there(const char *xml, struct rh_virt_domain *ret,
                         rh_error **err);
void rh_virt_domain_free(struct rh_virt_domain *d); /* also for RH_AUTO */
/* --network-map and --name; `nics` of vm.json has the networks' names. */
int rh_virt_domain_map(struct rh_virt_domain *d, const json_t *nics,
                       const rh_options *o, rh_error **err);
void rh_virt_domain_disk(struct rh_virt_domain *d, size_t i, const char *path,
                         bool block, const char *format);
void rh_virt_domain_network(struct rh_virt_domain *d, size_t i);
/* Software emulation, where the host has no KVM. */
void rh_virt_domain_emulate(struct rh_virt_domain *d);
char *rh_virt_domain_text(const struct rh_virt_domain *d); /* NULL: memory */
/* "path" of <pool type='...'>: the kind; the caller frees. */
char *rh_virt_pool_kind(const char *xml);

/* --- work
 * --------------------------------------------------------------------------------
 */
struct rh_virt_volume {
    char *name;
    virStorageVolPtr volume; /* NULL: not made yet */
};
struct rh_virt_work {
    struct rh_virt_host *host;
    struct rh_journal *journal;
    struct rh_virt_domain domain;
    virStoragePoolPtr pool;
    char *pool_name;
    bool files;   /* volumes are files: qcow2 goes as it is */
    bool thick;   /* a volume takes its whole size */
    char mark[9]; /* of this run, in the volumes' names */
    RH_VEC(struct rh_virt_volume) volumes; /* in the disks' order */
    virStreamPtr stream;                   /* into the last one */
    uint64_t hole, sent;                   /* hole: bytes not sent yet */
    virDomainPtr vm;
};
int rh_virt_work_init(struct rh_virt_work *w, struct rh_virt_host *h,
                      rh_error **err);
void rh_virt_work_free(struct rh_virt_work *w);
/* 1: a VM with the domain's UUID is there; 0: none; -1: it is not known. */
int rh_virt_has_uuid(struct rh_virt_work *w, rh_error **err);
/* Pool, space, networks, names; `files` of the disks, and their virtual size.
 */
int rh_virt_look(struct rh_virt_work *w, const char *pool, uint64_t data_bytes,
                 uint64_t virtual_bytes, struct rh_checks *checks,
                 rh_error **err);
/* A new volume for disk i, in "qcow2" or "raw"; `size` in bytes, where a pool
 * of files wants the file's.  Then its bytes, front to back. */
int rh_virt_disk_begin(struct rh_virt_work *w, size_t i, const char *format,
                       uint64_t size, rh_error **err);
int rh_virt_write(struct rh_virt_work *w, const void *bytes, size_t n,
                  rh_error **err);
int rh_virt_hole(struct rh_virt_work *w, uint64_t n, rh_error **err);
int rh_virt_disk_end(struct rh_virt_work *w, size_t i, const char *format,
                     rh_error **err);
/* Define it, and compare what stands there. *ret_there: {"id","uuid","disks",
 * "nics"}. */
int rh_virt_define(struct rh_virt_work *w, json_t **ret_there, rh_error **err);
/* For rh_server_libvirt's row: `work` is a struct rh_virt_work. */
int rh_virt_start(void *work, rh_error **err);
int rh_virt_addresses(void *work, json_t *list, rh_error **err);
void rh_virt_undo(void *work);
int rh_virt_find(struct rh_server *s, const char *mark, bool start,
                 char **ret_where, rh_error **err);
/* The bytes of disk i of the domain with this UUID, in order. */
int rh_virt_read_disk(struct rh_virt_host *h, const char *uuid, size_t i,
                      rh_http_sink *sink, void *user, rh_error **err);
/* One thing of a journal, if it is ours. */
int rh_virt_clean(struct rh_virt_host *h, const char *kind, const char *id,
                  rh_error **err);

#endif
