/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals: restarting, order, masks, the alternate stack, broken frames, and what the host may and may not do. */
#include "libos_sig.h"

#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/signal.h>
#include <string.h>

#define RT1 (SIGRTMIN_ + 8)
#define RT2 (SIGRTMIN_ + 9)
#define SIGRTMIN_ 32

/* ---- restarting -------------------------------------------------------------------------------------------------- */
enum outcome { RESULT, EINTR_, AGAIN, AGAIN_BY_219 };

static void check_restart(long result, bool handler, uint64_t flags, enum outcome want)
{
    struct checkpoint *regs = current_regs();
    struct sigframe_image frame;
    const uint64_t rip = 0x1000, nr = __NR_read;

    *regs = (struct checkpoint){.rip = rip + 2, .rsp = user + 8 * VIGIL_PAGE, .rax = (uint64_t)result, .rflags = 0x202};
    current_thread()->syscall_nr = (long)nr;
    current_thread()->restart_deadline = result == -ERESTART_RESTARTBLOCK ? 77 : 0;
    if (handler) {
        sig_action(SIGUSR1, SIG_HANDLER, flags, 0);
        assert_int_equal(signal_send(current_thread(), SIGUSR1, SI_USER, 1), 0);
    }
    libos_return(regs, true);
    uint64_t rax = regs->rax, at = regs->rip;
    if (handler) {
        assert_int_equal(regs->rip, SIG_HANDLER);
        sig_frame_at(regs->rsp, &frame);
        rax = frame.uc.mcontext.rax;
        at = frame.uc.mcontext.rip;
        signal_set_mask(0);
    }
    assert_int_equal(at, want == AGAIN || want == AGAIN_BY_219 ? rip : rip + 2);
    assert_int_equal((long)rax, want == RESULT ? result : want == EINTR_ ? -EINTR : want == AGAIN ? (long)nr : 219);
    assert_int_equal(current_thread()->restart_deadline, want == AGAIN_BY_219 ? 77 : 0);
    assert_int_equal(current_thread()->syscall_nr, -1);
}

static void restart_table(void **state)
{
    (void)state;
    static const long results[] = {5, -EINTR, -ERESTARTSYS, -ERESTARTNOHAND, -ERESTART_RESTARTBLOCK};
    static const enum outcome none[] = {RESULT, RESULT, AGAIN, AGAIN, AGAIN_BY_219};
    static const enum outcome plain[] = {RESULT, RESULT, EINTR_, EINTR_, EINTR_};
    static const enum outcome restarting[] = {RESULT, RESULT, AGAIN, EINTR_, EINTR_};

    for (int i = 0; i < 5; i++) {
        check_restart(results[i], false, 0, none[i]);
        check_restart(results[i], true, 0, plain[i]);
        check_restart(results[i], true, SIG_SA_RESTART, restarting[i]);
    }
}

/* What looks like a restart after rt_sigreturn is the program's own rax. */
static void sigreturn_restarts_nothing(void **state)
{
    struct checkpoint *regs = current_regs();

    (void)state;
    sig_action(SIGUSR1, SIG_HANDLER, 0, 0);
    regs->rax = (uint64_t)-ERESTARTSYS;
    signal_send(current_thread(), SIGUSR1, SI_USER, 1);
    libos_return(regs, false);
    assert_int_equal(regs->rip, SIG_HANDLER);
    regs->rsp += 8;
    assert_int_equal(sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0), -ERESTARTSYS);
    assert_int_equal(regs->rip, 0x1000);
}

