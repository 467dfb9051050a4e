/* wire.c - messages of words between the two processes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/wait.h"
#include "deliver/local/broker.h"

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static int gone(rh_error **err)
{
    return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                   "the process that runs the node's programs is gone");
}

static void attach(struct msghdr *m, union control *control, int fd)
{
    struct cmsghdr *c;

    m->msg_control = control->bytes;
    m->msg_controllen = sizeof control->bytes;
    c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
}

static int send_bytes(rh_lib *lib, int socket, struct rh_buf *b, int fd,
                      rh_error **err)
{
    union control control = {0};
    struct iovec piece = {b->data, b->length};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
    ssize_t n;

    if (fd >= 0)
        attach(&m, &control, fd);
    do {
        if (rh_wait_ready(lib, socket, POLLOUT, err) < 0)
            return -1;
        n = sendmsg(socket, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR));
    return n == (ssize_t)b->length ? 0 : gone(err);
}

int rh_wire_send(rh_lib *lib, int socket, const char *const *words,
                 size_t count, int fd, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (size_t i = 0; i < count; i++)
        rh_buf_add(&b, words[i], strlen(words[i]) + 1);
    if (count > RH_WIRE_WORDS || b.length > RH_WIRE_BYTES)
        return rh_fail(err, RH_ERR_DELIVERY_LIMIT,
                       "the VM's configuration is too long");
    return send_bytes(lib, socket, &b, fd, err);
}

/* --- receiving
 * ----------------------------------------------------------------------- */

/* At most one; the rest is closed: there is room for two, as it is rounded up.
 */
static int take_fd(struct msghdr *m)
{
    int found = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        size_t n = c->cmsg_len - CMSG_LEN(0);
        int fd;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof fd <= n; at += sizeof fd) {
            memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
            rh_closep(&found);
            found = fd;
        }
    }
    return found;
}

bool rh_wire_split(char *bytes, size_t n, const char **words, size_t *ret_count)
{
    size_t count = 0;

    if (n == 0 || n > RH_WIRE_BYTES || bytes[n - 1] != '\0')
        return false;
    for (size_t at = 0; at < n; at += strlen(bytes + at) + 1) {
        if (count == RH_WIRE_WORDS)
            return false;
        words[count++] = bytes + at;
    }
    *ret_count = count;
    return true;
}

int rh_wire_receive(rh_lib *lib, int socket, struct rh_wire *ret,
                    rh_error **err)
{
    union control control = {0};
    RH_AUTO(rh_freep) char *bytes = rh_malloc(RH_WIRE_BYTES);
    RH_AUTO(rh_freep)
    const char **words = rh_calloc(RH_WIRE_WORDS, sizeof *words);
    struct iovec piece = {bytes, RH_WIRE_BYTES};
    struct msghdr m = {.msg_iov = &piece,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t n;

    do {
        if (rh_wait_ready(lib, socket, POLLIN, err) < 0)
            return -1;
        n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR));
    *ret = (struct rh_wire){.fd = n >= 0 ? take_fd(&m) : -1};
    if (n <= 0) { /* a caller that was killed resets the connection */
        rh_closep(&ret->fd);
        return 0;
    }
    if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
        !rh_wire_split(bytes, (size_t)n, words, &ret->count)) {
        rh_wire_free(ret);
        return rh_fail(err, RH_ERR_BUG, "that is no message of ours");
    }
    ret->bytes = RH_TAKE(bytes);
    ret->words = RH_TAKE(words);
    return 1;
}

void rh_wire_free(struct rh_wire *w)
{
    free(w->bytes);
    free(w->words);
    rh_closep(&w->fd);
    *w = (struct rh_wire){.fd = -1};
}
