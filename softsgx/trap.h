/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal to the trap driver: one slot for each registered thread, its alternate signal stack included. The constants
 * are for trap_entry.S and asserted in trap_thread.c. */
#ifndef SOFTSGX_TRAP_H
#define SOFTSGX_TRAP_H

#define TRAP_SLOT_SIZE 65536   /* a power of two: the slot is found from the stack pointer */
#define TRAP_STACK_OFFSET 8192 /* the state page and a guard page come first */

#define SLOT_IN_ENCLAVE 0
#define SLOT_FSBASE 8
#define SLOT_GSBASE 16
#define SLOT_HOST_FSBASE 24
#define SLOT_HOST_GSBASE 32

#ifndef __ASSEMBLER__
#include "softsgx/cpu.h"

#include <time.h>
#include <ucontext.h>

struct trap_slot {
    uint64_t in_enclave;                    /* is cpu.enclave_mode, for trap_entry.S */
    uint64_t fsbase, gsbase;                /* the enclave's, while a handler runs */
    uint64_t host_fsbase, host_gsbase;      /* the host's, while the enclave runs */
    uint32_t used;                          /* claimed by a thread */
    bool prepared;                          /* the guard page is there */
    struct sgx_cpu cpu;

    softsgx_step_fn step;                   /* not NULL: the thread is stepped while in enclave mode */
    void *step_arg;
    uint64_t step_count;
    struct { uint64_t left, seed; uint32_t mean; } schedule;   /* of the ready-made step functions */

    timer_t timer;
    bool has_timer, timer_runs, timer_parked;
};

#define TRAP_TICK_SIGNAL (SIGRTMIN + 1)

/* trap_thread.c */
extern uint64_t trap_arena, trap_arena_size;
struct trap_slot *trap_slot_at(uint32_t index);
uint32_t trap_slot_limit(void);             /* slots that were ever used */
struct trap_slot *trap_current(void);       /* the calling thread's, NULL if it is not registered */
int trap_arena_init(void);

/* trap_frame.c: signal frame to register file and back */
void trap_load(struct trap_slot *slot, ucontext_t *uc);
void trap_store(struct trap_slot *slot, ucontext_t *uc);

/* trap_signal.c */
int trap_install(int sig);
void trap_aex(struct trap_slot *slot, ucontext_t *uc, const struct sgx_event *event);
void trap_count(uint64_t *counter);
extern struct softsgx_stats trap_stats;

/* trap_event.c */
bool trap_is_enclu(uint64_t rip);
/* The architectural event of a synchronous signal in enclave mode; may correct RIP in the frame. */
struct sgx_event trap_event(struct trap_slot *slot, int sig, ucontext_t *uc);

/* trap_step.c */
void trap_before_instruction(struct trap_slot *slot, ucontext_t *uc);
bool trap_breakpoint(struct trap_slot *slot, ucontext_t *uc);

/* trap_tick.c */
void trap_tick_thread_init(struct trap_slot *slot);
void trap_tick_thread_exit(struct trap_slot *slot);
void trap_tick_outside(struct trap_slot *slot);  /* a tick found the thread outside its enclave */
void trap_tick_entering(struct trap_slot *slot);

/* trap_map.c */
extern const struct sgx_mapping_ops trap_mapping_ops;
#endif
#endif
