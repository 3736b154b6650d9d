/* SPDX-License-Identifier: Apache-2.0
 *
 * Where everything is in an enclave, with which rights, and what of it is measured. */
#include "image_fixture.h"

#define PAGE ((uint64_t)VIGIL_PAGE)
#define R  (SGX_SECINFO_REG | SGX_SECINFO_R)
#define RX (R | SGX_SECINFO_X)
#define RW (R | SGX_SECINFO_W)
#define RWX (RW | SGX_SECINFO_X)
#define THREADS 3
#define SIZE (32ull << 20)

static struct image image;

static int build(void **state)
{
    (void)state;
    struct vigil_config *config = fx_config(VIGIL_FLAG_DEBUG | VIGIL_FLAG_AEX_NOTIFY | VIGIL_FLAG_EXINFO);

    config->enclave_size = SIZE;
    config->max_threads = THREADS;
    fx_build(&image, config);
    free(config);
    return 0;
}

static int release(void **state)
{
    (void)state;
    image_free(&image);
    return 0;
}

/* The range that holds the page at offset; NULL: never added. */
static const struct image_range *range_at(uint64_t offset)
{
    for (size_t i = 0; i < image.range_count; i++)
        if (offset - image.ranges[i].offset < image.ranges[i].length)
            return &image.ranges[i];
    return NULL;
}

static const void *content_at(uint64_t offset)
{
    const struct image_range *range = range_at(offset);

    assert_non_null(range);
    assert_non_null(range->content);
    return (const uint8_t *)range->content + (offset - range->offset);
}

static const struct vigil_boot_info *boot_info(void)
{
    for (size_t i = 0; i < image.range_count; i++) {
        const struct image_range *r = &image.ranges[i];
        for (uint64_t at = 0; r->content && !strcmp(r->name, "runtime") && at + 8 <= r->length; at += 8) {
            const struct vigil_boot_info *boot = (const void *)((const uint8_t *)r->content + at);
            if (boot->magic == VIGIL_BOOT_MAGIC)
                return boot;
        }
    }
    fail_msg("no boot information in the runtime");
    return NULL;
}

static void expect(uint64_t offset, uint64_t pages, uint64_t flags, bool measured, const char *what)
{
    for (uint64_t at = offset; at < offset + pages * PAGE; at += PAGE) {
        const struct image_range *range = range_at(at);
        if (!range || range->secinfo_flags != flags || range->measured != measured)
            fail_msg("%s at 0x%lx: %s, flags 0x%lx, measured %d", what, at, range ? range->name : "absent",
                     range ? range->secinfo_flags : 0, range && range->measured);
    }
}

static void expect_absent(uint64_t offset, const char *what)
{
    const struct image_range *range = range_at(offset);
    if (range)
        fail_msg("%s at 0x%lx belongs to %s", what, offset, range->name);
}

static void ranges_are_pages_of_elrange_and_disjoint(void **state)
{
    (void)state;
    for (size_t i = 0; i < image.range_count; i++) {
        const struct image_range *a = &image.ranges[i];
        assert_int_equal(a->offset % PAGE, 0);
        assert_int_equal(a->length % PAGE, 0);
        assert_true(a->length && a->length <= SIZE && a->offset <= SIZE - a->length);
        assert_non_null(a->name);
        for (size_t k = 0; k < i; k++) {
            const struct image_range *b = &image.ranges[k];
            assert_true(a->offset + a->length <= b->offset || b->offset + b->length <= a->offset);
        }
    }
}

/* Runtime, configuration, threads, application memory: the order is part of MRENCLAVE. */
static void ranges_come_in_the_stated_order(void **state)
{
    static const char *const order[] = {"runtime", "configuration", "kernel stack", "application memory"};
    size_t stage = 0;
    uint64_t last_block = 0;

    (void)state;
    for (size_t i = 0; i < image.range_count; i++) {
        const char *name = image.ranges[i].name;
        for (size_t k = 0; k < 4; k++)
            if (!strcmp(name, order[k])) {
                assert_true(k >= stage);
                stage = k;
            }
        if (!strcmp(name, "kernel stack")) {
            assert_true(image.ranges[i].offset > last_block);
            last_block = image.ranges[i].offset;
        }
    }
    assert_int_equal(stage, 3);
    assert_string_equal(image.ranges[image.range_count - 1].name, "application memory");
}

static void runtime_ends_where_elrange_ends(void **state)
{
    const struct vigil_boot_info *boot = boot_info();

    (void)state;
    assert_int_equal(boot->elf_end, SIZE);
    assert_non_null(range_at(SIZE - PAGE));
    assert_string_equal(range_at(SIZE - PAGE)->name, "runtime");
    assert_string_equal(range_at(boot->elf_base)->name, "runtime");
    assert_string_equal(range_at(boot->elf_base - PAGE)->name, "configuration");
}

