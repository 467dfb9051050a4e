/* jobs_lists.c - patterns become files, names become unique, `after:` becomes
 * an order without circles. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/batch/jobs_lists.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/out.h"
#include "base/text.h"
#include "convert/endings.h"

void rh_paths_free(rh_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        free(paths->items[i]);
    free(paths->items);
    *paths = (rh_paths){0};
}

/* --- files
 * ------------------------------------------------------------------- */

char *rh_jobs_path(const struct rh_jobs *jobs, const char *path)
{
    if (path[0] == '/' || strstr(path, "://") || !strcmp(jobs->folder, "."))
        return rh_strdup(path);
    return rh_printf("%s/%s", jobs->folder, path);
}

bool rh_jobs_expand(const struct rh_jobs *jobs, const char *pattern,
                    rh_paths *ret)
{
    RH_AUTO(rh_freep) char *path = rh_jobs_path(jobs, pattern);
    glob_t found;

    /* A file may be named "a[1].ova". */
    if (!strpbrk(pattern, "*?[") || strstr(pattern, "://") ||
        access(path, F_OK) == 0) {
        *rh_vec_add(ret) = RH_TAKE(path);
        return true;
    }
    if (glob(path, 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && i < RH_LIMIT_MEMBERS; i++)
        *rh_vec_add(ret) = rh_strdup(found.gl_pathv[i]);
    globfree(&found);
    return true;
}

bool rh_job_is_package(const char *source)
{
    struct stat st;

    if (rh_package_ending(source))
        return true;
    return !strstr(source, "://") && stat(source, &st) == 0 &&
           S_ISDIR(st.st_mode);
}

static size_t without_slashes(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

char *rh_job_source_name(const char *source)
{
    RH_AUTO(rh_freep)
    char *path = rh_strndup(source, without_slashes(source));
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *end = rh_package_ending(name);

    if (!end)
        end = rh_disk_ending(name);
    return end ? rh_strndup(name, (size_t)(end - name)) : rh_strdup(name);
}

/* --- names
 * ------------------------------------------------------------------- */

static int fail_at(const struct rh_jobs *jobs, unsigned line, const char *text,
                   rh_error **err)
{
    return rh_fail(err, RH_ERR_JOBS_FILE, "%s:%u: %s", jobs->path, line, text);
}

/* "exports-web01": with the folder's name in front. */
static char *longer_name(const struct rh_job_vm *vm)
{
    RH_AUTO(rh_freep) char *path = rh_strdup(vm->sources.items[0]);
    RH_AUTO(rh_freep) char *folder = NULL;
    char *slash = strrchr(path, '/');

    if (!slash)
        return rh_strdup(vm->name);
    *slash = '\0';
    folder = rh_job_source_name(path);
    return rh_printf("%s-%s", folder, vm->name);
}

/* Names are for people, folders for file systems. */
static char *folder_of(const char *name)
{
    RH_AUTO(rh_freep) char *safe = rh_safe_name(name);
    char hex[65];

    if (!strcmp(safe, name) && strlen(name) < 100)
        return RH_TAKE(safe);
    rh_sha256_hex(name, strlen(name), hex);
    return rh_printf("%.80s-%.8s", safe, hex);
}

static int add_name(struct rh_jobs *jobs, size_t i, rh_error **err)
{
    struct rh_job_vm *vm = &jobs->vms.items[i];
    RH_AUTO(rh_freep) char *text = NULL;
    size_t other;

    if (rh_name_map_add(&jobs->names, vm->name, i))
        return 0;
    if (!vm->named) {
        char *longer = longer_name(vm);

        free(vm->name);
        vm->name = longer;
        if (rh_name_map_add(&jobs->names, vm->name, i))
            return 0;
    }
    other = rh_name_map_find(&jobs->names, vm->name);
    text = rh_printf(_("a second VM is called \"%s\" (the other one: line %u)"),
                     vm->name, jobs->vms.items[other].line);
    return fail_at(jobs, vm->line, text, err);
}

int rh_jobs_name_all(struct rh_jobs *jobs, rh_error **err)
{
    for (size_t i = 0; i < jobs->vms.count; i++) {
        struct rh_job_vm *vm = &jobs->vms.items[i];

        if (!vm->name)
            vm->name = rh_job_source_name(vm->sources.items[0]);
    }
    /* Names that were chosen stand; the others keep clear of them. */
    for (size_t i = 0; i < jobs->vms.count; i++)
        if (jobs->vms.items[i].named && add_name(jobs, i, err) < 0)
            return -1;
    for (size_t i = 0; i < jobs->vms.count; i++)
        if (!jobs->vms.items[i].named && add_name(jobs, i, err) < 0)
            return -1;
    for (size_t i = 0; i < jobs->vms.count; i++)
        jobs->vms.items[i].folder = folder_of(jobs->vms.items[i].name);
    return 0;
}

/* --- order
 * ------------------------------------------------------------------- */

static int resolve(struct rh_jobs *jobs, struct rh_job_vm *vm, rh_error **err)
{
    for (size_t i = 0; i < vm->after.count; i++) {
        RH_AUTO(rh_freep) char *text = NULL;
        const char *name = vm->after.items[i];
        size_t other = rh_name_map_find(&jobs->names, name);

        if (other == SIZE_MAX)
            text = rh_printf(_("after: no VM here is called \"%s\""), name);
        else if (jobs->vms.items[other].wave > vm->wave)
            text = rh_printf(_("after: \"%s\" is of a later wave (%u)"), name,
                             jobs->vms.items[other].wave);
        if (text)
            return fail_at(jobs, vm->line, text, err);
        *rh_vec_add(&vm->needs) = other;
    }
    return 0;
}

/* VMs whose needs are met are taken away until none is left; those that stay
 * stand in a circle, or behind one. */
static size_t count_ordered(const struct rh_jobs *jobs, size_t *open_needs)
{
    size_t n = jobs->vms.count, ready = 0, done = 0, *first, *next, edges = 0;
    RH_AUTO(rh_freep) size_t *queue = rh_calloc(n + 1, sizeof *queue);
    RH_AUTO(rh_freep) size_t *users = NULL, *start = NULL;

    start = rh_calloc(n + 2, sizeof *start);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < jobs->vms.items[i].needs.count; k++, edges++)
            start[jobs->vms.items[i].needs.items[k] + 2]++;
    for (size_t i = 2; i < n + 2; i++)
        start[i] += start[i - 1];
    users = rh_calloc(edges + 1, sizeof *users);
    for (size_t i = 0; i < n; i++) {
        const struct rh_job_vm *vm = &jobs->vms.items[i];

        open_needs[i] = vm->needs.count;
        if (!open_needs[i])
            queue[ready++] = i;
        for (size_t k = 0; k < vm->needs.count; k++)
            users[start[vm->needs.items[k] + 1]++] = i;
    }
    while (done < ready) {
        first = users + start[queue[done]];
        next = users + start[queue[done] + 1];
        for (done++; first < next; first++)
            if (--open_needs[*first] == 0)
                queue[ready++] = *first;
    }
    return done;
}

/* From one that stays, along its needs that stay: soon it goes round. */
static size_t in_circle(const struct rh_jobs *jobs, const size_t *open_needs)
{
    size_t at = 0;

    while (!open_needs[at])
        at++;
    for (size_t step = 0; step < jobs->vms.count; step++) {
        const struct rh_job_vm *vm = &jobs->vms.items[at];
        size_t k = 0;

        while (!open_needs[vm->needs.items[k]])
            k++;
        at = vm->needs.items[k];
    }
    return at;
}

int rh_jobs_order(struct rh_jobs *jobs, rh_error **err)
{
    RH_AUTO(rh_freep) size_t *open_needs = NULL;
    RH_AUTO(rh_freep) char *text = NULL;
    const struct rh_job_vm *vm;

    for (size_t i = 0; i < jobs->vms.count; i++)
        if (resolve(jobs, &jobs->vms.items[i], err) < 0)
            return -1;
    open_needs = rh_calloc(jobs->vms.count + 1, sizeof *open_needs);
    if (count_ordered(jobs, open_needs) == jobs->vms.count)
        return 0;
    vm = &jobs->vms.items[in_circle(jobs, open_needs)];
    text =
        rh_printf(_("after: \"%s\" waits for itself, in a circle"), vm->name);
    return fail_at(jobs, vm->line, text, err);
}
