/* pending.c - weak stand-ins for parts that are being built beside this one;
 * each goes away with the part that replaces it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ova/describe.h"
#include "ova/descriptor.h"
#include "targets/target.h"

#define WEAK __attribute__((weak))
#define NOT_BUILT(value)                                                       \
    {                                                                          \
        rh_fail(err, RH_ERR_UNAVAILABLE, "this part is not built in");         \
        return value;                                                          \
    }

WEAK const struct rh_target *rh_target_named(const char *name)
{
    (void)name;
    return NULL;
}
WEAK const struct rh_target *rh_target_at(size_t i)
{
    (void)i;
    return NULL;
}
WEAK int rh_package_fill(struct rh_package *p, const char *file,
                         rh_error **err)
{
    (void)p, (void)file;
    NOT_BUILT(-1)
}
WEAK int rh_package_set(struct rh_package *p, const char *assignment,
                        rh_error **err)
{
    (void)p, (void)assignment;
    NOT_BUILT(-1)
}
WEAK int rh_package_complete(struct rh_package *p, bool strict, rh_error **err)
{
    (void)p, (void)strict, (void)err;
    return 0;
}
WEAK char *rh_package_template(struct rh_package *p, size_t vm)
{
    (void)p, (void)vm;
    return NULL;
}
WEAK char *rh_package_text(struct rh_package *p)
{
    (void)p;
    return NULL;
}
WEAK json_t *rh_package_json(struct rh_package *p)
{
    (void)p;
    return NULL;
}
WEAK int rh_vmx_parse(struct rh_package *p, const char *name,
                      const char *text, size_t n,
                      const struct rh_package_options *o, rh_error **err)
{
    (void)p, (void)name, (void)text, (void)n, (void)o;
    NOT_BUILT(-1)
}
WEAK struct rh_io *rh_io_http(rh_lib *lib, const char *url, rh_error **err)
{
    (void)lib, (void)url;
    NOT_BUILT(NULL)
}
