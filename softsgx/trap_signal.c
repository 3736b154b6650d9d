/* SPDX-License-Identifier: Apache-2.0
 *
 * Signal dispositions: the driver's own, the embedder's, and what happens when there is none. */
#include "softsgx/trap.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGNALS 65
#define KERNEL_SA_RESTORER 0x04000000

/* What rt_sigaction takes. libc's sigaction would leave its own two signals out of the mask. */
struct kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static softsgx_handler handlers[SIGNALS];

int sgx_trap_tick_signal(void)
{
    return SIGRTMIN + 1;
}

static bool owned(int sig)
{
    switch (sig) {
    case SIGILL: case SIGSEGV: case SIGBUS: case SIGFPE: case SIGTRAP: case SIGSYS:
        return true;
    default:
        return sig == sgx_trap_tick_signal();
    }
}

static int set_disposition(int sig, bool ours)
{
    struct kernel_sigaction act = {0};

    if (ours) {
        act.handler = sgx_trap_entry;
        act.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | KERNEL_SA_RESTORER;
        act.restorer = sgx_trap_restorer;
        act.mask = ~0ull;
    }
    return syscall(SYS_rt_sigaction, sig, &act, NULL, sizeof(act.mask)) ? -errno : 0;
}

int sgx_trap_install(void)
{
    int ret = 0;

    for (int sig = 1; sig < SIGNALS && !ret; sig++)
        if (owned(sig))
            ret = set_disposition(sig, true);
    return ret;
}

int softsgx_sigaction(int sig, softsgx_handler handler)
{
    int ret;

    if (sig <= 0 || sig >= SIGNALS || sig == sgx_trap_tick_signal() || (sig >= 32 && sig < SIGRTMIN))
        return -EINVAL;
    if (!handler && !owned(sig)) {
        ret = set_disposition(sig, false);
        if (!ret)
            __atomic_store_n(&handlers[sig], NULL, __ATOMIC_RELEASE);
        return ret;
    }
    __atomic_store_n(&handlers[sig], handler, __ATOMIC_RELEASE);
    return set_disposition(sig, true);
}

bool sgx_trap_handled(int sig)
{
    return __atomic_load_n(&handlers[sig], __ATOMIC_ACQUIRE);
}

void sgx_trap_deliver(int sig, siginfo_t *info, ucontext_t *uc, bool refaults)
{
    softsgx_handler handler = __atomic_load_n(&handlers[sig], __ATOMIC_ACQUIRE);

    if (handler) {
        handler(sig, info, uc);
        return;
    }
    /* The default action ends the process as soon as this handler returns. A fault that will occur again does it best:
     * the core then shows the faulting instruction. */
    set_disposition(sig, false);
    if (!refaults)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
}

/* ---- messages: a handler may not call stdio ---- */

static size_t put_hex(char *out, uint64_t value)
{
    size_t n = 0;
    int shift = 60;

    out[n++] = '0';
    out[n++] = 'x';
    while (shift && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        out[n++] = "0123456789abcdef"[(value >> shift) & 15];
    return n;
}

void sgx_trap_message(const char *text, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t value[3] = { a, b, c };
    char line[512] = "softsgx: ";
    size_t n = 9, used = 0;
    ssize_t ignored;

    for (; *text && n < sizeof(line) - 24; text++) {
        if (*text == '%' && used < 3)
            n += put_hex(line + n, value[used++]);
        else
            line[n++] = *text;
    }
    line[n++] = '\n';
    ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}
