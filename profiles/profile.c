/* profile.c - load profiles/NAME.yaml, let each inherit from its parent, and
 * pick the one that fits a VM.
 *
 * A child's mapping is laid over its parent's, key by key; lists replace,
 * except `more_fixes`, which is appended to the inherited `fixes`.  `match` is
 * never inherited. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "profiles/profile.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/data.h"
#include "base/text.h"
#include "profiles/schema.h"

enum {
    FILE_SIZE_MAX = 256 * 1024,
    DEPTH_MAX = 8, /* of `inherits` */
};

struct entry {
    struct rh_profile p;
    json_t *own; /* as in the file */
    char *file;
    unsigned depth; /* how many parents: more is more specific */
};

struct rh_profiles {
    RH_VEC(struct entry *) all;
};

/* --- reading the files ------------------------------------------------------
 */
static char *slurp(const char *path, size_t *ret_n, rh_error **err)
{
    int fd RH_AUTO(rh_closep) = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rh_fail(err, RH_ERR_PROFILE_FILE, "%s: cannot be read", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
        rh_fail(err, RH_ERR_PROFILE_FILE, "%s: too large for a profile", path);
        return NULL;
    }
    text = rh_malloc((size_t)st.st_size + 1);
    n = read(fd, text, (size_t)st.st_size);
    *ret_n = n > 0 ? (size_t)n : 0;
    text[*ret_n] = '\0';
    return text;
}

static const char *string_of(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static int load_file(struct rh_profiles *all, const char *folder,
                     const char *name, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);
    RH_AUTO(rh_freep) char *text = NULL;
    struct entry *e;
    const char *id;
    json_t *own;
    size_t n;

    text = slurp(path, &n, err);
    own = text ? rh_profile_parse(text, n, path, err) : NULL;
    if (!own)
        return -1;
    e = rh_new0(struct entry);
    e->own = own;
    e->file = rh_strdup(path);
    *rh_vec_add(&all->all) = e;
    id = string_of(own, "profile");
    if (!id || strncmp(id, name, strlen(id)) ||
        strcmp(name + strlen(id), ".yaml"))
        return rh_fail(err, RH_ERR_PROFILE_FILE,
                       "%s: \"profile\" must be the file's name without .yaml",
                       path);
    e->p.id = id;
    return 0;
}

static int is_profile(const struct dirent *d)
{
    size_t n = strlen(d->d_name);

    return d->d_name[0] != '.' && n > 5 && !strcmp(d->d_name + n - 5, ".yaml");
}

static int load_folder(struct rh_profiles *all, const char *folder,
                       rh_error **err)
{
    struct dirent **names;
    int n = scandir(folder, &names, is_profile, alphasort);
    int r = n < 0 ? rh_fail(err, RH_ERR_PROFILE_FILE,
                            "%s: the profiles cannot be listed", folder)
                  : 0;

    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = load_file(all, folder, names[i]->d_name, err);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return r;
}

/* --- inheriting
 * --------------------------------------------------------------- */
static struct entry *entry_named(const struct rh_profiles *all, const char *id)
{
    for (size_t i = 0; id && i < all->all.count; i++)
        if (all->all.items[i]->p.id && !strcmp(all->all.items[i]->p.id, id))
            return all->all.items[i];
    return NULL;
}

static json_t *appended(const json_t *list, const json_t *more)
{
    json_t *all = list ? json_copy((json_t *)(uintptr_t)list) : json_array();

    json_array_extend(all, (json_t *)(uintptr_t)more);
    return all;
}

/* `over` laid over `under`.  What does not differ is shared, never changed. */
static json_t *laid_over(json_t *under, json_t *over)
{
    json_t *both = json_copy(under);
    const char *key;
    json_t *value;

    json_object_foreach (over, key, value) {
        json_t *old = json_object_get(both, key);

        if (!strcmp(key, "more_fixes"))
            json_object_set_new(
                both, "fixes", appended(json_object_get(both, "fixes"), value));
        else if (json_is_object(old) && json_is_object(value))
            json_object_set_new(both, key, laid_over(old, value));
        else
            json_object_set(both, key, value);
    }
    return both;
}

