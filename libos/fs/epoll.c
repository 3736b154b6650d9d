/* SPDX-License-Identifier: Apache-2.0
 *
 * epoll. Objects inside forward their wake-ups to the set; files of the host are watched by an epoll set of the host,
 * which knows about edges. What the host reports is only believed of files it was asked about. */
#include "libos/fs/fs.h"
#include "libos/signal/signal.h"

#include <linux/eventpoll.h>
#include <linux/poll.h>
#include <linux/time.h>

#define EVENTS_MAX 4096
#define HOST_EVENTS 256         /* asked of the host at a time */
#define INPUT_FLAGS (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)
#define ALWAYS (EPOLLERR | EPOLLHUP)
#define NS_PER_MS 1000000ll
#define INT_LIMIT 0x7fffffff

struct event { uint32_t events; uint64_t data; } __attribute__((packed));

/* Holds no reference: a file that goes away leaves its sets (epoll_forget). */
struct interest {
    struct interest *next;
    struct file *file;
    int fd;
    bool disabled;              /* one shot, and fired */
    uint64_t id;                /* the host's name for it */
    struct event event;
    struct waiter waiter;       /* in the object's queue, if it is inside */
};

struct epoll {
    struct epoll *next;         /* all sets, under sets_lock */
    lock_t lock;
    struct interest *first;
    uint32_t on_host;
    uint64_t ids;
    struct wait_queue changed;
};

static lock_t sets_lock;        /* before a set's lock; nobody takes a table's under it */
static struct epoll *sets;
static const struct file_ops epoll_ops;

/* ---- interests, under the set's lock ----------------------------------------------------------------------------- */
static struct interest **find(struct epoll *e, int fd, const struct file *file)
{
    struct interest **at = &e->first;

    while (*at && ((*at)->fd != fd || (*at)->file != file))
        at = &(*at)->next;
    return at;
}

static bool is_on_host(const struct file *file)
{
    return file->host_fd >= 0;
}

static long host_control(const struct file *set, int operation, const struct interest *i)
{
    struct event event = {i->event.events, i->id};
    size_t mark = bounce_mark();
    const void *untrusted_event = host_put(&event, sizeof(event));
    long status = untrusted_event ? host_call(__NR_epoll_ctl, 0, set->host_fd, operation, i->file->host_fd,
                                              (long)untrusted_event, 0) : -ENOMEM;

    bounce_release(mark);
    return status;
}

static void listen(struct epoll *e, struct interest *i)
{
    if (i->file->ops->queue)
        wait_forward(i->file->ops->queue(i->file), &i->waiter, &e->changed);
}

static void forget(struct epoll *e, struct interest **at)
{
    struct interest *i = *at;

    *at = i->next;
    if (is_on_host(i->file))
        e->on_host--;
    else if (i->file->ops->queue)
        wait_remove(&i->waiter);
    __atomic_sub_fetch(&i->file->watchers, 1, __ATOMIC_RELAXED);
    kfree(i);
}

/* The last reference is gone; nobody can add it any more. */
void epoll_forget(struct file *file)
{
    if (!__atomic_load_n(&file->watchers, __ATOMIC_ACQUIRE))
        return;
    lock(&sets_lock);
    for (struct epoll *e = sets; e; e = e->next) {
        lock(&e->lock);
        for (struct interest **at = &e->first; *at;) {
            if ((*at)->file == file)
                forget(e, at);
            else
                at = &(*at)->next;
        }
        unlock(&e->lock);
    }
    unlock(&sets_lock);
}

