/* rate.c - a token bucket in one word, so that processes can share it.
 *
 * The word is the moment (monotonic nanoseconds, the same for all processes of
 * a machine) at which the link is free again.  Who wants to send moves it on by
 * what his bytes take, then waits until his turn has come.  One atomic step:
 * no lock that a killed process could hold, and first come, first served. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/rate.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/out.h"
#include "base/text.h"

#define SECOND UINT64_C(1000000000)
enum {
    BURST = 100000000, /* ns: what an idle link may catch up on */
    NAP = 100000000,   /* ns: between two looks at the cancel flag */
};

struct rh_rate {
    uint64_t bytes;                   /* a second */
    atomic_uint_least64_t *free_at;   /* `own`, or what processes share */
    atomic_uint_least64_t own, *page; /* page: mapped, or NULL */
};

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* Nanoseconds that n bytes take. */
static uint64_t cost(const struct rh_rate *r, uint64_t n)
{
    return n / r->bytes * SECOND + n % r->bytes * SECOND / r->bytes;
}

/* When they may go. */
static uint64_t book(struct rh_rate *r, uint64_t n)
{
    uint64_t at = now(), was = atomic_load(r->free_at), start;

    do {
        /* Another clock's (a descriptor from before a restart), or an hour's
         * queue: not believed. */
        start = was > at + 3600 * SECOND ? at : was;
        start = RH_MAX(start, at > BURST ? at - BURST : 0);
    } while (
        !atomic_compare_exchange_weak(r->free_at, &was, start + cost(r, n)));
    return start;
}

static int wait_until(rh_lib *lib, uint64_t at, rh_error **err)
{
    for (uint64_t t = now(); t < at; t = now()) {
        struct timespec nap = {.tv_nsec = (long)RH_MIN(at - t, NAP)};

        if (rh_go_on(lib, err) < 0)
            return -1;
        nanosleep(&nap, NULL);
    }
    return 0;
}

int rh_rate_take(rh_lib *lib, uint64_t n, rh_error **err)
{
    const rh_lib *top = lib;

    while (top && top->of)
        top = top->of;
    if (!top || !top->rate || !n)
        return 0;
    /* In parts of a tenth of a second: nobody is shut out by a large one. */
    for (uint64_t part; n; n -= part) {
        part = RH_MIN(n, top->rate->bytes / 10);
        if (wait_until(lib, book(top->rate, part), err) < 0)
            return -1;
    }
    return 0;
}

static int bad(const char *text, rh_error **err)
{
    rh_fail(err, RH_ERR_USAGE, "--bandwidth cannot be \"%s\"", text);
    return rh_hint(err, "bytes a second, at least 64K: 100M, 1.5GiB");
}

/* The page behind a descriptor that rh_rate_share() made, and nothing else. */
static int map_shared(struct rh_rate *r, uint64_t fd)
{
    struct stat st;
    void *page;

    if (fd > INT32_MAX || fcntl((int)fd, F_GET_SEALS) < 0 ||
        fstat((int)fd, &st) < 0 || st.st_size != (off_t)sizeof *r->page)
        return -1;
    page = mmap(NULL, sizeof *r->page, PROT_READ | PROT_WRITE, MAP_SHARED,
                (int)fd, 0);
    if (page == MAP_FAILED)
        return -1;
    r->page = r->free_at = page;
    return 0;
}

struct rh_rate *rh_rate_new(const char *text, rh_error **err)
{
    const char *at = strchr(text, '@');
    RH_AUTO(rh_freep)
    char *size = at ? rh_strndup(text, (size_t)(at - text)) : rh_strdup(text);
    struct rh_rate *r = rh_new0(struct rh_rate);
    uint64_t fd;

    r->free_at = &r->own;
    if (rh_parse_size(size, &r->bytes) && r->bytes >= RH_RATE_LEAST &&
        r->bytes <= (uint64_t)1 << 50 &&
        (!at || (rh_parse_u64(at + 1, &fd) && map_shared(r, fd) == 0)))
        return r;
    bad(text, err);
    free(r);
    return NULL;
}

void rh_rate_free(struct rh_rate *r)
{
    if (!r)
        return;
    if (r->page)
        munmap(r->page, sizeof *r->page);
    free(r);
}

uint64_t rh_rate_bytes(const struct rh_rate *r)
{
    return r ? r->bytes : 0;
}

int rh_rate_share(rh_error **err)
{
    int fd = memfd_create("rehost-rate", MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, sizeof(atomic_uint_least64_t)) == 0)
        return fd;
    rh_closep(&fd);
    return rh_fail(err, RH_ERR_MEMORY, "no shared memory for the bandwidth");
}
