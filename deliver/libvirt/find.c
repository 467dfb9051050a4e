/* find.c - a VM that an earlier run has delivered. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_LIBVIRT
#include <stdlib.h>
#include <string.h>

#include "deliver/libvirt/virt.h"

/* 1: it is, and the rest is done; 0, -1. */
static int try_one(struct rh_virt_host *h, virDomainPtr vm, const char *mark,
                   bool start, char **ret_where, rh_error **err)
{
    RH_AUTO(rh_virt_domain_free) struct rh_virt_domain d = {0};
    RH_AUTO(rh_freep)
    char *xml = rh_virt.DomainGetXMLDesc(vm, VIR_DOMAIN_XML_INACTIVE);

    /* One that is gone since the list was made is not it; one that cannot be
     * read may be. */
    if (!xml)
        return rh_virt_was(VIR_ERR_NO_DOMAIN) ? 0
                                              : rh_virt_fail(_("the VMs"), err);
    if (!strstr(xml, mark))
        return 0;
    if (rh_virt_domain_there(xml, &d, err) < 0)
        return -1;
    *ret_where = rh_printf(_("%s at %s"), d.uuid, h->text);
    if (start && rh_virt.DomainIsActive(vm) == 0 &&
        rh_virt.DomainCreate(vm) < 0)
        return rh_virt_fail(_("starting"), err);
    return 1;
}

int rh_virt_find(struct rh_server *s, const char *mark, bool start,
                 char **ret_where, rh_error **err)
{
    struct rh_virt_host *h = s->state;
    virDomainPtr *list = NULL;
    int count = rh_virt.ConnectListAllDomains(h->conn, &list, 0);
    int found = count < 0 ? rh_virt_fail(_("the VMs"), err) : 0;

    for (int i = 0; i < count; i++) {
        if (!found)
            found = try_one(h, list[i], mark, start, ret_where, err);
        rh_virt.DomainFree(list[i]);
    }
    free(list);
    return found < 0 ? -1 : 0;
}
#endif
