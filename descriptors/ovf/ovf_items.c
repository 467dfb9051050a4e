/* ovf_items.c - the hardware items that the chosen configuration has.
 *
 * An item of a configuration (ovf:configuration) overrides, element by element,
 * an earlier item with the same InstanceID and ResourceType.  Any other two
 * items with one InstanceID are two devices, whatever the standard says.
 * Ranges (rasd bound min and max) are no devices. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"

static const struct {
    const char *element;
    enum rh_item_field field;
} elements[] = {
    {"InstanceID", RH_ITEM_ID},
    {"InstanceId", RH_ITEM_ID}, /* OVF 0.9, and DMTF's own 1.0 samples */
    {"ResourceType", RH_ITEM_TYPE},
    {"ResourceSubType", RH_ITEM_SUBTYPE},
    {"Parent", RH_ITEM_PARENT},
    {"Address", RH_ITEM_ADDRESS},
    {"AddressOnParent", RH_ITEM_ON_PARENT},
    {"BusNumber", RH_ITEM_BUS_NUMBER},
    {"VirtualQuantity", RH_ITEM_QUANTITY},
    {"AllocationUnits", RH_ITEM_UNITS},
    {"VirtualQuantityUnits", RH_ITEM_UNITS},
    {"HostResource", RH_ITEM_HOST_RESOURCE},
    {"Connection", RH_ITEM_CONNECTION},
    {"ElementName", RH_ITEM_NAME},
    {"Caption", RH_ITEM_NAME},
    {"Description", RH_ITEM_DESCRIPTION},
    {"AutomaticAllocation", RH_ITEM_AUTOMATIC},
    {"CoresPerSocket", RH_ITEM_CORES_PER_SOCKET},
    {"Limit", RH_ITEM_LIMIT},
    {"Reservation", RH_ITEM_RESERVATION},
    {"Weight", RH_ITEM_WEIGHT},
    {"MACAddress", RH_ITEM_MAC},
};

/* Fill what this node says; of several HostResources the first that is not
 * empty counts. */
static void read_item(struct rh_ovf *o, xmlNode *node, struct rh_item *item)
{
    bool seen[RH_ITEM_FIELDS] = {false};

    RH_EACH_CHILD(child, node)
    {
        for (size_t i = 0; i < RH_COUNT(elements); i++) {
            enum rh_item_field f = elements[i].field;

            if (!rh_xml_is(child, elements[i].element))
                continue;
            if (seen[f] && item->field[f] && item->field[f][0])
                continue;
            item->field[f] = rh_ovf_text(o, child);
            seen[f] = true;
        }
    }
    if (item->nodes < RH_COUNT(item->node))
        item->node[item->nodes++] = node;
}

static bool is_range(struct rh_ovf *o, const xmlNode *node)
{
    const char *bound = rh_ovf_attr(o, node, "bound");

    return bound && (rh_same_word(bound, "min") || rh_same_word(bound, "max"));
}

static unsigned type_of(const struct rh_item *item)
{
    uint64_t n = 0;

    if (item->field[RH_ITEM_TYPE] && item->field[RH_ITEM_TYPE][0])
        return rh_parse_u64(item->field[RH_ITEM_TYPE], &n) && n < 100000
                   ? (unsigned)n
                   : 0;
    if (rh_xml_is(item->node[0], "StorageItem"))
        return 17;
    return rh_xml_is(item->node[0], "EthernetPortItem") ? 10 : 0;
}

/* An override may leave out what it does not change, the type, too. */
static bool overrides(struct rh_ovf *o, xmlNode *node,
                      const struct rh_item *item)
{
    const char *type = rh_ovf_child_text(o, node, "ResourceType");

    return rh_ovf_attr(o, node, "configuration") &&
           (!type || !type[0] || rh_same_word(type, item->field[RH_ITEM_TYPE]));
}

static struct rh_item *same_instance(struct rh_items *items, const char *id)
{
    size_t i = id && id[0] ? rh_name_map_find(&items->ids, id) : SIZE_MAX;

    return i == SIZE_MAX ? NULL : &items->items[i];
}

static void add_item(struct rh_ovf *o, xmlNode *node, struct rh_items *items)
{
    const xmlNode *element = rh_xml_child(node, "InstanceID");
    struct rh_item *item;
    const char *id;

    element = element ? element : rh_xml_child(node, "InstanceId");
    id = element ? rh_ovf_text(o, element) : NULL;
    item = same_instance(items, id);
    if (item && !overrides(o, node, item)) {
        items->twice++;
        items->twice_id = id;
        item = NULL;
    }
    if (!item) {
        item = rh_vec_add(items);
        if (id && id[0])
            rh_name_map_add(&items->ids, id, items->count - 1);
    }
    read_item(o, node, item);
    item->required = rh_ovf_required(o, node);
    item->type = type_of(item);
}

/* A disk of another configuration is not one that was forgotten. */
static void note_elsewhere(struct rh_ovf *o, const xmlNode *node)
{
    const char *resource = rh_ovf_child_text(o, node, "HostResource");
    struct rh_ovf_disk *d = resource ? rh_ovf_resource(o, resource) : NULL;

    if (d)
        d->elsewhere = true;
}

void rh_items_free(struct rh_items *items)
{
    free(items->items);
    rh_name_map_free(&items->ids);
    rh_name_map_free(&items->controllers);
}

int rh_ovf_items(struct rh_ovf *o, xmlNode *hardware, struct rh_items *ret,
                 struct rh_findings *findings, rh_error **err)
{
    size_t ranges = 0, seen = 0;

    RH_EACH_CHILD(child, hardware)
    {
        if (!rh_xml_is(child, "Item") && !rh_xml_is(child, "StorageItem") &&
            !rh_xml_is(child, "EthernetPortItem"))
            continue;
        if (++seen > RH_LIMIT_ITEMS)
            return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d hardware items",
                           RH_LIMIT_ITEMS);
        if (!rh_ovf_applies(o, child)) {
            note_elsewhere(o, child);
            continue;
        }
        if (is_range(o, child))
            ranges++;
        else
            add_item(o, child, ret);
    }
    if (ret->twice)
        rh_finding_add(findings, RH_F_OVF_INSTANCE_TWICE, "vm",
                       "%zu hardware items have an InstanceID that another "
                       "item has, too (\"%s\"); all of them were kept",
                       ret->twice, ret->twice_id);
    if (ranges)
        rh_finding_add(
            findings, RH_F_OVF_RANGE, "vm",
            "%zu hardware items are ranges (bound min or max); only the "
            "normal values were taken",
            ranges);
    return 0;
}

const char *rh_ovf_item_config(struct rh_ovf *o, const struct rh_item *item,
                               const char *key)
{
    const char *value = NULL;

    for (unsigned i = 0; i < item->nodes; i++) {
        RH_EACH_CHILD(child, item->node[i])
        {
            const char *k = rh_xml_is(child, "Config")
                                ? rh_ovf_attr(o, child, "key")
                                : NULL;

            if (k && !strcmp(k, key))
                value = rh_ovf_attr(o, child, "value");
        }
    }
    return value;
}
