/* keys.c - a VM's values by name: "memory=8GiB", "nic0.mac", "disks/1/bus".
 *
 * Everything a person types about a VM comes through here, so that --set,
 * overlays and the API take the same names and refuse the same mistakes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "vm/vm.h"

/* --- finding
 * ------------------------------------------------------------------ */
struct list_kind {
    const char *one, *many;
    const struct rh_field *fields;
    size_t vec, size; /* where the vector is; bytes of one item */
    size_t most;
};
struct any_vec {
    void *items;
    size_t count, room;
};
static const struct list_kind lists[] = {
    {"disk", "disks", rh_disk_fields, offsetof(struct rh_vm, disks),
     sizeof(struct rh_disk_config), 0},
    {"nic", "nics", rh_nic_fields, offsetof(struct rh_vm, nics),
     sizeof(struct rh_nic_config), RH_LIMIT_VM_NICS},
    {"cdrom", "cdroms", rh_cdrom_fields, offsetof(struct rh_vm, cdroms),
     sizeof(struct rh_cdrom_config), 0},
};

static const struct rh_field *field_named(const struct rh_field *fields,
                                          const char *key)
{
    for (; fields->key; fields++) {
        if (!strcmp(fields->key, key))
            return fields;
    }
    return NULL;
}

static const char *alias(const char *key)
{
    static const char *const names[][2] = {
        {"memory", "memory_bytes"},   {"os", "os/profile"},
        {"os.profile", "os/profile"}, {"os.name", "os/name"},
        {"os.family", "os/family"},   {"os.version", "os/version"},
        {"os.kernel", "os/kernel"},   {"description", "annotation"}};

    for (size_t i = 0; i < RH_COUNT(names); i++) {
        if (!strcmp(names[i][0], key))
            return names[i][1];
    }
    return key;
}

/* "nics/0/mac", "nics.0.mac", "nic0.mac", "nics[0].mac": which list, which
 * item, and the key within it; NULL when it names no item. */
static const struct list_kind *split(const char *key, size_t *ret_index,
                                     const char **ret_rest)
{
    for (size_t i = 0; i < RH_COUNT(lists); i++) {
        const struct list_kind *l = &lists[i];
        size_t index = 0, digits = 0;
        const char *p = key;

        if (!strncmp(p, l->many, strlen(l->many)))
            p += strlen(l->many);
        else if (!strncmp(p, l->one, strlen(l->one)))
            p += strlen(l->one);
        else
            continue;
        if (*p && strchr("/.[", *p))
            p++;
        for (; isdigit((unsigned char)*p) && digits < 6; p++, digits++)
            index = index * 10 + (size_t)(*p - '0');
        if (*p == ']')
            p++;
        if (!digits || (*p != '/' && *p != '.'))
            continue;
        *ret_index = index;
        *ret_rest = p + 1;
        return l;
    }
    return NULL;
}

static void *item_at(struct rh_vm *vm, const struct list_kind *l, size_t index,
                     bool create)
{
    struct any_vec *v = (void *)((char *)vm + l->vec);

    if (create && index == v->count && v->count < l->most)
        rh_vec_add(&vm->nics);
    return index < v->count ? (char *)v->items + index * l->size : NULL;
}

struct rh_value *rh_vm_value(struct rh_vm *vm, const char *key, bool create,
                             const struct rh_field **ret_field)
{
    const struct rh_field *field;
    const struct list_kind *l;
    const char *rest;
    void *object = vm;
    size_t index;

    l = split(key, &index, &rest);
    if (l) {
        field = field_named(l->fields, rest);
        object = field ? item_at(vm, l, index, create) : NULL;
    } else {
        field = field_named(rh_vm_fields, alias(key));
    }
    if (!field || !object)
        return NULL;
    if (ret_field)
        *ret_field = field;
    return (void *)((char *)object + field->offset);
}

/* --- did you mean
 * -------------------------------------------------------------- */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);

    if (n >= RH_COUNT(row) || strlen(a) >= RH_COUNT(row))
        return RH_COUNT(row);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0]++;

        for (size_t j = 0; j < n; j++) {
            size_t change = corner + (a[i] != b[j]);

            corner = row[j + 1];
            row[j + 1] = RH_MIN(change, RH_MIN(corner, row[j]) + 1);
        }
    }
    return row[n];
}

static const char *nearest(const struct rh_field *fields, const char *key)
{
    const char *best = NULL;
    size_t least = 4; /* further away is no misspelling */

    for (; fields->key; fields++) {
        size_t d = distance(key, fields->key);

        if (d < least) {
            least = d;
            best = fields->key;
        }
    }
    if (fields && best && !strcmp(best, "memory_bytes"))
        best = "memory";
    return best;
}

