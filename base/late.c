/* late.c - libraries that are loaded when first needed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/late.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* A pointer to a function is written as dlsym() gives it (POSIX). */
static int fill(void *library, const char *const *names, size_t count,
                char *table)
{
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, names[i]);

        if (!function)
            return -1;
        /* Once they are there, other threads read them: no second writing. */
        if (memcmp(table + i * sizeof function, &function, sizeof function))
            memcpy(table + i * sizeof function, &function, sizeof function);
    }
    return 0;
}

int rh_late_load(const char *file, const char *const *names, size_t count,
                 void *ret_table, rh_error **err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int failed = -1;
    void *library;

    pthread_mutex_lock(&lock);
    library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library)
        failed = fill(library, names, count, ret_table);
    if (failed)
        rh_fail(err, RH_ERR_UNAVAILABLE, "%s cannot be used: %s", file,
                dlerror());
    if (library)
        dlclose(library); /* RTLD_NODELETE: it stays */
    pthread_mutex_unlock(&lock);
    return failed;
}
