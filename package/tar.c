/* tar.c - the index of a tar, so that its members are read in place.
 *
 * Understood are v7, ustar, GNU (long names, base-256 numbers) and pax (path,
 * size).  A member that is stored sparse, GNU's or pax's way, is no plain run
 * of bytes: it is marked, and archive.c unpacks it.  Everything that could make
 * two readers see two different archives is refused. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/tar.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    AT_NAME = 0,
    NAME_SIZE = 100,
    AT_SIZE = 124,
    AT_CHECKSUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257,
    AT_PREFIX = 345,
    PREFIX_SIZE = 155,
    AT_REAL_SIZE = 483, /* of a GNU sparse member */
    NUMBER_SIZE = 12,
    CHECKSUM_SIZE = 8,
    EXTENDED_MAX = 1024 * 1024, /* one pax header or long name */
};

/* What the headers before a member's own have said about it. */
struct pending {
    bool any;
    uint64_t start; /* of the first of them */
    char *path;     /* pax path, or GNU long name */
    size_t path_length;
    bool has_size, sparse, has_real_size;
    uint64_t size, real_size;
};

struct tar {
    struct rh_archive *archive;
    struct rh_io *io;
    uint64_t at; /* of the next header */
    struct pending next;
    unsigned zeros; /* zero blocks met in a row */
    struct rh_archive_about about;
};

static int damaged(struct tar *t, const char *what, rh_error **err)
{
    rh_fail(err, RH_ERR_PACKAGE_TAR, "the archive's header at 0x%llx %s",
            (unsigned long long)t->at, what);
    return rh_error_subject(err, t->io->name);
}

/* Octal digits between blanks, or base-256 when the top bit is set. */
static bool parse_number(const uint8_t *p, size_t n, uint64_t *ret)
{
    uint64_t number = 0;
    size_t i = 0;

    if (p[0] & 0x80) {
        if (p[0] != 0x80)
            return false; /* negative, or beyond 64 bits */
        for (i = 1; i < n; i++) {
            if (number >> 55)
                return false;
            number = number << 8 | p[i];
        }
        *ret = number;
        return true;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
        if (number >> 60)
            return false;
        number = number << 3 | (uint64_t)(p[i] - '0');
    }
    for (; i < n; i++)
        if (p[i] != ' ' && p[i] != '\0')
            return false;
    *ret = number;
    return true;
}

/* Some old writers summed signed bytes. */
bool rh_tar_probe(const void *block)
{
    const uint8_t *p = block;
    uint64_t want, sum = 0;
    int64_t signed_sum = 0;

    if (!parse_number(p + AT_CHECKSUM, CHECKSUM_SIZE, &want) || want == 0)
        return false;
    for (size_t i = 0; i < RH_TAR_BLOCK; i++) {
        bool blank = i >= AT_CHECKSUM && i < AT_CHECKSUM + CHECKSUM_SIZE;
        uint8_t byte = blank ? ' ' : p[i];

        sum += byte;
        signed_sum += (int8_t)byte;
    }
    return sum == want || signed_sum == (int64_t)want;
}

static void forget(struct pending *next)
{
    free(next->path);
    *next = (struct pending){0};
}

/* The bytes behind a header must be in the file. */
static int check_inside(struct tar *t, const char *name, uint64_t size,
                        rh_error **err)
{
    uint64_t data = t->at + RH_TAR_BLOCK;

    if (size <= t->io->size - data)
        return 0;
    rh_fail(err, RH_ERR_PACKAGE_TRUNCATED,
            "the member \"%s\" needs %llu bytes at 0x%llx, but the file ends "
            "at 0x%llx",
            name, (unsigned long long)size, (unsigned long long)data,
            (unsigned long long)t->io->size);
    return rh_error_subject(err, t->io->name);
}

/* The padding of the last member may be cut off, as some writers do. */
static void step(struct tar *t, uint64_t size)
{
    t->at += RH_TAR_BLOCK;
    t->at += RH_MIN(rh_round_up(size, RH_TAR_BLOCK), t->io->size - t->at);
}

/* --- headers about the next member ------------------------------------------
 */

static int read_extension(struct tar *t, uint64_t size, char **ret_text,
                          rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;

    if (size > EXTENDED_MAX)
        return rh_fail(err, RH_ERR_PACKAGE_LIMIT,
                       "an extended header of the archive has %llu bytes",
                       (unsigned long long)size);
    if (check_inside(t, "extended header", size, err) < 0)
        return -1;
    text = rh_malloc((size_t)size + 1);
    if (rh_io_read(t->io, text, (size_t)size, t->at + RH_TAR_BLOCK, err) < 0)
        return -1;
    text[size] = '\0';
    *ret_text = RH_TAKE(text);
    return 0;
}

static void keep_path(struct pending *next, const char *path, size_t n)
{
    free(next->path);
    next->path = rh_memdup0(path, n);
    next->path_length = n;
}

static bool digits(const char *text, size_t n, uint64_t *ret)
{
    char copy[24];

    if (n == 0 || n >= sizeof copy || memchr(text, '\0', n))
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return rh_parse_u64(copy, ret);
}

