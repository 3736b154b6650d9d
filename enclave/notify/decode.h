/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoder: which memory an instruction touches. 64-bit mode. Branch-free, and no load address depends on the code
 * bytes or on a register, so running it tells an observer nothing. "I don't know" is an allowed answer, a wrong one is
 * not: tests/decoder compares it with Zydis. Source: SDM volume 2, chapter 2 and appendix A. */
#ifndef VIGIL_DECODE_H
#define VIGIL_DECODE_H

#include "enclave/enclave.h"

#define DECODE_READ  1u
#define DECODE_WRITE 2u

struct decode_operand {
    uint64_t address;        /* linear */
    uint64_t size;           /* bytes */
    uint64_t access;         /* DECODE_ bits; 0: no operand, the other fields mean nothing */
};

struct decoded {
    uint64_t length;         /* bytes, 1 to 15; 0: not known, and no operands */
    uint64_t needs_more;     /* 1: the instruction continues behind the available bytes */
    uint64_t target;         /* a direct branch, or one through a register: where it goes if taken. Else rip + length */
    struct decode_operand operand[2]; /* every access to data, if length is known */
};

/* window: 16 bytes of code, the first `available` (1 to 15, the longest instruction) of them valid, the rest zero.
 * regs->rip is where they are; regs is aligned to 16. gsbase apart, because the application's GS is the runtime's. */
void decode(struct decoded *out, const struct checkpoint *regs, uint64_t gsbase, const uint64_t window[2],
            uint64_t available);

#endif
