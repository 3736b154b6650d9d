/* SPDX-License-Identifier: Apache-2.0
 *
 * The code of the test enclave (position independent, copied into it) and the host's way in. */
#include "enclave.h"

#define ENCLU .byte 0x0f, 0x01, 0xd7

.macro LABEL name
.globl en_\name
en_\name:
.endm

.section .rodata
.balign 4096
.globl trap_blob
trap_blob:

/* OENTRY. RDI: function. CSSA 0: a call. Otherwise the entry is a notification. */
LABEL entry
    testl %eax, %eax
    jnz notify
    movq %rsp, %gs:GS_HOST_RSP
    movq %rcx, %gs:GS_RETURN
    rdgsbase %rsp
    addq $(EN_STACK - EN_GS), %rsp
    leaq table(%rip), %rax
    movslq (%rax,%rdi,4), %rbx
    addq %rax, %rbx
    call *%rbx
LABEL leave
    movq %gs:GS_HOST_RSP, %rsp
    movq %gs:GS_RETURN, %rbx
    movl $4, %eax
LABEL eexit
    ENCLU
    ud2                 /* room for a jump (softsgx_accelerate) */

.balign 4
table:
    .long roundtrip - table, loop_xmm - table, loop_ymm - table, loop_zmm - table, short - table, pushf - table
    .long flags - table, string - table, break - table, arm - table, spin - table, stray - table, fsbase - table

roundtrip:
    incq %r8
    incq %r9
    incq %r10
    incq %r11
    incq %r12
    incq %r13
    incq %r14
    incq %r15
    incq %rdx
    ret

/* RSI iterations. GPRs, the carry from one iteration to the next, vectors, FS and GS all take part. */
.macro ADD_XMM
    paddq %xmm1, %xmm0
.endm
.macro ADD_YMM
    vpaddq %ymm1, %ymm0, %ymm0
.endm
.macro ADD_ZMM
    vpaddq %zmm1, %zmm16, %zmm16
.endm
.macro BODY add
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    movq $0x123456789abcdef, %r11
    movq $0, %fs:0
    movq $0, %gs:GS_COUNT
    clc
1:  leaq 3(%r8), %r8
    adcq %r11, %r9      /* the carry of the iteration before */
    \add
    incq %fs:0
    incq %gs:GS_COUNT
    decq %rsi
    jnz 1b
    adcq $0, %r10
.endm
loop_xmm:
    movl $1, %eax
    movq %rax, %xmm1
    punpcklqdq %xmm1, %xmm1
    pxor %xmm0, %xmm0
    BODY ADD_XMM
    movhlps %xmm0, %xmm1
    movq %xmm1, %r12
    jmp loop_end
loop_ymm:
    movl $1, %eax
    movq %rax, %xmm1
    vpbroadcastq %xmm1, %ymm1
    vpxor %ymm0, %ymm0, %ymm0
    BODY ADD_YMM
    vextracti128 $1, %ymm0, %xmm0
    vpextrq $1, %xmm0, %r12
    vzeroupper
    jmp loop_end
loop_zmm:
    movl $1, %eax
    vpbroadcastq %rax, %zmm1
    vpxorq %zmm16, %zmm16, %zmm16
    kxnorw %k3, %k3, %k3
    BODY ADD_ZMM
    vextracti64x4 $1, %zmm16, %ymm0
    vextracti128 $1, %ymm0, %xmm0
    vpextrq $1, %xmm0, %r12
    kmovw %k3, %eax
    cmpl $0xffff, %eax
    je 2f
    xorl %r12d, %r12d
2:  vzeroupper
loop_end:
    movq %fs:0, %r13
    movq %gs:GS_COUNT, %r14
    ret

/* A few hundred instructions whose order is known: RSI times the six of the body. */
LABEL short_start
short:
    xorl %r8d, %r8d
LABEL short_body
    addq $7, %r8
    rolq $3, %r8
    pushq %r8
    popq %r9
    decq %rsi
    jnz en_short_body
LABEL short_end
    ret

/* R8, R9, R10: RFLAGS as PUSHF and friends see them. */
LABEL pushf_start
pushf:
    pushfq
    popq %r8
    xorl %r9d, %r9d
    pushfw
    popw %r9w
    pushfq
    popfq               /* clears the TF that only the processor knows of */
    nop
    nop
    pushfq
    popq %r10
LABEL pushf_end
    ret

/* RSI: bits to set in RFLAGS. R8: what is there RDX iterations later. */
flags:
    pushfq
    orq %rsi, (%rsp)
    popfq
