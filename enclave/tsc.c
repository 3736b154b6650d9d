/* SPDX-License-Identifier: Apache-2.0
 *
 * The time stamp counter. In an enclave RDTSC is #UD on processors with SGX1 only, and on all while CR4.TSD is set. */
#include "enclave/internal.h"

bool tsc_read(uint64_t *value)
{
    uint32_t low = 0, high = 0, failed = 1;

    __asm__ volatile("lfence\n1: rdtsc\n xorl %2, %2\n2:\n" EX_TABLE("1b", "2b")
                     : "+a"(low), "+d"(high), "+r"(failed) : : "memory", "cc");
    *value = (uint64_t)high << 32 | low;
    return !failed;
}
