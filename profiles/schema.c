/* schema.c - a profile's YAML, checked key by key, as JSON.
 *
 * Every error names the file, the line and the words that would have been
 * right: profiles are written by hand. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "profiles/schema.h"

#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/text.h"

#define WORDS(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

static const struct rh_schema_key device_keys[] = {
    {"disk", RH_SCHEMA_WORD,
     WORDS("virtio-scsi", "virtio-blk", "pvscsi", "lsisas", "lsilogic", "sata",
           "ide", "nvme", "xen"),
     NULL},
    {"nic", RH_SCHEMA_WORD,
     WORDS("virtio", "vmxnet3", "e1000", "e1000e", "rtl8139", "pcnet", "xen"),
     NULL},
    {"machine", RH_SCHEMA_WORD, WORDS("q35", "pc"), NULL},
    {NULL, RH_SCHEMA_TEXT, NULL, NULL},
};

static const struct rh_schema_key target_keys[] = {
    {"supported", RH_SCHEMA_BOOL, NULL, NULL},
    {"why", RH_SCHEMA_TEXT, NULL, NULL},
    {"devices", RH_SCHEMA_WORD, WORDS("virtio", "vmware", "emulated"), NULL},
    {"virtio", RH_SCHEMA_MAP, NULL, device_keys},
    {"vmware", RH_SCHEMA_MAP, NULL, device_keys},
    {"emulated", RH_SCHEMA_MAP, NULL, device_keys},
    {"fixes", RH_SCHEMA_FIXES, NULL, NULL},
    {"more_fixes", RH_SCHEMA_FIXES, NULL, NULL},
    {NULL, RH_SCHEMA_TEXT, NULL, NULL},
};

static const struct rh_schema_key guest_keys[] = {
    {"id", RH_SCHEMA_TEXT, NULL, NULL},
    {"version", RH_SCHEMA_TEXT, NULL, NULL},
    {NULL, RH_SCHEMA_TEXT, NULL, NULL},
};

static const struct rh_schema_key match_keys[] = {
    {"guest", RH_SCHEMA_MAPS, NULL, guest_keys},
    {"vmware", RH_SCHEMA_TEXTS, NULL, NULL},
    {"cim", RH_SCHEMA_NUMBERS, NULL, NULL},
    {"name", RH_SCHEMA_TEXTS, NULL, NULL},
    {NULL, RH_SCHEMA_TEXT, NULL, NULL},
};

const struct rh_schema_key rh_profile_schema[] = {
    {"profile", RH_SCHEMA_TEXT, NULL, NULL},
    {"inherits", RH_SCHEMA_TEXT, NULL, NULL},
    {"about", RH_SCHEMA_TEXT, NULL, NULL},
    {"family", RH_SCHEMA_WORD,
     WORDS("linux", "windows", "freebsd", "openbsd", "netbsd", "solaris",
           "other"),
     NULL},
    {"match", RH_SCHEMA_MAP, NULL, match_keys},
    {"pve_ostype", RH_SCHEMA_WORD,
     WORDS("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8",
           "win10", "win11", "l24", "l26", "solaris"),
     NULL},
    {"libosinfo", RH_SCHEMA_TEXT, NULL, NULL},
    {"xen_template", RH_SCHEMA_TEXT, NULL, NULL},
    {"clock", RH_SCHEMA_WORD, WORDS("utc", "localtime"), NULL},
    {"firmware", RH_SCHEMA_WORD, WORDS("bios", "uefi"), NULL},
    {"least_memory", RH_SCHEMA_SIZE, NULL, NULL},
    {"kvm", RH_SCHEMA_MAP, NULL, target_keys},
    {"xen", RH_SCHEMA_MAP, NULL, target_keys},
    {NULL, RH_SCHEMA_TEXT, NULL, NULL},
};

const char *const rh_fix_names[] = {
#define FIX(name, about) name,
#include "profiles/fixes.def"
#undef FIX
    NULL};

struct document {
    yaml_document_t *yaml;
    const char *file;
    unsigned depth;
    size_t nodes; /* converted so far: aliases cannot blow it up */
    rh_error **err;
};

enum { DEPTH_MAX = 12, NODES_MAX = 20000 };

static json_t *bad(struct document *d, const yaml_node_t *n, const char *fmt,
                   ...) RH_PRINTF(3, 4);
static json_t *bad(struct document *d, const yaml_node_t *n, const char *fmt,
                   ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    rh_fail(d->err, RH_ERR_PROFILE_FILE, "%s:%zu: %s", d->file,
            n->start_mark.line + 1, text);
    return NULL;
}

static const char *scalar(const yaml_node_t *n)
{
    return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value
                                       : NULL;
}

