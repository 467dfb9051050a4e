/* error.c - the error object. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rehost/rehost.h"

struct rh_error {
    enum rh_error_id id;
    char *message; /* printable */
    char *where;   /* printable, "" when unknown */
    char *hint;    /* printable, "" when there is none */
};

static const struct {
    const char *name;
    enum rh_error_class class;
    const char *hint;
} table[] = {
    {"NONE", RH_CLASS_INTERNAL, NULL},
#define ERR(id, class, hint) {#id, RH_CLASS_##class, hint},
#include "base/errors.def"
#undef ERR
};

static const struct {
    int exit_status;
    const char *name;
} classes[] = {
    [RH_CLASS_USAGE] = {2, "usage"},
    [RH_CLASS_INPUT] = {3, "input"},
    [RH_CLASS_BLOCKED] = {4, "blocked"},
    [RH_CLASS_IO] = {1, "io"},
    [RH_CLASS_SERVICE] = {1, "io"},
    [RH_CLASS_NETWORK] = {1, "network"},
    [RH_CLASS_AUTH] = {1, "auth"},
    [RH_CLASS_BUSY] = {1, "busy"},
    [RH_CLASS_INTERNAL] = {1, "bug"},
    [RH_CLASS_MEMORY] = {1, "memory"},
    [RH_CLASS_CANCELLED] = {130, "cancelled"},
};

enum rh_error_class rh_error_class_of(enum rh_error_id id)
{
    return table[id].class;
}

const char *rh_error_name_of(enum rh_error_id id)
{
    return table[id].name;
}

const char *rh_error_hint_of(enum rh_error_id id)
{
    return table[id].hint;
}

int rh_error_exit_of(enum rh_error_id id)
{
    return classes[table[id].class].exit_status;
}

const char *rh_error_class_name(enum rh_error_id id)
{
    if (id == RH_ERR_NO_SPACE || id == RH_ERR_DELIVERY_SPACE)
        return "no-space";
    return classes[table[id].class].name;
}

/* Names in inputs can be long: the start and the end of it are enough. */
static void shorten(char *text)
{
    enum { START = 700, END = 200 };
    static const char gap[] = " ... ";
    size_t n = strlen(text), from = START, to = n - END;

    if (n <= START + END + sizeof gap)
        return;
    while (from && (text[from] & 0xc0) == 0x80) /* not within a character */
        from--;
    while ((text[to] & 0xc0) == 0x80)
        to++;
    memcpy(text + from, gap, sizeof gap - 1);
    memmove(text + from + sizeof gap - 1, text + to, n - to + 1);
}

/* Replace *slot by a printable copy of `text`; takes `text`. */
static void keep(char **slot, char *text)
{
    free(*slot);
    *slot = rh_printable(text);
    shorten(*slot);
    free(text);
}

static void set(rh_error **err, enum rh_error_id id, char *message)
{
    const char *hint = table[id].hint;
    rh_error *e;

    if (!err || *err) {
        free(message);
        return;
    }
    e = rh_new0(rh_error);
    e->id = id;
    keep(&e->message, message);
    e->where = rh_strdup("");
    e->hint = rh_strdup(hint ? _(hint) : "");
    *err = e;
}

int(rh_fail)(rh_error **err, enum rh_error_id id, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set(err, id, rh_vprintf(_(fmt), ap));
    va_end(ap);
    return -1;
}

/* No room and no such file deserve their own ids, whoever meets them. */
static enum rh_error_id by_errno(enum rh_error_id id, int number)
{
    if (number == ENOSPC || number == EDQUOT)
        return RH_ERR_NO_SPACE;
    if (number == EFBIG)
        return RH_ERR_FILE_LIMIT;
    if (number == EMFILE || number == ENFILE)
        return RH_ERR_OPEN_FILES;
    if (id == RH_ERR_FILE_OPEN &&
        (number == ENOENT || number == ENOTDIR || number == ENAMETOOLONG))
        return RH_ERR_FILE_NOT_FOUND;
    return id;
}

int(rh_fail_errno)(rh_error **err, enum rh_error_id id, int number,
                   const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    char reason[128];
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    set(err, by_errno(id, number),
        rh_printf("%s: %s", text, strerror_r(number, reason, sizeof reason)));
    return -1;
}

int rh_error_again(rh_error **err, const rh_error *earlier)
{
    rh_error *e;

    if (!err || *err)
        return -1;
    e = rh_new0(rh_error);
    e->id = earlier->id;
    e->message = rh_strdup(earlier->message);
    e->where = rh_strdup(earlier->where);
    e->hint = rh_strdup(earlier->hint);
    *err = e;
    return -1;
}

/* What a package calls a file can be as long as the package. */
static char *shortened(char *text)
{
    enum { MOST = 1024 }; /* bytes */
    size_t n = MOST;
    char *rest;

    if (strnlen(text, MOST + 1) <= MOST)
        return text;
    while (n > MOST - 4 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--; /* not within a character */
    rest = rh_printf("%.*s...", (int)n, text);
    free(text);
    return rest;
}

int(rh_error_subject)(rh_error **err, const char *subject)
{
    if (err && *err && !(*err)->where[0] && subject)
        keep(&(*err)->where, shortened(rh_source_shown(subject)));
    return -1;
}

int(rh_error_context)(rh_error **err, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *context = NULL;
    va_list ap;

    if (!err || !*err)
        return -1;
    va_start(ap, fmt);
    context = rh_vprintf(_(fmt), ap);
    va_end(ap);
    keep(&(*err)->message, rh_printf("%s: %s", context, (*err)->message));
    return -1;
}

int(rh_hint)(rh_error **err, const char *fmt, ...)
{
    va_list ap;

    if (!err || !*err)
        return -1;
    va_start(ap, fmt);
    keep(&(*err)->hint, rh_vprintf(_(fmt), ap));
    va_end(ap);
    return -1;
}

enum rh_error_id rh_error_number(const rh_error *e)
{
    return e ? e->id : RH_ERR_NONE;
}

int rh_error_status(const rh_error *e)
{
    return e ? rh_error_exit_of(e->id) : 0;
}

const char *rh_error_class(const rh_error *e)
{
    return e ? rh_error_class_name(e->id) : "";
}

const char *rh_error_id(const rh_error *e)
{
    return e ? table[e->id].name : "";
}

const char *rh_error_message(const rh_error *e)
{
    return e ? e->message : "";
}

const char *rh_error_where(const rh_error *e)
{
    return e ? e->where : "";
}

const char *rh_error_hint(const rh_error *e)
{
    return e ? e->hint : "";
}

void rh_error_free(rh_error *e)
{
    if (!e)
        return;
    free(e->message);
    free(e->where);
    free(e->hint);
    free(e);
}

void rh_error_freep(rh_error **e)
{
    rh_error_free(*e);
}

void rh_error_drop(rh_error **err)
{
    if (!err)
        return;
    rh_error_free(*err);
    *err = NULL;
}
