/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads of the trap driver: slots in one arena, so that a handler finds its thread from the stack pointer alone. */
#include "softsgx/trap.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define SLOTS 4096u

_Static_assert(SLOT_IN_ENCLAVE == offsetof(struct trap_slot, in_enclave), "trap_entry.S");
_Static_assert(SLOT_FSBASE == offsetof(struct trap_slot, fsbase), "trap_entry.S");
_Static_assert(SLOT_GSBASE == offsetof(struct trap_slot, gsbase), "trap_entry.S");
_Static_assert(SLOT_HOST_FSBASE == offsetof(struct trap_slot, host_fsbase), "trap_entry.S");
_Static_assert(SLOT_HOST_GSBASE == offsetof(struct trap_slot, host_gsbase), "trap_entry.S");
_Static_assert(sizeof(struct trap_slot) <= 4096, "the state is one page");

uint64_t trap_arena, trap_arena_size;
static uint32_t limit;
static __thread struct trap_slot *current;

struct trap_slot *trap_slot_at(uint32_t index)
{
    return (struct trap_slot *)(trap_arena + (uint64_t)index * TRAP_SLOT_SIZE);
}

uint32_t trap_slot_limit(void)
{
    return __atomic_load_n(&limit, __ATOMIC_ACQUIRE);
}

struct trap_slot *trap_current(void)
{
    return current;
}

int trap_arena_init(void)
{
    if (trap_arena)
        return 0;
    void *p = mmap(NULL, (SLOTS + 1ul) * TRAP_SLOT_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    trap_arena_size = (uint64_t)SLOTS * TRAP_SLOT_SIZE;
    trap_arena = ((uint64_t)p + TRAP_SLOT_SIZE - 1) & -(uint64_t)TRAP_SLOT_SIZE;
    return 0;
}

static struct trap_slot *claim(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct trap_slot *slot = trap_slot_at(i);
        uint32_t free = 0;
        if (!__atomic_compare_exchange_n(&slot->used, &free, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        uint32_t seen = __atomic_load_n(&limit, __ATOMIC_RELAXED);
        while (seen < i + 1 &&
               !__atomic_compare_exchange_n(&limit, &seen, i + 1, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            ;
        return slot;
    }
    return NULL;
}

int softsgx_thread_init(void)
{
    if (!trap_arena)
        return -EINVAL;
    if (current)
        return 0;
    struct trap_slot *slot = claim();
    if (!slot)
        return -EAGAIN;
    if (!slot->prepared && mprotect((char *)slot + 4096, TRAP_STACK_OFFSET - 4096, PROT_NONE)) {
        __atomic_store_n(&slot->used, 0, __ATOMIC_RELEASE);
        return -ENOMEM;
    }
    slot->prepared = true;
    slot->in_enclave = 0;
    memset(&slot->cpu, 0, sizeof(*slot) - offsetof(struct trap_slot, cpu));
    stack_t stack = {.ss_sp = (char *)slot + TRAP_STACK_OFFSET, .ss_size = TRAP_SLOT_SIZE - TRAP_STACK_OFFSET};
    if (sigaltstack(&stack, NULL)) {
        int error = errno;
        __atomic_store_n(&slot->used, 0, __ATOMIC_RELEASE);
        return -error;
    }
    current = slot;
    trap_tick_thread_init(slot);
    return 0;
}

/* With signals blocked throughout: no handler may find the slot half gone. */
void softsgx_thread_exit(void)
{
    sigset_t all, old;
    stack_t off = {.ss_flags = SS_DISABLE};

    if (!current)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    trap_tick_thread_exit(current);
    sigaltstack(&off, NULL);
    __atomic_store_n(&current->used, 0, __ATOMIC_RELEASE);
    current = NULL;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

bool softsgx_in_enclave(void)
{
    return current && current->cpu.enclave_mode;
}
