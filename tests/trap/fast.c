/* SPDX-License-Identifier: Apache-2.0
 *
 * ENCLU without traps: the same results and counts as with them, whatever interrupts it wherever. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static struct trap_fx fx;
static volatile uint32_t handled;
static bool lazily; /* FS and GS are the host's only when it needs them */

static void open_fast(uint64_t attributes)
{
    trap_open(&fx, TRAP_BASE, attributes);
    CHECK(!softsgx_accelerate(fx.enclave), "accelerate");
    trap_fast = true;
    trap_self = lazily ? softsgx_fast_self() : NULL;
    CHECK(!lazily || trap_self, "self");
}

/* R10 and R11 are the price of a fast EENTER. */
static void round_trip(unsigned thread, uint64_t seed)
{
    struct trap_regs regs = { .rdx = seed, .r8 = seed + 1, .r9 = seed + 2, .r12 = seed + 3, .r13 = seed + 4, .r14 = seed + 5,
                              .r15 = seed + 6 };

    trap_call(&fx, thread, FN_ROUNDTRIP, &regs);
    CHECK(regs.rdx == seed + 1 && regs.r8 == seed + 2 && regs.r9 == seed + 3, "rdx, r8, r9");
    CHECK(regs.r12 == seed + 4 && regs.r13 == seed + 5 && regs.r14 == seed + 6 && regs.r15 == seed + 7, "r12 to r15");
    CHECK(regs.rcx == (uint64_t)trap_site, "RCX is the AEP");
    CHECK(trap_tcs_page(&fx, thread)->state == SGX_TCS_INACTIVE && !trap_tcs_page(&fx, thread)->cssa, "TCS");
}

static void handler(int sig, siginfo_t *info, void *uc)
{
    (void)sig, (void)info, (void)uc;
    handled++;
}

static void test_counts(void)
{
    struct softsgx_stats before, after;

    open_fast(0);
    round_trip(0, 7);
    before = trap_stats_now();
    for (uint64_t i = 0; i < 100000; i++)
        round_trip((unsigned)(i % EN_THREADS), i);
    after = trap_stats_now();
    CHECK(after.eenter - before.eenter == 100000 && after.eexit - before.eexit == 100000, "%lu, %lu",
          after.eenter - before.eenter, after.eexit - before.eexit);
    CHECK(after.aex == before.aex, "%lu AEXs", after.aex - before.aex);
}

/* What is no fast leaf still is one. */
static void test_other_ways(void)
{
    struct trap_regs regs = { .rsi = 1000 };

    open_fast(0);
    trap_call(&fx, 0, trap_loop_fn(), &regs);
    trap_check_loop(&regs, 1000);
    trap_fast = false; /* a slow entry, a fast exit */
    round_trip(0, 1);
    trap_fast = true;
    softsgx_aex_every(); /* stepping takes the traps, and sees every instruction */
    regs = (struct trap_regs){ .rsi = 5 };
    trap_call(&fx, 0, FN_SHORT, &regs);
    trap_check_short(&regs, 5);
    softsgx_step(NULL, NULL);
    round_trip(0, 2);
    CHECK(softsgx_accelerate(fx.enclave) < 0, "twice");
    softsgx_destroy(fx.enclave);
    trap_build(&fx, TRAP_BASE, TRAP_SIZE, 0); /* not accelerated: traps again */
    round_trip(0, 3);
    CHECK(!softsgx_accelerate(fx.enclave), "accelerate");
    round_trip(0, 4);
}

/* ---- storms ---- */
static volatile bool stop;
static pid_t target;

static void *send_signals(void *arg)
{
    while (!stop) {
        syscall(SYS_tgkill, getpid(), target, SIGUSR1);
        for (volatile int i = 0; i < 2000; i++)
            ;
    }
    return arg;
}

static bool enough(bool notify)
{
    struct softsgx_stats stats = trap_stats_now();

    return stats.aex > 10 && handled > 20 && (!notify || stats.eresume_notify > 20);
}

