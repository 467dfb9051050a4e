/* split.c - before anything is read that strangers made, the process becomes
 * two: one keeps root's rights and serves (broker.c), the other goes on
 * without. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deliver/local/broker.h"
#include "rehost/rehost.h"

/* --- the one that goes on
 * -------------------------------------------------------------- */

static int find_user(const char *name, struct passwd *ret, char *text,
                     size_t room, rh_error **err)
{
    struct passwd *found = NULL;
    int why = getpwnam_r(name, ret, text, room, &found);

    if (found && ret->pw_uid != 0)
        return 0;
    if (found)
        return rh_fail(err, RH_ERR_USAGE, "--run-as: \"%s\" is root", name);
    rh_fail_errno(err, RH_ERR_USAGE, why ? why : ENOENT,
                  "--run-as: there is no user \"%s\"", name);
    return rh_hint(err, "name one that may read the source");
}

static void close_all_but(int fd)
{
    if (fd > 3)
        syscall(SYS_close_range, 3u, (unsigned)fd - 1, 0);
    syscall(SYS_close_range, (unsigned)fd + 1, ~0u, 0);
}

static int become(const struct passwd *who, rh_error **err)
{
    if (initgroups(who->pw_name, who->pw_gid) < 0 ||
        setresgid(who->pw_gid, who->pw_gid, who->pw_gid) < 0 ||
        setresuid(who->pw_uid, who->pw_uid, who->pw_uid) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot give up root's rights");
    setenv("HOME", who->pw_dir && who->pw_dir[0] == '/' ? who->pw_dir : "/", 1);
    return 0;
}

/* `who` NULL: there are no rights to give up. */
static int give_up(rh_lib *lib, const struct passwd *who, int socket,
                   rh_error **err)
{
    close_all_but(socket);
    if (who && become(who, err) < 0)
        return -1;
    if (rh_local_leave_terminal(err) < 0)
        return -1;
    /* Whoever is killed does not leave the other at work. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot give up rights");
    lib->broker = socket;
    return 0;
}

/* --- the one that serves
 * -------------------------------------------------------------- */

/* Signals for the two: a terminal sends its own to both, another process to
 * this one alone.  A thread waits for them, no handler of the program is
 * touched. */
struct signals {
    sigset_t set, before;
    pthread_t thread;
    pid_t pid;
    bool running;
};

static void *pass_on(void *user)
{
    struct signals *s = user;
    siginfo_t info;

    for (;;) {
        int number = sigwaitinfo(&s->set, &info);

        if (number > 0 && info.si_code <= 0 && info.si_pid != s->pid)
            kill(s->pid, number);
    }
    return NULL;
}

static void catch_signals(struct signals *s, pid_t pid)
{
    s->pid = pid;
    sigemptyset(&s->set);
    sigaddset(&s->set, SIGINT);
    sigaddset(&s->set, SIGTERM);
    sigaddset(&s->set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &s->set, &s->before);
    s->running = pthread_create(&s->thread, NULL, pass_on, s) == 0;
}

/* The process is still to be waited for: its number is nobody else's. */
static void let_signals_go(struct signals *s)
{
    if (s->running) {
        pthread_cancel(s->thread);
        pthread_join(s->thread, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}

static int serve(rh_lib *lib, const rh_options *o, const char *url, int socket,
                 pid_t pid, rh_error **err)
{
    struct rh_broker b = {.lib = lib,
                          .socket = socket,
                          .url = url,
                          .storage = strchr(url, ':') + 1,
                          .keep_failed = rh_option_yes(o, "keep-failed")};
    struct signals signals = {.running = false};
    siginfo_t ended;
    int status = 0;

    catch_signals(&signals, pid);
    rh_broker_serve(&b);
    close(socket);
    while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT) < 0 &&
           errno == EINTR)
        ;
    let_signals_go(&signals);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                   "the process that converted was killed (signal %d)",
                   WTERMSIG(status));
}

/* --- both
 * ------------------------------------------------------------------------------
 */

static int split(rh_lib *lib, const rh_options *o, const char *url,
                 const struct passwd *who, int *ret_status, rh_error **err)
{
    int sockets[2], status;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "no socket");
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        return give_up(lib, who, sockets[1], err);
    close(sockets[1]);
    if (pid < 0) {
        close(sockets[0]);
        return rh_fail_errno(err, RH_ERR_MEMORY, errno, "no new process");
    }
    status = serve(lib, o, url, sockets[0], pid, err);
    if (status < 0)
        return -1;
    *ret_status = status;
    return 1;
}

int rh_lib_split(rh_lib *lib, const rh_options *o, int *ret_status,
                 rh_error **err)
{
    const char *out = rh_option(o, "out");
    const char *url = out ? out : rh_option(o, "target");
    const char *user = rh_option(o, "run-as");
    struct passwd who;
    char text[4096];
    bool root = geteuid() == 0;

    if (!url || strncmp(url, "proxmox-local:", 14) != 0)
        return user ? rh_fail(err, RH_ERR_PLAN_OPTION,
                              "--run-as is for --out proxmox-local:STORAGE")
                    : 0;
    if (!rh_node_storage_in(url, err) ||
        (root &&
         find_user(user ? user : "nobody", &who, text, sizeof text, err) < 0))
        return -1;
    if (user && !root)
        return rh_fail(err, RH_ERR_USAGE, "only root can use --run-as");
    return split(lib, o, url, root ? &who : NULL, ret_status, err);
}
