/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass with events at one or two boundaries. State of this process; all of it runs in callbacks of the swept thread. */
#include "sweep/sweep.h"
#include "host/internal.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <ucontext.h>

const char *const sweep_inject_name[SWEEP_INJECTS] = {"aex", "signal", "claim", "page"};

static struct {
    struct sweep_shot shot;
    struct sweep_outcome *outcome;
    struct sweep_trace *handler;
    unsigned next;              /* the point we are on the way to */
    uint32_t arrivals, steps;
    uint64_t broken_into;       /* the address of our breakpoint */
    uint64_t page;              /* taken away */
} now;

static enum softsgx_action arrive(void *arg, const struct softsgx_boundary *b);

bool sweep_applies(enum sweep_inject inject, unsigned flags)
{
    switch (inject) {
    case SWEEP_CLAIM:
        return flags & SWEEP_ARMED;
    case SWEEP_PAGE:
        return flags & SWEEP_CAN_PAGE;
    default:
        return true;
    }
}

static int set_out(void)
{
    now.arrivals = 0;
    now.broken_into = now.shot.at[now.next].address;
    return softsgx_break_at(sweep_map.enclave, now.broken_into, arrive, NULL);
}

static enum softsgx_action record(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    sweep_trace_add(now.handler, b);
    return sweep_flags(b) & SWEEP_IN_APPLICATION ? SOFTSGX_RUN : SOFTSGX_GO;
}

static enum softsgx_action give_back(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    softsgx_page_out(sweep_map.enclave, now.page, false);
    now.page = 0;
    b->uc->uc_mcontext.gregs[REG_RDI] = 0; /* the claim: a host that has brought the page back makes none */
    if (!now.handler || now.next < now.shot.points)
        return SOFTSGX_RUN;
    softsgx_step(record, NULL);
    return record(NULL, b);
}

/* Takes away what the instruction accesses and lets it run: it faults, and so the next boundary is stage 1's first, where
 * the page is given back. */
static enum softsgx_action take_page(const struct softsgx_boundary *b, unsigned flags)
{
    uint64_t page = sweep_accessed_page(b, flags & (SWEEP_IN_APPLICATION | SWEEP_PROBE));

    if (!page || !(flags & SWEEP_ARMED)) {
        now.outcome->pointless++;
        return SOFTSGX_AEX_RUN;
    }
    now.page = page;
    softsgx_page_out(sweep_map.enclave, page, true);
    softsgx_step(give_back, NULL);
    return SOFTSGX_RUN;
}

static enum softsgx_action strike(const struct softsgx_boundary *b)
{
    enum sweep_inject inject = now.shot.inject[now.next];
    unsigned flags = sweep_flags(b), broken = sweep_broken_invariant(b, flags);
    struct sweep_outcome *o = now.outcome;
    unsigned point = now.next;

    if (now.broken_into) /* removed now, because take_page() reads the instruction */
        softsgx_break_at(sweep_map.enclave, now.broken_into, NULL, NULL);
    now.broken_into = 0;
    if (b->rip != now.shot.at[now.next].rip) {
        o->missed++;
        return SOFTSGX_RUN;
    }
    if (broken && !o->broken) {
        o->broken = broken;
        o->broken_rip = b->rip;
    }
    o->injected++;
    if (++now.next < now.shot.points)
        set_out();
    else if (now.handler)
        softsgx_step(record, NULL);
    if (inject == SWEEP_PAGE)
        return take_page(b, flags);
    if (inject == SWEEP_SIGNAL) {
        o->signals++;
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), sweep_map.signal[point]);
    }
    if (inject == SWEEP_CLAIM) {
        if (flags & SWEEP_ARMED)
            host_current->claim = SIGSEGV;
        else
            o->pointless++;
    }
    return SOFTSGX_AEX_RUN;
}

static enum softsgx_action walk(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    return --now.steps ? SOFTSGX_GO : strike(b);
}

/* Returns SOFTSGX_RUN and SOFTSGX_AEX_RUN when we are there: the breakpoint goes. */
static enum softsgx_action arrive(void *arg, const struct softsgx_boundary *b)
{
    const struct sweep_landing *l = &now.shot.at[now.next];

    (void)arg;
    if (b->tcs != sweep_map.tcs || ++now.arrivals < l->arrival)
        return SOFTSGX_GO;
    if (!l->steps)
        return strike(b);
    now.broken_into = 0;
    now.steps = l->steps;
    softsgx_step(walk, NULL);
    return SOFTSGX_RUN;
}

int sweep_arm(const struct sweep_shot *shot, struct sweep_outcome *outcome, struct sweep_trace *handler)
{
    now.shot = *shot;
    now.outcome = outcome;
    now.handler = handler;
    now.next = 0;
    return set_out();
}

void sweep_disarm(void)
{
    softsgx_step(NULL, NULL);
    if (now.broken_into)
        softsgx_break_at(sweep_map.enclave, now.broken_into, NULL, NULL);
    now.broken_into = 0;
    if (now.page)
        softsgx_page_out(sweep_map.enclave, now.page, false);
    now.page = 0;
}
