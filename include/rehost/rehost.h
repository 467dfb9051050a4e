/* rehost.h - turn VMware and Nutanix VM exports into Xen or KVM VMs.
 *
 * Results    int: 0 done, -1 failed.  Pointer: NULL failed.
 * Errors     the last parameter; may be NULL, else points to a NULL rh_error *
 *            (the first cause is kept); untouched on success.  One error tells
 *            what, where and what to do next, in the language of "lang".
 * Ownership  *_new, *_open, *_load, *_run and *_report give you an object: pass
 *            it to its *_free or *_unload (NULL is fine).  A `char *` is yours:
 *            free() it.  A `const char *` is borrowed from the object it came
 *            from and dies with it, or with the next call that changes it.
 *            What you pass in is yours still: texts and options are copied.
 * Parents    free children first: job and disk, then package, then library.
 *            A report stands alone but for the library.
 * Failure    an object whose call failed can still be asked and freed; what
 *            failed fails again.  Jobs say more of that below.
 * Threads    one thread per rh_lib at a time; different ones are independent.
 *            Exceptions: rh_lib_cancel, from any thread and from signal
 *            handlers; every rh_disk_* call but rh_disk_open and rh_disk_free,
 *            from any thread, side by side, on one disk; the rh_error_* calls
 *            and rh_version, on no library at all.  The library starts threads
 *            ("threads", and some that wait), which end with the call or with
 *            the object that they serve.
 * Callbacks  come on the thread that made the call, while it lasts, but for the
 *            log's lines and your own sources and sinks, which may come from
 *            any; they may call rh_lib_cancel and no other call on that rh_lib.
 * Process    nothing is printed, no signal handler, folder, umask or exit is
 *            touched; the locale only by rh_lib_set "lang".  Writing to a pipe
 *            that nobody reads raises SIGPIPE: ignore it to get an error.
 *            Programs are run for some guests (libguestfs' appliance, helpers
 *            for file systems) and by rh_result_boot (QEMU); they end at the
 *            latest when the job or package is freed.
 * Units      bytes, always.  Text is UTF-8.
 * Keys       options and values go by name, the same names as the command
 *            line's long options without dashes ("threads", "memory",
 *            "network-map") and the keys of vm.json ("nics/0/mac").  A switch
 *            ("overwrite") is on with "yes" or "".  Which names there are is
 *            known to rh_options_add; a call refuses those of another call.
 * Memory     what an input decides is bounded and reported (class "memory");
 *            running out of memory for small bookkeeping ends the process.
 * ABI        from 0.2 on calls are added, never changed: symbols carry the
 *            version that brought them (REHOST_0.2), the library's name its
 *            ABI (librehost.so.1).  No struct is ever seen from outside.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef REHOST_H
#define REHOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REHOST_API 2 /* grows with every added call; nothing is taken away */

#if defined(__GNUC__)
#define RH_PUBLIC __attribute__((visibility("default")))
#else
#define RH_PUBLIC
#endif

typedef struct rh_lib rh_lib;         /* settings, log, progress, cancel flag */
typedef struct rh_error rh_error;     /* why a call failed and what to do */
typedef struct rh_package rh_package; /* one opened export: VMs + disks */
typedef struct rh_disk rh_disk;       /* a virtual disk, readable anywhere */
typedef struct rh_job rh_job;         /* a conversion: decided, then run */
typedef struct rh_options rh_options; /* a list of key, value */
typedef struct rh_report rh_report;   /* dry runs of one or many packages */
typedef struct rh_job_target rh_outcome; /* one VM on one target, by a job */
typedef struct rh_finding rh_finding;    /* what a person should know */
typedef struct rh_edit rh_edit;          /* one change inside a guest */

/* --- errors ------------------------------------------------------------------
 */
/* All of them take NULL (no error): status 0, texts "".
 * The exit status that the command line gives it: 1 failed (I/O, a service,
 * internal), 2 usage, 3 input refused, 4 blocked, 130 cancelled. */
RH_PUBLIC int rh_error_status(const rh_error *);
RH_PUBLIC const char *rh_error_id(const rh_error *); /* "VMDK_GRAIN" */
/* What a caller can do about it: "input" and "blocked" will fail again, "usage"
 * and "bug" want another call, "io" "no-space" "network" "auth" "busy" and
 * "memory" may pass, "cancelled" was asked for.  "" for no error. */
