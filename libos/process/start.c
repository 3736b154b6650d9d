/* SPDX-License-Identifier: Apache-2.0
 *
 * From an empty enclave to the program's first instruction, and the process's end. */
#include "libos/process/process.h"

#include "libos/mm/mm.h"

#define RFLAGS_START 0x202 /* interrupts on, as every program sees it */

const char *process_exe(void)
{
    return config_string(config()->entrypoint);
}

_Noreturn void process_exit_code(int code)
{
    ocall_exit((code & 0xff) << 8);
}

_Noreturn void process_exit_signal(int sig)
{
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
static void name_thread(const char *path)
{
    char *name = current_thread()->name;
    /* cppcheck-suppress nullPointerRedundantCheck; start_fail does not return */
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strnlen(base, sizeof(current_thread()->name) - 1);

    memcpy(name, base, n);
    name[n] = 0;
}

void libos_start(void)
{
    struct program program = {0};
    const char *path = process_exe();

    init("memory", mm_init());
    init("files", fs_init());
    init("threads", threads_init());
    init("signals", signals_init());
    if (!path)
        start_fail(126, "libos.entrypoint", "the configuration names no program: set it in the manifest");
    name_thread(path);
    collect_arguments(&program);
    load_program(path, &program);
    uint64_t rsp = make_stack(path, &program);

    /* rdx = 0: no function for the program to register with atexit. */
    *current_regs() = (struct checkpoint){.rip = program.entry, .rsp = rsp, .rflags = RFLAGS_START};
    xstate_init();
    if (program.argv != (const char **)start_info()->argv)
        kfree(program.argv);
    kfree(program.envp);
}
