/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of signals, threads and time share: a LibOS with memory, threads and signals up, and its calls. */
#ifndef VIGIL_LIBOS_SIG_H
#define VIGIL_LIBOS_SIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/libos.h"
#include "libos/mm/mm.h"
#include "libos/signal/frame.h"
#include "libos/signal/signal.h"
#include "libos/time/time.h"

#include <asm/unistd_64.h>

#define SYSCALL(nr, name) long sys_##name(SYSCALL_ARGS);
#include "libos/syscall_table.h"

#define SIG_APP (4u << 20)
#define SIG_USER_PAGES 16

static uint64_t user;           /* read-write application memory */

static inline int sig_setup(void **state)
{
    (void)state;
    fake_enclave_init(SIG_APP);
    assert_int_equal(mm_init(), 0);
    assert_int_equal(threads_init(), 0);
    assert_int_equal(signals_init(), 0);
    user = (uint64_t)mm_map(0, SIG_USER_PAGES * VIGIL_PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS);
    assert_true((long)user > 0);
    *current_regs() = (struct checkpoint){
        .rip = 0x1000, .rsp = user + SIG_USER_PAGES * VIGIL_PAGE - 64, .rflags = 0x202};
    return 0;
}

static inline int sig_teardown(void **state)
{
    struct thread *thread = current_thread();

    (void)state;
    fake_host = NULL;
    fake_join_all();
    lock(&signals_lock);
    pending_drop_all(&shared_pending);
    unlock(&signals_lock);
    signals_thread_exit(thread);
    set_current_thread(NULL);
    kfree(thread);
    return 0;
}

/* One system call as the application makes it, the way back included. */
static inline long sig_call(long nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct checkpoint *regs = current_regs();

    regs->rax = (uint64_t)nr;
    regs->rdi = a0, regs->rsi = a1, regs->rdx = a2, regs->r10 = a3, regs->r8 = a4, regs->r9 = a5;
    regs->rip += 2;
    libos_syscall(regs);
    libos_return(regs, true);
    return (long)regs->rax;
}

#define SIG_HANDLER 0x401000ull
#define SIG_RESTORER 0x402000ull
#define SIG_SA_SIGINFO 4ull
#define SIG_SA_RESTORER 0x04000000ull
#define SIG_SA_ONSTACK 0x08000000ull
#define SIG_SA_RESTART 0x10000000ull
#define SIG_SA_NODEFER 0x40000000ull
#define SIG_SA_RESETHAND 0x80000000ull

static inline void sig_action(int sig, uint64_t handler, uint64_t flags, uint64_t mask)
{
    struct action action = {handler, flags | SIG_SA_RESTORER, SIG_RESTORER, mask};

    assert_int_equal(copy_to_user((void *)user, &action, sizeof(action)), 0);
    assert_int_equal(sys_rt_sigaction(sig, (long)user, 0, SIGSET_SIZE, 0, 0), 0);
}

static inline void sig_frame_at(uint64_t rsp, struct sigframe_image *frame)
{
    assert_int_equal(copy_from_user(frame, (void *)rsp, sizeof(*frame)), 0);
}

#endif
