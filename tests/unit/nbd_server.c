/* nbd_server.c - the disks towards the appliance: one that gives no answer is
 * ended, one that rests or works is not, and no write is lost in silence. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/nbd_server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/limits.h"

static struct rh_lib lib = {.threads = 1, .memory = RH_MIB};

static int base_extent(struct rh_reader *r, uint64_t offset,
                       struct rh_extent *ret, rh_error **err)
{
    (void)err;
    ret->length = r->size - offset;
    ret->kind = RH_EXTENT_DATA;
    return 0;
}

static int base_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    (void)r, (void)codec, (void)offset, (void)err;
    memset(buf, 7, n);
    return 0;
}

static void base_close(struct rh_reader *r)
{
    (void)r;
}

static const struct rh_format base_format = {.name = "base",
                                             .extent = base_extent,
                                             .read = base_read,
                                             .close = base_close};

struct setup {
    struct rh_reader *base, *overlay;
    struct rh_nbd_server *server;
};

static struct setup set_up(void)
{
    struct setup s = {.base = rh_new0(struct rh_reader)};

    s.base->format = &base_format;
    s.base->lib = &lib;
    s.base->name = rh_strdup("base");
    s.base->size = RH_MIB;
    s.overlay = rh_overlay_new(s.base, &lib, NULL);
    s.server = rh_nbd_serve(&s.overlay, 1, false, NULL, NULL);
    assert_non_null(s.server);
    return s;
}

static void tear_down(struct setup *s)
{
    rh_nbd_stop(s->server);
    rh_reader_close(s->overlay);
    rh_reader_close(s->base);
}

/* --- a client, in its own process
 * ---------------------------------------------------------------- */
static int connected(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    uint8_t data[32], hello[4 + 16] = {0, 0, 0, 2};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(to.sun_path, path, strlen(path) + 1);
    memcpy(hello + 4, "IHAVEOPT\0\0\0\1\0\0\0\0", 16);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        recv(fd, data, 18, MSG_WAITALL) != 18 ||
        send(fd, hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello ||
        recv(fd, data, 10, MSG_WAITALL) != 10)
        _exit(1);
    return fd;
}

/* One request of 512 bytes: the error in its answer. */
static uint32_t request(int fd, uint16_t kind)
{
    uint8_t q[28 + 512] = {0}, a[16 + 512];
    size_t n = kind ? sizeof q : 28, got = kind ? 16 : sizeof a;

    rh_put_be32(q, 0x25609513);
    rh_put_be16(q + 6, kind);
    rh_put_be32(q + 24, 512);
    if (send(fd, q, n, MSG_NOSIGNAL) != (ssize_t)n ||
        recv(fd, a, got, MSG_WAITALL) != (ssize_t)got)
        _exit(1);
    return rh_be32(a + 4);
}

/* Sleeps, or asks again and again. */
static pid_t client(const struct setup *s, bool asks)
{
    pid_t pid = fork();
    int fd;

    assert_true(pid >= 0);
    if (pid)
        return pid;
    alarm(30);
    fd = connected(rh_nbd_socket(s->server, 0));
    for (;; usleep(300 * 1000))
        if (asks)
            request(fd, 0);
}

static bool lives(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

static void expect_killed(struct setup *s, pid_t pid)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    why = rh_nbd_failure(s->server);
    assert_int_equal(rh_error_number(why), RH_ERR_GUEST_APPLIANCE);
}

static void who_is_silent_over_a_call_is_ended(void **state)
{
    struct setup s = set_up();
    atomic_uint calls = 0;
    pid_t pid = client(&s, false);

    (void)state;
    rh_nbd_watch(s.server, &calls, 2, 1000);
    usleep(3000 * 1000);
    assert_true(lives(pid)); /* nobody waits for it */
    for (int i = 0; i < 3; i++) {
        calls++;
        usleep(1000 * 1000);
    }
    assert_true(lives(pid)); /* it answered */
    expect_killed(&s, pid);
    tear_down(&s);
}

static void who_works_on_a_call_has_its_time(void **state)
{
    struct setup s = set_up();
    atomic_uint calls = 1;
    pid_t pid = client(&s, true);

    (void)state;
    rh_nbd_watch(s.server, &calls, 2, 5);
    usleep(3000 * 1000);
    assert_true(lives(pid));
    expect_killed(&s, pid);
    tear_down(&s);
}

static void a_lost_write_is_known(void **state)
{
    struct setup s = set_up();
    struct rlimit old, none;
    int fd = connected(rh_nbd_socket(s.server, 0));

    (void)state;
    assert_int_equal(request(fd, 1), 0);
    assert_false(rh_nbd_has_lost(s.server));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    none = (struct rlimit){0, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
    assert_int_not_equal(request(fd, 1), 0);
    setrlimit(RLIMIT_FSIZE, &old);
    rh_error_free(rh_nbd_failure(s.server));
    assert_int_equal(request(fd, 1), 0);
    assert_true(rh_nbd_has_lost(s.server));
    close(fd);
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(who_is_silent_over_a_call_is_ended),
        cmocka_unit_test(who_works_on_a_call_has_its_time),
        cmocka_unit_test(a_lost_write_is_known)};

    return cmocka_run_group_tests(all, NULL, NULL);
}
