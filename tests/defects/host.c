/* SPDX-License-Identifier: Apache-2.0
 *
 * D6, D7, D8: what happens on the host's side of an AEX. */
#include "tests/defects/defects.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- D6 -------------------------------------------------------------------------------------------------------------
 * The flaw was: an AEP that never returns to (stage 1 left by EDECCSSA) leaves a flag of the host set for ever. Here
 * the AEP must leave nothing at all: not a byte on the host's stack, nothing recorded, the TCS as it was. One AEX after
 * the other is taken at the same instruction, alone or with a signal, and some in stage 1, where the AEP's EENTER is
 * refused. */
#define AEXS 1500
#define HOST_STACK_LOOKED_AT 16384
#define PATTERN 0xa5

static struct {
    uint64_t passes, aexs, in_stage1, host_rsp;
    bool filled, armed_stage1;
} abandoned;

static void look_at_host_stack(uint64_t rsp)
{
    uint8_t *low = (uint8_t *)rsp - HOST_STACK_LOOKED_AT;

    if (!abandoned.filled) {
        memset(low, PATTERN, HOST_STACK_LOOKED_AT);
        abandoned.filled = true;
    }
    for (unsigned i = 0; i < HOST_STACK_LOOKED_AT; i++)
        if (low[i] != PATTERN)
            lab_fail("AEX %lu: the AEP has written to the host's stack, %lu bytes below RSP", abandoned.aexs,
                     HOST_STACK_LOOKED_AT - i, 0);
}

/* In the application, between two AEXs. */
static void look_at_host(const struct softsgx_boundary *b)
{
    struct host_thread *thread = host_current;
    struct sgx_gprsgx gpr;
    struct sgx_tcs tcs;
    struct tcb t;

    lab_read(b->tcs, &tcs, 64);
    lab_read(b->tcs - VIGIL_GS_TCS, &t, sizeof(t));
    lab_read(b->tcs - VIGIL_GS_TCS + VIGIL_GS_GPR0, &gpr, sizeof(gpr));
    if (tcs.cssa)
        lab_fail("AEX %lu: CSSA is %lu in the application", abandoned.aexs, tcs.cssa, 0);
    if (t.entry_state != ENTRY_RUNNING)
        lab_fail("AEX %lu: the thread's state is %lu", abandoned.aexs, t.entry_state, 0);
    if (thread->claim || thread->shared.pending)
        lab_fail("AEX %lu: the host still has the fault %lu, the mailbox 0x%lx", abandoned.aexs, thread->claim,
                 thread->shared.pending);
    if (!abandoned.host_rsp)
        abandoned.host_rsp = t.untrusted_rsp;
    /* Plant: an AEP with a stack frame, which nobody takes away. */
    if (lab_options.planted && abandoned.aexs == 10)
        ((uint8_t *)abandoned.host_rsp)[-8] = 0;
    if (t.untrusted_rsp != abandoned.host_rsp || (abandoned.aexs > 2 && gpr.ursp != abandoned.host_rsp))
        lab_fail("AEX %lu: the host's RSP is 0x%lx, it was 0x%lx", abandoned.aexs, gpr.ursp, abandoned.host_rsp);
    look_at_host_stack(abandoned.host_rsp);
}

static enum softsgx_action in_stage1(void *arg, const struct softsgx_boundary *b)
{
    struct sgx_gprsgx gpr;

    (void)arg;
    lab_read(b->tcs - VIGIL_GS_TCS + VIGIL_GS_GPR1, &gpr, sizeof(gpr));
    if (abandoned.host_rsp && gpr.ursp != abandoned.host_rsp)
        lab_fail("AEX %lu: stage 1 is entered with the host's RSP 0x%lx, it was 0x%lx", abandoned.aexs, gpr.ursp,
                 abandoned.host_rsp);
    if (!abandoned.armed_stage1)
        return SOFTSGX_GO;
    abandoned.armed_stage1 = false;
    abandoned.in_stage1++;
    lab_signal();
    return SOFTSGX_AEX;
}

static enum softsgx_action at_instruction(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    look_at_host(b);
    if (abandoned.aexs >= AEXS)
        return SOFTSGX_RUN;
    abandoned.armed_stage1 = abandoned.aexs % 3 == 2;
    if (abandoned.aexs++ % 3 == 1)
        lab_signal();
    return SOFTSGX_AEX;
}

static void begin_d6(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (!abandoned.passes++) /* the undisturbed one */
        return;
    lab_last_pass(b);
    lab_break_at(lab_target_symbol("pass_middle"), at_instruction);
    lab_break_at(lab_runtime_symbol("stage1"), in_stage1);
}

