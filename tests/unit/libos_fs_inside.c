/* SPDX-License-Identifier: Apache-2.0
 *
 * Pipes, event counters, and waiting for several things: inside, with threads. */
#include "fs_fixture.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

struct pair { int in, out; };

static struct pair new_pipe(int flags)
{
    struct pair pair;
    assert_int_equal(sys(__NR_pipe2, out(), flags), 0);
    assert_int_equal(copy_from_user(&pair, (void *)out(), sizeof(pair)), 0);
    return pair;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- one thread -------------------------------------------------------------------------------------------------- */
static void a_pipe_needs_no_host(void **state)
{
    (void)state;
    fake_host = fixture_no_host;
    struct pair p = new_pipe(0);
    assert_int_equal(sys(__NR_write, p.out, str("hello"), 5), 5);
    assert_int_equal(sys(__NR_ioctl, p.in, FIONREAD, out()), 0);
    assert_int_equal(*(int *)peek(4), 5);
    assert_int_equal(sys(__NR_read, p.in, out(), 3), 3);
    assert_memory_equal(peek(3), "hel", 3);
    assert_int_equal(sys(__NR_read, p.in, out(), 100), 2);
    assert_memory_equal(peek(2), "lo", 2);
    assert_int_equal(sys(__NR_read, p.out, out(), 1), -EBADF);
    assert_int_equal(sys(__NR_write, p.in, out(), 1), -EBADF);
    assert_int_equal(sys(__NR_lseek, p.in, 0, SEEK_SET), -ESPIPE);
    assert_int_equal(sys(__NR_pread64, p.in, out(), 1, 0), -ESPIPE);
    assert_int_equal(sys(__NR_fstat, p.in, out()), 0);
    assert_int_equal(fixture_stat_at(out()).mode, 0010600);
    assert_int_equal(sys(__NR_write, p.out, str("x"), 1), 1);
    assert_int_equal(sys(__NR_mmap, 0, 4096, 1, 2, p.in, 0), -ENODEV); /* and takes nothing out */
    assert_int_equal(sys(__NR_read, p.in, out(), 2), 1);
    close_all(p.out);
    assert_int_equal(sys(__NR_read, p.in, out(), 1), 0);
    close_all(p.in);
    assert_int_equal(sys(__NR_pipe2, out(), 1), -EINVAL);
    assert_int_equal(sys(__NR_pipe2, 8, 0), -EFAULT);
    p = new_pipe(0);
    assert_int_equal(p.in, 3); /* the failed ones left nothing */
    close_all(p.in, p.out);
}

static void a_full_pipe_keeps_its_promises(void **state)
{
    (void)state;
    struct pair p = new_pipe(O_NONBLOCK);
    uint64_t data = map(200000);
    assert_int_equal(sys(__NR_read, p.in, out(), 1), -EAGAIN);
    assert_int_equal(sys(__NR_fcntl, p.in, F_GETPIPE_SZ), 65536);
    assert_int_equal(sys(__NR_write, p.out, data, 65000), 65000);
    assert_int_equal(sys(__NR_write, p.out, data, 4096), -EAGAIN); /* at most PIPE_BUF: all or nothing */
    assert_int_equal(sys(__NR_write, p.out, data, 4097), 536);
    assert_int_equal(sys(__NR_write, p.out, data, 1), -EAGAIN);
    assert_int_equal(sys(__NR_fcntl, p.out, F_SETPIPE_SZ, 4096), -EBUSY);
    assert_int_equal(sys(__NR_fcntl, p.out, F_SETPIPE_SZ, 100000), 131072);
    assert_int_equal(sys(__NR_fcntl, p.out, F_SETPIPE_SZ, 2 << 20), -EPERM);
    assert_int_equal(sys(__NR_write, p.out, data, 200000), 65536);
    assert_int_equal(sys(__NR_read, p.in, data, 200000), 131072);
    assert_int_equal(sys(__NR_fcntl, p.out, F_SETPIPE_SZ, 1), 4096);
    assert_int_equal(sys(__NR_write, p.out, data, 65536), 4096);
    assert_int_equal(sys(__NR_fcntl, 0, F_GETPIPE_SZ) == -EBADF || sys(__NR_fcntl, 0, F_GETPIPE_SZ) > 0, 1);
    close_all(p.in, p.out);
}

static void the_ring_wraps_without_loss(void **state)
{
    struct pair p = new_pipe(0);
    uint8_t sent = 0, expected = 0, chunk[6000];
    (void)state;
    for (int round = 0; round < 400; round++) {
        size_t n = 1 + (size_t)round * 37 % 5500;
        for (size_t i = 0; i < n; i++)
            chunk[i] = sent++;
        assert_int_equal(copy_to_user((void *)out(), chunk, n), 0);
        assert_int_equal(sys(__NR_write, p.out, out(), n), n);
        size_t left = n;
        while (left) {
            size_t part = left < 1777 ? left : 1777;
            assert_int_equal(sys(__NR_read, p.in, out(), part), part);
            char *got = peek(part);
            for (size_t i = 0; i < part; i++)
                assert_int_equal((uint8_t)got[i], expected++);
            left -= part;
        }
    }
    close_all(p.in, p.out);
}

static void a_broken_pipe_sends_sigpipe(void **state)
{
    (void)state;
    uint64_t block = 1ull << 12, pending = 0;
    struct pair p = new_pipe(0);
    assert_int_equal(copy_to_user((void *)out(), &block, 8), 0);
    assert_int_equal(sys(__NR_rt_sigprocmask, 0, out(), 0, 8), 0);
    close_all(p.in);
    assert_int_equal(sys(__NR_write, p.out, str("x"), 1), -EPIPE);
    assert_int_equal(sys(__NR_rt_sigpending, out(), 8), 0);
    assert_int_equal(copy_from_user(&pending, (void *)out(), 8), 0);
    assert_int_equal(pending, block);
    close_all(p.out);
}

static void what_does_not_arrive_is_not_read(void **state)
{
    (void)state;
    struct pair p = new_pipe(O_NONBLOCK);
    host_file("a", "0123456789");
    long fd = sys(__NR_open, str("/a"), O_RDONLY), dir = sys(__NR_open, str("/"), O_RDONLY | O_DIRECTORY);
    uint64_t pages = map(8192), edge = pages + 4096 - 4;
    assert_int_equal(sys(__NR_mprotect, pages + 4096, 4096, 0), 0);
    assert_int_equal(sys(__NR_write, p.out, str("0123456789"), 10), 10);
    assert_int_equal(sys(__NR_read, p.in, pages + 4096, 10), -EFAULT);
    assert_int_equal(sys(__NR_ioctl, p.in, FIONREAD, out()), 0);
    assert_int_equal(*(int *)peek(4), 10);
    assert_int_equal(sys(__NR_read, fd, pages + 4096, 10), -EFAULT);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_CUR), 0);
    assert_int_equal(sys(__NR_read, fd, edge, 4), 4);
    assert_int_equal(sys(__NR_getdents64, dir, pages + 4096, 4096), -EFAULT);
    assert_true(sys(__NR_getdents64, dir, out(), 4096) > 0);
    assert_int_equal(sys(__NR_write, fd, pages + 4096, 10), -EBADF);
    assert_int_equal(sys(__NR_write, p.out, pages + 4096, 10), -EFAULT);
    close_all(p.in, p.out, fd, dir);
}

