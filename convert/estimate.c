/* estimate.c - space from the disks' maps, time from a short measurement. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/estimate.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/limits.h"

enum { SAMPLE = 32 * 1024, ROUNDS = 6 };

static double measured; /* inflated bytes per second and core */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Text-like bytes that deflate to about a third, as root disks do. */
static void make_sample(uint8_t *plain)
{
    uint32_t state = 1;

    for (size_t i = 0; i < SAMPLE; i++) {
        state = state * 1664525u + 1013904223u;
        plain[i] = state >> 30 ? (uint8_t) "etaoinsh"[state >> 27 & 7]
                               : (uint8_t)(state >> 16);
    }
}

static void measure(void)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) uint8_t *plain = rh_malloc(SAMPLE);
    uLongf n = compressBound(SAMPLE);
    RH_AUTO(rh_freep) uint8_t *packed = rh_malloc(n);
    size_t got;

    make_sample(plain);
    compress2(packed, &n, plain, SAMPLE, 1);
    /* The best of some: what else the machine does now is not for ever. */
    for (int i = 0; i < ROUNDS; i++) {
        double start = now(), took;

        rh_inflate_zlib(codec, packed, n, plain, SAMPLE, &got, NULL);
        took = RH_MAX(now() - start, 1e-6);
        measured = RH_MAX(measured, SAMPLE / took);
    }
}

/* The most that it can be: what the descriptor says of disks that are not
 * there, or whose map is not known before they are read. */
static uint64_t described(const struct rh_job_vm *v,
                          const struct rh_job_target *t)
{
    const struct rh_vm *vm = t->job.vm;
    uint64_t sum = v->data_bytes;

    for (size_t i = 0; i < vm->disks.count; i++) {
        const struct rh_disk_config *d = &vm->disks.items[v->order[i]];
        uint64_t most =
            d->populated_size ? d->populated_size : d->capacity_bytes.number;

        if (!v->disks[i] || rh_job_disk_forward(v->disks[i]))
            sum += RH_MIN(most, UINT64_MAX / 8 / (vm->disks.count + 1));
    }
    return sum;
}

void rh_estimate(rh_lib *lib, const struct rh_job_vm *v,
                 struct rh_job_target *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t data =
        v->disks_missing || v->disks_forward ? described(v, t) : v->data_bytes;
    double speed;

    pthread_once(&once, measure);
    /* Reading, hashing and writing beside the inflating take a quarter. */
    speed = measured * RH_MAX(lib->threads, lib->threads_of_all) * 0.75;
    t->output_bytes = data + data / 4096 + RH_MIB;
    t->seconds = (uint64_t)((double)data / speed) + 1;
}
