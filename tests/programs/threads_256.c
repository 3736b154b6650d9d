/* SPDX-License-Identifier: Apache-2.0
 *
 * Many threads: threads_256 [--time] [COUNT [ROUNDS]]. All alive at once; then, ROUNDS times, one after the other and in waves.
 * Each finds its thread-local storage as the program defines it and nobody else's marks in it, and keeps marks of its own in it,
 * on its stack and in a vector register while all the others are alive. If a thread cannot be created, the first line tells how
 * many could, and the exit status is 11. --time: microseconds until all were created and until all were alive, to standard
 * error. */
#include "check.h"

#include <pthread.h>
#include <unistd.h>

#define MOST  1024
#define STACK (128 * 1024)

static __thread uint64_t tls_initial = 0x1122334455667788;
static __thread uint64_t tls_zero[96];
static __thread uint64_t tls_aligned __attribute__((aligned(64)));

static pthread_t threads[MOST];
static long count = 256, rounds = 1;
static pthread_attr_t attr;

/* A gate that all threads of a group reach before any goes on. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long arrived;
static bool open_gate;

static uint64_t mark(uint64_t number, uint64_t i)
{
    return (number + 1) * 0x9e3779b97f4a7c15 ^ i * 0xd6e8feb86659fd93;
}

static void leave_marks(uint64_t number, uint64_t *stack, size_t words)
{
    CHECK_EQ(tls_initial, 0x1122334455667788);
    CHECK_EQ(tls_aligned, 0);
    CHECK_EQ((uintptr_t)&tls_aligned % 64, 0);
    for (size_t i = 0; i < 96; i++) {
        if (tls_zero[i])
            CHECK_EQ(tls_zero[i], 0);
        tls_zero[i] = mark(number, i);
    }
    for (size_t i = 0; i < words; i++)
        stack[i] = mark(number, i + 1000);
    tls_initial = tls_aligned = number;
}

static uint64_t find_marks(uint64_t number, const uint64_t *stack, size_t words)
{
    uint64_t sum = 0;
    CHECK_EQ(tls_initial, number);
    CHECK_EQ(tls_aligned, number);
    for (size_t i = 0; i < 96; i++)
        sum += tls_zero[i] == mark(number, i);
    for (size_t i = 0; i < words; i++)
        sum += stack[i] == mark(number, i + 1000);
    return sum;
}

static void pass_gate(void)
{
    pthread_mutex_lock(&lock);
    arrived++;
    pthread_cond_broadcast(&changed);
    while (!open_gate)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void wait_for_all(long wanted)
{
    pthread_mutex_lock(&lock);
    while (arrived < wanted)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void set_gate(bool open)
{
    pthread_mutex_lock(&lock);
    open_gate = open;
    if (!open)
        arrived = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void *work(void *arg)
{
    uint64_t number = (uintptr_t)arg, stack[1200], vector;
    leave_marks(number, stack, 1200);
    pass_gate();
    __asm__ volatile("" : : "r"(stack) : "memory");
    CHECK_EQ(find_marks(number, stack, 1200), 1296);
    __asm__ volatile("movq %1, %%xmm9\n"
                     "mov $2000, %%ecx\n"
                     "1: dec %%ecx\n"
                     "jnz 1b\n"
                     "movq %%xmm9, %0\n"
                     : "=r"(vector) : "r"(mark(number, 8)) : "rcx", "xmm9");
    CHECK_EQ(vector, mark(number, 8));
    return (void *)(uintptr_t)(number * 7 + 1);
}

static int create(long i)
{
    return pthread_create(&threads[i], &attr, work, (void *)(uintptr_t)i);
}

static void join(long first, long end)
{
    for (long i = first; i < end; i++) {
        void *result = NULL;
        CHECK_EQ(pthread_join(threads[i], &result), 0);
        CHECK_EQ((uintptr_t)result, (uintptr_t)i * 7 + 1);
    }
}

/* Returns false if not all could be created. */
static bool all_at_once(bool timed)
{
    int error = 0;
    long created = 0;
    int64_t begin = now_ns(CLOCK_MONOTONIC);
    set_gate(false);
    while (created < count && !(error = create(created)))
        created++;
    int64_t done = now_ns(CLOCK_MONOTONIC);
    wait_for_all(created);
    if (timed)
        fprintf(stderr, "threads_256: created %ld in %ld us, all alive after %ld us\n", created, (long)((done - begin) / 1000),
                (long)((now_ns(CLOCK_MONOTONIC) - begin) / 1000));
    set_gate(true);
    join(0, created);
    if (error)
        printf("all at once: %ld, then %s\n", created, error == EAGAIN ? "EAGAIN" : strerror(error));
    else
        printf("all at once: %ld\n", created);
    return !error;
}

static void one_after_the_other(void)
{
    set_gate(true);
    for (long i = 0; i < count; i++) {
        REQUIRE(create(i) == 0);
        join(i, i + 1);
    }
    printf("one after the other: %ld\n", count);
}

/* Each wave is alive at once; the next one begins when the last has been joined. */
static void waves(void)
{
    long done = 0;
    for (long size = 1; done < count; size = size * 3 + 1) {
        long end = done + size < count ? done + size : count;
        set_gate(false);
        for (long i = done; i < end; i++)
            REQUIRE(create(i) == 0);
        wait_for_all(end - done);
        set_gate(true);
        join(done, end);
        done = end;
    }
    printf("waves: %ld\n", done);
}

int main(int argc, char **argv)
{
    bool timed = argc > 1 && !strcmp(argv[1], "--time");
    if (argc > 1 + timed)
        count = atol(argv[1 + timed]);
    if (argc > 2 + timed)
        rounds = atol(argv[2 + timed]);
    if (count < 1 || count > MOST || rounds < 1) {
        fputs("usage: threads_256 [--time] [COUNT [ROUNDS]]\n", stderr);
        return 2;
    }
    REQUIRE(pthread_attr_init(&attr) == 0);
    REQUIRE(pthread_attr_setstacksize(&attr, STACK) == 0);
    if (!all_at_once(timed))
        return 11;
    for (long i = 0; i < rounds; i++) {
        one_after_the_other();
        waves();
    }
    printf("%s\n", checks_failed ? "FAILED" : "ok");
    return checks_failed != 0;
}