static void storm(uint64_t attributes)
{
    bool notify = attributes & SGX_ATTR_AEXNOTIFY;
    pthread_t sender;
    uint64_t rounds = 0;

    open_fast(attributes);
    CHECK(!softsgx_sigaction(SIGUSR1, handler), "sigaction");
    softsgx_set_tick_hz(20000);
    target = (pid_t)syscall(SYS_gettid);
    CHECK(!pthread_create(&sender, NULL, send_signals, NULL), "thread");
    /* On a loaded machine the signals leave little room for ticks: more time, then. */
    for (uint64_t start = trap_ns(); trap_ns() - start < (enough(notify) ? 2 : 20) * 1000000000ull; rounds++) {
        struct trap_regs regs = { .rsi = 1, .rdx = trap_loop_fn(), .r8 = 300 };
        round_trip(0, rounds);
        if (!notify)
            regs = (struct trap_regs){ .rsi = 300 };
        trap_call(&fx, 0, notify ? FN_ARM : trap_loop_fn(), &regs);
        trap_check_loop(&regs, 300);
    }
    softsgx_set_tick_hz(0);
    stop = true;
    pthread_join(sender, NULL);
    round_trip(0, 0);
    struct softsgx_stats stats = trap_stats_now();
    printf("     %lu rounds, %lu AEXs, %u signals, %lu notifications\n", rounds, stats.aex, handled, stats.eresume_notify);
    CHECK(stats.aex > 10 && handled > 20, "no storm: %lu AEXs, %u signals", stats.aex, handled);
    CHECK(stats.eresume == stats.aex, "%lu ERESUMEs for %lu AEXs", stats.eresume, stats.aex);
    CHECK(stats.eenter == stats.eexit, "%lu EENTERs, %lu EEXITs", stats.eenter, stats.eexit);
    CHECK(stats.edeccssa == stats.eresume_notify, "%lu EDECCSSAs", stats.edeccssa);
    CHECK(!notify || stats.eresume_notify > 20, "%lu notifications", stats.eresume_notify);
}

static void test_storm(void)
{
    storm(0);
}

static void test_storm_notify(void)
{
    storm(SGX_ATTR_AEXNOTIFY);
}

/* ---- a signal in front of every instruction of a round trip ---- */
/* The child does a round trip after each SIGSTOP of its own; the parent steps `k` instructions from the call on and sends
 * a signal there. */
static void traced(void)
{
    open_fast(0);
    CHECK(!softsgx_sigaction(SIGUSR1, handler), "sigaction");
    round_trip(0, 1); /* everything that happens once */
    CHECK(!ptrace(PTRACE_TRACEME, 0, NULL, NULL), "traceme");
    for (uint64_t i = 0;; i++) {
        struct softsgx_stats before = trap_stats_now(), after;
        uint32_t signals = handled;
        raise(SIGSTOP);
        round_trip(0, i);
        after = trap_stats_now();
        CHECK(handled == signals + 1, "%u signals at instruction %lu", handled - signals, i);
        CHECK(after.eenter - before.eenter == 1 && after.eexit - before.eexit == 1, "instruction %lu: EENTER %lu, EEXIT %lu", i,
              after.eenter - before.eenter, after.eexit - before.eexit);
        CHECK(after.aex == after.eresume, "instruction %lu", i);
    }
}

static uint64_t step_to(pid_t pid, uint64_t rip, uint64_t steps)
{
    struct user_regs_struct regs = {0};
    int status;

    for (uint64_t i = 0; i < 100000; i++) {
        ptrace(PTRACE_GETREGS, pid, NULL, &regs);
        if ((rip && regs.rip == rip) || (!rip && i == steps))
            return regs.rip;
        ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
        waitpid(pid, &status, 0);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "stepping: status %#x", (unsigned)status);
    }
    CHECK(false, "never came to %#lx", rip);
}

/* The processor's own signals (SIGILL, SIGTRAP) are passed on. */
static void run_to_stop(pid_t pid, int *status)
{
    for (int passed = 0; passed < 1000; passed++) {
        waitpid(pid, status, 0);
        if (!WIFSTOPPED(*status) || WSTOPSIG(*status) == SIGSTOP)
            return;
        ptrace(PTRACE_CONT, pid, NULL, WSTOPSIG(*status));
    }
}

static void test_every_instruction(void)
{
    uint64_t inside = 0, total = 0;
    pid_t pid = fork();
    int status;

    if (!pid) {
        traced();
        _Exit(1);
    }
    for (bool done = false; !done; total++) {
        run_to_stop(pid, &status);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "instruction %lu: status %#x", total, (unsigned)status);
        ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
        waitpid(pid, &status, 0);
        step_to(pid, (uint64_t)trap_fast_call, 0);
        uint64_t rip = step_to(pid, 0, total);
        inside += rip - TRAP_BASE < TRAP_SIZE;
        done = rip == (uint64_t)trap_after;
        /* What is C is the host's own function to a signal: every fifth instruction of it is enough. */
        if (rip - TRAP_BASE > 2 * TRAP_SIZE && rip - (uint64_t)softsgx_fast_eenter > 1024 && !done)
            total += 4;
        ptrace(PTRACE_CONT, pid, NULL, SIGUSR1);
    }
    printf("     %lu instructions, %lu of them the enclave's\n", total, inside);
    CHECK(total > 100 && inside > 20, "%lu instructions, %lu inside", total, inside);
    run_to_stop(pid, &status);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "the last: status %#x", (unsigned)status);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

/* ---- entries that are like the last one, and those that only look like it ---- */
static unsigned refusals;

static void on_refusal(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    refusals++;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)trap_after;
}

static void refuse(unsigned thread, const char *why)
{
    struct trap_regs regs = {0};
    unsigned before = refusals;

    trap_call(&fx, thread, FN_ROUNDTRIP, &regs);
    CHECK(refusals == before + 1, "not refused: %s", why);
}

