/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals that are sent: dispositions, masks, nesting, queues, waiting. Hardware faults are in faults.c, restarted
 * system calls in signals_blocking.c. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count[65], order[64], ordered;
static volatile siginfo_t last;
static volatile uintptr_t handler_sp;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    count[sig]++;
    if (ordered < 64)
        order[ordered++] = sig;
    memcpy((void *)&last, info, sizeof(last));
    handler_sp = (uintptr_t)__builtin_frame_address(0);
}

static void install(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO };
    sigemptyset(&action.sa_mask);
    REQUIRE(sigaction(sig, &action, NULL) == 0);
}

static void change_mask(int how, int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    CHECK_EQ(sigprocmask(how, &set, NULL), 0);
}

static void reset(void)
{
    memset((void *)count, 0, sizeof(count));
    ordered = 0;
}

static void raise_kill_tgkill(void)
{
    reset();
    install(SIGUSR1, on_signal, 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(count[SIGUSR1], 1);
    CHECK_EQ(last.si_signo, SIGUSR1);
    CHECK_EQ(last.si_code, SI_TKILL);
    CHECK_EQ(last.si_pid, getpid());
    CHECK_EQ(last.si_uid, getuid());
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(count[SIGUSR1], 2);
    CHECK_EQ(last.si_code, SI_USER);
    CHECK_EQ(last.si_pid, getpid());
    CHECK_EQ(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1), 0);
    CHECK_EQ(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1), 0);
    CHECK_EQ(count[SIGUSR1], 4);
    CHECK_EQ(kill(getpid(), 0), 0);
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0x3ffffff, SIGUSR1), ESRCH);
    CHECK_ERRNO(syscall(SYS_tgkill, -1, 1, SIGUSR1), EINVAL);
}

static void dispositions(void)
{
    reset();
    struct sigaction old, action = { .sa_handler = SIG_IGN };
    install(SIGUSR2, on_signal, SA_RESETHAND);
    CHECK_EQ(sigaction(SIGUSR2, NULL, &old), 0);
    CHECK(old.sa_sigaction == on_signal);
    CHECK_EQ(old.sa_flags & (SA_SIGINFO | SA_RESETHAND | SA_RESTART), SA_SIGINFO | SA_RESETHAND);
    raise(SIGUSR2);
    CHECK_EQ(count[SIGUSR2], 1);
    CHECK_EQ(sigaction(SIGUSR2, &action, &old), 0);
    CHECK(old.sa_handler == SIG_DFL);
    raise(SIGUSR2);
    CHECK_EQ(count[SIGUSR2], 1);
    change_mask(SIG_BLOCK, SIGUSR2);
    raise(SIGUSR2);
    install(SIGUSR2, on_signal, 0); /* a blocked signal is kept even while it is ignored */
    change_mask(SIG_UNBLOCK, SIGUSR2);
    CHECK_EQ(count[SIGUSR2], 2);
    change_mask(SIG_BLOCK, SIGUSR2);
    raise(SIGUSR2);
    sigaction(SIGUSR2, &action, NULL); /* ignoring discards what is pending */
    install(SIGUSR2, on_signal, 0);
    change_mask(SIG_UNBLOCK, SIGUSR2);
    CHECK_EQ(count[SIGUSR2], 2);
    raise(SIGCHLD), raise(SIGURG), raise(SIGWINCH), raise(SIGCONT); /* by default nothing happens */
    CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
    CHECK_EQ(sigaction(SIGKILL, NULL, &old), 0);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4), EINVAL);
}

static void masks(void)
{
    reset();
    sigset_t set, old;
    install(SIGUSR1, on_signal, 0);
    change_mask(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
    CHECK_EQ(count[SIGUSR1], 0);
    CHECK_EQ(sigpending(&set), 0);
    CHECK(sigismember(&set, SIGUSR1));
    CHECK(!sigismember(&set, SIGUSR2));
    change_mask(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(count[SIGUSR1], 1); /* a standard signal is pending once */
    sigpending(&set);
    CHECK(!sigismember(&set, SIGUSR1));
    sigfillset(&set);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &set, &old), 0);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &old, &set), 0);
    CHECK(sigismember(&set, SIGTERM));
    CHECK(!sigismember(&set, SIGKILL));
    CHECK(!sigismember(&set, SIGSTOP));
    CHECK_ERRNO(sigprocmask(77, &set, NULL), EINVAL);
}

