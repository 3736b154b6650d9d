/* SPDX-License-Identifier: Apache-2.0
 *
 * epoll over sockets: a server with many clients, edges, one shots shared by threads, half-closed connections, descriptors
 * that go away while they are watched. Ports are the kernel's choice. */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 50
#define ROUNDS 20

static int listening(int family, struct sockaddr_storage *name, socklen_t *length)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *length = family == AF_INET ? sizeof(in) : sizeof(in6);
    REQUIRE(fd >= 0 && bind(fd, family == AF_INET ? (void *)&in : (void *)&in6, *length) == 0);
    REQUIRE(listen(fd, CLIENTS) == 0 && getsockname(fd, (void *)name, length) == 0);
    return fd;
}

static int watch(int set, int operation, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.fd = fd };
    return epoll_ctl(set, operation, fd, &event);
}

/* ---- a server with many clients ---------------------------------------------------------------------------------- */
struct server { int listener, set, clients; long echoed; };

static void take_clients(struct server *s)
{
    int fd;

    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        CHECK_EQ(watch(s->set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP), 0);
    CHECK_EQ(errno, EAGAIN);
}

static void echo(struct server *s, const struct epoll_event *event)
{
    char bytes[64];
    ssize_t n = recv(event->data.fd, bytes, sizeof(bytes), 0);

    if (n > 0) {
        CHECK_EQ(send(event->data.fd, bytes, (size_t)n, 0), n);
        s->echoed += n;
        return;
    }
    CHECK_EQ(n, 0);
    CHECK(event->events & EPOLLRDHUP);
    close(event->data.fd); /* leaves the set by itself */
    s->clients--;
}

static void *serve(void *argument)
{
    struct server *s = argument;
    struct epoll_event ready[8];

    while (s->clients) {
        int n = epoll_wait(s->set, ready, 8, 10000);
        if (!CHECK(n > 0))
            break;
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == s->listener)
                take_clients(s);
            else
                echo(s, &ready[i]);
        }
    }
    return NULL;
}

