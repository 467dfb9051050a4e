/* work.c - volumes and the domain: made, compared, taken away again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_LIBVIRT
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/out.h"
#include "base/random.h"
#include "deliver/libvirt/virt.h"

/* Of a stream's message (256 KiB less its head is libvirt's own limit), and how
 * small a hole is worth one. */
enum { PIECE = 128 * 1024, NAME_MAX_BYTES = 64 };

int rh_virt_work_init(struct rh_virt_work *w, struct rh_virt_host *h,
                      rh_error **err)
{
    *w = (struct rh_virt_work){.host = h};
    return rh_random_hex(w->mark, 4, err);
}

void rh_virt_work_free(struct rh_virt_work *w)
{
    if (w->stream)
        rh_virt.StreamFree(w->stream);
    for (size_t i = 0; i < w->volumes.count; i++) {
        if (w->volumes.items[i].volume)
            rh_virt.StorageVolFree(w->volumes.items[i].volume);
        free(w->volumes.items[i].name);
    }
    free(w->volumes.items);
    if (w->vm)
        rh_virt.DomainFree(w->vm);
    if (w->pool)
        rh_virt.StoragePoolFree(w->pool);
    free(w->pool_name);
    rh_virt_domain_free(&w->domain);
    *w = (struct rh_virt_work){0};
}

/* --- a disk
 * ------------------------------------------------------------------------------
 */

/* The name is nobody else's, so that it can be noted before it is made. */
static char *volume_name(const struct rh_virt_work *w, size_t i,
                         const char *format)
{
    RH_AUTO(rh_freep) char *safe = rh_safe_name(w->domain.name);

    return rh_printf("%.*s-disk%zu-%s%s%s", NAME_MAX_BYTES, safe, i, w->mark,
                     w->files ? "." : "", w->files ? format : "");
}

/* A file gets the format "raw" at first: what is sent is the whole file, and
 * the pool finds out by itself what it is. */
static int make_volume(struct rh_virt_work *w, struct rh_virt_volume *v,
                       uint64_t size, rh_error **err)
{
    RH_AUTO(rh_freep) char *id = rh_printf("%s/%s", w->pool_name, v->name);
    RH_AUTO(rh_freep)
    char *xml = rh_printf("<volume><name>%s</name><capacity unit='bytes'>%llu"
                          "</capacity>%s<target><format type='raw'/></target>"
                          "</volume>",
                          v->name, (unsigned long long)size,
                          w->files ? "<allocation>0</allocation>" : "");

    if (w->journal && rh_journal_add(w->journal, "volume", id, err) < 0)
        return -1;
    v->volume = rh_virt.StorageVolCreateXML(w->pool, xml, 0);
    return v->volume ? 0 : rh_virt_fail(v->name, err);
}

int rh_virt_disk_begin(struct rh_virt_work *w, size_t i, const char *format,
                       uint64_t size, rh_error **err)
{
    struct rh_virt_volume *v = rh_vec_add(&w->volumes);

    v->name = volume_name(w, i, format);
    w->hole = 0;
    if (make_volume(w, v, size, err) < 0)
        return -1;
    w->stream = rh_virt.StreamNew(w->host->conn, 0);
    if (w->stream &&
        rh_virt.StorageVolUpload(v->volume, w->stream, 0, 0,
                                 VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM) == 0)
        return 0;
    return rh_virt_fail(v->name, err);
}

static int send_bytes(struct rh_virt_work *w, const char *p, size_t n,
                      rh_error **err)
{
    while (n) {
        int done = rh_virt.StreamSend(w->stream, p, n);

        if (done <= 0)
            return rh_virt_fail(_("sending"), err);
        p += done;
        n -= (size_t)done;
        w->sent += (uint64_t)done;
    }
    return 0;
}

static int send_hole(struct rh_virt_work *w, rh_error **err)
{
    uint64_t n = w->hole;

    w->hole = 0;
    if (!n || rh_virt.StreamSendHole(w->stream, (long long)n, 0) == 0)
        return 0;
    return rh_virt_fail(_("sending"), err);
}

int rh_virt_hole(struct rh_virt_work *w, uint64_t n, rh_error **err)
{
    w->hole += n;
    return rh_go_on(w->host->lib, err);
}

