/* SPDX-License-Identifier: Apache-2.0
 *
 * EEXIT, EDECCSSA and EENTER without a trap (trap_fast.c says when, and what it is good for).
 *
 * The first two are a template: a copy for each ENCLU site lies within reach of the enclave, and the site is a jump to it.
 * It runs in enclave mode, with the enclave's registers and bases, and has no stack: RAX is free, because its value is
 * known (the leaf), and with RAX the thread is found, by the page that GS points to.
 * A signal can come at any instruction. Up to a leaf's commit it is taken in front of the ENCLU, from the commit on behind
 * it: sgx_fast_settle() puts registers and state there, for each label below.
 * Clobbers the arithmetic flags, which the real leaves leave alone. */
#include "softsgx/trap.h"

#define LEAF_EEXIT    4
#define LEAF_EDECCSSA 9

.text
.macro LABEL name
.globl sgx_fast_\name
.hidden sgx_fast_\name
sgx_fast_\name:
.endm

/* RAX := the thread that is in the enclave with this GS; otherwise goes to \otherwise. */
.macro FIND_THREAD otherwise
    rdgsbase %rax
    subq sgx_fast_base(%rip), %rax
    cmpq sgx_fast_size(%rip), %rax
    jae \otherwise
    shrq $12, %rax
    shlq $3, %rax
    addq sgx_fast_table(%rip), %rax
    movq (%rax), %rax
    testq %rax, %rax
    jz \otherwise
.endm

.balign 64
LABEL template
    cmpq $LEAF_EEXIT, %rax
    jne sgx_fast_not_eexit

/* ---- EEXIT: RBX = target. RCX becomes the AEP, so it is free too. */
LABEL eexit
    FIND_THREAD sgx_fast_slow_eexit
    movb $0, TRAP_ENCLAVE_MODE(%rax)            /* the commit */
LABEL eexit_committed
    movq TRAP_FAST_ENTRY(%rax), %rcx
    movq $0, (%rcx)
    movq TRAP_FAST_INSIDE(%rax), %rcx
    lock decl (%rcx)
LABEL eexit_left
    incq TRAP_STAT_EEXIT(%rax)
LABEL eexit_counted
    cmpq %rbx, TRAP_RETURN_TO(%rax)
    je 1f                                       /* the host does without them */
    movq TRAP_SAVED_FSBASE(%rax), %rcx
    wrfsbase %rcx
    movq TRAP_SAVED_GSBASE(%rax), %rcx
    wrgsbase %rcx
    movb $1, TRAP_HOST_BASES(%rax)
1:  movq TRAP_FAST_TCS(%rax), %rax
    movq TCS_AEP(%rax), %rcx
    movq $TCS_INACTIVE, (%rax)
LABEL eexit_free                                /* the TCS may be another thread's already */
    movl $LEAF_EEXIT, %eax
    jmpq *%rbx

/* ---- EDECCSSA: every register is live. */
LABEL not_eexit
    cmpq $LEAF_EDECCSSA, %rax
    jne sgx_fast_slow
LABEL edeccssa
    FIND_THREAD sgx_fast_slow_edeccssa
    cmpb $0, TRAP_FAST_FRAME_OK(%rax)
    je sgx_fast_slow_edeccssa
    movq %rcx, TRAP_FAST_RCX(%rax)
LABEL edeccssa_saved
    movq TRAP_FAST_TCS(%rax), %rcx
    cmpl $1, TCS_CSSA(%rcx)
    jne sgx_fast_slow_edeccssa_rcx
    movl $0, TCS_CSSA(%rcx)                     /* the commit */
LABEL edeccssa_committed
    incq TRAP_STAT_EDECCSSA(%rax)
LABEL edeccssa_counted
    movq TRAP_FAST_RCX(%rax), %rcx
    movl $LEAF_EDECCSSA, %eax
    jmpq *sgx_fast_after(%rip)

/* ---- everything else, and what the fast way is not open for: INT3 is the trap that costs least. */
LABEL slow_eexit
    movl $LEAF_EEXIT, %eax
    jmp sgx_fast_slow
