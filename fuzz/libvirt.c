/* libvirt.c - a <domain> of libvirt, and every document made of it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/descriptor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_descriptor(rh_libvirt_parse, data, size);
    return 0;
}
