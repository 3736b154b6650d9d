/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread control block: one page for each TCS, at GS base. The constants at the top are for assembly and are
 * asserted against the structure below. See include/vigil/layout.h for what surrounds the page. */
#ifndef VIGIL_TCB_H
#define VIGIL_TCB_H

#include "vigil/layout.h"

#define TCB_SELF        0
#define TCB_ENTRY_STATE 8
#define TCB_CKPT        16
#define TCB_CKPT_RFLAGS (TCB_CKPT + 128)
#define TCB_CKPT_RIP    (TCB_CKPT + 136)
#define TCB_CKPT_FSBASE (TCB_CKPT + 144)
#define TCB_PROBE_WORD  (TCB_CKPT + 152)
#define TCB_HOST_RSP    176
#define TCB_HOST_RBP    184
#define TCB_HOST_RETURN 192
#define TCB_OCALL_RSP   200
#define TCB_SHARED      208
#define TCB_XFRM        216
#define TCB_STAT_EENTER 224
#define TCB_STAT_EEXIT  232
#define TCB_STAT_RESUME 240
#define TCB_STAT_EDECCSSA 248
#define TCB_STAT_STUB   256
#define TCB_STUB_DUE    264
#define TCB_PLAN_WRITE0 272
#define TCB_PLAN_WRITE1 280
#define TCB_PLAN_CODE   288
#define TCB_PLAN_STACK0 296
#define TCB_PLAN_STACK1 304
#define TCB_PLAN_DATA0  312
#define TCB_PLAN_DATA1  320
#define TCB_PLAN_RET    328
#define TCB_PLAN_DELAY  336
#define TCB_SLOW_LIMIT  344
#define TCB_SLOW_RUN    352
#define TCB_SLOW_COUNT  360
#define TCB_XINUSE      368

#define PLAN_WRITE0_NUMBER 0
#define PLAN_WRITE1_NUMBER 1
#define PLAN_CODE_NUMBER   2
#define PLAN_STACK0_NUMBER 3
#define PLAN_STACK1_NUMBER 4
#define PLAN_DATA0_NUMBER  5
#define PLAN_DATA1_NUMBER  6
#define STAGE1_ACTION_RESUME 1

/* entry_state: what an EENTER at CSSA=0 means. Owned by entry.S and thread.c. */
#define ENTRY_FREE    0   /* no thread: refused (or the very first entry of the enclave) */
#define ENTRY_START   1   /* thread.c prepared a thread */
#define ENTRY_RUNNING 2   /* inside the enclave: refused */
#define ENTRY_OCALL   3   /* the result of the OCALL arrives */
#define ENTRY_CLAIMED 4   /* thread.c is preparing a thread: refused */

#ifndef __ASSEMBLER__
#include "enclave/enclave.h"

/* Counters are written by their own thread only and summed at process exit. */
struct tcb_stats {
    uint64_t eenter, eexit, resumes, edeccssa, stub;
};

/* What the stub touches, in the order of the TCB_PLAN_ constants. The first PLAN_PROBES may fault; a probe that is not
 * wanted points at this thread's own TCB page, so that the stub is the same instructions every time. */
enum { PLAN_WRITE0 = PLAN_WRITE0_NUMBER, PLAN_WRITE1 = PLAN_WRITE1_NUMBER, PLAN_CODE = PLAN_CODE_NUMBER,
       PLAN_STACK0 = PLAN_STACK0_NUMBER, PLAN_STACK1 = PLAN_STACK1_NUMBER, PLAN_DATA0 = PLAN_DATA0_NUMBER,
       PLAN_DATA1 = PLAN_DATA1_NUMBER, PLAN_RET, PLAN_PROBES, PLAN_DELAY = PLAN_PROBES, PLAN_WORDS };
#define CANARY_WORDS 8         /* at the low end of each stack */
#define DELAY_MAX 31           /* multiplications, three cycles each; the slide in entry.S has as many */

