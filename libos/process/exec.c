/* SPDX-License-Identifier: Apache-2.0
 *
 * execve: another program in the place of this one, in the same process, which is the only one there is. Everything that
 * can be wrong with the new program is found out before the old one is given up; what fails later ends the process. */
#include "libos/process/process.h"

#include "libos/fs/fs.h"
#include "libos/mm/backing.h"
#include "libos/rewrite/rewrite.h"
#include "libos/signal/signal.h"
#include "libos/time/timers.h"

#include <linux/signal.h>

#define STRING_MAX (128u << 10)  /* of one argument or variable (Linux) */
#define STRINGS_FIRST (16u << 10)

/* Strings one behind the other. */
struct strings {
    char *data;
    size_t used, size;
    uint32_t count;
    const char **vector;
};

static void strings_free(struct strings *s)
{
    kfree(s->data);
    kfree(s->vector);
}

static int strings_grow(struct strings *s)
{
    size_t size = s->size ? s->size * 2 : STRINGS_FIRST;
    char *data = kmalloc(size);

    if (!data)
        return -ENOMEM;
    memcpy(data, s->data, s->used);
    kfree(s->data);
    s->data = data;
    s->size = size;
    return 0;
}

static int add_string(struct strings *s, uint64_t user, size_t limit)
{
    for (;;) {
        long length = s->used < s->size ? strncpy_from_user(s->data + s->used, (void *)user, s->size - s->used)
                                        : -ENAMETOOLONG;
        if (length >= 0 && (size_t)length >= STRING_MAX)
            return -E2BIG;
        if (length >= 0) {
            s->used += (size_t)length + 1;
            s->count++;
            return s->used > limit ? -E2BIG : 0;
        }
        if (length != -ENAMETOOLONG)
            return (int)length;
        if (s->size > limit + STRING_MAX)
            return -E2BIG;
        int error = strings_grow(s);
        if (error)
            return error;
    }
}

/* A vector of the program's, which may be a null pointer. */
static int copy_strings(struct strings *s, uint64_t user_vector, size_t limit)
{
    uint64_t pointer;

    *s = (struct strings){0};
    for (uint64_t at = user_vector; at; at += sizeof(pointer)) {
        if (copy_from_user(&pointer, (void *)at, sizeof(pointer)))
            return -EFAULT;
        if (!pointer)
            break;
        int error = s->count * sizeof(pointer) > limit ? -E2BIG : add_string(s, pointer, limit);
        if (error)
            return error;
    }
    s->vector = kmalloc((s->count + 1) * sizeof(*s->vector));
    if (!s->vector)
        return -ENOMEM;
    const char *string = s->data;
    for (uint32_t i = 0; i < s->count; i++) {
        s->vector[i] = string;
        string += strlen(string) + 1;
    }
    s->vector[s->count] = NULL;
    return 0;
}

/* Nothing of the old program may be used any more, and no other thread is there. */
static void give_up_program(void)
{
    const struct vigil_boot_info *boot = boot_info();
    struct thread *thread = current_thread();

    actions_exec();
    altstack_reset(thread->signals);
    memset(&thread->signals->aex, 0, sizeof(thread->signals->aex));
    aex_upcall_want(false);
    timers_exec();
    fd_close_on_exec();
    thread->clear_child_tid = thread->robust_list = 0;
    rewrite_code_gone(0, ~0ull);
    backing_drop(0, ~0ull);
    (void)mm_unmap(page_up(boot->app_start), page_down(boot->app_end) - page_up(boot->app_start));
}

/* Does not come back to the old program. */
static void replace(struct executable *e, struct program *program)
{
    char cause[ELF_CAUSE_SIZE] = "";

    give_up_program();
    process_name_thread(e->prefix_start < SCRIPT_PREFIX ? e->prefix[SCRIPT_PREFIX - 1] : e->path);
    if (process_enter(e, program, cause))
        return;
    log_line(VIGIL_LOG_ERROR, "%s: %s", e->path, cause);
    process_exit_signal(SIGKILL);
}

static long execute(const char *path, uint64_t user_argv, uint64_t user_envp)
{
    static const char *const no_name[] = {"", NULL};
    size_t limit = config()->stack_size / 4;
    struct strings argv = {0}, envp = {0};
    char cause[ELF_CAUSE_SIZE];
    struct executable *e = NULL;
    long error = copy_strings(&argv, user_argv, limit);

    if (!error)
        error = copy_strings(&envp, user_envp, limit);
    if (!error && argv.used + envp.used + (argv.count + envp.count) * sizeof(char *) > limit)
        error = -E2BIG;
    if (!error)
        error = executable_open(&e, path, true, cause);
    if (!error)
        error = threads_end_others();
    if (!error) {
        struct program program = {.argc = (int)argv.count, .argv = argv.vector, .envc = (int)envp.count, .envp = envp.vector};
        if (!program.argc) { /* as Linux since 5.18 */
            program.argc = 1;
            program.argv = (const char **)no_name;
        }
        replace(e, &program);
        current_thread()->syscall_nr = -1;
    } else if (e) {
        log_line(VIGIL_LOG_DEBUG, "execve of %s: error %ld", path, -error);
    }
    executable_close(e);
    strings_free(&argv);
    strings_free(&envp);
    /* What the call returns goes to rax, which is 0 in a new program. */
    return error;
}

static long execute_path(long user_path, long user_argv, long user_envp)
{
    char *path = kmalloc(PATH_SIZE);
    long length = path ? strncpy_from_user(path, (void *)user_path, PATH_SIZE) : -ENOMEM;
    long result = length < 0 ? length : !length ? -ENOENT : execute(path, (uint64_t)user_argv, (uint64_t)user_envp);

    kfree(path);
    return result;
}

long sys_execve(SYSCALL_ARGS)
{
    return execute_path(a0, a1, a2);
}

/* Relative to a descriptor: through the name that the file or directory has. */
long sys_execveat(SYSCALL_ARGS)
{
    struct path *path;
    long result;

    if (a4 & ~(long)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    result = path_from_user(&path, (int)a0, a1, (a4 & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0) |
                                                (a4 & AT_SYMLINK_NOFOLLOW ? PATH_NOFOLLOW : 0));
    if (result)
        return result;
    if (path) {
        result = execute(path_name(path), (uint64_t)a2, (uint64_t)a3);
        path_free(path);
        return result;
    }
    struct file *file = file_from_fd((int)a0);
    char *name = file ? file_name(file) : NULL;
    result = !file ? -EBADF : name ? execute(name, (uint64_t)a2, (uint64_t)a3) : -EACCES;
    if (file)
        file_put(file);
    kfree(name);
    return result;
}