/* One pax record; others than these change nothing for us. */
static bool take_record(struct pending *next, const char *key,
                        const char *value, size_t n)
{
    if (!strcmp(key, "path")) {
        if (!next->sparse || !next->path) /* GNU.sparse.name is the real one */
            keep_path(next, value, n);
        return true;
    }
    if (!strcmp(key, "size"))
        return next->has_size = digits(value, n, &next->size);
    if (!strcmp(key, "GNU.sparse.realsize") ||
        !strcmp(key, "GNU.sparse.size") || !strcmp(key, "SCHILY.realsize")) {
        next->sparse = true;
        return next->has_real_size = digits(value, n, &next->real_size);
    }
    if (!strncmp(key, "GNU.sparse.", 11)) {
        next->sparse = true;
        if (!strcmp(key + 11, "name"))
            keep_path(next, value, n);
    }
    return true;
}

/* "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
static bool parse_pax(struct pending *next, char *text, size_t n)
{
    while (n) {
        char *blank = memchr(text, ' ', RH_MIN(n, (size_t)20));
        uint64_t length;
        char *key, *equals;

        if (!blank || !digits(text, (size_t)(blank - text), &length) ||
            length > n || length < (uint64_t)(blank - text) + 4 ||
            text[length - 1] != '\n')
            return false;
        key = blank + 1;
        equals = memchr(key, '=', (size_t)(text + length - key));
        if (!equals)
            return false;
        *equals = '\0';
        if (!take_record(next, key, equals + 1,
                         (size_t)(text + length - 1 - (equals + 1))))
            return false;
        text += length;
        n -= (size_t)length;
    }
    return true;
}

/* A global header that named or sized all members would be absurd. */
static int take_global(struct tar *t, char *text, uint64_t size, rh_error **err)
{
    struct pending all = {0};
    bool fine = parse_pax(&all, text, (size_t)size) && !all.path &&
                !all.has_size && !all.sparse;

    forget(&all);
    return fine ? 0 : damaged(t, "is no global header that makes sense", err);
}

static int take_extension(struct tar *t, char type, uint64_t size,
                          rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;

    if (rh_index_count(&t->archive->index, err) < 0 ||
        read_extension(t, size, &text, err) < 0)
        return -1;
    if (type == 'g') {
        if (take_global(t, text, size, err) < 0)
            return -1;
        step(t, size);
        return 0;
    }
    if (!t->next.any)
        t->next.start = t->at;
    t->next.any = true;
    if (type == 'L') {
        if (!t->next.path) /* a pax path is the better word */
            keep_path(&t->next, text, strnlen(text, (size_t)size));
    } else if (type != 'K' && !parse_pax(&t->next, text, (size_t)size)) {
        return damaged(t, "has damaged pax records", err);
    }
    step(t, size);
    return 0;
}

/* --- members ------------------------------------------------------------- */

/* The name by the header alone: prefix "/" name.  GNU's own format uses the
 * prefix's place for other things. */
static char *plain_name(const uint8_t *p)
{
    const char *prefix = (const char *)p + AT_PREFIX;
    const char *name = (const char *)p + AT_NAME;
    int prefix_length = (int)strnlen(prefix, PREFIX_SIZE);
    int length = (int)strnlen(name, NAME_SIZE);

    if (memcmp(p + AT_MAGIC, "ustar\0", 6) || !prefix_length)
        return rh_strndup(name, (size_t)length);
    return rh_printf("%.*s/%.*s", prefix_length, prefix, length, name);
}

static const char *kind_of(char type)
{
    static const struct {
        char type;
        const char *kind;
    } kinds[] = {
        {'1', N_("a hard link")},        {'2', N_("a symbolic link")},
        {'3', N_("a character device")}, {'4', N_("a block device")},
        {'6', N_("a named pipe")},       {'M', N_("a part of a volume set")},
    };

    for (size_t i = 0; i < RH_COUNT(kinds); i++)
        if (kinds[i].type == type)
            return _(kinds[i].kind);
    return _("of an unknown kind");
}

static int refuse_kind(struct tar *t, const char *name, char type,
                       rh_error **err)
{
    rh_fail(err, RH_ERR_PACKAGE_MEMBER_TYPE,
            "the archive's member \"%s\" is %s", name, kind_of(type));
    return rh_error_subject(err, t->io->name);
}

static int add_file(struct tar *t, const uint8_t *p, const char *name,
                    size_t length, uint64_t size, rh_error **err)
{
    struct pending *next = &t->next;
    struct rh_entry *e;

    if (rh_index_add(&t->archive->index, name, length, &e, err) < 0)
        return rh_error_subject(err, t->io->name);
    if (!e)
        return 0;
    e->offset = t->at + RH_TAR_BLOCK;
    e->header = next->any ? next->start : t->at;
    e->size = size;
    e->packed = p[AT_TYPE] == 'S' || next->sparse;
    if (p[AT_TYPE] == 'S' &&
        !parse_number(p + AT_REAL_SIZE, NUMBER_SIZE, &e->size))
        return damaged(t, "has no sound size of a sparse file", err);
    if (next->has_real_size)
        e->size = next->real_size;
    return 0;
}

