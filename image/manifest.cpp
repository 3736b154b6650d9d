// SPDX-License-Identifier: Apache-2.0
//
// Manifests. C++ because toml++ is; the face is manifest.h. One table of keys says what there is: its type, and where it
// goes. Everything else in the file is an error, with the nearest known key.
#include "image/manifest.h"

#include "image/config_builder.h"
#include "image/trusted.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <toml++/toml.h>
#include <vector>

namespace {

constexpr size_t MAX_MANIFEST = 16u << 20;

struct failure {
    std::string text;
};

[[noreturn]] void fail_at(const std::string &file, const toml::source_region &where, const std::string &what)
{
    if (!where.begin) // not from a file
        throw failure{file + ": " + what};
    throw failure{file + ":" + std::to_string(where.begin.line) + ":" + std::to_string(where.begin.column) + ": " + what};
}

constexpr uint64_t EDMM_ENCLAVE_SIZE = 64ull << 30; // when the manifest gives none: it costs only what is used

struct context {
    std::string file;
    config_builder config;
    bool has_entrypoint = false, sized = false;
    std::vector<std::string> *errors = nullptr; // where all of them are wanted

    // Runs one step; what is wrong with it ends the reading, or is noted and the rest goes on.
    template <typename STEP> void collect(STEP step)
    {
        try {
            step();
        } catch (const failure &f) {
            if (!errors)
                throw;
            errors->push_back(f.text);
        }
    }
};

using handler = void (*)(context &, const std::string &key, const toml::node &);

const char *type_name(const toml::node &node)
{
    if (node.is_string()) return "a string";
    if (node.is_integer()) return "an integer";
    if (node.is_boolean()) return "true or false";
    if (node.is_array()) return "an array";
    if (node.is_table()) return "a table";
    return "a value of another type";
}

[[noreturn]] void wrong_type(context &c, const std::string &key, const toml::node &node, const char *wanted)
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

// "256M", "8K", "1G", "4096" or an integer.
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

template <uint32_t FLAG> void set_flag(context &c, const std::string &key, const toml::node &node)
{
    if (get_bool(c, key, node))
        c.config.fixed.flags |= FLAG;
    else
        c.config.fixed.flags &= ~FLAG;
}

template <uint64_t vigil_config::*FIELD> void set_size(context &c, const std::string &key, const toml::node &node)
{
    c.config.fixed.*FIELD = get_size(c, key, node);
}

void set_enclave_size(context &c, const std::string &key, const toml::node &node)
{
    uint64_t v = get_size(c, key, node);
    if (!v || (v & (v - 1)))
        fail_at(c.file, node.source(), key + " must be a power of two, for example \"256M\"");
    if (v < VIGIL_MIN_ENCLAVE_SIZE)
        fail_at(c.file, node.source(), key + " is too small: at least " + std::to_string(VIGIL_MIN_ENCLAVE_SIZE >> 20) + "M is needed");
    c.config.fixed.enclave_size = v;
    c.sized = true;
}

void set_max_threads(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_integer())
        wrong_type(c, key, node, "an integer");
    int64_t v = *node.value<int64_t>();
    if (v < 1 || v > 4096)
        fail_at(c.file, node.source(), key + " must be between 1 and 4096");
    c.config.fixed.max_threads = static_cast<uint32_t>(v);
}

void set_mitigation(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    if (s != "none" && s != "count" && s != "prefetch")
        fail_at(c.file, node.source(), key + " is \"" + s + "\": it must be none, count or prefetch");
    c.config.fixed.aex.mitigation = s == "none"    ? VIGIL_MITIGATION_NONE
                                    : s == "count" ? VIGIL_MITIGATION_COUNT
                                                   : VIGIL_MITIGATION_PREFETCH;
}

void set_syscall_return(context &c, const std::string &key, const toml::node &node)
{
    c.config.fixed.aex.on_syscall_return = get_bool(c, key, node);
}

template <uint64_t vigil_aex_policy::*FIELD> void set_limit(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_integer())
        wrong_type(c, key, node, "an integer");
    int64_t v = *node.value<int64_t>();
    if (v < 0)
        fail_at(c.file, node.source(), key + " must be 0 (off) or more");
    c.config.fixed.aex.*FIELD = static_cast<uint64_t>(v);
}

