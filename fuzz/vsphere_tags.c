/* vsphere_tags.c - what vCenter's REST API answers about tags. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>

#include "live/vsphere/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int newer = 0; newer < 2; newer++) {
        RH_AUTO(rh_vs_json_freep)
        json_t *value = rh_vs_rest_value((const char *)data, size, newer);
        struct rh_vs_tags *t = rh_vs_tags_new(NULL);

        rh_vs_tags_take(t, value);
        rh_vs_tags_free(t);
    }
    return 0;
}
