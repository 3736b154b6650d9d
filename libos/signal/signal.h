/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside signal/: state and steps. One lock, signal_lock, owns every disposition and every pending set. Where both are
 * needed threads_lock is taken first. */
#ifndef VIGIL_SIGNAL_H
#define VIGIL_SIGNAL_H

#include "libos/libos.h"

#include <linux/signal.h>

#define SIGSET_SIZE 8
#define SIG_MAX 64
#define SIG_BIT(sig) (1ull << ((sig) - 1))
#define SIG_UNBLOCKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define SIG_SYNCHRONOUS \
    (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | SIG_BIT(SIGSYS))

/* What rt_sigaction takes (Linux, x86-64). */
struct kernel_sigaction { uint64_t handler, flags, restorer, mask; };
#define HANDLER_DEFAULT 0
#define HANDLER_IGNORE 1

struct queued { struct queued *next; siginfo_t info; };
struct pending { uint64_t set; struct queued *queue; };

struct signal_state {
    uint64_t blocked, saved_blocked, waiting;   /* waiting: what rt_sigtimedwait is after */
    bool has_saved;                             /* saved_blocked comes back after delivery (sigsuspend, ppoll) */
    struct pending pending;
    uint64_t alt_sp, alt_size;
    uint32_t alt_flags;
    uint64_t trapno, error_code, cr2;           /* of the last fault, for mcontext */
    uint64_t resolved_at, resolved_times;       /* page faults at one address that should not have happened */
    void *xsave_room;                           /* owned */
    void *xsave;                                /* in it: 64-byte aligned room for one extended state image */
};

extern lock_t signal_lock;
struct kernel_sigaction *signal_action(int sig);        /* under signal_lock */

/* Queues; under signal_lock. queue_take prefers synchronous signals, then the lowest number. 0: nothing. */
int pending_add(struct pending *p, const siginfo_t *info);
int pending_take(struct pending *p, uint64_t allowed, siginfo_t *info);
void pending_drop(struct pending *p, uint64_t set);

extern struct pending process_pending;
int signal_send_info(struct thread *thread, const siginfo_t *info);
void signal_force(int sig, int code, uint64_t addr);    /* to the current thread; kills if blocked or ignored */
void signal_set_blocked(uint64_t blocked);              /* of the current thread */
/* Runs with this mask until libos_return has delivered (ppoll, pselect, sigsuspend). */
void signals_set_temporary_mask(uint64_t mask);
bool signal_default_ignores(int sig);
void signals_take_host_events(void);
void signal_watch(int sig);                             /* tell the host what to do with it now */

/* frame.c: 0, or -EFAULT if the stack is not there. */
int signal_push_frame(struct checkpoint *regs, const siginfo_t *info, const struct kernel_sigaction *action);
bool signal_on_altstack(const struct signal_state *s, uint64_t rsp);

#endif
