/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads as the enclave sees them: thread blocks, parking, stack canaries. */
#include "enclave/edmm.h"

#include <asm/unistd_64.h>

#define CANARY 0x7669676c63616e61ull
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

uint32_t threads_inside = 1;

struct checkpoint *current_regs(void)
{
    return &tcb_current()->ckpt;
}

struct thread *current_thread(void)
{
    return tcb_current()->thread;
}

void set_current_thread(struct thread *thread)
{
    tcb_current()->thread = thread;
}

uint32_t current_slot(void)
{
    return tcb_current()->slot;
}

static uint64_t *canary_at(struct tcb *t, int gs_offset)
{
    return (uint64_t *)((char *)t + gs_offset);
}

void stacks_arm_canaries(struct tcb *t)
{
    for (int i = 0; i < CANARY_WORDS; i++) {
        canary_at(t, VIGIL_GS_KSTACK_LOW)[i] = CANARY;
        canary_at(t, VIGIL_GS_S1STACK_LOW)[i] = CANARY;
    }
}

void stacks_check_canaries(struct tcb *t)
{
    for (int i = 0; i < CANARY_WORDS; i++)
        if (canary_at(t, VIGIL_GS_KSTACK_LOW)[i] != CANARY || canary_at(t, VIGIL_GS_S1STACK_LOW)[i] != CANARY)
            runtime_fail("a runtime stack was overrun: this is a bug in Vigil");
}

/* ---- thread blocks ---- */
static uint32_t dynamic_slots; /* behind the thread_count of the start */
static lock_t dynamic_lock;

uint32_t thread_slots(void)
{
    return (uint32_t)boot_info()->thread_count + __atomic_load_n(&dynamic_slots, __ATOMIC_ACQUIRE);
}

void thread_block_init(uint32_t slot)
{
    struct tcb *t = tcb_of_slot(slot);

    t->self = t;
    t->probe_word = (uint64_t)probe_back;
    t->slot = slot;
    t->xfrm = self_attributes()->xfrm;
    stacks_arm_canaries(t);
    /* XRSTOR wants a zero header; the area is not measured. */
    memset((char *)t + VIGIL_GS_XSAVE, 0, SGX_XSAVE_MIN);
}

/* As the builder makes them (image/layout.c). */
static void fill_tcs(struct sgx_tcs *tcs, const struct tcb *t)
{
    uint64_t offset = (uint64_t)t - boot_info()->base;

    tcs->flags = aex_notify_on() ? SGX_TCS_AEXNOTIFY : 0;
    tcs->ossa = offset + VIGIL_GS_SSA0;
    tcs->nssa = VIGIL_NSSA;
    tcs->oentry = (uint64_t)enclave_entry - boot_info()->base;
    tcs->ofsbase = tcs->ogsbase = offset;
    tcs->fslimit = tcs->gslimit = 0xfff;
}

/* Adds a thread block in the room that is left for it: pages (not the guards in front of the two stacks), then a TCS. 0 or
 * -errno. */
static int add_block(uint32_t slot)
{
    struct tcb *t = tcb_of_slot(slot);
    uint64_t block = (uint64_t)t + VIGIL_GS_BLOCK, tcs = (uint64_t)t + VIGIL_GS_TCS;
    uint64_t stack = block + VIGIL_TB_KSTACK * VIGIL_PAGE, stack_end = stack + VIGIL_KSTACK_PAGES * VIGIL_PAGE;
    struct edmm_ranges page = {.count = 1, .range = {{tcs, VIGIL_PAGE}}};

    if (edmm_add_runtime(stack, stack_end))
        return -LINUX_ENOMEM;
    if (edmm_add_runtime(block + VIGIL_TB_S1STACK * VIGIL_PAGE, block + VIGIL_TB_PAGES * VIGIL_PAGE)) {
        edmm_remove_runtime(stack, stack_end);
        return -LINUX_ENOMEM;
    }
    fill_tcs((struct sgx_tcs *)tcs, t);
    (void)edmm_ask(VIGIL_MEMORY_TCS, 0, &page);
    if (edmm_accept_tcs(tcs))
        runtime_fail("the host did not make a page a TCS that the enclave asked for");
    thread_block_init(slot);
    return 0;
}

