/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks, sleeping and interval timers. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <unistd.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
    alarms += sig == SIGALRM;
}

static void install(void)
{
    struct sigaction action = { .sa_handler = on_alarm };
    alarms = 0;
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
}

static void *read_clock(void *unused)
{
    int64_t last = 0;
    for (int i = 0; i < 2000; i++) {
        int64_t now = now_ns(CLOCK_MONOTONIC);
        CHECK(now >= last);
        last = now;
    }
    return unused;
}

static void clocks(void)
{
    static const clockid_t ids[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                                     CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME };
    struct timespec when;
    struct timeval day;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        CHECK_EQ(clock_gettime(ids[i], &when), 0);
        CHECK(when.tv_sec >= 0 && when.tv_nsec >= 0 && when.tv_nsec < 1000000000);
        CHECK_EQ(clock_getres(ids[i], &when), 0);
        CHECK(when.tv_sec == 0 && when.tv_nsec > 0);
    }
    CHECK_ERRNO(clock_gettime(9999, &when), EINVAL);
    CHECK_EQ(gettimeofday(&day, NULL), 0);
    time_t seconds = time(NULL);
    clock_gettime(CLOCK_REALTIME, &when);
    CHECK(seconds - day.tv_sec <= 2 && seconds >= day.tv_sec);
    CHECK(when.tv_sec - seconds <= 2 && when.tv_sec >= seconds);
    CHECK(seconds > 1700000000);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, read_clock, NULL) == 0);
    read_clock(NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void sleeping(void)
{
    static const long lengths[] = { 0, 1, 1000, 1000000, 15000000 };
    for (int i = 0; i < 5; i++) {
        int64_t before = now_ns(CLOCK_MONOTONIC);
        CHECK_EQ(nanosleep(&(struct timespec){ 0, lengths[i] }, NULL), 0);
        int64_t took = now_ns(CLOCK_MONOTONIC) - before;
        CHECK(took >= lengths[i] && took < lengths[i] + 5000000000ll);
    }
    CHECK_ERRNO(nanosleep(&(struct timespec){ 0, 1000000000 }, NULL), EINVAL);
    CHECK_ERRNO(nanosleep(&(struct timespec){ -1, 0 }, NULL), EINVAL);
    for (int i = 0; i < 2; i++) {
        clockid_t clock = i ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        int64_t target = now_ns(clock) + 12000000;
        struct timespec when = { target / 1000000000, target % 1000000000 };
        CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &when, NULL), 0);
        CHECK(now_ns(clock) >= target);
        CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &when, NULL), 0); /* in the past: at once */
    }
    CHECK_EQ(usleep(2000), 0);
}

static void interval_timer(void)
{
    struct itimerval timer = { { 0, 5000 }, { 0, 10000 } }, old;
    install();
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
    CHECK_EQ(old.it_interval.tv_usec, 5000);
    CHECK(old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 10000);
    WAIT_UNTIL(alarms >= 5);
    timer = (struct itimerval){ 0 };
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, &old), 0);
    CHECK_EQ(old.it_interval.tv_usec, 5000);
    int seen = alarms;
    sleep_ms(20);
    CHECK_EQ(alarms, seen);
    CHECK_ERRNO(setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 1000000 } }, NULL), EINVAL);
    CHECK_ERRNO(setitimer(7, &timer, NULL), EINVAL);
}

static void alarm_clock(void)
{
    install();
    CHECK_EQ(alarm(100), 0);
    unsigned left = alarm(0);
    CHECK(left == 100 || left == 99);
    CHECK_EQ(alarm(0), 0);
    alarm(1);
    struct timespec rest = { 5, 0 };
    CHECK_ERRNO(nanosleep(&rest, &rest), EINTR);
    CHECK_EQ(alarms, 1);
    CHECK(rest.tv_sec >= 3);
}

/* A computation that makes no system call is interrupted all the same. */
static void alarm_in_computation(void)
{
    install();
    setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 5000 } }, NULL);
    uint64_t spins = 0;
    while (!alarms && ++spins < 50000000000ull)
        __asm__ volatile("pause");
    CHECK_EQ(alarms, 1);
}

static void cpu_time(void)
{
    struct rusage before, after;
    struct tms ticks;
    CHECK_EQ(getrusage(RUSAGE_SELF, &before), 0);
    int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID), wall = now_ns(CLOCK_MONOTONIC);
    sleep_ms(30);
    int64_t slept = now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    CHECK(slept < 25000000); /* sleeping costs none, interrupts some */
    while (now_ns(CLOCK_THREAD_CPUTIME_ID) - start < 40000000)
        for (int i = 0; i < 10000; i++)
            __asm__ volatile("");
    CHECK(now_ns(CLOCK_MONOTONIC) - wall >= 65000000 - slept);
    CHECK_EQ(getrusage(RUSAGE_SELF, &after), 0);
    CHECK(after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec + after.ru_stime.tv_sec * 1000000 + after.ru_stime.tv_usec >
          before.ru_utime.tv_sec * 1000000 + before.ru_utime.tv_usec);
    CHECK(times(&ticks) != (clock_t)-1);
    CHECK(ticks.tms_utime + ticks.tms_stime >= 1);
    CHECK(clock() > 0);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "clocks", clocks },
        { "sleeping", sleeping },
        { "interval timer", interval_timer },
        { "alarm", alarm_clock },
        { "alarm in a computation", alarm_in_computation },
        { "CPU time", cpu_time },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
