/* mem.c - allocation helpers; see mem.h for the rule. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static void *or_die(void *p)
{
    static const char text[] = "rehost: out of memory\n";

    if (p)
        return p;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        abort();
    abort();
}

void *rh_malloc(size_t size)
{
    return or_die(malloc(size ? size : 1));
}

void *rh_calloc(size_t count, size_t size)
{
    return or_die(calloc(count ? count : 1, size ? size : 1));
}

void *rh_realloc_array(void *p, size_t count, size_t size)
{
    size_t bytes;

    if (rh_mul_overflows(count, size, &bytes))
        return or_die(NULL);
    return or_die(realloc(p, bytes ? bytes : 1));
}

char *rh_strdup(const char *text)
{
    return text ? or_die(strdup(text)) : NULL;
}

char *rh_strndup(const char *text, size_t n)
{
    return text ? rh_memdup0(text, strnlen(text, n)) : NULL;
}

char *rh_memdup0(const void *bytes, size_t n)
{
    char *copy = rh_malloc(n + 1);

    if (n)
        memcpy(copy, bytes, n);
    copy[n] = '\0';
    return copy;
}

char *rh_vprintf(const char *fmt, va_list ap)
{
    char *text = NULL;

    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    return or_die(text);
}

char *rh_printf(const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    return text;
}

void *rh_alloc_big(size_t size, struct rh_error **err)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        rh_fail(err, RH_ERR_MEMORY, "no memory for %zu bytes", size);
    return p;
}

void rh_freep(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void rh_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

void *rh_vec_grow_(void *items, size_t *room, size_t size)
{
    size_t more = *room ? *room * 2 : 8;

    items = rh_realloc_array(items, more, size);
    *room = more;
    return items;
}

void rh_zero_(void *p, size_t n)
{
    memset(p, 0, n);
}

static void buf_reserve(struct rh_buf *b, size_t more)
{
    size_t need = b->length + more + 1;

    if (need <= b->room)
        return;
    b->room = RH_MAX(need, b->room * 2);
    b->data = rh_realloc_array(b->data, b->room, 1);
}

char *rh_buf_more(struct rh_buf *b, size_t n)
{
    buf_reserve(b, n);
    b->length += n;
    b->data[b->length] = '\0';
    return b->data + b->length - n;
}

void rh_buf_add(struct rh_buf *b, const void *bytes, size_t n)
{
    char *to = rh_buf_more(b, n);

    if (n)
        memcpy(to, bytes, n);
}

void rh_buf_puts(struct rh_buf *b, const char *text)
{
    rh_buf_add(b, text, strlen(text));
}

void rh_buf_putc(struct rh_buf *b, char c)
{
    rh_buf_add(b, &c, 1);
}

void rh_buf_printf(struct rh_buf *b, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    rh_buf_puts(b, text);
}

char *rh_buf_take(struct rh_buf *b)
{
    char *text = b->data ? b->data : rh_strdup("");

    *b = (struct rh_buf){0};
    return text;
}

void rh_buf_free(struct rh_buf *b)
{
    free(b->data);
    *b = (struct rh_buf){0};
}

/* An arena is a list of blocks; large pieces get a block of their own. */
struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

struct rh_arena {
    struct block *top;
};

enum { ARENA_BLOCK = 4096 };

struct rh_arena *rh_arena_new(void)
{
    return rh_new0(struct rh_arena);
}

void rh_arena_free(struct rh_arena *a)
{
    struct block *b, *next;

    if (!a)
        return;
    for (b = a->top; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *rh_arena_zalloc(struct rh_arena *a, size_t size)
{
    struct block *b = a->top;
    size_t want = (size_t)rh_round_up(size ? size : 1, 16);

    if (!b || b->size - b->used < want) {
        size_t room = RH_MAX(want, (size_t)ARENA_BLOCK);

        b = rh_calloc(1, sizeof *b + room);
        b->size = room;
        b->next = a->top;
        a->top = b;
    }
    b->used += want;
    return b->bytes + b->used - want;
}

char *rh_arena_strndup(struct rh_arena *a, const char *text, size_t n)
{
    size_t length;
    char *copy;

    if (!text)
        return NULL;
    length = strnlen(text, n);
    copy = rh_arena_zalloc(a, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *rh_arena_strdup(struct rh_arena *a, const char *text)
{
    return text ? rh_arena_strndup(a, text, strlen(text)) : NULL;
}

char *rh_arena_printf(struct rh_arena *a, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    return rh_arena_strdup(a, text);
}
