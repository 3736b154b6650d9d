/* SPDX-License-Identifier: Apache-2.0
 *
 * How a clock is computed from the time stamp counter. The LibOS keeps one of these for each clock and copies it for the
 * program's vDSO; nothing is ever read back from the copy. */
#ifndef VIGIL_CLOCK_PAGE_H
#define VIGIL_CLOCK_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_SLOTS 12           /* by number: CLOCK_TAI is the last */
#define CLOCK_SHIFT 32

struct clock_params {
    uint32_t seq;                /* odd: being changed */
    uint32_t reserved;
    uint64_t tsc;                /* here the clock showed sec, nsec */
    uint64_t limit;              /* for so many cycles this holds; 0: not at all */
    uint64_t mult;               /* ns in a cycle, times 2^CLOCK_SHIFT */
    int64_t sec, nsec;
    uint64_t reserved2[2];
};
_Static_assert(sizeof(struct clock_params) == 64, "one line of the cache each");

struct clock_page {
    struct clock_params clock[CLOCK_SLOTS];
};
_Static_assert(sizeof(struct clock_page) <= 4096, "one page");

static inline uint64_t clock_scale(uint64_t cycles, uint64_t mult)
{
    return (uint64_t)((unsigned __int128)cycles * mult >> CLOCK_SHIFT);
}

#endif