static bool grow(void)
{
    bool grown = false;

    if (!edmm_on())
        return false;
    lock(&dynamic_lock);
    if (thread_slots() < boot_info()->thread_limit && !add_block(thread_slots())) {
        grown = true;
        __atomic_add_fetch(&dynamic_slots, 1, __ATOMIC_RELEASE);
    }
    unlock(&dynamic_lock);
    return grown;
}

/* Claims a free thread block. NULL if there is none. */
static struct tcb *claim_free(void)
{
    for (uint32_t i = 0; i < thread_slots(); i++) {
        struct tcb *t = tcb_of_slot(i);
        uint64_t expected = ENTRY_FREE;
        if (__atomic_load_n(&t->entry_state, __ATOMIC_RELAXED) == ENTRY_FREE &&
            __atomic_compare_exchange_n(&t->entry_state, &expected, ENTRY_CLAIMED, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return t;
    }
    return NULL;
}

/* Is a thread on its way out (thread_retire was called, its block is not free yet)? A creator waits for it: the program
 * has already been told that the thread is gone. */
static bool some_leaving(void)
{
    for (uint32_t i = 0; i < thread_slots(); i++) {
        struct tcb *t = tcb_of_slot(i);
        if (__atomic_load_n(&t->leaving, __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

void thread_retire(void)
{
    __atomic_store_n(&tcb_current()->leaving, 1, __ATOMIC_SEQ_CST);
}

int thread_create(struct thread *thread, const struct checkpoint *regs, uint32_t *slot)
{
    struct tcb *t = claim_free();
    while (!t && some_leaving()) {
        ocall_syscall(__NR_sched_yield, 0, 0, 0, 0, 0, 0);
        t = claim_free();
    }
    while (!t && grow())
        t = claim_free(); /* which somebody else may have got before us */
    if (!t)
        return -LINUX_EAGAIN;
    t->ckpt = *regs;
    t->thread = thread;
    t->token = t->parked = t->leaving = 0;
    t->stub_due = t->upcall_wanted = 0;
    tcb_gpr0(t)->exitinfo = 0;
    xstate_save((char *)t + VIGIL_GS_XSAVE);
    *slot = t->slot;
    __atomic_add_fetch(&threads_inside, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->entry_state, ENTRY_START, __ATOMIC_RELEASE);
    int status = ocall_thread_create(t->slot);
    /* A host that says it failed may have entered all the same: then there is a thread. */
    uint64_t expected = ENTRY_START;
    if (!status || !__atomic_compare_exchange_n(&t->entry_state, &expected, ENTRY_FREE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return 0;
    __atomic_sub_fetch(&threads_inside, 1, __ATOMIC_SEQ_CST);
    return status;
}

_Noreturn void thread_exit(void)
{
    struct tcb *t = tcb_current();
    stacks_check_canaries(t);
    t->thread = NULL;
    thread_leave();
}

void park(int64_t timeout_ns)
{
    struct tcb *t = tcb_current();
    struct vigil_shared *shared = t->shared;
    uint32_t untrusted_word = __atomic_load_n(&shared->park, __ATOMIC_SEQ_CST);

    __atomic_store_n(&t->parked, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&t->token, __ATOMIC_SEQ_CST)) {
        struct { int64_t sec, nsec; } timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
        void *untrusted_timeout = NULL;
        size_t mark = bounce_mark();
        if (timeout_ns >= 0) {
            untrusted_timeout = bounce_alloc(sizeof(timeout));
            if (!untrusted_timeout)
                runtime_fail("no OCALL memory left for a timeout");
            untrusted_write(untrusted_timeout, &timeout, sizeof(timeout));
        }
        ocall_syscall_intr(__NR_futex, (long)&shared->park, FUTEX_WAIT, untrusted_word, (long)untrusted_timeout, 0, 0);
        bounce_release(mark);
    }
    __atomic_store_n(&t->parked, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->token, 0, __ATOMIC_SEQ_CST);
}

void unpark(uint32_t slot)
{
    struct tcb *t = tcb_of_slot(slot);
    struct vigil_shared *shared = __atomic_load_n(&t->shared, __ATOMIC_SEQ_CST);

    __atomic_store_n(&t->token, 1, __ATOMIC_SEQ_CST);
    if (!shared || !__atomic_load_n(&t->parked, __ATOMIC_SEQ_CST))
        return;
    __atomic_add_fetch(&shared->park, 1, __ATOMIC_SEQ_CST);
    ocall_syscall(__NR_futex, (long)&shared->park, FUTEX_WAKE, 1, 0, 0, 0);
}
