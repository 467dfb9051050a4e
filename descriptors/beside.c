/* beside.c - see beside.h. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors/beside.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "vm/order.h"

bool rh_name_absolute(const char *name)
{
    return name[0] == '/' || name[0] == '\\' || name[0] == '[' ||
           (isalpha((unsigned char)name[0]) && name[1] == ':');
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *back = strrchr(name, '\\');

    if (back && (!slash || back > slash))
        slash = back;
    return slash ? slash + 1 : name;
}

void rh_disk_beside(struct rh_package *p, struct rh_vm *vm,
                    struct rh_disk_config *d, const char *name,
                    enum rh_from from, const char *subject,
                    struct rh_findings *findings)
{
    struct rh_file_note file = {0};
    struct rh_disk_note disk = {.id = d->id.text};
    const char *mapped = rh_package_mapped(p, name);

    if (mapped || rh_name_absolute(name))
        d->named = rh_arena_strdup(vm->arena, name);
    if (mapped) {
        name = mapped;
    } else if (rh_name_absolute(name)) {
        rh_finding_add(findings, RH_F_VMX_PATH, subject,
                       "the descriptor names the disk \"%s\"; it is looked for "
                       "beside the descriptor",
                       name);
        name = last_part(name);
    }
    rh_set_text(vm, &d->file, name, from, NULL);
    file.href = disk.href = name;
    rh_package_note_file(p, &file);
    rh_package_note_disk(p, &disk);
}

void rh_disks_in_order(struct rh_vm *vm, struct rh_findings *findings)
{
    size_t count = vm->disks.count;
    RH_AUTO(rh_freep) const char **ids = rh_calloc(count + 1, sizeof *ids);
    RH_AUTO(rh_freep) size_t *to = rh_calloc(count + 1, sizeof *to);

    for (size_t i = 0; i < count; i++)
        ids[i] = vm->disks.items[i].id.text; /* each a text of its own */
    rh_vm_sort_disks(vm);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (vm->disks.items[j].id.text == ids[i])
                to[i] = j;
    rh_findings_renumber(findings, "disks/", to, count);
}
