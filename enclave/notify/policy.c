/* SPDX-License-Identifier: Apache-2.0
 *
 * The measured policy (sgx.aex_notify in the manifest) and what happens when a detector trips. The detectors themselves
 * are a few instructions of stage 1 and of the stub. Documented in docs/aex-notify.md. */
#include "enclave/internal.h"
#define VIGIL_AEX_NO_FUNCTIONS
#include "enclave/notify/notify.h"
#include "vigil/aex.h"

#include <asm/unistd_64.h>

struct notify_policy notify_policy;
static uint32_t said;

void notify_policy_init(void)
{
    const struct vigil_aex_policy *c = &config()->aex;
    bool on = aex_notify_on();

    notify_policy = (struct notify_policy){
        .legacy = !on,
        .counting = -(uint64_t)(c->mitigation != VIGIL_MITIGATION_NONE),
        .stub_after_aex = on && c->mitigation == VIGIL_MITIGATION_PREFETCH,
        .stub_after_syscall = on && c->mitigation == VIGIL_MITIGATION_PREFETCH && c->on_syscall_return,
        .step_threshold = c->step_threshold ? c->step_threshold : ~0ull,
        .budget = c->budget ? c->budget : ~0ull,
        .slow_limit = c->slow_limit ? c->slow_limit : ~0ull >> 2,
        .terminate = (c->step_terminate ? POLICY_STEPPING : 0) | (c->budget_terminate ? POLICY_BUDGET : 0) |
                     (c->slow_terminate ? POLICY_SLOW : 0),
    };
}

void notify_policy_thread(struct tcb *t)
{
    t->slow_limit = notify_policy.slow_limit;
    t->stub_due = notify_policy.stub_after_aex;
    t->history = t->little_recent = t->budget_used = t->slow_run = 0;
}

/* The return from a handler, and what a handler of interruptions asks about them, come of the interruption: if they gave a
 * new budget, the host would give it, with each signal that the program handles. */
void notify_policy_syscall(struct tcb *t, uint64_t number)
{
    t->stub_due = notify_policy.stub_after_syscall;
    if (number != __NR_rt_sigreturn && number != VIGIL_SYSCALL_AEX)
        t->budget_used = 0;
}

static void report(struct tcb *t, uint32_t kind, const char *what, uint64_t seen, uint64_t limit)
{
    bool terminate = notify_policy.terminate & kind;

    if (!terminate && __atomic_fetch_or(&said, kind, __ATOMIC_RELAXED) & kind)
        return;
    log_line(terminate ? VIGIL_LOG_ERROR : VIGIL_LOG_WARNING, "AEX-Notify: thread %u: %s: %lu, limit %lu%s", t->slot, what,
             seen, limit, terminate ? "" : "; said once, the program goes on");
    if (terminate)
        runtime_fail("interrupted in a way that sgx.aex_notify in the manifest does not allow");
}

void notify_policy_act(struct tcb *t, uint32_t tripped)
{
    if (tripped & POLICY_STEPPING)
        report(t, POLICY_STEPPING, "interruptions after at most one instruction, of the last 64", t->little_recent,
               notify_policy.step_threshold);
    if (tripped & POLICY_BUDGET)
        report(t, POLICY_BUDGET, "interruptions since the last system call", t->budget_used, notify_policy.budget);
    if (tripped & POLICY_SLOW)
        report(t, POLICY_SLOW, "warm loops slower than the limit in a row (caches off?)", t->slow_run, SLOW_IN_A_ROW - 1);
    /* Once is enough until it has recovered. Each by itself: else the one that trips sooner would keep the other from it. */
    if (tripped & POLICY_STEPPING)
        t->history = t->little_recent = 0;
    if (tripped & POLICY_BUDGET)
        t->budget_used = 0;
    if (tripped & POLICY_SLOW)
        t->slow_run = 0;
}
