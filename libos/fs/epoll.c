/* SPDX-License-Identifier: Apache-2.0
 *
 * epoll. Objects inside forward their wake-ups to the set; files of the host are watched by an epoll set of the host,
 * which knows about edges. What the host reports is only believed of files it was asked about, and of a one-shot interest once.
 * A wait looks at the objects inside and makes one call of the host, however many files of the host there are. */
#include "libos/fs/epoll.h"
#include "libos/signal/signal.h"

#include <linux/eventpoll.h>
#include <linux/poll.h>
#include <linux/time.h>

#define EVENTS_MAX 256          /* at a time: who wants more asks again */
#define BUCKETS_FIRST 16u
#define INPUT_FLAGS (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)
#define ALWAYS (EPOLLERR | EPOLLHUP)
#define NS_PER_MS 1000000ll
#define INT_LIMIT 0x7fffffff

static lock_t sets_lock;        /* before a set's lock; nobody takes a table's under it */
static lock_t files_lock;       /* the files' lists of interests; the last one taken */
static struct epoll *sets;

/* ---- interests, under the set's lock ----------------------------------------------------------------------------- */
static struct interest **bucket(const struct epoll *e, uint32_t fd)
{
    return &e->buckets[fd & (e->size - 1)];
}

static struct interest *find(const struct epoll *e, int fd, const struct file *file)
{
    struct interest *i = e->size ? *bucket(e, (uint32_t)fd) : NULL;

    while (i && (i->fd != fd || i->file != file))
        i = i->next;
    return i;
}

static struct interest *find_id(const struct epoll *e, uint64_t untrusted_id)
{
    struct interest *i = e->size ? *bucket(e, (uint32_t)untrusted_id) : NULL;

    while (i && i->id != untrusted_id)
        i = i->next;
    return i;
}

/* Room for one more. */
static long grow(struct epoll *e)
{
    struct epoll larger = {.size = e->size ? 2 * e->size : BUCKETS_FIRST};

    if (e->count < e->size)
        return 0;
    larger.buckets = kzalloc(larger.size * sizeof(*larger.buckets));
    if (!larger.buckets)
        return -ENOMEM;
    for (uint32_t k = 0; k < e->size; k++) {
        for (struct interest *i = e->buckets[k], *next; i; i = next) {
            struct interest **to = bucket(&larger, (uint32_t)i->fd);
            next = i->next;
            i->next = *to;
            *to = i;
        }
    }
    kfree(e->buckets);
    e->buckets = larger.buckets;
    e->size = larger.size;
    return 0;
}

/* What the host says of an interest as it was before it was changed is not said of what it is now. */
static uint64_t new_id(struct epoll *e, int fd)
{
    return (uint64_t)++e->ids << 32 | (uint32_t)fd;
}

static bool is_on_host(const struct file *file)
{
    return file->host_fd >= 0;
}

/* A set is both: what it watches of the host's makes the host's set ready, the rest is known here. */
static bool is_inside(const struct file *file)
{
    return !is_on_host(file) || file->ops == &epoll_ops;
}

static long host_control(const struct file *set, int operation, const struct interest *i)
{
    struct event event = {i->disabled ? 0 : i->event.events, i->id};
    size_t mark = bounce_mark();
    const void *untrusted_event = host_put(&event, sizeof(event));
    long status = untrusted_event ? host_call(__NR_epoll_ctl, 0, set->host_fd, operation, i->file->host_fd,
                                              (long)untrusted_event, 0) : -ENOMEM;

    bounce_release(mark);
    return status;
}

static void link_inside(struct epoll *e, struct interest *i)
{
    i->next_inside = e->inside;
    i->at_inside = &e->inside;
    if (e->inside)
        e->inside->at_inside = &i->next_inside;
    e->inside = i;
    if (i->file->ops->queue)
        wait_forward(i->file->ops->queue(i->file), &i->waiter, &e->changed);
}

static void unlink_inside(struct interest *i)
{
    *i->at_inside = i->next_inside;
    if (i->next_inside)
        i->next_inside->at_inside = i->at_inside;
    if (i->file->ops->queue)
        wait_remove(&i->waiter);
}

static void link_to_file(struct interest *i)
{
    lock(&files_lock);
    i->next_of_file = i->file->interests;
    i->at_of_file = &i->file->interests;
    if (i->next_of_file)
        i->next_of_file->at_of_file = &i->next_of_file;
    __atomic_store_n(&i->file->interests, i, __ATOMIC_RELEASE);
    unlock(&files_lock);
}

static void unlink_from_file(struct interest *i)
{
    lock(&files_lock);
    __atomic_store_n(i->at_of_file, i->next_of_file, __ATOMIC_RELEASE);
    if (i->next_of_file)
        i->next_of_file->at_of_file = i->at_of_file;
    unlock(&files_lock);
}

static void forget(struct epoll *e, struct interest *i)
{
    struct interest **at = bucket(e, (uint32_t)i->fd);

    while (*at != i)
        at = &(*at)->next;
    *at = i->next;
    e->count--;
    if (is_on_host(i->file))
        e->on_host--;
    if (is_inside(i->file))
        unlink_inside(i);
    unlink_from_file(i);
    kfree(i);
}

