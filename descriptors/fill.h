/* fill.h - configuration from beside the package (--fill).
 *
 * Every kind of file becomes VMs of its own first (values from
 * RH_FROM_FILL with the file's name); fill.c then finds which of them is the
 * package's, and offers it value by value. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_FILL_H
#define RH_DESCRIPTORS_FILL_H

#include "package/package.h"

struct rh_fill_vm {
    struct rh_vm *vm;
    struct rh_findings findings;
    bool by_index; /* an overlay of ours: items by number, not by address */
};
struct rh_fill {
    const char *name;  /* the file's, without folders */
    const char *kind;  /* "Prism v3", "acli", "overlay" ... */
    enum rh_from from; /* of the values; 0: RH_FROM_FILL (Prism's alone) */
    struct rh_arena *arena;
    rh_lib *lib;            /* who may cancel; or NULL */
    struct rh_place *place; /* of the files beside it; or NULL; borrowed */
    RH_VEC(struct rh_fill_vm) vms;
};
struct rh_fill_vm *rh_fill_add(struct rh_fill *f, const char *id);
void rh_fill_free(struct rh_fill *f); /* also for RH_AUTO */

/* Recognise by shape and read. */
int rh_fill_read(struct rh_fill *f, const char *text, size_t n, rh_error **err);
/* prism_kinds.c: one answer or a list of version 1 to 4, of acli -o json,
 * Ansible or Terraform; false: not one. */
bool rh_fill_is_prism(const json_t *doc);
int rh_fill_prism(struct rh_fill *f, const json_t *doc, rh_error **err);
/* Fails when a document without a VM is a service's error or an empty list. */
int rh_fill_refusal(const json_t *doc, rh_error **err);
/* acli.c: the text of `acli vm.get`, as a tree like Prism's v2. */
bool rh_fill_is_acli(const char *text);
int rh_fill_acli(struct rh_fill *f, const char *text, size_t n, rh_error **err);
/* What acli's tree says, with the names of Prism's v2 (prism.c). */
int rh_fill_acli_vm(struct rh_fill *f, const char *name, const json_t *vm,
                    rh_error **err);
/* overlay.c: ours, or a vm.json. */
int rh_fill_overlay(struct rh_fill *f, const json_t *doc, rh_error **err);
/* YAML as a tree of strings; NULL with err. */
json_t *rh_fill_yaml(const char *text, size_t n, rh_error **err);

#endif