/* The document with all that it inherits. */
static int merge(const struct rh_profiles *all, struct entry *e, unsigned depth,
                 rh_error **err)
{
    const char *parent = string_of(e->own, "inherits");
    struct entry *up = entry_named(all, parent);
    json_t *under;

    if (e->p.raw)
        return 0;
    if (depth > DEPTH_MAX)
        return rh_fail(err, RH_ERR_PROFILE_FILE,
                       "%s: \"inherits\" goes in a circle", e->file);
    if (parent && !up)
        return rh_fail(err, RH_ERR_PROFILE_FILE,
                       "%s: there is no profile \"%s\" to inherit from",
                       e->file, parent);
    if (up && merge(all, up, depth + 1, err) < 0)
        return -1;
    under = up ? json_copy(up->p.raw) : json_object();
    json_object_del(under, "match");
    json_object_del(under, "inherits");
    e->p.raw = laid_over(under, e->own);
    json_decref(under);
    e->depth = up ? up->depth + 1 : 0;
    return 0;
}

/* --- from JSON to the struct
 * ---------------------------------------------------- */
static void fill_devices(struct rh_profile_devices *d, const json_t *j)
{
    d->disk = string_of(j, "disk");
    d->nic = string_of(j, "nic");
    d->machine = string_of(j, "machine");
}

static int fill_target(struct rh_profile_target *t, const json_t *j,
                       const char *file, rh_error **err)
{
    json_t *item;
    size_t i;

    t->supported = !json_is_false(json_object_get(j, "supported"));
    t->why = string_of(j, "why");
    t->devices_auto = string_of(j, "devices");
    fill_devices(&t->virtio, json_object_get(j, "virtio"));
    fill_devices(&t->vmware, json_object_get(j, "vmware"));
    fill_devices(&t->emulated, json_object_get(j, "emulated"));
    json_array_foreach (json_object_get(j, "fixes"), i, item) {
        struct rh_profile_fix *f = rh_vec_add(&t->fixes);

        f->name = string_of(item, "name");
        f->arguments = json_object_get(item, "arguments");
    }
    if (t->supported && !t->devices_auto)
        return rh_fail(err, RH_ERR_PROFILE_FILE,
                       "%s: \"devices\" is needed for kvm and for xen", file);
    return 0;
}

static const char *const models[RH_PROFILE_MODELS] = {"kvm", "xen"};

static int fill(struct rh_profiles *all, struct entry *e, rh_error **err)
{
    struct rh_profile *p = &e->p;
    json_t *raw;

    if (merge(all, e, 0, err) < 0)
        return -1;
    raw = p->raw;
    p->about = string_of(raw, "about");
    p->family = string_of(raw, "family");
    p->parent = string_of(raw, "inherits");
    p->pve_ostype = string_of(raw, "pve_ostype");
    p->libosinfo = string_of(raw, "libosinfo");
    p->xen_template = string_of(raw, "xen_template");
    p->clock = string_of(raw, "clock");
    p->default_firmware = string_of(raw, "firmware");
    p->least_memory =
        (uint64_t)json_integer_value(json_object_get(raw, "least_memory"));
    if (!p->about || !p->family || !p->pve_ostype || !p->clock ||
        !p->default_firmware)
        return rh_fail(err, RH_ERR_PROFILE_FILE,
                       "%s: needs about, family, pve_ostype, clock and "
                       "firmware, its own or inherited",
                       e->file);
    for (size_t i = 0; i < RH_PROFILE_MODELS; i++)
        if (fill_target(&p->on[i], json_object_get(raw, models[i]), e->file,
                        err) < 0)
            return -1;
    return 0;
}

const struct rh_profile_target *rh_profile_on(const struct rh_profile *p,
                                              const char *model)
{
    size_t i = 0;

    while (i + 1 < RH_PROFILE_MODELS && strcmp(models[i], model))
        i++;
    return &p->on[i];
}

static void profiles_free(void *thing)
{
    struct rh_profiles *all = thing;

    for (size_t i = 0; i < all->all.count; i++) {
        struct entry *e = all->all.items[i];

        for (size_t m = 0; m < RH_PROFILE_MODELS; m++)
            free(e->p.on[m].fixes.items);
        json_decref(e->p.raw);
        json_decref(e->own);
        free(e->file);
        free(e);
    }
    free(all->all.items);
    free(all);
}

