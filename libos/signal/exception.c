/* SPDX-License-Identifier: Apache-2.0
 *
 * The application's hardware exceptions become the signals Linux would send, with the same information. What the
 * processor reports is believed; the host's claim only decides whether it resolved the exception already. */
#include "libos/signal/signal.h"
#include "libos/process/process.h"
#include "libos/rewrite/rewrite.h"

#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/mman.h>

#define SPURIOUS_MAX 8
#define MXCSR_MASK_SHIFT 7

static void fill(struct siginfo_image *info, int sig, int code, uint64_t address)
{
    signal_init_image(info, sig, code);
    if (code != SI_KERNEL)
        info->fault.address = address;
}

static void force(int sig, int code, uint64_t address)
{
    struct siginfo_image info;

    fill(&info, sig, code, address);
    signal_force(&info);
}

/* ---- floating point ---------------------------------------------------------------------------------------------- */
/* Unmasked exception bits (x87 and SSE have them in the same places) to si_code, in Linux's order; 0: none. */
static int fp_code(uint32_t bits)
{
    if (bits & 0x01)
        return FPE_FLTINV;
    if (bits & 0x04)
        return FPE_FLTDIV;
    if (bits & 0x08)
        return FPE_FLTOVF;
    if (bits & 0x12) /* denormal operand, underflow */
        return FPE_FLTUND;
    if (bits & 0x20)
        return FPE_FLTRES;
    return 0;
}

static void fp_exception(const struct checkpoint *regs, uint8_t vector)
{
    struct signal_state *s = current_thread()->signals;
    uint16_t fcw, fsw;
    uint32_t mxcsr;

    xstate_save(s->xarea);
    memcpy(&fcw, s->xarea + SGX_XSAVE_FCW, sizeof(fcw));
    memcpy(&fsw, s->xarea + SGX_XSAVE_FSW, sizeof(fsw));
    memcpy(&mxcsr, s->xarea + SGX_XSAVE_MXCSR, sizeof(mxcsr));
    int code = fp_code(vector == SGX_VEC_MF ? fsw & ~(uint32_t)fcw : mxcsr & ~(mxcsr >> MXCSR_MASK_SHIFT));
    if (code)
        force(SIGFPE, code, regs->rip);
}

