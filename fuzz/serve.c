/* serve.c - requests to our own server: any bytes; what is answered lies within
 * the file, and has the path. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char path[] = "/0123456789abcdef";
    const char *text = (const char *)data;
    static const uint64_t sizes[] = {0, 1, 1000, UINT64_MAX};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = rh_serve_head_end(text, size);
        struct rh_serve_request r;
        int status = rh_serve_parse(text, n ? n : size, path, sizes[i], &r);

        if (n > size || r.from > r.to || r.to > sizes[i])
            abort();
        if (status == 206 && (r.from == r.to || r.head))
            abort();
        if ((status == 200 || status == 206 || status == 405) &&
            (!n || !memmem(text, n, path, strlen(path))))
            abort();
        if (status != 200 && status != 206 && (status < 400 || status > 431))
            abort();
    }
    return 0;
}
