/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks. Who finds one taken tries a few times more, then goes to sleep in the host, and who gives it back wakes the one
 * that has waited longest. That one has no right to the lock, it tries again: a lock is not idle while somebody wakes up.
 *
 * The word: bit 0, held; the rest, the slot (plus one) of the last to come of those that wait, which knows who came before
 * it. Only the holder takes waiters out. All of this is enclave memory; the host gets a word of its own for each thread to
 * sleep on, and can only wake too often or never. */
#include "enclave/internal.h"

#include <asm/unistd_64.h>

#define HELD 1u
#define TRIES 100
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

static bool change(lock_t *l, uint32_t *seen, uint32_t new)
{
    return __atomic_compare_exchange_n(&l->word, seen, new, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static bool try_some_times(lock_t *l, uint32_t tries)
{
    for (uint32_t i = 0; i < tries; i++) {
        uint32_t seen = __atomic_load_n(&l->word, __ATOMIC_RELAXED);
        if (!(seen & HELD) && change(l, &seen, seen | HELD))
            return true;
        __asm__ volatile("pause");
    }
    return false;
}

static void sleep_until_woken(struct tcb *t)
{
    struct vigil_shared *shared = t->shared;

    __atomic_store_n(&t->lock_asleep, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&t->lock_woken, __ATOMIC_SEQ_CST)) {
        uint32_t untrusted_word = __atomic_load_n(&shared->lock, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&t->lock_woken, __ATOMIC_SEQ_CST))
            ocall_syscall(__NR_futex, (long)&shared->lock, FUTEX_WAIT, untrusted_word, 0, 0, 0);
    }
    __atomic_store_n(&t->lock_asleep, 0, __ATOMIC_SEQ_CST);
}

static void wake(struct tcb *t)
{
    struct vigil_shared *shared = t->shared;

    __atomic_store_n(&t->lock_woken, 1, __ATOMIC_SEQ_CST); /* from here on it may do anything */
    if (!__atomic_load_n(&t->lock_asleep, __ATOMIC_SEQ_CST))
        return;
    __atomic_add_fetch(&shared->lock, 1, __ATOMIC_SEQ_CST);
    ocall_syscall(__NR_futex, (long)&shared->lock, FUTEX_WAKE, 1, 0, 0, 0);
}

static void lock_slowly(lock_t *l)
{
    struct tcb *t = tcb_current();

    while (!try_some_times(l, TRIES)) {
        uint32_t seen = __atomic_load_n(&l->word, __ATOMIC_RELAXED);
        if (!t->shared) /* so early that the thread cannot leave the enclave */
            continue;
        t->lock_next = seen >> 1;
        __atomic_store_n(&t->lock_woken, 0, __ATOMIC_RELAXED);
        if ((seen & HELD) && change(l, &seen, HELD | (t->slot + 1) << 1))
            sleep_until_woken(t);
    }
}

void lock(lock_t *l)
{
    uint32_t seen = 0;

    if (alone() && !__atomic_load_n(&l->word, __ATOMIC_RELAXED))
        __atomic_store_n(&l->word, HELD, __ATOMIC_RELEASE);
    else if (!change(l, &seen, HELD))
        lock_slowly(l);
}

/* Gives the lock back, and takes the first to have come out of those that wait. */
static struct tcb *release(lock_t *l)
{
    for (;;) {
        uint32_t seen = __atomic_load_n(&l->word, __ATOMIC_ACQUIRE);
        struct tcb *t = tcb_of_slot((seen >> 1) - 1), *after = NULL;
        while (t->lock_next) {
            after = t;
            t = tcb_of_slot(t->lock_next - 1);
        }
        if (after) {
            after->lock_next = 0;
            __atomic_and_fetch(&l->word, ~HELD, __ATOMIC_RELEASE);
            return t;
        }
        if (change(l, &seen, 0))
            return t;
    }
}

void unlock(lock_t *l)
{
    uint32_t seen = HELD;

    if (alone() && __atomic_load_n(&l->word, __ATOMIC_RELAXED) == HELD)
        __atomic_store_n(&l->word, 0, __ATOMIC_RELEASE);
    else if (!change(l, &seen, 0))
        wake(release(l));
}
