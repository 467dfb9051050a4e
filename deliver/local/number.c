/* number.c - the number of a VM that is being made, which other runs on the
 * node leave alone until it stands. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/state.h"
#include "deliver/local/node.h"
#include "deliver/local/staged.h"

/* Root's own: where all may write, anybody could take all numbers. */
static char *folder_path(bool lasting)
{
    const char *own = secure_getenv("REHOST_LOCK_DIR");
    const char *run = secure_getenv("XDG_RUNTIME_DIR");

    if (own && own[0] == '/')
        return rh_strdup(own);
    if (geteuid() == 0)
        return rh_strdup(lasting ? "/var/lib/rehost" : "/run/rehost");
    if (lasting)
        return rh_state_path("node");
    if (run && run[0] == '/')
        return rh_printf("%s/rehost", run);
    return rh_printf("/tmp/rehost-%u", (unsigned)geteuid());
}

/* Only the last part is made where all could have made what leads to it. */
static bool is_made(const char *path, bool lasting)
{
    if (lasting && geteuid() != 0)
        return rh_make_folders(path, 0700) == 0;
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

int rh_node_folder(bool lasting, bool make, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = folder_path(lasting);
    RH_AUTO(rh_closep) int fd = -1;
    struct stat st;
    int ret;

    if (!make || is_made(path, lasting))
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                      "cannot make or open the folder of locks");
        rh_hint(err, "it is no link and lies in a folder that is there; set "
                     "REHOST_LOCK_DIR to have it elsewhere");
        return rh_error_subject(err, path);
    }
    if (st.st_uid != geteuid() || (st.st_mode & 022)) {
        rh_fail(err, RH_ERR_FILE_OPEN,
                "the folder of locks can be written to by others");
        rh_hint(err, "remove it: it is made anew, with mode 0700");
        return rh_error_subject(err, path);
    }
    ret = fd;
    fd = -1;
    return ret;
}

static char *lock_name(const char *vmid)
{
    return rh_printf("vm-%s", vmid);
}

/* A file for each number that a run on this node has taken and made no VM of
 * yet: between the two lies the copy of all its disks.  1, or 0: another's. */
static int reserve(struct rh_node_facts *f, const char *vmid, rh_error **err)
{
    RH_AUTO(rh_closep) int folder = rh_node_folder(false, true, err);
    RH_AUTO(rh_freep) char *name = lock_name(vmid);
    RH_AUTO(rh_closep)
    int fd =
        folder < 0
            ? -1
            : openat(folder, name,
                     O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                     0600);
    struct stat st;
    bool locked;

    if (folder < 0)
        return -1;
    locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (fd < 0 || (!locked && errno != EWOULDBLOCK)) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                      "cannot lock the VM's number");
        return rh_error_subject(err, name);
    }
    /* One that its run has just removed is no lock any more. */
    if (!locked || fstat(fd, &st) < 0 || !st.st_nlink)
        return 0;
    f->reserved = true;
    f->lock = fd;
    fd = -1;
    return 1;
}

void rh_node_leave_number(struct rh_node_facts *f)
{
    RH_AUTO(rh_freep) char *name = f->reserved ? lock_name(f->vmid) : NULL;
    RH_AUTO(rh_closep)
    int folder = name ? rh_node_folder(false, true, NULL) : -1;

    if (!name)
        return;
    if (folder >= 0)
        unlinkat(folder, name, 0);
    close(f->lock);
    f->reserved = false;
}

/* The next that is free in the whole cluster, from `from` on; NULL: any. */
static char *next_number(rh_lib *lib, const char *from, rh_error **err)
{
    const char *const argv[] = {
        "pvesh", "get", "/cluster/nextid", from ? "--vmid" : NULL, from, NULL};
    char *text = rh_program_run(lib, argv, err);

    if (text)
        text[strcspn(text, "\n")] = '\0';
    return text;
}

/* Others take numbers at the same time. */
static int find_number(rh_lib *lib, struct rh_node_facts *f, rh_error **err)
{
    enum { TRIES = 1000 };
    RH_AUTO(rh_freep) char *candidate = next_number(lib, NULL, err);
    uint64_t number = 0;

    if (!candidate)
        return -1;
    if (!rh_node_is_number(candidate) || !rh_parse_u64(candidate, &number))
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "\"%.20s\" is no number of a VM", candidate);
    for (unsigned i = 0; i < TRIES; i++, number++) {
        RH_AUTO(rh_freep)
        char *vmid = rh_printf("%llu", (unsigned long long)number);
        RH_AUTO(rh_freep)
        char *there = i ? next_number(lib, vmid, NULL) : rh_strdup(vmid);

        int got;

        if (rh_go_on(lib, err) < 0)
            return -1;
        got = there ? reserve(f, vmid, err) : 0;
        if (got < 0)
            return -1;
        if (!got)
            continue;
        f->vmid = RH_TAKE(vmid);
        if (!rh_staged_holds(f->vmid, NULL))
            return 0;
        rh_node_leave_number(f);
        free(f->vmid);
        f->vmid = NULL;
    }
    return rh_fail(err, RH_ERR_DELIVERY_TAKEN, "no number for a VM is free");
}

int rh_node_number_is_free(rh_lib *lib, const char *vmid, bool *ret,
                           rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    RH_AUTO(rh_freep) char *there = next_number(lib, vmid, &why);

    *ret = there != NULL;
    if (there || strstr(rh_error_message(why), "already exists"))
        return rh_go_on(lib, err);
    return rh_error_again(err, why);
}

int rh_node_choose_number(rh_lib *lib, const char *asked, const char *mark,
                          struct rh_node_facts *f, rh_error **err)
{
    const char *status[] = {"qm", "status", NULL, NULL};
    RH_AUTO(rh_freep) char *found = NULL;
    int got;

    if (!asked && find_number(lib, f, err) < 0)
        return -1;
    if (asked) {
        if (!rh_node_is_number(asked))
            return rh_fail(err, RH_ERR_USAGE, "\"%.20s\" is no number of a VM",
                           asked);
        f->vmid = rh_strdup(asked);
        got = reserve(f, asked, err);
        if (got < 0)
            return -1;
        f->taken = !got || rh_staged_holds(asked, mark);
    }
    status[2] = f->vmid;
    found = rh_program_run(lib, status, NULL);
    f->taken |= found != NULL;
    return rh_go_on(lib, err);
}
