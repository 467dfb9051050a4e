/* error.h - one object says what failed, where, and what to do next.
 *
 * A failing function returns -1 (or NULL) and fills *err once, at the place
 * that knows: `return rh_fail(err, RH_ERR_VMDK_TABLE, "...", ...)`.  Callers
 * may add where (rh_error_subject), context (rh_error_context) and a better
 * next step (rh_hint), and pass it on.  `err` may be NULL.  The first cause
 * wins. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_ERROR_H
#define RH_BASE_ERROR_H

#include "base/mem.h"
#include "base/text.h"

enum rh_error_id {
    RH_ERR_NONE,
#define ERR(id, class, hint) RH_ERR_##id,
#include "base/errors.def"
#undef ERR
    RH_ERR_COUNT
};

enum rh_error_class {
    RH_CLASS_USAGE,
    RH_CLASS_INPUT,
    RH_CLASS_BLOCKED,
    RH_CLASS_IO,
    RH_CLASS_SERVICE,
    RH_CLASS_NETWORK,
    RH_CLASS_AUTH,
    RH_CLASS_BUSY,
    RH_CLASS_INTERNAL,
    RH_CLASS_MEMORY,
    RH_CLASS_CANCELLED
};

typedef struct rh_error rh_error;

/* Always -1, so that a function fails in one expression.  The format is
 * translated; arguments that come from an input may hold any bytes, they are
 * made printable. */
int rh_fail(rh_error **err, enum rh_error_id id, const char *fmt, ...)
    RH_PRINTF(3, 4);
/* The same with errno's text appended: "...: No such file or directory". */
int rh_fail_errno(rh_error **err, enum rh_error_id id, int number,
                  const char *fmt, ...) RH_PRINTF(4, 5);

/* Set what it is about ("disk1.vmdk"), unless already set.  Return -1. */
int rh_error_subject(rh_error **err, const char *subject);
/* Put "context: " in front of the message.  Return -1. */
int rh_error_context(rh_error **err, const char *fmt, ...) RH_PRINTF(2, 3);
/* Replace the default next step.  Return -1. */
int rh_hint(rh_error **err, const char *fmt, ...) RH_PRINTF(2, 3);

#ifdef __clang_analyzer__ /* it cannot see from outside that they return -1 */
#define rh_fail(...)          (rh_fail(__VA_ARGS__), -1)
#define rh_fail_errno(...)    (rh_fail_errno(__VA_ARGS__), -1)
#define rh_error_subject(...) (rh_error_subject(__VA_ARGS__), -1)
#define rh_error_context(...) (rh_error_context(__VA_ARGS__), -1)
#define rh_hint(...)          (rh_hint(__VA_ARGS__), -1)
#endif

enum rh_error_id rh_error_number(const rh_error *e);
enum rh_error_class rh_error_class_of(enum rh_error_id id);
const char *rh_error_name_of(enum rh_error_id id); /* "VMDK_GRAIN_TABLE" */
const char *rh_error_hint_of(enum rh_error_id id); /* untranslated or NULL */
int rh_error_exit_of(enum rh_error_id id);         /* 1, 2, 3, 4 or 130 */
/* What a program can do about it: "input blocked usage io no-space network auth
 * busy memory cancelled bug". */
const char *rh_error_class_name(enum rh_error_id id);

/* Public ones (rehost.h): message without where; where may be "". */
int rh_error_status(const rh_error *e);
const char *rh_error_id(const rh_error *e);
const char *rh_error_class(const rh_error *e);
const char *rh_error_message(const rh_error *e);
const char *rh_error_where(const rh_error *e);
const char *rh_error_hint(const rh_error *e);
void rh_error_free(rh_error *e);
void rh_error_freep(rh_error **e);
/* The same error once more, for who asks again after a failure.  Return -1. */
int rh_error_again(rh_error **err, const rh_error *earlier);
/* Forget *err (free it and set NULL), for a fallback that goes on. */
void rh_error_drop(rh_error **err);

#endif
