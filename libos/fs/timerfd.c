/* SPDX-License-Identifier: Apache-2.0
 *
 * timerfd: the host's, so that it wakes whoever waits for it among other files of the host. What it says of expirations
 * is held against the clock: a timer that is not due has not expired. */
#include "libos/fs/fs.h"
#include "libos/time/time.h"

#include <linux/time.h>
#include <linux/timerfd.h>

#define SLACK_NS 1000000 /* between the host's clock and ours */
#define KNOWN_FLAGS (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)
#ifndef TFD_NONBLOCK
#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2
#define TFD_NONBLOCK O_NONBLOCK
#define TFD_CLOEXEC O_CLOEXEC
#endif

struct setting { struct timespec_image interval, value; }; /* as struct itimerspec */

struct alarm {
    lock_t lock;
    int clock;
    int64_t deadline, interval; /* ns of the clock; TIME_MAX: disarmed */
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */
/* How often it has expired by the clock, at most n; from now on not counted any more. */
static uint64_t take_expirations(struct alarm *a, uint64_t n)
{
    int64_t now = time_now(a->clock) + SLACK_NS;

    lock(&a->lock);
    uint64_t due = now < a->deadline ? 0 : a->interval ? (uint64_t)((now - a->deadline) / a->interval) + 1 : 1;
    if (n > due)
        n = due;
    if (n)
        a->deadline = a->interval ? a->deadline + (int64_t)n * a->interval : TIME_MAX;
    unlock(&a->lock);
    return n;
}

static long alarm_read(struct file *file, struct io *io, int64_t offset)
{
    size_t mark = bounce_mark();
    uint64_t *untrusted_count = bounce_alloc(sizeof(*untrusted_count)), count = 0;

    (void)offset;
    if (io->left < sizeof(count))
        return -EINVAL;
    if (!untrusted_count)
        return -ENOMEM;
    long result =
        host_call_blocking(__NR_read, sizeof(count), file->host_fd, (long)untrusted_count, sizeof(count), 0, 0);
    if (result == sizeof(count))
        untrusted_read(&count, untrusted_count, sizeof(count));
    bounce_release(mark);
    if (result < 0)
        return result;
    count = take_expirations(file->object, count);
    if (!count) {
        log_line(VIGIL_LOG_ERROR, "timerfd: the host says that a timer has expired that is not due: it fails with EIO");
        return -EIO;
    }
    result = io_put(io, &count, sizeof(count), IO_RUNTIME);
    return result < 0 ? result : (long)sizeof(count);
}

static long alarm_stat(struct file *file, struct stat *stat)
{
    (void)file;
    synthetic_stat(stat, 0600, 1);
    return 0;
}

static void alarm_release(struct file *file)
{
    host_close(file->host_fd);
    kfree(file->object);
}

static const struct file_ops alarm_ops = {
    .read = alarm_read,
    .stat = alarm_stat,
    .release = alarm_release,
};

/* ---- system calls ------------------------------------------------------------------------------------------------ */
static bool clock_ok(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME;
}

long sys_timerfd_create(SYSCALL_ARGS)
{
    int clock = (int)a0;

    if (a1 & ~(long)(TFD_NONBLOCK | TFD_CLOEXEC))
        return -EINVAL;
    if (!clock_ok(clock)) /* to wake a sleeping machine takes a capability */
        return clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM ? -EPERM : -EINVAL;
    long host_fd = host_call(__NR_timerfd_create, 0x7fffffff, clock, a1 | TFD_CLOEXEC, 0, 0, 0);
    if (host_fd < 0)
        return host_fd;
    struct alarm *a = kzalloc(sizeof(*a));
    struct file *file = a ? file_new(&alarm_ops, O_RDWR | ((uint32_t)a1 & O_NONBLOCK), NULL) : NULL;
    if (!file) {
        host_close((int)host_fd);
        kfree(a);
        return -ENOMEM;
    }
    a->clock = clock;
    a->deadline = TIME_MAX;
    file->host_fd = (int)host_fd;
    file->object = a;
    return fd_install(file, 0, a1 & TFD_CLOEXEC);
}

static struct file *alarm_from_fd(long fd, long *error)
{
    struct file *file = file_from_fd((int)fd);

    *error = !file ? -EBADF : file->ops != &alarm_ops ? -EINVAL : 0;
    if (file && *error) {
        file_put(file);
        return NULL;
    }
    return file;
}

/* Under the lock: what timerfd_gettime says. */
static struct setting remaining(const struct alarm *a, int64_t now)
{
    int64_t left = a->deadline == TIME_MAX ? 0 : a->deadline - now;

    if (left <= 0 && a->deadline != TIME_MAX)
        left = a->interval ? a->interval - (now - a->deadline) % a->interval : 0;
    return (struct setting){.interval = ns_timespec(a->interval), .value = ns_timespec(left)};
}

static long set_alarm(struct file *file, int flags, const struct setting *new, struct setting *old)
{
    struct alarm *a = file->object;
    const void *untrusted_new = host_put(new, sizeof(*new));
    int64_t now = time_now(a->clock), value = timespec_ns(&new->value);

    if (!untrusted_new)
        return -ENOMEM;
    long status = host_call(__NR_timerfd_settime, 0, file->host_fd, flags, (long)untrusted_new, 0, 0);
    if (status)
        return status;
    lock(&a->lock);
    *old = remaining(a, now);
    a->interval = timespec_ns(&new->interval);
    if (!value)
        a->deadline = TIME_MAX;
    else
        a->deadline = flags & TFD_TIMER_ABSTIME ? value : value > TIME_MAX - now ? TIME_MAX : now + value;
    unlock(&a->lock);
    return 0;
}

long sys_timerfd_settime(SYSCALL_ARGS)
{
    struct setting new, old;
    long status;

    if (a1 & ~(long)KNOWN_FLAGS)
        return -EINVAL;
    if (copy_from_user(&new, (void *)a2, sizeof(new)))
        return -EFAULT;
    if (!timespec_valid(&new.interval) || !timespec_valid(&new.value))
        return -EINVAL;
    struct file *file = alarm_from_fd(a0, &status);
    if (!file)
        return status;
    status = set_alarm(file, (int)a1, &new, &old);
    file_put(file);
    return !status && a3 ? copy_to_user((void *)a3, &old, sizeof(old)) : status;
}

long sys_timerfd_gettime(SYSCALL_ARGS)
{
    struct setting now;
    long status;
    struct file *file = alarm_from_fd(a0, &status);

    if (!file)
        return status;
    struct alarm *a = file->object;
    int64_t time = time_now(a->clock);
    lock(&a->lock);
    now = remaining(a, time);
    unlock(&a->lock);
    file_put(file);
    return copy_to_user((void *)a1, &now, sizeof(now));
}
