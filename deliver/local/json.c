/* json.c - a stranger's JSON, read by a child without rights.
 *
 * It sends the tree as records with their lengths in front, of which this
 * process makes the same tree: no text is taken apart with root's rights. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/wait.h"
#include "deliver/local/local.h"

enum { DEPTH = 64, MESSAGE = 1024, NUMBER = 8, LENGTH = 4 };
#define TREE_MOST (4 * (size_t)RH_LIMIT_DESCRIPTOR)

/* A tree: 'n' 't' 'f'; 'i' and 'r' with 8 bytes; 's' with a length and bytes;
 * '[' values ']'; '{' ('k' length, bytes, a value)... '}'.  Little-endian. */

/* --- out: the child
 * ------------------------------------------------------------ */

static void put_text(struct rh_buf *b, char kind, const char *text, size_t n)
{
    uint8_t length[LENGTH];

    rh_put_le32(length, (uint32_t)n);
    rh_buf_add(b, &kind, 1);
    rh_buf_add(b, length, sizeof length);
    rh_buf_add(b, text, n);
}

static void put_number(struct rh_buf *b, char kind, const void *eight)
{
    uint8_t bytes[NUMBER];
    uint64_t value;

    memcpy(&value, eight, sizeof value);
    rh_put_le64(bytes, value);
    rh_buf_add(b, &kind, 1);
    rh_buf_add(b, bytes, sizeof bytes);
}

static bool put(struct rh_buf *b, const json_t *v, unsigned depth);

static bool put_members(struct rh_buf *b, const json_t *v, unsigned depth)
{
    const char *key;
    json_t *member;
    size_t i;

    rh_buf_puts(b, json_is_array(v) ? "[" : "{");
    json_array_foreach (v, i, member)
        if (!put(b, member, depth + 1))
            return false;
    json_object_foreach ((json_t *)(uintptr_t)v, key, member) {
        put_text(b, 'k', key, strlen(key));
        if (!put(b, member, depth + 1))
            return false;
    }
    rh_buf_puts(b, json_is_array(v) ? "]" : "}");
    return true;
}

static bool put(struct rh_buf *b, const json_t *v, unsigned depth)
{
    json_int_t integer = json_integer_value(v);
    double real = json_real_value(v);

    if (depth > DEPTH || b->length > TREE_MOST)
        return false;
    switch (json_typeof(v)) {
    case JSON_NULL:
        rh_buf_puts(b, "n");
        break;
    case JSON_TRUE:
        rh_buf_puts(b, "t");
        break;
    case JSON_FALSE:
        rh_buf_puts(b, "f");
        break;
    case JSON_INTEGER:
        put_number(b, 'i', &integer);
        break;
    case JSON_REAL:
        put_number(b, 'r', &real);
        break;
    case JSON_STRING:
        put_text(b, 's', json_string_value(v), json_string_length(v));
        break;
    default:
        return put_members(b, v, depth);
    }
    return true;
}

/* --- in: who has the rights
 * --------------------------------------------------------- */

struct in {
    const uint8_t *p;
    size_t left;
};

static const uint8_t *take(struct in *in, size_t n)
{
    const uint8_t *p = in->p;

    if (n > in->left)
        return NULL;
    in->p += n;
    in->left -= n;
    return p;
}

/* Bytes without a zero, as text; to be freed. */
static char *take_text(struct in *in)
{
    const uint8_t *length = take(in, LENGTH);
    size_t n = length ? rh_le32(length) : 0;
    const uint8_t *p = length ? take(in, n) : NULL;

    return p && !memchr(p, 0, n) ? rh_strndup((const char *)p, n) : NULL;
}

static json_t *take_number(struct in *in, char kind)
{
    const uint8_t *p = take(in, NUMBER);
    uint64_t value = p ? rh_le64(p) : 0;
    json_int_t integer;
    double real;

    memcpy(&integer, &value, sizeof integer);
    memcpy(&real, &value, sizeof real);
    if (!p)
        return NULL;
    return kind == 'i' ? json_integer(integer) : json_real(real);
}

static json_t *take_string(struct in *in)
{
    RH_AUTO(rh_freep) char *text = take_text(in);

    return text ? json_string(text) : NULL;
}

static json_t *take_value(struct in *in, unsigned depth);

