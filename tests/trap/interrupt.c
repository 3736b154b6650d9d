/* SPDX-License-Identifier: Apache-2.0
 *
 * Ticks and the host's signals: each is an AEX first, and the enclave's state survives it. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct trap_fx fx;
static volatile uint32_t stop;
static __thread uint64_t host_tls = 0x1057;

static void run_loop(unsigned thread, uint64_t iterations)
{
    struct trap_regs regs = { .rsi = iterations };

    trap_call(&fx, thread, trap_loop_fn(), &regs);
    trap_check_loop(&regs, iterations);
}

/* 5 kHz for two seconds, in a loop of GPRs, flags, vectors, FS and GS. */
static void test_ticks(void)
{
    uint64_t end, rounds = 0;
    struct softsgx_stats stats;

    trap_open(&fx, TRAP_BASE, 0);
    CHECK(!softsgx_set_tick_hz(5000), "set_tick_hz");
    for (end = trap_ns() + 2000000000ull; trap_ns() < end; rounds++)
        run_loop(0, 1000000);
    softsgx_set_tick_hz(0);
    stats = trap_stats_now();
    printf("     %lu ticks, %lu million iterations exact\n", stats.ticks, rounds);
    CHECK(stats.ticks > 500, "%lu ticks", stats.ticks);
    CHECK(stats.aex_interrupt == stats.ticks && stats.eresume == stats.ticks, "%lu AEXs", stats.aex_interrupt);
    run_loop(0, 1000000);
    CHECK(trap_stats_now().ticks == stats.ticks, "ticks go on");
    CHECK(softsgx_set_tick_hz(2000000) == -EINVAL, "rate");
}

static void test_notify_ticks(void)
{
    struct trap_regs regs;
    uint64_t end;

    trap_open(&fx, TRAP_BASE, SGX_ATTR_AEXNOTIFY);
    softsgx_set_tick_hz(3000);
    for (end = trap_ns() + 1000000000ull; trap_ns() < end;) {
        regs = (struct trap_regs){ .rsi = 1, .rdx = trap_loop_fn(), .r8 = 500000 };
        trap_call(&fx, 0, FN_ARM, &regs);
        trap_check_loop(&regs, 500000);
    }
    CHECK(trap_stats_now().eresume_notify > 100, "%lu notifications", trap_stats_now().eresume_notify);
    CHECK(*trap_gs(&fx, 0, GS_NOTIFIED) == trap_stats_now().eresume_notify, "lost notifications");
}

/* ---- signals of the embedder ---- */

static unsigned seen[65];

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    CHECK(host_tls == 0x1057, "FS is not the host's");
    CHECK(info->si_signo == sig, "siginfo");
    seen[sig]++;
    if (trap_tcs_page(&fx, 0)->cssa) {
        trap_check_synthetic(&fx, 0, uc);
        CHECK(!trap_ssa(&fx, 0, 0)->exitinfo, "EXITINFO %#x", trap_ssa(&fx, 0, 0)->exitinfo);
    }
    if (seen[sig] == 20)
        stop = 1;
}

static uint64_t spin(unsigned thread)
{
    struct trap_regs regs = { .rsi = (uint64_t)&stop };

    trap_call(&fx, thread, FN_SPIN, &regs);
    return regs.r8;
}

static void test_sigalrm(void)
{
    struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = {0};

    trap_open(&fx, TRAP_BASE, 0);
    CHECK(!softsgx_sigaction(SIGALRM, on_signal), "sigaction");
    setitimer(ITIMER_REAL, &every, NULL);
    spin(0);
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(seen[SIGALRM] >= 20 && trap_stats_now().aex_interrupt >= 20, "%u alarms", seen[SIGALRM]);
}

/* A signal that arrives while a handler runs waits for it. */
static bool in_handler;
static unsigned nested;

static void on_outer(int sig, siginfo_t *info, void *context)
{
    CHECK(!in_handler, "handlers nest");
    in_handler = true;
    raise(sig == SIGUSR1 ? SIGUSR2 : SIGRTMIN + 5);
    raise(SIGRTMIN + 1); /* as if a tick came */
    on_signal(sig, info, context);
    in_handler = false;
    nested++;
}

static void on_last(int sig, siginfo_t *info, void *context)
{
    CHECK(!in_handler, "handlers nest");
    on_signal(sig, info, context);
    nested++;
    stop = 1;
}

static void *send_usr1(void *arg)
{
    const struct timespec soon = { 0, 50000000 };

    nanosleep(&soon, NULL);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

static void test_nested(void)
{
    pthread_t sender, self = pthread_self();

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_sigaction(SIGUSR1, on_outer);
    softsgx_sigaction(SIGUSR2, on_outer);
    softsgx_sigaction(SIGRTMIN + 5, on_last);
    pthread_create(&sender, NULL, send_usr1, &self);
    spin(0);
    pthread_join(sender, NULL);
    CHECK(nested == 3 && seen[SIGUSR1] == 1 && seen[SIGUSR2] == 1 && seen[SIGRTMIN + 5] == 1, "%u", nested);
}

/* A fault signal that somebody sends is an interrupt. */
static void on_sent(int sig, siginfo_t *info, void *context)
{
    CHECK(info->si_code == SI_TKILL, "si_code %d", info->si_code);
    on_signal(sig, info, context);
    stop = 1;
}

static void *send_faults(void *arg)
{
    static const int signals[] = { SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP, SIGSYS };
    const struct timespec soon = { 0, 20000000 };

    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        while (stop)
            nanosleep(&soon, NULL);
        nanosleep(&soon, NULL);
        pthread_kill(*(pthread_t *)arg, signals[i]);
    }
    return NULL;
}