RH_PUBLIC const char *rh_error_class(const rh_error *);
RH_PUBLIC const char *rh_error_message(const rh_error *); /* one line */
RH_PUBLIC const char *rh_error_where(const rh_error *);   /* "a.vmdk" or "" */
RH_PUBLIC const char *rh_error_hint(const rh_error *);    /* what next, or "" */
RH_PUBLIC char *rh_error_json(const rh_error *);          /* {"error":{...}} */
RH_PUBLIC void rh_error_free(rh_error *);
/* The i-th error id with its exit status and default hint; NULL at the end. */
RH_PUBLIC const char *rh_error_list(size_t i, int *ret_status,
                                    const char **ret_hint);

/* --- the library object
 * -------------------------------------------------------- */
#define RH_LOG_DEBUG_LEVEL 0
#define RH_LOG_INFO_LEVEL  1
#define RH_LOG_WARN_LEVEL  2
typedef void rh_log_fn(void *user, int level, const char *line);
typedef void rh_progress_fn(void *user, const char *stage, uint64_t done,
                            uint64_t total);

RH_PUBLIC const char *rh_version(void);
RH_PUBLIC char *rh_build_info(void); /* lines: libraries, formats, targets */
RH_PUBLIC rh_lib *rh_lib_new(rh_error **);
RH_PUBLIC void rh_lib_free(rh_lib *);
/* "threads" (1 to 1024; every core), "memory" (bytes of buffers; "32MiB"),
 * "bandwidth" (bytes a second from and to servers, all jobs of this library
 * together; "100M"), "max-disk-size" ("64TiB"), "trust" (a CA file),
 * "require-manifest" ("yes"), "temp-dir" ($TMPDIR, else /var/tmp), "lang"
 * ("en", "ja", "auto": the environment's; it is the whole process's),
 * "fetched-dir" (a folder in which bytes that come from a server are kept until
 * a job is done, so that one that was interrupted goes on with them; none) and
 * "fetched-most" (bytes in it at most; no limit). */
RH_PUBLIC int rh_lib_set(rh_lib *, const char *key, const char *value,
                         rh_error **);
/* NULL: no more.  `line` ends without a newline and is fit for a terminal;
 * `total` is 0 where it is not known; at most ten times a second, the last time
 * with done == total. */
RH_PUBLIC void rh_lib_on_log(rh_lib *, rh_log_fn *, void *user);
RH_PUBLIC void rh_lib_on_progress(rh_lib *, rh_progress_fn *, void *user);
/* A question to a person: the answer, malloc()ed, is wiped and freed; NULL: no
 * answer.  `hidden`: it is a password, or the key of an encrypted volume for
 * which none was named. */
typedef char *rh_ask_fn(void *user, const char *question, int hidden);
RH_PUBLIC void rh_lib_on_ask(rh_lib *, rh_ask_fn *, void *user);
/* The running call, and each later one, fails with CANCELLED and leaves nothing
 * half-made; for more work make a new rh_lib. */
RH_PUBLIC void rh_lib_cancel(rh_lib *);
/* For "out" or "target" proxmox-local:STORAGE, on a Proxmox VE node, before
 * anything else is done with the library and before a thread is started: the
 * process becomes two.  0: go on; this one has no root's rights any more (it
 * is the user "run-as", else nobody), or there was nothing to split.  1: the
 * other one has done it all and ended, and this one, which kept the rights and
 * served it, has nothing to do but to end with *ret_status; while it serves, it
 * passes SIGINT, SIGTERM and SIGHUP on.  Options: those of rh_job_new. */
RH_PUBLIC int rh_lib_split(rh_lib *, const rh_options *, int *ret_status,
                           rh_error **);
/* i-th name of "formats", "targets", "profiles", "fixes", "findings"; NULL at
 * the end. */
RH_PUBLIC const char *rh_lib_name(rh_lib *, const char *what, size_t i);
/* All profiles, or one, as JSON. */
RH_PUBLIC char *rh_lib_profiles_json(rh_lib *, const char *id, rh_error **);

