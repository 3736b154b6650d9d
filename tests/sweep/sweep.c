/* SPDX-License-Identifier: Apache-2.0
 *
 * The boundary sweep of one path of the target program: the target runs it over and over, and each time an event is
 * injected in front of one instruction (depth 1), or of one and of one more among those that handle the first (depth 2):
 * every instruction in front of which it is possible, or every STRIDE-th. The target compares what it sees with the
 * undisturbed pass; this driver checks the armed invariant (sweep/map.c) and that every host signal was delivered before
 * the path was over.
 *
 * --first: an AEX in front of the path's first instruction each time, so that the path leads through stage 1 and the
 * restartable resume. The path `handler` always has it.
 *
 * --edmm: with dynamic memory, for the paths that add, restrict and remove pages.
 *
 * usage: sweep [--legacy] [--edmm] [--first] [--depth 1|2] [--inject A[,B]] [--stride N[,M]] --runtime FILE TARGET PATH */
#include "tests/sweep/driver.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#define LONGEST (1u << 20)   /* instructions of a path */
#define DEEPEST 1            /* CSSA: stage 1; nothing nests */
#define TRIES 20             /* what a fault or a full mailbox leads to varies a little */

/* Shared with the parent, which reports: the child's process belongs to the target. */
struct result {
    uint64_t instructions, chosen;       /* of one pass */
    uint64_t handlers, handler_chosen;   /* depth 2: recorded handlers, boundaries chosen in them */
    uint64_t shots, unreached, pointless, retries;
    uint64_t unreached_rip;
    uint64_t broken, broken_rip, broken_bits;
    uint64_t signals, signals_lost;
    uint64_t k, j;                       /* of the pass that is running, for the message if it ends badly */
    uint64_t finished;
};
static struct result *result;

static struct {
    bool legacy, edmm, first;
    unsigned depth;
    enum sweep_inject inject[2];
    uint64_t stride[2];
    const char *runtime, *target, *path;
} opt = {.depth = 1, .stride = {1, 1}};

static enum { UNDISTURBED, WARM_UP, DISCOVER, SHOOT, HANDLER, PAIR, FINISH } phase;
static struct sweep_trace *path_trace, *handler_trace;
static struct sweep_plan path_plan, handler_plan;
static struct sweep_shot shot;
static struct sweep_outcome outcome;
static uint64_t k, j, tries;   /* positions in the plans */
static bool warm;

static uint64_t applicable(const struct sweep_plan *plan, const struct sweep_trace *trace, uint64_t from,
                           enum sweep_inject inject)
{
    while (from < plan->chosen_count && !sweep_applies(inject, trace->step[plan->chosen[from]].flags))
        from++;
    return from;
}

static enum softsgx_action discover(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (opt.first && b->count == 0)
        return SOFTSGX_AEX;
    sweep_trace_add(path_trace, b);
    return SOFTSGX_GO;
}

static enum softsgx_action first_aex(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    return SOFTSGX_AEX_RUN;
}

static void at_begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    memset(&outcome, 0, sizeof(outcome));
    sweep_fresh(b);
    if (phase == FINISH) {
        b->uc->uc_mcontext.gregs[REG_RAX] = 1;
    } else if (phase == DISCOVER) {
        softsgx_step(discover, NULL);
    } else if (phase == WARM_UP) {
        /* What the runtime does once, such as looking for RET bytes in a page, is over then. */
        softsgx_step(first_aex, NULL);
    } else if (phase != UNDISTURBED) {
        if (opt.first)
            softsgx_step(first_aex, NULL);
        sweep_arm(&shot, &outcome, phase == HANDLER ? handler_trace : NULL);
    }
}

/* ---- from one pass to the next ---- */

static void aim(unsigned point, const struct sweep_plan *plan, const struct sweep_trace *trace, uint64_t position)
{
    sweep_land(plan, trace, plan->chosen[position], &shot.at[point]);
    shot.inject[point] = opt.inject[point];
    shot.points = point + 1;
    tries = 0;
}

static void aim_k(void)
{
    k = applicable(&path_plan, path_trace, k, opt.inject[0]);
    result->k = k < path_plan.chosen_count ? path_plan.chosen[k] : 0;
    result->j = ~0ull;
    if (k >= path_plan.chosen_count) {
        phase = FINISH;
        return;
    }
    phase = opt.depth == 2 ? HANDLER : SHOOT;
    warm = false;
    sweep_trace_clear(handler_trace);
    aim(0, &path_plan, path_trace, k);
}

