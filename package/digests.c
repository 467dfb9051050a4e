/* digests.c - what the manifest and the certificate vouch for.
 *
 * The chain: a CA (--trust) vouches for the signer, the signature for the
 * manifest, the manifest for the descriptor and the disks.  The descriptor is
 * checked before anything in it is believed; the disks while they are read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/sign.h"
#include "package/container.h"

enum { TOLD_MAX = 20 }; /* findings of one kind about single names */

/* --- the manifest -------------------------------------------------------- */

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n > m && rh_same_word(name + n - m, ending);
}

static const char *own_name(const struct rh_container *c)
{
    const char *slash = strrchr(c->name, '/');

    return slash ? slash + 1 : c->name;
}

/* "web01.ovf" -> "web01.mf"; then, in an archive, whatever ends in ".mf". */
static struct rh_io *open_beside(struct rh_package *p, const char *ending,
                                 rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    const char *own = own_name(c), *dot = strrchr(own, '.'), *other;
    int stem = (int)(dot ? (size_t)(dot - own) : strlen(own));
    RH_AUTO(rh_freep) char *name = rh_printf("%.*s%s", stem, own, ending);
    rh_error *cause = NULL;
    struct rh_io *io = rh_place_open(p->place, name, &cause);

    if (io)
        return io;
    if (rh_error_number(cause) != RH_ERR_FILE_NOT_FOUND) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return NULL;
    }
    rh_error_free(cause);
    for (size_t i = 0; c->archive && (other = rh_place_name(p->place, i)); i++)
        if (ends_in(other, ending) && !strchr(other, '/'))
            return rh_place_open(p->place, other, err);
    return NULL;
}

/* Nothing in it counts: why? */
static void tell_about_nothing(struct rh_package *p, const char *text, size_t n)
{
    size_t blank = 0;

    while (blank < n && strchr(" \t\r\n", text[blank]))
        blank++;
    rh_finding_add(&p->findings, RH_F_PACKAGE_MANIFEST_EMPTY, "manifest", "%s",
                   blank == n ? _("the manifest is empty")
                   : text[blank] == '<'
                       ? _("the manifest is a web page, or XML: log in and "
                           "save the real one")
                       : _("no line of the manifest is understood"));
}

static void tell_about_lines(struct rh_package *p)
{
    const struct rh_manifest *m = rh_container_of(p)->manifest;
    bool weak = false;

    for (size_t i = 0; i < m->odd.count && i < TOLD_MAX; i++)
        rh_finding_add(&p->findings, RH_F_PACKAGE_MANIFEST_LINE, "manifest",
                       "line %u of the manifest is not understood",
                       m->odd.items[i]);
    for (size_t i = 0; i < m->lines.count; i++)
        weak |= !strncmp(m->lines.items[i].algorithm, "md5", 3) ||
                !strcmp(m->lines.items[i].algorithm, "sha1+md5") ||
                !strcmp(m->lines.items[i].algorithm, "sha1");
    if (weak)
        rh_finding_add(
            &p->findings, RH_F_PACKAGE_WEAK_DIGEST, "manifest",
            "the manifest's digests are of an old kind (SHA-1 or MD5)");
}

/* --- the signature ------------------------------------------------------- */

static void take_signer(struct rh_package *p, struct rh_signer *signer)
{
    p->signer = signer->subject;
    p->signature =
        signer->trusted ? RH_SIGNATURE_VERIFIED : RH_SIGNATURE_UNTRUSTED;
    if (!signer->trusted)
        rh_finding_add(&p->findings, RH_F_PACKAGE_SIGNER_UNKNOWN, "signature",
                       "signed by \"%s\", which nothing here vouches for",
                       p->signer);
    if (signer->expired)
        rh_finding_add(&p->findings, RH_F_PACKAGE_SIGNER_EXPIRED, "signature",
                       "the certificate of \"%s\" is not valid today",
                       p->signer);
}

