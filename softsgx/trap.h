/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal to the trap driver: signals in, architectural events out. Also read by trap_entry.S. */
#ifndef SOFTSGX_TRAP_H
#define SOFTSGX_TRAP_H

/* One slot of the arena: a page of state, a guard page, the alternate signal stack. Aligned to its size, so that the
 * state is found from any stack pointer within. */
#define TRAP_SLOT_SIZE  0x10000
#define TRAP_SLOT_STACK 0x2000
#define TRAP_SLOTS      4096
#define TRAP_ARENA_SIZE (TRAP_SLOTS * TRAP_SLOT_SIZE)

/* Offsets for trap_entry.S, asserted in trap_thread.c. The state begins with its struct sgx_cpu. */
#define TRAP_FSBASE       144
#define TRAP_GSBASE       152
#define TRAP_ENCLAVE_MODE 180
#define TRAP_SAVED_FSBASE 200
#define TRAP_SAVED_GSBASE 208
#define TRAP_UC_EFLAGS    176
#define TRAP_FAST         248
#define TRAP_HOST_BASES   (TRAP_FAST + 0)
#define TRAP_FAST_ENTERING (TRAP_FAST + 1)
#define TRAP_FAST_FRAME_OK (TRAP_FAST + 2)
#define TRAP_FAST_CSSA    (TRAP_FAST + 4)
#define TRAP_FAST_ENTRY   (TRAP_FAST + 8)
#define TRAP_FAST_INSIDE  (TRAP_FAST + 16)
#define TRAP_FAST_TCS     (TRAP_FAST + 24)
#define TRAP_FAST_RCX     (TRAP_FAST + 32)
#define TRAP_FAST_TARGET  (TRAP_FAST + 40)
#define TRAP_FAST_FSBASE  (TRAP_FAST + 48)
#define TRAP_FAST_GSBASE  (TRAP_FAST + 56)
#define TRAP_FAST_RSP     (TRAP_FAST + 64)
#define TRAP_FAST_XCR0    (TRAP_FAST + 72)
#define TRAP_AGAIN        (TRAP_FAST + 80)
#define TRAP_AGAIN_TCS    (TRAP_AGAIN + 0)
#define TRAP_AGAIN_AEP    (TRAP_AGAIN + 8)
#define TRAP_AGAIN_ENCLAVE (TRAP_AGAIN + 16)
#define TRAP_AGAIN_PAGE   (TRAP_AGAIN + 24)
#define TRAP_AGAIN_GPR    (TRAP_AGAIN + 32)
#define TRAP_AGAIN_ENTRY  (TRAP_AGAIN + 40)
#define TRAP_AGAIN_XFRM   (TRAP_AGAIN + 48)
#define TRAP_AGAIN_CHANGES (TRAP_AGAIN + 56)
#define TRAP_AGAIN_DBGOPTIN (TRAP_AGAIN + 60)
#define TRAP_RETURN_TO    (TRAP_AGAIN + 64)
#define TRAP_NEXT_RETURN  (TRAP_AGAIN + 72)
#define TRAP_STAT         (TRAP_AGAIN + 80)
#define TRAP_STAT_EENTER  TRAP_STAT
#define TRAP_STAT_EEXIT   (TRAP_STAT + 24)
#define TRAP_STAT_EDECCSSA (TRAP_STAT + 32)
#define TRAP_STEP         (TRAP_STAT + 64)
#define TRAP_STEP_ACTIVE  (TRAP_STEP + 16)
#define TRAP_STEP_OVER    (TRAP_STEP + 24)
#define TRAP_TICK_PARKED  (TRAP_STEP + 96)
#define TRAP_XCR0         160
#define TRAP_ENCLAVE      184
#define TRAP_TCS          192
#define TRAP_SAVED_XCR0   216
#define TRAP_DBGOPTIN     224
#define TRAP_SAVED_TF     225
#define TRAP_EPOCH        228
#define TCS_CSSA          24
#define TCS_AEP           40
#define TCS_INACTIVE      0
#define TCS_ACTIVE_BIT    0
#define GPR_URSP          144
#define GPR_URBP          152
/* Of struct softsgx_enclave. */
#define ENCLAVE_EPOCH     48
#define ENCLAVE_INSIDE    52
#define ENCLAVE_CHANGES   60

#define TRAP_FL_TF 0x000100
#define TRAP_FL_NT 0x004000
#define TRAP_FL_RF 0x010000
#define TRAP_FL_AC 0x040000
#define TRAP_FL_ID 0x200000

#ifndef __ASSEMBLER__
#include "softsgx/cpu.h"

#include <stddef.h>
#include <time.h>
#include <ucontext.h>

#define TRAP_USER_END (1ull << 47)

enum trap_stat {
    STAT_EENTER, STAT_ERESUME, STAT_ERESUME_NOTIFY, STAT_EEXIT, STAT_EDECCSSA,
    STAT_AEX_INTERRUPT, STAT_AEX_EXCEPTION, STAT_TICKS, STAT_COUNT,
};

