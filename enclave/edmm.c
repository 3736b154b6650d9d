/* SPDX-License-Identifier: Apache-2.0
 *
 * The leaves of dynamic memory and the OCALL that goes with them. The host adds, restricts and removes; the processor lets
 * none of it take effect for the enclave before EACCEPT, and EACCEPT compares. So the host can refuse, which is an error
 * (out of memory), but not cheat. An EACCEPT of a page that the host has not added raises #PF: the kernel adds it, or else
 * the fixup makes it an error. */
#include "enclave/edmm.h"

#define RIGHTS(prot) ((uint64_t)((prot) & (LINUX_PROT_READ | LINUX_PROT_WRITE | LINUX_PROT_EXEC)))
_Static_assert(LINUX_PROT_READ == SGX_SECINFO_R && LINUX_PROT_WRITE == SGX_SECINFO_W && LINUX_PROT_EXEC == SGX_SECINFO_X,
               "PROT_ and SECINFO bits are the same");

/* RAX after the leaf, or -1 if it faulted. */
static long leaf(uint64_t number, uint64_t flags, uint64_t page)
{
    struct sgx_secinfo secinfo __attribute__((aligned(64))) = {.flags = flags};
    long result = (long)number, faulted = 1;

    __asm__ volatile("1: .byte 0x0f, 0x01, 0xd7, 0x66, 0x90\n xorl %k1, %k1\n2:\n" EX_TABLE("1b", "2b")
                     : "+a"(result), "+r"(faulted)
                     : "b"(&secinfo), "c"(page)
                     : "memory", "cc");
    return faulted ? -1 : result;
}

static int accept(uint64_t flags, uint64_t page)
{
    long result = leaf(SGX_EACCEPT, flags, page);

    if (!result)
        return 0;
    log_line(VIGIL_LOG_DEBUG, "EACCEPT of page 0x%lx as 0x%lx: %s %ld", page, flags, result < 0 ? "fault" : "error", result);
    return -LINUX_ENOMEM;
}

int edmm_accept_new(uint64_t page)
{
    return accept(SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_PENDING, page);
}

int edmm_accept_rights(uint64_t page, int prot)
{
    return accept(SGX_SECINFO_REG | SGX_SECINFO_PR | RIGHTS(prot), page);
}

int edmm_accept_trim(uint64_t page)
{
    return accept(SGX_SECINFO_TRIM | SGX_SECINFO_MODIFIED, page);
}

int edmm_accept_tcs(uint64_t page)
{
    return accept(SGX_SECINFO_TCS | SGX_SECINFO_MODIFIED, page);
}

int edmm_extend(uint64_t page, int prot)
{
    /* EMODPE leaves RAX alone: only a fault is an error. */
    return leaf(SGX_EMODPE, SGX_SECINFO_REG | RIGHTS(prot), page) < 0 ? -LINUX_ENOMEM : 0;
}

/* The list goes to a place of its own in the thread's OCALL memory: this may happen in the middle of any system call. */
int edmm_ask(uint32_t operation, uint32_t argument, const struct edmm_ranges *ranges)
{
    struct tcb *t = tcb_current();
    void *untrusted_list = (void *)(t->bounce + t->bounce_size + OCALL_LOG_RESERVE);

    if (!ranges->count)
        return 0;
    untrusted_write(untrusted_list, ranges->range, ranges->count * sizeof(ranges->range[0]));
    return ocall_status(VIGIL_OCALL_MEMORY, operation, argument, (long)untrusted_list, ranges->count);
}

void edmm_remove_runtime(uint64_t start, uint64_t end)
{
    struct edmm_ranges ranges = {.count = start < end, .range = {{start, end - start}}};

    (void)edmm_ask(VIGIL_MEMORY_TRIM, 0, &ranges);
    for (uint64_t page = start; page < end; page += VIGIL_PAGE)
        if (!edmm_accept_trim(page))
            edmm_count(-1);
    (void)edmm_ask(VIGIL_MEMORY_REMOVE, 0, &ranges);
}

/* All or nothing. */
int edmm_add_runtime(uint64_t start, uint64_t end)
{
    struct edmm_ranges ranges = {.count = 1, .range = {{start, end - start}}};
    uint64_t page = start;

    if (end > start + VIGIL_PAGE && edmm_ask(VIGIL_MEMORY_ADD, 0, &ranges))
        end = start; /* there is not enough: no need to try */
    for (; page < end; page += VIGIL_PAGE) {
        if (edmm_accept_new(page))
            break;
        edmm_count(1);
    }
    if (page == ranges.range[0].address + ranges.range[0].length)
        return 0;
    /* What the host has added in vain is taken and given back, too. */
    while (page < ranges.range[0].address + ranges.range[0].length && !edmm_accept_new(page))
        edmm_count(1), page += VIGIL_PAGE;
    edmm_remove_runtime(start, page);
    return -LINUX_ENOMEM;
}