static void restart_syscall_is_once(void **state)
{
    (void)state;
    current_thread()->signals->restart_nr = __NR_gettid;
    assert_int_equal(sig_call(__NR_restart_syscall, 0, 0, 0, 0, 0, 0), current_thread()->tid);
    assert_int_equal(sig_call(__NR_restart_syscall, 0, 0, 0, 0, 0, 0), -EINTR);
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */
static void queue_value(int sig, uint64_t value)
{
    struct siginfo_image info = {.signo = sig, .code = SI_QUEUE};

    info.sender.value = value;
    assert_int_equal(copy_to_user((void *)user, &info, sizeof(info)), 0);
    assert_int_equal(sys_rt_sigqueueinfo(process_pid(), sig, (long)user, 0, 0, 0), 0);
}

static void block_all(void)
{
    signal_set_mask(~0ull);
}

/* Takes what waits with rt_sigtimedwait, without waiting. */
static int wait_one(uint64_t set, struct siginfo_image *info)
{
    struct timespec_image zero = {0, 0};
    uint64_t at = user + 1024;

    copy_to_user((void *)at, &set, sizeof(set));
    copy_to_user((void *)(at + 8), &zero, sizeof(zero));
    int sig = (int)sys_rt_sigtimedwait((long)at, (long)(at + 64), (long)(at + 8), SIGSET_SIZE, 0, 0);
    if (sig > 0)
        copy_from_user(info, (void *)(at + 64), sizeof(*info));
    return sig;
}

static void order_of_delivery(void **state)
{
    struct siginfo_image info;

    (void)state;
    block_all();
    queue_value(RT2, 1);
    queue_value(RT1, 2);
    queue_value(RT1, 3);
    sys_kill(process_pid(), SIGTERM, 0, 0, 0, 0);
    sys_kill(process_pid(), SIGTERM, 0, 0, 0, 0); /* once */
    sys_kill(process_pid(), SIGUSR1, 0, 0, 0, 0);
    sys_kill(process_pid(), SIGSEGV, 0, 0, 0, 0); /* synchronous ones first */
    sys_tkill(current_thread()->tid, SIGTERM, 0, 0, 0, 0); /* the thread's own before the process's */
    static const struct { int sig, code; uint64_t value; } want[] = {
        {SIGTERM, SI_TKILL, 0}, {SIGSEGV, SI_USER, 0}, {SIGUSR1, SI_USER, 0}, {SIGTERM, SI_USER, 0},
        {RT1, SI_QUEUE, 2}, {RT1, SI_QUEUE, 3}, {RT2, SI_QUEUE, 1}};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_int_equal(wait_one(~0ull, &info), want[i].sig);
        assert_int_equal(info.signo, want[i].sig);
        assert_int_equal(info.code, want[i].code);
        assert_int_equal(info.sender.value, want[i].value);
        assert_int_equal(info.sender.pid, want[i].code == SI_QUEUE ? 0 : process_pid());
    }
    assert_int_equal(wait_one(~0ull, &info), -EAGAIN);
}

static void queue_is_bounded(void **state)
{
    struct siginfo_image info = {.signo = RT1, .code = SI_QUEUE};
    long accepted = 0;

    (void)state;
    block_all();
    copy_to_user((void *)user, &info, sizeof(info));
    while (accepted < 100000 && !sys_rt_sigqueueinfo(process_pid(), RT1, (long)user, 0, 0, 0))
        accepted++;
    assert_true(accepted >= 1000 && accepted < 100000);
    assert_int_equal(sys_rt_sigqueueinfo(process_pid(), RT1, (long)user, 0, 0, 0), -EAGAIN);
    /* A standard signal still gets through. */
    assert_int_equal(sys_kill(process_pid(), SIGUSR1, 0, 0, 0, 0), 0);
    assert_int_equal(wait_one(SIG_BIT(SIGUSR1), &info), SIGUSR1);
    assert_int_equal(info.code, SI_USER);
}

/* All that is deliverable at once: the last one delivered runs first, the others wait in frames below. */
static void frames_stack_up(void **state)
{
    struct checkpoint *regs = current_regs();
    struct sigframe_image frame;

    (void)state;
    sig_action(SIGUSR1, SIG_HANDLER, 0, 0);
    sig_action(SIGUSR2, SIG_HANDLER + 16, 0, 0);
    block_all();
    sys_kill(process_pid(), SIGUSR2, 0, 0, 0, 0);
    sys_kill(process_pid(), SIGUSR1, 0, 0, 0, 0);
    uint64_t none = 0;
    copy_to_user((void *)user, &none, sizeof(none));
    assert_int_equal(sys_rt_sigprocmask(SIG_SETMASK, (long)user, 0, SIGSET_SIZE, 0, 0), 0);
    libos_return(regs, false);
    assert_int_equal(regs->rip, SIG_HANDLER + 16);
    assert_int_equal(current_thread()->signals->mask, SIG_BIT(SIGUSR1) | SIG_BIT(SIGUSR2));
    sig_frame_at(regs->rsp, &frame);
    assert_int_equal(frame.uc.mcontext.rip, SIG_HANDLER);
    assert_int_equal(frame.uc.sigmask, SIG_BIT(SIGUSR1));
    for (int i = 0; i < 2; i++) {
        regs->rsp += 8;
        sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
        assert_int_equal(regs->rip, i ? 0x1000 : SIG_HANDLER);
    }
    assert_int_equal(current_thread()->signals->mask, 0);
}

