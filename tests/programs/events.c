/* SPDX-License-Identifier: Apache-2.0
 *
 * eventfd, epoll and connected sockets inside one process. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int event;

static void *add_later(void *unused)
{
    sleep_ms(20);
    CHECK_EQ(eventfd_write(event, 3), 0);
    return unused;
}

static void event_counters(void)
{
    uint64_t value = 0;
    pthread_t thread;
    event = eventfd(5, EFD_NONBLOCK);
    REQUIRE(event >= 0);
    CHECK_EQ(read(event, &value, 8), 8);
    CHECK_EQ(value, 5);
    CHECK_ERRNO(read(event, &value, 8), EAGAIN);
    CHECK_EQ(eventfd_write(event, 2), 0);
    CHECK_EQ(eventfd_write(event, 40), 0);
    CHECK_EQ(read(event, &value, 8), 8);
    CHECK_EQ(value, 42);
    CHECK_ERRNO(read(event, &value, 4), EINVAL);
    close(event);
    event = eventfd(2, EFD_SEMAPHORE);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(read(event, &value, 8), 8);
        CHECK_EQ(value, 1);
    }
    REQUIRE(pthread_create(&thread, NULL, add_later, NULL) == 0);
    CHECK_EQ(read(event, &value, 8), 8); /* waits */
    pthread_join(thread, NULL);
    close(event);
}

static void epoll_sets(void)
{
    struct epoll_event ready[4], want = { .events = EPOLLIN, .data.u64 = 11 };
    int set = epoll_create1(EPOLL_CLOEXEC), a[2], b[2];
    char c;
    REQUIRE(set >= 0 && pipe(a) == 0 && pipe(b) == 0);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, a[0], &want), 0);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, a[0], &want), EEXIST);
    want = (struct epoll_event){ .events = EPOLLIN | EPOLLET, .data.u64 = 22 };
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, b[0], &want), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 10), 0);
    CHECK_EQ(write(a[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(ready[0].data.u64, 11);
    CHECK_EQ(ready[0].events, EPOLLIN);
    CHECK_EQ(write(b[1], "y", 1), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 2);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1); /* the edge is over, the level is not */
    CHECK_EQ(ready[0].data.u64, 11);
    CHECK_EQ(read(a[0], &c, 1), 1);
    want = (struct epoll_event){ .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 33 };
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, a[0], &want), 0);
    CHECK_EQ(write(a[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(ready[0].data.u64, 33);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, a[0], NULL), 0);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_DEL, a[0], NULL), ENOENT);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, 999, &want), EBADF);
    close(b[1]);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK(ready[0].events & EPOLLHUP);
    close(a[0]), close(a[1]), close(b[0]), close(set);
}

static int pair[2];

static void *echo(void *unused)
{
    char buffer[1000];
    ssize_t n;
    while ((n = recv(pair[1], buffer, sizeof(buffer), 0)) > 0)
        CHECK_EQ(send(pair[1], buffer, n, 0), n);
    shutdown(pair[1], SHUT_WR);
    return unused;
}

static void socket_pairs(void)
{
    char out[1000], in[1000];
    pthread_t thread;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    REQUIRE(pthread_create(&thread, NULL, echo, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        memset(out, i, sizeof(out));
        CHECK_EQ(send(pair[0], out, sizeof(out), 0), sizeof(out));
        CHECK_EQ(recv(pair[0], in, sizeof(in), MSG_WAITALL), sizeof(in));
        CHECK(!memcmp(in, out, sizeof(in)));
    }
    CHECK_EQ(shutdown(pair[0], SHUT_WR), 0);
    CHECK_EQ(recv(pair[0], in, sizeof(in), 0), 0);
    pthread_join(thread, NULL);
    int type = 0;
    socklen_t length = sizeof(type);
    CHECK_EQ(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &type, &length), 0);
    CHECK_EQ(type, SOCK_STREAM);
    close(pair[0]), close(pair[1]);
}

/* ---- sets in sets -------------------------------------------------------------------------------------------------- */
static int set_with(int fd, uint32_t events)
{
    struct epoll_event want = {.events = events, .data.fd = fd};
    int set = epoll_create1(0);

    REQUIRE(set >= 0);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &want), 0);
    return set;
}

static int ready_now(int set)
{
    struct epoll_event ready[4];
    int n = epoll_wait(set, ready, 4, 0);

    return n == 1 ? ready[0].data.fd : -n;
}

static int write_to;
static void *write_later(void *unused)
{
    sleep_ms(20);
    CHECK_EQ(write(write_to, "x", 1), 1);
    return unused;
}

