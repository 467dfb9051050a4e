/* files.c - the files that a descriptor names, and those that are there.
 *
 * A name is looked up as it is written, then with its %-escapes decoded; a
 * file in chunks is NAME.000000000 and so on.  What would leave the package is
 * never opened: in an archive, and as a URL or an absolute path, it makes the
 * package hostile; "../disk.vmdk" beside a loose descriptor is a layout that
 * exists, so that is a finding, and converting stops there. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fold.h"
#include "base/limits.h"
#include "package/container.h"

/* --- names -------------------------------------------------------------------
 */

enum reach {
    INSIDE,
    ABOVE,   /* through ".." */
    FOREIGN, /* a URL, an absolute path, no name at all */
};

static bool has_scheme(const char *name)
{
    const char *p = name;

    while (isalnum((unsigned char)*p) || *p == '+' || *p == '.' || *p == '-')
        p++;
    return p > name && *p == ':';
}

static bool climbs(const char *name)
{
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/\\");

        if (n == 2 && p[0] == '.' && p[1] == '.')
            return true;
        p += n + (p[n] != '\0');
    }
    return false;
}

static enum reach reach_of(const char *name)
{
    if (!name[0] || name[0] == '/' || name[0] == '\\' || has_scheme(name))
        return FOREIGN;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return FOREIGN;
    return climbs(name) ? ABOVE : INSIDE;
}

static int hex_digit(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    return isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                      : -1;
}

/* "my%20disk.vmdk"; what is no escape stays. */
static char *unescape(const char *name)
{
    char *text = rh_strdup(name), *to = text;

    for (const char *p = name; *p; p++) {
        int high = *p == '%' ? hex_digit(p[1]) : -1;
        int low = high < 0 ? -1 : hex_digit(p[2]);

        if (low < 0 || (high == 0 && low == 0)) {
            *to++ = *p;
            continue;
        }
        *to++ = (char)(high << 4 | low);
        p += 2;
    }
    *to = '\0';
    return text;
}

/* "./a" is "a". */
static const char *without_dot(const char *name)
{
    while (name[0] == '.' && name[1] == '/')
        for (name++; *name == '/';)
            name++;
    return name;
}

static enum reach reach_of_href(const struct rh_package *p, const char *href)
{
    RH_AUTO(rh_freep) char *plain = unescape(href);
    const char *rest;
    enum reach as_is, decoded;

    if (rh_datastore_of(p, href, &rest))
        return rh_check_name(rest, NULL) < 0 ? FOREIGN : INSIDE;
    as_is = reach_of(href);
    decoded = reach_of(plain);
    return RH_MAX(as_is, decoded);
}

static int refuse(const char *href, enum reach reach, rh_error **err)
{
    return rh_fail(
        err, RH_ERR_PACKAGE_HREF,
        reach == ABOVE
            ? N_("the descriptor names \"%s\", which lies outside the "
                 "package")
            : N_("the descriptor names \"%s\", which is no file of "
                 "the package"),
        href);
}

/* --- is it there --------------------------------------------------------- */

static void tell_near(struct rh_package *p, const char *name, const char *near)
{
    rh_finding_add(&p->findings, RH_F_PACKAGE_FILE_NAME, near,
                   "the descriptor names \"%s\"; the file \"%s\" was taken, "
                   "whose name is written otherwise",
                   name, near);
}

/* Its index knows, without unpacking anything. */
static int look_in_archive(struct rh_package *p, const char *name,
                           const char **ret_real, uint64_t *ret_size)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep)
    char *full =
        c->folder[0] ? rh_printf("%s/%s", c->folder, name) : rh_strdup(name);
    struct rh_index *x = rh_archive_index(c->base);
    const struct rh_entry *e = rh_index_find(x, full);
    size_t skip = strlen(full) - strlen(name);

    if (!e && (e = rh_index_near(x, full)) && strlen(e->name) > skip)
        tell_near(p, name, e->name + skip);
    if (!e || strlen(e->name) <= skip)
        return 0;
    if (e->raw)
        tell_near(p, name, e->raw);
    *ret_size = e->size;
    *ret_real = e->name + skip;
    return 0;
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

