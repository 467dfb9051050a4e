/* proxmox.c - `rehost push RESULT --to proxmox-local:STORAGE`, run on a Proxmox
 * VE node as root: `pvesm alloc` makes each volume, the disk is written
 * straight into it, and `qm create` makes the VM around them.  One copy, no
 * temporary file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "deliver/local/local.h"
#include "deliver/proxmox/proxmox.h"
#include "deliver/push.h"

struct item {
    struct rh_pve_result result;
    char *vmid;
    bool thick; /* a new volume may hold what others have left */
    RH_VEC(char *) volumes;
    bool made;
};

static const char *storage_of(const struct rh_push *p)
{
    return strchr(p->remote.text, ':') + 1;
}

/* A name of Proxmox: it stands in arguments of programs. */
static bool good_name(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    return n > 0 && isalpha((unsigned char)name[0]);
}

static int open_node(struct rh_push *p, rh_error **err)
{
    if (!good_name(storage_of(p)))
        return rh_fail(err, RH_ERR_DELIVERY_URL,
                       "the URL is proxmox-local:STORAGE");
    if (rh_program_there("pvesm") && rh_program_there("qm"))
        return 0;
    rh_fail(err, RH_ERR_DELIVERY_PLACE,
            "there is no Proxmox VE on this machine (pvesm, qm)");
    return rh_hint(err,
                   "run it on the node, or use proxmox://HOST/NODE/STORAGE");
}

static void close_node(struct rh_push *p)
{
    (void)p;
}

/* --- before
 * ------------------------------------------------------------------------ */

/* The word `n` of the line that begins with `name`; the caller frees. */
static char *word_of(const char *table, const char *name, unsigned n)
{
    for (const char *line = table; *line;) {
        const char *end = line + strcspn(line, "\n"), *p = line;

        for (unsigned i = 0; p < end; i++) {
            size_t length = strcspn(p, " \t\n");

            if (i == 0 && (length != strlen(name) || strncmp(p, name, length)))
                break;
            if (i == n)
                return rh_strndup(p, length);
            p += length;
            p += strspn(p, " \t");
        }
        line = end + (*end == '\n');
    }
    return rh_strdup("");
}

/* "Name Type Status Total Used Available %", in KiB. */
static int check_storage(struct rh_push_item *p, struct item *i, rh_error **err)
{
    const char *name = storage_of(p->push);
    const char *const argv[] = {"pvesm", "status", "--storage", name, NULL};
    RH_AUTO(rh_freep) char *table = rh_program_run(p->push->lib, argv, err);
    RH_AUTO(rh_freep) char *type = table ? word_of(table, name, 1) : NULL;
    RH_AUTO(rh_freep) char *status = table ? word_of(table, name, 2) : NULL;
    RH_AUTO(rh_freep) char *room_text = table ? word_of(table, name, 5) : NULL;
    uint64_t room = 0, need;

    if (!table) {
        rh_error_drop(err);
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "the node has no storage \"%s\"", name);
    }
    if (strcmp(status, "active"))
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "the storage \"%s\" is not active", name);
    rh_parse_u64(room_text, &room);
    room = room < UINT64_MAX / 1024 ? room * 1024 : UINT64_MAX;
    i->thick = !strcmp(type, "lvm");
    need = i->thick ? i->result.virtual_bytes : i->result.file_bytes;
    if (need > room)
        rh_check_bad(&p->checks, RH_ERR_DELIVERY_SPACE,
                     "the storage \"%s\" (%s) is %llu bytes short", name, type,
                     (unsigned long long)(need - room));
    else
        rh_check_good(&p->checks, "storage \"%s\" (%s) has room", name, type);
    return 0;
}

static void check_bridges(struct rh_push_item *p, struct item *i)
{
    for (size_t n = 0; n < i->result.conf.list.count; n++) {
        const struct rh_pve_setting *s = &i->result.conf.list.items[n];
        RH_AUTO(rh_freep) char *bridge = rh_pve_part(s->value, "bridge");
        RH_AUTO(rh_freep) char *path = NULL;

        if (strncmp(s->key, "net", 3) || !bridge[0])
            continue;
        path = rh_printf("/sys/class/net/%s", bridge);
        if (!strchr(bridge, '/') && access(path, F_OK) == 0)
            rh_check_good(&p->checks, "bridge \"%s\" is there", bridge);
        else
            rh_check_bad(&p->checks, RH_ERR_DELIVERY_NETWORK,
                         "the node has no bridge \"%s\"", bridge);
    }
}

