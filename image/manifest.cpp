// SPDX-License-Identifier: Apache-2.0
//
// Manifests. C++ because toml++ is; the face is manifest.h. The table of keys (manifest_keys.cpp) says what there is.
// Everything else in the file is an error, with the nearest known key.
#include "image/manifest_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

using namespace manifest;

namespace {

constexpr size_t MAX_MANIFEST = 16u << 20;
constexpr uint64_t EDMM_ENCLAVE_SIZE = 64ull << 30; // when the manifest gives none: it costs only what is used

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
        std::string known(k.name);
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
        if (std::string(k.name).compare(0, path.size() + 1, path + ".") == 0)
            return true;
    return false;
}

// true, not empty, or the one string of a policy that gives something up.
bool turned_on(const toml::node &node)
{
    if (node.is_boolean())
        return *node.value<bool>();
    if (node.is_array())
        return !node.as_array()->empty();
    return node.is_string() && *node.value<std::string>() == "allow_all_but_log";
}

void remark_on(context &c, const manifest_key &k, const toml::node &node)
{
    if (k.insecure && turned_on(node))
        c.remarks.push_back({MANIFEST_WARNING, at(c.file, node.source(), std::string(k.name) + ": " + k.insecure)});
    if (k.idle)
        c.remarks.push_back({MANIFEST_NOTE, at(c.file, node.source(), std::string(k.name) + " has no effect: " + k.idle)});
}

void walk(context &c, const toml::table &table, const std::string &prefix)
{
    for (auto &&[k, value] : table) {
        std::string key = prefix.empty() ? std::string(k.str()) : prefix + "." + std::string(k.str());
        bool known = false;
        for (const auto &entry : keys) {
            if (key == entry.name) {
                c.collect([&, &node = value] {
                    entry.set(c, key, node);
                    remark_on(c, entry, node);
                });
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
        throw failure{std::string(path) + ": cannot read the manifest: " + std::strerror(errno), 0, 0};
    std::string text;
    char buffer[4096];
    size_t n;
    while (text.size() <= MAX_MANIFEST && (n = std::fread(buffer, 1, sizeof(buffer), f)) > 0)
        text.append(buffer, n);
    bool bad = std::ferror(f);
    std::fclose(f);
    if (bad)
        throw failure{std::string(path) + ": cannot read the manifest: " + std::strerror(errno), 0, 0};
    if (text.size() > MAX_MANIFEST)
        throw failure{std::string(path) + ": larger than 16M: not a manifest", 0, 0};
    if (text.compare(0, 4, "\177ELF") == 0)
        throw failure{std::string(path) + ": a program, not a manifest; run it with `vigil run -- " + path + "`"};
    if (text.compare(0, 8, "viglimg1") == 0)
        throw failure{std::string(path) + ": a signed image, not a manifest; `vigil run` and `vigil info` take it"};
    if (size_t line = manifest_deep_key(text.data(), text.size()))
        throw failure{std::string(path) + ":" + std::to_string(line) + ": a key with more than 64 parts", 0, 0};
    return text;
}

// In the order of the file. How many errors there are.
int say_remarks(context &c, manifest_say *say, void *arg)
{
    int wrong = 0;

    std::stable_sort(c.remarks.begin(), c.remarks.end(), [](const remark &a, const remark &b) {
        return std::make_pair(a.what.line, a.what.column) < std::make_pair(b.what.line, b.what.column);
    });
    for (const remark &r : c.remarks) {
        image_error line;
        report(&line, r.what.text);
        say(arg, r.severity, line.text);
        wrong += r.severity == MANIFEST_ERROR;
    }
    return wrong;
}

// Fills c. What is wrong is thrown, or collected.
toml::table read(context &c, const char *path)
{
    std::string text = read_text(path);
    toml::table table;

    try {
        table = toml::parse(text, std::string_view(path));
    } catch (const toml::parse_error &e) {
        fail_at(c.file, e.source(), "not valid TOML: " + std::string(e.description()));
    }
    walk(c, table, "");
    c.collect([&] { policies_without_effect(c, table); });
    if (c.config.fixed.flags & VIGIL_FLAG_EDMM) {
        if (!c.sized)
            c.config.fixed.enclave_size = EDMM_ENCLAVE_SIZE;
        if (!table["sgx"]["use_exinfo"]) // which page was touched is what it is about
            c.config.fixed.flags |= VIGIL_FLAG_EXINFO;
    }
    if (!c.config.argv_file.empty() && (!c.config.argv.empty() || c.config.fixed.flags & VIGIL_FLAG_CMDLINE_ARGV))
        c.collect([&] {
            fail_at(c.file, table["loader"]["argv_src_file"].node()->source(), "loader.argv_src_file cannot be together with "
                    "loader.argv or loader.insecure__use_cmdline_argv; remove one of them");
        });
    c.collect([&] {
        if (c.config.entrypoint.empty() && (!c.all || !table["libos"]["entrypoint"]))
            throw failure{c.file + ": libos.entrypoint is missing: it names the program to run, for example "
                                   "libos.entrypoint = \"/bin/busybox\""};
    });
    return table;
}

} // namespace

extern "C" int manifest_load_saying(const char *path, vigil_config **config, manifest_say *say, void *arg, image_error *error)
{
    try {
        context c;
        c.file = path;
        read(c, path);
        say_remarks(c, say, arg);
        return finish(c, config, error);
    } catch (const failure &f) {
        return report(error, f.text);
    } catch (const std::exception &e) {
        return report(error, std::string(path) + ": " + e.what());
    }
}

extern "C" int manifest_load(const char *path, vigil_config **config, image_error *error)
{
    return manifest_load_saying(path, config, [](void *, manifest_severity, const char *) {}, nullptr, error);
}

extern "C" int manifest_check(const char *path, manifest_say *say, void *arg)
{
    context c;
    image_error error;
    vigil_config *config = nullptr;
    bool failed = false;

    c.file = path;
    c.all = true;
    try {
        toml::table table;
        c.collect([&] {
            table = read(c, path);
            check_files(c, table);
        });
        for (const remark &r : c.remarks)
            failed |= r.severity == MANIFEST_ERROR;
        if (!failed && finish(c, &config, &error))
            c.remarks.push_back({MANIFEST_ERROR, {error.text}});
    } catch (const std::exception &e) {
        c.remarks.push_back({MANIFEST_ERROR, {std::string(path) + ": " + e.what()}});
    }
    free(config);
    return say_remarks(c, say, arg);
}

extern "C" void manifest_print_keys(FILE *out)
{
    std::fprintf(out, "| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for (const manifest_key &k : keys) {
        std::string standard = !*k.standard ? "" : *k.standard == '(' ? k.standard : std::string("`") + k.standard + "`";
        std::fprintf(out, "| `%s` | %s | %s | %s%s%s%s%s |\n", k.name, k.type, standard.c_str(), k.meaning,
                     k.idle ? " No effect: " : "", k.idle ? k.idle : "", k.insecure ? " Insecure: " : "",
                     k.insecure ? k.insecure : "");
    }
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
            if (std::string(k.name).compare(0, prefix.size(), prefix) != 0)
                continue;
            all += (all.empty() ? "" : ", ") + std::string(k.name).substr(prefix.size());
            if (equals == std::string::npos || key != k.name)
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
