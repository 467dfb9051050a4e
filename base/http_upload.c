/* http_upload.c - bodies pushed to a server as they are made.
 *
 * Whoever makes the bytes calls write(), which drives libcurl until it has
 * taken them, and libcurl's reading stops in between. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/http.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/http_client.h"
#include "base/rate.h"
#include "base/wait.h"

#ifdef HAVE_LIBCURL

enum {
    UPLOAD_SILENCE = 15 * 60, /* a storage may zero what it allots first */
    UPLOAD_BUFFER = 512 * 1024,
};

struct rh_http_upload {
    struct transfer t;
    struct rh_http_request r; /* its texts are the caller's */
    struct rh_http_answer answer;
    CURLM *multi;
    const char *next; /* what is being written */
    size_t left;
    uint64_t sent;
    bool ending, paused, done;
    CURLcode code; /* once done */
    char *path, *type, *method;
};

static size_t on_read(char *to, size_t one, size_t n, void *user)
{
    struct rh_http_upload *u = user;
    size_t part = RH_MIN(u->left, one * n);

    if (!part && u->ending)
        return 0;
    if (!part) {
        u->paused = true;
        return CURL_READFUNC_PAUSE;
    }
    memcpy(to, u->next, part);
    u->next += part;
    u->left -= part;
    u->sent += part;
    return part;
}

void rh_http_upload_close(struct rh_http_upload *u)
{
    if (!u)
        return;
    if (u->multi && u->t.curl)
        rh_curl.multi_remove_handle(u->multi, u->t.curl);
    if (u->t.curl)
        rh_curl.easy_cleanup(u->t.curl);
    if (u->multi)
        rh_curl.multi_cleanup(u->multi);
    rh_http_drop_lines(&u->t);
    rh_error_free(u->t.error);
    rh_http_answer_free(&u->answer);
    rh_wipe_freep(&u->path);
    free(u->type);
    free(u->method);
    free(u);
}

static void set_upload(struct rh_http_upload *u, int64_t size)
{
    CURL *c = u->t.curl;

    if (size == RH_HTTP_OPEN) /* or libcurl would send chunks */
        rh_http_add_line(&u->t.lines, "Transfer-Encoding:");
    rh_http_set_transfer(&u->t);
    rh_curl.easy_setopt(c, CURLOPT_UPLOAD, 1L);
    rh_curl.easy_setopt(c, CURLOPT_CUSTOMREQUEST, u->method);
    rh_curl.easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
                        (curl_off_t)(size < 0 ? -1 : size));
    rh_curl.easy_setopt(c, CURLOPT_READFUNCTION, on_read);
    rh_curl.easy_setopt(c, CURLOPT_READDATA, u);
    rh_curl.easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    /* A connection of its own, that nothing follows on. */
    rh_curl.easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    rh_curl.easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
}

struct rh_http_upload *rh_http_upload_start(struct rh_http *h,
                                            const struct rh_http_request *r,
                                            int64_t size, rh_error **err)
{
    struct rh_http_upload *u = rh_new0(struct rh_http_upload);

    u->path = rh_strdup(r->path);
    u->type = rh_strdup(r->type ? r->type : "application/octet-stream");
    u->method = rh_strdup(r->method ? r->method : "PUT");
    u->r = *r;
    u->r.path = u->path;
    u->r.type = u->type;
    u->r.method = u->method;
    u->t = (struct transfer){.h = h, .r = &u->r, .answer = &u->answer};
    h->trust.seen[0] = '\0';
    u->t.curl = rh_curl_new(&h->trust, err);
    u->multi = rh_curl.multi_init();
    if (u->t.curl && u->multi) {
        set_upload(u, size);
        if (rh_curl.multi_add_handle(u->multi, u->t.curl) == CURLM_OK)
            return u;
    }
    rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
    rh_http_upload_close(u);
    return NULL;
}

