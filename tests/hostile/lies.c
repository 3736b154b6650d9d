/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the enclave and the honest host: the linker puts __wrap_X in the place of X (--wrap). */
#include "tests/hostile/hostile.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

const struct hostile_case *hostile_now;
static _Atomic bool on_path;    /* between the path's two marks */
static _Atomic long calls;
struct host_thread *_Atomic hostile_last_caller;

uint64_t __real_host_ocall(struct host_thread *thread, const struct host_exit *exit, int *thread_ends);
uint64_t __wrap_host_ocall(struct host_thread *thread, const struct host_exit *exit, int *thread_ends);
void __real_enclave_enter(const struct host_thread *thread, uint64_t rdi, struct host_exit *out);
void __wrap_enclave_enter(const struct host_thread *thread, uint64_t rdi, struct host_exit *out);

static uint64_t honest(struct lie_call *c)
{
    return __real_host_ocall(c->thread, c->exit, c->thread_ends);
}

static bool is_syscall(const struct host_exit *exit)
{
    return exit->op == VIGIL_OCALL_SYSCALL || exit->op == VIGIL_OCALL_SYSCALL_INTR;
}

/* The target tells the host where its path begins and ends by trying to open files that are not there. */
static void look_for_marks(const struct host_exit *exit)
{
    if (!is_syscall(exit) || (exit->args[0] != SYS_openat && exit->args[0] != SYS_newfstatat && exit->args[0] != SYS_faccessat))
        return;
    const char *name = (const char *)exit->args[2];
    size_t n = strlen(name);
    if (n >= 13 && !strcmp(name + n - 13, "hostile-begin"))
        atomic_store(&on_path, true);
    if (n >= 11 && !strcmp(name + n - 11, "hostile-end"))
        atomic_store(&on_path, false);
}

static bool matches(const struct host_exit *exit)
{
    long of = hostile_now->of;

    if (of == ANY_OCALL)
        return exit->op != VIGIL_OCALL_EXIT && exit->op != VIGIL_OCALL_FAIL && exit->op != VIGIL_OCALL_THREAD_EXIT;
    if (of == ANY_SYSCALL)
        return is_syscall(exit);
    return of < 0 ? exit->op == (uint64_t)(-1 - of) : is_syscall(exit) && exit->args[0] == (uint64_t)of;
}

uint64_t __wrap_host_ocall(struct host_thread *thread, const struct host_exit *exit, int *thread_ends)
{
    struct lie_call call = {.thread = thread, .exit = exit, .a = exit->args + 1, .honest = honest, .thread_ends = thread_ends};

    atomic_store(&hostile_last_caller, thread);
    look_for_marks(exit);
    if (!hostile_now->lie || !(atomic_load(&on_path) || hostile_now->options & EVERYWHERE) || !matches(exit))
        return honest(&call);
    call.nth = atomic_fetch_add(&calls, 1);
    return hostile_now->lie(&call);
}

void __wrap_enclave_enter(const struct host_thread *thread, uint64_t rdi, struct host_exit *out)
{
    static _Atomic bool entered;

    if (!atomic_exchange(&entered, true) && hostile_now->at_start)
        hostile_now->at_start((struct host_thread *)thread, &rdi);
    __real_enclave_enter(thread, rdi, out);
}

uint64_t lie_result(struct lie_call *c)
{
    (void)c;
    return (uint64_t)hostile_now->value;
}

uint64_t lie_after_all(struct lie_call *c)
{
    (void)c->honest(c);
    return (uint64_t)hostile_now->value;
}

uint64_t lie_for_ever(struct lie_call *c)
{
    (void)c;
    return (uint64_t)-EINTR;
}