static void many_clients(int family)
{
    struct server s = { .clients = CLIENTS };
    struct sockaddr_storage name;
    socklen_t length;
    pthread_t thread;
    int fd[CLIENTS];

    s.listener = listening(family, &name, &length);
    s.set = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(watch(s.set, EPOLL_CTL_ADD, s.listener, EPOLLIN) == 0);
    REQUIRE(pthread_create(&thread, NULL, serve, &s) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        fd[i] = socket(family, SOCK_STREAM, 0);
        REQUIRE(connect(fd[i], (void *)&name, length) == 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            int number = round * CLIENTS + i;
            CHECK_EQ(send(fd[i], &number, sizeof(number), 0), sizeof(number));
        }
        for (int i = 0; i < CLIENTS; i++) {
            int number = -1;
            CHECK_EQ(recv(fd[i], &number, sizeof(number), MSG_WAITALL), sizeof(number));
            CHECK_EQ(number, round * CLIENTS + i);
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        close(fd[(i * 7) % CLIENTS]);
    pthread_join(thread, NULL);
    CHECK_EQ(s.echoed, (long)sizeof(int) * CLIENTS * ROUNDS);
    close(s.listener);
    close(s.set);
}

static void many_clients_4(void)
{
    many_clients(AF_INET);
}

static void many_clients_6(void)
{
    many_clients(AF_INET6);
}

/* ---- connecting without waiting ---------------------------------------------------------------------------------- */
static void connecting(void)
{
    struct sockaddr_storage name;
    struct epoll_event ready;
    socklen_t length, size = sizeof(int);
    int error = -1, listener = listening(AF_INET, &name, &length), set = epoll_create1(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    CHECK(connect(fd, (void *)&name, length) == 0 || errno == EINPROGRESS);
    CHECK_EQ(watch(set, EPOLL_CTL_ADD, fd, EPOLLOUT | EPOLLET), 0);
    CHECK_EQ(epoll_wait(set, &ready, 1, 5000), 1);
    CHECK_EQ(ready.events, EPOLLOUT);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    CHECK_EQ(error, 0);
    close(fd);
    close(listener); /* nobody listens there now */
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (void *)&name, length) == 0 || errno != EINPROGRESS)
        CHECK_EQ(errno, ECONNREFUSED);
    CHECK_EQ(watch(set, EPOLL_CTL_ADD, fd, EPOLLOUT), 0);
    CHECK_EQ(epoll_wait(set, &ready, 1, 5000), 1);
    CHECK(ready.events & EPOLLHUP);
    close(fd);
    close(set);
}

/* ---- levels, edges, ends ----------------------------------------------------------------------------------------- */
static void edges(void)
{
    struct epoll_event ready[4];
    int pair[2], set = epoll_create1(0);
    char c[4];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_EQ(watch(set, EPOLL_CTL_ADD, pair[0], EPOLLIN | EPOLLET | EPOLLRDHUP), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0);
    CHECK_EQ(send(pair[1], "ab", 2, 0), 2);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(recv(pair[0], c, 1, 0), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0); /* no edge, though one byte is left */
    CHECK_EQ(watch(set, EPOLL_CTL_MOD, pair[0], EPOLLIN), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 1);
    CHECK_EQ(recv(pair[0], c, 4, 0), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0);
    CHECK_EQ(watch(set, EPOLL_CTL_MOD, pair[0], EPOLLIN | EPOLLRDHUP), 0);
    CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(ready[0].events, EPOLLIN | EPOLLRDHUP);
    close(pair[1]);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(ready[0].events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
    close(pair[0]);
    close(set);
}

static void changes(void)
{
    struct epoll_event ready[4];
    int pair[2], twin, set = epoll_create1(0);

    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    CHECK_ERRNO(watch(set, EPOLL_CTL_MOD, pair[0], EPOLLIN), ENOENT);
    CHECK_EQ(watch(set, EPOLL_CTL_ADD, pair[0], EPOLLIN), 0);
    CHECK_ERRNO(watch(set, EPOLL_CTL_ADD, pair[0], EPOLLIN), EEXIST);
    CHECK_EQ(send(pair[1], "a", 1, 0), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(watch(set, EPOLL_CTL_MOD, pair[0], 0), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0);
    CHECK_EQ(watch(set, EPOLL_CTL_MOD, pair[0], EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0);
    CHECK_EQ(watch(set, EPOLL_CTL_MOD, pair[0], EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(watch(set, EPOLL_CTL_DEL, pair[0], 0), 0);
    CHECK_ERRNO(watch(set, EPOLL_CTL_DEL, pair[0], 0), ENOENT);
    twin = dup(pair[0]);
    CHECK_EQ(watch(set, EPOLL_CTL_ADD, twin, EPOLLIN), 0);
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    CHECK_EQ(ready[0].data.fd, twin);
    close(twin); /* the file is still open, so it stays in the set */
    CHECK_EQ(epoll_wait(set, ready, 4, 1000), 1);
    close(pair[0]);
    CHECK_EQ(epoll_wait(set, ready, 4, 0), 0);
    close(pair[1]);
    close(set);
}

/* ---- one shots, between threads ---------------------------------------------------------------------------------- */
#define WORKERS 4
#define JOBS 400

static int jobs_set, jobs[2], finished;
static atomic_int inside, done, overlaps;

static void *work(void *unused)
{
    struct epoll_event ready;
    char c;

    while (epoll_wait(jobs_set, &ready, 1, 10000) == 1 && ready.data.fd != finished) {
        if (atomic_fetch_add(&inside, 1))
            overlaps++; /* the socket is another thread's now */
        if (recv(jobs[0], &c, 1, MSG_DONTWAIT) == 1)
            done++;
        atomic_fetch_sub(&inside, 1);
        CHECK_EQ(watch(jobs_set, EPOLL_CTL_MOD, jobs[0], EPOLLIN | EPOLLONESHOT), 0);
    }
    return unused;
}

static void one_shots(void)
{
    pthread_t thread[WORKERS];

    jobs_set = epoll_create1(0);
    finished = eventfd(0, 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, jobs) == 0);
    CHECK_EQ(watch(jobs_set, EPOLL_CTL_ADD, jobs[0], EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(watch(jobs_set, EPOLL_CTL_ADD, finished, EPOLLIN), 0);
    for (int i = 0; i < WORKERS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, work, NULL) == 0);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(send(jobs[1], "j", 1, 0), 1);
    WAIT_UNTIL(done == JOBS);
    uint64_t one = 1;
    CHECK_EQ(write(finished, &one, sizeof(one)), sizeof(one));
    for (int i = 0; i < WORKERS; i++)
        pthread_join(thread[i], NULL);
    CHECK_EQ(overlaps, 0);
    close(jobs[0]), close(jobs[1]), close(finished), close(jobs_set);
}

/* ---- files that come and go while others wait -------------------------------------------------------------------- */
#define COMERS 4
#define COMINGS 150

static int shared[2];
static atomic_int comers_left;

static void come_and_go(uint64_t *random)
{
    int fd[3], own = epoll_create1(0);
    uint64_t one = 1;

    REQUIRE(own >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0 && (fd[2] = eventfd(0, EFD_NONBLOCK)) >= 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(watch(shared[0], EPOLL_CTL_ADD, fd[i], EPOLLIN | EPOLLET), 0);
        CHECK_EQ(watch(shared[1], EPOLL_CTL_ADD, fd[i], EPOLLIN | EPOLLONESHOT), 0);
        CHECK_EQ(watch(own, EPOLL_CTL_ADD, fd[i], EPOLLIN), 0);
    }
    CHECK_EQ(send(fd[0], "x", 1, 0), 1);
    CHECK_EQ(write(fd[2], &one, sizeof(one)), sizeof(one));
    CHECK_EQ(watch(shared[random_next(random) % 2], EPOLL_CTL_MOD, fd[random_next(random) % 3], EPOLLIN), 0);
    CHECK_EQ(watch(shared[random_next(random) % 2], EPOLL_CTL_DEL, fd[random_next(random) % 3], 0), 0);
    struct epoll_event ready[4];
    CHECK_EQ(epoll_wait(own, ready, 4, 5000), 2);
    if (random_next(random) % 2)
        close(own), own = -1;
    unsigned first = (unsigned)random_next(random) % 3;
    for (unsigned i = 0; i < 3; i++)
        close(fd[(first + i) % 3]);
    if (own >= 0) {
        /* Another thread may hold a closed file for a moment: then it is still in the set. */
        int left = epoll_wait(own, ready, 4, 0);
        for (int tries = 0; left && tries < 1000; tries++) {
            sleep_ms(1);
            left = epoll_wait(own, ready, 4, 0);
        }
        CHECK_EQ(left, 0);
        close(own);
    }
}

static void *comer(void *seed)
{
    uint64_t random = (uintptr_t)seed;

    for (int i = 0; i < COMINGS; i++)
        come_and_go(&random);
    comers_left--;
    return NULL;
}

static void *onlooker(void *set)
{
    struct epoll_event ready[4];

    while (comers_left)
        CHECK(epoll_wait(*(int *)set, ready, 4, 5) >= 0);
    return NULL;
}

static void comings_and_goings(void)
{
    pthread_t thread[COMERS + 2];
    struct epoll_event ready;

    comers_left = COMERS;
    for (int i = 0; i < 2; i++) {
        shared[i] = epoll_create1(0);
        REQUIRE(pthread_create(&thread[COMERS + i], NULL, onlooker, &shared[i]) == 0);
    }
    for (int i = 0; i < COMERS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, comer, (void *)(uintptr_t)(i + 1)) == 0);
    for (int i = 0; i < COMERS + 2; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(epoll_wait(shared[i], &ready, 1, 0), 0); /* all have left */
        close(shared[i]);
    }
}

/* ---- room for one, and more than that is ready ------------------------------------------------------------------- */
static void turns(void)
{
    int pair[2], set = epoll_create1(0), fd[4], seen = 0;
    uint64_t one = 1;

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    fd[0] = pair[0];
    CHECK_EQ(send(pair[1], "x", 1, 0), 1);
    for (int i = 1; i < 4; i++) {
        fd[i] = eventfd(0, 0);
        CHECK_EQ(write(fd[i], &one, sizeof(one)), sizeof(one));
    }
    for (int i = 0; i < 4; i++)
        CHECK_EQ(watch(set, EPOLL_CTL_ADD, fd[i], EPOLLIN), 0);
    for (int n = 0; n < 12; n++) {
        struct epoll_event ready;
        CHECK_EQ(epoll_wait(set, &ready, 1, 1000), 1);
        for (int i = 0; i < 4; i++)
            seen |= (ready.data.fd == fd[i]) << i;
    }
    CHECK_EQ(seen, 15);
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    close(pair[1]);
    close(set);
}

int main(int argc, char **argv)
{
    const struct section sections[] = {
        { "many clients", many_clients_4 },
        { "many clients (IPv6)", many_clients_6 },
        { "connecting", connecting },
        { "edges", edges },
        { "changes", changes },
        { "one shots", one_shots },
        { "comings and goings", comings_and_goings },
        { "turns", turns },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
