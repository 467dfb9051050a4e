/* serve.c - the server: one thread, one poll(), a handful of connections.
 *
 * Whoever connects is hostile until it names the path: it gets ten seconds and
 * eight KiB for that, and is closed at once when its address was not admitted.
 * Who fetches may be as slow as its storage. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/http.h"
#include "base/random.h"
#include "base/rate.h"
#include "base/serve_tls.h"
#include "base/text.h"

enum {
    GUESTS = 8,
    PIECE = 64 * 1024,
    ASKING = 10 * 1000,       /* milliseconds for a handshake and a request */
    SILENCE = 15 * 60 * 1000, /* of who fetches: its storage may be busy */
    LEAVING = 10 * 1000,      /* for it to close, once all was sent */
    TURN = 16,                /* pieces, before another one has its turn */
    RESTING = 1000,           /* when no descriptor is free */
    PATH_BYTES = 32,
    READERS_MOST = 64,
};

struct guest {
    int fd; /* -1: the place is free */
    struct rh_tls *tls;
    enum { GREETING, ASKING_FOR, TAKING, LEAVES } state;
    short events;  /* that it waits for */
    int64_t until; /* when it is given up */
    char *text;    /* its request, then the head of the answer */
    size_t have, at;
    uint64_t from, to; /* of the file: what is still to be sent */
    uint8_t *piece;
    size_t piece_have, piece_at;
};

struct rh_serve {
    rh_lib *lib;
    char *name;
    int listener, wake;
    struct rh_tls_site *tls;
    RH_VEC(struct in6_addr) readers; /* IPv4 ones as ::ffff:A.B.C.D */

    /* While a file is served. */
    pthread_t thread;
    bool running;
    struct rh_io *file;
    struct rh_secret *path;
    struct guest guests[GUESTS];
    int64_t resting; /* until then nobody is let in */
    bool stop;

    pthread_mutex_t lock; /* for what follows */
    struct rh_serve_seen seen;
    rh_error *failure;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- addresses
 * ---------------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage all;
};

/* IPv4 ones as IPv6 has them. */
static struct in6_addr mapped(const union address *a)
{
    struct in6_addr ret = {0};

    if (a->any.sa_family == AF_INET6)
        return a->v6.sin6_addr;
    ret.s6_addr[10] = ret.s6_addr[11] = 0xff;
    memcpy(ret.s6_addr + 12, &a->v4.sin_addr, 4);
    return ret;
}

static union address address_in(const struct addrinfo *info)
{
    union address a = {.all = {0}};

    memcpy(&a, info->ai_addr, RH_MIN((size_t)info->ai_addrlen, sizeof a));
    return a;
}

static void text_of(const struct in6_addr *a, char ret[INET6_ADDRSTRLEN])
{
    if (IN6_IS_ADDR_V4MAPPED(a))
        inet_ntop(AF_INET, a->s6_addr + 12, ret, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, a, ret, INET6_ADDRSTRLEN);
}

static bool is_admitted(const struct rh_serve *s, const struct in6_addr *a)
{
    for (size_t i = 0; i < s->readers.count; i++)
        if (!memcmp(&s->readers.items[i], a, sizeof *a))
            return true;
    return false;
}

static void admit(struct rh_serve *s, const struct addrinfo *info)
{
    union address a = address_in(info);
    struct in6_addr address = mapped(&a);

    if (s->readers.count < READERS_MOST && !is_admitted(s, &address))
        *rh_vec_add(&s->readers) = address;
}

static void list_freep(struct addrinfo **list)
{
    if (*list)
        freeaddrinfo(*list);
}

static struct addrinfo *resolve(const char *host, const char *port, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags},
                    *list = NULL;

    return getaddrinfo(host, port, &hints, &list) == 0 ? list : NULL;
}

void rh_serve_admit(struct rh_serve *s, const char *address)
{
    RH_AUTO(list_freep)
    struct addrinfo *list = resolve(address, NULL, AI_NUMERICHOST);

    if (list)
        admit(s, list);
}