/* --- your own sources and sinks
 * ------------------------------------------------- */
/* Bytes by your functions, under a name that is then good wherever a path is:
 * "app:NAME" is a package, a disk, the output of rh_disk_convert or a job's
 * "out".  The functions are called from any thread of the library, side by
 * side, while a call on it (or on what it made) lasts; they give 0, or an
 * errno. What they get belongs to `user`, which must live as long as the
 * library. */
typedef int rh_read_fn(void *user, void *buf, size_t n, uint64_t offset);
/* Where data lies: the first byte of it at or after `offset`, and its end; both
 * the size when there is no more. */
typedef int rh_next_data_fn(void *user, uint64_t offset, uint64_t *ret_start,
                            uint64_t *ret_end);
/* `size` bytes that can be read anywhere; `next_data` NULL: all of it is data.
 */
RH_PUBLIC int rh_lib_add_source(rh_lib *, const char *name, uint64_t size,
                                rh_read_fn *read, rh_next_data_fn *next_data,
                                void *user, rh_error **);
/* A file of the result begins: "" for a disk, "web01/disk0.qcow2" for a job.
 * What it gives is handed to write and close; NULL refuses. */
typedef void *rh_sink_open_fn(void *user, const char *file);
/* At any offset, in any order; what is never written reads as zeros. */
typedef int rh_sink_write_fn(void *file, const void *buf, size_t n,
                             uint64_t offset);
/* The file is `size` bytes long and complete (whole 1), or is not wanted. */
typedef int rh_sink_close_fn(void *file, uint64_t size, int whole);
/* All files of a job's result ("web01") are there (done 1), or it failed.  May
 * be NULL. */
typedef int rh_sink_end_fn(void *user, const char *result, int done);
RH_PUBLIC int rh_lib_add_sink(rh_lib *, const char *name, rh_sink_open_fn *open,
                              rh_sink_write_fn *write, rh_sink_close_fn *close,
                              rh_sink_end_fn *end, void *user, rh_error **);

/* A place where whole VMs go, by your functions: "app-vm:NAME" is then a job's
 * "out" and the "to" of rh_push_open.  A VM comes by these calls, in this
 * order; those that give an int give 0, or an errno.
 *
 *   begin   `vm` is rehost.receive/1: what the VM is, its target's name, and
 *           its disks, in order, with their sizes and places.  What it gives is
 *           handed to the others; NULL refuses
 *   zero    a disk begins: `n` bytes from `offset` on, all of it, read as zeros
 *           from here on.  May be NULL, where disks begin empty by themselves
 *   write   n bytes of a disk; runs of zeros are left out.  From any thread of
 *           the library, side by side, in any order
 *   flush   all of that disk has come.  May be NULL
 *   finish  all has come, and was verified; `receipt` is rehost.receipt/1.
 *           0: the VM is yours
 *   abort   instead: it will not be complete (also when one of the others has
 *           failed, or was cancelled).  What is there is to be thrown away
 *   why     asked after a failure of the others: words for it, borrowed until
 *           the next call; NULL: the errno alone tells.  May be NULL
 *
 * The error of the call that delivered names the place ("app-vm:NAME") and has
 * these words. */
typedef void *rh_vm_begin_fn(void *user, const char *vm);
typedef int rh_vm_write_fn(void *vm, size_t disk, const void *buf, size_t n,
                           uint64_t offset);
typedef int rh_vm_zero_fn(void *vm, size_t disk, uint64_t n, uint64_t offset);
typedef int rh_vm_flush_fn(void *vm, size_t disk);
typedef int rh_vm_finish_fn(void *vm, const char *receipt);
typedef void rh_vm_abort_fn(void *vm);
typedef const char *rh_vm_why_fn(void *user);
RH_PUBLIC int rh_lib_add_receiver(rh_lib *, const char *name, rh_vm_begin_fn *,
                                  rh_vm_write_fn *, rh_vm_zero_fn *,
                                  rh_vm_flush_fn *, rh_vm_finish_fn *,
                                  rh_vm_abort_fn *, rh_vm_why_fn *, void *user,
                                  rh_error **);