static long counter(long fd, uint64_t value)
{
    assert_int_equal(copy_to_user((void *)out(), &value, 8), 0);
    return sys(__NR_write, fd, out(), 8);
}

static void counters_count(void **state)
{
    (void)state;
    fake_host = fixture_no_host;
    long fd = sys(__NR_eventfd2, 3, O_NONBLOCK), semaphore = sys(__NR_eventfd2, 2, O_NONBLOCK | 1);
    assert_int_equal(counter(fd, 4), 8);
    assert_int_equal(sys(__NR_read, fd, out(), 8), 8);
    assert_int_equal(*(uint64_t *)peek(8), 7);
    assert_int_equal(sys(__NR_read, fd, out(), 8), -EAGAIN);
    assert_int_equal(sys(__NR_read, fd, out(), 7), -EINVAL);
    assert_int_equal(counter(fd, ~0ull), -EINVAL);
    assert_int_equal(counter(fd, ~0ull - 1), 8);
    assert_int_equal(counter(fd, 1), -EAGAIN);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sys(__NR_read, semaphore, out(), 8), 8);
        assert_int_equal(*(uint64_t *)peek(8), 1);
    }
    assert_int_equal(sys(__NR_read, semaphore, out(), 8), -EAGAIN);
    assert_int_equal(sys(__NR_eventfd2, 0, 0x10), -EINVAL);
    close_all(fd, semaphore);
}

