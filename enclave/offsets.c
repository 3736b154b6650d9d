/* SPDX-License-Identifier: Apache-2.0
 *
 * No code: asserts that assembly and C agree about every structure both of them touch. */
#include "enclave/tcb.h"
#include "enclave/notify/decode.h"
#include "enclave/notify/decode_table.h"

#define SAME(constant, type, field) _Static_assert((constant) == offsetof(type, field), #constant)

SAME(TCB_SELF, struct tcb, self);
SAME(TCB_ENTRY_STATE, struct tcb, entry_state);
SAME(TCB_CKPT, struct tcb, ckpt);
SAME(TCB_CKPT_RFLAGS, struct tcb, ckpt.rflags);
SAME(TCB_CKPT_RIP, struct tcb, ckpt.rip);
SAME(TCB_CKPT_FSBASE, struct tcb, ckpt.fsbase);
SAME(TCB_PROBE_WORD, struct tcb, probe_word);
SAME(TCB_HOST_RSP, struct tcb, untrusted_rsp);
SAME(TCB_HOST_RBP, struct tcb, untrusted_rbp);
SAME(TCB_HOST_RETURN, struct tcb, untrusted_return);
SAME(TCB_OCALL_RSP, struct tcb, ocall_rsp);
SAME(TCB_SHARED, struct tcb, shared);
SAME(TCB_XFRM, struct tcb, xfrm);
SAME(TCB_STAT_EENTER, struct tcb, stats.eenter);
SAME(TCB_STAT_EEXIT, struct tcb, stats.eexit);
SAME(TCB_STAT_RESUME, struct tcb, stats.resumes);
SAME(TCB_STAT_EDECCSSA, struct tcb, stats.edeccssa);
SAME(TCB_STAT_STUB, struct tcb, stats.stub);
SAME(TCB_STUB_DUE, struct tcb, stub_due);
SAME(TCB_PLAN_WRITE0, struct tcb, plan[PLAN_WRITE0]);
SAME(TCB_PLAN_WRITE1, struct tcb, plan[PLAN_WRITE1]);
SAME(TCB_PLAN_CODE, struct tcb, plan[PLAN_CODE]);
SAME(TCB_PLAN_STACK0, struct tcb, plan[PLAN_STACK0]);
SAME(TCB_PLAN_STACK1, struct tcb, plan[PLAN_STACK1]);
SAME(TCB_PLAN_DATA0, struct tcb, plan[PLAN_DATA0]);
SAME(TCB_PLAN_DATA1, struct tcb, plan[PLAN_DATA1]);
SAME(TCB_PLAN_RET, struct tcb, plan[PLAN_RET]);
SAME(TCB_PLAN_DELAY, struct tcb, plan[PLAN_DELAY]);
SAME(TCB_SLOW_LIMIT, struct tcb, slow_limit);
SAME(TCB_SLOW_RUN, struct tcb, slow_run);
SAME(TCB_SLOW_COUNT, struct tcb, slow_count);
SAME(TCB_XINUSE, struct tcb, xinuse);
SAME(VIGIL_SHARED_PENDING, struct vigil_shared, pending);
SAME(DECODED_LENGTH, struct decoded, length);
SAME(DECODED_NEEDS_MORE, struct decoded, needs_more);
SAME(DECODED_TARGET, struct decoded, target);
SAME(DECODED_OPERAND0, struct decoded, operand[0]);
SAME(DECODED_OPERAND1, struct decoded, operand[1]);
_Static_assert(TCB_CKPT % 16 == 0, "decode() wants the checkpoint aligned");
_Static_assert(sizeof(struct tcb) <= VIGIL_PAGE, "the TCB is one page");

/* The checkpoint begins like GPRSGX, so that stage 1 can copy word by word. */
_Static_assert(offsetof(struct checkpoint, rflags) == offsetof(struct sgx_gprsgx, rflags), "checkpoint");
_Static_assert(offsetof(struct checkpoint, rip) == offsetof(struct sgx_gprsgx, rip), "checkpoint");
_Static_assert(offsetof(struct checkpoint, r15) == offsetof(struct sgx_gprsgx, r15), "checkpoint");
_Static_assert(offsetof(struct sgx_gprsgx, aexnotify) == VIGIL_GS_ARMED - VIGIL_GS_GPR0, "AEXNOTIFY");
_Static_assert(offsetof(struct sgx_gprsgx, exitinfo) == 160, "EXITINFO");