/* --- packages
 * ------------------------------------------------------------------- */
/* `source`: OVA, OVF, VMX, folder, bare disk, "-" (standard input), URL, a VM
 * of a live source (esxi://HOST/VM, vcenter://HOST/DC/vm/FOLDER/VM).
 * Options, by rh_options_add: "vm", "configuration",
 * "fill" (repeat, most trusted first), "set" ("cpus=4"; repeat), "strict",
 * "datastore-map" ("/vmfs/volumes/ds1=DIR"; repeat),
 * "guest" ("yes": inspect looks into the guest); of live sources "login",
 * "source-pin" (repeat), "source-tls-ca", "transport" ("auto folder lease"),
 * "snapshot" and "quiesce" (a running VM is copied from a snapshot). */
RH_PUBLIC rh_options *rh_options_new(void);
RH_PUBLIC int rh_options_add(rh_options *, const char *key, const char *value,
                             rh_error **);
RH_PUBLIC void rh_options_free(rh_options *);

RH_PUBLIC rh_package *rh_package_load(rh_lib *, const char *source,
                                      const rh_options *, rh_error **);
RH_PUBLIC void rh_package_unload(rh_package *);
/* As the options "set" and "fill" do it, later: jobs that are made from then on
 * see it.  A call that failed has changed nothing. */
RH_PUBLIC int rh_package_set(rh_package *, const char *assignment, rh_error **);
RH_PUBLIC int rh_package_fill(rh_package *, const char *file, rh_error **);
RH_PUBLIC char *rh_package_describe(rh_package *, const char *as,
                                    rh_error **); /* "json text template" */
/* A package holds one VM or several, counted from 0; NULL: no such VM, no name.
 */
RH_PUBLIC size_t rh_package_vm_count(const rh_package *);
RH_PUBLIC const char *rh_package_vm_name(const rh_package *, size_t vm);
/* What is known of a VM, or (vm RH_WHOLE_PACKAGE) of all of it: the i-th; NULL
 * at the end. */
#define RH_WHOLE_PACKAGE ((size_t)-1)
RH_PUBLIC const rh_finding *rh_package_finding(const rh_package *, size_t vm,
                                               size_t i);
/* A value by key ("nics/0/mac") as text, NULL when unset; *ret_from is where
 * it came from ("ovf", "fill:FILE" ...), yours to free, may be NULL. */
RH_PUBLIC char *rh_package_value(rh_package *, size_t vm, const char *key,
                                 char **ret_from);

/* The VMs below the place that a live source names (esxi://HOST,
 * vcenter://HOST[/DC[/vm/FOLDER]], prism://HOST), as "json"
 * (rehost.inventory/1) or "text".  NULL without an error when it names one VM,
 * or is none: it is a package then. */
RH_PUBLIC char *rh_inventory(rh_lib *, const char *source, const rh_options *,
                             const char *as, rh_error **);
/* Take away what copies of running VMs that were killed have left at the live
 * source's server (snapshots, images): ours alone, and none of a run that
 * lives.  The number of things; -1 where one could not be removed.  A copy does
 * the same before it begins. */
RH_PUBLIC int rh_source_clean(rh_lib *, const char *source, const rh_options *,
                              rh_error **);

/* --- jobs: look, decide, and copy exactly what was decided
 * --------------------- */
/* A job goes RH_JOB_NEW -> RH_JOB_READY (by rh_job_report, rh_job_decision or
 * rh_job_run) -> RH_JOB_DONE; or RH_JOB_FAILED, and then every call on it gives
 * the same error again: make another one.  It leaves its package as it is, so
 * that several jobs may be made of one, one after the other.
 * Options: "to" (repeat), "out", "name", "devices", "format", "compress",
 * "no-guest-fix", "fix" (repeat), "no-fix" (repeat), "drivers", "network-map"
 * (repeat), "storage", "vmid", "sr", "xva-sum", "overwrite", "key" (repeat;
 * file:PATH or env:NAME), "need" (repeat), "cluster-size", "target-version",
 * "skip-free", "receipt" (a file, of a job to a server), "run-as"
 * (rh_lib_split); of reports "redact" ("yes": names and
 * addresses are replaced).
 */
