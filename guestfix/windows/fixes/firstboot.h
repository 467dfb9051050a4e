/* firstboot.h - what is done once, when Windows has started on the new machine.
 *
 * A service of plain cmd.exe runs firstboot.cmd out of a folder of its own,
 * which only SYSTEM and Administrators may enter.  Steps are data: lines of
 * steps files, each a command, for a card or for none.  It waits for the cards,
 * runs at most three times, keeps a log, and takes itself away. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_FIXES_FIRSTBOOT_H
#define RH_GUESTFIX_WINDOWS_FIXES_FIRSTBOOT_H

#include "guestfix/windows/fixes/fixes.h"

#define RH_WIN_JOB_FOLDER "rehost-firstboot" /* below %SystemRoot% */

enum rh_win_need {
    RH_WIN_NEEDED,  /* a failure is tried again at the next start */
    RH_WIN_OPTIONAL /* a failure is a line in the log */
};

/* The steps, in the order in which they are run. */
struct rh_win_job {
    struct rh_buf drivers; /* before any card is looked for */
    struct rh_buf network; /* with the cards that it names */
    struct rh_buf after;   /* at the end, once */
};
void rh_win_job_free(struct rh_win_job *job);
bool rh_win_job_is_empty(const struct rh_win_job *job);

/* One line.  `mac` ("00:50:56:aa:bb:cc"): the card that @NAME@ (what Windows
 * calls it) and @GUID@ in the command mean; NULL: none. */
void rh_win_step(struct rh_buf *steps, const char *mac, enum rh_win_need need,
                 const char *fmt, ...) RH_PRINTF(4, 5);
/* A step for no card that sets a mark (a plain word) when it ended with 0 or
 * 3010, or that is left out where another has not set it. */
enum rh_win_mark { RH_WIN_MARKS, RH_WIN_MARKS_NEEDED, RH_WIN_AFTER_MARK };
void rh_win_step_marked(struct rh_buf *steps, enum rh_win_mark how,
                        const char *mark, const char *fmt, ...) RH_PRINTF(4, 5);
/* Can this text stand in a command without being anything but text? */
bool rh_win_is_plain(const char *text);

/* A file in the job's folder, which only SYSTEM and Administrators may read. */
int rh_win_job_put(struct rh_fix_job *j, const char *name, const void *bytes,
                   size_t n, rh_error **err);

/* Write folder, script, steps and service, in every control set.  `e` is open
 * on SYSTEM; the caller commits. */
int rh_win_job_install(struct rh_hive_edit *e, const struct rh_win_job *job,
                       rh_error **err);

/* virtio.c: the drivers of --drivers that are not needed before. */
int rh_win_stage_drivers(struct rh_hive_edit *e, struct rh_win_job *job,
                         rh_error **err);

/* xen.c: the installer of the Xen PV drivers, where --drivers holds it. */
int rh_win_stage_xen_tools(struct rh_fix_job *j, struct rh_win_job *job,
                           rh_error **err);

/* uninstall.c: VMware's tools, where --remove-vmware-tools asks for it. */
int rh_win_stage_uninstall(struct rh_fix_job *j, struct rh_win_job *job,
                           rh_error **err);

/* The script, as it is written; static. */
const char *rh_win_job_script(void);

#endif
