// SPDX-License-Identifier: Apache-2.0
//
// What the files that read manifests share: how errors are found and said, values, and the table of keys.
#ifndef VIGIL_MANIFEST_READER_H
#define VIGIL_MANIFEST_READER_H

#include "image/config_builder.h"
#include "image/manifest.h"

#include <string>
#include <toml++/toml.h>
#include <vector>

namespace manifest {

// What is wrong, or worth knowing, and where in the file (0: nowhere in particular).
struct failure {
    std::string text;
    unsigned line = 0, column = 0;
};

struct remark {
    manifest_severity severity;
    failure what;
};

struct context {
    std::string file;
    config_builder config;
    bool sized = false;
    bool all = false;            // errors are collected; otherwise the first one ends it
    std::vector<remark> remarks;

    // Runs one step; what is wrong with it ends the reading, or is noted and the rest goes on.
    template <typename STEP> void collect(STEP step)
    {
        try {
            step();
        } catch (const failure &f) {
            if (!all)
                throw;
            remarks.push_back({MANIFEST_ERROR, f});
        }
    }
};

failure at(const std::string &file, const toml::source_region &where, const std::string &what);
[[noreturn]] void fail_at(const std::string &file, const toml::source_region &where, const std::string &what);
[[noreturn]] void wrong_type(context &c, const std::string &key, const toml::node &node, const char *wanted);
std::string get_string(context &c, const std::string &key, const toml::node &node);
bool get_bool(context &c, const std::string &key, const toml::node &node);
int64_t get_integer(context &c, const std::string &key, const toml::node &node, int64_t least, int64_t most);
// "256M", "8K", "1G", "4096" or an integer.
uint64_t get_size(context &c, const std::string &key, const toml::node &node);

// "file:path" of Gramine; a bare path is taken as it is.
std::string uri_path(context &c, const std::string &key, const toml::node &node);
void set_root(context &c, const std::string &key, const toml::node &node);
void set_mounts(context &c, const std::string &key, const toml::node &node);
void set_allowed(context &c, const std::string &key, const toml::node &node);
void set_trusted(context &c, const std::string &key, const toml::node &node);
void set_policy(context &c, const std::string &key, const toml::node &node);
// What the manifest names on the host and is not there, or can be changed by it.
void check_files(context &c, const toml::table &table);

// One key. docs/manifest.md is made of this, with `vigil manifest keys`.
struct manifest_key {
    const char *name;
    void (*set)(context &c, const std::string &key, const toml::node &node);
    const char *type, *standard, *meaning;
    const char *insecure;        // said when it is true, not empty, or allow_all_but_log: what is given up
    const char *idle;            // it has no effect: why
};
extern const std::vector<manifest_key> keys;

} // namespace manifest

#endif
