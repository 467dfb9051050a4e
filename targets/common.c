/* common.c - what every target does alike when it writes its files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "targets/target.h"

const char *rh_target_option(const struct rh_target_job *job, const char *name)
{
    return rh_option(job->options->given, name);
}

enum { ABOUT_LONG = 2000 };

char *rh_target_about(const struct rh_target_job *job, const char *shown)
{
    const char *name = rh_text_of(&job->vm->name);
    const char *about = rh_text_of(&job->vm->annotation);
    const char *mark = rh_option(job->options->given, "mark");
    RH_AUTO(rh_freep) char *printable = rh_printable(name);
    const char *lines[3] = {name, about, mark ? mark : ""};
    struct rh_buf b = {0};

    if (!strcmp(name, shown) || !strcmp(printable, shown))
        lines[0] = "";
    if (strlen(about) > ABOUT_LONG) { /* some targets cut the end off */
        lines[1] = lines[2];
        lines[2] = about;
    }
    for (size_t i = 0; i < RH_COUNT(lines); i++)
        if (lines[i][0])
            rh_buf_printf(&b, "%s%s", b.length ? "\n" : "", lines[i]);
    return rh_buf_take(&b);
}

char *rh_target_tag(const struct rh_target_job *job, const char **at)
{
    const char *p = *at ? *at : rh_text_of(&job->vm->tags);
    size_t n;

    p += strspn(p, "; ");
    n = strcspn(p, ";");
    *at = p + n;
    while (n && p[n - 1] == ' ')
        n--;
    return n ? rh_strndup(p, n) : NULL;
}

const char *rh_target_network(const struct rh_target_options *o,
                              const char *from)
{
    const char *any = NULL;

    for (size_t i = 0; i < o->network_count; i++) {
        if (!strcmp(o->networks[i].from, from))
            return o->networks[i].to;
        if (!strcmp(o->networks[i].from, "*"))
            any = o->networks[i].to;
    }
    return any;
}

int rh_target_put_bytes(const struct rh_target_job *job, const char *name,
                        const void *bytes, size_t n, bool executable,
                        rh_error **err)
{
    return job->out->put(job->out->user, name, bytes, n, executable, err);
}

int rh_target_put(const struct rh_target_job *job, const char *name,
                  const char *text, bool executable, rh_error **err)
{
    return rh_target_put_bytes(job, name, text, strlen(text), executable, err);
}

void rh_shell_quote(struct rh_buf *b, const char *text)
{
    rh_buf_putc(b, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            rh_buf_puts(b, "'\\''");
        else
            rh_buf_putc(b, *text);
    }
    rh_buf_putc(b, '\'');
}

void rh_target_say_uuid(const struct rh_target_job *job,
                        enum rh_uuid_order order, struct rh_findings *findings)
{
    enum rh_uuid_seen seen = rh_vm_uuid_seen(job->vm);
    char uuid[37], own[37], swapped[37];

    if (seen == RH_UUID_UNSEEN || job->vm->uuid.from == RH_FROM_SET)
        return;
    rh_vm_smbios_uuid(job->vm, order, uuid);
    rh_vm_uuid(job->vm, own);
    rh_uuid_swap(job->vm->seen_uuid, swapped);
    if (seen == RH_UUID_OTHER)
        rh_finding_add(
            findings, RH_F_WINDOWS_UUID_OTHER, "vm",
            N_("Windows last saw a machine with another UUID than the package "
               "says (%s); --set uuid=%s gives it the one it knows"),
            own, order == RH_UUID_SWAPPED ? job->vm->seen_uuid : swapped);
    else if (strcmp(uuid, own))
        rh_finding_add(findings, RH_F_WINDOWS_UUID, "vm",
                       N_("the VM's UUID is written %s (the source: %s), so "
                          "that Windows sees the one it knows"),
                       uuid, own);
}
