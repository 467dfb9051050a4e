/* schema.h - which keys a profile may have, as data. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PROFILES_SCHEMA_H
#define RH_PROFILES_SCHEMA_H

#include <jansson.h>

#include "base/error.h"

enum rh_schema_kind {
    RH_SCHEMA_TEXT, /* any text, or null */
    RH_SCHEMA_WORD, /* one of `words` */
    RH_SCHEMA_BOOL,
    RH_SCHEMA_SIZE,    /* "512MiB" */
    RH_SCHEMA_TEXTS,   /* a list of texts */
    RH_SCHEMA_NUMBERS, /* a list of numbers */
    RH_SCHEMA_MAP,     /* a mapping with `keys` */
    RH_SCHEMA_MAPS,    /* a list of such mappings */
    RH_SCHEMA_FIXES,   /* a list of names, or of {name: arguments} */
};

struct rh_schema_key {
    const char *name; /* NULL ends a table */
    enum rh_schema_kind kind;
    const char *const *words; /* NULL-ended */
    const struct rh_schema_key *keys;
};

extern const struct rh_schema_key rh_profile_schema[];

/* One YAML document checked against the schema; errors name file, line and
 * the allowed words.  NULL on failure. */
json_t *rh_profile_parse(const char *text, size_t n, const char *file,
                         rh_error **err);

#endif
