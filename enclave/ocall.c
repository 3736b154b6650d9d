/* SPDX-License-Identifier: Apache-2.0
 *
 * Leaving the enclave: OCALLs, the bounce memory, and the end of the process. */
#include "enclave/internal.h"

#define MIN_ARENA (1u << 20)

/* The host gives each thread its shared block once; it is checked here and the pointers are never read again. */
void ocall_thread_init(struct tcb *t, uint64_t untrusted_shared)
{
    struct vigil_shared copy, *shared = (struct vigil_shared *)untrusted_shared;

    if ((untrusted_shared & 7) || !outside_enclave(shared, sizeof(*shared)))
        runtime_fail("the host's thread block lies inside the enclave");
    t->shared = NULL;
    memcpy(&copy, shared, sizeof(copy));
    if ((copy.arena & 15) || copy.arena_size < MIN_ARENA || !outside_enclave((void *)copy.arena, copy.arena_size))
        runtime_fail("the host's OCALL memory lies inside the enclave or is too small");
    t->bounce = copy.arena;
    t->bounce_size = copy.arena_size - OCALL_LOG_RESERVE - OCALL_MEMORY_RESERVE;
    t->bounce_used = 0;
    t->shared = shared;
}

long ocall(uint64_t op, long a0, long a1, long a2, long a3, long a4, long a5)
{
    uint64_t args[7] = {(uint64_t)a0, (uint64_t)a1, (uint64_t)a2, (uint64_t)a3, (uint64_t)a4, (uint64_t)a5, 0};
    return (long)ocall_raw(op, args);
}

static long ocall_with_number(uint64_t op, long nr, const long a[6])
{
    uint64_t args[7] = {(uint64_t)nr,   (uint64_t)a[0], (uint64_t)a[1], (uint64_t)a[2],
                        (uint64_t)a[3], (uint64_t)a[4], (uint64_t)a[5]};
    return (long)ocall_raw(op, args);
}

long ocall_syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    return ocall_with_number(VIGIL_OCALL_SYSCALL, nr, (long[]){a0, a1, a2, a3, a4, a5});
}

long ocall_syscall_intr(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    return ocall_with_number(VIGIL_OCALL_SYSCALL_INTR, nr, (long[]){a0, a1, a2, a3, a4, a5});
}

/* Results that must be 0 or an errno are forced to be one. */
static int checked_status(long untrusted_result)
{
    return untrusted_result <= 0 && untrusted_result > -4096 ? (int)untrusted_result : -LINUX_EIO;
}

int ocall_status(uint64_t op, long a0, long a1, long a2, long a3)
{
    return checked_status(ocall(op, a0, a1, a2, a3, 0, 0));
}

int ocall_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    size_t mark = bounce_mark();
    void *untrusted_out = bounce_alloc(4 * sizeof(*out));
    int status = untrusted_out ? checked_status(ocall(VIGIL_OCALL_CPUID, leaf, subleaf, (long)untrusted_out, 0, 0, 0)) : -LINUX_ENOMEM;

    if (!status)
        untrusted_read(out, untrusted_out, 4 * sizeof(*out));
    bounce_release(mark);
    return status;
}

int ocall_protect(uint64_t address, uint64_t length, int prot)
{
    return checked_status(ocall(VIGIL_OCALL_PROTECT, (long)address, (long)length, prot, 0, 0, 0));
}

int ocall_thread_create(uint32_t slot)
{
    return checked_status(ocall(VIGIL_OCALL_THREAD_CREATE, slot, 0, 0, 0, 0, 0));
}

int ocall_watch(int sig, int how)
{
    return checked_status(ocall(VIGIL_OCALL_WATCH, sig, how, 0, 0, 0, 0));
}

void kick(uint32_t slot)
{
    ocall(VIGIL_OCALL_KICK, slot, 0, 0, 0, 0, 0);
}

void bounce_reset(void)
{
    tcb_current()->bounce_used = 0;
}

void *bounce_alloc(size_t size)
{
    struct tcb *t = tcb_current();
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > t->bounce_size - t->bounce_used)
        return NULL;
    void *p = (void *)(t->bounce + t->bounce_used);
    t->bounce_used += rounded;
    return p;
}

size_t bounce_left(void)
{
    struct tcb *t = tcb_current();
    return t->bounce_size - t->bounce_used;
}

size_t bounce_mark(void)
{
    return tcb_current()->bounce_used;
}

void bounce_release(size_t mark)
{
    tcb_current()->bounce_used = mark;
}

uint64_t untrusted_events_take(void)
{
    uint64_t *untrusted_pending = &tcb_current()->shared->pending;

    if (!__atomic_load_n(untrusted_pending, __ATOMIC_SEQ_CST)) /* most often; the exchange locks the bus */
        return 0;
    return __atomic_exchange_n(untrusted_pending, 0, __ATOMIC_SEQ_CST) & ~1ull;
}

static uint32_t exiting;

_Noreturn void ocall_exit(int wait_status)
{
    if (!__atomic_exchange_n(&exiting, 1, __ATOMIC_SEQ_CST))
        enclave_print_exit_lines();
    for (;;)
        ocall(VIGIL_OCALL_EXIT, wait_status, 0, 0, 0, 0, 0);
}

_Noreturn void runtime_fail(const char *why)
{
    struct tcb *t = tcb_current();
    log_set_level(VIGIL_LOG_ERROR);
    if (t->shared)
        log_line(VIGIL_LOG_ERROR, "%s", why);
    for (;;)
        ocall(VIGIL_OCALL_FAIL, 2, 0, 0, 0, 0, 0);
}
