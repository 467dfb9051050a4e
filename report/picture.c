/* picture.c - a VM's devices before and after, drawn as inline SVG.
 *
 * Each machine is a drawing of its own, 300 units wide, so that they stand
 * side by side on a desk and below each other on a phone without shrinking. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "report/page.h"
#include "report/width.h"

enum {
    WIDTH = 300,
    ROW = 22,
    PAD = 12,
    LETTER = 7, /* a column of 12 pixel text */
    ROWS_MOST = 10
};

struct drawing {
    struct rh_buf shapes;
    struct rh_buf words; /* the same for those who do not see it */
    int y;
};

static void words(struct drawing *d, const char *left, const char *right)
{
    rh_buf_printf(&d->words, "%s%s%s%s", d->words.length ? "; " : "", left,
                  right && right[0] ? ": " : "", right ? right : "");
}

static void put_text(struct drawing *d, int x, int y, const char *class_,
                     const char *text, size_t columns)
{
    RH_AUTO(rh_freep) char *printable = rh_printable(text);
    RH_AUTO(rh_freep) char *clipped = rh_clip(printable, columns);

    rh_buf_printf(&d->shapes, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, y,
                  class_);
    rh_text(&d->shapes, clipped);
    rh_buf_puts(&d->shapes, "</text>\n");
}

/* `left` in what `right` leaves of the line. */
static void put_row(struct drawing *d, int x, const char *class_,
                    const char *left, const char *right)
{
    RH_AUTO(rh_freep) char *end = rh_printable(right ? right : "");
    RH_AUTO(rh_freep) char *short_end = rh_clip(end, 20);
    int used = (int)rh_columns(short_end) * LETTER;
    int room = (WIDTH - PAD - 8 - x - used) / LETTER - (used ? 1 : 0);

    put_text(d, x, d->y + 15, class_, left, (size_t)RH_MAX(room, 4));
    if (used) {
        rh_buf_printf(&d->shapes, "<text x=\"%d\" y=\"%d\" class=\"end\">",
                      WIDTH - PAD - 8, d->y + 15);
        rh_text(&d->shapes, short_end);
        rh_buf_puts(&d->shapes, "</text>\n");
    }
    words(d, left, right);
    d->y += ROW;
}

static void disk_icon(struct drawing *d, bool boot)
{
    rh_buf_printf(&d->shapes,
                  "<g transform=\"translate(24 %d)\" class=\"icon%s\">"
                  "<path d=\"M1 3v8a6 2.4 0 0 0 12 0V3\"/>"
                  "<ellipse cx=\"7\" cy=\"3\" rx=\"6\" ry=\"2.4\"/></g>\n",
                  d->y + 4, boot ? " boot" : "");
}

static void nic_icon(struct drawing *d, bool connected)
{
    rh_buf_printf(&d->shapes,
                  "<g transform=\"translate(24 %d)\" class=\"icon%s\">"
                  "<rect x=\"1\" y=\"1\" width=\"12\" height=\"9\" rx=\"1.5\"/>"
                  "<path d=\"M4 13h6M5 4v3M7 4v3M9 4v3\"/></g>\n",
                  d->y + 3, connected ? "" : " off");
}

/* A box behind the rows from `top` to here. */
static void box_behind(struct drawing *d, struct rh_buf *rows, int top,
                       bool changed)
{
    rh_buf_printf(&d->shapes,
                  "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
                  "rx=\"6\" class=\"part%s\"/>\n",
                  PAD, top, WIDTH - 2 * PAD, d->y - top + 4,
                  changed ? " new" : "");
    if (rows->length)
        rh_buf_add(&d->shapes, rows->data, rows->length);
    rh_buf_free(rows);
    *rows = (struct rh_buf){0};
    d->y += 12;
}

/* Rows are drawn aside and put in front of their box. */
static int begin_box(struct drawing *d, struct rh_buf *ret_before)
{
    *ret_before = d->shapes;
    d->shapes = (struct rh_buf){0};
    return d->y;
}

static void end_box(struct drawing *d, struct rh_buf *before, int top,
                    bool changed)
{
    struct rh_buf rows = d->shapes;

    d->shapes = *before;
    box_behind(d, &rows, top, changed);
}

/* --- parts -------------------------------------------------------------------
 */

