/* SPDX-License-Identifier: Apache-2.0
 *
 * From an empty enclave to the program's first instruction, and the process's end. */
#include "libos/process/process.h"

#include "libos/mm/backing.h"
#include "libos/signal/signal.h"

#define RFLAGS_START 0x202 /* interrupts on, as every program sees it */

static char exe[4096];

const char *process_exe(void)
{
    return exe;
}

_Noreturn void process_exit_code(int code)
{
    (void)backing_sync_file(NULL);
    ocall_exit((code & 0xff) << 8);
}

_Noreturn void process_exit_signal(int sig)
{
    (void)backing_sync_file(NULL);
    ocall_exit(sig & 0x7f);
}

_Noreturn void start_fail(int code, const char *path, const char *cause)
{
    log_line(VIGIL_LOG_ERROR, "%s: %s", path, cause);
    process_exit_code(code);
}

static void init(const char *what, int error)
{
    if (!error)
        return;
    log_line(VIGIL_LOG_ERROR, "cannot start: setting up %s failed with error %d", what, -error);
    process_exit_code(126);
}

/* The thread's name, as execve sets it: the path's last part. */
void process_name_thread(const char *path)
{
    char *name = current_thread()->name;
    /* cppcheck-suppress nullPointerRedundantCheck; start_fail does not return */
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strnlen(base, sizeof(current_thread()->name) - 1);

    memcpy(name, base, n);
    name[n] = 0;
}

/* A script's arguments begin with its interpreter's; what called it its own name goes. */
static const char **with_prefix(const struct executable *e, struct program *program)
{
    uint32_t prefix = SCRIPT_PREFIX - e->prefix_start;
    uint32_t own = program->argc ? (uint32_t)program->argc - 1 : 0;
    const char **argv = kmalloc((prefix + own + 1) * sizeof(*argv));

    if (!argv)
        return NULL;
    memcpy(argv, e->prefix + e->prefix_start, prefix * sizeof(*argv));
    memcpy(argv + prefix, program->argv + 1, own * sizeof(*argv));
    program->argc = (int)(prefix + own);
    program->argv = argv;
    return argv;
}

bool process_enter(const struct executable *e, struct program *program, char *cause)
{
    const char **argv = NULL;

    if (e->prefix_start < SCRIPT_PREFIX && !(argv = with_prefix(e, program))) {
        format(cause, ELF_CAUSE_SIZE, "the runtime has no memory for its arguments");
        return false;
    }
    size_t length = strnlen(e->path, sizeof(exe) - 1);
    memcpy(exe, e->path, length);
    exe[length] = 0;
    if (!executable_load(e, program, cause))
        return false;
    uint64_t rsp = make_stack(exe, program, cause);
    kfree(argv);
    if (!rsp)
        return false;
    /* rdx = 0: no function for the program to register with atexit. */
    *current_regs() = (struct checkpoint){.rip = program->start, .rsp = rsp, .rflags = RFLAGS_START};
    xstate_init();
    return true;
}

void libos_start(void)
{
    struct program program = {0};
    struct executable *e;
    char cause[ELF_CAUSE_SIZE];
    const char *path = config_string(config()->entrypoint);

    init("memory", mm_init());
    init("files", fs_init());
    init("threads", threads_init());
    init("signals", signals_init());
    if (!path)
        start_fail(126, "libos.entrypoint", "the configuration names no program: set it in the manifest");
    process_name_thread(path);
    collect_arguments(&program);
    const char **argv = program.argv;
    signal_set_mask(~0ull); /* what comes now comes to the program, not to its loading */
    int error = executable_open(&e, path, false, cause);
    if (error)
        start_fail(error == -ENOENT || error == -ENOTDIR ? 127 : 126, path, cause);
    if (!process_enter(e, &program, cause))
        start_fail(126, path, cause);
    executable_close(e);
    signal_set_mask(0);
    if (argv != (const char **)start_info()->argv)
        kfree(argv);
    kfree(program.envp);
}
