/* login.h - who we are at a server: from a file, the environment, or a prompt.
 *
 * A login file is YAML that only its owner can read, one entry for each host:
 *
 *     pve1.example.net:            # or HOST:PORT; "*" is any host
 *       token: root@pam!rehost=11111111-2222-3333-4444-555555555555
 *       pin: 3A:5F:...             # SHA-256 of the server's certificate
 *     xen1.example.net:
 *       user: root
 *       password: secret
 *
 * The environment comes next, then the caller's prompt (rh_on_ask). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_LOGIN_H
#define RH_BASE_LOGIN_H

#include "base/lib.h"
#include "base/secret.h"

/* What is not known is NULL. */
struct rh_login {
    struct rh_secret *user, *password, *token;
    char *pin;
};
struct rh_login_source {
    rh_lib *lib;
    const char *file;   /* NULL: none */
    const char *prefix; /* of the environment: "REHOST_", "REHOST_SOURCE_" */
    unsigned port;      /* of a server whose address has none */
    bool wants_token;   /* a token is asked for, not user and password */
};
/* For the server "HOST:PORT".  LOGIN_FILE, LOGIN_MODE; LOGIN_MISSING when there
 * is neither a token nor a password. */
int rh_login_find(const struct rh_login_source *s, const char *authority,
                  struct rh_login *ret, rh_error **err);
void rh_login_free(struct rh_login *l); /* also for RH_AUTO */

#endif
