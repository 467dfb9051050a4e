/* drop.c - --drop nic1: what is left out of a VM on purpose, with what was said
 * about it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "package/container.h"

/* One of the VM's lists. */
struct list {
    const char *word, *prefix; /* "nic", "nics/" */
    void *items;
    size_t *count, size;
};

static void drop_item(struct rh_package *p, const struct list *l, size_t i)
{
    char *at = (char *)l->items + i * l->size;

    RH_AUTO(rh_freep) size_t *to = rh_calloc(*l->count, sizeof *to);

    for (size_t n = 0; n < *l->count; n++)
        to[n] = n < i ? n : n > i ? n - 1 : SIZE_MAX;
    rh_findings_renumber(&p->vm_findings.items[0], l->prefix, to, *l->count);
    memmove(at, at + l->size, (*l->count - i - 1) * l->size);
    --*l->count;
    rh_finding_add(&p->vm_findings.items[0], RH_F_DEVICE_LEFT_OUT, "vm",
                   "%s%zu is left out, as --drop asks", l->word, i);
    rh_package_disks_moved(p);
}

static int by_number_down(const void *a, const void *b)
{
    const size_t *x = a, *y = b;

    return *x > *y ? -1 : *x < *y;
}

/* All numbers that are asked for of one list, the highest first, so that the
 * others stay what they were. */
static void drop_list(struct rh_package *p, const struct list *l,
                      const struct rh_options *o)
{
    RH_VEC(size_t) numbers = {0};
    const char *word;
    uint64_t n;

    for (size_t i = 0; (word = rh_option_at(o, "drop", i)); i++)
        if (!strncmp(word, l->word, strlen(l->word)) &&
            rh_parse_u64(word + strlen(l->word), &n))
            *rh_vec_add(&numbers) = (size_t)n;
    if (numbers.count)
        qsort(numbers.items, numbers.count, sizeof *numbers.items,
              by_number_down);
    for (size_t i = 0; i < numbers.count; i++)
        if (!i || numbers.items[i] != numbers.items[i - 1])
            drop_item(p, l, numbers.items[i]);
    free(numbers.items);
}

static int check(const char *word, const struct list *lists, size_t count,
                 rh_error **err)
{
    uint64_t n;

    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(lists[i].word);

        if (strncmp(word, lists[i].word, length) ||
            !rh_parse_u64(word + length, &n))
            continue;
        if (n < *lists[i].count)
            return 0;
        return rh_fail(err, RH_ERR_CONFIG_KEY,
                       "--drop %s: the VM has %zu of them, counted from 0",
                       word, *lists[i].count);
    }
    return rh_fail(err, RH_ERR_USAGE,
                   "--drop wants nicN, diskN or cdromN, not \"%s\"", word);
}

int rh_package_drop(struct rh_package *p, const struct rh_options *o,
                    rh_error **err)
{
    struct rh_vm *vm = p->vms.count ? p->vms.items[0] : NULL;
    const char *word = rh_option_at(o, "drop", 0);

    if (!word)
        return 0;
    if (p->vms.count != 1) {
        rh_fail(err, RH_ERR_CONFIG_KEY,
                "--drop %s: the package has %zu VMs; choose one with --vm",
                word, p->vms.count);
        return -1;
    }
    const struct list lists[] = {{"nic", "nics/", vm->nics.items,
                                  &vm->nics.count, sizeof *vm->nics.items},
                                 {"disk", "disks/", vm->disks.items,
                                  &vm->disks.count, sizeof *vm->disks.items},
                                 {"cdrom", "cdroms/", vm->cdroms.items,
                                  &vm->cdroms.count, sizeof *vm->cdroms.items}};

    for (size_t i = 0; (word = rh_option_at(o, "drop", i)); i++)
        if (check(word, lists, RH_COUNT(lists), err) < 0)
            return -1;
    for (size_t i = 0; i < RH_COUNT(lists); i++)
        drop_list(p, &lists[i], o);
    rh_files_shared(p);
    return 0;
}
