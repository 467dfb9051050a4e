/* filters.c - settings of LVM and mdadm that look for disks by the names which
 * the old machine gave them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "guestfix/linux/fixes/fixes.h"

/* --- LVM's filters
 * ------------------------------------------------------------------ */
enum { PATTERN_MAX = 200, FILTER_MAX = 4096, RULES_MAX = 64, NAMES_MAX = 3 };

/* "a|^/dev/sda.*|": accept what the expression fits; "r|...|": reject. */
struct rule {
    regex_t re;
    bool accepts;
};
struct rules {
    struct rule all[RULES_MAX];
    size_t count;
    bool unknown; /* one cannot be told */
};

static void rules_free(struct rules *r)
{
    while (r->count)
        regfree(&r->all[--r->count].re);
}

static void add_rule(struct rules *r, const char *text, size_t n)
{
    struct rule *rule = &r->all[r->count];
    RH_AUTO(rh_freep) char *pattern = NULL;

    if (n < 3 || (text[0] != 'a' && text[0] != 'r') || text[n - 1] != text[1] ||
        n > PATTERN_MAX || r->count == RULES_MAX) {
        r->unknown = true;
        return;
    }
    pattern = rh_strndup(text + 2, n - 3);
    if (!rh_regex_is_cheap(pattern) ||
        regcomp(&rule->re, pattern, REG_EXTENDED | REG_NOSUB)) {
        r->unknown = true;
        return;
    }
    rule->accepts = text[0] == 'a';
    r->count++;
}

static void read_rules(struct rules *r, const char *text, size_t n)
{
    const char *p = memchr(text, '[', n), *end = text + n;

    while (p && (p = memchr(p, '"', (size_t)(end - p)))) {
        const char *close = memchr(p + 1, '"', (size_t)(end - p) - 1);

        if (!close)
            break;
        add_rule(r, p + 1, (size_t)(close - p) - 1);
        p = close + 1;
    }
}

/* 1: accepted, 0: rejected, -1: none fits (lvm.conf(5): then it is seen). */
static int judge(const struct rules *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (regexec(&r->all[i].re, name, 0, NULL, 0) == 0)
            return r->all[i].accepts;
    return -1;
}

/* What the new machine's kernel calls the volume. */
static char *new_name(const struct rh_fix_job *j, const struct rh_volume *v)
{
    static const struct {
        const char *disk, *stem;
    } stems[] = {{"xen", "/dev/xvd"}, {"virtio-blk", "/dev/vd"}};
    const char *disk = j->o->machine->disk, *stem = "/dev/sd";
    RH_AUTO(rh_freep)
    char *part = v->partition ? rh_printf("%u", v->partition) : rh_strdup("");

    if (disk && !strcmp(disk, "nvme"))
        return rh_printf("/dev/nvme%zun1%s%s", v->disk, *part ? "p" : "", part);
    for (size_t i = 0; disk && i < RH_COUNT(stems); i++)
        if (!strcmp(disk, stems[i].disk))
            stem = stems[i].stem;
    return v->disk < 26 ? rh_printf("%s%c%s", stem, (int)('a' + v->disk), part)
                        : NULL;
}

/* One name that is accepted is enough; what fits nothing decides nothing. */
static bool is_hidden(const struct rh_fix_job *j, const struct rules *r,
                      const struct rh_volume *v)
{
    RH_AUTO(rh_freep) char *name = new_name(j, v);
    RH_AUTO(rh_freep)
    char *part = v->part_uuid
                     ? rh_printf("/dev/disk/by-partuuid/%s", v->part_uuid)
                     : NULL;
    RH_AUTO(rh_freep)
    char *own =
        v->uuid ? rh_printf("/dev/disk/by-id/lvm-pv-uuid-%s", v->uuid) : NULL;
    const char *names[NAMES_MAX] = {name, part, own};
    bool hidden = false;

    for (size_t i = 0; i < NAMES_MAX; i++) {
        int verdict = names[i] ? judge(r, names[i]) : -1;

        if (verdict == 1)
            return false;
        hidden |= verdict == 0;
    }
    return hidden;
}

