/* stage.c - volumes of a Proxmox VE node that later passes write into, before
 * their VM is made: `warm --out proxmox-local:STORAGE`.
 *
 * This process has no rights: the other one makes the volumes and hands them
 * over open (broker_staged.c). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver/local/fill.h"

struct state {
    struct rh_staged_facts facts;
    char *name; /* of the volume that is open */
    int fd;
};

static void let_go(struct state *s)
{
    rh_closep(&s->fd);
    free(s->name);
    s->name = NULL;
}

static void close_stage(struct rh_stage *stage)
{
    struct state *s = stage->state;

    if (!s)
        return;
    let_go(s);
    free(s->facts.vmid);
    free(s);
    stage->state = NULL;
}

static int open_stage(struct rh_stage *stage, rh_error **err)
{
    struct state *s = stage->state = rh_new0(struct state);

    s->fd = -1;
    return rh_local_need_broker(stage->lib, err) < 0 ||
                   !rh_node_storage_in(stage->out, err)
               ? -1
               : 0;
}

/* Only who writes needs a number. */
static int begin(struct rh_stage *stage, rh_error **err)
{
    struct state *s = stage->state;

    return s->facts.vmid ? 0
                         : rh_broker_stage(stage->lib, stage->mark,
                                           rh_option(stage->options, "vmid"),
                                           &s->facts, err);
}

static int make(struct rh_stage *stage, size_t i, const char *name,
                uint64_t size, char **ret_id, rh_error **err)
{
    struct state *s = stage->state;

    (void)name;
    let_go(s);
    if (begin(stage, err) < 0 ||
        rh_broker_make(stage->lib, i, size, &s->name, &s->fd, err) < 0)
        return -1;
    if (s->facts.thick && rh_local_empty(stage->lib, s->fd, s->name, err) < 0)
        return -1;
    if (fsync(s->fd) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "the volume could not be written");
    *ret_id = rh_strdup(s->name);
    return 0;
}

static int look(struct rh_stage *stage, const char *id, uint64_t size,
                bool *ret, rh_error **err)
{
    struct state *s = stage->state;

    let_go(s);
    if (begin(stage, err) < 0 ||
        rh_broker_use(stage->lib, id, size, NULL, &s->fd, err) < 0)
        return -1;
    *ret = s->fd >= 0;
    s->name = rh_strdup(id);
    return 0;
}

/* Into the one that was looked at, or made, last. */
static int write_ranges(struct rh_stage *stage, const char *id,
                        struct rh_reader *disk, const struct rh_range *ranges,
                        size_t count, uint64_t *ret_sent, rh_error **err)
{
    const struct state *s = stage->state;

    if (s->fd < 0 || strcmp(s->name, id) != 0)
        return rh_fail(err, RH_ERR_BUG, "the volume is not open");
    return rh_local_put(stage->lib, s->fd, id, s->facts.thin, disk, ranges,
                        count, ret_sent, err);
}

static int clean(struct rh_stage *stage, rh_error **err)
{
    return rh_broker_unstage(stage->lib, stage->mark, err);
}

const struct rh_stager rh_local_stager = {
    .target = "kvm",
    .format = "raw",
    .open = open_stage,
    .make = make,
    .look = look,
    .write = write_ranges,
    .clean = clean,
    .close = close_stage,
};
