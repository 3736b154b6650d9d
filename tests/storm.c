/* SPDX-License-Identifier: Apache-2.0
 *
 * What the storm rains on: four threads that create and end threads all the time. Every thread computes something in
 * general, vector and memory state whose result is known, makes system calls, and takes signals on the way.
 *
 * usage: storm ROUNDS */
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CREATORS 4
#define STEPS 200

static _Atomic uint64_t handled, sent, wrong;

static void on_signal(int sig)
{
    (void)sig;
    handled++;
}

/* A chain over integer, vector and stack state; the same for everybody who starts from the same seed. */
static uint64_t work(uint64_t seed)
{
    uint64_t memory[16], x = seed;
    __m256i v = _mm256_set1_epi64x((long long)seed);

    for (int i = 0; i < 16; i++)
        memory[i] = seed * (uint64_t)(i + 1);
    for (int i = 0; i < STEPS; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        v = _mm256_add_epi64(v, _mm256_set1_epi64x((long long)x));
        memory[i & 15] ^= x >> 7;
    }
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)lanes, v);
    for (int i = 0; i < 16; i++)
        x += memory[i];
    return x ^ lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3];
}

static uint64_t expected[CREATORS];

static void check(unsigned who)
{
    if (work(who + 1) != expected[who])
        wrong++;
}

static void *child(void *arg)
{
    unsigned who = (unsigned)(uintptr_t)arg;
    check(who);
    if (syscall(SYS_getpid) != getpid())
        wrong++;
    return (void *)work(who + 1);
}

static int rounds;
static pthread_attr_t small_stack;   /* memory is zeroed when it is mapped: 8 MB for each thread would be most of the test */

static void *creator(void *arg)
{
    unsigned who = (unsigned)(uintptr_t)arg;

    for (int i = 0; i < rounds; i++) {
        pthread_t id;
        void *result;
        if (pthread_create(&id, &small_stack, child, arg)) {
            wrong++;
            continue;
        }
        check(who);
        if (i % 4 == 0) {
            sent++;
            pthread_kill(pthread_self(), SIGUSR1);
        }
        if (pthread_join(id, &result) || (uint64_t)result != expected[who])
            wrong++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t ids[CREATORS];

    rounds = argc > 1 ? atoi(argv[1]) : 10;
    sigaction(SIGUSR1, &action, NULL);
    pthread_attr_init(&small_stack);
    pthread_attr_setstacksize(&small_stack, 64 << 10);
    for (unsigned i = 0; i < CREATORS; i++)
        expected[i] = work(i + 1);
    for (unsigned i = 0; i < CREATORS; i++)
        if (pthread_create(&ids[i], &small_stack, creator, (void *)(uintptr_t)i))
            return 2;
    for (unsigned i = 0; i < CREATORS; i++)
        pthread_join(ids[i], NULL);
    printf("threads %d, wrong %lu, signals %lu of %lu\n", rounds * CREATORS, (unsigned long)wrong, (unsigned long)handled,
           (unsigned long)sent);
    return wrong || handled != sent;
}
