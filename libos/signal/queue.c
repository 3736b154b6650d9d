/* SPDX-License-Identifier: Apache-2.0
 *
 * Pending signals: sent to a thread or to the process, standard ones at most once, real-time ones queued in order. */
#include "libos/fs/fs.h"
#include "libos/signal/signal.h"

#include "libos/process/process.h"
#include "libos/time/time.h"

#include <asm/siginfo.h>
#include <asm/signal.h>

#define QUEUE_MAX 4096 /* entries in all */
#define SYNCHRONOUS \
    (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | SIG_BIT(SIGSYS))
#define STOPS (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))

struct queued {
    struct queued *next;
    struct siginfo_image info;
};

lock_t signals_lock;
struct pending shared_pending;
static uint32_t queued_count; /* under signals_lock */

void signal_init_image(struct siginfo_image *info, int sig, int code)
{
    memset(info, 0, sizeof(*info));
    info->signo = sig;
    info->code = code;
}

void signal_init_own(struct siginfo_image *info, int sig, int code)
{
    signal_init_image(info, sig, code);
    info->sender.pid = (int32_t)process_pid();
    info->sender.uid = process_uid();
}

/* ---- the lists, under signals_lock ------------------------------------------------------------------------------- */
static void append(struct pending *p, struct queued *entry)
{
    entry->next = NULL;
    if (p->last)
        p->last->next = entry;
    else
        p->first = entry;
    p->last = entry;
    queued_count++;
}

static void set_store(struct pending *p, uint64_t set)
{
    __atomic_store_n(&p->set, set, __ATOMIC_SEQ_CST);
}

/* Takes the first entry of sig out; *more: another one of it is there. NULL: its information was lost. */
static struct queued *unlink_first(struct pending *p, int sig, bool *more)
{
    struct queued *found = NULL, *previous = NULL, *before_found = NULL;

    *more = false;
    for (struct queued *q = p->first; q; previous = q, q = q->next) {
        if (q->info.signo != sig)
            continue;
        if (found) {
            *more = true;
            break;
        }
        found = q;
        before_found = previous;
    }
    if (!found)
        return NULL;
    if (before_found)
        before_found->next = found->next;
    else
        p->first = found->next;
    if (p->last == found)
        p->last = before_found;
    queued_count--;
    return found;
}

static void drop(struct pending *p, uint64_t set)
{
    for (uint64_t left = p->set & set; left; left &= left - 1) {
        bool more = true;
        while (more)
            kfree(unlink_first(p, __builtin_ctzll(left) + 1, &more));
    }
    set_store(p, p->set & ~set);
}

void pending_drop_all(struct pending *p)
{
    drop(p, ~0ull);
}

void signal_discard(uint64_t set)
{
    drop(&shared_pending, set);
    for (struct thread *t = threads_first(); t; t = t->next)
        if (t->signals)
            drop(&t->signals->pending, set);
}

static int take(struct pending *p, uint64_t set, struct siginfo_image *info)
{
    uint64_t ready = p->set & set;
    bool more;

    if (!ready)
        return 0;
    if (ready & SYNCHRONOUS)
        ready &= SYNCHRONOUS;
    int sig = __builtin_ctzll(ready) + 1;
    struct queued *entry = unlink_first(p, sig, &more);
    if (entry)
        *info = entry->info;
    else
        signal_init_image(info, sig, SI_USER);
    kfree(entry);
    if (!more)
        set_store(p, p->set & ~SIG_BIT(sig));
    return sig;
}

