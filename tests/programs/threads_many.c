/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads that begin and end without pause, so that their places are used again and again: threads_many [COUNT]. Each
 * leaves its mark in its own TLS, vector registers and stack; the next user of the place must not find it. */
#include "check.h"

#include <pthread.h>
#include <unistd.h>

static __thread unsigned long tls_mark;
static atomic_long live, most, detached_done;

static void *work(void *number)
{
    unsigned long n = (unsigned long)(uintptr_t)number, result = 0;
    CHECK_EQ(tls_mark, 0);
    tls_mark = n;
    long now = ++live, seen = most;
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    __asm__ volatile("movq %1, %%xmm7\n"
                     "mov $3000, %%ecx\n"
                     "1: dec %%ecx\n"
                     "jnz 1b\n"
                     "movq %%xmm7, %0\n"
                     : "=r"(result) : "r"(n * 77) : "rcx", "xmm7");
    CHECK_EQ(result, n * 77);
    CHECK_EQ(tls_mark, n);
    live--;
    return (void *)(uintptr_t)result;
}

static void *work_detached(void *number)
{
    work(number);
    detached_done++;
    return NULL;
}

static void *parent(void *count)
{
    long sum = 0;
    for (long i = 1; i <= (intptr_t)count; i++) {
        pthread_t child;
        void *result = NULL;
        int error;
        while ((error = pthread_create(&child, NULL, work, (void *)i)) == EAGAIN)
            sleep_ms(1);
        REQUIRE(error == 0);
        CHECK_EQ(pthread_join(child, &result), 0);
        sum += (intptr_t)result;
    }
    return (void *)sum;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 200;
    pthread_t parents[3];
    long sum = 0;
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&parents[i], NULL, parent, (void *)(count / 3)) == 0);
    for (int i = 0; i < 3; i++) {
        void *result = NULL;
        pthread_join(parents[i], &result);
        sum += (intptr_t)result;
    }
    CHECK_EQ(sum, 3 * 77 * (count / 3 * (count / 3 + 1) / 2));
    printf("joined: %ld\n", 3 * (count / 3));

    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (long i = 1; i <= count / 4; i++) {
        pthread_t thread;
        int error;
        for (int tries = 0; (error = pthread_create(&thread, &attr, work_detached, (void *)i)) == EAGAIN && tries < 5000; tries++)
            sleep_ms(1);
        REQUIRE(error == 0);
    }
    WAIT_UNTIL(detached_done == count / 4);
    printf("detached: %ld\n", (long)detached_done);
    CHECK(most >= 1);
    CHECK_EQ(live, 0);
    return checks_failed != 0;
}