/* Ours, from which packets go there.  Nothing is sent. */
static char *address_toward(const struct addrinfo *there)
{
    union address here = {.all = {0}};
    socklen_t n = sizeof here;
    char text[INET6_ADDRSTRLEN] = "";
    struct in6_addr address;
    int fd = socket(there->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, there->ai_addr, there->ai_addrlen) == 0 &&
        getsockname(fd, &here.any, &n) == 0) {
        address = mapped(&here);
        text_of(&address, text);
    }
    if (fd >= 0)
        close(fd);
    return text[0] ? rh_strdup(text) : NULL;
}

/* --- opening
 * ------------------------------------------------------------------ */

/* "HOST:PORT" -> the port, or "0". */
static const char *port_of(const char *address)
{
    const char *colon = strrchr(address, ':'), *bracket = strchr(address, ']');
    bool alone = !bracket && colon && strchr(address, ':') != colon;

    return colon && !alone && (!bracket || colon > bracket) ? colon + 1 : "0";
}

/* An IPv6 address needs brackets where a port may follow; alone none. */
static char *host_of(const char *address)
{
    const char *colon = strchr(address, ':');

    return colon && strchr(colon + 1, ':') && address[0] != '['
               ? rh_strdup(address)
               : rh_http_host_alone(address);
}

static int bind_to(struct rh_serve *s, const struct addrinfo *a,
                   const char *shown, rh_error **err)
{
    static const int one = 1;
    union address here = address_in(a);
    struct in6_addr address = mapped(&here);

    if (IN6_IS_ADDR_UNSPECIFIED(&address) ||
        !memcmp(address.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0", 16))
        return rh_fail(err, RH_ERR_SERVE_ADDRESS,
                       "\"%.100s\" is not one address of this machine", shown);
    s->listener =
        socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener >= 0)
        setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (s->listener >= 0 && bind(s->listener, a->ai_addr, a->ai_addrlen) == 0 &&
        listen(s->listener, GUESTS) == 0)
        return 0;
    return rh_fail_errno(err, RH_ERR_SERVE_ADDRESS, errno,
                         "cannot listen at %.100s", shown);
}

static unsigned bound_port(const struct rh_serve *s)
{
    union address a = {.all = {0}};
    socklen_t n = sizeof a;

    if (getsockname(s->listener, &a.any, &n) < 0)
        return 0;
    return a.any.sa_family == AF_INET6 ? ntohs(a.v6.sin6_port)
                                       : ntohs(a.v4.sin_port);
}

/* In a URL and a certificate: letters, digits and what addresses have. */
static bool is_host(const char *host)
{
    size_t n = strlen(host);

    return n && n < 256 &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789-._:") == n;
}

static int open_at(struct rh_serve *s, const struct rh_serve_site *site,
                   const char *address, rh_error **err)
{
    RH_AUTO(rh_freep) char *host = host_of(address);
    RH_AUTO(list_freep) struct addrinfo *list = NULL;

    if (!is_host(host))
        return rh_fail(err, RH_ERR_SERVE_ADDRESS,
                       "\"%.100s\" is no address to listen at", address);
    list = resolve(host, port_of(address), AI_NUMERICSERV);
    if (!list)
        return rh_fail(err, RH_ERR_SERVE_ADDRESS,
                       "\"%.100s\" is no address that is known", address);
    s->tls = rh_tls_site_new(site->cert, site->key, host, err);
    if (!s->tls || bind_to(s, list, address, err) < 0)
        return -1;
    s->name = rh_printf("https://%s%s%s:%u", strchr(host, ':') ? "[" : "", host,
                        strchr(host, ':') ? "]" : "", bound_port(s));
    return 0;
}

struct rh_serve *rh_serve_open(const struct rh_serve_site *site, rh_error **err)
{
    RH_AUTO(rh_serve_closep) struct rh_serve *s = rh_new0(struct rh_serve);
    RH_AUTO(list_freep)
    struct addrinfo *there = resolve(site->toward, NULL, 0);
    RH_AUTO(rh_freep) char *own = NULL;

    s->lib = site->lib;
    s->listener = -1;
    pthread_mutex_init(&s->lock, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (const struct addrinfo *a = there; a; a = a->ai_next)
        admit(s, a);
    if (!site->address && there)
        own = address_toward(there);
    if (s->wake < 0 || (!site->address && !own)) {
        rh_fail(err, RH_ERR_SERVE_ADDRESS, "no address of ours leads to %.100s",
                site->toward);
        return NULL;
    }
    return open_at(s, site, site->address ? site->address : own, err) < 0
               ? NULL
               : RH_TAKE(s);
}

const char *rh_serve_name(const struct rh_serve *s)
{
    return s->name;
}

/* --- guests
 * ------------------------------------------------------------------- */

static void drop(struct guest *g)
{
    if (g->fd < 0)
        return;
    rh_tls_free(g->tls);
    close(g->fd);
    free(g->text);
    free(g->piece);
    *g = (struct guest){.fd = -1};
}

static void note_stranger(struct rh_serve *s, const struct in6_addr *a)
{
    pthread_mutex_lock(&s->lock);
    text_of(a, s->seen.stranger);
    pthread_mutex_unlock(&s->lock);
}

static struct guest *free_place(struct rh_serve *s)
{
    for (size_t i = 0; i < GUESTS; i++)
        if (s->guests[i].fd < 0)
            return &s->guests[i];
    return NULL;
}

/* All places are taken: who has not asked yet, gives way to who comes. */
static struct guest *make_place(struct rh_serve *s)
{
    struct guest *g = free_place(s);

    for (size_t i = 0; !g && i < GUESTS; i++)
        if (s->guests[i].state < TAKING) {
            drop(&s->guests[i]);
            g = &s->guests[i];
        }
    return g;
}

static void receive(struct rh_serve *s, int fd, const struct in6_addr *from)
{
    static const int one = 1;
    struct guest *g = NULL;
    struct rh_tls *tls = NULL;

    if (!is_admitted(s, from))
        note_stranger(s, from);
    else if ((g = make_place(s)))
        tls = rh_tls_new(s->tls, fd);
    if (!tls) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    *g = (struct guest){.fd = fd,
                        .tls = tls,
                        .events = POLLIN,
                        .until = now_ms() + ASKING,
                        .text = rh_malloc(RH_SERVE_HEAD)};
}

/* Who can't be let in stays in the queue, and would wake us at once. */
static void accept_some(struct rh_serve *s)
{
    for (unsigned i = 0; i < TURN; i++) {
        union address a = {.all = {0}};
        socklen_t n = sizeof a;
        struct in6_addr from;
        int fd = accept4(s->listener, &a.any, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                s->resting = now_ms() + RESTING;
            return;
        }
        from = mapped(&a);
        receive(s, fd, &from);
    }
}

/* --- the answer
 * --------------------------------------------------------------- */

static const char *phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 206:
        return "Partial Content";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 416:
        return "Range Not Satisfiable";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Bad Request";
    }
}

