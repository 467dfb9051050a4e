/* boot_screen.c - look at a booting guest's screen.
 *
 * Most guests say nothing on a serial port.  In text mode what they print
 * stands in the adapter's memory, character by character; of a picture only can
 * be said whether it still changes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "convert/boot/boot.h"

/* The colour text page of the PC's adapters: 80 columns, a character and its
 * colour each; the kernel scrolls through all of it.  A blinking cursor changes
 * fewer pixels than CURSOR. */
enum {
    TEXT_AT = 0xb8000,
    TEXT_BYTES = 0x8000,
    COLUMNS = 80,
    ROW = 2 * COLUMNS,
    ROWS = TEXT_BYTES / ROW,
    HEIGHT = 25,
    CURSOR = 1024,
};

static void add_row(struct rh_buf *text, const uint8_t *row)
{
    size_t n = COLUMNS;

    while (n && (row[2 * n - 2] == ' ' || row[2 * n - 2] == 0))
        n--;
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = row[2 * i];

        rh_buf_putc(text, c >= 0x20 && c < 0x7f ? (char)c : ' ');
    }
    /* A prompt ends with a space, which cannot be told from the rest. */
    rh_buf_add(text, " \n", 2);
}

/* Where the text on the screen ends is in a register that cannot be read from
 * here; the row that was written last is the one.  At the memory's end the
 * kernel goes on at its start: so what changed first in memory counts. */
static size_t last_written(const uint8_t *old, const uint8_t *page, size_t last)
{
    size_t end = SIZE_MAX;

    for (size_t r = 0; r < ROWS; r++)
        if (memcmp(old + r * ROW, page + r * ROW, ROW) &&
            (end == SIZE_MAX || r - end < HEIGHT))
            end = r;
    return end == SIZE_MAX ? last : end;
}

static void read_text(struct rh_boot_qemu *q, struct rh_boot_seen *seen)
{
    RH_AUTO(rh_freep) char *bytes = NULL;
    const uint8_t *page;
    size_t n;

    if (rh_boot_memory(q, TEXT_AT, TEXT_BYTES, &bytes, &n) < 0 ||
        n < TEXT_BYTES)
        return;
    page = (const uint8_t *)bytes;
    if (!seen->page)
        seen->page = rh_calloc(TEXT_BYTES, 1);
    seen->last_row = last_written(seen->page, page, seen->last_row);
    memcpy(seen->page, page, TEXT_BYTES);
    seen->screen.length = 0;
    for (size_t i = 1; i <= ROWS; i++)
        add_row(&seen->screen, page + (seen->last_row + i) % ROWS * ROW);
    rh_buf_putc(&seen->screen, '\0'); /* ended, and its length without it */
    seen->screen.length--;
    rh_boot_marks(seen, seen->screen.data);
}

/* "P6\nWIDTH HEIGHT\n255\n", then three bytes a pixel. */
static const uint8_t *pixels_of(const char *bytes, size_t n, unsigned *ret_w,
                                unsigned *ret_h, size_t *ret_count)
{
    enum { SIDE_MAX = 16384 };
    unsigned long w, h, depth;
    char *at;

    if (n < 3 || memcmp(bytes, "P6\n", 3))
        return NULL;
    w = strtoul(bytes + 3, &at, 10);
    h = strtoul(at, &at, 10);
    depth = strtoul(at, &at, 10);
    if (!w || w > SIDE_MAX || !h || h > SIDE_MAX || depth != 255)
        return NULL;
    *ret_w = (unsigned)w;
    *ret_h = (unsigned)h;
    *ret_count = (size_t)w * h;
    at++; /* the line's end */
    return 3 * *ret_count <= (size_t)(bytes + n - at) ? (const uint8_t *)at
                                                      : NULL;
}

static bool changed(const uint8_t *a, const uint8_t *b, size_t pixels)
{
    size_t differ = 0;

    for (size_t i = 0; i < pixels && differ <= CURSOR; i++)
        differ += memcmp(a + 3 * i, b + 3 * i, 3) != 0;
    return differ > CURSOR;
}

void rh_boot_look(struct rh_boot_qemu *q, struct rh_boot_seen *seen, double now)
{
    RH_AUTO(rh_freep) char *bytes = NULL;
    const uint8_t *pixels;
    unsigned w, h;
    size_t n, count;

    if (rh_boot_picture(q, &bytes, &n) < 0)
        return;
    pixels = pixels_of(bytes, n, &w, &h, &count);
    if (!pixels)
        return;
    if (count != seen->pixel_count || changed(pixels, seen->pixels, count)) {
        free(seen->pixels);
        seen->pixels = (uint8_t *)rh_memdup0(pixels, 3 * count);
        seen->pixel_count = count;
        seen->still_since = now;
    }
    /* 80 by 25 characters, of 8 or 9 by 16 points. */
    seen->graphics = h != 400 || (w != 720 && w != 640);
    if (!seen->graphics)
        read_text(q, seen);
}
