/* xen.h - what the parts of the XCP-ng target share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_TARGETS_XCP_NG_XEN_H
#define RH_TARGETS_XCP_NG_XEN_H

#include "base/limits.h"
#include "targets/target.h"

enum { XEN_CD_POSITION = 3 }; /* VBD.userdevice of the CD drive */

/* VBD.userdevice of the i-th disk: 0, 1, 2, then 4, 5 ... */
unsigned rh_xen_position(size_t disk);
/* The network of a NIC on the target: mapped, else as the package names it;
 * the caller frees. *ret_mapped (may be NULL): did the user map it? */
char *rh_xen_network(const struct rh_target_job *job, size_t nic,
                     bool *ret_mapped);
/* Is it a bridge's name (xenbr0, xapi1)? */
bool rh_xen_is_bridge(const char *network);

/* Settings that both ova.xml and the xe script carry: {"key": "value"}. */
json_t *rh_xen_platform(const struct rh_target_job *job, rh_error **err);
uint64_t rh_xen_cpus(const struct rh_target_job *job);
/* Cores per socket, 1 when not said or not a divisor. */
uint64_t rh_xen_cores(const struct rh_target_job *job);
uint64_t rh_xen_memory(const struct rh_target_job *job);
/* Letters of HVM_boot_params:order, "cdn" by default. */
void rh_xen_boot_order(const struct rh_target_job *job, char ret[4]);
/* Seconds that the hardware clock is ahead of UTC; false when it keeps local
 * time and nobody says which (then 0). */
bool rh_xen_time_offset(const struct rh_target_job *job, long *ret_seconds);
const char *rh_xen_template(const struct rh_target_job *job);
bool rh_xen_wants_tpm(const struct rh_target_job *job);
bool rh_xen_is_uefi(const struct rh_target_job *job);
bool rh_xen_is_windows(const struct rh_target_job *job);
bool rh_xen_is_xva(const struct rh_target_job *job);
/* The VM's name and description, fit to print and for XML. */
char *rh_xen_name(const struct rh_target_job *job);
char *rh_xen_description(const struct rh_target_job *job);

/* ova.xml; the i-th disk's object is named by rh_xen_disk_ref(). */
char *rh_xen_metadata(const struct rh_target_job *job, rh_error **err);
void rh_xen_disk_ref(size_t disk, char ret[16]);

/* Scripts and words to import by hand. */
char *rh_xen_import_xva(const struct rh_target_job *job);
char *rh_xen_import_disks(const struct rh_target_job *job, rh_error **err);
char *rh_xen_import_words(const struct rh_target_job *job);

/* A tar holding one file: NAME-metadata.xva. */
void rh_xen_tar_header(uint8_t p[512], const char *name, uint64_t size);

int rh_xen_check(const struct rh_target_job *job, struct rh_findings *findings,
                 rh_error **err);
extern const struct rh_archive_ops rh_xen_archive;

#endif
