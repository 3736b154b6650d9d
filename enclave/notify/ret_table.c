/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the RET bytes (C3) are that the execute probe runs: one for each code page, found by a scan when the page is
 * first interrupted. Only pages the program may execute and not write are used, so the byte cannot change while it is
 * being run. An entry is one word: page | offset | NONE, or 0; entries of an older generation of the address space are
 * not believed. The index is the page number, which the host knows. */
#include "enclave/internal.h"
#include "enclave/notify/notify.h"
#include "enclave/notify/ret_plant.h"

#define ENTRIES 1024
#define RET 0xc3
#define NONE (1ull << 63) /* the page has no RET, or may not be probed */

static struct { uint64_t where, generation; } ret_table[ENTRIES];

static uint64_t load(const uint64_t *address, bool *ok)
{
    uint64_t value = 0, done = 0;

    __asm__ volatile("1: movq (%2), %0\n incq %1\n2:\n" EX_TABLE("1b", "2b")
                     : "+r"(value), "+r"(done) : "r"(address) : "cc", "memory");
    *ok &= done;
    return value;
}

static uint64_t scan(uint64_t page)
{
    bool ok = true;

    for (uint64_t at = page; at < page + VIGIL_PAGE && ok; at += 8) {
        uint64_t word = load((const uint64_t *)at, &ok);
        for (unsigned i = 0; i < 8 && ok; i++)
            if ((word >> 8 * i & 0xff) == RET)
                return at + i;
    }
    return page | NONE;
}

static uint64_t find(uint64_t page)
{
    int access = libos_page_access(page);

    return access & LINUX_PROT_EXEC && !(access & LINUX_PROT_WRITE) ? scan(page) : page | NONE;
}

/* Is it still there? A debugger may have put a breakpoint on it. */
static inline bool is_ret(uint64_t address)
{
    uint32_t byte = 0;

    __asm__ volatile("1: movzbl (%1), %0\n2:\n" EX_TABLE("1b", "2b") : "+r"(byte) : "r"(address) : "memory");
    return byte == RET;
}

uint64_t ret_table_find(uint64_t page, uint64_t valid, uint64_t generation)
{
    uint64_t slot = page / VIGIL_PAGE % ENTRIES;
    uint64_t where = __atomic_load_n(&ret_table[slot].where, __ATOMIC_RELAXED);
    bool known = (where & ~NONE & ~(uint64_t)(VIGIL_PAGE - 1)) == page &&
                 __atomic_load_n(&ret_table[slot].generation, __ATOMIC_ACQUIRE) == generation;

    if (__builtin_expect((!known || (!(where >> 63) && !is_ret(where))) && valid, 0)) {
        where = find(page);
        /* Another thread may write the same slot: a pair that does not belong together is found out by the page. */
        __atomic_store_n(&ret_table[slot].where, where, __ATOMIC_RELAXED);
        __atomic_store_n(&ret_table[slot].generation, generation, __ATOMIC_RELEASE);
    }
    return where & valid & ~-(where >> 63);
}

void mitigation_code_loaded(uint64_t start, uint64_t end)
{
    unsigned planted = 0, without = 0;

    if (!notify_policy.stub_after_aex)
        return;
    for (uint64_t page = start; page < end; page += VIGIL_PAGE) {
        if (edmm_on() && !page_present(page))
            continue; /* nothing has been loaded there */
        enum ret_plant found = ret_plant((uint8_t *)page, VIGIL_PAGE, end - page < VIGIL_PAGE ? end - page : VIGIL_PAGE);
        planted += found == RET_PLANTED;
        without += found == RET_NONE;
    }
    log_line(VIGIL_LOG_DEBUG, "AEX-Notify: %lu pages of code at 0x%lx: %u got a RET byte for the execute probe, %u have none",
             (end - start + VIGIL_PAGE - 1) / VIGIL_PAGE, start, planted, without);
}
