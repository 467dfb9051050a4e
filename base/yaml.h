/* yaml.h - YAML as JSON, for whoever needs a tree of texts.
 *
 * Who says where in a file something is wrong (profiles, job files), must wipe
 * what it read (log-ins), or reads a guest's aliases (netplan) goes through
 * libyaml itself. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_YAML_H
#define RH_BASE_YAML_H

#include <stddef.h>

#include "base/error.h"

struct json_t;

/* What is said of text that is none, and of more values than RH_LIMIT_ITEMS. */
struct rh_yaml_errors {
    enum rh_error_id syntax, limit;
};

/* An array of the documents in it: objects, arrays, strings (a number is its
 * text), and null for a plain "", "~" or "null".  Aliases, which make a small
 * file large, and more than 16 levels are errors. */
struct json_t *rh_yaml_documents(const char *text, size_t n,
                                 const struct rh_yaml_errors *ids,
                                 rh_error **err);

#endif