1:  leaq -1(%rdx), %rdx
    movq %rdx, %rcx
    jrcxz 2f
    jmp 1b
2:  pushfq
    popq %r8
    pushq $2
    popfq
    ret

/* REP MOVSB of RSI bytes within the data page. R8: RCX at the end. */
string:
    movq %rsi, %rcx
    leaq trap_blob + EN_DATA - EN_CODE(%rip), %rsi
    leaq 0x800(%rsi), %rdi
LABEL rep
    rep movsb
LABEL rep_end
    movq %rcx, %r8
    ret

break:
    xorl %r8d, %r8d
    incq %r8
LABEL break_nop
    nop
LABEL break_after
    incq %r8
    ret

fsbase:
    rdfsbase %rdx
    leaq 0x123(%rdx), %rax
    wrfsbase %rax
    rdfsbase %r8
    wrfsbase %rdx
    subq %rdx, %r8
    ret

/* Sets or clears AEXNOTIFY of SSA[0] (RSI), then goes on as the function in RDX with R8 as its RSI. */
arm:
    rdgsbase %rax
    movb %sil, (EN_SSA - EN_GS + 4096 - 184 + 167)(%rax)
    movq %r8, %rsi
    leaq table(%rip), %rax
    movslq (%rax,%rdx,4), %rbx
    addq %rax, %rbx
    call *%rbx
    rdgsbase %rax
    movb $0, (EN_SSA - EN_GS + 4096 - 184 + 167)(%rax)
    ret

/* Until the word at RSI (host memory) is not 0. R8: iterations. */
spin:
    xorl %r8d, %r8d
1:  incq %r8
    cmpl $0, (%rsi)
    je 1b
    ret

/* Jumps to RSI. */
stray:
    jmp *%rsi

/* A notification: everything here must be interruptible anywhere. In CSSA=1 SSA[0] is stable. */
notify:
    rdgsbase %rsp
    addq $(EN_STACK - EN_GS - 4096), %rsp
    incq %gs:GS_NOTIFIED
    rdgsbase %rbx
    addq $(EN_SSA - EN_GS), %rbx            /* SSA[0]; the XSAVE area is at its start */
    leaq (4096 - 184)(%rbx), %rsi           /* GPRSGX */
    movq 136(%rsi), %rax
    leaq restore(%rip), %rcx
    leaq restore_end(%rip), %rdx
    cmpq %rcx, %rax
    jb 1f
    cmpq %rdx, %rax
    jae 1f
    incq %gs:GS_RESTARTED                   /* the checkpoint is the application */
    jmp 2f
1:  rdgsbase %rdi
    addq $GS_CHECKPOINT, %rdi
    movl $18, %ecx
    cld
    rep movsq
2:  movq (4096 - 184 + 168)(%rbx), %rax
    wrfsbase %rax
    orl $-1, %eax
    orl $-1, %edx
    xrstor64 (%rbx)
    movl $9, %eax
LABEL edeccssa
    ENCLU
restore:
LABEL restore
    xchgw %ax, %ax      /* room for a jump */
    rdgsbase %rsp
    addq $GS_CHECKPOINT, %rsp
    pushq 128(%rsp)
    popfq
    movq 0(%rsp), %rax
    movq 8(%rsp), %rcx
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rbx
    movq 40(%rsp), %rbp
    movq 48(%rsp), %rsi
    movq 56(%rsp), %rdi
    movq 64(%rsp), %r8
    movq 72(%rsp), %r9
    movq 80(%rsp), %r10
    movq 88(%rsp), %r11
    movq 96(%rsp), %r12
    movq 104(%rsp), %r13
    movq 112(%rsp), %r14
    movq 120(%rsp), %r15
    movq 32(%rsp), %rsp
    jmp *%gs:(GS_CHECKPOINT + 136)
restore_end:

/* ---- one exception each; the label is the faulting instruction ---- */
.macro CASE name
.balign 16
.globl en_case_\name
en_case_\name:
.endm
.macro AT name
.globl en_at_\name
en_at_\name:
.endm

CASE de
    xorl %eax, %eax
    xorl %edx, %edx
    xorl %ecx, %ecx
AT de
    divl %ecx
CASE ud2
AT ud2
    ud2
CASE int3
AT int3
    int3
CASE int_3
AT int_3
    .byte 0xcd, 3
CASE int_4
AT int_4
    .byte 0xcd, 4
CASE int1
AT int1
    .byte 0xf1
