/* SPDX-License-Identifier: Apache-2.0
 *
 * The step detector against attackers: one that lets the program execute one instruction between two AEXs, one that lets it execute
 * none, one whose AEXs mostly hit the resume, and hosts that interrupt now and then. Each with the limits that must and must not
 * trip, and what comes of it.
 *
 * usage: steps --runtime FILE --target PROGRAM */
#include "tests/defects/lab.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TERMINATED (HOST_EXIT_REFUSED << 8)

static enum { SINGLE_STEP, ZERO_STEP, IN_RESUME, EVERY_TENTH } attacker;
static uint64_t aexs, run_length, seen;

static enum softsgx_action aex(void)
{
    aexs++;
    lab_count[0]++;
    return SOFTSGX_AEX;
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    enum lab_where where = lab_where(b);

    (void)arg;
    if (attacker == IN_RESUME && where == LAB_RESUME && b->rip != lab.final_jump && aexs < 40)
        return ++seen % 7 ? SOFTSGX_GO : aex();
    if (where != LAB_APPLICATION || b->rip == lab.pass_end)
        return SOFTSGX_GO;
    switch (attacker) {
    case SINGLE_STEP: /* one instruction goes, in front of the next one is an AEX */
        return run_length++ % 2 ? SOFTSGX_GO : aex();
    case ZERO_STEP: /* the same instruction 60 times, then the program may go on */
        return aexs < 60 ? aex() : SOFTSGX_GO;
    case IN_RESUME:
        return aexs ? SOFTSGX_GO : aex();
    case EVERY_TENTH:
        return run_length++ % 11 == 10 ? aex() : SOFTSGX_GO;
    }
    return SOFTSGX_GO;
}

static unsigned passes;
static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    aexs = run_length = seen = 0;
    if (++passes == 6)
        lab_last_pass(b);
    if (passes > 1)
        softsgx_step(step, NULL);
}

static void end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
}

static unsigned occurrences(const char *text)
{
    unsigned n = 0;

    for (const char *p = lab_errors; (p = strstr(p, text)); p++)
        n++;
    return n;
}

static const struct row {
    const char *what, *policies[4];
    int attacker;
    bool trips, terminates;
} rows[] = {
    {"single-stepping, terminate", {"step_threshold=48", "step_action=terminate"}, SINGLE_STEP, true, true},
    {"single-stepping, log", {"step_threshold=48"}, SINGLE_STEP, true, false},
    {"single-stepping, slow loops not looked for", {"step_threshold=48", "slow_limit=0", "step_action=terminate"}, SINGLE_STEP, true, true},
    {"single-stepping, detector off", {"step_threshold=0", "step_action=terminate"}, SINGLE_STEP, false, false},
    {"single-stepping, not counted", {"mitigation=none", "step_threshold=48", "step_action=terminate"}, SINGLE_STEP, false, false},
    {"zero-stepping, terminate", {"step_threshold=48", "step_action=terminate"}, ZERO_STEP, true, true},
    {"zero-stepping, log", {"step_threshold=48"}, ZERO_STEP, true, false},
    {"zero-stepping, only counted", {"mitigation=count", "step_threshold=48", "step_action=terminate"}, ZERO_STEP, true, true},
    {"AEXs in the resume, terminate", {"step_threshold=30", "step_action=terminate"}, IN_RESUME, true, true},
    {"an AEX after every ten instructions", {"step_threshold=8", "step_action=terminate"}, EVERY_TENTH, false, false},
};

static int check(const struct row *r)
{
    attacker = r->attacker;
    passes = 0;
    lab_forget();
    const struct lab_run run = {.path = "compute", .policies = r->policies, .begin = begin, .end = end};
    int failed = lab_check_status(&run, r->terminates ? TERMINATED : 0);
    unsigned lines = occurrences("at most one instruction, of the last 64"), ends = occurrences("does not allow");

    if (!failed && lines == r->trips && ends == r->terminates && lab_count[0] > 6) {
        printf("%s: %lu AEXs, %s: ok\n", r->what, lab_count[0], r->trips ? "tripped" : "did not trip");
        return 0;
    }
    printf("%s: FAILED: %lu AEXs, %u lines about steps, %u about the end; %s\n%s", r->what, lab_count[0], lines, ends,
           failed ? lab_reason() : "as for the program, it was right", lab_errors);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"runtime", required_argument, NULL, 'r'}, {"target", required_argument, NULL, 't'}, {0}};
    int failed = 0;

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'r')
            lab_options.runtime = optarg;
        else if (c == 't')
            lab_options.target = realpath(optarg, NULL);
        else
            return 2;
    }
    if (!lab_options.runtime || !lab_options.target) {
        fprintf(stderr, "usage: steps --runtime FILE --target PROGRAM\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        failed += check(&rows[i]);
    return failed != 0;
}
