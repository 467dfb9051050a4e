/* lib.c - settings, log, progress, cancel, temporary files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/lib.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/out.h"

int rh_go_on(rh_lib *lib, rh_error **err)
{
    for (; lib; lib = lib->of)
        if (atomic_load_explicit(&lib->cancelled, memory_order_relaxed))
            return rh_fail(err, RH_ERR_CANCELLED, "stopped on request");
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void rh_progress(rh_lib *lib, const char *stage, uint64_t done, uint64_t total)
{
    enum { TENTH = 100000000 };
    uint64_t now;

    if (!lib || !lib->progress)
        return;
    now = now_ns();
    if (now - lib->progress_last < TENTH && !(total && done >= total))
        return;
    lib->progress_last = now;
    lib->progress(lib->progress_user, stage, done, total);
}

void rh_log(rh_lib *lib, enum rh_log_level level, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *line = NULL;
    va_list ap;

    if (!lib || !lib->log)
        return;
    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    line = rh_printable(text);
    lib->log(lib->log_user, (int)level, line);
}

static void *find_kept(const rh_lib *lib, const struct rh_keep *kind)
{
    for (size_t i = 0; i < lib->kept.count; i++)
        if (lib->kept.items[i].kind == kind)
            return lib->kept.items[i].thing;
    return NULL;
}

void *rh_lib_keep(rh_lib *lib, const struct rh_keep *kind, rh_error **err)
{
    void *thing;

    while (lib->of)
        lib = lib->of;
    pthread_mutex_lock(&lib->lock);
    thing = find_kept(lib, kind);
    if (!thing) {
        thing = kind->make(err);
        if (thing)
            *rh_vec_add(&lib->kept) = (struct rh_kept){kind, thing};
    }
    pthread_mutex_unlock(&lib->lock);
    return thing;
}

void rh_lib_drop(rh_lib *lib)
{
    for (size_t i = 0; i < lib->kept.count; i++)
        lib->kept.items[i].kind->free(lib->kept.items[i].thing);
    free(lib->kept.items);
    lib->kept.items = NULL;
    lib->kept.count = lib->kept.room = 0;
}

const char *rh_temp_dir(const rh_lib *lib)
{
    const char *dir =
        lib && lib->temp_dir ? lib->temp_dir : secure_getenv("TMPDIR");

    return dir && dir[0] ? dir : "/var/tmp";
}

int rh_temp_write(const rh_lib *lib, int fd, const void *buf, size_t n,
                  uint64_t offset, const char *name, rh_error **err)
{
    const char *dir = rh_temp_dir(lib);

    if (rh_pwrite_all(fd, buf, n, offset, name, err) == 0)
        return 0;
    if (err && *err && rh_error_number(*err) == RH_ERR_NO_SPACE)
        rh_hint(err,
                "this is a temporary file: free space in %s, or name another "
                "folder with --temp-dir",
                dir);
    return -1;
}

int rh_temp_file(const rh_lib *lib, rh_error **err)
{
    const char *dir = rh_temp_dir(lib);
    RH_AUTO(rh_freep) char *name = NULL;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    /* Not every file system has O_TMPFILE. */
    name = rh_printf("%s/rehost-XXXXXX", dir);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot make a temporary file");
        return rh_error_subject(err, dir);
    }
    unlink(name);
    return fd;
}
