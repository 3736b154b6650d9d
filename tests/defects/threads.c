/* SPDX-License-Identifier: Apache-2.0
 *
 * D2, D9: a TCS that one thread after the other lives in. */
#include "tests/defects/defects.h"

#include <string.h>

#define AEXS_A_LIFE 15

static struct {
    uint64_t tcs, lives;
    bool stepping, was_aex;
    unsigned aexs;
    uint64_t at, interruptions;
} now;

static uint64_t interruptions(uint64_t tcs)
{
    struct tcb t;

    lab_read(tcs - VIGIL_GS_TCS, &t, sizeof(t));
    return t.notifications - t.exceptions; /* the program's own system calls trap, which is an exception */
}

static void same_tcs(const struct softsgx_boundary *b)
{
    if (now.lives++ && b->tcs != now.tcs)
        lab_fail("thread %lu lives in TCS 0x%lx, not in 0x%lx again: nothing is tested", now.lives, b->tcs, now.tcs);
    now.tcs = b->tcs;
}

/* ---- D2 -------------------------------------------------------------------------------------------------------------
 * The flaw was: a flag that the first thread's end sets and nobody clears; later threads are armed until their first
 * AEX. So there are many in each life, from the very first instruction of the application on, and each must be
 * notified. */
static enum softsgx_action step_life(void *arg, const struct softsgx_boundary *b)
{
    enum lab_where where = lab_where(b);

    (void)arg;
    if (now.was_aex) {
        if (b->entered && where != LAB_STAGE1)
            lab_fail("life %lu, AEX %lu of the application: not notified", now.lives, now.aexs, 0);
        now.was_aex = false;
    }
    if (where != LAB_APPLICATION)
        return SOFTSGX_GO;
    if (now.aexs && interruptions(b->tcs) != now.interruptions + now.aexs)
        lab_fail("life %lu: %lu of %lu AEXs were notified", now.lives, interruptions(b->tcs) - now.interruptions,
                 now.aexs);
    if (lab_armed(b->tcs) != 1)
        lab_fail("life %lu: not armed at 0x%lx, after %lu AEXs", now.lives, b->rip, now.aexs);
    if (now.aexs >= AEXS_A_LIFE)
        return SOFTSGX_RUN;
    if (b->rip == now.at) { /* it was interrupted a moment ago */
        now.at = 0;
        return SOFTSGX_GO;
    }
    if (now.lives > 1 && now.aexs && lab_options.planted)
        lab_arming(false);
    now.at = b->rip;
    now.aexs++;
    now.was_aex = true;
    lab_count[0]++;
    return SOFTSGX_AEX;
}

static enum softsgx_action born(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    same_tcs(b);
    now.aexs = 0;
    now.at = 0;
    now.was_aex = false;
    now.interruptions = interruptions(b->tcs);
    softsgx_step(step_life, NULL);
    return SOFTSGX_GO;
}

static void ready_d2(void)
{
    lab_break_at(lab.thread_entry, born);
}

int d2(void)
{
    memset(&now, 0, sizeof(now));
    int failed = lab_check(&(struct lab_run){.path = "threads", .ready = ready_d2});
    defects_looked_at = lab_count[0];
    return failed;
}

/* ---- D9 -------------------------------------------------------------------------------------------------------------
 * The flaw was: a field of the host's thread that nobody initialises. Here each thread leaves a fault that was never
 * delivered and a signal that was never seen behind, and the enclave's side of both; the next must not meet them. */
static void leave_behind(uint64_t tcs)
{
    struct host_thread *thread = host_current;
    struct sgx_gprsgx gpr;
    uint64_t at = tcs - VIGIL_GS_TCS + VIGIL_GS_GPR0;

    thread->claim = SIGSEGV;
    /* A kick, which is nobody's: what is left of real signals is passed on to the process. */
    __atomic_or_fetch(&thread->shared.pending, 1, __ATOMIC_SEQ_CST);
    lab_read(at, &gpr, sizeof(gpr));
    gpr.exitinfo = SGX_EXITINFO_VALID | SGX_EXIT_HARDWARE << 8 | SGX_VEC_GP;
    lab_write(at, &gpr, sizeof(gpr));
}

static enum softsgx_action dying(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->tcs == now.tcs)
        leave_behind(b->tcs);
    return SOFTSGX_GO;
}

static enum softsgx_action born_again(void *arg, const struct softsgx_boundary *b)
{
    struct host_thread *thread = host_current;
    struct sgx_gprsgx gpr;
    struct sgx_tcs tcs;

    (void)arg;
    same_tcs(b);
    if (now.lives > 1 && lab_options.planted)
        thread->claim = SIGSEGV;
    lab_read(b->tcs - VIGIL_GS_TCS + VIGIL_GS_GPR0, &gpr, sizeof(gpr));
    lab_read(b->tcs, &tcs, 64);
    if (thread->claim || thread->shared.pending)
        lab_fail("life %lu begins with the fault %lu and the mailbox 0x%lx of the life before", now.lives,
                 thread->claim, thread->shared.pending);
    if (gpr.exitinfo & SGX_EXITINFO_VALID)
        lab_fail("life %lu begins with EXITINFO 0x%lx of the life before", now.lives, gpr.exitinfo, 0);
    if (b->cssa || tcs.cssa || gpr.aexnotify)
        lab_fail("life %lu begins with CSSA %lu, AEXNOTIFY %lu", now.lives, b->cssa, gpr.aexnotify);
    lab_count[0]++;
    return SOFTSGX_GO;
}

static void ready_d9(void)
{
    lab_break_at(lab.thread_entry, born_again);
    lab_break_at(lab.thread_leave, dying);
}

int d9(void)
{
    for (int legacy = 0; legacy < 2; legacy++) {
        memset(&now, 0, sizeof(now));
        if (lab_check(&(struct lab_run){.path = "threads", .flags = legacy ? LAB_LEGACY : 0, .ready = ready_d9}))
            return 1;
        defects_looked_at += lab_count[0];
    }
    return 0;
}