static int check_signature(struct rh_package *p, const char *cert, size_t n,
                           const char *text, size_t text_size, rh_error **err)
{
    const char *ca = p->lib ? p->lib->trust : NULL;
    RH_AUTO(rh_freep) unsigned char *signature = NULL;
    RH_AUTO(rh_freep) char *reason = NULL;
    struct rh_cert_text parsed = {0};
    struct rh_signer signer = {0};
    struct rh_signed s;

    if (rh_cert_parse(cert, n, &parsed, err) < 0)
        return -1;
    signature = parsed.signature;
    s = (struct rh_signed){.algorithm = parsed.algorithm,
                           .signature = signature,
                           .signature_size = parsed.signature_size,
                           .text = text,
                           .text_size = text_size,
                           .pem = parsed.pem,
                           .pem_size = n - (size_t)(parsed.pem - cert)};
    if (rh_sign_check(&s, ca, &signer, err) < 0)
        return -1;
    reason = signer.reason;
    take_signer(p, &signer);
    if (!ca || signer.trusted)
        return 0;
    return rh_fail(err, RH_ERR_CERT_UNTRUSTED,
                   "the signer \"%s\" does not lead to the given CA: %s",
                   p->signer, reason ? reason : "?");
}

static int open_certificate(struct rh_package *p, const char *text, size_t n,
                            rh_error **err)
{
    rh_error *cause = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = open_beside(p, ".cert", &cause);
    RH_AUTO(rh_freep) char *cert = NULL;
    size_t cert_size;

    if (cause) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    if (!io)
        return 0;
    if (rh_io_slurp(io, RH_LIMIT_MANIFEST, &cert, &cert_size, err) < 0)
        return -1;
    if (check_signature(p, cert, cert_size, text, n, err) < 0)
        return rh_error_subject(err, io->name);
    return 0;
}

/* --- the descriptor's own digest ----------------------------------------- */

/* Of several digests the first that differs is told. */
static int mismatch(const char *name, const char *algorithm, const char *want,
                    const char *found, rh_error **err)
{
    size_t a = strcspn(algorithm, "+"), w = strcspn(want, "+");

    while (algorithm[a] && want[w] && !strncmp(want, found, w)) {
        algorithm += a + 1;
        want += w + 1;
        found += w + 1;
        a = strcspn(algorithm, "+");
        w = strcspn(want, "+");
    }
    rh_fail(err, RH_ERR_MANIFEST_MISMATCH,
            "its %.*s is %.*s, but the manifest says %.*s", (int)a, algorithm,
            (int)w, found, (int)w, want);
    return rh_error_subject(err, name);
}

static int check_text(const struct rh_manifest_line *line, const char *text,
                      size_t n, rh_error **err)
{
    RH_AUTO(rh_digest_freep)
    struct rh_digest *d = rh_digest_new(line->algorithm);
    char hex[RH_DIGEST_HEX];

    if (!d)
        return rh_fail(err, RH_ERR_UNAVAILABLE,
                       "%s digests cannot be computed here", line->algorithm);
    rh_digest_add(d, text, n);
    rh_digest_hex(d, hex);
    return strcmp(hex, line->digest)
               ? mismatch(line->name, line->algorithm, line->digest, hex, err)
               : 0;
}

static int check_descriptor(struct rh_package *p, const char *text, size_t n,
                            rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    const struct rh_manifest_line *line = rh_vouched_by(p, own_name(c));

    c->descriptor_listed = line != NULL;
    if (line)
        return check_text(line, text, n, err);
    rh_finding_add(&p->findings, RH_F_PACKAGE_NOT_LISTED, own_name(c),
                   "the manifest does not vouch for the descriptor \"%s\"",
                   own_name(c));
    return 0;
}

int rh_digests_open(struct rh_package *p, const char *text, size_t n,
                    rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(rh_freep) char *lines = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    rh_error *cause = NULL;
    size_t size;

    io = open_beside(p, ".mf", &cause);
    if (cause) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    if (!io)
        return 0;
    if (rh_io_slurp(io, RH_LIMIT_MANIFEST, &lines, &size, err) < 0)
        return -1;
    c->manifest = rh_manifest_parse(lines, size, err);
    if (!c->manifest)
        return rh_error_subject(err, io->name);
    p->manifest = RH_MANIFEST_UNVERIFIED;
    if (open_certificate(p, lines, size, err) < 0)
        return -1;
    if (!c->manifest->lines.count)
        tell_about_nothing(p, lines, size);
    tell_about_lines(p);
    return check_descriptor(p, text, n, err);
}