void set_step_threshold(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_integer())
        wrong_type(c, key, node, "an integer");
    int64_t v = *node.value<int64_t>();
    if (v < 0 || v > 63)
        fail_at(c.file, node.source(), key + " must be between 0 (off) and 63: it counts among the last 64 interruptions");
    c.config.fixed.aex.step_threshold = static_cast<uint32_t>(v);
}

template <uint32_t vigil_aex_policy::*FIELD> void set_action(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    if (s != "log" && s != "terminate")
        fail_at(c.file, node.source(), key + " is \"" + s + "\": it must be log or terminate");
    c.config.fixed.aex.*FIELD = s == "terminate";
}

template <std::string config_builder::*FIELD> void set_string(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    if (s.empty())
        fail_at(c.file, node.source(), key + " is empty");
    c.config.*FIELD = s;
}

void set_log_level(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    int level = manifest_log_level(s.c_str());
    if (level < 0)
        fail_at(c.file, node.source(), key + " is \"" + s + "\": it must be none, error, warning, debug, trace or all");
    c.config.fixed.log_level = static_cast<uint32_t>(level);
}

void set_argv(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_array())
        wrong_type(c, key, node, "an array of strings");
    for (const toml::node &item : *node.as_array())
        c.config.argv.push_back(get_string(c, key + "[]", item));
}

void set_env(context &c, const std::string &key, const toml::node &node)
{
    if (!node.is_table())
        wrong_type(c, key, node, "a table");
    for (auto &&[name_key, value] : *node.as_table()) {
        std::string name(name_key.str()), full = key + "." + name;
        if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos)
            fail_at(c.file, name_key.source(), full + " cannot be the name of an environment variable");
        if (value.is_string()) {
            c.config.env.push_back(name + "=" + get_string(c, full, value));
            continue;
        }
        const toml::table *t = value.as_table();
        if (!t)
            wrong_type(c, full, value, "a string, { value = \"...\" } or { passthrough = true }");
        const toml::node *v = t->get("value"), *pass = t->get("passthrough");
        if (t->size() != 1 || (!v && !pass))
            fail_at(c.file, value.source(), full + " must be { value = \"...\" } or { passthrough = true }");
        if (v)
            c.config.env.push_back(name + "=" + get_string(c, full + ".value", *v));
        else if (get_bool(c, full + ".passthrough", *pass))
            c.config.env_pass.push_back(name);
    }
}

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

void read_mount(context &c, const std::string &key, const toml::node &node, bool is_root)
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
std::string tidy(const std::string &path)
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

