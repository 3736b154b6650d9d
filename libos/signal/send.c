/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls that send signals. The process is alone: every other pid is not found. */
#include "libos/fs/fs.h"
#include "libos/signal/signal.h"

#include "libos/process/process.h"

#include <asm/siginfo.h>

static bool valid(int sig)
{
    return sig >= 0 && sig <= SIGNAL_MAX;
}

/* pid as kill(2) takes it: the process by any of its threads, or its group. -1 is everybody but the caller. */
static bool names_process(int pid)
{
    if (pid == -1)
        return false;
    return pid == 0 || pid == -(int)process_pid() || (pid > 0 && process_has_thread((uint32_t)pid)) ||
           pid == (int)process_pid();
}

long sys_kill(SYSCALL_ARGS)
{
    struct siginfo_image info;
    int pid = (int)a0, sig = (int)a1;

    if (!valid(sig))
        return -EINVAL;
    if (!names_process(pid))
        return -ESRCH;
    if (!sig)
        return 0;
    signal_init_own(&info, sig, SI_USER);
    return signal_post_process(&info);
}

int signal_post_tid(int tid, const struct siginfo_image *info)
{
    int slot = -1, result = -ESRCH;

    lock(&threads_lock);
    for (struct thread *t = threads_first(); t; t = t->next)
        if ((int)t->tid == tid && t->signals)
            result = info->signo ? signal_post(t, info, &slot) : 0;
    unlock(&threads_lock);
    if (slot >= 0)
        kick((uint32_t)slot);
    wait_wake(&signalfd_changed);
    return result;
}

static long send_tkill(int tid, int sig)
{
    struct siginfo_image info;

    if (!valid(sig))
        return -EINVAL;
    signal_init_own(&info, sig, SI_TKILL);
    return signal_post_tid(tid, &info);
}

long sys_tkill(SYSCALL_ARGS)
{
    return (int)a0 <= 0 ? -EINVAL : send_tkill((int)a0, (int)a1);
}

long sys_tgkill(SYSCALL_ARGS)
{
    if ((int)a0 <= 0 || (int)a1 <= 0)
        return -EINVAL;
    if ((uint32_t)a0 != process_pid())
        return valid((int)a2) ? -ESRCH : -EINVAL;
    return send_tkill((int)a1, (int)a2);
}

/* Information made by the program. Only to itself may it look as if the kernel or kill had sent it. */
static long info_from_user(struct siginfo_image *info, const void *user, int sig, int target)
{
    if (copy_from_user(info, user, sizeof(*info)))
        return -EFAULT;
    if ((info->code >= 0 || info->code == SI_TKILL) && target != (int)current_thread()->tid)
        return -EPERM;
    info->signo = sig;
    return valid(sig) ? 0 : -EINVAL;
}

long sys_rt_sigqueueinfo(SYSCALL_ARGS)
{
    struct siginfo_image info;
    int pid = (int)a0, sig = (int)a1;
    long error = info_from_user(&info, (const void *)a2, sig, pid);

    if (error)
        return error;
    if (pid <= 0 || !names_process(pid))
        return -ESRCH;
    return sig ? signal_post_process(&info) : 0;
}

long sys_rt_tgsigqueueinfo(SYSCALL_ARGS)
{
    struct siginfo_image info;
    int tid = (int)a1, sig = (int)a2;

    if ((int)a0 <= 0 || tid <= 0)
        return -EINVAL;
    long error = info_from_user(&info, (const void *)a3, sig, tid);
    if (error)
        return error;
    return (uint32_t)a0 == process_pid() ? signal_post_tid(tid, &info) : -ESRCH;
}
