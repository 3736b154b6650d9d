/* SPDX-License-Identifier: Apache-2.0
 *
 * Handlers of interruptions (vigil/aex.h): aex_api [--patience MS] [--thread] [--only SECTION...]
 *
 * What is checked holds natively, in an enclave that is not told of interruptions, and in one that is, however often. A
 * section waits MS milliseconds for interruptions (100). --thread runs the sections in a second thread, which
 * `vigil run --aex threads:...` steps. The last line, on stderr, says how many calls of handlers there were. */
#include "registers.h"
#include "vigil/aex.h"

#include <sys/auxv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define TOLD (told > 0)

extern char __executable_start[], etext[];

static int told;                /* 1: an enclave with AEX-Notify; 0: without; -1: not in an enclave */
static int64_t patience_ns = 100000000;
static atomic_ulong all_calls;

/* Of the thread that runs a section. */
static _Thread_local volatile uint64_t calls, depth;
static _Thread_local struct vigil_aex_info last;

/* What every handler checks. */
static void check_info(const struct vigil_aex_info *info)
{
    const ucontext_t *context = info->context;

    all_calls++;
    CHECK_EQ(info->size, sizeof(*info));
    /* The program's own code, or the vDSO's. */
    CHECK((info->rip >= (uintptr_t)__executable_start && info->rip < (uintptr_t)etext) ||
          info->rip - getauxval(AT_SYSINFO_EHDR) < 0x10000);
    CHECK_EQ(context->uc_mcontext.gregs[REG_RIP], info->rip);
    CHECK(info->interruptions > 0 && info->interruptions <= info->total && info->coalesced <= info->interruptions);
    CHECK(info->total > last.total && info->calls > last.calls);
    CHECK(info->total - last.total >= info->interruptions);
    last = *info;
}

static void count(const struct vigil_aex_info *info, void *arg)
{
    CHECK_EQ(depth++, 0);
    check_info(info);
    calls++;
    if (arg)
        ++*(volatile uint64_t *)arg;
    depth--;
}

/* Registers; the answer says whether calls are to be expected. */
static bool start(vigil_aex_handler handler, void *arg)
{
    int result = vigil_aex_register(handler, arg);

    CHECK_EQ(result, TOLD ? 0 : -1);
    if (!TOLD)
        CHECK_EQ(errno, told < 0 ? ENOSYS : EOPNOTSUPP);
    return result == 0;
}

static void stop(vigil_aex_handler handler, void *arg)
{
    int result = vigil_aex_unregister(handler, arg);

    CHECK_EQ(result, TOLD ? 0 : -1);
    if (!TOLD)
        CHECK_EQ(errno, told < 0 ? ENOSYS : ENOENT);
}

