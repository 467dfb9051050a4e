/* serve.c - a server that has no descriptor left for who comes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/serve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rehost/rehost.h"

static double processor_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Until there is none left. */
static void take_descriptors(int *taken, size_t most)
{
    for (size_t i = 0; i < most; i++)
        taken[i] = dup(STDERR_FILENO);
    assert_int_equal(taken[most - 1], -1);
}

/* What is no handshake gets an answer, or the end. */
static bool is_answered(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

static void it_waits_for_a_descriptor(void **state)
{
    static const char greeting[] = "GET / HTTP/1.1\r\n\r\n";
    rh_lib *lib = rh_lib_new(NULL);
    const struct rh_serve_site site = {
        .lib = lib, .address = "127.0.0.1", .toward = "127.0.0.1"};
    struct rh_serve *s = rh_serve_open(&site, NULL);
    static const char bytes[4096];
    struct rh_io *io = rh_io_memory(bytes, sizeof bytes, "bytes");
    struct rh_secret *url;
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct rlimit before, now;
    int taken[32];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double begun;

    (void)state;
    assert_non_null(s);
    url = rh_serve_file(s, io, NULL);
    assert_non_null(url);
    to.sin_port =
        htons((uint16_t)strtoul(strrchr(rh_serve_name(s), ':') + 1, NULL, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = (struct rlimit){RH_COUNT(taken), before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    take_descriptors(taken, RH_COUNT(taken));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, greeting, sizeof greeting - 1),
                     sizeof greeting - 1);
    begun = processor_seconds();
    assert_false(is_answered(fd, 500));
    assert_true(processor_seconds() - begun < 0.2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(is_answered(fd, 8000));
    for (size_t i = 0; i < RH_COUNT(taken); i++)
        if (taken[i] >= 0)
            close(taken[i]);
    close(fd);
    rh_secret_free(url);
    rh_serve_close(s);
    rh_io_unref(io);
    rh_lib_free(lib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_for_a_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
