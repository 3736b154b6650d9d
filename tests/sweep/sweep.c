/* SPDX-License-Identifier: Apache-2.0
 *
 * The boundary sweep: runs one path of the target program over and over, with an AEX in front of instruction k of it,
 * for every k, and optionally a host signal that arrives at the same moment. The target compares what it sees with the
 * undisturbed pass; this driver checks the armed invariant at each boundary:
 *
 *     CSSA=0:  SSA[0].GPRSGX.AEXNOTIFY is 1  <=>  RIP is in the application, in the restartable resume behind its
 *              arming instruction, or in front of the first instruction of the system call gate.
 *     SSA[1].GPRSGX.AEXNOTIFY is 0 always.
 *
 * Iterations of one REP instruction count as one boundary, taken at the first, second and last of them.
 *
 * The path `handler` is interrupted twice: in front of its first instruction each time, which calls the program's
 * handler, and in front of instruction k of everything that follows from it.
 *
 * usage: sweep [--legacy] [--signal] [--stride N] [--runtime FILE] TARGET PATH */
#include "tests/sweep/driver.h"
#include "vigil/layout.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define MAX_BOUNDARIES (1u << 22)

/* Shared with the parent, which reports: the child's process belongs to the target. */
struct result {
    uint64_t instructions;         /* of one pass, REP iterations included */
    uint64_t boundaries;           /* chosen */
    uint64_t injected;
    uint64_t beyond;               /* the pass was over earlier than the one that was looked at first */
    uint64_t invariant_checks, invariant_failures, bad_rip, bad_armed, bad_cssa, bad_k;
    uint64_t in_runtime, in_resume, in_application, in_stage1;
    uint64_t signals, signals_lost;
    uint64_t finished;
};
static struct result *result;

static struct {
    bool legacy, with_signal, twice;
    uint64_t stride;
    const char *runtime, *target, *path;
} opt = {.stride = 1};

/* The boundaries of the undisturbed pass that are worth an AEX, found by stepping once. */
static uint32_t *chosen;
static uint64_t chosen_count, next_chosen;
static enum { UNDISTURBED, DISCOVER, INJECT, FINISH } phase;
static uint64_t steps, last_rip, rep_run;

static uint8_t read_byte(uint64_t address)
{
    uint8_t value = 0xff;
    softsgx_debug_read(drive_map.enclave, address, &value, 1);
    return value;
}

static void check_invariant(const struct softsgx_boundary *b)
{
    uint64_t tcb = b->tcs - VIGIL_GS_TCS;
    uint8_t armed = read_byte(tcb + VIGIL_GS_ARMED), second = read_byte(tcb + VIGIL_GS_GPR1 + 167);
    bool application = b->rip < drive_map.runtime_low;
    /* The execute probe's RET is the resume's too: RSP is in the TCB page then. */
    bool resume = (b->rip > drive_map.resume_begin && b->rip < drive_map.resume_end) || b->rsp - tcb < VIGIL_PAGE;
    bool expected = (application && b->rsp - tcb >= VIGIL_PAGE) || resume || b->rip == drive_map.gate;

    if (b->cssa == 0)
        result->in_application += application, result->in_resume += resume, result->in_runtime += !expected;
    else
        result->in_stage1++;
    result->invariant_checks++;
    if (second == 0 && (b->cssa != 0 || armed == expected))
        return;
    if (!result->invariant_failures++) {
        result->bad_rip = b->rip;
        result->bad_armed = armed | second << 8;
        result->bad_cssa = b->cssa;
        result->bad_k = steps;
    }
}

/* Remembers where AEXs are worth it: every instruction; of a repeated string instruction the first, second and last
 * iteration (the last is chosen when the run ends). */
static void discover(uint64_t rip)
{
    if (rip == last_rip) {
        rep_run++;
        if (rep_run != 1)
            return;
    } else if (rep_run > 1 && chosen_count < MAX_BOUNDARIES) {
        chosen[chosen_count++] = (uint32_t)(steps - 1);
    }
    if (rip != last_rip)
        rep_run = 0;
    last_rip = rip;
    if (chosen_count < MAX_BOUNDARIES)
        chosen[chosen_count++] = (uint32_t)steps;
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (phase == DISCOVER) {
        check_invariant(b);
        discover(b->rip);
        return steps++ == 0 && opt.twice ? SOFTSGX_AEX : SOFTSGX_GO;
    }
    if (steps != chosen[next_chosen])
        return steps++ == 0 && opt.twice ? SOFTSGX_AEX : SOFTSGX_GO;
    steps++;
    check_invariant(b);
    result->injected++;
    if (opt.with_signal)
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR1);
    return SOFTSGX_AEX_RUN;
}