static void add_range(struct rh_buf *b, int status, uint64_t size,
                      const struct rh_serve_request *r)
{
    if (status == 206)
        rh_buf_printf(b, "Content-Range: bytes %llu-%llu/%llu\r\n",
                      (unsigned long long)r->from,
                      (unsigned long long)r->to - 1, (unsigned long long)size);
    else if (status == 416)
        rh_buf_printf(b, "Content-Range: bytes */%llu\r\n",
                      (unsigned long long)size);
    else if (status == 405)
        rh_buf_puts(b, "Allow: GET, HEAD\r\n");
}

static void answer(struct rh_serve *s, struct guest *g, size_t n)
{
    uint64_t size = s->file->size;
    struct rh_serve_request r = {0};
    int status =
        n ? rh_serve_parse(g->text, n, rh_secret_text(s->path), size, &r) : 431;
    bool good = status == 200 || status == 206;
    struct rh_buf b = {0};

    pthread_mutex_lock(&s->lock);
    s->seen.answered += good;
    pthread_mutex_unlock(&s->lock);
    rh_buf_printf(&b,
                  "HTTP/1.1 %d %s\r\nConnection: close\r\n"
                  "Content-Length: %llu\r\n",
                  status, phrase(status),
                  good ? (unsigned long long)(r.to - r.from) : 0ULL);
    if (good)
        rh_buf_puts(&b, "Content-Type: application/octet-stream\r\n"
                        "Accept-Ranges: bytes\r\nCache-Control: no-store\r\n");
    add_range(&b, status, size, &r);
    rh_buf_puts(&b, "\r\n");
    free(g->text);
    g->at = 0;
    g->have = b.length;
    g->text = rh_buf_take(&b);
    g->from = good && !r.head ? r.from : 0;
    g->to = good && !r.head ? r.to : 0;
    g->state = TAKING;
    g->until = now_ms() + SILENCE;
}

