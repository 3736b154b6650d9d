/* SPDX-License-Identifier: Apache-2.0 */
/* signalfd: pending signals read from a descriptor, alone, by several, by poll and epoll, with what was sent along. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static sigset_t blocked(int a, int b)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, a);
    sigaddset(&set, b);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return set;
}

static void reading(void)
{
    sigset_t set = blocked(SIGUSR1, SIGRTMIN + 1), none;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct signalfd_siginfo got[4];

    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK_ERRNO(read(fd, got, sizeof(got)), EAGAIN);
    CHECK_ERRNO(read(fd, got, 127), EINVAL);
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 41 });
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 42 });
    CHECK_EQ(read(fd, got, sizeof(got)), 3 * (long)sizeof(*got));
    CHECK(got[0].ssi_signo == SIGUSR1 && got[0].ssi_code == SI_USER && (pid_t)got[0].ssi_pid == getpid() && got[0].ssi_uid == getuid());
    CHECK(got[1].ssi_signo == (unsigned)SIGRTMIN + 1 && got[1].ssi_code == SI_QUEUE && got[1].ssi_int == 41);
    CHECK(got[2].ssi_int == 42);
    sigpending(&none);
    CHECK(!sigismember(&none, SIGUSR1));
    raise(SIGUSR1);
    sigemptyset(&none);
    CHECK_EQ(signalfd(fd, &none, 0), fd);
    CHECK_ERRNO(read(fd, got, sizeof(got)), EAGAIN);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_EQ(read(fd, got, sizeof(got)), (long)sizeof(*got));
    CHECK_ERRNO(signalfd(0, &set, 0), EINVAL);
    CHECK_ERRNO(signalfd(999, &set, 0), EBADF);
    CHECK_ERRNO(signalfd(-1, &set, 0x1000), EINVAL);
    close(fd);
}

static void *send_soon(void *how)
{
    sleep_ms(20);
    if (how)
        pthread_kill(*(pthread_t *)how, SIGUSR1);
    else
        kill(getpid(), SIGUSR1);
    return NULL;
}

static void waiting(void)
{
    sigset_t set = blocked(SIGUSR1, SIGUSR2);
    int fd = signalfd(-1, &set, 0), epoll_fd = epoll_create1(0);
    struct signalfd_siginfo got;
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    pthread_t thread, self = pthread_self();

    CHECK_EQ(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
    pthread_create(&thread, NULL, send_soon, NULL);
    CHECK(read(fd, &got, sizeof(got)) == sizeof(got) && got.ssi_signo == SIGUSR1);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, send_soon, &self);
    CHECK(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000) == 1);
    CHECK(read(fd, &got, sizeof(got)) == sizeof(got) && got.ssi_code == SI_TKILL);
    pthread_join(thread, NULL);
    CHECK_EQ(epoll_wait(epoll_fd, &event, 1, 0), 0);
    pthread_create(&thread, NULL, send_soon, NULL);
    CHECK(epoll_wait(epoll_fd, &event, 1, 10000) == 1 && event.data.fd == fd);
    CHECK(read(fd, &got, sizeof(got)) == sizeof(got));
    pthread_join(thread, NULL);
    close(fd);
    close(epoll_fd);
}

static void timers(void)
{
    sigset_t set = blocked(SIGALRM, SIGRTMIN);
    int fd = signalfd(-1, &set, 0);
    struct signalfd_siginfo got;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 7 };
    struct itimerspec soon = { .it_value.tv_nsec = 10000000 };
    timer_t timer;

    ualarm(10000, 0);
    CHECK(read(fd, &got, sizeof(got)) == sizeof(got) && got.ssi_signo == SIGALRM);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    timer_settime(timer, 0, &soon, NULL);
    CHECK(read(fd, &got, sizeof(got)) == sizeof(got) && got.ssi_code == SI_TIMER && got.ssi_int == 7);
    timer_delete(timer);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "reading", reading },
        { "waiting", waiting },
        { "timers", timers },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