/* Does the filter, as it stands, hide a physical volume of these disks? */
static bool hides_disks(const struct rh_fix_job *j, const char *text, size_t n)
{
    RH_AUTO(rules_free) struct rules r = {0};

    if (!j)
        return false;
    read_rules(&r, text, n);
    for (size_t i = 0; !r.unknown && i < j->s->volumes.all.count; i++) {
        const struct rh_volume *v = &j->s->volumes.all.items[i];

        if (v->fstype && !strcmp(v->fstype, "LVM2_member") && !v->lv &&
            is_hidden(j, &r, v))
            return true;
    }
    return false;
}

/* A setting that goes by disks' names, from its key up to the bracket. */
static bool names_disks(const char *text, size_t n)
{
    RH_AUTO(rh_freep) char *p = rh_strndup(text, n);
    bool rest_hidden = strstr(p, "r|.*|") || strstr(p, "r/.*/") ||
                       strstr(p, "r|.*/") || strstr(p, "r|^.*|");

    return strstr(p, "/dev/sd") || strstr(p, "/dev/disk/by-path") ||
           strstr(p, "/dev/disk/by-id") || strstr(p, "/dev/nvme") ||
           (rest_hidden &&
            (strstr(p, "|sd") || strstr(p, "/sd") || strstr(p, "|^sd") ||
             strstr(p, "scsi") || strstr(p, "nvme")));
}

/* The length of a filter that starts here, over all its lines; 0: none. */
static size_t filter_at(const char *line)
{
    static const char *const keys[] = {"filter", "global_filter",
                                       "preferred_names"};
    const char *p = line + strspn(line, " \t");
    const char *end;
    size_t n;

    for (size_t i = 0; i < RH_COUNT(keys); i++) {
        n = strlen(keys[i]);
        if (strncmp(p, keys[i], n) || !strchr(" \t=", p[n]))
            continue;
        p += n;
        p += strspn(p, " \t=");
        end = *p == '[' ? memchr(p, ']', strnlen(p, FILTER_MAX)) : NULL;
        if (!end)
            return 0;
        return (size_t)(end - line) + strcspn(end, "\n");
    }
    return 0;
}

/* NULL: nothing in it hides disks. */
char *rh_without_lvm_filters(struct rh_fix_job *j, const char *text)
{
    struct rh_buf out = {0};
    bool changed = false;
    const char *until = text;

    while (*text) {
        size_t n = strcspn(text, "\n"), filter = filter_at(text);

        n += text[n] == '\n';
        if (filter && text >= until &&
            (names_disks(text, filter) || hides_disks(j, text, filter)))
            until = text + filter;
        if (text < until) {
            rh_buf_puts(&out, "# rehost: ");
            changed = true;
        }
        rh_buf_add(&out, text, n);
        text += n;
    }
    if (changed)
        return rh_buf_take(&out);
    rh_buf_free(&out);
    return NULL;
}

/* mdadm.conf(5): DEVICE lists where arrays are looked for, and devices= of an
 * ARRAY what it is made of; the UUID tells it as well.  A line that begins with
 * blanks goes on with the one before it. */
static size_t md_length(const char *text)
{
    size_t n = strcspn(text, "\n");

    while (text[n] && strchr(" \t", text[n + 1]) && text[n + 1])
        n += 1 + strcspn(text + n + 1, "\n");
    return n;
}

static void md_line(const char *line, struct rh_buf *out, bool *ret_changed)
{
    const char *devices = strstr(line, "devices=");

    if (!strncasecmp(line, "DEVICE", 6) && strstr(line, "/dev/") &&
        !strstr(line, "/dev/md")) {
        rh_buf_puts(out, "DEVICE partitions");
        *ret_changed = true;
    } else if (!strncasecmp(line, "ARRAY", 5) && devices &&
               strstr(line, "UUID=")) {
        const char *end = devices + strcspn(devices, " \t\n");

        rh_buf_add(out, line, (size_t)(devices - line));
        rh_buf_puts(out, end + strspn(end, " \t"));
        *ret_changed = true;
    } else {
        rh_buf_puts(out, line);
    }
}

char *rh_without_md_devices(struct rh_fix_job *j, const char *text)
{
    struct rh_buf out = {0};
    bool changed = false;

    (void)j;
    while (*text) {
        size_t n = md_length(text);
        RH_AUTO(rh_freep) char *line = rh_strndup(text, n);

        md_line(line, &out, &changed);
        if (text[n] == '\n')
            rh_buf_putc(&out, text[n++]);
        text += n;
    }
    if (changed)
        return rh_buf_take(&out);
    rh_buf_free(&out);
    return NULL;
}