/* ---- page faults ------------------------------------------------------------------------------------------------- */
static bool access_allowed(int prot, uint32_t error_code)
{
    if (prot < 0)
        return false;
    if (error_code & SGX_PFEC_W)
        return prot & PROT_WRITE;
    if (error_code & SGX_PFEC_I)
        return prot & PROT_EXEC;
    return prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* The address space allows the access, so the host's page table is at fault. Ask for the page a few times, then give up
 * as Linux does when a page cannot be brought in. */
static bool spurious_fault(struct signal_state *s, uint64_t page, int prot)
{
    if (s->fault_page != page)
        s->fault_count = 0;
    s->fault_page = page;
    if (s->fault_count++ >= SPURIOUS_MAX) {
        s->fault_count = 0;
        return false;
    }
    /* With dynamic memory it is the EPCM that has the rights. */
    int error = ocall_protect(page, VIGIL_PAGE, edmm_on() ? PROT_READ | PROT_WRITE | PROT_EXEC : prot);
    if (error)
        log_line(VIGIL_LOG_DEBUG, "the host does not give access to page 0x%lx: error %d", (unsigned long)page, -error);
    return true;
}

static int access_of(uint32_t error_code)
{
    return error_code & SGX_PFEC_W ? PROT_WRITE : error_code & SGX_PFEC_I ? PROT_EXEC : PROT_READ;
}

/* The access is the program's to make. True if the page is there, or will be asked for again; false: it cannot be had. */
static bool resolve(const struct exception *exc, uint64_t page, int prot)
{
    int added = mm_fault(exc->address, access_of(exc->error_code));

    if (added < 0) {
        log_line(VIGIL_LOG_ERROR, "no enclave memory for page 0x%lx, which the program may access: SIGBUS; give the machine "
                 "more EPC or the program less to do", (unsigned long)page);
        return false;
    }
    if (added || !exc->untrusted_claim || spurious_fault(current_thread()->signals, page, prot))
        return true;
    log_line(VIGIL_LOG_ERROR, "the host withholds page 0x%lx, which the program may access: SIGBUS; the host is out of enclave "
             "memory or hostile", (unsigned long)page);
    return false;
}

/* What Linux would have put into the signal frame: whether SGX is involved, or a page is pending, it does not know. */
static uint32_t linux_error_code(const struct exception *exc)
{
    uint32_t code = (exc->error_code & ~SGX_PFEC_SGX) | SGX_PFEC_U;

    if (edmm_on() && !(user_range_ok((void *)exc->address, 1) && page_present(exc->address)))
        code &= ~SGX_PFEC_P;
    return code;
}

static void page_fault(const struct exception *exc)
{
    struct signal_state *s = current_thread()->signals;
    uint64_t page = exc->address & ~(uint64_t)(VIGIL_PAGE - 1);
    int prot = mm_prot_at(exc->address);
    bool allowed = access_allowed(prot, exc->error_code);

    if (allowed && resolve(exc, page, prot))
        return;
    s->trapno = SGX_VEC_PF;
    s->error_code = linux_error_code(exc);
    s->cr2 = exc->address;
    if (edmm_on() && !allowed)
        libos_stray(exc->address);
    if (allowed)
        force(SIGBUS, BUS_ADRERR, exc->address);
    else
        force(SIGSEGV, prot < 0 ? SEGV_MAPERR : SEGV_ACCERR, exc->address);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */
static void set_trap(const struct exception *exc)
{
    struct signal_state *s = current_thread()->signals;

    s->trapno = exc->vector;
    s->error_code = exc->vector == SGX_VEC_GP && exc->has_exinfo ? exc->error_code : 0;
}

/* Breakpoints are suppressed in an enclave that was not opened to a debugger: INT3 is #UD there. To the program it is
 * the breakpoint it wrote. */
static bool is_int3(const struct checkpoint *regs)
{
    uint8_t code;
    return !copy_from_user(&code, (const void *)regs->rip, 1) && code == 0xcc;
}

void libos_exception(struct checkpoint *regs, const struct exception *original)
{
    struct exception exception = *original, *exc = &exception;

    if (exc->vector == SGX_VEC_UD && rewrite_resume(regs->rip) != regs->rip)
        return; /* in the middle of a jump that has taken a SYSCALL's place: libos_return knows where to go on */
    if (exc->vector == SGX_VEC_UD && cpuid_emulate(regs))
        return;
    if (exc->vector == SGX_VEC_UD && is_int3(regs))
        exc->vector = SGX_VEC_BP;
    bool traps = exc->vector == SGX_VEC_BP || exc->vector == SGX_VEC_DB;

    current_thread()->regs = regs;
    if (traps && !exc->untrusted_claim)
        return; /* a debugger took it */
    if (exc->vector == SGX_VEC_PF) {
        if (exc->has_exinfo)
            page_fault(exc);
        else /* the host's word alone: there is no address */
            force(exc->untrusted_claim == SIGBUS ? SIGBUS : SIGSEGV, SI_KERNEL, 0);
        return;
    }
    set_trap(exc);
    switch (exc->vector) {
    case SGX_VEC_DE:
        force(SIGFPE, FPE_INTDIV, regs->rip);
        break;
    case SGX_VEC_DB:
        force(SIGTRAP, TRAP_TRACE, regs->rip);
        break;
    case SGX_VEC_BP:
        regs->rip++; /* SGX reports the address of the int3, Linux that behind it */
        force(SIGTRAP, SI_KERNEL, 0);
        break;
    case SGX_VEC_UD:
        force(SIGILL, ILL_ILLOPN, regs->rip);
        break;
    case SGX_VEC_MF:
    case SGX_VEC_XM:
        fp_exception(regs, exc->vector);
        break;
    case SGX_VEC_AC:
        force(SIGBUS, BUS_ADRALN, 0);
        break;
    case SGX_VEC_GP:
    case SGX_VEC_BR:
        force(SIGSEGV, SI_KERNEL, 0);
        break;
    default:
        log_line(VIGIL_LOG_WARNING, "the processor reports exception %u, which no program should cause: SIGSEGV",
                 exc->vector);
        force(SIGSEGV, SI_KERNEL, 0);
    }
}
