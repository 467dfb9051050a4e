/* live_changes.c - what a live source tells of changes, through the layer that
 * warm migration stands on:
 *
 *     live-changes URL KEY=VALUE... -- COMMAND
 *
 * A snapshot, COMMAND (the guest writes), another snapshot, the areas of disk 0
 * that changed in between, one line each, and its bytes at the second snapshot
 * into ./at-snapshot.  KEY=VALUE are options ("source-tls-ca=FILE"). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/format.h"
#include "live/live.h"
#include "rehost/rehost.h"

static int print_area(void *user, const struct rh_live_area *a, rh_error **err)
{
    (void)user, (void)err;
    printf("%llu %llu %s\n", (unsigned long long)a->start,
           (unsigned long long)a->length, a->zero ? "zero" : "data");
    return 0;
}

static int save(struct rh_reader *r, rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc((size_t)r->size);
    FILE *f = fopen("at-snapshot", "w");
    int failed = rh_reader_read(r, codec, buf, (size_t)r->size, 0, err);

    if (f && !failed)
        fwrite(buf, 1, (size_t)r->size, f);
    if (f)
        fclose(f);
    return f ? failed : -1;
}

static int between(struct rh_live_vm *vm, const char *command, char *id[2],
                   char **mark, rh_error **err)
{
    const struct rh_live_platform *on = vm->live->platform;
    RH_AUTO(rh_reader_closep) struct rh_reader *r = NULL;
    bool quiesced;

    if (on->snapshot(vm, "rehost-test-1", false, &id[0], &quiesced, err) < 0 ||
        on->mark(vm, 0, id[0], mark, err) < 0)
        return -1;
    if (system(command) != 0) /* NOLINT: the test's own */
        return rh_fail(err, RH_ERR_BUG, "the command failed");
    /* As a warm pass does it: where that can be, the old one goes before the
     * new one is made. */
    if ((!on->marks_hold && on->unsnapshot(vm, id[0], err) < 0) ||
        on->snapshot(vm, "rehost-test-2", false, &id[1], &quiesced, err) < 0 ||
        on->changed(vm, 0, id[1], *mark, print_area, NULL, err) < 0 ||
        (on->marks_hold && on->unsnapshot(vm, id[0], err) < 0))
        return -1;
    r = on->disk(vm, 0, id[1], err);
    if (!r || save(r, err) < 0)
        return -1;
    return on->unsnapshot(vm, id[1], err);
}

static int run(rh_lib *lib, char **words, rh_options *o, rh_error **err)
{
    const struct rh_package_options options = {.all = o};
    RH_AUTO(rh_package_freep) struct rh_package *p = NULL;
    char *id[2] = {NULL, NULL}, *mark = NULL;
    int i = 2, failed;

    for (; words[i] && strcmp(words[i], "--"); i++) {
        char *value = strchr(words[i], '=');

        *value = '\0';
        if (rh_options_add(o, words[i], value + 1, err) < 0)
            return -1;
    }
    p = rh_package_open(lib, words[1], &options, err);
    if (!p)
        return -1;
    failed = between(rh_live_vm_of(p), words[i + 1], id, &mark, err);
    free(id[0]);
    free(id[1]);
    free(mark);
    return failed;
}

int main(int argc, char **argv)
{
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);
    rh_options *o = rh_options_new();
    int failed = argc < 4 || run(lib, argv, o, &e) < 0;

    if (failed)
        fprintf(stderr, "%s [%s]\n", e ? rh_error_message(e) : "usage",
                e ? rh_error_id(e) : "");
    rh_error_free(e);
    rh_options_free(o);
    rh_lib_free(lib);
    return failed;
}
