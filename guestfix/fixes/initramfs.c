/* initramfs.c - the drivers the new machine boots with, in every kernel's
 * initramfs.
 *
 * Nothing of the guest is run.  A small archive with the guest's own modules is
 * appended, only where one is missing; the image as it was stays beside it
 * when there is room.  The module path is the archive's own, and the guest's
 * whole indexes go along: modprobe and udev inside read those. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "guestfix/engine.h"

#define INDEX_MAX  (64 * RH_MIB)
#define MODULE_MAX (64 * RH_MIB)
#define IMAGE_MAX  (512 * RH_MIB)
#define SPARE      (2 * RH_MIB) /* left free in /boot */

/* What a kernel offers. */
struct modules {
    char *folder;  /* "/lib/modules/6.1.0-18-amd64" */
    char *dep;     /* modules.dep */
    char *builtin; /* modules.builtin */
};

/* What is to be added: names as wanted, files relative to the folder. */
struct addition {
    RH_VEC(const char *) names;
    RH_VEC(char *) files;
    RH_VEC(const char *) unavailable; /* needed, and nowhere */
    bool needed;                      /* a driver of the boot disk is missing */
};

static void modules_free(struct modules *m)
{
    free(m->folder);
    free(m->dep);
    free(m->builtin);
}

static void addition_free(struct addition *a)
{
    for (size_t i = 0; i < a->files.count; i++)
        free(a->files.items[i]);
    free(a->files.items);
    free(a->names.items);
    free(a->unavailable.items);
}

static char *read_index(struct rh_guest *g, const char *folder,
                        const char *name)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);
    void *bytes;
    size_t n;

    if (g->ops->read(g, path, INDEX_MAX, &bytes, &n, NULL) < 0)
        return NULL;
    return bytes;
}

static void open_modules(struct rh_guest *g, const char *version,
                         struct modules *ret)
{
    ret->folder = rh_printf("/lib/modules/%s", version);
    ret->dep = read_index(g, ret->folder, "modules.dep");
    ret->builtin = read_index(g, ret->folder, "modules.builtin");
}

/* The line of an index whose first path is the module's; NULL: none. */
static const char *line_of(const char *index, const char *module)
{
    char want[64], name[64], path[512];

    rh_module_name(module, want);
    for (const char *p = index; p && *p;) {
        size_t n = strcspn(p, ":\n");

        if (n < sizeof path) {
            memcpy(path, p, n);
            path[n] = '\0';
            rh_module_name(path, name);
            if (!strcmp(name, want))
                return p;
        }
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
    return NULL;
}

/* Paths come from the guest: only clean relative ones are used. */
static bool clean_path(const char *path)
{
    return *path && *path != '/' && !strstr(path, "..") && strlen(path) < 400;
}

static void add_file(struct addition *a, const char *path, size_t n)
{
    char *copy = rh_strndup(path, n);

    for (size_t i = 0; i < a->files.count; i++)
        if (!strcmp(a->files.items[i], copy)) {
            free(copy);
            return;
        }
    if (clean_path(copy))
        *rh_vec_add(&a->files) = copy;
    else
        free(copy);
}

/* A module and, in front of it, all that it depends on. */
static void add_with_dependencies(struct addition *a, const char *line,
                                  const struct rh_initramfs *have)
{
    const char *words[128];
    size_t lengths[128], count = 0;

    while (*line && *line != '\n' && count < RH_COUNT(words)) {
        size_t n = strcspn(line, " :\n");

        if (n) {
            words[count] = line;
            lengths[count++] = n;
        }
        line += n;
        line += strspn(line, " :");
    }
    while (count--) {
        RH_AUTO(rh_freep) char *path = rh_strndup(words[count], lengths[count]);

        if (!rh_initramfs_has(have, path))
            add_file(a, words[count], lengths[count]);
    }
}

static void want(struct addition *a, const struct modules *m,
                 const struct rh_kernel *k, const char *module, bool needed)
{
    const char *line;

    for (size_t i = 0; i < a->names.count; i++)
        if (!strcmp(a->names.items[i], module)) {
            a->needed |= needed;
            return;
        }
    if (line_of(m->builtin, module) || rh_initramfs_has(&k->content, module))
        return;
    line = line_of(m->dep, module);
    if (!line) {
        if (needed)
            *rh_vec_add(&a->unavailable) = module;
        return;
    }
    a->needed |= needed;
    *rh_vec_add(&a->names) = module;
    add_with_dependencies(a, line, &k->content);
}

/* The profile's lists: `boot` by disk, `also` by NIC and choice of devices. */
static void wanted_list(struct addition *a, const struct modules *m,
                        const struct rh_kernel *k, json_t *list, bool needed)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (json_is_string(item))
            want(a, m, k, json_string_value(item), needed);
}

