/* SPDX-License-Identifier: Apache-2.0
 *
 * Instructions whose memory operands decoders get wrong, each with registers that lead a wrong decoder to a decoy page.
 * The table operand_cases says where each is and what it reads and writes; it is made by the assembler and so does not
 * depend on any decoder. The driver (decoder.c) reads it. */
#include "tests/defects/target.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096

/* Read from, written to (and the page behind it), never to be touched (three), and one of those read-only. */
uint8_t field_r[PAGE], field_w[2 * PAGE], field_d[3 * PAGE] __attribute__((aligned(PAGE)));
static uint8_t wanted[sizeof(field_w)];

__asm__(
    /* read, write: 0 none. size: of the write. */
    ".macro CASE read, write, size, insn:vararg\n"
    "    ENTRY \\read, \\write, \\size, 0, \\insn\n"
    ".endm\n"
    ".macro MAY_MISS read, write, size, insn:vararg\n"
    "    ENTRY \\read, \\write, \\size, 1, \\insn\n"
    ".endm\n"
    ".macro ENTRY read, write, size, may_miss, insn:vararg\n"
    "    leaq field_d + 64(%rip), %r14\n"
    "    leaq field_d + 8192 + 64(%rip), %r15\n"
    "    leaq field_d + 4096 + 64(%rip), %r13\n"
    "77: \\insn\n"
    "    .pushsection .data.operand_cases, \"aw\"\n"
    "    .quad 77b, \\read, \\write, \\size, \\may_miss\n"
    "    .popsection\n"
    ".endm\n"

    ".pushsection .data.operand_cases, \"aw\"\n.balign 8\n.globl operand_cases\noperand_cases:\n.popsection\n"

    ".text\n.globl operands_run\n.type operands_run, @function\noperands_run:\n"
    "    pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    "    cld\n"
    ".globl operands_begin\noperands_begin: nop\n"
    /* 0, 1: disp32 is signed */
    "    leaq field_r + 0x300(%rip), %rbp\n"
    "    CASE field_r+0x100, 0, 0, .byte 0x48, 0x8b, 0x85; .long -0x200\n"        /* movq -0x200(%rbp), %rax */
    "    leaq field_w + 0x300(%rip), %rbp\n"
    "    CASE 0, field_w+0x100, 8, .byte 0x48, 0x89, 0x85; .long -0x200\n"        /* movq %rax, -0x200(%rbp) */
    /* 2 - 5: relative to RIP, with and without an immediate behind the displacement */
    "    CASE field_r+8, 0, 0, movq field_r+8(%rip), %rax\n"
    "    CASE 0, field_w+16, 4, movl $0x12345678, field_w+16(%rip)\n"
    "    CASE 0, field_w+24, 1, movb $0x5a, field_w+24(%rip)\n"
    "    CASE field_r+32, 0, 0, cmpl $0x12345678, field_r+32(%rip)\n"
    /* 6, 7: the FS base counts */
    "    rdfsbase %r12\n"
    "    leaq field_r + 0x800(%rip), %rax\n wrfsbase %rax\n"
    "    CASE field_r+0x810, 0, 0, movq %fs:0x10, %rax\n"
    "    leaq field_w + 0x800(%rip), %rax\n wrfsbase %rax\n"
    "    CASE 0, field_w+0x7f8, 8, movq %rbx, %fs:-8\n"
    "    wrfsbase %r12\n"
    /* 8 - 13: string instructions use RSI and RDI */
    "    leaq field_w + 0x200(%rip), %rdi\n movl $64, %ecx\n movl $0x33, %eax\n"
    "    CASE 0, field_w+0x200, 64, rep stosb\n"
    "    leaq field_w + 0x300(%rip), %rdi\n leaq field_r + 0x400(%rip), %rsi\n movl $32, %ecx\n"
    "    CASE field_r+0x400, field_w+0x300, 32, rep movsb\n"
    "    leaq field_r + 0x500(%rip), %rsi\n"
    "    CASE field_r+0x500, 0, 0, lodsb\n"
    "    leaq field_w + 0x380(%rip), %rdi\n leaq field_r + 0x600(%rip), %rsi\n xorl %ecx, %ecx\n"
    "    CASE 0, 0, 0, rep movsb\n"
    "    leaq field_w + 0x380(%rip), %rdi\n xorl %ecx, %ecx\n"
    "    CASE 0, 0, 0, rep stosq\n"
    "    leaq field_w + 0x380(%rip), %rdi\n"
    "    CASE 0, field_w+0x380, 8, stosq\n"
    /* 14 - 18: read-modify-write, with the lock that is there even if nobody writes it */
    "    leaq field_w + 0x400(%rip), %rdx\n"
    "    CASE 0, field_w+0x400, 8, xchgq %rax, (%rdx)\n"
    "    CASE 0, field_w+0x408, 8, lock addq $1, 8(%rdx)\n"
    "    CASE 0, field_w+0x410, 8, lock xaddq %rax, 16(%rdx)\n"
    "    CASE 0, field_w+0x418, 1, notb 24(%rdx)\n"
    "    CASE 0, field_w+0x420, 8, cmpxchgq %rcx, 32(%rdx)\n"
    /* 19 - 23: no access, or a read where the opcode's neighbours write */
    "    leaq field_r + 0x700(%rip), %rdx\n"
    "    CASE 0, 0, 0, leaq 8(%r15), %rax\n"
    "    CASE 0, 0, 0, nopl 8(%r15)\n"
    "    CASE field_r+0x700, 0, 0, testb $1, (%rdx)\n"
    "    CASE field_r+0x700, 0, 0, cmpq $1, (%rdx)\n"
    "    CASE field_r+0x700, 0, 0, btq $1, (%rdx)\n"
    /* 24 - 26: the bit's own word, however far away */
    "    leaq field_w + 0x100(%rip), %rdx\n movl $0x900*8, %eax\n"
    "    MAY_MISS 0, field_w+0xa00, 8, btsq %rax, (%rdx)\n"
    "    leaq field_w + 0xa00(%rip), %rdx\n movq $-0x100*8, %rax\n"
    "    MAY_MISS 0, field_w+0x900, 8, btcq %rax, (%rdx)\n"
    "    MAY_MISS 0, field_w+0x900, 8, btrq %rax, (%rdx)\n"
    /* 27 - 29: VEX */
    "    leaq field_r + 0x200(%rip), %rdx\n"
    "    CASE field_r+0x200, 0, 0, vmovdqu (%rdx), %xmm0\n"
    "    leaq field_w + 0xb00(%rip), %rdx\n"
    "    CASE 0, field_w+0xb00, 16, vmovdqu %xmm0, (%rdx)\n"
    "    leaq field_r + 0x210(%rip), %rdx\n"
    "    CASE field_r+0x210, 0, 0, vpaddq (%rdx), %xmm0, %xmm0\n"
    /* 30 - 33: index and scale, extended registers, an operand on two pages, a prefetch */
    "    leaq field_w(%rip), %r12\n movl $0x40, %r9d\n"
    "    CASE 0, field_w+0x408, 8, movq %rax, 0x208(%r12,%r9,8)\n"
    "    leaq field_r(%rip), %r11\n"
    "    CASE field_r+0x80, 0, 0, movzwl 0x80(%r11), %eax\n"
    "    leaq field_w + 4092(%rip), %rdx\n"
    "    CASE 0, field_w+4092, 8, movq %rax, (%rdx)\n"
    "    CASE 0, 0, 0, prefetcht0 (%r15)\n"
    "    leaq operands_begin(%rip), %rax\n"
    ".globl operands_end\noperands_end: nop\n"
    "    popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n"
    "    ret\n"
    ".size operands_run, . - operands_run\n"
    ".pushsection .data.operand_cases, \"aw\"\n .quad 0\n.popsection\n");
void operands_run(void);

static void fill(uint8_t *page, size_t size, unsigned salt)
{
    for (size_t i = 0; i < size; i++)
        page[i] = (uint8_t)(i * 7 + (i >> 8) + salt);
}

static int check(const uint8_t *page, size_t size, unsigned salt)
{
    for (size_t i = 0; i < size; i++)
        if (page[i] != (uint8_t)(i * 7 + (i >> 8) + salt))
            return 1;
    return 0;
}

/* The first round is undisturbed: the driver's breakpoint at operands_begin waits for the second. */
int operands(void)
{
    fill(field_d, sizeof(field_d), 3);
    if (mprotect(field_d + 2 * PAGE, PAGE, PROT_READ))
        return 2;
    for (int round = 0; round < 2; round++) {
        fill(field_r, sizeof(field_r), 1);
        fill(field_w, sizeof(field_w), 2);
        operands_run();
        if (round == 0)
            memcpy(wanted, field_w, sizeof(wanted));
    }
    if (check(field_d, sizeof(field_d), 3) || check(field_r, sizeof(field_r), 1))
        return 60;
    return memcmp(wanted, field_w, sizeof(wanted)) ? 61 : 0;
}
