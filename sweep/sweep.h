/* SPDX-License-Identifier: Apache-2.0
 *
 * The boundary sweep's engine: looks at one pass of a program by single-stepping, chooses instruction boundaries, and
 * gets to a chosen one again by a breakpoint in order to inject an event there, and a second one in what handles the
 * first. For the software SGX. Used by tests/sweep (one process, a program that repeats its path) and by `vigil sweep`
 * (a process for each run).
 *
 * Everything but sweep_plan_init and sweep_locate may run in step and breakpoint callbacks: no libc allocation, no
 * locks. The thread of the enclave's first TCS is swept; others run freely. */
#ifndef VIGIL_SWEEP_H
#define VIGIL_SWEEP_H

#include "image/image.h"
#include "softsgx/softsgx.h"

/* ---- symbols.c ---- */
bool sweep_symbol(const void *elf, size_t size, const char *name, uint64_t *value);
/* The function or object of the symbol table whose name is most like this one; NULL if there is no table. */
const char *sweep_nearest_symbol(const void *elf, size_t size, const char *name);
/* The symbol at or before an address ("name+0x12" needs the difference), NULL if none. */
const char *sweep_symbol_before(const void *elf, size_t size, uint64_t address, uint64_t *offset);

/* ---- map.c: where things are, and what a boundary is ---- */
struct sweep_map {
    struct softsgx_enclave *enclave;
    uint64_t tcs;                       /* the first thread's */
    uint64_t elf_base;                  /* of the runtime */
    uint64_t resume_begin, resume_end, final_jump, gate, loaded;
    uint64_t runtime_low;               /* from here up is the runtime's, below it the application's */
    uint64_t keep;                      /* an address whose breakpoint is somebody else's; 0 none */
    int signal[2];                      /* what SWEEP_SIGNAL sends as first and as second event */
};
extern struct sweep_map sweep_map;
/* Fills all but enclave, keep and signal. */
int sweep_locate(const struct image *image, struct image_error *error);

enum {
    SWEEP_IN_APPLICATION = 1,   /* RIP is the application's and nothing of the runtime is going on */
    SWEEP_IN_RESUME = 2,        /* the restartable resume behind its arming instruction, the execute probe included */
    SWEEP_ARMED = 4,            /* an AEX here must be notified */
    SWEEP_CSSA1 = 8,            /* stage 1 */
    SWEEP_CAN_PAGE = 16,        /* an armed access to the application's memory: the page can be taken away */
    SWEEP_PROBE = 32,           /* the application's code executed by the execute probe */
};
unsigned sweep_flags(const struct softsgx_boundary *b);
/* SSA[0].AEXNOTIFY at CSSA=0 is 1 exactly where SWEEP_ARMED says so, SSA[1].AEXNOTIFY never. Returns the two bytes if
 * they are wrong, 0 if they are right. */
unsigned sweep_broken_invariant(const struct softsgx_boundary *b, unsigned flags);

/* So that every pass executes the same instructions: this thread's random delay in the resume is the longest there is from
 * now on, and no probe is known to be in vain. */
void sweep_fresh(const struct softsgx_boundary *b);

/* ---- access.c ---- */
/* The page of application memory that the instruction in front of the boundary accesses: its operand, the stack it pushes
 * to or pops from; with_code: else its own. 0 if none is known. */
uint64_t sweep_accessed_page(const struct softsgx_boundary *b, bool with_code);

/* ---- trace.c: one pass, and what of it is worth an event ---- */
struct sweep_step { uint64_t rip : 48, flags : 16; };
struct sweep_trace {
    uint64_t count, capacity;   /* count may exceed capacity: then steps were lost */
    uint64_t broken;            /* boundaries with the armed invariant broken */
    uint64_t broken_at;         /* the first of them */
    uint64_t deepest, stack;    /* CSSA and bytes of the kernel stack, at most; never cleared */
    struct sweep_step step[];
};
struct sweep_trace *sweep_trace_new(uint64_t capacity);   /* shared with children; NULL with errno */
void sweep_trace_clear(struct sweep_trace *trace);
void sweep_trace_add(struct sweep_trace *trace, const struct softsgx_boundary *b);

/* How to get to a boundary: a breakpoint, the arrival there that counts, and steps from it. */
struct sweep_landing { uint64_t address, rip; uint32_t arrival, steps; };

struct sweep_plan {
    uint64_t capacity;
    uint32_t *chosen;           /* indices into the trace, ascending */
    uint64_t chosen_count;
    struct sweep_arrival *arrival;
    struct sweep_seen *seen;
};
int sweep_plan_init(struct sweep_plan *plan, uint64_t capacity);
/* Chooses boundaries: of each address, within each loop, the first, second, middle and last arrival. */
void sweep_plan_make(struct sweep_plan *plan, const struct sweep_trace *trace);
void sweep_land(const struct sweep_plan *plan, const struct sweep_trace *trace, uint64_t index, struct sweep_landing *out);

/* ---- inject.c ---- */
enum sweep_inject {
    SWEEP_AEX,      /* an interrupt */
    SWEEP_SIGNAL,   /* and a host signal to the thread */
    SWEEP_CLAIM,    /* an interrupt that the host calls a SIGSEGV, by entering the enclave with that claim */
    SWEEP_PAGE,     /* the page that the instruction accesses is gone, until it has faulted */
    SWEEP_INJECTS,
};
extern const char *const sweep_inject_name[SWEEP_INJECTS];
/* Is this event possible and meaningful at such a boundary? */
bool sweep_applies(enum sweep_inject inject, unsigned flags);

/* One pass: events at one or two boundaries. The second one's arrivals are counted from the first event on. */
struct sweep_shot {
    unsigned points;
    struct sweep_landing at[2];
    enum sweep_inject inject[2];
};
struct sweep_outcome {
    unsigned injected;          /* of the shot's points */
    unsigned missed;            /* the breakpoint was right and the instruction another one */
    unsigned pointless;         /* SWEEP_PAGE found nothing to take away, an AEX was injected instead */
    unsigned signals;           /* sent */
    uint64_t broken, broken_rip; /* the armed invariant: the two bytes, and where */
};
/* In a callback at the beginning of the pass, or before it. handler: what happens after the last event, until the return to
 * the application, is recorded there (NULL: not). */
int sweep_arm(const struct sweep_shot *shot, struct sweep_outcome *outcome, struct sweep_trace *handler);
/* At the end of the pass: whatever was not reached is forgotten. */
void sweep_disarm(void);
#endif