/* The state of softsgx_step and of its ready-made functions. */
struct trap_step {
    softsgx_step_fn fn;
    void *arg;
    bool active;
    bool patch_pushf;       /* the instruction that runs now is a PUSHF: it must not show TF */
    uint64_t over;          /* the breakpoint whose instruction runs now, its own byte restored; 0 none */
    uint64_t generation;    /* counts calls of softsgx_step: a step function may replace itself */
    uint64_t count;
    uint64_t left, random;  /* instructions to the next AEX; the generator's state */
    uint32_t mean;
    bool fired;             /* the last action was an AEX, in front of fired_rip */
    uint32_t fired_cssa;
    uint64_t fired_rip;
};

/* What trap_fast.S needs of a thread. */
struct trap_fast {
    bool host_bases;        /* FS and GS are the host's */
    bool entering;          /* between the first step of a fast EENTER and its commit, or a signal in it */
    bool frame_ok;          /* CSSA was 1, and EDECCSSA may go to frame 0 */
    uint32_t cssa;
    struct trap_thread **entry; /* where the template finds this thread; NULL: the fast way is closed */
    uint32_t *inside;       /* track.c's counter of the epoch in which it entered */
    struct sgx_tcs *tcs;
    uint64_t rcx, target, fsbase, gsbase, rsp;
    uint64_t xcr0;          /* the machine's, as the last signal frame outside the enclave had it */
    /* What the checks of this thread's last EENTER at CSSA=0 have found. They hold while the enclave's count of changes
     * (enclave.h) is what it was before them. */
    struct trap_again {
        uint64_t tcs, aep;      /* RBX and RCX; tcs 0: nothing is known */
        struct softsgx_enclave *enclave;
        struct sgx_tcs *page;
        struct sgx_gprsgx *gpr; /* of frame 0 */
        struct trap_thread **entry;
        uint64_t xfrm;
        uint32_t changes;
        bool dbgoptin;
    } again;
    uint64_t return_to;     /* an EEXIT to here leaves FS and GS to softsgx_fast_bases; 0: none does */
    uint64_t next_return;   /* return_to, from the commit of the EENTER that is being made */
};

struct trap_thread {
    struct sgx_cpu cpu; /* first: trap_entry.S */
    struct trap_fast fast;
    uint64_t stat[STAT_COUNT]; /* never reset; written by the slot's thread only */
    struct trap_step step;
    timer_t timer;
    bool tick_parked;      /* the timer is disarmed: no entry yet, or a tick found the thread outside the enclave */
    bool mask_held;        /* saved_mask is what the frame's signal mask had */
    uint64_t saved_mask;
    bool in_use;
    pid_t tid;
    stack_t old_stack;
};

static inline void sgx_trap_count(struct trap_thread *t, enum trap_stat which)
{
    __atomic_store_n(&t->stat[which], t->stat[which] + 1, __ATOMIC_RELAXED);
}

/* ---- trap_entry.S ---- */
extern uint64_t sgx_trap_arena;
void sgx_trap_entry(int sig, siginfo_t *info, void *ucontext);
void sgx_trap_restorer(void);

/* ---- trap_fast.c ---- */
/* Has softsgx_accelerate ever been used? */
bool sgx_fast_in_use(void);
/* The thread's registers are about to be loaded: may it take the fast way from here? */
void sgx_fast_update(struct trap_thread *t);
/* A signal in the middle of a fast leaf: puts it in front of the leaf or behind it. The signal to go on with. */
int sgx_fast_settle(struct trap_thread *t, int sig, const siginfo_t *info, ucontext_t *uc);
/* An ENCLU has been executed in a trap: what is left of its jump is not executed. */
void sgx_fast_skip(struct trap_thread *t);
/* What the enclave's bytes at [address, address + n) were before. */
void sgx_fast_hide(const struct softsgx_enclave *enclave, uint64_t address, uint8_t *code, unsigned n);
void sgx_fast_forget(const struct softsgx_enclave *enclave);

/* ---- trap_event.c ---- */
enum trap_kind {
    KIND_EXCEPTION, KIND_INTERRUPT, KIND_ENCLU,
    KIND_STEP,      /* the stepped instruction has been executed */
    KIND_CONTINUE,  /* a breakpoint, which has been dealt with */
    KIND_OVER,      /* a breakpoint whose instruction is to be executed now */
    KIND_BREAK_AEX, /* a breakpoint whose function wants an AEX in front of the instruction */
};
#define TRAP_VEC_NP 11
#define TRAP_VEC_SS 12
/* Raised by the instruction at (or before) RIP, as opposed to sent by somebody. */
bool sgx_trap_synchronous(int sig, const siginfo_t *info);
/* In enclave mode, with the registers loaded: what the signal is. May correct cpu.rip. */
enum trap_kind sgx_trap_classify(struct trap_thread *t, int sig, const siginfo_t *info, ucontext_t *uc,
                                 struct sgx_event *event);

