/* template.c - the overlay that holds just what is missing, to be filled in. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "package/package.h"

/* In double quotes, as YAML and JSON both read it. */
static void quoted(struct rh_buf *b, const char *text)
{
    json_t *s = rh_valid_utf8(text, strlen(text)) ? json_string(text) : NULL;
    char *out = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;

    rh_buf_puts(b, out ? out : "\"?\"");
    rh_freep(&out);
    json_decref(s);
}

static void line(struct rh_buf *b, const char *indent, const char *key,
                 const struct rh_value *v, const char *comment)
{
    if (v->kind == RH_VALUE_UNSET)
        rh_buf_printf(b, "%s%s: null  # %s\n", indent, key, comment);
    else if (v->from == RH_FROM_DEFAULT)
        rh_buf_printf(b, "%s%s: null  # %s; %s is assumed\n", indent, key,
                      comment, v->kind == RH_VALUE_TEXT ? v->text : "?");
}

static void machine(struct rh_buf *b, const struct rh_vm *vm)
{
    bool bios = vm->firmware.text && !strcmp(vm->firmware.text, "bios");

    line(b, "", "cpus", &vm->cpus, _("how many virtual CPUs: 4"));
    line(b, "", "memory", &vm->memory_bytes, _("how much memory: 8GiB"));
    line(b, "", "firmware", &vm->firmware, _("bios or uefi"));
    if (!bios)
        line(b, "", "secure_boot", &vm->secure_boot,
             _("true when Secure Boot is on"));
    line(b, "", "uuid", &vm->uuid,
         _("the BIOS UUID, when a licence depends on it"));
    line(b, "", "clock", &vm->clock,
         _("the hardware clock: utc, or localtime (Windows)"));
    line(b, "", "os", &vm->os_profile,
         _("which system: an id that `rehost profiles` lists"));
}

/* A field of a list's item; the first one begins the item. */
static void item_line(struct rh_buf *b, bool *begun, const char *key,
                      const struct rh_value *v, const char *comment)
{
    if (v->kind != RH_VALUE_UNSET && v->from != RH_FROM_DEFAULT)
        return;
    line(b, *begun ? "    " : "  - ", key, v, comment);
    *begun = true;
}

/* Items go by their number: one without gaps still holds its place. */
static void disks(struct rh_buf *b, const struct rh_vm *vm)
{
    bool any = false;

    for (size_t i = 0; i < vm->disks.count; i++)
        any = any || vm->disks.items[i].controller.kind == RH_VALUE_UNSET;
    if (!any)
        return;
    rh_buf_puts(b, "disks:\n");
    for (size_t i = 0; i < vm->disks.count; i++) {
        const struct rh_disk_config *d = &vm->disks.items[i];
        bool begun = true;

        rh_buf_puts(b, "  - id: ");
        quoted(b, d->id.text ? d->id.text : "");
        rh_buf_puts(b, "\n");
        item_line(b, &begun, "controller", &d->controller,
                  _("ide, sata, nvme, lsilogic, lsisas, pvscsi, buslogic, "
                    "virtio-scsi or virtio-blk"));
        item_line(b, &begun, "bus", &d->bus, _("the controller's number: 0"));
        item_line(b, &begun, "unit", &d->unit,
                  _("the place on the controller: 0"));
    }
}

static void nics(struct rh_buf *b, const struct rh_vm *vm)
{
    if (!vm->nics.count) {
        rh_buf_printf(b,
                      "# %s\nnics: []\n#  - network: \"VM Network\"\n"
                      "#    mac: \"50:6b:8d:00:11:22\"\n"
                      "#    model: virtio\n",
                      _("one entry for each network card:"));
        return;
    }
    rh_buf_puts(b, "nics:\n");
    for (size_t i = 0; i < vm->nics.count; i++) {
        const struct rh_nic_config *n = &vm->nics.items[i];
        bool begun = false;

        item_line(b, &begun, "network", &n->network, _("the network's name"));
        item_line(b, &begun, "mac", &n->mac,
                  _("the MAC address; without it a new one is made"));
        item_line(b, &begun, "model", &n->model,
                  _("the source's card: vmxnet3, e1000, e1000e, virtio ..."));
        if (!begun)
            rh_buf_puts(b, "  - {}\n");
    }
}

static bool nics_complete(const struct rh_vm *vm)
{
    for (size_t i = 0; i < vm->nics.count; i++) {
        const struct rh_nic_config *n = &vm->nics.items[i];

        if (n->network.kind == RH_VALUE_UNSET ||
            n->mac.kind == RH_VALUE_UNSET || n->model.kind == RH_VALUE_UNSET)
            return false;
    }
    return vm->nics.count > 0;
}

char *rh_package_template(struct rh_package *p, size_t vm)
{
    const struct rh_vm *v = p->vms.items[vm];
    struct rh_buf b = {0};

    rh_buf_printf(&b, "# %s\n# %s\n# %s\n",
                  _("What the package does not say about this VM. Fill in what "
                    "you know,"),
                  _("leave the rest as it is, and pass the file back: rehost "
                    "... --fill FILE"),
                  _("Every key: docs/schemas/rehost.overlay-1.json"));
    rh_buf_puts(&b, "schema: rehost.overlay/1\nname: ");
    quoted(&b, v->name.text ? v->name.text : v->id);
    rh_buf_puts(&b, "\n");
    machine(&b, v);
    disks(&b, v);
    if (!nics_complete(v))
        nics(&b, v);
    return rh_buf_take(&b);
}