static bool is_number(const char *text)
{
    size_t n = strlen(text);

    return n >= 3 && n <= 9 && strspn(text, "0123456789") == n &&
           text[0] != '0';
}

static int choose_number(struct rh_push_item *p, struct item *i, rh_error **err)
{
    const char *asked = rh_option(p->push->options, "vmid");
    const char *const next[] = {"pvesh", "get", "/cluster/nextid", NULL};
    const char *status[] = {"qm", "status", NULL, NULL};
    RH_AUTO(rh_freep) char *found = NULL;

    if (asked)
        i->vmid = rh_strdup(asked);
    else
        i->vmid = rh_program_run(p->push->lib, next, err);
    if (!i->vmid)
        return -1;
    i->vmid[strcspn(i->vmid, "\n")] = '\0';
    if (!is_number(i->vmid))
        return rh_fail(err, RH_ERR_USAGE, "\"%.20s\" is no number of a VM",
                       i->vmid);
    status[2] = i->vmid;
    found = rh_program_run(p->push->lib, status, NULL);
    if (rh_go_on(p->push->lib, err) < 0)
        return -1;
    if (found)
        rh_check_bad(&p->checks, RH_ERR_DELIVERY_TAKEN,
                     "a VM %s is there already", i->vmid);
    else
        rh_check_good(&p->checks, "the number %s is free", i->vmid);
    return 0;
}

/* The host must not look for volume groups inside a guest's disk. */
static void check_lvm(struct rh_push_item *p)
{
    const char *const argv[] = {"lvmconfig", "--typeconfig", "full",
                                "devices/scan_lvs", NULL};
    RH_AUTO(rh_freep) char *text = NULL;

    if (!rh_program_there("lvmconfig"))
        return;
    text = rh_program_run(p->push->lib, argv, NULL);
    if (text && strstr(text, "scan_lvs=1"))
        rh_check_caution(&p->checks,
                         "LVM looks into logical volumes (devices/scan_lvs=1): "
                         "it may take the guest's volume groups for the "
                         "host's; set it to 0 in /etc/lvm/lvm.conf");
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);

    if (rh_pve_result_open(p->dir, p->receipt, p->push->options, &i->result,
                           err) < 0 ||
        check_storage(p, i, err) < 0 || choose_number(p, i, err) < 0)
        return -1;
    p->bytes = i->result.file_bytes;
    check_bridges(p, i);
    check_lvm(p);
    for (size_t n = 0; n < i->result.conf.list.count; n++)
        if (i->result.conf.list.items[n].file)
            rh_push_plan(p, "pvesm alloc %s %s (%s)", storage_of(p->push),
                         i->vmid, i->result.conf.list.items[n].file);
    rh_push_plan(p, "qm create %s", i->vmid);
    if (rh_option_yes(p->push->options, "start"))
        rh_push_plan(p, "qm start %s", i->vmid);
    return 0;
}

/* --- volumes
 * -------------------------------------------------------------------------- */

/* "successfully created 'local-lvm:vm-100-disk-0'" */
static char *volume_in(const char *text, const char *storage)
{
    const char *start = strchr(text, '\''),
               *end = start ? strchr(start + 1, '\'') : NULL;
    size_t n = strlen(storage);

    if (!end || strncmp(start + 1, storage, n) || start[1 + n] != ':')
        return NULL;
    return rh_strndup(start + 1, (size_t)(end - start - 1));
}

static int alloc(struct rh_push_item *p, struct item *i,
                 struct rh_pve_setting *s, uint64_t size, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *kib = rh_printf("%llu", (unsigned long long)rh_div_up(size, 1024));
    const char *const argv[] = {"pvesm",    "alloc", storage_of(p->push),
                                i->vmid,    "",      kib,
                                "--format", "raw",   NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(p->push->lib, argv, err);

    if (!text)
        return -1;
    s->volume = volume_in(text, storage_of(p->push));
    if (!s->volume)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "pvesm alloc names no volume: %.200s", text);
    *rh_vec_add(&i->volumes) = rh_strdup(s->volume);
    return rh_journal_add(p->journal, "volume", s->volume, err);
}

