/* hive.c - open, read, edit and write back one registry hive. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/windows/hive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "guestfix/windows/regf.h"

struct rh_hive {
    hive_h *h;
    char *path, *name;
    bool changed;
};

/* --- opening -----------------------------------------------------------------
 */
/* libhivex reads and writes files by name: ones that lie in memory. */
static int memory_file(const void *bytes, size_t n, rh_error **err)
{
    int fd = memfd_create("hive", MFD_CLOEXEC);
    const char *p = bytes;

    if (fd < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "a hive's memory");
    while (n) {
        ssize_t put = write(fd, p, n);

        if (put < 0 && errno != EINTR) {
            int number = errno;

            close(fd);
            return rh_fail_errno(err, RH_ERR_FILE_WRITE, number,
                                 "a hive's memory");
        }
        p += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return fd;
}

static char *memory_name(int fd)
{
    return rh_printf("/proc/self/fd/%d", fd);
}

struct rh_hive *rh_hive_of(void *bytes, size_t n, const char *path,
                           const char *name, rh_error **err)
{
    RH_AUTO(rh_freep) void *taken = bytes;
    RH_AUTO(rh_closep) int fd = -1;
    RH_AUTO(rh_freep) char *file = NULL;
    struct rh_hive *h;
    hive_h *opened;

    if (rh_regf_prepare(taken, n, err) < 0)
        return NULL;
    fd = memory_file(taken, n, err);
    if (fd < 0)
        return NULL;
    file = memory_name(fd);
    opened = hivex_open(file, HIVEX_OPEN_WRITE);
    if (!opened) {
        rh_fail_errno(err, RH_ERR_HIVE_DAMAGED, errno,
                      "libhivex cannot read the registry hive");
        return NULL;
    }
    h = rh_new0(struct rh_hive);
    h->h = opened;
    h->path = rh_strdup(path);
    h->name = rh_strdup(name);
    return h;
}

enum { LOGS = 3 };

/* What lies beside it. */
static size_t read_logs(struct rh_guest *g, const char *path,
                        struct rh_regf_log logs[LOGS])
{
    static const char *const ends[LOGS] = {".LOG1", ".LOG2", ".LOG"};
    size_t count = 0;

    for (size_t i = 0; i < LOGS; i++) {
        RH_AUTO(rh_freep) char *file = rh_printf("%s%s", path, ends[i]);
        void *bytes;
        size_t n;

        if (g->ops->read(g, file, RH_LIMIT_HIVE, &bytes, &n, NULL) == 0)
            logs[count++] = (struct rh_regf_log){bytes, n};
    }
    return count;
}

struct rh_hive *rh_hive_open(struct rh_guest *g, const char *path,
                             const char *name, size_t *ret_replayed,
                             rh_error **err)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    struct rh_regf_log logs[LOGS];
    struct rh_hive *h;
    size_t n, count, new_n, pages = 0;
    void *newer;
    int r = 0;

    if (g->ops->read(g, path, RH_LIMIT_HIVE, &bytes, &n, err) < 0)
        return NULL;
    if (rh_regf_is_dirty(bytes, n)) {
        count = read_logs(g, path, logs);
        r = rh_regf_replay(bytes, n, logs, count, &newer, &new_n, &pages, err);
        for (size_t i = 0; i < count; i++)
            free((void *)logs[i].bytes);
    }
    if (r > 0) {
        free(bytes);
        bytes = newer;
        n = new_n;
    }
    h = r < 0 ? NULL : rh_hive_of(RH_TAKE(bytes), n, path, name, err);
    if (!h) {
        rh_error_context(err, "%s", path);
        return NULL;
    }
    h->changed = r > 0;
    *ret_replayed = pages;
    return h;
}

void rh_hive_close(struct rh_hive *h)
{
    if (!h)
        return;
    hivex_close(h->h);
    free(h->path);
    free(h->name);
    free(h);
}

/* --- reading -----------------------------------------------------------------
 */
rh_key rh_hive_root(const struct rh_hive *h)
{
    return hivex_root(h->h);
}

rh_key rh_hive_key(struct rh_hive *h, rh_key from, const char *path)
{
    rh_key k = from ? from : hivex_root(h->h);

    while (k && *path) {
        size_t n = strcspn(path, "\\");
        RH_AUTO(rh_freep) char *name = rh_strndup(path, n);

        k = hivex_node_get_child(h->h, k, name);
        path += n + (path[n] == '\\');
    }
    return k;
}

