/* SPDX-License-Identifier: Apache-2.0
 *
 * poll and select. Files of the host are asked about by the host's poll; objects inside say themselves, and kick the
 * thread out of the host's poll when they change. */
#include "libos/fs/fs.h"
#include "libos/process/process.h"
#include "libos/signal/signal.h"

#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/time.h>

#define NS 1000000000ll
#define SECONDS_MAX 1000000000ll
#define ALWAYS (POLLERR | POLLHUP)

struct item {
    struct pollfd *asked;       /* fd, events; revents is filled in */
    struct file *file;          /* NULL: ignored, or not open */
    bool queued;
    struct waiter waiter;
};

struct poll {
    struct item *items;
    uint32_t count, on_host;
    struct pollfd *host;        /* one each for the files of the host, in order */
    void *untrusted_host, *untrusted_time;
};

static bool is_on_host(const struct item *item)
{
    return item->file && item->file->host_fd >= 0;
}

/* What is known here. What never makes anybody wait (a directory inside) is always ready. */
static uint32_t ready_inside(struct file *file)
{
    if (file->ops->ready)
        return file->ops->ready(file);
    return file->host_fd >= 0 ? 0 : POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
}

static long begin(struct poll *p, struct pollfd *fds, uint32_t count)
{
    *p = (struct poll){.count = count};
    p->items = kzalloc((count + 1) * sizeof(*p->items));
    if (!p->items)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        p->items[i].asked = &fds[i];
        p->items[i].file = fds[i].fd < 0 ? NULL : file_from_fd(fds[i].fd);
        p->on_host += is_on_host(&p->items[i]);
    }
    if (!p->on_host)
        return 0;
    p->host = kzalloc(p->on_host * sizeof(*p->host));
    p->untrusted_host = bounce_alloc(p->on_host * sizeof(*p->host));
    p->untrusted_time = bounce_alloc(16);
    if (!p->host || !p->untrusted_host || !p->untrusted_time)
        return -ENOMEM;
    for (uint32_t i = 0, k = 0; i < count; i++)
        if (is_on_host(&p->items[i]))
            p->host[k++] = (struct pollfd){.fd = p->items[i].file->host_fd, .events = fds[i].events};
    return 0;
}

static void listen(struct poll *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct item *item = &p->items[i];
        if (!item->file || !item->file->ops->queue || item->queued)
            continue;
        wait_add(item->file->ops->queue(item->file), &item->waiter, p->on_host != 0);
        item->queued = true;
    }
}

static void end(struct poll *p)
{
    for (uint32_t i = 0; p->items && i < p->count; i++) {
        if (p->items[i].queued)
            wait_remove(&p->items[i].waiter);
        if (p->items[i].file)
            file_put(p->items[i].file);
    }
    kfree(p->items);
    kfree(p->host);
}

/* Fills in what holds inside. How many have something. */
static uint32_t look_inside(struct poll *p)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        struct pollfd *asked = p->items[i].asked;
        struct file *file = p->items[i].file;
        asked->revents = 0;
        if (!file)
            asked->revents = asked->fd < 0 ? 0 : POLLNVAL;
        else
            asked->revents = (short)ready_inside(file) & (short)(asked->events | ALWAYS);
        found += asked->revents != 0;
    }
    return found;
}

/* Adds the host's bits, as far as they were asked for. How many have something that had nothing. */
static uint32_t take_host_answers(struct poll *p)
{
    uint32_t found = 0;

    untrusted_read(p->host, p->untrusted_host, p->on_host * sizeof(*p->host));
    for (uint32_t i = 0, k = 0; i < p->count; i++) {
        struct item *item = &p->items[i];
        if (!is_on_host(item))
            continue;
        short untrusted_bits = p->host[k].revents;
        if (untrusted_bits & POLLNVAL) /* it is open here, so this is the host's error */
            untrusted_bits |= POLLERR;
        untrusted_bits &= (short)(item->asked->events | ALWAYS);
        found += untrusted_bits && !item->asked->revents;
        item->asked->revents |= untrusted_bits;
        /* The copy is the next question too: it must not carry what the host made of it. */
        p->host[k++] = (struct pollfd){.fd = item->file->host_fd, .events = item->asked->events};
    }
    return found;
}