/* The folders that lead to it, too. */
static bool is_written_so(const struct rh_package *p, const char *name)
{
    const struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep)
    char *path = rh_printf("%s/%s%s%s", c->base->name, c->folder,
                           c->folder[0] ? "/" : "", name);

    return !strchr(name, '/') || !access(path, F_OK);
}

/* As the file is really named, in the folder as it was asked for. */
static const char *real_name(struct rh_package *p, const char *name,
                             const struct rh_io *io)
{
    const char *last = last_part(name);
    RH_AUTO(rh_freep) char *text = rh_utf8_name(last_part(io->name));

    return rh_arena_printf(p->arena, "%.*s%s", (int)(last - name), name, text);
}

/* *ret_real: NULL when there is none; else the file's own name. */
static int look_for(struct rh_package *p, const char *name,
                    const char **ret_real, uint64_t *ret_size, rh_error **err)
{
    rh_error *cause = NULL;
    struct rh_io *io;
    const char *rest;
    bool elsewhere = rh_datastore_of(p, name, &rest) != NULL;

    *ret_real = NULL;
    if (rh_check_name(elsewhere ? rest : name, NULL) < 0)
        return 0; /* "a:b", "../c": no file of a package has that name */
    if (rh_container_of(p)->archive && !elsewhere)
        return look_in_archive(p, name, ret_real, ret_size);
    io = rh_file_open(p, name, &cause);
    if (io) {
        *ret_size = io->size;
        *ret_real = real_name(p, name, io);
        if (!rh_valid_utf8(io->name, strlen(io->name)))
            tell_near(p, name, last_part(io->name));
        else if (io->alike || strcmp(*ret_real, name) ||
                 (!elsewhere && !is_written_so(p, name)))
            tell_near(p, name, *ret_real);
        rh_io_unref(io);
        return 0;
    }
    if (rh_error_number(cause) == RH_ERR_FILE_NOT_FOUND ||
        rh_error_number(cause) == RH_ERR_FILE_ALIKE) {
        rh_error_free(cause);
        return 0;
    }
    if (err && !*err)
        *err = RH_TAKE(cause);
    rh_error_free(cause);
    return -1;
}

int rh_file_look(struct rh_package *p, const char *name, bool *ret_there,
                 uint64_t *ret_size, rh_error **err)
{
    const char *real = NULL;
    int failed = look_for(p, name, &real, ret_size, err);

    *ret_there = real != NULL;
    return failed;
}

void rh_parts_free(struct rh_parts *parts)
{
    free(parts->list.items);
    *parts = (struct rh_parts){0};
}

static void add_part(struct rh_package *p, struct rh_parts *parts,
                     const char *name, uint64_t size)
{
    struct rh_part *part = rh_vec_add(&parts->list);

    part->name = rh_arena_strdup(p->arena, name);
    part->size = size;
    parts->size += size;
}

static int find_whole(struct rh_package *p, const char *name,
                      struct rh_parts *ret, rh_error **err)
{
    uint64_t size = 0;
    const char *real;

    if (look_for(p, name, &real, &size, err) < 0)
        return -1;
    if (real)
        add_part(p, ret, real, size);
    return 0;
}

/* All but the last must be full, or bytes are missing in between. */
static int check_chunks(const struct rh_parts *parts, uint64_t chunk_size,
                        const char *name, rh_error **err)
{
    for (size_t i = 0; chunk_size && i < parts->list.count; i++) {
        const struct rh_part *part = &parts->list.items[i];
        bool last = i + 1 == parts->list.count;

        if (part->size != chunk_size && !(last && part->size < chunk_size)) {
            rh_fail(err, RH_ERR_PACKAGE_CHUNK,
                    "the part \"%s\" has %llu bytes, where the descriptor "
                    "says %llu",
                    part->name, (unsigned long long)part->size,
                    (unsigned long long)chunk_size);
            return rh_error_subject(err, name);
        }
    }
    return 0;
}

static int find_chunks(struct rh_package *p, const char *name,
                       uint64_t chunk_size, struct rh_parts *ret,
                       rh_error **err)
{
    const char *real = name;

    for (unsigned i = 0; real && i < RH_LIMIT_MEMBERS; i++) {
        RH_AUTO(rh_freep) char *part = rh_printf("%s.%09u", name, i);
        uint64_t size = 0;

        if (look_for(p, part, &real, &size, err) < 0)
            return -1;
        if (real)
            add_part(p, ret, real, size);
    }
    return check_chunks(ret, chunk_size, name, err);
}

