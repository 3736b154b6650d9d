/* SPDX-License-Identifier: Apache-2.0
 *
 * Delivery on the way back to the application: chooses, restarts system calls as Linux does, acts. */
#include "libos/signal/signal.h"

#define SYSCALL_LENGTH 2

static void restart(struct checkpoint *regs, long nr)
{
    regs->rip -= SYSCALL_LENGTH;
    regs->rax = (uint64_t)nr;
}

/* The interrupted system call, before a handler runs. */
static void finish_call_for_handler(struct checkpoint *regs, long nr, uint64_t flags)
{
    switch ((long)regs->rax) {
    case -ERESTARTSYS:
        if (flags & SA_RESTART) {
            restart(regs, nr);
            return;
        }
        /* fall through */
    case -ERESTARTNOHAND:
    case -ERESTART_RESTARTBLOCK:
        regs->rax = (uint64_t)-EINTR;
    }
}

static void finish_call_without_handler(struct checkpoint *regs, long nr)
{
    long result = (long)regs->rax;
    if (result == -ERESTARTSYS || result == -ERESTARTNOHAND || result == -ERESTART_RESTARTBLOCK)
        restart(regs, nr);
}

static int take_one(struct signal_state *s, siginfo_t *info, struct kernel_sigaction *action)
{
    lock(&signal_lock);
    int sig = pending_take(&s->pending, ~s->blocked, info);
    if (!sig)
        sig = pending_take(&process_pending, ~s->blocked, info);
    if (sig) {
        *action = *signal_action(sig);
        if ((action->flags & SA_RESETHAND) && action->handler > HANDLER_IGNORE)
            signal_action(sig)->handler = HANDLER_DEFAULT;
    }
    unlock(&signal_lock);
    return sig;
}

/* Returns false if nothing happened to the registers (ignored). */
static bool act(struct checkpoint *regs, struct signal_state *s, int sig, const siginfo_t *info,
                const struct kernel_sigaction *action)
{
    if (action->handler == HANDLER_IGNORE)
        return false;
    if (action->handler == HANDLER_DEFAULT) {
        if (!signal_default_ignores(sig))
            process_exit_signal(sig);
        log_line(VIGIL_LOG_DEBUG, "signal %d: its default action does nothing here", sig);
        return false;
    }
    if (signal_push_frame(regs, info, action)) {
        log_line(VIGIL_LOG_DEBUG, "signal %d: no stack for its handler at 0x%lx", sig, regs->rsp);
        if (sig == SIGSEGV)
            process_exit_signal(SIGSEGV);
        signal_force(SIGSEGV, SI_KERNEL, 0);
        return true;
    }
    s->has_saved = false;
    signal_set_blocked(s->blocked | action->mask | (action->flags & SA_NODEFER ? 0 : SIG_BIT(sig)));
    return true;
}

void libos_return(struct checkpoint *regs, bool from_syscall)
{
    struct thread *t = current_thread();
    struct signal_state *s = t->signals;
    struct kernel_sigaction action;
    siginfo_t info;
    long nr = from_syscall ? t->syscall_nr : -1;
    int sig;

    signals_take_host_events();
    while ((sig = take_one(s, &info, &action))) {
        if (nr >= 0 && action.handler > HANDLER_IGNORE) {
            finish_call_for_handler(regs, nr, action.flags);
            nr = -1;
        }
        act(regs, s, sig, &info, &action);
    }
    if (nr >= 0)
        finish_call_without_handler(regs, nr);
    if (s->has_saved) {
        s->has_saved = false;
        signal_set_blocked(s->saved_blocked);
    }
    t->syscall_nr = -1;
}
