/* nbd_server.c - a small NBD server (fixed newstyle), towards one appliance.
 *
 * Reads and writes go through one lock: the overlay is for one writer.  What
 * fails here is kept, because the other side can only tell that input/output
 * failed.  Protocol: the NBD project's doc/proto.md. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/nbd_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/out.h"

enum {
    OPT_EXPORT_NAME = 1,
    OPT_ABORT = 2,
    OPT_INFO = 6,
    OPT_GO = 7,
    REP_ACK = 1,
    REP_INFO = 3,
    CMD_READ = 0,
    CMD_WRITE = 1,
    CMD_DISC = 2,
    CMD_FLUSH = 3,
    FLAGS = 1 | 4, /* has flags, takes flush */
    FLAG_READ_ONLY = 2,
    OPTION_MAX = 65536,
    REQUEST_MAX = 32 * 1024 * 1024,
    CONNECTIONS_MAX = 64,
    TICK = 200, /* ms between looks at the cancel flag */
};
static const uint64_t magic_server = 0x4e42444d41474943; /* "NBDMAGIC" */
static const uint64_t magic_option = 0x49484156454f5054; /* "IHAVEOPT" */
static const uint64_t magic_reply = 0x3e889045565a9;
static const uint32_t magic_request = 0x25609513;
static const uint32_t magic_answer = 0x67446698;
static const uint32_t rep_unsupported = 0x80000001;

struct export
{
    struct rh_nbd_server *server;
    struct rh_reader *overlay;
    char *path;
    int listener;
};

struct connection {
    struct export *of;
    int fd;
    pthread_t thread;
};

struct rh_nbd_server {
    struct export *exports;
    size_t count;
    char *folder;
    bool read_only;
    rh_lib *lib;
    struct rh_codec *codec;
    pthread_mutex_t lock; /* overlays, codec, failure, connections */
    rh_error *failure;
    struct connection connections[CONNECTIONS_MAX];
    size_t connection_count;
    pthread_t acceptor;
    bool running;
    bool lost; /* a write failed */
    atomic_bool stopping;
    atomic_uint requests;
    _Atomic(const atomic_uint *) calls; /* NULL: nobody waits for answers */
    atomic_uint quiet, longest;         /* in seconds */
};

/* How long a call has been waited for, in ticks. */
struct waited {
    unsigned calls, requests, quiet, all;
};

/* --- bytes on a socket
 * -------------------------------------------------------- */
