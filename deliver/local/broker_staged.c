/* broker_staged.c - the process with root's rights hands out volumes that a
 * warm migration fills before their VM is made (staged.h).
 *
 * What the caller says is believed no more than elsewhere: it gets what was
 * noted here for its job, as long as no guest has it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "deliver/local/broker.h"

const char *rh_broker_mark(const char *mark)
{
    static const char stem[] = "rehost warm ";
    size_t n = sizeof stem - 1;

    return !strncmp(mark, stem, n) && strlen(mark) == n + RH_STAGED_MARK &&
                   strspn(mark + n, "0123456789abcdef") == RH_STAGED_MARK
               ? mark + n
               : NULL;
}

/* --- the number
 * ----------------------------------------------------------------------- */

static int begin_with(struct rh_broker *b, const char *asked, rh_error **err)
{
    if (rh_broker_look_at_node(b, asked, err) < 0)
        return -1;
    if (b->facts.taken)
        return rh_fail(err, RH_ERR_DELIVERY_TAKEN, "a VM %s is there already",
                       b->facts.vmid);
    return rh_staged_begin(&b->staged, b->storage, b->facts.vmid, err);
}

static int free_all(struct rh_broker *b, bool *ret_used, rh_error **err)
{
    *ret_used = false;
    for (size_t i = 0; i < b->staged.volumes.count; i++) {
        const char *name = b->staged.volumes.items[i].name;
        RH_AUTO(rh_freep) char *left = NULL;
        bool used;

        if (!name)
            continue;
        if (rh_node_clean("volume", name, err) < 0 ||
            rh_node_volume(name, &left, &used, err) < 0)
            return -1;
        *ret_used |= left != NULL;
    }
    return 0;
}

/* Somebody else has made a VM of that number: Proxmox keeps a guest's volumes
 * by it, so they are made anew. */
static int take_another(struct rh_broker *b, const char *asked, rh_error **err)
{
    bool used;

    if (asked[0])
        return rh_fail(err, RH_ERR_DELIVERY_TAKEN, "a VM %s is there already",
                       asked);
    rh_log(b->lib, RH_LOG_WARN,
           "a VM %s was made meanwhile: the volumes of that number are taken "
           "away, and made anew with another one",
           b->staged.vmid);
    if (free_all(b, &used, err) < 0)
        return -1;
    if (used)
        rh_log(b->lib, RH_LOG_WARN,
               "VM %s has taken volumes of ours: they stay with it",
               b->staged.vmid);
    return begin_with(b, "", err);
}

static int settle_number(struct rh_broker *b, const char *asked, rh_error **err)
{
    bool is_free = false;

    if (!b->staged.vmid)
        return begin_with(b, asked, err);
    if (rh_broker_look_at_node(b, b->staged.vmid, err) < 0 ||
        rh_node_number_is_free(NULL, b->staged.vmid, &is_free, err) < 0)
        return -1;
    if (!is_free)
        return take_another(b, asked, err);
    if (!b->facts.taken)
        return 0;
    rh_fail(err, RH_ERR_DELIVERY_TAKEN, "another run uses the number %s",
            b->staged.vmid);
    return rh_hint(err, "wait for it to end");
}

/* By this process, which has locked it since. */
static bool is_settled(const struct rh_broker *b)
{
    return b->staged.vmid && b->facts.reserved && !b->facts.taken &&
           !strcmp(b->facts.vmid, b->staged.vmid);
}

/* --- the calls
 * ------------------------------------------------------------------------ */

static int open_record(struct rh_broker *b, const char *mark, bool make,
                       rh_error **err)
{
    if (b->staged.mark[0] && !strcmp(b->staged.mark, mark))
        return 1;
    if (b->staged.mark[0])
        rh_staged_close(&b->staged);
    return rh_staged_open(&b->staged, b->storage, mark, make, err);
}

int rh_broker_stage_open(struct rh_broker *b, const char *mark,
                         const char *asked, struct rh_broker_staged *ret,
                         rh_error **err)
{
    const char *digits = rh_broker_mark(mark);

    if (!digits || b->journal)
        return rh_fail(err, RH_ERR_BUG, "no volumes lie here");
    if (open_record(b, digits, true, err) < 0 ||
        (!is_settled(b) && settle_number(b, asked, err) < 0))
        return -1;
    ret->vmid = b->staged.vmid;
    ret->type = b->facts.type;
    ret->thick = b->facts.thick;
    return 0;
}

