/* SPDX-License-Identifier: Apache-2.0
 *
 * Futexes with real threads: who is woken, who is moved, what is never lost. Errors compared with the kernel's. */
#define _GNU_SOURCE
#include "libos_sig.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/time.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* FUTEX_OP of the kernel's header shifts into the sign bit. */
static uint32_t encode(uint32_t op, uint32_t argument, uint32_t compare, uint32_t with)
{
    return op << 28 | (compare & 15) << 24 | (argument & 0xfff) << 12 | (with & 0xfff);
}

#define THREADS 8
#define MS 1000000ll

static volatile uint32_t *word;     /* in application memory: word[0], word[16] */
static struct waiter_thread {
    uint32_t bitset;
    uint64_t timeout;               /* address of a timespec, 0: none */
    long result;
    uint32_t done;
} waiters[THREADS];

static long futex(uint64_t address, int op, uint32_t value, uint64_t timeout, uint64_t address2, uint32_t value3)
{
    return sys_futex((long)address, op, value, (long)timeout, (long)address2, value3);
}

static void sleep_ms(int ms)
{
    usleep((useconds_t)ms * 1000);
}

static void wait_in_thread(struct checkpoint *regs)
{
    struct waiter_thread *w = &waiters[regs->rdi];

    w->result = w->bitset ? futex((uint64_t)word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, w->timeout, 0, w->bitset)
                          : futex((uint64_t)word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, w->timeout, 0, 0);
    __atomic_store_n(&w->done, 1, __ATOMIC_SEQ_CST);
}

static struct thread threads[THREADS];

static void start_thread(int i)
{
    struct checkpoint regs = {.rdi = (uint64_t)i};

    threads[i] = (struct thread){.tid = 100 + (uint32_t)i, .syscall_nr = -1};
    assert_int_equal(signals_thread_init(&threads[i], current_thread()), 0);
    lock(&threads_lock);
    struct thread *t = threads_first();
    while (t->next)
        t = t->next;
    t->next = &threads[i];
    unlock(&threads_lock);
    assert_int_equal(thread_create(&threads[i], &regs, &threads[i].slot), 0);
}

/* Starts n waiters and waits until each sleeps: FUTEX_CMP_REQUEUE to its own word counts them without waking. */
static int start_waiters(int n)
{
    fake_thread_main = wait_in_thread;
    for (int i = 0; i < n; i++)
        start_thread(i);
    int queued = 0;
    for (int tries = 0; tries < 2000 && queued < n; tries++) {
        sleep_ms(1);
        queued = (int)futex((uint64_t)word, FUTEX_REQUEUE, 0, 1000, (uint64_t)(word + 32), 0);
        futex((uint64_t)(word + 32), FUTEX_REQUEUE, 0, 1000, (uint64_t)word, 0);
    }
    return queued;
}

static int finished(void)
{
    int n = 0;

    sleep_ms(20);
    for (int i = 0; i < THREADS; i++)
        n += (int)__atomic_load_n(&waiters[i].done, __ATOMIC_SEQ_CST);
    return n;
}

static int setup(void **state)
{
    sig_setup(state);
    memset(waiters, 0, sizeof(waiters));
    memset(threads, 0, sizeof(threads));
    word = (volatile uint32_t *)user;
    assert_int_equal(clear_user((void *)user, VIGIL_PAGE), 0);
    return 0;
}

static int teardown(void **state)
{
    futex((uint64_t)word, FUTEX_WAKE, 1000, 0, 0, 0);
    futex((uint64_t)(word + 16), FUTEX_WAKE, 1000, 0, 0, 0);
    fake_join_all();
    current_thread()->next = NULL;
    for (int i = 0; i < THREADS; i++)
        if (threads[i].signals)
            signals_thread_exit(&threads[i]);
    return sig_teardown(state);
}

static void wake_wakes_as_many_as_asked(void **state)
{
    (void)state;
    assert_int_equal(start_waiters(5), 5);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE, 2, 0, 0, 0), 2);
    assert_int_equal(finished(), 2);
    assert_int_equal(futex((uint64_t)(word + 16), FUTEX_WAKE, 100, 0, 0, 0), 0);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE, 0x7fffffff, 0, 0, 0), 3);
    fake_join_all();
    for (int i = 0; i < 5; i++)
        assert_int_equal(waiters[i].result, 0);
}

static void bitsets_choose(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        waiters[i].bitset = 1u << i;
    assert_int_equal(start_waiters(4), 4);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE_BITSET, 100, 0, 0, 0x10), 0);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE_BITSET, 100, 0, 0, 0xa), 2);
    assert_int_equal(finished(), 2);
    assert_int_equal(waiters[1].done & waiters[3].done, 1);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE_BITSET, 100, 0, 0, 0), -EINVAL);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE, 100, 0, 0, 0), 2);
}

