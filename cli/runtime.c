/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the runtime ELF, and images that are signed on the spot. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNTIME "vigil-runtime.elf"

/* Where it may lie relative to the executable: installed, and in the build directory. */
static const char *const places[] = {"/" RUNTIME, "/../lib/vigil/" RUNTIME, "/../enclave/" RUNTIME};

static int open_runtime(char *path, size_t size)
{
    const char *override = getenv("VIGIL_RUNTIME");
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (override) {
        snprintf(path, size, "%s", override);
        return open(path, O_RDONLY | O_CLOEXEC);
    }
    self[n < 0 ? 0 : n] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, size, "%s%s", self, places[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

bool find_runtime(char *path, size_t size)
{
    int fd = open_runtime(path, size);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void *load_runtime(bool whole, size_t *size, struct image_error *error)
{
    char path[8192];
    int fd = open_runtime(path, sizeof(path));
    void *data = fd < 0 ? NULL : image_read_runtime(fd, whole, size);

    if (!data)
        snprintf(error->text, sizeof(error->text),
                 "%.300s: the enclave runtime cannot be read: %s; build it, or set VIGIL_RUNTIME", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return data;
}

static int build_in_memory(struct image *image, const struct vigil_config *config, bool whole, struct image_error *error)
{
    size_t size;
    void *runtime = load_runtime(whole, &size, error);

    if (!runtime)
        return -1;
    int status = image_build(image, runtime, size, config, error);
    if (status)
        free(runtime);
    else
        image_own_file(image, runtime);
    return status;
}

int sign_in_memory(struct image *image, const struct vigil_config *config, const char *key_path, struct image_error *error)
{
    return build_in_memory(image, config, true, error) ? -1 : image_sign_with(image, key_path, error);
}

int sign_to_run(struct image *image, const struct vigil_config *config, bool symbols, struct image_error *error)
{
    return build_in_memory(image, config, symbols, error) ? -1 : image_sign_or_take(image, NULL, error);
}

const char *signed_name(const char *manifest)
{
    static char name[4096];
    static const char suffix[] = ".manifest";
    size_t n = strlen(manifest), s = sizeof(suffix) - 1;

    if (n > s && !strcmp(manifest + n - s, suffix))
        n -= s;
    snprintf(name, sizeof(name), "%.*s.vigil", (int)n, manifest);
    return name;
}
