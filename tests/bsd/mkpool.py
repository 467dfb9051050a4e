#!/usr/bin/env python3
"""mkpool.py - a pool that OpenZFS itself writes, in user space: its library
libzpool (Debian's contrib: libzpool5linux, libzpool6linux), no kernel module.
tests/bsd/pools/ was made with it, and zdb(8) of the same packages held against
what was asked for; make.sh there has the calls.

  mkpool.py POOL disk|mirror|raidz|stripe FILE... -- [OPTION...] DATASET...

  --version N     an old pool; else one with FEATURES
  --ashift N      9 if not given
  --bootfs NAME   the pool's property; "" is the pool's own dataset
  --encrypt NAME  a dataset that is encrypted; those below it are, too

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import ctypes
import os
import sys

FEATURES = ("async_destroy empty_bpobj lz4_compress spacemap_histogram enabled_txg hole_birth extensible_dataset "
            "embedded_data bookmarks filesystem_limits large_blocks large_dnode userobj_accounting bookmark_v2 "
            "encryption project_quota allocation_classes resilver_defer zstd_compress").split()
# Numbers of OpenZFS's interface: zfs_prop_t and its likes are names here.
READ_WRITE, DATASET_ZFS, AES_256_GCM, KEY_RAW = 3, 2, 8, 1

lib = ctypes.CDLL(next(n for n in ("libzpool.so.6", "libzpool.so.5") if any(
    os.path.exists(os.path.join(d, n)) for d in os.environ["LD_LIBRARY_PATH"].split(":"))), ctypes.RTLD_GLOBAL)
lib.fnvlist_alloc.restype = lib.spa_get_dsl.restype = ctypes.c_void_p
TAG = ctypes.c_char_p(b"mkpool")


def nvlist(**items):
    n = ctypes.c_void_p(lib.fnvlist_alloc())
    for key, value in items.items():
        key = key.replace("__", "@").encode()
        if isinstance(value, str):
            lib.fnvlist_add_string(n, key, value.encode())
        elif isinstance(value, int):
            lib.fnvlist_add_uint64(n, key, ctypes.c_uint64(value))
        elif isinstance(value, bytes):
            lib.fnvlist_add_uint8_array(n, key, value, len(value))
        else:
            array = (ctypes.c_void_p * len(value))(*value)
            lib.fnvlist_add_nvlist_array(n, key, array, len(value))
    return n


def must(what, e):
    if e:
        sys.exit("mkpool.py: %s: %s" % (what, os.strerror(e)))


def main():
    pool, kind = sys.argv[1:3]
    cut = sys.argv.index("--")
    files, args = sys.argv[3:cut], sys.argv[cut + 1:]
    options, datasets = {}, []
    while args:
        word = args.pop(0)
        if word == "--encrypt":
            datasets.append((args.pop(0), True))
        elif word.startswith("--"):
            options[word[2:]] = args.pop(0)
        else:
            datasets.append((word, False))
    ashift = int(options.get("ashift", 9))

    lib.kernel_init(READ_WRITE)
    tops = [nvlist(type="disk", path=os.path.abspath(f), ashift=ashift) for f in files]
    if kind == "mirror":
        tops = [nvlist(type=kind, ashift=ashift, children=tops)]
    elif kind == "raidz":
        tops = [nvlist(type=kind, nparity=1, ashift=ashift, children=tops)]
    props = nvlist(version=int(options["version"])) if "version" in options else \
        nvlist(**{"feature__" + f: 0 for f in FEATURES})
    must("spa_create", lib.spa_create(pool.encode(), nvlist(type="root", children=tops), props, None, None))
    for name, encrypted in datasets:
        crypt = ctypes.c_void_p()
        if encrypted:
            how = nvlist(encryption=AES_256_GCM, keyformat=KEY_RAW, keylocation="prompt")
            must("key", lib.dsl_crypto_params_create_nvlist(0, how, nvlist(wkeydata=bytes(range(32))),
                                                            ctypes.byref(crypt)))
        must(name, lib.dmu_objset_create(("%s/%s" % (pool, name)).encode(), DATASET_ZFS, ctypes.c_uint64(0), crypt,
                                         None, None))
    spa = ctypes.c_void_p()
    must("spa_open", lib.spa_open(pool.encode(), ctypes.byref(spa), TAG))
    if "bootfs" in options:
        name = pool + ("/" + options["bootfs"] if options["bootfs"] else "")
        must("bootfs", lib.spa_prop_set(spa, nvlist(bootfs=name)))
    lib.txg_wait_synced(ctypes.c_void_p(lib.spa_get_dsl(spa)), ctypes.c_uint64(0))
    lib.spa_close(spa, TAG)
    must("spa_export", lib.spa_export(pool.encode(), None, 0, 0))
    lib.kernel_fini()


main()
