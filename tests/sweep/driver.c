/* SPDX-License-Identifier: Apache-2.0
 *
 * See driver.h. The target's standard output is dropped; memory for results must be shared (mmap) by the caller. */
#include "tests/sweep/driver.h"
#include "host/internal.h"
#include "image/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t drive_counter;
static const struct drive *now;
static uint64_t begin_at, end_at;

static void *map_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        fprintf(stderr, "sweep: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    *size = (size_t)st.st_size;
    close(fd);
    return data;
}

static uint64_t symbol(const void *elf, size_t size, const char *name)
{
    uint64_t value;

    if (sweep_symbol(elf, size, name, &value))
        return value;
    fprintf(stderr, "sweep: no symbol %s\n", name);
    exit(2);
}

static void die(const struct image_error *error)
{
    fprintf(stderr, "sweep: %s\n", error->text);
    exit(2);
}

static void set_break(uint64_t address, softsgx_break_fn fn)
{
    int status = softsgx_break(sweep_map.enclave, address, fn, NULL);
    if (status) {
        fprintf(stderr, "sweep: no breakpoint at 0x%lx: %s\n", address, strerror(-status));
        _exit(2);
    }
}

/* Breakpoints in the program can only be set once the LibOS has loaded it. */
static void at_program_loaded(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    set_break(begin_at, now->begin);
    set_break(end_at, now->end);
}

static void loaded(void *arg)
{
    (void)arg;
    sweep_map.enclave = host_software_enclave();
    set_break(sweep_map.loaded, at_program_loaded);
}

static void find_symbols(const struct image *image, const void *target, size_t size)
{
    struct image_error error;

    begin_at = symbol(target, size, "sweep_begin");
    end_at = symbol(target, size, "sweep_end");
    drive_counter = symbol(target, size, "sweep_signals");
    sweep_map.keep = end_at;
    sweep_map.signal[0] = SIGUSR1;
    sweep_map.signal[1] = SIGHUP; /* two of the same would be one */
    if (sweep_locate(image, &error))
        die(&error);
}

static void child(void)
{
    struct image_error error;
    struct vigil_config *config;
    struct image_key *key;
    struct image image;
    size_t runtime_size, target_size;
    void *runtime = map_file(now->runtime, &runtime_size), *target = map_file(now->target, &target_size);
    char *argv[] = {(char *)now->target, (char *)now->path, NULL}, *envp[] = {NULL};
    struct host_options options = {.log_level = VIGIL_LOG_ERROR, .argc = 2, .argv = argv, .envp = envp,
                                   .loaded = loaded};

    if (manifest_default(now->target, &config, &error))
        die(&error);
    if (now->edmm)
        config->flags |= VIGIL_FLAG_EDMM;
    config->enclave_size = 64u << 20;
    config->max_threads = 2;
    config->stack_size = 256u << 10;
    config->brk_max_size = 1u << 20;
    /* The detectors would trip at some passes, and lead them elsewhere than the others. */
    config->aex.slow_limit = config->aex.step_threshold = 0;
    if (now->policy && manifest_aex_policy(config, now->policy, &error))
        die(&error);
    if (now->legacy)
        config->flags &= ~VIGIL_FLAG_AEX_NOTIFY;
    if (image_build(&image, runtime, runtime_size, config, &error) || image_key_open(NULL, &key, &error) ||
        image_sign(&image, key, &error))
        die(&error);
    find_symbols(&image, target, target_size);
    host_run(&image, &options, &error);
    die(&error);
}

int drive(const struct drive *drive)
{
    int status;

    now = drive;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(2);
        child();
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("sweep: fork");
        exit(2);
    }
    return status;
}
