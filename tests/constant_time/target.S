/* SPDX-License-Identifier: Apache-2.0
 *
 * void pass(uint64_t regs[16], uint64_t stack): instructions of all kinds, one after the other, from registers and memory that
 * are others each time. regs: RAX to R15 by number, but RSP; RSI and RDI point into the arena, RCX is below 8. */
.text
.globl pass
pass:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, saved_rsp(%rip)
    movq %rsi, %rsp
    movq %rdi, %rax
    movq 8(%rax), %rcx
    movq 16(%rax), %rdx
    movq 24(%rax), %rbx
    movq 40(%rax), %rbp
    movq 48(%rax), %rsi
    movq 56(%rax), %rdi
    movq 64(%rax), %r8
    movq 72(%rax), %r9
    movq 80(%rax), %r10
    movq 88(%rax), %r11
    movq 96(%rax), %r12
    movq 104(%rax), %r13
    movq 112(%rax), %r14
    movq 120(%rax), %r15
    xorl %eax, %eax
    jmp pass_begin

    .balign 4096
    ret                                 /* for the execute probe */
.globl pass_begin
pass_begin:
    nop
    movq %rax, stop(%rip)
    nop
    leaq 8(%rsi,%rcx,4), %rax
    movq (%rsi), %rax
    movl 12(%rsi,%rcx,8), %eax
    movb %al, -3(%rdi)
    movq %rdx, 0x200(%rdi)
    addl $7, 4(%rsi)
    notb (%rsi,%rcx)
    lock xaddq %rdx, 16(%rsi)
    xchgl %ebx, (%rdi)
    cmpxchgq %r9, 24(%rdi)
    pushq %r10
    popq %r10
    pushq (%rsi)
    popq %r11
    call 1f
1:  leaq 8(%rsp), %rsp
    movups (%rsi), %xmm0
    movaps %xmm0, %xmm1
    movups %xmm1, 32(%rdi)
    movq 8(%rsi), %xmm3
    pshufb %xmm0, %xmm3
    fldl (%rsi)
    fstps 64(%rdi)
    fnstcw 68(%rdi)
    movq %rdi, %r13
    movq %rsi, %r14
    movsb
    stosq
    lodsw
    scasb
    cmpsb
    movl $3, %ecx
    rep stosb
    movq %r13, %rdi
    movq %r14, %rsi
    movq %fs:0, %rax
    testb $1, (%rsi)
    jz 2f
2:  leaq 3f(%rip), %rax
    jmpq *%rax
3:  imulq 8(%rsi), %rax
    btq $5, 8(%rdi)
    btq %rcx, (%rdi)                    /* the decoder does not know this one */
    movq (%rsi), %mm0                   /* nor these */
    emms
    sete 7(%rdi)
    cmovsq (%rsi), %rax
    movbeq (%rsi), %rax
    nopw 0x100(%rax,%rax)
    prefetcht0 (%rsi)
    lfence
    jmp near_end

/* Fewer than 16 bytes from the end of their page, up to its last byte, and on this page alone: nothing shows. */
    .balign 4096
end_page:
    ret
    .org end_page + 4096 - 16
near_end:
    movq (%rsi), %rax
    movl %eax, (%rdi)
    pushq %r10
    popq %r10
    nop
    notb (%rdi)
    addl $7, 4(%rsi)
    .org end_page + 4096                /* these were 16 bytes */

/* An instruction on two pages: the decoder reads the second one only then. */
crossing_page:
    nop
    jmp crossing_begin
    ret
    .org crossing_page + 4096 - 3
.globl crossing_begin, crossing_end
crossing_begin:
    movq 0x12345(%rsi), %rax
crossing_end:
    jmp fresh

    .balign 4096
    ret
/* A page that is interrupted only once: its RET is looked for. */
.globl fresh
fresh:
    movq (%rsi), %rax
    jmp last

    .balign 4096
    ret
last:
.globl pass_end
pass_end:
    nop
    movq saved_rsp(%rip), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

.bss
saved_rsp: .quad 0
.section .note.GNU-stack, "", @progbits