static void aim_j(void)
{
    j = applicable(&handler_plan, handler_trace, j, opt.inject[1]);
    if (j >= handler_plan.chosen_count) {
        k += opt.stride[0];
        aim_k();
        return;
    }
    result->j = handler_plan.chosen[j];
    phase = PAIR;
    aim(1, &handler_plan, handler_trace, j);
}

static void note_invariant(uint64_t bits, uint64_t rip)
{
    if (!bits || result->broken++)
        return;
    result->broken_rip = rip;
    result->broken_bits = bits;
}

static void note_trace(const struct sweep_trace *t)
{
    if (t->broken)
        note_invariant(1u << 16, t->step[t->broken_at].rip);
}

/* What this pass has shown. Returns false if it must be repeated: the instructions were others this time. */
static bool judge(void)
{
    uint64_t delivered = 0;

    softsgx_debug_read(sweep_map.enclave, drive_counter, &delivered, sizeof(delivered));
    result->signals += outcome.signals;
    if (delivered != result->signals)
        result->signals_lost++;
    note_invariant(outcome.broken, outcome.broken_rip);
    result->pointless += outcome.pointless;
    if (outcome.injected == shot.points)
        return true;
    if (++tries < TRIES) {
        result->retries++;
        return false;
    }
    if (!result->unreached++)
        result->unreached_rip = shot.at[shot.points - 1].rip;
    fprintf(stderr, "sweep: not reached: k=%lu (0x%lx), j=%lu (0x%lx, arrival %u), %u injected, base 0x%lx\n", result->k,
            shot.at[0].rip, result->j, shot.at[shot.points - 1].rip, shot.at[shot.points - 1].arrival, outcome.injected,
            sweep_map.elf_base);
    return true;
}

static void at_end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    sweep_disarm();
    switch (phase) {
    case UNDISTURBED:
        phase = WARM_UP;
        break;
    case WARM_UP:
        phase = DISCOVER;
        break;
    case DISCOVER:
        note_trace(path_trace);
        sweep_plan_make(&path_plan, path_trace);
        result->instructions = path_trace->count;
        result->chosen = path_plan.chosen_count;
        aim_k();
        break;
    case SHOOT:
        if (!judge())
            break;
        result->shots++;
        k += opt.stride[0];
        aim_k();
        break;
    case HANDLER:
        if (!judge() || !warm) { /* what is done only once is done the first time: a page's RET byte is looked for, say */
            warm = true;
            sweep_trace_clear(handler_trace);
            break;
        }
        note_trace(handler_trace);
        sweep_plan_make(&handler_plan, handler_trace);
        result->handlers++;
        result->handler_chosen += handler_plan.chosen_count;
        j = opt.stride[1] > 1 ? k % opt.stride[1] : 0;   /* samples: others for each k */
        aim_j();
        break;
    case PAIR:
        if (!judge())
            break;
        result->shots++;
        j += opt.stride[1];
        aim_j();
        break;
    case FINISH:
        result->finished = 1;
        break;
    }
}

/* ---- report ---- */

static int fail(const char *what, uint64_t a, uint64_t b)
{
    printf("FAILED: ");
    printf(what, a, b);
    printf(" (last pass: k=%lu", result->k);
    if (result->j != ~0ull)
        printf(", j=%lu", result->j);
    printf(")\n");
    return 1;
}

