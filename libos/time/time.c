/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks, sleeping and interval timers. Time comes from the host: it is checked for form, and the monotonic clocks are
 * kept from going backwards; that it runs at the right speed cannot be checked. */
#include "libos/libos.h"

#include <asm/unistd_64.h>
#include <linux/time.h>

#define NS 1000000000ll
#define CLOCKS 12
#define TIMER_ABSTIME_ 1

struct timespec64 { int64_t sec, nsec; };
struct timeval64 { int64_t sec, usec; };
struct itimerval64 { struct timeval64 interval, value; };

static lock_t clock_lock;
static int64_t latest[CLOCKS];

static bool is_monotonic(int clock)
{
    return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
           clock == CLOCK_BOOTTIME;
}

/* One host call that fills a timespec. */
static long host_timespec(long nr, int clock, struct timespec64 *out)
{
    void *untrusted = bounce_alloc(sizeof(*out));
    if (!untrusted)
        return -ENOMEM;
    long untrusted_result = ocall_syscall(nr, clock, (long)untrusted, 0, 0, 0, 0);
    if (untrusted_result)
        return untrusted_result < 0 && untrusted_result > -4096 ? untrusted_result : -EIO;
    untrusted_read(out, untrusted, sizeof(*out));
    if (out->nsec < 0 || out->nsec >= NS || out->sec < 0 || out->sec > INT64_MAX / NS / 2)
        return -EIO;
    return 0;
}

/* Waiting loops ask for the time again and again inside one system call: the bounce memory must not run out. */
static long read_clock(int clock, int64_t *ns)
{
    struct timespec64 ts;
    size_t mark = bounce_mark();
    long status = host_timespec(__NR_clock_gettime, clock, &ts);

    bounce_release(mark);
    if (status)
        return status;
    *ns = ts.sec * NS + ts.nsec;
    if (clock >= 0 && clock < CLOCKS && is_monotonic(clock)) {
        lock(&clock_lock);
        if (*ns < latest[clock])
            *ns = latest[clock];
        latest[clock] = *ns;
        unlock(&clock_lock);
    }
    return 0;
}

int64_t time_now(int clock)
{
    int64_t ns;
    if (read_clock(clock, &ns))
        runtime_fail("the host does not give the time (clock_gettime): nothing that waits can go on");
    return ns;
}

/* CLOCK_* 0..11; the processor-time clocks of other processes and dynamic clocks are not ours to ask for. */
static bool clock_ok(long clock)
{
    return clock >= 0 && clock < CLOCKS;
}

long sys_clock_gettime(SYSCALL_ARGS)
{
    int64_t ns;

    if (!clock_ok(a0))
        return -EINVAL;
    long status = read_clock((int)a0, &ns);
    struct timespec64 ts = {ns / NS, ns % NS};
    return status ? status : copy_to_user((void *)a1, &ts, sizeof(ts));
}

long sys_clock_getres(SYSCALL_ARGS)
{
    struct timespec64 ts;

    if (!clock_ok(a0))
        return -EINVAL;
    long status = host_timespec(__NR_clock_getres, (int)a0, &ts);
    return status || !a1 ? status : copy_to_user((void *)a1, &ts, sizeof(ts));
}

long sys_clock_settime(SYSCALL_ARGS)
{
    return -EPERM;
}

long sys_gettimeofday(SYSCALL_ARGS)
{
    int64_t ns = time_now(CLOCK_REALTIME);
    struct timeval64 tv = {ns / NS, ns % NS / 1000};
    uint64_t zone = 0;

    if (a0 && copy_to_user((void *)a0, &tv, sizeof(tv)))
        return -EFAULT;
    return a1 ? copy_to_user((void *)a1, &zone, sizeof(zone)) : 0;
}

long sys_time(SYSCALL_ARGS)
{
    int64_t seconds = time_now(CLOCK_REALTIME) / NS;
    if (a0 && copy_to_user((void *)a0, &seconds, sizeof(seconds)))
        return -EFAULT;
    return seconds;
}

