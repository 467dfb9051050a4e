/* journal.c - what a delivery has made on the server, so that it can be taken
 * away again by whoever comes after a run that was killed.
 *
 * A file of JSON lines, one for each thing; locked while its run lives, gone
 * when nothing is left. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/out.h"
#include "base/state.h"
#include "deliver/remote.h"

struct rh_journal {
    char *folder, *path;
    char *key; /* "URL NAME" of a delivery without a result; or NULL */
    int fd;
};

/* The first line of a journal without a result says whose it is. */
static const char head_kind[] = "delivery";

/* In a result's own folder the URL is enough; elsewhere (`dir` is the result,
 * or NULL) each result has a journal of its own. */
static char *file_name(const char *url)
{
    char hex[65];

    rh_sha256_hex(url, strlen(url), hex);
    hex[16] = '\0';
    return rh_printf("%s.jsonl", hex);
}

static char *name_elsewhere(const char *dir, const char *url)
{
    RH_AUTO(rh_freep)
    char *here = dir && dir[0] != '/' ? getcwd(NULL, 0) : NULL;
    RH_AUTO(rh_freep) char *real = dir ? realpath(dir, NULL) : NULL;
    RH_AUTO(rh_freep)
    char *both = real ? rh_printf("%s\n%s", real, url)
                      : rh_printf("%s%s%s\n%s", here ? here : "",
                                  here ? "/" : "", dir ? dir : "", url);
    char hex[65];

    rh_sha256_hex(both, strlen(both), hex);
    hex[16] = '\0';
    return rh_printf("%s.jsonl", hex);
}

static int open_in(struct rh_journal *j, char *folder, const char *name)
{
    free(j->folder);
    free(j->path);
    j->folder = folder;
    j->path = rh_printf("%s/%s", folder, name);
    if (rh_make_folders(folder, 0700) < 0)
        return -1;
    j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                 0600);
    return j->fd;
}

static bool is_head(const json_t *line)
{
    const char *kind = json_string_value(json_object_get(line, "kind"));

    return kind && !strcmp(kind, head_kind);
}

/* The lines of an earlier run; one that was cut short is left out. */
static json_t *read_left(int fd, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    json_t *left = json_array();
    char part[4096];
    ssize_t n;

    while ((n = pread(fd, part, sizeof part, (off_t)b.length)) > 0 &&
           b.length < RH_LIMIT_DESCRIPTOR)
        rh_buf_add(&b, part, (size_t)n);
    if (n < 0) {
        rh_fail_errno(err, RH_ERR_FILE_READ, errno, "cannot read the journal");
        json_decref(left);
        return NULL;
    }
    for (const char *p = b.data; p && *p;) {
        size_t length = strcspn(p, "\n");
        json_t *line = p[length] ? json_loadb(p, length, 0, NULL) : NULL;

        if (line && !is_head(line))
            json_array_append(left, line);
        json_decref(line);
        p += length + (p[length] == '\n');
    }
    return left;
}

struct rh_journal *rh_journal_open(const char *dir, const char *url,
                                   json_t **ret_left, rh_error **err)
{
    RH_AUTO(rh_journal_closep)
    struct rh_journal *j = rh_new0(struct rh_journal);
    RH_AUTO(rh_freep) char *name = file_name(url);
    RH_AUTO(rh_freep) char *other = name_elsewhere(dir, url);
    struct stat st;

    j->fd = -1;
    j->key = rh_strdup(dir ? NULL : url);
    /* A result that is gone is not made again to have a journal. */
    if ((!dir || access(dir, F_OK) < 0 ||
         open_in(j, rh_printf("%s/.push", dir), name) < 0) &&
        open_in(j, rh_state_path(NULL), other) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot write the journal");
        rh_error_subject(err, j->path);
        return NULL;
    }
    /* A journal that its run has just removed is no lock any more. */
    if (flock(j->fd, LOCK_EX | LOCK_NB) < 0 || fstat(j->fd, &st) < 0 ||
        !st.st_nlink) {
        rh_fail(err, RH_ERR_HTTP_BUSY,
                "another run is delivering this to %s just now", url);
        rh_hint(err, "wait for it to end");
        rh_error_subject(err, j->path);
        return NULL;
    }
    *ret_left = read_left(j->fd, err);
    if (!*ret_left)
        return NULL;
    if (!json_array_size(*ret_left)) {
        json_decref(*ret_left);
        *ret_left = NULL;
    }
    return RH_TAKE(j);
}

static int clean_all(struct rh_journal *j, const json_t *left,
                     rh_journal_clean *clean, void *state, rh_error **err)
{
    for (size_t n = json_array_size(left); n > 0; n--) {
        const json_t *line = json_array_get(left, n - 1);
        const char *kind = json_string_value(json_object_get(line, "kind"));
        const char *id = json_string_value(json_object_get(line, "id"));

        if (kind && id && clean(state, j, kind, id, err) < 0)
            return -1;
    }
    return 0;
}

