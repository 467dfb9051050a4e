/* staged.c - what is known of volumes whose VM is yet to be made.
 *
 *     rehost staged 1 STORAGE VMID
 *     DISK SIZE STORAGE:NAME
 *
 * A line that was cut short, by a crash, was never acted upon. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/local/staged.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/local/node.h"

enum { TEXT_MAX = 65536 };
static const char head[] = "rehost staged 1 ";
static const char stem[] = "staged-";

static int failed(rh_error **err)
{
    return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                         "cannot read or write what is known of the node's "
                         "volumes");
}

static void forget(struct rh_staged *s)
{
    for (size_t i = 0; i < s->volumes.count; i++) {
        free(s->volumes.items[i].name);
        free(s->volumes.items[i].id);
    }
    s->volumes.count = 0;
    free(s->vmid);
    s->vmid = NULL;
}

/* --- lines
 * ------------------------------------------------------------------------- */

static void set(struct rh_staged *s, size_t disk, uint64_t size,
                const char *name)
{
    struct rh_staged_volume *v;

    while (s->volumes.count <= disk)
        rh_vec_add(&s->volumes);
    v = &s->volumes.items[disk];
    free(v->name);
    free(v->id);
    *v = (struct rh_staged_volume){.name = rh_strdup(name), .size = size};
}

/* A volume's name is an argument of programs. */
static bool is_name(const char *storage, const char *name)
{
    size_t n = strlen(storage);

    return !strncmp(name, storage, n) && !strncmp(name + n, ":vm-", 4) &&
           strlen(name) < 300 && !strpbrk(name + n + 1, "/: \t");
}

static bool parse_volume(struct rh_staged *s, const char *storage, char *line)
{
    char *size = strchr(line, ' '), *name = size ? strchr(size + 1, ' ') : NULL;
    uint64_t disk, bytes;

    if (!name)
        return false;
    *size++ = '\0';
    *name++ = '\0';
    if (!rh_parse_u64(line, &disk) || disk >= RH_STAGED_DISKS ||
        !rh_parse_u64(size, &bytes) || !is_name(storage, name))
        return false;
    set(s, (size_t)disk, bytes, name);
    return true;
}

static bool parse_head(struct rh_staged *s, const char *storage,
                       const char *line)
{
    size_t n = strlen(storage);
    const char *rest = line + sizeof head - 1;

    if (strncmp(line, head, sizeof head - 1) || strncmp(rest, storage, n) ||
        rest[n] != ' ' || !rh_node_is_number(rest + n + 1))
        return false;
    s->vmid = rh_strdup(rest + n + 1);
    return true;
}

bool rh_staged_parse(struct rh_staged *s, const char *storage, char *text)
{
    bool good = true;
    char *end;

    forget(s);
    for (char *p = text; good && (end = strchr(p, '\n')); p = end + 1) {
        *end = '\0';
        good =
            s->vmid ? parse_volume(s, storage, p) : parse_head(s, storage, p);
    }
    if (!good)
        forget(s);
    return good;
}

static int add_line(struct rh_staged *s, const char *line, rh_error **err)
{
    size_t n = strlen(line);

    return write(s->fd, line, n) == (ssize_t)n && fdatasync(s->fd) == 0 &&
                   fsync(s->folder) == 0
               ? 0
               : failed(err);
}

int rh_staged_begin(struct rh_staged *s, const char *storage, const char *vmid,
                    rh_error **err)
{
    RH_AUTO(rh_freep)
    char *line = rh_printf("%s%s %s\n", head, storage, vmid);

    if (ftruncate(s->fd, 0) < 0)
        return failed(err);
    forget(s);
    if (add_line(s, line, err) < 0)
        return -1;
    s->vmid = rh_strdup(vmid);
    return 0;
}

int rh_staged_note(struct rh_staged *s, size_t disk, uint64_t size,
                   const char *name, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *line =
        rh_printf("%zu %llu %s\n", disk, (unsigned long long)size, name);

    if (add_line(s, line, err) < 0)
        return -1;
    set(s, disk, size, name);
    return 0;
}

struct rh_staged_volume *rh_staged_find(const struct rh_staged *s,
                                        const char *name, uint64_t size)
{
    for (size_t i = 0; i < s->volumes.count; i++)
        if (s->volumes.items[i].name && s->volumes.items[i].size == size &&
            !strcmp(s->volumes.items[i].name, name))
            return &s->volumes.items[i];
    return NULL;
}

