/* container.h - what package.c, source.c, files.c and disk.c share: the state
 * of an open package. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_CONTAINER_H
#define RH_PACKAGE_CONTAINER_H

#include "base/names.h"
#include "package/archive.h"
#include "package/descriptor.h"
#include "package/manifest.h"
#include "package/witness.h"

/* A compressed file of the package, unpacked once. */
struct rh_unpacked {
    char *name;
    struct rh_io *io;
};
/* A remote file whose digest comes from what passes. */
struct rh_watched {
    size_t member;
    struct rh_witness *witness;
};
/* A bare disk: rh_disk_config.file is its name. */
struct rh_bare {
    char *name; /* of the file; its path where another has that name */
    struct rh_io *io;
    struct rh_place *base; /* the files beside it; borrowed of the first */
    const char *format;
    struct rh_container *owned; /* of the second and on: what opened it */
};
/* What near.c found for a name; both in the package's arena. */
struct rh_near {
    const char *name, *found; /* NULL: none, or several */
};
/* --datastore-map: where a datastore of the source lies here. */
struct rh_datastore {
    char *prefix; /* of the descriptor's names */
    char *folder; /* absolute */
    struct rh_place *place;
    struct rh_container *container;
};
/* Who gives the disks of a package whose files are not here (live sources). */
struct rh_opener;
struct rh_opener_ops {
    /* As rh_package_disk() and rh_package_disk_forward() give it; forward()
     * is NULL without an error where read() is the way. */
    struct rh_reader *(*read)(struct rh_opener *o, size_t vm, size_t disk,
                              rh_error **err);
    struct rh_reader *(*forward)(struct rh_opener *o, size_t vm, size_t disk,
                                 rh_error **err);
    /* Shall a report look into the disk (through read())? */
    bool (*looks)(struct rh_opener *o, size_t vm, size_t disk);
    void (*close)(struct rh_opener *o); /* frees it */
};
struct rh_opener {
    const struct rh_opener_ops *ops;
};
/* The members that reading a disk takes, as indexes in p->members. */
struct rh_trail {
    size_t vm, disk;
    bool chained; /* it lies over a parent, which others may lie over, too */
    RH_VEC(size_t) members;
};

struct rh_container {
    const struct rh_descriptor *descriptor; /* NULL: bare disks */
    bool archive;                           /* `base` is one */
    struct rh_archive_about about;
    struct rh_place *base; /* all there is: the archive, or the folder */
    struct rh_io *io;      /* the descriptor; or the bare disk */
    char *name;            /* of it, in `base` */
    char *folder;          /* that it lies in, "" or "a/b": p->place */
    const char *format;    /* of a bare disk that does not show it; or NULL */
    RH_VEC(struct rh_bare) bares; /* all bare disks, the first included */
    struct rh_manifest *manifest;
    bool descriptor_listed;
    RH_VEC(struct rh_file_note) files;
    RH_VEC(struct rh_disk_note) disks;
    RH_VEC(struct rh_unpacked) unpacked;
    RH_VEC(struct rh_trail) trails;
    RH_VEC(struct rh_place *) views; /* readers may still look through them */
    struct rh_package *package;
    struct rh_opener *opener; /* or NULL */
    RH_VEC(struct rh_near) nears;
    struct rh_name_map near_lines, near_twice; /* of the manifest, folded */
    bool folded;
    RH_VEC(struct rh_watched) witnesses;
    RH_VEC(struct rh_datastore) datastores;
    size_t watched; /* the trail that what is opened now belongs to */
};

static inline struct rh_container *rh_container_of(const struct rh_package *p)
{
    return p->state;
}

void rh_container_free(struct rh_container *c);

/* --- source.c ------------------------------------------------------------ */
/* Find out what it is: fills descriptor, base, io, name, format; or opener, the
 * VMs being described then. */
int rh_source_open(struct rh_package *p, const char *source,
                   const struct rh_package_options *o, rh_error **err);

