/* receiver.c - whole VMs by the caller's own functions. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/receiver.h"

#include <stdlib.h>
#include <string.h>

#include "rehost/rehost.h"

enum { PREFIX = sizeof "app-vm:" - 1 };

struct rh_receiver {
    char *name;
    rh_vm_begin_fn *begin;
    rh_vm_write_fn *write;
    rh_vm_zero_fn *zero;
    rh_vm_flush_fn *flush;
    rh_vm_finish_fn *finish;
    rh_vm_abort_fn *abort;
    rh_vm_why_fn *why;
    void *user;
};

struct rh_receiving {
    const struct rh_receiver *to;
    char *name; /* for messages: the URL */
    void *vm;   /* the caller's */
};

/* Of this library, or of the one that it works for.  It stays where it is. */
static const struct rh_receiver *find(rh_lib *lib, const char *name)
{
    const struct rh_receiver *found = NULL;

    for (; lib && !found; lib = lib->of) {
        pthread_mutex_lock(&lib->lock);
        for (size_t i = 0; i < lib->receivers.count && !found; i++)
            if (!strcmp(lib->receivers.items[i]->name, name))
                found = lib->receivers.items[i];
        pthread_mutex_unlock(&lib->lock);
    }
    return found;
}

static const struct rh_receiver *must_find(rh_lib *lib, const char *url,
                                           rh_error **err)
{
    const struct rh_receiver *r = find(lib, url + PREFIX);

    if (r)
        return r;
    rh_fail(err, RH_ERR_FILE_NOT_FOUND,
            "the program has added no receiver of that name");
    rh_error_subject(err, url);
    return NULL;
}

int rh_receiver_check(rh_lib *lib, const char *url, rh_error **err)
{
    return must_find(lib, url, err) ? 0 : -1;
}

int rh_lib_add_receiver(rh_lib *lib, const char *name, rh_vm_begin_fn *begin,
                        rh_vm_write_fn *write, rh_vm_zero_fn *zero,
                        rh_vm_flush_fn *flush, rh_vm_finish_fn *finish,
                        rh_vm_abort_fn *abort, rh_vm_why_fn *why, void *user,
                        rh_error **err)
{
    struct rh_receiver *r;

    if (!begin || !write || !finish || !abort)
        return rh_fail(err, RH_ERR_USAGE,
                       "a receiver needs functions to begin, write, finish and "
                       "abort");
    if (!name[0])
        return rh_fail(err, RH_ERR_USAGE, "a receiver needs a name");
    if (find(lib, name)) {
        rh_fail(err, RH_ERR_USAGE, "there is one of that name already");
        return rh_error_subject(err, name);
    }
    r = rh_new0(struct rh_receiver);
    *r = (struct rh_receiver){rh_strdup(name), begin, write, zero, flush,
                              finish,          abort, why,   user};
    pthread_mutex_lock(&lib->lock);
    *rh_vec_add(&lib->receivers) = r;
    pthread_mutex_unlock(&lib->lock);
    return 0;
}

void rh_receiver_drop(rh_lib *lib)
{
    for (size_t i = 0; i < lib->receivers.count; i++) {
        free(lib->receivers.items[i]->name);
        free(lib->receivers.items[i]);
    }
    free(lib->receivers.items);
}

/* --- one VM
 * ----------------------------------------------------------------------------
 */

/* In the program's own words, where it has some. */
static int refused(const struct rh_receiver *r, const char *url, int number,
                   const char *what, rh_error **err)
{
    const char *words = r->why ? r->why(r->user) : NULL;

    if (words && words[0])
        rh_fail(err, RH_ERR_FILE_WRITE, "%s: %s", _(what), words);
    else
        rh_fail_errno(err, RH_ERR_FILE_WRITE, number, "%s", _(what));
    return rh_error_subject(err, url);
}

static int failed(const struct rh_receiving *r, int number, const char *what,
                  rh_error **err)
{
    return number ? refused(r->to, r->name, number, what, err) : 0;
}

struct rh_receiving *rh_receiving_begin(rh_lib *lib, const char *url,
                                        const char *vm, rh_error **err)
{
    const struct rh_receiver *to = must_find(lib, url, err);
    void *handle = to ? to->begin(to->user, vm) : NULL;
    struct rh_receiving *r;

    if (!to)
        return NULL;
    if (!handle) {
        refused(to, url, 0, N_("the program does not take the VM"), err);
        return NULL;
    }
    r = rh_new0(struct rh_receiving);
    *r = (struct rh_receiving){to, rh_strdup(url), handle};
    return r;
}

int rh_receiving_write(struct rh_receiving *r, size_t disk, const void *buf,
                       size_t n, uint64_t offset, rh_error **err)
{
    return failed(r, r->to->write(r->vm, disk, buf, n, offset),
                  N_("the program did not write a disk"), err);
}

int rh_receiving_disk(struct rh_receiving *r, size_t disk, uint64_t size,
                      rh_error **err)
{
    return r->to->zero ? failed(r, r->to->zero(r->vm, disk, size, 0),
                                N_("the program did not empty a disk"), err)
                       : 0;
}

int rh_receiving_flush(struct rh_receiving *r, size_t disk, rh_error **err)
{
    return r->to->flush ? failed(r, r->to->flush(r->vm, disk),
                                 N_("the program did not keep a disk"), err)
                        : 0;
}

static void receiving_free(struct rh_receiving *r)
{
    free(r->name);
    free(r);
}

int rh_receiving_finish(struct rh_receiving *r, const char *receipt,
                        rh_error **err)
{
    if (failed(r, r->to->finish(r->vm, receipt),
               N_("the program did not keep the VM"), err) < 0)
        return -1;
    receiving_free(r);
    return 0;
}

void rh_receiving_abort(struct rh_receiving *r)
{
    if (!r)
        return;
    r->to->abort(r->vm);
    receiving_free(r);
}
