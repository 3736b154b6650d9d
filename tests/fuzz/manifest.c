/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a manifest: an error that says where, or a configuration whose references all stay inside. */
#include "image/manifest.h"
#include "image/trusted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

/* In place of image/trusted.c's, which would read whatever file is named. */
int trusted_collect(const char *path, trusted_fn *found, void *arg, struct image_error *error)
{
    static const uint8_t digest[32] = {1, 2, 3};

    (void)error;
    found(arg, path, digest);
    return 0;
}

static const struct vigil_config *config;

static void check_string(uint32_t offset)
{
    must(offset < config->size, "a string lies inside the configuration");
    must(memchr((const char *)config + offset, 0, config->size - offset), "a string has an end");
}

static void check_list(const struct vigil_list *list)
{
    must(list->offset <= config->size && list->count <= (config->size - list->offset) / 4, "a list lies inside");
    for (uint32_t i = 0; i < list->count; i++)
        check_string(((const uint32_t *)(const void *)((const char *)config + list->offset))[i]);
}

static void check_config(void)
{
    must(config->magic == VIGIL_CONFIG_MAGIC && config->size >= sizeof(*config), "there is a configuration");
    check_string(config->entrypoint);
    check_string(config->log_file);
    check_string(config->start_dir);
    check_string(config->argv_file);
    check_string(config->env_file);
    check_list(&config->argv);
    check_list(&config->env);
    check_list(&config->env_pass);
    check_list(&config->allowed);
    must(config->mount_count <= config->size / sizeof(struct vigil_mount) &&
         config->mounts <= config->size - config->mount_count * sizeof(struct vigil_mount), "the mounts lie inside");
    const struct vigil_mount *mounts = (const void *)((const char *)config + config->mounts);
    for (uint32_t i = 0; i < config->mount_count; i++) {
        check_string(mounts[i].path);
        check_string(mounts[i].host);
    }
    must(config->max_threads && config->max_threads <= 4096, "there is a number of threads");
    must(!(config->enclave_size & (config->enclave_size - 1)), "the enclave's size is a power of two");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    struct image_error error = {{0}};
    struct vigil_config *made = NULL;

    if (fd < 0) {
        fd = memfd_create("manifest", 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    must(!ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size, "there is a file");
    if (manifest_load(path, &made, &error)) {
        must(error.text[0] && memchr(error.text, 0, sizeof(error.text)), "an error says something");
        return 0;
    }
    config = made;
    check_config();
    free(made);
    return 0;
}