bool read_digest(const std::string &text, std::array<uint8_t, 32> &digest)
{
    if (text.size() != 64 || text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
        return false;
    for (size_t i = 0; i < 32; i++)
        digest[i] = static_cast<uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
    return true;
}

void add_trusted(void *arg, const char *path, const uint8_t sha256[32])
{
    auto *c = static_cast<context *>(arg);
    std::copy(sha256, sha256 + 32, c->config.trusted[tidy(path)].begin());
}

// A string, or { uri = "file:...", sha256 = "..." }: then the file need not be here.
void read_trusted(context &c, const std::string &key, const toml::node &node)
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

void ignore(context &, const std::string &, const toml::node &)
{
}

// A switch of Gramine's that is always where VALUE says; the other way would promise what is not done.
template <bool VALUE> void always(context &c, const std::string &key, const toml::node &node)
{
    if (get_bool(c, key, node) != VALUE)
        fail_at(c.file, node.source(), key + (VALUE ? " cannot be turned off" : " cannot be turned on") + "; leave it out");
}

void set_attestation(context &c, const std::string &key, const toml::node &node)
{
    if (get_string(c, key, node) != "none")
        fail_at(c.file, node.source(), key + " must be \"none\": there is no remote attestation yet");
}

const struct {
    const char *key;
    handler set;
} keys[] = {
    {"libos.entrypoint", set_string<&config_builder::entrypoint>},
    {"loader.entrypoint", ignore}, // Gramine's: its LibOS file. Ours is part of the image.
    {"loader.argv", set_argv},
    {"loader.env", set_env},
    {"loader.log_level", set_log_level},
    {"loader.log_file", set_string<&config_builder::log_file>},
    {"loader.insecure__use_cmdline_argv", set_flag<VIGIL_FLAG_CMDLINE_ARGV>},
    {"loader.insecure__use_host_env", set_flag<VIGIL_FLAG_HOST_ENV>},
    {"fs.root", set_root},
    {"fs.mounts", set_mounts},
    {"fs.start_dir", set_string<&config_builder::start_dir>},
    {"sys.stack.size", set_size<&vigil_config::stack_size>},
    {"sys.brk.max_size", set_size<&vigil_config::brk_max_size>},
    {"sgx.enclave_size", set_enclave_size},
    {"sgx.max_threads", set_max_threads},
    {"sgx.debug", set_flag<VIGIL_FLAG_DEBUG>},
    {"sgx.experimental_enable_aex_notify", set_flag<VIGIL_FLAG_AEX_NOTIFY>},
    {"sgx.aex_notify.mitigation", set_mitigation},
    {"sgx.aex_notify.on_syscall_return", set_syscall_return},
    {"sgx.aex_notify.step_threshold", set_step_threshold},
    {"sgx.aex_notify.step_action", set_action<&vigil_aex_policy::step_terminate>},
    {"sgx.aex_notify.budget", set_limit<&vigil_aex_policy::budget>},
    {"sgx.aex_notify.budget_action", set_action<&vigil_aex_policy::budget_terminate>},
    {"sgx.aex_notify.slow_limit", set_limit<&vigil_aex_policy::slow_limit>},
    {"sgx.aex_notify.slow_action", set_action<&vigil_aex_policy::slow_terminate>},
    {"sgx.use_exinfo", set_flag<VIGIL_FLAG_EXINFO>},
    {"sgx.insecure__allow_memfaults_without_exinfo", set_flag<VIGIL_FLAG_BLIND_FAULTS>},
    {"sgx.edmm_enable", set_flag<VIGIL_FLAG_EDMM>},
    {"sgx.enable_stats", set_flag<VIGIL_FLAG_STATS>},
    {"sgx.allowed_files", set_allowed},
    {"sgx.trusted_files", set_trusted},
    {"sgx.file_check_policy", set_policy},
    // What Gramine's manifests have and what needs no saying here.
    {"libos.check_invalid_pointers", always<true>},
    {"loader.insecure__disable_aslr", ignore},
    {"loader.pal_internal_mem_size", ignore},
    {"sys.disallow_subprocesses", always<true>},
    {"sys.enable_sigterm_injection", ignore},
    {"sys.insecure__allow_eventfd", ignore},
    {"sys.experimental__enable_flock", ignore},
    {"sgx.preheat_enclave", ignore},
    {"sgx.insecure__rpc_thread_num", ignore},
    {"sgx.remote_attestation", set_attestation},
};

size_t distance(const std::string &a, const std::string &b)
{
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); j++)
        row[j] = j;
    for (size_t i = 1; i <= a.size(); i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); j++) {
            size_t above = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
            diagonal = above;
        }
    }
    return row[b.size()];
}

// A known key, or the beginning of one that ends at a dot: "loader" of loader.argv.
std::string nearest(const std::string &key)
{
    std::string best;
    size_t least = key.size() / 2 + 2;
    for (const auto &k : keys) {
        std::string known(k.key);
        for (size_t end = known.size(); end != std::string::npos && end; end = known.rfind('.', end - 1)) {
            std::string candidate = known.substr(0, end);
            size_t d = distance(key, candidate);
            if (d < least) {
                least = d;
                best = candidate;
            }
        }
    }
    return best.empty() ? "" : "; did you mean " + best + "?";
}

bool is_section(const std::string &path)
{
    for (const auto &k : keys)
        if (std::string(k.key).compare(0, path.size() + 1, path + ".") == 0)
            return true;
    return false;
}

