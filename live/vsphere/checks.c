/* checks.c - what stands in the way of a migration, told before it begins. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "live/vsphere/machine.h"

enum {
    CLOCK_OFF = 60,
    SNAPSHOTS_SHOWN = 8,
    ATTRIBUTES_MOST = 1000, /* of those that an administrator has defined */
};

/* --- the VM itself
 * ------------------------------------------------------------ */

static void state(const struct rh_vs_vm *v, struct rh_findings *f)
{
    const char *connection =
        rh_vs_text(rh_vs_property(v->object, "runtime.connectionState"));
    const xmlNode *config = rh_vs_property(v->object, "config");

    if (connection[0] && strcmp(connection, "connected"))
        rh_finding_add(f, RH_F_LIVE_STATE, "vm",
                       "the source cannot reach the VM: it is %s", connection);
    rh_live_tell_state(v->vm, v->state, f);
    if (v->encrypted)
        rh_finding_add(f, RH_F_LIVE_ENCRYPTED, "vm",
                       "the VM is encrypted on its host");
    if (rh_vs_true_at(config, "template"))
        rh_finding_add(f, RH_F_LIVE_TEMPLATE, "vm", "the VM is a template");
    if (rh_vs_true_at(rh_vs_property(v->object, "runtime.consolidationNeeded"),
                      ""))
        rh_finding_add(f, RH_F_LIVE_CONSOLIDATE, "vm",
                       "files of a removed snapshot wait for being merged");
}

static void tools(const struct rh_vs_vm *v, struct rh_findings *f)
{
    const char *running =
        rh_vs_text_at(rh_vs_property(v->object, "guest"), "toolsRunningStatus");

    if (v->state == RH_LIVE_ON && strcmp(running, "guestToolsRunning"))
        rh_finding_add(f, RH_F_LIVE_TOOLS, "vm",
                       "VMware Tools do not run in the guest");
}

/* --- snapshots
 * ---------------------------------------------------------------- */

struct names {
    struct rh_buf text;
    unsigned count;
    bool ours;
};

static void collect(const xmlNode *list, const char *name, struct names *n,
                    unsigned depth)
{
    for (xmlNode *t = rh_vs_child(list, name); t; t = rh_vs_next(t)) {
        const char *title = rh_vs_text_at(t, "name");

        if (!strncmp(title, "rehost-", 7))
            n->ours = true;
        else if (n->count++ < SNAPSHOTS_SHOWN)
            rh_buf_printf(&n->text, "%s\"%.80s\"", n->count > 1 ? ", " : "",
                          title);
        if (depth < RH_LIMIT_CHAIN)
            collect(t, "childSnapshotList", n, depth + 1);
    }
}

static void snapshots(const struct rh_vs_vm *v, struct rh_findings *f)
{
    struct names n = {0};

    collect(rh_vs_property(v->object, "snapshot"), "rootSnapshotList", &n, 0);
    if (n.count)
        rh_finding_add(f, RH_F_LIVE_SNAPSHOTS, "vm",
                       "the VM has snapshots in the source (%u: %s%s)", n.count,
                       n.text.data, n.count > SNAPSHOTS_SHOWN ? " ..." : "");
    if (n.ours)
        rh_finding_add(f, RH_F_LIVE_LEFTOVER, "vm",
                       "a snapshot of rehost (rehost-...) is there already");
    rh_buf_free(&n.text);
}

/* --- what a move while it runs needs
 * ------------------------------------------ */

static void warm(const struct rh_vs_vm *v, struct rh_findings *f)
{
    const xmlNode *config = rh_vs_property(v->object, "config");
    const xmlNode *able =
        rh_vs_property(v->object, "capability.changeTrackingSupported");

    for (size_t i = 0; i < v->disks.list.count; i++) {
        const struct rh_vs_disk *d = &v->disks.list.items[i];
        char subject[32];

        snprintf(subject, sizeof subject, "disks/%zu", i);
        if (d->independent || d->rdm_physical || d->shared)
            rh_finding_add(f, RH_F_LIVE_WARM, subject,
                           "%s: %s, so the VM cannot be moved while it runs",
                           d->where,
                           d->independent ? _("no snapshot holds an "
                                              "independent disk")
                           : d->rdm_physical
                               ? _("no snapshot holds a raw device mapping in "
                                   "physical mode")
                               : _("other VMs may write to it"));
    }
    if (able && !rh_vs_true_at(able, ""))
        rh_finding_add(f, RH_F_LIVE_UNTRACKED, "vm",
                       "the VM's virtual hardware is too old for changed block "
                       "tracking");
    else if (!rh_vs_true_at(config, "changeTrackingEnabled"))
        rh_finding_add(f, RH_F_LIVE_UNTRACKED, "vm",
                       "changed block tracking is off");
}

