/* SPDX-License-Identifier: Apache-2.0
 *
 * Stepping, the ready-made interrupt schedules, breakpoints, and AEX-Notify under all of them. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#define MAX_TRACE 4096

static struct trap_fx fx;
static uint64_t trace[MAX_TRACE];
static unsigned traced;

static enum softsgx_action record(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    CHECK(b->count == traced && traced < MAX_TRACE, "count %lu", b->count);
    CHECK(b->entered == (traced == 0), "entered at boundary %u", traced);
    CHECK(b->enclave == fx.enclave && b->tcs == trap_tcs(&fx, 0) && b->cssa == 0 && softsgx_in_enclave(), "boundary");
    CHECK(b->rip == (uint64_t)b->uc->uc_mcontext.gregs[REG_RIP], "RIP of the frame");
    CHECK(b->rsp == (uint64_t)b->uc->uc_mcontext.gregs[REG_RSP], "RSP of the frame");
    CHECK(!(b->uc->uc_mcontext.gregs[REG_EFL] & 0x100), "TF shows in the frame");
    trace[traced++] = b->rip;
    return SOFTSGX_GO;
}

static void call_short(uint64_t iterations)
{
    struct trap_regs regs = { .rsi = iterations };

    trap_call(&fx, 0, FN_SHORT, &regs);
    trap_check_short(&regs, iterations);
}

static void trace_call(unsigned fn, struct trap_regs *regs)
{
    traced = 0;
    softsgx_step(record, NULL);
    trap_call(&fx, 0, fn, regs);
    softsgx_step(NULL, NULL);
}

static unsigned traced_between(const uint8_t *from, const uint8_t *to)
{
    unsigned n = 0;

    for (unsigned i = 0; i < traced; i++)
        n += trace[i] >= trap_label(&fx, from) && trace[i] < trap_label(&fx, to);
    return n;
}

static void test_every_instruction(void)
{
    const unsigned iterations = 400;
    struct trap_regs regs = { .rsi = iterations };
    unsigned i = 0;
    uint64_t start;

    trap_open(&fx, TRAP_BASE, 0);
    start = trap_cpu_ns();
    trace_call(FN_SHORT, &regs);
    printf("     stepped instruction: %lu ns\n", (trap_cpu_ns() - start) / traced);
    trap_check_short(&regs, iterations);
    CHECK(trace[0] == trap_label(&fx, en_entry), "the first boundary is not OENTRY");
    CHECK(trace[traced - 1] == trap_label(&fx, en_eexit), "the last boundary is not the EEXIT");
    CHECK(traced_between(en_short_body, en_short_end) == 6 * iterations, "%u of the body",
          traced_between(en_short_body, en_short_end));
    while (trace[i] != trap_label(&fx, en_short_body))
        i++;
    for (unsigned k = 6; k < 6 * iterations; k++)
        CHECK(trace[i + k] == trace[i + k % 6], "instruction %u of the body", k);
    for (unsigned k = 1; k < 6; k++)
        CHECK(trace[i + k] > trace[i + k - 1], "order");
    CHECK(trace[i + 6 * iterations] == trap_label(&fx, en_short_end), "behind the body");
    CHECK(trap_stats_now().aex == 0, "stepping is no AEX");
}

/* TF is invisible to PUSHF, and POPF does not end stepping. */
static void test_pushf(void)
{
    struct trap_regs plain = {0}, stepped = {0};

    trap_open(&fx, TRAP_BASE, 0);
    trap_call(&fx, 0, FN_PUSHF, &plain);
    trace_call(FN_PUSHF, &stepped);
    CHECK(plain.r8 == stepped.r8 && plain.r9 == stepped.r9 && plain.r10 == stepped.r10,
          "RFLAGS %#lx %#lx %#lx, stepped %#lx %#lx %#lx", plain.r8, plain.r9, plain.r10, stepped.r8, stepped.r9,
          stepped.r10);
    CHECK(traced_between(en_pushf_start, en_pushf_end) == 11, "%u", traced_between(en_pushf_start, en_pushf_end));
}