static uint64_t __attribute__((noinline)) spin(uint64_t rounds)
{
    uint64_t x = rounds;
    for (uint64_t i = 0; i < rounds; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

/* Is interrupted a few times, if there are interruptions; always sees its own spins come out right. */
#define UNTIL(condition) \
    do { \
        uint64_t want_ = spin(500); \
        for (int64_t end_ = now_ns(CLOCK_MONOTONIC) + patience_ns; !(condition) && now_ns(CLOCK_MONOTONIC) < end_;) \
            for (int i_ = 0; i_ < 4; i_++) \
                CHECK_EQ(spin(500), want_); \
    } while (0)

static struct vigil_aex_counters counters(void)
{
    struct vigil_aex_counters c = { .size = sizeof(c) };
    int result = vigil_aex_counters(&c);

    CHECK_EQ(result, told < 0 ? -1 : 0);
    if (told >= 0)
        CHECK_EQ(c.size, sizeof(c));
    else
        memset(&c, 0, sizeof(c));
    return c;
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */
static void idle(const struct vigil_aex_info *info, void *arg)
{
    (void)info;
    (void)arg;
}

static void answers(void)
{
    struct vigil_aex_counters c = { .size = 4 };

    CHECK_EQ(vigil_aex_armed(), TOLD);
    CHECK_ERRNO(vigil_aex_counters(&c), told < 0 ? ENOSYS : EINVAL);
    CHECK_ERRNO(vigil_aex_counters(NULL), told < 0 ? ENOSYS : EFAULT);
    CHECK_ERRNO(vigil_aex_register(NULL, NULL), told < 0 ? ENOSYS : EINVAL);
    CHECK_ERRNO(vigil_aex_register((vigil_aex_handler)(uintptr_t)-4096, NULL), told < 0 ? ENOSYS : EINVAL);
    CHECK_ERRNO(vigil_aex_unregister(idle, NULL), told < 0 ? ENOSYS : ENOENT);
    CHECK_ERRNO(vigil_aex_leave(), told < 0 ? ENOSYS : EINVAL);
    CHECK_ERRNO(vigil_aex_call_(99, 0, 0, 0), told < 0 ? ENOSYS : EINVAL);
    uint64_t here[VIGIL_AEX_HANDLERS_MAX + 1] = { 0 };
    for (int i = 0; i < VIGIL_AEX_HANDLERS_MAX; i++)
        start(idle, &here[i]);
    CHECK_EQ(counters().handlers, TOLD ? VIGIL_AEX_HANDLERS_MAX : 0);
    CHECK_ERRNO(vigil_aex_register(idle, &here[0]), told < 0 ? ENOSYS : TOLD ? EEXIST : EOPNOTSUPP);
    CHECK_ERRNO(vigil_aex_register(idle, &here[VIGIL_AEX_HANDLERS_MAX]),
                told < 0 ? ENOSYS : TOLD ? ENOSPC : EOPNOTSUPP);
    for (int i = VIGIL_AEX_HANDLERS_MAX; i-- > 0;)
        stop(idle, &here[i]);
    CHECK_EQ(counters().handlers, 0);
}

static bool grows(const struct vigil_aex_counts *a, const struct vigil_aex_counts *b)
{
    return a->notifications <= b->notifications && a->exceptions <= b->exceptions && a->coalesced <= b->coalesced &&
           a->near_zero <= b->near_zero && a->delivered <= b->delivered && a->stub_runs <= b->stub_runs;
}

static void counting(void)
{
    uint64_t mine = 0;
    struct vigil_aex_counters before = counters();
    uint64_t first = calls;

    start(count, &mine);
    UNTIL(calls >= first + 5);
    stop(count, &mine);
    struct vigil_aex_counters after = counters();
    uint64_t told_of = calls - first;
    CHECK_EQ(mine, told_of);
    CHECK_EQ(after.calls - before.calls, told_of);
    CHECK_EQ(after.missed, before.missed);
    CHECK(grows(&before.thread, &after.thread) && grows(&before.process, &after.process));
    CHECK(grows(&after.thread, &after.process) && after.thread.exceptions <= after.thread.notifications);
    CHECK(told_of <= after.thread.notifications - after.thread.exceptions);
    CHECK(told_of <= after.thread.delivered - before.thread.delivered);
    UNTIL(0);
    CHECK_EQ(calls, first + told_of); /* nothing more */
}

static char sequence[4096];
static size_t sequence_length;

static void note(const struct vigil_aex_info *info, void *arg)
{
    static uint64_t batch;

    if (sequence_length < sizeof(sequence))
        sequence[sequence_length++] = *(char *)arg;
    if (*(char *)arg == 'c')
        batch = info->calls;
    CHECK_EQ(info->calls, batch);
    ((struct vigil_aex_info *)info)->calls = 0; /* ours to scribble on */
}

static void order(void)
{
    static char a = 'a', b = 'b', c = 'c';

    sequence_length = 0;
    start(count, NULL);
    uint64_t first = calls;
    CHECK_EQ(vigil_aex_register(note, &a), TOLD ? 0 : -1);
    CHECK_EQ(vigil_aex_register(note, &b), TOLD ? 0 : -1);
    sequence_length = 0;
    CHECK_EQ(vigil_aex_register(note, &c), TOLD ? 0 : -1);
    UNTIL(calls >= first + 4);
    CHECK_EQ(vigil_aex_unregister(note, &c), TOLD ? 0 : -1);
    size_t length = sequence_length;
    CHECK_EQ(vigil_aex_unregister(note, &b), TOLD ? 0 : -1);
    CHECK_EQ(vigil_aex_unregister(note, &a), TOLD ? 0 : -1);
    stop(count, NULL);
    /* Only whole batches, but for one at each end that met a shorter list. */
    size_t whole = 0;
    for (size_t i = 0; i + 2 < length; i++)
        if (sequence[i] == 'c') {
            CHECK(sequence[i + 1] == 'b' && sequence[i + 2] == 'a');
            whole++;
        }
    if (TOLD && calls >= first + 4)
        CHECK(whole > 0);
}

static void leaves_twice(const struct vigil_aex_info *info, void *arg)
{
    check_info(info);
    calls++;
    CHECK_EQ(vigil_aex_unregister(leaves_twice, arg), 0);
    CHECK_ERRNO(vigil_aex_unregister(leaves_twice, arg), ENOENT);
    CHECK_EQ(vigil_aex_unregister(count, arg), 0);  /* the one that would come next */
}

static void unregister_inside(void)
{
    uint64_t mine = 0, first = calls;

    start(count, &mine);
    uint64_t early = mine;
    start(leaves_twice, &mine);
    UNTIL(calls > first + early);
    if (TOLD && vigil_aex_unregister(leaves_twice, &mine) == 0)
        stop(count, &mine); /* never interrupted */
    UNTIL(0);
    CHECK_EQ(counters().handlers, 0);
    CHECK(calls <= first + mine + 1);
}

static void trash(const struct vigil_aex_info *info, void *arg)
{
    (void)arg;
    check_info(info);
    registers_trash();
    calls++;
}

static void registers(void)
{
    start(trash, NULL);
    uint64_t first = calls, round = 0;
    for (int64_t end = now_ns(CLOCK_MONOTONIC) + patience_ns;
         calls < first + 8 && now_ns(CLOCK_MONOTONIC) < end; round++) {
        registers_level = registers_highest_level();
        registers_fill(&registers_in, round + 1);
        memset(&registers_out, 0, sizeof(registers_out));
        registers_spin = 2000;
        registers_spin_here();
        /* The loop ends with ZF and PF set; DEC leaves CF. */
        registers_compare(&registers_out, &registers_in, (int)registers_level, 0, 0x401);
    }
    stop(trash, NULL);
}

/* Fills the red zone, spins, and counts the words that changed. Never moves RSP. */
long red_zone_changed(uint64_t pattern, uint64_t spins);
__asm__(".text\n"
        ".globl red_zone_changed\n"
        "red_zone_changed:\n"
        "    mov $-128, %rcx\n"
        "1:  lea (%rdi,%rcx), %rax\n"
        "    mov %rax, (%rsp,%rcx)\n"
        "    add $8, %rcx\n"
        "    jnz 1b\n"
        "2:  dec %rsi\n"
        "    jnz 2b\n"
        "    xor %edx, %edx\n"
        "    mov $-128, %rcx\n"
        "3:  lea (%rdi,%rcx), %rax\n"
        "    cmp %rax, (%rsp,%rcx)\n"
        "    je 4f\n"
        "    inc %edx\n"
        "4:  add $8, %rcx\n"
        "    jnz 3b\n"
        "    mov %edx, %eax\n"
        "    ret\n");

static void noise(const struct vigil_aex_info *info, void *arg)
{
    volatile char bytes[1024];

    (void)arg;
    CHECK_EQ((uintptr_t)__builtin_frame_address(0) % 16, 0); /* as the ABI wants it */
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i + calls);
    check_info(info);
    calls++;
}

static void red_zone(void)
{
    start(noise, NULL);
    uint64_t first = calls;
    for (int64_t end = now_ns(CLOCK_MONOTONIC) + patience_ns; calls < first + 8 && now_ns(CLOCK_MONOTONIC) < end;)
        CHECK_EQ(red_zone_changed(calls * 0x123456789abcdefull, 2000), 0);
    stop(noise, NULL);
}

/* Spins with a stack pointer that nothing can be written to. */
void spin_without_stack(uint64_t spins);
__asm__(".globl spin_without_stack\n"
        "spin_without_stack:\n"
        "    mov %rsp, %rax\n"
        "    mov $0x800, %esp\n"
        "1:  dec %rdi\n"
        "    jnz 1b\n"
        "    mov %rax, %rsp\n"
        "    ret\n");

static void no_room(void)
{
    struct vigil_aex_counters before = counters();
    uint64_t first = calls;

    start(count, NULL);
    int64_t end = now_ns(CLOCK_MONOTONIC) + patience_ns;
    while (now_ns(CLOCK_MONOTONIC) < end && !(counters().missed > before.missed && calls > first))
        spin_without_stack(2000);
    stop(count, NULL);
    struct vigil_aex_counters after = counters();
    CHECK_EQ(after.calls - before.calls, calls - first);
}

static sigjmp_buf jump_env;
static volatile uint64_t jumps;

static void jump(const struct vigil_aex_info *info, void *arg)
{
    check_info(info);
    calls++;
    jumps++;
    if (arg) {
        CHECK_EQ(vigil_aex_leave(), 0);
        CHECK_ERRNO(vigil_aex_leave(), EINVAL);
    }
    siglongjmp(jump_env, 1);
}

/* how: non-null, the handler says that it leaves and the mask stays as it is. */
static void jump_out(void *how)
{
    volatile int64_t end = now_ns(CLOCK_MONOTONIC) + patience_ns;
    volatile bool registered = false;
    sigset_t mask;

    jumps = 0;
    sigsetjmp(jump_env, how == NULL);
    while (jumps < 4 && now_ns(CLOCK_MONOTONIC) < end) {
        if (!registered) {
            registered = true;
            start(jump, how);
        }
        CHECK_EQ(spin(2000), spin(2000));
    }
    /* Here it may jump no more. */
    while (sigsetjmp(jump_env, how == NULL))
        ;
    stop(jump, how);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    if (!how)
        CHECK(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGTERM));
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void long_jumps(void)
{
    jump_out(NULL);
    jump_out(&told);
    /* Everybody else is still called. */
    uint64_t first = calls;
    start(count, NULL);
    UNTIL(calls > first);
    stop(count, NULL);
}

static volatile sig_atomic_t signals_taken, signals_early;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (sig == SIGUSR1) {
        signals_taken++;
        signals_early += depth;
    } else {
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
    }
}

static void raises(const struct vigil_aex_info *info, void *arg)
{
    (void)arg;
    CHECK_EQ(depth++, 0);
    check_info(info);
    calls++;
    raise(SIGUSR1); /* waits until we are through */
    __asm__ volatile("ud2" ::: "memory"); /* does not wait */
    CHECK_EQ(spin(200), spin(200));
    depth--;
}

static void signals(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO }, old[2];
    uint64_t first = calls;

    sigaction(SIGUSR1, &action, &old[0]);
    sigaction(SIGILL, &action, &old[1]);
    signals_taken = signals_early = 0;
    start(raises, NULL);
    UNTIL(calls >= first + 4);
    stop(raises, NULL);
    /* One pending signal may stand for several calls: the next call can come before it is delivered. */
    CHECK((uint64_t)signals_taken <= calls - first);
    CHECK(!signals_taken == (calls == first));
    CHECK_EQ(signals_early, 0);
    sigaction(SIGUSR1, &old[0], NULL);
    sigaction(SIGILL, &old[1], NULL);
}