static bool is_null(const yaml_node_t *n)
{
    const char *text = scalar(n);

    return text && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

/* "virtio, vmware, emulated": what would have been right. */
static char *listed(const char *const *words)
{
    struct rh_buf b = {0};

    for (size_t i = 0; words[i]; i++)
        rh_buf_printf(&b, "%s%s", i ? ", " : "", words[i]);
    return rh_buf_take(&b);
}

static char *listed_keys(const struct rh_schema_key *keys)
{
    struct rh_buf b = {0};

    for (size_t i = 0; keys[i].name; i++)
        rh_buf_printf(&b, "%s%s", i ? ", " : "", keys[i].name);
    return rh_buf_take(&b);
}

static bool among(const char *const *words, const char *word)
{
    for (size_t i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return true;
    return false;
}

static json_t *one_of(struct document *d, const yaml_node_t *n,
                      const char *const *words)
{
    const char *text = scalar(n);
    RH_AUTO(rh_freep) char *all = NULL;

    if (is_null(n))
        return json_null();
    if (text && among(words, text))
        return json_string(text);
    all = listed(words);
    return bad(d, n, N_("\"%s\" is not one of %s"), text ? text : "[...]", all);
}

static json_t *number(struct document *d, const yaml_node_t *n)
{
    uint64_t value;

    if (!scalar(n) || !rh_parse_u64(scalar(n), &value) || value > INT32_MAX)
        return bad(d, n, N_("a number is expected here"));
    return json_integer((json_int_t)value);
}

static json_t *size(struct document *d, const yaml_node_t *n)
{
    uint64_t value;

    if (!scalar(n) || !rh_parse_size(scalar(n), &value) || value > INT64_MAX)
        return bad(d, n, N_("a size like 512MiB is expected here"));
    return json_integer((json_int_t)value);
}

static json_t *boolean(struct document *d, const yaml_node_t *n)
{
    bool value;

    if (!scalar(n) || !rh_parse_bool(scalar(n), &value))
        return bad(d, n, N_("yes or no is expected here"));
    return json_boolean(value);
}

static json_t *text(struct document *d, const yaml_node_t *n)
{
    json_t *j;

    if (!scalar(n))
        return bad(d, n, N_("a text is expected here"));
    if (is_null(n))
        return json_null();
    j = json_string(scalar(n));
    return j ? j : bad(d, n, N_("this is not UTF-8"));
}

/* Anything, for the arguments of fixes: texts, lists, mappings. */
static json_t *anything(struct document *d, const yaml_node_t *n);

static json_t *any_list(struct document *d, const yaml_node_t *n)
{
    json_t *list = json_array();

    for (yaml_node_item_t *i = n->data.sequence.items.start;
         i < n->data.sequence.items.top; i++) {
        json_t *item = anything(d, yaml_document_get_node(d->yaml, *i));

        if (!item || json_array_append_new(list, item)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *any_map(struct document *d, const yaml_node_t *n)
{
    json_t *map = json_object();

    for (yaml_node_pair_t *p = n->data.mapping.pairs.start;
         p < n->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(d->yaml, p->key);
        json_t *value = NULL;

        if (!scalar(key))
            bad(d, n, N_("a key must be a text"));
        else
            value = anything(d, yaml_document_get_node(d->yaml, p->value));
        if (!value || json_object_set_new(map, scalar(key), value)) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *anything(struct document *d, const yaml_node_t *n)
{
    json_t *j;

    if (++d->nodes > NODES_MAX || d->depth >= DEPTH_MAX)
        return bad(d, n, N_("nested too deeply, or too long"));
    d->depth++;
    if (n->type == YAML_MAPPING_NODE)
        j = any_map(d, n);
    else if (n->type == YAML_SEQUENCE_NODE)
        j = any_list(d, n);
    else
        j = text(d, n);
    d->depth--;
    return j;
}

/* `linux.fstab`, or `linux.initramfs-drivers: {...}`: {"name", "arguments"}. */
static json_t *fix(struct document *d, const yaml_node_t *n)
{
    const yaml_node_t *name = n, *arguments = NULL;
    RH_AUTO(rh_freep) char *all = NULL;
    json_t *j = NULL;

    if (n->type == YAML_MAPPING_NODE &&
        n->data.mapping.pairs.top - n->data.mapping.pairs.start == 1) {
        yaml_node_pair_t *p = n->data.mapping.pairs.start;

        name = yaml_document_get_node(d->yaml, p->key);
        arguments = yaml_document_get_node(d->yaml, p->value);
    }
    if (!scalar(name) || !among(rh_fix_names, scalar(name))) {
        all = listed(rh_fix_names);
        return bad(d, n, N_("unknown fix \"%s\"; known are %s"),
                   scalar(name) ? scalar(name) : "[...]", all);
    }
    if (arguments && arguments->type != YAML_MAPPING_NODE)
        return bad(d, n, N_("a fix's arguments are a mapping"));
    if (arguments) {
        j = anything(d, arguments);
        if (!j)
            return NULL;
    }
    return json_pack("{s:s, s:o*}", "name", scalar(name), "arguments", j);
}

static json_t *map(struct document *d, const yaml_node_t *n,
                   const struct rh_schema_key *keys);

static json_t *one_item(struct document *d, const yaml_node_t *n,
                        const struct rh_schema_key *k)
{
    if (++d->nodes > NODES_MAX)
        return bad(d, n, N_("nested too deeply, or too long"));
    switch (k->kind) {
    case RH_SCHEMA_NUMBERS:
        return number(d, n);
    case RH_SCHEMA_FIXES:
        return fix(d, n);
    case RH_SCHEMA_MAPS:
        return map(d, n, k->keys);
    default:
        return text(d, n);
    }
}

static json_t *list(struct document *d, const yaml_node_t *n,
                    const struct rh_schema_key *k)
{
    json_t *all;

    if (n->type != YAML_SEQUENCE_NODE)
        return bad(d, n, N_("\"%s\" is a list: [a, b]"), k->name);
    all = json_array();
    for (yaml_node_item_t *i = n->data.sequence.items.start;
         i < n->data.sequence.items.top; i++) {
        json_t *item = one_item(d, yaml_document_get_node(d->yaml, *i), k);

        if (!item || json_array_append_new(all, item)) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *value_of(struct document *d, const yaml_node_t *n,
                        const struct rh_schema_key *k)
{
    switch (k->kind) {
    case RH_SCHEMA_TEXT:
        return text(d, n);
    case RH_SCHEMA_WORD:
        return one_of(d, n, k->words);
    case RH_SCHEMA_BOOL:
        return boolean(d, n);
    case RH_SCHEMA_SIZE:
        return size(d, n);
    case RH_SCHEMA_MAP:
        return map(d, n, k->keys);
    default:
        return list(d, n, k);
    }
}

static const struct rh_schema_key *key_named(const struct rh_schema_key *keys,
                                             const char *name)
{
    for (; keys->name; keys++)
        if (name && !strcmp(keys->name, name))
            return keys;
    return NULL;
}

static int one_pair(struct document *d, json_t *into, const yaml_node_pair_t *p,
                    const struct rh_schema_key *keys)
{
    yaml_node_t *name = yaml_document_get_node(d->yaml, p->key);
    yaml_node_t *n = yaml_document_get_node(d->yaml, p->value);
    const struct rh_schema_key *k = key_named(keys, scalar(name));
    json_t *value;

    if (!k) {
        RH_AUTO(rh_freep) char *all = listed_keys(keys);

        bad(d, name, N_("unknown key \"%s\"; known here are %s"),
            scalar(name) ? scalar(name) : "[...]", all);
        return -1;
    }
    if (json_object_get(into, k->name)) {
        bad(d, name, N_("\"%s\" stands here twice"), k->name);
        return -1;
    }
    value = value_of(d, n, k);
    return value ? json_object_set_new(into, k->name, value) : -1;
}

static json_t *map(struct document *d, const yaml_node_t *n,
                   const struct rh_schema_key *keys)
{
    json_t *j;

    if (n->type != YAML_MAPPING_NODE)
        return bad(d, n, N_("a mapping is expected here"));
    j = json_object();
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start;
         p < n->data.mapping.pairs.top; p++)
        if (one_pair(d, j, p, keys) < 0) {
            json_decref(j);
            return NULL;
        }
    return j;
}

static json_t *document(yaml_document_t *yaml, const char *file, rh_error **err)
{
    struct document d = {.yaml = yaml, .file = file, .err = err};
    yaml_node_t *root = yaml_document_get_root_node(yaml);

    if (!root) {
        rh_fail(err, RH_ERR_PROFILE_FILE, "%s:1: the file is empty", file);
        return NULL;
    }
    return map(&d, root, rh_profile_schema);
}

json_t *rh_profile_parse(const char *yaml_text, size_t n, const char *file,
                         rh_error **err)
{
    yaml_parser_t parser;
    yaml_document_t yaml;
    json_t *j = NULL;

    if (!yaml_parser_initialize(&parser)) {
        rh_fail(err, RH_ERR_MEMORY, "no memory for the YAML parser");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml_text, n);
    if (yaml_parser_load(&parser, &yaml)) {
        j = document(&yaml, file, err);
        yaml_document_delete(&yaml);
    } else {
        rh_fail(err, RH_ERR_PROFILE_FILE, "%s:%zu: %s", file,
                parser.problem_mark.line + 1,
                parser.problem ? parser.problem : "not YAML");
    }
    yaml_parser_delete(&parser);
    return j;
}
