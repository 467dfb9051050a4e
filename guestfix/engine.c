/* engine.c - look into a guest, tell what is there, fix what the new machine
 * needs.
 *
 * Opening and detection are the same for looking and for fixing; a report runs
 * the fixes too, on overlays that are thrown away. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/engine.h"

#include <stdlib.h>
#include <string.h>

#include "guestfix/backends/backends.h"

/* --- facts
 * ---------------------------------------------------------------------------
 */
/* What the guest says beats a profile's guess and what was reported of it, and
 * gives way to the package. */
static void offer(struct rh_session *s, struct rh_value *v, const char *text,
                  const char *where)
{
    struct rh_value found = {
        .kind = RH_VALUE_TEXT, .from = RH_FROM_GUEST, .detail = where};

    if (!text || !rh_valid_utf8(text, strlen(text)))
        return;
    found.text = text;
    if (v->detail && !strcmp(v->detail, RH_REPORTED))
        *v = (struct rh_value){0};
    rh_vm_offer(s->o->vm, v, &found);
}

/* What the package alone says; NULL: nothing, or nothing definite. */
static const struct rh_profile *said_by_package(const struct rh_session *s)
{
    struct rh_vm words = *s->o->vm; /* borrowed, but for what was found */
    const struct rh_profile *p;

    words.os_profile = words.os_family = words.os_version =
        (struct rh_value){0};
    if (words.os_name.from == RH_FROM_GUEST)
        words.os_name = (struct rh_value){0};
    p = rh_profile_match(s->o->profiles, &words);
    return p && strcmp(p->id, "other") ? p : NULL;
}

/* The disks have the last word; another family in the package may mean that the
 * disks are not this VM's. */
static void tell_conflict(struct rh_session *s)
{
    const struct rh_profile *said = said_by_package(s);
    struct rh_finding *f;

    if (!said || !s->profile || s->o->vm->os_profile.from == RH_FROM_SET ||
        rh_profile_refines(s->o->profiles, s->profile, said) ||
        rh_profile_refines(s->o->profiles, said, s->profile))
        return;
    f = rh_finding_add(s->o->findings, RH_F_GUEST_OS_CONFLICT, "os",
                       N_("the package says that this is %s, its disks hold "
                          "%s; what the disks hold counts"),
                       said->id, s->profile->id);
    if (f && !strcmp(said->family, s->profile->family))
        f->severity = RH_SEVERITY_INFO;
}

static void tell_os(struct rh_session *s)
{
    const struct rh_system *sys = &s->system;
    struct rh_vm *vm = s->o->vm;

    if (s->guest)
        s->profile = rh_profile_for_guest(s->o->profiles,
                                          sys->id ? sys->id : "", sys->version);
    if (!s->profile && s->family_name)
        s->profile = rh_profile_named(s->o->profiles, s->family_name);
    if (!vm || !s->family_name)
        return;
    if (s->guest)
        tell_conflict(s);
    if (s->profile && s->guest)
        offer(s, &vm->os_profile, s->profile->id, NULL);
    offer(s, &vm->os_family, s->family_name, NULL);
    offer(s, &vm->os_version, sys->version, NULL);
    offer(s, &vm->os_name, sys->name, NULL);
    offer(s, &vm->hostname, sys->hostname, NULL);
    offer(s, &vm->clock, sys->clock, sys->clock_where);
    offer(s, &vm->timezone, sys->timezone, "/etc/localtime");
    /* The last word (--set) counts for the fixes, too. */
    if (vm->os_profile.kind == RH_VALUE_TEXT) {
        const struct rh_profile *said =
            rh_profile_named(s->o->profiles, vm->os_profile.text);

        s->profile = said ? said : s->profile;
    }
}

static json_t *text(const char *t)
{
    RH_AUTO(rh_freep) char *safe = t ? rh_printable(t) : NULL;

    return safe ? json_string(safe) : json_null();
}

static json_t *volumes_json(const struct rh_session *s)
{
    json_t *all = json_array();

    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        json_array_append_new(
            all, json_pack("{s:o, s:I, s:I, s:o, s:o, s:o, s:b}", "device",
                           text(v->device), "disk", (json_int_t)v->disk,
                           "bytes", (json_int_t)rh_volume_bytes(v),
                           "filesystem", text(v->fstype), "uuid", text(v->uuid),
                           "label", text(v->label), "root",
                           s->guest && s->guest->root_volume == i));
    }
    return all;
}

static void tell_facts(struct rh_session *s, struct rh_guest_facts *ret)
{
    ret->backend = rh_strdup(!s->guest      ? "none"
                             : s->appliance ? "libguestfs"
                                            : s->guest->ops->backend);
    ret->json = s->guest ? s->family->facts_json(s->facts)
                         : json_pack("{s:o}", "family", text(s->family_name));
    json_object_set_new(ret->json, "backend", json_string(ret->backend));
    json_object_set_new(ret->json, "profile",
                        s->profile ? json_string(s->profile->id) : json_null());
    json_object_set_new(ret->json, "volumes", volumes_json(s));
}