static void profiles_freep(struct rh_profiles **all)
{
    if (*all)
        profiles_free(*all);
}

static void *load(rh_error **err)
{
    RH_AUTO(profiles_freep)
    struct rh_profiles *all = rh_new0(struct rh_profiles);
    RH_AUTO(rh_freep) char *folder = rh_data_path("profiles");

    if (!folder) {
        rh_fail(err, RH_ERR_PROFILE_FILE, "the OS profiles are not installed");
        rh_hint(err, "set REHOST_DATA to the folder that holds profiles/, or "
                     "install rehost again");
        return NULL;
    }
    if (load_folder(all, folder, err) < 0)
        return NULL;
    for (size_t i = 0; i < all->all.count; i++)
        if (fill(all, all->all.items[i], err) < 0)
            return NULL;
    if (!entry_named(all, "other")) {
        rh_fail(err, RH_ERR_PROFILE_FILE, "%s: other.yaml is missing", folder);
        return NULL;
    }
    return RH_TAKE(all);
}

const struct rh_profiles *rh_profiles_of(rh_lib *lib, rh_error **err)
{
    static const struct rh_keep profiles = {load, profiles_free};

    return rh_lib_keep(lib, &profiles, err);
}

const struct rh_profile *rh_profile_at(const struct rh_profiles *all, size_t i)
{
    return i < all->all.count ? &all->all.items[i]->p : NULL;
}

const struct rh_profile *rh_profile_named(const struct rh_profiles *all,
                                          const char *id)
{
    const struct entry *e = entry_named(all, id);

    return e ? &e->p : NULL;
}

json_t *rh_profile_json(const struct rh_profile *p)
{
    return json_deep_copy(p->raw);
}

/* --- matching
 * --------------------------------------------------------------------- */
/* OVF says "debian12_64Guest", a .vmx "debian12-64", VirtualBox "Debian12_64":
 * one form for all. */
static void plain_id(const char *id, char ret[64])
{
    size_t n = 0;

    for (; *id && n < 63; id++)
        if (*id != '-' && *id != '_')
            ret[n++] = (char)tolower((unsigned char)*id);
    ret[n] = '\0';
    if (n > 5 && !strcmp(ret + n - 5, "guest"))
        ret[n - 5] = '\0';
}

static int compare_versions(const char *a, const char *b)
{
    while (*a || *b) {
        unsigned long x = strtoul(a, (char **)&a, 10);
        unsigned long y = strtoul(b, (char **)&b, 10);

        if (x != y)
            return x < y ? -1 : 1;
        if ((*a && *a != '.') || (*b && *b != '.'))
            return 0;
        a += *a == '.';
        b += *b == '.';
    }
    return 0;
}

/* "12": 12 and 12.x; ">=10.0.22000 <10.1": all of the bounds. */
static bool version_fits(const char *rule, const char *version)
{
    size_t n = strlen(rule);
    char bound[32];

    if (rule[0] != '>' && rule[0] != '<')
        return !strncmp(rule, version, n) && (!version[n] || version[n] == '.');
    while (*rule) {
        bool less = *rule == '<', equal = rule[1] == '=';
        int order;

        rule += equal ? 2 : 1;
        n = strcspn(rule, " ");
        snprintf(bound, sizeof bound, "%.*s", (int)n, rule);
        order = compare_versions(version, bound);
        if (!(order == 0 ? equal : less ? order < 0 : order > 0))
            return false;
        rule += n;
        rule += strspn(rule, " ");
    }
    return true;
}

struct question {
    const char *guest_id, *version; /* from inside the guest */
    const char *vmware;             /* in plain form */
    uint64_t cim;
    bool has_cim;
    const char *name;
    const char *family;
};

static bool fits_guest(const json_t *match, const struct question *q)
{
    json_t *item;
    size_t i;

    json_array_foreach (json_object_get(match, "guest"), i, item) {
        const char *id = string_of(item, "id");
        const char *version = string_of(item, "version");

        if (id && !strcmp(id, q->guest_id) &&
            (!version || (q->version && version_fits(version, q->version))))
            return true;
    }
    return false;
}

