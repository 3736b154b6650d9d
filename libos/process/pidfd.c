/* SPDX-License-Identifier: Apache-2.0
 *
 * pidfd_open, pidfd_send_signal: a descriptor for the only process there is, which ends before anybody could see it end. */
#include "libos/fs/fs.h"
#include "libos/process/process.h"
#include "libos/signal/signal.h"

#include <asm/siginfo.h>

#define PIDFD_NONBLOCK O_NONBLOCK

static struct wait_queue never;

static uint32_t pidfd_ready(struct file *file)
{
    (void)file;
    return 0;
}

static struct wait_queue *pidfd_queue(struct file *file)
{
    (void)file;
    return &never;
}

static long pidfd_stat(struct file *file, struct stat *stat)
{
    (void)file;
    synthetic_stat(stat, 0600, 1);
    return 0;
}

static const struct file_ops pidfd_ops = {
    .stat = pidfd_stat,
    .ready = pidfd_ready,
    .queue = pidfd_queue,
};

long sys_pidfd_open(SYSCALL_ARGS)
{
    int pid = (int)a0;

    if (a1 & ~(long)PIDFD_NONBLOCK || pid <= 0)
        return -EINVAL;
    if ((uint32_t)pid != process_pid()) /* other threads of it are no processes */
        return process_has_thread((uint32_t)pid) ? -EINVAL : -ESRCH;
    struct file *file = file_new(&pidfd_ops, O_RDWR | ((uint32_t)a1 & O_NONBLOCK), NULL);
    return file ? fd_install(file, 0, true) : -ENOMEM;
}

/* A pidfd, or the process's directory in /proc, which Linux takes too. */
static bool names_us(const struct file *file)
{
    char directory[32];

    if (file->ops == &pidfd_ops)
        return true;
    format(directory, sizeof(directory), "/proc/%u", process_pid());
    return file->path && (!strcmp(file->path, directory) || !strcmp(file->path, "/proc/self"));
}

/* What the program says of the signal must not look as if the kernel or another process had sent it: only to itself, and this
 * is always itself. */
static long read_info(struct siginfo_image *info, int sig, long user)
{
    if (!user) {
        signal_init_own(info, sig, SI_USER);
        return 0;
    }
    if (copy_from_user(info, (void *)user, sizeof(*info)))
        return -EFAULT;
    return info->signo == sig ? 0 : -EINVAL;
}

long sys_pidfd_send_signal(SYSCALL_ARGS)
{
    struct siginfo_image info;
    int sig = (int)a1;

    if (a3)
        return -EINVAL;
    struct file *file = file_from_fd((int)a0);
    if (!file)
        return -EBADF;
    bool ours = names_us(file);
    file_put(file);
    if (!ours)
        return -EBADF;
    if (sig < 0 || sig > SIGNAL_MAX)
        return -EINVAL;
    long status = sig ? read_info(&info, sig, a2) : 0;
    return status || !sig ? status : signal_post_process(&info);
}
