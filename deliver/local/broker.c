/* broker.c - the process that keeps root's rights. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/local/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

enum { DISKS_MAX = 64, REPLY_MAX = 16 };

struct reply {
    const char *words[REPLY_MAX];
    size_t count;
    char *owned[REPLY_MAX];
    size_t owned_count;
    int fd;
};

static void say(struct reply *r, const char *word)
{
    r->words[r->count++] = word;
}

/* Takes it. */
static void say_owned(struct reply *r, char *word)
{
    r->owned[r->owned_count++] = word;
    say(r, word);
}

/* --- may a VM be made so?
 * --------------------------------------------------------------- */

static bool has_only(const char *text, const char *more)
{
    for (const char *p = text; *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
            !(*p >= '0' && *p <= '9') && !strchr(more, *p))
            return false;
    return true;
}

/* The part behind the volume: what is about the drive alone. */
static bool is_drive_option(const char *part, size_t n)
{
    static const char *const names[] = {"discard",  "efitype",
                                        "iothread", "pre-enrolled-keys",
                                        "serial",   "version"};
    RH_AUTO(rh_freep) char *text = rh_strndup(part, n);
    char *equals = strchr(text, '=');

    if (!equals || !has_only(equals + 1, "._%+-"))
        return false;
    *equals = '\0';
    for (size_t i = 0; i < RH_COUNT(names); i++)
        if (!strcmp(names[i], text))
            return true;
    return false;
}

/* One of those that were made for it (as often as it likes: its own), or a
 * small new one. */
static bool is_own_volume(const struct rh_node_vm *v, const char *key,
                          const char *volume)
{
    RH_AUTO(rh_freep) char *fresh = rh_printf("%s:1", v->storage);

    for (size_t i = 0; i < v->ids.count; i++)
        if (!strcmp(v->ids.items[i], volume))
            return true;
    return !strcmp(volume, fresh) &&
           (!strcmp(key, "efidisk0") || !strcmp(key, "tpmstate0"));
}

static bool is_good_drive(const struct rh_node_vm *v, const char *key,
                          const char *value)
{
    size_t n = strcspn(value, ",");
    RH_AUTO(rh_freep) char *volume = rh_strndup(value, n);

    if (!strcmp(value, "none,media=cdrom"))
        return true;
    if (!is_own_volume(v, key, volume))
        return false;
    for (const char *p = value + n; *p; p += n) {
        n = strcspn(++p, ",");
        if (!is_drive_option(p, n))
            return false;
    }
    return true;
}

static bool is_text(const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\n' && *p != '\t')
            return false;
    return rh_valid_utf8(value, strlen(value));
}

static bool is_good(const struct rh_node_vm *v, const char *key,
                    const char *value)
{
    if (!has_only(key, "-") || !key[0] || !rh_pve_conf_allows(key, value))
        return false;
    if (!strcmp(key, "description"))
        return is_text(value);
    if (!has_only(value, " ,;:=._+/-"))
        return false;
    return !rh_pve_conf_is_disk(key) || is_good_drive(v, key, value);
}

int rh_broker_check_vm(const struct rh_node_vm *v, const char *const *params,
                       size_t count, rh_error **err)
{
    bool noted = false;

    if (count % 2 || !v->note || !rh_pve_is_note(v->note))
        return rh_fail(err, RH_ERR_BUG, "that is no VM");
    for (size_t i = 0; i < count; i += 2) {
        if (!is_good(v, params[i], params[i + 1]))
            return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                           "the setting \"%.40s: %.200s\" is refused",
                           params[i], params[i + 1]);
        noted |=
            !strcmp(params[i], "description") && strstr(params[i + 1], v->note);
    }
    return noted ? 0 : rh_fail(err, RH_ERR_BUG, "the VM has no mark");
}

/* --- the calls
 * ------------------------------------------------------------------------ */

static const char *yes(bool is)
{
    return is ? "1" : "0";
}

/* "" or a number. */
int rh_broker_look_at_node(struct rh_broker *b, const char *vmid,
                           rh_error **err)
{
    rh_node_facts_free(&b->facts);
    if (vmid[0] && !rh_node_is_number(vmid))
        return rh_fail(err, RH_ERR_USAGE, "\"%.20s\" is no number of a VM",
                       vmid);
    return rh_node_look(NULL, b->storage, vmid[0] ? vmid : NULL,
                        b->staged.mark[0] ? b->staged.mark : NULL, &b->facts,
                        err);
}

static int call_look(struct rh_broker *b, const char *const *words,
                     struct reply *r, rh_error **err)
{
    const struct rh_node_facts *f = &b->facts;

    if (rh_broker_look_at_node(b, words[0], err) < 0)
        return -1;
    say(r, f->type);
    say(r, yes(f->thick));
    say(r, yes(f->files));
    say_owned(r, rh_printf("%llu", (unsigned long long)f->room));
    say(r, f->vmid);
    say(r, yes(f->taken));
    say(r, f->lvm);
    return 0;
}