#define RH_JOB_NEW    0
#define RH_JOB_READY  1
#define RH_JOB_DONE   2
#define RH_JOB_FAILED 3
RH_PUBLIC rh_job *rh_job_new(rh_package *, const rh_options *, rh_error **);
RH_PUBLIC int rh_job_state(const rh_job *);
/* Look and decide without writing. */
RH_PUBLIC rh_report *rh_job_report(rh_job *, rh_error **);
/* What was decided, as rehost.decision/1: the same text for the same package,
 * options and version. */
RH_PUBLIC char *rh_job_decision(rh_job *, rh_error **);
/* A job that does what such a text says, or fails (DECISION_CHANGED) where it
 * would have to do something else.  `more` are options laid over the text's
 * ("out"); may be NULL. */
RH_PUBLIC rh_job *rh_job_from_decision(rh_package *, const char *decision,
                                       const rh_options *more, rh_error **);
/* Do it; results appear under "out".  VMs succeed and fail on their own, and a
 * target that is blocked does not keep its VM from the others: -1 when one
 * failed, with the error that matters most; the outcomes tell all. */
RH_PUBLIC int rh_job_run(rh_job *, rh_error **);
/* i-th result folder after a run; NULL at the end. */
RH_PUBLIC const char *rh_job_result(const rh_job *, size_t i);
RH_PUBLIC char *rh_job_summary(rh_job *); /* what was done, for people */
RH_PUBLIC void rh_job_free(rh_job *);

/* One VM on one target: VMs in the package's order, targets as asked; NULL at
 * the end.  Borrowed from the job, like all that is asked of it.  There are
 * none before the job is ready. */
#define RH_OUTCOME_PENDING 0
#define RH_OUTCOME_DONE    1
#define RH_OUTCOME_FAILED  2
RH_PUBLIC const rh_outcome *rh_job_outcome(const rh_job *, size_t i);
RH_PUBLIC size_t rh_outcome_vm(const rh_outcome *);        /* in the package */
RH_PUBLIC const char *rh_outcome_name(const rh_outcome *); /* of the result */
RH_PUBLIC const char *rh_outcome_target(const rh_outcome *);
RH_PUBLIC int rh_outcome_state(const rh_outcome *);
/* Why it failed (blocked, too), else NULL; not yours to free. */
RH_PUBLIC const rh_error *rh_outcome_error(const rh_outcome *);
/* Where it is, once it is done, else NULL. */
RH_PUBLIC const char *rh_outcome_result(const rh_outcome *);
RH_PUBLIC const char *rh_outcome_verdict(const rh_outcome *);
RH_PUBLIC const char *rh_outcome_effort(const rh_outcome *);
/* What a person should know, worst first, and what is changed inside the guest;
 * NULL at the end. */
RH_PUBLIC const rh_finding *rh_outcome_finding(const rh_outcome *, size_t i);
RH_PUBLIC const rh_edit *rh_outcome_edit(const rh_outcome *, size_t i);
#define RH_FINDING_INFO    0
#define RH_FINDING_CAUTION 1
#define RH_FINDING_BLOCKER 2
RH_PUBLIC const char *rh_finding_id(const rh_finding *); /* "NIC-RENAME" */
RH_PUBLIC int rh_finding_severity(const rh_finding *);
RH_PUBLIC int rh_finding_automatic(const rh_finding *); /* is taken care of */
RH_PUBLIC const char *rh_finding_subject(const rh_finding *);
RH_PUBLIC const char *rh_finding_message(const rh_finding *);
RH_PUBLIC const char *rh_finding_remedy(const rh_finding *); /* or "" */
RH_PUBLIC const char *rh_edit_where(const rh_edit *); /* the guest's file */
RH_PUBLIC const char *rh_edit_what(const rh_edit *);
RH_PUBLIC const char *rh_edit_fix(const rh_edit *); /* stable name, or "" */

/* --- reports
 * ----------------------------------------------------------------------- */
/* Dry runs over many sources, in parallel; a folder of packages is many, and a
 * broken package is a row. */
RH_PUBLIC rh_report *rh_report_run(rh_lib *, const char *const *sources,
                                   size_t count, const rh_options *,
                                   rh_error **);