/* Waits left ns (<0: for ever) for the host's files, or for a kick. How many, 0, or -errno. */
static long ask_host(struct poll *p, int64_t left)
{
    int64_t ts[2] = {left > 0 ? left / NS : 0, left > 0 ? left % NS : 0};
    long untrusted_time = left < 0 ? 0 : (long)p->untrusted_time, untrusted_result;

    untrusted_write(p->untrusted_host, p->host, p->on_host * sizeof(*p->host));
    untrusted_write(p->untrusted_time, ts, sizeof(ts));
    if (left)
        untrusted_result = ocall_syscall_intr(__NR_ppoll, (long)p->untrusted_host, p->on_host, untrusted_time, 0, 8, 0);
    else
        untrusted_result = ocall_syscall(__NR_ppoll, (long)p->untrusted_host, p->on_host, untrusted_time, 0, 8, 0);
    if (untrusted_result == -EINTR)
        return 0;
    long result = host_result(__NR_ppoll, untrusted_result, p->on_host);
    return result > 0 ? (long)take_host_answers(p) : result;
}

/* One round: look, and if there is nothing, wait. interrupted() comes before the look, see wait.c. */
static long poll_round(struct poll *p, int64_t left, bool *stop)
{
    int pending = interrupted();
    uint32_t inside = look_inside(p);
    long result = 0;

    *stop = pending || inside || !left;
    if (p->on_host)
        result = ask_host(p, *stop ? 0 : left);
    else if (!*stop)
        park(left);
    if (result < 0)
        return result;
    result += inside;
    *stop = *stop || result;
    return result || !pending ? result : -EINTR;
}

static int64_t time_left(int64_t deadline)
{
    if (deadline < 0)
        return -1;
    int64_t left = deadline - time_now(CLOCK_MONOTONIC);
    return left > 0 ? left : 0;
}

/* Until deadline (CLOCK_MONOTONIC ns; 0: not at all; < 0: for ever). How many have something, or -errno. */
static long poll_until(struct pollfd *fds, uint32_t count, int64_t deadline)
{
    struct poll p;
    long result = begin(&p, fds, count);
    bool stop = result != 0;

    if (!stop && deadline)
        listen(&p);
    while (!stop) {
        result = poll_round(&p, deadline ? time_left(deadline) : 0, &stop);
        stop = stop || result < 0;
    }
    end(&p);
    return result;
}

static long poll_user(long user_fds, uint64_t count, int64_t deadline)
{
    size_t size = count * sizeof(struct pollfd);

    if (count > process_rlimit(RLIMIT_NOFILE))
        return -EINVAL;
    struct pollfd *fds = kmalloc(size + 1);
    if (!fds)
        return -ENOMEM;
    long result = size && copy_from_user(fds, (void *)user_fds, size) ? -EFAULT : 0;
    if (!result)
        result = poll_until(fds, (uint32_t)count, deadline);
    if (result >= 0 && size && copy_to_user((void *)user_fds, fds, size))
        result = -EFAULT;
    kfree(fds);
    return result;
}

/* ---- times and masks --------------------------------------------------------------------------------------------- */
/* The deadline of a timespec or (scale 1000) timeval of the application. 0 stays 0: not at all. */
long poll_read_deadline(long user, int64_t scale, int64_t *deadline)
{
    int64_t t[2];

    *deadline = -1;
    if (!user)
        return 0;
    if (copy_from_user(t, (void *)user, sizeof(t)))
        return -EFAULT;
    if (t[0] < 0 || t[1] < 0 || t[1] >= NS / scale)
        return -EINVAL;
    int64_t ns = (t[0] > SECONDS_MAX ? SECONDS_MAX : t[0]) * NS + t[1] * scale;
    *deadline = ns ? time_now(CLOCK_MONOTONIC) + ns : 0;
    return 0;
}

/* Linux gives back what is left of the time, and does not mind if it cannot. */
static long give_time_left(long result, long user, int64_t scale, int64_t deadline)
{
    if (user && deadline > 0) {
        int64_t left = time_left(deadline), t[2] = {left / NS, left % NS / scale};
        (void)!copy_to_user((void *)user, t, sizeof(t));
    }
    return result;
}

long poll_set_mask(long user_mask, long size)
{
    uint64_t mask;

    if (!user_mask)
        return 0;
    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (copy_from_user(&mask, (void *)user_mask, sizeof(mask)))
        return -EFAULT;
    signals_set_temporary_mask(mask);
    return 0;
}

