/* drivers.c - which drivers a kernel lacks for the new machine.
 *
 * Told from the guest's own files: built in, in the initramfs, or there as a
 * module with what it depends on. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/fixes/drivers.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

#define INDEX_MAX (64 * RH_MIB)

void rh_modules_free(struct rh_modules *m)
{
    free(m->folder);
    free(m->dep);
    free(m->builtin);
    free(m->config);
}

void rh_addition_free(struct rh_addition *a)
{
    for (size_t i = 0; i < a->files.count; i++)
        free(a->files.items[i]);
    free(a->files.items);
    free(a->names.items);
    free(a->unavailable.items);
}

static char *read_index(struct rh_guest *g, const char *folder,
                        const char *name)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);
    void *bytes;
    size_t n;

    if (g->ops->read(g, path, INDEX_MAX, &bytes, &n, NULL) < 0)
        return NULL;
    return bytes;
}

void rh_modules_open(const struct rh_linux *l, const char *version,
                     struct rh_modules *ret)
{
    struct rh_guest *g = l->guest;

    ret->folder = rh_printf("%s/lib/modules/%s", l->modules_top, version);
    ret->dep = read_index(g, ret->folder, "modules.dep");
    ret->builtin = read_index(g, ret->folder, "modules.builtin");
    if (!ret->builtin) {
        RH_AUTO(rh_freep) char *name = rh_printf("config-%s", version);

        ret->config = read_index(g, "/boot", name);
    }
}

/* The line of an index whose first path is the module's; NULL: none. */
static const char *line_of(const char *index, const char *module)
{
    char want[64], name[64], path[512];

    rh_module_name(module, want);
    for (const char *p = index; p && *p;) {
        size_t n = strcspn(p, ":\n");

        if (n < sizeof path) {
            memcpy(path, p, n);
            path[n] = '\0';
            rh_module_name(path, name);
            if (!strcmp(name, want))
                return p;
        }
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
    return NULL;
}

/* Paths come from the guest: only clean relative ones are used. */
static bool clean_path(const char *path)
{
    return *path && *path != '/' && !strstr(path, "..") && strlen(path) < 400;
}

static void add_file(struct rh_addition *a, const char *path, size_t n)
{
    char *copy = rh_strndup(path, n);

    for (size_t i = 0; i < a->files.count; i++)
        if (!strcmp(a->files.items[i], copy)) {
            free(copy);
            return;
        }
    if (clean_path(copy))
        *rh_vec_add(&a->files) = copy;
    else
        free(copy);
}

/* --- built in
 * ---------------------------------------------------------------------- */
/* Kernels before 2.6.33 have no modules.builtin; their configuration says it,
 * by other names. */
static const struct {
    const char *module, *symbol;
} symbols[] = {
    {"virtio_pci", "VIRTIO_PCI"},
    {"virtio_blk", "VIRTIO_BLK"},
    {"virtio_scsi", "SCSI_VIRTIO"},
    {"virtio_net", "VIRTIO_NET"},
    {"xen-blkfront", "XEN_BLKDEV_FRONTEND"},
    {"xen-netfront", "XEN_NETDEV_FRONTEND"},
    {"xen-platform-pci", "XEN_PLATFORM_PCI"},
    {"sd_mod", "BLK_DEV_SD"},
    {"ahci", "SATA_AHCI"},
    {"ata_piix", "ATA_PIIX"},
    {"ata_generic", "ATA_GENERIC"},
    {"vmw_pvscsi", "VMWARE_PVSCSI"},
    {"vmxnet3", "VMXNET3"},
    {"mptsas", "FUSION_SAS"},
    {"mptspi", "FUSION_SPI"},
    {"nvme", "BLK_DEV_NVME"},
    {"e1000", "E1000"},
    {"e1000e", "E1000E"},
    {"8139cp", "8139CP"},
};

static bool configured(const char *config, const char *module)
{
    for (size_t i = 0; i < RH_COUNT(symbols); i++)
        if (!strcmp(symbols[i].module, module)) {
            RH_AUTO(rh_freep)
            char *line = rh_printf("\nCONFIG_%s=y\n", symbols[i].symbol);

            return strstr(config, line) != NULL;
        }
    return false;
}

bool rh_module_builtin(const struct rh_modules *m, const char *module)
{
    return line_of(m->builtin, module) ||
           (m->config && configured(m->config, module));
}

/* --- what is missing
 * --------------------------------------------------------------- */
/* A module and, in front of it, all that it depends on. */
static void add_with_dependencies(struct rh_addition *a, const char *line,
                                  const struct rh_initramfs *have)
{
    const char *words[128];
    size_t lengths[128], count = 0;

    while (*line && *line != '\n' && count < RH_COUNT(words)) {
        size_t n = strcspn(line, " :\n");

        if (n) {
            words[count] = line;
            lengths[count++] = n;
        }
        line += n;
        line += strspn(line, " :");
    }
    while (count--) {
        RH_AUTO(rh_freep) char *path = rh_strndup(words[count], lengths[count]);

        if (!rh_initramfs_main_has(have, path))
            add_file(a, words[count], lengths[count]);
    }
}

static void want(struct rh_addition *a, const struct rh_modules *m,
                 const struct rh_kernel *k, const char *module, bool needed)
{
    for (size_t i = 0; i < a->names.count; i++)
        if (!strcmp(a->names.items[i], module)) {
            a->needed |= needed;
            return;
        }
    if (rh_module_builtin(m, module) || rh_initramfs_has(&k->content, module))
        return;
    if (!line_of(m->dep, module)) {
        if (needed)
            *rh_vec_add(&a->unavailable) = module;
        return;
    }
    a->needed |= needed;
    *rh_vec_add(&a->names) = module;
}

void rh_addition_files(struct rh_addition *a, const struct rh_kernel *k,
                       const struct rh_modules *m)
{
    enum { OURS_MAX = 256 }; /* no segment of ours holds as many */
    const struct rh_initramfs *have = &k->content;
    size_t end =
        RH_MIN(have->modules.count, have->main_modules + (size_t)OURS_MAX);
    const char *line;

    for (size_t i = have->main_modules; i < end; i++)
        if ((line = line_of(m->dep, have->modules.items[i])))
            add_with_dependencies(a, line, have);
    for (size_t i = 0; i < a->names.count; i++)
        if ((line = line_of(m->dep, a->names.items[i])))
            add_with_dependencies(a, line, have);
}

/* The profile's lists: `boot` by disk, `also` by NIC and choice of devices. */
static void wanted_list(struct rh_addition *a, const struct rh_modules *m,
                        const struct rh_kernel *k, json_t *list, bool needed)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (json_is_string(item))
            want(a, m, k, json_string_value(item), needed);
}

