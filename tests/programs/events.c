/* SPDX-License-Identifier: Apache-2.0
 *
 * eventfd, epoll and connected sockets inside one process. */
#include "check.h"

#include <fcntl.h>
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

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "event counters", event_counters },
        { "epoll", epoll_sets },
        { "socket pairs", socket_pairs },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
