/* SPDX-License-Identifier: Apache-2.0
 *
 * The signed file: what is written comes back, and nothing else is accepted. */
#include "image_fixture.h"

#include <openssl/sha.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER 64 /* magic, three sizes, checksum */

static struct image original;
static uint8_t *file;
static size_t file_size;

static int make(void **state)
{
    struct image_error error;

    (void)state;
    fx_signed(&original, VIGIL_FLAG_DEBUG | VIGIL_FLAG_AEX_NOTIFY);
    if (image_write(&original, fx_path("good.vigil"), &error))
        fail_msg("%s", error.text);
    file = fx_read(fx_path("good.vigil"), &file_size);
    return 0;
}

static int release(void **state)
{
    (void)state;
    free(file);
    image_free(&original);
    return 0;
}

static bool same_enclave(const struct image *a, const struct image *b)
{
    if (memcmp(&a->secs, &b->secs, sizeof(a->secs)) || a->range_count != b->range_count || a->entry != b->entry ||
        a->tcs0 != b->tcs0 || a->thread_stride != b->thread_stride || a->config->size != b->config->size ||
        memcmp(a->config, b->config, a->config->size) || a->is_signed != b->is_signed ||
        memcmp(&a->sigstruct, &b->sigstruct, SGX_SIGNED_2_END))
        return false;
    for (size_t i = 0; i < a->range_count; i++) {
        const struct image_range *x = &a->ranges[i], *y = &b->ranges[i];
        if (strcmp(x->name, y->name) || x->offset != y->offset || x->length != y->length ||
            x->measured != y->measured || x->secinfo_flags != y->secinfo_flags || !x->content != !y->content ||
            (x->content && memcmp(x->content, y->content, x->length)))
            return false;
    }
    return true;
}

/* 0: read, and it is the enclave that was signed; -1: refused with a proper message. Anything else fails the test. */
static int try_read(const char *path)
{
    struct image_error error = {""};
    struct image image;

    if (image_read(&image, path, &error)) {
        fx_check_message(&error, path);
        return -1;
    }
    bool same = same_enclave(&image, &original);
    image_free(&image);
    if (!same)
        fail_msg("another enclave than the signed one was accepted");
    return 0;
}

static int try_bytes(const uint8_t *data, size_t size)
{
    const char *path = fx_path("spoiled.vigil");
    fx_write(path, data, size);
    return try_read(path);
}

static void what_is_written_is_read(void **state)
{
    struct image_error error;
    struct image again;
    struct stat st;
    size_t size;

    (void)state;
    assert_true(image_is_file(fx_path("good.vigil")));
    assert_int_equal(try_read(fx_path("good.vigil")), 0);
    assert_int_equal(stat(fx_path("good.vigil"), &st), 0);
    assert_int_equal(st.st_mode & 0222 & ~0644, 0);
    /* Reading and writing again gives the same file. */
    assert_int_equal(image_read(&again, fx_path("good.vigil"), &error), 0);
    assert_int_equal(image_write(&again, fx_path("again.vigil"), &error), 0);
    uint8_t *copy = fx_read(fx_path("again.vigil"), &size);
    assert_int_equal(size, file_size);
    assert_memory_equal(copy, file, size);
    free(copy);
    image_free(&again);
}

static void checksum_again(void)
{
    uint8_t *bytes = malloc(file_size - 32);
    memcpy(bytes, file, 32);
    memcpy(bytes + 32, file + HEADER, file_size - HEADER);
    SHA256(bytes, file_size - 32, file + 32);
    free(bytes);
}

static void no_truncated_file_is_accepted(void **state)
{
    const size_t head = HEADER + sizeof(struct sgx_sigstruct) + original.config->size;

    (void)state;
    for (size_t n = 0; n < file_size; n += n < head || n + 64 > file_size ? 7 : 997)
        if (!try_bytes(file, n))
            fail_msg("%zu of %zu bytes: accepted", n, file_size);
    assert_int_equal(try_bytes(file, file_size - 1), -1);
    uint8_t *longer = calloc(1, file_size + 1);
    memcpy(longer, file, file_size);
    assert_int_equal(try_bytes(longer, file_size + 1), -1);
    free(longer);
}

/* One bit of every byte of header, SIGSTRUCT and configuration, and every thirteenth byte of the runtime. */
static void no_changed_byte_is_accepted(void **state)
{
    const size_t runtime = HEADER + sizeof(struct sgx_sigstruct) + original.config->size;

    (void)state;
    for (size_t i = 0; i < file_size; i += i < runtime ? 1 : 13) {
        const uint8_t bit = (uint8_t)(1u << (i % 8));
        file[i] ^= bit;
        if (!try_bytes(file, file_size))
            fail_msg("byte %zu changed: accepted", i);
        file[i] ^= bit;
    }
    assert_int_equal(try_bytes(file, file_size), 0);
}

/* With a checksum that is right again: what is loaded, and who signed it, is bound by more than that. */
static void checksum_is_not_what_protects(void **state)
{
    const size_t sigstruct = HEADER, unsigned_part = sigstruct + SGX_SIGNED_2_END;
    const size_t config = sigstruct + sizeof(struct sgx_sigstruct), runtime = config + original.config->size;

    (void)state;
    for (size_t i = sigstruct; i < file_size; i += i < runtime ? 1 : 13) {
        file[i] ^= 0x41;
        checksum_again();
        int status = try_bytes(file, file_size); /* fails the test if another enclave is accepted */
        file[i] ^= 0x41;
        if (!status && (i < unsigned_part || (i >= config && i < runtime)))
            fail_msg("byte %zu changed: accepted", i);
    }
    checksum_again();
    assert_int_equal(try_bytes(file, file_size), 0);
}

