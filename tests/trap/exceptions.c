/* SPDX-License-Identifier: Apache-2.0
 *
 * Every exception of the enclave: the vector and EXITINFO in the SSA, EXINFO, RIP on the instruction, and the signal
 * and siginfo the embedder gets. The handler sends the enclave on to its exit, so that each case also resumes. */
#include "fixture.h"

#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#define LABELS(X)                                                                                                   \
    X(de) X(ud2) X(int3) X(int_3) X(int_4) X(int1) X(int_80) X(int_81) X(syscall) X(in) X(out) X(ins) X(far_call)    \
    X(mov_ds) X(iret) X(enclu_66) X(enclu_eenter) X(enclu_unknown) X(gp) X(hlt) X(ss) X(pf_hole) X(pf_write)        \
    X(pf_outside) X(mf) X(xm) X(ac)
#define DECLARE(name) extern const uint8_t en_case_##name[], en_at_##name[];
LABELS(DECLARE)
extern const uint8_t en_case_pf_exec[];

struct expected {
    const char *name;
    const uint8_t *start, *at;
    int vector, sig, code;
    uint32_t error_code;
    uint64_t address; /* #PF: offset in ELRANGE, or ~0 for an address outside */
    bool hidden;      /* not reported in EXITINFO */
};
#define ROW(name, ...) { #name, en_case_##name, en_at_##name, __VA_ARGS__ }
#define OUTSIDE ((uint64_t)-4096)

