/* SPDX-License-Identifier: Apache-2.0
 *
 * AEXs back to back: the host interrupts at the same instruction of the program again and again, N times, and the
 * program does not get on. Nothing may grow: neither stack of the runtime, nor the host's, nor memory, nor the thread
 * block.
 *
 * The AEX lands in front of the instruction without touching the program's code (the decoder reads it): a breakpoint at
 * the runtime's final jump, then one step. The first WARM AEXs show how much is used; the rest may not use more.
 *
 * usage: back_to_back --runtime FILE --target PROGRAM [-n N] */
#include "tests/defects/lab.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define WARM 1000
#define PATTERN 0x5ac35ac35ac35ac3ull
#define HOST_STACK 32768

/* What is measured after WARM and after N AEXs. Slots of lab_count. */
enum { STAGE1_STACK, KERNEL_STACK, HOST_STACK_USED, RESIDENT, DATA, TCB_SUM, NOTIFICATIONS, STUBS, AEXS, SETS = 16 };
static const char *const names[] = {"stage-1 stack, bytes",
                                    "kernel stack, bytes",
                                    "host stack below the entry, bytes",
                                    "resident memory, kB",
                                    "data and stack segments, kB",
                                    "TCB without counters, checksum",
                                    "notifications counted",
                                    "stubs",
                                    "AEXs"};

static uint64_t wanted = 20000, now_wanted, aexs, instruction, host_rsp, first_notifications, first_stubs;
static unsigned passes;

/* Fills an unused stack, or finds the lowest word of it that has been used. */
static uint64_t depth(uint64_t low, uint64_t high, bool fill)
{
    uint64_t words[512];

    for (uint64_t at = low, n; at < high; at += n * 8) {
        n = (high - at) / 8 < 512 ? (high - at) / 8 : 512;
        if (fill) {
            for (uint64_t i = 0; i < n; i++)
                words[i] = PATTERN;
            lab_write(at, words, n * 8);
            continue;
        }
        lab_read(at, words, n * 8);
        for (uint64_t i = 0; i < n; i++)
            if (words[i] != PATTERN)
                return high - (at + i * 8);
    }
    return 0;
}

static uint64_t host_depth(bool fill)
{
    uint64_t *low = (uint64_t *)(host_rsp - HOST_STACK);

    for (uint64_t i = 0; i < HOST_STACK / 8; i++) {
        if (fill)
            low[i] = PATTERN;
        else if (low[i] != PATTERN)
            return HOST_STACK - i * 8;
    }
    return 0;
}

