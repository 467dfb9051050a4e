/* fixes.c - disks and NICs keep working under the new hardware's names.
 *
 * UFS files are changed where they lie (backends/ufs_edit.c); what does not fit
 * there is told with the commands that do it at the console. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/bsd/bsd.h"

/* 0: written, or nothing to change; 1: it does not fit, and *ret_why says
 * why. */
static int try_put(struct rh_fix_job *j, const char *path, const char *text,
                   const char *what, char **ret_why, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    struct rh_guest_stat st;
    uint32_t mode = 0644;

    if (j->guest->ops->stat(j->guest, path, true, &st, NULL) == 0)
        mode = st.mode;
    if (rh_fix_put(j, path, text, strlen(text), mode, what, &fault) == 0)
        return 0;
    if (rh_error_number(fault) != RH_ERR_GUEST_IN_PLACE) {
        if (err && !*err)
            *err = RH_TAKE(fault);
        return -1;
    }
    *ret_why = rh_strdup(rh_error_message(fault));
    return 1;
}

/* --- disks
 * -------------------------------------------------------------------- */
static const char *const disk_files[] = {"/etc/fstab", "/boot/loader.conf",
                                         "/boot/loader.conf.local",
                                         "/etc/rc.conf", "/etc/rc.conf.local"};

static bool disks_move(const struct rh_bsd_disk *disks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (disks[i].before && disks[i].after &&
            strcmp(disks[i].before, disks[i].after))
            return true;
    return false;
}

static bool on_zfs(const struct rh_session *s)
{
    return s->guest && s->guest->root_volume < s->volumes.all.count &&
           s->volumes.all.items[s->guest->root_volume].zfs;
}

static void say_disk_by_hand(struct rh_fix_job *j, const char *path,
                             const struct rh_bsd_disk *disks, const char *why)
{
    RH_AUTO(rh_buf_free) struct rh_buf commands = {0};

    for (size_t i = 0; i < j->s->count; i++)
        if (disks[i].before && disks[i].after)
            rh_buf_printf(&commands, "%ss,/dev/%s,/dev/%s,",
                          commands.length ? "; " : "", disks[i].before,
                          disks[i].after);
    if (on_zfs(j->s)) /* the pool finds its disks itself: it starts */
        rh_finding_add(j->o->findings, RH_F_BSD_DISK_NAMES, "os",
                       N_("%s names disks that are called otherwise on the new "
                          "machine, and could not be changed (%s); at the "
                          "console: sed -i.old -e '%s' %s && reboot"),
                       path, why, commands.data ? commands.data : "", path);
    else
        rh_finding_add(
            j->o->findings, RH_F_BSD_DISK_NAMES, "os",
            N_("%s names disks that are called otherwise on the new "
               "machine, and could not be changed (%s); at the "
               "console, in single-user mode: mount -uw / && sed -i.old "
               "-e '%s' %s"),
            path, why, commands.data ? commands.data : "", path);
}

int rh_fix_bsd_disk_names(struct rh_fix_job *j, rh_error **err)
{
    struct rh_bsd *b = j->facts;
    struct rh_bsd_disk *disks = b->disks;
    int ret = RH_FIX_OK;

    if (!disks_move(disks, j->s->count))
        return RH_FIX_OK;
    for (size_t i = 0; i < RH_COUNT(disk_files); i++) {
        RH_AUTO(rh_freep)
        char *text = rh_guest_text(j->guest, disk_files[i], NULL);
        RH_AUTO(rh_freep) char *why = NULL;
        RH_AUTO(rh_freep)
        char *changed =
            text ? rh_bsd_swap_disks(text, disks, j->s->count) : NULL;
        int r;

        if (!changed)
            continue;
        r = try_put(j, disk_files[i], changed,
                    _("disks by the names of the new machine"), &why, err);
        if (r < 0)
            return -1;
        if (r == 0)
            continue;
        say_disk_by_hand(j, disk_files[i], disks, why);
        ret = RH_FIX_NOT_POSSIBLE;
    }
    return ret;
}

/* --- NICs
 * --------------------------------------------------------------------- */
struct renames {
    struct rh_swap *items;
    size_t count;
};

static void renames_free(struct renames *r)
{
    free(r->items);
}

/* What changes its name among the NICs that the configuration counts on. */
static struct renames renames_of(const struct rh_bsd *b)
{
    struct renames r = {rh_calloc(b->nics.count + 1, sizeof *r.items), 0};

