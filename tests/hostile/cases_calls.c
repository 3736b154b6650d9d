/* SPDX-License-Identifier: Apache-2.0
 *
 * Lies in the answers to system calls on files, time, events and threads. */
#include "tests/hostile/hostile.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define FUTEX_COMMAND 127

/* ---- structures ---- */
/* struct stat with one field changed: value is its offset, and what is written there is all ones. */
static uint64_t lie_stat(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    memset((char *)c->a[c->exit->args[0] == SYS_fstat ? 1 : 2] + hostile_now->value, 0xff, 8);
    return result;
}

/* A record of a directory: value says what is wrong with it. */
static uint64_t lie_records(struct lie_call *c)
{
    char *at = (char *)c->a[1];
    struct dirent64 *d = (void *)at;

    memset(at, 0, 64);
    d->d_ino = 1;
    d->d_reclen = 24;
    memcpy(d->d_name, "abc", 4);
    switch (hostile_now->value) {
    case 0:
        d->d_reclen = 0;
        break;
    case 1:
        d->d_reclen = 60000;
        break;
    case 2:
        memset(d->d_name, 'x', 5);
        d->d_reclen = 24;
        break;
    case 3:
        memcpy(d->d_name, "a/b", 4);
        break;
    case 4:
        d->d_reclen = 16;
        break;
    default:
        return 23; /* half a record */
    }
    return 24;
}

static uint64_t lie_poll(struct lie_call *c)
{
    struct pollfd *p = (void *)c->a[0];

    for (uint64_t i = 0; i < c->a[1]; i++)
        p[i] = (struct pollfd){.fd = -7, .events = -1, .revents = -1};
    return (uint64_t)hostile_now->value;
}

/* Events of descriptors that nobody watches. */
static uint64_t lie_epoll(struct lie_call *c)
{
    struct epoll_event *e = (void *)c->a[1];

    for (int i = 0; i < hostile_now->value && i < 4; i++)
        e[i] = (struct epoll_event){.events = ~0u, .data.u64 = 0xdead0000u + (unsigned)i};
    return c->nth < 3 ? (uint64_t)hostile_now->value : c->honest(c);
}

static uint64_t lie_fill(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    long nr = (long)c->exit->args[0];
    int which = nr == SYS_sched_getaffinity ? 2 : 1;
    memset((void *)c->a[which], (int)hostile_now->value, nr == SYS_statfs ? 120 : 16);
    return result;
}

static uint64_t lie_fionread(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    memset((void *)c->a[2], 0xff, 4);
    return result;
}

static uint64_t lie_expired(struct lie_call *c)
{
    *(int64_t *)c->a[1] = hostile_now->value;
    return 8;
}

/* ---- contents: short, long, none ---- */
static uint64_t lie_half(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    return (int64_t)result > 1 ? result / 2 : result;
}

/* Writes behind what was asked for, too: the bounce memory is the host's. */
static uint64_t lie_scribble(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    memset((char *)c->a[1] + 100, 'S', 5000);
    return result;
}

/* ---- time ---- */
static uint64_t lie_time(struct lie_call *c)
{
    struct timespec *t = (void *)c->a[1];
    uint64_t result = c->honest(c);

    switch (hostile_now->value) {
    case 0: /* backwards, a second a call */
        t->tv_sec -= c->nth;
        break;
    case 1:
        t->tv_nsec = 2000000000;
        break;
    case 2:
        t->tv_sec = -5;
        break;
    case 3: /* stands still */
        *t = (struct timespec){1000, 0};
        break;
    case 4:
        t->tv_sec = INT64_MAX;
        break;
    case 6: /* once, an hour ago */
        t->tv_sec -= c->nth == 1 ? 3600 : 0;
        break;
    default: /* not written at all */
        memset(t, 0xff, sizeof(*t));
    }
    return result;
}

