/* SPDX-License-Identifier: Apache-2.0
 *
 * Coroutines: swapcontext between stacks, and setjmp/longjmp through frames, under whatever interrupts. */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#define COROUTINES 5
#define SWITCHES   400

static ucontext_t main_context, contexts[COROUTINES];
static char stacks[COROUTINES][65536] __attribute__((aligned(16)));
static uint64_t results[COROUTINES];
static int finished;

static void coroutine(int number)
{
    uint64_t state = number + 1;
    double scale = number + 0.5;
    for (int i = 0; i < SWITCHES; i++) {
        double before = scale * i;
        results[number] += random_next(&state);
        swapcontext(&contexts[number], &main_context);
        CHECK(before == scale * i);
    }
    finished++;
}

static void coroutines(void)
{
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack = (stack_t){ .ss_sp = stacks[i], .ss_size = sizeof(stacks[i]) };
        contexts[i].uc_link = &main_context;
        makecontext(&contexts[i], (void (*)(void))coroutine, 1, i);
    }
    for (int round = 0; round <= SWITCHES; round++)
        for (int i = 0; i < COROUTINES; i++)
            swapcontext(&main_context, &contexts[i]);
    CHECK_EQ(finished, COROUTINES);
    uint64_t hash = HASH_START;
    for (int i = 0; i < COROUTINES; i++)
        hash = hash_bytes(hash, &results[i], 8);
    printf("hash %016lx\n", hash);
}

static jmp_buf jump;

static int descend(int depth, uint64_t value)
{
    volatile uint64_t local = value * depth;
    if (depth < 0)
        return 0;
    if (depth == 0)
        longjmp(jump, (int)(value & 0xffff) | 1);
    int result = descend(depth - 1, value + 1);
    return result + (int)local;
}

static void long_jumps(void)
{
    volatile uint64_t sum = 0;
    for (volatile int i = 0; i < 20000; i++) {
        int value = setjmp(jump);
        if (!value)
            descend(i % 50, i);
        sum += value;
    }
    printf("sum %lu\n", sum);
}

static sigjmp_buf signal_jump;

static void on_signal(int sig)
{
    siglongjmp(signal_jump, sig);
}

static void jumps_out_of_handlers(void)
{
    volatile int caught = 0;
    sigset_t set;
    signal(SIGUSR1, on_signal);
    for (volatile int i = 0; i < 300; i++) {
        if (!sigsetjmp(signal_jump, 1))
            raise(SIGUSR1);
        else
            caught++;
        sigprocmask(SIG_BLOCK, NULL, &set);
        CHECK(!sigismember(&set, SIGUSR1));
    }
    CHECK_EQ(caught, 300);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "coroutines", coroutines },
        { "long jumps", long_jumps },
        { "jumps out of handlers", jumps_out_of_handlers },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
