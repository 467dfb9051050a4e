/* fixing.c - which fixes run, and how each ends.
 *
 * Before a fix everything that was changed so far is in the overlays, and they
 * are marked.  When it fails the guest is let go, the overlays go back to the
 * mark, byte for byte, and the guest is taken up again: what other fixes did
 * stays.  A fix that fails does not fail the VM; what was at stake says how bad
 * it is. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/engine.h"

enum { ROOM_LEAST = 256 * 1024 };

enum outcome { DONE, NOTHING_TO_DO, NOT_POSSIBLE, FAILED, LEFT_OUT };
static const char *const outcomes[] = {"done", "nothing-to-do", "not-possible",
                                       "failed", "left-out"};

/* A fix that will run. */
struct chosen {
    const struct rh_fix *fix;
    json_t *arguments;
};
struct choice {
    RH_VEC(struct chosen) all;
};

static void choice_free(struct choice *c)
{
    free(c->all.items);
}

/* --- which
 * ------------------------------------------------------------------ */
static const struct rh_fix *fix_named(const struct rh_session *s,
                                      const char *name)
{
    for (const struct rh_fix *f = s->family->fixes; f->name; f++)
        if (!strcmp(f->name, name))
            return f;
    return NULL;
}

static bool asked(const struct rh_session *s, const char *option,
                  const char *name)
{
    const char *given;

    for (size_t i = 0; (given = rh_option_at(s->o->choices, option, i)); i++)
        if (!strcmp(given, name))
            return true;
    return false;
}

/* Not one of this family's: a profile of another family was asked for. */
static void say_foreign(struct rh_session *s, const char *name)
{
    rh_finding_add(s->o->findings, RH_F_GUEST_FIX_FOREIGN, "os",
                   N_("%s is left out: the guest is %s"), name,
                   s->family->name);
}

static int of_the_profile(struct rh_session *s, struct choice *c,
                          rh_error **err)
{
    const struct rh_profile_target *t =
        rh_profile_on(s->profile, s->o->machine->model);
    size_t stem = strlen(s->family->name);

    for (size_t i = 0; i < t->fixes.count; i++) {
        const char *name = t->fixes.items[i].name;
        const struct rh_fix *f = fix_named(s, name);

        if (f)
            *rh_vec_add(&c->all) =
                (struct chosen){f, t->fixes.items[i].arguments};
        else if (strncmp(name, s->family->name, stem) || name[stem] != '.')
            say_foreign(s, name);
        else
            return rh_fail(err, RH_ERR_BUG, "no code for the fix \"%s\"", name);
    }
    return 0;
}

/* Behind those that stand before it in the family's own order. */
static void insert(struct choice *c, const struct rh_fix *f)
{
    size_t at = 0;

    for (size_t i = 0; i < c->all.count; i++) {
        if (c->all.items[i].fix == f)
            return;
        if (c->all.items[i].fix < f)
            at = i + 1;
    }
    rh_vec_add(&c->all);
    memmove(c->all.items + at + 1, c->all.items + at,
            (c->all.count - 1 - at) * sizeof *c->all.items);
    c->all.items[at] = (struct chosen){f, NULL};
}

static int choose(struct rh_session *s, struct choice *c, rh_error **err)
{
    const char *name;

    if (of_the_profile(s, c, err) < 0)
        return -1;
    for (size_t i = 0; (name = rh_option_at(s->o->choices, "fix", i)); i++) {
        const struct rh_fix *f = fix_named(s, name);

        if (f)
            insert(c, f);
        else
            say_foreign(s, name);
    }
    return 0;
}

/* --- one
 * -------------------------------------------------------------------- */
/* Something outside the guest failed: that is no matter of one fix. */
static bool is_guests_own(const rh_error *e)
{
    enum rh_error_id id = rh_error_number(e);

    switch (id) {
    case RH_ERR_FILE_NOT_FOUND:
    case RH_ERR_FILE_EXISTS:
    case RH_ERR_FILE_TYPE:
    case RH_ERR_GUEST_APPLIANCE:
    case RH_ERR_GUEST_WRITE:
        return true;
    default:
        return rh_error_class_of(id) == RH_CLASS_BLOCKED;
    }
}

static void say_failed(struct rh_session *s, const struct rh_fix *f,
                       const rh_error *fault)
{
    struct rh_finding *said =
        rh_finding_add(s->o->findings, RH_F_GUEST_FIX_FAILED, "os",
                       N_("%s failed, and what it had changed is undone: %s"),
                       f->name, rh_error_message(fault));

    if (said && f->stake == RH_STAKE_BOOT)
        said->severity = RH_SEVERITY_BLOCKER;
    free(said ? said->remedy : NULL);
    if (said)
        said->remedy = rh_printf(
            _("mend what is said there in the running VM and export again, or "
              "do it by hand and convert with --no-fix %s"),
            f->name);
}

static int undo(struct rh_session *s, rh_error **err)
{
    if (s->guest->ops->let_go(s->guest, err) < 0)
        return -1;
    rh_disks_go_back(s->disks);
    return s->guest->ops->take_up(s->guest, err);
}

