/* fit.c - weigh the models for one VM.
 *
 * What a model offers and lacks is data (targets/FOLDER/model.yaml), and so
 * are needs that only some provider's model knows.  A model that cannot take
 * the VM is out; then what was asked for counts and what the VM itself needs,
 * then the steps that are left to people, then the edits inside the guest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/fit.h"

#include <stdlib.h>
#include <string.h>

#include "targets/model.h"

/* Short words of --need for the models' own. */
static const struct {
    const char *need, *offer, *text;
} needs[] = {
    {"isolation", "strict-isolation", N_("strict isolation")},
    {"delta-backup", "delta-backup", N_("delta backup")},
    {"file-restore", "file-restore", N_("file-level restore")},
    {"replication", "replication", N_("replication")},
    {"replication-other-kind", "replication-other-kind",
     N_("replication to another kind of storage")},
    {"hci", "hci-storage", N_("HCI storage")},
    {"low-latency", "single-thread-latency", N_("low single-thread latency")},
    {"overcommit", "overcommit", N_("memory overcommit")},
    {"vmware-devices", "vmware-devices",
     N_("VMware's own devices kept (PVSCSI, VMXNET3)")},
    {"solaris", "solaris", N_("Solaris guests")},
};

/* What a VM needs by itself, by what was found. */
static const struct {
    enum rh_finding_id found;
    const char *offer;
} own_needs[] = {
    {RH_F_VMWARE_LATENCY, "single-thread-latency"},
};

struct need {
    const char *offer; /* the models' word */
    const char *text;  /* translated */
    bool own;          /* the VM's, nobody asked */
};
typedef RH_VEC(struct need) need_list;

struct candidate {
    const struct rh_job_target *target;
    const json_t *model;
    int met, unmet;  /* needs */
    unsigned manual; /* findings that are left to people */
};
typedef RH_VEC(struct candidate) candidates;

static const char *word(const json_t *model, const char *key)
{
    const char *text = json_string_value(json_object_get(model, key));

    return text ? text : "";
}

static const char *name_of(const struct candidate *c)
{
    const char *name =
        rh_model_text(json_object_get(c->model, "name"), rh_text_lang());

    return name[0] ? name : c->target->target->name;
}

static bool lists(const json_t *model, const char *key, const char *offer)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(model, key), i, item)
        if (!strcmp(json_string_value(item) ? json_string_value(item) : "",
                    offer))
            return true;
    return false;
}

/* --- needs
 * --------------------------------------------------------------------- */

/* A model may know needs of its own, and say them in words (`needs`). */
static bool models_need(const json_t *models, const char *name,
                        struct need *ret)
{
    const json_t *model, *texts;
    bool known = false;
    size_t i;

    json_array_foreach (models, i, model) {
        known |= lists(model, "offers", name) || lists(model, "lacks", name);
        texts = json_object_get(json_object_get(model, "needs"), name);
        if (texts && !ret->text)
            ret->text = rh_model_text(texts, rh_text_lang());
    }
    ret->offer = name;
    if (!ret->text)
        ret->text = name;
    return known;
}

static bool find_need(const json_t *models, const char *name, struct need *ret)
{
    *ret = (struct need){0};
    for (size_t i = 0; i < RH_COUNT(needs); i++)
        if (!strcmp(needs[i].need, name) || !strcmp(needs[i].offer, name)) {
            ret->offer = needs[i].offer;
            ret->text = _(needs[i].text);
            return true;
        }
    return models_need(models, name, ret);
}

/* The n-th word over all --need options, which hold lists; it lives as long as
 * the job. */
static const char *need_word(const struct rh_job *job, size_t n)
{
    const char *list;

    for (size_t i = 0; (list = rh_option_at(job->options, "need", i)); i++)
        while (*list) {
            size_t length = strcspn(list, ",");

            if (length && n-- == 0)
                return rh_arena_strndup(job->arena, list, length);
            list += length + (list[length] == ',');
        }
    return NULL;
}

static bool has_need(const need_list *list, const char *offer)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->items[i].offer, offer))
            return true;
    return false;
}

static void list_needs(const struct rh_job *job, const struct rh_job_vm *v,
                       need_list *ret)
{
    const struct rh_findings *found = &v->found;
    const char *name;
    struct need need;

    for (size_t i = 0; (name = need_word(job, i)); i++)
        if (find_need(job->models, name, &need) && !has_need(ret, need.offer))
            *rh_vec_add(ret) = need;
    for (size_t i = 0; i < RH_COUNT(own_needs); i++) {
        if (!rh_findings_has(found, own_needs[i].found) ||
            has_need(ret, own_needs[i].offer) ||
            !find_need(job->models, own_needs[i].offer, &need))
            continue;
        need.own = true;
        *rh_vec_add(ret) = need;
    }
}

