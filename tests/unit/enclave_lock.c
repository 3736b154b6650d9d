/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime's lock in an ordinary process: threads whose GS base is a thread block, and a host that may wake whom it
 * likes. Nobody is in the critical section with somebody else, everybody gets there, and who waits long sleeps. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "enclave/internal.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 12
#define ROUNDS 4000

static struct tcb blocks[THREADS + 1];
static struct vigil_shared shared[THREADS + 1];
static uint64_t sleeps, wakes;
uint32_t threads_inside = 2;
static bool restless; /* the host lets nobody sleep */

struct tcb *tcb_of_slot(uint32_t slot)
{
    assert_true(slot <= THREADS);
    return &blocks[slot];
}

long ocall_syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    assert_int_equal(nr, SYS_futex);
    if (restless && !a1)
        return 0;
    __atomic_add_fetch(a1 ? &wakes : &sleeps, 1, __ATOMIC_RELAXED);
    return syscall(nr, a0, a1, a2, a3, a4, a5);
}

static void become(uint32_t slot)
{
    struct tcb *t = &blocks[slot];

    *t = (struct tcb){.self = t, .slot = slot, .shared = &shared[slot]};
    assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, t), 0);
}

static lock_t a, b;
static uint64_t inside_a, inside_b, done;

static void *work(void *slot)
{
    become((uint32_t)(uint64_t)slot);
    for (int i = 0; i < ROUNDS; i++) {
        lock(&a);
        uint64_t seen = inside_a;
        if (i % 512 == 0)
            sched_yield(); /* while the others wait */
        inside_a = seen + 1;
        if (i % 3 == 0) {
            lock(&b); /* one inside the other */
            inside_b++;
            unlock(&b);
        }
        unlock(&a);
        if (i % 5 == 0) {
            lock(&b);
            inside_b++;
            unlock(&b);
        }
    }
    __atomic_add_fetch(&done, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void run(void)
{
    pthread_t thread[THREADS];

    inside_a = inside_b = done = sleeps = wakes = 0;
    for (uint64_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(done, THREADS);
    assert_int_equal(inside_a, THREADS * ROUNDS);
    assert_int_equal(inside_b, THREADS * ((ROUNDS + 2) / 3 + ROUNDS / 5));
    assert_int_equal(a.word, 0);
    assert_int_equal(b.word, 0);
}

static void nobody_is_left_behind(void **state)
{
    (void)state;
    run();
    assert_true(wakes <= sleeps * 2 + THREADS);
}

static void a_restless_host_is_no_harm(void **state)
{
    (void)state;
    restless = true;
    run();
    restless = false;
}

static void *wait_for_a(void *slot)
{
    become((uint32_t)(uint64_t)slot);
    lock(&a);
    done++;
    unlock(&a);
    return NULL;
}

/* A lock that is held for long costs its waiters one way to the host each. */
static void who_waits_sleeps(void **state)
{
    pthread_t thread[THREADS];

    (void)state;
    sleeps = wakes = done = 0;
    become(THREADS);
    lock(&a);
    for (uint64_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, wait_for_a, (void *)i), 0);
    for (int i = 0; i < 1000 && __atomic_load_n(&sleeps, __ATOMIC_RELAXED) < THREADS; i++)
        usleep(1000);
    usleep(50000);
    assert_int_equal(sleeps, THREADS);
    assert_int_equal(done, 0);
    unlock(&a);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(done, THREADS);
    assert_int_equal(a.word, 0);
}

/* A lock that was taken alone and is given back when somebody waits for it, and the reverse. */
static void not_alone_any_more(void **state)
{
    pthread_t id;

    (void)state;
    become(0);
    threads_inside = 1;
    lock(&a);
    assert_int_equal(a.word, 1);
    threads_inside = 2;
    inside_a = done = 0;
    restless = false;
    assert_int_equal(pthread_create(&id, NULL, wait_for_a, (void *)1ul), 0);
    while (__atomic_load_n(&a.word, __ATOMIC_RELAXED) == 1)
        sched_yield();
    assert_int_equal(done, 0);
    unlock(&a);
    pthread_join(id, NULL);
    assert_int_equal(done, 1);
    lock(&a);
    threads_inside = 1;
    unlock(&a);
    assert_int_equal(a.word, 0);
    threads_inside = 2;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_left_behind), cmocka_unit_test(a_restless_host_is_no_harm),
        cmocka_unit_test(who_waits_sleeps), cmocka_unit_test(not_alone_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
