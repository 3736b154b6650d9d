/* SPDX-License-Identifier: Apache-2.0
 *
 * The system call dispatcher. A switch instead of a table of pointers: nothing to relocate, and no indirect call
 * through data. */
#include "libos/libos.h"
#include "libos/rewrite/rewrite.h"

#define VIGIL_AEX_NO_FUNCTIONS
#include "vigil/aex.h"

#include "syscall_names.h"

#include <asm/unistd_64.h>

#define __NR_vigil_aex VIGIL_SYSCALL_AEX /* Vigil's own */

#define SYSCALL(nr, name) \
    long sys_##name(SYSCALL_ARGS); \
    _Static_assert((nr) == __NR_##name, "wrong number for system call " #name);
#define REFUSED(nr, name, why) _Static_assert((nr) == __NR_##name, "wrong number for system call " #name);
#include "libos/syscall_table.h"

static const char *syscall_name(uint64_t nr)
{
    if (nr < sizeof(syscall_name_offset) / sizeof(syscall_name_offset[0]) && syscall_name_offset[nr])
        return syscall_name_text + syscall_name_offset[nr];
    return nr == VIGIL_SYSCALL_AEX ? "vigil_aex" : "?";
}

static long dispatch(uint64_t nr, SYSCALL_ARGS)
{
    switch (nr) {
#define SYSCALL(nr, name) \
    case nr: \
        return sys_##name(a0, a1, a2, a3, a4, a5);
#include "libos/syscall_table.h"
    default:
        log_line(VIGIL_LOG_DEBUG, "system call %s (%lu) is not implemented: ENOSYS", syscall_name(nr), nr);
        return -ENOSYS;
    }
}

void libos_syscall_trapped(uint64_t address)
{
    rewrite_trapped(address);
}

/* thread.syscall_nr stays set until libos_return, which needs it to restart the call. rt_sigreturn replaces all of
 * *regs and returns the restored rax. */
void libos_syscall(struct checkpoint *regs)
{
    struct thread *thread = current_thread();
    uint64_t nr = regs->rax;

    bounce_reset();
    thread->syscall_nr = (long)nr;
    if (log_enabled(VIGIL_LOG_TRACE))
        log_line(VIGIL_LOG_TRACE, "[%u] %s(0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx)", thread->tid, syscall_name(nr),
                 regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9);
    long result = dispatch(nr, (long)regs->rdi, (long)regs->rsi, (long)regs->rdx, (long)regs->r10, (long)regs->r8,
                           (long)regs->r9);
    if (log_enabled(VIGIL_LOG_TRACE))
        log_line(VIGIL_LOG_TRACE, "[%u] %s = %ld", thread->tid, syscall_name(nr), result);
    regs->rax = (uint64_t)result;
}
