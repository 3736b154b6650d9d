/* SPDX-License-Identifier: Apache-2.0
 *
 * fcntl, flock: descriptor flags and status flags inside, locks on the host. */
#include "libos/fs/locks.h"
#include "libos/process/process.h"

#include <linux/resource.h>

#define INT_LIMIT 0x7fffffff
#define SETTABLE (O_APPEND | O_NONBLOCK | FASYNC | O_DIRECT | O_NOATIME)

static long duplicate(struct file *file, long min, bool cloexec)
{
    if (min < 0 || (uint64_t)min >= process_rlimit(RLIMIT_NOFILE))
        return -EINVAL;
    return fd_install(file_get(file), (uint32_t)min, cloexec);
}

/* The host's own standard files may be shared with other processes: it hears of changes first. */
static long set_status(struct file *file, uint32_t wanted)
{
    uint32_t old = __atomic_load_n(&file->flags, __ATOMIC_RELAXED);

    if (file->host_fd >= 0) {
        long status = host_call(__NR_fcntl, 0, file->host_fd, F_SETFL, wanted & SETTABLE, 0, 0);
        if (status)
            return status;
    }
    while (!__atomic_compare_exchange_n(&file->flags, &old, (old & ~SETTABLE) | (wanted & SETTABLE), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return 0;
}

static bool lock_ok(const struct flock *l, bool answer)
{
    if (l->l_type != F_RDLCK && l->l_type != F_WRLCK && l->l_type != F_UNLCK)
        return false;
    return !answer || (l->l_whence == SEEK_SET && l->l_start >= 0 && l->l_len >= 0 && l->l_pid >= -1);
}

static long lock_inside(struct file *file, int command, long user_lock)
{
    struct flock l;

    if (!file->ops->locks)
        return -EINVAL;
    if (copy_from_user(&l, (void *)user_lock, sizeof(l)))
        return -EFAULT;
    bool asks = command == F_GETLK || command == F_OFD_GETLK;
    if (!lock_ok(&l, false) || (asks && l.l_type == F_UNLCK))
        return -EINVAL;
    long status = range_lock(file->ops->locks(file), file, command, &l, (int)process_pid());
    return status || !asks ? status : copy_to_user((void *)user_lock, &l, sizeof(l));
}

static long record_lock(struct file *file, int command, long user_lock)
{
    bool asks = command == F_GETLK || command == F_OFD_GETLK, waits = command == F_SETLKW || command == F_OFD_SETLKW;
    struct flock l;
    long status;

    if (file->host_fd < 0)
        return lock_inside(file, command, user_lock);
    if (copy_from_user(&l, (void *)user_lock, sizeof(l)))
        return -EFAULT;
    if (!lock_ok(&l, false))
        return -EINVAL;
    struct flock *untrusted_lock = host_put(&l, sizeof(l));
    if (!untrusted_lock)
        return -ENOMEM;
    if (waits)
        return host_call_blocking(__NR_fcntl, 0, file->host_fd, command, (long)untrusted_lock, 0, 0);
    status = host_call(__NR_fcntl, 0, file->host_fd, command, (long)untrusted_lock, 0, 0);
    if (status || !asks)
        return status;
    struct flock untrusted_answer;
    untrusted_read(&untrusted_answer, untrusted_lock, sizeof(untrusted_answer));
    if (untrusted_answer.l_type == F_UNLCK) {
        l.l_type = F_UNLCK; /* the rest stays as it was */
    } else {
        if (!lock_ok(&untrusted_answer, true))
            return -EIO;
        l = (struct flock){.l_type = untrusted_answer.l_type, .l_whence = SEEK_SET, .l_start = untrusted_answer.l_start,
                           .l_len = untrusted_answer.l_len, .l_pid = untrusted_answer.l_pid};
    }
    return copy_to_user((void *)user_lock, &l, sizeof(l));
}

static long fcntl_file(struct file *file, int fd, int command, long arg)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(file, (int)arg, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return fd_cloexec((uint32_t)fd, -1);
    case F_SETFD:
        return fd_cloexec((uint32_t)fd, arg & FD_CLOEXEC ? 1 : 0);
    case F_GETFL:
        return __atomic_load_n(&file->flags, __ATOMIC_RELAXED);
    }
    if (file->flags & O_PATH)
        return -EBADF;
    switch (command) {
    case F_SETFL:
        return set_status(file, (uint32_t)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return record_lock(file, command, arg);
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        if (file->host_fd < 0)
            return pipe_size(file, command == F_SETPIPE_SZ, (uint32_t)arg);
        return host_call(__NR_fcntl, INT_LIMIT, file->host_fd, command, (int)arg, 0, 0);
    case F_GETOWN:
        return 0;
    case F_ADD_SEALS:
    case F_GET_SEALS:
        if (file->host_fd < 0)
            return file->ops->seal ? file->ops->seal(file, command, (uint32_t)arg) : -EINVAL;
        return host_call(__NR_fcntl, INT_LIMIT, file->host_fd, command, (int)arg, 0, 0);
    default:
        log_line(VIGIL_LOG_DEBUG, "fcntl: command %d is not supported: EINVAL", command);
        return -EINVAL;
    }
}

long sys_fcntl(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);

    if (!file)
        return -EBADF;
    long result = fcntl_file(file, (int)a0, (int)a1, a2);
    file_put(file);
    return result;
}

long sys_flock(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);

    if (!file)
        return -EBADF;
    long result;
    if (file->flags & O_PATH)
        result = -EBADF;
    else if (file->host_fd >= 0)
        result = host_call_blocking(__NR_flock, 0, file->host_fd, (int)a1, 0, 0, 0);
    else
        result = file->ops->locks ? file_lock(file->ops->locks(file), file, (int)a1) : -EINVAL;
    file_put(file);
    return result;
}
