/* runbook.c - for the person who takes a VM over: what was made, what to check
 * first, how to go back. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/limits.h"
#include "base/text.h"
#include "convert/batch/batch.h"

static json_t *load(const char *path)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, NULL);
    RH_AUTO(rh_freep) char *text = NULL;
    size_t n;

    if (!io || rh_io_slurp(io, 64 * RH_MIB, &text, &n, NULL) < 0)
        return NULL;
    return json_loadb(text, n, 0, NULL);
}

static const char *word(const json_t *doc, const char *key)
{
    const char *text = json_string_value(json_object_get(doc, key));

    return text ? text : "";
}

static void findings(struct rh_buf *t, const json_t *target)
{
    const json_t *list = json_object_get(target, "findings"), *f;
    size_t i;

    json_array_foreach (list, i, f) {
        RH_AUTO(rh_freep) char *message = rh_printable(word(f, "message"));
        RH_AUTO(rh_freep) char *remedy = rh_printable(word(f, "remedy"));

        if (!strcmp(word(f, "severity"), "info"))
            continue;
        rh_buf_printf(t, "  [ ] %s: %s\n", word(f, "id"), message);
        if (remedy[0])
            rh_buf_printf(t, "      %s\n", remedy);
    }
}

static void network_checks(struct rh_buf *t, const json_t *vm)
{
    const json_t *nics = json_object_get(json_object_get(vm, "guest"), "nics");
    const json_t *nic, *address;
    size_t i, k;

    json_array_foreach (nics, i, nic)
        json_array_foreach (json_object_get(nic, "addresses"), k, address) {
            RH_AUTO(rh_freep)
            char *text = rh_printable(
                json_string_value(address) ? json_string_value(address) : "");

            rh_buf_printf(t, _("  [ ] it answers at %s\n"), text);
        }
}

static void one_result(const rh_batch *b, struct rh_buf *t, const char *result)
{
    RH_AUTO(rh_freep) char *dir = rh_printf("%s/%s", b->journal.out, result);
    RH_AUTO(rh_freep) char *path = rh_printf("%s/report.json", dir);
    json_t *report = load(path);
    const json_t *vm = json_array_get(json_object_get(report, "vms"), 0);
    const json_t *target = json_array_get(json_object_get(vm, "targets"), 0);

    rh_buf_printf(t, "\n%s (%s)\n", dir, word(target, "target"));
    rh_buf_printf(t, _("  import:   sh %s/import.sh --help\n"), dir);
    rh_buf_printf(t, _("  compare:  rehost verify SOURCE %s\n"), dir);
    rh_buf_puts(t, _("to check:\n"));
    findings(t, target);
    rh_buf_puts(t, _("  [ ] it starts up to the log-in\n"));
    network_checks(t, json_object_get(vm, "vm"));
    rh_buf_puts(t, _("  [ ] its services answer, its backup runs\n"));
    json_decref(report);
}

void rh_batch_runbook(rh_batch *b, size_t i)
{
    const struct rh_job_vm *vm = &b->jobs->vms.items[i];
    const struct rh_record *r = &b->tasks[i].record;
    RH_AUTO(rh_buf_free) struct rh_buf t = {0};
    RH_AUTO(rh_freep) char *name = rh_printable(vm->name);
    RH_AUTO(rh_freep) char *file = rh_printf("%s.txt", vm->folder);
    RH_AUTO(rh_closep) int dir = -1;

    mkdirat(b->journal.dir, "runbook", 0777);
    dir = openat(b->journal.dir, "runbook", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return;
    rh_buf_printf(&t, "%s\n", name);
    for (size_t k = 0; k < vm->sources.count; k++) {
        RH_AUTO(rh_freep) char *source = rh_printable(vm->sources.items[k]);

        rh_buf_printf(&t, _("source: %s\n"), source);
    }
    for (size_t k = 0; k < r->results.count; k++)
        one_result(b, &t, r->results.items[k]);
    rh_targets_missing(r, &t);
    rh_buf_puts(&t, _("\nto go back:\n"
                      "  The source was not changed.  Shut the new VM down, "
                      "disconnect its network, start the old one.\n"
                      "  What was written in the new VM meanwhile stays "
                      "there: copy it first.\n"));
    rh_batch_journal_put(dir, file, t.data, false, NULL);
}
