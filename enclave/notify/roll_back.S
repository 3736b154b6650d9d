/* SPDX-License-Identifier: Apache-2.0
 *
 * uint64_t roll_back(struct checkpoint *to, const struct sgx_gprsgx *from, uint64_t take);
 *
 * The application's context is SSA[0], or, if the resume was interrupted, the checkpoint that is already there. take is
 * all ones to replace the checkpoint by SSA[0], 0 to keep it: selected with masks, same instructions and addresses
 * either way. Returns 0 if SSA[0] is just what was last resumed: rax .. r15, rflags, rip.
 *
 * Stage 1 only (CSSA=1): SSA[0] holds the application's vector registers and XRSTOR follows, or the entry code clears
 * XMM0-XMM3 before an EEXIT. The one place of the runtime that uses vector registers; half the instructions.
 * Clobbers RAX RDX XMM0-XMM3 RFLAGS. AEX: SSA[1], invisible. */
.section .text.roll_back, "ax"
.globl roll_back
.type roll_back, @function
roll_back:
    movq %rdx, %xmm3
    punpcklqdq %xmm3, %xmm3
    pxor %xmm0, %xmm0
    .set offset, 0
    .rept 9
    movdqu offset(%rsi), %xmm1
    movdqu offset(%rdi), %xmm2
    pxor %xmm2, %xmm1
    por %xmm1, %xmm0
    pand %xmm3, %xmm1
    pxor %xmm1, %xmm2
    movdqu %xmm2, offset(%rdi)
    .set offset, offset + 16
    .endr
    movhlps %xmm0, %xmm1
    por %xmm1, %xmm0
    movq %xmm0, %rax
    ret
.size roll_back, . - roll_back
.section .note.GNU-stack, "", @progbits