struct rh_journal *rh_journal_resume(rh_lib *lib, const char *dir,
                                     const char *url, rh_journal_keep *keep,
                                     rh_journal_clean *clean, void *state,
                                     size_t *ret_count, rh_error **err)
{
    json_t *left = NULL;
    RH_AUTO(rh_journal_closep)
    struct rh_journal *j = rh_journal_open(dir, url, &left, err);
    size_t count = json_array_size(left);
    bool kept;
    int failed;

    if (!j)
        return NULL;
    kept = count && keep && keep(state, left);
    if (count && !kept)
        rh_log(lib, RH_LOG_WARN,
               "%s: an earlier run was interrupted; what it left is taken "
               "away first",
               dir ? dir : url);
    failed = clean_all(j, left, clean, state, err);
    json_decref(left);
    if (failed)
        return NULL;
    if (!kept)
        rh_journal_done(j);
    if (ret_count)
        *ret_count = count;
    return RH_TAKE(j);
}

struct rh_journal *rh_journal_begin(rh_lib *lib, const char *dir,
                                    const char *url, rh_journal_clean *clean,
                                    void *state, size_t *ret_count,
                                    rh_error **err)
{
    return rh_journal_resume(lib, dir, url, NULL, clean, state, ret_count, err);
}

/* --- all of a URL
 * --------------------------------------------------------------------- */

static void dir_freep(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* "URL NAME", of which the URL is the asked one; NULL: another's. */
static char *key_in(int folder, const char *name, const char *url)
{
    char text[4096];
    RH_AUTO(rh_closep)
    int fd =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    json_t *line;
    const char *key;
    char *ret = NULL;

    if (n <= 0)
        return NULL;
    text[n] = '\0';
    line = json_loadb(text, strcspn(text, "\n"), 0, NULL);
    key = is_head(line) ? json_string_value(json_object_get(line, "id")) : NULL;
    if (key && !strncmp(key, url, strlen(url)) && key[strlen(url)] == ' ')
        ret = rh_strdup(key);
    json_decref(line);
    return ret;
}

static int clean_key(rh_lib *lib, const char *key, rh_journal_clean *clean,
                     void *state, size_t *ret_count, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *e = NULL;
    size_t count = 0;
    RH_AUTO(rh_journal_closep)
    struct rh_journal *j =
        rh_journal_begin(lib, NULL, key, clean, state, &count, &e);

    *ret_count += count;
    if (j || rh_error_number(e) == RH_ERR_HTTP_BUSY) /* it is at work */
        return 0;
    return rh_error_again(err, e);
}

int rh_journal_clean_all(rh_lib *lib, const char *url, rh_journal_clean *clean,
                         void *state, size_t *ret_count, rh_error **err)
{
    RH_AUTO(rh_freep) char *folder = rh_state_path(NULL);
    RH_AUTO(dir_freep) DIR *d = opendir(folder);
    struct dirent *entry;
    int failed = 0;

    *ret_count = 0;
    while (d && (entry = readdir(d))) {
        RH_AUTO(rh_freep) char *key = key_in(dirfd(d), entry->d_name, url);

        if (key)
            failed |= clean_key(lib, key, clean, state, ret_count, err);
    }
    return failed;
}

static int add_line(const struct rh_journal *j, const char *kind,
                    const char *id, rh_error **err)
{
    json_t *line = json_pack("{s:s, s:s}", "kind", kind, "id", id);
    RH_AUTO(rh_freep) char *text = json_dumps(line, JSON_COMPACT);
    RH_AUTO(rh_freep) char *whole = rh_printf("%s\n", text);
    size_t n = strlen(whole);

    json_decref(line);
    if (write(j->fd, whole, n) == (ssize_t)n && fdatasync(j->fd) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "cannot write the journal");
    return rh_error_subject(err, j->path);
}

int rh_journal_add(struct rh_journal *j, const char *kind, const char *id,
                   rh_error **err)
{
    struct stat st;

    if (j->key && fstat(j->fd, &st) == 0 && st.st_size == 0 &&
        add_line(j, head_kind, j->key, err) < 0)
        return -1;
    return add_line(j, kind, id, err);
}

void rh_journal_close(struct rh_journal *j)
{
    struct stat st;

    if (!j)
        return;
    if (j->fd >= 0 && fstat(j->fd, &st) == 0 && st.st_size == 0) {
        unlink(j->path);
        rmdir(j->folder);
    }
    rh_closep(&j->fd);
    free(j->folder);
    free(j->path);
    free(j->key);
    free(j);
}

void rh_journal_done(struct rh_journal *j)
{
    if (j && j->fd >= 0 && ftruncate(j->fd, 0) < 0)
        unlink(j->path);
}