static char *alternate;
#define ALTERNATE_SIZE 65536

static void on_alternate(const struct vigil_aex_info *info, void *arg)
{
    const char *here = __builtin_frame_address(0);

    (void)arg;
    check_info(info);
    calls++;
    CHECK(here > alternate && here < alternate + ALTERNATE_SIZE);
}

static void alternate_stack(void)
{
    alternate = malloc(ALTERNATE_SIZE);
    stack_t stack = { .ss_sp = alternate, .ss_size = ALTERNATE_SIZE }, off = { .ss_flags = SS_DISABLE };
    uint64_t first = calls;

    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    start(on_alternate, NULL);
    UNTIL(calls >= first + 4);
    /* Without a stack of its own the interrupted code can still be interrupted. */
    for (int i = 0; i < 4; i++)
        spin_without_stack(2000);
    stop(on_alternate, NULL);
    CHECK_EQ(sigaltstack(&off, NULL), 0);
    free(alternate);
}

static volatile uint64_t slow_rounds = 20000;

static void slow(const struct vigil_aex_info *info, void *arg)
{
    CHECK_EQ(depth++, 0);
    check_info(info);
    calls++;
    spin(slow_rounds);
    *(uint64_t *)arg += info->interruptions;
    depth--;
}

/* Handlers that take longer than the time between interruptions are not called for their own interruptions, and the
 * program goes on. */