LABEL slow_edeccssa_rcx
    movq TRAP_FAST_RCX(%rax), %rcx
LABEL slow_edeccssa
    movl $LEAF_EDECCSSA, %eax
LABEL slow
    int3
LABEL slow_end

/* What differs between copies. */
.balign 8
LABEL base
    .quad 0
LABEL size
    .quad 0
LABEL table
    .quad 0
LABEL after
    .quad 0
LABEL site
    .quad 0
LABEL template_end

/* ---- EENTER, called by the host: RAX = 2, RBX = TCS, RCX = AEP, R11 = where EEXIT comes back to, R10 = this thread's
 * softsgx_fast_self() or 0, RSP 8 below a multiple of 16 (the return address). Returns, with everything but R10 and the flags
 * as it was, when the instruction is to be executed instead. Otherwise the enclave is entered with RSP as it was before the
 * call. With R10, FS and GS may be the enclave's before, and are after an EEXIT to R11.
 * A signal before the commit is the host's own, as in any of its functions; it makes FS and GS the host's.
 *
 * Most entries are like the one before: what its checks have found is in TRAP_AGAIN_ and still holds. Then RAX and R11 are
 * free (R11's value is in TRAP_NEXT_RETURN), everything else is live. */
.balign 64
.globl softsgx_fast_eenter
.type softsgx_fast_eenter, @function
softsgx_fast_eenter:
    testq %r10, %r10
    jz sgx_fast_first
    movb $1, TRAP_FAST_ENTERING(%r10)           /* a tick now is no reason to stop the timer */
    movq %r11, TRAP_NEXT_RETURN(%r10)
    cmpq %rbx, TRAP_AGAIN_TCS(%r10)
    jne sgx_fast_bases_first
    cmpq %rcx, TRAP_AGAIN_AEP(%r10)
    jne sgx_fast_bases_first
    cmpb $0, TRAP_TICK_PARKED(%r10)
    jne sgx_fast_bases_first
    cmpb $0, TRAP_STEP_ACTIVE(%r10)
    jne sgx_fast_bases_first
    cmpq $0, TRAP_STEP_OVER(%r10)
    jne sgx_fast_bases_first
    movq TRAP_AGAIN_ENCLAVE(%r10), %r11
    movl ENCLAVE_CHANGES(%r11), %eax
    cmpl %eax, TRAP_AGAIN_CHANGES(%r10)
    jne sgx_fast_bases_first
    movq TRAP_AGAIN_PAGE(%r10), %rax
    lock btsq $TCS_ACTIVE_BIT, (%rax)
    jc sgx_fast_bases_first
    cmpl $0, TCS_CSSA(%rax)
    jne sgx_fast_give_tcs
    movl ENCLAVE_EPOCH(%r11), %eax              /* sgx_track_enter */
    movl %eax, TRAP_EPOCH(%r10)
    andl $1, %eax
    leaq ENCLAVE_INSIDE(%r11,%rax,4), %rax
    movq %rax, TRAP_FAST_INSIDE(%r10)
    lock incl (%rax)
    movl TRAP_EPOCH(%r10), %eax
    cmpl %eax, ENCLAVE_EPOCH(%r11)
    jne sgx_fast_give_all
    movq %r11, TRAP_ENCLAVE(%r10)
    movq TRAP_AGAIN_ENTRY(%r10), %r11
    xorl %eax, %eax
    lock cmpxchgq %r10, (%r11)
    jne sgx_fast_give_all
    movq %r11, TRAP_FAST_ENTRY(%r10)
    movq TRAP_AGAIN_PAGE(%r10), %rax
    movq %rax, TRAP_FAST_TCS(%r10)
    movq %rcx, TCS_AEP(%rax)
    movq %rbx, TRAP_TCS(%r10)
    leaq 8(%rsp), %rax
    movq %rax, TRAP_FAST_RSP(%r10)
    movq TRAP_AGAIN_GPR(%r10), %r11
    movq %rax, GPR_URSP(%r11)
    movq %rbp, GPR_URBP(%r11)
    movl $0, TRAP_FAST_CSSA(%r10)
    movb $0, TRAP_FAST_FRAME_OK(%r10)
    movb $0, TRAP_SAVED_TF(%r10)
    movb TRAP_AGAIN_DBGOPTIN(%r10), %al
    movb %al, TRAP_DBGOPTIN(%r10)
    movq TRAP_AGAIN_XFRM(%r10), %rax
    movq %rax, TRAP_XCR0(%r10)
    movq TRAP_FAST_XCR0(%r10), %rax
    movq %rax, TRAP_SAVED_XCR0(%r10)
    movq TRAP_NEXT_RETURN(%r10), %r11
    movq %r11, TRAP_RETURN_TO(%r10)
    cmpb $0, TRAP_HOST_BASES(%r10)
    je sgx_fast_commit
    rdfsbase %rax
    movq %rax, TRAP_SAVED_FSBASE(%r10)
    rdgsbase %rax
    movq %rax, TRAP_SAVED_GSBASE(%r10)

