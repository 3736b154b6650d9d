/* SPDX-License-Identifier: Apache-2.0
 *
 * The signal frame is the register file: GPRs, RIP and RFLAGS from gregs (never from uc_flags), the extended state in
 * place, because the kernel's XSAVE image is already in SSA format. FS and GS bases are not in the frame. */
#include "softsgx/trap.h"

#include <string.h>

#define RFLAGS_TF (1ull << 8)

/* The software-reserved bytes of the legacy area (Linux, struct _fpx_sw_bytes). */
#define SW_RESERVED 464
#define SW_MAGIC 0x46505853u
struct sw_bytes { uint32_t magic1, extended_size; uint64_t xfeatures; uint32_t xstate_size; };

static const int greg_of[SGX_GPR_COUNT] = {
    [SGX_RAX] = REG_RAX, [SGX_RCX] = REG_RCX, [SGX_RDX] = REG_RDX, [SGX_RBX] = REG_RBX,
    [SGX_RSP] = REG_RSP, [SGX_RBP] = REG_RBP, [SGX_RSI] = REG_RSI, [SGX_RDI] = REG_RDI,
    [SGX_R8] = REG_R8, [SGX_R9] = REG_R9, [SGX_R10] = REG_R10, [SGX_R11] = REG_R11,
    [SGX_R12] = REG_R12, [SGX_R13] = REG_R13, [SGX_R14] = REG_R14, [SGX_R15] = REG_R15,
};

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

void trap_load(struct trap_slot *slot, ucontext_t *uc)
{
    struct sgx_cpu *cpu = &slot->cpu;
    const greg_t *regs = uc->uc_mcontext.gregs;
    struct sw_bytes sw;

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        cpu->gpr[i] = (uint64_t)regs[greg_of[i]];
    cpu->rip = (uint64_t)regs[REG_RIP];
    cpu->rflags = (uint64_t)regs[REG_EFL];
    cpu->xsave = uc->uc_mcontext.fpregs;
    memcpy(&sw, (char *)cpu->xsave + SW_RESERVED, sizeof(sw));
    cpu->xsave_size = sw.magic1 == SW_MAGIC ? sw.xstate_size : 512;
    cpu->xcr0 = read_xcr0();
    if (cpu->enclave_mode) {
        cpu->fsbase = slot->fsbase;
        cpu->gsbase = slot->gsbase;
        cpu->rflags &= ~RFLAGS_TF; /* stepping is ours; the enclave never sees it */
    } else {
        __asm__ volatile("rdfsbase %0" : "=r"(cpu->fsbase));
        __asm__ volatile("rdgsbase %0" : "=r"(cpu->gsbase));
    }
}

void trap_store(struct trap_slot *slot, ucontext_t *uc)
{
    const struct sgx_cpu *cpu = &slot->cpu;
    greg_t *regs = uc->uc_mcontext.gregs;

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        regs[greg_of[i]] = (greg_t)cpu->gpr[i];
    regs[REG_RIP] = (greg_t)cpu->rip;
    regs[REG_EFL] = (greg_t)cpu->rflags;
    if (cpu->enclave_mode) {
        if (!slot->in_enclave) {
            __asm__ volatile("rdfsbase %0" : "=r"(slot->host_fsbase));
            __asm__ volatile("rdgsbase %0" : "=r"(slot->host_gsbase));
        }
        slot->fsbase = cpu->fsbase;
        slot->gsbase = cpu->gsbase;
    }
    slot->in_enclave = cpu->enclave_mode;
}
