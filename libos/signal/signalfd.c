/* SPDX-License-Identifier: Apache-2.0
 *
 * signalfd: pending signals, read instead of delivered. A descriptor has a set of signals and nothing else: what can be read is what
 * is pending for the thread that asks, as on Linux. */
#include "libos/fs/fs.h"
#include "libos/signal/signal.h"

#include <asm/siginfo.h>
#include <linux/poll.h>
#include <linux/signalfd.h>

struct signal_set { uint64_t mask; };  /* changed atomically */

struct wait_queue signalfd_changed;

static uint64_t mask_of(const struct file *file)
{
    return __atomic_load_n(&((struct signal_set *)file->object)->mask, __ATOMIC_RELAXED);
}

static uint32_t signalfd_ready(struct file *file)
{
    const struct signal_state *s = current_thread()->signals;
    uint64_t set = __atomic_load_n(&s->pending.set, __ATOMIC_SEQ_CST) | __atomic_load_n(&shared_pending.set, __ATOMIC_SEQ_CST);

    return set & mask_of(file) ? POLLIN | POLLRDNORM : 0;
}

static struct wait_queue *signalfd_queue(struct file *file)
{
    (void)file;
    return &signalfd_changed;
}

static void describe(struct signalfd_siginfo *to, const struct siginfo_image *from)
{
    *to = (struct signalfd_siginfo){.ssi_signo = (uint32_t)from->signo, .ssi_errno = from->error, .ssi_code = from->code};
    if (from->code == SI_TIMER) {
        to->ssi_tid = (uint32_t)from->timer.id;
        to->ssi_overrun = (uint32_t)from->timer.overrun;
        to->ssi_ptr = from->timer.value;
        to->ssi_int = (int32_t)from->timer.value;
    } else if (from->code > 0 && from->code != SI_KERNEL) { /* of an exception */
        to->ssi_addr = from->fault.address;
    } else {
        to->ssi_pid = (uint32_t)from->sender.pid;
        to->ssi_uid = from->sender.uid;
        to->ssi_ptr = from->sender.value;
        to->ssi_int = (int32_t)from->sender.value;
    }
}

/* The first signal, waiting for it if the file waits. Its number, or -errno. */
static long take_first(struct file *file, struct siginfo_image *info)
{
    struct waiter waiter;
    long result = signal_take(mask_of(file), info, NULL);

    if (result || file_nonblocking(file))
        return result ? result : -EAGAIN;
    wait_add(&signalfd_changed, &waiter, false);
    for (;;) {
        int error = interrupted(); /* takes what the host reports, too */
        result = signal_take(mask_of(file), info, NULL);
        if (result || error) {
            result = result ? result : error;
            break;
        }
        park(-1);
    }
    wait_remove(&waiter);
    return result;
}

static long signalfd_read(struct file *file, struct io *io, int64_t offset)
{
    struct signalfd_siginfo image;
    struct siginfo_image info;
    long done = 0;

    (void)offset;
    if (io->left < sizeof(image))
        return -EINVAL;
    long result = take_first(file, &info);
    while (result > 0) {
        describe(&image, &info);
        if (io_put(io, &image, sizeof(image), IO_RUNTIME) != sizeof(image))
            return done ? done : -EFAULT;
        done += (long)sizeof(image);
        result = io->left < sizeof(image) ? 0 : signal_take(mask_of(file), &info, NULL);
    }
    return done ? done : result;
}

static long signalfd_stat(struct file *file, struct stat *stat)
{
    (void)file;
    synthetic_stat(stat, 0600, 1);
    return 0;
}

static void signalfd_release(struct file *file)
{
    kfree(file->object);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .stat = signalfd_stat,
    .ready = signalfd_ready,
    .queue = signalfd_queue,
    .release = signalfd_release,
};

static long make(uint64_t mask, long flags)
{
    struct signal_set *set = kzalloc(sizeof(*set));
    struct file *file = set ? file_new(&signalfd_ops, O_RDWR | ((uint32_t)flags & O_NONBLOCK), NULL) : NULL;

    if (!file) {
        kfree(set);
        return -ENOMEM;
    }
    set->mask = mask;
    file->object = set;
    return fd_install(file, 0, flags & SFD_CLOEXEC);
}

static long change(int fd, uint64_t mask)
{
    struct file *file = file_from_fd(fd);

    if (!file)
        return -EBADF;
    long result = file->ops == &signalfd_ops ? fd : -EINVAL;
    if (result >= 0)
        __atomic_store_n(&((struct signal_set *)file->object)->mask, mask, __ATOMIC_RELAXED);
    file_put(file);
    if (result >= 0)
        wait_wake(&signalfd_changed);
    return result;
}

static long signalfd(int fd, long user_mask, long size, long flags)
{
    uint64_t mask;

    if (size != SIGSET_SIZE || flags & ~(long)(SFD_CLOEXEC | SFD_NONBLOCK))
        return -EINVAL;
    if (copy_from_user(&mask, (void *)user_mask, sizeof(mask)))
        return -EFAULT;
    mask &= ~UNBLOCKABLE;
    return fd == -1 ? make(mask, flags) : change(fd, mask);
}

long sys_signalfd(SYSCALL_ARGS)
{
    return signalfd((int)a0, a1, a2, 0);
}

long sys_signalfd4(SYSCALL_ARGS)
{
    return signalfd((int)a0, a1, a2, (int)a3);
}
