/* status.c - rehost.warm/1, and the same for people. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/warm/warm.h"

/* What the last round and the fix took; how long a delivery takes that copies
 * everything is not known. */
static json_t *downtime(const rh_warm *w)
{
    const struct rh_warm_round *r;

    if (!(w->j.direct || w->j.staged) || w->j.rounds.count < 2)
        return json_null();
    r = &w->j.rounds.items[w->j.rounds.count - 1];
    return json_real(r->seconds + 2 * w->j.fix_seconds);
}

static json_t *snapshots(const rh_warm *w)
{
    json_t *list = json_array();

    if (w->j.snapshot_name)
        json_array_append_new(list, json_pack("{s:s, s:s?}", "name",
                                              w->j.snapshot_name, "id",
                                              w->j.snapshot));
    for (size_t i = 0; i < w->j.held.count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name",
                                              w->j.held.items[i].name, "id",
                                              w->j.held.items[i].id));
    return list;
}

static json_t *disks_json(const rh_warm *w)
{
    json_t *list = json_array();

    for (size_t i = 0; i < w->j.disks.count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:I}", "file", w->j.disks.items[i].file,
                            "size", (json_int_t)w->j.disks.items[i].size));
    return list;
}

static json_t *now_json(const rh_warm *w)
{
    RH_AUTO(rh_freep) char *holder = NULL;
    bool held =
        rh_lease_held(w->j.dir, "lease", RH_LEASE_STALE_SECONDS, &holder);
    json_t *doc;

    if (!w->j.in_round)
        return json_null();
    doc = json_pack("{s:I, s:I, s:I, s:b}", "disk", (json_int_t)w->j.at_disk,
                    "bytes_done", (json_int_t)w->j.at, "bytes_sent",
                    (json_int_t)w->j.round_sent, "running", held);
    return doc;
}

static json_t *to_json(const rh_warm *w)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:s, s:b, s:b, s:s, s:o, s:o, s:o, "
        "s:o, s:o, s:s?}",
        "schema", "rehost.warm/1", "name", w->j.name, "state",
        rh_warm_state_name(w->j.state), "source", w->j.source, "vm",
        w->j.vm_name, "folder", w->j.path, "direct", w->j.direct, "staged",
        w->j.staged, "format", w->j.format, "disks", disks_json(w), "rounds",
        rh_warm_rounds_json(&w->j), "round", now_json(w), "snapshots",
        snapshots(w), "downtime_estimate", downtime(w), "result", w->j.result);
}

static void rounds_text(const rh_warm *w, struct rh_buf *b)
{
    for (size_t i = 0; i < w->j.rounds.count; i++) {
        const struct rh_warm_round *r = &w->j.rounds.items[i];
        RH_AUTO(rh_freep) char *changed = rh_human_size(r->changed);
        RH_AUTO(rh_freep) char *sent = rh_human_size(r->sent);

        rh_buf_printf(b,
                      _("  round %zu: %s, %s written, %s read, %.1f seconds\n"),
                      i + 1 + (i ? (size_t)w->j.rounds_forgotten : 0), r->how,
                      changed, sent, r->seconds);
    }
}

static char *to_text(const rh_warm *w)
{
    struct rh_buf b = {0};
    json_t *estimate = downtime(w);

    rh_buf_printf(&b, _("job %s: %s\n"), w->j.name,
                  rh_warm_state_name(w->j.state));
    rh_buf_printf(&b, _("  source:  %s\n"), w->j.source);
    rh_buf_printf(&b, _("  folder:  %s\n"), w->j.path);
    rounds_text(w, &b);
    if (w->j.in_round)
        rh_buf_printf(&b, _("  a round is not complete: disk %zu, byte %llu\n"),
                      w->j.at_disk, (unsigned long long)w->j.at);
    if (w->j.snapshot_name)
        rh_buf_printf(&b, _("  snapshot of ours at the source: %s\n"),
                      w->j.snapshot_name);
    for (size_t i = 0; i < w->j.held.count; i++)
        rh_buf_printf(&b, _("  snapshot of ours at the source: %s\n"),
                      w->j.held.items[i].name);
    if (json_is_real(estimate))
        rh_buf_printf(&b, _("  expected downtime: %.0f seconds\n"),
                      json_real_value(estimate));
    if (w->j.result)
        rh_buf_printf(&b, _("  result:  %s\n"), w->j.result);
    json_decref(estimate);
    return rh_buf_take(&b);
}

char *rh_warm_render(rh_warm *w, const char *as, rh_error **err)
{
    if (!strcmp(as, "json")) {
        json_t *doc = to_json(w);
        char *text = json_dumps(doc, JSON_INDENT(2));

        json_decref(doc);
        if (!text)
            rh_fail(err, RH_ERR_BUG, "the status cannot be written");
        return text;
    }
    if (!strcmp(as, "text"))
        return to_text(w);
    if (!strcmp(as, "said"))
        return rh_strdup(w->said.data ? w->said.data : "");
    rh_fail(err, RH_ERR_USAGE, "a warm migration is not shown as \"%s\"", as);
    return NULL;
}
