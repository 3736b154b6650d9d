/* SPDX-License-Identifier: Apache-2.0
 *
 * D1, D4, B4: AEXs inside the restartable resume. Every pass of the target takes one AEX in front of its first
 * instruction and another one somewhere in a resume that follows from it: the one behind the first AEX, or the ones
 * that lead into and out of the program's handler. */
#include "tests/defects/defects.h"

#include <string.h>

static struct plan {
    bool first_signal, second_signal;   /* a host signal arrives with the AEX */
    unsigned resume;                    /* which of the pass's resumes is interrupted, from 1 */
    bool final_only;                    /* at the final jump, else everywhere */
    unsigned repeat;                    /* the second AEX comes so many times */
    bool handler;                       /* the program has a handler of interruptions */
} plan;

static struct lab_tour tour;
static struct {
    bool first, rolled_back;
    unsigned resumes, left;
    uint64_t steps;
    uint64_t rip;                /* of the first AEX: there the program must go on, */
    uint64_t rsp, gpr[16];       /* with these. */
    uint64_t again;              /* where the second AEX was, and its repetitions are */
} pass;
static uint64_t passes;

#define RET_KEY 1 /* the execute probe's RET: its address is the target's */

static uint64_t key(const struct softsgx_boundary *b)
{
    return b->rip < lab.runtime_low ? lab.resume_begin + RET_KEY : b->rip;
}

static void remember(const struct softsgx_boundary *b)
{
    pass.rip = b->rip;
    pass.rsp = b->rsp;
    for (int r = REG_R8; r <= REG_RCX; r++)
        pass.gpr[r] = (uint64_t)b->uc->uc_mcontext.gregs[r];
}

/* Back where the first AEX was: as if nothing had happened. */
static void compare(const struct softsgx_boundary *b)
{
    if (b->rsp != pass.rsp)
        lab_fail("RSP is 0x%lx after the resume, not 0x%lx", b->rsp, pass.rsp, 0);
    for (int r = REG_R8; r <= REG_RCX; r++)
        if ((uint64_t)b->uc->uc_mcontext.gregs[r] != pass.gpr[r])
            lab_fail("register %lu is 0x%lx after the resume, not 0x%lx", (uint64_t)r,
                     (uint64_t)b->uc->uc_mcontext.gregs[r], pass.gpr[r]);
}

/* What each of the tests plants when the second AEX is taken, */
static void (*plant_at_aex)(const struct softsgx_boundary *b);
/* and when stage 1 is done with it. */
static void (*plant_behind)(const struct softsgx_boundary *b);

static bool second_aex(const struct softsgx_boundary *b)
{
    if (pass.left && pass.left < plan.repeat && key(b) == pass.again)
        return true;
    if (pass.left < plan.repeat || pass.resumes != plan.resume)
        return false;
    if (plan.final_only ? b->rip != lab.final_jump : !lab_tour_due(&tour, key(b)))
        return false;
    pass.again = key(b);
    return true;
}

static enum softsgx_action in_resume(const struct softsgx_boundary *b)
{
    if (!second_aex(b))
        return SOFTSGX_GO;
    pass.left--;
    lab_count[0]++;
    if (lab_options.planted && plant_at_aex)
        plant_at_aex(b);
    pass.rolled_back = false;
    if (plan.second_signal)
        lab_signal();
    return SOFTSGX_AEX;
}

static enum softsgx_action in_application(const struct softsgx_boundary *b)
{
    if (lab_armed(b->tcs) != 1)
        lab_fail("not armed in front of the program's instruction at 0x%lx, after an AEX in resume %lu", b->rip,
                 pass.resumes, 0);
    if (pass.first) {
        if (b->rip == pass.rip)
            compare(b);
        return SOFTSGX_GO;
    }
    pass.first = true;
    remember(b);
    if (plan.first_signal)
        lab_signal();
    return SOFTSGX_AEX;
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b);

