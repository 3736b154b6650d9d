/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals that meet a system call that waits: EINTR, SA_RESTART, sigsuspend, sigwait, pause. */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t runs;
static pthread_t main_thread;
static int pipe_fds[2];

static void on_signal(int sig)
{
    (void)sig;
    runs++;
}

static void install(int sig, int flags)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
    REQUIRE(sigaction(sig, &action, NULL) == 0);
}

static void set_of(sigset_t *set, int sig)
{
    sigemptyset(set);
    sigaddset(set, sig);
}

/* Sends SIGUSR1 to the main thread a few times while it waits, then writes one byte. */
static void *disturb(void *times)
{
    for (intptr_t i = 0; i < (intptr_t)times; i++) {
        sleep_ms(10);
        pthread_kill(main_thread, SIGUSR1);
    }
    sleep_ms(10);
    CHECK_EQ(write(pipe_fds[1], "x", 1), 1);
    return NULL;
}

static pthread_t start_disturbing(intptr_t times)
{
    pthread_t thread;
    runs = 0;
    REQUIRE(pthread_create(&thread, NULL, disturb, (void *)times) == 0);
    return thread;
}

static void restarted_read(void)
{
    char c = 0;
    install(SIGUSR1, SA_RESTART);
    pthread_t thread = start_disturbing(3);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    CHECK(runs >= 1);
    pthread_join(thread, NULL);
}

static void interrupted_read(void)
{
    char c = 0;
    install(SIGUSR1, 0);
    pthread_t thread = start_disturbing(1);
    CHECK_ERRNO(read(pipe_fds[0], &c, 1), EINTR);
    CHECK_EQ(runs, 1);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
}

static void interrupted_poll(void)
{
    char c;
    struct pollfd waiting = { .fd = pipe_fds[0], .events = POLLIN };
    install(SIGUSR1, SA_RESTART); /* never restarted, whatever the flag */
    pthread_t thread = start_disturbing(1);
    CHECK_ERRNO(poll(&waiting, 1, 5000), EINTR);
    CHECK_EQ(poll(&waiting, 1, 5000), 1);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(pipe_fds[0], &readable);
    thread = start_disturbing(1);
    CHECK_ERRNO(select(pipe_fds[0] + 1, &readable, NULL, NULL, &(struct timeval){ .tv_sec = 5 }), EINTR);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
}

static void interrupted_sleep(void)
{
    char c;
    struct timespec left = { 0, 0 }, want = { 3, 0 };
    install(SIGUSR1, SA_RESTART);
    pthread_t thread = start_disturbing(1);
    CHECK_ERRNO(nanosleep(&want, &left), EINTR);
    CHECK(left.tv_sec == 2 && left.tv_nsec > 0);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
    thread = start_disturbing(1);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &want, &left), EINTR);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
}

/* A signal that is ignored or blocked must not be noticed at all. */
static void unnoticed(void)
{
    char c;
    sigset_t set;
    struct timespec left = { 0, 0 }, want = { 0, 60000000 };
    signal(SIGUSR1, SIG_IGN);
    pthread_t thread = start_disturbing(2);
    CHECK_EQ(nanosleep(&want, &left), 0);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
    install(SIGUSR1, 0);
    set_of(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    thread = start_disturbing(2);
    CHECK_EQ(nanosleep(&want, &left), 0);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    CHECK_EQ(runs, 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    CHECK_EQ(runs, 1);
}

static void suspend(void)
{
    sigset_t blocked, none, old;
    install(SIGUSR1, 0);
    set_of(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &old);
    runs = 0;
    raise(SIGUSR1);
    CHECK_EQ(runs, 0);
    sigemptyset(&none);
    CHECK_ERRNO(sigsuspend(&none), EINTR); /* pending already */
    CHECK_EQ(runs, 1);
    sigprocmask(SIG_BLOCK, NULL, &none);
    CHECK(sigismember(&none, SIGUSR1)); /* the old mask is back */
    char c;
    pthread_t thread = start_disturbing(1);
    sigemptyset(&none);
    CHECK_ERRNO(sigsuspend(&none), EINTR); /* arrives meanwhile */
    CHECK_EQ(runs, 1);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void pause_for_timer(void)
{
    install(SIGALRM, 0);
    runs = 0;
    struct itimerval timer = { .it_value = { 0, 30000 } };
    int64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    CHECK_ERRNO(pause(), EINTR);
    CHECK_EQ(runs, 1);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 29000000);
}

static void wait_for(void)
{
    sigset_t set;
    siginfo_t info;
    int got = 0;
    install(SIGUSR1, 0);
    runs = 0;
    set_of(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    CHECK_EQ(sigwait(&set, &got), 0);
    CHECK_EQ(got, SIGUSR1);
    int64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){ 0, 20000000 }), EAGAIN);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 19000000);
    sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 4711 });
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_value.sival_int, 4711);
    CHECK_EQ(info.si_code, SI_QUEUE);
    char c;
    pthread_t thread = start_disturbing(1);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK(info.si_code == SI_TKILL || info.si_code == SI_USER); /* glibc makes one of the other */
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    pthread_join(thread, NULL);
    CHECK_EQ(runs, 0); /* taken, so never handled */
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    CHECK_EQ(runs, 0);
}

static atomic_int stop;

static void *storm(void *unused)
{
    while (!stop) {
        pthread_kill(main_thread, SIGUSR1);
        for (int i = 0; i < 2000; i++)
            __asm__ volatile("pause");
    }
    return unused;
}

/* Signals arrive at every point of a system call that never waits long. */
static void storm_over_calls(void)
{
    pthread_t thread;
    char in[64], out[64];
    install(SIGUSR1, SA_RESTART);
    runs = 0;
    REQUIRE(pthread_create(&thread, NULL, storm, NULL) == 0);
    int64_t give_up = now_ns(CLOCK_MONOTONIC) + 10000000000ll; /* the other thread may have to wait for a processor */
    for (int i = 0; i < 1000 || (runs < 10 && now_ns(CLOCK_MONOTONIC) < give_up); i++) {
        memset(out, i, sizeof(out));
        CHECK_EQ(write(pipe_fds[1], out, sizeof(out)), sizeof(out));
        CHECK_EQ(read(pipe_fds[0], in, sizeof(in)), sizeof(in));
        CHECK(!memcmp(in, out, sizeof(in)));
    }
    stop = 1;
    pthread_join(thread, NULL);
    CHECK(runs >= 10);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "read is restarted", restarted_read },
        { "read is interrupted", interrupted_read },
        { "poll and select are interrupted", interrupted_poll },
        { "sleep is interrupted", interrupted_sleep },
        { "ignored and blocked signals are not noticed", unnoticed },
        { "sigsuspend", suspend },
        { "pause", pause_for_timer },
        { "sigwait", wait_for },
        { "signal storm over system calls", storm_over_calls },
    };
    main_thread = pthread_self();
    REQUIRE(pipe(pipe_fds) == 0);
    return RUN_SECTIONS(sections, argc, argv);
}
