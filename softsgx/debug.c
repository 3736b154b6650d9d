/* SPDX-License-Identifier: Apache-2.0
 *
 * EDBGRD and EDBGWR: a debugger's view of a debug enclave. */
#include "softsgx/enclave.h"

#include <errno.h>
#include <string.h>

static int check(const struct softsgx_enclave *e, uint64_t address, uint64_t length)
{
    if (!(e->secs.attributes.flags & SGX_ATTR_DEBUG))
        return -EACCES;
    if (!sgx_in_elrange(e, address) || length > e->base + e->size - address)
        return -EFAULT;
    for (uint64_t page = address & ~(uint64_t)(SGX_PAGE_SIZE - 1); page < address + length; page += SGX_PAGE_SIZE) {
        uint32_t entry = sgx_epcm_get(e, page);

        if (!(entry & EPCM_VALID) || (entry & EPCM_PENDING) ||
            (EPCM_PT(entry) != SGX_PT_REG && EPCM_PT(entry) != SGX_PT_TCS))
            return -EFAULT;
    }
    return 0;
}

int softsgx_debug_read(struct softsgx_enclave *e, uint64_t address, void *buf, uint64_t length)
{
    int ret = check(e, address, length);

    return ret ? ret : sgx_epc_read(e, address, buf, length) ? 0 : -EFAULT;
}

/* Of a TCS a debugger may change FLAGS only, and there only the bits that mean something. */
static int write_tcs(struct softsgx_enclave *e, uint64_t address, const void *buf, uint64_t length)
{
    uint64_t flags;

    if (address % SGX_PAGE_SIZE != offsetof(struct sgx_tcs, flags) || length != sizeof(flags))
        return -EINVAL;
    memcpy(&flags, buf, sizeof(flags));
    if (flags & ~(SGX_TCS_DBGOPTIN | SGX_TCS_AEXNOTIFY))
        return -EINVAL;
    __atomic_store_n((uint64_t *)sgx_epc(e, address), flags, __ATOMIC_RELAXED);
    __atomic_add_fetch(&e->changes, 1, __ATOMIC_SEQ_CST);
    return 0;
}

int softsgx_debug_write(struct softsgx_enclave *e, uint64_t address, const void *buf, uint64_t length)
{
    int ret = check(e, address, length);
    uint64_t end = address + length;

    if (ret)
        return ret;
    if (EPCM_PT(sgx_epcm_get(e, address)) == SGX_PT_TCS)
        return write_tcs(e, address, buf, length);
    for (uint64_t page = address & ~(uint64_t)(SGX_PAGE_SIZE - 1); page < end; page += SGX_PAGE_SIZE)
        if (EPCM_PT(sgx_epcm_get(e, page)) == SGX_PT_TCS)
            return -EINVAL;
    return sgx_epc_write(e, address, buf, length) ? 0 : -EFAULT;
}
