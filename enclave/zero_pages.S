/* SPDX-License-Identifier: Apache-2.0
 *
 * How many pages hold nothing but zeroes? With 32 bytes a load, because what a program gives back and takes again without having
 * used it (the C library does so with the stack of each thread that ends) is looked at as a whole. Two vector registers are
 * the program's: they are put back, and what of them was not in use is not in use afterwards. AVX is all it needs. */
#include "enclave/tcb.h"

#define IN_USE_AVX   0x04
#define IN_USE_HIGH  0x40   /* a VEX instruction would clear upper halves of ZMM registers */
#define STEP         256

.section .text

/* uint64_t zero_pages(const void *start, uint64_t pages): from the start on, up to the first that is not zero or cannot be
 * read; also 0 if these registers are not to be had. */
.globl zero_pages
.hidden zero_pages
.type zero_pages, @function
zero_pages:
    xorl %r8d, %r8d
    cmpb $0, xstate_in_use_known(%rip)
    je 6f
    movl $1, %ecx
    xgetbv
    testl $IN_USE_HIGH, %eax
    jnz 6f
    subq $64, %rsp
    vmovups %ymm0, (%rsp)
    vmovups %ymm1, 32(%rsp)
1:  cmpq %rsi, %r8
    jae 4f
    movl $VIGIL_PAGE / STEP, %ecx
2:  vmovups (%rdi), %ymm0
    vmovups 32(%rdi), %ymm1
    vorps 64(%rdi), %ymm0, %ymm0
    vorps 96(%rdi), %ymm1, %ymm1
    vorps 128(%rdi), %ymm0, %ymm0
    vorps 160(%rdi), %ymm1, %ymm1
    vorps 192(%rdi), %ymm0, %ymm0
    vorps 224(%rdi), %ymm1, %ymm1
    vorps %ymm1, %ymm0, %ymm0
    vptest %ymm0, %ymm0
    jnz 4f
    addq $STEP, %rdi
    decl %ecx
    jnz 2b
    incq %r8
    jmp 1b
4:  testl $IN_USE_AVX, %eax
    jnz 5f
    vzeroupper
    movups (%rsp), %xmm0
    movups 32(%rsp), %xmm1
    addq $64, %rsp
6:  movq %r8, %rax
    ret
5:  vmovups (%rsp), %ymm0
    vmovups 32(%rsp), %ymm1
    addq $64, %rsp
    movq %r8, %rax
    ret
.size zero_pages, . - zero_pages

.pushsection ex_table, "a"
.balign 4
.long 2b - .
.long 4b - .
.popsection

.section .note.GNU-stack, "", @progbits