/* A kernel that knows Xen has the emulated disks unplugged, whatever was chosen
 * for it; one without such modules keeps them. */
static void want_against_unplug(struct rh_addition *a,
                                const struct rh_modules *m,
                                const struct rh_kernel *k, json_t *list)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (json_is_string(item) && line_of(m->dep, json_string_value(item)))
            want(a, m, k, json_string_value(item), true);
}

/* The driver of the new machine's NICs, in the image or built in? */
bool rh_nic_driver_in(struct rh_fix_job *j, const struct rh_kernel *k,
                      const struct rh_modules *m)
{
    static const struct {
        const char *nic, *module;
    } nics[] = {{"virtio", "virtio_net"}, {"xen", "xen-netfront"}};
    const char *module = j->o->machine->nic;

    for (size_t i = 0; module && i < RH_COUNT(nics); i++)
        if (!strcmp(module, nics[i].nic)) {
            module = nics[i].module;
            break;
        }
    return module && (rh_initramfs_has(&k->content, module) ||
                      rh_module_builtin(m, module));
}

void rh_addition_plan(struct rh_fix_job *j, const struct rh_kernel *k,
                      const struct rh_modules *m, struct rh_addition *ret)
{
    const struct rh_machine *to = j->o->machine;
    json_t *boot = json_object_get(j->arguments, "boot");
    json_t *also = json_object_get(j->arguments, "also");
    bool xen = to->needs_pv_drivers;

    wanted_list(ret, m, k, json_object_get(boot, to->disk ? to->disk : ""),
                true);
    wanted_list(ret, m, k, json_object_get(also, to->nic ? to->nic : ""),
                false);
    if (to->devices && !(xen && !strcmp(to->devices, "virtio")))
        wanted_list(ret, m, k, json_object_get(also, to->devices), false);
    if (xen) {
        wanted_list(ret, m, k, json_object_get(also, "xen"), false);
        want_against_unplug(ret, m, k, json_object_get(boot, "xen"));
    }
}

char *rh_addition_joined(const char *const *words, size_t n)
{
    struct rh_buf b = {0};

    for (size_t i = 0; i < n; i++)
        rh_buf_printf(&b, "%s%s", i ? " " : "", words[i]);
    return rh_buf_take(&b);
}
