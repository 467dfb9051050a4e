/* utf16.c - Windows' strings. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bytes.h"
#include "guestfix/windows/hive.h"

static void add_utf8(struct rh_buf *b, uint32_t c)
{
    if (c < 0x80) {
        rh_buf_putc(b, (char)c);
    } else if (c < 0x800) {
        rh_buf_putc(b, (char)(0xc0 | c >> 6));
        rh_buf_putc(b, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        rh_buf_putc(b, (char)(0xe0 | c >> 12));
        rh_buf_putc(b, (char)(0x80 | (c >> 6 & 0x3f)));
        rh_buf_putc(b, (char)(0x80 | (c & 0x3f)));
    } else {
        rh_buf_putc(b, (char)(0xf0 | c >> 18));
        rh_buf_putc(b, (char)(0x80 | (c >> 12 & 0x3f)));
        rh_buf_putc(b, (char)(0x80 | (c >> 6 & 0x3f)));
        rh_buf_putc(b, (char)(0x80 | (c & 0x3f)));
    }
}

char *rh_utf16_text(const void *bytes, size_t n)
{
    const char *p = bytes;
    struct rh_buf b = {0};

    for (size_t i = 0; i + 1 < n; i += 2) {
        uint32_t c = rh_le16(p + i), low;

        if (!c)
            break;
        low = i + 3 < n ? rh_le16(p + i + 2) : 0;
        if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i += 2;
        } else if (c >= 0xd800 && c < 0xe000) {
            c = 0xfffd;
        }
        add_utf8(&b, c);
    }
    return rh_buf_take(&b);
}

static void add_unit(struct rh_buf *b, uint32_t unit)
{
    rh_buf_putc(b, (char)unit);
    rh_buf_putc(b, (char)(unit >> 8));
}

/* One character off *p; what is no UTF-8 is taken byte by byte. */
static uint32_t next_char(const char **p)
{
    const unsigned char *u = (const unsigned char *)*p;
    unsigned more = *u >= 0xf0 ? 3 : *u >= 0xe0 ? 2 : *u >= 0xc0 ? 1 : 0;
    uint32_t c = more ? *u & (0x3fU >> more) : *u;

    for (unsigned i = 1; i <= more; i++) {
        if ((u[i] & 0xc0) != 0x80) {
            more = 0;
            c = *u;
            break;
        }
        c = c << 6 | (u[i] & 0x3f);
    }
    *p += 1 + more;
    return c;
}

void rh_utf16_add(struct rh_buf *b, const char *text)
{
    while (*text) {
        uint32_t c = next_char(&text);

        if (c >= 0x10000) {
            c -= 0x10000;
            add_unit(b, 0xd800 | (c >> 10 & 0x3ff));
            add_unit(b, 0xdc00 | (c & 0x3ff));
        } else {
            add_unit(b, c);
        }
    }
    add_unit(b, 0);
}