/* Behind '[' or '{', to its end. */
static int take_members(struct in *in, json_t *list, unsigned depth)
{
    char end = json_is_array(list) ? ']' : '}';
    const uint8_t *kind;

    while (in->left && *in->p != (uint8_t)end) {
        RH_AUTO(rh_freep) char *key = NULL;
        json_t *value;

        if (json_is_object(list)) {
            kind = take(in, 1);
            key = kind && *kind == 'k' ? take_text(in) : NULL;
            if (!key)
                return -1;
        }
        value = take_value(in, depth + 1);
        if (!value || (key ? json_object_set_new(list, key, value)
                           : json_array_append_new(list, value)) < 0)
            return -1;
    }
    return take(in, 1) ? 0 : -1;
}

static json_t *take_value(struct in *in, unsigned depth)
{
    const uint8_t *kind = take(in, 1);
    json_t *list;

    if (!kind || depth > DEPTH)
        return NULL;
    switch (*kind) {
    case 'n':
        return json_null();
    case 't':
        return json_true();
    case 'f':
        return json_false();
    case 'i':
    case 'r':
        return take_number(in, (char)*kind);
    case 's':
        return take_string(in);
    case '[':
    case '{':
        list = *kind == '[' ? json_array() : json_object();
        if (take_members(in, list, depth) == 0)
            return list;
        json_decref(list);
        return NULL;
    default:
        return NULL;
    }
}

json_t *rh_local_json_tree(const void *bytes, size_t n)
{
    struct in in = {bytes, n};
    json_t *doc = take_value(&in, 0);

    if (doc && !in.left)
        return doc;
    json_decref(doc);
    return NULL;
}

/* --- the two processes
 * ------------------------------------------------------------ */

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno != EINTR)
            return -1;
        p += RH_MAX(done, 0);
        n -= (size_t)RH_MAX(done, 0);
    }
    return 0;
}

/* "+" and the tree, or "-" and what went wrong. */
static int parse(struct rh_io *io, struct rh_buf *b, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    size_t n;
    json_t *doc;

    if (rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return -1;
    doc = json_loadb(text, n, 0, NULL);
    rh_buf_puts(b, "+");
    return doc && put(b, doc, 0)
               ? 0
               : rh_fail(err, RH_ERR_BOOT_RESULT, "it is no JSON");
}

_Noreturn static void child(struct rh_io *io, int pipe)
{
    const int keep[] = {io->fd, pipe};
    struct rh_buf b = {0};
    rh_error *e = NULL;
    RH_AUTO(rh_freep) char *text = NULL;

    if (rh_local_drop_rights(keep, RH_COUNT(keep), &e) == 0 &&
        parse(io, &b, &e) == 0)
        _exit(write_all(pipe, b.data, b.length) < 0);
    text = rh_printf("-%.*s", MESSAGE, rh_error_message(e));
    write_all(pipe, text, strlen(text));
    _exit(1);
}

static int hear(rh_lib *lib, int pipe, struct rh_buf *b, rh_error **err)
{
    char part[16384];
    size_t n = 1;

    while (n) {
        if (rh_wait_read(lib, pipe, part, sizeof part, &n, err) < 0)
            return -1;
        if (b->length + n > TREE_MOST)
            return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                           "there is more in it than a result has");
        rh_buf_add(b, part, n);
    }
    return 0;
}

static json_t *judge(const struct rh_buf *b, rh_error **err)
{
    json_t *doc;

    if (b->length && b->data[0] == '-') {
        rh_fail(err, RH_ERR_BOOT_RESULT, "%.*s",
                (int)RH_MIN(b->length - 1, (size_t)MESSAGE), b->data + 1);
        return NULL;
    }
    doc = b->length > 1 && b->data[0] == '+'
              ? rh_local_json_tree(b->data + 1, b->length - 1)
              : NULL;
    if (!doc)
        rh_fail(err, RH_ERR_BOOT_RESULT, "the process that read it has failed");
    return doc;
}

json_t *rh_local_json(rh_lib *lib, struct rh_io *io, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    int pipes[2], failed;
    pid_t pid;

    if (pipe2(pipes, O_CLOEXEC) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "no pipe");
        return NULL;
    }
    pid = fork();
    if (pid == 0)
        child(io, pipes[1]);
    close(pipes[1]);
    if (pid < 0)
        failed = rh_fail_errno(err, RH_ERR_MEMORY, errno, "no new process");
    else
        failed = hear(lib, pipes[0], &b, err);
    close(pipes[0]);
    if (pid > 0 && failed)
        kill(pid, SIGKILL);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return failed ? NULL : judge(&b, err);
}
