/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers whose interval is shorter than handling one expiration takes. A program in an enclave goes on all the same; natively
 * it may not, so this one does not run there. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMERS 16

static volatile long hits;
static volatile unsigned long sum;

static void on_signal(int sig)
{
    (void)sig;
    hits++;
}

static void work(void)
{
    struct timespec t = {0, 1000};

    for (unsigned long i = 0; i < 500000; i++)
        sum += i;
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(syscall(SYS_getpid), getpid());
        nanosleep(&t, NULL);
    }
    CHECK(hits > 0);
}

static void handle(int sig)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    CHECK_EQ(sigaction(sig, &act, NULL), 0);
    hits = 0;
}

static void interval_timer(void)
{
    struct itimerval every = {{0, 1}, {0, 1}}, none = {{0, 0}, {0, 0}};

    handle(SIGALRM);
    CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
    work();
    CHECK_EQ(setitimer(ITIMER_REAL, &none, NULL), 0);
}

static void posix_timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 1}, {0, 1}};
    timer_t timers[TIMERS];

    handle(SIGUSR1);
    for (int i = 0; i < TIMERS; i++) {
        CHECK_EQ(timer_create(i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &event, &timers[i]), 0);
        CHECK_EQ(timer_settime(timers[i], 0, &every, NULL), 0);
    }
    work();
    for (int i = 0; i < TIMERS; i++) {
        CHECK(timer_getoverrun(timers[i]) >= 0);
        CHECK_EQ(timer_delete(timers[i]), 0);
    }
}

static void long_sleep(void)
{
    struct itimerval every = {{0, 1}, {0, 1}}, none = {{0, 0}, {0, 0}};

    handle(SIGALRM);
    CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
    sleep_ms(20);
    CHECK(hits > 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &none, NULL), 0);
}

static const struct section sections[] = {
    {"interval timer", interval_timer},
    {"posix timers", posix_timers},
    {"long sleep", long_sleep},
};

int main(int argc, char **argv)
{
    return RUN_SECTIONS(sections, argc, argv);
}