/* Each iteration of a REP is a place where an interrupt may come. */
static void test_rep(void)
{
    struct trap_regs regs = { .rsi = 50 };
    uint8_t *data;

    trap_open(&fx, TRAP_BASE, 0);
    data = sgx_enclave_alias(fx.enclave) + EN_DATA;
    for (int i = 0; i < 50; i++)
        data[i] = (uint8_t)(i * 3 + 1);
    trace_call(FN_STRING, &regs);
    CHECK(traced_between(en_rep, en_rep_end) == 50, "%u", traced_between(en_rep, en_rep_end));
    CHECK(regs.r8 == 0 && !memcmp(data, data + 0x800, 50), "what REP MOVSB did");
    memset(data + 0x800, 0, 50);
    softsgx_aex_every();
    regs.rsi = 50;
    trap_call(&fx, 0, FN_STRING, &regs);
    CHECK(regs.r8 == 0 && !memcmp(data, data + 0x800, 50), "interrupted REP MOVSB");
}

static void test_aex_after(void)
{
    struct trap_regs regs = { .rsi = 40 };

    trap_open(&fx, TRAP_BASE, 0);
    trace_call(FN_SHORT, &regs);
    for (unsigned n = 0; n <= 200; n++) {
        struct softsgx_stats before = trap_stats_now(), after;

        softsgx_aex_after(n);
        call_short(40);
        after = trap_stats_now();
        CHECK(after.aex_interrupt == before.aex_interrupt + 1 && after.eresume == before.eresume + 1, "n = %u", n);
        CHECK(trap_ssa(&fx, 0, 0)->rip == trace[n], "n = %u: RIP %#lx for %#lx", n, trap_ssa(&fx, 0, 0)->rip, trace[n]);
        CHECK(!trap_ssa(&fx, 0, 0)->exitinfo, "EXITINFO");
    }
}

static void test_aex_every(void)
{
    struct trap_regs regs = { .rsi = 40 }, loop = { .rsi = 300 };
    struct softsgx_stats stats;
    uint64_t start;

    trap_open(&fx, TRAP_BASE, 0);
    trace_call(FN_SHORT, &regs);
    softsgx_aex_every();
    start = trap_cpu_ns();
    call_short(40);
    printf("     stepped instruction with AEX + ERESUME: %lu ns\n", (trap_cpu_ns() - start) / traced);
    stats = trap_stats_now();
    CHECK(stats.aex_interrupt == traced && stats.eresume == traced, "%lu AEXs, %u instructions", stats.aex_interrupt,
          traced);
    trap_call(&fx, 0, trap_loop_fn(), &loop);
    trap_check_loop(&loop, 300);
}

static void random_run(uint64_t seed, uint64_t *count, uint64_t *last)
{
    struct softsgx_stats before = trap_stats_now();
    struct trap_regs regs = { .rsi = 400 };

    softsgx_aex_random(seed, 20);
    trap_call(&fx, 0, trap_loop_fn(), &regs);
    softsgx_step(NULL, NULL);
    trap_check_loop(&regs, 400);
    *count = trap_stats_now().aex_interrupt - before.aex_interrupt;
    *last = trap_ssa(&fx, 0, 0)->rip ^ trap_ssa(&fx, 0, 0)->rsi << 32;
}

static void test_aex_random(void)
{
    uint64_t count[3], last[3];

    trap_open(&fx, TRAP_BASE, 0);
    random_run(1, &count[0], &last[0]);
    random_run(1, &count[1], &last[1]);
    random_run(2, &count[2], &last[2]);
    CHECK(count[0] == count[1] && last[0] == last[1], "the same seed, another schedule: %lu %lu", count[0], count[1]);
    CHECK(count[0] != count[2] || last[0] != last[2], "another seed, the same schedule");
    CHECK(count[0] > 2800 / 40 && count[0] < 2800 / 12, "%lu AEXs in about 2800 instructions, mean 20", count[0]);
}

/* ---- what a step function may do ---- */