static int clean_one(void *state, struct rh_journal *j, const char *kind,
                     const char *id, rh_error **err)
{
    (void)state;
    (void)j;
    return rh_node_clean(kind, id, err);
}

static int call_begin(struct rh_broker *b, const char *const *words,
                      struct reply *r, rh_error **err)
{
    RH_AUTO(rh_freep) char *key = rh_printf("%s %s", b->url, words[0]);

    if (b->journal || rh_check_name(words[0], NULL) < 0 ||
        strlen(words[0]) > 255)
        return rh_fail(err, RH_ERR_BUG, "no VM begins here");
    if (rh_broker_look_at_node(b, words[1], err) < 0)
        return -1;
    if (b->facts.taken)
        return rh_fail(err, RH_ERR_DELIVERY_TAKEN, "a VM %s is there already",
                       b->facts.vmid);
    if (rh_node_vm_init(&b->vm, NULL, b->storage, &b->facts, err) == 0 &&
        rh_broker_stage_give(b, words[2], err) == 0)
        b->journal =
            rh_journal_begin(b->lib, NULL, key, clean_one, NULL, NULL, err);
    if (!b->journal) {
        rh_node_vm_free(&b->vm);
        return -1;
    }
    b->vm.journal = b->journal;
    say(r, b->vm.vmid);
    return 0;
}

/* Only for writing, and only what can be a volume. */
int rh_broker_open_volume(const char *volume, const char *type, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_node_path(NULL, volume, err);
    RH_AUTO(rh_closep) int fd = -1;
    struct stat st;
    int ret;

    if (!path || rh_node_activate(path, type, err) < 0)
        return -1;
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open it");
        return rh_error_subject(err, path);
    }
    if (fstat(fd, &st) < 0 || (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)))
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "%s is neither a device nor a file", path);
    ret = fd;
    fd = -1;
    return ret;
}

static int call_alloc(struct rh_broker *b, const char *const *words,
                      struct reply *r, rh_error **err)
{
    uint64_t size;
    const char *volume;

    if (!b->journal || b->vm.made || b->vm.volumes.count == DISKS_MAX ||
        !rh_parse_u64(words[0], &size) || size == 0 || size > (uint64_t)1 << 50)
        return rh_fail(err, RH_ERR_BUG, "no volume is made here");
    if (rh_node_alloc(&b->vm, size, &volume, err) < 0)
        return -1;
    say(r, volume);
    r->fd = rh_broker_open_volume(volume, b->facts.type, err);
    return r->fd < 0 ? -1 : 0;
}

static int call_create(struct rh_broker *b, const char *const *words,
                       size_t count, rh_error **err)
{
    json_t *params;

    if (!b->journal || b->vm.made)
        return rh_fail(err, RH_ERR_BUG, "no VM is made here");
    free(b->vm.note);
    b->vm.note = rh_strdup(words[0]);
    if (rh_broker_check_vm(&b->vm, words + 1, count - 1, err) < 0)
        return -1;
    params = json_object();
    for (size_t i = 1; i + 1 < count; i += 2)
        json_object_set_new(params, words[i], json_string(words[i + 1]));
    if (rh_node_create(&b->vm, params, err) < 0)
        return -1;
    b->created = true;
    return 0;
}

static void end_vm(struct rh_broker *b)
{
    rh_journal_close(RH_TAKE(b->journal));
    rh_node_vm_free(&b->vm);
    b->created = false;
}

static int call_keep(struct rh_broker *b, rh_error **err)
{
    if (!b->journal || !b->created)
        return rh_fail(err, RH_ERR_BUG, "there is no VM to keep");
    rh_journal_done(b->journal);
    if (b->vm.staged)
        rh_staged_end(&b->staged);
    free(b->kept);
    b->kept = rh_strdup(b->vm.vmid);
    end_vm(b);
    return 0;
}

static int drop(struct rh_broker *b, rh_error **err)
{
    int failed = 0;

    if (!b->journal)
        return 0;
    if (!b->keep_failed) {
        failed = rh_node_take_away(&b->vm, err);
        if (!failed)
            rh_journal_done(b->journal);
    }
    end_vm(b);
    return failed;
}

/* A description may be escaped in a configuration: the digits are not. */
static int call_find(struct rh_broker *b, const char *const *words,
                     struct reply *r, rh_error **err)
{
    RH_AUTO(rh_freep) char *key = rh_printf("%s %s", b->url, words[0]);
    RH_AUTO(rh_journal_closep) struct rh_journal *j = NULL;
    char *vmid = NULL;

    if (b->journal || rh_check_name(words[0], NULL) < 0 ||
        strlen(words[0]) > 255 || !rh_broker_mark(words[1]))
        return rh_fail(err, RH_ERR_BUG, "no VM is looked for here");
    j = rh_journal_begin(b->lib, NULL, key, clean_one, NULL, NULL, err);
    if (!j || rh_node_find(NULL, rh_broker_mark(words[1]), words[2][0] == '1',
                           &vmid, err) < 0)
        return -1;
    if (vmid)
        rh_broker_stage_forget(b, words[1]);
    say_owned(r, vmid ? vmid : rh_strdup(""));
    return 0;
}