static volatile sig_atomic_t depth, deepest, masked_inside, unmasked_inside;

static void nest(int sig, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    masked_inside += sigismember(&set, sig) && sigismember(&set, SIGHUP);
    unmasked_inside += !sigismember(&set, sig);
    count[sig]++;
    depth++;
    if (depth > deepest)
        deepest = depth;
    if (sig == SIGUSR1)
        raise(SIGUSR2);
    else if (sig == SIGUSR2)
        raise(SIGALRM);
    else if (sig == SIGALRM)
        raise(SIGUSR1), raise(SIGHUP); /* both blocked here: run when the handlers that block them return */
    else if (sig == SIGIO && depth < 20)
        raise(SIGIO); /* SA_NODEFER */
    depth--;
}

static void nesting(void)
{
    static const int signals[] = { SIGUSR1, SIGUSR2, SIGALRM };
    reset();
    for (int i = 0; i < 3; i++) {
        struct sigaction action = { .sa_sigaction = nest, .sa_flags = SA_SIGINFO };
        sigaddset(&action.sa_mask, SIGHUP);
        sigaction(signals[i], &action, NULL);
    }
    install(SIGHUP, on_signal, 0);
    install(SIGIO, nest, SA_NODEFER);
    struct sigaction once = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    sigaction(SIGUSR1, &once, NULL);
    raise(SIGUSR2);
    CHECK_EQ(deepest, 2);
    CHECK_EQ(count[SIGUSR2], 1);
    CHECK_EQ(count[SIGALRM], 1);
    CHECK_EQ(count[SIGUSR1], 1);
    CHECK_EQ(count[SIGHUP], 1);
    CHECK_EQ(masked_inside, 2);
    deepest = 0;
    unmasked_inside = 0;
    raise(SIGIO);
    CHECK_EQ(count[SIGIO], 20);
    CHECK_EQ(deepest, 20);
    CHECK_EQ(unmasked_inside, 20);
}

static int values[16], value_count;

static void on_queued(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (ordered < 64)
        order[ordered++] = sig;
    if (value_count < 16)
        values[value_count++] = info->si_value.sival_int;
    CHECK_EQ(info->si_code, SI_QUEUE);
    CHECK_EQ(info->si_pid, getpid());
}

static void realtime_queue(void)
{
    reset();
    for (int i = 0; i < 2; i++) {
        struct sigaction action = { .sa_sigaction = on_queued, .sa_flags = SA_SIGINFO };
        sigfillset(&action.sa_mask);
        sigaction(SIGRTMIN + i, &action, NULL);
        change_mask(SIG_BLOCK, SIGRTMIN + i);
    }
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 100 + i }), 0);
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 200 + i }), 0);
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK_EQ(value_count, 10);
    for (int i = 0; i < 5; i++) { /* lower numbers first, each in the order sent */
        CHECK_EQ(values[i], 200 + i);
        CHECK_EQ(values[5 + i], 100 + i);
    }
}

static char alternate[65536] __attribute__((aligned(16)));

static void check_alternate(int sig, siginfo_t *info, void *context)
{
    on_signal(sig, info, context);
    stack_t stack;
    ucontext_t *uc = context;
    CHECK_EQ(sigaltstack(NULL, &stack), 0);
    CHECK_EQ(stack.ss_flags & SS_ONSTACK, SS_ONSTACK);
    CHECK(stack.ss_sp == alternate);
    CHECK_ERRNO(sigaltstack(&(stack_t){ .ss_sp = alternate, .ss_size = 8192 }, NULL), EPERM);
    CHECK(uc->uc_stack.ss_sp == alternate);
    CHECK((uintptr_t)uc->uc_mcontext.gregs[REG_RSP] < (uintptr_t)alternate ||
          (uintptr_t)uc->uc_mcontext.gregs[REG_RSP] >= (uintptr_t)(alternate + sizeof(alternate)));
    if (sig == SIGUSR1)
        raise(SIGUSR2); /* already there: stays on it, below */
}

static bool on_alternate(uintptr_t sp)
{
    return sp >= (uintptr_t)alternate && sp < (uintptr_t)(alternate + sizeof(alternate));
}