static enum softsgx_action change(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->rip != trap_label(&fx, en_short_body))
        return SOFTSGX_GO;
    b->uc->uc_mcontext.gregs[REG_RSI] = 5;
    return SOFTSGX_RUN;
}

static unsigned second_calls;

static enum softsgx_action second(void *arg, const struct softsgx_boundary *b)
{
    CHECK(arg == &second_calls && b->count == second_calls, "second function: count %lu", b->count);
    return ++second_calls == 10 ? SOFTSGX_AEX_RUN : SOFTSGX_GO;
}

static enum softsgx_action replace(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->count == 7)
        softsgx_step(second, &second_calls);
    return b->count == 7 ? SOFTSGX_AEX : SOFTSGX_GO;
}

static void test_step_function(void)
{
    struct trap_regs regs = { .rsi = 1000 };

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_step(change, NULL);
    trap_call(&fx, 0, FN_SHORT, &regs);
    trap_check_short(&regs, 5);
    softsgx_step(replace, NULL);
    call_short(40);
    CHECK(second_calls == 10 && trap_stats_now().aex_interrupt == 2, "%u calls, %lu AEXs", second_calls,
          trap_stats_now().aex_interrupt);
    call_short(40); /* runs freely */
    CHECK(second_calls == 10, "stepping goes on");
}

/* ---- breakpoints ---- */

static unsigned hits;
static uint64_t after_hit;

static enum softsgx_action first_after(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (!after_hit)
        after_hit = b->rip;
    return b->count == 3 ? SOFTSGX_RUN : SOFTSGX_GO;
}

static void on_break(void *arg, const struct softsgx_boundary *b)
{
    CHECK(arg == &hits && b->rip == trap_label(&fx, en_break_nop) && softsgx_in_enclave(), "RIP %#lx", b->rip);
    CHECK(b->uc->uc_mcontext.gregs[REG_R8] == 1 && b->cssa == 0, "R8 %llu", b->uc->uc_mcontext.gregs[REG_R8]);
    if (++hits == 2)
        softsgx_step(first_after, NULL);
    if (hits == 3)
        b->uc->uc_mcontext.gregs[REG_R8] = 41;
    if (hits == 5)
        CHECK(!softsgx_break(b->enclave, b->rip, NULL, NULL), "removing it");
}

static uint64_t call_break(void)
{
    struct trap_regs regs = {0};

    trap_call(&fx, 0, FN_BREAK, &regs);
    return regs.r8;
}

static void test_break(void)
{
    struct trap_regs regs = {0};
    uint64_t at;

    trap_open(&fx, TRAP_BASE, 0);
    at = trap_label(&fx, en_break_nop);
    CHECK(softsgx_break(fx.enclave, at + 1, on_break, NULL) == -EINVAL, "not a NOP");
    CHECK(softsgx_break(fx.enclave, fx.base + TRAP_SIZE, on_break, NULL) == -EINVAL, "not in ELRANGE");
    CHECK(!softsgx_break(fx.enclave, at, on_break, &hits), "break");
    CHECK(call_break() == 2 && hits == 1, "hit 1");
    CHECK(call_break() == 2 && hits == 2 && after_hit == trap_label(&fx, en_break_after), "stepping from a breakpoint");
    CHECK(call_break() == 42 && hits == 3, "hit 3");
    trace_call(FN_BREAK, &regs);
    CHECK(hits == 4 && traced_between(en_break_nop, en_break_after) == 1 &&
          traced_between(en_break_after, en_break_after + 1) == 1, "reached by stepping");
    CHECK(call_break() == 2 && hits == 5 && call_break() == 2 && hits == 5, "removed");
    CHECK(trap_stats_now().aex == 0, "a breakpoint is no AEX");
}

static void count_hit(void *arg, const struct softsgx_boundary *b)
{
    (void)b;
    ++*(unsigned *)arg;
}

static void page_back(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    CHECK(info->si_addr == (void *)(fx.base + EN_DATA), "address %p", info->si_addr);
    CHECK(!softsgx_page_out(fx.enclave, fx.base + EN_DATA + 5, false), "back");
}