/* --- the whole ----------------------------------------------------------- */

/* By a file that is written otherwise. */
static bool is_taken(struct rh_package *p, const struct rh_manifest_line *line)
{
    const char *near = rh_near_name(p, line->name);

    return near && rh_vouched_by(p, near) == line;
}

/* Lines for files that are not there: harmless by themselves, since a disk
 * that is needed says so on its own. */
static int tell_about_absent(struct rh_package *p, rh_error **err)
{
    const struct rh_container *c = rh_container_of(p);
    size_t told = 0;

    for (size_t i = 0; i < c->manifest->lines.count && told < TOLD_MAX; i++) {
        const char *name = c->manifest->lines.items[i].name;
        uint64_t size;
        bool there;

        if (rh_file_look(p, name, &there, &size, err) < 0)
            return -1;
        if (there || is_taken(p, &c->manifest->lines.items[i]))
            continue;
        rh_finding_add(&p->findings, RH_F_PACKAGE_LISTED_MISSING, name,
                       "the manifest lists \"%s\", which is not in the package",
                       name);
        told++;
    }
    return 0;
}

static bool is_strict(const struct rh_package *p)
{
    return p->lib && (p->lib->require_manifest || p->lib->trust);
}

/* Every file that a disk needs must be listed. */
static int check_listed(struct rh_package *p, const char *href,
                        uint64_t chunk_size, rh_error **err)
{
    RH_AUTO(rh_parts_free) struct rh_parts parts = {0};

    if (rh_parts_find(p, href, chunk_size, &parts, NULL) < 0)
        return 0; /* said already */
    for (size_t i = 0; i < parts.list.count; i++) {
        const char *name = parts.list.items[i].name;

        if (rh_vouched_by(p, name))
            continue;
        if (is_strict(p)) {
            rh_fail(err, RH_ERR_MANIFEST_INCOMPLETE,
                    "the manifest does not list it");
            return rh_error_subject(err, name);
        }
        rh_finding_add(&p->findings, RH_F_PACKAGE_NOT_LISTED, name,
                       "the manifest does not vouch for \"%s\"", name);
    }
    return 0;
}

static int check_disks_listed(struct rh_package *p, rh_error **err)
{
    for (size_t i = 0; i < p->vms.count; i++)
        for (size_t j = 0; j < p->vms.items[i]->disks.count; j++) {
            const struct rh_disk_config *d = &p->vms.items[i]->disks.items[j];

            if (d->file.kind == RH_VALUE_TEXT && !d->empty &&
                check_listed(p, d->file.text, d->chunk_size, err) < 0)
                return -1;
        }
    return 0;
}

static int check_required(struct rh_package *p, rh_error **err)
{
    const struct rh_container *c = rh_container_of(p);

    if (p->lib->require_manifest && !c->manifest)
        return rh_fail(err, RH_ERR_MANIFEST_MISSING,
                       "the package has no manifest");
    if (p->loose)
        return rh_fail(err, RH_ERR_MANIFEST_UNPINNED,
                       "its server does not tell when the file changes, so "
                       "nothing shows that what is used is what was checked");
    if (p->lib->trust && p->signature != RH_SIGNATURE_VERIFIED)
        return rh_fail(err, RH_ERR_CERT_UNTRUSTED, "the package is not signed");
    if (c->descriptor_listed)
        return 0;
    rh_fail(err, RH_ERR_MANIFEST_INCOMPLETE,
            "the manifest does not list the descriptor");
    return rh_error_subject(err, own_name(c));
}

int rh_digests_check(struct rh_package *p, rh_error **err)
{
    const struct rh_container *c = rh_container_of(p);

    if (is_strict(p) && check_required(p, err) < 0)
        return -1;
    if (!c->manifest) {
        if (c->descriptor && c->descriptor->vouched)
            rh_finding_add(
                &p->findings, RH_F_PACKAGE_NO_MANIFEST, "manifest",
                "the package has no manifest: nothing shows whether it "
                "is complete and unchanged");
        return 0;
    }
    if (p->loose)
        rh_finding_add(&p->findings, RH_F_PACKAGE_UNPINNED, "manifest",
                       "the server gives neither an ETag nor a date by which a "
                       "change would show: the manifest is compared, but what "
                       "is read again may be another version's");
    if (tell_about_absent(p, err) < 0 || check_disks_listed(p, err) < 0)
        return -1;
    rh_digests_count(p);
    return 0;
}