static void space(const struct rh_vs_vm *v, struct rh_findings *f)
{
    uint64_t all = 0;

    for (size_t i = 0; i < v->disks.list.count; i++)
        if (rh_add_overflows(all, v->disks.list.items[i].capacity, &all))
            return;
    for (size_t i = 0; i < v->datastores.count; i++) {
        const struct rh_vs_datastore *d = &v->datastores.items[i];
        RH_AUTO(rh_freep) char *left = rh_human_size(d->free);

        if (!d->reachable)
            rh_finding_add(f, RH_F_LIVE_STATE, "vm",
                           "the source cannot reach the datastore \"%s\"",
                           d->name);
        /* A twentieth of the disks: what a busy VM writes during a copy. */
        else if (d->free < all / 20)
            rh_finding_add(f, RH_F_LIVE_SPACE, "vm",
                           "the datastore \"%s\" has %s left", d->name, left);
    }
}

/* --- rights
 * ------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *needed; /* for what, N_() */
    bool for_vm;        /* else for its datastores */
    bool always;        /* else only where a snapshot or a lease is needed */
    enum { ANY, FOLDER, LEASE, SNAPSHOT, WARM } when;
} privileges[] = {
    {"System.Read", N_("to read its configuration"), true, true, ANY},
    {"Datastore.Browse", N_("to read its disks"), false, true, FOLDER},
    {"Datastore.FileManagement", N_("to read its disks"), false, true, FOLDER},
    {"VApp.Export", N_("to export its disks"), true, true, LEASE},
    {"VirtualMachine.State.CreateSnapshot",
     N_("to copy it, or move it, while it runs"), true, false, SNAPSHOT},
    {"VirtualMachine.State.RemoveSnapshot",
     N_("to copy it, or move it, while it runs"), true, false, SNAPSHOT},
    {"VirtualMachine.Config.ChangeTracking", N_("to move it while it runs"),
     true, false, WARM},
    {"VirtualMachine.Provisioning.DiskRandomRead",
     N_("to move it while it runs"), true, false, WARM},
    {"VirtualMachine.Interact.PowerOff", N_("to move it while it runs"), true,
     false, WARM},
};

static bool applies(const struct rh_vs_vm *v, size_t i)
{
    if (privileges[i].when == FOLDER)
        return v->way == RH_VS_FOLDER;
    return privileges[i].when != LEASE || v->way == RH_VS_LEASE;
}

static char *own_session(struct rh_vs *s, rh_error **err)
{
    static const char *const paths[] = {"currentSession", NULL};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    const xmlNode *o =
        rh_vs_object(s, s->sessions.type, s->sessions.id, paths, &doc, err);
    const char *key = rh_vs_text_at(rh_vs_property(o, "currentSession"), "key");

    return key[0] ? rh_strdup(key) : NULL;
}

/* Bits of `privileges` that an entity does not grant. */
static int ask_rights(struct rh_vs *s, const char *type, const char *id,
                      const char *session, bool of_vm, const struct rh_vs_vm *v,
                      unsigned *lacking)
{
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    struct rh_vs_call c = {.method = "HasPrivilegeOnEntity",
                           .type = s->rights.type,
                           .id = s->rights.id,
                           .again = true};
    size_t i = 0;

    rh_buf_printf(&body, "<entity type=\"%s\">", type);
    rh_vs_escape(&body, id);
    rh_buf_puts(&body, "</entity><sessionId>");
    rh_vs_escape(&body, session);
    rh_buf_puts(&body, "</sessionId>");
    for (size_t p = 0; p < RH_COUNT(privileges); p++)
        if (privileges[p].for_vm == of_vm && applies(v, p))
            rh_buf_printf(&body, "<privId>%s</privId>", privileges[p].name);
    c.body = body.data;
    doc = rh_vs_call(s, &c, NULL);
    if (!doc)
        return -1;
    for (xmlNode *r = rh_vs_child(rh_vs_response(doc), "returnval"); r;
         r = rh_vs_next(r)) {
        while (i < RH_COUNT(privileges) &&
               (privileges[i].for_vm != of_vm || !applies(v, i)))
            i++;
        if (i < RH_COUNT(privileges) && !rh_vs_true_at(r, ""))
            *lacking |= 1u << i;
        i++;
    }
    return 0;
}

