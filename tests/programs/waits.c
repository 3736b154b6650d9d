/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing spins while it waits: every kind of wait, on one processor, ended by another thread after a while. The process may
 * use a fraction of that time. */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define WAIT_MS 150
#define CPU_MS 60 /* at most; a spinning wait takes all of WAIT_MS */

static int pipes[2], sockets[2], event;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static pthread_barrier_t barrier;
static volatile int ready;
static pthread_t waiter;

/* What ends a wait, in the other thread. */
static void write_pipe(void) { CHECK_EQ(write(pipes[1], "x", 1), 1); }
static void read_pipe(void)
{
    static char bytes[65536];
    CHECK_EQ(read(pipes[0], bytes, sizeof(bytes)), sizeof(bytes));
}
static void write_socket(void) { CHECK_EQ(write(sockets[1], "x", 1), 1); }
static void write_event(void) { CHECK_EQ(write(event, &(uint64_t){ 1 }, 8), 8); }
static void unlock_mutex(void) { pthread_mutex_unlock(&mutex); }
static void signal_condition(void)
{
    pthread_mutex_lock(&mutex);
    ready = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
}
static void post(void) { sem_post(&semaphore); }
static void meet(void) { pthread_barrier_wait(&barrier); }
static void send_signal(void) { pthread_kill(waiter, SIGUSR1); }
static void nothing(void) {}

static void (*ending)(void);
static void (*starting)(void);
static volatile int started;

static void *end_it(void *arg)
{
    if (starting)
        starting();
    started = 1;
    sleep_ms(WAIT_MS);
    ending();
    return arg;
}

static int64_t cpu_ns(void) { return now_ns(CLOCK_PROCESS_CPUTIME_ID); }

static void wait_and_measure(const char *name, void (*before)(void), void (*wait)(void), void (*end)(void))
{
    pthread_t thread;

    starting = before;
    ending = end;
    started = 0;
    REQUIRE(pthread_create(&thread, NULL, end_it, NULL) == 0);
    while (!started)
        sleep_ms(1);
    int64_t wall = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns();
    wait();
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    cpu = cpu_ns() - cpu;
    pthread_join(thread, NULL);
    if (wall < (WAIT_MS - 30) * 1000000ll || cpu > CPU_MS * 1000000ll) {
        fprintf(stderr, "%s: waited %ld ms, used %ld ms\n", name, (long)(wall / 1000000), (long)(cpu / 1000000));
        CHECK(!"the wait ended early, or it took the processor");
    }
    printf("%s: ok\n", name);
}

static char byte;
static void in_read(void) { CHECK_EQ(read(pipes[0], &byte, 1), 1); }
static void in_write(void)
{
    static char bytes[65536 + 4096];
    CHECK_EQ(write(pipes[1], bytes, sizeof(bytes)), sizeof(bytes));
    CHECK_EQ(read(pipes[0], bytes, 4096), 4096);
}
static void in_recv(void) { CHECK_EQ(recv(sockets[0], &byte, 1, 0), 1); }
static void in_event(void)
{
    uint64_t value;
    CHECK_EQ(read(event, &value, 8), 8);
}
static void in_timer(void)
{
    uint64_t times;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(fd, 0, &(struct itimerspec){ .it_value = { 0, WAIT_MS * 1000000 } }, NULL);
    CHECK_EQ(read(fd, &times, 8), 8);
    close(fd);
}
static void in_poll(void)
{
    struct pollfd fds[] = { { pipes[0], POLLIN, 0 }, { sockets[0], POLLIN, 0 } };
    CHECK_EQ(poll(fds, 2, 10000), 1);
    CHECK_EQ(read(pipes[0], &byte, 1), 1);
}
static void in_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(sockets[0], &set);
    CHECK_EQ(select(sockets[0] + 1, &set, NULL, NULL, NULL), 1);
    CHECK_EQ(read(sockets[0], &byte, 1), 1);
}
static void in_epoll(void)
{
    struct epoll_event interest = { .events = EPOLLIN }, got;
    int epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, event, &interest);
    epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[0], &interest);
    CHECK_EQ(epoll_wait(epoll, &got, 1, -1), 1);
    in_event();
    close(epoll);
}
static void lock_mutex(void) { pthread_mutex_lock(&mutex); }
static void in_mutex(void)
{
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}
static void in_condition(void)
{
    pthread_mutex_lock(&mutex);
    while (!ready)
        pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
}
static void in_semaphore(void) { sem_wait(&semaphore); }
static void in_barrier(void) { pthread_barrier_wait(&barrier); }
static void in_sleep(void) { sleep_ms(WAIT_MS); }
static void in_sigwait(void)
{
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigwait(&set, &sig), 0);
}
static void *sleeper(void *arg)
{
    sleep_ms(WAIT_MS);
    return arg;
}
static void in_join(void)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    pthread_join(thread, NULL);
}

int main(void)
{
    cpu_set_t one;
    sigset_t set;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    waiter = pthread_self();
    event = eventfd(0, 0);
    REQUIRE(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0 && event >= 0);
    sem_init(&semaphore, 0, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    wait_and_measure("read", NULL, in_read, write_pipe);
    wait_and_measure("write", NULL, in_write, read_pipe);
    wait_and_measure("recv", NULL, in_recv, write_socket);
    wait_and_measure("eventfd", NULL, in_event, write_event);
    wait_and_measure("timerfd", NULL, in_timer, nothing);
    wait_and_measure("poll", NULL, in_poll, write_pipe);
    wait_and_measure("select", NULL, in_select, write_socket);
    wait_and_measure("epoll", NULL, in_epoll, write_event);
    wait_and_measure("mutex", lock_mutex, in_mutex, unlock_mutex);
    wait_and_measure("condition", NULL, in_condition, signal_condition);
    wait_and_measure("semaphore", NULL, in_semaphore, post);
    wait_and_measure("barrier", NULL, in_barrier, meet);
    wait_and_measure("sleep", NULL, in_sleep, nothing);
    wait_and_measure("sigwait", NULL, in_sigwait, send_signal);
    wait_and_measure("join", NULL, in_join, nothing);
    return atomic_load(&checks_failed) != 0;
}
