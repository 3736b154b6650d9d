/* SPDX-License-Identifier: Apache-2.0
 *
 * Futexes, inside the enclave: the host only ever sees a thread sleep. A waiter is an object on the waiting thread's
 * kernel stack, in the queue of its word's bucket. All of its fields but woken are under the bucket's lock; whoever
 * takes it out of the queue sets woken last and does not touch it afterwards.
 * No wake-up is lost: the waiter compares the word and enqueues itself under the lock that a waker takes after it has
 * changed the word; and unpark before park makes park return at once. */
#include "libos/thread/thread.h"

#include "libos/time/time.h"

#include <linux/futex.h>
#include <linux/time.h>

#define BUCKETS 64 /* power of two */
#define WAKE_BATCH 32

struct waiter {
    struct waiter *next, *prev;
    uint64_t address;
    uint32_t bitset, slot;
    struct bucket *bucket;  /* changes with requeue */
    uint32_t woken;
};

static struct bucket {
    lock_t lock;
    struct waiter *first, *last;
} buckets[BUCKETS];

static struct bucket *bucket_of(uint64_t address)
{
    uint64_t h = (address >> 2) * 0x9e3779b97f4a7c15ull;
    return &buckets[h >> 58];
}
_Static_assert(BUCKETS == 1 << (64 - 58), "bucket_of");

/* ---- queues, under the bucket's lock ----------------------------------------------------------------------------- */
static void enqueue(struct bucket *b, struct waiter *w)
{
    __atomic_store_n(&w->bucket, b, __ATOMIC_RELAXED);
    w->next = NULL;
    w->prev = b->last;
    if (b->last)
        b->last->next = w;
    else
        b->first = w;
    b->last = w;
}

static void dequeue(struct bucket *b, struct waiter *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        b->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        b->last = w->prev;
}

struct batch {
    uint32_t slots[WAKE_BATCH];
    int n;
};

/* Takes up to n waiters out, as many as fit into the batch. */
static int pick(struct bucket *b, uint64_t address, int n, uint32_t bitset, struct batch *batch)
{
    int picked = 0;

    for (struct waiter *w = b->first, *next; w && picked < n && batch->n < WAKE_BATCH; w = next) {
        next = w->next;
        if (w->address != address || !(w->bitset & bitset))
            continue;
        dequeue(b, w);
        batch->slots[batch->n++] = w->slot;
        __atomic_store_n(&w->woken, 1, __ATOMIC_RELEASE); /* w is gone */
        picked++;
    }
    return picked;
}

/* Outside locks: an unpark may leave the enclave. */
static void wake_batch(struct batch *batch)
{
    for (int i = 0; i < batch->n; i++)
        unpark(batch->slots[i]);
    batch->n = 0;
}

static void lock_both(struct bucket *a, struct bucket *b)
{
    lock(a < b ? &a->lock : &b->lock);
    if (a != b)
        lock(a < b ? &b->lock : &a->lock);
}

static void unlock_both(struct bucket *a, struct bucket *b)
{
    unlock(&a->lock);
    if (a != b)
        unlock(&b->lock);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */
/* True: it was still queued and is not any more. False: somebody woke it. */
static bool withdraw(struct waiter *w)
{
    for (;;) {
        struct bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_RELAXED);
        lock(&b->lock);
        if (__atomic_load_n(&w->bucket, __ATOMIC_RELAXED) != b) { /* requeued meanwhile */
            unlock(&b->lock);
            continue;
        }
        bool queued = !__atomic_load_n(&w->woken, __ATOMIC_RELAXED);
        if (queued)
            dequeue(b, w);
        unlock(&b->lock);
        return queued;
    }
}

static long sleep_until_woken(struct waiter *w, const struct wait *wait)
{
    long result = 0;

    while (!__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE)) {
        int64_t left = wait_left(wait);
        result = left == 0 ? -ETIMEDOUT : interrupted();
        if (result)
            return withdraw(w) ? result : 0;
        park(left);
    }
    return 0;
}