static uint64_t lie_old_timer(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    memset((void *)c->a[c->exit->args[0] == SYS_setitimer ? 2 : 1], 0xff, sizeof(struct itimerval));
    return result;
}

/* ---- events and waiting ---- */
/* All signals there are. */
static uint64_t lie_events(struct lie_call *c)
{
    __atomic_or_fetch(&c->thread->shared.pending, (uint64_t)hostile_now->value, __ATOMIC_SEQ_CST);
    return c->honest(c);
}

/* Waiting does not wait. */
static uint64_t lie_at_once(struct lie_call *c)
{
    if ((c->a[1] & FUTEX_COMMAND) != 0 /* FUTEX_WAIT */)
        return c->honest(c);
    return c->nth < 20000 ? (uint64_t)hostile_now->value : c->honest(c);
}

/* Waking wakes nobody the first few times; the word is changed as ever. */
static uint64_t lie_interrupted(struct lie_call *c)
{
    return c->nth < hostile_now->value ? (uint64_t)-EINTR : c->honest(c);
}

/* ---- threads ---- */
static uint64_t lie_start_and_fail(struct lie_call *c)
{
    (void)c->honest(c);
    /* 1: it runs, and has made an OCALL, before the answer is there. Ten seconds at most. */
    for (int i = 0; hostile_now->value == 1 && i < 10000 && atomic_load(&hostile_last_caller) == c->thread; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return (uint64_t)-EAGAIN;
}

static void *enter_slot(void *arg)
{
    struct host_thread *thread = arg;
    struct host_exit exit;
    int ends = 0;

    if (backend->thread_init(99))
        return NULL;
    host_current = thread;
    enclave_enter(thread, (uint64_t)&thread->shared, &exit);
    (void)host_ocall(thread, &exit, &ends);
    return NULL;
}

/* Enters a thread block that nobody asked for. */
static uint64_t lie_other_slot(struct lie_call *c)
{
    struct host_exit other = *c->exit;
    pthread_t id;

    (void)c;
    if (host_thread_start(3) && pthread_create(&id, NULL, enter_slot, host_thread_at(3)))
        return (uint64_t)-EAGAIN;
    c->exit = &other;
    return c->honest(c);
}

static uint64_t lie_twice(struct lie_call *c)
{
    (void)c->honest(c);
    return c->honest(c); /* the slot is taken: waits until its first thread is over */
}

#define R(name, call, result, expected) {name, SYS_##call, lie_result, result, expected, 0, NULL}
#define A(name, call, result, expected) {name, SYS_##call, lie_after_all, result, expected, 0, NULL}
#define L(name, call, lie, param, expected) {name, SYS_##call, lie, param, expected, 0, NULL}

const struct hostile_case hostile_calls[] = {
    /* results that cannot be */
    A("read", read, 101, "read: EIO"), A("read", read, INT64_MAX, "read: EIO"), A("read", read, INT64_MIN, "read: EIO"),
    A("read", read, -134, "read: EIO"), A("read", read, -4096, "read: EIO"), A("read", read, 1l << 32, "read: EIO"),
    A("read", read, -512, "read: EIO"), R("read", read, -EFAULT, "read: EFAULT"), R("read", read, -EBADF, "read: EBADF"),
    L("read", read, lie_for_ever, 0, "read: EIO|read: EINTR"), L("read", read, lie_interrupted, 50, "="),
    L("read", read, lie_scribble, 0, "="), R("read_all", read, 0, "read_all: 0 *"), L("read_all", read, lie_half, 0, "read_all: 5000 *"),
    A("pread", pread64, 101, "pread: EIO"), A("pread", pread64, -4000, "pread: EIO"),
    L("pread", pread64, lie_for_ever, 0, "pread: EIO"),
    A("write", write, 11, "write: EIO"), A("write", write, -4096, "write: EIO"), A("write", write, INT64_MAX, "write: EIO"),
    L("write", write, lie_for_ever, 0, "write: EIO|write: EINTR"),
    A("lseek", lseek, -600, "lseek: EIO"), L("lseek", lseek, lie_for_ever, 0, "lseek: EIO"),
    A("open", openat, 1l << 40, "open: EIO"), A("open", openat, -4000, "open: EIO"), R("open", openat, INT64_MIN, "open: EIO"),
    R("open", openat, 700, "open: EBADF"), /* a descriptor never opened */
    A("ftruncate", ftruncate, 1, "ftruncate: EIO"), A("fsync", fsync, 7, "fsync: EIO"), A("flock", flock, 5, "flock: EIO"),
    A("mkdir", mkdirat, 3, "mkdir: EIO"), A("sendfile", sendfile, 101, "sendfile: EIO"),
    A("copy_range", copy_file_range, 1000, "copy_range: EIO"), L("copy_range", copy_file_range, lie_for_ever, 0, "copy_range: EIO"),
    L("fsync", fsync, lie_for_ever, 0, "fsync: EIO"),
    A("readlink", readlinkat, 5000, "readlink: EIO"), A("readlink", readlinkat, -134, "readlink: EIO"),
    A("mmap", pread64, 1 << 20, "mmap: EIO"), R("mmap", pread64, -EIO, "mmap: EIO"), L("mmap", pread64, lie_half, 0, "="),
    A("msync", pwrite64, 100000, "msync: EIO"), R("msync", pwrite64, -ENOSPC, "msync: ENOSPC"),

    /* structures */
    L("stat", newfstatat, lie_stat, offsetof(struct stat, st_mode), "stat: EIO"),
    L("stat", newfstatat, lie_stat, offsetof(struct stat, st_size), "stat: EIO"),
    L("stat", newfstatat, lie_stat, offsetof(struct stat, st_blksize), "stat: EIO"),
    L("fstat", fstat, lie_stat, offsetof(struct stat, st_size), "fstat: EIO"),
    L("fstat", fstat, lie_stat, offsetof(struct stat, st_mtim.tv_nsec), "fstat: EIO"),
    L("fstat", fstat, lie_stat, offsetof(struct stat, st_blocks), "fstat: EIO"),
    L("getdents", getdents64, lie_records, 0, "getdents: EIO"), L("getdents", getdents64, lie_records, 1, "getdents: EIO"),
    L("getdents", getdents64, lie_records, 2, "getdents: EIO"), L("getdents", getdents64, lie_records, 3, "getdents: EIO"),
    L("getdents", getdents64, lie_records, 4, "getdents: EIO"), L("getdents", getdents64, lie_records, 5, "getdents: EIO"),
    A("getdents", getdents64, 5000, "getdents: EIO"),
    L("poll", ppoll, lie_poll, 3, "poll: EIO|="), L("poll", ppoll, lie_poll, -4096, "poll: EIO|="),
    L("poll", ppoll, lie_for_ever, 0, "=|poll: EIO|poll: 0 *"),
    L("epoll", epoll_pwait, lie_epoll, 1, "="), L("epoll", epoll_pwait, lie_epoll, 4, "="),
    L("epoll", epoll_pwait, lie_result, 5000, "epoll: EIO"), L("epoll", epoll_pwait, lie_result, -134, "epoll: EIO"),
    L("epoll", epoll_pwait, lie_for_ever, 0, "=|epoll: EIO"),
    L("statfs", statfs, lie_fill, 0xff, "statfs: EIO"), L("fionread", ioctl, lie_fionread, 0, "=|fionread: EIO|fionread: 0 ffffffff*"),
    L("affinity", sched_getaffinity, lie_fill, 0, "="), A("affinity", sched_getaffinity, 4096, "affinity: EINVAL"),
    A("affinity", sched_getaffinity, -134, "affinity: EINVAL"), L("rusage", getrusage, lie_fill, 0xff, "rusage: EINVAL"),
    A("rusage", getrusage, -4096, "rusage: EINVAL"),
    {"eventfd", ANY_SYSCALL, lie_after_all, -4096, "=", 0, NULL}, {"pipe", ANY_SYSCALL, lie_after_all, -4096, "=", 0, NULL},

    /* time */
    L("monotonic", clock_gettime, lie_time, 0, "="), L("monotonic", clock_gettime, lie_time, 1, "=|stop:not a time"),
    L("monotonic", clock_gettime, lie_time, 2, "=|stop:not a time"), L("monotonic", clock_gettime, lie_time, 3, "="),
    L("monotonic", clock_gettime, lie_time, 4, "=|stop:not a time"), L("realtime", clock_gettime, lie_time, 5, "=|stop:not a time"),
    A("realtime", clock_gettime, -134, "=|stop:not a time"), A("realtime", clock_gettime, -EINVAL, "=|realtime: EINVAL"),
    L("sleep", clock_gettime, lie_time, 6, "="),
    L("timer", setitimer, lie_old_timer, 0, "="), L("timer", getitimer, lie_old_timer, 0, "=|timer: EIO|stop:not a time"),
    R("timer", setitimer, -134, "timer: EIO|timer: 0 *"), A("timer", setitimer, 7, "timer: EIO|timer: 0 *"),

    A("timerfd", read, 9, "timerfd: EIO"), A("timerfd", read, -4096, "timerfd: EIO"), A("timerfd", read, 4, "timerfd: EIO"),
    L("timerfd", read, lie_fill, 0x7f, "=|timerfd: EIO"), L("timerfd", read, lie_fill, 0, "timerfd: EIO"),
    R("timerfd", read, 8, "timerfd: EIO|="), L("timerfd_hour", read, lie_expired, 1, "timerfd_hour: EIO"),
    L("timerfd_hour", read, lie_expired, -1, "timerfd_hour: EIO"), A("timerfd", timerfd_settime, 5, "timerfd: EIO"),

    /* events that were not, waits that do not wait */
    {"events", ANY_OCALL, lie_events, 1l << 11 | 1l << 9 | 1l << 4 | 1l << 19, "=", 0, NULL},
    {"events", ANY_OCALL, lie_events, ~(1l << 10), "die:1", 0, NULL}, {"events", ANY_OCALL, lie_events, 1l << 10, "=", 0, NULL},
    {"turns", ANY_OCALL, lie_events, 1, "=", 0, NULL},
    L("turns", futex, lie_at_once, 0, "="), L("turns", futex, lie_at_once, -EINTR, "="), L("turns", futex, lie_at_once, -134, "="),
    L("turns", futex, lie_at_once, -EFAULT, "="), L("timeout", futex, lie_at_once, -ETIMEDOUT, "="),
    L("timeout", futex, lie_at_once, 0, "="), L("turns", sched_yield, lie_result, -5000, "="),

    /* threads */
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_result, -EAGAIN, "thread: EAGAIN", 0, NULL},
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_result, 5, "thread: EAGAIN|thread: EIO", 0, NULL},
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_result, -5000, "thread: EAGAIN|thread: EIO", 0, NULL},
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_result, 0, "thread: 0 0", 0, NULL},
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_start_and_fail, 0, "=|thread: EAGAIN|stop:refused to be entered", 0, NULL},
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_start_and_fail, 1, "=", 0, NULL},
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_twice, 0, "=|stop:refused to be entered", 0, NULL},
    {"thread", OCALL(VIGIL_OCALL_THREAD_CREATE), lie_other_slot, 0, "=|stop:refused to be entered", 0, NULL},
    {"turns", OCALL(VIGIL_OCALL_KICK), lie_result, 77, "=", 0, NULL},
    {"timer", OCALL(VIGIL_OCALL_WATCH), lie_result, 5000, "timer: EAGAIN", 0, NULL},
    {"hello", OCALL(VIGIL_OCALL_PROTECT), lie_result, -ENOMEM, "exit:126", EVERYWHERE, NULL},
    {0},
};
