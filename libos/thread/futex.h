/* SPDX-License-Identifier: Apache-2.0
 *
 * Futexes live inside the enclave: the host can neither wake nor lose anybody for good. */
#ifndef VIGIL_FUTEX_H
#define VIGIL_FUTEX_H

#include "libos/libos.h"

#define FUTEX_ANY 0xffffffffu

/* Wakes up to count waiters of the word whose bitset meets mask; returns how many. */
long futex_wake(uint64_t address, uint32_t count, uint32_t mask);
#endif
