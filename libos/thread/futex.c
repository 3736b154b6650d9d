/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting on words of application memory. One lock for all queues: what happens under it is short, and a waiter can be
 * moved between queues without a dance of two locks. A waiter lives on its thread's kernel stack. */
#include "libos/thread/futex.h"

#include <linux/futex.h>
#include <linux/time.h>

#define QUEUES 256
#define NS 1000000000ll

struct waiter {
    struct waiter *next;
    uint64_t address;
    uint32_t bitset, slot;
    bool woken;
};

static lock_t futex_lock;
static struct waiter *queues[QUEUES];

static struct waiter **queue_of(uint64_t address)
{
    return &queues[(address >> 2 ^ address >> 10) % QUEUES];
}

static void enqueue(struct waiter *w)
{
    struct waiter **end = queue_of(w->address);
    while (*end)
        end = &(*end)->next;
    w->next = NULL;
    *end = w;
}

static void dequeue(struct waiter *w)
{
    for (struct waiter **at = queue_of(w->address); *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            return;
        }
    }
}

/* Under futex_lock. Wakes up to wake of them; up to move more go to the queue of target. */
static long wake_and_move(uint64_t address, uint32_t wake, uint32_t mask, uint64_t target, uint32_t move)
{
    struct waiter **at = queue_of(address), *moved = NULL, **moved_end = &moved;
    long done = 0;

    while (*at && (uint64_t)done < (uint64_t)wake + move) {
        struct waiter *w = *at;
        if (w->address != address || !(w->bitset & mask)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (done++ < (long)wake) {
            uint32_t slot = w->slot;
            __atomic_store_n(&w->woken, true, __ATOMIC_RELEASE); /* w is gone from here on */
            unpark(slot);
        } else {
            w->next = NULL;
            *moved_end = w;
            moved_end = &w->next;
        }
    }
    while (moved) {
        struct waiter *w = moved;
        moved = w->next;
        w->address = target;
        enqueue(w);
    }
    return done;
}

long futex_wake(uint64_t address, uint32_t count, uint32_t mask)
{
    lock(&futex_lock);
    long woken = wake_and_move(address, count, mask, 0, 0);
    unlock(&futex_lock);
    return woken;
}

static bool still_waiting(struct waiter *w)
{
    return !__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE);
}

/* Leaves the queue; false if a wake-up came first. */
static bool give_up(struct waiter *w)
{
    lock(&futex_lock);
    bool waiting = still_waiting(w);
    if (waiting)
        dequeue(w);
    unlock(&futex_lock);
    return waiting;
}

/* deadline in ns of clock, or -1. */
static long futex_wait(uint64_t address, uint32_t expected, uint32_t bitset, int clock, int64_t deadline)
{
    struct waiter w = {.address = address, .bitset = bitset, .slot = current_slot()};
    uint32_t value;

    if (!bitset)
        return -EINVAL;
    lock(&futex_lock);
    int fault = user_load32((const uint32_t *)address, &value);
    if (fault || value != expected) {
        unlock(&futex_lock);
        return fault ? fault : -EAGAIN;
    }
    enqueue(&w);
    unlock(&futex_lock);
    while (still_waiting(&w)) {
        int64_t left = deadline < 0 ? -1 : deadline - time_now(clock);
        if (deadline >= 0 && left <= 0)
            return give_up(&w) ? -ETIMEDOUT : 0;
        if (signals_pending())
            return give_up(&w) ? (deadline < 0 ? -ERESTARTSYS : -EINTR) : 0;
        park(left);
    }
    return 0;
}

/* The operation encoded in FUTEX_WAKE_OP's third value, done atomically; *old gets what was there. */
static int apply_op(uint32_t *address, uint32_t encoded, uint32_t *old)
{
    uint32_t op = encoded >> 28 & 7, argument = encoded >> 12 & 0xfff;
    uint32_t value, next, seen;

    if (encoded >> 28 & 8)
        argument = 1u << (argument & 31);
    int fault = user_load32(address, &value);
    while (!fault) {
        switch (op) {
        case FUTEX_OP_SET: next = argument; break;
        case FUTEX_OP_ADD: next = value + argument; break;
        case FUTEX_OP_OR: next = value | argument; break;
        case FUTEX_OP_ANDN: next = value & ~argument; break;
        case FUTEX_OP_XOR: next = value ^ argument; break;
        default: return -ENOSYS;
        }
        seen = value;
        fault = user_cmpxchg32(address, &seen, next);
        if (!fault && seen == value)
            break;
        value = seen;
    }
    *old = value;
    return fault;
}

