/* options.h - the options that conversions take, beside targets' own. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_OPTIONS_H
#define RH_CONVERT_OPTIONS_H

#include "base/options.h"
#include "formats/format.h"

/* Refuse what is not in `names` (NULL-ended), or what is: USAGE. */
int rh_options_only(const rh_options *o, const char *const *names,
                    const char *call, rh_error **err);
/* Those of rh_result_boot and rh_disk_convert alone: conversions take none. */
extern const char *const rh_options_of_others[];
int rh_options_without(const rh_options *o, const char *const *names,
                       const char *call, rh_error **err);
/* Is it one of the warm commands' own? */
bool rh_option_is_warm(const char *key);
int rh_option_compress(const rh_options *o, enum rh_compress *ret,
                       rh_error **err);
int rh_option_cluster(const rh_options *o, uint32_t *ret, rh_error **err);

/* Is it one of a target that "to" names, or of no target's alone? */
bool rh_option_is_for(const rh_options *o, const char *key);

/* What a call is about, as far as options of servers ask: paths or addresses;
 * `out`: where it is delivered, where no option says that. */
struct rh_reach {
    const char *const *sources;
    size_t count;
    const char *out; /* or NULL */
};
/* Would the option do something there?  One of a running platform's VM, or of
 * a server, does nothing for a file that goes into a folder. */
bool rh_option_reaches(const rh_options *o, const char *key,
                       const struct rh_reach *reach);
int rh_options_check_reach(const rh_options *o, const struct rh_reach *reach,
                           rh_error **err);
/* Refuse what is for other targets than those that "to" names: USAGE. */
int rh_options_check_targets(const rh_options *o, rh_error **err);
/* Where a batch goes when nobody says where. */
const char *rh_default_target(void);

/* Has whoever delivers there rights that no reader of a source may have
 * (rh_lib_split)? */
bool rh_out_is_parted(const char *out);

#endif