/* ---- trap_main.c: called by trap_entry.S with the host's FS and GS and all signals blocked ---- */
void sgx_trap(int sig, siginfo_t *info, ucontext_t *uc, struct trap_thread *t);
void sgx_trap_unregistered(int sig, siginfo_t *info, ucontext_t *uc);

/* ---- trap_frame.c: the frame is the register file ---- */
void sgx_trap_load(struct trap_thread *t, const ucontext_t *uc);
/* Frame := registers; TF is the enclave's own unless stepping asks for it. */
void sgx_trap_store(struct trap_thread *t, ucontext_t *uc);

/* ---- trap_opcode.c: looking at the instruction at fault ---- */
/* Up to n bytes of enclave code from the EPC; fewer at the end of ELRANGE. */
unsigned sgx_trap_code(const struct softsgx_enclave *enclave, uint64_t address, uint8_t *out, unsigned n);
bool sgx_trap_is_enclu(const struct softsgx_enclave *enclave, uint64_t rip);
/* Native #GP (or #NP, #SS) that is #UD in an enclave: IN, OUT, INT n, far transfers, SGDT, CPUID ... */
bool sgx_trap_illegal_inside(const uint8_t *code, unsigned n);
bool sgx_trap_is_pushf(const uint8_t *code, unsigned n);

/* ---- trap_signal.c ---- */
int sgx_trap_tick_signal(void);
int sgx_trap_install(void);
bool sgx_trap_handled(int sig);
/* The embedder's handler, or the default action. refaults: returning to the frame raises the signal again. */
void sgx_trap_deliver(int sig, siginfo_t *info, ucontext_t *uc, bool refaults);
/* One line on stderr: the text, and up to three numbers in hexadecimal where it has a %. */
void sgx_trap_message(const char *text, uint64_t a, uint64_t b, uint64_t c);

/* ---- trap_thread.c ---- */
struct trap_thread *sgx_trap_self(void);
int sgx_trap_create_arena(void);
/* Threads other than the calling one. */
bool sgx_trap_others_registered(void);
void sgx_trap_each_thread(void (*fn)(struct trap_thread *t)); /* takes the registration lock */

/* ---- trap_tick.c ---- */
int sgx_trap_tick_create(struct trap_thread *t);
void sgx_trap_tick_destroy(struct trap_thread *t);
void sgx_trap_tick_arm(struct trap_thread *t);
void sgx_trap_tick_park(struct trap_thread *t);
bool sgx_trap_ticking(void);

/* ---- trap_step.c, trap_break.c ---- */
/* What the step function wants in front of the instruction at cpu.rip. entered: none has run since the last entry. */
enum softsgx_action sgx_trap_boundary(struct trap_thread *t, ucontext_t *uc, bool entered);
void sgx_trap_describe(const struct trap_thread *t, ucontext_t *uc, struct softsgx_boundary *b);
/* A stepped PUSHF has been executed: what it stored must not show TF. executed: false if it faulted instead. */
void sgx_trap_unpatch_pushf(struct trap_thread *t, bool executed);
/* Is the INT3 at this address a code breakpoint? Then its callback has been called, cpu.rip is where to go on, and kind
 * says how. */
bool sgx_trap_break(struct trap_thread *t, ucontext_t *uc, uint64_t address, enum trap_kind *kind);
/* The instruction that was stepped over is done with, or interrupted: its INT3 again. */
void sgx_trap_break_again(struct trap_thread *t);
/* What the enclave's bytes at [address, address + n) are without breakpoints. */
void sgx_trap_break_hide(const struct softsgx_enclave *enclave, uint64_t address, uint8_t *code, unsigned n);
void sgx_trap_look_ahead(struct trap_thread *t);
void sgx_trap_break_forget(const struct softsgx_enclave *enclave);

/* ---- trap_guard.c ---- */
struct sgx_trap_blocks;
/* For a mapping [start, end) of the ELRANGE that begins at base. NULL: no guard pages here; _protect then does without. */
extern bool sgx_trap_guards; /* false: as on a kernel without guard pages (tests) */
struct sgx_trap_blocks *sgx_trap_blocks_make(uint64_t base, uint64_t start, uint64_t end);
void sgx_trap_blocks_free(struct sgx_trap_blocks *blocks, uint64_t end);
/* built: the enclave is initialised, so lone pages come and go. */
int sgx_trap_blocks_protect(struct sgx_trap_blocks *blocks, uint64_t from, uint64_t to, int prot, bool built);

/* ---- trap_map.c ---- */
extern const struct sgx_mapping_ops sgx_trap_mapping;
/* What a new thread needs so that its system calls in ELRANGEs trap. 0 or -errno. */
int sgx_trap_map_thread(void);

#endif
#endif
