/* SPDX-License-Identifier: Apache-2.0
 *
 * What the decoder knows of opcodes, laid out like the SDM's opcode maps: a line is sixteen opcodes, from x0 to xF. Data for
 * decode.S, which reads each table whole, row by row (16 bytes), and keeps one entry. Source: SDM volume 2, appendix A. */
#include "enclave/notify/decode_table.h"

#include <stdint.h>

#define TABLE __attribute__((aligned(64), visibility("hidden")))
extern const uint16_t decode_facts[2][256];
extern const uint8_t decode_halves[5][16];
extern const uint64_t decode_kinds[32], decode_sizes[4], decode_sizes_38_3a[2][16];

/* ---- facts -------------------------------------------------------------------------------------------------------------- */
#define FACT(kind, class, imm) (K_##kind | CLASS_##class << FACT_CLASS | IMM_##imm << FACT_IMM)
#define RM(kind, class, imm) (FACT(kind, class, imm) | FACT_MODRM)
#define ___ FACT(UNKNOWN, VEC, NONE)
#define Nop FACT(NONE, VEC, NONE)
#define NoM RM(NONE, V, NONE)
/* One-byte map: R reads, W writes, M modifies the ModRM operand, of one byte or of operand size; 8 and z: an immediate. */
#define I8_ FACT(NONE, V, 1)
#define Iz_ FACT(NONE, V, Z)
#define Iv_ FACT(NONE, V, V)
#define Rb_ RM(READ, 1, NONE)
#define Rv_ RM(READ, V, NONE)
#define R2_ RM(READ, 2, NONE)
#define R4_ RM(READ, 4, NONE)
#define R8_ RM(READ, 8, NONE)
#define Rv8 RM(READ, V, 1)
#define Rvz RM(READ, V, Z)
#define Wb_ RM(WRITE, 1, NONE)
#define Wv_ RM(WRITE, V, NONE)
#define W2_ RM(WRITE, 2, NONE)
#define Mb_ RM(MODIFY, 1, NONE)
#define Mv_ RM(MODIFY, V, NONE)
#define Mb8 RM(MODIFY, 1, 1)
#define Mv8 RM(MODIFY, V, 1)
#define J8_ FACT(JUMP, V, 1)
#define Jz_ FACT(JUMP, V, Z)
#define Cz_ FACT(CALL, V, Z)
#define Psh FACT(PUSH, V, NONE)
#define Ps8 FACT(PUSH, V, 1)
#define Psz FACT(PUSH, V, Z)
#define Pop FACT(POP, V, NONE)
#define Po2 FACT(POP, V, 2)
#define Lve FACT(LEAVE, V, NONE)
#define Sb_ FACT(STRING, 1, NONE)
#define Sv_ FACT(STRING, V, NONE)
#define Gb8 RM(80, 1, 1)
#define Gv8 RM(80, V, 1)
#define Gvz RM(80, V, Z)
#define C6_ RM(C6, 1, 1)
#define C7_ RM(C6, V, Z)
#define F6_ RM(F6, 1, NONE_OR_1)
#define F7_ RM(F6, V, NONE_OR_Z)
#define FE_ RM(FE, 1, NONE)
#define FF_ RM(FF, V, NONE)
#define D9_ RM(D9, 4, NONE)
#define DB_ RM(DB, M4, NONE)
#define DD_ RM(DD, 8, NONE)
#define DF_ RM(DF, 2, NONE)
/* 0F map, any class */
#define r(class) RM(READ, class, NONE)
#define w(class) RM(WRITE, class, NONE)
#define m(class) RM(MODIFY, class, NONE)
#define r8(class) RM(READ, class, 1)
#define m8(class) RM(MODIFY, class, 1)
#define Ps r(PS)
#define XX r(X)
#define CN r(16)
#define VE r(VEC)
#define VV r(V)
#define W1 w(1)
#define bs RM(BITS, V, NONE)
#define ae RM(0FAE, M4, NONE)
#define ba RM(0FBA, V, 1)
#define c7 RM(0FC7, 0FC7, NONE)
#define e7 RM(0F7E, Y, NONE)
#define c3 RM(0FC3, V, NONE)
#define d6 RM(0FD6, 8, NONE)
#define __ ___
#define no Nop
#define nM NoM

/* 8F (POP to memory, XOP) is not known, nor what is not for 64-bit mode. 0F: 38 and 3A lead to other maps; 50, 71-73, C5
 * and D7 exist with register operands only. */