static void plan_kernel(struct rh_fix_job *j, const struct rh_kernel *k,
                        const struct modules *m, struct addition *ret)
{
    const struct rh_machine *to = j->o->machine;
    json_t *boot = json_object_get(j->arguments, "boot");
    json_t *also = json_object_get(j->arguments, "also");
    bool xen = !strcmp(to->model, "xen");

    wanted_list(ret, m, k, json_object_get(boot, to->disk ? to->disk : ""),
                true);
    wanted_list(ret, m, k, json_object_get(also, to->nic ? to->nic : ""),
                false);
    if (to->devices && !(xen && !strcmp(to->devices, "virtio")))
        wanted_list(ret, m, k, json_object_get(also, to->devices), false);
    /* A Xen host unplugs the emulated disks for any kernel that knows it. */
    if (xen) {
        wanted_list(ret, m, k, json_object_get(boot, "xen"), true);
        wanted_list(ret, m, k, json_object_get(also, "xen"), false);
    }
}

static char *joined(const char *const *words, size_t n, const char *between)
{
    struct rh_buf b = {0};

    for (size_t i = 0; i < n; i++)
        rh_buf_printf(&b, "%s%s", i ? between : "", words[i]);
    return rh_buf_take(&b);
}

/* --- the segment
 * ------------------------------------------------------------------- */
static bool is_index(const char *name)
{
    return !strncmp(name, "modules.", 8) &&
           strncmp(name, "modules.symbols", 15);
}

static int put_file(struct rh_guest *g, struct rh_segment *s, const char *from,
                    const char *to, rh_error **err)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    size_t n;

    if (g->ops->read(g, from, MODULE_MAX, &bytes, &n, err) < 0)
        return -1;
    rh_segment_file(s, to, bytes, n, 0644);
    return 0;
}

static int put_modules(struct rh_fix_job *j, const struct rh_kernel *k,
                       const struct modules *m, const struct addition *a,
                       struct rh_segment *s, rh_error **err)
{
    const char *at = k->content.modules_at    ? k->content.modules_at
                     : k->content.lib_is_link ? "usr/lib/modules"
                                              : "lib/modules";
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(j->guest, m->folder);

    for (size_t i = 0; i < a->files.count; i++) {
        RH_AUTO(rh_freep)
        char *from = rh_printf("%s/%s", m->folder, a->files.items[i]);
        RH_AUTO(rh_freep)
        char *to = rh_printf("%s/%s/%s", at, k->version, a->files.items[i]);

        if (put_file(j->guest, s, from, to, err) < 0)
            return -1;
    }
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *from = rh_printf("%s/%s", m->folder, names[i]);
        RH_AUTO(rh_freep)
        char *to = rh_printf("%s/%s/%s", at, k->version, names[i]);
        struct rh_guest_stat st;

        if (!is_index(names[i]) ||
            j->guest->ops->stat(j->guest, from, true, &st, NULL) < 0 ||
            st.type != 'f')
            continue;
        if (put_file(j->guest, s, from, to, err) < 0)
            return -1;
    }
    return 0;
}

/* The whole old list and the new names, each once. */
static void put_conf_modules(const struct rh_kernel *k,
                             const struct addition *a, struct rh_segment *s)
{
    struct rh_buf b = {0};
    const char *old = k->content.conf_modules ? k->content.conf_modules : "";

    rh_buf_puts(&b, old);
    if (b.length && b.data[b.length - 1] != '\n')
        rh_buf_putc(&b, '\n');
    for (size_t i = 0; i < a->names.count; i++)
        rh_buf_printf(&b, "%s\n", a->names.items[i]);
    rh_segment_file(s, "conf/modules", b.data ? b.data : "", b.length, 0644);
    rh_buf_free(&b);
}

static int fill_segment(struct rh_fix_job *j, const struct rh_kernel *k,
                        const struct modules *m, const struct addition *a,
                        struct rh_segment *s, rh_error **err)
{
    static const char resume_path[] = "/etc/initramfs-tools/conf.d/resume";
    static const char gone[] =
        "# The device of the old machine is not waited for.\ntrue\n";