static int find_name(struct rh_package *p, const char *name,
                     uint64_t chunk_size, struct rh_parts *ret, rh_error **err)
{
    if (chunk_size && find_chunks(p, name, chunk_size, ret, err) < 0)
        return -1;
    if (!ret->list.count && find_whole(p, name, ret, err) < 0)
        return -1;
    if (!ret->list.count && !chunk_size &&
        find_chunks(p, name, 0, ret, err) < 0)
        return -1;
    return 0;
}

/* Said, since it is a guess, if a good one. */
static int find_near(struct rh_package *p, const char *href,
                     struct rh_parts *ret, rh_error **err)
{
    const char *near = rh_near_name(p, without_dot(href));

    if (!near)
        return 0;
    tell_near(p, href, near);
    return find_whole(p, near, ret, err);
}

int rh_parts_find(struct rh_package *p, const char *href, uint64_t chunk_size,
                  struct rh_parts *ret, rh_error **err)
{
    RH_AUTO(rh_freep) char *plain = unescape(href);
    enum reach reach = reach_of_href(p, href);

    if (reach != INSIDE)
        return refuse(href, reach, err);
    if (find_name(p, without_dot(href), chunk_size, ret, err) < 0)
        return -1;
    if (!ret->list.count && strcmp(plain, href) &&
        find_name(p, without_dot(plain), chunk_size, ret, err) < 0)
        return -1;
    return ret->list.count ? 0 : find_near(p, plain, ret, err);
}

int rh_file_missing(const struct rh_package *p, const char *href,
                    rh_error **err)
{
    const struct rh_container *c = rh_container_of(p);

    if (c->archive && !c->about.ended)
        rh_fail(err, RH_ERR_PACKAGE_TRUNCATED,
                "the archive ends, without its end mark, before \"%s\"", href);
    else
        rh_fail(err, RH_ERR_PACKAGE_FILE_MISSING,
                "the file is not in the package");
    return rh_error_subject(err, href);
}

/* --- members ------------------------------------------------------------- */

static size_t member_index(const struct rh_package *p, const char *name)
{
    size_t i = 0;

    while (i < p->members.count && strcmp(p->members.items[i].name, name))
        i++;
    return i;
}

struct rh_member *rh_member_find(struct rh_package *p, const char *name)
{
    size_t i = member_index(p, name);

    return i < p->members.count ? &p->members.items[i] : NULL;
}

static size_t add_member(struct rh_package *p, const char *name, uint64_t size)
{
    const struct rh_manifest_line *line = rh_vouched_by(p, name);
    struct rh_member *m = rh_vec_add(&p->members);

    m->name = rh_arena_strdup(p->arena, name);
    m->size = size;
    m->algorithm = line ? line->algorithm : NULL;
    m->digest = line ? line->digest : NULL;
    return p->members.count - 1;
}

size_t rh_member_of(struct rh_package *p, const char *name, uint64_t size)
{
    size_t i = member_index(p, name);

    return i < p->members.count ? i : add_member(p, name, size);
}

/* The descriptor, its manifest and its certificate are not members. */
static bool is_own(const struct rh_package *p, const char *name)
{
    const struct rh_container *c = rh_container_of(p);
    const char *slash = c->name ? strrchr(c->name, '/') : NULL;
    const char *dot = strrchr(name, '.');

    if (c->name && !strcmp(name, slash ? slash + 1 : c->name))
        return true;
    return dot && (rh_same_word(dot, ".mf") || rh_same_word(dot, ".cert"));
}

static void list_archive(struct rh_package *p)
{
    const struct rh_container *c = rh_container_of(p);
    const struct rh_index *x = rh_archive_index(c->base);
    size_t skip = strlen(c->folder) + (c->folder[0] != '\0');

    for (size_t i = 0; i < x->entries.count; i++) {
        const struct rh_entry *e = &x->entries.items[i];

        if (strncmp(e->name, c->folder, skip ? skip - 1 : 0) ||
            (skip && e->name[skip - 1] != '/'))
            continue;
        if (!is_own(p, e->name + skip))
            add_member(p, e->name + skip, e->size);
    }
}

/* In a folder, the package is what the manifest lists; the rest is found as
 * the descriptor names it. */
