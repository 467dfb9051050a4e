/* fat_sound.c - is a FAT file system sound enough to be edited?
 *
 * Where two files share a cluster, or one uses a cluster that the table calls
 * free, an edit of one file would change another.  So the whole tree is gone
 * through once, before the first edit: each cluster is met once at most, which
 * also bounds the time. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/fat.h"

struct check {
    const struct rh_fat *f;
    uint8_t *met;             /* a bit for each cluster */
    RH_VEC(uint32_t) folders; /* still to be read */
    const char *wrong;
    const struct rh_fat_dir *dir;
};

static void check_free(struct check *c)
{
    free(c->met);
    free(c->folders.items);
}

/* Mark a chain of `size` bytes at least; UINT64_MAX: whatever it has. */
static void take(struct check *c, uint32_t cluster, uint64_t size)
{
    uint64_t length = 0;

    for (; rh_fat_valid(c->f, cluster); length += c->f->cluster_size) {
        uint8_t bit = (uint8_t)(1u << cluster % 8);

        if (c->met[cluster / 8] & bit)
            c->wrong = _("two files share a cluster");
        else if (!rh_fat_next(c->f, cluster))
            c->wrong = _("a file uses a cluster that is free");
        if (c->wrong)
            return;
        c->met[cluster / 8] |= bit;
        cluster = rh_fat_next(c->f, cluster);
    }
    if (size != UINT64_MAX && length < size)
        c->wrong = _("a chain of clusters is cut short");
}

static bool check_entry(void *user, const char *name, uint32_t first,
                        uint32_t index)
{
    struct check *c = user;
    const uint8_t *e = c->dir->bytes + (size_t)index * RH_FAT_ENTRY;
    uint32_t cluster = rh_fat_first_cluster(c->f, e);

    (void)first;
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return false;
    if (e[11] & RH_FAT_ATTR_DIR) {
        take(c, cluster, 1);
        *rh_vec_add(&c->folders) = cluster;
    } else {
        take(c, cluster, rh_le32(e + 28));
    }
    return c->wrong != NULL;
}

static int check_tree(struct check *c, rh_lib *lib, rh_error **err)
{
    if (c->f->root_cluster)
        take(c, c->f->root_cluster, 1);
    *rh_vec_add(&c->folders) = 0;
    while (c->folders.count && !c->wrong) {
        RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
        uint32_t cluster = c->folders.items[--c->folders.count];

        if (rh_go_on(lib, err) < 0 ||
            rh_fat_read_dir(c->f, cluster, &d, err) < 0)
            return -1;
        c->dir = &d;
        rh_fat_each(&d, check_entry, c);
    }
    return c->wrong ? rh_fat_damaged(c->f, c->wrong, err) : 0;
}

int rh_fat_check(struct rh_fs *fs, rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);
    RH_AUTO(check_free) struct check c = {.f = &w->f};

    if (w->sound)
        return 0;
    c.met = rh_calloc(w->f.clusters / 8 + 1, 1);
    if (check_tree(&c, rh_disks_lib(fs->disks), err) < 0)
        return -1;
    w->sound = true;
    return 0;
}
