/* boot_qemu.c - the machine that a result would get, made by QEMU. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/kvm.h"
#include "base/limits.h"
#include "base/out.h"
#include "convert/boot/boot.h"

/* What QEMU finds its console and its control on. */
enum { CONSOLE_FD = 3, CONTROL_FD = 4 };

extern char **environ;

struct arguments {
    RH_VEC(char *) list;
};

static void add(struct arguments *a, const char *word)
{
    *rh_vec_add(&a->list) = rh_strdup(word);
}

static void addf(struct arguments *a, const char *option, const char *fmt, ...)
    RH_PRINTF(3, 4);
static void addf(struct arguments *a, const char *option, const char *fmt, ...)
{
    va_list ap;

    add(a, option);
    va_start(ap, fmt);
    *rh_vec_add(&a->list) = rh_vprintf(fmt, ap);
    va_end(ap);
}

static void arguments_free(struct arguments *a)
{
    for (size_t i = 0; i < a->list.count; i++)
        free(a->list.items[i]);
    free(a->list.items);
}

/* QEMU splits options at commas; a comma in a path is written twice. */
static char *escaped(const char *path)
{
    struct rh_buf b = {0};

    for (; *path; path++) {
        rh_buf_putc(&b, *path);
        if (*path == ',')
            rh_buf_putc(&b, ',');
    }
    return rh_buf_take(&b);
}

/* --- disks
 * ------------------------------------------------------------------------ */

static void add_controller(struct arguments *a, const char *bus)
{
    static const struct {
        const char *bus, *device;
    } controllers[] = {
        {"virtio-scsi", "virtio-scsi-pci,id=s0"},
        {"pvscsi", "pvscsi,id=s0"},
        {"lsisas", "mptsas1068,id=s0"},
        {"lsilogic", "lsi53c895a,id=s0"},
        {"sata", "ich9-ahci,id=a0"},
    };

    for (size_t i = 0; i < RH_COUNT(controllers); i++)
        if (!strcmp(controllers[i].bus, bus)) {
            add(a, "-device");
            add(a, controllers[i].device);
        }
}

static void add_disk(struct arguments *a, const char *bus, size_t i)
{
    int n = (int)i;

    if (!strcmp(bus, "virtio-blk"))
        addf(a, "-device", "virtio-blk-pci,drive=d%d,bootindex=%d", n, n + 1);
    else if (!strcmp(bus, "nvme"))
        addf(a, "-device", "nvme,serial=disk%d,drive=d%d,bootindex=%d", n, n,
             n + 1);
    else if (!strcmp(bus, "sata"))
        addf(a, "-device", "ide-hd,bus=a0.%d,drive=d%d,bootindex=%d", n, n,
             n + 1);
    else if (!strcmp(bus, "ide") || !strcmp(bus, "xen"))
        addf(a, "-device", "ide-hd,bus=ide.%d,unit=%d,drive=d%d,bootindex=%d",
             n / 2, n % 2, n, n + 1);
    else
        addf(a, "-device", "scsi-hd,bus=s0.0,scsi-id=%d,drive=d%d,bootindex=%d",
             n, n, n + 1);
}

/* snapshot=on: what the guest writes goes into a file that is thrown away. */
static void add_disks(struct arguments *a, const struct rh_boot_vm *vm)
{
    add_controller(a, vm->disk_bus);
    for (size_t i = 0; i < vm->disks.count; i++) {
        RH_AUTO(rh_freep) char *path = escaped(vm->disks.items[i].path);

        addf(a, "-drive",
             "if=none,id=d%zu,file=%s,format=%s,snapshot=on,cache=unsafe", i,
             path, vm->disks.items[i].format);
        add_disk(a, vm->disk_bus, i);
    }
}

/* A network of its own with nothing outside; all that passes is recorded. */
static void add_nics(struct arguments *a, const struct rh_boot_vm *vm,
                     const struct rh_boot_qemu *q)
{
    RH_AUTO(rh_freep) char *folder = escaped(q->folder);

    for (size_t i = 0; i < vm->nics.count; i++) {
        const struct rh_boot_nic *nic = &vm->nics.items[i];

        addf(a, "-netdev", "user,id=n%zu,restrict=on", i);
        addf(a, "-device", "%s,netdev=n%zu%s%s,romfile=", nic->model, i,
             nic->mac ? ",mac=" : "", nic->mac ? nic->mac : "");
        addf(a, "-object",
             "filter-dump,id=f%zu,netdev=n%zu,file=%s/net%zu.pcap", i, i,
             folder, i);
    }
    if (vm->nics.count == 0) {
        add(a, "-nic");
        add(a, "none");
    }
}