int signal_take(uint64_t set, struct siginfo_image *info, struct action *action)
{
    struct signal_state *s = current_thread()->signals;

    lock(&signals_lock);
    int sig = take(&s->pending, set, info);
    if (!sig)
        sig = take(&shared_pending, set, info);
    if (sig && action) {
        *action = actions[sig];
        if ((action->flags & SA_RESETHAND) && action->handler > HANDLER_IGNORE)
            actions[sig].handler = HANDLER_DEFAULT;
    }
    unlock(&signals_lock);
    /* The number of expirations that are told with this signal is known only now. */
    if (sig && info->code == SI_TIMER)
        timer_signal_taken(info);
    return sig;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */
static bool wants(const struct signal_state *s, int sig)
{
    return !(s->mask & SIG_BIT(sig)) || (s->wait_set & SIG_BIT(sig));
}

/* Adds a signal to a set. entry was allocated outside the lock and is used or left to the caller (*entry != NULL).
 * -EAGAIN only for a queued signal whose information must not be lost. */
static int add(struct pending *p, const struct siginfo_image *info, struct queued **entry)
{
    int sig = info->signo;
    bool standard = sig < 32;

    if (standard && (p->set & SIG_BIT(sig)))
        return 0;
    if (*entry && queued_count < QUEUE_MAX) {
        (*entry)->info = *info;
        append(p, *entry);
        *entry = NULL;
    } else if (!standard && info->code != SI_USER) {
        return -EAGAIN;
    }
    set_store(p, p->set | SIG_BIT(sig));
    return 0;
}

/* SIGCONT undoes stop signals that wait, and the other way round. Under both locks. */
static void cancel_opposite(int sig)
{
    if (sig == SIGCONT)
        signal_discard(STOPS);
    else if (STOPS & SIG_BIT(sig))
        signal_discard(SIG_BIT(SIGCONT));
}

int signal_post(struct thread *thread, const struct siginfo_image *info, int *kick_slot)
{
    struct signal_state *s = thread->signals;
    int sig = info->signo, result = 0;

    *kick_slot = -1;
    if (sig < 1 || sig > SIGNAL_MAX)
        return -EINVAL;
    struct queued *entry = kmalloc(sizeof(*entry));
    lock(&signals_lock);
    if (!action_ignores(sig) || (s->mask & SIG_BIT(sig))) {
        result = add(&s->pending, info, &entry);
        if (!result && thread != current_thread() && wants(s, sig))
            *kick_slot = (int)thread->slot;
    }
    unlock(&signals_lock);
    kfree(entry);
    return result;
}

/* Under both locks. The slot to kick, -1: the current thread takes it, or nobody wants it now. */
static int choose(int sig)
{
    struct thread *self = current_thread();

    if (self && self->signals && wants(self->signals, sig))
        return -1;
    for (struct thread *t = threads_first(); t; t = t->next)
        if (t != self && t->signals && wants(t->signals, sig))
            return (int)t->slot;
    return -1;
}

static bool blocked_somewhere(int sig)
{
    for (struct thread *t = threads_first(); t; t = t->next)
        if (t->signals && (t->signals->mask & SIG_BIT(sig)))
            return true;
    return false;
}

int signal_post_process(const struct siginfo_image *info)
{
    int sig = info->signo, slot = -1, result = 0;

    if (sig < 1 || sig > SIGNAL_MAX)
        return -EINVAL;
    struct queued *entry = kmalloc(sizeof(*entry));
    lock(&threads_lock);
    lock(&signals_lock);
    cancel_opposite(sig);
    if (!action_ignores(sig) || blocked_somewhere(sig)) {
        result = add(&shared_pending, info, &entry);
        if (!result)
            slot = choose(sig);
    }
    unlock(&signals_lock);
    unlock(&threads_lock);
    kfree(entry);
    if (slot >= 0)
        kick((uint32_t)slot);
    wait_wake(&signalfd_changed);
    return result;
}

void signal_retarget(uint64_t set)
{
    for (uint64_t left = shared_pending.set & set; left; left &= left - 1) {
        int sig = __builtin_ctzll(left) + 1;
        lock(&threads_lock);
        lock(&signals_lock);
        int slot = shared_pending.set & SIG_BIT(sig) ? choose(sig) : -1;
        unlock(&signals_lock);
        unlock(&threads_lock);
        if (slot >= 0)
            kick((uint32_t)slot);
    }
}

void signal_force(const struct siginfo_image *info)
{
    struct signal_state *s = current_thread()->signals;
    int sig = info->signo;
    struct queued *entry = kmalloc(sizeof(*entry));

    lock(&signals_lock);
    if ((s->mask & SIG_BIT(sig)) || actions[sig].handler == HANDLER_IGNORE) {
        actions[sig].handler = HANDLER_DEFAULT;
        s->mask &= ~SIG_BIT(sig);
    }
    (void)add(&s->pending, info, &entry); /* a standard signal: cannot fail */
    unlock(&signals_lock);
    kfree(entry);
}

int signal_send(struct thread *thread, int sig, int code, uint32_t sender_pid)
{
    struct siginfo_image info;
    int slot;

    signal_init_own(&info, sig, code);
    info.sender.pid = (int32_t)sender_pid;
    if (!thread)
        return signal_post_process(&info);
    int result = signal_post(thread, &info, &slot);
    if (slot >= 0)
        kick((uint32_t)slot);
    wait_wake(&signalfd_changed);
    return result;
}

static bool holds_timer(const struct pending *p, int id)
{
    for (const struct queued *q = p->first; q; q = q->next)
        if (q->info.code == SI_TIMER && q->info.timer.id == id)
            return true;
    return false;
}

bool signal_holds_timer(int id)
{
    lock(&threads_lock);
    lock(&signals_lock);
    bool found = holds_timer(&shared_pending, id);
    for (struct thread *t = threads_first(); t && !found; t = t->next)
        found = t->signals && holds_timer(&t->signals->pending, id);
    unlock(&signals_lock);
    unlock(&threads_lock);
    return found;
}

/* ---- the host's events ------------------------------------------------------------------------------------------- */
static void post_from_host(int sig)
{
    struct siginfo_image info;
    bool by_timer = sig == SIGALRM || sig == SIGVTALRM || sig == SIGPROF;

    signal_init_image(&info, sig, by_timer ? SI_KERNEL : SI_USER);
    (void)signal_post_process(&info); /* who sent it, the host does not say in a way that can be believed */
}

void signal_poll_host(void)
{
    for (uint64_t untrusted_events = untrusted_events_take(); untrusted_events;
         untrusted_events &= untrusted_events - 1) {
        int sig = __builtin_ctzll(untrusted_events);
        if (!sig)
            continue;
        if (!signal_forwarded(sig))
            log_line(VIGIL_LOG_DEBUG, "the host reports signal %d, which it was not asked to report: ignored", sig);
        else if (sig == HOST_TIMER_SIGNAL)
            timers_run();
        else
            post_from_host(sig);
    }
}

bool signals_pending(void)
{
    const struct signal_state *s = current_thread()->signals;

    signal_poll_host();
    uint64_t set = __atomic_load_n(&s->pending.set, __ATOMIC_SEQ_CST) |
                   __atomic_load_n(&shared_pending.set, __ATOMIC_SEQ_CST);
    return (set & ~s->mask) || thread_dying();
}

int interrupted(void)
{
    return signals_pending() ? -ERESTARTSYS : 0;
}
