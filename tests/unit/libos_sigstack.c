/* SPDX-License-Identifier: Apache-2.0
 *
 * Where frames go (stacks good and bad), and what rt_sigreturn makes of frames the program has changed. */
#include "libos_sig.h"

#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/signal.h>
#include <string.h>

static void set_altstack(uint64_t at, uint64_t size, int32_t flags, long want)
{
    struct stack_image stack = {.sp = at, .flags = flags, .size = size};

    assert_int_equal(copy_to_user((void *)user, &stack, sizeof(stack)), 0);
    assert_int_equal(sys_sigaltstack((long)user, 0, 0, 0, 0, 0), want);
}

static struct stack_image get_altstack(void)
{
    struct stack_image stack;

    assert_int_equal(sys_sigaltstack(0, (long)user, 0, 0, 0, 0), 0);
    assert_int_equal(copy_from_user(&stack, (void *)user, sizeof(stack)), 0);
    return stack;
}

static void deliver(int sig)
{
    assert_int_equal(signal_send(current_thread(), sig, SI_USER, 1), 0);
    libos_return(current_regs(), false);
}

static void altstack_rules(void **state)
{
    struct checkpoint *regs = current_regs();
    uint64_t at = user + 4 * VIGIL_PAGE, size = 2 * VIGIL_PAGE, normal = regs->rsp;
    struct sigframe_image frame;

    (void)state;
    assert_int_equal(get_altstack().flags, SS_DISABLE);
    set_altstack(at, 2047, 0, -ENOMEM);
    set_altstack(at, size, 7, -EINVAL);
    set_altstack(at, size, 0, 0);
    assert_int_equal(get_altstack().flags, 0);
    assert_int_equal(get_altstack().sp, at);
    sig_action(SIGUSR1, SIG_HANDLER, SIG_SA_ONSTACK, 0);
    sig_action(SIGUSR2, SIG_HANDLER, 0, 0);
    deliver(SIGUSR2); /* without SA_ONSTACK: where it was */
    assert_true(regs->rsp < normal && regs->rsp > at + size);
    deliver(SIGUSR1);
    assert_true(regs->rsp > at && regs->rsp < at + size);
    assert_int_equal(get_altstack().flags, SS_ONSTACK);
    set_altstack(at, size, 0, -EPERM);
    sig_frame_at(regs->rsp, &frame);
    assert_int_equal(frame.uc.stack.sp, at);
    assert_int_equal(frame.uc.stack.size, size);
    assert_int_equal(frame.uc.stack.flags, 0);
    /* Already there: below, not from the top again. */
    uint64_t first = regs->rsp;
    signal_set_mask(0);
    deliver(SIGUSR1);
    assert_true(regs->rsp < first && regs->rsp > at);
    assert_int_equal(regs->rip, SIG_HANDLER);
}

static void autodisarm(void **state)
{
    struct checkpoint *regs = current_regs();
    uint64_t at = user + 4 * VIGIL_PAGE, size = 2 * VIGIL_PAGE;
    struct sigframe_image frame;

    (void)state;
    set_altstack(at, size, (int32_t)SS_AUTODISARM, 0);
    assert_int_equal((uint32_t)get_altstack().flags, SS_AUTODISARM);
    sig_action(SIGUSR1, SIG_HANDLER, SIG_SA_ONSTACK, 0);
    deliver(SIGUSR1);
    assert_true(regs->rsp > at && regs->rsp < at + size);
    assert_int_equal(get_altstack().flags, SS_DISABLE); /* in the handler it may be set anew */
    sig_frame_at(regs->rsp, &frame);
    assert_int_equal((uint32_t)frame.uc.stack.flags, SS_AUTODISARM);
    regs->rsp += 8;
    sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
    assert_int_equal(get_altstack().sp, at);
    assert_int_equal((uint32_t)get_altstack().flags, SS_AUTODISARM);
}

static void one_delivery(void *arg)
{
    deliver(*(int *)arg);
}

static int deliver_status(int sig)
{
    return fake_catch_exit(one_delivery, &sig);
}

