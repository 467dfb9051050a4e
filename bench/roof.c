/* roof.c - what a conversion is made of, each part alone on the same grains.
 *
 *   roof FILE.vmdk THREADS DIR
 *   roof FILE.vmdk THREADS DIR sync
 *
 * FILE is as bench/vmdk.py writes it.  Prints "PART WALL CPU" for each part:
 * seconds with THREADS threads, of which each takes the next 1 MiB of the disk
 * (16 grains).  What is read and what is digested in one piece is one thread's.
 * "write" goes into a new file in DIR, "sync" is its fsync.
 *
 * With "sync" the parts are ways to have the inflated bytes on the medium: by
 * one fsync at the "end"; by fdatasync on a thread of its own, each 32 MiB, in
 * the "background" (as base/out.c does); by sync_file_range for each "range" of
 * 8 MiB, and fsync; "direct", around the page cache, and fsync. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

enum {
    SECTOR = 512,
    FIRST = 128, /* sector of the first marker */
    GRAIN = 64 * 1024,
    UNIT = 1024 * 1024,
    PER_UNIT = UNIT / GRAIN,
    THREADS_MOST = 64
};

struct grain {
    uint64_t unit, at; /* in the disk, in the file */
    uint32_t size;
};
struct unit {
    size_t first, count; /* grains */
};

static uint8_t *file;
static size_t file_size, grain_count, unit_count;
static struct grain *grains;
static struct unit *units;
static int in = -1, out = -1;
static atomic_size_t next_unit;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what)
{
    fprintf(stderr, "roof: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t number(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | p[n];
    return v;
}

static void load(const char *path)
{
    struct stat st;

    in = open(path, O_RDONLY | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) < 0)
        fail(path);
    file_size = (size_t)st.st_size;
    file = malloc(file_size);
    for (size_t at = 0; file && at < file_size;) {
        ssize_t n = pread(in, file + at, file_size - at, (off_t)at);

        if (n <= 0)
            fail(path);
        at += (size_t)n;
    }
}

/* Markers: a grain has a size, a table's is 0. */
static void find_grains(void)
{
    size_t at = (size_t)FIRST * SECTOR;

    grains = calloc(file_size / SECTOR + 1, sizeof *grains);
    units = calloc(file_size / SECTOR + 1, sizeof *units);
    if (!file || !grains || !units)
        fail("memory");
    while (at + SECTOR <= file_size) {
        uint64_t value = number(file + at, 8);
        uint32_t size = (uint32_t)number(file + at + 8, 4);

        if (!size) { /* of so many sectors; 0: the end of the stream */
            if (number(file + at + 12, 4) == 0)
                break;
            at += SECTOR + (size_t)value * SECTOR;
            continue;
        }
        grains[grain_count] =
            (struct grain){value * SECTOR / UNIT, at + 12, size};
        if (!unit_count || grains[units[unit_count - 1].first].unit !=
                               grains[grain_count].unit)
            units[unit_count++].first = grain_count;
        units[unit_count - 1].count++;
        grain_count++;
        at += ((size_t)size + 12 + SECTOR - 1) / SECTOR * SECTOR;
    }
}

/* --- the parts: one unit each ------------------------------------------------
 */
struct worker {
    pthread_t thread;
    void (*part)(struct worker *, size_t);
    struct libdeflate_decompressor *inflate;
    uint8_t *data; /* UNIT bytes */
    uint64_t sum;
};

static void read_unit(struct worker *w, size_t i)
{
    const struct grain *first = &grains[units[i].first];
    const struct grain *last = first + units[i].count - 1;
    size_t n = (size_t)(last->at + last->size - first->at);

    for (size_t done = 0, part; done < n; done += part) {
        part = n - done < UNIT ? n - done : UNIT;
        if (pread(in, w->data, part, (off_t)(first->at + done)) !=
            (ssize_t)part)
            fail("read");
    }
}

static void inflate_unit(struct worker *w, size_t i)
{
    for (size_t g = 0; g < units[i].count; g++) {
        const struct grain *p = &grains[units[i].first + g];

        if (libdeflate_zlib_decompress(w->inflate, file + p->at, p->size,
                                       w->data + g * GRAIN, GRAIN, NULL))
            fail("inflate");
    }
}

static void content_unit(struct worker *w, size_t i)
{
    (void)i;
    w->sum += XXH3_128bits(w->data, UNIT).low64;
}

static void sha1_unit(struct worker *w, size_t i)
{
    uint8_t sum[EVP_MAX_MD_SIZE];

    (void)i;
    EVP_Digest(w->data, UNIT, sum, NULL, EVP_sha1(), NULL);
    w->sum += sum[0];
}

/* One at a time, as the kernel has it in any case. */
static void write_unit(struct worker *w, size_t i)
{
    size_t n = units[i].count * GRAIN;
    ssize_t got;

    pthread_mutex_lock(&turn);
    got = pwrite(out, w->data, n, (off_t)(units[i].first * GRAIN));
    pthread_mutex_unlock(&turn);
    if (got != (ssize_t)n)
        fail("write");
}