/* The breakpoint of an enclave that is gone does not come back with the next one in its place. */
static void test_break_destroy(void)
{
    unsigned n = 0;

    trap_open(&fx, TRAP_BASE, 0);
    for (int i = 0; i < 70; i++) {
        CHECK(!softsgx_break(fx.enclave, trap_label(&fx, en_break_nop), count_hit, &n), "round %d", i);
        if (i % 10)
            CHECK(!softsgx_break(fx.enclave, trap_label(&fx, en_break_nop), NULL, NULL), "round %d", i);
    }
    softsgx_destroy(fx.enclave);
    trap_build(&fx, TRAP_BASE, TRAP_SIZE, 0);
    CHECK(call_break() == 2 && n == 0, "hit %u times", n);
}

/* Breakpoints on any instruction: at each that a function executes, the ENCLU that leaves the enclave included, with
 * each answer. What the function returns must not change. */
static struct { uint64_t at; unsigned hits; enum softsgx_action answer; } stop;

static enum softsgx_action on_stop(void *arg, const struct softsgx_boundary *b)
{
    CHECK(arg == &stop && b->rip == stop.at && b->cssa == 0 && softsgx_in_enclave(), "RIP %#lx", b->rip);
    CHECK(!(b->uc->uc_mcontext.gregs[REG_EFL] & 0x100), "TF shows");
    stop.hits++;
    /* A plain ERESUME comes back to the breakpoint. */
    if (stop.answer == SOFTSGX_AEX)
        return stop.hits % 2 ? SOFTSGX_AEX : SOFTSGX_GO;
    return stop.answer;
}

static unsigned occurrences(uint64_t address)
{
    unsigned n = 0;

    for (unsigned i = 0; i < traced; i++)
        n += trace[i] == address;
    return n;
}

static void stop_at(unsigned fn, const struct trap_regs *arguments, const struct trap_regs *expected, uint64_t address,
                    enum softsgx_action answer)
{
    const bool once = answer == SOFTSGX_RUN || answer == SOFTSGX_AEX_RUN, aex = answer == SOFTSGX_AEX || answer == SOFTSGX_AEX_RUN;
    unsigned n = once ? 1 : occurrences(address);
    uint64_t before = trap_stats_now().aex_interrupt;
    struct trap_regs regs = *arguments;
    uint8_t byte = *(const uint8_t *)(sgx_enclave_alias(fx.enclave) + (address - fx.base));

    stop.at = address;
    stop.hits = 0;
    stop.answer = answer;
    CHECK(!softsgx_break_at(fx.enclave, address, on_stop, &stop), "break_at %#lx", address);
    trap_call(&fx, 0, fn, &regs);
    CHECK(stop.hits == n * (answer == SOFTSGX_AEX ? 2 : 1), "function %u, %#lx: %u hits, %u times there", fn, address,
          stop.hits, n);
    CHECK(trap_stats_now().aex_interrupt - before == (aex ? n : 0), "AEXs");
    CHECK(!aex || trap_ssa(&fx, 0, 0)->rip == address, "RIP %#lx in the SSA", trap_ssa(&fx, 0, 0)->rip);
    regs.rbp = expected->rbp; /* the caller's */
    CHECK(!memcmp(&regs, expected, sizeof(regs)), "function %u, breakpoint at %#lx, answer %d: other results", fn, address,
          answer);
    CHECK(softsgx_break_at(fx.enclave, address, NULL, NULL) == (once ? -ENOENT : 0), "there afterwards");
    CHECK(*(const uint8_t *)(sgx_enclave_alias(fx.enclave) + (address - fx.base)) == byte, "the byte is not as it was");
}

