/* SPDX-License-Identifier: Apache-2.0
 *
 * Interval timers and alarm. ITIMER_REAL is one of the timers in timers.c; the two that measure CPU time are the
 * host's, because only it knows. */
#include "libos/time/timers.h"

#include <asm/unistd_64.h>
#include <linux/time.h>

struct itimerval_image { struct timeval_image interval, value; };

static struct timer real = {
    .id = TIMER_ID_REAL, .clock = CLOCK_MONOTONIC, .base = CLOCK_MONOTONIC, .deadline = TIME_MAX};
static bool real_linked; /* under timers_lock */

static bool valid(const struct timeval_image *t)
{
    return t->sec >= 0 && t->usec >= 0 && t->usec < 1000000;
}

static int64_t timeval_ns(const struct timeval_image *t)
{
    struct timespec_image ts = {t->sec, t->usec * 1000};
    return timespec_ns(&ts);
}

static struct timeval_image ns_timeval(int64_t ns)
{
    return (struct timeval_image){ns / NS_PER_SEC, ns % NS_PER_SEC / 1000};
}

/* An armed timer never shows 0. */
static struct timeval_image left_timeval(int64_t ns)
{
    return ns_timeval(ns > 0 && ns < 1000 ? 1000 : ns);
}

static int real_swap(const struct itimerval_image *new, struct itimerval_image *old)
{
    int error = 0;

    lock(&timers_lock);
    if (!real_linked)
        timer_link(&real);
    real_linked = true;
    *old = (struct itimerval_image){ns_timeval(real.interval), left_timeval(timer_remaining(&real))};
    if (new)
        error = timer_set(&real, timeval_ns(&new->value), timeval_ns(&new->interval), false);
    unlock(&timers_lock);
    return error;
}

/* new NULL: only read. */
static int host_swap(int which, const struct itimerval_image *new, struct itimerval_image *old)
{
    char *untrusted_new = bounce_alloc(sizeof(*new)), *untrusted_old = bounce_alloc(sizeof(*old));
    long untrusted_result;

    if (!untrusted_new || !untrusted_old)
        return -ENOMEM;
    if (new) {
        untrusted_write(untrusted_new, new, sizeof(*new));
        untrusted_result = ocall_syscall(__NR_setitimer, which, (long)untrusted_new, (long)untrusted_old, 0, 0, 0);
    } else {
        untrusted_result = ocall_syscall(__NR_getitimer, which, (long)untrusted_old, 0, 0, 0, 0);
    }
    if (untrusted_result)
        return -EINVAL;
    untrusted_read(old, untrusted_old, sizeof(*old));
    if (!valid(&old->interval) || !valid(&old->value))
        memset(old, 0, sizeof(*old)); /* not a time: as good as not armed */
    return 0;
}

static int swap(int which, const struct itimerval_image *new, struct itimerval_image *old)
{
    switch (which) {
    case ITIMER_REAL:
        return real_swap(new, old);
    case ITIMER_VIRTUAL:
    case ITIMER_PROF:
        return host_swap(which, new, old);
    default:
        return -EINVAL;
    }
}

long sys_getitimer(SYSCALL_ARGS)
{
    struct itimerval_image old;
    int error = swap((int)a0, NULL, &old);

    return error ? error : copy_to_user((void *)a1, &old, sizeof(old));
}

long sys_setitimer(SYSCALL_ARGS)
{
    struct itimerval_image new = {{0, 0}, {0, 0}}, old;

    if (a1 && copy_from_user(&new, (void *)a1, sizeof(new)))
        return -EFAULT;
    if (!valid(&new.interval) || !valid(&new.value))
        return -EINVAL;
    int error = swap((int)a0, &new, &old);
    if (error)
        return error;
    return a2 ? copy_to_user((void *)a2, &old, sizeof(old)) : 0;
}

/* Seconds, to the nearest, but not 0 if any time was left. */
long sys_alarm(SYSCALL_ARGS)
{
    struct itimerval_image new = {.value = {(int64_t)(uint32_t)a0, 0}}, old;

    if (real_swap(&new, &old))
        return 0;
    return old.value.sec + ((!old.value.sec && old.value.usec) || old.value.usec >= 500000);
}
