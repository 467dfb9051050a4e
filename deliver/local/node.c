/* node.c - a Proxmox VE node's own programs: pvesm and qm. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/local/node.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/random.h"

bool rh_node_is_name(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    return n > 0 && n < 100 && isalpha((unsigned char)name[0]);
}

bool rh_node_is_number(const char *text)
{
    size_t n = strlen(text);

    return n >= 3 && n <= 9 && strspn(text, "0123456789") == n &&
           text[0] != '0';
}

const char *rh_node_storage_in(const char *url, rh_error **err)
{
    const char *storage = strchr(url, ':') + 1;

    if (!rh_node_is_name(storage)) {
        rh_fail(err, RH_ERR_DELIVERY_URL, "the URL is proxmox-local:STORAGE");
        return NULL;
    }
    if (rh_program_there("pvesm") && rh_program_there("qm"))
        return storage;
    rh_fail(err, RH_ERR_DELIVERY_PLACE,
            "there is no Proxmox VE on this machine (pvesm, qm)");
    rh_hint(err, "run it on the node, or use proxmox://HOST/NODE/STORAGE");
    return NULL;
}

/* --- looking
 * ------------------------------------------------------------------------- */

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
static int look_at_storage(rh_lib *lib, const char *name,
                           struct rh_node_facts *f, rh_error **err)
{
    const char *const argv[] = {"pvesm", "status", "--storage", name, NULL};
    RH_AUTO(rh_freep) char *table = rh_program_run(lib, argv, err);
    RH_AUTO(rh_freep) char *status = table ? word_of(table, name, 2) : NULL;
    RH_AUTO(rh_freep) char *room = table ? word_of(table, name, 5) : NULL;

    if (!table) {
        if (rh_go_on(lib, NULL) < 0) /* it was cancelled */
            return -1;
        rh_error_drop(err);
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "the node has no storage \"%s\"", name);
    }
    if (strcmp(status, "active"))
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "the storage \"%s\" is not active", name);
    rh_parse_u64(room, &f->room);
    f->room = f->room < UINT64_MAX / 1024 ? f->room * 1024 : UINT64_MAX;
    f->type = word_of(table, name, 1);
    f->thick = !strcmp(f->type, "lvm");
    f->files = is_file_storage(f->type);
    return 0;
}

static char *ask_lvm(rh_lib *lib)
{
    const char *const argv[] = {
        "lvmconfig",        "--typeconfig",          "full",
        "devices/scan_lvs", "devices/global_filter", NULL};
    char *text =
        rh_program_there(argv[0]) ? rh_program_run(lib, argv, NULL) : NULL;

    return text ? text : rh_strdup("");
}

int rh_node_look(rh_lib *lib, const char *storage, const char *vmid,
                 const char *mark, struct rh_node_facts *ret, rh_error **err)
{
    *ret = (struct rh_node_facts){0};
    if (look_at_storage(lib, storage, ret, err) < 0 ||
        rh_node_choose_number(lib, vmid, mark, ret, err) < 0)
        return -1;
    ret->lvm = ask_lvm(lib);
    return rh_go_on(lib, err);
}

void rh_node_facts_free(struct rh_node_facts *f)
{
    rh_node_leave_number(f);
    free(f->type);
    free(f->vmid);
    free(f->lvm);
    *f = (struct rh_node_facts){0};
}

/* --- volumes
 * -------------------------------------------------------------------------- */

int rh_node_vm_init(struct rh_node_vm *v, rh_lib *lib, const char *storage,
                    const struct rh_node_facts *f, rh_error **err)
{
    *v = (struct rh_node_vm){.lib = lib, .storage = storage};
    v->vmid = rh_strdup(f->vmid);
    v->files = f->files;
    return rh_random_hex(v->mark, 4, err);
}

void rh_node_vm_free(struct rh_node_vm *v)
{
    for (size_t i = 0; i < v->volumes.count; i++)
        free(v->volumes.items[i]);
    for (size_t i = 0; i < v->ids.count; i++)
        free(v->ids.items[i]);
    free(v->volumes.items);
    free(v->ids.items);
    free(v->vmid);
    free(v->note);
    *v = (struct rh_node_vm){0};
}

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

