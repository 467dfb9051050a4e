/* machine.h - a document that describes one VM as XML without namespaces:
 * libvirt's domain, VirtualBox's settings. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_OVF_MACHINE_H
#define RH_DESCRIPTORS_OVF_MACHINE_H

#include "descriptors/ovf/ovf.h"

struct rh_xml_machine {
    struct rh_ovf o; /* for attributes and texts */
    xmlNode *root;
    struct rh_vm *vm;
    struct rh_findings *findings;
    enum rh_from from;
};
/* Fill m->vm; the VM joins the package when it is 0. */
typedef int rh_xml_machine_read(struct rh_xml_machine *m, rh_error **err);
int rh_xml_machine_parse(struct rh_package *p, const char *name,
                         const char *text, size_t n,
                         const struct rh_package_options *o, enum rh_from from,
                         rh_xml_machine_read *read, rh_error **err);

/* NULL where the node or the attribute is not there. */
const char *rh_xml_attr(struct rh_xml_machine *m, const xmlNode *node,
                        const char *name);
/* The same of the node's child. */
const char *rh_xml_attr_of(struct rh_xml_machine *m, const xmlNode *node,
                           const char *child, const char *name);
/* What is empty says nothing. */
void rh_xml_put_text(struct rh_xml_machine *m, struct rh_value *v,
                     const char *text);
/* A value that its field checks: a finding where it is none. */
void rh_xml_put(struct rh_xml_machine *m, const char *key, const char *text);

#endif
