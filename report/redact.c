/* redact.c - names and addresses of a report, replaced consistently.
 *
 * First the fields that hold names are listed: each gets an alias ("vm-3",
 * "network-1").  Then every text of the document is rewritten: words that are
 * in the list, and what looks like an address, wherever they stand in it.
 * Looking up takes a binary search a word. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/redact.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum kind {
    A_VM,
    A_HOST,
    A_SOURCE,
    A_FILE,
    A_DISK,
    A_NETWORK,
    A_STORE,
    A_SERIAL,
    A_USER,
    A_NAME,
    A_MAC,
    A_IP4,
    A_IP6,
    A_UUID,
    KINDS
};

struct name {
    const char *text, *alias; /* in `aliases` */
    size_t length;
    size_t shorter; /* the longest other one that begins it; SIZE_MAX: none */
};

struct redact {
    json_t *aliases; /* what is hidden: its alias */
    unsigned counts[KINDS];
    RH_VEC(struct name) names; /* sorted, for looking up */
};

/* --- aliases
 * ------------------------------------------------------------- */

/* ".ova" of "exports/web01.ova", or "". */
static const char *ending_of(const char *text)
{
    const char *dot = strrchr(text, '.');
    size_t n = dot ? strlen(dot) : 0;

    if (n < 2 || n > 6)
        return "";
    for (const char *p = dot + 1; *p; p++)
        if (!isalnum((unsigned char)*p))
            return "";
    return dot;
}

static char *make_alias(struct redact *r, enum kind kind, const char *text)
{
    static const char *const words[KINDS] = {
        [A_VM] = "vm",           [A_HOST] = "host",     [A_SOURCE] = "source",
        [A_FILE] = "file",       [A_DISK] = "disk",     [A_NETWORK] = "network",
        [A_STORE] = "datastore", [A_SERIAL] = "serial", [A_USER] = "user",
        [A_NAME] = "name"};
    unsigned n = ++r->counts[kind];

    switch (kind) {
    case A_MAC:
        return rh_printf("02:00:00:%02x:%02x:%02x", n >> 16 & 255, n >> 8 & 255,
                         n & 255);
    case A_IP4: /* RFC 2544: networks for tests */
        return rh_printf("198.18.%u.%u", n >> 8 & 255, n & 255);
    case A_IP6: /* RFC 3849: documentation */
        return rh_printf("2001:db8::%x", n);
    case A_UUID:
        return rh_printf("00000000-0000-0000-0000-%012x", n);
    case A_SOURCE:
    case A_FILE:
        return rh_printf("%s-%u%s", words[kind], n, ending_of(text));
    default:
        return rh_printf("%s-%u", words[kind], n);
    }
}

static const char *alias(struct redact *r, enum kind kind, const char *text)
{
    const char *known = json_string_value(json_object_get(r->aliases, text));
    RH_AUTO(rh_freep) char *made = NULL;

    if (known)
        return known;
    made = make_alias(r, kind, text);
    json_object_set_new(r->aliases, text, json_string(made));
    return json_string_value(json_object_get(r->aliases, text));
}

/* --- pass 1: what is a name
 * ---------------------------------------------- */

static void hide(struct redact *r, enum kind kind, const char *text)
{
    const char *slash = text ? strrchr(text, '/') : NULL;

    if (!text || !text[0])
        return;
    alias(r, kind, text);
    if (slash && slash[1]) /* messages often have the last part alone */
        alias(r, kind, slash + 1);
}

static void hide_key(struct redact *r, enum kind kind, const json_t *o,
                     const char *key)
{
    hide(r, kind, json_string_value(json_object_get(o, key)));
}

static void hide_list(struct redact *r, const json_t *list, const char *key,
                      enum kind kind)
{
    const json_t *o;
    size_t i;

    json_array_foreach (list, i, o)
        hide_key(r, kind, o, key);
}

/* "fill:FILE" of where a value came from. */
static void hide_fills(struct redact *r, json_t *provenance)
{
    const char *key;
    json_t *o;

    json_object_foreach (provenance, key, o) {
        const char *from = json_string_value(json_object_get(o, "from"));

        if (from && !strncmp(from, "fill:", 5))
            hide(r, A_FILE, from + 5);
    }
}

