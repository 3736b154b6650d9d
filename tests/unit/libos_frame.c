/* SPDX-License-Identifier: Apache-2.0
 *
 * Signal frames and exceptions against the kernel this test runs on: the same signal is raised natively, and every
 * field of the frame that the kernel wrote must be what the LibOS writes for the same registers. */
#define _GNU_SOURCE
#include "libos_sig.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define MAGIC1 0x46505853u
#define MAGIC2 0x46505845u
#define FAULT_MASK (1ull << (SIGUSR2 - 1))

/* What the kernel wrote, and where. */
static struct {
    int sig;
    uint64_t frame_at;
    struct sigframe_image frame;
    _Alignas(64) unsigned char xstate[16384];
    sigjmp_buf jump;
} native;

/* Runs on the alternate stack; with AC set when it is called for an alignment check. */
static void capture(int sig, siginfo_t *info, void *context)
{
    __asm__ volatile("pushfq\n andl $~0x40000, (%%rsp)\n popfq" : : : "memory", "cc");
    native.sig = sig;
    native.frame_at = (uint64_t)context - offsetof(struct sigframe_image, uc);
    memcpy(&native.frame, (void *)native.frame_at, sizeof(native.frame));
    native.frame.info = *(struct siginfo_image *)info;
    const struct frame_sw *sw = (void *)(native.frame.uc.mcontext.fpstate + FRAME_SW_OFFSET);
    memcpy(native.xstate, (void *)native.frame.uc.mcontext.fpstate, sw->xstate_size + 4);
    siglongjmp(native.jump, 1);
}

static void catch_natively(int sig)
{
    struct sigaction action = {.sa_sigaction = capture, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    assert_int_equal(sigaction(sig, &action, NULL), 0);
}

static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGUSR1};

/* Inside the test: cmocka has its own handlers around it. */
static void catch_all_natively(void)
{
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        catch_natively(caught[i]);
}

static int frame_setup(void **state)
{
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};

    memset(&native, 0, sizeof(native));
    assert_int_equal(sigaltstack(&alternate, NULL), 0);
    sig_setup(state);
    /* The LibOS says who we really are. */
    fake_config()->flags |= VIGIL_FLAG_NO_MANIFEST;
    fake_start_info()->pid = (uint32_t)getpid();
    fake_start_info()->uid = getuid();
    current_thread()->tid = (uint32_t)getpid();
    return 0;
}

static int frame_teardown(void **state)
{
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        signal(caught[i], SIG_DFL);
    return sig_teardown(state);
}

/* tgkill with a known value in every register that does not matter to it. */
static void raise_natively_with_known_registers(void)
{
    uint64_t pid = (uint64_t)getpid(), tid = (uint64_t)syscall(SYS_gettid);

    if (!sigsetjmp(native.jump, 1)) {
        __asm__ volatile("push %%rbp\n mov $0xb0b0b0b0b0, %%rbp\n"
                         "mov $0x1111111111, %%r8\n mov $0x2222222222, %%r9\n mov $0x3333333333, %%r10\n"
                         "mov $0x5555555555, %%r12\n mov $0x6666666666, %%r13\n mov $0x7777777777, %%r14\n"
                         "mov $0x8888888888, %%r15\n mov $0x9999999999, %%rbx\n"
                         "stc\n syscall\n pop %%rbp"
                         : : "a"((uint64_t)SYS_tgkill), "D"(pid), "S"(tid), "d"((uint64_t)SIGUSR1)
                         : "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rbx", "memory", "cc");
        fail_msg("the signal did not come");
    }
}

/* The registers of the native frame, on a stack of the LibOS. */
static void take_native_registers(struct checkpoint *r)
{
    const struct sigcontext_image *c = &native.frame.uc.mcontext;

    *r = (struct checkpoint){
        .rax = c->rax, .rcx = c->rcx, .rdx = c->rdx, .rbx = c->rbx, .rsp = user + 10 * VIGIL_PAGE + (c->rsp & 4095),
        .rbp = c->rbp, .rsi = c->rsi, .rdi = c->rdi, .r8 = c->r8, .r9 = c->r9, .r10 = c->r10, .r11 = c->r11,
        .r12 = c->r12, .r13 = c->r13, .r14 = c->r14, .r15 = c->r15, .rflags = c->eflags, .rip = c->rip};
}

/* Every field but addresses on the two stacks. trapno .. cr2 are those of the thread's last exception: natively
 * that may be one before this test, so they are compared only if told. */