static long futex_wait(uint64_t address, uint32_t expected, uint32_t bitset, const struct wait *wait)
{
    struct bucket *b = bucket_of(address);
    struct waiter w = {.address = address, .bitset = bitset, .slot = current_slot()};
    uint32_t value;

    lock(&b->lock);
    int error = user_load32((const uint32_t *)address, &value);
    if (!error && value == expected)
        enqueue(b, &w);
    unlock(&b->lock);
    if (error)
        return error;
    if (value != expected)
        return -EAGAIN;
    long result = sleep_until_woken(&w, wait);
    if (result == -ERESTARTSYS && wait->deadline != TIME_MAX) {
        /* Made again with the time that is left, not with all of it. */
        current_thread()->restart_deadline = wait->deadline;
        return -ERESTART_RESTARTBLOCK;
    }
    return result;
}

/* ---- waking ------------------------------------------------------------------------------------------------------ */
int futex_wake(uint64_t address, int n, uint32_t bitset)
{
    struct bucket *b = bucket_of(address);
    struct batch batch = {.n = 0};
    int woken = 0, now;

    do {
        lock(&b->lock);
        now = pick(b, address, n - woken, bitset, &batch);
        unlock(&b->lock);
        woken += now;
        wake_batch(&batch);
    } while (now == WAKE_BATCH && woken < n);
    return woken;
}

/* Moves up to n waiters to another word. Under both locks. */
static int move(struct bucket *from, uint64_t from_address, struct bucket *to, uint64_t to_address, int n)
{
    int moved = 0;

    for (struct waiter *w = from->first, *next; w && moved < n; w = next) {
        next = w->next;
        if (w->address != from_address)
            continue;
        w->address = to_address;
        if (from != to) {
            dequeue(from, w);
            enqueue(to, w);
        }
        moved++;
    }
    return moved;
}

static long futex_requeue(uint64_t from_address, uint64_t to_address, int wake, int requeue, const uint32_t *expected)
{
    struct bucket *from = bucket_of(from_address), *to = bucket_of(to_address);
    struct batch batch = {.n = 0};
    int done = 0, now;

    if (wake < 0 || requeue < 0)
        return -EINVAL;
    lock_both(from, to);
    if (expected) {
        uint32_t value;
        int error = user_load32((const uint32_t *)from_address, &value);
        if (error || value != *expected) {
            unlock_both(from, to);
            return error ? error : -EAGAIN;
        }
    }
    /* More than a batch to wake: the rest is woken after the others have moved, which nobody can tell. */
    now = pick(from, from_address, wake, ~0u, &batch);
    int rest = now == WAKE_BATCH ? wake - now : 0;
    done = now;
    if (!rest && from_address != to_address)
        done += move(from, from_address, to, to_address, requeue);
    unlock_both(from, to);
    wake_batch(&batch);
    if (rest) {
        long more = futex_requeue(from_address, to_address, rest, requeue, NULL);
        return more < 0 ? more : done + more;
    }
    return done;
}

/* ---- FUTEX_WAKE_OP ----------------------------------------------------------------------------------------------- */
static int32_t sign_extend12(uint32_t x)
{
    return (int32_t)(x << 20) >> 20;
}

/* The new value of the second word. False: no such operation. */
static bool apply(uint32_t encoded, uint32_t old, uint32_t *new)
{
    uint32_t arg = (uint32_t)sign_extend12((encoded & 0x00fff000) >> 12);

    if (encoded & ((uint32_t)FUTEX_OP_OPARG_SHIFT << 28))
        arg = 1u << (arg & 31);
    switch ((encoded >> 28) & 7) {
    case FUTEX_OP_SET:
        *new = arg;
        return true;
    case FUTEX_OP_ADD:
        *new = old + arg;
        return true;
    case FUTEX_OP_OR:
        *new = old | arg;
        return true;
    case FUTEX_OP_ANDN:
        *new = old & ~arg;
        return true;
    case FUTEX_OP_XOR:
        *new = old ^ arg;
        return true;
    default:
        return false;
    }
}