    for (size_t i = 0; i < b->nics.count; i++) {
        const struct rh_bsd_nic *n = &b->nics.items[i];

        if (n->used && n->name && n->becomes && strcmp(n->name, n->becomes))
            r.items[r.count++] = (struct rh_swap){n->name, n->becomes};
    }
    return r;
}

static void say_by_hand(struct rh_fix_job *j, const struct rh_bsd *b,
                        const struct renames *r, const char *path,
                        const char *why)
{
    for (size_t i = 0; i < r->count; i++) {
        RH_AUTO(rh_freep) char *command = NULL;
        const struct rh_swap *s = &r->items[i];

        if (b->derivative)
            command = rh_printf("option 1 (Assign Interfaces) of the console's "
                                "menu: %s in the place of %s",
                                s->to, s->from);
        else if (b->system == RH_FREEBSD)
            command = rh_printf("sysrc ifconfig_%s_name=%s && reboot", s->to,
                                s->from);
        else if (b->system == RH_OPENBSD)
            command = rh_printf("mv /etc/hostname.%s /etc/hostname.%s && sh "
                                "/etc/netstart",
                                s->from, s->to);
        else
            command = rh_printf("sed -i 's/ifconfig_%s/ifconfig_%s/' "
                                "/etc/rc.conf && reboot",
                                s->from, s->to);
        rh_finding_add(j->o->findings, RH_F_BSD_NIC_NAMES, "os",
                       N_("%s is called %s on the new machine, and %s could "
                          "not be changed (%s); at the console: %s"),
                       s->from, s->to, path, why, command);
    }
}

/* Where the guest renames the old interface itself, it renames the new one. */
static char *with_renames_moved(const char *text, const struct renames *r)
{
    char *moved = rh_strdup(text);

    for (size_t i = 0; i < r->count; i++) {
        RH_AUTO(rh_freep)
        char *from = rh_printf("ifconfig_%s_name", r->items[i].from);
        RH_AUTO(rh_freep)
        char *to = rh_printf("ifconfig_%s_name", r->items[i].to);
        char *next = rh_bsd_swap_words(moved, &(struct rh_swap){from, to}, 1);

        if (!next)
            continue;
        free(moved);
        moved = next;
    }
    return moved;
}

/* FreeBSD: the new interface takes the old name; everything that knows the old
 * one (pf, jails, VLANs) stays as it is (rc.conf(5), ifconfig_<if>_name). */
static char *with_names(const char *text, const struct renames *r)
{
    RH_AUTO(rh_freep) char *moved = with_renames_moved(text, r);
    struct rh_buf b = {0};

    rh_buf_puts(&b, moved);
    if (b.length && b.data[b.length - 1] != '\n')
        rh_buf_putc(&b, '\n');
    for (size_t i = 0; i < r->count; i++) {
        RH_AUTO(rh_freep)
        char *key = rh_printf("ifconfig_%s_name=", r->items[i].to);

        if (!strstr(moved, key))
            rh_buf_printf(&b, "%s\"%s\"\n", key, r->items[i].from);
    }
    if (strcmp(b.data, text))
        return rh_buf_take(&b);
    rh_buf_free(&b);
    return NULL;
}

static int put_or_say(struct rh_fix_job *j, const struct rh_bsd *b,
                      const struct renames *r, const char *path,
                      const char *text, rh_error **err)
{
    RH_AUTO(rh_freep) char *why = NULL;
    int done = try_put(j, path, text, _("NICs keep their names"), &why, err);

    if (done != 1)
        return done;
    say_by_hand(j, b, r, path, why);
    return RH_FIX_NOT_POSSIBLE;
}

static int fix_freebsd(struct rh_fix_job *j, const struct rh_bsd *b,
                       const struct renames *r, rh_error **err)
{
    static const char path[] = "/etc/rc.conf";
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_freep) char *changed = text ? with_names(text, r) : NULL;

    if (!text) {
        if (err && *err)
            return -1;
        say_by_hand(j, b, r, path, _("it is not there"));
        return RH_FIX_NOT_POSSIBLE;
    }
    return changed ? put_or_say(j, b, r, path, changed, err) : RH_FIX_OK;
}

