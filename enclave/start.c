/* SPDX-License-Identifier: Apache-2.0
 *
 * What the host says at the start: arguments, environment, identity. Copied once, bounded, then trusted as far as the
 * configuration allows (the LibOS decides what of it is used). */
#include "enclave/internal.h"

#define MAX_STRINGS 65536
#define MAX_BYTES (8u << 20)

static struct start_info start;

const struct start_info *start_info(void)
{
    return &start;
}

/* Copies an untrusted NUL-terminated string; NULL if it is longer than limit or not outside the enclave. */
static char *copy_string(uint64_t untrusted_string, size_t limit)
{
    size_t n = 0;
    for (;; n++) {
        char c;
        if (n >= limit || !outside_enclave((void *)(untrusted_string + n), 1))
            return NULL;
        untrusted_read(&c, (void *)(untrusted_string + n), 1);
        if (!c)
            break;
    }
    char *copy = kmalloc(n + 1);
    if (!copy)
        return NULL;
    untrusted_read(copy, (void *)untrusted_string, n);
    copy[n] = 0;
    return copy;
}

static char **copy_vector(uint64_t untrusted_vector, uint64_t untrusted_count, int *count)
{
    size_t left = MAX_BYTES;

    if (untrusted_count > MAX_STRINGS || !outside_enclave((void *)untrusted_vector, untrusted_count * 8))
        runtime_fail("the host gave too many arguments or environment strings");
    char **vector = kzalloc((untrusted_count + 1) * sizeof(*vector));
    if (!vector)
        runtime_fail("no memory for arguments and environment: raise sgx.enclave_size");
    for (uint64_t i = 0; i < untrusted_count; i++) {
        uint64_t untrusted_string;
        untrusted_read(&untrusted_string, (void *)(untrusted_vector + i * 8), 8);
        vector[i] = copy_string(untrusted_string, left);
        if (!vector[i])
            runtime_fail("arguments and environment are too long: raise sgx.enclave_size or shorten them");
        left -= strlen(vector[i]) + 1;
    }
    *count = (int)untrusted_count;
    return vector;
}

void start_info_copy(uint64_t untrusted_boot)
{
    struct vigil_boot boot;

    if (!outside_enclave((void *)untrusted_boot, sizeof(boot)))
        runtime_fail("the host's start information lies inside the enclave");
    untrusted_read(&boot, (void *)untrusted_boot, sizeof(boot));
    start.argv = copy_vector(boot.argv, boot.argc, &start.argc);
    start.envp = copy_vector(boot.envp, boot.envc, &start.envc);
    char *cwd = boot.cwd ? copy_string(boot.cwd, sizeof(start.cwd)) : NULL;
    memcpy(start.cwd, cwd ? cwd : "/", cwd ? strlen(cwd) + 1 : 2);
    kfree(cwd);
    start.uid = boot.uid;
    start.gid = boot.gid;
    start.pid = boot.pid ? boot.pid : 1;
    start.plain = boot.plain;
    /* The measured log level holds; only a debug enclave lets its host change it. */
    if (boot.log_level_override && (self_attributes()->flags & SGX_ATTR_DEBUG))
        log_set_level(boot.log_level_override - 1);
}
