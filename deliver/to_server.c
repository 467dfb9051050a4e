/* to_server.c - the frame of a delivery of `convert --out` to a server. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "deliver/deliver.h"
#include "deliver/server.h"

int rh_to_server_open(struct rh_delivery *d, struct rh_to_server *state,
                      const struct rh_to_server_steps *steps,
                      const struct rh_delivery_ops *ops, rh_error **err)
{
    state->steps = steps;
    d->state = state;
    d->ops = ops;
    return d->kind->server->check(d->request.out, err);
}

int rh_to_server_preflight(struct rh_delivery *d, struct rh_findings *findings,
                           rh_error **err)
{
    struct rh_to_server *t = d->state;
    struct rh_checks checks = {0};
    int failed = rh_server_open(&t->server, d->kind->server, d->request.lib,
                                d->request.out, d->request.options, err);

    if (!failed)
        failed = t->steps->look(d, &checks, err);
    rh_checks_find(&checks, findings);
    rh_checks_free(&checks);
    return failed;
}

static struct rh_journal *journal_of(struct rh_server *s, const char *vm,
                                     rh_error **err)
{
    RH_AUTO(rh_freep) char *key = rh_printf("%s %s", s->remote.text, vm);

    return rh_server_journal(s, NULL, key, NULL, err);
}

int rh_to_server_begin(struct rh_delivery *d, rh_error **err)
{
    struct rh_to_server *t = d->state;

    t->journal = journal_of(&t->server, d->request.job->name, err);
    if (!t->journal)
        return -1;
    if (t->steps->begun)
        t->steps->begun(d);
    return 0;
}

int rh_to_server_commit(struct rh_delivery *d, rh_error **err)
{
    struct rh_to_server *t = d->state;
    const char *id;

    if (t->steps->finish(d, &id, err) < 0)
        return -1;
    d->where = rh_printf(_("%s at %s"), id, t->server.remote.text);
    return 0;
}

/* "ID at URL", and the guest's address, where somebody waits for it. */
static void tell_addresses(struct rh_delivery *d, const json_t *list)
{
    RH_AUTO(rh_freep) char *text = rh_address_text(list);
    char *where = d->where;

    if (!text[0])
        return;
    d->where = rh_printf(_("%s, address %s"), where, text);
    free(where);
}

int rh_to_server_start(struct rh_delivery *d, rh_error **err)
{
    struct rh_to_server *t = d->state;
    json_t *addresses = NULL;

    if (rh_server_start(&t->server, t->work, &addresses, err) < 0)
        return rh_error_context(err, _("the VM was delivered as %s, but"),
                                d->where);
    if (addresses)
        tell_addresses(d, addresses);
    json_decref(addresses);
    return 0;
}

void rh_to_server_abort(struct rh_delivery *d)
{
    struct rh_to_server *t = d->state;

    if (!rh_option_yes(d->request.options, "keep-failed"))
        d->kind->server->undo(t->work);
}

void rh_to_server_close(struct rh_delivery *d)
{
    struct rh_to_server *t = d->state;

    t->steps->free(d);
    rh_journal_close(t->journal);
    rh_server_close(&t->server);
    free(t);
}

int rh_to_server_find(const struct rh_server_kind *kind,
                      const struct rh_find *f, char **ret_where, rh_error **err)
{
    struct rh_server s = {0};
    struct rh_journal *j = NULL;
    int failed = rh_server_open(&s, kind, f->lib, f->out, f->options, err);

    if (!failed) {
        j = journal_of(&s, f->name, err);
        failed = j ? kind->find(&s, f->mark, f->start, ret_where, err) : -1;
    }
    rh_journal_close(j);
    rh_server_close(&s);
    return failed;
}
