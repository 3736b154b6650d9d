/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside signal/, and what thread/, time/ and fs/ may ask of it beyond libos/libos.h.
 *
 * Sets of signals are Linux's: bit n-1 is signal n. (The mailbox has bit n for signal n.)
 * Locks: threads_lock before signals_lock; no OCALL under either.
 *
 * Restarting a call that returns -ERESTART_RESTARTBLOCK: the handler has put the absolute time it waits for into
 * current_thread()->restart_deadline. If no handler of the program runs, the call is made again with restart_deadline
 * as it was; in every other call it is 0. */
#ifndef VIGIL_SIGNAL_H
#define VIGIL_SIGNAL_H

#include "libos/libos.h"
#include "libos/signal/aex.h"

#define SIG_BIT(sig) (1ull << ((sig) - 1))
#define SIGNAL_MAX 64
#define SIGSET_SIZE 8

/* The kernel's siginfo. */
struct siginfo_image {
    int32_t signo, error, code, pad;
    union {
        struct { int32_t pid; uint32_t uid; uint64_t value; } sender;
        struct { int32_t id, overrun; uint64_t value; } timer;
        struct { uint64_t address; } fault;
        uint8_t bytes[112];
    };
};
_Static_assert(sizeof(struct siginfo_image) == 128, "siginfo");

/* What rt_sigaction exchanges. */
struct action { uint64_t handler, flags, restorer, mask; };
#define HANDLER_DEFAULT 0
#define HANDLER_IGNORE 1

/* What sigaltstack exchanges. */
struct stack_image { uint64_t sp; int32_t flags, pad; uint64_t size; };

struct queued;
struct pending {
    uint64_t set;               /* written under signals_lock, read without */
    struct queued *first, *last;
};

/* A thread's part. The owner alone writes what is not pending. */
struct signal_state {
    uint64_t mask;              /* under signals_lock */
    uint64_t saved_mask;        /* with restore_mask: the mask before a temporary one */
    bool restore_mask;
    uint64_t wait_set;          /* rt_sigtimedwait waits for these, blocked or not. Under signals_lock */
    struct pending pending;     /* sent to this thread */
    struct stack_image altstack;
    uint64_t trapno, error_code, cr2; /* of the last exception, for signal frames */
    uint64_t fault_page, fault_count; /* faults in a row that should not have been */
    long restart_nr;            /* what restart_syscall makes again, -1: nothing */
    unsigned char *xarea;       /* 64-byte aligned, xsave_area_size() + 4 */
    void *xarea_memory;
    struct aex_state aex;       /* aex.c */
};

extern lock_t signals_lock;

/* ---- queue.c ----------------------------------------------------------------------------------------------------- */
extern struct pending shared_pending;
/* 0, -EINVAL, or -EAGAIN (a queued signal and no room). thread must not end during the call: it is the caller itself or
 * threads_lock is held; *kick_slot then says whom to kick after unlocking, -1: nobody. */
int signal_post(struct thread *thread, const struct siginfo_image *info, int *kick_slot);
/* To the process. Takes threads_lock. */
int signal_post_process(const struct siginfo_image *info);
/* An exception's signal to the current thread: not to be blocked or ignored, else it kills the process. */
void signal_force(const struct siginfo_image *info);
/* Takes the next signal of the set for the current thread. Its number, 0 if there is none. */
int signal_take(uint64_t set, struct siginfo_image *info, struct action *action);
void signal_discard(uint64_t set);      /* everywhere; under threads_lock and signals_lock */
/* Signals of the set that wait for the process: wake somebody who wants them. */
void signal_retarget(uint64_t set);
void pending_drop_all(struct pending *); /* under signals_lock */
void signal_poll_host(void);            /* takes the mailbox */
/* Does a signal of that timer still wait? */
bool signal_holds_timer(int id);
/* To the thread with that tid: 0, -ESRCH, or as signal_post. signo 0 only looks for the thread. */
int signal_post_tid(int tid, const struct siginfo_image *info);
void signal_init_image(struct siginfo_image *info, int sig, int code);
/* From the program itself. */
void signal_init_own(struct siginfo_image *info, int sig, int code);

/* ---- signalfd.c -------------------------------------------------------------------------------------------------- */
extern struct wait_queue signalfd_changed; /* whoever makes a signal pending wakes it, with no lock held */

/* ---- action.c ---------------------------------------------------------------------------------------------------- */
extern struct action actions[SIGNAL_MAX + 1]; /* under signals_lock */
enum signal_default { SIGNAL_TERMINATE, SIGNAL_IGNORE, SIGNAL_STOP };
enum signal_default signal_default(int sig);
bool action_ignores(int sig);           /* under signals_lock */
bool signal_forwarded(int sig);         /* has the host been asked to report it? */
void actions_init(void);
void actions_exec(void);                /* execve: handlers become the default, what is ignored stays so */
/* The host's timer signal, for time/. */
int signal_watch_timer(void);
#define HOST_TIMER_SIGNAL 63

/* ---- mask.c ------------------------------------------------------------------------------------------------------ */
#define UNBLOCKABLE (SIG_BIT(9) | SIG_BIT(19)) /* SIGKILL, SIGSTOP */
void signal_set_mask(uint64_t mask);
/* For the length of the current call (sigsuspend, ppoll ...): libos_return puts the old mask back, or into the frame of
 * the handler that ends the call. */
void signals_set_temporary_mask(uint64_t mask);

/* ---- altstack.c -------------------------------------------------------------------------------------------------- */
bool on_altstack(const struct signal_state *state, uint64_t rsp);
void altstack_reset(struct signal_state *state);
void altstack_handler_entered(struct signal_state *state); /* its frame has the stack as it was */
int altstack_set(struct signal_state *state, const struct stack_image *stack, uint64_t rsp);

/* ---- frame.c ----------------------------------------------------------------------------------------------------- */
/* Makes the handler the next thing the application does. -EFAULT: the frame cannot be written. */
int frame_push(struct checkpoint *regs, const struct action *action, const struct siginfo_image *info, uint64_t mask);

#endif
