/* SPDX-License-Identifier: Apache-2.0
 *
 * See lab.h: what callbacks look at and interfere with. Async-signal-safe. */
#include "tests/defects/lab.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void lab_read(uint64_t address, void *to, uint64_t length)
{
    if (softsgx_debug_read(lab.enclave, address, to, length))
        lab_fail("the debugger cannot read %lu bytes at 0x%lx", length, address, 0);
}

void lab_write(uint64_t address, const void *from, uint64_t length)
{
    if (softsgx_debug_write(lab.enclave, address, from, length))
        lab_fail("the debugger cannot write %lu bytes at 0x%lx", length, address, 0);
}

uint64_t lab_word(uint64_t address)
{
    uint64_t value;
    lab_read(address, &value, sizeof(value));
    return value;
}

void lab_set_word(uint64_t address, uint64_t value)
{
    lab_write(address, &value, sizeof(value));
}

uint64_t lab_target_word(const char *name)
{
    return lab_word(lab_target_symbol(name));
}

uint8_t lab_armed(uint64_t tcs)
{
    uint8_t value;
    lab_read(tcs - VIGIL_GS_TCS + VIGIL_GS_ARMED, &value, 1);
    return value;
}

void lab_set_armed(uint64_t tcs, uint8_t value)
{
    lab_write(tcs - VIGIL_GS_TCS + VIGIL_GS_ARMED, &value, 1);
}

void lab_arming(bool on)
{
    static const uint8_t opcode[] = {0x65, 0xc6, 0x04, 0x25}; /* movb $imm8, %gs:disp32 */
    uint8_t code[9];

    lab_read(lab.resume_begin, code, sizeof(code));
    /* A breakpoint may lie on the first byte. */
    if (memcmp(code + 1, opcode + 1, sizeof(opcode) - 1))
        lab_fail("there is no arming instruction at resume_begin: 0x%lx", code[0], 0, 0);
    code[8] = on;
    lab_write(lab.resume_begin + 8, code + 8, 1);
}

enum lab_where lab_where(const struct softsgx_boundary *b)
{
    /* The execute probe's RET on the application's page. */
    bool probing = b->rsp - (b->tcs - VIGIL_GS_TCS) < VIGIL_PAGE;

    if (b->cssa)
        return LAB_STAGE1;
    if (probing || (b->rip > lab.resume_begin && b->rip < lab.resume_end))
        return LAB_RESUME;
    return b->rip < lab.runtime_low ? LAB_APPLICATION : LAB_RUNTIME;
}

void lab_signal(void)
{
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR1);
}

void lab_last_pass(const struct softsgx_boundary *b)
{
    b->uc->uc_mcontext.gregs[REG_RAX] = 1;
}

void lab_break(uint64_t address, softsgx_break_fn fn)
{
    int status = softsgx_break(lab.enclave, address, fn, NULL);
    if (status)
        lab_fail("no breakpoint at 0x%lx: error %lu", address, (uint64_t)-status, 0);
}

void lab_break_at(uint64_t address, softsgx_step_fn fn)
{
    int status = softsgx_break_at(lab.enclave, address, fn, NULL);
    if (status)
        lab_fail("no breakpoint at 0x%lx: error %lu", address, (uint64_t)-status, 0);
}

static lab_fault_fn fault_hook;

/* What the host's own handler does, for what the hook leaves to it. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];

    if (rip == (uint64_t)aep_eenter) {
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)aep_resume;
        return;
    }
    if (fault_hook(sig, info, uc))
        return;
    if (!host_current || rip != (uint64_t)aep)
        lab_fail("signal %lu outside the enclave, at 0x%lx", (uint64_t)sig, rip, 0);
    host_current->claim = (uint32_t)sig;
}

void lab_hook_faults(lab_fault_fn fn)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

    fault_hook = fn;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (softsgx_sigaction(faults[i], on_fault))
            lab_fail("signal %lu cannot be hooked", (uint64_t)faults[i], 0, 0);
}

void lab_tour_init(struct lab_tour *tour, uint64_t low, uint64_t high, uint64_t stride)
{
    memset(tour, 0, sizeof(*tour));
    tour->low = low;
    tour->high = high;
    tour->stride = stride ? stride : 1;
}

bool lab_tour_due(struct lab_tour *tour, uint64_t address)
{
    uint64_t i = address - tour->low;

    if (address < tour->low || address >= tour->high || i >= sizeof(tour->visited) || tour->visited[i])
        return false;
    tour->visited[i] = 1;
    if (tour->seen++ % tour->stride)
        return false;
    tour->taken++;
    return true;
}
