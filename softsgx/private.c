/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages that the host adds by the hundred, unmeasured and all zero: an enclave's heap. In the memory file of the EPC even
 * reading such a page would allocate it, and an enclave has to read what nobody has measured. So they are private anonymous
 * memory at their linear address: a page that was only ever read is the kernel's zero page. They have no alias; what the
 * processor wants of them goes through /proc/self/mem, which asks for no permission of the mapping. A page that becomes part
 * of an entry (TCS, SSA frame) moves to the file, for good. */
#include "softsgx/enclave.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORTH_IT (1u << 20) /* a mapping of its own */

static bool is_private(const struct softsgx_enclave *e, uint64_t address)
{
    return sgx_epcm_get(e, address) & EPCM_PRIVATE;
}

/* Calls that nothing cancels and no lock guards. */
static bool transfer(const struct softsgx_enclave *e, long call, const void *buf, uint64_t length, uint64_t address)
{
    return syscall(call, e->memory, buf, length, address) == (long)length;
}

static int memory_file(struct softsgx_enclave *e)
{
    if (e->memory < 0)
        e->memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    return e->memory < 0 ? -errno : 0;
}

bool sgx_private_back(struct softsgx_enclave *e, uint64_t address, uint64_t length)
{
    const struct sgx_mapping_ops *ops = sgx_mapping();

    return ops && ops->back && e->mapped && length >= WORTH_IT && !memory_file(e) && !ops->back(e, address, length, -1);
}

void sgx_private_close(struct softsgx_enclave *e)
{
    if (e->memory >= 0)
        close(e->memory);
    if (e->file >= 0)
        close(e->file);
    e->memory = e->file = -1;
}

/* The part of [address, address + length) up to the next page that is of the other kind. */
static uint64_t piece(const struct softsgx_enclave *e, uint64_t address, uint64_t length, bool private)
{
    uint64_t n = SGX_PAGE_SIZE - address % SGX_PAGE_SIZE;

    while (n < length && is_private(e, address + n) == private)
        n += SGX_PAGE_SIZE;
    return n < length ? n : length;
}

static bool move(const struct softsgx_enclave *e, uint64_t address, uint8_t *buf, uint64_t length, bool write)
{
    for (uint64_t n; length; address += n, buf += n, length -= n) {
        bool private = is_private(e, address);

        n = piece(e, address, length, private);
        if (!private)
            memcpy(write ? sgx_epc(e, address) : buf, write ? buf : sgx_epc(e, address), n);
        else if (!transfer(e, write ? SYS_pwrite64 : SYS_pread64, buf, n, address))
            return false;
    }
    return true;
}

bool sgx_epc_read(const struct softsgx_enclave *e, uint64_t address, void *buf, uint64_t length)
{
    return move(e, address, buf, length, false);
}

bool sgx_epc_write(const struct softsgx_enclave *e, uint64_t address, const void *buf, uint64_t length)
{
    return move(e, address, (uint8_t *)buf, length, true);
}

bool sgx_epc_replace(const struct softsgx_enclave *e, uint64_t address, uint8_t from, uint8_t to)
{
    uint8_t now;

    if (!is_private(e, address))
        return __atomic_compare_exchange_n(sgx_epc(e, address), &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return sgx_epc_read(e, address, &now, 1) && now == from && sgx_epc_write(e, address, &to, 1);
}

void sgx_epc_clear(struct softsgx_enclave *e, uint64_t address)
{
    if (is_private(e, address))
        madvise((void *)address, SGX_PAGE_SIZE, MADV_DONTNEED);
    else if (madvise(sgx_epc(e, address), SGX_PAGE_SIZE, MADV_REMOVE))
        memset(sgx_epc(e, address), 0, SGX_PAGE_SIZE);
}

/* While it moves nobody can use it. Who tries meanwhile faults, finds that all is well, and tries again. */
int sgx_private_share(struct softsgx_enclave *e, uint64_t address)
{
    const struct sgx_mapping_ops *ops = sgx_mapping();
    uint64_t page = address & -(uint64_t)SGX_PAGE_SIZE;
    int ret;

    if (!is_private(e, page))
        return 0;
    ret = ops->protect(e, page, SGX_PAGE_SIZE, PROT_NONE);
    if (!ret && !transfer(e, SYS_pread64, sgx_epc(e, page), SGX_PAGE_SIZE, page))
        ret = -EFAULT;
    if (!ret)
        ret = ops->back(e, page, SGX_PAGE_SIZE, e->file);
    if (!ret)
        sgx_epcm_update(e, page, EPCM_PRIVATE, 0);
    if (sgx_epcm_apply(e, page, SGX_PAGE_SIZE) && !ret)
        ret = -ENOMEM;
    return ret;
}
