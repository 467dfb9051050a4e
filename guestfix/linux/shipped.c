/* shipped.c - systems that are shipped as whole images, known by how their
 * disks are parted: their roots are read-only, sealed or in a form that no back
 * end reads, and a change from outside would be lost or keep them from
 * starting.
 *
 * Names and types are those that the systems' own image builders give. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fnmatch.h>
#include <string.h>

#include "guestfix/linux/family.h"
#include "volumes/volumes.h"

/* Every mark has to be there.  One that ends in '*' is the start of a name; one
 * with dashes at a GUID's places is a partition's type. */
static const struct {
    const char *name;
    const char *marks[4];
    bool certain; /* nothing else is parted so: it is not even looked into */
} shipped[] = {
    {"Talos Linux", {"META", "STATE"}, true},
    {"Talos Linux", {"STATE", "EPHEMERAL"}, true},
    {"Talos Linux", {"META", "EPHEMERAL"}, true},
    {"Bottlerocket", {"BOTTLEROCKET-*"}, true},
    /* CoreOS Container Linux's type of /usr, and its heirs' */
    {"Flatcar Container Linux", {"5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6"}, true},
    {"Flatcar Container Linux", {"USR-A", "OEM"}, true},
    {"Container-Optimized OS", {"KERN-A", "ROOT-A", "STATE"}, true},
    {"Container-Optimized OS",
     {"fe3a2a5d-4f32-41a7-b725-accc3285a309",
      "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec"},
     true},
    {"Ubuntu Core", {"ubuntu-seed", "ubuntu-data"}, true},
    {"Ubuntu Core", {"ubuntu-seed", "ubuntu-boot"}, true},
    {"Kairos or Elemental", {"COS_STATE"}, true},
    {"k3OS", {"K3OS_STATE"}, true},
    {"RancherOS", {"RANCHER_STATE"}, true},
    {"Home Assistant OS", {"hassos-*", "hassos-system*"}, true},
    /* The Discoverable Partitions Specification's hash trees, x86-64 */
    {N_("a system with a sealed root (dm-verity)"),
     {"2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"},
     true},
    {N_("a system with a sealed /usr (dm-verity)"),
     {"77ff5f63-e7b6-4633-acf4-1565b864c0e6"},
     true},
    /* These can be read where the file system can. */
    {"Fedora CoreOS", {"EFI-SYSTEM", "boot", "root"}, false},
    {"NixOS", {"nixos"}, false},
    {N_("a live system that keeps its changes (VyOS, Debian Live)"),
     {"persistence"},
     false},
};

static bool is_marked(const struct rh_volume *v, const char *mark)
{
    const char *names[] = {v->part_label, v->label, v->part_type};

    for (size_t i = 0; i < RH_COUNT(names); i++)
        if (names[i] && !fnmatch(mark, names[i], 0))
            return true;
    return false;
}

static bool has_mark(const struct rh_volumes *all, const char *mark)
{
    for (size_t i = 0; i < all->all.count; i++)
        if (is_marked(&all->all.items[i], mark))
            return true;
    return false;
}

const char *rh_linux_shipped(const struct rh_volumes *all, bool *ret_certain)
{
    for (size_t i = 0; i < RH_COUNT(shipped); i++) {
        bool fits = true;

        for (size_t k = 0; fits && k < RH_COUNT(shipped[i].marks); k++)
            fits = !shipped[i].marks[k] || has_mark(all, shipped[i].marks[k]);
        if (!fits)
            continue;
        *ret_certain = shipped[i].certain;
        return _(shipped[i].name);
    }
    return NULL;
}