char **rh_hive_children(struct rh_hive *h, rh_key k)
{
    RH_AUTO(rh_freep)
    hive_node_h *all = k ? hivex_node_children(h->h, k) : NULL;
    RH_VEC(char *) names = {0};

    if (!all)
        return NULL;
    for (size_t i = 0; all[i]; i++) {
        char *name = hivex_node_name(h->h, all[i]);

        if (name)
            *rh_vec_add(&names) = name;
    }
    *rh_vec_add(&names) = NULL;
    return names.items;
}

char **rh_hive_values(struct rh_hive *h, rh_key k)
{
    RH_AUTO(rh_freep) hive_value_h *all = k ? hivex_node_values(h->h, k) : NULL;
    RH_VEC(char *) names = {0};

    if (!all)
        return NULL;
    for (size_t i = 0; all[i]; i++) {
        char *name = hivex_value_key(h->h, all[i]);

        if (name)
            *rh_vec_add(&names) = name;
    }
    *rh_vec_add(&names) = NULL;
    return names.items;
}

static char *raw(struct rh_hive *h, rh_key k, const char *value,
                 hive_type *ret_type, size_t *ret_n)
{
    hive_value_h v = k ? hivex_node_get_value(h->h, k, value) : 0;

    return v ? hivex_value_value(h->h, v, ret_type, ret_n) : NULL;
}

void *rh_hive_bytes(struct rh_hive *h, rh_key k, const char *value,
                    size_t *ret_n)
{
    hive_type type;

    return raw(h, k, value, &type, ret_n);
}

static bool is_text(hive_type t)
{
    return t == hive_t_REG_SZ || t == hive_t_REG_EXPAND_SZ ||
           t == hive_t_REG_LINK;
}

char *rh_hive_text(struct rh_hive *h, rh_key k, const char *value)
{
    hive_type type;
    size_t n;
    RH_AUTO(rh_freep) char *bytes = raw(h, k, value, &type, &n);

    return bytes && is_text(type) ? rh_utf16_text(bytes, n) : NULL;
}

static char **split_list(const char *bytes, size_t n)
{
    RH_VEC(char *) list = {0};

    for (size_t at = 0; at + 1 < n;) {
        size_t end = at;

        while (end + 1 < n && rh_le16(bytes + end))
            end += 2;
        if (end > at)
            *rh_vec_add(&list) = rh_utf16_text(bytes + at, end - at);
        at = end + 2;
    }
    *rh_vec_add(&list) = NULL;
    return list.items;
}

char **rh_hive_list(struct rh_hive *h, rh_key k, const char *value)
{
    hive_type type;
    size_t n;
    RH_AUTO(rh_freep) char *bytes = raw(h, k, value, &type, &n);

    if (!bytes || (type != hive_t_REG_MULTI_SZ && !is_text(type)))
        return NULL;
    return split_list(bytes, n);
}

bool rh_hive_number(struct rh_hive *h, rh_key k, const char *value,
                    uint64_t *ret)
{
    hive_type type;
    size_t n;
    RH_AUTO(rh_freep) char *bytes = raw(h, k, value, &type, &n);

    if (bytes && type == hive_t_REG_DWORD && n >= 4)
        *ret = rh_le32(bytes);
    else if (bytes && type == hive_t_REG_QWORD && n >= 8)
        *ret = rh_le64(bytes);
    else
        return false;
    return true;
}

/* --- editing -----------------------------------------------------------------
 */
/* As an edit shows it: a number, text, list, or hexadecimal bytes. */
static char *shown(hive_type type, const char *bytes, size_t n)
{
    struct rh_buf b = {0};

    if (type == hive_t_REG_DWORD && n == 4)
        return rh_printf("%u", rh_le32(bytes));
    if (is_text(type))
        return rh_utf16_text(bytes, n);
    if (type == hive_t_REG_MULTI_SZ) {
        RH_AUTO(rh_name_list_freep) char **list = split_list(bytes, n);

        for (size_t i = 0; list[i]; i++)
            rh_buf_printf(&b, "%s%s", i ? "; " : "", list[i]);
        return rh_buf_take(&b);
    }
    for (size_t i = 0; i < n; i++)
        rh_buf_printf(&b, "%s%02x", i ? " " : "", (unsigned char)bytes[i]);
    return rh_buf_take(&b);
}