/* pfSense and OPNsense bind their interfaces in one file. */
static int fix_config_xml(struct rh_fix_job *j, const struct rh_bsd *b,
                          const struct renames *r, rh_error **err)
{
    static const char *const paths[] = {"/conf/config.xml",
                                        "/cf/conf/config.xml"};

    for (size_t i = 0; i < RH_COUNT(paths); i++) {
        RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, paths[i], NULL);
        RH_AUTO(rh_freep) char *changed = NULL;

        if (!text)
            continue;
        changed = rh_bsd_swap_words(text, r->items, r->count);
        return changed ? put_or_say(j, b, r, paths[i], changed, err)
                       : RH_FIX_OK;
    }
    say_by_hand(j, b, r, paths[0], _("it is not there"));
    return RH_FIX_NOT_POSSIBLE;
}

/* Files of OpenBSD and NetBSD that may name an interface. */
static const char *const named_in[] = {
    "/etc/pf.conf",       "/etc/npf.conf",   "/etc/rc.conf",
    "/etc/rc.conf.local", "/etc/dhcpd.conf", "/etc/dhcpd.interfaces",
    "/etc/rad.conf",      "/etc/ospfd.conf", "/etc/rtadvd.conf"};

static int swap_in(struct rh_fix_job *j, const struct rh_bsd *b,
                   const struct renames *r, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, NULL);
    RH_AUTO(rh_freep) char *changed = NULL;
    struct rh_swap *swaps;
    int done;

    if (!text)
        return RH_FIX_OK;
    /* rc.conf has the name within a word: ifconfig_vmx0. */
    swaps = rh_calloc(2 * r->count, sizeof *swaps);
    for (size_t i = 0; i < r->count; i++) {
        swaps[2 * i] = r->items[i];
        swaps[2 * i + 1] = (struct rh_swap){
            rh_arena_printf(b->arena, "ifconfig_%s", r->items[i].from),
            rh_arena_printf(b->arena, "ifconfig_%s", r->items[i].to)};
    }
    changed = rh_bsd_swap_words(text, swaps, 2 * r->count);
    free(swaps);
    done = changed ? put_or_say(j, b, r, path, changed, err) : RH_FIX_OK;
    return done;
}

/* /etc/hostname.vmx0 becomes /etc/hostname.vio0. */
static int rename_file(struct rh_fix_job *j, const struct rh_bsd *b,
                       const struct rh_swap *s, rh_error **err)
{
    const char *stem = b->system == RH_OPENBSD ? "hostname" : "ifconfig";
    RH_AUTO(rh_freep) char *from = rh_printf("/etc/%s.%s", stem, s->from);
    RH_AUTO(rh_freep) char *to = rh_printf("/etc/%s.%s", stem, s->to);
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    struct renames one = {(struct rh_swap *)s, 1};

    if (!rh_guest_exists(j->guest, from))
        return RH_FIX_OK;
    if (j->guest->ops->rename(j->guest, from, to, &fault) == 0) {
        rh_fix_note(j, from, _("named after the NIC of the new machine"),
                    rh_strdup(from), rh_strdup(to));
        return RH_FIX_OK;
    }
    if (rh_error_number(fault) != RH_ERR_GUEST_IN_PLACE) {
        if (err && !*err)
            *err = RH_TAKE(fault);
        return -1;
    }
    say_by_hand(j, b, &one, from, rh_error_message(fault));
    return RH_FIX_NOT_POSSIBLE;
}

/* Contents first: an interface's file may name another one. */
static int fix_by_files(struct rh_fix_job *j, const struct rh_bsd *b,
                        const struct renames *r, rh_error **err)
{
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(j->guest, "/etc");
    int worst = RH_FIX_OK, one;

    for (size_t i = 0; i < RH_COUNT(named_in); i++) {
        one = swap_in(j, b, r, named_in[i], err);
        if (one < 0)
            return -1;
        worst = RH_MAX(worst, one);
    }
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("/etc/%s", names[i]);

        if (strncmp(names[i], "hostname.", 9) &&
            strncmp(names[i], "ifconfig.", 9))
            continue;
        one = swap_in(j, b, r, path, err);
        if (one < 0)
            return -1;
        worst = RH_MAX(worst, one);
    }
    for (size_t i = 0; i < r->count; i++) {
        one = rename_file(j, b, &r->items[i], err);
        if (one < 0)
            return -1;
        worst = RH_MAX(worst, one);
    }
    return worst;
}

