/* SPDX-License-Identifier: Apache-2.0
 *
 * What the decoder knows of opcodes, laid out like the SDM's opcode maps: a line is sixteen opcodes, from x0 to xF. Only
 * decode.c includes this. */
#ifndef VIGIL_DECODE_TABLE_H
#define VIGIL_DECODE_TABLE_H

#include <stdint.h>

/* ---- one-byte opcodes ---------------------------------------------------------------------------------------------- */
#define MODRM 0x01
#define READS 0x02   /* the ModRM memory operand */
#define WRIT  0x04
#define BYTE_ 0x08   /* of one byte; else of operand size */
#define IMM8  0x10
#define IMMZ  0x20   /* 4 bytes, 2 with prefix 66 */
#define KNOWN 0x40
#define BRNCH 0x80   /* the immediate is a branch displacement */

#define ___ 0                                   /* not known */
#define Nop (KNOWN)                             /* no ModRM, no memory (or decode.c says which) */
#define I8_ (KNOWN | IMM8)
#define Iz_ (KNOWN | IMMZ)
#define Rb_ (KNOWN | MODRM | READS | BYTE_)
#define Rv_ (KNOWN | MODRM | READS)
#define Wb_ (KNOWN | MODRM | WRIT | BYTE_)
#define Wv_ (KNOWN | MODRM | WRIT)
#define Mb_ (Rb_ | WRIT)                        /* modifies: reads and writes */
#define Mv_ (Rv_ | WRIT)
#define Mb8 (Mb_ | IMM8)
#define Mv8 (Mv_ | IMM8)
#define Mvz (Mv_ | IMMZ)
#define Rv8 (Rv_ | IMM8)
#define Rvz (Rv_ | IMMZ)
#define Wb8 (Wb_ | IMM8)
#define Wvz (Wv_ | IMMZ)
#define NoM (KNOWN | MODRM)                     /* ModRM, no access */
#define J8_ (KNOWN | IMM8 | BRNCH)
#define Jz_ (KNOWN | IMMZ | BRNCH)
/* Rv_ at 63 is 4 bytes, at 8E 2; Wv_ at 8C is 2; D8-DF are x87; 80-83, C6, C7, F6, F7, FE, FF are groups: decode.c. */
static const uint8_t one_byte[256] __attribute__((aligned(64))) = {
    /*       0    1    2    3    4    5    6    7    8    9    A    B    C    D    E    F */
    /* 0 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 1 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 2 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 3 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Rb_, Rv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 4 */ ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___,
    /* 5 */ Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop,
    /* 6 */ ___, ___, ___, Rv_, ___, ___, ___, ___, Iz_, Rvz, I8_, Rv8, ___, ___, ___, ___,
    /* 7 */ J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_,
    /* 8 */ Mb8, Mvz, ___, Mv8, Rb_, Rv_, Mb_, Mv_, Wb_, Wv_, Rb_, Rv_, Wv_, NoM, Rv_, Wv_,
    /* 9 */ Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, ___, ___, Nop, Nop, Nop, Nop,
    /* A */ ___, ___, ___, ___, Nop, Nop, Nop, Nop, I8_, Iz_, Nop, Nop, Nop, Nop, Nop, Nop,
    /* B */ I8_, I8_, I8_, I8_, I8_, I8_, I8_, I8_, Iz_, Iz_, Iz_, Iz_, Iz_, Iz_, Iz_, Iz_,
    /* C */ Mb8, Mv8, Nop, Nop, ___, ___, Wb8, Wvz, ___, Nop, ___, ___, Nop, ___, ___, ___,
    /* D */ Mb_, Mv_, Mb_, Mv_, ___, ___, ___, ___, NoM, NoM, NoM, NoM, NoM, NoM, NoM, NoM,
    /* E */ J8_, J8_, J8_, J8_, ___, ___, ___, ___, Jz_, Jz_, ___, J8_, ___, ___, ___, ___,
    /* F */ ___, ___, ___, ___, Nop, Nop, Mb_, Mv_, Nop, Nop, ___, ___, Nop, Nop, Mb_, Mv_,
};
#undef ___
#undef Nop

/* ---- 0F: the low four bits are the class of size, see sizes[] ---------------------------------------------------------- */
#define TWO_READS 0x10
#define TWO_WRIT  0x20
#define TWO_IMM8  0x40
#define TWO_MODRM 0x80

