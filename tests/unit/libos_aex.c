/* SPDX-License-Identifier: Apache-2.0
 *
 * Handlers of interruptions: who is called when, with what, and how a handler ends. */
#define _GNU_SOURCE
#include "libos_sig.h"

#include <signal.h>
#include <string.h>

#define FIRST 0x403000ull
#define SECOND 0x404000ull
#define NR VIGIL_SYSCALL_AEX

static int aex_setup(void **state)
{
    memset(fake_aex_counts(), 0, sizeof(struct aex_counts));
    *fake_aex_counts() = (struct aex_counts){.notifications = 1000, .exceptions = 300, .coalesced = 100};
    fake_upcall_wanted = fake_stub_wanted = false;
    sig_setup(state);
    fake_set_aex_notify(true);
    libos_return(current_regs(), false); /* the thread's first way to the application */
    return 0;
}

/* An address where a handler may lie: application memory. */
static uint64_t code(uint64_t which)
{
    return user + (which >> 12 & 0xf) * 16;
}

static long op(long what, uint64_t a, uint64_t b, uint64_t c)
{
    struct checkpoint *regs = current_regs(), before = *regs;
    long result = sig_call(NR, (uint64_t)what, a, b, c, 0, 0);
    *regs = before;
    return result;
}

static void add_handler(uint64_t which, uint64_t arg)
{
    assert_int_equal(op(VIGIL_AEX_OP_REGISTER, code(which), arg, code(SIG_RESTORER)), 0);
}

/* An AEX that is delivered: of the application's own making or not, in the application or in the resume. */
static void aex(bool exception, bool restart)
{
    struct aex_counts *c = fake_aex_counts();

    c->notifications++;
    c->exceptions += exception;
    c->coalesced += restart;
    c->delivered++;
    libos_return(current_regs(), false);
}

static bool in_handler(uint64_t which)
{
    return current_regs()->rip == code(which);
}

static struct vigil_aex_info info_now(void)
{
    struct vigil_aex_info info;

    assert_int_equal(copy_from_user(&info, (void *)current_regs()->rdi, sizeof(info)), 0);
    return info;
}

/* The handler returns: the restorer is popped, rt_sigreturn. */
static void handler_returns(void)
{
    uint64_t restorer;

    assert_int_equal(copy_from_user(&restorer, (void *)current_regs()->rsp, 8), 0);
    assert_int_equal(restorer, code(SIG_RESTORER));
    current_regs()->rsp += 8;
    fake_stub_wanted = false;
    sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
    assert_true(fake_stub_wanted); /* it ends what an AEX began */
}

static void calls_once(void **state)
{
    struct checkpoint before;

    (void)state;
    aex(false, false);
    assert_int_equal(current_regs()->rip, 0x1000); /* nobody has asked */
    add_handler(FIRST, 77);
    assert_true(fake_upcall_wanted);
    before = *current_regs();
    aex(true, false); /* the program's own */
    assert_memory_equal(current_regs(), &before, sizeof(before));

    aex(false, false);
    assert_true(in_handler(FIRST));
    assert_int_equal(current_regs()->rsi, 77);
    assert_true(current_regs()->rsp + 128 < before.rsp && current_regs()->rsp % 16 == 8);
    struct vigil_aex_info info = info_now();
    assert_int_equal(info.rip, before.rip);
    assert_int_equal(info.interruptions, 1);
    assert_int_equal(info.coalesced, 0);
    assert_int_equal(info.total, 2);
    assert_int_equal(info.calls, 1);

    /* On the way in and inside: not again. */
    struct checkpoint inside = *current_regs();
    for (int i = 0; i < 5; i++)
        aex(false, i < 2);
    aex(true, false);
    assert_memory_equal(current_regs(), &inside, sizeof(inside));
    handler_returns();
    assert_memory_equal(current_regs(), &before, sizeof(before));

    /* What came meanwhile waits for the next one. Its own restart calls as the application would. */
    aex(false, true);
    assert_true(in_handler(FIRST));
    info = info_now();
    assert_int_equal(info.rip, before.rip);
    assert_int_equal(info.interruptions, 6);
    assert_int_equal(info.coalesced, 3);
    assert_int_equal(info.total, 8);
    assert_int_equal(info.calls, 2);
    handler_returns();
    assert_int_equal(op(VIGIL_AEX_OP_UNREGISTER, code(FIRST), 77, 0), 0);
    assert_false(fake_upcall_wanted);
    aex(false, false);
    assert_memory_equal(current_regs(), &before, sizeof(before));
}

