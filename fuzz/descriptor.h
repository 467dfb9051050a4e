/* descriptor.h - what the fuzzers of descriptors share: a package that holds
 * nothing, and everything that is done with its VMs afterwards. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FUZZ_DESCRIPTOR_H
#define RH_FUZZ_DESCRIPTOR_H

#include <stdint.h>
#include <stdlib.h>

#include "config/describe.h"
#include "package/descriptor.h"
#include "descriptors/fill.h"
#include "config/merge.h"

static inline void fuzz_show(struct rh_package *p)
{
    json_t *doc = rh_package_json(p);
    char *text = json_dumps(doc, 0);

    if (!text)
        abort(); /* something that is not UTF-8 got through */
    free(text);
    json_decref(doc);
    free(rh_package_text(p));
    for (size_t i = 0; i < p->vms.count; i++)
        free(rh_package_template(p, i));
}

static inline void fuzz_free(struct rh_package *p)
{
    for (size_t i = 0; i < p->vms.count; i++) {
        rh_vm_free(p->vms.items[i]);
        rh_findings_free(&p->vm_findings.items[i]);
    }
    free(p->vms.items);
    free(p->vm_findings.items);
    rh_findings_free(&p->findings);
    rh_arena_free(p->arena);
}

typedef int fuzz_parse(struct rh_package *p, const char *name, const char *text,
                       size_t n, const struct rh_package_options *o,
                       rh_error **err);

static inline void fuzz_descriptor(fuzz_parse *parse, const uint8_t *data,
                                   size_t size)
{
    struct rh_package p = {.arena = rh_arena_new()};
    char *text = rh_memdup0(data, size);
    rh_error *e = NULL;

    if (!parse(&p, "fuzz", text, size, NULL, &e))
        fuzz_show(&p);
    else if (!e)
        abort(); /* a failure without a reason */
    rh_error_free(e);
    fuzz_free(&p);
    free(text);
}

/* Read a fill file, and lay each of its VMs over a bare disk's. */
static inline void fuzz_fill(const uint8_t *data, size_t size)
{
    struct rh_fill f = {.name = "fuzz", .arena = rh_arena_new()};
    char *text = rh_memdup0(data, size);
    rh_error *e = NULL;

    if (!rh_fill_read(&f, text, size, &e)) {
        struct rh_package p = {.kind = "disk", .arena = rh_arena_new()};
        struct rh_vm *vm = rh_vm_new("bare");
        size_t at = rh_package_add_vm(&p, vm);

        rh_vec_add(&vm->disks);
        for (size_t i = 0; i < f.vms.count && i < 8; i++)
            rh_merge_vm(&p, vm, &f.vms.items[i], f.name,
                        &p.vm_findings.items[at]);
        fuzz_show(&p);
        fuzz_free(&p);
    } else if (!e) {
        abort();
    }
    rh_error_free(e);
    rh_fill_free(&f);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