RH_PUBLIC char *rh_report_render(rh_report *, const char *as,
                                 rh_error **); /* "text json html" */
/* The exit status that the command line gives the report: the first of these
 * that holds of any row: 1 failed and may pass, 3 input refused, 4 blocked;
 * else 0. */
RH_PUBLIC int rh_report_status(const rh_report *);
/* Why the only source was refused: yours to free, once; NULL when it was not,
 * or when there are more. */
RH_PUBLIC rh_error *rh_report_cause(rh_report *);
RH_PUBLIC void rh_report_free(rh_report *);

/* --- results
 * ------------------------------------------------------------------------ */
/* Start a result in QEMU.  Options: "timeout" (seconds), "screenshot" (file),
 * "devices".  *ret_json (rehost.boot/1) says what was seen, also when it
 * failed; NULL where it did not come to that. */
RH_PUBLIC int rh_result_boot(rh_lib *, const char *result_dir,
                             const rh_options *, char **ret_json, rh_error **);

/* Compare a result with its source, the guest's edits aside, and with its
 * receipt.  *ret_text says what was found alike; NULL when it failed. */
RH_PUBLIC int rh_result_verify(rh_lib *, const char *source,
                               const char *result_dir, char **ret_text,
                               rh_error **);
/* The same of a source that needs words: options as of rh_package_load, those
 * that it was converted with ("disk" for each further bare disk, "fill",
 * "drop", "datastore-map", "source-format"), and those of a live source
 * ("login", "source-pin", "source-tls-ca", "transport"); NULL: none. */
RH_PUBLIC int rh_result_verify_with(rh_lib *, const char *source,
                                    const char *result_dir, const rh_options *,
                                    char **ret_text, rh_error **);

/* --- deliveries
 * ------------------------------------------------------------------------ */
/* Results that stand in folders go to a hypervisor: one log-in for all of them.
 * Options: "to" (xapi://HOST[:PORT][/SR], xo://HOST[:PORT][/SR],
 * proxmox://HOST[:PORT]/NODE[/STORAGE], libvirt:URI[#POOL],
 * proxmox-local:STORAGE, app-vm:NAME), "login" (a
 * file), "tls-ca", "pin" (repeat), "network-map" (repeat), "name", "sr" (xapi,
 * xo), "storage" (proxmox, libvirt), "import-storage", "vmid", "transfer"
 * (auto, upload, download), "serve", "serve-cert", "serve-key" (proxmox),
 * "dry-run", "start",
 * "keep-failed"; they must live as long as the object.  Where there is no login
 * file the environment is asked (REHOST_USER, REHOST_PASSWORD, REHOST_TOKEN),
 * then rh_lib_on_ask's call. */
typedef struct rh_push rh_push;
RH_PUBLIC rh_push *rh_push_open(rh_lib *, const rh_options *, rh_error **);
/* *ret_json is the VM of rehost.delivery/1, *ret_text a line for people; with
 * "dry-run" both say what was checked and would be asked, also when a check
 * fails.  Yours to free; NULL otherwise.  On failure nothing is left there. */
RH_PUBLIC int rh_push_result(rh_push *, const char *result_dir, char **ret_json,
                             char **ret_text, rh_error **);
/* Take away what an interrupted push of that result has left (NULL: conversions
 * straight to that URL); how many things there were, or -1. */
RH_PUBLIC int rh_push_clean(rh_push *, const char *result_dir, rh_error **);
/* Compare the disks that stand there, as the receipt's last delivery to this
 * URL names them, with the receipt; *ret_text says what was alike.
 * UNAVAILABLE where the server lets nobody read a disk. */
RH_PUBLIC int rh_push_verify(rh_push *, const char *result_dir, char **ret_text,
                             rh_error **);
/* The same without a result: by its source (options as of
 * rh_result_verify_with) and the file of its receipt (option "receipt" of the
 * job, or a result's receipt.json).  Each byte of each disk there is the
 * source's, or one of the edits that the receipt names and has the digest of.
 */
RH_PUBLIC int rh_push_verify_source(rh_push *, const char *source,
                                    const char *receipt, const rh_options *,
                                    char **ret_text, rh_error **);