static void newest_first(void **state)
{
    struct checkpoint before = *current_regs();

    (void)state;
    add_handler(FIRST, 1);
    add_handler(SECOND, 2);
    add_handler(SECOND, 3);
    aex(false, false);
    assert_true(in_handler(SECOND) && current_regs()->rsi == 3);
    uint64_t sp = current_regs()->rsp;
    assert_int_equal(op(VIGIL_AEX_OP_UNREGISTER, code(SECOND), 3, 0), 0); /* itself */
    assert_int_equal(op(VIGIL_AEX_OP_UNREGISTER, code(SECOND), 2, 0), 0); /* the next */
    add_handler(SECOND, 4);                                              /* too new for this batch */
    handler_returns();
    assert_true(in_handler(FIRST) && current_regs()->rsi == 1 && current_regs()->rsp == sp);
    assert_int_equal(info_now().calls, 1);
    aex(false, false);
    assert_true(in_handler(FIRST));
    handler_returns();
    assert_memory_equal(current_regs(), &before, sizeof(before));
    aex(false, false);
    assert_true(in_handler(SECOND) && current_regs()->rsi == 4);
    assert_int_equal(info_now().interruptions, 2);
}

static void set_mask(uint64_t mask)
{
    struct checkpoint before = *current_regs();
    assert_int_equal(copy_to_user((void *)user, &mask, 8), 0);
    assert_int_equal(sig_call(__NR_rt_sigprocmask, SIG_SETMASK, user, 0, 8, 0, 0), 0);
    *current_regs() = before;
}

static void leaves(void **state)
{
    struct checkpoint before = *current_regs();
    uint64_t mask = 1ull << (SIGUSR2 - 1);

    (void)state;
    set_mask(mask);
    add_handler(FIRST, 0);
    assert_int_equal(op(VIGIL_AEX_OP_LEAVE, 0, 0, 0), -EINVAL);
    aex(false, false);
    assert_true(current_thread()->signals->mask & 1ull << (SIGTERM - 1));
    assert_false(current_thread()->signals->mask & 1ull << (SIGSEGV - 1));
    /* Blocking everything and putting the mask back is not leaving. */
    uint64_t inside = current_thread()->signals->mask;
    set_mask(~0ull);
    set_mask(inside);
    uint64_t rsp = current_regs()->rsp;
    aex(false, false);
    assert_int_equal(current_regs()->rsp, rsp);
    /* siglongjmp is. */
    set_mask(mask);
    *current_regs() = before;
    aex(false, false);
    assert_true(in_handler(FIRST));
    assert_int_equal(info_now().interruptions, 2);
    /* longjmp with a word. The mask stays: that is longjmp's way. */
    assert_int_equal(op(VIGIL_AEX_OP_LEAVE, 0, 0, 0), 0);
    *current_regs() = before;
    aex(false, false);
    assert_true(in_handler(FIRST));
    /* longjmp without one. */
    *current_regs() = before;
    aex(false, false);
    assert_int_equal(current_regs()->rip, before.rip);
}

