/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the runtime ELF, and images that are signed on the spot. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNTIME "vigil-runtime.elf"

/* Where it may lie relative to the executable: installed, and in the build directory. */
static const char *const places[] = {"/" RUNTIME, "/../lib/vigil/" RUNTIME, "/../enclave/" RUNTIME};

static FILE *open_runtime(char *path, size_t size)
{
    const char *override = getenv("VIGIL_RUNTIME");
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (override) {
        snprintf(path, size, "%s", override);
        return fopen(path, "rbe");
    }
    self[n < 0 ? 0 : n] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, size, "%s%s", self, places[i]);
        FILE *f = fopen(path, "rbe");
        if (f)
            return f;
    }
    return NULL;
}

bool find_runtime(char *path, size_t size)
{
    FILE *f = open_runtime(path, size);
    bool found = f;

    if (found)
        fclose(f);
    return found;
}

int load_runtime(void **data, size_t *size, struct image_error *error)
{
    char path[8192];
    FILE *f = open_runtime(path, sizeof(path));
    long length;

    if (!f || fseek(f, 0, SEEK_END) || (length = ftell(f)) < 0 || fseek(f, 0, SEEK_SET)) {
        snprintf(error->text, sizeof(error->text),
                 "%.300s: the enclave runtime cannot be read: %s; build it, or set VIGIL_RUNTIME", path, strerror(errno));
        if (f)
            fclose(f);
        return -1;
    }
    *data = malloc((size_t)length + 1);
    *size = *data ? fread(*data, 1, (size_t)length, f) : 0;
    fclose(f);
    if (*size == (size_t)length)
        return 0;
    free(*data);
    snprintf(error->text, sizeof(error->text), "%.300s: cannot read the enclave runtime", path);
    return -1;
}

static int build_in_memory(struct image *image, const struct vigil_config *config, struct image_error *error)
{
    void *runtime;
    size_t size;

    if (load_runtime(&runtime, &size, error))
        return -1;
    int status = image_build(image, runtime, size, config, error);
    free(runtime);
    return status;
}

int sign_in_memory(struct image *image, const struct vigil_config *config, const char *key_path, struct image_error *error)
{
    return build_in_memory(image, config, error) ? -1 : image_sign_with(image, key_path, error);
}

int sign_to_run(struct image *image, const struct vigil_config *config, struct image_error *error)
{
    return build_in_memory(image, config, error) ? -1 : image_sign_or_take(image, NULL, error);
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