/* ---- poll, select, epoll ----------------------------------------------------------------------------------------- */
static long poll_at;

static long poll_one(int fd, short events, int ms, short *revents)
{
    struct pollfd p = {.fd = fd, .events = events};
    if (!poll_at)
        poll_at = (long)map(4096);
    assert_int_equal(copy_to_user((void *)poll_at, &p, sizeof(p)), 0);
    long result = sys(__NR_poll, poll_at, 1, ms);
    assert_int_equal(copy_from_user(&p, (void *)poll_at, sizeof(p)), 0);
    *revents = p.revents;
    return result;
}

static void readiness_is_told(void **state)
{
    short r;
    (void)state;
    poll_at = 0;
    struct pair p = new_pipe(0);
    assert_int_equal(poll_one(p.in, POLLIN, 0, &r), 0);
    assert_int_equal(poll_one(p.out, POLLOUT, -1, &r), 1);
    assert_int_equal(r, POLLOUT);
    int64_t before = now_ms();
    assert_int_equal(poll_one(p.in, POLLIN, 30, &r), 0);
    assert_true(now_ms() - before >= 29);
    assert_int_equal(sys(__NR_write, p.out, str("x"), 1), 1);
    assert_int_equal(poll_one(p.in, POLLIN | POLLOUT, -1, &r), 1);
    assert_int_equal(r, POLLIN);
    assert_int_equal(poll_one(p.in, 0, 0, &r), 0);
    close_all(p.out);
    assert_int_equal(poll_one(p.in, POLLIN, -1, &r), 1);
    assert_int_equal(r, POLLIN | POLLHUP);
    close_all(p.in);
    assert_int_equal(poll_one(p.in, POLLIN, -1, &r), 1);
    assert_int_equal(r, POLLNVAL);
    assert_int_equal(poll_one(-1, POLLIN, 0, &r), 0);
    assert_int_equal(sys(__NR_poll, 0, 0, 1), 0);
    p = new_pipe(0);
    close_all(p.in);
    assert_int_equal(poll_one(p.out, POLLOUT, -1, &r), 1);
    assert_int_equal(r, POLLOUT | POLLERR);
    close_all(p.out);
    assert_int_equal(sys(__NR_poll, poll_at, 100000, 0), -EINVAL);
}

static void select_uses_sets(void **state)
{
    uint64_t sets[3] = {0};
    int64_t left[2] = {0, 20000};
    (void)state;
    struct pair p = new_pipe(0);
    long at = (long)map(4096);
    sets[0] = 1ull << p.in;
    sets[1] = 1ull << p.out;
    sets[2] = sets[0];
    assert_int_equal(copy_to_user((void *)at, sets, sizeof(sets)), 0);
    assert_int_equal(sys(__NR_select, 64, at, at + 8, at + 16, 0), 1);
    assert_int_equal(copy_from_user(sets, (void *)at, sizeof(sets)), 0);
    assert_int_equal(sets[0], 0);
    assert_int_equal(sets[1], 1ull << p.out);
    assert_int_equal(sets[2], 0);
    sets[0] = 1ull << p.in;
    assert_int_equal(copy_to_user((void *)at, sets, 8), 0);
    assert_int_equal(copy_to_user((void *)(at + 64), left, sizeof(left)), 0);
    assert_int_equal(sys(__NR_select, p.in + 1, at, 0, 0, at + 64), 0);
    assert_int_equal(copy_from_user(left, (void *)(at + 64), sizeof(left)), 0);
    assert_int_equal(left[0] + left[1], 0);
    sets[0] = 1ull << 60;
    assert_int_equal(copy_to_user((void *)at, sets, 8), 0);
    assert_int_equal(sys(__NR_select, 64, at, 0, 0, 0), -EBADF);
    assert_int_equal(sys(__NR_select, -1, 0, 0, 0, 0), -EINVAL);
    close_all(p.in, p.out);
}

