/* SPDX-License-Identifier: Apache-2.0
 *
 * The compression function of SHA-256 by the SHA extensions. The application's vector registers are live in the runtime:
 * what is used of them is kept on the stack and put back, in legacy SSE, which leaves their upper parts alone. That is some
 * twenty moves a call, where XSAVE and XRSTOR would be as much as a kilobyte of hashing. See sha256.c. */

#define ABEF  %xmm1     /* halves of the state, highest word first */
#define CDGH  %xmm2
#define SWAP  %xmm7     /* words are big-endian */
#define T     %xmm8
#define KEPT  (11 * 16 + 8)

.section .rodata
.balign 16
byte_order:
    .byte 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12

.section .text

/* Four rounds with the words in \m0; they become the words of the rounds sixteen later if \more. */
.macro ROUNDS i, m0, m1, m2, m3, more
    movdqa sha256_constants + 16 * \i(%rip), %xmm0
    paddd \m0, %xmm0
    sha256rnds2 %xmm0, ABEF, CDGH
    pshufd $0x0e, %xmm0, %xmm0
    sha256rnds2 %xmm0, CDGH, ABEF
    .if \more
    sha256msg1 \m1, \m0
    movdqa \m3, T
    palignr $4, \m2, T
    paddd T, \m0
    sha256msg2 \m3, \m0
    .endif
.endm

.macro SIXTEEN_ROUNDS i, more
    ROUNDS \i, %xmm3, %xmm4, %xmm5, %xmm6, \more
    ROUNDS (\i + 1), %xmm4, %xmm5, %xmm6, %xmm3, \more
    ROUNDS (\i + 2), %xmm5, %xmm6, %xmm3, %xmm4, \more
    ROUNDS (\i + 3), %xmm6, %xmm3, %xmm4, %xmm5, \more
.endm

/* void sha256_blocks_ni(uint32_t state[8], const void *blocks, size_t count): count blocks of 64 bytes, at least one. */
.globl sha256_blocks_ni
.hidden sha256_blocks_ni
.type sha256_blocks_ni, @function
.balign 64
sha256_blocks_ni:
    subq $KEPT, %rsp
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    movups %xmm\r, 16 * \r(%rsp)
    .endr
    movdqa byte_order(%rip), SWAP
    movdqu (%rdi), T                  /* a b c d, lowest word first */
    movdqu 16(%rdi), CDGH             /* e f g h */
    pshufd $0xb1, T, T                /* b a d c */
    pshufd $0x1b, CDGH, CDGH          /* h g f e */
    movdqa T, ABEF
    palignr $8, CDGH, ABEF            /* f e b a */
    pblendw $0xf0, T, CDGH            /* h g d c */
1:  movdqa ABEF, %xmm9
    movdqa CDGH, %xmm10
    movdqu (%rsi), %xmm3
    movdqu 16(%rsi), %xmm4
    movdqu 32(%rsi), %xmm5
    movdqu 48(%rsi), %xmm6
    pshufb SWAP, %xmm3
    pshufb SWAP, %xmm4
    pshufb SWAP, %xmm5
    pshufb SWAP, %xmm6
    SIXTEEN_ROUNDS 0, 1
    SIXTEEN_ROUNDS 4, 1
    SIXTEEN_ROUNDS 8, 1
    SIXTEEN_ROUNDS 12, 0
    paddd %xmm9, ABEF
    paddd %xmm10, CDGH
    addq $64, %rsi
    decq %rdx
    jnz 1b
    pshufd $0x1b, ABEF, ABEF          /* a b e f */
    pshufd $0xb1, CDGH, CDGH          /* g h c d */
    movdqa ABEF, T
    pblendw $0xf0, CDGH, T            /* a b c d */
    palignr $8, ABEF, CDGH            /* e f g h */
    movdqu T, (%rdi)
    movdqu CDGH, 16(%rdi)
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    movups 16 * \r(%rsp), %xmm\r
    .endr
    addq $KEPT, %rsp
    ret
.size sha256_blocks_ni, . - sha256_blocks_ni

.section .note.GNU-stack, "", @progbits