CASE int_80
    movl $20, %eax
AT int_80
    int $0x80
CASE int_81
AT int_81
    int $0x81
CASE syscall
    movl $39, %eax
AT syscall
    syscall
CASE in
AT in
    inb %dx, %al
CASE out
AT out
    outl %eax, $0x80
CASE ins
AT ins
    rep insb
CASE far_call
    leaq trap_blob + EN_DATA - EN_CODE(%rip), %rax
AT far_call
    lcall *(%rax)
CASE mov_ds
    movl $0x7fff, %eax
AT mov_ds
    movl %eax, %ds
CASE iret
    pushq $0
    pushq $0
    pushq $0
    pushq $0
    pushq $0
AT iret
    iretq
CASE enclu_66
AT enclu_66
    .byte 0x66, 0x0f, 0x01, 0xd7
CASE enclu_eenter
    movl $2, %eax
AT enclu_eenter
    ENCLU
CASE enclu_unknown
    movl $77, %eax
AT enclu_unknown
    ENCLU
CASE gp
    movq $0x5000000000000000, %rax
AT gp
    movq (%rax), %rax
CASE hlt
AT hlt
    hlt
CASE ss
    movq $0x5000000000000000, %rbp
AT ss
    movq (%rbp), %rax
CASE pf_hole
    leaq trap_blob + EN_HOLE - EN_CODE + 0x123(%rip), %rax
AT pf_hole
    movl (%rax), %eax
CASE pf_write
    leaq trap_blob + EN_RO - EN_CODE + 0x456(%rip), %rax
AT pf_write
    movl %eax, (%rax)
CASE pf_exec
    leaq trap_blob + EN_DATA - EN_CODE + 0x78(%rip), %rax
    jmp *%rax
CASE pf_outside
    movq $-4096, %rax
AT pf_outside
    movl (%rax), %eax
CASE mf
    fninit
    pushq $0x037b           /* divide by zero unmasked */
    fldcw (%rsp)
    fld1
    fldz
    fdivrp %st, %st(1)
AT mf
    fwait
CASE xm
    pushq $0x1d80
    ldmxcsr (%rsp)
    movl $1, %eax
    cvtsi2ss %eax, %xmm0
    pxor %xmm1, %xmm1
AT xm
    divss %xmm1, %xmm0
CASE ac
    pushfq
    orl $0x40000, (%rsp)
    popfq
AT ac
    movl 1(%rsp), %eax
    .balign 16, 0x90
.globl trap_blob_end
trap_blob_end:
.balign 4096

/* ---- the host's side ---- */
.text
/* void trap_enter(struct trap_regs *regs RDI, uint64_t tcs RSI): one call of the enclave. One ENCLU is EENTER and
 * AEP. */
.globl trap_enter, trap_site, trap_after
trap_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    movq %rsi, %rbx
    movq %rdi, %rax
    movq 0(%rax), %rdi
    movq 8(%rax), %rsi
    movq 16(%rax), %rdx
    movq 24(%rax), %r8
    movq 32(%rax), %r9
    movq 40(%rax), %r10
    movq 48(%rax), %r11
    movq 56(%rax), %r12
    movq 64(%rax), %r13
    movq 72(%rax), %r14
    movq 80(%rax), %r15
    leaq trap_site(%rip), %rcx
    movl $2, %eax
    cmpb $0, trap_fast(%rip)
    je trap_site
    leaq trap_after(%rip), %r11
    movq trap_self(%rip), %r10
.globl trap_fast_call
trap_fast_call:
    call softsgx_fast_eenter
trap_site:
    ENCLU
trap_after:
    movq (%rsp), %rax
    movq %rdi, 0(%rax)
    movq %rsi, 8(%rax)
    movq %rdx, 16(%rax)
    movq %r8, 24(%rax)
    movq %r9, 32(%rax)
    movq %r10, 40(%rax)
    movq %r11, 48(%rax)
    movq %r12, 56(%rax)
    movq %r13, 64(%rax)
    movq %r14, 72(%rax)
    movq %r15, 80(%rax)
    movq %rcx, 88(%rax)
    movq %rbp, 96(%rax)
    movq trap_self(%rip), %rdi
    testq %rdi, %rdi
    jz 1f
    call softsgx_fast_bases
1:  popq %rdi
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
.bss
.globl trap_fast
trap_fast:
    .byte 0
.balign 8
.globl trap_self
trap_self:
    .quad 0
.section .note.GNU-stack, "", @progbits