enum two_class {
    CLASS_UNKNOWN,
    CLASS_V,     /* operand size */
    CLASS_1,
    CLASS_2,
    CLASS_NONE,  /* no access */
    CLASS_PS,    /* ps/pd: the vector, ss: 4, sd: 8 */
    CLASS_X,     /* MMX: 8, SSE: the vector */
    CLASS_X4,    /* MMX: 4, SSE: the vector */
    CLASS_COUNT, /* MMX: 8, SSE: 16 at any vector length */
    CLASS_VEC,   /* the vector */
    CLASS_HALF,  /* movlps and its like: 8, movs[lh]dup: the vector */
    CLASS_COMIS, /* ss: 4, sd: 8, told by prefix 66 */
    CLASS_TO_I,  /* cvt..2si, cvt..2pi */
    CLASS_OF_I,  /* cvtsi2.., cvtpi2.. */
    CLASS_CVT,   /* 5A */
    CLASS_Y,     /* 8 with W, else 4; with F3: movq, 8 */
};

#define __ 0
#define r(c) (TWO_MODRM | TWO_READS | CLASS_##c)
#define w(c) (TWO_MODRM | TWO_WRIT | CLASS_##c)
#define m(c) (TWO_MODRM | TWO_READS | TWO_WRIT | CLASS_##c)
#define r8(c) (TWO_MODRM | TWO_READS | TWO_IMM8 | CLASS_##c)
#define m8(c) (TWO_MODRM | TWO_READS | TWO_WRIT | TWO_IMM8 | CLASS_##c)
#define no (CLASS_NONE)
#define nM (TWO_MODRM | CLASS_NONE)
#define PS r(PS)
#define XX r(X)
#define X4 r(X4)
#define CN r(COUNT)
#define VE r(VEC)
#define VV r(V)
#define W1 w(1)
/* 80-8F take a displacement of four bytes, AE, BA, C7 are groups, A3/AB/B3/BB index a bit string, 7E changes: decode.c.
 * 38 and 3A lead to other maps. 50, 71-73, C5, D7 exist with register operands only. */
static const uint8_t two_byte[256] __attribute__((aligned(64))) = {
    /*        0      1     2       3       4      5      6       7       8   9   A        B       C        D        E       F */
    /* 0 */ __,     __,   __,     __,     __,    no,    __,     __,     __, __, __,      no,     __,      nM,      __,     __,
    /* 1 */ PS,  w(PS), r(HALF), w(HALF), VE,    VE, r(HALF), w(HALF),  nM, __, __,      __,     nM,      nM,      nM,     nM,
    /* 2 */ __,     __,   __,     __,     __,    __,    __,     __,     VE, w(VEC), r(OF_I), w(PS), r(TO_I), r(TO_I), r(COMIS), r(COMIS),
    /* 3 */ __,     no,   __,     __,     __,    __,    __,     __,     __, __, __,      __,     __,      __,      __,     __,
    /* 4 */ VV,     VV,   VV,     VV,     VV,    VV,    VV,     VV,     VV, VV, VV,      VV,     VV,      VV,      VV,     VV,
    /* 5 */ __,     PS,   PS,     PS,     VE,    VE,    VE,     VE,     PS, PS, r(CVT),  VE,     PS,      PS,      PS,     PS,
    /* 6 */ X4,     X4,   X4,     XX,     XX,    XX,    XX,     XX,     XX, XX, XX,      XX,     XX,      XX,      r(Y),   XX,
    /* 7 */ r8(X),  __,   __,     __,     XX,    XX,    XX,     no,     __, __, __,      __,     VE,      VE,      w(Y),   w(X),
    /* 8 */ no,     no,   no,     no,     no,    no,    no,     no,     no, no, no,      no,     no,      no,      no,     no,
    /* 9 */ W1,     W1,   W1,     W1,     W1,    W1,    W1,     W1,     W1, W1, W1,      W1,     W1,      W1,      W1,     W1,
    /* A */ __,     __,   no,     VV,     m8(V), m(V),  __,     __,     __, __, __,      m(V),   m8(V),   m(V),    nM,     VV,
    /* B */ m(1),   m(V), __,     m(V),   __,    __,    r(1),   r(2),   VV, __, m8(V),   m(V),   VV,      VV,      r(1),   r(2),
    /* C */ m(1),   m(V), r8(PS), w(Y),   r8(2), __,    r8(VEC), nM,    no, no, no,      no,     no,      no,      no,     no,
    /* D */ VE,     CN,   CN,     CN,     XX,    XX,    w(HALF), __,    XX, XX, XX,      XX,     XX,      XX,      XX,     XX,
    /* E */ XX,     CN,   CN,     XX,     XX,    XX,    __,     w(X),   XX, XX, XX,      XX,     XX,      XX,      XX,     XX,
    /* F */ VE,     CN,   CN,     CN,     XX,    XX,    XX,     __,     XX, XX, XX,      XX,     XX,      XX,      XX,     __,
};
#undef __
#undef r
#undef w
#undef m
#undef r8
#undef m8
#undef no
#undef nM
#undef PS
#undef XX
#undef X4
#undef CN
#undef VE
#undef VV
#undef W1

