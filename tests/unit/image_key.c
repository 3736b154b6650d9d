/* SPDX-License-Identifier: Apache-2.0
 *
 * The signing key: made on first use, readable by its owner only, and of the one kind that SGX knows. */
#include "image_fixture.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void refused(const char *path, const char *says)
{
    struct image_error error = {""};
    struct image_key *key;

    if (!image_key_open(path, &key, &error))
        fail_msg("%s: accepted", path);
    fx_check_message(&error, says);
    fx_check_message(&error, path);
}

static void development_key_is_private_and_stays(void **state)
{
    struct image_error error;
    struct image_key *key;
    struct stat st;
    size_t size, again_size;
    const char *path = fx_path("vigil/dev-key.pem");

    (void)state;
    assert_int_not_equal(stat(path, &st), 0);
    mode_t old = umask(0);
    if (image_key_open(NULL, &key, &error))
        fail_msg("%s", error.text);
    umask(old);
    image_key_free(key);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(fx_path("vigil"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);

    uint8_t *first = fx_read(path, &size);
    assert_int_equal(image_key_open(NULL, &key, &error), 0);
    image_key_free(key);
    uint8_t *again = fx_read(path, &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(first, again, size);
    free(first);
    free(again);
    /* The same file by name. */
    assert_int_equal(image_key_open(path, &key, &error), 0);
    image_key_free(key);
}

static void home_is_used_without_xdg(void **state)
{
    const char *xdg = strdup(getenv("XDG_CONFIG_HOME")), *home = strdup(getenv("HOME") ? getenv("HOME") : "/");
    struct image_error error;
    struct image_key *key;
    struct stat st;

    (void)state;
    assert_int_equal(mkdir(fx_path("home"), 0700), 0);
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", fx_path("home"), 1);
    int status = image_key_open(NULL, &key, &error);
    setenv("XDG_CONFIG_HOME", xdg, 1);
    setenv("HOME", home, 1);
    assert_int_equal(status, 0);
    image_key_free(key);
    assert_int_equal(stat(fx_path("home/.config/vigil/dev-key.pem"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    free((void *)xdg);
    free((void *)home);
}

/* Two first runs at once: both succeed and use one key. */
static void first_uses_at_once_agree(void **state)
{
    enum { N = 3 };
    char xdg[128];
    int results[2];
    uint8_t mrsigners[N][384];
    struct vigil_config *config = fx_config(0);
    size_t size;
    const void *elf = fx_runtime(&size); /* nothing of the fixture may fail in a child */

    (void)state;
    snprintf(xdg, sizeof(xdg), "%s", getenv("XDG_CONFIG_HOME"));
    setenv("XDG_CONFIG_HOME", fx_path("race"), 1);
    assert_int_equal(pipe(results), 0);
    for (int i = 0; i < N; i++)
        if (!fork()) {
            struct image_error error;
            struct image_key *key;
            struct image image;
            bool ok = !image_key_open(NULL, &key, &error) && !image_build(&image, elf, size, config, &error) &&
                      !image_sign(&image, key, &error) && write(results[1], image.sigstruct.modulus, 384) == 384;
            _exit(ok ? 0 : 1);
        }
    setenv("XDG_CONFIG_HOME", xdg, 1);
    for (int i = 0; i < N; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(read(results[0], mrsigners[i], 384), 384);
    for (int i = 1; i < N; i++)
        assert_memory_equal(mrsigners[0], mrsigners[i], 384);
    close(results[0]);
    close(results[1]);
    free(config);
}

static void key_that_others_can_read_is_refused(void **state)
{
    const char *path = fx_path("vigil/dev-key.pem");

    (void)state;
    fx_key();
    assert_int_equal(chmod(path, 0640), 0);
    refused(path, "chmod 600");
    assert_int_equal(chmod(path, 0604), 0);
    refused(path, "chmod 600");
    assert_int_equal(chmod(path, 0400), 0);
    struct image_error error;
    struct image_key *key;
    assert_int_equal(image_key_open(path, &key, &error), 0);
    image_key_free(key);
    assert_int_equal(chmod(path, 0600), 0);
}

static void write_key(const char *path, EVP_PKEY *pkey)
{
    mode_t old = umask(077);
    FILE *f = fopen(path, "w");
    umask(old);
    assert_true(f && pkey && PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL));
    fclose(f);
    EVP_PKEY_free(pkey);
}

static void other_kinds_of_keys_are_refused(void **state)
{
    const char *path = fx_path("other.pem");

    (void)state;
    write_key(path, EVP_RSA_gen(3072)); /* e = 65537 */
    refused(path, "exponent 3");
    write_key(path, EVP_RSA_gen(2048));
    refused(path, "RSA-3072");
    write_key(path, EVP_EC_gen("P-256"));
    refused(path, "RSA-3072");
    fx_write(path, "hello\n", 6);
    refused(path, "PEM");
    fx_write(path, "", 0);
    refused(path, "PEM");
    size_t size;
    fx_key();
    uint8_t *pem = fx_read(fx_path("vigil/dev-key.pem"), &size);
    for (size_t n = 0; n < size - 40; n += size / 16) {
        fx_write(path, pem, n);
        refused(path, "PEM");
    }
    free(pem);
}

static void missing_places_are_named(void **state)
{
    char xdg[128];
    struct image_error error;
    struct image_key *key;

    (void)state;
    refused(fx_path("no-such-key.pem"), "No such file");
    snprintf(xdg, sizeof(xdg), "%s", getenv("XDG_CONFIG_HOME"));
    fx_write(fx_path("file"), "x", 1);
    char *far = malloc(8000);
    memset(far, '/', 7999);
    memcpy(far + 7000 - strlen(xdg), xdg, strlen(xdg));
    strcpy(far + 7000, "/far");
    setenv("XDG_CONFIG_HOME", far, 1);
    assert_int_equal(image_key_open(NULL, &key, &error), -1);
    fx_check_message(&error, "too long");
    free(far);
    setenv("XDG_CONFIG_HOME", fx_path("file/below"), 1);
    int status = image_key_open(NULL, &key, &error);
    setenv("XDG_CONFIG_HOME", xdg, 1);
    assert_int_equal(status, -1);
    fx_check_message(&error, fx_path("file/below"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(development_key_is_private_and_stays),
        cmocka_unit_test(home_is_used_without_xdg),
        cmocka_unit_test(first_uses_at_once_agree),
        cmocka_unit_test(key_that_others_can_read_is_refused),
        cmocka_unit_test(other_kinds_of_keys_are_refused),
        cmocka_unit_test(missing_places_are_named),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
