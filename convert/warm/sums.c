/* sums.c - the digest of each MiB of a copy. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/warm/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/out.h"
#include "convert/copy/copy_job.h"

static const uint8_t zero[RH_SUM];

static void read_file(struct rh_sums *s, int dir, const char *name)
{
    size_t size = (size_t)s->count * RH_SUM, at = 0;
    RH_AUTO(rh_closep)
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size != size)
        return;
    while (at < size) {
        ssize_t n = pread(fd, s->items + at, size - at, (off_t)at);

        if (n <= 0) {
            memset(s->items, 0xff, size);
            return;
        }
        at += (size_t)n;
    }
}

int rh_sums_open(struct rh_sums *s, int dir, const char *name, uint64_t size,
                 bool believe, rh_error **err)
{
    s->count = rh_div_up(size, RH_SUMS_UNIT);
    s->items = rh_alloc_big((size_t)s->count * RH_SUM + 1, err);
    if (!s->items)
        return -1;
    memset(s->items, 0xff, (size_t)s->count * RH_SUM);
    if (believe)
        read_file(s, dir, name);
    return 0;
}

int rh_sums_save(const struct rh_sums *s, int dir, const char *name,
                 rh_error **err)
{
    RH_AUTO(rh_freep) char *part = rh_printf(".%s.part", name);
    RH_AUTO(rh_closep) int fd = -1;

    unlinkat(dir, part, 0);
    fd = openat(dir, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 ||
        rh_pwrite_all(fd, s->items, (size_t)s->count * RH_SUM, 0, name, err) <
            0 ||
        fsync(fd) < 0 || renameat(dir, part, dir, name) < 0) {
        rh_fail_errno(err, RH_ERR_WARM_JOURNAL, errno, "cannot write it");
        unlinkat(dir, part, 0);
        return rh_error_subject(err, name);
    }
    return 0;
}

void rh_sums_free(struct rh_sums *s)
{
    free(s->items);
    s->items = NULL;
}

static uint8_t *at(const struct rh_sums *s, uint64_t unit)
{
    return s->items + unit * RH_SUM;
}

bool rh_sums_known(const struct rh_sums *s, uint64_t unit)
{
    const uint8_t *p = at(s, unit);

    return p[0] != 0xff || memcmp(p, p + 1, RH_SUM - 1) != 0;
}

bool rh_sums_zero(const struct rh_sums *s, uint64_t unit)
{
    return memcmp(at(s, unit), zero, RH_SUM) == 0;
}

void rh_sums_forget(struct rh_sums *s, uint64_t unit)
{
    memset(at(s, unit), 0xff, RH_SUM);
}

void rh_sum_of(uint8_t *data, size_t n, uint8_t ret[RH_SUM])
{
    uint8_t record[RH_CONTENT_RECORD];

    memset(ret, 0, RH_SUM);
    if (rh_copy_record(data, n, 0, record))
        memcpy(ret, record + 8, RH_SUM);
}

bool rh_sums_same(const struct rh_sums *s, uint64_t unit,
                  const uint8_t sum[RH_SUM])
{
    return rh_sums_known(s, unit) && memcmp(at(s, unit), sum, RH_SUM) == 0;
}

void rh_sums_set(struct rh_sums *s, uint64_t unit, const uint8_t sum[RH_SUM])
{
    memcpy(at(s, unit), sum, RH_SUM);
}

void rh_sums_content(const struct rh_sums *s, char ret_hex[65])
{
    RH_AUTO(rh_digest_freep) struct rh_digest *digest = rh_digest_new("sha256");
    uint8_t record[RH_CONTENT_RECORD];
    char hex[RH_DIGEST_HEX];

    ret_hex[0] = '\0';
    for (uint64_t unit = 0; unit < s->count; unit++) {
        if (!rh_sums_known(s, unit))
            return;
        if (rh_sums_zero(s, unit))
            continue;
        rh_put_le64(record, unit * RH_SUMS_UNIT);
        memcpy(record + 8, at(s, unit), RH_SUM);
        rh_digest_add(digest, record, sizeof record);
    }
    rh_digest_hex(digest, hex);
    memcpy(ret_hex, hex, 65);
}