static int hive_failed(struct rh_hive_edit *e, const char *path, rh_error **err)
{
    return rh_fail_errno(err, RH_ERR_GUEST_WRITE, errno, "%s\\%s", e->h->name,
                         path);
}

static void record(const struct rh_fix_job *j, char *where, const char *what,
                   char *before, char *after)
{
    struct rh_edit *e;

    if (!j->o->edits) {
        free(where);
        free(before);
        free(after);
        return;
    }
    e = rh_vec_add(j->o->edits);
    e->where = where;
    e->what = rh_strdup(what);
    e->before = before;
    e->after = after;
    e->fix = rh_strdup(j->name);
}

static void note(struct rh_hive_edit *e, const char *path, const char *value,
                 char *before, char *after)
{
    char *where = value ? rh_printf("%s\\%s\\%s", e->h->name, path,
                                    *value ? value : "(Default)")
                        : rh_printf("%s\\%s", e->h->name, path);

    e->h->changed = true;
    record(e->j, where, e->what, before, after);
}

rh_key rh_hive_make(struct rh_hive_edit *e, const char *path, rh_error **err)
{
    rh_key k = hivex_root(e->h->h), next;

    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "\\");
        RH_AUTO(rh_freep) char *name = rh_strndup(p, n);

        next = hivex_node_get_child(e->h->h, k, name);
        if (!next) {
            next = hivex_node_add_child(e->h->h, k, name);
            e->h->changed = true;
        }
        if (!next) {
            hive_failed(e, path, err);
            return 0;
        }
        k = next;
        p += n + (p[n] == '\\');
    }
    return k;
}

/* libhivex writes all values of a key anew, and it cannot write large ones in
 * the parts that Windows wants. */
static bool holds_big_values(struct rh_hive *h, rh_key k)
{
    RH_AUTO(rh_freep) hive_value_h *all = hivex_node_values(h->h, k);

    for (size_t i = 0; all && all[i]; i++) {
        hive_type type;
        size_t n;

        if (hivex_value_type(h->h, all[i], &type, &n) < 0 ||
            n > RH_REGF_BIG_VALUE)
            return true;
    }
    return !all;
}

static int set_value(struct rh_hive_edit *e, const char *path,
                     const char *value, hive_type type, const void *bytes,
                     size_t n, rh_error **err)
{
    hive_type old_type;
    size_t old_n = 0;
    rh_key k = rh_hive_make(e, path, err);
    RH_AUTO(rh_freep) char *old = NULL;
    hive_set_value set = {
        .key = (char *)value, .t = type, .len = n, .value = (char *)bytes};

    if (!k)
        return -1;
    old = raw(e->h, k, value, &old_type, &old_n);
    if (old && old_type == type && old_n == n && !memcmp(old, bytes, n))
        return 0;
    if (n > RH_REGF_BIG_VALUE || holds_big_values(e->h, k))
        return rh_fail(err, RH_ERR_GUEST_WRITE,
                       "%s\\%s holds values that are too large to be written",
                       e->h->name, path);
    if (hivex_node_set_value(e->h->h, k, &set, 0) < 0)
        return hive_failed(e, path, err);
    note(e, path, value, old ? shown(old_type, old, old_n) : NULL,
         shown(type, bytes, n));
    return 0;
}

int rh_hive_set_number(struct rh_hive_edit *e, const char *path,
                       const char *value, uint32_t number, rh_error **err)
{
    char bytes[4];

    rh_put_le32(bytes, number);
    return set_value(e, path, value, hive_t_REG_DWORD, bytes, sizeof bytes,
                     err);
}

int rh_hive_set_text(struct rh_hive_edit *e, const char *path,
                     const char *value, hive_type type, const char *text,
                     rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    rh_utf16_add(&b, text);
    return set_value(e, path, value, type, b.data, b.length, err);
}

int rh_hive_set_list(struct rh_hive_edit *e, const char *path,
                     const char *value, const char *const *list, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (size_t i = 0; list[i]; i++)
        rh_utf16_add(&b, list[i]);
    rh_buf_add(&b, "\0", 2);
    return set_value(e, path, value, hive_t_REG_MULTI_SZ, b.data, b.length,
                     err);
}

int rh_hive_set_bytes(struct rh_hive_edit *e, const char *path,
                      const char *value, const void *bytes, size_t n,
                      rh_error **err)
{
    return set_value(e, path, value, hive_t_REG_BINARY, bytes, n, err);
}

