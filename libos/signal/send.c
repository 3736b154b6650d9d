/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending: from the program to itself, from its own faults, and from the host (which is only ever believed to have sent
 * an asynchronous signal). */
#include "libos/signal/signal.h"

lock_t signal_lock;
struct pending process_pending;
static struct kernel_sigaction actions[SIG_MAX + 1];
static uint8_t watched[SIG_MAX + 1];

#define IGNORED_BY_DEFAULT (SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH))
#define STOPS_BY_DEFAULT (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
/* What a host may send: standard signals that are not the processor's and not the kernel's last word. */
#define FROM_HOST (0x7fffffffull & ~(SIG_SYNCHRONOUS | SIG_UNBLOCKABLE | SIG_BIT(SIGPIPE) | SIG_BIT(SIGABRT)))

struct kernel_sigaction *signal_action(int sig)
{
    return &actions[sig];
}

bool signal_default_ignores(int sig)
{
    return SIG_BIT(sig) & (IGNORED_BY_DEFAULT | STOPS_BY_DEFAULT);
}

/* Forwarded: what has a handler, and what would end the process (so that it ends in here, with its last lines). */
void signal_watch(int sig)
{
    if (sig >= 32 || !(FROM_HOST & SIG_BIT(sig)))
        return;
    uint64_t handler = actions[sig].handler;
    uint8_t how = handler == HANDLER_IGNORE ? 2 : handler == HANDLER_DEFAULT && signal_default_ignores(sig) ? 0 : 1;
    if (watched[sig] == how)
        return;
    if (ocall_watch(sig, how))
        log_line(VIGIL_LOG_DEBUG, "the host does not let signal %d be watched", sig);
    watched[sig] = how;
}

/* Would this signal do nothing at all if it arrived now? */
static bool is_ignored(int sig)
{
    uint64_t handler = actions[sig].handler;
    return handler == HANDLER_IGNORE || (handler == HANDLER_DEFAULT && signal_default_ignores(sig));
}

static bool wants(const struct thread *t, int sig)
{
    return !(t->signals->blocked & SIG_BIT(sig)) || (t->signals->waiting & SIG_BIT(sig));
}

/* Makes some thread that does not block sig notice that the process has it; the current one if it will do. */
static void wake_one(int sig)
{
    struct thread *self = current_thread();
    uint32_t slot = 0;
    bool found = false;

    if (self && self->signals && wants(self, sig))
        return;
    lock(&threads_lock);
    for (struct thread *t = threads_first(); t && !found; t = t->next) {
        if (t != self && t->signals && wants(t, sig)) {
            slot = t->slot;
            found = true;
        }
    }
    unlock(&threads_lock);
    if (found)
        kick(slot);
}

int signal_send_info(struct thread *thread, const siginfo_t *info)
{
    int sig = info->si_signo;

    if (sig == SIGKILL)
        process_exit_signal(SIGKILL);
    lock(&signal_lock);
    bool blocked = thread ? thread->signals->blocked & SIG_BIT(sig) : false;
    if (is_ignored(sig) && !blocked) {
        unlock(&signal_lock);
        return 0;
    }
    int status = pending_add(thread ? &thread->signals->pending : &process_pending, info);
    unlock(&signal_lock);
    if (status)
        return status;
    if (!thread)
        wake_one(sig);
    else if (thread != current_thread() && wants(thread, sig))
        kick(thread->slot);
    return 0;
}

int signal_send(struct thread *thread, int sig, int code, uint32_t sender_pid)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = code;
    info.si_pid = (int)sender_pid;
    return signal_send_info(thread, &info);
}

void signal_force(int sig, int code, uint64_t addr)
{
    struct signal_state *s = current_thread()->signals;
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = code;
    info.si_addr = (void *)addr;
    lock(&signal_lock);
    if ((s->blocked & SIG_BIT(sig)) || actions[sig].handler == HANDLER_IGNORE) {
        actions[sig].handler = HANDLER_DEFAULT;
        s->blocked &= ~SIG_BIT(sig);
    }
    int status = pending_add(&s->pending, &info);
    unlock(&signal_lock);
    if (status)
        process_exit_signal(sig);
}

void signals_take_host_events(void)
{
    uint64_t untrusted_events = untrusted_events_take();

    for (uint64_t left = untrusted_events; left; left &= left - 1) {
        int sig = __builtin_ctzll(left);
        if (sig < 1 || sig > 31 || !(FROM_HOST & SIG_BIT(sig))) {
            log_line(VIGIL_LOG_DEBUG, "the host sent signal %d, which is not asynchronous: ignored", sig);
            continue;
        }
        bool timer = sig == SIGALRM || sig == SIGVTALRM || sig == SIGPROF;
        signal_send(NULL, sig, timer ? SI_KERNEL : SI_USER, 0);
    }
}

void signal_set_blocked(uint64_t blocked)
{
    struct signal_state *s = current_thread()->signals;

    lock(&signal_lock);
    s->blocked = blocked & ~SIG_UNBLOCKABLE;
    uint64_t orphaned = process_pending.set & s->blocked;
    unlock(&signal_lock);
    /* What the process was sent and this thread no longer takes must not wait for it. */
    for (; orphaned; orphaned &= orphaned - 1)
        wake_one(__builtin_ctzll(orphaned) + 1);
}

void signals_set_temporary_mask(uint64_t mask)
{
    struct signal_state *s = current_thread()->signals;

    s->saved_blocked = s->blocked;
    s->has_saved = true;
    signal_set_blocked(mask);
}

bool signals_pending(void)
{
    struct signal_state *s = current_thread()->signals;

    signals_take_host_events();
    lock(&signal_lock);
    bool any = (s->pending.set | process_pending.set) & ~s->blocked;
    unlock(&signal_lock);
    return any;
}

int interrupted(void)
{
    return signals_pending() ? -ERESTARTSYS : 0;
}

int signals_thread_init(struct thread *child, const struct thread *parent)
{
    struct signal_state *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->xsave_room = kzalloc(xsave_area_size() + 64);
    if (!s->xsave_room) {
        kfree(s);
        return -ENOMEM;
    }
    s->xsave = (void *)(((uint64_t)s->xsave_room + 63) & ~63ull);
    if (parent)
        s->blocked = parent->signals->has_saved ? parent->signals->saved_blocked : parent->signals->blocked;
    s->alt_flags = SS_DISABLE;
    child->signals = s;
    return 0;
}

void signals_thread_exit(struct thread *thread)
{
    struct signal_state *s = thread->signals;

    lock(&signal_lock);
    pending_drop(&s->pending, ~0ull);
    s->blocked = ~0ull;
    s->waiting = 0;
    uint64_t left = process_pending.set;
    unlock(&signal_lock);
    for (; left; left &= left - 1)
        wake_one(__builtin_ctzll(left) + 1);
    thread->signals = NULL;
    kfree(s->xsave_room);
    kfree(s);
}

int signals_init(void)
{
    static const uint8_t ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF};

    for (size_t i = 0; i < sizeof(ending); i++)
        signal_watch(ending[i]);
    return signals_thread_init(current_thread(), NULL);
}