static void unusable_stacks(void **state)
{
    struct checkpoint *regs = current_regs();
    uint64_t at = user + 4 * VIGIL_PAGE;
    struct sigframe_image frame;

    (void)state;
    sig_action(SIGUSR1, SIG_HANDLER, 0, 0);
    assert_int_equal(mm_protect(user + 8 * VIGIL_PAGE, 2 * VIGIL_PAGE, PROT_READ), 0);
    static const uint64_t bad[] = {8, 0, ~0ull, 1ull << 63, 200};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        regs->rsp = bad[i];
        assert_int_equal(deliver_status(SIGUSR1), SIGSEGV);
        signal_set_mask(0);
    }
    regs->rsp = user + 10 * VIGIL_PAGE;
    assert_int_equal(deliver_status(SIGUSR1), SIGSEGV);
    signal_set_mask(0);
    /* A SIGSEGV handler on a good alternate stack gets to hear of it. */
    set_altstack(at, 2 * VIGIL_PAGE, 0, 0);
    sig_action(SIGSEGV, SIG_HANDLER + 64, SIG_SA_ONSTACK | SIG_SA_SIGINFO, 0);
    assert_int_equal(deliver_status(SIGUSR1), -1);
    assert_int_equal(regs->rip, SIG_HANDLER + 64);
    sig_frame_at(regs->rsp, &frame);
    assert_int_equal(frame.info.signo, SIGSEGV);
    assert_int_equal(frame.info.code, SI_KERNEL);
    assert_int_equal(frame.uc.mcontext.rsp, user + 10 * VIGIL_PAGE);
    /* The alternate stack itself overflows: nothing is written below it. */
    signal_set_mask(0);
    regs->rsp = at + 600;
    assert_int_equal(deliver_status(SIGSEGV), SIGSEGV);
    /* No restorer: as good as no frame. */
    signal_set_mask(0);
    regs->rsp = user + 3 * VIGIL_PAGE;
    struct action action = {.handler = SIG_HANDLER};
    copy_to_user((void *)user, &action, sizeof(action));
    sys_rt_sigaction(SIGUSR2, (long)user, 0, SIGSET_SIZE, 0, 0);
    sig_action(SIGSEGV, HANDLER_DEFAULT, 0, 0);
    assert_int_equal(deliver_status(SIGUSR2), SIGSEGV);
}

/* ---- rt_sigreturn ------------------------------------------------------------------------------------------------ */
/* Delivers a signal, lets change() loose on the frame, returns from the handler. The exit status, -1: it lives. */
struct change {
    void (*change)(struct sigframe_image *frame, unsigned char *xstate);
};

static void return_from_changed(void *arg)
{
    struct change *c = arg;
    struct checkpoint *regs = current_regs();
    struct sigframe_image frame;
    unsigned char xstate[580];

    deliver(SIGUSR1);
    sig_frame_at(regs->rsp, &frame);
    uint64_t fpstate = frame.uc.mcontext.fpstate;
    copy_from_user(xstate, (void *)fpstate, sizeof(xstate));
    c->change(&frame, xstate);
    copy_to_user((void *)fpstate, xstate, sizeof(xstate));
    copy_to_user((void *)regs->rsp, &frame, offsetof(struct sigframe_image, info));
    regs->rsp += 8;
    sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
}

static int changed(void (*change)(struct sigframe_image *, unsigned char *))
{
    struct change c = {change};

    signal_set_mask(0);
    *current_regs() = (struct checkpoint){.rip = 0x1000, .rsp = user + 10 * VIGIL_PAGE, .rflags = 0x202};
    sig_action(SIGUSR1, SIG_HANDLER, 0, 0);
    sig_action(SIGSEGV, HANDLER_DEFAULT, 0, 0);
    return fake_catch_exit(return_from_changed, &c);
}

static void wild_registers(struct sigframe_image *frame, unsigned char *xstate)
{
    struct sigcontext_image *c = &frame->uc.mcontext;

    (void)xstate;
    c->eflags = ~0ull;
    c->cs = 0x10, c->ss = 0x18, c->gs = 0xffff, c->fs = 0xffff; /* the kernel's; ignored */
    c->rip = 1ull << 63;                                        /* faults when it gets there */
    c->rax = 42;
    frame->uc.sigmask = ~0ull;
    frame->uc.stack = (struct stack_image){.sp = 1, .flags = 7, .size = 3};
}

static void no_fpstate(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)xstate;
    frame->uc.mcontext.fpstate = 0;
}

static void bad_fpstate(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)xstate;
    frame->uc.mcontext.fpstate = 64;
}

static void bad_mxcsr(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)frame;
    memset(xstate + 24, 0xff, 4);
}

static void bad_header(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)frame;
    xstate[512 + 8] = 1; /* compacted */
}

static void feature_not_ours(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)frame;
    xstate[513] = 2; /* PKRU */
}

