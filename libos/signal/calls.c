/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls about signals. */
#include "libos/signal/signal.h"

#include <linux/time.h>

#define SIG_BLOCK_ 0
#define SIG_UNBLOCK_ 1
#define SIG_SETMASK_ 2
#define NS 1000000000ll

struct user_stack { uint64_t sp; uint32_t flags, pad; uint64_t size; };
#define ALT_MINIMUM 2048

long sys_rt_sigaction(SYSCALL_ARGS)
{
    int sig = (int)a0;
    struct kernel_sigaction new, old;

    if (a3 != SIGSET_SIZE || sig < 1 || sig > SIG_MAX || (a1 && (SIG_BIT(sig) & SIG_UNBLOCKABLE)))
        return -EINVAL;
    if (a1 && copy_from_user(&new, (void *)a1, sizeof(new)))
        return -EFAULT;
    lock(&signal_lock);
    old = *signal_action(sig);
    if (a1) {
        new.mask &= ~SIG_UNBLOCKABLE;
        *signal_action(sig) = new;
        /* Setting "ignore" forgets what is pending, blocked or not. */
        if (new.handler == HANDLER_IGNORE || (new.handler == HANDLER_DEFAULT && signal_default_ignores(sig))) {
            pending_drop(&process_pending, SIG_BIT(sig));
            pending_drop(&current_thread()->signals->pending, SIG_BIT(sig));
        }
    }
    unlock(&signal_lock);
    if (a1)
        signal_watch(sig);
    return a2 ? copy_to_user((void *)a2, &old, sizeof(old)) : 0;
}

long sys_rt_sigprocmask(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;
    uint64_t set, old = s->blocked;

    if (a3 != SIGSET_SIZE)
        return -EINVAL;
    if (a1) {
        if (copy_from_user(&set, (void *)a1, sizeof(set)))
            return -EFAULT;
        if (a0 == SIG_BLOCK_)
            signal_set_blocked(old | set);
        else if (a0 == SIG_UNBLOCK_)
            signal_set_blocked(old & ~set);
        else if (a0 == SIG_SETMASK_)
            signal_set_blocked(set);
        else
            return -EINVAL;
    }
    return a2 ? copy_to_user((void *)a2, &old, sizeof(old)) : 0;
}

long sys_rt_sigpending(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;

    if ((uint64_t)a1 > SIGSET_SIZE)
        return -EINVAL;
    signals_take_host_events();
    lock(&signal_lock);
    uint64_t set = (s->pending.set | process_pending.set) & s->blocked;
    unlock(&signal_lock);
    return copy_to_user((void *)a0, &set, (size_t)a1);
}

/* Sleeps until a signal that is delivered. */
static long wait_for_signal(void)
{
    while (!signals_pending())
        park(-1);
    return -ERESTARTNOHAND;
}

long sys_pause(SYSCALL_ARGS)
{
    return wait_for_signal();
}

long sys_rt_sigsuspend(SYSCALL_ARGS)
{
    uint64_t mask;

    if (a1 != SIGSET_SIZE)
        return -EINVAL;
    if (copy_from_user(&mask, (void *)a0, sizeof(mask)))
        return -EFAULT;
    signals_set_temporary_mask(mask);
    return wait_for_signal();
}

static int take_waited(struct signal_state *s, uint64_t set, siginfo_t *info)
{
    signals_take_host_events();
    lock(&signal_lock);
    int sig = pending_take(&s->pending, set, info);
    if (!sig)
        sig = pending_take(&process_pending, set, info);
    s->waiting = sig ? 0 : set;
    unlock(&signal_lock);
    return sig;
}

long sys_rt_sigtimedwait(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;
    struct { int64_t sec, nsec; } ts;
    int64_t deadline = -1;
    uint64_t set;
    siginfo_t info;
    int sig;

    if (a3 != SIGSET_SIZE)
        return -EINVAL;
    if (copy_from_user(&set, (void *)a0, sizeof(set)) || (a2 && copy_from_user(&ts, (void *)a2, sizeof(ts))))
        return -EFAULT;
    if (a2) {
        if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= NS)
            return -EINVAL;
        deadline = time_now(CLOCK_MONOTONIC) + (ts.sec > 1000000000 ? 1000000000 : ts.sec) * NS + ts.nsec;
    }
    set &= ~SIG_UNBLOCKABLE;
    while (!(sig = take_waited(s, set, &info))) {
        int64_t left = deadline < 0 ? -1 : deadline - time_now(CLOCK_MONOTONIC);
        bool late = deadline >= 0 && left <= 0, other = signals_pending();
        if (late || other) {
            s->waiting = 0;
            return late ? -EAGAIN : -EINTR;
        }
        park(left);
    }
    if (a1 && copy_to_user((void *)a1, &info, sizeof(info)))
        return -EFAULT;
    return sig;
}

