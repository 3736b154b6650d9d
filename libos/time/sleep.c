/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for a time. */
#include "libos/time/time.h"

#include <linux/time.h>

int wait_from_user(struct wait *wait, const void *user, int clock, bool absolute)
{
    struct timespec_image t;

    *wait = (struct wait){.clock = absolute ? clock : CLOCK_MONOTONIC, .deadline = TIME_MAX};
    if (!user)
        return 0;
    if (copy_from_user(&t, user, sizeof(t)))
        return -EFAULT;
    if (!timespec_valid(&t))
        return -EINVAL;
    int64_t ns = timespec_ns(&t);
    if (absolute) {
        wait->deadline = ns;
    } else if (ns) {
        int64_t now = time_now(CLOCK_MONOTONIC);
        wait->deadline = ns < TIME_MAX - now ? now + ns : TIME_MAX;
    } else {
        wait->deadline = 0; /* no need to know the time */
    }
    return 0;
}

int64_t wait_left(const struct wait *wait)
{
    if (wait->deadline == TIME_MAX)
        return -1;
    if (wait->deadline <= 0)
        return 0;
    int64_t now = time_now(wait->clock);
    return now < wait->deadline ? wait->deadline - now : 0;
}

/* 0, or what interrupted() says. A clock that can be set is looked at again once a second. */
static long sleep_until(const struct wait *wait)
{
    int64_t left;

    while ((left = wait_left(wait))) {
        long result = interrupted();
        if (result)
            return result;
        if (wait->clock != CLOCK_MONOTONIC && (left < 0 || left > NS_PER_SEC))
            left = NS_PER_SEC;
        park(left);
    }
    return 0;
}

static long sleep_relative(struct wait *wait, long user_remaining)
{
    struct thread *thread = current_thread();

    if (thread->restart_deadline)
        wait->deadline = thread->restart_deadline;
    long result = sleep_until(wait);
    if (!result)
        return 0;
    if (user_remaining) {
        int64_t left = wait_left(wait);
        struct timespec_image t = ns_timespec(left < 0 ? TIME_MAX : left);
        if (copy_to_user((void *)user_remaining, &t, sizeof(t)))
            return -EFAULT;
    }
    thread->restart_deadline = wait->deadline;
    return -ERESTART_RESTARTBLOCK;
}

static long sleep_from_user(const void *user, int clock, bool absolute, long user_remaining)
{
    struct wait wait;
    int error = user ? wait_from_user(&wait, user, clock, absolute) : -EFAULT;

    if (error)
        return error;
    if (!absolute)
        return sleep_relative(&wait, user_remaining);
    return sleep_until(&wait) ? -ERESTARTNOHAND : 0;
}

long sys_nanosleep(SYSCALL_ARGS)
{
    return sleep_from_user((const void *)a0, CLOCK_MONOTONIC, false, a1);
}

long sys_clock_nanosleep(SYSCALL_ARGS)
{
    bool absolute = a1 & TIMER_ABSTIME;

    switch ((int)a0) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return sleep_from_user((const void *)a2, (int)a0, absolute, absolute ? 0 : a3);
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
        return -EOPNOTSUPP;
    case CLOCK_PROCESS_CPUTIME_ID:
        log_line(VIGIL_LOG_DEBUG, "clock_nanosleep: sleeping on CPU time is not supported: EOPNOTSUPP");
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}
