/* SPDX-License-Identifier: Apache-2.0
 *
 * Ways in and out, threads that come and go, and the place of an enclave in the address space. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct trap_fx fx;

static void test_roundtrip(void)
{
    const uint64_t n = 100000;
    struct softsgx_stats stats;
    uint64_t start;

    trap_open(&fx, TRAP_BASE, 0);
    start = trap_cpu_ns();
    for (uint64_t i = 0; i < n; i++) {
        struct trap_regs r = { .rsi = i, .rdx = 2 * i, .r8 = ~i, .r9 = 3, .r10 = 4, .r11 = 5, .r12 = 6, .r13 = 7,
                               .r14 = 8, .r15 = ~0ull };

        trap_call(&fx, 0, FN_ROUNDTRIP, &r);
        CHECK(r.rsi == i && r.rdx == 2 * i + 1 && r.r8 == ~i + 1 && r.r9 == 4 && r.r10 == 5 && r.r11 == 6 &&
              r.r12 == 7 && r.r13 == 8 && r.r14 == 9 && r.r15 == 0, "registers, round %lu", i);
        CHECK(r.rcx == (uint64_t)trap_site, "RCX is not the AEP");
    }
    printf("     EENTER + EEXIT: %lu ns\n", (trap_cpu_ns() - start) / n);
    stats = trap_stats_now();
    CHECK(stats.eenter == n && stats.eexit == n && stats.aex == 0 && stats.eresume == 0, "counters");
}

static void test_at_zero(void)
{
    struct trap_regs regs = { .rsi = 10000 };

    trap_open(&fx, 0, 0);
    trap_call(&fx, 1, trap_loop_fn(), &regs);
    trap_check_loop(&regs, 10000);
    *(volatile uint8_t *)sgx_enclave_alias(fx.enclave) = 0; /* page 0 has an alias, if no mapping */
}

/* ---- refusals, outside enclave mode ---- */

static struct { int sig, code; uint64_t address; long trapno, err; unsigned count; } refused;

static void on_refusal(int sig, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    CHECK(g[REG_RIP] == (greg_t)trap_site, "RIP %#llx", g[REG_RIP]);
    refused.sig = sig;
    refused.code = info->si_code;
    refused.address = (uint64_t)info->si_addr;
    refused.trapno = g[REG_TRAPNO];
    refused.err = g[REG_ERR];
    refused.count++;
    g[REG_RIP] = (greg_t)trap_after;
}

static void refuse(uint64_t tcs, int vector, uint64_t address, long error)
{
    struct trap_regs regs = { .rdi = FN_ROUNDTRIP };
    unsigned count = refused.count;

    trap_enter(&regs, tcs);
    CHECK(refused.count == count + 1 && refused.sig == SIGSEGV, "TCS %#lx: signal %d", tcs, refused.sig);
    CHECK(refused.trapno == vector && refused.err == error, "TCS %#lx: vector %ld error %#lx", tcs, refused.trapno,
          refused.err);
    CHECK(refused.address == address && refused.code == (vector == SGX_VEC_PF ? SEGV_ACCERR : SI_KERNEL),
          "TCS %#lx: si_addr %#lx si_code %d", tcs, refused.address, refused.code);
}

static void test_refused(void)
{
    static char page[8192];
    uint64_t host = ((uint64_t)page + 4095) & ~4095ull;

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_sigaction(SIGSEGV, on_refusal);
    refuse(trap_tcs(&fx, 0) + 16, SGX_VEC_GP, 0, 0);
    refuse(host, SGX_VEC_PF, host, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_SGX);
    refuse(fx.base + EN_DATA, SGX_VEC_PF, fx.base + EN_DATA, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_SGX);
    trap_tcs_page(&fx, 0)->cssa = EN_NSSA;
    refuse(trap_tcs(&fx, 0), SGX_VEC_GP, 0, 0);
    CHECK(trap_stats_now().aex == 0 && trap_stats_now().eenter == 0, "counters");
}

/* ---- build, destroy, build ---- */

static unsigned filters(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    unsigned n = 0;

    while (f && fgets(line, sizeof(line), f))
        sscanf(line, "Seccomp_filters: %u", &n);
    if (f)
        fclose(f);
    return n;
}

static void use(uint64_t base, uint64_t size)
{
    struct trap_regs regs = { .rsi = 100 };

    trap_build(&fx, base, size, 0);
    trap_call(&fx, 0, FN_SHORT, &regs);
    trap_check_short(&regs, 100);
}

/* Ranges that nest, come back, and grow; and a filter for each new one only. */
static void test_rebuild(void)
{
    struct trap_fx first;

    CHECK(!softsgx_process_init() && !softsgx_thread_init(), "init");
    for (int i = 0; i < 3; i++) {
        use(TRAP_BASE, TRAP_SIZE);
        softsgx_destroy(fx.enclave);
    }
    use(TRAP_BASE, 2 * TRAP_SIZE);
    softsgx_destroy(fx.enclave);
    use(TRAP_BASE + TRAP_SIZE, TRAP_SIZE);
    first = fx;
    use(TRAP_BASE, TRAP_SIZE);
    softsgx_destroy(fx.enclave);
    softsgx_destroy(first.enclave);
    CHECK(filters() == 2, "%u filters", filters());
}