static long sleep_until(int clock, int64_t deadline, const void *user_left)
{
    for (;;) {
        int64_t left = deadline - time_now(clock);
        if (left <= 0)
            return 0;
        if (signals_pending()) {
            struct timespec64 ts = {left / NS, left % NS};
            if (user_left && copy_to_user((void *)user_left, &ts, sizeof(ts)))
                return -EFAULT;
            return -EINTR;
        }
        park(left);
    }
}

static long do_sleep(int clock, bool absolute, const void *user_request, const void *user_left)
{
    struct timespec64 ts;

    if (copy_from_user(&ts, user_request, sizeof(ts)))
        return -EFAULT;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= NS)
        return -EINVAL;
    int64_t ns = ts.sec > INT64_MAX / NS / 4 ? INT64_MAX / 4 : ts.sec * NS + ts.nsec;
    return sleep_until(clock, absolute ? ns : time_now(clock) + ns, absolute ? NULL : user_left);
}

long sys_nanosleep(SYSCALL_ARGS)
{
    return do_sleep(CLOCK_MONOTONIC, false, (void *)a0, (void *)a1);
}

long sys_clock_nanosleep(SYSCALL_ARGS)
{
    if (a0 != CLOCK_REALTIME && a0 != CLOCK_MONOTONIC && a0 != CLOCK_BOOTTIME)
        return clock_ok(a0) ? -EOPNOTSUPP : -EINVAL;
    if (a1 & ~TIMER_ABSTIME_)
        return -EINVAL;
    return do_sleep((int)a0, a1 & TIMER_ABSTIME_, (void *)a2, (void *)a3);
}

static bool timeval_ok(const struct timeval64 *tv)
{
    return tv->sec >= 0 && tv->usec >= 0 && tv->usec < 1000000;
}

/* The host keeps interval timers; their signals come back through the mailbox. */
static long host_itimer(int which, const struct itimerval64 *new, struct itimerval64 *old)
{
    struct itimerval64 *untrusted = bounce_alloc(2 * sizeof(*untrusted));
    long untrusted_result;

    if (!untrusted)
        return -ENOMEM;
    if (new) {
        untrusted_write(&untrusted[0], new, sizeof(*new));
        untrusted_result = ocall_syscall(__NR_setitimer, which, (long)&untrusted[0], (long)&untrusted[1], 0, 0, 0);
    } else {
        untrusted_result = ocall_syscall(__NR_getitimer, which, (long)&untrusted[1], 0, 0, 0, 0);
    }
    if (untrusted_result)
        return untrusted_result < 0 && untrusted_result > -4096 ? untrusted_result : -EIO;
    untrusted_read(old, &untrusted[1], sizeof(*old));
    return timeval_ok(&old->interval) && timeval_ok(&old->value) ? 0 : -EIO;
}

long sys_setitimer(SYSCALL_ARGS)
{
    struct itimerval64 new, old;

    if (a0 < 0 || a0 > 2)
        return -EINVAL;
    memset(&new, 0, sizeof(new));
    if (a1 && copy_from_user(&new, (void *)a1, sizeof(new)))
        return -EFAULT;
    if (!timeval_ok(&new.interval) || !timeval_ok(&new.value))
        return -EINVAL;
    long status = host_itimer((int)a0, &new, &old);
    return status || !a2 ? status : copy_to_user((void *)a2, &old, sizeof(old));
}

long sys_getitimer(SYSCALL_ARGS)
{
    struct itimerval64 old;

    if (a0 < 0 || a0 > 2)
        return -EINVAL;
    long status = host_itimer((int)a0, NULL, &old);
    return status ? status : copy_to_user((void *)a1, &old, sizeof(old));
}

long sys_alarm(SYSCALL_ARGS)
{
    struct itimerval64 new = {.value = {.sec = (uint32_t)a0}}, old;
    long status = host_itimer(0, &new, &old);

    if (status)
        return 0;
    /* Linux rounds to the nearest second, and never down to "none". */
    int64_t seconds = old.value.sec + (old.value.usec >= 500000);
    return seconds || !old.value.usec ? seconds : 1;
}