static bool get(int fd, void *buf, size_t n)
{
    char *p = buf;

    while (n) {
        ssize_t got = recv(fd, p, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static bool put(int fd, const void *buf, size_t n)
{
    const char *p = buf;

    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* --- handshake
 * ------------------------------------------------------------------ */
static uint16_t flags_of(const struct connection *c)
{
    return (uint16_t)(FLAGS | (c->of->server->read_only ? FLAG_READ_ONLY : 0));
}

static bool reply(int fd, uint32_t option, uint32_t type, const void *data,
                  uint32_t n)
{
    uint8_t head[20];

    rh_put_be64(head, magic_reply);
    rh_put_be32(head + 8, option);
    rh_put_be32(head + 12, type);
    rh_put_be32(head + 16, n);
    return put(fd, head, sizeof head) && put(fd, data, n);
}

static bool send_info(struct connection *c, uint32_t option)
{
    uint8_t info[12] = {0};

    rh_put_be64(info + 2, c->of->overlay->size);
    rh_put_be16(info + 10, flags_of(c));
    return reply(c->fd, option, REP_INFO, info, sizeof info) &&
           reply(c->fd, option, REP_ACK, "", 0);
}

static bool send_old_info(struct connection *c, bool no_zeroes)
{
    uint8_t info[10 + 124] = {0};

    rh_put_be64(info, c->of->overlay->size);
    rh_put_be16(info + 8, flags_of(c));
    return put(c->fd, info, no_zeroes ? 10 : sizeof info);
}

/* True once transmission may start. */
static bool negotiate(struct connection *c)
{
    uint8_t head[18], option[16], data[OPTION_MAX];
    uint32_t client;

    rh_put_be64(head, magic_server);
    rh_put_be64(head + 8, magic_option);
    rh_put_be16(head + 16, 3); /* fixed newstyle, no zeroes */
    if (!put(c->fd, head, sizeof head) || !get(c->fd, head, 4))
        return false;
    client = rh_be32(head);
    for (;;) {
        uint32_t kind, n;

        if (!get(c->fd, option, sizeof option) ||
            rh_be64(option) != magic_option)
            return false;
        kind = rh_be32(option + 8);
        n = rh_be32(option + 12);
        if (n > sizeof data || !get(c->fd, data, n))
            return false;
        if (kind == OPT_EXPORT_NAME)
            return send_old_info(c, client & 2);
        if (kind == OPT_ABORT)
            return false;
        if (kind == OPT_GO || kind == OPT_INFO) {
            if (!send_info(c, kind))
                return false;
            if (kind == OPT_GO)
                return true;
        } else if (!reply(c->fd, kind, rep_unsupported, "", 0)) {
            return false;
        }
    }
}

/* --- requests
 * ---------------------------------------------------------------------- */
static uint32_t transfer(struct connection *c, uint16_t kind, uint8_t *buf,
                         uint64_t offset, uint32_t n)
{
    struct rh_nbd_server *s = c->of->server;
    struct rh_reader *o = c->of->overlay;
    rh_error *err = NULL;
    int failed = 0;

    if (offset > o->size || n > o->size - offset)
        return EINVAL;
    if (kind == CMD_WRITE && s->read_only)
        return EPERM;
    s->requests++;
    pthread_mutex_lock(&s->lock);
    if (kind == CMD_READ)
        failed = rh_reader_read(o, s->codec, buf, n, offset, &err);
    else if (kind == CMD_WRITE)
        failed = rh_overlay_write(o, buf, n, offset, &err);
    s->lost |= failed && kind == CMD_WRITE;
    if (failed && !s->failure)
        s->failure = err;
    else
        rh_error_free(err);
    pthread_mutex_unlock(&s->lock);
    return failed ? EIO : 0;
}

static bool answer(int fd, const uint8_t *request, uint32_t error,
                   const void *data, uint32_t n)
{
    uint8_t head[16];

    rh_put_be32(head, magic_answer);
    rh_put_be32(head + 4, error);
    memcpy(head + 8, request + 8, 8); /* the client's handle */
    return put(fd, head, sizeof head) && (error || put(fd, data, n));
}

static bool one_request(struct connection *c, uint8_t *buf)
{
    uint8_t request[28];
    uint16_t kind;
    uint32_t n, error;

    if (!get(c->fd, request, sizeof request) ||
        rh_be32(request) != magic_request)
        return false;
    kind = rh_be16(request + 6);
    n = rh_be32(request + 24);
    if (kind == CMD_DISC || n > REQUEST_MAX)
        return false;
    if (kind == CMD_WRITE && !get(c->fd, buf, n))
        return false;
    if (kind > CMD_FLUSH)
        return answer(c->fd, request, EINVAL, "", 0);
    error = kind == CMD_FLUSH
                ? 0
                : transfer(c, kind, buf, rh_be64(request + 16), n);
    return answer(c->fd, request, error, buf, kind == CMD_READ ? n : 0);
}

static void *serve(void *user)
{
    struct connection *c = user;
    RH_AUTO(rh_freep) uint8_t *buf = rh_alloc_big(REQUEST_MAX, NULL);

    if (buf && negotiate(c))
        while (!c->of->server->stopping && one_request(c, buf))
            ;
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

/* --- accepting
 * ------------------------------------------------------------------------- */
static void take_connection(struct export *e)
{
    struct rh_nbd_server *s = e->server;
    int fd = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC);
    struct connection *c;

    if (fd < 0)
        return;
    if (s->connection_count == CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    c = &s->connections[s->connection_count];
    c->of = e;
    c->fd = fd;
    if (pthread_create(&c->thread, NULL, serve, c)) {
        close(fd);
        return;
    }
    s->connection_count++;
}

/* A socket's other end is known to the kernel.  An end that is closed already
 * names a process that may be another one by now. */
static void kill_client(const struct connection *c)
{
    struct ucred who;
    socklen_t n = sizeof who;
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    if (poll(&p, 1, 0) == 0 &&
        !getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &n) && who.pid > 0 &&
        who.pid != getpid())
        kill(who.pid, SIGKILL);
}

/* One tick later: is there an end to waiting? */
static bool is_overdue(const struct rh_nbd_server *s, struct waited *w)
{
    const atomic_uint *at = s->calls;
    unsigned calls = at ? *at : 0, requests = s->requests;

    if (!calls || calls != w->calls)
        *w = (struct waited){.calls = calls, .requests = requests};
    else if (requests != w->requests)
        w->quiet = 0;
    w->requests = requests;
    w->quiet++;
    w->all++;
    return calls && s->connection_count &&
           (w->quiet > s->quiet * (1000 / TICK) ||
            w->all > s->longest * (1000 / TICK));
}

static void give_up(struct rh_nbd_server *s)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failure)
        rh_fail(&s->failure, RH_ERR_GUEST_APPLIANCE,
                _("the appliance that reads the guest gave no answer for %u "
                  "minutes and was ended: a file system may be damaged"),
                (unsigned)s->quiet / 60);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->connection_count; i++)
        kill_client(&s->connections[i]);
}

static void *accept_all(void *user)
{
    struct rh_nbd_server *s = user;
    struct waited waited = {0};
    struct pollfd *p = rh_calloc(s->count, sizeof *p);

    for (size_t i = 0; i < s->count; i++)
        p[i] = (struct pollfd){.fd = s->exports[i].listener, .events = POLLIN};
    while (!s->stopping) {
        int n = poll(p, (nfds_t)s->count, TICK);

        for (size_t i = 0; n > 0 && i < s->count; i++)
            if (p[i].revents & POLLIN)
                take_connection(&s->exports[i]);
        for (size_t i = 0;
             s->lib && s->lib->cancelled && i < s->connection_count; i++)
            kill_client(&s->connections[i]);
        if (n == 0 && is_overdue(s, &waited))
            give_up(s);
    }
    free(p);
    return NULL;
}

/* --- starting and stopping
 * ---------------------------------------------------------------- */
static int listen_at(struct export *e, rh_error **err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(e->path) >= sizeof address.sun_path) {
        rh_fail(err, RH_ERR_FILE_OPEN, "%s is too long for a socket", e->path);
        return rh_hint(err, "set TMPDIR to a shorter path");
    }
    memcpy(address.sun_path, e->path, strlen(e->path) + 1);
    e->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (e->listener < 0 ||
        bind(e->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(e->listener, 8) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "a socket for the appliance failed");
    return 0;
}

static int start(struct rh_nbd_server *s, struct rh_reader **overlays,
                 rh_error **err)
{
    s->folder = rh_printf("%s/rehost-nbd.XXXXXX", rh_temp_dir(s->lib));
    if (!mkdtemp(s->folder)) {
        free(s->folder);
        s->folder = NULL;
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "a folder for the appliance's sockets failed");
    }
    /* The appliance may run as another user of this one's trust. */
    for (size_t i = 0; i < s->count; i++) {
        s->exports[i].server = s;
        s->exports[i].overlay = overlays[i];
        s->exports[i].path = rh_printf("%s/%zu", s->folder, i);
        if (listen_at(&s->exports[i], err) < 0)
            return -1;
    }
    if (pthread_create(&s->acceptor, NULL, accept_all, s))
        return rh_fail(err, RH_ERR_MEMORY, "no thread could be made");
    s->running = true;
    return 0;
}

