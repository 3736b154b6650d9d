/* SPDX-License-Identifier: Apache-2.0
 *
 * The tests, one for each known defect. Each runs with the design as it is and then, lab_options.planted, with the
 * defect planted; it must pass the first time and fail the second. */
#ifndef VIGIL_DEFECTS_H
#define VIGIL_DEFECTS_H

#include "tests/defects/lab.h"

/* 0: the defect is not there. 1: it is, and lab_reason() says how it showed. */
int d1(void), d2(void), d3(void), d4(void), d5(void), d6(void), d7(void), d8(void), d9(void);
int b1(void), b2(void), b3(void), b4(void), b5(void), b6(void), b7(void);

/* How many interruptions, entries or cases the last run looked at; a test that looked at none has failed. */
extern uint64_t defects_looked_at;
#endif
