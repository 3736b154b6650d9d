/* SPDX-License-Identifier: Apache-2.0
 *
 * CPUID, which is illegal in an enclave: which bytes are one, what it answers, and what the XFRM takes out. */
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/mm/mm.h"
#include "libos/process/process.h"

#include <string.h>

static uint8_t *code;

static int setup(void **state)
{
    (void)state;
    fake_enclave_init(64 * VIGIL_PAGE);
    assert_int_equal(mm_init(), 0);
    long at = mm_map(0, VIGIL_PAGE, PROT_RW, MAP_PRIVATE);
    assert_true(at > 0);
    code = (uint8_t *)at;
    return 0;
}

static void the_instruction_is_done(void **state)
{
    struct checkpoint regs = {.rip = (uint64_t)code, .rax = 0xffffffff00000000ull, .rcx = ~0ull, .rbx = ~0ull, .rdx = ~0ull};
    uint32_t a, b, c, d;

    (void)state;
    memcpy(code, "\x0f\xa2\x90", 3);
    __cpuid(0, a, b, c, d);
    assert_true(cpuid_emulate(&regs));
    assert_int_equal(regs.rip, code + 2);
    assert_int_equal(regs.rax, a);
    assert_int_equal(regs.rbx, b);
    assert_int_equal(regs.rcx, c);
    assert_int_equal(regs.rdx, d);
    assert_false(cpuid_emulate(&regs)); /* NOP */
    memcpy(code, "\x0f\x0b", 2);
    regs.rip = (uint64_t)code;
    assert_false(cpuid_emulate(&regs)); /* UD2 */
    assert_int_equal(regs.rip, code);
    regs.rip = 8;
    assert_false(cpuid_emulate(&regs));
}

static void what_the_enclave_has_not_is_not_there(void **state)
{
    uint64_t xfrm = enclave_xfrm();
    uint32_t out[4];

    (void)state;
    cpuid_get(1, 7, out);
    if (!(xfrm & 4))
        assert_int_equal(out[2] & (1u << 12 | 1u << 28 | 1u << 29), 0);
    assert_int_equal(out[2] & (1u << 5 | 1u << 6), 0);
    assert_true(out[3] & 1u << 26); /* SSE2 */
    cpuid_get(7, 0, out);
    if (!(xfrm & 4))
        assert_int_equal(out[1] & 1u << 5, 0);
    if ((xfrm & 0xe0) != 0xe0)
        assert_int_equal(out[1] & 1u << 16, 0);
    cpuid_get(0xd, 0, out);
    assert_int_equal(out[0] & ~(uint32_t)xfrm, 0);
    for (uint32_t leaf = 0; leaf < 200; leaf++) /* more than are remembered */
        cpuid_get(4, leaf, out);
    cpuid_get(0xd, 0, out);
    assert_int_equal(out[0] & ~(uint32_t)xfrm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_instruction_is_done, setup),
        cmocka_unit_test_setup(what_the_enclave_has_not_is_not_there, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