/* ---- sizes ------------------------------------------------------------------------------------------------------------- */
enum size_code {
    S_UNKNOWN, S_1, S_2, S_4, S_8, S_16, S_32, S_VEC, S_VEC2, S_VEC4, S_VEC8, /* the vector, a half, a quarter, an eighth */
    S_V, S_Y, S_NONE,
};

/* Sixteen codes of four bits in a word, the first one lowest. */
#define ROW(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)                                                             \
    ((uint64_t)(a) | (uint64_t)(b) << 4 | (uint64_t)(c) << 8 | (uint64_t)(d) << 12 | (uint64_t)(e) << 16 |                \
     (uint64_t)(f) << 20 | (uint64_t)(g) << 24 | (uint64_t)(h) << 28 | (uint64_t)(i) << 32 | (uint64_t)(j) << 36 |        \
     (uint64_t)(k) << 40 | (uint64_t)(l) << 44 | (uint64_t)(m) << 48 | (uint64_t)(n) << 52 | (uint64_t)(o) << 56 |        \
     (uint64_t)(p) << 60)
#define _0 S_UNKNOWN
#define _1 S_1
#define _2 S_2
#define _4 S_4
#define _8 S_8
#define X_ S_16
#define D_ S_32
#define V_ S_VEC
#define V2 S_VEC2
#define V4 S_VEC4
#define V8 S_VEC8
#define O_ S_V
#define Y_ S_Y
#define N_ S_NONE

/* Of an 0F class, by mandatory prefix: none, 66, F3, F2. A word is four classes. */
static const uint64_t sizes[16] __attribute__((aligned(64))) = {
    /* legacy:  unknown         V               1               2  */
    ROW(_0, _0, _0, _0, O_, O_, O_, O_, _1, _1, _1, _1, _2, _2, _2, _2),
    /*          NONE            PS              X               X4 */
    ROW(N_, N_, N_, N_, V_, V_, _4, _8, _8, V_, V_, V_, _4, V_, _0, _0),
    /*          COUNT           VEC             HALF            COMIS */
    ROW(_8, X_, _0, _0, V_, V_, V_, V_, _8, _8, V_, _8, _4, _8, _0, _0),
    /*          TO_I            OF_I            CVT             Y  */
    ROW(_8, X_, _4, _8, _8, _8, Y_, Y_, _8, V_, _4, _8, Y_, Y_, _8, _0),
    /* VEX */
    ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _2, _0, _0),
    ROW(N_, _0, _0, _0, V_, V_, _4, _8, _0, V_, V_, V_, _0, V_, _0, _0),
    ROW(_0, X_, _0, _0, V_, V_, V_, V_, _8, _8, V_, _0, _4, _8, _0, _0),
    ROW(_0, _0, _4, _8, _0, _0, Y_, Y_, V2, V_, _4, _8, _0, Y_, _8, _0),
    /* EVEX: VEX's, without NONE */
    ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _2, _0, _0),
    ROW(_0, _0, _0, _0, V_, V_, _4, _8, _0, V_, V_, V_, _0, V_, _0, _0),
    ROW(_0, X_, _0, _0, V_, V_, V_, _0, _8, _8, V_, _0, _4, _8, _0, _0),
    ROW(_0, _0, _4, _8, _0, _0, Y_, Y_, V2, V_, _4, _8, _0, Y_, _8, _0),
    0, 0, 0, 0,
};