static void runtime_has_the_rights_of_its_segments(void **state)
{
    unsigned r = 0, rx = 0, rw = 0;

    (void)state;
    for (size_t i = 0; i < image.range_count; i++) {
        const struct image_range *range = &image.ranges[i];
        if (strcmp(range->name, "runtime"))
            continue;
        assert_true(range->measured);
        assert_non_null(range->content);
        r += range->secinfo_flags == R;
        rx += range->secinfo_flags == RX;
        rw += range->secinfo_flags == RW;
        assert_true(range->secinfo_flags != RWX);
    }
    assert_true(r >= 1 && rx == 1 && rw >= 1);
    assert_int_equal(range_at(image.entry)->secinfo_flags, RX);
}

/* image_runtime.c: the marks, the zeroed bss behind them, and the pointers with the final base added. */
static void runtime_content_is_loaded_and_relocated(void **state)
{
    const struct vigil_boot_info *boot = boot_info();
    uint64_t rodata = 0, data = 0, pointers = 0;

    (void)state;
    for (uint64_t at = boot->elf_base; at < boot->elf_end; at += 8) {
        if (!range_at(at))
            continue;
        uint64_t value = *(const uint64_t *)content_at(at);
        if (value == 0x1111222233334444ull)
            rodata = at;
        if (value == 0x5555666677778888ull)
            data = at;
    }
    assert_true(rodata && data);
    assert_int_equal(range_at(data)->secinfo_flags, RW);
    for (uint64_t at = boot->elf_base; at < boot->elf_end && !pointers; at += 8)
        if (range_at(at) && *(const uint64_t *)content_at(at) == rodata)
            pointers = at;
    assert_true(pointers);
    uint64_t bss = *(const uint64_t *)content_at(pointers + 8);
    expect(bss & ~(PAGE - 1), 3, RW, true, "bss");
    for (uint64_t at = 0; at < 3 * PAGE; at++)
        assert_int_equal(*(const uint8_t *)content_at(bss + at), 0);
}

static void boot_info_says_where_everything_is(void **state)
{
    const struct vigil_boot_info *boot = boot_info();

    (void)state;
    assert_int_equal(boot->base, 0);
    assert_int_equal(boot->size, SIZE);
    assert_int_equal(boot->thread_count, THREADS);
    assert_int_equal(boot->thread_stride, VIGIL_TB_PAGES * PAGE);
    assert_int_equal(boot->config + boot->config_size, boot->elf_base);
    assert_int_equal(boot->threads + THREADS * boot->thread_stride, boot->config);
    assert_int_equal(boot->app_start, VIGIL_APP_START);
    assert_int_equal(boot->thread_limit, THREADS);
    assert_int_equal(boot->heap, boot->app_end);
    assert_int_equal(boot->heap_end, boot->threads - PAGE);
    assert_int_equal(boot->heap_ready, boot->heap_end);
    assert_int_equal(image.app_end, boot->heap_end);
    assert_int_equal(image.tcs0, boot->threads + VIGIL_TB_TCS * PAGE);
    assert_int_equal(image.thread_stride, boot->thread_stride);
}

static void configuration_is_measured_and_read_only(void **state)
{
    const struct vigil_boot_info *boot = boot_info();
    const uint8_t *page = content_at(boot->config);

    (void)state;
    expect(boot->config, boot->config_size / PAGE, R, true, "configuration");
    assert_memory_equal(page, image.config, image.config->size);
    for (uint64_t i = image.config->size; i < boot->config_size; i++)
        assert_int_equal(page[i], 0);
}

static void thread_blocks_are_as_layout_h_draws_them(void **state)
{
    const struct vigil_boot_info *boot = boot_info();

    (void)state;
    for (uint64_t i = 0; i < THREADS; i++) {
        uint64_t block = boot->threads + i * boot->thread_stride;
        expect_absent(block, "guard page");
        expect(block + VIGIL_TB_KSTACK * PAGE, VIGIL_KSTACK_PAGES, RW, false, "kernel stack");
        expect_absent(block + (VIGIL_TB_S1STACK - 1) * PAGE, "guard page");
        expect(block + VIGIL_TB_S1STACK * PAGE, VIGIL_S1STACK_PAGES, RW, false, "stage-1 stack");
        expect(block + VIGIL_TB_SSA * PAGE, VIGIL_NSSA * VIGIL_SSAFRAMESIZE, RW, true, "SSA");
        expect(block + VIGIL_TB_TCB * PAGE, 1, RW, true, "TCB");
        expect(block + VIGIL_TB_XSAVE * PAGE, VIGIL_XSAVE_PAGES, RW, false, "XSAVE area");
        expect(block + VIGIL_TB_TCS * PAGE, 1, SGX_SECINFO_TCS, true, "TCS");
        assert_null(range_at(block + VIGIL_TB_SSA * PAGE)->content);
        assert_null(range_at(block + VIGIL_TB_TCB * PAGE)->content);
    }
}

