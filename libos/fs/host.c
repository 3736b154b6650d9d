/* SPDX-License-Identifier: Apache-2.0
 *
 * Host calls whose answers are checked once, here. */
#include "libos/fs/fs.h"

#include <linux/time.h>

#define INTERRUPTS_MAX 20000 /* of one call that does not wait: no host has so many signals */
#define STORM_NS 500000000ll /* that many of a call that waits in less than this time */
#define ERRNO_MAX 133 /* the last errno a system call may show: above it are Linux's internal ones */

long host_result(long nr, long untrusted_result, long max)
{
    if (untrusted_result >= 0 ? untrusted_result <= max : untrusted_result >= -ERRNO_MAX)
        return untrusted_result;
    log_line(VIGIL_LOG_ERROR, "the host answered system call %ld with %ld, which cannot be: it fails with EIO", nr,
             untrusted_result);
    return -EIO;
}

bool host_interrupts_for_ever(long nr, unsigned *times)
{
    if (++*times < INTERRUPTS_MAX)
        return false;
    log_line(VIGIL_LOG_ERROR, "the host says without end that system call %ld was interrupted, and by nothing: it fails with EIO",
             nr);
    return true;
}

long host_call(long nr, long max, long a0, long a1, long a2, long a3, long a4)
{
    long untrusted_result;
    unsigned times = 0;

    do {
        untrusted_result = ocall_syscall(nr, a0, a1, a2, a3, a4, 0);
    } while (untrusted_result == -EINTR && !host_interrupts_for_ever(nr, &times));
    return untrusted_result == -EINTR ? -EIO : host_result(nr, untrusted_result, max);
}

bool host_storms(long nr, struct storm *storm)
{
    if (!storm->times++)
        storm->since = time_now(CLOCK_MONOTONIC);
    if (storm->times < INTERRUPTS_MAX)
        return false;
    storm->times = 0;
    if (time_now(CLOCK_MONOTONIC) - storm->since >= STORM_NS)
        return false;
    log_line(VIGIL_LOG_ERROR, "the host says again and again that system call %ld, which waits, was interrupted, and by nothing: it "
             "fails with EIO", nr);
    return true;
}

long host_call_blocking(long nr, long max, long a0, long a1, long a2, long a3, long a4)
{
    struct storm storm = {0};

    do {
        long untrusted_result = ocall_syscall_intr(nr, a0, a1, a2, a3, a4, 0);
        if (untrusted_result != -EINTR)
            return host_result(nr, untrusted_result, max);
        int error = interrupted();
        if (error)
            return error;
    } while (!host_storms(nr, &storm));
    return -EIO;
}

void *host_put(const void *data, size_t n)
{
    void *untrusted = bounce_alloc(n);

    if (untrusted)
        untrusted_write(untrusted, data, n);
    return untrusted;
}
