/* SPDX-License-Identifier: Apache-2.0
 *
 * What to do with a signal: emulate an ENCLU, leave the enclave by an AEX, step, or hand it to the embedder. Runs on the
 * thread's alternate stack with every signal blocked. */
#include "softsgx/trap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define RFLAGS_TF (1ll << 8)
#define HWCAP2_FSGSBASE 2ul

extern void trap_entry(int sig, siginfo_t *info, void *uc);
void trap_handle(int sig, siginfo_t *info, void *context, struct trap_slot *slot);

struct softsgx_stats trap_stats;
static softsgx_handler handlers[_NSIG];
static const int faults[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP, SIGSYS};

void trap_count(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static bool is_fault_signal(int sig)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (faults[i] == sig)
            return true;
    return false;
}

/* The embedder's handler, or what the kernel would do without one. */
static void deliver(int sig, siginfo_t *info, ucontext_t *uc)
{
    softsgx_handler handler = __atomic_load_n(&handlers[sig], __ATOMIC_ACQUIRE);

    if (handler) {
        handler(sig, info, uc);
        return;
    }
    if (sig == TRAP_TICK_SIGNAL)
        return;
    char line[128];
    int n = snprintf(line, sizeof(line), "softsgx: signal %d at 0x%llx and no handler for it\n", sig,
                     (unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
    if (write(STDERR_FILENO, line, (size_t)n) != n)
        errno = 0;
    sigset_t only;
    signal(sig, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, sig);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    _exit(128 + sig);
}

void trap_aex(struct trap_slot *slot, ucontext_t *uc, const struct sgx_event *event)
{
    trap_load(slot, uc);
    sgx_aex(&slot->cpu, event);
    trap_store(slot, uc);
    trap_count(&trap_stats.aex);
    trap_count(event->vector < 0 ? &trap_stats.aex_interrupt : &trap_stats.aex_exception);
}

static void count_leaf(uint32_t leaf, bool notified)
{
    switch (leaf) {
    case SGX_EENTER: trap_count(&trap_stats.eenter); break;
    case SGX_EEXIT: trap_count(&trap_stats.eexit); break;
    case SGX_EDECCSSA: trap_count(&trap_stats.edeccssa); break;
    case SGX_ERESUME:
        trap_count(&trap_stats.eresume);
        if (notified)
            trap_count(&trap_stats.eresume_notify);
        break;
    default: break;
    }
}

/* Linux delivers a fault of ENCLU as SIGSEGV (#GP, #PF) or SIGILL (#UD), with RIP on it or, after an AEX, on the AEP. */
static void deliver_leaf_fault(const struct sgx_fault *fault, ucontext_t *uc)
{
    siginfo_t info;
    int sig = fault->vector == SGX_VEC_UD ? SIGILL : SIGSEGV;

    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = fault->vector == SGX_VEC_PF ? SEGV_ACCERR : fault->vector == SGX_VEC_UD ? ILL_ILLOPN : SI_KERNEL;
    info.si_addr = (void *)(fault->address & ~0xfffull);
    uc->uc_mcontext.gregs[REG_TRAPNO] = fault->vector;
    uc->uc_mcontext.gregs[REG_ERR] = (greg_t)fault->error_code;
    uc->uc_mcontext.gregs[REG_CR2] = (greg_t)(fault->address & ~0xfffull);
    deliver(sig, &info, uc);
}

static void emulate_enclu(struct trap_slot *slot, ucontext_t *uc)
{
    struct sgx_fault fault;

    trap_load(slot, uc);
    bool was_inside = slot->cpu.enclave_mode;
    uint32_t leaf = (uint32_t)slot->cpu.gpr[SGX_RAX];
    if (!sgx_enclu(&slot->cpu, &fault)) {
        if (was_inside) {
            struct sgx_event event = {fault.vector, fault.error_code, fault.address};
            trap_aex(slot, uc, &event);
        }
        deliver_leaf_fault(&fault, uc);
        return;
    }
    count_leaf(leaf, slot->cpu.notified);
    trap_store(slot, uc);
    if (!slot->cpu.enclave_mode)
        return;
    if (!was_inside)
        trap_tick_entering(slot);
    trap_before_instruction(slot, uc);
}

/* A signal in enclave mode that is neither ours nor a step: the enclave is left, then the host hears of it. */
static void leave_enclave(struct trap_slot *slot, int sig, siginfo_t *info, ucontext_t *uc, bool is_fault)
{
    struct sgx_event event = {.vector = -1};
    siginfo_t seen = *info;

    if (is_fault)
        event = trap_event(slot, sig, uc);
    trap_aex(slot, uc, &event);
    if (sig == TRAP_TICK_SIGNAL) {
        trap_count(&trap_stats.ticks);
        return;
    }
    if (is_fault && event.vector == SGX_VEC_PF) {
        seen.si_addr = (void *)slot->cpu.cr2;
        uc->uc_mcontext.gregs[REG_CR2] = (greg_t)slot->cpu.cr2;
    } else if (is_fault && event.vector == SGX_VEC_UD) {
        sig = SIGILL;
        memset(&seen, 0, sizeof(seen));
        seen.si_signo = SIGILL;
        seen.si_code = ILL_ILLOPN;
        seen.si_addr = (void *)uc->uc_mcontext.gregs[REG_RIP];
    }
    deliver(sig, &seen, uc);
}

void trap_handle(int sig, siginfo_t *info, void *context, struct trap_slot *slot)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    int saved_errno = errno;
    /* A signal that somebody sent (si_code <= 0) is an interrupt, whatever its number. */
    bool is_fault = info->si_code > 0 && is_fault_signal(sig);

    if (!slot) {
        deliver(sig, info, uc);
    } else if (is_fault && (sig == SIGILL || (sig == SIGSEGV && regs[REG_TRAPNO] == SGX_VEC_GP)) &&
               trap_is_enclu((uint64_t)regs[REG_RIP])) {
        emulate_enclu(slot, uc);
    } else if (!slot->cpu.enclave_mode) {
        if (sig == TRAP_TICK_SIGNAL)
            trap_tick_outside(slot);
        else if (is_fault && sig == SIGTRAP && regs[REG_TRAPNO] == SGX_VEC_DB && !handlers[SIGTRAP])
            regs[REG_EFL] &= ~RFLAGS_TF;
        else
            deliver(sig, info, uc);
    } else if (is_fault && sig == SIGTRAP && regs[REG_TRAPNO] == SGX_VEC_DB) {
        trap_before_instruction(slot, uc);
    } else if (!(is_fault && sig == SIGTRAP && regs[REG_TRAPNO] == SGX_VEC_BP && trap_breakpoint(slot, uc))) {
        leave_enclave(slot, sig, info, uc, is_fault);
    }
    errno = saved_errno;
}

int trap_install(int sig)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = trap_entry;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigfillset(&action.sa_mask);
    return sigaction(sig, &action, NULL) ? -errno : 0;
}

int softsgx_sigaction(int sig, softsgx_handler handler)
{
    if (sig <= 0 || sig >= _NSIG || sig == SIGKILL || sig == SIGSTOP || sig == SIGSYS || sig == TRAP_TICK_SIGNAL)
        return -EINVAL;
    __atomic_store_n(&handlers[sig], handler, __ATOMIC_RELEASE);
    if (handler || is_fault_signal(sig))
        return trap_install(sig);
    return signal(sig, SIG_DFL) == SIG_ERR ? -errno : 0;
}

int softsgx_process_init(void)
{
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
        return -ENOSYS;
    int status = trap_arena_init();
    sgx_set_mapping_ops(&trap_mapping_ops);
    for (size_t i = 0; !status && i < sizeof(faults) / sizeof(faults[0]); i++)
        status = trap_install(faults[i]);
    return status ? status : trap_install(TRAP_TICK_SIGNAL);
}

void softsgx_get_stats(struct softsgx_stats *out)
{
    const uint64_t *from = (const uint64_t *)&trap_stats;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
