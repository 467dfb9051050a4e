/* receive.c - a service that stores VMs in its own way: disks come to its
 * functions as ranges, while they are converted.  Here they become files.
 *
 * usage: receive SOURCE kvm|xen DIR */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rehost/rehost.h>

enum { DISKS = 64, PATH_MOST = 4096 };

/* One VM on its way. */
struct vm {
    const char *dir;
    int disks[DISKS]; /* descriptors; 0: not begun */
};

static void path_of(char *path, const struct vm *vm, size_t disk)
{
    snprintf(path, PATH_MOST, "%s/disk%zu.raw", vm->dir, disk);
}

static void *begin(void *user, const char *json)
{
    struct vm *vm = calloc(1, sizeof *vm);

    if (!vm)
        return NULL;
    vm->dir = user;
    printf("%s\n", json); /* the VM, and its disks with their sizes */
    return vm;
}

/* A new file is all zeros. */
static int zero(void *of, size_t disk, uint64_t n, uint64_t offset)
{
    struct vm *vm = of;
    char path[PATH_MOST];

    if (disk >= DISKS || offset)
        return EINVAL;
    path_of(path, vm, disk);
    vm->disks[disk] = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (vm->disks[disk] < 0 || ftruncate(vm->disks[disk], (off_t)n) < 0)
        return errno;
    return 0;
}

static int write_range(void *of, size_t disk, const void *buf, size_t n,
                       uint64_t offset)
{
    const struct vm *vm = of;

    for (size_t done = 0; done < n;) {
        ssize_t wrote = pwrite(vm->disks[disk], (const char *)buf + done,
                               n - done, (off_t)(offset + done));

        if (wrote < 0)
            return errno;
        done += (size_t)wrote;
    }
    return 0;
}

static int flush(void *of, size_t disk)
{
    const struct vm *vm = of;

    return fsync(vm->disks[disk]) < 0 ? errno : 0;
}

static void forget(struct vm *vm, int remove_them)
{
    char path[PATH_MOST];

    for (size_t i = 0; i < DISKS; i++) {
        if (vm->disks[i] <= 0)
            continue;
        close(vm->disks[i]);
        path_of(path, vm, i);
        if (remove_them)
            unlink(path);
    }
    free(vm);
}

static int finish(void *of, const char *receipt)
{
    (void)receipt; /* a service keeps it: `rehost verify` asks for it */
    forget(of, 0);
    return 0;
}

static void abort_vm(void *of)
{
    forget(of, 1);
}

static void convert(rh_lib *lib, const char *source, const char *target,
                    rh_error **e)
{
    rh_options *options = rh_options_new();
    rh_package *package = NULL;
    rh_job *job = NULL;

    if (rh_options_add(options, "to", target, e) == 0 &&
        rh_options_add(options, "out", "app-vm:shelf", e) == 0)
        package = rh_package_load(lib, source, options, e);
    if (package)
        job = rh_job_new(package, options, e);
    if (job)
        rh_job_run(job, e);
    rh_job_free(job);
    rh_package_unload(package);
    rh_options_free(options);
}

int main(int argc, char **argv)
{
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);
    int status = 2;

    if (argc == 4 && lib) {
        if (rh_lib_add_receiver(lib, "shelf", begin, write_range, zero, flush,
                                finish, abort_vm, NULL, argv[3], &e) == 0)
            convert(lib, argv[1], argv[2], &e);
        status = rh_error_status(e);
        if (e)
            fprintf(stderr, "%s: %s\n%s\n", rh_error_where(e),
                    rh_error_message(e), rh_error_hint(e));
    }
    rh_error_free(e);
    rh_lib_free(lib);
    return status;
}
