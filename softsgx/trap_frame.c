/* SPDX-License-Identifier: Apache-2.0
 *
 * The signal frame as the register file of the processor. Extended state is used in place: cpu.xsave points into the
 * frame, which is a standard-format XSAVE image. */
#include "softsgx/trap.h"

#include <string.h>

#define FRAME_SW_BYTES 464
#define FRAME_MAGIC1   0x46505853u

struct frame_sw_bytes { uint32_t magic1, extended_size; uint64_t xfeatures; uint32_t xstate_size; };

static const uint8_t greg_of[SGX_GPR_COUNT] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* NPTL's internal signals (cancellation, setxid). Their handlers use TLS and are not ours to wrap, so they wait for the
 * end of enclave mode: the next AEX or EEXIT. */
#define LIBC_SIGNALS (1ull << (32 - 1) | 1ull << (33 - 1))

static void load_xstate(struct sgx_cpu *cpu, const ucontext_t *uc)
{
    struct frame_sw_bytes sw;

    cpu->xsave = uc->uc_mcontext.fpregs;
    memcpy(&sw, (const uint8_t *)cpu->xsave + FRAME_SW_BYTES, sizeof(sw));
    if (sw.magic1 != FRAME_MAGIC1) {
        sw.xfeatures = SGX_XFRM_LEGACY;
        sw.xstate_size = SGX_XSAVE_HEADER;
    }
    cpu->xsave_size = sw.xstate_size;
    if (!cpu->enclave_mode)
        cpu->xcr0 = sw.xfeatures;
}

void sgx_trap_load(struct trap_thread *t, const ucontext_t *uc)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    struct sgx_cpu *cpu = &t->cpu;

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        cpu->gpr[i] = (uint64_t)g[greg_of[i]];
    cpu->rip = (uint64_t)g[REG_RIP];
    cpu->rflags = (uint64_t)g[REG_EFL];
    /* Stepping is invisible, and POPF cannot set TF in an opt-out enclave. */
    if (cpu->enclave_mode && (t->step.active || t->step.over || !cpu->dbgoptin))
        cpu->rflags &= ~(uint64_t)TRAP_FL_TF;
    load_xstate(cpu, uc);
}

static void store_mask(struct trap_thread *t, ucontext_t *uc)
{
    uint64_t mask;

    if (t->mask_held == t->cpu.enclave_mode || (!t->mask_held && sgx_fast_in_use()))
        return;
    memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
    if (t->cpu.enclave_mode) {
        t->saved_mask = mask;
        mask |= LIBC_SIGNALS;
    } else {
        mask = (mask & ~LIBC_SIGNALS) | (t->saved_mask & LIBC_SIGNALS);
    }
    memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
    t->mask_held = t->cpu.enclave_mode;
}

void sgx_trap_store(struct trap_thread *t, ucontext_t *uc)
{
    greg_t *g = uc->uc_mcontext.gregs;
    const struct sgx_cpu *cpu = &t->cpu;

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        g[greg_of[i]] = (greg_t)cpu->gpr[i];
    g[REG_RIP] = (greg_t)cpu->rip;
    g[REG_EFL] = (greg_t)cpu->rflags;
    if (cpu->enclave_mode && (t->step.active || t->step.over))
        g[REG_EFL] |= TRAP_FL_TF;
    store_mask(t, uc);
    sgx_fast_update(t);
}