static void stop_everywhere(unsigned fn, const struct trap_regs *arguments)
{
    static const enum softsgx_action answers[] = { SOFTSGX_GO, SOFTSGX_RUN, SOFTSGX_AEX, SOFTSGX_AEX_RUN };
    struct trap_regs expected = *arguments, regs = *arguments;
    unsigned enclu = 0;

    trap_call(&fx, 0, fn, &expected);
    trace_call(fn, &regs);
    regs.rbp = expected.rbp;
    CHECK(!memcmp(&regs, &expected, sizeof(regs)), "function %u, stepped: other results", fn);
    for (unsigned i = 0; i < traced; i++) {
        bool seen = false;

        for (unsigned k = 0; k < i && !seen; k++)
            seen = trace[k] == trace[i];
        for (unsigned a = 0; a < 4 && !seen; a++)
            stop_at(fn, arguments, &expected, trace[i], answers[a]);
        enclu += trace[i] == trap_label(&fx, en_eexit);
    }
    CHECK(enclu == 1, "EEXIT");
}

static void test_break_at(void)
{
    trap_open(&fx, TRAP_BASE, 0);
    stop_everywhere(FN_ROUNDTRIP, &(struct trap_regs){ .r8 = 1 });
    stop_everywhere(FN_SHORT, &(struct trap_regs){ .rsi = 3 });
    stop_everywhere(FN_PUSHF, &(struct trap_regs){0});
    stop_everywhere(FN_FLAGS, &(struct trap_regs){ .rsi = 0x400, .rdx = 3 });
    stop_everywhere(FN_STRING, &(struct trap_regs){ .rsi = 9 });
    stop_everywhere(FN_FSBASE, &(struct trap_regs){0});
    stop_everywhere(FN_BREAK, &(struct trap_regs){0});
    stop_everywhere(trap_loop_fn(), &(struct trap_regs){ .rsi = 4 });
}

/* Stepping over breakpoints, and beginning to step at one. */
static enum softsgx_action start_stepping(void *arg, const struct softsgx_boundary *b)
{
    (void)b;
    traced = 0;
    after_hit = 0;
    softsgx_step(first_after, NULL);
    return *(enum softsgx_action *)arg;
}

static void test_break_at_and_step(void)
{
    enum softsgx_action go = SOFTSGX_GO, run = SOFTSGX_RUN;
    struct trap_regs regs = { .rsi = 5 };
    uint64_t body;
    unsigned n;

    trap_open(&fx, TRAP_BASE, 0);
    body = trap_label(&fx, en_short_body);
    trace_call(FN_SHORT, &regs);
    n = traced;
    stop.at = body;
    stop.hits = 0;
    stop.answer = SOFTSGX_GO;
    CHECK(!softsgx_break_at(fx.enclave, body, on_stop, &stop), "break_at");
    regs = (struct trap_regs){ .rsi = 5 };
    trace_call(FN_SHORT, &regs);
    CHECK(traced == n && stop.hits == 5, "%u boundaries for %u, %u hits", traced, n, stop.hits);
    trap_check_short(&regs, 5);
    CHECK(!softsgx_break_at(fx.enclave, body, start_stepping, &go), "break_at");
    call_short(1);
    CHECK(after_hit > body && after_hit < trap_label(&fx, en_short_end), "%#lx behind %#lx", after_hit, body);
    CHECK(!softsgx_break_at(fx.enclave, body, start_stepping, &run), "break_at");
    call_short(1);
    CHECK(after_hit > body && after_hit < trap_label(&fx, en_short_end), "%#lx behind %#lx", after_hit, body);
    CHECK(softsgx_break_at(fx.enclave, body, NULL, NULL) == -ENOENT, "removed");
}

/* Threads that come to one breakpoint, remove it and set it again, all at once: no INT3 of ours is taken for the enclave's,
 * which would be a SIGILL, and none is lost. */
static struct { uint64_t body, until, hits, calls; } crowd;

static enum softsgx_action on_crowd(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    CHECK(b->rip == crowd.body, "RIP %#lx", b->rip);
    __atomic_fetch_add(&crowd.hits, 1, __ATOMIC_RELAXED);
    return SOFTSGX_GO;
}

