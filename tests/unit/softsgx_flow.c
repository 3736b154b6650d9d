/* SPDX-License-Identifier: Apache-2.0
 *
 * Leaves in sequence: what a thread of an AEX-Notify runtime goes through. */
#include "softsgx_fixture.h"

static const struct fx_options plain = { .attributes = FX_ATTR };
static const struct fx_options notify = { .attributes = FX_ATTR | SGX_ATTR_AEXNOTIFY,
                                          .tcs_flags = SGX_TCS_AEXNOTIFY };

/* EENTER, interrupts, ERESUME, EEXIT: the enclave's registers survive and the host's come back. */
static void test_interrupt_and_resume(void **state)
{
    struct sgx_cpu before;
    struct fx fx;
    uint8_t live[4096];

    (void)state;
    fx_open(&fx, &plain);
    fx_enter(&fx);
    assert_int_equal(fx.cpu.rip, FX_BASE + FX_OENTRY);
    assert_int_equal(fx.cpu.gpr[SGX_RCX], FX_RIP + 3);
    fx_enclave_registers(&fx);
    for (int i = 0; i < 20; i++) {
        before = fx.cpu;
        memcpy(live, fx.xsave, 416);
        fx_interrupt(&fx);
        assert_false(fx.cpu.enclave_mode);
        assert_int_equal(fx.cpu.rip, FX_AEP);
        assert_int_equal(fx.cpu.fsbase, before.saved_fsbase);
        assert_int_equal(fx_tcs_of(&fx)->cssa, 1);
        fx_must(&fx, SGX_ERESUME);
        assert_memory_equal(&fx.cpu, &before, sizeof(before));
        assert_memory_equal(fx.xsave, live, 416);
        assert_int_equal(fx_tcs_of(&fx)->cssa, 0);
    }
    fx.cpu.gpr[SGX_RBX] = FX_RIP;
    fx_must(&fx, SGX_EEXIT);
    assert_int_equal(fx.cpu.rip, FX_RIP);
    assert_int_equal(fx_tcs_of(&fx)->state, SGX_TCS_INACTIVE);
    fx_close(&fx);
}

/* AEX with the bit set, morphed ERESUME, EDECCSSA, and the next AEX lands in the lower frame with that frame's URSP. */
static void test_notification(void **state)
{
    struct fx fx;

    (void)state;
    fx_open(&fx, &notify);
    fx_enter(&fx);
    fx_enclave_registers(&fx);
    fx_gpr(&fx, 0)->aexnotify = 1;
    fx_interrupt(&fx);
    fx.cpu.gpr[SGX_RSP] = 0x7ffc0000aa00ull;
    fx_must(&fx, SGX_ERESUME);
    assert_true(fx.cpu.notified);
    assert_int_equal(fx.cpu.rip, FX_BASE + FX_OENTRY);
    assert_int_equal(fx.cpu.gpr[SGX_RAX], 1);
    assert_int_equal(fx_gpr(&fx, 1)->ursp, 0x7ffc0000aa00ull);
    assert_int_equal(fx_gpr(&fx, 0)->aexnotify, 1);
    fx_must(&fx, SGX_EDECCSSA);
    assert_int_equal(fx_tcs_of(&fx)->cssa, 0);
    fx.cpu.rip = 0xabc;
    fx_interrupt(&fx);
    assert_int_equal(fx_gpr(&fx, 0)->rip, 0xabc);
    assert_int_equal(fx.cpu.gpr[SGX_RSP], 0x7ffc00001000ull);
    fx_gpr(&fx, 0)->aexnotify = 0xfe; /* bit 0 is the only one that counts */
    fx_must(&fx, SGX_ERESUME);
    assert_false(fx.cpu.notified);
    assert_int_equal(fx.cpu.rip, 0xabc);
    fx_close(&fx);
}

/* Notifications nest until the frames are used up; then ERESUME faults and the thread can still be resumed later. */
static void test_notification_without_frame(void **state)
{
    struct fx fx;

    (void)state;
    fx_open(&fx, &notify);
    fx_enter(&fx);
    for (unsigned i = 0; i < FX_NSSA; i++) {
        assert_int_equal(fx_tcs_of(&fx)->cssa, i);
        fx_gpr(&fx, i)->aexnotify = 1;
        fx_interrupt(&fx);
        if (i + 1 < FX_NSSA)
            fx_must(&fx, SGX_ERESUME);
    }
    assert_false(fx_leaf(&fx, SGX_ERESUME));
    assert_int_equal(fx.fault.vector, SGX_VEC_GP);
    fx_gpr(&fx, FX_NSSA - 1)->aexnotify = 0;
    fx_must(&fx, SGX_ERESUME);
    assert_int_equal(fx_tcs_of(&fx)->cssa, FX_NSSA - 1);
    fx_close(&fx);
}

static void test_two_threads(void **state)
{
    struct fx fx;
    struct sgx_cpu first;

    (void)state;
    fx_open(&fx, &plain);
    fx_enter(&fx);
    first = fx.cpu;
    fx_host(&fx);
    assert_false(fx_leaf(&fx, SGX_EENTER)); /* the TCS is taken */
    assert_int_equal(fx.fault.vector, SGX_VEC_GP);
    fx.cpu.gpr[SGX_RBX] = FX_BASE + FX_TCS2;
    fx_must(&fx, SGX_EENTER);
    assert_int_equal(fx.cpu.tcs, FX_BASE + FX_TCS2);
    fx.cpu = first;
    fx.cpu.gpr[SGX_RBX] = FX_RIP;
    fx_must(&fx, SGX_EEXIT);
    fx_host(&fx);
    fx_must(&fx, SGX_EENTER);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fx_test(test_interrupt_and_resume),
        fx_test(test_notification),
        fx_test(test_notification_without_frame),
        fx_test(test_two_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
