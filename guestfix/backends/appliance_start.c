/* appliance_start.c - starting the appliance, and who has it next. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/appliance.h"

#ifndef HAVE_LIBGUESTFS

void rh_appliance_free(struct rh_appliance *a)
{
    (void)a; /* there never is one */
}

bool rh_appliance_is_here(void)
{
    return false;
}

bool rh_appliance_is_whole(const struct rh_appliance *a)
{
    (void)a;
    return false;
}

void rh_appliance_leave(struct rh_session *s)
{
    (void)s;
}

#else

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/kvm.h"
#include "base/late.h"
#include "base/wait.h"
#include "guestfix/backends/kept.h"

/* clang-format off */
#define CALLS(X, p) \
    X(p, add_drive_opts) X(p, close) X(p, create_flags) X(p, free_version) \
    X(p, get_append) X(p, get_path) X(p, last_errno) X(p, last_error) \
    X(p, launch) X(p, pread) X(p, read_file) X(p, set_append) \
    X(p, set_autosync) X(p, set_backend) X(p, set_backend_settings) \
    X(p, set_error_handler) X(p, set_network) X(p, set_event_callback) \
    X(p, set_path) X(p, set_pgroup) X(p, set_tmpdir) X(p, upload) \
    X(p, version)
/* clang-format on */
RH_LATE_TABLE(guestfs, CALLS);

bool rh_appliance_is_here(void)
{
    return RH_LATE_LOAD("libguestfs.so.0", guestfs, NULL) == 0;
}

bool rh_appliance_is_whole(const struct rh_appliance *a)
{
    return a->whole;
}

int(rh_appliance_failed)(struct rh_appliance *a, const char *what,
                         rh_error **err)
{
    const char *why = a->why ? a->why : guestfs.last_error(a->g);
    rh_error *disk;

    switch (guestfs.last_errno(a->g)) {
    case ENOENT:
    case ENOTDIR:
    case ENODATA:
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there in the guest",
                       what);
    case ENOSPC:
        return rh_fail(err, RH_ERR_GUEST_FULL, "%s: no space left in the guest",
                       what);
    default:
        break;
    }
    /* A disk that cannot be read is another matter than a guest that is odd. */
    disk = rh_nbd_failure(a->server);
    if (!disk)
        return rh_fail(err, RH_ERR_GUEST_APPLIANCE, "%s: %s", what,
                       why ? why : "failed");
    if (err && !*err)
        *err = RH_TAKE(disk);
    rh_error_free(disk);
    return -1;
}

/* A file of one answer takes a tenth of the time of one that is streamed. */
enum { ONE_ANSWER = 1024 * 1024 };

/* Through a memory file: messages of the protocol hold 4 MB only. */
int rh_appliance_upload(struct rh_appliance *a, const char *path,
                        const void *bytes, size_t n, rh_error **err)
{
    int fd RH_AUTO(rh_closep) = memfd_create("rehost", MFD_CLOEXEC);
    RH_AUTO(rh_freep) char *name = rh_printf("/proc/self/fd/%d", fd);
    const char *p = bytes;

    if (fd < 0)
        return rh_fail_errno(err, RH_ERR_MEMORY, errno, "%s", path);
    for (size_t at = 0; at < n;) {
        ssize_t put = write(fd, p + at, n - at);

        if (put <= 0)
            return rh_fail_errno(err, RH_ERR_MEMORY, errno, "%s", path);
        at += (size_t)put;
    }
    return guestfs.upload(a->g, name, path) < 0
               ? rh_appliance_failed(a, path, err)
               : 0;
}

char *rh_appliance_read(struct rh_appliance *a, const char *path, uint64_t size,
                        size_t *ret_n)
{
    return size && size <= ONE_ANSWER
               ? guestfs.pread(a->g, path, (int)size, 0, ret_n)
               : guestfs.read_file(a->g, path, ret_n);
}

/* --- ending it
 * ---------------------------------------------------------------------- */
void rh_appliance_forget_mounts(struct rh_appliance *a)
{
    for (size_t i = 0; i < a->mounted.count; i++) {
        free(a->mounted.items[i].options);
        free(a->mounted.items[i].device);
        free(a->mounted.items[i].path);
    }
    free(a->mounted.items);
    memset(&a->mounted, 0, sizeof a->mounted);
}

