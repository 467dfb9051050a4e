/* receive_calls.c - VMs that come to functions of this program.
 *
 *   receive_calls convert SOURCE TARGET FOLDER [STEP]
 *   receive_calls push RESULT "" FOLDER [STEP]
 *
 * Disks become FOLDER/VM/diskN.raw, begun with bytes of others; STEP (begin,
 * zero, write, flush, finish, cancel) fails.  Twice, with one library, and what
 * is registered wrongly. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rehost/rehost.h"

static const char *folder, *step = "";
static rh_lib *library;

struct vm {
    char *text;
    int begun[8], flushed[8];
};

static int fails(const char *here)
{
    return strcmp(step, here) ? 0 : ENOSPC;
}

static void path_of(char *path, size_t n, const char *name)
{
    snprintf(path, n, "%s/%s", folder, name);
}

static int disk_file(size_t disk, int flags)
{
    char name[32], path[4096];

    snprintf(name, sizeof name, "disk%zu.raw", disk);
    path_of(path, sizeof path, name);
    return open(path, flags | O_CLOEXEC, 0666);
}

static void save(const char *name, const char *text)
{
    char path[4096];
    FILE *f;

    path_of(path, sizeof path, name);
    f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        perror(path);
}

static void *begin(void *user, const char *text)
{
    struct vm *vm = calloc(1, sizeof *vm);

    (void)user;
    if (!vm || fails("begin")) {
        free(vm);
        return NULL;
    }
    mkdir(folder, 0777);
    vm->text = strdup(text);
    save("vm.json", text);
    return vm;
}

static int zero(void *user, size_t disk, uint64_t n, uint64_t offset)
{
    struct vm *vm = user;
    int fd = disk_file(disk, O_RDWR | O_CREAT | O_TRUNC), why = 0;

    if (fd < 0 || offset || vm->begun[disk]++ || ftruncate(fd, (off_t)n) < 0)
        why = EINVAL;
    close(fd);
    return why ? why : fails("zero");
}

static int write_some(void *user, size_t disk, const void *buf, size_t n,
                      uint64_t offset)
{
    const struct vm *vm = user;
    int fd = disk_file(disk, O_WRONLY), why = 0;

    if (!strcmp(step, "cancel"))
        rh_lib_cancel(library);
    if (!vm->begun[disk] || vm->flushed[disk] ||
        pwrite(fd, buf, n, (off_t)offset) != (ssize_t)n)
        why = EIO;
    close(fd);
    return why ? why : fails("write");
}

static int flush(void *user, size_t disk)
{
    struct vm *vm = user;

    vm->flushed[disk]++;
    return fails("flush");
}

static void vm_free(struct vm *vm)
{
    free(vm->text);
    free(vm);
}

static int finish(void *user, const char *receipt)
{
    if (fails("finish"))
        return ENOSPC;
    save("receipt.json", receipt);
    puts("finished");
    vm_free(user);
    return 0;
}

static void forget(void *user)
{
    char path[4096];

    for (size_t i = 0; i < 8; i++) {
        char name[32];

        snprintf(name, sizeof name, "disk%zu.raw", i);
        path_of(path, sizeof path, name);
        unlink(path);
    }
    path_of(path, sizeof path, "vm.json");
    unlink(path);
    rmdir(folder);
    puts("aborted");
    vm_free(user);
}

static const char *why(void *user)
{
    (void)user;
    return strcmp(step, "write") ? NULL : "the shelf is full";
}

static void say(const char *what, rh_error *e)
{
    if (!e)
        printf("%s: ok\n", what);
    else
        printf("%s: %s %s: %s\n", what, rh_error_id(e), rh_error_where(e),
               rh_error_message(e));
    rh_error_free(e);
}

static void convert(const char *source, const char *target)
{
    rh_options *o = rh_options_new();
    rh_error *e = NULL;
    rh_package *p = rh_package_load(library, source, NULL, &e);
    rh_job *job;

    rh_options_add(o, "to", target, NULL);
    rh_options_add(o, "out", "app-vm:shelf", NULL);
    job = p ? rh_job_new(p, o, &e) : NULL;
    if (job && rh_job_run(job, &e) == 0)
        printf("result: %s\n", rh_job_result(job, 0));
    say("convert", e);
    rh_job_free(job);
    rh_package_unload(p);
    rh_options_free(o);
}

static void push(const char *result)
{
    rh_options *o = rh_options_new();
    rh_error *e = NULL;
    char *json = NULL, *text = NULL;
    rh_push *p;

    rh_options_add(o, "to", "app-vm:shelf", NULL);
    p = rh_push_open(library, o, &e);
    if (p && rh_push_result(p, result, &json, &text, &e) == 0)
        fputs(text, stdout);
    say("push", e);
    free(json);
    free(text);
    rh_push_close(p);
    rh_options_free(o);
}

static void add(const char *name, rh_vm_begin_fn *with)
{
    rh_error *e = NULL;

    rh_lib_add_receiver(library, name, with, write_some, zero, flush, finish,
                        forget, why, NULL, &e);
    say("add", e);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    folder = argv[4];
    step = argc > 5 ? argv[5] : "";
    library = rh_lib_new(NULL);
    if (!strcmp(argv[1], "convert"))
        convert(argv[2], argv[3]); /* nobody is there yet */
    add("shelf", NULL);
    add("", begin);
    add("shelf", begin);
    add("shelf", begin);
    for (int i = 0; i < 2; i++) {
        if (!strcmp(argv[1], "convert"))
            convert(argv[2], argv[3]);
        else
            push(argv[2]);
    }
    rh_lib_free(library);
    return 0;
}
