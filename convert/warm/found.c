/* found.c - was it handed over by one who died before he could write that down?
 *
 * Everything that a cutover makes has the job's mark: a result in its receipt,
 * a VM at a server in its description.  A result of an older version is known
 * by its disk, which is the very file that we keep. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/result.h"
#include "convert/warm/warm.h"
#include "deliver/deliver.h"
#include "deliver/server.h"

/* --- in a folder
 * ------------------------------------------------------------- */

static bool has_our_disk(const rh_warm *w, int dir)
{
    RH_AUTO(rh_freep) char *first = rh_printf("disk0.%s", w->j.format);
    struct stat a, b;

    if (!w->j.direct || fstatat(dir, first, &b, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    for (size_t i = 0; i < w->j.disks.count; i++)
        if (fstatat(w->j.dir, w->j.disks.items[i].file, &a,
                    AT_SYMLINK_NOFOLLOW) == 0 &&
            a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return true;
    return false;
}

static bool has_our_mark(const rh_warm *w, const char *path)
{
    json_t *receipt;
    const char *mark;
    bool ours;

    if (!w->j.mark)
        return false;
    receipt = rh_result_json(path, "receipt.json", NULL);
    mark = json_string_value(json_object_get(receipt, "mark"));
    ours = mark && !strcmp(mark, w->j.mark);
    json_decref(receipt);
    return ours;
}

static bool is_result(const rh_warm *w, int out, const char *name,
                      const char *path)
{
    RH_AUTO(rh_closep)
    int dir =
        openat(out, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return dir >= 0 && faccessat(dir, "receipt.json", F_OK, 0) == 0 &&
           (has_our_disk(w, dir) || has_our_mark(w, path));
}

/* By whatever name: that of a VM may have changed since the job began. */
static char *result_there(const rh_warm *w)
{
    const char *out = rh_option(w->j.options, "out");
    DIR *folder = opendir(out);
    const struct dirent *e;
    char *found = NULL;

    while (folder && !found && (e = readdir(folder))) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", out, e->d_name);

        if (e->d_name[0] != '.' && is_result(w, dirfd(folder), e->d_name, path))
            found = RH_TAKE(path);
    }
    if (folder)
        closedir(folder);
    return found;
}

/* --- at a server
 * ------------------------------------------------------------- */

/* *ret NULL: it is not there. */
static int find(rh_warm *w, bool start, char **ret, rh_error **err)
{
    const char *out = rh_option(w->j.options, "out");
    const struct rh_deliverer *kind = rh_deliverer_of(out);
    const struct rh_server_kind *server = kind->server;
    rh_options *o = rh_warm_options(w->j.options, true);
    struct rh_find f = {.lib = w->lib,
                        .out = out,
                        .options = o,
                        .name = w->j.delivered_as,
                        .mark = w->j.mark,
                        .start = start};
    int failed = 0;

    *ret = NULL;
    if (!strcmp(kind->name, "folder"))
        *ret = result_there(w);
    else if (!w->j.mark || !w->j.delivered_as)
        ;
    else if (server && server->find)
        failed = rh_to_server_find(server, &f, ret, err);
    else if (kind->find)
        failed = kind->find(&f, ret, err);
    rh_options_free(o);
    return failed;
}

int rh_warm_look_for_result(rh_warm *w, rh_error **err)
{
    RH_AUTO(rh_freep) char *there = NULL;

    if (w->j.state != RH_WARM_CUTOVER)
        return 0;
    if (find(w, false, &there, err) < 0)
        return -1;
    if (!there)
        return 0;
    free(w->j.result);
    w->j.result = RH_TAKE(there);
    w->j.state = RH_WARM_HANDED;
    rh_warm_say(w, _("it was handed over by an earlier run: %s"), w->j.result);
    return rh_warm_journal_save(&w->j, err);
}

int rh_warm_start_result(rh_warm *w, rh_error **err)
{
    RH_AUTO(rh_freep) char *there = NULL;

    if (w->j.started)
        return 0;
    if (find(w, true, &there, err) < 0)
        return -1;
    if (!there)
        rh_warm_say(w, _("the VM is not found at %s: start it by hand"),
                    rh_option(w->j.options, "out"));
    w->j.started = there != NULL;
    return rh_warm_journal_save(&w->j, err);
}
