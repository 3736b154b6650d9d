/* SPDX-License-Identifier: Apache-2.0
 *
 * timer_create and its kin. */
#include "libos/time/timers.h"

#include "libos/signal/signal.h"

#include <asm/siginfo.h>
#include <linux/time.h>

#define TIMERS_MAX 1024
static uint32_t timer_count; /* under timers_lock */

static long check_clock(int clock)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return 0;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
        return -EPERM;
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
        log_line(VIGIL_LOG_DEBUG, "timer_create: timers on CPU time are not supported: EOPNOTSUPP");
        return -EOPNOTSUPP;
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}

static bool check_event(const struct sigevent_image *event)
{
    struct siginfo_image nothing = {.signo = 0};

    if (event->notify == SIGEV_NONE)
        return true;
    if (event->signo < 1 || event->signo > SIGNAL_MAX)
        return false;
    if (event->notify == SIGEV_THREAD_ID)
        return signal_post_tid(event->tid, &nothing) == 0;
    return event->notify == SIGEV_SIGNAL || event->notify == SIGEV_THREAD;
}

static struct timer *new_timer(int clock, const struct sigevent_image *event)
{
    struct timer *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    *t = (struct timer){.clock = clock, .deadline = TIME_MAX, .base = CLOCK_MONOTONIC, .signo = 14 /* SIGALRM */};
    if (event) {
        t->notify = event->notify;
        t->signo = event->signo;
        t->tid = event->tid;
        t->value = event->value;
    }
    return t;
}

long sys_timer_create(SYSCALL_ARGS)
{
    struct sigevent_image event;
    long error = check_clock((int)a0);

    if (error)
        return error;
    if (a1 && copy_from_user(&event, (void *)a1, sizeof(event)))
        return -EFAULT;
    if (a1 && !check_event(&event))
        return -EINVAL;
    struct timer *t = new_timer((int)a0, a1 ? &event : NULL);
    if (!t)
        return -EAGAIN;
    lock(&timers_lock);
    bool room = timer_count < TIMERS_MAX && !host_timer_create();
    if (room) {
        timer_count++;
        t->id = timer_next_id();
        if (!a1)
            t->value = (uint64_t)t->id;
    }
    int id = t->id;
    error = !room ? -EAGAIN : copy_to_user((void *)a2, &id, sizeof(id));
    if (!error)
        timer_link(t);
    else if (room)
        timer_count--;
    unlock(&timers_lock);
    if (error)
        kfree(t);
    return error;
}

static void report(const struct timer *t, struct itimerspec_image *setting)
{
    *setting = (struct itimerspec_image){ns_timespec(t->interval), ns_timespec(timer_remaining(t))};
}

static struct timer *program_timer(long id)
{
    return (int)id < 0 ? NULL : timer_find((int)id);
}

long sys_timer_settime(SYSCALL_ARGS)
{
    struct itimerspec_image new, old;

    if (!a2)
        return -EINVAL;
    if (copy_from_user(&new, (void *)a2, sizeof(new)))
        return -EFAULT;
    if (!timespec_valid(&new.interval) || !timespec_valid(&new.value))
        return -EINVAL;
    lock(&timers_lock);
    struct timer *t = program_timer(a0);
    long error = -EINVAL;
    if (t) {
        report(t, &old);
        error = timer_set(t, timespec_ns(&new.value), timespec_ns(&new.interval), a1 & TIMER_ABSTIME);
    }
    unlock(&timers_lock);
    if (error)
        return error;
    return a3 ? copy_to_user((void *)a3, &old, sizeof(old)) : 0;
}

long sys_timer_gettime(SYSCALL_ARGS)
{
    struct itimerspec_image setting;

    lock(&timers_lock);
    struct timer *t = program_timer(a0);
    if (t)
        report(t, &setting);
    unlock(&timers_lock);
    return t ? copy_to_user((void *)a1, &setting, sizeof(setting)) : -EINVAL;
}

long sys_timer_getoverrun(SYSCALL_ARGS)
{
    lock(&timers_lock);
    struct timer *t = program_timer(a0);
    long overrun = t ? t->last_overrun : -EINVAL;
    unlock(&timers_lock);
    return overrun;
}

long sys_timer_delete(SYSCALL_ARGS)
{
    lock(&timers_lock);
    struct timer *t = program_timer(a0);
    if (t) {
        timer_unlink(t);
        timer_count--;
    }
    unlock(&timers_lock);
    kfree(t);
    return t ? 0 : -EINVAL;
}

/* A new program has none. */
void timers_exec(void)
{
    for (int id = 0; __atomic_load_n(&timer_count, __ATOMIC_RELAXED) && id >= 0; id++)
        (void)sys_timer_delete(id, 0, 0, 0, 0, 0);
}