static void assert_same_frame(const struct sigframe_image *ours, bool last_exception)
{
    const struct sigcontext_image *a = &ours->uc.mcontext, *b = &native.frame.uc.mcontext;

    assert_memory_equal(a, b, offsetof(struct sigcontext_image, rsp));
    assert_int_equal(a->rip, b->rip);
    assert_int_equal(a->eflags & ~0x10000ull, b->eflags & ~0x10000ull); /* RF is the kernel's own */
    assert_int_equal(a->cs, b->cs);
    assert_int_equal(a->gs, b->gs);
    assert_int_equal(a->fs, b->fs);
    assert_int_equal(a->ss, b->ss);
    assert_int_equal(a->oldmask, b->oldmask);
    assert_memory_equal(a->reserved, b->reserved, sizeof(a->reserved));
    if (last_exception) {
        assert_int_equal(a->err, b->err);
        assert_int_equal(a->trapno, b->trapno);
        assert_int_equal(a->cr2, b->cr2);
    }
    assert_int_equal(ours->uc.flags, native.frame.uc.flags);
    assert_int_equal(ours->uc.link, native.frame.uc.link);
    assert_int_equal(ours->uc.sigmask, native.frame.uc.sigmask);
    assert_memory_equal(&ours->info, &native.frame.info, sizeof(ours->info));
}

/* frame_at and fpstate of one frame, relative to the interrupted stack pointer (or the alternate stack's end). */
static void assert_placed(uint64_t frame_at, uint64_t fpstate, uint64_t top, uint32_t xstate_size)
{
    assert_int_equal(fpstate, (top - (xstate_size + 4)) & ~63ull);
    assert_int_equal(frame_at, ((fpstate - sizeof(struct sigframe_image)) & ~15ull) - 8);
    assert_int_equal((frame_at + 8) % 16, 0);
}

static void assert_marks(const unsigned char *xstate, uint64_t features, uint32_t size)
{
    const struct frame_sw *sw = (const void *)(xstate + FRAME_SW_OFFSET);
    uint32_t magic2;
    uint64_t xstate_bv;

    memcpy(&magic2, xstate + sw->xstate_size, 4);
    memcpy(&xstate_bv, xstate + 512, 8);
    assert_int_equal(sw->magic1, MAGIC1);
    assert_int_equal(magic2, MAGIC2);
    assert_int_equal(sw->extended_size, sw->xstate_size + 4);
    assert_int_equal(xstate_bv & 3, 3);
    assert_int_equal(xstate_bv & ~sw->xfeatures, 0);
    for (size_t i = 0; i < sizeof(sw->padding) / 4; i++)
        assert_int_equal(sw->padding[i], 0);
    if (features)
        assert_int_equal(sw->xfeatures, features);
    if (size)
        assert_int_equal(sw->xstate_size, size);
}

static void frame_is_the_kernels(void **state)
{
    struct checkpoint *regs = current_regs();
    struct sigframe_image ours;
    unsigned char xstate[640];

    (void)state;
    catch_all_natively();
    raise_natively_with_known_registers();
    assert_int_equal(native.sig, SIGUSR1);
    assert_int_equal(native.frame.uc.mcontext.r15, 0x8888888888);
    const struct frame_sw *sw = (void *)(native.xstate + FRAME_SW_OFFSET);
    assert_marks(native.xstate, 0, 0);
    stack_t alternate;
    sigaltstack(NULL, &alternate);
    assert_placed(native.frame_at, native.frame.uc.mcontext.fpstate, (uint64_t)alternate.ss_sp + alternate.ss_size,
                  sw->xstate_size);

    sig_action(SIGUSR1, SIG_HANDLER, SIG_SA_SIGINFO, FAULT_MASK);
    take_native_registers(regs);
    uint64_t rsp = regs->rsp;
    regs->rax = SYS_tgkill;
    libos_syscall(regs);
    assert_int_equal(regs->rax, 0);
    libos_return(regs, true);
    sig_frame_at(regs->rsp, &ours);
    assert_same_frame(&ours, false);
    assert_int_equal(ours.uc.mcontext.rsp, rsp);
    assert_int_equal(ours.restorer, SIG_RESTORER);
    assert_placed(regs->rsp, ours.uc.mcontext.fpstate, rsp - 128, (uint32_t)xsave_area_size());
    assert_int_equal(copy_from_user(xstate, (void *)ours.uc.mcontext.fpstate, xsave_area_size() + 4), 0);
    assert_marks(xstate, enclave_xfrm(), (uint32_t)xsave_area_size());
    /* The handler's registers. */
    assert_int_equal(regs->rip, SIG_HANDLER);
    assert_int_equal(regs->rdi, SIGUSR1);
    assert_int_equal(regs->rsi, regs->rsp + offsetof(struct sigframe_image, info));
    assert_int_equal(regs->rdx, regs->rsp + offsetof(struct sigframe_image, uc));
    assert_int_equal(regs->rax, 0);
    assert_int_equal(regs->r15, 0x8888888888);
    assert_int_equal(current_thread()->signals->mask, FAULT_MASK | SIG_BIT(SIGUSR1));
    /* And back. */
    regs->rsp += 8;
    regs->rip = SIG_RESTORER;
    regs->rcx = regs->r11 = regs->rbx = 0;
    assert_int_equal(sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0), 0);
    struct checkpoint back = *regs, want;
    take_native_registers(&want);
    assert_memory_equal(&back, &want, sizeof(want));
    assert_int_equal(current_thread()->signals->mask, 0);
}