/* GNU's sparse header goes on in blocks of its own, before the data. */
static int skip_sparse_map(struct tar *t, const uint8_t *p, rh_error **err)
{
    enum { AT_MORE = 482, AT_MORE_NEXT = 504 };
    bool more = p[AT_MORE] != 0;

    while (more) {
        uint8_t block[RH_TAR_BLOCK];

        if (rh_index_count(&t->archive->index, err) < 0 ||
            check_inside(t, "sparse map", RH_TAR_BLOCK, err) < 0 ||
            rh_io_read(t->io, block, sizeof block, t->at + RH_TAR_BLOCK, err) <
                0)
            return -1;
        more = block[AT_MORE_NEXT] != 0;
        t->at += RH_TAR_BLOCK;
    }
    return 0;
}

static int take_member(struct tar *t, const uint8_t *p, uint64_t size,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *plain = plain_name(p);
    const char *name = t->next.path ? t->next.path : plain;
    size_t length = t->next.path ? t->next.path_length : strlen(plain);
    char type = (char)p[AT_TYPE];
    /* Before POSIX a directory was a file whose name ends in a slash. */
    bool folder = type == '5' || type == 'D' ||
                  (strchr("07", type) && length && name[length - 1] == '/');

    if (!folder && type != 'V' && !strchr("07S", type))
        return refuse_kind(t, name, type, err);
    if (t->next.has_size)
        size = t->next.size;
    if (type == '5')
        size = 0; /* it may hold a number, but no bytes follow */
    if (check_inside(t, name, size, err) < 0)
        return -1;
    if (folder || type == 'V') {
        if (rh_index_count(&t->archive->index, err) < 0)
            return -1;
    } else if (add_file(t, p, name, length, size, err) < 0) {
        return -1;
    }
    if (type == 'S' && skip_sparse_map(t, p, err) < 0)
        return -1;
    if (check_inside(t, name, size, err) < 0)
        return -1;
    step(t, size);
    forget(&t->next);
    return 0;
}

static int take_header(struct tar *t, const uint8_t *p, rh_error **err)
{
    char type = (char)p[AT_TYPE];
    uint64_t size;

    if (!rh_tar_probe(p))
        return damaged(t, "has a wrong checksum", err);
    if (!parse_number(p + AT_SIZE, NUMBER_SIZE, &size) || size >> 62)
        return damaged(t, "has no sound size", err);
    if (type && strchr("xXgLK", type))
        return take_extension(t, type, size, err);
    return take_member(t, p, size, err);
}

/* --- the whole ----------------------------------------------------------- */

/* Behind the end mark only padding belongs.  Writers pad to 10 KiB, so a look
 * at the first MiB tells. */
static int look_behind(struct tar *t, rh_error **err)
{
    enum { LOOK = 1024 * 1024 };
    size_t n = (size_t)RH_MIN(t->io->size - t->at, (uint64_t)LOOK);
    RH_AUTO(rh_freep) char *rest = rh_malloc(n);

    if (rh_io_read(t->io, rest, n, t->at, err) < 0)
        return -1;
    t->about.trailing = !rh_all_zero(rest, n);
    return 0;
}

static int read_index(struct tar *t, rh_error **err)
{
    uint8_t block[RH_TAR_BLOCK];

    while (t->zeros < 2 && t->io->size - t->at >= RH_TAR_BLOCK) {
        if (rh_go_on(t->archive->lib, err) < 0 ||
            rh_io_read(t->io, block, sizeof block, t->at, err) < 0)
            return -1;
        if (rh_all_zero(block, sizeof block)) {
            t->zeros++;
            t->at += RH_TAR_BLOCK;
            continue;
        }
        if (t->zeros && !rh_tar_probe(block))
            break; /* one zero block may end it, too */
        t->zeros = 0;
        if (take_header(t, block, err) < 0)
            return -1;
    }
    t->about.ended = t->zeros > 0;
    return look_behind(t, err);
}

/* What is left when there is no end mark: a header that lost its rest, or
 * headers that announce a member which never comes. */
static int check_end(struct tar *t, rh_error **err)
{
    if (!t->next.any && (t->about.ended || t->at == t->io->size))
        return 0;
    rh_fail(err, RH_ERR_PACKAGE_TRUNCATED,
            "the archive ends in the middle of a header, at 0x%llx",
            (unsigned long long)t->io->size);
    return rh_error_subject(err, t->io->name);
}

struct rh_place *rh_tar_open(rh_lib *lib, struct rh_io *io,
                             struct rh_archive_about *ret_about, rh_error **err)
{
    RH_AUTO(rh_archive_freep)
    struct rh_archive *archive = rh_archive_new(lib, io);
    struct tar t = {.archive = archive, .io = io};
    int failed = read_index(&t, err) < 0 || check_end(&t, err) < 0;

    forget(&t.next);
    if (failed || rh_index_finish(&archive->index, err) < 0) {
        rh_error_subject(err, io->name);
        return NULL;
    }
    *ret_about = t.about;
    return rh_archive_place(RH_TAKE(archive));
}