static void no_magic(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)frame;
    memset(xstate + FRAME_SW_OFFSET, 0, 4);
    memset(xstate + 512, 0xff, 64); /* not looked at any more */
    xstate[0] = 0x7f, xstate[1] = 2;
}

static void no_end_mark(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)frame;
    memset(xstate + 576, 0, 4);
    memset(xstate + 512, 0xff, 64);
}

static void huge_size(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)frame;
    ((struct frame_sw *)(xstate + FRAME_SW_OFFSET))->xstate_size = 0x7fffffff;
    ((struct frame_sw *)(xstate + FRAME_SW_OFFSET))->extended_size = 0x7fffffff;
}

static void fcw_changed(struct sigframe_image *frame, unsigned char *xstate)
{
    (void)frame;
    xstate[0] = 0x7f, xstate[1] = 2;
}

static uint16_t live_fcw(void)
{
    static unsigned char area[576] __attribute__((aligned(64)));

    xstate_save(area);
    return (uint16_t)(area[0] | area[1] << 8);
}

static void changed_frames(void **state)
{
    struct checkpoint *regs = current_regs();

    (void)state;
    assert_int_equal(changed(fcw_changed), -1);
    assert_int_equal(live_fcw(), 0x27f);
    assert_int_equal(changed(no_fpstate), -1);
    assert_int_equal(live_fcw(), 0x37f);
    assert_int_equal(changed(no_magic), -1); /* the legacy part alone */
    assert_int_equal(live_fcw(), 0x27f);
    xstate_init();
    assert_int_equal(changed(no_end_mark), -1);
    assert_int_equal(changed(huge_size), -1);
    assert_int_equal(changed(bad_fpstate), SIGSEGV);
    assert_int_equal(changed(bad_mxcsr), SIGSEGV);
    assert_int_equal(changed(bad_header), SIGSEGV);
    assert_int_equal(changed(feature_not_ours), SIGSEGV);
    assert_int_equal(changed(wild_registers), -1);
    assert_int_equal(regs->rip, 1ull << 63);
    assert_int_equal(regs->rax, 42);
    assert_int_equal(regs->rflags, 0x202 | 0x40cd5); /* no TF, IOPL, NT, VM ... */
    assert_int_equal(current_thread()->signals->mask, ~UNBLOCKABLE);
}

static void return_without_frame(void *arg)
{
    current_regs()->rsp = *(uint64_t *)arg;
    sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
}

static void missing_frames(void **state)
{
    static uint64_t at[] = {0, 8, 1ull << 63, ~0ull};

    (void)state;
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
        assert_int_equal(fake_catch_exit(return_without_frame, &at[i]), SIGSEGV);
}

/* ---- page faults the host answers for ---------------------------------------------------------------------------- */
static void pages_the_host_withholds(void **state)
{
    struct checkpoint *regs = current_regs();
    struct sigframe_image frame;
    struct exception exc = {.vector = SGX_VEC_PF, .has_exinfo = true, .error_code = SGX_PFEC_W | SGX_PFEC_U,
                            .address = user + 5};

    (void)state;
    sig_action(SIGBUS, SIG_HANDLER, SIG_SA_SIGINFO, 0);
    for (int i = 0; i < 100; i++) { /* resolved by the host: benign, always */
        libos_exception(regs, &exc);
        libos_return(regs, false);
        assert_int_equal(regs->rip, 0x1000);
    }
    exc.untrusted_claim = SIGSEGV;
    int given_back = 0;
    while (given_back < 100 && regs->rip == 0x1000) {
        libos_exception(regs, &exc);
        libos_return(regs, false);
        given_back++;
    }
    assert_int_equal(given_back, 9);
    sig_frame_at(regs->rsp, &frame);
    assert_int_equal(frame.info.signo, SIGBUS);
    assert_int_equal(frame.info.code, BUS_ADRERR);
    assert_int_equal(frame.info.fault.address, user + 5);
}

static void debugger_traps_are_benign(void **state)
{
    struct checkpoint *regs = current_regs(), before = *regs;

    (void)state;
    libos_exception(regs, &(struct exception){.vector = SGX_VEC_BP});
    libos_exception(regs, &(struct exception){.vector = SGX_VEC_DB});
    libos_return(regs, false);
    assert_memory_equal(regs, &before, sizeof(before));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sig_setup, sig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(altstack_rules), TEST(autodisarm), TEST(unusable_stacks), TEST(changed_frames), TEST(missing_frames),
        TEST(pages_the_host_withholds), TEST(debugger_traps_are_benign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
