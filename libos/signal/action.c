/* SPDX-License-Identifier: Apache-2.0
 *
 * Dispositions: the program's (rt_sigaction) and what the host is asked to do with a signal because of them. */
#include "libos/signal/signal.h"

#include <asm/signal.h>
#include <asm/unistd_64.h>

#define FLAGS_KNOWN \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND | 0x800 | \
     SA_RESTORER) /* 0x800: SA_EXPOSE_TAGBITS */

#define HOST_DEFAULT 0
#define HOST_FORWARD 1
#define HOST_IGNORE  2

/* What the host may report at all: asynchronous signals, never one that means "your instruction faulted". */
#define FORWARDABLE \
    (SIG_BIT(SIGHUP) | SIG_BIT(SIGINT) | SIG_BIT(SIGQUIT) | SIG_BIT(SIGUSR1) | SIG_BIT(SIGUSR2) | SIG_BIT(SIGALRM) | \
     SIG_BIT(SIGTERM) | SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | \
     SIG_BIT(SIGTTOU) | SIG_BIT(SIGURG) | SIG_BIT(SIGXCPU) | SIG_BIT(SIGXFSZ) | SIG_BIT(SIGVTALRM) | \
     SIG_BIT(SIGPROF) | SIG_BIT(SIGWINCH) | SIG_BIT(SIGIO) | SIG_BIT(SIGPWR) | SIG_BIT(SIGSTKFLT) | ~0ull << 33)

/* Reported from the start even with the default action, which is to terminate: the enclave ends the process itself, so
 * that its last lines are written. */
#define FORWARDED_AT_START \
    (SIG_BIT(SIGHUP) | SIG_BIT(SIGINT) | SIG_BIT(SIGQUIT) | SIG_BIT(SIGTERM) | SIG_BIT(SIGALRM) | SIG_BIT(SIGUSR1) | \
     SIG_BIT(SIGUSR2))

struct action actions[SIGNAL_MAX + 1];
static lock_t watch_lock;                      /* held across the OCALL: the host's state follows ours in order */
static uint8_t host_state[SIGNAL_MAX + 1];     /* what the host was last asked to do */

enum signal_default signal_default(int sig)
{
    switch (sig) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
        return SIGNAL_IGNORE;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return SIGNAL_STOP;
    default:
        return SIGNAL_TERMINATE;
    }
}

bool action_ignores(int sig)
{
    return actions[sig].handler == HANDLER_IGNORE ||
           (actions[sig].handler == HANDLER_DEFAULT && signal_default(sig) == SIGNAL_IGNORE);
}

bool signal_forwarded(int sig)
{
    return __atomic_load_n(&host_state[sig], __ATOMIC_RELAXED) == HOST_FORWARD;
}

static bool host_set(int sig, int how)
{
    int error = ocall_watch(sig, how);

    if (error)
        log_line(VIGIL_LOG_DEBUG, "signal %d sent from outside will not reach the program: the host refused (%d)", sig,
                 -error);
    else
        __atomic_store_n(&host_state[sig], (uint8_t)how, __ATOMIC_RELAXED);
    return !error;
}

/* A stop signal with its default action stays with the host, which really stops the process. */
static int wanted_host_state(int sig, uint64_t handler)
{
    if (handler == HANDLER_IGNORE)
        return HOST_IGNORE;
    if (handler == HANDLER_DEFAULT && signal_default(sig) != SIGNAL_TERMINATE)
        return HOST_DEFAULT;
    return HOST_FORWARD;
}

static void watch(int sig)
{
    if (!(FORWARDABLE & SIG_BIT(sig)) || sig == HOST_TIMER_SIGNAL)
        return;
    lock(&watch_lock);
    int how = wanted_host_state(sig, __atomic_load_n(&actions[sig].handler, __ATOMIC_RELAXED));
    if (host_state[sig] != how)
        host_set(sig, how);
    unlock(&watch_lock);
}

int signal_watch_timer(void)
{
    lock(&watch_lock);
    bool on = host_state[HOST_TIMER_SIGNAL] == HOST_FORWARD || host_set(HOST_TIMER_SIGNAL, HOST_FORWARD);
    unlock(&watch_lock);
    return on ? 0 : -EAGAIN;
}

/* A program started with a signal ignored (nohup) keeps it so. It is the host's word, and it can withhold any
 * asynchronous signal anyway. */
static bool untrusted_ignored_at_start(int sig)
{
    struct action old = {0};
    size_t mark = bounce_mark();
    void *untrusted_old = bounce_alloc(sizeof(old));

    if (!untrusted_old)
        return false;
    untrusted_write(untrusted_old, &old, sizeof(old));
    long untrusted_result = ocall_syscall(__NR_rt_sigaction, sig, 0, (long)untrusted_old, SIGSET_SIZE, 0, 0);
    untrusted_read(&old, untrusted_old, sizeof(old));
    bounce_release(mark);
    return !untrusted_result && old.handler == HANDLER_IGNORE;
}

void actions_init(void)
{
    memset(actions, 0, sizeof(actions));
    memset(host_state, HOST_DEFAULT, sizeof(host_state));
    for (uint64_t left = FORWARDED_AT_START; left; left &= left - 1) {
        int sig = __builtin_ctzll(left) + 1;
        if (untrusted_ignored_at_start(sig)) {
            actions[sig].handler = HANDLER_IGNORE;
            host_state[sig] = HOST_IGNORE;
        } else {
            host_set(sig, HOST_FORWARD);
        }
    }
}

void actions_exec(void)
{
    for (int sig = 1; sig <= SIGNAL_MAX; sig++) {
        lock(&signals_lock);
        bool ignored = actions[sig].handler == HANDLER_IGNORE;
        actions[sig] = (struct action){.handler = ignored ? HANDLER_IGNORE : HANDLER_DEFAULT};
        unlock(&signals_lock);
        watch(sig);
    }
}

static void install(int sig, const struct action *action)
{
    lock(&threads_lock);
    lock(&signals_lock);
    actions[sig] = *action;
    actions[sig].flags &= FLAGS_KNOWN;
    actions[sig].mask &= ~UNBLOCKABLE;
    if (action_ignores(sig))
        signal_discard(SIG_BIT(sig));
    unlock(&signals_lock);
    unlock(&threads_lock);
    watch(sig);
}

long sys_rt_sigaction(SYSCALL_ARGS)
{
    struct action new, old;
    int sig = (int)a0;

    if ((uint64_t)a3 != SIGSET_SIZE)
        return -EINVAL;
    if (a1 && copy_from_user(&new, (void *)a1, sizeof(new)))
        return -EFAULT;
    if (sig < 1 || sig > SIGNAL_MAX || (a1 && (UNBLOCKABLE & SIG_BIT(sig))))
        return -EINVAL;
    lock(&signals_lock);
    old = actions[sig];
    unlock(&signals_lock);
    if (a1)
        install(sig, &new);
    return a2 ? copy_to_user((void *)a2, &old, sizeof(old)) : 0;
}