/* ---- epoll_ctl --------------------------------------------------------------------------------------------------- */
static long add(struct file *set, int fd, struct file *file, const struct event *event)
{
    struct epoll *e = set->object;
    struct interest *i = kzalloc(sizeof(*i));
    long status = 0;

    if (!i)
        return -ENOMEM;
    *i = (struct interest){.file = file, .fd = fd, .event = *event, .id = ++e->ids};
    if (is_on_host(file))
        status = host_control(set, EPOLL_CTL_ADD, i);
    if (status) {
        kfree(i);
        return status;
    }
    if (is_on_host(file))
        e->on_host++;
    else
        listen(e, i);
    __atomic_add_fetch(&file->watchers, 1, __ATOMIC_RELEASE);
    i->next = e->first;
    e->first = i;
    return 0;
}

static long modify(struct file *set, struct interest *i, const struct event *event)
{
    struct event before = i->event;
    long status = 0;

    if (event->events & EPOLLEXCLUSIVE)
        return -EINVAL;
    i->event = *event;
    if (is_on_host(i->file))
        status = host_control(set, EPOLL_CTL_MOD, i);
    if (status) {
        i->event = before;
        return status;
    }
    i->disabled = false;
    __atomic_store_n(&i->waiter.event, true, __ATOMIC_RELEASE);
    return 0;
}

static long control(struct file *set, int operation, int fd, struct file *file, const struct event *event)
{
    struct epoll *e = set->object;
    long status;

    lock(&e->lock);
    struct interest **at = find(e, fd, file);
    if (operation == EPOLL_CTL_ADD) {
        status = *at ? -EEXIST : add(set, fd, file, event);
    } else if (!*at) {
        status = -ENOENT;
    } else if (operation == EPOLL_CTL_MOD) {
        status = modify(set, *at, event);
    } else {
        if (is_on_host(file))
            host_control(set, EPOLL_CTL_DEL, *at);
        forget(e, at);
        status = 0;
    }
    unlock(&e->lock);
    if (!status && operation != EPOLL_CTL_DEL)
        wait_wake(&e->changed);
    return status;
}

static long check_target(const struct file *file)
{
    if (file->ops == &epoll_ops) {
        log_line(VIGIL_LOG_DEBUG, "epoll_ctl: an epoll set in an epoll set is not supported: EINVAL");
        return -EINVAL;
    }
    if (file->flags & O_PATH)
        return -EBADF;
    return is_on_host(file) || file->ops->queue ? 0 : -EPERM;
}

long sys_epoll_ctl(SYSCALL_ARGS)
{
    struct file *set = file_from_fd((int)a0), *file = file_from_fd((int)a2);
    struct event event = {0};
    int operation = (int)a1;
    long status = 0;

    if (!set || !file)
        status = -EBADF;
    else if (set->ops != &epoll_ops || set == file || operation < EPOLL_CTL_ADD || operation > EPOLL_CTL_MOD)
        status = -EINVAL;
    else if (operation != EPOLL_CTL_DEL && copy_from_user(&event, (void *)a3, sizeof(event)))
        status = -EFAULT;
    else
        status = check_target(file);
    if (!status)
        status = control(set, operation, (int)a2, file, &event);
    if (set)
        file_put(set);
    if (file)
        file_put(file);
    return status;
}

/* ---- epoll_wait -------------------------------------------------------------------------------------------------- */
/* What is to be reported of an interest now, 0: nothing. An edge is one wake-up since the last report. */
static uint32_t report(struct interest *i, uint32_t ready)
{
    uint32_t bits = ready & (i->event.events | ALWAYS) & ~INPUT_FLAGS;

    if (i->disabled || !bits)
        return 0;
    bool edge = __atomic_exchange_n(&i->waiter.event, false, __ATOMIC_ACQ_REL);
    if (i->event.events & EPOLLET && !edge)
        return 0;
    i->disabled = i->event.events & EPOLLONESHOT;
    return bits;
}

static long collect_inside(struct epoll *e, struct event *events, long room)
{
    long n = 0;

    lock(&e->lock);
    for (struct interest *i = e->first; i && n < room; i = i->next) {
        /* A file whose last reference is just gone still has its object: it is freed after epoll_forget. */
        uint32_t bits = is_on_host(i->file) ? 0 : report(i, i->file->ops->ready(i->file));
        if (bits)
            events[n++] = (struct event){bits, i->event.data};
    }
    unlock(&e->lock);
    return n;
}