const uint16_t decode_facts[2][256] TABLE = {{
    /*       0    1    2    3    4    5    6    7    8    9    A    B    C    D    E    F */
    /* 0 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 1 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 2 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 3 */ Mb_, Mv_, Rb_, Rv_, I8_, Iz_, ___, ___, Rb_, Rv_, Rb_, Rv_, I8_, Iz_, ___, ___,
    /* 4 */ ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___, ___,
    /* 5 */ Psh, Psh, Psh, Psh, Psh, Psh, Psh, Psh, Pop, Pop, Pop, Pop, Pop, Pop, Pop, Pop,
    /* 6 */ ___, ___, ___, R4_, ___, ___, ___, ___, Psz, Rvz, Ps8, Rv8, ___, ___, ___, ___,
    /* 7 */ J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_, J8_,
    /* 8 */ Gb8, Gvz, ___, Gv8, Rb_, Rv_, Mb_, Mv_, Wb_, Wv_, Rb_, Rv_, W2_, NoM, R2_, ___,
    /* 9 */ Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, Nop, ___, ___, Psh, Pop, Nop, Nop,
    /* A */ ___, ___, ___, ___, Sb_, Sv_, Sb_, Sv_, I8_, Iz_, Sb_, Sv_, Sb_, Sv_, Sb_, Sv_,
    /* B */ I8_, I8_, I8_, I8_, I8_, I8_, I8_, I8_, Iv_, Iv_, Iv_, Iv_, Iv_, Iv_, Iv_, Iv_,
    /* C */ Mb8, Mv8, Po2, Pop, ___, ___, C6_, C7_, ___, Lve, ___, ___, Nop, ___, ___, ___,
    /* D */ Mb_, Mv_, Mb_, Mv_, ___, ___, ___, ___, R4_, D9_, R4_, DB_, R8_, DD_, R2_, DF_,
    /* E */ J8_, J8_, J8_, J8_, ___, ___, ___, ___, Cz_, Jz_, ___, J8_, ___, ___, ___, ___,
    /* F */ ___, ___, ___, ___, Nop, Nop, F6_, F7_, Nop, Nop, ___, ___, Nop, Nop, FE_, FF_,
}, {
    /*       0   1   2       3      4   5   6     7     8   9       A        B      C        D        E         F */
    /* 0 */ __, __, __,     __,    __, no, __,   __,   __, __,     __,      no,    __,      nM,      __,       __,
    /* 1 */ Ps, w(PS), r(8), w(8), VE, VE, r(8), w(8), nM, __,     __,      __,    nM,      nM,      nM,       nM,
    /* 2 */ __, __, __,     __,    __, __, __,   __,   VE, w(VEC), r(OF_I), w(PS), r(TO_I), r(TO_I), r(4), r(4),
    /* 3 */ __, no, __,     __,    __, __, __,   __,   __, __,     __,      __,    __,      __,      __,       __,
    /* 4 */ VV, VV, VV,     VV,    VV, VV, VV,   VV,   VV, VV,     VV,      VV,    VV,      VV,      VV,       VV,
    /* 5 */ __, Ps, Ps,     Ps,    VE, VE, VE,   VE,   Ps, Ps,     r(CVT),  VE,    Ps,      Ps,      Ps,       Ps,
    /* 6 */ XX, XX, XX,     XX,    XX, XX, XX,   XX,   XX, XX,     XX,      XX,    XX,      XX,      r(Y),     XX,
    /* 7 */ r8(X), __, __,  __,    XX, XX, XX,   no,   __, __,     __,      __,    VE,      VE,      e7,       w(X),
    /* 8 */ Jz_, Jz_, Jz_,  Jz_,   Jz_, Jz_, Jz_, Jz_, Jz_, Jz_,   Jz_,     Jz_,   Jz_,     Jz_,     Jz_,      Jz_,
    /* 9 */ W1, W1, W1,     W1,    W1, W1, W1,   W1,   W1, W1,     W1,      W1,    W1,      W1,      W1,       W1,
    /* A */ __, __, no,     bs,    m8(V), m(V), __, __, __, __,    __,      bs,    m8(V),   m(V),    ae,       VV,
    /* B */ m(1), m(V), __, bs,    __, __, r(1), r(2), VV, __,     ba,      bs,    VV,      VV,      r(1),     r(2),
    /* C */ m(1), m(V), r8(PS), c3, r8(2), __, r8(VEC), c7, no, no, no,   no,    no,      no,      no,       no,
    /* D */ VE, CN, CN,     CN,    XX, XX, d6, __,     XX, XX,     XX,      XX,    XX,      XX,      XX,       XX,
    /* E */ XX, CN, CN,     XX,    XX, XX, __,   w(X), XX, XX,     XX,      XX,    XX,      XX,      XX,       XX,
    /* F */ VE, CN, CN,     CN,    XX, XX, XX,   __,   XX, XX,     XX,      XX,    XX,      XX,      XX,       __,
}};