/* ---- exceptions -------------------------------------------------------------------------------------------------- */
/* Runs statements that must fault; true if the handler came. */
#define FAULTS(statements) (sigsetjmp(native.jump, 1) ? true : ({ statements; false; }))

/* The same exception in the LibOS: same registers, same vector state, same information from the processor. */
static void assert_exception_as_native(uint8_t vector, bool exinfo)
{
    struct checkpoint *regs = current_regs();
    const struct sigcontext_image *c = &native.frame.uc.mcontext;
    struct sigframe_image ours;
    unsigned char image[640] __attribute__((aligned(64)));

    take_native_registers(regs);
    if (vector == SGX_VEC_BP)
        regs->rip--; /* an enclave is told where the int3 is */
    memset(image, 0, sizeof(image));
    memcpy(image, native.xstate, 416); /* x87 and SSE */
    image[512] = 3;
    assert_true(xstate_restore(image));
    sig_action(native.sig, SIG_HANDLER, SIG_SA_SIGINFO, FAULT_MASK);
    struct exception exc = {.vector = vector, .has_exinfo = exinfo, .error_code = exinfo ? (uint32_t)c->err : 0,
                            .address = exinfo ? c->cr2 : 0, .untrusted_claim = (uint32_t)native.sig};
    current_thread()->signals->cr2 = c->cr2; /* natively it stays what it was */
    libos_exception(regs, &exc);
    libos_return(regs, false);
    assert_int_equal(regs->rip, SIG_HANDLER);
    assert_int_equal(regs->rdi, native.sig);
    sig_frame_at(regs->rsp, &ours);
    assert_int_equal(ours.uc.mcontext.err, c->err);
    assert_int_equal(ours.uc.mcontext.trapno, c->trapno);
    assert_int_equal(ours.uc.mcontext.cr2, c->cr2);
    assert_same_frame(&ours, true);
    signal_set_mask(0);
}

static void integer_exceptions(void **state)
{
    (void)state;
    catch_all_natively();
    assert_true(FAULTS(__asm__ volatile("div %0" : : "r"(0), "a"(1), "d"(0) : "cc")));
    assert_int_equal(native.sig, SIGFPE);
    assert_exception_as_native(SGX_VEC_DE, false);
    assert_true(FAULTS(__asm__ volatile("ud2")));
    assert_int_equal(native.sig, SIGILL);
    assert_exception_as_native(SGX_VEC_UD, false);
    assert_true(FAULTS(__asm__ volatile("int3")));
    assert_int_equal(native.sig, SIGTRAP);
    assert_exception_as_native(SGX_VEC_BP, false);
    assert_true(FAULTS(__asm__ volatile("hlt")));
    assert_int_equal(native.sig, SIGSEGV);
    assert_exception_as_native(SGX_VEC_GP, false);
    assert_true(FAULTS(__asm__ volatile("mov (%0), %%eax" : : "r"(1ull << 63) : "eax")));
    assert_exception_as_native(SGX_VEC_GP, false);
}

/* #DB after one instruction with TF. The frame has TF in its flags natively, and not here (see libos_return). */
static void single_step(void **state)
{
    struct checkpoint *regs = current_regs();
    struct sigframe_image ours;

    (void)state;
    catch_all_natively();
    assert_true(FAULTS(__asm__ volatile("pushfq\n orl $0x100, (%%rsp)\n popfq\n nop\n nop" : : : "memory", "cc")));
    assert_int_equal(native.sig, SIGTRAP);
    assert_int_equal(native.frame.info.code, TRAP_TRACE);
    take_native_registers(regs);
    sig_action(SIGTRAP, SIG_HANDLER, SIG_SA_SIGINFO, 0);
    libos_exception(regs, &(struct exception){.vector = SGX_VEC_DB, .untrusted_claim = SIGTRAP});
    libos_return(regs, false);
    sig_frame_at(regs->rsp, &ours);
    assert_memory_equal(&ours.info, &native.frame.info, sizeof(ours.info));
    assert_int_equal(ours.uc.mcontext.trapno, native.frame.uc.mcontext.trapno);
    assert_int_equal(ours.uc.mcontext.eflags & 0x100, 0);
}