/* 0F38: all have ModRM and read; a legacy V_ without prefix 66 is MMX and 8 bytes. */
static const uint64_t map_38[16] __attribute__((aligned(64))) = {
    /* 0 */ ROW(V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_),
    /* 1 */ ROW(V_, _0, _0, V2, V_, V_, V_, V_, _4, _8, X_, D_, V_, V_, V_, V_),
    /* 2 */ ROW(V2, V4, V8, V2, V4, V2, V_, V_, V_, V_, V_, V_, _0, _0, _0, _0),
    /* 3 */ ROW(V2, V4, V8, V2, V4, V2, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_),
    /* 4 */ ROW(V_, X_, _0, _0, V_, V_, V_, V_, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 5 */ ROW(V_, V_, V_, V_, _0, _0, _0, _0, _4, _8, X_, D_, _0, _0, _0, _0),
    /* 6 */ ROW(_0, _0, _0, _0, V_, V_, V_, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 7 */ ROW(_0, _0, _0, _0, _0, V_, V_, V_, _1, _2, _0, _0, _0, V_, V_, V_),
    /* 8 */ ROW(_0, _0, _0, V_, _0, _0, _0, _0, _0, _0, _0, _0, _0, V_, _0, _0),
    /* 9 */ ROW(_0, _0, _0, _0, _0, _0, V_, V_, V_, Y_, V_, Y_, V_, Y_, V_, Y_),
    /* A */ ROW(_0, _0, _0, _0, _0, _0, V_, V_, V_, Y_, V_, Y_, V_, Y_, V_, Y_),
    /* B */ ROW(_0, _0, _0, _0, V_, V_, V_, V_, V_, Y_, V_, Y_, V_, Y_, V_, Y_),
    /* C */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, X_, X_, X_, X_, X_, X_, _0, V_),
    /* D */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, X_, V_, V_, V_, V_),
    /* E */ 0,
    /* F */ ROW(_0, _0, Y_, Y_, _0, Y_, Y_, Y_, _0, _0, _0, _0, _0, _0, _0, _0),
};

/* 0F3A: all have ModRM and an immediate byte, and read, except where map_3a_writes has a bit. */
static const uint64_t map_3a[16] __attribute__((aligned(64))) = {
    /* 0 */ ROW(V_, V_, V_, V_, V_, V_, V_, _0, V_, V_, _4, _8, V_, V_, V_, V_),
    /* 1 */ ROW(_0, _0, _0, _0, _1, _2, Y_, _4, X_, X_, D_, D_, _0, V2, V_, V_),
    /* 2 */ ROW(_1, _4, Y_, V_, _0, V_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 3 */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, X_, X_, D_, D_, _0, _0, V_, V_),
    /* 4 */ ROW(V_, X_, V_, V_, V_, _0, V_, _0, _0, _0, V_, V_, V_, _0, _0, _0),
    /* 5 */ 0,
    /* 6 */ ROW(X_, X_, X_, X_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 7 */ ROW(V_, V_, V_, V_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 8, 9, A, B */ 0, 0, 0, 0,
    /* C */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, X_, _0, V_, V_),
    /* D */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, X_),
    /* E */ 0,
    /* F */ ROW(Y_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
};
#define BIT(n) (1ull << (n))
static const uint64_t map_3a_writes = BIT(0x14) | BIT(0x15) | BIT(0x16) | BIT(0x17) | BIT(0x19) | BIT(0x1b) | BIT(0x1d) |
                                      BIT(0x39) | BIT(0x3b); /* opcodes below 40 */
#undef BIT

/* ---- x87 with a memory operand: D8 to DF, by the reg field. Codes: 1 2 bytes, 2 4 bytes, 3 8 bytes, 4 10 bytes; + 8: write.
 * FLDENV, FNSTENV, FRSTOR, FNSAVE are not known. A word is two opcodes. */
static const uint64_t x87[4] __attribute__((aligned(32))) = {
    /* D8, D9 */ ROW(2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 10, 10, 0, 1, 0, 9),
    /* DA, DB */ ROW(2, 2, 2, 2, 2, 2, 2, 2, 2, 10, 10, 10, 0, 4, 0, 12),
    /* DC, DD */ ROW(3, 3, 3, 3, 3, 3, 3, 3, 3, 11, 11, 11, 0, 0, 0, 9),
    /* DE, DF */ ROW(1, 1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 9, 4, 3, 12, 11),
};
#undef _0
#undef _1
#undef _2
#undef _4
#undef _8
#undef X_
#undef D_
#undef V_
#undef V2
#undef V4
#undef V8
#undef O_
#undef Y_
#undef N_
#undef ROW

#endif
