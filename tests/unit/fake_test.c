/* SPDX-License-Identifier: Apache-2.0
 *
 * The dispatcher, and the promises of the fake that other tests rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/libos.h"

#include <asm/unistd_64.h>
#include <string.h>
#include <sys/mman.h>

#define APP (1u << 20)

static int setup(void **state)
{
    static struct thread thread;

    (void)state;
    fake_enclave_init(APP);
    thread = (struct thread){.tid = 1, .regs = current_regs(), .syscall_nr = -1};
    set_current_thread(&thread);
    return 0;
}

static void unknown_call_is_enosys_with_its_name(void **state)
{
    struct checkpoint *regs = current_regs();

    (void)state;
    regs->rax = __NR_create_module;
    libos_syscall(regs);
    assert_int_equal((long)regs->rax, -ENOSYS);
    assert_int_equal(current_thread()->syscall_nr, __NR_create_module);
    assert_non_null(strstr(fake_last_log(), "create_module (174)"));
    regs->rax = ~0ull;
    libos_syscall(regs);
    assert_int_equal((long)regs->rax, -ENOSYS);
    assert_non_null(strstr(fake_last_log(), "? (18446744073709551615)"));
}

static void user_copies_survive_bad_pointers(void **state)
{
    uint64_t app = boot_info()->app_start;
    char buf[8192];

    (void)state;
    assert_int_equal(ocall_protect(app + 4096, 4096, PROT_NONE), 0);
    assert_int_equal(ocall_protect(app + 8192, 4096, PROT_READ), 0);
    assert_int_equal(copy_from_user(buf, (void *)app, 4096), 0);
    assert_int_equal(copy_from_user(buf, (void *)app, 4097), -EFAULT);
    assert_int_equal(copy_from_user(buf, (void *)(app + 8192), 16), 0);
    assert_int_equal(copy_to_user((void *)(app + 8192), buf, 16), -EFAULT);
    assert_int_equal(copy_from_user(buf, buf, 16), -EFAULT);
    assert_int_equal(copy_from_user(buf, (void *)(boot_info()->app_end - 8), 16), -EFAULT);
    assert_int_equal(copy_from_user(buf, NULL, 0), -EFAULT);
    uint32_t old = 0;
    assert_int_equal(user_cmpxchg32((uint32_t *)(app + 8192), &old, 1), -EFAULT);
    assert_int_equal(user_cmpxchg32((uint32_t *)app, &old, 1), 0);
    assert_int_equal(old, 0xa5a5a5a5);
    assert_int_equal(clear_user((void *)app, 4096), 0);
    assert_int_equal(strncpy_from_user(buf, (void *)app, 10), 0);
}

static int woken;

static void waiter(struct checkpoint *regs)
{
    char *timespec = bounce_alloc(16);
    long ts[2] = {10, 0};

    untrusted_write(timespec, ts, sizeof(ts));
    long result = ocall_syscall_intr(__NR_nanosleep, (long)timespec, 0, 0, 0, 0, 0);
    if (result == -EINTR && untrusted_events_take() == 1ull << 10 && regs->rdi == 7)
        __atomic_store_n(&woken, 1, __ATOMIC_SEQ_CST);
    unpark(0);
}

static void threads_events_and_park(void **state)
{
    static struct thread child;
    struct checkpoint regs = {.rdi = 7};
    uint32_t slot;

    (void)state;
    fake_thread_main = waiter;
    woken = 0;
    assert_int_equal(thread_create(&child, &regs, &slot), 0);
    assert_true(slot > 0 && slot < FAKE_SLOTS);
    fake_raise(slot, 10);
    for (int i = 0; i < 100 && !__atomic_load_n(&woken, __ATOMIC_SEQ_CST); i++)
        park(50000000);
    fake_join_all();
    assert_int_equal(woken, 1);
    unpark(0);
    park(-1); /* unpark came first: returns at once */
    park(1000000);
}

static void exit_with_3(void *arg)
{
    (void)arg;
    ocall_exit(3 << 8);
}

static void exits_are_caught(void **state)
{
    (void)state;
    assert_int_equal(fake_catch_exit(exit_with_3, NULL), 3 << 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(unknown_call_is_enosys_with_its_name, setup),
        cmocka_unit_test_setup(user_copies_survive_bad_pointers, setup),
        cmocka_unit_test_setup(threads_events_and_park, setup),
        cmocka_unit_test_setup(exits_are_caught, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