static void draw_board(struct drawing *d, const json_t *vm,
                       const char *firmware, bool changed)
{
    RH_AUTO(rh_freep)
    char *memory = rh_human_size(rh_number(vm, "memory_bytes"));
    RH_AUTO(rh_freep)
    char *cpus =
        rh_printf(_("%llu vCPU"), (unsigned long long)rh_number(vm, "cpus"));
    bool secure = json_is_true(json_object_get(vm, "secure_boot"));
    bool tpm = json_is_true(json_object_get(vm, "tpm"));
    struct rh_buf before;
    int top = begin_box(d, &before);
    RH_AUTO(rh_freep)
    char *extras = rh_printf("%s%s%s", secure ? "Secure Boot" : "",
                             secure && tpm ? " + " : "", tpm ? "TPM" : "");

    put_row(d, 24, "strong",
            firmware[0] ? rh_device_word(firmware) : _("firmware not said"),
            extras);
    put_row(d, 24, "plain", rh_number(vm, "cpus") ? cpus : _("CPUs not said"),
            rh_number(vm, "memory_bytes") ? memory : _("memory not said"));
    end_box(d, &before, top, changed);
}

static bool same_controller(const json_t *a, const json_t *b)
{
    return !strcmp(rh_word(a, "controller"), rh_word(b, "controller")) &&
           rh_number(a, "bus") == rh_number(b, "bus");
}

static void draw_disk(struct drawing *d, const json_t *disk)
{
    RH_AUTO(rh_freep)
    char *size = rh_human_size(rh_number(disk, "capacity_bytes"));
    const char *name = rh_word(disk, "id");

    disk_icon(d, json_is_true(json_object_get(disk, "boot")));
    put_row(d, 46, "plain", name[0] ? name : rh_word(disk, "file"),
            rh_number(disk, "capacity_bytes") ? size : "");
}

static void draw_more(struct drawing *d, size_t more)
{
    RH_AUTO(rh_freep) char *text = NULL;

    if (!more)
        return;
    text = rh_printf(_("and %zu more"), more);
    put_row(d, 46, "plain", text, NULL);
}

/* The disks from `first` on that hang on one controller: before, their own;
 * after, all on `device`. */
static void draw_controller(struct drawing *d, const json_t *disks,
                            size_t first, const char *device, bool changed)
{
    const json_t *head = json_array_get(disks, first), *disk;
    const char *name = device ? device : rh_word(head, "controller");
    RH_AUTO(rh_freep) char *number = NULL;
    struct rh_buf before;
    int top = begin_box(d, &before);
    size_t i, drawn = 0, more = 0;

    if (!device && name[0])
        number = rh_printf("#%llu", (unsigned long long)rh_number(head, "bus"));
    put_row(d, 24, "strong",
            name[0] ? rh_device_word(name) : _("controller not said"), number);
    json_array_foreach (disks, i, disk) {
        if (i < first || (!device && !same_controller(disk, head)))
            continue;
        if (drawn++ < ROWS_MOST)
            draw_disk(d, disk);
        else
            more++;
    }
    draw_more(d, more);
    end_box(d, &before, top, changed);
}

static bool first_of_controller(const json_t *disks, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (same_controller(json_array_get(disks, i),
                            json_array_get(disks, at)))
            return false;
    return true;
}

static void draw_disks(struct drawing *d, const json_t *disks,
                       const char *device)
{
    size_t count = json_array_size(disks), controllers = 0;
    bool changed = false;

    for (size_t i = 0; i < count; i++)
        changed |=
            device &&
            strcmp(rh_word(json_array_get(disks, i), "controller"), device);
    if (device && count) {
        draw_controller(d, disks, 0, device, changed);
        return;
    }
    for (size_t i = 0; i < count && controllers < ROWS_MOST; i++)
        if (first_of_controller(disks, i)) {
            draw_controller(d, disks, i, NULL, false);
            controllers++;
        }
}

/* What the source did not say is not drawn as the source's. */
static bool made_up(const json_t *vm, size_t nic)
{
    RH_AUTO(rh_freep) char *key = rh_printf("nics/%zu/mac", nic);
    const json_t *from = json_object_get(
        json_object_get(json_object_get(vm, "provenance"), key), "from");

    return json_is_string(from) &&
           !strncmp(json_string_value(from), "default", 7);
}