static void requeue_moves(void **state)
{
    (void)state;
    assert_int_equal(start_waiters(6), 6);
    assert_int_equal(futex((uint64_t)word, FUTEX_CMP_REQUEUE, 1, 3, (uint64_t)(word + 16), 1), -EAGAIN);
    assert_int_equal(futex((uint64_t)word, FUTEX_CMP_REQUEUE, 1, 3, (uint64_t)(word + 16), 0), 4);
    assert_int_equal(finished(), 1);
    assert_int_equal(futex((uint64_t)(word + 16), FUTEX_WAKE, 100, 0, 0, 0), 3);
    assert_int_equal(finished(), 4);
    assert_int_equal(futex((uint64_t)word, FUTEX_REQUEUE, (uint32_t)-1, 3, (uint64_t)(word + 16), 0), -EINVAL);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE, 100, 0, 0, 0), 2);
}

static void wake_op_modifies_and_compares(void **state)
{
    static const struct { int op; uint32_t arg, before, after; } ops[] = {
        {FUTEX_OP_SET, 7, 100, 7}, {FUTEX_OP_ADD, 7, 100, 107}, {FUTEX_OP_ADD, 0xfff, 100, 99},
        {FUTEX_OP_OR, 3, 0x100, 0x103}, {FUTEX_OP_ANDN, 0x10, 0x111, 0x101}, {FUTEX_OP_XOR, 1, 3, 2},
        {FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 5, 9, 32}};
    static const struct { int cmp; uint32_t old; int passes; } compares[] = {
        {FUTEX_OP_CMP_EQ, 5, 1}, {FUTEX_OP_CMP_EQ, 6, 0}, {FUTEX_OP_CMP_NE, 5, 0}, {FUTEX_OP_CMP_NE, 6, 1},
        {FUTEX_OP_CMP_LT, 4, 1}, {FUTEX_OP_CMP_LT, 5, 0}, {FUTEX_OP_CMP_LE, 5, 1}, {FUTEX_OP_CMP_LE, 6, 0},
        {FUTEX_OP_CMP_GT, 6, 1}, {FUTEX_OP_CMP_GT, 5, 0}, {FUTEX_OP_CMP_GE, 5, 1}, {FUTEX_OP_CMP_GE, 4, 0},
        {FUTEX_OP_CMP_LT, (uint32_t)-1, 1}};
    static uint32_t real;

    (void)state;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        uint32_t encoded = encode((uint32_t)ops[i].op, ops[i].arg, FUTEX_OP_CMP_EQ, 1);
        word[16] = real = ops[i].before;
        assert_int_equal(futex((uint64_t)word, FUTEX_WAKE_OP, 1, 1, (uint64_t)(word + 16), encoded), 0);
        assert_int_equal(syscall(SYS_futex, &real + 0, FUTEX_WAKE_OP, 1, 1, &real, encoded), 0);
        assert_int_equal(word[16], ops[i].after);
        assert_int_equal(real, ops[i].after); /* the kernel agrees with the table */
    }
    for (size_t i = 0; i < sizeof(compares) / sizeof(compares[0]); i++) {
        word[0] = compares[i].old;
        /* Nobody waits on the first word; the second is the one that is waited on. */
        waiters[0] = (struct waiter_thread){0};
        word[0] = 0;
        assert_int_equal(start_waiters(1), 1);
        word[0] = compares[i].old;
        uint32_t encoded = encode(FUTEX_OP_SET, 0, (uint32_t)compares[i].cmp, 5);
        assert_int_equal(futex((uint64_t)(word + 16), FUTEX_WAKE_OP, 1, 1, (uint64_t)word, encoded),
                         compares[i].passes);
        futex((uint64_t)word, FUTEX_WAKE, 1, 0, 0, 0);
        fake_join_all();
        current_thread()->next = NULL;
        signals_thread_exit(&threads[0]);
    }
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE_OP, 1, 1, (uint64_t)(word + 16),
                           encode(6, 0, FUTEX_OP_CMP_EQ, 0)), -ENOSYS);
}

static void put_time(uint64_t at, int64_t ns)
{
    struct timespec_image t = ns_timespec(ns);
    assert_int_equal(copy_to_user((void *)at, &t, sizeof(t)), 0);
}

static void timeouts(void **state)
{
    uint64_t at = user + 512;

    (void)state;
    int64_t before = time_now(CLOCK_MONOTONIC);
    put_time(at, 30 * MS);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAIT, 0, at, 0, 0), -ETIMEDOUT);
    assert_true(time_now(CLOCK_MONOTONIC) - before >= 30 * MS);
    put_time(at, time_now(CLOCK_MONOTONIC) + 20 * MS);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAIT_BITSET, 0, at, 0, ~0u), -ETIMEDOUT);
    put_time(at, time_now(CLOCK_REALTIME) + 20 * MS);
    before = time_now(CLOCK_MONOTONIC);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, at, 0, ~0u), -ETIMEDOUT);
    assert_in_range(time_now(CLOCK_MONOTONIC) - before, 15 * MS, 5000 * MS);
    put_time(at, 1); /* long ago */
    assert_int_equal(futex((uint64_t)word, FUTEX_WAIT_BITSET, 0, at, 0, ~0u), -ETIMEDOUT);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE, 1, 0, 0, 0), 0); /* nobody was left behind */
}

