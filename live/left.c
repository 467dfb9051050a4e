/* left.c - what is being made on platforms, so that it is taken away by whoever
 * comes after a run that was killed.
 *
 * A note is a file of its own below the user's state (base/state.h): one line
 * of JSON before the thing is made, a second one with its id afterwards.  It is
 * locked as long as its run lives, and gone when the thing is.  A thing is
 * known by its name, which nobody else has, and by its id where that came. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/out.h"
#include "base/random.h"
#include "base/state.h"
#include "live/live.h"

enum {
    NOTE_MOST = 64 * 1024, /* bytes */
    SETTLED = 3600,        /* seconds until what is not there will not come */
    NAME_BYTES = 8,
};

struct rh_live_left {
    rh_lib *lib;
    char *name, *path; /* path: NULL where it could not be noted */
    int fd;
};

static char *server_of(const struct rh_live *live)
{
    return rh_printf("%s://%s", live->platform->scheme, live->server);
}

/* Still the file of that name? */
static bool is_there(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink;
}

/* --- noting --------------------------------------------------------------- */

static int open_note(struct rh_live_left *l, const char *folder)
{
    l->path = rh_printf("%s/%s", folder, l->name);
    l->fd = open(l->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (l->fd < 0 || flock(l->fd, LOCK_EX) < 0)
        return -1;
    if (is_there(l->fd))
        return 0;
    errno = EBUSY; /* somebody cleaned up in this very moment */
    return -1;
}

static int put_line(struct rh_live_left *l, const json_t *line)
{
    RH_AUTO(rh_freep) char *text = json_dumps(line, JSON_COMPACT);
    RH_AUTO(rh_freep) char *whole = rh_printf("%s\n", text);
    struct stat st;

    if (fstat(l->fd, &st) < 0 ||
        rh_pwrite_all(l->fd, whole, strlen(whole), (uint64_t)st.st_size,
                      l->path, NULL) < 0)
        return -1;
    return fsync(l->fd);
}

static int put_note(struct rh_live_left *l, const struct rh_live_vm *vm,
                    const char *kind)
{
    RH_AUTO(rh_freep) char *folder = rh_state_path("sources");
    RH_AUTO(rh_freep) char *server = server_of(vm->live);
    RH_AUTO(rh_closep) int dir = -1;
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:s}", "server", server,
                             "vm", vm->id, "vm_name", vm->name ? vm->name : "",
                             "kind", kind, "name", l->name);
    int failed = rh_make_folders(folder, 0700) < 0 ||
                 open_note(l, folder) < 0 || put_line(l, line) < 0;

    json_decref(line);
    if (failed)
        return -1;
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : fsync(dir);
}

struct rh_live_left *rh_live_left_note(const struct rh_live_vm *vm,
                                       const char *kind, const char *head,
                                       rh_error **err)
{
    struct rh_live_left *l;
    char hex[2 * NAME_BYTES + 1];

    if (rh_random_hex(hex, NAME_BYTES, err) < 0)
        return NULL;
    l = rh_new0(struct rh_live_left);
    l->lib = vm->lib;
    l->fd = -1;
    l->name = rh_printf("%s%s", head, hex);
    if (put_note(l, vm, kind) == 0)
        return l;
    rh_log(vm->lib, RH_LOG_WARN,
           _("%s: \"%s\", which is being made there, cannot be noted (%s: %s): "
             "should this run be killed, remove it by hand"),
           vm->name, l->name, l->path ? l->path : "?", strerror(errno));
    return l;
}

const char *rh_live_left_name(const struct rh_live_left *l)
{
    return l->name;
}

void rh_live_left_made(struct rh_live_left *l, const char *id)
{
    json_t *line = l->fd < 0 ? NULL : json_pack("{s:s}", "id", id);

    if (line && put_line(l, line) < 0)
        rh_log(l->lib, RH_LOG_INFO, "%s: cannot be written", l->path);
    json_decref(line);
}

void rh_live_left_end(struct rh_live_left *l, bool gone)
{
    if (!l)
        return;
    if (gone && l->fd >= 0)
        unlink(l->path);
    rh_closep(&l->fd);
    free(l->path);
    free(l->name);
    free(l);
}

/* --- taking away ---------------------------------------------------------- */

struct note {
    json_t *line; /* of the thing */
    char *id;     /* NULL: it is not known whether it came to be */
    time_t when;
};

static const char *text_of(const struct note *n, const char *key)
{
    const char *text = json_string_value(json_object_get(n->line, key));

    return text ? text : "";
}

static void note_free(struct note *n)
{
    json_decref(n->line);
    free(n->id);
}

static json_t *line_at(const char *text, size_t n)
{
    json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(line))
        return line;
    json_decref(line);
    return NULL;
}

/* false: the note was cut short, so nothing was made. */
static bool read_note(int fd, struct note *ret)
{
    RH_AUTO(rh_freep) char *text = rh_malloc(NOTE_MOST);
    ssize_t n = pread(fd, text, NOTE_MOST - 1, 0);
    struct stat st;
    json_t *second;
    char *end;

    text[n > 0 ? n : 0] = '\0';
    end = strchr(text, '\n');
    if (!end || fstat(fd, &st) < 0)
        return false;
    ret->when = st.st_mtime;
    ret->line = line_at(text, (size_t)(end - text));
    second = line_at(end + 1, strlen(end + 1));
    ret->id = rh_strdup(json_string_value(json_object_get(second, "id")));
    json_decref(second);
    return ret->line != NULL;
}

