/* convert.c - the whole of `disk convert`, by the public calls alone.
 *
 * Any bytes are a disk, its format is found by content, and it is written as
 * qcow2, raw or VHD, into a file or a pipe; read from a file or, forward, from
 * a pipe.  Then our own result must be sound and the same disk byte by byte,
 * whatever the maps say; and a refusal must leave nothing and say why.
 *
 * The first two bytes choose (see choose()); the rest is the disk, and what
 * follows a line "----" in it is the file "b" beside it.  "vhdxfile" is
 * followed by parts (vhdx_parts.h). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/vhd_mend.h"
#include "fuzz/vhdx_parts.h"
#include "rehost/rehost.h"

enum { CHOICES = 2, STEP = 256 * 1024, PIPE = 1024 * 1024 };

struct choice {
    const char *format, *compress, *cluster;
    bool as_raw, from_pipe, to_pipe;
};

/* Not the working folder: a fuzzer has its own there. */
#define FOLDER "/dev/shm/rehost-fuzz.XXXXXX"
static char folder[] = FOLDER, in[] = FOLDER "/in", out[] = FOLDER "/out",
            beside[] = FOLDER "/b";
static rh_lib *lib;

static _Noreturn void wrong(const char *what, const rh_error *err)
{
    fprintf(stderr, "convert: %s: %s\n", what, rh_error_message(err));
    abort();
}

/* --- the folder ---------------------------------------------------------- */

static void empty_folder(void)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;

    while (dir && (e = readdir(dir)))
        unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
}

static void remove_folder(void)
{
    empty_folder();
    rmdir(folder);
}

static void start(void)
{
    if (lib)
        return;
    lib = rh_lib_new(NULL);
    if (!lib || !mkdtemp(folder) || atexit(remove_folder))
        abort();
    memcpy(in, folder, sizeof folder - 1);
    memcpy(out, folder, sizeof folder - 1);
    memcpy(beside, folder, sizeof folder - 1);
    if (rh_lib_set(lib, "threads", "1", NULL) < 0 ||
        rh_lib_set(lib, "memory", "8MiB", NULL) < 0 ||
        rh_lib_set(lib, "max-disk-size", "32MiB", NULL) < 0 ||
        rh_lib_set(lib, "temp-dir", folder, NULL) < 0)
        abort();
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
}

/* Only what is not zero, so that the file has holes. */
static void put_vhdx(const uint8_t *data, size_t size)
{
    static uint8_t file[VHDX_FILE];
    int fd = open(in, O_RDWR | O_CREAT | O_TRUNC, 0600);

    vhdx_lay_out(file, data, size);
    if (fd < 0 || ftruncate(fd, VHDX_FILE) < 0)
        abort();
    for (off_t at = 0; at < VHDX_FILE; at += 4096)
        if (!rh_all_zero(file + at, 4096) &&
            pwrite(fd, file + at, 4096, at) != 4096)
            abort();
    close(fd);
}

static void put_files(const uint8_t *data, size_t size)
{
    const uint8_t *mark = memmem(data, size, "\n----\n", 6);
    size_t first = mark ? (size_t)(mark - data) + 1 : size;
    uint8_t *copy;

    if (size >= 8 && !memcmp(data, "vhdxfile", 8)) {
        put_vhdx(data + 8, size - 8);
        return;
    }
    copy = malloc(first + 1);
    if (!copy)
        abort();
    if (first)
        memcpy(copy, data, first);
    if (first >= 8 && (!memcmp(copy, "conectix", 8) ||
                       (first >= VHD_FOOTER &&
                        !memcmp(copy + first - VHD_FOOTER, "conectix", 8))))
        vhd_mend(copy, first);
    put(in, copy, first);
    free(copy);
    if (mark)
        put(beside, mark + 6, size - first - 5);
}

/* --- the ways in and out -------------------------------------------------- */

static struct choice choose(const uint8_t *data)
{
    static const char *const formats[] = {"qcow2", "raw", "vhd", "vhd-fixed"};
    static const char *const packings[] = {NULL, "keep", "zlib", "zstd"};
    static const char *const clusters[] = {NULL, "4096", "64KiB", "2MiB"};

    return (struct choice){
        .format = formats[data[0] & 3],
        .to_pipe = data[0] & 4,
        .from_pipe = data[0] & 8,
        .as_raw = (data[0] & 0x30) == 0x30,
        .compress = packings[data[1] & 3],
        .cluster = clusters[data[1] >> 2 & 3],
    };
}

/* All of "in" waiting in a pipe that is standard input. */
static bool feed(int *ret_before)
{
    struct stat st;
    int ends[2], fd = open(in, O_RDONLY);
    char buf[4096];
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0 || pipe(ends) < 0)
        abort();
    if (fcntl(ends[1], F_SETPIPE_SZ, PIPE) < PIPE || st.st_size > PIPE) {
        close(ends[0]), close(ends[1]), close(fd);
        return false;
    }
    while ((n = read(fd, buf, sizeof buf)) > 0)
        if (write(ends[1], buf, (size_t)n) != n)
            abort();
    close(fd), close(ends[1]);
    *ret_before = dup(STDIN_FILENO);
    if (dup2(ends[0], STDIN_FILENO) < 0)
        abort();
    close(ends[0]);
    return true;
}