static void put_event(long at, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    assert_int_equal(copy_to_user((void *)at, &event, sizeof(event)), 0);
}

static void epoll_knows_edges_levels_and_shots(void **state)
{
    struct epoll_event got[4];
    (void)state;
    struct pair p = new_pipe(0);
    long set = sys(__NR_epoll_create1, O_CLOEXEC), at = (long)map(4096);
    put_event(at, EPOLLIN, 1);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, p.in, at), 0);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, p.in, at), -EEXIST);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, set, at), -EINVAL);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_MOD, p.out, at), -ENOENT);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 0);
    assert_int_equal(sys(__NR_write, p.out, str("x"), 1), 1);
    for (int i = 0; i < 2; i++) /* the level stays */
        assert_int_equal(sys(__NR_epoll_wait, set, at, 4, -1), 1);
    put_event(at, EPOLLIN | EPOLLET, 2);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_MOD, p.in, at), 0);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, -1), 1);
    assert_int_equal(copy_from_user(got, (void *)at, sizeof(got)), 0);
    assert_int_equal(got[0].data.u64, 2);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 0); /* the edge is gone */
    assert_int_equal(sys(__NR_write, p.out, str("y"), 1), 1);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 1);
    put_event(at, EPOLLIN | EPOLLONESHOT, 3);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_MOD, p.in, at), 0);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 1);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 0);
    assert_int_equal(sys(__NR_write, p.out, str("z"), 1), 1);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 0);
    put_event(at, EPOLLOUT, 4);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, p.out, at), 0);
    short r;
    poll_at = 0;
    assert_int_equal(poll_one((int)set, POLLIN, 0, &r), 1); /* a set can be polled */
    assert_int_equal(sys(__NR_close, p.out), 0);             /* a closed file leaves */
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 0);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_DEL, p.in, 0), 0);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_DEL, p.in, 0), -ENOENT);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 0, 0), -EINVAL);
    assert_int_equal(sys(__NR_epoll_wait, p.in, at, 1, 0), -EINVAL);
    long dir = sys(__NR_open, str("/"), O_RDONLY | O_DIRECTORY);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, dir, at), -EPERM);
    close_all(set, p.in, dir);
}

static void epoll_mixes_inside_and_host(void **state)
{
    struct epoll_event got[4];
    (void)state;
    fixture_fifo("fifo");
    struct pair p = new_pipe(0);
    long fifo = sys(__NR_open, str("/fifo"), O_RDWR), set = sys(__NR_epoll_create, 1), at = (long)map(4096);
    put_event(at, EPOLLIN, 10);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, p.in, at), 0);
    put_event(at, EPOLLIN | EPOLLET, 20);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, fifo, at), 0);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 10), 0);
    assert_int_equal(sys(__NR_write, fifo, str("x"), 1), 1);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, -1), 1);
    assert_int_equal(copy_from_user(got, (void *)at, sizeof(got)), 0);
    assert_int_equal(got[0].data.u64, 20);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 0);
    assert_int_equal(sys(__NR_write, fifo, str("x"), 1), 1);
    assert_int_equal(sys(__NR_write, p.out, str("x"), 1), 1);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, -1), 2);
    assert_int_equal(copy_from_user(got, (void *)at, sizeof(got)), 0);
    assert_int_equal(got[0].data.u64 + got[1].data.u64, 30);
    close_all(fifo, set, p.in, p.out);
}

/* Room for one, and everything ready always: nobody starves, neither inside nor on the host. */
static void epoll_gives_everybody_a_turn(void **state)
{
    struct epoll_event got;
    struct pair p[3];
    uint32_t seen = 0;
    (void)state;
    fixture_fifo("turn");
    long fifo = sys(__NR_open, str("/turn"), O_RDWR), set = sys(__NR_epoll_create1, 0), at = (long)map(4096);
    for (unsigned i = 0; i < 3; i++) {
        p[i] = new_pipe(0);
        put_event(at, EPOLLIN, i);
        assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, p[i].in, at), 0);
        assert_int_equal(sys(__NR_write, p[i].out, str("x"), 1), 1);
    }
    put_event(at, EPOLLIN, 3);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, fifo, at), 0);
    assert_int_equal(sys(__NR_write, fifo, str("x"), 1), 1);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(sys(__NR_epoll_wait, set, at, 1, -1), 1);
        assert_int_equal(copy_from_user(&got, (void *)at, sizeof(got)), 0);
        assert_true(got.data.u64 < 4);
        seen |= 1u << got.data.u64;
    }
    assert_int_equal(seen, 15);
    for (int i = 0; i < 3; i++)
        close_all(p[i].in, p[i].out);
    close_all(fifo, set);
}