/* ---- bytes by their halves ----------------------------------------------------------------------------------------------- */
const uint8_t decode_halves[5][16] TABLE = {
    /* prefixes, low */
    {[0] = PREFIX_F0, [2] = PREFIX_F2, [3] = PREFIX_F3, [4] = PREFIX_FS, [5] = PREFIX_GS, [6] = PREFIX_66 | PREFIX_FLAT,
     [7] = PREFIX_67, [14] = PREFIX_FLAT},
    /* prefixes, high */
    {[2] = PREFIX_FLAT, [3] = PREFIX_FLAT, [6] = PREFIX_66 | PREFIX_67 | PREFIX_FS | PREFIX_GS,
     [15] = PREFIX_F0 | PREFIX_F2 | PREFIX_F3},
    /* what leads to the opcode, low */
    {LEAD_REX, LEAD_REX, LEAD_REX | LEAD_62, LEAD_REX, LEAD_REX | LEAD_C4, LEAD_REX | LEAD_C5, LEAD_REX, LEAD_REX,
     LEAD_REX | LEAD_38, LEAD_REX, LEAD_REX | LEAD_3A, LEAD_REX, LEAD_REX, LEAD_REX, LEAD_REX, LEAD_REX | LEAD_0F},
    /* high */
    {[0] = LEAD_0F, [3] = LEAD_38 | LEAD_3A, [4] = LEAD_REX, [6] = LEAD_62, [12] = LEAD_C4},
    {15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15},
};

/* ---- kinds --------------------------------------------------------------------------------------------------------------- */
#define KIND(read, write, valid, extra, push, pop, jump, next)                                                          \
    ((uint64_t)(read) << KIND_READ | (uint64_t)(write) << KIND_WRITE | (uint64_t)(valid) << KIND_VALID |                \
     (uint64_t)(extra) << KIND_EXTRA | (uint64_t)(push) << KIND_PUSH | (uint64_t)(pop) << KIND_POP |                    \
     (uint64_t)(jump) << KIND_JUMP | (uint64_t)(next) << KIND_NEXT)
const uint64_t decode_kinds[32] TABLE = {
    /*                read  write valid extra push  pop   jump  next */
    [K_NONE]   = KIND(0,    0,    0xff, 0,    0,    0,    0,    0),
    [K_READ]   = KIND(0xff, 0,    0xff, 0,    0,    0,    0,    0),
    [K_WRITE]  = KIND(0,    0xff, 0xff, 0,    0,    0,    0,    0),
    [K_MODIFY] = KIND(0xff, 0xff, 0xff, 0,    0,    0,    0,    0),
    [K_PUSH]   = KIND(0,    0,    0xff, 0,    0xff, 0,    0,    0),
    [K_POP]    = KIND(0,    0,    0xff, 0,    0,    0xff, 0,    0),
    [K_LEAVE]  = KIND(0,    0,    0xff, 0,    0,    0xff, 0,    0),
    [K_STRING] = KIND(0x4c, 0x24, 0xff, 0xac, 0,    0,    0,    0),
    [K_JUMP]   = KIND(0,    0,    0xff, 0,    0,    0,    0xff, 0),
    [K_CALL]   = KIND(0,    0,    0xff, 0,    0xff, 0,    0xff, 0),
    [K_80]     = KIND(0xff, 0x7f, 0xff, 0,    0,    0,    0,    0),    /* /7 is CMP */
    [K_C6]     = KIND(0,    0xff, 0x01, 0,    0,    0,    0,    0),
    [K_F6]     = KIND(0xff, 0x0c, 0xff, 0x03, 0,    0,    0,    0),    /* TEST TEST NOT NEG MUL IMUL DIV IDIV */
    [K_FE]     = KIND(0x03, 0x03, 0x03, 0,    0,    0,    0,    0),
    [K_FF]     = KIND(0x57, 0x03, 0x57, 0,    0x44, 0,    0x14, 0),    /* INC DEC CALL - JMP - PUSH - */
    [K_D9]     = KIND(0x21, 0x8c, 0xad, 0,    0,    0,    0,    0xa0), /* FLD - FST FSTP - FLDCW - FNSTCW */
    [K_DB]     = KIND(0x21, 0x8e, 0xaf, 0,    0,    0,    0,    0xa0), /* FILD FISTTP FIST FISTP - FLD - FSTP */
    [K_DD]     = KIND(0x01, 0x0e, 0x0f, 0,    0,    0,    0,    0),    /* FLD FISTTP FST FSTP - - - - */
    [K_DF]     = KIND(0x21, 0x8e, 0xaf, 0,    0,    0,    0,    0xa0), /* FILD FISTTP FIST FISTP - FILD - FISTP */
    [K_0F7E]   = KIND(0x04, 0x22, 0x26, 0,    0,    0,    0,    0),    /* - MOVD MOVQ - - VMOVD - -; AVX10.2's is not known */
    [K_0FC3]   = KIND(0,    0x01, 0x01, 0,    0,    0,    0,    0),    /* MOVNTI */
    [K_0FD6]   = KIND(0,    0x02, 0x02, 0,    0,    0,    0,    0),    /* - MOVQ - - - -; AVX10.2's is not known */
    [K_0FAE]   = KIND(0x04, 0x08, 0x0c, 0,    0,    0,    0,    0),    /* /2 LDMXCSR, /3 STMXCSR */
    [K_0FBA]   = KIND(0xf0, 0xe0, 0xf0, 0,    0,    0,    0,    0),    /* - - - - BT BTS BTR BTC */
    [K_0FC7]   = KIND(0x02, 0x02, 0x02, 0,    0,    0,    0,    0),    /* /1 CMPXCHG8B, CMPXCHG16B */
};

