/* SPDX-License-Identifier: Apache-2.0
 *
 * What a signal means to the processor: an ENCLU, a single step, a breakpoint, an exception or an interrupt. Runs with
 * the host's FS and GS, on the thread's alternate stack, with all signals blocked. */
#include "softsgx/trap.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- leaving the enclave ---- */

static void aex(struct trap_thread *t, ucontext_t *uc, const struct sgx_event *event)
{
    sgx_trap_count(t, event->vector < 0 ? STAT_AEX_INTERRUPT : STAT_AEX_EXCEPTION);
    t->step.patch_pushf = false;
    sgx_aex(&t->cpu, event);
    sgx_trap_store(t, uc);
}

static void aex_interrupt(struct trap_thread *t, ucontext_t *uc)
{
    aex(t, uc, &(struct sgx_event){ .vector = -1 });
}

static int signal_of(int vector)
{
    switch (vector) {
    case SGX_VEC_DE: case SGX_VEC_MF: case SGX_VEC_XM:
        return SIGFPE;
    case SGX_VEC_DB: case SGX_VEC_BP:
        return SIGTRAP;
    case SGX_VEC_UD:
        return SIGILL;
    case SGX_VEC_AC: case TRAP_VEC_NP: case TRAP_VEC_SS:
        return SIGBUS;
    default:
        return SIGSEGV;
    }
}

static int code_of(int vector)
{
    switch (vector) {
    case SGX_VEC_UD:
        return ILL_ILLOPN;
    case SGX_VEC_DB:
        return TRAP_BRKPT;
    case SGX_VEC_PF:
        return SEGV_ACCERR;
    default:
        return SI_KERNEL;
    }
}

/* The frame and siginfo as the kernel would have made them for this exception. native: it did. */
static int rewrite(siginfo_t *info, ucontext_t *uc, int vector, uint32_t error_code, uint64_t address, int native)
{
    greg_t *g = uc->uc_mcontext.gregs;
    int sig = native ? native : signal_of(vector);

    if (!native) {
        *info = (siginfo_t){0};
        info->si_signo = sig;
        info->si_code = code_of(vector);
    }
    g[REG_TRAPNO] = vector;
    g[REG_ERR] = error_code;
    if (vector == SGX_VEC_PF) {
        g[REG_CR2] = (greg_t)address;
        info->si_addr = (void *)address;
    } else if (info->si_code != SI_KERNEL) {
        info->si_addr = (void *)g[REG_RIP];
    }
    return sig;
}

static void report_unhandled(const struct trap_thread *t, const struct sgx_event *event, int sig)
{
    if (sgx_trap_handled(sig))
        return;
    sgx_trap_message("exception in an enclave and no handler for its signal: vector %, error code %, RIP %; "
                     "install a handler with softsgx_sigaction",
                     (uint64_t)event->vector, event->error_code, t->cpu.rip);
    if (event->vector == SGX_VEC_PF)
        sgx_trap_message("the page fault's address: %, TCS: %, enclave: %", event->address, t->cpu.tcs,
                         sgx_enclave_base(t->cpu.enclave));
}

/* A page fault that the kernel resolves, by EAUG, or cannot for want of EPC. The first is an AEX that no handler hears of. */
static bool kernel_fault(struct trap_thread *t, siginfo_t *info, ucontext_t *uc, const struct sgx_event *event)
{
    bool no_memory;

    if (sgx_augment_fault(t->cpu.enclave, event->address, event->error_code, &no_memory)) {
        aex(t, uc, event);
        return true;
    }
    if (!no_memory)
        return false;
    report_unhandled(t, event, SIGBUS);
    aex(t, uc, event);
    *info = (siginfo_t){ .si_signo = SIGBUS, .si_code = BUS_ADRERR };
    rewrite(info, uc, event->vector, event->error_code, t->cpu.cr2, SIGBUS);
    sgx_trap_deliver(SIGBUS, info, uc, false);
    return true;
}

/* native: the signal that the kernel raised for this very exception, 0 if it raised something else. */
static void exception(struct trap_thread *t, siginfo_t *info, ucontext_t *uc, const struct sgx_event *event, int native)
{
    int sig = native ? native : signal_of(event->vector);

    if (event->vector == SGX_VEC_PF && kernel_fault(t, info, uc, event))
        return;
    report_unhandled(t, event, sig);
    aex(t, uc, event);
    rewrite(info, uc, event->vector, event->error_code, t->cpu.cr2, native);
    sgx_trap_deliver(sig, info, uc, false);
}