static void draw_nic(struct drawing *d, const json_t *vm, size_t number,
                     const char *device)
{
    const json_t *nic = json_array_get(json_object_get(vm, "nics"), number);
    const char *model = device ? device : rh_word(nic, "model");
    const char *network = rh_word(nic, "network");
    const char *mac = !device && made_up(vm, number) ? "" : rh_word(nic, "mac");

    nic_icon(d, !json_is_false(json_object_get(nic, "connected")));
    put_row(d, 46, "strong",
            model[0] ? rh_device_word(model) : _("network card"), network);
    put_row(d, 46, "plain", mac[0] ? mac : _("MAC not said"), NULL);
}

static void draw_nics(struct drawing *d, const json_t *vm, const char *device)
{
    const json_t *nics = json_object_get(vm, "nics"), *nic;
    bool changed = false;
    struct rh_buf before;
    size_t i;
    int top;

    if (!json_array_size(nics))
        return;
    top = begin_box(d, &before);
    json_array_foreach (nics, i, nic) {
        changed |= device && strcmp(rh_word(nic, "model"), device);
        if (i < ROWS_MOST)
            draw_nic(d, vm, i, device);
    }
    draw_more(d, i > ROWS_MOST ? i - ROWS_MOST : 0);
    end_box(d, &before, top, changed);
}

/* --- machines ----------------------------------------------------------------
 */

/* An SVG's first children label it. */
static void begin_svg(struct rh_page *page, struct drawing *d,
                      const char *title)
{
    struct rh_buf *b = &page->b;
    size_t n = ++page->drawn;

    rh_buf_printf(b,
                  "<svg class=\"picture\" viewBox=\"0 0 %d %d\" role=\"img\" "
                  "aria-labelledby=\"p%zu-title p%zu-desc\">\n"
                  "<title id=\"p%zu-title\">",
                  WIDTH, d->y, n, n, n);
    rh_text(b, title);
    rh_buf_printf(b, "</title>\n<desc id=\"p%zu-desc\">", n);
    rh_text(b, d->words.data);
    rh_buf_puts(b, "</desc>\n");
}

static void draw_machine(struct rh_page *page, const json_t *entry,
                         const json_t *target, const char *title)
{
    const json_t *vm = json_object_get(entry, "vm");
    const json_t *devices = json_object_get(target, "devices");
    const char *firmware = rh_word(target ? devices : vm, "firmware");
    const char *disk = target ? rh_word(devices, "disk") : NULL;
    const char *nic = target ? rh_word(devices, "nic") : NULL;
    struct drawing d = {.y = PAD};

    draw_board(&d, vm, firmware, strcmp(firmware, rh_word(vm, "firmware")));
    draw_disks(&d, json_object_get(vm, "disks"), disk);
    draw_nics(&d, vm, nic);
    begin_svg(page, &d, title);
    if (d.shapes.length)
        rh_buf_add(&page->b, d.shapes.data, d.shapes.length);
    rh_end(&page->b, "svg");
    rh_buf_free(&d.shapes);
    rh_buf_free(&d.words);
}

static void figure(struct rh_page *page, const json_t *entry,
                   const json_t *target, const char *caption)
{
    RH_AUTO(rh_freep)
    char *title = rh_printf("%s: %s", rh_vm_title(entry), caption);

    rh_tag(&page->b, "figure", "class", target ? "after" : "before", NULL);
    rh_leaf(&page->b, "figcaption", NULL, caption);
    draw_machine(page, entry, target, title);
    rh_end(&page->b, "figure");
}

void rh_page_picture(struct rh_page *page, const json_t *entry)
{
    const char *source = rh_word(json_object_get(entry, "vm"), "source");
    bool known = source[0] && strcmp(source, "other");
    RH_AUTO(rh_freep)
    char *before = known ? rh_printf(_("before: %s"), rh_device_word(source))
                         : rh_strdup(_("before"));
    const json_t *target;
    size_t i;

    rh_tag(&page->b, "div", "class", "pictures", NULL);
    figure(page, entry, NULL, before);
    json_array_foreach (json_object_get(entry, "targets"), i, target) {
        RH_AUTO(rh_freep)
        char *after =
            rh_printf(_("after: %s"),
                      rh_model_name(page->report, rh_word(target, "target")));

        figure(page, entry, target, after);
    }
    rh_end(&page->b, "div");
}
