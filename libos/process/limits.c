/* SPDX-License-Identifier: Apache-2.0
 *
 * Resource limits and resource use. Limits are the LibOS's own; use is measured by the host and only checked for
 * sense. */
#include "libos/process/process.h"

#include "libos/mm/mm.h"

#include <asm/unistd_64.h>
#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/time.h>
#include <linux/times.h>

#define DESCRIPTORS_HARD 1024 /* at least */
#define TICK_NS 10000000     /* AT_CLKTCK is 100 */

static lock_t limits_lock;
static bool limits_ready;
static struct limit limits[RLIM_NLIMITS];

/* Under limits_lock. */
static struct limit *limit_of(int resource)
{
    if (!limits_ready) {
        for (int i = 0; i < RLIM_NLIMITS; i++)
            limits[i] = (struct limit){RLIM_INFINITY, RLIM_INFINITY};
        limits[RLIMIT_STACK].soft = config()->stack_size;
        uint64_t files = config()->fds_limit;
        limits[RLIMIT_NOFILE] = (struct limit){files, files > DESCRIPTORS_HARD ? files : DESCRIPTORS_HARD};
        limits[RLIMIT_CORE] = (struct limit){0, 0};
        limits[RLIMIT_NICE] = limits[RLIMIT_RTPRIO] = (struct limit){0, 0};
        limits_ready = true;
    }
    return &limits[resource];
}

uint64_t process_rlimit(int resource)
{
    lock(&limits_lock);
    uint64_t soft = limit_of(resource)->soft;
    unlock(&limits_lock);
    return soft;
}

struct limit process_limit(int resource)
{
    lock(&limits_lock);
    struct limit value = *limit_of(resource);
    unlock(&limits_lock);
    return value;
}

static long get_limit(unsigned resource, uint64_t user)
{
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    lock(&limits_lock);
    struct limit value = *limit_of((int)resource);
    unlock(&limits_lock);
    return copy_to_user((void *)user, &value, sizeof(value));
}

static long set_limit(unsigned resource, const struct limit *value)
{
    long result = 0;

    if (resource >= RLIM_NLIMITS || value->soft > value->hard)
        return -EINVAL;
    lock(&limits_lock);
    struct limit *now = limit_of((int)resource);
    if (value->hard > now->hard)
        result = -EPERM; /* no CAP_SYS_RESOURCE, as capget says */
    else
        *now = *value;
    unlock(&limits_lock);
    return result;
}

long sys_getrlimit(SYSCALL_ARGS)
{
    return get_limit((unsigned)a0, (uint64_t)a1);
}

long sys_setrlimit(SYSCALL_ARGS)
{
    struct limit value;

    if (copy_from_user(&value, (void *)a1, sizeof(value)))
        return -EFAULT;
    return set_limit((unsigned)a0, &value);
}

long sys_prlimit64(SYSCALL_ARGS)
{
    struct limit value, old;
    unsigned resource = (unsigned)a1;
    long error;

    if ((int)a0 && !process_has_thread((uint32_t)a0))
        return -ESRCH;
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    if (a2 && copy_from_user(&value, (void *)a2, sizeof(value)))
        return -EFAULT;
    lock(&limits_lock);
    old = *limit_of((int)resource);
    unlock(&limits_lock);
    error = a2 ? set_limit(resource, &value) : 0;
    if (error)
        return error;
    return a3 ? copy_to_user((void *)a3, &old, sizeof(old)) : 0;
}

/* ---- use --------------------------------------------------------------------------------------------------------- */
static bool sensible_time(const struct __kernel_old_timeval *t)
{
    return t->tv_sec >= 0 && t->tv_usec >= 0 && t->tv_usec < 1000000;
}

static bool sensible_usage(const struct rusage *usage)
{
    const long *counters = &usage->ru_maxrss;

    for (size_t i = 0; i < (sizeof(*usage) - offsetof(struct rusage, ru_maxrss)) / sizeof(long); i++)
        if (counters[i] < 0)
            return false;
    return sensible_time(&usage->ru_utime) && sensible_time(&usage->ru_stime);
}

/* The host's figures for this process or thread; zeroes with an error: 0 or -errno. */
int process_usage(int who, struct rusage *usage)
{
    size_t mark = bounce_mark();
    void *untrusted_usage = bounce_alloc(sizeof(*usage));

    memset(usage, 0, sizeof(*usage));
    if (!untrusted_usage)
        return -ENOMEM;
    long untrusted_result = ocall_syscall(__NR_getrusage, who, (long)untrusted_usage, 0, 0, 0, 0);
    untrusted_read(usage, untrusted_usage, sizeof(*usage));
    bounce_release(mark);
    if (!untrusted_result && sensible_usage(usage))
        return 0;
    memset(usage, 0, sizeof(*usage));
    return -EINVAL;
}

long sys_getrusage(SYSCALL_ARGS)
{
    struct rusage usage;
    int who = (int)a0;

    memset(&usage, 0, sizeof(usage));
    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
        return -EINVAL;
    if (who != RUSAGE_CHILDREN) { /* which it has none of */
        int error = process_usage(who, &usage);
        if (error)
            return error;
    }
    return copy_to_user((void *)a1, &usage, sizeof(usage));
}

static long ticks(const struct __kernel_old_timeval *t)
{
    return t->tv_sec * 100 + t->tv_usec / 10000;
}

long sys_times(SYSCALL_ARGS)
{
    struct rusage usage;
    struct tms tms = {0};

    if (a0) {
        int error = process_usage(RUSAGE_SELF, &usage);
        if (error)
            return error;
        tms.tms_utime = ticks(&usage.ru_utime);
        tms.tms_stime = ticks(&usage.ru_stime);
        if (copy_to_user((void *)a0, &tms, sizeof(tms)))
            return -EFAULT;
    }
    return time_now(CLOCK_MONOTONIC) / TICK_NS;
}

long sys_sysinfo(SYSCALL_ARGS)
{
    const struct vigil_boot_info *boot = boot_info();
    uint64_t total = boot->app_end - boot->app_start;
    struct sysinfo info;

    memset(&info, 0, sizeof(info));
    info.uptime = time_now(CLOCK_MONOTONIC) / 1000000000;
    info.totalram = total;
    info.freeram = total - mm_mapped_bytes();
    info.procs = (uint16_t)threads_count();
    info.mem_unit = 1;
    return copy_to_user((void *)a0, &info, sizeof(info));
}