static enum softsgx_action at_resume(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->cssa == 0)
        pass.resumes++;
    softsgx_step(step, NULL);
    return SOFTSGX_RUN;
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    enum lab_where where = lab_where(b);

    (void)arg;
    if (++pass.steps > 20000)
        lab_fail("the pass does not come to its end: 20000 instructions and still at 0x%lx", b->rip, 0, 0);
    if (lab_options.planted && plant_behind && pass.left < plan.repeat && !pass.rolled_back && b->cssa == 0) {
        pass.rolled_back = true;
        plant_behind(b);
    }
    if (where == LAB_RESUME)
        return in_resume(b);
    if (where == LAB_APPLICATION)
        return in_application(b);
    if (b->rip == lab.gate || (lab_options.planted && plant_behind && !pass.rolled_back && pass.left < plan.repeat))
        return SOFTSGX_GO;
    /* The runtime has one way to the program. Nobody looks at what lies before it here. */
    lab_break_at(lab.resume_begin, at_resume);
    return SOFTSGX_RUN;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    bool was_last = passes > 0 && pass.left == plan.repeat;
    memset(&pass, 0, sizeof(pass));
    pass.left = plan.repeat;
    if (was_last || (plan.final_only && passes == 3)) {
        lab_last_pass(b);
        return;
    }
    passes++;
    softsgx_step(step, NULL);
}

static void end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    softsgx_break_at(lab.enclave, lab.resume_begin, NULL, NULL);
}

/* The pass in front of these is the undisturbed one. */
static void first_begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    lab_break(lab.pass_begin, begin);
}

static void ready(void)
{
    lab_tour_init(&tour, lab.resume_begin, lab.resume_end, lab_options.stride);
}

static int run(unsigned flags)
{
    passes = 0;
    memset(&pass, 0, sizeof(pass));
    if (!plan.repeat)
        plan.repeat = 1;
    int failed = lab_check(&(struct lab_run){.path = plan.handler ? "handler" : "compute",
                                             .flags = flags,
                                             .ready = ready,
                                             .begin = first_begin,
                                             .end = end});
    defects_looked_at += lab_count[0];
    if (!failed && !lab_count[0])
        return lab_fail("no resume number %lu was there to be interrupted", plan.resume, 0, 0);
    return failed;
}

/* ---- D1 -------------------------------------------------------------------------------------------------------------
 * The flaw was: the resume that follows an AEX in the resume does not arm again. */
static void do_not_arm_again(const struct softsgx_boundary *b)
{
    (void)b;
    lab_arming(false);
}

int d1(void)
{
    /* Resume 1 leads to the program or its handler, 2 from the handler back to the program. */
    static const struct plan plans[] = {
        {.resume = 1},
        {.resume = 1, .second_signal = true},
        {.resume = 1, .first_signal = true},
        {.resume = 1, .first_signal = true, .second_signal = true},
        {.resume = 2, .first_signal = true},
        {.resume = 2, .first_signal = true, .second_signal = true},
        {.resume = 1, .handler = true},
        {.resume = 2, .handler = true},
    };

    plant_at_aex = do_not_arm_again;
    plant_behind = NULL;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        plan = plans[i];
        if (run(0))
            return 1;
    }
    return 0;
}

/* ---- D4 -------------------------------------------------------------------------------------------------------------
 * The flaw was: a case for the final jump that no path reaches any more. Without it the interrupted context is the
 * runtime's own. */
static void keep_ssa(const struct softsgx_boundary *b)
{
    lab_set_word(b->tcs - VIGIL_GS_TCS + TCB_CKPT_RIP, pass.again);
}

int d4(void)
{
    plant_at_aex = NULL;
    plant_behind = keep_ssa;
    for (int legacy = 0; legacy < 2; legacy++) {
        for (int which = 0; which < 8; which++) {
            plan = (struct plan){.first_signal = which & 1, .second_signal = which & 2, .resume = 1,
                                  .final_only = true, .repeat = which & 4 ? 3 : 1};
            /* Legacy mode has no resume behind a plain AEX. */
            if (legacy && !plan.first_signal)
                continue;
            if (run(legacy ? LAB_LEGACY : 0))
                return 1;
        }
    }
    return 0;
}

/* ---- B4 -------------------------------------------------------------------------------------------------------------
 * The flaw was: handlers run before the context is rolled back. The target's handlers look at theirs. */
int b4(void)
{
    plant_at_aex = NULL;
    plant_behind = keep_ssa;
    for (int handler = 0; handler < 2; handler++) {
        plan = (struct plan){.second_signal = !handler, .resume = 1, .handler = handler};
        if (run(0))
            return 1;
        if (handler)
            continue;
        plan = (struct plan){.first_signal = true, .second_signal = true, .resume = 2};
        if (run(0))
            return 1;
    }
    return 0;
}
