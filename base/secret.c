/* secret.c - memory for passwords: its own pages, locked, left out of dumps. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct rh_secret {
    size_t mapped; /* bytes of pages, this struct at their start */
    char text[];
};

void rh_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

void rh_wipe_freep(char **text)
{
    if (*text)
        rh_wipe(*text, strlen(*text));
    free(*text);
}

/* Locking may be refused (RLIMIT_MEMLOCK); the rest still holds then. */
static struct rh_secret *new_pages(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (size_t)rh_round_up(sizeof(struct rh_secret) + n + 1, page);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct rh_secret *s = p;

    if (p == MAP_FAILED)
        return NULL;
    mlock(p, size);
    madvise(p, size, MADV_DONTDUMP);
    s->mapped = size;
    return s;
}

struct rh_secret *rh_secret_new(const char *text)
{
    return text ? rh_secret_join(text, NULL) : NULL;
}

static size_t length_of(const char *first, va_list ap)
{
    size_t n = strlen(first);
    const char *next;

    while ((next = va_arg(ap, const char *)))
        n += strlen(next);
    return n;
}

struct rh_secret *rh_secret_join(const char *first, ...)
{
    struct rh_secret *s = NULL;
    const char *next;
    va_list ap;
    size_t n, at = 0;

    va_start(ap, first);
    n = length_of(first, ap);
    va_end(ap);
    if (n <= RH_SECRET_MAX)
        s = new_pages(n);
    if (!s)
        return NULL;
    va_start(ap, first);
    for (next = first; next; next = va_arg(ap, const char *)) {
        size_t part = strlen(next);

        memcpy(s->text + at, next, part);
        at += part;
    }
    va_end(ap);
    s->text[at] = '\0';
    return s;
}

const char *rh_secret_text(const struct rh_secret *s)
{
    return s ? s->text : NULL;
}

void rh_secret_free(struct rh_secret *s)
{
    size_t mapped;

    if (!s)
        return;
    mapped = s->mapped;
    rh_wipe(s, mapped);
    munmap(s, mapped);
}
