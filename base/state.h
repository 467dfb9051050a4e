/* state.h - the user's own folder for what has to outlive a run. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_STATE_H
#define RH_BASE_STATE_H

/* $XDG_STATE_HOME/rehost, ~/.local/state/rehost, with /`below` unless that is
 * NULL; the caller frees.  It need not be there. */
char *rh_state_path(const char *below);
/* Make a folder and what leads to it (those that are there, or lie on what
 * can't be written to, are passed over).  -1 with errno. */
int rh_make_folders(const char *path, unsigned mode);

#endif
