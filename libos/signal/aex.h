/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread's handlers of interruptions; see include/vigil/aex.h for what they are promised. */
#ifndef VIGIL_SIGNAL_AEX_H
#define VIGIL_SIGNAL_AEX_H

#include "enclave/enclave.h"
#define VIGIL_AEX_NO_FUNCTIONS
#include "vigil/aex.h"

/* Zero is the state of a new thread. Written by its owner alone. */
struct aex_state {
    struct aex_entry { uint64_t handler, arg, restorer, id; } entries[VIGIL_AEX_HANDLERS_MAX]; /* oldest first */
    uint32_t count;
    bool started;               /* base is valid */
    bool active;                /* a handler is running, unless it was left (aex_handler_running) */
    uint64_t last_id;
    uint64_t frame;             /* active: stack pointer of its frame */
    uint64_t id;                /* active: of the handler */
    struct aex_counts base;     /* of the thread block when this thread came into it */
    uint64_t seen;              /* interruptions, as the last look found them */
    uint64_t reported, reported_coalesced; /* both counters at the last call */
    uint64_t calls, missed;
    struct vigil_aex_info info; /* of the last call */
};

struct signal_state;

/* Called on every way back to the application: calls the handlers if there was an interruption to tell of. */
void aex_return(struct checkpoint *regs, struct signal_state *s, bool from_syscall);
/* rt_sigreturn of the frame at sp: true, and regs is the next handler, if that was a handler with others behind it. */
bool aex_sigreturn(struct checkpoint *regs, struct signal_state *s, uint64_t sp);
/* A signal frame was pushed at sp. */
void aex_frame_pushed(struct signal_state *s, uint64_t sp);

#endif
