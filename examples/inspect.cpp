// inspect.cpp - librehost from C++: objects that free themselves.
//
// usage: inspect SOURCE
// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include <rehost/rehost.h>

template <typename T, void (*free_it)(T *)> struct Free {
    void operator()(T *p) const { free_it(p); }
};
using Lib = std::unique_ptr<rh_lib, Free<rh_lib, rh_lib_free>>;
using Package = std::unique_ptr<rh_package, Free<rh_package, rh_package_unload>>;
using Options = std::unique_ptr<rh_options, Free<rh_options, rh_options_free>>;
using Text = std::unique_ptr<char, decltype(&std::free)>;

// Turns an rh_error into an exception.
struct Error {
    rh_error *e = nullptr;
    ~Error() { rh_error_free(e); }
    template <typename T> T *check(T *p)
    {
        if (!p)
            throw std::runtime_error(std::string(rh_error_message(e)) + " [" +
                                     rh_error_id(e) + "]");
        return p;
    }
};

int main(int argc, char **argv)
try {
    Error error;
    if (argc != 2)
        return 2;
    Lib lib(error.check(rh_lib_new(&error.e)));
    Options options(rh_options_new());
    Package package(error.check(
        rh_package_load(lib.get(), argv[1], options.get(), &error.e)));
    for (size_t vm = 0; vm < rh_package_vm_count(package.get()); vm++) {
        Text cpus(rh_package_value(package.get(), vm, "cpus", nullptr),
                  std::free);
        std::printf("%s: %s CPUs\n", rh_package_vm_name(package.get(), vm),
                    cpus ? cpus.get() : "?");
    }
    return 0;
} catch (const std::exception &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
