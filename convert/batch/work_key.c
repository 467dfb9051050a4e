/* work_key.c - a source is what its files say from outside: reading 300 VMs
 * again to learn that nothing changed would take as long as converting them.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/batch/work_key.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"
#include "convert/source_stamp.h"
#include "rehost/rehost.h"

enum {
    EDGE = 65536,
    TEXT_MOST = 1024 * 1024,
    WHOLE_MOST = 16 * 1024 * 1024,
    FILES_MOST = 8192
};

static void add_text(struct rh_digest *d, const char *text)
{
    rh_digest_add(d, text, strlen(text) + 1);
}

/* The path as the job file has it. */
static void add_path(struct rh_digest *d, const struct rh_jobs *jobs,
                     const char *path)
{
    size_t n = strlen(jobs->folder);

    if (!strncmp(path, jobs->folder, n) && path[n] == '/')
        path += n + 1;
    add_text(d, path);
}

static void add_range(struct rh_digest *d, int fd, off_t at, size_t n)
{
    RH_AUTO(rh_freep) char *buffer = rh_malloc(EDGE);

    while (n) {
        ssize_t got = pread(fd, buffer, RH_MIN(n, (size_t)EDGE), at);

        if (got <= 0)
            return;
        rh_digest_add(d, buffer, (size_t)got);
        at += got;
        n -= (size_t)got;
    }
}

static void add_file(struct rh_digest *d, const struct rh_jobs *jobs,
                     const char *path, bool whole)
{
    RH_AUTO(rh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    RH_AUTO(rh_freep) char *facts = NULL;
    struct stat st;

    add_path(d, jobs, path);
    if (fd < 0 || fstat(fd, &st) < 0) {
        add_text(d, "absent");
        return;
    }
    whole = whole && st.st_size <= WHOLE_MOST;
    facts = rh_printf("%lld %lld.%09ld", (long long)st.st_size,
                      whole ? 0 : (long long)st.st_mtim.tv_sec,
                      whole ? 0 : st.st_mtim.tv_nsec);
    add_text(d, facts);
    if (!S_ISREG(st.st_mode))
        return;
    if (whole || st.st_size <= 2 * EDGE) {
        add_range(d, fd, 0, (size_t)st.st_size);
    } else {
        add_range(d, fd, 0, EDGE);
        add_range(d, fd, st.st_size - EDGE, EDGE);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The text of a descriptor; "" when it is none, or too large to be one. */
static char *descriptor_text(const char *path)
{
    RH_AUTO(rh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = rh_calloc(1, TEXT_MOST + 1);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_MOST);

    if (n < 0 || strlen(text) != (size_t)n)
        text[0] = '\0';
    return text;
}

/* Files of a folder that begin as `stem` does, or that `text` names. */
static void list_files(const char *folder, const char *stem, const char *text,
                       rh_paths *ret)
{
    DIR *d = opendir(folder);
    struct dirent *entry;

    while (d && ret->count < FILES_MOST && (entry = readdir(d)))
        if (entry->d_name[0] != '.' &&
            (!strncmp(entry->d_name, stem, strlen(stem)) ||
             strstr(text, entry->d_name)))
            *rh_vec_add(ret) = rh_printf("%s/%s", folder, entry->d_name);
    if (d)
        closedir(d);
    if (ret->count)
        qsort(ret->items, ret->count, sizeof *ret->items, by_name);
}

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n > m && rh_same_word(name + n - m, ending);
}

/* An OVA is all there is; a folder is all in it; a descriptor or a disk comes
 * with the files beside it that it names, or whose names begin as its own. */
static void add_source(struct rh_digest *d, const struct rh_jobs *jobs,
                       const char *source)
{
    RH_AUTO(rh_freep) char *stem = NULL, *folder = NULL, *text = NULL;
    RH_AUTO(rh_paths_free) rh_paths files = {0};
    const char *slash = strrchr(source, '/');
    bool descriptor = ends_in(source, ".ovf") || ends_in(source, ".vmx");
    struct stat st;

    add_path(d, jobs, source);
    if (rh_source_is_remote(source))
        return;
    if (stat(source, &st) == 0 && S_ISDIR(st.st_mode)) {
        list_files(source, "", "", &files);
    } else {
        add_file(d, jobs, source, descriptor);
        if (!descriptor && strcasestr(slash ? slash + 1 : source, ".ova"))
            return;
        stem = rh_job_source_name(source);
        folder = slash ? rh_strndup(source, (size_t)(slash - source))
                       : rh_strdup(".");
        text = descriptor ? descriptor_text(source) : rh_strdup("");
        list_files(*folder ? folder : "/", stem, text, &files);
    }
    for (size_t i = 0; i < files.count; i++)
        add_file(d, jobs, files.items[i], false);
}

void rh_work_key(const struct rh_jobs *jobs, const struct rh_job_vm *vm,
                 const char *stamp, char ret_hex[65])
{
    RH_AUTO(rh_digest_freep) struct rh_digest *d = rh_digest_new("sha256");
    char hex[RH_DIGEST_HEX];

    add_text(d, rh_version());
    add_text(d, vm->named ? vm->name : "");
    add_text(d, vm->deliver ? vm->deliver : "");
    for (size_t i = 0; i < vm->options.list.count; i++) {
        add_text(d, vm->options.list.items[i].key);
        add_path(d, jobs, vm->options.list.items[i].value);
    }
    for (size_t i = 0; i < vm->files.count; i++)
        add_file(d, jobs, vm->files.items[i], true);
    for (size_t i = 0; i < vm->sources.count; i++)
        add_source(d, jobs, vm->sources.items[i]);
    if (stamp)
        add_text(d, stamp);
    rh_digest_hex(d, hex);
    memcpy(ret_hex, hex, 64);
    ret_hex[64] = '\0';
}
