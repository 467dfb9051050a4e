/* options.h - what callers ask for, by name: a list of keys and values.
 *
 * Who takes an option describes it in a table of its own (a target, a
 * delivery, a public call); convert/options.c knows all tables. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_OPTIONS_H
#define RH_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

struct rh_option {
    char *key, *value;
};
struct rh_options {
    RH_VEC(struct rh_option) list;
};
typedef struct rh_options rh_options;

/* One row of a table; a table ends with a NULL name. */
struct rh_option_row {
    const char *name;         /* the long option without dashes */
    const char *const *words; /* NULL-ended: nothing else is taken; or NULL */
};

/* Add without asking whether anybody takes it. */
void rh_options_put(rh_options *o, const char *key, const char *value);
/* The last value of that name, or NULL ("" counts as given). */
const char *rh_option(const rh_options *o, const char *key);
/* The i-th value of an option that may be repeated; NULL at the end. */
const char *rh_option_at(const rh_options *o, const char *key, size_t i);
bool rh_option_yes(const rh_options *o, const char *key);
/* Every value of a table's rows is one of the row's words.  `id` is the error
 * when it is not. */
int rh_options_check_words(const rh_options *o,
                           const struct rh_option_row *table,
                           enum rh_error_id id, rh_error **err);
/* FROM=TO[,...] may come again and again, but says one TO of each FROM. */
int rh_options_check_maps(const rh_options *o, const char *key,
                          enum rh_error_id id, rh_error **err);

#endif
