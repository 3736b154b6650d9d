/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks without leaving the enclave: see tsc.c. */
#ifndef VIGIL_TSC_H
#define VIGIL_TSC_H

#include "libos/time/clock_page.h"
#include "libos/time/time.h"

#define TSC_ERROR_MAX 100000ll   /* ns: farther a clock is not from what the host says, if the host answers at once */

/* The host's clock, checked to be a time. 0, or -EINVAL: it has no such clock. */
int host_clock(int nr, int clock, int64_t *ns);

/* The clock that `clock` is read as: coarse ones are as fine as the others. -1: not computed (CPU time, alarms). */
int tsc_clock(int clock);
/* Is there a time stamp counter that can be used here? If not, all that follows must not be called. */
bool tsc_usable(void);
/* clock: one that tsc_clock() gives. */
int tsc_read_clock(int clock, int64_t *ns);

/* Readable by the program: from now on this page has a copy of what the clocks are computed from. */
void tsc_publish(struct clock_page *page);
/* Forgets everything: for the start, and for tests. */
void tsc_init(void);
/* How often the host was asked for the time of a clock that is computed. */
uint64_t tsc_host_answers(void);

#endif