/* --- ways to sync ------------------------------------------------------------
 */
enum { STEP = 32 * UNIT, RANGE = 8 * UNIT };
static enum { AT_END, IN_BACKGROUND, BY_RANGE, DIRECT } how;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static size_t written, synced;
static bool done;

static void *syncer(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    while (!done) {
        if (written - synced < STEP) {
            pthread_cond_wait(&wake, &lock);
            continue;
        }
        synced = written;
        pthread_mutex_unlock(&lock);
        if (fdatasync(out) < 0)
            fail("sync");
        posix_fadvise(out, 0, 0, POSIX_FADV_DONTNEED);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void inflate_and_write(struct worker *w, size_t i)
{
    size_t at = units[i].first * GRAIN / RANGE * RANGE;

    inflate_unit(w, i);
    write_unit(w, i);
    pthread_mutex_lock(&lock);
    written += units[i].count * GRAIN;
    if (how == IN_BACKGROUND && written - synced >= STEP)
        pthread_cond_signal(&wake);
    if (how == BY_RANGE && written - synced >= RANGE) {
        synced = written;
        sync_file_range(out, (off_t)at, 0, SYNC_FILE_RANGE_WRITE);
    }
    pthread_mutex_unlock(&lock);
}

static void *work(void *argument)
{
    struct worker *w = argument;

    for (size_t i; (i = atomic_fetch_add(&next_unit, 1)) < unit_count;)
        w->part(w, i);
    return NULL;
}

/* --- measuring
 * ---------------------------------------------------------------- */
static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double wall, cpu;

static void begin(void)
{
    wall = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
}

static void end(const char *name)
{
    printf("%s %.4f %.4f\n", name, now(CLOCK_MONOTONIC) - wall,
           now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

static void part(const char *name, struct worker *workers, size_t count,
                 void (*fn)(struct worker *, size_t))
{
    if (name)
        begin();
    atomic_store(&next_unit, 0);
    for (size_t i = 0; i < count; i++) {
        workers[i].part = fn;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            fail("thread");
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    if (name)
        end(name);
}

/* The manifest's digest is of the file in its order: one thread's work. */
static void sha256(void)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    uint8_t sum[EVP_MAX_MD_SIZE];

    begin();
    if (!c || !EVP_DigestInit_ex(c, EVP_sha256(), NULL))
        fail("SHA-256");
    for (size_t at = 0; at < file_size; at += UNIT)
        EVP_DigestUpdate(c, file + at,
                         file_size - at < UNIT ? file_size - at : UNIT);
    EVP_DigestFinal_ex(c, sum, NULL);
    EVP_MD_CTX_free(c);
    end("sha256");
}

static void start_workers(struct worker *workers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        workers[i].inflate = libdeflate_alloc_decompressor();
        workers[i].data = aligned_alloc(4096, UNIT);
        if (!workers[i].inflate || !workers[i].data)
            fail("memory");
        memset(workers[i].data, 1, UNIT);
    }
}

static void create(const char *path, int flags)
{
    out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
    if (out < 0)
        fail(path);
}

static void one_way(const char *name, const char *path, struct worker *workers,
                    size_t count)
{
    pthread_t thread;

    create(path, how == DIRECT ? O_DIRECT : 0);
    written = synced = 0;
    done = false;
    if (how == IN_BACKGROUND && pthread_create(&thread, NULL, syncer, NULL))
        fail("thread");
    begin();
    part(NULL, workers, count, inflate_and_write);
    pthread_mutex_lock(&lock);
    done = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    if (how == IN_BACKGROUND)
        pthread_join(thread, NULL);
    if (fsync(out) < 0)
        fail("sync");
    end(name);
    close(out);
    unlink(path);
}

static void all_ways(const char *path, struct worker *workers, size_t count)
{
    static const char *const names[] = {"end", "background", "range", "direct"};

    for (how = AT_END; how <= DIRECT; how++)
        one_way(names[how], path, workers, count);
}

static void all_parts(const char *path, struct worker *workers, size_t count)
{
    create(path, 0);
    printf("grains %zu %zu\n", grain_count, unit_count);
    part("read", workers, count, read_unit);
    part("inflate", workers, count, inflate_unit);
    part("content", workers, count, content_unit);
    part("sha1", workers, count, sha1_unit);
    sha256();
    part("write", workers, count, write_unit);
    begin();
    if (fsync(out) < 0)
        fail("sync");
    end("sync");
    close(out);
    unlink(path);
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MOST];
    size_t count = argc >= 4 ? strtoul(argv[2], NULL, 10) : 0;
    char path[4096];

    if (count < 1 || count > THREADS_MOST)
        return 2;
    load(argv[1]);
    find_grains();
    start_workers(workers, count);
    snprintf(path, sizeof path, "%s/roof.out", argv[3]);
    unlink(path);
    (argc > 4 ? all_ways : all_parts)(path, workers, count);
    return 0;
}