static void say_guesses(struct rh_fix_job *j, const struct rh_bsd *b)
{
    if (b->guessed)
        rh_finding_add(j->o->findings, RH_F_BSD_NIC_ORDER, "os",
                       N_("which NIC was which is taken from their order in "
                          "the package, because it gives no PCI slots"));
    for (size_t i = 0; i < b->unmatched.count; i++)
        rh_finding_add(j->o->findings, RH_F_BSD_NIC_UNKNOWN, "os",
                       N_("the configuration names the interface %s, which no "
                          "NIC of the VM had"),
                       b->unmatched.items[i]);
}

int rh_fix_bsd_nic_names(struct rh_fix_job *j, rh_error **err)
{
    struct rh_bsd *b = j->facts;
    RH_AUTO(renames_free) struct renames r = renames_of(b);

    say_guesses(j, b);
    if (!r.count)
        return RH_FIX_OK;
    if (b->derivative)
        return fix_config_xml(j, b, &r, err);
    return b->system == RH_FREEBSD ? fix_freebsd(j, b, &r, err)
                                   : fix_by_files(j, b, &r, err);
}

/* --- guests that are not opened
 * ----------------------------------------------- */
static const struct rh_zfs_label *pool_of(const struct rh_session *s)
{
    for (size_t i = 0; i < s->volumes.all.count; i++)
        if (s->volumes.all.items[i].zfs)
            return s->volumes.all.items[i].zfs;
    return NULL;
}

static void say_pool(struct rh_session *s, const struct rh_zfs_label *z)
{
    const char *why =
        s->closed_why ? s->closed_why : _("no system was found in it");

    if (z->members > 1)
        rh_finding_add(
            s->o->findings, RH_F_GUEST_ZFS, "os",
            N_("the system lies on the ZFS pool %s (version %llu, a %s of %u "
               "disks); its files are not read: %s"),
            z->pool, (unsigned long long)z->version, z->vdev, z->members, why);
    else
        rh_finding_add(s->o->findings, RH_F_GUEST_ZFS, "os",
                       N_("the system lies on the ZFS pool %s (version %llu, "
                          "one disk); its files are not read: %s"),
                       z->pool, (unsigned long long)z->version, why);
    if (z->bootfs)
        rh_finding_add(s->o->findings, RH_F_GUEST_ZFS, "os",
                       z->encrypted
                           ? N_("%s%s%s is what the pool starts from (its "
                                "property bootfs); ZFS has encrypted it")
                           : N_("%s%s%s is what the pool starts from (its "
                                "property bootfs)"),
                       z->pool, *z->bootfs ? "/" : "", z->bootfs);
}

static void say_nic_steps(struct rh_session *s, struct rh_bsd *b)
{
    for (size_t i = 0; i < b->nics.count; i++) {
        const char *from = b->nics.items[i].name;
        const char *to = b->nics.items[i].becomes;

        if (!from || !to || !strcmp(from, to))
            continue;
        if (b->system == RH_FREEBSD)
            rh_finding_add(
                s->o->findings, RH_F_BSD_NIC_NAMES, "os",
                N_("the NIC %s is called %s on the new machine; at the "
                   "console: sysrc ifconfig_%s_name=%s && reboot (pfSense and "
                   "OPNsense: assign the interfaces in the console's menu)"),
                from, to, to, from);
        else
            rh_finding_add(
                s->o->findings, RH_F_BSD_NIC_NAMES, "os",
                N_("the NIC %s is called %s on the new machine; the files "
                   "that name it have to be changed at the console"),
                from, to);
    }
}

void rh_bsd_advise(struct rh_session *s, enum rh_bsd_system system)
{
    const struct rh_zfs_label *pool = pool_of(s);
    struct rh_bsd b = {.system = system, .arena = rh_arena_new()};

    if (pool)
        say_pool(s, pool);
    else
        rh_finding_add(s->o->findings, RH_F_GUEST_OS_LEFT, "os",
                       N_("the guest is %s; nothing in it is changed"),
                       rh_bsd_names[system]);
    if (s->o->vm && s->o->machine) {
        rh_bsd_name_nics(&b, s->o->vm, s->o->machine);
        if (system == RH_SOLARIS)
            rh_solaris_advise(s, &b, false);
        else
            say_nic_steps(s, &b);
    }
    free(b.nics.items);
    rh_arena_free(b.arena);
}
