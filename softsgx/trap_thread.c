/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads of the processor: one arena of aligned slots, each with the thread's state and its alternate signal stack.
 * Slots are reused and never unmapped, so that counters survive their threads. */
#include "softsgx/trap.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cpuid.h>

#define HWCAP2_FSGSBASE_BIT (1ul << 1)
#define CPUID_1_OSXSAVE (1u << 27)

_Static_assert(offsetof(struct trap_thread, cpu) == 0, "trap_entry.S");
_Static_assert(offsetof(struct sgx_cpu, fsbase) == TRAP_FSBASE, "trap_entry.S");
_Static_assert(offsetof(struct sgx_cpu, gsbase) == TRAP_GSBASE, "trap_entry.S");
_Static_assert(offsetof(struct sgx_cpu, enclave_mode) == TRAP_ENCLAVE_MODE, "trap_entry.S");
_Static_assert(offsetof(struct sgx_cpu, saved_fsbase) == TRAP_SAVED_FSBASE, "trap_entry.S");
_Static_assert(offsetof(struct sgx_cpu, saved_gsbase) == TRAP_SAVED_GSBASE, "trap_entry.S");
_Static_assert(offsetof(struct trap_thread, fast.host_bases) == TRAP_HOST_BASES, "trap_entry.S");
_Static_assert(offsetof(struct trap_thread, fast.entering) == TRAP_FAST_ENTERING, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.frame_ok) == TRAP_FAST_FRAME_OK, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.cssa) == TRAP_FAST_CSSA, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.entry) == TRAP_FAST_ENTRY, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.inside) == TRAP_FAST_INSIDE, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.tcs) == TRAP_FAST_TCS, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.rcx) == TRAP_FAST_RCX, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.target) == TRAP_FAST_TARGET, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.fsbase) == TRAP_FAST_FSBASE, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.gsbase) == TRAP_FAST_GSBASE, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, stat[STAT_EENTER]) == TRAP_STAT_EENTER, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, stat[STAT_EEXIT]) == TRAP_STAT_EEXIT, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, stat[STAT_EDECCSSA]) == TRAP_STAT_EDECCSSA, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.rsp) == TRAP_FAST_RSP, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.xcr0) == TRAP_FAST_XCR0, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.tcs) == TRAP_AGAIN_TCS, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.aep) == TRAP_AGAIN_AEP, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.enclave) == TRAP_AGAIN_ENCLAVE, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.page) == TRAP_AGAIN_PAGE, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.gpr) == TRAP_AGAIN_GPR, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.entry) == TRAP_AGAIN_ENTRY, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.xfrm) == TRAP_AGAIN_XFRM, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.changes) == TRAP_AGAIN_CHANGES, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.again.dbgoptin) == TRAP_AGAIN_DBGOPTIN, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.return_to) == TRAP_RETURN_TO, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, fast.next_return) == TRAP_NEXT_RETURN, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, step.active) == TRAP_STEP_ACTIVE, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, step.over) == TRAP_STEP_OVER, "trap_fast.S");
_Static_assert(offsetof(struct trap_thread, tick_parked) == TRAP_TICK_PARKED, "trap_fast.S");
_Static_assert(offsetof(struct sgx_cpu, xcr0) == TRAP_XCR0 && offsetof(struct sgx_cpu, saved_xcr0) == TRAP_SAVED_XCR0, "trap_fast.S");
_Static_assert(offsetof(struct sgx_cpu, enclave) == TRAP_ENCLAVE && offsetof(struct sgx_cpu, tcs) == TRAP_TCS, "trap_fast.S");
_Static_assert(offsetof(struct sgx_cpu, dbgoptin) == TRAP_DBGOPTIN && offsetof(struct sgx_cpu, saved_tf) == TRAP_SAVED_TF,
               "trap_fast.S");
_Static_assert(offsetof(struct sgx_cpu, epoch) == TRAP_EPOCH, "trap_fast.S");
_Static_assert(SGX_TCS_ACTIVE == 1u << TCS_ACTIVE_BIT, "trap_fast.S");
_Static_assert(offsetof(struct sgx_gprsgx, ursp) == GPR_URSP && offsetof(struct sgx_gprsgx, urbp) == GPR_URBP, "trap_fast.S");
_Static_assert(offsetof(struct sgx_tcs, cssa) == TCS_CSSA && offsetof(struct sgx_tcs, aep) == TCS_AEP, "trap_fast.S");
_Static_assert(offsetof(struct sgx_tcs, state) == 0 && SGX_TCS_INACTIVE == TCS_INACTIVE, "trap_fast.S");
_Static_assert(offsetof(ucontext_t, uc_mcontext.gregs[REG_EFL]) == TRAP_UC_EFLAGS, "trap_entry.S");
_Static_assert(sizeof(struct trap_thread) <= SGX_PAGE_SIZE, "the state fits its page");

static __thread struct trap_thread *self __attribute__((tls_model("initial-exec")));
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned slots_used;
static pthread_key_t exit_key;

struct trap_thread *sgx_trap_self(void)
{
    return self;
}

static struct trap_thread *slot_at(unsigned i)
{
    return (struct trap_thread *)(sgx_trap_arena + (uint64_t)i * TRAP_SLOT_SIZE);
}

static void unregister_thread(void *arg)
{
    (void)arg;
    softsgx_thread_exit();
}

