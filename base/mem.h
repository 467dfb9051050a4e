/* mem.h - memory and scope rules that every file uses.
 *
 * Small allocations cannot fail for the caller: with every size bounded by
 * limits.h, running out means the machine is gone, and the process ends with a
 * message.  Whatever a file's header makes large goes through rh_alloc_big(),
 * which reports. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_MEM_H
#define RH_BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_error;

/* Run `freep(&variable)` when the scope ends. */
#define RH_AUTO(freep) __attribute__((cleanup(freep)))

/* Hand a pointer over: the variable becomes NULL, so its cleanup does nothing.
 */
#define RH_TAKE(p)                     \
    __extension__({                    \
        __typeof__(p) rh_taken_ = (p); \
        (p) = NULL;                    \
        rh_taken_;                     \
    })

#define RH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define RH_COUNT(array)      (sizeof(array) / sizeof((array)[0]))
#define RH_MIN(a, b)         ((a) < (b) ? (a) : (b))
#define RH_MAX(a, b)         ((a) > (b) ? (a) : (b))

/* Define `static void name(type **p)` that frees *p by `fn` (NULL is fine). */
#define RH_FREEP(name, type, fn)      \
    static inline void name(type **p) \
    {                                 \
        if (*p)                       \
            fn(*p);                   \
    }

void *rh_malloc(size_t size);               /* never NULL */
void *rh_calloc(size_t count, size_t size); /* zeroed, overflow-checked */
void *rh_realloc_array(void *p, size_t count, size_t size);
char *rh_strdup(const char *text); /* NULL gives NULL */
char *rh_strndup(const char *text, size_t n);
char *rh_memdup0(const void *bytes, size_t n); /* n bytes and a NUL */
char *rh_printf(const char *fmt, ...) RH_PRINTF(1, 2);
char *rh_vprintf(const char *fmt, va_list ap) RH_PRINTF(1, 0);
#define rh_new0(type) ((type *)rh_calloc(1, sizeof(type)))

/* For sizes that an input decides: NULL with MEMORY reported when it fails. */
void *rh_alloc_big(size_t size, struct rh_error **err);

void rh_freep(void *pointer_to_pointer); /* for RH_AUTO on plain memory */
void rh_closep(int *fd);                 /* for RH_AUTO on descriptors */

/* Checked arithmetic: true when it overflowed (result then undefined). */
#define rh_add_overflows(a, b, ret) __builtin_add_overflow((a), (b), (ret))
#define rh_mul_overflows(a, b, ret) __builtin_mul_overflow((a), (b), (ret))

static inline uint64_t rh_round_up(uint64_t n, uint64_t unit)
{
    return n % unit ? n + (unit - n % unit) : n;
}
static inline uint64_t rh_div_up(uint64_t n, uint64_t unit)
{
    return n / unit + (n % unit ? 1 : 0);
}
static inline bool rh_power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

/* --- a growing array: struct { T *items; size_t count, room; } ----------- */
#define RH_VEC(type)        \
    struct {                \
        type *items;        \
        size_t count, room; \
    }
/* Append one zeroed item, and point at it. */
#define rh_vec_add(vec)                                             \
    ((vec)->count == (vec)->room                                    \
         ? ((vec)->items = rh_vec_grow_((vec)->items, &(vec)->room, \
                                        sizeof *(vec)->items))      \
         : (vec)->items,                                            \
     rh_zero_(&(vec)->items[(vec)->count], sizeof *(vec)->items),   \
     &(vec)->items[(vec)->count++])
void *rh_vec_grow_(void *items, size_t *room, size_t size);
void rh_zero_(void *p, size_t n);

/* --- a growing byte buffer / string builder ------------------------------- */
struct rh_buf {
    char *data; /* always NUL-terminated once something was added */
    size_t length, room;
};
void rh_buf_add(struct rh_buf *b, const void *bytes, size_t n);
/* n more bytes, for the caller to fill; the place holds until the next call. */
char *rh_buf_more(struct rh_buf *b, size_t n);
void rh_buf_puts(struct rh_buf *b, const char *text);
void rh_buf_putc(struct rh_buf *b, char c);
void rh_buf_printf(struct rh_buf *b, const char *fmt, ...) RH_PRINTF(2, 3);
char *rh_buf_take(struct rh_buf *b); /* the caller frees; never NULL */
void rh_buf_free(struct rh_buf *b);  /* also for RH_AUTO */

/* --- an arena: everything cut from it dies with it ------------------------ */
struct rh_arena;
struct rh_arena *rh_arena_new(void);
void rh_arena_free(struct rh_arena *a);
void *rh_arena_zalloc(struct rh_arena *a, size_t size);
char *rh_arena_strdup(struct rh_arena *a, const char *text); /* NULL: NULL */
char *rh_arena_strndup(struct rh_arena *a, const char *text, size_t n);
char *rh_arena_printf(struct rh_arena *a, const char *fmt, ...) RH_PRINTF(2, 3);

#endif