    if (k->content.kind == RH_INITRAMFS_TOOLS) {
        RH_AUTO(rh_freep)
        char *resume = rh_guest_text(j->guest, resume_path, NULL);

        put_conf_modules(k, a, s);
        if (resume)
            rh_segment_file(s, "conf/conf.d/resume", resume, strlen(resume),
                            0644);
    }
    for (size_t i = 0; i < k->content.waits.count; i++)
        rh_segment_file(s, k->content.waits.items[i], gone, sizeof gone - 1,
                        0755);
    return put_modules(j, k, m, a, s, err);
}

/* --- into the image
 * ------------------------------------------------------------------- */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash > path ? rh_strndup(path, (size_t)(slash - path))
                        : rh_strdup("/");
}

/* The file itself, where the name is a link (Arch, "initrd.img -> ..."). */
static char *kept_name(const char *path)
{
    return rh_printf("%s.pre-rehost", path);
}

static void say_full(struct rh_fix_job *j, const struct rh_kernel *k,
                     uint64_t need)
{
    RH_AUTO(rh_freep) char *size = rh_human_size(need);
    RH_AUTO(rh_freep) char *folder = folder_of(k->initramfs);

    rh_find(j->o->findings, RH_F_GUEST_BOOT_FULL, "os",
            N_("%s needs %s more to hold the drivers of kernel %s"), folder,
            size, k->version);
}

/* Keep the old one beside it when both fit; put the new one in its place. */
static int replace_image(struct rh_fix_job *j, const struct rh_kernel *k,
                         const struct rh_guest_stat *old,
                         const struct rh_buf *image, const char *old_sum,
                         rh_error **err)
{
    RH_AUTO(rh_freep) char *kept = kept_name(k->initramfs);
    RH_AUTO(rh_freep) char *folder = folder_of(k->initramfs);
    RH_AUTO(rh_freep) void *label = NULL;
    struct rh_guest *g = j->guest;
    uint64_t room;
    size_t n = 0;

    if (g->ops->free_space(g, folder, &room, err) < 0)
        return -1;
    if (g->ops->get_xattr(g, k->initramfs, "security.selinux", &label, &n,
                          NULL) < 0)
        label = NULL;
    if (room >= image->length + SPARE && !rh_guest_exists(g, kept)) {
        if (g->ops->rename(g, k->initramfs, kept, err) < 0)
            return -1;
        rh_fix_note(j, kept, _("the initramfs as it was"), NULL,
                    rh_printf("sha256:%s", old_sum));
    } else if (room >= image->length - old->size + SPARE) {
        if (g->ops->remove(g, k->initramfs, err) < 0)
            return -1;
    } else {
        say_full(j, k, image->length - old->size + SPARE - room);
        return 1;
    }
    if (g->ops->write(g, k->initramfs, image->data, image->length, old->mode,
                      err) < 0)
        return -1;
    return label ? g->ops->set_xattr(g, k->initramfs, "security.selinux", label,
                                     n, err)
                 : 0;
}

static void say_added(struct rh_fix_job *j, const struct rh_kernel *k,
                      const struct addition *a)
{
    RH_AUTO(rh_freep)
    char *names = joined(a->names.items, a->names.count, " ");

    rh_find(j->o->findings, RH_F_BOOT_DRIVER_MISSING, "os",
            N_("the initramfs of kernel %s lacks %s; added from the guest's "
               "own modules"),
            k->version, names);
}

static int append(struct rh_fix_job *j, const struct rh_kernel *k,
                  struct rh_segment *s, const struct addition *a,
                  rh_error **err)
{
    struct rh_guest *g = j->guest;
    RH_AUTO(rh_buf_free) struct rh_buf image = {0};
    RH_AUTO(rh_freep) void *old = NULL;
    RH_AUTO(rh_freep) char *names = joined(a->names.items, a->names.count, " ");
    RH_AUTO(rh_freep) char *what = NULL;
    struct rh_guest_stat st;
    char before[65], after[65];
    size_t n;
    int r;

    if (g->ops->stat(g, k->initramfs, true, &st, err) < 0 ||
        g->ops->read(g, k->initramfs, IMAGE_MAX, &old, &n, err) < 0)
        return -1;
    /* A segment of an earlier run is replaced by one that holds more. */
    rh_buf_add(&image, old, RH_MIN(n, k->content.main_end));
    if (rh_segment_finish(s, &k->content, &image, err) < 0)
        return -1;
    rh_sha256_hex(old, n, before);
    r = replace_image(j, k, &st, &image, before, err);
    if (r)
        return r < 0 ? -1 : 0;
    rh_sha256_hex(image.data, image.length, after);
    what =
        rh_printf(_("add %s to the initramfs of kernel %s"), names, k->version);
    rh_fix_note(j, k->initramfs, what, rh_printf("sha256:%s", before),
                rh_printf("sha256:%s", after));
    say_added(j, k, a);
    return 0;
}