/* The words that may be asked for: ours, then what only models know. */
static char *known_words(const json_t *models)
{
    static const char *const keys[] = {"offers", "lacks"};
    struct rh_buf all = {0};
    const json_t *model, *item;
    struct need need;
    size_t i, n;

    for (i = 0; i < RH_COUNT(needs); i++)
        rh_buf_printf(&all, "%s%s", i ? ", " : "", needs[i].need);
    for (size_t k = 0; k < RH_COUNT(keys); k++)
        json_array_foreach (models, i, model)
            json_array_foreach (json_object_get(model, keys[k]), n, item) {
                const char *name = json_string_value(item);

                if (!name || !find_need(NULL, name, &need))
                    if (name && !strstr(all.data, name))
                        rh_buf_printf(&all, ", %s", name);
            }
    return rh_buf_take(&all);
}

int rh_job_check_needs(const struct rh_job *job, rh_error **err)
{
    const char *name;
    struct need need;

    for (size_t i = 0; (name = need_word(job, i)); i++) {
        RH_AUTO(rh_freep) char *known = NULL;

        if (find_need(job->models, name, &need))
            continue;
        known = known_words(job->models);
        rh_fail(err, RH_ERR_PLAN_OPTION, "there is no need \"%s\"", name);
        return rh_hint(err, "use some of: %s", known);
    }
    return 0;
}

/* --- weighing
 * ------------------------------------------------------------------ */

static bool left_to_people(const struct rh_finding *f)
{
    return f->severity != RH_SEVERITY_INFO && !f->automatic;
}

static void weigh(struct candidate *c, const need_list *list)
{
    const struct rh_findings *f = &c->target->findings;

    for (size_t i = 0; i < list->count; i++) {
        c->met += lists(c->model, "offers", list->items[i].offer);
        c->unmet += lists(c->model, "lacks", list->items[i].offer);
    }
    for (size_t i = 0; i < f->count; i++)
        c->manual += left_to_people(&f->items[i]);
}

/* Does a fit better than b? */
static bool better(const struct candidate *a, const struct candidate *b)
{
    bool a_out = a->target->judgement.verdict == RH_BLOCKED;
    bool b_out = b->target->judgement.verdict == RH_BLOCKED;

    if (a_out != b_out)
        return b_out;
    if (a->met - a->unmet != b->met - b->unmet)
        return a->met - a->unmet > b->met - b->unmet;
    if (a->manual != b->manual)
        return a->manual < b->manual;
    return a->target->edits.count < b->target->edits.count;
}

/* --- reasons
 * ------------------------------------------------------------------- */

static void give_reason(json_t *list, const char *id, const char *fmt, ...)
    RH_PRINTF(3, 4);
static void give_reason(json_t *list, const char *id, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *printable = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    printable = rh_printable(text);
    json_array_append_new(
        list, json_pack("{s:s, s:s}", "id", id, "message", printable));
}

static bool somebody_offers(const candidates *all, const char *offer)
{
    for (size_t i = 0; i < all->count; i++)
        if (lists(all->items[i].model, "offers", offer))
            return true;
    return false;
}

static void explain_need(const struct need *need, const struct candidate *best,
                         const candidates *all, json_t *reasons)
{
    const char *name = name_of(best);

    if (lists(best->model, "offers", need->offer)) {
        if (need->own)
            give_reason(reasons, "FIT-VM-NEED-MET",
                        _("this VM itself asks for %s, which %s offers"),
                        need->text, name);
        else
            give_reason(reasons, "FIT-NEED-MET", _("%s offers %s"), name,
                        need->text);
    } else if (all->count < 2) {
        give_reason(reasons, "FIT-NEED-UNMET", _("%s does not offer %s"), name,
                    need->text);
    } else if (somebody_offers(all, need->offer)) {
        give_reason(reasons, "FIT-NEED-GIVEN-UP",
                    _("%s does not offer %s; another model does"), name,
                    need->text);
    } else {
        give_reason(reasons, "FIT-NEED-UNMET",
                    _("no model offers %s: plan for it outside"), need->text);
    }
}

static bool has_subject(const struct rh_findings *list, const char *subject)
{
    for (size_t i = 0; i < list->count; i++)
        if (left_to_people(&list->items[i]) &&
            !strcmp(list->items[i].subject, subject))
            return true;
    return false;
}

/* What the other model asks for and this one does not: a finding about a thing
 * of which this one has nothing to say; NULL when there is none. */
static const char *extra_step(const struct candidate *other,
                              const struct candidate *best)
{
    const struct rh_findings *f = &other->target->findings;

    for (size_t i = 0; i < f->count; i++)
        if (left_to_people(&f->items[i]) &&
            !has_subject(&best->target->findings, f->items[i].subject))
            return f->items[i].message;
    return NULL;
}