/* 0 or 1, -ENOSYS: no such comparison. */
static int compare(uint32_t encoded, uint32_t old)
{
    int32_t a = (int32_t)old, b = sign_extend12(encoded & 0xfff);

    switch ((encoded >> 24) & 0xf) {
    case FUTEX_OP_CMP_EQ:
        return a == b;
    case FUTEX_OP_CMP_NE:
        return a != b;
    case FUTEX_OP_CMP_LT:
        return a < b;
    case FUTEX_OP_CMP_GE:
        return a >= b;
    case FUTEX_OP_CMP_LE:
        return a <= b;
    case FUTEX_OP_CMP_GT:
        return a > b;
    default:
        return -ENOSYS;
    }
}

/* Changes the second word. Its old value passes the comparison: 1, 0, or -errno. */
static int modify(uint64_t address, uint32_t encoded)
{
    uint32_t old, new;

    if (user_load32((const uint32_t *)address, &old))
        return -EFAULT;
    for (;;) {
        uint32_t seen = old;
        if (!apply(encoded, old, &new))
            return -ENOSYS;
        if (user_cmpxchg32((uint32_t *)address, &seen, new))
            return -EFAULT;
        if (seen == old)
            return compare(encoded, old);
        old = seen;
    }
}

static long futex_wake_op(uint64_t address1, uint64_t address2, int n1, int n2, uint32_t encoded)
{
    struct bucket *b1 = bucket_of(address1), *b2 = bucket_of(address2);

    lock_both(b1, b2);
    int passes = modify(address2, encoded);
    unlock_both(b1, b2);
    if (passes < 0)
        return passes;
    int woken = futex_wake(address1, n1, ~0u);
    return passes ? woken + futex_wake(address2, n2, ~0u) : woken;
}

/* ---- the system call --------------------------------------------------------------------------------------------- */
static long do_wait(uint64_t address, int op, uint32_t value, const void *timeout, uint32_t bitset)
{
    bool absolute = (op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
    int clock = absolute && (op & FUTEX_CLOCK_REALTIME) ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    struct wait wait;

    if (!bitset)
        return -EINVAL;
    int error = wait_from_user(&wait, timeout, clock, absolute);
    if (error)
        return error;
    if (current_thread()->restart_deadline)
        wait.deadline = current_thread()->restart_deadline;
    return futex_wait(address, value, bitset, &wait);
}

/* Waking needs no access to the word, but one that is not there is an error if it could be shared with others. */
static bool checked_only_if_shared(uint64_t address, int op)
{
    uint32_t value;
    return !(op & FUTEX_PRIVATE_FLAG) && user_load32((const uint32_t *)address, &value);
}

static int at_least_one(int n)
{
    return n < 1 ? 1 : n; /* Linux wakes before it counts */
}

long sys_futex(SYSCALL_ARGS)
{
    uint64_t address = (uint64_t)a0, address2 = (uint64_t)a4;
    int op = (int)a1, command = op & FUTEX_CMD_MASK;
    uint32_t value = (uint32_t)a2, value3 = (uint32_t)a5;
    bool two = command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE || command == FUTEX_WAKE_OP;

    if ((op & FUTEX_CLOCK_REALTIME) && command != FUTEX_WAIT_BITSET)
        return -ENOSYS;
    if (command == FUTEX_WAKE_BITSET && !value3)
        return -EINVAL;
    if ((address & 3) || (two && (address2 & 3)))
        return -EINVAL;
    switch (command) {
    case FUTEX_WAIT:
        return do_wait(address, op, value, (const void *)a3, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return do_wait(address, op, value, (const void *)a3, value3);
    case FUTEX_WAKE:
        value3 = FUTEX_BITSET_MATCH_ANY;
        __attribute__((fallthrough));
    case FUTEX_WAKE_BITSET:
        return checked_only_if_shared(address, op) ? -EFAULT : futex_wake(address, at_least_one((int)value), value3);
    case FUTEX_REQUEUE:
        return futex_requeue(address, address2, (int)value, (int)a3, NULL);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(address, address2, (int)value, (int)a3, &value3);
    case FUTEX_WAKE_OP:
        return futex_wake_op(address, address2, at_least_one((int)value), at_least_one((int)a3), value3);
    default:
        log_line(VIGIL_LOG_DEBUG, "futex: operation %d is not supported: ENOSYS", command);
        return -ENOSYS;
    }
}