struct rh_nbd_server *rh_nbd_serve(struct rh_reader **overlays, size_t count,
                                   bool read_only, rh_lib *lib, rh_error **err)
{
    struct rh_nbd_server *s = rh_new0(struct rh_nbd_server);

    s->exports = rh_calloc(count, sizeof *s->exports);
    s->count = count;
    s->read_only = read_only;
    s->lib = lib;
    s->codec = rh_codec_new();
    pthread_mutex_init(&s->lock, NULL);
    for (size_t i = 0; i < count; i++)
        s->exports[i].listener = -1;
    if (start(s, overlays, err) < 0) {
        rh_nbd_stop(s);
        return NULL;
    }
    return s;
}

const char *rh_nbd_folder(const struct rh_nbd_server *s)
{
    return s->folder;
}

const char *rh_nbd_socket(const struct rh_nbd_server *s, size_t disk)
{
    return s->exports[disk].path;
}

rh_error *rh_nbd_failure(struct rh_nbd_server *s)
{
    rh_error *e;

    pthread_mutex_lock(&s->lock);
    e = RH_TAKE(s->failure);
    pthread_mutex_unlock(&s->lock);
    return e;
}

bool rh_nbd_has_lost(struct rh_nbd_server *s)
{
    bool lost;

    pthread_mutex_lock(&s->lock);
    lost = s->lost;
    pthread_mutex_unlock(&s->lock);
    return lost;
}

void rh_nbd_watch(struct rh_nbd_server *s, const atomic_uint *calls,
                  unsigned quiet, unsigned longest)
{
    s->quiet = quiet;
    s->longest = longest;
    s->calls = calls;
}

pthread_mutex_t *rh_nbd_lock(struct rh_nbd_server *s)
{
    return &s->lock;
}

void rh_nbd_stop(struct rh_nbd_server *s)
{
    if (!s)
        return;
    s->stopping = true;
    if (s->running)
        pthread_join(s->acceptor, NULL);
    for (size_t i = 0; i < s->connection_count; i++) {
        shutdown(s->connections[i].fd, SHUT_RDWR);
        pthread_join(s->connections[i].thread, NULL);
        close(s->connections[i].fd);
    }
    for (size_t i = 0; i < s->count; i++) {
        if (s->exports[i].listener >= 0)
            close(s->exports[i].listener);
        free(s->exports[i].path);
    }
    if (s->folder)
        rh_remove_tree(AT_FDCWD, s->folder);
    free(s->folder);
    free(s->exports);
    rh_codec_free(s->codec);
    rh_error_free(s->failure);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
