/* common.c - what every target does alike when it writes its files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "targets/target.h"

const char *rh_target_option(const struct rh_target_job *job, const char *name)
{
    return rh_option(job->options->given, name);
}

char *rh_target_about(const struct rh_target_job *job, const char *shown)
{
    const char *name = rh_text_of(&job->vm->name);
    const char *about = rh_text_of(&job->vm->annotation);
    RH_AUTO(rh_freep) char *printable = rh_printable(name);

    if (!*name || !strcmp(name, shown) || !strcmp(printable, shown))
        return rh_strdup(about);
    return *about ? rh_printf("%s\n%s", name, about) : rh_strdup(name);
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