static int list_manifest(struct rh_package *p, rh_error **err)
{
    const struct rh_manifest *m = rh_container_of(p)->manifest;

    for (size_t i = 0; m && i < m->lines.count; i++) {
        const char *name = m->lines.items[i].name;
        uint64_t size = 0;
        const char *real;

        if (is_own(p, name))
            continue;
        if (look_for(p, name, &real, &size, err) < 0)
            return -1;
        if (real)
            rh_member_of(p, real, size);
    }
    return 0;
}

/* --- what the descriptor names ------------------------------------------- */

const struct rh_file_note *rh_file_note_of(const struct rh_package *p,
                                           const char *href)
{
    const struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; i < c->files.count; i++)
        if (!strcmp(c->files.items[i].href, href))
            return &c->files.items[i];
    return NULL;
}

static int check_reach(struct rh_package *p, const char *href, rh_error **err)
{
    const struct rh_container *c = rh_container_of(p);
    enum reach reach = reach_of_href(p, href);

    /* A .vmx may well name a disk on another datastore. */
    if (reach == INSIDE || (c->descriptor && c->descriptor->elsewhere) ||
        (reach == ABOVE && !c->archive))
        return 0;
    return refuse(href, reach, err);
}

static bool is_used(const struct rh_package *p, const char *href)
{
    const struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; i < c->disks.count; i++)
        if (c->disks.items[i].href && !strcmp(c->disks.items[i].href, href))
            return true;
    for (size_t vm = 0; vm < p->vms.count; vm++) {
        const struct rh_vm *v = p->vms.items[vm];

        for (size_t i = 0; i < v->disks.count; i++)
            if (!strcmp(rh_text_of(&v->disks.items[i].file), href))
                return true;
        for (size_t i = 0; i < v->cdroms.count; i++)
            if (!strcmp(rh_text_of(&v->cdroms.items[i].file), href))
                return true;
    }
    return false;
}

static int check_note(struct rh_package *p, const struct rh_file_note *note,
                      rh_error **err)
{
    RH_AUTO(rh_parts_free) struct rh_parts parts = {0};

    if (has_scheme(note->href) && !is_used(p, note->href)) {
        rh_finding_add(&p->findings, RH_F_PACKAGE_FILE_ELSEWHERE, note->href,
                       "the file \"%s\" lies elsewhere; nothing uses it",
                       note->href);
        return 0;
    }
    if (check_reach(p, note->href, err) < 0)
        return -1;
    if (reach_of_href(p, note->href) != INSIDE)
        return 0;
    if (rh_parts_find(p, note->href, note->chunk_size, &parts, err) < 0)
        return -1;
    for (size_t i = 0; !rh_container_of(p)->archive && i < parts.list.count;
         i++)
        rh_member_of(p, parts.list.items[i].name, parts.list.items[i].size);
    if (parts.list.count && note->size && note->size != parts.size)
        rh_finding_add(&p->findings, RH_F_PACKAGE_FILE_SIZE, note->href,
                       "the descriptor says %llu bytes, the file has %llu",
                       (unsigned long long)note->size,
                       (unsigned long long)parts.size);
    return 0;
}

static int check_disk(struct rh_package *p, size_t vm, size_t disk,
                      rh_error **err)
{
    const struct rh_disk_config *d = &p->vms.items[vm]->disks.items[disk];
    const char *href = d->file.kind == RH_VALUE_TEXT ? d->file.text : NULL;
    RH_AUTO(rh_parts_free) struct rh_parts parts = {0};
    struct rh_findings *findings = &p->vm_findings.items[vm];
    char subject[32];

    if (!href || d->empty)
        return 0;
    snprintf(subject, sizeof subject, "disks/%zu", disk);
    if (check_reach(p, href, err) < 0)
        return -1;
    if (reach_of_href(p, href) != INSIDE) {
        rh_finding_add(findings, RH_F_DISK_FILE_OUTSIDE, subject,
                       "\"%s\" lies outside the package and is not read", href);
        return 0;
    }
    if (rh_parts_find(p, href, d->chunk_size, &parts, err) < 0)
        return -1;
    if (parts.list.count)
        return 0;
    if (rh_container_of(p)->archive && !rh_container_of(p)->about.ended)
        return rh_file_missing(p, href, err);
    rh_finding_add(findings, RH_F_DISK_FILE_MISSING, subject,
                   "the file \"%s\" is not in the package", href);
    return 0;
}

