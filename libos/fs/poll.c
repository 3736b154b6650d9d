/* SPDX-License-Identifier: Apache-2.0
 *
 * poll, select, and ioctl: what is asked of descriptors without moving data. */
#include "libos/fs/fs.h"
#include "libos/signal/signal.h"

#include <asm/ioctls.h>
#include <linux/poll.h>
#include <linux/time.h>

#define NS 1000000000ll
#define MAX_POLL 4096

/* Waits until deadline (ns, CLOCK_MONOTONIC, -1: for ever). Entries keep the program's descriptors. */
static long poll_until(struct pollfd *fds, uint32_t count, int64_t deadline)
{
    struct file **files = kzalloc((count + 1) * sizeof(*files));
    size_t size = count * sizeof(*fds);
    struct pollfd *host = kmalloc(size + 1);
    void *untrusted = bounce_alloc(size), *untrusted_time = bounce_alloc(16);
    long result = files && host && untrusted && untrusted_time ? 0 : -ENOMEM, bad = 0;

    for (uint32_t i = 0; i < count && !result; i++) {
        files[i] = fds[i].fd < 0 ? NULL : file_from_fd(fds[i].fd);
        host[i] = (struct pollfd){.fd = files[i] ? files[i]->host_fd : -1, .events = fds[i].events};
        fds[i].revents = fds[i].fd >= 0 && !files[i] ? POLLNVAL : 0;
        bad += fds[i].revents != 0;
    }
    while (!result) {
        int64_t left = bad ? 0 : deadline < 0 ? -1 : deadline - time_now(CLOCK_MONOTONIC);
        int64_t ts[2] = {left > 0 ? left / NS : 0, left > 0 ? left % NS : 0};
        untrusted_write(untrusted, host, size);
        untrusted_write(untrusted_time, ts, sizeof(ts));
        result = checked(ocall_syscall_intr(__NR_ppoll, (long)untrusted, count, left < 0 ? 0 : (long)untrusted_time, 0, 8, 0),
                         count);
        if (result != -EINTR)
            break;
        result = interrupted() ? -EINTR : 0;
        if (!result && deadline >= 0 && time_now(CLOCK_MONOTONIC) >= deadline)
            break;
    }
    if (result >= 0) {
        untrusted_read(host, untrusted, size);
        result = bad;
        for (uint32_t i = 0; i < count; i++) {
            if (!files[i])
                continue;
            fds[i].revents = host[i].revents & (fds[i].events | POLLERR | POLLHUP | POLLNVAL);
            result += fds[i].revents != 0;
        }
    }
    for (uint32_t i = 0; i < count && files; i++)
        file_put(files[i]);
    kfree(files);
    kfree(host);
    return result;
}

static long poll_user(void *user, uint64_t count, int64_t deadline)
{
    size_t size = count * sizeof(struct pollfd);

    if (count > MAX_POLL)
        return -EINVAL;
    struct pollfd *fds = kmalloc(size + 1);
    if (!fds)
        return -ENOMEM;
    long result = copy_from_user(fds, user, size) ? -EFAULT : poll_until(fds, (uint32_t)count, deadline);
    if (result >= 0 && copy_to_user(user, fds, size))
        result = -EFAULT;
    kfree(fds);
    return result;
}

/* The deadline of a timespec or (with scale 1000) timeval in application memory; NULL: never. */
static long deadline_of(const void *user, int64_t scale, int64_t *deadline)
{
    int64_t t[2];

    *deadline = -1;
    if (!user)
        return 0;
    if (copy_from_user(t, user, sizeof(t)))
        return -EFAULT;
    if (t[0] < 0 || t[1] < 0 || t[1] * scale >= NS)
        return -EINVAL;
    *deadline = time_now(CLOCK_MONOTONIC) + (t[0] > 1000000000 ? 1000000000 : t[0]) * NS + t[1] * scale;
    return 0;
}

static long take_mask(const void *user_mask, long size)
{
    uint64_t mask;

    if (!user_mask)
        return 0;
    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (copy_from_user(&mask, user_mask, sizeof(mask)))
        return -EFAULT;
    signals_set_temporary_mask(mask);
    return 0;
}

long sys_poll(SYSCALL_ARGS)
{
    int ms = (int)a2;
    return poll_user((void *)a0, (uint32_t)a1, ms < 0 ? -1 : time_now(CLOCK_MONOTONIC) + ms * 1000000ll);
}

long sys_ppoll(SYSCALL_ARGS)
{
    int64_t deadline;
    long status = deadline_of((void *)a2, 1, &deadline);

    if (!status)
        status = take_mask((void *)a3, a4);
    return status ? status : poll_user((void *)a0, (uint32_t)a1, deadline);
}

#define SELECT_LIMIT 1024
#define WORDS (SELECT_LIMIT / 64)
struct sets { uint64_t bits[3][WORDS]; };
static const short asked[3] = {POLLIN | POLLRDNORM | POLLHUP | POLLERR, POLLOUT | POLLWRNORM | POLLERR, POLLPRI};

