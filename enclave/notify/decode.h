/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIGIL_DECODE_H
#define VIGIL_DECODE_H
#include "enclave/enclave.h"
#define DECODE_READ  1u
#define DECODE_WRITE 2u
struct decode_operand { uint64_t address; uint64_t size; uint64_t access; };
struct decoded {
    uint64_t length, needs_more, operands_known;
    struct decode_operand operand[2];
    uint64_t locked, target_known, target;
};
void decode(struct decoded *out, const struct checkpoint *regs, uint64_t gsbase, const uint64_t window[2], uint64_t available);
#endif