/* No host code may come to lie where a filter traps its system calls. */
static void test_range_stays(void)
{
    void *p;

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_destroy(fx.enclave);
    p = mmap((void *)TRAP_BASE, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(p == MAP_FAILED && errno == EEXIST, "a former ELRANGE is free for host code");
}

/* A host system call that ends where ELRANGE begins is not the enclave's. */
static uint64_t reached;
static long returned;
static sigjmp_buf back;

static void on_edge(int sig, siginfo_t *info, void *context)
{
    const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)sig, (void)info;
    reached = (uint64_t)g[REG_RIP];
    returned = (long)g[REG_RAX];
    siglongjmp(back, 1);
}

static void test_syscall_below(void)
{
    static const uint8_t code[] = { 0x0f, 0x05 };
    uint8_t *page = mmap((void *)(TRAP_BASE - 4096), 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    CHECK(page != MAP_FAILED, "mmap");
    memcpy(page + 4094, code, 2);
    trap_open(&fx, TRAP_BASE, 0);
    softsgx_sigaction(SIGSEGV, on_edge);
    softsgx_sigaction(SIGSYS, on_edge);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("jmp *%0" ::"r"(page + 4094), "a"(SYS_getpid) : "rcx", "r11", "memory");
    CHECK(reached == TRAP_BASE && returned == getpid(), "RIP %#lx, RAX %ld", reached, returned);
}

/* ---- threads ---- */

static void *worker(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;
    stack_t stack;

    CHECK(!softsgx_thread_init(), "thread_init");
    CHECK(!softsgx_thread_init(), "a second thread_init");
    for (int i = 0; i < 10; i++) {
        struct trap_regs regs = { .rsi = 20000 };

        trap_call(&fx, thread, trap_loop_fn(), &regs);
        trap_check_loop(&regs, 20000);
    }
    if (thread % 2) { /* the others leave it to the end of the thread */
        softsgx_thread_exit();
        CHECK(!sigaltstack(NULL, &stack) && (stack.ss_flags & SS_DISABLE), "the alternate stack stays");
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[EN_THREADS];

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_set_tick_hz(2000);
    for (int round = 0; round < 25; round++) {
        for (unsigned i = 0; i < EN_THREADS; i++)
            CHECK(!pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i), "pthread_create");
        for (unsigned i = 0; i < EN_THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    CHECK(trap_stats_now().eenter == 25 * EN_THREADS * 10, "the counters of ended threads are gone");
    CHECK(trap_stats_now().ticks > 0, "no ticks");
}

/* A thread that is not registered, with no alternate stack and then with one of its own. */
static volatile sig_atomic_t got[65];
static __thread uint64_t tls_word = 0x5e7;

static void on_any(int sig, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)info;
    CHECK(tls_word == 0x5e7, "TLS");
    got[sig]++;
    if (sig == SIGILL && g[REG_RIP] == (greg_t)trap_site)
        g[REG_RIP] = (greg_t)trap_after;
    if (sig == SIGSEGV)
        siglongjmp(back, 1);
}

static void unregistered_signals(void)
{
    struct trap_regs regs = {0};

    memset((void *)got, 0, sizeof(got));
    raise(SIGUSR1);
    raise(SIGRTMIN + 1);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("movl $0, 8");
    trap_call(&fx, 0, FN_ROUNDTRIP, &regs);
    CHECK(got[SIGUSR1] == 1 && got[SIGSEGV] == 1 && got[SIGILL] == 1 && trap_stats_now().eenter == 0, "signals");
}

static void *unregistered(void *arg)
{
    static char stack[65536];
    stack_t own = { .ss_sp = stack, .ss_size = sizeof(stack) }, now;
    struct trap_regs regs = { .rsi = 7 };

    (void)arg;
    unregistered_signals();
    sigaltstack(&own, NULL);
    unregistered_signals();
    CHECK(!softsgx_thread_init(), "thread_init");
    trap_call(&fx, 0, FN_SHORT, &regs);
    trap_check_short(&regs, 7);
    softsgx_thread_exit();
    CHECK(!sigaltstack(NULL, &now) && now.ss_sp == stack, "the thread's own alternate stack is not back");
    return NULL;
}

static void test_unregistered(void)
{
    pthread_t thread;

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_sigaction(SIGUSR1, on_any);
    softsgx_sigaction(SIGSEGV, on_any);
    softsgx_sigaction(SIGILL, on_any);
    pthread_create(&thread, NULL, unregistered, NULL);
    pthread_join(thread, NULL);
}

static void test_sigaction(void)
{
    CHECK(!softsgx_process_init() && !softsgx_process_init(), "process_init twice");
    CHECK(softsgx_sigaction(SIGRTMIN + 1, on_any) == -EINVAL, "the tick signal is the processor's");
    CHECK(softsgx_sigaction(0, on_any) == -EINVAL && softsgx_sigaction(65, on_any) == -EINVAL, "range");
    CHECK(softsgx_sigaction(33, on_any) == -EINVAL, "libc's own signals");
    CHECK(softsgx_sigaction(SIGKILL, on_any) == -EINVAL, "SIGKILL");
    CHECK(!softsgx_sigaction(SIGUSR1, on_any), "SIGUSR1");
    raise(SIGUSR1);
    CHECK(got[SIGUSR1] == 1, "the handler is not called");
    CHECK(!softsgx_sigaction(SIGCHLD, NULL), "default action");
    raise(SIGCHLD);
}

int main(int argc, char **argv)
{
    static const struct trap_test tests[] = {
        { "roundtrip", test_roundtrip },
        { "at_zero", test_at_zero },
        { "refused", test_refused },
        { "rebuild", test_rebuild },
        { "range_stays", test_range_stays },
        { "syscall_below", test_syscall_below },
        { "threads", test_threads },
        { "unregistered", test_unregistered },
        { "sigaction", test_sigaction },
    };

    return trap_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