void walk(context &c, const toml::table &table, const std::string &prefix)
{
    for (auto &&[k, value] : table) {
        std::string key = prefix.empty() ? std::string(k.str()) : prefix + "." + std::string(k.str());
        bool known = false;
        for (const auto &entry : keys) {
            if (key == entry.key) {
                c.collect([&, &value = value] { entry.set(c, key, value); });
                known = true;
            }
        }
        if (known)
            continue;
        c.collect([&, &name = k, &node = value] {
            if (!is_section(key))
                fail_at(c.file, name.source(), "unknown key " + key + nearest(key));
            if (!node.is_table())
                wrong_type(c, key, node, "a table");
            walk(c, *node.as_table(), key);
        });
    }
}

// Who writes a policy believes to be protected by it.
void policies_without_effect(context &c, const toml::table &table)
{
    const toml::table *policies = table["sgx"]["aex_notify"].as_table();
    if (!policies || policies->empty() || c.config.fixed.flags & VIGIL_FLAG_AEX_NOTIFY)
        return;
    const toml::key &first = policies->begin()->first;
    fail_at(c.file, first.source(), "sgx.aex_notify." + std::string(first.str()) +
                                        " has no effect without sgx.experimental_enable_aex_notify = true; set that, or remove this");
}

// One line, whatever keys and values hold: control characters become question marks.
int report(image_error *error, std::string text)
{
    std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
    std::snprintf(error->text, sizeof(error->text), "%s", text.c_str());
    return -1;
}

int finish(context &c, vigil_config **out, image_error *error)
{
    *out = c.config.build();
    if (!*out)
        return report(error, c.file + ": out of memory");
    image_error inner;
    if (manifest_config_check(*out, &inner)) {
        free(*out);
        return report(error, c.file + ": " + inner.text);
    }
    return 0;
}

} // namespace

extern "C" int manifest_log_level(const char *name)
{
    static const char *const names[] = {"none", "error", "warning", "debug", "trace", "all"};
    for (int i = 0; i < 6; i++)
        if (!std::strcmp(name, names[i]))
            return i;
    return -1;
}

namespace {

std::string read_text(const char *path)
{
    FILE *f = std::fopen(path, "rb");
    if (!f)
        throw failure{std::string(path) + ": cannot read the manifest: " + std::strerror(errno)};
    std::string text;
    char buffer[4096];
    size_t n;
    while (text.size() <= MAX_MANIFEST && (n = std::fread(buffer, 1, sizeof(buffer), f)) > 0)
        text.append(buffer, n);
    bool bad = std::ferror(f);
    std::fclose(f);
    if (bad)
        throw failure{std::string(path) + ": cannot read the manifest: " + std::strerror(errno)};
    if (text.size() > MAX_MANIFEST)
        throw failure{std::string(path) + ": larger than 16M: not a manifest"};
    if (text.compare(0, 4, "\177ELF") == 0)
        throw failure{std::string(path) + ": a program, not a manifest; run it with `vigil run -- " + path + "`"};
    if (text.compare(0, 8, "viglimg1") == 0)
        throw failure{std::string(path) + ": a signed image, not a manifest; `vigil run` and `vigil info` take it"};
    if (size_t line = manifest_deep_key(text.data(), text.size()))
        throw failure{std::string(path) + ":" + std::to_string(line) + ": a key with more than 64 parts"};
    return text;
}

// Fills c. What is wrong is thrown, or collected.
void read(context &c, const char *path)
{
    std::string text = read_text(path);
    toml::table table;

    try {
        table = toml::parse(text, std::string_view(path));
    } catch (const toml::parse_error &e) {
        throw failure{c.file + ":" + std::to_string(e.source().begin.line) + ":" + std::to_string(e.source().begin.column) +
                      ": not valid TOML: " + std::string(e.description())};
    }
    walk(c, table, "");
    c.collect([&] { policies_without_effect(c, table); });
    if (c.config.fixed.flags & VIGIL_FLAG_EDMM) {
        if (!c.sized)
            c.config.fixed.enclave_size = EDMM_ENCLAVE_SIZE;
        if (!table["sgx"]["use_exinfo"]) // which page was touched is what it is about
            c.config.fixed.flags |= VIGIL_FLAG_EXINFO;
    }
    c.collect([&] {
        if (c.config.entrypoint.empty() && (!c.errors || !table["libos"]["entrypoint"]))
            throw failure{c.file + ": libos.entrypoint is missing: it names the program to run, for example "
                                   "libos.entrypoint = \"/bin/busybox\""};
    });
}

} // namespace