/* --- firmware
 * ---------------------------------------------------------------------- */

static const struct {
    const char *code, *vars;
    bool secure;
} firmwares[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
     "/usr/share/OVMF/OVMF_VARS_4M.ms.fd", true},
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd",
     false},
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd", false},
    {"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
     "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd", true},
    {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd",
     false},
};

static int copy_file(const char *from, const char *to, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, from, 0, err);
    RH_AUTO(rh_freep) char *bytes = NULL;
    RH_AUTO(rh_closep) int fd = -1;
    size_t n;

    if (!io || rh_io_slurp(io, 64 * RH_MIB, &bytes, &n, err) < 0)
        return -1;
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot copy the firmware's variables");
    return rh_pwrite_all(fd, bytes, n, 0, to, err);
}

static int add_firmware(struct arguments *a, const struct rh_boot_vm *vm,
                        const struct rh_boot_qemu *q, rh_error **err)
{
    RH_AUTO(rh_freep) char *vars = rh_printf("%s/vars.fd", q->folder);

    if (strcmp(vm->firmware, "uefi"))
        return 0;
    for (size_t i = 0; i < RH_COUNT(firmwares); i++) {
        if (firmwares[i].secure != vm->secure_boot ||
            access(firmwares[i].code, R_OK) || access(firmwares[i].vars, R_OK))
            continue;
        addf(a, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=%s",
             firmwares[i].code);
        addf(a, "-drive", "if=pflash,unit=1,format=raw,file=%s", vars);
        if (vm->secure_boot) {
            add(a, "-global");
            add(a, "driver=cfi.pflash01,property=secure,value=on");
        }
        return copy_file(firmwares[i].vars, vars, err);
    }
    rh_fail(err, RH_ERR_BOOT_QEMU, "no UEFI firmware was found");
    return rh_hint(err, "install ovmf");
}

/* --- the machine
 * ------------------------------------------------------------------------- */

static uint64_t bounded_memory(uint64_t memory)
{
    uint64_t pages = (uint64_t)sysconf(_SC_AVPHYS_PAGES);
    uint64_t half = pages * (uint64_t)sysconf(_SC_PAGESIZE) / 2;

    memory = memory ? memory : 1024 * RH_MIB;
    memory = RH_MIN(memory, 2048 * RH_MIB);
    return RH_MAX(RH_MIN(memory, half), 256 * RH_MIB);
}

static int add_machine(struct arguments *a, const struct rh_boot_vm *vm,
                       const struct rh_boot_qemu *q, rh_error **err)
{
    /* Of the two only pc has IDE. */
    bool q35 = !strcmp(vm->machine, "q35") && strcmp(vm->disk_bus, "ide") &&
               strcmp(vm->disk_bus, "xen");

    add(a, "qemu-system-x86_64");
    add(a, "-nodefaults");
    add(a, "-no-user-config");
    addf(a, "-machine", "%s,accel=%s%s", q35 || vm->secure_boot ? "q35" : "pc",
         q->accelerated ? "kvm" : "tcg", vm->secure_boot ? ",smm=on" : "");
    /* Five-level page tables and nested virtualisation are slow to emulate, and
     * old firmware stumbles over the first. */
    addf(a, "-cpu", "%s", q->accelerated ? "host" : "max,la57=off,svm=off");
    addf(a, "-m", "%llu",
         (unsigned long long)(bounded_memory(vm->memory) / RH_MIB));
    addf(a, "-smp", "%u", RH_MIN(RH_MAX(vm->cpus, 1u), 2u));
    if (add_firmware(a, vm, q, err) < 0)
        return -1;
    add(a, "-vga");
    add(a, "std");
    add(a, "-display");
    add(a, "none");
    addf(a, "-chardev", "socket,id=c0,fd=%d", CONSOLE_FD);
    add(a, "-serial");
    add(a, "chardev:c0");
    addf(a, "-chardev", "socket,id=q0,fd=%d", CONTROL_FD);
    add(a, "-mon");
    add(a, "chardev=q0,mode=control");
    add(a, "-device");
    add(a, "virtio-rng-pci");
    return 0;
}

