/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 2: the C side of entering runtime mode. CSSA=0, ARMED 0, kernel stack from its top, the checkpoint is the
 * application's register file. Every function here returns to resume_begin (entry.S). */
#include "enclave/internal.h"
#include "enclave/notify/notify.h"

/* Is the instruction at rip `syscall` (0F 05)? The bytes are application memory. */
static bool at_syscall(uint64_t rip)
{
    uint8_t bytes[2];
    return copy_from_user(bytes, (const void *)rip, sizeof(bytes)) == 0 && bytes[0] == 0x0f && bytes[1] == 0x05;
}

static _Noreturn void die_of_blind_fault(struct tcb *t)
{
    log_line(VIGIL_LOG_ERROR,
             "memory fault at 0x%lx, but the manifest has no sgx.use_exinfo = true: the processor does not report page "
             "faults to this enclave and the host's word is not believed; set it to have faults delivered "
             "(or sgx.insecure__allow_memfaults_without_exinfo = true to believe the host)",
             t->ckpt.rip);
    ocall_exit(LINUX_SIGSEGV);
}

/* The processor has not reported a fault and the host says there was one. Only who asked for it believes that
 * (sgx.insecure__allow_memfaults_without_exinfo), and then without an address. */
static void blind_fault(struct tcb *t)
{
    struct exception exception = {.vector = SGX_VEC_PF, .untrusted_claim = t->event.untrusted_claim};

    if (!(config()->flags & VIGIL_FLAG_BLIND_FAULTS))
        die_of_blind_fault(t);
    libos_exception(&t->ckpt, &exception);
}

static void system_call(struct tcb *t, struct checkpoint *regs)
{
    uint64_t exits = t->stats.eexit;

    notify_policy_syscall(t, regs->rax);
    t->system_calls++;
    libos_syscall(regs);
    t->inside_calls += t->stats.eexit == exits;
    libos_return(regs, true);
}

void runtime_stage2(void)
{
    struct tcb *t = tcb_current();
    struct checkpoint *regs = &t->ckpt;
    uint32_t exitinfo = t->event.exitinfo;

    if (t->event.tripped)
        notify_policy_act(t, t->event.tripped);
    if (t->event.probe)
        probe_faulted(t, t->event.probe - 1);
    if (!(exitinfo & SGX_EXITINFO_VALID)) {
        if (!exinfo_on() && (t->event.untrusted_claim == LINUX_SIGSEGV || t->event.untrusted_claim == LINUX_SIGBUS))
            blind_fault(t);
        libos_return(regs, false);
        return;
    }
    struct exception exception = {
        .vector = SGX_EXITINFO_VECTOR(exitinfo),
        .untrusted_claim = t->event.untrusted_claim,
    };
    if (exception.vector == SGX_VEC_UD && at_syscall(regs->rip)) {
        regs->rip += 2;
        regs->rcx = regs->rip;
        regs->r11 = regs->rflags;
        libos_syscall_trapped(regs->rip - 2);
        system_call(t, regs);
        return;
    }
    if (exinfo_on() && (exception.vector == SGX_VEC_PF || exception.vector == SGX_VEC_GP)) {
        exception.has_exinfo = true;
        exception.address = t->event.exinfo.maddr;
        exception.error_code = t->event.exinfo.errcd;
    }
    libos_exception(regs, &exception);
    libos_return(regs, false);
}

/* The mailbox was not empty when the resume looked. */
void runtime_events(void)
{
    libos_return(&tcb_current()->ckpt, false);
}

uint64_t syscall_gate_address(void)
{
    return (uint64_t)syscall_gate;
}

void runtime_gate_syscall(void)
{
    system_call(tcb_current(), &tcb_current()->ckpt);
}

_Noreturn void runtime_fault(void)
{
    struct tcb *t = tcb_current();
    static const char *const names[] = {[0] = "#DE", [1] = "#DB", [3] = "#BP", [5] = "#BR", [6] = "#UD", [13] = "#GP",
                                        [14] = "#PF", [16] = "#MF", [17] = "#AC", [19] = "#XM"};
    uint32_t vector = SGX_EXITINFO_VECTOR(t->event.exitinfo);
    const char *name = vector < sizeof(names) / sizeof(names[0]) && names[vector] ? names[vector] : "exception";
    log_line(VIGIL_LOG_ERROR, "%s in the runtime at offset 0x%lx, address 0x%lx", name,
             t->event.rip - boot_info()->elf_base, exinfo_on() ? t->event.exinfo.maddr : 0);
    if (vector == SGX_VEC_PF && exinfo_on() && !outside_enclave((void *)t->event.exinfo.maddr, 1))
        runtime_fail("the host has taken a page of the enclave away, or this is a bug in Vigil");
    runtime_fail("a fault inside the enclave runtime: this is a bug in Vigil, please report the line above");
}