/* --- two disks, one file -------------------------------------------------- */

/* Which file a disk is read from. */
struct use {
    const char *file;
    size_t vm, disk;
};

static int by_file(const void *a, const void *b)
{
    const struct use *x = a, *y = b;
    int order = strcmp(x->file, y->file);

    if (order)
        return order;
    if (x->vm != y->vm)
        return x->vm < y->vm ? -1 : 1;
    return x->disk < y->disk ? -1 : x->disk > y->disk;
}

static const char *file_of(struct rh_package *p, const struct rh_disk_config *d)
{
    RH_AUTO(rh_parts_free) struct rh_parts parts = {0};

    if (d->empty || d->file.kind != RH_VALUE_TEXT)
        return NULL;
    rh_parts_find(p, d->file.text, d->chunk_size, &parts, NULL);
    return parts.list.count ? parts.list.items[0].name : d->file.text;
}

/* "scsi0:1 (/vmfs/volumes/b/b.vmdk)" */
static char *name_disk(const struct rh_disk_config *d)
{
    return rh_printf("%s (\"%s\")", d->id.text ? d->id.text : "?",
                     d->named ? d->named : d->file.text);
}

/* One <File> that two disks ask for is what the descriptor wants; two names
 * that meet in one file are not. */
static void tell_shared(struct rh_package *p, const struct use *a,
                        const struct use *b)
{
    const struct rh_disk_config *c = &p->vms.items[a->vm]->disks.items[a->disk];
    const struct rh_disk_config *d = &p->vms.items[b->vm]->disks.items[b->disk];
    bool meant = c->file_id && d->file_id && !strcmp(c->file_id, d->file_id);
    RH_AUTO(rh_freep) char *x = name_disk(c);
    RH_AUTO(rh_freep) char *y = name_disk(d);
    struct rh_findings *findings = &p->vm_findings.items[b->vm];
    char subject[32];

    snprintf(subject, sizeof subject, "disks/%zu", b->disk);
    if (a->vm == b->vm)
        rh_finding_add(findings, RH_F_DISK_SAME_FILE, subject,
                       "the disks %s and %s are one file here, \"%s\": the "
                       "result would hold it twice",
                       x, y, b->file)
            ->severity = meant ? RH_SEVERITY_CAUTION : RH_SEVERITY_BLOCKER;
    else if (!rh_findings_has(findings, RH_F_OVF_SHARED_DISK))
        rh_finding_add(findings, RH_F_OVF_SHARED_DISK, subject,
                       "the file \"%s\" is the disk %s of the VM \"%s\", too; "
                       "each VM gets a copy of its own",
                       b->file, x, p->vms.items[a->vm]->id);
}

void rh_files_shared(struct rh_package *p)
{
    RH_VEC(struct use) uses = {0};

    for (size_t vm = 0; vm < p->vms.count; vm++) {
        rh_findings_drop(&p->vm_findings.items[vm], RH_F_DISK_SAME_FILE);
        for (size_t i = 0; i < p->vms.items[vm]->disks.count; i++) {
            const char *file = file_of(p, &p->vms.items[vm]->disks.items[i]);

            if (file)
                *rh_vec_add(&uses) = (struct use){file, vm, i};
        }
    }
    if (uses.count)
        qsort(uses.items, uses.count, sizeof *uses.items, by_file);
    for (size_t i = 1; i < uses.count; i++)
        if (!strcmp(uses.items[i - 1].file, uses.items[i].file))
            tell_shared(p, &uses.items[i - 1], &uses.items[i]);
    free(uses.items);
}

int rh_files_list(struct rh_package *p, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    if (c->archive)
        list_archive(p);
    else if (list_manifest(p, err) < 0)
        return -1;
    for (size_t i = 0; i < c->files.count; i++)
        if (check_note(p, &c->files.items[i], err) < 0)
            return -1;
    for (size_t vm = 0; vm < p->vms.count; vm++)
        for (size_t i = 0; i < p->vms.items[vm]->disks.count; i++)
            if (check_disk(p, vm, i, err) < 0)
                return -1;
    rh_files_shared(p);
    return 0;
}
