/* settings.c - what the VM becomes on XCP-ng, one decision each. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "targets/model.h"
#include "targets/xcp-ng/xen.h"

/* Positions 0 to 3 are on the emulated IDE bus as well, which is all that the
 * firmware and a guest without PV drivers see; 3 is kept for the CD drive. */
unsigned rh_xen_position(size_t disk)
{
    return (unsigned)(disk < XEN_CD_POSITION ? disk : disk + 1);
}

/* --- networks ------------------------------------------------------------- */
char *rh_xen_network(const struct rh_target_job *job, size_t nic,
                     bool *ret_mapped)
{
    const char *from = rh_text_of(&job->vm->nics.items[nic].network);
    const char *to = rh_target_network(job->options, from);

    if (ret_mapped)
        *ret_mapped = to != NULL;
    if (to)
        return rh_printable(to);
    return *from ? rh_printable(from) : rh_strdup("VM Network");
}

bool rh_xen_is_bridge(const char *network)
{
    size_t n = 0;

    if (!strncmp(network, "xenbr", 5))
        n = 5;
    else if (!strncmp(network, "xapi", 4))
        n = 4;
    return n && network[n] &&
           strspn(network + n, "0123456789") == strlen(network + n);
}

/* --- sizes and choices ---------------------------------------------------- */
uint64_t rh_xen_cpus(const struct rh_target_job *job)
{
    const struct rh_value *v = &job->vm->cpus;

    return v->kind == RH_VALUE_NUMBER && v->number ? v->number : 1;
}

uint64_t rh_xen_cores(const struct rh_target_job *job)
{
    const struct rh_value *v = &job->vm->cores_per_socket;

    if (v->kind != RH_VALUE_NUMBER || !v->number ||
        rh_xen_cpus(job) % v->number)
        return 1;
    return v->number;
}

uint64_t rh_xen_memory(const struct rh_target_job *job)
{
    const struct rh_value *v = &job->vm->memory_bytes;

    return v->kind == RH_VALUE_NUMBER && v->number ? v->number : RH_GIB;
}

/* "disk,cdrom,network" becomes "cdn"; what is not said comes behind. */
void rh_xen_boot_order(const struct rh_target_job *job, char ret[4])
{
    static const struct {
        const char *word;
        char letter;
    } words[] = {{"disk", 'c'}, {"cdrom", 'd'}, {"network", 'n'}};
    const char *p = rh_text_of(&job->vm->boot_order);
    size_t n = 0;

    ret[0] = '\0';
    for (; *p && n < 3; p += strcspn(p, ","), p += *p == ',')
        for (size_t i = 0; i < RH_COUNT(words); i++)
            if (!strncmp(p, words[i].word, strlen(words[i].word)) &&
                !strchr(ret, words[i].letter)) {
                ret[n++] = words[i].letter;
                ret[n] = '\0';
            }
    for (size_t i = 0; i < RH_COUNT(words) && n < 3; i++)
        if (!strchr(ret, words[i].letter)) {
            ret[n++] = words[i].letter;
            ret[n] = '\0';
        }
}

const char *rh_xen_template(const struct rh_target_job *job)
{
    const char *name = job->profile ? job->profile->xen_template : NULL;

    return name ? name : "Other install media";
}

bool rh_xen_wants_tpm(const struct rh_target_job *job)
{
    return rh_is_true(&job->vm->tpm);
}

bool rh_xen_is_uefi(const struct rh_target_job *job)
{
    return job->firmware && !strcmp(job->firmware, "uefi");
}

bool rh_xen_is_windows(const struct rh_target_job *job)
{
    return job->profile && job->profile->family &&
           !strcmp(job->profile->family, "windows");
}

bool rh_xen_is_xva(const struct rh_target_job *job)
{
    return !job->options->format || !strcmp(job->options->format, "xva");
}

char *rh_xen_name(const struct rh_target_job *job)
{
    const char *name = rh_text_of(&job->vm->name);
    bool given = rh_target_option(job, "name") != NULL;

    return rh_printable(*name && !given ? name : job->name);
}

/* Its lines stay lines. */
char *rh_xen_description(const struct rh_target_job *job)
{
    RH_AUTO(rh_freep) char *name = rh_xen_name(job);
    RH_AUTO(rh_freep) char *about = rh_target_about(job, name);
    const char *p = about;
    struct rh_buf b = {0};

    while (*p) {
        size_t n = strcspn(p, "\r\n\t");
        RH_AUTO(rh_freep) char *piece = rh_strndup(p, n);
        RH_AUTO(rh_freep) char *clean = rh_printable(piece);

        rh_buf_puts(&b, clean);
        p += n;
        if (*p == '\n' || *p == '\t')
            rh_buf_putc(&b, *p == '\n' ? '\n' : ' ');
        p += *p != '\0';
    }
    return rh_buf_take(&b);
}

/* --- platform flags ------------------------------------------------------- */
/* Guests older than these know only the first platform device. */
static bool is_old_windows(const struct rh_target_job *job)
{
    static const char *const old[] = {"windows-2000",  "windows-2003",
                                      "windows-2008",  "windows-7",
                                      "windows-vista", "windows-xp"};

    for (size_t i = 0; i < RH_COUNT(old); i++)
        if (!strncmp(job->profile->id, old[i], strlen(old[i])))
            return true;
    return false;
}

static void set(json_t *flags, const char *key, const char *value)
{
    json_object_set_new(flags, key, json_string(value));
}

static void add_choices(json_t *flags, const struct rh_target_job *job)
{
    char cores[24], offset[24];
    long seconds;

    rh_xen_time_offset(job, &seconds);
    snprintf(offset, sizeof offset, "%ld", seconds);
    snprintf(cores, sizeof cores, "%llu",
             (unsigned long long)rh_xen_cores(job));
    set(flags, "cores-per-socket", cores);
    set(flags, "device-model",
        rh_xen_is_uefi(job) ? "qemu-upstream-uefi" : "qemu-upstream-compat");
    set(flags, "secureboot",
        rh_xen_is_uefi(job) && rh_is_true(&job->vm->secure_boot) ? "true"
                                                                 : "false");
    set(flags, "timeoffset", offset);
    if (rh_is_true(&job->vm->nested_virtualization)) {
        set(flags, "exp-nested-hvm", "true"); /* 8.2 */
        set(flags, "nested-virt", "true");    /* 8.3 */
    }
}

json_t *rh_xen_platform(const struct rh_target_job *job, rh_error **err)
{
    const json_t *model = rh_model_of(job->lib, "xen", err), *all;
    json_t *flags;

    if (!model)
        return NULL;
    all = json_object_get(model, "platform");
    flags = json_object();
    json_object_update(flags, json_object_get(all, "any"));
    if (job->profile && job->profile->family)
        json_object_update(flags, json_object_get(all, job->profile->family));
    if (rh_xen_is_windows(job) && is_old_windows(job))
        json_object_del(flags, "device_id");
    add_choices(flags, job);
    return flags;
}