/* One of the calls that begin with "stage". */
static int call_staged(struct rh_broker *b, char which,
                       const char *const *words, struct reply *r,
                       rh_error **err)
{
    struct rh_broker_staged s = {.fd = -1};
    int failed;

    switch (which) {
    case 'o':
        failed = rh_broker_stage_open(b, words[0], words[1], &s, err);
        break;
    case 'm':
        failed = rh_broker_stage_make(b, words[0], words[1], &s, err);
        break;
    default:
        failed = rh_broker_stage_use(b, words[0], words[1], &s, err);
    }
    r->fd = s.fd;
    if (failed)
        return -1;
    say(r, which == 'o' ? s.vmid : yes(s.there));
    say(r, which == 'o' ? s.type : s.id ? s.id : "");
    say(r, yes(s.thick));
    return 0;
}

static int call_start(struct rh_broker *b, rh_error **err)
{
    if (!b->kept)
        return rh_fail(err, RH_ERR_BUG, "there is no VM to start");
    return rh_node_start(NULL, b->kept, err);
}

static int call_addresses(struct rh_broker *b, struct reply *r, rh_error **err)
{
    json_t *list = json_array();
    int failed = b->kept ? rh_node_addresses(NULL, b->kept, list, err)
                         : rh_fail(err, RH_ERR_BUG, "there is no VM");
    char *text = json_dumps(list, JSON_COMPACT);

    json_decref(list);
    if (strlen(text) < RH_WIRE_BYTES / 2)
        say_owned(r, text);
    else
        free(text);
    return failed;
}

/* --- serving
 * ---------------------------------------------------------------------------
 */

static int call(struct rh_broker *b, const struct rh_wire *m, struct reply *r,
                rh_error **err)
{
    static const struct {
        const char *name;
        size_t least, most; /* words after the name */
    } calls[] = {{"look", 1, 1},       {"begin", 3, 3},
                 {"alloc", 1, 1},      {"create", 1, RH_WIRE_WORDS},
                 {"keep", 0, 0},       {"drop", 0, 0},
                 {"start", 0, 0},      {"addresses", 0, 0},
                 {"find", 3, 3},       {"stage-open", 2, 2},
                 {"stage-make", 2, 2}, {"stage-use", 2, 2},
                 {"stage-drop", 1, 1}};
    const char *const *words = m->words + 2;
    size_t count = m->count - 2, which = 0;

    while (which < RH_COUNT(calls) && strcmp(calls[which].name, m->words[1]))
        which++;
    if (which == RH_COUNT(calls) || count < calls[which].least ||
        count > calls[which].most)
        return rh_fail(err, RH_ERR_BUG, "that is no call");
    switch (which) {
    case 0:
        return call_look(b, words, r, err);
    case 1:
        return call_begin(b, words, r, err);
    case 2:
        return call_alloc(b, words, r, err);
    case 3:
        return call_create(b, words, count, err);
    case 4:
        return call_keep(b, err);
    case 5:
        return drop(b, err);
    case 6:
        return call_start(b, err);
    case 7:
        return call_addresses(b, r, err);
    case 8:
        return call_find(b, words, r, err);
    case 12:
        return rh_broker_stage_drop(b, words[0], err);
    default:
        return call_staged(b, calls[which].name[6], words, r, err);
    }
}

static int answer(struct rh_broker *b, const struct rh_wire *m)
{
    struct reply r = {.fd = -1};
    RH_AUTO(rh_error_freep) rh_error *e = NULL;
    int failed;

    say(&r, m->words[0]); /* the call's number */
    say(&r, "ok");
    if (call(b, m, &r, &e) < 0) {
        r.count = 1;
        say_owned(&r, rh_printf("%d", (int)rh_error_number(e)));
        say(&r, rh_error_message(e));
        say(&r, rh_error_hint(e));
    }
    failed = rh_wire_send(NULL, b->socket, r.words, r.count, r.fd, NULL);
    rh_closep(&r.fd);
    for (size_t i = 0; i < r.owned_count; i++)
        free(r.owned[i]);
    return failed;
}

void rh_broker_serve(struct rh_broker *b)
{
    RH_AUTO(rh_error_freep) rh_error *e = NULL;
    struct rh_wire m;

    while (rh_wire_receive(NULL, b->socket, &m, NULL) == 1) {
        bool more = m.count >= 2 && m.fd < 0 && answer(b, &m) == 0;

        rh_wire_free(&m);
        if (!more)
            break;
    }
    if (drop(b, &e) < 0)
        rh_log(b->lib, RH_LOG_WARN, "%s", rh_error_message(e));
    if (b->staged.mark[0])
        rh_staged_close(&b->staged);
    rh_node_facts_free(&b->facts);
    free(b->kept);
}
