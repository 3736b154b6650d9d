/* SPDX-License-Identifier: Apache-2.0
 *
 * What the LibOS may know of notifications, and how it asks to be told of them. */
#include "enclave/internal.h"
#include "enclave/notify/notify.h"

void aex_upcall_want(bool wanted)
{
    tcb_current()->upcall_wanted = wanted;
}

void aex_stub_want(void)
{
    tcb_current()->stub_due = notify_policy.stub_after_aex;
}

static uint64_t counter(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED); /* written by the owner while we look */
}

static void add(struct aex_counts *sum, const struct tcb *t)
{
    sum->notifications += counter(&t->notifications);
    sum->exceptions += counter(&t->exceptions);
    sum->coalesced += counter(&t->coalesced);
    sum->near_zero += counter(&t->little);
    sum->delivered += counter(&t->delivered);
    sum->stub_runs += counter(&t->stats.stub);
}

void aex_counters(struct aex_counts *thread, struct aex_counts *process)
{
    if (thread) {
        *thread = (struct aex_counts){0};
        add(thread, tcb_current());
    }
    if (!process)
        return;
    *process = (struct aex_counts){0};
    for (uint32_t i = 0; i < thread_slots(); i++)
        add(process, tcb_of_slot(i));
}