static bool compare(uint32_t encoded, uint32_t old)
{
    int argument = (int)(encoded << 20) >> 20, value = (int)old;
    switch (encoded >> 24 & 15) {
    case FUTEX_OP_CMP_EQ: return value == argument;
    case FUTEX_OP_CMP_NE: return value != argument;
    case FUTEX_OP_CMP_LT: return value < argument;
    case FUTEX_OP_CMP_LE: return value <= argument;
    case FUTEX_OP_CMP_GT: return value > argument;
    case FUTEX_OP_CMP_GE: return value >= argument;
    default: return false;
    }
}

static long futex_wake_op(uint64_t address, uint32_t wake, uint64_t address2, uint32_t wake2, uint32_t encoded)
{
    uint32_t old;

    if ((encoded >> 28 & 7) > FUTEX_OP_XOR || (encoded >> 24 & 15) > FUTEX_OP_CMP_GE)
        return -ENOSYS;
    lock(&futex_lock);
    long status = apply_op((uint32_t *)address2, encoded, &old);
    if (!status) {
        status = wake_and_move(address, wake, FUTEX_ANY, 0, 0);
        if (compare(encoded, old))
            status += wake_and_move(address2, wake2, FUTEX_ANY, 0, 0);
    }
    unlock(&futex_lock);
    return status;
}

static long futex_requeue(uint64_t address, uint32_t wake, uint64_t address2, uint32_t move, bool check, uint32_t expected)
{
    uint32_t value;
    long status = 0;

    if ((int)wake < 0 || (int)move < 0)
        return -EINVAL;
    lock(&futex_lock);
    if (check) {
        status = user_load32((const uint32_t *)address, &value);
        if (!status && value != expected)
            status = -EAGAIN;
    }
    if (!status)
        status = wake_and_move(address, wake, FUTEX_ANY, address2, move);
    unlock(&futex_lock);
    return status;
}

/* The timeout argument as a deadline: relative for WAIT, absolute for the others. */
static long read_deadline(const void *user, bool absolute, int clock, int64_t *deadline)
{
    struct { int64_t sec, nsec; } ts;

    *deadline = -1;
    if (!user)
        return 0;
    if (copy_from_user(&ts, user, sizeof(ts)))
        return -EFAULT;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= NS)
        return -EINVAL;
    int64_t ns = ts.sec > INT64_MAX / NS / 4 ? INT64_MAX / 4 : ts.sec * NS + ts.nsec;
    *deadline = absolute ? ns : time_now(clock) + ns;
    return 0;
}

long sys_futex(SYSCALL_ARGS)
{
    uint64_t address = (uint64_t)a0, address2 = (uint64_t)a4;
    int op = (int)a1 & FUTEX_CMD_MASK;
    int clock = (int)a1 & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    int64_t deadline;
    long status;

    if (address & 3)
        return -EINVAL;
    if (!user_range_ok((void *)address, 4))
        return -EFAULT;
    switch (op) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        status = read_deadline((void *)a3, op == FUTEX_WAIT_BITSET, clock, &deadline);
        return status ? status : futex_wait(address, (uint32_t)a2, op == FUTEX_WAIT ? FUTEX_ANY : (uint32_t)a5, clock, deadline);
    case FUTEX_WAKE:
        return futex_wake(address, (uint32_t)a2, FUTEX_ANY);
    case FUTEX_WAKE_BITSET:
        return (uint32_t)a5 ? futex_wake(address, (uint32_t)a2, (uint32_t)a5) : -EINVAL;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        if (address2 & 3)
            return -EINVAL;
        return futex_requeue(address, (uint32_t)a2, address2, (uint32_t)a3, op == FUTEX_CMP_REQUEUE, (uint32_t)a5);
    case FUTEX_WAKE_OP:
        if (address2 & 3)
            return -EINVAL;
        return futex_wake_op(address, (uint32_t)a2, address2, (uint32_t)a3, (uint32_t)a5);
    default:
        log_line(VIGIL_LOG_DEBUG, "futex operation %d is not implemented: ENOSYS", op);
        return -ENOSYS;
    }
}