static void *come_by(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;

    CHECK(!softsgx_thread_init(), "thread_init");
    while (trap_ns() < crowd.until) {
        struct trap_regs regs = { .rsi = 200 };

        trap_call(&fx, thread, FN_SHORT, &regs);
        trap_check_short(&regs, 200);
        __atomic_fetch_add(&crowd.calls, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_break_crowd(void)
{
    pthread_t threads[EN_THREADS];
    unsigned changes = 0;

    trap_open(&fx, TRAP_BASE, 0);
    crowd.body = trap_label(&fx, en_short_body);
    for (unsigned changing = 0; changing < 2; changing++) {
        crowd.until = trap_ns() + 800000000ull;
        crowd.hits = crowd.calls = 0;
        CHECK(!softsgx_break_at(fx.enclave, crowd.body, on_crowd, NULL), "break_at");
        for (uintptr_t i = 0; i < 3; i++)
            CHECK(!pthread_create(&threads[i], NULL, come_by, (void *)i), "pthread_create");
        while (changing && trap_ns() < crowd.until) {
            changes++;
            CHECK(!softsgx_break_at(fx.enclave, crowd.body, on_crowd, NULL), "change %u", changes);
            CHECK(!softsgx_break_at(fx.enclave, crowd.body, NULL, NULL), "removed by nobody else, %u", changes);
            CHECK(!softsgx_break_at(fx.enclave, crowd.body, on_crowd, NULL), "change %u", changes);
        }
        for (unsigned i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        CHECK(crowd.calls && crowd.hits, "%lu calls, %lu hits", crowd.calls, crowd.hits);
        crowd.hits = 0;
        call_short(1);
        CHECK(crowd.hits == 1, "%lu hits: the breakpoint is lost", crowd.hits);
        CHECK(!softsgx_break_at(fx.enclave, crowd.body, NULL, NULL), "removed");
    }
    CHECK(changes > 10, "%u changes", changes);
}

/* A page that is paged out faults, and is as it was when it comes back. */
static void test_page_out(void)
{
    struct trap_regs regs = { .rsi = 50 };
    uint64_t page;

    trap_open(&fx, TRAP_BASE, 0);
    page = fx.base + EN_DATA;
    CHECK(softsgx_page_out(fx.enclave, fx.base + TRAP_SIZE, true) == -EINVAL, "outside");
    CHECK(!softsgx_page_out(fx.enclave, page, true), "away");
    CHECK(!softsgx_page_out(fx.enclave, page, false), "back");
    trap_call(&fx, 0, FN_STRING, &regs);
    CHECK(regs.r8 == 0 && trap_stats_now().aex == 0, "the page is there");
    CHECK(!softsgx_page_out(fx.enclave, page, true), "away");
    CHECK(softsgx_sigaction(SIGSEGV, page_back) == 0, "sigaction");
    regs.rsi = 50;
    trap_call(&fx, 0, FN_STRING, &regs);
    CHECK(regs.r8 == 0 && trap_stats_now().aex_exception == 1, "%lu faults", trap_stats_now().aex_exception);
}

/* ---- AEX-Notify: the morphed ERESUME, EDECCSSA, and restarts of the restoring code ---- */

static void armed_loop(uint64_t iterations)
{
    struct trap_regs regs = { .rsi = 1, .rdx = trap_loop_fn(), .r8 = iterations };

    trap_call(&fx, 0, FN_ARM, &regs);
    trap_check_loop(&regs, iterations);
    CHECK(trap_tcs_page(&fx, 0)->cssa == 0, "CSSA");
}

static void test_notify_random(void)
{
    struct softsgx_stats stats;
    uint64_t notified, restarted;

    trap_open(&fx, TRAP_BASE, SGX_ATTR_AEXNOTIFY);
    for (unsigned seed = 0; seed < 30; seed++) {
        softsgx_aex_random(seed, 60);
        armed_loop(300);
    }
    stats = trap_stats_now();
    notified = *trap_gs(&fx, 0, GS_NOTIFIED);
    restarted = *trap_gs(&fx, 0, GS_RESTARTED);
    CHECK(notified > 300 && restarted > 30, "notified %lu, restarted %lu", notified, restarted);
    CHECK(stats.eresume_notify == notified, "%lu morphed, %lu counted inside", stats.eresume_notify, notified);
    CHECK(stats.edeccssa == notified, "%lu EDECCSSA, %lu notifications", stats.edeccssa, notified);
    CHECK(stats.eresume == stats.aex, "%lu AEXs, %lu ERESUMEs", stats.aex, stats.eresume);
}

/* One AEX in front of every instruction of the restoring code and of what leads to it, then one more in the handler. */
static uint64_t second_gap;

static enum softsgx_action twice(void *arg, const struct softsgx_boundary *b)
{
    uint64_t *first = arg;

    if (b->count == *first)
        return SOFTSGX_AEX;
    return *first < b->count && b->count == *first + second_gap ? SOFTSGX_AEX_RUN : SOFTSGX_GO;
}

static void test_notify_sweep(void)
{
    uint64_t decided[2] = {0};

    trap_open(&fx, TRAP_BASE, SGX_ATTR_AEXNOTIFY);
    for (uint64_t gap = 1; gap < 75; gap++) {
        uint64_t first = 40, before = *trap_gs(&fx, 0, GS_RESTARTED);

        second_gap = gap;
        softsgx_step(twice, &first);
        armed_loop(20);
        decided[*trap_gs(&fx, 0, GS_RESTARTED) != before]++;
    }
    /* The restoring code has 22 instructions; an AEX anywhere else makes a new checkpoint. */
    CHECK(decided[1] == 22, "%lu restarts", decided[1]);
}

/* EDECCSSA is one instruction: a boundary in front of it and one behind, with CSSA one less. */
static uint32_t cssa_before, cssa_behind;

static enum softsgx_action watch(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->rip == trap_label(&fx, en_edeccssa))
        cssa_before = b->cssa;
    if (b->rip == trap_label(&fx, en_restore))
        cssa_behind = b->cssa + 100;
    return b->count == 60 ? SOFTSGX_AEX : SOFTSGX_GO;
}

static void test_edeccssa(void)
{
    trap_open(&fx, TRAP_BASE, SGX_ATTR_AEXNOTIFY);
    softsgx_step(watch, NULL);
    armed_loop(20);
    CHECK(cssa_before == 1 && cssa_behind == 100, "CSSA %u and %u", cssa_before, cssa_behind);
    CHECK(trap_stats_now().edeccssa == 1 && trap_stats_now().eresume_notify == 1, "counters");
}

/* Stepping and signals of the host at the same time. */
static unsigned alarms;

static void on_alarm(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    alarms++;
}

static void test_step_and_signals(void)
{
    struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = {0};
    struct trap_regs regs;

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_sigaction(SIGALRM, on_alarm);
    softsgx_set_tick_hz(700);
    setitimer(ITIMER_REAL, &every, NULL);
    for (uint64_t end = trap_ns() + 1000000000ull; trap_ns() < end;) {
        softsgx_aex_random(trap_ns(), 5);
        regs = (struct trap_regs){ .rsi = 100 };
        trap_call(&fx, 0, trap_loop_fn(), &regs);
        trap_check_loop(&regs, 100);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(alarms > 20 && trap_stats_now().ticks > 20, "%u alarms, %lu ticks", alarms, trap_stats_now().ticks);
}

int main(int argc, char **argv)
{
    static const struct trap_test tests[] = {
        { "every_instruction", test_every_instruction },
        { "pushf", test_pushf },
        { "rep", test_rep },
        { "aex_after", test_aex_after },
        { "aex_every", test_aex_every },
        { "aex_random", test_aex_random },
        { "step_function", test_step_function },
        { "break", test_break },
        { "break_destroy", test_break_destroy },
        { "break_at", test_break_at },
        { "break_at_and_step", test_break_at_and_step },
        { "break_crowd", test_break_crowd },
        { "page_out", test_page_out },
        { "notify_random", test_notify_random },
        { "notify_sweep", test_notify_sweep },
        { "edeccssa", test_edeccssa },
        { "step_and_signals", test_step_and_signals },
    };

    return trap_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
