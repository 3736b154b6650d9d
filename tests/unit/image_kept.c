/* SPDX-License-Identifier: Apache-2.0
 *
 * Kept signatures: taken for the same image and key only, and only whole. */
#include "image_fixture.h"

#include <glob.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIGSTRUCT_AT 32
#define CHECK_AT (SIGSTRUCT_AT + sizeof(struct sgx_sigstruct))
#define ISVSVN_AT (SIGSTRUCT_AT + offsetof(struct sgx_sigstruct, isvsvn))

static struct image image;

static int setup(void **state)
{
    int status = fx_setup(state);

    fx_key();
    setenv("XDG_CACHE_HOME", fx_path("cache"), 1);
    return status;
}

/* The one kept file; count says how many there are. */
static const char *kept_file(size_t *count)
{
    static char path[4096];
    glob_t found;

    *count = 0;
    if (glob(fx_path("cache/vigil/*"), 0, NULL, &found))
        return "";
    *count = found.gl_pathc;
    snprintf(path, sizeof(path), "%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static void forget(void)
{
    size_t n;
    const char *path = kept_file(&n);

    for (; n; path = kept_file(&n))
        assert_int_equal(unlink(path), 0);
}

static void sign(uint32_t flags)
{
    struct vigil_config *config = fx_config(flags);
    struct image_error error;

    fx_build(&image, config);
    free(config);
    if (image_sign_or_take(&image, NULL, &error))
        fail_msg("%s", error.text);
    assert_true(image.is_signed);
}

/* Another ISVSVN in the kept file, and the check made right: whoever takes it can be told from who signs. */
static void mark(const char *path, bool consistent)
{
    size_t size;
    uint8_t *bytes = fx_read(path, &size);

    assert_int_equal(size, CHECK_AT + 32);
    bytes[ISVSVN_AT] = 77;
    if (consistent)
        SHA256(bytes, CHECK_AT, bytes + CHECK_AT);
    fx_write(path, bytes, size);
    free(bytes);
}

static bool taken(uint32_t flags)
{
    sign(flags);
    bool yes = image.sigstruct.isvsvn == 77;
    image_free(&image);
    return yes;
}

static void same_image_same_signature(void **state)
{
    struct sgx_sigstruct first;
    struct stat st;
    size_t n;

    (void)state;
    forget();
    sign(VIGIL_FLAG_AEX_NOTIFY);
    first = image.sigstruct;
    image_free(&image);
    assert_int_equal(stat(kept_file(&n), &st), 0);
    assert_int_equal(n, 1);
    assert_int_equal(st.st_mode & 0777, 0600);
    sign(VIGIL_FLAG_AEX_NOTIFY);
    assert_memory_equal(&image.sigstruct, &first, sizeof(first));
    image_free(&image);
    mark(kept_file(&n), true);
    assert_true(taken(VIGIL_FLAG_AEX_NOTIFY));
    assert_false(taken(0)); /* another image */
}

static void damaged_is_not_taken(void **state)
{
    size_t n, size;
    uint8_t *bytes;

    (void)state;
    forget();
    assert_false(taken(0));
    mark(kept_file(&n), false);
    assert_false(taken(0));
    mark(kept_file(&n), true); /* it has been written anew */
    assert_true(taken(0));
    bytes = fx_read(kept_file(&n), &size);
    fx_write(kept_file(&n), bytes, size - 1);
    assert_false(taken(0));
    mark(kept_file(&n), true);
    assert_true(taken(0));
    fx_write(kept_file(&n), bytes, 0);
    assert_false(taken(0));
    free(bytes);
}

static void another_key_file_is_another_signature(void **state)
{
    char key[4200];
    size_t n, size;

    (void)state;
    forget();
    assert_false(taken(0));
    mark(kept_file(&n), true);
    assert_true(taken(0));
    snprintf(key, sizeof(key), "%s/vigil/dev-key.pem", getenv("XDG_CONFIG_HOME"));
    uint8_t *bytes = fx_read(key, &size);
    bytes = realloc(bytes, size + 1);
    bytes[size] = '\n';
    fx_write(key, bytes, size + 1);
    chmod(key, 0600);
    free(bytes);
    assert_false(taken(0));
}

static void no_place_is_no_error(void **state)
{
    size_t n;

    (void)state;
    forget();
    fx_write(fx_path("file"), "", 0);
    setenv("XDG_CACHE_HOME", fx_path("file"), 1);
    assert_false(taken(0));
    setenv("XDG_CACHE_HOME", fx_path("cache"), 1);
    kept_file(&n);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_image_same_signature),
        cmocka_unit_test(damaged_is_not_taken),
        cmocka_unit_test(another_key_file_is_another_signature),
        cmocka_unit_test(no_place_is_no_error),
    };

    return cmocka_run_group_tests_name("kept signatures", tests, setup, fx_teardown);
}
