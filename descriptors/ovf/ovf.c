/* ovf.c - an OVF descriptor: the tables of its envelope, then its VMs.
 *
 * Elements are matched by local name; only the envelope's namespace decides
 * which OVF it is, because prefixes and defaults vary from writer to writer. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors/ovf/ovf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* A package of more has not been seen, by far. */
enum { FILES_MAX = 8192, LOOKUPS_MAX = 32 };

/* --- which OVF
 * ------------------------------------------------------------------ */
static const struct {
    const char *ns;
    enum rh_ovf_version version;
} versions[] = {
    {"http://schemas.dmtf.org/ovf/envelope/1", RH_OVF_1},
    {"http://schemas.dmtf.org/ovf/envelope/2", RH_OVF_2},
    {"http://www.vmware.com/schema/ovf/1/envelope", RH_OVF_0_9},
};

static bool same_ns(const char *a, const char *b)
{
    size_t n = strlen(b);

    /* oVirt ends its namespace with a slash. */
    return !strncmp(a, b, n) && (!a[n] || !strcmp(a + n, "/"));
}

static int identify(struct rh_ovf *o, rh_error **err)
{
    o->ns = rh_xml_ns(o->root);
    if (!rh_xml_is(o->root, "Envelope"))
        return rh_fail(err, RH_ERR_OVF_VERSION,
                       "the descriptor is a <%s>, not an OVF Envelope",
                       (const char *)o->root->name);
    if (!o->ns[0]) { /* none at all: as the first versions were written */
        o->version = RH_OVF_1;
        return 0;
    }
    for (size_t i = 0; i < RH_COUNT(versions); i++) {
        if (same_ns(o->ns, versions[i].ns)) {
            o->version = versions[i].version;
            return 0;
        }
    }
    return rh_fail(err, RH_ERR_OVF_VERSION,
                   "the namespace \"%s\" is of no known version of OVF", o->ns);
}

static void look_at_namespaces(struct rh_ovf *o)
{
    for (const xmlNs *ns = o->root->nsDef; ns; ns = ns->next) {
        const char *href = (const char *)ns->href;

        if (href && !strcmp(href, RH_NUTANIX_NS))
            o->nutanix = true;
        if (href && !strcmp(href, "http://www.vmware.com/schema/ovf"))
            o->vmware = true;
    }
}

/* --- configurations
 * ----------------------------------------------------------------- */
static int choose_configuration(struct rh_ovf *o, const xmlNode *section,
                                const char *wanted, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf ids = {0};
    const char *first = NULL, *marked = NULL, *asked = NULL;

    RH_EACH_CHILD(child, section)
    {
        const char *id = rh_xml_is(child, "Configuration")
                             ? rh_ovf_attr(o, child, "id")
                             : NULL;
        bool b = false;

        if (!id)
            continue;
        if (ids.length < RH_LIMIT_NAME)
            rh_buf_printf(&ids, "%s%s", ids.length ? ", " : "", id);
        first = first ? first : id;
        if (!marked && rh_parse_bool(rh_ovf_attr(o, child, "default"), &b) && b)
            marked = id;
        if (wanted && !strcmp(wanted, id))
            asked = id;
    }
    o->configuration = asked ? asked : marked ? marked : first;
    if (wanted && !asked)
        return rh_fail(err, RH_ERR_OVF_CONFIGURATION,
                       "there is no configuration \"%s\"; there are: %s",
                       wanted, ids.length ? ids.data : _("none"));
    if (o->configuration && strchr(ids.data, ','))
        rh_finding_add(&o->p->findings, RH_F_OVF_CONFIGURATION, "package",
                       "the configuration \"%s\" was taken; there are: %s",
                       o->configuration, ids.data);
    return 0;
}

/* --- files, disks, networks
 * ------------------------------------------------------------ */
static uint64_t number_attr(struct rh_ovf *o, const xmlNode *node,
                            const char *name)
{
    uint64_t n;

    return rh_parse_u64(rh_ovf_attr(o, node, name), &n) ? n : 0;
}

