/* kvm.h - what the parts of the KVM target share: the machine as decided.
 *
 * Proxmox VE's configuration, the `qm` script and libvirt's domain are three
 * ways to write down one machine, so it is decided once, here. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_TARGETS_KVM_KVM_H
#define RH_TARGETS_KVM_KVM_H

#include "targets/target.h"

struct rh_kvm_nic {
    const char *model; /* "virtio", "vmxnet3", "e1000" ... */
    char mac[18];      /* lower case */
    char *bridge;      /* "vmbr0" */
    unsigned vlan;     /* 0: none */
    bool connected;
    bool mapped;  /* by --network-map */
    bool made_up; /* the MAC is ours */
};

struct rh_kvm {
    const struct rh_target_job *job;
    char *dns_name; /* fit for Proxmox VE */
    char uuid[37], genid[37];
    bool own_uuid;   /* the package said none */
    uint64_t memory; /* MiB */
    uint64_t sockets, cores;
    bool topology_changed;
    bool uefi, secure_boot, tpm, windows, linux_guest, q35, localtime;
    bool nested;            /* or VBS, which is the same for the host */
    const char *scsihw;     /* Proxmox's word */
    const char *scsi_model; /* libvirt's */
    const char *storage, *vmid;
    bool cdrom;
    const char *cdrom_bus; /* "ide2", "sata5"; NULL: no place for one */
    size_t serial_ports;
    struct rh_kvm_nic *nics;
    size_t nic_count;
};
/* Decide; rh_kvm_free() frees what it holds. */
void rh_kvm_decide(struct rh_kvm *k, const struct rh_target_job *job);
void rh_kvm_free(struct rh_kvm *k);

/* --- buses
 * -------------------------------------------------------------------- */
/* "scsi12" -> "scsi" and 12; false for NULL and for nonsense. */
bool rh_kvm_bus(const char *bus, char ret_kind[8], unsigned *ret_number);
int rh_kvm_assign(struct rh_target_job *job, struct rh_findings *findings,
                  rh_error **err);
int rh_kvm_check(const struct rh_target_job *job, struct rh_findings *findings,
                 rh_error **err);

/* --- Proxmox: settings that the file and the script both carry
 * ------------------ */
struct rh_kvm_setting {
    const char *key;  /* "scsi0", "memory"; borrowed or in the VM's arena */
    char *value;      /* of a volume: its options behind the volume */
    char *api;        /* what `qm create` takes instead, NULL: the same */
    const char *file; /* a volume made of this file, */
    bool volume;      /* or (file NULL) made new */
    uint64_t size;    /* bytes of the volume */
};
struct rh_kvm_settings {
    RH_VEC(struct rh_kvm_setting) list; /* sorted by key */
};
void rh_kvm_settings(const struct rh_kvm *k, struct rh_kvm_settings *ret);
void rh_kvm_settings_free(struct rh_kvm_settings *s);

/* The VM's tags as Proxmox VE takes them, with ; before each; the caller frees.
 * How many are spelled otherwise there, and how many are left out. */
char *rh_kvm_tags(const struct rh_target_job *job, size_t *ret_changed,
                  size_t *ret_lost);

char *rh_kvm_proxmox_conf(const struct rh_kvm *k);
char *rh_kvm_import_script(const struct rh_kvm *k);
char *rh_kvm_import_words(const struct rh_kvm *k);
char *rh_kvm_libvirt_xml(const struct rh_kvm *k, rh_error **err);

#endif
