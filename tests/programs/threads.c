/* SPDX-License-Identifier: Apache-2.0
 *
 * POSIX threads: life cycle, synchronisation, thread-local storage, cancellation. */
#include "check.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 6

static void *square(void *n)
{
    return (void *)((intptr_t)n * (intptr_t)n);
}

static void create_join(void)
{
    for (int round = 0; round < 5; round++) {
        pthread_t threads[THREADS];
        for (intptr_t i = 0; i < THREADS; i++)
            REQUIRE(pthread_create(&threads[i], NULL, square, (void *)i) == 0);
        for (intptr_t i = 0; i < THREADS; i++) {
            void *result = NULL;
            CHECK_EQ(pthread_join(threads[i], &result), 0);
            CHECK_EQ((intptr_t)result, i * i);
        }
    }
}

static void *identity(void *ids)
{
    ((pid_t *)ids)[0] = syscall(SYS_gettid);
    ((pid_t *)ids)[1] = getpid();
    return NULL;
}

static void ids(void)
{
    pthread_t threads[THREADS];
    pid_t ids[THREADS][2];
    CHECK_EQ(syscall(SYS_gettid), getpid());
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, identity, ids[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(ids[i][1], getpid());
        CHECK(ids[i][0] != getpid());
    }
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long guarded, together;

static void *add_guarded(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        long before = guarded;
        __asm__ volatile("" ::: "memory");
        guarded = before + 1;
        pthread_mutex_unlock(&mutex);
        __atomic_add_fetch(&together, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

static void mutexes(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, add_guarded, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(guarded, THREADS * 2000);
    CHECK_EQ(together, THREADS * 2000);

    pthread_mutexattr_t attr;
    pthread_mutex_t special;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&special, &attr);
    CHECK_EQ(pthread_mutex_unlock(&special), EPERM);
    CHECK_EQ(pthread_mutex_lock(&special), 0);
    CHECK_EQ(pthread_mutex_lock(&special), EDEADLK);
    CHECK_EQ(pthread_mutex_unlock(&special), 0);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&special, &attr);
    CHECK_EQ(pthread_mutex_lock(&special), 0);
    CHECK_EQ(pthread_mutex_lock(&special), 0);
    CHECK_EQ(pthread_mutex_unlock(&special), 0);
    CHECK_EQ(pthread_mutex_unlock(&special), 0);
    CHECK_EQ(pthread_mutex_trylock(&special), 0);
    CHECK_EQ(pthread_mutex_unlock(&special), 0);
}

/* A bounded queue: every number goes in once and comes out once. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t not_full, not_empty;
    int items[8], count, done;
    long sum;
} queue = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, { 0 }, 0, 0, 0 };

static void *produce(void *start)
{
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&queue.mutex);
        while (queue.count == 8)
            pthread_cond_wait(&queue.not_full, &queue.mutex);
        queue.items[queue.count++] = (intptr_t)start + i;
        pthread_cond_signal(&queue.not_empty);
        pthread_mutex_unlock(&queue.mutex);
    }
    return NULL;
}

static void *consume(void *unused)
{
    pthread_mutex_lock(&queue.mutex);
    for (;;) {
        while (!queue.count && !queue.done)
            pthread_cond_wait(&queue.not_empty, &queue.mutex);
        if (!queue.count)
            break;
        queue.sum += queue.items[--queue.count];
        pthread_cond_signal(&queue.not_full);
    }
    pthread_mutex_unlock(&queue.mutex);
    return unused;
}

static void conditions(void)
{
    pthread_t producers[3], consumers[3];
    for (intptr_t i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&producers[i], NULL, produce, (void *)(i * 1000)) == 0);
        REQUIRE(pthread_create(&consumers[i], NULL, consume, NULL) == 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(producers[i], NULL);
    pthread_mutex_lock(&queue.mutex);
    queue.done = 1;
    pthread_cond_broadcast(&queue.not_empty);
    pthread_mutex_unlock(&queue.mutex);
    for (int i = 0; i < 3; i++)
        pthread_join(consumers[i], NULL);
    CHECK_EQ(queue.sum, 300 * (0 + 1000 + 2000) + 3 * (299 * 300 / 2));

    struct timespec when;
    clock_gettime(CLOCK_REALTIME, &when);
    when.tv_nsec += 20000000;
    when.tv_sec += when.tv_nsec / 1000000000;
    when.tv_nsec %= 1000000000;
    int64_t before = now_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&queue.mutex);
    int result;
    while (!(result = pthread_cond_timedwait(&queue.not_empty, &queue.mutex, &when)))
        ;
    pthread_mutex_unlock(&queue.mutex);
    CHECK_EQ(result, ETIMEDOUT);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 15000000);
}

static pthread_barrier_t barrier;
static atomic_int arrived[40], serials;

static void *meet(void *unused)
{
    for (int i = 0; i < 40; i++) {
        arrived[i]++;
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            serials++;
        CHECK_EQ(arrived[i], 4);
    }
    return unused;
}

static void barriers(void)
{
    pthread_t threads[4];
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, meet, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(serials, 40);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static long pair[2];

static void *read_pairs(void *unused)
{
    for (int i = 0; i < 1000; i++) {
        pthread_rwlock_rdlock(&rwlock);
        CHECK_EQ(pair[0], pair[1]);
        pthread_rwlock_unlock(&rwlock);
    }
    return unused;
}

static void *write_pairs(void *unused)
{
    for (int i = 0; i < 500; i++) {
        pthread_rwlock_wrlock(&rwlock);
        pair[0]++;
        __asm__ volatile("pause" ::: "memory");
        pair[1]++;
        pthread_rwlock_unlock(&rwlock);
    }
    return unused;
}

static void rwlocks(void)
{
    pthread_t readers[3], writers[2];
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&readers[i], NULL, read_pairs, NULL) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&writers[i], NULL, write_pairs, NULL) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    CHECK_EQ(pair[0], 1000);
    CHECK_EQ(pair[1], 1000);
}

static __thread int tls_data = 4711;
static __thread char tls_zero[3000];
static __thread struct { long value; } __attribute__((aligned(64))) tls_aligned = { 12 };
static pthread_key_t key;
static atomic_int destroyed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int once_runs;

static void destroy(void *value)
{
    destroyed += (int)(intptr_t)value;
}

static void run_once(void)
{
    once_runs++;
}

static void *use_tls(void *n)
{
    int number = (intptr_t)n;
    CHECK_EQ(tls_data, 4711);
    CHECK_EQ(tls_aligned.value, 12);
    CHECK_EQ((uintptr_t)&tls_aligned % 64, 0);
    for (size_t i = 0; i < sizeof(tls_zero); i++)
        CHECK(tls_zero[i] == 0);
    tls_data = number;
    memset(tls_zero, number, sizeof(tls_zero));
    CHECK(pthread_getspecific(key) == NULL);
    pthread_setspecific(key, n);
    errno = number;
    pthread_once(&once, run_once);
    for (int i = 0; i < 100000; i++)
        __asm__ volatile("pause");
    CHECK_EQ(errno, number);
    CHECK_EQ(tls_data, number);
    CHECK_EQ(tls_zero[2999], number);
    CHECK_EQ((intptr_t)pthread_getspecific(key), number);
    return NULL;
}

static void thread_local_storage(void)
{
    pthread_t threads[THREADS];
    pthread_key_create(&key, destroy);
    for (intptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, use_tls, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(destroyed, THREADS * (THREADS + 1) / 2);
    CHECK_EQ(once_runs, 1);
    CHECK_EQ(tls_data, 4711);
}

static sem_t semaphore;
static atomic_int detached_runs;

static void *post(void *unused)
{
    detached_runs++;
    sem_post(&semaphore);
    return unused;
}

static void detached_and_semaphores(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sem_init(&semaphore, 0, 0);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 10; i++) {
        int result;
        while ((result = pthread_create(&thread, &attr, post, NULL)) == EAGAIN)
            sleep_ms(1); /* an ended thread may hold its place for a moment */
        REQUIRE(result == 0);
        CHECK_EQ(sem_wait(&semaphore), 0);
    }
    CHECK_EQ(detached_runs, 10);
    CHECK_ERRNO(sem_trywait(&semaphore), EAGAIN);
    struct timespec when;
    clock_gettime(CLOCK_REALTIME, &when);
    when.tv_sec -= 1;
    CHECK_ERRNO(sem_timedwait(&semaphore, &when), ETIMEDOUT);
}