static void at_begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    steps = last_rip = rep_run = 0;
    if (phase == FINISH)
        b->uc->uc_mcontext.gregs[REG_RAX] = 1;
    else if (phase != UNDISTURBED)
        softsgx_step(step, NULL);
}

/* The host signal of this pass must have been delivered, once, before the path was over: with no ticks, so nothing but
 * the AEX it came with and the runtime's own looks into the mailbox can have brought it. */
static void check_signal(void)
{
    uint64_t delivered = 0;

    softsgx_debug_read(drive_map.enclave, drive_map.counter, &delivered, sizeof(delivered));
    if (delivered != (opt.with_signal ? result->injected : 0))
        result->signals_lost++;
    result->signals = delivered;
}

static void at_end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    if (phase == UNDISTURBED) {
        phase = DISCOVER;
    } else if (phase == DISCOVER) {
        result->instructions = steps;
        result->boundaries = (chosen_count + opt.stride - 1) / opt.stride;
        phase = chosen_count ? INJECT : FINISH;
        next_chosen = 0;
    } else if (phase == INJECT) {
        check_signal();
        /* A fault, or two AEXs, do not lead to the same number of instructions each time (the resume may find the mailbox
         * full and go round once more). Not reaching the last few boundaries is fine, and reported. */
        if (result->injected + result->beyond == next_chosen / opt.stride &&
            chosen[next_chosen] >= result->instructions - result->instructions / (opt.twice ? 10 : 50))
            result->beyond++;
        next_chosen += opt.stride;
        if (next_chosen >= chosen_count)
            phase = FINISH;
    } else {
        result->finished = 1;
    }
}

static int report(int status)
{
    printf("sweep %s%s%s: %lu instructions, %lu boundaries, AEX at %lu, armed invariant checked %lu times "
           "(application %lu, resume %lu, runtime %lu, stage 1 %lu): ",
           opt.path, opt.legacy ? ", legacy" : ", AEX-Notify", opt.with_signal ? ", with a host signal" : "",
           result->instructions, result->boundaries, result->injected, result->invariant_checks, result->in_application,
           result->in_resume, result->in_runtime, result->in_stage1);
    if (result->invariant_failures) {
        printf("FAILED: armed invariant broken %lu times, first at step %lu, rip 0x%lx, cssa %lu, bits 0x%lx\n",
               result->invariant_failures, result->bad_k, result->bad_rip, result->bad_cssa, result->bad_armed);
        return 1;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        printf("FAILED: the target ended with status 0x%x at boundary %lu\n", status, result->injected);
        return 1;
    }
    if (result->signals_lost) {
        printf("FAILED: at %lu boundaries the host signal was not delivered in time (%lu delivered)\n", result->signals_lost,
               result->signals);
        return 1;
    }
    if (!result->finished || !result->boundaries || result->injected + result->beyond != result->boundaries) {
        printf("FAILED: %lu boundaries were not reached\n", result->boundaries - result->injected - result->beyond);
        return 1;
    }
    if (opt.with_signal)
        printf("%lu of %lu signals delivered, ", result->signals, result->injected);
    printf("100 %% equal\n");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"legacy", no_argument, NULL, 'l'}, {"signal", no_argument, NULL, 's'},
                                          {"stride", required_argument, NULL, 'n'},
                                          {"runtime", required_argument, NULL, 'r'}, {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'l')
            opt.legacy = true;
        else if (c == 's')
            opt.with_signal = true;
        else if (c == 'n')
            opt.stride = strtoul(optarg, NULL, 0);
        else if (c == 'r')
            opt.runtime = optarg;
        else
            return 2;
    }
    if (argc - optind != 2 || !opt.runtime || !opt.stride) {
        fprintf(stderr, "usage: sweep [--legacy] [--signal] [--stride N] --runtime FILE TARGET PATH\n");
        return 2;
    }
    opt.target = realpath(argv[optind], NULL);
    opt.path = argv[optind + 1];
    opt.twice = !strcmp(opt.path, "handler");
    result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    chosen = mmap(NULL, MAX_BOUNDARIES * sizeof(*chosen), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!opt.target || result == MAP_FAILED || chosen == MAP_FAILED) {
        perror("sweep");
        return 2;
    }
    return report(drive(&(struct drive){.runtime = opt.runtime, .target = opt.target, .path = opt.path,
                                        .legacy = opt.legacy, .begin = at_begin, .end = at_end}));
}
