/* SPDX-License-Identifier: Apache-2.0
 *
 * The normalised configuration: what a manifest says, as one flat, position-independent, measured blob. The manifest
 * (TOML) is parsed outside the enclave; the enclave trusts this blob because it is part of MRENCLAVE.
 * Every reference is a byte offset from the start of the blob; strings end in NUL; offset 0 means "absent". */
#ifndef VIGIL_CONFIG_H
#define VIGIL_CONFIG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIGIL_CONFIG_MAGIC 0x33676663676976ull /* "vigcfg3" */

enum vigil_log_level {
    VIGIL_LOG_NONE, VIGIL_LOG_ERROR, VIGIL_LOG_WARNING, VIGIL_LOG_DEBUG, VIGIL_LOG_TRACE, VIGIL_LOG_ALL,
};

#define VIGIL_FLAG_DEBUG         (1u << 0) /* sgx.debug */
#define VIGIL_FLAG_AEX_NOTIFY    (1u << 1) /* sgx.experimental_enable_aex_notify */
#define VIGIL_FLAG_EXINFO        (1u << 2) /* sgx.use_exinfo */
#define VIGIL_FLAG_STATS         (1u << 3) /* sgx.enable_stats */
#define VIGIL_FLAG_CMDLINE_ARGV  (1u << 4) /* loader.insecure__use_cmdline_argv */
#define VIGIL_FLAG_HOST_ENV      (1u << 5) /* loader.insecure__use_host_env (what `vigil run -- PROGRAM` does) */
#define VIGIL_FLAG_ALLOW_FILES   (1u << 6) /* sgx.file_check_policy = "allow_all_but_log" */
#define VIGIL_FLAG_QUIET_FILES   (1u << 7) /* with ALLOW_FILES: one line in all, not one a file (`vigil run --`) */
#define VIGIL_FLAG_EDMM          (1u << 9) /* sgx.edmm_enable */
#define VIGIL_FLAG_BLIND_FAULTS  (1u << 10) /* sgx.insecure__allow_memfaults_without_exinfo */
#define VIGIL_FLAG_NO_MANIFEST   (1u << 8) /* made by `vigil run -- PROGRAM`; start_dir and root come from the host */

/* sgx.aex_notify: docs/aex-notify.md */
enum vigil_mitigation { VIGIL_MITIGATION_NONE, VIGIL_MITIGATION_COUNT, VIGIL_MITIGATION_PREFETCH };
struct vigil_aex_policy {
    uint32_t mitigation;
    uint32_t on_syscall_return;    /* 0 or 1: the stub also runs when a system call returns */
    uint32_t step_threshold;       /* AEXs with zero or one instruction of progress, of the last 64; 0: not watched */
    uint32_t step_terminate, budget_terminate, slow_terminate; /* 0: one line in the log; 1: the process ends */
    uint64_t budget;               /* AEXs of a thread between two of its system calls; 0: no limit */
    uint64_t slow_limit;           /* TSC ticks for one warm loop; 0: not timed */
};

struct vigil_list { uint32_t offset /* of uint32_t string offsets */, count; };
struct vigil_mount { uint32_t path /* inside */, host /* outside, no "file:"; 0: tmpfs */; };

struct vigil_trusted { uint32_t path /* normalised; as inside, or as outside */, reserved; uint8_t sha256[32]; };

struct vigil_config {
    uint64_t magic;
    uint32_t size;  /* of the blob in bytes, strings included */
    uint32_t flags;
    uint64_t enclave_size, stack_size, brk_max_size;
    struct vigil_aex_policy aex;
    uint32_t max_threads, log_level;
    uint32_t entrypoint, log_file, start_dir;
    uint32_t argv_file, env_file;  /* on the host: strings, each with its NUL; 0: none */
    uint32_t uid, gid, fds_limit, isvprodid, isvsvn;
    uint32_t xfrm_required, xfrm_disabled; /* of SGX_XFRM_AVX and SGX_XFRM_AVX512 */
    struct vigil_list argv;        /* fixed argv; empty: { entrypoint } unless CMDLINE_ARGV */
    struct vigil_list env;         /* "NAME=value" */
    struct vigil_list env_pass;    /* names whose value the host may give */
    struct vigil_list allowed;     /* normalised inside paths; a trailing '/' means the whole directory */
    uint32_t mounts, mount_count;  /* offset of struct vigil_mount[]; the first is "/" (fs.root) */
    uint32_t trusted, trusted_count; /* offset of struct vigil_trusted[], in the order of their paths (strcmp) */
};

#ifdef __cplusplus
}
#endif
#endif
