/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "../unit/softsgx_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_SECONDS 25

/* ---- runner ---- */

static void quiet(void)
{
    int fd = open("/dev/null", O_WRONLY);

    if (fd >= 0)
        dup2(fd, STDERR_FILENO);
}

static int wait_for(pid_t pid, unsigned seconds)
{
    const struct timespec nap = { 0, 2000000 };
    uint64_t end = trap_ns() + seconds * 1000000000ull;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (trap_ns() > end) {
            fprintf(stderr, "no end after %u seconds\n", seconds);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        nanosleep(&nap, NULL);
    }
    return status;
}

static bool run_one(const struct trap_test *test)
{
    uint64_t start = trap_ns();
    pid_t pid;
    int status;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        test->run();
        fflush(NULL);
        _Exit(0);
    }
    status = wait_for(pid, CASE_SECONDS);
    printf("%s %s (%.2f s)\n", status ? "FAIL" : "ok  ", test->name, (double)(trap_ns() - start) / 1e9);
    if (WIFSIGNALED(status))
        printf("     ended by signal %d\n", WTERMSIG(status));
    return !status;
}

static bool chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc < 2;
}

int trap_run(const struct trap_test *tests, unsigned count, int argc, char **argv)
{
    static struct sgx_sigstruct once;
    unsigned failed = 0;

    fx_sign(&once); /* makes the key, for all children */
    for (unsigned i = 0; i < count; i++)
        if (chosen(tests[i].name, argc, argv))
            failed += !run_one(&tests[i]);
    return failed != 0;
}

int trap_death(void (*fn)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        quiet();
        fn();
        _Exit(0);
    }
    status = wait_for(pid, 10);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* ---- the enclave ---- */

static void add(struct softsgx_enclave *e, uint64_t offset, const void *src, uint64_t length, uint64_t flags)
{
    struct sgx_secinfo secinfo = { .flags = flags };
    int ret = softsgx_add_pages(e, offset, src, length, &secinfo, true);

    CHECK(ret == 0, "add_pages %#llx: %d", (unsigned long long)offset, ret);
}

static void add_thread(struct softsgx_enclave *e, uint64_t at, uint64_t tcs_flags)
{
    const uint64_t rw = SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W;
    static struct sgx_tcs tcs;

    tcs = (struct sgx_tcs){ .flags = tcs_flags, .ossa = at + EN_SSA, .nssa = EN_NSSA, .ofsbase = at + EN_FS,
                            .ogsbase = at + EN_GS, .fslimit = 0xfff, .gslimit = 0xfff,
                            .oentry = EN_CODE + (uint64_t)(en_entry - trap_blob) };
    add(e, at + EN_TCS, &tcs, sizeof(tcs), SGX_SECINFO_TCS);
    add(e, at + EN_SSA, NULL, EN_STACK - EN_SSA, rw);
}

void trap_build(struct trap_fx *fx, uint64_t base, uint64_t size, uint64_t attributes)
{
    const uint64_t r = SGX_SECINFO_REG | SGX_SECINFO_R, notify = attributes & SGX_ATTR_AEXNOTIFY;
    static struct sgx_secs secs;
    struct sgx_sigstruct sig;
    int ret;

    secs = (struct sgx_secs){ .size = size, .baseaddr = base, .ssaframesize = 1, .miscselect = SGX_MISC_EXINFO,
                              .attributes = { SGX_ATTR_MODE64BIT | SGX_ATTR_DEBUG | attributes, softsgx_xfrm() } };
    ret = softsgx_create(&secs, &fx->enclave);
    CHECK(ret == 0, "create: %d", ret);
    fx->base = base;
    add(fx->enclave, EN_CODE, trap_blob, (uint64_t)(trap_blob_end - trap_blob + 4095) & ~4095ull, r | SGX_SECINFO_X);
    add(fx->enclave, EN_DATA, NULL, 4096, r | SGX_SECINFO_W);
    add(fx->enclave, EN_RO, NULL, 4096, r);
    for (unsigned i = 0; i < EN_THREADS; i++)
        add_thread(fx->enclave, EN_THREAD + i * EN_THREAD_SIZE, notify ? SGX_TCS_AEXNOTIFY : 0);
    add(fx->enclave, size - 4096, NULL, 4096, r | SGX_SECINFO_W | SGX_SECINFO_X);
    fx_sigstruct(fx->enclave, &sig);
    fx_sign(&sig);
    ret = softsgx_init(fx->enclave, &sig);
    CHECK(ret == 0, "init: %d", ret);
}

void trap_open(struct trap_fx *fx, uint64_t base, uint64_t attributes)
{
    int ret = softsgx_process_init();

    CHECK(ret == 0, "process_init: %d", ret);
    ret = softsgx_thread_init();
    CHECK(ret == 0, "thread_init: %d", ret);
    trap_build(fx, base, TRAP_SIZE, attributes);
}

