/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/fs/locks.h"

struct held_lock {
    struct held_lock *next;
    const struct file *file;
    bool exclusive;
};

/* Takes the file's own lock out, under the lock. True: there was one. */
static bool take_out(struct file_locks *l, const struct file *file)
{
    for (struct held_lock **at = &l->first; *at; at = &(*at)->next) {
        struct held_lock *held = *at;
        if (held->file != file)
            continue;
        *at = held->next;
        kfree(held);
        return true;
    }
    return false;
}

static bool in_the_way(const struct file_locks *l, const struct file *file, bool exclusive)
{
    for (const struct held_lock *held = l->first; held; held = held->next)
        if (held->file != file && (exclusive || held->exclusive))
            return true;
    return false;
}

void file_locks_release(struct file_locks *l, const struct file *file)
{
    lock(&l->lock);
    bool had = take_out(l, file);
    unlock(&l->lock);
    if (had)
        wait_wake(&l->changed);
}

/* 0, or -EAGAIN. A lock of another kind that the file has goes first, as on Linux. */
static long try(struct file_locks *l, const struct file *file, bool exclusive)
{
    struct held_lock *held = kmalloc(sizeof(*held));

    if (!held)
        return -ENOLCK;
    lock(&l->lock);
    bool had = take_out(l, file), busy = in_the_way(l, file, exclusive);
    if (!busy) {
        *held = (struct held_lock){.next = l->first, .file = file, .exclusive = exclusive};
        l->first = held;
    }
    unlock(&l->lock);
    if (had)
        wait_wake(&l->changed);
    if (busy)
        kfree(held);
    return busy ? -EAGAIN : 0;
}

long file_lock(struct file_locks *l, const struct file *file, int operation)
{
    bool exclusive = (operation & ~LOCK_NB) == LOCK_EX;
    struct waiter waiter;
    long result;

    switch (operation & ~LOCK_NB) {
    case LOCK_UN:
        file_locks_release(l, file);
        return 0;
    case LOCK_SH:
    case LOCK_EX:
        break;
    default:
        return -EINVAL;
    }
    if (operation & LOCK_NB)
        return try(l, file, exclusive);
    wait_add(&l->changed, &waiter, false);
    while ((result = try(l, file, exclusive)) == -EAGAIN) {
        result = interrupted();
        if (result)
            break;
        park(-1);
    }
    wait_remove(&waiter);
    return result;
}