static void check_bases(unsigned thread)
{
    struct trap_regs regs = {0};

    trap_call(&fx, thread, FN_FSBASE, &regs);
    CHECK(regs.rdx == fx.base + EN_THREAD + thread * EN_THREAD_SIZE + EN_FS, "FS inside: %#lx", regs.rdx);
}

static void test_like_the_last(void)
{
    const uint64_t ssa = EN_THREAD + EN_SSA, ssa2 = ssa + EN_THREAD_SIZE, flags = SGX_TCS_AEXNOTIFY;

    lazily = true;
    open_fast(0);
    CHECK(!softsgx_sigaction(SIGSEGV, on_refusal), "sigaction");
    for (uint64_t i = 0; i < 10; i++) {
        round_trip(0, i);
        check_bases(0);
        round_trip(1, i);
        check_bases(1);
    }
    round_trip(0, 1);
    CHECK(!softsgx_protect(fx.enclave, fx.base + ssa, SGX_PAGE_SIZE, PROT_READ), "protect");
    refuse(0, "the frame is read-only");
    CHECK(!softsgx_protect(fx.enclave, fx.base + ssa, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE), "protect");
    round_trip(0, 2);
    CHECK(!softsgx_protect(fx.enclave, fx.base + ssa2, SGX_PAGE_SIZE, PROT_READ), "protect"); /* somebody else's */
    round_trip(0, 3);
    refuse(1, "its frame is read-only");
    round_trip(0, 4);
    trap_tcs_page(&fx, 0)->state = SGX_TCS_ACTIVE;
    refuse(0, "another thread has the TCS");
    CHECK(trap_tcs_page(&fx, 0)->state == SGX_TCS_ACTIVE, "taken away");
    trap_tcs_page(&fx, 0)->state = SGX_TCS_INACTIVE;
    round_trip(0, 5);
    trap_tcs_page(&fx, 0)->cssa = EN_NSSA;
    refuse(0, "no frame is left");
    CHECK(trap_tcs_page(&fx, 0)->state == SGX_TCS_INACTIVE, "kept");
    trap_tcs_page(&fx, 0)->cssa = 0;
    round_trip(0, 6);
    CHECK(!softsgx_debug_write(fx.enclave, trap_tcs(&fx, 0) + offsetof(struct sgx_tcs, flags), &flags, sizeof(flags)), "EDBGWR");
    refuse(0, "AEX-Notify without the attribute");
    CHECK(!softsgx_debug_write(fx.enclave, trap_tcs(&fx, 0) + offsetof(struct sgx_tcs, flags), &(uint64_t){0}, sizeof(flags)),
          "EDBGWR");
    round_trip(0, 7);
    struct softsgx_stats stats = trap_stats_now();
    CHECK(stats.eenter == stats.eexit && stats.aex == stats.eresume, "%lu EENTERs, %lu EEXITs", stats.eenter, stats.eexit);
}

/* The host's bases come back when it asks for them, and when a signal does. */
static void test_lazy_bases(void)
{
    uint64_t fs;

    lazily = true;
    open_fast(0);
    CHECK(!softsgx_sigaction(SIGUSR1, handler), "sigaction");
    __asm__ volatile("rdfsbase %0" : "=r"(fs));
    for (int i = 0; i < 100; i++) {
        round_trip(0, 1);
        uint64_t now;
        __asm__ volatile("rdfsbase %0" : "=r"(now));
        CHECK(now == fs, "FS %#lx", now);
        if (i % 3 == 0)
            raise(SIGUSR1);
    }
    CHECK(handled == 34, "%u signals", handled);
}

static void test_counts_lazily(void)
{
    lazily = true;
    test_counts();
}

static void test_other_ways_lazily(void)
{
    lazily = true;
    test_other_ways();
}

static void test_storm_lazily(void)
{
    lazily = true;
    storm(0);
}

static void test_storm_notify_lazily(void)
{
    lazily = true;
    storm(SGX_ATTR_AEXNOTIFY);
}

static void test_every_instruction_lazily(void)
{
    lazily = true;
    test_every_instruction();
}

int main(int argc, char **argv)
{
    static const struct trap_test tests[] = {
        { "like-the-last", test_like_the_last },
        { "lazy-bases", test_lazy_bases },
        { "counts-lazily", test_counts_lazily },
        { "other-ways-lazily", test_other_ways_lazily },
        { "storm-lazily", test_storm_lazily },
        { "storm-notify-lazily", test_storm_notify_lazily },
        { "every-instruction-lazily", test_every_instruction_lazily },
        { "counts", test_counts },
        { "other-ways", test_other_ways },
        { "storm", test_storm },
        { "storm-notify", test_storm_notify },
        { "every-instruction", test_every_instruction },
    };

    return trap_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