struct tcb {
    struct tcb *self;
    uint64_t entry_state;
    struct checkpoint ckpt;
    uint64_t probe_word;           /* the return address of the execute probe */
    uint64_t untrusted_rsp, untrusted_rbp, untrusted_return;
    uint64_t ocall_rsp;
    struct vigil_shared *shared;   /* untrusted memory; the pointer was checked to lie outside ELRANGE */
    uint64_t xfrm;
    struct tcb_stats stats;
    uint64_t stub_due;             /* the next resume follows an AEX: run the stub */
    uint64_t plan[PLAN_WORDS];
    uint64_t slow_limit, slow_run, slow_count;  /* warm loops over the limit: in a row, in all (written by the stub) */
    uint64_t xinuse;               /* what was saved at the present OCALL (xstate_hide.S); low half -1: by XSAVE */
    uint32_t slot, token, parked, leaving;
    struct thread *thread;
    uint64_t bounce, bounce_size, bounce_used;

    /* What stage 1 found, for stage 2. */
    struct {
        uint32_t exitinfo, untrusted_claim;
        uint64_t rip;
        uint32_t probe;            /* PLAN_ number + 1 of a probe that faulted */
        uint32_t tripped;          /* POLICY_ bits */
        struct sgx_exinfo exinfo;
    } event;
    uint64_t notifications, coalesced, delivered, runtime_fixups, probe_faults, unknown;
    uint64_t withheld_page, withheld_rip, withheld_count; /* notify/prepare.c */
    uint64_t system_calls, inside_calls; /* of the program; among them: served without an OCALL */
    uint64_t exceptions;           /* notifications with a valid EXITINFO */
    uint64_t upcall_wanted;        /* 0 or 1: the program wants to hear of every notification */

    /* notify/prepare.c: pages the program may not touch that way, one for each probe; valid in this
     * generation of the address space only (0: there are none). */
    uint64_t absent[PLAN_PROBES], absent_generation;
    uint64_t random_bits, random_left;
    uint64_t dummy;                /* what an unwanted write probe writes */
    /* notify/policy.c */
    uint64_t next[2];              /* where one instruction of progress since the last resume would lead */
    uint64_t history, little_recent, little;  /* one bit for each AEX: zero or one instruction of progress */
    uint64_t budget_used;
    uint32_t lock_next;            /* lock.c: who came before this one, slot + 1; the lock's holder's to change */
    uint32_t lock_woken, lock_asleep;
};

static inline struct tcb *tcb_current(void)
{
    struct tcb *t;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(t));
    return t;
}

static inline struct sgx_gprsgx *tcb_gpr0(struct tcb *t)
{
    return (struct sgx_gprsgx *)((char *)t + VIGIL_GS_GPR0);
}

static inline struct sgx_exinfo *tcb_exinfo0(struct tcb *t)
{
    return (struct sgx_exinfo *)((char *)t + VIGIL_GS_EXINFO0);
}

struct tcb *tcb_of_slot(uint32_t slot);
void stacks_arm_canaries(struct tcb *t);
void stacks_check_canaries(struct tcb *t);

/* entry.S */
extern char resume_begin[], resume_end[], resume_final_jump[], probe_back[], probe_ret[];
extern char enclave_entry[], syscall_gate[], stage2_legacy_entry[], runtime_fault_entry[];
uint64_t ocall_raw(uint64_t op, const uint64_t args[7]);
_Noreturn void thread_leave(void);

/* Called by entry.S */
void runtime_boot(uint64_t untrusted_shared);
void runtime_thread_start(uint64_t untrusted_shared);
void runtime_stage2(void);
void runtime_events(void);
void mitigation_prepare(void);
void runtime_gate_syscall(void);
_Noreturn void runtime_fault(void);
enum stage1_action { STAGE1_EEXIT = 0, STAGE1_RESUME = STAGE1_ACTION_RESUME, STAGE1_DELIVER = 2 };
enum stage1_action stage1(uint32_t untrusted_claim);
#endif
#endif