static void slow_handlers(void)
{
    uint64_t seen = 0, first = calls;
    struct vigil_aex_counters before = counters();

    slow_rounds = 2000;
    start(slow, &seen);
    UNTIL(calls >= first + 4);
    stop(slow, &seen);
    struct vigil_aex_counters after = counters();
    CHECK(seen >= calls - first);
    CHECK(seen <= after.thread.notifications - after.thread.exceptions -
                      (before.thread.notifications - before.thread.exceptions));
}

static void *in_thread(void *arg)
{
    uint64_t mine = 0;

    memset(&last, 0, sizeof(last));
    CHECK_EQ(counters().handlers, 0); /* not inherited */
    start(count, &mine);
    UNTIL(calls >= 3);
    if ((uintptr_t)arg & 1) /* the others end with it */
        stop(count, &mine);
    CHECK_EQ(counters().calls, mine);
    return NULL;
}

/* With a small stack: its memory is cleared at the end, and `--aex threads:` steps through that. */
static pthread_t make_thread(void *(*function)(void *), void *arg)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    REQUIRE(pthread_create(&thread, &attributes, function, arg) == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

static void many_threads(void)
{
    pthread_t threads[6];
    uint64_t first = calls;

    start(count, NULL);
    for (uintptr_t round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < 6; i++)
            threads[i] = make_thread(in_thread, (void *)(i + round));
        for (int i = 0; i < 6; i++)
            pthread_join(threads[i], NULL);
    }
    stop(count, NULL);
    CHECK(calls >= first);
}

