/* boot_monitor.c - talk to QEMU's monitor (QMP): ask, and hear its events.
 *
 * docs/interop/qmp-spec of QEMU: one JSON object a line, either the answer to a
 * command or an event, which may come at any time. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/io.h"
#include "base/limits.h"
#include "base/out.h"
#include "convert/boot/boot.h"

enum { LINE_MAX_BYTES = 1024 * 1024, PATIENCE = 10 };

static void take_event(struct rh_boot_qemu *q, const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    const json_t *data = json_object_get(event, "data");

    if (!name)
        return;
    if (!strcmp(name, "RESET"))
        q->resets += json_is_true(json_object_get(data, "guest"));
    else if (!strcmp(name, "SHUTDOWN"))
        q->off = true;
    else if (!strcmp(name, "STOP"))
        q->stopped = true;
}

/* All whole lines that have come; true when one of them is an answer. */
static bool take_lines(struct rh_boot_qemu *q, bool *ret_good)
{
    bool answered = false;
    char *end;

    while (q->heard.length &&
           (end = memchr(q->heard.data, '\n', q->heard.length))) {
        size_t n = (size_t)(end - q->heard.data) + 1;
        json_t *line = json_loadb(q->heard.data, n, 0, NULL);

        if (json_object_get(line, "return") || json_object_get(line, "error")) {
            answered = true;
            *ret_good = json_object_get(line, "return") != NULL;
        }
        take_event(q, line);
        json_decref(line);
        memmove(q->heard.data, q->heard.data + n, q->heard.length - n);
        q->heard.length -= n;
    }
    return answered;
}

/* 1: something came, 0: nothing yet, -1: QEMU is gone. */
static int hear(struct rh_boot_qemu *q, int flags)
{
    char bytes[4096];
    ssize_t n = recv(q->control, bytes, sizeof bytes, flags);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0 || q->heard.length > LINE_MAX_BYTES)
        return -1;
    rh_buf_add(&q->heard, bytes, (size_t)n);
    return 1;
}

int rh_boot_hear(struct rh_boot_qemu *q)
{
    bool good;
    int r;

    while ((r = hear(q, MSG_DONTWAIT)) > 0)
        ;
    take_lines(q, &good);
    return r;
}

/* Takes `arguments`. */
static int ask(struct rh_boot_qemu *q, const char *what, json_t *arguments)
{
    struct timeval tick = {1, 0};
    json_t *asked = json_pack("{s:s}", "execute", what);
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *line = NULL;
    bool good = false;

    if (arguments)
        json_object_set_new(asked, "arguments", arguments);
    text = json_dumps(asked, JSON_COMPACT);
    json_decref(asked);
    line = rh_printf("%s\n", text);
    rh_boot_hear(q);
    setsockopt(q->control, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
    if (send(q->control, line, strlen(line), MSG_NOSIGNAL) < 0)
        return -1;
    for (int i = 0; i < PATIENCE; i++) {
        if (hear(q, 0) < 0)
            return -1;
        if (take_lines(q, &good))
            return good ? 0 : -1;
    }
    return -1;
}

int rh_boot_greet(struct rh_boot_qemu *q)
{
    return ask(q, "qmp_capabilities", NULL);
}

/* QEMU writes it into our folder. */
static int fetch(struct rh_boot_qemu *q, const char *what, const char *name,
                 json_t *arguments, char **ret_bytes, size_t *ret_n)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", q->folder, name);
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

    json_object_set_new(arguments, "filename", json_string(path));
    if (ask(q, what, arguments) < 0)
        return -1;
    io = rh_io_file_at(AT_FDCWD, path, 0, NULL);
    return io ? rh_io_slurp(io, 64 * RH_MIB, ret_bytes, ret_n, NULL) : -1;
}

int rh_boot_picture(struct rh_boot_qemu *q, char **ret_bytes, size_t *ret_n)
{
    return fetch(q, "screendump", "screen.ppm", json_object(), ret_bytes,
                 ret_n);
}

int rh_boot_memory(struct rh_boot_qemu *q, uint64_t at, uint64_t n,
                   char **ret_bytes, size_t *ret_n)
{
    return fetch(
        q, "pmemsave", "memory",
        json_pack("{s:I, s:I}", "val", (json_int_t)at, "size", (json_int_t)n),
        ret_bytes, ret_n);
}

int rh_boot_screenshot(struct rh_boot_qemu *q, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *bytes = NULL;
    RH_AUTO(rh_closep) int fd = -1;
    size_t n;

    if (fetch(q, "screendump", "screen.png",
              json_pack("{s:s}", "format", "png"), &bytes, &n) < 0)
        return rh_fail(err, RH_ERR_BOOT_QEMU, "QEMU gave no screenshot");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "the screenshot cannot be written");
        return rh_error_subject(err, path);
    }
    return rh_pwrite_all(fd, bytes, n, 0, path, err);
}