/* --- what cannot be done
 * --------------------------------------------------------------- */
static struct rh_finding *say_missing(struct rh_fix_job *j,
                                      const struct rh_kernel *k,
                                      const char *names, const char *why)
{
    struct rh_finding *f =
        rh_find(j->o->findings, RH_F_BOOT_DRIVER_MISSING, "os",
                N_("kernel %s lacks %s: %s"), k->version, names, why);

    if (f) {
        f->automatic = false;
        free(f->remedy);
        f->remedy = rh_strdup(_("choose other --devices, or install the "
                                "driver in the running VM and export again"));
    }
    return f;
}

static bool extendable(const struct rh_kernel *k)
{
    switch (k->content.kind) {
    case RH_INITRAMFS_TOOLS:
    case RH_INITRAMFS_DRACUT:
    case RH_INITRAMFS_MKINITCPIO:
    case RH_INITRAMFS_MKINITFS:
        return true;
    default:
        return false;
    }
}

/* True when there is nothing to append, having said why. */
static bool hopeless(struct rh_fix_job *j, const struct rh_kernel *k,
                     const struct addition *a)
{
    RH_AUTO(rh_freep)
    char *lost = joined(a->unavailable.items, a->unavailable.count, " ");
    RH_AUTO(rh_freep)
    char *names = joined(a->names.items, a->names.count, " ");

    if (a->unavailable.count)
        say_missing(j, k, lost, _("the guest has no such module"));
    if (!a->needed)
        return true;
    if (!k->initramfs) {
        say_missing(j, k, names, _("it starts without an initramfs"));
        return true;
    }
    if (k->unknown || !extendable(k)) {
        rh_find(j->o->findings, RH_F_GUEST_INITRAMFS_UNKNOWN, "os",
                N_("%s is of a kind that cannot be added to (%s); it lacks %s"),
                k->initramfs, rh_initramfs_kind_name(k->content.kind), names);
        return true;
    }
    return false;
}

static int fix_kernel(struct rh_fix_job *j, const struct rh_kernel *k,
                      rh_error **err)
{
    RH_AUTO(modules_free) struct modules m = {0};
    RH_AUTO(addition_free) struct addition a = {0};
    struct rh_segment s = {0};
    int r;

    open_modules(j->guest, k->version, &m);
    plan_kernel(j, k, &m, &a);
    if (hopeless(j, k, &a))
        return 0;
    r = fill_segment(j, k, &m, &a, &s, err);
    if (r == 0)
        r = append(j, k, &s, &a, err);
    rh_segment_free(&s);
    return r;
}

int rh_fix_initramfs_drivers(struct rh_fix_job *j, rh_error **err)
{
    if (j->os->uki)
        rh_find(j->o->findings, RH_F_GUEST_UKI, "os",
                N_("the guest starts from a unified kernel image; the drivers "
                   "in it cannot be added to"));
    for (size_t i = 0; i < j->os->kernels.count; i++) {
        if (rh_go_on(j->o->lib, err) < 0 ||
            fix_kernel(j, &j->os->kernels.items[i], err) < 0)
            return -1;
    }
    return 0;
}

/* --- the guest's own next rebuild
 * --------------------------------------------------------- */
/* Names that every kernel with something missing has as a module. */
static void collect(struct rh_fix_job *j, struct addition *ret)
{
    for (size_t i = 0; i < j->os->kernels.count; i++) {
        const struct rh_kernel *k = &j->os->kernels.items[i];
        RH_AUTO(modules_free) struct modules m = {0};
        RH_AUTO(addition_free) struct addition a = {0};

        open_modules(j->guest, k->version, &m);
        plan_kernel(j, k, &m, &a);
        if (!a.needed)
            continue;
        for (size_t n = 0; n < a.names.count; n++) {
            bool known = false;

            for (size_t x = 0; x < ret->names.count; x++)
                known |= !strcmp(ret->names.items[x], a.names.items[n]);
            if (!known)
                *rh_vec_add(&ret->names) = a.names.items[n];
        }
    }
}

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);

    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (!strncmp(p, line, n) && (!p[n] || strchr("\n \t", p[n])))
            return true;
    }
    return false;
}

