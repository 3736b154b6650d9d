// SPDX-License-Identifier: Apache-2.0
//
// The keys that are about files: mounts, and which files may be opened.
#include "image/manifest_reader.h"
#include "image/trusted.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace manifest {

// "file:path" of Gramine; a bare path is taken as it is.
std::string uri_path(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    if (s.compare(0, 5, "file:") == 0)
        s = s.substr(5);
    else if (s.find(':') != std::string::npos)
        fail_at(c.file, node.source(), key + " is \"" + s + "\": only file: URIs are known");
    if (s.empty())
        fail_at(c.file, node.source(), key + " names no path");
    return s;
}

static void read_mount(context &c, const std::string &key, const toml::node &node, bool is_root)
{
    const toml::table *t = node.as_table();
    if (!t)
        wrong_type(c, key, node, "a table");
    std::string path = is_root ? "/" : "", host;
    bool in_memory = false;
    for (auto &&[k, value] : *t) {
        std::string name(k.str()), full = key + "." + name;
        if (name == "type") {
            std::string type = get_string(c, full, value);
            if (type == "encrypted" || type == "untrusted_shm")
                fail_at(c.file, value.source(), full + " is \"" + type + "\", which is not supported; \"tmpfs\" keeps files in the "
                        "enclave, and \"chroot\" on the host, where it can read and change them");
            if (type != "chroot" && type != "tmpfs")
                fail_at(c.file, value.source(), full + " is \"" + type + "\": it must be \"chroot\" or \"tmpfs\"");
            in_memory = type == "tmpfs";
        } else if (name == "uri") {
            host = uri_path(c, full, value);
        } else if (name == "path" && !is_root) {
            path = get_string(c, full, value);
        } else {
            fail_at(c.file, value.source(), full + " is not known; a mount has type, path and uri");
        }
    }
    if (in_memory)
        host.clear(); // of tmpfs a uri says nothing
    if ((host.empty() && !in_memory) || path.empty() || path[0] != '/')
        fail_at(c.file, node.source(), key + " needs an absolute path and a uri");
    if (is_root)
        c.config.mounts[0].second = host;
    else
        c.config.mounts.emplace_back(path, host);
}

void set_root(context &c, const std::string &key, const toml::node &node)
{
    read_mount(c, key, node, true);
}

void set_mounts(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_array())
        wrong_type(c, key, node, "an array of tables");
    for (const toml::node &item : *node.as_array())
        read_mount(c, key + "[]", item, false);
}

void set_allowed(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_array())
        wrong_type(c, key, node, "an array of \"file:...\" strings");
    for (const toml::node &item : *node.as_array())
        c.config.allowed.push_back(uri_path(c, key + "[]", item));
}

// As the enclave looks for it (path_normalise): no "." and no "..", single slashes.
static std::string tidy(const std::string &path)
{
    std::vector<std::string> parts;
    bool absolute = path[0] == '/';
    for (size_t at = 0; at <= path.size();) {
        size_t end = std::min(path.find('/', at), path.size());
        std::string part = path.substr(at, end - at);
        if (part == ".." && !parts.empty() && parts.back() != "..")
            parts.pop_back();
        else if (part == ".." && !absolute)
            parts.push_back(part);
        else if (!part.empty() && part != "." && part != "..")
            parts.push_back(part);
        at = end + 1;
    }
    std::string result = absolute ? "/" : "";
    for (size_t i = 0; i < parts.size(); i++)
        result += (i ? "/" : "") + parts[i];
    return result;
}

