/* SPDX-License-Identifier: Apache-2.0
 *
 * Record locks on files that are inside (fcntl). Their owner is the process, which is never in its own way, or an open file
 * (F_OFD_*). */
#include "libos/fs/locks.h"

#define END INT64_MAX

struct range_lock {
    struct range_lock *next;
    const struct file *owner;       /* NULL: the process */
    int64_t first, last;
    bool exclusive;
};

static bool overlaps(const struct range_lock *a, const struct range_lock *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static const struct range_lock *conflict(const struct file_locks *l, const struct range_lock *wanted)
{
    for (const struct range_lock *held = l->ranges; held; held = held->next)
        if (held->owner != wanted->owner && overlaps(held, wanted) && (held->exclusive || wanted->exclusive))
            return held;
    return NULL;
}

/* Under the lock: the owner has nothing in the range any more. spare: for a lock that is cut in two; what is left of it. */
static struct range_lock *cut(struct file_locks *l, const struct range_lock *out, struct range_lock *spare)
{
    for (struct range_lock **at = &l->ranges; *at;) {
        struct range_lock *held = *at;
        if (held->owner != out->owner || !overlaps(held, out)) {
            at = &held->next;
        } else if (held->first < out->first && held->last > out->last) {
            *spare = *held;
            spare->first = out->last + 1;
            held->last = out->first - 1;
            held->next = spare;
            return NULL;
        } else if (held->first < out->first) {
            held->last = out->first - 1;
            at = &held->next;
        } else if (held->last > out->last) {
            held->first = out->last + 1;
            at = &held->next;
        } else {
            *at = held->next;
            kfree(held);
        }
    }
    return spare;
}

/* One that touches others of the same kind takes them in, so that there are no more than there are places. */
static void join(struct file_locks *l, struct range_lock *lock)
{
    for (struct range_lock **at = &l->ranges; *at;) {
        struct range_lock *held = *at;
        bool left = held->last != END && held->last + 1 == lock->first, right = lock->last != END && lock->last + 1 == held->first;
        if (held == lock || held->owner != lock->owner || held->exclusive != lock->exclusive || !(left || right)) {
            at = &held->next;
            continue;
        }
        lock->first = left ? held->first : lock->first;
        lock->last = right ? held->last : lock->last;
        *at = held->next;
        kfree(held);
    }
}

/* 0 or -EAGAIN; unlocks: nothing can be in the way. */
static long set(struct file_locks *l, const struct range_lock *wanted, bool unlocks)
{
    struct range_lock *spare = kmalloc(sizeof(*spare)), *lock_new = unlocks ? NULL : kmalloc(sizeof(*lock_new));
    long status = spare && (unlocks || lock_new) ? 0 : -ENOLCK;

    lock(&l->lock);
    if (!status && !unlocks && conflict(l, wanted))
        status = -EAGAIN;
    if (!status) {
        spare = cut(l, wanted, spare);
        if (lock_new) {
            *lock_new = *wanted;
            lock_new->next = l->ranges;
            l->ranges = lock_new;
            join(l, lock_new);
            lock_new = NULL;
        }
    }
    unlock(&l->lock);
    kfree(spare);
    kfree(lock_new);
    if (!status)
        wait_wake(&l->changed);
    return status;
}

void range_locks_release(struct file_locks *l, const struct file *file)
{
    const struct range_lock own = {.owner = file, .last = END}, process = {.last = END};

    if (!__atomic_load_n(&l->ranges, __ATOMIC_RELAXED))
        return;
    lock(&l->lock);
    (void)cut(l, &own, NULL);
    (void)cut(l, &process, NULL);
    unlock(&l->lock);
    wait_wake(&l->changed);
}

/* What the program's struct means; -errno. */
static long range_of(struct file *file, const struct flock *f, struct range_lock *range)
{
    int64_t base = 0;

    if (f->l_whence < SEEK_SET || f->l_whence > SEEK_END || (f->l_whence != SEEK_SET && !file->ops->seek))
        return -EINVAL;
    if (f->l_whence == SEEK_CUR)
        base = file->ops->seek(file, 0, SEEK_CUR);
    if (f->l_whence == SEEK_END) {
        struct stat stat;
        if (file_stat(file, &stat))
            return -EINVAL;
        base = stat.st_size;
    }
    if (__builtin_add_overflow(base, f->l_start, &base))
        return -EOVERFLOW;
    int64_t length = f->l_len, end = END;
    if (length > 0 && __builtin_add_overflow(base, length - 1, &end))
        return -EOVERFLOW;
    if (length < 0) {
        end = base - 1;
        if (__builtin_add_overflow(base, length, &base))
            return -EINVAL;
    }
    range->first = base;
    range->last = end;
    return base < 0 || end < base ? -EINVAL : 0;
}

static void describe(struct file_locks *l, const struct range_lock *range, struct flock *f, int pid)
{
    lock(&l->lock);
    const struct range_lock *held = conflict(l, range);
    if (held)
        *f = (struct flock){.l_type = held->exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = held->first,
                            .l_len = held->last == END ? 0 : held->last - held->first + 1, .l_pid = held->owner ? -1 : pid};
    else
        f->l_type = F_UNLCK;
    unlock(&l->lock);
}

long range_lock(struct file_locks *l, struct file *file, int command, struct flock *f, int pid)
{
    bool ofd = command >= F_OFD_GETLK, asks = command == F_GETLK || command == F_OFD_GETLK;
    struct range_lock range = {.owner = ofd ? file : NULL, .exclusive = f->l_type == F_WRLCK};
    struct waiter waiter;
    long status = range_of(file, f, &range);

    if (status || (ofd && f->l_pid))
        return status ? status : -EINVAL;
    if (asks) {
        describe(l, &range, f, pid);
        return 0;
    }
    if ((f->l_type == F_RDLCK && !file_can_read(file)) || (f->l_type == F_WRLCK && !file_can_write(file)))
        return -EBADF;
    if (command != F_SETLKW && command != F_OFD_SETLKW)
        return set(l, &range, f->l_type == F_UNLCK);
    wait_add(&l->changed, &waiter, false);
    while ((status = set(l, &range, f->l_type == F_UNLCK)) == -EAGAIN) {
        status = interrupted();
        if (status)
            break;
        park(-1);
    }
    wait_remove(&waiter);
    return status;
}
