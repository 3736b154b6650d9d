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

static void collect_argv(struct program *program)
{
    const struct vigil_config *c = config();
    const struct start_info *start = start_info();

    if (c->flags & VIGIL_FLAG_CMDLINE_ARGV && start->argc > 0) {
        program->argv = (const char **)start->argv;
        program->argc = start->argc;
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

/* What the manifest says wins over what the host says; of the host's duplicates the first one stays. */
static void collect_envp(struct program *program)
{
    const struct vigil_config *c = config();
    const struct start_info *start = start_info();

    program->envp = pointer_array((uint64_t)c->env.count + (uint64_t)start->envc);
    for (uint32_t i = 0; i < c->env.count; i++)
        program->envp[program->envc++] = list_string(&c->env, i);
    for (int i = 0; i < start->envc; i++) {
        const char *entry = start->envp[i];
        size_t length = name_length(entry);
        if (length && may_pass(entry, length) && !has(program, entry, length))
            program->envp[program->envc++] = entry;
    }
}

void collect_arguments(struct program *program)
{
    collect_argv(program);
    collect_envp(program);
}
