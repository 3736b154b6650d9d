/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said at process exit. */
#include "enclave/internal.h"

/* Bytes of the kernel stack that were ever written to, besides the canary at its low end. In the software SGX the pages
 * begin as zeroes. */
static uint64_t stack_used(const struct tcb *t)
{
    const uint64_t *low = (const uint64_t *)((const char *)t + VIGIL_GS_KSTACK_LOW) + CANARY_WORDS;
    const uint64_t *top = (const uint64_t *)((const char *)t + VIGIL_GS_KSTACK_TOP);

    while (low < top && !*low)
        low++;
    return (uint64_t)(top - low) * sizeof(*low);
}

static void print_thread(const struct tcb *t)
{
    log_line(VIGIL_LOG_ERROR,
             "stats: thread %u: notifications %lu, coalesced restarts %lu, delivered %lu, runtime faults handled %lu, "
             "EENTER %lu, EEXIT %lu, resumes %lu, EDECCSSA %lu, stubs %lu, instructions not known %lu, probe faults %lu, "
             "AEXs with little progress %lu, slow loops %lu, kernel stack %lu bytes",
             t->slot, t->notifications, t->coalesced, t->delivered, t->runtime_fixups, t->stats.eenter, t->stats.eexit,
             t->stats.resumes, t->stats.edeccssa, t->stats.stub, t->unknown, t->probe_faults, t->little, t->slow_count, stack_used(t));
}

void enclave_print_exit_lines(void)
{
    uint64_t notifications = 0, calls = 0, inside = 0, exits = 0;

    for (uint32_t i = 0; i < thread_slots(); i++) {
        struct tcb *t = tcb_of_slot(i);
        stacks_check_canaries(t);
        notifications += t->notifications;
        calls += t->system_calls;
        inside += t->inside_calls;
        exits += t->stats.eexit;
        if ((config()->flags & VIGIL_FLAG_STATS) && t->stats.eenter)
            print_thread(t);
    }
    if (config()->flags & VIGIL_FLAG_STATS)
        log_line(VIGIL_LOG_ERROR, "stats: system calls %lu, of them %lu without leaving the enclave, OCALLs %lu", calls, inside,
                 exits);
    if (edmm_on() && (config()->flags & VIGIL_FLAG_STATS))
        edmm_print_stats();
    if (aex_notify_on())
        log_line(VIGIL_LOG_WARNING, "AEX-Notify counter at process exit: %lu", notifications);
}