static void hide_vm(struct redact *r, const json_t *vm)
{
    const json_t *disks = json_object_get(vm, "disks");

    hide_key(r, A_VM, vm, "name");
    hide_key(r, A_VM, vm, "id");
    hide_key(r, A_HOST, vm, "hostname");
    hide_key(r, A_SOURCE, vm, "address");
    hide_list(r, disks, "file", A_FILE);
    hide_list(r, disks, "parent", A_FILE);
    hide_list(r, disks, "id", A_DISK);
    hide_list(r, disks, "serial", A_SERIAL);
    hide_list(r, json_object_get(vm, "nics"), "network", A_NETWORK);
    hide_list(r, json_object_get(vm, "cdroms"), "file", A_FILE);
    hide_fills(r, json_object_get(vm, "provenance"));
}

static void hide_part(struct redact *r, enum kind kind, const char *text,
                      size_t n)
{
    RH_AUTO(rh_freep) char *part = rh_strndup(text, n);

    hide(r, kind, part);
}

/* A message may name the server of an address alone, or a folder on its way. */
static void hide_source(struct redact *r, const char *source)
{
    const char *p = source ? strstr(source, "://") : NULL;
    enum kind kind = A_HOST;

    hide(r, A_SOURCE, source);
    if (!p)
        return;
    for (p += 3; *p; p += strspn(p, "/?#"), kind = A_NAME) {
        size_t n = strcspn(p, kind == A_HOST ? ":/?#" : "/?#");

        /* "vm" is vCenter's own folder, and a word of ours. */
        if (n != 2 || strncmp(p, "vm", 2) != 0)
            hide_part(r, kind, p, n);
        p += strcspn(p, "/?#");
    }
}

static void hide_row(struct redact *r, const json_t *row)
{
    hide_vm(r, json_object_get(row, "vm"));
    hide_key(r, A_VM, row, "result");
    hide_source(r, json_string_value(json_object_get(row, "source")));
}

static void hide_failed(struct redact *r, const json_t *row)
{
    hide_source(r, json_string_value(json_object_get(row, "source")));
    hide_key(r, A_VM, row, "vm");
    hide_key(r, A_NAME, json_object_get(row, "error"), "subject");
}

/* --- looking up
 * ---------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text,
                  ((const struct name *)b)->text);
}

/* Short ones and numbers would be found in words that mean something else;
 * they are replaced where they are all of a text. */
static bool stands_out(const char *text)
{
    return strlen(text) >= 2 &&
           (strlen(text) >= 4 || strspn(text, "0123456789.") != strlen(text));
}

static void sort_names(struct redact *r)
{
    const char *text;
    json_t *value;

    json_object_foreach (r->aliases, text, value) {
        if (stands_out(text))
            *rh_vec_add(&r->names) = (struct name){
                text, json_string_value(value), strlen(text), SIZE_MAX};
    }
    if (r->names.count)
        qsort(r->names.items, r->names.count, sizeof *r->names.items, by_text);
    for (size_t i = 1; i < r->names.count; i++) {
        size_t k = i - 1;

        while (k != SIZE_MAX &&
               strncmp(r->names.items[k].text, r->names.items[i].text,
                       r->names.items[k].length) != 0)
            k = r->names.items[k].shorter;
        r->names.items[i].shorter = k;
    }
}

/* Other letters than ASCII's do not part words by blanks. */
static bool is_word(char c)
{
    return ((unsigned char)c < 0x80 && isalnum((unsigned char)c)) || c == '_';
}

/* The longest name that stands at `at` as whole words; NULL: none.  All names
 * that begin the text begin its predecessor in the list as well. */
static const struct name *name_at(const struct redact *r, const char *at)
{
    size_t low = 0, high = r->names.count, i;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(r->names.items[middle].text, at) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (i = low - 1; i != SIZE_MAX; i = r->names.items[i].shorter) {
        const struct name *n = &r->names.items[i];

        if (!strncmp(n->text, at, n->length) &&
            (!is_word(at[n->length]) || !is_word(n->text[n->length - 1])))
            return n;
    }
    return NULL;
}

/* --- what looks like an address
 * ------------------------------------------ */

