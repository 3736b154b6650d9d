/* SPDX-License-Identifier: Apache-2.0
 *
 * Assembly: table lookups for decode.S that read the whole table. The mask of a PBLENDVB is the top bit of each byte of XMM0; PADDB
 * of XMM0 with itself brings the next bit there. SSE4.1. */
#ifndef VIGIL_DECODE_PICK_H
#define VIGIL_DECODE_PICK_H

/* \xmm = the low byte of \reg, sixteen times. Clobbers \zero. */
.macro SPREAD reg, xmm, zero
    movd \reg, \xmm
    pxor \zero, \zero
    pshufb \zero, \xmm
.endm

/* XMM1 = the row of sixteen at \table, \stride bytes apart, whose number is the top four bits of the bytes of XMM12.
 * Clobbers XMM2-XMM8, and leaves XMM0 so that one more PADDB makes the next bit of those bytes the mask. */
.macro PICK_ROW table, stride
    movdqa %xmm12, %xmm0
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    PICK_BETWEEN \n, \table, \stride
    .endr
    PICK_OF_8
.endm

/* XMM(n + 1) = row n, or n + 8 where the top bit of XMM0 is set. */
.macro PICK_BETWEEN n, table, stride
    .altmacro
    PICK_BETWEEN_REG %(\n + 1), %(\n * \stride), %((\n + 8) * \stride), \table
    .noaltmacro
.endm
.macro PICK_BETWEEN_REG reg, low, high, table
    movdqa \table + \low(%rip), %xmm\reg
    pblendvb %xmm0, \table + \high(%rip), %xmm\reg
.endm

/* XMM1 = the one of XMM1-XMM8 whose number is the next three bits behind the top of XMM0. */
.macro PICK_OF_8
    paddb %xmm0, %xmm0
    pblendvb %xmm0, %xmm5, %xmm1
    pblendvb %xmm0, %xmm6, %xmm2
    pblendvb %xmm0, %xmm7, %xmm3
    pblendvb %xmm0, %xmm8, %xmm4
    PICK_OF_4
.endm
.macro PICK_OF_4
    paddb %xmm0, %xmm0
    pblendvb %xmm0, %xmm3, %xmm1
    pblendvb %xmm0, %xmm4, %xmm2
    paddb %xmm0, %xmm0
    pblendvb %xmm0, %xmm2, %xmm1
.endm

/* \to (a general register) = the eight bytes of XMM1 that the next bit of XMM0 names. Clobbers XMM2. */
.macro PICK_HALF to
    paddb %xmm0, %xmm0
    movhlps %xmm1, %xmm2
    pblendvb %xmm0, %xmm2, %xmm1
    movq %xmm1, \to
.endm

/* \to = the general register of the checkpoint RSI whose number is \number. \shifted: the low 32 bits of a register to
 * clobber. */
.macro PICK_REGISTER number, shifted, to
    movl \number, \shifted
    shll $4, \shifted
    SPREAD \shifted, %xmm0, %xmm1
    .irp n, 1, 2, 3, 4
    movdqa (\n - 1) * 16(%rsi), %xmm\n
    pblendvb %xmm0, (\n + 3) * 16(%rsi), %xmm\n
    .endr
    PICK_OF_4
    PICK_HALF \to
.endm

#endif
