/* linuxconf.c - any text as every configuration file of a Linux guest, read and
 * fixed through a guest that is nothing but that text.
 *
 * The input's first line is what the folders list; the rest every file's text.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/engine.h"
#include "guestfix/linux/family.h"

struct blob {
    const char *name, *text;
    size_t n;
};

static int blob_stat(struct rh_guest *g, const char *path, bool follow,
                     struct rh_guest_stat *ret, rh_error **err)
{
    const struct blob *b = g->state;
    const char *slash = strrchr(path, '/');

    (void)follow, (void)err;
    *ret = (struct rh_guest_stat){.type = 'f', .size = b->n, .mode = 0644};
    if (!strchr(slash ? slash : path, '.'))
        ret->type = 'd';
    return 0;
}

static int blob_list(struct rh_guest *g, const char *path, char ***ret_names,
                     rh_error **err)
{
    const struct blob *b = g->state;

    (void)path, (void)err;
    *ret_names = rh_calloc(2, sizeof **ret_names);
    (*ret_names)[0] = rh_strdup(b->name);
    return 0;
}

static int blob_read(struct rh_guest *g, const char *path, uint64_t limit,
                     void **ret_bytes, size_t *ret_size, rh_error **err)
{
    const struct blob *b = g->state;

    (void)path;
    if (b->n > limit)
        return rh_fail(err, RH_ERR_FILE_TYPE, "too large");
    *ret_bytes = rh_memdup0(b->text, b->n);
    *ret_size = b->n;
    return 0;
}

static int blob_write(struct rh_guest *g, const char *path, const void *bytes,
                      size_t n, uint32_t mode, rh_error **err)
{
    (void)g, (void)path, (void)bytes, (void)n, (void)mode, (void)err;
    return 0;
}

static int blob_two(struct rh_guest *g, const char *a, const char *b,
                    rh_error **err)
{
    (void)g, (void)a, (void)b, (void)err;
    return 0;
}

static int blob_remove(struct rh_guest *g, const char *path, rh_error **err)
{
    (void)g, (void)path, (void)err;
    return 0;
}

static int blob_dir(struct rh_guest *g, const char *path, uint32_t mode,
                    rh_error **err)
{
    (void)g, (void)path, (void)mode, (void)err;
    return 0;
}

static int blob_read_link(struct rh_guest *g, const char *path, char **ret,
                          rh_error **err)
{
    const struct blob *b = g->state;

    (void)path, (void)err;
    *ret = rh_strdup(b->name);
    return 0;
}

static int blob_get(struct rh_guest *g, const char *path, const char *name,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    (void)g, (void)path, (void)name, (void)ret_bytes, (void)ret_size;
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "none");
}

static int blob_free_space(struct rh_guest *g, const char *path, uint64_t *ret,
                           rh_error **err)
{
    (void)g, (void)path, (void)err;
    *ret = 1 << 30;
    return 0;
}

static const struct rh_guest_ops ops = {
    .backend = "fuzz",
    .stat = blob_stat,
    .list = blob_list,
    .read = blob_read,
    .write = blob_write,
    .rename = blob_two,
    .copy = blob_two,
    .remove = blob_remove,
    .make_dir = blob_dir,
    .symlink = blob_two,
    .read_link = blob_read_link,
    .get_xattr = blob_get,
    .free_space = blob_free_space,
};

static void fix_all(struct rh_session *s)
{
    json_t *arguments =
        json_pack("{s:{s:[s,s]}, s:{s:[s]}}", "boot", "virtio-scsi",
                  "virtio_pci", "virtio_scsi", "also", "virtio", "virtio_net");

    for (const struct rh_fix *f = rh_linux_family.fixes; f->name; f++) {
        struct rh_fix_job j = {.s = s,
                               .facts = s->facts,
                               .guest = s->guest,
                               .o = s->o,
                               .name = f->name,
                               .arguments = arguments};

        f->run(&j, NULL);
    }
    json_decref(arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line = memchr(data, '\n', size);
    size_t n = line ? (size_t)(line - (const char *)data) : 0;
    RH_AUTO(rh_freep)
    char *name = rh_memdup0(data, RH_MIN(n, (size_t)60));
    RH_AUTO(rh_freep) char *text = rh_memdup0(data + n, size - n);
    struct blob b = {*name ? name : "a.conf", text, size - n};
    struct rh_guest g = {.ops = &ops, .state = &b};
    struct rh_span span = {.length = 1 << 20};
    struct rh_volume v = {.device = "/dev/sda1",
                          .uuid = "52484f53-5400-4000-8000-0000000000c1",
                          .fstype = "ext4",
                          .partition = 1,
                          .spans = &span,
                          .span_count = 1};
    struct rh_machine machine = {.model = "kvm",
                                 .devices = "virtio",
                                 .disk = "virtio-scsi",
                                 .nic = "virtio",
                                 .firmware = "uefi"};
    struct rh_lib lib = {.threads = 1};
    struct rh_findings findings = {0};
    struct rh_edits edits = {0};
    struct rh_vm *vm = rh_vm_new("fuzz");
    struct rh_guest_options o = {.lib = &lib,
                                 .vm = vm,
                                 .machine = &machine,
                                 .findings = &findings,
                                 .edits = &edits};
    struct rh_session s = {.o = &o, .guest = &g, .count = 1};

    /* Two NICs, at 0b:00.0 and 04:00.0. */
    rh_set_number(vm, &rh_vec_add(&vm->nics)->slot, 192, RH_FROM_OVF, NULL);
    rh_set_number(vm, &rh_vec_add(&vm->nics)->slot, 1184, RH_FROM_OVF, NULL);
    s.volumes.arena = rh_arena_new();
    *rh_vec_add(&s.volumes.all) = v;
    s.family = &rh_linux_family;
    if (s.family->detect(&s, &s.facts, &s.system, NULL) == 0) {
        json_decref(s.family->facts_json(s.facts));
        fix_all(&s);
    }
    s.family->facts_free(s.facts);
    rh_volumes_free(&s.volumes);
    rh_findings_free(&findings);
    rh_edits_free(&edits);
    rh_vm_free(vm);
    return 0;
}
