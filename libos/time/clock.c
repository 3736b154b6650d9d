/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks. The host's time is not trusted, because there is no other: it is checked to be a time, and the clocks that
 * never go backwards do not do so here whatever the host says. It may run fast, slow, or stand still. Most readings do not
 * ask the host (tsc.c). */
#include "libos/time/tsc.h"

#include "libos/process/process.h"

#include <asm/unistd_64.h>
#include <linux/time.h>

#define CLOCKS 12
#define SECONDS_MAX (1ll << 33) /* 272 years: fits into 63 bits of ns */

/* The clock numbers for processes and threads: ~pid << 3, what, and whose. */
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_SCHED 2

static int64_t latest[CLOCKS];

/* What a slot's thread has last seen of its own CPU time. */
struct thread_time {
    uint32_t tid;
    int64_t latest;
};
static struct thread_time *thread_times;

/* ---- conversions ------------------------------------------------------------------------------------------------- */
bool timespec_valid(const struct timespec_image *t)
{
    return t->sec >= 0 && t->nsec >= 0 && t->nsec < NS_PER_SEC;
}

int64_t timespec_ns(const struct timespec_image *t)
{
    return t->sec >= TIME_MAX / NS_PER_SEC ? TIME_MAX : t->sec * NS_PER_SEC + t->nsec;
}

struct timespec_image ns_timespec(int64_t ns)
{
    return (struct timespec_image){ns / NS_PER_SEC, ns % NS_PER_SEC};
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */
static bool clock_exists(int clock)
{
    return clock >= 0 && clock < CLOCKS && clock != 10 /* SGI's, gone */;
}

/* -EINVAL: an alarm clock without a hardware one. */
int host_clock(int nr, int clock, int64_t *ns)
{
    struct timespec_image t = {-1, -1};
    size_t mark = bounce_mark();
    void *untrusted_time = bounce_alloc(sizeof(t));

    if (!untrusted_time)
        runtime_fail("no OCALL memory left for the time");
    untrusted_write(untrusted_time, &t, sizeof(t));
    long untrusted_result = ocall_syscall(nr, clock, (long)untrusted_time, 0, 0, 0, 0);
    untrusted_read(&t, untrusted_time, sizeof(t));
    bounce_release(mark);
    if (untrusted_result == -EINVAL)
        return -EINVAL;
    if (untrusted_result || !timespec_valid(&t) || t.sec > SECONDS_MAX)
        runtime_fail("the host's clock gives something that is not a time");
    *ns = timespec_ns(&t);
    return 0;
}

static int64_t not_before(int64_t *last, int64_t now)
{
    int64_t seen = __atomic_load_n(last, __ATOMIC_RELAXED);

    while (seen < now && !__atomic_compare_exchange_n(last, &seen, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return seen < now ? now : seen;
}

/* Another thread's slot may have been this one's before: its time starts anew with a new tid. */
static int64_t thread_not_before(int64_t now)
{
    struct thread_time *times = __atomic_load_n(&thread_times, __ATOMIC_ACQUIRE), *expected = NULL;

    if (!times) {
        times = kzalloc(boot_info()->thread_limit * sizeof(*times));
        if (!times)
            return now;
        if (!__atomic_compare_exchange_n(&thread_times, &expected, times, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            kfree(times);
            times = expected;
        }
    }
    struct thread_time *mine = &times[current_slot()];
    if (mine->tid != current_thread()->tid)
        *mine = (struct thread_time){.tid = current_thread()->tid};
    return not_before(&mine->latest, now);
}

static int read_clock(int clock, int64_t *ns)
{
    int computed = tsc_clock(clock);

    if (computed >= 0 && tsc_usable())
        return tsc_read_clock(computed, ns);
    int error = host_clock(__NR_clock_gettime, clock, ns);

    if (error)
        return error;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        break; /* these may be set */
    case CLOCK_THREAD_CPUTIME_ID:
        *ns = thread_not_before(*ns);
        break;
    default:
        *ns = not_before(&latest[clock], *ns);
    }
    return 0;
}

int64_t time_now(int clock)
{
    int64_t ns;

    if (read_clock(clock, &ns))
        runtime_fail("the host has no clock to wait by");
    return ns;
}

/* The clock a program's number means here, -1: none. The CPU time of one of the other threads is not known; the CPU
 * clocks that count user time only have no name in POSIX and are left out. */
static int clock_from_user(long raw)
{
    int number = (int)raw;

    if (number >= 0)
        return clock_exists(number) ? number : -1;
    /* cppcheck-suppress shiftNegativeLHS; arithmetic, as the kernel packs it */
    uint32_t id = ~(uint32_t)(number >> 3);
    if ((number & 3) != CPU_CLOCK_SCHED)
        return -1;
    if (number & CPU_CLOCK_THREAD)
        return !id || id == current_thread()->tid ? CLOCK_THREAD_CPUTIME_ID : -1;
    return !id || id == process_pid() ? CLOCK_PROCESS_CPUTIME_ID : -1;
}

static long put_timespec(long user, int64_t ns)
{
    struct timespec_image t = ns_timespec(ns);
    return copy_to_user((void *)user, &t, sizeof(t));
}

long sys_clock_gettime(SYSCALL_ARGS)
{
    int clock = clock_from_user(a0);
    int64_t ns;

    if (clock < 0 || read_clock(clock, &ns))
        return -EINVAL;
    return put_timespec(a1, ns);
}

long sys_clock_getres(SYSCALL_ARGS)
{
    int clock = clock_from_user(a0);
    int64_t resolution;

    if (clock < 0 || host_clock(__NR_clock_getres, clock, &resolution))
        return -EINVAL;
    return a1 ? put_timespec(a1, resolution) : 0;
}

long sys_gettimeofday(SYSCALL_ARGS)
{
    int64_t now = time_now(CLOCK_REALTIME);
    struct timeval_image t = {now / NS_PER_SEC, now % NS_PER_SEC / 1000};
    struct { int32_t minutes_west, dst; } zone = {0, 0};

    if (a0 && copy_to_user((void *)a0, &t, sizeof(t)))
        return -EFAULT;
    return a1 ? copy_to_user((void *)a1, &zone, sizeof(zone)) : 0;
}

long sys_time(SYSCALL_ARGS)
{
    int64_t now = time_now(CLOCK_REALTIME) / NS_PER_SEC;

    if (a0 && copy_to_user((void *)a0, &now, sizeof(now)))
        return -EFAULT;
    return now;
}

/* ---- setting: the host's clock is not the program's to set ------------------------------------------------------- */
long sys_clock_settime(SYSCALL_ARGS)
{
    struct timespec_image t;

    if ((int)a0 != CLOCK_REALTIME)
        return -EINVAL;
    if (copy_from_user(&t, (void *)a1, sizeof(t)))
        return -EFAULT;
    return timespec_valid(&t) ? -EPERM : -EINVAL;
}

long sys_settimeofday(SYSCALL_ARGS)
{
    return -EPERM;
}

long sys_adjtimex(SYSCALL_ARGS)
{
    return -EPERM;
}

long sys_clock_adjtime(SYSCALL_ARGS)
{
    return (int)a0 == CLOCK_REALTIME ? -EPERM : -EINVAL;
}
