/* xva.c - the archive that `xe vm-import` and Xen Orchestra take: a tar of
 * ova.xml and of the disks in chunks of 1 MiB, each followed by its checksum.
 *
 * Chunks of zeros are left out: the reader fills gaps in the numbering, by the
 * length of the very first chunk; so a disk's first and last chunk are always
 * there, and virtual sizes are multiples of 1 MiB (of 2 in fact, which is what
 * the storage manager rounds to).  Checksums are taken by the workers; placing
 * a chunk only counts.  Tar headers bear no time and no owner: the same input
 * gives the same bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "targets/xcp-ng/xen.h"
#include "targets/xcp-ng/xva_read.h"

enum {
    TAR = 512,
    CHUNK = 1024 * 1024,
    ENTRY = TAR + CHUNK + 2 * TAR, /* a chunk with its checksum, in the tar */
    NAME = 64,
};

struct rh_archive {
    const struct rh_target_job *job;
    struct rh_out *out;
    uint64_t position; /* where the next entry goes */
    bool xxhash;
    uint8_t *zeros; /* CHUNK bytes */
    char zero_sum[41];
};

/* The texts around one chunk. */
struct frame {
    uint8_t header[TAR];
    uint8_t sum[2 * TAR]; /* header and padded checksum */
};
/* What encode() leaves for place(). */
struct chunk_room {
    char sum[41];
    bool zero;
    struct frame frame;
};

struct disk {
    struct rh_archive *archive;
    char ref[16];
    uint64_t chunks;    /* of the whole disk */
    uint64_t next;      /* chunks below this are placed or were left out */
    struct frame first; /* of chunk 0, when the source has zeros there */
};

/* --- tar ------------------------------------------------------------------ */
void rh_xen_tar_header(uint8_t p[512], const char *name, uint64_t size)
{
    unsigned sum = 0;
    char *h = (char *)p;

    memset(p, 0, TAR);
    snprintf(h, 100, "%s", name);
    memcpy(h + 100, "0000644", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf(h + 124, 12, "%011" PRIo64, size & 077777777777);
    memcpy(h + 136, "00000000000", 12);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < TAR; i++)
        sum += p[i];
    snprintf(h + 148, 8, "%06o", sum & 0777777);
}

static int write_at(struct rh_archive *a, const void *bytes, size_t n,
                    rh_error **err)
{
    if (rh_out_write(a->out, bytes, n, a->position, err) < 0)
        return -1;
    a->position += n;
    return 0;
}

static int write_file(struct rh_archive *a, const char *name, const char *text,
                      size_t n, rh_error **err)
{
    static const uint8_t padding[TAR];
    uint8_t header[TAR];

    rh_xen_tar_header(header, name, n);
    if (write_at(a, header, TAR, err) < 0 || write_at(a, text, n, err) < 0)
        return -1;
    return n % TAR ? write_at(a, padding, TAR - n % TAR, err) : 0;
}

/* --- chunks --------------------------------------------------------------- */
static void checksum(const struct rh_archive *a, const void *bytes,
                     char ret[41])
{
    if (a->xxhash)
        snprintf(ret, 41, "%016" PRIX64, (uint64_t)XXH64(bytes, CHUNK, 0));
    else
        rh_sha1_hex(bytes, CHUNK, ret);
}

static void make_frame(const struct disk *d, uint64_t number, const char *sum,
                       struct frame *ret)
{
    char name[NAME];
    size_t n = strlen(sum);

    snprintf(name, sizeof name, "%s/%08" PRIu64, d->ref, number);
    rh_xen_tar_header(ret->header, name, CHUNK);
    snprintf(name, sizeof name, "%s/%08" PRIu64 "%s", d->ref, number,
             d->archive->xxhash ? ".xxhash" : ".checksum");
    memset(ret->sum, 0, sizeof ret->sum);
    rh_xen_tar_header(ret->sum, name, n);
    memcpy(ret->sum + TAR, sum, n);
}

/* The buffer behind a short last unit is the copy's, writer->unit long. */
static int xva_encode(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct disk *d = w->state;
    struct chunk_room *room = (void *)u->room;

    (void)err;
    room->zero = rh_all_zero(u->data, u->length);
    if (room->zero)
        return 0;
    memset(u->data + u->length, 0, CHUNK - u->length);
    checksum(d->archive, u->data, room->sum);
    make_frame(d, u->offset / CHUNK, room->sum, &room->frame);
    return 0;
}

static void add_chunk(struct rh_archive *a, struct rh_unit *u,
                      const struct frame *f, const void *data)
{
    struct rh_iov *v = u->iov + u->iov_count;

    v[0] = (struct rh_iov){a->position, f->header, TAR};
    v[1] = (struct rh_iov){a->position + TAR, data, CHUNK};
    v[2] = (struct rh_iov){a->position + TAR + CHUNK, f->sum, 2 * TAR};
    u->iov_count += 3;
    a->position += ENTRY;
}