/* A signal's frame where a left handler's frame was is the signal's. */
static void frame_reused(void **state)
{
    struct checkpoint before = *current_regs();
    struct action action = {
        .handler = SIG_HANDLER, .flags = SIG_SA_SIGINFO | SIG_SA_RESTORER, .restorer = SIG_RESTORER};
    struct siginfo_image info;

    (void)state;
    assert_int_equal(copy_to_user((void *)(user + 64), &action, sizeof(action)), 0);
    assert_int_equal(sig_call(__NR_rt_sigaction, SIGSEGV, user + 64, 0, 8, 0, 0), 0);
    *current_regs() = before;
    add_handler(FIRST, 1);
    add_handler(FIRST, 2);
    aex(false, false);
    uint64_t sp = current_regs()->rsp;
    *current_regs() = before;   /* plain longjmp */
    signal_init_image(&info, SIGSEGV, SEGV_MAPERR);
    signal_force(&info);
    aex(true, false);
    assert_int_equal(current_regs()->rip, SIG_HANDLER);
    assert_int_equal(current_regs()->rsp, sp);
    current_regs()->rsp += 8;
    sig_call(__NR_rt_sigreturn, 0, 0, 0, 0, 0, 0);
    assert_int_equal(current_regs()->rip, before.rip);
    assert_int_equal(current_regs()->rsp, before.rsp);
}

static void no_room(void **state)
{
    struct checkpoint before;
    struct vigil_aex_counters c = {.size = sizeof(c)};

    (void)state;
    add_handler(FIRST, 0);
    uint64_t rsp = current_regs()->rsp;
    current_regs()->rsp = 0x800;
    before = *current_regs();
    aex(false, false);
    assert_memory_equal(current_regs(), &before, sizeof(before));
    current_regs()->rsp = rsp;
    aex(false, false);
    assert_true(in_handler(FIRST));
    assert_int_equal(info_now().interruptions, 2);
    assert_int_equal(copy_to_user((void *)user, &c, sizeof(c)), 0);
    assert_int_equal(op(VIGIL_AEX_OP_COUNTERS, user, 0, 0), 0);
    assert_int_equal(copy_from_user(&c, (void *)user, sizeof(c)), 0);
    assert_int_equal(c.missed, 1);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.handlers, 1);
    assert_int_equal(c.thread.notifications, 2); /* not what the thread block had before */
    assert_int_equal(c.thread.exceptions, 0);
    assert_int_equal(c.process.notifications, 1002);
}

static void refusals(void **state)
{
    uint32_t size = VIGIL_AEX_COUNTERS_SIZE_1 - 1;

    (void)state;
    assert_int_equal(op(VIGIL_AEX_OP_ARMED, 0, 0, 0), 1);
    assert_int_equal(op(VIGIL_AEX_OP_REGISTER, 0, 0, code(SIG_RESTORER)), -EINVAL);
    assert_int_equal(op(VIGIL_AEX_OP_REGISTER, code(FIRST), 0, 0), -EINVAL);
    assert_int_equal(op(VIGIL_AEX_OP_REGISTER, (uint64_t)&size, 0, code(SIG_RESTORER)), -EINVAL); /* the runtime's */
    assert_int_equal(op(VIGIL_AEX_OP_UNREGISTER, code(FIRST), 0, 0), -ENOENT);
    for (uint64_t i = 0; i < VIGIL_AEX_HANDLERS_MAX; i++)
        add_handler(FIRST, i);
    assert_int_equal(op(VIGIL_AEX_OP_REGISTER, code(FIRST), 3, code(SIG_RESTORER)), -EEXIST);
    assert_int_equal(op(VIGIL_AEX_OP_REGISTER, code(FIRST), 99, code(SIG_RESTORER)), -ENOSPC);
    assert_int_equal(op(VIGIL_AEX_OP_COUNTERS, 8, 0, 0), -EFAULT);
    assert_int_equal(copy_to_user((void *)user, &size, sizeof(size)), 0);
    assert_int_equal(op(VIGIL_AEX_OP_COUNTERS, user, 0, 0), -EINVAL);
    assert_int_equal(op(17, 0, 0, 0), -EINVAL);
    fake_set_aex_notify(false);
    assert_int_equal(op(VIGIL_AEX_OP_ARMED, 0, 0, 0), 0);
    assert_int_equal(op(VIGIL_AEX_OP_REGISTER, code(SECOND), 0, code(SIG_RESTORER)), -EOPNOTSUPP);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, aex_setup, sig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_once), TEST(newest_first), TEST(leaves), TEST(frame_reused), TEST(no_room), TEST(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
