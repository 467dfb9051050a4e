/* vdi_write.c - ranges of a disk into a VDI of a pool, for tests/push.sh.
 *
 *     vdi-write URL CA VDI FILE OFFSET LENGTH... */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "deliver/xapi/xapi.h"
#include "rehost/rehost.h"

static int write_ranges(struct rh_xapi *x, char **argv, int argc,
                        rh_error **err)
{
    struct rh_xapi_place place = {0};
    struct rh_open_options o = {0};
    struct rh_range ranges[16];
    size_t count = 0;
    uint64_t sent = 0;
    RH_AUTO(rh_place_closep) struct rh_place *here = rh_place_folder(".", err);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = here ? rh_place_open(here, argv[4], err) : NULL;
    RH_AUTO(rh_reader_closep)
    struct rh_reader *r = io ? rh_reader_open(io, "raw", &o, err) : NULL;

    for (int i = 5; i + 1 < argc && count < 16; i += 2)
        ranges[count++] = (struct rh_range){strtoull(argv[i], NULL, 10),
                                            strtoull(argv[i + 1], NULL, 10)};
    if (!r ||
        rh_xapi_vdi_write(x, &place, argv[3], r, ranges, count, &sent, err) < 0)
        return -1;
    printf("%llu\n", (unsigned long long)sent);
    return 0;
}

int main(int argc, char **argv)
{
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);
    rh_options *options = rh_options_new();
    struct rh_remote remote = {0};
    struct rh_xapi x = {0};
    int failed;

    if (argc < 7)
        return 2;
    failed =
        rh_options_add(options, "tls-ca", argv[2], &e) < 0 ||
        rh_remote_open(&remote, lib, argv[1], 443, false, options, &e) < 0 ||
        rh_xapi_login(&x, &remote, &e) < 0 ||
        write_ranges(&x, argv, argc, &e) < 0;
    if (failed)
        fprintf(stderr, "%s\n", rh_error_message(e));
    if (x.remote)
        rh_xapi_logout(&x);
    rh_remote_close(&remote);
    rh_error_free(e);
    rh_options_free(options);
    rh_lib_free(lib);
    return failed;
}