/* --- datastore.c ---------------------------------------------------------- */
int rh_datastores_open(struct rh_package *p, const struct rh_package_options *o,
                       rh_error **err);
void rh_datastores_close(struct rh_container *c);
/* The datastore that a resolved name lies on, and the name there; or NULL. */
struct rh_datastore *rh_datastore_of(const struct rh_package *p,
                                     const char *name, const char **ret_rest);
/* A file by its resolved name, of the package or of a datastore. */
struct rh_io *rh_file_open(struct rh_package *p, const char *name,
                           rh_error **err);

/* --- bare.c ----------------------------------------------------------------
 */
/* Make one VM of p's disk and of those that "disk" of the options names. */
int rh_bare_open(struct rh_package *p, const struct rh_package_options *o,
                 rh_error **err);
void rh_bare_close(struct rh_container *c);
const struct rh_bare *rh_bare_named(const struct rh_package *p,
                                    const char *name);

/* --- near.c ----------------------------------------------------------------
 */
/* The one file that is written otherwise, and meant; NULL: none, or several. */
const char *rh_near_name(struct rh_package *p, const char *name);

/* --- vouch.c ---------------------------------------------------------------
 */
/* The manifest's line for a file of the package: of its name, or the one that
 * is written otherwise and has no file of its own.  NULL: none. */
const struct rh_manifest_line *rh_vouched_by(struct rh_package *p,
                                             const char *name);

/* --- files.c: the files that a descriptor names -------------------------- */
/* The stored file, or its chunks; count 0: it is not there. */
struct rh_part {
    const char *name; /* in the package's arena */
    uint64_t size;
};
struct rh_parts {
    RH_VEC(struct rh_part) list;
    uint64_t size; /* all together */
};
void rh_parts_free(struct rh_parts *parts); /* also for RH_AUTO */
const struct rh_file_note *rh_file_note_of(const struct rh_package *p,
                                           const char *href);
/* *ret_there is false when there is no such file; whatever else hinders opening
 * it is an error. */
int rh_file_look(struct rh_package *p, const char *name, bool *ret_there,
                 uint64_t *ret_size, rh_error **err);
/* PACKAGE_HREF when the name leaves the package. */
int rh_parts_find(struct rh_package *p, const char *href, uint64_t chunk_size,
                  struct rh_parts *ret, rh_error **err);
/* The error for a file that is not there. Returns -1. */
int rh_file_missing(const struct rh_package *p, const char *href,
                    rh_error **err);
/* Fill p->members; check what the descriptor names: hostile names are an
 * error, absent files and odd sizes are findings. */
int rh_files_list(struct rh_package *p, rh_error **err);
/* Disks that are read from one file, as findings; those said before go. */
void rh_files_shared(struct rh_package *p);
struct rh_member *rh_member_find(struct rh_package *p, const char *name);
/* Its index; made when it is not there yet. */
size_t rh_member_of(struct rh_package *p, const char *name, uint64_t size);

/* --- disk.c --------------------------------------------------------------- */
/* The file of a disk as it is stored; NULL when more belongs to the disk than
 * this file, or when it is unpacked already (no error). */
struct rh_io *rh_disk_packed(struct rh_package *p, size_t vm, size_t disk);
/* Take over what only the disk itself can say: its format and size. */
void rh_disk_learn(struct rh_package *p, size_t vm, size_t disk,
                   const struct rh_reader *r);
/* What is opened from now on are the files of this disk (none so far). */
void rh_disk_watch(struct rh_package *p, size_t vm, size_t disk);

/* --- digests.c: manifest and certificate --------------------------------- */
/* Read them, and check the descriptor's text. */
int rh_digests_open(struct rh_package *p, const char *text, size_t n,
                    rh_error **err);
/* Once the members are known: what is not listed, what is required. */
int rh_digests_check(struct rh_package *p, rh_error **err);
void rh_digests_count(struct rh_package *p); /* p->manifest, anew */

#endif
