/* SPDX-License-Identifier: Apache-2.0
 *
 * Page permissions at the linear address. mprotect alone would make a VMA of each lone page that is accepted, and Linux
 * allows 65,530 of them (vm.max_map_count): 8 GiB with one page in 64 in use are more. Where the kernel has guard pages
 * (MADV_GUARD_INSTALL on shared memory: Linux 6.15), a block in which a page is accepted becomes accessible as a whole
 * under guards, and single pages come and go without a VMA. Elsewhere it is mprotect alone. Called in handlers, too. */
#include "softsgx/trap.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define BLOCK (2ull << 20)

enum block_state {
    BLOCK_UNUSED,     /* PROT_NONE throughout */
    BLOCK_PLAIN,      /* VMAs say what is accessible */
    BLOCK_CONVERTING, /* a thread makes it GUARDED */
    BLOCK_GUARDED,    /* accessible is what has no guard, with its VMA's protection */
};

struct sgx_trap_blocks {
    uint64_t base, start; /* of ELRANGE, of what is mapped of it */
    uint8_t state[];
};

bool sgx_trap_guards = true;

/* On memory of the same kind as an enclave's: guards came to anonymous memory first. */
static bool guards_supported(uint64_t start)
{
    return sgx_trap_guards && !madvise((void *)start, SGX_PAGE_SIZE, MADV_GUARD_INSTALL) &&
           !madvise((void *)start, SGX_PAGE_SIZE, MADV_GUARD_REMOVE);
}

struct sgx_trap_blocks *sgx_trap_blocks_make(uint64_t base, uint64_t start, uint64_t end)
{
    struct sgx_trap_blocks *b;

    if (!guards_supported(start))
        return NULL;
    b = mmap(NULL, sizeof(*b) + (end - base + BLOCK - 1) / BLOCK, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b == MAP_FAILED)
        return NULL;
    b->base = base;
    b->start = start;
    return b;
}

void sgx_trap_blocks_free(struct sgx_trap_blocks *b, uint64_t end)
{
    if (b)
        munmap(b, sizeof(*b) + (end - b->base + BLOCK - 1) / BLOCK);
}

static int change(uint64_t from, uint64_t to, int prot)
{
    return mprotect((void *)from, to - from, prot) ? -errno : 0;
}

static int guard(uint64_t from, uint64_t to, int advice)
{
    return madvise((void *)from, to - from, advice) ? -errno : 0;
}

static int in_guarded(uint64_t from, uint64_t to, int prot)
{
    int ret;

    if (prot == PROT_NONE)
        return guard(from, to, MADV_GUARD_INSTALL);
    ret = change(from, to, prot);
    return ret ? ret : guard(from, to, MADV_GUARD_REMOVE);
}

static int convert(const struct sgx_trap_blocks *b, uint64_t index, int prot)
{
    uint64_t from = b->base + index * BLOCK, to = from + BLOCK;
    int ret;

    if (from < b->start)
        from = b->start;
    ret = guard(from, to, MADV_GUARD_INSTALL);
    return ret ? ret : change(from, to, prot);
}

/* The state in which the piece [from, to) of the block is to be changed: after a conversion, if that is called for. */
static int settle(struct sgx_trap_blocks *b, uint64_t index, bool part, int prot, uint8_t *state)
{
    int ret = 0;

    *state = BLOCK_UNUSED;
    if (prot == PROT_NONE)
        *state = __atomic_load_n(&b->state[index], __ATOMIC_ACQUIRE);
    else if (__atomic_compare_exchange_n(&b->state[index], state, part ? BLOCK_CONVERTING : BLOCK_PLAIN, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        *state = BLOCK_PLAIN;
        if (part) {
            ret = convert(b, index, prot);
            *state = ret ? BLOCK_PLAIN : BLOCK_GUARDED;
            __atomic_store_n(&b->state[index], *state, __ATOMIC_RELEASE);
        }
    }
    while (*state == BLOCK_CONVERTING) {
        sched_yield();
        *state = __atomic_load_n(&b->state[index], __ATOMIC_ACQUIRE);
    }
    return ret;
}

int sgx_trap_blocks_protect(struct sgx_trap_blocks *b, uint64_t from, uint64_t to, int prot, bool built)
{
    uint64_t plain = from; /* from here to `from`, mprotect is still to be called */
    int ret = 0;

    if (!b)
        return change(from, to, prot);
    while (from < to && !ret) {
        uint64_t index = (from - b->base) / BLOCK, end = b->base + (index + 1) * BLOCK;
        uint8_t state;

        if (end > to)
            end = to;
        ret = settle(b, index, built && end - from < BLOCK, prot, &state);
        if (!ret && state == BLOCK_GUARDED) {
            if (plain < from)
                ret = change(plain, from, prot);
            if (!ret)
                ret = in_guarded(from, end, prot);
            plain = end;
        }
        from = end;
    }
    if (!ret && plain < to)
        ret = change(plain, to, prot);
    return ret;
}
