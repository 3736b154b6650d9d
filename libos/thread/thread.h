/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside thread/. */
#ifndef VIGIL_THREAD_H
#define VIGIL_THREAD_H

#include "libos/libos.h"

/* ---- futex.c ----------------------------------------------------------------------------------------------------- */
/* Wakes up to n waiters of the word. How many. */
int futex_wake(uint64_t address, int n, uint32_t bitset);
/* ---- robust.c ---------------------------------------------------------------------------------------------------- */
/* The thread ends: the locks it holds tell their next owner. */
void robust_list_walk(const struct thread *thread);
/* ---- threads.c --------------------------------------------------------------------------------------------------- */
uint32_t thread_new_tid(void);      /* under threads_lock */
void thread_link(struct thread *);  /* under threads_lock */
/* True: it was the last. Under threads_lock. */
bool thread_unlink(struct thread *);

#endif