/* What a run that died has made, and nobody was told of, goes first. */
static int make_room(struct rh_broker *b, size_t disk, rh_error **err)
{
    const char *name = disk < b->staged.volumes.count
                           ? b->staged.volumes.items[disk].name
                           : NULL;
    RH_AUTO(rh_freep) char *left = NULL;
    bool used = false;

    if (name && (rh_node_clean("volume", name, err) < 0 ||
                 rh_node_volume(name, &left, &used, err) < 0))
        return -1;
    return left ? rh_fail(err, RH_ERR_DELIVERY_TAKEN,
                          "the volume %s belongs to a VM by now", left)
                : 0;
}

int rh_broker_stage_make(struct rh_broker *b, const char *disk,
                         const char *size, struct rh_broker_staged *ret,
                         rh_error **err)
{
    uint64_t number, bytes;
    char own[RH_STAGED_MARK + 1];
    RH_AUTO(rh_freep) char *name = NULL;
    RH_AUTO(rh_freep) char *whole = NULL;
    struct rh_staged_volume *v;

    if (!b->staged.vmid || b->journal || !rh_parse_u64(disk, &number) ||
        number >= RH_STAGED_DISKS || !rh_parse_u64(size, &bytes) || !bytes ||
        bytes > (uint64_t)1 << 50)
        return rh_fail(err, RH_ERR_BUG, "no volume is made here");
    /* Never a name that was one before: the caller may remember that. */
    if (rh_random_hex(own, sizeof own / 2, err) < 0)
        return -1;
    name = rh_printf("vm-%s-disk-%u-%s%s", b->staged.vmid, (unsigned)number,
                     own, b->facts.files ? ".raw" : "");
    whole = rh_printf("%s:%s", b->storage, name);
    if (make_room(b, (size_t)number, err) < 0 ||
        rh_staged_note(&b->staged, (size_t)number, bytes, whole, err) < 0)
        return -1;
    v = &b->staged.volumes.items[number];
    if (rh_node_alloc_named(NULL, b->storage, b->staged.vmid, name, bytes,
                            &v->id, err) < 0)
        return -1;
    ret->fd = rh_broker_open_volume(v->id, b->facts.type, err);
    ret->there = true;
    ret->id = v->name;
    return ret->fd < 0 ? -1 : 0;
}

int rh_broker_stage_use(struct rh_broker *b, const char *name, const char *size,
                        struct rh_broker_staged *ret, rh_error **err)
{
    struct rh_staged_volume *v = NULL;
    uint64_t bytes;
    bool used;

    if (!rh_parse_u64(size, &bytes))
        return rh_fail(err, RH_ERR_BUG, "that is no size");
    if (b->staged.mark[0])
        v = rh_staged_find(&b->staged, name, bytes);
    if (!v)
        return 0;
    free(v->id);
    v->id = NULL;
    if (rh_node_volume(v->name, &v->id, &used, err) < 0)
        return -1;
    if (used)
        return rh_fail(err, RH_ERR_DELIVERY_TAKEN,
                       "the volume %s belongs to a VM by now", v->id);
    if (!v->id)
        return 0;
    ret->fd = rh_broker_open_volume(v->id, b->facts.type, err);
    ret->there = true;
    ret->id = v->id;
    return ret->fd < 0 ? -1 : 0;
}

int rh_broker_stage_drop(struct rh_broker *b, const char *mark, rh_error **err)
{
    const char *digits = rh_broker_mark(mark);
    bool used;
    int got;

    if (!digits || b->journal)
        return rh_fail(err, RH_ERR_BUG, "no volumes lie here");
    got = open_record(b, digits, false, err);
    if (got <= 0)
        return got;
    if (free_all(b, &used, err) < 0)
        return -1;
    if (used)
        return rh_fail(err, RH_ERR_DELIVERY_LEFT,
                       "VM %s has volumes of this job (%s)", b->staged.vmid,
                       b->staged.mark);
    rh_staged_end(&b->staged);
    return 0;
}

int rh_broker_stage_give(struct rh_broker *b, const char *mark, rh_error **err)
{
    const char *digits = rh_broker_mark(mark);

    if (!mark[0])
        return 0;
    if (!digits || strcmp(digits, b->staged.mark) || !b->staged.vmid ||
        strcmp(b->staged.vmid, b->vm.vmid))
        return rh_fail(err, RH_ERR_BUG, "no volumes lie here");
    b->vm.staged = true;
    for (size_t i = 0; i < b->staged.volumes.count; i++)
        if (b->staged.volumes.items[i].id)
            *rh_vec_add(&b->vm.ids) = rh_strdup(b->staged.volumes.items[i].id);
    return 0;
}

void rh_broker_stage_forget(struct rh_broker *b, const char *mark)
{
    const char *digits = rh_broker_mark(mark);

    if (digits && open_record(b, digits, false, NULL) == 1)
        rh_staged_end(&b->staged);
}