/* A field of a file in /proc/self; async-signal-safe, as a callback must be. */
static uint64_t proc_kb(const char *file, const char *field)
{
    static char text[8192];
    uint64_t value = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    const char *at = strstr(text, field);
    if (!at)
        lab_fail("a field is missing in /proc/self", 0, 0, 0);
    for (at += strlen(field); *at == ' ' || *at == '\t'; at++)
        ;
    for (; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

/* What counts and what is random may change. Everything else is as it was. */
static uint64_t tcb_sum(struct tcb *t)
{
    uint64_t sum = 0;

    memset(&t->stats, 0, sizeof(t->stats));
    t->notifications = t->coalesced = t->delivered = t->probe_faults = t->unknown = t->exceptions = 0;
    t->random_bits = t->random_left = t->plan[PLAN_DELAY] = 0;
    t->slow_run = t->slow_count = t->history = t->little_recent = t->little = t->budget_used = 0;
    for (size_t i = 0; i < sizeof(*t); i++)
        sum = sum * 31 + ((const uint8_t *)t)[i];
    return sum;
}

/* The canaries are at the low end: they are nobody's use of the stack. */
#define CANARY_SIZE (CANARY_WORDS * sizeof(uint64_t))

static void measure(uint64_t *to, uint64_t tcb)
{
    struct tcb t;

    lab_read(tcb, &t, sizeof(t));
    to[STAGE1_STACK] = depth(tcb + VIGIL_GS_S1STACK_LOW + CANARY_SIZE, tcb + VIGIL_GS_S1STACK_TOP, false);
    to[KERNEL_STACK] = depth(tcb + VIGIL_GS_KSTACK_LOW + CANARY_SIZE, tcb + VIGIL_GS_KSTACK_TOP, false);
    to[HOST_STACK_USED] = host_depth(false);
    to[RESIDENT] = proc_kb("/proc/self/smaps_rollup", "\nRss:"); /* counted page by page; VmRSS is an estimate */
    to[DATA] = proc_kb("/proc/self/status", "VmData:") + proc_kb("/proc/self/status", "VmStk:");
    to[NOTIFICATIONS] = t.notifications - first_notifications;
    to[STUBS] = t.stats.stub - first_stubs;
    to[TCB_SUM] = tcb_sum(&t);
    to[AEXS] = aexs;
}

/* What a design that grows would leave behind: deeper stacks, memory, a thread block that is not as it was. */
static void plant(uint64_t tcb)
{
    lab_set_word(tcb + VIGIL_GS_S1STACK_TOP - 512, 1);
    lab_set_word(tcb + VIGIL_GS_KSTACK_TOP - 4096, 1);
    *(uint64_t *)(host_rsp - 256) = 1;
    void *leak = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (leak == MAP_FAILED)
        lab_fail("no memory to leak", 0, 0, 0);
    lab_set_word(tcb + TCB_OCALL_RSP, lab_word(tcb + TCB_OCALL_RSP) - 64);
}

static enum softsgx_action at_program(void *arg, const struct softsgx_boundary *b)
{
    uint64_t tcb = b->tcs - VIGIL_GS_TCS;

    (void)arg;
    if (lab_where(b) != LAB_APPLICATION)
        return SOFTSGX_GO; /* the jump itself, if a breakpoint lies on it */
    if (b->rip != instruction)
        lab_fail("the program has got on to 0x%lx after %lu AEXs", b->rip, aexs, 0);
    if (aexs == WARM)
        measure(lab_count, tcb);
    if (lab_options.planted && aexs == WARM + 10)
        plant(tcb);
    if (aexs == now_wanted) {
        measure(lab_count + SETS, tcb);
        softsgx_break_at(lab.enclave, lab.final_jump, NULL, NULL);
        return SOFTSGX_RUN;
    }
    aexs++;
    return SOFTSGX_AEX_RUN;
}

static enum softsgx_action at_final_jump(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(at_program, NULL);
    return SOFTSGX_GO;
}

/* The program reaches the instruction: from here on it stays. No stack of the runtime is in use now. */
static enum softsgx_action arrive(void *arg, const struct softsgx_boundary *b)
{
    uint64_t tcb = b->tcs - VIGIL_GS_TCS;
    struct tcb t;

    (void)arg;
    instruction = b->rip;
    depth(tcb + VIGIL_GS_S1STACK_LOW + CANARY_SIZE, tcb + VIGIL_GS_S1STACK_TOP, true);
    depth(tcb + VIGIL_GS_KSTACK_LOW + CANARY_SIZE, tcb + VIGIL_GS_KSTACK_TOP, true);
    lab_read(tcb, &t, sizeof(t));
    first_notifications = t.notifications;
    first_stubs = t.stats.stub;
    host_rsp = t.untrusted_rsp;
    host_depth(true);
    measure(lab_count, tcb); /* brings in what measuring itself needs */
    lab_break_at(lab.final_jump, at_final_jump);
    aexs = 1;
    return SOFTSGX_AEX_RUN;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (passes++ == 1)
        lab_break_at(lab_target_symbol("pass_middle"), arrive);
    if (passes == 3) /* one more, undisturbed */
        lab_last_pass(b);
}

/* How many of the measured things are not the same. */
static int grown(bool print)
{
    const uint64_t *warm = lab_count, *last = lab_count + SETS;
    int count = 0;

    for (int i = STAGE1_STACK; i <= TCB_SUM; i++) {
        bool same = last[i] == warm[i] || (i == RESIDENT && last[i] < warm[i]); /* the kernel may take pages of files */
        if (print)
            printf("  %-36s %20lu after %d, %20lu after %lu%s\n", names[i], warm[i], WARM, last[i], last[AEXS],
                   same ? "" : "  GROWN");
        count += !same;
    }
    return count;
}

static int report(double seconds)
{
    const uint64_t *warm = lab_count, *last = lab_count + SETS;
    const char *verdict = "ok";

    if (grown(true))
        verdict = "GROWN";
    else if (warm[NOTIFICATIONS] != WARM || last[NOTIFICATIONS] != wanted || last[AEXS] != wanted)
        verdict = "NOT ALL NOTIFIED";
    else if (last[STUBS] != wanted)
        verdict = "NOT ALL MITIGATED";
    else if (!warm[STAGE1_STACK] || !warm[KERNEL_STACK])
        verdict = "NOTHING MEASURED";
    printf("back to back: %lu AEXs at one instruction, %lu notified, %lu stubs, %.1f s (%.1f us each): %s\n",
           last[AEXS], last[NOTIFICATIONS], last[STUBS], seconds, seconds * 1e6 / (double)wanted, verdict);
    return strcmp(verdict, "ok") != 0;
}

static int run(uint64_t n, bool planted)
{
    now_wanted = n;
    aexs = passes = 0;
    lab_options.planted = planted;
    return lab_check(&(struct lab_run){.path = "compute", .begin = begin});
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"runtime", required_argument, NULL, 'r'}, {"target", required_argument, NULL, 't'}, {0}};
    struct timespec from, to;

    for (int c; (c = getopt_long(argc, argv, "n:", longs, NULL)) != -1;) {
        if (c == 'r')
            lab_options.runtime = optarg;
        else if (c == 't')
            lab_options.target = realpath(optarg, NULL);
        else if (c == 'n')
            wanted = strtoul(optarg, NULL, 0);
        else
            return 2;
    }
    if (!lab_options.runtime || !lab_options.target || wanted <= WARM) {
        fprintf(stderr, "usage: back_to_back --runtime FILE --target PROGRAM [-n N], N more than %d\n", WARM);
        return 2;
    }
    /* Can this measurement fail at all? */
    int failed = run(WARM + 100, true), seen = failed ? 0 : grown(false);
    if (!failed && seen != TCB_SUM + 1) {
        printf("back to back: FAILED: of %d kinds of growth that were planted %d were noticed\n", TCB_SUM + 1, seen);
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    failed = failed || run(wanted, false);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (failed) {
        printf("back to back: FAILED: %s\n", lab_reason());
        return 1;
    }
    return report((double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9);
}