extern "C" int manifest_load(const char *path, vigil_config **config, image_error *error)
{
    try {
        context c;
        c.file = path;
        read(c, path);
        return finish(c, config, error);
    } catch (const failure &f) {
        return report(error, f.text);
    } catch (const std::exception &e) {
        return report(error, std::string(path) + ": " + e.what());
    }
}

extern "C" int manifest_check(const char *path, void (*say)(void *, const char *), void *arg)
{
    std::vector<std::string> errors;
    image_error error;
    vigil_config *config = nullptr;

    try {
        context c;
        c.file = path;
        c.errors = &errors;
        c.collect([&] { read(c, path); });
        if (errors.empty() && finish(c, &config, &error))
            errors.push_back(error.text);
    } catch (const std::exception &e) {
        errors.push_back(std::string(path) + ": " + e.what());
    }
    free(config);
    for (const std::string &text : errors) {
        report(&error, text);
        say(arg, error.text);
    }
    return static_cast<int>(errors.size());
}

extern "C" void manifest_use_edmm(vigil_config *config, int on)
{
    config->flags = (config->flags & ~VIGIL_FLAG_EDMM) | (on ? VIGIL_FLAG_EDMM : 0);
    if (on)
        config->enclave_size = std::max<uint64_t>(config->enclave_size, EDMM_ENCLAVE_SIZE);
}

extern "C" int manifest_default(const char *program, vigil_config **config, image_error *error)
{
    try {
        context c;
        c.file = program;
        c.config.entrypoint = program;
        c.config.fixed.flags = VIGIL_FLAG_DEBUG | VIGIL_FLAG_AEX_NOTIFY | VIGIL_FLAG_EXINFO | VIGIL_FLAG_CMDLINE_ARGV |
                               VIGIL_FLAG_HOST_ENV | VIGIL_FLAG_ALLOW_FILES | VIGIL_FLAG_QUIET_FILES | VIGIL_FLAG_NO_MANIFEST;
        c.config.fixed.enclave_size = 512u << 20;
        c.config.fixed.max_threads = 16;
        c.config.fixed.stack_size = 8u << 20;
        c.config.fixed.brk_max_size = 128u << 20;
        c.config.mounts[0].second = "/";
        return finish(c, config, error);
    } catch (const std::exception &e) {
        return report(error, std::string(program) + ": " + e.what());
    }
}

// KEY=VALUE as on the command line: the manifest's own handlers, so that there is one list of keys and one set of checks.
extern "C" int manifest_aex_policy(vigil_config *config, const char *assignment, image_error *error)
{
    const std::string prefix = "sgx.aex_notify.", text(assignment);
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals), key = prefix + name;

    try {
        std::string all;
        for (const auto &k : keys) {
            if (std::string(k.key).compare(0, prefix.size(), prefix) != 0)
                continue;
            all += (all.empty() ? "" : ", ") + std::string(k.key).substr(prefix.size());
            if (equals == std::string::npos || key != k.key)
                continue;
            const std::string value = text.substr(equals + 1);
            context c;
            c.file = "--aex-policy " + text;
            c.config.fixed.aex = config->aex;
            if (value == "true" || value == "false")
                k.set(c, key, toml::value<bool>(value == "true"));
            else if (!value.empty() && value.size() < 19 && value.find_first_not_of("0123456789") == std::string::npos)
                k.set(c, key, toml::value<int64_t>(std::stoll(value)));
            else
                k.set(c, key, toml::value<std::string>(value));
            config->aex = c.config.fixed.aex;
            return 0;
        }
        return report(error, "--aex-policy " + text + ": it is KEY=VALUE, with KEY one of " + all);
    } catch (const failure &f) {
        return report(error, f.text);
    } catch (const std::exception &e) {
        return report(error, "--aex-policy " + text + ": " + e.what());
    }
}