/* ---- dispositions ------------------------------------------------------------------------------------------------ */
static void sigaction_checks_and_keeps(void **state)
{
    struct action action = {SIG_HANDLER, ~0ull, SIG_RESTORER, ~0ull}, old;

    (void)state;
    copy_to_user((void *)user, &action, sizeof(action));
    assert_int_equal(sys_rt_sigaction(SIGUSR1, (long)user, 0, 4, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigaction(0, (long)user, 0, 8, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigaction(65, (long)user, 0, 8, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigaction(SIGKILL, (long)user, 0, 8, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigaction(SIGSTOP, (long)user, 0, 8, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigaction(SIGKILL, 0, (long)user + 64, 8, 0, 0), 0);
    assert_int_equal(sys_rt_sigaction(SIGUSR1, 8, 0, 8, 0, 0), -EFAULT);
    assert_int_equal(sys_rt_sigaction(SIGUSR1, (long)user, 0, 8, 0, 0), 0);
    assert_int_equal(sys_rt_sigaction(SIGUSR1, 0, (long)user + 64, 8, 0, 0), 0);
    copy_from_user(&old, (void *)(user + 64), sizeof(old));
    assert_int_equal(old.handler, SIG_HANDLER);
    assert_int_equal(old.mask, ~UNBLOCKABLE);
    assert_int_equal(old.flags & 0x400, 0); /* SA_UNSUPPORTED is cleared, so that programs can tell */
    assert_int_equal(fake_watched(SIGUSR1), 1);
}

static void resethand_nodefer_ignore(void **state)
{
    struct checkpoint *regs = current_regs();

    (void)state;
    sig_action(SIGUSR1, SIG_HANDLER, SIG_SA_RESETHAND | SIG_SA_NODEFER, 0);
    sys_kill(process_pid(), SIGUSR1, 0, 0, 0, 0);
    libos_return(regs, false);
    assert_int_equal(regs->rip, SIG_HANDLER);
    assert_int_equal(current_thread()->signals->mask, 0);
    assert_int_equal(actions[SIGUSR1].handler, HANDLER_DEFAULT);
    /* Ignoring forgets what waits, even blocked, for the thread and for the process. */
    block_all();
    sys_kill(process_pid(), SIGUSR2, 0, 0, 0, 0);
    sys_tkill(current_thread()->tid, SIGUSR2, 0, 0, 0, 0);
    sig_action(SIGUSR2, HANDLER_IGNORE, 0, 0);
    assert_int_equal(shared_pending.set, 0);
    assert_int_equal(current_thread()->signals->pending.set, 0);
    assert_int_equal(fake_watched(SIGUSR2), 2);
    /* Ignored but blocked: sigwait may want it later. */
    sys_kill(process_pid(), SIGCHLD, 0, 0, 0, 0);
    assert_int_equal(shared_pending.set, SIG_BIT(SIGCHLD));
    signal_set_mask(0);
    libos_return(regs, false);
    assert_int_equal(shared_pending.set, 0);
    sys_kill(process_pid(), SIGCHLD, 0, 0, 0, 0);
    assert_int_equal(shared_pending.set, 0);
}

static int exit_signal;
static void deliver_default(void *arg)
{
    (void)arg;
    sys_kill(process_pid(), exit_signal, 0, 0, 0, 0);
    libos_return(current_regs(), false);
}

static void force_blocked(void *arg)
{
    (void)arg;
    signal_set_mask(SIG_BIT(SIGSEGV));
    libos_exception(current_regs(), &(struct exception){.vector = SGX_VEC_GP, .untrusted_claim = SIGSEGV});
    libos_return(current_regs(), false);
}

static void force_ignored(void *arg)
{
    (void)arg;
    sig_action(SIGFPE, HANDLER_IGNORE, 0, 0);
    libos_exception(current_regs(), &(struct exception){.vector = SGX_VEC_DE, .untrusted_claim = SIGFPE});
    libos_return(current_regs(), false);
}

static void defaults_end_the_process(void **state)
{
    static const int ends[] = {SIGTERM, SIGKILL, SIGSEGV, SIGABRT, SIGALRM, SIGIO, RT1}, does_not[] = {SIGCHLD, SIGCONT,
        SIGURG, SIGWINCH};

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        exit_signal = ends[i];
        assert_int_equal(fake_catch_exit(deliver_default, NULL), ends[i]);
    }
    for (size_t i = 0; i < sizeof(does_not) / sizeof(does_not[0]); i++) {
        exit_signal = does_not[i];
        assert_int_equal(fake_catch_exit(deliver_default, NULL), -1);
    }
    assert_int_equal(fake_catch_exit(force_blocked, NULL), SIGSEGV);
    signal_set_mask(0);
    assert_int_equal(fake_catch_exit(force_ignored, NULL), SIGFPE);
}

static long stopped_with;
static long stopping_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (nr == __NR_getpid)
        return 4711;
    if (nr == __NR_kill && a0 == 4711)
        stopped_with = a1;
    return 0;
}

static void stop_is_the_hosts(void **state)
{
    (void)state;
    fake_host = stopping_host;
    stopped_with = 0;
    exit_signal = SIGTSTP;
    assert_int_equal(fake_catch_exit(deliver_default, NULL), -1);
    assert_int_equal(stopped_with, SIGSTOP);
}

/* ---- the host's events ------------------------------------------------------------------------------------------- */
static void host_may_report_what_was_asked_for(void **state)
{
    static const int never[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGKILL, SIGSTOP, SIGCHLD, RT1};
    struct checkpoint *regs = current_regs();
    struct sigframe_image frame;

    (void)state;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        fake_raise(0, never[i]);
        libos_return(regs, false); /* the default action would end the process */
        assert_int_equal(regs->rip, 0x1000);
    }
    for (int sig = 1; sig <= 64; sig++) {
        if (sig == SIGKILL || sig == SIGSTOP)
            continue;
        sig_action(sig, SIG_HANDLER, 0, 0);
    }
    for (size_t i = 0; i < 6; i++) { /* with a handler neither */
        assert_int_equal(fake_watched(never[i]), -1);
        fake_raise(0, never[i]);
        libos_return(regs, false);
        assert_int_equal(regs->rip, 0x1000);
    }
    static const int asked[] = {SIGHUP, SIGINT, SIGTERM, SIGCHLD, SIGWINCH, RT1};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        sig_action(asked[i], SIG_HANDLER, SIG_SA_SIGINFO, 0);
        assert_int_equal(fake_watched(asked[i]), 1);
        fake_raise(0, asked[i]);
        libos_return(regs, false);
        assert_int_equal(regs->rip, SIG_HANDLER);
        sig_frame_at(regs->rsp, &frame);
        assert_int_equal(frame.info.signo, asked[i]);
        assert_int_equal(frame.info.sender.pid, 0);
        regs->rsp += 8;
        sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
        assert_int_equal(regs->rip, 0x1000);
    }
}

/* ---- masks ------------------------------------------------------------------------------------------------------- */
static void suspend_mask_comes_back(void **state)
{
    struct checkpoint *regs = current_regs();
    struct sigframe_image frame;
    uint64_t before = SIG_BIT(SIGUSR1) | SIG_BIT(SIGUSR2), during = SIG_BIT(SIGHUP);

    (void)state;
    sig_action(SIGUSR1, SIG_HANDLER, 0, SIG_BIT(SIGINT));
    signal_set_mask(before);
    sys_kill(process_pid(), SIGUSR1, 0, 0, 0, 0);
    copy_to_user((void *)user, &during, sizeof(during));
    sig_call(__NR_rt_sigsuspend, user, SIGSET_SIZE, 0, 0, 0, 0);
    assert_int_equal(regs->rip, SIG_HANDLER);
    sig_frame_at(regs->rsp, &frame);
    assert_int_equal((long)frame.uc.mcontext.rax, -EINTR);
    assert_int_equal(frame.uc.sigmask, before);
    assert_int_equal(current_thread()->signals->mask, during | SIG_BIT(SIGINT) | SIG_BIT(SIGUSR1));
    regs->rsp += 8;
    sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
    assert_int_equal(current_thread()->signals->mask, before);
    /* A call that succeeds under a temporary mask delivers nothing of it, and everything of the old one. */
    sys_kill(process_pid(), SIGUSR1, 0, 0, 0, 0);
    signals_set_temporary_mask(0);
    current_thread()->syscall_nr = __NR_ppoll;
    regs->rax = 1;
    libos_return(regs, true);
    assert_int_not_equal(regs->rip, SIG_HANDLER);
    assert_int_equal(current_thread()->signals->mask, before);
    assert_int_equal(shared_pending.set, SIG_BIT(SIGUSR1));
}

static void procmask_and_pending(void **state)
{
    uint64_t set = ~0ull, old;

    (void)state;
    copy_to_user((void *)user, &set, sizeof(set));
    assert_int_equal(sys_rt_sigprocmask(SIG_BLOCK, (long)user, 0, 4, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigprocmask(3, (long)user, 0, 8, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigprocmask(SIG_BLOCK, 8, 0, 8, 0, 0), -EFAULT);
    assert_int_equal(sys_rt_sigprocmask(SIG_BLOCK, (long)user, (long)user + 8, 8, 0, 0), 0);
    assert_int_equal(current_thread()->signals->mask, ~UNBLOCKABLE);
    fake_raise(0, SIGTERM);
    assert_int_equal(sys_rt_sigpending((long)user + 8, 8, 0, 0, 0, 0), 0);
    copy_from_user(&old, (void *)(user + 8), 8);
    assert_int_equal(old, SIG_BIT(SIGTERM));
    assert_int_equal(sys_rt_sigpending((long)user + 8, 9, 0, 0, 0, 0), -EINVAL);
    assert_false(signals_pending());
    sys_rt_sigprocmask(SIG_UNBLOCK, (long)user, 0, 8, 0, 0);
    assert_true(signals_pending());
    assert_int_equal(interrupted(), -ERESTARTSYS);
}

static void who_may_be_sent_to(void **state)
{
    struct siginfo_image info = {.code = SI_USER};

    (void)state;
    fake_config()->flags |= VIGIL_FLAG_NO_MANIFEST; /* a process number that is not 1 */
    uint32_t pid = current_thread()->tid = process_pid();
    assert_int_not_equal(pid, 1);
    block_all();
    assert_int_equal(sys_kill(pid, 0, 0, 0, 0, 0), 0);
    assert_int_equal(sys_kill(0, 0, 0, 0, 0, 0), 0);
    assert_int_equal(sys_kill(-(long)pid, 0, 0, 0, 0, 0), 0);
    assert_int_equal(sys_kill(-1, SIGTERM, 0, 0, 0, 0), -ESRCH);
    assert_int_equal(sys_kill(pid + 1, SIGTERM, 0, 0, 0, 0), -ESRCH);
    assert_int_equal(sys_kill(pid, 65, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_kill(pid, -1, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_tkill(0, SIGTERM, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_tkill(pid, 0, 0, 0, 0, 0), 0);
    assert_int_equal(sys_tgkill(pid, pid + 5, SIGTERM, 0, 0, 0), -ESRCH);
    assert_int_equal(sys_tgkill(pid + 1, pid, SIGTERM, 0, 0, 0), -ESRCH);
    assert_int_equal(sys_tgkill(pid, -1, SIGTERM, 0, 0, 0), -EINVAL);
    assert_int_equal(shared_pending.set | current_thread()->signals->pending.set, 0);
    copy_to_user((void *)user, &info, sizeof(info)); /* to oneself, anything may be claimed */
    assert_int_equal(sys_rt_tgsigqueueinfo(pid, pid, SIGTERM, (long)user, 0, 0), 0);
    assert_int_equal(sys_rt_sigqueueinfo(pid + 1, SIGTERM, (long)user, 0, 0, 0), -EPERM);
    info.code = SI_QUEUE;
    copy_to_user((void *)user, &info, sizeof(info));
    assert_int_equal(sys_rt_sigqueueinfo(pid + 1, SIGTERM, (long)user, 0, 0, 0), -ESRCH);
    assert_int_equal(sys_rt_sigqueueinfo(pid, 65, (long)user, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_rt_sigqueueinfo(pid, SIGTERM, 8, 0, 0, 0), -EFAULT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sig_setup, sig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(restart_table), TEST(sigreturn_restarts_nothing), TEST(restart_syscall_is_once), TEST(order_of_delivery),
        TEST(queue_is_bounded), TEST(frames_stack_up), TEST(sigaction_checks_and_keeps), TEST(resethand_nodefer_ignore),
        TEST(defaults_end_the_process), TEST(stop_is_the_hosts), TEST(host_may_report_what_was_asked_for),
        TEST(suspend_mask_comes_back), TEST(procmask_and_pending), TEST(who_may_be_sent_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