sgx_fast_commit:
    movb $1, TRAP_ENCLAVE_MODE(%r10)            /* the commit */
LABEL eenter_committed
    movb $0, TRAP_HOST_BASES(%r10)
    incq TRAP_STAT_EENTER(%r10)
LABEL eenter_counted
    rdfsbase %rax                               /* writing a base costs ten times as much as reading it */
    cmpq %rax, TRAP_FAST_FSBASE(%r10)
    je 1f
    movq TRAP_FAST_FSBASE(%r10), %rax           /* a signal has put the host's into cpu.fsbase, perhaps */
    wrfsbase %rax
1:  rdgsbase %rax
    cmpq %rax, TRAP_FAST_GSBASE(%r10)
    je 2f
    movq TRAP_FAST_GSBASE(%r10), %rax
    wrgsbase %rax
2:  movb $0, TRAP_FAST_ENTERING(%r10)
    addq $8, %rsp
    movq %r11, %rcx
    movl TRAP_FAST_CSSA(%r10), %eax
    jmpq *TRAP_FAST_TARGET(%r10)
LABEL eenter_end

/* Not like the one before: what has been taken is given back. */
sgx_fast_give_all:
    movq TRAP_FAST_INSIDE(%r10), %rax
    lock decl (%rax)
    movq TRAP_AGAIN_PAGE(%r10), %rax
sgx_fast_give_tcs:
    movq $TCS_INACTIVE, (%rax)
sgx_fast_bases_first:
    movq TRAP_NEXT_RETURN(%r10), %r11
    pushq %rdi
    movq %r10, %rdi
    call softsgx_fast_bases
    popq %rdi
    movl $2, %eax
sgx_fast_first:
    pushq %rax
    pushq %r11
    pushq %rcx
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %r8
    pushq %r9
    pushq %r9
    leaq 80(%rsp), %rdx
    movq %rbx, %rdi
    movq %rcx, %rsi
    movq %rbp, %rcx
    xorl %r8d, %r8d
    testq %r10, %r10
    cmovnzq %r11, %r8
    call sgx_fast_prepare
    movq %rax, %r10
    popq %r9
    popq %r9
    popq %r8
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rcx
    popq %r11
    popq %rax
    testq %r10, %r10
    jnz sgx_fast_commit
    ret
.size softsgx_fast_eenter, . - softsgx_fast_eenter

/* void softsgx_fast_bases(void *self RDI). Clobbers RAX. A signal at any instruction has done it all. */
.globl softsgx_fast_bases
.type softsgx_fast_bases, @function
softsgx_fast_bases:
    cmpb $0, TRAP_HOST_BASES(%rdi)
    jne 1f
    movq TRAP_SAVED_FSBASE(%rdi), %rax
    wrfsbase %rax
    movq TRAP_SAVED_GSBASE(%rdi), %rax
    wrgsbase %rax
    movb $1, TRAP_HOST_BASES(%rdi)
1:  ret
.size softsgx_fast_bases, . - softsgx_fast_bases

.section .note.GNU-stack, "", @progbits