static size_t hex_run(const char *s)
{
    size_t n = 0;

    while (isxdigit((unsigned char)s[n]))
        n++;
    return n;
}

static size_t uuid_length(const char *s)
{
    static const size_t parts[] = {8, 4, 4, 4, 12};
    size_t at = 0;

    for (size_t i = 0; i < RH_COUNT(parts); i++) {
        if (hex_run(s + at) != parts[i] ||
            (i + 1 < RH_COUNT(parts) && s[at + parts[i]] != '-'))
            return 0;
        at += parts[i] + (i + 1 < RH_COUNT(parts));
    }
    return at;
}

static size_t mac_length(const char *s)
{
    for (size_t i = 0; i < 6; i++)
        if (hex_run(s + 3 * i) != 2 ||
            (i < 5 && s[3 * i + 2] != ':' && s[3 * i + 2] != '-'))
            return 0;
    return 17;
}

static size_t address_length(const char *s, int family, const char *letters)
{
    size_t n = strspn(s, letters);
    char text[INET6_ADDRSTRLEN];
    unsigned char bytes[16];

    while (n && strchr(".:", s[n - 1])) /* a sentence's end */
        n--;
    if (n < 3 || n >= sizeof text)
        return 0;
    memcpy(text, s, n);
    text[n] = '\0';
    return inet_pton(family, text, bytes) == 1 ? n : 0;
}

static bool says_nothing(const char *s)
{
    return !strncmp(s, "127.", 4) || !strncmp(s, "255.", 4) ||
           !strncmp(s, "0.0.0.0", 7);
}

static void put_alias(struct redact *r, enum kind kind, const char *s, size_t n,
                      struct rh_buf *to)
{
    RH_AUTO(rh_freep) char *text = rh_strndup(s, n);

    for (char *p = text; *p && kind >= A_MAC; p++)
        *p =
            *p == '-' && kind == A_MAC ? ':' : (char)tolower((unsigned char)*p);
    rh_buf_puts(to, alias(r, kind, text));
}

/* Replaces what stands at `s`; how long it was, 0: no address. */
static size_t take_address(struct redact *r, const char *s, struct rh_buf *to)
{
    size_t n = uuid_length(s);
    enum kind kind = A_UUID;

    if (!n) {
        kind = A_MAC;
        n = mac_length(s);
    }
    if (!n) {
        kind = A_IP4;
        n = address_length(s, AF_INET, "0123456789.");
        if (n && says_nothing(s))
            return 0;
    }
    if (!n) {
        kind = A_IP6;
        n = address_length(s, AF_INET6, "0123456789abcdefABCDEF:.");
    }
    if (!n || is_word(s[n]))
        return 0;
    put_alias(r, kind, s, n, to);
    return n;
}

/* "scheme://HOST/PATH", "[DATASTORE] PATH", "/home/NAME", "C:\Users\NAME". */
static size_t take_place(struct redact *r, const char *s, struct rh_buf *to)
{
    static const char of_macs[] = "/"
                                  "Users/";
    static const char *const homes[] = {"/home/", "\\Users\\", of_macs};
    size_t scheme = strspn(s, "abcdefghijklmnopqrstuvwxyz+-"), n;
    const char *end;

    if (scheme > 1 && !strncmp(s + scheme, "://", 3)) {
        n = strcspn(s + scheme + 3, " \t\n\"'<>");
        rh_buf_add(to, s, scheme + 3);
        put_alias(r, A_HOST, s + scheme + 3, n, to);
        return scheme + 3 + n;
    }
    end = s[0] == '[' ? strchr(s, ']') : NULL;
    if (end && end > s + 1 && end[1] == ' ' && strchr(end, '/')) {
        n = strcspn(end + 2, " \t\n\"'<>,;");
        rh_buf_putc(to, '[');
        put_alias(r, A_STORE, s + 1, (size_t)(end - s - 1), to);
        rh_buf_puts(to, "] ");
        put_alias(r, A_FILE, end + 2, n, to);
        return (size_t)(end - s) + 2 + n;
    }
    for (size_t i = 0; i < RH_COUNT(homes); i++) {
        size_t m = strlen(homes[i]);

        n = strncmp(s, homes[i], m) ? 0 : strcspn(s + m, "/\\ \t\n\"'<>,;:");
        if (!n)
            continue;
        rh_buf_add(to, s, m);
        put_alias(r, A_USER, s + m, n, to);
        return m + n;
    }
    n = strncmp(s, "/vmfs/volumes/", 14) ? 0 : strcspn(s, " \t\n\"'<>,;");
    if (n)
        put_alias(r, A_FILE, s, n, to);
    return n;
}