static const struct expected rows[] = {
    ROW(de, SGX_VEC_DE, SIGFPE, FPE_INTDIV, 0, 0, 0),
    ROW(ud2, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(int3, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(int_3, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(int_4, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(int1, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(int_80, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(int_81, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(syscall, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(in, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(out, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(ins, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(far_call, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(mov_ds, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(iret, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(enclu_66, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    ROW(enclu_eenter, SGX_VEC_GP, SIGSEGV, SI_KERNEL, 0, 0, 0),
    ROW(enclu_unknown, SGX_VEC_GP, SIGSEGV, SI_KERNEL, 0, 0, 0),
    ROW(gp, SGX_VEC_GP, SIGSEGV, SI_KERNEL, 0, 0, 0),
    ROW(hlt, SGX_VEC_GP, SIGSEGV, SI_KERNEL, 0, 0, 0),
    ROW(ss, 12, SIGBUS, SI_KERNEL, 0, 0, true),
    /* The kernel has added the page (EAUG); it is PENDING. */
    ROW(pf_hole, SGX_VEC_PF, SIGSEGV, SEGV_ACCERR, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_SGX, EN_HOLE + 0x123, 0),
    ROW(pf_write, SGX_VEC_PF, SIGSEGV, SEGV_ACCERR, SGX_PFEC_P | SGX_PFEC_W | SGX_PFEC_U | SGX_PFEC_SGX,
        EN_RO + 0x456, 0),
    { "pf_exec", en_case_pf_exec, NULL, SGX_VEC_PF, SIGSEGV, SEGV_ACCERR,
      SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_I | SGX_PFEC_SGX, EN_DATA + 0x78, 0 },
    ROW(pf_outside, SGX_VEC_PF, SIGSEGV, SEGV_MAPERR, SGX_PFEC_P | SGX_PFEC_U, OUTSIDE, 0),
    ROW(mf, SGX_VEC_MF, SIGFPE, FPE_FLTDIV, 0, 0, 0),
    ROW(xm, SGX_VEC_XM, SIGFPE, FPE_FLTDIV, 0, 0, 0),
    ROW(ac, SGX_VEC_AC, SIGBUS, BUS_ADRALN, 0, 0, 0),
};

static struct trap_fx fx;
static const struct expected *now;
static unsigned seen;
static bool opt_in;
static __thread int host_tls = 4711;

static uint64_t address_of(uint64_t offset)
{
    return offset == OUTSIDE ? OUTSIDE : fx.base + offset;
}

static void check_ssa(const struct sgx_gprsgx *ssa)
{
    const struct sgx_exinfo *exinfo = (const struct sgx_exinfo *)ssa - 1;
    uint32_t type = now->vector == SGX_VEC_BP ? SGX_EXIT_SOFTWARE : SGX_EXIT_HARDWARE;
    uint32_t info = now->hidden ? 0 : SGX_EXITINFO_VALID | type << 8 | (uint32_t)now->vector;
    uint64_t rip = now->at ? trap_label(&fx, now->at) : address_of(now->address);

    CHECK(ssa->exitinfo == info, "%s: EXITINFO %#x for %#x", now->name, ssa->exitinfo, info);
    CHECK(ssa->rip == rip, "%s: RIP %#lx for %#lx", now->name, ssa->rip, rip);
    if (now->vector == SGX_VEC_PF)
        CHECK(exinfo->maddr == address_of(now->address), "%s: MADDR %#lx", now->name, exinfo->maddr);
    if (now->vector == SGX_VEC_PF || now->vector == SGX_VEC_GP)
        CHECK(exinfo->errcd == now->error_code, "%s: ERRCD %#x for %#x", now->name, exinfo->errcd, now->error_code);
}

static void check_signal(int sig, const siginfo_t *info, const ucontext_t *uc)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    uint64_t page = address_of(now->address) & ~0xfffull;

    CHECK(host_tls == 4711, "%s: FS is not the host's", now->name);
    CHECK(sig == now->sig && info->si_signo == sig, "%s: signal %d for %d", now->name, sig, now->sig);
    CHECK(info->si_code == now->code, "%s: si_code %d for %d", now->name, info->si_code, now->code);
    CHECK(g[REG_TRAPNO] == now->vector, "%s: trapno %lld", now->name, g[REG_TRAPNO]);
    if (now->vector == SGX_VEC_PF)
        CHECK((uint64_t)info->si_addr == page && (uint64_t)g[REG_CR2] == page, "%s: si_addr %p", now->name,
              info->si_addr);
    else if (now->code != SI_KERNEL)
        CHECK(info->si_addr == trap_site, "%s: si_addr %p", now->name, info->si_addr);
}

/* The enclave goes on at its exit, with floating point and AC as before. */
static void repair(struct sgx_gprsgx *ssa)
{
    uint8_t *area = (uint8_t *)(ssa + 1) - 4096;
    const uint16_t fcw = 0x037f, fsw = 0;
    const uint32_t mxcsr = 0x1f80;

    memcpy(area + SGX_XSAVE_FCW, &fcw, 2);
    memcpy(area + SGX_XSAVE_FSW, &fsw, 2);
    memcpy(area + SGX_XSAVE_MXCSR, &mxcsr, 4);
    ssa->rip = trap_label(&fx, en_leave);
    ssa->rflags &= ~0x40000ull;
    ssa->rdi = 99;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    struct sgx_gprsgx *ssa = trap_ssa(&fx, 0, 0);

    seen++;
    check_signal(sig, info, context);
    trap_check_synthetic(&fx, 0, context);
    check_ssa(ssa);
    repair(ssa);
}

static uint64_t base = TRAP_BASE;

static void prepare(void)
{
    static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGSYS };

    trap_open(&fx, base, 0);
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        CHECK(softsgx_sigaction(signals[i], on_fault) == 0, "sigaction");
}

static void run_row(const struct expected *row)
{
    struct trap_regs regs = { .rsi = trap_label(&fx, row->start) };
    struct softsgx_stats before = trap_stats_now(), after;
    struct softsgx_epc had, has;

    softsgx_get_epc(fx.enclave, &had);
    now = row;
    seen = 0;
    trap_call(&fx, 0, FN_STRAY, &regs);
    after = trap_stats_now();
    CHECK(seen == 1 && regs.rdi == 99, "%s: handler called %u times", row->name, seen);
    softsgx_get_epc(fx.enclave, &has);
    /* A page that the kernel adds is an AEX that no handler hears of. */
    CHECK(after.aex_exception == before.aex_exception + 1 + has.added - had.added, "%s: counters", row->name);
    CHECK(has.added - had.added <= (row->address == EN_HOLE + 0x123), "%s: pages were added", row->name);
    CHECK(after.aex_interrupt == before.aex_interrupt, "%s: counters", row->name);
}

static void test_each(void)
{
    prepare();
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            run_row(&rows[i]);
}

/* Stepping to the instruction changes nothing. */
static enum softsgx_action go(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    return SOFTSGX_GO;
}

static void test_each_stepped(void)
{
    prepare();
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        softsgx_step(go, NULL);
        run_row(&rows[i]);
    }
}

static void test_opt_in(void)
{
    static const struct expected debug[] = {
        ROW(int3, SGX_VEC_BP, SIGTRAP, SI_KERNEL, 0, 0, 0),
        ROW(int1, SGX_VEC_DB, SIGTRAP, TRAP_BRKPT, 0, 0, 0),
        ROW(int_3, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, 0, 0),
    };
    const uint64_t flags = SGX_TCS_DBGOPTIN;

    prepare();
    opt_in = true;
    CHECK(!softsgx_debug_write(fx.enclave, trap_tcs(&fx, 0) + offsetof(struct sgx_tcs, flags), &flags, 8), "DBGOPTIN");
    for (unsigned i = 0; i < sizeof(debug) / sizeof(debug[0]); i++)
        run_row(&debug[i]);
}

/* A system call in the last two bytes of ELRANGE, whose next instruction is outside. */
static void test_syscall_at_end(void)
{
    static const uint8_t code[] = { 0x0f, 0x05 };
    struct expected row = { "syscall_at_end", NULL, NULL, SGX_VEC_UD, SIGILL, ILL_ILLOPN, 0, TRAP_SIZE - 2, 0 };
    struct trap_regs regs;

    prepare();
    memcpy(sgx_enclave_alias(fx.enclave) + TRAP_SIZE - 2, code, 2);
    now = &row;
    regs = (struct trap_regs){ .rsi = fx.base + TRAP_SIZE - 2 };
    trap_call(&fx, 0, FN_STRAY, &regs);
    CHECK(seen == 1, "seen %u", seen);
}

/* At 0 the kernel dispatches system calls (or filters them, before 5.11): the same for the program, in every thread. */
static void *each_again(void *arg)
{
    CHECK(!softsgx_thread_init(), "thread_init");
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run_row(&rows[i]);
    return arg;
}

static void test_each_at_zero(void)
{
    static char selector;
    bool dispatch = !prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, -1l, &selector);
    pthread_t thread;

    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    base = 0;
    prepare();
    CHECK(prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == (dispatch ? 0 : 2), "dispatch %d, but the filter says otherwise", dispatch);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run_row(&rows[i]);
    CHECK(!pthread_create(&thread, NULL, each_again, NULL) && !pthread_join(thread, NULL), "thread");
}

static void test_syscall_at_end_of_zero(void)
{
    base = 0;
    test_syscall_at_end();
}

/* ---- leaving ELRANGE without EEXIT: #GP, noticed at the next trap ---- */

static uint64_t stray_rip;
static unsigned alarms;

static void on_stray(int sig, siginfo_t *info, void *context)
{
    struct sgx_gprsgx *ssa = trap_ssa(&fx, 0, 0);

    (void)info;
    seen++;
    CHECK(sig == SIGSEGV, "signal %d", sig);
    trap_check_synthetic(&fx, 0, context);
    CHECK(ssa->exitinfo == (SGX_EXITINFO_VALID | SGX_EXIT_HARDWARE << 8 | SGX_VEC_GP), "EXITINFO %#x", ssa->exitinfo);
    CHECK(ssa->rip == stray_rip, "RIP %#lx for %#lx", ssa->rip, stray_rip);
    repair(ssa);
}

static void on_alarm(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    alarms++;
}

extern const uint8_t stray_ud2[], stray_loop[], stray_enclu[];
__asm__(".text\n stray_ud2: ud2\n stray_loop: jmp stray_loop\n stray_enclu: .byte 0x0f, 0x01, 0xd7\n");

static void stray_to(const uint8_t *where)
{
    struct trap_regs regs = { .rsi = (uint64_t)where };

    stray_rip = (uint64_t)where;
    seen = 0;
    trap_call(&fx, 0, FN_STRAY, &regs);
    CHECK(seen == 1 && regs.rdi == 99, "seen %u", seen);
}

static void test_stray(void)
{
    prepare();
    softsgx_sigaction(SIGSEGV, on_stray);
    softsgx_sigaction(SIGALRM, on_alarm);
    stray_to(stray_ud2);
    stray_to(stray_enclu);
    stray_to((const uint8_t *)0x7f0000000000); /* unmapped */
    ualarm(20000, 0);
    stray_to(stray_loop);
    CHECK(alarms == 1, "the signal that found us out is lost");
    softsgx_set_tick_hz(100);
    stray_to(stray_loop);
    softsgx_set_tick_hz(0);
    softsgx_step(go, NULL);
    stray_to(stray_loop);
}

/* ---- outside enclave mode, ELRANGE is not code ---- */

static void on_abort_page(int sig, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)info;
    seen++;
    CHECK(sig == SIGSEGV && (uint64_t)g[REG_RIP] == stray_rip, "signal %d RIP %#llx", sig, g[REG_RIP]);
    CHECK(!softsgx_in_enclave(), "in enclave mode");
    g[REG_RIP] = (greg_t)*(uint64_t *)g[REG_RSP]; /* return to the caller */
    g[REG_RSP] += 8;
}

static void call_elrange(const uint8_t *label)
{
    uint64_t at = stray_rip = trap_label(&fx, label);

    seen = 0;
    __asm__ volatile("subq $128, %%rsp; call *%0; addq $128, %%rsp" ::"r"(at) : "memory", "rax", "rcx", "rdx", "cc");
    CHECK(seen == 1, "seen %u", seen);
}

static void test_abort_page(void)
{
    prepare();
    softsgx_sigaction(SIGSEGV, on_abort_page);
    call_elrange(en_at_ud2);
    call_elrange(en_eexit);
    call_elrange(en_at_syscall);
}

/* ---- no handler: the default action ---- */

static void unhandled(const uint8_t *start)
{
    struct trap_regs regs;

    trap_open(&fx, TRAP_BASE, 0);
    regs = (struct trap_regs){ .rsi = trap_label(&fx, start) };
    trap_call(&fx, 0, FN_STRAY, &regs);
}

static void die_ud2(void) { unhandled(en_case_ud2); }
static void die_pf(void) { unhandled(en_case_pf_hole); }
static void die_de(void) { unhandled(en_case_de); }
static void die_syscall(void) { unhandled(en_case_syscall); }
static void die_refused(void)
{
    struct trap_regs regs = {0};

    trap_open(&fx, TRAP_BASE, 0);
    trap_enter(&regs, trap_tcs(&fx, 0) + 8);
}
static void die_unregistered(void)
{
    struct trap_regs regs = {0};

    trap_open(&fx, TRAP_BASE, 0);
    softsgx_thread_exit();
    trap_call(&fx, 0, FN_ROUNDTRIP, &regs);
}
static void die_host(void)
{
    trap_open(&fx, TRAP_BASE, 0);
    __asm__ volatile("movl $0, 8");
}
static void die_sent(void)
{
    trap_open(&fx, TRAP_BASE, 0);
    raise(SIGSEGV);
}
static void die_host_int3(void)
{
    trap_open(&fx, TRAP_BASE, 0);
    __asm__ volatile("int3");
}

static void test_default(void)
{
    CHECK(trap_death(die_ud2) == SIGILL, "ud2");
    CHECK(trap_death(die_pf) == SIGSEGV, "pf");
    CHECK(trap_death(die_de) == SIGFPE, "de");
    CHECK(trap_death(die_syscall) == SIGILL, "syscall");
    CHECK(trap_death(die_refused) == SIGSEGV, "refused EENTER");
    CHECK(trap_death(die_unregistered) == SIGILL, "ENCLU in an unregistered thread");
    CHECK(trap_death(die_host) == SIGSEGV, "host fault");
    CHECK(trap_death(die_sent) == SIGSEGV, "sent signal");
    CHECK(trap_death(die_host_int3) == SIGTRAP, "host int3");
}

int main(int argc, char **argv)
{
    static const struct trap_test tests[] = {
        { "each", test_each },
        { "each_stepped", test_each_stepped },
        { "opt_in", test_opt_in },
        { "each_at_zero", test_each_at_zero },
        { "syscall_at_end", test_syscall_at_end },
        { "syscall_at_end_of_zero", test_syscall_at_end_of_zero },
        { "stray", test_stray },
        { "abort_page", test_abort_page },
        { "default", test_default },
    };

    return trap_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