/* The host reports ids; only known ones of its own files count, with bits that were asked for. */
static long take_host_events(struct epoll *e, const struct event *untrusted_events, long reported, struct event *events)
{
    long n = 0;

    lock(&e->lock);
    for (long k = 0; k < reported; k++) {
        struct event got;
        untrusted_read(&got, &untrusted_events[k], sizeof(got));
        struct interest *i = e->first;
        while (i && (i->id != got.data || !is_on_host(i->file)))
            i = i->next;
        uint32_t bits = i ? got.events & (i->event.events | ALWAYS) & ~INPUT_FLAGS : 0;
        if (bits)
            events[n++] = (struct event){bits, i->event.data};
    }
    unlock(&e->lock);
    return n;
}

/* Waits ms (-1: for ever) in the host's set. */
static long ask_host(struct file *set, struct event *events, long room, long ms)
{
    size_t mark = bounce_mark();
    long most = room < HOST_EVENTS ? room : HOST_EVENTS, untrusted_result;
    struct event *untrusted_events = bounce_alloc((size_t)most * sizeof(*events));

    if (!untrusted_events)
        return -ENOMEM;
    if (ms)
        untrusted_result = ocall_syscall_intr(__NR_epoll_pwait, set->host_fd, (long)untrusted_events, most, ms, 0, 8);
    else
        untrusted_result = ocall_syscall(__NR_epoll_pwait, set->host_fd, (long)untrusted_events, most, 0, 0, 8);
    long result = untrusted_result == -EINTR ? 0 : host_result(__NR_epoll_pwait, untrusted_result, most);
    if (result > 0)
        result = take_host_events(set->object, untrusted_events, result, events);
    bounce_release(mark);
    return result;
}

/* One round of waiting; left in ns, < 0: for ever. interrupted() comes before the look, see wait.c. */
static long epoll_round(struct file *set, struct waiter *waiter, struct event *events, long room, int64_t left,
                        bool *stop)
{
    struct epoll *e = set->object;
    bool on_host = __atomic_load_n(&e->on_host, __ATOMIC_SEQ_CST);

    /* Said before the look: who changes an object after it knows where to find this thread. */
    __atomic_store_n(&waiter->in_host, on_host, __ATOMIC_SEQ_CST);
    int pending = interrupted();
    long inside = collect_inside(e, events, room), result = 0;

    *stop = pending || inside || !left;
    long ms = *stop ? 0 : left < 0 ? -1 : (left + NS_PER_MS - 1) / NS_PER_MS;
    if (inside < room && on_host)
        result = ask_host(set, events + inside, room - inside, ms > INT_LIMIT ? INT_LIMIT : ms);
    else if (!*stop)
        park(left);
    if (result < 0)
        return result;
    result += inside;
    *stop = *stop || result;
    return result || !pending ? result : -EINTR;
}

static long wait_for_events(struct file *set, struct event *events, long room, int64_t deadline)
{
    struct epoll *e = set->object;
    struct waiter waiter;
    long result = 0;
    bool stop = false;

    wait_add(&e->changed, &waiter, false);
    while (!stop) {
        int64_t left = deadline > 0 ? deadline - time_now(CLOCK_MONOTONIC) : deadline;
        if (deadline > 0 && left < 0)
            left = 0;
        result = epoll_round(set, &waiter, events, room, left, &stop);
        stop = stop || result < 0;
    }
    wait_remove(&waiter);
    return result;
}