int sgx_trap_create_arena(void)
{
    char *p = mmap(NULL, TRAP_ARENA_SIZE + TRAP_SLOT_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0);

    if (p == MAP_FAILED)
        return -errno;
    if (pthread_key_create(&exit_key, unregister_thread)) {
        munmap(p, TRAP_ARENA_SIZE + TRAP_SLOT_SIZE);
        return -EAGAIN;
    }
    sgx_trap_arena = ((uint64_t)p + TRAP_SLOT_SIZE - 1) & -(uint64_t)TRAP_SLOT_SIZE;
    return 0;
}

void sgx_trap_each_thread(void (*fn)(struct trap_thread *t))
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < slots_used; i++)
        if (slot_at(i)->in_use)
            fn(slot_at(i));
    pthread_mutex_unlock(&lock);
}

bool sgx_trap_others_registered(void)
{
    bool others = false;

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < slots_used; i++)
        others |= slot_at(i)->in_use && slot_at(i) != self;
    pthread_mutex_unlock(&lock);
    return others;
}

/* The lowest free slot, mapped and clean except for the counters. */
static int take_slot(struct trap_thread **out)
{
    struct trap_thread *t = NULL;
    uint64_t stat[STAT_COUNT];
    unsigned i = 0;

    while (i < slots_used && slot_at(i)->in_use)
        i++;
    if (i == TRAP_SLOTS)
        return -EAGAIN;
    t = slot_at(i);
    if (i == slots_used) {
        if (mprotect(t, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE) ||
            mprotect((char *)t + TRAP_SLOT_STACK, TRAP_SLOT_SIZE - TRAP_SLOT_STACK, PROT_READ | PROT_WRITE))
            return -errno;
        __atomic_store_n(&slots_used, i + 1, __ATOMIC_RELEASE);
    }
    memcpy(stat, t->stat, sizeof(stat));
    memset(t, 0, sizeof(*t));
    memcpy(t->stat, stat, sizeof(stat));
    t->fast.host_bases = true;
    *out = t;
    return 0;
}

static uint64_t machine_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int register_thread(void)
{
    struct trap_thread *t = NULL;
    stack_t stack;
    int ret = take_slot(&t);

    if (ret)
        return ret;
    t->tid = (pid_t)syscall(SYS_gettid);
    ret = sgx_trap_map_thread();
    if (!ret)
        ret = sgx_trap_tick_create(t);
    if (ret)
        return ret;
    stack = (stack_t){ .ss_sp = (char *)t + TRAP_SLOT_STACK, .ss_size = TRAP_SLOT_SIZE - TRAP_SLOT_STACK };
    if (sigaltstack(&stack, &t->old_stack)) {
        ret = -errno;
        sgx_trap_tick_destroy(t);
        return ret;
    }
    t->tick_parked = true;
    t->fast.xcr0 = machine_xcr0();
    t->in_use = true;
    self = t;
    return 0;
}

/* No signal between the pieces of a registration: a handler of ours must find all of it or nothing. */
static void block_all(sigset_t *old)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, old);
}

int softsgx_thread_init(void)
{
    sigset_t old;
    int ret;

    if (self)
        return 0;
    if (!sgx_trap_arena)
        return -EPERM; /* softsgx_process_init comes first */
    block_all(&old);
    pthread_mutex_lock(&lock);
    ret = register_thread();
    pthread_mutex_unlock(&lock);
    if (!ret)
        pthread_setspecific(exit_key, self);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ret;
}

void softsgx_thread_exit(void)
{
    struct trap_thread *t = self;
    sigset_t old;

    if (!t)
        return;
    block_all(&old);
    pthread_mutex_lock(&lock);
    if (!sigaltstack(&t->old_stack, NULL)) { /* fails on the alternate stack itself: then the thread stays registered */
        sgx_trap_tick_destroy(t);
        t->in_use = false;
        self = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (!self)
        pthread_setspecific(exit_key, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

bool softsgx_in_enclave(void)
{
    return self && self->cpu.enclave_mode;
}

void softsgx_get_stats(struct softsgx_stats *out)
{
    unsigned used = __atomic_load_n(&slots_used, __ATOMIC_ACQUIRE);
    uint64_t sum[STAT_COUNT] = {0};

    for (unsigned i = 0; i < used; i++)
        for (int s = 0; s < STAT_COUNT; s++)
            sum[s] += __atomic_load_n(&slot_at(i)->stat[s], __ATOMIC_RELAXED);
    *out = (struct softsgx_stats){
        .eenter = sum[STAT_EENTER],
        .eresume = sum[STAT_ERESUME],
        .eresume_notify = sum[STAT_ERESUME_NOTIFY],
        .eexit = sum[STAT_EEXIT],
        .edeccssa = sum[STAT_EDECCSSA],
        .aex = sum[STAT_AEX_INTERRUPT] + sum[STAT_AEX_EXCEPTION],
        .aex_interrupt = sum[STAT_AEX_INTERRUPT],
        .aex_exception = sum[STAT_AEX_EXCEPTION],
        .ticks = sum[STAT_TICKS],
    };
}

int softsgx_process_init(void)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    static bool done;
    uint32_t eax, ebx, ecx, edx;
    int ret = 0;

    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) || !__get_cpuid(1, &eax, &ebx, &ecx, &edx) ||
        !(ecx & CPUID_1_OSXSAVE))
        return -ENOSYS;
    pthread_mutex_lock(&once);
    if (!done) {
        if (!sgx_trap_arena)
            ret = sgx_trap_create_arena();
        if (!ret)
            ret = sgx_trap_install();
        if (!ret)
            sgx_set_mapping_ops(&sgx_trap_mapping);
        done = !ret;
    }
    pthread_mutex_unlock(&once);
    return ret;
}
