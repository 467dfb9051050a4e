/* launch.c - the workers of one VM: their arguments, log and folder. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/out.h"
#include "base/random.h"
#include "base/text.h"
#include "convert/batch/step.h"
#include "convert/options.h"

struct arguments {
    RH_VEC(char *) words;
};

static void add_word(struct arguments *a, char *word)
{
    *rh_vec_add(&a->words) = word;
}

static void free_words(struct arguments *a)
{
    for (size_t k = 0; k < a->words.count; k++)
        free(a->words.items[k]);
    free(a->words.items);
}

static void add_options(struct arguments *a, const struct rh_job_vm *vm,
                        const char *const *only)
{
    const struct rh_reach reach = {.sources =
                                       (const char *const *)vm->sources.items,
                                   .count = vm->sources.count};

    for (size_t k = 0; k < vm->options.list.count; k++) {
        const struct rh_option *o = &vm->options.list.items[k];
        bool wanted = !only;

        for (size_t n = 0; only && only[n]; n++)
            wanted |= !strcmp(only[n], o->key);
        /* A report goes nowhere. */
        if (!wanted ||
            (only && !rh_option_reaches(&vm->options, o->key, &reach)))
            continue;
        add_word(a, rh_job_is_switch(o->key)
                        ? rh_printf("--%s", o->key)
                        : rh_printf("--%s=%s", o->key, o->value));
    }
}

static int start(rh_batch *b, size_t i, struct arguments *a, int log,
                 rh_error **err)
{
    struct rh_task *t = &b->tasks[i];
    int failure;

    add_word(a, rh_printf("--threads=%u", b->threads));
    add_word(a, rh_printf("--memory=%llu", (unsigned long long)b->memory));
    if (b->rate >= 0)
        add_word(a, rh_printf("--bandwidth=%llu@%d",
                              (unsigned long long)b->bandwidth, b->rate));
    add_word(a, rh_printf("--lang=%s", rh_text_lang()));
    add_word(a, rh_strdup("--progress=json"));
    add_word(a, rh_strdup("--json"));
    add_word(a, rh_strdup("--"));
    for (size_t k = 0; k < rh_turn_vm(b, i)->sources.count; k++)
        add_word(a, rh_strdup(rh_turn_vm(b, i)->sources.items[k]));
    add_word(a, NULL);
    failure = rh_worker_start(&t->worker, b->program, a->words.items, log,
                              b->rate, err);
    free_words(a);
    return failure;
}

/* The log of a VM: the words of its last attempt. */
static int open_log(const rh_batch *b, size_t i)
{
    RH_AUTO(rh_closep)
    int dir = b->dry_run ? -1
                         : rh_batch_journal_vm(&b->journal,
                                               rh_turn_vm(b, i)->folder, NULL);

    return dir < 0 ? -1
                   : openat(dir, "log",
                            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

/* A dry run without the guest: how much space, and whether it opens at all.
 * It takes milliseconds. */
void rh_step_plan(rh_batch *b, size_t i)
{
    /* All that report takes of what convert takes. */
    static const char *const planned[] = {"to",
                                          "fill",
                                          "set",
                                          "vm",
                                          "strict",
                                          "configuration",
                                          "drop",
                                          "key",
                                          "source-format",
                                          "trust",
                                          "datastore-map",
                                          "login",
                                          "pin",
                                          "tls-ca",
                                          "source-pin",
                                          "source-tls-ca",
                                          "snapshot",
                                          "transport",
                                          "require-manifest",
                                          "format",
                                          "compress",
                                          "devices",
                                          "fix",
                                          "no-fix",
                                          "no-guest-fix",
                                          "drivers",
                                          "network-map",
                                          "remove-vmware-tools",
                                          "skip-free",
                                          "storage",
                                          "vmid",
                                          "run-as",
                                          "sr",
                                          "target-version",
                                          "max-disk-size",
                                          "temp-dir",
                                          NULL};
    const char *deliver = rh_turn_vm(b, i)->deliver;
    struct arguments a = {0};
    rh_error *e = NULL;

    b->tasks[i].step = RH_STEP_PLAN;
    add_word(&a, rh_strdup("rehost"));
    add_word(&a, rh_strdup("report"));
    if (!b->dry_run)
        add_word(&a, rh_strdup("--no-guest"));
    if (rh_turn_vm(b, i)->sources.count > 1)
        add_word(&a, rh_strdup("--one-vm"));
    /* So that it gives up its rights before it reads. */
    if (deliver && rh_out_is_parted(deliver))
        add_word(&a, rh_printf("--target=%s", deliver));
    add_options(&a, rh_turn_vm(b, i), planned);
    if (start(b, i, &a, open_log(b, i), &e) < 0)
        rh_turn_failed_with(b, i, e);
}

static int new_staging(const rh_batch *b, size_t i, rh_error **err)
{
    char hex[13];

    if (rh_random_hex(hex, 6, err) < 0)
        return -1;
    rh_turn_text(&b->tasks[i].staging,
                 rh_printf("%s.%s", rh_turn_vm(b, i)->folder, hex));
    return 0;
}

static int make_staging(const rh_batch *b, size_t i, rh_error **err)
{
    const struct rh_task *t = &b->tasks[i];

    if (new_staging(b, i, err) < 0)
        return -1;
    if (mkdirat(b->journal.work, t->staging, 0777) == 0)
        return 0;
    return rh_fail_errno(err, RH_ERR_BATCH_JOURNAL, errno,
                         "cannot create the folder \"%s\"", t->staging);
}

void rh_step_convert(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = rh_turn_vm(b, i);
    struct arguments a = {0};
    rh_error *e = NULL;
    char *there;

    t->step = RH_STEP_CONVERT;
    add_word(&a, rh_strdup("rehost"));
    add_word(&a, rh_strdup("convert"));
    if (vm->deliver) {
        add_word(&a, rh_printf("--out=%s", vm->deliver));
    } else if (make_staging(b, i, &e) < 0) {
        free_words(&a);
        rh_turn_failed_with(b, i, e);
        return;
    } else {
        add_word(&a, rh_printf("--out=%s/.rehost/work/%s", b->journal.out,
                               t->staging));
        add_word(&a, rh_printf("--results-at=%s", b->journal.out));
    }
    if (t->fetched_most) {
        add_word(&a, rh_printf("--fetched-dir=%s/.rehost/fetched/%s",
                               b->journal.out, vm->folder));
        add_word(&a, rh_printf("--fetched-most=%llu",
                               (unsigned long long)t->fetched_most));
    }
    for (size_t k = 0; (there = rh_targets_done(&t->record, k)); k++) {
        add_word(&a, rh_printf("--done=%s", there));
        free(there);
    }
    if (vm->named)
        add_word(&a, rh_printf("--name=%s", vm->name));
    add_options(&a, vm, NULL);
    if (start(b, i, &a, open_log(b, i), &e) < 0)
        rh_turn_failed_with(b, i, e);
}