/* All values but one, as libhivex takes them. */
static int values_without(struct rh_hive *h, rh_key k, hive_value_h left_out)
{
    RH_AUTO(rh_freep) hive_value_h *all = hivex_node_values(h->h, k);
    RH_VEC(hive_set_value) keep = {0};
    int r = all ? 0 : -1;

    for (size_t i = 0; r == 0 && all[i]; i++) {
        hive_set_value *v;

        if (all[i] == left_out)
            continue;
        v = rh_vec_add(&keep);
        v->key = hivex_value_key(h->h, all[i]);
        v->value = hivex_value_value(h->h, all[i], &v->t, &v->len);
        r = v->key && v->value ? 0 : -1;
    }
    if (r == 0)
        r = hivex_node_set_values(h->h, k, keep.count, keep.items, 0);
    for (size_t i = 0; i < keep.count; i++) {
        free(keep.items[i].key);
        free(keep.items[i].value);
    }
    free(keep.items);
    return r;
}

int rh_hive_drop_value(struct rh_hive_edit *e, const char *path,
                       const char *value, rh_error **err)
{
    rh_key k = rh_hive_key(e->h, 0, path);
    hive_value_h v = k ? hivex_node_get_value(e->h->h, k, value) : 0;
    RH_AUTO(rh_freep) char *old = NULL;
    hive_type type;
    size_t n;

    if (!v)
        return 0;
    old = hivex_value_value(e->h->h, v, &type, &n);
    if (!old || holds_big_values(e->h, k))
        return rh_fail(err, RH_ERR_GUEST_WRITE,
                       "%s\\%s holds values that are too large to be written",
                       e->h->name, path);
    if (values_without(e->h, k, v) < 0)
        return hive_failed(e, path, err);
    note(e, path, value, shown(type, old, n), NULL);
    return 0;
}

int rh_hive_drop_key(struct rh_hive_edit *e, const char *path, rh_error **err)
{
    rh_key k = rh_hive_key(e->h, 0, path);
    struct rh_buf b = {0};
    RH_AUTO(rh_name_list_freep) char **names = NULL;

    if (!k)
        return 0;
    names = rh_hive_values(e->h, k);
    for (size_t i = 0; names && names[i]; i++) {
        hive_type type;
        size_t n;
        RH_AUTO(rh_freep) char *bytes = raw(e->h, k, names[i], &type, &n);
        RH_AUTO(rh_freep) char *text = bytes ? shown(type, bytes, n) : NULL;

        rh_buf_printf(&b, "%s%s=%s", i ? "; " : "", names[i], text ? text : "");
    }
    if (hivex_node_delete_child(e->h->h, k) < 0) {
        rh_buf_free(&b);
        return hive_failed(e, path, err);
    }
    note(e, path, NULL, rh_buf_take(&b), NULL);
    return 0;
}

/* --- writing back ------------------------------------------------------------
 */
static int read_back(int fd, char **ret, size_t *ret_n, rh_error **err)
{
    off_t n = lseek(fd, 0, SEEK_END);
    RH_AUTO(rh_freep) char *p = n > 0 ? rh_alloc_big((size_t)n, err) : NULL;
    size_t done = 0;

    while (p && done < (size_t)n) {
        ssize_t got = pread(fd, p + done, (size_t)n - done, (off_t)done);

        if (got <= 0)
            break;
        done += (size_t)got;
    }
    if (!p || done < (size_t)n)
        return rh_fail(err, RH_ERR_GUEST_WRITE, "a hive's memory is lost");
    *ret = RH_TAKE(p);
    *ret_n = done;
    return 0;
}

int rh_hive_commit(struct rh_hive_edit *e, rh_error **err)
{
    RH_AUTO(rh_closep) int fd = -1;
    RH_AUTO(rh_freep) char *file = NULL;
    RH_AUTO(rh_freep) char *bytes = NULL;
    size_t n = 0;

    if (!e->h->changed)
        return 0;
    fd = memory_file("", 0, err);
    if (fd < 0)
        return -1;
    file = memory_name(fd);
    if (hivex_commit(e->h->h, file, 0) < 0)
        return hive_failed(e, "", err);
    if (read_back(fd, &bytes, &n, err) < 0)
        return -1;
    if (rh_regf_check(bytes, n, NULL, err) < 0)
        return rh_error_context(err, "after the edit, %s", e->h->path);
    if (e->j->guest->ops->write(e->j->guest, e->h->path, bytes, n, 0644, err) <
        0)
        return -1;
    e->h->changed = false;
    return 0;
}
