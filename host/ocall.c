/* SPDX-License-Identifier: Apache-2.0
 *
 * The OCALL service: what the enclave asks of the host. */
#include "host/debugger.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int host_log_fd = STDERR_FILENO;
bool host_stats;

/* By its own name, so that a debugger can stop here: the default action of a signal it passes without a word. */
__attribute__((noinline)) _Noreturn void host_die_of_signal(int sig)
{
    sigset_t set;

    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(sig);
    _exit(128 + sig);
}

/* wait_status as waitpid() gives it: low 7 bits a signal, else the exit code in bits 8..15. */
_Noreturn void host_process_exit(int wait_status)
{
    int sig = wait_status & 0x7f;

    if (host_stats)
        backend->print_stats(host_log_fd);
    if (sig)
        host_die_of_signal(sig);
    _exit((wait_status >> 8) & 0xff);
}

static void write_all(int fd, const char *data, size_t n)
{
    while (n) {
        ssize_t written = write(fd, data, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        n -= (size_t)written;
    }
}

static uint64_t do_kick(uint32_t slot)
{
    if (slot >= host_thread_count)
        return (uint64_t)-EINVAL;
    struct host_thread *thread = host_thread_at(slot);
    __atomic_or_fetch(&thread->shared.pending, 1, __ATOMIC_SEQ_CST);
    pid_t tid = atomic_load(&thread->tid);
    if (tid)
        syscall(SYS_tgkill, getpid(), tid, HOST_SIG_KICK);
    return 0;
}

static uint64_t do_syscall(const uint64_t *a)
{
    long result = syscall((long)a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    return (uint64_t)(result == -1 ? -errno : result);
}

/* Each range on its own; the first error is the answer. The enclave looks at each page itself. */
static int do_memory(const uint64_t *a)
{
    const struct vigil_range *ranges = (const struct vigil_range *)a[2];
    int error = 0;

    for (uint64_t i = 0; i < a[3] && i < VIGIL_MEMORY_RANGES; i++) {
        int status = backend->memory((uint32_t)a[0], ranges[i].address, ranges[i].length, a[1]);
        error = error ? error : status;
    }
    return error;
}

uint64_t host_ocall(struct host_thread *thread, const struct host_exit *exit, int *thread_ends)
{
    const uint64_t *a = exit->args;

    switch (exit->op) {
    case VIGIL_OCALL_SYSCALL:
        return do_syscall(a);
    case VIGIL_OCALL_SYSCALL_INTR:
        return (uint64_t)host_syscall_intr(&thread->shared.pending, (long)a[0], a + 1);
    case VIGIL_OCALL_PROTECT:
        return (uint64_t)(int64_t)backend->protect(a[0], a[1], (int)a[2]);
    case VIGIL_OCALL_MEMORY:
        return (uint64_t)(int64_t)do_memory(a);
    case VIGIL_OCALL_THREAD_CREATE:
        return (uint64_t)(int64_t)host_thread_start((uint32_t)a[0]);
    case VIGIL_OCALL_THREAD_EXIT:
        *thread_ends = 1;
        return 0;
    case VIGIL_OCALL_KICK:
        return do_kick((uint32_t)a[0]);
    case VIGIL_OCALL_WATCH:
        return (uint64_t)(int64_t)host_watch((int)a[0], (int)a[1]);
    case VIGIL_OCALL_LOG:
        write_all(host_log_fd, (const char *)a[0], a[1]);
        return 0;
    case VIGIL_OCALL_CPUID: {
        uint32_t *out = (uint32_t *)a[2];
        __cpuid_count((uint32_t)a[0], (uint32_t)a[1], out[0], out[1], out[2], out[3]);
        return 0;
    }
    case VIGIL_OCALL_LOADED:
        debugger_object((int)a[0], a[1]);
        return 0;
    case VIGIL_OCALL_EXIT:
        host_process_exit((int)a[0]);
    case VIGIL_OCALL_FAIL:
        if (a[0] == 1)
            dprintf(STDERR_FILENO, "vigil: the enclave refused to be entered: this is a bug in Vigil\n");
        _exit(HOST_EXIT_REFUSED);
    default:
        dprintf(STDERR_FILENO, "vigil: the enclave made unknown OCALL %lu: host runtime and image do not match\n",
                exit->op);
        _exit(HOST_EXIT_REFUSED);
    }
}