/* QEMU's own words go into a file: they are ours to tell. */
static int spawn(struct arguments *a, const struct rh_boot_qemu *q, int console,
                 int control, pid_t *ret_pid, rh_error **err)
{
    RH_AUTO(rh_freep) char *words = rh_printf("%s/words", q->folder);
    posix_spawn_file_actions_t files;
    int failed;

    *rh_vec_add(&a->list) = NULL;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, words,
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (console >= 0) {
        /* Far away first, so that neither stands in the other's way. */
        posix_spawn_file_actions_adddup2(&files, console, 103);
        posix_spawn_file_actions_adddup2(&files, control, 104);
        posix_spawn_file_actions_adddup2(&files, 103, CONSOLE_FD);
        posix_spawn_file_actions_adddup2(&files, 104, CONTROL_FD);
        posix_spawn_file_actions_addclose(&files, 103);
        posix_spawn_file_actions_addclose(&files, 104);
    }
    failed = posix_spawnp(ret_pid, a->list.items[0], &files, NULL,
                          a->list.items, environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed) {
        *ret_pid = 0;
        return rh_fail_errno(err, RH_ERR_BOOT_QEMU, failed,
                             "%s cannot be started", a->list.items[0]);
    }
    return 0;
}

char *rh_boot_last_words(const struct rh_boot_qemu *q)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/words", q->folder);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, NULL);
    RH_AUTO(rh_freep) char *bytes = NULL;
    char *line;
    size_t n = 0;

    if (!io || rh_io_slurp(io, RH_MIB, &bytes, &n, NULL) < 0)
        return rh_strdup("");
    while (n && bytes[n - 1] == '\n')
        n--;
    bytes[n] = '\0';
    line = strrchr(bytes, '\n');
    return rh_printable(line ? line + 1 : bytes);
}

static int make_folder(rh_lib *lib, struct rh_boot_qemu *q, rh_error **err)
{
    q->folder = rh_printf("%s/rehost-boot-XXXXXX", rh_temp_dir(lib));
    if (!mkdtemp(q->folder)) {
        free(q->folder);
        q->folder = NULL;
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot make a temporary folder");
    }
    return 0;
}

/* --- the TPM
 * ----------------------------------------------------------------------------
 */

/* swtpm plays it, empty: what the guest sealed stays on the old machine. */
static void add_tpm(struct arguments *a, rh_lib *lib, struct rh_boot_qemu *q)
{
    enum { PATIENCE = 50, TICK_US = 100000 };
    __attribute__((cleanup(arguments_free))) struct arguments tpm = {0};
    RH_AUTO(rh_freep) char *path = rh_printf("%s/tpm.sock", q->folder);
    RH_AUTO(rh_freep) char *name = escaped(path);

    add(&tpm, "swtpm");
    add(&tpm, "socket");
    add(&tpm, "--tpm2");
    addf(&tpm, "--tpmstate", "dir=%s", q->folder);
    addf(&tpm, "--ctrl", "type=unixio,path=%s", path);
    if (spawn(&tpm, q, -1, -1, &q->tpm_pid, NULL) == 0)
        for (int i = 0; i < PATIENCE && access(path, F_OK); i++)
            usleep(TICK_US);
    if (access(path, F_OK)) {
        rh_log(lib, RH_LOG_WARN,
               _("swtpm cannot be started: the guest gets no TPM here"));
        return;
    }
    addf(a, "-chardev", "socket,id=t0,path=%s", name);
    add(a, "-tpmdev");
    add(a, "emulator,id=tpm0,chardev=t0");
    add(a, "-device");
    add(a, "tpm-crb,tpmdev=tpm0");
}

/* --- starting
 * ------------------------------------------------------------------------- */

int rh_boot_start(rh_lib *lib, const struct rh_boot_vm *vm, bool kvm,
                  struct rh_boot_qemu *q, rh_error **err)
{
    __attribute__((cleanup(arguments_free))) struct arguments a = {0};
    int console[2] = {-1, -1}, control[2] = {-1, -1};
    int failed;

    q->accelerated = kvm;
    q->nics = vm->nics.count;
    if (make_folder(lib, q, err) < 0 || add_machine(&a, vm, q, err) < 0)
        return -1;
    if (vm->tpm)
        add_tpm(&a, lib, q);
    add_disks(&a, vm);
    add_nics(&a, vm, q);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0)
        return rh_fail_errno(err, RH_ERR_BOOT_QEMU, errno, "no socket");
    failed = spawn(&a, q, console[1], control[1], &q->pid, err);
    close(console[1]);
    close(control[1]);
    q->console = console[0];
    q->control = control[0];
    if (!failed)
        rh_boot_greet(q); /* one that is gone is found by watching */
    return failed;
}

/* --- ending
 * ----------------------------------------------------------------------------
 */

static void end(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

void rh_boot_stop(struct rh_boot_qemu *q)
{
    end(&q->pid);
    end(&q->tpm_pid);
    rh_closep(&q->console);
    rh_closep(&q->control);
    rh_buf_free(&q->heard);
    if (q->folder)
        rh_remove_tree(AT_FDCWD, q->folder);
    free(q->folder);
    *q = (struct rh_boot_qemu){.console = -1, .control = -1};
}