bool rh_guest_starts_on(const struct rh_guest_facts *f, const char *disk,
                        const char **ret_why)
{
    static const struct {
        const char *word, *why;
    } reasons[] = {
        {"staged", N_("its driver lies ready but was never installed")},
        {"no-file", N_("its driver's file is not there")},
        {"no-driver", N_("it has no driver for it")},
    };
    const char *word = json_string_value(
        json_object_get(json_object_get(f->json, "starts_on"), disk));

    for (size_t i = 0; word && i < RH_COUNT(reasons); i++)
        if (!strcmp(word, reasons[i].word)) {
            *ret_why = _(reasons[i].why);
            return false;
        }
    return true;
}

void rh_guest_facts_free(struct rh_guest_facts *f)
{
    json_decref(f->json);
    free(f->backend);
    memset(f, 0, sizeof *f);
}

/* --- opening
 * ---------------------------------------------------------------------------
 */
static void say_sleeping(struct rh_session *s)
{
    for (size_t i = 0; i < s->volumes.all.count; i++)
        if (s->volumes.all.items[i].hibernated)
            rh_finding_add(
                s->o->findings, RH_F_GUEST_HIBERNATED, "os",
                N_("the system is suspended to disk on %s; what it had "
                   "open does not fit other hardware"),
                s->volumes.all.items[i].device);
}

static bool family_advises(struct rh_session *s)
{
    for (size_t i = 0; s->family_name && rh_families[i]; i++)
        if (rh_families[i]->advise &&
            !strcmp(rh_families[i]->name, s->family_name)) {
            rh_families[i]->advise(s);
            return true;
        }
    return false;
}

/* Known by its volumes alone, and nothing in it is to be changed. */
static bool find_shipped(struct rh_session *s, bool *ret_certain)
{
    for (size_t i = 0; rh_families[i]; i++) {
        const char *name =
            rh_families[i]->shipped
                ? rh_families[i]->shipped(&s->volumes, ret_certain)
                : NULL;

        if (!name)
            continue;
        s->shipped = name;
        s->shipped_family = rh_families[i]->name;
        return true;
    }
    return false;
}

static void say_shipped(struct rh_session *s)
{
    s->family_name = s->shipped_family;
    s->system.name = s->shipped;
    rh_finding_add(
        s->o->findings, RH_F_GUEST_IMMUTABLE, "os",
        N_("the disks hold %s, which is shipped as a whole and known "
           "by its partitions; nothing in it is changed, and whether "
           "it has the drivers is not seen"),
        s->shipped);
}

/* FreeBSD's own: the family tells the rest. */
static void say_geli(struct rh_session *s)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        if (v->fstype && !strcmp(v->fstype, "geli"))
            rh_finding_add(s->o->findings, RH_F_GUEST_ENCRYPTED, "os",
                           N_("the volume %s is encrypted (GELI); it is copied "
                              "as it is, and what is in it is not seen"),
                           v->device);
    }
}

static void say_unreadable(struct rh_session *s, const char *why)
{
    say_geli(s);
    if (s->shipped)
        say_shipped(s);
    else if (rh_volumes_have(&s->volumes, "crypto_LUKS"))
        rh_finding_add(
            s->o->findings, RH_F_GUEST_ENCRYPTED, "os",
            N_("a volume is encrypted (LUKS) and could not be opened; it "
               "is copied as it is"));
    else if (why)
        rh_finding_add(s->o->findings, RH_F_GUEST_UNREADABLE, "os",
                       N_("the guest could not be read: %s"), why);
    else if (family_advises(s))
        ;
    else if (s->family_name)
        rh_finding_add(s->o->findings, RH_F_GUEST_OS_LEFT, "os",
                       N_("the guest is %s; nothing in it is changed"),
                       s->family_name);
    else
        rh_finding_add(s->o->findings, RH_F_GUEST_UNREADABLE, "os",
                       N_("no system that is known was found on the disks"));
}

static bool any_probes(const struct rh_session *s, const struct rh_backend *b)
{
    for (size_t i = 0; i < s->volumes.all.count; i++)
        if (b->probe(s, &s->volumes.all.items[i]))
            return true;
    return false;
}

/* Back ends that open the guest as a whole, where the volumes one by one did
 * not do.  A failure is the reason why it could not be read. */
static int open_whole(struct rh_session *s, const char **ret_why,
                      rh_error **fault)
{
    for (const struct rh_backend *b = rh_backends; b->name && !s->guest; b++) {
        rh_error_drop(fault);
        if (!b->open_guest || s->o->no_appliance || !any_probes(s, b) ||
            b->open_guest(s, ret_why, fault) == 0)
            continue;
        if (rh_error_number(*fault) == RH_ERR_CANCELLED)
            return -1;
        *ret_why = rh_error_message(*fault);
    }
    return 0;
}

