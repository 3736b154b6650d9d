/* SPDX-License-Identifier: Apache-2.0
 *
 * clone, the end of threads, robust futexes, and signals among threads. */
#define _GNU_SOURCE
#include "libos_sig.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <string.h>
#include <unistd.h>

#define PTHREAD_FLAGS \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define PARENT_TID (user + 256)
#define CHILD_TID (user + 260)

static struct checkpoint child_regs;
static uint32_t child_tid, child_slot, phase;
static uint64_t child_mask;

static uint32_t word_at(uint64_t address)
{
    return __atomic_load_n((uint32_t *)address, __ATOMIC_SEQ_CST);
}

static void wait_phase(uint32_t want)
{
    for (int i = 0; i < 5000 && __atomic_load_n(&phase, __ATOMIC_SEQ_CST) != want; i++)
        usleep(1000);
    assert_int_equal(phase, want);
}

static void set_phase(uint32_t value)
{
    __atomic_store_n(&phase, value, __ATOMIC_SEQ_CST);
}

static void child_notes_and_exits(struct checkpoint *regs)
{
    child_regs = *regs;
    child_tid = current_thread()->tid;
    child_slot = current_thread()->slot;
    child_mask = current_thread()->signals->mask;
    set_phase(1);
    while (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) != 2)
        usleep(500);
    sys_exit(3, 0, 0, 0, 0, 0);
}

static int setup(void **state)
{
    sig_setup(state);
    set_phase(0);
    return clear_user((void *)user, VIGIL_PAGE);
}

static void a_thread_as_pthread_makes_it(void **state)
{
    struct checkpoint *regs = current_regs(), parent;
    uint64_t stack = user + 6 * VIGIL_PAGE;

    (void)state;
    signal_set_mask(0x1234);
    fake_thread_main = child_notes_and_exits;
    regs->rbx = 0x77;
    parent = *regs;
    long tid = sig_call(__NR_clone, PTHREAD_FLAGS, stack, PARENT_TID, CHILD_TID, 0xf5000, 0);
    assert_int_equal(tid, process_pid() + 1);
    assert_int_equal(word_at(PARENT_TID), tid);
    assert_int_equal(word_at(CHILD_TID), 0); /* no CHILD_SETTID */
    wait_phase(1);
    assert_int_equal(child_tid, tid);
    assert_int_not_equal(child_slot, 0);
    assert_int_equal(child_mask, 0x1234);
    assert_int_equal(child_regs.rax, 0);
    assert_int_equal(child_regs.rsp, stack);
    assert_int_equal(child_regs.fsbase, 0xf5000);
    assert_int_equal(child_regs.rip, parent.rip + 2);
    assert_int_equal(child_regs.rbx, 0x77);
    assert_int_equal(threads_count(), 2);
    /* Join: wait for the word, as pthread_join does. */
    *(uint32_t *)CHILD_TID = (uint32_t)tid;
    set_phase(2);
    long result = sys_futex((long)CHILD_TID, FUTEX_WAIT, tid, 0, 0, 0);
    assert_true(result == 0 || result == -EAGAIN);
    assert_int_equal(word_at(CHILD_TID), 0);
    fake_join_all();
    assert_int_equal(threads_count(), 1);
    assert_int_equal(sys_tkill(tid, 0, 0, 0, 0, 0), -ESRCH);
}

static long clone3(struct clone_args *args, uint64_t size)
{
    copy_to_user((void *)(user + 1024), args, size < sizeof(*args) ? size : sizeof(*args));
    return sys_clone3((long)user + 1024, (long)size, 0, 0, 0, 0);
}

static void clone3_likewise(void **state)
{
    struct clone_args args = {.flags = PTHREAD_FLAGS | CLONE_CHILD_SETTID, .stack = user + 4 * VIGIL_PAGE,
                              .stack_size = VIGIL_PAGE, .parent_tid = PARENT_TID, .child_tid = CHILD_TID, .tls = 0xabc};

    (void)state;
    assert_int_equal(clone3(&args, 63), -EINVAL);
    assert_int_equal(clone3(&args, 5000), -E2BIG);
    assert_int_equal(sys_clone3(8, 64, 0, 0, 0, 0), -EFAULT);
    *(uint8_t *)(user + 1024 + 100) = 1;
    assert_int_equal(clone3(&args, 128), -E2BIG);
    *(uint8_t *)(user + 1024 + 100) = 0;
    args.exit_signal = 17;
    assert_int_equal(clone3(&args, 64), -EINVAL);
    args.exit_signal = 0;
    args.stack_size = 0;
    assert_int_equal(clone3(&args, 64), -EINVAL);
    args.stack_size = VIGIL_PAGE;
    args.flags |= 1;
    assert_int_equal(clone3(&args, 64), -EINVAL);
    args.flags &= ~1ull;
    fake_thread_main = child_notes_and_exits;
    long tid = clone3(&args, 128);
    assert_true(tid > 0);
    assert_int_equal(word_at(PARENT_TID), tid);
    assert_int_equal(word_at(CHILD_TID), tid);
    wait_phase(1);
    assert_int_equal(child_regs.rsp, user + 5 * VIGIL_PAGE);
    assert_int_equal(child_regs.fsbase, 0xabc);
    set_phase(2);
    fake_join_all();
    assert_int_equal(word_at(CHILD_TID), 0);
}

