/* read.c - a disk that stands there, read back: the volume is downloaded into
 * an unlinked file, for a qcow2 is not read in order. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_LIBVIRT
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "deliver/libvirt/virt.h"
#include "formats/format.h"

enum { PIECE = 1024 * 1024, RECEIVE = 256000 /* libvirt's own limit */ };

static int receive(struct rh_virt_host *h, virStreamPtr stream, int fd,
                   rh_error **err)
{
    RH_AUTO(rh_freep) char *piece = rh_malloc(RECEIVE);
    uint64_t at = 0;

    for (;;) {
        int n = rh_virt.StreamRecv(stream, piece, RECEIVE);

        if (n == 0)
            return 0;
        if (n < 0)
            return rh_virt_fail(_("reading"), err);
        if (rh_go_on(h->lib, err) < 0 ||
            rh_temp_write(h->lib, fd, piece, (size_t)n, at, "volume", err) < 0)
            return -1;
        at += (uint64_t)n;
    }
}

/* The volume's bytes, as they lie there. */
static struct rh_io *download(struct rh_virt_host *h, const char *path,
                              rh_error **err)
{
    virStorageVolPtr volume = rh_virt.StorageVolLookupByPath(h->conn, path);
    virStreamPtr stream = volume ? rh_virt.StreamNew(h->conn, 0) : NULL;
    RH_AUTO(rh_closep) int fd = -1;
    int failed = -1;

    if (!stream || rh_virt.StorageVolDownload(volume, stream, 0, 0, 0) < 0)
        rh_virt_fail(path, err);
    else
        fd = rh_temp_file(h->lib, err);
    if (fd >= 0)
        failed = receive(h, stream, fd, err);
    if (fd >= 0 && !failed && rh_virt.StreamFinish(stream) < 0)
        failed = rh_virt_fail(path, err);
    else if (fd >= 0 && failed)
        rh_virt.StreamAbort(stream);
    if (stream)
        rh_virt.StreamFree(stream);
    if (volume)
        rh_virt.StorageVolFree(volume);
    if (failed)
        return NULL;
    failed = fd; /* the io has it */
    fd = -1;
    return rh_io_fd(failed, path, err);
}

static int pour(struct rh_virt_host *h, struct rh_reader *r, rh_http_sink *sink,
                void *user, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();

    for (uint64_t at = 0; at < r->size;) {
        size_t n = (size_t)RH_MIN((uint64_t)PIECE, r->size - at);

        if (rh_go_on(h->lib, err) < 0 ||
            rh_reader_read(r, codec, piece, n, at, err) < 0 ||
            sink(user, piece, n, err) < 0)
            return -1;
        at += n;
    }
    return 0;
}

static int read_path(struct rh_virt_host *h, const char *path,
                     rh_http_sink *sink, void *user, rh_error **err)
{
    size_t n = strlen(path);
    bool qcow2 = n > 6 && !strcmp(path + n - 6, ".qcow2");
    struct rh_open_options o = {.lib = h->lib};
    RH_AUTO(rh_io_unrefp) struct rh_io *io = download(h, path, err);
    RH_AUTO(rh_reader_closep)
    struct rh_reader *r =
        io ? rh_reader_open(io, qcow2 ? "qcow2" : "raw", &o, err) : NULL;

    return r ? pour(h, r, sink, user, err) : -1;
}

int rh_virt_read_disk(struct rh_virt_host *h, const char *uuid, size_t i,
                      rh_http_sink *sink, void *user, rh_error **err)
{
    virDomainPtr vm = rh_virt.DomainLookupByUUIDString(h->conn, uuid);
    RH_AUTO(rh_freep)
    char *xml =
        vm ? rh_virt.DomainGetXMLDesc(vm, VIR_DOMAIN_XML_INACTIVE) : NULL;
    RH_AUTO(rh_virt_domain_free) struct rh_virt_domain d = {0};
    int failed =
        xml ? rh_virt_domain_there(xml, &d, err) : rh_virt_fail(uuid, err);

    if (vm)
        rh_virt.DomainFree(vm);
    if (!failed && i >= d.disks.count)
        failed = rh_fail(err, RH_ERR_VERIFY_DIFFERS,
                         "the VM there has no disk %zu", i);
    return failed ? -1 : read_path(h, d.disks.items[i].path, sink, user, err);
}
#endif