/* --- files
 * ------------------------------------------------------------------------- */

static char *file_name(const char *mark)
{
    return rh_printf("%s%s", stem, mark);
}

/* 1, or 0: it is longer than any of ours. */
static int read_text(int fd, char text[TEXT_MAX])
{
    ssize_t n = pread(fd, text, TEXT_MAX - 1, 0);

    if (n < 0)
        return -1;
    text[n] = '\0';
    return n < TEXT_MAX - 1;
}

static int read_file(struct rh_staged *s, const char *storage, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_malloc(TEXT_MAX);
    int got = read_text(s->fd, text);
    const char *end = got < 0 ? NULL : strrchr(text, '\n');
    off_t whole = end ? end + 1 - text : 0;

    if (got < 0)
        return failed(err);
    if (got && rh_staged_parse(s, storage, text))
        return ftruncate(s->fd, whole) < 0 ? failed(err) : 1;
    return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                   "what is known of this job's volumes is of another "
                   "storage, or was written by somebody else");
}

static int lock_file(struct rh_staged *s, const char *name, rh_error **err)
{
    struct stat st;

    /* One that its run has just removed is no lock any more. */
    if (flock(s->fd, LOCK_EX | LOCK_NB) == 0 && fstat(s->fd, &st) == 0 &&
        st.st_nlink)
        return 0;
    rh_fail(err, RH_ERR_HTTP_BUSY,
            "another run works on the volumes of this job");
    rh_hint(err, "wait for it to end");
    return rh_error_subject(err, name);
}

static int open_file(struct rh_staged *s, const char *name, bool make,
                     rh_error **err)
{
    s->fd = openat(s->folder, name,
                   O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
                       (make ? O_CREAT : 0),
                   0600);
    if (s->fd < 0 && errno == ENOENT && !make)
        return 0;
    if (s->fd < 0) {
        failed(err);
        return rh_error_subject(err, name);
    }
    return lock_file(s, name, err) < 0 ? -1 : 1;
}

int rh_staged_open(struct rh_staged *s, const char *storage, const char *mark,
                   bool make, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = file_name(mark);
    int got;

    *s = (struct rh_staged){.fd = -1, .folder = -1};
    s->folder = rh_node_folder(true, make, err);
    if (s->folder < 0)
        return make ? -1 : 0;
    got = open_file(s, name, make, err);
    if (got == 1)
        got = read_file(s, storage, err);
    if (got == 1)
        memcpy(s->mark, mark, RH_STAGED_MARK);
    else
        rh_staged_close(s);
    return got;
}

void rh_staged_end(struct rh_staged *s)
{
    RH_AUTO(rh_freep) char *name = file_name(s->mark);

    if (s->mark[0])
        unlinkat(s->folder, name, 0);
    rh_staged_close(s);
}

void rh_staged_close(struct rh_staged *s)
{
    forget(s);
    free(s->volumes.items);
    rh_closep(&s->fd);
    rh_closep(&s->folder);
    *s = (struct rh_staged){.fd = -1, .folder = -1};
}

/* --- numbers
 * ----------------------------------------------------------------------- */

static bool holds(int folder, const char *name, const char *vmid)
{
    RH_AUTO(rh_closep)
    int fd =
        openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char line[300];
    ssize_t n = fd < 0 ? -1 : pread(fd, line, sizeof line - 1, 0);
    const char *number;

    if (n <= 0)
        return false;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    number = strrchr(line, ' ');
    return !strncmp(line, head, sizeof head - 1) && number &&
           !strcmp(number + 1, vmid);
}

bool rh_staged_holds(const char *vmid, const char *mark)
{
    RH_AUTO(rh_freep) char *own = mark ? file_name(mark) : NULL;
    int folder = rh_node_folder(true, false, NULL);
    DIR *d = folder < 0 ? NULL : fdopendir(folder);
    const struct dirent *e;
    bool held = false;

    if (!d) {
        rh_closep(&folder);
        return false;
    }
    while (!held && (e = readdir(d)))
        held = !strncmp(e->d_name, stem, sizeof stem - 1) &&
               (!own || strcmp(e->d_name, own)) &&
               holds(folder, e->d_name, vmid);
    closedir(d);
    return held;
}
