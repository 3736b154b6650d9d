// SPDX-License-Identifier: Apache-2.0
//
// What the values of a manifest are: their types, and where in the file they stand.
#include "image/manifest_reader.h"

#include <cerrno>
#include <cstdlib>

namespace manifest {

failure at(const std::string &file, const toml::source_region &where, const std::string &what)
{
    if (!where.begin) // not from a file
        return {file + ": " + what};
    return {file + ":" + std::to_string(where.begin.line) + ":" + std::to_string(where.begin.column) + ": " + what,
            where.begin.line, where.begin.column};
}

void fail_at(const std::string &file, const toml::source_region &where, const std::string &what)
{
    throw at(file, where, what);
}

static const char *type_name(const toml::node &node)
{
    if (node.is_string()) return "a string";
    if (node.is_integer()) return "an integer";
    if (node.is_boolean()) return "true or false";
    if (node.is_array()) return "an array";
    if (node.is_table()) return "a table";
    return "a value of another type";
}

void wrong_type(context &c, const std::string &key, const toml::node &node, const char *wanted)
{
    fail_at(c.file, node.source(), key + " must be " + wanted + ", not " + type_name(node));
}

std::string get_string(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_string())
        wrong_type(c, key, node, "a string");
    std::string s = *node.value<std::string>();
    if (s.find('\0') != std::string::npos)
        fail_at(c.file, node.source(), key + " contains a NUL character");
    return s;
}

bool get_bool(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_boolean())
        wrong_type(c, key, node, "true or false");
    return *node.value<bool>();
}

int64_t get_integer(context &c, const std::string &key, const toml::node &node, int64_t least, int64_t most)
{
    if (!node.is_integer())
        wrong_type(c, key, node, "an integer");
    int64_t v = *node.value<int64_t>();
    if (v < least || v > most)
        fail_at(c.file, node.source(), key + " must be between " + std::to_string(least) + " and " + std::to_string(most));
    return v;
}

uint64_t get_size(context &c, const std::string &key, const toml::node &node)
{
    if (node.is_integer()) {
        int64_t v = *node.value<int64_t>();
        if (v < 0)
            fail_at(c.file, node.source(), key + " is negative");
        return static_cast<uint64_t>(v);
    }
    if (!node.is_string())
        wrong_type(c, key, node, "a size such as \"256M\"");
    std::string s = *node.value<std::string>();
    size_t digits = std::min(s.find_first_not_of("0123456789"), s.size());
    std::string unit = s.substr(digits);
    int shift = unit == "K" || unit == "k" ? 10 : unit == "M" || unit == "m" ? 20 : unit == "G" || unit == "g" ? 30 : 0;
    errno = 0;
    uint64_t v = std::strtoull(s.c_str(), nullptr, 10);
    if (!digits || (!unit.empty() && !shift) || errno || (v << shift) >> shift != v)
        fail_at(c.file, node.source(), key + " is \"" + s + "\": not a size such as \"256M\" (K, M and G are known)");
    return v << shift;
}

} // namespace manifest
