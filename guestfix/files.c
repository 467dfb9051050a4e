/* files.c - small conveniences over rh_guest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/guest.h"

/* A crash leaves zeros in a file, mostly at its end: what stands behind them is
 * text all the same, and is not lost when the file is written again. */
static void drop_zeros(char *text, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (text[i])
            text[kept++] = text[i];
    text[kept] = '\0';
}

char *rh_guest_text(struct rh_guest *g, const char *path, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    void *bytes;
    size_t n;

    if (g->ops->read(g, path, RH_TEXT_FILE_MAX, &bytes, &n, &why) == 0) {
        drop_zeros(bytes, n);
        return bytes;
    }
    if (rh_error_number(why) != RH_ERR_FILE_NOT_FOUND &&
        rh_error_number(why) != RH_ERR_FILE_TYPE && err && !*err)
        *err = RH_TAKE(why);
    return NULL;
}

char rh_guest_type(uint32_t mode)
{
    switch (mode & 0170000) {
    case 0100000:
        return 'f';
    case 0040000:
        return 'd';
    case 0120000:
        return 'l';
    default:
        return '?';
    }
}

void rh_guest_mode(struct rh_guest_stat *s, uint32_t bits)
{
    s->type = rh_guest_type(bits);
    s->mode = bits & 07777;
}

bool rh_guest_exists(struct rh_guest *g, const char *path)
{
    struct rh_guest_stat st;

    return g->ops->stat(g, path, true, &st, NULL) == 0;
}

bool rh_guest_is_dir(struct rh_guest *g, const char *path)
{
    struct rh_guest_stat st;

    return g->ops->stat(g, path, true, &st, NULL) == 0 && st.type == 'd';
}

char **rh_guest_names(struct rh_guest *g, const char *path)
{
    char **names = NULL;

    return g->ops->list(g, path, &names, NULL) == 0 ? names : NULL;
}

void rh_name_list_free(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

void rh_name_list_freep(char ***names)
{
    rh_name_list_free(*names);
}

/* The path without its first symbolic link; NULL: there is none. */
static char *without_a_link(struct rh_guest *g, const char *path)
{
    struct rh_guest_stat st;

    if (!*path)
        return NULL;
    for (const char *end = path + 1;; end++) {
        RH_AUTO(rh_freep) char *part = NULL;
        RH_AUTO(rh_freep) char *target = NULL;
        const char *slash;

        end += strcspn(end, "/");
        part = rh_strndup(path, (size_t)(end - path));
        if (g->ops->stat(g, part, false, &st, NULL) == 0 && st.type == 'l' &&
            g->ops->read_link(g, part, &target, NULL) == 0) {
            slash = strrchr(part, '/');
            return target[0] == '/'
                       ? rh_printf("%s%s", target, end)
                       : rh_printf("%.*s/%s%s", (int)(slash - part), part,
                                   target, end);
        }
        if (!*end)
            return NULL;
    }
}

/* "/a/../b" is "/b": no link is left in it. */
static void drop_dots(char *path)
{
    char *to = path, *from = path;

    while (*from) {
        size_t n = 1 + strcspn(from + 1, "/");

        if (n == 3 && !strncmp(from, "/..", 3)) {
            while (to > path && *--to != '/')
                ;
        } else if (n > 1 && !(n == 2 && from[1] == '.')) {
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    *to = '\0';
}

char *rh_guest_real(struct rh_guest *g, const char *path)
{
    enum { LINKS_MAX = 40 };
    char *real = rh_strdup(path), *next;

    for (unsigned i = 0; i < LINKS_MAX && (next = without_a_link(g, real));
         i++) {
        free(real);
        real = next;
    }
    drop_dots(real);
    return real;
}