static int no_such_key(struct rh_vm *vm, const char *key, rh_error **err)
{
    const struct list_kind *l;
    const char *rest, *best;
    size_t index;

    l = split(key, &index, &rest);
    if (l && field_named(l->fields, rest)) {
        const struct any_vec *v = (const void *)((char *)vm + l->vec);

        return rh_fail(err, RH_ERR_CONFIG_KEY,
                       "\"%s\": this VM has %zu %s, counted from 0", key,
                       v->count, l->many);
    }
    if (l) {
        best = nearest(l->fields, rest);
        if (best)
            return rh_fail(err, RH_ERR_CONFIG_KEY,
                           "unknown key \"%s\" (did you mean \"%s%zu.%s\"?)",
                           key, l->one, index, best);
        return rh_fail(err, RH_ERR_CONFIG_KEY, "unknown key \"%s\"", key);
    }
    best = distance(key, "memory") < 3 ? "memory" : nearest(rh_vm_fields, key);
    if (best)
        return rh_fail(err, RH_ERR_CONFIG_KEY,
                       "unknown key \"%s\" (did you mean \"%s\"?)", key, best);
    return rh_fail(err, RH_ERR_CONFIG_KEY, "unknown key \"%s\"", key);
}

/* --- checking
 * -------------------------------------------------------------------- */
/* The words a text may be, and what else people call them ("=": the same). */
static const struct {
    const char *key, *words;
} choices[] = {
    {"firmware", "bios uefi efi=uefi legacy=bios"},
    {"machine", "pc q35 i440fx=pc"},
    {"clock", "utc localtime local=localtime"},
    {"controller", "ide sata nvme lsilogic lsisas pvscsi buslogic virtio-scsi "
                   "virtio-blk lsilogicsas=lsisas virtio=virtio-blk "
                   "ahci=sata"},
    {"model", "vmxnet3 vmxnet2 e1000 e1000e pcnet32 flexible virtio sriov "
              "rtl8139 vmxnet pcnet=pcnet32 virtio-net=virtio"},
    {"os/family", "linux windows freebsd openbsd netbsd solaris other"},
};

/* The n-th word of a list as "word" and what it stands for. */
static bool word_at(const char **p, char *word, char *means, size_t room)
{
    size_t n = strcspn(*p, " ");
    const char *equal = memchr(*p, '=', n);
    size_t left = equal ? (size_t)(equal - *p) : n;

    if (!n)
        return false;
    snprintf(word, room, "%.*s", (int)left, *p);
    snprintf(means, room, "%.*s", (int)(equal ? n - left - 1 : n),
             equal ? equal + 1 : *p);
    *p += n;
    *p += **p == ' ';
    return true;
}

static int check_choice(const char *key, const char *words, const char *text,
                        char *ret, size_t room, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf allowed = {0};
    char word[32], means[32];

    for (const char *p = words; word_at(&p, word, means, sizeof word);) {
        if (rh_same_word(word, text)) {
            snprintf(ret, room, "%s", means);
            return 0;
        }
        if (!strcmp(word, means))
            rh_buf_printf(&allowed, "%s%s", allowed.length ? ", " : "", word);
    }
    return rh_fail(err, RH_ERR_CONFIG_VALUE,
                   "%s=%s: the value must be one of %s", key, text,
                   allowed.data);
}

static int check_order(const char *text, rh_error **err)
{
    while (*text) {
        size_t n = strcspn(text, ",");

        if (!(n == 4 && !strncmp(text, "disk", 4)) &&
            !(n == 5 && !strncmp(text, "cdrom", 5)) &&
            !(n == 7 && !strncmp(text, "network", 7)))
            return rh_fail(err, RH_ERR_CONFIG_VALUE,
                           "boot_order: a list of disk, cdrom and network "
                           "with commas is wanted, not \"%s\"",
                           text);
        text += n;
        text += *text == ',';
    }
    return 0;
}

static bool uuid_text(const char *text, char ret[37])
{
    size_t digits = 0, at = 0;

    for (; *text; text++) {
        if (strchr("-{} ", *text))
            continue;
        if (!isxdigit((unsigned char)*text) || digits == 32)
            return false;
        if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
            ret[at++] = '-';
        ret[at++] = (char)tolower((unsigned char)*text);
        digits++;
    }
    ret[at] = '\0';
    return digits == 32;
}

static int set_text(struct rh_vm *vm, struct rh_value *v, const char *key,
                    const struct rh_field *field, const char *text,
                    enum rh_from from, const char *detail, rh_error **err)
{
    char kept[64];

