/* SPDX-License-Identifier: Apache-2.0
 *
 * From a signal in enclave mode to the architectural event. Linux reports some of them behind the instruction, or as
 * another vector than an enclave sees; here RIP and vector become the enclave's. */
#include "softsgx/trap.h"

#include <errno.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

#define VEC_OF 4
#define INT1  0xf1
#define INT_N 0xcd

bool sgx_trap_synchronous(int sig, const siginfo_t *info)
{
    switch (sig) {
    case SIGILL: case SIGSEGV: case SIGFPE: case SIGTRAP:
        return info->si_code > 0;
    case SIGBUS:
        return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
    case SIGSYS:
        return info->si_code == SYS_SECCOMP || info->si_code == SYS_USER_DISPATCH;
    default:
        return false;
    }
}

static uint8_t code_before(const struct trap_thread *t, unsigned distance)
{
    uint8_t byte = 0;

    sgx_trap_code(t->cpu.enclave, t->cpu.rip - distance, &byte, 1);
    return byte;
}

/* INT3 and INT1 are fault-like in an enclave, and #UD unless a debugger has opted in. length: of what RIP is behind;
 * some hypervisors report INT1 with RIP still on it. */
static enum trap_kind debug_instruction(struct trap_thread *t, struct sgx_event *event, int vector, unsigned length)
{
    t->cpu.rip -= length;
    event->vector = t->cpu.dbgoptin ? vector : SGX_VEC_UD;
    return KIND_EXCEPTION;
}

/* INT n through a gate that user mode may use: the kernel reports it behind the instruction. */
static enum trap_kind software_interrupt(struct trap_thread *t, struct sgx_event *event)
{
    if (code_before(t, 2) == INT_N) {
        t->cpu.rip -= 2;
        event->vector = SGX_VEC_UD;
    }
    return KIND_EXCEPTION;
}

static enum trap_kind classify_trap(struct trap_thread *t, const siginfo_t *info, ucontext_t *uc,
                                    struct sgx_event *event)
{
    enum trap_kind kind;

    if (event->vector == SGX_VEC_BP) {
        if (code_before(t, 2) == INT_N && code_before(t, 1) == SGX_VEC_BP)
            return software_interrupt(t, event);
        if (sgx_trap_break(t, uc, t->cpu.rip - 1, &kind))
            return kind;
        return debug_instruction(t, event, SGX_VEC_BP, 1);
    }
    if (info->si_code == TRAP_TRACE)
        return t->step.active || t->step.over || !t->cpu.dbgoptin ? KIND_STEP : KIND_EXCEPTION;
    if (info->si_code == TRAP_BRKPT && (code_before(t, 1) == INT1 || code_before(t, 0) == INT1))
        return debug_instruction(t, event, SGX_VEC_DB, code_before(t, 1) == INT1);
    return KIND_EXCEPTION;
}

static enum trap_kind classify_fault(struct trap_thread *t, struct sgx_event *event)
{
    uint8_t code[15];
    unsigned n = sgx_trap_code(t->cpu.enclave, t->cpu.rip, code, sizeof(code));

    if (event->vector != SGX_VEC_PF && sgx_trap_illegal_inside(code, n)) {
        event->vector = SGX_VEC_UD;
        event->error_code = 0;
    }
    if (event->vector == SGX_VEC_PF)
        event->error_code = sgx_pf_error_code(t->cpu.enclave, event->address, event->error_code);
    return KIND_EXCEPTION;
}

/* A trapped system call. RCX and R11 are gone, as after any SYSCALL. */
static enum trap_kind system_call(struct trap_thread *t, const siginfo_t *info, struct sgx_event *event)
{
    t->cpu.rip = (uint64_t)info->si_call_addr - 2;
    t->cpu.gpr[SGX_R11] &= ~(uint64_t)TRAP_FL_TF;
    *event = (struct sgx_event){ .vector = SGX_VEC_UD };
    return KIND_EXCEPTION;
}

enum trap_kind sgx_trap_classify(struct trap_thread *t, int sig, const siginfo_t *info, ucontext_t *uc,
                                 struct sgx_event *event)
{
    const greg_t *g = uc->uc_mcontext.gregs;

    if (!sgx_trap_synchronous(sig, info)) {
        event->vector = -1;
        return KIND_INTERRUPT;
    }
    if (sig == SIGSYS)
        return system_call(t, info, event);
    *event = (struct sgx_event){ (int)g[REG_TRAPNO], (uint32_t)g[REG_ERR], (uint64_t)g[REG_CR2] };
    switch (event->vector) {
    case SGX_VEC_UD: case SGX_VEC_GP: case SGX_VEC_PF: /* the last two on processors that know ENCLU */
        if (sgx_trap_is_enclu(t->cpu.enclave, t->cpu.rip))
            return KIND_ENCLU;
        return classify_fault(t, event);
    case TRAP_VEC_NP: case TRAP_VEC_SS:
        return classify_fault(t, event);
    case VEC_OF:
        return software_interrupt(t, event);
    case SGX_VEC_DB: case SGX_VEC_BP:
        return classify_trap(t, info, uc, event);
    default:
        return KIND_EXCEPTION;
    }
}
