/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers that decode.S and its tables (decode_table.c) share. For assembly too. */
#ifndef VIGIL_DECODE_TABLE_H
#define VIGIL_DECODE_TABLE_H

/* ---- bytes by their halves: bit n of decode_halves[low][byte & 15] & [high][byte >> 4] ---------------------------------- */
#define PREFIX_F2   0x01
#define PREFIX_F3   0x02
#define PREFIX_66   0x04
#define PREFIX_F0   0x08
#define PREFIX_67   0x10
#define PREFIX_FS   0x20
#define PREFIX_GS   0x40
#define PREFIX_FLAT 0x80 /* 26 2E 36 3E: nothing in 64-bit mode */

/* What leads to the opcode. Those of VEX and EVEX are numbers: C5 4, C4 5, 62 2. */
#define LEAD_62  0x02
#define LEAD_C5  0x04
#define LEAD_C4  0x05
#define LEAD_VEX 0x07
#define LEAD_REX 0x08
#define LEAD_0F  0x10
#define LEAD_38  0x20
#define LEAD_3A  0x40

/* ---- a fact of an opcode, 16 bits: kind, class of size, immediate, ModRM --------------------------------------------------- */
#define FACT_CLASS 5
#define FACT_IMM   9
#define FACT_MODRM 0x1000

/* What memory is accessed, and how that depends on the reg field of ModRM: an index into decode_kinds. */
#define K_UNKNOWN 0
#define K_NONE    1   /* no access, with or without ModRM */
#define K_READ    2
#define K_WRITE   3
#define K_MODIFY  4
#define K_PUSH    5
#define K_POP     6
#define K_LEAVE   7
#define K_STRING  8   /* "reg" is bits 1 to 3 of the opcode */
#define K_JUMP    9   /* to an immediate */
#define K_CALL    10
#define K_BITS    11  /* index a bit string by a register: not known in memory */
#define K_80      12  /* groups of the one-byte map */
#define K_C6      13
#define K_F6      14
#define K_FE      15
#define K_FF      16
#define K_D9      17
#define K_DB      18
#define K_DD      19
#define K_DF      20
#define K_0FAE    21  /* of the 0F map */
#define K_0FBA    22
#define K_0FC7    23
#define K_0F7E    24  /* From here on "reg" is the mandatory prefix, and 4 more for EVEX without W */
#define K_0FC3    25
#define K_0FD6    26

/* A word of decode_kinds is eight bytes of eight bits: shifted right by the reg field, bit 0 of each is the answer. */
#define KIND_READ  0
#define KIND_WRITE 8
#define KIND_VALID 16 /* with a memory operand */
#define KIND_EXTRA 24 /* the next IMM_; of a string: RDI is used */
#define KIND_PUSH  32
#define KIND_POP   40
#define KIND_JUMP  48 /* to the immediate, or with ModRM to where its operand says */
#define KIND_NEXT  56 /* the next CLASS_ */

/* The size of the operand: an index into decode_sizes. */
#define CLASS_V    0  /* operand size. The first two do not exist with VEX: there the opcode means something else */
#define CLASS_1    1
#define CLASS_4    2  /* in the 0F map 8 with 66. K_D9 and K_DF take the next one for some instructions */
#define CLASS_2    3
#define CLASS_8    4
#define CLASS_M4   5  /* 4 without prefix. K_DB takes the next one for some instructions */
#define CLASS_10   6
#define CLASS_PS   7  /* ps/pd: the vector, ss: 4, sd: 8 */
#define CLASS_X    8  /* the vector; MMX is not known */
#define CLASS_16   9  /* at any vector length */
#define CLASS_VEC  10 /* the vector, without prefix too */
#define CLASS_TO_I 11 /* cvt..2si */
#define CLASS_OF_I 12 /* cvtsi2.. */
#define CLASS_CVT  13 /* 5A */
#define CLASS_Y    14 /* 8 with W, else 4; with F3: movq, 8 */
#define CLASS_0FC7 15 /* 8, 16 with W */

#define IMM_NONE_OR_1 0 /* K_F6 takes the next one for TEST */
#define IMM_1         1
#define IMM_NONE_OR_Z 2
#define IMM_Z         3 /* 4 bytes, 2 with prefix 66 */
#define IMM_V         4 /* 8 bytes with W, else Z */
#define IMM_2         5
#define IMM_NONE      6

/* The bytes of those, in four bits each. */
#define IMMEDIATES(z, v) (1 << (4 * IMM_1) | 2 << (4 * IMM_2) | (z) << (4 * IMM_Z) | (v) << (4 * IMM_V))

/* ---- codes of sizes ------------------------------------------------------------------------------------------------------ */
#define S_VEC     0   /* the vector, a half, a quarter, an eighth */
#define S_VEC2    1
#define S_VEC4    2
#define S_VEC8    3
#define S_V       4   /* operand size */
#define S_Y       5   /* 8 with W, else 4 */
#define S_1       6
#define S_2       7
#define S_4       8
#define S_8       9
#define S_16      10
#define S_32      11
#define S_10      12
#define S_SHA     13  /* 16 bytes, without prefix */
#define S_0FC7    14  /* 8, 16 with W */
#define S_UNKNOWN 15

/* The logarithms of those, in four bits each; decode.S adds SIZES_VECTOR times that of the vector. */
#define SIZES_VECTOR 0x1111
#define SIZES(v, y, c7)                                                                                                \
    (((v) << (4 * S_V) | (y) << (4 * S_Y) | 1 << (4 * S_2) | 2 << (4 * S_4) | 3 << (4 * S_8) | 4 << (4 * S_16) | 5 << (4 * S_32) |     \
      4 << (4 * S_SHA) | (c7) << (4 * S_0FC7)) - 0x3210)

/* Opcodes of 0F3A below 40 that write. */
#define WRITES_3A                                                                                                      \
    (1 << 0x14 | 1 << 0x15 | 1 << 0x16 | 1 << 0x17 | 1 << 0x19 | 1 << 0x1b | 1 << 0x1d | 1 << 0x39 | 1 << 0x3b)

/* Which prefixes and forms of 0F38 and 0F3A exist: a bit for each of none, 66, F3, F2 in legacy code, EVEX (with W, without)
 * and VEX. */
#define FORMS(legacy, vex, evex) ((legacy) | (evex) << 8 | (evex) << 12 | (vex) << 16)

/* struct decoded and struct checkpoint; offsets.c asserts them */
#define DECODED_LENGTH     0
#define DECODED_NEEDS_MORE 8
#define DECODED_TARGET     16
#define DECODED_OPERAND0   24
#define DECODED_OPERAND1   48
#endif
