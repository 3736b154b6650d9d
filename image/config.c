/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a normalised configuration well formed, and do its numbers make an enclave? */
#include "image/internal.h"

#include <string.h>

static bool string_ok(const struct vigil_config *c, uint32_t offset, bool optional)
{
    if (!offset)
        return optional;
    return offset >= sizeof(*c) && offset < c->size && memchr((const char *)c + offset, 0, c->size - offset);
}

static bool list_ok(const struct vigil_config *c, const struct vigil_list *list)
{
    if (!list->count)
        return true;
    if (list->offset % 4 || list->offset < sizeof(*c) || list->offset > c->size || list->count > (c->size - list->offset) / 4)
        return false;
    const uint32_t *strings = (const uint32_t *)((const char *)c + list->offset);
    for (uint32_t i = 0; i < list->count; i++)
        if (!string_ok(c, strings[i], false))
            return false;
    return true;
}

static bool mounts_ok(const struct vigil_config *c)
{
    if (!c->mount_count || c->mounts % 4 || c->mounts < sizeof(*c) || c->mounts > c->size ||
        c->mount_count > (c->size - c->mounts) / sizeof(struct vigil_mount))
        return false;
    const struct vigil_mount *mounts = (const void *)((const char *)c + c->mounts);
    for (uint32_t i = 0; i < c->mount_count; i++)
        if (!string_ok(c, mounts[i].path, false) || !string_ok(c, mounts[i].host, true))
            return false;
    return true;
}

static bool trusted_ok(const struct vigil_config *c)
{
    const struct vigil_trusted *trusted = (const void *)((const char *)c + c->trusted);

    if (!c->trusted_count)
        return true;
    if (c->trusted % 4 || c->trusted < sizeof(*c) || c->trusted > c->size ||
        c->trusted_count > (c->size - c->trusted) / sizeof(*trusted))
        return false;
    for (uint32_t i = 0; i < c->trusted_count; i++)
        if (!string_ok(c, trusted[i].path, false) ||
            (i && strcmp((const char *)c + trusted[i - 1].path, (const char *)c + trusted[i].path) >= 0))
            return false;
    return true;
}

static int check_numbers(const struct vigil_config *c, struct image_error *error)
{
    if (c->enclave_size < VIGIL_MIN_ENCLAVE_SIZE || (c->enclave_size & (c->enclave_size - 1)))
        return image_fail(error, "sgx.enclave_size is %lu bytes: it must be a power of two of at least %uM", c->enclave_size,
                          VIGIL_MIN_ENCLAVE_SIZE >> 20);
    bool dynamic = c->flags & VIGIL_FLAG_EDMM;
    if (c->enclave_size > (dynamic ? 1ull << 40 : 1ull << 36))
        return image_fail(error, "sgx.enclave_size is %lu bytes: at most %s is possible", c->enclave_size,
                          dynamic ? "1024G" : "64G (1024G with sgx.edmm_enable)");
    if (dynamic && !(c->flags & VIGIL_FLAG_EXINFO))
        return image_fail(error, "sgx.edmm_enable needs sgx.use_exinfo = true: without it the enclave does not learn which page "
                          "was touched");
    if (!c->max_threads || c->max_threads > 4096)
        return image_fail(error, "sgx.max_threads is %u: it must be between 1 and 4096", c->max_threads);
    if (c->stack_size < VIGIL_PAGE || c->stack_size % VIGIL_PAGE || c->stack_size > c->enclave_size / 2)
        return image_fail(error, "sys.stack.size is %lu bytes: it must be a multiple of 4096 of at most half of "
                          "sgx.enclave_size", c->stack_size);
    if (c->brk_max_size % VIGIL_PAGE || c->brk_max_size > c->enclave_size / 2)
        return image_fail(error, "sys.brk.max_size is %lu bytes: it must be a multiple of 4096 of at most half of "
                          "sgx.enclave_size", c->brk_max_size);
    if (c->log_level > VIGIL_LOG_ALL)
        return image_fail(error, "loader.log_level is out of range");
    if (c->uid == ~0u || c->gid == ~0u || c->fds_limit < 3 || c->fds_limit > 1u << 20 || c->isvprodid > 0xffff || c->isvsvn > 0xffff)
        return image_fail(error, "loader.uid, loader.gid, sys.fds.limit, sgx.isvprodid or sgx.isvsvn is out of range");
    if ((c->xfrm_required | c->xfrm_disabled) & ~(SGX_XFRM_AVX | SGX_XFRM_AVX512) || c->xfrm_required & c->xfrm_disabled)
        return image_fail(error, "sgx.cpu_features: avx512 = \"required\" needs AVX, which is \"disabled\"; choose one of them");
    if (c->aex.mitigation > VIGIL_MITIGATION_PREFETCH || c->aex.on_syscall_return > 1 || c->aex.step_threshold > 63 ||
        c->aex.step_terminate > 1 || c->aex.budget_terminate > 1 || c->aex.slow_terminate > 1)
        return image_fail(error, "sgx.aex_notify is out of range");
    return 0;
}

int manifest_config_check(const struct vigil_config *c, struct image_error *error)
{
    return config_check(c, c->size, error);
}

int config_check(const struct vigil_config *c, size_t size, struct image_error *error)
{
    if (size < sizeof(*c) || c->magic != VIGIL_CONFIG_MAGIC || c->size > size || c->size < sizeof(*c))
        return image_fail(error, "the configuration is truncated or malformed");
    if (!string_ok(c, c->entrypoint, false) || !string_ok(c, c->log_file, true) || !string_ok(c, c->start_dir, true) ||
        !string_ok(c, c->argv_file, true) || !string_ok(c, c->env_file, true) ||
        !list_ok(c, &c->argv) || !list_ok(c, &c->env) || !list_ok(c, &c->env_pass) || !list_ok(c, &c->allowed) ||
        !mounts_ok(c) || !trusted_ok(c))
        return image_fail(error, "the configuration is malformed");
    return check_numbers(c, error);
}