    for (size_t i = 0; i < RH_COUNT(choices); i++) {
        if (strcmp(choices[i].key, field->key))
            continue;
        if (check_choice(key, choices[i].words, text, kept, sizeof kept, err))
            return -1;
        text = kept;
    }
    if (!text[0])
        return rh_fail(err, RH_ERR_CONFIG_VALUE, "%s: a value is wanted", key);
    if (!rh_valid_utf8(text, strlen(text)))
        return rh_fail(err, RH_ERR_CONFIG_VALUE, "%s: \"%s\" is not UTF-8", key,
                       text);
    if (!strcmp(field->key, "mac")) {
        if (!rh_mac_of(text, kept))
            return rh_fail(err, RH_ERR_CONFIG_VALUE,
                           "%s=%s: a unicast MAC address like "
                           "00:50:56:aa:bb:cc is wanted",
                           key, text);
        text = kept;
    }
    if (!strcmp(field->key, "uuid")) {
        if (!uuid_text(text, kept))
            return rh_fail(err, RH_ERR_CONFIG_VALUE,
                           "%s=%s: a UUID of 32 hex digits is wanted", key,
                           text);
        text = kept;
    }
    if (!strcmp(key, "boot_order") && check_order(text, err))
        return -1;
    rh_set_text(vm, v, text, from, detail);
    return 0;
}

static const struct {
    const char *key;
    uint64_t least, most;
} ranges[] = {{"cpus", 1, 4096},
              {"cores_per_socket", 1, 4096},
              {"threads_per_core", 1, 64},
              {"memory_bytes", RH_MIB, 1024 * RH_TIB},
              {"capacity_bytes", 512, RH_LIMIT_DISK_SIZE},
              {"bus", 0, 255},
              {"unit", 0, 255},
              {"slot", 0, 65535},
              {"vlan", 0, 4094},
              {"boot_order", 0, 255},
              {"start_order", 0, 1000000},
              {"start_delay", 0, 1000000}};

static int set_number(struct rh_vm *vm, struct rh_value *v, const char *key,
                      const struct rh_field *field, const char *text,
                      enum rh_from from, const char *detail, rh_error **err)
{
    bool is_size = strstr(field->key, "_bytes") != NULL;
    uint64_t n;

    if (!(is_size ? rh_parse_size(text, &n) : rh_parse_u64(text, &n)))
        return rh_fail(err, RH_ERR_CONFIG_VALUE,
                       is_size ? N_("%s=%s: a size like 8GiB is wanted")
                               : N_("%s=%s: a whole number is wanted"),
                       key, text);
    for (size_t i = 0; i < RH_COUNT(ranges); i++) {
        if (!strcmp(ranges[i].key, field->key) &&
            (n < ranges[i].least || n > ranges[i].most))
            return rh_fail(err, RH_ERR_CONFIG_VALUE,
                           is_size
                               ? N_("%s=%s: not from %" PRIu64 " to %" PRIu64
                                    " bytes (write sizes like 8GiB)")
                               : N_("%s=%s: not from %" PRIu64 " to %" PRIu64),
                           key, text, ranges[i].least, ranges[i].most);
    }
    rh_set_number(vm, v, n, from, detail);
    return 0;
}

/* disk1.bus=scsi: people name the kind of bus where the field counts
 * controllers.  The kind is the controller's; NULL when it is a number. */
static const char *bus_as_controller(const struct rh_vm *vm, const char *key,
                                     const char *text)
{
    size_t n = strlen(key);

    if (n < 4 || strcmp(key + n - 3, "bus") || isdigit((unsigned char)text[0]))
        return NULL;
    if (rh_same_word(text, "scsi"))
        return strcmp(vm->source_kind, "vmware") ? "virtio-scsi" : "lsilogic";
    return rh_same_word(text, "virtio") ? "virtio-blk" : text;
}

int rh_vm_set(struct rh_vm *vm, const char *key, const char *text,
              enum rh_from from, const char *detail, rh_error **err)
{
    const char *controller = bus_as_controller(vm, key, text);
    RH_AUTO(rh_freep) char *other = NULL;
    const struct rh_field *field;
    struct rh_value *v;
    bool b;

    if (controller) {
        other = rh_printf("%.*scontroller", (int)strlen(key) - 3, key);
        if (rh_vm_value(vm, other, false, NULL))
            return rh_vm_set(vm, other, controller, from, detail, err);
    }
    v = rh_vm_value(vm, key, true, &field);
    if (!v)
        return no_such_key(vm, key, err);
    if (field->kind == RH_VALUE_TEXT)
        return set_text(vm, v, key, field, text, from, detail, err);
    if (field->kind == RH_VALUE_NUMBER)
        return set_number(vm, v, key, field, text, from, detail, err);
    if (!rh_parse_bool(text, &b))
        return rh_fail(err, RH_ERR_CONFIG_VALUE, "%s=%s: yes or no is wanted",
                       key, text);
    rh_set_bool(vm, v, b, from, detail);
    return 0;
}