long sys_poll(SYSCALL_ARGS)
{
    int ms = (int)a2;
    int64_t deadline = ms < 0 ? -1 : ms ? time_now(CLOCK_MONOTONIC) + ms * 1000000ll : 0;

    return poll_user(a0, (uint32_t)a1, deadline);
}

long sys_ppoll(SYSCALL_ARGS)
{
    int64_t deadline;
    long status = poll_read_deadline(a2, 1, &deadline);

    if (!status)
        status = poll_set_mask(a3, a4);
    return status ? status : give_time_left(poll_user(a0, (uint32_t)a1, deadline), a2, 1, deadline);
}

/* ---- select ------------------------------------------------------------------------------------------------------ */
/* What select means by readable, writable, exceptional. */
static const short meaning[3] = {
    POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR, POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR, POLLPRI};

struct sets {
    uint32_t n, words;
    uint64_t *set[3];           /* asked for, then what holds; one allocation */
    struct pollfd *fds;
    uint32_t count;
};

static bool in_set(const uint64_t *set, uint32_t fd)
{
    return set[fd / 64] >> (fd % 64) & 1;
}

static long read_sets(struct sets *s, const long user[3])
{
    s->words = (s->n + 63) / 64;
    s->set[0] = kzalloc((3 * s->words + 1) * sizeof(uint64_t));
    s->fds = kzalloc((s->n + 1) * sizeof(*s->fds));
    if (!s->set[0] || !s->fds)
        return -ENOMEM;
    for (int i = 0; i < 3; i++) {
        s->set[i] = s->set[0] + i * s->words;
        if (user[i] && s->words && copy_from_user(s->set[i], (void *)user[i], s->words * sizeof(uint64_t)))
            return -EFAULT;
    }
    for (uint32_t fd = 0; fd < s->n; fd++) {
        short events = 0;
        for (int i = 0; i < 3; i++)
            events |= in_set(s->set[i], fd) ? meaning[i] : 0;
        if (events)
            s->fds[s->count++] = (struct pollfd){.fd = (int)fd, .events = events};
    }
    return 0;
}

/* From revents to sets. How many bits, or -EBADF. */
static long make_sets(struct sets *s)
{
    long bits = 0;

    for (uint32_t k = 0; k < s->count; k++) {
        uint32_t fd = (uint32_t)s->fds[k].fd;
        if (s->fds[k].revents & POLLNVAL)
            return -EBADF;
        for (int i = 0; i < 3; i++) {
            if (!in_set(s->set[i], fd))
                continue;
            if (s->fds[k].revents & meaning[i])
                bits++;
            else
                s->set[i][fd / 64] &= ~(1ull << (fd % 64));
        }
    }
    return bits;
}

static long select_user(long n, const long user[3], int64_t deadline)
{
    struct sets s = {.n = (uint32_t)n};

    if ((int)n < 0)
        return -EINVAL;
    if (s.n > fd_table_size())
        s.n = fd_table_size();
    long result = read_sets(&s, user);
    if (!result)
        result = poll_until(s.fds, s.count, deadline);
    if (result >= 0)
        result = make_sets(&s);
    for (int i = 0; i < 3 && result >= 0; i++)
        if (user[i] && s.words && copy_to_user((void *)user[i], s.set[i], s.words * sizeof(uint64_t)))
            result = -EFAULT;
    kfree(s.set[0]);
    kfree(s.fds);
    return result;
}

long sys_select(SYSCALL_ARGS)
{
    int64_t deadline;
    long status = poll_read_deadline(a4, 1000, &deadline);

    if (status)
        return status;
    return give_time_left(select_user(a0, (const long[]){a1, a2, a3}, deadline), a4, 1000, deadline);
}

long sys_pselect6(SYSCALL_ARGS)
{
    struct { long mask, size; } sigmask = {0, 0};
    int64_t deadline;
    long status = poll_read_deadline(a4, 1, &deadline);

    if (!status && a5 && copy_from_user(&sigmask, (void *)a5, sizeof(sigmask)))
        status = -EFAULT;
    if (!status)
        status = poll_set_mask(sigmask.mask, sigmask.size);
    if (status)
        return status;
    return give_time_left(select_user(a0, (const long[]){a1, a2, a3}, deadline), a4, 1, deadline);
}
