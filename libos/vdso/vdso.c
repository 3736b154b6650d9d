/* SPDX-License-Identifier: Apache-2.0
 *
 * The shared object that C libraries look for behind AT_SYSINFO_EHDR: clocks without a system call. It runs as a part of
 * the program, computes what libos/time/tsc.c computes from a copy of the same parameters, and asks the LibOS when they
 * are too old, being changed, or not there. */
#include "libos/time/clock_page.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/time.h>

#define NS_PER_SEC 1000000000ll
#define PUBLIC __attribute__((visibility("default")))

extern const struct clock_page vdso_clock_page __attribute__((visibility("hidden"))); /* the page below, see vdso.lds */

struct timeval_pair { int64_t sec, usec; };
struct timespec_pair { int64_t sec, nsec; };
struct zone { int32_t minutes_west, dst; };

/* The number is in front of the instruction, so that it can become a jump when this is loaded. */
#define SYSTEM_CALL(nr, a, b) \
    ({ \
        long result_; \
        __asm__ volatile("movl %1, %%eax\n\tsyscall" \
                         : "=&a"(result_) : "i"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory"); \
        result_; \
    })

static uint64_t counter(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static bool compute(const struct clock_params *p, struct timespec_pair *t)
{
    uint32_t seq = __atomic_load_n(&p->seq, __ATOMIC_ACQUIRE);
    uint64_t base = __atomic_load_n(&p->tsc, __ATOMIC_RELAXED), limit = __atomic_load_n(&p->limit, __ATOMIC_RELAXED);
    uint64_t mult = __atomic_load_n(&p->mult, __ATOMIC_RELAXED);
    int64_t sec = __atomic_load_n(&p->sec, __ATOMIC_RELAXED), nsec = __atomic_load_n(&p->nsec, __ATOMIC_RELAXED);

    if (!limit || seq & 1)
        return false;
    uint64_t cycles = counter() - base;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&p->seq, __ATOMIC_RELAXED) != seq || cycles > limit)
        return false;
    nsec += (int64_t)clock_scale(cycles, mult);
    if (nsec >= NS_PER_SEC) { /* limit is much shorter than a second */
        nsec -= NS_PER_SEC;
        sec++;
    }
    *t = (struct timespec_pair){sec, nsec};
    return true;
}

PUBLIC int __vdso_clock_gettime(int clock, struct timespec_pair *t)
{
    int slot = clock == CLOCK_REALTIME_COARSE ? CLOCK_REALTIME : clock == CLOCK_MONOTONIC_COARSE ? CLOCK_MONOTONIC : clock;

    if ((unsigned)slot < CLOCK_SLOTS && compute(&vdso_clock_page.clock[slot], t))
        return 0;
    return (int)SYSTEM_CALL(__NR_clock_gettime, (long)clock, t);
}

PUBLIC int __vdso_gettimeofday(struct timeval_pair *t, struct zone *zone)
{
    struct timespec_pair now;

    if (!compute(&vdso_clock_page.clock[CLOCK_REALTIME], &now))
        return (int)SYSTEM_CALL(__NR_gettimeofday, t, zone);
    if (t)
        *t = (struct timeval_pair){now.sec, (uint32_t)now.nsec / 1000};
    if (zone)
        *zone = (struct zone){0, 0};
    return 0;
}

PUBLIC long __vdso_time(long *t)
{
    struct timespec_pair now;

    if (!compute(&vdso_clock_page.clock[CLOCK_REALTIME], &now))
        return SYSTEM_CALL(__NR_time, t, 0L);
    if (t)
        *t = now.sec;
    return now.sec;
}

PUBLIC int __vdso_clock_getres(int clock, struct timespec_pair *t)
{
    return (int)SYSTEM_CALL(__NR_clock_getres, (long)clock, t);
}

#define WEAK(name, of) PUBLIC extern __typeof__(of) name __attribute__((weak, alias(#of)))
WEAK(clock_gettime, __vdso_clock_gettime);
WEAK(gettimeofday, __vdso_gettimeofday);
WEAK(time, __vdso_time);
WEAK(clock_getres, __vdso_clock_getres);