static void put_back(int before, int fd)
{
    if (before < 0)
        close(fd);
    else if (dup2(before, fd) < 0)
        abort();
    if (before >= 0)
        close(before);
}

static rh_disk *open_source(const struct choice *c, rh_error **err)
{
    const char *format = c->as_raw ? "raw" : NULL;
    rh_disk *d;
    int before;

    if (!c->from_pipe || !feed(&before))
        return rh_disk_open(lib, in, format, err);
    d = rh_disk_open(lib, "-", format, err);
    put_back(before, STDIN_FILENO);
    return d;
}

static int write_disk(rh_disk *d, const struct choice *c, rh_error **err)
{
    rh_options *o = rh_options_new();
    int before = -1, fd, done;

    rh_options_add(o, "format", c->format, NULL);
    if (c->compress)
        rh_options_add(o, "compress", c->compress, NULL);
    if (c->cluster)
        rh_options_add(o, "cluster-size", c->cluster, NULL);
    if (!c->to_pipe) {
        done = rh_disk_convert(d, out, o, err);
    } else {
        fd = open(out, O_WRONLY | O_CREAT, 0600);
        before = dup(STDOUT_FILENO);
        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
            abort();
        close(fd);
        done = rh_disk_convert(d, "-", o, err);
        put_back(before, STDOUT_FILENO);
        if (done < 0)
            unlink(out);
    }
    rh_options_free(o);
    return done;
}

/* --- judging ---------------------------------------------------------------
 */

/* Bytes [at, at + n) of `d`; zeros behind its end. */
static int read_padded(rh_disk *d, uint8_t *buf, size_t n, uint64_t at,
                       rh_error **err)
{
    uint64_t left = rh_disk_size(d) - RH_MIN(rh_disk_size(d), at);
    size_t some = (size_t)RH_MIN((uint64_t)n, left);

    memset(buf + some, 0, n - some);
    return some ? rh_disk_read(d, buf, some, at, err) : 0;
}

static void compare(rh_disk *source, rh_disk *result, bool must_read)
{
    static uint8_t a[STEP], b[STEP];
    uint64_t size = rh_disk_size(source), end = rh_disk_size(result);
    rh_error *err = NULL;

    if (end < size || end >= size + 512)
        wrong("the result has another size", NULL);
    for (uint64_t at = 0; at < end; at += STEP) {
        size_t n = (size_t)RH_MIN(end - at, (uint64_t)STEP);

        if (read_padded(result, b, n, at, &err) < 0)
            wrong("the result does not read", err);
        if (read_padded(source, a, n, at, &err) < 0) {
            if (must_read)
                wrong("the source reads only once", err);
            rh_error_free(err);
            return;
        }
        if (memcmp(a, b, n) != 0)
            wrong("the result differs from the source", NULL);
    }
}

static void judge_result(const struct choice *c)
{
    const char *format = !strcmp(c->format, "raw") ? "raw" : NULL;
    rh_error *err = NULL;
    rh_disk *result = rh_disk_open(lib, out, format, &err);
    rh_disk *source;

    if (!result || rh_disk_check(result, &err) < 0)
        wrong("the result is not sound", err);
    if (rh_disk_problem(result, 0, NULL))
        wrong(rh_disk_problem(result, 0, NULL), NULL);
    /* What came forward may be refused by its tables. */
    source = rh_disk_open(lib, in, c->as_raw ? "raw" : NULL, &err);
    if (source)
        compare(source, result, !c->from_pipe);
    else if (!c->from_pipe)
        wrong("the source opens only once", err);
    rh_disk_free(source);
    rh_disk_free(result);
    rh_error_free(err);
}

static void judge_refusal(rh_error *err)
{
    const struct dirent *e;
    DIR *dir = opendir(folder);

    if (!rh_error_message(err)[0] || !rh_error_hint(err)[0] ||
        !strcmp(rh_error_id(err), "BUG"))
        wrong("refused, but not why", err);
    while (dir && (e = readdir(dir)))
        if (strstr(e->d_name, "out"))
            wrong("something is left", err);
    if (dir)
        closedir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choice c;
    rh_error *err = NULL;
    rh_disk *d;

    if (size < CHOICES)
        return 0;
    start();
    c = choose(data);
    put_files(data + CHOICES, size - CHOICES);
    d = open_source(&c, &err);
    if (d && write_disk(d, &c, &err) == 0)
        judge_result(&c);
    else
        judge_refusal(err);
    rh_disk_free(d);
    rh_error_free(err);
    empty_folder();
    return 0;
}
