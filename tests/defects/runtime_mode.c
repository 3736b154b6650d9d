/* SPDX-License-Identifier: Apache-2.0
 *
 * D3, D5: AEXs in runtime mode, above all during OCALLs. Each pass of the target makes the runtime leave the enclave;
 * an AEX is taken in front of one instruction of that, which must continue as if nothing had happened, and the thread
 * is unarmed all the time. */
#include "tests/defects/defects.h"

#include <string.h>

#define ELSEWHERE 16 /* outside the OCALL's own code each so many-th instruction */

static struct {
    const char *path;
    bool with_signal, page_out;
    unsigned flags;
} plan;

static struct lab_tour ocall_tour, other_tour;
static struct {
    bool inside, injected, back;
    uint64_t rip, rsp, notified, notifications;
    unsigned ocalls;
} pass;
static uint64_t passes, sent;

static uint64_t notifications(const struct softsgx_boundary *b)
{
    struct tcb t;

    lab_read(b->tcs - VIGIL_GS_TCS, &t, sizeof(t));
    return t.notifications;
}

static uint64_t morphed(void)
{
    struct softsgx_stats stats;

    softsgx_get_stats(&stats);
    return stats.eresume_notify;
}

static bool due(const struct softsgx_boundary *b)
{
    if (pass.injected)
        return false;
    if (b->rip >= lab.ocall_raw && b->rip < lab.thread_leave)
        return lab_tour_due(&ocall_tour, b->rip);
    return lab_tour_due(&other_tour, b->rip);
}

static enum softsgx_action inject(const struct softsgx_boundary *b)
{
    pass.injected = true;
    pass.rip = b->rip;
    pass.rsp = b->rsp;
    pass.notified = morphed();
    pass.notifications = notifications(b);
    lab_count[0]++;
    if (plan.with_signal) {
        lab_signal();
        sent++;
    }
    return SOFTSGX_AEX;
}

/* The first instruction at CSSA=0 behind the AEX. */
static void look_back(const struct softsgx_boundary *b)
{
    pass.back = true;
    if (b->rip != pass.rip || b->rsp != pass.rsp)
        lab_fail("an AEX at 0x%lx in runtime mode comes back at 0x%lx, RSP 0x%lx", pass.rip, b->rip, b->rsp);
    if (notifications(b) != pass.notifications)
        lab_fail("an AEX at 0x%lx in runtime mode counts as a notification", pass.rip, 0, 0);
    if (morphed() != pass.notified)
        lab_fail("an AEX at 0x%lx in runtime mode was notified", pass.rip, 0, 0);
}

/* From the program's way in to the arming of the resume. */
static enum softsgx_action in_runtime(const struct softsgx_boundary *b)
{
    bool back = pass.injected && !pass.back, ocall_over = b->rip == lab.ocall_return;

    pass.ocalls += ocall_over;
    if (back)
        look_back(b);
    if (lab_armed(b->tcs))
        lab_fail("armed in runtime mode, in front of 0x%lx", b->rip, 0, 0);
    /* The flaws: who deals with an event arms the thread on the way back; the return of an OCALL does, whoever made it.
     */
    if (lab_options.planted && (plan.with_signal ? back : ocall_over))
        lab_set_armed(b->tcs, 1);
    return due(b) ? inject(b) : SOFTSGX_GO;
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    /* What follows is the delivery of the signal: long, and D5's. */
    if (plan.with_signal && pass.back && pass.ocalls && (b->rip < lab.ocall_raw || b->rip >= lab.thread_leave))
        return SOFTSGX_RUN;
    return lab_where(b) == LAB_RUNTIME && b->rip != lab.gate ? in_runtime(b) : SOFTSGX_GO;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (passes > 1 && !pass.injected) {
        lab_last_pass(b);
        return;
    }
    memset(&pass, 0, sizeof(pass));
    /* The host takes a page away, not the same each time; stage 2 asks for it, with an OCALL. */
    if (plan.page_out && softsgx_page_out(lab.enclave, lab_target_symbol("arena") + passes % 2 * VIGIL_PAGE, true))
        lab_fail("the page cannot be taken away", 0, 0, 0);
    if (passes++)
        softsgx_step(step, NULL);
}

static void end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    if (passes > 1 && pass.injected && !pass.ocalls)
        lab_fail("there was no OCALL in this pass", 0, 0, 0);
    if (passes > 1 && pass.injected && !pass.back)
        lab_fail("the code at 0x%lx did not go on after the AEX", pass.rip, 0, 0);
    if (lab_target_word("lab_signals") != sent)
        lab_fail("%lu of %lu signals were delivered", lab_target_word("lab_signals"), sent, 0);
}

static void ready(void)
{
    lab_tour_init(&ocall_tour, lab.ocall_raw, lab.thread_leave, 1);
    lab_tour_init(&other_tour, lab.text_low, lab.text_high, lab_options.stride * ELSEWHERE);
}

static int run(void)
{
    passes = sent = 0;
    int failed = lab_check(
        &(struct lab_run){.path = plan.path, .flags = plan.flags, .ready = ready, .begin = begin, .end = end});
    defects_looked_at += lab_count[0];
    return failed;
}

/* The flaw was: an AEX with a signal between the disarming and the OCALL's change of stacks leads to a return that
 * arms, and to a result of -EINTR that the system call never had. The target compares the result. */
int d3(void)
{
    for (int legacy = 0; legacy < 2; legacy++) {
        plan = (typeof(plan)){.path = "ocall", .with_signal = true, .flags = legacy ? LAB_LEGACY : 0};
        if (run())
            return 1;
    }
    return 0;
}

/* The flaw was: OCALLs that stage 2 makes for itself end like those of the program and arm. */
int d5(void)
{
    plan = (typeof(plan)){.path = "touch", .page_out = true};
    if (run())
        return 1;
    plan = (typeof(plan)){.path = "ocall"};
    return run();
}