static bool fits_vmware(const json_t *match, const char *id)
{
    json_t *item;
    char plain[64];
    size_t i;

    json_array_foreach (json_object_get(match, "vmware"), i, item) {
        plain_id(json_string_value(item) ? json_string_value(item) : "", plain);
        if (!strcmp(plain, id))
            return true;
    }
    return false;
}

static bool fits(const struct entry *e, const struct question *q)
{
    const json_t *match = json_object_get(e->own, "match");
    json_t *item;
    size_t i;

    if (q->guest_id)
        return fits_guest(match, q);
    if (q->vmware)
        return fits_vmware(match, q->vmware);
    if (q->has_cim) {
        json_array_foreach (json_object_get(match, "cim"), i, item)
            if ((uint64_t)json_integer_value(item) == q->cim)
                return true;
    } else if (q->name) {
        json_array_foreach (json_object_get(match, "name"), i, item)
            if (json_string_value(item) &&
                !fnmatch(json_string_value(item), q->name, FNM_CASEFOLD))
                return true;
    } else if (q->family) {
        return !strcmp(e->p.id, q->family);
    }
    return false;
}

/* The most specific answer to one question; of two that are alike the later
 * one by name ("windows-2012r2" before "windows-2012"). */
static const struct entry *ask(const struct rh_profiles *all,
                               const struct question *q)
{
    const struct entry *best = NULL;

    for (size_t i = 0; i < all->all.count; i++) {
        const struct entry *e = all->all.items[i];

        if (fits(e, q) && (!best || e->depth >= best->depth))
            best = e;
    }
    return best;
}

const struct rh_profile *rh_profile_for_guest(const struct rh_profiles *all,
                                              const char *id,
                                              const char *version)
{
    const struct entry *e =
        ask(all, &(struct question){.guest_id = id, .version = version});

    return e ? &e->p : NULL;
}

static const char *known_text(const struct rh_value *v)
{
    return v->kind == RH_VALUE_TEXT ? v->text : NULL;
}

/* A kernel's version is only ever reported by who runs: the name beside it is
 * no one's choice. */
static bool was_reported(const struct rh_vm *vm)
{
    return known_text(&vm->os_kernel) != NULL;
}

/* Anything refines "other"; debian-12 refines debian and linux. */
static bool refines(const struct rh_profiles *all, const struct entry *e,
                    const struct entry *vague)
{
    if (!strcmp(vague->p.id, "other"))
        return true;
    while ((e = entry_named(all, string_of(e->own, "inherits"))))
        if (e == vague)
            return true;
    return false;
}

bool rh_profile_refines(const struct rh_profiles *all,
                        const struct rh_profile *p,
                        const struct rh_profile *general)
{
    for (unsigned depth = 0; p && depth < 16; depth++) {
        if (p == general)
            return true;
        p = p->parent ? rh_profile_named(all, p->parent) : NULL;
    }
    return false;
}

const struct rh_profile *rh_profile_match(const struct rh_profiles *all,
                                          const struct rh_vm *vm)
{
    const struct entry *said = entry_named(all, known_text(&vm->os_profile));
    const struct entry *found = NULL;
    char vmware[64] = "";
    struct question questions[] = {
        {.name = was_reported(vm) ? known_text(&vm->os_name) : NULL},
        {.vmware = known_text(&vm->os_vmware_id) ? vmware : NULL},
        {.has_cim = vm->os_ovf_id.kind == RH_VALUE_NUMBER,
         .cim = vm->os_ovf_id.number},
        {.name = known_text(&vm->os_name)},
        {.family = known_text(&vm->os_family)},
    };

    if (said)
        return &said->p;
    if (questions[1].vmware)
        plain_id(known_text(&vm->os_vmware_id), vmware);
    /* A later answer counts when it only says the same more exactly. */
    for (size_t i = 0; i < RH_COUNT(questions); i++) {
        const struct entry *e = ask(all, &questions[i]);

        if (e && (!found || refines(all, e, found)))
            found = e;
    }
    return found ? &found->p : rh_profile_named(all, "other");
}
