/* SPDX-License-Identifier: Apache-2.0
 *
 * See image_fixture.h. */
#include "image_fixture.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[128];
static struct image_key *key;
static struct { uint8_t *data; size_t size; } runtimes[2];

static const void *runtime(int which, const char *variable, size_t *size)
{
    const char *path = getenv(variable);

    if (!path)
        fail_msg("%s is not set: run this program by `meson test`", variable);
    if (!runtimes[which].data)
        runtimes[which].data = fx_read(path, &runtimes[which].size);
    *size = runtimes[which].size;
    return runtimes[which].data;
}

const void *fx_runtime(size_t *size)
{
    return runtime(0, "IMAGE_TEST_RUNTIME", size);
}

const void *fx_real_runtime(size_t *size)
{
    return runtime(1, "VIGIL_RUNTIME", size);
}

uint8_t *fx_runtime_copy(size_t *size)
{
    const void *original = fx_runtime(size);
    uint8_t *copy = malloc(*size);

    assert_non_null(copy);
    memcpy(copy, original, *size);
    return copy;
}

struct vigil_config *fx_config(uint32_t flags)
{
    struct vigil_config *config;
    struct image_error error;

    if (manifest_default("/bin/program", &config, &error))
        fail_msg("%s", error.text);
    config->flags = flags;
    config->enclave_size = 16u << 20;
    config->max_threads = 1;
    config->stack_size = config->brk_max_size = 1u << 20;
    return config;
}

void fx_build(struct image *image, const struct vigil_config *config)
{
    struct image_error error;
    size_t size;
    const void *elf = fx_runtime(&size);

    if (image_build(image, elf, size, config, &error))
        fail_msg("%s", error.text);
}

void fx_signed(struct image *image, uint32_t flags)
{
    struct vigil_config *config = fx_config(flags);
    struct image_error error;

    fx_build(image, config);
    free(config);
    if (image_sign(image, fx_key(), &error))
        fail_msg("%s", error.text);
}

struct image_key *fx_key(void)
{
    struct image_error error;

    if (!key && image_key_open(NULL, &key, &error))
        fail_msg("%s", error.text);
    return key;
}

const char *fx_path(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

void fx_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

uint8_t *fx_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");

    if (!f)
        fail_msg("%s is missing", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

void fx_check_message(const struct image_error *error, const char *named)
{
    size_t n = strnlen(error->text, sizeof(error->text));

    assert_true(n > 10 && n < sizeof(error->text) - 1);
    if (strchr(error->text, '\n'))
        fail_msg("more than one line: %s", error->text);
    if (named && !strstr(error->text, named))
        fail_msg("\"%s\" does not say \"%s\"", error->text, named);
}

int fx_setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/vigil-image-XXXXXX");
    return mkdtemp(directory) && !setenv("XDG_CONFIG_HOME", directory, 1) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int fx_teardown(void **state)
{
    (void)state;
    image_key_free(key);
    key = NULL;
    for (int i = 0; i < 2; i++) {
        free(runtimes[i].data);
        runtimes[i].data = NULL;
    }
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