static int say_all(struct rh_session *s, const char *why)
{
    if (!s->guest)
        say_unreadable(s, why);
    else
        s->family_name = s->family->name;
    for (size_t i = 0; rh_families[i]; i++)
        if (rh_families[i]->volumes)
            rh_families[i]->volumes(s);
    return 0;
}

static int open_guest(struct rh_session *s, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    const char *why = NULL;
    /* Looking may have made it readable in-process, by a journal's replay; but
     * there is one way for both. */
    bool kept = s->o->appliance && *s->o->appliance &&
                rh_appliance_is_whole(*s->o->appliance);
    bool sealed = false;

    if (rh_volumes_find(s->disks, s->o->vm, &s->volumes, err) < 0)
        return -1;
    say_sleeping(s);
    s->family_name = rh_family_hint(s);
    if (find_shipped(s, &sealed) && sealed)
        return say_all(s, NULL);
    if (!kept && rh_open_direct(s, &why, err) < 0)
        return -1;
    if (!s->guest && open_whole(s, &why, &fault) < 0) {
        *err = RH_TAKE(fault);
        return -1;
    }
    return say_all(s, why);
}

static int look(struct rh_session *s, rh_error **err)
{
    if (s->guest && s->family->detect(s, &s->facts, &s->system, err) < 0)
        return -1;
    tell_os(s);
    return 0;
}

static void session_free(struct rh_session *s)
{
    if (s->facts)
        s->family->facts_free(s->facts);
    if (s->guest)
        s->guest->ops->close(s->guest);
    rh_appliance_leave(s);
    rh_volumes_free(&s->volumes);
    rh_disks_free(s->disks);
    free(s->closed_why);
}

/* A guest whose structures are broken is a finding; only what is not the
 * guest's fault is an error. */
static bool is_guests_fault(const rh_error *e)
{
    switch (rh_error_number(e)) {
    case RH_ERR_GUEST_DAMAGED:
    case RH_ERR_GUEST_APPLIANCE:
    case RH_ERR_FILE_TYPE:
        return true;
    default:
        return false;
    }
}

/* Cancelling ends the appliance, whose every answer is a failure then. */
static int stopped(struct rh_session *s, int r, rh_error **fault)
{
    rh_error *why = NULL;

    if (r == 0 || rh_go_on(s->o->lib, &why) == 0)
        return r;
    rh_error_free(*fault);
    *fault = why;
    return -1;
}

static int run(struct rh_session *s, struct rh_guest_facts *ret, rh_error **err)
{
    rh_error *fault = NULL;
    int r = open_guest(s, &fault);

    if (r == 0)
        r = look(s, &fault);
    r = stopped(s, r, &fault);
    if (r < 0 && is_guests_fault(fault)) {
        rh_finding_add(s->o->findings, RH_F_GUEST_UNREADABLE, "os",
                       N_("the guest could not be read: %s"),
                       rh_error_message(fault));
        rh_error_free(fault);
        if (s->guest) {
            s->guest->ops->close(s->guest);
            s->guest = NULL;
        }
        tell_facts(s, ret);
        return 0;
    }
    if (r == 0) {
        tell_facts(s, ret);
        if (s->writing && s->guest && s->profile)
            r = stopped(s, rh_run_fixes(s, ret, &fault), &fault);
    }
    if (r < 0) {
        rh_guest_facts_free(ret);
        if (err && !*err)
            *err = fault;
        else
            rh_error_free(fault);
    }
    return r;
}

static int session(struct rh_reader **overlays, size_t count, bool writing,
                   const struct rh_guest_options *o, struct rh_guest_facts *ret,
                   rh_error **err)
{
    RH_AUTO(rh_freep)
    struct rh_reader **in_order = rh_calloc(count + 1, sizeof(void *));
    struct rh_session s = {
        .o = o, .overlays = in_order, .count = count, .writing = writing};
    int r;

    for (size_t i = 0; i < count; i++)
        in_order[o->order ? o->order[i] : i] = overlays[i];
    s.disks = rh_disks_new(s.overlays, count, o->lib);
    memset(ret, 0, sizeof *ret);
    r = run(&s, ret, err);
    rh_fit_remedies(&s);
    session_free(&s);
    return r;
}

int rh_guest_inspect(struct rh_reader **overlays, size_t count,
                     const struct rh_guest_options *o,
                     struct rh_guest_facts *ret, rh_error **err)
{
    return session(overlays, count, false, o, ret, err);
}

int rh_guest_fix(struct rh_reader **overlays, size_t count,
                 const struct rh_guest_options *o, struct rh_guest_facts *ret,
                 rh_error **err)
{
    return session(overlays, count, true, o, ret, err);
}
