/* SPDX-License-Identifier: Apache-2.0
 *
 * The blocked set, and waiting for signals. */
#include "libos/signal/signal.h"

#include "libos/time/time.h"

#include <asm/signal.h>
#include <linux/time.h>

void signal_set_mask(uint64_t mask)
{
    struct signal_state *s = current_thread()->signals;

    mask &= ~UNBLOCKABLE;
    lock(&signals_lock);
    uint64_t newly_blocked = mask & ~s->mask & shared_pending.set;
    s->mask = mask;
    unlock(&signals_lock);
    if (newly_blocked)
        signal_retarget(newly_blocked); /* somebody was counting on us for these */
}

void signals_set_temporary_mask(uint64_t mask)
{
    struct signal_state *s = current_thread()->signals;

    if (!s->restore_mask)
        s->saved_mask = s->mask;
    s->restore_mask = true;
    signal_set_mask(mask);
}

long sys_rt_sigprocmask(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;
    uint64_t set, old = s->mask;

    if ((uint64_t)a3 != SIGSET_SIZE)
        return -EINVAL;
    if (a1) {
        if (copy_from_user(&set, (void *)a1, sizeof(set)))
            return -EFAULT;
        switch ((int)a0) {
        case SIG_BLOCK:
            set |= old;
            break;
        case SIG_UNBLOCK:
            set = old & ~set;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        signal_set_mask(set);
    }
    return a2 ? copy_to_user((void *)a2, &old, sizeof(old)) : 0;
}

long sys_rt_sigpending(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;

    if ((uint64_t)a1 > SIGSET_SIZE)
        return -EINVAL;
    signal_poll_host();
    lock(&signals_lock);
    uint64_t set = (s->pending.set | shared_pending.set) & s->mask;
    unlock(&signals_lock);
    return copy_to_user((void *)a0, &set, (size_t)a1);
}

static void wait_for_any(void)
{
    while (!signals_pending())
        park(-1);
}

long sys_rt_sigsuspend(SYSCALL_ARGS)
{
    uint64_t mask;

    if ((uint64_t)a1 != SIGSET_SIZE)
        return -EINVAL;
    if (copy_from_user(&mask, (void *)a0, sizeof(mask)))
        return -EFAULT;
    signals_set_temporary_mask(mask);
    wait_for_any();
    return -ERESTARTNOHAND;
}

long sys_pause(SYSCALL_ARGS)
{
    wait_for_any();
    return -ERESTARTNOHAND;
}

static void set_wait_set(struct signal_state *s, uint64_t set)
{
    lock(&signals_lock);
    s->wait_set = set;
    unlock(&signals_lock);
}

/* Linux never restarts this call: a signal that is not waited for ends it with EINTR. */
static int wait_for_set(uint64_t set, struct wait *wait, struct siginfo_image *info)
{
    struct signal_state *s = current_thread()->signals;
    int sig;

    set_wait_set(s, set);
    for (;;) {
        bool others = signals_pending();
        sig = signal_take(set, info, NULL);
        if (sig)
            break;
        int64_t left = wait_left(wait);
        if (others || left == 0) {
            sig = left == 0 ? -EAGAIN : -EINTR;
            break;
        }
        park(left);
    }
    set_wait_set(s, 0);
    /* What came for the process while we were the one who wanted it. */
    uint64_t unwanted = shared_pending.set & set & s->mask;
    if (unwanted)
        signal_retarget(unwanted);
    return sig;
}

long sys_rt_sigtimedwait(SYSCALL_ARGS)
{
    struct siginfo_image info;
    struct wait wait;
    uint64_t set;

    if ((uint64_t)a3 != SIGSET_SIZE)
        return -EINVAL;
    if (copy_from_user(&set, (void *)a0, sizeof(set)))
        return -EFAULT;
    int error = wait_from_user(&wait, (const void *)a2, CLOCK_MONOTONIC, false);
    if (error)
        return error;
    int sig = wait_for_set(set & ~UNBLOCKABLE, &wait, &info);
    if (sig > 0 && a1 && copy_to_user((void *)a1, &info, sizeof(info)))
        return -EFAULT;
    return sig;
}
