/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside mm/: the pages under the areas. With dynamic memory they come when they are first used and go when they are
 * unmapped, and the processor holds them to their rights; without, they are all there, RWX, and are zeroed before use.
 * All functions want the address space's lock and page addresses; 0 or -ENOMEM. */
#ifndef VIGIL_MM_PAGES_H
#define VIGIL_MM_PAGES_H

#include "libos/mm/mm.h"

/* Rights that pages can have: what is not PROT_NONE can be read. */
int page_prot(int prot);
/* [start, end), which nobody may use: becomes zeroes with prot. */
int pages_open(uint64_t start, uint64_t end, int prot);
/* The same for memory that will all be used soon, readable and writable: a heap's next pages. */
int pages_open_to_use(uint64_t start, uint64_t end, int prot);
/* The same for somebody who fills all of it: what it holds until then is anything. */
int pages_take(uint64_t start, uint64_t end, int prot);
/* Of an area. */
int pages_set(uint64_t start, uint64_t end, int from, int to);
/* No area is there any more. */
void pages_close(uint64_t start, uint64_t end);
/* Zeroes again, under an area with prot. */
int pages_zero(uint64_t start, uint64_t end, int prot);
/* The contents of an area's [from, from + length), for a new one with the same prot at `to`; zeroes behind them. */
int pages_move(uint64_t from, uint64_t to, uint64_t length, uint64_t new_length, int prot);
/* Dynamic memory: does a fault on the page mean that it is not there yet? Adds it, and some around it in [low, high), which
 * has prot. 1: added; 0: it was there. */
int pages_fault(uint64_t page, uint64_t low, uint64_t high, int prot);

#endif