static int fill_piece(struct rh_serve *s, struct guest *g)
{
    size_t n = (size_t)RH_MIN(g->to - g->from, (uint64_t)PIECE);
    rh_error *e = NULL;

    if (!g->piece)
        g->piece = rh_malloc(PIECE);
    if (rh_rate_take(s->lib, n, &e) < 0 ||
        rh_io_read(s->file, g->piece, n, g->from, &e) < 0) {
        pthread_mutex_lock(&s->lock);
        if (!s->failure)
            s->failure = RH_TAKE(e);
        pthread_mutex_unlock(&s->lock);
        rh_error_free(e);
        return -1;
    }
    g->from += n;
    g->piece_have = n;
    g->piece_at = 0;
    return 0;
}

static void note_sent(struct rh_serve *s, const struct guest *g)
{
    uint64_t sent = g->from - (g->piece_have - g->piece_at);

    pthread_mutex_lock(&s->lock);
    s->seen.sent = RH_MAX(s->seen.sent, sent);
    pthread_mutex_unlock(&s->lock);
}

/* --- one step of one guest: 1 go on at once, 0 wait, -1 it is gone
 * ----------------- */

static int after(int result)
{
    return result == RH_TLS_WAIT ? 0 : -1;
}

static int greet(struct guest *g)
{
    int n = rh_tls_handshake(g->tls, &g->events);

    if (n <= 0)
        return after(n);
    g->state = ASKING_FOR;
    return 1;
}

static int ask(struct rh_serve *s, struct guest *g)
{
    int n = rh_tls_read(g->tls, g->text + g->have, RH_SERVE_HEAD - g->have,
                        &g->events);
    size_t end;

    if (n <= 0)
        return after(n);
    g->have += (size_t)n;
    end = rh_serve_head_end(g->text, g->have);
    if (!end && g->have < RH_SERVE_HEAD)
        return 1;
    answer(s, g, end);
    return 1;
}

static int take(struct rh_serve *s, struct guest *g)
{
    const void *bytes;
    size_t left;
    int n;

    if (g->at == g->have && g->piece_at == g->piece_have) {
        if (g->from == g->to) {
            g->state = LEAVES;
            g->until = now_ms() + LEAVING;
            return 1;
        }
        if (fill_piece(s, g) < 0)
            return -1;
    }
    left = g->at < g->have ? g->have - g->at : g->piece_have - g->piece_at;
    bytes = g->at < g->have ? (const void *)(g->text + g->at)
                            : (const void *)(g->piece + g->piece_at);
    n = rh_tls_write(g->tls, bytes, left, &g->events);
    if (n <= 0)
        return after(n);
    *(g->at < g->have ? &g->at : &g->piece_at) += (size_t)n;
    g->until = now_ms() + SILENCE;
    note_sent(s, g);
    return 1;
}

/* All was written into the socket: it ends the connection once it has read
 * that.  Ended by us with bytes under way, they might be lost. */
static int leave(struct guest *g)
{
    char byte;

    return after(rh_tls_read(g->tls, &byte, 1, &g->events));
}

static int step(struct rh_serve *s, struct guest *g)
{
    switch (g->state) {
    case GREETING:
        return greet(g);
    case ASKING_FOR:
        return ask(s, g);
    case TAKING:
        return take(s, g);
    case LEAVES:
        break;
    }
    return leave(g);
}

/* --- the thread
 * --------------------------------------------------------------- */