static int config_tools(struct rh_fix_job *j, const struct addition *a,
                        rh_error **err)
{
    static const char path[] = "/etc/initramfs-tools/modules";
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    if (text)
        rh_buf_puts(&b, text);
    if (b.length && b.data[b.length - 1] != '\n')
        rh_buf_putc(&b, '\n');
    for (size_t i = 0; i < a->names.count; i++)
        if (!has_line(text, a->names.items[i]))
            rh_buf_printf(&b, "%s\n", a->names.items[i]);
    return rh_fix_put(j, path, b.data, b.length, 0644,
                      _("keep the new machine's drivers when update-initramfs "
                        "runs"),
                      err);
}

static int config_dracut(struct rh_fix_job *j, const struct addition *a,
                         rh_error **err)
{
    RH_AUTO(rh_freep) char *names = joined(a->names.items, a->names.count, " ");
    RH_AUTO(rh_freep)
    char *text =
        rh_printf("# Drivers of the machine this system was moved to.\n"
                  "add_drivers+=\" %s \"\n",
                  names);

    return rh_fix_put(
        j, "/etc/dracut.conf.d/50-rehost.conf", text, strlen(text), 0644,
        _("keep the new machine's drivers when dracut runs"), err);
}

/* `LIST=(a b)` or `LIST="a b"`: put what is missing before the end. */
static char *extend_list(const char *text, const char *name, char end,
                         const struct addition *a)
{
    RH_AUTO(rh_freep) char *names = joined(a->names.items, a->names.count, " ");
    RH_AUTO(rh_freep)
    char *head = rh_printf("%s=%c", name, end == ')' ? '(' : end);
    size_t n = strlen(head);

    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        const char *stop;

        p += *p == '\n';
        if (strncmp(p, head, n))
            continue;
        stop = memchr(p + n, end, strcspn(p + n, "\n"));
        if (!stop || strstr(p + n, names))
            return NULL;
        return rh_printf("%.*s%s%s%s", (int)(stop - text), text,
                         stop == p + n ? "" : " ", names, stop);
    }
    return NULL;
}

static int config_list(struct rh_fix_job *j, const char *path, const char *name,
                       char end, const struct addition *a, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_freep)
    char *after = text ? extend_list(text, name, end, a) : NULL;

    if (!after)
        return 0;
    return rh_fix_put(j, path, after, strlen(after), 0644,
                      _("keep the new machine's drivers when the initramfs is "
                        "rebuilt"),
                      err);
}

/* Alpine: a feature is a list of paths below the modules' folder. */
static int config_mkinitfs(struct rh_fix_job *j, const struct addition *a,
                           rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    struct addition feature = {0};
    int r;

    for (size_t i = 0; i < a->names.count; i++) {
        char name[64];

        rh_module_name(a->names.items[i], name);
        for (char *p = name; *p; p++)
            if (*p == '_')
                *p = '?';
        rh_buf_printf(&b, "kernel/**/%s.ko*\n", name);
    }
    if (j->guest->ops->make_dir(j->guest, "/etc/mkinitfs/features.d", 0755,
                                err) < 0)
        return -1;
    *rh_vec_add(&feature.names) = "rehost";
    r = rh_fix_put(j, "/etc/mkinitfs/features.d/rehost.modules", b.data,
                   b.length, 0644,
                   _("keep the new machine's drivers when mkinitfs runs"), err);
    if (r == 0)
        r = config_list(j, "/etc/mkinitfs/mkinitfs.conf", "features", '"',
                        &feature, err);
    free(feature.names.items);
    return r;
}

int rh_fix_initramfs_config(struct rh_fix_job *j, rh_error **err)
{
    RH_AUTO(addition_free) struct addition a = {0};
    struct rh_guest *g = j->guest;

    collect(j, &a);
    if (!a.names.count)
        return 0;
    if (rh_guest_is_dir(g, "/etc/initramfs-tools") &&
        config_tools(j, &a, err) < 0)
        return -1;
    if (rh_guest_is_dir(g, "/etc/dracut.conf.d") &&
        config_dracut(j, &a, err) < 0)
        return -1;
    if (config_list(j, "/etc/mkinitcpio.conf", "MODULES", ')', &a, err) < 0 ||
        config_list(j, "/etc/sysconfig/kernel", "INITRD_MODULES", '"', &a,
                    err) < 0)
        return -1;
    if (rh_guest_exists(g, "/etc/mkinitfs/mkinitfs.conf"))
        return config_mkinitfs(j, &a, err);
    return 0;
}