/* ---- sizes --------------------------------------------------------------------------------------------------------------- */
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
#define T_ S_10
#define X_ S_16
#define D_ S_32
#define V_ S_VEC
#define V2 S_VEC2
#define V4 S_VEC4
#define V8 S_VEC8
#define O_ S_V
#define Y_ S_Y
#define H_ S_SHA
#define C_ S_0FC7
#define NONE_ ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0)

/* Of a class, by mandatory prefix: none, 66, F3, F2. In the one-byte map: without prefix 66, -, -, with it. */
const uint64_t decode_sizes[4] TABLE = {
    /*  V               1               4               2  */
    ROW(O_, O_, O_, O_, _1, _1, _1, _1, _4, _8, _0, _0, _2, _2, _2, _2),
    /*  8               M4              10              PS */
    ROW(_8, _8, V_, _0, _4, _0, _0, _0, T_, _0, _0, _0, V_, V_, _4, _8),
    /*  X               16              VEC             TO_I */
    ROW(_0, V_, V_, V_, _0, X_, _0, _0, V_, V_, V_, V_, _0, _0, _4, _8),
    /*  OF_I            CVT             Y               0FC7 */
    ROW(_0, _0, Y_, Y_, V2, V_, _4, _8, _0, Y_, _8, _0, C_, _0, _0, _0),
};

/* 0F38 and 0F3A: codes of sizes; all have ModRM, 0F3A an immediate byte. All read, but for those of DECODE_3A_WRITES. */
const uint64_t decode_sizes_38_3a[2][16] TABLE = {{
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
    /* C */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, H_, H_, H_, H_, H_, H_, _0, V_),
    /* D */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, X_, V_, V_, V_, V_),
    /* E */ NONE_,
    /* F */ ROW(_0, _0, Y_, Y_, _0, Y_, Y_, Y_, _0, _0, _0, _0, _0, _0, _0, _0),
}, {
    /* 0 */ ROW(V_, V_, V_, V_, V_, V_, V_, _0, V_, V_, _4, _8, V_, V_, V_, V_),
    /* 1 */ ROW(_0, _0, _0, _0, _1, _2, Y_, _4, X_, X_, D_, D_, _0, V2, V_, V_),
    /* 2 */ ROW(_1, _4, Y_, V_, _0, V_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 3 */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, X_, X_, D_, D_, _0, _0, V_, V_),
    /* 4 */ ROW(V_, X_, V_, V_, V_, _0, V_, _0, _0, _0, V_, V_, V_, _0, _0, _0),
    /* 5 */ NONE_,
    /* 6 */ ROW(X_, X_, X_, X_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 7 */ ROW(V_, V_, V_, V_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    /* 8, 9, A, B */ NONE_, NONE_, NONE_, NONE_,
    /* C */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, H_, _0, V_, V_),
    /* D */ ROW(_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, X_),
    /* E */ NONE_,
    /* F */ ROW(Y_, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
}};