RH_PUBLIC void rh_push_close(rh_push *); /* ends the session */
/* --- batches: many sources by a job file (rehost.jobs/1), resumable
 * ------------------------------------------------------------------------ */
typedef struct rh_batch rh_batch;
/* A job file for what lies there, as YAML.  Options: "to", "out",
 * "from-report" (a rehost.report/1 that sorts the VMs into waves). */
RH_PUBLIC char *rh_batch_init(rh_lib *, const char *const *sources,
                              size_t count, const rh_options *, rh_error **);
/* Options: "jobs", "only" (repeat), "wave", "dry-run", "on-event" (a command
 * that gets each event on its standard input), "program" (the `rehost` that
 * converts each VM in a process of its own). */
RH_PUBLIC rh_batch *rh_batch_open(rh_lib *, const char *jobs_file,
                                  const rh_options *, rh_error **);
/* Until nothing is left to do.  0 also when VMs failed: see rh_batch_status.
 * A batch that was begun before goes on.  rh_lib_cancel stops it. */
RH_PUBLIC int rh_batch_run(rh_batch *, rh_error **);
/* Hand what is not done to a cluster.  Options: "engine" ("slurm"),
 * "partition", "time".  *ret_json (rehost.batch-slurm/1) names the jobs. */
RH_PUBLIC int rh_batch_submit(rh_batch *, const rh_options *, char **ret_json,
                              char **ret_text, rh_error **);
/* The exit status that the command line gives the batch: 130 stopped, else the
 * first of these that holds of any VM: 1 failed and may pass, or has not ended;
 * 3 input refused; 4 blocked; else 0. */
RH_PUBLIC int rh_batch_status(rh_batch *);
/* The next three from any thread, while it runs or not.  As "json"
 * (rehost.batch/1), "text", "html", "live" (for a screen: what moves comes
 * first), "summary", or "open": how many VMs have not ended. */
RH_PUBLIC char *rh_batch_render(rh_batch *, const char *as, rh_error **);
/* "pause" (no VM starts), "resume", "skip" (that VM), "quit". */
RH_PUBLIC int rh_batch_control(rh_batch *, const char *what, const char *vm,
                               rh_error **);
/* A descriptor to poll and read: one event a line, JSON, of the runs after this
 * call.  It is the batch's: do not close it.  Who reads late keeps a MiB of
 * them waiting; what comes beyond it is not told but by {"event":"events-lost",
 * "count":N}. */
RH_PUBLIC int rh_batch_events(rh_batch *, rh_error **);
RH_PUBLIC void rh_batch_close(rh_batch *);

/* --- warm migrations: a VM moves while it runs
 * ------------------------------------------------------------------------ */
typedef struct rh_warm rh_warm;
/* A new job for one VM, not copied yet: rh_warm_sync does the first pass.
 * Options: those of rh_package_load and rh_job_new, and "job" (its name),
 * "quiesce", "enable-cbt", "keep-snapshot", "min-free".  "out" is a folder, or
 * a server's URL.
 */
RH_PUBLIC rh_warm *rh_warm_start(rh_lib *, const char *source,
                                 const rh_options *, rh_error **);
/* By its name, or its folder.  Looking is free; the other calls hold the job:
 * one at a time, on one machine. */
RH_PUBLIC rh_warm *rh_warm_open(rh_lib *, const char *job, rh_error **);
/* One more round: what changed at the source since.  Options: "every" ("30m":
 * rounds until rh_lib_cancel).  What was interrupted goes on. */
RH_PUBLIC int rh_warm_sync(rh_warm *, const rh_options *, rh_error **);
/* A round, then: the source is shut down, the last round, the guest's fix, the
 * hand-over.  Options: "at", "window", "max-last-round", "power-off",
 * "shutdown-timeout", "start".  After a failure it can be called again. */
RH_PUBLIC int rh_warm_cutover(rh_warm *, const rh_options *, rh_error **);
/* A result NAME-rehearsal of the last round, while the source runs.  Options:
 * "network" (the only one it is connected to; else to none). */