int rh_virt_write(struct rh_virt_work *w, const void *bytes, size_t n,
                  rh_error **err)
{
    const char *p = bytes;

    for (size_t part; n; n -= part, p += part) {
        part = RH_MIN(n, (size_t)PIECE);
        if (rh_all_zero((const uint8_t *)p, part)) {
            if (rh_virt_hole(w, part, err) < 0)
                return -1;
        } else if (rh_go_on(w->host->lib, err) < 0 || send_hole(w, err) < 0 ||
                   send_bytes(w, p, part, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int rh_virt_disk_end(struct rh_virt_work *w, size_t i, const char *format,
                     rh_error **err)
{
    struct rh_virt_volume *v = &w->volumes.items[w->volumes.count - 1];
    RH_AUTO(rh_freep) char *path = NULL;
    virStorageVolInfo info = {0};

    if (send_hole(w, err) < 0)
        return -1;
    if (rh_virt.StreamFinish(w->stream) < 0)
        return rh_virt_fail(v->name, err);
    rh_virt.StreamFree(RH_TAKE(w->stream));
    path = rh_virt.StorageVolGetPath(v->volume);
    if (!path || rh_virt.StorageVolGetInfo(v->volume, &info) < 0)
        return rh_virt_fail(v->name, err);
    rh_virt_domain_disk(&w->domain, i, path, info.type == VIR_STORAGE_VOL_BLOCK,
                        format);
    return 0;
}

/* --- the domain
 * ------------------------------------------------------------------------------
 */

static json_t *describe(const struct rh_virt_domain *d)
{
    json_t *disks = json_array(), *nics = json_array();

    for (size_t i = 0; i < d->disks.count; i++)
        json_array_append_new(
            disks, json_pack("{s:s, s:s}", "id", d->disks.items[i].file,
                             "position", d->disks.items[i].target));
    for (size_t i = 0; i < d->nics.count; i++) {
        const struct rh_virt_nic *nic = &d->nics.items[i];

        json_array_append_new(
            nics, json_pack("{s:s, s:s}", "mac", nic->mac, "network",
                            nic->bridge ? nic->bridge : "user"));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", d->uuid, "uuid",
                     d->uuid, "as", d->name, "disks", disks, "nics", nics);
}

/* Does the host have what was sent? */
static int compare(const struct rh_virt_domain *sent,
                   const struct rh_virt_domain *there, rh_error **err)
{
    if (there->disks.count != sent->disks.count)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "the VM there has %zu disks, not %zu",
                       there->disks.count, sent->disks.count);
    if (there->nics.count != sent->nics.count)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "the VM there has %zu NICs, not %zu", there->nics.count,
                       sent->nics.count);
    for (size_t i = 0; i < sent->nics.count; i++)
        if (!rh_same_word(sent->nics.items[i].mac, there->nics.items[i].mac))
            return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                           "NIC %zu there has the MAC address \"%s\", not %s",
                           i, there->nics.items[i].mac,
                           sent->nics.items[i].mac);
    return 0;
}

int rh_virt_define(struct rh_virt_work *w, json_t **ret_there, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_virt_domain_text(&w->domain);
    RH_AUTO(rh_freep) char *id = rh_printf("%s %s", w->domain.uuid, w->mark);
    RH_AUTO(rh_freep) char *there_text = NULL;
    RH_AUTO(rh_virt_domain_free) struct rh_virt_domain there = {0};
    int is_there;

    if (!text)
        return rh_fail(err, RH_ERR_MEMORY, "no memory for libvirt.xml");
    /* libvirt would put ours in the place of one that came meanwhile. */
    is_there = rh_virt_has_uuid(w, err);
    if (is_there)
        return is_there < 0 ? -1
                            : rh_fail(err, RH_ERR_DELIVERY_TAKEN,
                                      "a VM with the UUID %s is there already",
                                      w->domain.uuid);
    if (w->journal && rh_journal_add(w->journal, "domain", id, err) < 0)
        return -1;
    w->vm = rh_virt.DomainDefineXML(w->host->conn, text);
    if (!w->vm)
        return rh_virt_fail(_("the VM"), err);
    there_text = rh_virt.DomainGetXMLDesc(w->vm, VIR_DOMAIN_XML_INACTIVE);
    if (!there_text)
        return rh_virt_fail(_("the VM"), err);
    if (rh_virt_domain_there(there_text, &there, err) < 0 ||
        compare(&w->domain, &there, err) < 0)
        return -1;
    if (w->files) /* so that the pool says qcow2 where it is */
        rh_virt.StoragePoolRefresh(w->pool, 0);
    *ret_there = describe(&there);
    return 0;
}

int rh_virt_start(void *work, rh_error **err)
{
    const struct rh_virt_work *w = work;

    return rh_virt.DomainCreate(w->vm) == 0 ? 0
                                            : rh_virt_fail(_("starting"), err);
}

/* What the agent says, else what libvirt's own networks have lent. */
int rh_virt_addresses(void *work, json_t *list, rh_error **err)
{
    static const unsigned sources[] = {
        VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE};
    const struct rh_virt_work *w = work;

    (void)err;
    for (size_t s = 0; s < RH_COUNT(sources) && !json_array_size(list); s++) {
        virDomainInterfacePtr *cards = NULL;
        int count =
            rh_virt.DomainInterfaceAddresses(w->vm, &cards, sources[s], 0);

        for (int i = 0; i < count; i++) {
            for (unsigned n = 0; n < cards[i]->naddrs; n++)
                rh_address_add(list, cards[i]->addrs[n].addr);
            rh_virt.DomainInterfaceFree(cards[i]);
        }
        free(cards);
    }
    return 0;
}

/* --- taking away
 * -------------------------------------------------------------------------------
 */

static int undefine(virDomainPtr vm)
{
    return rh_virt.DomainUndefineFlags(
        vm, VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_MANAGED_SAVE);
}

void rh_virt_undo(void *work)
{
    struct rh_virt_work *w = work;
    int failed = 0;

    if (w->stream) {
        rh_virt.StreamAbort(w->stream);
        rh_virt.StreamFree(RH_TAKE(w->stream));
    }
    if (w->vm)
        failed |= undefine(w->vm);
    for (size_t i = 0; i < w->volumes.count; i++)
        if (w->volumes.items[i].volume)
            failed |= rh_virt.StorageVolDelete(w->volumes.items[i].volume, 0);
    if (!failed)
        rh_journal_done(w->journal);
}

/* "UUID MARK": ours has disks with that mark; one that runs is in use. */
static int clean_domain(struct rh_virt_host *h, const char *id, rh_error **err)
{
    const char *space = strchr(id, ' ');
    RH_AUTO(rh_freep)
    char *uuid = rh_strndup(id, space ? (size_t)(space - id) : 0);
    RH_AUTO(rh_freep) char *mark = rh_printf("-%s", space ? space + 1 : "");
    RH_AUTO(rh_freep) char *xml = NULL;
    virDomainPtr vm = strlen(mark) == 9
                          ? rh_virt.DomainLookupByUUIDString(h->conn, uuid)
                          : NULL;
    int failed = 0;

    if (!vm)
        return strlen(mark) != 9 || rh_virt_was(VIR_ERR_NO_DOMAIN)
                   ? 0
                   : rh_virt_fail(uuid, err);
    xml = rh_virt.DomainGetXMLDesc(vm, VIR_DOMAIN_XML_INACTIVE);
    if (xml && strstr(xml, mark) && rh_virt.DomainIsActive(vm) == 0)
        failed = undefine(vm);
    if (!xml || failed)
        failed = rh_virt_fail(uuid, err);
    rh_virt.DomainFree(vm);
    return failed;
}

/* "NAME-disk0-1a2b3c4d.qcow2", as volume_name() gives it. */
static bool is_our_name(const char *name)
{
    const char *disk = strstr(name, "-disk");
    const char *mark = disk ? strchr(disk + 1, '-') : NULL;

    return mark && strspn(mark + 1, "0123456789abcdef") == 8 &&
           (!mark[9] || !strcmp(mark + 9, ".qcow2") ||
            !strcmp(mark + 9, ".raw"));
}

/* 1: a domain names it; -1: not known. */
static int is_used(struct rh_virt_host *h, const char *name, rh_error **err)
{
    virDomainPtr *list = NULL;
    int count = rh_virt.ConnectListAllDomains(h->conn, &list, 0);
    int used = count < 0 ? rh_virt_fail(name, err) : 0;

    for (int i = 0; i < count; i++) {
        RH_AUTO(rh_freep)
        char *xml = rh_virt.DomainGetXMLDesc(list[i], 0);

        used |= xml && strstr(xml, name);
        rh_virt.DomainFree(list[i]);
    }
    free(list);
    return used;
}

/* "POOL/NAME" */
static int clean_volume(struct rh_virt_host *h, const char *id, rh_error **err)
{
    const char *slash = strrchr(id, '/');
    RH_AUTO(rh_freep)
    char *pool_name = rh_strndup(id, slash ? (size_t)(slash - id) : 0);
    virStoragePoolPtr pool = NULL;
    virStorageVolPtr volume = NULL;
    int used = 0, failed = 0;

    if (!slash || !is_our_name(slash + 1))
        return 0;
    pool = rh_virt.StoragePoolLookupByName(h->conn, pool_name);
    if (!pool)
        return rh_virt_was(VIR_ERR_NO_STORAGE_POOL)
                   ? 0
                   : rh_virt_fail(pool_name, err);
    volume = rh_virt.StorageVolLookupByName(pool, slash + 1);
    if (!volume && !rh_virt_was(VIR_ERR_NO_STORAGE_VOL))
        failed = rh_virt_fail(slash + 1, err);
    if (volume)
        used = is_used(h, slash + 1, err);
    if (volume && !used && rh_virt.StorageVolDelete(volume, 0) < 0)
        failed = rh_virt_fail(slash + 1, err);
    if (volume)
        rh_virt.StorageVolFree(volume);
    rh_virt.StoragePoolFree(pool);
    return used < 0 ? -1 : failed;
}

int rh_virt_clean(struct rh_virt_host *h, const char *kind, const char *id,
                  rh_error **err)
{
    if (!strcmp(kind, "domain"))
        return clean_domain(h, id, err);
    return strcmp(kind, "volume") ? 0 : clean_volume(h, id, err);
}
#endif
