/* SPDX-License-Identifier: Apache-2.0
 *
 * The signer's MRENCLAVE is the one a processor computes, and everything that matters changes it. */
#include "image_fixture.h"
#include "softsgx/cpu.h"
#include "softsgx/softsgx.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

static void measure(const struct image *image, uint8_t mrenclave[32])
{
    struct image_error error;
    if (image_measure(image, mrenclave, &error))
        fail_msg("%s", error.text);
}

/* Builds the enclave as a loader does and returns what EINIT says; secs is the processor's. */
static int load(const struct image *image, const struct sgx_secs *wanted, struct sgx_secs *secs)
{
    struct softsgx_enclave *enclave;

    sgx_set_mapping_ops(NULL);
    assert_int_equal(softsgx_create(wanted, &enclave), 0);
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *r = &image->ranges[i];
        struct sgx_secinfo secinfo = {.flags = r->secinfo_flags};
        int status = softsgx_add_pages(enclave, r->offset, r->content, r->length, &secinfo, r->measured);
        if (status)
            fail_msg("EADD of %s: %d", r->name, status);
    }
    int status = softsgx_init(enclave, &image->sigstruct);
    softsgx_secs(enclave, secs);
    softsgx_destroy(enclave);
    return status;
}

static void processor_agrees(const struct image *image)
{
    struct sgx_secs secs;
    uint8_t mrenclave[32];

    measure(image, mrenclave);
    assert_memory_equal(mrenclave, image->sigstruct.enclavehash, 32);
    assert_int_equal(load(image, &image->secs, &secs), SGX_SUCCESS);
    assert_memory_equal(secs.mrenclave, mrenclave, 32);
    assert_true(secs.attributes.flags & SGX_ATTR_INIT);
}

static void einit_computes_the_same(void **state)
{
    static const uint32_t flags[] = {
        VIGIL_FLAG_DEBUG, VIGIL_FLAG_AEX_NOTIFY, VIGIL_FLAG_EXINFO,
        VIGIL_FLAG_DEBUG | VIGIL_FLAG_AEX_NOTIFY | VIGIL_FLAG_EXINFO | VIGIL_FLAG_STATS,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        struct image image;
        fx_signed(&image, flags[i]);
        processor_agrees(&image);
        image_free(&image);
    }
}

static void einit_computes_the_same_for_the_real_runtime(void **state)
{
    struct vigil_config *config;
    struct image_error error;
    struct image image;
    size_t size;
    const void *elf = fx_real_runtime(&size);

    (void)state;
    assert_int_equal(manifest_default("/bin/true", &config, &error), 0);
    config->enclave_size = 64u << 20;
    config->stack_size = config->brk_max_size = 1u << 20;
    if (image_build(&image, elf, size, config, &error) || image_sign(&image, fx_key(), &error))
        fail_msg("%s", error.text);
    processor_agrees(&image);
    image_free(&image);
    free(config);
}

/* Of the real runtime's file most is for debuggers: who reads only what is loaded gets the same enclave. */
static void what_is_loaded_is_enough(void **state)
{
    struct vigil_config *config = fx_config(VIGIL_FLAG_AEX_NOTIFY);
    uint8_t mrenclave[2][32];
    size_t sizes[2];

    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct image_error error;
        struct image image;
        int fd = open(getenv("VIGIL_RUNTIME"), O_RDONLY);
        void *elf = image_read_runtime(fd, whole, &sizes[whole]);

        close(fd);
        assert_non_null(elf);
        if (image_build(&image, elf, sizes[whole], config, &error))
            fail_msg("%s", error.text);
        image_own_file(&image, elf);
        measure(&image, mrenclave[whole]);
        image_free(&image);
    }
    free(config);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(mrenclave[0], mrenclave[1], 32);
}

/* What is odd about a file is said the same whichever part of it was read. */
static void odd_files_are_read_whole(void **state)
{
    struct vigil_config *config = fx_config(0);
    const char *path = fx_path("odd");
    size_t size;
    uint8_t *bytes = fx_runtime_copy(&size);

    (void)state;
    for (size_t at = 0; at < 2 * sizeof(Elf64_Ehdr); at++) {
        struct image_error errors[2] = {{""}, {""}};
        uint8_t was = bytes[at];

        bytes[at] ^= 0x81;
        fx_write(path, bytes, size);
        bytes[at] = was;
        for (int whole = 0; whole < 2; whole++) {
            int fd = open(path, O_RDONLY);
            struct image image;
            size_t n;
            void *elf = image_read_runtime(fd, whole, &n);

            close(fd);
            assert_non_null(elf);
            assert_int_equal(n, size);
            if (!image_build(&image, elf, n, config, &errors[whole]))
                image_free(&image);
            free(elf);
        }
        assert_string_equal(errors[0].text, errors[1].text);
    }
    free(bytes);
    free(config);
}