static int xva_place(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct disk *d = w->state;
    struct chunk_room *room = (void *)u->room;
    uint64_t number = u->offset / CHUNK;

    u->iov_count = 0;
    if (room->zero)
        return 0;
    if (u->offset % CHUNK || number < d->next)
        return rh_fail(err, RH_ERR_BUG, "a chunk out of order at 0x%" PRIx64,
                       u->offset);
    if (d->next == 0 && number > 0) {
        make_frame(d, 0, d->archive->zero_sum, &d->first);
        add_chunk(d->archive, u, &d->first, d->archive->zeros);
    }
    add_chunk(d->archive, u, &room->frame, u->data);
    d->next = number + 1;
    return 0;
}

static int write_zero_chunk(struct disk *d, uint64_t number, rh_error **err)
{
    struct rh_archive *a = d->archive;
    struct frame f;

    make_frame(d, number, a->zero_sum, &f);
    if (write_at(a, f.header, TAR, err) < 0 ||
        write_at(a, a->zeros, CHUNK, err) < 0 ||
        write_at(a, f.sum, 2 * TAR, err) < 0)
        return -1;
    d->next = number + 1;
    return 0;
}

static int xva_finish(struct rh_writer *w, uint64_t *ret_size, rh_error **err)
{
    struct disk *d = w->state;

    if (d->next == 0 && write_zero_chunk(d, 0, err) < 0)
        return -1;
    if (d->next < d->chunks && write_zero_chunk(d, d->chunks - 1, err) < 0)
        return -1;
    *ret_size = d->archive->position;
    return 0;
}

static void xva_close(struct rh_writer *w)
{
    free(w->state);
}

static const struct rh_writer_ops chunk_writer = {
    .encode = xva_encode,
    .place = xva_place,
    .finish = xva_finish,
    .close = xva_close,
};
static const struct rh_format chunk_format = {
    .name = "xva",
    .about = N_("a disk inside an XVA"),
    .writer = &chunk_writer,
};

/* --- the archive ---------------------------------------------------------- */
static struct rh_writer *archive_disk(struct rh_archive *a, size_t i,
                                      struct rh_reader *source, rh_error **err)
{
    const struct rh_target_disk *t = &a->job->disks[i];
    struct rh_writer *w;
    struct disk *d;

    if (t->virtual_size % CHUNK || source->size > t->virtual_size) {
        rh_fail(err, RH_ERR_BUG,
                "disk %zu of %" PRIu64 " bytes for a source of %" PRIu64, i,
                t->virtual_size, source->size);
        return NULL;
    }
    d = rh_new0(struct disk);
    d->archive = a;
    d->chunks = t->virtual_size / CHUNK;
    rh_xen_disk_ref(i, d->ref);
    w = rh_new0(struct rh_writer);
    *w = (struct rh_writer){
        .format = &chunk_format,
        .lib = a->job->lib,
        .out = a->out,
        .size = t->virtual_size,
        .unit = CHUNK,
        .room = sizeof(struct chunk_room),
        .iov_max = 6,
        .state = d,
    };
    return w;
}

static int archive_disk_done(struct rh_archive *a, struct rh_writer *w,
                             rh_error **err)
{
    const struct disk *d = w->state;

    (void)a;
    if (d->next != d->chunks)
        return rh_fail(err, RH_ERR_BUG, "a disk's last chunk was not written");
    return 0;
}

static int archive_finish(struct rh_archive *a, uint64_t *ret_size,
                          rh_error **err)
{
    static const uint8_t end[2 * TAR];

    if (write_at(a, end, sizeof end, err) < 0)
        return -1;
    *ret_size = a->position;
    return 0;
}

static void archive_close(struct rh_archive *a)
{
    if (!a)
        return;
    free(a->zeros);
    free(a);
}
RH_FREEP(archive_closep, struct rh_archive, archive_close)

static struct rh_archive *archive_open(const struct rh_target_job *job,
                                       struct rh_out *out, rh_error **err)
{
    const char *sum = rh_target_option(job, "xva-sum");
    RH_AUTO(archive_closep) struct rh_archive *a = rh_new0(struct rh_archive);
    RH_AUTO(rh_freep) char *metadata = rh_xen_metadata(job, err);

    if (!metadata)
        return NULL;
    if (sum && strcmp(sum, "sha1") != 0 && strcmp(sum, "xxhash") != 0) {
        rh_fail(err, RH_ERR_USAGE, "\"%s\" is no checksum of an XVA", sum);
        rh_hint(err, "--xva-sum takes sha1 or xxhash");
        return NULL;
    }
    a->job = job;
    a->out = out;
    a->xxhash = sum && !strcmp(sum, "xxhash");
    a->zeros = rh_calloc(1, CHUNK);
    checksum(a, a->zeros, a->zero_sum);
    if (write_file(a, "ova.xml", metadata, strlen(metadata), err) < 0)
        return NULL;
    return RH_TAKE(a);
}

const struct rh_archive_ops rh_xen_archive = {
    .format = "xva",
    .open = archive_open,
    .disk = archive_disk,
    .disk_done = archive_disk_done,
    .finish = archive_finish,
    .close = archive_close,
    .read = rh_xva_read,
};
