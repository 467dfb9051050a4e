/* remote.c - the checks of a delivery to an API. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/remote.h"

#include <stdlib.h>

int rh_remote_check(const char *text, size_t least, size_t most,
                    const char *form, rh_error **err)
{
    RH_AUTO(rh_remote_url_free) struct rh_remote_url u = {0};

    if (rh_remote_url(text, &u, err) < 0)
        return -1;
    if (u.count >= least && u.count <= most)
        return 0;
    return rh_fail(err, RH_ERR_DELIVERY_URL, "the URL is %s", form);
}

/* --- checks ------------------------------------------------------------------
 */

static struct rh_check *add_check(struct rh_checks *c, const char *fmt,
                                  va_list ap)
{
    struct rh_check *check = rh_vec_add(&c->list);
    RH_AUTO(rh_freep) char *text = rh_vprintf(_(fmt), ap);

    check->text = rh_printable(text);
    return check;
}

void rh_check_good(struct rh_checks *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_check(c, fmt, ap);
    va_end(ap);
}

void rh_check_caution(struct rh_checks *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_check(c, fmt, ap)->caution = true;
    va_end(ap);
}

void rh_check_bad(struct rh_checks *c, enum rh_error_id id, const char *fmt,
                  ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_check(c, fmt, ap)->id = id;
    va_end(ap);
}

void rh_check_hint(struct rh_checks *c, const char *fmt, ...)
{
    struct rh_check *check = &c->list.items[c->list.count - 1];
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    free(check->hint);
    check->hint = rh_printable(text);
}

void rh_check_network(struct rh_checks *c, bool there, const char *name,
                      const char *all)
{
    if (there) {
        rh_check_good(c, "network \"%s\" is there", name);
        return;
    }
    rh_check_bad(c, RH_ERR_DELIVERY_NETWORK, "the pool has no network \"%s\"",
                 name);
    rh_check_hint(c, "name one with --network-map '%s=NAME'; there are: %s",
                  name, all ? all : "");
}

int rh_checks_verdict(const struct rh_checks *c, rh_lib *lib, rh_error **err)
{
    const struct rh_check *bad = NULL;

    for (size_t i = 0; i < c->list.count; i++) {
        const struct rh_check *check = &c->list.items[i];

        if (check->id != RH_ERR_NONE && !bad)
            bad = check;
        else if (check->id != RH_ERR_NONE || check->caution)
            rh_log(lib, RH_LOG_WARN, "%s", check->text);
        else
            rh_log(lib, RH_LOG_INFO, "%s", check->text);
    }
    if (!bad)
        return 0;
    rh_fail(err, bad->id, "%s", bad->text);
    return bad->hint ? rh_hint(err, "%s", bad->hint) : -1;
}

bool rh_checks_bad(const struct rh_checks *c)
{
    for (size_t i = 0; i < c->list.count; i++)
        if (c->list.items[i].id != RH_ERR_NONE)
            return true;
    return false;
}

static enum rh_finding_id finding_of(const struct rh_check *check)
{
    static const struct {
        enum rh_error_id error;
        enum rh_finding_id finding;
    } rows[] = {
        {RH_ERR_DELIVERY_LIMIT, RH_F_DELIVERY_LIMIT},
        {RH_ERR_DELIVERY_NETWORK, RH_F_DELIVERY_NETWORK},
        {RH_ERR_DELIVERY_RIGHTS, RH_F_DELIVERY_RIGHTS},
        {RH_ERR_DELIVERY_SPACE, RH_F_DELIVERY_SPACE},
        {RH_ERR_DELIVERY_TAKEN, RH_F_DELIVERY_TAKEN},
    };

    for (size_t i = 0; i < RH_COUNT(rows); i++)
        if (rows[i].error == check->id)
            return rows[i].finding;
    return check->caution ? RH_F_DELIVERY_NOTE : RH_F_DELIVERY_PLACE;
}

void rh_checks_find(const struct rh_checks *c, struct rh_findings *findings)
{
    for (size_t i = 0; i < c->list.count; i++) {
        const struct rh_check *check = &c->list.items[i];
        struct rh_finding *f;

        if (check->id == RH_ERR_NONE && !check->caution)
            continue;
        f = rh_finding_add(findings, finding_of(check), "vm", "%s",
                           check->text);
        if (check->hint) {
            free(f->remedy);
            f->remedy = rh_strdup(check->hint);
        }
    }
}

void rh_checks_free(struct rh_checks *c)
{
    for (size_t i = 0; i < c->list.count; i++) {
        free(c->list.items[i].text);
        free(c->list.items[i].hint);
    }
    free(c->list.items);
    *c = (struct rh_checks){0};
}
