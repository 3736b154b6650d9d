/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for children, which a process without fork never has; and memory barriers for all threads, which it is told are not
 * there: who could make one is the host, and it is not trusted with that. */
#include "libos/process/process.h"

#include <linux/membarrier.h>
#include <linux/wait.h>

long sys_wait4(SYSCALL_ARGS)
{
    int known = WNOHANG | WUNTRACED | WCONTINUED | __WALL | __WCLONE | (int)__WNOTHREAD;

    return (int)a2 & ~known ? -EINVAL : -ECHILD;
}

long sys_waitid(SYSCALL_ARGS)
{
    int known = WNOHANG | WNOWAIT | WSTOPPED | WEXITED | WCONTINUED | __WALL | __WCLONE | (int)__WNOTHREAD;

    if ((int)a0 < P_ALL || (int)a0 > P_PIDFD || (int)a3 & ~known || !((int)a3 & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    return -ECHILD;
}

long sys_membarrier(SYSCALL_ARGS)
{
    return (int)a0 == MEMBARRIER_CMD_QUERY && !a1 ? 0 : -EINVAL;
}