/* The last reference is gone: nobody can add it any more, and who removes a set holds sets_lock. */
void epoll_forget(struct file *file)
{
    if (!__atomic_load_n(&file->interests, __ATOMIC_ACQUIRE))
        return;
    lock(&sets_lock);
    while (file->interests) {
        struct epoll *e = file->interests->set;
        lock(&e->lock);
        forget(e, file->interests);
        unlock(&e->lock);
    }
    unlock(&sets_lock);
}

/* ---- epoll_ctl --------------------------------------------------------------------------------------------------- */
static long add(struct file *set, int fd, struct file *file, const struct event *event)
{
    struct epoll *e = set->object;
    long status = grow(e);
    struct interest *i = status ? NULL : kzalloc(sizeof(*i));

    if (!i)
        return -ENOMEM;
    *i = (struct interest){.set = e, .file = file, .fd = fd, .event = *event, .id = new_id(e, fd)};
    if (is_on_host(file))
        status = host_control(set, EPOLL_CTL_ADD, i);
    if (status) {
        kfree(i);
        return status;
    }
    struct interest **at = bucket(e, (uint32_t)fd);
    i->next = *at;
    *at = i;
    e->count++;
    if (is_on_host(file))
        e->on_host++;
    if (is_inside(file))
        link_inside(e, i);
    link_to_file(i);
    return 0;
}

static long modify(struct file *set, struct interest *i, const struct event *event)
{
    struct event before = i->event;
    uint64_t id = i->id;
    bool disabled = i->disabled;
    long status = 0;

    if (event->events & EPOLLEXCLUSIVE)
        return -EINVAL;
    i->event = *event;
    i->id = new_id(set->object, i->fd);
    i->disabled = false;
    if (is_on_host(i->file))
        status = host_control(set, EPOLL_CTL_MOD, i);
    if (status) {
        i->event = before;
        i->id = id;
        i->disabled = disabled;
        return status;
    }
    __atomic_store_n(&i->waiter.event, true, __ATOMIC_RELEASE);
    return 0;
}

static long control(struct file *set, int operation, int fd, struct file *file, const struct event *event)
{
    struct epoll *e = set->object;
    long status;

    lock(&e->lock);
    struct interest *i = find(e, fd, file);
    if (operation == EPOLL_CTL_ADD) {
        status = i ? -EEXIST : add(set, fd, file, event);
    } else if (!i) {
        status = -ENOENT;
    } else if (operation == EPOLL_CTL_MOD) {
        status = modify(set, i, event);
    } else {
        if (is_on_host(file))
            host_control(set, EPOLL_CTL_DEL, i);
        forget(e, i);
        status = 0;
    }
    unlock(&e->lock);
    if (!status && operation != EPOLL_CTL_DEL)
        wait_wake(&e->changed);
    return status;
}

/* ---- sets in sets ------------------------------------------------------------------------------------------------ */
static long control_nested(struct file *set, int operation, int fd, struct file *file, const struct event *event)
{
    long status = 0;

    lock(&sets_lock);
    if (operation == EPOLL_CTL_ADD && event->events & EPOLLEXCLUSIVE)
        status = -EINVAL;
    else if (operation == EPOLL_CTL_ADD && !epoll_may_nest(file->object, set->object))
        status = -ELOOP;
    if (!status)
        status = control(set, operation, fd, file, event);
    unlock(&sets_lock);
    return status;
}

static long check_target(const struct file *file)
{
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
        status = (file->ops == &epoll_ops ? control_nested : control)(set, operation, (int)a2, file, &event);
    if (set)
        file_put(set);
    if (file)
        file_put(file);
    return status;
}

/* ---- epoll_wait -------------------------------------------------------------------------------------------------- */
/* What is to be reported of an interest now, 0: nothing. An edge is one wake-up since the last report. */
static uint32_t would_report(struct interest *i, uint32_t ready)
{
    uint32_t bits = ready & (i->event.events | ALWAYS) & ~INPUT_FLAGS;
    bool edge = __atomic_load_n(&i->waiter.event, __ATOMIC_ACQUIRE);

    return i->disabled || (i->event.events & EPOLLET && !edge) ? 0 : bits;
}

static uint32_t report(struct interest *i, uint32_t ready)
{
    uint32_t bits = would_report(i, ready);

    if (!bits)
        return 0;
    bool edge = __atomic_exchange_n(&i->waiter.event, false, __ATOMIC_ACQ_REL);
    if (i->event.events & EPOLLET && !edge)
        return 0;
    i->disabled = i->event.events & EPOLLONESHOT;
    return bits;
}

/* Is it this round's first report? */
static bool first_report(struct interest *i, uint32_t round)
{
    bool first = i->round != round;

    i->round = round;
    return first;
}

/* The next look begins behind this one: with little room everybody has a turn. */
static void begin_behind(struct epoll *e, struct interest *last)
{
    struct interest *first = last->next_inside, *end = last;

    if (!first)
        return;
    while (end->next_inside)
        end = end->next_inside;
    last->next_inside = NULL;
    end->next_inside = e->inside;
    e->inside->at_inside = &end->next_inside;
    e->inside = first;
    first->at_inside = &e->inside;
}

