/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 1: what to do about an AEX, decided at CSSA=1 while SSA[0] is stable. Runs on its own stack, from the top each
 * time, and keeps nothing there. It can be single-stepped itself (SSA[1].AEXNOTIFY is 0), so whether the AEX hit the
 * application or the restartable resume must not show in a branch. Documented in docs/aex-notify.md. */
#include "enclave/internal.h"

/* One bit set: the interrupted code was inside the restartable resume. */
static uint64_t in_resume(uint64_t rip)
{
    return (rip - (uint64_t)resume_begin) < (uint64_t)resume_end - (uint64_t)resume_begin;
}

/* The application's context is SSA[0], or, if the resume was interrupted, the checkpoint that is already there.
 * Selected word by word with masks: same instructions and addresses either way. */
static void roll_back(struct tcb *t, const struct sgx_gprsgx *gpr, uint64_t inside)
{
    const uint64_t keep = -inside;
    const uint64_t *from = (const uint64_t *)gpr;
    volatile uint64_t *to = (volatile uint64_t *)&t->ckpt;

    for (unsigned i = 0; i < 18; i++)   /* rax .. r15, rflags, rip: asserted in offsets.c */
        to[i] = (to[i] & keep) | (from[i] & ~keep);
    volatile uint64_t *fsbase = &t->ckpt.fsbase;
    *fsbase = (*fsbase & keep) | (gpr->fsbase & ~keep);
}

/* A fault at an instruction that may fault (copies from and to application memory) continues at its fixup. Anything
 * else that the processor reports is a bug of the runtime, and it stops with a report. */
static enum stage1_action stage1_in_runtime(struct tcb *t, struct sgx_gprsgx *gpr, uint32_t untrusted_claim)
{
    bool valid = gpr->exitinfo & SGX_EXITINFO_VALID;
    uint8_t vector = SGX_EXITINFO_VECTOR(gpr->exitinfo);

    /* Without EXINFO the processor does not report page faults. Believing the host here costs no more than a copy
     * that ends with EFAULT, which the host can cause anyway. */
    if (!valid && !(untrusted_claim == LINUX_SIGSEGV || untrusted_claim == LINUX_SIGBUS))
        return STAGE1_EEXIT;
    if (valid && (vector == SGX_VEC_BP || vector == SGX_VEC_DB) && !untrusted_claim)
        return STAGE1_EEXIT;
    uint64_t fixup = exception_fixup(gpr->rip);
    if (fixup) {
        gpr->rip = fixup;
        gpr->exitinfo = 0;
        t->runtime_fixups++;
        return STAGE1_EEXIT;
    }
    if (!valid)
        return STAGE1_EEXIT;
    t->event.exitinfo = gpr->exitinfo;
    t->event.untrusted_claim = untrusted_claim;
    t->event.rip = gpr->rip;
    t->event.exinfo = *tcb_exinfo0(t);
    gpr->exitinfo = 0;
    gpr->rip = (uint64_t)runtime_fault_entry;
    gpr->rsp = (uint64_t)t + VIGIL_GS_KSTACK_TOP;
    gpr->rflags = 2;
    return STAGE1_EEXIT;
}

/* Leaves SSA[0] so that the plain ERESUME which follows the EEXIT starts stage 2 in runtime mode. */
static enum stage1_action deliver_legacy(struct tcb *t, struct sgx_gprsgx *gpr)
{
    gpr->rip = (uint64_t)stage2_legacy_entry;
    gpr->rsp = (uint64_t)t + VIGIL_GS_KSTACK_TOP;
    gpr->rflags = 2;
    return STAGE1_EEXIT;
}

enum stage1_action stage1(uint32_t untrusted_claim)
{
    struct tcb *t = tcb_current();
    struct sgx_gprsgx *gpr = tcb_gpr0(t);

    if (!(gpr->aexnotify & SGX_AEXNOTIFY_ON))
        return stage1_in_runtime(t, gpr, untrusted_claim);

    uint64_t inside = in_resume(gpr->rip);
    uint64_t rip = gpr->rip;
    roll_back(t, gpr, inside);
    t->notifications++;
    t->coalesced += inside;
    t->exceptions += gpr->exitinfo >> 31;
    t->stub_due = 1;

    bool valid = gpr->exitinfo & SGX_EXITINFO_VALID;
    /* A fault inside the region is the application's only at the final jump, which goes where the application said. */
    if (valid && inside && rip != (uint64_t)resume_final_jump) {
        gpr->exitinfo = 0;
        valid = false;
    }
    bool claimed_fault = untrusted_claim == LINUX_SIGSEGV || untrusted_claim == LINUX_SIGBUS;
    bool blind_fault = !valid && claimed_fault && !exinfo_on();
    bool deliver = valid || blind_fault || __atomic_load_n(&t->shared->pending, __ATOMIC_RELAXED);
    deliver |= t->upcall_wanted; /* whether `inside` or not */

    if (!deliver)
        return aex_notify_on() ? STAGE1_RESUME : STAGE1_EEXIT;

    t->event.exitinfo = valid ? gpr->exitinfo : 0;
    t->event.untrusted_claim = untrusted_claim;
    t->event.exinfo = *tcb_exinfo0(t);
    t->delivered++;
    gpr->exitinfo = 0;
    gpr->aexnotify = 0;
    return aex_notify_on() ? STAGE1_DELIVER : deliver_legacy(t, gpr);
}