static void on_second(int sig, siginfo_t *info, void *context)
{
    uintptr_t before = handler_sp;
    on_signal(sig, info, context);
    CHECK(on_alternate(before) && on_alternate(handler_sp) && handler_sp < before);
}

static void alternate_stack(void)
{
    reset();
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) }, old;
    CHECK_EQ(sigaltstack(&stack, &old), 0);
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    install(SIGUSR1, check_alternate, SA_ONSTACK);
    install(SIGUSR2, on_second, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(count[SIGUSR1], 1);
    CHECK_EQ(count[SIGUSR2], 1);
    install(SIGUSR1, on_signal, 0);
    raise(SIGUSR1);
    CHECK(!on_alternate(handler_sp));
    CHECK_ERRNO(sigaltstack(&(stack_t){ .ss_sp = alternate, .ss_size = 1024 }, NULL), ENOMEM);
    CHECK_ERRNO(sigaltstack(&(stack_t){ .ss_sp = alternate, .ss_size = 65536, .ss_flags = 0x1234 }, NULL), EINVAL);
    stack.ss_flags = SS_DISABLE;
    CHECK_EQ(sigaltstack(&stack, &old), 0);
    CHECK_EQ(old.ss_size, sizeof(alternate));
    install(SIGUSR1, on_signal, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(!on_alternate(handler_sp));
}

static void change_context(int sig, siginfo_t *info, void *context)
{
    on_signal(sig, info, context);
    ucontext_t *uc = context;
    sigaddset(&uc->uc_sigmask, SIGUSR2);
}

static void return_from_handler(void)
{
    reset();
    sigset_t set;
    install(SIGUSR1, change_context, 0);
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &set); /* the mask comes from the frame */
    CHECK(sigismember(&set, SIGUSR2));
    CHECK(!sigismember(&set, SIGUSR1));
    change_mask(SIG_UNBLOCK, SIGUSR2);
    install(SIGUSR1, on_signal, 0);
    for (int i = 0; i < 500; i++)
        raise(SIGUSR1);
    CHECK_EQ(count[SIGUSR1], 501);
}

static atomic_int ready, stop;

static void *take_signals(void *blocked)
{
    if (blocked)
        change_mask(SIG_BLOCK, SIGUSR1);
    ready++;
    while (!stop)
        sleep_ms(1);
    return NULL;
}

static volatile pthread_t receiver;

static void note_receiver(int sig, siginfo_t *info, void *context)
{
    receiver = pthread_self(); /* before the count that is waited for */
    on_signal(sig, info, context);
}

static void to_threads(void)
{
    reset();
    pthread_t open, closed;
    install(SIGUSR1, note_receiver, 0);
    install(SIGUSR2, note_receiver, 0);
    change_mask(SIG_BLOCK, SIGUSR1);
    REQUIRE(pthread_create(&closed, NULL, take_signals, (void *)1) == 0);
    change_mask(SIG_UNBLOCK, SIGUSR1);
    REQUIRE(pthread_create(&open, NULL, take_signals, NULL) == 0);
    change_mask(SIG_BLOCK, SIGUSR1);
    WAIT_UNTIL(ready == 2);
    kill(getpid(), SIGUSR1); /* only `open` can take it */
    WAIT_UNTIL(count[SIGUSR1] == 1);
    CHECK(pthread_equal(receiver, open));
    CHECK_EQ(pthread_kill(closed, SIGUSR2), 0);
    WAIT_UNTIL(count[SIGUSR2] == 1);
    CHECK(pthread_equal(receiver, closed));
    CHECK_EQ(pthread_kill(pthread_self(), SIGUSR2), 0);
    CHECK_EQ(count[SIGUSR2], 2);
    CHECK(pthread_equal(receiver, pthread_self()));
    stop = 1;
    pthread_join(open, NULL);
    pthread_join(closed, NULL);
    change_mask(SIG_UNBLOCK, SIGUSR1);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "raise, kill, tgkill", raise_kill_tgkill },
        { "dispositions", dispositions },
        { "masks", masks },
        { "nesting", nesting },
        { "real-time queue", realtime_queue },
        { "alternate stack", alternate_stack },
        { "return from a handler", return_from_handler },
        { "signals to threads", to_threads },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