static bool read_digest(const std::string &text, std::array<uint8_t, 32> &digest)
{
    if (text.size() != 64 || text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
        return false;
    for (size_t i = 0; i < 32; i++)
        digest[i] = static_cast<uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
    return true;
}

static void add_trusted(void *arg, const char *path, const uint8_t sha256[32])
{
    auto *c = static_cast<context *>(arg);
    std::copy(sha256, sha256 + 32, c->config.trusted[tidy(path)].begin());
}

// A string, or { uri = "file:...", sha256 = "..." }: then the file need not be here.
static void read_trusted(context &c, const std::string &key, const toml::node &node)
{
    const toml::table *t = node.as_table();
    if (!t) {
        image_error error;
        if (trusted_collect(uri_path(c, key, node).c_str(), add_trusted, &c, &error))
            fail_at(c.file, node.source(), key + ": " + error.text);
        return;
    }
    std::array<uint8_t, 32> digest;
    std::string path;
    bool given = false;
    for (auto &&[k, value] : *t) {
        std::string name(k.str()), full = key + "." + name;
        if (name == "uri") {
            path = uri_path(c, full, value);
        } else if (name == "sha256") {
            given = true;
            if (!read_digest(get_string(c, full, value), digest))
                fail_at(c.file, value.source(), full + " must be 64 hexadecimal digits");
        } else {
            fail_at(c.file, k.source(), full + " is not known; a trusted file has uri and sha256");
        }
    }
    if (path.empty())
        fail_at(c.file, node.source(), key + " needs a uri");
    if (given && path.back() == '/')
        fail_at(c.file, node.source(), key + ": a directory has no sha256 of its own; leave it out, and all files below are hashed");
    if (given)
        c.config.trusted[tidy(path)] = digest;
    else
        read_trusted(c, key + ".uri", *t->get("uri"));
}

void set_trusted(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_array())
        wrong_type(c, key, node, "an array of \"file:...\" strings or tables { uri, sha256 }");
    for (const toml::node &item : *node.as_array())
        c.collect([&] { read_trusted(c, key + "[]", item); });
}

void set_policy(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    if (s != "strict" && s != "allow_all_but_log")
        fail_at(c.file, node.source(), key + " is \"" + s + "\": it must be strict or allow_all_but_log");
    if (s == "allow_all_but_log")
        c.config.fixed.flags |= VIGIL_FLAG_ALLOW_FILES;
}

// The host's name of a path inside: of the longest mount that covers it; empty: it is in a tmpfs.
static std::string host_name(const context &c, const std::string &inside)
{
    const std::pair<std::string, std::string> *best = nullptr;
    for (const auto &m : c.config.mounts) {
        std::string point = tidy(m.first);
        if (point != "/" && inside != point && inside.compare(0, point.size() + 1, point + "/") != 0)
            continue;
        if (!best || point.size() >= tidy(best->first).size())
            best = &m;
    }
    if (!best || best->second.empty())
        return "";
    std::string point = tidy(best->first);
    return best->second + (point == "/" ? inside : inside.substr(point.size()));
}

static bool is_trusted(const context &c, const std::string &inside)
{
    return c.config.trusted.count(inside) || c.config.trusted.count(tidy(host_name(c, inside)));
}

static void warn(context &c, const toml::source_region &where, const std::string &text)
{
    c.remarks.push_back({MANIFEST_WARNING, at(c.file, where, text)});
}

static void check_program(context &c, const toml::node *node)
{
    if (!node || c.config.entrypoint.empty() || c.config.entrypoint[0] != '/')
        return;
    std::string inside = tidy(c.config.entrypoint), host = host_name(c, inside);
    if (host.empty())
        warn(c, node->source(), "libos.entrypoint is in a tmpfs, which is empty at the start");
    else if (access(host.c_str(), F_OK))
        warn(c, node->source(), "libos.entrypoint is " + host + " on the host: " + std::strerror(errno));
    else if (!is_trusted(c, inside))
        warn(c, node->source(), "libos.entrypoint is not in sgx.trusted_files: the host can put another program in its place");
}

void check_files(context &c, const toml::table &table)
{
    check_program(c, table["libos"]["entrypoint"].node());
    const toml::node *root = table["fs"]["root"].node(), *mounts = table["fs"]["mounts"].node();
    const toml::array *list = mounts ? mounts->as_array() : nullptr;
    for (size_t i = 0; i < c.config.mounts.size(); i++) {
        const std::string &host = c.config.mounts[i].second;
        const toml::node *where = !i ? root : list && list->size() == c.config.mounts.size() - 1 ? list->get(i - 1) : mounts;
        if (where && !host.empty() && access(host.c_str(), F_OK))
            warn(c, where->source(), (i ? "fs.mounts[]: " : "fs.root: ") + host + ": " + std::strerror(errno));
    }
}

} // namespace manifest
