/* SPDX-License-Identifier: Apache-2.0
 *
 * Scheduling is the host's: what it says about processors is passed on if it makes sense, what the program asks of
 * priorities is kept, or answered as by a system with one class. */
#include "libos/process/process.h"

#include <asm/unistd_64.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/time_types.h>

#define MASK_MAX 1024     /* bytes: 8192 processors */
#define PROCESSORS_MAX (MASK_MAX * 8)
#define NODES_MAX 1024
#define NICE_MAX 19
#define PRIORITY_NORMAL 20 /* getpriority's raw result for nice 0 */

static int nice_value;

static bool is_own_thread(long pid)
{
    return (int)pid == 0 || process_has_thread((uint32_t)pid);
}

long sys_sched_yield(SYSCALL_ARGS)
{
    (void)ocall_syscall(__NR_sched_yield, 0, 0, 0, 0, 0, 0);
    return 0;
}

long process_affinity(uint64_t *mask, uint64_t bytes)
{
    size_t mark = bounce_mark();
    void *untrusted_mask = bounce_alloc(bytes);
    uint64_t any = 0;

    if (!untrusted_mask)
        return -ENOMEM;
    long untrusted_result = ocall_syscall(__NR_sched_getaffinity, 0, (long)bytes, (long)untrusted_mask, 0, 0, 0);
    if (untrusted_result <= 0 || (uint64_t)untrusted_result > bytes || untrusted_result % 8) {
        bounce_release(mark);
        return -EINVAL;
    }
    untrusted_read(mask, untrusted_mask, (size_t)untrusted_result);
    bounce_release(mark);
    for (long i = 0; i < untrusted_result / 8; i++)
        any |= mask[i];
    if (!any)
        mask[0] = 1; /* there must be one processor, and programs count them to divide by the result */
    return untrusted_result;
}

long sys_sched_getaffinity(SYSCALL_ARGS)
{
    uint64_t mask[MASK_MAX / 8];
    uint64_t length = (uint64_t)(uint32_t)a1;

    if (!is_own_thread(a0))
        return -ESRCH;
    if (!length || length % 8)
        return -EINVAL;
    long n = process_affinity(mask, length < MASK_MAX ? length : MASK_MAX);
    if (n > 0 && copy_to_user((void *)a2, mask, (size_t)n))
        return -EFAULT;
    return n;
}

/* Passed to the host for the calling thread only: another thread's host thread is not known here. */
long sys_sched_setaffinity(SYSCALL_ARGS)
{
    uint64_t length = (uint64_t)(uint32_t)a1;

    if (!is_own_thread(a0))
        return -ESRCH;
    if (length > MASK_MAX)
        length = MASK_MAX;
    void *untrusted_mask = bounce_alloc(length ? length : 1);
    if (!untrusted_mask)
        return -ENOMEM;
    if (copy_user_to_untrusted(untrusted_mask, (void *)a2, length))
        return -EFAULT;
    if ((int)a0 && (uint32_t)a0 != current_thread()->tid)
        return 0; /* advice that cannot be followed */
    long untrusted_result = ocall_syscall(__NR_sched_setaffinity, 0, (long)length, (long)untrusted_mask, 0, 0, 0);
    return untrusted_result == 0 ? 0 : -EINVAL;
}

long sys_getcpu(SYSCALL_ARGS)
{
    uint32_t where[2] = {0, 0};
    char *untrusted_where = bounce_alloc(sizeof(where));

    if (!untrusted_where)
        return -ENOMEM;
    untrusted_write(untrusted_where, where, sizeof(where));
    (void)ocall_syscall(__NR_getcpu, (long)untrusted_where, (long)(untrusted_where + 4), 0, 0, 0, 0);
    untrusted_read(where, untrusted_where, sizeof(where));
    if (where[0] >= PROCESSORS_MAX || where[1] >= NODES_MAX)
        where[0] = where[1] = 0;
    if (a0 && copy_to_user((void *)a0, &where[0], sizeof(where[0])))
        return -EFAULT;
    return a1 ? copy_to_user((void *)a1, &where[1], sizeof(where[1])) : 0;
}

/* ---- classes and priorities ------------------------------------------------------------------------------------- */
static bool class_known(long policy)
{
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

static bool class_realtime(long policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

long sys_sched_getscheduler(SYSCALL_ARGS)
{
    if ((int)a0 < 0)
        return -EINVAL;
    return is_own_thread(a0) ? SCHED_NORMAL : -ESRCH;
}

long sys_sched_setscheduler(SYSCALL_ARGS)
{
    int priority, policy = (int)a1 & ~SCHED_RESET_ON_FORK;

    if ((int)a0 < 0 || (int)a1 < 0)
        return -EINVAL;
    if (!is_own_thread(a0))
        return -ESRCH;
    if (copy_from_user(&priority, (void *)a2, sizeof(priority)))
        return -EFAULT;
    if (class_realtime(policy))
        return priority >= 1 && priority <= 99 ? -EPERM : -EINVAL;
    return class_known(policy) && !priority ? 0 : -EINVAL;
}

long sys_sched_getparam(SYSCALL_ARGS)
{
    int priority = 0;

    if ((int)a0 < 0)
        return -EINVAL;
    if (!is_own_thread(a0))
        return -ESRCH;
    return copy_to_user((void *)a1, &priority, sizeof(priority));
}

long sys_sched_setparam(SYSCALL_ARGS)
{
    return sys_sched_setscheduler(a0, SCHED_NORMAL, a1, 0, 0, 0);
}

long sys_sched_get_priority_max(SYSCALL_ARGS)
{
    return class_realtime((int)a0) ? 99 : class_known((int)a0) ? 0 : -EINVAL;
}

long sys_sched_get_priority_min(SYSCALL_ARGS)
{
    return class_realtime((int)a0) ? 1 : class_known((int)a0) ? 0 : -EINVAL;
}

static bool is_own(long which, long who)
{
    switch ((int)which) {
    case PRIO_PROCESS:
        return is_own_thread(who);
    case PRIO_PGRP:
        return !(int)who || (uint32_t)who == process_pid();
    default:
        return !(int)who || (uint32_t)who == process_uid();
    }
}

long sys_getpriority(SYSCALL_ARGS)
{
    if ((int)a0 < PRIO_PROCESS || (int)a0 > PRIO_USER)
        return -EINVAL;
    return is_own(a0, a1) ? PRIORITY_NORMAL - __atomic_load_n(&nice_value, __ATOMIC_RELAXED) : -ESRCH;
}

/* Being nicer is always allowed, and up to the host to honour: it is not told. The process has one value, its threads none of
 * their own. */
long sys_setpriority(SYSCALL_ARGS)
{
    if ((int)a0 < PRIO_PROCESS || (int)a0 > PRIO_USER)
        return -EINVAL;
    if (!is_own(a0, a1))
        return -ESRCH;
    if ((int)a2 < 0)
        return -EACCES;
    __atomic_store_n(&nice_value, (int)a2 > NICE_MAX ? NICE_MAX : (int)a2, __ATOMIC_RELAXED);
    return 0;
}