void rh_appliance_free(struct rh_appliance *a)
{
    if (!a)
        return;
    a->calls++; /* closing it is a call, too */
    if (a->g)
        guestfs.close(a->g);
    rh_nbd_stop(a->server);
    rh_appliance_forget_mounts(a);
    free(a->volumes.items);
    free(a->kept);
    free(a->why);
    pthread_cond_destroy(&a->ended);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

struct rh_appliance *rh_appliance_resting(struct rh_appliance *a)
{
    a->calls = 0;
    return a;
}

/* --- starting it
 * -------------------------------------------------------------------- */
/* A damaged file system, or one made for it, may keep its driver busy for ever.
 * In software emulation all takes longer. */
enum { QUIET_S = 600, QUIET_TCG_S = 1200, CALL_S = 3 * 3600 };
/* To start the kept one: then libguestfs' own is tried. */
enum { KEPT_S = 240 };

static unsigned quiet_for(const struct rh_appliance *a)
{
    return a->no_kvm ? QUIET_TCG_S : QUIET_S;
}

static void count_call(guestfs_h *g, void *user, uint64_t event, int handle,
                       int flags, const char *buf, size_t n,
                       const uint64_t *array, size_t array_n)
{
    struct rh_appliance *a = user;

    (void)g, (void)event, (void)handle, (void)flags;
    (void)buf, (void)n, (void)array, (void)array_n;
    a->calls++;
}

static int watch(struct rh_appliance *a, rh_error **err)
{
    if (guestfs.set_event_callback(a->g, count_call, GUESTFS_EVENT_ENTER, 0,
                                   a) < 0)
        return rh_appliance_failed(a, _("preparing the appliance"), err);
    rh_nbd_watch(a->server, &a->calls, a->kept ? KEPT_S : quiet_for(a), CALL_S);
    return 0;
}

static int configure(struct rh_session *s, struct rh_appliance *a,
                     rh_error **err)
{
    static char force_tcg[] = "force_tcg";
    char *settings[] = {force_tcg, NULL};

    guestfs.set_error_handler(a->g, NULL, NULL);
    guestfs.set_pgroup(a->g, 1); /* Ctrl-C is for us to handle */
    guestfs.set_network(a->g, 0);
    guestfs.set_autosync(a->g, 1);
    if (guestfs.set_backend(a->g, "direct") < 0 ||
        guestfs.set_tmpdir(a->g, rh_nbd_folder(a->server)) < 0)
        return rh_appliance_failed(a, _("preparing the appliance"), err);
    if (!a->no_kvm)
        return 0;
    rh_log(s->o->lib, RH_LOG_INFO,
           _("no KVM here (%s): the appliance runs in software emulation"),
           a->no_kvm);
    return guestfs.set_backend_settings(a->g, settings) < 0
               ? rh_appliance_failed(a, _("preparing the appliance"), err)
               : 0;
}

static int add_disks(struct rh_session *s, struct rh_appliance *a,
                     rh_error **err)
{
    for (size_t i = 0; i < s->count; i++) {
        RH_AUTO(rh_freep)
        char *server = rh_printf("unix:%s", rh_nbd_socket(a->server, i));
        char *servers[] = {server, NULL};

        if (guestfs.add_drive_opts(a->g, "", GUESTFS_ADD_DRIVE_OPTS_FORMAT,
                                   "raw", GUESTFS_ADD_DRIVE_OPTS_PROTOCOL,
                                   "nbd", GUESTFS_ADD_DRIVE_OPTS_SERVER,
                                   servers, -1) < 0)
            return rh_appliance_failed(a, _("adding a disk to the appliance"),
                                       err);
    }
    return 0;
}

/* Advice for libguestfs' developers follows. */
static char *first_line(const char *text)
{
    return text ? rh_strndup(text, strcspn(text, "\n")) : NULL;
}

static void *launch_it(void *user)
{
    struct rh_appliance *a = user;
    bool abandoned;
    int result;

    /* libguestfs keeps handlers and errors by thread. */
    guestfs.set_error_handler(a->g, NULL, NULL);
    result = guestfs.launch(a->g);
    pthread_mutex_lock(&a->lock);
    if (result < 0)
        a->why = first_line(guestfs.last_error(a->g));
    a->result = result;
    a->started = true;
    abandoned = a->abandoned;
    pthread_cond_signal(&a->ended);
    pthread_mutex_unlock(&a->lock);
    if (abandoned)
        rh_appliance_free(a);
    return NULL;
}

/* Wait for the thread, and after a cancel only for a moment: on its first run
 * libguestfs builds its appliance, for up to a minute, and cannot be stopped
 * without leaving a half of one.  0: it ended, -1: `a` is the thread's now. */
static int wait_for_launch(struct rh_session *s, struct rh_appliance *a)
{
    enum { TICK_MS = 100, PATIENCE = 12 };
    int ticks = 0;
    bool started;

    pthread_mutex_lock(&a->lock);
    while (!a->started && ticks < PATIENCE) {
        rh_wait_cond(&a->ended, &a->lock, TICK_MS);
        ticks += rh_go_on(s->o->lib, NULL) < 0;
    }
    started = a->started;
    if (!started) {
        a->abandoned = true;
        rh_nbd_stop(RH_TAKE(a->server)); /* the disks are going away */
    }
    pthread_mutex_unlock(&a->lock);
    return started ? 0 : -1;
}

static int borrow(struct rh_session *s, const char *no_kvm,
                  struct rh_kept_appliance *ret, rh_error **err)
{
    guestfs_h *g = guestfs.create_flags(GUESTFS_CREATE_NO_CLOSE_ON_EXIT);
    const char *path = g ? guestfs.get_path(g) : NULL; /* the handle's */
    struct guestfs_version *v = g ? guestfs.version(g) : NULL;
    RH_AUTO(rh_freep)
    char *version = v ? rh_printf("%lld.%lld.%lld%s", (long long)v->major,
                                  (long long)v->minor, (long long)v->release,
                                  v->extra ? v->extra : "")
                      : NULL;
    int r = rh_kept_borrow(s->o->lib,
                           &(struct rh_kept_wish){.path = path,
                                                  .version = version,
                                                  .emulated = no_kvm != NULL},
                           ret, err);

    if (v)
        guestfs.free_version(v);
    if (g)
        guestfs.close(g);
    return r;
}

/* Its first program counts on a kernel that has looked at all disks, and here
 * nobody has a network. */
static int use_kept(struct rh_appliance *a, rh_error **err)
{
    const char *old = guestfs.get_append(a->g);
    RH_AUTO(rh_freep)
    char *all = rh_printf("%s%sscsi_mod.scan=sync ipv6.disable=1",
                          old ? old : "", old ? " " : "");

    return a->kept && (guestfs.set_path(a->g, a->kept) < 0 ||
                       guestfs.set_append(a->g, all) < 0)
               ? rh_appliance_failed(a, _("preparing the appliance"), err)
               : 0;
}

static int configured(struct rh_session *s, struct rh_appliance *a,
                      rh_error **err)
{
    /* At the program's end a thread may still be using it. */
    a->g = guestfs.create_flags(GUESTFS_CREATE_NO_CLOSE_ON_EXIT);
    /* Looking writes as well: a journal is replayed, into the overlay. */
    if (a->g)
        a->server = rh_nbd_serve(s->overlays, s->count, false, s->o->lib, err);
    if (!a->g || !a->server || watch(a, err) < 0 || configure(s, a, err) < 0 ||
        use_kept(a, err) < 0)
        return -1;
    return add_disks(s, a, err);
}

/* That one, or with NULL libguestfs' own. */
static struct rh_appliance *start_one(struct rh_session *s, const char *no_kvm,
                                      const char *kept, rh_error **err)
{
    struct rh_appliance *a = rh_new0(struct rh_appliance);
    pthread_t thread;

    a->no_kvm = no_kvm;
    a->kept = rh_strdup(kept);
    pthread_mutex_init(&a->lock, NULL);
    rh_wait_cond_init(&a->ended);
    if (configured(s, a, err) < 0) {
        rh_appliance_free(a);
        return NULL;
    }
    if (pthread_create(&thread, NULL, launch_it, a)) {
        rh_appliance_free(a);
        rh_fail(err, RH_ERR_MEMORY, "no thread could be made");
        return NULL;
    }
    if (wait_for_launch(s, a) < 0) {
        pthread_detach(thread);
        rh_go_on(s->o->lib, err);
        return NULL;
    }
    pthread_join(thread, NULL);
    if (a->result == 0) {
        rh_nbd_watch(a->server, &a->calls, quiet_for(a), CALL_S);
        return a;
    }
    /* Who cancels makes it fail, in one way or another. */
    if (rh_go_on(s->o->lib, err) == 0)
        rh_appliance_failed(a, _("starting the appliance"), err);
    rh_appliance_free(a);
    return NULL;
}

static struct rh_appliance *start(struct rh_session *s, const char *no_kvm,
                                  rh_error **err)
{
    RH_AUTO(rh_kept_give_back) struct rh_kept_appliance kept = {.lock = -1};
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    struct rh_appliance *a;

    if (borrow(s, no_kvm, &kept, err) < 0)
        return NULL;
    if (!kept.folder)
        return start_one(s, no_kvm, NULL, err);
    a = start_one(s, no_kvm, kept.folder, &fault);
    if (a)
        return a;
    if (rh_go_on(s->o->lib, err) < 0)
        return NULL;
    rh_log(s->o->lib, RH_LOG_INFO,
           _("the appliance in %s does not start (%s): libguestfs' own does "
             "it"),
           kept.folder, rh_error_message(fault));
    a = start_one(s, no_kvm, NULL, err);
    if (a)
        rh_kept_condemn(&kept);
    return a;
}

/* A KVM that passed its try may break under the appliance all the same. */
static struct rh_appliance *start_somehow(struct rh_session *s, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    struct rh_appliance *a;
    const char *why;

    rh_progress(s->o->lib, "guest", 0, 1);
    if (!rh_kvm_works(&why))
        return start(s, why, err);
    a = start(s, NULL, &fault);
    if (a)
        return a;
    if (rh_go_on(s->o->lib, err) < 0)
        return NULL;
    return start(s, _("the appliance did not start with it"), err);
}

/* The one that looking left, or one of our own.  It and this thread use the
 * overlays by one lock from here on. */
struct rh_appliance *rh_appliance_take(struct rh_session *s, rh_error **err)
{
    struct rh_appliance **kept = s->o->appliance;
    struct rh_appliance *a = s->appliance    ? RH_TAKE(s->appliance)
                             : kept && *kept ? RH_TAKE(*kept)
                                             : start_somehow(s, err);

    if (!a)
        return NULL;
    a->keep = s->writing ? NULL : kept;
    rh_disks_share(s->disks, rh_nbd_lock(a->server));
    if (a->no_kvm)
        rh_finding_add(
            s->o->findings, RH_F_GUEST_NO_KVM, "os",
            N_("no KVM here (%s): the appliance that reads the guest runs "
               "in software emulation, which takes longer"),
            a->no_kvm);
    return a;
}

/* --- for single volumes
 * ------------------------------------------------------------------ */
struct rh_appliance *rh_appliance_of(struct rh_session *s, const char **ret_why,
                                     rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;

    if (!s->appliance && !s->appliance_why) {
        s->appliance = rh_appliance_take(s, &fault);
        if (rh_error_number(fault) == RH_ERR_CANCELLED) {
            *err = RH_TAKE(fault);
            return NULL;
        }
        if (!s->appliance)
            s->appliance_why = rh_strdup(rh_error_message(fault));
    }
    *ret_why = s->appliance_why;
    return s->appliance;
}

/* One that read single volumes, at the end of the session. */
void rh_appliance_leave(struct rh_session *s)
{
    struct rh_appliance **kept = s->o->appliance;

    rh_disks_share(s->disks, NULL);
    if (s->appliance && !s->appliance->stuck && !s->writing && kept && !*kept)
        *kept = rh_appliance_resting(RH_TAKE(s->appliance));
    rh_appliance_free(RH_TAKE(s->appliance));
    free(RH_TAKE(s->appliance_why));
}

#endif
