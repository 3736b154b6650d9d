/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that nobody has used yet, and what must not be done with it. */
#ifndef TESTS_LAZY_H
#define TESTS_LAZY_H

#include "faults.h"

#include <sys/mman.h>

#define PAGE  4096ul
#define BATCH (16 * PAGE)
#define RW    (PROT_READ | PROT_WRITE)
#define RWX   (RW | PROT_EXEC)

/* Untouched, and its start is the border of a batch however these are counted. */
static inline char *fresh(size_t size, int prot)
{
    char *p = mmap(NULL, size + BATCH, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    char *aligned = (char *)(((uintptr_t)p + BATCH - 1) & -BATCH);
    if (aligned > p)
        REQUIRE(munmap(p, aligned - p) == 0);
    if (aligned < p + BATCH)
        REQUIRE(munmap(aligned + size, p + BATCH - aligned) == 0);
    return aligned;
}

static inline void drop(char *p, size_t size)
{
    REQUIRE(munmap(p, size) == 0);
}

static inline bool all_are(const char *p, size_t size, char value)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != value)
            return false;
    return true;
}

#define CHECK_READ_FAULT(at, si) \
    do { \
        FAULT_AT("movb (%0), %%cl", "r"(at)); \
        CHECK_FAULT(SIGSEGV, si, 14, (uintptr_t)(at)); \
    } while (0)
#define CHECK_WRITE_FAULT(at, si) \
    do { \
        FAULT_AT("movb $0x5a, (%0)", "r"(at)); \
        CHECK_FAULT(SIGSEGV, si, 14, (uintptr_t)(at)); \
    } while (0)

/* The handler goes on where the call would have returned to. */
#define CHECK_EXEC_FAULT(at, si) \
    do { \
        __asm__ volatile("lea 1f(%%rip), %%rax\n" \
                         "mov %%rax, continue_at(%%rip)\n" \
                         "mov %0, fault_ip(%%rip)\n" \
                         "jmp *%0\n" \
                         "1:\n" : : "r"(at) : "rax", "memory"); \
        CHECK_FAULT(SIGSEGV, si, 14, (uintptr_t)(at)); \
    } while (0)

#endif
