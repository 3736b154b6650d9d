/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's arguments and environment: from the measured configuration, and from the host only where the
 * configuration allows it. */
#include "libos/process/process.h"

static const char *entrypoint(void)
{
    return config_string(config()->entrypoint);
}

static const char *list_string(const struct vigil_list *list, uint32_t i)
{
    const uint32_t *offsets = (const uint32_t *)((const char *)config() + list->offset);

    return config_string(offsets[i]);
}

static const char **pointer_array(uint64_t count)
{
    const char **array = count < 1u << 20 ? kmalloc((count + 1) * sizeof(*array)) : NULL;

    if (!array)
        start_fail(126, entrypoint(), "the runtime has no memory for so many arguments or environment variables");
    return array;
}

#define SOURCE_MAX (1u << 20)

/* What loader.argv_src_file or loader.env_src_file names: strings, each followed by a NUL. How many; their place in *text,
 * which stays. */
static uint64_t read_source(const char *key, const char *name, char **text)
{
    int error;
    uint64_t n = 0, count = 0;
    long got = 1;
    struct file *file = file_open_host(name, &error);

    *text = file ? kmalloc(SOURCE_MAX) : NULL;
    if (!*text) {
        log_line(VIGIL_LOG_ERROR, "%s: cannot open %s (error %d); it must be in sgx.trusted_files or sgx.allowed_files", key, name,
                 file ? ENOMEM : -error);
        process_exit_code(126);
    }
    while (got > 0 && n < SOURCE_MAX) {
        bounce_reset(); /* no system call is under way */
        got = file_pread(file, *text + n, SOURCE_MAX - n, n);
        n += got > 0 ? (uint64_t)got : 0;
    }
    file_put(file);
    if (got || !n || (*text)[n - 1]) {
        log_line(VIGIL_LOG_ERROR, "%s: %s %s", key, name, got < 0 ? "cannot be read"
                 : got ? "is 1 MiB or larger" : "is empty, or does not end with a NUL: each string has one behind it");
        process_exit_code(126);
    }
    for (uint64_t i = 0; i < n; i++)
        count += !(*text)[i];
    return count;
}

/* The strings of a source, one by one. */
static const char *next_string(char **text)
{
    const char *string = *text;

    *text += strlen(string) + 1;
    return string;
}

static void argv_from_file(struct program *program, const char *name)
{
    char *text;
    uint64_t count = read_source("loader.argv_src_file", name, &text);

    program->argv = pointer_array(count);
    while (count--)
        program->argv[program->argc++] = next_string(&text);
}

static void collect_argv(struct program *program)
{
    const struct vigil_config *c = config();
    const struct start_info *start = start_info();

    if (c->flags & VIGIL_FLAG_CMDLINE_ARGV && start->argc > 0) {
        program->argv = (const char **)start->argv;
        program->argc = start->argc;
        return;
    }
    if (c->argv_file) {
        argv_from_file(program, config_string(c->argv_file));
        return;
    }
    program->argv = pointer_array(c->argv.count ? c->argv.count : 1);
    for (uint32_t i = 0; i < c->argv.count; i++)
        program->argv[program->argc++] = list_string(&c->argv, i);
    if (!program->argc)
        program->argv[program->argc++] = entrypoint();
}

/* Length of NAME in "NAME=value"; 0 if this is no such string. */
static size_t name_length(const char *entry)
{
    const char *equals = strchr(entry, '=');

    return equals ? (size_t)(equals - entry) : 0;
}

static bool same_name(const char *entry, const char *name, size_t length)
{
    return !strncmp(entry, name, length) && entry[length] == '=';
}

static bool has(const struct program *program, const char *name, size_t length)
{
    for (int i = 0; i < program->envc; i++)
        if (same_name(program->envp[i], name, length))
            return true;
    return false;
}

static bool may_pass(const char *name, size_t length)
{
    const struct vigil_config *c = config();

    if (c->flags & VIGIL_FLAG_HOST_ENV)
        return true;
    for (uint32_t i = 0; i < c->env_pass.count; i++) {
        const char *pass = list_string(&c->env_pass, i);
        if (strlen(pass) == length && !strncmp(pass, name, length))
            return true;
    }
    return false;
}

static void add_env(struct program *program, const char *entry)
{
    size_t length = name_length(entry);

    if (length && !has(program, entry, length))
        program->envp[program->envc++] = entry;
}

/* What the manifest says wins over its file's, and that over what the host says; of duplicates the first one stays. */
static void collect_envp(struct program *program)
{
    const struct vigil_config *c = config();
    const struct start_info *start = start_info();

    char *text = NULL;
    uint64_t from_file = c->env_file ? read_source("loader.env_src_file", config_string(c->env_file), &text) : 0;

    program->envp = pointer_array(from_file + c->env.count + (uint64_t)start->envc);
    for (uint32_t i = 0; i < c->env.count; i++)
        program->envp[program->envc++] = list_string(&c->env, i);
    for (; from_file; from_file--)
        add_env(program, next_string(&text));
    for (int i = 0; i < start->envc; i++) {
        const char *entry = start->envp[i];
        if (may_pass(entry, name_length(entry)))
            add_env(program, entry);
    }
}

void collect_arguments(struct program *program)
{
    collect_argv(program);
    collect_envp(program);
}