static struct thread *find_thread(uint32_t tid)
{
    struct thread *t = threads_first();
    while (t && t->tid != tid)
        t = t->next;
    return t;
}

/* To one thread of this process. The thread list stays locked until the signal is queued and the thread is kicked. */
static long send_to_thread(uint32_t tid, const siginfo_t *info, int sig)
{
    struct thread *self = current_thread();

    if (sig < 0 || sig > SIG_MAX)
        return -EINVAL;
    if (self->tid == tid)
        return sig ? signal_send_info(self, info) : 0;
    lock(&threads_lock);
    struct thread *t = find_thread(tid);
    long status = !t ? -ESRCH : sig ? signal_send_info(t, info) : 0;
    unlock(&threads_lock);
    return status;
}

static void user_info(siginfo_t *info, int sig, int code)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = sig;
    info->si_code = code;
    info->si_pid = (int)process_pid();
    info->si_uid = config()->flags & VIGIL_FLAG_NO_MANIFEST ? start_info()->uid : 0;
}

long sys_kill(SYSCALL_ARGS)
{
    int pid = (int)a0, sig = (int)a1;
    siginfo_t info;

    if (sig < 0 || sig > SIG_MAX)
        return -EINVAL;
    if (pid != 0 && pid != -1 && (pid < 0 ? -pid : pid) != (int)process_pid())
        return -ESRCH;
    if (!sig)
        return 0;
    user_info(&info, sig, SI_USER);
    return signal_send_info(NULL, &info);
}

long sys_tgkill(SYSCALL_ARGS)
{
    siginfo_t info;

    if ((int)a0 <= 0 || (int)a1 <= 0)
        return -EINVAL;
    if ((uint32_t)a0 != process_pid())
        return -ESRCH;
    user_info(&info, (int)a2, SI_TKILL);
    return send_to_thread((uint32_t)a1, &info, (int)a2);
}

long sys_tkill(SYSCALL_ARGS)
{
    siginfo_t info;

    if ((int)a0 <= 0)
        return -EINVAL;
    user_info(&info, (int)a1, SI_TKILL);
    return send_to_thread((uint32_t)a0, &info, (int)a1);
}

static long queue_info(siginfo_t *info, int sig, const void *user)
{
    if (sig < 0 || sig > SIG_MAX)
        return -EINVAL;
    if (copy_from_user(info, user, sizeof(*info)))
        return -EFAULT;
    info->si_signo = sig;
    return 0;
}

long sys_rt_sigqueueinfo(SYSCALL_ARGS)
{
    siginfo_t info;
    long status = queue_info(&info, (int)a1, (void *)a2);

    if (status)
        return status;
    if ((uint32_t)a0 != process_pid())
        return -ESRCH;
    return a1 ? signal_send_info(NULL, &info) : 0;
}

long sys_rt_tgsigqueueinfo(SYSCALL_ARGS)
{
    siginfo_t info;
    long status = queue_info(&info, (int)a2, (void *)a3);

    if (status)
        return status;
    if ((uint32_t)a0 != process_pid())
        return -ESRCH;
    return send_to_thread((uint32_t)a1, &info, (int)a2);
}

long sys_sigaltstack(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;
    bool on = signal_on_altstack(s, current_regs()->rsp);
    struct user_stack old = {s->alt_sp, s->alt_flags | (on ? SS_ONSTACK : 0), 0, s->alt_size}, new;

    if (a0) {
        if (copy_from_user(&new, (void *)a0, sizeof(new)))
            return -EFAULT;
        if (on)
            return -EPERM;
        uint32_t mode = new.flags & ~SS_AUTODISARM;
        if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
            return -EINVAL;
        if (mode != SS_DISABLE && new.size < ALT_MINIMUM)
            return -ENOMEM;
        s->alt_sp = mode == SS_DISABLE ? 0 : new.sp;
        s->alt_size = mode == SS_DISABLE ? 0 : new.size;
        s->alt_flags = mode == SS_DISABLE ? SS_DISABLE : new.flags & SS_AUTODISARM;
    }
    return a1 ? copy_to_user((void *)a1, &old, sizeof(old)) : 0;
}