uint64_t trap_label(const struct trap_fx *fx, const uint8_t *label)
{
    return fx->base + EN_CODE + (uint64_t)(label - trap_blob);
}

uint64_t trap_tcs(const struct trap_fx *fx, unsigned thread)
{
    return fx->base + EN_THREAD + thread * EN_THREAD_SIZE + EN_TCS;
}

static uint8_t *alias(const struct trap_fx *fx, unsigned thread, uint64_t offset)
{
    return sgx_enclave_alias(fx->enclave) + EN_THREAD + thread * EN_THREAD_SIZE + offset;
}

struct sgx_tcs *trap_tcs_page(const struct trap_fx *fx, unsigned thread)
{
    return (struct sgx_tcs *)alias(fx, thread, EN_TCS);
}

struct sgx_gprsgx *trap_ssa(const struct trap_fx *fx, unsigned thread, unsigned frame)
{
    return (struct sgx_gprsgx *)alias(fx, thread, EN_SSA + (frame + 1) * 4096) - 1;
}

uint64_t *trap_gs(const struct trap_fx *fx, unsigned thread, unsigned offset)
{
    return (uint64_t *)alias(fx, thread, EN_GS + offset);
}

void trap_call(const struct trap_fx *fx, unsigned thread, unsigned fn, struct trap_regs *regs)
{
    regs->rdi = fn;
    trap_enter(regs, trap_tcs(fx, thread));
}

/* ---- exact results ---- */

unsigned trap_loop_fn(void)
{
    uint64_t xfrm = softsgx_xfrm();

    return xfrm & SGX_XFRM_AVX512 ? FN_LOOP_ZMM : xfrm & SGX_XFRM_AVX ? FN_LOOP_YMM : FN_LOOP_XMM;
}

/* Computed as the loop does it, in C. */
void trap_check_loop(const struct trap_regs *regs, uint64_t iterations)
{
    uint64_t sum = 0, carry = 0;

    for (uint64_t i = 0; i < iterations; i++) {
        unsigned __int128 wide = (unsigned __int128)sum + 0x123456789abcdefull + carry;

        sum = (uint64_t)wide;
        carry = (uint64_t)(wide >> 64);
    }
    CHECK(regs->r8 == 3 * iterations, "r8 %#lx", regs->r8);
    CHECK(regs->r9 == sum && regs->r10 == carry, "r9 %#lx for %#lx, r10 %lu for %lu", regs->r9, sum, regs->r10, carry);
    CHECK(regs->r12 == iterations, "vector: %lu for %lu", regs->r12, iterations);
    CHECK(regs->r13 == iterations, "FS: %lu for %lu", regs->r13, iterations);
    CHECK(regs->r14 == iterations, "GS: %lu for %lu", regs->r14, iterations);
}

void trap_check_short(const struct trap_regs *regs, uint64_t iterations)
{
    uint64_t value = 0;

    for (uint64_t i = 0; i < iterations; i++) {
        value += 7;
        value = value << 3 | value >> 61;
    }
    CHECK(regs->r8 == value && regs->r9 == value, "r8 %#lx r9 %#lx for %#lx", regs->r8, regs->r9, value);
}

struct softsgx_stats trap_stats_now(void)
{
    struct softsgx_stats stats;

    softsgx_get_stats(&stats);
    return stats;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t trap_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t trap_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void trap_check_synthetic(const struct trap_fx *fx, unsigned thread, const ucontext_t *uc)
{
    static const int zero[] = { REG_RDX, REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10,
                                REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    const greg_t *g = uc->uc_mcontext.gregs;
    const struct sgx_gprsgx *ssa = trap_ssa(fx, thread, trap_tcs_page(fx, thread)->cssa - 1);

    CHECK(g[REG_RIP] == (greg_t)trap_site && g[REG_RCX] == (greg_t)trap_site, "RIP %#llx", g[REG_RIP]);
    CHECK(g[REG_RAX] == SGX_ERESUME && g[REG_RBX] == (greg_t)trap_tcs(fx, thread), "RBX %#llx", g[REG_RBX]);
    CHECK(g[REG_RSP] == (greg_t)ssa->ursp && g[REG_RBP] == (greg_t)ssa->urbp, "RSP %#llx", g[REG_RSP]);
    for (unsigned i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
        CHECK(g[zero[i]] == 0, "register %d: %#llx", zero[i], g[zero[i]]);
    CHECK(!(g[REG_EFL] & 0x109d5), "RFLAGS %#llx", g[REG_EFL]); /* TF, RF and the arithmetic flags */
    CHECK(!(ssa->rflags & 0x100), "SSA.RFLAGS %#lx", ssa->rflags);
    CHECK(!softsgx_in_enclave(), "still in enclave mode");
}