/* A signal ends the wait: with a timeout it is continued by restart_syscall, without it is made again. */
static void signals_cut_waits_short(void **state)
{
    uint64_t at = user + 512;

    (void)state;
    sig_action(10, SIG_HANDLER, 0, 0);
    clear_user((void *)user, 64);
    fake_raise(0, 10);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAIT, 0, 0, 0, 0), -ERESTARTSYS);
    put_time(at, 100 * MS);
    int64_t now = time_now(CLOCK_MONOTONIC);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAIT, 0, at, 0, 0), -ERESTART_RESTARTBLOCK);
    assert_in_range(current_thread()->restart_deadline, now + 100 * MS, now + 5000 * MS);
    /* Blocked, it does not. The deadline is that of the first time. */
    signal_set_mask(SIG_BIT(10));
    current_thread()->restart_deadline = now + 20 * MS;
    put_time(at, 1000000 * MS);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAIT, 0, at, 0, 0), -ETIMEDOUT);
    assert_int_equal(futex((uint64_t)word, FUTEX_WAKE, 1, 0, 0, 0), 0);
}

/* The same wrong calls to the kernel, on memory of the same kind. */
static void errors_are_the_kernels(void **state)
{
    uint64_t at = user + 512, none = user + 4 * VIGIL_PAGE;

    (void)state;
    put_time(at, 5 * MS);
    put_time(at + 16, 5 * MS);
    ((volatile int64_t *)(at + 16))[1] = 1000000000;
    assert_int_equal(mm_protect(none, VIGIL_PAGE, PROT_NONE), 0);
    const struct { uint64_t address; int op; uint32_t value; uint64_t timeout, address2; uint32_t value3; } calls[] = {
        {user, FUTEX_WAIT, 1, 0, 0, 0}, {user + 1, FUTEX_WAIT, 0, 0, 0, 0}, {none, FUTEX_WAIT, 0, 0, 0, 0},
        {user, FUTEX_WAIT, 0, at + 16, 0, 0}, {user, FUTEX_WAIT, 0, 8, 0, 0}, {user, FUTEX_WAIT, 0, at, 0, 0},
        {user, FUTEX_WAIT_BITSET, 0, at, 0, 0}, {user, FUTEX_WAKE_BITSET, 1, 0, 0, 0},
        {user + 2, FUTEX_WAKE, 1, 0, 0, 0},
        {none, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0}, {user, 77, 0, 0, 0, 0},
        {none, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, 0, 0, 0}, {8, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, 0, 0, 0},
        {user, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0}, {user, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0},
        {user, FUTEX_CMP_REQUEUE, 1, 1, user + 3, 0},
        {user, FUTEX_CMP_REQUEUE, 1, 1, user + 4, 5}, {user, FUTEX_REQUEUE, 1, (uint32_t)-1, user + 4, 5},
        {user, FUTEX_WAKE_OP, 1, 1, none, 0}, {user, FUTEX_WAKE_OP, 1, 1, user + 6, 0}};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        long ours = futex(calls[i].address, calls[i].op, calls[i].value, calls[i].timeout, calls[i].address2,
                          calls[i].value3);
        long theirs = syscall(SYS_futex, calls[i].address, calls[i].op, calls[i].value, calls[i].timeout,
                              calls[i].address2, calls[i].value3);
        if (theirs < 0)
            theirs = -errno;
        if (ours != theirs)
            fail_msg("call %zu: %ld here, %ld from the kernel", i, ours, theirs);
    }
}

/* ---- no wake-up is lost: a mutex and a counter ------------------------------------------------------------------- */
#define ROUNDS 3000
static uint64_t counter;

static void mutex_lock(void)
{
    uint32_t old = 0;

    if (__atomic_compare_exchange_n(word, &old, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE))
        futex((uint64_t)word, FUTEX_WAIT, 2, 0, 0, 0);
}

static void mutex_unlock(void)
{
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
        futex((uint64_t)word, FUTEX_WAKE, 1, 0, 0, 0);
}

static void count_in_thread(struct checkpoint *regs)
{
    (void)regs;
    for (int i = 0; i < ROUNDS; i++) {
        mutex_lock();
        counter++;
        if (i % 64 == 0)
            usleep(1);
        mutex_unlock();
    }
}

static void nothing_is_lost(void **state)
{
    (void)state;
    counter = 0;
    fake_thread_main = count_in_thread;
    for (int i = 0; i < 4; i++)
        start_thread(i);
    fake_join_all();
    assert_int_equal(counter, 4 * ROUNDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(wake_wakes_as_many_as_asked), TEST(bitsets_choose), TEST(requeue_moves),
        TEST(wake_op_modifies_and_compares), TEST(timeouts), TEST(signals_cut_waits_short),
        TEST(errors_are_the_kernels), TEST(nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