/* The VM is gone, and with it what was made of it; or its snapshot is. */
static int take_snapshot(struct rh_live *live, rh_lib *lib, struct note *n,
                         bool *ret_there, rh_error **err)
{
    struct rh_live_vm *vm = rh_live_vm_of_id(lib, live, text_of(n, "vm"), err);
    RH_AUTO(rh_freep) char *id = NULL;
    int failed = 0;

    if (!vm)
        return -1;
    failed = live->platform->find_snapshot(vm, text_of(n, "name"), &id, err);
    *ret_there = !failed && id && (!n->id || !strcmp(n->id, id));
    if (*ret_there)
        failed = live->platform->unsnapshot(vm, id, err);
    rh_live_vm_free(vm);
    return failed;
}

static int take_thing(struct rh_live *live, rh_lib *lib, struct note *n,
                      bool *ret_there, rh_error **err)
{
    const struct rh_live_platform *p = live->platform;
    const char *kind = text_of(n, "kind");

    if (!strcmp(kind, "snapshot") && p->find_snapshot && p->unsnapshot)
        return take_snapshot(live, lib, n, ret_there, err);
    if (!strcmp(kind, "image") && p->unimage)
        return p->unimage(live, text_of(n, "name"), n->id, ret_there, err);
    return rh_fail(err, RH_ERR_UNAVAILABLE,
                   "this version does not know what \"%.40s\" is", kind);
}

/* The note is locked.  1: taken away, the note may go; 0: not there, likewise;
 * -1: it stays. */
static int take_noted(struct rh_live *live, rh_lib *lib, struct note *n,
                      rh_error **err)
{
    rh_error *why = NULL;
    bool there = false;
    int failed = take_thing(live, lib, n, &there, &why);

    if (failed && rh_error_number(why) == RH_ERR_LIVE_NOT_FOUND &&
        !strcmp(text_of(n, "kind"), "snapshot"))
        failed = 0, there = false;
    if (failed && err && !*err) {
        *err = RH_TAKE(why);
        rh_error_subject(err, text_of(n, "name"));
    }
    rh_error_free(why);
    if (failed)
        return -1;
    if (there) {
        rh_log(lib, RH_LOG_WARN,
               _("%s: \"%s\", which an interrupted run has left there, was "
                 "removed"),
               text_of(n, "vm_name"), text_of(n, "name"));
        return 1;
    }
    /* Asked for, and its run killed: the platform may still be at it. */
    return n->id || time(NULL) - n->when > SETTLED ? 0 : -1;
}

static int take_one(struct rh_live *live, rh_lib *lib, int dir,
                    const char *name, size_t *ret_count, rh_error **err)
{
    RH_AUTO(rh_closep)
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    RH_AUTO(note_free) struct note n = {0};
    rh_error *why = NULL;
    int result;

    /* Whoever is at it lives; or it is gone already. */
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_there(fd))
        return 0;
    if (!read_note(fd, &n)) {
        unlinkat(dir, name, 0);
        return 0;
    }
    /* Before 0.2.0 it stood there as it had been typed. */
    if (!rh_live_is_at(live, text_of(&n, "server")))
        return 0;
    result = take_noted(live, lib, &n, &why);
    if (result >= 0)
        unlinkat(dir, name, 0);
    *ret_count += result > 0;
    if (why && err && !*err)
        *err = RH_TAKE(why);
    result = why ? -1 : 0;
    rh_error_free(why);
    return result;
}

int rh_live_take_left(struct rh_live *live, rh_lib *lib, size_t *ret_count,
                      rh_error **err)
{
    RH_AUTO(rh_freep) char *folder = rh_state_path("sources");
    DIR *d = opendir(folder);
    rh_error *first = NULL;
    int failed = 0;

    *ret_count = 0;
    if (!d && errno != ENOENT) { /* that: nobody has left anything */
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                      "cannot see what earlier runs have left");
        return rh_error_subject(err, folder);
    }
    for (struct dirent *e; d && (e = readdir(d));) {
        if (rh_go_on(lib, &first) < 0) {
            failed = -1;
            break;
        }
        if (!strncmp(e->d_name, "rehost-", 7))
            failed |=
                take_one(live, lib, dirfd(d), e->d_name, ret_count, &first);
    }
    if (d)
        closedir(d);
    if (first && err && !*err)
        *err = RH_TAKE(first);
    rh_error_free(first);
    return failed;
}

void rh_live_tidy(struct rh_live *live, rh_lib *lib)
{
    rh_error *why = NULL;
    size_t count;
    bool done;

    pthread_mutex_lock(&live->lock);
    done = live->tidied;
    live->tidied = true;
    pthread_mutex_unlock(&live->lock);
    if (!done && rh_live_take_left(live, lib, &count, &why) < 0)
        rh_log(lib, RH_LOG_WARN,
               _("what an interrupted run has left at the source cannot be "
                 "removed: %s"),
               rh_error_message(why));
    rh_error_free(why);
}
