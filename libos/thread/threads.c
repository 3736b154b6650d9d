/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread list, a thread's identity and its end. */
#include "libos/thread/thread.h"

#include <asm/unistd_64.h>

#define TID_MAX (1u << 22)

lock_t threads_lock;
static struct thread *first;
static uint32_t count, last_tid;

struct thread *threads_first(void)
{
    return first;
}

uint32_t threads_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

static bool tid_used(uint32_t tid)
{
    for (const struct thread *t = first; t; t = t->next)
        if (t->tid == tid)
            return true;
    return false;
}

/* Ascending, and reused as late as possible. There are far fewer threads than numbers. */
uint32_t thread_new_tid(void)
{
    do {
        last_tid = last_tid + 1 < TID_MAX ? last_tid + 1 : process_pid() + 1 < TID_MAX ? process_pid() + 1 : 2;
    } while (tid_used(last_tid) || last_tid == process_pid());
    return last_tid;
}

void thread_link(struct thread *thread)
{
    struct thread **end = &first;

    while (*end)
        end = &(*end)->next;
    thread->next = NULL;
    *end = thread;
    __atomic_store_n(&count, count + 1, __ATOMIC_RELAXED);
}

bool thread_unlink(struct thread *thread)
{
    struct thread **p = &first;

    while (*p && *p != thread)
        p = &(*p)->next;
    if (*p) {
        *p = thread->next;
        __atomic_store_n(&count, count - 1, __ATOMIC_RELAXED);
    }
    return !first;
}

int threads_init(void)
{
    struct thread *thread = kzalloc(sizeof(*thread));

    if (!thread)
        return -ENOMEM;
    thread->tid = last_tid = process_pid();
    thread->slot = current_slot();
    thread->regs = current_regs();
    thread->syscall_nr = -1;
    first = NULL;
    count = 0;
    thread_link(thread);
    set_current_thread(thread);
    return 0;
}

long sys_gettid(SYSCALL_ARGS)
{
    return current_thread()->tid;
}

long sys_set_tid_address(SYSCALL_ARGS)
{
    current_thread()->clear_child_tid = (uint64_t)a0;
    return current_thread()->tid;
}

/* pthread_join waits for this word. It changes at once, not byte by byte. */
static void clear_child_tid(uint64_t address)
{
    uint32_t value;

    if (!address || (address & 3) || user_load32((const uint32_t *)address, &value))
        return;
    for (uint32_t seen = value;; value = seen) {
        if (user_cmpxchg32((uint32_t *)address, &seen, 0))
            return;
        if (seen == value)
            break;
    }
    futex_wake(address, 1, ~0u);
}

/* ---- execve ---------------------------------------------------------------------------------------------------------- */
static struct thread *survivor; /* under threads_lock */
#define LOOK_AGAIN 10000000     /* ns; a thread may have been made after we looked */

bool thread_dying(void)
{
    const struct thread *s = __atomic_load_n(&survivor, __ATOMIC_RELAXED);

    return s && s != current_thread();
}

static void kick_others(void)
{
    uint32_t slots[64], n;

    do {
        n = 0;
        lock(&threads_lock);
        for (const struct thread *t = first; t; t = t->next)
            if (t != current_thread() && n < sizeof(slots) / sizeof(slots[0]))
                slots[n++] = t->slot;
        unlock(&threads_lock);
        for (uint32_t i = 0; i < n; i++) {
            kick(slots[i]);
            unpark(slots[i]);
        }
        if (n)
            park(LOOK_AGAIN);
    } while (threads_count() > 1);
}

int threads_end_others(void)
{
    struct thread *self = current_thread();

    lock(&threads_lock);
    bool ours = !survivor;
    if (ours)
        __atomic_store_n(&survivor, self, __ATOMIC_RELAXED);
    unlock(&threads_lock);
    if (!ours)
        return -EINTR;
    kick_others();
    lock(&threads_lock);
    self->tid = process_pid();
    __atomic_store_n(&survivor, NULL, __ATOMIC_RELAXED);
    unlock(&threads_lock);
    return 0;
}

/* The program that its memory belongs to is over: nothing is written there. */
_Noreturn void thread_die(void)
{
    struct thread *thread = current_thread();

    thread_retire();
    signals_thread_exit(thread);
    lock(&threads_lock);
    thread_unlink(thread);
    uint32_t waiter = survivor->slot;
    unlock(&threads_lock);
    set_current_thread(NULL);
    kfree(thread);
    unpark(waiter);
    thread_exit();
}

/* The last thread's code is the process's. From thread_retire() on a new thread waits for our TCS instead of failing:
 * the program can only learn afterwards that we are gone. */
long sys_exit(SYSCALL_ARGS)
{
    struct thread *thread = current_thread();

    thread_retire();
    robust_list_walk(thread);
    lock(&threads_lock);
    bool last = thread_unlink(thread);
    unlock(&threads_lock);
    if (last)
        process_exit_code((int)a0);
    signals_thread_exit(thread);
    clear_child_tid(thread->clear_child_tid);
    set_current_thread(NULL);
    kfree(thread);
    thread_exit();
}