static void turn(struct rh_serve *s, struct guest *g, bool ready)
{
    int more = ready ? 1 : 0;

    for (unsigned i = 0; more > 0 && i < TURN; i++)
        more = step(s, g);
    if (more > 0)
        g->events =
            POLLIN | POLLOUT; /* it has more to do when it is its turn */
    if (more < 0 || now_ms() > g->until)
        drop(g);
}

static void once(struct rh_serve *s)
{
    struct pollfd fds[2 + GUESTS] = {{.fd = s->wake, .events = POLLIN},
                                     {.fd = s->listener, .events = POLLIN}};

    if (now_ms() < s->resting)
        fds[1].fd = -1;
    for (size_t i = 0; i < GUESTS; i++)
        fds[2 + i] = (struct pollfd){.fd = s->guests[i].fd,
                                     .events = s->guests[i].events};
    if (poll(fds, 2 + GUESTS, 1000) < 0)
        return;
    if (fds[0].revents) {
        s->stop = true;
        return;
    }
    for (size_t i = 0; i < GUESTS; i++)
        if (s->guests[i].fd >= 0)
            turn(s, &s->guests[i], fds[2 + i].revents != 0);
    if (fds[1].revents)
        accept_some(s);
}

/* A reader that is gone must not end the program: SIGPIPE, which OpenSSL's
 * writes raise, stays with this thread. */
static void *serve(void *user)
{
    struct rh_serve *s = user;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (!s->stop)
        once(s);
    for (size_t i = 0; i < GUESTS; i++)
        drop(&s->guests[i]);
    return NULL;
}

static struct rh_secret *new_path(rh_error **err)
{
    unsigned char random[PATH_BYTES];
    char hex[2 * PATH_BYTES + 1];
    struct rh_secret *path;

    if (rh_random(random, sizeof random, err) < 0)
        return NULL;
    for (size_t i = 0; i < PATH_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    path = rh_secret_join("/", hex, NULL);
    rh_wipe(random, sizeof random);
    rh_wipe(hex, sizeof hex);
    return path;
}

struct rh_secret *rh_serve_file(struct rh_serve *s, struct rh_io *file,
                                rh_error **err)
{
    struct rh_secret *url;

    rh_serve_withdraw(s);
    s->path = new_path(err);
    if (!s->path)
        return NULL;
    url = rh_secret_join(s->name, rh_secret_text(s->path), NULL);
    s->file = file;
    s->seen = (struct rh_serve_seen){0};
    s->stop = false;
    for (size_t i = 0; i < GUESTS; i++)
        s->guests[i] = (struct guest){.fd = -1};
    s->running = url && pthread_create(&s->thread, NULL, serve, s) == 0;
    if (s->running)
        return url;
    rh_secret_free(url);
    rh_fail(err, RH_ERR_MEMORY, "no thread to serve a file");
    return NULL;
}

int rh_serve_look(struct rh_serve *s, struct rh_serve_seen *ret, rh_error **err)
{
    rh_error *e;

    pthread_mutex_lock(&s->lock);
    *ret = s->seen;
    e = RH_TAKE(s->failure);
    pthread_mutex_unlock(&s->lock);
    if (!e)
        return 0;
    if (err && !*err)
        *err = RH_TAKE(e);
    rh_error_free(e);
    return -1;
}

void rh_serve_withdraw(struct rh_serve *s)
{
    static const uint64_t one = 1;
    uint64_t count;

    if (s->running) {
        if (write(s->wake, &one, sizeof one) != (ssize_t)sizeof one)
            abort(); /* a counter of ours takes one more */
        pthread_join(s->thread, NULL);
        if (read(s->wake, &count, sizeof count) < 0)
            abort();
    }
    s->running = false;
    s->file = NULL;
    rh_secret_free(s->path);
    s->path = NULL;
    rh_error_free(s->failure);
    s->failure = NULL;
}

void rh_serve_close(struct rh_serve *s)
{
    if (!s)
        return;
    rh_serve_withdraw(s);
    if (s->listener >= 0)
        close(s->listener);
    if (s->wake >= 0)
        close(s->wake);
    rh_tls_site_free(s->tls);
    pthread_mutex_destroy(&s->lock);
    free(s->readers.items);
    free(s->name);
    free(s);
}