/* A fault outside enclave mode that the kernel did not raise itself. */
static void host_fault(siginfo_t *info, ucontext_t *uc, const struct sgx_fault *fault)
{
    int sig = rewrite(info, uc, fault->vector, fault->error_code, fault->address, 0);

    if (!sgx_trap_handled(sig))
        sgx_trap_message("ENCLU refused or EPC executed outside enclave mode: vector %, RIP %, RBX %; "
                         "no handler for its signal", fault->vector, (uint64_t)uc->uc_mcontext.gregs[REG_RIP],
                         (uint64_t)uc->uc_mcontext.gregs[REG_RBX]);
    sgx_trap_deliver(sig, info, uc, false);
}

/* Outside enclave mode EPC is no code. Its fetch is reported as a fault on the address. */
static void abort_page(siginfo_t *info, ucontext_t *uc)
{
    struct sgx_fault fault = { SGX_VEC_PF, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_I | SGX_PFEC_SGX,
                               (uint64_t)uc->uc_mcontext.gregs[REG_RIP] };

    host_fault(info, uc, &fault);
}

/* ---- going on inside ---- */

/* Enclave mode, in front of the instruction at cpu.rip: stepping has its say, then the frame returns there. */
static void go_on(struct trap_thread *t, ucontext_t *uc, bool entered)
{
    enum softsgx_action action;

    if (t->step.active) {
        action = sgx_trap_boundary(t, uc, entered);
        if (action == SOFTSGX_AEX || action == SOFTSGX_AEX_RUN) {
            aex_interrupt(t, uc);
            return;
        }
    }
    sgx_trap_store(t, uc);
}

static void entered(struct trap_thread *t, siginfo_t *info, ucontext_t *uc)
{
    if (t->tick_parked)
        sgx_trap_tick_arm(t);
    if (t->cpu.pending_db)
        exception(t, info, uc, &(struct sgx_event){ .vector = SGX_VEC_DB }, 0);
    else
        go_on(t, uc, true);
}

static void left(struct trap_thread *t, siginfo_t *info, ucontext_t *uc)
{
    sgx_trap_store(t, uc);
    if (t->cpu.pending_db)
        host_fault(info, uc, &(struct sgx_fault){ .vector = SGX_VEC_DB });
    else if (sgx_enclave_at(t->cpu.rip))
        abort_page(info, uc);
}

static void count_leaf(struct trap_thread *t, uint32_t leaf)
{
    switch (leaf) {
    case SGX_EENTER:
        sgx_trap_count(t, STAT_EENTER);
        break;
    case SGX_ERESUME:
        sgx_trap_count(t, STAT_ERESUME);
        if (t->cpu.notified)
            sgx_trap_count(t, STAT_ERESUME_NOTIFY);
        break;
    case SGX_EEXIT:
        sgx_trap_count(t, STAT_EEXIT);
        break;
    case SGX_EDECCSSA:
        sgx_trap_count(t, STAT_EDECCSSA);
        break;
    }
}

static void enclu(struct trap_thread *t, siginfo_t *info, ucontext_t *uc)
{
    bool was_inside = t->cpu.enclave_mode;
    uint32_t leaf = (uint32_t)t->cpu.gpr[SGX_RAX];
    struct sgx_fault fault;

    t->cpu.rflags &= ~(uint64_t)TRAP_FL_RF; /* of the #UD that brought us here, not the program's */
    if (!sgx_enclu(&t->cpu, &fault)) {
        if (was_inside)
            exception(t, info, uc, &(struct sgx_event){ fault.vector, fault.error_code, fault.address }, 0);
        else
            host_fault(info, uc, &fault);
        return;
    }
    sgx_fast_skip(t);
    count_leaf(t, leaf);
    if (!was_inside)
        entered(t, info, uc);
    else if (t->cpu.enclave_mode)
        go_on(t, uc, false);
    else
        left(t, info, uc);
}

/* ---- inside ---- */

static bool in_elrange(const struct trap_thread *t)
{
    return t->cpu.rip - sgx_enclave_base(t->cpu.enclave) < sgx_enclave_size(t->cpu.enclave);
}

/* On silicon an instruction fetch outside ELRANGE is #GP. We learn of it at the next trap, whatever that is; a signal
 * somebody sent is put back for afterwards. */
static void strayed(struct trap_thread *t, int sig, siginfo_t *info, ucontext_t *uc, enum trap_kind kind)
{
    struct sgx_event event = { .vector = SGX_VEC_GP };

    if (kind == KIND_INTERRUPT && sig != sgx_trap_tick_signal())
        syscall(SYS_rt_tgsigqueueinfo, getpid(), t->tid, sig, info);
    exception(t, info, uc, &event, 0);
}