static pthread_mutex_t robust;

static void *die_with_lock(void *unused)
{
    pthread_mutex_lock(&robust);
    return unused;
}

static void robust_mutex(void)
{
    pthread_mutexattr_t attr;
    pthread_t thread;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    REQUIRE(pthread_create(&thread, NULL, die_with_lock, NULL) == 0);
    pthread_join(thread, NULL);
    CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(&robust), 0);
    CHECK_EQ(pthread_mutex_unlock(&robust), 0);
    CHECK_EQ(pthread_mutex_lock(&robust), 0);
    CHECK_EQ(pthread_mutex_unlock(&robust), 0);
}

static void *use_stack(void *size)
{
    size_t bytes = (size_t)size - 32768;
    volatile char *local = __builtin_alloca(bytes);
    for (size_t i = 0; i < bytes; i += 512)
        local[i] = i / 512;
    long sum = 0;
    for (size_t i = 0; i < bytes; i += 512)
        sum += local[i] == (char)(i / 512);
    return (void *)(intptr_t)(sum == (long)((bytes + 511) / 512));
}

static void stack_sizes(void)
{
    static const size_t sizes[] = { 65536, 262144, 1048576, 4194304 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        pthread_attr_t attr;
        pthread_t thread;
        void *result = NULL;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, sizes[i]);
        REQUIRE(pthread_create(&thread, &attr, use_stack, (void *)sizes[i]) == 0);
        pthread_join(thread, &result);
        CHECK_EQ((intptr_t)result, 1);
    }
}

static atomic_int cleaned, in_loop;

static void clean(void *unused)
{
    cleaned++;
    (void)unused;
}

static void *wait_to_be_cancelled(void *how)
{
    pthread_cleanup_push(clean, NULL);
    if (how) {
        int old;
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
        in_loop = 1;
        for (;;)
            __asm__ volatile("pause");
    }
    in_loop = 1;
    for (;;)
        sleep(10);
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancellation(void)
{
    for (intptr_t how = 0; how < 2; how++) {
        pthread_t thread;
        void *result = NULL;
        in_loop = cleaned = 0;
        REQUIRE(pthread_create(&thread, NULL, wait_to_be_cancelled, (void *)how) == 0);
        WAIT_UNTIL(in_loop);
        sleep_ms(5);
        CHECK_EQ(pthread_cancel(thread), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
        CHECK_EQ(cleaned, 1);
    }
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "create and join", create_join },
        { "thread and process ids", ids },
        { "mutexes", mutexes },
        { "condition variables", conditions },
        { "barriers", barriers },
        { "read-write locks", rwlocks },
        { "thread-local storage", thread_local_storage },
        { "detached threads, semaphores", detached_and_semaphores },
        { "robust mutex", robust_mutex },
        { "stack sizes", stack_sizes },
        { "cancellation", cancellation },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
