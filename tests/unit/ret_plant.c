/* SPDX-License-Identifier: Apache-2.0
 *
 * Planting RET bytes: only in pages without one, only in the displacement of a padding NOP or behind the code. */
#include "enclave/notify/ret_plant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t page[4096], before[4096];

static int setup(void **state)
{
    (void)state;
    memset(page, 0x90, sizeof(page));
    return 0;
}

static enum ret_plant plant(size_t used)
{
    memcpy(before, page, sizeof(page));
    return ret_plant(page, sizeof(page), used);
}

/* Exactly this byte has changed. */
static void only(size_t at)
{
    for (size_t i = 0; i < sizeof(page); i++)
        assert_int_equal(page[i], i == at ? 0xc3 : before[i]);
}

static void a_page_with_a_ret_is_left_alone(void **state)
{
    (void)state;
    memcpy(page + 10, "\x66\x2e\x0f\x1f\x84\0\0\0\0\0", 10);
    page[4095] = 0xc3;
    assert_int_equal(plant(4096), RET_THERE);
    only(4096);
}

static void the_displacement_of_a_nop_is_used(void **state)
{
    (void)state;
    memcpy(page + 10, "\x66\x2e\x0f\x1f\x84\0\0\0\0\0", 10);
    assert_int_equal(plant(4096), RET_PLANTED);
    only(16);
    setup(NULL);
    memcpy(page + 4089, "\x0f\x1f\x80\0\0\0\0", 7);
    assert_int_equal(plant(4096), RET_PLANTED);
    only(4092);
}

static void a_nop_that_is_cut_or_in_use_is_not(void **state)
{
    (void)state;
    memcpy(page + 4090, "\x0f\x1f\x80\0\0\0", 6);
    memcpy(page + 100, "\x0f\x1f\x84\0\0\0\x01\0", 8);
    memcpy(page + 200, "\x0f\x1f\x84\x08\0\0\0\0", 8);
    memcpy(page + 300, "\x0f\x1f\x44\0\0", 5);
    assert_int_equal(plant(4096), RET_NONE);
    only(4096);
}

static void behind_the_code_there_is_room(void **state)
{
    (void)state;
    memcpy(page + 10, "\x0f\x1f\x84\0\0\0\0\0", 8);
    assert_int_equal(plant(1000), RET_PLANTED);
    only(4095);
    setup(NULL);
    page[2000] = 0xc3; /* what is there is filling, not code */
    assert_int_equal(plant(1000), RET_PLANTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_page_with_a_ret_is_left_alone, setup),
        cmocka_unit_test_setup(the_displacement_of_a_nop_is_used, setup),
        cmocka_unit_test_setup(a_nop_that_is_cut_or_in_use_is_not, setup),
        cmocka_unit_test_setup(behind_the_code_there_is_room, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
