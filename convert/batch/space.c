/* space.c - bytes of OUT's file system: promised to VMs, and given to what is
 * fetched.
 *
 * What comes from servers is kept in OUT/.rehost/fetched/VM/ until the VM is
 * done (base/fetched.h), as far as there is space that no VM was promised.  It
 * gives way to results. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/out.h"
#include "base/text.h"
#include "convert/batch/batch.h"
#include "convert/source_stamp.h"

static const struct rh_job_vm *vm_of(const rh_batch *b, size_t i)
{
    return &b->jobs->vms.items[i];
}

/* --- promised
 * ---------------------------------------------------------------- */

/* Bytes a VM still has to write of what it was promised. */
static uint64_t still_to_come(const struct rh_record *r)
{
    double done =
        r->bytes_total ? (double)r->bytes_done / (double)r->bytes_total : 0;

    return r->reserved - (uint64_t)((double)r->reserved * RH_MIN(done, 1.0));
}

uint64_t rh_batch_promised(const rh_batch *b)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (b->tasks[i].record.state == RH_VM_RUNNING)
            sum += still_to_come(&b->tasks[i].record);
    return sum;
}

static bool free_bytes(const char *path, uint64_t *ret)
{
    struct statvfs v;

    if (statvfs(path, &v) < 0)
        return false;
    *ret = (uint64_t)v.f_bavail * v.f_frsize;
    return true;
}

static char *space_text(const char *where, uint64_t need, uint64_t free_there,
                        uint64_t promised)
{
    RH_AUTO(rh_freep) char *a = rh_human_size(need);
    RH_AUTO(rh_freep) char *f = rh_human_size(free_there);
    RH_AUTO(rh_freep) char *p = rh_human_size(promised);

    return rh_printf(_("space: it needs %s in %s, where %s are free and %s of "
                       "that promised to VMs that run"),
                     a, where, f, p);
}

/* Why it does not fit now, or NULL. */
char *rh_batch_does_not_fit(const rh_batch *b, size_t i)
{
    const struct rh_task *t = &b->tasks[i];
    const char *temp = rh_option(&vm_of(b, i)->options, "temp-dir");
    uint64_t there, promised = rh_batch_promised(b), in_temp = 0;

    if (!vm_of(b, i)->deliver && free_bytes(b->journal.out, &there) &&
        there < t->need_out + promised + b->jobs->keep_free)
        return space_text(b->journal.out, t->need_out + b->jobs->keep_free,
                          there, promised);
    temp = temp ? temp : rh_temp_dir(b->lib);
    for (size_t k = 0; k < b->jobs->vms.count; k++)
        if (k != i && b->tasks[k].step == RH_STEP_CONVERT)
            in_temp += b->tasks[k].need_temp;
    if (t->need_temp && free_bytes(temp, &there) &&
        there < t->need_temp + in_temp)
        return space_text(temp, t->need_temp, there, in_temp);
    return NULL;
}

bool rh_batch_somebody_runs(const rh_batch *b, size_t but)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (i != but && b->tasks[i].record.state == RH_VM_RUNNING)
            return true;
    return false;
}

static bool is_packed(const char *source)
{
    static const char *const endings[] = {".gz", ".xz", ".zst", ".bz2", ".zip"};
    size_t n = strlen(source);

    for (size_t k = 0; k < RH_COUNT(endings); k++) {
        size_t m = strlen(endings[k]);

        if (n > m && rh_same_word(source + n - m, endings[k]))
            return true;
    }
    return false;
}

void rh_batch_note_needs(rh_batch *b, size_t i, const json_t *report)
{
    struct rh_task *t = &b->tasks[i];
    json_t *vms = json_object_get(report, "vms"), *vm, *target;
    uint64_t sum = 0, most = 0;
    size_t v, k;

    json_array_foreach (vms, v, vm)
        json_array_foreach (json_object_get(vm, "targets"), k, target) {
            uint64_t n = (uint64_t)json_integer_value(
                json_object_get(target, "output_bytes"));

            sum += n;
            most = RH_MAX(most, n);
        }
    t->need_out = sum + RH_MAX(sum / 50, RH_MIB);
    t->need_fetched = most ? most + RH_MAX(most / 50, RH_MIB) : UINT64_MAX;
    /* A packed OVA is unpacked to a temporary file first. */
    t->need_temp = is_packed(vm_of(b, i)->sources.items[0]) ? sum : 0;
    t->planned = true;
}