RH_PUBLIC int rh_warm_rehearse(rh_warm *, const rh_options *, rh_error **);
/* Takes away the copies, and what is ours at the source; a result stays. */
RH_PUBLIC int rh_warm_abort(rh_warm *, rh_error **);
/* As "json" (rehost.warm/1), "text", or "said": what the calls had to say. */
RH_PUBLIC char *rh_warm_render(rh_warm *, const char *as, rh_error **);
RH_PUBLIC void rh_warm_close(rh_warm *);

/* --- disks
 * ---------------------------------------------------------------------------
 */
#define RH_EXTENT_IS_DATA 0
#define RH_EXTENT_IS_ZERO 1 /* stored as zeros */
#define RH_EXTENT_IS_HOLE 2 /* not stored */
/* Runs in order, without gaps, over the whole disk; not 0: enough, stop. */
typedef int rh_extent_fn(void *user, uint64_t offset, uint64_t length,
                         int kind);

/* `format` NULL: by content.  "-" reads standard input forward: such a disk is
 * stored on disk by the first call that needs to seek, or goes into one
 * rh_disk_convert.  A call that failed changes nothing: the disk can still be
 * asked, and what failed fails again. */
RH_PUBLIC rh_disk *rh_disk_open(rh_lib *, const char *path, const char *format,
                                rh_error **);
/* Disk `disk` of VM `vm`, both counted from 0 in the package's order: as it
 * was exported, or as the job's first target would get it, with the guest's
 * edits.  It dies before the package or the job that it came from. */
RH_PUBLIC rh_disk *rh_disk_of_package(rh_package *, size_t vm, size_t disk,
                                      rh_error **);
RH_PUBLIC rh_disk *rh_disk_of_job(rh_job *, size_t vm, size_t disk,
                                  rh_error **);
RH_PUBLIC uint64_t rh_disk_size(const rh_disk *);
/* All n bytes or a failure; past the end is one. */
RH_PUBLIC int rh_disk_read(rh_disk *, void *buf, size_t n, uint64_t offset,
                           rh_error **);
RH_PUBLIC int rh_disk_map(rh_disk *, rh_extent_fn *, void *user, rh_error **);
RH_PUBLIC char *rh_disk_json(rh_disk *, rh_error **); /* rehost.disk/1 */
/* Read every table and every grain: fails on damage, else see the problems. */
RH_PUBLIC int rh_disk_check(rh_disk *, rh_error **);
/* i-th problem found so far; NULL at the end. */
RH_PUBLIC const char *rh_disk_problem(const rh_disk *, size_t i,
                                      const char **ret_id);
/* Options: "format" (qcow2 raw vhd vhd-fixed), "compress", "cluster-size",
 * "overwrite", "size" and "align" (bytes; the disk only grows), "sector-size"
 * ("512": from 4096), "strict" (a problem that is known of the disk fails with
 * DISK_PROBLEM; else each goes to the log as a warning).  `path` "-" is
 * standard output. */
RH_PUBLIC int rh_disk_convert(rh_disk *, const char *path, const rh_options *,
                              rh_error **);
/* *ret_same, else *ret_offset is the first byte that differs. */
RH_PUBLIC int rh_disk_compare(rh_disk *, rh_disk *, int *ret_same,
                              uint64_t *ret_offset, rh_error **);
RH_PUBLIC void rh_disk_free(rh_disk *);

/* --- names of 0.1
 * ------------------------------------------------------------- */
#ifndef RH_WITHOUT_OLD_NAMES
#define rh_new                rh_lib_new
#define rh_free               rh_lib_free
#define rh_set                rh_lib_set
#define rh_on_log             rh_lib_on_log
#define rh_on_progress        rh_lib_on_progress
#define rh_on_ask             rh_lib_on_ask
#define rh_cancel             rh_lib_cancel
#define rh_list               rh_lib_name
#define rh_profiles_json_text rh_lib_profiles_json
#define rh_boot               rh_result_boot
#define rh_verify             rh_result_verify
#define rh_plan               rh_job
#define rh_plan_new           rh_job_new
#define rh_plan_report        rh_job_report
#define rh_plan_run           rh_job_run
#define rh_plan_result        rh_job_result
#define rh_plan_summary       rh_job_summary
#define rh_plan_free          rh_job_free
#endif

#ifdef __cplusplus
}
#endif
#endif
