/* tags.c - the VM's tags as Proxmox VE has them: letters without accents,
 * digits, _ + . and -, the first one a letter, a digit or _; upper and lower
 * case are the same (its format pve-tag). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "targets/kvm/kvm.h"

enum { TAGS_LONG = 4096 }; /* bytes of all of them, in one line of a file */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_';
}

/* "Env:Prod" -> "Env-Prod"; "" where nothing is left. */
static char *spell(const char *tag)
{
    struct rh_buf b = {0};

    for (; *tag; tag++) {
        bool fits = is_letter(*tag) || strchr("+.-", *tag);

        if (is_letter(*tag) || (fits && b.length))
            rh_buf_putc(&b, *tag);
        else if (b.length && b.data[b.length - 1] != '-')
            rh_buf_putc(&b, '-');
    }
    while (b.length && b.data[b.length - 1] == '-')
        b.data[--b.length] = '\0';
    return rh_buf_take(&b);
}

/* In ";a;b", or among those that every VM of ours has? */
static bool has(const struct rh_target_job *job, const struct rh_buf *b,
                const char *tag)
{
    const char *kind = job->vm->source_kind;
    size_t n = strlen(tag);

    if (!strcasecmp(tag, "rehost") || (kind && !strcasecmp(tag, kind)))
        return true;
    for (const char *p = b->data; p && *p;) {
        size_t m = strcspn(++p, ";");

        if (m == n && !strncasecmp(p, tag, n))
            return true;
        p += m;
    }
    return false;
}

char *rh_kvm_tags(const struct rh_target_job *job, size_t *ret_changed,
                  size_t *ret_lost)
{
    struct rh_buf b = {0};
    const char *at = NULL;
    char *tag;

    *ret_changed = *ret_lost = 0;
    while ((tag = rh_target_tag(job, &at))) {
        RH_AUTO(rh_freep) char *spelled = spell(tag);

        if (!spelled[0] || has(job, &b, spelled) ||
            b.length + strlen(spelled) >= TAGS_LONG) {
            ++*ret_lost;
        } else {
            *ret_changed += strcmp(spelled, tag) != 0;
            rh_buf_printf(&b, ";%s", spelled);
        }
        free(tag);
    }
    return rh_buf_take(&b);
}
