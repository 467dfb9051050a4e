/* stamp.c - ask a web server for the first byte, and keep what it says of the
 * file.  Not HEAD: signed addresses are often good for GET alone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/stamp.h"

#include <string.h>
#include <strings.h>

#include "base/curl.h"
#include "base/text.h"

#ifdef HAVE_LIBCURL

enum { TIME_MOST = 10, REDIRECTS = 5, WORDS_MOST = 2048 };

struct asking {
    rh_lib *lib;
    struct rh_buf words; /* of the last answer */
};

static bool tells(const char *line, size_t n)
{
    static const char *const names[] = {
        "ETag:", "Last-Modified:", "Content-Range:"};

    for (size_t i = 0; i < RH_COUNT(names); i++)
        if (n > strlen(names[i]) &&
            !strncasecmp(line, names[i], strlen(names[i])))
            return true;
    return false;
}

static size_t on_header(char *line, size_t one, size_t n, void *user)
{
    struct asking *a = user;

    (void)one;
    if (n > 5 && !memcmp(line, "HTTP/", 5)) /* also after each redirect */
        a->words.length = 0;
    else if (tells(line, n) && a->words.length + n < WORDS_MOST)
        rh_buf_add(&a->words, line, n);
    return n;
}

/* The first byte is enough. */
static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    (void)bytes, (void)one, (void)user;
    return n > 1 ? 0 : n;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now,
                       curl_off_t up_total, curl_off_t up)
{
    struct asking *a = user;

    (void)total, (void)now, (void)up_total, (void)up;
    return rh_go_on(a->lib, NULL);
}

static void set(CURL *c, struct asking *a, const char *url)
{
    rh_curl.easy_setopt(c, CURLOPT_URL, url);
    rh_curl.easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                        strncasecmp(url, "https:", 6) ? "http,https" : "https");
    rh_curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    rh_curl.easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    rh_curl.easy_setopt(c, CURLOPT_RANGE, "0-0");
    rh_curl.easy_setopt(c, CURLOPT_TIMEOUT, (long)TIME_MOST);
    rh_curl.easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    rh_curl.easy_setopt(c, CURLOPT_HEADERDATA, a);
    rh_curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    rh_curl.easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    rh_curl.easy_setopt(c, CURLOPT_XFERINFODATA, a);
    rh_curl.easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

char *rh_http_stamp(rh_lib *lib, const char *url)
{
    RH_AUTO(rh_curl_trust_free) struct rh_curl_trust trust = {0};
    struct asking a = {.lib = lib};
    CURL *c = rh_curl_load(NULL) < 0 ? NULL : rh_curl_new(&trust, NULL);
    curl_off_t length = -1;
    long status = 0;

    if (!c)
        return NULL;
    set(c, &a, url);
    rh_curl.easy_perform(c);
    rh_curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    rh_curl.easy_getinfo(c, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    rh_curl.easy_cleanup(c);
    if (status == 200) /* it sends all: its length is the file's */
        rh_buf_printf(&a.words, "length %lld", (long long)length);
    if ((status == 200 || status == 206) && a.words.length)
        return rh_buf_take(&a.words);
    rh_buf_free(&a.words);
    return NULL;
}

#else

char *rh_http_stamp(rh_lib *lib, const char *url)
{
    (void)lib, (void)url;
    return NULL;
}

#endif