static int read_files(struct rh_ovf *o, const xmlNode *references,
                      rh_error **err)
{
    RH_EACH_CHILD(child, references)
    {
        const char *id, *href, *how;
        struct rh_ovf_file *f;

        if (!rh_xml_is(child, "File"))
            continue;
        id = rh_ovf_attr(o, child, "id");
        href = rh_ovf_attr(o, child, "href");
        how = rh_ovf_attr(o, child, "compression");
        if (!id || !href || !href[0]) {
            rh_finding_add(&o->p->findings, RH_F_OVF_REFERENCE, "package",
                           "a File without an id or a name (\"%s\")",
                           href ? href
                           : id ? id
                                : "");
            continue;
        }
        if (o->files.count >= FILES_MAX)
            return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d files",
                           FILES_MAX);
        if (!rh_name_map_add(&o->file_ids, id, o->files.count)) {
            rh_finding_add(
                &o->p->findings, RH_F_OVF_VALUE, "package",
                "the file \"%s\" is described twice; the first counts", id);
            continue;
        }
        f = rh_vec_add(&o->files);
        f->id = id;
        f->href = rh_package_mapped(o->p, href);
        f->href = f->href ? f->href : href;
        f->compression =
            how && how[0] && !rh_same_word(how, "identity") ? how : NULL;
        f->size = number_attr(o, child, "size");
        f->chunk_size = number_attr(o, child, "chunkSize");
    }
    return 0;
}

static const char *property_in(struct rh_ovf *o, const xmlNode *node,
                               const char *key)
{
    RH_EACH_CHILD(child, node)
    {
        const char *found = NULL, *name;

        if (!rh_xml_is(child, "Property")) {
            found = property_in(o, child, key);
            if (found)
                return found;
            continue;
        }
        name = rh_ovf_attr(o, child, "key");
        if (!name || strcmp(name, key))
            continue;
        found = rh_ovf_attr(o, child, "value");
        RH_EACH_CHILD(value, child)
        {
            if (rh_xml_is(value, "Value") &&
                rh_ovf_attr(o, value, "configuration") &&
                rh_ovf_applies(o, value))
                found = rh_ovf_attr(o, value, "value");
        }
        return found;
    }
    return NULL;
}

const char *rh_ovf_property(struct rh_ovf *o, const char *key)
{
    return ++o->lookups > LOOKUPS_MAX ? NULL : property_in(o, o->root, key);
}

/* "8", or "${disksize}". */
static const char *resolved(struct rh_ovf *o, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    if (n < 4 || strncmp(text, "${", 2) || text[n - 1] != '}')
        return text;
    return rh_ovf_property(o, rh_arena_strndup(o->arena, text + 2, n - 3));
}

static uint64_t disk_capacity(struct rh_ovf *o, const xmlNode *node,
                              const char *id)
{
    const char *said = rh_ovf_attr(o, node, "capacity");
    const char *units = rh_ovf_attr(o, node, "capacityAllocationUnits");
    uint64_t n, factor = 1, bytes;

    if (!said || !said[0])
        return 0;
    if (rh_parse_u64(resolved(o, said), &n) &&
        (!units || !units[0] || rh_ovf_units(units, &factor)) &&
        !rh_mul_overflows(n, factor, &bytes) && bytes <= INT64_MAX)
        return bytes;
    rh_finding_add(
        &o->p->findings, RH_F_OVF_VALUE, "package",
        "the capacity \"%s\" in units of \"%s\" of the disk \"%s\" is not "
        "understood; the disk's own size counts",
        said, units ? units : "byte", id);
    return 0;
}

static void note_disk(struct rh_ovf *o, const struct rh_ovf_disk *d)
{
    const struct rh_ovf_file *file = rh_ovf_file_at(o, d->file_ref);
    struct rh_disk_note note = {.id = d->id,
                                .href = file ? file->href : d->file_ref,
                                .parent_id = d->parent_ref,
                                .capacity = d->capacity};

    rh_package_note_disk(o->p, &note);
}