static bool in_set(const uint64_t *set, int fd)
{
    return set[fd / 64] >> (fd % 64) & 1;
}

static long select_user(int n, void *const user[3], int64_t deadline)
{
    struct sets sets;
    struct pollfd *fds;
    uint32_t count = 0;
    size_t bytes = ((size_t)n + 63) / 64 * 8;

    if (n < 0)
        return -EINVAL;
    if (n > SELECT_LIMIT)
        return -EINVAL;
    memset(&sets, 0, sizeof(sets));
    for (int i = 0; i < 3; i++)
        if (user[i] && copy_from_user(sets.bits[i], user[i], bytes))
            return -EFAULT;
    fds = kzalloc(((size_t)n + 1) * sizeof(*fds));
    if (!fds)
        return -ENOMEM;
    for (int fd = 0; fd < n; fd++) {
        short events = 0;
        for (int i = 0; i < 3; i++)
            events |= in_set(sets.bits[i], fd) ? asked[i] : 0;
        if (events)
            fds[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    long result = poll_until(fds, count, deadline);
    if (result >= 0) {
        struct sets ready;
        memset(&ready, 0, sizeof(ready));
        result = 0;
        for (uint32_t k = 0; k < count; k++) {
            if (fds[k].revents & POLLNVAL)
                result = -EBADF;
            for (int i = 0; i < 3 && result >= 0; i++) {
                if (in_set(sets.bits[i], fds[k].fd) && (fds[k].revents & asked[i])) {
                    ready.bits[i][fds[k].fd / 64] |= 1ull << (fds[k].fd % 64);
                    result++;
                }
            }
            if (result < 0)
                break;
        }
        for (int i = 0; i < 3 && result >= 0; i++)
            if (user[i] && copy_to_user(user[i], ready.bits[i], bytes))
                result = -EFAULT;
    }
    kfree(fds);
    return result;
}

long sys_select(SYSCALL_ARGS)
{
    int64_t deadline;
    long status = deadline_of((void *)a4, 1000, &deadline);
    return status ? status : select_user((int)a0, (void *[]){(void *)a1, (void *)a2, (void *)a3}, deadline);
}

long sys_pselect6(SYSCALL_ARGS)
{
    struct { uint64_t mask, size; } sigmask = {0, 0};
    int64_t deadline;
    long status = deadline_of((void *)a4, 1, &deadline);

    if (!status && a5 && copy_from_user(&sigmask, (void *)a5, sizeof(sigmask)))
        status = -EFAULT;
    if (!status)
        status = take_mask((void *)sigmask.mask, (long)sigmask.size);
    return status ? status : select_user((int)a0, (void *[]){(void *)a1, (void *)a2, (void *)a3}, deadline);
}

/* ---- ioctl ------------------------------------------------------------------------------------------------------------- */

enum direction { BY_VALUE, TO_HOST, FROM_HOST };
static const struct { uint32_t request; enum direction direction; uint32_t size; } known[] = {
    {TCGETS, FROM_HOST, 36},    {TCSETS, TO_HOST, 36},     {TCSETSW, TO_HOST, 36},   {TCSETSF, TO_HOST, 36},
    {TCSBRK, BY_VALUE, 0},      {TCXONC, BY_VALUE, 0},     {TCFLSH, BY_VALUE, 0},    {TIOCGWINSZ, FROM_HOST, 8},
    {TIOCSWINSZ, TO_HOST, 8},   {TIOCGPGRP, FROM_HOST, 4}, {TIOCSPGRP, TO_HOST, 4},  {TIOCGSID, FROM_HOST, 4},
    {FIONREAD, FROM_HOST, 4},   {FIONBIO, TO_HOST, 4},     {TIOCOUTQ, FROM_HOST, 4},
};

static long host_ioctl(struct file *file, uint32_t request, long argument)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].request != request)
            continue;
        void *untrusted = bounce_alloc(known[i].size + 1);
        if (known[i].direction == TO_HOST && copy_user_to_untrusted(untrusted, (void *)argument, known[i].size))
            return -EFAULT;
        long result = checked(host_blocking(__NR_ioctl, file->host_fd, request,
                                            known[i].direction == BY_VALUE ? argument : (long)untrusted, 0, 0, 0), 0);
        if (!result && known[i].direction == FROM_HOST)
            result = copy_untrusted_to_user((void *)argument, untrusted, known[i].size);
        return result;
    }
    log_line(VIGIL_LOG_DEBUG, "ioctl 0x%x is not implemented: ENOTTY", request);
    return -ENOTTY;
}

long sys_ioctl(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    if (!file)
        return -EBADF;
    long result = host_ioctl(file, (uint32_t)a1, a2);
    file_put(file);
    return result;
}