static const char *first_blocker(const struct candidate *c)
{
    const struct rh_findings *f = &c->target->findings;

    for (size_t i = 0; i < f->count; i++)
        if (f->items[i].severity == RH_SEVERITY_BLOCKER)
            return f->items[i].message;
    return "";
}

/* What it would cost in needs. */
static void explain_lack(const struct candidate *other,
                         const struct candidate *best, const need_list *list,
                         json_t *reasons)
{
    for (size_t i = 0; i < list->count; i++)
        if (lists(best->model, "offers", list->items[i].offer) &&
            lists(other->model, "lacks", list->items[i].offer))
            give_reason(reasons, "FIT-OTHER-LACKS", _("%s does not offer %s"),
                        name_of(other), list->items[i].text);
}

static void explain_steps(const struct candidate *other,
                          const struct candidate *best, bool asked,
                          json_t *reasons)
{
    const char *name = name_of(other);
    const char *extra = extra_step(other, best);
    size_t edits = other->target->edits.count;
    size_t best_edits = best->target->edits.count;

    if (other->manual > best->manual && extra)
        give_reason(reasons, "FIT-FEWER-STEPS",
                    _("%s leaves more steps to people (%u more): %s"), name,
                    other->manual - best->manual, extra);
    else if (other->manual > best->manual)
        give_reason(reasons, "FIT-FEWER-STEPS",
                    _("%s leaves more steps to people (%u more)"), name,
                    other->manual - best->manual);
    else if (other->manual < best->manual)
        give_reason(reasons, "FIT-OTHER-EASIER",
                    _("%s would leave fewer steps to people (%u fewer)"), name,
                    best->manual - other->manual);
    else if (edits > best_edits)
        give_reason(reasons, "FIT-FEWER-EDITS",
                    _("%s needs more changes inside the guest (%zu more)"),
                    name, edits - best_edits);
    else if (edits < best_edits)
        give_reason(
            reasons, "FIT-OTHER-FEWER-EDITS",
            _("%s would need fewer changes inside the guest (%zu fewer)"), name,
            best_edits - edits);
    else if (asked)
        give_reason(reasons, "FIT-OTHER-TOO",
                    _("%s would take it as well, with the same effort"), name);
    else
        give_reason(reasons, "FIT-OTHER-TOO",
                    _("%s would take it as well, with the same effort; say "
                      "with --need what matters"),
                    name);
}

static void explain_others(const struct candidate *best, const candidates *all,
                           const need_list *list, json_t *reasons)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct candidate *other = &all->items[i];

        if (other == best)
            continue;
        if (other->target->judgement.verdict == RH_BLOCKED) {
            give_reason(reasons, "FIT-OTHER-BLOCKED",
                        _("%s cannot take this VM as it is: %s"),
                        name_of(other), first_blocker(other));
            continue;
        }
        explain_lack(other, best, list, reasons);
        explain_steps(other, best, list->count > 0, reasons);
    }
}

/* --- all of it
 * ----------------------------------------------------------------- */

/* A target's every model, its own first. */
static void list_candidates(const struct rh_job *job, const struct rh_job_vm *v,
                            candidates *ret)
{
    const json_t *model;
    size_t n;

    for (size_t i = 0; i < v->target_count; i++) {
        const struct rh_job_target *t = &v->targets[i];

        json_array_foreach (job->models, n, model)
            if (!strcmp(word(model, "target"), t->target->name)) {
                struct candidate *c = rh_vec_add(ret);

                c->target = t;
                c->model = model;
            }
    }
}

static json_t *recommend(const candidates *all, const need_list *list)
{
    json_t *reasons = json_array();
    const struct candidate *best = &all->items[0];

    for (size_t i = 1; i < all->count; i++)
        if (better(&all->items[i], best))
            best = &all->items[i];
    if (best->target->judgement.verdict == RH_BLOCKED) {
        give_reason(reasons, "FIT-NONE",
                    _("no model takes this VM before its blockers are gone"));
        return json_pack("{s:n, s:n, s:o}", "target", "model", "reasons",
                         reasons);
    }
    for (size_t i = 0; i < list->count; i++)
        explain_need(&list->items[i], best, all, reasons);
    explain_others(best, all, list, reasons);
    if (all->count < 2)
        give_reason(reasons, "FIT-ONLY",
                    _("no other model was asked about (--to all)"));
    return json_pack("{s:s, s:s, s:o}", "target", best->target->target->name,
                     "model", word(best->model, "model"), "reasons", reasons);
}

void rh_job_recommend(struct rh_job *job, struct rh_job_vm *v)
{
    candidates all = {0};
    need_list list = {0};

    list_candidates(job, v, &all);
    list_needs(job, v, &list);
    for (size_t i = 0; i < all.count; i++)
        weigh(&all.items[i], &list);
    json_decref(v->recommendation);
    v->recommendation = recommend(&all, &list);
    free(all.items);
    free(list.items);
}