static void processes_are_not_made(void **state)
{
    (void)state;
    assert_int_equal(sys_fork(0, 0, 0, 0, 0, 0), -ENOSYS);
    assert_int_equal(sys_vfork(0, 0, 0, 0, 0, 0), -ENOSYS);
    assert_int_equal(sys_clone(17, 0, 0, 0, 0, 0), -ENOSYS);
    assert_int_equal(sys_clone(CLONE_VM | CLONE_VFORK | 17, (long)user, 0, 0, 0, 0), -ENOSYS);
    assert_int_equal(sys_clone(CLONE_THREAD | CLONE_VM, (long)user, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_clone(CLONE_SIGHAND, (long)user, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_clone(PTHREAD_FLAGS | CLONE_NEWNS, (long)user, 0, 0, 0, 0), -EPERM);
    assert_int_equal(sys_clone(PTHREAD_FLAGS | CLONE_PIDFD, (long)user, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(threads_count(), 1);
}

static void child_waits(struct checkpoint *regs)
{
    (void)regs;
    while (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) != 2)
        usleep(500);
    sys_exit(0, 0, 0, 0, 0, 0);
}

static void limit_of_threads(void **state)
{
    uint32_t made = 0;
    long tid;

    (void)state;
    fake_thread_main = child_waits;
    uint32_t last = process_pid();
    while (made < 100 &&
           (tid = sys_clone(PTHREAD_FLAGS, (long)user + 8192, (long)PARENT_TID, (long)CHILD_TID, 0, 0)) > 0) {
        assert_int_equal(tid, last + 1);
        last = (uint32_t)tid;
        made++;
    }
    assert_int_equal(tid, -EAGAIN);
    assert_int_equal(made, FAKE_SLOTS - 1);
    assert_non_null(strstr(fake_last_log(), "sgx.max_threads"));
    assert_int_equal(threads_count(), FAKE_SLOTS);
    set_phase(2);
    fake_join_all();
    assert_int_equal(threads_count(), 1);
    fake_kmalloc_budget = 1;
    assert_int_equal(sys_clone(PTHREAD_FLAGS, (long)user + 8192, (long)PARENT_TID, (long)CHILD_TID, 0, 0), -ENOMEM);
    fake_kmalloc_budget = -1;
    assert_int_equal(threads_count(), 1);
}

static void exit_alone(void *arg)
{
    (void)arg;
    sys_exit(7, 0, 0, 0, 0, 0);
}

static void last_thread_ends_the_process(void **state)
{
    struct thread *self = current_thread();

    (void)state;
    assert_int_equal(fake_catch_exit(exit_alone, NULL), 7 << 8);
    assert_int_equal(threads_count(), 0);
    self->next = NULL;
}

/* ---- robust futexes ---------------------------------------------------------------------------------------------- */
static void robust_list(void **state)
{
    uint64_t head[3] = {user + 64, 16, user + 192}, entry1[3] = {user + 128 + 1 /* PI */, 0, 0};
    uint64_t entry2[3] = {user + 160, 0, 0}, entry3[3] = {user, 0, 0};
    struct thread *self = current_thread();
    uint32_t tid = self->tid;

    (void)state;
    copy_to_user((void *)user, head, sizeof(head));
    copy_to_user((void *)(user + 64), entry1, sizeof(entry1));
    copy_to_user((void *)(user + 128), entry2, sizeof(entry2));
    copy_to_user((void *)(user + 160), entry3, sizeof(entry3));
    *(uint32_t *)(user + 80) = tid | FUTEX_WAITERS;
    *(uint32_t *)(user + 144) = tid;
    *(uint32_t *)(user + 176) = tid + 1;          /* somebody else's */
    *(uint32_t *)(user + 208) = tid;              /* being taken */
    assert_int_equal(sys_set_robust_list((long)user, 23, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_set_robust_list((long)user, 24, 0, 0, 0, 0), 0);
    assert_int_equal(sys_get_robust_list(0, (long)user + 512, (long)user + 520, 0, 0, 0), 0);
    assert_int_equal(*(uint64_t *)(user + 512), user);
    assert_int_equal(*(uint64_t *)(user + 520), 24);
    assert_int_equal(fake_catch_exit(exit_alone, NULL), 7 << 8);
    assert_int_equal(word_at(user + 80), FUTEX_WAITERS | FUTEX_OWNER_DIED);
    assert_int_equal(word_at(user + 144), FUTEX_OWNER_DIED);
    assert_int_equal(word_at(user + 176), tid + 1);
    assert_int_equal(word_at(user + 208), FUTEX_OWNER_DIED);
}

static void robust_list_that_is_broken(void **state)
{
    uint64_t circle[3] = {user + 64, 0x10, 0};

    (void)state;
    copy_to_user((void *)user, circle, sizeof(circle));
    copy_to_user((void *)(user + 64), circle, sizeof(circle)); /* its own successor, for ever */
    sys_set_robust_list((long)user, 24, 0, 0, 0, 0);
    assert_int_equal(fake_catch_exit(exit_alone, NULL), 7 << 8);
    current_thread()->robust_list = 8;
    assert_int_equal(fake_catch_exit(exit_alone, NULL), 7 << 8);
    uint64_t wild[3] = {~0ull, ~0ull, ~0ull};
    copy_to_user((void *)user, wild, sizeof(wild));
    current_thread()->robust_list = user;
    assert_int_equal(fake_catch_exit(exit_alone, NULL), 7 << 8);
}

/* ---- signals among threads --------------------------------------------------------------------------------------- */
static long child_got;

static void child_sigwaits(struct checkpoint *regs)
{
    uint64_t set = SIG_BIT(10) | SIG_BIT(12);

    (void)regs;
    copy_to_user((void *)(user + 600), &set, sizeof(set));
    set_phase(1);
    child_got = sys_rt_sigtimedwait((long)user + 600, 0, 0, SIGSET_SIZE, 0, 0);
    sys_exit(0, 0, 0, 0, 0, 0);
}

/* All block it, one waits for it: it gets it, whether sent to the process or told by the host to somebody else. */
static void sigwait_in_another_thread(void **state)
{
    (void)state;
    signal_set_mask(SIG_BIT(10) | SIG_BIT(12));
    for (int by_host = 0; by_host < 2; by_host++) {
        set_phase(0);
        fake_thread_main = child_sigwaits;
        assert_true(sys_clone(PTHREAD_FLAGS, (long)user + 8192, (long)PARENT_TID, (long)CHILD_TID, 0, 0) > 0);
        wait_phase(1);
        usleep(20000);
        if (by_host) {
            fake_raise(0, 12);
            assert_false(signals_pending());
        } else {
            sys_kill(process_pid(), 10, 0, 0, 0, 0);
        }
        fake_join_all();
        assert_int_equal(child_got, by_host ? 12 : 10);
    }
}

static void child_pauses(struct checkpoint *regs)
{
    set_phase(1);
    regs->rip = 0x2000;
    regs->rsp = user + 6 * VIGIL_PAGE;
    child_got = sig_call(__NR_pause, 0, 0, 0, 0, 0, 0);
    child_regs = *regs;
    sys_exit(0, 0, 0, 0, 0, 0);
}

/* The process's signal goes to the thread that does not block it; blocking it hands it on. */
static void signals_find_a_thread(void **state)
{
    (void)state;
    sig_action(10, SIG_HANDLER, 0, 0);
    for (int round = 0; round < 3; round++) {
        set_phase(0);
        signal_set_mask(0);
        fake_thread_main = child_pauses;
        long tid = sys_clone(PTHREAD_FLAGS, (long)user + 8192, (long)PARENT_TID, (long)CHILD_TID, 0, 0);
        assert_true(tid > 0);
        wait_phase(1);
        usleep(20000);
        if (round == 0) {
            signal_set_mask(SIG_BIT(10));
            sys_kill(process_pid(), 10, 0, 0, 0, 0);
        } else if (round == 1) {
            sys_kill(process_pid(), 10, 0, 0, 0, 0); /* we could take it ... */
            signal_set_mask(SIG_BIT(10));            /* ... but now we do not */
        } else {
            sys_tgkill(process_pid(), tid, 10, 0, 0, 0);
        }
        fake_join_all();
        assert_int_equal(child_regs.rip, SIG_HANDLER);
        assert_int_equal(shared_pending.set, 0);
        assert_int_equal(current_thread()->signals->pending.set, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, sig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_thread_as_pthread_makes_it), TEST(clone3_likewise), TEST(processes_are_not_made), TEST(limit_of_threads),
        TEST(last_thread_ends_the_process), TEST(robust_list), TEST(robust_list_that_is_broken),
        TEST(sigwait_in_another_thread), TEST(signals_find_a_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