static void sse_exceptions(void **state)
{
    static const float values[][2] = {{0, 0}, {1, 0}, {3e38f, 1e-38f}, {1e-38f, 3e38f}, {1, 3}};
    static const int codes[] = {FPE_FLTINV, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES};

    (void)state;
    catch_all_natively();
    for (int i = 0; i < 5; i++) {
        uint32_t mxcsr = 0x1f80 & ~(0x80u << (int[]){0, 2, 3, 4, 5}[i]), standard = 0x1f80;
        assert_true(FAULTS({
            __asm__ volatile("ldmxcsr %0\n movss %1, %%xmm0\n divss %2, %%xmm0" : : "m"(mxcsr), "m"(values[i][0]),
                             "m"(values[i][1]) : "xmm0");
        }));
        __asm__ volatile("ldmxcsr %0" : : "m"(standard));
        assert_int_equal(native.sig, SIGFPE);
        assert_int_equal(native.frame.info.code, codes[i]);
        assert_exception_as_native(SGX_VEC_XM, false);
    }
}

static void x87_exceptions(void **state)
{
    static const double values[][2] = {{0, 0}, {1, 0}, {1e308, 1e-308}, {1, 3}};
    static const int codes[] = {FPE_FLTINV, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTRES};

    (void)state;
    catch_all_natively();
    for (int i = 0; i < 4; i++) {
        uint16_t fcw = (uint16_t)(0x27f & ~(1u << (int[]){0, 2, 3, 5}[i]));
        double stored;
        assert_true(FAULTS({
            __asm__ volatile("fninit\n fldcw %1\n fldl %2\n fdivl %3\n fstpl %0\n fwait" : "=m"(stored) : "m"(fcw),
                             "m"(values[i][0]), "m"(values[i][1]));
        }));
        __asm__ volatile("fninit");
        assert_int_equal(native.sig, SIGFPE);
        assert_int_equal(native.frame.info.code, codes[i]);
        assert_exception_as_native(SGX_VEC_MF, false);
    }
}

static void page_faults(void **state)
{
    (void)state;
    catch_all_natively();
    volatile uint64_t low = 8; /* volatile: the compiler must not know */
    uint64_t readable = user + 2 * VIGIL_PAGE, nothing = user + 3 * VIGIL_PAGE;
    assert_int_equal(mm_protect(readable, VIGIL_PAGE, PROT_READ), 0);
    assert_int_equal(mm_protect(nothing, VIGIL_PAGE, PROT_NONE), 0);
    assert_true(FAULTS(*(volatile char *)(readable + 5) = 1));
    assert_int_equal(native.frame.info.code, SEGV_ACCERR);
    assert_exception_as_native(SGX_VEC_PF, true);
    assert_true(FAULTS((void)*(volatile char *)(nothing + 7)));
    assert_int_equal(native.frame.info.code, SEGV_ACCERR);
    assert_exception_as_native(SGX_VEC_PF, true);
    assert_true(FAULTS(((void (*)(void))readable)()));
    assert_int_equal(native.frame.info.code, SEGV_ACCERR);
    assert_exception_as_native(SGX_VEC_PF, true);
    assert_true(FAULTS((void)*(volatile char *)low));
    assert_int_equal(native.frame.info.code, SEGV_MAPERR);
    assert_exception_as_native(SGX_VEC_PF, true);
    assert_true(FAULTS(*(volatile char *)low = 0));
    assert_exception_as_native(SGX_VEC_PF, true);
}

static void alignment_check(void **state)
{
    (void)state;
    catch_all_natively();
    assert_true(FAULTS(__asm__ volatile("pushfq\n orl $0x40000, (%%rsp)\n popfq\n movl (%0), %%eax\n" : : "r"(user + 1)
                                        : "eax", "memory", "cc")));
    __asm__ volatile("pushfq\n andl $~0x40000, (%%rsp)\n popfq" : : : "memory", "cc");
    assert_int_equal(native.sig, SIGBUS);
    assert_exception_as_native(SGX_VEC_AC, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frame_is_the_kernels, frame_setup, frame_teardown),
        cmocka_unit_test_setup_teardown(integer_exceptions, frame_setup, frame_teardown),
        cmocka_unit_test_setup_teardown(single_step, frame_setup, frame_teardown),
        cmocka_unit_test_setup_teardown(sse_exceptions, frame_setup, frame_teardown),
        cmocka_unit_test_setup_teardown(x87_exceptions, frame_setup, frame_teardown),
        cmocka_unit_test_setup_teardown(page_faults, frame_setup, frame_teardown),
        cmocka_unit_test_setup_teardown(alignment_check, frame_setup, frame_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
