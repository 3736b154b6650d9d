/* SPDX-License-Identifier: Apache-2.0
 *
 * Host signals. Handlers only record: a fault of the enclave in host_thread.claim, anything asynchronous in the mailbox.
 * The AEP and the enclave do the rest, in regular context. */
#include "host/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

static bool inside(uint64_t rip, const char *begin, const char *end)
{
    return rip >= (uint64_t)begin && rip < (uint64_t)end;
}

static _Noreturn void die(int sig, const char *what, uint64_t rip)
{
    char line[256];
    int n = snprintf(line, sizeof(line), "vigil: %s (signal %d at 0x%lx); please report this\n", what, sig, rip);
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)n);
    (void)ignored;
    _exit(128 + sig);
}

/* After an AEX the processor is at the AEP; everything else is the host's own fault. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)regs[REG_RIP];
    struct host_thread *thread = host_current;
    (void)info;

    if (thread && rip == (uint64_t)aep) {
        if (thread->claim)
            die(sig, "a second fault in the enclave before the first was delivered", rip);
        thread->claim = (uint32_t)sig;
        return;
    }
    if (thread && rip == (uint64_t)aep_eenter) {
        if ((uint32_t)regs[REG_RDI])
            die(sig, "a fault inside the enclave's stage 1", rip);
        regs[REG_RIP] = (greg_t)aep_resume;
        return;
    }
    if (rip == (uint64_t)enclave_eenter)
        die(sig, "the processor refused EENTER", rip);
    if (inside(rip, aep_check, aep_check_end) || inside(rip, aep_resume, aep_resume_end))
        die(sig, "the processor refused ERESUME: the enclave is lost", rip);
    die(sig, "the host runtime crashed", rip);
}

static void on_event(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)regs[REG_RIP];
    struct host_thread *thread = host_current;
    (void)info;

    if (!thread)
        return;
    /* Bit 0 is the kick; everything above 63 has no bit and is one too. */
    uint64_t bit = sig == HOST_SIG_KICK || sig > 63 ? 1 : 1ull << sig;
    __atomic_or_fetch(&thread->shared.pending, bit, __ATOMIC_SEQ_CST);
    if (inside(rip, aep_check, aep_check_end) || inside(rip, aep_resume, aep_resume_end))
        regs[REG_RIP] = (greg_t)aep_check;
    else if (inside(rip, intr_check, intr_end))
        regs[REG_RIP] = (greg_t)intr_eintr;
}

static bool is_fault_signal(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP;
}

int host_watch(int sig, int how)
{
    if (sig <= 0 || sig > 64 || is_fault_signal(sig) || sig == SIGSYS || sig == SIGKILL || sig == SIGSTOP ||
        sig == SIGPIPE || (sig >= 32 && sig <= HOST_SIG_KICK) || how < 0 || how > 2)
        return -EINVAL;
    if (how == 1)
        return backend->sigaction(sig, on_event);
    if (backend->sigaction(sig, NULL))
        return -EINVAL;
    if (how == 2)
        signal(sig, SIG_IGN);
    return 0;
}

int host_signals_init(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct rlimit no_core = {0, 0};

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (backend->sigaction(faults[i], on_fault))
            return -1;
    if (backend->sigaction(HOST_SIG_KICK, on_event))
        return -1;
    /* A broken pipe is an error of the OCALL; the LibOS makes the signal. A core would show the enclave. */
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &no_core);
    return 0;
}