static unsigned host_calls, host_waits;
static long counts_calls(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    host_calls++;
    host_waits += nr == __NR_epoll_pwait;
    long result = syscall(nr, a0, a1, a2, a3, a4, a5);
    return result == -1 ? -errno : result;
}

#define MANY 100

/* In two sets, some by two numbers; closed in an order that is neither theirs nor its reverse. One call of the host a wait. */
static void epoll_holds_many(void **state)
{
    long fifo[MANY], set[2] = {sys(__NR_epoll_create1, 0), sys(__NR_epoll_create1, 0)}, at = (long)map(4096);
    struct epoll_event got[2];
    char name[16];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "many%u", i);
        fixture_fifo(name);
        fifo[i] = sys(__NR_open, str((snprintf(name, sizeof(name), "/many%u", i), name)), O_RDWR);
        assert_true(fifo[i] >= 0);
        put_event(at, EPOLLIN, i);
        for (int k = 0; k < 2; k++)
            assert_int_equal(sys(__NR_epoll_ctl, set[k], EPOLL_CTL_ADD, fifo[i], at), 0);
        assert_int_equal(sys(__NR_epoll_ctl, set[0], EPOLL_CTL_ADD, fifo[i], at), -EEXIST);
    }
    long twin = sys(__NR_dup, fifo[7]);
    put_event(at, EPOLLIN, 1000);
    assert_int_equal(sys(__NR_epoll_ctl, set[0], EPOLL_CTL_MOD, twin, at), -ENOENT);
    for (unsigned i = 0; i < MANY; i++) {
        unsigned k = i * 37 % MANY;
        assert_int_equal(sys(__NR_write, fifo[k], str("x"), 1), 1);
        host_calls = host_waits = 0;
        fake_host = counts_calls;
        for (int n = 0; n < 2; n++) {
            assert_int_equal(sys(__NR_epoll_wait, set[n], at, 2, 0), 1);
            assert_int_equal(copy_from_user(got, (void *)at, sizeof(got)), 0);
            assert_int_equal(got[0].data.u64, k);
        }
        assert_int_equal(host_calls, 2);
        assert_int_equal(host_waits, 2);
        fake_host = NULL;
        assert_int_equal(sys(__NR_read, fifo[k], out(), 1), 1);
        if (k != 7)
            close_all(fifo[k]);
    }
    close_all(set[1]);
    assert_int_equal(sys(__NR_epoll_ctl, set[0], EPOLL_CTL_DEL, fifo[7], 0), 0);
    assert_int_equal(sys(__NR_epoll_wait, set[0], at, 2, 0), 0);
    close_all(fifo[7], twin, set[0]);
}

/* ---- more threads ------------------------------------------------------------------------------------------------ */
static struct pair shared;
static long shared_fd;
static void (*thread_work)(void);

static void thread_main(struct checkpoint *regs)
{
    (void)regs;
    thread_work();
    signals_thread_exit(current_thread());
}

/* Runs work on another thread, as the program's. */
static struct thread *start(void (*work)(void))
{
    struct thread *t = calloc(1, sizeof(*t));
    uint32_t slot;

    *t = (struct thread){.tid = 5000, .syscall_nr = -1};
    assert_int_equal(signals_thread_init(t, current_thread()), 0);
    thread_work = work;
    fake_thread_main = thread_main;
    assert_int_equal(thread_create(t, current_regs(), &slot), 0);
    t->slot = slot;
    return t;
}

static void finish(struct thread *t)
{
    fake_join_all();
    free(t);
}

static void wait_ms(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000l};
    nanosleep(&ts, NULL);
}

#define STREAM (1u << 20)