static void every_tcs_enters_its_own_block(void **state)
{
    const struct vigil_boot_info *boot = boot_info();

    (void)state;
    for (uint64_t i = 0; i < THREADS; i++) {
        uint64_t block = boot->threads + i * boot->thread_stride;
        struct sgx_tcs tcs, expected = {
            .flags = SGX_TCS_AEXNOTIFY,
            .ossa = block + VIGIL_TB_SSA * PAGE,
            .nssa = VIGIL_NSSA,
            .oentry = image.entry,
            .ofsbase = block + VIGIL_TB_TCB * PAGE,
            .ogsbase = block + VIGIL_TB_TCB * PAGE,
            .fslimit = 0xfff,
            .gslimit = 0xfff,
        };
        memcpy(&tcs, content_at(image.tcs0 + i * image.thread_stride), sizeof(tcs));
        assert_memory_equal(&tcs, &expected, sizeof(tcs));
    }
}

static void application_memory_is_one_unmeasured_range(void **state)
{
    const struct vigil_boot_info *boot = boot_info();
    const struct image_range *range = range_at(VIGIL_APP_START);

    (void)state;
    assert_non_null(range);
    assert_int_equal(range->offset, VIGIL_APP_START);
    assert_int_equal(range->offset + range->length, boot->heap_end);
    assert_int_equal(range->secinfo_flags, RWX);
    assert_null(range->content);
    assert_false(range->measured);
    expect_absent(boot->heap_end, "guard page above the application's memory");
    for (uint64_t at = 0; at < VIGIL_APP_START; at += PAGE)
        expect_absent(at, "null page");
}

static void secs_follows_the_flags(void **state)
{
    static const struct { uint32_t config; uint64_t attributes; uint32_t misc; uint64_t tcs; } rows[] = {
        {0, 0, 0, 0},
        {VIGIL_FLAG_DEBUG, SGX_ATTR_DEBUG, 0, 0},
        {VIGIL_FLAG_AEX_NOTIFY, SGX_ATTR_AEXNOTIFY, 0, SGX_TCS_AEXNOTIFY},
        {VIGIL_FLAG_EXINFO, 0, SGX_MISC_EXINFO, 0},
        {VIGIL_FLAG_STATS | VIGIL_FLAG_HOST_ENV, 0, 0, 0},
        {VIGIL_FLAG_DEBUG | VIGIL_FLAG_AEX_NOTIFY | VIGIL_FLAG_EXINFO, SGX_ATTR_DEBUG | SGX_ATTR_AEXNOTIFY,
         SGX_MISC_EXINFO, SGX_TCS_AEXNOTIFY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vigil_config *config = fx_config(rows[i].config);
        image_free(&image);
        fx_build(&image, config);
        free(config);
        assert_int_equal(image.secs.size, 16u << 20);
        assert_int_equal(image.secs.baseaddr, 0);
        assert_int_equal(image.secs.ssaframesize, VIGIL_SSAFRAMESIZE);
        assert_int_equal(image.secs.attributes.flags, SGX_ATTR_MODE64BIT | rows[i].attributes);
        assert_int_equal(image.secs.attributes.xfrm & SGX_XFRM_LEGACY, SGX_XFRM_LEGACY);
        assert_int_equal(image.secs.miscselect, rows[i].misc);
        assert_int_equal(((const struct sgx_tcs *)content_at(image.tcs0))->flags, rows[i].tcs);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    struct vigil_config *config = fx_config(0);
    struct image_error error;
    struct image other;
    size_t size;
    const void *elf = fx_runtime(&size);

    (void)state;
    config->max_threads = 4096;
    assert_int_equal(image_build(&other, elf, size, config, &error), -1);
    fx_check_message(&error, "sgx.max_threads");
    fx_check_message(&error, "sgx.enclave_size");
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ranges_are_pages_of_elrange_and_disjoint, build, release),
        cmocka_unit_test_setup_teardown(ranges_come_in_the_stated_order, build, release),
        cmocka_unit_test_setup_teardown(runtime_ends_where_elrange_ends, build, release),
        cmocka_unit_test_setup_teardown(runtime_has_the_rights_of_its_segments, build, release),
        cmocka_unit_test_setup_teardown(runtime_content_is_loaded_and_relocated, build, release),
        cmocka_unit_test_setup_teardown(boot_info_says_where_everything_is, build, release),
        cmocka_unit_test_setup_teardown(configuration_is_measured_and_read_only, build, release),
        cmocka_unit_test_setup_teardown(thread_blocks_are_as_layout_h_draws_them, build, release),
        cmocka_unit_test_setup_teardown(every_tcs_enters_its_own_block, build, release),
        cmocka_unit_test_setup_teardown(application_memory_is_one_unmeasured_range, build, release),
        cmocka_unit_test_setup_teardown(secs_follows_the_flags, build, release),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