/* --- what was fetched
 * -------------------------------------------------------- */

static int open_fetched(const rh_batch *b)
{
    return openat(b->journal.dir, "fetched",
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static uint64_t bytes_in(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    uint64_t sum = 0;
    struct stat st;

    if (!d) {
        rh_closep(&fd);
        return 0;
    }
    while ((entry = readdir(d)))
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_blocks * 512;
    closedir(d);
    return sum;
}

static bool fetches(const struct rh_job_vm *vm)
{
    for (size_t k = 0; k < vm->sources.count; k++)
        if (rh_source_is_remote(vm->sources.items[k]))
            return vm->keep_fetched;
    return false;
}

/* A share of what nobody was promised: others are to begin, too. */
static uint64_t share(const rh_batch *b, size_t i)
{
    uint64_t there, taken = rh_batch_promised(b) + b->jobs->keep_free;

    if (!vm_of(b, i)->deliver)
        taken += b->tasks[i].need_out;
    if (!free_bytes(b->journal.out, &there) || there <= taken)
        return 0;
    return (there - taken) / RH_MAX(b->at_once, 1);
}

uint64_t rh_batch_fetched_most(rh_batch *b, size_t i, uint64_t *ret_more)
{
    const struct rh_task *t = &b->tasks[i];
    RH_AUTO(rh_closep) int dir = -1;
    uint64_t have, more;

    *ret_more = 0;
    if (!fetches(vm_of(b, i)))
        return 0;
    mkdirat(b->journal.dir, "fetched", 0777);
    dir = open_fetched(b);
    /* While it is there, nobody who is done takes "fetched" away. */
    if (dir < 0 ||
        (mkdirat(dir, vm_of(b, i)->folder, 0700) < 0 && errno != EEXIST))
        return 0;
    have = bytes_in(dir, vm_of(b, i)->folder);
    more = t->need_fetched > have ? t->need_fetched - have : 0;
    *ret_more = RH_MIN(more, share(b, i));
    return have + *ret_more;
}

void rh_batch_drop_fetched(rh_batch *b, size_t i)
{
    RH_AUTO(rh_closep) int dir = open_fetched(b);

    if (dir < 0)
        return;
    rh_remove_tree(dir, vm_of(b, i)->folder);
    unlinkat(b->journal.dir, "fetched", AT_REMOVEDIR); /* if it was the last */
}

/* Of a VM that neither this run nor another machine's has in hand. */
static bool is_idle(const rh_batch *b, size_t i)
{
    const struct rh_task *t = &b->tasks[i];
    RH_AUTO(rh_closep) int dir = -1;

    if (t->mine || t->step != RH_STEP_NONE)
        return false;
    dir = openat(b->journal.vms, vm_of(b, i)->folder,
                 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return !rh_lease_held(dir, "lease", b->jobs->lease_seconds, NULL);
}

char *rh_batch_make_room(rh_batch *b, size_t i)
{
    char *why = rh_batch_does_not_fit(b, i);
    RH_AUTO(rh_closep) int dir = why ? open_fetched(b) : -1;

    for (size_t k = 0; why && dir >= 0 && k <= b->jobs->vms.count; k++) {
        size_t other = k < b->jobs->vms.count ? k : i; /* its own last */

        if (k == i || !bytes_in(dir, vm_of(b, other)->folder) ||
            (other != i && !is_idle(b, other)))
            continue;
        rh_batch_drop_fetched(b, other);
        free(why);
        why = rh_batch_does_not_fit(b, i);
    }
    return why;
}

/* Is it kept for a VM of this batch that is not done? */
static bool is_wanted(const rh_batch *b, const char *folder)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (!strcmp(vm_of(b, i)->folder, folder))
            return fetches(vm_of(b, i)) &&
                   !(b->tasks[i].settled &&
                     b->tasks[i].record.state == RH_VM_DONE);
    return false;
}

void rh_batch_sweep_fetched(rh_batch *b)
{
    int fd = open_fetched(b);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        rh_closep(&fd);
        return;
    }
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            !is_wanted(b, entry->d_name))
            rh_remove_tree(fd, entry->d_name);
    closedir(d);
    unlinkat(b->journal.dir, "fetched", AT_REMOVEDIR);
}