/* XFRM is the machine's as far as AVX and AVX-512 go, and nothing else is anybody's. */
static void what_the_host_may_choose_is_xfrm(void **state)
{
    struct sgx_secs wanted, secs;
    struct image image;

    (void)state;
    fx_signed(&image, VIGIL_FLAG_AEX_NOTIFY);
    wanted = image.secs;
    wanted.attributes.xfrm |= softsgx_xfrm() & (SGX_XFRM_AVX | SGX_XFRM_AVX512);
    assert_int_equal(load(&image, &wanted, &secs), SGX_SUCCESS);
    assert_memory_equal(secs.mrenclave, image.sigstruct.enclavehash, 32);

    wanted = image.secs;
    wanted.attributes.flags &= ~SGX_ATTR_AEXNOTIFY;
    assert_int_equal(load(&image, &wanted, &secs), SGX_INVALID_ATTRIBUTE);
    wanted = image.secs;
    wanted.attributes.flags |= SGX_ATTR_DEBUG;
    assert_int_equal(load(&image, &wanted, &secs), SGX_INVALID_ATTRIBUTE);
    wanted = image.secs;
    wanted.attributes.flags |= SGX_ATTR_PROVISIONKEY;
    assert_int_equal(load(&image, &wanted, &secs), SGX_INVALID_ATTRIBUTE);
    wanted = image.secs;
    wanted.miscselect ^= SGX_MISC_EXINFO;
    assert_int_equal(load(&image, &wanted, &secs), SGX_INVALID_ATTRIBUTE);
    image_free(&image);
}

static void einit_refuses_a_changed_page(void **state)
{
    struct sgx_secs secs;
    struct image image;

    (void)state;
    fx_signed(&image, 0);
    for (size_t i = 0; i < image.range_count; i++) {
        if (!image.ranges[i].content || !image.ranges[i].measured)
            continue;
        struct image_range *r = &image.ranges[i];
        uint8_t *copy = malloc(r->length);
        const void *original = r->content;
        memcpy(copy, original, r->length);
        copy[r->length / 2 + 17] ^= 0x20; /* in a TCS: reserved or not, EADD or EINIT refuses */
        r->content = copy;
        if (strcmp(r->name, "TCS"))
            assert_int_equal(load(&image, &image.secs, &secs), SGX_INVALID_MEASUREMENT);
        uint8_t mrenclave[32];
        measure(&image, mrenclave);
        assert_memory_not_equal(mrenclave, image.sigstruct.enclavehash, 32);
        r->content = original;
        free(copy);
    }
    image_free(&image);
}

static void measurement_is_reproducible(void **state)
{
    uint8_t first[32], again[32];

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct vigil_config *config = fx_config(VIGIL_FLAG_DEBUG);
        struct image image;
        fx_build(&image, config);
        measure(&image, i ? again : first);
        image_free(&image);
        free(config);
    }
    assert_memory_equal(first, again, 32);
}

static void everything_configured_changes_it(void **state)
{
    enum { NOTHING, FLAGS, SIZE, THREADS, STACK, BRK, LEVEL, CASES };
    uint8_t seen[CASES][32];

    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct vigil_config *config = fx_config(VIGIL_FLAG_DEBUG);
        struct image image;
        switch (i) {
        case FLAGS: config->flags |= VIGIL_FLAG_STATS; break;
        case SIZE: config->enclave_size *= 2; break;
        case THREADS: config->max_threads++; break;
        case STACK: config->stack_size *= 2; break;
        case BRK: config->brk_max_size *= 2; break;
        case LEVEL: config->log_level = VIGIL_LOG_TRACE; break;
        default: break;
        }
        fx_build(&image, config);
        measure(&image, seen[i]);
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(seen[k], seen[i], 32);
        image_free(&image);
        free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(einit_computes_the_same),
        cmocka_unit_test(einit_computes_the_same_for_the_real_runtime),
        cmocka_unit_test(what_is_loaded_is_enough),
        cmocka_unit_test(odd_files_are_read_whole),
        cmocka_unit_test(what_the_host_may_choose_is_xfrm),
        cmocka_unit_test(einit_refuses_a_changed_page),
        cmocka_unit_test(measurement_is_reproducible),
        cmocka_unit_test(everything_configured_changes_it),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
