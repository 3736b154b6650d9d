/* SPDX-License-Identifier: Apache-2.0
 *
 * Code breakpoints in enclave memory: an INT3 in the place of a NOP. Set and looked up from signal handlers, without
 * locks. */
#include "softsgx/trap.h"

#include <errno.h>

#define BREAKPOINTS 64
#define NOP  0x90
#define INT3 0xcc

enum { FREE, CHANGING, ACTIVE };

static struct breakpoint {
    int state;
    struct softsgx_enclave *enclave;
    uint64_t address;
    softsgx_break_fn fn;
    void *arg;
} breakpoints[BREAKPOINTS];

static struct breakpoint *find(uint64_t address)
{
    for (int i = 0; i < BREAKPOINTS; i++)
        if (__atomic_load_n(&breakpoints[i].state, __ATOMIC_ACQUIRE) == ACTIVE && breakpoints[i].address == address)
            return &breakpoints[i];
    return NULL;
}

static struct breakpoint *claim(void)
{
    for (int i = 0; i < BREAKPOINTS; i++) {
        int expected = FREE;

        if (__atomic_compare_exchange_n(&breakpoints[i].state, &expected, CHANGING, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return &breakpoints[i];
    }
    return NULL;
}

static uint8_t *byte_at(const struct softsgx_enclave *enclave, uint64_t address)
{
    return sgx_enclave_alias(enclave) + (address - sgx_enclave_base(enclave));
}

static void drop(struct breakpoint *b)
{
    uint8_t *byte = byte_at(b->enclave, b->address);

    if (__atomic_load_n(byte, __ATOMIC_RELAXED) == INT3)
        __atomic_store_n(byte, NOP, __ATOMIC_SEQ_CST);
    __atomic_store_n(&b->state, FREE, __ATOMIC_RELEASE);
}

int softsgx_break(struct softsgx_enclave *enclave, uint64_t address, softsgx_break_fn fn, void *arg)
{
    struct breakpoint *old = find(address), *b;
    uint8_t *byte;

    if (address - sgx_enclave_base(enclave) >= sgx_enclave_size(enclave))
        return -EINVAL;
    if (old)
        drop(old);
    if (!fn)
        return old ? 0 : -ENOENT;
    byte = byte_at(enclave, address);
    if (__atomic_load_n(byte, __ATOMIC_RELAXED) != NOP)
        return -EINVAL;
    b = claim();
    if (!b)
        return -ENOSPC;
    b->enclave = enclave;
    b->address = address;
    b->fn = fn;
    b->arg = arg;
    __atomic_store_n(&b->state, ACTIVE, __ATOMIC_RELEASE);
    __atomic_store_n(byte, INT3, __ATOMIC_SEQ_CST);
    return 0;
}

void sgx_trap_break_forget(const struct softsgx_enclave *enclave)
{
    for (int i = 0; i < BREAKPOINTS; i++)
        if (__atomic_load_n(&breakpoints[i].state, __ATOMIC_ACQUIRE) == ACTIVE && breakpoints[i].enclave == enclave)
            drop(&breakpoints[i]);
}

bool sgx_trap_break(struct trap_thread *t, ucontext_t *uc, uint64_t address)
{
    struct softsgx_enclave *enclave = t->cpu.enclave;
    struct breakpoint *b = find(address);
    struct softsgx_boundary boundary;
    bool active = t->step.active;
    uint64_t generation = t->step.generation;

    /* Removed by another thread between the INT3 and here: it is a NOP again, and has been executed. */
    if (!b && *byte_at(enclave, address) == NOP)
        return true;
    if (!b || b->enclave != enclave)
        return false;
    t->cpu.rip = address;
    sgx_trap_describe(t, uc, &boundary);
    t->step.active = false; /* the callback sees the enclave's own flags */
    sgx_trap_store(t, uc);
    b->fn(b->arg, &boundary);
    if (generation == t->step.generation)
        t->step.active = active;
    sgx_trap_load(t, uc);
    if (t->cpu.rip == address)
        t->cpu.rip = address + 1;
    return true;
}
