/* SPDX-License-Identifier: Apache-2.0
 *
 * Hardware exceptions of the application, as the signals Linux makes of them. */
#include "libos/signal/signal.h"

#include <linux/mman.h>

#define MAX_RESOLVED 8

/* FPE_* from the flags of MXCSR (#XM) or of the x87 status word (#MF): what is raised and not masked. */
static int fpe_code(struct signal_state *s, uint8_t vector)
{
    uint32_t raised;

    xstate_save(s->xsave);
    const char *area = s->xsave;
    if (vector == SGX_VEC_XM) {
        uint32_t mxcsr = *(const uint32_t *)(area + SGX_XSAVE_MXCSR);
        raised = mxcsr & ~(mxcsr >> 7) & 0x3f;
    } else {
        raised = *(const uint16_t *)(area + SGX_XSAVE_FSW) & ~*(const uint16_t *)(area + SGX_XSAVE_FCW) & 0x3f;
    }
    if (raised & 1)
        return FPE_FLTINV;
    if (raised & 4)
        return FPE_FLTDIV;
    if (raised & 8)
        return FPE_FLTOVF;
    if (raised & 0x12)
        return FPE_FLTUND;
    if (raised & 0x20)
        return FPE_FLTRES;
    return 0;
}

static bool access_allowed(int prot, uint32_t error_code)
{
    if (prot < 0)
        return false;
    if (error_code & SGX_PFEC_I)
        return prot & PROT_EXEC;
    if (error_code & SGX_PFEC_W)
        return prot & PROT_WRITE;
    return prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* A fault on memory that is mapped and allows the access. If the host says nothing, it has resolved it (paging): go on.
 * If it claims a fault, its page table is behind ours: bring it up to date; a host that does not follow gets a SIGBUS. */
static void resolved_fault(struct signal_state *s, const struct exception *e, int prot)
{
    uint64_t page = e->address & ~(uint64_t)(VIGIL_PAGE - 1);

    if (!e->untrusted_claim)
        return;
    s->resolved_times = s->resolved_at == page ? s->resolved_times + 1 : 1;
    s->resolved_at = page;
    if (s->resolved_times > MAX_RESOLVED) {
        signal_force(SIGBUS, BUS_ADRERR, e->address);
        return;
    }
    ocall_protect(page, VIGIL_PAGE, prot);
}

static void page_fault(struct signal_state *s, const struct exception *e)
{
    int prot = mm_prot_at(e->address);

    if (access_allowed(prot, e->error_code)) {
        resolved_fault(s, e, prot);
        return;
    }
    s->cr2 = e->address;
    s->error_code = e->error_code & ~SGX_PFEC_SGX;
    s->trapno = SGX_VEC_PF;
    signal_force(SIGSEGV, prot < 0 ? SEGV_MAPERR : SEGV_ACCERR, e->address);
}

static void note_cpuid(uint64_t rip)
{
    uint8_t code[2];
    if (!copy_from_user(code, (void *)rip, 2) && code[0] == 0x0f && code[1] == 0xa2)
        log_line(VIGIL_LOG_WARNING, "the program executed CPUID, which is illegal in an enclave and not emulated yet");
}

void libos_exception(struct checkpoint *regs, const struct exception *e)
{
    struct signal_state *s = current_thread()->signals;

    if (e->vector == SGX_VEC_PF) {
        page_fault(s, e);
        return;
    }
    /* A debugger consumed it. */
    if ((e->vector == SGX_VEC_BP || e->vector == SGX_VEC_DB) && !e->untrusted_claim)
        return;
    s->trapno = e->vector;
    s->error_code = e->has_exinfo ? e->error_code : 0;
    switch (e->vector) {
    case SGX_VEC_DE:
        signal_force(SIGFPE, FPE_INTDIV, regs->rip);
        break;
    case SGX_VEC_MF:
    case SGX_VEC_XM:
        signal_force(SIGFPE, fpe_code(s, e->vector), regs->rip);
        break;
    case SGX_VEC_UD:
        note_cpuid(regs->rip);
        signal_force(SIGILL, ILL_ILLOPN, regs->rip);
        break;
    case SGX_VEC_BP:
        regs->rip += 1;   /* inside an enclave INT3 is a fault, to a program it is a trap */
        signal_force(SIGTRAP, SI_KERNEL, 0);
        break;
    case SGX_VEC_DB:
        signal_force(SIGTRAP, TRAP_TRACE, regs->rip);
        break;
    case SGX_VEC_AC:
        signal_force(SIGBUS, BUS_ADRALN, 0);
        break;
    default:
        signal_force(SIGSEGV, SI_KERNEL, 0);
        break;
    }
}