static void interrupted(struct trap_thread *t, int sig, siginfo_t *info, ucontext_t *uc)
{
    bool ours = sig == sgx_trap_tick_signal(), tick = ours && info->si_code == SI_TIMER; /* else softsgx's own IPI */

    if (tick && !sgx_trap_ticking()) { /* left over from before the ticks were turned off */
        sgx_trap_store(t, uc);
        return;
    }
    if (tick)
        sgx_trap_count(t, STAT_TICKS);
    aex_interrupt(t, uc);
    if (!ours)
        sgx_trap_deliver(sig, info, uc, false);
}

static void trap_inside(struct trap_thread *t, int sig, siginfo_t *info, ucontext_t *uc)
{
    struct sgx_event event = {0};
    uint64_t over = t->step.over;
    enum trap_kind kind = sgx_trap_classify(t, sig, info, uc, &event);
    bool native;

    if (over && over == t->step.over && kind != KIND_OVER)
        sgx_trap_break_again(t);

    if (kind != KIND_INTERRUPT && kind != KIND_OVER) /* the stepped instruction is over, or has been interrupted for good */
        sgx_trap_unpatch_pushf(t, kind == KIND_STEP);
    if (!in_elrange(t)) {
        strayed(t, sig, info, uc, kind);
        return;
    }
    switch (kind) {
    case KIND_ENCLU:
        enclu(t, info, uc);
        break;
    case KIND_STEP:
    case KIND_CONTINUE:
        go_on(t, uc, false);
        break;
    case KIND_OVER:
        sgx_trap_store(t, uc);
        break;
    case KIND_BREAK_AEX:
        aex_interrupt(t, uc);
        break;
    case KIND_INTERRUPT:
        interrupted(t, sig, info, uc);
        break;
    case KIND_EXCEPTION:
        native = sig != SIGSYS && event.vector == uc->uc_mcontext.gregs[REG_TRAPNO];
        exception(t, info, uc, &event, native ? sig : 0);
        break;
    }
}

/* ---- outside enclave mode ---- */

static void trap_outside(struct trap_thread *t, int sig, siginfo_t *info, ucontext_t *uc)
{
    greg_t vector = uc->uc_mcontext.gregs[REG_TRAPNO];
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    bool fetch = vector == SGX_VEC_PF && (uc->uc_mcontext.gregs[REG_ERR] & SGX_PFEC_I);

    if (sig == sgx_trap_tick_signal()) {
        if (!t->fast.entering)
            sgx_trap_tick_park(t);
        return;
    }
    if (!sgx_trap_synchronous(sig, info)) {
        sgx_trap_deliver(sig, info, uc, false);
        return;
    }
    if (sig == SIGSYS)
        rip = (uint64_t)info->si_call_addr - 2;
    if (sgx_enclave_at(rip)) {
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)rip;
        abort_page(info, uc);
        return;
    }
    if ((vector == SGX_VEC_UD || vector == SGX_VEC_GP || vector == SGX_VEC_PF) && !fetch && sig != SIGSYS &&
        sgx_trap_is_enclu(NULL, rip)) {
        sgx_trap_load(t, uc);
        enclu(t, info, uc);
        return;
    }
    sgx_trap_deliver(sig, info, uc, sig != SIGTRAP && sig != SIGSYS);
}

void sgx_trap(int sig, siginfo_t *info, ucontext_t *uc, struct trap_thread *t)
{
    int saved_errno = errno;

    sig = sgx_fast_settle(t, sig, info, uc);
    if (t->cpu.enclave_mode) {
        sgx_trap_load(t, uc);
        trap_inside(t, sig, info, uc);
    } else {
        trap_outside(t, sig, info, uc);
    }
    errno = saved_errno;
}

void sgx_trap_unregistered(int sig, siginfo_t *info, ucontext_t *uc)
{
    int saved_errno = errno;
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];

    if (sig == sgx_trap_tick_signal())
        return;
    if (sig == SIGILL && sgx_trap_synchronous(sig, info) && !sgx_trap_handled(sig) && sgx_trap_is_enclu(NULL, rip))
        sgx_trap_message("ENCLU at % in a thread that has not called softsgx_thread_init", rip, 0, 0);
    sgx_trap_deliver(sig, info, uc, sgx_trap_synchronous(sig, info) && sig != SIGTRAP && sig != SIGSYS);
    errno = saved_errno;
}