static int read_disks(struct rh_ovf *o, const xmlNode *section, rh_error **err)
{
    RH_EACH_CHILD(child, section)
    {
        const char *id =
            rh_xml_is(child, "Disk") ? rh_ovf_attr(o, child, "diskId") : NULL;
        struct rh_ovf_disk *d;

        if (!id || !rh_ovf_applies(o, child))
            continue;
        if (o->disks.count >= FILES_MAX)
            return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d disks",
                           FILES_MAX);
        if (!rh_name_map_add(&o->disk_ids, id, o->disks.count)) {
            rh_finding_add(
                &o->p->findings, RH_F_OVF_VALUE, "package",
                "the disk \"%s\" is described twice; the first counts", id);
            continue;
        }
        d = rh_vec_add(&o->disks);
        d->id = id;
        d->file_ref = rh_ovf_attr(o, child, "fileRef");
        if (d->file_ref && !d->file_ref[0])
            d->file_ref = NULL;
        d->parent_ref = rh_ovf_attr(o, child, "parentRef");
        if (d->parent_ref && !d->parent_ref[0])
            d->parent_ref = NULL; /* oVirt's base disks */
        d->raw = rh_same_word(rh_ovf_attr(o, child, "volume-format"), "RAW");
        d->boot = rh_same_word(rh_ovf_attr(o, child, "boot"), "true");
        d->interface = rh_ovf_attr(o, child, "disk-interface");
        d->capacity = disk_capacity(o, child, id);
        d->populated = number_attr(o, child, "populatedSize");
        note_disk(o, d);
    }
    return 0;
}

static void note_files(struct rh_ovf *o)
{
    for (size_t i = 0; i < o->files.count; i++) {
        const struct rh_ovf_file *f = &o->files.items[i];
        struct rh_file_note note = {.href = f->href,
                                    .compression = f->compression,
                                    .size = f->size,
                                    .chunk_size = f->chunk_size};

        rh_package_note_file(o->p, &note);
    }
}

static void read_networks(struct rh_ovf *o, const xmlNode *section)
{
    RH_EACH_CHILD(child, section)
    {
        const char *name =
            rh_xml_is(child, "Network") ? rh_ovf_attr(o, child, "name") : NULL;

        if (name && rh_ovf_applies(o, child))
            rh_name_map_add(&o->networks, name, o->networks.count);
    }
}

/* The tables may stand in any order; each pass needs the one before. */
static int read_tables(struct rh_ovf *o, const char *configuration,
                       rh_error **err)
{
    static const char *const names[] = {"DeploymentOptionSection", "References",
                                        "DiskSection", "NetworkSection"};
    bool chosen = false;

    for (size_t i = 0; i < RH_COUNT(names); i++) {
        RH_EACH_CHILD(child, o->root)
        {
            int status = 0;

            if (strcmp(rh_ovf_section(o, child), names[i]))
                continue;
            if (i == 0 && !chosen) {
                chosen = true;
                status = choose_configuration(o, child, configuration, err);
            } else if (i == 1) {
                status = read_files(o, child, err);
            } else if (i == 2) {
                status = read_disks(o, child, err);
            } else if (i == 3) {
                read_networks(o, child);
            }
            if (status)
                return -1;
        }
        if (i == 0 && !chosen &&
            rh_package_one_configuration(configuration, err) < 0)
            return -1;
    }
    note_files(o);
    return 0;
}

/* --- virtual systems
 * --------------------------------------------------------------------- */
static const char *family(struct rh_ovf *o, const xmlNode *hardware)
{
    const xmlNode *system = rh_xml_child(hardware, "System");

    return system ? rh_ovf_child_text(o, system, "VirtualSystemType") : NULL;
}