/* 0 with *ret; -1 when the VM as a whole cannot go on. */
static int settle(struct rh_session *s, const struct rh_fix *f, int r,
                  uint64_t changes, rh_error **fault, enum outcome *ret,
                  rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    bool changed = s->guest->changes != changes;

    if (r >= 0 && changed && s->guest->ops->flush(s->guest, fault) < 0)
        r = -1;
    if (r >= 0) {
        rh_disks_keep(s->disks);
        *ret = r == RH_FIX_NOT_POSSIBLE ? NOT_POSSIBLE
               : changed                ? DONE
                                        : NOTHING_TO_DO;
        return 0;
    }
    *ret = FAILED;
    /* What cannot be undone failed by what came first. */
    if (is_guests_own(*fault) && undo(s, &why) == 0)
        return 0;
    *err = RH_TAKE(*fault);
    return rh_error_context(err, "%s", f->name);
}

static int run_one(struct rh_session *s, const struct chosen *c,
                   enum outcome *ret, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    struct rh_fix_job j = {.s = s,
                           .facts = s->facts,
                           .guest = s->guest,
                           .o = s->o,
                           .name = c->fix->name,
                           .arguments = c->arguments};
    size_t findings = s->o->findings->count;
    size_t edits = s->o->edits ? s->o->edits->count : 0;
    uint64_t changes = s->guest->changes;
    int r;

    if (rh_go_on(s->o->lib, err) < 0)
        return -1;
    rh_disks_mark(s->disks);
    r = c->fix->run(&j, &fault);
    if (fault)
        r = -1; /* a file that could not be read is not one that is not there */
    if (rh_go_on(s->o->lib, err) < 0 ||
        settle(s, c->fix, r, changes, &fault, ret, err) < 0)
        return -1;
    if (*ret != FAILED)
        return 0;
    /* What it said of its edits is not so any more. */
    rh_findings_cut(s->o->findings, findings);
    if (s->o->edits)
        rh_edits_cut(s->o->edits, edits);
    say_failed(s, c->fix, fault);
    return 0;
}

static void leave_out(struct rh_session *s, const struct rh_fix *f)
{
    struct rh_finding *said =
        rh_finding_add(s->o->findings, RH_F_GUEST_FIX_LEFT_OUT, "os",
                       N_("%s is left out, as --no-fix asks"), f->name);

    if (said && f->stake == RH_STAKE_COMFORT)
        said->severity = RH_SEVERITY_INFO;
}

/* --- all
 * -------------------------------------------------------------------- */
/* Small edits need some room as well: none are begun that could not end. */
static int is_full(struct rh_session *s, bool *ret, rh_error **err)
{
    static const char *const folders[] = {"/", "/etc", "/boot"};

    *ret = false;
    for (size_t i = 0; i < RH_COUNT(folders); i++) {
        uint64_t room;

        if (!rh_guest_is_dir(s->guest, folders[i]))
            continue;
        if (s->guest->ops->free_space(s->guest, folders[i], &room, err) < 0)
            return -1;
        if (room >= ROOM_LEAST)
            continue;
        *ret = true;
        rh_finding_add(
            s->o->findings, RH_F_GUEST_BOOT_FULL, "os",
            N_("the file system of %s is full; nothing in the guest is "
               "changed"),
            folders[i]);
        return 0;
    }
    return 0;
}

/* Why no fix may run; that is said. */
static int is_hopeless(struct rh_session *s, bool *ret, rh_error **err)
{
    *ret = true;
    /* A suspended system must not be changed under its feet. */
    if (rh_findings_has(s->o->findings, RH_F_GUEST_HIBERNATED))
        return 0;
    if (s->guest->read_only) {
        rh_finding_add(s->o->findings, RH_F_GUEST_READ_ONLY, "os",
                       N_("a file system of the guest can be read, but not "
                          "written; nothing in it is changed"));
        return 0;
    }
    return is_full(s, ret, err);
}

static void tell(json_t *list, const char *name, enum outcome outcome)
{
    json_array_append_new(list, json_pack("{s:s, s:s}", "fix", name, "outcome",
                                          outcomes[outcome]));
}

int rh_run_fixes(struct rh_session *s, struct rh_guest_facts *facts,
                 rh_error **err)
{
    RH_AUTO(choice_free) struct choice c = {0};
    json_t *list = json_array();
    bool hopeless;

    json_object_set_new(facts->json, "fixes", list);
    if (is_hopeless(s, &hopeless, err) < 0 || choose(s, &c, err) < 0 ||
        s->guest->ops->flush(s->guest, err) < 0)
        return -1;
    for (size_t i = 0; i < c.all.count; i++) {
        const struct rh_fix *f = c.all.items[i].fix;
        enum outcome outcome = NOT_POSSIBLE;

        if (asked(s, "no-fix", f->name)) {
            outcome = LEFT_OUT;
            leave_out(s, f);
        } else if (!hopeless &&
                   run_one(s, &c.all.items[i], &outcome, err) < 0) {
            return -1;
        }
        tell(list, f->name, outcome);
    }
    return hopeless ? 0 : s->guest->ops->sync(s->guest, err);
}
