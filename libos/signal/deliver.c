/* SPDX-License-Identifier: Apache-2.0
 *
 * The way back to the application: what is deliverable is delivered, and interrupted calls are restarted or not. */
#include "libos/signal/signal.h"

#include "libos/rewrite/rewrite.h"

#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/unistd_64.h>

#define FLAG_TF (1u << 8)
#define SYSCALL_LENGTH 2 /* bytes of the `syscall` instruction */

int signals_thread_init(struct thread *child, const struct thread *parent)
{
    struct signal_state *s = kzalloc(sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->xarea_memory = kzalloc(xsave_area_size() + sizeof(uint32_t) + 64);
    if (!s->xarea_memory) {
        kfree(s);
        return -ENOMEM;
    }
    s->xarea = (unsigned char *)(((uint64_t)s->xarea_memory + 63) & ~63ull);
    s->restart_nr = -1;
    if (parent) {
        s->mask = parent->signals->mask;
        altstack_reset(s);
    }
    child->signals = s;
    return 0;
}

int signals_init(void)
{
    memset(&shared_pending, 0, sizeof(shared_pending));
    actions_init();
    return signals_thread_init(current_thread(), NULL);
}

/* The thread is out of the list. */
void signals_thread_exit(struct thread *thread)
{
    struct signal_state *s = thread->signals;

    if (!s)
        return;
    lock(&signals_lock);
    pending_drop_all(&s->pending);
    s->mask = ~0ull; /* wants nothing any more */
    s->wait_set = 0;
    unlock(&signals_lock);
    if (thread == current_thread()) {
        signal_poll_host(); /* the last that came to us goes to the others */
        signal_retarget(~0ull);
    }
    thread->signals = NULL;
    kfree(s->xarea_memory);
    kfree(s);
}

/* ---- system calls that were cut short ---------------------------------------------------------------------------- */
static void restart(struct checkpoint *regs, long nr)
{
    regs->rax = (uint64_t)nr;
    regs->rip -= SYSCALL_LENGTH;
}

static void restart_with_handler(struct checkpoint *regs, struct thread *thread, const struct action *action)
{
    long nr = thread->syscall_nr;

    thread->restart_deadline = 0;
    if (nr < 0)
        return;
    thread->syscall_nr = -1;
    switch ((long)regs->rax) {
    case -ERESTARTSYS:
        if (action->flags & SA_RESTART) {
            restart(regs, nr);
            return;
        }
        __attribute__((fallthrough));
    case -ERESTARTNOHAND:
    case -ERESTART_RESTARTBLOCK:
        regs->rax = (uint64_t)-EINTR;
    }
}

static void restart_without_handler(struct checkpoint *regs, struct thread *thread)
{
    long nr = thread->syscall_nr;

    thread->syscall_nr = -1;
    if (nr >= 0 && (long)regs->rax == -ERESTART_RESTARTBLOCK) {
        thread->signals->restart_nr = nr;
        restart(regs, __NR_restart_syscall);
        return;
    }
    thread->restart_deadline = 0;
    if (nr >= 0 && ((long)regs->rax == -ERESTARTSYS || (long)regs->rax == -ERESTARTNOHAND))
        restart(regs, nr);
}

/* Makes the call again whose remaining time is in restart_deadline. If a handler ran in between (its sigreturn has
 * reset restart_nr), it is over. */
long sys_restart_syscall(SYSCALL_ARGS)
{
    struct thread *thread = current_thread();
    struct checkpoint *regs = current_regs();
    long nr = thread->signals->restart_nr;

    thread->signals->restart_nr = -1;
    if (nr < 0)
        return -EINTR;
    regs->rax = (uint64_t)nr;
    libos_syscall(regs);
    return (long)regs->rax;
}

/* ---- delivery ---------------------------------------------------------------------------------------------------- */
static void default_action(int sig)
{
    switch (signal_default(sig)) {
    case SIGNAL_IGNORE:
        return;
    case SIGNAL_STOP: {
        /* Only the host can stop all threads. */
        long untrusted_pid = ocall_syscall(__NR_getpid, 0, 0, 0, 0, 0, 0);
        log_line(VIGIL_LOG_DEBUG, "signal %d stops the process", sig);
        if (untrusted_pid > 1)
            (void)ocall_syscall(__NR_kill, untrusted_pid, SIGSTOP, 0, 0, 0, 0);
        return;
    }
    case SIGNAL_TERMINATE:
        log_line(VIGIL_LOG_DEBUG, "signal %d ends the process", sig);
        process_exit_signal(sig);
    }
}

/* The next signal that has a handler. Others are dealt with. */
static bool next_handled(struct siginfo_image *info, struct action *action)
{
    struct signal_state *s = current_thread()->signals;
    int sig;

    while ((sig = signal_take(~s->mask, info, action))) {
        if (action->handler == HANDLER_DEFAULT)
            default_action(sig);
        else if (action->handler != HANDLER_IGNORE)
            return true;
    }
    return false;
}

static void frame_failed(int sig)
{
    struct siginfo_image info;

    log_line(VIGIL_LOG_DEBUG, "no room for the frame of signal %d on the stack", sig);
    if (sig == SIGSEGV)
        process_exit_signal(SIGSEGV);
    signal_init_image(&info, SIGSEGV, SI_KERNEL);
    signal_force(&info);
}

static void run_handler(struct checkpoint *regs, const struct siginfo_image *info, const struct action *action)
{
    struct signal_state *s = current_thread()->signals;
    uint64_t old_mask = s->restore_mask ? s->saved_mask : s->mask;

    if (frame_push(regs, action, info, old_mask)) {
        frame_failed(info->signo);
        return;
    }
    s->restore_mask = false;
    signal_set_mask(s->mask | action->mask | (action->flags & SA_NODEFER ? 0 : SIG_BIT(info->signo)));
    altstack_handler_entered(s);
    aex_frame_pushed(s, regs->rsp);
}

/* The temporary mask ends. True: something may have become deliverable. */
static bool end_temporary_mask(struct signal_state *s)
{
    if (!s->restore_mask)
        return false;
    s->restore_mask = false;
    signal_set_mask(s->saved_mask);
    return true;
}

static bool cut_short(long result)
{
    return result == -EINTR || result == -ERESTARTSYS || result == -ERESTARTNOHAND || result == -ERESTART_RESTARTBLOCK;
}

static bool anything_pending(const struct signal_state *s)
{
    return (__atomic_load_n(&s->pending.set, __ATOMIC_SEQ_CST) |
            __atomic_load_n(&shared_pending.set, __ATOMIC_SEQ_CST)) & ~s->mask;
}

void libos_return(struct checkpoint *regs, bool from_syscall)
{
    struct thread *thread = current_thread();
    struct signal_state *s = thread->signals;
    struct siginfo_image info;
    struct action action;

    if (thread_dying())
        thread_die();
    thread->regs = regs;
    regs->rflags &= ~(uint64_t)FLAG_TF; /* it would step the runtime's way to the application, for ever */
    if (!from_syscall) {
        thread->syscall_nr = -1;
        regs->rip = rewrite_visible(regs->rip);
    } else {
        s->fault_count = 0;
    }
    aex_return(regs, s, from_syscall);
    signal_poll_host();
    /* A call that was not cut short has its mask back before anything is delivered. */
    if (from_syscall && !cut_short((long)regs->rax))
        end_temporary_mask(s);
    do {
        while (anything_pending(s) && next_handled(&info, &action)) {
            restart_with_handler(regs, thread, &action);
            run_handler(regs, &info, &action);
        }
        if (from_syscall)
            restart_without_handler(regs, thread);
    } while (end_temporary_mask(s));
    regs->rip = rewrite_resume(regs->rip);
}
