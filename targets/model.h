/* model.h - a hypervisor model as data: targets/FOLDER/model.yaml.
 *
 * Limits are numbers that the plan compares with the VM; properties are what
 * people weigh when they choose.  Another provider's model is another file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_TARGETS_MODEL_H
#define RH_TARGETS_MODEL_H

#include <jansson.h>

#include "base/lib.h"

/* All of them, an array: each target's own, in the registry's order, then what
 * other folders hold beside them, by name.  Several models may name one target.
 * Read once for a library and the library's.  Texts for people are objects by
 * language: {"en": "...", "ja": "..."}. */
const json_t *rh_models_of(rh_lib *lib, rh_error **err);
/* The own one of a target ("xen", "kvm"). */
const json_t *rh_model_of(rh_lib *lib, const char *target, rh_error **err);
/* For a report: name and properties in the language of messages. */
json_t *rh_model_properties(const json_t *model);
/* limits/KEY as a number ("7") or a size ("2040GiB", bytes); UINT64_MAX when
 * the model does not limit it. */
uint64_t rh_model_limit(const json_t *model, const char *key);
/* The text in a language, else the English one; borrowed. */
const char *rh_model_text(const json_t *texts, const char *lang);

#endif
