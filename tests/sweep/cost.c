/* SPDX-License-Identifier: Apache-2.0
 *
 * How many enclave instructions an interruption, a trapped system call and a page fault cost, by single-stepping: from
 * the AEX to the application's next instruction, the host's part left out. An emulated ENCLU counts as one.
 *
 * usage: cost --runtime FILE TARGET */
#include "tests/sweep/driver.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

#define ROUNDS 5
struct result { uint64_t runtime, application, rounds; };
static struct result *result;
static bool with_aex;
static uint64_t in_runtime, in_application, round_number;

/* with_aex: an AEX at the 5th instruction of the path; otherwise the path itself leaves the application. */
static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->rip >= sweep_map.runtime_low || b->cssa) {
        in_runtime++;
        return SOFTSGX_GO;
    }
    in_application++;
    return with_aex && in_application == 5 ? SOFTSGX_AEX : SOFTSGX_GO;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    in_runtime = in_application = 0;
    if (round_number > ROUNDS)
        b->uc->uc_mcontext.gregs[REG_RAX] = 1;
    else if (round_number)
        softsgx_step(step, NULL);
}

static void end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    if (round_number && round_number <= ROUNDS && (!result->rounds++ || in_runtime < result->runtime)) {
        result->runtime = in_runtime;
        result->application = in_application;
    }
    round_number++;
}

static int measure(const char *what, const char *runtime, const char *target, const char *path, bool legacy, bool aex)
{
    memset(result, 0, sizeof(*result));
    with_aex = aex;
    int status = drive(&(struct drive){.runtime = runtime, .target = target, .path = path, .legacy = legacy,
                                       .begin = begin, .end = end});
    if (!WIFEXITED(status) || WEXITSTATUS(status) || result->rounds != ROUNDS) {
        printf("%-44s FAILED (status 0x%x)\n", what, status);
        return 1;
    }
    printf("%-44s %-14s %8lu instructions\n", what, legacy ? "AEX-Notify off" : "AEX-Notify on", result->runtime);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"runtime", required_argument, NULL, 'r'}, {0}};
    const char *runtime = NULL;
    int failed = 0;

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        runtime = c == 'r' ? optarg : NULL;
    char *target = optind + 1 == argc ? realpath(argv[optind], NULL) : NULL;
    if (!runtime || !target) {
        fprintf(stderr, "usage: cost --runtime FILE TARGET\n");
        return 2;
    }
    result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED)
        return 2;
    for (int legacy = 0; legacy < 2; legacy++) {
        failed += measure("AEX to the next application instruction", runtime, target, "compute", legacy, true);
        failed += measure("system call by trap (getppid)", runtime, target, "syscall", legacy, false);
        failed += measure("system call by trap, with OCALL (lseek)", runtime, target, "ocall", legacy, false);
        failed += measure("page fault, handler, sigreturn", runtime, target, "fault", legacy, false);
    }
    return failed != 0;
}
