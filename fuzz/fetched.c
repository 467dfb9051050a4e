/* fetched.c - ranges kept, files damaged, opened again: what is given back is
 * what was put. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fetched.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/out.h"

enum { SIZE = 300 * 1024 + 777, STEP = 8, STEPS_MOST = 64 };

/* One for all inputs of this process. */
static const char *folder(void)
{
    static char path[64];

    if (!path[0]) {
        strcpy(path, "/dev/shm/rehost-fuzz.XXXXXX");
        if (!mkdtemp(path)) {
            strcpy(path, "/tmp/rehost-fuzz.XXXXXX");
            if (!mkdtemp(path))
                abort();
        }
    }
    return path;
}

/* Zeros in parts. */
static void content(uint64_t offset, uint8_t *ret, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t at = offset + i;

        ret[i] = at % 70000 < 30000 ? 0 : (uint8_t)(at * 131 / 17);
    }
}

static int open_one(const char *ending)
{
    int fd = -1, dir = open(folder(), O_RDONLY | O_DIRECTORY);
    DIR *d = dir < 0 ? NULL : fdopendir(dir);
    struct dirent *entry;

    while (d && fd < 0 && (entry = readdir(d)))
        if (strstr(entry->d_name, ending))
            fd = openat(dir, entry->d_name, O_RDWR);
    if (d)
        closedir(d);
    return fd;
}

static void damage(const char *ending, uint32_t at, uint8_t by, bool cut)
{
    int fd = open_one(ending);
    uint8_t byte = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        abort();
    if (!st.st_size) {
        close(fd);
        return;
    }
    at = (uint32_t)(at % (uint64_t)st.st_size);
    if (cut && ftruncate(fd, at) < 0)
        abort();
    if (!cut && pread(fd, &byte, 1, at) == 1) {
        byte ^= by;
        if (pwrite(fd, &byte, 1, at) != 1)
            abort();
    }
    close(fd);
}

static void read_all(struct rh_fetched *f, uint8_t *buf, uint8_t *want)
{
    uint64_t at = 0, start;
    size_t n;

    while (at < SIZE) {
        if (rh_fetched_get(f, at, buf, &start, &n)) {
            content(start, want, n);
            if (start > at || at - start >= n || memcmp(buf, want, n))
                abort();
            at = start + n;
        } else if (rh_fetched_next(f, at) <= at) {
            abort();
        } else {
            at = rh_fetched_next(f, at);
        }
    }
}

static struct rh_fetched *open_it(rh_lib *lib)
{
    struct rh_fetched *f = rh_fetched_open(lib, "what", "state", SIZE);

    if (!f)
        abort();
    return f;
}

static void step(rh_lib *lib, struct rh_fetched **f, const uint8_t *s,
                 uint8_t *buf, uint8_t *want)
{
    uint32_t at = rh_le32(s + 1) % SIZE;
    size_t n = RH_MIN((size_t)rh_le16(s + 5) * 16 + 1, (size_t)SIZE - at);

    switch (s[0] % 6) {
    case 0:
    case 1:
        n = RH_MIN(n, (size_t)RH_FETCHED_PIECE);
        content(at, buf, n);
        rh_fetched_put(*f, buf, n, at);
        break;
    case 2:
        damage(".bytes", at, s[7], false);
        break;
    case 3:
    case 4:
        if (rh_fetched_next(*f, 0) < SIZE)
            damage(".map", at, s[7], s[0] % 6 == 4);
        break;
    default:
        rh_fetched_free(*f);
        *f = open_it(lib);
        read_all(*f, buf, want);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rh_lib lib = {.threads = 1};
    uint8_t *buf = rh_malloc(RH_FETCHED_PIECE);
    uint8_t *want = rh_malloc(RH_FETCHED_PIECE);
    struct rh_fetched *f;

    rh_fetched_set_dir(&lib, folder());
    f = open_it(&lib);
    for (size_t i = 0; i < STEPS_MOST && n >= STEP; i++, n -= STEP) {
        step(&lib, &f, data, buf, want);
        data += STEP;
    }
    rh_fetched_free(f);
    rh_fetched_done(&lib);
    rh_fetched_drop(&lib);
    free(buf);
    free(want);
    return 0;
}