/* deadline: CLOCK_MONOTONIC ns, 0: do not wait, -1: for ever */
static long do_wait(int fd, long user_events, long room, int64_t deadline)
{
    struct file *set = file_from_fd(fd);
    struct event *events = NULL;
    long result;

    if (room > EVENTS_MAX)
        room = EVENTS_MAX;
    if (!set)
        result = -EBADF;
    else if (set->ops != &epoll_ops || room <= 0)
        result = -EINVAL;
    else if (!user_range_ok((void *)user_events, (size_t)room * sizeof(*events)))
        result = -EFAULT;
    else if (!(events = kmalloc((size_t)room * sizeof(*events))))
        result = -ENOMEM;
    else
        result = wait_for_events(set, events, room, deadline);
    if (result > 0 && copy_to_user((void *)user_events, events, (size_t)result * sizeof(*events)))
        result = -EFAULT;
    kfree(events);
    if (set)
        file_put(set);
    return result;
}

static int64_t deadline_ms(int ms)
{
    return ms < 0 ? -1 : ms ? time_now(CLOCK_MONOTONIC) + ms * NS_PER_MS : 0;
}

long sys_epoll_wait(SYSCALL_ARGS)
{
    return do_wait((int)a0, a1, (int)a2, deadline_ms((int)a3));
}

long sys_epoll_pwait(SYSCALL_ARGS)
{
    long status = poll_set_mask(a4, a5);
    return status ? status : do_wait((int)a0, a1, (int)a2, deadline_ms((int)a3));
}

long sys_epoll_pwait2(SYSCALL_ARGS)
{
    int64_t deadline;
    long status = poll_read_deadline(a3, 1, &deadline);

    if (!status)
        status = poll_set_mask(a4, a5);
    return status ? status : do_wait((int)a0, a1, (int)a2, deadline);
}

/* ---- the set as a file ------------------------------------------------------------------------------------------- */
static long epoll_stat(struct file *file, struct stat *stat)
{
    (void)file;
    synthetic_stat(stat, 0600, 1);
    return 0;
}

static uint32_t epoll_ready(struct file *file)
{
    struct epoll *e = file->object;
    bool any = false;

    lock(&e->lock);
    for (struct interest *i = e->first; i && !any; i = i->next)
        any = !is_on_host(i->file) && !i->disabled && i->file->ops->ready(i->file) & (i->event.events | ALWAYS);
    unlock(&e->lock);
    return any ? POLLIN | POLLRDNORM : 0;
}

static struct wait_queue *epoll_queue(struct file *file)
{
    return &((struct epoll *)file->object)->changed;
}

static void epoll_release(struct file *file)
{
    struct epoll *e = file->object;

    lock(&sets_lock);
    struct epoll **at = &sets;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    lock(&e->lock);
    while (e->first)
        forget(e, &e->first);
    unlock(&e->lock);
    unlock(&sets_lock);
    host_close(file->host_fd);
    kfree(e);
}

static const struct file_ops epoll_ops = {
    .stat = epoll_stat,
    .ready = epoll_ready,
    .queue = epoll_queue,
    .release = epoll_release,
};

static long create(long flags)
{
    struct epoll *e;
    struct file *file;

    if (flags & ~(long)O_CLOEXEC)
        return -EINVAL;
    long host_fd = host_call(__NR_epoll_create1, INT_LIMIT, O_CLOEXEC, 0, 0, 0, 0);
    if (host_fd < 0)
        return host_fd;
    e = kzalloc(sizeof(*e));
    file = e ? file_new(&epoll_ops, O_RDWR, NULL) : NULL;
    if (!file) {
        kfree(e);
        host_close((int)host_fd);
        return -ENOMEM;
    }
    file->object = e;
    file->host_fd = (int)host_fd;
    lock(&sets_lock);
    e->next = sets;
    sets = e;
    unlock(&sets_lock);
    return fd_install(file, 0, flags & O_CLOEXEC);
}

long sys_epoll_create(SYSCALL_ARGS)
{
    return (int)a0 > 0 ? create(0) : -EINVAL;
}

long sys_epoll_create1(SYSCALL_ARGS)
{
    return create((int)a0);
}
