/* SPDX-License-Identifier: Apache-2.0
 *
 * Computes for a while, and says how often it was interrupted meanwhile and where. */
#include "vigil/aex.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct log {
    uint64_t interruptions, coalesced, calls, first_rip, last_rip;
};

/* Runs on the interrupted thread: it only counts. */
static void note(const struct vigil_aex_info *info, void *arg)
{
    struct log *log = arg;

    log->interruptions += info->interruptions;
    log->coalesced += info->coalesced;
    log->calls++;
    log->last_rip = info->rip;
    if (!log->first_rip)
        log->first_rip = info->rip;
}

static uint64_t work(void)
{
    uint64_t x = 88172645463325252u;

    for (uint64_t i = 0; i < 300000000; i++)
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return x;
}

int main(void)
{
    struct vigil_aex_counters counters = {.size = sizeof(counters)};
    struct log log = {0};
    int error = vigil_aex_register(note, &log) ? errno : 0;

    printf("result %016" PRIx64 "\n", work());
    if (error == ENOSYS) {
        puts("not in an enclave: nobody tells of interruptions");
        return 0;
    }
    if (error == EOPNOTSUPP) {
        puts("in an enclave, but AEX-Notify is off");
        return 0;
    }
    if (error || vigil_aex_unregister(note, &log) || vigil_aex_counters(&counters)) {
        fprintf(stderr, "aex-handler: %s\n", strerror(error ? error : errno));
        return 1;
    }
    printf("AEX-Notify is %s\n", vigil_aex_armed() ? "on" : "off");
    printf("interrupted %" PRIu64 " times, %" PRIu64 " of them before the program went on; %" PRIu64 " calls\n",
           log.interruptions, log.coalesced, log.calls);
    printf("first at 0x%" PRIx64 ", last at 0x%" PRIx64 "\n", log.first_rip, log.last_rip);
    printf("this thread: %" PRIu64 " notifications, %" PRIu64 " of them exceptions of its own; "
           "the mitigation ran %" PRIu64 " times\n",
           counters.thread.notifications, counters.thread.exceptions, counters.thread.stub_runs);
    return 0;
}
