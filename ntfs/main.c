/* main.c - rehost-ntfs: files of an NTFS volume, served over a socket.
 *
 * rehost starts it with the socket as descriptor 0 and serves the volume's
 * blocks itself.  A program of its own because libntfs-3g is under the GPL,
 * and because what it reads was written by strangers: it can reach nothing but
 * that socket (sandbox.c). */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/helper.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void answer(int e, uint64_t b, const void *payload, uint32_t n)
{
    struct rh_ntfs_frame f = {
        .op = RH_NTFS_ANSWER, .length = n, .a = (uint64_t)e, .b = b};

    send_frame(&f, payload);
}

static void answer_read(const struct rh_ntfs_frame *f)
{
    uint64_t n = f->c > RH_NTFS_PART ? RH_NTFS_PART : f->c, got = 0;
    char *p = malloc(RH_NTFS_PART);
    int e = p ? file_read(f->a, f->b, n, p, &got) : ENOMEM;

    answer(e, 0, p, e ? 0 : (uint32_t)got);
    free(p);
}

static void answer_bytes(int e, char *p, uint32_t n)
{
    answer(e, 0, p, e ? 0 : n);
    free(p);
}

static void answer_stat(uint64_t node)
{
    struct rh_ntfs_stat st;
    int e = file_stat(node, &st);

    answer(e, 0, &st, e ? 0 : sizeof st);
}

/* Requests that look. */
static bool look(const struct rh_ntfs_frame *f, const char *payload)
{
    uint64_t b = 0;
    uint32_t n = 0;
    char *p = NULL;
    int e;

    switch (f->op) {
    case RH_NTFS_STAT:
        answer_stat(f->a);
        return true;
    case RH_NTFS_LOOKUP:
        e = folder_find(f->a, payload, &b);
        answer(e, b, "", 0);
        return true;
    case RH_NTFS_LIST:
        e = folder_list(f->a, &p, &n);
        answer_bytes(e, p, n);
        return true;
    case RH_NTFS_READ:
        answer_read(f);
        return true;
    case RH_NTFS_GET_ACL:
        e = acl_get(f->a, &p, &n);
        answer_bytes(e, p, n);
        return true;
    case RH_NTFS_FREE:
        e = free_bytes(&b);
        answer(e, b, "", 0);
        return true;
    default:
        return false;
    }
}

static int renamed(const struct rh_ntfs_frame *f, const char *payload)
{
    size_t n = strlen(payload);

    return n < f->length ? folder_rename(f->a, payload, f->b, payload + n + 1)
                         : EINVAL;
}

/* Requests that change. */
static void change(const struct rh_ntfs_frame *f, const char *payload)
{
    uint64_t b = 0;
    int e;

    switch (f->op) {
    case RH_NTFS_CREATE:
    case RH_NTFS_MAKE_DIR:
        e = folder_add(f->a, payload, f->op == RH_NTFS_MAKE_DIR, &b);
        break;
    case RH_NTFS_WRITE:
        e = file_write(f->a, f->b, payload, f->length);
        break;
    case RH_NTFS_TRUNCATE:
        e = file_truncate(f->a, f->b);
        break;
    case RH_NTFS_REMOVE:
        e = folder_remove(f->a, payload);
        break;
    case RH_NTFS_RENAME:
        e = renamed(f, payload);
        break;
    case RH_NTFS_SET_ACL:
        e = acl_set(f->a, payload, f->length);
        break;
    default:
        e = ENOSYS;
    }
    answer(e, b, "", 0);
}

static void serve(const struct rh_ntfs_frame *f, const char *payload)
{
    uint64_t state = 0;
    int e;

    if (f->op == RH_NTFS_OPEN || f->op == RH_NTFS_OPEN_WRITE) {
        if (f->op == RH_NTFS_OPEN)
            volume_bytes = f->a;
        e = volume_open(f->op == RH_NTFS_OPEN_WRITE, &state);
        answer(e, state, "", 0);
    } else if (f->op == RH_NTFS_SYNC) {
        answer(volume_close(), 0, "", 0);
    } else if (!volume_is_open()) {
        answer(ENODEV, 0, "", 0);
    } else if (!look(f, payload)) {
        change(f, payload);
    }
}

int main(int argc, char **argv)
{
    struct rh_ntfs_frame f;
    int kind;
    socklen_t n = sizeof kind;
    char *payload;

    (void)argv;
    if (argc > 1 || getsockopt(0, SOL_SOCKET, SO_TYPE, &kind, &n)) {
        fputs("rehost-ntfs: rehost starts this program by itself\n", stderr);
        return 2;
    }
    close_range(1, ~0U, 0);
    ntfs_log_set_handler(ntfs_log_handler_null);
    enter_sandbox();
    for (;;) {
        receive(&f, &payload);
        serve(&f, payload);
        free(payload);
    }
}