static void writes_a_stream(void)
{
    uint64_t at = map(STREAM);
    static uint8_t bytes[STREAM];

    for (size_t i = 0; i < STREAM; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    copy_to_user((void *)at, bytes, STREAM);
    sys(__NR_write, shared.out, at, STREAM);
    sys(__NR_close, shared.out);
}

static void a_stream_passes_between_threads(void **state)
{
    size_t done = 0;
    long n;
    (void)state;
    shared = new_pipe(0);
    struct thread *t = start(writes_a_stream);
    while ((n = sys(__NR_read, shared.in, out(), 5000)) > 0) {
        char *got = peek((size_t)n);
        for (long i = 0; i < n; i++, done++)
            if ((uint8_t)got[i] != (uint8_t)(done * 31 + done / 251))
                fail_msg("byte %zu is wrong", done);
    }
    assert_int_equal(n, 0);
    assert_int_equal(done, STREAM);
    finish(t);
    close_all(shared.in);
}

static void writes_later(void)
{
    static const char x[] = "x";
    uint64_t at = map(16);
    copy_to_user((void *)at, x, 1);
    wait_ms(40);
    sys(__NR_write, shared_fd, at, 1);
}

static void poll_wakes_for_either_side(void **state)
{
    struct pollfd fds[2], back[2];
    (void)state;
    fixture_fifo("fifo");
    shared = new_pipe(0);
    long fifo = sys(__NR_open, str("/fifo"), O_RDWR), at = (long)map(4096);
    for (int round = 0; round < 4; round++) {
        bool inside = round % 2;
        fds[0] = (struct pollfd){.fd = shared.in, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = (int)fifo, .events = POLLIN};
        assert_int_equal(copy_to_user((void *)at, fds, sizeof(fds)), 0);
        shared_fd = inside ? shared.out : fifo;
        struct thread *t = start(writes_later);
        int64_t before = now_ms();
        assert_int_equal(sys(__NR_poll, at, 2, 5000), 1);
        assert_true(now_ms() - before < 3000);
        assert_int_equal(copy_from_user(back, (void *)at, sizeof(back)), 0);
        assert_int_equal(back[0].revents, inside ? POLLIN : 0);
        assert_int_equal(back[1].revents, inside ? 0 : POLLIN);
        assert_int_equal(sys(__NR_read, inside ? shared.in : fifo, out(), 10), 1);
        finish(t);
    }
    close_all(fifo, shared.in, shared.out);
}

static void epoll_wakes_for_either_side(void **state)
{
    struct epoll_event got[2];
    (void)state;
    fixture_fifo("fifo");
    shared = new_pipe(0);
    long fifo = sys(__NR_open, str("/fifo"), O_RDWR), set = sys(__NR_epoll_create1, 0), at = (long)map(4096);
    put_event(at, EPOLLIN, 1);
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, shared.in, at), 0);
    for (int round = 0; round < 4; round++) {
        bool inside = round != 2;
        if (round == 1) { /* from here on the host takes part */
            put_event(at, EPOLLIN, 2);
            assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, fifo, at), 0);
        }
        shared_fd = inside ? shared.out : fifo;
        struct thread *t = start(writes_later);
        int64_t before = now_ms();
        assert_int_equal(sys(__NR_epoll_wait, set, at, 2, 5000), 1);
        assert_true(now_ms() - before < 3000);
        assert_int_equal(copy_from_user(got, (void *)at, sizeof(got)), 0);
        assert_int_equal(got[0].data.u64, inside ? 1 : 2);
        assert_int_equal(sys(__NR_read, inside ? shared.in : fifo, out(), 10), 1);
        finish(t);
    }
    close_all(fifo, set, shared.in, shared.out);
}

static void adds_later(void)
{
    uint64_t at = map(16);
    wait_ms(40);
    put_event((long)at, EPOLLIN, 7);
    sys(__NR_epoll_ctl, shared_fd, EPOLL_CTL_ADD, shared.in, at);
}

static void epoll_notices_what_is_added(void **state)
{
    (void)state;
    shared = new_pipe(0);
    shared_fd = sys(__NR_epoll_create1, 0);
    long at = (long)map(4096);
    assert_int_equal(sys(__NR_write, shared.out, str("x"), 1), 1);
    struct thread *t = start(adds_later);
    int64_t before = now_ms();
    assert_int_equal(sys(__NR_epoll_wait, shared_fd, at, 2, 5000), 1);
    assert_true(now_ms() - before < 3000);
    finish(t);
    close_all(shared_fd, shared.in, shared.out);
}