static int write_disk(struct rh_push_item *p, struct item *i,
                      const struct rh_pve_setting *s, rh_error **err)
{
    const char *const argv[] = {"pvesm", "path", s->volume, NULL};
    RH_AUTO(rh_freep) char *path = rh_program_run(p->push->lib, argv, err);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io =
        path ? rh_place_open(i->result.place, s->file, err) : NULL;
    size_t n = strlen(s->file);
    const char *format =
        n > 4 && !strcmp(s->file + n - 4, ".raw") ? "raw" : NULL;
    uint64_t bytes = 0;

    if (!io)
        return -1;
    path[strcspn(path, "\n")] = '\0';
    if (path[0] != '/') {
        rh_fail(err, RH_ERR_DELIVERY_PLACE,
                "the volume has no path on this node: %.200s", path);
        return rh_hint(err, "switch on krbd for a Ceph storage, or use "
                            "proxmox://HOST/NODE/STORAGE");
    }
    if (rh_local_write(p->push->lib, io, format, path,
                       i->thick ? RH_LOCAL_WRITE : RH_LOCAL_SKIP, &bytes,
                       err) < 0)
        return -1;
    p->sent += bytes;
    return 0;
}

static uint64_t size_of(const json_t *receipt, const char *bus)
{
    size_t i;
    json_t *disk;

    json_array_foreach (json_object_get(receipt, "disks"), i, disk)
        if (!strcmp(rh_pve_text(disk, "bus"), bus))
            return rh_pve_number(disk, "virtual_size");
    return 0;
}

static int write_all(struct rh_push_item *p, struct item *i, rh_error **err)
{
    for (size_t n = 0; n < i->result.conf.list.count; n++) {
        struct rh_pve_setting *s = &i->result.conf.list.items[n];

        if (s->file && (alloc(p, i, s, size_of(p->receipt, s->key), err) < 0 ||
                        write_disk(p, i, s, err) < 0))
            return -1;
        rh_progress(p->push->lib, "send", n + 1, i->result.conf.list.count);
    }
    return 0;
}

/* --- the VM
 * ------------------------------------------------------------------------------
 */

static int create(struct rh_push_item *p, struct item *i, rh_error **err)
{
    json_t *params = rh_pve_conf_params(&i->result.conf, storage_of(p->push),
                                        i->result.note, RH_PVE_ATTACH),
           *value;
    const char **argv =
        rh_calloc(2 * json_object_size(params) + 4, sizeof *argv);
    RH_AUTO(rh_buf_free) struct rh_buf keys = {0};
    RH_AUTO(rh_freep) char *id = rh_printf("%s/%s", i->vmid, i->result.note);
    RH_AUTO(rh_freep) char *text = NULL;
    const char *key;
    size_t n = 3, at = 0;

    json_object_foreach (params, key, value) {
        rh_buf_printf(&keys, "--%s", key);
        rh_buf_add(&keys, "", 1);
    }
    argv[0] = "qm";
    argv[1] = "create";
    argv[2] = i->vmid;
    json_object_foreach (params, key, value) {
        const char *word = keys.data ? keys.data + at : "";

        argv[n++] = word;
        argv[n++] = json_string_value(value);
        at += strlen(word) + 1;
    }
    if (rh_journal_add(p->journal, "vm", id, err) == 0) {
        i->made = true; /* as far as we know */
        text = rh_program_run(p->push->lib, argv, err);
    }
    json_decref(params);
    free(argv);
    return text ? 0 : -1;
}

static json_t *describe(const struct item *i)
{
    json_t *disks = json_array(), *nics = json_array();

    for (size_t n = 0; n < i->result.conf.list.count; n++) {
        const struct rh_pve_setting *s = &i->result.conf.list.items[n];
        RH_AUTO(rh_freep) char *bridge = rh_pve_part(s->value, "bridge");
        const char *mac = strchr(s->value, '=');

        if (s->volume)
            json_array_append_new(
                disks,
                json_pack("{s:s, s:s}", "id", s->volume, "position", s->key));
        if (!strncmp(s->key, "net", 3) && mac)
            json_array_append_new(nics, json_pack("{s:s%, s:s}", "mac", mac + 1,
                                                  strcspn(mac + 1, ","),
                                                  "network", bridge));
    }
    return json_pack("{s:s, s:n, s:o, s:o}", "id", i->vmid, "uuid", "disks",
                     disks, "nics", nics);
}