static const struct section sections[] = {
    { "answers", answers },
    { "counting", counting },
    { "order", order },
    { "unregister inside", unregister_inside },
    { "registers", registers },
    { "red zone", red_zone },
    { "no room", no_room },
    { "long jumps", long_jumps },
    { "signals", signals },
    { "alternate stack", alternate_stack },
    { "slow handlers", slow_handlers },
    { "many threads", many_threads },
};

static int arguments;
static char **argument_list;

static void *run(void *result)
{
    *(int *)result = RUN_SECTIONS(sections, arguments, argument_list);
    return NULL;
}

int main(int argc, char **argv)
{
    struct vigil_aex_counters c = { .size = sizeof(c) };
    bool in_second = false;
    int result = 1, at = 1;

    if (argc > at + 1 && !strcmp(argv[at], "--patience")) {
        patience_ns = atol(argv[at + 1]) * 1000000;
        at += 2;
    }
    if (argc > at && !strcmp(argv[at], "--thread")) {
        in_second = true;
        at++;
    }
    arguments = argc - at + 1;
    argument_list = argv + at - 1;
    told = vigil_aex_counters(&c) ? -1 : vigil_aex_armed();
    if (told < 0)
        CHECK_EQ(errno, ENOSYS);
    if (in_second) {
        pthread_join(make_thread(run, &result), NULL);
    } else {
        run(&result);
    }
    fprintf(stderr, "calls of handlers: %lu\n", (unsigned long)all_calls);
    return result;
}