/* --- pass 2: rewriting
 * --------------------------------------------------- */

static json_t *rewrite_text(struct redact *r, const char *text)
{
    const char *whole = json_string_value(json_object_get(r->aliases, text));
    RH_AUTO(rh_buf_free) struct rh_buf to = {0};

    if (whole)
        return json_string(whole);
    for (const char *s = text; *s;) {
        bool starts = s == text || !is_word(s[-1]) || !is_word(*s);
        const struct name *name = starts ? name_at(r, s) : NULL;
        size_t n = name ? name->length : starts ? take_address(r, s, &to) : 0;

        if (name)
            rh_buf_puts(&to, name->alias);
        if (!n && starts)
            n = take_place(r, s, &to);
        if (!n)
            rh_buf_putc(&to, *s++);
        s += n;
    }
    return json_string(to.data ? to.data : "");
}

/* Words of ours, whatever a VM is called. */
static bool is_ours(const char *key)
{
    static const char *const keys[] = {
        "schema",   "lang",    "target",    "verdict",    "effort",
        "severity", "family",  "profile",   "firmware",   "controller",
        "model",    "format",  "variant",   "clock",      "machine",
        "choice",   "kind",    "code",      "vmware_id",  "effort_by_hand",
        "class",    "models",  "mode",      "boot_order", "timezone",
        "version",  "backend", "os",        "disk",       "nic",
        "origin",   "fix",     "nic_model", NULL};

    for (size_t i = 0; keys[i]; i++)
        if (!strcmp(keys[i], key))
            return true;
    return false;
}

/* Ids of findings and reasons stay; those of VMs and disks are names. */
static bool is_finding(const json_t *o)
{
    return json_object_get(o, "message") || json_object_get(o, "label");
}

/* What somebody wrote about the VM, and where it was put: nobody can tell what
 * names are in it. */
static bool is_free_text(const char *key)
{
    return !strcmp(key, "annotation") || !strcmp(key, "tags") ||
           !strcmp(key, "folder") || !strcmp(key, "resource_pool");
}

static json_t *rewrite(struct redact *r, json_t *value);

static json_t *rewrite_object(struct redact *r, json_t *o)
{
    json_t *to = json_object();
    const char *key;
    json_t *value;

    json_object_foreach (o, key, value) {
        if (is_free_text(key) && json_is_string(value))
            json_object_set_new(to, key, json_string("..."));
        else if (is_ours(key) || (!strcmp(key, "id") && is_finding(o)))
            json_object_set(to, key, value);
        else
            json_object_set_new(to, key, rewrite(r, value));
    }
    return to;
}

static json_t *rewrite(struct redact *r, json_t *value)
{
    json_t *to, *item;
    size_t i;

    if (json_is_string(value))
        return rewrite_text(r, json_string_value(value));
    if (json_is_object(value))
        return rewrite_object(r, value);
    if (!json_is_array(value))
        return json_incref(value);
    to = json_array();
    json_array_foreach (value, i, item)
        json_array_append_new(to, rewrite(r, item));
    return to;
}

json_t *rh_redact(const json_t *report, const char *const *words, size_t count)
{
    struct redact r = {.aliases = json_object()};
    const json_t *row;
    json_t *to;
    size_t i;

    json_array_foreach (json_object_get(report, "vms"), i, row)
        hide_row(&r, row);
    json_array_foreach (json_object_get(report, "failed"), i, row)
        hide_failed(&r, row);
    for (i = 0; i < count; i++)
        hide(&r, A_NAME, words[i]);
    sort_names(&r);
    to = rewrite_object(&r, (json_t *)(uintptr_t)report);
    free(r.names.items);
    json_decref(r.aliases);
    return to;
}