/* --- taking away
 * -----------------------------------------------------------------------------
 */

static bool is_ours(const char *vmid, const char *note)
{
    const char *const argv[] = {"qm", "config", vmid, NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(NULL, argv, NULL);
    const char *digest = strrchr(note, ':'); /* the rest may be escaped */

    return text && rh_pve_is_note(note) && strstr(text, digest + 1);
}

static int destroy_vm(const char *vmid, const char *note, rh_error **err)
{
    const char *const argv[] = {"qm", "destroy", vmid, NULL};
    RH_AUTO(rh_freep) char *text = NULL;

    if (!is_ours(vmid, note))
        return 0;
    text = rh_program_run(NULL, argv, err);
    return text ? 0 : -1;
}

/* Numbers are given again: the volume may be another guest's by now, or the
 * journal, which lies beside a result, may never have been ours. */
static bool is_used(const char *vmid, const char *volume)
{
    static const char *const programs[] = {"qm", "pct"};
    bool used = false;

    for (size_t i = 0; i < RH_COUNT(programs) && !used; i++) {
        const char *const argv[] = {programs[i], "config", vmid, NULL};
        RH_AUTO(rh_freep)
        char *text = rh_program_there(programs[i])
                         ? rh_program_run(NULL, argv, NULL)
                         : NULL;

        used = text && strstr(text, volume);
    }
    return used;
}

/* Gone with its VM, perhaps; what a guest uses is no leaving. */
static int free_volume(const char *volume, rh_error **err)
{
    RH_AUTO(rh_freep) char *storage = rh_strndup(volume, strcspn(volume, ":"));
    const char *const list[] = {"pvesm", "list", storage, NULL};
    const char *const argv[] = {"pvesm", "free", volume, NULL};
    RH_AUTO(rh_freep) char *all = rh_program_run(NULL, list, err);
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_freep) char *row = all ? word_of(all, volume, 0) : NULL;
    RH_AUTO(rh_freep) char *vmid = all ? word_of(all, volume, 4) : NULL;

    if (!all || !row[0])
        return all ? 0 : -1;
    if (is_number(vmid) && is_used(vmid, volume))
        return 0;
    text = rh_program_run(NULL, argv, err);
    return text ? 0 : -1;
}

static int take_away(struct item *i, rh_error **err)
{
    int failed = i->made ? destroy_vm(i->vmid, i->result.note, err) : 0;

    for (size_t n = i->volumes.count; n > 0; n--)
        failed |= free_volume(i->volumes.items[n - 1], err);
    return failed;
}

static int send(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;

    if (write_all(p, i, err) == 0 && create(p, i, err) == 0) {
        p->delivered = describe(i);
        rh_journal_done(p->journal);
        return 0;
    }
    if (!rh_option_yes(p->push->options, "keep-failed") &&
        take_away(i, NULL) == 0)
        rh_journal_done(p->journal);
    return -1;
}

static int start(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;
    const char *const argv[] = {"qm", "start", i->vmid, NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(p->push->lib, argv, err);

    return text ? 0 : -1;
}

static void item_free(struct rh_push_item *p)
{
    struct item *i = p->state;

    if (!i)
        return;
    for (size_t n = 0; n < i->volumes.count; n++)
        free(i->volumes.items[n]);
    free(i->volumes.items);
    rh_pve_result_close(&i->result);
    free(i->vmid);
    free(i);
}

/* "VMID/NOTE"; a volume's id. */
static int clean(struct rh_push *p, const char *kind, const char *id,
                 rh_error **err)
{
    const char *slash = strchr(id, '/');
    RH_AUTO(rh_freep) char *vmid = NULL;

    (void)p;
    if (!strcmp(kind, "volume"))
        return id[0] == '-' ? 0 : free_volume(id, err);
    if (strcmp(kind, "vm") || !slash)
        return 0;
    vmid = rh_strndup(id, (size_t)(slash - id));
    return is_number(vmid) ? destroy_vm(vmid, slash + 1, err) : 0;
}

static const char *const own_options[] = {"vmid", NULL};

const struct rh_pusher rh_push_proxmox_local = {
    .scheme = "proxmox-local",
    .target = "kvm",
    .local = true,
    .options = own_options,
    .open = open_node,
    .close = close_node,
    .look = look,
    .send = send,
    .start = start,
    .item_free = item_free,
    .clean = clean,
};