static long thread_result;

static void reads_and_is_interrupted(void)
{
    uint64_t at = map(16);
    thread_result = sys(__NR_read, shared.in, at, 1);
}

static void a_signal_ends_waiting(void **state)
{
    (void)state;
    /* A handler for SIGUSR1, so that there is something to deliver. */
    struct { uint64_t handler, flags, restorer, mask; } action = {0x1000, 0x04000000, 0x1000, 0};
    assert_int_equal(copy_to_user((void *)out(), &action, sizeof(action)), 0);
    assert_int_equal(sys(__NR_rt_sigaction, 10, out(), 0, 8), 0);
    shared = new_pipe(0);
    struct thread *t = start(reads_and_is_interrupted);
    wait_ms(40);
    thread_result = 1;
    fake_raise(t->slot, 10);
    finish(t);
    assert_int_equal(thread_result, -512); /* ERESTARTSYS: signal/ decides */
    action.handler = 1;                    /* SIG_IGN: forget it */
    assert_int_equal(copy_to_user((void *)out(), &action, sizeof(action)), 0);
    assert_int_equal(sys(__NR_rt_sigaction, 10, out(), 0, 8), 0);
    close_all(shared.in, shared.out);
}

static void sendfile_crosses_the_border(void **state)
{
    int64_t offset = 2;
    (void)state;
    host_file("a", "0123456789");
    shared = new_pipe(0);
    long fd = sys(__NR_open, str("/a"), O_RDONLY), to = sys(__NR_open, str("/b"), O_CREAT | O_RDWR, 0600);
    assert_int_equal(sys(__NR_sendfile, shared.out, fd, 0, 4), 4);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_CUR), 4);
    assert_int_equal(copy_to_user((void *)out(), &offset, 8), 0);
    assert_int_equal(sys(__NR_sendfile, shared.out, fd, out(), 3), 3);
    assert_int_equal(*(int64_t *)peek(8), 5);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_CUR), 4);
    assert_int_equal(sys(__NR_read, shared.in, out(), 100), 7);
    assert_memory_equal(peek(7), "0123234", 7);
    assert_int_equal(sys(__NR_sendfile, to, fd, 0, 100), 6);
    assert_host_file("b", "456789");
    assert_int_equal(sys(__NR_sendfile, to, shared.in, 0, 1), -EINVAL);
    assert_int_equal(sys(__NR_sendfile, shared.out, to, 0, 1), 0);
    offset = 0;
    assert_int_equal(copy_to_user((void *)out(), &offset, 8), 0);
    assert_int_equal(sys(__NR_copy_file_range, fd, out(), to, 0, 3, 0), 3);
    assert_int_equal(*(int64_t *)peek(8), 3);
    assert_host_file("b", "456789012");
    assert_int_equal(sys(__NR_copy_file_range, fd, 0, shared.out, 0, 3, 0), -EINVAL);
    close_all(fd, to, shared.in, shared.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(a_pipe_needs_no_host), FS_TEST(a_full_pipe_keeps_its_promises), FS_TEST(the_ring_wraps_without_loss),
        FS_TEST(a_broken_pipe_sends_sigpipe), FS_TEST(what_does_not_arrive_is_not_read), FS_TEST(counters_count),
        FS_TEST(readiness_is_told), FS_TEST(select_uses_sets), FS_TEST(epoll_knows_edges_levels_and_shots),
        FS_TEST(epoll_mixes_inside_and_host), FS_TEST(epoll_gives_everybody_a_turn), FS_TEST(epoll_holds_many),
        FS_TEST(a_stream_passes_between_threads),
        FS_TEST(poll_wakes_for_either_side), FS_TEST(epoll_wakes_for_either_side),
        FS_TEST(epoll_notices_what_is_added), FS_TEST(a_signal_ends_waiting), FS_TEST(sendfile_crosses_the_border),
    };
    return cmocka_run_group_tests_name("fs inside", tests, NULL, NULL);
}
