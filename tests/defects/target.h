/* SPDX-License-Identifier: Apache-2.0
 *
 * The target's parts: each returns its exit status. */
#ifndef VIGIL_DEFECTS_TARGET_H
#define VIGIL_DEFECTS_TARGET_H

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

/* An entry of operand_cases: the instruction at rip reads and writes there (0: not at all). may_miss: a decoder that
 * does not know the instruction is good enough; a wrong one never is. The last has rip 0. */
struct operand_case { uint64_t rip, read, write, size, may_miss; };

int operands(void);
int faults(void);

#define FAULT_CASES 9   /* entries of fault_cases */
#endif