static const char *source_of(const char *type)
{
    if (!type)
        return NULL;
    if (strcasestr(type, "vmx-"))
        return "vmware";
    if (strcasestr(type, "virtualbox"))
        return "virtualbox";
    return strcasestr(type, "ahv") ? "nutanix" : NULL;
}

/* Of several hardware sections the first of a family that we know. */
static xmlNode *hardware_of(struct rh_ovf *o, const xmlNode *system,
                            struct rh_findings *findings)
{
    xmlNode *first = NULL, *known = NULL;
    unsigned n = 0;
    const char *type;

    RH_EACH_CHILD(child, system)
    {
        if (strcmp(rh_ovf_section(o, child), "VirtualHardwareSection"))
            continue;
        n++;
        first = first ? first : child;
        if (!known && source_of(family(o, child)))
            known = child;
    }
    first = known ? known : first;
    if (n < 2)
        return first;
    type = family(o, first);
    rh_finding_add(findings, RH_F_OVF_SECTION_CAUTION, "vm",
                   "the VM has %u hardware sections, of which one is meant; "
                   "that of \"%s\" is taken",
                   n, type ? type : "?");
    return first;
}

static void start_order(struct rh_ovf *o, const xmlNode *system,
                        struct rh_vm *vm)
{
    for (const xmlNode *up = system->parent; up && up->type == XML_ELEMENT_NODE;
         up = up->parent) {
        RH_EACH_CHILD(section, up)
        {
            if (strcmp(rh_ovf_section(o, section), "StartupSection"))
                continue;
            RH_EACH_CHILD(item, section)
            {
                const char *id = rh_ovf_attr(o, item, "id");
                uint64_t n;

                if (!id || strcmp(id, vm->id) ||
                    vm->start_order.kind != RH_VALUE_UNSET)
                    continue;
                if (rh_parse_u64(rh_ovf_attr(o, item, "order"), &n))
                    rh_set_number(vm, &vm->start_order, n, RH_FROM_OVF, NULL);
                if (rh_parse_u64(rh_ovf_attr(o, item, "startDelay"), &n))
                    rh_set_number(vm, &vm->start_delay, n, RH_FROM_OVF, NULL);
            }
        }
    }
}

static void name_vm(struct rh_ovf *o, const xmlNode *system, struct rh_vm *vm)
{
    const char *name = rh_ovf_child_text(o, system, "Name");

    if (!name || !name[0])
        name = rh_ovf_attr(o, system, "id");
    if (name && name[0])
        rh_set_text(vm, &vm->name, name, RH_FROM_OVF, NULL);
}

static int read_vm(struct rh_ovf *o, xmlNode *system, struct rh_vm *vm,
                   struct rh_findings *findings, rh_error **err)
{
    xmlNode *hardware = hardware_of(o, system, findings);
    const char *source = hardware ? source_of(family(o, hardware)) : NULL;
    struct rh_items items = {0};
    int status = 0;

    if (o->version == RH_OVF_0_9 || o->vmware)
        vm->source_kind = "vmware";
    if (source)
        vm->source_kind = source;
    name_vm(o, system, vm);
    start_order(o, system, vm);
    if (hardware) {
        status = rh_ovf_items(o, hardware, &items, findings, err);
        if (!status)
            status = rh_ovf_devices(o, &items, vm, findings, err);
    } else {
        rh_finding_add(findings, RH_F_OVF_NO_HARDWARE, "vm",
                       "the descriptor says nothing about this VM's hardware");
    }
    if (!status)
        rh_ovf_sections(o, system, hardware, &items, vm, findings);
    rh_items_free(&items);
    return status;
}

static bool wanted(const struct rh_package_options *options,
                   const struct rh_vm *vm)
{
    const char *name = vm->name.text;

    return !options || !options->vm || !strcmp(options->vm, vm->id) ||
           (name && !strcmp(options->vm, name));
}

struct systems {
    struct rh_ovf *o;
    const struct rh_package_options *options;
    size_t found, taken;
    struct rh_buf names;
};