/* The files that a disk takes, by its name in the descriptor. */
static bool disk_is_verified(struct rh_package *p,
                             const struct rh_disk_config *d)
{
    RH_AUTO(rh_parts_free) struct rh_parts parts = {0};

    if (d->empty || d->file.kind != RH_VALUE_TEXT ||
        rh_parts_find(p, d->file.text, d->chunk_size, &parts, NULL) < 0)
        return true; /* nothing was read for it */
    for (size_t i = 0; i < parts.list.count; i++) {
        const struct rh_member *m = rh_member_find(p, parts.list.items[i].name);

        if (!m || !m->verified)
            return false;
    }
    return true;
}

/* Every file that was used, or will be, has a digest that was computed and
 * equal; and so has whatever else the manifest lists. */
static bool all_verified(struct rh_package *p)
{
    const struct rh_container *c = rh_container_of(p);

    if (p->loose || (!c->descriptor_listed && c->descriptor))
        return false;
    for (size_t i = 0; i < p->members.count; i++)
        if (p->members.items[i].digest && !p->members.items[i].verified)
            return false;
    for (size_t i = 0; i < c->trails.count; i++)
        for (size_t j = 0; j < c->trails.items[i].members.count; j++)
            if (!p->members.items[c->trails.items[i].members.items[j]].verified)
                return false;
    for (size_t i = 0; i < p->vms.count; i++)
        for (size_t j = 0; j < p->vms.items[i]->disks.count; j++)
            if (!disk_is_verified(p, &p->vms.items[i]->disks.items[j]))
                return false;
    return true;
}

void rh_digests_count(struct rh_package *p)
{
    if (rh_container_of(p)->manifest)
        p->manifest =
            all_verified(p) ? RH_MANIFEST_VERIFIED : RH_MANIFEST_UNVERIFIED;
}

static int check_hex(struct rh_member *m, const char *hex, rh_error **err)
{
    if (!m->digest)
        return 0;
    if (strcasecmp(m->digest, hex))
        return mismatch(m->name, m->algorithm, m->digest, hex, err);
    m->verified = true;
    return 0;
}

int rh_package_check_digest(struct rh_package *p, struct rh_member *m,
                            const char *hex, rh_error **err)
{
    if (check_hex(m, hex, err) < 0)
        return -1;
    rh_digests_count(p);
    return 0;
}

static int digest_member(struct rh_package *p, struct rh_member *m,
                         struct rh_io *io, uint64_t *done, uint64_t total,
                         rh_error **err)
{
    RH_AUTO(rh_digest_freep) struct rh_digest *d = rh_digest_new(m->algorithm);
    RH_AUTO(rh_freep) char *buf = rh_malloc(RH_MIB);
    char hex[RH_DIGEST_HEX];

    if (!d)
        return rh_fail(err, RH_ERR_UNAVAILABLE,
                       "%s digests cannot be computed here", m->algorithm);
    for (uint64_t at = 0; at < io->size;) {
        size_t n = (size_t)RH_MIN(RH_MIB, io->size - at);

        if (rh_go_on(p->lib, err) < 0 || rh_io_read(io, buf, n, at, err) < 0)
            return -1;
        rh_digest_add(d, buf, n);
        at += n;
        *done += n;
        rh_progress(p->lib, "verify", *done, total);
    }
    rh_digest_hex(d, hex);
    return check_hex(m, hex, err);
}

int rh_package_verify(struct rh_package *p, rh_error **err)
{
    uint64_t total = 0, done = 0;

    for (size_t i = 0; i < p->members.count; i++)
        if (p->members.items[i].digest && !p->members.items[i].verified)
            total += p->members.items[i].size;
    for (size_t i = 0; i < p->members.count; i++) {
        struct rh_member *m = &p->members.items[i];
        RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

        if (!m->digest || m->verified)
            continue;
        io = rh_file_open(p, m->name, err);
        if (!io || digest_member(p, m, io, &done, total, err) < 0)
            return -1;
    }
    rh_digests_count(p);
    return 0;
}