/* in: something to read from, out: to write to. */
static void nested_over(int in, int out)
{
    struct epoll_event ready[4];
    int inner = set_with(in, EPOLLIN), middle = set_with(inner, EPOLLIN), outer = set_with(middle, EPOLLIN);
    struct pollfd poll_outer = {.fd = outer, .events = POLLIN};
    pthread_t thread;
    char c;

    CHECK_EQ(ready_now(outer), 0);
    CHECK_EQ(poll(&poll_outer, 1, 0), 0);
    CHECK_EQ(epoll_wait(outer, ready, 4, 10), 0);
    CHECK_EQ(write(out, "x", 1), 1);
    CHECK_EQ(ready_now(outer), middle);
    CHECK_EQ(ready_now(outer), middle);
    CHECK_EQ(poll(&poll_outer, 1, 0), 1);
    CHECK_EQ(ready_now(middle), inner);
    CHECK_EQ(ready_now(inner), in);
    CHECK_EQ(read(in, &c, 1), 1);
    CHECK_EQ(ready_now(outer), 0);
    CHECK_EQ(poll(&poll_outer, 1, 0), 0);
    write_to = out;
    REQUIRE(pthread_create(&thread, NULL, write_later, NULL) == 0);
    CHECK_EQ(epoll_wait(outer, ready, 4, 5000), 1);
    CHECK_EQ(ready[0].data.fd, middle);
    pthread_join(thread, NULL);
    CHECK_EQ(read(in, &c, 1), 1);
    REQUIRE(pthread_create(&thread, NULL, write_later, NULL) == 0);
    CHECK_EQ(poll(&poll_outer, 1, 5000), 1);
    pthread_join(thread, NULL);
    close(inner);
    CHECK_EQ(ready_now(outer), 0);
    CHECK_EQ(ready_now(middle), 0);
    CHECK_EQ(read(in, &c, 1), 1);
    close(middle);
    close(outer);
}

/* Once, on an edge, and both kinds of files in one set. */
static void nested_once(int in, int out, int other_in, int other_out)
{
    struct epoll_event want = {.events = EPOLLIN | EPOLLONESHOT}, ready[4];
    int inner = set_with(in, EPOLLIN), once = set_with(inner, EPOLLIN | EPOLLONESHOT), edge = set_with(inner, EPOLLIN | EPOLLET);
    char c;

    want.data.fd = other_in;
    want.events = EPOLLIN;
    CHECK_EQ(epoll_ctl(inner, EPOLL_CTL_ADD, other_in, &want), 0);
    CHECK_EQ(write(out, "x", 1), 1);
    CHECK_EQ(write(other_out, "x", 1), 1);
    CHECK_EQ(ready_now(once), inner);
    CHECK_EQ(ready_now(once), 0);
    CHECK_EQ(epoll_wait(once, ready, 4, 10), 0);
    CHECK_EQ(ready_now(edge), inner);
    CHECK_EQ(epoll_wait(inner, ready, 4, 0), 2);
    want.data.fd = inner;
    want.events = EPOLLIN | EPOLLONESHOT;
    CHECK_EQ(epoll_ctl(once, EPOLL_CTL_MOD, inner, &want), 0);
    CHECK_EQ(ready_now(once), inner);
    CHECK_EQ(ready_now(once), 0);
    CHECK_EQ(read(in, &c, 1), 1);
    CHECK_EQ(read(other_in, &c, 1), 1);
    CHECK_EQ(epoll_ctl(once, EPOLL_CTL_DEL, inner, NULL), 0);
    CHECK_ERRNO(epoll_ctl(once, EPOLL_CTL_DEL, inner, NULL), ENOENT);
    close(inner);
    close(once);
    close(edge);
}

static void sets_in_sets(void)
{
    struct epoll_event want = {.events = EPOLLIN};
    int pipes[2], ends[2], sets[7];

    REQUIRE(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    nested_over(pipes[0], pipes[1]);
    nested_over(ends[0], ends[1]);
    nested_once(pipes[0], pipes[1], ends[0], ends[1]);
    for (int i = 0; i < 7; i++)
        REQUIRE((sets[i] = epoll_create1(0)) >= 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(epoll_ctl(sets[i + 1], EPOLL_CTL_ADD, sets[i], &want), 0);
    CHECK_ERRNO(epoll_ctl(sets[0], EPOLL_CTL_ADD, sets[4], &want), ELOOP);
    CHECK_ERRNO(epoll_ctl(sets[0], EPOLL_CTL_ADD, sets[1], &want), ELOOP);
    CHECK_ERRNO(epoll_ctl(sets[0], EPOLL_CTL_ADD, sets[0], &want), EINVAL);
    want.events = EPOLLIN | EPOLLEXCLUSIVE;
    CHECK_ERRNO(epoll_ctl(sets[6], EPOLL_CTL_ADD, sets[5], &want), EINVAL);
    for (int i = 0; i < 7; i++)
        close(sets[i]);
    for (int i = 0; i < 2; i++) {
        close(pipes[i]);
        close(ends[i]);
    }
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "event counters", event_counters },
        { "epoll", epoll_sets },
        { "sets in sets", sets_in_sets },
        { "socket pairs", socket_pairs },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
