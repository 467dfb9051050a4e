/* fit.c - weigh the models for one VM.
 *
 * What a model offers and lacks is data (targets/FOLDER/model.yaml).  A model
 * that cannot take the VM is out; then the asked-for needs count, then the
 * steps that are left to people, then the edits inside the guest. */
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

struct candidate {
    const struct rh_plan_target *target;
    json_t *model;
    int met, unmet;  /* asked-for needs */
    unsigned manual; /* cautions that rehost does not take care of */
};

static const char *name_of(const struct candidate *c)
{
    const char *name =
        rh_model_text(json_object_get(c->model, "name"), rh_text_lang());

    return name[0] ? name : c->target->target->name;
}

static bool lists(const json_t *model, const char *key, const char *word)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(model, key), i, item)
        if (!strcmp(json_string_value(item) ? json_string_value(item) : "",
                    word))
            return true;
    return false;
}

/* The i-th word over all --need options, which hold lists. */
static char *need_word(const rh_options *options, size_t n)
{
    const char *list;

    for (size_t i = 0; (list = rh_option_at(options, "need", i)); i++)
        while (*list) {
            size_t length = strcspn(list, ",");

            if (length && n-- == 0)
                return rh_strndup(list, length);
            list += length + (list[length] == ',');
        }
    return NULL;
}

static size_t find_need(const char *word)
{
    for (size_t i = 0; i < RH_COUNT(needs); i++)
        if (!strcmp(needs[i].need, word) || !strcmp(needs[i].offer, word))
            return i;
    return SIZE_MAX;
}

int rh_plan_check_needs(const rh_options *options, rh_error **err)
{
    char *word;
    int failed = 0;

    for (size_t i = 0; !failed && (word = need_word(options, i)); i++) {
        if (find_need(word) == SIZE_MAX) {
            failed = rh_fail(err, RH_ERR_PLAN_OPTION, "there is no need \"%s\"",
                             word);
            rh_hint(err, "use isolation, delta-backup, file-restore, "
                         "replication, replication-other-kind, hci, "
                         "low-latency, overcommit, vmware-devices or solaris");
        }
        free(word);
    }
    return failed;
}

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

static void weigh(const rh_plan *plan, struct candidate *c)
{
    const struct rh_findings *f = &c->target->findings;
    char *word;

    for (size_t i = 0; (word = need_word(plan->options, i)); i++) {
        size_t n = find_need(word);

        if (n != SIZE_MAX && lists(c->model, "offers", needs[n].offer))
            c->met++;
        else if (n != SIZE_MAX && lists(c->model, "lacks", needs[n].offer))
            c->unmet++;
        free(word);
    }
    for (size_t i = 0; i < f->count; i++)
        c->manual += f->items[i].severity == RH_SEVERITY_CAUTION &&
                     !f->items[i].automatic;
}

/* Does a fit better than b? */
static bool better(const struct candidate *a, const struct candidate *b)
{
    bool a_out = a->target->verdict == RH_BLOCKED;
    bool b_out = b->target->verdict == RH_BLOCKED;

    if (a_out != b_out)
        return b_out;
    if (a->met - a->unmet != b->met - b->unmet)
        return a->met - a->unmet > b->met - b->unmet;
    if (a->manual != b->manual)
        return a->manual < b->manual;
    return a->target->edits.count < b->target->edits.count;
}

static void explain_needs(const rh_plan *plan, const struct candidate *best,
                          const struct candidate *all, size_t count,
                          json_t *reasons)
{
    const char *name = name_of(best);
    char *word;

    for (size_t i = 0; (word = need_word(plan->options, i)); i++) {
        size_t n = find_need(word);
        bool somebody = false;

        free(word);
        if (n == SIZE_MAX)
            continue;
        for (size_t c = 0; c < count; c++)
            somebody |= lists(all[c].model, "offers", needs[n].offer);
        if (lists(best->model, "offers", needs[n].offer))
            give_reason(reasons, "FIT-NEED-MET", _("%s offers %s"), name,
                        _(needs[n].text));
        else if (somebody)
            give_reason(reasons, "FIT-NEED-GIVEN-UP",
                        _("%s does not offer %s; the other model does"), name,
                        _(needs[n].text));
        else
            give_reason(reasons, "FIT-NEED-UNMET",
                        _("no model offers %s: plan for it outside"),
                        _(needs[n].text));
    }
}

static void explain_others(const struct candidate *best,
                           const struct candidate *all, size_t count,
                           json_t *reasons)
{
    for (size_t c = 0; c < count; c++) {
        const struct candidate *other = &all[c];
        const char *name = name_of(other);

        if (other == best)
            continue;
        if (other->target->verdict == RH_BLOCKED)
            give_reason(reasons, "FIT-OTHER-BLOCKED",
                        _("%s cannot take this VM as it is"), name);
        else if (other->manual > best->manual)
            give_reason(reasons, "FIT-FEWER-STEPS",
                        _("%s leaves %u more steps to people"), name,
                        other->manual - best->manual);
        else if (other->target->edits.count > best->target->edits.count)
            give_reason(reasons, "FIT-FEWER-EDITS",
                        _("%s needs %zu more changes inside the guest"), name,
                        other->target->edits.count - best->target->edits.count);
        else
            give_reason(reasons, "FIT-OTHER-TOO",
                        _("%s would take it as well, with the same effort"),
                        name);
    }
}

static int load_models(const struct rh_plan_vm *v, struct candidate *all,
                       rh_error **err)
{
    for (size_t i = 0; i < v->targets.count; i++) {
        all[i].target = &v->targets.items[i];
        all[i].model = rh_model_load(all[i].target->target->folder, err);
        if (!all[i].model)
            return -1;
    }
    return 0;
}

static json_t *recommend(const rh_plan *plan, struct candidate *all,
                         size_t count)
{
    json_t *reasons = json_array();
    struct candidate *best = &all[0];

    for (size_t i = 0; i < count; i++)
        weigh(plan, &all[i]);
    for (size_t i = 1; i < count; i++)
        if (better(&all[i], best))
            best = &all[i];
    if (best->target->verdict == RH_BLOCKED) {
        give_reason(reasons, "FIT-NONE",
                    _("no model takes this VM before its blockers are gone"));
        return json_pack("{s:n, s:o}", "target", "reasons", reasons);
    }
    explain_needs(plan, best, all, count, reasons);
    explain_others(best, all, count, reasons);
    return json_pack("{s:s, s:o}", "target", best->target->target->name,
                     "reasons", reasons);
}

int rh_plan_recommend(struct rh_plan *plan, struct rh_plan_vm *v,
                      rh_error **err)
{
    size_t count = v->targets.count;
    struct candidate *all;
    int failed;

    if (count < 2)
        return 0;
    all = rh_calloc(count, sizeof *all);
    failed = load_models(v, all, err);
    if (!failed)
        v->recommendation = recommend(plan, all, count);
    for (size_t i = 0; i < count; i++)
        json_decref(all[i].model);
    free(all);
    return failed;
}