static int report(int status, double seconds)
{
    printf("sweep %s%s%s, %s", opt.path, opt.first && strcmp(opt.path, "handler") ? " behind an AEX" : "",
           opt.legacy ? ", legacy" : opt.edmm ? ", dynamic memory" : "", sweep_inject_name[opt.inject[0]]);
    if (opt.depth == 2)
        printf(" then %s", sweep_inject_name[opt.inject[1]]);
    printf(": %lu instructions, %lu boundaries, ", result->instructions, result->chosen);
    if (opt.depth == 2)
        printf("%lu handlers with %lu boundaries on average, ", result->handlers,
               result->handlers ? result->handler_chosen / result->handlers : 0);
    printf("%lu %s in %.1f s (%.0f/s)", result->shots, opt.depth == 2 ? "pairs" : "passes", seconds,
           (double)result->shots / (seconds > 0.001 ? seconds : 0.001));
    if (result->signals)
        printf(", %lu signals", result->signals);
    if (result->retries)
        printf(", %lu repeated", result->retries);
    if (result->pointless)
        printf(", %lu with a plain AEX instead", result->pointless);
    printf(": ");
    if (result->broken)
        return fail("armed invariant broken, first at 0x%lx, bits 0x%lx", result->broken_rip, result->broken_bits);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return fail("the target ended with status 0x%lx", (uint64_t)status, 0);
    if (result->signals_lost)
        return fail("in %lu passes a host signal was not delivered in time", result->signals_lost, 0);
    if (!result->finished || !result->instructions || result->instructions > LONGEST)
        return fail("not finished", 0, 0);
    if (result->unreached)
        return fail("%lu boundaries were not reached, first 0x%lx", result->unreached, result->unreached_rip);
    uint64_t deepest = path_trace->deepest > handler_trace->deepest ? path_trace->deepest : handler_trace->deepest;
    uint64_t stack = path_trace->stack > handler_trace->stack ? path_trace->stack : handler_trace->stack;
    if (deepest > DEEPEST)
        return fail("CSSA was %lu, it may be %lu", deepest, DEEPEST);
    if (stack)
        printf("CSSA at most %lu, kernel stack %lu bytes: ", deepest, stack);
    printf("100 %% equal\n");
    return 0;
}

static bool parse_injects(char *text)
{
    unsigned n = 0;

    for (char *name = strtok(text, ","); name; name = strtok(NULL, ",")) {
        unsigned i = 0;
        while (i < SWEEP_INJECTS && strcmp(name, sweep_inject_name[i]))
            i++;
        if (i == SWEEP_INJECTS || n == 2)
            return false;
        opt.inject[n++] = (enum sweep_inject)i;
    }
    return n;
}

static bool parse(int argc, char **argv)
{
    static const struct option longs[] = {{"legacy", no_argument, NULL, 'l'}, {"edmm", no_argument, NULL, 'e'}, {"first", no_argument, NULL, 'f'},
                                          {"depth", required_argument, NULL, 'd'}, {"inject", required_argument, NULL, 'i'},
                                          {"stride", required_argument, NULL, 's'},
                                          {"runtime", required_argument, NULL, 'r'}, {0}};

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'l': opt.legacy = true; break;
        case 'e': opt.edmm = true; break;
        case 'f': opt.first = true; break;
        case 'd': opt.depth = (unsigned)atoi(optarg); break;
        case 's':
            if (sscanf(optarg, "%lu,%lu", &opt.stride[0], &opt.stride[1]) < 1)
                return false;
            break;
        case 'r': opt.runtime = optarg; break;
        case 'i':
            if (!parse_injects(optarg))
                return false;
            break;
        default: return false;
        }
    }
    if (argc - optind != 2 || !opt.runtime || !opt.stride[0] || !opt.stride[1] || opt.depth < 1 || opt.depth > 2)
        return false;
    opt.target = realpath(argv[optind], NULL);
    opt.path = argv[optind + 1];
    opt.first |= !strcmp(opt.path, "handler");
    return opt.target;
}

int main(int argc, char **argv)
{
    struct timespec from, to;

    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: sweep [--legacy] [--edmm] [--first] [--depth 1|2] [--inject A[,B]] [--stride N[,M]] --runtime FILE "
                        "TARGET PATH\n");
        return 2;
    }
    result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    path_trace = sweep_trace_new(LONGEST);
    handler_trace = sweep_trace_new(LONGEST);
    if (result == MAP_FAILED || !path_trace || !handler_trace || sweep_plan_init(&path_plan, LONGEST) ||
        sweep_plan_init(&handler_plan, LONGEST)) {
        perror("sweep");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    int status = drive(&(struct drive){.runtime = opt.runtime, .target = opt.target, .path = opt.path,
                                       .legacy = opt.legacy, .edmm = opt.edmm, .begin = at_begin, .end = at_end});
    clock_gettime(CLOCK_MONOTONIC, &to);
    return report(status, (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9);
}