static void say_lacking(unsigned lacking, struct rh_findings *f)
{
    for (size_t i = 0; i < RH_COUNT(privileges); i++) {
        struct rh_finding *said;

        if (!(lacking & 1u << i))
            continue;
        said = rh_finding_add(f, RH_F_LIVE_RIGHTS, "vm",
                              "the user lacks the privilege %s, which is "
                              "needed %s",
                              privileges[i].name, _(privileges[i].needed));
        if (!privileges[i].always)
            said->severity = RH_SEVERITY_INFO;
    }
}

/* A server that does not answer that says no when it comes to it. */
static void rights(struct rh_live_vm *vm, struct rh_findings *f)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    struct rh_vs *s = rh_vs_vm_session(vm);
    RH_AUTO(rh_freep)
    char *session = s->rights.id ? own_session(s, NULL) : NULL;
    unsigned lacking = 0;

    if (!session)
        return;
    ask_rights(s, "VirtualMachine", vm->id, session, true, v, &lacking);
    for (size_t i = 0; v->way == RH_VS_FOLDER && i < v->datastores.count; i++)
        ask_rights(s, "Datastore", v->datastores.items[i].id, session, false, v,
                   &lacking);
    say_lacking(lacking, f);
}

/* --- the server
 * --------------------------------------------------------------- */

/* Once for a session: "2026-11-30T20:36:06.09Z" against the clock here. */
static void server_clock(struct rh_live_vm *vm, struct rh_findings *f)
{
    struct rh_vs *s = rh_vs_vm_session(vm);
    struct rh_vs_call c = {.method = "CurrentTime",
                           .type = "ServiceInstance",
                           .id = "ServiceInstance",
                           .again = true};
    struct tm t = {0};
    long off;

    pthread_mutex_lock(&s->cache_lock);
    if (!s->clock_known) {
        RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = rh_vs_call(s, &c, NULL);
        const char *text = rh_vs_text_at(rh_vs_response(doc), "returnval");

        s->clock_known = true;
        if (strptime(text, "%Y-%m-%dT%H:%M:%S", &t) && strchr(text, 'Z'))
            s->clock_off = (long)(timegm(&t) - time(NULL));
    }
    off = s->clock_off;
    pthread_mutex_unlock(&s->cache_lock);
    if (labs(off) > CLOCK_OFF)
        rh_finding_add(f, RH_F_LIVE_CLOCK, "vm",
                       "the source's clock is %ld seconds %s this machine's",
                       labs(off), off > 0 ? _("ahead of") : _("behind"));
}

static void attributes(const struct rh_vs_vm *v, struct rh_findings *f)
{
    const xmlNode *values = rh_vs_property(v->object, "customValue");
    const xmlNode *defs = rh_vs_property(v->object, "availableField");
    unsigned count = 0;

    for (xmlNode *n = rh_vs_child(values, "CustomFieldValue"); n;
         n = rh_vs_next(n)) {
        const char *key = rh_vs_text_at(n, "key"), *name = key;
        unsigned looked = 0;

        if (count++ == ATTRIBUTES_MOST)
            break;
        for (xmlNode *d = rh_vs_child(defs, "CustomFieldDef");
             d && looked < ATTRIBUTES_MOST; d = rh_vs_next(d), looked++)
            if (!strcmp(rh_vs_text_at(d, "key"), key))
                name = rh_vs_text_at(d, "name");
        if (rh_vs_text_at(n, "value")[0])
            rh_finding_add(f, RH_F_LIVE_ATTRIBUTE, "vm", "%.100s = %.200s",
                           name, rh_vs_text_at(n, "value"));
    }
}

static void way(const struct rh_vs_vm *v, struct rh_findings *f)
{
    rh_finding_add(f, RH_F_LIVE_TRANSPORT, "vm",
                   v->way == RH_VS_FOLDER
                       ? N_("the disks are read as files, with ranges "
                            "(/folder): %s")
                       : N_("the disks come as a whole by an export lease: "
                            "%s"),
                   _(v->why));
    if (v->disks.list.count && !rh_vs_looks(v->vm, 0) &&
        v->vm->options.will_look)
        rh_finding_add(f, RH_F_LIVE_NOT_READ, "vm",
                       v->state != RH_LIVE_OFF
                           ? N_("the disks were not looked into, since the VM "
                                "runs")
                           : N_("the disks were not looked into: that would "
                                "fetch all of them"));
}

void rh_vs_checks(struct rh_live_vm *vm, struct rh_vm *config,
                  struct rh_findings *findings)
{
    const struct rh_vs_vm *v = rh_vs_vm_of(vm);

    (void)config;
    state(v, findings);
    tools(v, findings);
    snapshots(v, findings);
    warm(v, findings);
    space(v, findings);
    way(v, findings);
    attributes(v, findings);
    rights(vm, findings);
    server_clock(vm, findings);
}