static void end_d6(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    if (abandoned.passes == 1)
        return;
    lab_count[0] = abandoned.aexs;
    if (abandoned.in_stage1 != AEXS / 3)
        lab_fail("%lu AEXs were taken in stage 1, not %lu", abandoned.in_stage1, AEXS / 3, 0);
    if (lab_target_word("lab_signals") != AEXS / 3 * 2)
        lab_fail("%lu of %lu signals were delivered", lab_target_word("lab_signals"), AEXS / 3 * 2, 0);
}

int d6(void)
{
    memset(&abandoned, 0, sizeof(abandoned));
    int failed = lab_check(&(struct lab_run){.path = "compute", .begin = begin_d6, .end = end_d6});
    defects_looked_at = lab_count[0];
    return failed;
}

/* ---- D7 -------------------------------------------------------------------------------------------------------------
 * The flaw was: a signal that arrives behind the AEP's look at what is pending and in front of its ERESUME waits for
 * the next AEX, which without ticks never comes. Here a signal arrives in front of each instruction of the AEP in turn
 * (INT3 at its start, then TF), while the program computes and calls nobody. */
static struct {
    uint64_t at, instruction;    /* signal in front of this one */
    uint64_t sent;
    uint8_t original;
    uint64_t passes;
    bool stepping, over;
} aep_plan;