static long collect_inside(const struct file *set, struct event *events, long room, uint32_t round)
{
    struct epoll *e = set->object;
    struct interest *last = NULL;
    long n = 0;

    lock(&e->lock);
    for (struct interest *i = e->inside; i && n < room; i = i->next_inside) {
        /* A file whose last reference is just gone still has its object: it is freed after epoll_forget. */
        uint32_t bits = report(i, i->file->ops->ready(i->file));
        if (bits && i->disabled && is_on_host(i->file))
            host_control(set, EPOLL_CTL_MOD, i); /* it does not know */
        if (bits && first_report(i, round)) {
            events[n++] = (struct event){bits, i->event.data};
            last = i;
        }
    }
    if (room && n == room)
        begin_behind(e, last);
    unlock(&e->lock);
    return n;
}

/* Only known ids of files of the host count, with bits that were asked for; a one-shot interest until it has fired. */
static long take_host_events(struct epoll *e, const struct event *untrusted_events, long reported, struct event *events,
                             uint32_t round)
{
    long n = 0;

    lock(&e->lock);
    for (long k = 0; k < reported; k++) {
        struct event got;
        untrusted_read(&got, &untrusted_events[k], sizeof(got));
        struct interest *i = find_id(e, got.data);
        if (!i || !is_on_host(i->file) || i->disabled)
            continue;
        uint32_t bits = got.events & (i->event.events | ALWAYS) & ~INPUT_FLAGS;
        if (!bits || !first_report(i, round))
            continue;
        i->disabled = i->event.events & EPOLLONESHOT;
        events[n++] = (struct event){bits, i->event.data};
    }
    unlock(&e->lock);
    return n;
}

/* Waits ms (-1: for ever) in the host's set. */
static long ask_host(struct file *set, struct event *events, long room, long ms, uint32_t round)
{
    size_t mark = bounce_mark();
    struct event *untrusted_events = bounce_alloc((size_t)room * sizeof(*events));
    long untrusted_result;

    if (!untrusted_events)
        return -ENOMEM;
    if (ms)
        untrusted_result = ocall_syscall_intr(__NR_epoll_pwait, set->host_fd, (long)untrusted_events, room, ms, 0, 8);
    else
        untrusted_result = ocall_syscall(__NR_epoll_pwait, set->host_fd, (long)untrusted_events, room, 0, 0, 8);
    long result = untrusted_result == -EINTR ? 0 : host_result(__NR_epoll_pwait, untrusted_result, room);
    if (result > 0)
        result = take_host_events(set->object, untrusted_events, result, events, round);
    bounce_release(mark);
    return result;
}

/* Inside took all the room last time, so the host is asked before. How many, or -errno. */
static long host_turn(struct file *set, struct event *events, long room, uint32_t round)
{
    struct epoll *e = set->object;

    if (!__atomic_exchange_n(&e->host_first, false, __ATOMIC_RELAXED))
        return 0;
    return ask_host(set, events, room, 0, round);
}

/* One round of waiting; left in ns, < 0: for ever. interrupted() comes before the look, see wait.c. */
static long epoll_round(struct file *set, struct waiter *waiter, struct event *events, long room, int64_t left,
                        bool *stop)
{
    struct epoll *e = set->object;
    bool on_host = __atomic_load_n(&e->on_host, __ATOMIC_SEQ_CST);
    uint32_t round = __atomic_add_fetch(&e->rounds, 1, __ATOMIC_RELAXED);

    /* Said before the look: who changes an object after it knows where to find this thread. */
    __atomic_store_n(&waiter->in_host, on_host, __ATOMIC_SEQ_CST);
    int pending = interrupted();
    long found = on_host ? host_turn(set, events, room, round) : 0;
    if (found < 0)
        return found;
    bool asked = found > 0;
    found += collect_inside(set, events + found, room - found, round);
    *stop = pending || found || !left;
    long ms = *stop ? 0 : left < 0 ? -1 : (left + NS_PER_MS - 1) / NS_PER_MS, result = 0;
    if (on_host && !asked && found == room)
        __atomic_store_n(&e->host_first, true, __ATOMIC_RELAXED);
    else if (on_host && !asked)
        result = ask_host(set, events + found, room - found, ms > INT_LIMIT ? INT_LIMIT : ms, round);
    else if (!*stop)
        park(left);
    if (result < 0)
        return found ? found : result;
    found += result;
    *stop = *stop || found;
    return found || !pending ? found : -EINTR;
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
    for (struct interest *i = e->inside; i && !any; i = i->next_inside)
        any = would_report(i, i->file->ops->ready(i->file));
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
    for (uint32_t k = 0; k < e->size; k++)
        while (e->buckets[k])
            forget(e, e->buckets[k]);
    unlock(&e->lock);
    unlock(&sets_lock);
    host_close(file->host_fd);
    kfree(e->buckets);
    kfree(e);
}

const struct file_ops epoll_ops = {
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
    e->file = file;
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
