/* SPDX-License-Identifier: Apache-2.0
 *
 * Robust futexes: when a thread ends, the locks it still holds are marked and a waiter is woken. The list is the
 * program's memory: it may be anything, end anywhere, or be a circle. */
#include "libos/thread/thread.h"

#include <linux/futex.h>

#define PI_BIT 1ull /* in a list pointer: a priority-inheriting futex */

/* 0, or -EFAULT to stop walking. */
static int owner_died(const struct thread *thread, uint64_t entry, int64_t offset, bool pending)
{
    uint32_t *user = (uint32_t *)((entry & ~PI_BIT) + (uint64_t)offset), value;
    bool pi = entry & PI_BIT;

    if ((uint64_t)user & 3)
        return -EFAULT;
    if (user_load32(user, &value))
        return -EFAULT;
    for (;;) {
        /* Ended between taking the lock and noting it, or between releasing it and waking: a waiter must look. */
        if (pending && !pi && !value) {
            futex_wake((uint64_t)user, 1, ~0u);
            return 0;
        }
        if ((value & FUTEX_TID_MASK) != thread->tid)
            return 0;
        uint32_t seen = value;
        if (user_cmpxchg32(user, &seen, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED))
            return -EFAULT;
        if (seen == value)
            break;
        value = seen;
    }
    if (!pi && (value & FUTEX_WAITERS))
        futex_wake((uint64_t)user, 1, ~0u);
    return 0;
}

void robust_list_walk(const struct thread *thread)
{
    struct robust_list_head head;
    uint64_t entry, next;

    if (!thread->robust_list || copy_from_user(&head, (void *)thread->robust_list, sizeof(head)))
        return;
    uint64_t pending = (uint64_t)head.list_op_pending;
    entry = (uint64_t)head.list.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (entry & ~PI_BIT) != thread->robust_list; i++) {
        /* The next one first: the lock may be freed as soon as it is marked. */
        int failed = copy_from_user(&next, (void *)(entry & ~PI_BIT), sizeof(next));
        if (entry != pending && owner_died(thread, entry, head.futex_offset, false))
            return;
        if (failed)
            return;
        entry = next;
    }
    if (pending & ~PI_BIT)
        (void)owner_died(thread, pending, head.futex_offset, true);
}

long sys_set_robust_list(SYSCALL_ARGS)
{
    if ((uint64_t)a1 != sizeof(struct robust_list_head))
        return -EINVAL;
    current_thread()->robust_list = (uint64_t)a0;
    return 0;
}

long sys_get_robust_list(SYSCALL_ARGS)
{
    uint64_t head = 0, size = sizeof(struct robust_list_head);
    bool found = false;

    lock(&threads_lock);
    for (const struct thread *t = threads_first(); t; t = t->next)
        if (t->tid == (uint32_t)a0 || ((int)a0 == 0 && t == current_thread())) {
            head = t->robust_list;
            found = true;
        }
    unlock(&threads_lock);
    if (!found)
        return -ESRCH;
    return copy_to_user((void *)a2, &size, sizeof(size)) || copy_to_user((void *)a1, &head, sizeof(head)) ? -EFAULT : 0;
}