static void host_byte(uint64_t address, uint8_t value)
{
    uint64_t page = address & -(uint64_t)VIGIL_PAGE;

    if (mprotect((void *)page, 2 * VIGIL_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
        lab_fail("the host's code cannot be written", 0, 0, 0);
    *(volatile uint8_t *)address = value;
}

static bool inside(uint64_t rip, const char *begin, const char *end)
{
    return rip >= (uint64_t)begin && rip < (uint64_t)end;
}

/* SIGTRAP outside the enclave. */
static bool in_aep(int sig, siginfo_t *info, ucontext_t *uc)
{
    greg_t *g = uc->uc_mcontext.gregs;

    (void)info;
    if (sig != SIGTRAP)
        return false;
    if (!aep_plan.stepping) {
        g[REG_RIP]--;
        host_byte((uint64_t)g[REG_RIP], aep_plan.original);
        aep_plan.stepping = true;
    }
    uint64_t rip = (uint64_t)g[REG_RIP];
    const uint8_t *code = (const uint8_t *)rip;
    bool enclu = code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xd7;

    g[REG_EFL] &= ~0x100ll;
    if (aep_plan.instruction-- == 0) {
        aep_plan.sent++;
        lab_signal(); /* blocked until this handler returns: then it is in front of this instruction */
        return true;
    }
    if (enclu || !(inside(rip, aep, aep_check_end) || inside(rip, aep_resume, aep_resume_end)))
        aep_plan.over = true; /* that was all of it */
    else
        g[REG_EFL] |= 0x100;
    return true;
}

/* The defect: the handler records the signal and does not make the AEP look again. */
static void record_only(int sig, siginfo_t *info, void *uc)
{
    (void)info, (void)uc;
    if (host_current)
        __atomic_or_fetch(&host_current->shared.pending, 1ull << sig, __ATOMIC_SEQ_CST);
}

static enum softsgx_action interrupt_spinning(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    aep_plan.original = *(const uint8_t *)aep_plan.at;
    aep_plan.stepping = false;
    host_byte(aep_plan.at, 0xcc);
    /* In legacy mode an event leads through stage 1 and its EEXIT to aep_resume. */
    if (aep_plan.at != (uint64_t)aep)
        host_current->claim = SIGSEGV;
    return SOFTSGX_AEX_RUN;
}

static uint64_t next_instruction;

static void begin_d7(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (!aep_plan.passes++) /* the undisturbed one */
        return;
    if (aep_plan.over) {
        lab_last_pass(b);
        return;
    }
    aep_plan.instruction = next_instruction++;
    lab_break_at(lab_target_symbol("pass_spin"), interrupt_spinning);
}

static void end_d7(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    if (lab_target_word("lab_signals") != aep_plan.sent)
        lab_fail("the signal in front of instruction %lu of the AEP at 0x%lx was not delivered (%lu were)",
                 next_instruction - 1, aep_plan.at, lab_target_word("lab_signals"));
    lab_count[0] = aep_plan.sent;
}

static void ready_d7(void)
{
    lab_hook_faults(in_aep);
    if (lab_options.planted && softsgx_sigaction(SIGUSR1, record_only))
        lab_fail("SIGUSR1 cannot be hooked", 0, 0, 0);
}

int d7(void)
{
    static const struct { const char *at; unsigned flags; } plans[] = {
        {aep, 0}, {aep, LAB_LEGACY}, {aep_resume, LAB_LEGACY},
    };

    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        memset(&aep_plan, 0, sizeof(aep_plan));
        aep_plan.at = (uint64_t)plans[i].at;
        next_instruction = 0;
        if (lab_check(&(struct lab_run){.path = "spin", .flags = plans[i].flags, .ready = ready_d7, .begin = begin_d7,
                                        .end = end_d7}))
            return 1;
        if (lab_count[0] < 4)
            return lab_fail("only %lu instructions of the AEP were reached", lab_count[0], 0, 0);
        defects_looked_at += lab_count[0];
    }
    return 0;
}

/* ---- D8 -------------------------------------------------------------------------------------------------------------
 * The flaw was: of the exceptions that the host deals with itself only #PF is benign; a debugger's #BP kills the
 * process. Nothing is claimed here: the host has mended what was wrong before the AEP runs. */
static struct {
    uint64_t page, at;      /* taken away; where a debugger has put its INT3 */
    uint8_t original;
    bool breakpoints;
    uint64_t faults, passes;
} mended;

static bool mend(int sig, siginfo_t *info, ucontext_t *uc)
{
    struct sgx_gprsgx gpr;
    uint64_t tcb = lab.tcb0;

    (void)info;
    if (sig == SIGILL || uc->uc_mcontext.gregs[REG_RIP] != (greg_t)aep)
        return false; /* a system call's #UD */
    lab_read(tcb + VIGIL_GS_GPR0, &gpr, sizeof(gpr));
    if (++mended.faults > 1000)
        lab_fail("the program does not get on: signal %lu, EXITINFO 0x%lx, RIP 0x%lx", (uint64_t)sig, gpr.exitinfo,
                 gpr.rip);
    /* The defect: what the runtime is told of is the program's. */
    if (lab_options.planted && sig == SIGTRAP)
        host_current->claim = SIGTRAP;
    if (sig == SIGTRAP && gpr.rip == mended.at) {
        lab_write(mended.at, &mended.original, 1);
        return true;
    }
    if (sig == SIGSEGV && !softsgx_page_out(lab.enclave, mended.page, false))
        return true;
    return false;
}

static enum softsgx_action opt_in(void *arg, const struct softsgx_boundary *b)
{
    uint64_t flags = lab_word(b->tcs + offsetof(struct sgx_tcs, flags)) | SGX_TCS_DBGOPTIN;

    (void)arg;
    lab_set_word(b->tcs + offsetof(struct sgx_tcs, flags), flags); /* from the next entry on */
    return SOFTSGX_AEX_RUN;
}

static void begin_d8(void *arg, const struct softsgx_boundary *b)
{
    static const uint8_t int3 = 0xcc;

    (void)arg;
    if (mended.passes++ == 20) {
        lab_last_pass(b);
        lab_count[0] = mended.faults;
        return;
    }
    if (!mended.breakpoints) {
        /* A data page, the code's page, the stack's: now this, now that. */
        uint64_t pages[] = {lab_target_symbol("arena") + VIGIL_PAGE, b->rip, b->rsp, lab_target_symbol("arena")};
        mended.page = pages[mended.passes % 4];
        if (softsgx_page_out(lab.enclave, mended.page, true))
            lab_fail("page 0x%lx cannot be taken away", mended.page, 0, 0);
        return;
    }
    if (mended.passes == 1) {
        lab_break_at(lab_target_symbol("pass_middle"), opt_in);
        return;
    }
    mended.at = lab_target_symbol("pass_middle");
    lab_read(mended.at, &mended.original, 1);
    lab_write(mended.at, &int3, 1);
}

static void ready_d8(void)
{
    lab_hook_faults(mend);
}

int d8(void)
{
    for (int which = 0; which < 4; which++) {
        memset(&mended, 0, sizeof(mended));
        mended.breakpoints = which & 1;
        if (lab_check(&(struct lab_run){.path = mended.breakpoints ? "compute" : "touch",
                                        .flags = which & 2 ? LAB_LEGACY : 0, .ready = ready_d8, .begin = begin_d8}))
            return 1;
        if (lab_count[0] < 15)
            return lab_fail("only %lu faults", lab_count[0], 0, 0);
        defects_looked_at += lab_count[0];
    }
    return 0;
}
