/* proxmox.c - `rehost push RESULT --to proxmox-local:STORAGE`, run on a Proxmox
 * VE node as root: `pvesm alloc` makes each volume, the disk is written
 * straight into it, and `qm create` makes the VM around them.  One copy, no
 * temporary file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/limits.h"
#include "deliver/local/local.h"
#include "deliver/proxmox/proxmox.h"
#include "deliver/push.h"

struct item {
    struct rh_pve_result result;
    char *vmid;
    bool thick;             /* a new volume may hold what others have left */
    bool files;             /* volumes are files with an extension */
    char mark[9];           /* of this run, in its volumes' names */
    RH_VEC(char *) volumes; /* as the journal names them */
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

static bool is_file_storage(const char *type)
{
    static const char *const types[] = {"btrfs", "cephfs",    "cifs",
                                        "dir",   "glusterfs", "nfs"};

    for (size_t i = 0; i < RH_COUNT(types); i++)
        if (!strcmp(types[i], type))
            return true;
    return false;
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
    i->files = is_file_storage(type);
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

static void make_mark(char ret[9])
{
    unsigned char random[4] = {0};

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        abort(); /* a name that others have, too, would be dangerous */
    snprintf(ret, 9, "%02x%02x%02x%02x", random[0], random[1], random[2],
             random[3]);
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);

    make_mark(i->mark);
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

/* The name is ours, so that it can be noted before the volume is made, and is
 * nobody else's: "vm-100-disk-0-1a2b3c4d", as all of Proxmox's storages take
 * it (PVE::Storage, alloc_image). */
static int alloc(struct rh_push_item *p, struct item *i,
                 struct rh_pve_setting *s, uint64_t size, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *kib = rh_printf("%llu", (unsigned long long)rh_div_up(size, 1024));
    RH_AUTO(rh_freep)
    char *name = rh_printf("vm-%s-disk-%zu-%s%s", i->vmid, i->volumes.count,
                           i->mark, i->files ? ".raw" : "");
    RH_AUTO(rh_freep) char *id = rh_printf("%s:%s", storage_of(p->push), name);
    const char *const argv[] = {"pvesm",    "alloc", storage_of(p->push),
                                i->vmid,    name,    kib,
                                "--format", "raw",   NULL};
    RH_AUTO(rh_freep) char *text = NULL;

    if (rh_journal_add(p->journal, "volume", id, err) < 0)
        return -1;
    *rh_vec_add(&i->volumes) = RH_TAKE(id);
    text = rh_program_run(p->push->lib, argv, err);
    if (!text)
        return -1;
    s->volume = volume_in(text, storage_of(p->push));
    return s->volume ? 0
                     : rh_fail(err, RH_ERR_DELIVERY_FAILED,
                               "pvesm alloc names no volume: %.200s", text);
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

/* A guest's configuration: 1 and *ret_text, or 0: there is none of that number
 * on this node; -1: it could not be learnt (no quorum, a lock, a program that
 * is gone). */
static int config_of(const char *program, const char *vmid, char **ret_text,
                     rh_error **err)
{
    const char *const argv[] = {program, "config", vmid, NULL};
    RH_AUTO(rh_error_freep) rh_error *e = NULL;

    *ret_text = rh_program_run(NULL, argv, &e);
    if (*ret_text)
        return 1;
    /* "Configuration file 'nodes/N/qemu-server/100.conf' does not exist" */
    if (strstr(rh_error_message(e), "does not exist"))
        return 0;
    if (err && !*err)
        *err = RH_TAKE(e);
    return -1;
}

static int destroy_vm(const char *vmid, const char *note, rh_error **err)
{
    const char *const argv[] = {"qm", "destroy", vmid, NULL};
    const char *digest = strrchr(note, ':'); /* the rest may be escaped */
    RH_AUTO(rh_freep) char *config = NULL;
    RH_AUTO(rh_freep) char *text = NULL;
    int there = rh_pve_is_note(note) ? config_of("qm", vmid, &config, err) : 0;

    if (there <= 0 || !config || !digest || !strstr(config, digest + 1))
        return there < 0 ? -1 : 0;
    text = rh_program_run(NULL, argv, err);
    return text ? 0 : -1;
}

/* Numbers are given again: the volume may be another guest's by now, or the
 * journal, which lies beside a result, may never have been ours. -1: not
 * known. */
static int is_used(const char *vmid, const char *volume, rh_error **err)
{
    static const char *const programs[] = {"qm", "pct"};

    for (size_t i = 0; i < RH_COUNT(programs); i++) {
        RH_AUTO(rh_freep) char *config = NULL;
        int there = rh_program_there(programs[i])
                        ? config_of(programs[i], vmid, &config, err)
                        : 0;

        if (there < 0 || (there && strstr(config, volume)))
            return there;
    }
    return 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && !strcmp(text + n - m, end);
}

/* The volume of that name, as the storage calls it ("local:100/vm-100-..."),
 * and its guest's number; "" where there is none. */
static int find_volume(const char *storage, const char *name, char **ret_volume,
                       char **ret_vmid, rh_error **err)
{
    const char *const list[] = {"pvesm", "list", storage, NULL};
    RH_AUTO(rh_freep) char *all = rh_program_run(NULL, list, err);
    RH_AUTO(rh_freep) char *plain = rh_printf(":%s", name);
    RH_AUTO(rh_freep) char *below = rh_printf("/%s", name);

    *ret_volume = *ret_vmid = NULL;
    for (const char *p = all; p && *p; p += strcspn(p, "\n"), p += *p == '\n') {
        RH_AUTO(rh_freep) char *volume = rh_strndup(p, strcspn(p, " \t\n"));

        if (!ends_with(volume, plain) && !ends_with(volume, below))
            continue;
        *ret_vmid = word_of(all, volume, 4);
        *ret_volume = RH_TAKE(volume);
        return 0;
    }
    return all ? 0 : -1;
}

/* "vm-100-disk-0-1a2b3c4d" and "....raw", as alloc() names them. */
static bool is_our_name(const char *name)
{
    size_t n = strlen(name);
    const char *mark;

    if (n > 4 && !strcmp(name + n - 4, ".raw"))
        n -= 4;
    mark = n > 9 ? name + n - 9 : "";
    return !strncmp(name, "vm-", 3) && strstr(name, "-disk-") &&
           mark[0] == '-' && strspn(mark + 1, "0123456789abcdef") >= 8 &&
           !strpbrk(name, " /\t");
}

/* "STORAGE:NAME".  Gone with its VM, perhaps; what a guest uses is no leaving.
 */
static int free_volume(const char *id, rh_error **err)
{
    const char *colon = strchr(id, ':');
    RH_AUTO(rh_freep)
    char *storage = rh_strndup(id, colon ? (size_t)(colon - id) : 0);
    RH_AUTO(rh_freep) char *volume = NULL, *vmid = NULL, *text = NULL;
    int used;

    if (!colon || !good_name(storage) || !is_our_name(colon + 1))
        return 0;
    if (find_volume(storage, colon + 1, &volume, &vmid, err) < 0)
        return -1;
    used = volume && is_number(vmid) ? is_used(vmid, volume, err) : 0;
    if (!volume || used)
        return used < 0 ? -1 : 0;
    text = rh_program_run(
        NULL, (const char *const[]){"pvesm", "free", volume, NULL}, err);
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

static int addresses(struct rh_push_item *p, json_t *list, rh_error **err)
{
    const struct item *i = p->state;
    const char *const argv[] = {
        "qm", "guest", "cmd", i->vmid, "network-get-interfaces", NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(p->push->lib, argv, err);
    json_t *doc = text ? json_loads(text, 0, NULL) : NULL;

    rh_pve_add_addresses(doc, list);
    json_decref(doc);
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
static int clean(struct rh_push *p, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    const char *slash = strchr(id, '/');
    RH_AUTO(rh_freep) char *vmid = NULL;

    (void)p;
    (void)j;
    if (!strcmp(kind, "volume"))
        return free_volume(id, err);
    if (strcmp(kind, "vm") || !slash)
        return 0;
    vmid = rh_strndup(id, (size_t)(slash - id));
    return is_number(vmid) ? destroy_vm(vmid, slash + 1, err) : 0;
}

/* A raw volume, from the disk's start on; the new EFI disk is none of ours. */
static int read_disk(struct rh_push *p, const json_t *delivery, size_t i,
                     rh_http_sink *sink, void *user, rh_error **err)
{
    const char *volume = rh_push_disk_id(delivery, i, err);
    const char *const argv[] = {"pvesm", "path", volume, NULL};
    RH_AUTO(rh_freep)
    char *path =
        volume && volume[0] != '-' ? rh_program_run(p->lib, argv, err) : NULL;

    if (!path)
        return -1;
    path[strcspn(path, "\n")] = '\0';
    return rh_local_read(p->lib, path, sink, user, err);
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
    .addresses = addresses,
    .item_free = item_free,
    .read_disk = read_disk,
    .clean = clean,
};