static void sizes_that_lie_are_refused(void **state)
{
    static const uint64_t lies[] = {0, 1, 4096, 1ull << 27, 1ull << 28, 1ull << 40, 1ull << 63, ~0ull, ~0ull - 1807};

    (void)state;
    for (size_t field = 1; field < 4; field++)
        for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
            uint64_t honest;
            memcpy(&honest, file + 8 * field, 8);
            memcpy(file + 8 * field, &lies[i], 8);
            assert_int_equal(try_bytes(file, file_size), -1);
            memcpy(file + 8 * field, &honest, 8);
        }
    /* Two that lie together: the sum is right. */
    uint64_t config, runtime;
    memcpy(&config, file + 16, 8);
    memcpy(&runtime, file + 24, 8);
    config += 64, runtime -= 64;
    memcpy(file + 16, &config, 8);
    memcpy(file + 24, &runtime, 8);
    assert_int_equal(try_bytes(file, file_size), -1);
}

/* A configuration from one image in another, both properly signed. */
static void parts_of_two_images_do_not_mix(void **state)
{
    struct image_error error;
    struct image other;
    size_t size;

    (void)state;
    fx_signed(&other, VIGIL_FLAG_DEBUG);
    assert_int_equal(image_write(&other, fx_path("other.vigil"), &error), 0);
    image_free(&other);
    uint8_t *second = fx_read(fx_path("other.vigil"), &size);
    assert_int_equal(size, file_size);
    memcpy(second + HEADER, file + HEADER, sizeof(struct sgx_sigstruct));
    assert_int_equal(try_bytes(second, size), -1);
    free(second);
}

static void what_is_no_image_is_named(void **state)
{
    static const char *const not_images[] = {"", "x", "viglimg", "\177ELF............................",
                                             "sgx.debug = true\n"};
    struct image_error error;
    struct image image;

    (void)state;
    for (size_t i = 0; i < sizeof(not_images) / sizeof(not_images[0]); i++) {
        assert_int_equal(try_bytes((const uint8_t *)not_images[i], strlen(not_images[i])), -1);
        assert_false(image_is_file(fx_path("spoiled.vigil")));
    }
    assert_int_equal(try_read(fx_path("nothing.vigil")), -1);
    assert_int_equal(try_read(fx_path("")), -1); /* a directory */
    assert_false(image_is_file(fx_path("nothing.vigil")));
    assert_int_equal(image_read(&image, "/dev/zero", &error), -1);
    /* Larger than any image: refused without being read. */
    fx_write(fx_path("large.vigil"), file, file_size);
    assert_int_equal(truncate(fx_path("large.vigil"), 1ll << 40), 0);
    assert_int_equal(try_read(fx_path("large.vigil")), -1);
    unlink(fx_path("large.vigil"));
}

static unsigned files_here(void)
{
    char command[300];
    unsigned n = 0;
    snprintf(command, sizeof(command), "ls -A %s | wc -l", fx_path(""));
    FILE *p = popen(command, "r");
    assert_int_equal(fscanf(p, "%u", &n), 1);
    pclose(p);
    return n;
}

static void failed_writes_leave_what_was_there(void **state)
{
    struct image_error error = {""};
    struct rlimit old, small = {4096, RLIM_INFINITY};
    unsigned before = files_here();

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int status = image_write(&original, fx_path("good.vigil"), &error);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, -1);
    fx_check_message(&error, fx_path("good.vigil"));
    assert_int_equal(try_read(fx_path("good.vigil")), 0);

    assert_int_equal(image_write(&original, fx_path("no/such/directory.vigil"), &error), -1);
    fx_check_message(&error, fx_path("no/such/directory.vigil"));
    assert_int_equal(mkdir(fx_path("directory"), 0700), 0);
    assert_int_equal(image_write(&original, fx_path("directory"), &error), -1);
    fx_check_message(&error, fx_path("directory"));
    rmdir(fx_path("directory"));
    assert_int_equal(mkfifo(fx_path("fifo"), 0600), 0);
    assert_int_equal(image_write(&original, fx_path("fifo"), &error), -1);
    fx_check_message(&error, "not a regular file");
    unlink(fx_path("fifo"));
    assert_int_equal(files_here(), before);
}

static void unsigned_images_are_not_written(void **state)
{
    struct vigil_config *config = fx_config(VIGIL_FLAG_DEBUG);
    struct image_error error;
    struct image image;

    (void)state;
    fx_build(&image, config);
    assert_int_equal(image_write(&image, fx_path("unsigned.vigil"), &error), -1);
    fx_check_message(&error, "not signed");
    assert_int_not_equal(access(fx_path("unsigned.vigil"), F_OK), 0);
    image_free(&image);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, make, release),
        cmocka_unit_test_setup_teardown(no_truncated_file_is_accepted, make, release),
        cmocka_unit_test_setup_teardown(no_changed_byte_is_accepted, make, release),
        cmocka_unit_test_setup_teardown(checksum_is_not_what_protects, make, release),
        cmocka_unit_test_setup_teardown(sizes_that_lie_are_refused, make, release),
        cmocka_unit_test_setup_teardown(parts_of_two_images_do_not_mix, make, release),
        cmocka_unit_test_setup_teardown(what_is_no_image_is_named, make, release),
        cmocka_unit_test_setup_teardown(failed_writes_leave_what_was_there, make, release),
        cmocka_unit_test(unsigned_images_are_not_written),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
