/* machine.c - what documents of one VM have in common. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors/ovf/machine.h"

const char *rh_xml_attr(struct rh_xml_machine *m, const xmlNode *node,
                        const char *name)
{
    return node ? rh_ovf_attr(&m->o, node, name) : NULL;
}

const char *rh_xml_attr_of(struct rh_xml_machine *m, const xmlNode *node,
                           const char *child, const char *name)
{
    return node ? rh_xml_attr(m, rh_xml_child(node, child), name) : NULL;
}

void rh_xml_put_text(struct rh_xml_machine *m, struct rh_value *v,
                     const char *text)
{
    if (text && text[0])
        rh_set_text(m->vm, v, text, m->from, NULL);
}

void rh_xml_put(struct rh_xml_machine *m, const char *key, const char *text)
{
    rh_error *e = NULL;

    if (!text || !text[0] || !rh_vm_set(m->vm, key, text, m->from, NULL, &e))
        return;
    rh_finding_add(m->findings, RH_F_OVF_VALUE, key, "%s (left out)",
                   rh_error_message(e));
    rh_error_drop(&e);
}

int rh_xml_machine_parse(struct rh_package *p, const char *name,
                         const char *text, size_t n,
                         const struct rh_package_options *o, enum rh_from from,
                         rh_xml_machine_read *read, rh_error **err)
{
    RH_AUTO(rh_ovf_xml_freep) xmlDoc *doc = rh_ovf_xml(text, n, err);
    RH_AUTO(rh_findings_free) struct rh_findings findings = {0};
    RH_AUTO(rh_vm_freep) struct rh_vm *vm = NULL;
    struct rh_xml_machine m = {.o = {.p = p, .name = name, .ns = ""},
                               .findings = &findings,
                               .from = from};
    size_t at;
    int failed;

    if (!doc)
        return rh_error_subject(err, name);
    if (o && rh_package_one_configuration(o->configuration, err) < 0)
        return -1;
    m.root = xmlDocGetRootElement(doc);
    m.vm = vm = rh_vm_new(name);
    m.o.arena = rh_arena_new();
    failed = read(&m, err);
    rh_arena_free(m.o.arena);
    if (failed)
        return rh_error_subject(err, name);
    at = rh_package_add_vm(p, RH_TAKE(vm));
    rh_findings_copy(&p->vm_findings.items[at], &findings);
    return 0;
}
