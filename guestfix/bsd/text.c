/* text.c - words and device names in the systems' own configuration files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/bsd/bsd.h"

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

char *rh_bsd_swap_words(const char *text, const struct rh_swap *swaps,
                        size_t count)
{
    struct rh_buf b = {0};
    bool changed = false;

    while (*text) {
        size_t n = 0, k = 0;

        while (in_word(text[n]))
            n++;
        for (; k < count; k++)
            if (n == strlen(swaps[k].from) && !memcmp(text, swaps[k].from, n))
                break;
        if (n && k < count) {
            rh_buf_puts(&b, swaps[k].to);
            changed = true;
        } else {
            n += !n;
            rh_buf_add(&b, text, n);
        }
        text += n;
    }
    if (changed)
        return rh_buf_take(&b);
    rh_buf_free(&b);
    return NULL;
}

/* "da0p2" begins with the disk "da0", "da01" does not. */
static const struct rh_bsd_disk *disk_at(const char *text,
                                         const struct rh_bsd_disk *disks,
                                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = disks[i].before ? strlen(disks[i].before) : 0;

        if (n && !strncmp(text, disks[i].before, n) &&
            !isdigit((unsigned char)text[n]))
            return &disks[i];
    }
    return NULL;
}

char *rh_bsd_swap_disks(const char *text, const struct rh_bsd_disk *disks,
                        size_t count)
{
    static const char dev[] = "/dev/";
    struct rh_buf b = {0};
    bool changed = false, comment = false;

    while (*text) {
        const struct rh_bsd_disk *d = NULL;

        if (*text == '#')
            comment = true;
        if (*text == '\n')
            comment = false;
        if (comment || strncmp(text, dev, sizeof dev - 1)) {
            rh_buf_putc(&b, *text++);
            continue;
        }
        rh_buf_puts(&b, dev);
        text += sizeof dev - 1;
        if (*text == 'r' && !disk_at(text, disks, count) &&
            disk_at(text + 1, disks, count))
            rh_buf_putc(&b, *text++); /* the raw device of NetBSD, OpenBSD */
        d = disk_at(text, disks, count);
        if (!d || !d->after)
            continue;
        changed |= strcmp(d->before, d->after) != 0;
        rh_buf_puts(&b, d->after);
        text += strlen(d->before);
    }
    if (changed)
        return rh_buf_take(&b);
    rh_buf_free(&b);
    return NULL;
}

const char *rh_bsd_value(struct rh_arena *a, const char *text, const char *key)
{
    size_t n = strlen(key);
    const char *found = NULL;

    for (const char *line = text; line && *line;
         line = strchr(line, '\n'), line += line ? 1 : 0) {
        const char *p = line + strspn(line, " \t");
        size_t end;

        if (strncmp(p, key, n) || p[n] != '=')
            continue;
        p += n + 1;
        if (*p == '"' || *p == '\'') {
            char quote[2] = {*p, '\0'};

            p++;
            end = strcspn(p, quote);
        } else {
            end = strcspn(p, " \t\r\n;#");
        }
        if (end < 1024)
            found = rh_arena_strndup(a, p, end);
    }
    return found;
}
