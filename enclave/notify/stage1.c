/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 1: what to do about an AEX, decided at CSSA=1 while SSA[0] is stable. Runs on its own stack, from the top each
 * time, and keeps nothing there. It can be single-stepped itself (SSA[1].AEXNOTIFY is 0), so whether the AEX hit the
 * application or the restartable resume must not show in a branch. Documented in docs/aex-notify.md. */
#include "enclave/internal.h"
#include "enclave/notify/notify.h"

/* 1 if the interrupted code was inside the restartable resume, the execute probe's RET included. */
static inline uint64_t in_resume(const struct tcb *t, uint64_t rip, uint64_t rsp)
{
    return (uint64_t)(rip - (uint64_t)resume_begin < (uint64_t)resume_end - (uint64_t)resume_begin) |
           (uint64_t)(rsp == (uint64_t)&t->probe_word);
}

/* The zero/one-progress detector and the budget: which limits this AEX has passed. */
static inline uint32_t detect(struct tcb *t, const struct sgx_gprsgx *gpr, uint64_t inside, uint64_t changed)
{
    bool exception = gpr->exitinfo & SGX_EXITINFO_VALID && SGX_EXITINFO_VECTOR(gpr->exitinfo) != SGX_VEC_PF;
    uint64_t counts = notify_policy.counting & -(uint64_t)!exception;
    uint64_t little = (inside | (changed == 0) | (gpr->rip == t->next[0]) | (gpr->rip == t->next[1])) & counts;

    t->little += little;
    t->little_recent += little - (t->history >> 63);
    t->history = t->history << 1 | little;
    t->budget_used += counts & 1;
    return (t->little_recent > notify_policy.step_threshold ? POLICY_STEPPING : 0) |
           (t->budget_used > notify_policy.budget ? POLICY_BUDGET : 0) | (t->slow_run >= SLOW_IN_A_ROW ? POLICY_SLOW : 0);
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
    /* A page fault that the host makes no claim of has been resolved by the kernel (EAUG), and it is an event that brings us
     * here. To execute the instruction again is right in any case: if the page is still not there, it faults again. */
    if (valid && (vector == SGX_VEC_BP || vector == SGX_VEC_DB || vector == SGX_VEC_PF) && !untrusted_claim)
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

    uint64_t rip = gpr->rip, rsp = gpr->rsp, inside = in_resume(t, rip, rsp);
    uint64_t changed = roll_back(&t->ckpt, gpr, inside - 1);
    t->ckpt.fsbase ^= (t->ckpt.fsbase ^ gpr->fsbase) & (inside - 1);
    uint32_t tripped = detect(t, gpr, inside, changed);
    t->notifications += notify_policy.counting & 1;
    t->coalesced += inside & notify_policy.counting;
    t->exceptions += gpr->exitinfo >> 31 & notify_policy.counting;
    t->stub_due = notify_policy.stub_after_aex;

    bool valid = gpr->exitinfo & SGX_EXITINFO_VALID;
    bool claimed_fault = untrusted_claim == LINUX_SIGSEGV || untrusted_claim == LINUX_SIGBUS;
    uint32_t probe = 0;
    /* A fault inside the region is the application's only at the final jump, which goes where the application said.
     * At a probe it may mean that the program has no such access: stage 2 finds out. */
    if ((valid || claimed_fault) && inside && rip != (uint64_t)resume_final_jump) {
        probe = probe_at(t, rip, rsp);
        gpr->exitinfo = 0;
        valid = claimed_fault = false;
    }
    bool blind_fault = !valid && claimed_fault && !exinfo_on();
    bool deliver = valid || blind_fault || probe || tripped || __atomic_load_n(&t->shared->pending, __ATOMIC_RELAXED);
    deliver |= t->upcall_wanted; /* whether `inside` or not */

    if (!deliver && notify_policy.legacy)
        return STAGE1_EEXIT;
    gpr->aexnotify = 0;
    if (!deliver)
        return STAGE1_RESUME;

    t->event.exitinfo = valid ? gpr->exitinfo : 0;
    t->event.untrusted_claim = claimed_fault || valid ? untrusted_claim : 0;
    t->event.exinfo = *tcb_exinfo0(t);
    t->event.probe = probe;
    t->event.tripped = tripped;
    t->delivered++;
    gpr->exitinfo = 0;
    return notify_policy.legacy ? deliver_legacy(t, gpr) : STAGE1_DELIVER;
}