static void test_sent_faults(void)
{
    static const int signals[] = { SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP, SIGSYS };
    pthread_t sender, self = pthread_self();

    trap_open(&fx, TRAP_BASE, 0);
    for (unsigned i = 0; i < 6; i++)
        CHECK(!softsgx_sigaction(signals[i], on_sent), "sigaction %d", signals[i]);
    pthread_create(&sender, NULL, send_faults, &self);
    for (unsigned i = 0; i < 6; i++) {
        spin(0);
        CHECK(seen[signals[i]] == 1, "signal %d", signals[i]);
        stop = 0;
    }
    pthread_join(sender, NULL);
    CHECK(trap_stats_now().aex_interrupt == 6 && trap_stats_now().aex_exception == 0, "counters");
}

/* ---- ticks and the host ---- */

/* A thread that has left the enclave is disturbed once at most. */
static void test_parked(void)
{
    struct timespec rest = { 0, 100000000 };
    unsigned disturbed = 0;

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_set_tick_hz(1000);
    run_loop(0, 2000000);
    while (nanosleep(&rest, &rest) && errno == EINTR)
        disturbed++;
    CHECK(disturbed <= 1, "sleep interrupted %u times", disturbed);
    run_loop(0, 30000000);
    CHECK(trap_stats_now().ticks > 3, "ticks do not come back: %lu", trap_stats_now().ticks);
}

static void *spinner(void *arg)
{
    CHECK(!softsgx_thread_init(), "thread_init");
    spin((unsigned)(uintptr_t)arg);
    return NULL;
}

static uint64_t ticks_in(unsigned ms)
{
    struct timespec rest = { ms / 1000, ms % 1000 * 1000000l };
    uint64_t before = trap_stats_now().ticks;

    while (nanosleep(&rest, &rest) && errno == EINTR)
        ;
    return trap_stats_now().ticks - before;
}

/* The rate of threads that are inside changes at once. */
static void test_rate(void)
{
    pthread_t thread;

    trap_open(&fx, TRAP_BASE, 0);
    pthread_create(&thread, NULL, spinner, (void *)1);
    CHECK(ticks_in(100) == 0, "ticks before there is a rate");
    softsgx_set_tick_hz(500);
    CHECK(ticks_in(200) > 5, "a thread inside gets no ticks");
    softsgx_set_tick_hz(0);
    ticks_in(10);
    CHECK(ticks_in(100) == 0, "ticks go on");
    softsgx_set_tick_hz(500);
    CHECK(ticks_in(200) > 5, "ticks do not come back");
    stop = 1;
    pthread_join(thread, NULL);
}

/* libc's internal signals, whose handlers need the host's FS. */
static void test_setxid(void)
{
    pthread_t thread;

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_set_tick_hz(250);
    pthread_create(&thread, NULL, spinner, (void *)1);
    ticks_in(50);
    for (int i = 0; i < 20; i++)
        CHECK(!setgid(getgid()), "setgid");
    stop = 1;
    pthread_join(thread, NULL);
    CHECK(trap_stats_now().eexit == 1, "the spinner is lost");
}

/* Flags that a signal frame does not carry, and one that would make the handler itself fault. */
static void test_flags(void)
{
    static const uint64_t bits[] = { 1ull << 21, 1ull << 14, 1ull << 18, 1ull << 10 }; /* ID NT AC DF */
    uint64_t all = 0;

    trap_open(&fx, TRAP_BASE, 0);
    for (unsigned i = 0; i < 4; i++) {
        struct trap_regs regs = { .rsi = bits[i], .rdx = 30 };

        softsgx_aex_every();
        trap_call(&fx, 0, FN_FLAGS, &regs);
        CHECK(regs.r8 & bits[i], "%#lx is lost", bits[i]);
        all |= bits[i];
        CHECK(!(regs.r8 & (all ^ bits[i])), "an earlier flag comes back: %#lx", regs.r8);
        CHECK(!(regs.r8 & 0x100), "TF");
    }
    softsgx_step(NULL, NULL);
}

/* What one tick costs: the interrupt, its AEX and the ERESUME. The work in between must be right, the time may vary. */
static uint64_t timed_loop(void)
{
    uint64_t start = trap_cpu_ns();

    run_loop(0, 100000000);
    return trap_cpu_ns() - start;
}

static void test_cost(void)
{
    struct softsgx_stats before, after;
    uint64_t plain, ticked, ticks;

    trap_open(&fx, TRAP_BASE, 0);
    timed_loop();
    plain = timed_loop();
    softsgx_set_tick_hz(10000);
    before = trap_stats_now();
    ticked = timed_loop();
    after = trap_stats_now();
    CHECK(after.ticks > before.ticks, "no ticks");
    ticks = after.ticks - before.ticks;
    printf("     tick + AEX + ERESUME: %ld ns (%lu ticks)\n", (long)(ticked - plain) / (long)ticks, ticks);
}

int main(int argc, char **argv)
{
    static const struct trap_test tests[] = {
        { "ticks", test_ticks },
        { "notify_ticks", test_notify_ticks },
        { "sigalrm", test_sigalrm },
        { "nested", test_nested },
        { "sent_faults", test_sent_faults },
        { "parked", test_parked },
        { "rate", test_rate },
        { "setxid", test_setxid },
        { "flags", test_flags },
        { "cost", test_cost },
    };

    return trap_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