int rh_node_alloc_named(rh_lib *lib, const char *storage, const char *vmid,
                        const char *name, uint64_t size, char **ret_id,
                        rh_error **err)
{
    RH_AUTO(rh_freep)
    char *kib = rh_printf("%llu", (unsigned long long)rh_div_up(size, 1024));
    const char *const argv[] = {"pvesm", "alloc",    storage, vmid, name,
                                kib,     "--format", "raw",   NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(lib, argv, err);

    if (!text)
        return -1;
    *ret_id = volume_in(text, storage);
    return *ret_id ? 0
                   : rh_fail(err, RH_ERR_DELIVERY_FAILED,
                             "pvesm alloc names no volume: %.200s", text);
}

/* The name is ours, so that it can be noted before the volume is made, and is
 * nobody else's: "vm-100-disk-0-1a2b3c4d", as all of Proxmox's storages take
 * it (PVE::Storage, alloc_image). */
int rh_node_alloc(struct rh_node_vm *v, uint64_t size, const char **ret_volume,
                  rh_error **err)
{
    RH_AUTO(rh_freep)
    char *name = rh_printf("vm-%s-disk-%zu-%s%s", v->vmid, v->volumes.count,
                           v->mark, v->files ? ".raw" : "");
    RH_AUTO(rh_freep) char *id = rh_printf("%s:%s", v->storage, name);
    char *made = NULL;

    if (rh_journal_add(v->journal, "volume", id, err) < 0)
        return -1;
    *rh_vec_add(&v->volumes) = RH_TAKE(id);
    if (rh_node_alloc_named(v->lib, v->storage, v->vmid, name, size, &made,
                            err) < 0)
        return -1;
    *ret_volume = *rh_vec_add(&v->ids) = made;
    return 0;
}

char *rh_node_path(rh_lib *lib, const char *volume, rh_error **err)
{
    const char *const argv[] = {"pvesm", "path", volume, NULL};
    RH_AUTO(rh_freep) char *path = rh_program_run(lib, argv, err);

    if (!path)
        return NULL;
    path[strcspn(path, "\n")] = '\0';
    if (path[0] == '/')
        return RH_TAKE(path);
    rh_fail(err, RH_ERR_DELIVERY_PLACE,
            "the volume has no path on this node: %.200s", path);
    rh_hint(err, "switch on krbd for a Ceph storage, or use "
                 "proxmox://HOST/NODE/STORAGE");
    return NULL;
}

int rh_node_activate(const char *path, const char *type, rh_error **err)
{
    const char *const argv[] = {"lvchange", "-ay", "-K", path, NULL};
    RH_AUTO(rh_freep) char *text = NULL;

    if (!type || strncmp(type, "lvm", 3) != 0 || access(path, F_OK) == 0)
        return 0;
    text = rh_program_run(NULL, argv, err);
    return text ? 0 : -1;
}

/* --- the VM
 * ------------------------------------------------------------------------------
 */

/* Taken: `params`. */
static int run_create(struct rh_node_vm *v, json_t *params, rh_error **err)
{
    RH_AUTO(rh_freep)
    const char **argv =
        rh_calloc(2 * json_object_size(params) + 4, sizeof *argv);
    RH_AUTO(rh_buf_free) struct rh_buf keys = {0};
    RH_AUTO(rh_freep) char *text = NULL;
    const char *key;
    size_t n = 3, at = 0;
    json_t *value;

    json_object_foreach (params, key, value) {
        rh_buf_printf(&keys, "--%s", key);
        rh_buf_add(&keys, "", 1);
    }
    argv[0] = "qm";
    argv[1] = "create";
    argv[2] = v->vmid;
    json_object_foreach (params, key, value) {
        const char *word = keys.data ? keys.data + at : "";

        argv[n++] = word;
        argv[n++] = json_string_value(value);
        at += strlen(word) + 1;
    }
    text = rh_program_run(v->lib, argv, err);
    json_decref(params);
    return text ? 0 : -1;
}

int rh_node_create(struct rh_node_vm *v, json_t *params, rh_error **err)
{
    RH_AUTO(rh_freep) char *id = rh_printf("%s/%s", v->vmid, v->note);

    /* One whose volumes were there is found by its mark. */
    if (!v->staged && rh_journal_add(v->journal, "vm", id, err) < 0) {
        json_decref(params);
        return -1;
    }
    v->made = true;
    return run_create(v, params, err);
}

int rh_node_start(rh_lib *lib, const char *vmid, rh_error **err)
{
    const char *const argv[] = {"qm", "start", vmid, NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(lib, argv, err);

    return text ? 0 : -1;
}

int rh_node_addresses(rh_lib *lib, const char *vmid, json_t *list,
                      rh_error **err)
{
    const char *const argv[] = {
        "qm", "guest", "cmd", vmid, "network-get-interfaces", NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(lib, argv, err);
    json_t *doc = text ? json_loads(text, 0, NULL) : NULL;

    rh_pve_add_addresses(doc, list);
    json_decref(doc);
    return text ? 0 : -1;
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

static int start_unless_running(rh_lib *lib, const char *vmid, rh_error **err)
{
    const char *const argv[] = {"qm", "status", vmid, NULL};
    RH_AUTO(rh_freep) char *text = rh_program_run(lib, argv, err);

    if (!text)
        return -1;
    return strstr(text, "running") ? 0 : rh_node_start(lib, vmid, err);
}

/* "      VMID NAME  STATUS ...", then lines that begin with a number. */
int rh_node_find(rh_lib *lib, const char *sign, bool start, char **ret_vmid,
                 rh_error **err)
{
    const char *const argv[] = {"qm", "list", NULL};
    RH_AUTO(rh_freep) char *all = rh_program_run(lib, argv, err);

    *ret_vmid = NULL;
    for (const char *p = all; p && *p; p += strcspn(p, "\n"), p += *p == '\n') {
        RH_AUTO(rh_freep) char *config = NULL;
        RH_AUTO(rh_freep) char *vmid = NULL;
        int there;

        p += strspn(p, " \t");
        vmid = rh_strndup(p, strcspn(p, " \t\n"));
        there =
            rh_node_is_number(vmid) ? config_of("qm", vmid, &config, err) : 0;
        if (there < 0 || rh_go_on(lib, err) < 0)
            return -1;
        if (!there || !strstr(config, sign))
            continue;
        if (start && start_unless_running(lib, vmid, err) < 0)
            return -1;
        *ret_vmid = RH_TAKE(vmid);
        return 0;
    }
    return all ? 0 : -1;
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

/* "vm-100-disk-0-1a2b3c4d" and "....raw", as alloc() names them; 16 digits
 * where their VM comes later. */
static bool is_our_name(const char *name)
{
    RH_AUTO(rh_freep) char *stem = rh_strdup(name);
    size_t n = strlen(stem);
    const char *mark;

    if (n > 4 && !strcmp(stem + n - 4, ".raw"))
        stem[n - 4] = '\0';
    mark = strrchr(stem, '-');
    n = mark ? strlen(mark + 1) : 0;
    return !strncmp(stem, "vm-", 3) && strstr(stem, "-disk-") &&
           (n == 8 || n == 16) && strspn(mark + 1, "0123456789abcdef") == n &&
           !strpbrk(stem, " /\t");
}

int rh_node_volume(const char *name, char **ret_id, bool *ret_used,
                   rh_error **err)
{
    const char *colon = strchr(name, ':');
    RH_AUTO(rh_freep)
    char *storage = rh_strndup(name, colon ? (size_t)(colon - name) : 0);
    RH_AUTO(rh_freep) char *volume = NULL, *vmid = NULL;
    int used;

    *ret_id = NULL;
    *ret_used = false;
    if (!colon || !rh_node_is_name(storage) || !is_our_name(colon + 1))
        return 0;
    if (find_volume(storage, colon + 1, &volume, &vmid, err) < 0)
        return -1;
    used = volume && rh_node_is_number(vmid) ? is_used(vmid, volume, err) : 0;
    if (used < 0)
        return -1;
    *ret_used = used;
    *ret_id = RH_TAKE(volume);
    return 0;
}

/* Gone with its VM, perhaps; what a guest uses is no leaving. */
static int free_volume(const char *name, rh_error **err)
{
    RH_AUTO(rh_freep) char *volume = NULL, *text = NULL;
    bool used;

    if (rh_node_volume(name, &volume, &used, err) < 0)
        return -1;
    if (!volume || used)
        return 0;
    text = rh_program_run(
        NULL, (const char *const[]){"pvesm", "free", volume, NULL}, err);
    return text ? 0 : -1;
}

int rh_node_take_away(struct rh_node_vm *v, rh_error **err)
{
    int failed = v->made && !v->staged ? destroy_vm(v->vmid, v->note, err) : 0;

    for (size_t n = v->volumes.count; n > 0; n--)
        failed |= free_volume(v->volumes.items[n - 1], err);
    return failed;
}

/* "VMID/NOTE"; a volume's id. */
int rh_node_clean(const char *kind, const char *id, rh_error **err)
{
    const char *slash = strchr(id, '/');
    RH_AUTO(rh_freep) char *vmid = NULL;

    if (!strcmp(kind, "volume"))
        return free_volume(id, err);
    if (strcmp(kind, "vm") || !slash)
        return 0;
    vmid = rh_strndup(id, (size_t)(slash - id));
    return rh_node_is_number(vmid) ? destroy_vm(vmid, slash + 1, err) : 0;
}
