/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything at once: threads that compute, lock, allocate, call the system, fault on purpose and get signals from a
 * timer and from each other: storm [ROUNDS]. The printed hashes depend on the computation only. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define THREADS 4

static long rounds = 150;
static atomic_long handled, faults;
static pthread_t threads[THREADS];
static atomic_int running;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long guarded;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    int error = errno;
    volatile double noise = 1.5;
    for (int i = 0; i < 20; i++)
        noise = noise * 1.25 + i;
    handled++;
    errno = error;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    faults++;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
}

static void *work(void *number)
{
    int me = (intptr_t)number;
    uint64_t state = me + 1, hash = HASH_START;
    double sum = 0;
    while (!running)
        sched_yield();
    for (long i = 0; i < rounds; i++) {
        for (int j = 0; j < 3000; j++) {
            uint64_t r = random_next(&state);
            sum += (double)r / (j + 1);
            hash = (hash ^ r) * 0x100000001b3ull;
        }
        size_t size = 100 + random_next(&state) % 5000;
        unsigned char *p = malloc(size);
        REQUIRE(p);
        memset(p, me, size);
        __asm__ volatile("ud2" ::: "memory");
        pthread_mutex_lock(&mutex);
        guarded++;
        pthread_mutex_unlock(&mutex);
        CHECK_EQ(getpid() > 0, 1);
        if (i % 8 == 0)
            pthread_kill(threads[(me + 1) % THREADS], SIGUSR1);
        if (i % 16 == 0) {
            void *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHECK(map != MAP_FAILED && *(char *)map == 0);
            munmap(map, 8192);
        }
        for (size_t j = 0; j < size; j += 7)
            hash = (hash ^ p[j]) * 0x100000001b3ull;
        free(p);
    }
    hash = hash_bytes(hash, &sum, sizeof(sum));
    pthread_mutex_lock(&mutex); /* stay until all are through, so that signals find a live thread */
    running--;
    pthread_mutex_unlock(&mutex);
    while (running > 0)
        sleep_ms(1);
    return (void *)hash;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
    struct itimerval timer = { { 0, 2000 }, { 0, 2000 } };
    if (argc > 1)
        rounds = atol(argv[1]);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    action.sa_sigaction = on_fault;
    sigaction(SIGILL, &action, NULL);
    for (intptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    setitimer(ITIMER_REAL, &timer, NULL);
    running = THREADS;
    for (int i = 0; i < THREADS; i++) {
        void *hash = NULL;
        pthread_join(threads[i], &hash);
        printf("thread %d: %016lx\n", i, (uint64_t)hash);
    }
    timer = (struct itimerval){ 0 };
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_EQ(faults, THREADS * rounds);
    CHECK_EQ(guarded, THREADS * rounds);
    CHECK(handled > 0);
    printf("checks: %s\n", checks_failed ? "FAILED" : "ok");
    return checks_failed != 0;
}
