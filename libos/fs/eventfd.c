/* SPDX-License-Identifier: Apache-2.0
 *
 * Event counters (eventfd), inside. */
#include "libos/fs/fs.h"

#include <linux/poll.h>

#define EFD_SEMAPHORE 1
#define EFD_CLOEXEC O_CLOEXEC
#define EFD_NONBLOCK O_NONBLOCK
#define COUNT_MAX (~0ull - 1)

struct counter {
    lock_t lock;
    uint64_t count;
    bool semaphore;
    struct wait_queue changed;
};

/* value: what was read, or is to be added. -EAGAIN: not now. */
static long try_read(struct counter *c, uint64_t *value)
{
    long result = -EAGAIN;

    lock(&c->lock);
    if (c->count) {
        *value = c->semaphore ? 1 : c->count;
        c->count -= *value;
        result = 0;
    }
    unlock(&c->lock);
    return result;
}

static long try_write(struct counter *c, uint64_t *value)
{
    long result = -EAGAIN;

    lock(&c->lock);
    if (*value <= COUNT_MAX - c->count) {
        c->count += *value;
        result = 0;
    }
    unlock(&c->lock);
    return result;
}

typedef long attempt(struct counter *c, uint64_t *value);

static long until_done(struct file *file, attempt *try, uint64_t *value)
{
    struct counter *c = file->object;
    struct waiter waiter;
    long result = try(c, value);

    if (result == -EAGAIN && !file_nonblocking(file)) {
        wait_add(&c->changed, &waiter, false);
        while ((result = try(c, value)) == -EAGAIN) {
            result = interrupted();
            if (result)
                break;
            park(-1);
        }
        wait_remove(&waiter);
    }
    if (!result)
        wait_wake(&c->changed);
    return result;
}

static long counter_read(struct file *file, struct io *io, int64_t offset)
{
    uint64_t value;
    (void)offset;

    if (io->left < sizeof(value))
        return -EINVAL;
    long result = until_done(file, try_read, &value);
    return result ? result : io_put(io, &value, sizeof(value), IO_RUNTIME);
}

static long counter_write(struct file *file, struct io *io, int64_t offset)
{
    uint64_t value;
    (void)offset;

    if (io->left < sizeof(value))
        return -EINVAL;
    if (io_get(io, &value, sizeof(value), IO_RUNTIME) != sizeof(value))
        return -EFAULT;
    if (value > COUNT_MAX)
        return -EINVAL;
    long result = until_done(file, try_write, &value);
    return result ? result : (long)sizeof(value);
}

static long counter_stat(struct file *file, struct stat *stat)
{
    (void)file;
    synthetic_stat(stat, 0600, 1);
    return 0;
}

static uint32_t counter_ready(struct file *file)
{
    struct counter *c = file->object;

    lock(&c->lock);
    uint32_t bits = (c->count ? POLLIN | POLLRDNORM : 0) | (c->count < COUNT_MAX ? POLLOUT | POLLWRNORM : 0);
    unlock(&c->lock);
    return bits;
}

static struct wait_queue *counter_queue(struct file *file)
{
    return &((struct counter *)file->object)->changed;
}

static void counter_release(struct file *file)
{
    kfree(file->object);
}

static const struct file_ops counter_ops = {
    .read = counter_read,
    .write = counter_write,
    .stat = counter_stat,
    .ready = counter_ready,
    .queue = counter_queue,
    .release = counter_release,
};

static long make_counter(uint32_t initial, long flags)
{
    if (flags & ~(long)(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
        return -EINVAL;
    struct counter *c = kzalloc(sizeof(*c));
    struct file *file = c ? file_new(&counter_ops, O_RDWR | ((uint32_t)flags & O_NONBLOCK), NULL) : NULL;
    if (!file) {
        kfree(c);
        return -ENOMEM;
    }
    c->count = initial;
    c->semaphore = flags & EFD_SEMAPHORE;
    file->object = c;
    return fd_install(file, 0, flags & EFD_CLOEXEC);
}

long sys_eventfd(SYSCALL_ARGS)
{
    return make_counter((uint32_t)a0, 0);
}

long sys_eventfd2(SYSCALL_ARGS)
{
    return make_counter((uint32_t)a0, (int)a1);
}
