/* host.c - libvirt itself: loaded when needed, connected to, its errors. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_LIBVIRT
#include <stdlib.h>
#include <string.h>

#include "deliver/libvirt/virt.h"

struct rh_virt_calls rh_virt;

/* What it has to say is asked for; by itself it prints. */
static void say_nothing(void *user, virErrorPtr e)
{
    (void)user;
    (void)e;
}

static int load(rh_error **err)
{
#define NAME(name) "vir" #name,
    static const char *const names[] = {RH_VIRT_CALLS(NAME)};
#undef NAME

    if (rh_late_load("libvirt.so.0", names, RH_COUNT(names), &rh_virt, err) < 0)
        return rh_hint(err, "install libvirt0, or convert into a folder and "
                            "run its import.sh on the host");
    rh_virt.SetErrorFunc(NULL, say_nothing);
    return 0;
}

bool rh_virt_was(int code)
{
    const virError *e = rh_virt.GetLastError();

    return e && e->code == code;
}

int rh_virt_fail(const char *what, rh_error **err)
{
    static const struct {
        int code;
        enum rh_error_id id;
    } rows[] = {
        {VIR_ERR_ACCESS_DENIED, RH_ERR_DELIVERY_RIGHTS},
        {VIR_ERR_AUTH_CANCELLED, RH_ERR_LOGIN_REFUSED},
        {VIR_ERR_AUTH_FAILED, RH_ERR_LOGIN_REFUSED},
        {VIR_ERR_AUTH_UNAVAILABLE, RH_ERR_LOGIN_REFUSED},
        {VIR_ERR_CONFIG_UNSUPPORTED, RH_ERR_DELIVERY_LIMIT},
        {VIR_ERR_DOM_EXIST, RH_ERR_DELIVERY_TAKEN},
        {VIR_ERR_NO_CONNECT, RH_ERR_DELIVERY_URL},
        {VIR_ERR_OPERATION_DENIED, RH_ERR_DELIVERY_RIGHTS},
        {VIR_ERR_STORAGE_VOL_EXIST, RH_ERR_DELIVERY_TAKEN},
        {VIR_ERR_XML_INVALID_SCHEMA, RH_ERR_DELIVERY_LIMIT},
    };
    const virError *e = rh_virt.GetLastError();
    enum rh_error_id id = RH_ERR_DELIVERY_FAILED;
    RH_AUTO(rh_freep)
    char *text = rh_printable(e && e->message ? e->message : "?");

    for (size_t i = 0; e && i < RH_COUNT(rows); i++)
        if (rows[i].code == e->code)
            id = rows[i].id;
    if (strstr(text, "No space left"))
        id = RH_ERR_DELIVERY_SPACE;
    return rh_fail(err, id, "%s: libvirt says: %.600s", what, text);
}

/* --- the URL
 * ----------------------------------------------------------------------------
 */

/* "qemu+ssh://user:secret@host/": a password must stand nowhere. */
static bool has_password(const char *uri)
{
    const char *host = strstr(uri, "://");
    const char *end = host ? host + 3 + strcspn(host + 3, "/?#") : NULL;
    const char *at =
        host ? memchr(host + 3, '@', (size_t)(end - host - 3)) : NULL;

    return at && memchr(host + 3, ':', (size_t)(at - host - 3));
}

int rh_virt_url(const char *text, struct rh_virt_host *ret, rh_error **err)
{
    const char *uri = strchr(text, ':') + 1;
    const char *hash = strrchr(uri, '#');
    size_t n = hash ? (size_t)(hash - uri) : strlen(uri);

    if (has_password(uri))
        return rh_fail(err, RH_ERR_HTTP_USERINFO,
                       "a URL may not hold a password");
    if (!n || !memchr(uri, ':', n) || (hash && !hash[1]))
        return rh_fail(err, RH_ERR_DELIVERY_URL,
                       "the URL is libvirt:URI[#POOL], as in "
                       "libvirt:qemu:///system#default");
    ret->text = rh_strdup(text);
    ret->uri = rh_strndup(uri, n);
    ret->pool = hash ? rh_strdup(hash + 1) : NULL;
    return 0;
}

int rh_virt_connect(struct rh_virt_host *h, rh_lib *lib, rh_error **err)
{
    h->lib = lib;
    if (load(err) < 0)
        return -1;
    h->conn = rh_virt.ConnectOpenAuth(h->uri, NULL, 0);
    if (h->conn)
        return 0;
    rh_virt_fail(_("cannot connect"), err);
    rh_hint(err,
            "see whether `virsh -c %s list` works: rehost logs in as it "
            "does",
            h->uri);
    return rh_error_subject(err, h->uri);
}

void rh_virt_close(struct rh_virt_host *h)
{
    if (h->conn)
        rh_virt.ConnectClose(h->conn);
    free(h->text);
    free(h->uri);
    free(h->pool);
    *h = (struct rh_virt_host){0};
}
#endif
