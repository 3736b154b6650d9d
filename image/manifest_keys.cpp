// SPDX-License-Identifier: Apache-2.0
//
// The table of keys: what there is, its type, and where it goes. Those about files are in manifest_files.cpp.
#include "image/manifest_reader.h"

namespace manifest {

namespace {

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
    c.config.fixed.max_threads = static_cast<uint32_t>(get_integer(c, key, node, 1, 4096));
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

// Of a type, with nothing to do.
void idle_bool(context &c, const std::string &key, const toml::node &node)
{
    (void)get_bool(c, key, node);
}

void idle_size(context &c, const std::string &key, const toml::node &node)
{
    (void)get_size(c, key, node);
}

void idle_integer(context &c, const std::string &key, const toml::node &node)
{
    (void)get_integer(c, key, node, 0, INT64_MAX);
}

void idle_string(context &c, const std::string &key, const toml::node &node)
{
    (void)get_string(c, key, node);
}

void idle_any(context &, const std::string &, const toml::node &)
{
}

// A switch that is always where VALUE says; the other way would promise what is not done.
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

void refuse_keys(context &c, const std::string &key, const toml::node &node)
{
    fail_at(c.file, node.source(), key + " is for encrypted mounts, which are not supported; remove it");
}

void refuse_mocks(context &c, const std::string &key, const toml::node &node)
{
    fail_at(c.file, node.source(), key + " is not supported: system calls cannot be mocked; docs/syscalls.md says what each does");
}

template <uint32_t vigil_config::*FIELD, int64_t LEAST, int64_t MOST>
void set_number(context &c, const std::string &key, const toml::node &node)
{
    c.config.fixed.*FIELD = static_cast<uint32_t>(get_integer(c, key, node, LEAST, MOST));
}

// Where the arguments or the environment are read from at the start.
template <std::string config_builder::*FIELD> void set_source(context &c, const std::string &key, const toml::node &node)
{
    c.config.*FIELD = uri_path(c, key, node);
}

template <uint32_t BITS> void set_feature(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    if (s != "unspecified" && s != "disabled" && s != "required")
        fail_at(c.file, node.source(), key + " is \"" + s + "\": it must be unspecified, disabled or required");
    c.config.fixed.xfrm_required &= ~BITS;
    c.config.fixed.xfrm_disabled &= ~BITS;
    if (s == "required")
        c.config.fixed.xfrm_required |= BITS | (BITS == SGX_XFRM_AVX512 ? SGX_XFRM_AVX : 0);
    else if (s == "disabled")
        c.config.fixed.xfrm_disabled |= BITS;
}

// Their state has no room in the runtime's XSAVE areas.
void refuse_feature(context &c, const std::string &key, const toml::node &node)
{
    std::string s = get_string(c, key, node);
    if (s != "unspecified" && s != "disabled")
        fail_at(c.file, node.source(), key + " is \"" + s + "\": it must be disabled; Vigil's enclaves never have it");
}

constexpr const char *CMDLINE = "whoever starts the enclave chooses the program's arguments";
constexpr const char *NO_RPC = "system calls leave the enclave where they are made; there are no helper threads";
constexpr const char *NO_PROFILE = "use `vigil sweep`, or perf on the software SGX";
constexpr const char *NO_SEALING = "nothing is sealed";

} // namespace

const std::vector<manifest_key> keys = {
    {"libos.entrypoint", set_string<&config_builder::entrypoint>, "string", "(required)",
     "The program to run: a path inside the enclave.", nullptr, nullptr},
    {"libos.check_invalid_pointers", always<true>, "boolean", "true",
     "Pointers given to system calls are always checked; `false` is refused.", nullptr, nullptr},
    {"loader.entrypoint", idle_any, "string or table", "", "Gramine's library OS.", nullptr,
     "the library OS is part of the image, and measured"},
    {"loader.argv", set_argv, "array of strings", "[entrypoint]", "The program's arguments, argv[0] first.", nullptr,
     nullptr},
    {"loader.argv_src_file", set_source<&config_builder::argv_file>, "URI", "",
     "A file with the arguments, each followed by a NUL, read at the start. It must be a trusted or an allowed file. "
     "Not together with `loader.argv`.", nullptr, nullptr},
    {"loader.insecure__use_cmdline_argv", set_flag<VIGIL_FLAG_CMDLINE_ARGV>, "boolean", "false",
     "The arguments are those of the command line.", CMDLINE, nullptr},
    {"loader.env", set_env, "table", "{}",
     "The environment: `NAME = \"value\"`, `NAME = { value = \"...\" }`, or `NAME = { passthrough = true }` for what "
     "the host says.", nullptr, nullptr},
    {"loader.env_src_file", set_source<&config_builder::env_file>, "URI", "",
     "A file with `NAME=value`, each followed by a NUL, read at the start. It must be a trusted or an allowed file. "
     "`loader.env` wins.", nullptr, nullptr},
    {"loader.insecure__use_host_env", set_flag<VIGIL_FLAG_HOST_ENV>, "boolean", "false",
     "The host's whole environment is the program's.", "the host chooses the program's environment, LD_PRELOAD included",
     nullptr},
    {"loader.uid", set_number<&vigil_config::uid, 0, 0xfffffffe>, "integer", "0", "The program's user id.", nullptr,
     nullptr},
    {"loader.gid", set_number<&vigil_config::gid, 0, 0xfffffffe>, "integer", "0", "The program's group id.", nullptr,
     nullptr},
    {"loader.insecure__disable_aslr", idle_bool, "boolean", "false", "Addresses are not random.", nullptr,
     "addresses are never random: the host knows them anyway"},
    {"loader.pal_internal_mem_size", idle_size, "size", "", "Memory of Gramine's runtime.", nullptr,
     "the runtime takes what it needs of sgx.enclave_size"},
    {"loader.log_level", set_log_level, "string", "\"error\"",
     "What the runtime reports: none, error, warning, debug, trace or all.", nullptr, nullptr},
    {"loader.log_file", set_string<&config_builder::log_file>, "string", "standard error",
     "The host's file that reports are added to.", nullptr, nullptr},
    {"fs.root", set_root, "table { type, uri }", "{ uri = \"file:.\" }",
     "What \"/\" is: a directory of the host (type chroot), or empty and inside (type tmpfs).", nullptr, nullptr},
    {"fs.mounts", set_mounts, "array of tables { type, path, uri }", "[]",
     "What else is where: type chroot (a file or directory of the host) or tmpfs. encrypted and untrusted_shm are "
     "refused.", nullptr, nullptr},
    {"fs.start_dir", set_string<&config_builder::start_dir>, "string", "\"/\"",
     "The working directory at the start, inside.", nullptr, nullptr},
    {"fs.insecure__keys", refuse_keys, "table", "", "Refused: for encrypted mounts.", nullptr, nullptr},
    {"sys.stack.size", set_size<&vigil_config::stack_size>, "size", "\"256K\"",
     "The stack of the first thread; a multiple of 4096.", nullptr, nullptr},
    {"sys.brk.max_size", set_size<&vigil_config::brk_max_size>, "size", "\"256K\"",
     "How far brk goes; a multiple of 4096.", nullptr, nullptr},
    {"sys.fds.limit", set_number<&vigil_config::fds_limit, 3, 1048576>, "integer", "900",
     "RLIMIT_NOFILE. The hard limit is the same, but at least 1024.", nullptr, nullptr},
    {"sys.disallow_subprocesses", always<true>, "boolean", "true", "There are no child processes; `false` is refused.",
     nullptr, nullptr},
    {"sys.enable_sigterm_injection", idle_bool, "boolean", "false", "The host may send SIGTERM.", nullptr,
     "the host's asynchronous signals always reach the program"},
    {"sys.enable_extra_runtime_domain_names_conf", idle_bool, "boolean", "false",
     "The host's resolv.conf, hosts and hostname are seen.", nullptr,
     "files are the host's where the manifest mounts and allows them: /etc/resolv.conf, /etc/hosts"},
    {"sys.insecure__allow_eventfd", idle_bool, "boolean", "false", "eventfd by the host.", nullptr,
     "eventfd works, inside the enclave"},
    {"sys.experimental__enable_flock", idle_bool, "boolean", "false", "flock.", nullptr, "flock works"},
    {"sys.allowed_ioctls", idle_any, "array of tables", "[]", "ioctl requests of devices.", nullptr,
     "the library OS knows which ioctls it serves; others fail with ENOTTY"},
    {"sys.ioctl_structs", idle_any, "table", "{}", "Structures of ioctl requests.", nullptr,
     "the library OS knows which ioctls it serves; others fail with ENOTTY"},
    {"sys.debug__mock_syscalls", refuse_mocks, "array of tables", "", "Refused.", nullptr, nullptr},
    {"sgx.enclave_size", set_enclave_size, "size", "\"256M\"; \"64G\" with sgx.edmm_enable",
     "The enclave's address range: a power of two, up to 64G (1024G with sgx.edmm_enable).", nullptr, nullptr},
    {"sgx.max_threads", set_max_threads, "integer", "4",
     "Threads at the same time, 1 to 4096; with sgx.edmm_enable those of the start.", nullptr, nullptr},
    {"sgx.debug", set_flag<VIGIL_FLAG_DEBUG>, "boolean", "false", "A debugger may look into the enclave and change it.",
     "whoever runs the machine can read and change the enclave with a debugger", nullptr},
    {"sgx.isvprodid", set_number<&vigil_config::isvprodid, 0, 65535>, "integer", "0",
     "ISVPRODID of the signature: which product of the signer's.", nullptr, nullptr},
    {"sgx.isvsvn", set_number<&vigil_config::isvsvn, 0, 65535>, "integer", "0",
     "ISVSVN of the signature: the security version.", nullptr, nullptr},
    {"sgx.experimental_enable_aex_notify", set_flag<VIGIL_FLAG_AEX_NOTIFY>, "boolean", "false",
     "AEX-Notify: the runtime learns of each interruption. Without the hardware's it does not start. See "
     "[aex-notify.md](aex-notify.md).", nullptr, nullptr},
    {"sgx.aex_notify.mitigation", set_mitigation, "string", "\"prefetch\"",
     "What is done about an interruption: none, count or prefetch. See [policies.md](policies.md), also for the next "
     "seven.", nullptr, nullptr},
    {"sgx.aex_notify.on_syscall_return", set_syscall_return, "boolean", "false",
     "It is also done when a system call returns.", nullptr, nullptr},
    {"sgx.aex_notify.step_threshold", set_step_threshold, "integer", "48",
     "Interruptions without progress among the last 64 that are taken for single-stepping; 0: not watched.", nullptr,
     nullptr},
    {"sgx.aex_notify.step_action", set_action<&vigil_aex_policy::step_terminate>, "string", "\"log\"", "log or terminate.",
     nullptr, nullptr},
    {"sgx.aex_notify.budget", set_limit<&vigil_aex_policy::budget>, "integer", "0",
     "Interruptions of a thread between two of its system calls; 0: no limit.", nullptr, nullptr},
    {"sgx.aex_notify.budget_action", set_action<&vigil_aex_policy::budget_terminate>, "string", "\"log\"",
     "log or terminate.", nullptr, nullptr},
    {"sgx.aex_notify.slow_limit", set_limit<&vigil_aex_policy::slow_limit>, "integer", "500000",
     "Ticks of the time stamp counter for one run of the stub; 0: not timed.", nullptr, nullptr},
    {"sgx.aex_notify.slow_action", set_action<&vigil_aex_policy::slow_terminate>, "string", "\"log\"", "log or terminate.",
     nullptr, nullptr},
    {"sgx.use_exinfo", set_flag<VIGIL_FLAG_EXINFO>, "boolean", "false; true with sgx.edmm_enable",
     "The processor says which page a fault was at.", nullptr, nullptr},
    {"sgx.insecure__allow_memfaults_without_exinfo", set_flag<VIGIL_FLAG_BLIND_FAULTS>, "boolean", "false",
     "Without sgx.use_exinfo: the host's word about page faults is believed.", "the host can invent page faults", nullptr},
    {"sgx.edmm_enable", set_flag<VIGIL_FLAG_EDMM>, "boolean", "false",
     "Memory and threads are added while the program runs (SGX2). See [edmm.md](edmm.md).", nullptr, nullptr},
    {"sgx.preheat_enclave", idle_bool, "boolean", "false", "All memory is touched at the start.", nullptr,
     "there is no paging worth avoiding at the start"},
    {"sgx.cpu_features.avx", set_feature<SGX_XFRM_AVX>, "string", "\"unspecified\"",
     "AVX: unspecified (if the machine has it), disabled or required.", nullptr, nullptr},
    {"sgx.cpu_features.avx512", set_feature<SGX_XFRM_AVX512>, "string", "\"unspecified\"",
     "AVX-512; required brings AVX too.", nullptr, nullptr},
    {"sgx.cpu_features.amx", refuse_feature, "string", "\"disabled\"", "AMX: `required` is refused.", nullptr, nullptr},
    {"sgx.cpu_features.mpx", refuse_feature, "string", "\"disabled\"", "MPX: `required` is refused.", nullptr, nullptr},
    {"sgx.cpu_features.pkru", refuse_feature, "string", "\"disabled\"", "Protection keys: `required` is refused.", nullptr,
     nullptr},
    {"sgx.trusted_files", set_trusted, "array of URIs or tables { uri, sha256 }", "[]",
     "Files whose SHA-256 is measured when the manifest is signed; of a directory (a path that ends in `/`, or is one) "
     "all below it. See below.", nullptr, nullptr},
    {"sgx.allowed_files", set_allowed, "array of URIs", "[]",
     "Files that may be opened without any check, for writing too; a path that ends in `/` stands for all below it.",
     "the host can read and change these files, and no one notices", nullptr},
    {"sgx.file_check_policy", set_policy, "string", "\"strict\"",
     "strict: other files cannot be opened. allow_all_but_log: they can, and each is reported once (log level warning).",
     "every file of the host can be opened without any check", nullptr},
    {"sgx.insecure__rpc_thread_num", idle_integer, "integer", "0", "Helper threads for system calls.", nullptr, NO_RPC},
    {"sgx.remote_attestation", set_attestation, "string", "\"none\"", "Only none is there.", nullptr, nullptr},
    {"sgx.ra_client_spid", idle_string, "string", "", "For EPID attestation.", nullptr, "there is no EPID attestation"},
    {"sgx.ra_client_linkable", idle_bool, "boolean", "false", "For EPID attestation.", nullptr,
     "there is no EPID attestation"},
    {"sgx.seal_key.flags_mask", idle_string, "string", "", "Mask of the sealing key.", nullptr, NO_SEALING},
    {"sgx.seal_key.xfrm_mask", idle_string, "string", "", "Mask of the sealing key.", nullptr, NO_SEALING},
    {"sgx.seal_key.misc_mask", idle_string, "string", "", "Mask of the sealing key.", nullptr, NO_SEALING},
    {"sgx.enable_stats", set_flag<VIGIL_FLAG_STATS>, "boolean", "false",
     "At the end of the process the runtime reports what it counted.", nullptr, nullptr},
    {"sgx.profile.enable", idle_any, "string", "", "Profiling.", nullptr, NO_PROFILE},
    {"sgx.profile.mode", idle_string, "string", "", "Profiling.", nullptr, NO_PROFILE},
    {"sgx.profile.with_stack", idle_bool, "boolean", "", "Profiling.", nullptr, NO_PROFILE},
    {"sgx.profile.frequency", idle_integer, "integer", "", "Profiling.", nullptr, NO_PROFILE},
    {"sgx.vtune_profile", idle_bool, "boolean", "false", "Profiling.", nullptr, NO_PROFILE},
};

} // namespace manifest