static int add_system(struct systems *s, xmlNode *system, rh_error **err)
{
    struct rh_findings findings = {0};
    struct rh_vm *vm = rh_vm_new(rh_ovf_attr(s->o, system, "id"));
    size_t at;

    if (++s->found > RH_LIMIT_VMS) {
        rh_vm_free(vm);
        return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d VMs", RH_LIMIT_VMS);
    }
    name_vm(s->o, system, vm);
    if (s->names.length < RH_LIMIT_NAME)
        rh_buf_printf(&s->names, "%s%s", s->names.length ? ", " : "", vm->id);
    if (s->names.length < RH_LIMIT_NAME && vm->name.text &&
        strcmp(vm->name.text, vm->id))
        rh_buf_printf(&s->names, " (\"%s\")", vm->name.text);
    if (!wanted(s->options, vm)) {
        /* Its disks are not anybody's: they have to be known. */
        read_vm(s->o, system, vm, &findings, NULL);
        rh_findings_free(&findings);
        rh_vm_free(vm);
        return 0;
    }
    if (read_vm(s->o, system, vm, &findings, err)) {
        rh_findings_free(&findings);
        rh_vm_free(vm);
        return -1;
    }
    s->taken++;
    at = rh_package_add_vm(s->o->p, vm);
    rh_findings_copy(&s->o->p->vm_findings.items[at], &findings);
    rh_findings_free(&findings);
    return 0;
}

/* Collections nest; libxml2 bounds the depth of the tree. */
static int walk(struct systems *s, xmlNode *node, rh_error **err)
{
    RH_EACH_CHILD(child, node)
    {
        const char *name = rh_ovf_section(s->o, child);
        int status = 0;

        if (!strcmp(name, "VirtualSystem"))
            status = add_system(s, child, err);
        else if (!strcmp(name, "VirtualSystemCollection"))
            status = walk(s, child, err);
        else
            rh_ovf_outer_section(s->o, child);
        if (status)
            return -1;
    }
    return 0;
}

static int read_systems(struct rh_ovf *o,
                        const struct rh_package_options *options,
                        rh_error **err)
{
    struct systems s = {.o = o, .options = options};
    int status = walk(&s, o->root, err);

    if (!status && !s.found)
        status = rh_fail(err, RH_ERR_OVF_NO_VM,
                         "the descriptor describes no virtual machine");
    else if (!status && !s.taken)
        status = rh_fail(err, RH_ERR_OVF_VM_CHOICE,
                         "there is no VM \"%s\"; there are: %s",
                         options ? options->vm : "", s.names.data);
    rh_buf_free(&s.names);
    if (!status)
        rh_ovf_unused(o);
    return status;
}

static int parse(struct rh_ovf *o, const struct rh_package_options *options,
                 rh_error **err)
{
    if (identify(o, err))
        return -1;
    look_at_namespaces(o);
    if (read_tables(o, options ? options->configuration : NULL, err))
        return -1;
    return read_systems(o, options, err);
}

int rh_ovf_parse(struct rh_package *p, const char *name, const char *text,
                 size_t n, const struct rh_package_options *o, rh_error **err)
{
    RH_AUTO(rh_ovf_xml_freep) xmlDoc *doc = rh_ovf_xml(text, n, err);
    struct rh_ovf ovf = {.p = p, .name = name, .ns = ""};
    int status;

    if (!doc)
        return rh_error_subject(err, name);
    ovf.arena = rh_arena_new();
    ovf.root = xmlDocGetRootElement(doc);
    status = parse(&ovf, o, err);
    free(ovf.files.items);
    free(ovf.disks.items);
    rh_name_map_free(&ovf.file_ids);
    rh_name_map_free(&ovf.disk_ids);
    rh_name_map_free(&ovf.networks);
    rh_arena_free(ovf.arena);
    return status ? rh_error_subject(err, name) : 0;
}
