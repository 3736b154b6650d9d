/* SPDX-License-Identifier: Apache-2.0
 *
 * The futex system call, without a C library in between. */
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAITERS 4

static uint32_t word, other;
static atomic_int woken, waiting;

static long futex(uint32_t *address, int op, uint32_t value, const void *timeout, uint32_t *address2, uint32_t value3)
{
    return syscall(SYS_futex, address, op, value, timeout, address2, value3);
}

static void errors(void)
{
    struct timespec bad = { 0, 1000000000 };
    word = 5;
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 4, NULL, NULL, 0), EAGAIN);
    CHECK_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 5, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex((uint32_t *)16, FUTEX_WAIT, 5, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 5, &bad, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(&word, 99, 5, NULL, NULL, 0), ENOSYS);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 0);
}

static void timeouts(void)
{
    struct timespec relative = { 0, 15000000 }, zero = { 0, 0 }, absolute;
    word = 1;
    int64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, &relative, NULL, 0), ETIMEDOUT);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 15000000);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, &zero, NULL, 0), ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        clockid_t clock = i ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        int op = FUTEX_WAIT_BITSET_PRIVATE | (i ? FUTEX_CLOCK_REALTIME : 0);
        int64_t target = now_ns(clock) + 15000000;
        absolute = (struct timespec){ target / 1000000000, target % 1000000000 };
        CHECK_ERRNO(futex(&word, op, 1, &absolute, NULL, ~0u), ETIMEDOUT);
        CHECK(now_ns(clock) >= target);
        CHECK_ERRNO(futex(&word, op, 1, &absolute, NULL, ~0u), ETIMEDOUT); /* already past */
    }
}

static void *wait_here(void *bits)
{
    waiting++;
    uint32_t mask = bits ? (uint32_t)(uintptr_t)bits : ~0u;
    while (futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, mask) == -1 && errno == EINTR)
        ;
    woken++;
    return NULL;
}

static void start(pthread_t *threads, const uint32_t *bits)
{
    word = other = 0;
    waiting = woken = 0;
    for (int i = 0; i < WAITERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, wait_here, (void *)(uintptr_t)(bits ? bits[i] : 0)) == 0);
    WAIT_UNTIL(waiting == WAITERS);
    sleep_ms(20); /* between counting and sleeping nothing can be seen from outside */
}

static void finish(pthread_t *threads)
{
    word = other = 1;
    for (int i = 0; i < 2000 && woken < WAITERS; i++) {
        futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        futex(&other, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        sleep_ms(1);
    }
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
}

static void wake(void)
{
    pthread_t threads[WAITERS];
    start(threads, NULL);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    WAIT_UNTIL(woken == 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0), 2);
    WAIT_UNTIL(woken == 3);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    WAIT_UNTIL(woken == 4);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 0);
    finish(threads);
}

static void bitsets(void)
{
    static const uint32_t bits[WAITERS] = { 1, 2, 4, 6 };
    pthread_t threads[WAITERS];
    start(threads, bits);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 8), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 1), 1);
    WAIT_UNTIL(woken == 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 2), 2);
    WAIT_UNTIL(woken == 3);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    WAIT_UNTIL(woken == 4);
    finish(threads);
}

static void requeue(void)
{
    pthread_t threads[WAITERS];
    start(threads, NULL);
    CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &other, 7), EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 0), 3); /* one woken, two moved */
    WAIT_UNTIL(woken == 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    WAIT_UNTIL(woken == 2);
    CHECK_EQ(futex(&other, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 2);
    WAIT_UNTIL(woken == 4);
    finish(threads);
}

static void wake_op(void)
{
    pthread_t threads[WAITERS];
    start(threads, NULL);
    other = 10;
    CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10, &other, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 10)), 1);
    CHECK_EQ(other, 15);
    CHECK_EQ(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)2, &word, FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)), 2);
    WAIT_UNTIL(woken == 3);
    CHECK_EQ(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)2, &word, FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_GT, 0)), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)0, &other, FUTEX_OP(FUTEX_OP_XOR, 1, FUTEX_OP_CMP_NE, 0)), 1);
    CHECK_EQ(other, 14);
    finish(threads);
}

static volatile sig_atomic_t handled;
static atomic_int result = -2;

static void on_signal(int sig)
{
    handled += sig == SIGUSR1;
}

static void *wait_for_signal(void *unused)
{
    waiting = 1;
    result = futex(&word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){ 20, 0 }, NULL, 0) == -1 ? errno : 0;
    return unused;
}

static void interrupted(void)
{
    pthread_t thread;
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &action, NULL);
    word = 0;
    waiting = 0;
    REQUIRE(pthread_create(&thread, NULL, wait_for_signal, NULL) == 0);
    WAIT_UNTIL(waiting);
    sleep_ms(20);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    CHECK_EQ(handled, 1);
    CHECK_EQ(result, EINTR);
}

/* A lock of one word: 0 free, 1 taken, 2 taken and waited for. */
static uint32_t lock_word;
static long counter;

static void *count_up(void *unused)
{
    for (int i = 0; i < 3000; i++) {
        uint32_t seen = 0;
        if (!__atomic_compare_exchange_n(&lock_word, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            while (__atomic_exchange_n(&lock_word, 2, __ATOMIC_ACQUIRE))
                futex(&lock_word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
        long before = counter;
        __asm__ volatile("pause" ::: "memory");
        counter = before + 1;
        if (__atomic_exchange_n(&lock_word, 0, __ATOMIC_RELEASE) == 2)
            futex(&lock_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    return unused;
}

static void lost_wakeups(void)
{
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, count_up, NULL) == 0);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(counter, WAITERS * 3000);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "errors", errors },
        { "timeouts", timeouts },
        { "wake", wake },
        { "bit sets", bitsets },
        { "requeue", requeue },
        { "wake and operate", wake_op },
        { "interrupted", interrupted },
        { "no wake-up is lost", lost_wakeups },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