/* What can be done now, without waiting. */
static int step(struct rh_http_upload *u, rh_error **err)
{
    CURLMsg *message;
    int running = 0, left;

    if (u->paused && (u->left || u->ending)) {
        u->paused = false;
        rh_curl.easy_pause(u->t.curl, CURLPAUSE_CONT);
    }
    if (rh_curl.multi_perform(u->multi, &running) != CURLM_OK)
        return rh_fail(err, RH_ERR_HTTP_FAILED, "the transfer cannot go on");
    while ((message = rh_curl.multi_info_read(u->multi, &left)))
        if (message->msg == CURLMSG_DONE) {
            u->done = true;
            u->code = message->data.result;
        }
    rh_curl.easy_getinfo(u->t.curl, CURLINFO_RESPONSE_CODE, &u->answer.status);
    return rh_go_on(u->t.h->lib, err);
}

/* Until all is taken (or, ending, all is answered), or the server ends it. */
static int drive(struct rh_http_upload *u, rh_error **err)
{
    unsigned limit = u->r.silence ? u->r.silence : UPLOAD_SILENCE;
    uint64_t last = u->sent;
    time_t since = time(NULL);

    while (!u->done) {
        if (step(u, err) < 0)
            return -1;
        if (u->done || (!u->left && !u->ending))
            break;
        rh_curl.multi_poll(u->multi, NULL, 0, RH_CURL_POLL, NULL);
        if (u->sent != last)
            since = time(NULL);
        last = u->sent;
        if (time(NULL) - since > (time_t)limit)
            return rh_fail(err, RH_ERR_HTTP_FAILED,
                           "the server took nothing for %u seconds", limit);
    }
    return 0;
}

/* A part of a write(). */
static int upload_part(struct rh_http_upload *u, const void *bytes, size_t n,
                       rh_error **err)
{
    if (rh_rate_take(u->t.h->lib, n, err) < 0)
        return -1;
    u->next = bytes;
    u->left = n;
    if (drive(u, err) < 0)
        return rh_error_subject(err, u->t.h->base);
    if (!u->left)
        return 0;
    u->left = 0;
    if (u->code != CURLE_OK)
        return rh_http_say(&u->t, u->code, err);
    rh_fail(err, RH_ERR_HTTP_FAILED,
            "the server ended the transfer after %llu bytes (status %ld)",
            (unsigned long long)u->sent, u->answer.status);
    return rh_error_subject(err, u->t.h->base);
}

int rh_http_upload_write(struct rh_http_upload *u, const void *bytes, size_t n,
                         rh_error **err)
{
    const char *from = bytes;
    size_t part;

    /* Small enough that no server sees a silence where a rate is set. */
    do {
        part = RH_MIN(n, (size_t)UPLOAD_BUFFER);
        if (upload_part(u, from, part, err) < 0)
            return -1;
        from += part;
        n -= part;
    } while (n);
    return 0;
}

uint64_t rh_http_upload_sent(const struct rh_http_upload *u)
{
    return u->sent;
}

const struct rh_http_answer *rh_http_upload_wait(struct rh_http_upload *u,
                                                 unsigned seconds,
                                                 rh_error **err)
{
    time_t end = time(NULL) + (time_t)seconds;

    while (!u->done && !u->answer.status && time(NULL) <= end) {
        if (step(u, err) < 0)
            return NULL;
        if (!u->done && !u->answer.status)
            rh_curl.multi_poll(u->multi, NULL, 0, RH_CURL_POLL / 10, NULL);
    }
    if (u->done && u->code != CURLE_OK) {
        rh_http_say(&u->t, u->code, err);
        return NULL;
    }
    return &u->answer;
}

int rh_http_upload_finish(struct rh_http_upload *u, struct rh_http_answer *ret,
                          rh_error **err)
{
    u->ending = true;
    if (drive(u, err) < 0)
        return rh_error_subject(err, u->t.h->base);
    if (u->code != CURLE_OK)
        return rh_http_say(&u->t, u->code, err);
    rh_http_log(u->t.h, &u->r, u->answer.status);
    *ret = u->answer;
    u->answer = (struct rh_http_answer){0};
    return 0;
}

#endif

/* --- an upload as a sink
 * --------------------------------------------------------- */

static int upload_write(struct rh_out *o, const void *buf, size_t n,
                        uint64_t offset, rh_error **err)
{
    (void)offset;
    return rh_http_upload_write(o->state, buf, n, err);
}

struct rh_out *rh_http_upload_out(struct rh_http_upload *u)
{
    static const struct rh_out_ops ops = {.write = upload_write};

    return rh_out_make(&ops, "upload", false, u);
}
